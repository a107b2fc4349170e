//! `boxwright train`.

use std::path::PathBuf;
use std::time::Duration;

use boxwright_core::run::RunState;
use boxwright_training::device::DeviceChoice;
use boxwright_training::train::{TrainOutcome, TrainRequest, train};

use crate::output::{self, ProgressMode, duration_words};

/// Train a detector.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The pipeline config
    #[arg(long, value_name = "FILE")]
    pub pipeline: PathBuf,
    /// The run directory: checkpoints, metrics, log
    #[arg(long, value_name = "DIR")]
    pub model_dir: PathBuf,
    /// auto, cpu, gpu, or gpu:N as `boxwright devices` lists them
    #[arg(long, default_value = "auto")]
    pub device: DeviceChoice,
    /// Steps to train; the config's num_steps otherwise
    #[arg(long, value_name = "N")]
    pub num_steps: Option<u64>,
    /// Weights to start from (a file, a checkpoint's prefix, a run, a model.tar.gz); the config's fine_tune_checkpoint otherwise
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Train even if those weights leave the feature extractor random
    #[arg(long)]
    pub allow_random_backbone: bool,
    /// Go on from the last checkpoint in the run directory
    #[arg(long)]
    pub resume: bool,
    /// Seed of weights, shuffling and augmentation
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Steps between checkpoints
    #[arg(long, value_name = "N")]
    pub checkpoint_every: Option<u64>,
    /// Steps between evaluations; 0 evaluates only at the end
    #[arg(long, value_name = "N")]
    pub eval_every: Option<u64>,
    /// How progress is shown
    #[arg(long, value_enum, default_value_t)]
    pub progress: ProgressMode,
}

impl Args {
    fn request(&self) -> TrainRequest {
        TrainRequest {
            pipeline: self.pipeline.clone(),
            model_dir: self.model_dir.clone(),
            device: self.device,
            num_steps: self.num_steps,
            checkpoint: self.checkpoint.clone(),
            allow_random_backbone: self.allow_random_backbone,
            resume: self.resume,
            seed: self.seed,
            checkpoint_every: self.checkpoint_every,
            eval_every: self.eval_every,
        }
    }
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let request = args.request();
    let (outcome, message) = output::job(args.progress, |progress| {
        let outcome = train(&request, progress)?;
        let message = summary(&outcome);
        Ok((outcome, message))
    })?;
    if args.progress != ProgressMode::Json {
        eprintln!("{message}");
        if let Some(metrics) = &outcome.metrics {
            crate::eval::print_table(metrics);
        }
    }
    Ok(())
}

/// The end of a run in a few words.
pub fn summary(outcome: &TrainOutcome) -> String {
    let how = if outcome.state == RunState::Stopped { "stopped" } else { "done" };
    if outcome.training_seconds == 0.0 {
        return format!("{how}: nothing was left to do, {} steps were there already", outcome.step);
    }
    format!(
        "{how} at step {}: loss {:.3}, {} of training, {:.1} images a second, first step after {:.1} s, waited {:.1} s for input",
        outcome.step,
        outcome.loss,
        duration_words(Duration::from_secs_f64(outcome.training_seconds)),
        outcome.images_per_second,
        outcome.seconds_to_first_step,
        outcome.stall_seconds,
    )
}
