//! Values that no training can work with, message by message: one line a field. They are checked
//! wherever a message stands, whether or not the model in it is trained here.

use prost_reflect::{DynamicMessage, FieldDescriptor, ReflectMessage, Value};

use super::Findings;
use crate::text_format;

/// The least number above 0 that a config is taken to mean.
const ABOVE_0: f64 = f64::MIN_POSITIVE;
/// The largest number below 1.
const BELOW_1: f64 = 1.0 - 1e-7;
const ANY: f64 = 1e30;
const SIDE: f64 = 8192.0;
const LARGE: f64 = 1e6;

/// The values that a field may have, both ends included, and what people usually write.
struct Range(&'static str, &'static str, f64, f64, &'static str);

/// Two fields of a message of which the first may not exceed the second.
struct Order(&'static str, &'static str, &'static str);

/// How many values a repeated field may have.
struct Length(&'static str, &'static str, &'static [usize], &'static str);

const RATE: &str = "a small number above 0, like 0.004";
const SHARE: &str = "a share between 0 and 1";
const CHANCE: &str = "a probability between 0 and 1, like 0.5";
const WEIGHT: &str = "1.0";

#[rustfmt::skip]
const RANGES: &[Range] = &[
    // Models. A field that has to be given has a default outside its range.
    Range("Ssd", "num_classes", 1.0, 100_000.0, "the number of classes in the label map"),
    Range("Ssd", "negative_class_weight", 0.0, LARGE, WEIGHT),
    Range("Ssd.MaskHead", "mask_height", 1.0, 1024.0, "15"),
    Range("Ssd.MaskHead", "mask_width", 1.0, 1024.0, "15"),
    Range("SsdFeatureExtractor", "depth_multiplier", 0.001, 8.0, "0.25, 0.5, 0.75 or 1.0"),
    Range("SsdFeatureExtractor", "min_depth", 0.0, 4096.0, "16"),
    Range("SsdFeatureExtractor", "pad_to_multiple", 1.0, 1024.0, "1"),
    Range("SsdFeatureExtractor", "num_layers", 1.0, 12.0, "6"),
    Range("FasterRcnn", "number_of_stages", 1.0, 3.0, "2"),
    Range("FasterRcnn", "num_classes", 1.0, 100_000.0, "the number of classes in the label map"),
    Range("FasterRcnn", "first_stage_atrous_rate", 1.0, 64.0, "1"),
    Range("FasterRcnn", "first_stage_box_predictor_kernel_size", 1.0, 15.0, "3"),
    Range("FasterRcnn", "first_stage_box_predictor_depth", 1.0, 16384.0, "512"),
    Range("FasterRcnn", "first_stage_minibatch_size", 1.0, LARGE, "256"),
    Range("FasterRcnn", "first_stage_positive_balance_fraction", ABOVE_0, 1.0, "0.5"),
    Range("FasterRcnn", "first_stage_nms_score_threshold", -ANY, BELOW_1, "0.0"),
    Range("FasterRcnn", "first_stage_nms_iou_threshold", 0.0, 1.0, "0.7"),
    Range("FasterRcnn", "first_stage_max_proposals", 1.0, 100_000.0, "300"),
    Range("FasterRcnn", "first_stage_localization_loss_weight", 0.0, LARGE, "2.0"),
    Range("FasterRcnn", "first_stage_objectness_loss_weight", 0.0, LARGE, WEIGHT),
    Range("FasterRcnn", "second_stage_batch_size", 1.0, LARGE, "64"),
    Range("FasterRcnn", "second_stage_balance_fraction", ABOVE_0, 1.0, "0.25"),
    Range("FasterRcnn", "second_stage_localization_loss_weight", 0.0, LARGE, "2.0"),
    Range("FasterRcnn", "second_stage_classification_loss_weight", 0.0, LARGE, WEIGHT),
    Range("FasterRcnn", "second_stage_mask_prediction_loss_weight", 0.0, LARGE, WEIGHT),
    Range("FasterRcnnFeatureExtractor", "first_stage_features_stride", 8.0, 16.0, "16"),
    Range("FasterRcnnFeatureExtractor", "pad_to_multiple", 1.0, 1024.0, "32"),
    Range("FeaturePyramidNetworks", "min_level", 1.0, 12.0, "3"),
    Range("FeaturePyramidNetworks", "max_level", 1.0, 12.0, "7"),
    Range("FeaturePyramidNetworks", "additional_layer_depth", 1.0, 4096.0, "256"),
    Range("BidirectionalFeaturePyramidNetworks", "min_level", 1.0, 12.0, "3"),
    Range("BidirectionalFeaturePyramidNetworks", "max_level", 1.0, 12.0, "7"),
    Range("BidirectionalFeaturePyramidNetworks", "num_iterations", 1.0, 32.0, "3"),
    Range("BidirectionalFeaturePyramidNetworks", "num_filters", 1.0, 4096.0, "64"),
    Range("CenterNet", "num_classes", 1.0, 100_000.0, "the number of classes in the label map"),

    // Image sizes.
    Range("FixedShapeResizer", "height", 1.0, SIDE, "300"),
    Range("FixedShapeResizer", "width", 1.0, SIDE, "300"),
    Range("KeepAspectRatioResizer", "min_dimension", 1.0, SIDE, "600"),
    Range("KeepAspectRatioResizer", "max_dimension", 1.0, SIDE, "1024"),
    Range("ConditionalShapeResizer", "size_threshold", 1.0, SIDE, "300"),
    Range("ConditionalShapeResizer", "condition", 1.0, 2.0, "GREATER or SMALLER"),
    Range("PadToMultipleResizer", "multiple", 1.0, SIDE, "32"),

    // Layers.
    Range("TruncatedNormalInitializer", "mean", -LARGE, LARGE, "0.0"),
    Range("TruncatedNormalInitializer", "stddev", ABOVE_0, LARGE, "0.03"),
    Range("RandomNormalInitializer", "mean", -LARGE, LARGE, "0.0"),
    Range("RandomNormalInitializer", "stddev", ABOVE_0, LARGE, "0.01"),
    Range("VarianceScalingInitializer", "factor", ABOVE_0, LARGE, "1.0 or 2.0"),
    Range("L1Regularizer", "weight", 0.0, LARGE, "4e-05"),
    Range("L2Regularizer", "weight", 0.0, LARGE, "4e-05"),
    Range("BatchNorm", "decay", 0.0, 1.0, "0.97 to 0.9997"),
    Range("BatchNorm", "epsilon", ABOVE_0, 1.0, "0.001"),

    // Anchors, codes, matching.
    Range("SsdAnchorGenerator", "num_layers", 1.0, 64.0, "6"),
    Range("SsdAnchorGenerator", "min_scale", ABOVE_0, 100.0, "0.2"),
    Range("SsdAnchorGenerator", "max_scale", ABOVE_0, 100.0, "0.95"),
    Range("SsdAnchorGenerator", "scales", ABOVE_0, 100.0, "one from 0.05 to 1 for each layer"),
    Range("SsdAnchorGenerator", "aspect_ratios", ABOVE_0, 1000.0, "1.0, 2.0, 0.5, 3.0 and 0.3333"),
    Range("SsdAnchorGenerator", "interpolated_scale_aspect_ratio", 0.0, 1000.0, "1.0"),
    Range("SsdAnchorGenerator", "base_anchor_height", ABOVE_0, 1000.0, "1.0"),
    Range("SsdAnchorGenerator", "base_anchor_width", ABOVE_0, 1000.0, "1.0"),
    Range("SsdAnchorGenerator", "height_stride", 1.0, SIDE, "the pixels between two rows"),
    Range("SsdAnchorGenerator", "width_stride", 1.0, SIDE, "the pixels between two columns"),
    Range("GridAnchorGenerator", "height", 1.0, SIDE, "256"),
    Range("GridAnchorGenerator", "width", 1.0, SIDE, "256"),
    Range("GridAnchorGenerator", "height_stride", 1.0, SIDE, "16"),
    Range("GridAnchorGenerator", "width_stride", 1.0, SIDE, "16"),
    Range("GridAnchorGenerator", "scales", ABOVE_0, 1000.0, "0.25, 0.5, 1.0 and 2.0"),
    Range("GridAnchorGenerator", "aspect_ratios", ABOVE_0, 1000.0, "0.5, 1.0 and 2.0"),
    Range("MultiscaleAnchorGenerator", "min_level", 0.0, 12.0, "3"),
    Range("MultiscaleAnchorGenerator", "max_level", 0.0, 12.0, "7"),
    Range("MultiscaleAnchorGenerator", "anchor_scale", ABOVE_0, 1000.0, "4.0"),
    Range("MultiscaleAnchorGenerator", "aspect_ratios", ABOVE_0, 1000.0, "1.0, 2.0 and 0.5"),
    Range("MultiscaleAnchorGenerator", "scales_per_octave", 1.0, 16.0, "2"),
    Range("AnchorGrid", "base_sizes", ABOVE_0, SIDE, "the side of an anchor in pixels"),
    Range("AnchorGrid", "aspect_ratios", ABOVE_0, 1000.0, "1.0, 2.0 and 0.5"),
    Range("FasterRcnnBoxCoder", "y_scale", ABOVE_0, LARGE, "10.0"),
    Range("FasterRcnnBoxCoder", "x_scale", ABOVE_0, LARGE, "10.0"),
    Range("FasterRcnnBoxCoder", "height_scale", ABOVE_0, LARGE, "5.0"),
    Range("FasterRcnnBoxCoder", "width_scale", ABOVE_0, LARGE, "5.0"),
    Range("KeypointBoxCoder", "num_keypoints", 0.0, 1000.0, "the number of keypoints"),
    Range("KeypointBoxCoder", "y_scale", ABOVE_0, LARGE, "10.0"),
    Range("KeypointBoxCoder", "x_scale", ABOVE_0, LARGE, "10.0"),
    Range("KeypointBoxCoder", "height_scale", ABOVE_0, LARGE, "5.0"),
    Range("KeypointBoxCoder", "width_scale", ABOVE_0, LARGE, "5.0"),
    Range("SquareBoxCoder", "y_scale", ABOVE_0, LARGE, "10.0"),
    Range("SquareBoxCoder", "x_scale", ABOVE_0, LARGE, "10.0"),
    Range("SquareBoxCoder", "length_scale", ABOVE_0, LARGE, "5.0"),
    Range("MeanStddevBoxCoder", "stddev", ABOVE_0, LARGE, "0.01"),
    Range("ThresholdedIouSimilarity", "iou_threshold", 0.0, 1.0, "0.5"),

    // Heads.
    Range("ConvolutionalBoxPredictor", "min_depth", 0.0, 4096.0, "0"),
    Range("ConvolutionalBoxPredictor", "max_depth", 0.0, 4096.0, "0"),
    Range("ConvolutionalBoxPredictor", "num_layers_before_predictor", 0.0, 16.0, "0"),
    Range("ConvolutionalBoxPredictor", "dropout_keep_probability", ABOVE_0, 1.0, "0.8"),
    Range("ConvolutionalBoxPredictor", "kernel_size", 1.0, 15.0, "1 or 3"),
    Range("ConvolutionalBoxPredictor", "box_code_size", 3.0, 4.0, "4"),
    Range("ConvolutionalBoxPredictor", "class_prediction_bias_init", -LARGE, LARGE, "0.0 or -4.6"),
    Range("WeightSharedConvolutionalBoxPredictor", "num_layers_before_predictor", 0.0, 16.0, "4"),
    Range("WeightSharedConvolutionalBoxPredictor", "depth", 0.0, 4096.0, "256"),
    Range("WeightSharedConvolutionalBoxPredictor", "kernel_size", 1.0, 15.0, "3"),
    Range("WeightSharedConvolutionalBoxPredictor", "box_code_size", 3.0, 4.0, "4"),
    Range("WeightSharedConvolutionalBoxPredictor", "class_prediction_bias_init", -LARGE, LARGE, "-4.6"),
    Range("WeightSharedConvolutionalBoxPredictor", "dropout_keep_probability", ABOVE_0, 1.0, "0.8"),
    Range("MaskRCNNBoxPredictor", "dropout_keep_probability", ABOVE_0, 1.0, "1.0"),
    Range("MaskRCNNBoxPredictor", "box_code_size", 4.0, 4.0, "4"),
    Range("MaskRCNNBoxPredictor", "mask_height", 1.0, 1024.0, "15"),
    Range("MaskRCNNBoxPredictor", "mask_width", 1.0, 1024.0, "15"),
    Range("RfcnBoxPredictor", "num_spatial_bins_height", 1.0, 64.0, "3"),
    Range("RfcnBoxPredictor", "num_spatial_bins_width", 1.0, 64.0, "3"),
    Range("RfcnBoxPredictor", "depth", 1.0, 16384.0, "1024"),
    Range("RfcnBoxPredictor", "box_code_size", 4.0, 4.0, "4"),
    Range("RfcnBoxPredictor", "crop_height", 1.0, 1024.0, "12"),
    Range("RfcnBoxPredictor", "crop_width", 1.0, 1024.0, "12"),

    // Losses.
    Range("Loss", "classification_weight", 0.0, LARGE, WEIGHT),
    Range("Loss", "localization_weight", 0.0, LARGE, WEIGHT),
    Range("Loss.EqualizationLoss", "weight", 0.0, LARGE, "0.0"),
    Range("WeightedSmoothL1LocalizationLoss", "delta", ABOVE_0, LARGE, "1.0"),
    Range("SigmoidFocalClassificationLoss", "gamma", 0.0, 100.0, "2.0"),
    Range("SigmoidFocalClassificationLoss", "alpha", 0.0, 1.0, "0.25 or 0.75"),
    Range("WeightedSoftmaxClassificationLoss", "logit_scale", 1e-6, LARGE, "1.0"),
    Range("WeightedSoftmaxClassificationAgainstLogitsLoss", "logit_scale", 1e-6, LARGE, "1.0"),
    Range("BootstrappedSigmoidClassificationLoss", "alpha", 0.0, 1.0, "0.95"),
    Range("HardExampleMiner", "iou_threshold", 0.0, 1.0, "0.99"),
    Range("RandomExampleSampler", "positive_sample_fraction", ABOVE_0, 1.0, "0.01"),

    // From scores to detections.
    Range("PostProcessing", "logit_scale", 1e-6, LARGE, "1.0"),
    Range("BatchNonMaxSuppression", "score_threshold", -ANY, BELOW_1, "1e-8"),
    Range("BatchNonMaxSuppression", "iou_threshold", 0.0, 1.0, "0.6"),
    Range("BatchNonMaxSuppression", "max_detections_per_class", 1.0, 100_000.0, "100"),
    Range("BatchNonMaxSuppression", "max_total_detections", 1.0, 100_000.0, "100"),
    Range("BatchNonMaxSuppression", "max_classes_per_detection", 1.0, 100_000.0, "1"),
    Range("BatchNonMaxSuppression", "soft_nms_sigma", 0.0, LARGE, "0.0 for none, or 0.5"),

    // Training.
    Range("TrainConfig", "batch_size", 1.0, 65_536.0, "8, or what the memory holds"),
    Range("TrainConfig", "gradient_clipping_by_norm", 0.0, ANY, "0 for none, or 10"),
    Range("TrainConfig", "max_number_of_boxes", 1.0, LARGE, "100"),
    Range("TrainConfig", "bias_grad_multiplier", 0.0, LARGE, "0"),
    Range("TrainConfig", "keep_checkpoint_every_n_hours", ABOVE_0, ANY, "10000"),
    Range("TrainConfig", "replicas_to_aggregate", 1.0, LARGE, "1"),
    Range("Optimizer", "moving_average_decay", 0.0, BELOW_1, "0.9999"),
    Range("MomentumOptimizer", "momentum_optimizer_value", 0.0, BELOW_1, "0.9"),
    Range("RMSPropOptimizer", "momentum_optimizer_value", 0.0, BELOW_1, "0.9"),
    Range("RMSPropOptimizer", "decay", 0.0, BELOW_1, "0.9"),
    Range("RMSPropOptimizer", "epsilon", 0.0, LARGE, "1.0"),
    Range("AdamOptimizer", "epsilon", ABOVE_0, LARGE, "1e-8"),
    Range("ConstantLearningRate", "learning_rate", ABOVE_0, 10.0, RATE),
    Range("ExponentialDecayLearningRate", "initial_learning_rate", ABOVE_0, 10.0, RATE),
    Range("ExponentialDecayLearningRate", "decay_steps", 1.0, ANY, "the steps between two decays"),
    Range("ExponentialDecayLearningRate", "decay_factor", ABOVE_0, 1.0, "0.95"),
    Range("ExponentialDecayLearningRate", "burnin_learning_rate", 0.0, 10.0, "0 for none"),
    Range("ExponentialDecayLearningRate", "min_learning_rate", 0.0, 10.0, "0 for none"),
    Range("ManualStepLearningRate", "initial_learning_rate", 0.0, 10.0, RATE),
    Range("ManualStepLearningRate.LearningRateSchedule", "learning_rate", 0.0, 10.0, RATE),
    Range("CosineDecayLearningRate", "learning_rate_base", ABOVE_0, 10.0, RATE),
    Range("CosineDecayLearningRate", "warmup_learning_rate", 0.0, 10.0, "a tenth of learning_rate_base"),
    Range("Quantization", "delay", 0.0, ANY, "the step at which quantization starts"),
    Range("Quantization", "weight_bits", 1.0, 32.0, "8"),
    Range("Quantization", "activation_bits", 1.0, 32.0, "8"),

    // Augmentation.
    Range("RandomHorizontalFlip", "probability", 0.0, 1.0, CHANCE),
    Range("RandomVerticalFlip", "probability", 0.0, 1.0, CHANCE),
    Range("RandomRotation90", "probability", 0.0, 1.0, CHANCE),
    Range("RandomPixelValueScale", "minval", 0.0, 255.0, "0.9"),
    Range("RandomPixelValueScale", "maxval", ABOVE_0, 255.0, "1.1"),
    Range("RandomImageScale", "min_scale_ratio", ABOVE_0, 100.0, "0.5"),
    Range("RandomImageScale", "max_scale_ratio", ABOVE_0, 100.0, "2.0"),
    Range("RandomRGBtoGray", "probability", 0.0, 1.0, CHANCE),
    Range("RandomAdjustBrightness", "max_delta", 0.0, 1.0, "0.2"),
    Range("RandomAdjustContrast", "min_delta", 0.0, 100.0, "0.8"),
    Range("RandomAdjustContrast", "max_delta", ABOVE_0, 100.0, "1.25"),
    Range("RandomAdjustHue", "max_delta", 0.0, 0.5, "0.02"),
    Range("RandomAdjustSaturation", "min_delta", 0.0, 100.0, "0.8"),
    Range("RandomAdjustSaturation", "max_delta", ABOVE_0, 100.0, "1.25"),
    Range("RandomDistortColor", "color_ordering", 0.0, 1.0, "0 or 1"),
    Range("RandomJitterBoxes", "ratio", 0.0, 1.0, "0.05"),
    Range("RandomCropImage", "min_object_covered", 0.0, 1.0, SHARE),
    Range("RandomCropImage", "min_aspect_ratio", ABOVE_0, 1000.0, "0.75"),
    Range("RandomCropImage", "max_aspect_ratio", ABOVE_0, 1000.0, "1.33"),
    Range("RandomCropImage", "min_area", 0.0, 1.0, "0.1"),
    Range("RandomCropImage", "max_area", ABOVE_0, 1.0, "1.0"),
    Range("RandomCropImage", "overlap_thresh", 0.0, 1.0, SHARE),
    Range("RandomCropImage", "random_coef", 0.0, 1.0, CHANCE),
    Range("RandomCropPadImage", "min_object_covered", 0.0, 1.0, SHARE),
    Range("RandomCropPadImage", "min_aspect_ratio", ABOVE_0, 1000.0, "0.75"),
    Range("RandomCropPadImage", "max_aspect_ratio", ABOVE_0, 1000.0, "1.33"),
    Range("RandomCropPadImage", "min_area", 0.0, 1.0, "0.1"),
    Range("RandomCropPadImage", "max_area", ABOVE_0, 1.0, "1.0"),
    Range("RandomCropPadImage", "overlap_thresh", 0.0, 1.0, SHARE),
    Range("RandomCropPadImage", "random_coef", 0.0, 1.0, CHANCE),
    Range("RandomCropPadImage", "min_padded_size_ratio", ABOVE_0, 100.0, "1.0"),
    Range("RandomCropPadImage", "max_padded_size_ratio", ABOVE_0, 100.0, "2.0"),
    Range("RandomPadImage", "min_image_height", 0.0, SIDE, "the least height in pixels"),
    Range("RandomPadImage", "min_image_width", 0.0, SIDE, "the least width in pixels"),
    Range("RandomPadImage", "max_image_height", 0.0, SIDE, "the largest height in pixels"),
    Range("RandomPadImage", "max_image_width", 0.0, SIDE, "the largest width in pixels"),
    Range("RandomAbsolutePadImage", "max_height_padding", 0.0, SIDE, "pixels"),
    Range("RandomAbsolutePadImage", "max_width_padding", 0.0, SIDE, "pixels"),
    Range("RandomCropToAspectRatio", "aspect_ratio", ABOVE_0, 1000.0, "1.0"),
    Range("RandomCropToAspectRatio", "overlap_thresh", 0.0, 1.0, SHARE),
    Range("RandomBlackPatches", "max_black_patches", 0.0, 10_000.0, "10"),
    Range("RandomBlackPatches", "probability", 0.0, 1.0, CHANCE),
    Range("RandomBlackPatches", "size_to_image_ratio", ABOVE_0, 1.0, "0.1"),
    Range("RandomResizeMethod", "target_height", 1.0, SIDE, "the new height in pixels"),
    Range("RandomResizeMethod", "target_width", 1.0, SIDE, "the new width in pixels"),
    Range("ResizeImage", "new_height", 1.0, SIDE, "the new height in pixels"),
    Range("ResizeImage", "new_width", 1.0, SIDE, "the new width in pixels"),
    Range("SSDRandomCropOperation", "min_object_covered", 0.0, 1.0, SHARE),
    Range("SSDRandomCropOperation", "min_aspect_ratio", ABOVE_0, 1000.0, "0.5"),
    Range("SSDRandomCropOperation", "max_aspect_ratio", ABOVE_0, 1000.0, "2.0"),
    Range("SSDRandomCropOperation", "min_area", 0.0, 1.0, "0.1"),
    Range("SSDRandomCropOperation", "max_area", ABOVE_0, 1.0, "1.0"),
    Range("SSDRandomCropOperation", "overlap_thresh", 0.0, 1.0, SHARE),
    Range("SSDRandomCropOperation", "random_coef", 0.0, 1.0, CHANCE),
    Range("SSDRandomCropPadOperation", "min_object_covered", 0.0, 1.0, SHARE),
    Range("SSDRandomCropPadOperation", "min_aspect_ratio", ABOVE_0, 1000.0, "0.5"),
    Range("SSDRandomCropPadOperation", "max_aspect_ratio", ABOVE_0, 1000.0, "2.0"),
    Range("SSDRandomCropPadOperation", "min_area", 0.0, 1.0, "0.1"),
    Range("SSDRandomCropPadOperation", "max_area", ABOVE_0, 1.0, "1.0"),
    Range("SSDRandomCropPadOperation", "overlap_thresh", 0.0, 1.0, SHARE),
    Range("SSDRandomCropPadOperation", "random_coef", 0.0, 1.0, CHANCE),
    Range("SSDRandomCropPadOperation", "min_padded_size_ratio", ABOVE_0, 100.0, "1.0"),
    Range("SSDRandomCropPadOperation", "max_padded_size_ratio", ABOVE_0, 100.0, "2.0"),
    Range("SSDRandomCropFixedAspectRatio", "aspect_ratio", ABOVE_0, 1000.0, "1.0"),
    Range("SSDRandomCropFixedAspectRatioOperation", "min_object_covered", 0.0, 1.0, SHARE),
    Range("SSDRandomCropFixedAspectRatioOperation", "min_area", 0.0, 1.0, "0.1"),
    Range("SSDRandomCropFixedAspectRatioOperation", "max_area", ABOVE_0, 1.0, "1.0"),
    Range("SSDRandomCropFixedAspectRatioOperation", "overlap_thresh", 0.0, 1.0, SHARE),
    Range("SSDRandomCropFixedAspectRatioOperation", "random_coef", 0.0, 1.0, CHANCE),
    Range("SSDRandomCropPadFixedAspectRatio", "aspect_ratio", ABOVE_0, 1000.0, "1.0"),
    Range("SSDRandomCropPadFixedAspectRatio", "min_padded_size_ratio", ABOVE_0, 100.0, "1.0"),
    Range("SSDRandomCropPadFixedAspectRatio", "max_padded_size_ratio", ABOVE_0, 100.0, "2.0"),
    Range("SSDRandomCropPadFixedAspectRatioOperation", "min_object_covered", 0.0, 1.0, SHARE),
    Range("SSDRandomCropPadFixedAspectRatioOperation", "min_aspect_ratio", ABOVE_0, 1000.0, "0.5"),
    Range("SSDRandomCropPadFixedAspectRatioOperation", "max_aspect_ratio", ABOVE_0, 1000.0, "2.0"),
    Range("SSDRandomCropPadFixedAspectRatioOperation", "min_area", 0.0, 1.0, "0.1"),
    Range("SSDRandomCropPadFixedAspectRatioOperation", "max_area", ABOVE_0, 1.0, "1.0"),
    Range("SSDRandomCropPadFixedAspectRatioOperation", "overlap_thresh", 0.0, 1.0, SHARE),
    Range("SSDRandomCropPadFixedAspectRatioOperation", "random_coef", 0.0, 1.0, CHANCE),
    Range("ConvertClassLogitsToSoftmax", "temperature", ABOVE_0, LARGE, "1.0"),
    Range("RandomSelfConcatImage", "concat_vertical_probability", 0.0, 1.0, CHANCE),
    Range("RandomSelfConcatImage", "concat_horizontal_probability", 0.0, 1.0, CHANCE),
    Range("DropLabelProbabilistically", "label", 1.0, 100_000.0, "an id of the label map"),
    Range("DropLabelProbabilistically", "drop_probability", 0.0, 1.0, CHANCE),
    Range("RemapLabels", "original_labels", 1.0, 100_000.0, "ids of the label map"),
    Range("RemapLabels", "new_label", 1.0, 100_000.0, "an id of the label map"),
    Range("RandomJpegQuality", "random_coef", 0.0, 1.0, CHANCE),
    Range("RandomJpegQuality", "min_jpeg_quality", 0.0, 100.0, "a quality from 0 to 100"),
    Range("RandomJpegQuality", "max_jpeg_quality", 0.0, 100.0, "a quality from 0 to 100"),
    Range("RandomDownscaleToTargetPixels", "random_coef", 0.0, 1.0, CHANCE),
    Range("RandomDownscaleToTargetPixels", "min_target_pixels", 1.0, ANY, "300000"),
    Range("RandomDownscaleToTargetPixels", "max_target_pixels", 1.0, ANY, "500000"),
    Range("RandomPatchGaussian", "random_coef", 0.0, 1.0, CHANCE),
    Range("RandomPatchGaussian", "min_patch_size", 1.0, SIDE, "1"),
    Range("RandomPatchGaussian", "max_patch_size", 1.0, SIDE, "250"),
    Range("RandomPatchGaussian", "min_gaussian_stddev", 0.0, 255.0, "0.0"),
    Range("RandomPatchGaussian", "max_gaussian_stddev", 0.0, 255.0, "1.0"),
    Range("RandomSquareCropByScale", "max_border", 0.0, SIDE, "128"),
    Range("RandomSquareCropByScale", "scale_min", ABOVE_0, 100.0, "0.6"),
    Range("RandomSquareCropByScale", "scale_max", ABOVE_0, 100.0, "1.3"),
    Range("RandomSquareCropByScale", "num_scales", 1.0, 1000.0, "8"),
    Range("RandomScaleCropAndPadToSquare", "output_size", 1.0, SIDE, "512"),
    Range("RandomScaleCropAndPadToSquare", "scale_min", ABOVE_0, 100.0, "0.1"),
    Range("RandomScaleCropAndPadToSquare", "scale_max", ABOVE_0, 100.0, "2.0"),
    Range("AdjustGamma", "gamma", ABOVE_0, 100.0, "1.0"),
    Range("AdjustGamma", "gain", ABOVE_0, 100.0, "1.0"),

    // Data and evaluation.
    Range("InputReader", "sample_1_of_n_examples", 1.0, ANY, "1"),
    Range("InputReader", "max_number_of_boxes", 1.0, LARGE, "100"),
    Range("InputReader", "num_additional_channels", 0.0, 1000.0, "0"),
    Range("InputReader", "sample_from_datasets_weights", 0.0, LARGE, "1.0"),
    Range("EvalConfig", "batch_size", 1.0, 65_536.0, "1"),
    Range("EvalConfig", "min_score_threshold", 0.0, 1.0, "0.5"),
    Range("EvalConfig", "max_num_boxes_to_visualize", 0.0, LARGE, "20"),
    Range("EvalConfig", "recall_lower_bound", 0.0, 1.0, "0.0"),
    Range("EvalConfig", "recall_upper_bound", 0.0, 1.0, "1.0"),
];

#[rustfmt::skip]
const ORDERS: &[Order] = &[
    Order("FeaturePyramidNetworks", "min_level", "max_level"),
    Order("BidirectionalFeaturePyramidNetworks", "min_level", "max_level"),
    Order("MultiscaleAnchorGenerator", "min_level", "max_level"),
    Order("KeepAspectRatioResizer", "min_dimension", "max_dimension"),
    Order("ConvolutionalBoxPredictor.BoxEncodingsClipRange", "min", "max"),
    Order("WeightSharedConvolutionalBoxPredictor.BoxEncodingsClipRange", "min", "max"),
    Order("NormalizeImage", "target_minval", "target_maxval"),
    Order("RandomPixelValueScale", "minval", "maxval"),
    Order("RandomImageScale", "min_scale_ratio", "max_scale_ratio"),
    Order("RandomAdjustContrast", "min_delta", "max_delta"),
    Order("RandomAdjustSaturation", "min_delta", "max_delta"),
    Order("RandomCropImage", "min_aspect_ratio", "max_aspect_ratio"),
    Order("RandomCropImage", "min_area", "max_area"),
    Order("RandomCropPadImage", "min_aspect_ratio", "max_aspect_ratio"),
    Order("RandomCropPadImage", "min_area", "max_area"),
    Order("SSDRandomCropOperation", "min_aspect_ratio", "max_aspect_ratio"),
    Order("SSDRandomCropOperation", "min_area", "max_area"),
    Order("SSDRandomCropPadOperation", "min_aspect_ratio", "max_aspect_ratio"),
    Order("SSDRandomCropPadOperation", "min_area", "max_area"),
    Order("SSDRandomCropFixedAspectRatioOperation", "min_area", "max_area"),
    Order("SSDRandomCropPadFixedAspectRatioOperation", "min_aspect_ratio", "max_aspect_ratio"),
    Order("SSDRandomCropPadFixedAspectRatioOperation", "min_area", "max_area"),
    Order("RandomJpegQuality", "min_jpeg_quality", "max_jpeg_quality"),
    Order("RandomDownscaleToTargetPixels", "min_target_pixels", "max_target_pixels"),
    Order("RandomPatchGaussian", "min_patch_size", "max_patch_size"),
    Order("RandomPatchGaussian", "min_gaussian_stddev", "max_gaussian_stddev"),
    Order("RandomSquareCropByScale", "scale_min", "scale_max"),
    Order("RandomScaleCropAndPadToSquare", "scale_min", "scale_max"),
    Order("EvalConfig", "recall_lower_bound", "recall_upper_bound"),
];

#[rustfmt::skip]
const LENGTHS: &[Length] = &[
    Length("KeepAspectRatioResizer", "per_channel_pad_value", &[0, 3], "one value each for red, green and blue"),
    Length("RandomPadImage", "pad_color", &[0, 1, 3], "one value each for red, green and blue"),
    Length("RandomAbsolutePadImage", "pad_color", &[0, 1, 3], "one value each for red, green and blue"),
    Length("RandomCropPadImage", "pad_color", &[0, 1, 3], "one value each for red, green and blue"),
    Length("RandomCropPadImage", "min_padded_size_ratio", &[0, 2], "one value each for height and width"),
    Length("RandomCropPadImage", "max_padded_size_ratio", &[0, 2], "one value each for height and width"),
    Length("SSDRandomCropPadOperation", "min_padded_size_ratio", &[0, 2], "one value each for height and width"),
    Length("SSDRandomCropPadOperation", "max_padded_size_ratio", &[0, 2], "one value each for height and width"),
    Length("SSDRandomCropPadFixedAspectRatio", "min_padded_size_ratio", &[0, 2], "one value each for height and width"),
    Length("SSDRandomCropPadFixedAspectRatio", "max_padded_size_ratio", &[0, 2], "one value each for height and width"),
    Length("SubtractChannelMean", "means", &[3], "one value each for red, green and blue"),
];

/// Repeated fields that need a value at least.
#[rustfmt::skip]
const NOT_EMPTY: &[(&str, &str, &str)] = &[
    ("SsdAnchorGenerator", "aspect_ratios", "add `aspect_ratios: [1.0, 2.0, 0.5, 3.0, 0.3333]`"),
    ("MultiscaleAnchorGenerator", "aspect_ratios", "add `aspect_ratios: [1.0, 2.0, 0.5]`"),
    ("GridAnchorGenerator", "scales", "add `scales: [0.25, 0.5, 1.0, 2.0]`"),
    ("GridAnchorGenerator", "aspect_ratios", "add `aspect_ratios: [0.5, 1.0, 2.0]`"),
    ("FlexibleGridAnchorGenerator", "anchor_grid", "add an `anchor_grid` for each feature map"),
    ("AnchorGrid", "base_sizes", "add the sizes of the anchors in pixels"),
    ("AnchorGrid", "aspect_ratios", "add `aspect_ratios: [1.0, 2.0, 0.5]`"),
    ("RemapLabels", "original_labels", "add the ids that become `new_label`"),
];

pub(super) fn check(findings: &mut Findings) {
    walk(&text_format::dynamic(&findings.pipeline.config), "", findings);
}

fn walk(message: &DynamicMessage, path: &str, findings: &mut Findings) {
    let descriptor = message.descriptor();
    let package = descriptor.package_name().len() + 1;
    let name = descriptor.full_name().get(package..).unwrap_or_default().to_owned();
    let at = |field: &str| if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") };
    check_numbers(message, &name, &at, findings);
    check_orders(message, &name, &at, findings);
    check_lengths(message, &name, &at, findings);
    for field in descriptor.fields().filter(|field| message.has_field(field)) {
        match &*message.get_field(&field) {
            Value::Message(inner) => walk(inner, &at(field.name()), findings),
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    if let Value::Message(inner) = item {
                        walk(inner, &format!("{}[{index}]", at(field.name())), findings);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Every number of the message: finite, and in its range where it has one.
fn check_numbers(message: &DynamicMessage, name: &str, at: &dyn Fn(&str) -> String, findings: &mut Findings) {
    let rows: Vec<&Range> = RANGES.iter().filter(|row| row.0 == name).collect();
    for field in message.descriptor().fields() {
        let is_set = message.has_field(&field);
        let range = rows.iter().find(|row| row.1 == field.name()).copied();
        if field.is_list() {
            if let (true, Value::List(items)) = (is_set, &*message.get_field(&field)) {
                for (index, item) in items.iter().enumerate() {
                    check_number(&field, item, range, &format!("{}[{index}]", at(field.name())), findings);
                }
            }
        } else if is_set {
            check_number(&field, &message.get_field(&field), range, &at(field.name()), findings);
        } else if let Some(range) = range
            && let Some(default) = number(&field.default_value())
            && !(range.2..=range.3).contains(&default)
            // A probability or weight that has no default is not asked for.
            && !is_optional(name, field.name())
        {
            let message = format!("`{}` is not set, and its default {default} is not {}", field.name(), words(range));
            findings.error("missing-field", &at(field.name()), message, format!("add `{}`: {}", field.name(), range.4));
        }
    }
}

/// Fields whose default stands for "none" although it is outside the range of what may be written.
fn is_optional(message: &str, field: &str) -> bool {
    matches!((message, field), ("BidirectionalFeaturePyramidNetworks", _) | ("RemapLabels", "original_labels"))
}

fn check_number(field: &FieldDescriptor, value: &Value, range: Option<&Range>, path: &str, findings: &mut Findings) {
    let Some(found) = number(value) else { return };
    let fix = |usual: &str| format!("usual: {usual}");
    if !found.is_finite() {
        let message = format!("`{}` is {found}, which is no number to compute with", field.name());
        let usual = range.map_or_else(|| default_of(field), |range| range.4.to_owned());
        findings.error("bad-value", path, message, fix(&usual));
    } else if let Some(range) = range.filter(|range| !(range.2..=range.3).contains(&found)) {
        let message = format!("`{}` is {}, and it must be {}", field.name(), shown(found), words(range));
        findings.error("bad-value", path, message, fix(range.4));
    }
}

fn default_of(field: &FieldDescriptor) -> String {
    number(&field.default_value()).filter(|_| !field.is_list()).map_or_else(|| "a plain number".into(), shown)
}

/// A number as people write it; a 32-bit one without the digits that 64 bits would add.
fn shown(value: f64) -> String {
    (value as f32).to_string()
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::F32(number) => Some(f64::from(*number)),
        Value::F64(number) => Some(*number),
        Value::I32(number) | Value::EnumNumber(number) => Some(f64::from(*number)),
        Value::U32(number) => Some(f64::from(*number)),
        Value::I64(number) => Some(*number as f64),
        Value::U64(number) => Some(*number as f64),
        _ => None,
    }
}

/// A range in words.
fn words(&Range(_, _, low, high, usual): &Range) -> String {
    match (low, high) {
        _ if low == high => shown(low),
        _ if usual.starts_with("GREATER") => usual.into(),
        (-1e30, BELOW_1) => "below 1".into(),
        (_, BELOW_1) => format!("{} or more and below 1", shown(low)),
        (ABOVE_0, high) if high >= LARGE => "above 0".into(),
        (ABOVE_0, high) => format!("above 0 and at most {}", shown(high)),
        (low, high) if high >= ANY => format!("{} or more", shown(low)),
        (low, high) => format!("between {} and {}", shown(low), shown(high)),
    }
}

fn check_orders(message: &DynamicMessage, name: &str, at: &dyn Fn(&str) -> String, findings: &mut Findings) {
    let value = |field: &str| message.get_field_by_name(field).and_then(|value| number(&value));
    for Order(_, low, high) in ORDERS.iter().filter(|order| order.0 == name) {
        let (Some(a), Some(b)) = (value(low), value(high)) else { continue };
        if a > b {
            // The one that the text gives, or the first of the two.
            let given = if message.has_field_by_name(low) { low } else { high };
            let text = format!("`{low}` is {}, above `{high}`, which is {}", shown(a), shown(b));
            findings.error("bad-value", &at(given), text, format!("make `{low}` at most `{high}`"));
        }
    }
    if name == "NormalizeImage"
        && let (Some(a), Some(b)) = (value("original_minval"), value("original_maxval"))
        && a >= b
    {
        let text = format!("pixel values cannot run from {} to {}", shown(a), shown(b));
        findings.error("bad-value", &at("original_maxval"), text, "usual: original_minval 0 and original_maxval 255");
    }
}

fn check_lengths(message: &DynamicMessage, name: &str, at: &dyn Fn(&str) -> String, findings: &mut Findings) {
    let length = |field: &str| message.get_field_by_name(field).and_then(|value| value.as_list().map(<[_]>::len));
    for Length(_, field, allowed, what) in LENGTHS.iter().filter(|row| row.0 == name) {
        let found = length(field).unwrap_or(0);
        if !allowed.contains(&found) {
            findings.error("bad-value", &at(field), format!("`{field}` has {found} values"), format!("give {what}"));
        }
    }
    for (_, field, fix) in NOT_EMPTY.iter().filter(|row| row.0 == name) {
        if length(field) == Some(0) {
            findings.error("missing-field", &at(field), format!("`{field}` is empty"), *fix);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::descriptor_pool;

    #[test]
    fn the_tables_name_only_fields_that_exist() {
        let field = |message: &str, name: &str| {
            let full = format!("object_detection.protos.{message}");
            let found = descriptor_pool().get_message_by_name(&full).unwrap_or_else(|| panic!("no message {message}"));
            found.get_field_by_name(name).unwrap_or_else(|| panic!("no field {message}.{name}"))
        };
        for (i, row) in RANGES.iter().enumerate() {
            field(row.0, row.1);
            assert!(row.2 <= row.3, "{}.{}", row.0, row.1);
            assert!(!RANGES[..i].iter().any(|other| (other.0, other.1) == (row.0, row.1)), "{}.{} twice", row.0, row.1);
        }
        ORDERS.iter().for_each(|row| drop((field(row.0, row.1), field(row.0, row.2))));
        assert!(LENGTHS.iter().all(|row| field(row.0, row.1).is_list()));
        assert!(NOT_EMPTY.iter().all(|row| field(row.0, row.1).is_list()));
    }

    #[test]
    fn ranges_are_said_in_words() {
        let of = |low, high| words(&Range("", "", low, high, ""));
        assert_eq!(of(ABOVE_0, LARGE), "above 0");
        assert_eq!(of(ABOVE_0, 1.0), "above 0 and at most 1");
        assert_eq!(of(0.0, BELOW_1), "0 or more and below 1");
        assert_eq!(of(-ANY, BELOW_1), "below 1");
        assert_eq!(of(4.0, 4.0), "4");
        assert_eq!(of(1.0, ANY), "1 or more");
        assert_eq!(of(0.0, 0.5), "between 0 and 0.5");
    }
}
