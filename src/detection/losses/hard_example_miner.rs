//! Choosing the anchors whose loss is worth learning from (TFOD's `HardExampleMiner`).
//!
//! 1. Anchors are ranked by their loss, and those whose decoded boxes overlap a harder one are dropped.
//! 2. Of what is left, all positives stay and, in the order of their loss, as many negatives as the
//!    ratio to the positives allows.

use crate::matchers::Match;
use crate::post_processing::non_max_suppression;

/// What ranks the anchors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MiningLoss {
    /// The classification loss.
    Classification,
    /// The localization loss.
    Localization,
    /// Both, weighted.
    Both {
        /// Weight of the classification loss.
        classification_weight: f32,
        /// Weight of the localization loss.
        localization_weight: f32,
    },
}

/// The miner; fields as in `hard_example_miner` of the config.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HardExampleMiner {
    /// How many anchors survive the first step at most; `None` for all.
    pub num_hard_examples: Option<usize>,
    /// Overlap above which the easier of two anchors is dropped.
    pub iou_threshold: f32,
    /// What ranks them.
    pub loss: MiningLoss,
    /// Negatives for each positive; `None` skips the second step.
    pub max_negatives_per_positive: Option<u32>,
    /// Negatives that a picture may have even without positives.
    pub min_negatives_per_image: u32,
}

/// What was chosen in one picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MinedExamples {
    /// Anchors, hardest first.
    pub indices: Vec<usize>,
    /// How many of them are matched.
    pub num_positives: usize,
}

impl HardExampleMiner {
    /// Chooses among the anchors of one picture. The slices run in parallel; `boxes` are the
    /// predicted boxes, decoded.
    pub fn mine(
        &self,
        localization: &[f32],
        classification: &[f32],
        boxes: &[[f32; 4]],
        matches: &[Match],
    ) -> MinedExamples {
        let ranking: Vec<f32> = match self.loss {
            MiningLoss::Classification => classification.to_vec(),
            MiningLoss::Localization => localization.to_vec(),
            MiningLoss::Both { classification_weight, localization_weight } => classification
                .iter()
                .zip(localization)
                .map(|(c, l)| c * classification_weight + l * localization_weight)
                .collect(),
        };
        let limit = self.num_hard_examples.unwrap_or(boxes.len());
        let hardest = non_max_suppression(boxes, &ranking, limit, self.iou_threshold, f32::NEG_INFINITY, 0.0);
        let mut indices: Vec<usize> = hardest.into_iter().map(|selected| selected.index).collect();
        let is_positive = |i: &usize| matches!(matches.get(*i), Some(Match::Matched(_)));
        let num_positives = indices.iter().filter(|i| is_positive(i)).count();
        if let Some(ratio) = self.max_negatives_per_positive {
            let allowed = (num_positives.saturating_mul(ratio as usize)).max(self.min_negatives_per_image as usize);
            let mut negatives = 0;
            // TFOD keeps whatever stands before the negative that is one too many, ignored anchors too.
            indices.retain(|i| {
                negatives += usize::from(matches!(matches.get(*i), Some(Match::Unmatched)));
                negatives <= allowed || is_positive(i)
            });
        }
        MinedExamples { indices, num_positives }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart(n: usize) -> Vec<[f32; 4]> {
        (0..n).map(|i| [i as f32, 0.0, i as f32 + 1.0, 1.0]).collect()
    }

    #[test]
    fn positives_stay_and_negatives_keep_the_ratio() {
        let miner = HardExampleMiner {
            num_hard_examples: None,
            iou_threshold: 0.99,
            loss: MiningLoss::Classification,
            max_negatives_per_positive: Some(1),
            min_negatives_per_image: 0,
        };
        let matches = [Match::Unmatched, Match::Unmatched, Match::Matched(0), Match::Unmatched];
        let mined = miner.mine(&[0.0; 4], &[3.0, 1.0, 0.5, 2.0], &apart(4), &matches);
        assert_eq!(mined, MinedExamples { indices: vec![0, 2], num_positives: 1 });
    }

    #[test]
    fn a_picture_without_positives_keeps_the_minimum() {
        let miner = HardExampleMiner {
            num_hard_examples: Some(3),
            iou_threshold: 0.99,
            loss: MiningLoss::Both { classification_weight: 1.0, localization_weight: 2.0 },
            max_negatives_per_positive: Some(3),
            min_negatives_per_image: 2,
        };
        let mined = miner.mine(&[0.0, 2.0, 0.0, 0.0], &[3.0, 1.0, 0.5, 2.0], &apart(4), &[Match::Unmatched; 4]);
        assert_eq!(mined.indices, [1, 0]);
    }

    #[test]
    fn numbers_that_are_none_are_not_chosen() {
        let miner = HardExampleMiner {
            num_hard_examples: None,
            iou_threshold: 0.5,
            loss: MiningLoss::Localization,
            max_negatives_per_positive: None,
            min_negatives_per_image: 0,
        };
        let mined = miner.mine(&[f32::NAN, 1.0], &[0.0; 2], &[[f32::NAN; 4], [0.0; 4]], &[Match::Unmatched; 2]);
        assert_eq!(mined.indices, [1]);
    }
}
