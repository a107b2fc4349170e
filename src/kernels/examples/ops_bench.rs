//! Times each operator beside burn's own on the CPU: milliseconds forward and backward, medians of several runs. Then a
//! whole forward and backward pass of SSD MobileNet v1 on 300 × 300 pictures, both ways.
//!
//! `cargo run --release -p boxwright-kernels --example ops_bench [RUNS] [step]`, the latter for the whole pass alone.

use boxwright_kernels::{Activation, Padding, activation, batch_norm_train, conv2d, depthwise_conv2d};
use burn::nn::BatchNormConfig;
use burn::tensor::module::{batch_norm_train as burn_batch_norm, conv2d as burn_conv2d};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Distribution, Tensor};
use std::time::Instant;

const BATCH: usize = 8;

/// Forward and backward in milliseconds: the medians over the runs. What the gradient of the loss itself costs is
/// taken off.
fn time(runs: usize, inputs: &[&Tensor<4>], forward: &dyn Fn() -> Tensor<4>) -> (f64, f64) {
    let [mut forwards, mut backwards, mut losses] = [const { Vec::new() }; 3];
    for _ in 0..runs {
        let start = Instant::now();
        let y = forward();
        forwards.push(milliseconds(start));
        let leaf = y.clone().detach().require_grad();

        let loss = y.sum();
        let start = Instant::now();
        let gradients = loss.backward();
        backwards.push(milliseconds(start));
        for input in inputs {
            assert!(input.grad(&gradients).is_some());
        }
        drop(gradients);

        let loss = leaf.sum();
        let start = Instant::now();
        drop(loss.backward());
        losses.push(milliseconds(start));
    }
    let [forward, backward, loss] = [forwards, backwards, losses].map(median);
    (forward, backward - loss)
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn report(name: &str, burn: (f64, f64), ours: (f64, f64)) {
    println!(
        "{name:<28} {:>8.1} /{:>7.1} {:>8.1} /{:>7.1} {:>7.1}×",
        burn.0,
        burn.1,
        ours.0,
        ours.1,
        (burn.0 + burn.1) / (ours.0 + ours.1)
    );
}

/// A convolution with its batch normalization: weight, gamma, beta, stride.
struct Layer {
    weight: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    stride: usize,
}

/// SSD MobileNet v1 as far as time goes: backbone, extra feature maps, a 1×1 head on each of the six maps.
struct Network {
    layers: Vec<Layer>,
    /// For the layers whose result has one.
    heads: Vec<(usize, Tensor<4>)>,
}

impl Network {
    fn new(device: &Device) -> Self {
        let random = |dims: [usize; 4]| {
            let deviation = (2.0 / (dims[1] * dims[2] * dims[3]) as f64).sqrt();
            Tensor::random(dims, Distribution::Normal(0.0, deviation), device).require_grad()
        };
        let mut layers = Vec::new();
        let mut add = |dims: [usize; 4], stride| {
            layers.push(Layer {
                weight: random(dims),
                gamma: Tensor::ones([dims[0]], device).require_grad(),
                beta: Tensor::zeros([dims[0]], device).require_grad(),
                stride,
            });
            layers.len() - 1
        };
        add([32, 3, 3, 3], 2);
        let mut channels = 32;
        let mut maps = Vec::new();
        for (out, stride) in [
            (64, 1),
            (128, 2),
            (128, 1),
            (256, 2),
            (256, 1),
            (512, 2),
            (512, 1),
            (512, 1),
            (512, 1),
            (512, 1),
            (512, 1),
            (1024, 2),
            (1024, 1),
        ] {
            add([channels, 1, 3, 3], stride);
            let last = add([out, channels, 1, 1], 1);
            channels = out;
            if last == 22 || last == 26 {
                maps.push((last, out));
            }
        }
        for (narrow, out) in [(256, 512), (128, 256), (128, 256), (64, 128)] {
            add([narrow, channels, 1, 1], 1);
            maps.push((add([out, narrow, 3, 3], 2), out));
            channels = out;
        }
        let heads = maps.into_iter().map(|(layer, channels)| (layer, random([6 * (4 + 4), channels, 1, 1]))).collect();
        Self { layers, heads }
    }

    /// Some loss over all heads.
    fn loss(&self, x: Tensor<4>, ours: bool) -> Tensor<1> {
        let mut heads = self.heads.iter();
        let mut next = heads.next();
        let mut loss = Tensor::zeros([1], &x.device());
        let mut x = x;
        for (index, layer) in self.layers.iter().enumerate() {
            x = layer.forward(x, ours);
            if let Some((_, weight)) = next.filter(|(at, _)| *at == index) {
                loss = loss + convolve(x.clone(), weight, 1, ours).square().mean();
                next = heads.next();
            }
        }
        loss
    }
}

impl Layer {
    fn forward(&self, x: Tensor<4>, ours: bool) -> Tensor<4> {
        let x = convolve(x, &self.weight, self.stride, ours);
        let (gamma, beta) = (self.gamma.clone(), self.beta.clone());
        if ours {
            batch_norm_train(x, gamma, beta, 1e-3, Activation::Relu6).0
        } else {
            burn_batch_norm(x, gamma, beta, 1e-3).output.clamp(0.0, 6.0)
        }
    }
}

/// Convolution with SAME padding; depthwise where the weight says so.
fn convolve(x: Tensor<4>, weight: &Tensor<4>, stride: usize, ours: bool) -> Tensor<4> {
    let [_, channels, height, width] = x.dims();
    let [_, of_weight, kernel_h, kernel_w] = weight.dims();
    let strides = [stride, stride];
    let padding = Padding::same([height, width], [kernel_h, kernel_w], strides);
    let groups = channels / of_weight;
    if !ours {
        let sides = [(padding.top, padding.bottom), (padding.left, padding.right)];
        let options = ConvOptions::new_with_padding(strides, sides, [1, 1], groups);
        return burn_conv2d(x, weight.clone(), None, options);
    }
    match groups {
        1 => conv2d(x, weight.clone(), None, strides, padding),
        _ => depthwise_conv2d(x, weight.clone(), strides, padding),
    }
}

/// Seconds of a pass forward and backward, the medians over the runs.
fn step(runs: usize, device: &Device) {
    let network = Network::new(device);
    let x = Tensor::<4>::random([BATCH, 3, 300, 300], Distribution::Normal(0.0, 1.0), device);
    for (name, ours) in [("burn flex", false), ("this room", true)] {
        let mut losses = Vec::new();
        let [mut forwards, mut backwards] = [const { Vec::new() }; 2];
        // The first pass warms up.
        for _ in 0..=runs {
            let start = Instant::now();
            let loss = network.loss(x.clone(), ours);
            losses.push(loss.clone().into_scalar::<f32>());
            forwards.push(milliseconds(start));
            let start = Instant::now();
            drop(loss.backward());
            backwards.push(milliseconds(start));
        }
        let [forward, backward] = [forwards, backwards].map(|times| median(times[1..].to_vec()));
        println!(
            "SSD MobileNet v1, batch {BATCH}, {name}: forward {forward:.0} ms, backward {backward:.0} ms, loss {}",
            losses[0]
        );
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let runs = std::env::args().nth(1).and_then(|runs| runs.parse().ok()).unwrap_or(9).max(1);
    let device = Device::flex().autodiff();
    let random = |dims| Tensor::<4>::random(dims, Distribution::Normal(0.0, 1.0), &device).require_grad();
    if std::env::args().any(|argument| argument == "step") {
        return step(runs, &device);
    }
    println!("batch {BATCH}, forward / backward ms       burn flex          this room   ratio");
    // Name, input channels, output channels (0: depthwise), kernel, stride, size.
    let convolutions = [
        ("conv 1×1 24→144 @75", 24, 144, 1, 1, 75),
        ("conv 1×1 32→64 @150", 32, 64, 1, 1, 150),
        ("conv 1×1 512→512 @19", 512, 512, 1, 1, 19),
        ("conv 1×1 1024→1024 @10", 1024, 1024, 1, 1, 10),
        ("conv 3×3 64→64 @75", 64, 64, 3, 1, 75),
        ("conv 3×3 stride 2 3→32 @300", 3, 32, 3, 2, 300),
        ("conv 3×3 s2 256→512 @10", 256, 512, 3, 2, 10),
        ("conv 3×3 1280→66 @10", 1280, 66, 3, 1, 10),
        ("depthwise 144 @75", 144, 0, 3, 1, 75),
        ("depthwise 96 stride 2 @150", 96, 0, 3, 2, 150),
        ("depthwise 512 @19", 512, 0, 3, 1, 19),
    ];
    for (name, channels, out, kernel, stride, size) in convolutions {
        let x = random([BATCH, channels, size, size]);
        let (weight, groups) = match out {
            0 => (random([channels, 1, kernel, kernel]), channels),
            _ => (random([out, channels, kernel, kernel]), 1),
        };
        let side = (kernel - 1) / 2;
        let (strides, padding) = ([stride, stride], Padding::all(side));
        let burn = time(runs, &[&x, &weight], &|| {
            let options = ConvOptions::new(strides, [side, side], [1, 1], groups);
            burn_conv2d(x.clone(), weight.clone(), None, options)
        });
        let ours = time(runs, &[&x, &weight], &|| match out {
            0 => depthwise_conv2d(x.clone(), weight.clone(), strides, padding),
            _ => conv2d(x.clone(), weight.clone(), None, strides, padding),
        });
        report(name, burn, ours);
    }

    let x = random([BATCH, 144, 75, 75]);
    let norm = BatchNormConfig::new(144).init(&device);
    let one = Tensor::<1>::ones([144], &device).require_grad();
    let normalize = |activation| batch_norm_train(x.clone(), one.clone(), one.clone(), 1e-3, activation).0;
    let burn = time(runs, &[&x], &|| norm.forward(x.clone()));
    report("batch norm 144 @75", burn, time(runs, &[&x], &|| normalize(Activation::None)));
    let burn = time(runs, &[&x], &|| norm.forward(x.clone()).clamp(0.0, 6.0));
    report("batch norm + ReLU6 144 @75", burn, time(runs, &[&x], &|| normalize(Activation::Relu6)));
    let burn = time(runs, &[&x], &|| x.clone().clamp(0.0, 6.0));
    let ours = time(runs, &[&x], &|| activation(x.clone(), Activation::Relu6));
    report("ReLU6 144 @75", burn, ours);
    step(runs, &device);
}
