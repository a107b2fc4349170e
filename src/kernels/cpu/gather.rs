//! Which pixels meet which weights: the geometry of a convolution as a matrix of columns.
//!
//! A convolution is a matrix product once, for each output pixel, the input values under the kernel stand in one column.
//! [`Gather`] writes such columns for any run of output pixels, so the caller decides how much memory they may take.
//! The gradient of the input is of the same kind, with the output gradient as its source.

use super::shared::copy_run;
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
        let [height, width] = self.source;
        let rows = channels.flat_map(|channel| self.taps.iter().map(move |tap| (channel, tap)));
        for ((channel, tap), target) in rows.zip(columns.chunks_exact_mut(pixels)) {
            for segment in segments {
                let target = &mut target[segment.at..segment.at + segment.len];
                let row = (segment.row * self.step[0]) as isize + tap[0];
                if row < 0 || row as usize >= height {
                    target.fill(0.0);
                    continue;
                }
                let plane = segment.image * self.channels + channel;
                let start = (plane * height + row as usize) * width;
                let first = (segment.column * self.step[1]) as isize + tap[1];
                copy_row(target, &source[start..start + width], first, self.step[1]);
            }
        }
    }
}

/// `target[i] = row[first + i · step]`, zero beyond the row.
fn copy_row(target: &mut [f32], row: &[f32], first: isize, step: usize) {
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
    if step == 1 {
        copy_run(target, &row[start..start + inside]);
    } else {
        for (target, &value) in target.iter_mut().zip(row[start..].iter().step_by(step)) {
            *target = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_clipped_on_both_sides() {
        let row = [1.0, 2.0, 3.0, 4.0, 5.0];
        let copied = |len, first, step| {
            let mut target = vec![9.0; len];
            copy_row(&mut target, &row, first, step);
            target
        };
        assert_eq!(copied(4, -1, 1), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(copied(4, -1, 2), [0.0, 2.0, 4.0, 0.0]);
        assert_eq!(copied(3, -2, 2), [0.0, 1.0, 3.0]);
        assert_eq!(copied(2, 4, 1), [5.0, 0.0]);
        assert_eq!(copied(2, 7, 1), [0.0, 0.0]);
        assert_eq!(copied(2, -9, 3), [0.0, 0.0]);
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
