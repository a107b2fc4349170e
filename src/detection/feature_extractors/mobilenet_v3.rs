//! MobileNet v3 (slim's `V3_LARGE_DETECTION` and `V3_SMALL_DETECTION`): inverted residuals found by search, some with
//! hard swishes and squeeze-and-excite blocks, the last four layers half as deep as a classifier's.
//!
//! TFOD counts layers from 1: `layer_1` is the first convolution, `layer_2` and so on are the bottlenecks
//! `expanded_conv`, `expanded_conv_1`, …, and the last layer is `Conv_1`. An SSD takes the widened input of the last
//! bottleneck that halves, and the last layer.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::ops::PadMode;

use super::bottleneck::{ActivatedConv, Bottleneck, Gate, Nonlinearity, SqueezeExcite};
use super::make_divisible;
use crate::layers::{ConvLayer, Hyperparams, LayerBuilder, PaddingRule, Pass};

/// A bottleneck, before the multiplier.
struct Row {
    /// What the input is widened by.
    expansion: f64,
    depth: usize,
    kernel: usize,
    stride: usize,
    squeezes: bool,
    nonlinearity: Nonlinearity,
}

const fn row(expansion: f64, depth: usize, kernel: usize, stride: usize, squeezes: bool, swishes: bool) -> Row {
    let nonlinearity = if swishes { Nonlinearity::HardSwish } else { Nonlinearity::RELU };
    Row { expansion, depth, kernel, stride, squeezes, nonlinearity }
}

const LARGE: [Row; 15] = [
    row(1.0, 16, 3, 1, false, false),
    row(4.0, 24, 3, 2, false, false),
    row(3.0, 24, 3, 1, false, false),
    row(3.0, 40, 5, 2, true, false),
    row(3.0, 40, 5, 1, true, false),
    row(3.0, 40, 5, 1, true, false),
    row(6.0, 80, 3, 2, false, true),
    row(2.5, 80, 3, 1, false, true),
    row(184.0 / 80.0, 80, 3, 1, false, true),
    row(184.0 / 80.0, 80, 3, 1, false, true),
    row(6.0, 112, 3, 1, true, true),
    row(6.0, 112, 3, 1, true, true),
    row(6.0, 80, 5, 2, true, true),
    row(6.0, 80, 5, 1, true, true),
    row(6.0, 80, 5, 1, true, true),
];

const SMALL: [Row; 11] = [
    row(1.0, 16, 3, 2, true, false),
    row(72.0 / 16.0, 24, 3, 2, false, false),
    row(88.0 / 24.0, 24, 3, 1, false, false),
    row(4.0, 40, 5, 2, true, true),
    row(6.0, 40, 5, 1, true, true),
    row(6.0, 40, 5, 1, true, true),
    row(3.0, 48, 5, 1, true, true),
    row(3.0, 48, 5, 1, true, true),
    row(6.0, 48, 5, 2, true, true),
    row(6.0, 48, 5, 1, true, true),
    row(6.0, 48, 5, 1, true, true),
];

/// Depth of the first convolution, before the multiplier.
const FIRST_DEPTH: usize = 16;

/// What the channels are squeezed by.
const SQUEEZE: f64 = 4.0;

/// Depths are multiples of this.
const DIVISOR: usize = 8;

/// Which of the two networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MobileNetV3Size {
    /// `ssd_mobilenet_v3_large`.
    Large,
    /// `ssd_mobilenet_v3_small`.
    Small,
}

impl MobileNetV3Size {
    fn rows(self) -> &'static [Row] {
        match self {
            Self::Large => &LARGE,
            Self::Small => &SMALL,
        }
    }

    /// Depth of the last convolution, before the multiplier.
    fn last_depth(self) -> usize {
        match self {
            Self::Large => 480,
            Self::Small => 288,
        }
    }

    /// The number of the last layer, as TFOD counts.
    pub fn last_layer(self) -> usize {
        self.rows().len() + 2
    }
}

/// How the network is sized.
#[derive(Clone, Debug, PartialEq)]
pub struct MobileNetV3Settings {
    /// Which network.
    pub size: MobileNetV3Size,
    /// What all depths are multiplied by.
    pub depth_multiplier: f32,
    /// No layer is thinner than this.
    pub min_depth: usize,
    /// Hyperparameters of the depthwise convolutions. The activations are the network's own.
    pub depthwise: Hyperparams,
    /// Hyperparameters of all others.
    pub hyperparams: Hyperparams,
}

impl MobileNetV3Settings {
    fn depth(&self, depth: usize) -> usize {
        make_divisible(depth as f64 * f64::from(self.depth_multiplier), DIVISOR, self.min_depth).max(1)
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct MobileNetV3 {
    first: ActivatedConv,
    blocks: Vec<Bottleneck>,
    last: ActivatedConv,
    /// The bottleneck whose widened input is given away.
    endpoint: usize,
    /// With explicit padding, the kernels of the bottlenecks, by which their inputs are padded; else nothing.
    padded_by: Vec<usize>,
}

impl MobileNetV3 {
    /// Scope of the whole network.
    pub const SCOPE: &'static str = "FeatureExtractor/MobilenetV3";

    /// The network with its first weights.
    pub fn new(settings: &MobileNetV3Settings, builder: &LayerBuilder) -> Self {
        let (scope, rows) = (Self::SCOPE, settings.size.rows());
        let (hyperparams, swish) = (&settings.hyperparams, Nonlinearity::HardSwish);
        let mut input = settings.depth(FIRST_DEPTH);
        let first = ActivatedConv::conv2d(builder, &format!("{scope}/Conv"), [3, input], [3, 2], hyperparams, swish);
        // slim pads a bottleneck's input, and lets its convolutions pad as ever.
        let inside = LayerBuilder { padding: PaddingRule::Same, ..builder.clone() };
        let mut blocks = Vec::with_capacity(rows.len());
        for (i, row) in rows.iter().enumerate() {
            let scope = if i == 0 { format!("{scope}/expanded_conv") } else { format!("{scope}/expanded_conv_{i}") };
            blocks.push(bottleneck(settings, row, &scope, input, &inside));
            input = settings.depth(row.depth);
        }
        let depth = settings.depth(settings.size.last_depth());
        let last =
            ActivatedConv::conv2d(builder, &format!("{scope}/Conv_1"), [input, depth], [1, 1], hyperparams, swish);
        let endpoint = rows.iter().rposition(|row| row.stride == 2).unwrap_or_default();
        let padded_by = match builder.padding {
            PaddingRule::Explicit => rows.iter().map(|row| row.kernel).collect(),
            PaddingRule::Same | PaddingRule::Valid => Vec::new(),
        };
        Self { first, blocks, last, endpoint, padded_by }
    }

    /// Rows above and below, which are the columns beside, that a bottleneck's input is padded with.
    fn padding(&self, block: usize) -> (usize, usize) {
        let total = self.padded_by.get(block).map_or(0, |kernel| kernel - 1);
        (total / 2, total - total / 2)
    }

    /// See [`super::Network::forward`].
    pub fn forward(&self, images: Tensor<4>, pass: &mut Pass<'_>) -> Vec<Tensor<4>> {
        let mut maps = Vec::with_capacity(2);
        let mut x = self.first.forward(images, pass);
        for (i, block) in self.blocks.iter().enumerate() {
            let padding = self.padding(i);
            if padding != (0, 0) {
                x = x.pad([padding, padding], PadMode::Constant(0.0));
            }
            let (y, widened) = block.forward(x, pass);
            if i == self.endpoint {
                maps.push(widened);
            }
            x = y;
        }
        maps.push(self.last.forward(x, pass));
        maps
    }

    /// See [`super::Network::endpoint_shapes`].
    pub fn endpoint_shapes(&self, image: [usize; 2]) -> Vec<[usize; 2]> {
        let mut size = self.first.layer().output_size(image);
        let mut shapes = Vec::with_capacity(2);
        for (i, block) in self.blocks.iter().enumerate() {
            let (before, after) = self.padding(i);
            size = size.map(|side| side + before + after);
            if i == self.endpoint {
                shapes.push(size);
            }
            size = block.output_size(size);
        }
        shapes.push(size);
        shapes
    }

    /// See [`super::Network::endpoint_depths`].
    pub fn endpoint_depths(&self) -> Vec<usize> {
        let widened = &self.blocks[self.endpoint].inner[0];
        [widened, &self.last].map(|conv| conv.layer().out_channels()).to_vec()
    }

    /// All layers in order.
    pub fn layers(&self) -> impl Iterator<Item = &ConvLayer> {
        let blocks = self.blocks.iter().flat_map(Bottleneck::layers);
        std::iter::once(self.first.layer()).chain(blocks).chain([self.last.layer()])
    }
}

fn bottleneck(
    settings: &MobileNetV3Settings,
    row: &Row,
    scope: &str,
    input: usize,
    builder: &LayerBuilder,
) -> Bottleneck {
    let (hyperparams, own) = (&settings.hyperparams, row.nonlinearity);
    let widened = make_divisible(input as f64 * row.expansion, DIVISOR, DIVISOR);
    let output = settings.depth(row.depth);
    let mut inner = Vec::with_capacity(2);
    if widened > input {
        let scope = format!("{scope}/expand");
        inner.push(ActivatedConv::conv2d(builder, &scope, [input, widened], [1, 1], hyperparams, own));
    }
    let widened = widened.max(input);
    let (name, shape) = (format!("{scope}/depthwise"), [row.kernel, row.stride]);
    inner.push(ActivatedConv::depthwise_conv2d(builder, &name, widened, shape, &settings.depthwise, own));
    let squeeze_excite = row.squeezes.then(|| {
        let squeezed = make_divisible(widened as f64 / SQUEEZE, DIVISOR, DIVISOR);
        let (name, gate) = (format!("{scope}/squeeze_excite"), Gate::HardSigmoid);
        SqueezeExcite::new(builder, &name, [widened, squeezed], hyperparams, Nonlinearity::RELU, gate)
    });
    let project = builder.unactivated_conv2d(&format!("{scope}/project"), [widened, output], 1, hyperparams);
    Bottleneck { inner, squeeze_excite, project, residual: row.stride == 1 && input == output }
}
