//! The configs of `tests/broken_configs`: each is broken on purpose, and each is answered with the field, the
//! line and what to do.

use std::path::{Path, PathBuf};
use std::time::Instant;

use boxwright_core::{Problem, Severity};

use super::files;
use crate::check::{DatasetFacts, check, verdicts};
use crate::error::ConfigError;
use crate::pipeline::Pipeline;

/// File, code, line (0 where there is no line to name), a word of the message or its field, a word of the fix.
#[rustfmt::skip]
const EXPECTED: &[(&str, &str, usize, &str, &str)] = &[
    ("aspect_ratio_zero", "bad-value", 101, "aspect_ratios", "0.3333"),
    ("batch_size_zero", "bad-value", 135, "batch_size", "usual: 8"),
    ("binary", "not-utf-8", 2, "0xFF", "another one"),
    ("center_net", "unsupported-field", 3, "center_net", "use faster_rcnn or ssd"),
    ("conflicting_checkpoint_type", "conflict", 137, "from_detection_checkpoint", "remove from_detection_checkpoint"),
    ("cosine_shorter_than_warm_up", "bad-value", 143, "total_steps", "raise total_steps"),
    ("crop_areas_reversed", "bad-value", 157, "min_area", "at most `max_area`"),
    ("dropout_above_one", "bad-value", 65, "dropout_keep_probability", "0.8"),
    ("duplicate_scalar", "duplicate-field", 137, "batch_size", "delete one"),
    ("empty", "missing-field", 0, "model", "add `model"),
    ("faster_rcnn_crop", "missing-field", 3, "initial_crop_size", "add `initial_crop_size: 14`"),
    ("faster_rcnn_crop", "missing-field", 3, "second_stage_box_predictor", "number_of_stages to 1"),
    ("faster_rcnn_crop", "bad-value", 7, "min_dimension", "at most `max_dimension`"),
    ("faster_rcnn_crop", "bad-value", 13, "first_stage_features_stride", "8 or 16"),
    ("faster_rcnn_crop", "bad-value", 24, "32 proposals", "first_stage_max_proposals"),
    ("flip_probability", "bad-value", 153, "probability", "0.5"),
    ("image_size_zero", "bad-value", 7, "height", "300"),
    ("iou_threshold", "bad-value", 108, "iou_threshold", "0.6"),
    ("keypoint_coder", "unsupported-field", 39, "keypoint_box_coder", "faster_rcnn_box_coder"),
    ("layers_against_maps", "bad-value", 95, "5 layers", "use 6"),
    ("manual_steps_not_rising", "bad-value", 148, "step 300", "rising order"),
    ("mask_head", "unsupported-field", 114, "mask_head_config", "remove `mask_head_config`"),
    ("matcher_thresholds", "bad-value", 49, "unmatched_threshold", "lower unmatched_threshold"),
    ("missing_checkpoint", "missing-file", 137, "models/model.ckpt", "correct the path"),
    ("missing_label_map", "label-map", 161, "labels.pbtxt", "correct the path"),
    ("missing_model", "missing-field", 0, "model", "add `model"),
    ("missing_shard", "missing-shard", 163, "partial.record-00001-of-00002", "copy the missing files"),
    ("misspelt_field", "unknown-field", 4, "num_clases", "`num_classes`"),
    ("nan", "bad-value", 25, "stddev", "0.03"),
    ("negative_learning_rate", "bad-value", 142, "learning_rate_base", "0.004"),
    ("nesting", "unknown-field", 2, "model", "delete it"),
    ("network_not_built_here", "unsupported-value", 12, "ssd_pnasnet", "ssd_mobilenet_v1"),
    ("no_learning_rate", "missing-field", 138, "momentum_optimizer", "add `learning_rate"),
    ("no_optimizer", "missing-field", 134, "optimizer", "add `optimizer"),
    ("no_records", "missing-path", 160, "records", "input_path"),
    ("num_classes_below_the_label_map", "num-classes", 4, "num_classes", "set it to 2"),
    ("out_of_range", "out-of-range", 136, "num_steps", "from 0"),
    ("placeholder", "path-to-be-configured", 175, "PATH_TO_BE_CONFIGURED", "real path"),
    ("pyramid_levels", "bad-value", 99, "levels 4 to 8", "min_level to 3"),
    ("pyramid_levels", "bad-value", 102, "scales_per_octave", "2"),
    ("scales_reversed", "bad-value", 96, "0.98", "0.2 to 0.95"),
    ("syntax", "syntax", 135, "batch_size", "name: value"),
    ("two_models", "oneof-twice", 135, "faster_rcnn", "delete `ssd`"),
    ("unbalanced_brace", "unclosed", 176, "line 171", "add a `}`"),
    ("unknown_metrics", "unknown-metric", 167, "coco_detections_metrics", "coco_detection_metrics"),
    ("unknown_network", "unsupported-value", 12, "ssd_mobilnet_v1", "ssd_mobilenet_v1"),
    ("unterminated_string", "unclosed", 161, "string", "add a \""),
    ("wrong_enum", "unknown-enum-value", 16, "RELU6", "did you mean"),
    ("wrong_type", "wrong-type", 136, "num_steps", "whole number"),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/broken_configs")
}

/// What `boxwright config check` says of a file.
fn problems(path: &Path) -> Vec<Problem> {
    let facts = DatasetFacts { root: Some(folder()), ..DatasetFacts::default() };
    match Pipeline::read(path) {
        Ok(pipeline) => {
            assert!(!verdicts(&pipeline).is_empty() || pipeline.text().trim().is_empty(), "{}", path.display());
            check(&pipeline, &facts)
        }
        Err(error @ ConfigError::Text(_)) => vec![error.to_problem()],
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

#[test]
fn each_names_field_line_and_fix() {
    for &(name, code, line, word, fix) in EXPECTED {
        // The one that is no text at all is not called a config, for the sake of those who search them.
        let ending = if name == "binary" { "bytes" } else { "config" };
        let found = problems(&folder().join(format!("{name}.{ending}")));
        let place = if line == 0 { String::new() } else { format!("line {line}, ") };
        let fits = |p: &&Problem| {
            let at = if line == 0 { p.place.is_empty() } else { p.place.starts_with(&place) };
            p.code == code && at && p.message.contains(word) && p.fix.contains(fix)
        };
        let problem = found.iter().find(fits).unwrap_or_else(|| panic!("{name}: no {code} at {place}: {found:#?}"));
        assert_eq!(problem.severity, Severity::Error, "{name}");
    }
}

#[test]
fn none_is_accepted_and_all_are_answered_soon() {
    let all = [files(&folder(), "config"), files(&folder(), "bytes")].concat();
    assert!(all.len() >= 40, "{}", all.len());
    let begin = Instant::now();
    for path in &all {
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
        assert!(EXPECTED.iter().any(|row| row.0 == name), "{name} is not in the table");
        let found = problems(path);
        assert!(found.iter().any(|p| p.severity == Severity::Error), "{name} is accepted: {found:?}");
        for problem in &found {
            assert!(!problem.message.is_empty() && !problem.fix.is_empty(), "{name}: {problem}");
        }
        let text = String::from_utf8_lossy(&std::fs::read(path).expect("readable")).into_owned();
        assert!(text.is_empty() || text.starts_with("# "), "{name} does not say what is wrong with it");
    }
    // 20 ms each in a release build; this one may be slow and the machine busy.
    assert!(begin.elapsed().as_secs_f64() < 0.2 * all.len() as f64, "{:?}", begin.elapsed());
}

#[test]
fn what_a_second_model_lacks_is_not_missed() {
    let found = problems(&folder().join("two_models.config"));
    let codes: Vec<&str> = found.iter().map(|problem| problem.code.as_str()).collect();
    assert_eq!(codes, ["merged-block", "oneof-twice"], "{found:#?}");
}
