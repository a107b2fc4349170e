//! Which pixels meet which weights: the geometry of a convolution as a matrix of columns.
//!
//! A convolution is a matrix product once, for each output pixel, the input values under the kernel stand in one column.
//! [`Gather`] writes such columns for any run of output pixels, so the caller decides how much memory they may take.
//! The gradient of the input is of the same kind, with the output gradient as its source.

use super::shared::copy_run;
use super::simd::{Isa, LANES, lanes, lanes_mut, vectorized};
use std::ops::Range;

/// A grid of pixels, each of which looks at the same taps of a source image.
#[derive(Debug, Clone)]
pub(crate) struct Gather {
    pub channels: usize,
    /// Height and width of a source plane.
    pub source: [usize; 2],
    /// Rows and columns of pixels.
    pub grid: [usize; 2],
    /// Source rows and columns from one pixel to the next.
    pub step: [usize; 2],
    /// What pixel (0, 0) looks at, `[row, column]`; beyond the source there are zeros.
    pub taps: Vec<[isize; 2]>,
}

/// Neighbouring pixels of one grid row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub image: usize,
    pub row: usize,
    pub column: usize,
    pub len: usize,
    /// Index of the first pixel within the run.
    pub at: usize,
}

impl Gather {
    /// The length of a column.
    pub fn depth(&self) -> usize {
        self.channels * self.taps.len()
    }

    /// Pixels of one image.
    pub fn pixels(&self) -> usize {
        self.grid[0] * self.grid[1]
    }

    /// Whether a column is one pixel of each channel, and [`Gather::flattened`] has made one row of the grid.
    pub fn is_direct(&self) -> bool {
        self.taps == [[0, 0]] && self.step == [1, 1] && self.grid == self.source && self.grid[0] == 1
    }

    /// Where rows follow each other without a gap in source and grid, takes them as one long row.
    pub fn flattened(self) -> Self {
        let direct = self.taps == [[0, 0]] && self.step == [1, 1] && self.grid == self.source;
        if !direct {
            return self;
        }
        let size = [1, self.pixels()];
        Self { source: size, grid: size, ..self }
    }

    /// The run of pixels, counted through all images, as segments of rows.
    pub fn segments(&self, pixels: Range<usize>) -> Vec<Segment> {
        let [rows, columns] = self.grid;
        let mut segments = Vec::new();
        let mut pixel = pixels.start;
        while pixel < pixels.end {
            let column = pixel % columns;
            let len = (columns - column).min(pixels.end - pixel);
            segments.push(Segment {
                image: pixel / (rows * columns),
                row: pixel / columns % rows,
                column,
                len,
                at: pixel - pixels.start,
            });
            pixel += len;
        }
        segments
    }

    /// Writes the columns of the segments, for some of the channels: row `(channel − first) · taps + tap` of the matrix
    /// holds one value for each pixel.
    pub fn fill(
        &self,
        columns: &mut [f32],
        pixels: usize,
        source: &[f32],
        segments: &[Segment],
        channels: Range<usize>,
    ) {
        fill_columns(self, columns, pixels, source, segments, channels);
    }
}

#[inline(always)]
fn fill_body<I: Isa>(
    gather: &Gather,
    columns: &mut [f32],
    pixels: usize,
    source: &[f32],
    segments: &[Segment],
    channels: Range<usize>,
) {
    let [height, width] = gather.source;
    let rows = channels.flat_map(|channel| gather.taps.iter().map(move |tap| (channel, tap)));
    for ((channel, tap), target) in rows.zip(columns.chunks_exact_mut(pixels)) {
        for segment in segments {
            let target = &mut target[segment.at..segment.at + segment.len];
            let row = (segment.row * gather.step[0]) as isize + tap[0];
            if row < 0 || row as usize >= height {
                target.fill(0.0);
                continue;
            }
            let plane = segment.image * gather.channels + channel;
            let start = (plane * height + row as usize) * width;
            let first = (segment.column * gather.step[1]) as isize + tap[1];
            copy_row::<I>(target, &source[start..start + width], first, gather.step[1]);
        }
    }
}

vectorized!(fn fill_columns(
    gather: &Gather,
    columns: &mut [f32],
    pixels: usize,
    source: &[f32],
    segments: &[Segment],
    channels: Range<usize>,
) = fill_body);

/// `target[i] = row[first + i · step]`, zero beyond the row.
#[inline(always)]
fn copy_row<I: Isa>(target: &mut [f32], row: &[f32], first: isize, step: usize) {
    let before = match usize::try_from(-first) {
        Ok(missing) => missing.div_ceil(step).min(target.len()),
        Err(_) => 0,
    };
    let (zeros, target) = target.split_at_mut(before);
    zeros.fill(0.0);
    let start = (first + (before * step) as isize) as usize;
    let inside = row.len().saturating_sub(start).div_ceil(step).min(target.len());
    let (target, zeros) = target.split_at_mut(inside);
    zeros.fill(0.0);
    if inside == 0 {
        return;
    }
    match step {
        1 => copy_run(target, &row[start..start + inside]),
        2 => copy_even::<I>(target, &row[start..]),
        _ => copy_apart(target, &row[start..], step),
    }
}

/// `target[i] = row[i · step]`, for what is too short for registers or lies too far apart: compiled for no
/// instruction set in particular, as the preparations of a vectorized loop would cost more than the copy.
#[inline(never)]
fn copy_apart(target: &mut [f32], row: &[f32], step: usize) {
    for (target, &value) in target.iter_mut().zip(row.iter().step_by(step)) {
        *target = value;
    }
}

/// `target[i] = row[2 · i]`.
#[inline(always)]
fn copy_even<I: Isa>(target: &mut [f32], row: &[f32]) {
    let mut at = 0;
    while at + LANES <= target.len() && 2 * (at + LANES) <= row.len() {
        let (even, _) = I::unzip(I::load(lanes(row, 2 * at)), I::load(lanes(row, 2 * at + LANES)));
        I::store(even, lanes_mut(target, at));
        at += LANES;
    }
    if at < target.len() {
        copy_apart(&mut target[at..], &row[2 * at..], 2);
    }
}

#[cfg(test)]
mod tests {
    use super::super::simd::Baseline;
    use super::*;

    #[test]
    fn rows_are_clipped_on_both_sides() {
        let row = [1.0, 2.0, 3.0, 4.0, 5.0];
        let copied = |len, first, step| {
            let mut target = vec![9.0; len];
            copy_row::<Baseline>(&mut target, &row, first, step);
            target
        };
        assert_eq!(copied(4, -1, 1), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(copied(4, -1, 2), [0.0, 2.0, 4.0, 0.0]);
        assert_eq!(copied(3, -2, 2), [0.0, 1.0, 3.0]);
        assert_eq!(copied(2, 4, 1), [5.0, 0.0]);
        assert_eq!(copied(2, 7, 1), [0.0, 0.0]);
        assert_eq!(copied(2, -9, 3), [0.0, 0.0]);
        // Long enough for registers, and with a rest.
        let row: Vec<f32> = (0..75).map(|value| value as f32).collect();
        let mut target = vec![9.0; 38];
        copy_row::<Baseline>(&mut target, &row, 0, 2);
        assert!(target.iter().enumerate().all(|(i, found)| *found == row[2 * i]));
    }

    #[test]
    fn columns_worked_by_hand() {
        // Two images of one channel, 2 × 3, seen by a 1 × 2 kernel that begins one column to the left.
        let source: Vec<f32> = (1..=12).map(|value| value as f32).collect();
        let gather = Gather { channels: 1, source: [2, 3], grid: [2, 3], step: [1, 1], taps: vec![[0, -1], [0, 0]] };
        // From the last pixel of the first row to the first pixel of the second image.
        let segments = gather.segments(2..7);
        assert_eq!(
            segments
                .iter()
                .map(|segment| (segment.image, segment.row, segment.column, segment.len))
                .collect::<Vec<_>>(),
            [(0, 0, 2, 1), (0, 1, 0, 3), (1, 0, 0, 1)]
        );
        let mut columns = vec![9.0; 2 * 5];
        gather.fill(&mut columns, 5, &source, &segments, 0..1);
        assert_eq!(columns[..5], [2.0, 0.0, 4.0, 5.0, 0.0]);
        assert_eq!(columns[5..], [3.0, 4.0, 5.0, 6.0, 7.0]);
    }
}
