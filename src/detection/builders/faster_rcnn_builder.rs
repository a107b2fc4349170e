//! The `faster_rcnn` message (TFOD's `_build_faster_rcnn_model`).

use boxwright_config::proto;
use boxwright_core::label_map::LabelId;
use boxwright_kernels::Activation;
use burn::tensor::Device;

use super::feature_extractor_builder::{dialect, resnet_v1_hyperparams};
use super::{
    Built, anchor_generator, faster_rcnn_classification_loss, fc_hyperparams, hard_example_miner, hyperparams, number,
    post_processing, refuse, required, size,
};
use crate::anchor_generators::{AnchorGenerator, GridAnchorGenerator};
use crate::balanced_sampler::BalancedPositiveNegativeSampler;
use crate::box_predictors::{MaskRcnnBoxPredictor, MaskRcnnBoxPredictorSettings};
use crate::feature_extractors::{
    Dialect, FIRST_STAGE_SCOPE, FasterRcnnFeatureExtractor, InceptionV2Settings, ResNetV1Depth, ResNetV1Settings,
};
use crate::initializers::{FanMode, Initializer};
use crate::layers::{BatchNormParams, Hyperparams, LayerBuilder, PaddingRule};
use crate::meta_architectures::faster_rcnn::{
    FasterRcnnModel, FasterRcnnSettings, FirstStageSettings, RpnLayers, SecondStageSettings,
};
use crate::post_processing::NonMaxSuppression;
use crate::regularizers::Regularizer;
use crate::target_assigner::TargetAssigner;

/// Most proposals of a picture.
const MAX_PROPOSALS: usize = 1 << 14;

/// Most rows and columns of a crop.
const MAX_CROP: usize = 64;

/// Most anchors at a place of the feature map.
const MAX_ANCHORS_PER_LOCATION: usize = 1 << 10;

/// What the picture's network says the picture's features are cut from.
const FEATURES: &str = "use faster_rcnn_resnet50, faster_rcnn_resnet101 or faster_rcnn_resnet152, each with or without \
                        _keras at its end, or faster_rcnn_inception_v2";

/// The model of the message.
pub(super) fn build(config: &proto::FasterRcnn, seed: u64, device: &Device) -> Built<FasterRcnnModel> {
    refuse_unsupported(config)?;
    let stages = match config.number_of_stages() {
        1 => 1,
        2 => 2,
        3 => return refuse("number_of_stages", "is 3, whose third stage predicts masks; use 2"),
        other => return refuse("number_of_stages", format!("is {other}; it must be 1 or 2")),
    };
    let num_classes = size(config.num_classes(), 1..=LabelId::MAX as usize, "num_classes")?;
    let builder = LayerBuilder { seed, device: device.clone(), padding: PaddingRule::Same };
    let message = required(&config.feature_extractor, "feature_extractor", "is not set")?;
    let extractor = feature_extractor(message, &builder).map_err(|e| e.within("feature_extractor"))?;
    let grid = grid(config)?;
    let rpn = rpn_layers(config, extractor.proposal_depth(), grid.num_anchors_per_location(), &builder)?;
    let box_predictor = match stages {
        1 => None,
        _ => Some(box_predictor(config, num_classes, extractor.box_classifier_depth(), &builder)?),
    };
    let settings = FasterRcnnSettings {
        num_classes,
        first_stage: first_stage(config, grid)?,
        second_stage: if stages == 1 { None } else { Some(second_stage(config)?) },
        seed,
    };
    Ok(FasterRcnnModel::new(extractor, rpn, box_predictor, settings))
}

fn feature_extractor(
    config: &proto::FasterRcnnFeatureExtractor,
    builder: &LayerBuilder,
) -> Built<FasterRcnnFeatureExtractor> {
    for (set, field) in [
        (config.conv_hyperparams.is_some(), "conv_hyperparams"),
        (config.override_base_feature_extractor_hyperparams(), "override_base_feature_extractor_hyperparams"),
        (config.fpn.is_some(), "fpn"),
        (config.pad_to_multiple.is_some(), "pad_to_multiple"),
    ] {
        if set {
            return refuse(field, format!("has no meaning for \"{}\"; remove it", config.r#type()));
        }
    }
    let stride = match config.first_stage_features_stride() {
        stride @ (8 | 16) => stride as usize,
        other => return refuse("first_stage_features_stride", format!("is {other}; it must be 8 or 16")),
    };
    let trains = config.batch_norm_trainable();
    let keras = dialect(config.r#type()) == Dialect::Keras;
    if keras && stride != 16 {
        return refuse("first_stage_features_stride", format!("is {stride}; it must be 16 for {}", config.r#type()));
    }
    let depth = match config.r#type().strip_suffix("_keras").unwrap_or(config.r#type()) {
        "faster_rcnn_resnet50" => ResNetV1Depth::Layers50,
        "faster_rcnn_resnet101" => ResNetV1Depth::Layers101,
        "faster_rcnn_resnet152" => ResNetV1Depth::Layers152,
        "faster_rcnn_inception_v2" if !keras => return Ok(inception_v2(trains, builder)),
        "" => return refuse("type", format!("is not set; {FEATURES}")),
        _ => return refuse("type", format!("\"{}\" is not supported; {FEATURES}", config.r#type())),
    };
    let settings = ResNetV1Settings {
        scope: FIRST_STAGE_SCOPE.to_owned(),
        depth,
        depth_multiplier: 1.0,
        min_depth: 8,
        // Keras' network ends before it would shrink further.
        output_stride: (!keras).then_some(stride),
        halve_behind: false,
        blocks: vec![3],
        // TFOD gives these networks no weight decay.
        hyperparams: resnet_v1_hyperparams(0.0, trains),
        activates_sums: false,
        dialect: dialect(config.r#type()),
    };
    Ok(FasterRcnnFeatureExtractor::resnet_v1(&settings, builder))
}

fn inception_v2(train_batch_norm: bool, builder: &LayerBuilder) -> FasterRcnnFeatureExtractor {
    let settings = InceptionV2Settings {
        scope: FIRST_STAGE_SCOPE.to_owned(),
        depth_multiplier: 1.0,
        min_depth: 16,
        endpoints: vec!["Mixed_4e"],
        hyperparams: Hyperparams {
            initializer: Initializer::VarianceScaling { factor: 1.0, mode: FanMode::FanAvg, uniform: true },
            regularizer: Regularizer::None,
            activation: Activation::Relu,
            batch_norm: Some(BatchNormParams {
                decay: 0.9997,
                epsilon: 0.001,
                center: true,
                scale: true,
                train: train_batch_norm,
            }),
        },
    };
    FasterRcnnFeatureExtractor::inception_v2(&settings, builder)
}

fn grid(config: &proto::FasterRcnn) -> Built<GridAnchorGenerator> {
    const FIELD: &str = "first_stage_anchor_generator";
    let message = required(&config.first_stage_anchor_generator, FIELD, "is not set; add grid_anchor_generator { … }")?;
    let AnchorGenerator::Grid(grid) = anchor_generator(message).map_err(|e| e.within(FIELD))? else {
        return refuse(FIELD, "must be a grid_anchor_generator: there is one feature map");
    };
    if grid.num_anchors_per_location() > MAX_ANCHORS_PER_LOCATION {
        return refuse(FIELD, format!("gives {} anchors at each place", grid.num_anchors_per_location()));
    }
    Ok(grid)
}

fn rpn_layers(
    config: &proto::FasterRcnn,
    input: usize,
    anchors_per_location: usize,
    builder: &LayerBuilder,
) -> Built<RpnLayers> {
    const FIELD: &str = "first_stage_box_predictor_conv_hyperparams";
    let message = required(&config.first_stage_box_predictor_conv_hyperparams, FIELD, "is not set; add op: CONV …")?;
    let hyperparams = hyperparams(message, false).map_err(|e| e.within(FIELD))?;
    let depth = size(config.first_stage_box_predictor_depth(), 1..=4096, "first_stage_box_predictor_depth")?;
    let kernel = size(config.first_stage_box_predictor_kernel_size(), 1..=15, "first_stage_box_predictor_kernel_size")?;
    let rate = size(config.first_stage_atrous_rate(), 1..=128, "first_stage_atrous_rate")?;
    // Whatever the config says of activations, TFOD takes ReLU6 here.
    let bounded = Hyperparams { activation: Activation::Relu6, ..hyperparams };
    let head = |name: &str, outputs: usize| {
        let scope = format!("FirstStageBoxPredictor/{name}");
        builder.head(&scope, [depth, anchors_per_location * outputs], 1, &hyperparams, 0.0)
    };
    Ok(RpnLayers {
        conv: builder.atrous_conv2d("Conv", [input, depth], kernel, 1, rate, &bounded),
        boxes: head("BoxEncodingPredictor", 4),
        objectness: head("ClassPredictor", 2),
    })
}

fn box_predictor(
    config: &proto::FasterRcnn,
    num_classes: usize,
    depth: usize,
    builder: &LayerBuilder,
) -> Built<MaskRcnnBoxPredictor> {
    use proto::box_predictor::BoxPredictorOneof as Kind;
    const FIELD: &str = "second_stage_box_predictor";
    let message = required(&config.second_stage_box_predictor, FIELD, "is not set; add mask_rcnn_box_predictor { … }")?;
    let settings = match &message.box_predictor_oneof {
        Some(Kind::MaskRcnnBoxPredictor(predictor)) => {
            mask_rcnn(predictor, num_classes).map_err(|e| e.within("mask_rcnn_box_predictor"))
        }
        Some(Kind::RfcnBoxPredictor(_)) => {
            refuse("rfcn_box_predictor", "is R-FCN's and is not supported; use mask_rcnn_box_predictor")
        }
        _ => refuse("", "must be a mask_rcnn_box_predictor { … }"),
    };
    Ok(MaskRcnnBoxPredictor::new(settings.map_err(|e| e.within(FIELD))?, depth, builder))
}

fn mask_rcnn(config: &proto::MaskRcnnBoxPredictor, num_classes: usize) -> Built<MaskRcnnBoxPredictorSettings> {
    for (set, field) in
        [(config.predict_instance_masks(), "predict_instance_masks"), (config.predict_keypoints(), "predict_keypoints")]
    {
        if set {
            return refuse(field, "is not supported; set it to false");
        }
    }
    size(config.box_code_size(), 4..=4, "box_code_size")?;
    let message = required(&config.fc_hyperparams, "fc_hyperparams", "is not set; add fc_hyperparams { op: FC … }")?;
    let hyperparams = fc_hyperparams(message, false).map_err(|e| e.within("fc_hyperparams"))?;
    if hyperparams.batch_norm.is_some() {
        return refuse("fc_hyperparams.batch_norm", "is not supported in the heads; remove it");
    }
    let keep = number(config.dropout_keep_probability(), f32::MIN_POSITIVE..=1.0, "dropout_keep_probability")?;
    Ok(MaskRcnnBoxPredictorSettings {
        num_classes,
        dropout_keep_probability: config.use_dropout().then_some(keep).filter(|keep| *keep < 1.0),
        share_box_across_classes: config.share_box_across_classes(),
        hyperparams,
    })
}

fn fraction(value: f32, field: &str) -> Built<BalancedPositiveNegativeSampler> {
    Ok(BalancedPositiveNegativeSampler { positive_fraction: number(value, 0.0..=1.0, field)? })
}

fn weight(value: f32, field: &str) -> Built<f32> {
    number(value, 0.0..=1e6, field)
}

fn first_stage(config: &proto::FasterRcnn, anchor_generator: GridAnchorGenerator) -> Built<FirstStageSettings> {
    let max_proposals = size(config.first_stage_max_proposals(), 1..=MAX_PROPOSALS, "first_stage_max_proposals")?;
    let score_threshold =
        number(config.first_stage_nms_score_threshold(), 0.0..=1.0, "first_stage_nms_score_threshold")?;
    Ok(FirstStageSettings {
        anchor_generator,
        clip_anchors_to_image: config.clip_anchors_to_image(),
        target_assigner: TargetAssigner::faster_rcnn_proposal(),
        minibatch_size: size(config.first_stage_minibatch_size(), 1..=1 << 20, "first_stage_minibatch_size")?,
        sampler: fraction(config.first_stage_positive_balance_fraction(), "first_stage_positive_balance_fraction")?,
        non_max_suppression: NonMaxSuppression {
            score_threshold,
            iou_threshold: number(config.first_stage_nms_iou_threshold(), 0.0..=1.0, "first_stage_nms_iou_threshold")?,
            max_detections_per_class: max_proposals,
            max_total_detections: max_proposals,
            change_coordinate_frame: false,
            ..NonMaxSuppression::default()
        },
        localization_loss_weight: weight(
            config.first_stage_localization_loss_weight(),
            "first_stage_localization_loss_weight",
        )?,
        objectness_loss_weight: weight(
            config.first_stage_objectness_loss_weight(),
            "first_stage_objectness_loss_weight",
        )?,
    })
}

fn second_stage(config: &proto::FasterRcnn) -> Built<SecondStageSettings> {
    const POST: &str = "second_stage_post_processing";
    let initial_crop_size = size(config.initial_crop_size(), 1..=MAX_CROP, "initial_crop_size")?;
    let message = required(&config.second_stage_post_processing, POST, "is not set")?;
    let mut post_processing = post_processing(message).map_err(|e| e.within(POST))?;
    if post_processing.non_max_suppression.combined {
        return refuse(
            &format!("{POST}.batch_non_max_suppression.use_combined_nms"),
            "takes normalized boxes, and the second stage has them in pixels; set it to false",
        );
    }
    // TFOD always gives the second stage's detections in coordinates of the picture.
    post_processing.non_max_suppression.change_coordinate_frame = true;
    let localization_loss_weight =
        weight(config.second_stage_localization_loss_weight(), "second_stage_localization_loss_weight")?;
    let classification_loss_weight =
        weight(config.second_stage_classification_loss_weight(), "second_stage_classification_loss_weight")?;
    let miner = config.hard_example_miner.as_ref();
    let loss = config.second_stage_classification_loss.as_ref();
    Ok(SecondStageSettings {
        initial_crop_size,
        maxpool_kernel_size: size(config.maxpool_kernel_size(), 1..=initial_crop_size, "maxpool_kernel_size")?,
        maxpool_stride: size(config.maxpool_stride(), 1..=MAX_CROP, "maxpool_stride")?,
        target_assigner: TargetAssigner::faster_rcnn_detection(),
        batch_size: size(config.second_stage_batch_size(), 1..=MAX_PROPOSALS, "second_stage_batch_size")?,
        sampler: fraction(config.second_stage_balance_fraction(), "second_stage_balance_fraction")?,
        classification_loss: faster_rcnn_classification_loss(loss).map_err(|e| e.within("second_stage"))?,
        localization_loss_weight,
        classification_loss_weight,
        hard_example_miner: miner
            .map(|miner| hard_example_miner(miner, classification_loss_weight, localization_loss_weight))
            .transpose()?,
        post_processing,
    })
}

fn refuse_unsupported(config: &proto::FasterRcnn) -> Built<()> {
    if config.use_combined_nms_in_first_stage() {
        return refuse("use_combined_nms_in_first_stage", "is not supported; set it to false");
    }
    if config.context_config.is_some() {
        return refuse("context_config", "is not supported; remove it");
    }
    Ok(())
}
