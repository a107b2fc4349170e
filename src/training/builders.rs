//! From `train_config` to what the loop runs with (TFOD's `optimizer_builder`, `preprocessor_builder`).
//!
//! The model's part of the config is built by `detection::builders`; this file reads the rest.
//! What cannot be honoured is an error that names the field, never a silent default.

mod crop_steps;
mod preprocessor_builder;

use boxwright_config::proto;
pub use preprocessor_builder::augmentation;

use crate::learning_schedule::LearningSchedule;
use crate::optimizer::{OptimizerSettings, UpdateRule};

/// A field that cannot be honoured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {what}")]
pub struct FieldError {
    /// Its path.
    pub field: String,
    /// What is wrong and what to do.
    pub what: String,
}

fn error<T>(field: &str, what: impl Into<String>) -> Result<T, FieldError> {
    Err(FieldError { field: field.to_owned(), what: what.into() })
}

/// The optimizer and its learning rate schedule.
///
/// # Errors
/// No optimizer, no learning rate, or an impossible value.
pub fn optimizer(train: &proto::TrainConfig) -> Result<(OptimizerSettings, LearningSchedule), FieldError> {
    use proto::optimizer::Optimizer;
    const PATH: &str = "train_config.optimizer";
    let Some(config) = &train.optimizer else { return error(PATH, "is not set; add momentum_optimizer { … }") };
    let (rule, rate, name) = match &config.optimizer {
        Some(Optimizer::MomentumOptimizer(m)) => (
            UpdateRule::Momentum { momentum: m.momentum_optimizer_value() },
            m.learning_rate.as_ref(),
            "momentum_optimizer",
        ),
        Some(Optimizer::RmsPropOptimizer(r)) => (
            UpdateRule::RmsProp { decay: r.decay(), momentum: r.momentum_optimizer_value(), epsilon: r.epsilon() },
            r.learning_rate.as_ref(),
            "rms_prop_optimizer",
        ),
        Some(Optimizer::AdamOptimizer(a)) => {
            (UpdateRule::Adam { epsilon: a.epsilon() }, a.learning_rate.as_ref(), "adam_optimizer")
        }
        None => return error(PATH, "names no optimizer; add momentum_optimizer { … }"),
    };
    let path = format!("{PATH}.{name}.learning_rate");
    let Some(rate) = rate.and_then(|r| r.learning_rate.as_ref()) else {
        return error(&path, "is not set; add constant_learning_rate { learning_rate: 0.004 }");
    };
    let schedule = learning_schedule(rate, &path)?;
    let clip = train.gradient_clipping_by_norm();
    let settings = OptimizerSettings {
        rule,
        clip_norm: (clip > 0.0).then_some(clip),
        moving_average_decay: config.use_moving_average().then(|| config.moving_average_decay()),
    };
    Ok((settings, schedule))
}

fn learning_schedule(rate: &proto::learning_rate::LearningRate, path: &str) -> Result<LearningSchedule, FieldError> {
    use proto::learning_rate::LearningRate;
    Ok(match rate {
        LearningRate::ConstantLearningRate(c) => LearningSchedule::Constant { rate: f64::from(c.learning_rate()) },
        LearningRate::ExponentialDecayLearningRate(e) => {
            if e.decay_steps() == 0 {
                return error(
                    &format!("{path}.exponential_decay_learning_rate.decay_steps"),
                    "is 0; give the steps between two decays",
                );
            }
            LearningSchedule::Exponential {
                base: f64::from(e.initial_learning_rate()),
                decay_steps: f64::from(e.decay_steps()),
                decay_factor: f64::from(e.decay_factor()),
                staircase: e.staircase(),
                burnin_rate: f64::from(e.burnin_learning_rate()),
                burnin_steps: u64::from(e.burnin_steps()),
                min_rate: f64::from(e.min_learning_rate()),
            }
        }
        LearningRate::ManualStepLearningRate(m) => {
            let steps: Vec<(u64, f64)> =
                m.schedule.iter().map(|s| (u64::from(s.step()), f64::from(s.learning_rate()))).collect();
            let path = format!("{path}.manual_step_learning_rate");
            if steps.is_empty() {
                return error(
                    &path,
                    "has no schedule; add schedule { step: 1000 learning_rate: 0.0001 } or use constant_learning_rate",
                );
            }
            if steps[0].0 == 0 || steps.windows(2).any(|w| w[0].0 >= w[1].0) {
                return error(&path, "needs steps above 0 in growing order");
            }
            LearningSchedule::Manual { initial: f64::from(m.initial_learning_rate()), steps, warmup: m.warmup() }
        }
        LearningRate::CosineDecayLearningRate(c) => {
            let path = format!("{path}.cosine_decay_learning_rate");
            let (base, warmup) = (f64::from(c.learning_rate_base()), f64::from(c.warmup_learning_rate()));
            let start = u64::from(c.warmup_steps()) + u64::from(c.hold_base_rate_steps());
            if start >= u64::from(c.total_steps()) {
                return error(
                    &path,
                    format!("total_steps {} is not larger than warm-up and hold together, {start}", c.total_steps()),
                );
            }
            if c.warmup_steps() > 0 && base < warmup {
                return error(&path, format!("learning_rate_base {base} is below warmup_learning_rate {warmup}"));
            }
            LearningSchedule::Cosine {
                base,
                total_steps: u64::from(c.total_steps()),
                warmup_rate: warmup,
                warmup_steps: u64::from(c.warmup_steps()),
                hold_steps: u64::from(c.hold_base_rate_steps()),
            }
        }
    })
}

/// The record files of an input reader.
///
/// # Errors
/// No `tf_record_input_reader` or no path in it.
pub fn record_paths<'a>(reader: Option<&'a proto::InputReader>, field: &str) -> Result<&'a [String], FieldError> {
    use proto::input_reader::InputReader;
    let Some(reader) = reader else {
        return error(field, "is not set; add tf_record_input_reader { input_path: … }");
    };
    match &reader.input_reader {
        Some(InputReader::TfRecordInputReader(records)) if !records.input_path.is_empty() => Ok(&records.input_path),
        Some(InputReader::TfRecordInputReader(_)) => {
            error(&format!("{field}.tf_record_input_reader.input_path"), "is not set; give the record files")
        }
        _ => error(field, "reads no TFRecords; add tf_record_input_reader { input_path: … }"),
    }
}

/// Refuses what no run can do: a batch without images.
///
/// # Errors
/// The field.
pub fn refuse_unhonoured(train: &proto::TrainConfig) -> Result<(), FieldError> {
    if train.batch_size() == 0 {
        return error("train_config.batch_size", "is 0; give the number of images a step takes");
    }
    Ok(())
}
