//! Resizing a picture to what a model takes (TFOD's `image_resizer`).
//!
//! What size comes out is decided here, how pixels are computed in [`crate::resize`]. Where a resizer
//! fills up, the picture's own pixels lie in the upper left corner, and [`Resized`] says how many there
//! are: the true shape, by which boxes go into the filled frame and back.

use boxwright_core::geometry::NormalizedBox;

pub use crate::resize::ResizeMethod;
use crate::resize::resize;

/// The largest picture that a resizer makes where the config sets no limit, in pixels.
const MAX_PIXELS: f32 = 67_108_864.0;

/// What size a picture gets, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImageResizer {
    /// What size.
    pub sizing: Sizing,
    /// How new pixels are computed.
    pub method: ResizeMethod,
    /// Make the result grey, with one channel.
    pub convert_to_grayscale: bool,
}

/// What size a picture gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sizing {
    /// `fixed_shape_resizer`: this size, whatever the aspect ratio.
    FixedShape {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// `keep_aspect_ratio_resizer`: the shorter side becomes `min_dimension`, unless the longer would
    /// exceed `max_dimension`.
    KeepAspectRatio {
        /// Wanted length of the shorter side.
        min_dimension: usize,
        /// Largest length of the longer side.
        max_dimension: usize,
        /// Fill below and to the right up to a square of `max_dimension`, with this colour.
        pad: Option<[f32; 3]>,
    },
    /// `identity_resizer`: the size that it has.
    Identity,
    /// `conditional_shape_resizer` with GREATER: the longer side becomes the threshold where it is longer.
    ShrinkTo {
        /// The threshold.
        max_dimension: usize,
    },
    /// `conditional_shape_resizer` with SMALLER: the shorter side becomes the threshold where it is shorter.
    GrowTo {
        /// The threshold.
        min_dimension: usize,
    },
    /// `pad_to_multiple_resizer`: both sides are filled with black up to a multiple of this.
    PadToMultiple {
        /// The number; above 0.
        multiple: usize,
    },
}

/// A picture as a model takes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Resized {
    /// The values, 0 to 255 where the picture's were; interleaved, rows from top to bottom.
    pub pixels: Vec<f32>,
    /// Rows and columns.
    pub size: (usize, usize),
    /// Rows and columns that are the picture's and not filled up.
    pub true_size: (usize, usize),
    /// Values a pixel: 3, or 1 where the resizer makes grey.
    pub channels: usize,
}

impl Resized {
    /// TFOD's `true_image_shape`: height, width, channels.
    pub fn true_shape(&self) -> [usize; 3] {
        [self.true_size.0, self.true_size.1, self.channels]
    }

    /// A box of the picture as a box of the filled frame.
    pub fn to_frame(&self, b: NormalizedBox) -> NormalizedBox {
        if self.size == self.true_size {
            return b;
        }
        let (h, w) = self.frame();
        NormalizedBox::new(b.ymin / h, b.xmin / w, b.ymax / h, b.xmax / w)
    }

    /// A box of the filled frame as a box of the picture.
    pub fn from_frame(&self, b: NormalizedBox) -> NormalizedBox {
        if self.size == self.true_size {
            return b;
        }
        let (h, w) = self.frame();
        NormalizedBox::new(b.ymin * h, b.xmin * w, b.ymax * h, b.xmax * w)
    }

    /// Height and width of the frame in units of the picture.
    fn frame(&self) -> (f32, f32) {
        let part = |all: usize, own: usize| all as f32 / own.max(1) as f32;
        (part(self.size.0, self.true_size.0), part(self.size.1, self.true_size.1))
    }
}

impl ImageResizer {
    /// Bilinear to one size.
    pub const fn fixed_shape(height: usize, width: usize) -> Self {
        Self::bilinear(Sizing::FixedShape { height, width })
    }

    /// Bilinear, keeping the aspect ratio, without filling up.
    pub const fn keep_aspect_ratio(min_dimension: usize, max_dimension: usize) -> Self {
        Self::bilinear(Sizing::KeepAspectRatio { min_dimension, max_dimension, pad: None })
    }

    /// Bilinear and in colour.
    pub const fn bilinear(sizing: Sizing) -> Self {
        Self { sizing, method: ResizeMethod::Bilinear, convert_to_grayscale: false }
    }

    /// Values a pixel of the result.
    pub const fn channels(&self) -> usize {
        if self.convert_to_grayscale { 1 } else { 3 }
    }

    /// The one size that every picture gets, `(height, width)`; `None` where it depends on the picture.
    pub const fn fixed_size(&self) -> Option<(usize, usize)> {
        match self.sizing {
            Sizing::FixedShape { height, width } => Some((height, width)),
            Sizing::KeepAspectRatio { max_dimension, pad: Some(_), .. } => Some((max_dimension, max_dimension)),
            _ => None,
        }
    }

    /// The size of the picture's own pixels after resizing, `(height, width)`, without any filling.
    pub fn resized_size(&self, height: usize, width: usize) -> (usize, usize) {
        let (long, short) = (height.max(width), height.min(width));
        match self.sizing {
            Sizing::FixedShape { height, width } => (height, width),
            Sizing::KeepAspectRatio { min_dimension, max_dimension, .. } => {
                keep_aspect_size(height, width, min_dimension, max_dimension)
            }
            Sizing::Identity | Sizing::PadToMultiple { .. } => (height, width),
            Sizing::ShrinkTo { max_dimension } if long > max_dimension => {
                truncated_size(height, width, max_dimension as f32 / long as f32)
            }
            Sizing::GrowTo { min_dimension } if (1..min_dimension).contains(&short) => {
                // A very long and thin picture would grow without bound.
                let most = (MAX_PIXELS / (height as f32 * width as f32)).sqrt().max(1.0);
                truncated_size(height, width, (min_dimension as f32 / short as f32).min(most))
            }
            Sizing::ShrinkTo { .. } | Sizing::GrowTo { .. } => (height, width),
        }
    }

    /// The size of the result, `(height, width)`, filling included.
    pub fn output_size(&self, height: usize, width: usize) -> (usize, usize) {
        let own = self.resized_size(height, width);
        match self.sizing {
            Sizing::KeepAspectRatio { max_dimension, pad: Some(_), .. } => {
                (max_dimension.max(own.0), max_dimension.max(own.1))
            }
            Sizing::PadToMultiple { multiple } if multiple > 0 => {
                (own.0.next_multiple_of(multiple), own.1.next_multiple_of(multiple))
            }
            _ => own,
        }
    }

    /// Resizes an RGB picture of interleaved pixels.
    ///
    /// # Panics
    /// If `rgb` does not hold `height · width` pixels.
    pub fn resize<T: Copy + Into<f32>>(&self, rgb: &[T], height: usize, width: usize) -> Resized {
        let true_size = self.resized_size(height, width);
        let size = self.output_size(height, width);
        // TFOD's conditional resizers alone align the corners.
        let align_corners = matches!(self.sizing, Sizing::ShrinkTo { .. } | Sizing::GrowTo { .. });
        let mut pixels = resize(rgb, (height, width), true_size, self.method, align_corners);
        if size != true_size {
            let colour = match self.sizing {
                Sizing::KeepAspectRatio { pad: Some(colour), .. } => colour,
                _ => [0.0; 3],
            };
            pixels = pad_below_and_right(&pixels, true_size, size, colour);
        }
        if self.convert_to_grayscale {
            pixels = pixels.chunks_exact(3).map(|p| luminance([p[0], p[1], p[2]])).collect();
        }
        Resized { pixels, size, true_size, channels: self.channels() }
    }
}

/// The grey of a colour, by TFOD's weights.
pub fn luminance([r, g, b]: [f32; 3]) -> f32 {
    r * 0.2989 + g * 0.587 + b * 0.114
}

/// The size by TFOD's `resize_to_range`: the smaller of the two factors, `f32` arithmetic, halves rounded to even.
fn keep_aspect_size(height: usize, width: usize, min_dimension: usize, max_dimension: usize) -> (usize, usize) {
    let (h, w) = (height as f32, width as f32);
    let factor = (min_dimension as f32 / h.min(w)).min(max_dimension as f32 / h.max(w));
    let side = |length: f32| ((length * factor).round_ties_even() as usize).clamp(1, max_dimension.max(1));
    (side(h), side(w))
}

/// The size by TFOD's `resize_to_min_dimension` and `resize_to_max_dimension`, which cut the fraction off.
fn truncated_size(height: usize, width: usize, factor: f32) -> (usize, usize) {
    let side = |length: usize| ((length as f32 * factor) as usize).max(1);
    (side(height), side(width))
}

/// Resizes an RGB picture of interleaved pixels; returns it and its `(height, width)`.
///
/// # Panics
/// If `rgb` does not hold `height · width` pixels.
pub fn resize_image<T: Copy + Into<f32>>(
    resizer: &ImageResizer,
    rgb: &[T],
    height: usize,
    width: usize,
) -> (Vec<f32>, (usize, usize)) {
    let resized = resizer.resize(rgb, height, width);
    (resized.pixels, resized.size)
}

fn pad_below_and_right(rgb: &[f32], (h, w): (usize, usize), (oh, ow): (usize, usize), colour: [f32; 3]) -> Vec<f32> {
    let mut output: Vec<f32> = colour.iter().copied().cycle().take(oh * ow * 3).collect();
    if w > 0 {
        for (row, out) in rgb.chunks_exact(w * 3).zip(output.chunks_exact_mut(ow * 3)).take(h) {
            out[..w * 3].copy_from_slice(row);
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(values: &[u8]) -> Vec<u8> {
        values.iter().flat_map(|&v| [v, v, v]).collect()
    }

    #[test]
    fn padding_lies_below_and_to_the_right_and_boxes_follow() {
        let pad = Some([7.0, 8.0, 9.0]);
        let resizer = ImageResizer::bilinear(Sizing::KeepAspectRatio { min_dimension: 1, max_dimension: 2, pad });
        let out = resizer.resize(&grey(&[1, 2]), 1, 2);
        assert_eq!((out.size, out.true_shape()), ((2, 2), [1, 2, 3]));
        assert_eq!(out.pixels, [1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 7.0, 8.0, 9.0, 7.0, 8.0, 9.0]);
        let b = NormalizedBox::new(0.0, 0.5, 1.0, 1.0);
        assert_eq!(out.to_frame(b), NormalizedBox::new(0.0, 0.5, 0.5, 1.0));
        assert_eq!(out.from_frame(out.to_frame(b)), b);
        assert_eq!(resizer.fixed_size(), Some((2, 2)));
    }

    #[test]
    fn padding_to_a_multiple_keeps_the_pixels() {
        let resizer = ImageResizer::bilinear(Sizing::PadToMultiple { multiple: 4 });
        assert_eq!(resizer.output_size(101, 199), (104, 200));
        let out = resizer.resize(&grey(&[5]), 1, 1);
        assert_eq!((out.size, out.true_size), ((4, 4), (1, 1)));
        assert_eq!((out.pixels[0], out.pixels[3], out.pixels.iter().sum::<f32>()), (5.0, 0.0, 15.0));
    }

    #[test]
    fn a_picture_without_pixels_becomes_black() {
        let out = ImageResizer::fixed_shape(2, 1).resize::<u8>(&[], 0, 5);
        assert_eq!((out.pixels, out.size), (vec![0.0; 6], (2, 1)));
    }

    #[test]
    fn the_longer_side_is_limited() {
        let resizer = ImageResizer::keep_aspect_ratio(600, 1024);
        assert_eq!(resizer.resized_size(1326, 296), (1024, 229));
        assert_eq!(resizer.resized_size(279, 262), (639, 600));
        assert_eq!(resizer.resized_size(1, 16_000), (1, 1024));
    }

    #[test]
    fn conditional_resizers_leave_the_others_alone() {
        let shrink = ImageResizer::bilinear(Sizing::ShrinkTo { max_dimension: 300 });
        assert_eq!([shrink.resized_size(200, 300), shrink.resized_size(200, 401)], [(200, 300), (149, 300)]);
        let grow = ImageResizer::bilinear(Sizing::GrowTo { min_dimension: 300 });
        assert_eq!([grow.resized_size(300, 400), grow.resized_size(150, 401)], [(300, 400), (300, 802)]);
        let (h, w) = ImageResizer::bilinear(Sizing::GrowTo { min_dimension: 8192 }).resized_size(1, 16_384);
        assert!(h * w <= MAX_PIXELS as usize, "{h} × {w}");
        // Aligned corners: the last pixel is the picture's last.
        let out = ImageResizer::bilinear(Sizing::GrowTo { min_dimension: 2 }).resize(&grey(&[0, 30]), 1, 2);
        assert_eq!((out.size, out.pixels[9]), ((2, 4), 30.0));
    }

    #[test]
    fn grey_has_one_channel() {
        let resizer = ImageResizer { convert_to_grayscale: true, ..ImageResizer::fixed_shape(1, 1) };
        let out = resizer.resize(&[100u8, 0, 0], 1, 1);
        assert_eq!((out.pixels, out.channels), (vec![luminance([100.0, 0.0, 0.0])], 1));
        assert!((luminance([100.0, 0.0, 0.0]) - 29.89).abs() < 1e-4 && (luminance([1.0; 3]) - 0.9999).abs() < 1e-6);
    }
}
