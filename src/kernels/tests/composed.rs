//! What other devices run, on the CPU beside the kernels: the two must agree, forward and backward.

use super::values;
use crate::Activation;
use crate::backend::{ConvGradients, KernelBackend, KernelGradients, NormState, Wanted};
use crate::composed;
use crate::geometry::{ConvGeometry, Padding};
use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::TensorData;

const ALL: Wanted = Wanted { x: true, parameters: true, bias: true };

fn tensor<const D: usize>(dims: [usize; D], seed: f64) -> FlexTensor {
    let values = values(dims.iter().product(), seed);
    FlexTensor::from_data(TensorData::new(values, dims))
}

#[track_caller]
fn assert_same(what: &str, found: FlexTensor, expected: FlexTensor) {
    let (found, expected) = (found.into_data(), expected.into_data());
    assert_eq!(found.shape(), expected.shape(), "{what}: shape");
    let numbers = |data: TensorData| data.try_to_vec::<f32>().expect("an f32 tensor");
    super::assert_near(what, &numbers(found), &numbers(expected), 2e-5);
}

fn assert_same_gradients(what: &str, found: ConvGradients<Flex>, expected: ConvGradients<Flex>) {
    for (name, found, expected) in
        [("dx", found.x, expected.x), ("dw", found.weight, expected.weight), ("db", found.bias, expected.bias)]
    {
        assert_eq!(found.is_some(), expected.is_some(), "{what} {name}");
        if let (Some(found), Some(expected)) = (found, expected) {
            assert_same(&format!("{what} {name}"), found, expected);
        }
    }
}

/// Symmetric and asymmetric padding, and an input that the stride does not divide.
fn geometries() -> Vec<ConvGeometry> {
    let uneven = Padding { top: 2, bottom: 0, left: 0, right: 1 };
    [
        ([9, 8], [1, 1], Padding::all(1)),
        ([8, 10], [2, 2], Padding::same([8, 10], [3, 3], [2, 2])),
        ([9, 8], [2, 2], Padding::all(1)),
        ([7, 6], [1, 2], uneven),
    ]
    .into_iter()
    .map(|(input, stride, padding)| ConvGeometry::new("test", input, [3, 3], stride, padding))
    .collect()
}

#[test]
fn convolutions() {
    for geometry in geometries() {
        let what = format!("{geometry:?}");
        let [height, width] = geometry.input;
        let [out_h, out_w] = geometry.output;
        let x = tensor([2, 5, height, width], 1.0);
        let (dense, depthwise) = (tensor([4, 5, 3, 3], 2.0), tensor([5, 1, 3, 3], 3.0));
        let bias = tensor([4], 4.0);

        let found = composed::conv::<Flex>(x.clone(), dense.clone(), Some(bias.clone()), geometry, 1);
        let expected = Flex::dense_conv_bias(x.clone(), dense.clone(), bias, geometry);
        assert_same(&what, found, expected);
        let gradient = tensor([2, 4, out_h, out_w], 5.0);
        let found = composed::conv_backward::<Flex>(x.clone(), dense.clone(), gradient.clone(), geometry, 1, ALL);
        let expected = Flex::dense_conv_backward(x.clone(), dense, gradient, geometry, ALL);
        assert_same_gradients(&what, found, expected);

        let found = composed::depthwise::<Flex>(x.clone(), depthwise.clone(), geometry);
        let expected = Flex::depthwise_conv(x.clone(), depthwise.clone(), geometry);
        assert_same(&what, found, expected);
        let gradient = tensor([2, 5, out_h, out_w], 6.0);
        let wanted = Wanted { bias: false, ..ALL };
        let found =
            composed::depthwise_backward::<Flex>(x.clone(), depthwise.clone(), gradient.clone(), geometry, wanted);
        let expected = Flex::depthwise_conv_backward(x, depthwise, gradient, geometry, wanted);
        assert_same_gradients(&what, found, expected);
    }
}

#[test]
fn channel_operators() {
    let dims = [3, 4, 6, 5];
    // A spread that reaches both ends of ReLU6.
    let x = {
        let values = values(dims.iter().product(), 1.0);
        let values: Vec<f32> = values.into_iter().map(|x| 9.0 * x + 2.0).collect();
        FlexTensor::from_data(TensorData::new(values, dims))
    };
    let gradient = tensor(dims, 5.0);
    assert_same("hard swish", composed::hard_swish::<Flex>(x.clone()), Flex::hard_swish(x.clone()));
    let found = composed::hard_swish_backward::<Flex>(x.clone(), gradient.clone());
    assert_same("hard swish dx", found, Flex::hard_swish_backward(x.clone(), gradient));
    let (scale, shift) = (tensor([4], 2.0), tensor([4], 3.0));
    for activation in [Activation::None, Activation::Relu, Activation::Relu6] {
        let what = format!("{activation:?}");
        let gradient = tensor(dims, 5.0);

        let found = composed::activate::<Flex>(x.clone(), activation);
        let y = Flex::activate(x.clone(), activation);
        assert_same(&what, found, y.clone());
        let found = composed::mask_gradient::<Flex>(y.clone(), activation, gradient.clone());
        assert_same(&what, found, Flex::activate_backward(y, activation, gradient.clone()));

        let found = composed::affine::<Flex>(x.clone(), scale.clone(), shift.clone(), activation);
        let expected = Flex::affine(x.clone(), scale.clone(), shift.clone(), activation);
        assert_same(&what, found, expected);
        let of = |backward: fn(_, _, _, _, _, _) -> _| -> crate::backend::ChannelGradients<Flex> {
            let gradient = gradient.clone();
            backward(x.clone(), scale.clone(), shift.clone(), activation, gradient, ALL)
        };
        let found = of(composed::affine_backward::<Flex>);
        let expected = of(Flex::affine_backward);
        assert_same(&what, found.x, expected.x);
        assert_same(&what, found.scale.unwrap(), expected.scale.unwrap());
        assert_same(&what, found.shift.unwrap(), expected.shift.unwrap());

        let (y, mean, variance) =
            composed::norm_activation::<Flex>(x.clone(), scale.clone(), shift.clone(), 1e-3, activation);
        let expected = Flex::norm_activation(x.clone(), scale.clone(), shift.clone(), 1e-3, activation);
        assert_same(&what, y, expected.0);
        assert_same(&what, mean.clone(), expected.1);
        assert_same(&what, variance.clone(), expected.2);
        let state = || NormState {
            x: x.clone(),
            gamma: scale.clone(),
            beta: shift.clone(),
            mean: mean.clone(),
            variance: variance.clone(),
            epsilon: 1e-3,
            activation,
        };
        let found = composed::norm_activation_backward::<Flex>(state(), gradient.clone());
        let expected = Flex::norm_activation_backward(state(), gradient.clone());
        assert_same(&what, found.x, expected.x);
        assert_same(&what, found.scale.unwrap(), expected.scale.unwrap());
        assert_same(&what, found.shift.unwrap(), expected.shift.unwrap());
    }
}
