//! What an optimizer does to a variable, in one pass over it.
//!
//! The rules are TensorFlow's. Written as tensor operators a step of momentum is eight passes over each variable, on one
//! thread; here the penalty's slope, the factor of the gradient, the slots and the variable itself are one. What is
//! summed (for the norm of all gradients, and for the penalties) is summed block by block in a fixed order.

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use crate::backend::KernelBackend;

/// Which rule updates the variables. In what follows `g` is the gradient, `v` the variable, `rate` the learning rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum UpdateRule {
    /// `a ← momentum·a + g`, `v ← v − rate·a`. Plain gradient descent with momentum 0.
    Momentum {
        /// What the accumulator keeps of itself.
        momentum: f32,
    },
    /// `ms ← decay·ms + (1 − decay)·g²`, `mom ← momentum·mom + rate·g/√(ms + epsilon)`, `v ← v − mom`.
    RmsProp {
        /// What the mean square keeps of itself.
        decay: f32,
        /// What the accumulator keeps of itself.
        momentum: f32,
        /// Added to the mean square.
        epsilon: f32,
    },
    /// Adam with TensorFlow's constants: `m ← 0.9·m + 0.1·g`, `s ← 0.999·s + 0.001·g²`, `v ← v − rate·m/(√s + epsilon)`;
    /// the correction for the first steps belongs to the rate.
    Adam {
        /// Added to the root of the mean square.
        epsilon: f32,
    },
}

/// What Adam's first moment keeps of itself.
pub const ADAM_FIRST: f32 = 0.9;
/// What Adam's second moment keeps of itself.
pub const ADAM_SECOND: f32 = 0.999;

/// One update of one variable.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// The rule.
    pub rule: UpdateRule,
    /// The learning rate.
    pub rate: f32,
    /// The penalty's slope is `l2·v + l1·sign(v)`; it is added to the gradient.
    pub l1: f32,
    /// As above.
    pub l2: f32,
    /// What the gradient with the penalty's slope is multiplied by.
    pub factor: f32,
}

/// Moves a variable and its slots. `second` is there for the rules that have two slots: the mean square comes first with
/// RMSProp, the first moment with Adam.
///
/// # Panics
/// On shapes that differ, or a second slot that the rule does not have or that is missing.
pub fn update<const D: usize>(
    value: Tensor<D>,
    gradient: Tensor<D>,
    first: Tensor<D>,
    second: Option<Tensor<D>>,
    how: Update,
) -> (Tensor<D>, Tensor<D>, Option<Tensor<D>>) {
    let shape = value.dims();
    assert!(
        [Some(&gradient), Some(&first), second.as_ref()].into_iter().flatten().all(|other| other.dims() == shape),
        "update: gradient and slots have the shape of the variable, {shape:?}"
    );
    match (how.rule, second) {
        (UpdateRule::Momentum { .. }, None) => {
            let (value, first) = <Dispatch as KernelBackend>::update_one(
                value.into_dispatch(),
                gradient.into_dispatch(),
                first.into_dispatch(),
                how,
            );
            (Tensor::from_dispatch(value), Tensor::from_dispatch(first), None)
        }
        (UpdateRule::RmsProp { .. } | UpdateRule::Adam { .. }, Some(second)) => {
            let (value, first, second) = <Dispatch as KernelBackend>::update_two(
                value.into_dispatch(),
                gradient.into_dispatch(),
                first.into_dispatch(),
                second.into_dispatch(),
                how,
            );
            (Tensor::from_dispatch(value), Tensor::from_dispatch(first), Some(Tensor::from_dispatch(second)))
        }
        (rule, _) => panic!("update: {rule:?} has another number of slots"),
    }
}

/// The sum of the squares of what [`update`] takes as the gradient: with the penalty's slope and the factor.
pub fn gradient_squares<const D: usize>(value: Tensor<D>, gradient: Tensor<D>, how: Update) -> Tensor<1> {
    assert_eq!(value.dims(), gradient.dims(), "gradient_squares: a gradient of the variable's shape");
    Tensor::from_dispatch(<Dispatch as KernelBackend>::gradient_squares(
        value.into_dispatch(),
        gradient.into_dispatch(),
        how,
    ))
}

/// `l1 · Σ|v| + l2 · ½ Σv²`: the penalty on a variable.
pub fn penalty<const D: usize>(value: Tensor<D>, l1: f32, l2: f32) -> Tensor<1> {
    Tensor::from_dispatch(<Dispatch as KernelBackend>::penalty(value.into_dispatch(), l1, l2))
}

/// TensorFlow's moving average: `average − (average − value) · (1 − decay)`.
pub fn moving_average<const D: usize>(average: Tensor<D>, value: Tensor<D>, decay: f32) -> Tensor<D> {
    assert_eq!(average.dims(), value.dims(), "moving_average: a value of the average's shape");
    Tensor::from_dispatch(<Dispatch as KernelBackend>::moving_average(
        average.into_dispatch(),
        value.into_dispatch(),
        decay,
    ))
}
