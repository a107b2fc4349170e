//! Learning rates and optimizer steps against `golden/`, whatever cases a folder holds.

use std::path::{Path, PathBuf};

use boxwright_config::{proto, text_format};
use boxwright_detection::VariableInfo;
use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use serde_json::Value;

use crate::builders;
use crate::learning_schedule::LearningSchedule;
use crate::optimizer::Optimizer;

/// A golden file; `None`, with a line that says so, where it is absent.
fn golden(name: &str) -> Option<Value> {
    let root = match std::env::var_os("BOXWRIGHT_GOLDEN") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/golden"),
    };
    let file = root.join(name);
    let Ok(text) = std::fs::read_to_string(&file) else {
        println!("skipped: no golden {name} here");
        return None;
    };
    Some(serde_json::from_str(&text).expect("golden files are JSON"))
}

fn f64_of(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

fn f32s(value: &Value) -> Vec<f32> {
    value.as_array().expect("a list").iter().map(|v| f64_of(v) as f32).collect()
}

fn row(folder: &str, cases: usize, deviation: f64, tolerance: f64) {
    println!("{folder:<28} | {cases:>5} cases | {deviation:>9.2e} | {tolerance:.0e}");
    assert!(cases > 0, "{folder}: the file holds cases");
    assert!(deviation <= tolerance, "{folder}: {deviation} is more than {tolerance}");
}

/// A schedule of the golden file; `None` for `exponential_decay_with_warmup`, which no config asks for.
fn schedule(case: &Value) -> Option<LearningSchedule> {
    let p = &case["params"];
    let number = |key: &str| f64_of(&p[key]);
    let whole = |key: &str| p[key].as_u64().expect("a whole number");
    match case["schedule"].as_str()? {
        "manual_step" => {
            let rates: Vec<f64> = p["rates"].as_array()?.iter().map(f64_of).collect();
            let boundaries = p["boundaries"].as_array()?.iter().map(|b| b.as_u64().expect("a step"));
            Some(LearningSchedule::Manual {
                initial: rates[0],
                steps: boundaries.zip(rates[1..].iter().copied()).collect(),
                warmup: p["warmup"].as_bool()?,
            })
        }
        "exponential_decay_with_burnin" => Some(LearningSchedule::Exponential {
            base: number("learning_rate_base"),
            decay_steps: number("decay_steps"),
            decay_factor: number("decay_factor"),
            staircase: p["staircase"].as_bool()?,
            burnin_rate: number("burnin_learning_rate"),
            burnin_steps: whole("burnin_steps"),
            min_rate: number("min_learning_rate"),
        }),
        "cosine_decay_with_warmup" => Some(LearningSchedule::Cosine {
            base: number("learning_rate_base"),
            total_steps: whole("total_steps"),
            warmup_rate: number("warmup_learning_rate"),
            warmup_steps: whole("warmup_steps"),
            hold_steps: whole("hold_base_rate_steps"),
        }),
        _ => None,
    }
}

#[test]
fn learning_schedules() {
    let Some(file) = golden("schedules/learning_rate.json") else { return };
    let (mut cases, mut worst) = (0, 0.0f64);
    for case in file["cases"].as_array().expect("cases") {
        let Some(schedule) = schedule(case) else { continue };
        let steps = case["steps"].as_array().expect("steps");
        for (step, expected) in steps.iter().zip(case["values"].as_array().expect("values")) {
            let (got, expected) = (schedule.at(step.as_u64().expect("a step")), f64_of(expected));
            let scale = expected.abs().max(1e-6);
            worst = worst.max((got - expected).abs() / scale);
        }
        cases += 1;
    }
    // TensorFlow computes these in f32; near the end of a cosine little of the sum is left.
    row("schedules", cases, worst, 1e-3);
}

/// Two small variables, as the golden run of the optimizers had.
#[derive(Module, Debug)]
struct TwoVariables {
    p: Param<Tensor<1>>,
    q: Param<Tensor<1>>,
}

#[test]
fn optimizers() {
    let Some(file) = golden("ops/optimizers.json") else { return };
    let device = Device::flex().autodiff();
    let (mut cases, mut worst) = (0, 0.0f64);
    for case in file["cases"].as_array().expect("cases") {
        let text = case["config"].as_str().expect("a config");
        let config: proto::Optimizer = text_format::parse(text, "golden").expect("it parses");
        let train = proto::TrainConfig {
            optimizer: Some(config),
            gradient_clipping_by_norm: case["gradient_clipping_by_norm"].as_f64().map(|v| v as f32),
            ..proto::TrainConfig::default()
        };
        let (settings, schedule) = builders::optimizer(&train).expect("it is honoured");
        let variable = |values: &Value| {
            let tensor: Tensor<1> = Tensor::from_floats(&f32s(values)[..], &device);
            Param::from_tensor(tensor.require_grad())
        };
        let mut model = TwoVariables { p: variable(&case["p0"]), q: variable(&case["q0"]) };
        let info = |param: &Param<Tensor<1>>| VariableInfo {
            id: param.id,
            name: param.id.to_string(),
            shape: param.dims().to_vec(),
            trainable: true,
            l2: 0.0,
        };
        let mut optimizer = Optimizer::new(settings, [info(&model.p), info(&model.q)]);
        for (number, step) in (0u64..).zip(case["steps"].as_array().expect("steps")) {
            let plain = device.clone().inner();
            let mut gradients = GradientsParams::new();
            gradients.register(model.p.id, Tensor::<1>::from_floats(&f32s(&step["grad_p"])[..], &plain));
            gradients.register(model.q.id, Tensor::<1>::from_floats(&f32s(&step["grad_q"])[..], &plain));
            let rate = schedule.at(number);
            worst = worst.max((rate - f64_of(&step["learning_rate_used"])).abs());
            model = optimizer.step(model, gradients, rate);
            for (param, key) in [(&model.p, "p"), (&model.q, "q")] {
                let got: Vec<f32> = param.val().into_data().iter::<f32>().collect();
                for (got, expected) in got.iter().zip(f32s(&step[key])) {
                    worst = worst.max(f64::from((got - expected).abs() / expected.abs().max(1.0)));
                }
            }
        }
        cases += 1;
    }
    row("ops (optimizers)", cases, worst, 1e-5);
}
