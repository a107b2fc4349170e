//! The training loop.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use boxwright_config::{Pipeline, paths, proto};
use boxwright_core::run::{MetricKind, MetricRecord, ProgressEvent, RunInfo, RunState};
use boxwright_detection::DetectionModel;
use boxwright_detection::builders;
use boxwright_weights::{Checkpoint, read_checkpoint, write_checkpoint};
use burn::module::Module;
use burn::tensor::Device;

use crate::builders::{augmentation, optimizer, record_paths, refuse_unhonoured};
use crate::device::{DeviceChoice, open_device};
use crate::error::TrainingError;
use crate::evaluate::{EvaluationData, evaluate_model, read_label_map};
use crate::fine_tune;
use crate::input::{BatchPipeline, PipelineSettings, RecordDataset};
use crate::learning_schedule::LearningSchedule;
use crate::optimizer::Optimizer;
use crate::progress::ProgressSink;
use crate::run_directory::{RunDirectory, unix_seconds};

/// What `boxwright train` asks for.
#[derive(Clone, Debug)]
pub struct TrainRequest {
    /// The pipeline config.
    pub pipeline: PathBuf,
    /// The run directory.
    pub model_dir: PathBuf,
    /// The device.
    pub device: DeviceChoice,
    /// Steps to train; the config's where absent.
    pub num_steps: Option<u64>,
    /// The checkpoint to start from; the config's `fine_tune_checkpoint` where absent.
    pub checkpoint: Option<PathBuf>,
    /// Train even where the checkpoint leaves the feature extractor random.
    pub allow_random_backbone: bool,
    /// Go on from the run's last checkpoint.
    pub resume: bool,
    /// The seed of weights, shuffling and augmentation.
    pub seed: u64,
    /// Steps between checkpoints; chosen by the length of the run where absent.
    pub checkpoint_every: Option<u64>,
    /// Steps between evaluations, 0 for none but the last; chosen by the length of the run where absent.
    pub eval_every: Option<u64>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainOutcome {
    /// The last step.
    pub step: u64,
    /// Finished, or stopped by a person.
    pub state: RunState,
    /// The total loss of the last step.
    pub loss: f64,
    /// Seconds of training, without evaluation and start.
    pub training_seconds: f64,
    /// Images a second while training.
    pub images_per_second: f64,
    /// Seconds from the call to the first step's end.
    pub seconds_to_first_step: f64,
    /// Seconds for which the model waited for its input.
    pub stall_seconds: f64,
    /// The metrics of the last evaluation by TFOD's names, where there was one.
    pub metrics: Option<boxwright_core::evaluation::EvaluationResult>,
}

/// How many checkpoints a run keeps (TFOD's `max_to_keep`).
const KEPT_CHECKPOINTS: usize = 5;

/// The longest time of work that a kill can cost.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(120);

/// Trains a detector.
///
/// # Errors
/// Whatever keeps the run from beginning or going on; the run directory then says so too, and its
/// last checkpoint is as good as before.
pub fn train(request: &TrainRequest, sink: &mut dyn ProgressSink) -> Result<TrainOutcome, TrainingError> {
    let directory = RunDirectory::open(&request.model_dir)?;
    match run(request, &directory, sink) {
        Ok(outcome) => Ok(outcome),
        Err(error) => {
            let mut info = directory.info().unwrap_or_else(|| new_info("", 0));
            info.state = RunState::Failed;
            info.updated = unix_seconds();
            info.reason = error.to_string();
            // The folder may be what failed; the error itself is what the caller must see.
            drop(directory.write_info(&info));
            drop(directory.log(&format!("failed: {error}")));
            Err(error)
        }
    }
}

/// Everything a step needs.
pub(crate) struct Loop<'a> {
    pub(crate) directory: &'a RunDirectory,
    pub(crate) device: Device,
    pub(crate) model: DetectionModel,
    pub(crate) optimizer: Optimizer,
    pub(crate) schedule: LearningSchedule,
    pub(crate) step: u64,
    pub(crate) num_steps: u64,
    pub(crate) seed: u64,
    pub(crate) info: RunInfo,
    pub(crate) begin: Instant,
    pub(crate) training: Duration,
    pub(crate) last_checkpoint: Instant,
}

fn run(
    request: &TrainRequest,
    directory: &RunDirectory,
    sink: &mut dyn ProgressSink,
) -> Result<TrainOutcome, TrainingError> {
    let begin = Instant::now();
    directory.clear_stop_request();
    let pipeline = Pipeline::read(&request.pipeline)?;
    let config = &pipeline.config;
    let train_config = config.train_config.clone().unwrap_or_default();
    let (settings, schedule) = field(optimizer(&train_config), &request.pipeline)?;
    field(refuse_unhonoured(&train_config), &request.pipeline)?;
    let num_steps = request.num_steps.unwrap_or_else(|| u64::from(train_config.num_steps()));
    if num_steps == 0 {
        return Err(TrainingError::Field {
            file: request.pipeline.clone(),
            field: "train_config.num_steps".into(),
            what: "is 0; give the number of steps there or with --num-steps".into(),
        });
    }
    let previous = previous_checkpoint(request, directory)?;

    let (device, device_name) = open_device(request.device)?;
    let device = device.autodiff();
    let (model, dataset, pipeline_settings) = build(request, config, &train_config, &device)?;
    let evaluation = EvaluationData::open(config, &request.pipeline, model.num_classes())?;

    let mut info = new_info(&device_name, num_steps);
    directory.write("pipeline.config", pipeline.text().as_bytes())?;
    copy_label_map(config, &request.pipeline, directory)?;
    directory.write_json("dataset.json", &dataset.summary())?;

    let (model, checkpoint) = match previous {
        Some(path) => {
            let checkpoint = read_checkpoint(&path)?;
            let (model, report) = model.load_variables(&checkpoint.variables);
            if !report.missing.is_empty() || !report.wrong_shape.is_empty() {
                return Err(TrainingError::Checkpoint(format!(
                    "{}: the checkpoint does not fit the config: {} variables are missing, {} have another shape ({}); \
                     restore the config that it was trained with, or start a new run with --checkpoint",
                    path.display(),
                    report.missing.len(),
                    report.wrong_shape.len(),
                    report
                        .missing
                        .iter()
                        .chain(report.wrong_shape.iter().map(|(name, ..)| name))
                        .take(3)
                        .cloned()
                        .collect::<Vec<_>>()
                        .join(", ")
                )));
            }
            directory.truncate_metrics(checkpoint.step)?;
            directory.log(&format!("resumed from {} at step {}", path.display(), checkpoint.step))?;
            (model, Some(checkpoint))
        }
        None => (start(model, request, &train_config, &dataset, &pipeline_settings, &device, directory, sink)?, None),
    };
    let mut optimizer = Optimizer::new(settings, model.variable_infos());
    let step = checkpoint.as_ref().map_or(0, |c| c.step);
    if let Some(checkpoint) = &checkpoint {
        optimizer.restore(&model, &checkpoint.slots, checkpoint.step);
    }
    info.step = step;
    model.set_dropout_position(step);
    directory.write_info(&info)?;
    let seed = seed_of(request, checkpoint.as_ref());
    let work = Loop {
        directory,
        device,
        model,
        optimizer,
        schedule,
        step,
        num_steps,
        seed,
        info,
        begin,
        training: Duration::ZERO,
        last_checkpoint: Instant::now(),
    };
    let settings = PipelineSettings { seed, ..pipeline_settings };
    let batches = BatchPipeline::start(dataset, settings, step..num_steps)?;
    work.run(request, &train_config, batches, evaluation, sink)
}

/// The seed of a resumed run is the one it was begun with.
fn seed_of(request: &TrainRequest, checkpoint: Option<&Checkpoint>) -> u64 {
    checkpoint
        .and_then(|c| serde_json::from_str::<serde_json::Value>(&c.state_json).ok())
        .and_then(|state| state.get("seed")?.as_u64())
        .unwrap_or(request.seed)
}

impl Loop<'_> {
    fn run(
        mut self,
        request: &TrainRequest,
        train_config: &proto::TrainConfig,
        mut batches: BatchPipeline,
        evaluation: Option<EvaluationData>,
        sink: &mut dyn ProgressSink,
    ) -> Result<TrainOutcome, TrainingError> {
        let (checkpoint_every, eval_every) = intervals(request, self.num_steps);
        let first_step = self.step;
        let mut loss = f64::NAN;
        let mut metrics = None;
        let mut seconds_to_first_step = 0.0;
        let mut last_word = Instant::now();
        while let Some(batch) = batches.next_batch() {
            let batch = batch?;
            let step_begin = Instant::now();
            loss = self.step(batch)?;
            self.training += step_begin.elapsed();
            if self.step == first_step + 1 {
                seconds_to_first_step = self.begin.elapsed().as_secs_f64();
            }
            if last_word.elapsed() > Duration::from_millis(250) || self.step == self.num_steps {
                last_word = Instant::now();
                sink.event(&self.progress(first_step, train_config.batch_size(), loss));
            }
            let stop = sink.stop_requested() || self.directory.stop_requested();
            let done = self.step == self.num_steps;
            let due =
                self.step.is_multiple_of(checkpoint_every) || self.last_checkpoint.elapsed() > CHECKPOINT_INTERVAL;
            if stop || done || due {
                self.checkpoint()?;
            }
            if stop && !done {
                self.finish(RunState::Stopped, "stopped by request; --resume goes on from here")?;
                break;
            }
            if let Some(data) = &evaluation
                && (done || (eval_every > 0 && self.step.is_multiple_of(eval_every)))
            {
                metrics = Some(self.evaluate(data, sink)?);
            }
            if done {
                self.finish(RunState::Finished, "")?;
            }
        }
        if first_step >= self.num_steps {
            self.finish(RunState::Finished, "")?;
            if let Some(data) = &evaluation {
                metrics = Some(self.evaluate(data, sink)?);
            }
        }
        let seconds = self.training.as_secs_f64() + batches.stall().as_secs_f64();
        let images = (self.step - first_step) as f64 * f64::from(train_config.batch_size());
        Ok(TrainOutcome {
            step: self.step,
            state: self.info.state,
            loss,
            training_seconds: seconds,
            images_per_second: if seconds > 0.0 { images / seconds } else { 0.0 },
            seconds_to_first_step,
            stall_seconds: batches.stall().as_secs_f64(),
            metrics,
        })
    }

    /// Writes down what a step measured: its losses by TFOD's names, their total and the learning rate.
    pub(crate) fn record_step(&self, values: &[(&str, f64)]) -> Result<(), TrainingError> {
        // Long runs thin their curve out: a plot has a thousand columns, not a million.
        let stride = (self.num_steps / 5000).max(1);
        if self.step.is_multiple_of(stride) || self.step == 1 {
            let values = values.iter().map(|(name, value)| ((*name).to_owned(), *value));
            let record = MetricRecord::new(self.step, self.begin.elapsed().as_secs_f64(), MetricKind::Train, values);
            self.directory.append_metrics(&record)?;
        }
        if self.step.is_multiple_of(100) || self.step == 1 {
            let of = |wanted: &str| values.iter().find(|(name, _)| *name == wanted).map_or(f64::NAN, |(_, v)| *v);
            let (loss, rate) = (of("Loss/total_loss"), of("learning_rate"));
            self.directory.log(&format!("step {}: loss {loss:.4}, learning rate {rate:.6}", self.step))?;
        }
        Ok(())
    }

    fn progress(&self, first_step: u64, batch_size: u32, loss: f64) -> ProgressEvent {
        let seconds = self.training.as_secs_f64();
        let steps_per_second = (self.step - first_step) as f64 / seconds.max(1e-9);
        ProgressEvent::Progress {
            stage: format!("training, loss {loss:.3}"),
            done: self.step,
            total: self.num_steps,
            seconds_left: Some((self.num_steps - self.step) as f64 / steps_per_second.max(1e-9)),
            rate: Some(steps_per_second * f64::from(batch_size)),
        }
    }

    fn checkpoint(&mut self) -> Result<(), TrainingError> {
        let checkpoint = Checkpoint {
            step: self.step,
            variables: self.model.variables(),
            slots: self.optimizer.slots(&self.model),
            state_json: serde_json::json!({ "seed": self.seed, "num_steps": self.num_steps }).to_string(),
        };
        write_checkpoint(&self.directory.checkpoint_path(self.step), &checkpoint)?;
        self.directory.prune_checkpoints(KEPT_CHECKPOINTS)?;
        self.last_checkpoint = Instant::now();
        self.info.step = self.step;
        self.info.updated = unix_seconds();
        self.directory.write_info(&self.info)
    }

    fn finish(&mut self, state: RunState, reason: &str) -> Result<(), TrainingError> {
        self.info.state = state;
        self.info.step = self.step;
        self.info.updated = unix_seconds();
        reason.clone_into(&mut self.info.reason);
        self.directory.clear_stop_request();
        self.directory.log(&format!(
            "{} at step {}",
            if reason.is_empty() { "finished" } else { reason },
            self.step
        ))?;
        self.directory.write_info(&self.info)
    }

    fn evaluate(
        &self,
        data: &EvaluationData,
        sink: &mut dyn ProgressSink,
    ) -> Result<boxwright_core::evaluation::EvaluationResult, TrainingError> {
        let averaged = data.use_moving_averages.then(|| self.optimizer.averaged(&self.model)).flatten();
        let model = averaged.as_ref().unwrap_or(&self.model).valid();
        let (result, detections) = evaluate_model(&model, data, self.step, &self.device.clone().inner(), sink)?;
        self.directory.write_detections(&detections)?;
        let values = result.values.iter().map(|(name, value)| (name.clone(), value.unwrap_or(f64::NAN)));
        let record = MetricRecord::new(self.step, self.begin.elapsed().as_secs_f64(), MetricKind::Eval, values);
        self.directory.append_metrics(&record)?;
        sink.event(&ProgressEvent::Metric(record));
        Ok(result)
    }
}

/// The checkpoint to go on from, or the reason why the run cannot begin here.
fn previous_checkpoint(request: &TrainRequest, directory: &RunDirectory) -> Result<Option<PathBuf>, TrainingError> {
    let steps = directory.checkpoint_steps();
    match (request.resume, steps.last()) {
        (true, Some(step)) => Ok(Some(directory.checkpoint_path(*step))),
        (true, None) | (false, None) => Ok(None),
        (false, Some(step)) => Err(TrainingError::RunDirectory(format!(
            "{}: a run is here already, at step {step}; --resume goes on with it, another --model-dir begins anew",
            directory.path().display()
        ))),
    }
}

fn build(
    request: &TrainRequest,
    config: &proto::TrainEvalPipelineConfig,
    train_config: &proto::TrainConfig,
    device: &Device,
) -> Result<(DetectionModel, Arc<RecordDataset>, PipelineSettings), TrainingError> {
    let file = &request.pipeline;
    let model_config = config.model.clone().unwrap_or_default();
    let build = |source| TrainingError::Build { file: file.clone(), source };
    let model = builders::build_model(&model_config, request.seed, device).map_err(build)?;
    let settings = PipelineSettings {
        batch_size: train_config.batch_size() as usize,
        augmentation: field(augmentation(train_config), file)?,
        resizer: builders::image_resizer_of(&model_config).map_err(build)?,
        max_boxes: usize::try_from(train_config.max_number_of_boxes()).unwrap_or(0),
        shuffle: config.train_input_reader.as_ref().is_none_or(|r| r.shuffle()),
        seed: request.seed,
        threads: (std::thread::available_parallelism().map_or(1, usize::from) / 2).max(1),
    };
    let record_files = field(record_paths(config.train_input_reader.as_ref(), "train_input_reader"), file)?;
    let labels = config.train_input_reader.as_ref().map_or(Ok(None), |reader| read_label_map(reader, file))?;
    let dataset = RecordDataset::open(record_files, folder_of(file), labels, model.num_classes())?;
    Ok((model, Arc::new(dataset), settings))
}

/// A new run: from random weights or from a checkpoint.
fn start(
    model: DetectionModel,
    request: &TrainRequest,
    train_config: &proto::TrainConfig,
    dataset: &Arc<RecordDataset>,
    settings: &PipelineSettings,
    device: &Device,
    directory: &RunDirectory,
    sink: &mut dyn ProgressSink,
) -> Result<DetectionModel, TrainingError> {
    let from_config = Some(train_config.fine_tune_checkpoint()).filter(|path| !path.is_empty());
    let path = match (&request.checkpoint, from_config) {
        (Some(path), _) => path.clone(),
        (None, Some(path)) => paths::resolve(folder_of(&request.pipeline), path),
        (None, None) => return Ok(model),
    };
    let allow_random = request.allow_random_backbone;
    let (model, report) = fine_tune::restore(model, &path, train_config, dataset, settings, device, allow_random)?;
    let message = format!("{}: {report}", path.display());
    directory.log(&format!("{}: {report:#}", path.display()))?;
    sink.event(&ProgressEvent::Warning { message });
    Ok(model)
}

fn copy_label_map(
    config: &proto::TrainEvalPipelineConfig,
    file: &Path,
    directory: &RunDirectory,
) -> Result<(), TrainingError> {
    let Some(path) = config.train_input_reader.as_ref().map(|r| r.label_map_path()).filter(|p| !p.is_empty()) else {
        return Ok(());
    };
    let path = paths::resolve(folder_of(file), path);
    let bytes = std::fs::read(&path).map_err(|e| TrainingError::file(&path, e))?;
    directory.write("label_map.pbtxt", &bytes)
}

fn intervals(request: &TrainRequest, num_steps: u64) -> (u64, u64) {
    let checkpoint = request.checkpoint_every.unwrap_or((num_steps / 10).clamp(20, 1000)).max(1);
    let eval = request.eval_every.unwrap_or((num_steps / 5).clamp(50, 5000));
    (checkpoint, eval)
}

fn new_info(device: &str, num_steps: u64) -> RunInfo {
    RunInfo {
        pid: std::process::id(),
        state: RunState::Running,
        started: unix_seconds(),
        updated: unix_seconds(),
        step: 0,
        num_steps,
        device: device.to_owned(),
        reason: String::new(),
    }
}

/// The folder that relative paths of a config start from: the config's own, and for the copy in a
/// run directory of a project that of the project, from which it was copied.
pub(crate) fn folder_of(file: &Path) -> &Path {
    let folder = file.parent().unwrap_or(Path::new(""));
    match folder.parent().and_then(Path::parent) {
        Some(project) if folder.join("run.json").exists() && project.join("project.boxwright").exists() => project,
        _ => folder,
    }
}

/// An error of a field with its file.
pub(crate) fn field<T>(result: Result<T, crate::builders::FieldError>, file: &Path) -> Result<T, TrainingError> {
    result.map_err(|e| TrainingError::Field { file: file.to_owned(), field: e.field, what: e.what })
}
