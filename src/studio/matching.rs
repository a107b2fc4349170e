//! Detections against the ground truth, for looking at.
//!
//! Detections are matched once an image by [`boxwright_core::evaluation::review`], from an IoU of
//! 0.5 on. As a match never depends on detections of lower score, what holds at a threshold is what
//! is among the detections above it: the slider only cuts sorted lists and never matches anew.
//! Difficult objects count neither way, as in Pascal VOC.
//!
//! This answers a reviewer's question, image by image. The average precision of a run is computed
//! by the evaluation and shown in Train.

use std::collections::BTreeMap;

use boxwright_core::evaluation::review::ImageMatch;
use boxwright_core::{Annotation, Detection, ImageSize, LabelId, PixelBox};

/// The overlap from which a detection is on an object.
pub const IOU: f64 = 0.5;

/// What came of a detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hit {
    /// It is on this object.
    Object(usize),
    /// It is on a difficult object, which counts neither way.
    Ignored,
    /// It is on nothing.
    Nothing,
}

/// A detection in pixels and what came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// Its class.
    pub label: LabelId,
    /// Its score.
    pub score: f32,
    /// Its place.
    pub bounds: PixelBox,
    /// What came of it.
    pub hit: Hit,
}

/// One image.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageReview {
    /// The objects.
    pub objects: Vec<Annotation>,
    /// The detections, best score first.
    pub detections: Vec<Judged>,
}

/// How many of what, at one threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Detections on objects.
    pub true_positives: usize,
    /// Detections on nothing.
    pub false_positives: usize,
    /// Objects without a detection.
    pub false_negatives: usize,
}

impl Counts {
    /// The part of the detections that is on objects.
    pub fn precision(&self) -> Option<f64> {
        ratio(self.true_positives, self.true_positives + self.false_positives)
    }

    /// The part of the objects that is found.
    pub fn recall(&self) -> Option<f64> {
        ratio(self.true_positives, self.true_positives + self.false_negatives)
    }

    /// False positives and false negatives.
    pub fn errors(&self) -> usize {
        self.false_positives + self.false_negatives
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.true_positives += other.true_positives;
        self.false_positives += other.false_positives;
        self.false_negatives += other.false_negatives;
    }
}

fn ratio(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

impl ImageReview {
    /// Matches the detections of an image to its objects.
    pub fn new(objects: Vec<Annotation>, detections: &[Detection], size: ImageSize) -> Self {
        let found: Vec<(LabelId, f32, PixelBox)> =
            detections.iter().map(|d| (d.label, d.score, d.bounds.to_pixels(size))).collect();
        let asked: Vec<usize> = (0..objects.len()).filter(|i| !objects[*i].flags.difficult).collect();
        let groundtruth: Vec<(LabelId, PixelBox)> =
            asked.iter().map(|i| (objects[*i].label, objects[*i].bounds)).collect();
        let all = ImageMatch::new(&groundtruth, &found, IOU).at(f32::NEG_INFINITY);
        let judged = |index: usize, hit: Hit| {
            let (label, score, bounds) = found[index];
            Judged { label, score, bounds, hit }
        };
        let hits = all.true_positives.iter().map(|(index, object)| judged(*index, Hit::Object(asked[*object])));
        let rest = all.false_positives.iter().map(|index| {
            let (label, _, bounds) = found[*index];
            let is_on = |o: &Annotation| o.flags.difficult && o.label == label && o.bounds.iou(&bounds) >= IOU;
            judged(*index, if objects.iter().any(is_on) { Hit::Ignored } else { Hit::Nothing })
        });
        let mut detections: Vec<Judged> = hits.chain(rest).collect();
        detections.sort_by(|a, b| b.score.total_cmp(&a.score));
        Self { objects, detections }
    }

    /// The detections with at least this score.
    pub fn above(&self, threshold: f32) -> &[Judged] {
        &self.detections[..self.detections.partition_point(|d| d.score >= threshold)]
    }

    /// The objects that no detection above the threshold is on; difficult ones are not asked for.
    pub fn missed(&self, threshold: f32) -> impl Iterator<Item = &Annotation> {
        let mut found = vec![false; self.objects.len()];
        for detection in self.above(threshold) {
            if let Hit::Object(index) = detection.hit {
                found[index] = true;
            }
        }
        self.objects.iter().zip(found).filter(|(o, found)| !found && !o.flags.difficult).map(|(o, _)| o)
    }

    /// The counts at a threshold.
    pub fn counts(&self, threshold: f32) -> Counts {
        let mut counts = Counts::default();
        for detection in self.above(threshold) {
            match detection.hit {
                Hit::Object(_) => counts.true_positives += 1,
                Hit::Nothing => counts.false_positives += 1,
                Hit::Ignored => {}
            }
        }
        let asked = self.objects.iter().filter(|o| !o.flags.difficult).count();
        counts.false_negatives = asked - counts.true_positives;
        counts
    }

    /// Adds the counts of each class at a threshold.
    pub fn add_by_class(&self, threshold: f32, sums: &mut BTreeMap<LabelId, Counts>) {
        for detection in self.above(threshold) {
            let counts = sums.entry(detection.label).or_default();
            match detection.hit {
                Hit::Object(_) => counts.true_positives += 1,
                Hit::Nothing => counts.false_positives += 1,
                Hit::Ignored => {}
            }
        }
        for object in self.missed(threshold) {
            sums.entry(object.label).or_default().false_negatives += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use boxwright_core::{BoxFlags, BoxId, NormalizedBox};
    use proptest::prelude::*;

    const SIZE: ImageSize = ImageSize::new(100, 100);

    fn label(id: u32) -> LabelId {
        LabelId::new(id).expect("an id")
    }

    fn object(id: i64, class: u32, x: f64, difficult: bool) -> Annotation {
        Annotation {
            id: BoxId(id),
            label: label(class),
            bounds: PixelBox::new(0.0, x, 20.0, x + 20.0),
            flags: BoxFlags { difficult, ..BoxFlags::default() },
        }
    }

    fn detection(class: u32, score: f32, x: f32) -> Detection {
        Detection { label: label(class), score, bounds: NormalizedBox::new(0.0, x / 100.0, 0.2, x / 100.0 + 0.2) }
    }

    #[test]
    fn a_worked_example() {
        let objects = vec![object(1, 1, 0.0, false), object(2, 1, 50.0, false), object(3, 2, 70.0, true)];
        let detections = [
            detection(1, 0.9, 1.0),  // on object 1
            detection(1, 0.8, 0.0),  // object 1 again: a double, so false
            detection(2, 0.7, 50.0), // on object 2, but of another class
            detection(2, 0.6, 70.0), // on a difficult one
            detection(1, 0.3, 51.0), // on object 2
        ];
        let review = ImageReview::new(objects, &detections, SIZE);
        let hits: Vec<Hit> = review.detections.iter().map(|d| d.hit).collect();
        assert_eq!(hits, [Hit::Object(0), Hit::Nothing, Hit::Nothing, Hit::Ignored, Hit::Object(1)]);
        let counts = |t| {
            let c = review.counts(t);
            (c.true_positives, c.false_positives, c.false_negatives)
        };
        assert_eq!(counts(0.0), (2, 2, 0));
        assert_eq!(counts(0.5), (1, 2, 1));
        assert_eq!(counts(0.95), (0, 0, 2));
        assert_eq!(review.missed(0.5).map(|o| o.id).collect::<Vec<_>>(), [BoxId(2)]);
        assert_eq!(review.counts(0.95).precision(), None);
        assert_eq!(review.counts(0.0).recall(), Some(1.0));
    }

    #[test]
    fn scores_that_are_no_numbers_are_left_out() {
        let review = ImageReview::new(vec![], &[detection(1, f32::NAN, 0.0), detection(1, 0.5, 0.0)], SIZE);
        assert_eq!(review.detections.len(), 1);
    }

    proptest! {
        /// Matching once and cutting gives what matching the cut list gives.
        #[test]
        fn a_threshold_only_cuts(
            objects in proptest::collection::vec((1u32..3, 0.0..80.0f64, any::<bool>()), 0..8),
            detections in proptest::collection::vec((1u32..3, 0.0..1.0f32, 0.0..80.0f32), 0..20),
            threshold in 0.0..1.0f32,
        ) {
            let objects: Vec<_> = objects.into_iter().enumerate().map(|(i, (c, x, d))| object(i as i64, c, x, d)).collect();
            let all: Vec<_> = detections.into_iter().map(|(c, s, x)| detection(c, s, x)).collect();
            let cut: Vec<_> = all.iter().copied().filter(|d| d.score >= threshold).collect();
            let whole = ImageReview::new(objects.clone(), &all, SIZE);
            let part = ImageReview::new(objects, &cut, SIZE);
            prop_assert_eq!(whole.above(threshold), part.above(0.0));
            prop_assert_eq!(whole.counts(threshold), part.counts(0.0));
            let mut sums = BTreeMap::new();
            whole.add_by_class(threshold, &mut sums);
            let mut total = Counts::default();
            sums.into_values().for_each(|c| total += c);
            prop_assert_eq!(total, whole.counts(threshold));
        }
    }
}
