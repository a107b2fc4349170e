//! A small convolution for each feature map and each answer (TFOD's `convolutional_box_predictor`).
//!
//! Channels of a head are anchor by anchor, so a map `[batch, anchors · n, h, w]` read place by
//! place is the list of anchors in the order of the anchor generator.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;

use super::{anchor_rows, dropout};
use crate::feature_extractors::Dialect;
use crate::layers::{ConvLayer, Hyperparams, LayerBuilder, Pass};
use crate::variables::Described;

/// The `convolutional_box_predictor` message of the config.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvolutionalBoxPredictorSettings {
    /// Columns of the class logits, background included.
    pub num_class_slots: usize,
    /// Numbers in a box code.
    pub box_code_size: usize,
    /// Side of the kernels.
    pub kernel_size: usize,
    /// Whether the heads are separable.
    pub use_depthwise: bool,
    /// 1×1 convolutions before the heads.
    pub num_layers_before_predictor: usize,
    /// Smallest depth of those.
    pub min_depth: usize,
    /// Largest depth of those; 0 (with `min_depth` 0) leaves them out.
    pub max_depth: usize,
    /// What dropout before the class head keeps, in training; `None` for no dropout.
    pub dropout_keep_probability: Option<f32>,
    /// Whether class logits leave as probabilities.
    pub apply_sigmoid_to_scores: bool,
    /// What the class biases start at.
    pub class_prediction_bias_init: f32,
    /// Box codes are clamped to this range.
    pub box_encodings_clip_range: Option<(f32, f32)>,
    /// Hyperparameters of all layers.
    pub hyperparams: Hyperparams,
    /// TF1 or TF2.
    pub dialect: Dialect,
}

/// The layers of one feature map.
#[derive(Module, Debug)]
struct Head {
    before: Vec<ConvLayer>,
    boxes: Vec<ConvLayer>,
    classes: Vec<ConvLayer>,
}

/// The predictor.
#[derive(Module, Debug)]
pub struct ConvolutionalBoxPredictor {
    heads: Vec<Head>,
    #[module(skip)]
    settings: ConvolutionalBoxPredictorSettings,
}

impl ConvolutionalBoxPredictor {
    /// The predictor with its first weights, for feature maps of these depths with so many anchors
    /// at each place.
    pub fn new(
        settings: ConvolutionalBoxPredictorSettings,
        depths: &[usize],
        anchors_per_location: &[usize],
        builder: &LayerBuilder,
    ) -> Self {
        let single = depths.len() == 1;
        let heads = depths
            .iter()
            .zip(anchors_per_location)
            .enumerate()
            .map(|(i, (&depth, &anchors))| {
                let scope = if single { "BoxPredictor".to_owned() } else { format!("BoxPredictor_{i}") };
                build_head(&settings, &scope, depth, anchors, builder)
            })
            .collect();
        Self { heads, settings }
    }

    /// Box codes and class logits of all anchors.
    ///
    /// # Shapes
    /// Maps `[batch, depth, h, w]` to `[batch, anchors, code size]` and `[batch, anchors, class slots]`.
    pub fn forward(&self, feature_maps: &[Tensor<4>], pass: &mut Pass<'_>) -> (Tensor<3>, Tensor<3>) {
        let (mut codes, mut logits) = (Vec::new(), Vec::new());
        for (i, (head, map)) in self.heads.iter().zip(feature_maps).enumerate() {
            let run = |layers: &[ConvLayer], x: Tensor<4>, pass: &mut Pass<'_>| {
                layers.iter().fold(x, |x, layer| layer.forward(x, pass))
            };
            let x = run(&head.before, map.clone(), pass);
            codes.push(anchor_rows(run(&head.boxes, x.clone(), pass), self.settings.box_code_size));
            let x = dropout(x, self.settings.dropout_keep_probability, i, pass);
            logits.push(anchor_rows(run(&head.classes, x, pass), self.settings.num_class_slots));
        }
        let (mut codes, mut logits) = (Tensor::cat(codes, 1), Tensor::cat(logits, 1));
        if let Some((low, high)) = self.settings.box_encodings_clip_range {
            codes = codes.clamp(low, high);
        }
        if self.settings.apply_sigmoid_to_scores {
            logits = sigmoid(logits);
        }
        (codes, logits)
    }

    /// All layers in order.
    pub fn layers(&self) -> impl Iterator<Item = &ConvLayer> {
        self.heads.iter().flat_map(|head| head.before.iter().chain(&head.boxes).chain(&head.classes))
    }

    /// Lists the variables.
    pub(crate) fn describe(&self, out: &mut Vec<Described>) {
        self.layers().for_each(|layer| layer.describe(out));
    }
}

fn build_head(
    settings: &ConvolutionalBoxPredictorSettings,
    scope: &str,
    depth: usize,
    anchors: usize,
    builder: &LayerBuilder,
) -> Head {
    let hyperparams = &settings.hyperparams;
    let mut input = depth;
    let mut before = Vec::new();
    let middle = depth.min(settings.max_depth).max(settings.min_depth);
    if middle > 0 {
        for i in 0..settings.num_layers_before_predictor {
            let scope = format!("{scope}/Conv2d_{i}_1x1_{middle}");
            before.push(builder.conv2d(&scope, [input, middle], 1, 1, hyperparams));
            input = middle;
        }
    }
    // TFOD's Keras heads hand a depthwise kernel the settings of a full one, which it ignores.
    let of_depthwise = match settings.dialect {
        Dialect::Slim => *hyperparams,
        Dialect::Keras => hyperparams.with_keras_kernel(),
    };
    let head = |name: &str, outputs: usize, bias: f32| {
        let scope = format!("{scope}/{name}");
        if settings.use_depthwise {
            let depthwise = format!("{scope}_depthwise");
            // TFOD starts a separable class head at no bias, whatever the config says.
            vec![
                builder.depthwise_conv2d(&depthwise, input, settings.kernel_size, 1, &of_depthwise),
                builder.head(&scope, [input, outputs], 1, hyperparams, 0.0),
            ]
        } else {
            vec![builder.head(&scope, [input, outputs], settings.kernel_size, hyperparams, bias)]
        }
    };
    let boxes = head("BoxEncodingPredictor", anchors * settings.box_code_size, 0.0);
    let classes = head("ClassPredictor", anchors * settings.num_class_slots, settings.class_prediction_bias_init);
    Head { before, boxes, classes }
}
