//! The operators in terms of burn's own: what runs where this room has no kernel.

use crate::activation::Activation;
use crate::backend::{ChannelGradients, ConvGradients, NormState, Wanted};
use crate::geometry::{ConvGeometry, Padding};
use burn::backend::ops::{BatchNormTrain, ConvOptions, PadMode};
use burn::backend::tensor::{BoolTensor, FloatTensor};
use burn::backend::{Backend, TensorMetadata, get_or_init_device_settings};
use burn::tensor::{Shape, Slice};

/// The input with its padding, and what is left for burn's convolution to do. Not every device pads each side
/// by a size of its own, so asymmetric padding is done here.
fn padded<B: Backend>(x: FloatTensor<B>, geometry: &ConvGeometry, groups: usize) -> (FloatTensor<B>, ConvOptions<2>) {
    let Padding { top, bottom, left, right } = geometry.padding;
    let options = |padding| ConvOptions::new(geometry.stride, padding, [1, 1], groups);
    if top == bottom && left == right {
        return (x, options([top, left]));
    }
    let sides = [(0, 0), (0, 0), (top, bottom), (left, right)];
    (B::float_pad(x, &sides, PadMode::Constant(0.0)), options([0, 0]))
}

/// Convolution with `groups` groups.
pub(crate) fn conv<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
    geometry: ConvGeometry,
    groups: usize,
) -> FloatTensor<B> {
    let (x, options) = padded::<B>(x, &geometry, groups);
    B::conv2d(x, weight, bias, options)
}

/// Gradients of [`conv`].
pub(crate) fn conv_backward<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    gradient: FloatTensor<B>,
    geometry: ConvGeometry,
    groups: usize,
    wanted: Wanted,
) -> ConvGradients<B> {
    let [batch, channels, height, width] = x.shape().dims();
    let (x, options) = padded::<B>(x, &geometry, groups);
    let cropped = x.shape().dims() != [batch, channels, height, width];
    let of_x = wanted.x.then(|| {
        let whole = B::conv2d_x_backward(x.clone(), weight.clone(), gradient.clone(), options.clone());
        if !cropped {
            return whole;
        }
        let [top, left] = geometry.lead();
        B::float_slice(
            whole,
            &[
                Slice::from(0..batch),
                Slice::from(0..channels),
                Slice::from(top..top + height),
                Slice::from(left..left + width),
            ],
        )
    });
    let of_bias = wanted.bias.then(|| sum_to_channels::<B>(gradient.clone()));
    let of_weight = wanted.parameters.then(|| B::conv2d_weight_backward(x, weight, gradient, options));
    ConvGradients { x: of_x, weight: of_weight, bias: of_bias }
}

/// Depthwise convolution: as many groups as channels.
pub(crate) fn depthwise<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    geometry: ConvGeometry,
) -> FloatTensor<B> {
    let channels = weight.shape()[0];
    conv::<B>(x, weight, None, geometry, channels)
}

/// Gradients of [`depthwise`].
pub(crate) fn depthwise_backward<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    gradient: FloatTensor<B>,
    geometry: ConvGeometry,
    wanted: Wanted,
) -> ConvGradients<B> {
    let channels = weight.shape()[0];
    conv_backward::<B>(x, weight, gradient, geometry, channels, wanted)
}

/// Batch normalization by the batch's own statistics, then the activation.
pub(crate) fn norm_activation<B: Backend>(
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    epsilon: f32,
    activation: Activation,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let BatchNormTrain { output, mean, variance } = B::batch_norm_train(x, gamma, beta, epsilon.into());
    (activate::<B>(output, activation), mean, variance)
}

/// Gradients of [`norm_activation`].
pub(crate) fn norm_activation_backward<B: Backend>(
    state: NormState<B>,
    gradient: FloatTensor<B>,
) -> ChannelGradients<B> {
    let NormState { x, gamma, beta, mean, variance, epsilon, activation } = state;
    let gradient = match activation {
        Activation::None => gradient,
        _ => {
            let y = B::batch_norm(x.clone(), gamma.clone(), beta, mean.clone(), variance.clone(), epsilon.into());
            mask_gradient::<B>(y, activation, gradient)
        }
    };
    let gradients = B::batch_norm_train_backward(x, gamma, mean, variance, epsilon.into(), gradient);
    ChannelGradients { x: gradients.x_grad, scale: Some(gradients.gamma_grad), shift: Some(gradients.beta_grad) }
}

/// `activation(x · scale + shift)`.
pub(crate) fn affine<B: Backend>(
    x: FloatTensor<B>,
    scale: FloatTensor<B>,
    shift: FloatTensor<B>,
    activation: Activation,
) -> FloatTensor<B> {
    let scaled = B::float_mul(x, to_planes::<B>(scale));
    activate::<B>(B::float_add(scaled, to_planes::<B>(shift)), activation)
}

/// Gradients of [`affine`].
pub(crate) fn affine_backward<B: Backend>(
    x: FloatTensor<B>,
    scale: FloatTensor<B>,
    shift: FloatTensor<B>,
    activation: Activation,
    gradient: FloatTensor<B>,
    wanted: Wanted,
) -> ChannelGradients<B> {
    let gradient = match activation {
        Activation::None => gradient,
        _ => {
            let y = affine::<B>(x.clone(), scale.clone(), shift, Activation::None);
            mask_gradient::<B>(y, activation, gradient)
        }
    };
    ChannelGradients {
        x: B::float_mul(gradient.clone(), to_planes::<B>(scale)),
        scale: wanted.parameters.then(|| sum_to_channels::<B>(B::float_mul(gradient.clone(), x))),
        shift: wanted.parameters.then(|| sum_to_channels::<B>(gradient.clone())),
    }
}

/// The activation alone.
pub(crate) fn activate<B: Backend>(x: FloatTensor<B>, activation: Activation) -> FloatTensor<B> {
    match activation {
        Activation::None => x,
        Activation::Relu => B::relu(x),
        Activation::Relu6 => B::float_clamp(x, 0f32.into(), 6f32.into()),
    }
}

/// The gradient where `y`, before or after the activation, lies strictly inside its limits, else zero.
pub(crate) fn mask_gradient<B: Backend>(
    y: FloatTensor<B>,
    activation: Activation,
    gradient: FloatTensor<B>,
) -> FloatTensor<B> {
    let bools = get_or_init_device_settings::<B>(&y.device()).bool_dtype;
    let outside: BoolTensor<B> = match activation {
        Activation::None => return gradient,
        Activation::Relu => B::float_lower_equal_elem(y, 0f32.into(), bools),
        Activation::Relu6 => B::bool_or(
            B::float_lower_equal_elem(y.clone(), 0f32.into(), bools),
            B::float_greater_equal_elem(y, 6f32.into(), bools),
        ),
    };
    B::float_mask_fill(gradient, outside, 0f32.into())
}

/// `[channels]` as `[1, channels, 1, 1]`.
fn to_planes<B: Backend>(parameter: FloatTensor<B>) -> FloatTensor<B> {
    let channels = parameter.shape()[0];
    B::float_reshape(parameter, Shape::new([1, channels, 1, 1]))
}

/// The sum over batch, height and width.
fn sum_to_channels<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let channels = x.shape()[1];
    B::float_reshape(B::float_sum_dims(x, &[0, 2, 3]), Shape::new([channels]))
}
