//! The layers that the networks are made of, as slim builds them.
//!
//! A [`ConvLayer`] is `slim.conv2d` or the depthwise half of `slim.separable_conv2d`: a convolution,
//! batch normalization or a bias, and an activation, under one TensorFlow scope. [`LayerBuilder`]
//! makes them with their first weights; [`Pass`] says how a forward pass treats them.

mod batch_norm;
mod conv;
mod fully_connected;
mod shared_conv;

pub use batch_norm::{BatchNorm, BatchNormParams};
pub use conv::{ConvLayer, Hyperparams, LayerBuilder, PaddingRule};
pub use fully_connected::FullyConnected;
pub use shared_conv::SharedConvLayer;

use burn::tensor::Tensor;

/// What a forward pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Batch statistics normalize, moving statistics are updated, dropout drops.
    Train,
    /// Moving statistics normalize and nothing changes.
    Eval,
}

/// Sees the output of each convolution before its normalization: the layer's scope, and the tensor.
pub type Observer<'a> = &'a mut dyn FnMut(&str, &Tensor<4>);

/// One forward pass.
pub struct Pass<'a> {
    /// What it is for.
    pub mode: Mode,
    /// Seed of this pass's dropout.
    pub dropout_seed: u64,
    /// Who looks on.
    pub observer: Option<Observer<'a>>,
}

impl Pass<'_> {
    /// A pass that nobody watches.
    pub fn new(mode: Mode) -> Self {
        Self { mode, dropout_seed: 0, observer: None }
    }
}
