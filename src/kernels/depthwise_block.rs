//! A depthwise convolution between two batch normalizations, as one operator.
//!
//! In the MobileNets every depthwise convolution reads what a batch normalization and its activation have made, and
//! another pair of them follows. All five work channel by channel. On the CPU a channel therefore goes through them in one
//! go, while it is in the cache, and what lies between the first pair and the convolution is never written to
//! memory, neither on the way forward nor back. Elsewhere the block is its three operators one after the other.

use burn::backend::Dispatch;
use burn::tensor::{Device, Tensor};

use crate::activation::Activation;
use crate::backend::KernelBackend;
use crate::geometry::{ConvGeometry, Padding};
use crate::layer_shape::is_tracing;
use crate::{batch_norm_train, check_channels, depthwise_conv2d};

/// Batch normalization by the batch's own statistics, and the activation behind it.
#[derive(Debug, Clone)]
pub struct Norm {
    /// The factor, `[channels]`.
    pub gamma: Tensor<1>,
    /// The summand, `[channels]`.
    pub beta: Tensor<1>,
    /// What is added to the variance.
    pub epsilon: f32,
    /// What follows.
    pub activation: Activation,
}

impl Norm {
    /// [`batch_norm_train`] with these parameters.
    ///
    /// # Panics
    /// On shapes that do not fit together.
    pub fn forward(self, x: Tensor<4>) -> (Tensor<4>, Statistics) {
        let (y, mean, variance) = batch_norm_train(x, self.gamma, self.beta, self.epsilon, self.activation);
        (y, Statistics { mean, variance })
    }
}

/// What a batch normalization found in its batch, detached.
#[derive(Debug, Clone)]
pub struct Statistics {
    /// The mean of each channel, `[channels]`.
    pub mean: Tensor<1>,
    /// The biased variance of each channel, `[channels]`.
    pub variance: Tensor<1>,
}

/// How the block is done: everything but its tensors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockPlan {
    pub geometry: ConvGeometry,
    /// Of the normalization before the convolution, and of that behind it.
    pub epsilon: [f32; 2],
    pub activation: [Activation; 2],
}

/// `before`, [`depthwise_conv2d`], `after`; also what the two normalizations found.
///
/// # Shapes
/// - `x`: `[batch, channels, height, width]`, `weight`: `[channels, 1, kernel height, kernel width]`
/// - result: `[batch, channels, out height, out width]`
///
/// # Panics
/// On shapes that do not fit together, a zero stride, or a kernel larger than the padded input.
pub fn depthwise_block(
    x: Tensor<4>,
    before: Norm,
    weight: Tensor<4>,
    stride: [usize; 2],
    padding: Padding,
    after: Norm,
) -> (Tensor<4>, [Statistics; 2]) {
    if is_tracing() || x.device().inner() != Device::flex() {
        let (x, first) = before.forward(x);
        let (y, second) = after.forward(depthwise_conv2d(x, weight, stride, padding));
        return (y, [first, second]);
    }
    let ([_, channels, height, width], [of_weight, one, kernel_h, kernel_w]) = (x.dims(), weight.dims());
    assert_eq!(
        [channels, 1],
        [of_weight, one],
        "depthwise_block: an input of {channels} channels needs a weight [{channels}, 1, …], not {:?}",
        weight.dims()
    );
    for norm in [&before, &after] {
        check_channels("depthwise_block", &x, &[("gamma", &norm.gamma), ("beta", &norm.beta)]);
    }
    let plan = BlockPlan {
        geometry: ConvGeometry::new("depthwise_block", [height, width], [kernel_h, kernel_w], stride, padding),
        epsilon: [before.epsilon, after.epsilon],
        activation: [before.activation, after.activation],
    };
    let (y, _, first_mean, first_variance, second_mean, second_variance) = <Dispatch as KernelBackend>::depthwise_block(
        x.into_dispatch(),
        before.gamma.into_dispatch(),
        before.beta.into_dispatch(),
        weight.into_dispatch(),
        after.gamma.into_dispatch(),
        after.beta.into_dispatch(),
        plan,
    );
    let statistics =
        |mean, variance| Statistics { mean: Tensor::from_dispatch(mean), variance: Tensor::from_dispatch(variance) };
    (Tensor::from_dispatch(y), [statistics(first_mean, first_variance), statistics(second_mean, second_variance)])
}
