//! One picture through SSD MobileNet v1 0.75 at 300 × 300 with the heads of 90 classes, its batch normalization folded: the
//! network alone, without decoding and without suppression. `make bench-inference` sets it beside onnxruntime.
//!
//! `cargo run --release -p boxwright-kernels --example inference_bench [RUNS]` prints the median of the milliseconds.

use std::time::Instant;

use boxwright_kernels::{Activation, FoldedConv, Padding};
use burn::tensor::{Device, Distribution, Tensor};

/// A convolution, and where its result is also looked at: by heads of so many channels.
struct Layer {
    conv: FoldedConv,
    kernel: usize,
    stride: usize,
    heads: Vec<FoldedConv>,
}

fn conv(dims: [usize; 4], stride: usize, activation: Activation, device: &Device) -> FoldedConv {
    let deviation = (2.0 / (dims[1] * dims[2] * dims[3]) as f64).sqrt();
    let weight = Tensor::random(dims, Distribution::Normal(0.0, deviation), device);
    let bias = Tensor::random([dims[0]], Distribution::Normal(0.0, 0.1), device);
    FoldedConv::new(weight, bias, dims[1] == 1 && dims[2] > 1, [stride; 2], [1, 1], activation)
}

fn network(device: &Device) -> Vec<Layer> {
    let mut layers = Vec::new();
    let mut add = |dims: [usize; 4], stride: usize, anchors: usize| {
        let heads = if anchors == 0 { Vec::new() } else { vec![4 * anchors, 91 * anchors] };
        let heads = heads.into_iter().map(|out| conv([out, dims[0], 1, 1], 1, Activation::None, device)).collect();
        layers.push(Layer { conv: conv(dims, stride, Activation::Relu6, device), kernel: dims[2], stride, heads });
    };
    add([24, 3, 3, 3], 2, 0);
    let mut depth = 24;
    for (index, (out, stride)) in
        [(48, 1), (96, 2), (96, 1), (192, 2), (192, 1), (384, 2), (384, 1), (384, 1), (384, 1), (384, 1), (384, 1)]
            .into_iter()
            .chain([(768, 2), (768, 1)])
            .enumerate()
    {
        add([depth, 1, 3, 3], stride, 0);
        add(
            [out, depth, 1, 1],
            1,
            match index {
                10 => 3,
                12 => 6,
                _ => 0,
            },
        );
        depth = out;
    }
    for out in [384, 192, 192, 96] {
        add([out / 2, depth, 1, 1], 1, 0);
        add([out, out / 2, 3, 3], 2, 6);
        depth = out;
    }
    layers
}

fn forward(layers: &[Layer], mut x: Tensor<4>) -> Vec<Tensor<4>> {
    let mut results = Vec::new();
    for layer in layers {
        let [_, _, height, width] = x.dims();
        let padding = Padding::same([height, width], [layer.kernel; 2], [layer.stride; 2]);
        x = layer.conv.forward(x, padding);
        results.extend(layer.heads.iter().map(|head| head.forward(x.clone(), Padding::valid())));
    }
    results
}

fn main() {
    let runs = std::env::args().nth(1).and_then(|runs| runs.parse().ok()).unwrap_or(50);
    let device = Device::flex();
    let layers = network(&device);
    let image = Tensor::<4>::random([1, 3, 300, 300], Distribution::Normal(0.0, 1.0), &device);
    let mut times = Vec::new();
    // One task for the pool, so that the operators find themselves among its threads.
    rayon::scope(|_| {
        for _ in 0..runs + 5 {
            let begin = Instant::now();
            let results = forward(&layers, image.clone());
            times.push(begin.elapsed().as_secs_f64() * 1e3);
            assert_eq!(results.len(), 12);
        }
    });
    let mut times = times.split_off(5);
    times.sort_by(f64::total_cmp);
    println!("{} runs: median {:.2} ms, best {:.2} ms", times.len(), times[times.len() / 2], times[0]);
}
