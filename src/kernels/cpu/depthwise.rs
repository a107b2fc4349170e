//! Depthwise convolution, plane by plane.
//!
//! A plane is copied into scratch memory with its padding and, for a stride s, split into s × s *phases*: the rows and
//! columns that leave the same remainder. Tap (ky, kx) of the kernel then reads one phase at a fixed distance from
//! the output pixel. So both directions become sums of shifted lines, each as long as several rows, without a
//! branch for the border or a strided load:
//!
//! - forward: the output is the sum over the taps of weight × phase;
//! - gradient of the input: a phase is the sum over *its* taps of weight × padded output gradient;
//! - gradient of the weight: a tap is the product of the output gradient's line with the phase's.
//!
//! All lines have the same row width. What is convolved is written row by row, sixteen values at a time ([`Spot`]); what is
//! summed runs over the values between the rows as well, and meets zeros there.

use super::buffer::Buffer;
use super::packed::Epilogue;
use super::shared::copy_run;
use super::simd::{Isa, LANES, lanes, lanes_mut, sum_of_lanes, vectorized};
use crate::activation::Activation;
use crate::geometry::ConvGeometry;
use rayon::prelude::*;

/// Values of output lines that are worked out before they are copied: they stay in the first cache level.
const BAND: usize = 2048;
/// Values that a loop keeps in registers.
const UNROLLED: usize = 4 * LANES;
/// Lines are read up to this far beyond their end.
const SLACK: usize = UNROLLED;

/// Where everything lies in the scratch memory.
pub(super) struct Layout {
    geometry: ConvGeometry,
    /// Rows and columns before the output gradient in its padded plane: the farthest that a tap looks back.
    back: [usize; 2],
    /// Rows of a phase, and of the padded output gradient.
    rows: usize,
    /// Columns of both.
    width: usize,
    /// The output, read from the phases.
    output_spots: Vec<Spot>,
    /// The input, read from the padded output gradient, where nothing strides.
    input_spots: Option<Vec<Spot>>,
}

/// Sixteen neighbouring results: where they begin in the result, and where in the lines that they are read from.
#[derive(Clone, Copy)]
struct Spot {
    source: usize,
    target: usize,
    /// How many of them count, where the others would lie beyond the result.
    len: usize,
}

/// The spots that cover the rows of a plane of `[height, width]`, read from lines of `line_width`. In a row that is no multiple of
/// sixteen the last spot begins early enough; in a row that is shorter, what is too much lies in the next row and is
/// written over by it, for spots are in order.
fn spots([height, width]: [usize; 2], line_width: usize) -> Vec<Spot> {
    let len = height * width;
    let at = |row: usize, column: usize| {
        let target = row * width + column;
        Spot {
            source: row * line_width + column,
            target,
            len: if target + LANES <= len { LANES } else { len - target },
        }
    };
    let starts = |row: usize| {
        (0..width).step_by(LANES).map(move |column| at(row, if width < LANES { 0 } else { column.min(width - LANES) }))
    };
    (0..height).flat_map(starts).collect()
}

/// A term of a line: `weight` × the line that starts at `offset`.
#[derive(Clone, Copy)]
pub(super) struct Tap {
    offset: usize,
    weight: f32,
}

impl Layout {
    pub(super) fn new(geometry: &ConvGeometry) -> Self {
        let back = [0, 1].map(|axis| (geometry.kernel[axis] - 1) / geometry.stride[axis]);
        let padded = geometry.padded();
        let phase = [0, 1].map(|axis| padded[axis].div_ceil(geometry.stride[axis]));
        let (rows, width) = (phase[0] + back[0], phase[1] + back[1]);
        Self {
            geometry: *geometry,
            back,
            rows,
            width,
            output_spots: spots(geometry.output, width),
            input_spots: (geometry.stride == [1, 1]).then(|| spots(geometry.input, width)),
        }
    }

    fn phases(&self) -> usize {
        self.geometry.stride[0] * self.geometry.stride[1]
    }

    /// Length of one phase and of the padded output gradient.
    fn plane(&self) -> usize {
        self.rows * self.width
    }

    /// Rows of lines that make up a band.
    fn band_rows(&self) -> usize {
        (BAND / self.width).max(1)
    }

    fn band(&self) -> usize {
        (self.band_rows() * self.width).next_multiple_of(LANES)
    }

    /// Length of the output as one line.
    fn line(&self) -> usize {
        let [height, width] = self.geometry.output;
        ((height - 1) * self.width + width).next_multiple_of(LANES)
    }

    /// Where tap (ky, kx) begins to read the phases.
    fn tap_offset(&self, ky: usize, kx: usize) -> usize {
        let [sy, sx] = self.geometry.stride;
        let phase = ky % sy * sx + kx % sx;
        phase * self.plane() + ky / sy * self.width + kx / sx
    }

    /// The taps of the forward direction, their weights still to come.
    fn forward_taps(&self) -> Vec<Tap> {
        let [kernel_h, kernel_w] = self.geometry.kernel;
        let offset = |index: usize| self.tap_offset(index / kernel_w, index % kernel_w);
        (0..kernel_h * kernel_w).map(|index| Tap { offset: offset(index), weight: 0.0 }).collect()
    }

    /// The taps that a phase of the input's gradient gathers from the padded output gradient.
    fn backward_taps(&self, phase: [usize; 2], weights: &[f32], taps: &mut Vec<Tap>) {
        let [kernel_h, kernel_w] = self.geometry.kernel;
        let [sy, sx] = self.geometry.stride;
        taps.clear();
        for ky in (phase[0]..kernel_h).step_by(sy) {
            for kx in (phase[1]..kernel_w).step_by(sx) {
                taps.push(Tap {
                    offset: (self.back[0] - ky / sy) * self.width + self.back[1] - kx / sx,
                    weight: weights[ky * kernel_w + kx],
                });
            }
        }
    }
}

/// `target = Σ weight · source`, spot by spot, then with `finish` a bias is added and the sum clamped. Four spots at a time,
/// so that a weight is brought into a register once for them.
#[inline(always)]
fn correlate_spots<I: Isa>(
    target: &mut [f32],
    source: &[f32],
    taps: &[Tap],
    spots: &[Spot],
    finish: Option<(f32, Activation)>,
) {
    let (groups, rest) = spots.as_chunks::<4>();
    for group in groups {
        correlate_group::<I, 4>(target, source, taps, group, finish);
    }
    for spot in rest {
        correlate_group::<I, 1>(target, source, taps, std::array::from_ref(spot), finish);
    }
}

#[inline(always)]
fn correlate_group<I: Isa, const N: usize>(
    target: &mut [f32],
    source: &[f32],
    taps: &[Tap],
    spots: &[Spot; N],
    finish: Option<(f32, Activation)>,
) {
    let mut sums = [I::splat(0.0); N];
    for tap in taps {
        let weight = I::splat(tap.weight);
        for index in 0..N {
            sums[index] = I::fused(weight, I::load(lanes(source, tap.offset + spots[index].source)), sums[index]);
        }
    }
    if let Some((bias, activation)) = finish {
        let (low, high) = activation.limits();
        let (one, bias, low, high) = (I::splat(1.0), I::splat(bias), I::splat(low), I::splat(high));
        for sum in &mut sums {
            *sum = I::clamped(I::fused(*sum, one, bias), low, high);
        }
    }
    for index in 0..N {
        let spot = spots[index];
        if spot.len == LANES {
            I::store(sums[index], lanes_mut(target, spot.target));
        } else {
            let mut values = [0.0; LANES];
            I::store(sums[index], &mut values);
            target[spot.target..][..spot.len].copy_from_slice(&values[..spot.len]);
        }
    }
}

/// `line[i] = Σ weight · source[offset + i]`; the line's length is a multiple of [`LANES`].
#[inline(always)]
fn correlate<I: Isa>(line: &mut [f32], source: &[f32], taps: &[Tap]) {
    let mut at = 0;
    while at + UNROLLED <= line.len() {
        let mut sums = [I::splat(0.0); UNROLLED / LANES];
        for tap in taps {
            let weight = I::splat(tap.weight);
            let values = &source[tap.offset + at..][..UNROLLED];
            for (part, sum) in sums.iter_mut().enumerate() {
                *sum = I::fused(weight, I::load(lanes(values, part * LANES)), *sum);
            }
        }
        let line = &mut line[at..][..UNROLLED];
        for (part, sum) in sums.into_iter().enumerate() {
            I::store(sum, lanes_mut(line, part * LANES));
        }
        at += UNROLLED;
    }
    while at < line.len() {
        let mut sum = I::splat(0.0);
        for tap in taps {
            let values = I::load(lanes(source, tap.offset + at));
            sum = I::fused(I::splat(tap.weight), values, sum);
        }
        I::store(sum, lanes_mut(line, at));
        at += LANES;
    }
}

/// The products of `line` with as many lines of `source`; the line's length is a multiple of [`LANES`].
#[inline(always)]
fn products<I: Isa, const N: usize>(line: &[f32], source: &[f32], offsets: [usize; N]) -> [f32; N] {
    let mut sums = [I::splat(0.0); N];
    let mut at = 0;
    while at + LANES <= line.len() {
        let left = I::load(lanes(line, at));
        for index in 0..N {
            let right = I::load(lanes(source, offsets[index] + at));
            sums[index] = I::fused(left, right, sums[index]);
        }
        at += LANES;
    }
    let mut products = [0.0; N];
    for index in 0..N {
        products[index] = sum_of_lanes::<I>(sums[index]);
    }
    products
}

/// Copies a plane into its phases, whose borders are zero already.
#[inline(always)]
fn split_into_phases<I: Isa>(layout: &Layout, plane: &[f32], phases: &mut [f32]) {
    let [sy, sx] = layout.geometry.stride;
    let [top, left] = layout.geometry.lead();
    let width = layout.geometry.input[1];
    for (row, values) in plane.chunks_exact(width).enumerate() {
        let row = row + top;
        let start = row % sy * sx * layout.plane() + row / sy * layout.width;
        match sx {
            1 => copy_run(&mut phases[start + left..start + left + width], values),
            2 => {
                // The first column of the picture falls into phase `left % 2`.
                let (even, odd) = phases[start..].split_at_mut(layout.plane());
                let (first, second) = if left.is_multiple_of(2) {
                    (&mut even[left / 2..], &mut odd[left / 2..])
                } else {
                    (&mut odd[left / 2..], &mut even[left / 2 + 1..])
                };
                deinterleave::<I>(values, first, second);
            }
            _ => {
                for (column, &value) in values.iter().enumerate() {
                    let column = column + left;
                    phases[start + column % sx * layout.plane() + column / sx] = value;
                }
            }
        }
    }
}

/// The values at even places into `first`, those at odd places into `second`.
#[inline(always)]
fn deinterleave<I: Isa>(values: &[f32], first: &mut [f32], second: &mut [f32]) {
    let first = &mut first[..values.len().div_ceil(2)];
    let second = &mut second[..values.len() / 2];
    let mut at = 0;
    while at + LANES <= second.len() {
        let (even, odd) = I::unzip(I::load(lanes(values, 2 * at)), I::load(lanes(values, 2 * at + LANES)));
        I::store(even, lanes_mut(first, at));
        I::store(odd, lanes_mut(second, at));
        at += LANES;
    }
    for index in at..second.len() {
        first[index] = values[2 * index];
        second[index] = values[2 * index + 1];
    }
    if second.len() < first.len() {
        first[second.len()] = values[2 * second.len()];
    }
}

/// The values of `first` and `second` by turns.
#[inline(always)]
fn interleave<I: Isa>(values: &mut [f32], first: &[f32], second: &[f32]) {
    let first = &first[..values.len().div_ceil(2)];
    let second = &second[..values.len() / 2];
    let mut at = 0;
    while at + LANES <= second.len() {
        let (low, high) = I::zip(I::load(lanes(first, at)), I::load(lanes(second, at)));
        I::store(low, lanes_mut(values, 2 * at));
        I::store(high, lanes_mut(values, 2 * at + LANES));
        at += LANES;
    }
    for index in at..second.len() {
        values[2 * index] = first[index];
        values[2 * index + 1] = second[index];
    }
    if second.len() < first.len() {
        values[2 * second.len()] = first[second.len()];
    }
}

/// The convolution of one plane, with a bias and an activation where `finish` has them. `phases` hold the plane.
#[inline(always)]
fn forward_body<I: Isa>(
    layout: &Layout,
    taps: &[Tap],
    plane: &[f32],
    phases: &mut [f32],
    output: &mut [f32],
    finish: Option<(f32, Activation)>,
) {
    split_into_phases::<I>(layout, plane, phases);
    correlate_spots::<I>(output, phases, taps, &layout.output_spots, finish);
}

/// The gradient of one plane, from the padded output gradient. `taps` are those of each phase, `band` holds one band
/// for each phase of a row of phases.
#[inline(always)]
fn backward_body<I: Isa>(layout: &Layout, taps: &[Vec<Tap>], gradient: &[f32], band: &mut [f32], plane: &mut [f32]) {
    let [sy, sx] = layout.geometry.stride;
    let [top, left] = layout.geometry.lead();
    let [height, width] = layout.geometry.input;
    if let ([phase], Some(spots)) = (taps, &layout.input_spots) {
        return correlate_spots::<I>(plane, &gradient[top * layout.width + left..], phase, spots, None);
    }
    let columns = layout.width - layout.back[1];
    let rows = layout.band_rows();
    let all_rows = layout.rows - layout.back[0];
    for first_row in (0..all_rows).step_by(rows) {
        let rows = rows.min(all_rows - first_row);
        let length = ((rows - 1) * layout.width + columns).next_multiple_of(LANES);
        for phase_y in 0..sy {
            for (line, taps) in band.chunks_exact_mut(layout.band()).zip(&taps[phase_y * sx..(phase_y + 1) * sx]) {
                correlate::<I>(&mut line[..length], &gradient[first_row * layout.width..], taps);
            }
            for row in 0..rows {
                let Some(target) = ((first_row + row) * sy + phase_y).checked_sub(top) else {
                    continue;
                };
                if target >= height {
                    continue;
                }
                let target = &mut plane[target * width..(target + 1) * width];
                join_row::<I>(layout, &band[row * layout.width..], left, target);
            }
        }
    }
}

/// One row of the input's gradient from the bands of its phases.
#[inline(always)]
fn join_row<I: Isa>(layout: &Layout, bands: &[f32], left: usize, target: &mut [f32]) {
    match layout.geometry.stride[1] {
        2 => {
            let (even, odd) = (bands, &bands[layout.band()..]);
            let (first, second) = if left.is_multiple_of(2) {
                (&even[left / 2..], &odd[left / 2..])
            } else {
                (&odd[left / 2..], &even[left / 2 + 1..])
            };
            interleave::<I>(target, first, second);
        }
        sx => {
            for (column, value) in target.iter_mut().enumerate() {
                let column = column + left;
                *value = bands[column % sx * layout.band() + column / sx];
            }
        }
    }
}

/// The gradient of one kernel from one plane.
#[inline(always)]
fn weight_body<I: Isa>(layout: &Layout, gradient: &[f32], phases: &[f32], weights: &mut [f32]) {
    let start = layout.back[0] * layout.width + layout.back[1];
    let line = &gradient[start..start + layout.line()];
    let kernel_w = layout.geometry.kernel[1];
    let offset = |index: usize| layout.tap_offset(index / kernel_w, index % kernel_w);
    let whole = weights.len() / 3 * 3;
    for index in (0..whole).step_by(3) {
        let offsets = [offset(index), offset(index + 1), offset(index + 2)];
        weights[index..index + 3].copy_from_slice(&products::<I, 3>(line, phases, offsets));
    }
    for (index, weight) in weights.iter_mut().enumerate().skip(whole) {
        [*weight] = products::<I, 1>(line, phases, [offset(index)]);
    }
}

/// Copies the output gradient into its padded plane, whose borders are zero already.
#[inline(always)]
fn pad_body<I: Isa>(layout: &Layout, gradient: &[f32], padded: &mut [f32]) {
    let columns = layout.geometry.output[1];
    for (row, values) in gradient.chunks_exact(columns).enumerate() {
        let start = (row + layout.back[0]) * layout.width + layout.back[1];
        copy_run(&mut padded[start..start + columns], values);
    }
}

#[inline(always)]
fn split_body<I: Isa>(layout: &Layout, plane: &[f32], phases: &mut [f32]) {
    split_into_phases::<I>(layout, plane, phases);
}

vectorized!(fn forward_plane(
    layout: &Layout,
    taps: &[Tap],
    plane: &[f32],
    phases: &mut [f32],
    output: &mut [f32],
    finish: Option<(f32, Activation)>,
) = forward_body);
vectorized!(fn backward_plane(
    layout: &Layout,
    taps: &[Vec<Tap>],
    gradient: &[f32],
    band: &mut [f32],
    plane: &mut [f32],
) = backward_body);
vectorized!(fn weight_plane(
    layout: &Layout,
    gradient: &[f32],
    phases: &[f32],
    weights: &mut [f32],
) = weight_body);
vectorized!(fn pad_gradient(layout: &Layout, gradient: &[f32], padded: &mut [f32]) = pad_body);
vectorized!(fn split_plane(layout: &Layout, plane: &[f32], phases: &mut [f32]) = split_body);

/// The scratch memory of one forward task.
pub(super) struct ForwardScratch<'a> {
    layout: &'a Layout,
    phases: Buffer,
    taps: Vec<Tap>,
}

impl<'a> ForwardScratch<'a> {
    pub(super) fn new(layout: &'a Layout) -> Self {
        Self { layout, phases: Buffer::zeroed(layout.phases() * layout.plane() + SLACK), taps: layout.forward_taps() }
    }

    /// The weights of the next planes.
    pub(super) fn set_kernel(&mut self, weights: &[f32]) {
        self.taps.iter_mut().zip(weights).for_each(|(tap, &weight)| tap.weight = weight);
    }

    /// The convolution of a plane.
    pub(super) fn convolve(&mut self, plane: &[f32], output: &mut [f32]) {
        self.convolve_and(plane, output, None);
    }

    /// The convolution of a plane, with a bias and an activation where there is a finish.
    fn convolve_and(&mut self, plane: &[f32], output: &mut [f32], finish: Option<(f32, Activation)>) {
        forward_plane(self.layout, &self.taps, plane, &mut self.phases, output, finish);
    }
}

/// Planes of one task: enough tasks for every thread to be busy to the end, few enough to share scratch memory.
fn planes_per_task(planes: usize) -> usize {
    planes.div_ceil(16 * rayon::current_num_threads()).max(1)
}

/// The convolution of every plane of `x` with its channel's kernel.
pub(crate) fn forward(y: &mut [f32], x: &[f32], weights: &[f32], geometry: &ConvGeometry, channels: usize) {
    forward_with(y, x, weights, geometry, channels, None);
}

/// [`forward`], with a bias and an activation where there is an epilogue.
pub(crate) fn forward_with(
    y: &mut [f32],
    x: &[f32],
    weights: &[f32],
    geometry: &ConvGeometry,
    channels: usize,
    epilogue: Option<Epilogue>,
) {
    let layout = Layout::new(geometry);
    let kernel = geometry.kernel[0] * geometry.kernel[1];
    let (input, output) = (geometry.input[0] * geometry.input[1], geometry.output[0] * geometry.output[1]);
    let each = planes_per_task(y.len() / output);
    y.par_chunks_mut(each * output).enumerate().with_max_len(1).for_each(|(task, y)| {
        let mut scratch = ForwardScratch::new(&layout);
        for (index, y) in y.chunks_exact_mut(output).enumerate() {
            let plane = task * each + index;
            let channel = plane % channels;
            scratch.set_kernel(&weights[channel * kernel..(channel + 1) * kernel]);
            let x = &x[plane * input..(plane + 1) * input];
            let finish = epilogue.map(|epilogue| (epilogue.bias[channel], epilogue.activation));
            scratch.convolve_and(x, y, finish);
        }
    });
}

/// The gradients of input and weights, as far as they are asked for.
pub(crate) fn backward(
    of_x: Option<&mut [f32]>,
    of_weights: Option<&mut [f32]>,
    x: &[f32],
    weights: &[f32],
    gradient: &[f32],
    geometry: &ConvGeometry,
    channels: usize,
) {
    let layout = Layout::new(geometry);
    let kernel = geometry.kernel[0] * geometry.kernel[1];
    let (input, output) = (geometry.input[0] * geometry.input[1], geometry.output[0] * geometry.output[1]);
    let planes = gradient.len() / output;
    // Each plane finds its share of a kernel's gradient; they are added in the order of the images below.
    let mut shares = of_weights.as_ref().map(|_| Buffer::new(planes * kernel));
    let each = planes_per_task(planes);
    let tasks: Vec<_> = (0..planes)
        .step_by(each)
        .zip(chunks(of_x, each * input))
        .zip(chunks(shares.as_deref_mut(), each * kernel))
        .collect();
    tasks.into_par_iter().with_max_len(1).for_each(|((first, mut of_x), mut shares)| {
        let mut scratch = Scratch::new(&layout);
        for index in 0..each.min(planes - first) {
            let plane = first + index;
            let channel = plane % channels;
            scratch.load(&gradient[plane * output..(plane + 1) * output]);
            if let Some(of_x) = &mut of_x {
                let weights = &weights[channel * kernel..(channel + 1) * kernel];
                scratch.input_gradient(weights, &mut of_x[index * input..(index + 1) * input]);
            }
            if let Some(shares) = &mut shares {
                let x = &x[plane * input..(plane + 1) * input];
                scratch.weight_gradient(x, &mut shares[index * kernel..(index + 1) * kernel]);
            }
        }
    });
    if let (Some(of_weights), Some(shares)) = (of_weights, shares) {
        of_weights.fill(0.0);
        for image in shares.chunks_exact(channels * kernel) {
            for (sum, share) in of_weights.iter_mut().zip(image) {
                *sum += share;
            }
        }
    }
}

/// Chunks of a slice that may be missing: then every chunk is.
fn chunks<'a>(values: Option<&'a mut [f32]>, size: usize) -> Box<dyn Iterator<Item = Option<&'a mut [f32]>> + 'a> {
    match values {
        Some(values) => Box::new(values.chunks_mut(size).map(Some)),
        None => Box::new(std::iter::repeat_with(|| None)),
    }
}

/// The scratch memory of one backward task.
pub(super) struct Scratch<'a> {
    layout: &'a Layout,
    gradient: Buffer,
    phases: Buffer,
    band: Buffer,
    taps: Vec<Vec<Tap>>,
}

impl<'a> Scratch<'a> {
    pub(super) fn new(layout: &'a Layout) -> Self {
        Self {
            layout,
            gradient: Buffer::zeroed(layout.plane() + SLACK),
            phases: Buffer::zeroed(layout.phases() * layout.plane() + SLACK),
            band: Buffer::new(layout.geometry.stride[1] * layout.band() + SLACK),
            taps: vec![Vec::new(); layout.phases()],
        }
    }

    /// Takes the output gradient of the next plane.
    pub(super) fn load(&mut self, gradient: &[f32]) {
        pad_gradient(self.layout, gradient, &mut self.gradient);
    }

    pub(super) fn input_gradient(&mut self, weights: &[f32], plane: &mut [f32]) {
        let columns = self.layout.geometry.stride[1];
        for (phase, taps) in self.taps.iter_mut().enumerate() {
            self.layout.backward_taps([phase / columns, phase % columns], weights, taps);
        }
        backward_plane(self.layout, &self.taps, &self.gradient, &mut self.band, plane);
    }

    pub(super) fn weight_gradient(&mut self, plane: &[f32], weights: &mut [f32]) {
        split_plane(self.layout, plane, &mut self.phases);
        weight_plane(self.layout, &self.gradient, &self.phases, weights);
    }
}
