//! Dense convolution with fixed weights, for use and not for training.
//!
//! The weight is brought once into panels of [`ROWS`] output channels, in which the values that are needed together
//! lie together. A block of pixels is gathered into columns, and each panel meets it in one pass that keeps all its
//! sums in registers; bias and activation are applied before the sums are written, so a value of the result is
//! touched once. On one picture this matters more than on a batch: there the weights are most of what is read.

use super::buffer::Buffer;
use super::gather::{Gather, Segment};
use super::shared::Shared;
use super::simd::{Isa, LANES, lanes, lanes_mut, vectorized};
use crate::activation::Activation;
use rayon::prelude::*;
use std::ops::Range;

/// Output channels of a panel.
const ROWS: usize = 8;
/// Products from which on it pays to wake another thread.
const SMALLEST_SPLIT: usize = 1 << 19;
/// Pixels of a block: three of the widest registers.
const BLOCK: usize = 3 * LANES;

/// A weight `[out, depth]` in panels: for each panel `depth` times [`ROWS`] values, zeros beyond the last row.
#[derive(Debug)]
pub(crate) struct PackedWeight {
    panels: Vec<f32>,
    out: usize,
    depth: usize,
}

impl PackedWeight {
    /// Packs the rows of a weight with `out` of them.
    pub fn new(weight: &[f32], out: usize) -> Self {
        let depth = weight.len() / out.max(1);
        let mut panels = vec![0.0; out.div_ceil(ROWS) * ROWS * depth];
        if depth > 0 {
            for (row, values) in weight.chunks_exact(depth).enumerate() {
                let panel = &mut panels[row / ROWS * ROWS * depth..][..ROWS * depth];
                for (target, &value) in panel[row % ROWS..].iter_mut().step_by(ROWS).zip(values) {
                    *target = value;
                }
            }
        }
        Self { panels, out, depth }
    }

    fn panel(&self, index: usize) -> &[f32] {
        &self.panels[index * ROWS * self.depth..][..ROWS * self.depth]
    }

    fn len(&self) -> usize {
        self.out.div_ceil(ROWS)
    }
}

/// What happens to a sum before it is written.
#[derive(Clone, Copy)]
pub(crate) struct Epilogue<'a> {
    /// One value for each output channel.
    pub bias: &'a [f32],
    pub activation: Activation,
}

/// `y = activation(weight · columns + bias)` for every pixel that `gather` describes.
pub(crate) fn forward(
    y: &mut [f32],
    source: &[f32],
    weight: &PackedWeight,
    gather: &Gather,
    epilogue: Epilogue,
    batch: usize,
) {
    assert!(gather.depth() == weight.depth && epilogue.bias.len() == weight.out, "a weight that does not fit");
    let pixels = batch * gather.pixels();
    if pixels == 0 || weight.out == 0 {
        return;
    }
    let work = Work { weight, gather, epilogue, source, pixels, shared: Shared::new(y) };
    let (threads, blocks) = (rayon::current_num_threads(), pixels.div_ceil(BLOCK));
    if threads == 1 || pixels * weight.panels.len() < SMALLEST_SPLIT {
        work.columns_and_panels(0..blocks);
    } else if blocks >= 2 * threads {
        // Runs of blocks, so that few tasks share scratch memory and none is long.
        let each = blocks.div_ceil(4 * threads);
        (0..blocks.div_ceil(each)).into_par_iter().with_max_len(1).for_each(|run| {
            work.columns_and_panels(run * each..((run + 1) * each).min(blocks));
        });
    } else {
        work.columns_then_panels(blocks, threads);
    }
}

/// One product.
struct Work<'a> {
    weight: &'a PackedWeight,
    gather: &'a Gather,
    epilogue: Epilogue<'a>,
    source: &'a [f32],
    pixels: usize,
    shared: Shared<'a>,
}

impl Work<'_> {
    /// The pixels of a block, and how many columns they take.
    fn range(&self, block: usize) -> (Range<usize>, usize) {
        let range = block * BLOCK..((block + 1) * BLOCK).min(self.pixels);
        let width = range.len().next_multiple_of(LANES);
        (range, width)
    }

    /// Block after block: its columns, and all panels with them.
    fn columns_and_panels(&self, blocks: Range<usize>) {
        let mut memory = Buffer::new(self.weight.depth * BLOCK + LANES);
        let columns = aligned(&mut memory);
        for block in blocks {
            let (range, width) = self.range(block);
            let segments = self.gather.segments(range);
            let columns = &mut columns[..self.weight.depth * width];
            self.fill(columns, width, &segments, 0..self.gather.channels);
            self.panels(&segments, 0..self.weight.len(), columns);
        }
    }

    /// Where there are fewer blocks than keep all threads busy: first the columns of all of them, channel by channel, then the
    /// panels of each.
    fn columns_then_panels(&self, blocks: usize, threads: usize) {
        let (channels, taps) = (self.gather.channels, self.gather.taps.len());
        let segments: Vec<_> = (0..blocks).map(|block| self.gather.segments(self.range(block).0)).collect();
        let mut memory = Buffer::new(self.weight.depth * BLOCK * blocks + LANES);
        let columns = aligned(&mut memory);
        let each = (channels * blocks).div_ceil(2 * threads).max(1);
        let parts = columns[..self.weight.depth * BLOCK * blocks]
            .chunks_mut(self.weight.depth * BLOCK)
            .enumerate()
            .flat_map(|(block, columns)| {
                let width = self.range(block).1;
                let columns = &mut columns[..self.weight.depth * width];
                columns
                    .chunks_mut(each * taps * width)
                    .enumerate()
                    .map(move |(part, columns)| (block, part * each, columns))
            });
        let parts: Vec<_> = parts.collect();
        parts.into_par_iter().with_max_len(1).for_each(|(block, first, columns)| {
            let width = self.range(block).1;
            let channels = first..channels.min(first + each);
            self.fill(columns, width, &segments[block], channels);
        });
        let columns = &*columns;
        let parts = (4 * threads).div_ceil(blocks).min(self.weight.len());
        let panels = self.weight.len().div_ceil(parts);
        (0..blocks * parts).into_par_iter().with_max_len(1).for_each(|task| {
            let (block, part) = (task % blocks, task / blocks);
            let panels = (part * panels).min(self.weight.len())..((part + 1) * panels).min(self.weight.len());
            let columns = &columns[block * self.weight.depth * BLOCK..][..self.weight.depth * self.range(block).1];
            self.panels(&segments[block], panels, columns);
        });
    }

    /// The columns of some channels.
    fn fill(&self, columns: &mut [f32], width: usize, segments: &[Segment], channels: Range<usize>) {
        match segments {
            [whole] if whole.len == BLOCK && self.gather.is_direct() => {
                let plane = self.gather.pixels();
                let first = (whole.image * self.gather.channels + channels.start) * plane + whole.column;
                copy_block(columns, &self.source[first..], plane);
            }
            _ => self.gather.fill(columns, width, self.source, segments, channels),
        }
    }

    /// Some panels with the columns of a block.
    fn panels(&self, segments: &[Segment], panels: Range<usize>, columns: &[f32]) {
        let Self { weight, gather, epilogue, ref shared, .. } = *self;
        block_of_panels(&Task { weight, gather, epilogue, segments, shared }, panels, columns);
    }
}

/// The memory from the start of a line of the cache, or every register that is loaded would come from two.
fn aligned(memory: &mut [f32]) -> &mut [f32] {
    let start = memory.as_ptr().align_offset(LANES * size_of::<f32>()).min(LANES);
    &mut memory[start..]
}

/// One block of pixels.
struct Task<'a> {
    weight: &'a PackedWeight,
    gather: &'a Gather,
    epilogue: Epilogue<'a>,
    segments: &'a [Segment],
    shared: &'a Shared<'a>,
}

impl Task<'_> {
    /// Where a segment's pixels of one channel begin.
    #[inline(always)]
    fn start(&self, segment: &Segment, channel: usize) -> usize {
        let [height, columns] = self.gather.grid;
        let plane = segment.image * self.weight.out + channel;
        (plane * height + segment.row) * columns + segment.column
    }
}

#[inline(always)]
fn block_body<I: Isa>(task: &Task, panels: Range<usize>, columns: &[f32]) {
    let width = columns.len() / task.weight.depth;
    let limits = task.epilogue.activation.limits();
    // Every panel writes over what the one before left; what lies beyond the width is never read.
    let mut sums = [[0.0; BLOCK]; ROWS];
    for index in panels {
        let panel = task.weight.panel(index);
        let rows = (task.weight.out - index * ROWS).min(ROWS);
        let mut bias = [0.0; ROWS];
        bias[..rows].copy_from_slice(&task.epilogue.bias[index * ROWS..][..rows]);
        match (I::WIDE, width / LANES) {
            (true, 1) => whole_tile::<I, 1>(panel, 0, columns, width, 0, (&bias, limits), &mut sums),
            (true, 2) => whole_tile::<I, 2>(panel, 0, columns, width, 0, (&bias, limits), &mut sums),
            (true, _) => whole_tile::<I, 3>(panel, 0, columns, width, 0, (&bias, limits), &mut sums),
            (false, parts) => {
                for part in 0..parts {
                    half_tile::<I, 1>(panel, 0, columns, width, part, (&bias, limits), &mut sums);
                    half_tile::<I, 1>(panel, 4, columns, width, part, (&bias, limits), &mut sums);
                }
            }
        }
        for (row, sums) in sums.iter().enumerate().take(rows) {
            let channel = index * ROWS + row;
            for segment in task.segments {
                let start = task.start(segment, channel);
                // SAFETY: tasks differ in their pixels or in their channels, and the two fix an element.
                unsafe { task.shared.write::<BLOCK>(start, &sums[segment.at..segment.at + segment.len]) };
            }
        }
    }
}

/// Defines a function for the sums of some rows of a panel over `C` times sixteen columns, with their bias and clamped. The
/// sums are variables, one for each row, and nothing is called between two products: an array of arrays, or a call, would
/// put them into memory.
macro_rules! tile {
    ($(#[$meta:meta])* $name:ident: $($sum:ident $row:literal),*) => {
        $(#[$meta])*
        #[inline(always)]
        fn $name<I: Isa, const C: usize>(
            panel: &[f32],
            first_row: usize,
            columns: &[f32],
            width: usize,
            first_lanes: usize,
            (bias, (low, high)): (&[f32; ROWS], (f32, f32)),
            result: &mut [[f32; BLOCK]; ROWS],
        ) {
            $(let mut $sum = [I::splat(0.0); C];)*
            let depth = panel.len() / ROWS;
            assert!(columns.len() >= depth * width && width >= (first_lanes + C) * LANES, "columns that are too short");
            for at in 0..depth {
                let mut pixels = [I::splat(0.0); C];
                for part in 0..C {
                    pixels[part] = I::load(lanes(columns, at * width + (first_lanes + part) * LANES));
                }
                let weights = &panel[at * ROWS..(at + 1) * ROWS];
                $(
                    let weight = I::splat(weights[first_row + $row]);
                    for part in 0..C {
                        $sum[part] = I::fused(weight, pixels[part], $sum[part]);
                    }
                )*
            }
            let (one, low, high) = (I::splat(1.0), I::splat(low), I::splat(high));
            $(
                let bias_of_row = I::splat(bias[first_row + $row]);
                for part in 0..C {
                    let sum = I::clamped(I::fused($sum[part], one, bias_of_row), low, high);
                    I::store(sum, lanes_mut(&mut result[first_row + $row], (first_lanes + part) * LANES));
                }
            )*
        }
    };
}

tile!(
    /// All rows of a panel.
    whole_tile: a 0, b 1, c 2, d 3, e 4, f 5, g 6, h 7
);
tile!(
    /// Half of them.
    half_tile: a 0, b 1, c 2, d 3
);

/// The pixels of a block in every plane, one after the other. `source` begins at the first pixel of the first plane.
#[inline(always)]
fn copy_body<I: Isa>(columns: &mut [f32], source: &[f32], plane: usize) {
    for row in 0..columns.len() / BLOCK {
        for part in 0..BLOCK / LANES {
            let values = I::load(lanes(source, row * plane + part * LANES));
            I::store(values, lanes_mut(columns, row * BLOCK + part * LANES));
        }
    }
}

vectorized!(fn copy_block(columns: &mut [f32], source: &[f32], plane: usize) = copy_body);
vectorized!(fn block_of_panels(task: &Task, panels: Range<usize>, columns: &[f32]) = block_body);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_hold_neighbouring_rows_together() {
        // Three rows of two: one panel, five rows of zeros.
        let packed = PackedWeight::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3);
        assert_eq!(packed.panel(0)[..4], [1.0, 3.0, 5.0, 0.0]);
        assert_eq!(packed.panel(0)[ROWS..ROWS + 4], [2.0, 4.0, 6.0, 0.0]);
        assert_eq!((packed.len(), packed.depth), (1, 2));
    }

    #[test]
    fn a_product_worked_by_hand() {
        // Two channels of a picture of one row and three columns, one output channel: 2 a − b, + 1, clamped to 0 … 6.
        let gather = Gather { channels: 2, source: [1, 3], grid: [1, 3], step: [1, 1], taps: vec![[0, 0]] };
        let weight = PackedWeight::new(&[2.0, -1.0], 1);
        let mut y = [0.0; 3];
        let epilogue = Epilogue { bias: &[1.0], activation: Activation::Relu6 };
        forward(&mut y, &[1.0, 2.0, 9.0, 5.0, 1.0, 1.0], &weight, &gather, epilogue, 1);
        assert_eq!(y, [0.0, 4.0, 6.0]);
    }

    #[test]
    fn a_nan_passes_the_clamp() {
        let gather = Gather { channels: 1, source: [1, 2], grid: [1, 2], step: [1, 1], taps: vec![[0, 0]] };
        let mut y = [0.0; 2];
        let epilogue = Epilogue { bias: &[0.5], activation: Activation::Relu6 };
        forward(&mut y, &[f32::NAN, 9.0], &PackedWeight::new(&[1.0], 1), &gather, epilogue, 1);
        assert!(y[0].is_nan() && y[1] == 6.0, "{y:?}");
    }
}
