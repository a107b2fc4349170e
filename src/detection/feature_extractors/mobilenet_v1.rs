//! MobileNet v1 under SSD (TFOD's `ssd_mobilenet_v1_feature_extractor`).
//!
//! Thirteen pairs of a depthwise and a pointwise convolution after a first full one, then up to four
//! extra pairs that halve the map each. Feature maps leave after `Conv2d_11_pointwise` (stride 16),
//! `Conv2d_13_pointwise` (stride 32) and each extra pair.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::layers::{ConvLayer, Hyperparams, LayerBuilder, Pass};
use crate::variables::Described;

/// Scope of the whole network.
const SCOPE: &str = "FeatureExtractor/MobilenetV1";

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

/// Depth of the extra layers, before the multiplier.
const EXTRA_DEPTHS: [usize; 4] = [512, 256, 256, 128];

/// How the network is sized.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MobileNetV1Settings {
    /// What all depths are multiplied by.
    pub depth_multiplier: f32,
    /// No layer is thinner than this.
    pub min_depth: usize,
    /// Feature maps, 1 to 6.
    pub num_layers: usize,
    /// Whether the extra 3×3 convolutions are separable.
    pub use_depthwise: bool,
    /// Hyperparameters of the thirteen pairs.
    pub base: Hyperparams,
    /// Hyperparameters of the extra layers.
    pub extra: Hyperparams,
}

impl MobileNetV1Settings {
    /// Most feature maps that the network has.
    pub const MAX_LAYERS: usize = 2 + EXTRA_DEPTHS.len();

    fn depth(&self, depth: usize) -> usize {
        // TFOD multiplies in Python's f64 and cuts off.
        ((depth as f64 * f64::from(self.depth_multiplier)) as usize).max(self.min_depth).max(1)
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct SsdMobileNetV1FeatureExtractor {
    /// `Conv2d_0`, then depthwise and pointwise in turn.
    base: Vec<ConvLayer>,
    /// The layers of each extra feature map: a 1×1 convolution and a 3×3 one (or its two halves).
    extra: Vec<Vec<ConvLayer>>,
    num_layers: usize,
}

impl SsdMobileNetV1FeatureExtractor {
    /// The network with its first weights.
    pub fn new(settings: &MobileNetV1Settings, builder: &LayerBuilder) -> Self {
        let (base, depth) = build_base(settings, builder);
        let mut input = depth;
        let extra_maps = settings.num_layers.saturating_sub(2).min(EXTRA_DEPTHS.len());
        let extra = EXTRA_DEPTHS[..extra_maps]
            .iter()
            .enumerate()
            .map(|(i, &depth)| build_extra(settings, builder, i + 2, &mut input, depth))
            .collect();
        Self { base, extra, num_layers: settings.num_layers }
    }

    /// From RGB in 0 to 255 to −1 to 1.
    pub fn preprocess(&self, images: Tensor<4>) -> Tensor<4> {
        images * (2.0f32 / 255.0) - 1.0f32
    }

    /// The feature maps, finest first.
    ///
    /// # Shapes
    /// `[batch, 3, height, width]`, preprocessed, to `num_layers` maps `[batch, depth, h, w]`.
    pub fn forward(&self, images: Tensor<4>, pass: &mut Pass<'_>) -> Vec<Tensor<4>> {
        let mut maps = Vec::with_capacity(self.num_layers);
        let mut x = images;
        for (i, layer) in self.base.iter().enumerate() {
            x = layer.forward(x, pass);
            if i == 2 * 11 {
                maps.push(x.clone());
            }
        }
        if self.num_layers > 1 {
            maps.push(x.clone());
        }
        for layers in &self.extra {
            for layer in layers {
                x = layer.forward(x, pass);
            }
            maps.push(x.clone());
        }
        maps
    }

    /// `[height, width]` of each feature map for a picture of this size.
    pub fn feature_map_shapes(&self, image: [usize; 2]) -> Vec<[usize; 2]> {
        let mut shapes = Vec::with_capacity(self.num_layers);
        let mut size = image;
        for (i, layer) in self.base.iter().enumerate() {
            size = layer.output_size(size);
            if i == 2 * 11 {
                shapes.push(size);
            }
        }
        if self.num_layers > 1 {
            shapes.push(size);
        }
        for layers in &self.extra {
            size = layers.iter().fold(size, |size, layer| layer.output_size(size));
            shapes.push(size);
        }
        shapes
    }

    /// Depth of each feature map.
    pub fn feature_map_depths(&self) -> Vec<usize> {
        let base = [2 * 11, self.base.len() - 1].map(|i| self.base[i].out_channels());
        let extra = self.extra.iter().filter_map(|layers| layers.last()).map(ConvLayer::out_channels);
        base.into_iter().take(self.num_layers).chain(extra).collect()
    }

    /// All layers in order.
    pub fn layers(&self) -> impl Iterator<Item = &ConvLayer> {
        self.base.iter().chain(self.extra.iter().flatten())
    }

    /// Lists the variables.
    pub(crate) fn describe(&self, out: &mut Vec<Described>) {
        self.layers().for_each(|layer| layer.describe(out));
    }
}

fn build_base(settings: &MobileNetV1Settings, builder: &LayerBuilder) -> (Vec<ConvLayer>, usize) {
    let mut depth = settings.depth(32);
    let mut layers = vec![builder.conv2d(&format!("{SCOPE}/Conv2d_0"), [3, depth], 3, 2, &settings.base)];
    for (i, &(stride, next)) in PAIRS.iter().enumerate() {
        let scope = format!("{SCOPE}/Conv2d_{}", i + 1);
        layers.push(builder.depthwise_conv2d(&format!("{scope}_depthwise"), depth, 3, stride, &settings.base));
        let next = settings.depth(next);
        layers.push(builder.conv2d(&format!("{scope}_pointwise"), [depth, next], 1, 1, &settings.base));
        depth = next;
    }
    (layers, depth)
}

/// The layers of the extra feature map `index`; `input` is the depth so far and becomes the new one.
fn build_extra(
    settings: &MobileNetV1Settings,
    builder: &LayerBuilder,
    index: usize,
    input: &mut usize,
    depth: usize,
) -> Vec<ConvLayer> {
    let hyperparams = &settings.extra;
    let (half, depth) = (settings.depth(depth / 2), settings.depth(depth));
    let prefix = format!("{SCOPE}/Conv2d_13_pointwise");
    let reduce = builder.conv2d(&format!("{prefix}_1_Conv2d_{index}_1x1_{half}"), [*input, half], 1, 1, hyperparams);
    let scope = format!("{prefix}_2_Conv2d_{index}_3x3_s2_{depth}");
    *input = depth;
    if settings.use_depthwise {
        let depthwise = builder.depthwise_conv2d(&format!("{scope}_depthwise"), half, 3, 2, hyperparams);
        vec![reduce, depthwise, builder.conv2d(&scope, [half, depth], 1, 1, hyperparams)]
    } else {
        vec![reduce, builder.conv2d(&scope, [half, depth], 3, 2, hyperparams)]
    }
}
