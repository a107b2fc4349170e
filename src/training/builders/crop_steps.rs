//! The crops and paddings of `data_augmentation_options`.

use boxwright_config::proto;

use super::preprocessor_builder::{Built, PART, POSITIVE, Place};
use crate::augmentation::{AugmentationStep, CropOperation, CropPadOperation, FrameStep, PadOperation};

/// The longest side of a canvas.
const MAX_SIDE: usize = 16_384;

/// The fields that all messages of crops have.
macro_rules! crop_operation {
    ($message:expr, $aspect_ratio_range:expr) => {
        CropOperation {
            min_object_covered: $message.min_object_covered(),
            aspect_ratio_range: $aspect_ratio_range,
            area_range: ($message.min_area(), $message.max_area()),
            overlap_thresh: $message.overlap_thresh(),
            clip_boxes: $message.clip_boxes(),
            random_coef: $message.random_coef(),
        }
    };
    ($message:expr) => {
        crop_operation!($message, ($message.min_aspect_ratio(), $message.max_aspect_ratio()))
    };
}

pub(super) fn crop_image(m: &proto::RandomCropImage, place: &Place) -> Built<AugmentationStep> {
    Ok(FrameStep::RandomCrop { operations: vec![place.crop(crop_operation!(m))?] }.into())
}

pub(super) fn ssd_crop(m: &proto::SsdRandomCrop, place: &Place) -> Built<AugmentationStep> {
    let operation = |m: &proto::SsdRandomCropOperation, place: &Place| place.crop(crop_operation!(m));
    let operations = place.operations(&m.operations, CropOperation::ssd_defaults, operation)?;
    Ok(FrameStep::RandomCrop { operations }.into())
}

pub(super) fn crop_to_aspect_ratio(m: &proto::RandomCropToAspectRatio, place: &Place) -> Built<AugmentationStep> {
    let aspect_ratio = place.number(m.aspect_ratio(), POSITIVE, "aspect_ratio")?;
    let overlap_thresh = place.number(m.overlap_thresh(), PART, "overlap_thresh")?;
    Ok(FrameStep::RandomCropToAspectRatio { aspect_ratio, overlap_thresh, clip_boxes: m.clip_boxes() }.into())
}

pub(super) fn ssd_crop_fixed_aspect_ratio(
    m: &proto::SsdRandomCropFixedAspectRatio,
    place: &Place,
) -> Built<AugmentationStep> {
    let aspect_ratio = place.number(m.aspect_ratio(), POSITIVE, "aspect_ratio")?;
    let fixed = (aspect_ratio, aspect_ratio);
    let defaults = || {
        let operations = CropOperation::ssd_defaults().into_iter();
        operations.map(|operation| CropOperation { aspect_ratio_range: fixed, ..operation }).collect()
    };
    let operation =
        |m: &proto::SsdRandomCropFixedAspectRatioOperation, place: &Place| place.crop(crop_operation!(m, fixed));
    let operations = place.operations(&m.operations, defaults, operation)?;
    Ok(FrameStep::RandomCropFixedAspectRatio { operations, aspect_ratio }.into())
}

pub(super) fn ssd_crop_pad_fixed_aspect_ratio(
    m: &proto::SsdRandomCropPadFixedAspectRatio,
    place: &Place,
) -> Built<AugmentationStep> {
    let operation =
        |m: &proto::SsdRandomCropPadFixedAspectRatioOperation, place: &Place| place.crop(crop_operation!(m));
    let (min_padded_size_ratio, max_padded_size_ratio) =
        place.padded_size_ratios(&m.min_padded_size_ratio, &m.max_padded_size_ratio)?;
    let step = FrameStep::RandomCropPadFixedAspectRatio {
        operations: place.operations(&m.operations, CropOperation::ssd_defaults, operation)?,
        aspect_ratio: place.number(m.aspect_ratio(), POSITIVE, "aspect_ratio")?,
        min_padded_size_ratio,
        max_padded_size_ratio,
    };
    Ok(step.into())
}

pub(super) fn pad_image(m: &proto::RandomPadImage, place: &Place) -> Built<AugmentationStep> {
    let min = [m.min_image_height, m.min_image_width];
    let max = [m.max_image_height, m.max_image_width];
    let operation = PadOperation {
        min_image_size: place.optional_size(min, ["min_image_height", "min_image_width"])?,
        max_image_size: place.optional_size(max, ["max_image_height", "max_image_width"])?,
        pad_color: place.pad_color(&m.pad_color)?,
    };
    Ok(FrameStep::RandomPadImage(operation).into())
}

pub(super) fn absolute_pad_image(m: &proto::RandomAbsolutePadImage, place: &Place) -> Built<AugmentationStep> {
    let padding = |value: i32, field: &str| {
        // As in TFOD, none means less than 1, which is none.
        place.whole(value, 0..=MAX_SIDE, field).map(|padding| padding.max(1))
    };
    let step = FrameStep::RandomAbsolutePadImage {
        max_padding: (
            padding(m.max_height_padding(), "max_height_padding")?,
            padding(m.max_width_padding(), "max_width_padding")?,
        ),
        pad_color: place.pad_color(&m.pad_color)?,
    };
    Ok(step.into())
}

pub(super) fn crop_pad_image(m: &proto::RandomCropPadImage, place: &Place) -> Built<AugmentationStep> {
    let (min_padded_size_ratio, max_padded_size_ratio) =
        place.padded_size_ratios(&m.min_padded_size_ratio, &m.max_padded_size_ratio)?;
    let operation = CropPadOperation {
        crop: place.crop(crop_operation!(m))?,
        min_padded_size_ratio,
        max_padded_size_ratio,
        pad_color: place.pad_color(&m.pad_color)?,
    };
    Ok(FrameStep::RandomCropPad { operations: vec![operation] }.into())
}

pub(super) fn ssd_crop_pad(m: &proto::SsdRandomCropPad, place: &Place) -> Built<AugmentationStep> {
    let operation = |m: &proto::SsdRandomCropPadOperation, place: &Place| {
        let (min_padded_size_ratio, max_padded_size_ratio) =
            place.padded_size_ratios(&m.min_padded_size_ratio, &m.max_padded_size_ratio)?;
        // Only the operations that are TFOD's own take the mean; those of a config have a colour, black by default.
        let pad_color = place.pad_color(&[m.pad_color_r(), m.pad_color_g(), m.pad_color_b()])?;
        let crop = place.crop(crop_operation!(m))?;
        Ok(CropPadOperation { crop, min_padded_size_ratio, max_padded_size_ratio, pad_color })
    };
    let operations = place.operations(&m.operations, CropPadOperation::ssd_defaults, operation)?;
    Ok(FrameStep::RandomCropPad { operations }.into())
}
