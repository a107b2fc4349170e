//! The feature extractor and the box predictor.

use boxwright_config::proto;
use boxwright_kernels::Activation;

use super::{Built, hyperparams, number, refuse, required, size};
use crate::box_predictors::ConvolutionalBoxPredictorSettings;
use crate::feature_extractors::MobileNetV1Settings;
use crate::initializers::Initializer;
use crate::layers::{BatchNormParams, Hyperparams, PaddingRule};

/// What slim's own `mobilenet_v1_arg_scope` gives the base network where the config does not
/// override it.
fn slim_mobilenet_v1(frozen: bool) -> Hyperparams {
    Hyperparams {
        initializer: Initializer::TruncatedNormal { mean: 0.0, stddev: 0.09 },
        l2: 0.000_04,
        activation: Activation::Relu6,
        batch_norm: Some(BatchNormParams { decay: 0.9997, epsilon: 0.001, center: true, scale: true, train: !frozen }),
    }
}

/// The `feature_extractor` message: the network's settings and how it pads.
///
/// `freeze_batchnorm` freezes all layers, as TFOD's Keras models do.
///
/// # Errors
/// A network that is not supported, or an impossible value.
pub fn feature_extractor(
    config: &proto::SsdFeatureExtractor,
    freeze_batchnorm: bool,
) -> Built<(MobileNetV1Settings, PaddingRule)> {
    match config.r#type() {
        "ssd_mobilenet_v1" => {}
        "" => return refuse("type", "is not set; use \"ssd_mobilenet_v1\""),
        other => return refuse("type", format!("\"{other}\" is not supported; use \"ssd_mobilenet_v1\"")),
    }
    if config.feature_pyramid_oneof.is_some() {
        return refuse("fpn", "is not supported; remove it");
    }
    if config.replace_preprocessor_with_placeholder() {
        return refuse("replace_preprocessor_with_placeholder", "is not supported; set it to false");
    }
    let multiple = config.pad_to_multiple();
    if multiple > 1 {
        return refuse(
            "pad_to_multiple",
            format!("is {multiple}; only 1 is supported: choose the resizer's size instead"),
        );
    }
    let conv_hyperparams =
        required(&config.conv_hyperparams, "conv_hyperparams", "is not set; add conv_hyperparams { … }")?;
    let extra = hyperparams(conv_hyperparams, freeze_batchnorm).map_err(|e| e.within("conv_hyperparams"))?;
    let base =
        if config.override_base_feature_extractor_hyperparams() { extra } else { slim_mobilenet_v1(freeze_batchnorm) };
    let settings = MobileNetV1Settings {
        depth_multiplier: number(config.depth_multiplier(), 1e-3..=8.0, "depth_multiplier")?,
        min_depth: size(config.min_depth().max(0), 0..=4096, "min_depth")?,
        num_layers: size(config.num_layers(), 1..=MobileNetV1Settings::MAX_LAYERS, "num_layers")?,
        use_depthwise: config.use_depthwise(),
        base,
        extra,
    };
    let padding = if config.use_explicit_padding() { PaddingRule::Explicit } else { PaddingRule::Same };
    Ok((settings, padding))
}

/// The `box_predictor` message, for so many classes (without background); `frozen` as for the extractor.
///
/// # Errors
/// A predictor that is not supported, or an impossible value.
pub fn box_predictor(
    config: &proto::BoxPredictor,
    num_classes: usize,
    frozen: bool,
) -> Built<ConvolutionalBoxPredictorSettings> {
    use proto::box_predictor::BoxPredictorOneof as Kind;
    match &config.box_predictor_oneof {
        Some(Kind::ConvolutionalBoxPredictor(predictor)) => {
            convolutional(predictor, num_classes, frozen).map_err(|e| e.within("convolutional_box_predictor"))
        }
        Some(Kind::WeightSharedConvolutionalBoxPredictor(_)) => {
            refuse("weight_shared_convolutional_box_predictor", "is not supported; use convolutional_box_predictor")
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

fn convolutional(
    config: &proto::ConvolutionalBoxPredictor,
    num_classes: usize,
    frozen: bool,
) -> Built<ConvolutionalBoxPredictorSettings> {
    let conv_hyperparams =
        required(&config.conv_hyperparams, "conv_hyperparams", "is not set; add conv_hyperparams { … }")?;
    let keep = number(config.dropout_keep_probability(), f32::MIN_POSITIVE..=1.0, "dropout_keep_probability")?;
    let clip = match &config.box_encodings_clip_range {
        Some(range) => match (range.min, range.max) {
            (Some(min), Some(max)) if min <= max => Some((min, max)),
            _ => return refuse("box_encodings_clip_range", "needs a min and a max, min first"),
        },
        None => None,
    };
    Ok(ConvolutionalBoxPredictorSettings {
        num_class_slots: num_classes + 1,
        box_code_size: size(config.box_code_size(), 4..=4, "box_code_size")?,
        kernel_size: size(config.kernel_size(), 1..=15, "kernel_size")?,
        use_depthwise: config.use_depthwise(),
        num_layers_before_predictor: size(config.num_layers_before_predictor(), 0..=16, "num_layers_before_predictor")?,
        min_depth: size(config.min_depth(), 0..=4096, "min_depth")?,
        max_depth: size(config.max_depth(), 0..=4096, "max_depth")?,
        dropout_keep_probability: config.use_dropout().then_some(keep).filter(|keep| *keep < 1.0),
        apply_sigmoid_to_scores: config.apply_sigmoid_to_scores(),
        class_prediction_bias_init: number(
            config.class_prediction_bias_init(),
            -1e6..=1e6,
            "class_prediction_bias_init",
        )?,
        box_encodings_clip_range: clip,
        hyperparams: hyperparams(conv_hyperparams, frozen).map_err(|e| e.within("conv_hyperparams"))?,
    })
}
