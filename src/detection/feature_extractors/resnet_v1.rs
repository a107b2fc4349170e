//! ResNet v1 (slim's `resnet_v1`): a root, then four blocks of bottleneck units that add to what they see.
//!
//! As in slim, a block is halved by its last unit and not by its first, a stride is padded alike on all
//! sides (`conv2d_same`), and where a wanted output stride is reached the rest of the strides become
//! dilations. Keras' ResNet halves a block at its first layer and is else the same. Faster R-CNN takes the output of the third block, and applies a fourth of its own to each
//! proposal; a pyramid takes the output of each block before it is halved.

use boxwright_kernels::{Activation, Padding, activation, max_pool2d};
use burn::module::Module;
use burn::tensor::{Tensor, TensorData};

use super::{Dialect, multiplied_depth};
use crate::layers::{ConvLayer, Hyperparams, LayerBuilder, PaddingRule, Pass};

/// Depth of the bottlenecks of each block; a unit gives away four times as much.
const DEPTHS: [usize; 4] = [64, 128, 256, 512];

/// Depth and kernel of the root.
const ROOT: (usize, usize) = (64, 7);

/// How many layers deep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResNetV1Depth {
    /// ResNet-50.
    Layers50,
    /// ResNet-101.
    Layers101,
    /// ResNet-152.
    Layers152,
}

impl ResNetV1Depth {
    /// Slim's name of the network.
    pub fn name(self) -> &'static str {
        match self {
            Self::Layers50 => "resnet_v1_50",
            Self::Layers101 => "resnet_v1_101",
            Self::Layers152 => "resnet_v1_152",
        }
    }

    fn units(self) -> [usize; 4] {
        match self {
            Self::Layers50 => [3, 4, 6, 3],
            Self::Layers101 => [3, 4, 23, 3],
            Self::Layers152 => [3, 8, 36, 3],
        }
    }
}

/// How the network is sized.
#[derive(Clone, Debug, PartialEq)]
pub struct ResNetV1Settings {
    /// What the network's scope stands below, e.g. `FeatureExtractor`.
    pub scope: String,
    /// How many layers deep.
    pub depth: ResNetV1Depth,
    /// What all depths are multiplied by.
    pub depth_multiplier: f32,
    /// No bottleneck is thinner than this.
    pub min_depth: usize,
    /// The stride at which the map stops shrinking; `None` for the network's own 32.
    pub output_stride: Option<usize>,
    /// Whether the blocks are halved behind what they give away (slim's `store_non_strided_activations`).
    pub halve_behind: bool,
    /// The blocks that are given away, 1 to 4, in order.
    pub blocks: Vec<usize>,
    /// Hyperparameters of all layers.
    pub hyperparams: Hyperparams,
    /// Whether a unit's sum is activated as the layers are (Keras, overridden), and not by ReLU.
    pub activates_sums: bool,
    /// TF1 or TF2: Keras halves a block at its first convolution.
    pub dialect: Dialect,
}

/// RGB means of the pictures that the published weights were trained on.
pub(super) const CHANNEL_MEANS: [f32; 3] = [123.68, 116.779, 103.939];

/// RGB from 0 to 255 without the means of the channels.
pub(crate) fn without_channel_means(images: Tensor<4>, means: [f32; 3]) -> Tensor<4> {
    let means = Tensor::<4>::from_data(TensorData::new(means.to_vec(), [1, 3, 1, 1]), &images.device());
    images - means
}

/// A bottleneck: 1×1 down, 3×3, 1×1 up, added to the shortcut.
#[derive(Module, Debug)]
struct Unit {
    /// Where the depth changes; else the input itself.
    shortcut: Option<ConvLayer>,
    residual: Vec<ConvLayer>,
    stride: usize,
    #[module(skip)]
    activation: Activation,
}

/// Where a unit stands.
struct UnitPlan {
    scope: String,
    input: usize,
    bottleneck: usize,
    depth: usize,
    stride: usize,
    rate: usize,
    /// Whether the first convolution has the stride, and not the second.
    early: bool,
}

impl Unit {
    fn new(plan: &UnitPlan, activation: Activation, hyperparams: &Hyperparams, builder: &LayerBuilder) -> Self {
        let UnitPlan { scope, input, bottleneck, depth, stride, rate, early } = plan;
        let shortcut = (input != depth)
            .then(|| builder.unactivated_conv2d(&format!("{scope}/shortcut"), [*input, *depth], *stride, hyperparams));
        let scope_of = |name: &str| format!("{scope}/{name}");
        let (first, second) = if *early { (*stride, 1) } else { (1, *stride) };
        let residual = vec![
            builder.conv2d(&scope_of("conv1"), [*input, *bottleneck], 1, first, hyperparams),
            builder.atrous_conv2d(&scope_of("conv2"), [*bottleneck; 2], 3, second, *rate, hyperparams),
            builder.unactivated_conv2d(&scope_of("conv3"), [*bottleneck, *depth], 1, hyperparams),
        ];
        Self { shortcut, residual, stride: *stride, activation }
    }

    fn forward(&self, x: Tensor<4>, pass: &mut Pass<'_>) -> Tensor<4> {
        let shortcut = match &self.shortcut {
            Some(layer) => layer.forward(x.clone(), pass),
            None => subsample(x.clone(), self.stride),
        };
        let residual = self.residual.iter().fold(x, |x, layer| layer.forward(x, pass));
        activation(shortcut + residual, self.activation)
    }

    fn layers(&self) -> impl Iterator<Item = &ConvLayer> {
        self.shortcut.iter().chain(&self.residual)
    }
}

/// Every `stride`-th row and column.
fn subsample(x: Tensor<4>, stride: usize) -> Tensor<4> {
    if stride == 1 { x } else { max_pool2d(x, [1, 1], [stride; 2], Padding::valid()) }
}

/// Units one behind the other.
#[derive(Module, Debug)]
pub struct ResNetV1Block {
    units: Vec<Unit>,
    /// What is left of the map behind the block: every so many rows and columns.
    behind: usize,
}

impl ResNetV1Block {
    /// The fourth block by itself, as the second stage of Faster R-CNN applies it to the crops of `input`
    /// channels: without a stride in slim, with that of the network in Keras.
    pub fn second_stage(scope: &str, input: usize, settings: &ResNetV1Settings, builder: &LayerBuilder) -> Self {
        let builder = LayerBuilder { padding: PaddingRule::Explicit, ..builder.clone() };
        let scope = format!("{scope}/{}/block4", settings.depth.name());
        let keras = settings.dialect == Dialect::Keras;
        let units = (0..settings.depth.units()[3])
            .map(|index| {
                let plan = UnitPlan {
                    scope: unit_scope(&scope, index),
                    input: if index == 0 { input } else { 4 * DEPTHS[3] },
                    bottleneck: DEPTHS[3],
                    depth: 4 * DEPTHS[3],
                    stride: if keras && index == 0 { 2 } else { 1 },
                    rate: 1,
                    early: keras,
                };
                Unit::new(&plan, Activation::Relu, &settings.hyperparams, &builder)
            })
            .collect();
        Self { units, behind: 1 }
    }

    /// # Shapes
    /// `[batch, input, height, width]` to `[batch, depth, height / stride, width / stride]`.
    pub fn forward(&self, x: Tensor<4>, pass: &mut Pass<'_>) -> Tensor<4> {
        self.units.iter().fold(x, |x, unit| unit.forward(x, pass))
    }

    /// Depth of what comes out.
    pub fn out_channels(&self) -> usize {
        self.units.last().and_then(|unit| unit.residual.last()).map_or(0, ConvLayer::out_channels)
    }

    /// All layers in order.
    pub fn layers(&self) -> impl Iterator<Item = &ConvLayer> {
        self.units.iter().flat_map(Unit::layers)
    }

    fn stride(&self) -> usize {
        self.units.iter().map(|unit| unit.stride).product()
    }
}

fn unit_scope(block: &str, index: usize) -> String {
    format!("{block}/unit_{}/bottleneck_v1", index + 1)
}

/// The network.
#[derive(Module, Debug)]
pub struct ResNetV1 {
    root: ConvLayer,
    blocks: Vec<ResNetV1Block>,
    given: Vec<usize>,
}

impl ResNetV1 {
    /// The network with its first weights.
    pub fn new(settings: &ResNetV1Settings, builder: &LayerBuilder) -> Self {
        let builder = LayerBuilder { padding: PaddingRule::Explicit, ..builder.clone() };
        let scope = format!("{}/{}", settings.scope, settings.depth.name());
        let multiplied = |depth| multiplied_depth(depth, settings.depth_multiplier, settings.min_depth);
        let keras = settings.dialect == Dialect::Keras;
        let (depth, kernel) = ROOT;
        let depth = if keras { multiplied(depth) } else { depth };
        let root = builder.conv2d(&format!("{scope}/conv1"), [3, depth], kernel, 2, &settings.hyperparams);
        let mut input = depth;
        // Root and pool come to a stride of 4.
        let (mut stride, mut rate) = (4, 1);
        let blocks = settings
            .depth
            .units()
            .into_iter()
            .zip(DEPTHS)
            .enumerate()
            // Slim's network is always whole.
            .take(if keras { settings.blocks.last().copied().unwrap_or(0) } else { DEPTHS.len() })
            .map(|(block, (units, bottleneck))| {
                let out = if keras { multiplied(4 * bottleneck) } else { 4 * multiplied(bottleneck) };
                let bottleneck = multiplied(bottleneck);
                let scope = format!("{scope}/block{}", block + 1);
                // Slim's fourth block halves nothing, Keras' first.
                let halves = if block == if keras { 0 } else { 3 } { 1 } else { 2 };
                let mut step = |of: usize| {
                    if settings.output_stride.is_some_and(|wanted| stride >= wanted) {
                        let now = (1, rate);
                        rate *= of;
                        return now;
                    }
                    stride *= of;
                    (of, 1)
                };
                let units = (0..units)
                    .map(|index| {
                        let halving = if keras { index == 0 } else { index + 1 == units && !settings.halve_behind };
                        let (stride, rate) = step(if halving { halves } else { 1 });
                        let scope = unit_scope(&scope, index);
                        let plan = UnitPlan { scope, input, bottleneck, depth: out, stride, rate, early: keras };
                        input = out;
                        let activation =
                            if settings.activates_sums { settings.hyperparams.activation } else { Activation::Relu };
                        Unit::new(&plan, activation, &settings.hyperparams, &builder)
                    })
                    .collect();
                let behind = if settings.halve_behind && !keras { step(halves).0 } else { 1 };
                ResNetV1Block { units, behind }
            })
            .collect();
        Self { root, blocks, given: settings.blocks.clone() }
    }

    /// What the network wants to see of RGB in 0 to 255.
    pub fn preprocess(&self, images: Tensor<4>) -> Tensor<4> {
        without_channel_means(images, CHANNEL_MEANS)
    }

    /// The blocks that are given away. Blocks behind the last of them are not run.
    ///
    /// # Shapes
    /// `[batch, 3, height, width]`, preprocessed, to maps `[batch, depth, h, w]`.
    pub fn forward(&self, images: Tensor<4>, pass: &mut Pass<'_>) -> Vec<Tensor<4>> {
        let x = self.root.forward(images, pass);
        let [_, _, height, width] = x.dims();
        let mut x = max_pool2d(x, [3, 3], [2, 2], Padding::same([height, width], [3, 3], [2, 2]));
        let mut given = Vec::with_capacity(self.given.len());
        for (number, block) in self.needed() {
            x = block.forward(x, pass);
            if self.given.contains(&number) {
                given.push(x.clone());
            }
            x = subsample(x, block.behind);
        }
        given
    }

    fn needed(&self) -> impl Iterator<Item = (usize, &ResNetV1Block)> {
        let last = self.given.last().copied().unwrap_or(0);
        self.blocks.iter().enumerate().map(|(i, block)| (i + 1, block)).take(last)
    }

    /// `[height, width]` of what is given away for a picture of this size.
    pub fn endpoint_shapes(&self, image: [usize; 2]) -> Vec<[usize; 2]> {
        let mut size = self.root.output_size(image).map(|side| side.div_ceil(2));
        let mut shapes = Vec::with_capacity(self.given.len());
        for (number, block) in self.needed() {
            size = size.map(|side| side.div_ceil(block.stride()));
            if self.given.contains(&number) {
                shapes.push(size);
            }
            size = size.map(|side| side.div_ceil(block.behind));
        }
        shapes
    }

    /// Depth of what is given away.
    pub fn endpoint_depths(&self) -> Vec<usize> {
        self.needed().filter(|(n, _)| self.given.contains(n)).map(|(_, block)| block.out_channels()).collect()
    }

    /// All layers in order, also those that are not run: they are variables of TFOD's model too.
    pub fn layers(&self) -> impl Iterator<Item = &ConvLayer> {
        std::iter::once(&self.root).chain(self.blocks.iter().flat_map(ResNetV1Block::layers))
    }
}
