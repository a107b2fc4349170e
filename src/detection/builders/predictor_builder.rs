//! The `box_predictor` message.

use boxwright_config::proto;
use boxwright_config::proto::weight_shared_convolutional_box_predictor::ScoreConverter;

use super::{Built, hyperparams, number, refuse, required, size};
use crate::box_predictors::{ConvolutionalBoxPredictorSettings, WeightSharedBoxPredictorSettings};
use crate::feature_extractors::Dialect;

/// A predictor before it knows its feature maps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BoxPredictorSettings {
    /// Layers of its own for each feature map.
    Convolutional(ConvolutionalBoxPredictorSettings),
    /// The same layers for all of them.
    WeightShared(WeightSharedBoxPredictorSettings),
}

/// The `box_predictor` message, for so many classes (without background); `frozen` and `dialect` as for
/// the extractor.
///
/// # Errors
/// A predictor that is not supported, or an impossible value.
pub fn box_predictor(
    config: &proto::BoxPredictor,
    num_classes: usize,
    frozen: bool,
    dialect: Dialect,
) -> Built<BoxPredictorSettings> {
    use proto::box_predictor::BoxPredictorOneof as Kind;
    match &config.box_predictor_oneof {
        Some(Kind::ConvolutionalBoxPredictor(predictor)) => {
            let settings = convolutional(predictor, num_classes, frozen, dialect);
            settings.map(BoxPredictorSettings::Convolutional).map_err(|e| e.within("convolutional_box_predictor"))
        }
        Some(Kind::WeightSharedConvolutionalBoxPredictor(predictor)) => {
            let settings = weight_shared(predictor, num_classes, frozen, dialect);
            let name = "weight_shared_convolutional_box_predictor";
            settings.map(BoxPredictorSettings::WeightShared).map_err(|e| e.within(name))
        }
        Some(Kind::MaskRcnnBoxPredictor(_)) => {
            refuse("mask_rcnn_box_predictor", "is for Faster R-CNN; use convolutional_box_predictor")
        }
        Some(Kind::RfcnBoxPredictor(_)) => {
            refuse("rfcn_box_predictor", "is for R-FCN; use convolutional_box_predictor")
        }
        None => refuse("", "names no predictor; add convolutional_box_predictor { … }"),
    }
}

/// What dropout keeps; `None` where there is none.
fn dropout(wanted: bool, keep: f32) -> Built<Option<f32>> {
    let keep = number(keep, f32::MIN_POSITIVE..=1.0, "dropout_keep_probability")?;
    Ok(wanted.then_some(keep).filter(|keep| *keep < 1.0))
}

fn clip_range(range: Option<(Option<f32>, Option<f32>)>) -> Built<Option<(f32, f32)>> {
    match range {
        None => Ok(None),
        Some((Some(min), Some(max))) if min <= max => Ok(Some((min, max))),
        Some(_) => refuse("box_encodings_clip_range", "needs a min and a max, min first"),
    }
}

fn convolutional(
    config: &proto::ConvolutionalBoxPredictor,
    num_classes: usize,
    frozen: bool,
    dialect: Dialect,
) -> Built<ConvolutionalBoxPredictorSettings> {
    let conv_hyperparams =
        required(&config.conv_hyperparams, "conv_hyperparams", "is not set; add conv_hyperparams { … }")?;
    let bias = number(config.class_prediction_bias_init(), -1e6..=1e6, "class_prediction_bias_init")?;
    Ok(ConvolutionalBoxPredictorSettings {
        num_class_slots: num_classes + 1,
        box_code_size: size(config.box_code_size(), 1..=16, "box_code_size")?,
        kernel_size: size(config.kernel_size(), 1..=15, "kernel_size")?,
        use_depthwise: config.use_depthwise(),
        num_layers_before_predictor: size(config.num_layers_before_predictor(), 0..=16, "num_layers_before_predictor")?,
        min_depth: size(config.min_depth(), 0..=4096, "min_depth")?,
        max_depth: size(config.max_depth(), 0..=4096, "max_depth")?,
        dropout_keep_probability: dropout(config.use_dropout(), config.dropout_keep_probability())?,
        apply_sigmoid_to_scores: config.apply_sigmoid_to_scores(),
        class_prediction_bias_init: bias,
        box_encodings_clip_range: clip_range(config.box_encodings_clip_range.as_ref().map(|r| (r.min, r.max)))?,
        hyperparams: hyperparams(conv_hyperparams, frozen).map_err(|e| e.within("conv_hyperparams"))?,
        dialect,
    })
}

fn weight_shared(
    config: &proto::WeightSharedConvolutionalBoxPredictor,
    num_classes: usize,
    frozen: bool,
    dialect: Dialect,
) -> Built<WeightSharedBoxPredictorSettings> {
    let conv_hyperparams =
        required(&config.conv_hyperparams, "conv_hyperparams", "is not set; add conv_hyperparams { … }")?;
    let layers = size(config.num_layers_before_predictor(), 0..=16, "num_layers_before_predictor")?;
    let depth = match config.depth() {
        0 if layers == 0 => 0,
        0 => return refuse("depth", "is not set; it is the number of channels of the tower, e.g. 256"),
        depth => size(depth, 1..=2048, "depth")?,
    };
    let bias = number(config.class_prediction_bias_init(), -1e6..=1e6, "class_prediction_bias_init")?;
    Ok(WeightSharedBoxPredictorSettings {
        num_class_slots: num_classes + 1,
        box_code_size: size(config.box_code_size(), 1..=16, "box_code_size")?,
        depth,
        num_layers_before_predictor: layers,
        kernel_size: size(config.kernel_size(), 1..=15, "kernel_size")?,
        share_prediction_tower: config.share_prediction_tower(),
        use_depthwise: config.use_depthwise(),
        apply_conv_hyperparams_pointwise: config.apply_conv_hyperparams_pointwise(),
        apply_conv_hyperparams_to_heads: config.apply_conv_hyperparams_to_heads(),
        dropout_keep_probability: dropout(config.use_dropout(), config.dropout_keep_probability())?,
        sigmoid_scores: config.score_converter() == ScoreConverter::Sigmoid,
        class_prediction_bias_init: bias,
        box_encodings_clip_range: clip_range(config.box_encodings_clip_range.as_ref().map(|r| (r.min, r.max)))?,
        hyperparams: hyperparams(conv_hyperparams, frozen).map_err(|e| e.within("conv_hyperparams"))?,
        dialect,
    })
}
