//! Batch normalization, the affine map and the activations.

use super::{assert_close, device, from, numbers, tensor, values};
use crate::{Activation, activation, affine_activation, batch_norm_train, hard_swish};
use burn::tensor::Tensor;

const ACTIVATIONS: [Activation; 3] = [Activation::None, Activation::Relu, Activation::Relu6];
const SHAPES: [[usize; 4]; 6] =
    [[2, 5, 13, 13], [8, 3, 1, 1], [1, 7, 4, 9], [3, 17, 5, 1], [2, 4, 75, 75], [1, 1, 2, 2]];

fn planes(parameter: Tensor<1>) -> Tensor<4> {
    let channels = parameter.dims()[0];
    parameter.reshape([1, channels, 1, 1])
}

fn activated(y: Tensor<4>, activation: Activation) -> Tensor<4> {
    match activation {
        Activation::None => y,
        Activation::Relu => y.clamp_min(0.0),
        Activation::Relu6 => y.clamp(0.0, 6.0),
    }
}

fn loss(y: &Tensor<4>) -> Tensor<1> {
    let weights = tensor(y.dims(), 7.0);
    (y.clone() * weights).sum()
}

/// Wide enough that both ends of ReLU6 are reached.
fn input(dims: [usize; 4]) -> Tensor<4> {
    let values = values(dims.iter().product(), 1.0);
    from(values.into_iter().map(|x| 9.0 * x + 2.5).collect(), dims).require_grad()
}

#[test]
fn batch_normalization_agrees_with_its_definition() {
    let epsilon = 1e-3;
    for dims in SHAPES {
        for activation in ACTIVATIONS {
            let case = format!("{dims:?} {activation:?}");
            let x = input(dims);
            let gamma = (tensor([dims[1]], 2.0) * 3.0).require_grad();
            let beta = (tensor([dims[1]], 3.0) + 1.0).require_grad();
            let (y, mean, variance) = batch_norm_train(x.clone(), gamma.clone(), beta.clone(), epsilon, activation);

            let over = |x: Tensor<4>| x.mean_dim(0).mean_dim(2).mean_dim(3);
            let expected_mean = over(x.clone());
            let centered = x.clone() - expected_mean.clone();
            let expected_variance = over(centered.clone() * centered.clone());
            let deviation = (expected_variance.clone() + epsilon).sqrt();
            let expected = activated(centered / deviation * planes(gamma.clone()) + planes(beta.clone()), activation);
            let flat = |x: Tensor<4>| x.reshape([dims[1]]);
            assert_close(&format!("{case} mean"), &mean, &flat(expected_mean), 1e-5);
            assert_close(&format!("{case} variance"), &variance, &flat(expected_variance), 1e-5);
            assert_close(&format!("{case} y"), &y, &expected, 1e-5);

            let (found, expected) = (loss(&y).backward(), loss(&expected).backward());
            for (name, found, expected) in [
                ("dgamma", gamma.grad(&found), gamma.grad(&expected)),
                ("dbeta", beta.grad(&found), beta.grad(&expected)),
            ] {
                let name = format!("{case} {name}");
                assert_close(&name, &found.unwrap(), &expected.unwrap(), 1e-4);
            }
            // With one or two values of a channel the gradient is a difference of near numbers: compare by the size of gamma.
            let (dx, expected) = (x.grad(&found).unwrap(), x.grad(&expected).unwrap());
            let off = (dx - expected).abs().max().into_scalar::<f32>();
            assert!(off < 2e-4, "{case} dx: {off:e}");
        }
    }
}

#[test]
fn statistics_are_detached() {
    let x = input([2, 3, 4, 4]);
    let one = Tensor::ones([3], &device());
    let (_, mean, variance) = batch_norm_train(x.clone(), one.clone(), one, 1e-3, Activation::None);
    let on_the_side = tensor([3], 1.0).require_grad();
    let grads = ((mean + variance) * on_the_side.clone()).sum().backward();
    assert!(x.grad(&grads).is_none());
    assert!(on_the_side.grad(&grads).is_some());
}

#[test]
fn the_affine_map_agrees_with_burn() {
    for dims in SHAPES {
        for activation in ACTIVATIONS {
            let case = format!("{dims:?} {activation:?}");
            let x = input(dims);
            let scale = tensor([dims[1]], 2.0).require_grad();
            let shift = tensor([dims[1]], 3.0).require_grad();
            let y = affine_activation(x.clone(), scale.clone(), shift.clone(), activation);
            let expected = activated(x.clone() * planes(scale.clone()) + planes(shift.clone()), activation);
            assert_close(&format!("{case} y"), &y, &expected, 1e-6);
            let (found, expected) = (loss(&y).backward(), loss(&expected).backward());
            let dx = (x.grad(&found).unwrap(), x.grad(&expected).unwrap());
            assert_close(&format!("{case} dx"), &dx.0, &dx.1, 1e-6);
            for (name, parameter) in [("dscale", scale), ("dshift", shift)] {
                let found = parameter.grad(&found).unwrap();
                let expected = parameter.grad(&expected).unwrap();
                assert_close(&format!("{case} {name}"), &found, &expected, 1e-4);
            }
        }
    }
}

#[test]
fn frozen_parameters_still_pass_the_gradient_on() {
    let x = input([2, 3, 4, 4]);
    let scale = from(vec![2.0, -1.0, 0.5], [3]);
    let shift = from(vec![0.0, 1.0, 2.0], [3]);
    let y = affine_activation(x.clone(), scale.clone(), shift, Activation::None);
    let grads = y.sum().backward();
    let expected = Tensor::ones([2, 3, 4, 4], &device()) * planes(scale.clone());
    assert_close("dx", &x.grad(&grads).unwrap(), &expected, 0.0);
    assert!(scale.grad(&grads).is_none());
}

#[test]
fn activations_clamp_and_mask() {
    let edges = vec![-3.0, 0.0, 0.5, 5.5, 6.0, 8.0];
    for (kind, y, gradient) in [
        (Activation::None, edges.clone(), [1.0; 6]),
        (Activation::Relu, vec![0.0, 0.0, 0.5, 5.5, 6.0, 8.0], [0.0, 0.0, 1.0, 1.0, 1.0, 1.0]),
        (Activation::Relu6, vec![0.0, 0.0, 0.5, 5.5, 6.0, 6.0], [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]),
    ] {
        let x = from(edges.clone(), [1, 1, 2, 3]).require_grad();
        let found = activation(x.clone(), kind);
        assert_eq!(numbers(&found), y, "{kind:?}");
        let grads = found.sum().backward();
        assert_eq!(numbers(&x.grad(&grads).unwrap()), gradient, "{kind:?}");
    }
}

#[test]
fn the_hard_swish_agrees_with_burn() {
    let edges = from(vec![-5.0, -3.0, -1.5, 0.0, 3.0, f32::NAN], [1, 1, 2, 3]).require_grad();
    let found = hard_swish(edges.clone());
    let gradient = numbers(&edges.grad(&found.clone().sum().backward()).unwrap());
    let found = numbers(&found);
    assert_eq!((&found[..5], &gradient[..5]), (&[0.0, 0.0, -0.375, 0.0, 3.0][..], &[0.0, 0.0, 0.0, 0.5, 1.0][..]));
    assert!(found[5].is_nan() && gradient[5].is_nan());
    for dims in SHAPES {
        let x = input(dims);
        let expected = x.clone() * (x.clone() + 3.0).clamp(0.0, 6.0) / 6.0;
        let y = hard_swish(x.clone());
        assert_close(&format!("{dims:?} y"), &y, &expected, 1e-6);
        let (found, expected) = (x.grad(&loss(&y).backward()).unwrap(), x.grad(&loss(&expected).backward()).unwrap());
        assert_close(&format!("{dims:?} dx"), &found, &expected, 1e-6);
        // Over its own input, which nobody else holds.
        let alone = x.clone().without_autodiff() + 0.0f32;
        assert_eq!(numbers(&hard_swish(alone)), numbers(&y));
    }
}

#[test]
fn an_input_that_is_held_elsewhere_stays_as_it_is() {
    // Without a tape the operators may write over an input that nobody else holds.
    let plain = burn::tensor::Device::flex();
    let x = Tensor::<4>::from_data([[[[-1.0f32, 7.0]]]], &plain);
    let one = Tensor::ones([1], &plain);
    let kept = x.clone();
    assert_eq!(numbers(&activation(x.clone(), Activation::Relu6)), [0.0, 6.0]);
    let y = affine_activation(x, one.clone(), one, Activation::Relu6);
    assert_eq!(numbers(&y), [0.0, 6.0]);
    assert_eq!(numbers(&kept), [-1.0, 7.0]);
    assert_eq!(numbers(&activation(kept, Activation::Relu)), [0.0, 7.0]);
}

#[test]
fn a_shared_gradient_is_not_written_over() {
    // The same gradient reaches both operands of the sum.
    let (a, b) = (input([1, 2, 3, 3]), input([1, 2, 3, 3]));
    let sum = activation(a.clone(), Activation::Relu) + activation(b.clone() * -1.0, Activation::Relu);
    let grads = sum.sum().backward();
    let mask = |x: &[f32], passes: fn(f32) -> bool, value: f32| -> Vec<f32> {
        x.iter().map(|&x| if passes(x) { value } else { 0.0 }).collect()
    };
    let (of_a, of_b) = (numbers(&a), numbers(&b));
    assert_eq!(numbers(&a.grad(&grads).unwrap()), mask(&of_a, |x| x > 0.0, 1.0));
    let found: Vec<f32> = numbers(&b.grad(&grads).unwrap()).iter().map(|x| x + 0.0).collect();
    assert_eq!(found, mask(&of_b, |x| x < 0.0, -1.0));
}
