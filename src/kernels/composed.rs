//! The operators in terms of burn's own: what runs where this room has no kernel.

use crate::activation::Activation;
use crate::backend::{
    BlockGradients, BlockState, ChannelGradients, ConvGradients, KernelBackend, KernelGradients, NormState, Wanted,
};
use crate::crops::Crops;
use crate::depthwise_block::BlockPlan;
use crate::geometry::{ConvGeometry, Padding};
use crate::update::{ADAM_FIRST, ADAM_SECOND, Update, UpdateRule};
use burn::backend::ops::{BatchNormTrain, ConvOptions, PadMode};
use burn::backend::tensor::{BoolTensor, FloatTensor, IntTensor};
use burn::backend::{Backend, TensorMetadata, get_or_init_device_settings};
use burn::tensor::{IndexingUpdateOp, Shape, Slice, TensorData};

/// The input with its padding, and what is left for burn's convolution to do. Not every device pads each side
/// by a size of its own, so asymmetric padding is done here.
fn padded<B: Backend>(x: FloatTensor<B>, geometry: &ConvGeometry, groups: usize) -> (FloatTensor<B>, ConvOptions<2>) {
    let Padding { top, bottom, left, right } = geometry.padding;
    let options = |padding| ConvOptions::new(geometry.stride, padding, geometry.dilation, groups);
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
        if cropped { without_padding::<B>(whole, &geometry) } else { whole }
    });
    let of_bias = wanted.bias.then(|| sum_to_channels::<B>(gradient.clone()));
    let of_weight = wanted.parameters.then(|| B::conv2d_weight_backward(x, weight, gradient, options));
    ConvGradients { x: of_x, weight: of_weight, bias: of_bias }
}

/// What is left of a padded tensor without its padding.
fn without_padding<B: Backend>(padded: FloatTensor<B>, geometry: &ConvGeometry) -> FloatTensor<B> {
    let ([batch, channels, _, _], [top, left], [height, width]) =
        (padded.shape().dims(), geometry.lead(), geometry.input);
    B::float_slice(
        padded,
        &[
            Slice::from(0..batch),
            Slice::from(0..channels),
            Slice::from(top..top + height),
            Slice::from(left..left + width),
        ],
    )
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

/// Batch normalization, depthwise convolution, batch normalization; `first` and `second` are gamma and beta.
#[allow(clippy::type_complexity)]
pub(crate) fn depthwise_block<B: KernelBackend>(
    x: FloatTensor<B>,
    first: [FloatTensor<B>; 2],
    weight: FloatTensor<B>,
    second: [FloatTensor<B>; 2],
    plan: BlockPlan,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let ([epsilon, of_second], [activation, second_activation]) = (plan.epsilon, plan.activation);
    let [gamma, beta] = first;
    let (x, first_mean, first_variance) = B::norm_activation(x, gamma, beta, epsilon, activation);
    let z = B::depthwise_conv(x, weight, plan.geometry);
    let [gamma, beta] = second;
    let (y, mean, variance) = B::norm_activation(z.clone(), gamma, beta, of_second, second_activation);
    (y, z, first_mean, first_variance, mean, variance)
}

/// Gradients of [`depthwise_block`].
pub(crate) fn depthwise_block_backward<B: KernelGradients>(
    state: BlockState<B>,
    gradient: FloatTensor<B>,
) -> BlockGradients<B> {
    let BlockState { x, weight, z, norms, plan } = state;
    let state_of = |x: FloatTensor<B>, norm: [FloatTensor<B>; 4], index: usize| {
        let [gamma, beta, mean, variance] = norm;
        let (epsilon, activation) = (plan.epsilon[index], plan.activation[index]);
        NormState { x, gamma, beta, mean, variance, epsilon, activation }
    };
    let [first, second] = norms;
    let second = B::norm_activation_backward(state_of(z, second, 1), gradient);
    let [gamma, beta, mean, variance] = first.clone();
    let between = B::batch_norm(x.clone(), gamma, beta, mean, variance, plan.epsilon[0].into());
    let between = activate::<B>(between, plan.activation[0]);
    let wanted = Wanted { x: true, parameters: true, bias: false };
    let conv = B::depthwise_conv_backward(between, weight, second.x, plan.geometry, wanted);
    let first = conv.x.map(|gradient| B::norm_activation_backward(state_of(x, first, 0), gradient));
    let (of_x, of_first) = match first {
        Some(ChannelGradients { x, scale, shift }) => (Some(x), [scale, shift]),
        None => (None, [None, None]),
    };
    BlockGradients { x: of_x, weight: conv.weight, norms: [of_first, [second.scale, second.shift]] }
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

/// `ReLU6(x + 3)`.
fn hard_gate<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    activate::<B>(B::float_add_scalar(x, 3f32.into()), Activation::Relu6)
}

/// `x · ReLU6(x + 3) / 6`.
pub(crate) fn hard_swish<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let gate = hard_gate::<B>(x.clone());
    B::float_mul_scalar(B::float_mul(x, gate), (1f32 / 6.0).into())
}

/// Gradient of [`hard_swish`]: the slope is the gate's sixth, and that of `x` where the gate moves.
pub(crate) fn hard_swish_backward<B: Backend>(x: FloatTensor<B>, gradient: FloatTensor<B>) -> FloatTensor<B> {
    let gate = hard_gate::<B>(x.clone());
    let moving = mask_gradient::<B>(gate.clone(), Activation::Relu6, x);
    B::float_mul_scalar(B::float_mul(gradient, B::float_add(gate, moving)), (1f32 / 6.0).into())
}

/// `[channels]` as `[1, channels, 1, 1]`.
fn to_planes<B: Backend>(parameter: FloatTensor<B>) -> FloatTensor<B> {
    let channels = parameter.shape()[0];
    B::float_reshape(parameter, Shape::new([1, channels, 1, 1]))
}

/// Adds one value to each channel.
pub(crate) fn add_to_channels<B: Backend>(x: FloatTensor<B>, values: FloatTensor<B>) -> FloatTensor<B> {
    B::float_add(x, to_planes::<B>(values))
}

/// The sum over batch, height and width.
fn sum_to_channels<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let channels = x.shape()[1];
    B::float_reshape(B::float_sum_dims(x, &[0, 2, 3]), Shape::new([channels]))
}

/// The input with its padding of `value`, where there is any.
fn pool_input<B: Backend>(x: FloatTensor<B>, geometry: &ConvGeometry, value: f32) -> FloatTensor<B> {
    let Padding { top, bottom, left, right } = geometry.padding;
    if geometry.padding == Padding::valid() {
        return x;
    }
    B::float_pad(x, &[(0, 0), (0, 0), (top, bottom), (left, right)], PadMode::Constant(value))
}

/// The largest value under the kernel; padding never wins.
pub(crate) fn max_pool<B: Backend>(x: FloatTensor<B>, geometry: ConvGeometry) -> FloatTensor<B> {
    let x = pool_input::<B>(x, &geometry, f32::NEG_INFINITY);
    B::max_pool2d(x, geometry.kernel, geometry.stride, [0, 0], [1, 1], false)
}

/// Gradient of [`max_pool`].
pub(crate) fn max_pool_backward<B: Backend>(
    x: FloatTensor<B>,
    gradient: FloatTensor<B>,
    geometry: ConvGeometry,
) -> FloatTensor<B> {
    let x = pool_input::<B>(x, &geometry, f32::NEG_INFINITY);
    let (kernel, stride) = (geometry.kernel, geometry.stride);
    let ints = get_or_init_device_settings::<B>(&x.device()).int_dtype;
    let indices = B::max_pool2d_with_indices(x.clone(), kernel, stride, [0, 0], [1, 1], false, ints).indices;
    let found = B::max_pool2d_with_indices_backward(x, kernel, stride, [0, 0], [1, 1], false, gradient, indices).x_grad;
    if geometry.padding == Padding::valid() { found } else { without_padding::<B>(found, &geometry) }
}

/// What turns a mean over the whole kernel into one over those of its places that lie on the input:
/// `[1, 1, height, width]` of the output.
fn kernel_shares<B: Backend>(like: &FloatTensor<B>, geometry: &ConvGeometry) -> FloatTensor<B> {
    let [height, width] = geometry.output;
    let size = (geometry.kernel[0] * geometry.kernel[1]) as f32;
    let counts: Vec<f32> = (0..height)
        .flat_map(|row| (0..width).map(move |column| (row, column)))
        .map(|(row, column)| size / (geometry.covered(0, row).len() * geometry.covered(1, column).len()) as f32)
        .collect();
    let data = TensorData::new(counts, [1, 1, height, width]).convert_dtype(like.dtype());
    B::float_from_data(data, &like.device())
}

/// The mean of what the kernel covers of the input; padding does not count.
pub(crate) fn avg_pool<B: Backend>(x: FloatTensor<B>, geometry: ConvGeometry) -> FloatTensor<B> {
    let x = pool_input::<B>(x, &geometry, 0.0);
    let shares = kernel_shares::<B>(&x, &geometry);
    B::float_mul(B::avg_pool2d(x, geometry.kernel, geometry.stride, [0, 0], true, false), shares)
}

/// Gradient of [`avg_pool`].
pub(crate) fn avg_pool_backward<B: Backend>(
    x: FloatTensor<B>,
    gradient: FloatTensor<B>,
    geometry: ConvGeometry,
) -> FloatTensor<B> {
    let x = pool_input::<B>(x, &geometry, 0.0);
    let gradient = B::float_mul(gradient, kernel_shares::<B>(&x, &geometry));
    let found = B::avg_pool2d_backward(x, gradient, geometry.kernel, geometry.stride, [0, 0], true, false);
    if geometry.padding == Padding::valid() { found } else { without_padding::<B>(found, &geometry) }
}

/// For one of the four neighbours of each pixel of the crops: its place in `[batch · height · width]`, and its weight.
fn neighbours<B: Backend>(like: &FloatTensor<B>, crops: &Crops, corner: usize) -> (IntTensor<B>, FloatTensor<B>) {
    let [_, _, height, width] = like.shape().dims();
    let (mut places, mut weights) = (Vec::new(), Vec::new());
    for (bounds, &image) in crops.boxes.iter().zip(&crops.images) {
        let columns = Crops::samples(bounds[1], bounds[3], width, crops.size[1]);
        for row in Crops::samples(bounds[0], bounds[2], height, crops.size[0]) {
            for column in &columns {
                let (y, of_y) = row.neighbour(corner / 2);
                let (x, of_x) = column.neighbour(corner % 2);
                places.push(((image * height + y) * width + x) as i64);
                weights.push(of_y * of_x);
            }
        }
    }
    let (count, device) = (places.len(), like.device());
    let ints = get_or_init_device_settings::<B>(&device).int_dtype;
    let places = TensorData::new(places, [count]).convert_dtype(ints.into());
    let weights = TensorData::new(weights, [count, 1]).convert_dtype(like.dtype());
    (B::int_from_data(places, &device), B::float_from_data(weights, &device))
}

/// Boxes cut out of the images and resized.
pub(crate) fn crop_and_resize<B: Backend>(x: FloatTensor<B>, crops: &Crops) -> FloatTensor<B> {
    let [batch, channels, height, width] = x.shape().dims();
    let [rows, columns] = crops.size;
    let count = crops.boxes.len();
    let pixels =
        B::float_reshape(B::float_permute(x.clone(), &[0, 2, 3, 1]), Shape::new([batch * height * width, channels]));
    let corner = |corner: usize| {
        let (places, weights) = neighbours::<B>(&x, crops, corner);
        B::float_mul(B::float_select(pixels.clone(), 0, places), weights)
    };
    let sum = (1..4).fold(corner(0), |sum, next| B::float_add(sum, corner(next)));
    let sum = B::float_reshape(sum, Shape::new([count, rows, columns, channels]));
    B::float_permute(sum, &[0, 3, 1, 2])
}

/// Gradient of [`crop_and_resize`].
pub(crate) fn crop_and_resize_backward<B: Backend>(
    x: FloatTensor<B>,
    gradient: FloatTensor<B>,
    crops: &Crops,
) -> FloatTensor<B> {
    let [batch, channels, height, width] = x.shape().dims();
    let places = crops.boxes.len() * crops.size[0] * crops.size[1];
    let gradient = B::float_reshape(B::float_permute(gradient, &[0, 2, 3, 1]), Shape::new([places, channels]));
    let zeros = B::float_zeros(Shape::new([batch * height * width, channels]), &x.device(), x.dtype().into());
    let sum = (0..4).fold(zeros, |sum, corner| {
        let (places, weights) = neighbours::<B>(&x, crops, corner);
        let value = B::float_mul(gradient.clone(), weights);
        B::float_select_assign(sum, 0, places, value, IndexingUpdateOp::Add)
    });
    let sum = B::float_reshape(sum, Shape::new([batch, height, width, channels]));
    B::float_permute(sum, &[0, 3, 1, 2])
}

/// The gradient with the penalty's slope, times the factor.
fn whole_gradient<B: Backend>(value: FloatTensor<B>, gradient: FloatTensor<B>, how: Update) -> FloatTensor<B> {
    let mut gradient = gradient;
    if how.l2 != 0.0 {
        gradient = B::float_add(gradient, B::float_mul_scalar(value.clone(), how.l2.into()));
    }
    if how.l1 != 0.0 {
        gradient = B::float_add(gradient, B::float_mul_scalar(B::float_sign(value), how.l1.into()));
    }
    if how.factor == 1.0 { gradient } else { B::float_mul_scalar(gradient, how.factor.into()) }
}

/// `average · keep + value · (1 − keep)`.
fn mixed<B: Backend>(average: FloatTensor<B>, value: FloatTensor<B>, keep: f32) -> FloatTensor<B> {
    B::float_add(B::float_mul_scalar(average, keep.into()), B::float_mul_scalar(value, (1.0 - keep).into()))
}

/// Momentum.
pub(crate) fn update_one<B: Backend>(
    value: FloatTensor<B>,
    gradient: FloatTensor<B>,
    slot: FloatTensor<B>,
    how: Update,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let UpdateRule::Momentum { momentum } = how.rule else {
        unreachable!("a rule with one slot, not {:?}", how.rule);
    };
    let gradient = whole_gradient::<B>(value.clone(), gradient, how);
    let slot = B::float_add(B::float_mul_scalar(slot, momentum.into()), gradient);
    (B::float_sub(value, B::float_mul_scalar(slot.clone(), how.rate.into())), slot)
}

/// RMSProp and Adam.
pub(crate) fn update_two<B: Backend>(
    value: FloatTensor<B>,
    gradient: FloatTensor<B>,
    first: FloatTensor<B>,
    second: FloatTensor<B>,
    how: Update,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let gradient = whole_gradient::<B>(value.clone(), gradient, how);
    let squares = B::float_mul(gradient.clone(), gradient.clone());
    match how.rule {
        UpdateRule::RmsProp { decay, momentum, epsilon } => {
            let first = mixed::<B>(first, squares, decay);
            let root = B::float_sqrt(B::float_add_scalar(first.clone(), epsilon.into()));
            let step = B::float_div(B::float_mul_scalar(gradient, how.rate.into()), root);
            let second = B::float_add(B::float_mul_scalar(second, momentum.into()), step);
            (B::float_sub(value, second.clone()), first, second)
        }
        UpdateRule::Adam { epsilon } => {
            let first = mixed::<B>(first, gradient, ADAM_FIRST);
            let second = mixed::<B>(second, squares, ADAM_SECOND);
            let root = B::float_add_scalar(B::float_sqrt(second.clone()), epsilon.into());
            let step = B::float_div(B::float_mul_scalar(first.clone(), how.rate.into()), root);
            (B::float_sub(value, step), first, second)
        }
        UpdateRule::Momentum { .. } => unreachable!("a rule with two slots"),
    }
}

/// The sum of the squares of the gradient as the rules take it.
pub(crate) fn gradient_squares<B: Backend>(
    value: FloatTensor<B>,
    gradient: FloatTensor<B>,
    how: Update,
) -> FloatTensor<B> {
    let gradient = whole_gradient::<B>(value, gradient, how);
    B::float_sum(B::float_mul(gradient.clone(), gradient))
}

/// The penalty on a variable.
pub(crate) fn penalty<B: Backend>(value: FloatTensor<B>, l1: f32, l2: f32) -> FloatTensor<B> {
    let squares = B::float_sum(B::float_mul(value.clone(), value.clone()));
    let magnitudes = B::float_sum(B::float_abs(value));
    B::float_add(B::float_mul_scalar(squares, (0.5 * l2).into()), B::float_mul_scalar(magnitudes, l1.into()))
}

/// An average, moved towards a value.
pub(crate) fn moving_average<B: Backend>(average: FloatTensor<B>, value: FloatTensor<B>, decay: f32) -> FloatTensor<B> {
    let away = B::float_sub(average.clone(), value);
    B::float_sub(average, B::float_mul_scalar(away, (1.0 - decay).into()))
}
