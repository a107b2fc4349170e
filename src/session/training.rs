//! From a project to a run: splits, records, config, and then the child process that trains.
//!
//! All of it happens in the thread of one job, so that the window shows one progress and one end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use boxwright_config::check::DatasetFacts;
use boxwright_config::proto::{InputReader, input_reader};
use boxwright_config::{Pipeline, label_map};
use boxwright_core::Split;
use boxwright_core::run::{ProgressEvent, RunState, STOP_FILE};
use boxwright_formats::atomic_file;
use boxwright_store::{Project, SplitScope};

use crate::child::ChildJob;
use crate::command::Outcome;
use crate::error::SessionError;
use crate::import::{AUTO_VAL_FRACTION, SPLIT_SEED};
use crate::job::{JobContext, JobEnd, JobKind, Jobs};
use crate::open_project::OpenProject;
use crate::pipeline;
use crate::records::{ensure_records, is_usable};
use crate::runs::is_run_name;
use crate::train_request::{TrainRequest, text};
use crate::watch::Watch;

/// How long a training may take to save its checkpoint when it is asked to stop. A step of a large
/// model on a slow CPU takes many seconds.
const STOP_GRACE: Duration = Duration::from_secs(120);

/// How long an evaluation may take to end.
const EVAL_GRACE: Duration = Duration::from_secs(5);

/// What [`prepare_training`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prepared {
    /// The config to train with.
    pub pipeline: PathBuf,
    /// Images to train on and to measure on.
    pub images: (usize, usize),
    /// What a person should know: an automatic split, a new config, pictures that were left out.
    pub notices: Vec<String>,
}

/// Makes a project ready to be trained: splits images that belong nowhere where that is needed,
/// writes the records where the data changed, makes `pipeline.config` from the template where it is
/// missing, and checks it.
///
/// # Errors
/// When there is nothing to train on, the config cannot be trained, or files cannot be written.
pub fn prepare_training(project: &mut Project, watch: &mut dyn Watch) -> Result<Prepared, SessionError> {
    let mut prepared = Prepared { pipeline: project.pipeline_path(), ..Prepared::default() };
    let map_file = project.label_map_path();
    if !map_file.exists() {
        return Err(SessionError::NothingToTrain("the project has no classes; add one".into()));
    }
    let labels = label_map::read(&map_file)?;
    if labels.is_empty() {
        return Err(SessionError::NothingToTrain("the label map has no classes; add one".into()));
    }
    if let Some(notice) = split_where_needed(project)? {
        prepared.notices.push(notice);
    }
    let records = ensure_records(project, watch)?;
    if !prepared.pipeline.exists() {
        let text = pipeline::from_template(&pipeline::template_values(&labels, Some(records.train)))?;
        atomic_file::write_whole(&prepared.pipeline, text.as_bytes())?;
        prepared.notices.push("made pipeline.config from the template".to_owned());
    }
    prepared.images = (records.train, records.val);
    prepared.notices.extend(records.problems.iter().map(|problem| format!("{}: {}", problem.file, problem.message)));
    let facts = DatasetFacts {
        root: Some(project.dir().to_owned()),
        label_map: Some(labels),
        train_images: Some(records.train as u64),
        most_boxes: project.images()?.iter().map(|image| image.boxes).max(),
        ..DatasetFacts::default()
    };
    if records.val == 0 && measures_on(&prepared.pipeline, "val.record")? {
        let what = "no annotated image is in the val split, and pipeline.config measures on it; put some images there";
        return Err(SessionError::NothingToTrain(what.into()));
    }
    pipeline::ensure_trainable(&prepared.pipeline, &facts)?;
    Ok(prepared)
}

/// Whether a config reads its evaluation data from the project's own records of this name.
fn measures_on(pipeline: &Path, name: &str) -> Result<bool, SessionError> {
    let pipeline = Pipeline::read(pipeline)?;
    let names_it = |reader: &InputReader| match &reader.input_reader {
        Some(input_reader::InputReader::TfRecordInputReader(records)) => {
            records.input_path.iter().any(|path| path.starts_with(&format!("records/{name}")))
        }
        _ => false,
    };
    Ok(pipeline.config.eval_input_reader.iter().any(names_it))
}

/// Divides the images that belong nowhere, where otherwise there would be nothing to train on or
/// nothing to measure on.
fn split_where_needed(project: &mut Project) -> Result<Option<String>, SessionError> {
    let images = project.images()?;
    let has = |split| images.iter().any(|image| image.split == split && is_usable(image));
    let free = images.iter().any(|image| image.split == Split::Unassigned && is_usable(image));
    if !free || (has(Split::Train) && has(Split::Val)) {
        return Ok(None);
    }
    let (train, val) = project.auto_split(AUTO_VAL_FRACTION, SPLIT_SEED, SplitScope::Unassigned)?;
    Ok(Some(format!("split the images that belonged nowhere: {train} for training, {val} for validation")))
}

impl OpenProject {
    pub fn start_training(
        &self,
        jobs: &mut Jobs,
        program: PathBuf,
        request: TrainRequest,
    ) -> Result<Outcome, SessionError> {
        let run = &request.run;
        if !is_run_name(run) {
            return Err(SessionError::RunName(run.clone()));
        }
        let view = self.runs.get(run);
        if jobs.is_busy(run) || view.is_some_and(|view| view.state == RunState::Running) {
            return Err(SessionError::RunBusy(run.clone()));
        }
        // The folder and not the view, which may lag behind it by a moment.
        let has_checkpoint = self.has_checkpoint(run);
        if request.resume && !has_checkpoint {
            return Err(SessionError::NothingToResume(run.clone()));
        }
        if !request.resume && has_checkpoint {
            return Err(SessionError::RunExists(run.clone()));
        }
        let dir = self.project.dir().to_owned();
        let kind = JobKind::Train { run: run.clone() };
        Ok(Outcome::job(jobs.start(kind, "preparing", move |context| train(context, dir, program, &request))))
    }

    pub fn evaluate_run(&self, jobs: &mut Jobs, program: PathBuf, run: &str) -> Result<Outcome, SessionError> {
        if !is_run_name(run) {
            return Err(SessionError::RunName(run.to_owned()));
        }
        if jobs.is_busy(run) {
            return Err(SessionError::RunBusy(run.to_owned()));
        }
        let run_dir = self.project.runs_dir().join(run);
        let config = run_dir.join("pipeline.config");
        if !config.is_file() {
            return Err(SessionError::UnknownRun(run.to_owned()));
        }
        if !self.has_checkpoint(run) {
            return Err(SessionError::NothingToResume(run.to_owned()));
        }
        let child = ChildJob {
            program,
            args: words(&["eval", "--pipeline", &text(&config), "--model-dir", &text(&run_dir), "--progress", "json"]),
            folder: self.project.dir().to_owned(),
            progress_file: run_dir.join("eval-progress.jsonl"),
            error_file: run_dir.join("eval-stderr.txt"),
            stop_file: None,
            grace: EVAL_GRACE,
        };
        let kind = JobKind::Evaluate { run: run.to_owned() };
        Ok(Outcome::job(jobs.start(kind, "evaluating", move |context| child.run(context))))
    }

    /// Asks the run to stop, whoever started it.
    pub fn stop_training(&self, jobs: &mut Jobs, run: &str) -> Result<Outcome, SessionError> {
        let job =
            jobs.views().iter().find(|job| job.state.is_active() && job.kind.run() == Some(run)).map(|job| job.id);
        if let Some(job) = job {
            jobs.stop(job);
            return Ok(Outcome::say("stopping after this step; the run keeps its checkpoint"));
        }
        match self.runs.get(run) {
            Some(view) if view.state == RunState::Running => {
                let file = view.dir.join(STOP_FILE);
                std::fs::File::create(&file).map_err(|e| SessionError::file(file, e))?;
                Ok(Outcome::say("asked the run to stop after this step; it keeps its checkpoint"))
            }
            Some(_) => Err(SessionError::NoJob),
            None => Err(SessionError::UnknownRun(run.to_owned())),
        }
    }

    fn has_checkpoint(&self, run: &str) -> bool {
        let folder = self.project.runs_dir().join(run).join("checkpoints");
        let mut entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.any(|entry| entry.file_name().to_string_lossy().starts_with("ckpt-"))
    }
}

/// The job: prepares, then looks after the child.
fn train(context: &mut JobContext, dir: PathBuf, program: PathBuf, request: &TrainRequest) -> JobEnd {
    let prepared = Project::open(&dir).map_err(SessionError::from).and_then(|mut project| {
        let prepared = prepare_training(&mut project, context)?;
        Ok((prepared, project.runs_dir().join(&request.run)))
    });
    let (prepared, run_dir) = match prepared {
        Ok(prepared) => prepared,
        Err(SessionError::Cancelled) => return JobEnd::stopped("stopped before the training began"),
        Err(error) => return JobEnd::failed(error.to_string()),
    };
    for message in prepared.notices {
        context.event(ProgressEvent::Warning { message });
    }
    if context.cancelled() {
        return JobEnd::stopped("stopped before the training began");
    }
    if let Err(e) = std::fs::create_dir_all(&run_dir) {
        return JobEnd::failed(SessionError::file(run_dir, e).to_string());
    }
    let args = request.arguments(&prepared.pipeline, &run_dir);
    context.progress("starting", 0, 0);
    let child = ChildJob {
        program,
        args,
        folder: dir,
        progress_file: run_dir.join("progress.jsonl"),
        error_file: run_dir.join("stderr.txt"),
        stop_file: Some(run_dir.join(STOP_FILE)),
        grace: STOP_GRACE,
    };
    child.run(context)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
