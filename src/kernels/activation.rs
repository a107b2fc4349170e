//! The activations that can be fused into an operator.
//!
//! All of them clamp to an interval, so one kernel serves them all: values outside move to its end, and the
//! gradient passes strictly inside. A NaN stays a NaN, so that a diverged run shows.

/// What follows a convolution or a normalization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Activation {
    /// The identity.
    #[default]
    None,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`, the activation of the MobileNets.
    Relu6,
}

impl Activation {
    /// The interval that the activation clamps to.
    pub(crate) fn limits(self) -> (f32, f32) {
        match self {
            Self::None => (f32::NEG_INFINITY, f32::INFINITY),
            Self::Relu => (0.0, f32::INFINITY),
            Self::Relu6 => (0.0, 6.0),
        }
    }
}
