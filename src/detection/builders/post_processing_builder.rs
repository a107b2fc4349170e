//! The `post_processing` message (TFOD's `post_processing_builder`).

use boxwright_config::proto;
use boxwright_core::label_map::LabelId;

use super::{BuildError, Built, number, refuse, required, size};
use crate::post_processing::{Calibration, CalibrationCurve, NonMaxSuppression, PostProcessing, ScoreConverter};

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
    Ok(PostProcessing {
        non_max_suppression: non_max_suppression(nms).map_err(|e| e.within("batch_non_max_suppression"))?,
        score_converter: match config.score_converter() {
            proto::post_processing::ScoreConverter::Identity => ScoreConverter::Identity,
            proto::post_processing::ScoreConverter::Sigmoid => ScoreConverter::Sigmoid,
            proto::post_processing::ScoreConverter::Softmax => ScoreConverter::Softmax,
        },
        logit_scale: number(config.logit_scale(), 1e-6..=1e6, "logit_scale")?,
        calibration: config.calibration_config.as_ref().map(calibration).transpose()?,
    })
}

fn calibration(config: &proto::CalibrationConfig) -> Built<Calibration> {
    use proto::calibration_config::Calibrator as Kind;
    const PATH: &str = "calibration_config";
    let none_in_tfod = |name: &str| {
        refuse(&format!("{PATH}.{name}"), "has no meaning in TFOD either; use function_approximation { … }")
    };
    match &config.calibrator {
        Some(Kind::FunctionApproximation(approximation)) => {
            let field = format!("{PATH}.function_approximation.x_y_pairs");
            curve(approximation.x_y_pairs.as_ref(), &field).map(Calibration::Curve)
        }
        Some(Kind::ClassIdFunctionApproximations(approximations)) => {
            let field = format!("{PATH}.class_id_function_approximations.class_id_xy_pairs_map");
            let columns = approximations.class_id_xy_pairs_map.iter().map(|(&id, pairs)| {
                let column = size(id, 0..=LabelId::MAX as usize, &field)?;
                Ok((column, curve(Some(pairs), &format!("{field}[{id}]"))?))
            });
            columns.collect::<Built<_>>().map(Calibration::CurveByColumn)
        }
        Some(Kind::TemperatureScalingCalibration(scaling)) => {
            let field = format!("{PATH}.temperature_scaling_calibration.scaler");
            number(scaling.scaler(), 1e-6..=1e6, &field).map(Calibration::Temperature)
        }
        Some(Kind::SigmoidCalibration(_)) => none_in_tfod("sigmoid_calibration"),
        Some(Kind::ClassIdSigmoidCalibrations(_)) => none_in_tfod("class_id_sigmoid_calibrations"),
        None => refuse(PATH, "names no calibrator; remove it, or add function_approximation { … }"),
    }
}

fn curve(pairs: Option<&proto::XyPairs>, field: &str) -> Built<CalibrationCurve> {
    let points = pairs.map(|pairs| pairs.x_y_pair.iter().map(|pair| (pair.x(), pair.y())).collect());
    CalibrationCurve::new(points.unwrap_or_default())
        .ok_or_else(|| BuildError::new(field, "needs points whose x rises from one to the next, all of them numbers"))
}

fn non_max_suppression(config: &proto::BatchNonMaxSuppression) -> Built<NonMaxSuppression> {
    let soft_nms_sigma = number(config.soft_nms_sigma(), 0.0..=1e6, "soft_nms_sigma")?;
    if config.use_class_agnostic_nms() && config.max_classes_per_detection() > 1 {
        return refuse("max_classes_per_detection", "more than 1 class a box is not supported; set it to 1");
    }
    let combined = config.use_combined_nms();
    if combined {
        for (set, field) in [
            (config.use_class_agnostic_nms(), "use_class_agnostic_nms"),
            (config.change_coordinate_frame(), "change_coordinate_frame"),
        ] {
            if set {
                return refuse(field, "is true, which use_combined_nms does not allow; set it to false");
            }
        }
        if soft_nms_sigma != 0.0 {
            return refuse("soft_nms_sigma", "is above 0, which use_combined_nms does not allow; set it to 0");
        }
    }
    let max_detections_per_class =
        size(config.max_detections_per_class(), 1..=MAX_DETECTIONS, "max_detections_per_class")?;
    let max_total_detections = size(config.max_total_detections(), 1..=MAX_DETECTIONS, "max_total_detections")?;
    if max_detections_per_class > max_total_detections {
        return refuse(
            "max_detections_per_class",
            format!("is {max_detections_per_class}, more than max_total_detections, which is {max_total_detections}"),
        );
    }
    Ok(NonMaxSuppression {
        score_threshold: number(config.score_threshold(), -1e30..=1e30, "score_threshold")?,
        iou_threshold: number(config.iou_threshold(), 0.0..=1.0, "iou_threshold")?,
        max_detections_per_class,
        max_total_detections,
        // Hard suppression is what a sigma of 0 means.
        soft_nms_sigma: if config.use_hard_nms() { 0.0 } else { soft_nms_sigma },
        class_agnostic: config.use_class_agnostic_nms(),
        change_coordinate_frame: config.change_coordinate_frame(),
        combined,
    })
}
