//! Which detection found which object, for a person who looks at the picture.
//!
//! Detections are taken by falling score, and each takes the free object of its class that it
//! overlaps most, if that is enough. A lower threshold only adds detections at the end of this order
//! and never changes what came before, so one matching ([`ImageMatch`]) answers for every threshold:
//! the review panel matches once and follows its slider without matching again.

use crate::geometry::PixelBox;
use crate::label_map::LabelId;

/// What is right and wrong with one image at one threshold, as indices into what was matched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReviewMatch {
    /// Detections that found an object: `(detection, object)`, by falling score.
    pub true_positives: Vec<(usize, usize)>,
    /// Detections that found none, by falling score.
    pub false_positives: Vec<usize>,
    /// Objects that no detection found, in their own order.
    pub false_negatives: Vec<usize>,
}

/// The matching of one image, for all thresholds.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageMatch {
    /// By falling score.
    ranked: Vec<Ranked>,
    /// The class of each object.
    objects: Vec<LabelId>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Ranked {
    detection: usize,
    label: LabelId,
    score: f32,
    object: Option<usize>,
}

impl ImageMatch {
    /// Matches the detections of an image with its objects. A score that is not a number is left out.
    pub fn new(
        groundtruth: &[(LabelId, PixelBox)],
        detections: &[(LabelId, f32, PixelBox)],
        iou_threshold: f64,
    ) -> Self {
        let mut order: Vec<usize> = (0..detections.len()).filter(|&i| !detections[i].1.is_nan()).collect();
        order.sort_by(|&a, &b| detections[b].1.total_cmp(&detections[a].1));
        let mut free = vec![true; groundtruth.len()];
        let ranked = order.into_iter().map(|detection| {
            let (label, score, bounds) = detections[detection];
            let mut best: Option<(usize, f64)> = None;
            for (index, (object, place)) in groundtruth.iter().enumerate() {
                if free[index] && *object == label {
                    let iou = bounds.iou(place);
                    if iou > 0.0 && iou >= iou_threshold && best.is_none_or(|(_, largest)| iou > largest) {
                        best = Some((index, iou));
                    }
                }
            }
            let object = best.map(|(index, _)| index);
            if let Some(index) = object {
                free[index] = false;
            }
            Ranked { detection, label, score, object }
        });
        Self { ranked: ranked.collect(), objects: groundtruth.iter().map(|(label, _)| *label).collect() }
    }

    /// What is right and wrong if detections below `score_threshold` are not shown.
    pub fn at(&self, score_threshold: f32) -> ReviewMatch {
        let mut result = ReviewMatch::default();
        let mut missed = vec![true; self.objects.len()];
        for ranked in self.ranked.iter().take_while(|ranked| ranked.score >= score_threshold) {
            match ranked.object {
                Some(object) => {
                    missed[object] = false;
                    result.true_positives.push((ranked.detection, object));
                }
                None => result.false_positives.push(ranked.detection),
            }
        }
        result.false_negatives = (0..missed.len()).filter(|&object| missed[object]).collect();
        result
    }
}

/// What is right and wrong with one image at one threshold; [`ImageMatch`] answers for many.
pub fn match_detections(
    groundtruth: &[(LabelId, PixelBox)],
    detections: &[(LabelId, f32, PixelBox)],
    score_threshold: f32,
    iou_threshold: f64,
) -> ReviewMatch {
    ImageMatch::new(groundtruth, detections, iou_threshold).at(score_threshold)
}

/// Precision and recall at one threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// The threshold: detections with this score or a higher one are shown.
    pub score: f32,
    /// How many of the detections found an object.
    pub precision: f64,
    /// How many of the objects were found.
    pub recall: f64,
}

impl CurvePoint {
    /// The harmonic mean of both, for choosing a threshold.
    pub fn f1(&self) -> f64 {
        let sum = self.precision + self.recall;
        if sum > 0.0 { 2.0 * self.precision * self.recall / sum } else { 0.0 }
    }
}

/// Precision and recall over all images, of one class or of all, one point for each score that
/// occurs, by falling score. Empty where there is nothing to find.
pub fn precision_recall_curve(images: &[ImageMatch], label: Option<LabelId>) -> Vec<CurvePoint> {
    let wanted = |own: LabelId| label.is_none_or(|label| own == label);
    let objects = images.iter().flat_map(|image| &image.objects).filter(|&&own| wanted(own)).count();
    if objects == 0 {
        return Vec::new();
    }
    let mut scored: Vec<(f32, bool)> = images
        .iter()
        .flat_map(|image| &image.ranked)
        .filter(|ranked| wanted(ranked.label))
        .map(|ranked| (ranked.score, ranked.object.is_some()))
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut points: Vec<CurvePoint> = Vec::new();
    let mut hits = 0usize;
    for (index, (score, hit)) in scored.into_iter().enumerate() {
        hits += usize::from(hit);
        let point =
            CurvePoint { score, precision: hits as f64 / (index + 1) as f64, recall: hits as f64 / objects as f64 };
        match points.last_mut() {
            Some(last) if last.score == score => *last = point,
            _ => points.push(point),
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(number: u32) -> LabelId {
        LabelId::new(number).expect("an id")
    }

    fn at(x: f64) -> PixelBox {
        PixelBox::new(0.0, x, 10.0, x + 10.0)
    }

    #[test]
    fn each_object_is_found_once_by_its_own_class() {
        let objects = [(id(1), at(0.0)), (id(2), at(50.0))];
        let found = [(id(1), 0.4, at(0.0)), (id(1), 0.9, at(1.0)), (id(1), 0.8, at(50.0)), (id(2), 0.3, at(50.0))];
        let all = match_detections(&objects, &found, 0.0, 0.5);
        assert_eq!(all.true_positives, [(1, 0), (3, 1)]);
        assert_eq!(all.false_positives, [2, 0]);
        assert!(all.false_negatives.is_empty());
        let some = match_detections(&objects, &found, 0.5, 0.5);
        assert_eq!((some.true_positives, some.false_positives, some.false_negatives), (vec![(1, 0)], vec![2], vec![1]));
        assert_eq!(match_detections(&[], &[], 0.5, 0.5), ReviewMatch::default());
    }

    #[test]
    fn a_threshold_of_zero_overlap_still_needs_some() {
        let result = match_detections(&[(id(1), at(0.0))], &[(id(1), 0.9, at(50.0))], 0.0, 0.0);
        assert_eq!((result.false_positives, result.false_negatives), (vec![0], vec![0]));
    }

    #[test]
    fn the_curve_by_hand() {
        let image = ImageMatch::new(
            &[(id(1), at(0.0)), (id(1), at(50.0)), (id(2), at(90.0))],
            &[(id(1), 0.9, at(0.0)), (id(1), 0.5, at(200.0)), (id(1), 0.5, at(50.0)), (id(2), 0.1, at(90.0))],
            0.5,
        );
        let curve = precision_recall_curve(std::slice::from_ref(&image), Some(id(1)));
        assert_eq!(
            curve,
            [
                CurvePoint { score: 0.9, precision: 1.0, recall: 0.5 },
                CurvePoint { score: 0.5, precision: 2.0 / 3.0, recall: 1.0 },
            ]
        );
        assert!((curve[1].f1() - 0.8).abs() < 1e-12);
        assert_eq!(precision_recall_curve(std::slice::from_ref(&image), None).last().map(|p| p.recall), Some(1.0));
        assert_eq!(precision_recall_curve(&[image], Some(id(3))), []);
    }

    proptest! {
        #[test]
        fn one_matching_answers_for_every_threshold(
            objects in prop::collection::vec((1..3u32, 0.0..60.0f64), 0..6),
            found in prop::collection::vec((1..3u32, 0.0..1.0f32, 0.0..60.0f64), 0..12),
            threshold in 0.0..1.0f32,
        ) {
            let objects: Vec<_> = objects.iter().map(|(l, x)| (id(*l), at(*x))).collect();
            let found: Vec<_> = found.iter().map(|(l, s, x)| (id(*l), *s, at(*x))).collect();
            let result = ImageMatch::new(&objects, &found, 0.5).at(threshold);
            // The same as throwing the weak ones away before matching.
            let shown: Vec<usize> = (0..found.len()).filter(|&i| found[i].1 >= threshold).collect();
            let strong: Vec<_> = shown.iter().map(|&i| found[i]).collect();
            let again = match_detections(&objects, &strong, 0.0, 0.5);
            prop_assert_eq!(
                &result.true_positives,
                &again.true_positives.iter().map(|&(d, o)| (shown[d], o)).collect::<Vec<_>>()
            );
            prop_assert_eq!(result.true_positives.len() + result.false_positives.len(), shown.len());
            prop_assert_eq!(result.true_positives.len() + result.false_negatives.len(), objects.len());
        }
    }
}
