//! Dense convolution as matrix products.
//!
//! Three ways, by shape. A 1×1 convolution on large planes multiplies them where they lie. Everything else gathers
//! columns (see [`super::gather`]) tile by tile, so the scratch memory stays small; on small planes a tile reaches over
//! several images, which keeps the products large. The gradient of the input gathers from the output gradient: for a
//! stride s it falls into s × s interleaved grids, each a convolution of its own with the taps that reach it, so that
//! no two tasks ever add to the same pixel.
//!
//! What is summed across tasks (the gradient of the weight) goes into shares that are fixed by the shape and added
//! in order. Tasks are few and long, so none is bound to its neighbour (`with_max_len(1)`): a thread that is done early
//! would otherwise wait for two.

use super::buffer::Buffer;
use super::gather::{Gather, Segment};
use super::matrix::{Matrix, MatrixMut, multiply};
use super::shared::Shared;
use super::transpose::transpose;
use crate::geometry::ConvGeometry;
use rayon::prelude::*;
use std::ops::Range;

/// Planes from this size on are multiplied where they lie, if the convolution is 1×1.
const LARGE_PLANE: usize = 256;
/// Values of a tile's columns: half of a usual second cache level.
const TILE_VALUES: usize = 1 << 17;
/// Shares of the weight's gradient, as values, before tasks split the weight instead of the pixels.
const SHARED_VALUES: usize = 1 << 21;
/// The most shares, and the number of parts of a split weight.
const SHARES: usize = 8;

pub(super) fn columns_of(channels: usize, geometry: &ConvGeometry) -> Gather {
    let [top, left] = geometry.lead();
    let ([kernel_h, kernel_w], [apart_y, apart_x]) = (geometry.kernel, geometry.dilation);
    let taps = (0..kernel_h)
        .map(|ky| (ky * apart_y) as isize - top as isize)
        .flat_map(|y| (0..kernel_w).map(move |kx| [y, (kx * apart_x) as isize - left as isize]))
        .collect();
    Gather { channels, source: geometry.input, grid: geometry.output, step: geometry.stride, taps }.flattened()
}

/// The convolution of `x` with `weight`.
pub(crate) fn forward(
    y: &mut [f32],
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    geometry: &ConvGeometry,
    batch: usize,
    out: usize,
) {
    if y.is_empty() {
        return;
    }
    let depth = weight.len() / out;
    let weight = Matrix::new(weight, out, depth, depth);
    if geometry.is_pointwise() && geometry.input[0] * geometry.input[1] >= LARGE_PLANE {
        return pointwise(y, weight, x, bias, batch, [out, depth]);
    }
    let channels = depth / (geometry.kernel[0] * geometry.kernel[1]);
    let gather = columns_of(channels, geometry);
    let target = Target { channels: out, size: gather.grid, origin: [0, 0], step: [1, 1] };
    gathered(y, &target, weight, &gather, x, bias, batch);
}

/// The gradient of the input.
pub(crate) fn input_gradient(
    of_x: &mut [f32],
    weight: &[f32],
    gradient: &[f32],
    geometry: &ConvGeometry,
    batch: usize,
    out: usize,
) {
    if of_x.is_empty() {
        return;
    }
    let taps = geometry.kernel[0] * geometry.kernel[1];
    let channels = weight.len() / out / taps;
    if geometry.is_pointwise() {
        let weight = Matrix::new(weight, out, channels, channels).transposed();
        if geometry.input[0] * geometry.input[1] >= LARGE_PLANE {
            return pointwise(of_x, weight, gradient, None, batch, [channels, out]);
        }
        let gather = columns_of(out, geometry);
        let target = Target { channels, size: gather.grid, origin: [0, 0], step: [1, 1] };
        return gathered(of_x, &target, weight, &gather, gradient, None, batch);
    }
    let [sy, sx] = geometry.stride;
    let dilated = geometry.dilation != [1, 1] && geometry.stride != [1, 1];
    if geometry.kernel[0] < sy || geometry.kernel[1] < sx || dilated {
        // Some pixels meet no weight at all.
        of_x.fill(0.0);
    }
    for phase in (0..sy * sx).map(|phase| [phase / sx, phase % sx]) {
        let Some((gather, target, taps)) = phase_of(geometry, phase, [channels, out]) else {
            continue;
        };
        let weight = phase_weight(weight, geometry, &taps, [channels, out]);
        let depth = gather.depth();
        let weight = Matrix::new(&weight, channels, depth, depth);
        gathered(of_x, &target, weight, &gather, gradient, None, batch);
    }
}

/// The pixels of the input whose padded row and column leave the remainders `phase` by the stride: what they gather from
/// the output gradient, where they lie, and the kernel's taps that reach them. Nothing if there are none.
fn phase_of(
    geometry: &ConvGeometry,
    phase: [usize; 2],
    [channels, out]: [usize; 2],
) -> Option<(Gather, Target, Vec<[usize; 2]>)> {
    let lead = geometry.lead();
    // The first row of the phase that is not padding, counted in strides.
    let first = [0, 1].map(|axis| lead[axis].saturating_sub(phase[axis]).div_ceil(geometry.stride[axis]));
    let origin = [0, 1].map(|axis| first[axis] * geometry.stride[axis] + phase[axis] - lead[axis]);
    let grid = [0, 1].map(|axis| geometry.input[axis].saturating_sub(origin[axis]).div_ceil(geometry.stride[axis]));
    let reaching = |axis: usize| {
        let hits = move |k: &usize| k * geometry.dilation[axis] % geometry.stride[axis] == phase[axis];
        (0..geometry.kernel[axis]).filter(hits)
    };
    let taps: Vec<[usize; 2]> = reaching(0).flat_map(|ky| reaching(1).map(move |kx| [ky, kx])).collect();
    if grid.contains(&0) || taps.is_empty() {
        return None;
    }
    let offset =
        |axis: usize, k: usize| first[axis] as isize - (k * geometry.dilation[axis] / geometry.stride[axis]) as isize;
    let gather = Gather {
        channels: out,
        source: geometry.output,
        grid,
        step: [1, 1],
        taps: taps.iter().map(|tap| [offset(0, tap[0]), offset(1, tap[1])]).collect(),
    };
    let target = Target { channels, size: geometry.input, origin, step: geometry.stride };
    Some((gather, target, taps))
}

/// `[out, in, kernel]` as `[in, out, taps]`, for some taps of the kernel.
fn phase_weight(weight: &[f32], geometry: &ConvGeometry, taps: &[[usize; 2]], [channels, out]: [usize; 2]) -> Buffer {
    let kernel = geometry.kernel[0] * geometry.kernel[1];
    let mut transposed = Buffer::new(channels * out * taps.len());
    transposed.par_chunks_exact_mut(out * taps.len()).enumerate().for_each(|(channel, row)| {
        for (index, values) in row.chunks_exact_mut(taps.len()).enumerate() {
            let from = &weight[(index * channels + channel) * kernel..][..kernel];
            for (value, tap) in values.iter_mut().zip(taps) {
                *value = from[tap[0] * geometry.kernel[1] + tap[1]];
            }
        }
    });
    transposed
}

/// `weight` times every image of the source, plane by plane, as they lie.
fn pointwise(
    y: &mut [f32],
    weight: Matrix,
    source: &[f32],
    bias: Option<&[f32]>,
    batch: usize,
    [out, depth]: [usize; 2],
) {
    let size = y.len() / (batch * out);
    // A small batch is split within its images, so that every thread has something to do.
    let parts = (4 * rayon::current_num_threads()).div_ceil(batch);
    let width = if parts > 4 { size.div_ceil(parts).next_multiple_of(64) } else { size };
    let tiles: Vec<_> = y
        .chunks_exact_mut(out * size)
        .zip(source.chunks_exact(depth * size))
        .flat_map(|(y, source)| {
            let tiles = MatrixMut::new(y, out, size, size).into_column_tiles(width);
            tiles.into_iter().map(move |tile| (source, tile))
        })
        .collect();
    tiles.into_par_iter().with_max_len(1).for_each(|(source, (start, mut tile))| {
        if let Some(bias) = bias {
            tile.fill_rows(bias);
        }
        let source = Matrix::new(&source[start..], depth, tile.columns(), size);
        multiply(&mut tile, bias.is_some(), weight, source);
    });
}

/// Where the pixels of a grid lie in the result.
struct Target {
    channels: usize,
    /// Height and width of a plane.
    size: [usize; 2],
    /// Row and column of pixel (0, 0).
    origin: [usize; 2],
    /// Rows and columns from one pixel to the next.
    step: [usize; 2],
}

/// `weight` times the gathered columns of every pixel, tile by tile.
fn gathered(
    y: &mut [f32],
    target: &Target,
    weight: Matrix,
    gather: &Gather,
    source: &[f32],
    bias: Option<&[f32]>,
    batch: usize,
) {
    let depth = gather.depth();
    let pixels = batch * gather.pixels();
    let threads = rayon::current_num_threads();
    let even = pixels.div_ceil(2 * threads).next_multiple_of(16).max(64);
    let width = tile_width(depth, pixels).min(even);
    let tiles = pixels.div_ceil(width);
    // Where there are few pixels, tasks also split the rows of the weight.
    let parts = (2 * threads).div_ceil(tiles).min(target.channels.div_ceil(64));
    let rows = target.channels.div_ceil(parts);
    let y = Shared::new(y);
    (0..tiles * parts).into_par_iter().with_max_len(1).for_each(|task| {
        let first = task / parts * width;
        let range = first..pixels.min(first + width);
        let width = range.len();
        let rows = (task % parts * rows)..target.channels.min((task % parts + 1) * rows);
        if rows.is_empty() {
            return;
        }
        let segments = gather.segments(range);
        let mut columns = Buffer::new(depth * width);
        gather.fill(&mut columns, width, source, &segments, 0..gather.channels);
        let mut product = Buffer::new(rows.len() * width);
        multiply(
            &mut MatrixMut::new(&mut product, rows.len(), width, width),
            false,
            weight.rows(rows.clone()),
            Matrix::new(&columns, depth, width, width),
        );
        for (row, values) in rows.zip(product.chunks_exact(width)) {
            let bias = bias.map_or(0.0, |bias| bias[row]);
            for segment in &segments {
                let start = target.start(segment, row);
                let values = &values[segment.at..segment.at + segment.len];
                // SAFETY: tasks differ in their pixels or in their rows, and a pixel and a row fix an element.
                unsafe { y.write_apart(start, target.step[1], values, bias) };
            }
        }
    });
}

impl Target {
    /// The index of a segment's first pixel in one channel.
    fn start(&self, segment: &Segment, channel: usize) -> usize {
        let row = self.origin[0] + segment.row * self.step[0];
        let column = self.origin[1] + segment.column * self.step[1];
        let plane = segment.image * self.channels + channel;
        (plane * self.size[0] + row) * self.size[1] + column
    }
}

/// Pixels of a tile: as many as fit the cache, but enough for a good product.
fn tile_width(depth: usize, pixels: usize) -> usize {
    let width = (TILE_VALUES / depth.max(1)).clamp(64, 1024) / 16 * 16;
    width.min(pixels.next_multiple_of(16)).max(16)
}

/// The gradient of the weight.
pub(crate) fn weight_gradient(
    of_weight: &mut [f32],
    x: &[f32],
    gradient: &[f32],
    geometry: &ConvGeometry,
    batch: usize,
    out: usize,
) {
    if gradient.is_empty() || of_weight.is_empty() {
        of_weight.fill(0.0);
        return;
    }
    let depth = of_weight.len() / out;
    if geometry.is_pointwise() && geometry.input[0] * geometry.input[1] >= LARGE_PLANE {
        return pointwise_weight(of_weight, x, gradient, batch, [out, depth]);
    }
    let gather = columns_of(depth / (geometry.kernel[0] * geometry.kernel[1]), geometry);
    let work = WeightGradient::new(&gather, x, gradient, batch, out);
    let shares = work.tiles.len().min(SHARES);
    if shares * of_weight.len() <= SHARED_VALUES {
        let tiles = work.tiles.len().div_ceil(shares);
        let runs: Vec<_> = work.tiles.chunks(tiles).collect();
        add_shares(of_weight, runs.len(), |share, index| {
            let mut share = MatrixMut::new(share, out, depth, depth);
            work.add(&mut share, runs[index], 0..gather.channels);
        });
    } else {
        let taps = gather.taps.len();
        let each = gather.channels.div_ceil(SHARES);
        MatrixMut::new(of_weight, out, depth, depth)
            .into_column_tiles(each * taps)
            .into_par_iter()
            .with_max_len(1)
            .for_each(|(start, mut part)| {
                let channels = start / taps..(start + part.columns()) / taps;
                work.add(&mut part, &work.tiles, channels);
            });
    }
}

/// The gradient of a 1×1 convolution's weight, from planes as they lie.
fn pointwise_weight(of_weight: &mut [f32], x: &[f32], gradient: &[f32], batch: usize, [out, depth]: [usize; 2]) {
    let size = x.len() / (batch * depth);
    let add_image = |sum: &mut MatrixMut, accumulate: bool, index: usize, rows: Range<usize>| {
        let of_y = &gradient[(index * out + rows.start) * size..(index * out + rows.end) * size];
        let of_x = &x[index * depth * size..(index + 1) * depth * size];
        multiply_rows(sum, accumulate, Matrix::new(of_y, rows.len(), size, size), of_x, [depth, size]);
    };
    if batch * of_weight.len() <= SHARED_VALUES {
        add_shares(of_weight, batch, |share, index| {
            add_image(&mut MatrixMut::new(share, out, depth, depth), false, index, 0..out);
        });
    } else {
        let rows = out.div_ceil(SHARES);
        of_weight.par_chunks_mut(rows * depth).enumerate().with_max_len(1).for_each(|(part, values)| {
            let first = part * rows;
            let count = values.len() / depth;
            let mut values = MatrixMut::new(values, count, depth, depth);
            for index in 0..batch {
                add_image(&mut values, index > 0, index, first..first + count);
            }
        });
    }
}

/// `product = left · rightᵀ`, or added to it, where `right` has `rows` rows of `width` values. Its transposed copy is made for
/// so many values at a time as the cache holds.
fn multiply_rows(product: &mut MatrixMut, accumulate: bool, left: Matrix, right: &[f32], [rows, width]: [usize; 2]) {
    let pieces = width.div_ceil((TILE_VALUES / 2 / rows.max(1)).max(64));
    let piece = width.div_ceil(pieces.max(1));
    let mut columns = Buffer::new(piece * rows);
    for start in (0..width).step_by(piece.max(1)) {
        let len = piece.min(width - start);
        transpose(&mut columns, &right[start..], [rows, len], width);
        let right = Matrix::new(&columns, len, rows, rows);
        multiply(product, accumulate || start > 0, left.columns(start..start + len), right);
    }
}

/// The sum of `count` shares, worked out at the same time and added in order.
fn add_shares(sum: &mut [f32], count: usize, share: impl Fn(&mut [f32], usize) + Sync) {
    if count == 1 {
        return share(sum, 0);
    }
    let len = sum.len();
    let mut shares = Buffer::new(count * len);
    shares.par_chunks_exact_mut(len).enumerate().with_max_len(1).for_each(|(index, values)| share(values, index));
    let chunk = 4096;
    sum.par_chunks_mut(chunk).enumerate().for_each(|(part, sum)| {
        let start = part * chunk;
        sum.copy_from_slice(&shares[start..start + sum.len()]);
        for share in shares.chunks_exact(len).skip(1) {
            for (sum, value) in sum.iter_mut().zip(&share[start..]) {
                *sum += value;
            }
        }
    });
}

/// The tiles that a weight's gradient is summed over.
struct WeightGradient<'a> {
    gather: &'a Gather,
    x: &'a [f32],
    gradient: Rows<'a>,
    out: usize,
    /// Runs of pixels, counted through all images.
    tiles: Vec<Range<usize>>,
}

/// The output gradient with one row for each output channel.
enum Rows<'a> {
    /// As it lies, image by image: a tile must not reach beyond its image.
    Images(&'a [f32]),
    /// Copied, so that a row goes through all images: for planes that are small.
    Packed(Buffer),
}

impl<'a> WeightGradient<'a> {
    fn new(gather: &'a Gather, x: &'a [f32], gradient: &'a [f32], batch: usize, out: usize) -> Self {
        let size = gather.pixels();
        let pixels = batch * size;
        let width = tile_width(gather.depth(), pixels);
        let (gradient, tiles) = if size >= width {
            let tiles = (0..batch)
                .flat_map(|image| {
                    (0..size)
                        .step_by(width)
                        .map(move |start| image * size + start..image * size + size.min(start + width))
                })
                .collect();
            (Rows::Images(gradient), tiles)
        } else {
            let mut packed = Buffer::new(gradient.len());
            packed.par_chunks_exact_mut(pixels).enumerate().for_each(|(row, packed)| {
                for (image, packed) in packed.chunks_exact_mut(size).enumerate() {
                    let start = (image * out + row) * size;
                    packed.copy_from_slice(&gradient[start..start + size]);
                }
            });
            let tiles = (0..pixels).step_by(width).map(|start| start..pixels.min(start + width)).collect();
            (Rows::Packed(packed), tiles)
        };
        Self { gather, x, gradient, out, tiles }
    }

    /// The output gradient of one tile.
    fn rows(&self, tile: &Range<usize>) -> Matrix<'_> {
        match &self.gradient {
            Rows::Images(gradient) => {
                let size = self.gather.pixels();
                let (image, start) = (tile.start / size, tile.start % size);
                let image = &gradient[image * self.out * size..(image + 1) * self.out * size];
                Matrix::new(&image[start..], self.out, tile.len(), size)
            }
            Rows::Packed(gradient) => {
                let pixels = gradient.len() / self.out;
                Matrix::new(&gradient[tile.start..], self.out, tile.len(), pixels)
            }
        }
    }

    /// The part of the gradient that belongs to some channels, over some tiles.
    fn add(&self, part: &mut MatrixMut, tiles: &[Range<usize>], channels: Range<usize>) {
        let depth = channels.len() * self.gather.taps.len();
        let widest = tiles.iter().map(Range::len).max().unwrap_or(0);
        let mut columns = Buffer::new(depth * widest);
        for (index, tile) in tiles.iter().enumerate() {
            let width = tile.len();
            let columns = &mut columns[..depth * width];
            let segments = self.gather.segments(tile.clone());
            self.gather.fill(columns, width, self.x, &segments, channels.clone());
            multiply_rows(part, index > 0, self.rows(tile), columns, [depth, width]);
        }
    }
}
