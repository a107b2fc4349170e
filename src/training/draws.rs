//! Random draws that belong to a place in a run and not to a moment.
//!
//! Each example of each epoch gets its own stream, made from the run's seed and the example's
//! position. Threads may then prepare batches in any order, and a resumed run draws what the run
//! that was never stopped would have drawn, without any state to save.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of draws.
#[derive(Clone, Debug)]
pub struct Draws(ChaCha8Rng);

impl Draws {
    /// The stream of `position` in the run with this seed; `purpose` separates streams that serve
    /// different ends at the same position.
    pub fn new(seed: u64, purpose: u64, position: u64) -> Self {
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&purpose.to_le_bytes());
        key[16..24].copy_from_slice(&position.to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Uniform in `[0, 1)`, with 53 random bits.
    pub fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in `[low, high)`.
    pub fn range(&mut self, low: f64, high: f64) -> f64 {
        low + self.uniform() * (high - low)
    }

    /// Uniform in the range of two `f32`, the larger one left out.
    pub fn within(&mut self, range: (f32, f32)) -> f32 {
        self.range(f64::from(range.0), f64::from(range.1)) as f32
    }

    /// Uniform among `low .. high`; the smaller of the two where nothing lies between.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        if high <= low { high } else { low + self.below(high - low) }
    }

    /// From the normal distribution around 0 with deviation 1 (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Uniform among `0 .. n`; 0 where `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        // The bias of this multiplication is below 2^-40 for any count that fits in memory.
        ((u128::from(self.0.next_u64()) * n as u128) >> 64) as usize
    }

    /// A permutation of `0 .. n` (Fisher and Yates).
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, self.below(i + 1));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_place_draws_the_same_and_another_place_does_not() {
        let draw = |seed, purpose, position| Draws::new(seed, purpose, position).uniform();
        assert_eq!(draw(1, 2, 3), draw(1, 2, 3));
        assert_ne!(draw(1, 2, 3), draw(1, 2, 4));
        assert_ne!(draw(1, 2, 3), draw(1, 3, 3));
        assert_ne!(draw(1, 2, 3), draw(2, 2, 3));
    }

    #[test]
    fn a_permutation_holds_every_number_once() {
        let mut order = Draws::new(7, 0, 0).permutation(100);
        assert_ne!(order, (0..100).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
        assert!(Draws::new(7, 0, 0).permutation(0).is_empty());
    }

    #[test]
    fn normal_draws_have_mean_0_and_deviation_1() {
        let mut draws = Draws::new(5, 1, 4);
        let values: Vec<f64> = (0..20_000).map(|_| draws.normal()).collect();
        let mean = values.iter().sum::<f64>() / 20_000.0;
        let variance = values.iter().map(|v| v * v).sum::<f64>() / 20_000.0;
        let inside = values.iter().filter(|v| v.abs() < 1.0).count() as f64 / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05 && (inside - 0.6827).abs() < 0.015);
    }

    #[test]
    fn whole_numbers_between_two_ends() {
        let mut draws = Draws::new(5, 1, 4);
        let drawn: std::collections::BTreeSet<usize> = (0..200).map(|_| draws.between(3, 6)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!([draws.between(4, 4), draws.between(9, 2)], [4, 2]);
    }

    #[test]
    fn uniform_fills_its_interval_evenly() {
        let mut draws = Draws::new(3, 1, 4);
        let mut counts = [0u32; 10];
        for _ in 0..10_000 {
            counts[(draws.uniform() * 10.0) as usize] += 1;
        }
        assert!(counts.iter().all(|&c| (850..1150).contains(&c)), "{counts:?}");
    }
}
