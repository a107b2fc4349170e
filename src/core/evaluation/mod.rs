//! Average precision, as COCO and Pascal VOC define it, and matching for a person's eye.
//!
//! - [`coco`]: the twelve numbers of COCO and their values per class.
//! - [`pascal`]: TFOD's Pascal VOC evaluators, VOC 2007's eleven points included.
//! - [`review`]: which detection found which object at a threshold, for the review panel.
//!
//! Metric names are TFOD's, so that curves and scripts made for it fit. A metric that does not exist,
//! such as the precision of a class without objects, is `None` and never a number that looks like one.

pub mod coco;
pub mod pascal;
pub mod review;

#[cfg(test)]
mod golden_parity;

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::annotation::BoxFlags;
use crate::geometry::PixelBox;
use crate::label_map::{LabelId, LabelMap};

/// The name of COCO's main number: the mean over IoU thresholds from 0.5 to 0.95.
pub const COCO_MAP: &str = "DetectionBoxes_Precision/mAP";
/// The name of COCO's precision at the IoU threshold 0.5.
pub const COCO_MAP_50: &str = "DetectionBoxes_Precision/mAP@.50IOU";
/// The name of Pascal VOC's number.
pub const PASCAL_MAP: &str = "PascalBoxes_Precision/mAP@0.5IOU";

/// The objects of one image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroundtruthImage {
    /// Its name, unique in the data.
    pub image: String,
    /// Its objects: class, place, flags.
    pub boxes: Vec<(LabelId, PixelBox, BoxFlags)>,
}

/// What a model found on one image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DetectedImage {
    /// The name of the image, as in the ground truth.
    pub image: String,
    /// What was found: class, score, place. A score that is not a number does not count.
    pub detections: Vec<(LabelId, f32, PixelBox)>,
}

/// Metrics by TFOD's names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EvaluationResult {
    /// Name to value; `None` where the metric does not exist for these data.
    pub values: BTreeMap<String, Option<f64>>,
}

impl EvaluationResult {
    /// The value of a metric, if it exists.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.get(name).copied().flatten()
    }

    /// Adds a value; one that is negative or not a number means that the metric does not exist.
    fn put(&mut self, name: impl Into<String>, value: f64) {
        self.values.insert(name.into(), (value >= 0.0).then_some(value));
    }
}

/// Why data cannot be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// Two entries for one image.
    #[error("image \"{image}\" is there twice in the {which}; give each image one entry")]
    DuplicateImage {
        /// The image.
        image: String,
        /// `ground truth` or `detections`.
        which: &'static str,
    },
    /// Detections on an image that the ground truth does not know.
    #[error("image \"{image}\" is in the detections but not in the ground truth; evaluate both on the same images")]
    UnknownImage {
        /// The image.
        image: String,
    },
    /// An object whose class is not in the label map.
    #[error("image \"{image}\": an object has the label id {label}, which is not in the label map; add it there")]
    UnknownLabel {
        /// The image.
        image: String,
        /// The id.
        label: LabelId,
    },
    /// The evaluation itself refused.
    #[error("the evaluation failed: {reason}")]
    Engine {
        /// What it said.
        reason: String,
    },
}

/// An image of the ground truth with what was found on it.
type Pair<'a> = (&'a GroundtruthImage, &'a [(LabelId, f32, PixelBox)]);

/// For each image of the ground truth what was found on it; nothing where there is no entry.
fn pair<'a>(
    groundtruth: &'a [GroundtruthImage],
    detections: &'a [DetectedImage],
    labels: &LabelMap,
) -> Result<Vec<Pair<'a>>, EvaluationError> {
    let mut found: HashMap<&str, &[(LabelId, f32, PixelBox)]> = HashMap::with_capacity(detections.len());
    for image in detections {
        if found.insert(&image.image, &image.detections).is_some() {
            return Err(EvaluationError::DuplicateImage { image: image.image.clone(), which: "detections" });
        }
    }
    let mut seen: HashMap<&str, ()> = HashMap::with_capacity(groundtruth.len());
    let mut pairs = Vec::with_capacity(groundtruth.len());
    for image in groundtruth {
        if seen.insert(&image.image, ()).is_some() {
            return Err(EvaluationError::DuplicateImage { image: image.image.clone(), which: "ground truth" });
        }
        if let Some((label, ..)) = image.boxes.iter().find(|(label, ..)| labels.get(*label).is_none()) {
            return Err(EvaluationError::UnknownLabel { image: image.image.clone(), label: *label });
        }
        pairs.push((image, found.remove(image.image.as_str()).unwrap_or(&[])));
    }
    match found.keys().min() {
        Some(image) => Err(EvaluationError::UnknownImage { image: (*image).to_owned() }),
        None => Ok(pairs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str) -> GroundtruthImage {
        GroundtruthImage { image: name.into(), boxes: Vec::new() }
    }

    fn detected(name: &str) -> DetectedImage {
        DetectedImage { image: name.into(), detections: Vec::new() }
    }

    #[test]
    fn images_are_paired_by_name_or_refused() {
        let labels = LabelMap::from_names(["cat"]).expect("valid");
        let known = [image("a"), image("b")];
        assert_eq!(pair(&known, &[detected("b")], &labels).expect("paired").len(), 2);
        let unknown = pair(&known, &[detected("c")], &labels).expect_err("unknown");
        assert!(matches!(unknown, EvaluationError::UnknownImage { image } if image == "c"));
        assert!(pair(&known, &[detected("a"), detected("a")], &labels).is_err());
        assert!(pair(&[image("a"), image("a")], &[], &labels).is_err());
        let label = LabelId::new(9).expect("an id");
        let boxes = vec![(label, PixelBox::new(0.0, 0.0, 1.0, 1.0), BoxFlags::default())];
        let stray = [GroundtruthImage { image: "a".into(), boxes }];
        assert!(matches!(pair(&stray, &[], &labels), Err(EvaluationError::UnknownLabel { .. })));
    }

    #[test]
    fn what_does_not_exist_is_null() {
        let mut result = EvaluationResult::default();
        result.put("a", -1.0);
        result.put("b", f64::NAN);
        result.put("c", 0.0);
        assert_eq!(serde_json::to_string(&result).expect("JSON"), r#"{"a":null,"b":null,"c":0.0}"#);
        assert_eq!((result.get("a"), result.get("c"), result.get("d")), (None, Some(0.0), None));
    }
}
