//! The passes of an optimizer over a variable.
//!
//! Every element is worked out with plain products and sums, without fused ones, so that all machines find the same.

use super::simd::{Isa, vectorized};
use crate::update::{ADAM_FIRST, ADAM_SECOND, Update, UpdateRule};
use rayon::prelude::*;

/// Values of one task.
const CHUNK: usize = 1 << 14;

impl Update {
    /// The gradient with the penalty's slope, times the factor.
    #[inline(always)]
    fn gradient(&self, value: f32, gradient: f32) -> f32 {
        let sign = f32::from(i8::from(value > 0.0) - i8::from(value < 0.0));
        (gradient + (self.l2 * value + self.l1 * sign)) * self.factor
    }
}

#[inline(always)]
fn momentum_body<I: Isa>(new: &mut [f32], old: &[f32], gradient: &[f32], slot: &mut [f32], how: Update, keep: f32) {
    let len = new.len();
    let (old, gradient, slot) = (&old[..len], &gradient[..len], &mut slot[..len]);
    for index in 0..len {
        slot[index] = slot[index] * keep + how.gradient(old[index], gradient[index]);
        new[index] = old[index] - slot[index] * how.rate;
    }
}

#[inline(always)]
fn rms_prop_body<I: Isa>(
    new: &mut [f32],
    old: &[f32],
    gradient: &[f32],
    mean_square: &mut [f32],
    slot: &mut [f32],
    how: Update,
    [decay, momentum, epsilon]: [f32; 3],
) {
    let len = new.len();
    let (old, gradient) = (&old[..len], &gradient[..len]);
    let (mean_square, slot) = (&mut mean_square[..len], &mut slot[..len]);
    for index in 0..len {
        let gradient = how.gradient(old[index], gradient[index]);
        mean_square[index] = mean_square[index] * decay + gradient * gradient * (1.0 - decay);
        slot[index] = slot[index] * momentum + gradient * how.rate / (mean_square[index] + epsilon).sqrt();
        new[index] = old[index] - slot[index];
    }
}

#[inline(always)]
fn adam_body<I: Isa>(
    new: &mut [f32],
    old: &[f32],
    gradient: &[f32],
    first: &mut [f32],
    second: &mut [f32],
    how: Update,
    epsilon: f32,
) {
    let len = new.len();
    let (old, gradient) = (&old[..len], &gradient[..len]);
    let (first, second) = (&mut first[..len], &mut second[..len]);
    for index in 0..len {
        let gradient = how.gradient(old[index], gradient[index]);
        first[index] = first[index] * ADAM_FIRST + gradient * (1.0 - ADAM_FIRST);
        second[index] = second[index] * ADAM_SECOND + gradient * gradient * (1.0 - ADAM_SECOND);
        new[index] = old[index] - first[index] * how.rate / (second[index].sqrt() + epsilon);
    }
}

/// Sums in sixteen lanes within a chunk; f64 across chunks.
#[inline(always)]
fn lanes_of<I: Isa>(len: usize, term: impl Fn(usize) -> f32) -> f64 {
    let mut sums = [0.0f32; 16];
    let mut index = 0;
    while index + 16 <= len {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += term(index + lane);
        }
        index += 16;
    }
    let rest: f64 = (index..len).map(|index| f64::from(term(index))).sum();
    rest + sums.into_iter().map(f64::from).sum::<f64>()
}

#[inline(always)]
fn gradient_squares_body<I: Isa>(value: &[f32], gradient: &[f32], how: Update) -> f64 {
    let gradient = &gradient[..value.len()];
    lanes_of::<I>(value.len(), |index| {
        let gradient = how.gradient(value[index], gradient[index]);
        gradient * gradient
    })
}

#[inline(always)]
fn squares_body<I: Isa>(value: &[f32]) -> f64 {
    lanes_of::<I>(value.len(), |index| value[index] * value[index])
}

#[inline(always)]
fn magnitudes_body<I: Isa>(value: &[f32]) -> f64 {
    lanes_of::<I>(value.len(), |index| value[index].abs())
}

#[inline(always)]
fn average_body<I: Isa>(average: &mut [f32], value: &[f32], step: f32) {
    for (average, value) in average.iter_mut().zip(value) {
        *average -= (*average - value) * step;
    }
}

vectorized!(fn momentum(new: &mut [f32], old: &[f32], gradient: &[f32], slot: &mut [f32], how: Update, keep: f32) = momentum_body);
vectorized!(fn rms_prop(
    new: &mut [f32],
    old: &[f32],
    gradient: &[f32],
    mean_square: &mut [f32],
    slot: &mut [f32],
    how: Update,
    constants: [f32; 3],
) = rms_prop_body);
vectorized!(fn adam(
    new: &mut [f32],
    old: &[f32],
    gradient: &[f32],
    first: &mut [f32],
    second: &mut [f32],
    how: Update,
    epsilon: f32,
) = adam_body);
vectorized!(fn chunk_gradient_squares(value: &[f32], gradient: &[f32], how: Update) -> f64 = gradient_squares_body);
vectorized!(fn chunk_squares(value: &[f32]) -> f64 = squares_body);
vectorized!(fn chunk_magnitudes(value: &[f32]) -> f64 = magnitudes_body);
vectorized!(fn chunk_average(average: &mut [f32], value: &[f32], step: f32) = average_body);

/// The variable after a rule with one slot.
pub(crate) fn update_one(new: &mut [f32], old: &[f32], gradient: &[f32], slot: &mut [f32], how: Update) {
    let UpdateRule::Momentum { momentum: keep } = how.rule else {
        unreachable!("a rule with one slot, not {:?}", how.rule);
    };
    new.par_chunks_mut(CHUNK)
        .zip(old.par_chunks(CHUNK))
        .zip(gradient.par_chunks(CHUNK))
        .zip(slot.par_chunks_mut(CHUNK))
        .for_each(|(((new, old), gradient), slot)| momentum(new, old, gradient, slot, how, keep));
}

/// The variable after a rule with two slots.
pub(crate) fn update_two(
    new: &mut [f32],
    old: &[f32],
    gradient: &[f32],
    first: &mut [f32],
    second: &mut [f32],
    how: Update,
) {
    new.par_chunks_mut(CHUNK)
        .zip(old.par_chunks(CHUNK))
        .zip(gradient.par_chunks(CHUNK))
        .zip(first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK)))
        .for_each(|(((new, old), gradient), (first, second))| match how.rule {
            UpdateRule::RmsProp { decay, momentum, epsilon } => {
                rms_prop(new, old, gradient, first, second, how, [decay, momentum, epsilon]);
            }
            UpdateRule::Adam { epsilon } => adam(new, old, gradient, first, second, how, epsilon),
            UpdateRule::Momentum { .. } => unreachable!("a rule with two slots"),
        });
}

/// The sum over the chunks, in their order.
fn in_order(parts: impl IndexedParallelIterator<Item = f64>) -> f64 {
    parts.collect::<Vec<f64>>().into_iter().sum()
}

/// The sum of the squares of the gradient as the rules take it.
pub(crate) fn gradient_squares(value: &[f32], gradient: &[f32], how: Update) -> f64 {
    in_order(
        value
            .par_chunks(CHUNK)
            .zip(gradient.par_chunks(CHUNK))
            .map(|(value, gradient)| chunk_gradient_squares(value, gradient, how)),
    )
}

/// The penalty on a variable.
pub(crate) fn penalty(value: &[f32], l1: f32, l2: f32) -> f64 {
    let mut sum = 0.0;
    if l2 != 0.0 {
        sum += 0.5 * f64::from(l2) * in_order(value.par_chunks(CHUNK).map(chunk_squares));
    }
    if l1 != 0.0 {
        sum += f64::from(l1) * in_order(value.par_chunks(CHUNK).map(chunk_magnitudes));
    }
    sum
}

/// Moves an average towards a value.
pub(crate) fn moving_average(average: &mut [f32], value: &[f32], decay: f32) {
    let step = 1.0 - decay;
    average
        .par_chunks_mut(CHUNK)
        .zip(value.par_chunks(CHUNK))
        .for_each(|(average, value)| chunk_average(average, value, step));
}
