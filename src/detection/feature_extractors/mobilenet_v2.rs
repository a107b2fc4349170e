//! MobileNet v2 (slim's `mobilenet_v2`): inverted residuals, which widen a thin map, filter it channel
//! by channel and narrow it again, and add what they started from where the sizes agree.
//!
//! TFOD counts layers from 1: `layer_1` is the first convolution, `layer_2` to `layer_18` are the
//! residuals `expanded_conv` to `expanded_conv_16`, `layer_19` is the last convolution.

use burn::module::Module;
use burn::tensor::Tensor;

use super::Dialect;
use crate::layers::{ConvLayer, Hyperparams, LayerBuilder, Pass};

/// Stride and depth, before the multiplier, of the residuals.
const BLOCKS: [(usize, usize); 17] = [
    (1, 16),
    (2, 24),
    (1, 24),
    (2, 32),
    (1, 32),
    (1, 32),
    (2, 64),
    (1, 64),
    (1, 64),
    (1, 64),
    (1, 96),
    (1, 96),
    (1, 96),
    (2, 160),
    (1, 160),
    (1, 160),
    (1, 320),
];

/// What a residual widens its input by.
const EXPANSION: usize = 6;

/// Depths are multiples of this.
const DIVISOR: usize = 8;

/// The multiple of `divisor` nearest to `depth`, at least `min_depth` and not below nine tenths of `depth`.
pub fn make_divisible(depth: f64, divisor: usize, min_depth: usize) -> usize {
    let rounded = (depth + divisor as f64 / 2.0) as usize / divisor * divisor;
    let new = rounded.max(min_depth);
    if (new as f64) < 0.9 * depth { new + divisor } else { new }
}

/// A layer that the network gives away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MobileNetV2Endpoint {
    /// `layer_N`, N from 2.
    Layer(usize),
    /// `layer_N/expansion_output`: a residual's widened input.
    Expansion(usize),
}

/// How the network is sized.
#[derive(Clone, Debug, PartialEq)]
pub struct MobileNetV2Settings {
    /// What all depths are multiplied by.
    pub depth_multiplier: f32,
    /// No layer is thinner than this.
    pub min_depth: usize,
    /// Depth of the last convolution, before the multiplier: 1280, or less for a light pyramid.
    pub last_depth: usize,
    /// What is given away, in order.
    pub endpoints: Vec<MobileNetV2Endpoint>,
    /// Hyperparameters of the depthwise convolutions.
    pub depthwise: Hyperparams,
    /// Hyperparameters of all others.
    pub hyperparams: Hyperparams,
    /// TF1 or TF2.
    pub dialect: Dialect,
}

impl MobileNetV2Settings {
    /// The depth of a residual or a first layer.
    fn depth(&self, depth: usize) -> usize {
        let multiplied = depth as f64 * f64::from(self.depth_multiplier);
        match self.dialect {
            Dialect::Slim => make_divisible(multiplied, DIVISOR, self.min_depth),
            Dialect::Keras => self.undercut(depth).max(self.min_depth),
        }
        .max(1)
    }

    /// Keras' depth before `min_depth`, by which it decides about residuals.
    fn undercut(&self, depth: usize) -> usize {
        make_divisible((depth as f64 * f64::from(self.depth_multiplier)).trunc(), DIVISOR, DIVISOR)
    }

    fn last_depth(&self) -> usize {
        match self.dialect {
            // Keras leaves the last layer as it is where the others grow.
            Dialect::Keras if self.depth_multiplier >= 1.0 => self.last_depth.max(self.min_depth),
            Dialect::Keras => {
                let multiplied = self.last_depth as f64 * f64::from(self.depth_multiplier);
                make_divisible(multiplied, DIVISOR, DIVISOR).max(self.min_depth)
            }
            Dialect::Slim => self.depth(self.last_depth),
        }
    }

    fn widened(&self, input: usize) -> usize {
        match self.dialect {
            Dialect::Slim => make_divisible((input * EXPANSION) as f64, DIVISOR, DIVISOR),
            Dialect::Keras => input * EXPANSION,
        }
    }
}

/// An inverted residual.
#[derive(Module, Debug)]
struct ExpandedConv {
    expand: Option<ConvLayer>,
    depthwise: ConvLayer,
    project: ConvLayer,
    residual: bool,
}

impl ExpandedConv {
    /// The result, and the widened input where it is wanted.
    fn forward(&self, x: Tensor<4>, wants_widened: bool, pass: &mut Pass<'_>) -> (Tensor<4>, Option<Tensor<4>>) {
        let input = self.residual.then(|| x.clone());
        let (y, widened) = match &self.expand {
            Some(expand) if !wants_widened => (expand.forward_through(&self.depthwise, x, pass), None),
            expand => {
                let widened = match expand {
                    Some(expand) => expand.forward(x, pass),
                    None => x,
                };
                (self.depthwise.forward(widened.clone(), pass), Some(widened))
            }
        };
        (self.finish(y, input, pass), widened)
    }

    /// The result, from what the depthwise convolution made.
    fn finish(&self, y: Tensor<4>, input: Option<Tensor<4>>, pass: &mut Pass<'_>) -> Tensor<4> {
        let y = self.project.forward(y, pass);
        match input {
            Some(input) => y + input,
            None => y,
        }
    }

    fn layers(&self) -> impl Iterator<Item = &ConvLayer> {
        self.expand.iter().chain([&self.depthwise, &self.project])
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct MobileNetV2 {
    first: ConvLayer,
    blocks: Vec<ExpandedConv>,
    last: ConvLayer,
    #[module(skip)]
    endpoints: Vec<MobileNetV2Endpoint>,
}

impl MobileNetV2 {
    /// Scope of the whole network.
    pub const SCOPE: &'static str = "FeatureExtractor/MobilenetV2";

    /// The network with its first weights.
    pub fn new(settings: &MobileNetV2Settings, builder: &LayerBuilder) -> Self {
        let (scope, hyperparams) = (Self::SCOPE, &settings.hyperparams);
        let mut input = settings.depth(32);
        let first = builder.conv2d(&format!("{scope}/Conv"), [3, input], 3, 2, hyperparams);
        let mut blocks = Vec::with_capacity(BLOCKS.len());
        for (i, &(stride, depth)) in BLOCKS.iter().enumerate() {
            let scope = if i == 0 { format!("{scope}/expanded_conv") } else { format!("{scope}/expanded_conv_{i}") };
            let output = settings.depth(depth);
            let widened = if i == 0 { input } else { settings.widened(input) };
            let expand = (widened > input)
                .then(|| builder.conv2d(&format!("{scope}/expand"), [input, widened], 1, 1, hyperparams));
            let depthwise =
                builder.depthwise_conv2d(&format!("{scope}/depthwise"), widened, 3, stride, &settings.depthwise);
            let project = builder.unactivated_conv2d(&format!("{scope}/project"), [widened, output], 1, hyperparams);
            let wanted = if settings.dialect == Dialect::Keras { settings.undercut(depth) } else { output };
            blocks.push(ExpandedConv { expand, depthwise, project, residual: stride == 1 && input == wanted });
            input = output;
        }
        let last = builder.conv2d(&format!("{scope}/Conv_1"), [input, settings.last_depth()], 1, 1, hyperparams);
        Self { first, blocks, last, endpoints: settings.endpoints.clone() }
    }

    /// See [`super::Network::forward`].
    pub fn forward(&self, images: Tensor<4>, pass: &mut Pass<'_>) -> Vec<Tensor<4>> {
        let mut maps = Vec::with_capacity(self.endpoints.len());
        let wanted = |endpoint| self.endpoints.contains(&endpoint);
        let mut give = |endpoint, x: &Tensor<4>| {
            if wanted(endpoint) {
                maps.push(x.clone());
            }
        };
        let mut x = images;
        for (i, block) in self.blocks.iter().enumerate() {
            let wants_widened = wanted(MobileNetV2Endpoint::Expansion(i + 2));
            let (y, widened) = match i {
                // The first block widens nothing, so its depthwise convolution follows the first layer.
                0 if block.expand.is_none() && !block.residual && !wants_widened => {
                    let y = self.first.forward_through(&block.depthwise, x, pass);
                    (block.finish(y, None, pass), None)
                }
                0 => {
                    let x = self.first.forward(x, pass);
                    block.forward(x, wants_widened, pass)
                }
                _ => block.forward(x, wants_widened, pass),
            };
            if let Some(widened) = &widened {
                give(MobileNetV2Endpoint::Expansion(i + 2), widened);
            }
            give(MobileNetV2Endpoint::Layer(i + 2), &y);
            x = y;
        }
        give(MobileNetV2Endpoint::Layer(self.blocks.len() + 2), &self.last.forward(x, pass));
        maps
    }

    /// See [`super::Network::endpoint_shapes`].
    pub fn endpoint_shapes(&self, image: [usize; 2]) -> Vec<[usize; 2]> {
        let mut size = self.first.output_size(image);
        let mut shapes = Vec::with_capacity(self.endpoints.len());
        let mut give = |endpoint, size| {
            if self.endpoints.contains(&endpoint) {
                shapes.push(size);
            }
        };
        for (i, block) in self.blocks.iter().enumerate() {
            give(MobileNetV2Endpoint::Expansion(i + 2), size);
            size = block.depthwise.output_size(size);
            give(MobileNetV2Endpoint::Layer(i + 2), size);
        }
        give(MobileNetV2Endpoint::Layer(self.blocks.len() + 2), size);
        shapes
    }

    /// See [`super::Network::endpoint_depths`].
    pub fn endpoint_depths(&self) -> Vec<usize> {
        let depth = |endpoint: &MobileNetV2Endpoint| match *endpoint {
            MobileNetV2Endpoint::Expansion(n) => self.blocks[n - 2].depthwise.out_channels(),
            MobileNetV2Endpoint::Layer(n) => self.blocks.get(n - 2).map_or(&self.last, |b| &b.project).out_channels(),
        };
        self.endpoints.iter().map(depth).collect()
    }

    /// All layers in order.
    pub fn layers(&self) -> impl Iterator<Item = &ConvLayer> {
        std::iter::once(&self.first).chain(self.blocks.iter().flat_map(ExpandedConv::layers)).chain([&self.last])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depths_as_slim_rounds_them() {
        // 0.35 · 32 = 11.2: to 8, which is below nine tenths of it, so 16.
        assert_eq!(make_divisible(11.2, 8, 8), 16);
        assert_eq!(make_divisible(8.4, 8, 16), 16);
        assert_eq!(make_divisible(44.8, 8, 8), 48);
        assert_eq!(make_divisible(24.0, 8, 8), 24);
        assert_eq!(make_divisible(1280.0 * 0.35, 8, 16), 448);
    }
}
