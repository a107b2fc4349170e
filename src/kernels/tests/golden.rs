//! TensorFlow's own numbers for SAME convolution and slim's batch normalization.

use super::{assert_near, from, numbers};
use crate::{Activation, Padding, batch_norm_train, conv2d, depthwise_conv2d};
use burn::tensor::Tensor;
use serde_json::Value;
use std::path::PathBuf;

/// The reference numbers, or `None` with a note where they are not at hand.
fn reference() -> Option<Value> {
    let shared = match std::env::var_os("BOXWRIGHT_SHARED") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
    };
    let Ok(text) = std::fs::read_to_string(shared.join("golden/ops/tf_ops.json")) else {
        println!("skipped: no ../shared here");
        return None;
    };
    Some(serde_json::from_str(&text).expect("tf_ops.json is JSON"))
}

fn flatten(value: &Value, into: &mut Vec<f32>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| flatten(item, into)),
        number => into.push(number.as_f64().expect("a number") as f32),
    }
}

fn flat(value: &Value) -> Vec<f32> {
    let mut values = Vec::new();
    flatten(value, &mut values);
    values
}

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
fn same_convolutions_agree_with_tensorflow() {
    let Some(reference) = reference() else { return };
    let cases = reference["conv"].as_array().expect("conv cases");
    assert!(!cases.is_empty());
    for (index, case) in cases.iter().enumerate() {
        let x = nhwc(&case["input_nhwc"]);
        let dense = rank4(&case["kernel_hwio"]).permute([3, 2, 0, 1]);
        let depthwise = rank4(&case["depthwise_kernel_hwcm"]).permute([2, 3, 0, 1]);
        let stride = case["stride"].as_u64().expect("a stride") as usize;
        let ([_, _, height, width], [_, _, kernel_h, kernel_w]) = (x.dims(), dense.dims());
        let stride = [stride, stride];
        let same = Padding::same([height, width], [kernel_h, kernel_w], stride);
        for (name, found) in [
            ("conv_same", conv2d(x.clone(), dense.clone(), None, stride, same)),
            ("depthwise_same", depthwise_conv2d(x.clone(), depthwise, stride, same)),
        ] {
            let name_of_case = format!("case {index} {name}");
            assert_near(&name_of_case, &back_to_nhwc(found), &flat(&case[name]), 1e-5);
        }
        // TFOD's fixed padding depends on the kernel alone.
        let fixed = |size: usize| ((size - 1) / 2, size - 1 - (size - 1) / 2);
        let ((top, bottom), (left, right)) = (fixed(kernel_h), fixed(kernel_w));
        let fixed = Padding { top, bottom, left, right };
        let found = conv2d(x, dense, None, stride, fixed);
        let expected = flat(&case["conv_fixed_pad_valid"]);
        assert_near(&format!("case {index} fixed"), &back_to_nhwc(found), &expected, 1e-5);
    }
}

#[test]
fn batch_normalization_agrees_with_slim() {
    let Some(reference) = reference() else { return };
    let cases = reference["batch_norm_train"].as_array().expect("batch norm cases");
    assert!(!cases.is_empty());
    for (index, case) in cases.iter().enumerate() {
        // As leaves, so that their gradients can be asked for.
        let x = nhwc(&case["x"]);
        let x = from(numbers(&x), x.dims()).require_grad();
        let vector = |name: &str| flat(&case[name]);
        let channels = x.dims()[1];
        let gamma = from(vector("gamma"), [channels]).require_grad();
        let beta = from(vector("beta"), [channels]).require_grad();
        let epsilon = case["epsilon"].as_f64().expect("epsilon") as f32;
        let (y, mean, variance) = batch_norm_train(x.clone(), gamma.clone(), beta.clone(), epsilon, Activation::None);
        let near = |name: &str, found: &[f32], tolerance| {
            assert_near(&format!("case {index} {name}"), found, &vector(name), tolerance);
        };
        near("y", &back_to_nhwc(y.clone()), 1e-5);
        let grads = (y * nhwc(&case["upstream_grad"])).sum().backward();
        near("dx", &back_to_nhwc(x.grad(&grads).unwrap()), 1e-4);
        near("dgamma", &numbers(&gamma.grad(&grads).unwrap()), 1e-5);
        near("dbeta", &numbers(&beta.grad(&grads).unwrap()), 1e-5);

        let decay = case["decay"].as_f64().expect("decay") as f32;
        let moved = |before: &str, now: Vec<f32>| -> Vec<f32> {
            let before = vector(before).into_iter().zip(now);
            before.map(|(before, now)| before * decay + now * (1.0 - decay)).collect()
        };
        near("moving_mean_after", &moved("moving_mean", numbers(&mean)), 1e-5);
        let [batch, _, height, width] = x.dims();
        let count = (batch * height * width) as f32;
        let unbiased = if case["fused"].as_bool() == Some(true) { count / (count - 1.0) } else { 1.0 };
        let variance = numbers(&variance).into_iter().map(|variance| variance * unbiased);
        near("moving_variance_after", &moved("moving_variance", variance.collect()), 1e-5);
    }
}
