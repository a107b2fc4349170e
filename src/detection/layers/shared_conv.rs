//! One convolution for several feature maps, with batch normalization of its own for each.
//!
//! The maps of a pyramid share what is looked for and differ in how strongly it shows, so TFOD shares
//! the kernels of a prediction tower over its levels and keeps the statistics apart.

use boxwright_kernels::{Activation, activation};
use burn::module::Module;
use burn::tensor::Tensor;

use super::{BatchNorm, ConvLayer, Hyperparams, LayerBuilder, Pass};
use crate::variables::Described;

/// A convolution that several levels share. What follows is ReLU6, as TFOD fixes it.
#[derive(Module, Debug)]
pub struct SharedConvLayer {
    pub(super) conv: ConvLayer,
    /// One for each level; none where the convolution has a bias instead.
    pub(super) norms: Vec<BatchNorm>,
}

impl SharedConvLayer {
    /// `conv` builds the convolution itself from hyperparameters that ask for nothing after it.
    pub fn new(
        hyperparams: &Hyperparams,
        levels: usize,
        builder: &LayerBuilder,
        conv: impl FnOnce(&Hyperparams) -> ConvLayer,
    ) -> Self {
        let conv = conv(&hyperparams.linear());
        match hyperparams.batch_norm {
            None => Self { conv, norms: Vec::new() },
            Some(params) => {
                let norm = || BatchNorm::new(conv.out_channels(), params, &builder.device);
                let norms = (0..levels).map(|_| norm()).collect();
                Self { conv: builder.bare(conv), norms }
            }
        }
    }

    /// Channels that come out.
    pub fn out_channels(&self) -> usize {
        self.conv.out_channels()
    }

    /// Its TensorFlow scope.
    pub fn scope(&self) -> &str {
        self.conv.scope()
    }

    /// The epsilon of each level's batch normalization.
    pub fn batch_norm_epsilons(&self) -> Vec<f32> {
        self.norms.iter().map(|norm| norm.params().epsilon).collect()
    }

    /// The layer on the feature map `level`.
    ///
    /// # Shapes
    /// As [`ConvLayer::forward`].
    pub fn forward(&self, x: Tensor<4>, level: usize, pass: &mut Pass<'_>) -> Tensor<4> {
        if let Some(folded) = pass.folded(self.conv.weights.id, level) {
            return folded.forward(x);
        }
        let y = self.conv.convolve(x, pass);
        match self.norms.get(level) {
            Some(norm) => norm.forward(y, Activation::Relu6, pass.mode),
            None => activation(y, Activation::Relu6),
        }
    }

    /// Lists the variables: the kernels, then `BatchNorm/feature_0` and so on.
    pub(crate) fn describe(&self, out: &mut Vec<Described>) {
        self.conv.describe(out);
        for (level, norm) in self.norms.iter().enumerate() {
            norm.describe_in(&format!("{}/BatchNorm/feature_{level}", self.conv.scope()), out);
        }
    }
}
