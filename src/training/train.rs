//! A training run: from the request to the loop.
//!
//! [`train`] reads the config, builds the model and opens the data, takes the weights from the run's last
//! checkpoint or from where the run starts, and writes down what it was begun with, so that it can be
//! repeated from its folder. The steps themselves are the `training_loop`'s.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use boxwright_config::{Pipeline, paths, proto};
use boxwright_core::run::{BestEvaluation, Precision, ProgressEvent, RunInfo, RunSetup, RunState};
use boxwright_detection::builders;
use boxwright_detection::{DetectionModel, VariableInfo};
use boxwright_weights::{Checkpoint, read_checkpoint};
use burn::tensor::Device;

use crate::accumulation::parts_that_fit;
use crate::best::BestTracker;
use crate::builders::{FieldError, augmentation, optimizer, record_paths, refuse_unhonoured};
use crate::device::{DeviceChoice, open_device};
use crate::device_check::{VerdictStore, require_checked};
use crate::error::TrainingError;
use crate::evaluate::{EvaluationData, read_label_map};
use crate::fine_tune;
use crate::half_precision::{self, LossScale};
use crate::input::{BatchPipeline, PipelineSettings, RecordDataset};
use crate::journal::Journal;
use crate::memory::available_memory;
use crate::optimizer::Optimizer;
use crate::progress::ProgressSink;
use crate::run_directory::{RunDirectory, find_checkpoint, read_info, unix_seconds};
use crate::side_by_side::DrawBoxes;
use crate::training_loop::{Loop, Plan};
use crate::variable_rules::VariableRules;

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
    /// How many of the last checkpoints are kept; [`KEPT_CHECKPOINTS`] where absent.
    pub max_to_keep: Option<usize>,
    /// Checkpoints of every so many steps are kept whatever comes after them.
    pub keep_every: Option<u64>,
    /// The time after which the run saves, measures and stops.
    pub max_time: Option<Duration>,
    /// How many evaluations may pass without a better one before the run ends.
    pub early_stopping: Option<u64>,
    /// Draws the pictures of evaluations for TensorBoard; without it there are none.
    pub draw: Option<DrawBoxes>,
    /// Batches that each step takes, one after the other, with their gradients summed: 1 for none but its own.
    pub accumulate: u32,
    /// What gradients are multiplied by, for each pattern that is found in a variable's name.
    pub gradient_multipliers: Vec<(String, f32)>,
    /// The numbers that convolutions are trained in: the run's where it is resumed, f32 in a new one, where absent.
    pub precision: Option<Precision>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainOutcome {
    /// The last step.
    pub step: u64,
    /// Finished, or stopped by a person or the clock.
    pub state: RunState,
    /// Why it ended before its last step; empty where it did not.
    pub reason: String,
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
    /// The most memory that the process has held, in bytes, where the system says it.
    pub peak_memory: Option<u64>,
    /// The best evaluation, whose checkpoint is kept.
    pub best: Option<BestEvaluation>,
    /// The metrics of the last evaluation by TFOD's names, where there was one.
    pub metrics: Option<boxwright_core::evaluation::EvaluationResult>,
}

/// The first steps of a run, in which a full memory of the device is not its end.
const TRIALS: u32 = 3;

/// How many checkpoints a run keeps (TFOD's `max_to_keep`).
pub const KEPT_CHECKPOINTS: usize = 5;

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

fn run(
    request: &TrainRequest,
    directory: &RunDirectory,
    sink: &mut dyn ProgressSink,
) -> Result<TrainOutcome, TrainingError> {
    let begin = Instant::now();
    directory.clear_stop_request();
    directory.clear_live();
    let pipeline = Pipeline::read(&request.pipeline)?;
    let config = &pipeline.config;
    let train_config = config.train_config.clone().unwrap_or_default();
    let (settings, schedule) = field(optimizer(&train_config), &request.pipeline)?;
    field(refuse_unhonoured(&train_config), &request.pipeline)?;
    let rules = field(variable_rules(request, &train_config), &request.pipeline)?;
    let plan = plan(request, &train_config)?;
    let previous = previous_checkpoint(request, directory)?;

    require_checked(request.device, &VerdictStore::of_user(), sink)?;
    let (device, device_name) = open_device(request.device)?;
    let is_cpu = device_name.starts_with("CPU");
    let device = device.autodiff();
    let (model, dataset, pipeline_settings) = build(request, config, &train_config, &device)?;
    let evaluation = EvaluationData::open(config, &request.pipeline, model.num_classes())?;
    refuse_blind_early_stopping(request, &plan, evaluation.is_some())?;

    // Asked before run.json is written: it is what says where a copied config comes from.
    let config_folder = folder_of(&request.pipeline);
    let labels = label_map_path(config, &config_folder);
    let start = start_checkpoint(request, &train_config, &config_folder);
    directory.write("pipeline.config", pipeline.text().as_bytes())?;
    if let Some(path) = &labels {
        directory.write("label_map.pbtxt", &std::fs::read(path).map_err(|e| TrainingError::file(path, e))?)?;
    }
    directory.write_json("dataset.json", &dataset.summary())?;

    let (model, checkpoint) = match previous {
        Some(path) => {
            let (model, checkpoint) = resume(model, &path)?;
            directory.log(&format!("resumed from {} at step {}", path.display(), checkpoint.step))?;
            (model, Some(checkpoint))
        }
        None => match &start {
            Some(path) => {
                let start = fine_tune::Start {
                    path,
                    train: &train_config,
                    named_by_person: request.checkpoint.is_some(),
                    allow_random_backbone: request.allow_random_backbone,
                    labels: dataset.labels(),
                };
                let settings = &pipeline_settings;
                (begin_from(model, &start, &dataset, settings, &device, directory, sink)?, None)
            }
            None => (model, None),
        },
    };
    let step = checkpoint.as_ref().map_or(0, |c| c.step);
    let seed = seed_of(request, checkpoint.as_ref());
    let variables = model.variable_infos();
    let model = freeze(model, &rules, &variables, request, directory, sink)?;
    let of_checkpoint = recorded::<LossScale>(checkpoint.as_ref(), "loss_scale");
    let precision = request.precision.unwrap_or(if of_checkpoint.is_some() { Precision::F16 } else { Precision::F32 });
    if let Some(words) = half_precision::require(precision, &device.clone().inner(), &device_name)? {
        directory.log(&words)?;
        if is_cpu {
            sink.event(&ProgressEvent::Warning { message: words });
        }
    }
    let model = model.with_half_convolutions(precision == Precision::F16);
    let loss_scale = (precision == Precision::F16).then(|| of_checkpoint.unwrap_or_default());
    let mut optimizer = Optimizer::new(settings, variables).with_rules(&rules);
    if let Some(checkpoint) = &checkpoint {
        let skipped = of_checkpoint.map_or(0, |scale| scale.skipped);
        optimizer.restore(&model, &checkpoint.slots, checkpoint.step.saturating_sub(skipped));
    }
    let parts = match recorded(checkpoint.as_ref(), "parts") {
        Some(parts) => parts,
        None => parts(request, config, dataset.len(), is_cpu, directory, sink)?,
    };
    model.set_dropout_position(step * parts as u64);
    let best = best_so_far(directory, step, request.early_stopping)?;
    let earlier = directory.info().map(|info| info.setup).filter(|setup| step > 0 && !setup.repeat.is_empty());
    let setup =
        earlier.unwrap_or_else(|| setup(request, &plan, (seed, precision), &config_folder, start.as_deref(), &dataset));
    let checkpoint_seconds = checkpoint_seconds(directory, step);
    let worked = checkpoint_seconds.last_key_value().map_or(0.0, |(_, seconds)| *seconds);
    let info = RunInfo { step, setup, checkpoint_seconds, ..new_info(&device_name, plan.num_steps) };
    directory.write_info(&info)?;
    let journal = Journal::open(directory, step, plan.num_steps, begin)?;
    let batches = BatchPipeline::start(dataset, PipelineSettings { seed, ..pipeline_settings }, step..plan.num_steps)?;
    let work = Loop {
        directory,
        journal,
        device,
        model,
        optimizer,
        loss_scale,
        schedule,
        best,
        plan,
        draw: request.draw,
        step,
        seed,
        parts,
        trials: if is_cpu { 0 } else { TRIALS },
        info,
        begin,
        worked: Duration::try_from_secs_f64(worked).unwrap_or_default(),
        training: Duration::ZERO,
        last_checkpoint: (Instant::now(), step),
        last_live: (Instant::now(), Duration::ZERO),
        use_moving_averages: evaluation.as_ref().is_some_and(|data| data.use_moving_averages),
        saving: Duration::ZERO,
        measuring: Duration::ZERO,
        metrics: None,
    };
    work.run(batches, evaluation, sink)
}

/// The model with the weights of the run's last checkpoint.
fn resume(model: DetectionModel, path: &Path) -> Result<(DetectionModel, Checkpoint), TrainingError> {
    let checkpoint = read_checkpoint(path)?;
    let (model, report) = model.load_variables(&checkpoint.variables);
    if report.missing.is_empty() && report.wrong_shape.is_empty() {
        return Ok((model, checkpoint));
    }
    let names = report.missing.iter().chain(report.wrong_shape.iter().map(|(name, ..)| name)).take(3);
    Err(TrainingError::Checkpoint(format!(
        "{}: the checkpoint does not fit the config: {} variables are missing, {} have another shape ({}); restore the \
         config that it was trained with, or start a new run with --checkpoint",
        path.display(),
        report.missing.len(),
        report.wrong_shape.len(),
        names.cloned().collect::<Vec<_>>().join(", ")
    )))
}

/// What the evaluations up to this step say; later ones are forgotten.
fn best_so_far(directory: &RunDirectory, step: u64, patience: Option<u64>) -> Result<BestTracker, TrainingError> {
    let mut best = BestTracker::new(patience, &directory.truncate_metrics(step)?);
    if let Some(evaluation) = best.best().cloned()
        && find_checkpoint(directory.path(), Path::new("best")).is_err()
    {
        if directory.checkpoint_path(evaluation.step).is_file() {
            directory.keep_best(evaluation.step)?;
        } else {
            best.forget_best();
        }
    }
    Ok(best)
}

/// When the checkpoints up to this step were written, as far as `run.json` says.
fn checkpoint_seconds(directory: &RunDirectory, step: u64) -> BTreeMap<u64, f64> {
    let there = directory.checkpoint_steps();
    let mut seconds = directory.info().map(|info| info.checkpoint_seconds).unwrap_or_default();
    seconds.retain(|written, _| *written <= step && there.binary_search(written).is_ok());
    seconds
}

/// The seed of a resumed run is the one it was begun with.
fn seed_of(request: &TrainRequest, checkpoint: Option<&Checkpoint>) -> u64 {
    recorded(checkpoint, "seed").unwrap_or(request.seed)
}

/// What the run had when it wrote a checkpoint.
fn recorded<T: serde::de::DeserializeOwned>(checkpoint: Option<&Checkpoint>, key: &str) -> Option<T> {
    let mut state = serde_json::from_str::<serde_json::Value>(&checkpoint?.state_json).ok()?;
    serde_json::from_value(state.get_mut(key)?.take()).ok()
}

/// Which variables are trained, and how fast.
fn variable_rules(request: &TrainRequest, train: &proto::TrainConfig) -> Result<VariableRules, FieldError> {
    let rules = VariableRules::from_config(train)?;
    request.gradient_multipliers.iter().try_fold(rules, |rules, (pattern, factor)| rules.with_factor(pattern, *factor))
}

/// The model without gradients for what is not trained, and a word about it.
fn freeze(
    model: DetectionModel,
    rules: &VariableRules,
    variables: &[VariableInfo],
    request: &TrainRequest,
    directory: &RunDirectory,
    sink: &mut dyn ProgressSink,
) -> Result<DetectionModel, TrainingError> {
    let mut words = rules
        .unused(variables)
        .into_iter()
        .map(|p| format!("`{p}` is found in no variable's name"))
        .collect::<Vec<_>>();
    let (trained, all) = rules.count(variables);
    if trained == 0 {
        return Err(TrainingError::Field {
            file: request.pipeline.clone(),
            field: "train_config.freeze_variables".into(),
            what: "with update_trainable_variables leaves nothing to train; narrow its patterns".into(),
        });
    }
    if trained < all {
        words.push(format!("{trained} of {all} variables are trained, the others stay as they are"));
    }
    for message in words {
        directory.log(&message)?;
        sink.event(&ProgressEvent::Warning { message });
    }
    Ok(rules.freeze(model, variables))
}

/// In how many parts a batch goes through the network: those that were asked for, and on the CPU twice as many where
/// its memory cannot hold one of them.
fn parts(
    request: &TrainRequest,
    config: &proto::TrainEvalPipelineConfig,
    images: usize,
    is_cpu: bool,
    directory: &RunDirectory,
    sink: &mut dyn ProgressSink,
) -> Result<usize, TrainingError> {
    let available = if is_cpu { available_memory() } else { None };
    let (parts, words) = parts_that_fit(config, images, request.accumulate.max(1) as usize, available);
    if let Some(message) = words {
        directory.log(&message)?;
        sink.event(&ProgressEvent::Warning { message });
    }
    Ok(parts)
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
        batch_size: train_config.batch_size() as usize * request.accumulate.max(1) as usize,
        augmentation: field(augmentation(train_config), file)?,
        resizer: builders::image_resizer_of(&model_config).map_err(build)?,
        max_boxes: usize::try_from(train_config.max_number_of_boxes()).unwrap_or(0),
        shuffle: config.train_input_reader.as_ref().is_none_or(|r| r.shuffle()),
        seed: request.seed,
        threads: (std::thread::available_parallelism().map_or(1, usize::from) / 2).max(1),
    };
    let record_files = field(record_paths(config.train_input_reader.as_ref(), "train_input_reader"), file)?;
    let labels = config.train_input_reader.as_ref().map_or(Ok(None), |reader| read_label_map(reader, file))?;
    let dataset = RecordDataset::open(record_files, &folder_of(file), labels, model.num_classes())?;
    Ok((model, Arc::new(dataset), settings))
}

/// The weights that a new run starts from; none where all are random.
fn start_checkpoint(request: &TrainRequest, train_config: &proto::TrainConfig, folder: &Path) -> Option<PathBuf> {
    let from_config = Some(train_config.fine_tune_checkpoint()).filter(|path| !path.is_empty());
    request.checkpoint.clone().or_else(|| from_config.map(|path| paths::resolve(folder, path)))
}

/// A new run's model with the weights that it starts from.
fn begin_from(
    model: DetectionModel,
    start: &fine_tune::Start<'_>,
    dataset: &Arc<RecordDataset>,
    settings: &PipelineSettings,
    device: &Device,
    directory: &RunDirectory,
    sink: &mut dyn ProgressSink,
) -> Result<DetectionModel, TrainingError> {
    let (model, report) = fine_tune::restore(model, start, dataset, settings, device)?;
    let from = start.path.display();
    directory.log(&format!("{from}: {report:#}"))?;
    sink.event(&ProgressEvent::Warning { message: format!("{from}: {report}") });
    Ok(model)
}

/// The label map of the training data, where the config names one.
fn label_map_path(config: &proto::TrainEvalPipelineConfig, folder: &Path) -> Option<PathBuf> {
    let path = config.train_input_reader.as_ref().map(|r| r.label_map_path()).filter(|path| !path.is_empty())?;
    Some(paths::resolve(folder, path))
}

/// When the run saves, measures and ends.
fn plan(request: &TrainRequest, train_config: &proto::TrainConfig) -> Result<Plan, TrainingError> {
    let num_steps = request.num_steps.unwrap_or_else(|| u64::from(train_config.num_steps()));
    if num_steps == 0 {
        return Err(TrainingError::Field {
            file: request.pipeline.clone(),
            field: "train_config.num_steps".into(),
            what: "is 0; give the number of steps there or with --num-steps".into(),
        });
    }
    Ok(Plan {
        num_steps,
        batch_size: train_config.batch_size().saturating_mul(request.accumulate.max(1)),
        checkpoint_every: request.checkpoint_every.unwrap_or((num_steps / 10).clamp(20, 1000)).max(1),
        eval_every: request.eval_every.unwrap_or((num_steps / 5).clamp(50, 5000)),
        max_to_keep: request.max_to_keep.unwrap_or(KEPT_CHECKPOINTS).max(1),
        keep_every: request.keep_every.filter(|every| *every > 0),
        keep_hours: f64::from(train_config.keep_checkpoint_every_n_hours()),
        max_time: request.max_time,
    })
}

/// Early stopping needs evaluations.
fn refuse_blind_early_stopping(request: &TrainRequest, plan: &Plan, measured: bool) -> Result<(), TrainingError> {
    let (field, what) = match request.early_stopping {
        None => return Ok(()),
        Some(0) => ("--early-stopping", "is 0; give the number of evaluations that may pass without a better one"),
        Some(_) if !measured => ("eval_input_reader", "is not set; --early-stopping needs records to measure on"),
        Some(_) if plan.eval_every == 0 => ("--eval-every", "is 0; --early-stopping needs evaluations on the way"),
        Some(_) => return Ok(()),
    };
    Err(TrainingError::Field { file: request.pipeline.clone(), field: field.into(), what: what.into() })
}

/// What `--device` calls a device.
fn device_word(choice: DeviceChoice) -> String {
    match choice {
        DeviceChoice::Auto => "auto".to_owned(),
        DeviceChoice::Cpu => "cpu".to_owned(),
        DeviceChoice::Gpu => "gpu".to_owned(),
        DeviceChoice::Adapter(number) => format!("gpu:{number}"),
        DeviceChoice::Cuda(number) => format!("cuda:{number}"),
    }
}

/// What the run was begun with.
fn setup(
    request: &TrainRequest,
    plan: &Plan,
    (seed, precision): (u64, Precision),
    config_folder: &Path,
    checkpoint: Option<&Path>,
    dataset: &RecordDataset,
) -> RunSetup {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string();
    let checkpoint = checkpoint.map(absolute);
    let mut repeat: Vec<String> = ["boxwright", "train", "--pipeline"].map(str::to_owned).into();
    repeat.push(absolute(&request.model_dir.join("pipeline.config")));
    repeat.extend(["--model-dir", "ANOTHER-FOLDER"].map(str::to_owned));
    let mut option = |name: &str, value: String| repeat.extend([format!("--{name}"), value]);
    option("device", device_word(request.device));
    option("seed", seed.to_string());
    option("num-steps", plan.num_steps.to_string());
    option("checkpoint-every", plan.checkpoint_every.to_string());
    option("eval-every", plan.eval_every.to_string());
    if let Some(path) = &checkpoint {
        option("checkpoint", path.clone());
    }
    if let Some(patience) = request.early_stopping {
        option("early-stopping", patience.to_string());
    }
    if request.accumulate > 1 {
        option("accumulate", request.accumulate.to_string());
    }
    if precision != Precision::F32 {
        option("precision", precision.as_str().to_owned());
    }
    for (pattern, factor) in &request.gradient_multipliers {
        option("gradient-multiplier", format!("{pattern}={factor}"));
    }
    if request.allow_random_backbone {
        repeat.push("--allow-random-backbone".to_owned());
    }
    RunSetup {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        seed,
        precision,
        config_folder: absolute(config_folder),
        checkpoint,
        dataset_sha256: dataset.summary()["sha256"].as_str().unwrap_or_default().to_owned(),
        repeat,
    }
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
        setup: RunSetup::default(),
        best: None,
        peak_memory: None,
        checkpoint_seconds: BTreeMap::new(),
    }
}

/// The folder that relative paths of a config start from: the config's own, and for the copy in a run
/// directory the folder of the project, or of the file, from which it was copied.
pub(crate) fn folder_of(file: &Path) -> PathBuf {
    let folder = file.parent().unwrap_or(Path::new(""));
    if !folder.join("run.json").exists() {
        return folder.to_owned();
    }
    match folder.parent().and_then(Path::parent) {
        Some(project) if project.join("project.boxwright").exists() => return project.to_owned(),
        _ => {}
    }
    let copied_from = read_info(folder).map(|info| PathBuf::from(info.setup.config_folder));
    copied_from.filter(|from| from.is_absolute() && from.is_dir()).unwrap_or_else(|| folder.to_owned())
}

/// An error of a field with its file.
pub(crate) fn field<T>(result: Result<T, crate::builders::FieldError>, file: &Path) -> Result<T, TrainingError> {
    result.map_err(|e| TrainingError::Field { file: file.to_owned(), field: e.field, what: e.what })
}
