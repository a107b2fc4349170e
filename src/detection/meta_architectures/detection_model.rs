//! A detector of whichever meta-architecture (TFOD's `core/model.py`).

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::faster_rcnn::FasterRcnnModel;
use super::folded::Detector;
use super::ssd::SsdModel;
use crate::layers::Mode;
use crate::target_assigner::Groundtruth;
use crate::variables::{HostTensor, LoadReport, VariableInfo};

/// A part of the loss of a batch.
#[derive(Clone, Debug)]
pub struct LossPart {
    /// TFOD's name.
    pub name: &'static str,
    /// Its value, weighted and normalized.
    pub value: Tensor<1>,
    /// What the sum over the batch was divided by (1 where this is less), in matches or pictures; `None` where it is
    /// a plain sum. The loss of a large batch is that of its parts, each times its share, over all shares together.
    pub share: Option<f32>,
}

/// A detector. Pictures come resized, RGB from 0 to 255, and padded below and to the right where their sizes
/// differ.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one in a process")]
pub enum DetectionModel {
    /// A single shot detector.
    Ssd(SsdModel),
    /// A detector of two stages, or the first of them.
    FasterRcnn(FasterRcnnModel),
}

impl From<SsdModel> for DetectionModel {
    fn from(model: SsdModel) -> Self {
        Self::Ssd(model)
    }
}

impl From<FasterRcnnModel> for DetectionModel {
    fn from(model: FasterRcnnModel) -> Self {
        Self::FasterRcnn(model)
    }
}

impl DetectionModel {
    /// Classes, without background.
    pub fn num_classes(&self) -> usize {
        match self {
            Self::Ssd(model) => model.num_classes(),
            Self::FasterRcnn(model) => model.num_classes(),
        }
    }

    /// The single shot detector, where it is one.
    pub fn as_ssd(&self) -> Option<&SsdModel> {
        match self {
            Self::Ssd(model) => Some(model),
            Self::FasterRcnn(_) => None,
        }
    }

    /// Where its weights live.
    pub fn device(&self) -> Device {
        match self {
            Self::Ssd(model) => model.device(),
            Self::FasterRcnn(model) => model.device(),
        }
    }

    /// Sets how many training steps lie behind, so that a resumed run draws the same.
    pub fn set_dropout_position(&self, step: u64) {
        match self {
            Self::Ssd(model) => model.set_dropout_position(step),
            Self::FasterRcnn(model) => model.set_dropout_position(step),
        }
    }

    /// The same model, whose training passes convolve in f16 or do not: casts stand around each convolution, forward
    /// and backward. Variables, normalization, losses and their gradients are in f32 either way, and so is
    /// evaluation.
    pub fn with_half_convolutions(self, half: bool) -> Self {
        match self {
            Self::Ssd(model) => Self::Ssd(model.with_half_convolutions(half)),
            Self::FasterRcnn(model) => Self::FasterRcnn(model.with_half_convolutions(half)),
        }
    }

    /// The parts of the loss of a training batch, without regularization. Moving statistics are brought up to date.
    ///
    /// # Shapes
    /// `images`: `[batch, 3, height, width]`; the groundtruth is normalized to the pictures with their padding.
    ///
    /// # Panics
    /// If the number of pictures differs.
    pub fn losses(&self, images: Tensor<4>, groundtruth: &[Groundtruth]) -> Vec<LossPart> {
        match self {
            Self::Ssd(model) => {
                let losses = model.losses(&model.forward(images, Mode::Train), groundtruth);
                let part = |name, value| LossPart { name, value, share: losses.matched_weight };
                vec![
                    part("Loss/localization_loss", losses.localization),
                    part("Loss/classification_loss", losses.classification),
                ]
            }
            Self::FasterRcnn(model) => {
                let losses = model.losses(images, groundtruth);
                // Both stages average over the pictures.
                let part = |name, value| LossPart { name, value, share: Some(groundtruth.len() as f32) };
                let mut parts = vec![
                    part("Loss/RPNLoss/localization_loss", losses.rpn_localization),
                    part("Loss/RPNLoss/objectness_loss", losses.rpn_objectness),
                ];
                if let Some((localization, classification)) = losses.box_classifier {
                    parts.push(part("Loss/BoxClassifierLoss/localization_loss", localization));
                    parts.push(part("Loss/BoxClassifierLoss/classification_loss", classification));
                }
                parts
            }
        }
    }

    /// The model as it is now, for use.
    pub fn detector(&self) -> Detector {
        match self {
            Self::Ssd(model) => Detector::Ssd(model.folded()),
            Self::FasterRcnn(model) => Detector::FasterRcnn(model.folded()),
        }
    }

    /// Runs the network in [`Mode::Eval`] and shows `observer` the output of each convolution of the feature
    /// extractor and the predictors, by scope, before its batch normalization.
    pub fn observe_convolutions(&self, images: Tensor<4>, observer: &mut dyn FnMut(&str, &Tensor<4>)) {
        match self {
            Self::Ssd(model) => model.observe_convolutions(images, observer),
            Self::FasterRcnn(model) => model.observe_convolutions(images, observer),
        }
    }

    /// The scope and epsilon of each layer that has batch normalization.
    pub fn batch_norm_scopes(&self) -> Vec<(String, f32)> {
        match self {
            Self::Ssd(model) => model.batch_norm_scopes(),
            Self::FasterRcnn(model) => model.batch_norm_scopes(),
        }
    }

    /// All variables, feature extractor first, in the order of the network.
    pub fn variable_infos(&self) -> Vec<VariableInfo> {
        match self {
            Self::Ssd(model) => model.variable_infos(),
            Self::FasterRcnn(model) => model.variable_infos(),
        }
    }

    /// The values of all variables, by TensorFlow's names and in its layouts.
    pub fn variables(&self) -> BTreeMap<String, HostTensor> {
        match self {
            Self::Ssd(model) => model.variables(),
            Self::FasterRcnn(model) => model.variables(),
        }
    }

    /// The model with the variables that `values` has, in TensorFlow's names and layouts; the others
    /// stay as they are.
    pub fn load_variables(self, values: &BTreeMap<String, HostTensor>) -> (Self, LoadReport) {
        match self {
            Self::Ssd(model) => {
                let (model, report) = model.load_variables(values);
                (Self::Ssd(model), report)
            }
            Self::FasterRcnn(model) => {
                let (model, report) = model.load_variables(values);
                (Self::FasterRcnn(model), report)
            }
        }
    }
}
