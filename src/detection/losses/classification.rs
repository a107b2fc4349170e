//! How far predicted class logits are from their targets.

use burn::tensor::Tensor;
use burn::tensor::activation::{log_softmax, sigmoid, softmax};

use super::with_gradient;

/// A loss on class logits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ClassificationLoss {
    /// `weighted_sigmoid`: each class is a yes or no of its own.
    Sigmoid,
    /// `weighted_sigmoid_focal`: the same, where confident right answers count little.
    SigmoidFocal {
        /// How fast the loss of a right answer fades.
        gamma: f32,
        /// The weight of positive entries against `1 − alpha` of negative ones; `None` for neither.
        alpha: Option<f32>,
    },
    /// `weighted_softmax`: exactly one class is right.
    Softmax {
        /// The logits are divided by this first.
        logit_scale: f32,
    },
    /// `weighted_logits_softmax`: the same, where the targets are logits too.
    LogitsSoftmax {
        /// Logits and targets are divided by this first.
        logit_scale: f32,
    },
    /// `bootstrapped_sigmoid`: as the first, towards a mixture of the target and the model's own answer.
    BootstrappedSigmoid {
        /// The target's share in the mixture.
        alpha: f32,
        /// Whether the model's own answer is a yes or no instead of its probability.
        hard: bool,
    },
}

impl ClassificationLoss {
    /// The loss of each anchor, summed over the classes and weighted.
    ///
    /// # Shapes
    /// - `logits`, `targets`: `[batch, anchors, classes]`, `weights`: `[batch, anchors]`
    /// - result: `[batch, anchors]`
    pub fn forward(self, logits: Tensor<3>, targets: Tensor<3>, weights: Tensor<2>) -> Tensor<2> {
        let [batch, anchors, _] = logits.dims();
        self.entrywise(logits, targets).sum_dim(2).reshape([batch, anchors]) * weights
    }

    /// The unweighted loss of each entry. For the softmax losses only the sum over the classes means something.
    pub fn entrywise(self, logits: Tensor<3>, targets: Tensor<3>) -> Tensor<3> {
        let x = logits.clone().detach();
        let (value, gradient) = match self {
            Self::Sigmoid => {
                let gradient = sigmoid(x.clone()) - targets.clone();
                (sigmoid_cross_entropy(x, targets), gradient)
            }
            Self::SigmoidFocal { gamma, alpha } => sigmoid_focal(x, targets, gamma, alpha),
            Self::Softmax { logit_scale } => softmax_cross_entropy(x, targets, logit_scale),
            Self::LogitsSoftmax { logit_scale } => {
                softmax_cross_entropy(x, softmax(targets / logit_scale, 2), logit_scale)
            }
            Self::BootstrappedSigmoid { alpha, hard } => bootstrapped_sigmoid(x, targets, alpha, hard),
        };
        with_gradient(logits, value, gradient)
    }
}

/// `max(x, 0) − x·z + ln(1 + exp(−|x|))`: no overflow at either end.
fn sigmoid_cross_entropy(x: Tensor<3>, z: Tensor<3>) -> Tensor<3> {
    let softplus = (-(x.clone().abs())).exp().log1p();
    x.clone().clamp_min(0.0) - x * z + softplus
}

/// Value and gradient of `−z · ln softmax(x / scale)`.
fn softmax_cross_entropy(x: Tensor<3>, z: Tensor<3>, logit_scale: f32) -> (Tensor<3>, Tensor<3>) {
    let log_p = log_softmax(x / logit_scale, 2);
    let mass = z.clone().sum_dim(2);
    let gradient = (log_p.clone().exp() * mass - z.clone()) / logit_scale;
    (-(log_p * z), gradient)
}

/// Value and gradient of the cross entropy with the target `alpha · z + (1 − alpha) · answer`.
///
/// A probability for an answer changes with the logits, and TensorFlow lets the gradient go that way too; a yes or no
/// does not.
fn bootstrapped_sigmoid(x: Tensor<3>, z: Tensor<3>, alpha: f32, hard: bool) -> (Tensor<3>, Tensor<3>) {
    let p = sigmoid(x.clone());
    let answer = if hard { p.clone().greater_elem(0.5).float() } else { p.clone() };
    let target = z * alpha + answer * (1.0 - alpha);
    let mut gradient = p.clone() - target.clone();
    if !hard {
        let slope = p.clone() * (-p + 1.0) * (1.0 - alpha);
        gradient = gradient - x.clone() * slope;
    }
    (sigmoid_cross_entropy(x, target), gradient)
}

/// Value and gradient of `alpha' · (1 − p_t)^gamma · cross entropy`.
///
/// `1 − p_t` is `z·σ(−x) + (1 − z)·σ(x)`, which keeps its digits where `p_t` rounds to 1.
fn sigmoid_focal(x: Tensor<3>, z: Tensor<3>, gamma: f32, alpha: Option<f32>) -> (Tensor<3>, Tensor<3>) {
    let p = sigmoid(x.clone());
    let q = sigmoid(-x.clone());
    let not_z = -z.clone() + 1.0;
    let cross_entropy = sigmoid_cross_entropy(x, z.clone());
    let (mut value, mut gradient) = if gamma == 0.0 {
        (cross_entropy, p - z.clone())
    } else {
        let miss = z.clone() * q.clone() + not_z.clone() * p.clone();
        // d(1 − p_t)/dx = (1 − 2z)·p·q; the power below 1 is kept finite where the miss is 0.
        let slope = (not_z.clone() - z.clone()) * p.clone() * q;
        let (power, lower_power) = if gamma == 2.0 {
            (miss.clone().square(), miss)
        } else {
            (miss.clone().powf_scalar(gamma), miss.clamp_min(f32::MIN_POSITIVE).powf_scalar(gamma - 1.0))
        };
        let gradient = lower_power * slope * cross_entropy.clone() * gamma + power.clone() * (p - z.clone());
        (power * cross_entropy, gradient)
    };
    if let Some(alpha) = alpha {
        let factor = z * alpha + not_z * (1.0 - alpha);
        value = value * factor.clone();
        gradient = gradient * factor;
    }
    (value, gradient)
}
