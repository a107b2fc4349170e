//! What can go wrong in a run, in words for the person who started it.

use std::path::PathBuf;

/// Why a run could not begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    /// The config cannot be read.
    #[error(transparent)]
    Config(#[from] boxwright_config::ConfigError),
    /// The config asks for something that cannot be built.
    #[error("{file}: {source}")]
    Build {
        /// The pipeline config.
        file: PathBuf,
        /// What it asks for.
        source: boxwright_detection::builders::BuildError,
    },
    /// A field of the config is missing or impossible.
    #[error("{file}: {field}: {what}")]
    Field {
        /// The pipeline config.
        file: PathBuf,
        /// The path of the field.
        field: String,
        /// What is wrong and what to do.
        what: String,
    },
    /// The records cannot be read.
    #[error("{0}")]
    Input(String),
    /// A checkpoint cannot be read or does not fit.
    #[error(transparent)]
    Weights(#[from] boxwright_weights::WeightsError),
    /// A checkpoint does not fit what was asked for.
    #[error("{0}")]
    Checkpoint(String),
    /// A file of the run cannot be written or read.
    #[error("{path}: {}", words(source))]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The device is not there or does not work.
    #[error("{0}")]
    Device(String),
    /// The loss is no number any more.
    #[error("{0}")]
    NotFinite(String),
    /// The model directory is not in a state to do what was asked.
    #[error("{0}")]
    RunDirectory(String),
}

impl TrainingError {
    /// An error about one file.
    pub fn file(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::File { path: path.into(), source }
    }
}

/// What the system said of a file, and what to do about it.
fn words(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "the disk is full; free some space and go on with --resume, the last checkpoint is whole".to_owned()
        }
        ErrorKind::ReadOnlyFilesystem => {
            "the folder is read-only; give another --model-dir, or write permission".to_owned()
        }
        ErrorKind::PermissionDenied => format!("{error}; give yourself permission, or give another --model-dir"),
        _ => error.to_string(),
    }
}
