//! Box predictors: from feature maps to a box code and class logits for every anchor.

mod convolutional;
mod mask_rcnn;
mod weight_shared;

pub use convolutional::{ConvolutionalBoxPredictor, ConvolutionalBoxPredictorSettings};
pub use mask_rcnn::{MaskRcnnBoxPredictor, MaskRcnnBoxPredictorSettings};
pub use weight_shared::{WeightSharedBoxPredictorSettings, WeightSharedConvolutionalBoxPredictor};

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};

use crate::initializers::Draws;
use crate::layers::{ConvLayer, Mode, Pass, SharedConvLayer};
use crate::variables::Described;

/// The predictor of an SSD.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one in a model")]
pub enum BoxPredictor {
    /// Layers of its own for each feature map.
    Convolutional(ConvolutionalBoxPredictor),
    /// The same layers for all of them.
    WeightShared(WeightSharedConvolutionalBoxPredictor),
}

impl BoxPredictor {
    /// Box codes and class logits of all anchors.
    ///
    /// # Shapes
    /// Maps `[batch, depth, h, w]` to `[batch, anchors, code size]` and `[batch, anchors, class slots]`.
    pub fn forward(&self, feature_maps: &[Tensor<4>], pass: &mut Pass<'_>) -> (Tensor<3>, Tensor<3>) {
        match self {
            Self::Convolutional(predictor) => predictor.forward(feature_maps, pass),
            Self::WeightShared(predictor) => predictor.forward(feature_maps, pass),
        }
    }

    /// The layers that belong to one feature map alone.
    pub fn layers(&self) -> Vec<&ConvLayer> {
        match self {
            Self::Convolutional(predictor) => predictor.layers().collect(),
            Self::WeightShared(predictor) => predictor.unshared_layers().collect(),
        }
    }

    /// The layers whose kernels several feature maps share.
    pub fn shared_layers(&self) -> Vec<&SharedConvLayer> {
        match self {
            Self::Convolutional(_) => Vec::new(),
            Self::WeightShared(predictor) => predictor.shared_layers().collect(),
        }
    }

    /// Lists the variables.
    pub(crate) fn describe(&self, out: &mut Vec<Described>) {
        match self {
            Self::Convolutional(predictor) => predictor.describe(out),
            Self::WeightShared(predictor) => predictor.describe(out),
        }
    }
}

/// Zeroes entries at random and makes up for them, in training. The draws follow from the pass's seed
/// and the place, so that a step can be repeated.
fn dropout(x: Tensor<4>, keep: Option<f32>, place: usize, pass: &Pass<'_>) -> Tensor<4> {
    let Some(keep) = keep.filter(|_| pass.mode == Mode::Train) else {
        return x;
    };
    let mut draws = Draws::new(pass.dropout_seed, &format!("dropout {place}"));
    let shape = x.dims();
    let mask: Vec<f32> = (0..shape.iter().product::<usize>())
        .map(|_| if draws.uniform() < f64::from(keep) { 1.0 / keep } else { 0.0 })
        .collect();
    let mask = Tensor::<4>::from_data(TensorData::new(mask, shape), &x.device());
    x * mask
}

/// `[batch, anchors · n, h, w]` to `[batch, h · w · anchors, n]`.
pub(crate) fn anchor_rows(map: Tensor<4>, n: usize) -> Tensor<3> {
    let [batch, channels, h, w] = map.dims();
    map.permute([0, 2, 3, 1]).reshape([batch, h * w * channels / n, n])
}
