//! Layers for use: batch normalization is folded into the weights, and bias and activation are applied where the
//! convolution writes its result.
//!
//! The folded layers stand beside the model and not in it, by the parameter of their kernel. A model that trains on
//! therefore cannot answer with weights that are no longer its own: whoever holds [`FoldedLayers`] holds the weights of
//! the moment they were made, and a forward pass uses them only where it carries them.

use std::collections::HashMap;

use boxwright_kernels::{Activation, FoldedConv, Padding, dilated_size};
use burn::module::ParamId;
use burn::tensor::Tensor;

use super::conv::{PaddingRule, merged};
use super::{BatchNorm, ConvLayer, SharedConvLayer};

/// A folded layer: one convolution, or the two halves of a separable one.
#[derive(Clone, Debug)]
pub struct FoldedLayer {
    first: FoldedConv,
    /// The pointwise half.
    second: Option<FoldedConv>,
    padding: PaddingRule,
    /// Rows and columns that the first kernel spans.
    kernel: usize,
    stride: usize,
}

impl FoldedLayer {
    /// # Shapes
    /// As [`ConvLayer::forward`].
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = x.dims();
        let y = self.first.forward(x, self.padding.padding([height, width], self.kernel, self.stride));
        match &self.second {
            Some(pointwise) => pointwise.forward(y, Padding::valid()),
            None => y,
        }
    }
}

impl ConvLayer {
    /// The layer as its variables are now.
    fn fold(&self) -> FoldedLayer {
        self.fold_with(self.batch_norm.as_ref(), self.spec.activation)
    }

    /// The convolution with this normalization and activation behind it.
    fn fold_with(&self, norm: Option<&BatchNorm>, activation: Activation) -> FoldedLayer {
        let (spec, weights) = (&self.spec, self.weights.val());
        let device = weights.device();
        let zeros = |count: usize| Tensor::<1>::zeros([count], &device);
        let bias = self.biases.as_ref().map_or_else(|| zeros(self.out_channels()), |biases| biases.val());
        let (stride, once) = ([spec.stride; 2], [1, 1]);
        let (first, last) = match &self.depthwise_weights {
            Some(depthwise) if depthwise.shape()[1] == 1 => {
                let depthwise = depthwise.val();
                let zeros = zeros(depthwise.dims()[0]);
                let first = FoldedConv::new(depthwise, zeros, true, stride, once, Activation::None);
                (Some(first), FoldedConv::new(weights, bias, false, once, once, activation))
            }
            Some(depthwise) => {
                let weights = merged(depthwise.val(), weights);
                (None, FoldedConv::new(weights, bias, false, stride, once, activation))
            }
            None if spec.depthwise => (None, FoldedConv::new(weights, bias, true, stride, once, activation)),
            None => (None, FoldedConv::new(weights, bias, false, stride, [spec.rate; 2], activation)),
        };
        let last = match norm.map(BatchNorm::affine) {
            Some((scale, shift)) => last.scaled(scale, shift),
            None => last,
        };
        let (first, second) = match first {
            Some(first) => (first, Some(last)),
            None => (last, None),
        };
        let kernel = dilated_size(spec.kernel, spec.rate);
        FoldedLayer { first, second, padding: spec.padding, kernel, stride: spec.stride }
    }
}

impl SharedConvLayer {
    /// The layer for each level; one for all of them where none has a normalization of its own.
    fn fold(&self) -> Vec<FoldedLayer> {
        let fold = |norm: Option<&BatchNorm>| self.conv.fold_with(norm, Activation::Relu6);
        if self.norms.is_empty() { vec![fold(None)] } else { self.norms.iter().map(|norm| fold(Some(norm))).collect() }
    }
}

/// The folded layers of a model. Clones share the weights.
#[derive(Clone, Debug, Default)]
pub struct FoldedLayers {
    /// For each level where a layer is shared by several, else one.
    by_kernel: HashMap<ParamId, Vec<FoldedLayer>>,
}

impl FoldedLayers {
    /// These layers as their variables are now.
    pub fn new<'a>(
        layers: impl IntoIterator<Item = &'a ConvLayer>,
        shared: impl IntoIterator<Item = &'a SharedConvLayer>,
    ) -> Self {
        let layers = layers.into_iter().map(|layer| (layer.weights.id, vec![layer.fold()]));
        let shared = shared.into_iter().map(|layer| (layer.conv.weights.id, layer.fold()));
        Self { by_kernel: layers.chain(shared).collect() }
    }

    /// The layer with this kernel, on this level.
    pub(super) fn get(&self, kernel: ParamId, level: usize) -> Option<&FoldedLayer> {
        let levels = self.by_kernel.get(&kernel)?;
        levels.get(level).or(levels.first().filter(|_| levels.len() == 1))
    }
}
