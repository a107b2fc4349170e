//! Resizing a picture to what a model takes (TFOD's `image_resizer`).
//!
//! Bilinear as TensorFlow 1 did it: no half-pixel centres, no aligned corners, so output `i` looks
//! at input `i · in / out` and no smoothing takes place when shrinking. A model that was trained on
//! such pictures needs exactly such pictures.

/// What size a picture gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ImageResizer {
    /// This size, whatever the aspect ratio.
    FixedShape {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// The shorter side becomes `min_dimension`, unless the longer would exceed `max_dimension`.
    KeepAspectRatio {
        /// Wanted length of the shorter side.
        min_dimension: usize,
        /// Largest length of the longer side; 0 for no limit.
        max_dimension: usize,
        /// Fill below and to the right up to a square of `max_dimension`, with this colour.
        pad: Option<[f32; 3]>,
    },
}

impl ImageResizer {
    /// The size of the picture's own pixels after resizing, `(height, width)`, without any padding.
    pub fn resized_size(&self, height: usize, width: usize) -> (usize, usize) {
        match *self {
            Self::FixedShape { height, width } => (height, width),
            Self::KeepAspectRatio { min_dimension, max_dimension, .. } => {
                keep_aspect_size(height, width, min_dimension, max_dimension)
            }
        }
    }
}

/// The size by TFOD's `resize_to_range`: `f32` arithmetic, halves rounded to even.
fn keep_aspect_size(height: usize, width: usize, min_dimension: usize, max_dimension: usize) -> (usize, usize) {
    let (h, w) = (height as f32, width as f32);
    let scaled = |factor: f32| {
        let side = |length: f32| ((length * factor).round_ties_even() as usize).max(1);
        (side(h), side(w))
    };
    let large = scaled(min_dimension as f32 / h.min(w));
    if max_dimension > 0 && large.0.max(large.1) > max_dimension {
        return scaled(max_dimension as f32 / h.max(w));
    }
    large
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
    assert_eq!(rgb.len(), height * width * 3, "{height} rows of {width} RGB pixels");
    let (new_height, new_width) = resizer.resized_size(height, width);
    let resized = resize_bilinear(rgb, (height, width), (new_height, new_width));
    match *resizer {
        ImageResizer::KeepAspectRatio { max_dimension, pad: Some(colour), .. } => {
            let size = (max_dimension.max(new_height), max_dimension.max(new_width));
            (pad_below_and_right(&resized, (new_height, new_width), size, colour), size)
        }
        _ => (resized, (new_height, new_width)),
    }
}

/// Where one output row or column looks, and how much of the second neighbour it takes.
struct Source {
    lower: usize,
    upper: usize,
    fraction: f32,
}

fn sources(input: usize, output: usize) -> Vec<Source> {
    let scale = input as f32 / output as f32;
    (0..output)
        .map(|i| {
            let at = i as f32 * scale;
            let lower = (at.floor() as usize).min(input - 1);
            Source { lower, upper: (lower + 1).min(input - 1), fraction: at - at.floor() }
        })
        .collect()
}

/// Bilinear resizing of interleaved RGB. A picture without pixels becomes black.
fn resize_bilinear<T: Copy + Into<f32>>(rgb: &[T], (h, w): (usize, usize), (oh, ow): (usize, usize)) -> Vec<f32> {
    if (h, w) == (oh, ow) {
        return rgb.iter().map(|&value| value.into()).collect();
    }
    let mut output = vec![0.0f32; oh * ow * 3];
    if rgb.is_empty() || output.is_empty() {
        return output;
    }
    let columns = sources(w, ow);
    // The two input rows that an output row lies between, already resized along the row. Enlarging
    // uses each of them several times.
    let mut rows = [RowCache::new(ow), RowCache::new(ow)];
    for (source, out_row) in sources(h, oh).iter().zip(output.chunks_exact_mut(ow * 3)) {
        if rows[0].holds != Some(source.lower) && rows[1].holds == Some(source.lower) {
            rows.swap(0, 1);
        }
        rows[0].fill(rgb, source.lower, w, &columns);
        rows[1].fill(rgb, source.upper, w, &columns);
        let (top, bottom) = (&rows[0].values, &rows[1].values);
        for ((out, &top), &bottom) in out_row.iter_mut().zip(top).zip(bottom) {
            *out = top + (bottom - top) * source.fraction;
        }
    }
    output
}

struct RowCache {
    holds: Option<usize>,
    values: Vec<f32>,
}

impl RowCache {
    fn new(width: usize) -> Self {
        Self { holds: None, values: vec![0.0; width * 3] }
    }

    fn fill<T: Copy + Into<f32>>(&mut self, rgb: &[T], row: usize, width: usize, columns: &[Source]) {
        if self.holds == Some(row) {
            return;
        }
        self.holds = Some(row);
        let pixels = &rgb[row * width * 3..(row + 1) * width * 3];
        for (out, source) in self.values.chunks_exact_mut(3).zip(columns) {
            let (left, right) = (&pixels[source.lower * 3..][..3], &pixels[source.upper * 3..][..3]);
            for channel in 0..3 {
                let (left, right): (f32, f32) = (left[channel].into(), right[channel].into());
                out[channel] = left + (right - left) * source.fraction;
            }
        }
    }
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

    fn first_channel(rgb: &[f32]) -> Vec<f32> {
        rgb.iter().step_by(3).copied().collect()
    }

    #[test]
    fn doubling_looks_at_the_neighbour_to_the_right() {
        let resizer = ImageResizer::FixedShape { height: 1, width: 4 };
        let (out, size) = resize_image(&resizer, &grey(&[0, 10]), 1, 2);
        assert_eq!((first_channel(&out), size), (vec![0.0, 5.0, 10.0, 10.0], (1, 4)));
    }

    #[test]
    fn halving_skips_without_smoothing() {
        let resizer = ImageResizer::FixedShape { height: 1, width: 2 };
        let (out, _) = resize_image(&resizer, &grey(&[1, 100, 3, 100]), 1, 4);
        assert_eq!(first_channel(&out), [1.0, 3.0]);
    }

    #[test]
    fn padding_lies_below_and_to_the_right() {
        let resizer = ImageResizer::KeepAspectRatio { min_dimension: 1, max_dimension: 2, pad: Some([7.0, 8.0, 9.0]) };
        let (out, size) = resize_image(&resizer, &grey(&[1, 2]), 1, 2);
        assert_eq!(size, (2, 2));
        assert_eq!(out, [1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 7.0, 8.0, 9.0, 7.0, 8.0, 9.0]);
    }

    #[test]
    fn a_picture_without_pixels_becomes_black() {
        let resizer = ImageResizer::FixedShape { height: 2, width: 1 };
        assert_eq!(resize_image::<u8>(&resizer, &[], 0, 5).0, [0.0; 6]);
    }

    #[test]
    fn the_longer_side_is_limited() {
        let resizer = ImageResizer::KeepAspectRatio { min_dimension: 600, max_dimension: 1024, pad: None };
        assert_eq!(resizer.resized_size(1326, 296), (1024, 229));
        assert_eq!(resizer.resized_size(279, 262), (639, 600));
    }
}
