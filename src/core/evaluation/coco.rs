//! COCO's detection metrics, as TFOD's `CocoDetectionEvaluator` reports them.
//!
//! The matching and averaging are those of `hotcoco`, which repeats pycocotools number for number;
//! here the data go in and TFOD's names come out. Crowds ([`crate::BoxFlags::group_of`]) are regions
//! in which detections do not count; `difficult` means nothing to COCO.

use hotcoco::{Annotation, COCO, COCOeval, Category, Dataset, Image, IouType};

use super::{DetectedImage, EvaluationError, EvaluationResult, GroundtruthImage, pair};
use crate::geometry::PixelBox;
use crate::label_map::LabelMap;

/// The twelve numbers in COCO's order.
const SUMMARY: [&str; 12] = [
    "DetectionBoxes_Precision/mAP",
    "DetectionBoxes_Precision/mAP@.50IOU",
    "DetectionBoxes_Precision/mAP@.75IOU",
    "DetectionBoxes_Precision/mAP (small)",
    "DetectionBoxes_Precision/mAP (medium)",
    "DetectionBoxes_Precision/mAP (large)",
    "DetectionBoxes_Recall/AR@1",
    "DetectionBoxes_Recall/AR@10",
    "DetectionBoxes_Recall/AR@100",
    "DetectionBoxes_Recall/AR@100 (small)",
    "DetectionBoxes_Recall/AR@100 (medium)",
    "DetectionBoxes_Recall/AR@100 (large)",
];

/// One number of a class: its name in TFOD, what it averages, and over which part.
struct ClassMetric {
    name: &'static str,
    recall: bool,
    /// The IoU threshold; all of them where `None`.
    iou: Option<f64>,
    area: &'static str,
    max_detections: usize,
}

const fn precision(name: &'static str, iou: Option<f64>, area: &'static str) -> ClassMetric {
    ClassMetric { name, recall: false, iou, area, max_detections: 100 }
}

const fn recall(name: &'static str, max_detections: usize, area: &'static str) -> ClassMetric {
    ClassMetric { name, recall: true, iou: None, area, max_detections }
}

const PER_CLASS: [ClassMetric; 12] = [
    precision("Precision mAP ByCategory", None, "all"),
    precision("Precision mAP@.50IOU ByCategory", Some(0.5), "all"),
    precision("Precision mAP@.75IOU ByCategory", Some(0.75), "all"),
    precision("Precision mAP (small) ByCategory", None, "small"),
    precision("Precision mAP (medium) ByCategory", None, "medium"),
    precision("Precision mAP (large) ByCategory", None, "large"),
    recall("Recall AR@1 ByCategory", 1, "all"),
    recall("Recall AR@10 ByCategory", 10, "all"),
    recall("Recall AR@100 ByCategory", 100, "all"),
    recall("Recall AR@100 (small) ByCategory", 100, "small"),
    recall("Recall AR@100 (medium) ByCategory", 100, "medium"),
    recall("Recall AR@100 (large) ByCategory", 100, "large"),
];

/// COCO's metrics over all images of the ground truth, and the same for each class of the label map
/// (`DetectionBoxes_PerformanceByCategory/mAP/NAME`, `DetectionBoxes_Precision mAP@.50IOU
/// ByCategory/NAME`, …). Detections of classes that the map lacks do not count.
///
/// # Errors
/// Images that do not fit together, or an object of an unknown class.
pub fn evaluate(
    groundtruth: &[GroundtruthImage],
    detections: &[DetectedImage],
    labels: &LabelMap,
) -> Result<EvaluationResult, EvaluationError> {
    let pairs = pair(groundtruth, detections, labels)?;
    let engine = |error: hotcoco::Error| EvaluationError::Engine { reason: error.to_string() };
    let mut dataset = Dataset {
        categories: labels
            .items()
            .iter()
            .map(|item| Category { id: u64::from(item.id.get()), name: item.name.clone(), ..Category::default() })
            .collect(),
        ..Dataset::default()
    };
    let mut results = Vec::new();
    for (id, (image, found)) in (1u64..).zip(&pairs) {
        dataset.images.push(Image { id, file_name: image.image.clone(), ..Image::default() });
        for (label, bounds, flags) in &image.boxes {
            dataset.annotations.push(Annotation {
                id: dataset.annotations.len() as u64 + 1,
                iscrowd: flags.group_of,
                ..annotation(id, u64::from(label.get()), bounds)
            });
        }
        for (label, score, bounds) in found.iter().filter(|(label, score, bounds)| {
            labels.get(*label).is_some() && !score.is_nan() && bounds.area().is_finite()
        }) {
            let score = Some(f64::from(*score));
            results.push(Annotation { score, ..annotation(id, u64::from(label.get()), bounds) });
        }
    }
    let truth = COCO::from_dataset(dataset);
    let found = truth.load_res_anns(results).map_err(engine)?;
    let mut evaluation = COCOeval::new(truth, found, IouType::Bbox);
    evaluation.evaluate().map_err(engine)?;
    evaluation.accumulate();
    // Fills the numbers in; the lines themselves are for terminals.
    let _ = evaluation.summarize_lines();

    let mut result = EvaluationResult::default();
    let stats = evaluation.stats().unwrap_or(&[]);
    for (index, name) in SUMMARY.into_iter().enumerate() {
        result.put(name, stats.get(index).copied().unwrap_or(-1.0));
    }
    for item in labels.items() {
        for metric in &PER_CLASS {
            let value = class_value(&evaluation, u64::from(item.id.get()), metric);
            result.put(format!("DetectionBoxes_{}/{}", metric.name, item.name), value);
        }
        let map = class_value(&evaluation, u64::from(item.id.get()), &PER_CLASS[0]);
        result.put(format!("DetectionBoxes_PerformanceByCategory/mAP/{}", item.name), map);
    }
    Ok(result)
}

/// The mean of one class over the thresholds and recall points that exist; -1 where none does.
fn class_value(evaluation: &COCOeval, class: u64, metric: &ClassMetric) -> f64 {
    let params = &evaluation.params;
    let Some(accumulated) = evaluation.accumulated() else { return -1.0 };
    let position = |class| accumulated.cat_ids.iter().position(|&id| id == class);
    let (Some(k), Some(a), Some(m)) = (
        position(class),
        params.area_range_idx(metric.area),
        params.max_dets.iter().position(|&max| max == metric.max_detections),
    ) else {
        return -1.0;
    };
    let thresholds = match metric.iou {
        Some(iou) => match params.iou_thr_idx(iou) {
            Some(t) => t..t + 1,
            None => return -1.0,
        },
        None => 0..accumulated.shape.t,
    };
    let mut values = Vec::new();
    for t in thresholds {
        if metric.recall {
            values.push(accumulated.recall[accumulated.recall_idx(t, k, a, m)]);
        } else {
            let at = |r| accumulated.precision[accumulated.precision_idx(t, r, k, a, m)];
            values.extend((0..accumulated.shape.r).map(at));
        }
    }
    values.retain(|&value| value > -1.0);
    if values.is_empty() { -1.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

fn annotation(image_id: u64, category_id: u64, bounds: &PixelBox) -> Annotation {
    Annotation {
        image_id,
        category_id,
        bbox: Some([bounds.xmin, bounds.ymin, bounds.width(), bounds.height()]),
        area: Some(bounds.area()),
        ..Annotation::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotation::BoxFlags;
    use crate::evaluation::{COCO_MAP, COCO_MAP_50};
    use crate::label_map::LabelId;

    fn id(number: u32) -> LabelId {
        LabelId::new(number).expect("an id")
    }

    #[test]
    fn a_perfect_detector_has_precision_one_and_a_missing_class_none() {
        let labels = LabelMap::from_names(["cat", "dog"]).expect("valid");
        let bounds = PixelBox::new(10.0, 10.0, 60.0, 60.0);
        let truth = [GroundtruthImage { image: "a".into(), boxes: vec![(id(1), bounds, BoxFlags::default())] }];
        let found = [DetectedImage { image: "a".into(), detections: vec![(id(1), 0.9, bounds)] }];
        let result = evaluate(&truth, &found, &labels).expect("evaluated");
        assert!((result.get(COCO_MAP).expect("a value") - 1.0).abs() < 1e-12);
        assert!((result.get("DetectionBoxes_PerformanceByCategory/mAP/cat").expect("a value") - 1.0).abs() < 1e-12);
        assert_eq!(result.values["DetectionBoxes_PerformanceByCategory/mAP/dog"], None);
        assert_eq!(result.values["DetectionBoxes_Precision/mAP (small)"], None);
    }

    #[test]
    fn nothing_found_is_zero_and_nothing_to_find_is_none() {
        let labels = LabelMap::from_names(["cat"]).expect("valid");
        let bounds = PixelBox::new(10.0, 10.0, 60.0, 60.0);
        let truth = [GroundtruthImage { image: "a".into(), boxes: vec![(id(1), bounds, BoxFlags::default())] }];
        assert_eq!(evaluate(&truth, &[], &labels).expect("evaluated").get(COCO_MAP_50), Some(0.0));
        let empty = [GroundtruthImage { image: "a".into(), boxes: Vec::new() }];
        let found =
            [DetectedImage { image: "a".into(), detections: vec![(id(1), f32::NAN, bounds), (id(7), 0.5, bounds)] }];
        assert_eq!(evaluate(&empty, &found, &labels).expect("evaluated").get(COCO_MAP), None);
        assert_eq!(evaluate(&[], &[], &labels).expect("evaluated").get(COCO_MAP), None);
    }
}
