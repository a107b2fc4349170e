//! What weights start at (TensorFlow's and slim's initializers).
//!
//! Each variable draws from its own stream, made from the run's seed and its name: adding a layer
//! or changing the order of construction leaves all other weights as they were.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Which fan a [`Initializer::VarianceScaling`] divides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FanMode {
    /// Inputs of a unit.
    FanIn,
    /// Outputs of a unit.
    FanOut,
    /// The mean of both.
    FanAvg,
}

/// A distribution of first values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initializer {
    /// One value.
    Constant(f32),
    /// A normal distribution, redrawn beyond two standard deviations.
    TruncatedNormal {
        /// Mean.
        mean: f32,
        /// Standard deviation before the cut.
        stddev: f32,
    },
    /// A normal distribution.
    RandomNormal {
        /// Mean.
        mean: f32,
        /// Standard deviation.
        stddev: f32,
    },
    /// slim's `variance_scaling_initializer`: variance `factor / fan`.
    VarianceScaling {
        /// The factor.
        factor: f32,
        /// The fan.
        mode: FanMode,
        /// Uniform instead of truncated normal.
        uniform: bool,
    },
}

impl Initializer {
    /// Values for a variable of TensorFlow's shape (kernels `[height, width, in, out]`).
    pub fn sample(&self, shape: &[usize], seed: u64, name: &str) -> Vec<f32> {
        let count = shape.iter().product();
        let mut draws = Draws::new(seed, name);
        match *self {
            Self::Constant(value) => vec![value; count],
            Self::TruncatedNormal { mean, stddev } => (0..count).map(|_| mean + stddev * draws.truncated()).collect(),
            Self::RandomNormal { mean, stddev } => (0..count).map(|_| mean + stddev * draws.normal()).collect(),
            Self::VarianceScaling { factor, mode, uniform } => {
                let n = fan(shape, mode);
                if uniform {
                    let limit = (3.0 * factor / n).sqrt();
                    (0..count).map(|_| limit * (2.0 * draws.uniform() - 1.0) as f32).collect()
                } else {
                    // slim makes up for the cut tails with 1.3.
                    let stddev = (1.3 * factor / n).sqrt();
                    (0..count).map(|_| stddev * draws.truncated()).collect()
                }
            }
        }
    }
}

/// slim's fans: the last two axes are in and out, all others the receptive field. A depthwise
/// kernel `[h, w, channels, 1]` therefore counts all channels as inputs.
fn fan(shape: &[usize], mode: FanMode) -> f32 {
    let (field, ends) = shape.split_at(shape.len().saturating_sub(2));
    let field: usize = field.iter().product();
    let (input, output) = match ends {
        [input, output] => (*input, *output),
        [only] => (*only, *only),
        _ => (1, 1),
    };
    let (fan_in, fan_out) = ((input * field) as f32, (output * field) as f32);
    let fan = match mode {
        FanMode::FanIn => fan_in,
        FanMode::FanOut => fan_out,
        FanMode::FanAvg => (fan_in + fan_out) / 2.0,
    };
    fan.max(1.0)
}

/// A stream of draws that belongs to a name.
pub(crate) struct Draws(ChaCha8Rng);

impl Draws {
    /// The stream of `name` in the run with this seed.
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&fnv1a(name).to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal, by Box and Muller.
    fn normal(&mut self) -> f32 {
        // 1 − u lies in (0, 1], so the logarithm is finite.
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        (radius * (std::f64::consts::TAU * self.uniform()).cos()) as f32
    }

    fn truncated(&mut self) -> f32 {
        loop {
            let value = self.normal();
            if value.abs() < 2.0 {
                return value;
            }
        }
    }
}

/// A hash that stays the same over versions and machines.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_and_the_seed_choose_the_values() {
        let normal = Initializer::RandomNormal { mean: 0.0, stddev: 1.0 };
        assert_eq!(normal.sample(&[4], 1, "a"), normal.sample(&[4], 1, "a"));
        assert_ne!(normal.sample(&[4], 1, "a"), normal.sample(&[4], 1, "b"));
        assert_ne!(normal.sample(&[4], 1, "a"), normal.sample(&[4], 2, "a"));
    }

    #[test]
    fn a_truncated_normal_ends_at_two_deviations() {
        let values = Initializer::TruncatedNormal { mean: 1.0, stddev: 0.1 }.sample(&[20_000], 0, "x");
        assert!(values.iter().all(|v| (v - 1.0).abs() <= 0.2));
        assert!(values.iter().any(|v| (v - 1.0).abs() > 0.19));
    }

    #[test]
    fn fans_count_the_receptive_field() {
        assert_eq!(fan(&[3, 3, 16, 32], FanMode::FanIn), 144.0);
        assert_eq!(fan(&[3, 3, 16, 32], FanMode::FanOut), 288.0);
        assert_eq!(fan(&[3, 3, 16, 1], FanMode::FanIn), 144.0);
        assert_eq!(fan(&[3, 3, 16, 32], FanMode::FanAvg), 216.0);
    }
}
