//! MobileDet: networks that were searched as detectors, one for each kind of hardware (TFOD's
//! `ssd_mobiledet_feature_extractor`).
//!
//! Beside inverted bottlenecks they have fused ones, whose first convolution is a full one, and Tucker convolutions,
//! which squeeze a full convolution between two thin layers. The network ends its scopes by counting each kind of block
//! for itself. Its hyperparameters are its own whatever the config says of them.

use burn::module::Module;
use burn::tensor::Tensor;

use super::bottleneck::{ActivatedConv, Bottleneck, Gate, Nonlinearity, SqueezeExcite};
use crate::initializers::{FanMode, Initializer};
use crate::layers::{BatchNormParams, ConvLayer, Hyperparams, LayerBuilder, Pass};
use crate::regularizers::Regularizer;

/// Depths are multiples of this.
const DIVISOR: f64 = 8.0;

/// What a normal distribution that is cut at two deviations loses of its own.
const TRUNCATED: f64 = 0.879_625_661_034_239_8;

/// What a squeeze-and-excite block squeezes to.
const SQUEEZE: f64 = 0.25;

/// What a block is, with what it widens or narrows to.
#[derive(Clone, Copy)]
enum Kind {
    /// Depthwise only, then the projection.
    NoExpansion,
    /// Widened, depthwise, projected.
    Inverted(usize),
    /// Widened by a full convolution, projected.
    Fused(usize),
    /// Narrowed, a full convolution to few channels, projected: the parts of the input's and the output's depth.
    Tucker(f64, f64),
}

impl Kind {
    const fn scope(self) -> &'static str {
        match self {
            Self::NoExpansion => "IBNNoExpansion",
            Self::Inverted(_) => "IBN",
            Self::Fused(_) => "FusedConv",
            Self::Tucker(..) => "TuckerConv",
        }
    }
}

/// A block, before the multiplier.
#[derive(Clone, Copy)]
struct Row {
    kind: Kind,
    depth: usize,
    kernel: usize,
    stride: usize,
    residual: bool,
}

impl Row {
    const fn new(kind: Kind, depth: usize) -> Self {
        Self { kind, depth, kernel: 3, stride: 1, residual: true }
    }

    const fn wide(self) -> Self {
        Self { kernel: 5, ..self }
    }

    /// Without its input added.
    const fn alone(self) -> Self {
        Self { residual: false, ..self }
    }

    const fn halved(self) -> Self {
        Self { stride: 2, ..self.alone() }
    }
}

const fn ibn(depth: usize, expansion: usize) -> Row {
    Row::new(Kind::Inverted(expansion), depth)
}

const fn fused(depth: usize, expansion: usize) -> Row {
    Row::new(Kind::Fused(expansion), depth)
}

const fn tucker(depth: usize, input: f64, output: f64) -> Row {
    Row::new(Kind::Tucker(input, output), depth)
}

const fn no_expansion(depth: usize) -> Row {
    Row::new(Kind::NoExpansion, depth).alone()
}

const CPU: &[Row] = &[
    no_expansion(8),
    ibn(16, 4).halved(),
    ibn(32, 8).halved(),
    ibn(32, 4),
    ibn(32, 4),
    ibn(32, 4),
    ibn(72, 8).wide().halved(),
    ibn(72, 8),
    ibn(72, 4).wide(),
    ibn(72, 4),
    ibn(72, 8).alone(),
    ibn(72, 8),
    ibn(72, 8),
    ibn(72, 8),
    ibn(104, 8).wide().halved(),
    ibn(104, 4).wide(),
    ibn(104, 4).wide(),
    ibn(104, 4),
    ibn(144, 8).alone(),
];

const DSP: &[Row] = &[
    no_expansion(24),
    fused(32, 4).halved(),
    fused(32, 4),
    ibn(32, 4),
    tucker(32, 0.25, 0.75),
    fused(64, 8).halved(),
    ibn(64, 4),
    fused(64, 4),
    fused(64, 4),
    fused(120, 8).halved(),
    ibn(120, 4),
    ibn(120, 8),
    ibn(120, 8),
    fused(144, 8).alone(),
    ibn(144, 8),
    ibn(144, 8),
    ibn(144, 8),
    ibn(160, 4).halved(),
    ibn(160, 4),
    fused(160, 4),
    tucker(160, 0.75, 0.75),
    ibn(240, 8).alone(),
];

const EDGE_TPU: &[Row] = &[
    tucker(16, 0.25, 0.75).alone(),
    fused(16, 8).halved(),
    fused(16, 4),
    fused(16, 8),
    fused(16, 4),
    fused(40, 8).wide().halved(),
    fused(40, 4),
    fused(40, 4),
    fused(40, 4),
    ibn(72, 8).halved(),
    ibn(72, 8),
    fused(72, 4),
    fused(72, 4),
    ibn(96, 8).wide().alone(),
    ibn(96, 8).wide(),
    ibn(96, 8),
    ibn(96, 8),
    ibn(120, 8).wide().halved(),
    ibn(120, 8),
    ibn(120, 4).wide(),
    ibn(120, 8),
    ibn(384, 8).wide().alone(),
];

const GPU: &[Row] = &[
    tucker(16, 0.25, 0.25).alone(),
    fused(32, 8).halved(),
    tucker(32, 0.25, 0.25),
    tucker(32, 0.25, 0.25),
    tucker(32, 0.25, 0.25),
    fused(64, 8).halved(),
    fused(64, 8),
    fused(64, 8),
    fused(64, 4),
    fused(128, 8).halved(),
    fused(128, 4),
    fused(128, 4),
    fused(128, 4),
    fused(128, 8).alone(),
    fused(128, 8),
    fused(128, 8),
    fused(128, 8),
    fused(128, 4).halved(),
    fused(128, 4),
    fused(128, 4),
    fused(128, 4),
    ibn(384, 8).alone(),
];

/// What a network was searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MobileDetTarget {
    /// `ssd_mobiledet_cpu`, the only one with hard swishes and squeeze-and-excite blocks.
    Cpu,
    /// `ssd_mobiledet_dsp`.
    Dsp,
    /// `ssd_mobiledet_edgetpu`.
    EdgeTpu,
    /// `ssd_mobiledet_gpu`.
    Gpu,
}

impl MobileDetTarget {
    fn rows(self) -> &'static [Row] {
        match self {
            Self::Cpu => CPU,
            Self::Dsp => DSP,
            Self::EdgeTpu => EDGE_TPU,
            Self::Gpu => GPU,
        }
    }

    fn first_depth(self) -> usize {
        if self == Self::Cpu { 16 } else { 32 }
    }

    /// Scope of the whole network.
    pub fn scope(self) -> &'static str {
        match self {
            Self::Cpu => "FeatureExtractor/MobileDetCPU",
            Self::Dsp => "FeatureExtractor/MobileDetDSP",
            Self::EdgeTpu => "FeatureExtractor/MobileDetEdgeTPU",
            Self::Gpu => "FeatureExtractor/MobileDetGPU",
        }
    }
}

/// A depth times a factor, to the nearest multiple of eight, which is eight at least.
fn scaled(depth: usize, factor: f64) -> usize {
    ((depth as f64 * factor / DIVISOR + 0.5) as usize * DIVISOR as usize).max(DIVISOR as usize)
}

/// How the network is sized.
#[derive(Clone, Debug, PartialEq)]
pub struct MobileDetSettings {
    /// Which network.
    pub target: MobileDetTarget,
    /// What all depths are multiplied by.
    pub depth_multiplier: f32,
    /// Whether batch normalization trains.
    pub train_batch_norm: bool,
}

impl MobileDetSettings {
    fn nonlinearity(&self) -> Nonlinearity {
        if self.target == MobileDetTarget::Cpu { Nonlinearity::HardSwish } else { Nonlinearity::RELU6 }
    }

    fn depth(&self, depth: usize) -> usize {
        scaled(depth, f64::from(self.depth_multiplier))
    }

    /// He's normal distribution. The factor takes back what slim's own initializer makes up for the cut.
    fn hyperparams(&self) -> Hyperparams {
        let factor = (2.0 / (1.3 * TRUNCATED * TRUNCATED)) as f32;
        Hyperparams {
            initializer: Initializer::VarianceScaling { factor, mode: FanMode::FanIn, uniform: false },
            regularizer: Regularizer::L2(0.000_04),
            activation: boxwright_kernels::Activation::None,
            batch_norm: Some(BatchNormParams {
                decay: 0.99,
                epsilon: 0.01,
                center: true,
                scale: true,
                train: self.train_batch_norm,
            }),
        }
    }

    /// He's distribution with the fan that a depthwise kernel has in truth, which is one channel's.
    fn depthwise(&self, kernel: usize) -> Hyperparams {
        let stddev = (2.0f64 / (kernel * kernel) as f64).sqrt() / TRUNCATED;
        let initializer = Initializer::TruncatedNormal { mean: 0.0, stddev: stddev as f32 };
        Hyperparams { initializer, ..self.hyperparams() }
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct MobileDet {
    first: ActivatedConv,
    blocks: Vec<Bottleneck>,
    /// The block whose result is given away beside the last one's: TFOD's `C4`.
    endpoint: usize,
}

impl MobileDet {
    /// The network with its first weights.
    pub fn new(settings: &MobileDetSettings, builder: &LayerBuilder) -> Self {
        let (scope, rows) = (settings.target.scope(), settings.target.rows());
        let mut input = settings.depth(settings.target.first_depth());
        let (name, hyperparams, own) = (format!("{scope}/Conv"), settings.hyperparams(), settings.nonlinearity());
        let first = ActivatedConv::conv2d(builder, &name, [3, input], [3, 2], &hyperparams, own);
        let mut blocks = Vec::with_capacity(rows.len());
        for (i, row) in rows.iter().enumerate() {
            let kind = row.kind.scope();
            let scope = match rows[..i].iter().filter(|other| other.kind.scope() == kind).count() {
                0 => format!("{scope}/{kind}"),
                n => format!("{scope}/{kind}_{n}"),
            };
            blocks.push(BlockBuilder { settings, builder, scope: &scope, input, row }.build());
            input = settings.depth(row.depth);
        }
        // The last map of its resolution stands before the last halving.
        let endpoint = rows.iter().rposition(|row| row.stride == 2).unwrap_or(1).saturating_sub(1);
        Self { first, blocks, endpoint }
    }

    /// See [`super::Network::forward`].
    pub fn forward(&self, images: Tensor<4>, pass: &mut Pass<'_>) -> Vec<Tensor<4>> {
        let mut maps = Vec::with_capacity(2);
        let mut x = self.first.forward(images, pass);
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(x, pass).0;
            if i == self.endpoint {
                maps.push(x.clone());
            }
        }
        maps.push(x);
        maps
    }

    /// See [`super::Network::endpoint_shapes`].
    pub fn endpoint_shapes(&self, image: [usize; 2]) -> Vec<[usize; 2]> {
        let first = self.first.layer().output_size(image);
        let after = |blocks: &[Bottleneck]| blocks.iter().fold(first, |size, block| block.output_size(size));
        vec![after(&self.blocks[..=self.endpoint]), after(&self.blocks)]
    }

    /// See [`super::Network::endpoint_depths`].
    pub fn endpoint_depths(&self) -> Vec<usize> {
        [self.blocks.get(self.endpoint), self.blocks.last()]
            .into_iter()
            .flatten()
            .map(Bottleneck::out_channels)
            .collect()
    }

    /// All layers in order.
    pub fn layers(&self) -> impl Iterator<Item = &ConvLayer> {
        std::iter::once(self.first.layer()).chain(self.blocks.iter().flat_map(Bottleneck::layers))
    }
}

/// Makes one block.
struct BlockBuilder<'a> {
    settings: &'a MobileDetSettings,
    builder: &'a LayerBuilder,
    scope: &'a str,
    input: usize,
    row: &'a Row,
}

impl BlockBuilder<'_> {
    fn build(&self) -> Bottleneck {
        let Row { kind, depth, kernel, stride, residual } = *self.row;
        let output = self.settings.depth(depth);
        let (inner, last) = match kind {
            Kind::NoExpansion => (vec![self.depthwise(self.input)], self.input),
            Kind::Inverted(expansion) => {
                let wide = self.input * expansion;
                (vec![self.conv(0, [self.input, wide], [1, 1]), self.depthwise(wide)], wide)
            }
            Kind::Fused(expansion) => {
                let wide = self.input * expansion;
                (vec![self.conv(0, [self.input, wide], [kernel, stride])], wide)
            }
            Kind::Tucker(of_input, of_output) => {
                let ranks = [scaled(self.input, of_input), scaled(output, of_output)];
                let reduce = self.conv(0, [self.input, ranks[0]], [1, 1]);
                (vec![reduce, self.conv(1, ranks, [kernel, stride])], ranks[1])
            }
        };
        let (hyperparams, own) = (self.settings.hyperparams(), self.settings.nonlinearity());
        let squeeze_excite = (self.settings.target == MobileDetTarget::Cpu).then(|| {
            let (scope, channels) = (format!("{}/SqueezeExcite", self.scope), [last, scaled(last, SQUEEZE)]);
            SqueezeExcite::new(self.builder, &scope, channels, &hyperparams, own, Gate::Sigmoid)
        });
        // The convolutions of a block are counted, and a depthwise one has a name of its own.
        let count = inner.len() - usize::from(matches!(kind, Kind::NoExpansion | Kind::Inverted(_)));
        let project = self.builder.unactivated_conv2d(&self.numbered(count), [last, output], 1, &hyperparams);
        Bottleneck { inner, squeeze_excite, project, residual }
    }

    fn numbered(&self, number: usize) -> String {
        if number == 0 { format!("{}/Conv", self.scope) } else { format!("{}/Conv_{number}", self.scope) }
    }

    fn conv(&self, number: usize, channels: [usize; 2], shape: [usize; 2]) -> ActivatedConv {
        let (scope, own) = (self.numbered(number), self.settings.nonlinearity());
        ActivatedConv::conv2d(self.builder, &scope, channels, shape, &self.settings.hyperparams(), own)
    }

    fn depthwise(&self, channels: usize) -> ActivatedConv {
        let (scope, own) = (format!("{}/SeparableConv2d", self.scope), self.settings.nonlinearity());
        let hyperparams = self.settings.depthwise(self.row.kernel);
        let shape = [self.row.kernel, self.row.stride];
        ActivatedConv::depthwise_conv2d(self.builder, &scope, channels, shape, &hyperparams, own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depths_go_to_the_nearest_eighth() {
        assert_eq!([72, 104, 8].map(|depth| scaled(depth, 1.0)), [72, 104, 8]);
        // 9.5 eighths are ten, and nothing is thinner than eight.
        assert_eq!([scaled(76, 1.0), scaled(8, 0.25), scaled(832, 0.25), scaled(72, 0.35)], [80, 8, 208, 24]);
    }

    #[test]
    fn first_weights_vary_as_he_has_them() {
        let settings =
            MobileDetSettings { target: MobileDetTarget::Cpu, depth_multiplier: 1.0, train_batch_norm: true };
        let variance = |hyperparams: Hyperparams, shape: [usize; 4]| {
            let values = hyperparams.initializer.sample(&shape, 7, "w");
            values.iter().map(|value| f64::from(value * value)).sum::<f64>() / values.len() as f64
        };
        let dense = variance(settings.hyperparams(), [1, 1, 100, 200]);
        assert!((dense / 0.02 - 1.0).abs() < 0.05, "{dense}");
        let depthwise = variance(settings.depthwise(5), [5, 5, 800, 1]);
        assert!((depthwise / 0.08 - 1.0).abs() < 0.05, "{depthwise}");
    }
}
