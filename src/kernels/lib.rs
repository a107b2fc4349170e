//! The operators that a detector spends its time in, fast on the CPU.
//!
//! burn's CPU backend, flex, has no convolution backward of its own, runs most element-wise work on one thread
//! and composes batch normalization from primitives. This room replaces the handful of operators that a
//! single-shot detector is made of: dense and depthwise convolution, batch normalization with its activation
//! fused, an affine map with an activation (frozen batch normalization), and the activation alone.
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
mod geometry;

#[cfg(test)]
mod tests;

pub use activation::Activation;
pub use cpu::buffer::release_unused_memory;
pub use geometry::Padding;

use backend::KernelBackend;
use burn::backend::Dispatch;
use burn::tensor::Tensor;
use geometry::ConvGeometry;

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
    let ([_, channels, height, width], [out, of_weight, kernel_h, kernel_w]) = (x.dims(), weight.dims());
    assert_eq!(
        channels,
        of_weight,
        "conv2d: the input has {channels} channels, the weight {:?} expects {of_weight}",
        weight.dims()
    );
    let geometry = ConvGeometry::new("conv2d", [height, width], [kernel_h, kernel_w], stride, padding);
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
    Tensor::from_dispatch(<Dispatch as KernelBackend>::affine(
        x.into_dispatch(),
        scale.into_dispatch(),
        shift.into_dispatch(),
        activation,
    ))
}

/// The activation alone. The gradient at the corners (0, and 6 for ReLU6) is zero, as in TensorFlow.
pub fn activation(x: Tensor<4>, activation: Activation) -> Tensor<4> {
    match activation {
        Activation::None => x,
        _ => Tensor::from_dispatch(<Dispatch as KernelBackend>::activate(x.into_dispatch(), activation)),
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
