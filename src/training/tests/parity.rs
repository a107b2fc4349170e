//! Learning rates and optimizer steps against `golden/`, whatever cases a folder holds.

use boxwright_config::{proto, text_format};
use boxwright_detection::VariableInfo;
use boxwright_detection::regularizers::Regularizer;
use boxwright_golden::{Case, Row, Value, cases, list, number64, numbers, numbers64, text};
use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};

use crate::builders;
use crate::learning_schedule::LearningSchedule;
use crate::optimizer::Optimizer;

/// A schedule of the golden file; `None` for `exponential_decay_with_warmup`, which no config asks for.
fn schedule(case: &Value) -> Option<LearningSchedule> {
    let p = &case["params"];
    let number = |key: &str| number64(&p[key]);
    let whole = |key: &str| p[key].as_u64().expect("a whole number");
    match case["schedule"].as_str()? {
        "manual_step" => {
            let rates: Vec<f64> = p["rates"].as_array()?.iter().map(number64).collect();
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
    let mut row = Row::new("schedules", 1e-5);
    for Case { name, json, .. } in cases("schedules", &["cases.schedule", "cases.values"]) {
        for (index, case) in list(&json["cases"]).iter().enumerate() {
            let Some(schedule) = schedule(case) else { continue };
            let values = numbers64(&case["values"]);
            // TensorFlow computes in f32, so near the end of a cosine little of the rate it started from is left.
            let least = 0.01 * values.iter().copied().fold(0.0, f64::max);
            for (step, expected) in list(&case["steps"]).iter().zip(values) {
                let ours = schedule.at(step.as_u64().expect("a step"));
                let deviation = (ours - expected).abs() / expected.abs().max(least);
                row.deviation(|| format!("{name} {index}, step {step}: {ours} instead of {expected}"), deviation);
            }
            row.case();
        }
    }
    row.finish();
}

/// Two small variables, as the golden run of the optimizers had.
#[derive(Module, Debug)]
struct TwoVariables {
    p: Param<Tensor<1>>,
    q: Param<Tensor<1>>,
}

#[test]
fn optimizers() {
    let mut row = Row::new("ops/optimizers", 1e-5);
    for Case { name, json, .. } in cases("ops", &["cases.p0", "cases.steps.grad_p"]) {
        for case in list(&json["cases"]) {
            row.case();
            optimizer_case(&mut row, &format!("{name} {}", case["name"]), case);
        }
    }
    row.finish();
}

fn optimizer_case(row: &mut Row, name: &str, case: &Value) {
    let device = Device::flex().autodiff();
    let config: proto::Optimizer = text_format::parse(text(&case["config"]), "golden").expect("it parses");
    let train = proto::TrainConfig {
        optimizer: Some(config),
        gradient_clipping_by_norm: case["gradient_clipping_by_norm"].as_f64().map(|v| v as f32),
        ..proto::TrainConfig::default()
    };
    let (settings, schedule) = builders::optimizer(&train).expect("it is honoured");
    let variable = |values: &Value| {
        let tensor: Tensor<1> = Tensor::from_floats(&numbers(values)[..], &device);
        Param::from_tensor(tensor.require_grad())
    };
    let mut model = TwoVariables { p: variable(&case["p0"]), q: variable(&case["q0"]) };
    let info = |param: &Param<Tensor<1>>| VariableInfo {
        id: param.id,
        name: param.id.to_string(),
        shape: param.dims().to_vec(),
        trainable: true,
        regularizer: Regularizer::None,
    };
    let mut optimizer = Optimizer::new(settings, [info(&model.p), info(&model.q)]);
    for (number, step) in (0u64..).zip(list(&case["steps"])) {
        let plain = device.clone().inner();
        let mut gradients = GradientsParams::new();
        gradients.register(model.p.id, Tensor::<1>::from_floats(&numbers(&step["grad_p"])[..], &plain));
        gradients.register(model.q.id, Tensor::<1>::from_floats(&numbers(&step["grad_q"])[..], &plain));
        let rate = schedule.at(number);
        let used = number64(&step["learning_rate_used"]);
        row.deviation(|| format!("{name} step {number}: rate {rate} instead of {used}"), (rate - used).abs());
        model = optimizer.step(model, gradients, rate);
        for (param, key) in [(&model.p, "p"), (&model.q, "q")] {
            let ours: Vec<f32> = param.val().into_data().iter::<f32>().collect();
            row.compare(&format!("{name} step {number} {key}"), &ours, &numbers(&step[key]));
        }
    }
}
