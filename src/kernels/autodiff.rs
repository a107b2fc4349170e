//! One backward node for each operator.
//!
//! A node keeps the operator's inputs through burn's checkpointer, and asks the device below the tape for
//! exactly those gradients that somebody waits for: the first convolution never computes that of the picture.

use crate::activation::Activation;
use crate::backend::{BlockState, ChannelGradients, ConvGradients, KernelBackend, KernelGradients, NormState, Wanted};
use crate::crops::Crops;
use crate::depthwise_block::BlockPlan;
use crate::geometry::ConvGeometry;
use burn::backend::Autodiff;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use std::sync::Arc;

/// Backward of the dense convolution; `N` is 3 with a bias and 2 without.
#[derive(Debug)]
struct DenseConv;

/// Backward of the depthwise convolution.
#[derive(Debug)]
struct DepthwiseConv;

/// Backward of batch normalization with its activation.
#[derive(Debug)]
struct NormActivation;

/// Backward of a depthwise convolution between two batch normalizations.
#[derive(Debug)]
struct DepthwiseBlock;

/// Backward of the affine map with its activation.
#[derive(Debug)]
struct Affine;

/// Backward of an activation.
#[derive(Debug)]
struct Activate;

/// Backward of the hard swish.
#[derive(Debug)]
struct HardSwish;

/// Backward of max pooling.
#[derive(Debug)]
struct MaxPool;

/// Backward of average pooling.
#[derive(Debug)]
struct AvgPool;

/// Backward of cutting boxes out; nothing goes to the boxes.
#[derive(Debug)]
struct CropAndResize;

impl<B: KernelGradients, const N: usize> Backward<B, N> for DenseConv {
    type State = (NodeId, NodeId, ConvGeometry);

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let (x, weight, geometry) = ops.state;
        let x = checkpointer.retrieve_node_output::<FloatTensor<B>>(x);
        let weight = checkpointer.retrieve_node_output::<FloatTensor<B>>(weight);
        let wanted = Wanted {
            x: ops.parents[0].is_some(),
            parameters: ops.parents[1].is_some(),
            bias: ops.parents.get(2).is_some_and(|parent| parent.is_some()),
        };
        let found = B::dense_conv_backward(x, weight, gradient, geometry, wanted);
        for (parent, gradient) in ops.parents.iter().zip([found.x, found.weight, found.bias]) {
            if let (Some(node), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: KernelGradients> Backward<B, 2> for DepthwiseConv {
    type State = (NodeId, NodeId, ConvGeometry);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let (x, weight, geometry) = ops.state;
        let x = checkpointer.retrieve_node_output::<FloatTensor<B>>(x);
        let weight = checkpointer.retrieve_node_output::<FloatTensor<B>>(weight);
        let wanted = Wanted { x: ops.parents[0].is_some(), parameters: ops.parents[1].is_some(), bias: false };
        let ConvGradients { x: of_x, weight: of_weight, .. } =
            B::depthwise_conv_backward(x, weight, gradient, geometry, wanted);
        for (parent, gradient) in ops.parents.iter().zip([of_x, of_weight]) {
            if let (Some(node), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: KernelGradients> Backward<B, 3> for NormActivation {
    /// `x`, gamma and beta through the checkpointer; mean and variance as the forward pass found them.
    type State = ([NodeId; 3], FloatTensor<B>, FloatTensor<B>, f32, Activation);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let (inputs, mean, variance, epsilon, activation) = ops.state;
        let [x, gamma, beta] = inputs.map(|id| checkpointer.retrieve_node_output::<FloatTensor<B>>(id));
        let ChannelGradients { x, scale, shift } =
            B::norm_activation_backward(NormState { x, gamma, beta, mean, variance, epsilon, activation }, gradient);
        for (parent, gradient) in ops.parents.iter().zip([Some(x), scale, shift]) {
            if let (Some(node), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: KernelGradients> Backward<B, 6> for DepthwiseBlock {
    /// The inputs through the checkpointer; the convolution's result and the statistics as the forward pass found them.
    type State = ([NodeId; 6], FloatTensor<B>, [FloatTensor<B>; 4], BlockPlan);

    fn backward(self, ops: Ops<Self::State, 6>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let (inputs, z, [mean, variance, second_mean, second_variance], plan) = ops.state;
        let [x, gamma, beta, weight, second_gamma, second_beta] =
            inputs.map(|id| checkpointer.retrieve_node_output::<FloatTensor<B>>(id));
        let norms = [[gamma, beta, mean, variance], [second_gamma, second_beta, second_mean, second_variance]];
        let found = B::depthwise_block_backward(BlockState { x, weight, z, norms, plan }, gradient);
        let [[gamma, beta], [second_gamma, second_beta]] = found.norms;
        for (parent, gradient) in
            ops.parents.iter().zip([found.x, gamma, beta, found.weight, second_gamma, second_beta])
        {
            if let (Some(node), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: KernelGradients> Backward<B, 3> for Affine {
    type State = ([NodeId; 3], Activation);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let (inputs, activation) = ops.state;
        let [x, scale, shift] = inputs.map(|id| checkpointer.retrieve_node_output::<FloatTensor<B>>(id));
        let wanted = Wanted {
            x: ops.parents[0].is_some(),
            parameters: ops.parents[1].is_some() || ops.parents[2].is_some(),
            bias: false,
        };
        let ChannelGradients { x, scale, shift } = B::affine_backward(x, scale, shift, activation, gradient, wanted);
        for (parent, gradient) in ops.parents.iter().zip([Some(x), scale, shift]) {
            if let (Some(node), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: KernelGradients> Backward<B, 1> for Activate {
    /// The result, which the next operator keeps anyway.
    type State = (FloatTensor<B>, Activation);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let (y, activation) = ops.state;
        if let [Some(node)] = &ops.parents {
            grads.register::<B>(node.id, B::activate_backward(y, activation, gradient));
        }
    }
}

impl<B: KernelGradients> Backward<B, 1> for HardSwish {
    type State = NodeId;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let x = checkpointer.retrieve_node_output::<FloatTensor<B>>(ops.state);
        if let [Some(node)] = &ops.parents {
            grads.register::<B>(node.id, B::hard_swish_backward(x, gradient));
        }
    }
}

impl<B: KernelGradients> Backward<B, 1> for MaxPool {
    type State = (NodeId, ConvGeometry);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let (x, geometry) = ops.state;
        let x = checkpointer.retrieve_node_output::<FloatTensor<B>>(x);
        if let [Some(node)] = &ops.parents {
            grads.register::<B>(node.id, B::max_pool_backward(x, gradient, geometry));
        }
    }
}

impl<B: KernelGradients> Backward<B, 1> for AvgPool {
    type State = (NodeId, ConvGeometry);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let (x, geometry) = ops.state;
        let x = checkpointer.retrieve_node_output::<FloatTensor<B>>(x);
        if let [Some(node)] = &ops.parents {
            grads.register::<B>(node.id, B::avg_pool_backward(x, gradient, geometry));
        }
    }
}

impl<B: KernelGradients> Backward<B, 1> for CropAndResize {
    type State = (NodeId, Arc<Crops>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let (x, crops) = ops.state;
        let x = checkpointer.retrieve_node_output::<FloatTensor<B>>(x);
        if let [Some(node)] = &ops.parents {
            grads.register::<B>(node.id, B::crop_and_resize_backward(x, gradient, crops));
        }
    }
}

impl<B: KernelGradients, C: CheckpointStrategy> KernelBackend for Autodiff<B, C> {
    fn dense_conv(x: FloatTensor<Self>, weight: FloatTensor<Self>, geometry: ConvGeometry) -> FloatTensor<Self> {
        match Backward::<B, 2>::prepare::<C>(DenseConv, [x.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = (prep.checkpoint(&x), prep.checkpoint(&weight), geometry);
                let y = B::dense_conv(x.into_primitive(), weight.into_primitive(), geometry);
                prep.finish(state, y)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(B::dense_conv(x.into_primitive(), weight.into_primitive(), geometry))
            }
        }
    }

    fn dense_conv_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self> {
        match Backward::<B, 3>::prepare::<C>(DenseConv, [x.node(), weight.node(), bias.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(mut prep) => {
                let state = (prep.checkpoint(&x), prep.checkpoint(&weight), geometry);
                let y =
                    B::dense_conv_bias(x.into_primitive(), weight.into_primitive(), bias.into_primitive(), geometry);
                prep.finish(state, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::dense_conv_bias(
                x.into_primitive(),
                weight.into_primitive(),
                bias.into_primitive(),
                geometry,
            )),
        }
    }

    fn depthwise_conv(x: FloatTensor<Self>, weight: FloatTensor<Self>, geometry: ConvGeometry) -> FloatTensor<Self> {
        match Backward::<B, 2>::prepare::<C>(DepthwiseConv, [x.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = (prep.checkpoint(&x), prep.checkpoint(&weight), geometry);
                let y = B::depthwise_conv(x.into_primitive(), weight.into_primitive(), geometry);
                prep.finish(state, y)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(B::depthwise_conv(x.into_primitive(), weight.into_primitive(), geometry))
            }
        }
    }

    fn norm_activation(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [x.node(), gamma.node(), beta.node()];
        let prepared = Backward::<B, 3>::prepare::<C>(NormActivation, nodes).compute_bound().stateful();
        let forward = |x: FloatTensor<Self>, gamma: FloatTensor<Self>, beta: FloatTensor<Self>| {
            B::norm_activation(x.into_primitive(), gamma.into_primitive(), beta.into_primitive(), epsilon, activation)
        };
        let (y, mean, variance) = match prepared {
            OpsKind::Tracked(mut prep) => {
                let inputs = [&x, &gamma, &beta].map(|tensor| prep.checkpoint(tensor));
                let (y, mean, variance) = forward(x, gamma, beta);
                let state = (inputs, mean.clone(), variance.clone(), epsilon, activation);
                (prep.finish(state, y), mean, variance)
            }
            OpsKind::UnTracked(prep) => {
                let (y, mean, variance) = forward(x, gamma, beta);
                (prep.finish(y), mean, variance)
            }
        };
        (y, <FloatTensor<Self>>::new(mean), <FloatTensor<Self>>::new(variance))
    }

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
        let inputs = [x, first_gamma, first_beta, weight, second_gamma, second_beta];
        let nodes = inputs.each_ref().map(|input| input.node());
        let forward = |inputs: [FloatTensor<Self>; 6]| {
            let [x, first_gamma, first_beta, weight, second_gamma, second_beta] =
                inputs.map(|input| input.into_primitive());
            B::depthwise_block(x, first_gamma, first_beta, weight, second_gamma, second_beta, plan)
        };
        let prepared = Backward::<B, 6>::prepare::<C>(DepthwiseBlock, nodes).compute_bound().stateful();
        let (y, z, statistics) = match prepared {
            OpsKind::Tracked(mut prep) => {
                let kept = inputs.each_ref().map(|input| prep.checkpoint(input));
                let (y, z, a, b, c, d) = forward(inputs);
                let statistics = [a, b, c, d];
                (prep.finish((kept, z.clone(), statistics.clone(), plan), y), z, statistics)
            }
            OpsKind::UnTracked(prep) => {
                let (y, z, a, b, c, d) = forward(inputs);
                (prep.finish(y), z, [a, b, c, d])
            }
        };
        let [a, b, c, d] = statistics.map(<FloatTensor<Self>>::new);
        (y, <FloatTensor<Self>>::new(z), a, b, c, d)
    }

    fn affine(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), scale.node(), shift.node()];
        let prepared = Backward::<B, 3>::prepare::<C>(Affine, nodes).compute_bound().stateful();
        let forward = |x: FloatTensor<Self>, scale: FloatTensor<Self>, shift: FloatTensor<Self>| {
            B::affine(x.into_primitive(), scale.into_primitive(), shift.into_primitive(), activation)
        };
        match prepared {
            OpsKind::Tracked(mut prep) => {
                let inputs = [&x, &scale, &shift].map(|tensor| prep.checkpoint(tensor));
                prep.finish((inputs, activation), forward(x, scale, shift))
            }
            OpsKind::UnTracked(prep) => prep.finish(forward(x, scale, shift)),
        }
    }

    fn activate(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        match Backward::<B, 1>::prepare::<C>(Activate, [x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y = B::activate(x.into_primitive(), activation);
                prep.finish((y.clone(), activation), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::activate(x.into_primitive(), activation)),
        }
    }

    fn hard_swish(x: FloatTensor<Self>) -> FloatTensor<Self> {
        match Backward::<B, 1>::prepare::<C>(HardSwish, [x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = prep.checkpoint(&x);
                prep.finish(state, B::hard_swish(x.into_primitive()))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::hard_swish(x.into_primitive())),
        }
    }

    fn max_pool(x: FloatTensor<Self>, geometry: ConvGeometry) -> FloatTensor<Self> {
        match Backward::<B, 1>::prepare::<C>(MaxPool, [x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = (prep.checkpoint(&x), geometry);
                prep.finish(state, B::max_pool(x.into_primitive(), geometry))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::max_pool(x.into_primitive(), geometry)),
        }
    }

    fn avg_pool(x: FloatTensor<Self>, geometry: ConvGeometry) -> FloatTensor<Self> {
        match Backward::<B, 1>::prepare::<C>(AvgPool, [x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = (prep.checkpoint(&x), geometry);
                prep.finish(state, B::avg_pool(x.into_primitive(), geometry))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::avg_pool(x.into_primitive(), geometry)),
        }
    }

    fn crop_and_resize(x: FloatTensor<Self>, crops: Arc<Crops>) -> FloatTensor<Self> {
        match Backward::<B, 1>::prepare::<C>(CropAndResize, [x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = (prep.checkpoint(&x), Arc::clone(&crops));
                prep.finish(state, B::crop_and_resize(x.into_primitive(), crops))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::crop_and_resize(x.into_primitive(), crops)),
        }
    }
}
