//! One predictor for all levels of a pyramid (TFOD's `weight_shared_convolutional_box_predictor`): a
//! tower of convolutions and a head for the boxes, and the same for the classes, or one tower for both.
//! Kernels are shared over the levels, batch normalization is not.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;

use super::{anchor_rows, dropout};
use crate::feature_extractors::Dialect;
use crate::layers::{ConvLayer, Hyperparams, LayerBuilder, Mode, Pass, SharedConvLayer};
use crate::variables::Described;

/// The scope of all variables, as TF1 has it.
const SCOPE: &str = "WeightSharedConvolutionalBoxPredictor";

/// The `weight_shared_convolutional_box_predictor` message of the config.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightSharedBoxPredictorSettings {
    /// Columns of the class logits, background included.
    pub num_class_slots: usize,
    /// Numbers in a box code.
    pub box_code_size: usize,
    /// Channels of the towers.
    pub depth: usize,
    /// Convolutions of a tower.
    pub num_layers_before_predictor: usize,
    /// Side of the kernels.
    pub kernel_size: usize,
    /// Whether boxes and classes share a tower.
    pub share_prediction_tower: bool,
    /// Whether all convolutions are separable.
    pub use_depthwise: bool,
    /// Keras only: whether the pointwise halves of the tower follow the hyperparameters.
    pub apply_conv_hyperparams_pointwise: bool,
    /// Keras only: whether separable heads follow the hyperparameters.
    pub apply_conv_hyperparams_to_heads: bool,
    /// What dropout before the class head keeps, in training; `None` for no dropout.
    pub dropout_keep_probability: Option<f32>,
    /// Whether class logits leave as probabilities when nobody trains.
    pub sigmoid_scores: bool,
    /// What the class biases start at.
    pub class_prediction_bias_init: f32,
    /// Box codes are clamped to this range.
    pub box_encodings_clip_range: Option<(f32, f32)>,
    /// Hyperparameters of all layers.
    pub hyperparams: Hyperparams,
    /// TF1 or TF2.
    pub dialect: Dialect,
}

/// The predictor.
#[derive(Module, Debug)]
pub struct WeightSharedConvolutionalBoxPredictor {
    /// One for each feature map where their depths differ, else none.
    projections: Vec<ConvLayer>,
    box_tower: Vec<SharedConvLayer>,
    box_head: ConvLayer,
    /// `None` where the boxes' tower serves both.
    class_tower: Option<Vec<SharedConvLayer>>,
    class_head: ConvLayer,
    #[module(skip)]
    settings: WeightSharedBoxPredictorSettings,
}

impl WeightSharedConvolutionalBoxPredictor {
    /// The predictor with its first weights, for feature maps of these depths with so many anchors at
    /// each place.
    pub fn new(
        settings: WeightSharedBoxPredictorSettings,
        depths: &[usize],
        anchors: usize,
        builder: &LayerBuilder,
    ) -> Self {
        let target = most_common(depths);
        let projections = if depths.iter().any(|depth| *depth != target) {
            let project = |(i, &depth): (usize, &usize)| {
                let scope = format!("{SCOPE}/ProjectionLayer/conv2d_{i}");
                builder.unactivated_conv2d(&scope, [depth, target], 1, &settings.hyperparams)
            };
            depths.iter().enumerate().map(project).collect()
        } else {
            Vec::new()
        };
        let tower = |name: &str| build_tower(&settings, name, target, depths.len(), builder);
        let shared = settings.share_prediction_tower;
        let box_tower = tower(if shared { "PredictionTower" } else { "BoxPredictionTower" });
        let class_tower = (!shared).then(|| tower("ClassPredictionTower"));
        let input = box_tower.last().map_or(target, SharedConvLayer::out_channels);
        let head = |name: &str, outputs: usize, bias: f32| build_head(&settings, name, [input, outputs], bias, builder);
        Self {
            projections,
            box_tower,
            box_head: head("BoxPredictor", anchors * settings.box_code_size, 0.0),
            class_tower,
            class_head: head("ClassPredictor", anchors * settings.num_class_slots, settings.class_prediction_bias_init),
            settings,
        }
    }

    /// See [`super::BoxPredictor::forward`].
    pub fn forward(&self, feature_maps: &[Tensor<4>], pass: &mut Pass<'_>) -> (Tensor<3>, Tensor<3>) {
        let settings = &self.settings;
        let (mut codes, mut logits) = (Vec::new(), Vec::new());
        for (level, map) in feature_maps.iter().enumerate() {
            let map = match self.projections.get(level) {
                Some(projection) => projection.forward(map.clone(), pass),
                None => map.clone(),
            };
            let climb = |tower: &[SharedConvLayer], pass: &mut Pass<'_>| {
                tower.iter().fold(map.clone(), |x, layer| layer.forward(x, level, pass))
            };
            let of_boxes = climb(&self.box_tower, pass);
            let of_classes = match &self.class_tower {
                Some(tower) => climb(tower, pass),
                None => of_boxes.clone(),
            };
            codes.push(anchor_rows(self.box_head.forward(of_boxes, pass), settings.box_code_size));
            let of_classes = dropout(of_classes, settings.dropout_keep_probability, level, pass);
            logits.push(anchor_rows(self.class_head.forward(of_classes, pass), settings.num_class_slots));
        }
        let (mut codes, mut logits) = (Tensor::cat(codes, 1), Tensor::cat(logits, 1));
        if let Some((low, high)) = settings.box_encodings_clip_range {
            codes = codes.clamp(low, high);
        }
        if settings.sigmoid_scores && pass.mode == Mode::Eval {
            logits = sigmoid(logits);
        }
        (codes, logits)
    }

    /// The projections and the heads.
    pub fn unshared_layers(&self) -> impl Iterator<Item = &ConvLayer> {
        self.projections.iter().chain([&self.box_head, &self.class_head])
    }

    /// The layers whose kernels all levels share.
    pub fn shared_layers(&self) -> impl Iterator<Item = &SharedConvLayer> {
        self.box_tower.iter().chain(self.class_tower.iter().flatten())
    }

    /// Lists the variables.
    pub(crate) fn describe(&self, out: &mut Vec<Described>) {
        self.projections.iter().for_each(|layer| layer.describe(out));
        self.box_tower.iter().for_each(|layer| layer.describe(out));
        self.box_head.describe(out);
        self.class_tower.iter().flatten().for_each(|layer| layer.describe(out));
        self.class_head.describe(out);
    }
}

/// The depth that most maps have; the first of those where several are equally common.
fn most_common(depths: &[usize]) -> usize {
    let count = |depth: usize| depths.iter().filter(|other| **other == depth).count();
    depths.iter().rev().copied().max_by_key(|depth| count(*depth)).unwrap_or(1)
}

fn build_tower(
    settings: &WeightSharedBoxPredictorSettings,
    name: &str,
    input: usize,
    levels: usize,
    builder: &LayerBuilder,
) -> Vec<SharedConvLayer> {
    let mut input = input;
    let layer = |i: usize| {
        let scope = format!("{SCOPE}/{name}/conv2d_{i}");
        let (channels, kernel) = ([input, settings.depth], settings.kernel_size);
        input = settings.depth;
        SharedConvLayer::new(&settings.hyperparams, levels, builder, |hyperparams| {
            if !settings.use_depthwise {
                return builder.conv2d(&scope, channels, kernel, 1, hyperparams);
            }
            let configured = settings.dialect == Dialect::Slim || settings.apply_conv_hyperparams_pointwise;
            let pointwise = if configured { *hyperparams } else { hyperparams.with_keras_kernel() };
            builder.separable_conv2d(&scope, channels, kernel, 1, hyperparams, &pointwise)
        })
    };
    (0..settings.num_layers_before_predictor).map(layer).collect()
}

fn build_head(
    settings: &WeightSharedBoxPredictorSettings,
    name: &str,
    channels: [usize; 2],
    bias: f32,
    builder: &LayerBuilder,
) -> ConvLayer {
    let scope = format!("{SCOPE}/{name}");
    if !settings.use_depthwise {
        return builder.head(&scope, channels, settings.kernel_size, &settings.hyperparams, bias);
    }
    let configured = settings.dialect == Dialect::Slim || settings.apply_conv_hyperparams_to_heads;
    let hyperparams = if configured { settings.hyperparams } else { settings.hyperparams.with_keras_kernel() };
    builder.separable_head(&scope, channels, settings.kernel_size, &hyperparams, bias)
}

#[cfg(test)]
mod tests {
    use super::most_common;

    #[test]
    fn the_depth_of_most_maps_and_the_first_in_a_tie() {
        assert_eq!(most_common(&[576, 1280, 512, 256, 256, 128]), 256);
        assert_eq!(most_common(&[32, 96]), 32);
    }
}
