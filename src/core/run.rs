//! What a training run says of itself: progress lines and the metrics file.
//!
//! A job prints one [`ProgressEvent`] as JSON a line with `--progress json`; the studio and scripts
//! read them. The same metrics, appended to `metrics.jsonl` in the run directory as
//! [`MetricRecord`]s, are the truth that survives the job: the window reattaches by reading them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::detection::Detection;

/// One line of `--progress json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum ProgressEvent {
    /// How far a stage is.
    Progress {
        /// The stage in words: "training", "evaluating", "writing records".
        stage: String,
        /// Steps, images or records done.
        done: u64,
        /// How many there are in all; 0 where that is not known.
        total: u64,
        /// Seconds until the stage is done, as estimated from the rate so far.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds_left: Option<f64>,
        /// Items a second.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rate: Option<f64>,
    },
    /// New numbers.
    Metric(MetricRecord),
    /// Something to know that did not stop the job.
    Warning {
        /// What, where, and what to do.
        message: String,
    },
    /// The job is done.
    Finished {
        /// The result in one sentence.
        message: String,
    },
    /// The job stopped with an error.
    Failed {
        /// What, where, and what to do.
        message: String,
    },
}

/// One line of `metrics.jsonl`: numbers at a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricRecord {
    /// The global step after which the numbers hold.
    pub step: u64,
    /// Seconds since the run (or its resumption) began.
    pub seconds: f64,
    /// Training losses or evaluation metrics.
    pub kind: MetricKind,
    /// TFOD's names: `Loss/total_loss`, `learning_rate`, `DetectionBoxes_Precision/mAP`, …
    /// Numbers that are not finite travel as `null`, as JSON has no other way.
    pub values: BTreeMap<String, Option<f64>>,
}

impl MetricRecord {
    /// A record of these values; those that are not finite become `None`.
    pub fn new(step: u64, seconds: f64, kind: MetricKind, values: impl IntoIterator<Item = (String, f64)>) -> Self {
        let values = values.into_iter().map(|(name, value)| (name, value.is_finite().then_some(value))).collect();
        Self { step, seconds, kind, values }
    }
}

/// What a record of metrics was measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricKind {
    /// The batches of training.
    Train,
    /// The evaluation data.
    Eval,
}

/// The state of a run as its folder tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// A process is at work.
    Running,
    /// All steps are done.
    Finished,
    /// A person stopped it; it can go on from its last checkpoint.
    Stopped,
    /// The process ended without a word or with an error; it can go on from its last checkpoint.
    Failed,
}

/// `run.json` in the run directory: who works on the run and how far it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// The process that trains or trained.
    pub pid: u32,
    /// Its last word.
    pub state: RunState,
    /// When it began, in seconds since 1970.
    pub started: u64,
    /// When this file was last written, in seconds since 1970.
    pub updated: u64,
    /// Steps done.
    pub step: u64,
    /// Steps asked for.
    pub num_steps: u64,
    /// The device in words.
    pub device: String,
    /// Why it stopped or failed; empty while it runs or when it is done.
    #[serde(default)]
    pub reason: String,
    /// What it was begun with, so that it can be repeated.
    #[serde(default)]
    pub setup: RunSetup,
    /// The best evaluation so far, whose checkpoint is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<BestEvaluation>,
    /// The most memory that its process has held, in bytes, where the system says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
    /// For each checkpoint that is there, by its step: after how many seconds of work it was written, all
    /// resumptions together.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub checkpoint_seconds: BTreeMap<u64, f64>,
}

/// The numbers that convolutions are trained in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats, as everything else.
    #[default]
    F32,
    /// 16-bit floats, with a loss scale; everything else stays in 32 bits.
    F16,
}

impl Precision {
    /// `f32` or `f16`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }
}

impl std::str::FromStr for Precision {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let all = [Self::F32, Self::F16];
        all.into_iter()
            .find(|it| it.as_str() == word)
            .ok_or_else(|| format!("\"{word}\" is no precision; use f32 or f16"))
    }
}

/// What a run was begun with. Together with the copies of the config and the label map in its folder,
/// and the data, it makes the run repeatable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunSetup {
    /// The version of the program.
    pub version: String,
    /// The seed of weights, shuffling and augmentation.
    pub seed: u64,
    /// The numbers that its convolutions are trained in.
    pub precision: Precision,
    /// The folder that relative paths in the config start from.
    pub config_folder: String,
    /// The weights that it started from; none where all were random.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// SHA-256 of the training records, as in `dataset.json`.
    pub dataset_sha256: String,
    /// The command that repeats the run into another folder, word by word.
    pub repeat: Vec<String>,
}

/// The evaluation with the best main metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BestEvaluation {
    /// Its step.
    pub step: u64,
    /// The metric's name.
    pub metric: String,
    /// Its value.
    pub value: f64,
}

/// `eval/detections-STEP.json` in the run directory: what the model found on the evaluation images,
/// for the review and for drawing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunDetections {
    /// The step of the checkpoint.
    pub step: u64,
    /// One entry an evaluation image, also where nothing was found.
    pub images: Vec<ImageDetections>,
}

/// The detections of one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageDetections {
    /// The image's path as its record's `image/filename` says it, which for a project's own records
    /// is [`crate::ImageEntry::path`].
    pub image: String,
    /// Best score first.
    pub detections: Vec<Detection>,
}

/// The file in a run directory whose appearance asks the run to save a checkpoint and stop.
pub const STOP_FILE: &str = "STOP";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_documented_shape() {
        let event = ProgressEvent::Metric(MetricRecord::new(
            7,
            1.5,
            MetricKind::Train,
            [("Loss/total_loss".to_owned(), 2.0), ("nan".to_owned(), f64::NAN)],
        ));
        let line = serde_json::to_string(&event).expect("serializes");
        assert_eq!(
            line,
            r#"{"event":"metric","step":7,"seconds":1.5,"kind":"train","values":{"Loss/total_loss":2.0,"nan":null}}"#
        );
        assert_eq!(serde_json::from_str::<ProgressEvent>(&line).expect("parses"), event);
    }
}
