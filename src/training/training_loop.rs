//! The loop of a run: steps, checkpoints, evaluations, and the reasons to end.

use std::time::{Duration, Instant};

use boxwright_core::evaluation::EvaluationResult;
use boxwright_core::run::{ProgressEvent, RunInfo, RunState};
use boxwright_detection::DetectionModel;
use boxwright_weights::{Checkpoint, write_checkpoint};
use burn::module::Module;
use burn::tensor::Device;

use crate::best::{BestTracker, MAIN_METRIC};
use crate::error::TrainingError;
use crate::evaluate::{EvaluationData, evaluate_model};
use crate::half_precision::LossScale;
use crate::input::BatchPipeline;
use crate::journal::Journal;
use crate::learning_schedule::LearningSchedule;
use crate::memory::peak_resident_bytes;
use crate::optimizer::Optimizer;
use crate::progress::ProgressSink;
use crate::run_directory::{RunDirectory, kept_by_hours, unix_seconds};
use crate::side_by_side::{self, DrawBoxes};
use crate::train::TrainOutcome;

/// The longest time of work that a kill can cost.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(120);

/// The shortest time between two looks at the variables of a run at work, and the share of the time that they may cost.
const LIVE_INTERVAL: Duration = Duration::from_secs(10);
const LIVE_SHARE: u32 = 50;

/// The shortest time between two words about the progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// When a run saves, measures and ends.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The last step.
    pub num_steps: u64,
    /// Images a step.
    pub batch_size: u32,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Steps between evaluations; 0 for the last only.
    pub eval_every: u64,
    /// How many of the last checkpoints are kept.
    pub max_to_keep: usize,
    /// Checkpoints of the multiples of this are written and kept for ever.
    pub keep_every: Option<u64>,
    /// One checkpoint of so many hours of work is kept for ever.
    pub keep_hours: f64,
    /// The time after which the run saves, measures and stops.
    pub max_time: Option<Duration>,
}

/// Why a step was the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Done,
    Person,
    Time,
}

/// Everything a step needs.
pub(crate) struct Loop<'a> {
    pub(crate) directory: &'a RunDirectory,
    pub(crate) journal: Journal<'a>,
    pub(crate) device: Device,
    pub(crate) model: DetectionModel,
    pub(crate) optimizer: Optimizer,
    /// Where convolutions are in f16.
    pub(crate) loss_scale: Option<LossScale>,
    pub(crate) schedule: LearningSchedule,
    pub(crate) best: BestTracker,
    pub(crate) plan: Plan,
    /// Draws the pictures of evaluations.
    pub(crate) draw: Option<DrawBoxes>,
    pub(crate) step: u64,
    pub(crate) seed: u64,
    /// In how many parts a batch goes through the network.
    pub(crate) parts: usize,
    /// In how many further steps a full memory of the device is an occasion to try again with smaller parts.
    pub(crate) trials: u32,
    pub(crate) info: RunInfo,
    /// When the run, or its resumption, was begun.
    pub(crate) begin: Instant,
    /// The time of work before that, up to the checkpoint that the run goes on from.
    pub(crate) worked: Duration,
    /// The time of steps, without input, checkpoints and evaluations.
    pub(crate) training: Duration,
    /// When and at which step the last checkpoint was written.
    pub(crate) last_checkpoint: (Instant, u64),
    /// When the variables were last left for lookers-on, and the time that it took.
    pub(crate) last_live: (Instant, Duration),
    /// Whether evaluations measure the moving averages, and lookers-on get them.
    pub(crate) use_moving_averages: bool,
    /// The time that the last checkpoint and the last evaluation took.
    pub(crate) saving: Duration,
    pub(crate) measuring: Duration,
    pub(crate) metrics: Option<EvaluationResult>,
}

impl Loop<'_> {
    /// Trains to the end.
    pub(crate) fn run(
        mut self,
        mut batches: BatchPipeline,
        evaluation: Option<EvaluationData>,
        sink: &mut dyn ProgressSink,
    ) -> Result<TrainOutcome, TrainingError> {
        let first_step = self.step;
        let mut loss = f64::NAN;
        let mut seconds_to_first_step = 0.0;
        let mut last_word = Instant::now();
        let evaluation = evaluation.as_ref();
        let is_over = self.catch_up(evaluation, sink)?;
        while !is_over && let Some(batch) = batches.next_batch() {
            let batch = batch?;
            self.journal.pictures(self.step + 1, &batch)?;
            let step_begin = Instant::now();
            loss = self.step(batch, sink)?;
            self.training += step_begin.elapsed();
            if self.step == first_step + 1 {
                seconds_to_first_step = self.begin.elapsed().as_secs_f64();
            }
            if last_word.elapsed() > PROGRESS_INTERVAL || self.step == self.plan.num_steps {
                last_word = Instant::now();
                sink.event(&self.progress(first_step, loss));
            }
            if self.after_step(evaluation, sink)? {
                break;
            }
            if self.last_live.0.elapsed() > LIVE_INTERVAL.max(self.last_live.1 * LIVE_SHARE) {
                self.leave_live(sink);
            }
        }
        let stall = batches.stall();
        let seconds = self.training.as_secs_f64() + stall.as_secs_f64();
        let images = (self.step - first_step) as f64 * f64::from(self.plan.batch_size);
        Ok(TrainOutcome {
            step: self.step,
            state: self.info.state,
            reason: self.info.reason,
            loss,
            training_seconds: seconds,
            images_per_second: if seconds > 0.0 { images / seconds } else { 0.0 },
            seconds_to_first_step,
            stall_seconds: stall.as_secs_f64(),
            peak_memory: self.info.peak_memory,
            best: self.info.best,
            metrics: self.metrics,
        })
    }

    /// Does what a run that was killed had still to do at the step of its last checkpoint: an evaluation that
    /// was due there. True where nothing is left to train.
    fn catch_up(
        &mut self,
        evaluation: Option<&EvaluationData>,
        sink: &mut dyn ProgressSink,
    ) -> Result<bool, TrainingError> {
        let is_done = self.step >= self.plan.num_steps;
        let is_due = self.step > 0 && self.evaluation_is_due() && self.best.last_step() != Some(self.step);
        if let Some(data) = evaluation
            && (is_done || is_due)
        {
            self.evaluate(data, sink)?;
        }
        if is_done {
            self.finish(RunState::Finished, "")?;
        } else if let Some(reason) = self.best.exhausted() {
            self.finish(RunState::Finished, &reason)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Saves, measures and ends, where a step calls for it. True where it was the last one.
    fn after_step(
        &mut self,
        evaluation: Option<&EvaluationData>,
        sink: &mut dyn ProgressSink,
    ) -> Result<bool, TrainingError> {
        let end = self.end(sink);
        let is_multiple = self.step.is_multiple_of(self.plan.checkpoint_every)
            || self.plan.keep_every.is_some_and(|every| self.step.is_multiple_of(every.max(1)));
        if end.is_some() || is_multiple || self.last_checkpoint.0.elapsed() > CHECKPOINT_INTERVAL {
            self.checkpoint()?;
        }
        if end == Some(End::Person) {
            self.finish(RunState::Stopped, "stopped by request; --resume goes on from here")?;
            return Ok(true);
        }
        if let Some(data) = evaluation
            && (end.is_some() || self.evaluation_is_due())
        {
            self.evaluate(data, sink)?;
        }
        match end {
            Some(End::Time) => {
                let seconds = self.plan.max_time.unwrap_or_default().as_secs();
                let reason = format!("the time of {seconds} s (--max-time) is used up; --resume goes on from here");
                self.finish(RunState::Stopped, &reason)?;
            }
            Some(_) => self.finish(RunState::Finished, "")?,
            None => {
                let Some(reason) = self.best.exhausted() else { return Ok(false) };
                self.checkpoint()?;
                self.finish(RunState::Finished, &reason)?;
            }
        }
        Ok(true)
    }

    /// Whether this step is the last one, and why.
    fn end(&self, sink: &dyn ProgressSink) -> Option<End> {
        // What comes after the last step takes time too.
        let needed = self.begin.elapsed() + self.saving + self.measuring;
        if self.step == self.plan.num_steps {
            Some(End::Done)
        } else if sink.stop_requested() || self.directory.stop_requested() {
            Some(End::Person)
        } else if self.plan.max_time.is_some_and(|most| needed >= most) {
            Some(End::Time)
        } else {
            None
        }
    }

    fn evaluation_is_due(&self) -> bool {
        self.plan.eval_every > 0 && self.step.is_multiple_of(self.plan.eval_every)
    }

    fn progress(&self, first_step: u64, loss: f64) -> ProgressEvent {
        let seconds = self.training.as_secs_f64();
        let steps_per_second = (self.step - first_step) as f64 / seconds.max(1e-9);
        ProgressEvent::Progress {
            stage: format!("training, loss {loss:.3}"),
            done: self.step,
            total: self.plan.num_steps,
            seconds_left: Some((self.plan.num_steps - self.step) as f64 / steps_per_second.max(1e-9)),
            rate: Some(steps_per_second * f64::from(self.plan.batch_size)),
        }
    }

    /// Writes a checkpoint of this step, where there is none yet, and removes those that are not kept.
    fn checkpoint(&mut self) -> Result<(), TrainingError> {
        if self.last_checkpoint.1 == self.step {
            return Ok(());
        }
        let (begin, paused) = (Instant::now(), self.journal.paused());
        self.journal.flush()?;
        let mut state = serde_json::json!({ "seed": self.seed, "num_steps": self.plan.num_steps, "parts": self.parts });
        if let Some(scale) = &self.loss_scale {
            state["loss_scale"] = serde_json::json!(scale);
        }
        let checkpoint = Checkpoint {
            step: self.step,
            variables: self.model.variables(),
            slots: self.optimizer.slots(&self.model),
            state_json: state.to_string(),
        };
        write_checkpoint(&self.directory.checkpoint_path(self.step), &checkpoint)?;
        self.prune()?;
        self.saving = begin.elapsed();
        self.journal.pause(paused, self.saving);
        self.last_checkpoint = (Instant::now(), self.step);
        self.write_info()
    }

    /// Leaves the variables of this step for whoever wants to look through them, unless a checkpoint has them. The run does
    /// without where they cannot be written, and tries again much later.
    fn leave_live(&mut self, sink: &mut dyn ProgressSink) {
        let (begin, paused) = (Instant::now(), self.journal.paused());
        let mut cost = Duration::ZERO;
        if self.last_checkpoint.1 != self.step {
            let averaged = self.use_moving_averages.then(|| self.optimizer.averaged(&self.model)).flatten();
            let variables = averaged.as_ref().unwrap_or(&self.model).variables();
            if let Err(error) = self.directory.write_live(self.step, variables) {
                cost = LIVE_INTERVAL;
                let message = format!("what the run has come to cannot be looked at meanwhile: {error}");
                sink.event(&ProgressEvent::Warning { message });
            }
        }
        let took = begin.elapsed();
        self.journal.pause(paused, took);
        self.last_live = (Instant::now(), took.max(cost));
    }

    /// Notes when the checkpoint of this step was written, and removes those that are not kept.
    fn prune(&mut self) -> Result<(), TrainingError> {
        let written = &mut self.info.checkpoint_seconds;
        written.insert(self.step, (self.worked + self.begin.elapsed()).as_secs_f64());
        let by_hours = kept_by_hours(written, self.plan.keep_hours);
        let by_steps = |step: u64| self.plan.keep_every.is_some_and(|every| step.is_multiple_of(every.max(1)));
        let is_kept = |step| by_steps(step) || by_hours.contains(&step);
        self.directory.prune_checkpoints(self.plan.max_to_keep, is_kept)?;
        let there = self.directory.checkpoint_steps();
        written.retain(|step, _| there.binary_search(step).is_ok());
        Ok(())
    }

    fn write_info(&mut self) -> Result<(), TrainingError> {
        self.info.step = self.step;
        self.info.updated = unix_seconds();
        self.info.peak_memory = peak_resident_bytes();
        self.info.best = self.best.best().cloned();
        self.directory.write_info(&self.info)
    }

    fn finish(&mut self, state: RunState, reason: &str) -> Result<(), TrainingError> {
        self.info.state = state;
        reason.clone_into(&mut self.info.reason);
        self.directory.clear_stop_request();
        self.directory.clear_live();
        let words = if reason.is_empty() { "finished" } else { reason };
        self.journal.flush()?;
        self.directory.log(&format!("{words} at step {}", self.step))?;
        self.write_info()
    }

    /// Measures the model as it is. What is the best so far is kept before it is told: a run that is killed
    /// between the two measures again.
    fn evaluate(&mut self, data: &EvaluationData, sink: &mut dyn ProgressSink) -> Result<(), TrainingError> {
        let (begin, paused) = (Instant::now(), self.journal.paused());
        let averaged = data.use_moving_averages.then(|| self.optimizer.averaged(&self.model)).flatten();
        let model = averaged.as_ref().unwrap_or(&self.model).valid();
        let (result, detections) = evaluate_model(&model, data, self.step, &self.device.clone().inner(), sink)?;
        self.directory.write_detections(&detections)?;
        if self.best.observe(self.step, result.get(MAIN_METRIC)) {
            self.checkpoint()?;
            self.directory.keep_best(self.step)?;
        }
        let pictures = self.draw.map(|draw| side_by_side::pictures(data, &detections, draw)).unwrap_or_default();
        let record = self.journal.evaluation(self.step, &result, pictures)?;
        self.write_info()?;
        sink.event(&ProgressEvent::Metric(record));
        self.metrics = Some(result);
        self.measuring = begin.elapsed();
        self.journal.pause(paused, self.measuring);
        Ok(())
    }
}
