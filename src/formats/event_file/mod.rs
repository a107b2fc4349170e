//! TensorBoard's event files: what a run measured, step by step.
//!
//! An event file is a TFRecord file of `tf.Event` messages. The first says the version of the layout,
//! the others carry summaries: numbers, pictures and more under a tag, each with its step and the time
//! on the wall. A run that was interrupted and goes on writes a new file, whose first word is
//! [`EventData::SessionStart`]: events of that step and later in older files do not count any more.
//!
//! - [`EventWriter`] writes numbers and pictures, whole records at a time, so that a reader of a
//!   running training never sees half of one.
//! - [`EventReader`] reads files of TensorFlow 1 and 2: numbers as `simple_value` and as tensors.
//! - [`summarize`] says what a file holds, tag by tag.

mod messages;
mod reader;
mod summary;
mod writer;

pub use reader::{EventReader, is_event_file};
pub use summary::{EventFileSummary, TagSummary, summarize};
pub use writer::{EventWriter, wall_time};

use crate::tf_record::RecordError;

/// How the layout is called that is written and read.
pub const FILE_VERSION: &str = "brain.Event:2";

/// Why events cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// The file is no sound record file.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A record is no event.
    #[error("{file}, record {record}: is no event ({what}); is this a file of events?")]
    NoEvent {
        /// The file.
        file: String,
        /// The record, from 0.
        record: u64,
        /// What is wrong.
        what: String,
    },
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When it was written, in seconds since 1970.
    pub wall_time: f64,
    /// The global step that it belongs to.
    pub step: i64,
    /// What it says.
    pub data: EventData,
}

/// What an event says.
#[derive(Clone, Debug, PartialEq)]
pub enum EventData {
    /// The version of the layout; the first event of a file.
    FileVersion(String),
    /// Values under tags.
    Summary(Vec<TaggedValue>),
    /// A run begins or goes on here: what older files say of this step and of later ones does not count.
    SessionStart,
    /// A graph, a log message or the like.
    Other,
}

/// A value under its tag.
#[derive(Clone, Debug, PartialEq)]
pub struct TaggedValue {
    /// Its tag, like `Loss/total_loss`.
    pub tag: String,
    /// The value.
    pub value: SummaryValue,
}

/// What stands under a tag.
#[derive(Clone, Debug, PartialEq)]
pub enum SummaryValue {
    /// A number.
    Scalar(f64),
    /// Pictures.
    Images(Vec<EventImage>),
    /// Anything else, by its kind: `histogram`, `audio`, `tensor`, or the name of the plugin that shows it.
    Other(String),
}

impl SummaryValue {
    /// What it is, in a word.
    pub fn kind(&self) -> &str {
        match self {
            Self::Scalar(_) => "scalar",
            Self::Images(_) => "image",
            Self::Other(kind) => kind,
        }
    }
}

/// A picture in an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventImage {
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
    /// The PNG, JPEG or GIF file.
    pub encoded: Vec<u8>,
}
