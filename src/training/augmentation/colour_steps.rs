//! Steps that change values and neither size nor boxes.

use super::{AugmentationError, AugmentedImage, BlackPatches, PatchGaussian, colour, patches};
use crate::draws::Draws;

/// The order of the changes of `random_distort_color`, after the brightness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColorOrdering {
    /// 0: saturation, hue, contrast.
    ContrastLast,
    /// 1: contrast, saturation, hue.
    ContrastFirst,
}

/// A change of colours, or of a part of the picture. Probabilities are 0 to 1, ranges the smallest and the largest value.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of the config's messages, documented there")]
pub enum ColourStep {
    /// `normalize_image`.
    NormalizeImage { original: (f32, f32), target: (f32, f32) },
    /// `random_pixel_value_scale`.
    RandomPixelValueScale { range: (f32, f32) },
    /// `random_rgb_to_gray`.
    RandomRgbToGray { probability: f64 },
    /// `random_adjust_brightness`.
    RandomAdjustBrightness { max_delta: f32 },
    /// `random_adjust_contrast`.
    RandomAdjustContrast { range: (f32, f32) },
    /// `random_adjust_hue`.
    RandomAdjustHue { max_delta: f32 },
    /// `random_adjust_saturation`.
    RandomAdjustSaturation { range: (f32, f32) },
    /// `random_distort_color`.
    RandomDistortColor { ordering: ColorOrdering },
    /// `adjust_gamma`.
    AdjustGamma { gamma: f32, gain: f32 },
    /// `random_black_patches`.
    RandomBlackPatches(BlackPatches),
    /// `subtract_channel_mean`.
    SubtractChannelMean { means: [f32; 3] },
    /// `random_jpeg_quality`: the quality stays below the largest.
    RandomJpegQuality { random_coef: f64, quality: (u8, u8) },
    /// `random_patch_gaussian`.
    RandomPatchGaussian(PatchGaussian),
}

impl ColourStep {
    pub(super) fn apply(&self, image: &mut AugmentedImage<'_>, draws: &mut Draws) -> Result<(), AugmentationError> {
        match self {
            Self::NormalizeImage { original, target } => colour::normalize(image.values_mut()?, *original, *target),
            Self::SubtractChannelMean { means } => colour::subtract_channel_mean(image.values_mut()?, *means),
            Self::RandomPixelValueScale { range } => {
                colour::scale_values(image.values_mut()?, || draws.within(*range));
            }
            Self::RandomRgbToGray { probability } => {
                if draws.uniform() <= *probability {
                    colour::make_grey(image.values_mut()?);
                }
            }
            Self::RandomAdjustBrightness { max_delta } => brighten(image, *max_delta, draws)?,
            Self::RandomAdjustContrast { range } => contrast(image, *range, draws)?,
            Self::RandomAdjustHue { max_delta } => turn_hue(image, *max_delta, draws)?,
            Self::RandomAdjustSaturation { range } => saturate(image, *range, draws)?,
            Self::RandomDistortColor { ordering } => distort_color(image, *ordering, draws)?,
            Self::AdjustGamma { gamma, gain } => colour::adjust_gamma(image.values_mut()?, *gamma, *gain),
            Self::RandomBlackPatches(patches) => patches.apply(image, draws)?,
            Self::RandomPatchGaussian(patch) => patch.apply(image, draws)?,
            Self::RandomJpegQuality { random_coef, quality: (low, high) } => {
                if draws.uniform() >= *random_coef {
                    let quality = draws.between(usize::from(*low), usize::from(*high));
                    patches::through_jpeg(image, quality as u8)?;
                }
            }
        }
        Ok(())
    }
}

fn brighten(image: &mut AugmentedImage<'_>, max_delta: f32, draws: &mut Draws) -> Result<(), AugmentationError> {
    let delta = draws.within((-max_delta, max_delta));
    colour::adjust_brightness(image.values_mut()?, delta);
    Ok(())
}

fn contrast(image: &mut AugmentedImage<'_>, range: (f32, f32), draws: &mut Draws) -> Result<(), AugmentationError> {
    let factor = draws.within(range);
    colour::adjust_contrast(image.values_mut()?, factor);
    Ok(())
}

fn turn_hue(image: &mut AugmentedImage<'_>, max_delta: f32, draws: &mut Draws) -> Result<(), AugmentationError> {
    let delta = draws.within((-max_delta, max_delta));
    colour::adjust_hue(image.values_mut()?, delta);
    Ok(())
}

fn saturate(image: &mut AugmentedImage<'_>, range: (f32, f32), draws: &mut Draws) -> Result<(), AugmentationError> {
    let factor = draws.within(range);
    colour::adjust_saturation(image.values_mut()?, factor);
    Ok(())
}

/// `random_distort_color`, with the ranges that TFOD gives it.
fn distort_color(
    image: &mut AugmentedImage<'_>,
    ordering: ColorOrdering,
    draws: &mut Draws,
) -> Result<(), AugmentationError> {
    const FACTORS: (f32, f32) = (0.5, 1.5);
    const HUE: f32 = 0.2;
    brighten(image, 32.0 / 255.0, draws)?;
    match ordering {
        ColorOrdering::ContrastLast => {
            saturate(image, FACTORS, draws)?;
            turn_hue(image, HUE, draws)?;
            contrast(image, FACTORS, draws)
        }
        ColorOrdering::ContrastFirst => {
            contrast(image, FACTORS, draws)?;
            saturate(image, FACTORS, draws)?;
            turn_hue(image, HUE, draws)
        }
    }
}
