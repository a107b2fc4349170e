//! The session: what the window shows, and the only place where anything is changed.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use boxwright_config::TemplateValues;
use boxwright_core::{Annotation, ImageEntry, ImageId, LabelId, LabelMap, Problem};
use boxwright_formats::user_folders::user_config_dir;
use boxwright_store::{Project, SplitScope};

use crate::command::{Command, Outcome};
use crate::devices::{DeviceView, Devices};
use crate::error::SessionError;
use crate::import::{self, ImportReport, SPLIT_SEED};
use crate::job::{JobContext, JobEnd, JobId, JobKind, JobView, Jobs, Waker};
use crate::open_project::OpenProject;
use crate::pipeline;
use crate::runs::RunView;
use crate::settings::Settings;

/// One person's work with one project at a time.
///
/// [`Session::handle`] carries a command out and returns when its effect is on the disk; what takes
/// long becomes a job. [`Session::poll`] takes in what jobs, runs and other programs did meanwhile.
/// Everything else only reads.
#[derive(Debug)]
pub struct Session {
    program: PathBuf,
    wake: Waker,
    settings: Settings,
    jobs: Jobs,
    devices: Devices,
    open: Option<OpenProject>,
}

impl Session {
    /// A session without a project. `program` is the Boxwright binary that jobs are started with.
    pub fn new(program: PathBuf) -> Self {
        Self::with_config_dir(program, user_config_dir().as_deref())
    }

    /// A session that keeps its settings in a folder, or nowhere.
    pub fn with_config_dir(program: PathBuf, config: Option<&Path>) -> Self {
        let wake = Waker::default();
        Self {
            program,
            settings: Settings::load(config),
            jobs: Jobs::new(wake.clone()),
            devices: Devices::default(),
            open: None,
            wake,
        }
    }

    /// Has `wake` called, from any thread, when [`Session::poll`] would find something.
    pub fn on_news(&mut self, wake: impl Fn() + Send + 'static) {
        self.wake.set(wake);
    }

    /// Carries a command out, all of it or nothing.
    ///
    /// # Errors
    /// Why it could not be done; nothing was changed then.
    pub fn handle(&mut self, command: Command) -> Result<Outcome, SessionError> {
        match command {
            Command::NewProject { dir } => {
                let project = Project::create(&dir)?;
                self.show(project)
            }
            Command::OpenProject { dir } => {
                let project = Project::open(&dir)?;
                self.show(project)
            }
            Command::CloseProject => {
                self.close();
                Ok(Outcome::default())
            }
            Command::AddImages { paths } => self
                .start_import(JobKind::AddImages, move |project, context| import::add_images(project, &paths, context)),
            Command::Import(request) => {
                self.start_import(JobKind::Import, move |project, context| import::import(project, &request, context))
            }
            Command::StartTraining(request) => {
                let open = self.open.as_ref().ok_or(SessionError::NoProject)?;
                open.start_training(&mut self.jobs, self.program.clone(), *request)
            }
            Command::StopTraining { run } => {
                let open = self.open.as_ref().ok_or(SessionError::NoProject)?;
                open.stop_training(&mut self.jobs, &run)
            }
            Command::EvaluateRun { run } => {
                let open = self.open.as_ref().ok_or(SessionError::NoProject)?;
                open.evaluate_run(&mut self.jobs, self.program.clone(), &run)
            }
            Command::StopJob { job } => {
                if self.jobs.stop(job) {
                    Ok(Outcome::default())
                } else {
                    Err(SessionError::NoJob)
                }
            }
            Command::DismissJob { job } => {
                self.jobs.dismiss(job);
                Ok(Outcome::default())
            }
            Command::SetSetting { key, value } => {
                self.settings.set(&key, &value)?;
                Ok(Outcome::default())
            }
            command => self.open.as_mut().ok_or(SessionError::NoProject)?.handle(command),
        }
    }

    /// Takes in news of jobs, runs and other programs; true if anything changed.
    pub fn poll(&mut self) -> bool {
        let (mut changed, ended) = self.jobs.poll();
        changed |= self.devices.poll();
        let trained =
            |id: &JobId| self.jobs.views().iter().any(|job| job.id == *id && matches!(job.kind, JobKind::Train { .. }));
        if ended.iter().any(trained) {
            self.devices.ask_again(&self.program, &self.wake);
        }
        if let Some(open) = &mut self.open {
            if !ended.is_empty() {
                changed |= open.take_foreign_changes() | open.look_at_files();
            }
            changed |= open.poll();
        }
        changed
    }

    /// Polls until no job is at work, for scripts and tests; false where that takes longer than `limit`.
    pub fn wait_for_jobs(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            self.poll();
            if self.jobs.views().iter().all(|job| !job.state.is_active()) {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn show(&mut self, project: Project) -> Result<Outcome, SessionError> {
        let open = OpenProject::new(project, &self.wake)?;
        self.close();
        self.settings.opened(open.project.dir());
        self.devices.ask(&self.program, &self.wake);
        self.open = Some(open);
        Ok(Outcome::default())
    }

    fn close(&mut self) {
        if self.open.take().is_some() {
            self.jobs.leave();
        }
    }

    /// An import works in a thread, through a connection of its own.
    fn start_import(
        &mut self,
        kind: JobKind,
        work: impl FnOnce(&mut Project, &mut JobContext) -> Result<ImportReport, SessionError> + Send + 'static,
    ) -> Result<Outcome, SessionError> {
        let dir = self.open.as_ref().ok_or(SessionError::NoProject)?.project.dir().to_owned();
        let id = self.jobs.start(kind, "starting", move |context| {
            let result =
                Project::open(&dir).map_err(SessionError::from).and_then(|mut project| work(&mut project, context));
            match result {
                Ok(report) => {
                    let message = report.summary();
                    JobEnd { problems: report.problems, ..JobEnd::finished(message) }
                }
                Err(SessionError::Cancelled) => JobEnd::stopped(SessionError::Cancelled.to_string()),
                Err(error) => JobEnd::failed(error.to_string()),
            }
        });
        Ok(Outcome::job(id))
    }
}

/// Reading.
impl Session {
    /// The folder of the open project.
    pub fn project_dir(&self) -> Option<&Path> {
        self.open.as_ref().map(|open| open.project.dir())
    }

    /// The name of the open project: its folder's.
    pub fn project_name(&self) -> Option<String> {
        let dir = self.project_dir()?;
        Some(dir.file_name().unwrap_or(dir.as_os_str()).to_string_lossy().into_owned())
    }

    /// All images, in the order of the list.
    pub fn images(&self) -> &[ImageEntry] {
        self.open.as_ref().map_or(&[], |open| open.images())
    }

    /// One image.
    pub fn image(&self, id: ImageId) -> Option<&ImageEntry> {
        self.open.as_ref()?.image(id).ok()
    }

    /// Where an image lies.
    pub fn image_path(&self, id: ImageId) -> Option<PathBuf> {
        self.open.as_ref()?.image_path(id)
    }

    /// The boxes of an image, in the order in which they were drawn.
    pub fn boxes(&self, id: ImageId) -> &[Annotation] {
        self.open.as_ref().map_or(&[], |open| open.boxes(id))
    }

    /// How many boxes a class has.
    pub fn label_count(&self, id: LabelId) -> usize {
        self.open.as_ref().and_then(|open| open.label_counts().get(&id).copied()).unwrap_or(0)
    }

    /// The label map; the last good one where the file has an error.
    pub fn label_map(&self) -> &LabelMap {
        static EMPTY: std::sync::LazyLock<LabelMap> = std::sync::LazyLock::new(LabelMap::default);
        self.open.as_ref().map_or(&EMPTY, |open| open.labels.map())
    }

    /// The text of `label_map.pbtxt`; empty where there is none.
    pub fn label_map_text(&self) -> &str {
        self.open.as_ref().map_or("", |open| open.labels.text())
    }

    /// The text of `pipeline.config`; empty where there is none.
    pub fn pipeline_text(&self) -> &str {
        self.open.as_ref().map_or("", |open| open.pipeline.text())
    }

    /// Everything that is wrong with a text as this project's label map.
    pub fn problems_in_label_map(&self, text: &str) -> Vec<Problem> {
        self.open
            .as_ref()
            .map(|open| open.labels.problems(&open.project, open.label_counts(), text))
            .unwrap_or_default()
    }

    /// Everything that is wrong with a text as this project's pipeline config.
    pub fn problems_in_pipeline(&self, text: &str) -> Vec<Problem> {
        self.open.as_ref().map(|open| pipeline::problems(text, &open.facts())).unwrap_or_default()
    }

    /// What a new pipeline config of this project should say.
    pub fn template_values(&self) -> TemplateValues {
        pipeline::template_values(self.label_map(), self.open.as_ref().and_then(|open| open.train_images()))
    }

    /// What undo would undo.
    pub fn undo_name(&self) -> Option<&str> {
        self.open.as_ref()?.history.undo_name()
    }

    /// What redo would do again.
    pub fn redo_name(&self) -> Option<&str> {
        self.open.as_ref()?.history.redo_name()
    }

    /// When the last edit went to the disk.
    pub fn last_saved(&self) -> Option<SystemTime> {
        self.open.as_ref()?.last_saved
    }

    /// The jobs of this session, in the order in which they began.
    pub fn jobs(&self) -> &[JobView] {
        self.jobs.views()
    }

    /// One job.
    pub fn job(&self, id: JobId) -> Option<&JobView> {
        self.jobs.views().iter().find(|job| job.id == id)
    }

    /// The runs of the project, the newest first.
    pub fn runs(&self) -> &[RunView] {
        self.open.as_ref().map_or(&[], |open| open.runs.views())
    }

    /// One run.
    pub fn run(&self, name: &str) -> Option<&RunView> {
        self.open.as_ref()?.runs.get(name)
    }

    /// A name for a new run that no run has.
    pub fn new_run_name(&self) -> String {
        let taken = |name: &String| self.project_dir().is_some_and(|dir| dir.join("runs").join(name).exists());
        (1..).map(|number| format!("run-{number}")).find(|name| !taken(name)).unwrap_or_default()
    }

    /// The projects that were opened last, the newest first.
    pub fn recent_projects(&self) -> &[PathBuf] {
        self.settings.recent()
    }

    /// What can train here; empty until the answer is there.
    pub fn devices(&self) -> &[DeviceView] {
        self.devices.list()
    }

    /// A setting of this person.
    pub fn setting(&self, key: &str) -> Option<&str> {
        self.settings.get(key)
    }

    /// A setting of the open project.
    pub fn project_setting(&self, key: &str) -> Option<String> {
        self.open.as_ref()?.project.setting(key).ok().flatten()
    }
}

impl OpenProject {
    /// The commands that change the project at once.
    fn handle(&mut self, command: Command) -> Result<Outcome, SessionError> {
        match command {
            Command::AddBox { image, label, bounds } => self.add_box(image, label, bounds),
            Command::ChangeBoxes { image, name, changes } => self.change_boxes(image, name, changes),
            Command::RemoveBoxes { image, ids } => self.remove_boxes(image, &ids),
            Command::PasteBoxes { image, boxes, name } => self.paste_boxes(image, boxes, name),
            Command::SetState { image, state } => self.set_state(image, state),
            Command::Undo => self.undo(),
            Command::Redo => self.redo(),
            Command::SetSplit { images, split } => {
                self.project.set_split(&images, split)?;
                self.saved()
            }
            Command::AutoSplit { val_percent } => {
                let (train, val) = self.project.auto_split(val_percent / 100.0, SPLIT_SEED, SplitScope::TrainAndVal)?;
                self.saved()?;
                Ok(Outcome::say(format!("{train} for training, {val} for validation")))
            }
            Command::AddClass { name } => {
                let label = self.labels.add(&mut self.project, &name)?;
                Ok(Outcome { label: Some(label), ..Outcome::default() })
            }
            Command::RenameClass { id, name } => {
                self.labels.rename(&mut self.project, id, &name)?;
                Ok(Outcome::default())
            }
            Command::DeleteClass { id } => {
                self.labels.delete(&mut self.project, id)?;
                Ok(Outcome::default())
            }
            Command::SaveLabelMap { text } => {
                self.labels.save(&mut self.project, &text)?;
                Ok(Outcome::say("saved label_map.pbtxt"))
            }
            Command::SavePipeline { text } => {
                self.save_pipeline(&text)?;
                Ok(Outcome::say("saved pipeline.config"))
            }
            Command::NewPipeline { values } => {
                self.new_pipeline(&values)?;
                Ok(Outcome::say("made pipeline.config from the template"))
            }
            Command::SetProjectSetting { key, value } => {
                self.project.set_setting(&key, Some(value.as_str()).filter(|v| !v.is_empty()))?;
                Ok(Outcome::default())
            }
            // Carried out by the session itself, and never passed on.
            Command::NewProject { .. }
            | Command::OpenProject { .. }
            | Command::CloseProject
            | Command::AddImages { .. }
            | Command::Import(_)
            | Command::StartTraining(_)
            | Command::StopTraining { .. }
            | Command::EvaluateRun { .. }
            | Command::StopJob { .. }
            | Command::DismissJob { .. }
            | Command::SetSetting { .. } => Err(SessionError::NoProject),
        }
    }

    /// After a change of the image list.
    fn saved(&mut self) -> Result<Outcome, SessionError> {
        self.last_saved = Some(SystemTime::now());
        self.reload()?;
        Ok(Outcome::default())
    }
}
