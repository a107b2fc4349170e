//! Batch normalization with TensorFlow's semantics.
//!
//! In training the batch's own mean and biased variance normalize, and the moving statistics move
//! towards the mean and the *unbiased* variance, as TensorFlow's fused operator has it. In
//! evaluation, and where the layer is frozen, the moving statistics normalize and stay.

use boxwright_kernels::{Activation, Norm, Statistics, affine_activation};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use super::Mode;
use crate::regularizers::Regularizer;
use crate::variables::{Described, Layout, MovingStatistic, VariableInfo};

/// The `batch_norm` message of the config.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormParams {
    /// How much the moving statistics keep of themselves in each step.
    pub decay: f32,
    /// Added to the variance.
    pub epsilon: f32,
    /// Whether there is a `beta`.
    pub center: bool,
    /// Whether there is a `gamma`.
    pub scale: bool,
    /// Whether training uses and updates statistics; false freezes them.
    pub train: bool,
}

impl Default for BatchNormParams {
    fn default() -> Self {
        Self { decay: 0.999, epsilon: 0.001, center: true, scale: false, train: true }
    }
}

/// Batch normalization of the channels of `[batch, channels, height, width]`, and an activation.
#[derive(Module, Debug)]
pub struct BatchNorm {
    gamma: Option<Param<Tensor<1>>>,
    beta: Option<Param<Tensor<1>>>,
    moving_mean: MovingStatistic,
    moving_variance: MovingStatistic,
    #[module(skip)]
    params: BatchNormParams,
    #[module(skip)]
    channels: usize,
}

impl BatchNorm {
    /// The layer as slim starts it: gamma 1, beta 0, mean 0, variance 1.
    pub fn new(channels: usize, params: BatchNormParams, device: &Device) -> Self {
        let param =
            |wanted: bool, value: f32| wanted.then(|| Param::from_tensor(Tensor::full([channels], value, device)));
        Self {
            gamma: param(params.scale, 1.0),
            beta: param(params.center, 0.0),
            moving_mean: MovingStatistic::new(Tensor::zeros([channels], device)),
            moving_variance: MovingStatistic::new(Tensor::ones([channels], device)),
            params,
            channels,
        }
    }

    /// How it was configured.
    pub fn params(&self) -> BatchNormParams {
        self.params
    }

    /// Normalizes and activates. In [`Mode::Train`] the moving statistics are brought up to date.
    pub fn forward(&self, x: Tensor<4>, activation: Activation, mode: Mode) -> Tensor<4> {
        if self.is_by_batch(mode) {
            let [batch, _, height, width] = x.dims();
            let (y, found) = self.norm(&x.device(), activation).forward(x);
            self.update(found, batch * height * width);
            return y;
        }
        let (scale, shift) = self.affine();
        affine_activation(x, scale, shift, activation)
    }

    /// Whether the batch's own statistics normalize.
    pub(super) fn is_by_batch(&self, mode: Mode) -> bool {
        mode == Mode::Train && self.params.train
    }

    /// The normalization by the batch's own statistics, as the kernels want it.
    pub(super) fn norm(&self, device: &Device, activation: Activation) -> Norm {
        let (gamma, beta) = self.gamma_and_beta(device);
        Norm { gamma, beta, epsilon: self.params.epsilon, activation }
    }

    /// Moves the moving statistics towards what was found in `count` values a channel.
    pub(super) fn update(&self, found: Statistics, count: usize) {
        let count = count as f64;
        let bessel = (count / (count - 1.0).max(1.0)) as f32;
        self.moving_mean.update(found.mean, self.params.decay);
        self.moving_variance.update(found.variance * bessel, self.params.decay);
    }

    /// What the moving statistics make of it: a factor and a summand for each channel.
    pub(super) fn affine(&self) -> (Tensor<1>, Tensor<1>) {
        let variance = self.moving_variance.value();
        let (gamma, beta) = self.gamma_and_beta(&variance.device());
        let scale = gamma * (variance + self.params.epsilon).sqrt().recip();
        let shift = beta - self.moving_mean.value() * scale.clone();
        (scale, shift)
    }

    fn gamma_and_beta(&self, device: &Device) -> (Tensor<1>, Tensor<1>) {
        let or = |param: &Option<Param<Tensor<1>>>, value: f32| {
            param.as_ref().map_or_else(|| Tensor::full([self.channels], value, device), Param::val)
        };
        (or(&self.gamma, 1.0), or(&self.beta, 0.0))
    }

    /// Lists the variables of the layer `scope`, below its `BatchNorm`.
    pub(crate) fn describe(&self, scope: &str, out: &mut Vec<Described>) {
        self.describe_in(&format!("{scope}/BatchNorm"), out);
    }

    /// Lists the variables directly below `scope`.
    pub(crate) fn describe_in(&self, scope: &str, out: &mut Vec<Described>) {
        let mut push = |id, name: &str, trainable| {
            let name = format!("{scope}/{name}");
            let info = VariableInfo { id, name, shape: vec![self.channels], trainable, regularizer: Regularizer::None };
            out.push(Described { info, layout: Layout::Plain });
        };
        if let Some(gamma) = &self.gamma {
            push(gamma.id, "gamma", true);
        }
        if let Some(beta) = &self.beta {
            push(beta.id, "beta", true);
        }
        push(self.moving_mean.id(), "moving_mean", false);
        push(self.moving_variance.id(), "moving_variance", false);
    }
}
