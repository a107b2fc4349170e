//! Inception v2 (slim's `inception_v2_base`): a stem, then modules of branches side by side.
//!
//! The first convolution is separable, with several depthwise kernels for each channel. SSD takes
//! `Mixed_4c` and `Mixed_5c`; Faster R-CNN takes `Mixed_4e`, and applies `Mixed_5a` to `Mixed_5c` to
//! each proposal.

use boxwright_kernels::{Padding, avg_pool2d, max_pool2d};
use burn::module::Module;
use burn::tensor::Tensor;

use super::multiplied_depth;
use crate::initializers::Initializer;
use crate::layers::{ConvLayer, Hyperparams, LayerBuilder, PaddingRule, Pass};

/// Most depthwise kernels for each channel of the picture.
const STEM_MULTIPLIER: usize = 8;

/// What a branch pools before its convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pool {
    Max,
    Mean,
}

/// A module before its depths are multiplied.
enum Plan {
    /// Four branches of one size: 1×1; 1×1 and 3×3; 1×1 and twice 3×3; a pool and 1×1.
    Mixed { name: &'static str, single: usize, once: [usize; 2], twice: [usize; 2], pool: (Pool, usize) },
    /// Half the size: 1×1 and 3×3; 1×1 and twice 3×3; a max pool.
    Halving { name: &'static str, once: [usize; 2], twice: [usize; 2] },
}

impl Plan {
    fn name(&self) -> &'static str {
        match self {
            Self::Mixed { name, .. } | Self::Halving { name, .. } => name,
        }
    }
}

const fn mixed(name: &'static str, single: usize, once: [usize; 2], twice: [usize; 2], pool: (Pool, usize)) -> Plan {
    Plan::Mixed { name, single, once, twice, pool }
}

/// All modules in order.
const MODULES: [Plan; 10] = [
    mixed("Mixed_3b", 64, [64, 64], [64, 96], (Pool::Mean, 32)),
    mixed("Mixed_3c", 64, [64, 96], [64, 96], (Pool::Mean, 64)),
    Plan::Halving { name: "Mixed_4a", once: [128, 160], twice: [64, 96] },
    mixed("Mixed_4b", 224, [64, 96], [96, 128], (Pool::Mean, 128)),
    mixed("Mixed_4c", 192, [96, 128], [96, 128], (Pool::Mean, 128)),
    mixed("Mixed_4d", 160, [128, 160], [128, 160], (Pool::Mean, 96)),
    mixed("Mixed_4e", 96, [128, 192], [160, 192], (Pool::Mean, 96)),
    Plan::Halving { name: "Mixed_5a", once: [128, 192], twice: [192, 256] },
    mixed("Mixed_5b", 352, [192, 320], [160, 224], (Pool::Mean, 128)),
    mixed("Mixed_5c", 352, [192, 320], [192, 224], (Pool::Max, 128)),
];

/// How the network is sized.
#[derive(Clone, Debug, PartialEq)]
pub struct InceptionV2Settings {
    /// What the network's scope stands below, e.g. `FeatureExtractor`.
    pub scope: String,
    /// What all depths are multiplied by.
    pub depth_multiplier: f32,
    /// No layer is thinner than this.
    pub min_depth: usize,
    /// The modules that are given away, in order, e.g. `Mixed_4c`; the network ends behind the last.
    pub endpoints: Vec<&'static str>,
    /// Hyperparameters of all layers; slim fixes what some kernels start at.
    pub hyperparams: Hyperparams,
}

impl InceptionV2Settings {
    fn depth(&self, depth: usize) -> usize {
        multiplied_depth(depth, self.depth_multiplier, self.min_depth)
    }

    /// The hyperparameters with kernels that start at a cut normal distribution.
    fn starting_at(&self, stddev: f32) -> Hyperparams {
        Hyperparams { initializer: Initializer::TruncatedNormal { mean: 0.0, stddev }, ..self.hyperparams }
    }
}

/// A branch of a module.
#[derive(Module, Debug)]
struct Branch {
    /// A pool of 3×3 before the convolutions, with this stride.
    #[module(skip)]
    pool: Option<(Pool, usize)>,
    layers: Vec<ConvLayer>,
}

impl Branch {
    fn forward(&self, x: Tensor<4>, pass: &mut Pass<'_>) -> Tensor<4> {
        let x = match self.pool {
            None => x,
            Some((kind, stride)) => {
                let [_, _, height, width] = x.dims();
                let (kernel, stride) = ([3, 3], [stride; 2]);
                let padding = Padding::same([height, width], kernel, stride);
                match kind {
                    Pool::Max => max_pool2d(x, kernel, stride, padding),
                    Pool::Mean => avg_pool2d(x, kernel, stride, padding),
                }
            }
        };
        self.layers.iter().fold(x, |x, layer| layer.forward(x, pass))
    }

    fn output_size(&self, input: [usize; 2]) -> [usize; 2] {
        let stride = self.pool.map_or(1, |(_, stride)| stride);
        self.layers.iter().fold(input.map(|side| side.div_ceil(stride)), |size, layer| layer.output_size(size))
    }
}

/// A module: branches that see the same and whose channels follow one another.
#[derive(Module, Debug)]
struct Mixed {
    branches: Vec<Branch>,
    out_channels: usize,
    given: bool,
}

impl Mixed {
    fn new(plan: &Plan, settings: &InceptionV2Settings, input: usize, builder: &LayerBuilder) -> Self {
        let module = format!("{}/InceptionV2/{}", settings.scope, plan.name());
        let (own, narrow, pooled) = (settings.hyperparams, settings.starting_at(0.09), settings.starting_at(0.1));
        let reduce = |branch: usize, depth: usize, hyperparams: &Hyperparams| {
            builder.conv2d(&format!("{module}/Branch_{branch}/Conv2d_0a_1x1"), [input, depth], 1, 1, hyperparams)
        };
        let conv = |branch: usize, name: &str, from: &ConvLayer, depth: usize, stride: usize| {
            let scope = format!("{module}/Branch_{branch}/Conv2d_{name}_3x3");
            builder.conv2d(&scope, [from.out_channels(), depth], 3, stride, &own)
        };
        let depth = |depth: usize| settings.depth(depth);
        let branch = |layers: Vec<ConvLayer>| Branch { pool: None, layers };
        let branches = match *plan {
            Plan::Mixed { single, once, twice, pool: (kind, pool), .. } => {
                let [first, second] = [once[0], twice[0]].map(depth);
                let once_first = reduce(1, first, &narrow);
                let once_last = conv(1, "0b", &once_first, depth(once[1]), 1);
                let twice_first = reduce(2, second, &narrow);
                let twice_next = conv(2, "0b", &twice_first, depth(twice[1]), 1);
                let twice_last = conv(2, "0c", &twice_next, depth(twice[1]), 1);
                let scope = format!("{module}/Branch_3/Conv2d_0b_1x1");
                let behind_pool = builder.conv2d(&scope, [input, depth(pool)], 1, 1, &pooled);
                vec![
                    branch(vec![reduce(0, depth(single), &own)]),
                    branch(vec![once_first, once_last]),
                    branch(vec![twice_first, twice_next, twice_last]),
                    Branch { pool: Some((kind, 1)), layers: vec![behind_pool] },
                ]
            }
            Plan::Halving { once, twice, .. } => {
                let once_first = reduce(0, depth(once[0]), &narrow);
                let once_last = conv(0, "1a", &once_first, depth(once[1]), 2);
                let twice_first = reduce(1, depth(twice[0]), &narrow);
                let twice_next = conv(1, "0b", &twice_first, depth(twice[1]), 1);
                let twice_last = conv(1, "1a", &twice_next, depth(twice[1]), 2);
                vec![
                    branch(vec![once_first, once_last]),
                    branch(vec![twice_first, twice_next, twice_last]),
                    Branch { pool: Some((Pool::Max, 2)), layers: vec![] },
                ]
            }
        };
        let out_channels = branches.iter().map(|b| b.layers.last().map_or(input, ConvLayer::out_channels)).sum();
        let given = settings.endpoints.contains(&plan.name());
        Self { branches, out_channels, given }
    }

    fn forward(&self, x: Tensor<4>, pass: &mut Pass<'_>) -> Tensor<4> {
        let outputs = self.branches.iter().map(|branch| branch.forward(x.clone(), pass)).collect();
        Tensor::cat(outputs, 1)
    }

    fn output_size(&self, input: [usize; 2]) -> [usize; 2] {
        self.branches.first().map_or(input, |branch| branch.output_size(input))
    }
}

fn modules(plans: &[Plan], settings: &InceptionV2Settings, mut input: usize, builder: &LayerBuilder) -> Vec<Mixed> {
    let last = plans.iter().rposition(|plan| settings.endpoints.contains(&plan.name())).map_or(0, |last| last + 1);
    plans[..last]
        .iter()
        .map(|plan| {
            let module = Mixed::new(plan, settings, input, builder);
            input = module.out_channels;
            module
        })
        .collect()
}

/// The network, or its last modules by themselves.
#[derive(Module, Debug)]
pub struct InceptionV2 {
    /// Three convolutions, with max pools behind the first and the third.
    stem: Vec<ConvLayer>,
    modules: Vec<Mixed>,
}

impl InceptionV2 {
    /// The network with its first weights.
    pub fn new(settings: &InceptionV2Settings, builder: &LayerBuilder) -> Self {
        let builder = &LayerBuilder { padding: PaddingRule::Same, ..builder.clone() };
        let scope = |name: &str| format!("{}/InceptionV2/{name}", settings.scope);
        let (first, last) = (settings.depth(64), settings.depth(192));
        let multiplier = (first / 3).clamp(1, STEM_MULTIPLIER);
        let wide = settings.starting_at(1.0);
        let name = scope("Conv2d_1a_7x7");
        let stem = vec![
            builder.multiplied_separable_conv2d(&name, [3, first], 7, 2, multiplier, &wide),
            builder.conv2d(&scope("Conv2d_2b_1x1"), [first; 2], 1, 1, &settings.starting_at(0.1)),
            builder.conv2d(&scope("Conv2d_2c_3x3"), [first, last], 3, 1, &settings.hyperparams),
        ];
        Self { stem, modules: modules(&MODULES, settings, last, builder) }
    }

    /// `Mixed_5a` to `Mixed_5c` by themselves, as the second stage of Faster R-CNN applies them to the
    /// crops of `input` channels.
    pub fn second_stage(settings: &InceptionV2Settings, input: usize, builder: &LayerBuilder) -> Self {
        let builder = &LayerBuilder { padding: PaddingRule::Same, ..builder.clone() };
        Self { stem: vec![], modules: modules(&MODULES[7..], settings, input, builder) }
    }

    /// The modules that are given away.
    ///
    /// # Shapes
    /// `[batch, 3, height, width]`, preprocessed (or crops, for the second stage), to maps
    /// `[batch, depth, h, w]`.
    pub fn forward(&self, images: Tensor<4>, pass: &mut Pass<'_>) -> Vec<Tensor<4>> {
        let mut x = images;
        for (i, layer) in self.stem.iter().enumerate() {
            x = layer.forward(x, pass);
            if i != 1 {
                let [_, _, height, width] = x.dims();
                x = max_pool2d(x, [3, 3], [2, 2], Padding::same([height, width], [3, 3], [2, 2]));
            }
        }
        let mut given = Vec::new();
        for module in &self.modules {
            x = module.forward(x, pass);
            if module.given {
                given.push(x.clone());
            }
        }
        given
    }

    /// `[height, width]` of what is given away for a picture (or crop) of this size.
    pub fn endpoint_shapes(&self, image: [usize; 2]) -> Vec<[usize; 2]> {
        let mut size = image;
        for (i, layer) in self.stem.iter().enumerate() {
            size = layer.output_size(size);
            if i != 1 {
                size = size.map(|side| side.div_ceil(2));
            }
        }
        let mut shapes = Vec::new();
        for module in &self.modules {
            size = module.output_size(size);
            if module.given {
                shapes.push(size);
            }
        }
        shapes
    }

    /// Depth of what is given away.
    pub fn endpoint_depths(&self) -> Vec<usize> {
        self.modules.iter().filter(|module| module.given).map(|module| module.out_channels).collect()
    }

    /// All layers in order.
    pub fn layers(&self) -> impl Iterator<Item = &ConvLayer> {
        let of_modules = self.modules.iter().flat_map(|module| module.branches.iter().flat_map(|b| &b.layers));
        self.stem.iter().chain(of_modules)
    }
}
