//! The kernels for flex, in f32: from tensors to slices and back.
//!
//! [`dense`] brings convolutions to matrix products, [`packed`] does so with weights that do not change any more,
//! [`depthwise`] and [`pool`] work plane by plane, [`channels`] holds the element-wise operators and their statistics,
//! [`depthwise_block`] strings the two together, [`update`] those of an optimizer. Below them are [`matrix`] (the product),
//! [`gather`] (which pixels meet which weights), [`transpose`] (rows as columns), [`simd`] (one body, several instruction
//! sets) and [`buffer`] (memory for results, out of [`pages`]).

pub(crate) mod buffer;
mod channels;
mod dense;
mod depthwise;
mod depthwise_block;
mod gather;
mod matrix;
pub(crate) mod packed;
mod pages;
mod pool;
mod shared;
mod simd;
mod transpose;
mod update;

use crate::activation::Activation;
use crate::backend::{BlockGradients, BlockState, ChannelGradients, ConvGradients, NormState, Wanted};
use crate::crops::Crops;
use crate::depthwise_block::BlockPlan;
use crate::folded::FoldedPlan;
use crate::geometry::ConvGeometry;
use crate::update::Update;
use buffer::Buffer;
use burn::backend::Flex;
use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use channels::{ChannelMap, Planes};
use depthwise_block::{Block, NormParameters};

/// The elements of a contiguous tensor.
fn elements(tensor: &FlexTensor) -> &[f32] {
    let elements: &[f32] = tensor.storage();
    &elements[..tensor.layout().num_elements()]
}

/// A contiguous tensor that starts where its memory starts. Costs nothing where that is so already.
fn contiguous(tensor: FlexTensor) -> FlexTensor {
    tensor.to_contiguous()
}

fn planes(tensor: &FlexTensor) -> Planes {
    let [batch, channels, height, width] = tensor.shape().dims();
    Planes { batch, channels, size: height * width }
}

/// Lets `change` work on the elements of `tensor`: in place where nobody else holds them, else on a copy.
fn in_place(tensor: FlexTensor, change: impl FnOnce(&mut [f32])) -> FlexTensor {
    let mut tensor = contiguous(tensor);
    if let Some(elements) = tensor.try_storage_mut::<f32>() {
        change(elements);
        return tensor;
    }
    let shape = tensor.shape();
    let mut copy = Buffer::new(shape.num_elements());
    copy.copy_from_slice(elements(&tensor));
    change(&mut copy);
    copy.into_tensor(shape)
}

/// Reads `x` and writes the result over it where nobody else holds it, else into new memory.
fn map(x: FlexTensor, same: impl FnOnce(&mut [f32]), other: impl FnOnce(&[f32], &mut [f32])) -> FlexTensor {
    let mut x = contiguous(x);
    if let Some(elements) = x.try_storage_mut::<f32>() {
        same(elements);
        return x;
    }
    let shape = x.shape();
    let mut y = Buffer::new(shape.num_elements());
    other(elements(&x), &mut y);
    y.into_tensor(shape)
}

pub(crate) fn dense_conv(
    x: FlexTensor,
    weight: FlexTensor,
    bias: Option<FlexTensor>,
    geometry: &ConvGeometry,
) -> FlexTensor {
    let (x, weight, bias) = (contiguous(x), contiguous(weight), bias.map(contiguous));
    let (batch, out) = (x.shape()[0], weight.shape()[0]);
    let [height, width] = geometry.output;
    let mut y = Buffer::new(batch * out * height * width);
    dense::forward(&mut y, elements(&x), elements(&weight), bias.as_ref().map(elements), geometry, batch, out);
    y.into_tensor(Shape::new([batch, out, height, width]))
}

pub(crate) fn dense_conv_backward(
    x: FlexTensor,
    weight: FlexTensor,
    gradient: FlexTensor,
    geometry: &ConvGeometry,
    wanted: Wanted,
) -> ConvGradients<Flex> {
    let (x, weight, gradient) = (contiguous(x), contiguous(weight), contiguous(gradient));
    let (batch, out) = (x.shape()[0], weight.shape()[0]);
    let find_weight = || {
        let mut of_weight = Buffer::new(weight.shape().num_elements());
        dense::weight_gradient(&mut of_weight, elements(&x), elements(&gradient), geometry, batch, out);
        of_weight.into_tensor(weight.shape())
    };
    let find_x = || {
        let mut of_x = Buffer::new(x.shape().num_elements());
        dense::input_gradient(&mut of_x, elements(&weight), elements(&gradient), geometry, batch, out);
        of_x.into_tensor(x.shape())
    };
    let of_bias = wanted.bias.then(|| {
        let mut of_bias = Buffer::new(out);
        channels::sums(elements(&gradient), planes(&gradient), &mut of_bias);
        of_bias.into_tensor(Shape::new([out]))
    });
    // Side by side: what has done its part of the one goes on with the other.
    let (of_weight, of_x) = match (wanted.parameters, wanted.x) {
        (true, true) => {
            let (of_weight, of_x) = rayon::join(find_weight, find_x);
            (Some(of_weight), Some(of_x))
        }
        (parameters, x) => (parameters.then(find_weight), x.then(find_x)),
    };
    ConvGradients { x: of_x, weight: of_weight, bias: of_bias }
}

pub(crate) fn depthwise_conv(x: FlexTensor, weight: FlexTensor, geometry: &ConvGeometry) -> FlexTensor {
    let (x, weight) = (contiguous(x), contiguous(weight));
    let [batch, channels, _, _] = x.shape().dims();
    let [height, width] = geometry.output;
    let mut y = Buffer::new(batch * channels * height * width);
    depthwise::forward(&mut y, elements(&x), elements(&weight), geometry, channels);
    y.into_tensor(Shape::new([batch, channels, height, width]))
}

pub(crate) fn folded_conv(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, plan: &FoldedPlan) -> FlexTensor {
    let (x, weight, bias) = (contiguous(x), contiguous(weight), contiguous(bias));
    let (batch, out) = (x.shape()[0], weight.shape()[0]);
    let [height, width] = plan.geometry.output;
    let mut y = Buffer::new(batch * out * height * width);
    let epilogue = packed::Epilogue { bias: elements(&bias), activation: plan.activation };
    if plan.depthwise {
        depthwise::forward_with(&mut y, elements(&x), elements(&weight), &plan.geometry, out, Some(epilogue));
    } else {
        let gather = dense::columns_of(x.shape()[1], &plan.geometry);
        let weight = plan.packed.get_or_init(|| packed::PackedWeight::new(elements(&weight), out));
        packed::forward(&mut y, elements(&x), weight, &gather, epilogue, batch);
    }
    y.into_tensor(Shape::new([batch, out, height, width]))
}

pub(crate) fn depthwise_conv_backward(
    x: FlexTensor,
    weight: FlexTensor,
    gradient: FlexTensor,
    geometry: &ConvGeometry,
    wanted: Wanted,
) -> ConvGradients<Flex> {
    let (x, weight, gradient) = (contiguous(x), contiguous(weight), contiguous(gradient));
    let mut of_x = wanted.x.then(|| Buffer::new(x.shape().num_elements()));
    let mut of_weight = wanted.parameters.then(|| Buffer::new(weight.shape().num_elements()));
    depthwise::backward(
        of_x.as_deref_mut(),
        of_weight.as_deref_mut(),
        elements(&x),
        elements(&weight),
        elements(&gradient),
        geometry,
        x.shape()[1],
    );
    ConvGradients {
        x: of_x.map(|found| found.into_tensor(x.shape())),
        weight: of_weight.map(|found| found.into_tensor(weight.shape())),
        bias: None,
    }
}

pub(crate) fn norm_activation(
    x: FlexTensor,
    gamma: FlexTensor,
    beta: FlexTensor,
    epsilon: f32,
    activation: Activation,
) -> (FlexTensor, FlexTensor, FlexTensor) {
    let (x, gamma, beta) = (contiguous(x), contiguous(gamma), contiguous(beta));
    let (shape, planes) = (x.shape(), planes(&x));
    let mut y = Buffer::new(shape.num_elements());
    let mut mean = Buffer::new(planes.channels);
    let mut variance = Buffer::new(planes.channels);
    channels::normalize(
        &mut y,
        elements(&x),
        planes,
        elements(&gamma),
        elements(&beta),
        epsilon,
        activation,
        &mut mean,
        &mut variance,
    );
    let per_channel = Shape::new([planes.channels]);
    (y.into_tensor(shape), mean.into_tensor(per_channel.clone()), variance.into_tensor(per_channel))
}

pub(crate) fn norm_activation_backward(state: NormState<Flex>, gradient: FlexTensor) -> ChannelGradients<Flex> {
    let x = contiguous(state.x);
    let [gamma, beta, mean, variance] = [state.gamma, state.beta, state.mean, state.variance].map(contiguous);
    let planes = planes(&x);
    let inverse: Vec<f32> =
        elements(&variance).iter().map(|&variance| channels::inverse_deviation(variance, state.epsilon)).collect();
    let map = ChannelMap {
        center: Some(elements(&mean)),
        scale: elements(&gamma),
        shift: Some(elements(&beta)),
        normalizer: Some(&inverse),
        activation: state.activation,
    };
    let mut of_gamma = Buffer::new(planes.channels);
    let mut of_beta = Buffer::new(planes.channels);
    let of_x = in_place(gradient, |gradient| {
        channels::backward(gradient, elements(&x), planes, &map, Some((&mut of_gamma, &mut of_beta)));
    });
    let per_channel = Shape::new([planes.channels]);
    ChannelGradients {
        x: of_x,
        scale: Some(of_gamma.into_tensor(per_channel.clone())),
        shift: Some(of_beta.into_tensor(per_channel)),
    }
}

#[allow(clippy::type_complexity)]
pub(crate) fn depthwise_block(
    x: FlexTensor,
    first: [FlexTensor; 2],
    weight: FlexTensor,
    second: [FlexTensor; 2],
    plan: &BlockPlan,
) -> (FlexTensor, FlexTensor, FlexTensor, FlexTensor, FlexTensor, FlexTensor) {
    let (x, weight, norms) = (contiguous(x), contiguous(weight), [first, second].map(|norm| norm.map(contiguous)));
    let [batch, channels, _, _] = x.shape().dims();
    let [height, width] = plan.geometry.output;
    let shape = Shape::new([batch, channels, height, width]);
    let (mut y, mut z) = (Buffer::new(shape.num_elements()), Buffer::new(shape.num_elements()));
    let norms = norms.each_ref().map(|[gamma, beta]| NormParameters { gamma: elements(gamma), beta: elements(beta) });
    let block = Block { x: elements(&x), weights: elements(&weight), norms, plan, batch };
    let found = block.forward(&mut y, &mut z);
    let statistic = |norm: usize, which: usize| per_channel(found.iter().map(|found| found[norm][which]));
    (
        y.into_tensor(shape.clone()),
        z.into_tensor(shape),
        statistic(0, 0),
        statistic(0, 1),
        statistic(1, 0),
        statistic(1, 1),
    )
}

pub(crate) fn depthwise_block_backward(state: BlockState<Flex>, gradient: FlexTensor) -> BlockGradients<Flex> {
    let [x, weight, z, gradient] = [state.x, state.weight, state.z, gradient].map(contiguous);
    let [first, second] = state.norms.map(|norm| norm.map(contiguous));
    let found: Vec<_> = (0..weight.shape()[0])
        .map(|channel| [&first, &second].map(|norm| [elements(&norm[2])[channel], elements(&norm[3])[channel]]))
        .collect();
    let norms =
        [&first, &second].map(|[gamma, beta, ..]| NormParameters { gamma: elements(gamma), beta: elements(beta) });
    let block = Block { x: elements(&x), weights: elements(&weight), norms, plan: &state.plan, batch: x.shape()[0] };
    let mut of_x = Buffer::new(x.shape().num_elements());
    let gradients = block.backward(&mut of_x, elements(&gradient), elements(&z), &found);
    let parameter = |norm: usize, which: usize| Some(per_channel(gradients.iter().map(|of| of.norms[norm][which])));
    let mut of_weight = Buffer::new(weight.shape().num_elements());
    for (target, found) in of_weight.iter_mut().zip(gradients.iter().flat_map(|of| &of.weights)) {
        *target = *found;
    }
    BlockGradients {
        norms: [[parameter(0, 0), parameter(0, 1)], [parameter(1, 0), parameter(1, 1)]],
        x: Some(of_x.into_tensor(x.shape())),
        weight: Some(of_weight.into_tensor(weight.shape())),
    }
}

/// One value for each channel.
fn per_channel(values: impl ExactSizeIterator<Item = f32>) -> FlexTensor {
    let mut tensor = Buffer::new(values.len());
    let shape = Shape::new([values.len()]);
    tensor.iter_mut().zip(values).for_each(|(target, value)| *target = value);
    tensor.into_tensor(shape)
}

pub(crate) fn affine(x: FlexTensor, scale: FlexTensor, shift: FlexTensor, activation: Activation) -> FlexTensor {
    let (scale, shift) = (contiguous(scale), contiguous(shift));
    let planes = planes(&x);
    let map_of = ChannelMap {
        center: None,
        scale: elements(&scale),
        shift: Some(elements(&shift)),
        normalizer: None,
        activation,
    };
    map(x, |values| channels::apply_in_place(values, planes, &map_of), |x, y| channels::apply(y, x, planes, &map_of))
}

pub(crate) fn affine_backward(
    x: FlexTensor,
    scale: FlexTensor,
    shift: FlexTensor,
    activation: Activation,
    gradient: FlexTensor,
    wanted: Wanted,
) -> ChannelGradients<Flex> {
    let (x, scale, shift) = (contiguous(x), contiguous(scale), contiguous(shift));
    let planes = planes(&x);
    let map = ChannelMap {
        center: None,
        scale: elements(&scale),
        shift: Some(elements(&shift)),
        normalizer: None,
        activation,
    };
    let mut sums = wanted.parameters.then(|| (Buffer::new(planes.channels), Buffer::new(planes.channels)));
    let of_x = in_place(gradient, |gradient| {
        let sums = sums.as_mut().map(|(scale, shift)| (&mut scale[..], &mut shift[..]));
        channels::backward(gradient, elements(&x), planes, &map, sums);
    });
    let per_channel = Shape::new([planes.channels]);
    let (scale, shift) = match sums {
        Some((scale, shift)) => (Some(scale.into_tensor(per_channel.clone())), Some(shift.into_tensor(per_channel))),
        None => (None, None),
    };
    ChannelGradients { x: of_x, scale, shift }
}

pub(crate) fn activate(x: FlexTensor, activation: Activation) -> FlexTensor {
    map(x, |values| channels::activate_in_place(values, activation), |x, y| channels::activate(y, x, activation))
}

pub(crate) fn activate_backward(y: FlexTensor, activation: Activation, gradient: FlexTensor) -> FlexTensor {
    let y = contiguous(y);
    in_place(gradient, |gradient| {
        channels::mask(gradient, elements(&y), activation);
    })
}

pub(crate) fn hard_swish(x: FlexTensor) -> FlexTensor {
    map(x, channels::hard_swish_in_place, |x, y| channels::hard_swish(y, x))
}

pub(crate) fn hard_swish_backward(x: FlexTensor, gradient: FlexTensor) -> FlexTensor {
    let x = contiguous(x);
    in_place(gradient, |gradient| channels::hard_swish_gradient(gradient, elements(&x)))
}

/// A pooling's result, written by `pool`.
fn pooled(x: FlexTensor, geometry: &ConvGeometry, pool: fn(&mut [f32], &[f32], &ConvGeometry)) -> FlexTensor {
    let x = contiguous(x);
    let [batch, channels, _, _] = x.shape().dims();
    let [height, width] = geometry.output;
    let mut y = Buffer::new(batch * channels * height * width);
    pool(&mut y, elements(&x), geometry);
    y.into_tensor(Shape::new([batch, channels, height, width]))
}

pub(crate) fn max_pool(x: FlexTensor, geometry: &ConvGeometry) -> FlexTensor {
    pooled(x, geometry, pool::max)
}

pub(crate) fn max_pool_backward(x: FlexTensor, gradient: FlexTensor, geometry: &ConvGeometry) -> FlexTensor {
    let (x, gradient) = (contiguous(x), contiguous(gradient));
    let mut of_x = Buffer::new(x.shape().num_elements());
    pool::max_gradient(&mut of_x, elements(&x), elements(&gradient), geometry);
    of_x.into_tensor(x.shape())
}

pub(crate) fn avg_pool(x: FlexTensor, geometry: &ConvGeometry) -> FlexTensor {
    pooled(x, geometry, pool::mean)
}

pub(crate) fn avg_pool_backward(x: FlexTensor, gradient: FlexTensor, geometry: &ConvGeometry) -> FlexTensor {
    let gradient = contiguous(gradient);
    let mut of_x = Buffer::new(x.shape().num_elements());
    pool::mean_gradient(&mut of_x, elements(&gradient), geometry);
    of_x.into_tensor(x.shape())
}

pub(crate) fn crop_and_resize(x: FlexTensor, crops: &Crops) -> FlexTensor {
    let x = contiguous(x);
    let [_, channels, height, width] = x.shape().dims();
    let shape = Shape::new([crops.boxes.len(), channels, crops.size[0], crops.size[1]]);
    let mut y = Buffer::new(shape.num_elements());
    pool::crop_and_resize(&mut y, elements(&x), crops, channels, [height, width]);
    y.into_tensor(shape)
}

pub(crate) fn crop_and_resize_backward(x: FlexTensor, gradient: FlexTensor, crops: &Crops) -> FlexTensor {
    let gradient = contiguous(gradient);
    let [_, channels, height, width] = x.shape().dims();
    let mut of_x = Buffer::new(x.shape().num_elements());
    pool::crop_and_resize_gradient(&mut of_x, elements(&gradient), crops, channels, [height, width]);
    of_x.into_tensor(x.shape())
}

pub(crate) fn update_one(
    value: FlexTensor,
    gradient: FlexTensor,
    slot: FlexTensor,
    how: Update,
) -> (FlexTensor, FlexTensor) {
    let (value, gradient) = (contiguous(value), contiguous(gradient));
    let mut new = Buffer::new(value.shape().num_elements());
    let slot = in_place(slot, |slot| update::update_one(&mut new, elements(&value), elements(&gradient), slot, how));
    (new.into_tensor(value.shape()), slot)
}

pub(crate) fn update_two(
    value: FlexTensor,
    gradient: FlexTensor,
    first: FlexTensor,
    second: FlexTensor,
    how: Update,
) -> (FlexTensor, FlexTensor, FlexTensor) {
    let (value, gradient) = (contiguous(value), contiguous(gradient));
    let mut new = Buffer::new(value.shape().num_elements());
    let mut changed = None;
    let first = in_place(first, |first| {
        changed = Some(in_place(second, |second| {
            update::update_two(&mut new, elements(&value), elements(&gradient), first, second, how);
        }));
    });
    // `in_place` has called what it was given.
    let second = changed.unwrap_or_else(|| first.clone());
    (new.into_tensor(value.shape()), first, second)
}

/// A tensor of one value.
fn scalar(value: f64) -> FlexTensor {
    let mut buffer = Buffer::new(1);
    buffer[0] = value as f32;
    buffer.into_tensor(Shape::new([1]))
}

pub(crate) fn gradient_squares(value: FlexTensor, gradient: FlexTensor, how: Update) -> FlexTensor {
    let (value, gradient) = (contiguous(value), contiguous(gradient));
    scalar(update::gradient_squares(elements(&value), elements(&gradient), how))
}

pub(crate) fn penalty(value: FlexTensor, l1: f32, l2: f32) -> FlexTensor {
    scalar(update::penalty(elements(&contiguous(value)), l1, l2))
}

pub(crate) fn moving_average(average: FlexTensor, value: FlexTensor, decay: f32) -> FlexTensor {
    let value = contiguous(value);
    in_place(average, |average| update::moving_average(average, elements(&value), decay))
}
