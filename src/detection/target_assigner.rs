//! What each anchor should answer (TFOD's `target_assigner`).
//!
//! 1. The similarity of every groundtruth box to every anchor.
//! 2. The matcher says which box, if any, each anchor answers for.
//! 3. A matched anchor's targets are the box, encoded relative to it, and the box's class.
//! 4. Weights: the box's own where matched, `negative_class_weight` for the class of background, 0 where ignored.

use boxwright_core::geometry::NormalizedBox;
use boxwright_core::label_map::ClassIndex;
use rayon::prelude::*;

use crate::box_coders::BoxCoder;
use crate::matchers::{ArgMaxMatcher, Match, Matcher, Thresholds};
use crate::region_similarity::RegionSimilarity;

/// The labelled boxes of one picture; the three lists run in parallel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Groundtruth {
    /// Where the objects are, in the picture as the model sees it.
    pub boxes: Vec<NormalizedBox>,
    /// What they are.
    pub classes: Vec<ClassIndex>,
    /// How much each counts; 0 takes a box out without taking its place.
    pub weights: Vec<f32>,
}

/// The targets of one picture, anchor by anchor.
#[derive(Clone, Debug, PartialEq)]
pub struct Targets {
    /// `[anchors, columns]`: a one-hot row, background in column 0.
    pub class_targets: Vec<f32>,
    /// `[anchors]`.
    pub class_weights: Vec<f32>,
    /// `[anchors, code size]`: box codes, 0 where unmatched.
    pub box_targets: Vec<f32>,
    /// `[anchors]`.
    pub box_weights: Vec<f32>,
    /// `[anchors]`.
    pub matches: Vec<Match>,
}

/// Assigns targets to anchors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TargetAssigner {
    /// How boxes and anchors are compared.
    pub similarity: RegionSimilarity,
    /// Who answers for what.
    pub matcher: Matcher,
    /// How boxes are encoded.
    pub box_coder: BoxCoder,
    /// The weight of the classification of background anchors.
    pub negative_class_weight: f32,
}

impl TargetAssigner {
    /// The assigner of Faster R-CNN's first stage (TFOD's `create_target_assigner('FasterRCNN', 'proposal')`).
    pub fn faster_rcnn_proposal() -> Self {
        Self::faster_rcnn(Thresholds { matched: 0.7, unmatched: 0.3 }, true)
    }

    /// The assigner of Faster R-CNN's second stage (TFOD's `create_target_assigner('FasterRCNN', 'detection')`).
    pub fn faster_rcnn_detection() -> Self {
        Self::faster_rcnn(Thresholds { matched: 0.5, unmatched: 0.5 }, false)
    }

    fn faster_rcnn(thresholds: Thresholds, force_match_for_each_row: bool) -> Self {
        let matcher = ArgMaxMatcher {
            thresholds: Some(thresholds),
            negatives_lower_than_unmatched: true,
            force_match_for_each_row,
        };
        Self {
            similarity: RegionSimilarity::Iou,
            matcher: matcher.into(),
            box_coder: BoxCoder::default(),
            negative_class_weight: 1.0,
        }
    }

    /// The targets of one picture where the only question is whether there is anything: one column, 1 for matched
    /// anchors (TFOD's `assign` without groundtruth labels).
    pub fn assign_objectness(&self, anchors: &[[f32; 4]], groundtruth: &Groundtruth) -> Targets {
        let mut targets = self.assign(anchors, groundtruth, &[0.0]);
        for (target, matched) in targets.class_targets.iter_mut().zip(&targets.matches) {
            *target = f32::from(u8::from(matches!(matched, Match::Matched(_))));
        }
        targets
    }

    /// The targets of one picture.
    ///
    /// `unmatched_class_label` is the row of an anchor without a box, and its length the number of
    /// columns: `[1, 0, …]`, or all zeros where background is not a class of its own. A class that has
    /// no column leaves its anchors' rows empty.
    pub fn assign(&self, anchors: &[[f32; 4]], groundtruth: &Groundtruth, unmatched_class_label: &[f32]) -> Targets {
        let boxes: Vec<[f32; 4]> = groundtruth.boxes.iter().map(|b| b.to_array()).collect();
        let weight = |row: usize| groundtruth.weights.get(row).copied().unwrap_or(1.0);
        let similarity = self.similarity.compare(&boxes, anchors);
        let matches = self.matcher.match_columns(&similarity, |row| weight(row) > 0.0);

        let columns = unmatched_class_label.len();
        let code_size = self.box_coder.code_size();
        let mut targets = Targets {
            class_targets: vec![0.0; anchors.len() * columns],
            class_weights: vec![0.0; anchors.len()],
            box_targets: vec![0.0; anchors.len() * code_size],
            box_weights: vec![0.0; anchors.len()],
            matches,
        };
        for (i, matched) in targets.matches.iter().enumerate() {
            let class_row = &mut targets.class_targets[i * columns..(i + 1) * columns];
            match *matched {
                Match::Matched(row) => {
                    let column = groundtruth.classes.get(row).map(|class| class.0.saturating_add(1));
                    if let Some(target) = column.and_then(|c| class_row.get_mut(c)) {
                        *target = 1.0;
                    }
                    targets.class_weights[i] = weight(row);
                    targets.box_weights[i] = weight(row);
                    let code = &mut targets.box_targets[i * code_size..(i + 1) * code_size];
                    self.box_coder.encode(boxes[row], anchors[i], code);
                }
                Match::Unmatched => {
                    class_row.copy_from_slice(unmatched_class_label);
                    targets.class_weights[i] = self.negative_class_weight;
                }
                Match::Ignored => class_row.copy_from_slice(unmatched_class_label),
            }
        }
        targets
    }

    /// The targets of a batch, picture by picture.
    pub fn batch_assign(
        &self,
        anchors: &[[f32; 4]],
        batch: &[Groundtruth],
        unmatched_class_label: &[f32],
    ) -> Vec<Targets> {
        batch.par_iter().map(|groundtruth| self.assign(anchors, groundtruth, unmatched_class_label)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assigner() -> TargetAssigner {
        TargetAssigner {
            similarity: RegionSimilarity::Iou,
            matcher: Matcher::ArgMax(ArgMaxMatcher {
                thresholds: Some(Thresholds { matched: 0.5, unmatched: 0.3 }),
                negatives_lower_than_unmatched: true,
                force_match_for_each_row: false,
            }),
            box_coder: BoxCoder::default(),
            negative_class_weight: 0.25,
        }
    }

    const ANCHORS: [[f32; 4]; 3] = [[0.0, 0.0, 0.5, 0.5], [0.0, 0.0, 0.5, 0.2], [0.6, 0.6, 1.0, 1.0]];

    #[test]
    fn matched_ignored_and_background() {
        let groundtruth = Groundtruth {
            boxes: vec![NormalizedBox::new(0.0, 0.0, 0.5, 0.5)],
            classes: vec![ClassIndex(1)],
            weights: vec![0.5],
        };
        let targets = assigner().assign(&ANCHORS, &groundtruth, &[1.0, 0.0, 0.0]);
        assert_eq!(targets.matches, [Match::Matched(0), Match::Ignored, Match::Unmatched]);
        assert_eq!(targets.class_targets, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        assert_eq!(targets.class_weights, [0.5, 0.0, 0.25]);
        assert_eq!(targets.box_weights, [0.5, 0.0, 0.0]);
        assert!(targets.box_targets[4..].iter().all(|&v| v == 0.0));
    }

    #[test]
    fn a_picture_without_boxes_is_background_throughout() {
        let targets = assigner().assign(&ANCHORS, &Groundtruth::default(), &[0.0, 0.0]);
        assert_eq!(targets.matches, [Match::Unmatched; 3]);
        assert_eq!(targets.class_weights, [0.25; 3]);
        assert_eq!(targets.class_targets, [0.0; 6]);
    }

    #[test]
    fn objectness_is_one_column() {
        let groundtruth = Groundtruth {
            boxes: vec![NormalizedBox::new(0.0, 0.0, 0.5, 0.5)],
            classes: vec![ClassIndex(7)],
            weights: vec![1.0],
        };
        let targets = TargetAssigner::faster_rcnn_proposal().assign_objectness(&ANCHORS, &groundtruth);
        assert_eq!(targets.class_targets, [1.0, 0.0, 0.0]);
        assert_eq!(targets.class_weights, [1.0, 0.0, 1.0]);
    }

    #[test]
    fn codes_are_as_long_as_the_coder_says() {
        let groundtruth = Groundtruth {
            boxes: vec![NormalizedBox::new(0.6, 0.6, 1.0, 1.0)],
            classes: vec![ClassIndex(0)],
            weights: vec![1.0],
        };
        let square = BoxCoder::Square(crate::box_coders::SquareBoxCoder::default());
        let assigner = TargetAssigner {
            box_coder: square,
            matcher: Matcher::Bipartite(crate::matchers::GreedyBipartiteMatcher),
            ..assigner()
        };
        let targets = assigner.assign(&ANCHORS, &groundtruth, &[1.0, 0.0]);
        assert_eq!(targets.matches, [Match::Unmatched, Match::Unmatched, Match::Matched(0)]);
        assert_eq!(targets.box_targets.len(), 9);
    }

    #[test]
    fn a_class_without_a_column_does_not_panic() {
        let groundtruth = Groundtruth {
            boxes: vec![NormalizedBox::new(0.0, 0.0, 0.5, 0.5)],
            classes: vec![ClassIndex(usize::MAX)],
            weights: vec![],
        };
        let targets = assigner().assign(&ANCHORS, &groundtruth, &[1.0, 0.0]);
        assert_eq!(targets.class_targets[..2], [0.0, 0.0]);
    }
}
