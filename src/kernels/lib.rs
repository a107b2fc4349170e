//! The operators that a detector spends its time in, fast on the CPU.
//!
//! burn's CPU backend, flex, has no convolution backward of its own, runs most element-wise work on one thread
//! and composes batch normalization from primitives. This room replaces the handful of operators that a
//! detector is made of: dense and depthwise convolution, pooling, cutting boxes out of a feature map (the second
//! stage of Faster R-CNN), batch normalization with its activation fused, an affine map with an activation (frozen
//! batch normalization), the activation alone, and the passes of an optimizer over a variable.
//!
//! The way of a call: a free function of this file checks the shapes and hands the tensor to burn's dispatch;
//! [`backend`] names the operators as a backend extension, with a composed version for every device that has
//! no kernel here (a GPU through wgpu); [`autodiff`] gives each operator one backward node; [`cpu`] holds the
//! kernels for flex in f32.
//!
//! Tensors are `[batch, channels, height, width]`, dense weights `[out, in, kernel height, kernel width]`,
//! depthwise weights `[channels, 1, kernel height, kernel width]`. Padding is given for each side, because
//! TensorFlow's SAME is asymmetric.
//!
//! The same input gives the same bits, however the threads are scheduled: whatever is summed across tasks is
//! summed in a fixed order. A resumed run can therefore repeat the interrupted one exactly.
//!
//! No model code and no configuration here.

mod activation;
mod autodiff;
mod backend;
mod composed;
mod cpu;
mod crops;
mod depthwise_block;
mod folded;
mod geometry;
mod layer_shape;
mod update;

#[cfg(test)]
mod tests;

pub use activation::Activation;
pub use cpu::buffer::release_unused_memory;
pub use depthwise_block::{Norm, Statistics, depthwise_block};
pub use folded::FoldedConv;
pub use geometry::{Padding, dilated_size};
pub use layer_shape::{LayerShape, Window, trace};
pub use update::{ADAM_FIRST, ADAM_SECOND, Update, UpdateRule, gradient_squares, moving_average, penalty, update};

use backend::KernelBackend;
use burn::backend::Dispatch;
use burn::tensor::Tensor;
use crops::Crops;
use geometry::ConvGeometry;
use layer_shape::traced;
use std::sync::Arc;

/// Dense 2-D convolution (cross-correlation, as in every detection framework), with an optional bias.
///
/// # Shapes
/// - `x`: `[batch, in, height, width]`, `weight`: `[out, in, kernel height, kernel width]`, `bias`: `[out]`
/// - result: `[batch, out, out height, out width]`
///
/// # Panics
/// On shapes that do not fit together, a zero stride, or a kernel larger than the padded input.
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: [usize; 2],
    padding: Padding,
) -> Tensor<4> {
    dilated_conv2d(x, weight, bias, stride, [1, 1], padding)
}

/// [`conv2d`] with weights that lie `dilation` rows and columns of the input apart (an atrous convolution).
///
/// # Panics
/// As [`conv2d`], and on a zero dilation.
pub fn dilated_conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: [usize; 2],
    dilation: [usize; 2],
    padding: Padding,
) -> Tensor<4> {
    let ([_, channels, height, width], [out, of_weight, kernel_h, kernel_w]) = (x.dims(), weight.dims());
    assert_eq!(
        channels,
        of_weight,
        "conv2d: the input has {channels} channels, the weight {:?} expects {of_weight}",
        weight.dims()
    );
    let geometry = ConvGeometry::dilated("conv2d", [height, width], [kernel_h, kernel_w], stride, dilation, padding);
    let shape = || LayerShape::Convolution { input: x.dims(), out, window: geometry.window(), bias: bias.is_some() };
    if let Some(y) = traced(&x, shape) {
        return y;
    }
    match bias {
        None => Tensor::from_dispatch(<Dispatch as KernelBackend>::dense_conv(
            x.into_dispatch(),
            weight.into_dispatch(),
            geometry,
        )),
        Some(bias) => {
            assert_eq!(bias.dims(), [out], "conv2d: one bias for each output channel");
            Tensor::from_dispatch(<Dispatch as KernelBackend>::dense_conv_bias(
                x.into_dispatch(),
                weight.into_dispatch(),
                bias.into_dispatch(),
                geometry,
            ))
        }
    }
}

/// Depthwise 2-D convolution: each channel with a kernel of its own (channel multiplier 1).
///
/// # Shapes
/// - `x`: `[batch, channels, height, width]`, `weight`: `[channels, 1, kernel height, kernel width]`
/// - result: `[batch, channels, out height, out width]`
///
/// # Panics
/// On shapes that do not fit together, a zero stride, or a kernel larger than the padded input.
pub fn depthwise_conv2d(x: Tensor<4>, weight: Tensor<4>, stride: [usize; 2], padding: Padding) -> Tensor<4> {
    let ([_, channels, height, width], [of_weight, one, kernel_h, kernel_w]) = (x.dims(), weight.dims());
    assert_eq!(
        [channels, 1],
        [of_weight, one],
        "depthwise_conv2d: an input of {channels} channels needs a weight [{channels}, 1, …], not {:?}",
        weight.dims()
    );
    let geometry = ConvGeometry::new("depthwise_conv2d", [height, width], [kernel_h, kernel_w], stride, padding);
    if let Some(y) = traced(&x, || LayerShape::Depthwise { input: x.dims(), window: geometry.window() }) {
        return y;
    }
    Tensor::from_dispatch(<Dispatch as KernelBackend>::depthwise_conv(
        x.into_dispatch(),
        weight.into_dispatch(),
        geometry,
    ))
}

/// Batch normalization with the statistics of the batch itself, followed by `activation`.
///
/// Returns the result, and the mean and the biased variance of each channel over batch, height and width. The
/// statistics are detached; moving averages are the caller's (slim stores the unbiased variance there).
///
/// # Shapes
/// `x` and the result: `[batch, channels, height, width]`; `gamma`, `beta`, mean and variance: `[channels]`.
///
/// # Panics
/// On shapes that do not fit together.
pub fn batch_norm_train(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f32,
    activation: Activation,
) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
    check_channels("batch_norm_train", &x, &[("gamma", &gamma), ("beta", &beta)]);
    if let Some(y) = traced(&x, || LayerShape::BatchNorm { input: x.dims(), activation }) {
        return (y, gamma.zeros_like(), gamma.ones_like());
    }
    let (y, mean, variance) = <Dispatch as KernelBackend>::norm_activation(
        x.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        epsilon,
        activation,
    );
    (Tensor::from_dispatch(y), Tensor::from_dispatch(mean), Tensor::from_dispatch(variance))
}

/// `activation(x · scale + shift)`, channel by channel: batch normalization with fixed statistics.
///
/// Differentiable with respect to `x`, `scale` and `shift`.
///
/// # Shapes
/// `x` and the result: `[batch, channels, height, width]`; `scale` and `shift`: `[channels]`.
///
/// # Panics
/// On shapes that do not fit together.
pub fn affine_activation(x: Tensor<4>, scale: Tensor<1>, shift: Tensor<1>, activation: Activation) -> Tensor<4> {
    check_channels("affine_activation", &x, &[("scale", &scale), ("shift", &shift)]);
    if let Some(y) = traced(&x, || LayerShape::FrozenBatchNorm { input: x.dims(), activation }) {
        return y;
    }
    Tensor::from_dispatch(<Dispatch as KernelBackend>::affine(
        x.into_dispatch(),
        scale.into_dispatch(),
        shift.into_dispatch(),
        activation,
    ))
}

/// The activation alone. The gradient at the corners (0, and 6 for ReLU6) is zero, as in TensorFlow.
pub fn activation(x: Tensor<4>, activation: Activation) -> Tensor<4> {
    if activation == Activation::None {
        return x;
    }
    match traced(&x, || LayerShape::Activation { input: x.dims(), activation }) {
        Some(y) => y,
        None => Tensor::from_dispatch(<Dispatch as KernelBackend>::activate(x.into_dispatch(), activation)),
    }
}

/// `x · ReLU6(x + 3) / 6`: a smooth gate made of clamps, and the swish of the MobileNets from v3 on.
///
/// At the corners −3 and 3 the gradient is that of TensorFlow's composition: 0 and 1.
pub fn hard_swish(x: Tensor<4>) -> Tensor<4> {
    match traced(&x, || LayerShape::HardSwish { input: x.dims() }) {
        Some(y) => y,
        None => Tensor::from_dispatch(<Dispatch as KernelBackend>::hard_swish(x.into_dispatch())),
    }
}

/// The largest value under the kernel; padding never wins. The gradient goes to the first of several largest.
///
/// # Shapes
/// `[batch, channels, height, width]` to `[batch, channels, out height, out width]`
///
/// # Panics
/// On a zero stride or kernel, a kernel larger than the padded input, or padding as large as the kernel.
pub fn max_pool2d(x: Tensor<4>, kernel: [usize; 2], stride: [usize; 2], padding: Padding) -> Tensor<4> {
    let geometry = pool_geometry("max_pool2d", &x, kernel, stride, padding);
    if let Some(y) = traced(&x, || LayerShape::MaxPool { input: x.dims(), window: geometry.window() }) {
        return y;
    }
    Tensor::from_dispatch(<Dispatch as KernelBackend>::max_pool(x.into_dispatch(), geometry))
}

/// The mean of the values under the kernel; padding does not count, as in TensorFlow.
///
/// # Shapes
/// `[batch, channels, height, width]` to `[batch, channels, out height, out width]`
///
/// # Panics
/// As [`max_pool2d`].
pub fn avg_pool2d(x: Tensor<4>, kernel: [usize; 2], stride: [usize; 2], padding: Padding) -> Tensor<4> {
    let geometry = pool_geometry("avg_pool2d", &x, kernel, stride, padding);
    if let Some(y) = traced(&x, || LayerShape::MeanPool { input: x.dims(), window: geometry.window() }) {
        return y;
    }
    Tensor::from_dispatch(<Dispatch as KernelBackend>::avg_pool(x.into_dispatch(), geometry))
}

fn pool_geometry(
    operator: &str,
    x: &Tensor<4>,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: Padding,
) -> ConvGeometry {
    let [_, _, height, width] = x.dims();
    let Padding { top, bottom, left, right } = padding;
    assert!(
        top.max(bottom) < kernel[0] && left.max(right) < kernel[1],
        "{operator}: {padding:?} would leave nothing of the input under a kernel {kernel:?}"
    );
    ConvGeometry::new(operator, [height, width], kernel, stride, padding)
}

/// Cuts boxes out of the images of a batch and resizes them bilinearly, as TensorFlow's `crop_and_resize` does: the
/// corners of a crop lie on the corners of its box, and what lies beyond the image is 0.
///
/// `boxes` are `[ymin, xmin, ymax, xmax]`, where 0 and 1 are the centres of the first and the last pixels; `images`
/// says which image of the batch each is of. Differentiable with respect to `x`.
///
/// # Shapes
/// `x`: `[batch, channels, height, width]`; result: `[boxes, channels, size[0], size[1]]`
///
/// # Panics
/// If `boxes` and `images` differ in length, or an image is not of the batch.
pub fn crop_and_resize(x: Tensor<4>, boxes: &[[f32; 4]], images: &[usize], size: [usize; 2]) -> Tensor<4> {
    let batch = x.dims()[0];
    assert_eq!(boxes.len(), images.len(), "crop_and_resize: an image for each box");
    assert!(images.iter().all(|&image| image < batch), "crop_and_resize: an image beyond the batch of {batch}");
    let shape = || LayerShape::CropAndResize { input: x.dims(), boxes: boxes.len(), size };
    if let Some(y) = traced(&x, shape) {
        return y;
    }
    let crops = Crops { boxes: boxes.to_vec(), images: images.to_vec(), size };
    Tensor::from_dispatch(<Dispatch as KernelBackend>::crop_and_resize(x.into_dispatch(), Arc::new(crops)))
}

/// A fully connected layer: `x · weight + bias`, by burn's own operators on every device.
///
/// # Shapes
/// `x`: `[rows, in]`, `weight`: `[in, out]`, `bias`: `[out]`; result: `[rows, out]`
///
/// # Panics
/// On shapes that do not fit together.
pub fn fully_connected(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    let ([rows, inputs], [of_weight, outputs]) = (x.dims(), weight.dims());
    assert_eq!(inputs, of_weight, "fully_connected: the input has {inputs} columns, the weight expects {of_weight}");
    assert_eq!(bias.dims(), [outputs], "fully_connected: one bias for each column of the result");
    match traced(&x, || LayerShape::FullyConnected { rows, inputs, outputs }) {
        Some(y) => y.reshape([rows, outputs]),
        None => x.matmul(weight) + bias.unsqueeze(),
    }
}

fn check_channels(operator: &str, x: &Tensor<4>, parameters: &[(&str, &Tensor<1>)]) {
    let channels = x.dims()[1];
    for (name, parameter) in parameters {
        assert_eq!(
            parameter.dims(),
            [channels],
            "{operator}: {name} must hold one value for each of the {channels} channels"
        );
    }
}
