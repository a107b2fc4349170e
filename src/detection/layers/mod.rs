//! The layers that the networks are made of, as slim builds them.
//!
//! A [`ConvLayer`] is `slim.conv2d` or the depthwise half of `slim.separable_conv2d`: a convolution,
//! batch normalization or a bias, and an activation, under one TensorFlow scope. [`LayerBuilder`]
//! makes them with their first weights; [`Pass`] says how a forward pass treats them, and [`FoldedLayers`] are what it
//! goes through when nobody trains.

mod batch_norm;
mod conv;
mod folded;
mod fully_connected;
mod pair;
mod shared_conv;

pub use batch_norm::{BatchNorm, BatchNormParams};
pub use conv::{ConvLayer, Hyperparams, LayerBuilder, PaddingRule};
pub use folded::{FoldedLayer, FoldedLayers};
pub use fully_connected::FullyConnected;
pub use shared_conv::SharedConvLayer;

use burn::module::{Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData};

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
    /// The layers to go through instead of the model's own.
    pub folded: Option<&'a FoldedLayers>,
    /// Whether convolutions are in f16, forward and backward. All else is in f32, and so are the variables.
    pub half: bool,
}

impl<'a> Pass<'a> {
    /// A pass that nobody watches.
    pub fn new(mode: Mode) -> Self {
        Self { mode, dropout_seed: 0, observer: None, folded: None, half: false }
    }

    /// A pass in [`Mode::Eval`] through folded layers, where there are any.
    pub fn through(folded: Option<&'a FoldedLayers>) -> Self {
        Self { folded, ..Self::new(Mode::Eval) }
    }

    /// What stands for the layer with this kernel, on this level.
    fn folded(&self, kernel: ParamId, level: usize) -> Option<&'a FoldedLayer> {
        self.folded?.get(kernel, level)
    }
}

/// A trainable parameter of this shape on the device. Its values are drawn when they are first needed, so that a model whose
/// values come from a file draws none.
fn drawn<const D: usize>(
    shape: [usize; D],
    device: &Device,
    draw: impl FnOnce() -> Vec<f32> + Send + Sync + 'static,
) -> Param<Tensor<D>> {
    let start = move |device: &Device, require_grad: bool| {
        let data = TensorData::new(draw(), shape);
        let values = device.memory_persistent_allocations(data, |data| Tensor::from_data(data, device));
        values.set_require_grad(require_grad)
    };
    Param::uninitialized(ParamId::new(), start, device.clone(), true, shape.into())
}
