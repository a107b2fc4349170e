//! The `post_processing` message (TFOD's `post_processing_builder`).

use boxwright_config::proto;

use super::{Built, number, refuse, required, size};
use crate::post_processing::{NonMaxSuppression, PostProcessing, ScoreConverter};

/// More detections of one picture than this are not kept.
const MAX_DETECTIONS: usize = 100_000;

/// Suppression and score conversion.
///
/// # Errors
/// Something that is not supported, or an impossible value.
pub fn post_processing(config: &proto::PostProcessing) -> Built<PostProcessing> {
    let nms = required(
        &config.batch_non_max_suppression,
        "batch_non_max_suppression",
        "is not set; add batch_non_max_suppression { score_threshold: 1e-8 iou_threshold: 0.6 }",
    )?;
    if config.calibration_config.is_some() {
        return refuse("calibration_config", "is not supported; remove it");
    }
    Ok(PostProcessing {
        non_max_suppression: non_max_suppression(nms).map_err(|e| e.within("batch_non_max_suppression"))?,
        score_converter: match config.score_converter() {
            proto::post_processing::ScoreConverter::Identity => ScoreConverter::Identity,
            proto::post_processing::ScoreConverter::Sigmoid => ScoreConverter::Sigmoid,
            proto::post_processing::ScoreConverter::Softmax => ScoreConverter::Softmax,
        },
        logit_scale: number(config.logit_scale(), 1e-6..=1e6, "logit_scale")?,
    })
}

fn non_max_suppression(config: &proto::BatchNonMaxSuppression) -> Built<NonMaxSuppression> {
    for (set, field) in
        [(config.use_partitioned_nms(), "use_partitioned_nms"), (config.use_combined_nms(), "use_combined_nms")]
    {
        if set {
            return refuse(field, "is not supported; set it to false");
        }
    }
    let soft_nms_sigma = number(config.soft_nms_sigma(), 0.0..=1e6, "soft_nms_sigma")?;
    if config.use_class_agnostic_nms() && config.max_classes_per_detection() > 1 {
        return refuse("max_classes_per_detection", "more than 1 class a box is not supported; set it to 1");
    }
    Ok(NonMaxSuppression {
        score_threshold: number(config.score_threshold(), -1e30..=1e30, "score_threshold")?,
        iou_threshold: number(config.iou_threshold(), 0.0..=1.0, "iou_threshold")?,
        max_detections_per_class: size(
            config.max_detections_per_class(),
            1..=MAX_DETECTIONS,
            "max_detections_per_class",
        )?,
        max_total_detections: size(config.max_total_detections(), 0..=MAX_DETECTIONS, "max_total_detections")?,
        // Hard suppression is what a sigma of 0 means.
        soft_nms_sigma: if config.use_hard_nms() { 0.0 } else { soft_nms_sigma },
        class_agnostic: config.use_class_agnostic_nms(),
        change_coordinate_frame: config.change_coordinate_frame(),
    })
}
