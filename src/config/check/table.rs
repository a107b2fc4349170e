//! The table of what this program does with each field of the schema.
//!
//! To grow: when the detection or training room learns a field, change its line here. A field without a
//! line is refused wherever it differs from its default.

use super::support::Verdict;

/// One field of a message.
pub(super) struct Row {
    pub name: &'static str,
    pub verdict: Verdict,
    /// Why, where there is something to say.
    pub note: &'static str,
    /// What to write instead; empty for the usual advice.
    pub instead: &'static str,
}

/// The fields of one message, by its name without the package.
pub(super) struct Support {
    pub message: &'static str,
    pub rows: &'static [Row],
}

/// Words and strings of which only some are honoured.
pub(super) struct Choices {
    pub message: &'static str,
    pub field: &'static str,
    pub honoured: &'static [&'static str],
}

/// Does what the schema says.
const fn yes(name: &'static str) -> Row {
    Row { name, verdict: Verdict::Honoured, note: "", instead: "" }
}

/// Does what the schema says, in a way that wants a word: another way to the same numbers.
const fn same(name: &'static str, note: &'static str) -> Row {
    Row { name, verdict: Verdict::Honoured, note, instead: "" }
}

/// Is done differently, or not at all, and no number of the training depends on it much.
const fn near(name: &'static str, note: &'static str) -> Row {
    Row { name, verdict: Verdict::Approximated, note, instead: "" }
}

/// Would change the numbers and cannot be done.
const fn no(name: &'static str, note: &'static str, instead: &'static str) -> Row {
    Row { name, verdict: Verdict::Refused, note, instead }
}

const TPU: &str = "another way to the same numbers, made for TPUs";
const QUEUE: &str = "queues size themselves here";
const ANCHORWISE: &str = "the loss is summed over anchors in the end either way";
const DRAWING: &str =
    "pictures of an evaluation go to its event file, with the boxes that are there beside those that were found";
const THREE: &str = "networks take three channels here";
const FPN_ONLY: &str = "only networks with a feature pyramid read it";
const MASKS: &str = "masks are not trained here";
const FOR_MASKS: &str = "it is only read for masks, which are refused";
const KEYPOINTS: &str = "keypoints are not trained here";

#[rustfmt::skip]
pub(super) const SUPPORT: &[Support] = &[
    Support { message: "TrainEvalPipelineConfig", rows: &[
        yes("model"), yes("train_config"), yes("train_input_reader"), yes("eval_config"), yes("eval_input_reader"),
        no("graph_rewriter", "training that plays quantization is not done here", "remove `graph_rewriter` and train in 32-bit floats"),
    ] },
    Support { message: "DetectionModel", rows: &[
        yes("ssd"),
        yes("faster_rcnn"),
        no("center_net", "CenterNet, which has no anchors, is not trained here; an SSD with a feature pyramid comes nearest", ""),
        no("experimental_model", "models outside the schema are not trained here", ""),
    ] },

    // SSD.
    Support { message: "Ssd", rows: &[
        yes("num_classes"), yes("image_resizer"), yes("feature_extractor"), yes("box_coder"), yes("matcher"),
        yes("similarity_calculator"), yes("box_predictor"), yes("anchor_generator"), yes("post_processing"), yes("loss"),
        yes("normalize_loss_by_num_matches"), yes("normalize_loc_loss_by_codesize"), yes("freeze_batchnorm"),
        yes("encode_background_as_zeros"), yes("negative_class_weight"),
        same("inplace_batchnorm_update", "the running statistics are always updated with the step"),
        same("return_raw_detections_during_predict", "an extra output, which changes no other"),
        same("implicit_example_weight", "only read together with use_confidences_as_targets, which is refused"),
        no("add_background_class", "class scores always have a column for the background here", ""),
        no("explicit_background_class", "records hold no background class here", ""),
        no("use_confidences_as_targets", "confidences of labels are not read from the records", ""),
        no("mask_head_config", MASKS, "remove `mask_head_config`; boxes are trained without it"),
    ] },
    Support { message: "SsdFeatureExtractor", rows: &[
        yes("type"), yes("depth_multiplier"), yes("min_depth"), yes("conv_hyperparams"), yes("num_layers"),
        yes("override_base_feature_extractor_hyperparams"), yes("use_explicit_padding"), yes("use_depthwise"),
        yes("fpn"), yes("pad_to_multiple"),
        no("bifpn", "bidirectional feature pyramids (EfficientDet) are not built here", "remove `bifpn`, and use fpn with a network that has one, like ssd_mobilenet_v2_fpn_keras"),
        no("replace_preprocessor_with_placeholder", "pixel values are always scaled by the network's own rule", ""),
    ] },

    // Faster R-CNN.
    Support { message: "FasterRcnn", rows: &[
        yes("number_of_stages"), yes("num_classes"), yes("image_resizer"), yes("feature_extractor"),
        yes("first_stage_anchor_generator"), yes("first_stage_atrous_rate"),
        yes("first_stage_box_predictor_conv_hyperparams"), yes("first_stage_box_predictor_kernel_size"),
        yes("first_stage_box_predictor_depth"), yes("first_stage_minibatch_size"),
        yes("first_stage_positive_balance_fraction"), yes("first_stage_nms_score_threshold"),
        yes("first_stage_nms_iou_threshold"), yes("first_stage_max_proposals"),
        yes("first_stage_localization_loss_weight"), yes("first_stage_objectness_loss_weight"),
        yes("initial_crop_size"), yes("maxpool_kernel_size"), yes("maxpool_stride"), yes("second_stage_box_predictor"),
        yes("second_stage_batch_size"), yes("second_stage_balance_fraction"), yes("second_stage_post_processing"),
        yes("second_stage_localization_loss_weight"), yes("second_stage_classification_loss_weight"),
        yes("second_stage_classification_loss"), yes("hard_example_miner"), yes("clip_anchors_to_image"),
        same("second_stage_mask_prediction_loss_weight", FOR_MASKS), same("resize_masks", FOR_MASKS),
        same("inplace_batchnorm_update", "the running statistics are always updated with the step"),
        same("return_raw_detections_during_predict", "an extra output, which changes no other"),
        same("output_final_box_features", "an extra output, which changes no other"),
        same("output_final_box_rpn_features", "an extra output, which changes no other"),
        same("use_matmul_crop_and_resize", TPU), same("use_matmul_gather_in_matcher", TPU),
        same("use_static_balanced_label_sampler", TPU), same("use_static_shapes", TPU),
        same("use_static_shapes_for_eval", TPU),
        same("use_partitioned_nms_in_first_stage", "another way to the same proposals"),
        no("use_combined_nms_in_first_stage", "proposals are suppressed by their own rule only", ""),
        no("context_config", "Context R-CNN, which remembers other pictures, is not trained here", "remove `context_config`"),
    ] },
    Support { message: "FasterRcnnFeatureExtractor", rows: &[
        yes("type"), yes("first_stage_features_stride"), yes("batch_norm_trainable"),
        no("conv_hyperparams", FPN_ONLY, "remove `conv_hyperparams`; the network has its own"),
        no("override_base_feature_extractor_hyperparams", FPN_ONLY, ""),
        no("pad_to_multiple", FPN_ONLY, ""),
        no("fpn", "the first stage proposes regions on one feature map here", "remove `fpn`, and use faster_rcnn_resnet50_keras without a pyramid"),
    ] },
    Support { message: "FeaturePyramidNetworks", rows: &[yes("min_level"), yes("max_level"), yes("additional_layer_depth")] },
    Support { message: "ImageResizer", rows: &[
        yes("fixed_shape_resizer"), yes("keep_aspect_ratio_resizer"), yes("identity_resizer"),
        yes("conditional_shape_resizer"), yes("pad_to_multiple_resizer"),
    ] },
    Support { message: "KeepAspectRatioResizer", rows: &[
        yes("min_dimension"), yes("max_dimension"), yes("resize_method"), yes("pad_to_max_dimension"),
        yes("per_channel_pad_value"), no("convert_to_grayscale", THREE, ""),
    ] },
    Support { message: "ConditionalShapeResizer", rows: &[
        yes("condition"), yes("size_threshold"), yes("resize_method"), no("convert_to_grayscale", THREE, ""),
    ] },
    Support { message: "PadToMultipleResizer", rows: &[yes("multiple"), no("convert_to_grayscale", THREE, "")] },
    Support { message: "FixedShapeResizer", rows: &[
        yes("height"), yes("width"),
        yes("resize_method"), no("convert_to_grayscale", THREE, ""),
    ] },
    Support { message: "Hyperparams", rows: &[
        yes("op"), yes("regularizer"), yes("initializer"), yes("activation"), yes("batch_norm"),
        same("force_use_bias", "it is only read for Keras layers, which are built as the others here"),
        same("sync_batch_norm", "one device trains here, which has all of the batch: the same as batch_norm"),
        no("group_norm", "group normalisation is not built here", ""),
        no("regularize_depthwise", "depthwise weights are not regularized here, as in TFOD's MobileNets", ""),
    ] },
    Support { message: "Regularizer", rows: &[yes("l2_regularizer"), yes("l1_regularizer")] },
    Support { message: "L1Regularizer", rows: &[yes("weight")] },
    Support { message: "L2Regularizer", rows: &[yes("weight")] },
    Support { message: "Initializer", rows: &[
        yes("truncated_normal_initializer"), yes("variance_scaling_initializer"), yes("random_normal_initializer"),
        no("keras_initializer_by_name", "Keras is not here to ask", "use variance_scaling_initializer; glorot_uniform is { factor: 1 uniform: true mode: FAN_AVG }"),
    ] },
    Support { message: "TruncatedNormalInitializer", rows: &[yes("mean"), yes("stddev")] },
    Support { message: "RandomNormalInitializer", rows: &[yes("mean"), yes("stddev")] },
    Support { message: "VarianceScalingInitializer", rows: &[yes("factor"), yes("uniform"), yes("mode")] },
    Support { message: "BatchNorm", rows: &[yes("decay"), yes("center"), yes("scale"), yes("epsilon"), yes("train")] },
    Support { message: "BoxCoder", rows: &[
        yes("faster_rcnn_box_coder"),
        yes("mean_stddev_box_coder"), yes("square_box_coder"),
        no("keypoint_box_coder", KEYPOINTS, ""),
    ] },
    Support { message: "FasterRcnnBoxCoder", rows: &[yes("y_scale"), yes("x_scale"), yes("height_scale"), yes("width_scale")] },
    Support { message: "MeanStddevBoxCoder", rows: &[yes("stddev")] },
    Support { message: "SquareBoxCoder", rows: &[yes("y_scale"), yes("x_scale"), yes("length_scale")] },
    Support { message: "Matcher", rows: &[yes("argmax_matcher"), yes("bipartite_matcher")] },
    Support { message: "BipartiteMatcher", rows: &[same("use_matmul_gather", TPU)] },
    Support { message: "ArgMaxMatcher", rows: &[
        yes("matched_threshold"), yes("unmatched_threshold"), yes("ignore_thresholds"), yes("negatives_lower_than_unmatched"),
        yes("force_match_for_each_row"), same("use_matmul_gather", TPU),
    ] },
    Support { message: "RegionSimilarityCalculator", rows: &[
        yes("iou_similarity"), yes("ioa_similarity"), yes("neg_sq_dist_similarity"),
        yes("thresholded_iou_similarity"),
    ] },
    Support { message: "ThresholdedIouSimilarity", rows: &[yes("iou_threshold")] },
    Support { message: "BoxPredictor", rows: &[
        yes("convolutional_box_predictor"),
        yes("weight_shared_convolutional_box_predictor"),
        yes("mask_rcnn_box_predictor"),
        no("rfcn_box_predictor", "R-FCN is not trained here", ""),
    ] },
    Support { message: "MaskRCNNBoxPredictor", rows: &[
        yes("fc_hyperparams"), yes("use_dropout"), yes("dropout_keep_probability"), yes("box_code_size"),
        yes("share_box_across_classes"),
        no("predict_instance_masks", MASKS, ""), no("predict_keypoints", KEYPOINTS, ""),
        same("conv_hyperparams", FOR_MASKS), same("mask_prediction_conv_depth", FOR_MASKS),
        same("mask_height", FOR_MASKS), same("mask_width", FOR_MASKS), same("mask_prediction_num_conv_layers", FOR_MASKS),
        same("masks_are_class_agnostic", FOR_MASKS), same("convolve_then_upsample_masks", FOR_MASKS),
    ] },
    Support { message: "ConvolutionalBoxPredictor", rows: &[
        yes("conv_hyperparams"), yes("min_depth"), yes("max_depth"), yes("num_layers_before_predictor"), yes("use_dropout"),
        yes("dropout_keep_probability"), yes("kernel_size"), yes("box_code_size"), yes("apply_sigmoid_to_scores"),
        yes("class_prediction_bias_init"), yes("use_depthwise"), yes("box_encodings_clip_range"),
    ] },
    Support { message: "ConvolutionalBoxPredictor.BoxEncodingsClipRange", rows: &[yes("min"), yes("max")] },
    Support { message: "WeightSharedConvolutionalBoxPredictor", rows: &[
        yes("conv_hyperparams"), yes("apply_conv_hyperparams_to_heads"), yes("apply_conv_hyperparams_pointwise"),
        yes("num_layers_before_predictor"), yes("depth"), yes("kernel_size"), yes("box_code_size"), yes("class_prediction_bias_init"),
        yes("use_dropout"), yes("dropout_keep_probability"), yes("share_prediction_tower"), yes("use_depthwise"),
        yes("score_converter"), yes("box_encodings_clip_range"),
    ] },
    Support { message: "WeightSharedConvolutionalBoxPredictor.BoxEncodingsClipRange", rows: &[yes("min"), yes("max")] },
    Support { message: "AnchorGenerator", rows: &[
        yes("ssd_anchor_generator"), yes("multiscale_anchor_generator"), yes("grid_anchor_generator"), yes("flexible_grid_anchor_generator"),
    ] },
    Support { message: "MultiscaleAnchorGenerator", rows: &[
        yes("min_level"), yes("max_level"), yes("anchor_scale"), yes("aspect_ratios"), yes("scales_per_octave"), yes("normalize_coordinates"),
    ] },
    Support { message: "GridAnchorGenerator", rows: &[
        yes("height"), yes("width"), yes("height_stride"), yes("width_stride"), yes("height_offset"), yes("width_offset"),
        yes("scales"), yes("aspect_ratios"),
    ] },
    Support { message: "FlexibleGridAnchorGenerator", rows: &[yes("anchor_grid"), yes("normalize_coordinates")] },
    Support { message: "AnchorGrid", rows: &[
        yes("base_sizes"), yes("aspect_ratios"), yes("height_stride"), yes("width_stride"), yes("height_offset"), yes("width_offset"),
    ] },
    Support { message: "SsdAnchorGenerator", rows: &[
        yes("num_layers"), yes("min_scale"), yes("max_scale"), yes("scales"), yes("aspect_ratios"),
        yes("interpolated_scale_aspect_ratio"), yes("reduce_boxes_in_lowest_layer"), yes("base_anchor_height"),
        yes("base_anchor_width"), yes("height_stride"), yes("width_stride"), yes("height_offset"), yes("width_offset"),
    ] },
    Support { message: "PostProcessing", rows: &[
        yes("batch_non_max_suppression"), yes("score_converter"), yes("logit_scale"),
        yes("calibration_config"),
    ] },
    Support { message: "CalibrationConfig", rows: &[
        yes("function_approximation"), yes("class_id_function_approximations"), yes("temperature_scaling_calibration"),
        no("sigmoid_calibration", "TFOD gives it no meaning either", ""),
        no("class_id_sigmoid_calibrations", "TFOD gives it no meaning either", ""),
    ] },
    Support { message: "FunctionApproximation", rows: &[yes("x_y_pairs")] },
    Support { message: "ClassIdFunctionApproximations", rows: &[yes("class_id_xy_pairs_map")] },
    Support { message: "TemperatureScalingCalibration", rows: &[yes("scaler")] },
    Support { message: "XYPairs", rows: &[yes("x_y_pair"), same("training_data_type", "a note of how the pairs were made")] },
    Support { message: "XYPairs.XYPair", rows: &[yes("x"), yes("y")] },
    Support { message: "BatchNonMaxSuppression", rows: &[
        yes("score_threshold"), yes("iou_threshold"), yes("max_detections_per_class"), yes("max_total_detections"),
        yes("change_coordinate_frame"), yes("use_class_agnostic_nms"), yes("soft_nms_sigma"), yes("use_hard_nms"),
        same("use_static_shapes", TPU), same("use_cpu_nms", "suppression always runs on the CPU"),
        same("use_partitioned_nms", "another way to the same detections"), yes("use_combined_nms"),
        no("max_classes_per_detection", "a detection keeps its best class only", ""),
    ] },
    Support { message: "Loss", rows: &[
        yes("localization_loss"), yes("classification_loss"), yes("hard_example_miner"), yes("classification_weight"),
        yes("localization_weight"),
        same("min_num_negative_samples", "only read together with expected_loss_weights, which is refused"),
        same("desired_negative_sampling_ratio", "only read together with expected_loss_weights, which is refused"),
        yes("random_example_sampler"),
        no("equalization_loss", "it is made for data sets with very rare classes and not computed here", ""),
        no("expected_loss_weights", "anchors are not weighted by their expected share here", ""),
    ] },
    Support { message: "LocalizationLoss", rows: &[
        yes("weighted_smooth_l1"), yes("weighted_l2"),
        yes("weighted_iou"), yes("weighted_giou"),
        no("l1_localization_loss", "it belongs to CenterNet", ""),
    ] },
    Support { message: "WeightedSmoothL1LocalizationLoss", rows: &[yes("delta"), same("anchorwise_output", ANCHORWISE)] },
    Support { message: "WeightedL2LocalizationLoss", rows: &[same("anchorwise_output", ANCHORWISE)] },
    Support { message: "ClassificationLoss", rows: &[
        yes("weighted_sigmoid"), yes("weighted_sigmoid_focal"), yes("weighted_softmax"),
        no("weighted_logits_softmax", "it learns from another model's scores, which records do not hold", ""),
        yes("bootstrapped_sigmoid"),
        no("penalty_reduced_logistic_focal_loss", "it belongs to CenterNet", ""),
        no("weighted_dice_classification_loss", "it belongs to masks", ""),
    ] },
    Support { message: "WeightedSigmoidClassificationLoss", rows: &[same("anchorwise_output", ANCHORWISE)] },
    Support { message: "SigmoidFocalClassificationLoss", rows: &[yes("gamma"), yes("alpha"), same("anchorwise_output", ANCHORWISE)] },
    Support { message: "WeightedSoftmaxClassificationLoss", rows: &[yes("logit_scale"), same("anchorwise_output", ANCHORWISE)] },
    Support { message: "BootstrappedSigmoidClassificationLoss", rows: &[yes("alpha"), yes("hard_bootstrap"), same("anchorwise_output", ANCHORWISE)] },
    Support { message: "RandomExampleSampler", rows: &[yes("positive_sample_fraction")] },
    Support { message: "HardExampleMiner", rows: &[
        yes("num_hard_examples"), yes("iou_threshold"), yes("loss_type"), yes("max_negatives_per_positive"), yes("min_negatives_per_image"),
    ] },

    // Training.
    Support { message: "TrainConfig", rows: &[
        yes("batch_size"), yes("data_augmentation_options"), yes("optimizer"), yes("gradient_clipping_by_norm"),
        yes("fine_tune_checkpoint"), yes("fine_tune_checkpoint_type"), yes("from_detection_checkpoint"),
        yes("load_all_detection_checkpoint_vars"), yes("num_steps"), yes("add_regularization_loss"), yes("max_number_of_boxes"),
        yes("keep_checkpoint_every_n_hours"),
        same("fine_tune_checkpoint_version", "the file itself says which version it is"),
        same("run_fine_tune_checkpoint_dummy_computation", "weights always exist before they are loaded"),
        same("startup_delay_steps", "it delays further workers, and there is one"),
        same("batch_queue_capacity", QUEUE), same("num_batch_queue_threads", QUEUE), same("prefetch_queue_capacity", QUEUE),
        same("unpad_groundtruth_tensors", TPU), same("retain_original_images", "originals can always be read from the records"),
        near("sync_replicas", "one device trains; there is nothing to synchronize"),
        near("replicas_to_aggregate", "one device takes the whole batch_size in each step"),
        near("use_bfloat16", "all is computed in 32-bit floats, which is slower and more exact; `boxwright train --precision f16` is the choice"),
        near("summarize_gradients", "gradients are not written to the metrics"),
        yes("freeze_variables"), yes("update_trainable_variables"), yes("bias_grad_multiplier"),
        no("merge_multiple_label_boxes", "a box has one class here", ""),
        no("use_multiclass_scores", "scores of several classes are not read from the records", ""),
    ] },
    Support { message: "PreprocessingStep", rows: &[
        yes("normalize_image"), yes("random_horizontal_flip"), yes("random_pixel_value_scale"),
        yes("random_image_scale"), yes("random_rgb_to_gray"), yes("random_adjust_brightness"),
        yes("random_adjust_contrast"), yes("random_adjust_hue"), yes("random_adjust_saturation"),
        yes("random_distort_color"), yes("random_jitter_boxes"), yes("random_crop_image"), yes("random_pad_image"),
        yes("random_crop_pad_image"), yes("random_crop_to_aspect_ratio"), yes("random_black_patches"),
        yes("random_resize_method"), yes("resize_image"), yes("subtract_channel_mean"), yes("ssd_random_crop"),
        yes("ssd_random_crop_pad"), yes("ssd_random_crop_fixed_aspect_ratio"),
        yes("ssd_random_crop_pad_fixed_aspect_ratio"), yes("random_vertical_flip"), yes("random_rotation90"),
        yes("random_absolute_pad_image"), yes("random_self_concat_image"), yes("drop_label_probabilistically"),
        yes("remap_labels"), yes("random_jpeg_quality"), yes("random_downscale_to_target_pixels"),
        yes("random_patch_gaussian"), yes("random_square_crop_by_scale"), yes("random_scale_crop_and_pad_to_square"),
        yes("adjust_gamma"),
        no("rgb_to_gray", "networks take three channels here", "use random_rgb_to_gray { probability: 1 }"),
        no("scale_boxes_to_pixel_coordinates", "boxes are fractions of the picture from reading to loss", "remove the step"),
        no("convert_class_logits_to_softmax", "records hold no class logits here", "remove the step"),
        no("autoaugment_image", "its learned policies are not here", "use random_distort_color, random_rotation90 and the random crops"),
    ] },
    Support { message: "NormalizeImage", rows: &[
        yes("original_minval"), yes("original_maxval"), yes("target_minval"), yes("target_maxval"),
    ] },
    Support { message: "RandomHorizontalFlip", rows: &[
        same("keypoint_flip_permutation", "there are no keypoints to move"), yes("probability"),
    ] },
    Support { message: "RandomVerticalFlip", rows: &[
        same("keypoint_flip_permutation", "there are no keypoints to move"), yes("probability"),
    ] },
    Support { message: "RandomRotation90", rows: &[
        same("keypoint_rot_permutation", "there are no keypoints to move"), yes("probability"),
    ] },
    Support { message: "RandomPixelValueScale", rows: &[yes("minval"), yes("maxval")] },
    Support { message: "RandomImageScale", rows: &[yes("min_scale_ratio"), yes("max_scale_ratio")] },
    Support { message: "RandomRGBtoGray", rows: &[yes("probability")] },
    Support { message: "RandomAdjustBrightness", rows: &[yes("max_delta")] },
    Support { message: "RandomAdjustContrast", rows: &[yes("min_delta"), yes("max_delta")] },
    Support { message: "RandomAdjustHue", rows: &[yes("max_delta")] },
    Support { message: "RandomAdjustSaturation", rows: &[yes("min_delta"), yes("max_delta")] },
    Support { message: "RandomDistortColor", rows: &[yes("color_ordering")] },
    Support { message: "RandomJitterBoxes", rows: &[yes("ratio"), yes("jitter_mode")] },
    Support { message: "RandomCropImage", rows: &[
        yes("min_object_covered"), yes("min_aspect_ratio"), yes("max_aspect_ratio"), yes("min_area"), yes("max_area"),
        yes("overlap_thresh"), yes("clip_boxes"), yes("random_coef"),
    ] },
    Support { message: "RandomPadImage", rows: &[
        yes("min_image_height"), yes("min_image_width"), yes("max_image_height"), yes("max_image_width"),
        yes("pad_color"),
    ] },
    Support { message: "RandomAbsolutePadImage", rows: &[
        yes("max_height_padding"), yes("max_width_padding"), yes("pad_color"),
    ] },
    Support { message: "RandomCropPadImage", rows: &[
        yes("min_object_covered"), yes("min_aspect_ratio"), yes("max_aspect_ratio"), yes("min_area"), yes("max_area"),
        yes("overlap_thresh"), yes("clip_boxes"), yes("random_coef"), yes("min_padded_size_ratio"),
        yes("max_padded_size_ratio"), yes("pad_color"),
    ] },
    Support { message: "RandomCropToAspectRatio", rows: &[yes("aspect_ratio"), yes("overlap_thresh"), yes("clip_boxes")] },
    Support { message: "RandomBlackPatches", rows: &[
        yes("max_black_patches"), yes("probability"), yes("size_to_image_ratio"),
    ] },
    Support { message: "RandomResizeMethod", rows: &[yes("target_height"), yes("target_width")] },
    Support { message: "ResizeImage", rows: &[yes("new_height"), yes("new_width"), yes("method")] },
    Support { message: "SubtractChannelMean", rows: &[yes("means")] },
    Support { message: "SSDRandomCropOperation", rows: &[
        yes("min_object_covered"), yes("min_aspect_ratio"), yes("max_aspect_ratio"), yes("min_area"), yes("max_area"),
        yes("overlap_thresh"), yes("clip_boxes"), yes("random_coef"),
    ] },
    Support { message: "SSDRandomCrop", rows: &[yes("operations")] },
    Support { message: "SSDRandomCropPadOperation", rows: &[
        yes("min_object_covered"), yes("min_aspect_ratio"), yes("max_aspect_ratio"), yes("min_area"), yes("max_area"),
        yes("overlap_thresh"), yes("clip_boxes"), yes("random_coef"), yes("min_padded_size_ratio"),
        yes("max_padded_size_ratio"), yes("pad_color_r"), yes("pad_color_g"), yes("pad_color_b"),
    ] },
    Support { message: "SSDRandomCropPad", rows: &[yes("operations")] },
    Support { message: "SSDRandomCropFixedAspectRatioOperation", rows: &[
        yes("min_object_covered"), yes("min_area"), yes("max_area"), yes("overlap_thresh"), yes("clip_boxes"),
        yes("random_coef"),
    ] },
    Support { message: "SSDRandomCropFixedAspectRatio", rows: &[yes("operations"), yes("aspect_ratio")] },
    Support { message: "SSDRandomCropPadFixedAspectRatioOperation", rows: &[
        yes("min_object_covered"), yes("min_aspect_ratio"), yes("max_aspect_ratio"), yes("min_area"), yes("max_area"),
        yes("overlap_thresh"), yes("clip_boxes"), yes("random_coef"),
    ] },
    Support { message: "SSDRandomCropPadFixedAspectRatio", rows: &[
        yes("operations"), yes("aspect_ratio"), yes("min_padded_size_ratio"), yes("max_padded_size_ratio"),
    ] },
    Support { message: "RandomSelfConcatImage", rows: &[
        yes("concat_vertical_probability"), yes("concat_horizontal_probability"),
    ] },
    Support { message: "DropLabelProbabilistically", rows: &[yes("label"), yes("drop_probability")] },
    Support { message: "RemapLabels", rows: &[yes("original_labels"), yes("new_label")] },
    Support { message: "RandomJpegQuality", rows: &[yes("random_coef"), yes("min_jpeg_quality"), yes("max_jpeg_quality")] },
    Support { message: "RandomDownscaleToTargetPixels", rows: &[
        yes("random_coef"), yes("min_target_pixels"), yes("max_target_pixels"),
    ] },
    Support { message: "RandomPatchGaussian", rows: &[
        yes("random_coef"), yes("min_patch_size"), yes("max_patch_size"), yes("min_gaussian_stddev"),
        yes("max_gaussian_stddev"),
    ] },
    Support { message: "RandomSquareCropByScale", rows: &[
        yes("max_border"), yes("scale_min"), yes("scale_max"), yes("num_scales"),
    ] },
    Support { message: "RandomScaleCropAndPadToSquare", rows: &[yes("output_size"), yes("scale_min"), yes("scale_max")] },
    Support { message: "AdjustGamma", rows: &[yes("gamma"), yes("gain")] },
    Support { message: "Optimizer", rows: &[
        yes("rms_prop_optimizer"), yes("momentum_optimizer"), yes("adam_optimizer"), yes("use_moving_average"), yes("moving_average_decay"),
    ] },
    Support { message: "RMSPropOptimizer", rows: &[yes("learning_rate"), yes("momentum_optimizer_value"), yes("decay"), yes("epsilon")] },
    Support { message: "MomentumOptimizer", rows: &[yes("learning_rate"), yes("momentum_optimizer_value")] },
    Support { message: "AdamOptimizer", rows: &[yes("learning_rate"), yes("epsilon")] },
    Support { message: "LearningRate", rows: &[
        yes("constant_learning_rate"), yes("exponential_decay_learning_rate"), yes("manual_step_learning_rate"), yes("cosine_decay_learning_rate"),
    ] },
    Support { message: "ConstantLearningRate", rows: &[yes("learning_rate")] },
    Support { message: "ExponentialDecayLearningRate", rows: &[
        yes("initial_learning_rate"), yes("decay_steps"), yes("decay_factor"), yes("staircase"), yes("burnin_learning_rate"),
        yes("burnin_steps"), yes("min_learning_rate"),
    ] },
    Support { message: "ManualStepLearningRate", rows: &[yes("initial_learning_rate"), yes("schedule"), yes("warmup")] },
    Support { message: "ManualStepLearningRate.LearningRateSchedule", rows: &[yes("step"), yes("learning_rate")] },
    Support { message: "CosineDecayLearningRate", rows: &[
        yes("learning_rate_base"), yes("total_steps"), yes("warmup_learning_rate"), yes("warmup_steps"), yes("hold_base_rate_steps"),
    ] },

    // Data and evaluation.
    Support { message: "InputReader", rows: &[
        yes("label_map_path"), yes("shuffle"), yes("tf_record_input_reader"), yes("input_type"),
        same("name", "only a name for people"), same("include_source_id", "pictures are told apart by themselves"),
        same("num_readers", QUEUE), same("num_parallel_batches", QUEUE), same("num_prefetch_batches", QUEUE),
        same("queue_capacity", QUEUE), same("min_after_dequeue", QUEUE), same("read_block_length", QUEUE),
        same("prefetch_size", QUEUE), same("num_parallel_map_calls", QUEUE), same("drop_remainder", "training batches are always full"),
        near("shuffle_buffer_size", "all examples are shuffled together, not only those of a buffer"),
        near("filenames_shuffle_buffer_size", "all examples are shuffled together, whatever file they are in"),
        near("num_epochs", "num_steps says how long a training reads; an evaluation reads everything once"),
        near("use_display_name", "classes are found by display name first and by name next"),
        near("max_number_of_boxes", "the limit of train_config counts"),
        near("num_keypoints", KEYPOINTS), near("keypoint_type_weight", KEYPOINTS),
        near("load_context_features", "context features in the records are not read"),
        near("load_context_image_ids", "context features in the records are not read"),
        near("load_instance_masks", MASKS), near("mask_type", MASKS), near("load_dense_pose", "dense poses are not trained here"),
        near("load_track_id", "tracks are not trained here"), near("load_keypoint_depth_features", KEYPOINTS),
        near("frame_index", "it is only read for sequences of images, which are refused"),
        no("external_input_reader", "data is read from TFRecords only", ""),
        no("sample_1_of_n_examples", "all examples are read", ""),
        no("num_additional_channels", "pictures have three channels here", ""),
        no("load_multiclass_scores", "scores of several classes are not read from the records", ""),
        no("expand_labels_hierarchy", "the label map's hierarchy is not expanded here", ""),
        no("sample_from_datasets_weights", "all examples are drawn equally often", ""),
    ] },
    Support { message: "TFRecordInputReader", rows: &[yes("input_path")] },
    Support { message: "EvalConfig", rows: &[
        yes("metrics_set"), yes("include_metrics_per_category"), yes("all_metrics_per_category"), yes("use_moving_averages"),
        same("batch_size", "no number depends on how many images are evaluated at once"),
        same("use_dummy_loss_in_eval", "evaluation computes detections"),
        near("num_examples", "all examples are evaluated"), near("max_evals", "each checkpoint is evaluated when it is written"),
        near("eval_interval_secs", "each checkpoint is evaluated when it is written"), near("save_graph", "there is no graph to save"),
        near("eval_master", "evaluation runs in the same process"), near("export_path", "detections are written into the run's folder"),
        yes("num_visualizations"), near("visualization_export_dir", DRAWING), yes("min_score_threshold"),
        yes("max_num_boxes_to_visualize"), yes("skip_scores"), yes("skip_labels"),
        near("visualize_groundtruth_boxes", DRAWING), near("groundtruth_box_visualization_color", DRAWING),
        near("keep_image_id_for_visualization_export", DRAWING), near("retain_original_images", DRAWING),
        near("retain_original_image_additional_channels", DRAWING), near("keypoint_edge", KEYPOINTS),
        no("parameterized_metric", KEYPOINTS, ""), no("eval_instance_masks", MASKS, ""),
        no("ignore_groundtruth", "without boxes to compare with there is nothing to measure", ""),
        no("super_categories", "classes are not grouped here", ""),
        no("recall_lower_bound", "precision is measured over the whole recall", ""),
        no("recall_upper_bound", "precision is measured over the whole recall", ""),
        no("force_no_resize", "images are evaluated at the size that they are trained at", ""),
        no("skip_predictions_for_unlabeled_class", "all predictions count", ""),
    ] },
];

#[rustfmt::skip]
pub(super) const CHOICES: &[Choices] = &[
    Choices { message: "SsdFeatureExtractor", field: "type", honoured: &[
        "ssd_mobilenet_v1", "ssd_mobilenet_v2", "ssd_mobilenet_v1_fpn", "ssd_mobilenet_v2_fpn", "ssd_mobilenet_v1_keras",
        "ssd_mobilenet_v2_keras", "ssd_mobilenet_v1_fpn_keras", "ssd_mobilenet_v2_fpn_keras", "ssd_resnet50_v1_fpn",
        "ssd_resnet101_v1_fpn", "ssd_resnet152_v1_fpn", "ssd_resnet50_v1_fpn_keras", "ssd_resnet101_v1_fpn_keras",
        "ssd_resnet152_v1_fpn_keras", "ssd_mobilenet_v3_large", "ssd_mobilenet_v3_small", "ssd_mobiledet_cpu",
        "ssd_mobiledet_dsp", "ssd_mobiledet_edgetpu", "ssd_mobiledet_gpu", "ssd_inception_v2", "ssd_vgg16_reduced",
    ] },
    Choices { message: "FasterRcnnFeatureExtractor", field: "type", honoured: &[
        "faster_rcnn_resnet50", "faster_rcnn_resnet101", "faster_rcnn_resnet152", "faster_rcnn_resnet50_keras",
        "faster_rcnn_resnet101_keras", "faster_rcnn_resnet152_keras", "faster_rcnn_inception_v2",
    ] },
    Choices { message: "Hyperparams", field: "activation", honoured: &["NONE", "RELU", "RELU_6"] },
    Choices { message: "InputReader", field: "input_type", honoured: &["INPUT_DEFAULT", "TF_EXAMPLE"] },
    Choices { message: "TrainConfig", field: "fine_tune_checkpoint_type", honoured: &["", "detection", "classification", "full"] },
];

/// Networks that TFOD has and names in `feature_extractor.type`, so that a misspelt name can be told
/// from one that is only not built here.
#[rustfmt::skip]
pub(super) const KNOWN_TYPES: &[&str] = &[
    "ssd_inception_v2", "ssd_inception_v3", "ssd_mobilenet_v1", "ssd_mobilenet_v1_fpn", "ssd_mobilenet_v1_ppn",
    "ssd_mobilenet_v2", "ssd_mobilenet_v2_fpn", "ssd_mobilenet_v2_mnasfpn", "ssd_mobilenet_v3_large",
    "ssd_mobilenet_v3_small", "ssd_mobilenet_edgetpu", "ssd_mobiledet_cpu", "ssd_mobiledet_dsp", "ssd_mobiledet_edgetpu", "ssd_mobiledet_gpu",
    "ssd_resnet50_v1_fpn", "ssd_resnet101_v1_fpn", "ssd_resnet152_v1_fpn", "ssd_resnet50_v1_ppn", "ssd_resnet101_v1_ppn",
    "ssd_resnet152_v1_ppn", "ssd_pnasnet", "ssd_spaghettinet", "embedded_ssd_mobilenet_v1", "ssd_mobilenet_v1_keras",
    "ssd_mobilenet_v1_fpn_keras", "ssd_mobilenet_v2_keras", "ssd_mobilenet_v2_fpn_keras", "ssd_resnet50_v1_fpn_keras",
    "ssd_resnet101_v1_fpn_keras", "ssd_resnet152_v1_fpn_keras", "ssd_efficientnet-b0_bifpn_keras",
    "ssd_efficientnet-b1_bifpn_keras", "ssd_efficientnet-b2_bifpn_keras", "ssd_efficientnet-b3_bifpn_keras",
    "ssd_efficientnet-b4_bifpn_keras", "ssd_efficientnet-b5_bifpn_keras", "ssd_efficientnet-b6_bifpn_keras",
    "ssd_efficientnet-b7_bifpn_keras", "faster_rcnn_nas", "faster_rcnn_pnas", "faster_rcnn_inception_resnet_v2",
    "faster_rcnn_inception_v2", "faster_rcnn_resnet50", "faster_rcnn_resnet101", "faster_rcnn_resnet152",
    "faster_rcnn_mobilenet_v1", "faster_rcnn_resnet50_keras", "faster_rcnn_resnet101_keras",
    "faster_rcnn_resnet152_keras", "faster_rcnn_inception_resnet_v2_keras", "faster_rcnn_resnet50_fpn_keras",
    "faster_rcnn_resnet101_fpn_keras", "faster_rcnn_resnet152_fpn_keras",
];

/// Blocks without which nothing can be built. One below a choice (`convolutional_box_predictor`) is
/// only asked for where that choice was made.
pub(super) const REQUIRED: &[&str] = &[
    "model",
    "model.ssd.image_resizer",
    "model.ssd.feature_extractor.conv_hyperparams",
    "model.ssd.box_coder",
    "model.ssd.matcher",
    "model.ssd.similarity_calculator",
    "model.ssd.box_predictor",
    "model.ssd.box_predictor.convolutional_box_predictor.conv_hyperparams",
    "model.ssd.box_predictor.weight_shared_convolutional_box_predictor.conv_hyperparams",
    "model.ssd.anchor_generator",
    "model.ssd.post_processing.batch_non_max_suppression",
    "model.ssd.loss.localization_loss",
    "model.ssd.loss.classification_loss",
    "model.faster_rcnn.image_resizer",
    "model.faster_rcnn.feature_extractor",
    "model.faster_rcnn.first_stage_anchor_generator",
    "model.faster_rcnn.first_stage_box_predictor_conv_hyperparams",
    "train_config.optimizer",
    "train_input_reader",
];
