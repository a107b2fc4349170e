//! Values that no training can work with, and values that do not fit the data.

use std::path::PathBuf;

use boxwright_core::LabelMap;

use super::Findings;
use crate::proto::{self, InputReader, Ssd, TrainConfig, learning_rate, optimizer};
use crate::text_format::bind::suggestion;
use crate::{label_map, paths};

/// What is known about the data that a config is for.
#[derive(Clone, Debug, Default)]
pub struct DatasetFacts {
    /// The folder of the config, from which its relative paths count; where it is none, files are
    /// not looked for.
    pub root: Option<PathBuf>,
    /// The label map; read from the config's `label_map_path` where it is none and files are looked for.
    pub label_map: Option<LabelMap>,
    /// Images to train on.
    pub train_images: Option<u64>,
    /// The most boxes that one image has.
    pub most_boxes: Option<usize>,
}

/// Metric families by TFOD's names, and whether they are computed here.
const METRICS: &[(&str, bool)] = &[
    ("coco_detection_metrics", true),
    ("pascal_voc_detection_metrics", true),
    ("coco_keypoint_metrics", false),
    ("coco_mask_metrics", false),
    ("coco_panoptic_metrics", false),
    ("lvis_mask_metrics", false),
    ("oid_V2_detection_metrics", false),
    ("oid_challenge_detection_metrics", false),
    ("oid_challenge_segmentation_metrics", false),
    ("open_images_V2_detection_metrics", false),
    ("open_images_detection_metrics", false),
    ("open_images_challenge_detection_metrics", false),
    ("pascal_voc_instance_segmentation_metrics", false),
    ("precision_at_recall_detection_metrics", false),
    ("weighted_pascal_voc_detection_metrics", false),
    ("weighted_pascal_voc_instance_segmentation_metrics", false),
];

pub(super) fn check(findings: &mut Findings, facts: &DatasetFacts) {
    let config = findings.pipeline.config.clone();
    if let Some(proto::detection_model::Model::Ssd(ssd)) = config.model.as_ref().and_then(|model| model.model.as_ref())
    {
        check_ssd(ssd, findings);
        check_classes(ssd, &config, facts, findings);
    }
    if let Some(train) = &config.train_config {
        check_train(train, facts, findings);
    }
    if let Some(reader) = &config.train_input_reader {
        check_reader(reader, "train_input_reader", facts, findings);
    }
    for (index, reader) in config.eval_input_reader.iter().enumerate() {
        check_reader(reader, &format!("eval_input_reader[{index}]"), facts, findings);
    }
    if config.eval_input_reader.is_empty() {
        let fix = "add an `eval_input_reader` with the records of the held-out images";
        findings.warning("no-evaluation", "eval_input_reader", "there is nothing to evaluate on", fix);
    }
    for (index, name) in config.eval_config.iter().flat_map(|eval| &eval.metrics_set).enumerate() {
        check_metric(name, &format!("eval_config.metrics_set[{index}]"), findings);
    }
}

fn check_ssd(ssd: &Ssd, findings: &mut Findings) {
    if let Some(proto::image_resizer::ImageResizerOneof::FixedShapeResizer(resizer)) =
        ssd.image_resizer.as_ref().and_then(|resizer| resizer.image_resizer_oneof.as_ref())
    {
        let path = "model.ssd.image_resizer.fixed_shape_resizer";
        for (name, value) in [("height", resizer.height()), ("width", resizer.width())] {
            if !(1..=8192).contains(&value) {
                let message = format!("an image {name} of {value} pixels cannot be trained");
                findings.error("bad-value", &format!("{path}.{name}"), message, "use 1 to 8192, usually 300");
            }
        }
    }
    if let Some(extractor) = &ssd.feature_extractor {
        let multiplier = extractor.depth_multiplier();
        if !(0.001..=8.0).contains(&multiplier) {
            let path = "model.ssd.feature_extractor.depth_multiplier";
            let message = format!("a depth multiplier of {multiplier} makes no network");
            findings.error("bad-value", path, message, "use 0.25, 0.5, 0.75 or 1.0");
        }
    }
    if let Some(proto::matcher::MatcherOneof::ArgmaxMatcher(matcher)) =
        ssd.matcher.as_ref().and_then(|matcher| matcher.matcher_oneof.as_ref())
        && !matcher.ignore_thresholds()
        && matcher.unmatched_threshold() > matcher.matched_threshold()
    {
        let path = "model.ssd.matcher.argmax_matcher.unmatched_threshold";
        let message = "unmatched_threshold is above matched_threshold";
        findings.error("bad-value", path, message, "lower it to matched_threshold or below");
    }
    check_anchors(ssd, findings);
    check_post_processing(ssd, findings);
}

fn check_anchors(ssd: &Ssd, findings: &mut Findings) {
    let Some(proto::anchor_generator::AnchorGeneratorOneof::SsdAnchorGenerator(anchors)) =
        ssd.anchor_generator.as_ref().and_then(|anchors| anchors.anchor_generator_oneof.as_ref())
    else {
        return;
    };
    let path = "model.ssd.anchor_generator.ssd_anchor_generator";
    let layers = anchors.num_layers();
    let maps = ssd.feature_extractor.as_ref().map_or(6, |extractor| extractor.num_layers());
    if !(1..=6).contains(&maps) {
        let message = format!("the feature extractor has 1 to 6 feature maps and not {maps}");
        findings.error("bad-value", "model.ssd.feature_extractor.num_layers", message, "use 6");
    } else if layers != maps {
        let message = format!("{layers} layers of anchors do not fit the {maps} feature maps of the model");
        findings.error("bad-value", &format!("{path}.num_layers"), message, format!("use {maps}"));
    }
    let lists = [
        ("scales", anchors.scales.len()),
        ("height_stride", anchors.height_stride.len()),
        ("width_stride", anchors.width_stride.len()),
        ("height_offset", anchors.height_offset.len()),
        ("width_offset", anchors.width_offset.len()),
    ];
    for (name, length) in lists {
        if length != 0 && usize::try_from(layers) != Ok(length) {
            let message = format!("`{name}` has {length} values for {layers} layers");
            findings.error("bad-value", &format!("{path}.{name}"), message, "give one value for each layer, or none");
        }
    }
    if anchors.aspect_ratios.is_empty() || anchors.aspect_ratios.iter().any(|ratio| !(*ratio > 0.0)) {
        let message = "anchors need aspect ratios above 0";
        findings.error("bad-value", &format!("{path}.aspect_ratios"), message, "use 1.0, 2.0, 0.5, 3.0 and 0.3333");
    }
    if anchors.scales.is_empty() && !(anchors.min_scale() > 0.0 && anchors.max_scale() >= anchors.min_scale()) {
        let message = format!("scales cannot run from {} to {}", anchors.min_scale(), anchors.max_scale());
        findings.error("bad-value", &format!("{path}.min_scale"), message, "use 0.2 to 0.95");
    }
}

fn check_post_processing(ssd: &Ssd, findings: &mut Findings) {
    use proto::classification_loss::ClassificationLoss as Loss;
    use proto::post_processing::ScoreConverter;
    let Some(post_processing) = &ssd.post_processing else { return };
    if let Some(nms) = &post_processing.batch_non_max_suppression {
        let path = "model.ssd.post_processing.batch_non_max_suppression";
        if !(0.0..=1.0).contains(&nms.iou_threshold()) {
            let message = format!("an iou_threshold of {} is no overlap", nms.iou_threshold());
            findings.error("bad-value", &format!("{path}.iou_threshold"), message, "use 0 to 1, usually 0.6");
        }
        if nms.score_threshold() >= 1.0 || nms.score_threshold().is_nan() {
            let message = format!("no score is above a score_threshold of {}", nms.score_threshold());
            findings.error("bad-value", &format!("{path}.score_threshold"), message, "use 1e-8, or a little more");
        }
    }
    let loss = ssd.loss.as_ref().and_then(|loss| loss.classification_loss.as_ref());
    let wanted = match loss.and_then(|loss| loss.classification_loss.as_ref()) {
        Some(Loss::WeightedSigmoid(_) | Loss::WeightedSigmoidFocal(_)) => ScoreConverter::Sigmoid,
        Some(Loss::WeightedSoftmax(_)) => ScoreConverter::Softmax,
        _ => return,
    };
    if post_processing.score_converter() != wanted {
        let message = format!(
            "scores are converted by {} but the classification loss learns for {}",
            post_processing.score_converter().as_str_name(),
            wanted.as_str_name()
        );
        let fix = format!("set score_converter to {}", wanted.as_str_name());
        findings.warning("score-converter", "model.ssd.post_processing.score_converter", message, fix);
    }
}

fn check_classes(ssd: &Ssd, config: &proto::TrainEvalPipelineConfig, facts: &DatasetFacts, findings: &mut Findings) {
    let path = "model.ssd.num_classes";
    let classes = ssd.num_classes();
    if classes < 1 {
        let message = format!("the model has {classes} classes");
        findings.error("bad-value", path, message, "set num_classes to the number of classes in the label map");
        return;
    }
    let from_file = || {
        let reader = config.train_input_reader.as_ref()?;
        let file = paths::resolve(facts.root.as_ref()?, reader.label_map_path());
        // A label map that cannot be read is reported with its reader.
        label_map::read(file).ok()
    };
    let Some(labels) = facts.label_map.clone().or_else(from_file) else { return };
    let columns = labels.max_id();
    if i64::from(classes) < i64::from(columns) {
        let message = format!("num_classes is {classes}, but the label map has the id {columns}");
        findings.error("num-classes", path, message, format!("set it to {columns}"));
    } else if i64::from(classes) > i64::from(columns) {
        let message = format!("num_classes is {classes}, but the label map's ids end at {columns}");
        findings.warning("num-classes", path, message, format!("set it to {columns}"));
    }
}

fn check_train(train: &TrainConfig, facts: &DatasetFacts, findings: &mut Findings) {
    let batch = train.batch_size();
    if batch == 0 {
        findings.error(
            "bad-value",
            "train_config.batch_size",
            "a batch of 0 images trains nothing",
            "use 8, or what the memory holds",
        );
    } else if let Some(images) = facts.train_images.filter(|images| u64::from(batch) > *images) {
        let message = format!("a batch of {batch} is more than the {images} training images");
        findings.error("batch-size", "train_config.batch_size", message, format!("use {images} or less"));
    }
    if train.num_steps() == 0 {
        let message = "without num_steps the training goes on until it is stopped";
        findings.warning("no-end", "train_config.num_steps", message, "set num_steps");
    }
    let kept = usize::try_from(train.max_number_of_boxes()).unwrap_or(0);
    if let Some(most) = facts.most_boxes.filter(|most| *most > kept) {
        let message = format!("an image has {most} boxes and training keeps only {kept}");
        let path = "train_config.max_number_of_boxes";
        findings.warning("boxes-cut", path, message, format!("set max_number_of_boxes to {most}"));
    }
    if train.gradient_clipping_by_norm() < 0.0 || train.gradient_clipping_by_norm().is_nan() {
        findings.error(
            "bad-value",
            "train_config.gradient_clipping_by_norm",
            "a norm cannot be negative",
            "use 0 for none, or 10",
        );
    }
    check_checkpoint(train, facts, findings);
    use optimizer::Optimizer;
    let Some(optimizer) = train.optimizer.as_ref().and_then(|optimizer| optimizer.optimizer.as_ref()) else { return };
    let (name, rate) = match optimizer {
        Optimizer::RmsPropOptimizer(rms_prop) => ("rms_prop_optimizer", &rms_prop.learning_rate),
        Optimizer::MomentumOptimizer(momentum) => ("momentum_optimizer", &momentum.learning_rate),
        Optimizer::AdamOptimizer(adam) => ("adam_optimizer", &adam.learning_rate),
    };
    let path = format!("train_config.optimizer.{name}.learning_rate");
    match rate {
        // One that names no kind is reported as an empty choice.
        Some(rate) => rate.learning_rate.iter().for_each(|rate| {
            check_learning_rate(rate, &path, train.num_steps(), findings);
        }),
        None => findings.error(
            "missing-field",
            &path,
            format!("{name} has no learning rate"),
            "add `learning_rate { constant_learning_rate { learning_rate: 0.002 } }`",
        ),
    }
}

fn check_learning_rate(rate: &learning_rate::LearningRate, path: &str, num_steps: u32, findings: &mut Findings) {
    use learning_rate::LearningRate;
    let mut positive = |name: &str, value: f32| {
        if !(value > 0.0 && value.is_finite()) {
            let message = format!("a learning rate of {value} trains nothing");
            findings.error("bad-value", &format!("{path}.{name}"), message, "use a small number above 0, like 0.004");
        }
    };
    match rate {
        LearningRate::ConstantLearningRate(rate) => {
            positive("constant_learning_rate.learning_rate", rate.learning_rate())
        }
        LearningRate::ExponentialDecayLearningRate(rate) => {
            positive("exponential_decay_learning_rate.initial_learning_rate", rate.initial_learning_rate());
            if rate.decay_steps() == 0 {
                let path = format!("{path}.exponential_decay_learning_rate.decay_steps");
                findings.error("bad-value", &path, "decay_steps is 0", "set it to the steps between two decays");
            }
        }
        LearningRate::ManualStepLearningRate(rate) => {
            positive("manual_step_learning_rate.initial_learning_rate", rate.initial_learning_rate());
            let mut before = 0;
            for (index, jump) in rate.schedule.iter().enumerate() {
                if jump.step() <= before {
                    let path = format!("{path}.manual_step_learning_rate.schedule[{index}].step");
                    let message = format!("step {} does not come after step {before}", jump.step());
                    findings.error("bad-value", &path, message, "list the steps in rising order, from 1");
                }
                before = jump.step();
            }
            if rate.schedule.is_empty() {
                let path = format!("{path}.manual_step_learning_rate");
                let fix = "add `schedule { step: 1000 learning_rate: 0.0004 }`, or use constant_learning_rate";
                findings.error("missing-field", &path, "the schedule has no steps", fix);
            }
        }
        LearningRate::CosineDecayLearningRate(rate) => {
            positive("cosine_decay_learning_rate.learning_rate_base", rate.learning_rate_base());
            let path = format!("{path}.cosine_decay_learning_rate");
            if rate.warmup_steps() > 0 && rate.warmup_learning_rate() > rate.learning_rate_base() {
                let message = "the warm-up starts above the learning rate that it leads to";
                findings.error(
                    "bad-value",
                    &format!("{path}.warmup_learning_rate"),
                    message,
                    "lower warmup_learning_rate",
                );
            }
            let start = u64::from(rate.warmup_steps()) + u64::from(rate.hold_base_rate_steps());
            if u64::from(rate.total_steps()) <= start {
                let message = format!("warm-up and hold take {start} steps and total_steps is {}", rate.total_steps());
                findings.error(
                    "bad-value",
                    &format!("{path}.total_steps"),
                    message,
                    "shorten them or raise total_steps",
                );
            } else if rate.total_steps() < num_steps {
                let message = format!(
                    "the learning rate is 0 after step {}, but training goes on to {num_steps}",
                    rate.total_steps()
                );
                findings.warning(
                    "learning-rate-ends",
                    &format!("{path}.total_steps"),
                    message,
                    format!("set total_steps to {num_steps}"),
                );
            }
        }
    }
}

fn check_checkpoint(train: &TrainConfig, facts: &DatasetFacts, findings: &mut Findings) {
    let path = "train_config.fine_tune_checkpoint";
    let checkpoint = train.fine_tune_checkpoint();
    if checkpoint.is_empty() {
        return;
    }
    if placeholder(checkpoint, path, findings) {
        return;
    }
    let Some(root) = &facts.root else { return };
    let file = paths::resolve(root, checkpoint);
    let bundle = PathBuf::from(format!("{}.index", file.display()));
    if !file.exists() && !bundle.exists() {
        let message = format!("the checkpoint {} does not exist", file.display());
        findings.error(
            "missing-file",
            path,
            message,
            "correct the path, or remove the line to start from random weights",
        );
    }
}

fn check_reader(reader: &InputReader, path: &str, facts: &DatasetFacts, findings: &mut Findings) {
    let at = format!("{path}.label_map_path");
    let label_map = reader.label_map_path();
    if label_map.is_empty() {
        findings.error("missing-path", &at, "there is no label map", "add `label_map_path: \"label_map.pbtxt\"`");
    } else if !placeholder(label_map, &at, findings)
        && let Some(root) = &facts.root
        && let Err(error) = label_map::read(paths::resolve(root, label_map))
    {
        findings.error("label-map", &at, error.to_string(), "correct the path or the file");
    }
    let at = format!("{path}.tf_record_input_reader");
    let inputs = match &reader.input_reader {
        Some(proto::input_reader::InputReader::TfRecordInputReader(records)) => records.input_path.as_slice(),
        _ => &[],
    };
    if inputs.is_empty() {
        let fix = "add `tf_record_input_reader { input_path: \"records/train.record-?????-of-00001\" }`";
        findings.error("missing-path", &at, "there are no records to read", fix);
    }
    for (index, input) in inputs.iter().enumerate() {
        let at = format!("{at}.input_path[{index}]");
        if placeholder(input, &at, findings) {
            continue;
        }
        let Some(root) = &facts.root else { continue };
        if paths::expand(root, input).is_empty() {
            let message = format!("no file matches {}", paths::resolve(root, input).display());
            findings.error("missing-file", &at, message, "write the records first, or correct the path");
        }
    }
}

/// Reports a path that somebody still has to fill in.
fn placeholder(value: &str, path: &str, findings: &mut Findings) -> bool {
    let is_one = value.contains("PATH_TO_BE_CONFIGURED");
    if is_one {
        findings.error(
            "path-to-be-configured",
            path,
            format!("\"{value}\" is only a placeholder"),
            "write the real path",
        );
    }
    is_one
}

fn check_metric(name: &str, path: &str, findings: &mut Findings) {
    match METRICS.iter().find(|(known, _)| *known == name) {
        Some((_, true)) => {}
        Some((_, false)) => {
            let message = format!("{name} is not computed here");
            findings.warning("unsupported-metric", path, message, "use coco_detection_metrics");
        }
        None => {
            let names: Vec<String> = METRICS.iter().map(|(known, _)| (*known).into()).collect();
            let fix = suggestion(name, &names).unwrap_or_else(|| "use coco_detection_metrics".into());
            findings.error("unknown-metric", path, format!("there are no metrics called \"{name}\""), fix);
        }
    }
}
