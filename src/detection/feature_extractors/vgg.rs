//! VGG-16 reduced (`ssd_vgg16_reduced`): the network of the original SSD and of the SageMaker built-in
//! Object Detection algorithm. TFOD has none; the type's name is ours.
//!
//! Sixteen layers as in VGG, but the two fully connected ones are convolutions with fewer channels: `fc6`
//! with weights that lie six apart, behind a fifth pool that does not halve, and `fc7`. Feature maps are
//! `conv4_3`, normalized along its channels to a learnt length, `fc7`, and four (for a picture of 300) or
//! five (for 512, `num_layers: 7`) further pairs of a 1×1 and a 3×3 convolution. No batch normalization
//! but what `conv_hyperparams` asks for in the pairs.

use boxwright_kernels::{Padding, max_pool2d};
use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::resnet_v1::without_channel_means;
use crate::layers::{ConvLayer, Hyperparams, LayerBuilder, PaddingRule, Pass};
use crate::regularizers::Regularizer;
use crate::variables::{Described, Layout, VariableInfo};

/// Scope of the whole network.
const SCOPE: &str = "FeatureExtractor/vgg_16";

/// Layers and depth of the five blocks.
const BLOCKS: [(usize, usize); 5] = [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)];

/// The block whose output is a feature map, before its pool.
const GIVEN_BLOCK: usize = 3;

/// Depth of `fc6` and `fc7`.
const FC_DEPTH: usize = 1024;

/// How far apart the weights of `fc6` lie.
const FC6_RATE: usize = 6;

/// What the channels' length of `conv4_3` starts at.
const FIRST_LENGTH: f32 = 20.0;

/// RGB means of the pictures, as the algorithm has them.
pub(super) const CHANNEL_MEANS: [f32; 3] = [123.0, 117.0, 104.0];

/// Keeps the length of an empty place off zero.
const EPSILON: f32 = 1e-10;

/// The layers behind `fc7`, for pictures of 300 (the first) and of 512: depths of the 1×1 and the 3×3
/// convolution, its stride, and whether it is padded.
const EXTRAS: [&[(usize, usize, usize, bool)]; 2] = [
    &[(256, 512, 2, true), (128, 256, 2, true), (128, 256, 1, false), (128, 256, 1, false)],
    &[(256, 512, 2, true), (128, 256, 2, true), (128, 256, 2, true), (128, 256, 2, true), (128, 256, 1, true)],
];

/// How the network is built.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Vgg16ReducedSettings {
    /// Feature maps, 1 to 7; 7 for pictures of 512.
    pub num_layers: usize,
    /// Hyperparameters of the sixteen layers.
    pub base: Hyperparams,
    /// Hyperparameters of the further layers.
    pub extra: Hyperparams,
}

impl Vgg16ReducedSettings {
    /// Most feature maps that the network has.
    pub const MAX_LAYERS: usize = 2 + EXTRAS[1].len();
}

/// The network with its feature maps.
#[derive(Module, Debug)]
pub struct Vgg16Reduced {
    blocks: Vec<Vec<ConvLayer>>,
    /// `fc6` and `fc7`.
    connected: Vec<ConvLayer>,
    /// What the channels of `conv4_3` are multiplied by once their length is 1.
    lengths: Param<Tensor<1>>,
    extra: Vec<Vec<ConvLayer>>,
    num_layers: usize,
}

impl Vgg16Reduced {
    /// The network with its first weights.
    pub fn new(settings: &Vgg16ReducedSettings, builder: &LayerBuilder) -> Self {
        let builder = &LayerBuilder { padding: PaddingRule::Explicit, ..builder.clone() };
        let mut input = 3;
        let mut conv = |scope: String, depth: usize, kernel: usize, rate: usize| {
            let channels = [std::mem::replace(&mut input, depth), depth];
            builder.atrous_conv2d(&format!("{SCOPE}/{scope}"), channels, kernel, 1, rate, &settings.base)
        };
        let blocks = (1..)
            .zip(BLOCKS)
            .map(|(block, (layers, depth))| {
                (1..=layers).map(|layer| conv(format!("conv{block}/conv{block}_{layer}"), depth, 3, 1)).collect()
            })
            .collect();
        let connected = vec![conv("fc6".into(), FC_DEPTH, 3, FC6_RATE), conv("fc7".into(), FC_DEPTH, 1, 1)];
        let plan = EXTRAS[usize::from(settings.num_layers > 2 + EXTRAS[0].len())];
        let mut input = FC_DEPTH;
        let extra = plan
            .iter()
            .zip(6..)
            .take(settings.num_layers.saturating_sub(2))
            .map(|(&(narrow, depth, stride, padded), number)| {
                let scope = |part: usize| format!("{SCOPE}/conv{number}_{part}");
                let padding = if padded { PaddingRule::Explicit } else { PaddingRule::Valid };
                let last = LayerBuilder { padding, ..builder.clone() };
                let from = std::mem::replace(&mut input, depth);
                vec![
                    builder.conv2d(&scope(1), [from, narrow], 1, 1, &settings.extra),
                    last.conv2d(&scope(2), [narrow, depth], 3, stride, &settings.extra),
                ]
            })
            .collect();
        let lengths = Tensor::full([BLOCKS[GIVEN_BLOCK].1], FIRST_LENGTH, &builder.device);
        Self { blocks, connected, lengths: Param::from_tensor(lengths), extra, num_layers: settings.num_layers }
    }

    /// What the network wants to see of RGB in 0 to 255.
    pub fn preprocess(&self, images: Tensor<4>) -> Tensor<4> {
        without_channel_means(images, CHANNEL_MEANS)
    }

    /// The feature maps, finest first.
    ///
    /// # Shapes
    /// `[batch, 3, height, width]`, preprocessed, to maps `[batch, depth, h, w]`.
    pub fn forward(&self, images: Tensor<4>, pass: &mut Pass<'_>) -> Vec<Tensor<4>> {
        let mut maps = Vec::with_capacity(self.num_layers);
        let mut x = images;
        for (block, layers) in self.blocks.iter().enumerate() {
            x = layers.iter().fold(x, |x, layer| layer.forward(x, pass));
            if block == GIVEN_BLOCK {
                maps.push(self.normalized(x.clone()));
            }
            let [_, _, height, width] = x.dims();
            let (kernel, stride, padding) = pool(block, [height, width]);
            x = max_pool2d(x, [kernel; 2], [stride; 2], padding);
        }
        x = self.connected.iter().fold(x, |x, layer| layer.forward(x, pass));
        maps.push(x.clone());
        for layers in &self.extra {
            x = layers.iter().fold(x, |x, layer| layer.forward(x, pass));
            maps.push(x.clone());
        }
        maps.truncate(self.num_layers);
        maps
    }

    /// Each place's channels at the learnt length.
    fn normalized(&self, x: Tensor<4>) -> Tensor<4> {
        let length = (x.clone().square().sum_dim(1) + EPSILON).sqrt();
        let channels = x.dims()[1];
        x / length * self.lengths.val().reshape([1, channels, 1, 1])
    }

    /// `[height, width]` of each feature map for a picture of this size.
    pub fn endpoint_shapes(&self, image: [usize; 2]) -> Vec<[usize; 2]> {
        let mut shapes = Vec::with_capacity(self.num_layers);
        let mut size = image;
        for block in 0..self.blocks.len() {
            if block == GIVEN_BLOCK {
                shapes.push(size);
            }
            let (kernel, stride, padding) = pool(block, size);
            let padded = [size[0] + padding.top + padding.bottom, size[1] + padding.left + padding.right];
            size = padded.map(|side| (side + stride).saturating_sub(kernel) / stride);
        }
        shapes.push(size);
        for layers in &self.extra {
            size = layers.iter().fold(size, |size, layer| layer.output_size(size));
            shapes.push(size);
        }
        shapes.truncate(self.num_layers);
        shapes
    }

    /// Depth of each feature map.
    pub fn endpoint_depths(&self) -> Vec<usize> {
        let extra = self.extra.iter().filter_map(|layers| layers.last()).map(ConvLayer::out_channels);
        [BLOCKS[GIVEN_BLOCK].1, FC_DEPTH].into_iter().chain(extra).take(self.num_layers).collect()
    }

    /// All convolutions in order.
    pub fn layers(&self) -> impl Iterator<Item = &ConvLayer> {
        self.blocks.iter().flatten().chain(&self.connected).chain(self.extra.iter().flatten())
    }

    /// Lists the variable that no convolution holds.
    pub(super) fn describe_lengths(&self, out: &mut Vec<Described>) {
        let info = VariableInfo {
            id: self.lengths.id,
            name: format!("{SCOPE}/conv4_3_norm/scale"),
            shape: vec![BLOCKS[GIVEN_BLOCK].1],
            trainable: true,
            regularizer: Regularizer::None,
        };
        out.push(Described { info, layout: Layout::Plain });
    }
}

/// Kernel, stride and padding of the pool behind a block: the third keeps an odd row, the fifth all rows.
fn pool(block: usize, input: [usize; 2]) -> (usize, usize, Padding) {
    match block {
        2 => (2, 2, Padding::same(input, [2, 2], [2, 2])),
        4 => (3, 1, Padding::all(1)),
        _ => (2, 2, Padding::valid()),
    }
}
