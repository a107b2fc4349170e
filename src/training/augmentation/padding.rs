//! Putting an image on a larger canvas: TFOD's `random_pad_image` and the crops that pad afterwards.

use boxwright_core::geometry::NormalizedBox;

use super::{AugmentationError, AugmentedImage, CropOperation, boxes};
use crate::draws::Draws;

/// `random_pad_image`: a canvas of random size, the image at a random place on it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PadOperation {
    /// Smallest canvas, rows and columns; the image's own size where absent.
    pub min_image_size: Option<(usize, usize)>,
    /// The canvas stays below this; below twice the image's size where absent.
    pub max_image_size: Option<(usize, usize)>,
    /// Colour of the canvas; the image's mean where absent.
    pub pad_color: Option<[f32; 3]>,
}

impl PadOperation {
    pub(super) fn apply(&self, image: &mut AugmentedImage<'_>, draws: &mut Draws) -> Result<(), AugmentationError> {
        let (rows, columns) = image.rows_and_columns();
        let min = self.min_image_size.unwrap_or((rows, columns));
        let max = self.max_image_size.unwrap_or((rows * 2, columns * 2));
        let mut target = |min: usize, max: usize, own: usize| draws.between(min.max(own), max.max(own));
        let (height, width) = (target(min.0, max.0, rows), target(min.1, max.1, columns));
        let (y, x) = (draws.below(height - rows), draws.below(width - columns));
        let colour = self.pad_color.unwrap_or_else(|| image.mean_colour());
        pad(image, (height, width), (y, x), colour)
    }
}

/// Puts the image on a canvas, its upper left corner at `at`; the boxes go along.
fn pad(
    image: &mut AugmentedImage<'_>,
    (height, width): (usize, usize),
    at: (usize, usize),
    colour: [f32; 3],
) -> Result<(), AugmentationError> {
    let (rows, columns) = image.rows_and_columns();
    image.place_on_canvas((height, width), (at.0 as i64, at.1 as i64), colour)?;
    let (h, w) = (rows.max(1) as f32, columns.max(1) as f32);
    let frame = NormalizedBox::new(
        -(at.0 as f32) / h,
        -(at.1 as f32) / w,
        (height as f32 - at.0 as f32) / h,
        (width as f32 - at.1 as f32) / w,
    );
    image.move_boxes(|b| boxes::change_coordinate_frame(b, &frame));
    Ok(())
}

/// `random_crop_pad_image`: a crop on a canvas whose size is measured by the image before the crop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CropPadOperation {
    /// The crop.
    pub crop: CropOperation,
    /// Smallest canvas in units of the image: height and width.
    pub min_padded_size_ratio: (f32, f32),
    /// Largest canvas in units of the image: height and width.
    pub max_padded_size_ratio: (f32, f32),
    /// Colour of the canvas; the crop's mean where absent.
    pub pad_color: Option<[f32; 3]>,
}

impl CropPadOperation {
    /// The six operations of `ssd_random_crop_pad` when the config names none.
    pub fn ssd_defaults() -> Vec<Self> {
        CropOperation::ssd_defaults()
            .into_iter()
            .skip(1)
            .map(|crop| Self {
                crop,
                min_padded_size_ratio: (1.0, 1.0),
                max_padded_size_ratio: (2.0, 2.0),
                pad_color: None,
            })
            .collect()
    }

    pub(super) fn apply(&self, image: &mut AugmentedImage<'_>, draws: &mut Draws) -> Result<(), AugmentationError> {
        let (rows, columns) = image.rows_and_columns();
        self.crop.apply(image, draws);
        let size = |ratio: (f32, f32)| ((rows as f32 * ratio.0) as usize, (columns as f32 * ratio.1) as usize);
        let padding = PadOperation {
            min_image_size: Some(size(self.min_padded_size_ratio)),
            max_image_size: Some(size(self.max_padded_size_ratio)),
            pad_color: self.pad_color,
        };
        padding.apply(image, draws)
    }
}

/// Fills up with black, below and to the right, to a shape (`random_pad_to_aspect_ratio`). The ratios bound the
/// canvas in units of the image, where the shape allows it.
pub(super) fn pad_to_aspect_ratio(
    image: &mut AugmentedImage<'_>,
    aspect_ratio: f32,
    min_padded_size_ratio: (f32, f32),
    max_padded_size_ratio: (f32, f32),
    draws: &mut Draws,
) -> Result<(), AugmentationError> {
    let (rows, columns) = image.rows_and_columns();
    if rows == 0 || columns == 0 {
        return Ok(());
    }
    let (h, w) = (rows as f32, columns as f32);
    let height = if w / h <= aspect_ratio { h } else { w / aspect_ratio };
    let width = if w / h >= aspect_ratio { w } else { h * aspect_ratio };
    let scales = |ratio: (f32, f32)| ((ratio.0 * h).max(height) / height, (ratio.1 * w).max(width) / width);
    let (max, min) = (scales(max_padded_size_ratio), scales(min_padded_size_ratio));
    let max_scale = max.0.min(max.1);
    let min_scale = min.0.max(min.1).min(max_scale);
    let scale = draws.range(f64::from(min_scale), f64::from(max_scale)) as f32;
    let side = |length: f32, own: usize| ((scale * length).round_ties_even() as usize).max(own);
    pad(image, (side(height, rows), side(width, columns)), (0, 0), [0.0; 3])
}
