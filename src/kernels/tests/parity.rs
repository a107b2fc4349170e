//! TensorFlow's own numbers for pooling and for cutting boxes out.

use super::{from, numbers};
use crate::{Padding, avg_pool2d, crop_and_resize, max_pool2d};
use boxwright_golden as golden;
use burn::tensor::Tensor;
use golden::{Row, Value};

fn nhwc(value: &Value) -> Tensor<4> {
    let shape: [usize; 4] = golden::shape(value).try_into().expect("four axes");
    from(golden::numbers(value), shape).permute([0, 3, 1, 2])
}

fn back(tensor: Tensor<4>) -> Vec<f32> {
    numbers(&tensor.permute([0, 2, 3, 1]))
}

#[test]
fn pooling() {
    let mut row = Row::new("ops/pool", 1e-5);
    for golden::Case { name, json, .. } in golden::cases("ops", &["conv.maxpool_same", "conv.avgpool_same"]) {
        for (index, case) in golden::list(&json["conv"]).iter().enumerate() {
            let x = nhwc(&case["input_nhwc"]);
            let [_, _, height, width] = x.dims();
            let stride = [golden::size(&case["stride"]); 2];
            // The folder's README names none: it is the convolution's.
            let kernel = golden::shape(&case["kernel_hwio"]);
            let kernel = [kernel[0], kernel[1]];
            let same = Padding::same([height, width], kernel, stride);
            row.case();
            let found = back(max_pool2d(x.clone(), kernel, stride, same));
            row.compare(&format!("{name} {index} max"), &found, &golden::numbers(&case["maxpool_same"]));
            let found = back(avg_pool2d(x, kernel, stride, same));
            row.compare(&format!("{name} {index} mean"), &found, &golden::numbers(&case["avgpool_same"]));
        }
    }
    row.finish();
}

#[test]
fn crops() {
    let mut row = Row::new("ops/crop_and_resize", 1e-5);
    let keys = ["crop_and_resize.box_ind", "crop_and_resize_grad.dfeatures"];
    for golden::Case { name, json, .. } in golden::cases("ops", &keys) {
        let (forward, backward) = (&json["crop_and_resize"], &json["crop_and_resize_grad"]);
        let boxes = golden::boxes(&forward["boxes"]);
        let images: Vec<usize> = golden::list(&forward["box_ind"]).iter().map(golden::size).collect();
        let size = |case: &Value| [golden::size(&case["crop_size"][0]), golden::size(&case["crop_size"][1])];
        let features = nhwc(&forward["features"]);
        row.case();
        let cut = crop_and_resize(features.clone(), &boxes, &images, size(forward));
        row.compare(&format!("{name} crops"), &back(cut.clone()), &golden::numbers(&forward["output"]));
        let pooled = max_pool2d(cut, [2, 2], [2, 2], Padding::valid());
        row.compare(&format!("{name} pooled"), &back(pooled), &golden::numbers(&forward["maxpool_2x2_stride2"]));

        let features = from(numbers(&features), features.dims()).require_grad();
        let cut = crop_and_resize(features.clone(), &boxes, &images, size(backward));
        let grads = (cut * nhwc(&backward["upstream_grad"])).sum().backward();
        let found = back(Tensor::from_inner(features.grad(&grads).expect("a gradient").inner()));
        row.compare(&format!("{name} gradient"), &found, &golden::numbers(&backward["dfeatures"]));
    }
    row.finish();
}
