//! The pipeline config of a project: its text, its problems, and a first one from the template.

use std::path::Path;

use boxwright_config::check::DatasetFacts;
use boxwright_config::template::{TemplateValues, pipeline_from_template};
use boxwright_config::{ConfigError, Pipeline, check};
use boxwright_core::{LabelMap, Problem, Severity, Split};

use crate::error::SessionError;
use crate::open_project::OpenProject;
use crate::records;

/// What problems call the file.
const FILE: &str = "pipeline.config";

/// The template of a new project.
const TEMPLATE: &str = "ssd_mobilenet_v1";

/// Everything that is wrong with a text as a pipeline config for some data.
pub(crate) fn problems(text: &str, facts: &DatasetFacts) -> Vec<Problem> {
    match Pipeline::parse(text, FILE) {
        Ok(pipeline) => check(&pipeline, facts),
        Err(ConfigError::Text(error)) => vec![error.to_problem()],
        Err(error) => vec![error.to_problem()],
    }
}

/// What the config of a project should say before anyone changed it. A batch cannot be larger than
/// the data.
pub(crate) fn template_values(labels: &LabelMap, train_images: Option<usize>) -> TemplateValues {
    let default = TemplateValues::default();
    let most = train_images.and_then(|images| u32::try_from(images).ok()).unwrap_or(default.batch_size);
    TemplateValues { num_classes: labels.max_id().max(1), batch_size: default.batch_size.min(most).max(1), ..default }
}

/// The text of a new config.
pub(crate) fn from_template(values: &TemplateValues) -> Result<String, SessionError> {
    Ok(pipeline_from_template(TEMPLATE, values)?)
}

impl OpenProject {
    /// What is known of the data without reading records.
    pub fn facts(&self) -> DatasetFacts {
        DatasetFacts {
            // The records of the project are written when training starts, so their absence is no
            // problem of the config; everything else that is looked for counts from the project.
            root: self.project.records_dir().is_dir().then(|| self.project.dir().to_owned()),
            label_map: Some(self.labels.map().clone()),
            train_images: self.train_images().map(|images| images as u64),
            most_boxes: self.images().iter().map(|image| image.boxes).max(),
            ..DatasetFacts::default()
        }
    }

    /// How many images there are to train on, where that is decided.
    pub fn train_images(&self) -> Option<usize> {
        let usable = self.images().iter().filter(|image| records::is_usable(image));
        Some(usable.filter(|image| image.split == Split::Train).count()).filter(|images| *images > 0)
    }

    pub fn save_pipeline(&mut self, text: &str) -> Result<(), SessionError> {
        Pipeline::parse(text, FILE).map_err(|error| SessionError::NotSaved(Box::new(error.to_problem())))?;
        self.pipeline.save(text)
    }

    pub fn new_pipeline(&mut self, values: &TemplateValues) -> Result<(), SessionError> {
        let text = from_template(values)?;
        self.pipeline.save(&text)
    }
}

/// The first error of a config file that keeps it from being trained.
pub(crate) fn ensure_trainable(file: &Path, facts: &DatasetFacts) -> Result<(), SessionError> {
    let pipeline = Pipeline::read(file)?;
    match check(&pipeline, facts).into_iter().find(|problem| problem.severity == Severity::Error) {
        Some(problem) => Err(SessionError::NotTrainable(Box::new(problem))),
        None => Ok(()),
    }
}
