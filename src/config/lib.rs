//! Configs in the words of the TensorFlow Object Detection API: `pipeline.config` and `label_map.pbtxt`.
//!
//! The schema is `proto/object_detection/protos`, compiled when the room is built. From it come the
//! typed structs of [`proto`] that the rest of the house reads, and the descriptors by which
//! [`text_format`] parses and prints any of the schema's messages.
//!
//! A config is a text that a person wrote, comments and all, so the room never throws that text
//! away: a [`Pipeline`] knows the line of every field, [`edit`] changes one value and leaves every
//! other byte alone, and [`check`] says at which line something is wrong and what to do.
//! [`schema`] tells an editor what a field means; [`template`] writes a first config; [`merge`] puts
//! overrides and hyperparameters over one, and [`show`] fills in the defaults and compares two.
//!
//! No tensors and no window in here. What a field *does* is decided in the detection and training
//! rooms; `check/support.rs` lists which fields they honour, and nothing else is accepted silently.

pub mod check;
pub mod edit;
pub mod error;
pub mod label_map;
pub mod merge;
mod message_path;
pub mod paths;
pub mod pipeline;
pub mod proto;
pub mod schema;
pub mod show;
pub mod template;
pub mod text_format;
mod variable_pattern;
pub mod zoo;

pub use check::{DatasetFacts, check};
pub use edit::{append_field, remove_field, set_field, set_list};
pub use error::ConfigError;
pub use pipeline::Pipeline;
pub use template::{TemplateValues, pipeline_from_template};
pub use text_format::{Position, TextError};
pub use variable_pattern::{PatternError, variable_pattern};

#[cfg(test)]
mod tests;
