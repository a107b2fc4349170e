//! A depthwise convolution between two batch normalizations, channel by channel.
//!
//! One task owns a channel over the whole batch, as in [`super::channels`]. Forward, a channel's planes are read for
//! their moments, and then once more, last ones first because the cache still holds those: a plane is normalized into scratch
//! memory, convolved, and counted into the moments of the second normalization while it is at hand. Backward, the same in
//! reverse. The planes between the first normalization and the convolution, and the gradient between the convolution and the
//! second normalization, only ever exist one at a time.

use super::buffer::Buffer;
use super::channels::{
    Correction, Map, Moments, Planes, apply_gradient, apply_map, by_channel, gradient_of, gradient_sums,
    inverse_deviation, moments_of, plane,
};
use super::depthwise::{ForwardScratch, Layout, Scratch};
use crate::depthwise_block::BlockPlan;
use rayon::prelude::*;

/// One of the two normalizations, with one value for each channel.
#[derive(Clone, Copy)]
pub(crate) struct NormParameters<'a> {
    pub gamma: &'a [f32],
    pub beta: &'a [f32],
}

/// Mean and biased variance of a channel.
pub(crate) type MeanVariance = [f32; 2];

/// What the block reads.
pub(crate) struct Block<'a> {
    pub x: &'a [f32],
    pub weights: &'a [f32],
    /// The normalization before the convolution, and the one behind it.
    pub norms: [NormParameters<'a>; 2],
    pub plan: &'a BlockPlan,
    pub batch: usize,
}

/// The gradients of a channel's parameters.
pub(crate) struct ChannelGradient {
    /// Gamma and beta, of the first and of the second normalization.
    pub norms: [[f32; 2]; 2],
    /// The kernel.
    pub weights: Vec<f32>,
}

/// Channels that share scratch memory: enough tasks for every thread to be busy to the end.
fn channels_per_task(channels: usize) -> usize {
    channels.div_ceil(8 * rayon::current_num_threads()).max(1)
}

impl Block<'_> {
    fn channels(&self) -> usize {
        self.norms[0].gamma.len()
    }

    fn kernel(&self, channel: usize) -> &[f32] {
        let size = self.weights.len() / self.channels();
        &self.weights[channel * size..(channel + 1) * size]
    }

    /// The planes of the input.
    fn input(&self) -> Planes {
        let [height, width] = self.plan.geometry.input;
        Planes { batch: self.batch, channels: self.channels(), size: height * width }
    }

    /// The planes of the result.
    fn output(&self) -> Planes {
        let [height, width] = self.plan.geometry.output;
        Planes { size: height * width, ..self.input() }
    }

    /// The map of a normalization in one channel, and its inverse deviation.
    fn map(&self, norm: usize, channel: usize, [mean, variance]: MeanVariance) -> (Map, f32) {
        let NormParameters { gamma, beta } = self.norms[norm];
        let normalizer = inverse_deviation(variance, self.plan.epsilon[norm]);
        let numbers = [mean, gamma[channel], normalizer, beta[channel]];
        (Map::normalizing(numbers, self.plan.activation[norm]), normalizer)
    }

    /// Writes the result `y` and that of the convolution `z`; what the two normalizations found in each channel.
    pub fn forward(&self, y: &mut [f32], z: &mut [f32]) -> Vec<[MeanVariance; 2]> {
        let layout = Layout::new(&self.plan.geometry);
        let channels: Vec<_> = by_channel(y, self.output()).into_iter().zip(by_channel(z, self.output())).collect();
        let each = channels_per_task(channels.len());
        let found: Vec<Vec<_>> = channels
            .into_par_iter()
            .enumerate()
            .chunks(each)
            .with_max_len(1)
            .map(|task| {
                let mut scratch = ForwardScratch::new(&layout);
                let mut between = Buffer::new(self.input().size);
                task.into_iter()
                    .map(|(channel, (y, z))| self.forward_channel(channel, y, z, &mut scratch, &mut between))
                    .collect()
            })
            .collect();
        found.into_iter().flatten().collect()
    }

    fn forward_channel(
        &self,
        channel: usize,
        y: Vec<&mut [f32]>,
        mut z: Vec<&mut [f32]>,
        scratch: &mut ForwardScratch,
        between: &mut [f32],
    ) -> [MeanVariance; 2] {
        let x = |image: usize| plane(self.x, self.input(), image, channel);
        let mut moments = Moments::default();
        for image in 0..self.batch {
            moments.merge(moments_of(x(image)));
        }
        let first = [moments.mean as f32, moments.variance() as f32];
        let (map, _) = self.map(0, channel, first);
        scratch.set_kernel(self.kernel(channel));
        let mut moments = Moments::default();
        for (image, z) in z.iter_mut().enumerate().rev() {
            apply_map(between, x(image), map);
            scratch.convolve(between, z);
            moments.merge(moments_of(z));
        }
        let second = [moments.mean as f32, moments.variance() as f32];
        let (map, _) = self.map(1, channel, second);
        for (y, z) in y.into_iter().zip(z) {
            apply_map(y, z, map);
        }
        [first, second]
    }

    /// Writes the gradient of the input `of_x`, from that of the result, what the convolution made and what the normalizations
    /// found; returns the gradients of each channel's parameters.
    pub fn backward(
        &self,
        of_x: &mut [f32],
        gradient: &[f32],
        z: &[f32],
        found: &[[MeanVariance; 2]],
    ) -> Vec<ChannelGradient> {
        let layout = Layout::new(&self.plan.geometry);
        let channels = by_channel(of_x, self.input());
        let each = channels_per_task(channels.len());
        let gradients: Vec<Vec<_>> = channels
            .into_par_iter()
            .enumerate()
            .chunks(each)
            .with_max_len(1)
            .map(|task| {
                let mut scratch = BackwardScratch {
                    convolution: Scratch::new(&layout),
                    of_z: Buffer::new(self.output().size),
                    between: Buffer::new(self.input().size),
                };
                task.into_iter()
                    .map(|(channel, of_x)| {
                        let planes = ChannelPlanes { of_x, gradient, z };
                        self.backward_channel(channel, planes, found[channel], &mut scratch)
                    })
                    .collect()
            })
            .collect();
        gradients.into_iter().flatten().collect()
    }

    fn backward_channel(
        &self,
        channel: usize,
        planes: ChannelPlanes,
        [first, second]: [MeanVariance; 2],
        scratch: &mut BackwardScratch,
    ) -> ChannelGradient {
        let x = |image: usize| plane(self.x, self.input(), image, channel);
        let z = |image: usize| plane(planes.z, self.output(), image, channel);
        let gradient = |image: usize| plane(planes.gradient, self.output(), image, channel);
        let mut of_x = planes.of_x;

        let (map, normalizer) = self.map(1, channel, second);
        let sums = sum_over(self.batch, |image| gradient_sums(gradient(image), z(image), map));
        let correction = Correction::new(map, normalizer, sums, self.batch * self.output().size);
        let of_second = [(sums.1 * f64::from(normalizer)) as f32, sums.0 as f32];

        let (before, normalizer) = self.map(0, channel, first);
        let mut weights = vec![0.0; self.kernel(channel).len()];
        let mut share = weights.clone();
        let mut sums = (0.0, 0.0);
        for (image, of_x) in of_x.iter_mut().enumerate().rev() {
            gradient_of(&mut scratch.of_z, gradient(image), z(image), map, correction);
            scratch.convolution.load(&scratch.of_z);
            apply_map(&mut scratch.between, x(image), before);
            scratch.convolution.weight_gradient(&scratch.between, &mut share);
            weights.iter_mut().zip(&share).for_each(|(sum, share)| *sum += share);
            scratch.convolution.input_gradient(self.kernel(channel), of_x);
            let found = gradient_sums(of_x, x(image), before);
            sums = (sums.0 + found.0, sums.1 + found.1);
        }
        let correction = Correction::new(before, normalizer, sums, self.batch * self.input().size);
        for (image, of_x) in of_x.into_iter().enumerate() {
            apply_gradient(of_x, x(image), before, correction);
        }
        let of_first = [(sums.1 * f64::from(normalizer)) as f32, sums.0 as f32];
        ChannelGradient { norms: [of_first, of_second], weights }
    }
}

/// The planes that a channel's backward pass works on, beside the input's.
struct ChannelPlanes<'a> {
    of_x: Vec<&'a mut [f32]>,
    gradient: &'a [f32],
    z: &'a [f32],
}

/// The scratch memory of one backward task.
struct BackwardScratch<'a> {
    convolution: Scratch<'a>,
    of_z: Buffer,
    between: Buffer,
}

/// The sum of pairs over the images, in their order.
fn sum_over(batch: usize, pair: impl Fn(usize) -> (f64, f64)) -> (f64, f64) {
    (0..batch).map(pair).fold((0.0, 0.0), |sum, found| (sum.0 + found.0, sum.1 + found.1))
}
