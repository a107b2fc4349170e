//! What can go wrong with a config.
//!
//! An error about the text itself is a [`TextError`] with file, line and column. The others are
//! about reaching the file, or about a question that the schema cannot answer.

use std::io;
use std::path::PathBuf;

use boxwright_core::{Problem, Severity};

use crate::text_format::TextError;

/// Why a config cannot be read, edited or made.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be opened or read.
    #[error("{}: cannot be read: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is far larger than any config.
    #[error("{}: {size} bytes is too much for a config (at most {limit}); is it the right file?", file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The largest size that is read.
        limit: u64,
    },
    /// The text is not a valid config.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A field path that the schema does not have.
    #[error("`{path}` is not a field of the config: {reason}")]
    FieldPath {
        /// The path that was asked for.
        path: String,
        /// Which part of it is wrong, and the nearest right one.
        reason: String,
    },
    /// A value that the field cannot hold.
    #[error("`{value}` cannot be the value of `{path}`: {reason}")]
    Value {
        /// The field.
        path: String,
        /// The value that was given.
        value: String,
        /// Why not.
        reason: String,
    },
    /// A hyperparameter that this config cannot take.
    #[error("the hyperparameter `{key}` cannot be applied: {reason}")]
    Hyperparameter {
        /// Its name.
        key: String,
        /// Why not, and what would work.
        reason: String,
    },
    /// A JSON file that is not what it should be.
    #[error("{file}: {reason}")]
    Json {
        /// The file.
        file: String,
        /// What is wrong, with line and column where the text is no JSON at all.
        reason: String,
    },
    /// A template that does not exist.
    #[error("there is no pipeline template `{name}`; there are: {known}")]
    Template {
        /// The name that was asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
}

impl ConfigError {
    /// The error as a finding of `boxwright check`.
    pub fn to_problem(&self) -> Problem {
        let problem = |code: &str, file: String, fix: &str| Problem {
            severity: Severity::Error,
            code: code.into(),
            file,
            place: String::new(),
            message: self.to_string(),
            fix: fix.into(),
        };
        match self {
            Self::Text(error) => error.to_problem(),
            Self::Read { file, .. } => {
                problem("unreadable-file", file.display().to_string(), "check the path and the permissions of the file")
            }
            Self::TooLarge { file, .. } => problem("too-large", file.display().to_string(), "choose the config file"),
            Self::Json { file, .. } => problem("bad-json", file.clone(), ""),
            Self::FieldPath { .. } | Self::Value { .. } | Self::Hyperparameter { .. } | Self::Template { .. } => {
                problem("bad-request", String::new(), "")
            }
        }
    }
}
