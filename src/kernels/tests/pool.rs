//! Pooling and cutting boxes out: against burn's own operators, by hand, and against what other devices run.

use super::{assert_close, device, from, numbers, tensor, values};
use crate::backend::{KernelBackend, KernelGradients};
use crate::crops::Crops;
use crate::geometry::ConvGeometry;
use crate::{Padding, avg_pool2d, composed, crop_and_resize, max_pool2d};
use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::module::{avg_pool2d as burn_avg_pool2d, max_pool2d as burn_max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use burn::tensor::{Tensor, TensorData};
use std::sync::Arc;

const TOLERANCE: f32 = 2e-5;

fn flex<const D: usize>(dims: [usize; D], seed: f64) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values(dims.iter().product(), seed), dims))
}

#[track_caller]
fn assert_same(what: &str, found: FlexTensor, expected: FlexTensor) {
    let (found, expected) = (found.into_data(), expected.into_data());
    assert_eq!(found.shape(), expected.shape(), "{what}: shape");
    let numbers = |data: TensorData| data.try_to_vec::<f32>().expect("an f32 tensor");
    super::assert_near(what, &numbers(found), &numbers(expected), TOLERANCE);
}

/// Result and gradient of a pooling, for an upstream gradient that differs at each place.
fn both(x: &Tensor<4>, pool: impl Fn(Tensor<4>) -> Tensor<4>) -> (Tensor<4>, Tensor<4>) {
    let x = x.clone().detach().require_grad();
    let y = pool(x.clone());
    let upstream = tensor(y.dims(), 9.0);
    let gradient = x.grad(&(y.clone() * upstream).sum().backward()).expect("a gradient");
    (y, Tensor::from_inner(gradient.inner()))
}

#[test]
fn pooling_agrees_with_burn_where_burn_can_pad() {
    for (input, kernel, stride, padding) in
        [([9, 8], 3, 2, 1), ([6, 7], 2, 2, 0), ([5, 5], 3, 1, 1), ([7, 9], 1, 2, 0), ([3, 2], 2, 1, 1)]
    {
        let what = format!("{input:?} {kernel} {stride} {padding}");
        let x = tensor([2, 3, input[0], input[1]], 1.0);
        let ours = both(&x, |x| max_pool2d(x, [kernel; 2], [stride; 2], Padding::all(padding)));
        let options = MaxPoolOptions {
            kernel_size: [kernel; 2],
            stride: [stride; 2],
            padding: [(padding, padding); 2],
            dilation: [1, 1],
            ceil_mode: false,
        };
        let burns = both(&x, |x| burn_max_pool2d(x, options.clone()));
        assert_close(&what, &ours.0, &burns.0, 0.0);
        assert_close(&what, &ours.1, &burns.1, TOLERANCE);
        let ours = both(&x, |x| avg_pool2d(x, [kernel; 2], [stride; 2], Padding::all(padding)));
        let options = AvgPoolOptions {
            kernel_size: [kernel; 2],
            stride: [stride; 2],
            padding: [(padding, padding); 2],
            count_include_pad: false,
            ceil_mode: false,
        };
        let burns = both(&x, |x| burn_avg_pool2d(x, options.clone()));
        assert_close(&what, &ours.0, &burns.0, TOLERANCE);
        assert_close(&what, &ours.1, &burns.1, TOLERANCE);
    }
}

#[test]
fn asymmetric_padding_by_hand() {
    // TensorFlow pads a side of 4 for a kernel of 3 and a stride of 2 below and to the right only.
    let x = from((1..=16).map(|v| v as f32 - 20.0).collect(), [1, 1, 4, 4]);
    let same = Padding::same([4, 4], [3, 3], [2, 2]);
    let (y, gradient) = both(&x, |x| max_pool2d(x, [3, 3], [2, 2], same));
    // All values are below zero: padding of 0 would win.
    assert_eq!(numbers(&y), [-9.0, -8.0, -5.0, -4.0]);
    let upstream = numbers(&tensor([1, 1, 2, 2], 9.0));
    let mut wanted = vec![0.0; 16];
    for (place, value) in [(10, upstream[0]), (11, upstream[1]), (14, upstream[2]), (15, upstream[3])] {
        wanted[place] = value;
    }
    assert_eq!(numbers(&gradient), wanted);
    let (mean, _) = both(&x, |x| avg_pool2d(x, [3, 3], [2, 2], same));
    // The mean of 9, 6, 6 and 4 places.
    assert_eq!(numbers(&mean), [-14.0, -12.5, -8.0, -6.5]);
}

#[test]
fn of_equal_values_the_first_has_the_gradient() {
    let x = from(vec![0.0; 9], [1, 1, 3, 3]);
    let (_, gradient) = both(&x, |x| max_pool2d(x, [3, 3], [3, 3], Padding::valid()));
    let gradient = numbers(&gradient);
    assert_ne!(gradient[0], 0.0);
    assert!(gradient[1..].iter().all(|v| *v == 0.0));
}

#[test]
fn what_other_devices_run_pools_alike() {
    for (input, kernel, stride) in [([9, 8], 3, 2), ([8, 10], 3, 2), ([7, 5], 2, 2), ([6, 6], 3, 1), ([5, 4], 1, 2)] {
        let padding = Padding::same(input, [kernel; 2], [stride; 2]);
        let geometry = ConvGeometry::new("test", input, [kernel; 2], [stride; 2], padding);
        let what = format!("{geometry:?}");
        let x = flex([2, 3, input[0], input[1]], 1.0);
        let gradient = flex([2, 3, geometry.output[0], geometry.output[1]], 2.0);
        assert_same(&what, composed::max_pool::<Flex>(x.clone(), geometry), Flex::max_pool(x.clone(), geometry));
        assert_same(&what, composed::avg_pool::<Flex>(x.clone(), geometry), Flex::avg_pool(x.clone(), geometry));
        assert_same(
            &what,
            composed::max_pool_backward::<Flex>(x.clone(), gradient.clone(), geometry),
            Flex::max_pool_backward(x.clone(), gradient.clone(), geometry),
        );
        assert_same(
            &what,
            composed::avg_pool_backward::<Flex>(x.clone(), gradient.clone(), geometry),
            Flex::avg_pool_backward(x, gradient, geometry),
        );
    }
}

fn crops(size: [usize; 2]) -> Crops {
    Crops {
        boxes: vec![
            [0.0, 0.0, 1.0, 1.0],
            [0.1, 0.3, 0.8, 0.35],
            [-0.2, 0.5, 0.4, 1.3],
            [0.9, 0.8, 0.1, 0.2],
            [0.5, 0.5, 0.5, 0.5],
        ],
        images: vec![1, 0, 1, 1, 0],
        size,
    }
}

#[test]
fn what_other_devices_run_cuts_alike() {
    for size in [[4, 3], [1, 1], [14, 14]] {
        let crops = Arc::new(crops(size));
        let x = flex([2, 3, 6, 9], 1.0);
        let gradient = flex([5, 3, size[0], size[1]], 2.0);
        let found = composed::crop_and_resize::<Flex>(x.clone(), &crops);
        assert_same("crops", found, Flex::crop_and_resize(x.clone(), Arc::clone(&crops)));
        let found = composed::crop_and_resize_backward::<Flex>(x.clone(), gradient.clone(), &crops);
        assert_same("gradient", found, Flex::crop_and_resize_backward(x, gradient, crops));
    }
}

#[test]
fn the_gradient_of_a_crop_is_what_differences_say() {
    let crops = crops([3, 4]);
    let start = values(2 * 2 * 5 * 4, 3.0);
    let upstream = tensor([5, 2, 3, 4], 4.0);
    let loss = |x: Tensor<4>| (crop_and_resize(x, &crops.boxes, &crops.images, crops.size) * upstream.clone()).sum();
    let x = from(start.clone(), [2, 2, 5, 4]).require_grad();
    let gradient = numbers(&x.grad(&loss(x.clone()).backward()).expect("a gradient"));
    // The crop is linear in the picture, so a large step is exact.
    for (place, found) in gradient.iter().enumerate() {
        let at = |step: f32| {
            let mut moved = start.clone();
            moved[place] += step;
            loss(from(moved, [2, 2, 5, 4])).into_scalar::<f32>()
        };
        let difference = (at(2.0) - at(-2.0)) / 4.0;
        assert!((difference - found).abs() < 2e-4, "at {place}: {found} instead of {difference}");
    }
}

#[test]
fn no_boxes_cut_nothing() {
    let x = Tensor::<4>::zeros([1, 2, 3, 3], &device());
    assert_eq!(crop_and_resize(x, &[], &[], [2, 2]).dims(), [0, 2, 2, 2]);
}
