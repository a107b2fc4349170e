//! Everything that a person can ask of the studio, and what comes back.

use std::path::PathBuf;

use boxwright_config::TemplateValues;
use boxwright_core::{Annotation, BoxId, ImageId, LabelId, PixelBox, ReviewState, Split};

use crate::import::ImportRequest;
use crate::job::JobId;
use crate::train_request::TrainRequest;

/// One request. [`crate::Session::handle`] carries it out, all of it or nothing.
#[derive(Clone, Debug)]
pub enum Command {
    /// Make a project in a folder and open it.
    NewProject {
        /// The folder; it may hold pictures already.
        dir: PathBuf,
    },
    /// Open a project.
    OpenProject {
        /// Its folder, or its database file.
        dir: PathBuf,
    },
    /// Close the project. Training goes on.
    CloseProject,
    /// Add pictures without annotations, as a job.
    AddImages {
        /// Pictures, and folders that are searched with all folders below them.
        paths: Vec<PathBuf>,
    },
    /// Bring in pictures with their annotations, as a job.
    Import(ImportRequest),
    /// Draw a box.
    AddBox {
        /// The image.
        image: ImageId,
        /// The class.
        label: LabelId,
        /// The place; what is outside the picture is cut off.
        bounds: PixelBox,
    },
    /// Move, resize or relabel boxes, or change their flags.
    ChangeBoxes {
        /// The image.
        image: ImageId,
        /// What "Undo …" calls it.
        name: String,
        /// Each box as it was and as it shall be.
        changes: Vec<(Annotation, Annotation)>,
    },
    /// Delete boxes.
    RemoveBoxes {
        /// The image.
        image: ImageId,
        /// The boxes.
        ids: Vec<BoxId>,
    },
    /// Add copies of boxes, from this image or another.
    PasteBoxes {
        /// The image.
        image: ImageId,
        /// The boxes; they get new ids.
        boxes: Vec<Annotation>,
        /// What "Undo …" calls it.
        name: String,
    },
    /// Mark an image as new, annotated, verified or background.
    SetState {
        /// The image.
        image: ImageId,
        /// The mark.
        state: ReviewState,
    },
    /// Take the last edit of boxes or marks back.
    Undo,
    /// Do what was taken back again.
    Redo,
    /// Put images into a split.
    SetSplit {
        /// The images.
        images: Vec<ImageId>,
        /// The split.
        split: Split,
    },
    /// Divide all images but those kept for testing between training and validation.
    AutoSplit {
        /// The share of validation, 0 to 100.
        val_percent: f64,
    },
    /// Add a class at the end of the label map.
    AddClass {
        /// Its name.
        name: String,
    },
    /// Give a class another name; it keeps its id and its boxes.
    RenameClass {
        /// The class.
        id: LabelId,
        /// The new name.
        name: String,
    },
    /// Take a class that has no boxes out of the label map. Its id is not given again.
    DeleteClass {
        /// The class.
        id: LabelId,
    },
    /// Replace the text of `label_map.pbtxt`.
    SaveLabelMap {
        /// The new text; with an error in it, nothing is saved.
        text: String,
    },
    /// Replace the text of `pipeline.config`.
    SavePipeline {
        /// The new text; it is saved if it can be read, warnings or not.
        text: String,
    },
    /// Make `pipeline.config` anew from the template.
    NewPipeline {
        /// What the template leaves open; [`crate::Session::template_values`] proposes it.
        values: Box<TemplateValues>,
    },
    /// Write the records where the data changed, and train in a child process.
    StartTraining(Box<TrainRequest>),
    /// Ask a run to save a checkpoint and stop.
    StopTraining {
        /// The run.
        run: String,
    },
    /// Measure a run on the validation data, in a child process.
    EvaluateRun {
        /// The run.
        run: String,
    },
    /// Stop a job; an import leaves everything as it was.
    StopJob {
        /// The job.
        job: JobId,
    },
    /// Take a job that has ended out of the list.
    DismissJob {
        /// The job.
        job: JobId,
    },
    /// Remember something for this person, in all projects.
    SetSetting {
        /// Its name.
        key: String,
        /// Its value; empty to forget it.
        value: String,
    },
    /// Remember something for this project, such as the layout of the window.
    SetProjectSetting {
        /// Its name.
        key: String,
        /// Its value; empty to forget it.
        value: String,
    },
}

/// What came of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What to tell, where there is something that is not to be seen anyway.
    pub message: Option<String>,
    /// The boxes that appeared.
    pub created: Vec<BoxId>,
    /// The image that changed; after undo and redo the window goes there.
    pub image: Option<ImageId>,
    /// The class that appeared.
    pub label: Option<LabelId>,
    /// The job that began.
    pub job: Option<JobId>,
}

impl Outcome {
    pub(crate) fn say(message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), ..Self::default() }
    }

    pub(crate) fn job(job: JobId) -> Self {
        Self { job: Some(job), ..Self::default() }
    }

    pub(crate) fn image(image: ImageId) -> Self {
        Self { image: Some(image), ..Self::default() }
    }
}
