//! `boxwright train`.

use std::path::PathBuf;
use std::time::Duration;

use boxwright_core::run::{Precision, RunState};
use boxwright_training::device::DeviceChoice;
use boxwright_training::train::{KEPT_CHECKPOINTS, TrainOutcome, TrainRequest, train};

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
    /// auto, cpu, gpu, gpu:N as `boxwright devices` lists them, or cuda:N in a build with CUDA
    #[arg(long, alias = "devices", default_value = "auto", value_parser = one_device)]
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
    /// How many of the last checkpoints are kept; the best one stays beside them
    #[arg(long, value_name = "N", default_value_t = KEPT_CHECKPOINTS)]
    pub max_to_keep: usize,
    /// Keep the checkpoint of every K-th step for ever
    #[arg(long, value_name = "K")]
    pub keep_every: Option<u64>,
    /// Save, measure and stop after this time: 30m, 1h30m, 90s
    #[arg(long, value_name = "TIME", value_parser = crate::durations::parse)]
    pub max_time: Option<Duration>,
    /// End after N evaluations without a better mAP; the best checkpoint is kept
    #[arg(long, value_name = "N")]
    pub early_stopping: Option<u64>,
    /// Take N batches in each step, with the memory of one: their gradients are summed
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub accumulate: u32,
    /// Multiply the gradients of the variables in whose names PATTERN is found; may be given several times
    #[arg(long, value_name = "PATTERN=FACTOR", value_parser = gradient_multiplier)]
    pub gradient_multiplier: Vec<(String, f32)>,
    /// f32, or f16: convolutions in half precision with a loss scale, on a GPU that has it; a resumed run keeps its own
    #[arg(long, value_name = "f32|f16")]
    pub precision: Option<Precision>,
    /// How progress is shown
    #[arg(long, value_enum, default_value_t)]
    pub progress: ProgressMode,
}

/// `PATTERN=FACTOR`; the pattern may hold further signs of equality.
fn gradient_multiplier(word: &str) -> Result<(String, f32), String> {
    let (pattern, factor) = word.rsplit_once('=').ok_or("give PATTERN=FACTOR, such as FeatureExtractor=0.1")?;
    let factor = factor.parse().map_err(|_| format!("\"{factor}\" is no number"))?;
    Ok((pattern.to_owned(), factor))
}

/// A device, or a word about several of them.
fn one_device(word: &str) -> Result<DeviceChoice, String> {
    if word.contains(',') {
        return Err(format!(
            "\"{word}\": one device trains a run here. Sharing a batch among several needs a collective, which there is \
             only for CUDA and not in this program; on one device, --accumulate N takes N batches in each step, with \
             the memory of one"
        ));
    }
    word.parse()
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
            max_to_keep: Some(self.max_to_keep),
            keep_every: self.keep_every,
            max_time: self.max_time,
            early_stopping: self.early_stopping,
            draw: Some(crate::predict::draw_boxes),
            accumulate: self.accumulate,
            gradient_multipliers: self.gradient_multiplier.clone(),
            precision: self.precision,
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
        let reason = if outcome.reason.is_empty() { "" } else { "\n" }.to_owned() + &outcome.reason;
        return format!("{how}: nothing was left to do, {} steps were there already{reason}", outcome.step);
    }
    let memory = outcome.peak_memory.map_or_else(String::new, |bytes| format!(", {} MiB at most", bytes >> 20));
    let mut words = format!(
        "{how} at step {}: loss {:.3}, {} of training, {:.1} images a second, first step after {:.1} s, waited {:.1} s for \
         input{memory}",
        outcome.step,
        outcome.loss,
        duration_words(Duration::from_secs_f64(outcome.training_seconds)),
        outcome.images_per_second,
        outcome.seconds_to_first_step,
        outcome.stall_seconds,
    );
    if !outcome.reason.is_empty() {
        words += &format!("\n{}", outcome.reason);
    }
    if let Some(best) = &outcome.best {
        words += &format!("\nthe best evaluation is that of step {}: {} {:.4}", best.step, best.metric, best.value);
    }
    words
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_the_window_asks_for_is_understood() {
        #[derive(clap::Parser)]
        struct Train {
            #[command(flatten)]
            args: Args,
        }
        let asked = boxwright_session::TrainRequest {
            num_steps: Some(7),
            resume: true,
            checkpoint: Some("weights/-odd name.pth".into()),
            allow_random_backbone: true,
            seed: Some(u64::MAX),
            checkpoint_every: Some(3),
            eval_every: Some(0),
            max_to_keep: Some(2),
            keep_every: Some(9),
            max_time: Some(Duration::from_millis(5_400_500)),
            early_stopping: Some(4),
            accumulate: Some(8),
            precision: Some(Precision::F16),
            gradient_multipliers: vec![("-a=b$".to_owned(), 0.25), ("Feature".to_owned(), 3.0)],
            ..boxwright_session::TrainRequest::new("r", "gpu:1")
        };
        let words = asked.arguments(Path::new("p.config"), Path::new("-runs/r"));
        let got = <Train as clap::Parser>::try_parse_from(words).expect("understood").args;
        assert!(got.progress == ProgressMode::Json);
        let got = got.request();
        assert_eq!((got.pipeline, got.model_dir), ("p.config".into(), "-runs/r".into()));
        assert_eq!((got.device, got.num_steps, got.resume), (DeviceChoice::Adapter(1), asked.num_steps, true));
        assert_eq!((got.checkpoint, got.allow_random_backbone), (asked.checkpoint, true));
        assert_eq!((Some(got.seed), Some(got.accumulate)), (asked.seed, asked.accumulate));
        assert_eq!((got.checkpoint_every, got.eval_every), (asked.checkpoint_every, asked.eval_every));
        assert_eq!((got.max_to_keep, got.keep_every), (asked.max_to_keep, asked.keep_every));
        assert_eq!((got.max_time, got.early_stopping), (asked.max_time, asked.early_stopping));
        assert_eq!((got.gradient_multipliers, got.precision), (asked.gradient_multipliers, asked.precision));
        // What is not asked for is as if nobody had asked.
        let words = boxwright_session::TrainRequest::new("r", "auto").arguments(Path::new("p"), Path::new("r"));
        let plain = ["train", "--pipeline", "p", "--model-dir", "r", "--progress", "json"].map(str::to_owned);
        let parse = |words: &[String]| <Train as clap::Parser>::try_parse_from(words).expect("understood").args;
        assert_eq!(format!("{:?}", parse(&words)), format!("{:?}", parse(&plain)));
    }

    #[test]
    fn several_devices_get_a_clear_answer() {
        assert_eq!(one_device("gpu:1"), Ok(DeviceChoice::Adapter(1)));
        let answer = one_device("gpu:0,gpu:1").expect_err("one device trains");
        assert!(answer.contains("CUDA") && answer.contains("--accumulate"), "{answer}");
        assert!(one_device("tpu").is_err());
    }
}
