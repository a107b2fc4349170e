//! Choosing anchors by lot, as many negatives as a share of positives asks for (TFOD's `random_example_sampler`, a
//! `BalancedPositiveNegativeSampler` without a batch size).

use crate::initializers::Draws;
use crate::matchers::Match;

/// Keeps all positives, and so many negatives by lot that positives are this share of all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RandomExampleSampler {
    /// The share of positives, above 0 and up to 1.
    pub positive_fraction: f32,
}

impl RandomExampleSampler {
    /// Which anchors of a picture count. Those of weight 0 are never among them. The lot follows from `seed` alone.
    pub fn sample(&self, matches: &[Match], class_weights: &[f32], seed: u64) -> Vec<bool> {
        let counts = |i: &usize| class_weights.get(*i).is_some_and(|weight| *weight != 0.0);
        let is_positive = |i: &usize| matches!(matches[*i], Match::Matched(_));
        let (positives, mut negatives): (Vec<usize>, Vec<usize>) =
            (0..matches.len()).filter(counts).partition(is_positive);
        // TFOD's division and rounding towards 0.
        let ratio = (1.0 - f64::from(self.positive_fraction)) / f64::from(self.positive_fraction);
        let most = ((ratio as f32 * positives.len() as f32) as usize).min(negatives.len());
        let mut draws = Draws::new(seed, "random_example_sampler");
        for place in 0..most {
            let other = place + (draws.uniform() * (negatives.len() - place) as f64) as usize;
            negatives.swap(place, other);
        }
        let mut chosen = vec![false; matches.len()];
        positives.iter().chain(&negatives[..most]).for_each(|&i| chosen[i] = true);
        chosen
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
        let chosen = sampler.sample(&matches, &weights, 5);
        // One positive has a weight; nine negatives make it a tenth.
        assert_eq!(chosen.iter().filter(|c| **c).count(), 10);
        assert!(chosen[3] && !chosen[50] && !chosen[60] && !chosen[7]);
        assert_eq!(chosen, sampler.sample(&matches, &weights, 5));
        assert_ne!(chosen, sampler.sample(&matches, &weights, 6));
    }

    #[test]
    fn without_positives_nothing_counts_and_never_more_than_there_are() {
        let sampler = RandomExampleSampler { positive_fraction: 0.01 };
        assert_eq!(sampler.sample(&[Match::Unmatched; 4], &[1.0; 4], 0), [false; 4]);
        let few = [Match::Matched(0), Match::Unmatched, Match::Unmatched];
        assert_eq!(sampler.sample(&few, &[1.0; 3], 0), [true; 3]);
        let all = RandomExampleSampler { positive_fraction: 1.0 };
        assert_eq!(all.sample(&few, &[1.0; 3], 0), [true, false, false]);
    }
}
