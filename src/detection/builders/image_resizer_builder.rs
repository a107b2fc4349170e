//! The `image_resizer` message (TFOD's `image_resizer_builder`).

use boxwright_config::proto;

use super::{Built, refuse, size};
use crate::image_resizer::{ImageResizer, ResizeMethod, Sizing};

/// Longest side of a picture that a model may ask for.
const MAX_SIDE: usize = 8192;

/// The `image_resizer` message.
///
/// # Errors
/// No resizer, an impossible size, or padding without three values.
pub fn image_resizer(config: &proto::ImageResizer) -> Built<ImageResizer> {
    use proto::image_resizer::ImageResizerOneof as Kind;
    let (sizing, method, convert_to_grayscale) = match &config.image_resizer_oneof {
        Some(Kind::FixedShapeResizer(fixed)) => {
            let height = size(fixed.height(), 1..=MAX_SIDE, "fixed_shape_resizer.height")?;
            let width = size(fixed.width(), 1..=MAX_SIDE, "fixed_shape_resizer.width")?;
            (Sizing::FixedShape { height, width }, fixed.resize_method(), fixed.convert_to_grayscale())
        }
        Some(Kind::KeepAspectRatioResizer(keep)) => {
            (keep_aspect_ratio(keep)?, keep.resize_method(), keep.convert_to_grayscale())
        }
        Some(Kind::IdentityResizer(_)) => (Sizing::Identity, proto::ResizeType::Bilinear, false),
        Some(Kind::ConditionalShapeResizer(conditional)) => {
            (conditional_shape(conditional)?, conditional.resize_method(), conditional.convert_to_grayscale())
        }
        Some(Kind::PadToMultipleResizer(pad)) => {
            let multiple = size(pad.multiple(), 1..=MAX_SIDE, "pad_to_multiple_resizer.multiple")?;
            (Sizing::PadToMultiple { multiple }, proto::ResizeType::Bilinear, pad.convert_to_grayscale())
        }
        None => return refuse("", "names no resizer; add fixed_shape_resizer { height: 300 width: 300 }"),
    };
    Ok(ImageResizer { sizing, method: resize_method(method), convert_to_grayscale })
}

/// The `image_resizer` of a model. The networks of this house take three channels.
///
/// # Errors
/// As [`image_resizer`], and `convert_to_grayscale`.
pub fn model_image_resizer(config: &proto::ImageResizer) -> Built<ImageResizer> {
    let resizer = image_resizer(config)?;
    if resizer.convert_to_grayscale {
        let message = match resizer.sizing {
            Sizing::FixedShape { .. } => "fixed_shape_resizer",
            Sizing::KeepAspectRatio { .. } => "keep_aspect_ratio_resizer",
            Sizing::PadToMultiple { .. } => "pad_to_multiple_resizer",
            Sizing::Identity | Sizing::ShrinkTo { .. } | Sizing::GrowTo { .. } => "conditional_shape_resizer",
        };
        return refuse(
            &format!("{message}.convert_to_grayscale"),
            "makes pictures with one channel, and the networks take three; set it to false",
        );
    }
    Ok(resizer)
}

/// TFOD's resize methods.
fn resize_method(method: proto::ResizeType) -> ResizeMethod {
    match method {
        proto::ResizeType::Bilinear => ResizeMethod::Bilinear,
        proto::ResizeType::NearestNeighbor => ResizeMethod::NearestNeighbor,
        proto::ResizeType::Bicubic => ResizeMethod::Bicubic,
        proto::ResizeType::Area => ResizeMethod::Area,
    }
}

fn keep_aspect_ratio(keep: &proto::KeepAspectRatioResizer) -> Built<Sizing> {
    let min_dimension = size(keep.min_dimension(), 1..=MAX_SIDE, "keep_aspect_ratio_resizer.min_dimension")?;
    let max_dimension = size(keep.max_dimension(), 1..=MAX_SIDE, "keep_aspect_ratio_resizer.max_dimension")?;
    if min_dimension > max_dimension {
        return refuse(
            "keep_aspect_ratio_resizer.min_dimension",
            format!("is {min_dimension}, above max_dimension, which is {max_dimension}"),
        );
    }
    let colour = match *keep.per_channel_pad_value {
        [] => [0.0; 3],
        [r, g, b] if [r, g, b].iter().all(|v| v.is_finite()) => [r, g, b],
        _ => {
            return refuse(
                "keep_aspect_ratio_resizer.per_channel_pad_value",
                "needs three finite values, for R, G and B",
            );
        }
    };
    Ok(Sizing::KeepAspectRatio { min_dimension, max_dimension, pad: keep.pad_to_max_dimension().then_some(colour) })
}

fn conditional_shape(conditional: &proto::ConditionalShapeResizer) -> Built<Sizing> {
    use proto::conditional_shape_resizer::ResizeCondition;
    let threshold = size(conditional.size_threshold(), 1..=MAX_SIDE, "conditional_shape_resizer.size_threshold")?;
    match conditional.condition() {
        ResizeCondition::Greater => Ok(Sizing::ShrinkTo { max_dimension: threshold }),
        ResizeCondition::Smaller => Ok(Sizing::GrowTo { min_dimension: threshold }),
        ResizeCondition::Invalid => refuse("conditional_shape_resizer.condition", "is INVALID; use GREATER or SMALLER"),
    }
}
