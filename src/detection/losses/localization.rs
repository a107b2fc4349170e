//! How far predicted box codes are from their targets.

use burn::tensor::Tensor;

use super::with_gradient;

/// A loss on box codes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LocalizationLoss {
    /// `weighted_smooth_l1`, Huber's loss: `e² / 2` up to `delta`, a straight line beyond.
    SmoothL1 {
        /// Where the line begins.
        delta: f32,
    },
    /// `weighted_l2`: `e² / 2`, where TFOD weights the error and so squares the weight.
    L2,
}

impl LocalizationLoss {
    /// The loss of each anchor, summed over its code and weighted.
    ///
    /// # Shapes
    /// - `prediction`, `target`: `[batch, anchors, code size]`, `weights`: `[batch, anchors]`
    /// - result: `[batch, anchors]`
    pub fn forward(self, prediction: Tensor<3>, target: Tensor<3>, weights: Tensor<2>) -> Tensor<2> {
        let error = prediction.clone().detach() - target;
        let (value, gradient) = match self {
            Self::SmoothL1 { delta } => {
                let gradient = error.clone().clamp(-delta, delta);
                // With q the clamped error: q·e − q²/2 is e²/2 inside and delta·(|e| − delta/2) outside.
                let value = gradient.clone() * (error - gradient.clone() * 0.5);
                (value, gradient)
            }
            Self::L2 => (error.clone().square() * 0.5, error),
        };
        let weights = match self {
            Self::SmoothL1 { .. } => weights,
            Self::L2 => weights.square(),
        };
        let entries = with_gradient(prediction, value, gradient);
        let [batch, anchors, _] = entries.dims();
        entries.sum_dim(2).reshape([batch, anchors]) * weights
    }
}
