//! A traced layer is the layer that was called, and applying it calls the same again.

use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::{Activation, LayerShape, Padding, Window, conv2d, trace};

fn window(kernel: usize, stride: usize, dilation: usize, padding: Padding) -> Window {
    Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [dilation; 2], padding }
}

/// One of each kind.
fn shapes() -> Vec<LayerShape> {
    let input = [2, 3, 7, 6];
    let (padded, activation) = (Padding { top: 1, bottom: 1, left: 0, right: 1 }, Activation::Relu6);
    vec![
        LayerShape::Convolution { input, out: 4, window: window(3, 2, 1, padded), bias: true },
        LayerShape::Convolution { input, out: 4, window: window(3, 1, 2, Padding::all(2)), bias: false },
        LayerShape::Depthwise { input, window: window(3, 2, 1, padded) },
        LayerShape::Folded { input, out: 4, window: window(3, 2, 1, padded), depthwise: false, activation },
        LayerShape::Folded { input, out: 3, window: window(3, 1, 1, padded), depthwise: true, activation },
        LayerShape::BatchNorm { input, activation },
        LayerShape::FrozenBatchNorm { input, activation: Activation::Relu },
        LayerShape::Activation { input, activation },
        LayerShape::HardSwish { input },
        LayerShape::MaxPool { input, window: window(3, 2, 1, padded) },
        LayerShape::MeanPool { input, window: window(2, 2, 1, Padding::valid()) },
        LayerShape::CropAndResize { input, boxes: 5, size: [4, 3] },
        LayerShape::FullyConnected { rows: 2, inputs: 9, outputs: 5 },
    ]
}

fn apply(shape: &LayerShape, dtype: DType) -> Vec<Tensor<4>> {
    let tensor = |dims: [usize; 4], seed: f64| {
        let values = super::values(dims.iter().product(), seed);
        Tensor::<4>::from_data(TensorData::new(values, dims), (&Device::flex(), dtype))
    };
    let parameters: Vec<Tensor<4>> =
        shape.parameters().into_iter().zip(2u8..).map(|((_, dims), seed)| tensor(dims, f64::from(seed))).collect();
    shape.apply(tensor(shape.input(), 1.0), &parameters)
}

#[test]
fn a_trace_names_what_is_called_once_and_computes_nothing() {
    for shape in shapes() {
        let traced = trace(|| {
            for _ in 0..2 {
                let y = apply(&shape, DType::F32).swap_remove(0);
                assert_eq!(y.dims(), shape.output(), "{shape}");
                assert_eq!(y.abs().max().into_scalar::<f32>(), 0.0, "{shape}");
            }
        });
        assert_eq!(traced, [shape]);
    }
}

#[test]
fn outside_of_a_trace_a_layer_computes_what_its_output_says() {
    for shape in shapes() {
        let of_f32 = apply(&shape, DType::F32);
        let of_f64 = apply(&shape, DType::F64);
        assert_eq!(of_f32[0].dims(), shape.output(), "{shape}");
        assert!(of_f32[0].clone().abs().max().into_scalar::<f32>() > 0.0, "{shape}");
        for (of_f32, of_f64) in of_f32.into_iter().zip(of_f64) {
            let worst = (of_f32.cast(DType::F64) - of_f64).abs().max().into_scalar::<f64>();
            assert!(worst < 1e-5, "{shape}: {worst}");
        }
    }
}

#[test]
fn a_trace_ends_where_its_work_panics() {
    let panicked = std::panic::catch_unwind(|| trace(|| panic!("on purpose")));
    assert!(panicked.is_err());
    let ones = |dims: [usize; 4]| Tensor::<4>::ones(dims, &Device::flex());
    let y = conv2d(ones([1, 1, 2, 2]), ones([1, 1, 1, 1]), None, [1, 1], Padding::valid());
    assert_eq!(y.sum().into_scalar::<f32>(), 4.0);
}

#[test]
fn shapes_are_said_in_words() {
    let said: Vec<String> = shapes().iter().map(ToString::to_string).collect();
    assert_eq!(said[0], "convolution 3x3, stride 2, padding 1 1 0 1, bias of 2x3x7x6 to 4 channels");
    assert_eq!(said[1], "dilated convolution 3x3, dilation 2, padding 2 2 2 2 of 2x3x7x6 to 4 channels");
    assert_eq!(said[4], "folded depthwise convolution 3x3, padding 1 1 0 1, ReLU6 of 2x3x7x6");
    assert_eq!(said[8], "hard swish of 2x3x7x6");
    assert_eq!(said[11], "crop and resize of 2x3x7x6 to 5 crops of 4x3");
    assert_eq!(said[12], "fully connected of 2x9 to 5 columns");
}
