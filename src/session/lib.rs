//! The studio without a window.
//!
//! A [`Session`] holds one open project and carries out [`Command`]s; a window (or a test, or a
//! script) reads from it and sends commands, and has no other way to change anything. Edits are on
//! the disk when the command returns. What takes long is a [job](JobView): a thread for imports, a
//! child process of the same program for training and evaluation, so that a lost GPU or an
//! out-of-memory kill never takes the window along. The run directory is the truth about a run; the
//! window that opens tomorrow sees what this one sees.
//!
//! The command line uses the same functions without a session: [`import()`], [`export_tf_records`],
//! [`check_path`], [`stats()`], [`prepare_training`].
//!
//! Deliberately absent: egui, burn, and the cloud.

mod annotate;
mod check;
mod child;
mod command;
mod config;
mod devices;
mod error;
mod export;
mod facts;
mod import;
mod job;
mod labels;
mod open_project;
mod parallel;
mod pictures;
mod pipeline;
mod records;
mod runs;
mod session;
mod settings;
mod stats;
mod tail;
mod text_file;
mod train_request;
mod training;
mod watch;

pub use boxwright_config::TemplateValues;
pub use check::{check_path, check_project};
pub use command::{Command, Outcome};
pub use config::{ConfigReport, NewConfig, check_config, new_config};
pub use devices::DeviceView;
pub use error::SessionError;
pub use export::{ExportFormat, ExportReport, RecordExport, SHUFFLE_SEED, export_pascal_voc, export_tf_records};
pub use import::{AUTO_VAL_FRACTION, ImportFormat, ImportReport, ImportRequest, ImportSplit, add_images, import};
pub use job::{JobId, JobKind, JobState, JobView};
pub use records::{RecordsReport, ensure_records};
pub use runs::{RunView, list_runs};
pub use session::Session;
pub use stats::{Stats, project_stats, stats};
pub use train_request::TrainRequest;
pub use training::{Prepared, prepare_training};
pub use watch::Watch;

/// Pictures for the window: decoding with EXIF orientation applied, and thumbnails.
pub mod picture {
    pub use boxwright_formats::picture::{Picture, PictureError, Probe, decode, probe_file, read_file, thumbnail};
}

/// What a field of the pipeline config means, for the editor.
pub mod field_help {
    pub use boxwright_config::check::{Verdict, verdict_of};
    pub use boxwright_config::schema::{Choice, FieldInfo, children, field};
}

#[cfg(test)]
mod tests;
