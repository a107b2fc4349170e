//! Which fields of the schema this program honours. A field that is in no list and differs from its
//! default is refused: a setting that is silently ignored would make the numbers of a run a lie.
//!
//! To grow: when the detection or training room learns a field, move its name into `honoured`.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor, ReflectMessage, Value};

use super::Findings;
use crate::text_format::{self, bind::suggestion};

/// What is done with the fields of one message, by its name without the package.
struct Support {
    message: &'static str,
    /// Fields that do what the schema says.
    honoured: &'static [&'static str],
    /// Fields that may have any value and change no number here: queue sizes, TPU tricks, outdated
    /// settings, data that this program does not read.
    without_effect: &'static [&'static str],
}

/// Words and strings of which only some are honoured.
struct Choices {
    message: &'static str,
    field: &'static str,
    honoured: &'static [&'static str],
}

#[rustfmt::skip]
const SUPPORT: &[Support] = &[
    Support {
        message: "TrainEvalPipelineConfig",
        honoured: &["model", "train_config", "train_input_reader", "eval_config", "eval_input_reader"],
        without_effect: &[],
    },
    Support { message: "DetectionModel", honoured: &["ssd"], without_effect: &[] },
    Support {
        message: "Ssd",
        honoured: &[
            "num_classes", "image_resizer", "feature_extractor", "box_coder", "matcher", "similarity_calculator",
            "box_predictor", "anchor_generator", "post_processing", "normalize_loss_by_num_matches",
            "normalize_loc_loss_by_codesize", "loss", "freeze_batchnorm", "encode_background_as_zeros",
            "negative_class_weight",
        ],
        without_effect: &["inplace_batchnorm_update", "return_raw_detections_during_predict", "implicit_example_weight"],
    },
    Support {
        message: "SsdFeatureExtractor",
        honoured: &["type", "depth_multiplier", "min_depth", "conv_hyperparams", "override_base_feature_extractor_hyperparams", "use_explicit_padding", "use_depthwise", "num_layers"],
        without_effect: &[],
    },
    Support { message: "ImageResizer", honoured: &["fixed_shape_resizer"], without_effect: &[] },
    Support { message: "FixedShapeResizer", honoured: &["height", "width"], without_effect: &[] },
    Support {
        message: "Hyperparams",
        honoured: &["op", "regularizer", "initializer", "activation", "batch_norm"],
        // TFOD reads it for Keras layers only.
        without_effect: &["force_use_bias"],
    },
    Support { message: "Regularizer", honoured: &["l2_regularizer"], without_effect: &[] },
    Support { message: "L2Regularizer", honoured: &["weight"], without_effect: &[] },
    Support {
        message: "Initializer",
        honoured: &["truncated_normal_initializer", "variance_scaling_initializer", "random_normal_initializer"],
        without_effect: &[],
    },
    Support { message: "TruncatedNormalInitializer", honoured: &["mean", "stddev"], without_effect: &[] },
    Support { message: "RandomNormalInitializer", honoured: &["mean", "stddev"], without_effect: &[] },
    Support { message: "VarianceScalingInitializer", honoured: &["factor", "uniform", "mode"], without_effect: &[] },
    Support { message: "BatchNorm", honoured: &["decay", "center", "scale", "epsilon", "train"], without_effect: &[] },
    Support { message: "BoxCoder", honoured: &["faster_rcnn_box_coder"], without_effect: &[] },
    Support {
        message: "FasterRcnnBoxCoder",
        honoured: &["y_scale", "x_scale", "height_scale", "width_scale"],
        without_effect: &[],
    },
    Support { message: "Matcher", honoured: &["argmax_matcher"], without_effect: &[] },
    Support {
        message: "ArgMaxMatcher",
        honoured: &[
            "matched_threshold", "unmatched_threshold", "ignore_thresholds", "negatives_lower_than_unmatched",
            "force_match_for_each_row",
        ],
        without_effect: &["use_matmul_gather"],
    },
    Support {
        message: "RegionSimilarityCalculator",
        honoured: &["iou_similarity", "ioa_similarity", "neg_sq_dist_similarity"],
        without_effect: &[],
    },
    Support { message: "BoxPredictor", honoured: &["convolutional_box_predictor"], without_effect: &[] },
    Support {
        message: "ConvolutionalBoxPredictor",
        honoured: &[
            "conv_hyperparams", "min_depth", "max_depth", "num_layers_before_predictor", "use_dropout",
            "dropout_keep_probability", "kernel_size", "apply_sigmoid_to_scores", "class_prediction_bias_init",
            "use_depthwise", "box_encodings_clip_range",
        ],
        without_effect: &[],
    },
    Support { message: "ConvolutionalBoxPredictor.BoxEncodingsClipRange", honoured: &["min", "max"], without_effect: &[] },
    Support { message: "AnchorGenerator", honoured: &["ssd_anchor_generator"], without_effect: &[] },
    Support {
        message: "SsdAnchorGenerator",
        honoured: &[
            "num_layers", "min_scale", "max_scale", "scales", "aspect_ratios", "interpolated_scale_aspect_ratio",
            "reduce_boxes_in_lowest_layer", "base_anchor_height", "base_anchor_width", "height_stride", "width_stride",
            "height_offset", "width_offset",
        ],
        without_effect: &[],
    },
    Support {
        message: "PostProcessing",
        honoured: &["batch_non_max_suppression", "score_converter", "logit_scale"],
        without_effect: &[],
    },
    Support {
        message: "BatchNonMaxSuppression",
        honoured: &[
            "score_threshold", "iou_threshold", "max_detections_per_class", "max_total_detections",
            "change_coordinate_frame", "use_class_agnostic_nms", "soft_nms_sigma",
            "use_hard_nms",
        ],
        // Other ways to the same result.
        without_effect: &["use_static_shapes", "use_cpu_nms"],
    },
    Support {
        message: "Loss",
        honoured: &[
            "localization_loss", "classification_loss", "hard_example_miner", "classification_weight",
            "localization_weight",
        ],
        // Only read together with expected_loss_weights, which is refused.
        without_effect: &["min_num_negative_samples", "desired_negative_sampling_ratio"],
    },
    Support { message: "LocalizationLoss", honoured: &["weighted_smooth_l1", "weighted_l2"], without_effect: &[] },
    Support { message: "WeightedSmoothL1LocalizationLoss", honoured: &["delta"], without_effect: &["anchorwise_output"] },
    Support { message: "WeightedL2LocalizationLoss", honoured: &[], without_effect: &["anchorwise_output"] },
    Support {
        message: "ClassificationLoss",
        honoured: &["weighted_sigmoid", "weighted_sigmoid_focal", "weighted_softmax"],
        without_effect: &[],
    },
    Support { message: "WeightedSigmoidClassificationLoss", honoured: &[], without_effect: &["anchorwise_output"] },
    Support { message: "SigmoidFocalClassificationLoss", honoured: &["gamma", "alpha"], without_effect: &["anchorwise_output"] },
    Support { message: "WeightedSoftmaxClassificationLoss", honoured: &["logit_scale"], without_effect: &["anchorwise_output"] },
    Support {
        message: "HardExampleMiner",
        honoured: &[
            "num_hard_examples", "iou_threshold", "loss_type", "max_negatives_per_positive", "min_negatives_per_image",
        ],
        without_effect: &[],
    },
    Support {
        message: "TrainConfig",
        honoured: &[
            "batch_size", "data_augmentation_options", "optimizer", "gradient_clipping_by_norm", "fine_tune_checkpoint",
            "fine_tune_checkpoint_type", "from_detection_checkpoint", "load_all_detection_checkpoint_vars", "num_steps",
            "add_regularization_loss", "max_number_of_boxes",
        ],
        without_effect: &[
            "sync_replicas", "keep_checkpoint_every_n_hours", "fine_tune_checkpoint_version",
            "run_fine_tune_checkpoint_dummy_computation", "startup_delay_steps", "replicas_to_aggregate",
            "batch_queue_capacity", "num_batch_queue_threads", "prefetch_queue_capacity", "unpad_groundtruth_tensors", "retain_original_images", "use_bfloat16", "summarize_gradients",
        ],
    },
    Support {
        message: "PreprocessingStep",
        honoured: &["random_horizontal_flip", "random_vertical_flip", "ssd_random_crop", "random_crop_image"],
        without_effect: &[],
    },
    Support { message: "RandomHorizontalFlip", honoured: &["probability"], without_effect: &["keypoint_flip_permutation"] },
    Support { message: "RandomVerticalFlip", honoured: &["probability"], without_effect: &["keypoint_flip_permutation"] },
    Support {
        message: "RandomCropImage",
        honoured: &[
            "min_object_covered", "min_aspect_ratio", "max_aspect_ratio", "min_area", "max_area", "overlap_thresh",
            "clip_boxes", "random_coef",
        ],
        without_effect: &[],
    },
    Support { message: "SSDRandomCrop", honoured: &["operations"], without_effect: &[] },
    Support {
        message: "SSDRandomCropOperation",
        honoured: &[
            "min_object_covered", "min_aspect_ratio", "max_aspect_ratio", "min_area", "max_area", "overlap_thresh",
            "clip_boxes", "random_coef",
        ],
        without_effect: &[],
    },
    Support {
        message: "Optimizer",
        honoured: &["rms_prop_optimizer", "momentum_optimizer", "adam_optimizer", "use_moving_average", "moving_average_decay"],
        without_effect: &[],
    },
    Support {
        message: "RMSPropOptimizer",
        honoured: &["learning_rate", "momentum_optimizer_value", "decay", "epsilon"],
        without_effect: &[],
    },
    Support { message: "MomentumOptimizer", honoured: &["learning_rate", "momentum_optimizer_value"], without_effect: &[] },
    Support { message: "AdamOptimizer", honoured: &["learning_rate", "epsilon"], without_effect: &[] },
    Support {
        message: "LearningRate",
        honoured: &[
            "constant_learning_rate", "exponential_decay_learning_rate", "manual_step_learning_rate",
            "cosine_decay_learning_rate",
        ],
        without_effect: &[],
    },
    Support { message: "ConstantLearningRate", honoured: &["learning_rate"], without_effect: &[] },
    Support {
        message: "ExponentialDecayLearningRate",
        honoured: &[
            "initial_learning_rate", "decay_steps", "decay_factor", "staircase", "burnin_learning_rate", "burnin_steps",
            "min_learning_rate",
        ],
        without_effect: &[],
    },
    Support { message: "ManualStepLearningRate", honoured: &["initial_learning_rate", "schedule", "warmup"], without_effect: &[] },
    Support { message: "ManualStepLearningRate.LearningRateSchedule", honoured: &["step", "learning_rate"], without_effect: &[] },
    Support {
        message: "CosineDecayLearningRate",
        honoured: &["learning_rate_base", "total_steps", "warmup_learning_rate", "warmup_steps", "hold_base_rate_steps"],
        without_effect: &[],
    },
    Support {
        message: "InputReader",
        honoured: &["label_map_path", "shuffle", "tf_record_input_reader", "input_type"],
        without_effect: &[
            "name", "shuffle_buffer_size", "filenames_shuffle_buffer_size", "num_readers", "num_parallel_batches",
            "num_prefetch_batches", "queue_capacity", "min_after_dequeue", "read_block_length", "prefetch_size",
            "num_parallel_map_calls", "drop_remainder", "num_keypoints", "keypoint_type_weight", "load_context_features",
            "load_context_image_ids", "load_instance_masks", "mask_type", "load_dense_pose", "load_track_id",
            "load_keypoint_depth_features", "include_source_id", "frame_index", "use_display_name", "num_epochs", "max_number_of_boxes",
        ],
    },
    Support { message: "TFRecordInputReader", honoured: &["input_path"], without_effect: &[] },
    Support {
        message: "EvalConfig",
        honoured: &["metrics_set", "include_metrics_per_category", "all_metrics_per_category", "use_moving_averages"],
        without_effect: &[
            "batch_size", "num_visualizations", "num_examples", "eval_interval_secs", "max_evals", "save_graph",
            "visualization_export_dir", "eval_master", "export_path", "min_score_threshold", "max_num_boxes_to_visualize",
            "skip_scores", "skip_labels", "visualize_groundtruth_boxes", "groundtruth_box_visualization_color",
            "keep_image_id_for_visualization_export", "retain_original_images",
            "retain_original_image_additional_channels", "use_dummy_loss_in_eval", "keypoint_edge",
        ],
    },
];

#[rustfmt::skip]
const CHOICES: &[Choices] = &[
    Choices { message: "SsdFeatureExtractor", field: "type", honoured: &["ssd_mobilenet_v1"] },
    Choices { message: "Hyperparams", field: "op", honoured: &["CONV"] },
    Choices { message: "Hyperparams", field: "activation", honoured: &["NONE", "RELU", "RELU_6"] },
    Choices { message: "InputReader", field: "input_type", honoured: &["INPUT_DEFAULT", "TF_EXAMPLE"] },
    Choices { message: "TrainConfig", field: "fine_tune_checkpoint_type", honoured: &["", "detection", "classification", "full"] },
];

/// Blocks without which nothing can be built. One below a choice (`convolutional_box_predictor`) is
/// only asked for where that choice was made.
const REQUIRED: &[&str] = &[
    "model",
    "model.ssd.image_resizer",
    "model.ssd.feature_extractor.conv_hyperparams.regularizer",
    "model.ssd.feature_extractor.conv_hyperparams.initializer",
    "model.ssd.box_coder",
    "model.ssd.matcher",
    "model.ssd.similarity_calculator",
    "model.ssd.box_predictor",
    "model.ssd.box_predictor.convolutional_box_predictor.conv_hyperparams.regularizer",
    "model.ssd.box_predictor.convolutional_box_predictor.conv_hyperparams.initializer",
    "model.ssd.anchor_generator",
    "model.ssd.post_processing.batch_non_max_suppression",
    "model.ssd.loss.localization_loss",
    "model.ssd.loss.classification_loss",
    "train_config.optimizer",
    "train_input_reader",
];

pub(super) fn check(findings: &mut Findings) {
    let config = text_format::dynamic(&findings.pipeline.config);
    walk(&config, "", findings);
    for path in REQUIRED {
        require(&config, path, findings);
    }
}

/// Reports every field of the message, and of the blocks in it, that is not honoured.
fn walk(message: &DynamicMessage, path: &str, findings: &mut Findings) {
    let descriptor = message.descriptor();
    let support = support_of(&descriptor);
    report_empty_choice(message, path, support, findings);
    for field in descriptor.fields().filter(|field| message.has_field(field)) {
        let at = if path.is_empty() { field.name().to_owned() } else { format!("{path}.{}", field.name()) };
        let value = message.get_field(&field);
        let honoured = support.is_some_and(|support| support.honoured.contains(&field.name()));
        let without_effect = support.is_some_and(|support| support.without_effect.contains(&field.name()));
        if without_effect || (!honoured && is_default(&field, &value)) {
            continue;
        }
        if !honoured {
            refuse(&field, &at, support, findings);
            continue;
        }
        check_choice(&field, &value, &at, findings);
        match &*value {
            Value::Message(inner) => walk(inner, &at, findings),
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    if let Value::Message(inner) = item {
                        walk(inner, &format!("{at}[{index}]"), findings);
                    }
                }
            }
            _ => {}
        }
    }
}

/// The table's row for a message type.
fn support_of(descriptor: &MessageDescriptor) -> Option<&'static Support> {
    let name = descriptor.full_name().strip_prefix(descriptor.package_name())?.strip_prefix('.')?;
    SUPPORT.iter().find(|support| support.message == name)
}

fn is_default(field: &FieldDescriptor, value: &Value) -> bool {
    !matches!(value, Value::Message(_)) && *value == field.default_value()
}

fn refuse(field: &FieldDescriptor, path: &str, support: Option<&Support>, findings: &mut Findings) {
    let name = field.name();
    let others: Vec<String> = field.containing_oneof().map_or(Vec::new(), |oneof| {
        let names = oneof.fields().map(|other| other.name().to_owned());
        names.filter(|other| support.is_some_and(|support| support.honoured.contains(&other.as_str()))).collect()
    });
    let fix = match (others.is_empty(), field.kind()) {
        (false, _) => format!("use {}", others.join(" or ")),
        (true, Kind::Message(_)) => format!("remove `{name}`"),
        (true, _) => format!("remove `{name}`, or set it to {}", default_text(path)),
    };
    findings.error("unsupported-field", path, format!("`{name}` cannot be honoured yet and would be ignored"), fix);
}

fn default_text(path: &str) -> String {
    crate::schema::field(path).ok().and_then(|info| info.default).unwrap_or_else(|| "its default".into())
}

fn check_choice(field: &FieldDescriptor, value: &Value, path: &str, findings: &mut Findings) {
    let parent = field.parent_message();
    let Some(choices) = CHOICES.iter().find(|c| c.message == parent.name() && c.field == field.name()) else { return };
    let word = match value {
        Value::EnumNumber(number) => {
            let kind = field.kind();
            kind.as_enum().and_then(|kind| kind.get_value(*number)).map_or(String::new(), |value| value.name().into())
        }
        Value::String(text) => text.clone(),
        _ => return,
    };
    if choices.honoured.contains(&word.as_str()) {
        return;
    }
    let names: Vec<String> = choices.honoured.iter().filter(|name| !name.is_empty()).map(|&name| name.into()).collect();
    let fix = suggestion(&word, &names).unwrap_or_else(|| format!("use {}", names.join(" or ")));
    findings.error("unsupported-value", path, format!("`{}` cannot be \"{word}\" yet", field.name()), fix);
}

/// Reports a block that has to name one of several things and names none.
fn report_empty_choice(message: &DynamicMessage, path: &str, support: Option<&Support>, findings: &mut Findings) {
    let descriptor = message.descriptor();
    // A choice stands alone in its message, but for the optimizer's and its averages.
    let is_choice =
        |oneof: &OneofDescriptor| oneof.fields().len() == descriptor.fields().len() || oneof.name() == "optimizer";
    for oneof in descriptor.oneofs().filter(is_choice) {
        if oneof.fields().any(|field| message.has_field(&field)) {
            continue;
        }
        let names = oneof.fields().map(|field| field.name().to_owned());
        let names: Vec<String> =
            names.filter(|name| support.is_some_and(|support| support.honoured.contains(&name.as_str()))).collect();
        let name = path.rsplit('.').next().unwrap_or(path);
        findings.error(
            "missing-field",
            path,
            format!("`{name}` is empty"),
            format!("put {} into it", names.join(" or ")),
        );
    }
}

/// Reports a block that is missing, once for all that would stand in it.
fn require(config: &DynamicMessage, path: &str, findings: &mut Findings) {
    let mut message = config.clone();
    for (depth, name) in path.split('.').enumerate() {
        let Some(field) = message.descriptor().get_field_by_name(name) else { return };
        if let (true, Value::Message(inner)) = (message.has_field(&field), message.get_field(&field).into_owned()) {
            message = inner;
            continue;
        }
        let missing = path.split('.').take(depth + 1).collect::<Vec<_>>().join(".");
        let inside = format!("{missing}.");
        let first = REQUIRED.iter().find(|required| **required == missing || required.starts_with(&inside));
        // Another choice, or none, is reported where the fields are walked.
        if first == Some(&path) && field.containing_oneof().is_none() {
            let help = crate::schema::field(&missing).map_or(String::new(), |info| info.help);
            let message = format!("`{name}` is missing: {}", lower_first(help.trim_end_matches('.')));
            findings.error("missing-field", &missing, message, format!("add `{name} {{ … }}`"));
        }
        return;
    }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::descriptor_pool;

    #[test]
    fn the_tables_name_only_fields_that_exist() {
        let message = |name: &str| {
            let found = descriptor_pool().get_message_by_name(&format!("object_detection.protos.{name}"));
            found.unwrap_or_else(|| panic!("no message {name}"))
        };
        for support in SUPPORT {
            let descriptor = message(support.message);
            for name in support.honoured.iter().chain(support.without_effect) {
                assert!(descriptor.get_field_by_name(name).is_some(), "{}.{name}", support.message);
                let times =
                    support.honoured.iter().chain(support.without_effect).filter(|other| *other == name).count();
                assert_eq!(times, 1, "{}.{name} is listed twice", support.message);
            }
        }
        for choices in CHOICES {
            let field = message(choices.message).get_field_by_name(choices.field).expect("a field");
            if let Kind::Enum(words) = field.kind() {
                assert!(
                    choices.honoured.iter().all(|word| words.get_value_by_name(word).is_some()),
                    "{}",
                    choices.field
                );
            }
        }
        for path in REQUIRED {
            assert!(crate::schema::field(path).is_ok_and(|info| info.is_block), "{path}");
        }
    }

    #[test]
    fn every_message_is_listed_once_and_found() {
        for support in SUPPORT {
            assert_eq!(
                SUPPORT.iter().filter(|other| other.message == support.message).count(),
                1,
                "{}",
                support.message
            );
            let descriptor =
                descriptor_pool().get_message_by_name(&format!("object_detection.protos.{}", support.message));
            let found = descriptor.as_ref().and_then(support_of).map(|support| support.message);
            assert_eq!(found, Some(support.message));
        }
    }
}
