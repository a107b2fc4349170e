//! Penalties on large weights (slim's `l1_regularizer` and `l2_regularizer`), which only kernels have: biases, batch
//! normalization's variables and whatever else a network learns are free.

use burn::tensor::Tensor;

/// The penalty on a variable.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Regularizer {
    /// None.
    #[default]
    None,
    /// This times the sum of the absolute values.
    L1(f32),
    /// This times half the sum of the squares.
    L2(f32),
}

impl Regularizer {
    /// The penalty on a variable's values; `None` where there is none.
    pub fn loss<const D: usize>(self, values: Tensor<D>) -> Option<Tensor<1>> {
        match self {
            Self::None => None,
            Self::L1(weight) => Some(values.abs().sum() * weight),
            Self::L2(weight) => Some(values.square().sum() * (0.5 * weight)),
        }
    }

    /// How the penalty changes with each value; `None` where there is none.
    pub fn gradient<const D: usize>(self, values: Tensor<D>) -> Option<Tensor<D>> {
        match self {
            Self::None => None,
            Self::L1(weight) => Some(values.sign() * weight),
            Self::L2(weight) => Some(values * weight),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    #[test]
    fn worked_by_hand() {
        let weights = || Tensor::<1>::from_floats([3.0, 0.0, -1.0], &Device::flex());
        let loss = |regularizer: Regularizer| regularizer.loss(weights()).map(values);
        let gradient = |regularizer: Regularizer| regularizer.gradient(weights()).map(values);
        assert_eq!(loss(Regularizer::L2(0.5)), Some(vec![2.5]));
        assert_eq!(gradient(Regularizer::L2(0.5)), Some(vec![1.5, 0.0, -0.5]));
        assert_eq!(loss(Regularizer::L1(0.5)), Some(vec![2.0]));
        assert_eq!(gradient(Regularizer::L1(0.5)), Some(vec![0.5, 0.0, -0.5]));
        assert_eq!((loss(Regularizer::None), gradient(Regularizer::None)), (None, None));
    }
}
