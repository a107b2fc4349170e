//! What a command could not do, in words for a person: what, where, and what to do.

use std::path::PathBuf;

use boxwright_config::ConfigError;
use boxwright_core::{ImageId, LabelId, LabelMapError, Problem};
use boxwright_formats::tf_record::RecordError;
use boxwright_store::StoreError;

/// Why a command of the session, an import or an export was not carried out. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The command needs an open project.
    #[error("no project is open; open one or make a new one first")]
    NoProject,
    /// The project file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A config or label map.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The label map.
    #[error("{}: {source}", file.display())]
    LabelMap {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: LabelMapError,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// A message of a format that names its file already.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Record files.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A box that has nothing of the picture in it.
    #[error("the box lies outside image {0} or has no area; draw it over the picture")]
    EmptyBox(ImageId),
    /// A class that is not in the label map.
    #[error("the label map has no class with id {0}; add the class first")]
    UnknownLabel(LabelId),
    /// A box that is not there.
    #[error("box {0} is not on the image any more; it was removed elsewhere")]
    UnknownBox(boxwright_core::BoxId),
    /// A class that still has boxes.
    #[error("\"{name}\" still has {boxes} box{}; give them another class or delete them first", if *.boxes == 1 { "" } else { "es" })]
    LabelInUse {
        /// The class.
        name: String,
        /// How many boxes it has.
        boxes: usize,
    },
    /// Background means that there are no objects.
    #[error("the image has {}, so it is not background; delete the boxes first", crate::import::count(*.0, "box"))]
    BackgroundWithBoxes(usize),
    /// A text with errors was not saved.
    #[error("{} was not saved: {}{}{}", .0.file, at(&.0.place), .0.message, semicolon(&.0.fix))]
    NotSaved(Box<Problem>),
    /// The pipeline config cannot be trained.
    #[error("{}{}: {}{}", .0.file, comma(&.0.place), .0.message, semicolon(&.0.fix))]
    NotTrainable(Box<Problem>),
    /// A name that cannot be a run's.
    #[error("\"{0}\" cannot be the name of a run; use letters, digits, '-', '_' and '.', at most 80 of them")]
    RunName(String),
    /// A run that is at work already.
    #[error("the run \"{0}\" is at work already; stop it first, or give the new one another name")]
    RunBusy(String),
    /// A run without a folder.
    #[error("there is no run \"{0}\" in this project")]
    UnknownRun(String),
    /// A run that cannot continue.
    #[error("the run \"{0}\" has no checkpoint to continue from; start it anew")]
    NothingToResume(String),
    /// A run whose folder is taken.
    #[error("the run \"{0}\" has checkpoints already; continue it, or give the new one another name")]
    RunExists(String),
    /// There is nothing to learn from.
    #[error("there is nothing to train on: {0}")]
    NothingToTrain(String),
    /// There is nothing to undo or redo.
    #[error("there is nothing to {0}")]
    NothingTo(&'static str),
    /// An import that found nothing.
    #[error("{}: {what}", path.display())]
    NothingToImport {
        /// What was to be imported.
        path: PathBuf,
        /// Why there is nothing.
        what: String,
    },
    /// A folder that has something in it.
    #[error("{} is not empty; choose a new folder for the export", .0.display())]
    NotEmpty(PathBuf),
    /// A job that is not there.
    #[error("the job is done already")]
    NoJob,
    /// The person stopped it.
    #[error("stopped; nothing was changed")]
    Cancelled,
    /// Something else that must be said.
    #[error("{0}")]
    Other(String),
}

impl SessionError {
    /// An error of the operating system at a path that its message does not name.
    pub(crate) fn file(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::File { path: path.into(), source }
    }
}

/// ", line 3" after the name of a file.
fn comma(place: &str) -> String {
    if place.is_empty() { String::new() } else { format!(", {place}") }
}

/// "line 3: " before a message.
fn at(place: &str) -> String {
    if place.is_empty() { String::new() } else { format!("{place}: ") }
}

/// "; do this" after a message.
fn semicolon(fix: &str) -> String {
    if fix.is_empty() { String::new() } else { format!("; {fix}") }
}
