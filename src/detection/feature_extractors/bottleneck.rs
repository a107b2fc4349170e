//! What MobileNet v3 and MobileDet are made of: bottlenecks with a hard swish and a squeeze-and-excite block in them.
//!
//! A [`Bottleneck`] goes through its inner convolutions, weighs their channels where it has a [`SqueezeExcite`], and
//! projects to its depth without an activation. The hard swish is no activation of the kernels, which all clamp to an
//! interval, but an operator of its own; [`ActivatedConv`] puts it behind a convolution that has none.

use boxwright_kernels::{Activation, activation, affine_activation, hard_swish};
use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;

use crate::layers::{ConvLayer, Hyperparams, LayerBuilder, Pass};

/// What follows a convolution of a bottleneck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nonlinearity {
    /// One that the kernels have.
    Clamp(Activation),
    /// [`hard_swish`].
    HardSwish,
}

impl Nonlinearity {
    pub(super) const RELU: Self = Self::Clamp(Activation::Relu);
    pub(super) const RELU6: Self = Self::Clamp(Activation::Relu6);

    /// What the convolution's own activation is then.
    fn within(self, hyperparams: &Hyperparams) -> Hyperparams {
        let activation = match self {
            Self::Clamp(activation) => activation,
            Self::HardSwish => Activation::None,
        };
        Hyperparams { activation, ..*hyperparams }
    }
}

/// A convolution with its normalization and whichever nonlinearity.
#[derive(Module, Debug)]
pub(super) struct ActivatedConv {
    layer: ConvLayer,
    hard_swish: bool,
}

impl ActivatedConv {
    /// `slim.conv2d`; what the hyperparameters say of the activation does not count.
    pub(super) fn conv2d(
        builder: &LayerBuilder,
        scope: &str,
        channels: [usize; 2],
        [kernel, stride]: [usize; 2],
        hyperparams: &Hyperparams,
        nonlinearity: Nonlinearity,
    ) -> Self {
        let layer = builder.conv2d(scope, channels, kernel, stride, &nonlinearity.within(hyperparams));
        Self { layer, hard_swish: nonlinearity == Nonlinearity::HardSwish }
    }

    /// The depthwise half of `slim.separable_conv2d`.
    pub(super) fn depthwise_conv2d(
        builder: &LayerBuilder,
        scope: &str,
        channels: usize,
        [kernel, stride]: [usize; 2],
        hyperparams: &Hyperparams,
        nonlinearity: Nonlinearity,
    ) -> Self {
        let layer = builder.depthwise_conv2d(scope, channels, kernel, stride, &nonlinearity.within(hyperparams));
        Self { layer, hard_swish: nonlinearity == Nonlinearity::HardSwish }
    }

    pub(super) fn forward(&self, x: Tensor<4>, pass: &mut Pass<'_>) -> Tensor<4> {
        let y = self.layer.forward(x, pass);
        if self.hard_swish { hard_swish(y) } else { y }
    }

    pub(super) fn layer(&self) -> &ConvLayer {
        &self.layer
    }
}

/// How the channels' weights are made of what is excited: between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// `ReLU6(x + 3)` by about six: slim multiplies by 0.16667.
    HardSigmoid,
    /// The logistic function.
    Sigmoid,
}

impl Gate {
    fn of(self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::HardSigmoid => activation(x + 3.0f32, Activation::Relu6) * 0.16667f32,
            Self::Sigmoid => sigmoid(x),
        }
    }
}

/// Weighs the channels of a map by what all of its places have in common (slim's `squeeze_excite`): the mean of each
/// channel, squeezed through few channels and excited to all of them again, becomes a factor on it.
#[derive(Module, Debug)]
pub(super) struct SqueezeExcite {
    squeeze: ActivatedConv,
    excite: ConvLayer,
    #[module(skip)]
    gate: Gate,
}

impl SqueezeExcite {
    /// The block of a map of so many channels, which are squeezed into so many. Both convolutions have biases in the
    /// place of normalization.
    pub(super) fn new(
        builder: &LayerBuilder,
        scope: &str,
        [channels, squeezed]: [usize; 2],
        hyperparams: &Hyperparams,
        inner: Nonlinearity,
        gate: Gate,
    ) -> Self {
        let plain = hyperparams.linear();
        let squeeze =
            ActivatedConv::conv2d(builder, &format!("{scope}/Conv"), [channels, squeezed], [1, 1], &plain, inner);
        let excite = builder.conv2d(&format!("{scope}/Conv_1"), [squeezed, channels], 1, 1, &plain);
        Self { squeeze, excite, gate }
    }

    /// # Shapes
    /// `[batch, channels, height, width]` to the same.
    pub(super) fn forward(&self, x: Tensor<4>, pass: &mut Pass<'_>) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let means = x.clone().reshape([batch, channels, height * width]).mean_dim(2);
        let squeezed = self.squeeze.forward(means.reshape([batch, channels, 1, 1]), pass);
        let factors = self.gate.of(self.excite.forward(squeezed, pass));
        // Each channel of each picture is a channel of its own to the affine map.
        let scale = factors.reshape([batch * channels]);
        let shift = scale.zeros_like();
        let flat = x.reshape([1, batch * channels, height, width]);
        affine_activation(flat, scale, shift, Activation::None).reshape([batch, channels, height, width])
    }

    fn layers(&self) -> impl Iterator<Item = &ConvLayer> {
        [self.squeeze.layer(), &self.excite].into_iter()
    }
}

/// Convolutions, weights for their channels, and a projection.
#[derive(Module, Debug)]
pub(super) struct Bottleneck {
    pub(super) inner: Vec<ActivatedConv>,
    pub(super) squeeze_excite: Option<SqueezeExcite>,
    /// 1×1, without an activation.
    pub(super) project: ConvLayer,
    /// Whether the input is added to the result.
    pub(super) residual: bool,
}

impl Bottleneck {
    /// The result, and what the first of the inner convolutions gives.
    pub(super) fn forward(&self, x: Tensor<4>, pass: &mut Pass<'_>) -> (Tensor<4>, Tensor<4>) {
        let (mut first, mut y) = (None, x.clone());
        for conv in &self.inner {
            y = conv.forward(y, pass);
            first.get_or_insert_with(|| y.clone());
        }
        if let Some(squeeze_excite) = &self.squeeze_excite {
            y = squeeze_excite.forward(y, pass);
        }
        let y = self.project.forward(y, pass);
        let first = first.unwrap_or_else(|| x.clone());
        (if self.residual { y + x } else { y }, first)
    }

    /// Rows and columns of the result.
    pub(super) fn output_size(&self, input: [usize; 2]) -> [usize; 2] {
        self.inner.iter().fold(input, |size, conv| conv.layer().output_size(size))
    }

    /// Channels that come out.
    pub(super) fn out_channels(&self) -> usize {
        self.project.out_channels()
    }

    pub(super) fn layers(&self) -> impl Iterator<Item = &ConvLayer> {
        let inner = self.inner.iter().map(ActivatedConv::layer);
        inner.chain(self.squeeze_excite.iter().flat_map(SqueezeExcite::layers)).chain([&self.project])
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::initializers::Initializer;
    use crate::layers::{Mode, PaddingRule};
    use crate::regularizers::Regularizer;

    fn values(tensor: Tensor<4>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    fn map(values: &[f32], shape: [usize; 4], device: &Device) -> Tensor<4> {
        Tensor::<1>::from_floats(values, device).reshape(shape)
    }

    fn assert_near(found: &[f32], wanted: &[f32], tolerance: f32) {
        assert_eq!(found.len(), wanted.len());
        for (found, wanted) in found.iter().zip(wanted) {
            assert!((found - wanted).abs() <= tolerance, "{found} instead of {wanted}");
        }
    }

    #[test]
    fn the_hard_swish_by_hand() {
        let x = [-5.0, -3.0, -1.5, 0.0, 1.0, 3.0, 7.0];
        let found = values(hard_swish(map(&x, [1, 1, 1, 7], &Device::flex())));
        // −1.5 · 1.5 / 6, 1 · 4 / 6; the identity from 3 on.
        assert_near(&found, &[0.0, 0.0, -0.375, 0.0, 2.0 / 3.0, 3.0, 7.0], 1e-6);
    }

    #[test]
    fn the_gradient_of_the_hard_swish_is_its_slope() {
        let device = Device::flex().autodiff();
        let points = [-4.0, -2.5, -1.5, -0.3, 0.0, 0.7, 2.9, 3.5];
        let x = map(&points, [1, 2, 2, 2], &device).require_grad();
        let weights = map(&[1.0, -2.0, 0.5, 3.0, 1.0, 1.0, -1.0, 2.0], [1, 2, 2, 2], &device);
        let gradients = (hard_swish(x.clone()) * weights.clone()).sum().backward();
        let found: Vec<f32> = x.grad(&gradients).expect("a gradient").into_data().iter::<f32>().collect();
        let at = |offset: f32| values(hard_swish(map(&points.map(|x| x + offset), [1, 2, 2, 2], &Device::flex())));
        let (above, below) = (at(1e-2), at(-1e-2));
        // A parabola's slope is exact by central differences.
        let slopes: Vec<f32> = above.iter().zip(&below).map(|(a, b)| (a - b) / 2e-2).collect();
        let wanted: Vec<f32> = slopes.iter().zip(values(weights)).map(|(slope, weight)| slope * weight).collect();
        assert_near(&found, &wanted, 2e-4);
        // In between the slope is x / 3 + 1 / 2.
        assert_near(&found[..3], &[0.0, -2.0 * (-2.5 / 3.0 + 0.5), 0.0], 1e-5);
    }

    #[test]
    fn a_squeeze_and_excite_block_by_hand() {
        let device = Device::flex();
        let builder = LayerBuilder { seed: 0, device: device.clone(), padding: PaddingRule::Same };
        let hyperparams = Hyperparams {
            initializer: Initializer::Constant(0.5),
            regularizer: Regularizer::None,
            activation: Activation::Relu6,
            batch_norm: None,
        };
        let x = map(&[1.0, 2.0, 3.0, 6.0, -4.0, 0.0, 0.0, 0.0], [1, 2, 2, 2], &device);
        let block = |gate| SqueezeExcite::new(&builder, "s", [2, 1], &hyperparams, Nonlinearity::RELU, gate);
        // The means are 3 and −1, half their sum is 1, and half of that excites both channels.
        let forward = |gate| values(block(gate).forward(x.clone(), &mut Pass::new(Mode::Eval)));
        let factor = (0.5 + 3.0) * 0.16667;
        let wanted = [1.0, 2.0, 3.0, 6.0, -4.0, 0.0, 0.0, 0.0].map(|x: f32| x * factor);
        assert_near(&forward(Gate::HardSigmoid), &wanted, 1e-5);
        let wanted = [1.0, 2.0, 3.0, 6.0, -4.0, 0.0, 0.0, 0.0].map(|x: f32| x / (1.0 + (-0.5f32).exp()));
        assert_near(&forward(Gate::Sigmoid), &wanted, 1e-5);
        // Where the hidden channel is off, the hard gate stands at one half.
        let negative = map(&[-1.0; 8], [1, 2, 2, 2], &device);
        let found = values(block(Gate::HardSigmoid).forward(negative, &mut Pass::new(Mode::Eval)));
        assert_near(&found, &[-0.50001; 8], 1e-6);
        let scopes: Vec<String> = block(Gate::Sigmoid).layers().map(|layer| layer.scope().to_owned()).collect();
        assert_eq!(scopes, ["s/Conv", "s/Conv_1"]);
    }
}
