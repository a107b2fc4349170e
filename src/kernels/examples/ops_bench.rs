//! Times each operator beside burn's own on the CPU: milliseconds forward and backward, medians of several runs.
//!
//! `cargo run --release -p boxwright-kernels --example ops_bench [RUNS]`

use boxwright_kernels::{Activation, Padding, activation, batch_norm_train, conv2d, depthwise_conv2d};
use burn::nn::BatchNormConfig;
use burn::tensor::module::conv2d as burn_conv2d;
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
    let [forward, backward, loss] = [forwards, backwards, losses].map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
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

fn main() {
    let runs = std::env::args().nth(1).and_then(|runs| runs.parse().ok()).unwrap_or(9).max(1);
    let device = Device::flex().autodiff();
    let random = |dims| Tensor::<4>::random(dims, Distribution::Normal(0.0, 1.0), &device).require_grad();
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
}
