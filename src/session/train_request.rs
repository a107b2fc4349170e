//! What to train, and the words that tell a child process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use boxwright_core::run::Precision;

/// What `boxwright train` can be told beside config, folder and progress. What is `None` is as the config and the
/// program have it.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainRequest {
    /// The name of the run, which is its folder in `runs/`.
    pub run: String,
    /// `auto`, `cpu`, `gpu` or `gpu:N`.
    pub device: String,
    /// How many steps.
    pub num_steps: Option<u64>,
    /// Continue from the last checkpoint of the run.
    pub resume: bool,
    /// Weights to start from.
    pub checkpoint: Option<PathBuf>,
    /// Train even where those leave the feature extractor random.
    pub allow_random_backbone: bool,
    /// Seed of weights, shuffling and augmentation.
    pub seed: Option<u64>,
    /// Steps between checkpoints.
    pub checkpoint_every: Option<u64>,
    /// Steps between evaluations; 0 for the last only.
    pub eval_every: Option<u64>,
    /// How many of the last checkpoints are kept.
    pub max_to_keep: Option<usize>,
    /// Checkpoints of every so many steps are kept for good.
    pub keep_every: Option<u64>,
    /// The time after which the run saves, measures and stops.
    pub max_time: Option<Duration>,
    /// How many evaluations may pass without a better one.
    pub early_stopping: Option<u64>,
    /// Batches that each step takes.
    pub accumulate: Option<u32>,
    /// The numbers that convolutions are trained in.
    pub precision: Option<Precision>,
    /// What gradients are multiplied by, for each pattern that is found in a variable's name.
    pub gradient_multipliers: Vec<(String, f32)>,
}

impl TrainRequest {
    /// A new run with nothing said beside its name and its device.
    pub fn new(run: impl Into<String>, device: impl Into<String>) -> Self {
        Self {
            run: run.into(),
            device: device.into(),
            num_steps: None,
            resume: false,
            checkpoint: None,
            allow_random_backbone: false,
            seed: None,
            checkpoint_every: None,
            eval_every: None,
            max_to_keep: None,
            keep_every: None,
            max_time: None,
            early_stopping: None,
            accumulate: None,
            precision: None,
            gradient_multipliers: Vec::new(),
        }
    }

    /// The arguments of the program that trains with this config into this folder, and tells its progress as JSON.
    pub fn arguments(&self, pipeline: &Path, run_dir: &Path) -> Vec<String> {
        let mut words = vec!["train".to_owned()];
        let mut option = |name: &str, value: Option<String>| {
            match value {
                // What looks like an option itself is a value only in one word with its name.
                Some(value) if value.starts_with('-') => words.push(format!("--{name}={value}")),
                Some(value) => words.extend([format!("--{name}"), value]),
                None => {}
            }
        };
        let number = |value: Option<u64>| value.map(|value| value.to_string());
        option("pipeline", Some(text(pipeline)));
        option("model-dir", Some(text(run_dir)));
        option("device", Some(self.device.clone()));
        option("progress", Some("json".to_owned()));
        option("num-steps", number(self.num_steps));
        option("checkpoint", self.checkpoint.as_deref().map(text));
        option("seed", number(self.seed));
        option("checkpoint-every", number(self.checkpoint_every));
        option("eval-every", number(self.eval_every));
        option("max-to-keep", self.max_to_keep.map(|kept| kept.to_string()));
        option("keep-every", number(self.keep_every));
        option("max-time", self.max_time.map(|time| format!("{}s", time.as_secs_f64())));
        option("early-stopping", number(self.early_stopping));
        option("accumulate", self.accumulate.map(|count| count.to_string()));
        option("precision", self.precision.map(|precision| precision.as_str().to_owned()));
        for (pattern, factor) in &self.gradient_multipliers {
            option("gradient-multiplier", Some(format!("{pattern}={factor}")));
        }
        for (name, is_set) in [("allow-random-backbone", self.allow_random_backbone), ("resume", self.resume)] {
            if is_set {
                words.push(format!("--{name}"));
            }
        }
        words
    }
}

/// Paths of a project are Unicode wherever they stand in its files; a project folder that is not is passed on as well
/// as it can be and refused by name there.
pub(crate) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
