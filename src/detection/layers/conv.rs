//! Convolution with what slim hangs onto it.

use boxwright_kernels::{Activation, Padding, activation, conv2d, depthwise_conv2d, dilated_conv2d, dilated_size};
use burn::module::{Module, Param};
use burn::tensor::{Device, FloatDType, Tensor};

use super::{BatchNorm, BatchNormParams, Pass, drawn};
use crate::initializers::{FanMode, Initializer};
use crate::regularizers::Regularizer;
use crate::variables::{Described, Layout, VariableInfo};

/// The `conv_hyperparams` of the config: what a group of layers has in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hyperparams {
    /// What the kernels start at.
    pub initializer: Initializer,
    /// The penalty on the kernels.
    pub regularizer: Regularizer,
    /// What follows.
    pub activation: Activation,
    /// Batch normalization; a bias where there is none.
    pub batch_norm: Option<BatchNormParams>,
}

impl Hyperparams {
    /// What Keras gives a kernel that TFOD's Keras layers forget to configure: Glorot's uniform
    /// initializer and no regularizer. Activation and normalization stay.
    pub fn with_keras_kernel(self) -> Self {
        let initializer = Initializer::VarianceScaling { factor: 1.0, mode: FanMode::FanAvg, uniform: true };
        Self { initializer, regularizer: Regularizer::None, ..self }
    }

    /// The convolution alone: a bias instead of batch normalization, and no activation.
    pub fn linear(self) -> Self {
        Self { activation: Activation::None, batch_norm: None, ..self }
    }
}

/// How the border is padded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PaddingRule {
    /// TensorFlow's SAME: what is missing, the odd row below and to the right.
    #[default]
    Same,
    /// `use_explicit_padding`: the same on all sides whatever the input's size.
    Explicit,
    /// None at all.
    Valid,
}

impl PaddingRule {
    pub(super) fn padding(self, input: [usize; 2], kernel: usize, stride: usize) -> Padding {
        match self {
            Self::Same => Padding::same(input, [kernel; 2], [stride; 2]),
            Self::Explicit => {
                let (before, total) = ((kernel - 1) / 2, kernel - 1);
                Padding { top: before, bottom: total - before, left: before, right: total - before }
            }
            Self::Valid => Padding::valid(),
        }
    }
}

/// What a layer is, beside its weights.
#[derive(Clone, Debug)]
pub(super) struct ConvSpec {
    scope: String,
    pub(super) depthwise: bool,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    /// How far apart the weights lie.
    pub(super) rate: usize,
    pub(super) padding: PaddingRule,
    pub(super) activation: Activation,
    regularizer: Regularizer,
    /// Of the depthwise half of a separable convolution.
    depthwise_regularizer: Regularizer,
}

/// A convolution, its normalization or bias, and its activation.
#[derive(Module, Debug)]
pub struct ConvLayer {
    /// The first half of a separable convolution; stride and padding are then this half's.
    pub(super) depthwise_weights: Option<Param<Tensor<4>>>,
    pub(super) weights: Param<Tensor<4>>,
    pub(super) biases: Option<Param<Tensor<1>>>,
    pub(super) batch_norm: Option<BatchNorm>,
    #[module(skip)]
    pub(super) spec: ConvSpec,
}

impl ConvLayer {
    /// The layer's TensorFlow scope.
    pub fn scope(&self) -> &str {
        &self.spec.scope
    }

    /// Whether each channel has a kernel of its own and nothing else.
    pub fn is_depthwise(&self) -> bool {
        self.spec.depthwise
    }

    /// Channels that come out.
    pub fn out_channels(&self) -> usize {
        self.weights.lazy_shape()[0]
    }

    /// Rows and columns that come out of an input of `[height, width]`.
    pub fn output_size(&self, input: [usize; 2]) -> [usize; 2] {
        let ConvSpec { kernel, stride, rate, padding, .. } = self.spec;
        match padding {
            PaddingRule::Same | PaddingRule::Explicit => input.map(|side| side.div_ceil(stride)),
            PaddingRule::Valid => input.map(|side| (side + stride).saturating_sub(dilated_size(kernel, rate)) / stride),
        }
    }

    /// # Shapes
    /// `[batch, in, height, width]` to `[batch, out, height / stride, width / stride]`, rounded up.
    pub fn forward(&self, x: Tensor<4>, pass: &mut Pass<'_>) -> Tensor<4> {
        if let Some(folded) = pass.folded(self.weights.id, 0) {
            return folded.forward(x);
        }
        let y = self.convolve(x, pass);
        match &self.batch_norm {
            Some(batch_norm) => batch_norm.forward(y, self.spec.activation, pass.mode),
            None => activation(y, self.spec.activation),
        }
    }

    /// The convolution with its bias, before normalization and activation.
    pub(super) fn convolve(&self, x: Tensor<4>, pass: &mut Pass<'_>) -> Tensor<4> {
        let [_, _, height, width] = x.dims();
        let (spec, stride) = (&self.spec, [self.spec.stride; 2]);
        let padding = spec.padding.padding([height, width], dilated_size(spec.kernel, spec.rate), spec.stride);
        let bias = self.biases.as_ref().map(Param::val);
        let y = if pass.half {
            let half = FloatDType::F16;
            let y = self.operator(x.cast(half), stride, padding, None, Some(half)).cast(FloatDType::F32);
            // The bias stays in f32: its gradient is a sum over all places, too long for f16.
            match bias {
                Some(bias) => y + bias.reshape([1, self.out_channels(), 1, 1]),
                None => y,
            }
        } else {
            self.operator(x, stride, padding, bias, None)
        };
        if let Some(observer) = &mut pass.observer {
            observer(&spec.scope, &y);
        }
        y
    }

    /// The operator itself, with its weights in `float` where it is given. The cast is on the gradient tape: what comes
    /// back to the variables is of their own type again.
    fn operator(
        &self,
        x: Tensor<4>,
        stride: [usize; 2],
        padding: Padding,
        bias: Option<Tensor<1>>,
        float: Option<FloatDType>,
    ) -> Tensor<4> {
        let (spec, weights) = (&self.spec, self.weights.val());
        let cast = |weights: Tensor<4>| match float {
            Some(float) => weights.cast(float),
            None => weights,
        };
        if let Some(depthwise) = &self.depthwise_weights {
            let depthwise = depthwise.val();
            if depthwise.dims()[1] == 1 {
                let y = depthwise_conv2d(x, cast(depthwise), stride, padding);
                conv2d(y, cast(weights), bias, [1, 1], Padding::valid())
            } else {
                conv2d(x, cast(merged(depthwise, weights)), bias, stride, padding)
            }
        } else if spec.depthwise {
            let y = depthwise_conv2d(x, cast(weights), stride, padding);
            match bias {
                Some(bias) => y + bias.reshape([1, self.out_channels(), 1, 1]),
                None => y,
            }
        } else {
            dilated_conv2d(x, cast(weights), bias, stride, [spec.rate; 2], padding)
        }
    }

    /// The epsilon of its batch normalization, where it has one.
    pub fn batch_norm_epsilon(&self) -> Option<f32> {
        self.batch_norm.as_ref().map(|bn| bn.params().epsilon)
    }

    /// Lists its variables.
    pub(crate) fn describe(&self, out: &mut Vec<Described>) {
        let spec = &self.spec;
        let mut kernel = |weights: &Param<Tensor<4>>, layout: Layout, name: &str, regularizer: Regularizer| {
            let shape = layout.to_tensorflow_shape(&weights.lazy_shape());
            let name = format!("{}/{name}", spec.scope);
            out.push(Described {
                info: VariableInfo { id: weights.id, name, shape, trainable: true, regularizer },
                layout,
            });
        };
        if let Some(depthwise) = &self.depthwise_weights {
            kernel(depthwise, Layout::DepthwiseKernel, "depthwise_weights", spec.depthwise_regularizer);
            kernel(&self.weights, Layout::Kernel, "pointwise_weights", spec.regularizer);
        } else if spec.depthwise {
            kernel(&self.weights, Layout::DepthwiseKernel, "depthwise_weights", spec.regularizer);
        } else {
            kernel(&self.weights, Layout::Kernel, "weights", spec.regularizer);
        }
        if let Some(biases) = &self.biases {
            let info = VariableInfo {
                id: biases.id,
                name: format!("{}/biases", spec.scope),
                shape: vec![self.out_channels()],
                trainable: true,
                regularizer: Regularizer::None,
            };
            out.push(Described { info, layout: Layout::Plain });
        }
        if let Some(batch_norm) = &self.batch_norm {
            batch_norm.describe(&spec.scope, out);
        }
    }
}

/// The dense kernel that does what a depthwise one with several kernels a channel and a pointwise one
/// behind it do: nothing stands between the two.
///
/// # Shapes
/// `[in, multiplier, h, w]` and `[out, in · multiplier, 1, 1]` to `[out, in, h, w]`.
pub(super) fn merged(depthwise: Tensor<4>, pointwise: Tensor<4>) -> Tensor<4> {
    let ([input, multiplier, h, w], [output, ..]) = (depthwise.dims(), pointwise.dims());
    let depthwise = depthwise.reshape([input, multiplier, h * w]);
    let pointwise = pointwise.reshape([output, input, multiplier]).swap_dims(0, 1);
    pointwise.matmul(depthwise).swap_dims(0, 1).reshape([output, input, h, w])
}

/// Makes layers with their first weights.
#[derive(Clone, Debug)]
pub struct LayerBuilder {
    /// The run's seed.
    pub seed: u64,
    /// Where the weights live.
    pub device: Device,
    /// How borders are padded.
    pub padding: PaddingRule,
}

impl LayerBuilder {
    /// `slim.conv2d`.
    pub fn conv2d(
        &self,
        scope: &str,
        [input, output]: [usize; 2],
        kernel: usize,
        stride: usize,
        hyperparams: &Hyperparams,
    ) -> ConvLayer {
        self.layer(scope, [kernel, kernel, input, output], stride, Layout::Kernel, hyperparams)
    }

    /// `slim.conv2d` with a `rate`: weights that lie so many rows and columns apart.
    pub fn atrous_conv2d(
        &self,
        scope: &str,
        channels: [usize; 2],
        kernel: usize,
        stride: usize,
        rate: usize,
        hyperparams: &Hyperparams,
    ) -> ConvLayer {
        let mut layer = self.conv2d(scope, channels, kernel, stride, hyperparams);
        layer.spec.rate = rate;
        layer
    }

    /// A 1×1 convolution with its normalization and no activation.
    pub fn unactivated_conv2d(
        &self,
        scope: &str,
        channels: [usize; 2],
        stride: usize,
        hyperparams: &Hyperparams,
    ) -> ConvLayer {
        self.conv2d(scope, channels, 1, stride, &Hyperparams { activation: Activation::None, ..*hyperparams })
    }

    /// `slim.separable_conv2d` without outputs of its own: the depthwise half, channel multiplier 1.
    pub fn depthwise_conv2d(
        &self,
        scope: &str,
        channels: usize,
        kernel: usize,
        stride: usize,
        hyperparams: &Hyperparams,
    ) -> ConvLayer {
        self.layer(scope, [kernel, kernel, channels, 1], stride, Layout::DepthwiseKernel, hyperparams)
    }

    /// `slim.separable_conv2d` with outputs: a depthwise kernel and a pointwise one with nothing
    /// between them. The depthwise kernel starts as `depthwise` says; all else is as `hyperparams` says.
    pub fn separable_conv2d(
        &self,
        scope: &str,
        [input, output]: [usize; 2],
        kernel: usize,
        stride: usize,
        depthwise: &Hyperparams,
        hyperparams: &Hyperparams,
    ) -> ConvLayer {
        self.separable(scope, [input, output], kernel, stride, 1, depthwise, hyperparams)
    }

    /// [`LayerBuilder::separable_conv2d`] with several depthwise kernels for each channel.
    pub fn multiplied_separable_conv2d(
        &self,
        scope: &str,
        channels: [usize; 2],
        kernel: usize,
        stride: usize,
        multiplier: usize,
        hyperparams: &Hyperparams,
    ) -> ConvLayer {
        self.separable(scope, channels, kernel, stride, multiplier, hyperparams, hyperparams)
    }

    fn separable(
        &self,
        scope: &str,
        [input, output]: [usize; 2],
        kernel: usize,
        stride: usize,
        multiplier: usize,
        depthwise: &Hyperparams,
        hyperparams: &Hyperparams,
    ) -> ConvLayer {
        let mut layer = self.conv2d(scope, [input * multiplier, output], 1, stride, hyperparams);
        let shape = [kernel, kernel, input, multiplier];
        let name = format!("{scope}/depthwise_weights");
        layer.depthwise_weights = Some(self.kernel(&name, shape, Layout::DepthwiseKernel, depthwise.initializer));
        layer.spec.kernel = kernel;
        layer.spec.depthwise_regularizer = depthwise.regularizer;
        layer
    }

    /// A head: a convolution with a bias that starts at `bias`, and nothing after it.
    pub fn head(
        &self,
        scope: &str,
        channels: [usize; 2],
        kernel: usize,
        hyperparams: &Hyperparams,
        bias: f32,
    ) -> ConvLayer {
        let layer = self.conv2d(scope, channels, kernel, 1, &hyperparams.linear());
        self.with_bias(layer, bias)
    }

    /// A separable head.
    pub fn separable_head(
        &self,
        scope: &str,
        channels: [usize; 2],
        kernel: usize,
        hyperparams: &Hyperparams,
        bias: f32,
    ) -> ConvLayer {
        let linear = hyperparams.linear();
        let layer = self.separable_conv2d(scope, channels, kernel, 1, &linear, &linear);
        self.with_bias(layer, bias)
    }

    fn with_bias(&self, mut layer: ConvLayer, bias: f32) -> ConvLayer {
        layer.spec.padding = PaddingRule::Same;
        layer.biases = Some(Param::from_tensor(Tensor::full([layer.out_channels()], bias, &self.device)));
        layer
    }

    /// A convolution whose normalization is the caller's: no bias, nothing after it.
    pub(super) fn bare(&self, mut layer: ConvLayer) -> ConvLayer {
        layer.biases = None;
        layer
    }

    /// A kernel of TensorFlow's shape, whose values are drawn by `name`.
    fn kernel(&self, name: &str, shape: [usize; 4], layout: Layout, initializer: Initializer) -> Param<Tensor<4>> {
        let (seed, name) = (self.seed, name.to_owned());
        let draw = move || layout.to_device(&shape, &initializer.sample(&shape, seed, &name)).1;
        drawn(layout.device_shape(shape), &self.device, draw)
    }

    fn layer(
        &self,
        scope: &str,
        shape: [usize; 4],
        stride: usize,
        layout: Layout,
        hyperparams: &Hyperparams,
    ) -> ConvLayer {
        let depthwise = layout == Layout::DepthwiseKernel;
        let output = if depthwise { shape[2] } else { shape[3] };
        let batch_norm = hyperparams.batch_norm.map(|params| BatchNorm::new(output, params, &self.device));
        let biases = batch_norm.is_none().then(|| Param::from_tensor(Tensor::<1>::zeros([output], &self.device)));
        ConvLayer {
            depthwise_weights: None,
            weights: self.kernel(scope, shape, layout, hyperparams.initializer),
            biases,
            batch_norm,
            spec: ConvSpec {
                scope: scope.to_owned(),
                depthwise,
                kernel: shape[0],
                stride,
                rate: 1,
                padding: self.padding,
                activation: hyperparams.activation,
                regularizer: hyperparams.regularizer,
                depthwise_regularizer: Regularizer::None,
            },
        }
    }
}
