//! Steps that damage a part of the picture, or its finest details: black squares, noise, JPEG.

use boxwright_formats::picture::{self, Picture};

use super::{AugmentationError, AugmentedImage};
use crate::draws::Draws;

/// `random_black_patches`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlackPatches {
    /// Squares at most.
    pub max_black_patches: usize,
    /// How likely each of them is painted.
    pub probability: f64,
    /// Side of a square, as a part of the image's short side.
    pub size_to_image_ratio: f32,
}

impl BlackPatches {
    pub(super) fn apply(&self, image: &mut AugmentedImage<'_>, draws: &mut Draws) -> Result<(), AugmentationError> {
        let (rows, columns) = image.rows_and_columns();
        let side = (rows.min(columns) as f32 * self.size_to_image_ratio) as usize;
        for _ in 0..self.max_black_patches {
            if draws.uniform() > self.probability {
                continue;
            }
            let mut at =
                |length: usize| (draws.range(0.0, 1.0 - f64::from(self.size_to_image_ratio)) * length as f64) as usize;
            let (y, x) = (at(rows), at(columns));
            each_row(image.values_mut()?, columns, (y, y + side), (x, x + side), |values| values.fill(0.0));
        }
        Ok(())
    }
}

/// `random_patch_gaussian`: noise in a square around a random pixel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PatchGaussian {
    /// How often the image is left as it is, 0 to 1.
    pub random_coef: f64,
    /// Smallest side, in pixels; at least 1.
    pub min_patch_size: usize,
    /// The side stays below this.
    pub max_patch_size: usize,
    /// Smallest standard deviation, as a part of the value range.
    pub min_gaussian_stddev: f32,
    /// The standard deviation stays below this.
    pub max_gaussian_stddev: f32,
}

impl PatchGaussian {
    pub(super) fn apply(&self, image: &mut AugmentedImage<'_>, draws: &mut Draws) -> Result<(), AugmentationError> {
        if draws.uniform() < self.random_coef {
            return Ok(());
        }
        let side = draws.between(self.min_patch_size, self.max_patch_size);
        let deviation = draws.range(f64::from(self.min_gaussian_stddev), f64::from(self.max_gaussian_stddev));
        let (rows, columns) = image.rows_and_columns();
        let (y, x) = (draws.below(rows), draws.below(columns));
        // Of an even side the larger half lies above and to the left of the pixel.
        let span = |center: usize| (center.saturating_sub(side / 2), center + side.div_ceil(2));
        each_row(image.values_mut()?, columns, span(y), span(x), |values| {
            for value in values {
                let noise = (draws.normal() * deviation) as f32;
                *value = (*value / 255.0 + noise).clamp(0.0, 1.0) * 255.0;
            }
        });
        Ok(())
    }
}

/// Gives the values of each row of a rectangle, as far as it lies in a picture of so many columns.
fn each_row(
    rgb: &mut [f32],
    columns: usize,
    rows: (usize, usize),
    span: (usize, usize),
    mut change: impl FnMut(&mut [f32]),
) {
    let (begin, end) = (span.0.min(columns), span.1.min(columns));
    if begin >= end {
        return;
    }
    for line in rgb.chunks_exact_mut(columns * 3).take(rows.1).skip(rows.0) {
        change(&mut line[begin * 3..end * 3]);
    }
}

/// Compresses as JPEG and reads it again (`random_jpeg_quality`).
pub(super) fn through_jpeg(image: &mut AugmentedImage<'_>, quality: u8) -> Result<(), AugmentationError> {
    let size = image.size();
    if size.width == 0 || size.height == 0 {
        return Ok(());
    }
    let error = |e: picture::PictureError| AugmentationError::Jpeg(e.to_string());
    let bytes = picture::encode_jpeg(&Picture { size, rgb: image.to_bytes() }, quality).map_err(error)?;
    let decoded = picture::decode(&bytes, "the picture as JPEG").map_err(error)?;
    image.set_bytes(decoded.rgb, decoded.size);
    Ok(())
}
