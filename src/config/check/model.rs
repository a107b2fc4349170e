//! Parts of a model that do not fit each other.

use super::{Findings, faster_rcnn};
use crate::proto::{self, Hyperparams, Ssd, ssd_feature_extractor};

pub(super) fn check(findings: &mut Findings) {
    let config = findings.pipeline.config.clone();
    match config.model.and_then(|model| model.model) {
        Some(proto::detection_model::Model::Ssd(ssd)) => check_ssd(&ssd, findings),
        Some(proto::detection_model::Model::FasterRcnn(model)) => faster_rcnn::check(&model, findings),
        _ => {}
    }
}

fn check_ssd(ssd: &Ssd, findings: &mut Findings) {
    check_choices(ssd, findings);
    check_type(
        ssd.feature_extractor.as_ref().map(|extractor| extractor.r#type()),
        "model.ssd.feature_extractor",
        findings,
    );
    check_matcher(ssd, findings);
    check_ssd_anchors(ssd, findings);
    check_pyramid(ssd, findings);
    check_head(ssd, findings);
    check_codes(ssd, findings);
    check_network(ssd, findings);
    check_suppression(ssd.post_processing.as_ref(), "model.ssd.post_processing", findings);
    if let Some(loss) = &ssd.loss {
        if loss.classification_weight() == 0.0 && loss.localization_weight() == 0.0 {
            let path = "model.ssd.loss.classification_weight";
            findings.error(
                "bad-value",
                path,
                "both losses have the weight 0, so nothing is learnt",
                "usual: 1.0 for both",
            );
        }
        let classification = loss.classification_loss.as_ref();
        let kind = classification.and_then(|loss| loss.classification_loss.as_ref());
        let is_focal = matches!(kind, Some(proto::classification_loss::ClassificationLoss::WeightedSigmoidFocal(_)));
        if loss.hard_example_miner.is_some() && is_focal {
            let message =
                "hard_example_miner and weighted_sigmoid_focal contradict each other: both deal with easy examples";
            findings.error("conflict", "model.ssd.loss.hard_example_miner", message, "remove one of the two");
        }
        if let Some(post_processing) = &ssd.post_processing {
            check_scores(post_processing, classification, "model.ssd.post_processing", findings);
        }
    }
}

/// What the schema lets an SSD choose and only Faster R-CNN can use.
fn check_choices(ssd: &Ssd, findings: &mut Findings) {
    use proto::box_predictor::BoxPredictorOneof as Predictor;
    use proto::image_resizer::ImageResizerOneof as Resizer;
    let resizer = ssd.image_resizer.as_ref().and_then(|resizer| resizer.image_resizer_oneof.as_ref());
    let path = "model.ssd.image_resizer";
    let refused = match resizer {
        Some(Resizer::KeepAspectRatioResizer(keep)) if !keep.pad_to_max_dimension() => {
            Some(("keep_aspect_ratio_resizer", "add pad_to_max_dimension: true to it, or use fixed_shape_resizer"))
        }
        Some(Resizer::IdentityResizer(_)) => Some(("identity_resizer", "use fixed_shape_resizer")),
        Some(Resizer::ConditionalShapeResizer(_)) => Some(("conditional_shape_resizer", "use fixed_shape_resizer")),
        Some(Resizer::PadToMultipleResizer(_)) => Some(("pad_to_multiple_resizer", "use fixed_shape_resizer")),
        _ => None,
    };
    if let Some((name, fix)) = refused {
        let message = format!("`{name}` gives pictures of many sizes, and the anchors of an SSD are for one");
        findings.error("unsupported-field", &format!("{path}.{name}"), message, fix);
    }
    let extractor = ssd.feature_extractor.as_ref();
    let of_extractor = extractor.and_then(|extractor| extractor.conv_hyperparams.as_ref());
    check_op(of_extractor, "model.ssd.feature_extractor.conv_hyperparams", findings);
    let path = "model.ssd.box_predictor";
    match ssd.box_predictor.as_ref().and_then(|predictor| predictor.box_predictor_oneof.as_ref()) {
        Some(Predictor::ConvolutionalBoxPredictor(head)) => {
            let at = format!("{path}.convolutional_box_predictor.conv_hyperparams");
            check_op(head.conv_hyperparams.as_ref(), &at, findings);
        }
        Some(Predictor::WeightSharedConvolutionalBoxPredictor(head)) => {
            let at = format!("{path}.weight_shared_convolutional_box_predictor.conv_hyperparams");
            check_op(head.conv_hyperparams.as_ref(), &at, findings);
        }
        Some(Predictor::MaskRcnnBoxPredictor(_)) => findings.error(
            "unsupported-field",
            &format!("{path}.mask_rcnn_box_predictor"),
            "it is the head of Faster R-CNN's second stage",
            "use convolutional_box_predictor or weight_shared_convolutional_box_predictor",
        ),
        _ => {}
    }
}

/// Convolutions have settings for convolutions.
pub(super) fn check_op(hyperparams: Option<&Hyperparams>, path: &str, findings: &mut Findings) {
    if hyperparams.is_some_and(|hyperparams| hyperparams.op() == proto::hyperparams::Op::Fc) {
        let message = "`op` cannot be \"FC\" here: these layers are convolutions";
        findings.error("unsupported-value", &format!("{path}.op"), message, "use CONV");
    }
}

/// A network that is not named; a wrong name is found by the table.
pub(super) fn check_type(name: Option<&str>, path: &str, findings: &mut Findings) {
    if name == Some("") && findings.pipeline.position(&format!("{path}.type")).is_none() {
        findings.error(
            "missing-field",
            &format!("{path}.type"),
            "`type` is missing: the name of the network",
            "add `type` with the name of a network; `boxwright config new --list` has some",
        );
    }
}

fn check_matcher(ssd: &Ssd, findings: &mut Findings) {
    use proto::region_similarity_calculator::RegionSimilarity as Similarity;
    let Some(proto::matcher::MatcherOneof::ArgmaxMatcher(matcher)) =
        ssd.matcher.as_ref().and_then(|matcher| matcher.matcher_oneof.as_ref())
    else {
        return;
    };
    let path = "model.ssd.matcher.argmax_matcher";
    let similarity = ssd.similarity_calculator.as_ref().and_then(|similarity| similarity.region_similarity.as_ref());
    if matcher.ignore_thresholds() {
        return;
    }
    // A distance has no upper end; an overlap is a share.
    if !matches!(similarity, Some(Similarity::NegSqDistSimilarity(_))) {
        let thresholds = [
            ("matched_threshold", matcher.matched_threshold()),
            ("unmatched_threshold", matcher.unmatched_threshold()),
        ];
        for (name, value) in thresholds {
            if !(0.0..=1.0).contains(&value) && value.is_finite() {
                let message = format!("`{name}` is {value}, and an overlap is between 0 and 1");
                findings.error("bad-value", &format!("{path}.{name}"), message, "usual: 0.5");
                return;
            }
        }
    }
    if matcher.unmatched_threshold() > matcher.matched_threshold() {
        let given = match matcher.unmatched_threshold {
            Some(_) => "unmatched_threshold",
            None => "matched_threshold",
        };
        let message = format!(
            "unmatched_threshold is {}, above matched_threshold, which is {}",
            matcher.unmatched_threshold(),
            matcher.matched_threshold()
        );
        let fix = "lower unmatched_threshold to matched_threshold or below";
        findings.error("bad-value", &format!("{path}.{given}"), message, fix);
    } else if !matcher.negatives_lower_than_unmatched() && matcher.unmatched_threshold() == matcher.matched_threshold()
    {
        let message = "negatives that lie between two equal thresholds are none at all";
        let fix = "set negatives_lower_than_unmatched to true, or lower unmatched_threshold";
        findings.error("bad-value", &format!("{path}.negatives_lower_than_unmatched"), message, fix);
    }
}

/// An SSD's boxes are fractions of the picture, and so its anchors must be.
fn check_units(ssd: &Ssd, findings: &mut Findings) {
    use proto::anchor_generator::AnchorGeneratorOneof as Kind;
    let path = "model.ssd.anchor_generator";
    let (name, in_pixels) =
        match ssd.anchor_generator.as_ref().and_then(|anchors| anchors.anchor_generator_oneof.as_ref()) {
            Some(Kind::MultiscaleAnchorGenerator(levels)) => {
                ("multiscale_anchor_generator.normalize_coordinates", !levels.normalize_coordinates())
            }
            Some(Kind::FlexibleGridAnchorGenerator(grids)) => {
                ("flexible_grid_anchor_generator.normalize_coordinates", !grids.normalize_coordinates())
            }
            Some(Kind::GridAnchorGenerator(_)) => ("grid_anchor_generator", true),
            Some(Kind::SsdAnchorGenerator(_)) | None => return,
        };
    if in_pixels {
        let fix = if name.contains('.') { "set it to true" } else { "use ssd_anchor_generator" };
        let message = "it gives anchors in pixels, and the boxes of an SSD are fractions of the picture";
        findings.error("conflict", &format!("{path}.{name}"), message, fix);
    }
}

fn check_ssd_anchors(ssd: &Ssd, findings: &mut Findings) {
    check_units(ssd, findings);
    let Some(proto::anchor_generator::AnchorGeneratorOneof::SsdAnchorGenerator(anchors)) =
        ssd.anchor_generator.as_ref().and_then(|anchors| anchors.anchor_generator_oneof.as_ref())
    else {
        return;
    };
    let path = "model.ssd.anchor_generator.ssd_anchor_generator";
    let layers = anchors.num_layers();
    let extractor = ssd.feature_extractor.as_ref();
    let has_pyramid = extractor.is_some_and(|extractor| extractor.feature_pyramid_oneof.is_some());
    let maps = extractor.map_or(6, |extractor| extractor.num_layers());
    if has_pyramid {
        let message = "a feature pyramid has anchors by level, and these are by layer";
        findings.warning("anchors-and-pyramid", path, message, "use multiscale_anchor_generator");
    } else if maps > most_maps(extractor) {
        let message = format!("the network has 1 to {} feature maps and not {maps}", most_maps(extractor));
        findings.error("bad-value", "model.ssd.feature_extractor.num_layers", message, "usual: 6");
    } else if layers != maps && (1..=64).contains(&layers) && maps >= 1 {
        let message = format!("{layers} layers of anchors do not fit the {maps} feature maps of the model");
        findings.error("bad-value", &format!("{path}.num_layers"), message, format!("use {maps}"));
    }
    let lists = [
        ("scales", anchors.scales.len()),
        ("height_stride", anchors.height_stride.len()),
        ("width_stride", anchors.width_stride.len()),
        ("height_offset", anchors.height_offset.len()),
        ("width_offset", anchors.width_offset.len()),
    ];
    for (name, length) in lists {
        if length != 0 && usize::try_from(layers) != Ok(length) {
            let message = format!("`{name}` has {length} values for {layers} layers");
            findings.error("bad-value", &format!("{path}.{name}"), message, "give one value for each layer, or none");
        }
    }
    for (one, other, a, b) in [
        ("height_stride", "width_stride", &anchors.height_stride, &anchors.width_stride),
        ("height_offset", "width_offset", &anchors.height_offset, &anchors.width_offset),
    ] {
        let fits = |list: &[i32]| list.is_empty() || usize::try_from(layers) == Ok(list.len());
        if a.is_empty() != b.is_empty() && fits(a) && fits(b) {
            let (given, missing) = if b.is_empty() { (one, other) } else { (other, one) };
            let message = format!("`{given}` is given without `{missing}`");
            findings.error("missing-field", &format!("{path}.{given}"), message, format!("add `{missing}`"));
        }
    }
    if anchors.scales.is_empty() {
        let (least, most) = (anchors.min_scale(), anchors.max_scale());
        if least > most {
            let given = if anchors.min_scale.is_some() { "min_scale" } else { "max_scale" };
            let message = format!("scales cannot run from {least} to {most}");
            findings.error("bad-value", &format!("{path}.{given}"), message, "usual: 0.2 to 0.95");
        }
        if layers == 1 {
            let message = "one layer leaves no step from min_scale to max_scale";
            findings.error(
                "bad-value",
                &format!("{path}.num_layers"),
                message,
                "give the scale itself: `scales: [0.2]`",
            );
        }
    }
}

/// Feature maps that a network without a pyramid can have.
fn most_maps(extractor: Option<&proto::SsdFeatureExtractor>) -> i32 {
    if extractor.is_some_and(|extractor| extractor.r#type().contains("vgg16")) { 7 } else { 6 }
}

/// What single networks cannot be.
fn check_network(ssd: &Ssd, findings: &mut Findings) {
    let Some(extractor) = &ssd.feature_extractor else { return };
    let network = extractor.r#type();
    let at = |field: &str| format!("model.ssd.feature_extractor.{field}");
    if network.contains("resnet") || network.contains("vgg16") {
        let flags =
            [("use_explicit_padding", extractor.use_explicit_padding()), ("use_depthwise", extractor.use_depthwise())];
        for (name, _) in flags.into_iter().filter(|(_, set)| *set) {
            let message = format!("`{name}` is not for {network}");
            findings.error("conflict", &at(name), message, format!("set {name} to false"));
        }
    }
    if network.contains("mobiledet") && extractor.use_explicit_padding() {
        let message = format!("`use_explicit_padding` is not for {network}");
        findings.error("conflict", &at("use_explicit_padding"), message, "set use_explicit_padding to false");
    }
    if network.contains("vgg16") && extractor.depth_multiplier() != 1.0 && extractor.depth_multiplier() > 0.0 {
        let message = format!("{network} has one size only");
        findings.error("conflict", &at("depth_multiplier"), message, "set depth_multiplier to 1.0");
    }
    if network == "ssd_inception_v2" && !extractor.override_base_feature_extractor_hyperparams() {
        let message = "conv_hyperparams hold for the whole of ssd_inception_v2";
        let fix = "add `override_base_feature_extractor_hyperparams: true`";
        findings.error("conflict", &at("override_base_feature_extractor_hyperparams"), message, fix);
    }
    if network.contains("fpn") {
        check_pyramid_size(ssd, extractor, findings);
    }
}

/// Each level of a pyramid is twice as large as the next, or they cannot be added.
fn check_pyramid_size(ssd: &Ssd, extractor: &proto::SsdFeatureExtractor, findings: &mut Findings) {
    /// The coarsest level that a network has itself.
    const OWN: i32 = 5;
    let fpn = match &extractor.feature_pyramid_oneof {
        Some(ssd_feature_extractor::FeaturePyramidOneof::Fpn(fpn)) => *fpn,
        _ => proto::FeaturePyramidNetworks::default(),
    };
    let path = "model.ssd.feature_extractor.fpn.min_level";
    if (1..=12).contains(&fpn.min_level()) && !(2..=OWN).contains(&fpn.min_level()) {
        let message = format!("the finest level is {}, and networks have levels 2 to {OWN}", fpn.min_level());
        findings.error("bad-value", path, message, "usual: 3");
        return;
    }
    let Some(proto::image_resizer::ImageResizerOneof::FixedShapeResizer(size)) =
        ssd.image_resizer.as_ref().and_then(|resizer| resizer.image_resizer_oneof.as_ref())
    else {
        return;
    };
    let multiple = 1 << fpn.max_level().clamp(1, OWN);
    if extractor.use_explicit_padding() || fpn.max_level() <= fpn.min_level() {
        return;
    }
    let filled_up = extractor.pad_to_multiple().clamp(1, 1 << 16).cast_unsigned();
    for (name, side) in [("height", size.height()), ("width", size.width())] {
        let side = side.clamp(0, 1 << 16).cast_unsigned();
        let padded = side.next_multiple_of(filled_up);
        if side > 0 && padded % multiple != 0 {
            let message = format!("a {name} of {padded} does not halve evenly down the levels of the pyramid");
            let fix = format!("use a multiple of {multiple}, like {}", (side + multiple / 2) / multiple * multiple);
            findings.error("bad-value", &format!("model.ssd.image_resizer.fixed_shape_resizer.{name}"), message, fix);
        }
    }
}

pub(super) fn check_suppression(post_processing: Option<&proto::PostProcessing>, path: &str, findings: &mut Findings) {
    let Some(nms) = post_processing.and_then(|post_processing| post_processing.batch_non_max_suppression.as_ref())
    else {
        return;
    };
    let at = |field: &str| format!("{path}.batch_non_max_suppression.{field}");
    let (class, total) = (nms.max_detections_per_class(), nms.max_total_detections());
    if class > total && total > 0 {
        let given =
            if nms.max_detections_per_class.is_some() { "max_detections_per_class" } else { "max_total_detections" };
        let message = format!("{class} detections of one class do not fit the {total} of all classes");
        findings.error("bad-value", &at(given), message, "usual: 100 for both");
    }
    if nms.use_combined_nms() {
        let flags = [
            ("use_class_agnostic_nms", nms.use_class_agnostic_nms(), "false"),
            ("change_coordinate_frame", nms.change_coordinate_frame(), "false"),
            ("soft_nms_sigma", nms.soft_nms_sigma() > 0.0, "0"),
        ];
        for (name, _, wanted) in flags.into_iter().filter(|(_, set, _)| *set) {
            let message = format!("use_combined_nms does not allow `{name}`");
            findings.error(
                "conflict",
                &at(name),
                message,
                format!("set {name} to {wanted}, or use_combined_nms to false"),
            );
        }
    }
}

fn check_pyramid(ssd: &Ssd, findings: &mut Findings) {
    let Some(extractor) = &ssd.feature_extractor else { return };
    let anchors = ssd.anchor_generator.as_ref().and_then(|anchors| anchors.anchor_generator_oneof.as_ref());
    let path = "model.ssd.anchor_generator.multiscale_anchor_generator";
    match (&extractor.feature_pyramid_oneof, anchors) {
        (
            Some(ssd_feature_extractor::FeaturePyramidOneof::Fpn(fpn)),
            Some(proto::anchor_generator::AnchorGeneratorOneof::MultiscaleAnchorGenerator(levels)),
        ) => {
            let (of_fpn, of_anchors) = ((fpn.min_level(), fpn.max_level()), (levels.min_level(), levels.max_level()));
            if of_fpn != of_anchors {
                let message = format!(
                    "anchors of levels {} to {} do not fit the pyramid's levels {} to {}",
                    of_anchors.0, of_anchors.1, of_fpn.0, of_fpn.1
                );
                let name = if of_fpn.0 == of_anchors.0 { "max_level" } else { "min_level" };
                let fix = format!("set min_level to {} and max_level to {}", of_fpn.0, of_fpn.1);
                findings.error("bad-value", &format!("{path}.{name}"), message, fix);
            }
        }
        (None, Some(proto::anchor_generator::AnchorGeneratorOneof::MultiscaleAnchorGenerator(_)))
            if !extractor.r#type().contains("fpn") =>
        {
            let message = "anchors by level need a network with a feature pyramid";
            findings.error(
                "bad-value",
                path,
                message,
                "use ssd_anchor_generator, or a network whose name has fpn in it",
            );
        }
        _ => {}
    }
    if extractor.feature_pyramid_oneof.is_some()
        && !extractor.r#type().is_empty()
        && !extractor.r#type().contains("fpn")
    {
        let message = format!("the network \"{}\" has no feature pyramid", extractor.r#type());
        findings.error(
            "bad-value",
            "model.ssd.feature_extractor.fpn",
            message,
            "remove `fpn`, or name a network with fpn in it",
        );
    }
}

fn check_head(ssd: &Ssd, findings: &mut Findings) {
    use proto::box_predictor::BoxPredictorOneof as Kind;
    let path = "model.ssd.box_predictor";
    match ssd.box_predictor.as_ref().and_then(|predictor| predictor.box_predictor_oneof.as_ref()) {
        Some(Kind::ConvolutionalBoxPredictor(head)) if head.max_depth() > 0 && head.min_depth() > head.max_depth() => {
            let message =
                format!("`min_depth` is {}, above `max_depth`, which is {}", head.min_depth(), head.max_depth());
            let at = format!("{path}.convolutional_box_predictor.min_depth");
            findings.error("bad-value", &at, message, "make `min_depth` at most `max_depth`");
        }
        Some(Kind::WeightSharedConvolutionalBoxPredictor(head))
            if head.depth() == 0 && head.num_layers_before_predictor() > 0 =>
        {
            let message = format!("a tower of {} layers needs channels", head.num_layers_before_predictor());
            let at = format!("{path}.weight_shared_convolutional_box_predictor.depth");
            findings.error("missing-field", &at, message, "usual: depth 256, or 128 for a light network");
        }
        _ => {}
    }
}

/// The numbers of a box code are those that the coder makes, and the range that they are cut to has two ends.
fn check_codes(ssd: &Ssd, findings: &mut Findings) {
    use proto::box_coder::BoxCoderOneof as Coder;
    use proto::box_predictor::BoxPredictorOneof as Kind;
    use proto::localization_loss::LocalizationLoss as Loss;
    let path = "model.ssd.box_predictor";
    let (name, written, range) =
        match ssd.box_predictor.as_ref().and_then(|predictor| predictor.box_predictor_oneof.as_ref()) {
            Some(Kind::ConvolutionalBoxPredictor(head)) => (
                "convolutional_box_predictor",
                head.box_code_size(),
                head.box_encodings_clip_range.map(|range| (range.min, range.max)),
            ),
            Some(Kind::WeightSharedConvolutionalBoxPredictor(head)) => (
                "weight_shared_convolutional_box_predictor",
                head.box_code_size(),
                head.box_encodings_clip_range.map(|range| (range.min, range.max)),
            ),
            _ => return,
        };
    if let Some((min, max)) = range
        && (min.is_none() || max.is_none())
    {
        let at = format!("{path}.{name}.box_encodings_clip_range");
        findings.error("bad-value", &at, "it needs a min and a max", "like { min: -10 max: 10 }");
    }
    let coder = ssd.box_coder.as_ref().and_then(|coder| coder.box_coder_oneof.as_ref());
    let (coder, made) = match coder {
        Some(Coder::SquareBoxCoder(_)) => ("square_box_coder", 3),
        Some(Coder::FasterRcnnBoxCoder(_)) => ("faster_rcnn_box_coder", 4),
        Some(Coder::MeanStddevBoxCoder(_)) => ("mean_stddev_box_coder", 4),
        Some(Coder::KeypointBoxCoder(_)) | None => return,
    };
    if written != made {
        let message = format!("`box_code_size` is {written}, and {coder} makes codes of {made} numbers");
        findings.error("bad-value", &format!("{path}.{name}.box_code_size"), message, format!("set it to {made}"));
    }
    let loss = ssd.loss.as_ref().and_then(|loss| loss.localization_loss.as_ref()?.localization_loss.as_ref());
    let name = match loss {
        Some(Loss::WeightedIou(_)) => "weighted_iou",
        Some(Loss::WeightedGiou(_)) => "weighted_giou",
        _ => return,
    };
    if made != 4 {
        let message = format!("`{name}` compares boxes of 4 numbers, and {coder} makes codes of {made}");
        let at = format!("model.ssd.loss.localization_loss.{name}");
        findings.error("conflict", &at, message, "use weighted_smooth_l1 { }");
    }
}

/// Scores have to be converted as the loss learns them.
pub(super) fn check_scores(
    post_processing: &proto::PostProcessing,
    loss: Option<&proto::ClassificationLoss>,
    path: &str,
    findings: &mut Findings,
) {
    use proto::classification_loss::ClassificationLoss as Loss;
    use proto::post_processing::ScoreConverter;
    let wanted = match loss.and_then(|loss| loss.classification_loss.as_ref()) {
        Some(Loss::WeightedSigmoid(_) | Loss::WeightedSigmoidFocal(_)) => ScoreConverter::Sigmoid,
        Some(Loss::WeightedSoftmax(_)) => ScoreConverter::Softmax,
        _ => return,
    };
    if post_processing.score_converter() != wanted {
        let message = format!(
            "scores are converted by {} but the classification loss learns for {}",
            post_processing.score_converter().as_str_name(),
            wanted.as_str_name()
        );
        let fix = format!("set score_converter to {}", wanted.as_str_name());
        findings.warning("score-converter", &format!("{path}.score_converter"), message, fix);
    }
}
