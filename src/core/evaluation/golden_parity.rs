//! Parity with TFOD's evaluators and pycocotools (`golden/eval`).

use boxwright_golden::{Row, Value, cases, flags, list, number, number64, numbers64, size, text};

use super::pascal::{Interpolation, PascalOptions, Protocol, average_precision, precision_recall};
use super::{DetectedImage, EvaluationResult, GroundtruthImage, coco, pascal};
use crate::annotation::BoxFlags;
use crate::geometry::PixelBox;
use crate::label_map::{LabelId, LabelMap, LabelMapItem};

const TOLERANCE: f64 = 1e-6;

fn label(value: &Value) -> LabelId {
    value.as_u64().and_then(|id| u32::try_from(id).ok()).and_then(LabelId::new).expect("a label id")
}

fn bounds(value: &Value) -> PixelBox {
    let edge = |i: usize| number64(&value[i]);
    PixelBox::new(edge(0), edge(1), edge(2), edge(3))
}

/// Detections and groundtruth, with its difficult and crowd flags or without.
struct Data {
    labels: LabelMap,
    detections: Vec<DetectedImage>,
    groundtruth: Vec<GroundtruthImage>,
}

fn data(value: &Value, difficult: bool, crowd: bool) -> Data {
    let item =
        |row: &Value| LabelMapItem { id: label(&row["id"]), name: text(&row["name"]).into(), display_name: None };
    let labels = LabelMap::new(list(&value["categories"]).iter().map(item)).expect("a label map");
    let (mut detections, mut groundtruth) = (Vec::new(), Vec::new());
    for image in list(&value["images"]) {
        let name = text(&image["id"]).to_owned();
        let boxes = list(&image["gt_boxes"]).iter().enumerate().map(|(i, b)| {
            let flags = BoxFlags {
                difficult: difficult && image["gt_difficult"][i] == Value::Bool(true),
                group_of: crowd && image["gt_is_crowd"][i].as_u64() == Some(1),
                ..BoxFlags::default()
            };
            (label(&image["gt_classes"][i]), bounds(b), flags)
        });
        groundtruth.push(GroundtruthImage { image: name.clone(), boxes: boxes.collect() });
        let found = list(&image["det_boxes"])
            .iter()
            .enumerate()
            .map(|(i, b)| (label(&image["det_classes"][i]), number(&image["det_scores"][i]), bounds(b)));
        detections.push(DetectedImage { image: name, detections: found.collect() });
    }
    Data { labels, detections, groundtruth }
}

/// What TFOD's evaluators said of data, by the name of the case: `pascal_iou0.75_difficult`, `coco_crowd`, ….
type Metrics = Vec<(String, Value)>;

/// The data of each pair of files `X detections` and `X metrics`, and the cases of the latter whose names have one of these
/// beginnings.
fn pairs(kinds: &[&str]) -> Vec<(Value, Metrics)> {
    let all_data = cases("eval", &["categories", "images"]);
    let mut found = Vec::new();
    for file in cases("eval", &[]) {
        let Some(entries) = file.json.as_object() else { continue };
        let wanted = |name: &String| kinds.iter().any(|kind| name.starts_with(kind));
        let metrics: Metrics = entries
            .iter()
            .filter(|(name, _)| wanted(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if metrics.is_empty() {
            continue;
        }
        let name = file.name.replace("metrics", "detections");
        let data = all_data.iter().find(|data| data.name == name || all_data.len() == 1);
        found.push((data.expect("the detections that were measured").json.clone(), metrics));
    }
    found
}

/// Compares `result` with a map of expected numbers; −1 and NaN mean "does not exist".
fn compare(row: &mut Row, case: &str, result: &EvaluationResult, name: &str, expected: &Value) {
    let expected = Some(number64(expected)).filter(|value| *value >= 0.0);
    let value = result.values.get(name).unwrap_or_else(|| panic!("{case}: {name} is missing"));
    match (expected, value) {
        (None, None) => {}
        (Some(expected), Some(value)) => {
            row.deviation(|| format!("{case}: {name}: {value} instead of {expected}"), (expected - value).abs());
        }
        other => panic!("{case}: {name}: {other:?}"),
    }
}

#[test]
fn coco_numbers() {
    let mut row = Row::new("eval/coco", TOLERANCE);
    for (value, metrics) in pairs(&["coco"]) {
        for (case, expected) in metrics {
            let data = data(&value, false, !case.contains("no_crowd"));
            let result = coco::evaluate(&data.groundtruth, &data.detections, &data.labels).expect("evaluated");
            for (name, expected) in expected.as_object().expect("a map") {
                if name != "per_class" {
                    compare(&mut row, &case, &result, name, expected);
                }
            }
            for (class, values) in expected["per_class"].as_object().expect("a map") {
                per_class(&mut row, &case, &result, class, values);
            }
            row.case();
        }
    }
    row.finish();
}

fn per_class(row: &mut Row, case: &str, result: &EvaluationResult, class: &str, values: &Value) {
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
        compare(row, case, result, &format!("DetectionBoxes_{name}/{class}"), &values[short]);
    }
}

/// The options of a case, which its name and the names of its metrics (`…@0.75IOU…`) tell.
fn pascal_options(case: &str, expected: &Value) -> PascalOptions {
    let first = expected.as_object().and_then(|map| map.keys().next()).expect("metrics");
    let iou = first.split_once('@').and_then(|(_, rest)| rest.split_once("IOU")).expect("a threshold in the name").0;
    let nms = case.split_once("nms").map(|(_, rest)| rest.split('_').next().unwrap_or(rest));
    PascalOptions {
        protocol: match case {
            _ if case.starts_with("weighted") => Protocol::WeightedPascal,
            _ if case.starts_with("open_images") => Protocol::OpenImagesV2,
            _ => Protocol::Pascal,
        },
        iou_threshold: iou.parse().expect("a number"),
        nms_iou_threshold: nms.map_or(1.0, |nms| nms.parse().expect("a number")),
        interpolation: Interpolation::AllPoints,
    }
}

#[test]
fn pascal_numbers() {
    let mut row = Row::new("eval/pascal", TOLERANCE);
    for (value, metrics) in pairs(&["pascal", "weighted_pascal", "open_images"]) {
        for (case, expected) in metrics {
            let data = data(&value, !case.contains("no_difficult"), true);
            let options = pascal_options(&case, &expected);
            let result =
                pascal::evaluate(&data.groundtruth, &data.detections, &data.labels, &options).expect("evaluated");
            let expected = expected.as_object().expect("a map");
            expected.iter().for_each(|(name, value)| compare(&mut row, &case, &result, name, value));
            assert_eq!(expected.len(), result.values.len(), "{case}");
            row.case();
        }
    }
    row.finish();
}

#[test]
fn precision_recall_numbers() {
    let mut row = Row::new("eval/precision_recall_ap", TOLERANCE);
    for file in cases("eval", &["tp_fp", "average_precision"]) {
        for case in list(&file.json) {
            let scored: Vec<(f32, bool)> =
                list(&case["scores"]).iter().map(number).zip(flags(&case["tp_fp"])).collect();
            let (precision, recall) = precision_recall(&scored, size(&case["num_gt"]));
            let average = average_precision(&precision, &recall, Interpolation::AllPoints);
            for (values, key) in [(&precision, "precision"), (&recall, "recall"), (&vec![average], "average_precision")]
            {
                let expected = numbers64(&case[key]);
                assert_eq!(values.len(), expected.len(), "{key}");
                for (value, expected) in values.iter().zip(expected) {
                    row.deviation(|| format!("{key}: {value} instead of {expected}"), (value - expected).abs());
                }
            }
            row.case();
        }
    }
    row.finish();
}
