//! Choosing anchors or proposals for a small batch (TFOD's `balanced_positive_negative_sampler`).
//!
//! So many of the positives as their fraction of the batch allows, and negatives for the rest of it.
//! TFOD draws them at random; here the draws follow from a seed, so that a step can be repeated.

use crate::initializers::Draws;

/// Which of the eligible are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lot {
    /// Those that come first: for comparing numbers.
    First,
    /// Any, by draws from this seed.
    Seeded(u64),
}

/// The sampler.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BalancedPositiveNegativeSampler {
    /// The largest part of the batch that is positive.
    pub positive_fraction: f32,
}

impl BalancedPositiveNegativeSampler {
    /// Which are chosen, at most `batch_size` of them. Only the `eligible` are; `positive` says what they are.
    pub fn subsample(&self, eligible: &[bool], positive: &[bool], batch_size: usize, lot: Lot) -> Vec<bool> {
        let of_kind = |wanted: bool| -> Vec<usize> {
            (0..eligible.len().min(positive.len())).filter(|&i| eligible[i] && positive[i] == wanted).collect()
        };
        // Python multiplies in f64 and cuts off.
        let most = (f64::from(self.positive_fraction) * batch_size as f64) as usize;
        let positives = draw(of_kind(true), most, lot, "positives");
        let negatives = draw(of_kind(false), batch_size.saturating_sub(positives.len()), lot, "negatives");
        let mut chosen = vec![false; eligible.len()];
        positives.into_iter().chain(negatives).for_each(|i| chosen[i] = true);
        chosen
    }

    /// Which are chosen where there is no size of a batch: all of the eligible positives, and so many negatives that the
    /// positives are their fraction of all.
    pub fn subsample_all(&self, eligible: &[bool], positive: &[bool], lot: Lot) -> Vec<bool> {
        let count = |wanted: bool| eligible.iter().zip(positive).filter(|(e, p)| **e && **p == wanted).count();
        let fraction = f64::from(self.positive_fraction);
        // Python divides in f64, TensorFlow multiplies in f32 and cuts off.
        let negatives = ((1.0 - fraction) / fraction) as f32 * count(true) as f32;
        let most = (negatives as usize).min(count(false));
        let of_kind = |wanted: bool| {
            (0..eligible.len().min(positive.len())).filter(move |&i| eligible[i] && positive[i] == wanted)
        };
        let mut chosen = vec![false; eligible.len()];
        of_kind(true).chain(draw(of_kind(false).collect(), most, lot, "negatives")).for_each(|i| chosen[i] = true);
        chosen
    }
}

/// At most `count` of these.
fn draw(mut from: Vec<usize>, count: usize, lot: Lot, name: &str) -> Vec<usize> {
    let count = count.min(from.len());
    if let Lot::Seeded(seed) = lot {
        let mut draws = Draws::new(seed, name);
        for place in 0..count {
            let other = place + (draws.uniform() * (from.len() - place) as f64) as usize;
            from.swap(place, other);
        }
    }
    from.truncate(count);
    from
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLER: BalancedPositiveNegativeSampler = BalancedPositiveNegativeSampler { positive_fraction: 0.5 };

    fn places(chosen: &[bool]) -> Vec<usize> {
        (0..chosen.len()).filter(|&i| chosen[i]).collect()
    }

    #[test]
    fn positives_up_to_their_fraction_then_negatives() {
        let eligible = [true, false, true, true, true, true, true, true];
        let positive = [true, true, false, true, true, false, false, false];
        assert_eq!(places(&SAMPLER.subsample(&eligible, &positive, 4, Lot::First)), [0, 2, 3, 5]);
        // Too few negatives: the batch stays smaller.
        let all = [true; 8];
        assert_eq!(places(&SAMPLER.subsample(&eligible, &all, 4, Lot::First)), [0, 2]);
        // Too few positives: negatives fill it.
        let one = [false, true, false, true, false, false, false, false];
        assert_eq!(places(&SAMPLER.subsample(&eligible, &one, 4, Lot::First)), [0, 2, 3, 4]);
        assert_eq!(places(&SAMPLER.subsample(&[], &[], 4, Lot::First)), [0usize; 0]);
    }

    #[test]
    fn the_seed_chooses_and_nothing_else() {
        let (eligible, positive) = ([true; 200], std::array::from_fn::<_, 200, _>(|i| i % 3 == 0));
        let of = |seed| SAMPLER.subsample(&eligible, &positive, 32, Lot::Seeded(seed));
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        let chosen = of(7);
        let count = |wanted: bool| (0..200).filter(|&i| chosen[i] && positive[i] == wanted).count();
        assert_eq!((count(true), count(false)), (16, 16));
    }
}
