//! Interpolation as TensorFlow 1 did it (`tf.compat.v1.image.resize_images`).
//!
//! No half-pixel centres: output `i` looks at input `i · in / out`, or with aligned corners at
//! `i · (in − 1) / (out − 1)`, and only [`ResizeMethod::Area`] smooths when shrinking. A model that was
//! trained on such pictures needs exactly such pictures, so the arithmetic is `f32` and in the kernels' order.
//! Pictures are interleaved RGB, rows from top to bottom; sizes are `(height, width)`.

use std::sync::LazyLock;

/// Values a pixel.
const CHANNELS: usize = 3;

/// How new pixels are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResizeMethod {
    /// Linear between the four neighbours.
    #[default]
    Bilinear,
    /// The nearest pixel.
    NearestNeighbor,
    /// Cubic over sixteen neighbours, by a table of 1,024 steps; values may leave the range of the picture's.
    Bicubic,
    /// The mean of the area that a new pixel covers.
    Area,
}

/// Resizes a picture of `from` pixels to `to`. A picture without pixels becomes black.
///
/// # Panics
/// If `rgb` does not hold the pixels of `from`.
pub fn resize<T: Copy + Into<f32>>(
    rgb: &[T],
    from: (usize, usize),
    to: (usize, usize),
    method: ResizeMethod,
    align_corners: bool,
) -> Vec<f32> {
    assert_eq!(rgb.len(), from.0 * from.1 * CHANNELS, "{} rows of {} RGB pixels", from.0, from.1);
    if from == to {
        return rgb.iter().map(|&value| value.into()).collect();
    }
    let mut output = vec![0.0f32; to.0 * to.1 * CHANNELS];
    if rgb.is_empty() || output.is_empty() {
        return output;
    }
    let rows = Axis { input: from.0, output: to.0, align_corners };
    let columns = Axis { input: from.1, output: to.1, align_corners };
    match method {
        ResizeMethod::Bilinear => bilinear(rgb, &mut output, rows, columns),
        ResizeMethod::NearestNeighbor => nearest(rgb, &mut output, rows, columns),
        ResizeMethod::Bicubic => bicubic(rgb, &mut output, rows, columns),
        ResizeMethod::Area => area(rgb, &mut output, rows, columns),
    }
    output
}

/// One direction of a resizing.
#[derive(Clone, Copy)]
struct Axis {
    input: usize,
    output: usize,
    align_corners: bool,
}

impl Axis {
    fn scale(self) -> f32 {
        if self.align_corners && self.output > 1 {
            (self.input - 1) as f32 / (self.output - 1) as f32
        } else {
            self.input as f32 / self.output as f32
        }
    }

    /// Where each output looks in the input.
    fn places(self) -> impl Iterator<Item = f32> {
        let scale = self.scale();
        (0..self.output).map(move |i| i as f32 * scale)
    }

    /// An index of the input, the nearest one where `at` lies outside.
    fn bound(self, at: i64) -> usize {
        at.clamp(0, self.input as i64 - 1) as usize
    }
}

/// Where one output row or column looks, and how much of the second neighbour it takes.
struct Source {
    lower: usize,
    upper: usize,
    fraction: f32,
}

fn sources(axis: Axis) -> Vec<Source> {
    axis.places()
        .map(|at| {
            let lower = (at.floor() as usize).min(axis.input - 1);
            Source { lower, upper: (lower + 1).min(axis.input - 1), fraction: at - at.floor() }
        })
        .collect()
}

fn bilinear<T: Copy + Into<f32>>(rgb: &[T], output: &mut [f32], rows: Axis, columns: Axis) {
    let out_columns = sources(columns);
    // The two input rows that an output row lies between, already resized along the row. Enlarging
    // uses each of them several times.
    let mut cache = [RowCache::new(columns.output), RowCache::new(columns.output)];
    for (source, out_row) in sources(rows).iter().zip(output.chunks_exact_mut(columns.output * CHANNELS)) {
        if cache[0].holds != Some(source.lower) && cache[1].holds == Some(source.lower) {
            cache.swap(0, 1);
        }
        cache[0].fill(rgb, source.lower, columns.input, &out_columns);
        cache[1].fill(rgb, source.upper, columns.input, &out_columns);
        let (top, bottom) = (&cache[0].values, &cache[1].values);
        for ((out, &top), &bottom) in out_row.iter_mut().zip(top).zip(bottom) {
            *out = top + (bottom - top) * source.fraction;
        }
    }
}

struct RowCache {
    holds: Option<usize>,
    values: Vec<f32>,
}

impl RowCache {
    fn new(width: usize) -> Self {
        Self { holds: None, values: vec![0.0; width * CHANNELS] }
    }

    fn fill<T: Copy + Into<f32>>(&mut self, rgb: &[T], row: usize, width: usize, columns: &[Source]) {
        if self.holds == Some(row) {
            return;
        }
        self.holds = Some(row);
        let pixels = &rgb[row * width * CHANNELS..(row + 1) * width * CHANNELS];
        for (out, source) in self.values.chunks_exact_mut(CHANNELS).zip(columns) {
            let (left, right) = (&pixels[source.lower * CHANNELS..][..3], &pixels[source.upper * CHANNELS..][..3]);
            for channel in 0..CHANNELS {
                let (left, right): (f32, f32) = (left[channel].into(), right[channel].into());
                out[channel] = left + (right - left) * source.fraction;
            }
        }
    }
}

fn nearest<T: Copy + Into<f32>>(rgb: &[T], output: &mut [f32], rows: Axis, columns: Axis) {
    let indices = |axis: Axis| -> Vec<usize> {
        axis.places().map(|at| axis.bound(if axis.align_corners { at.round() } else { at.floor() } as i64)).collect()
    };
    let out_columns = indices(columns);
    for (row, out_row) in indices(rows).into_iter().zip(output.chunks_exact_mut(columns.output * CHANNELS)) {
        let pixels = &rgb[row * columns.input * CHANNELS..][..columns.input * CHANNELS];
        for (&column, out) in out_columns.iter().zip(out_row.chunks_exact_mut(CHANNELS)) {
            for (out, &value) in out.iter_mut().zip(&pixels[column * CHANNELS..]) {
                *out = value.into();
            }
        }
    }
}

/// Steps of the table of cubic weights between two pixels.
const CUBIC_STEPS: usize = 1024;

/// Weights of the near and the far neighbour for each step away from a pixel, for the cubic with a slope of −0.75.
static CUBIC_WEIGHTS: LazyLock<Vec<[f32; 2]>> = LazyLock::new(|| {
    const A: f64 = -0.75;
    (0..=CUBIC_STEPS)
        .map(|step| {
            let x = step as f64 / CUBIC_STEPS as f64;
            let near = ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
            let x = x + 1.0;
            let far = ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
            [near as f32, far as f32]
        })
        .collect()
});

/// The four inputs of each output, and their weights.
fn cubic_taps(axis: Axis) -> Vec<([usize; 4], [f32; 4])> {
    let table = &*CUBIC_WEIGHTS;
    axis.places()
        .map(|at| {
            let pixel = at.floor() as i64;
            let step = (((at - pixel as f32) * CUBIC_STEPS as f32).round_ties_even() as usize).min(CUBIC_STEPS);
            let (before, after) = (table[step], table[CUBIC_STEPS - step]);
            let indices = [-1, 0, 1, 2].map(|offset| axis.bound(pixel + offset));
            (indices, [before[1], before[0], after[0], after[1]])
        })
        .collect()
}

fn bicubic<T: Copy + Into<f32>>(rgb: &[T], output: &mut [f32], rows: Axis, columns: Axis) {
    let stride = columns.input * CHANNELS;
    let out_columns = cubic_taps(columns);
    let mut blended = vec![0.0f32; stride];
    for ((indices, weights), out_row) in
        cubic_taps(rows).into_iter().zip(output.chunks_exact_mut(columns.output * CHANNELS))
    {
        let lines = indices.map(|row| &rgb[row * stride..][..stride]);
        for (i, out) in blended.iter_mut().enumerate() {
            let values = lines.map(|line| -> f32 { line[i].into() });
            *out = weighted(values, weights);
        }
        for ((indices, weights), out) in out_columns.iter().zip(out_row.chunks_exact_mut(CHANNELS)) {
            for (channel, out) in out.iter_mut().enumerate() {
                *out = weighted(indices.map(|column| blended[column * CHANNELS + channel]), *weights);
            }
        }
    }
}

fn weighted(values: [f32; 4], weights: [f32; 4]) -> f32 {
    values[0] * weights[0] + values[1] * weights[1] + values[2] * weights[2] + values[3] * weights[3]
}

/// The inputs that each output covers, and how much of each.
fn coverages(axis: Axis) -> Vec<Vec<(usize, f32)>> {
    let scale = axis.scale();
    if scale <= 0.0 {
        // One pixel stretched with aligned corners: an area of nothing. It is that pixel everywhere.
        return vec![vec![(0, 1.0)]; axis.output];
    }
    (0..axis.output)
        .map(|i| {
            let (begin, end) = (i as f32 * scale, (i + 1) as f32 * scale);
            (begin.floor() as i64..end.ceil() as i64)
                .map(|pixel| {
                    let (left, right) = (pixel as f32, (pixel + 1) as f32);
                    let part = match (left < begin, right > end) {
                        (true, true) => scale,
                        (true, false) => right - begin,
                        (false, true) => end - left,
                        (false, false) => 1.0,
                    };
                    (axis.bound(pixel), part)
                })
                .collect()
        })
        .collect()
}

fn area<T: Copy + Into<f32>>(rgb: &[T], output: &mut [f32], rows: Axis, columns: Axis) {
    let stride = columns.input * CHANNELS;
    let size = |axis: Axis| if axis.scale() > 0.0 { axis.scale() } else { 1.0 };
    let share = 1.0 / (size(rows) * size(columns));
    let out_columns = coverages(columns);
    let mut summed = vec![0.0f32; stride];
    for (covered, out_row) in coverages(rows).iter().zip(output.chunks_exact_mut(columns.output * CHANNELS)) {
        summed.fill(0.0);
        for &(row, part) in covered {
            for (sum, &value) in summed.iter_mut().zip(&rgb[row * stride..][..stride]) {
                *sum += value.into() * part;
            }
        }
        for (covered, out) in out_columns.iter().zip(out_row.chunks_exact_mut(CHANNELS)) {
            for (channel, out) in out.iter_mut().enumerate() {
                *out = covered.iter().map(|&(column, part)| summed[column * CHANNELS + channel] * part).sum::<f32>()
                    * share;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(values: &[u8]) -> Vec<u8> {
        values.iter().flat_map(|&v| [v, v, v]).collect()
    }

    /// One row of grey values, resized to another length.
    fn row(values: &[u8], to: usize, method: ResizeMethod, align_corners: bool) -> Vec<f32> {
        let out = resize(&grey(values), (1, values.len()), (1, to), method, align_corners);
        out.iter().step_by(3).copied().collect()
    }

    #[test]
    fn doubling_looks_at_the_neighbour_to_the_right() {
        assert_eq!(row(&[0, 10], 4, ResizeMethod::Bilinear, false), [0.0, 5.0, 10.0, 10.0]);
        assert_eq!(row(&[0, 9], 4, ResizeMethod::Bilinear, true), [0.0, 3.0, 6.0, 9.0]);
    }

    #[test]
    fn halving_skips_without_smoothing_and_area_smooths() {
        assert_eq!(row(&[1, 100, 3, 100], 2, ResizeMethod::Bilinear, false), [1.0, 3.0]);
        assert_eq!(row(&[1, 100, 3, 100], 2, ResizeMethod::NearestNeighbor, false), [1.0, 3.0]);
        assert_eq!(row(&[1, 99, 3, 101], 2, ResizeMethod::Area, false), [50.0, 52.0]);
        // Three pixels in two: one and a half each.
        let thirds = row(&[30, 60, 90], 2, ResizeMethod::Area, false);
        assert!((thirds[0] - 40.0).abs() < 1e-4 && (thirds[1] - 80.0).abs() < 1e-4, "{thirds:?}");
    }

    #[test]
    fn nearest_rounds_down_or_with_aligned_corners_to_the_nearest() {
        assert_eq!(row(&[1, 2, 3], 5, ResizeMethod::NearestNeighbor, false), [1.0, 1.0, 2.0, 2.0, 3.0]);
        assert_eq!(row(&[1, 2], 3, ResizeMethod::NearestNeighbor, true), [1.0, 2.0, 2.0]);
    }

    #[test]
    fn the_cubic_overshoots_at_an_edge_by_hand() {
        // Half way between two pixels the weights are −3/32, 19/32, 19/32, −3/32.
        let out = row(&[0, 0, 32, 32], 8, ResizeMethod::Bicubic, false);
        assert_eq!(out[3], 32.0 * (19.0 - 3.0) / 32.0);
        assert_eq!(out[1], 32.0 * -3.0 / 32.0);
        assert_eq!(out[4], 32.0);
    }

    #[test]
    fn every_method_survives_every_small_size() {
        let methods =
            [ResizeMethod::Bilinear, ResizeMethod::NearestNeighbor, ResizeMethod::Bicubic, ResizeMethod::Area];
        for method in methods {
            for align_corners in [false, true] {
                for case in 0..7usize.pow(4) {
                    let [h, w, oh, ow] = [case / 343 % 7, case / 49 % 7, case / 7 % 7, case % 7];
                    let out = resize(&vec![50u8; h * w * 3], (h, w), (oh, ow), method, align_corners);
                    let expected = if h * w == 0 { 0.0 } else { 50.0 };
                    assert_eq!(out.len(), oh * ow * 3);
                    // Aligned corners and areas do not go together: TensorFlow's weights do not sum to 1 there.
                    if method != ResizeMethod::Area || !align_corners {
                        assert!(out.iter().all(|v| (v - expected).abs() < 1e-3), "{method:?} {h} {w} {oh} {ow}");
                    }
                    assert!(out.iter().all(|v| v.is_finite()), "{method:?} {h} {w} {oh} {ow}");
                }
            }
        }
    }
}
