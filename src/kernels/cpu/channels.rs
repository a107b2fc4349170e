//! Element-wise operators with parameters for each channel, and the sums over a channel that go with them.
//!
//! Batch normalization, an affine map and an activation are the same two passes with other numbers: a value becomes
//! `clamp((x − center) · scale + shift)`, and its gradient is masked by where that lies, scaled, and for batch
//! normalization corrected by two sums over the channel. One task owns a channel over the whole batch, so its second
//! pass finds the values in the cache, and every sum has a fixed order.
//!
//! Sums run in f32 over blocks of a few thousand values and in f64 across blocks. The variance is taken around each
//! block's own mean and merged (Chan, Golub and LeVeque), so a large mean costs no precision.

use super::simd::{Isa, sum_lanes, vectorized};
use crate::activation::Activation;
use rayon::prelude::*;

/// Values whose sums are kept in f32: a multiple of [`WIDE`] that fits the first cache level.
const BLOCK: usize = 2048;
/// Partial sums that run side by side.
const WIDE: usize = 32;
/// Values of one task where channels do not matter.
const CHUNK: usize = 1 << 16;

/// The sizes of a `[batch, channels, height, width]` tensor as far as a channel cares.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planes {
    pub batch: usize,
    pub channels: usize,
    pub size: usize,
}

/// The map of every channel: `activation((x − center) · scale · normalizer + shift)`; what is missing is neutral.
#[derive(Clone, Copy)]
pub(crate) struct ChannelMap<'a> {
    /// The mean, for batch normalization.
    pub center: Option<&'a [f32]>,
    pub scale: &'a [f32],
    pub shift: Option<&'a [f32]>,
    /// The inverse standard deviation, for batch normalization: its presence says that the statistics depend on `x`.
    pub normalizer: Option<&'a [f32]>,
    pub activation: Activation,
}

/// The map of one channel.
#[derive(Clone, Copy)]
pub(super) struct Map {
    center: f32,
    scale: f32,
    shift: f32,
    low: f32,
    high: f32,
}

impl Map {
    /// Batch normalization of a channel with this mean, factor, inverse deviation and summand.
    pub(super) fn normalizing([mean, gamma, normalizer, beta]: [f32; 4], activation: Activation) -> Self {
        Self { center: mean, scale: gamma * normalizer, shift: beta, ..Self::identity(activation) }
    }

    fn identity(activation: Activation) -> Self {
        let (low, high) = activation.limits();
        Self { center: 0.0, scale: 1.0, shift: 0.0, low, high }
    }

    #[inline(always)]
    fn before_activation<I: Isa>(&self, x: f32) -> f32 {
        I::multiply_add(x - self.center, self.scale, self.shift)
    }

    /// A NaN passes both comparisons and stays.
    #[inline(always)]
    fn value<I: Isa>(&self, x: f32) -> f32 {
        let y = self.before_activation::<I>(x);
        let y = if y < self.low { self.low } else { y };
        if y > self.high { self.high } else { y }
    }

    /// The gradient where the activation passes it.
    #[inline(always)]
    fn masked<I: Isa>(&self, gradient: f32, x: f32) -> f32 {
        let y = self.before_activation::<I>(x);
        if y > self.low && y < self.high { gradient } else { 0.0 }
    }
}

impl ChannelMap<'_> {
    fn at(&self, channel: usize) -> Map {
        let or = |values: Option<&[f32]>, neutral| values.map_or(neutral, |values| values[channel]);
        Map {
            center: or(self.center, 0.0),
            scale: self.scale[channel] * or(self.normalizer, 1.0),
            shift: or(self.shift, 0.0),
            ..Map::identity(self.activation)
        }
    }
}

/// `1 / √(variance + epsilon)`.
pub(crate) fn inverse_deviation(variance: f32, epsilon: f32) -> f32 {
    (1.0 / (f64::from(variance) + f64::from(epsilon)).sqrt()) as f32
}

/// Count, mean and sum of squared deviations of some values.
#[derive(Clone, Copy, Default)]
pub(super) struct Moments {
    count: f64,
    pub(super) mean: f64,
    deviations: f64,
}

impl Moments {
    #[inline(always)]
    pub(super) fn merge(&mut self, other: Self) {
        let count = self.count + other.count;
        if count == 0.0 {
            return;
        }
        let delta = other.mean - self.mean;
        self.mean += delta * other.count / count;
        self.deviations += other.deviations + delta * delta * self.count * other.count / count;
        self.count = count;
    }

    pub(super) fn variance(&self) -> f64 {
        (self.deviations / self.count.max(1.0)).max(0.0)
    }
}

#[inline(always)]
fn moments_body<I: Isa>(values: &[f32]) -> Moments {
    let mut total = Moments::default();
    let mut at = 0;
    while at < values.len() {
        let block = &values[at..values.len().min(at + BLOCK)];
        let count = block.len() as f64;
        let center = (sum_body::<I>(block) / count) as f32;
        let (mut first, mut second) = ([0.0; WIDE], [0.0; WIDE]);
        let whole = block.len() / WIDE * WIDE;
        for chunk in block[..whole].chunks_exact(WIDE) {
            for lane in 0..WIDE {
                let deviation = chunk[lane] - center;
                first[lane] += deviation;
                second[lane] = I::multiply_add(deviation, deviation, second[lane]);
            }
        }
        for (lane, &value) in block[whole..].iter().enumerate() {
            let deviation = value - center;
            first[lane] += deviation;
            second[lane] += deviation * deviation;
        }
        // `center` is rounded, so the deviations do not quite sum to zero.
        let first = f64::from(sum_lanes(first));
        let second = f64::from(sum_lanes(second));
        total.merge(Moments {
            count,
            mean: f64::from(center) + first / count,
            deviations: second - first * first / count,
        });
        at += BLOCK;
    }
    total
}

#[inline(always)]
fn sum_body<I: Isa>(values: &[f32]) -> f64 {
    let mut total = 0.0;
    let mut at = 0;
    while at < values.len() {
        let block = &values[at..values.len().min(at + BLOCK)];
        let mut sums = [0.0f32; 2 * WIDE];
        let whole = block.len() / (2 * WIDE) * (2 * WIDE);
        for chunk in block[..whole].chunks_exact(2 * WIDE) {
            for lane in 0..2 * WIDE {
                sums[lane] += chunk[lane];
            }
        }
        for (lane, &value) in block[whole..].iter().enumerate() {
            sums[lane] += value;
        }
        total += f64::from(sum_lanes(sums));
        at += BLOCK;
    }
    total
}

#[inline(always)]
fn apply_body<I: Isa>(y: &mut [f32], x: &[f32], map: Map) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = map.value::<I>(x);
    }
}

#[inline(always)]
fn apply_in_place_body<I: Isa>(values: &mut [f32], map: Map) {
    for value in values {
        *value = map.value::<I>(*value);
    }
}

/// The sum of the masked gradients, and of their products with `x − center`.
#[inline(always)]
fn gradient_sums_body<I: Isa>(gradient: &[f32], x: &[f32], map: Map) -> (f64, f64) {
    let x = &x[..gradient.len()];
    let mut total = (0.0, 0.0);
    let mut start = 0;
    while start < x.len() {
        let end = x.len().min(start + BLOCK);
        let (mut first, mut second) = ([0.0; WIDE], [0.0; WIDE]);
        let mut at = start;
        while at + WIDE <= end {
            let (gradient, x) = (&gradient[at..at + WIDE], &x[at..at + WIDE]);
            for lane in 0..WIDE {
                let masked = map.masked::<I>(gradient[lane], x[lane]);
                first[lane] += masked;
                second[lane] = I::multiply_add(masked, x[lane] - map.center, second[lane]);
            }
            at += WIDE;
        }
        for lane in 0..end - at {
            let masked = map.masked::<I>(gradient[at + lane], x[at + lane]);
            first[lane] += masked;
            second[lane] = I::multiply_add(masked, x[at + lane] - map.center, second[lane]);
        }
        total.0 += f64::from(sum_lanes(first));
        total.1 += f64::from(sum_lanes(second));
        start += BLOCK;
    }
    total
}

/// What the gradient of a normalized channel loses because mean and deviation depend on every x of it:
/// `(x − center) · slope + offset`.
#[derive(Clone, Copy)]
pub(super) struct Correction {
    slope: f32,
    offset: f32,
}

impl Correction {
    /// From what [`gradient_sums`] has found over the `count` values of the channel.
    pub(super) fn new(map: Map, normalizer: f32, (of_shift, of_scale): (f64, f64), count: usize) -> Self {
        let normalizer = f64::from(normalizer);
        let each = -f64::from(map.scale) / count.max(1) as f64;
        Self { slope: (each * of_scale * normalizer * normalizer) as f32, offset: (each * of_shift) as f32 }
    }
}

/// `gradient = masked gradient · scale + correction`.
#[inline(always)]
fn gradient_body<I: Isa>(gradient: &mut [f32], x: &[f32], map: Map, correction: Correction) {
    for (gradient, &x) in gradient.iter_mut().zip(x) {
        let correction = I::multiply_add(x - map.center, correction.slope, correction.offset);
        *gradient = I::multiply_add(map.masked::<I>(*gradient, x), map.scale, correction);
    }
}

/// [`gradient_body`] into other memory.
#[inline(always)]
fn gradient_other_body<I: Isa>(target: &mut [f32], gradient: &[f32], x: &[f32], map: Map, correction: Correction) {
    for ((target, &gradient), &x) in target.iter_mut().zip(gradient).zip(x) {
        let correction = I::multiply_add(x - map.center, correction.slope, correction.offset);
        *target = I::multiply_add(map.masked::<I>(gradient, x), map.scale, correction);
    }
}

#[inline(always)]
fn scaled_gradient_body<I: Isa>(gradient: &mut [f32], x: &[f32], map: Map) {
    for (gradient, &x) in gradient.iter_mut().zip(x) {
        *gradient = map.masked::<I>(*gradient, x) * map.scale;
    }
}

/// `ReLU6(x + 3)`; a NaN stays.
#[inline(always)]
fn hard_gate(x: f32) -> f32 {
    let y = x + 3.0;
    let y = if y < 0.0 { 0.0 } else { y };
    if y > 6.0 { 6.0 } else { y }
}

#[inline(always)]
fn hard_swish_body<I: Isa>(y: &mut [f32], x: &[f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = x * hard_gate(x) * (1.0 / 6.0);
    }
}

#[inline(always)]
fn hard_swish_in_place_body<I: Isa>(values: &mut [f32]) {
    for value in values {
        *value = *value * hard_gate(*value) * (1.0 / 6.0);
    }
}

/// The slope is the gate's sixth, and that of `x` where the gate moves.
#[inline(always)]
fn hard_swish_gradient_body<I: Isa>(gradient: &mut [f32], x: &[f32]) {
    for (gradient, &x) in gradient.iter_mut().zip(x) {
        let gate = hard_gate(x);
        let moving = if gate > 0.0 && gate < 6.0 { x } else { 0.0 };
        *gradient *= (gate + moving) * (1.0 / 6.0);
    }
}

vectorized!(fn hard_swish_of(y: &mut [f32], x: &[f32]) = hard_swish_body);
vectorized!(fn hard_swish_over(values: &mut [f32]) = hard_swish_in_place_body);
vectorized!(fn hard_swish_slope(gradient: &mut [f32], x: &[f32]) = hard_swish_gradient_body);
vectorized!(pub(super) fn moments_of(values: &[f32]) -> Moments = moments_body);
vectorized!(fn sum_of(values: &[f32]) -> f64 = sum_body);
vectorized!(pub(super) fn apply_map(y: &mut [f32], x: &[f32], map: Map) = apply_body);
vectorized!(fn apply_map_in_place(values: &mut [f32], map: Map) = apply_in_place_body);
vectorized!(pub(super) fn gradient_sums(gradient: &[f32], x: &[f32], map: Map) -> (f64, f64) = gradient_sums_body);
vectorized!(pub(super) fn apply_gradient(gradient: &mut [f32], x: &[f32], map: Map, correction: Correction) = gradient_body);
vectorized!(pub(super) fn gradient_of(target: &mut [f32], gradient: &[f32], x: &[f32], map: Map, correction: Correction) = gradient_other_body);
vectorized!(fn scale_gradient(gradient: &mut [f32], x: &[f32], map: Map) = scaled_gradient_body);

/// The planes of each channel, image by image.
pub(super) fn by_channel(values: &mut [f32], planes: Planes) -> Vec<Vec<&mut [f32]>> {
    let mut channels: Vec<_> = (0..planes.channels).map(|_| Vec::with_capacity(planes.batch)).collect();
    if !values.is_empty() {
        for (index, plane) in values.chunks_exact_mut(planes.size).enumerate() {
            channels[index % planes.channels].push(plane);
        }
    }
    channels
}

/// The plane of one channel in one image.
pub(super) fn plane(values: &[f32], planes: Planes, image: usize, channel: usize) -> &[f32] {
    let start = (image * planes.channels + channel) * planes.size;
    &values[start..start + planes.size]
}

/// Batch normalization by the batch's own statistics, then the activation; also returns mean and biased variance.
#[allow(clippy::too_many_arguments)]
pub(crate) fn normalize(
    y: &mut [f32],
    x: &[f32],
    planes: Planes,
    gamma: &[f32],
    beta: &[f32],
    epsilon: f32,
    activation: Activation,
    mean: &mut [f32],
    variance: &mut [f32],
) {
    by_channel(y, planes).into_par_iter().zip(mean.par_iter_mut().zip(variance.par_iter_mut())).enumerate().for_each(
        |(channel, (of_y, (mean, variance)))| {
            let mut moments = Moments::default();
            for image in 0..of_y.len() {
                moments.merge(moments_of(plane(x, planes, image, channel)));
            }
            *mean = moments.mean as f32;
            *variance = moments.variance() as f32;
            let normalizer = inverse_deviation(*variance, epsilon);
            let map = Map::normalizing([*mean, gamma[channel], normalizer, beta[channel]], activation);
            // Backwards: the images that were read last are the ones that the cache still holds.
            for (image, y) in of_y.into_iter().enumerate().rev() {
                apply_map(y, plane(x, planes, image, channel), map);
            }
        },
    );
}

/// The map of every channel, from `x` to `y`.
pub(crate) fn apply(y: &mut [f32], x: &[f32], planes: Planes, map: &ChannelMap) {
    if y.is_empty() {
        return;
    }
    y.par_chunks_exact_mut(planes.size)
        .zip(x.par_chunks_exact(planes.size))
        .enumerate()
        .for_each(|(index, (y, x))| apply_map(y, x, map.at(index % planes.channels)));
}

/// The map of every channel, over its own input.
pub(crate) fn apply_in_place(values: &mut [f32], planes: Planes, map: &ChannelMap) {
    if values.is_empty() {
        return;
    }
    values.par_chunks_exact_mut(planes.size).enumerate().for_each(|(index, plane)| {
        apply_map_in_place(plane, map.at(index % planes.channels));
    });
}

/// Turns the gradient of a map's result into that of its input `x`; also the gradients of scale and shift, which
/// batch normalization needs for itself and therefore always finds.
pub(crate) fn backward(
    gradient: &mut [f32],
    x: &[f32],
    planes: Planes,
    map: &ChannelMap,
    sums: Option<(&mut [f32], &mut [f32])>,
) {
    let with_sums = sums.is_some() || map.normalizer.is_some();
    let found: Vec<(f32, f32)> = by_channel(gradient, planes)
        .into_par_iter()
        .enumerate()
        .map(|(channel, gradients)| backward_channel(gradients, x, planes, map, channel, with_sums))
        .collect();
    if let Some((of_scale, of_shift)) = sums {
        for (channel, (scale, shift)) in found.into_iter().enumerate() {
            of_scale[channel] = scale;
            of_shift[channel] = shift;
        }
    }
}

/// One channel of [`backward`]: the gradients of its scale and shift.
fn backward_channel(
    gradients: Vec<&mut [f32]>,
    x: &[f32],
    planes: Planes,
    map: &ChannelMap,
    channel: usize,
    with_sums: bool,
) -> (f32, f32) {
    let of_channel = map.at(channel);
    let (mut of_shift, mut of_scale) = (0.0, 0.0);
    if with_sums {
        for (image, gradient) in gradients.iter().enumerate() {
            let sums = gradient_sums(gradient, plane(x, planes, image, channel), of_channel);
            of_shift += sums.0;
            of_scale += sums.1;
        }
    }
    let Some(normalizer) = map.normalizer else {
        for (image, gradient) in gradients.into_iter().enumerate() {
            scale_gradient(gradient, plane(x, planes, image, channel), of_channel);
        }
        return (of_scale as f32, of_shift as f32);
    };
    let normalizer = normalizer[channel];
    let correction = Correction::new(of_channel, normalizer, (of_shift, of_scale), planes.batch * planes.size);
    // Backwards, as in `normalize`.
    for (image, gradient) in gradients.into_iter().enumerate().rev() {
        let x = plane(x, planes, image, channel);
        apply_gradient(gradient, x, of_channel, correction);
    }
    ((of_scale * f64::from(normalizer)) as f32, of_shift as f32)
}

/// The sum of each channel over the batch.
pub(crate) fn sums(values: &[f32], planes: Planes, sums: &mut [f32]) {
    sums.par_iter_mut().enumerate().for_each(|(channel, sum)| {
        *sum = (0..planes.batch).map(|image| sum_of(plane(values, planes, image, channel))).sum::<f64>() as f32;
    });
}

/// An activation from `x` to `y`.
pub(crate) fn activate(y: &mut [f32], x: &[f32], activation: Activation) {
    let map = Map::identity(activation);
    y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| apply_map(y, x, map));
}

/// An activation over its own input.
pub(crate) fn activate_in_place(values: &mut [f32], activation: Activation) {
    let map = Map::identity(activation);
    values.par_chunks_mut(CHUNK).for_each(|values| apply_map_in_place(values, map));
}

/// The hard swish from `x` to `y`.
pub(crate) fn hard_swish(y: &mut [f32], x: &[f32]) {
    y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| hard_swish_of(y, x));
}

/// The hard swish over its own input.
pub(crate) fn hard_swish_in_place(values: &mut [f32]) {
    values.par_chunks_mut(CHUNK).for_each(hard_swish_over);
}

/// The gradient of the hard swish's input `x`, in place.
pub(crate) fn hard_swish_gradient(gradient: &mut [f32], x: &[f32]) {
    gradient.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(gradient, x)| hard_swish_slope(gradient, x));
}

/// The gradient of an activation's input, in place, from the activation's result `y`.
pub(crate) fn mask(gradient: &mut [f32], y: &[f32], activation: Activation) {
    let map = Map::identity(activation);
    gradient.par_chunks_mut(CHUNK).zip(y.par_chunks(CHUNK)).for_each(|(gradient, y)| scale_gradient(gradient, y, map));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::Baseline;

    fn wave(len: usize, offset: f32) -> Vec<f32> {
        (0..len).map(|index| offset + (index as f32 * 0.37).sin()).collect()
    }

    #[test]
    fn a_large_mean_costs_the_variance_nothing() {
        let values = wave(10_007, 3000.0);
        let exact: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
        let mean = exact.iter().sum::<f64>() / exact.len() as f64;
        let variance = exact.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / exact.len() as f64;
        let found = moments_of(&values);
        assert!((found.mean / mean - 1.0).abs() < 1e-9, "{}", found.mean);
        let deviation = (found.variance() / variance - 1.0).abs();
        assert!(deviation < 1e-6, "{deviation:e}");
    }

    #[test]
    fn every_instruction_set_finds_the_same() {
        let (x, gradient) = (wave(5003, 0.3), wave(5003, -0.1));
        let map = Map { center: 0.2, scale: 1.7, shift: 0.4, ..Map::identity(Activation::Relu6) };
        let (mut fast, mut plain) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        apply_map(&mut fast, &x, map);
        apply_body::<Baseline>(&mut plain, &x, map);
        for (fast, plain) in fast.iter().zip(&plain) {
            assert!((fast - plain).abs() < 1e-5);
        }
        let (fast, plain) = (gradient_sums(&gradient, &x, map), gradient_sums_body::<Baseline>(&gradient, &x, map));
        assert!((fast.0 / plain.0 - 1.0).abs() < 1e-4);
        assert!((fast.1 / plain.1 - 1.0).abs() < 1e-4);
        let (fast, plain) = (moments_of(&x), moments_body::<Baseline>(&x));
        assert!((fast.deviations / plain.deviations - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_nan_shows() {
        let mut values = [f32::NAN, -1.0, 7.0];
        activate_in_place(&mut values, Activation::Relu6);
        assert!(values[0].is_nan());
        assert_eq!(values[1..], [0.0, 6.0]);
    }
}
