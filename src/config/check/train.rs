//! Batches, steps, learning rates and the checkpoint to start from.

use std::path::PathBuf;

use super::data::placeholder;
use super::{DatasetFacts, Findings};
use crate::paths;
use crate::proto::{TrainConfig, learning_rate, optimizer};
use crate::variable_pattern;

pub(super) fn check(findings: &mut Findings, facts: &DatasetFacts) {
    let Some(train) = findings.pipeline.config.train_config.clone() else {
        return;
    };
    let batch = train.batch_size();
    let images = facts.train_images.or(facts.train.as_ref().filter(|train| train.whole).map(|train| train.images));
    if let Some(images) = images.filter(|images| u64::from(batch) > *images && *images > 0) {
        let message = format!("a batch of {batch} is more than the {images} training images");
        findings.error("batch-size", "train_config.batch_size", message, format!("use {images} or less"));
    }
    let path = "train_config.num_steps";
    if train.num_steps() == 0 {
        findings.warning("no-end", path, "without num_steps the training goes on until it is stopped", "set num_steps");
    } else if let Some(images) = images
        && u64::from(train.num_steps()) * u64::from(batch) < images
    {
        let message = format!(
            "{} steps of {batch} images see only {} of the {images} images",
            train.num_steps(),
            u64::from(train.num_steps()) * u64::from(batch)
        );
        findings.warning("few-steps", path, message, "raise num_steps until each image is seen some times");
    }
    let kept = usize::try_from(train.max_number_of_boxes()).unwrap_or(0);
    if let Some(most) = facts.most_boxes.filter(|most| *most > kept) {
        let message = format!("an image has {most} boxes and training keeps only {kept}");
        let path = "train_config.max_number_of_boxes";
        findings.warning("boxes-cut", path, message, format!("set max_number_of_boxes to {most}"));
    }
    check_patterns(&train, findings);
    check_checkpoint(&train, facts, findings);
    check_optimizer(&train, findings);
}

/// The patterns that choose what is trained. An empty one is none, as in TFOD.
fn check_patterns(train: &TrainConfig, findings: &mut Findings) {
    let lists = [
        ("update_trainable_variables", &train.update_trainable_variables),
        ("freeze_variables", &train.freeze_variables),
    ];
    for (name, patterns) in lists {
        for (index, text) in patterns.iter().enumerate().filter(|(_, text)| !text.is_empty()) {
            if let Err(error) = variable_pattern(text) {
                findings.error("bad-pattern", &format!("train_config.{name}[{index}]"), error.what, error.fix);
            }
        }
    }
}

/// What an optimizer can be expected to survive.
struct Habits {
    name: &'static str,
    /// A learning rate above this diverges more often than not.
    limit: f64,
    usual: String,
}

fn check_optimizer(train: &TrainConfig, findings: &mut Findings) {
    use optimizer::Optimizer;
    let Some(optimizer) = train.optimizer.as_ref().and_then(|optimizer| optimizer.optimizer.as_ref()) else { return };
    let batch = f64::from(train.batch_size().max(1));
    let (habits, rate) = match optimizer {
        // Steps are averaged over the batch, so a larger batch bears a larger rate. With momentum m a step
        // counts 1 / (1 − m) times; 0.9 is what the figures are for.
        Optimizer::MomentumOptimizer(momentum) => {
            let force = (1.0 - f64::from(momentum.momentum_optimizer_value().clamp(0.0, 0.999))) / 0.1;
            let habits = Habits {
                name: "momentum_optimizer",
                limit: (0.004 * batch).max(0.02) * force,
                usual: format!("about {:.4}", 0.0005 * batch * force.min(10.0)),
            };
            (habits, &momentum.learning_rate)
        }
        // An epsilon of 1 damps; without it each weight moves by about the rate itself.
        Optimizer::RmsPropOptimizer(rms_prop) => {
            let damped = rms_prop.epsilon() >= 0.1;
            let (limit, usual) = if damped { (0.1, "0.004") } else { (0.01, "0.0002") };
            (Habits { name: "rms_prop_optimizer", limit, usual: usual.into() }, &rms_prop.learning_rate)
        }
        Optimizer::AdamOptimizer(adam) => {
            (Habits { name: "adam_optimizer", limit: 0.02, usual: "0.0002 to 0.002".into() }, &adam.learning_rate)
        }
    };
    let path = format!("train_config.optimizer.{}.learning_rate", habits.name);
    let Some(rate) = rate else {
        findings.error(
            "missing-field",
            &path,
            format!("{} has no learning rate", habits.name),
            "add `learning_rate { constant_learning_rate { learning_rate: 0.002 } }`",
        );
        return;
    };
    // One that names no kind is reported as an empty choice.
    let Some(rate) = &rate.learning_rate else { return };
    check_schedule(rate, &path, train.num_steps(), findings);
    let (field, peak) = peak_rate(rate);
    if f64::from(peak) > habits.limit && peak <= 10.0 {
        let message = format!(
            "a learning rate of {peak} is likely to blow up with {} and a batch of {}",
            habits.name,
            train.batch_size()
        );
        findings.warning("learning-rate-high", &format!("{path}.{field}"), message, format!("usual: {}", habits.usual));
    }
}

/// The largest rate of a schedule, and the field that says it.
fn peak_rate(rate: &learning_rate::LearningRate) -> (String, f32) {
    use learning_rate::LearningRate;
    match rate {
        LearningRate::ConstantLearningRate(rate) => {
            ("constant_learning_rate.learning_rate".into(), rate.learning_rate())
        }
        LearningRate::ExponentialDecayLearningRate(rate) => {
            let block = "exponential_decay_learning_rate";
            if rate.burnin_steps() > 0 && rate.burnin_learning_rate() > rate.initial_learning_rate() {
                return (format!("{block}.burnin_learning_rate"), rate.burnin_learning_rate());
            }
            (format!("{block}.initial_learning_rate"), rate.initial_learning_rate())
        }
        LearningRate::ManualStepLearningRate(rate) => {
            let block = "manual_step_learning_rate";
            let mut peak = (format!("{block}.initial_learning_rate"), rate.initial_learning_rate());
            for (index, jump) in rate.schedule.iter().enumerate() {
                if jump.learning_rate() > peak.1 {
                    peak = (format!("{block}.schedule[{index}].learning_rate"), jump.learning_rate());
                }
            }
            peak
        }
        LearningRate::CosineDecayLearningRate(rate) => {
            ("cosine_decay_learning_rate.learning_rate_base".into(), rate.learning_rate_base())
        }
    }
}

fn check_schedule(rate: &learning_rate::LearningRate, path: &str, num_steps: u32, findings: &mut Findings) {
    use learning_rate::LearningRate;
    let ends = num_steps > 0;
    match rate {
        LearningRate::ConstantLearningRate(_) => {}
        LearningRate::ExponentialDecayLearningRate(rate) => {
            if ends && rate.burnin_steps() >= num_steps {
                let at = format!("{path}.exponential_decay_learning_rate.burnin_steps");
                let message = format!("the burn-in takes {} of the {num_steps} steps", rate.burnin_steps());
                findings.warning("warm-up-long", &at, message, "shorten it, or raise num_steps");
            }
        }
        LearningRate::ManualStepLearningRate(rate) => check_manual(rate, path, num_steps, findings),
        LearningRate::CosineDecayLearningRate(rate) => {
            let at = |field: &str| format!("{path}.cosine_decay_learning_rate.{field}");
            if rate.warmup_steps() > 0 && rate.warmup_learning_rate() > rate.learning_rate_base() {
                let message = format!(
                    "the warm-up starts at {}, above the learning rate of {} that it leads to",
                    rate.warmup_learning_rate(),
                    rate.learning_rate_base()
                );
                findings.error("bad-value", &at("warmup_learning_rate"), message, "lower warmup_learning_rate");
            }
            let start = u64::from(rate.warmup_steps()) + u64::from(rate.hold_base_rate_steps());
            if u64::from(rate.total_steps()) <= start {
                let message = format!("warm-up and hold take {start} steps and total_steps is {}", rate.total_steps());
                findings.error("bad-value", &at("total_steps"), message, "shorten them or raise total_steps");
            } else if ends && rate.total_steps() < num_steps {
                let message = format!(
                    "the learning rate is 0 after step {}, but training goes on to {num_steps}",
                    rate.total_steps()
                );
                findings.warning(
                    "learning-rate-ends",
                    &at("total_steps"),
                    message,
                    format!("set total_steps to {num_steps}"),
                );
            } else if ends && start >= u64::from(num_steps) {
                let message = format!("warm-up and hold take {start} of the {num_steps} steps");
                findings.warning("warm-up-long", &at("warmup_steps"), message, "shorten them, or raise num_steps");
            } else if ends && rate.total_steps() / 2 > num_steps {
                let message = format!(
                    "training ends at step {num_steps}, while the learning rate falls until step {}",
                    rate.total_steps()
                );
                findings.warning(
                    "schedule-long",
                    &at("total_steps"),
                    message,
                    format!("set total_steps to {num_steps}"),
                );
            }
        }
    }
}

fn check_manual(rate: &crate::proto::ManualStepLearningRate, path: &str, num_steps: u32, findings: &mut Findings) {
    let path = format!("{path}.manual_step_learning_rate");
    if rate.initial_learning_rate() == 0.0 && !rate.warmup() {
        let at = format!("{path}.initial_learning_rate");
        findings.error("bad-value", &at, "a learning rate of 0 trains nothing", "usual: 0.004, or set warmup to true");
    }
    let mut before = 0;
    for (index, jump) in rate.schedule.iter().enumerate() {
        let at = format!("{path}.schedule[{index}].step");
        if jump.step() <= before {
            let message = format!("step {} does not come after step {before}", jump.step());
            findings.error("bad-value", &at, message, "list the steps in rising order, from 1");
        } else if num_steps > 0 && jump.step() >= num_steps {
            let message = format!("step {} is never reached: training ends at {num_steps}", jump.step());
            findings.warning("step-not-reached", &at, message, "lower it, or raise num_steps");
        }
        before = jump.step();
    }
    if rate.schedule.is_empty() {
        let fix = "add `schedule { step: 1000 learning_rate: 0.0004 }`, or use constant_learning_rate";
        findings.error("missing-field", &path, "the schedule has no steps", fix);
    }
}

fn check_checkpoint(train: &TrainConfig, facts: &DatasetFacts, findings: &mut Findings) {
    let path = "train_config.fine_tune_checkpoint";
    let checkpoint = train.fine_tune_checkpoint();
    let kind = train.fine_tune_checkpoint_type();
    if train.from_detection_checkpoint() && kind == "classification" {
        let message =
            "from_detection_checkpoint and fine_tune_checkpoint_type \"classification\" contradict each other";
        let fix = "remove from_detection_checkpoint; the type says all";
        findings.error("conflict", "train_config.from_detection_checkpoint", message, fix);
    }
    if train.load_all_detection_checkpoint_vars() && kind == "classification" {
        let message = "a classification checkpoint has no heads to load";
        let at = "train_config.load_all_detection_checkpoint_vars";
        findings.error("conflict", at, message, "remove it, or set fine_tune_checkpoint_type to \"detection\"");
    }
    if checkpoint.is_empty() {
        if !kind.is_empty() && facts.root.is_some() {
            let message =
                format!("there is a type, \"{kind}\", and no checkpoint, so training starts from random weights");
            let fix = "add `fine_tune_checkpoint: \"…\"`, or remove the type";
            findings.warning("no-checkpoint", "train_config.fine_tune_checkpoint_type", message, fix);
        }
        return;
    }
    if placeholder(checkpoint, path, findings) {
        return;
    }
    let Some(root) = &facts.root else { return };
    let file = paths::resolve(root, checkpoint);
    let bundle = PathBuf::from(format!("{}.index", file.display()));
    if !file.exists() && !bundle.exists() {
        let message = format!("the checkpoint {} does not exist", file.display());
        let fix = "correct the path, or remove the line to start from random weights";
        findings.error("missing-file", path, message, fix);
    } else if !file.is_file() && bundle.exists() && paths::expand(root, &format!("{checkpoint}.data-*")).is_empty() {
        let message =
            format!("{} is there and its data file {}.data-00000-of-00001 is not", bundle.display(), file.display());
        findings.error("missing-file", path, message, "put both files of the checkpoint there");
    }
}
