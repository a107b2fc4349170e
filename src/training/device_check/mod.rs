//! Does a device compute what the CPU computes?
//!
//! Graphics drivers and shader compilers have bugs, and a wrong convolution does not crash: it
//! trains a bad model. So each kind of layer that the detectors use is run on the device and on the
//! CPU, forward and backward, with the same numbers, and the results are compared.

use boxwright_kernels::{
    Activation, Padding, affine_activation, avg_pool2d, batch_norm_train, conv2d, crop_and_resize, depthwise_conv2d,
    dilated_conv2d, max_pool2d,
};
use burn::tensor::{Device, Tensor, TensorData};

use crate::device::{DeviceChoice, open_device};
use crate::draws::Draws;
use crate::error::TrainingError;

/// One kind of layer and how far the device is from the CPU.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerCheck {
    /// The layer, with its direction.
    pub layer: String,
    /// The largest deviation, as part of the largest value.
    pub deviation: f32,
    /// What is allowed.
    pub tolerance: f32,
    /// Whether the device may be trusted with it.
    pub agrees: bool,
}

/// The largest deviation allowed between two devices, as part of the largest value.
const TOLERANCE: f32 = 1e-3;

type Layer = fn(Tensor<4>, &[Tensor<4>]) -> Tensor<4>;

/// Name, shape of the input, shapes of the weights, and what is computed.
type LayerKind = (&'static str, [usize; 4], &'static [[usize; 4]], Layer);

/// The layers.
const LAYERS: [LayerKind; 10] = [
    ("convolution 3x3 stride 2", [2, 3, 17, 17], &[[8, 3, 3, 3]], |x, w| {
        conv2d(x, w[0].clone(), None, [2, 2], Padding::same([17, 17], [3, 3], [2, 2]))
    }),
    ("convolution 1x1", [2, 8, 9, 9], &[[16, 8, 1, 1]], |x, w| conv2d(x, w[0].clone(), None, [1, 1], Padding::valid())),
    ("depthwise 3x3", [2, 8, 9, 9], &[[8, 1, 3, 3]], |x, w| {
        depthwise_conv2d(x, w[0].clone(), [1, 1], Padding::same([9, 9], [3, 3], [1, 1]))
    }),
    ("depthwise 3x3 stride 2", [2, 8, 10, 10], &[[8, 1, 3, 3]], |x, w| {
        depthwise_conv2d(x, w[0].clone(), [2, 2], Padding::same([10, 10], [3, 3], [2, 2]))
    }),
    ("batch norm with ReLU6", [2, 8, 9, 9], &[[8, 1, 1, 1], [8, 1, 1, 1]], |x, w| {
        let (gamma, beta) = (w[0].clone().reshape([8]), w[1].clone().reshape([8]));
        batch_norm_train(x, gamma, beta, 1e-3, Activation::Relu6).0
    }),
    ("frozen batch norm", [2, 8, 9, 9], &[[8, 1, 1, 1], [8, 1, 1, 1]], |x, w| {
        affine_activation(x, w[0].clone().reshape([8]), w[1].clone().reshape([8]), Activation::Relu6)
    }),
    ("convolution 3x3 dilation 2", [2, 4, 9, 9], &[[8, 4, 3, 3]], |x, w| {
        dilated_conv2d(x, w[0].clone(), None, [1, 1], [2, 2], Padding::all(2))
    }),
    ("max pool 3x3 stride 2", [2, 8, 10, 10], &[], |x, _| {
        max_pool2d(x, [3, 3], [2, 2], Padding::same([10, 10], [3, 3], [2, 2]))
    }),
    ("mean pool 3x3", [2, 8, 9, 9], &[], |x, _| avg_pool2d(x, [3, 3], [1, 1], Padding::same([9, 9], [3, 3], [1, 1]))),
    ("crop and resize", [2, 8, 9, 9], &[], |x, _| {
        let boxes = [[0.1, 0.2, 0.9, 0.7], [-0.2, 0.0, 0.5, 1.0], [0.3, 0.3, 0.6, 0.9]];
        crop_and_resize(x, &boxes, &[1, 0, 1], [4, 4])
    }),
];

/// Runs every kind of layer on a device and on the CPU.
///
/// # Errors
/// The device cannot be opened.
pub fn check_device(choice: DeviceChoice) -> Result<Vec<LayerCheck>, TrainingError> {
    let (device, _) = open_device(choice)?;
    let mut rows = Vec::new();
    for (name, input, weights, layer) in LAYERS {
        let expected = run_layer(&Device::flex(), input, weights, layer);
        let got = run_layer(&device, input, weights, layer);
        for (part, (expected, got)) in expected.iter().zip(&got).enumerate() {
            let part = match part {
                0 => "forward".to_owned(),
                1 => "gradient of the input".to_owned(),
                n => format!("gradient of weight {}", n - 1),
            };
            let deviation = deviation(expected, got);
            rows.push(LayerCheck {
                layer: format!("{name}, {part}"),
                deviation,
                tolerance: TOLERANCE,
                agrees: deviation <= TOLERANCE,
            });
        }
    }
    Ok(rows)
}

/// The output, the gradient of the input and those of the weights, of a sum of squares.
fn run_layer(device: &Device, input: [usize; 4], weights: &[[usize; 4]], layer: Layer) -> Vec<Vec<f32>> {
    let device = device.clone().autodiff();
    let tensor = |shape: [usize; 4], stream: u64| {
        let mut draws = Draws::new(11, 3, stream);
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| draws.range(-1.0, 1.0) as f32).collect();
        Tensor::<4>::from_data(TensorData::new(values, shape), &device).require_grad()
    };
    let x = tensor(input, 0);
    let w: Vec<Tensor<4>> = (1..).zip(weights).map(|(stream, shape)| tensor(*shape, stream)).collect();
    let y = layer(x.clone(), &w);
    let gradients = y.clone().square().sum().backward();
    let host = |t: Tensor<4>| t.into_data().iter::<f32>().collect::<Vec<f32>>();
    let mut all = vec![host(y)];
    all.extend(std::iter::once(&x).chain(&w).map(|t| t.grad(&gradients).map(host).unwrap_or_default()));
    all
}

/// The largest difference over the largest value; infinite where the shapes differ or a number is none.
fn deviation(expected: &[f32], got: &[f32]) -> f32 {
    if expected.len() != got.len() || got.iter().any(|v| !v.is_finite()) {
        return f32::INFINITY;
    }
    let scale = expected.iter().fold(f32::MIN_POSITIVE, |m, v| m.max(v.abs()));
    expected.iter().zip(got).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_result_is_seen() {
        assert_eq!(deviation(&[1.0, 2.0], &[1.0, 2.0]), 0.0);
        assert_eq!(deviation(&[1.0, 2.0], &[1.0, 2.2]), (2.2f32 - 2.0) / 2.0);
        assert_eq!(deviation(&[1.0], &[f32::NAN]), f32::INFINITY);
        assert_eq!(deviation(&[1.0], &[]), f32::INFINITY);
    }

    #[test]
    fn the_cpu_agrees_with_itself() {
        let rows = check_device(DeviceChoice::Cpu).expect("the CPU is always there");
        assert!(rows.len() >= 2 * LAYERS.len());
        assert!(rows.iter().all(|row| row.agrees), "{rows:?}");
    }

    /// The quick set on whatever adapter is there; the first run compiles its shaders.
    #[test]
    fn an_adapter_agrees_with_the_cpu() {
        match check_device(DeviceChoice::Adapter(0)) {
            Err(error) => println!("skipped: {error}"),
            Ok(rows) => assert!(rows.iter().all(|row| row.agrees), "{rows:?}"),
        }
    }
}
