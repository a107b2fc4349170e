//! TensorFlow's own numbers for SAME convolution and slim's batch normalization.

use super::{from, numbers};
use crate::{Activation, Padding, batch_norm_train, conv2d, depthwise_conv2d};
use boxwright_golden::{Case, Row, Value, cases, list, number, numbers as flat, size};
use burn::tensor::Tensor;

/// A nested list of rank 4.
fn rank4(value: &Value) -> Tensor<4> {
    let mut dims = [0; 4];
    let mut inner = value;
    for dim in &mut dims {
        *dim = inner.as_array().expect("a list").len();
        inner = &inner[0];
    }
    from(flat(value), dims)
}

fn nhwc(value: &Value) -> Tensor<4> {
    rank4(value).permute([0, 3, 1, 2])
}

fn back_to_nhwc(tensor: Tensor<4>) -> Vec<f32> {
    numbers(&tensor.permute([0, 2, 3, 1]))
}

#[test]
fn same_convolutions() {
    let mut row = Row::new("ops/conv", 1e-5);
    for Case { name, json, .. } in cases("ops", &["conv.conv_same", "conv.depthwise_same"]) {
        for (index, case) in list(&json["conv"]).iter().enumerate() {
            row.case();
            conv_case(&mut row, &format!("{name} {index}"), case);
        }
    }
    row.finish();
}

fn conv_case(row: &mut Row, name: &str, case: &Value) {
    let x = nhwc(&case["input_nhwc"]);
    let dense = rank4(&case["kernel_hwio"]).permute([3, 2, 0, 1]);
    let depthwise = rank4(&case["depthwise_kernel_hwcm"]).permute([2, 3, 0, 1]);
    let stride = [size(&case["stride"]); 2];
    let ([_, _, height, width], [_, _, kernel_h, kernel_w]) = (x.dims(), dense.dims());
    let same = Padding::same([height, width], [kernel_h, kernel_w], stride);
    // TFOD's fixed padding depends on the kernel alone.
    let fixed = |size: usize| ((size - 1) / 2, size - 1 - (size - 1) / 2);
    let ((top, bottom), (left, right)) = (fixed(kernel_h), fixed(kernel_w));
    let fixed = Padding { top, bottom, left, right };
    for (key, found) in [
        ("conv_same", conv2d(x.clone(), dense.clone(), None, stride, same)),
        ("depthwise_same", depthwise_conv2d(x.clone(), depthwise, stride, same)),
        ("conv_fixed_pad_valid", conv2d(x, dense, None, stride, fixed)),
    ] {
        row.compare_to_largest(&format!("{name} {key}"), &back_to_nhwc(found), &flat(&case[key]));
    }
}

#[test]
fn batch_normalization() {
    let mut row = Row::new("ops/batch_norm", 1e-5);
    // The gradient is a small difference of large sums.
    let mut gradient = Row::new("ops/batch_norm (dx)", 1e-4);
    for Case { name, json, .. } in cases("ops", &["batch_norm_train.upstream_grad"]) {
        for (index, case) in list(&json["batch_norm_train"]).iter().enumerate() {
            row.case();
            gradient.case();
            batch_norm_case(&mut row, &mut gradient, &format!("{name} {index}"), case);
        }
    }
    row.finish();
    gradient.finish();
}

fn batch_norm_case(row: &mut Row, gradient: &mut Row, name: &str, case: &Value) {
    let x = nhwc(&case["x"]);
    // As leaves, so that their gradients can be asked for.
    let x = from(numbers(&x), x.dims()).require_grad();
    let vector = |key: &str| flat(&case[key]);
    let [batch, channels, height, width] = x.dims();
    let gamma = from(vector("gamma"), [channels]).require_grad();
    let beta = from(vector("beta"), [channels]).require_grad();
    let epsilon = number(&case["epsilon"]);
    let (y, mean, variance) = batch_norm_train(x.clone(), gamma.clone(), beta.clone(), epsilon, Activation::None);
    let mut near = |key: &str, found: Vec<f32>| row.compare_to_largest(&format!("{name} {key}"), &found, &vector(key));
    near("y", back_to_nhwc(y.clone()));
    let grads = (y * nhwc(&case["upstream_grad"])).sum().backward();
    near("dgamma", numbers(&gamma.grad(&grads).expect("a gradient")));
    near("dbeta", numbers(&beta.grad(&grads).expect("a gradient")));

    let decay = number(&case["decay"]);
    let moved = |before: &str, now: Vec<f32>| -> Vec<f32> {
        let before = vector(before).into_iter().zip(now);
        before.map(|(before, now)| before * decay + now * (1.0 - decay)).collect()
    };
    near("moving_mean_after", moved("moving_mean", numbers(&mean)));
    let count = (batch * height * width) as f32;
    let unbiased = if case["fused"].as_bool() == Some(true) { count / (count - 1.0) } else { 1.0 };
    let variance = numbers(&variance).into_iter().map(|variance| variance * unbiased);
    near("moving_variance_after", moved("moving_variance", variance.collect()));
    let found = back_to_nhwc(x.grad(&grads).expect("a gradient"));
    gradient.compare_to_largest(&format!("{name} dx"), &found, &vector("dx"));
}
