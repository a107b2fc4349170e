//! From boxes and logits to detections (TFOD's `core/post_processing.py`).
//!
//! 1. The score converter turns logits into scores, calibrated where that is asked; the background column is dropped.
//! 2. Non-max suppression class by class (or over all classes together), before any clipping. Class by class it goes
//!    through all of them at once and works out no more than it must.
//! 3. All survivors are sorted by score, clipped to the window, and dropped where nothing is left of them.
//! 4. The best `max_detections` remain, in coordinates of the window where that is asked.
//!
//! Scores that are not numbers never win and nothing here panics on them.

mod best_first;
mod calibration;
mod nms;
mod score_converter;
mod scores;

pub use calibration::{Calibration, CalibrationCurve};
pub use nms::{Selected, non_max_suppression};
pub use score_converter::ScoreConverter;

use crate::box_coders::BoxCoder;
use scores::Scores;

/// What `combined` suppression clips to.
const UNIT_SQUARE: [f32; 4] = [0.0, 0.0, 1.0, 1.0];

/// The `batch_non_max_suppression` message of the config.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NonMaxSuppression {
    /// Only scores above this are detections.
    pub score_threshold: f32,
    /// Overlap above which the weaker of two boxes is dropped.
    pub iou_threshold: f32,
    /// Most detections of one class.
    pub max_detections_per_class: usize,
    /// Most detections of a picture; 0 for no limit.
    pub max_total_detections: usize,
    /// Above 0, overlapping boxes lose score instead of being dropped (soft NMS).
    pub soft_nms_sigma: f32,
    /// Suppress across classes: one box, its best class.
    pub class_agnostic: bool,
    /// Whether boxes come back in coordinates of the clip window.
    pub change_coordinate_frame: bool,
    /// Whether the window is always the unit square and boxes that are nothing after clipping stay, as TensorFlow's
    /// `combined_non_max_suppression` has it (`use_combined_nms`).
    pub combined: bool,
}

impl Default for NonMaxSuppression {
    fn default() -> Self {
        Self {
            score_threshold: 0.0,
            iou_threshold: 0.6,
            max_detections_per_class: 100,
            max_total_detections: 100,
            soft_nms_sigma: 0.0,
            class_agnostic: false,
            change_coordinate_frame: true,
            combined: false,
        }
    }
}

/// The boxes that scores belong to.
#[derive(Clone, Copy, Debug)]
pub enum CandidateBoxes<'a> {
    /// One box for each anchor, whatever the class.
    Shared(&'a [[f32; 4]]),
    /// `[anchors, classes]`: a box for each class.
    ClassSpecific(&'a [[f32; 4]]),
    /// One box for each anchor, decoded where it is looked at.
    Encoded {
        /// What reads the codes.
        coder: &'a BoxCoder,
        /// `[anchors, code size]`.
        codes: &'a [f32],
        /// What the codes are relative to.
        anchors: &'a [[f32; 4]],
    },
}

impl CandidateBoxes<'_> {
    fn get(&self, anchor: usize, class: usize, classes: usize) -> [f32; 4] {
        match self {
            Self::Shared(boxes) => boxes[anchor],
            Self::ClassSpecific(boxes) => boxes[anchor * classes + class],
            Self::Encoded { coder, codes, anchors } => {
                coder.decode(&codes[anchor * coder.code_size()..], anchors[anchor])
            }
        }
    }

    /// # Panics
    /// If there are not as many boxes as scores ask for.
    fn check(&self, anchors: usize, classes: usize) {
        match self {
            Self::Shared(boxes) => assert_eq!(boxes.len(), anchors, "a box for each row of scores"),
            Self::ClassSpecific(boxes) => assert_eq!(boxes.len(), anchors * classes, "a box for each score"),
            Self::Encoded { coder, codes, anchors: of } => {
                assert_eq!(
                    [of.len(), codes.len()],
                    [anchors, anchors * coder.code_size()],
                    "a code for each row of scores"
                );
            }
        }
    }
}

/// A box with its score and class, the class counted from 0 without background.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoredBox {
    /// `[ymin, xmin, ymax, xmax]`.
    pub bounds: [f32; 4],
    /// The score.
    pub score: f32,
    /// The class.
    pub class: usize,
}

impl NonMaxSuppression {
    /// Whether boxes come out in coordinates of the window that they are cut to.
    pub fn changes_frame(&self) -> bool {
        self.change_coordinate_frame && !self.combined
    }

    /// The detections of one picture, best first.
    ///
    /// `scores` is `[anchors, classes]` without background. Without a window boxes are neither
    /// clipped nor moved; those without an area and scores below 0 are dropped all the same.
    ///
    /// # Panics
    /// If boxes and scores do not have the same number of anchors.
    pub fn multiclass(
        &self,
        boxes: CandidateBoxes<'_>,
        scores: &[f32],
        classes: usize,
        clip_window: Option<[f32; 4]>,
    ) -> Vec<ScoredBox> {
        self.select(boxes, &Scores::converted(scores, classes), clip_window)
    }

    fn select(&self, boxes: CandidateBoxes<'_>, scores: &Scores<'_>, clip_window: Option<[f32; 4]>) -> Vec<ScoredBox> {
        let (anchors, classes) = (scores.anchors(), scores.classes());
        boxes.check(anchors, classes);
        let finished = |found| self.finished(found, clip_window);
        let mut selected = if self.class_agnostic || self.soft_nms_sigma > 0.0 {
            let scores = scores.to_vec();
            let mut selected = if self.class_agnostic {
                self.select_class_agnostic(boxes, &scores, classes, anchors)
            } else {
                self.select_by_class(boxes, &scores, classes, anchors)
            };
            sort_by_score(&mut selected);
            selected.into_iter().filter_map(finished).collect()
        } else {
            best_first::select(self, boxes, scores, finished)
        };
        if self.max_total_detections > 0 {
            selected.truncate(self.max_total_detections);
        }
        if let Some(window) = clip_window.filter(|_| self.changes_frame()) {
            selected.iter_mut().for_each(|found| found.bounds = change_coordinate_frame(found.bounds, window));
        }
        selected
    }

    /// The box clipped; `None` where nothing is left of it.
    fn finished(&self, mut found: ScoredBox, clip_window: Option<[f32; 4]>) -> Option<ScoredBox> {
        if self.combined {
            found.bounds = clip_to_window(found.bounds, UNIT_SQUARE);
            return Some(found);
        }
        if let Some(window) = clip_window {
            found.bounds = clip_to_window(found.bounds, window);
        }
        (crate::region_similarity::area(found.bounds) > 0.0 && found.score >= 0.0).then_some(found)
    }

    fn select_by_class(
        &self,
        boxes: CandidateBoxes<'_>,
        scores: &[f32],
        classes: usize,
        anchors: usize,
    ) -> Vec<ScoredBox> {
        let mut selected = Vec::new();
        for class in 0..classes {
            let class_scores: Vec<f32> = scores.iter().skip(class).step_by(classes).copied().collect();
            let own: Vec<[f32; 4]>;
            let class_boxes = match boxes {
                CandidateBoxes::Shared(shared) => shared,
                CandidateBoxes::ClassSpecific(_) | CandidateBoxes::Encoded { .. } => {
                    own = (0..anchors).map(|anchor| boxes.get(anchor, class, classes)).collect();
                    &own
                }
            };
            let best = self.suppress(class_boxes, &class_scores, self.max_detections_per_class);
            selected.extend(best.into_iter().map(|s| ScoredBox {
                bounds: class_boxes[s.index],
                score: s.score,
                class,
            }));
        }
        selected
    }

    fn select_class_agnostic(
        &self,
        boxes: CandidateBoxes<'_>,
        scores: &[f32],
        classes: usize,
        anchors: usize,
    ) -> Vec<ScoredBox> {
        let best: Vec<(f32, usize)> = scores
            .chunks_exact(classes.max(1))
            .map(|row| {
                let mut best = (f32::NEG_INFINITY, 0);
                for (class, &score) in row.iter().enumerate() {
                    if score > best.0 {
                        best = (score, class);
                    }
                }
                best
            })
            .collect();
        let own: Vec<[f32; 4]> = best.iter().enumerate().map(|(i, &(_, class))| boxes.get(i, class, classes)).collect();
        let best_scores: Vec<f32> = best.iter().map(|&(score, _)| score).collect();
        let limit = if self.max_total_detections > 0 { self.max_total_detections } else { anchors };
        let selected = self.suppress(&own, &best_scores, limit);
        selected
            .into_iter()
            .map(|s| ScoredBox { bounds: own[s.index], score: s.score, class: best[s.index].1 })
            .collect()
    }

    fn suppress(&self, boxes: &[[f32; 4]], scores: &[f32], limit: usize) -> Vec<Selected> {
        non_max_suppression(boxes, scores, limit, self.iou_threshold, self.score_threshold, self.soft_nms_sigma)
    }
}

/// The `post_processing` message of the config.
#[derive(Clone, Debug, PartialEq)]
pub struct PostProcessing {
    /// Suppression.
    pub non_max_suppression: NonMaxSuppression,
    /// From logits to scores.
    pub score_converter: ScoreConverter,
    /// What logits are divided by first.
    pub logit_scale: f32,
    /// What makes scores behave like probabilities; `None` leaves them.
    pub calibration: Option<Calibration>,
}

impl Default for PostProcessing {
    fn default() -> Self {
        Self {
            non_max_suppression: NonMaxSuppression::default(),
            score_converter: ScoreConverter::Identity,
            logit_scale: 1.0,
            calibration: None,
        }
    }
}

impl PostProcessing {
    /// The scores of logits `[anchors, columns]`.
    pub fn scores(&self, logits: &[f32], columns: usize) -> Vec<f32> {
        let convert = |logits: &[f32]| self.score_converter.convert(logits, columns, self.logit_scale);
        match &self.calibration {
            None => convert(logits),
            // TFOD applies a temperature to the logits and everything else to the scores.
            Some(calibration @ Calibration::Temperature(_)) => {
                let mut logits = logits.to_vec();
                calibration.apply(&mut logits, columns);
                convert(&logits)
            }
            Some(calibration) => {
                let mut scores = convert(logits);
                calibration.apply(&mut scores, columns);
                scores
            }
        }
    }

    /// The detections of one picture from its decoded boxes and its logits
    /// `[anchors, 1 + classes]`, background in column 0.
    pub fn detect(&self, boxes: &[[f32; 4]], logits: &[f32], columns: usize, clip_window: [f32; 4]) -> Vec<ScoredBox> {
        self.detect_candidates(CandidateBoxes::Shared(boxes), logits, columns, Some(clip_window))
    }

    /// As [`detect`](Self::detect), with a box for each class where `boxes` says so, and without clipping where there is
    /// no window.
    pub fn detect_candidates(
        &self,
        boxes: CandidateBoxes<'_>,
        logits: &[f32],
        columns: usize,
        clip_window: Option<[f32; 4]>,
    ) -> Vec<ScoredBox> {
        let converted;
        let inverse = 1.0 / self.logit_scale;
        let grows = inverse > 0.0 && inverse.is_finite() && self.calibration.is_none();
        let scores = match self.score_converter {
            ScoreConverter::Identity if grows => Scores::scaled(logits, columns, inverse),
            ScoreConverter::Sigmoid if grows => Scores::sigmoid(logits, columns, inverse),
            _ => {
                converted = self.scores(logits, columns);
                Scores::scaled(&converted, columns, 1.0)
            }
        };
        self.non_max_suppression.select(boxes, &scores, clip_window)
    }
}

/// Best first; of equal scores the one that came first.
fn sort_by_score(boxes: &mut [ScoredBox]) {
    boxes.sort_by(|a, b| b.score.total_cmp(&a.score));
}

fn clip_to_window([ymin, xmin, ymax, xmax]: [f32; 4], [top, left, bottom, right]: [f32; 4]) -> [f32; 4] {
    // min and max in this order, so that a NaN becomes an edge and the empty box is dropped.
    [ymin.min(bottom).max(top), xmin.min(right).max(left), ymax.min(bottom).max(top), xmax.min(right).max(left)]
}

/// A box in coordinates of a window.
pub(crate) fn change_coordinate_frame(
    [ymin, xmin, ymax, xmax]: [f32; 4],
    [top, left, bottom, right]: [f32; 4],
) -> [f32; 4] {
    let (y_scale, x_scale) = (1.0 / (bottom - top), 1.0 / (right - left));
    [(ymin - top) * y_scale, (xmin - left) * x_scale, (ymax - top) * y_scale, (xmax - left) * x_scale]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn classes_are_suppressed_by_themselves_and_sorted_together() {
        let boxes = [[0.0, 0.0, 0.5, 0.5], [0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]];
        let scores = [0.9, 0.1, 0.8, 0.7, 0.3, 0.95];
        let found = NonMaxSuppression { score_threshold: 0.2, ..Default::default() }.multiclass(
            CandidateBoxes::Shared(&boxes),
            &scores,
            2,
            Some(UNIT_SQUARE),
        );
        let short: Vec<(f32, usize)> = found.iter().map(|f| (f.score, f.class)).collect();
        assert_eq!(short, [(0.95, 1), (0.9, 0), (0.7, 1), (0.3, 0)]);
    }

    #[test]
    fn boxes_outside_the_window_are_dropped_and_the_rest_moves_into_it() {
        let boxes = [[0.0, 0.0, 0.4, 0.4], [0.4, 0.4, 0.8, 0.8]];
        let nms = NonMaxSuppression::default();
        let found = nms.multiclass(CandidateBoxes::Shared(&boxes), &[0.9, 0.8], 1, Some([0.5, 0.5, 1.0, 1.0]));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].bounds[..2], [0.0, 0.0]);
        assert!((found[0].bounds[2] - 0.6).abs() < 1e-6);
    }

    #[test]
    fn empty_boxes_and_negative_scores_are_no_detections_even_without_a_window() {
        let boxes = [[0.0, 0.0, 0.4, 0.4], [0.5, 0.5, 0.5, 0.8], [3.0, 3.0, 4.0, 4.0]];
        let nms = NonMaxSuppression { score_threshold: -1.0, ..Default::default() };
        let found = nms.multiclass(CandidateBoxes::Shared(&boxes), &[0.9, 0.8, -0.5], 1, None);
        assert_eq!(found, [ScoredBox { bounds: boxes[0], score: 0.9, class: 0 }]);
    }

    #[test]
    fn combined_suppression_clips_to_the_unit_square_and_drops_nothing() {
        let boxes = [[0.5, 0.5, 1.5, 0.75], [2.0, 2.0, 3.0, 3.0]];
        let nms = NonMaxSuppression { combined: true, ..Default::default() };
        let found = nms.multiclass(CandidateBoxes::Shared(&boxes), &[0.9, 0.8], 1, Some([0.5, 0.5, 0.7, 0.7]));
        let bounds: Vec<[f32; 4]> = found.iter().map(|f| f.bounds).collect();
        assert_eq!(bounds, [[0.5, 0.5, 1.0, 0.75], [1.0; 4]]);
    }

    #[test]
    fn every_class_has_its_own_box_where_that_is_asked() {
        let boxes = [[0.0, 0.0, 0.2, 0.2], [0.5, 0.5, 0.9, 0.9]];
        let logits = [0.0, 0.6, 0.7];
        let post_processing = PostProcessing::default();
        let found =
            post_processing.detect_candidates(CandidateBoxes::ClassSpecific(&boxes), &logits, 3, Some(UNIT_SQUARE));
        assert_eq!(found[0], ScoredBox { bounds: boxes[1], score: 0.7, class: 1 });
        assert_eq!(found[1], ScoredBox { bounds: boxes[0], score: 0.6, class: 0 });
    }

    #[test]
    fn nothing_gives_nothing() {
        let nms = NonMaxSuppression::default();
        assert!(nms.multiclass(CandidateBoxes::Shared(&[]), &[], 3, Some(UNIT_SQUARE)).is_empty());
        assert!(nms.multiclass(CandidateBoxes::Shared(&[]), &[], 0, None).is_empty());
    }

    proptest! {
        #[test]
        fn whatever_the_numbers_nothing_panics(
            values in proptest::collection::vec(prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY), -2.0f32..2.0], 60),
            sigma in prop_oneof![Just(0.0f32), Just(0.5)],
            agnostic: bool,
            combined: bool,
            specific: bool,
            window in prop_oneof![Just(None), Just(Some(UNIT_SQUARE)), Just(Some([0.5, 0.5, 0.5, f32::NAN]))],
        ) {
            let boxes: Vec<[f32; 4]> = values[..40].chunks_exact(4).map(|c| [c[0], c[1], c[2], c[3]]).collect();
            let nms = NonMaxSuppression {
                soft_nms_sigma: sigma,
                class_agnostic: agnostic,
                combined,
                change_coordinate_frame: false,
                ..Default::default()
            };
            let (candidates, scores) = if specific {
                (CandidateBoxes::ClassSpecific(&boxes), &values[40..50])
            } else {
                (CandidateBoxes::Shared(&boxes), &values[40..])
            };
            let found = nms.multiclass(candidates, scores, 2, window);
            prop_assert!(found.iter().all(|f| !f.score.is_nan()));
            prop_assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score));
            if combined || window == Some(UNIT_SQUARE) {
                prop_assert!(found.iter().all(|f| f.bounds.iter().all(|v| (0.0..=1.0).contains(v))));
            }
        }

        #[test]
        fn best_first_is_class_by_class(
            seed in 0u64..1 << 40,
            anchors in 1usize..400,
            classes in 1usize..7,
            coarse: bool,
            sigmoid: bool,
            window in prop_oneof![Just(None), Just(Some(UNIT_SQUARE)), Just(Some([0.25, 0.25, 0.75, 0.5]))],
            score_threshold in prop_oneof![Just(1e-8f32), Just(0.0), Just(0.4), Just(-1.0), Just(2.0)],
            limits in (0usize..40, 0usize..60),
            iou_threshold in prop_oneof![Just(0.6f32), Just(0.0), Just(1.0)],
        ) {
            let mut draws = crate::initializers::Draws::new(seed, "candidates");
            let mut draw = |low: f32, high: f32| low + (high - low) * draws.uniform() as f32;
            let boxes: Vec<[f32; 4]> = (0..anchors)
                .map(|_| {
                    let (y, x) = (draw(-0.2, 1.0), draw(-0.2, 1.0));
                    [y, x, y + draw(0.0, 0.4), x + draw(0.0, 0.4)]
                })
                .collect();
            // Coarse values are often equal; large ones are all 1 as scores.
            let logits: Vec<f32> = (0..anchors * (classes + 1))
                .map(|_| if coarse { draw(-6.0, 30.0).round() } else { draw(-12.0, 1.0) })
                .collect();
            let non_max_suppression = NonMaxSuppression {
                score_threshold,
                iou_threshold,
                max_detections_per_class: limits.0,
                max_total_detections: limits.1,
                ..Default::default()
            };
            let score_converter = if sigmoid { ScoreConverter::Sigmoid } else { ScoreConverter::Identity };
            let post_processing = PostProcessing { non_max_suppression, score_converter, logit_scale: 2.0, calibration: None };
            let found = post_processing.detect_candidates(CandidateBoxes::Shared(&boxes), &logits, classes + 1, window);

            let scores = post_processing.scores(&logits, classes + 1);
            let scores: Vec<f32> = scores.chunks_exact(classes + 1).flat_map(|row| &row[1..]).copied().collect();
            let nms = &post_processing.non_max_suppression;
            let mut slowly = nms.select_by_class(CandidateBoxes::Shared(&boxes), &scores, classes, anchors);
            sort_by_score(&mut slowly);
            let mut slowly: Vec<ScoredBox> = slowly.into_iter().filter_map(|found| nms.finished(found, window)).collect();
            if nms.max_total_detections > 0 {
                slowly.truncate(nms.max_total_detections);
            }
            if let Some(window) = window {
                slowly.iter_mut().for_each(|found| found.bounds = change_coordinate_frame(found.bounds, window));
            }
            prop_assert_eq!(found, slowly);
        }

        #[test]
        fn whatever_the_logits_every_converter_gives_as_many_scores(
            logits in proptest::collection::vec(prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY), -200.0f32..200.0], 12),
            score_converter in prop_oneof![Just(ScoreConverter::Identity), Just(ScoreConverter::Sigmoid), Just(ScoreConverter::Softmax)],
            curve: bool,
        ) {
            let points = vec![(0.2, 0.0), (0.5, 0.4), (0.9, 1.0)];
            let calibration = curve.then(|| Calibration::Curve(CalibrationCurve::new(points).expect("rising")));
            let post_processing = PostProcessing { score_converter, calibration, ..Default::default() };
            let boxes = [[0.1, 0.1, 0.4, 0.4]; 4];
            prop_assert_eq!(post_processing.scores(&logits, 3).len(), 12);
            let found = post_processing.detect(&boxes, &logits, 3, UNIT_SQUARE);
            prop_assert!(found.iter().all(|f| !f.score.is_nan()));
        }
    }
}
