//! Steps that give an image another size: scales, squares, two copies beside each other.

use boxwright_core::geometry::{ImageSize, NormalizedBox};
use boxwright_detection::resize::ResizeMethod;

use super::{AugmentationError, AugmentedImage, CropWindow, Object, boxes, happens};
use crate::draws::Draws;

/// A step that gives the image another size. Probabilities are 0 to 1, ranges the smallest and the largest value.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of the config's messages, documented there")]
pub enum SizeStep {
    /// `random_image_scale`.
    RandomImageScale { range: (f32, f32) },
    /// `random_resize_method`: rows and columns.
    RandomResizeMethod { size: (usize, usize) },
    /// `resize_image`: rows and columns.
    ResizeImage { size: (usize, usize), method: ResizeMethod },
    /// `random_self_concat_image`.
    RandomSelfConcatImage { vertical_probability: f64, horizontal_probability: f64 },
    /// `random_downscale_to_target_pixels`: the target stays below the largest.
    RandomDownscaleToTargetPixels { random_coef: f64, target_pixels: (usize, usize) },
    /// `random_square_crop_by_scale`.
    RandomSquareCropByScale(SquareCrop),
    /// `random_scale_crop_and_pad_to_square`.
    RandomScaleCropAndPadToSquare(ScaleCropPad),
}

impl SizeStep {
    pub(super) fn apply(&self, image: &mut AugmentedImage<'_>, draws: &mut Draws) -> Result<(), AugmentationError> {
        match self {
            Self::RandomImageScale { range } => scale_image(image, draws.within(*range)),
            Self::RandomResizeMethod { size } => {
                let method = RESIZE_METHODS[draws.below(RESIZE_METHODS.len())];
                image.resize_to(*size, method, false)
            }
            Self::ResizeImage { size, method } => image.resize_to(*size, *method, false),
            Self::RandomDownscaleToTargetPixels { random_coef, target_pixels: (low, high) } => {
                if draws.uniform() < *random_coef {
                    return Ok(());
                }
                downscale(image, draws.between(*low, *high))
            }
            Self::RandomSelfConcatImage { vertical_probability, horizontal_probability } => {
                let vertically = happens(draws.uniform(), *vertical_probability);
                let horizontally = happens(draws.uniform(), *horizontal_probability);
                if vertically {
                    concat_with_itself(image, true)?;
                }
                if horizontally {
                    concat_with_itself(image, false)?;
                }
                Ok(())
            }
            Self::RandomSquareCropByScale(crop) => crop.apply(image, draws),
            Self::RandomScaleCropAndPadToSquare(crop) => crop.apply(image, draws),
        }
    }
}

/// `random_image_scale`: both sides by one factor, fractions cut off, corners aligned.
pub fn scale_image(image: &mut AugmentedImage<'_>, factor: f32) -> Result<(), AugmentationError> {
    let (rows, columns) = image.rows_and_columns();
    let size = ((rows as f32 * factor) as usize, (columns as f32 * factor) as usize);
    image.resize_to(size, ResizeMethod::Bilinear, true)
}

/// `random_downscale_to_target_pixels`: an image of more pixels gets about that many.
fn downscale(image: &mut AugmentedImage<'_>, target_pixels: usize) -> Result<(), AugmentationError> {
    let (rows, columns) = image.rows_and_columns();
    if rows * columns <= target_pixels {
        return Ok(());
    }
    let factor = (target_pixels as f32 / (rows * columns) as f32).sqrt();
    let size = ((factor * rows as f32) as usize, (factor * columns as f32) as usize);
    image.resize_to(size, ResizeMethod::Bilinear, false)
}

/// The interpolations of `random_resize_method`, in TensorFlow's order.
const RESIZE_METHODS: [ResizeMethod; 4] =
    [ResizeMethod::Bilinear, ResizeMethod::NearestNeighbor, ResizeMethod::Bicubic, ResizeMethod::Area];

/// `random_self_concat_image`: two copies one above the other, or side by side.
fn concat_with_itself(image: &mut AugmentedImage<'_>, vertically: bool) -> Result<(), AugmentationError> {
    let (rows, columns) = image.rows_and_columns();
    let (height, width) = if vertically { (rows * 2, columns) } else { (rows, columns * 2) };
    super::image::check_room(height, width)?;
    let pixels = image.to_floats();
    let doubled = if vertically || columns == 0 {
        pixels.repeat(2)
    } else {
        pixels.chunks_exact(columns * 3).flat_map(|line| line.iter().chain(line)).copied().collect()
    };
    image.set_values(doubled, ImageSize::new(width as u32, height as u32));
    let (y, x) = if vertically { (0.5, 1.0) } else { (1.0, 0.5) };
    image.move_boxes(|b| NormalizedBox::new(b.ymin * y, b.xmin * x, b.ymax * y, b.xmax * x));
    let (dy, dx) = (1.0 - y, 1.0 - x);
    let copies: Vec<Object> = image
        .objects
        .iter()
        .map(|o| {
            let b = o.bounds;
            Object { bounds: NormalizedBox::new(b.ymin + dy, b.xmin + dx, b.ymax + dy, b.xmax + dx), ..*o }
        })
        .collect();
    image.objects.extend(copies);
    Ok(())
}

/// `random_square_crop_by_scale`: a square around a random centre, its side a random part of the
/// image's long side; black outside of the image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SquareCrop {
    /// Pixels along the edge that may not become the centre; halved until it fits the image.
    pub max_border: usize,
    /// Smallest factor.
    pub scale_min: f32,
    /// Largest factor.
    pub scale_max: f32,
    /// How many factors there are; at least 1.
    pub num_scales: usize,
}

impl SquareCrop {
    pub(super) fn apply(&self, image: &mut AugmentedImage<'_>, draws: &mut Draws) -> Result<(), AugmentationError> {
        let (rows, columns) = image.rows_and_columns();
        let place = draws.below(self.num_scales) as f32 / (self.num_scales.max(2) - 1) as f32;
        let scale = self.scale_min + (self.scale_max - self.scale_min) * place;
        let side = ((scale * rows.max(columns) as f32) as usize).max(1);
        let mut center = |length: usize| {
            let border = crop_border(self.max_border, length);
            draws.between(border, (length + 1).saturating_sub(border)) as i64
        };
        let (y, x) = (center(rows), center(columns));
        let half = (side / 2) as i64;
        self.take(image, (y - half, x - half), (y + half, x + half), side)
    }

    /// Cuts the square from `begin` to `end` out. As in TFOD the last row and column of the image are not taken.
    fn take(
        &self,
        image: &mut AugmentedImage<'_>,
        begin: (i64, i64),
        end: (i64, i64),
        side: usize,
    ) -> Result<(), AugmentationError> {
        let (rows, columns) = image.rows_and_columns();
        let inside = |begin: i64, end: i64, length: usize| {
            let first = begin.clamp(0, length as i64);
            (first as usize, (end.min(length as i64 - 1) - first).max(0) as usize)
        };
        let ((top, height), (left, width)) = (inside(begin.0, end.0, rows), inside(begin.1, end.1, columns));
        image.cut_pixels(CropWindow { y: top, x: left, height, width });
        image.place_on_canvas((side, side), ((-begin.0).max(0), (-begin.1).max(0)), [0.0; 3])?;
        let (h, w, side) = (rows.max(1) as f32, columns.max(1) as f32, side as f32);
        let (y, x) = (begin.0 as f32, begin.1 as f32);
        keep_in_frame(image, &NormalizedBox::new(y / h, x / w, (y + side) / h, (x + side) / w));
        Ok(())
    }
}

/// `max_border`, halved until it is less than half of the length (`_get_crop_border`).
fn crop_border(max_border: usize, length: usize) -> usize {
    if max_border == 0 {
        return 0;
    }
    let halvings = (2.0 * max_border as f32 / length.max(1) as f32).log2().ceil();
    let divisor = halvings.exp2().clamp(1.0, max_border as f32);
    max_border / divisor as usize
}

/// `random_scale_crop_and_pad_to_square`: the long side becomes the output's times a random factor,
/// a square is cut out, and black fills it up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleCropPad {
    /// Side of the result in pixels.
    pub output_size: usize,
    /// Smallest factor.
    pub scale_min: f32,
    /// Largest factor.
    pub scale_max: f32,
}

impl ScaleCropPad {
    pub(super) fn apply(&self, image: &mut AugmentedImage<'_>, draws: &mut Draws) -> Result<(), AugmentationError> {
        let factor = draws.range(f64::from(self.scale_min), f64::from(self.scale_max)) as f32;
        let (rows, columns) = image.rows_and_columns();
        let long = rows.max(columns).max(1) as f32;
        let output = self.output_size;
        let scaled = |length: usize| ((factor * output as f32 * (length as f32 / long)) as usize).max(1);
        let (height, width) = (scaled(rows), scaled(columns));
        let mut offset = |length: usize| (length.saturating_sub(output) as f32 * draws.uniform() as f32) as usize;
        let (y, x) = (offset(height), offset(width));
        image.resize_to((height, width), ResizeMethod::Bilinear, false)?;
        image.cut_pixels(CropWindow { y, x, height: output.min(height - y), width: output.min(width - x) });
        image.place_on_canvas((output, output), (0, 0), [0.0; 3])?;
        let (h, w) = (height as f32, width as f32);
        let frame = NormalizedBox::new(y as f32 / h, x as f32 / w, (y + output) as f32 / h, (x + output) as f32 / w);
        keep_in_frame(image, &frame);
        Ok(())
    }
}

/// Boxes in units of the frame, cut at its edges; those outside go.
fn keep_in_frame(image: &mut AugmentedImage<'_>, frame: &NormalizedBox) {
    image.move_boxes(|b| boxes::change_coordinate_frame(b, frame));
    image.objects.retain(|o| !boxes::is_completely_outside(&o.bounds, &NormalizedBox::WHOLE));
    image.move_boxes(|b| boxes::clip_to_window(b, &NormalizedBox::WHOLE));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_border_stays_below_half_of_the_image() {
        assert_eq!([crop_border(128, 300), crop_border(128, 256), crop_border(128, 255)], [128, 128, 64]);
        assert_eq!([crop_border(128, 100), crop_border(128, 1), crop_border(0, 10)], [32, 1, 0]);
    }
}
