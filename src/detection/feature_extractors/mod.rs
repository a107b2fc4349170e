//! Feature extractors: from a picture to the feature maps that boxes are predicted from.
//!
//! An [`SsdFeatureExtractor`] is a [`Network`], which was made to classify pictures and gives some of
//! its layers away, and [`FeatureMaps`], which make the detector's maps of those: smaller and smaller
//! ones ([`MultiResolutionFeatureMaps`]), or a pyramid ([`FpnFeatureMaps`]). Every pair of the two is
//! one of TFOD's `feature_extractor.type`s; which, only the builders know.

mod bottleneck;
mod faster_rcnn;
mod fpn;
mod inception_v2;
mod mobiledet;
mod mobilenet_v1;
mod mobilenet_v2;
mod mobilenet_v3;
mod multi_resolution;
mod resnet_v1;
mod vgg;

pub use faster_rcnn::{FIRST_STAGE_SCOPE, FasterRcnnFeatureExtractor, SECOND_STAGE_SCOPE};
pub use fpn::{FpnFeatureMaps, FpnSettings};
pub use inception_v2::{InceptionV2, InceptionV2Settings};
pub use mobiledet::{MobileDet, MobileDetSettings, MobileDetTarget};
pub use mobilenet_v1::{MobileNetV1, MobileNetV1Settings};
pub use mobilenet_v2::{MobileNetV2, MobileNetV2Endpoint, MobileNetV2Settings, make_divisible};
pub use mobilenet_v3::{MobileNetV3, MobileNetV3Settings, MobileNetV3Size};
pub use multi_resolution::{MultiResolutionFeatureMaps, MultiResolutionSettings};
pub use resnet_v1::{ResNetV1, ResNetV1Block, ResNetV1Depth, ResNetV1Settings};
pub use vgg::{Vgg16Reduced, Vgg16ReducedSettings};

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::ops::PadMode;

use crate::layers::{ConvLayer, Pass};
use crate::variables::Described;

/// A depth of so many channels, multiplied as TFOD's feature maps are: cut off, and not below the least.
pub fn multiplied_depth(depth: usize, multiplier: f32, min_depth: usize) -> usize {
    // TFOD multiplies in Python's f64.
    ((depth as f64 * f64::from(multiplier)) as usize).max(min_depth).max(1)
}

/// Which dialect of TFOD a model is of. The networks are the same; starts, regularizers and a few
/// depths differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// TensorFlow 1: slim's layers.
    #[default]
    Slim,
    /// TensorFlow 2: Keras' layers, the `_keras` feature extractors.
    Keras,
}

/// A classifier's network without its last layers.
#[derive(Module, Debug)]
pub enum Network {
    /// MobileNet v1.
    MobileNetV1(MobileNetV1),
    /// MobileNet v2.
    MobileNetV2(MobileNetV2),
    /// MobileNet v3.
    MobileNetV3(MobileNetV3),
    /// MobileDet.
    MobileDet(MobileDet),
    /// ResNet v1.
    ResNetV1(ResNetV1),
    /// Inception v2.
    InceptionV2(InceptionV2),
    /// VGG-16 reduced, with its feature maps.
    Vgg16Reduced(Vgg16Reduced),
}

/// The pixel, RGB from 0 to 255, that the network of an extractor of this type turns into `values`.
pub(crate) fn pixel_of(extractor_type: &str, values: [f32; 3]) -> [f32; 3] {
    let means = match extractor_type {
        _ if extractor_type.contains("resnet") => resnet_v1::CHANNEL_MEANS,
        _ if extractor_type.contains("vgg") => vgg::CHANNEL_MEANS,
        // From -1 to 1.
        _ => return values.map(|value| (value + 1.0) * 127.5),
    };
    [0, 1, 2].map(|channel| values[channel] + means[channel])
}

impl Network {
    /// What the network wants to see of RGB in 0 to 255.
    pub fn preprocess(&self, images: Tensor<4>) -> Tensor<4> {
        match self {
            Self::ResNetV1(network) => network.preprocess(images),
            Self::Vgg16Reduced(network) => network.preprocess(images),
            Self::MobileNetV1(_)
            | Self::MobileNetV2(_)
            | Self::MobileNetV3(_)
            | Self::MobileDet(_)
            | Self::InceptionV2(_) => minus_one_to_one(images),
        }
    }

    /// The layers that it gives away, finest first.
    ///
    /// # Shapes
    /// `[batch, 3, height, width]`, preprocessed, to maps `[batch, depth, h, w]`.
    pub fn forward(&self, images: Tensor<4>, pass: &mut Pass<'_>) -> Vec<Tensor<4>> {
        match self {
            Self::MobileNetV1(network) => network.forward(images, pass),
            Self::MobileNetV2(network) => network.forward(images, pass),
            Self::MobileNetV3(network) => network.forward(images, pass),
            Self::MobileDet(network) => network.forward(images, pass),
            Self::ResNetV1(network) => network.forward(images, pass),
            Self::InceptionV2(network) => network.forward(images, pass),
            Self::Vgg16Reduced(network) => network.forward(images, pass),
        }
    }

    /// `[height, width]` of those layers for a picture of this size.
    pub fn endpoint_shapes(&self, image: [usize; 2]) -> Vec<[usize; 2]> {
        match self {
            Self::MobileNetV1(network) => network.endpoint_shapes(image),
            Self::MobileNetV2(network) => network.endpoint_shapes(image),
            Self::MobileNetV3(network) => network.endpoint_shapes(image),
            Self::MobileDet(network) => network.endpoint_shapes(image),
            Self::ResNetV1(network) => network.endpoint_shapes(image),
            Self::InceptionV2(network) => network.endpoint_shapes(image),
            Self::Vgg16Reduced(network) => network.endpoint_shapes(image),
        }
    }

    /// Depth of those layers.
    pub fn endpoint_depths(&self) -> Vec<usize> {
        match self {
            Self::MobileNetV1(network) => network.endpoint_depths(),
            Self::MobileNetV2(network) => network.endpoint_depths(),
            Self::MobileNetV3(network) => network.endpoint_depths(),
            Self::MobileDet(network) => network.endpoint_depths(),
            Self::ResNetV1(network) => network.endpoint_depths(),
            Self::InceptionV2(network) => network.endpoint_depths(),
            Self::Vgg16Reduced(network) => network.endpoint_depths(),
        }
    }

    /// All convolutions in order.
    pub fn layers(&self) -> Vec<&ConvLayer> {
        match self {
            Self::MobileNetV1(network) => network.layers().collect(),
            Self::MobileNetV2(network) => network.layers().collect(),
            Self::MobileNetV3(network) => network.layers().collect(),
            Self::MobileDet(network) => network.layers().collect(),
            Self::ResNetV1(network) => network.layers().collect(),
            Self::InceptionV2(network) => network.layers().collect(),
            Self::Vgg16Reduced(network) => network.layers().collect(),
        }
    }

    /// Lists the variables.
    pub(crate) fn describe(&self, out: &mut Vec<Described>) {
        self.layers().into_iter().for_each(|layer| layer.describe(out));
        if let Self::Vgg16Reduced(network) = self {
            network.describe_lengths(out);
        }
    }
}

/// From RGB in 0 to 255 to −1 to 1.
pub(crate) fn minus_one_to_one(images: Tensor<4>) -> Tensor<4> {
    images * (2.0f32 / 255.0) - 1.0f32
}

/// What makes a detector's feature maps of a network's layers.
#[derive(Module, Debug)]
pub enum FeatureMaps {
    /// Further layers, each half the size of the one before.
    MultiResolution(MultiResolutionFeatureMaps),
    /// A feature pyramid.
    Fpn(FpnFeatureMaps),
}

impl FeatureMaps {
    fn forward(&self, endpoints: Vec<Tensor<4>>, pass: &mut Pass<'_>) -> Vec<Tensor<4>> {
        match self {
            Self::MultiResolution(maps) => maps.forward(endpoints, pass),
            Self::Fpn(maps) => maps.forward(&endpoints, pass),
        }
    }

    fn shapes(&self, endpoints: Vec<[usize; 2]>) -> Vec<[usize; 2]> {
        match self {
            Self::MultiResolution(maps) => maps.shapes(endpoints),
            Self::Fpn(maps) => maps.shapes(endpoints),
        }
    }

    fn depths(&self, endpoints: Vec<usize>) -> Vec<usize> {
        match self {
            Self::MultiResolution(maps) => maps.depths(endpoints),
            Self::Fpn(maps) => maps.depths(),
        }
    }

    fn layers(&self) -> Vec<&ConvLayer> {
        match self {
            Self::MultiResolution(maps) => maps.layers().collect(),
            Self::Fpn(maps) => maps.layers().collect(),
        }
    }
}

/// The feature extractor of an SSD.
#[derive(Module, Debug)]
pub struct SsdFeatureExtractor {
    network: Network,
    maps: FeatureMaps,
    pad_to_multiple: usize,
}

impl SsdFeatureExtractor {
    /// `pad_to_multiple`: sides are padded with zeros to a multiple of this, below and to the right.
    pub fn new(network: Network, maps: FeatureMaps, pad_to_multiple: usize) -> Self {
        Self { network, maps, pad_to_multiple: pad_to_multiple.max(1) }
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What the network wants to see of RGB in 0 to 255.
    pub fn preprocess(&self, images: Tensor<4>) -> Tensor<4> {
        self.network.preprocess(images)
    }

    /// The feature maps, finest first.
    ///
    /// # Shapes
    /// `[batch, 3, height, width]`, preprocessed, to maps `[batch, depth, h, w]`.
    pub fn forward(&self, images: Tensor<4>, pass: &mut Pass<'_>) -> Vec<Tensor<4>> {
        let [_, _, height, width] = images.dims();
        let [to_height, to_width] = self.padded([height, width]);
        let images = if [height, width] == [to_height, to_width] {
            images
        } else {
            images.pad([(0, to_height - height), (0, to_width - width)], PadMode::Constant(0.0))
        };
        let endpoints = self.network.forward(images, pass);
        self.maps.forward(endpoints, pass)
    }

    fn padded(&self, image: [usize; 2]) -> [usize; 2] {
        image.map(|side| side.next_multiple_of(self.pad_to_multiple))
    }

    /// `[height, width]` of each feature map for a picture of this size.
    pub fn feature_map_shapes(&self, image: [usize; 2]) -> Vec<[usize; 2]> {
        self.maps.shapes(self.network.endpoint_shapes(self.padded(image)))
    }

    /// Whether a pyramid's levels fit on each other for a picture of this size: each must have twice the
    /// rows and columns of the next. Nothing else asks for a size.
    pub fn fits(&self, image: [usize; 2]) -> bool {
        match &self.maps {
            FeatureMaps::MultiResolution(_) => true,
            FeatureMaps::Fpn(maps) => maps.fits(&self.network.endpoint_shapes(self.padded(image))),
        }
    }

    /// Depth of each feature map.
    pub fn feature_map_depths(&self) -> Vec<usize> {
        self.maps.depths(self.network.endpoint_depths())
    }

    /// All convolutions in order.
    pub fn layers(&self) -> impl Iterator<Item = &ConvLayer> {
        self.network.layers().into_iter().chain(self.maps.layers())
    }

    /// Lists the variables.
    pub(crate) fn describe(&self, out: &mut Vec<Described>) {
        self.network.describe(out);
        self.maps.layers().into_iter().for_each(|layer| layer.describe(out));
    }
}
