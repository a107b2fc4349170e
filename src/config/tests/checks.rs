//! What the check reports, at which line.

use boxwright_core::{LabelMap, Problem, Severity};

use super::{files, shared};
use crate::check::{DatasetFacts, check};
use crate::pipeline::Pipeline;
use crate::template::{TemplateValues, pipeline_from_template};
use crate::{remove_field, set_field};

fn template() -> String {
    pipeline_from_template("ssd_mobilenet_v1", &TemplateValues::default()).expect("a template")
}

fn problems(text: &str, facts: &DatasetFacts) -> Vec<Problem> {
    check(&Pipeline::parse(text, "p").expect("a config"), facts)
}

/// The one problem after one change of the template.
fn problem(path: &str, value: &str) -> Problem {
    let text = set_field(&template(), path, value).expect("can be set");
    let mut found = problems(&text, &DatasetFacts::default());
    assert_eq!(found.len(), 1, "{path}: {value}: {found:?}");
    let line = Pipeline::parse(&text, "p").expect("a config").place(path);
    assert_eq!(found[0].place, line, "{path}: {value}");
    found.remove(0)
}

#[test]
fn what_is_not_honoured_is_refused_at_its_line() {
    for (path, value, code, fix) in [
        (
            "model.ssd.feature_extractor.type",
            "ssd_mobilenet_v2",
            "unsupported-value",
            "did you mean `ssd_mobilenet_v1`?",
        ),
        (
            "model.ssd.feature_extractor.replace_preprocessor_with_placeholder",
            "true",
            "unsupported-field",
            "remove `replace_preprocessor_with_placeholder`, or set it to false",
        ),
        ("model.ssd.image_resizer.keep_aspect_ratio_resizer", "{ }", "unsupported-field", "use fixed_shape_resizer"),
        ("model.ssd.box_coder.square_box_coder", "{ }", "unsupported-field", "use faster_rcnn_box_coder"),
        ("model.ssd.matcher.bipartite_matcher", "{ }", "unsupported-field", "use argmax_matcher"),
        (
            "model.ssd.loss.expected_loss_weights",
            "EXPECTED_SAMPLING",
            "unsupported-field",
            "remove `expected_loss_weights`, or set it to NONE",
        ),
        ("model.ssd.mask_head_config", "{ }", "unsupported-field", "remove `mask_head_config`"),
        (
            "train_config.data_augmentation_options[1].random_patch_gaussian",
            "{ }",
            "unsupported-field",
            "use random_horizontal_flip",
        ),
        (
            "model.ssd.post_processing.batch_non_max_suppression.use_combined_nms",
            "true",
            "unsupported-field",
            "remove `use_combined_nms`, or set it to false",
        ),
        ("model.faster_rcnn", "{ }", "unsupported-field", "use ssd"),
        ("model.ssd.box_predictor.rfcn_box_predictor", "{ }", "unsupported-field", "use convolutional_box_predictor"),
        ("graph_rewriter.quantization.delay", "1", "unsupported-field", "remove `graph_rewriter`"),
    ] {
        let text = set_field(&template(), path, value).expect("can be set");
        let found = problems(&text, &DatasetFacts::default());
        let expected = found.iter().find(|problem| problem.code == code && problem.fix.starts_with(fix));
        let expected = expected.unwrap_or_else(|| panic!("{path}: {value}: {found:?}"));
        assert_eq!(expected.severity, Severity::Error);
        let errors = found.iter().filter(|problem| problem.severity == Severity::Error).count();
        assert_eq!(errors, 1, "one mistake is reported once: {found:?}");
        assert!(expected.place.starts_with("line "), "{expected}");
    }
    // A field at its default asks for nothing.
    let text = set_field(&template(), "model.ssd.feature_extractor.replace_preprocessor_with_placeholder", "false")
        .expect("set");
    assert_eq!(problems(&text, &DatasetFacts::default()), []);
}

#[test]
fn a_hostile_config_gets_an_answer_soon() {
    let text = "train_config {".to_owned() + &"data_augmentation_options { adjust_gamma {} } ".repeat(100_000) + "}";
    assert_eq!(problems(&text, &DatasetFacts::default()).len(), 200);
}

#[test]
fn values_that_cannot_be_trained() {
    let rate = "train_config.optimizer.momentum_optimizer.learning_rate.cosine_decay_learning_rate";
    for (path, value, severity) in [
        ("train_config.batch_size", "0", Severity::Error),
        ("train_config.num_steps", "0", Severity::Warning),
        ("train_config.gradient_clipping_by_norm", "-1", Severity::Error),
        ("model.ssd.num_classes", "0", Severity::Error),
        ("model.ssd.image_resizer.fixed_shape_resizer.height", "0", Severity::Error),
        ("model.ssd.feature_extractor.depth_multiplier", "nan", Severity::Error),
        ("model.ssd.matcher.argmax_matcher.unmatched_threshold", "0.6", Severity::Error),
        ("model.ssd.anchor_generator.ssd_anchor_generator.num_layers", "5", Severity::Error),
        ("model.ssd.feature_extractor.num_layers", "7", Severity::Error),
        ("model.ssd.anchor_generator.ssd_anchor_generator.min_scale", "0.99", Severity::Error),
        ("model.ssd.anchor_generator.ssd_anchor_generator.height_stride", "16", Severity::Error),
        ("model.ssd.post_processing.batch_non_max_suppression.iou_threshold", "60", Severity::Error),
        ("model.ssd.post_processing.score_converter", "SOFTMAX", Severity::Warning),
        (&format!("{rate}.learning_rate_base"), "inf", Severity::Error),
        (&format!("{rate}.total_steps"), "0", Severity::Error),
        (&format!("{rate}.total_steps"), "500", Severity::Warning),
        ("eval_config.metrics_set[0]", "coco_detection_metric", Severity::Error),
        ("eval_config.metrics_set[0]", "coco_mask_metrics", Severity::Warning),
    ] {
        assert_eq!(problem(path, value).severity, severity, "{path}: {value}");
    }
    let steps = "train_config { optimizer { momentum_optimizer { learning_rate { manual_step_learning_rate { \
                 schedule { step: 10 }\nschedule { step: 5 } } } } } }";
    let found = problems(steps, &DatasetFacts::default());
    assert!(
        found
            .iter()
            .any(|p| p.place == "line 2, column 12" && p.message.contains("step 5 does not come after step 10")),
        "{found:?}"
    );
}

#[test]
fn what_is_missing_is_named() {
    for path in [
        "model",
        "model.ssd.loss.localization_loss",
        "model.ssd.box_coder",
        "train_config.optimizer",
        "train_input_reader",
        "train_config.optimizer.momentum_optimizer.learning_rate",
        "model.ssd.post_processing",
        "model.ssd.box_predictor.convolutional_box_predictor.conv_hyperparams.initializer",
        "model.ssd.feature_extractor.conv_hyperparams",
    ] {
        let text = remove_field(&template(), path).expect("removed");
        let found = problems(&text, &DatasetFacts::default());
        let name = path.rsplit('.').next().expect("a name");
        assert!(
            found.iter().any(|p| p.code == "missing-field"
                && (p.message.starts_with(&format!("`{name}` is missing")) || name == "learning_rate")),
            "{path}: {found:?}"
        );
        assert!(found.len() == 1, "{path}: one mistake is reported once: {found:?}");
    }
    let text = template().replace("weighted_smooth_l1 {\n          delta: 1.0\n        }", "");
    let found = problems(&text, &DatasetFacts::default());
    assert!(
        found.len() == 1
            && found[0].message == "`localization_loss` is empty"
            && found[0].fix.contains("weighted_smooth_l1"),
        "{found:?}"
    );
    assert!(problems("", &DatasetFacts::default()).len() >= 3);
}

#[test]
fn the_data_must_fit() {
    let labels = LabelMap::from_names(["a", "b", "c"]).expect("valid");
    let facts =
        DatasetFacts { label_map: Some(labels), train_images: Some(5), most_boxes: Some(150), ..Default::default() };
    let found = problems(&template(), &facts);
    let codes: Vec<&str> = found.iter().map(|problem| problem.code.as_str()).collect();
    assert_eq!(codes, ["boxes-cut", "num-classes", "batch-size"]);
}

#[test]
fn files_are_looked_for() {
    let root = std::env::temp_dir().join(format!("boxwright-config-{}", std::process::id()));
    std::fs::create_dir_all(root.join("records")).expect("a folder");
    let facts = DatasetFacts { root: Some(root.clone()), ..Default::default() };
    let codes = || problems(&template(), &facts).into_iter().map(|problem| problem.code).collect::<Vec<_>>();
    assert_eq!(codes(), ["label-map", "missing-file", "label-map", "missing-file"]);
    std::fs::write(root.join("label_map.pbtxt"), "item { id: 2 name: 'a' }").expect("written");
    std::fs::write(root.join("records/train.record-00000-of-00001"), "").expect("written");
    std::fs::write(root.join("records/val.record-00000-of-00001"), "").expect("written");
    assert_eq!(codes(), ["num-classes"]);
    let text = set_field(&template(), "train_config.fine_tune_checkpoint", "no/model.ckpt").expect("set");
    let found = problems(&text, &facts);
    assert!(
        found.iter().any(|p| p.code == "missing-file" && p.message.contains("no/model.ckpt does not exist")),
        "{found:?}"
    );
    std::fs::remove_dir_all(&root).expect("removed");
}

#[test]
fn tfods_samples_are_judged_without_a_panic() {
    let Some(shared) = shared() else { return };
    for folder in ["data/tfod-configs/tf1", "data/tfod-configs/tf2", "golden/config"] {
        for path in files(&shared.join(folder), "config") {
            let found = check(&Pipeline::read(&path).expect("a config"), &DatasetFacts::default());
            let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
            let errors: Vec<_> =
                found.iter().filter(|p| p.severity == Severity::Error && p.code != "path-to-be-configured").collect();
            match name {
                "ssd_mobilenet_v1_pets.config" | "ssd_mobilenet_v1_coco.config" => {
                    assert!(errors.is_empty(), "{name}: {errors:?}")
                }
                "own_ssd_v1_manual.config" => assert_eq!(errors.len(), 1, "its brightness: {errors:?}"),
                _ if name.starts_with("ssd_mobilenet_v1_0.75") => {
                    assert!(errors.iter().any(|p| p.message.contains("graph_rewriter")))
                }
                _ => assert!(!errors.is_empty(), "{name} is no model of ours yet"),
            }
        }
    }
}
