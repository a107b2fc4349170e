//! What a network asks of this room: the shapes of its layers.
//!
//! [`trace`] runs a network and collects every call of an operator of this room instead of doing its work: an operator
//! notes its [`LayerShape`] and answers with zeros. So the layers of a model are known from the model itself and need
//! no list beside it, and a large model is traced in the time that its first weights take. [`LayerShape::apply`] is the
//! way back, from a shape to the operator. Where nobody traces, a call costs one look at a variable of the thread.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use burn::tensor::{DType, Tensor};

use crate::geometry::{ConvGeometry, Padding};
use crate::{
    Activation, FoldedConv, activation, affine_activation, avg_pool2d, batch_norm_train, crop_and_resize,
    depthwise_conv2d, dilated_conv2d, fully_connected, hard_swish, max_pool2d,
};

/// What a batch normalization adds to its variance in [`LayerShape::apply`].
const EPSILON: f32 = 1e-3;

/// How a kernel lies on its input. Pairs are `[height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Rows and columns from one place to the next.
    pub stride: [usize; 2],
    /// Rows and columns from one weight to the next.
    pub dilation: [usize; 2],
    /// Zeros around the input.
    pub padding: Padding,
}

/// One layer: everything that decides which code runs for it. Inputs are `[batch, channels, height, width]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LayerShape {
    /// [`dilated_conv2d`], and [`conv2d`](crate::conv2d) where nothing lies apart.
    Convolution {
        /// The input.
        input: [usize; 4],
        /// Channels that come out.
        out: usize,
        /// The kernel.
        window: Window,
        /// Whether a bias is added.
        bias: bool,
    },
    /// [`depthwise_conv2d`].
    Depthwise {
        /// The input.
        input: [usize; 4],
        /// The kernel.
        window: Window,
    },
    /// [`FoldedConv`]; forward only.
    Folded {
        /// The input.
        input: [usize; 4],
        /// Channels that come out.
        out: usize,
        /// The kernel.
        window: Window,
        /// Whether each channel has a kernel of its own.
        depthwise: bool,
        /// What follows.
        activation: Activation,
    },
    /// [`batch_norm_train`].
    BatchNorm {
        /// The input.
        input: [usize; 4],
        /// What follows.
        activation: Activation,
    },
    /// [`affine_activation`]: batch normalization with fixed statistics.
    FrozenBatchNorm {
        /// The input.
        input: [usize; 4],
        /// What follows.
        activation: Activation,
    },
    /// [`activation`] alone.
    Activation {
        /// The input.
        input: [usize; 4],
        /// Which.
        activation: Activation,
    },
    /// [`hard_swish`].
    HardSwish {
        /// The input.
        input: [usize; 4],
    },
    /// [`max_pool2d`].
    MaxPool {
        /// The input.
        input: [usize; 4],
        /// The kernel.
        window: Window,
    },
    /// [`avg_pool2d`].
    MeanPool {
        /// The input.
        input: [usize; 4],
        /// The kernel.
        window: Window,
    },
    /// [`crop_and_resize`].
    CropAndResize {
        /// The input.
        input: [usize; 4],
        /// How many boxes are cut out.
        boxes: usize,
        /// Rows and columns of a crop.
        size: [usize; 2],
    },
    /// [`fully_connected`].
    FullyConnected {
        /// Rows of the input.
        rows: usize,
        /// Its columns.
        inputs: usize,
        /// Columns that come out.
        outputs: usize,
    },
}

impl LayerShape {
    /// The kind of layer, in a word or two.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Convolution { window, .. } if window.dilation != [1, 1] => "dilated convolution",
            Self::Convolution { .. } => "convolution",
            Self::Depthwise { .. } => "depthwise convolution",
            Self::Folded { depthwise: true, .. } => "folded depthwise convolution",
            Self::Folded { .. } => "folded convolution",
            Self::BatchNorm { .. } => "batch norm",
            Self::FrozenBatchNorm { .. } => "frozen batch norm",
            Self::Activation { .. } => "activation",
            Self::HardSwish { .. } => "hard swish",
            Self::MaxPool { .. } => "max pool",
            Self::MeanPool { .. } => "mean pool",
            Self::CropAndResize { .. } => "crop and resize",
            Self::FullyConnected { .. } => "fully connected",
        }
    }

    /// The shape of its input.
    pub fn input(&self) -> [usize; 4] {
        match *self {
            Self::Convolution { input, .. }
            | Self::Depthwise { input, .. }
            | Self::Folded { input, .. }
            | Self::BatchNorm { input, .. }
            | Self::FrozenBatchNorm { input, .. }
            | Self::Activation { input, .. }
            | Self::HardSwish { input }
            | Self::MaxPool { input, .. }
            | Self::MeanPool { input, .. }
            | Self::CropAndResize { input, .. } => input,
            Self::FullyConnected { rows, inputs, .. } => [rows, inputs, 1, 1],
        }
    }

    /// Where its kernel lies, where it has one.
    fn window(&self) -> Option<Window> {
        match self {
            Self::Convolution { window, .. }
            | Self::Depthwise { window, .. }
            | Self::Folded { window, .. }
            | Self::MaxPool { window, .. }
            | Self::MeanPool { window, .. } => Some(*window),
            _ => None,
        }
    }

    /// The shape of its result.
    pub fn output(&self) -> [usize; 4] {
        let [batch, channels, height, width] = self.input();
        let [rows, columns] = self.window().map_or([height, width], |w| {
            let size = [height, width];
            ConvGeometry::dilated(self.kind(), size, w.kernel, w.stride, w.dilation, w.padding).output
        });
        match *self {
            Self::Convolution { out, .. } | Self::Folded { out, .. } => [batch, out, rows, columns],
            Self::CropAndResize { boxes, size, .. } => [boxes, channels, size[0], size[1]],
            Self::FullyConnected { rows, outputs, .. } => [rows, outputs, 1, 1],
            _ => [batch, channels, rows, columns],
        }
    }

    /// What follows it in the same operator.
    pub fn activation(&self) -> Activation {
        match *self {
            Self::Folded { activation, .. }
            | Self::BatchNorm { activation, .. }
            | Self::FrozenBatchNorm { activation, .. }
            | Self::Activation { activation, .. } => activation,
            _ => Activation::None,
        }
    }

    /// Whether it has a backward pass.
    pub fn is_differentiable(&self) -> bool {
        !matches!(self, Self::Folded { .. })
    }

    /// Names and shapes of its parameters; a vector lies along the first axis.
    pub fn parameters(&self) -> Vec<(&'static str, [usize; 4])> {
        let channels = self.input()[1];
        let vector = |name, length| (name, [length, 1, 1, 1]);
        match *self {
            Self::Convolution { out, window: Window { kernel: [h, w], .. }, bias, .. } => {
                let bias = bias.then(|| vector("bias", out));
                std::iter::once(("weight", [out, channels, h, w])).chain(bias).collect()
            }
            Self::Depthwise { window: Window { kernel: [h, w], .. }, .. } => vec![("weight", [channels, 1, h, w])],
            Self::Folded { out, window: Window { kernel: [h, w], .. }, depthwise, .. } => {
                vec![("weight", [out, if depthwise { 1 } else { channels }, h, w]), vector("bias", out)]
            }
            Self::BatchNorm { .. } => vec![vector("gamma", channels), vector("beta", channels)],
            Self::FrozenBatchNorm { .. } => vec![vector("scale", channels), vector("shift", channels)],
            Self::FullyConnected { inputs, outputs, .. } => {
                vec![("weight", [inputs, outputs, 1, 1]), vector("bias", outputs)]
            }
            Self::Activation { .. }
            | Self::HardSwish { .. }
            | Self::MaxPool { .. }
            | Self::MeanPool { .. }
            | Self::CropAndResize { .. } => vec![],
        }
    }

    /// Multiplications of a forward pass, roughly; passes over memory count by the element.
    pub fn work(&self) -> f64 {
        /// A pass over memory in multiplications.
        const PASS: usize = 16;
        let count = |shape: [usize; 4]| shape.iter().map(|&side| side as f64).product::<f64>();
        let each = match self {
            Self::Convolution { input, window, .. } | Self::Folded { input, window, depthwise: false, .. } => {
                input[1] * window.kernel[0] * window.kernel[1]
            }
            Self::Depthwise { window, .. }
            | Self::Folded { window, .. }
            | Self::MaxPool { window, .. }
            | Self::MeanPool { window, .. } => window.kernel[0] * window.kernel[1],
            Self::FullyConnected { inputs, .. } => *inputs,
            _ => 0,
        };
        count(self.output()) * (each + PASS) as f64 + count(self.input()) * PASS as f64
    }

    /// Runs the operator on these parameters, which are in the order of [`LayerShape::parameters`]. The result comes
    /// first; batch normalization has the mean and the variance of the batch behind it.
    ///
    /// # Panics
    /// On tensors of other shapes, or fewer parameters.
    pub fn apply(&self, x: Tensor<4>, parameters: &[Tensor<4>]) -> Vec<Tensor<4>> {
        let whole = |place: usize| parameters[place].clone();
        let vector = |place: usize| {
            let length = parameters[place].dims()[0];
            whole(place).reshape([length])
        };
        let y = match *self {
            Self::Convolution { window, bias, .. } => {
                let bias = bias.then(|| vector(1));
                dilated_conv2d(x, whole(0), bias, window.stride, window.dilation, window.padding)
            }
            Self::Depthwise { window, .. } => depthwise_conv2d(x, whole(0), window.stride, window.padding),
            // The CPU's kernel is for f32 alone; in another precision its parts stand for it.
            Self::Folded { window, depthwise, activation: then, .. } if x.dtype() != DType::F32 => {
                let y = if depthwise {
                    let bias = vector(1).reshape([1, self.input()[1], 1, 1]);
                    depthwise_conv2d(x, whole(0), window.stride, window.padding) + bias
                } else {
                    dilated_conv2d(x, whole(0), Some(vector(1)), window.stride, window.dilation, window.padding)
                };
                activation(y, then)
            }
            Self::Folded { window, depthwise, activation, .. } => {
                FoldedConv::new(whole(0), vector(1), depthwise, window.stride, window.dilation, activation)
                    .forward(x, window.padding)
            }
            Self::BatchNorm { activation, .. } => {
                let (y, mean, variance) = batch_norm_train(x, vector(0), vector(1), EPSILON, activation);
                let column = |of: Tensor<1>| {
                    let length = of.dims()[0];
                    of.reshape([length, 1, 1, 1])
                };
                return vec![y, column(mean), column(variance)];
            }
            Self::FrozenBatchNorm { activation, .. } => affine_activation(x, vector(0), vector(1), activation),
            Self::Activation { activation: then, .. } => activation(x, then),
            Self::HardSwish { .. } => hard_swish(x),
            Self::MaxPool { window, .. } => max_pool2d(x, window.kernel, window.stride, window.padding),
            Self::MeanPool { window, .. } => avg_pool2d(x, window.kernel, window.stride, window.padding),
            Self::CropAndResize { input, boxes, size } => {
                let images: Vec<usize> = (0..boxes).map(|i| i % input[0].max(1)).collect();
                crop_and_resize(x, &scattered_boxes(boxes), &images, size)
            }
            Self::FullyConnected { rows, inputs, outputs } => {
                let weight = whole(0).reshape([inputs, outputs]);
                fully_connected(x.reshape([rows, inputs]), weight, vector(1)).reshape([rows, outputs, 1, 1])
            }
        };
        vec![y]
    }
}

/// Boxes of many sizes and places, some of them reaching beyond the picture.
fn scattered_boxes(count: usize) -> Vec<[f32; 4]> {
    // Multiples of irrational numbers fill an interval evenly.
    let part = |i: usize, step: f64| ((i as f64 + 0.5) * step).fract() as f32;
    let side = |i: usize, of: f64, at: f64| {
        let length = 0.1 + 0.8 * part(i, of);
        let low = -0.1 + 1.2 * (1.0 - length) * part(i, at);
        (low, low + length)
    };
    (0..count)
        .map(|i| {
            let ((top, bottom), (left, right)) = (side(i, 0.618_034, 0.414_213_6), side(i, 0.732_050_8, 0.236_068));
            [top, left, bottom, right]
        })
        .collect()
}

impl fmt::Display for LayerShape {
    /// `convolution 3x3, stride 2, of 2x3x300x300 to 32 channels`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        if let Some(Window { kernel, stride, dilation, padding }) = self.window() {
            write!(f, " {}x{}", kernel[0], kernel[1])?;
            for (name, pair) in [("stride", stride), ("dilation", dilation)] {
                match pair {
                    [1, 1] => {}
                    [a, b] if a == b => write!(f, ", {name} {a}")?,
                    [a, b] => write!(f, ", {name} {a}x{b}")?,
                }
            }
            let Padding { top, bottom, left, right } = padding;
            if padding != Padding::valid() {
                write!(f, ", padding {top} {bottom} {left} {right}")?;
            }
        }
        match self.activation() {
            Activation::None => {}
            Activation::Relu => f.write_str(", ReLU")?,
            Activation::Relu6 => f.write_str(", ReLU6")?,
        }
        if let Self::Convolution { bias: true, .. } = self {
            f.write_str(", bias")?;
        }
        let [n, c, h, w] = self.input();
        match self {
            Self::FullyConnected { rows, inputs, outputs } => write!(f, " of {rows}x{inputs} to {outputs} columns"),
            Self::Convolution { out, .. } | Self::Folded { out, depthwise: false, .. } => {
                write!(f, " of {n}x{c}x{h}x{w} to {out} channels")
            }
            Self::CropAndResize { boxes, size, .. } => {
                write!(f, " of {n}x{c}x{h}x{w} to {boxes} crops of {}x{}", size[0], size[1])
            }
            _ => write!(f, " of {n}x{c}x{h}x{w}"),
        }
    }
}

thread_local! {
    /// What was called so far, while this thread traces.
    static CALLS: RefCell<Option<Vec<LayerShape>>> = const { RefCell::new(None) };
}

/// The layers that `work` calls on this thread, each once, in the order of their first calls. Nothing is computed:
/// every result is zero.
pub fn trace(work: impl FnOnce()) -> Vec<LayerShape> {
    /// Ends the trace when `work` returns, and when it panics.
    struct Before(Option<Vec<LayerShape>>);
    impl Drop for Before {
        fn drop(&mut self) {
            CALLS.set(self.0.take());
        }
    }
    let before = Before(CALLS.replace(Some(Vec::new())));
    work();
    let mut calls = CALLS.take().unwrap_or_default();
    drop(before);
    let mut seen = HashSet::new();
    calls.retain(|shape| seen.insert(shape.clone()));
    calls
}

/// Whether this thread collects shapes at the moment.
pub(crate) fn is_tracing() -> bool {
    CALLS.with_borrow(Option::is_some)
}

/// Zeros in the shape of the result, where this thread traces; the layer is then noted.
pub(crate) fn traced<const D: usize>(x: &Tensor<D>, shape: impl FnOnce() -> LayerShape) -> Option<Tensor<4>> {
    CALLS.with_borrow_mut(|calls| {
        let calls = calls.as_mut()?;
        let shape = shape();
        let y = Tensor::zeros(shape.output(), &x.device());
        calls.push(shape);
        Some(y)
    })
}
