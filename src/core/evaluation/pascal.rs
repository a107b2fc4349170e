//! Pascal VOC's average precision, as TFOD's `object_detection_evaluation` computes it.
//!
//! For each image and class, detections are taken by falling score; each goes to the object that it
//! overlaps most. At or above the IoU threshold it is a true positive if that object is still free,
//! and a false positive if it is taken; an object marked `difficult` makes it count for neither. The
//! Open Images protocol also knows groups: a detection that finds no object but lies inside a group's
//! box, measured by the share of its own area, counts for neither.
//!
//! [`Protocol::Pascal`] and [`Protocol::WeightedPascal`] ignore the group flag, and
//! [`Protocol::OpenImagesV2`] the difficult flag, as TFOD's evaluators of these names do.

use std::collections::BTreeMap;

use super::{DetectedImage, EvaluationError, EvaluationResult, GroundtruthImage, pair};
use crate::annotation::BoxFlags;
use crate::geometry::PixelBox;
use crate::label_map::{LabelId, LabelMap};

/// Which of TFOD's evaluators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// The mean over the classes of their average precision.
    #[default]
    Pascal,
    /// The average precision of all classes' detections in one list.
    WeightedPascal,
    /// Like `Pascal`, with groups instead of difficult objects.
    OpenImagesV2,
}

impl Protocol {
    /// The start of its metrics' names.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Pascal => "PascalBoxes",
            Self::WeightedPascal => "WeightedPascalBoxes",
            Self::OpenImagesV2 => "OpenImagesV2",
        }
    }
}

/// How the curve of precision over recall becomes one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Interpolation {
    /// The area under the curve's envelope: VOC from 2010 on, and TFOD.
    #[default]
    AllPoints,
    /// The mean of the envelope at the recalls 0, 0.1, …, 1: VOC 2007.
    ElevenPoints,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PascalOptions {
    /// Which evaluator.
    pub protocol: Protocol,
    /// From which overlap on a detection counts as having found an object.
    pub iou_threshold: f64,
    /// Detections of one class that overlap more than this are reduced to the best one first; 1
    /// leaves all of them, as TFOD does.
    pub nms_iou_threshold: f64,
    /// How the curve becomes a number.
    pub interpolation: Interpolation,
}

impl Default for PascalOptions {
    fn default() -> Self {
        Self {
            protocol: Protocol::Pascal,
            iou_threshold: 0.5,
            nms_iou_threshold: 1.0,
            interpolation: Interpolation::AllPoints,
        }
    }
}

/// What is known of one class.
#[derive(Default)]
struct Tally {
    /// Score, and whether it found an object.
    scored: Vec<(f32, bool)>,
    /// How many objects there are to find.
    objects: usize,
}

/// The mean average precision (`PascalBoxes_Precision/mAP@0.5IOU`) and that of each class
/// (`PascalBoxes_PerformanceByCategory/AP@0.5IOU/NAME`).
///
/// # Errors
/// Images that do not fit together, or an object of an unknown class.
pub fn evaluate(
    groundtruth: &[GroundtruthImage],
    detections: &[DetectedImage],
    labels: &LabelMap,
    options: &PascalOptions,
) -> Result<EvaluationResult, EvaluationError> {
    let mut tallies: BTreeMap<LabelId, Tally> = labels.items().iter().map(|item| (item.id, Tally::default())).collect();
    for (image, found) in pair(groundtruth, detections, labels)? {
        for (&label, tally) in &mut tallies {
            tally_image(label, &image.boxes, found, options, tally);
        }
    }
    let mut result = EvaluationResult::default();
    let prefix = options.protocol.prefix();
    let threshold = options.iou_threshold;
    let mut averages = Vec::new();
    let mut all = Tally::default();
    for item in labels.items() {
        let Some(tally) = tallies.get_mut(&item.id) else { continue };
        let average = if tally.objects == 0 { f64::NAN } else { tally.average_precision(options.interpolation) };
        result.put(format!("{prefix}_PerformanceByCategory/AP@{threshold}IOU/{}", item.name), average);
        if tally.objects > 0 {
            averages.push(average);
            all.objects += tally.objects;
            all.scored.append(&mut tally.scored);
        }
    }
    let mean = match options.protocol {
        _ if averages.is_empty() => f64::NAN,
        Protocol::WeightedPascal => all.average_precision(options.interpolation),
        _ => averages.iter().sum::<f64>() / averages.len() as f64,
    };
    result.put(format!("{prefix}_Precision/mAP@{threshold}IOU"), mean);
    Ok(result)
}

impl Tally {
    fn average_precision(&self, interpolation: Interpolation) -> f64 {
        let (precision, recall) = precision_recall(&self.scored, self.objects);
        average_precision(&precision, &recall, interpolation)
    }
}

/// Adds one image to the tally of one class.
fn tally_image(
    label: LabelId,
    boxes: &[(LabelId, PixelBox, BoxFlags)],
    found: &[(LabelId, f32, PixelBox)],
    options: &PascalOptions,
    tally: &mut Tally,
) {
    let with_groups = options.protocol == Protocol::OpenImagesV2;
    let of_class = || boxes.iter().filter(|(l, ..)| *l == label);
    let groups: Vec<&PixelBox> = of_class().filter(|(.., f)| with_groups && f.group_of).map(|(_, b, _)| b).collect();
    let objects: Vec<(&PixelBox, bool)> = of_class()
        .filter(|(.., flags)| !(with_groups && flags.group_of))
        .map(|(_, bounds, flags)| (bounds, flags.difficult && !with_groups))
        .collect();
    tally.objects += objects.iter().filter(|(_, difficult)| !difficult).count();

    let mut found: Vec<(f32, &PixelBox)> =
        found.iter().filter(|(l, s, b)| *l == label && !s.is_nan() && b.is_valid()).map(|(_, s, b)| (*s, b)).collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    suppress(&mut found, options.nms_iou_threshold);

    let mut taken = vec![false; objects.len()];
    for (score, bounds) in found {
        let best = first_maximum(objects.iter().map(|(object, _)| bounds.iou(object)));
        match best {
            Some((index, iou)) if iou >= options.iou_threshold => {
                if objects[index].1 {
                    continue;
                }
                if !taken[index] {
                    taken[index] = true;
                    tally.scored.push((score, true));
                    continue;
                }
            }
            _ => {}
        }
        let inside = first_maximum(groups.iter().map(|group| share_inside(bounds, group)));
        if inside.is_none_or(|(_, share)| share < options.iou_threshold) {
            tally.scored.push((score, false));
        }
    }
}

/// Keeps of those that overlap more than `threshold` the first one.
fn suppress(found: &mut Vec<(f32, &PixelBox)>, threshold: f64) {
    if threshold >= 1.0 {
        return;
    }
    let mut kept: Vec<(f32, &PixelBox)> = Vec::with_capacity(found.len());
    for candidate in found.drain(..) {
        if kept.iter().all(|(_, better)| better.iou(candidate.1) <= threshold) {
            kept.push(candidate);
        }
    }
    *found = kept;
}

/// The share of `b` that lies inside `group`.
fn share_inside(b: &PixelBox, group: &PixelBox) -> f64 {
    let h = (b.ymax.min(group.ymax) - b.ymin.max(group.ymin)).max(0.0);
    let w = (b.xmax.min(group.xmax) - b.xmin.max(group.xmin)).max(0.0);
    h * w / b.area()
}

fn first_maximum(values: impl Iterator<Item = f64>) -> Option<(usize, f64)> {
    values.enumerate().fold(None, |best, (index, value)| match best {
        Some((_, largest)) if value <= largest => best,
        _ => Some((index, value)),
    })
}

/// Precision and recall after each detection, by falling score. `scored` holds scores and whether an
/// object was found; `objects` is how many there were to find.
pub fn precision_recall(scored: &[(f32, bool)], objects: usize) -> (Vec<f64>, Vec<f64>) {
    let mut sorted: Vec<&(f32, bool)> = scored.iter().collect();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut hits = 0usize;
    let curve = sorted.iter().enumerate().map(|(index, (_, hit))| {
        hits += usize::from(*hit);
        (hits as f64 / (index + 1) as f64, hits as f64 / objects.max(1) as f64)
    });
    curve.unzip()
}

/// One number from precision and recall as [`precision_recall`] gives them; 0 for an empty curve.
pub fn average_precision(precision: &[f64], recall: &[f64], interpolation: Interpolation) -> f64 {
    // The envelope: the best precision at this recall or a higher one.
    let mut envelope = precision.to_vec();
    for i in (1..envelope.len()).rev() {
        envelope[i - 1] = envelope[i - 1].max(envelope[i]);
    }
    match interpolation {
        Interpolation::AllPoints => {
            let before = std::iter::once(0.0).chain(recall.iter().copied());
            recall.iter().zip(before).zip(&envelope).map(|((now, before), p)| (now - before) * p).sum()
        }
        Interpolation::ElevenPoints => {
            let at = |point: f64| recall.iter().position(|&r| r >= point).map_or(0.0, |i| envelope[i]);
            (0..=10).map(|tenth| at(f64::from(tenth) / 10.0)).sum::<f64>() / 11.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::PASCAL_MAP;
    use proptest::prelude::*;

    fn id(number: u32) -> LabelId {
        LabelId::new(number).expect("an id")
    }

    /// A square of side 10 at `x`.
    fn at(x: f64) -> PixelBox {
        PixelBox::new(0.0, x, 10.0, x + 10.0)
    }

    fn run(boxes: &[(f64, BoxFlags)], found: &[(f32, f64)], options: &PascalOptions) -> f64 {
        let labels = LabelMap::from_names(["cat"]).expect("valid");
        let boxes = boxes.iter().map(|(x, flags)| (id(1), at(*x), *flags)).collect();
        let detections = found.iter().map(|(score, x)| (id(1), *score, at(*x))).collect();
        let truth = [GroundtruthImage { image: "a".into(), boxes }];
        let found = [DetectedImage { image: "a".into(), detections }];
        let name = format!("{}_Precision/mAP@0.5IOU", options.protocol.prefix());
        evaluate(&truth, &found, &labels, options).expect("evaluated").get(&name).unwrap_or(f64::NAN)
    }

    const PLAIN: BoxFlags = BoxFlags { difficult: false, truncated: false, occluded: false, group_of: false };

    #[test]
    fn a_curve_by_hand() {
        // Hit, miss, hit of 4 objects: precision 1, 1/2, 2/3 at recall 1/4, 1/4, 1/2.
        let scored = [(0.5, true), (0.9, true), (0.7, false)];
        let (precision, recall) = precision_recall(&scored, 4);
        assert_eq!((precision.as_slice(), recall.as_slice()), (&[1.0, 0.5, 2.0 / 3.0][..], &[0.25, 0.25, 0.5][..]));
        let all = average_precision(&precision, &recall, Interpolation::AllPoints);
        assert!((all - (0.25 + 0.25 * 2.0 / 3.0)).abs() < 1e-12);
        // 0, 0.1, 0.2 at 1; 0.3, 0.4, 0.5 at 2/3; the rest at 0.
        let eleven = average_precision(&precision, &recall, Interpolation::ElevenPoints);
        assert!((eleven - 5.0 / 11.0).abs() < 1e-12);
        assert_eq!(average_precision(&[], &[], Interpolation::AllPoints), 0.0);
    }

    #[test]
    fn an_object_is_found_once() {
        let options = PascalOptions::default();
        assert_eq!(run(&[(0.0, PLAIN)], &[(0.9, 0.0)], &options), 1.0);
        assert_eq!(run(&[(0.0, PLAIN)], &[(0.9, 1.0), (0.8, 0.0)], &options), 1.0);
        assert_eq!(run(&[(0.0, PLAIN)], &[(0.9, 50.0), (0.8, 0.0)], &options), 0.5);
        assert_eq!(
            run(&[(0.0, PLAIN), (50.0, PLAIN)], &[(0.9, 0.0), (0.8, 1.0), (0.7, 50.0)], &options),
            0.5 + 0.5 * 2.0 / 3.0
        );
        let nms = PascalOptions { nms_iou_threshold: 0.5, ..options };
        assert_eq!(run(&[(0.0, PLAIN), (50.0, PLAIN)], &[(0.9, 0.0), (0.8, 1.0), (0.7, 50.0)], &nms), 1.0);
    }

    #[test]
    fn difficult_objects_and_groups_count_for_neither() {
        let difficult = BoxFlags { difficult: true, ..PLAIN };
        let group = BoxFlags { group_of: true, ..PLAIN };
        let found = [(0.9, 50.0), (0.8, 0.0)];
        let pascal = PascalOptions::default();
        assert_eq!(run(&[(0.0, PLAIN), (50.0, difficult)], &found, &pascal), 1.0);
        assert_eq!(run(&[(0.0, PLAIN), (50.0, group)], &found, &pascal), 1.0);
        let open_images = PascalOptions { protocol: Protocol::OpenImagesV2, ..pascal };
        assert_eq!(run(&[(0.0, PLAIN), (50.0, group)], &[(0.9, 50.0), (0.85, 51.0), (0.8, 0.0)], &open_images), 1.0);
        assert_eq!(run(&[(0.0, PLAIN), (50.0, group)], &[(0.9, 80.0), (0.8, 0.0)], &open_images), 0.5);
        assert!(run(&[(50.0, difficult)], &found, &pascal).is_nan());
    }

    #[test]
    fn scores_that_are_no_numbers_do_not_count() {
        assert_eq!(run(&[(0.0, PLAIN)], &[(f32::NAN, 90.0), (0.8, 0.0)], &PascalOptions::default()), 1.0);
        assert_eq!(PASCAL_MAP, "PascalBoxes_Precision/mAP@0.5IOU");
    }

    proptest! {
        #[test]
        fn precision_stays_between_zero_and_one(
            objects in prop::collection::vec((0.0..200.0f64, any::<bool>(), any::<bool>()), 1..8),
            found in prop::collection::vec((0.0..1.0f32, 0.0..200.0f64), 0..20),
            open_images: bool,
            eleven: bool,
        ) {
            let boxes: Vec<_> = objects
                .iter()
                .map(|(x, difficult, group_of)| (*x, BoxFlags { difficult: *difficult, group_of: *group_of, ..PLAIN }))
                .collect();
            let options = PascalOptions {
                protocol: if open_images { Protocol::OpenImagesV2 } else { Protocol::Pascal },
                interpolation: if eleven { Interpolation::ElevenPoints } else { Interpolation::AllPoints },
                ..PascalOptions::default()
            };
            let value = run(&boxes, &found, &options);
            prop_assert!(value.is_nan() || (0.0..=1.0 + 1e-12).contains(&value), "{value}");
        }
    }
}
