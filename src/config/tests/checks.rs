//! What the check reports, at which line.

use boxwright_core::{ImageSize, LabelMap, NormalizedBox, Problem, Severity};

use super::{files, shared};
use crate::check::{
    BoxFact, DatasetFacts, DeviceMemory, LabelFact, RecordFacts, Verdict, anchor_report, check, memory_estimate,
    verdicts,
};
use crate::pipeline::Pipeline;
use crate::template::{TemplateValues, pipeline_from_template, template_names, with_anchors};
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
            "ssd_pnasnet",
            "unsupported-value",
            "use ssd_mobilenet_v1, ssd_mobilenet_v2, ssd_mobilenet_v1_fpn, or another",
        ),
        (
            "model.ssd.feature_extractor.type",
            "ssd_mobilenet_v11",
            "unsupported-value",
            "did you mean `ssd_mobilenet_v1`?",
        ),
        (
            "model.ssd.feature_extractor.replace_preprocessor_with_placeholder",
            "true",
            "unsupported-field",
            "remove `replace_preprocessor_with_placeholder`, or set it to false",
        ),
        ("model.ssd.image_resizer.keep_aspect_ratio_resizer", "{ }", "unsupported-field", "add pad_to_max_dimension"),
        ("model.ssd.box_coder.keypoint_box_coder", "{ }", "unsupported-field", "use faster_rcnn_box_coder"),
        ("model.ssd.loss.localization_loss.l1_localization_loss", "{ }", "unsupported-field", "use weighted_l2"),
        (
            "model.ssd.loss.expected_loss_weights",
            "EXPECTED_SAMPLING",
            "unsupported-field",
            "remove `expected_loss_weights`, or set it to NONE",
        ),
        ("model.ssd.mask_head_config", "{ }", "unsupported-field", "remove `mask_head_config`"),
        (
            "train_config.data_augmentation_options[1].autoaugment_image",
            "{ }",
            "unsupported-field",
            "use random_distort_color",
        ),
        (
            "model.ssd.use_confidences_as_targets",
            "true",
            "unsupported-field",
            "remove `use_confidences_as_targets`, or set it to false",
        ),
        ("model.center_net", "{ }", "unsupported-field", "use faster_rcnn or ssd"),
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
fn box_codes_fit_their_coder() {
    let set = |text: &str, path: &str, value: &str| set_field(text, path, value).expect("can be set");
    let text = remove_field(&template(), "model.ssd.box_coder.faster_rcnn_box_coder").expect("removed");
    let square = set(&text, "model.ssd.box_coder.square_box_coder", "{ }");
    let found = problems(&square, &DatasetFacts::default());
    assert_eq!((found.len(), found[0].fix.as_str()), (1, "set it to 3"), "{found:?}");
    let three = set(&square, "model.ssd.box_predictor.convolutional_box_predictor.box_code_size", "3");
    assert_eq!(problems(&three, &DatasetFacts::default()), []);
    let text = remove_field(&three, "model.ssd.loss.localization_loss.weighted_smooth_l1").expect("removed");
    let found = problems(&set(&text, "model.ssd.loss.localization_loss.weighted_iou", "{ }"), &DatasetFacts::default());
    assert_eq!(found.iter().map(|p| p.code.as_str()).collect::<Vec<_>>(), ["conflict"]);
    let clip = "model.ssd.box_predictor.convolutional_box_predictor.box_encodings_clip_range";
    for range in ["{ min: 2 max: 1 }", "{ min: -2 }", "{ }"] {
        let found = problems(&set(&template(), clip, range), &DatasetFacts::default());
        assert_eq!(found.iter().map(|p| p.code.as_str()).collect::<Vec<_>>(), ["bad-value"], "{range}");
    }
    let text = set(&template(), clip, "{ min: -2 max: 2 }");
    assert_eq!(problems(&text, &DatasetFacts::default()), []);
}

fn faster_rcnn_template() -> String {
    let values = TemplateValues::of("faster_rcnn_resnet50_v1").expect("a template");
    pipeline_from_template("faster_rcnn_resnet50_v1", &values).expect("a text")
}

/// What is said of the template of Faster R-CNN with a field set.
fn faster_rcnn(path: &str, value: &str) -> Vec<Problem> {
    problems(&set_field(&faster_rcnn_template(), path, value).expect("can be set"), &DatasetFacts::default())
}

#[test]
fn a_faster_rcnn_is_judged_by_its_own_rules() {
    assert_eq!(problems(&faster_rcnn_template(), &DatasetFacts::default()), []);
    let head = "model.faster_rcnn.second_stage_box_predictor";
    for (path, value, code, fix) in [
        ("model.faster_rcnn.number_of_stages", "3", "unsupported-value", "use 2"),
        ("model.faster_rcnn.context_config", "{ }", "unsupported-field", "remove `context_config`"),
        (
            "model.faster_rcnn.feature_extractor.type",
            "faster_rcnn_nas",
            "unsupported-value",
            "use faster_rcnn_resnet50",
        ),
        ("model.faster_rcnn.feature_extractor.fpn", "{ }", "unsupported-field", "remove `fpn`"),
        ("model.faster_rcnn.first_stage_box_predictor_conv_hyperparams.op", "FC", "unsupported-value", "use CONV"),
        (&format!("{head}.convolutional_box_predictor"), "{ }", "unsupported-field", "use mask_rcnn_box_predictor"),
        (&format!("{head}.mask_rcnn_box_predictor.fc_hyperparams.op"), "CONV", "bad-value", "set op to FC"),
        (&format!("{head}.mask_rcnn_box_predictor.box_code_size"), "5", "bad-value", "usual: 4"),
        (&format!("{head}.mask_rcnn_box_predictor.predict_instance_masks"), "true", "unsupported-field", "remove"),
        ("model.faster_rcnn.maxpool_kernel_size", "20", "bad-value", "usual: 2"),
    ] {
        let found = faster_rcnn(path, value);
        let errors: Vec<_> = found.iter().filter(|problem| problem.severity == Severity::Error).collect();
        assert!(errors.iter().any(|p| p.code == code && p.fix.starts_with(fix)), "{path}: {value}: {found:?}");
    }
    let stride = "model.faster_rcnn.feature_extractor.first_stage_features_stride";
    assert_eq!(faster_rcnn(stride, "8"), []);
    let text =
        set_field(&faster_rcnn_template(), "model.faster_rcnn.feature_extractor.type", "faster_rcnn_resnet50_keras")
            .expect("set");
    let found = problems(&set_field(&text, stride, "8").expect("set"), &DatasetFacts::default());
    assert_eq!(
        found.iter().map(|p| p.code.as_str()).collect::<Vec<_>>(),
        ["conflict"],
        "Keras' network has one stride"
    );
    let batch = faster_rcnn("train_config.batch_size", "4");
    assert_eq!(
        batch.iter().map(|p| (p.severity, p.code.as_str())).collect::<Vec<_>>(),
        [(Severity::Warning, "batch-of-many-sizes")]
    );
    let scores = faster_rcnn("model.faster_rcnn.second_stage_post_processing.score_converter", "SIGMOID");
    assert_eq!(scores[0].code, "score-converter", "{scores:?}");
}

#[test]
fn a_hostile_config_gets_an_answer_soon() {
    let text =
        "train_config {".to_owned() + &"data_augmentation_options { autoaugment_image {} } ".repeat(100_000) + "}";
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
        "model.ssd.box_predictor.convolutional_box_predictor.conv_hyperparams",
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
            // What keeps a sample from being trained is one thing that it names.
            let refused = [
                ("centernet_", "`center_net`"),
                ("ssd_efficientdet_", "EfficientDet"),
                ("ssd_mobilenet_v1_0.75", "`graph_rewriter`"),
                ("quantized", "`graph_rewriter`"),
            ];
            match refused.iter().find(|(part, _)| name.contains(part)) {
                Some((_, what)) => assert!(errors.iter().any(|p| p.message.contains(what)), "{name}: {errors:?}"),
                None => assert!(errors.is_empty(), "{name}: {errors:?}"),
            }
        }
    }
}

#[test]
fn every_field_gets_a_verdict_at_its_line() {
    let text = "train_config {\n  batch_size: 8\n  use_bfloat16: true\n  freeze_variables: ['a', 'b']\n  use_multiclass_scores: true\n  num_steps: 5\n  \
                merge_multiple_label_boxes: false\n}\nmodel { ssd { mask_head_config { mask_height: 9 } } }\n";
    let found = verdicts(&Pipeline::parse(text, "p").expect("a config"));
    let rows: Vec<(&str, usize, Verdict)> =
        found.iter().map(|field| (field.path.as_str(), field.line, field.verdict)).collect();
    assert_eq!(
        rows,
        [
            ("train_config.batch_size", 2, Verdict::Honoured),
            ("train_config.use_bfloat16", 3, Verdict::Approximated),
            ("train_config.freeze_variables[0]", 4, Verdict::Honoured),
            ("train_config.freeze_variables[1]", 4, Verdict::Honoured),
            ("train_config.use_multiclass_scores", 5, Verdict::Refused),
            ("train_config.num_steps", 6, Verdict::Honoured),
            ("train_config.merge_multiple_label_boxes", 7, Verdict::Honoured),
            ("model.ssd.mask_head_config.mask_height", 9, Verdict::Refused),
        ]
    );
    assert!(found[1].note.contains("32-bit") && found[4].note.contains("remove `use_multiclass_scores`"), "{found:#?}");
    let whole = verdicts(&Pipeline::parse(&template(), "p").expect("a config"));
    let text = template();
    let leaves = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim().to_owned());
    assert_eq!(whole.len(), leaves.filter(|line| line.contains(": ")).count() + 3, "all values and three empty blocks");
    assert!(whole.iter().all(|field| field.verdict == Verdict::Honoured), "{whole:#?}");
}

#[test]
fn a_pattern_that_is_none_is_found_at_its_line() {
    let text = template().replacen(
        "train_config {",
        "train_config {\n  freeze_variables: ['^Box.*', '', 'Conv2d_[']\n  update_trainable_variables: '^(?!Box)'",
        1,
    );
    let line = |word: &str| text.lines().position(|line| line.contains(word)).expect("there") + 1;
    let pipeline = Pipeline::parse(&text, "p").expect("a config");
    let found = check(&pipeline, &DatasetFacts::default());
    let found: Vec<_> = found.iter().filter(|problem| problem.code == "bad-pattern").collect();
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found.iter().all(|problem| problem.severity == Severity::Error));
    assert!(found[0].place.contains(&format!("{}", line("freeze_variables"))), "{found:#?}");
    assert!(found[0].message.contains("Conv2d_[") && found[0].message.contains("unclosed"), "{found:#?}");
    assert!(found[1].place.contains(&format!("{}", line("update_trainable_variables"))), "{found:#?}");
    assert!(found[1].message.contains("(?!Box)") && found[1].fix.contains("freeze_variables"), "{found:#?}");
}

#[test]
fn what_is_approximated_is_told_and_not_refused() {
    let found = problem("train_config.sync_replicas", "true");
    assert_eq!((found.severity, found.code.as_str()), (Severity::Info, "approximated"));
    let text = set_field(&template(), "train_config.sync_replicas", "false").expect("set");
    assert_eq!(problems(&text, &DatasetFacts::default()), [], "a default asks for nothing");
}

#[test]
fn what_is_given_twice_is_told() {
    let of = |text: &str| {
        let found = problems(text, &DatasetFacts::default());
        let told = |p: &&Problem| ["duplicate-field", "oneof-twice", "merged-block"].contains(&p.code.as_str());
        found.iter().filter(told).map(|p| (p.code.clone(), p.severity, p.place.clone())).collect::<Vec<_>>()
    };
    let row = |code: &str, severity, place: &str| (code.to_owned(), severity, place.to_owned());
    assert_eq!(
        of("train_config { batch_size: 1\nbatch_size: 2 }"),
        [row("duplicate-field", Severity::Error, "line 2, column 1")]
    );
    assert_eq!(
        of("train_config { batch_size: 1\nbatch_size: 1 }"),
        [row("duplicate-field", Severity::Warning, "line 2, column 1")]
    );
    let merged = of("train_config { batch_size: 1 }\ntrain_config { batch_size: 3 }");
    assert_eq!(merged.len(), 2, "{merged:?}");
    assert_eq!(
        of("train_config { optimizer { adam_optimizer {}\nmomentum_optimizer {} } }"),
        [row("oneof-twice", Severity::Error, "line 2, column 1")]
    );
    assert_eq!(of("train_config { data_augmentation_options {} data_augmentation_options {} }"), []);
    assert_eq!(of("eval_input_reader { shuffle: true }\neval_input_reader { shuffle: false }"), []);
}

#[test]
fn learning_rates_and_steps_are_weighed() {
    let rate = "train_config.optimizer.momentum_optimizer.learning_rate";
    let cosine = format!("{rate}.cosine_decay_learning_rate");
    for (path, value, code) in [
        (format!("{cosine}.learning_rate_base"), "0.5", "learning-rate-high"),
        (format!("{cosine}.total_steps"), "100000", "schedule-long"),
        (format!("{rate}.constant_learning_rate.learning_rate"), "1.0", "learning-rate-high"),
        (format!("{rate}.exponential_decay_learning_rate.burnin_steps"), "1000", "warm-up-long"),
        (
            "train_config.optimizer.adam_optimizer.learning_rate.constant_learning_rate.learning_rate".into(),
            "0.1",
            "learning-rate-high",
        ),
        (
            "train_config.optimizer.rms_prop_optimizer.learning_rate.constant_learning_rate.learning_rate".into(),
            "0.2",
            "learning-rate-high",
        ),
    ] {
        let found = problem(&path, value);
        assert_eq!((found.code.as_str(), found.severity), (code, Severity::Warning), "{path}: {value}");
        assert!(found.fix.contains("usual") || code != "learning-rate-high", "{}", found.fix);
    }
    // A large batch bears a large rate: TFOD's own 0.08 with 128 images.
    let text = set_field(&template(), &format!("{cosine}.learning_rate_base"), "0.08").expect("set");
    let text = set_field(&text, "train_config.batch_size", "128").expect("set");
    assert_eq!(problems(&text, &DatasetFacts::default()), []);
    let text = set_field(
        &template(),
        &format!("{rate}.manual_step_learning_rate"),
        "{ schedule { step: 900 } schedule { step: 5000 } }",
    );
    let found = problems(&text.expect("set"), &DatasetFacts::default());
    assert_eq!(found.iter().map(|p| p.code.as_str()).collect::<Vec<_>>(), ["step-not-reached"], "{found:?}");
    let facts = DatasetFacts { train_images: Some(100_000), ..DatasetFacts::default() };
    assert_eq!(problems(&template(), &facts)[0].code, "few-steps");
}

/// Boxes of one size, spread over the image.
fn boxes(side: f32, aspect: f32, count: usize) -> Vec<BoxFact> {
    let (h, w) = (side / aspect.sqrt(), side * aspect.sqrt());
    let place = |i: usize| (i as f32 * 0.618).fract();
    (0..count)
        .map(|i| {
            let (y, x) = (place(i) * (1.0 - h).max(0.0), place(i * 3 + 1) * (1.0 - w).max(0.0));
            let bounds = NormalizedBox::new(y, x, y + h, x + w);
            BoxFact { bounds, image: ImageSize::new(640, 640), class: 1 }
        })
        .collect()
}

#[test]
fn anchors_are_laid_over_the_boxes() {
    let labels = LabelMap::from_names(["nut"]).expect("valid");
    let facts = |boxes: Vec<BoxFact>| DatasetFacts {
        label_map: Some(labels.clone()),
        train: Some(RecordFacts {
            images: 50,
            whole: true,
            boxes,
            labels: vec![LabelFact { text: "nut".into(), number: Some(1), boxes: 200 }],
        }),
        ..DatasetFacts::default()
    };
    let fitting = facts(boxes(0.5, 1.0, 200));
    assert_eq!(problems(&template(), &fitting), []);
    // Things of a thirtieth of the image: no anchor of this config is so small.
    let tiny = facts(boxes(0.035, 1.0, 200));
    let found = problems(&template(), &tiny);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].code.as_str(), found[0].severity), ("anchors-miss", Severity::Warning));
    assert!(found[0].message.contains("nut 200 of 200 small"), "{}", found[0]);
    assert!(found[0].place.starts_with("line "), "{}", found[0]);
    // Long things: another shape is proposed, and it is better by the count that is given.
    let long = facts([boxes(0.25, 7.0, 100), boxes(0.12, 6.0, 100)].concat());
    let config = Pipeline::parse(&template(), "p").expect("a config").config;
    let report = anchor_report(&config, &long).expect("a report");
    assert!(report.unmatched > 100, "{report:?}");
    let proposal = report.proposal.expect("a proposal");
    let better = with_anchors(&template(), &proposal).expect("changed");
    let again = anchor_report(&Pipeline::parse(&better, "p").expect("a config").config, &long).expect("a report");
    assert_eq!(again.unmatched, proposal.unmatched);
    assert!(again.unmatched * 2 < report.unmatched, "{} of {}", again.unmatched, report.unmatched);
    assert_eq!(again.groups.iter().map(|group| group.boxes).sum::<usize>(), 200);
}

#[test]
fn anchors_of_all_kinds_are_laid() {
    let facts = DatasetFacts {
        train: Some(RecordFacts { images: 9, whole: true, boxes: boxes(0.3, 1.0, 60), labels: Vec::new() }),
        ..DatasetFacts::default()
    };
    for name in template_names() {
        let text = pipeline_from_template(name, &TemplateValues::of(name).expect("a template")).expect("a text");
        let config = Pipeline::parse(&text, name).expect("a config").config;
        let report = anchor_report(&config, &facts).unwrap_or_else(|| panic!("{name}: no report"));
        assert!(report.unmatched * 3 < report.boxes, "{name}: {report:?}");
        let memory = memory_estimate(&config, &facts).unwrap_or_else(|| panic!("{name}: no estimate"));
        assert!((2e8..4e10).contains(&memory.total()), "{name}: {memory:?}");
    }
}

#[test]
fn memory_is_compared_with_the_machine() {
    let of = |bytes: u64| {
        let memory = Some(DeviceMemory { device: "CPU, 2 threads".into(), bytes });
        problems(&template(), &DatasetFacts { memory, ..DatasetFacts::default() })
    };
    assert_eq!(of(64 << 30), []);
    let found = of(1 << 30);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].code == "memory" && found[0].message.contains("an estimate") && found[0].fix.contains("batch_size")
    );
}

#[test]
fn classes_are_compared_with_the_records() {
    let labels = LabelMap::from_names(["cat", "dog", "owl"]).expect("valid");
    let label = |text: &str, number, boxes| LabelFact { text: text.into(), number, boxes };
    let facts = |of_records: Vec<LabelFact>| DatasetFacts {
        label_map: Some(labels.clone()),
        train: Some(RecordFacts { images: 5, whole: true, boxes: Vec::new(), labels: of_records }),
        ..DatasetFacts::default()
    };
    let text = set_field(&template(), "model.ssd.num_classes", "3").expect("set");
    let codes = |of_records| {
        let found = problems(&text, &facts(of_records));
        found.into_iter().map(|p| p.code).filter(|code| code != "batch-size").collect::<Vec<_>>()
    };
    let all = || vec![label("cat", Some(1), 4), label("dog", None, 4), label("", Some(3), 1)];
    assert_eq!(codes(all()), Vec::<String>::new());
    assert_eq!(codes([all(), vec![label("cta", Some(1), 2)]].concat()), ["label-not-in-map"]);
    assert_eq!(codes([all(), vec![label("", Some(9), 2)]].concat()), ["label-not-in-map"]);
    assert_eq!(codes([all(), vec![label("", None, 2)]].concat()), ["label-not-in-map"]);
    assert_eq!(codes([all(), vec![label("dog", Some(1), 2)]].concat()), ["label-number"]);
    assert_eq!(codes(vec![label("cat", Some(1), 4)]), ["class-without-boxes"]);
    assert_eq!(codes(Vec::new()), ["no-boxes"]);
}

#[test]
fn mobile_networks_are_honoured_but_for_what_they_cannot_be() {
    let network = "model.ssd.feature_extractor.type";
    let names = ["mobilenet_v3_large", "mobilenet_v3_small", "mobiledet_cpu", "mobiledet_dsp", "mobiledet_gpu"];
    for name in names {
        let text = set_field(&template(), network, &format!("\"ssd_{name}\"")).expect("can be set");
        assert_eq!(problems(&text, &DatasetFacts::default()), [], "{name}");
        let config = Pipeline::parse(&text, "p").expect("a config").config;
        assert!(memory_estimate(&config, &DatasetFacts::default()).is_some(), "{name}");
        let path = "model.ssd.feature_extractor.use_explicit_padding";
        let found = problems(&set_field(&text, path, "true").expect("can be set"), &DatasetFacts::default());
        let codes: Vec<&str> = found.iter().map(|problem| problem.code.as_str()).collect();
        let wanted: &[&str] = if name.contains("mobiledet") { &["conflict"] } else { &[] };
        assert_eq!(codes, wanted, "{name}: {found:?}");
    }
    for (name, word) in [("ssd_mobilenet_edgetpu", "not built"), ("ssd_mobilenet_v3_lareg", "no network called")] {
        let text = set_field(&template(), network, &format!("\"{name}\"")).expect("can be set");
        let found = problems(&text, &DatasetFacts::default());
        assert!(found.len() == 1 && found[0].message.contains(word), "{found:?}");
    }
}
