//! The heads of Faster R-CNN's second stage (TFOD's `mask_rcnn_box_predictor` without masks): the mean of a
//! proposal's features, then one fully connected layer for its boxes and one for its classes.

use burn::module::Module;
use burn::tensor::Tensor;

use super::dropout;
use crate::layers::{FullyConnected, Hyperparams, LayerBuilder, Pass};
use crate::variables::Described;

/// Scope of the heads.
const SCOPE: &str = "SecondStageBoxPredictor";

/// Numbers in a box code.
const CODE_SIZE: usize = 4;

/// The `mask_rcnn_box_predictor` message of the config.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaskRcnnBoxPredictorSettings {
    /// Classes, without background.
    pub num_classes: usize,
    /// What dropout keeps before each layer, in training; `None` for no dropout.
    pub dropout_keep_probability: Option<f32>,
    /// One box for all classes, instead of one for each.
    pub share_box_across_classes: bool,
    /// Initializer and regularizer of the layers.
    pub hyperparams: Hyperparams,
}

/// The heads.
#[derive(Module, Debug)]
pub struct MaskRcnnBoxPredictor {
    boxes: FullyConnected,
    classes: FullyConnected,
    #[module(skip)]
    settings: MaskRcnnBoxPredictorSettings,
}

impl MaskRcnnBoxPredictor {
    /// The heads with their first weights, for features of this depth.
    pub fn new(settings: MaskRcnnBoxPredictorSettings, depth: usize, builder: &LayerBuilder) -> Self {
        let boxes = if settings.share_box_across_classes { 1 } else { settings.num_classes };
        let layer = |name: &str, outputs: usize| {
            let scope = format!("{SCOPE}/{name}");
            FullyConnected::new(&scope, [depth, outputs], &settings.hyperparams, builder.seed, &builder.device)
        };
        Self {
            boxes: layer("BoxEncodingPredictor", boxes * CODE_SIZE),
            classes: layer("ClassPredictor", settings.num_classes + 1),
            settings,
        }
    }

    /// Box codes and class logits of each proposal.
    ///
    /// # Shapes
    /// Features `[proposals, depth, h, w]` to `[proposals, boxes, 4]`, where `boxes` is the number of classes or 1,
    /// and `[proposals, 1 + classes]`.
    pub fn forward(&self, features: Tensor<4>, pass: &Pass<'_>) -> (Tensor<3>, Tensor<2>) {
        let mean = features.mean_dim(3).mean_dim(2);
        let [proposals, depth, _, _] = mean.dims();
        let keep = self.settings.dropout_keep_probability;
        // Each head drops entries of its own, as in TFOD.
        let seen_by = |place: usize| dropout(mean.clone(), keep, place, pass).reshape([proposals, depth]);
        let codes = self.boxes.forward(seen_by(0));
        let boxes = codes.dims()[1] / CODE_SIZE;
        (codes.reshape([proposals, boxes, CODE_SIZE]), self.classes.forward(seen_by(1)))
    }

    /// Lists the variables.
    pub(crate) fn describe(&self, out: &mut Vec<Described>) {
        self.boxes.describe(out);
        self.classes.describe(out);
    }
}
