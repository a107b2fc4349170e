//! The `model` message (TFOD's `model_builder`).

use boxwright_config::proto;
use boxwright_core::label_map::LabelId;
use burn::tensor::Device;

use super::faster_rcnn_builder;
use super::feature_extractor_builder::dialect;
use super::predictor_builder::BoxPredictorSettings;
use super::{
    BuildError, Built, anchor_generator, box_coder, box_predictor, feature_extractor, losses, matcher,
    model_image_resizer, number, post_processing, refuse, region_similarity, required, size,
};
use crate::box_predictors::{BoxPredictor, ConvolutionalBoxPredictor, WeightSharedConvolutionalBoxPredictor};
use crate::feature_extractors::pixel_of;
use crate::image_resizer::{ImageResizer, Sizing};
use crate::layers::{LayerBuilder, PaddingRule};
use crate::losses::LocalizationLoss;
use crate::meta_architectures::DetectionModel;
use crate::meta_architectures::ssd::{SsdModel, SsdSettings};
use crate::target_assigner::TargetAssigner;

/// Most weights that the heads of one feature map may have: a typing error in `num_classes` must
/// not ask for all the memory there is.
const MAX_HEAD_WEIGHTS: usize = 1 << 28;

/// Most anchors of a picture.
const MAX_ANCHORS: usize = 1 << 20;

const SSD: &str = "model.ssd";

const FASTER_RCNN: &str = "model.faster_rcnn";

/// The model of a config with its first weights, drawn from `seed`.
///
/// On a device with autodiff the weights are ready to train.
///
/// # Errors
/// Whatever the config asks for that is impossible or not supported, by the path of its field.
pub fn build_model(model: &proto::DetectionModel, seed: u64, device: &Device) -> Result<DetectionModel, BuildError> {
    match configured(model)? {
        Configured::Ssd(config) => build(config, seed, device).map(DetectionModel::Ssd).map_err(|e| e.within(SSD)),
        Configured::FasterRcnn(config) => faster_rcnn_builder::build(config, seed, device)
            .map(DetectionModel::FasterRcnn)
            .map_err(|e| e.within(FASTER_RCNN)),
    }
}

/// [`build_model`] for those who need an SSD.
///
/// # Errors
/// As [`build_model`], and another meta-architecture.
pub fn build_ssd(model: &proto::DetectionModel, seed: u64, device: &Device) -> Result<SsdModel, BuildError> {
    match configured(model)? {
        Configured::Ssd(config) => build(config, seed, device).map_err(|e| e.within(SSD)),
        Configured::FasterRcnn(_) => refuse(FASTER_RCNN, "is not supported here; use ssd"),
    }
}

/// The image resizer of a config.
///
/// # Errors
/// As [`build_model`].
pub fn image_resizer_of(model: &proto::DetectionModel) -> Result<ImageResizer, BuildError> {
    match configured(model)? {
        Configured::Ssd(config) => ssd_resizer(config).map_err(|e| e.within(SSD)),
        Configured::FasterRcnn(config) => resizer(config.image_resizer.as_ref()).map_err(|e| e.within(FASTER_RCNN)),
    }
}

/// The resizer of an SSD. TFOD's scales pictures to what the network takes before it fills them up, so the colour is
/// one of the network's values; here pictures are filled up first, with the pixel of that value.
fn ssd_resizer(config: &proto::Ssd) -> Built<ImageResizer> {
    let mut resizer = resizer(config.image_resizer.as_ref())?;
    if let Sizing::KeepAspectRatio { pad: Some(colour), .. } = &mut resizer.sizing {
        let extractor_type = config.feature_extractor.as_ref().map_or("", |extractor| extractor.r#type());
        *colour = pixel_of(extractor_type, *colour);
    }
    Ok(resizer)
}

/// The meta-architecture that a config names.
enum Configured<'a> {
    Ssd(&'a proto::Ssd),
    FasterRcnn(&'a proto::FasterRcnn),
}

fn configured(model: &proto::DetectionModel) -> Built<Configured<'_>> {
    use proto::detection_model::Model;
    match &model.model {
        Some(Model::Ssd(ssd)) => Ok(Configured::Ssd(ssd)),
        Some(Model::FasterRcnn(faster_rcnn)) => Ok(Configured::FasterRcnn(faster_rcnn)),
        Some(Model::ExperimentalModel(_)) => {
            refuse("model.experimental_model", "is not supported; use ssd or faster_rcnn")
        }
        Some(Model::CenterNet(_)) => refuse("model.center_net", "is not supported; use ssd or faster_rcnn"),
        None => refuse("model", "is not set; add ssd { … } or faster_rcnn { … }"),
    }
}

fn resizer(config: Option<&proto::ImageResizer>) -> Built<ImageResizer> {
    let Some(message) = config else {
        return refuse("image_resizer", "is not set; add fixed_shape_resizer { … }");
    };
    model_image_resizer(message).map_err(|e| e.within("image_resizer"))
}

fn build(config: &proto::Ssd, seed: u64, device: &Device) -> Built<SsdModel> {
    refuse_unsupported(config)?;
    let Some((height, width)) = ssd_resizer(config)?.fixed_size() else {
        return refuse(
            "image_resizer",
            "gives pictures of many sizes, and the anchors of an SSD are for one; use fixed_shape_resizer, or a \
             keep_aspect_ratio_resizer with pad_to_max_dimension: true",
        );
    };
    let num_classes = size(config.num_classes(), 1..=LabelId::MAX as usize, "num_classes")?;

    let message = required(&config.feature_extractor, "feature_extractor", "is not set")?;
    let frozen = config.freeze_batchnorm();
    let extractor = feature_extractor(message, frozen, seed, device).map_err(|e| e.within("feature_extractor"))?;
    if !extractor.fits([height, width]) {
        return refuse(
            "image_resizer",
            format!(
                "gives {height}×{width}, whose levels of the pyramid are not each twice the next; use a multiple of 32, \
                 or set feature_extractor.pad_to_multiple: 32"
            ),
        );
    }
    let dialect = dialect(message.r#type());
    let message = required(&config.anchor_generator, "anchor_generator", "is not set")?;
    let anchor_generator = anchor_generator(message).map_err(|e| e.within("anchor_generator"))?;
    if !anchor_generator.is_normalized() {
        return refuse(
            "anchor_generator",
            "gives anchors in pixels, and SSD's boxes are fractions of the picture; set normalize_coordinates to true, \
             or use ssd_anchor_generator",
        );
    }
    let anchors_per_location = anchor_generator.num_anchors_per_location();
    let shapes = extractor.feature_map_shapes([height, width]);
    if shapes.iter().any(|shape| shape.contains(&0)) {
        return refuse(
            "image_resizer",
            format!("gives {height}×{width}, too small for the feature extractor's {} layers", shapes.len()),
        );
    }
    if anchors_per_location.len() != shapes.len() {
        return refuse(
            "anchor_generator",
            format!(
                "gives anchors for {} layers, but the feature extractor has {} (feature_extractor.num_layers, or the \
                 levels of fpn); they must be equal",
                anchors_per_location.len(),
                shapes.len()
            ),
        );
    }
    let count: usize = shapes.iter().zip(&anchors_per_location).map(|(s, n)| s[0] * s[1] * n).sum();
    if count > MAX_ANCHORS {
        return refuse(
            "anchor_generator",
            format!("gives {count} anchors, more than {MAX_ANCHORS}; use fewer or a smaller picture"),
        );
    }
    let message = required(&config.box_predictor, "box_predictor", "is not set")?;
    let predictor = box_predictor(message, num_classes, frozen, dialect).map_err(|e| e.within("box_predictor"))?;
    let settings = settings(config, num_classes, (height, width), seed)?;
    check_codes(&predictor, &settings)?;
    let builder = LayerBuilder { seed, device: device.clone(), padding: PaddingRule::Same };
    let depths = extractor.feature_map_depths();
    let box_predictor = build_predictor(predictor, num_classes, &depths, &anchors_per_location, &builder)?;
    let anchors = anchor_generator.generate(&shapes, [height, width]);
    Ok(SsdModel::new(extractor, box_predictor, settings, anchors))
}

/// Predictor, box coder and loss must mean codes of the same length.
fn check_codes(predictor: &BoxPredictorSettings, settings: &SsdSettings) -> Built<()> {
    let (name, written) = match predictor {
        BoxPredictorSettings::Convolutional(predictor) => ("convolutional_box_predictor", predictor.box_code_size),
        BoxPredictorSettings::WeightShared(predictor) => {
            ("weight_shared_convolutional_box_predictor", predictor.box_code_size)
        }
    };
    let code_size = settings.target_assigner.box_coder.code_size();
    if written != code_size {
        return refuse(
            &format!("box_predictor.{name}.box_code_size"),
            format!("is {written}, but the box coder's codes have {code_size} numbers; set it to {code_size}"),
        );
    }
    if code_size != 4 && matches!(settings.localization_loss, LocalizationLoss::Iou | LocalizationLoss::Giou) {
        return refuse(
            "loss.localization_loss",
            format!("compares codes of 4 numbers, and the box coder's have {code_size}; use weighted_smooth_l1 {{ }}"),
        );
    }
    Ok(())
}

fn build_predictor(
    settings: BoxPredictorSettings,
    num_classes: usize,
    depths: &[usize],
    anchors_per_location: &[usize],
    builder: &LayerBuilder,
) -> Built<BoxPredictor> {
    let check = |depth: usize, anchors: usize, class_slots: usize, kernel: usize| {
        let weights = depth * anchors * class_slots * kernel * kernel;
        if weights <= MAX_HEAD_WEIGHTS {
            return Ok(());
        }
        refuse("num_classes", format!("is {num_classes}, which asks for a class head of {weights} weights"))
    };
    match settings {
        BoxPredictorSettings::Convolutional(settings) => {
            let kernel = if settings.use_depthwise { 1 } else { settings.kernel_size };
            for (&depth, &anchors) in depths.iter().zip(anchors_per_location) {
                check(depth, anchors, settings.num_class_slots, kernel)?;
            }
            let predictor = ConvolutionalBoxPredictor::new(settings, depths, anchors_per_location, builder);
            Ok(BoxPredictor::Convolutional(predictor))
        }
        BoxPredictorSettings::WeightShared(settings) => {
            let anchors = anchors_per_location.first().copied().unwrap_or(0);
            if anchors_per_location.iter().any(|n| *n != anchors) {
                return refuse(
                    "anchor_generator",
                    format!(
                        "gives {anchors_per_location:?} anchors a place; a predictor that shares its weights needs the \
                         same number on each feature map"
                    ),
                );
            }
            let kernel = if settings.use_depthwise { 1 } else { settings.kernel_size };
            let depth = depths.iter().copied().max().unwrap_or(1).max(settings.depth);
            check(depth, anchors, settings.num_class_slots, kernel)?;
            let predictor = WeightSharedConvolutionalBoxPredictor::new(settings, depths, anchors, builder);
            Ok(BoxPredictor::WeightShared(predictor))
        }
    }
}

fn settings(config: &proto::Ssd, num_classes: usize, input_size: (usize, usize), seed: u64) -> Built<SsdSettings> {
    let message = required(&config.box_coder, "box_coder", "is not set; add faster_rcnn_box_coder { }")?;
    let box_coder = box_coder(message).map_err(|e| e.within("box_coder"))?;
    let message = required(&config.matcher, "matcher", "is not set; add argmax_matcher { … }")?;
    let matcher = matcher(message).map_err(|e| e.within("matcher"))?;
    let message =
        required(&config.similarity_calculator, "similarity_calculator", "is not set; add iou_similarity { }")?;
    let similarity = region_similarity(message).map_err(|e| e.within("similarity_calculator"))?;
    let message = required(&config.loss, "loss", "is not set")?;
    let losses = losses(message).map_err(|e| e.within("loss"))?;
    let message = required(&config.post_processing, "post_processing", "is not set")?;
    let post_processing = post_processing(message).map_err(|e| e.within("post_processing"))?;
    Ok(SsdSettings {
        num_classes,
        input_size,
        target_assigner: TargetAssigner {
            similarity,
            matcher,
            box_coder,
            negative_class_weight: number(config.negative_class_weight(), 0.0..=1e6, "negative_class_weight")?,
        },
        encode_background_as_zeros: config.encode_background_as_zeros(),
        localization_loss: losses.localization,
        classification_loss: losses.classification,
        localization_weight: losses.localization_weight,
        classification_weight: losses.classification_weight,
        hard_example_miner: losses.hard_example_miner,
        random_example_sampler: losses.random_example_sampler,
        normalize_loss_by_num_matches: config.normalize_loss_by_num_matches(),
        normalize_loc_loss_by_codesize: config.normalize_loc_loss_by_codesize(),
        post_processing,
        seed,
    })
}

fn refuse_unsupported(config: &proto::Ssd) -> Built<()> {
    if !config.add_background_class() {
        return refuse("add_background_class", "false is not supported; set it to true");
    }
    if config.explicit_background_class() {
        return refuse("explicit_background_class", "is not supported; set it to false");
    }
    if config.use_confidences_as_targets() {
        return refuse("use_confidences_as_targets", "is not supported; set it to false");
    }
    if config.mask_head_config.is_some() {
        return refuse("mask_head_config", "masks are not supported; remove it");
    }
    Ok(())
}
