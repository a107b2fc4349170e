//! Feature maps of falling resolution (TFOD's `multi_resolution_feature_maps`): the network's own
//! layers first, then layers that halve the one before.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Dialect, multiplied_depth};
use crate::layers::{ConvLayer, Hyperparams, LayerBuilder, Pass};

/// How the maps are made.
#[derive(Clone, Debug)]
pub struct MultiResolutionSettings {
    /// Scope of the network and the name of its last layer given away: what the new layers' names begin with.
    pub prefix: String,
    /// Depth of each new map, before the multiplier.
    pub depths: Vec<usize>,
    /// Maps in all; the network's own come first.
    pub num_layers: usize,
    /// What all depths are multiplied by.
    pub depth_multiplier: f32,
    /// No layer is thinner than this.
    pub min_depth: usize,
    /// Whether the 3×3 convolutions are separable.
    pub use_depthwise: bool,
    /// Hyperparameters of the layers.
    pub hyperparams: Hyperparams,
    /// TF1 or TF2.
    pub dialect: Dialect,
}

/// The maps.
#[derive(Module, Debug)]
pub struct MultiResolutionFeatureMaps {
    /// How many of the network's layers are maps themselves.
    own: usize,
    /// The layers of each further map: a 1×1 convolution and a 3×3 one (or its two halves).
    extra: Vec<Vec<ConvLayer>>,
}

impl MultiResolutionFeatureMaps {
    /// The layers with their first weights, behind a network that gives away layers of these depths.
    pub fn new(settings: &MultiResolutionSettings, endpoint_depths: &[usize], builder: &LayerBuilder) -> Self {
        let own = endpoint_depths.len().min(settings.num_layers);
        let mut input = endpoint_depths.last().copied().unwrap_or(1);
        let count = settings.num_layers.saturating_sub(endpoint_depths.len()).min(settings.depths.len());
        let extra = settings.depths[..count]
            .iter()
            .enumerate()
            .map(|(i, &depth)| build_extra(settings, builder, i + endpoint_depths.len(), &mut input, depth))
            .collect();
        Self { own, extra }
    }

    pub(super) fn forward(&self, mut endpoints: Vec<Tensor<4>>, pass: &mut Pass<'_>) -> Vec<Tensor<4>> {
        let last = endpoints.last().cloned();
        endpoints.truncate(self.own);
        let mut maps = endpoints;
        let Some(mut x) = last else { return maps };
        for layers in &self.extra {
            for layer in layers {
                x = layer.forward(x, pass);
            }
            maps.push(x.clone());
        }
        maps
    }

    pub(super) fn shapes(&self, mut endpoints: Vec<[usize; 2]>) -> Vec<[usize; 2]> {
        let last = endpoints.last().copied();
        endpoints.truncate(self.own);
        let mut shapes = endpoints;
        let Some(mut size) = last else { return shapes };
        for layers in &self.extra {
            size = layers.iter().fold(size, |size, layer| layer.output_size(size));
            shapes.push(size);
        }
        shapes
    }

    pub(super) fn depths(&self, mut endpoints: Vec<usize>) -> Vec<usize> {
        endpoints.truncate(self.own);
        endpoints.extend(self.extra.iter().filter_map(|layers| layers.last()).map(ConvLayer::out_channels));
        endpoints
    }

    /// All layers in order.
    pub fn layers(&self) -> impl Iterator<Item = &ConvLayer> {
        self.extra.iter().flatten()
    }
}

/// The layers of the further map `index`; `input` is the depth so far and becomes the new one.
fn build_extra(
    settings: &MultiResolutionSettings,
    builder: &LayerBuilder,
    index: usize,
    input: &mut usize,
    depth: usize,
) -> Vec<ConvLayer> {
    let hyperparams = &settings.hyperparams;
    let multiplied = |depth| multiplied_depth(depth, settings.depth_multiplier, settings.min_depth);
    let (half, depth) = (multiplied(depth / 2), multiplied(depth));
    let prefix = &settings.prefix;
    let reduce = builder.conv2d(&format!("{prefix}_1_Conv2d_{index}_1x1_{half}"), [*input, half], 1, 1, hyperparams);
    let scope = format!("{prefix}_2_Conv2d_{index}_3x3_s2_{depth}");
    *input = depth;
    if !settings.use_depthwise {
        return vec![reduce, builder.conv2d(&scope, [half, depth], 3, 2, hyperparams)];
    }
    // TFOD's Keras layers hand a depthwise kernel the settings of a full one, which it ignores.
    let of_depthwise = match settings.dialect {
        Dialect::Slim => *hyperparams,
        Dialect::Keras => hyperparams.with_keras_kernel(),
    };
    let depthwise = builder.depthwise_conv2d(&format!("{scope}_depthwise"), half, 3, 2, &of_depthwise);
    vec![reduce, depthwise, builder.conv2d(&scope, [half, depth], 1, 1, hyperparams)]
}
