//! What can be wrong with a weight file, in words for the person who gave it.

use std::path::{Path, PathBuf};

/// Why weights cannot be read, written or used.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// Nothing there.
    #[error(
        "{path}: there is no such checkpoint; give a file of weights, a run directory, or the prefix of a TensorFlow checkpoint \
         (…/model.ckpt, beside which stand model.ckpt.index and model.ckpt.data-00000-of-00001)"
    )]
    NotFound {
        /// What was asked for.
        path: PathBuf,
    },
    /// The file system refuses.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it says.
        source: std::io::Error,
    },
    /// A file of another kind, or with something in it that we do not read.
    #[error("{path}: {what}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What it is or has.
        what: String,
    },
    /// A file whose bytes contradict themselves.
    #[error("{path}: damaged at {place}: {what}; fetch or copy the file again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Byte offset or tensor.
        place: String,
        /// What is wrong there.
        what: String,
    },
    /// The weights do not fit the model.
    #[error("{path}: {what}")]
    DoesNotFit {
        /// The file.
        path: PathBuf,
        /// What does not fit, and what to do.
        what: String,
    },
}

impl WeightsError {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn format(path: &Path, what: impl Into<String>) -> Self {
        Self::Format { path: path.to_owned(), what: what.into() }
    }

    pub(crate) fn damaged(path: &Path, place: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), place: place.into(), what: what.into() }
    }
}
