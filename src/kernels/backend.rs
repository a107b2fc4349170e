//! The operators as a backend extension: which device runs which code.
//!
//! [`KernelBackend`] is what a tensor's device is dispatched to; [`KernelGradients`] is what the backward nodes
//! of [`crate::autodiff`] call on the device below the gradient tape. Both have composed defaults, which Cube
//! (every GPU) takes as they are; Flex has kernels for f32 and falls back to the defaults for other types.

use crate::activation::Activation;
use crate::composed;
use crate::cpu;
use crate::crops::Crops;
use crate::depthwise_block::BlockPlan;
use crate::folded::FoldedPlan;
use crate::geometry::ConvGeometry;
use crate::update::Update;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Cube, Flex, backend_extension};
use burn::tensor::DType;
use std::sync::Arc;

/// The forward operators.
#[backend_extension(Flex, Cube, Autodiff)]
pub(crate) trait KernelBackend: Backend {
    /// Dense convolution without bias.
    fn dense_conv(x: FloatTensor<Self>, weight: FloatTensor<Self>, geometry: ConvGeometry) -> FloatTensor<Self> {
        composed::conv::<Self>(x, weight, None, geometry, 1)
    }

    /// Dense convolution with bias.
    fn dense_conv_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self> {
        composed::conv::<Self>(x, weight, Some(bias), geometry, 1)
    }

    /// Depthwise convolution.
    fn depthwise_conv(x: FloatTensor<Self>, weight: FloatTensor<Self>, geometry: ConvGeometry) -> FloatTensor<Self> {
        composed::depthwise::<Self>(x, weight, geometry)
    }

    /// Batch normalization by the batch's own statistics with a fused activation: result, mean, biased variance.
    fn norm_activation(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        composed::norm_activation::<Self>(x, gamma, beta, epsilon, activation)
    }

    /// Batch normalization, depthwise convolution, batch normalization: the result, that of the convolution, and mean and
    /// biased variance of the first and of the second normalization.
    #[allow(clippy::type_complexity)]
    fn depthwise_block(
        x: FloatTensor<Self>,
        first_gamma: FloatTensor<Self>,
        first_beta: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        second_gamma: FloatTensor<Self>,
        second_beta: FloatTensor<Self>,
        plan: BlockPlan,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    ) {
        composed::depthwise_block::<Self>(x, [first_gamma, first_beta], weight, [second_gamma, second_beta], plan)
    }

    /// `activation(x · scale + shift)` for each channel.
    fn affine(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        composed::affine::<Self>(x, scale, shift, activation)
    }

    /// The activation alone.
    fn activate(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        composed::activate::<Self>(x, activation)
    }

    /// `x · ReLU6(x + 3) / 6`.
    fn hard_swish(x: FloatTensor<Self>) -> FloatTensor<Self> {
        composed::hard_swish::<Self>(x)
    }

    /// The largest value under the kernel.
    fn max_pool(x: FloatTensor<Self>, geometry: ConvGeometry) -> FloatTensor<Self> {
        composed::max_pool::<Self>(x, geometry)
    }

    /// The mean of what the kernel covers.
    fn avg_pool(x: FloatTensor<Self>, geometry: ConvGeometry) -> FloatTensor<Self> {
        composed::avg_pool::<Self>(x, geometry)
    }

    /// Boxes cut out of the images and resized.
    fn crop_and_resize(x: FloatTensor<Self>, crops: Arc<Crops>) -> FloatTensor<Self> {
        composed::crop_and_resize::<Self>(x, &crops)
    }

    /// A convolution with bias and activation, dense or depthwise.
    fn folded_conv(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        plan: FoldedPlan,
    ) -> FloatTensor<Self> {
        let y = if plan.depthwise {
            composed::add_to_channels::<Self>(Self::depthwise_conv(x, weight, plan.geometry), bias)
        } else {
            Self::dense_conv_bias(x, weight, bias, plan.geometry)
        };
        match plan.activation {
            Activation::None => y,
            activation => Self::activate(y, activation),
        }
    }

    /// A variable after a rule with one slot: the variable, the slot. Never differentiated.
    fn update_one(
        value: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        slot: FloatTensor<Self>,
        how: Update,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        composed::update_one::<Self>(value, gradient, slot, how)
    }

    /// A variable after a rule with two slots: the variable, the slots. Never differentiated.
    fn update_two(
        value: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        how: Update,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        composed::update_two::<Self>(value, gradient, first, second, how)
    }

    /// The sum of the squares of the gradient as the rules take it. Never differentiated.
    fn gradient_squares(value: FloatTensor<Self>, gradient: FloatTensor<Self>, how: Update) -> FloatTensor<Self> {
        composed::gradient_squares::<Self>(value, gradient, how)
    }

    /// The penalty on a variable. Never differentiated: its slope is the update's.
    fn penalty(value: FloatTensor<Self>, l1: f32, l2: f32) -> FloatTensor<Self> {
        composed::penalty::<Self>(value, l1, l2)
    }

    /// An average, moved towards a value.
    fn moving_average(average: FloatTensor<Self>, value: FloatTensor<Self>, decay: f32) -> FloatTensor<Self> {
        composed::moving_average::<Self>(average, value, decay)
    }
}

/// Which gradients of an operator's inputs somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Of the input.
    pub x: bool,
    /// Of the weight, or of scale and shift.
    pub parameters: bool,
    /// Of the bias.
    pub bias: bool,
}

/// The gradients of a convolution; a missing one was not wanted.
pub(crate) struct ConvGradients<B: Backend> {
    pub x: Option<FloatTensor<B>>,
    pub weight: Option<FloatTensor<B>>,
    pub bias: Option<FloatTensor<B>>,
}

/// The gradients of an operator with two parameters for each channel.
pub(crate) struct ChannelGradients<B: Backend> {
    pub x: FloatTensor<B>,
    pub scale: Option<FloatTensor<B>>,
    pub shift: Option<FloatTensor<B>>,
}

/// What [`KernelBackend::norm_activation`] keeps for its backward pass. The normalized values are worked out
/// again from `x`: cheaper than keeping them.
pub(crate) struct NormState<B: Backend> {
    pub x: FloatTensor<B>,
    pub gamma: FloatTensor<B>,
    pub beta: FloatTensor<B>,
    pub mean: FloatTensor<B>,
    pub variance: FloatTensor<B>,
    pub epsilon: f32,
    pub activation: Activation,
}

/// What [`KernelBackend::depthwise_block`] keeps for its backward pass. What goes into the convolution is worked out again.
pub(crate) struct BlockState<B: Backend> {
    pub x: FloatTensor<B>,
    pub weight: FloatTensor<B>,
    /// What came out of the convolution.
    pub z: FloatTensor<B>,
    /// Gamma, beta, mean and variance of the first and of the second normalization.
    pub norms: [[FloatTensor<B>; 4]; 2],
    pub plan: BlockPlan,
}

/// The gradients of [`KernelBackend::depthwise_block`].
pub(crate) struct BlockGradients<B: Backend> {
    pub x: Option<FloatTensor<B>>,
    pub weight: Option<FloatTensor<B>>,
    /// Gamma and beta of the first and of the second normalization.
    pub norms: [[Option<FloatTensor<B>>; 2]; 2],
}

/// The backward operators; `gradient` is always that of the operator's result.
pub(crate) trait KernelGradients: KernelBackend {
    /// Of [`KernelBackend::dense_conv`] and [`KernelBackend::dense_conv_bias`].
    fn dense_conv_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        geometry: ConvGeometry,
        wanted: Wanted,
    ) -> ConvGradients<Self> {
        composed::conv_backward::<Self>(x, weight, gradient, geometry, 1, wanted)
    }

    /// Of [`KernelBackend::depthwise_conv`].
    fn depthwise_conv_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        geometry: ConvGeometry,
        wanted: Wanted,
    ) -> ConvGradients<Self> {
        composed::depthwise_backward::<Self>(x, weight, gradient, geometry, wanted)
    }

    /// Of [`KernelBackend::norm_activation`].
    fn norm_activation_backward(state: NormState<Self>, gradient: FloatTensor<Self>) -> ChannelGradients<Self> {
        composed::norm_activation_backward::<Self>(state, gradient)
    }

    /// Of [`KernelBackend::depthwise_block`], all of them.
    fn depthwise_block_backward(state: BlockState<Self>, gradient: FloatTensor<Self>) -> BlockGradients<Self> {
        composed::depthwise_block_backward::<Self>(state, gradient)
    }

    /// Of [`KernelBackend::affine`].
    fn affine_backward(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        activation: Activation,
        gradient: FloatTensor<Self>,
        wanted: Wanted,
    ) -> ChannelGradients<Self> {
        composed::affine_backward::<Self>(x, scale, shift, activation, gradient, wanted)
    }

    /// Of [`KernelBackend::activate`], from its result.
    fn activate_backward(
        y: FloatTensor<Self>,
        activation: Activation,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        composed::mask_gradient::<Self>(y, activation, gradient)
    }

    /// Of [`KernelBackend::hard_swish`], from its input.
    fn hard_swish_backward(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        composed::hard_swish_backward::<Self>(x, gradient)
    }

    /// Of [`KernelBackend::max_pool`].
    fn max_pool_backward(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self> {
        composed::max_pool_backward::<Self>(x, gradient, geometry)
    }

    /// Of [`KernelBackend::avg_pool`].
    fn avg_pool_backward(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self> {
        composed::avg_pool_backward::<Self>(x, gradient, geometry)
    }

    /// Of [`KernelBackend::crop_and_resize`].
    fn crop_and_resize_backward(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        crops: Arc<Crops>,
    ) -> FloatTensor<Self> {
        composed::crop_and_resize_backward::<Self>(x, gradient, &crops)
    }
}

impl KernelBackend for Cube {}
impl KernelGradients for Cube {}

/// Whether the kernels know the element type of all these tensors.
fn is_f32(tensors: &[&FlexTensor]) -> bool {
    tensors.iter().all(|tensor| tensor.dtype() == DType::F32)
}

impl KernelBackend for Flex {
    fn dense_conv(x: FlexTensor, weight: FlexTensor, geometry: ConvGeometry) -> FlexTensor {
        if !is_f32(&[&x, &weight]) {
            return composed::conv::<Self>(x, weight, None, geometry, 1);
        }
        cpu::dense_conv(x, weight, None, &geometry)
    }

    fn dense_conv_bias(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, geometry: ConvGeometry) -> FlexTensor {
        if !is_f32(&[&x, &weight, &bias]) {
            return composed::conv::<Self>(x, weight, Some(bias), geometry, 1);
        }
        cpu::dense_conv(x, weight, Some(bias), &geometry)
    }

    fn depthwise_conv(x: FlexTensor, weight: FlexTensor, geometry: ConvGeometry) -> FlexTensor {
        if !is_f32(&[&x, &weight]) {
            return composed::depthwise::<Self>(x, weight, geometry);
        }
        cpu::depthwise_conv(x, weight, &geometry)
    }

    fn norm_activation(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        epsilon: f32,
        activation: Activation,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        if !is_f32(&[&x, &gamma, &beta]) {
            return composed::norm_activation::<Self>(x, gamma, beta, epsilon, activation);
        }
        cpu::norm_activation(x, gamma, beta, epsilon, activation)
    }

    fn depthwise_block(
        x: FlexTensor,
        first_gamma: FlexTensor,
        first_beta: FlexTensor,
        weight: FlexTensor,
        second_gamma: FlexTensor,
        second_beta: FlexTensor,
        plan: BlockPlan,
    ) -> (FlexTensor, FlexTensor, FlexTensor, FlexTensor, FlexTensor, FlexTensor) {
        let (first, second) = ([first_gamma, first_beta], [second_gamma, second_beta]);
        if !is_f32(&[&x, &weight, &first[0], &first[1], &second[0], &second[1]]) {
            return composed::depthwise_block::<Self>(x, first, weight, second, plan);
        }
        cpu::depthwise_block(x, first, weight, second, &plan)
    }

    fn affine(x: FlexTensor, scale: FlexTensor, shift: FlexTensor, activation: Activation) -> FlexTensor {
        if !is_f32(&[&x, &scale, &shift]) {
            return composed::affine::<Self>(x, scale, shift, activation);
        }
        cpu::affine(x, scale, shift, activation)
    }

    fn activate(x: FlexTensor, activation: Activation) -> FlexTensor {
        if !is_f32(&[&x]) {
            return composed::activate::<Self>(x, activation);
        }
        cpu::activate(x, activation)
    }

    fn hard_swish(x: FlexTensor) -> FlexTensor {
        if !is_f32(&[&x]) {
            return composed::hard_swish::<Self>(x);
        }
        cpu::hard_swish(x)
    }

    fn max_pool(x: FlexTensor, geometry: ConvGeometry) -> FlexTensor {
        if !is_f32(&[&x]) {
            return composed::max_pool::<Self>(x, geometry);
        }
        cpu::max_pool(x, &geometry)
    }

    fn avg_pool(x: FlexTensor, geometry: ConvGeometry) -> FlexTensor {
        if !is_f32(&[&x]) {
            return composed::avg_pool::<Self>(x, geometry);
        }
        cpu::avg_pool(x, &geometry)
    }

    fn crop_and_resize(x: FlexTensor, crops: Arc<Crops>) -> FlexTensor {
        if !is_f32(&[&x]) {
            return composed::crop_and_resize::<Self>(x, &crops);
        }
        cpu::crop_and_resize(x, &crops)
    }

    fn folded_conv(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, plan: FoldedPlan) -> FlexTensor {
        assert!(is_f32(&[&x, &weight, &bias]), "a folded convolution is in f32 on the CPU");
        cpu::folded_conv(x, weight, bias, &plan)
    }

    fn update_one(value: FlexTensor, gradient: FlexTensor, slot: FlexTensor, how: Update) -> (FlexTensor, FlexTensor) {
        if !is_f32(&[&value, &gradient, &slot]) {
            return composed::update_one::<Self>(value, gradient, slot, how);
        }
        cpu::update_one(value, gradient, slot, how)
    }

    fn update_two(
        value: FlexTensor,
        gradient: FlexTensor,
        first: FlexTensor,
        second: FlexTensor,
        how: Update,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        if !is_f32(&[&value, &gradient, &first, &second]) {
            return composed::update_two::<Self>(value, gradient, first, second, how);
        }
        cpu::update_two(value, gradient, first, second, how)
    }

    fn gradient_squares(value: FlexTensor, gradient: FlexTensor, how: Update) -> FlexTensor {
        if !is_f32(&[&value, &gradient]) {
            return composed::gradient_squares::<Self>(value, gradient, how);
        }
        cpu::gradient_squares(value, gradient, how)
    }

    fn penalty(value: FlexTensor, l1: f32, l2: f32) -> FlexTensor {
        if !is_f32(&[&value]) {
            return composed::penalty::<Self>(value, l1, l2);
        }
        cpu::penalty(value, l1, l2)
    }

    fn moving_average(average: FlexTensor, value: FlexTensor, decay: f32) -> FlexTensor {
        if !is_f32(&[&average, &value]) {
            return composed::moving_average::<Self>(average, value, decay);
        }
        cpu::moving_average(average, value, decay)
    }
}

impl KernelGradients for Flex {
    fn dense_conv_backward(
        x: FlexTensor,
        weight: FlexTensor,
        gradient: FlexTensor,
        geometry: ConvGeometry,
        wanted: Wanted,
    ) -> ConvGradients<Self> {
        if !is_f32(&[&x, &weight, &gradient]) {
            return composed::conv_backward::<Self>(x, weight, gradient, geometry, 1, wanted);
        }
        cpu::dense_conv_backward(x, weight, gradient, &geometry, wanted)
    }

    fn depthwise_conv_backward(
        x: FlexTensor,
        weight: FlexTensor,
        gradient: FlexTensor,
        geometry: ConvGeometry,
        wanted: Wanted,
    ) -> ConvGradients<Self> {
        if !is_f32(&[&x, &weight, &gradient]) {
            return composed::depthwise_backward::<Self>(x, weight, gradient, geometry, wanted);
        }
        cpu::depthwise_conv_backward(x, weight, gradient, &geometry, wanted)
    }

    fn norm_activation_backward(state: NormState<Self>, gradient: FlexTensor) -> ChannelGradients<Self> {
        if !is_f32(&[&state.x, &state.gamma, &state.beta, &gradient]) {
            return composed::norm_activation_backward::<Self>(state, gradient);
        }
        cpu::norm_activation_backward(state, gradient)
    }

    fn depthwise_block_backward(state: BlockState<Self>, gradient: FlexTensor) -> BlockGradients<Self> {
        if !is_f32(&[&state.x, &state.weight, &state.z, &gradient]) {
            return composed::depthwise_block_backward::<Self>(state, gradient);
        }
        cpu::depthwise_block_backward(state, gradient)
    }

    fn affine_backward(
        x: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        activation: Activation,
        gradient: FlexTensor,
        wanted: Wanted,
    ) -> ChannelGradients<Self> {
        if !is_f32(&[&x, &scale, &shift, &gradient]) {
            return composed::affine_backward::<Self>(x, scale, shift, activation, gradient, wanted);
        }
        cpu::affine_backward(x, scale, shift, activation, gradient, wanted)
    }

    fn activate_backward(y: FlexTensor, activation: Activation, gradient: FlexTensor) -> FlexTensor {
        if !is_f32(&[&y, &gradient]) {
            return composed::mask_gradient::<Self>(y, activation, gradient);
        }
        cpu::activate_backward(y, activation, gradient)
    }

    fn hard_swish_backward(x: FlexTensor, gradient: FlexTensor) -> FlexTensor {
        if !is_f32(&[&x, &gradient]) {
            return composed::hard_swish_backward::<Self>(x, gradient);
        }
        cpu::hard_swish_backward(x, gradient)
    }

    fn max_pool_backward(x: FlexTensor, gradient: FlexTensor, geometry: ConvGeometry) -> FlexTensor {
        if !is_f32(&[&x, &gradient]) {
            return composed::max_pool_backward::<Self>(x, gradient, geometry);
        }
        cpu::max_pool_backward(x, gradient, &geometry)
    }

    fn avg_pool_backward(x: FlexTensor, gradient: FlexTensor, geometry: ConvGeometry) -> FlexTensor {
        if !is_f32(&[&x, &gradient]) {
            return composed::avg_pool_backward::<Self>(x, gradient, geometry);
        }
        cpu::avg_pool_backward(x, gradient, &geometry)
    }

    fn crop_and_resize_backward(x: FlexTensor, gradient: FlexTensor, crops: Arc<Crops>) -> FlexTensor {
        if !is_f32(&[&x, &gradient]) {
            return composed::crop_and_resize_backward::<Self>(x, gradient, &crops);
        }
        cpu::crop_and_resize_backward(x, gradient, &crops)
    }
}
