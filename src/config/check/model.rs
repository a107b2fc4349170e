//! Parts of a model that do not fit each other.

use super::Findings;
use crate::proto::{self, FasterRcnn, Ssd, ssd_feature_extractor};

pub(super) fn check(findings: &mut Findings) {
    let config = findings.pipeline.config.clone();
    match config.model.and_then(|model| model.model) {
        Some(proto::detection_model::Model::Ssd(ssd)) => check_ssd(&ssd, findings),
        Some(proto::detection_model::Model::FasterRcnn(model)) => check_faster_rcnn(&model, findings),
        _ => {}
    }
}

fn check_ssd(ssd: &Ssd, findings: &mut Findings) {
    check_type(
        ssd.feature_extractor.as_ref().map(|extractor| extractor.r#type()),
        "model.ssd.feature_extractor",
        findings,
    );
    check_matcher(ssd, findings);
    check_ssd_anchors(ssd, findings);
    check_pyramid(ssd, findings);
    check_head(ssd, findings);
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

/// A network that is not named; a wrong name is found by the table.
fn check_type(name: Option<&str>, path: &str, findings: &mut Findings) {
    if name == Some("") && findings.pipeline.position(&format!("{path}.type")).is_none() {
        findings.error(
            "missing-field",
            &format!("{path}.type"),
            "`type` is missing: the name of the network",
            "add `type: \"ssd_mobilenet_v1\"`, or another network",
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

fn check_ssd_anchors(ssd: &Ssd, findings: &mut Findings) {
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
    if extractor.use_explicit_padding()
        || extractor.pad_to_multiple() % multiple == 0
        || fpn.max_level() <= fpn.min_level()
    {
        return;
    }
    for (name, side) in [("height", size.height()), ("width", size.width())] {
        if side > 0 && side % multiple != 0 {
            let message = format!("a {name} of {side} does not halve evenly down the levels of the pyramid");
            let fix = format!("use a multiple of {multiple}, like {}", (side + multiple / 2) / multiple * multiple);
            findings.error("bad-value", &format!("model.ssd.image_resizer.fixed_shape_resizer.{name}"), message, fix);
        }
    }
}

fn check_suppression(post_processing: Option<&proto::PostProcessing>, path: &str, findings: &mut Findings) {
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

/// Scores have to be converted as the loss learns them.
fn check_scores(
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

fn check_faster_rcnn(model: &FasterRcnn, findings: &mut Findings) {
    let path = "model.faster_rcnn";
    let at = |field: &str| format!("{path}.{field}");
    check_type(
        model.feature_extractor.as_ref().map(|extractor| extractor.r#type()),
        &at("feature_extractor"),
        findings,
    );
    if let Some(extractor) = &model.feature_extractor
        && (9..16).contains(&extractor.first_stage_features_stride())
    {
        let message = format!("`first_stage_features_stride` is {}", extractor.first_stage_features_stride());
        findings.error("bad-value", &at("feature_extractor.first_stage_features_stride"), message, "use 8 or 16");
    }
    if let Some(kind) =
        model.first_stage_anchor_generator.as_ref().and_then(|anchors| anchors.anchor_generator_oneof.as_ref())
        && !matches!(kind, proto::anchor_generator::AnchorGeneratorOneof::GridAnchorGenerator(_))
    {
        let message = "the first stage has one feature map, which takes one grid of anchors";
        findings.error("bad-value", &at("first_stage_anchor_generator"), message, "use grid_anchor_generator");
    }
    if model.number_of_stages() < 2 {
        return;
    }
    check_suppression(model.second_stage_post_processing.as_ref(), &at("second_stage_post_processing"), findings);
    let crop = [
        ("initial_crop_size", model.initial_crop_size, 512, "14"),
        ("maxpool_kernel_size", model.maxpool_kernel_size, 64, "2"),
        ("maxpool_stride", model.maxpool_stride, 64, "2"),
    ];
    for (name, value, most, usual) in crop {
        match value {
            Some(value) if (1..=most).contains(&value) => {}
            Some(value) => {
                let message = format!("`{name}` is {value}, and it must be between 1 and {most}");
                findings.error("bad-value", &at(name), message, format!("usual: {usual}"));
            }
            None => {
                let message = format!("`{name}` is missing, which the second stage needs");
                findings.error("missing-field", &at(name), message, format!("add `{name}: {usual}`"));
            }
        }
    }
    if model.maxpool_kernel_size() > model.initial_crop_size() && model.initial_crop_size() > 0 {
        let message =
            format!("a pooling of {} does not fit crops of {}", model.maxpool_kernel_size(), model.initial_crop_size());
        findings.error("bad-value", &at("maxpool_kernel_size"), message, "usual: 2, with an initial_crop_size of 14");
    }
    if model.second_stage_batch_size() > model.first_stage_max_proposals() && model.first_stage_max_proposals() > 0 {
        let message = format!(
            "the second stage cannot sample {} of {} proposals",
            model.second_stage_batch_size(),
            model.first_stage_max_proposals()
        );
        let given = if model.second_stage_batch_size.is_some() {
            "second_stage_batch_size"
        } else {
            "first_stage_max_proposals"
        };
        findings.error(
            "bad-value",
            &at(given),
            message,
            "usual: second_stage_batch_size 64 and first_stage_max_proposals 300",
        );
    }
    for (name, missing) in [
        ("second_stage_box_predictor", model.second_stage_box_predictor.is_none()),
        ("second_stage_post_processing", model.second_stage_post_processing.is_none()),
    ] {
        if missing {
            findings.error(
                "missing-field",
                &at(name),
                format!("`{name}` is missing"),
                format!("add `{name} {{ … }}`, or set number_of_stages to 1"),
            );
        }
    }
    let weights = [
        model.first_stage_localization_loss_weight(),
        model.first_stage_objectness_loss_weight(),
        model.second_stage_localization_loss_weight(),
        model.second_stage_classification_loss_weight(),
    ];
    if weights == [0.0; 4] {
        let message = "all losses have the weight 0, so nothing is learnt";
        findings.error("bad-value", &at("first_stage_localization_loss_weight"), message, "usual: 1.0 or 2.0");
    }
}
