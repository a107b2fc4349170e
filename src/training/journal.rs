//! What a run writes down as it goes, for people and for TensorBoard: `metrics.jsonl`, `log.txt` in TFOD's
//! words, and event files with TFOD's names in the run's folder and in `eval/`.
//!
//! Nothing here is needed to go on with a run, and nothing here waits for the disk at every step: events are
//! written now and then, and before each checkpoint.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use boxwright_core::evaluation::EvaluationResult;
use boxwright_core::geometry::ImageSize;
use boxwright_core::run::{MetricKind, MetricRecord};
use boxwright_formats::event_file::{EventImage, EventWriter};
use boxwright_formats::picture::{self, Picture};

use crate::error::TrainingError;
use crate::input::Batch;
use crate::run_directory::RunDirectory;
use crate::side_by_side;

/// Steps between two words in the log, as in TFOD.
const LOG_STEPS: u64 = 100;

/// Long runs thin their curve out: a plot has a thousand columns, not a million.
const MOST_POINTS: u64 = 5000;

/// Pictures of a batch that are shown, and the least number of steps until the next ones.
const PICTURES: usize = 3;
const PICTURE_STEPS: u64 = 1000;

/// Writes down what a run measures.
#[derive(Debug)]
pub(crate) struct Journal<'a> {
    directory: &'a RunDirectory,
    begin: Instant,
    num_steps: u64,
    /// The step at which this process began: what older files say of later ones does not count.
    begun_at: u64,
    events: EventWriter,
    eval_events: Option<EventWriter>,
    /// When and at which step the time of a step was last measured, and what must not count as such.
    measured: (Instant, u64),
    paused: Duration,
}

impl<'a> Journal<'a> {
    /// Begins to write for a run that stands at `step`.
    pub fn open(directory: &'a RunDirectory, step: u64, num_steps: u64, begin: Instant) -> Result<Self, TrainingError> {
        let events = directory.event_file("", step)?;
        let measured = (Instant::now(), step);
        let paused = Duration::ZERO;
        Ok(Self { directory, begin, num_steps, begun_at: step, events, eval_events: None, measured, paused })
    }

    /// Seconds since the run, or its resumption, began.
    fn seconds(&self) -> f64 {
        self.begin.elapsed().as_secs_f64()
    }

    /// The time since the last word in the log that was not spent on steps.
    pub fn paused(&self) -> Duration {
        self.paused
    }

    /// Counts the time of an evaluation or a checkpoint, which is no time of a step. `paused` is what
    /// [`Journal::paused`] was when it began: a checkpoint may be part of an evaluation.
    pub fn pause(&mut self, paused: Duration, duration: Duration) {
        self.paused = paused + duration;
    }

    /// Shows what the model sees at a step: some pictures of its batch, once and then seldom.
    pub fn pictures(&mut self, step: u64, batch: &Batch) -> Result<(), TrainingError> {
        if step != 1 && !step.is_multiple_of(PICTURE_STEPS.max(self.num_steps / 10)) {
            return Ok(());
        }
        let pictures = (0..batch.names.len().min(PICTURES)).filter_map(|i| event_image(batch, i)).collect();
        self.events.images(step, "train_input_images", pictures).map_err(|e| self.events_error(e))
    }

    /// What a step measured: its losses by TFOD's names, their total and the learning rate.
    pub fn train_step(&mut self, step: u64, values: &[(&str, f64)]) -> Result<(), TrainingError> {
        if step.is_multiple_of((self.num_steps / MOST_POINTS).max(1)) || step == 1 {
            let owned = values.iter().map(|(name, value)| ((*name).to_owned(), *value));
            let record = MetricRecord::new(step, self.seconds(), MetricKind::Train, owned);
            self.directory.append_metrics(&record)?;
            self.events.scalars(step, values.iter().copied()).map_err(|e| self.events_error(e))?;
        }
        if step.is_multiple_of(LOG_STEPS) || step == 1 || step == self.num_steps {
            let per_step = self.seconds_per_step(step);
            self.directory.log(&step_words(step, per_step, values))?;
            // The first step has the start of the program in it.
            if step > 1 && per_step > 0.0 {
                let rate = [("steps_per_sec", 1.0 / per_step)];
                self.events.scalars(step, rate).map_err(|e| self.events_error(e))?;
            }
        }
        Ok(())
    }

    /// Seconds a step since this was last asked.
    fn seconds_per_step(&mut self, step: u64) -> f64 {
        let (then, at) = std::mem::replace(&mut self.measured, (Instant::now(), step));
        let passed = then.elapsed().saturating_sub(std::mem::take(&mut self.paused));
        passed.as_secs_f64() / step.saturating_sub(at).max(1) as f64
    }

    /// The metrics of an evaluation, and some of its pictures.
    pub fn evaluation(
        &mut self,
        step: u64,
        result: &EvaluationResult,
        pictures: Vec<EventImage>,
    ) -> Result<MetricRecord, TrainingError> {
        if self.eval_events.is_none() {
            self.eval_events = Some(self.directory.event_file("eval", self.begun_at)?);
        }
        if let Some(events) = &mut self.eval_events {
            write_evaluation(events, step, result, pictures)?;
        }
        let values = result.values.iter().map(|(name, value)| (name.clone(), value.unwrap_or(f64::NAN)));
        let record = MetricRecord::new(step, self.seconds(), MetricKind::Eval, values);
        self.directory.append_metrics(&record)?;
        Ok(record)
    }

    /// Brings everything into the files; before a checkpoint, so that what leads to it is told.
    pub fn flush(&mut self) -> Result<(), TrainingError> {
        self.events.flush().map_err(|e| self.events_error(e))
    }

    fn events_error(&self, error: std::io::Error) -> TrainingError {
        TrainingError::file(self.events.path(), error)
    }
}

/// Writes an evaluation's pictures and the metrics that exist into an event file, and all of it to the disk's cache.
pub(crate) fn write_evaluation(
    events: &mut EventWriter,
    step: u64,
    result: &EvaluationResult,
    pictures: Vec<EventImage>,
) -> Result<(), TrainingError> {
    let shown = if pictures.is_empty() { Ok(()) } else { events.images(step, side_by_side::TAG, pictures) };
    let values = result.values.iter().filter_map(|(name, value)| Some((name.as_str(), (*value)?)));
    let written = shown.and_then(|()| events.scalars(step, values)).and_then(|()| events.flush());
    written.map_err(|e| TrainingError::file(events.path(), e))
}

/// A step in TFOD's words: a line with its time and its loss, then all it measured.
fn step_words(step: u64, per_step: f64, values: &[(&str, f64)]) -> String {
    let loss = values.iter().find(|(name, _)| *name == "Loss/total_loss").map_or(f64::NAN, |(_, value)| *value);
    let mut words = format!("Step {step} per-step time {per_step:.3}s loss={loss:.3}");
    let mut sorted = values.to_vec();
    sorted.sort_by_key(|(name, _)| *name);
    for (i, (name, value)) in sorted.iter().enumerate() {
        let (open, close) = (if i == 0 { '{' } else { ' ' }, if i + 1 == sorted.len() { '}' } else { ',' });
        // A text takes all that is written to it.
        let _ = write!(words, "\n{open}'{name}': {}{close}", *value as f32);
    }
    words
}

/// A picture of a batch, as the model gets it.
fn event_image(batch: &Batch, index: usize) -> Option<EventImage> {
    let (height, width) = batch.size;
    let area = height * width;
    let planes = batch.images.get(index * 3 * area..(index + 1) * 3 * area)?;
    let pixel = |i: usize| [planes[i], planes[area + i], planes[2 * area + i]];
    let rgb = (0..area).flat_map(|i| pixel(i).map(|v| v.round().clamp(0.0, 255.0) as u8)).collect();
    let size = ImageSize::new(u32::try_from(width).ok()?, u32::try_from(height).ok()?);
    // A picture that cannot be shown is no reason not to train.
    let encoded = picture::encode_png(&Picture { size, rgb }).ok()?;
    Some(EventImage { width: size.width, height: size.height, encoded })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_told_as_tfod_does() {
        let values = [("Loss/localization_loss", 0.5), ("Loss/total_loss", 0.75), ("Loss/classification_loss", 0.25)];
        assert_eq!(
            step_words(100, 0.35, &values),
            "Step 100 per-step time 0.350s loss=0.750\n{'Loss/classification_loss': 0.25,\n \
             'Loss/localization_loss': 0.5,\n 'Loss/total_loss': 0.75}"
        );
    }

    #[test]
    fn planes_become_a_picture() {
        let batch = Batch {
            step: 0,
            images: vec![0.0, 300.0, 10.4, -3.0, 20.0, 255.0],
            size: (1, 2),
            true_shapes: vec![[1, 2, 3]],
            groundtruth: Vec::new(),
            names: vec!["a".to_owned()],
        };
        let image = event_image(&batch, 0).expect("there is one");
        let decoded = picture::decode(&image.encoded, "a").expect("a PNG");
        assert_eq!((decoded.size, &decoded.rgb[..]), (ImageSize::new(2, 1), &[0, 10, 20, 255, 0, 255][..]));
        assert!(event_image(&batch, 1).is_none());
    }
}
