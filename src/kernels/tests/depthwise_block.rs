//! The block against its three operators one after the other, and against burn's composition.

use super::{assert_close, from, tensor, values};
use crate::backend::{BlockGradients, BlockState, KernelBackend, KernelGradients};
use crate::composed;
use crate::depthwise_block::BlockPlan;
use crate::geometry::ConvGeometry;
use crate::{Activation, LayerShape, Norm, Padding, depthwise_block, depthwise_conv2d, trace};
use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::{Tensor, TensorData};

/// Input with batch and channels, stride and padding: single pixels, borders on any side, more channels than tasks.
fn cases() -> Vec<([usize; 4], [usize; 2], Padding)> {
    let same = |input: [usize; 4], stride| (input, stride, Padding::same([input[2], input[3]], [3, 3], stride));
    vec![
        same([2, 5, 13, 13], [1, 1]),
        same([3, 40, 9, 8], [2, 2]),
        same([8, 3, 1, 1], [1, 1]),
        same([2, 2, 75, 75], [2, 2]),
        same([1, 4, 38, 38], [1, 1]),
        ([2, 3, 17, 6], [3, 2], Padding { top: 2, bottom: 0, left: 0, right: 1 }),
    ]
}

/// Wide enough that both ends of ReLU6 are reached.
fn wide(dims: [usize; 4]) -> Vec<f32> {
    values(dims.iter().product(), 1.0).into_iter().map(|x| 9.0 * x + 2.5).collect()
}

fn norm(channels: usize, seed: f64, activation: Activation) -> Norm {
    Norm {
        gamma: (tensor([channels], seed) * 3.0).require_grad(),
        beta: (tensor([channels], seed + 1.0) + 1.0).require_grad(),
        epsilon: 1e-3,
        activation,
    }
}

#[test]
fn the_block_is_its_three_operators() {
    for (dims, stride, padding) in cases() {
        for activations in [[Activation::Relu6, Activation::Relu6], [Activation::None, Activation::Relu]] {
            let case = format!("{dims:?} {stride:?} {activations:?}");
            let x = from(wide(dims), dims).require_grad();
            let weight = tensor([dims[1], 1, 3, 3], 2.0).require_grad();
            let (before, after) = (norm(dims[1], 3.0, activations[0]), norm(dims[1], 5.0, activations[1]));
            let (y, found) = depthwise_block(x.clone(), before.clone(), weight.clone(), stride, padding, after.clone());
            let (between, first) = before.clone().forward(x.clone());
            let (expected, second) = after.clone().forward(depthwise_conv2d(between, weight.clone(), stride, padding));
            assert_close(&format!("{case} y"), &y, &expected, 1e-5);
            for (nth, (found, expected)) in found.iter().zip([first, second]).enumerate() {
                assert_close(&format!("{case} mean {nth}"), &found.mean, &expected.mean, 1e-6);
                assert_close(&format!("{case} variance {nth}"), &found.variance, &expected.variance, 1e-6);
            }
            let loss = |y: Tensor<4>| (y.clone() * tensor(y.dims(), 7.0)).sum();
            let (found, expected) = (loss(y).backward(), loss(expected).backward());
            let per_channel = [
                ("first gamma", &before.gamma),
                ("first beta", &before.beta),
                ("second gamma", &after.gamma),
                ("second beta", &after.beta),
            ];
            for (name, parameter) in per_channel {
                let gradients = [&found, &expected].map(|gradients| parameter.grad(gradients).unwrap());
                assert_close(&format!("{case} {name}"), &gradients[0], &gradients[1], 2e-4);
            }
            assert_close(&format!("{case} dw"), &weight.grad(&found).unwrap(), &weight.grad(&expected).unwrap(), 2e-4);
            // With one value of a channel the gradient is a difference of near numbers: compare by the size of gamma.
            let off = (x.grad(&found).unwrap() - x.grad(&expected).unwrap()).abs().max().into_scalar::<f32>();
            assert!(off < 2e-4, "{case} dx: {off:e}");
        }
    }
}

#[test]
fn what_other_devices_run_agrees() {
    let primitive = |tensor: Vec<f32>, dims: &[usize]| FlexTensor::from_data(TensorData::new(tensor, dims.to_vec()));
    let per_channel = |seed: f64| primitive(values(5, seed).into_iter().map(|x| 1.5 + x).collect(), &[5]);
    let numbers = |tensor: FlexTensor| tensor.into_data().try_to_vec::<f32>().expect("an f32 tensor");
    for stride in [[1, 1], [2, 2]] {
        let plan = BlockPlan {
            geometry: ConvGeometry::new("test", [9, 8], [3, 3], stride, Padding::same([9, 8], [3, 3], stride)),
            epsilon: [1e-3, 1e-2],
            activation: [Activation::Relu6, Activation::Relu],
        };
        let x = primitive(wide([2, 5, 9, 8]), &[2, 5, 9, 8]);
        let weight = primitive(values(45, 2.0), &[5, 1, 3, 3]);
        let [a, b, c, d] = [3.0, 4.0, 5.0, 6.0].map(per_channel);
        let arguments = || (x.clone(), [a.clone(), b.clone()], weight.clone(), [c.clone(), d.clone()]);
        let (of_x, first, of_weight, second) = arguments();
        let expected = composed::depthwise_block::<Flex>(of_x, first, of_weight, second, plan);
        let (of_x, [a1, b1], of_weight, [c1, d1]) = arguments();
        let found = Flex::depthwise_block(of_x, a1, b1, of_weight, c1, d1, plan);
        let state = || BlockState::<Flex> {
            x: x.clone(),
            weight: weight.clone(),
            z: found.1.clone(),
            norms: [
                [a.clone(), b.clone(), found.2.clone(), found.3.clone()],
                [c.clone(), d.clone(), found.4.clone(), found.5.clone()],
            ],
            plan,
        };
        let [_, _, height, width]: [usize; 4] = found.0.layout().shape().dims();
        let gradient = primitive(values(10 * height * width, 7.0), &[2, 5, height, width]);
        let flat = |found: BlockGradients<Flex>| {
            let [[a, b], [c, d]] = found.norms;
            [found.x, found.weight, a, b, c, d].map(|found| numbers(found.expect("a gradient")))
        };
        let gradients = flat(Flex::depthwise_block_backward(state(), gradient.clone()));
        let of_composed = flat(composed::depthwise_block_backward::<Flex>(state(), gradient));
        for (index, (found, expected)) in gradients.iter().zip(&of_composed).enumerate() {
            super::assert_near(&format!("{stride:?} gradient {index}"), found, expected, 1e-4);
        }
        let pairs = [
            (found.0, expected.0),
            (found.1, expected.1),
            (found.2, expected.2),
            (found.3, expected.3),
            (found.4, expected.4),
            (found.5, expected.5),
        ];
        for (index, (found, expected)) in pairs.into_iter().enumerate() {
            super::assert_near(&format!("{stride:?} result {index}"), &numbers(found), &numbers(expected), 2e-5);
        }
    }
}

#[test]
fn a_trace_sees_the_three_operators() {
    let (x, weight) = (tensor([1, 3, 8, 8], 1.0), tensor([3, 1, 3, 3], 2.0));
    let relu = || norm(3, 3.0, Activation::Relu);
    let shapes = trace(|| {
        depthwise_block(x, relu(), weight, [2, 2], Padding::all(1), relu());
    });
    let kinds: Vec<_> = shapes.iter().map(LayerShape::kind).collect();
    assert_eq!(kinds, ["batch norm", "depthwise convolution", "batch norm"]);
    assert_eq!(shapes[2].output(), [1, 3, 4, 4]);
}
