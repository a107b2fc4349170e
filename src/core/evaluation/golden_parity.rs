//! Parity with TFOD's evaluators and pycocotools (`golden/eval`).

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::pascal::{Interpolation, PascalOptions, Protocol, average_precision, precision_recall};
use super::{DetectedImage, EvaluationResult, GroundtruthImage, coco, pascal};
use crate::annotation::BoxFlags;
use crate::geometry::PixelBox;
use crate::label_map::{LabelId, LabelMap, LabelMapItem};

const TOLERANCE: f64 = 1e-6;

/// `BOXWRIGHT_GOLDEN`, or `golden` of the shared data beside the checkout.
fn golden(file: &str) -> Option<Value> {
    let shared = || match std::env::var_os("BOXWRIGHT_SHARED") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
    };
    let folder = std::env::var_os("BOXWRIGHT_GOLDEN").map_or_else(|| shared().join("golden"), PathBuf::from);
    let Ok(text) = fs::read_to_string(folder.join("eval").join(file)) else {
        println!("skipped: no ../shared here");
        return None;
    };
    Some(serde_json::from_str(&text).expect("golden files are JSON"))
}

fn rows(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn label(value: &Value) -> LabelId {
    value.as_u64().and_then(|id| u32::try_from(id).ok()).and_then(LabelId::new).expect("a label id")
}

fn bounds(value: &Value) -> PixelBox {
    let edge = |i: usize| value[i].as_f64().expect("a number");
    PixelBox::new(edge(0), edge(1), edge(2), edge(3))
}

/// The data of `detections.json`, with its difficult and crowd flags or without.
struct Data {
    labels: LabelMap,
    detections: Vec<DetectedImage>,
    groundtruth: Vec<GroundtruthImage>,
}

fn data(difficult: bool, crowd: bool) -> Option<Data> {
    let value = golden("detections.json")?;
    let item = |row: &Value| LabelMapItem {
        id: label(&row["id"]),
        name: row["name"].as_str().expect("a name").into(),
        display_name: None,
    };
    let labels = LabelMap::new(rows(&value["categories"]).iter().map(item)).expect("a label map");
    let (mut detections, mut groundtruth) = (Vec::new(), Vec::new());
    for image in rows(&value["images"]) {
        let name = image["id"].as_str().expect("an id").to_owned();
        let boxes = rows(&image["gt_boxes"]).iter().enumerate().map(|(i, b)| {
            let flags = BoxFlags {
                difficult: difficult && image["gt_difficult"][i] == Value::Bool(true),
                group_of: crowd && image["gt_is_crowd"][i].as_u64() == Some(1),
                ..BoxFlags::default()
            };
            (label(&image["gt_classes"][i]), bounds(b), flags)
        });
        groundtruth.push(GroundtruthImage { image: name.clone(), boxes: boxes.collect() });
        let found = rows(&image["det_boxes"]).iter().enumerate().map(|(i, b)| {
            (label(&image["det_classes"][i]), image["det_scores"][i].as_f64().expect("a score") as f32, bounds(b))
        });
        detections.push(DetectedImage { image: name, detections: found.collect() });
    }
    Some(Data { labels, detections, groundtruth })
}

/// The largest deviation of `result` from a map of expected numbers; −1 and NaN mean "does not exist".
fn deviation(result: &EvaluationResult, name: &str, expected: &Value) -> f64 {
    let expected = expected.as_f64().filter(|value| *value >= 0.0);
    let value = result.values.get(name).unwrap_or_else(|| panic!("{name} is missing"));
    match (expected, value) {
        (None, None) => 0.0,
        (Some(expected), Some(value)) => (expected - value).abs(),
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn coco_numbers() {
    let Some(metrics) = golden("metrics.json") else { return };
    for (case, crowd) in [("coco_crowd", true), ("coco_no_crowd", false)] {
        let Some(data) = data(false, crowd) else { return };
        let result = coco::evaluate(&data.groundtruth, &data.detections, &data.labels).expect("evaluated");
        let (mut largest, mut count) = (0.0f64, 0);
        for (name, expected) in metrics[case].as_object().expect("a map") {
            if name != "per_class" {
                largest = largest.max(deviation(&result, name, expected));
                count += 1;
            }
        }
        for (class, values) in metrics[case]["per_class"].as_object().expect("a map") {
            for (short, name) in [
                ("AP", "Precision mAP ByCategory"),
                ("AP50", "Precision mAP@.50IOU ByCategory"),
                ("AP75", "Precision mAP@.75IOU ByCategory"),
                ("AP_small", "Precision mAP (small) ByCategory"),
                ("AP_medium", "Precision mAP (medium) ByCategory"),
                ("AP_large", "Precision mAP (large) ByCategory"),
                ("AR1", "Recall AR@1 ByCategory"),
                ("AR10", "Recall AR@10 ByCategory"),
                ("AR100", "Recall AR@100 ByCategory"),
            ] {
                largest = largest.max(deviation(&result, &format!("DetectionBoxes_{name}/{class}"), &values[short]));
                count += 1;
            }
        }
        println!("eval {case} | {count} | {largest:.2e} | {TOLERANCE:.0e}");
        assert!(largest <= TOLERANCE && count == 12 + 6 * 9);
    }
}

#[test]
fn pascal_numbers() {
    let Some(metrics) = golden("metrics.json") else { return };
    let plain = PascalOptions::default();
    let weighted = PascalOptions { protocol: Protocol::WeightedPascal, ..plain };
    let open_images = PascalOptions { protocol: Protocol::OpenImagesV2, ..plain };
    let mut cases = 0;
    for (case, difficult, options) in [
        ("pascal_iou0.5_difficult", true, plain),
        ("pascal_iou0.5_no_difficult", false, plain),
        ("pascal_iou0.75_difficult", true, PascalOptions { iou_threshold: 0.75, ..plain }),
        ("pascal_nms0.5", true, PascalOptions { nms_iou_threshold: 0.5, ..plain }),
        ("weighted_pascal_iou0.5", true, weighted),
        ("open_images_group_of", true, open_images),
    ] {
        let Some(data) = data(difficult, true) else { return };
        let Some(expected) = metrics[case].as_object() else { continue };
        let result = pascal::evaluate(&data.groundtruth, &data.detections, &data.labels, &options).expect("evaluated");
        let largest = expected.iter().map(|(name, value)| deviation(&result, name, value)).fold(0.0, f64::max);
        println!("eval {case} | {} | {largest:.2e} | {TOLERANCE:.0e}", expected.len());
        assert!(largest <= TOLERANCE, "{case}");
        assert_eq!(expected.len(), result.values.len());
        cases += 1;
    }
    assert!(cases > 0, "metrics.json holds no Pascal case");
}

#[test]
fn precision_recall_numbers() {
    let Some(cases) = golden("precision_recall_ap.json") else { return };
    let mut largest = 0.0f64;
    for case in rows(&cases) {
        let scored: Vec<(f32, bool)> = rows(&case["scores"])
            .iter()
            .zip(rows(&case["tp_fp"]))
            .map(|(score, hit)| (score.as_f64().expect("a score") as f32, hit == &Value::Bool(true)))
            .collect();
        let objects = case["num_gt"].as_u64().and_then(|n| usize::try_from(n).ok()).expect("a count");
        let (precision, recall) = precision_recall(&scored, objects);
        for (values, key) in [(&precision, "precision"), (&recall, "recall")] {
            assert_eq!(values.len(), rows(&case[key]).len());
            for (value, expected) in values.iter().zip(rows(&case[key])) {
                largest = largest.max((value - expected.as_f64().expect("a number")).abs());
            }
        }
        let average = average_precision(&precision, &recall, Interpolation::AllPoints);
        largest = largest.max((average - case["average_precision"].as_f64().expect("a number")).abs());
    }
    println!("eval precision_recall_ap | {} | {largest:.2e} | {TOLERANCE:.0e}", rows(&cases).len());
    assert!(largest <= TOLERANCE && !rows(&cases).is_empty());
}
