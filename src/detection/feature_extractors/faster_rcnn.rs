//! The feature extractors of Faster R-CNN: a network for the picture, and one for each proposal.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{InceptionV2, InceptionV2Settings, Network, ResNetV1, ResNetV1Block, ResNetV1Settings};
use crate::layers::{ConvLayer, LayerBuilder, Pass};
use crate::variables::Described;

/// Scope of the picture's network.
pub const FIRST_STAGE_SCOPE: &str = "FirstStageFeatureExtractor";

/// Scope of the proposals' network.
pub const SECOND_STAGE_SCOPE: &str = "SecondStageFeatureExtractor";

/// What a proposal's features go through.
#[derive(Module, Debug)]
enum BoxClassifierFeatures {
    ResNetV1(ResNetV1Block),
    InceptionV2(InceptionV2),
}

/// The networks of both stages.
#[derive(Module, Debug)]
pub struct FasterRcnnFeatureExtractor {
    proposal: Network,
    box_classifier: BoxClassifierFeatures,
}

impl FasterRcnnFeatureExtractor {
    /// ResNet v1: the first three blocks for the picture, a fourth for each proposal. The settings are the picture's
    /// network's; slim's has a fourth block too, as in TFOD, which is never run.
    pub fn resnet_v1(settings: &ResNetV1Settings, builder: &LayerBuilder) -> Self {
        let network = ResNetV1::new(settings, builder);
        let input = network.endpoint_depths().last().copied().unwrap_or(1);
        let block = ResNetV1Block::second_stage(SECOND_STAGE_SCOPE, input, settings, builder);
        Self { proposal: Network::ResNetV1(network), box_classifier: BoxClassifierFeatures::ResNetV1(block) }
    }

    /// Inception v2: up to `Mixed_4e` for the picture, `Mixed_5a` to `Mixed_5c` for each proposal.
    pub fn inception_v2(settings: &InceptionV2Settings, builder: &LayerBuilder) -> Self {
        let network = InceptionV2::new(settings, builder);
        let input = network.endpoint_depths().last().copied().unwrap_or(1);
        let settings = InceptionV2Settings {
            scope: SECOND_STAGE_SCOPE.to_owned(),
            endpoints: vec!["Mixed_5c"],
            ..settings.clone()
        };
        let modules = InceptionV2::second_stage(&settings, input, builder);
        Self { proposal: Network::InceptionV2(network), box_classifier: BoxClassifierFeatures::InceptionV2(modules) }
    }

    /// What the network wants to see of RGB in 0 to 255.
    pub fn preprocess(&self, images: Tensor<4>) -> Tensor<4> {
        self.proposal.preprocess(images)
    }

    /// The picture's features: proposals are predicted from them, and cut out of them.
    ///
    /// # Shapes
    /// `[batch, 3, height, width]`, preprocessed, to `[batch, depth, h, w]`.
    pub fn extract_proposal_features(&self, images: Tensor<4>, pass: &mut Pass<'_>) -> Tensor<4> {
        let mut given = self.proposal.forward(images.clone(), pass);
        given.pop().unwrap_or(images)
    }

    /// The features of the proposals' crops.
    ///
    /// # Shapes
    /// `[proposals, depth, height, width]` to `[proposals, depth, h, w]`.
    pub fn extract_box_classifier_features(&self, crops: Tensor<4>, pass: &mut Pass<'_>) -> Tensor<4> {
        match &self.box_classifier {
            BoxClassifierFeatures::ResNetV1(block) => block.forward(crops, pass),
            BoxClassifierFeatures::InceptionV2(modules) => {
                let mut given = modules.forward(crops.clone(), pass);
                given.pop().unwrap_or(crops)
            }
        }
    }

    /// `[height, width]` of the picture's features.
    pub fn proposal_map_shape(&self, image: [usize; 2]) -> [usize; 2] {
        self.proposal.endpoint_shapes(image).last().copied().unwrap_or(image)
    }

    /// Depth of the picture's features.
    pub fn proposal_depth(&self) -> usize {
        self.proposal.endpoint_depths().last().copied().unwrap_or(1)
    }

    /// Depth of the proposals' features.
    pub fn box_classifier_depth(&self) -> usize {
        match &self.box_classifier {
            BoxClassifierFeatures::ResNetV1(block) => block.out_channels(),
            BoxClassifierFeatures::InceptionV2(modules) => modules.endpoint_depths().last().copied().unwrap_or(1),
        }
    }

    /// All convolutions in order.
    pub fn layers(&self) -> Vec<&ConvLayer> {
        let mut layers = self.proposal.layers();
        match &self.box_classifier {
            BoxClassifierFeatures::ResNetV1(block) => layers.extend(block.layers()),
            BoxClassifierFeatures::InceptionV2(modules) => layers.extend(modules.layers()),
        }
        layers
    }

    /// Lists the variables.
    pub(crate) fn describe(&self, out: &mut Vec<Described>) {
        self.layers().into_iter().for_each(|layer| layer.describe(out));
    }
}
