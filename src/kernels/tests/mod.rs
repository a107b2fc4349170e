//! The operators against burn's own compositions, finite differences, and TensorFlow's numbers.

mod composed;
mod conv;
mod depthwise_block;
mod layer_shape;
mod norm;
mod parity;
mod parity_layers;
mod pool;
mod update;

use burn::tensor::{Device, Tensor, TensorData};

/// The CPU with a gradient tape.
fn device() -> Device {
    Device::flex().autodiff()
}

/// Values that look random but are the same in every run: the fractional parts of multiples of an irrational number.
fn values(len: usize, seed: f64) -> Vec<f32> {
    (0..len)
        .map(|index| {
            let x = (index as f64 + 1.0) * 0.754_877_666_246_692_7 + seed * 0.569_840_290_998_053_3;
            let y = (x.fract() * 43.0 + index as f64 * 0.137).sin() * 91.7;
            ((y - y.floor()) * 2.0 - 1.0) as f32
        })
        .collect()
}

fn tensor<const D: usize>(dims: [usize; D], seed: f64) -> Tensor<D> {
    from(values(dims.iter().product(), seed), dims)
}

fn from<const D: usize>(values: Vec<f32>, dims: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, dims), &device())
}

fn numbers<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.clone().into_data().try_to_vec().expect("an f32 tensor")
}

/// Checks that no value differs by more than `tolerance` of the largest expected one.
#[track_caller]
fn assert_close<const D: usize>(what: &str, found: &Tensor<D>, expected: &Tensor<D>, tolerance: f32) {
    assert_eq!(found.dims(), expected.dims(), "{what}: shape");
    assert_near(what, &numbers(found), &numbers(expected), tolerance);
}

#[track_caller]
fn assert_near(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{what}: count");
    let size = expected.iter().fold(1e-3f32, |size, value| size.max(value.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let deviation = (found - expected).abs() / size;
        assert!(deviation <= tolerance, "{what}[{index}]: {found} instead of {expected}, {deviation:e} of the largest");
    }
}
