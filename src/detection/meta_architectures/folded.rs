//! Models for use: the one way from pictures to detections, for predictions and for evaluations.
//!
//! A [`Folded`] model answers as the model did at the moment when it was folded, to rounding, and faster: batch
//! normalization is part of the weights and nothing is kept for a backward pass. It cannot be trained or loaded, so it
//! never answers with a mixture of old weights and new ones; a model that has changed is folded anew.

use boxwright_core::Detection;
use burn::tensor::{Device, Tensor};

use super::faster_rcnn::{BoxClassifierPredictions, FasterRcnnModel, FasterRcnnPredictions, RpnPredictions};
use super::ssd::{Predictions, SsdModel};
use crate::layers::FoldedLayers;

/// A model with its folded layers. Clones share the weights.
#[derive(Clone, Debug)]
pub struct Folded<M> {
    model: M,
    layers: FoldedLayers,
}

impl<M> Folded<M> {
    /// `model` has no autodiff, and these are its layers.
    pub(super) fn new(model: M, layers: FoldedLayers) -> Self {
        Self { model, layers }
    }

    /// The model as it was folded.
    pub fn model(&self) -> &M {
        &self.model
    }
}

impl Folded<SsdModel> {
    /// See [`SsdModel::predict`].
    pub fn predict(&self, preprocessed: Tensor<4>) -> Predictions {
        self.model.predict_through(Some(&self.layers), preprocessed)
    }

    /// The objects in each picture, best first, their boxes normalized to the picture without padding.
    ///
    /// # Shapes
    /// `images`: as for [`SsdModel::forward`]; `true_shapes`: rows and columns of each picture without padding, or none
    /// where all fill their frame.
    pub fn detect(&self, images: Tensor<4>, true_shapes: &[[usize; 2]]) -> Vec<Vec<Detection>> {
        let images = images.without_autodiff();
        let device = images.device();
        among_threads(&device, || {
            self.model.postprocess_padded(self.predict(self.model.preprocess(images)), true_shapes)
        })
    }
}

impl Folded<FasterRcnnModel> {
    /// See [`FasterRcnnModel::predict`].
    pub fn predict(&self, preprocessed: Tensor<4>) -> FasterRcnnPredictions {
        self.model.predict_through(Some(&self.layers), preprocessed)
    }

    /// See [`FasterRcnnModel::classify`].
    pub fn classify(&self, rpn: &RpnPredictions, proposals: &[Vec<[f32; 4]>]) -> Option<BoxClassifierPredictions> {
        self.model.classify_through(Some(&self.layers), rpn, proposals)
    }

    /// The objects in each picture, best first, their boxes normalized to the picture without padding.
    ///
    /// # Shapes
    /// `images`: as for [`FasterRcnnModel::losses`]; `true_shapes`: rows and columns of each picture without padding.
    pub fn detect(&self, images: Tensor<4>, true_shapes: &[[usize; 2]]) -> Vec<Vec<Detection>> {
        let images = images.without_autodiff();
        let device = images.device();
        among_threads(&device, || self.model.post_process(&self.predict(self.model.preprocess(images)), true_shapes))
    }
}

/// A detector of whichever meta-architecture, for use.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one in a process")]
pub enum Detector {
    /// A single shot detector.
    Ssd(Folded<SsdModel>),
    /// A detector of two stages, or the first of them.
    FasterRcnn(Folded<FasterRcnnModel>),
}

impl Detector {
    /// Classes, without background.
    pub fn num_classes(&self) -> usize {
        match self {
            Self::Ssd(folded) => folded.model().num_classes(),
            Self::FasterRcnn(folded) => folded.model().num_classes(),
        }
    }

    /// The objects in each picture, best first, their boxes normalized to the picture without padding.
    ///
    /// # Shapes
    /// `images`: `[batch, 3, height, width]`, RGB from 0 to 255; `true_shapes`: rows and columns of each picture without
    /// padding.
    pub fn detect(&self, images: Tensor<4>, true_shapes: &[[usize; 2]]) -> Vec<Vec<Detection>> {
        match self {
            Self::Ssd(folded) => folded.detect(images, true_shapes),
            Self::FasterRcnn(folded) => folded.detect(images, true_shapes),
        }
    }
}

/// Runs `work` on a thread of the pool where the device computes there: an operator that finds itself among the pool's
/// threads wakes nobody and waits for nobody before it begins.
fn among_threads<R: Send>(device: &Device, work: impl FnOnce() -> R + Send) -> R {
    if *device == Device::flex() { rayon::scope(|_| work()) } else { work() }
}
