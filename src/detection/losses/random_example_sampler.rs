//! Choosing anchors by lot before any loss is known (TFOD's `random_example_sampler`).

use crate::balanced_sampler::{BalancedPositiveNegativeSampler, Lot};
use crate::matchers::Match;

/// Keeps all positives, and so many negatives by lot that positives are this share of all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RandomExampleSampler {
    /// The share of positives, above 0 and up to 1.
    pub positive_fraction: f32,
}

impl RandomExampleSampler {
    /// Which anchors of a picture count. Those of weight 0 are never among them.
    pub fn sample(&self, matches: &[Match], class_weights: &[f32], lot: Lot) -> Vec<bool> {
        let eligible: Vec<bool> = class_weights.iter().map(|weight| *weight != 0.0).collect();
        let positive: Vec<bool> = matches.iter().map(|matched| matches!(matched, Match::Matched(_))).collect();
        let sampler = BalancedPositiveNegativeSampler { positive_fraction: self.positive_fraction };
        sampler.subsample_all(&eligible, &positive, lot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positives_stay_and_negatives_are_drawn_to_the_share() {
        let mut matches = vec![Match::Unmatched; 100];
        (matches[3], matches[50], matches[60]) = (Match::Matched(0), Match::Matched(1), Match::Ignored);
        let mut weights = vec![1.0; 100];
        (weights[7], weights[50], weights[60]) = (0.0, 0.0, 0.0);
        let sampler = RandomExampleSampler { positive_fraction: 0.1 };
        let chosen = sampler.sample(&matches, &weights, Lot::Seeded(5));
        // One positive has a weight; nine negatives make it a tenth.
        assert_eq!(chosen.iter().filter(|c| **c).count(), 10);
        assert!(chosen[3] && !chosen[50] && !chosen[60] && !chosen[7]);
        assert_eq!(chosen, sampler.sample(&matches, &weights, Lot::Seeded(5)));
        assert_ne!(chosen, sampler.sample(&matches, &weights, Lot::Seeded(6)));
        let first = sampler.sample(&matches, &weights, Lot::First);
        assert!(first[..9].iter().enumerate().all(|(i, chosen)| *chosen == (i != 7)), "{first:?}");
    }

    #[test]
    fn without_positives_nothing_counts_and_never_more_than_there_are() {
        let sampler = RandomExampleSampler { positive_fraction: 0.01 };
        assert_eq!(sampler.sample(&[Match::Unmatched; 4], &[1.0; 4], Lot::First), [false; 4]);
        let few = [Match::Matched(0), Match::Unmatched, Match::Unmatched];
        assert_eq!(sampler.sample(&few, &[1.0; 3], Lot::First), [true; 3]);
        let all = RandomExampleSampler { positive_fraction: 1.0 };
        assert_eq!(all.sample(&few, &[1.0; 3], Lot::First), [true, false, false]);
    }
}
