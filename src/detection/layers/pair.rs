//! A layer and the depthwise one behind it, in one go.
//!
//! In training, the normalization of the first, the depthwise convolution and its own normalization are one operator of the
//! kernels, which is faster than the three of them. The result is the same, and so is everything that is noted on the way.

use boxwright_kernels::{depthwise_block, dilated_size};
use burn::tensor::Tensor;

use super::{BatchNorm, ConvLayer, Pass};

impl ConvLayer {
    /// What `depthwise` makes of what this layer makes of `x`.
    ///
    /// # Shapes
    /// `[batch, in, height, width]` to `[batch, channels of depthwise, …]`, as [`ConvLayer::forward`] one after the other.
    pub fn forward_through(&self, depthwise: &ConvLayer, x: Tensor<4>, pass: &mut Pass<'_>) -> Tensor<4> {
        let Some((first, second)) = self.norms_with(depthwise, pass) else {
            let x = self.forward(x, pass);
            return depthwise.forward(x, pass);
        };
        let x = self.convolve(x, pass);
        let ([batch, _, height, width], device) = (x.dims(), x.device());
        let spec = &depthwise.spec;
        let padding = spec.padding.padding([height, width], dilated_size(spec.kernel, spec.rate), spec.stride);
        let before = first.norm(&device, self.spec.activation);
        let after = second.norm(&device, spec.activation);
        let (y, [found, of_depthwise]) =
            depthwise_block(x, before, depthwise.weights.val(), [spec.stride; 2], padding, after);
        first.update(found, batch * height * width);
        let [_, _, height, width] = y.dims();
        second.update(of_depthwise, batch * height * width);
        y
    }

    /// The two normalizations, where both are by the batch's own statistics and nobody wants to see what lies between.
    fn norms_with<'a>(&'a self, depthwise: &'a ConvLayer, pass: &Pass<'_>) -> Option<(&'a BatchNorm, &'a BatchNorm)> {
        let plain = depthwise.spec.depthwise && depthwise.biases.is_none();
        if !plain || pass.half || pass.observer.is_some() || pass.folded(self.weights.id, 0).is_some() {
            return None;
        }
        let by_batch = |layer: &'a ConvLayer| layer.batch_norm.as_ref().filter(|norm| norm.is_by_batch(pass.mode));
        Some((by_batch(self)?, by_batch(depthwise)?))
    }
}
