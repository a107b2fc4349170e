//! From `data_augmentation_options` to the steps of augmentation (TFOD's `preprocessor_builder`).
//!
//! Defaults are those of the schema, and where TFOD's builder passes on only what is set, those of its
//! functions. Values that no image survives are refused here, before the first one is read.

use std::ops::RangeInclusive;

use boxwright_config::proto;
use boxwright_core::label_map::{ClassIndex, LabelId, LabelMap};
use boxwright_detection::resize::ResizeMethod;

use super::crop_steps as crops;
use super::{FieldError, error};
use crate::augmentation::{
    AugmentationStep, BlackPatches, ColorOrdering, ColourStep, CropOperation, FrameStep, JitterMode, ObjectStep,
    PatchGaussian, ScaleCropPad, SizeStep, SquareCrop,
};

/// The longest side that a step may ask for.
const MAX_SIDE: usize = 16_384;
/// The most patches or scales that a step may ask for.
const MAX_COUNT: usize = 10_000;
/// Factors and ratios that are above 0.
pub(super) const POSITIVE: RangeInclusive<f32> = 1e-6..=1e3;
/// Factors that may be 0.
pub(super) const FACTOR: RangeInclusive<f32> = 0.0..=1e3;
/// Probabilities and parts of a whole.
pub(super) const PART: RangeInclusive<f32> = 0.0..=1.0;
/// Values of pixels.
const VALUE: RangeInclusive<f32> = -1e6..=1e6;

pub(super) type Built<T> = Result<T, FieldError>;

/// The steps of `data_augmentation_options`, in order.
///
/// # Errors
/// A step that is not honoured, or a value that cannot be.
pub fn augmentation(train: &proto::TrainConfig) -> Built<Vec<AugmentationStep>> {
    let options = train.data_augmentation_options.iter().enumerate();
    options.map(|(i, option)| step(option, &format!("train_config.data_augmentation_options[{i}]"))).collect()
}

fn step(option: &proto::PreprocessingStep, path: &str) -> Built<AugmentationStep> {
    use proto::preprocessing_step::PreprocessingStep as Kind;
    let at = |name: &str| Place(format!("{path}.{name}"));
    let Some(kind) = &option.preprocessing_step else { return error(path, "is empty; name a step or remove it") };
    match kind {
        Kind::NormalizeImage(m) => normalize_image(m, &at("normalize_image")),
        Kind::RandomHorizontalFlip(m) => {
            let probability = at("random_horizontal_flip").probability(m.probability(), "probability")?;
            Ok(FrameStep::RandomHorizontalFlip { probability }.into())
        }
        Kind::RandomVerticalFlip(m) => {
            let probability = at("random_vertical_flip").probability(m.probability(), "probability")?;
            Ok(FrameStep::RandomVerticalFlip { probability }.into())
        }
        Kind::RandomRotation90(m) => {
            let probability = at("random_rotation90").probability(m.probability(), "probability")?;
            Ok(FrameStep::RandomRotation90 { probability }.into())
        }
        Kind::RandomPixelValueScale(m) => {
            let range = at("random_pixel_value_scale").range(m.minval(), m.maxval(), FACTOR, ["minval", "maxval"])?;
            Ok(ColourStep::RandomPixelValueScale { range }.into())
        }
        Kind::RandomImageScale(m) => image_scale(m, &at("random_image_scale")),
        Kind::RandomRgbToGray(m) => {
            let probability = at("random_rgb_to_gray").probability(m.probability(), "probability")?;
            Ok(ColourStep::RandomRgbToGray { probability }.into())
        }
        Kind::RandomAdjustBrightness(m) => {
            let max_delta = at("random_adjust_brightness").number(m.max_delta(), PART, "max_delta")?;
            Ok(ColourStep::RandomAdjustBrightness { max_delta }.into())
        }
        Kind::RandomAdjustContrast(m) => {
            let range = at("random_adjust_contrast").deltas(m.min_delta(), m.max_delta())?;
            Ok(ColourStep::RandomAdjustContrast { range }.into())
        }
        Kind::RandomAdjustHue(m) => {
            let max_delta = at("random_adjust_hue").number(m.max_delta(), PART, "max_delta")?;
            Ok(ColourStep::RandomAdjustHue { max_delta }.into())
        }
        Kind::RandomAdjustSaturation(m) => {
            let range = at("random_adjust_saturation").deltas(m.min_delta(), m.max_delta())?;
            Ok(ColourStep::RandomAdjustSaturation { range }.into())
        }
        Kind::RandomDistortColor(m) => distort_color(m, &at("random_distort_color")),
        Kind::AdjustGamma(m) => {
            let place = at("adjust_gamma");
            let gamma = place.number(m.gamma(), FACTOR, "gamma")?;
            Ok(ColourStep::AdjustGamma { gamma, gain: place.number(m.gain(), FACTOR, "gain")? }.into())
        }
        Kind::RandomJitterBoxes(m) => {
            let ratio = at("random_jitter_boxes").number(m.ratio(), PART, "ratio")?;
            Ok(ObjectStep::RandomJitterBoxes { ratio, mode: jitter_mode(m.jitter_mode()) }.into())
        }
        Kind::RandomCropImage(m) => crops::crop_image(m, &at("random_crop_image")),
        Kind::RandomPadImage(m) => crops::pad_image(m, &at("random_pad_image")),
        Kind::RandomAbsolutePadImage(m) => crops::absolute_pad_image(m, &at("random_absolute_pad_image")),
        Kind::RandomCropPadImage(m) => crops::crop_pad_image(m, &at("random_crop_pad_image")),
        Kind::RandomCropToAspectRatio(m) => crops::crop_to_aspect_ratio(m, &at("random_crop_to_aspect_ratio")),
        Kind::SsdRandomCrop(m) => crops::ssd_crop(m, &at("ssd_random_crop")),
        Kind::SsdRandomCropPad(m) => crops::ssd_crop_pad(m, &at("ssd_random_crop_pad")),
        Kind::SsdRandomCropFixedAspectRatio(m) => {
            crops::ssd_crop_fixed_aspect_ratio(m, &at("ssd_random_crop_fixed_aspect_ratio"))
        }
        Kind::SsdRandomCropPadFixedAspectRatio(m) => {
            crops::ssd_crop_pad_fixed_aspect_ratio(m, &at("ssd_random_crop_pad_fixed_aspect_ratio"))
        }
        Kind::RandomBlackPatches(m) => black_patches(m, &at("random_black_patches")),
        Kind::RandomResizeMethod(m) => {
            let names = ["target_height", "target_width"];
            let size = at("random_resize_method").size([m.target_height, m.target_width], names)?;
            Ok(SizeStep::RandomResizeMethod { size }.into())
        }
        Kind::ResizeImage(m) => {
            let size = at("resize_image").size([m.new_height, m.new_width], ["new_height", "new_width"])?;
            Ok(SizeStep::ResizeImage { size, method: resize_method(m.method()) }.into())
        }
        Kind::SubtractChannelMean(m) => subtract_channel_mean(m, &at("subtract_channel_mean")),
        Kind::RandomSelfConcatImage(m) => self_concat(m, &at("random_self_concat_image")),
        Kind::DropLabelProbabilistically(m) => drop_label(m, &at("drop_label_probabilistically")),
        Kind::RemapLabels(m) => remap_labels(m, &at("remap_labels")),
        Kind::RandomJpegQuality(m) => jpeg_quality(m, &at("random_jpeg_quality")),
        Kind::RandomDownscaleToTargetPixels(m) => downscale(m, &at("random_downscale_to_target_pixels")),
        Kind::RandomPatchGaussian(m) => patch_gaussian(m, &at("random_patch_gaussian")),
        Kind::RandomSquareCropByScale(m) => square_crop(m, &at("random_square_crop_by_scale")),
        Kind::RandomScaleCropAndPadToSquare(m) => scale_crop_pad(m, &at("random_scale_crop_and_pad_to_square")),
        Kind::RgbToGray(_) => at("rgb_to_gray").refuse_step(
            "makes pictures with one channel, and the networks take three; use random_rgb_to_gray { probability: 1 }",
        ),
        Kind::ScaleBoxesToPixelCoordinates(_) => at("scale_boxes_to_pixel_coordinates")
            .refuse_step("gives boxes in pixels, and the models learn from fractions of the picture; remove it"),
        Kind::ConvertClassLogitsToSoftmax(_) => at("convert_class_logits_to_softmax")
            .refuse_step("acts on class scores in the records, which are not read; remove it"),
        Kind::AutoaugmentImage(_) => at("autoaugment_image").refuse_step(
            "is not supported; use random_distort_color, random_rotation90 and the random crops, or remove it",
        ),
    }
}

fn normalize_image(m: &proto::NormalizeImage, place: &Place) -> Built<AugmentationStep> {
    let original = (m.original_minval(), m.original_maxval());
    let target = (m.target_minval(), m.target_maxval());
    place.number(original.0, VALUE, "original_minval")?;
    place.number(original.1, VALUE, "original_maxval")?;
    place.number(target.0, VALUE, "target_minval")?;
    place.number(target.1, VALUE, "target_maxval")?;
    if (original.1 - original.0).abs() < *POSITIVE.start() {
        let what = format!("is {}, as original_minval; give the range of the values, such as 0 to 255", original.1);
        return place.refuse("original_maxval", what);
    }
    Ok(ColourStep::NormalizeImage { original, target }.into())
}

fn image_scale(m: &proto::RandomImageScale, place: &Place) -> Built<AugmentationStep> {
    let names = ["min_scale_ratio", "max_scale_ratio"];
    let range = place.range(m.min_scale_ratio(), m.max_scale_ratio(), POSITIVE, names)?;
    Ok(SizeStep::RandomImageScale { range }.into())
}

fn distort_color(m: &proto::RandomDistortColor, place: &Place) -> Built<AugmentationStep> {
    let ordering = match m.color_ordering() {
        0 => ColorOrdering::ContrastLast,
        1 => ColorOrdering::ContrastFirst,
        other => return place.refuse("color_ordering", format!("is {other}; it must be 0 or 1")),
    };
    Ok(ColourStep::RandomDistortColor { ordering }.into())
}

fn jitter_mode(mode: proto::random_jitter_boxes::JitterMode) -> JitterMode {
    use proto::random_jitter_boxes::JitterMode as Mode;
    match mode {
        Mode::Default => JitterMode::Default,
        Mode::Expand => JitterMode::Expand,
        Mode::Shrink => JitterMode::Shrink,
        Mode::ExpandSymmetric => JitterMode::ExpandSymmetric,
        Mode::ShrinkSymmetric => JitterMode::ShrinkSymmetric,
        Mode::ExpandSymmetricXy => JitterMode::ExpandSymmetricXy,
        Mode::ShrinkSymmetricXy => JitterMode::ShrinkSymmetricXy,
    }
}

fn resize_method(method: proto::resize_image::Method) -> ResizeMethod {
    use proto::resize_image::Method;
    match method {
        Method::Area => ResizeMethod::Area,
        Method::Bicubic => ResizeMethod::Bicubic,
        Method::Bilinear => ResizeMethod::Bilinear,
        Method::NearestNeighbor => ResizeMethod::NearestNeighbor,
    }
}

fn black_patches(m: &proto::RandomBlackPatches, place: &Place) -> Built<AugmentationStep> {
    let patches = BlackPatches {
        max_black_patches: place.whole(m.max_black_patches(), 0..=MAX_COUNT, "max_black_patches")?,
        probability: place.probability(m.probability(), "probability")?,
        size_to_image_ratio: place.number(m.size_to_image_ratio(), PART, "size_to_image_ratio")?,
    };
    Ok(ColourStep::RandomBlackPatches(patches).into())
}

fn subtract_channel_mean(m: &proto::SubtractChannelMean, place: &Place) -> Built<AugmentationStep> {
    match *m.means {
        [r, g, b] if [r, g, b].iter().all(|mean| VALUE.contains(mean)) => {
            Ok(ColourStep::SubtractChannelMean { means: [r, g, b] }.into())
        }
        _ => place.refuse("means", "needs three finite values, for R, G and B"),
    }
}

fn self_concat(m: &proto::RandomSelfConcatImage, place: &Place) -> Built<AugmentationStep> {
    let step = SizeStep::RandomSelfConcatImage {
        vertical_probability: place.probability(m.concat_vertical_probability(), "concat_vertical_probability")?,
        horizontal_probability: place
            .probability(m.concat_horizontal_probability(), "concat_horizontal_probability")?,
    };
    Ok(step.into())
}

fn drop_label(m: &proto::DropLabelProbabilistically, place: &Place) -> Built<AugmentationStep> {
    let class = place.class(m.label(), "label")?;
    let probability = place.probability(m.drop_probability(), "drop_probability")?;
    Ok(ObjectStep::DropLabelProbabilistically { class, probability }.into())
}

fn remap_labels(m: &proto::RemapLabels, place: &Place) -> Built<AugmentationStep> {
    let original = m.original_labels.iter().map(|&label| place.class(label, "original_labels"));
    let original = original.collect::<Built<Vec<_>>>()?;
    Ok(ObjectStep::RemapLabels { original, new: place.class(m.new_label(), "new_label")? }.into())
}

fn jpeg_quality(m: &proto::RandomJpegQuality, place: &Place) -> Built<AugmentationStep> {
    let names = ["min_jpeg_quality", "max_jpeg_quality"];
    let (low, high) = place.half_open(m.min_jpeg_quality(), m.max_jpeg_quality(), 0..=100, names)?;
    let random_coef = place.probability(m.random_coef(), "random_coef")?;
    Ok(ColourStep::RandomJpegQuality { random_coef, quality: (low as u8, high as u8) }.into())
}

fn downscale(m: &proto::RandomDownscaleToTargetPixels, place: &Place) -> Built<AugmentationStep> {
    // Where the config does not say it, TFOD's builder leaves the most to the function, whose default is not the schema's.
    let most = m.max_target_pixels.unwrap_or(800_000);
    let names = ["min_target_pixels", "max_target_pixels"];
    let target_pixels = place.half_open(m.min_target_pixels(), most, 1..=i32::MAX as usize, names)?;
    let random_coef = place.probability(m.random_coef(), "random_coef")?;
    Ok(SizeStep::RandomDownscaleToTargetPixels { random_coef, target_pixels }.into())
}

fn patch_gaussian(m: &proto::RandomPatchGaussian, place: &Place) -> Built<AugmentationStep> {
    let names = ["min_patch_size", "max_patch_size"];
    let (min_patch_size, max_patch_size) =
        place.half_open(m.min_patch_size(), m.max_patch_size(), 1..=MAX_SIDE, names)?;
    let names = ["min_gaussian_stddev", "max_gaussian_stddev"];
    let (min_gaussian_stddev, max_gaussian_stddev) =
        place.range(m.min_gaussian_stddev(), m.max_gaussian_stddev(), FACTOR, names)?;
    let random_coef = place.probability(m.random_coef(), "random_coef")?;
    let patch = PatchGaussian { random_coef, min_patch_size, max_patch_size, min_gaussian_stddev, max_gaussian_stddev };
    Ok(ColourStep::RandomPatchGaussian(patch).into())
}

fn square_crop(m: &proto::RandomSquareCropByScale, place: &Place) -> Built<AugmentationStep> {
    let (scale_min, scale_max) = place.range(m.scale_min(), m.scale_max(), POSITIVE, ["scale_min", "scale_max"])?;
    let crop = SquareCrop {
        max_border: place.whole(m.max_border(), 0..=MAX_SIDE, "max_border")?,
        scale_min,
        scale_max,
        num_scales: place.whole(m.num_scales(), 1..=MAX_COUNT, "num_scales")?,
    };
    Ok(SizeStep::RandomSquareCropByScale(crop).into())
}

fn scale_crop_pad(m: &proto::RandomScaleCropAndPadToSquare, place: &Place) -> Built<AugmentationStep> {
    let output_size = place.whole(m.output_size(), 1..=MAX_SIDE, "output_size")?;
    let (scale_min, scale_max) = place.range(m.scale_min(), m.scale_max(), POSITIVE, ["scale_min", "scale_max"])?;
    Ok(SizeStep::RandomScaleCropAndPadToSquare(ScaleCropPad { output_size, scale_min, scale_max }).into())
}

/// A step's place in the config, for what is wrong in it.
pub(super) struct Place(String);

impl Place {
    pub(super) fn refuse<T>(&self, field: &str, what: impl Into<String>) -> Built<T> {
        error(&format!("{}.{field}", self.0), what)
    }

    pub(super) fn refuse_step<T>(&self, what: &str) -> Built<T> {
        error(&self.0, what)
    }

    pub(super) fn number(&self, value: f32, range: RangeInclusive<f32>, field: &str) -> Built<f32> {
        if range.contains(&value) {
            return Ok(value);
        }
        self.refuse(field, format!("is {value}; it must be between {} and {}", range.start(), range.end()))
    }

    pub(super) fn probability(&self, value: f32, field: &str) -> Built<f64> {
        self.number(value, PART, field).map(f64::from)
    }

    pub(super) fn range(&self, low: f32, high: f32, range: RangeInclusive<f32>, names: [&str; 2]) -> Built<(f32, f32)> {
        self.number(low, range.clone(), names[0])?;
        self.number(high, range, names[1])?;
        if low > high {
            return self.refuse(names[0], format!("is {low}, above {}, which is {high}", names[1]));
        }
        Ok((low, high))
    }

    pub(super) fn deltas(&self, low: f32, high: f32) -> Built<(f32, f32)> {
        self.range(low, high, FACTOR, ["min_delta", "max_delta"])
    }

    pub(super) fn whole(&self, value: i32, range: RangeInclusive<usize>, field: &str) -> Built<usize> {
        match usize::try_from(value) {
            Ok(whole) if range.contains(&whole) => Ok(whole),
            _ => self.refuse(field, format!("is {value}; it must be between {} and {}", range.start(), range.end())),
        }
    }

    /// A range of whole numbers whose upper end is left out; two equal ends are that one number.
    pub(super) fn half_open(
        &self,
        low: i32,
        high: i32,
        range: RangeInclusive<usize>,
        names: [&str; 2],
    ) -> Built<(usize, usize)> {
        let (low, high) = (self.whole(low, range.clone(), names[0])?, self.whole(high, range, names[1])?);
        if low > high {
            return self.refuse(names[0], format!("is {low}, above {}, which is {high}", names[1]));
        }
        Ok((low, high))
    }

    /// Rows and columns that must be given.
    pub(super) fn size(&self, values: [Option<i32>; 2], names: [&str; 2]) -> Built<(usize, usize)> {
        let side = |i: usize| self.whole(values[i].unwrap_or(0), 1..=MAX_SIDE, names[i]);
        Ok((side(0)?, side(1)?))
    }

    /// Rows and columns of which both or none are given.
    pub(super) fn optional_size(&self, values: [Option<i32>; 2], names: [&str; 2]) -> Built<Option<(usize, usize)>> {
        let side = |value: i32, name: &str| self.whole(value, 0..=MAX_SIDE, name);
        match values {
            [None, None] => Ok(None),
            [Some(height), Some(width)] => Ok(Some((side(height, names[0])?, side(width, names[1])?))),
            [Some(_), None] => self.refuse(names[1], format!("is not set, but {} is; set both or none", names[0])),
            [None, Some(_)] => self.refuse(names[0], format!("is not set, but {} is; set both or none", names[1])),
        }
    }

    /// The colour of a canvas; none at all means the mean.
    pub(super) fn pad_color(&self, values: &[f32]) -> Built<Option<[f32; 3]>> {
        match *values {
            [] => Ok(None),
            [grey] if VALUE.contains(&grey) => Ok(Some([grey; 3])),
            [r, g, b] if [r, g, b].iter().all(|value| VALUE.contains(value)) => Ok(Some([r, g, b])),
            _ => self.refuse("pad_color", "needs three finite values, for R, G and B"),
        }
    }

    /// The smallest and the largest canvas, height and width in units of the image.
    pub(super) fn padded_size_ratios(&self, min: &[f32], max: &[f32]) -> Built<((f32, f32), (f32, f32))> {
        let ratio = |values: &[f32], default: f32, field: &str| match *values {
            [] => Ok((default, default)),
            [h, w] if FACTOR.contains(&h) && FACTOR.contains(&w) => Ok((h, w)),
            _ => self.refuse(field, format!("needs two values between 0 and {}, for height and width", FACTOR.end())),
        };
        Ok((ratio(min, 1.0, "min_padded_size_ratio")?, ratio(max, 2.0, "max_padded_size_ratio")?))
    }

    /// A class by its id in the label map.
    pub(super) fn class(&self, label: i32, field: &str) -> Built<ClassIndex> {
        match u32::try_from(label).ok().and_then(LabelId::new) {
            Some(id) => Ok(LabelMap::class_index(id)),
            None => {
                self.refuse(field, format!("is {label}; labels go from 1 to {}, as in the label map", LabelId::MAX))
            }
        }
    }

    pub(super) fn crop(&self, operation: CropOperation) -> Built<CropOperation> {
        let (aspect, area) = (operation.aspect_ratio_range, operation.area_range);
        self.number(operation.min_object_covered, PART, "min_object_covered")?;
        self.range(aspect.0, aspect.1, POSITIVE, ["min_aspect_ratio", "max_aspect_ratio"])?;
        self.range(area.0, area.1, PART, ["min_area", "max_area"])?;
        if area.1 == 0.0 {
            return self.refuse("max_area", "is 0; give the largest part of the picture that a crop may keep, up to 1");
        }
        self.number(operation.overlap_thresh, PART, "overlap_thresh")?;
        self.number(operation.random_coef, PART, "random_coef")?;
        Ok(operation)
    }

    /// The operations of a repeated field, or those of the SSD paper where it is empty.
    pub(super) fn operations<M, T>(
        &self,
        messages: &[M],
        defaults: impl FnOnce() -> Vec<T>,
        operation: impl Fn(&M, &Place) -> Built<T>,
    ) -> Built<Vec<T>> {
        if messages.is_empty() {
            return Ok(defaults());
        }
        let place = |i: usize| Place(format!("{}.operations[{i}]", self.0));
        messages.iter().enumerate().map(|(i, message)| operation(message, &place(i))).collect()
    }
}
