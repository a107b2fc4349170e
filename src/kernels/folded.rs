//! Convolutions whose weights do not change any more: for use, not for training.
//!
//! Batch normalization with fixed statistics is a factor and a summand for each channel; the factor goes into the
//! weight, the summand becomes a bias. What is left, a convolution with bias and activation, is one operator here,
//! and on the CPU one pass over the result.

use std::sync::{Arc, OnceLock};

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use crate::activation::Activation;
use crate::backend::KernelBackend;
use crate::cpu::packed::PackedWeight;
use crate::geometry::{ConvGeometry, Padding};
use crate::layer_shape::{LayerShape, traced};

/// How a folded convolution is done: everything but its tensors.
#[derive(Debug, Clone)]
pub(crate) struct FoldedPlan {
    pub geometry: ConvGeometry,
    pub activation: Activation,
    pub depthwise: bool,
    /// The weight as the CPU's kernel wants it, made on first use.
    pub packed: Arc<OnceLock<PackedWeight>>,
}

/// A convolution with bias and activation. Clones share everything.
#[derive(Debug, Clone)]
pub struct FoldedConv {
    weight: Tensor<4>,
    bias: Tensor<1>,
    depthwise: bool,
    stride: [usize; 2],
    dilation: [usize; 2],
    activation: Activation,
    packed: Arc<OnceLock<PackedWeight>>,
}

impl FoldedConv {
    /// A dense convolution, or with `depthwise` one kernel for each channel.
    ///
    /// # Shapes
    /// - `weight`: `[out, in, kernel height, kernel width]`, or `[channels, 1, kernel height, kernel width]`
    /// - `bias`: `[out]`
    ///
    /// # Panics
    /// On a bias of another length, or a depthwise kernel with dilation.
    pub fn new(
        weight: Tensor<4>,
        bias: Tensor<1>,
        depthwise: bool,
        stride: [usize; 2],
        dilation: [usize; 2],
        activation: Activation,
    ) -> Self {
        assert_eq!(bias.dims(), [weight.dims()[0]], "folded convolution: one bias for each output channel");
        assert!(!depthwise || dilation == [1, 1], "folded convolution: a depthwise kernel has no dilation");
        Self { weight, bias, depthwise, stride, dilation, activation, packed: Arc::default() }
    }

    /// `activation(scale · convolution(x) + shift)`: folds the normalization of each channel into the weight.
    ///
    /// # Panics
    /// On a scale or shift of another length than the output channels.
    pub fn scaled(self, scale: Tensor<1>, shift: Tensor<1>) -> Self {
        let out = self.weight.dims()[0];
        let weight = self.weight * scale.clone().reshape([out, 1, 1, 1]);
        Self::new(weight, self.bias * scale + shift, self.depthwise, self.stride, self.dilation, self.activation)
    }

    /// The convolution of `x`, which must be on the device of the weight.
    ///
    /// # Shapes
    /// `x`: `[batch, in, height, width]`; result: `[batch, out, out height, out width]`.
    ///
    /// # Panics
    /// On shapes that do not fit together.
    pub fn forward(&self, x: Tensor<4>, padding: Padding) -> Tensor<4> {
        let ([_, channels, height, width], [out, of_weight, kernel_h, kernel_w]) = (x.dims(), self.weight.dims());
        let expected = if self.depthwise { out } else { of_weight };
        assert_eq!(channels, expected, "folded convolution: the input has {channels} channels, not {expected}");
        let geometry = ConvGeometry::dilated(
            "folded convolution",
            [height, width],
            [kernel_h, kernel_w],
            self.stride,
            self.dilation,
            padding,
        );
        let shape = || LayerShape::Folded {
            input: x.dims(),
            out,
            window: geometry.window(),
            depthwise: self.depthwise,
            activation: self.activation,
        };
        if let Some(y) = traced(&x, shape) {
            return y;
        }
        let plan = FoldedPlan {
            geometry,
            activation: self.activation,
            depthwise: self.depthwise,
            packed: self.packed.clone(),
        };
        Tensor::from_dispatch(<Dispatch as KernelBackend>::folded_conv(
            x.into_dispatch(),
            self.weight.clone().into_dispatch(),
            self.bias.clone().into_dispatch(),
            plan,
        ))
    }
}
