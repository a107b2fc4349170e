//! A fully connected layer.

use boxwright_kernels::fully_connected;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use super::{Hyperparams, drawn};
use crate::regularizers::Regularizer;
use crate::variables::{Described, Layout, VariableInfo};

/// `slim.fully_connected` without an activation: weights `[in, out]` and biases.
#[derive(Module, Debug)]
pub struct FullyConnected {
    weights: Param<Tensor<2>>,
    biases: Param<Tensor<1>>,
    #[module(skip)]
    scope: String,
    #[module(skip)]
    regularizer: Regularizer,
}

impl FullyConnected {
    /// The layer with its first weights; of the hyperparameters it takes initializer and regularizer.
    pub fn new(scope: &str, channels: [usize; 2], hyperparams: &Hyperparams, seed: u64, device: &Device) -> Self {
        let (initializer, name) = (hyperparams.initializer, scope.to_owned());
        Self {
            weights: drawn(channels, device, move || initializer.sample(&channels, seed, &name)),
            biases: Param::from_tensor(Tensor::zeros([channels[1]], device)),
            scope: scope.to_owned(),
            regularizer: hyperparams.regularizer,
        }
    }

    /// # Shapes
    /// `[rows, in]` to `[rows, out]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        fully_connected(x, self.weights.val(), self.biases.val())
    }

    /// Lists its variables.
    pub(crate) fn describe(&self, out: &mut Vec<Described>) {
        let mut push = |id, name: &str, shape: Vec<usize>, regularizer: Regularizer| {
            let info = VariableInfo { id, name: format!("{}/{name}", self.scope), shape, trainable: true, regularizer };
            out.push(Described { info, layout: Layout::Plain });
        };
        push(self.weights.id, "weights", self.weights.lazy_shape().to_vec(), self.regularizer);
        push(self.biases.id, "biases", self.biases.shape().to_vec(), Regularizer::None);
    }
}
