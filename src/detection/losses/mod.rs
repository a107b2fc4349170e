//! Losses (TFOD's `core/losses.py`) and hard example mining.
//!
//! The tensor losses return one number for each anchor, so that a miner can choose among them.
//! Their gradients are written in closed form and not left to the tape: that is stable where the
//! formulas saturate, right at the corners where TensorFlow defines a value, and one multiplication
//! in the backward pass.

mod classification;
mod hard_example_miner;
mod localization;
mod random_example_sampler;

pub use classification::ClassificationLoss;
pub use hard_example_miner::{HardExampleMiner, MinedExamples, MiningLoss};
pub use localization::LocalizationLoss;
pub use random_example_sampler::RandomExampleSampler;

use burn::tensor::Tensor;

/// `value` in the forward pass, `gradient` in the backward pass with respect to `x`.
///
/// `value` and `gradient` must have been computed from a detached `x`.
fn with_gradient<const D: usize>(x: Tensor<D>, value: Tensor<D>, gradient: Tensor<D>) -> Tensor<D> {
    let zero = x.clone() - x.detach();
    value + zero * gradient
}
