//! One training step of MobileNetV2 1.0 with two 3×3 heads at strides 16 and 32: 300 × 300 pictures in f32, forward,
//! backward and SGD with momentum, on the CPU. The other side is `tests/benches/train_step.py`, the same network in
//! PyTorch; `make bench-train-step` runs both in turns and prints the ratio.
//!
//! `cargo run --release -p boxwright-kernels --example train_step_bench [STEPS] [BATCH] [DEVICE]` prints the milliseconds of
//! each step, and at the end the peak of the memory. DEVICE is `cpu`, `gpu` (Vulkan, DirectX or Metal, in WGSL), or with
//! the feature of that name `vulkan` (in SPIR-V) or `cuda`.

use std::cell::RefCell;
use std::time::Instant;

use boxwright_kernels::{Activation, Norm, Padding, Statistics, conv2d, depthwise_block};
use burn::module::{Module, Param};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Device, DeviceKind, Distribution, Tensor};

/// Channels of the two heads: six anchors a place for each of eleven numbers.
const HEAD: usize = 66;

/// A convolution with its batch normalization.
#[derive(Module, Debug)]
struct Layer {
    weight: Param<Tensor<4>>,
    gamma: Param<Tensor<1>>,
    beta: Param<Tensor<1>>,
    stride: usize,
    depthwise: bool,
    relu6: bool,
}

/// Mean and variance of the layers, as a pass found them.
type Seen = RefCell<Vec<Statistics>>;

impl Layer {
    fn new(dims: [usize; 4], stride: usize, relu6: bool, device: &Device) -> Self {
        let deviation = (2.0 / (dims[1] * dims[2] * dims[3]) as f64).sqrt();
        Self {
            weight: Param::from_tensor(Tensor::random(dims, Distribution::Normal(0.0, deviation), device)),
            gamma: Param::from_tensor(Tensor::ones([dims[0]], device)),
            beta: Param::from_tensor(Tensor::zeros([dims[0]], device)),
            stride,
            depthwise: dims[1] == 1,
            relu6,
        }
    }

    fn padding(&self) -> Padding {
        Padding::all((self.weight.dims()[2] - 1) / 2)
    }

    fn norm(&self) -> Norm {
        let activation = if self.relu6 { Activation::Relu6 } else { Activation::None };
        Norm { gamma: self.gamma.val(), beta: self.beta.val(), epsilon: 1e-5, activation }
    }

    fn convolve(&self, x: Tensor<4>) -> Tensor<4> {
        conv2d(x, self.weight.val(), None, [self.stride; 2], self.padding())
    }

    fn forward(&self, x: Tensor<4>, seen: &Seen) -> Tensor<4> {
        let (y, found) = self.norm().forward(self.convolve(x));
        seen.borrow_mut().push(found);
        y
    }

    /// This layer and the depthwise one behind it.
    fn forward_through(&self, depthwise: &Layer, x: Tensor<4>, seen: &Seen) -> Tensor<4> {
        let (x, weight) = (self.convolve(x), depthwise.weight.val());
        let stride = [depthwise.stride; 2];
        let (y, found) = depthwise_block(x, self.norm(), weight, stride, depthwise.padding(), depthwise.norm());
        seen.borrow_mut().extend(found);
        y
    }
}

#[derive(Module, Debug)]
struct Block {
    /// What widens the input; for the first block the network's first layer does.
    expand: Option<Layer>,
    depthwise: Layer,
    project: Layer,
    skip: bool,
}

#[derive(Module, Debug)]
struct Network {
    stem: Layer,
    blocks: Vec<Block>,
    last: Layer,
    heads: Vec<(Param<Tensor<4>>, Param<Tensor<1>>)>,
}

impl Network {
    fn new(device: &Device) -> Self {
        let mut blocks = Vec::new();
        let mut depth = 32;
        for (expansion, out, count, first_stride) in
            [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
        {
            for nth in 0..count {
                let (hidden, stride) = (depth * expansion, if nth == 0 { first_stride } else { 1 });
                blocks.push(Block {
                    expand: (expansion != 1).then(|| Layer::new([hidden, depth, 1, 1], 1, true, device)),
                    depthwise: Layer::new([hidden, 1, 3, 3], stride, true, device),
                    project: Layer::new([out, hidden, 1, 1], 1, false, device),
                    skip: stride == 1 && depth == out,
                });
                depth = out;
            }
        }
        let head = |depth| {
            let weight = Tensor::random([HEAD, depth, 3, 3], Distribution::Normal(0.0, 0.03), device);
            (Param::from_tensor(weight), Param::from_tensor(Tensor::zeros([HEAD], device)))
        };
        Self {
            stem: Layer::new([32, 3, 3, 3], 2, true, device),
            blocks,
            last: Layer::new([1280, depth, 1, 1], 1, true, device),
            heads: vec![head(96), head(1280)],
        }
    }

    fn forward(&self, mut x: Tensor<4>, seen: &Seen) -> [Tensor<4>; 2] {
        let mut stride_16 = None;
        for (index, block) in self.blocks.iter().enumerate() {
            let before = x.clone();
            let expand = block.expand.as_ref().unwrap_or(&self.stem);
            x = expand.forward_through(&block.depthwise, x, seen);
            x = block.project.forward(x, seen);
            if block.skip {
                x = x + before;
            }
            if index == 12 {
                stride_16 = Some(x.clone());
            }
        }
        let x = self.last.forward(x, seen);
        let padding = Padding { top: 1, bottom: 1, left: 1, right: 1 };
        let head = |nth: usize, x| {
            let (weight, bias) = &self.heads[nth];
            conv2d(x, weight.val(), Some(bias.val()), [1, 1], padding)
        };
        [head(0, stride_16.unwrap_or_else(|| x.clone())), head(1, x)]
    }
}

/// The device of this name, where this build has it.
fn device(name: &str) -> Option<Device> {
    match name {
        "cpu" => Some(Device::flex()),
        "gpu" => Some(Device::wgpu(DeviceKind::DefaultDevice)),
        #[cfg(feature = "vulkan")]
        "vulkan" => Some(Device::vulkan(DeviceKind::DefaultDevice)),
        #[cfg(feature = "cuda")]
        "cuda" => Some(Device::cuda(0)),
        _ => None,
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| arguments.get(index).and_then(|argument| argument.parse().ok()).unwrap_or(8);
    let (steps, batch) = (number(0), number(1));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let name = arguments.get(2).map_or("cpu", String::as_str);
    let Some(device) = device(name) else {
        eprintln!(
            "there is no device \"{name}\" in this build: use cpu or gpu, or build with --features vulkan or cuda"
        );
        std::process::exit(2);
    };
    let device = device.autodiff();
    let mut network = Network::new(&device);
    println!("{} parameters, batch {batch}, {threads} threads, {name}", network.num_params());
    let momentum = MomentumConfig::new().with_momentum(0.9).with_dampening(0.0);
    let mut optimizer = SgdConfig::new().with_momentum(Some(momentum)).init();
    let images = Tensor::<4>::random([batch, 3, 300, 300], Distribution::Normal(0.0, 1.0), &device);
    let mut moving: Vec<Statistics> = Vec::new();
    for step in 0..steps {
        let begin = Instant::now();
        let seen = Seen::default();
        let [near, far] = network.forward(images.clone(), &seen);
        let loss = (near - 1.0).square().mean() + (far - 1.0).square().mean();
        let value = loss.clone().into_scalar::<f32>();
        let forward = begin.elapsed();
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        let backward = begin.elapsed();
        network = optimizer.step(0.01, network, gradients);
        let seen = seen.into_inner();
        moving = if moving.is_empty() {
            seen
        } else {
            let average = |old: Tensor<1>, new: Tensor<1>| old * 0.9 + new.detach() * 0.1;
            let statistics = moving.into_iter().zip(seen);
            statistics
                .map(|(old, new)| Statistics {
                    mean: average(old.mean, new.mean),
                    variance: average(old.variance, new.variance),
                })
                .collect()
        };
        let total = begin.elapsed();
        let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
        println!(
            "step {step} loss {value:.4} forward {:.1} backward {:.1} update {:.1} total {:.1} ms",
            ms(forward),
            ms(backward - forward),
            ms(total - backward),
            ms(total)
        );
    }
    if let Some(peak) = peak_memory() {
        println!("peak memory {peak} MiB");
    }
}

/// The most memory that the process had resident, in MiB, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}
