//! Dense and depthwise convolution.

use super::{assert_close, device, from, numbers, tensor, values};
use crate::{Activation, FoldedConv, Padding, affine_activation, conv2d, depthwise_conv2d, dilated_conv2d};
use burn::tensor::module::conv2d as burn_conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor};

const TOLERANCE: f32 = 2e-5;

/// One convolution: batch, input channels, output channels (ignored by depthwise), input, kernel, stride, padding.
#[derive(Debug, Clone, Copy)]
struct Case {
    batch: usize,
    channels: usize,
    out: usize,
    input: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: Padding,
}

/// Odd shapes on purpose: single pixels, non-square maps, channels that fill no vector, padding that is larger on any side,
/// kernels smaller than the stride, inputs that the stride does not divide, and planes on both sides of every threshold.
fn cases() -> Vec<Case> {
    let pad = |top, bottom, left, right| Padding { top, bottom, left, right };
    let shapes = [
        (2, 5, 7, [13, 13], [3, 3], [1, 1]),
        (2, 5, 7, [13, 13], [3, 3], [2, 2]),
        (1, 3, 32, [30, 30], [3, 3], [2, 2]),
        (3, 16, 6, [1, 1], [3, 3], [1, 1]),
        (3, 4, 6, [1, 1], [1, 1], [1, 1]),
        (2, 4, 6, [2, 3], [3, 3], [2, 2]),
        (2, 9, 70, [5, 5], [3, 3], [2, 2]),
        (8, 33, 66, [3, 3], [1, 1], [1, 1]),
        (2, 24, 17, [20, 19], [1, 1], [1, 1]),
        (1, 24, 17, [45, 47], [1, 1], [1, 1]),
        (2, 6, 5, [9, 8], [1, 1], [2, 2]),
        (2, 3, 4, [17, 6], [5, 5], [2, 2]),
        (1, 3, 4, [11, 23], [7, 7], [2, 2]),
        (1, 3, 4, [11, 23], [3, 3], [3, 3]),
        (2, 3, 4, [11, 14], [2, 5], [1, 3]),
        (1, 2, 2, [9, 9], [2, 2], [4, 3]),
        (2, 3, 2, [75, 75], [3, 3], [1, 1]),
        (1, 2, 2, [90, 91], [3, 3], [2, 2]),
        // Weights so large that tasks split them: gathered over several images, and 1×1 on planes as they lie.
        (8, 300, 310, [6, 7], [3, 3], [1, 1]),
        (3, 850, 860, [16, 17], [1, 1], [1, 1]),
    ];
    let mut cases = Vec::new();
    for (batch, channels, out, input, kernel, stride) in shapes {
        let same = Padding::same(input, kernel, stride);
        for padding in [same, Padding::valid(), Padding::all(1), pad(2, 0, 1, 3), pad(0, 1, 3, 0)] {
            let fits = input[0] + padding.top + padding.bottom >= kernel[0]
                && input[1] + padding.left + padding.right >= kernel[1];
            if fits && (channels < 100 || padding == same) {
                cases.push(Case { batch, channels, out, input, kernel, stride, padding });
            }
        }
    }
    cases
}

impl Case {
    fn x(&self) -> Tensor<4> {
        let [height, width] = self.input;
        tensor([self.batch, self.channels, height, width], 1.0).require_grad()
    }

    /// burn's convolution, of the input padded beforehand.
    fn expected(&self, x: &Tensor<4>, weight: &Tensor<4>, bias: Option<Tensor<1>>, groups: usize) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let Padding { top, bottom, left, right } = self.padding;
        let padded = Tensor::zeros([batch, channels, height + top + bottom, width + left + right], &device())
            .slice_assign([0..batch, 0..channels, top..top + height, left..left + width], x.clone());
        let options = ConvOptions::new(self.stride, [0, 0], [1, 1], groups);
        burn_conv2d(padded, weight.clone(), bias, options)
    }
}

/// A loss whose gradient differs from pixel to pixel.
fn loss(y: &Tensor<4>) -> Tensor<1> {
    let weights = tensor(y.dims(), 7.0);
    (y.clone() * weights).sum()
}

#[test]
fn dense_convolution_agrees_with_burn() {
    for (index, case) in cases().into_iter().enumerate() {
        let [kernel_h, kernel_w] = case.kernel;
        let x = case.x();
        let weight = tensor([case.out, case.channels, kernel_h, kernel_w], 2.0).require_grad();
        let bias = index.is_multiple_of(2).then(|| tensor([case.out], 3.0).require_grad());
        let y = conv2d(x.clone(), weight.clone(), bias.clone(), case.stride, case.padding);
        let expected = case.expected(&x, &weight, bias.clone(), 1);
        assert_close(&format!("{case:?} y"), &y, &expected, TOLERANCE);

        let (found, expected) = (loss(&y).backward(), loss(&expected).backward());
        let (dx, dw) = (x.grad(&found).unwrap(), weight.grad(&found).unwrap());
        assert_close(&format!("{case:?} dx"), &dx, &x.grad(&expected).unwrap(), TOLERANCE);
        assert_close(&format!("{case:?} dw"), &dw, &weight.grad(&expected).unwrap(), TOLERANCE);
        if let Some(bias) = bias {
            let (db, expected) = (bias.grad(&found).unwrap(), bias.grad(&expected).unwrap());
            assert_close(&format!("{case:?} db"), &db, &expected, TOLERANCE);
        }
    }
}

#[test]
fn depthwise_convolution_agrees_with_burn() {
    for case in cases() {
        let [kernel_h, kernel_w] = case.kernel;
        let x = case.x();
        let weight = tensor([case.channels, 1, kernel_h, kernel_w], 2.0).require_grad();
        let y = depthwise_conv2d(x.clone(), weight.clone(), case.stride, case.padding);
        let expected = case.expected(&x, &weight, None, case.channels);
        assert_close(&format!("{case:?} y"), &y, &expected, TOLERANCE);

        let (found, expected) = (loss(&y).backward(), loss(&expected).backward());
        let (dx, dw) = (x.grad(&found).unwrap(), weight.grad(&found).unwrap());
        assert_close(&format!("{case:?} dx"), &dx, &x.grad(&expected).unwrap(), TOLERANCE);
        assert_close(&format!("{case:?} dw"), &dw, &weight.grad(&expected).unwrap(), TOLERANCE);
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    let step = 1e-2;
    let (x_dims, dense_dims, depthwise_dims) = ([2, 3, 5, 4], [4, 3, 3, 3], [3, 1, 3, 3]);
    let padding = Padding::same([5, 4], [3, 3], [2, 2]);
    let dense = |x: Tensor<4>, w: Tensor<4>| loss(&conv2d(x, w, None, [2, 2], padding));
    let depthwise = |x: Tensor<4>, w: Tensor<4>| loss(&depthwise_conv2d(x, w, [2, 2], padding));
    type Loss<'a> = &'a dyn Fn(Tensor<4>, Tensor<4>) -> Tensor<1>;
    for (loss, w_dims) in [(&dense as Loss, dense_dims), (&depthwise as Loss, depthwise_dims)] {
        let x = values(x_dims.iter().product(), 1.0);
        let w = values(w_dims.iter().product(), 2.0);
        let (x_tensor, w_tensor) = (from(x.clone(), x_dims).require_grad(), from(w.clone(), w_dims).require_grad());
        let grads = loss(x_tensor.clone(), w_tensor.clone()).backward();
        let dx = numbers(&x_tensor.grad(&grads).unwrap());
        let dw = numbers(&w_tensor.grad(&grads).unwrap());
        let at = |x: &[f32], w: &[f32]| loss(from(x.to_vec(), x_dims), from(w.to_vec(), w_dims)).into_scalar::<f32>();
        let slope = |values: &[f32], index: usize, at: &dyn Fn(&[f32]) -> f32| {
            let (mut above, mut below) = (values.to_vec(), values.to_vec());
            above[index] += step;
            below[index] -= step;
            (at(&above) - at(&below)) / (2.0 * step)
        };
        for (index, &found) in dx.iter().enumerate() {
            let expected = slope(&x, index, &|x| at(x, &w));
            assert!((found - expected).abs() < 2e-3, "dx[{index}]: {found} {expected}");
        }
        for (index, &found) in dw.iter().enumerate() {
            let expected = slope(&w, index, &|w| at(&x, w));
            assert!((found - expected).abs() < 2e-3, "dw[{index}]: {found} {expected}");
        }
    }
}

#[test]
fn only_the_wanted_gradients_are_found() {
    let picture = tensor([1, 3, 8, 8], 1.0);
    let weight = tensor([4, 3, 3, 3], 2.0).require_grad();
    let frozen = tensor([4, 1, 3, 3], 3.0);
    let y = conv2d(picture.clone(), weight.clone(), None, [2, 2], Padding::all(1));
    let z = depthwise_conv2d(y, frozen.clone(), [1, 1], Padding::all(1));
    let grads = z.sum().backward();
    assert!(weight.grad(&grads).is_some());
    assert!(picture.grad(&grads).is_none() && frozen.grad(&grads).is_none());
}

#[test]
fn the_same_input_gives_the_same_bits() {
    let run = || {
        let x = tensor([8, 32, 19, 19], 1.0).require_grad();
        let pointwise = tensor([64, 32, 1, 1], 2.0).require_grad();
        let depthwise = tensor([64, 1, 3, 3], 3.0).require_grad();
        let dense = tensor([24, 64, 3, 3], 4.0).require_grad();
        let y = conv2d(x.clone(), pointwise.clone(), None, [1, 1], Padding::valid());
        let y = depthwise_conv2d(y, depthwise.clone(), [2, 2], Padding::all(1));
        let y = conv2d(y, dense.clone(), None, [1, 1], Padding::all(1));
        let grads = loss(&y).backward();
        [x, pointwise, depthwise, dense].map(|tensor| numbers(&tensor.grad(&grads).unwrap()))
    };
    let first = run();
    for _ in 0..5 {
        assert!(run() == first, "a repeated run differs");
    }
}

#[test]
fn views_are_read_as_they_look() {
    // A transposed and a sliced tensor share the memory of their source.
    let source = tensor([2, 6, 9, 7], 1.0);
    let view = source.clone().swap_dims(2, 3).slice([0..2, 1..5, 0..7, 2..9]);
    let copy = from(numbers(&view), view.dims());
    let weight = tensor([3, 4, 3, 3], 2.0);
    let depthwise = tensor([4, 1, 3, 3], 2.0);
    let dense = |x| conv2d(x, weight.clone(), None, [1, 1], Padding::all(1));
    assert_close("dense", &dense(view.clone()), &dense(copy.clone()), 0.0);
    let depthwise = |x| depthwise_conv2d(x, depthwise.clone(), [2, 2], Padding::all(1));
    assert_close("depthwise", &depthwise(view), &depthwise(copy), 0.0);
}

#[test]
fn an_empty_batch_passes_through() {
    let x = from(Vec::new(), [0, 4, 6, 6]).require_grad();
    let (dense, depthwise) = (tensor([5, 4, 3, 3], 1.0).require_grad(), tensor([5, 1, 3, 3], 1.0).require_grad());
    let y = conv2d(x, dense.clone(), None, [1, 1], Padding::all(1));
    let y = depthwise_conv2d(y, depthwise.clone(), [2, 2], Padding::all(1));
    assert_eq!(y.dims(), [0, 5, 3, 3]);
    let grads = y.sum().backward();
    assert_close("dense", &dense.grad(&grads).unwrap(), &Tensor::zeros_like(&dense), 0.0);
    assert_close("depthwise", &depthwise.grad(&grads).unwrap(), &Tensor::zeros_like(&depthwise), 0.0);
}

#[test]
fn a_dilated_convolution_agrees_with_burn() {
    for (input, kernel, stride, dilation, padding) in [
        ([13, 11], [3, 3], [1, 1], [2, 2], 2),
        ([19, 19], [3, 3], [1, 1], [6, 6], 6),
        ([14, 12], [3, 2], [2, 2], [2, 3], 3),
        ([12, 15], [3, 3], [3, 2], [2, 2], 1),
        ([12, 12], [1, 1], [2, 2], [4, 4], 0),
    ] {
        let what = format!("{input:?} {kernel:?} {stride:?} {dilation:?} {padding}");
        let (x, weight) = (tensor([2, 5, input[0], input[1]], 1.0), tensor([7, 5, kernel[0], kernel[1]], 2.0));
        let both = |conv: &dyn Fn(Tensor<4>, Tensor<4>) -> Tensor<4>| {
            let (x, weight) = (x.clone().detach().require_grad(), weight.clone().detach().require_grad());
            let y = conv(x.clone(), weight.clone());
            let grads = (y.clone() * tensor(y.dims(), 3.0)).sum().backward();
            let of = |t: &Tensor<4>| Tensor::from_inner(t.grad(&grads).expect("a gradient").inner());
            [y, of(&x), of(&weight)]
        };
        let ours = both(&|x, w| dilated_conv2d(x, w, None, stride, dilation, Padding::all(padding)));
        let options = || ConvOptions::new(stride, [padding; 2], dilation, 1);
        let burns = both(&|x, w| burn_conv2d(x, w, None, options()));
        for ((ours, burns), name) in ours.iter().zip(&burns).zip(["y", "dx", "dw"]) {
            assert_close(&format!("{what} {name}"), ours, burns, TOLERANCE);
        }
    }
}

#[test]
fn a_folded_convolution_is_one_with_its_normalization_and_activation() {
    for (index, case) in cases().into_iter().enumerate() {
        let [kernel_h, kernel_w] = case.kernel;
        let [height, width] = case.input;
        // Without and with a gradient tape, which has no kernel for it.
        let device = if index.is_multiple_of(3) { device() } else { Device::flex() };
        let on = |tensor: Tensor<4>| Tensor::<4>::from_data(tensor.into_data(), &device);
        let x = on(tensor([case.batch, case.channels, height, width], 1.0));
        let activation = [Activation::None, Activation::Relu, Activation::Relu6][index % 3];
        for depthwise in [false, true] {
            let (out, of_weight) = if depthwise { (case.channels, 1) } else { (case.out, case.channels) };
            let weight = on(tensor([out, of_weight, kernel_h, kernel_w], 2.0));
            let flat = |seed| Tensor::<1>::from_data(tensor([out], seed).into_data(), &device);
            let (scale, shift) = (flat(3.0), flat(4.0));
            let plain = if depthwise {
                depthwise_conv2d(x.clone(), weight.clone(), case.stride, case.padding)
            } else {
                conv2d(x.clone(), weight.clone(), None, case.stride, case.padding)
            };
            let expected = affine_activation(plain, scale.clone(), shift.clone(), activation);
            let zeros = Tensor::zeros([out], &device);
            let folded =
                FoldedConv::new(weight, zeros, depthwise, case.stride, [1, 1], activation).scaled(scale, shift);
            let found = folded.forward(x.clone(), case.padding);
            assert_close(&format!("{case:?} depthwise {depthwise}"), &found, &expected, TOLERANCE);
            // Once more, now that the weight is packed.
            assert_eq!(numbers(&folded.forward(x.clone(), case.padding)), numbers(&found));
        }
    }
}

/// Both gradients of dense convolutions are found side by side; who finds which part must not show.
#[test]
fn the_gradients_are_the_same_bits_however_the_threads_take_turns() {
    let gradients = |[channels, out, size, kernel]: [usize; 4]| {
        let x = tensor([3, channels, size, size], 0.3).require_grad();
        let weight = tensor([out, channels, kernel, kernel], 0.7).require_grad();
        let y = conv2d(x.clone(), weight.clone(), None, [1, 1], Padding::all(kernel / 2));
        let found = y.square().sum().backward();
        [numbers(&x.grad(&found).unwrap()), numbers(&weight.grad(&found).unwrap())].concat()
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
    for case in [[24, 33, 20, 1], [40, 70, 7, 1], [9, 17, 19, 3]] {
        let first: Vec<u32> = pool.install(|| gradients(case)).into_iter().map(f32::to_bits).collect();
        for _ in 0..8 {
            let again: Vec<u32> = pool.install(|| gradients(case)).into_iter().map(f32::to_bits).collect();
            assert!(first == again, "{case:?}");
        }
    }
}
