//! Parts of a Faster R-CNN that do not fit each other.

use super::Findings;
use super::model::{check_op, check_scores, check_suppression, check_type};
use crate::proto::{self, FasterRcnn};

pub(super) fn check(model: &FasterRcnn, findings: &mut Findings) {
    let path = "model.faster_rcnn";
    let at = |field: &str| format!("{path}.{field}");
    check_type(
        model.feature_extractor.as_ref().map(|extractor| extractor.r#type()),
        &at("feature_extractor"),
        findings,
    );
    if let Some(extractor) = &model.feature_extractor
        && extractor.r#type().ends_with("_keras")
        && extractor.first_stage_features_stride() == 8
    {
        let message = format!("the network \"{}\" has a stride of 16 only", extractor.r#type());
        findings.error("conflict", &at("feature_extractor.first_stage_features_stride"), message, "use 16");
    }
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
    if model.number_of_stages() == 3 {
        let message = "the third stage predicts masks, which are not trained here";
        findings.error("unsupported-value", &at("number_of_stages"), message, "use 2");
    }
    check_sizes(model, findings);
    check_op(
        model.first_stage_box_predictor_conv_hyperparams.as_ref(),
        &at("first_stage_box_predictor_conv_hyperparams"),
        findings,
    );
    if model.number_of_stages() < 2 {
        return;
    }
    check_head(model, findings);
    if let Some(post_processing) = &model.second_stage_post_processing {
        check_second_stage_scores(post_processing, model.second_stage_classification_loss.as_ref(), findings);
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

/// Pictures of one batch have one size.
fn check_sizes(model: &FasterRcnn, findings: &mut Findings) {
    use proto::image_resizer::ImageResizerOneof as Resizer;
    let batch = findings.pipeline.config.train_config.as_ref().map_or(1, |train| train.batch_size());
    let many = match model.image_resizer.as_ref().and_then(|resizer| resizer.image_resizer_oneof.as_ref()) {
        Some(Resizer::KeepAspectRatioResizer(keep)) => !keep.pad_to_max_dimension(),
        Some(Resizer::FixedShapeResizer(_)) | None => false,
        Some(_) => true,
    };
    if batch > 1 && many {
        let message =
            format!("the resizer gives pictures of many sizes, which do not fit together in batches of {batch}");
        let fix = "set batch_size to 1, or use a keep_aspect_ratio_resizer with pad_to_max_dimension: true";
        // Where pictures happen to be of one size, all is well; the trainer names the first that is not.
        findings.warning("batch-of-many-sizes", "train_config.batch_size", message, fix);
    }
}

/// The head of the second stage.
fn check_head(model: &FasterRcnn, findings: &mut Findings) {
    use proto::box_predictor::BoxPredictorOneof as Kind;
    let path = "model.faster_rcnn.second_stage_box_predictor";
    let Some(kind) = model.second_stage_box_predictor.as_ref().and_then(|head| head.box_predictor_oneof.as_ref())
    else {
        return;
    };
    let Kind::MaskRcnnBoxPredictor(head) = kind else {
        let name = match kind {
            Kind::ConvolutionalBoxPredictor(_) => "convolutional_box_predictor",
            Kind::WeightSharedConvolutionalBoxPredictor(_) => "weight_shared_convolutional_box_predictor",
            // Refused by the table.
            Kind::RfcnBoxPredictor(_) | Kind::MaskRcnnBoxPredictor(_) => return,
        };
        let message = format!("`{name}` is a head of an SSD");
        findings.error("unsupported-field", &format!("{path}.{name}"), message, "use mask_rcnn_box_predictor");
        return;
    };
    let at = |field: &str| format!("{path}.mask_rcnn_box_predictor.{field}");
    let Some(layers) = &head.fc_hyperparams else {
        let message = "`fc_hyperparams` is missing: the settings of the head's layers";
        findings.error("missing-field", &at("fc_hyperparams"), message, "add `fc_hyperparams { op: FC }`");
        return;
    };
    if layers.op() == proto::hyperparams::Op::Conv {
        let message = "the head's layers are fully connected, and `op` is CONV";
        let place = if layers.op.is_some() { at("fc_hyperparams.op") } else { at("fc_hyperparams") };
        findings.error("bad-value", &place, message, "set op to FC");
    }
    let name = match layers.normalizer_oneof {
        Some(proto::hyperparams::NormalizerOneof::BatchNorm(_)) => "batch_norm",
        Some(proto::hyperparams::NormalizerOneof::SyncBatchNorm(_)) => "sync_batch_norm",
        _ => return,
    };
    let message = format!("`{name}` is refused in the head: its layers have none here");
    findings.error("unsupported-field", &at(&format!("fc_hyperparams.{name}")), message, format!("remove `{name}`"));
}

/// Scores and suppression of the second stage.
fn check_second_stage_scores(
    post_processing: &proto::PostProcessing,
    loss: Option<&proto::ClassificationLoss>,
    findings: &mut Findings,
) {
    let path = "model.faster_rcnn.second_stage_post_processing";
    if post_processing.batch_non_max_suppression.as_ref().is_some_and(|nms| nms.use_combined_nms()) {
        let message = "`use_combined_nms` is refused here: it takes fractions, and the second stage has pixels";
        let at = format!("{path}.batch_non_max_suppression.use_combined_nms");
        findings.error("unsupported-field", &at, message, "set use_combined_nms to false");
    }
    // TFOD's second stage learns a softmax where no loss is named.
    let softmax = proto::ClassificationLoss {
        classification_loss: Some(proto::classification_loss::ClassificationLoss::WeightedSoftmax(
            proto::WeightedSoftmaxClassificationLoss::default(),
        )),
    };
    let loss = loss.filter(|loss| loss.classification_loss.is_some()).unwrap_or(&softmax);
    check_scores(post_processing, Some(loss), path, findings);
}
