//! MobileNet v1 (slim's `mobilenet_v1_base`): thirteen pairs of a depthwise and a pointwise convolution
//! after a first full one.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Dialect, multiplied_depth};
use crate::layers::{ConvLayer, Hyperparams, LayerBuilder, Pass};

/// Stride and depth, before the multiplier, of the pairs `Conv2d_1` to `Conv2d_13`.
const PAIRS: [(usize, usize); 13] = [
    (1, 64),
    (2, 128),
    (1, 128),
    (2, 256),
    (1, 256),
    (2, 512),
    (1, 512),
    (1, 512),
    (1, 512),
    (1, 512),
    (1, 512),
    (2, 1024),
    (1, 1024),
];

/// How the network is sized.
#[derive(Clone, Debug, PartialEq)]
pub struct MobileNetV1Settings {
    /// What all depths are multiplied by.
    pub depth_multiplier: f32,
    /// No layer is thinner than this.
    pub min_depth: usize,
    /// Whether the last two pairs are a half and a quarter as deep, as for a light pyramid.
    pub light: bool,
    /// The pairs whose result is given away, in order: 13 is `Conv2d_13_pointwise`.
    pub endpoints: Vec<usize>,
    /// Hyperparameters of the depthwise convolutions.
    pub depthwise: Hyperparams,
    /// Hyperparameters of all others.
    pub hyperparams: Hyperparams,
    /// TF1 or TF2.
    pub dialect: Dialect,
}

impl MobileNetV1Settings {
    fn depth(&self, depth: usize) -> usize {
        // Keras' application multiplies, and TFOD's layers inside it multiply once more.
        let depth = match self.dialect {
            Dialect::Slim => depth,
            Dialect::Keras => multiplied_depth(depth, self.depth_multiplier, 0),
        };
        self.depth_once(depth)
    }

    fn depth_once(&self, depth: usize) -> usize {
        multiplied_depth(depth, self.depth_multiplier, self.min_depth)
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct MobileNetV1 {
    /// `Conv2d_0`, then depthwise and pointwise in turn.
    layers: Vec<ConvLayer>,
    /// Positions in `layers`.
    endpoints: Vec<usize>,
}

impl MobileNetV1 {
    /// Scope of the whole network.
    pub const SCOPE: &'static str = "FeatureExtractor/MobilenetV1";

    /// The network with its first weights.
    pub fn new(settings: &MobileNetV1Settings, builder: &LayerBuilder) -> Self {
        let scope = Self::SCOPE;
        let mut depth = settings.depth(32);
        let mut layers = vec![builder.conv2d(&format!("{scope}/Conv2d_0"), [3, depth], 3, 2, &settings.hyperparams)];
        for (i, &(stride, next)) in PAIRS.iter().enumerate() {
            let scope = format!("{scope}/Conv2d_{}", i + 1);
            layers.push(builder.depthwise_conv2d(&format!("{scope}_depthwise"), depth, 3, stride, &settings.depthwise));
            let next = match i {
                11 if settings.light => settings.depth_once(512),
                12 if settings.light => settings.depth_once(256),
                _ => settings.depth(next),
            };
            layers.push(builder.conv2d(&format!("{scope}_pointwise"), [depth, next], 1, 1, &settings.hyperparams));
            depth = next;
        }
        Self { layers, endpoints: settings.endpoints.iter().map(|pair| 2 * pair).collect() }
    }

    /// See [`super::Network::forward`].
    pub fn forward(&self, images: Tensor<4>, pass: &mut Pass<'_>) -> Vec<Tensor<4>> {
        let mut maps = Vec::with_capacity(self.endpoints.len());
        let (mut x, mut i) = (images, 0);
        while i < self.layers.len() {
            // What nobody else wants goes through the depthwise layer at once.
            x = match self.layers.get(i + 1) {
                Some(next) if next.is_depthwise() && !self.endpoints.contains(&i) => {
                    i += 1;
                    self.layers[i - 1].forward_through(next, x, pass)
                }
                _ => self.layers[i].forward(x, pass),
            };
            if self.endpoints.contains(&i) {
                maps.push(x.clone());
            }
            i += 1;
        }
        maps
    }

    /// See [`super::Network::endpoint_shapes`].
    pub fn endpoint_shapes(&self, image: [usize; 2]) -> Vec<[usize; 2]> {
        let mut size = image;
        let sizes: Vec<[usize; 2]> = self
            .layers
            .iter()
            .map(|layer| {
                size = layer.output_size(size);
                size
            })
            .collect();
        self.endpoints.iter().map(|&i| sizes[i]).collect()
    }

    /// See [`super::Network::endpoint_depths`].
    pub fn endpoint_depths(&self) -> Vec<usize> {
        self.endpoints.iter().map(|&i| self.layers[i].out_channels()).collect()
    }

    /// All layers in order.
    pub fn layers(&self) -> impl Iterator<Item = &ConvLayer> {
        self.layers.iter()
    }
}
