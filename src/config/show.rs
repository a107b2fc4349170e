//! A config as people and programs want to see it: with every default filled in, as the differences
//! from another one, as JSON and back.
//!
//! The effective config is what TFOD would read: every single value that a block may have stands in
//! it, and the blocks that TFOD reads without asking whether they are there. A block whose presence
//! alone means something (`batch_norm`, `hard_example_miner`, the members of a oneof …) is never made
//! up. The text says `# default` behind each value that was filled in, and is a valid config itself.

mod diff;
mod json;

use std::path::Path;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value};

use crate::error::ConfigError;
use crate::pipeline::{Pipeline, read_text};
use crate::text_format::{self, map_entry, value_text};
use crate::{proto, schema};

pub use diff::Difference;
pub(crate) use diff::differences;

/// Blocks that TFOD reads at their defaults where a config lacks them.
const READ_AT_DEFAULTS: &[(&str, &[&str])] = &[
    ("TrainEvalPipelineConfig", &["train_config", "train_input_reader", "eval_config"]),
    ("Ssd", &["post_processing", "loss"]),
    ("FasterRcnn", &["second_stage_post_processing"]),
    ("CenterNet", &["object_center_params"]),
    ("PostProcessing", &["batch_non_max_suppression"]),
];

/// A config to look at: as it is given, or with its defaults.
#[derive(Clone, Debug)]
pub struct View {
    given: DynamicMessage,
    effective: bool,
}

impl View {
    /// The config as it is given, or the effective one.
    pub fn new(pipeline: &Pipeline, effective: bool) -> Self {
        Self { given: text_format::dynamic(&pipeline.config), effective }
    }

    /// As a config text; what was filled in is marked `# default`.
    pub fn to_text(&self) -> String {
        if !self.effective {
            return text_format::print(&self.given);
        }
        let mut printer = Printer::default();
        printer.block(&effective(&self.given), Some(&self.given), 0);
        printer.out
    }

    /// As JSON: the schema's field names, enums by name, floats with as few digits as keep them.
    pub fn to_json(&self) -> serde_json::Value {
        json::to_json(&self.message())
    }

    /// Every field in which another config differs.
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        differences(&self.message(), &other.message())
    }

    /// The config as a struct, with the defaults where they are asked for.
    pub fn config(&self) -> proto::TrainEvalPipelineConfig {
        self.message().transcode_to().expect("struct and descriptor come from the same build")
    }

    fn message(&self) -> DynamicMessage {
        if self.effective { effective(&self.given) } else { self.given.clone() }
    }
}

/// A config from a file, as text or as the JSON that [`View::to_json`] writes.
///
/// # Errors
/// The file cannot be read, or is neither.
pub fn read_config(path: impl AsRef<Path>) -> Result<Pipeline, ConfigError> {
    let text = read_text(path.as_ref())?;
    let file = path.as_ref().display().to_string();
    // No config text starts with a brace.
    if text.trim_start().starts_with('{') { pipeline_from_json(&text, &file) } else { Pipeline::parse(&text, &file) }
}

/// A config from the JSON that [`View::to_json`] writes. `file` is what errors call it.
///
/// # Errors
/// The text is no JSON, or a field of it is not one of the schema's or has the wrong type.
pub fn pipeline_from_json(text: &str, file: &str) -> Result<Pipeline, ConfigError> {
    let value: serde_json::Value = serde_json::from_str(text)
        .map_err(|error| ConfigError::Json { file: file.into(), reason: format!("it is no JSON: {error}") })?;
    let message =
        json::from_json(&schema::root(), &value).map_err(|reason| ConfigError::Json { file: file.into(), reason })?;
    Pipeline::parse(&text_format::print(&message), file)
}

/// The message with every default that TFOD would read.
fn effective(given: &DynamicMessage) -> DynamicMessage {
    let descriptor = given.descriptor();
    let mut filled = given.clone();
    for field in descriptor.fields() {
        let is_block = matches!(field.kind(), Kind::Message(_));
        if field.is_map() || (field.is_list() && !is_block) {
            continue;
        }
        match (given.has_field(&field), is_block) {
            (true, true) if field.is_list() => {
                if let Some(list) = filled.get_field_mut(&field).as_list_mut() {
                    for item in list.iter_mut() {
                        if let Some(inner) = item.as_message_mut() {
                            *inner = effective(inner);
                        }
                    }
                }
            }
            (true, true) => {
                if let Some(inner) = filled.get_field_mut(&field).as_message_mut() {
                    *inner = effective(inner);
                }
            }
            (false, true) if !field.is_list() && read_at_defaults(&descriptor, &field) => {
                if let Kind::Message(type_of) = field.kind() {
                    filled.set_field(&field, Value::Message(effective(&DynamicMessage::new(type_of))));
                }
            }
            (false, false) if field.containing_oneof().is_none() => filled.set_field(&field, field.default_value()),
            _ => {}
        }
    }
    filled
}

fn read_at_defaults(block: &MessageDescriptor, field: &FieldDescriptor) -> bool {
    READ_AT_DEFAULTS.iter().any(|(name, fields)| *name == block.name() && fields.contains(&field.name()))
}

/// Writes an effective config, with a mark at what the given one lacks.
#[derive(Default)]
struct Printer {
    out: String,
}

impl Printer {
    fn block(&mut self, filled: &DynamicMessage, given: Option<&DynamicMessage>, depth: usize) {
        let mut fields: Vec<_> = filled.fields().map(|(field, _)| field).collect();
        fields.sort_by_key(FieldDescriptor::number);
        for field in fields {
            let given = given.filter(|given| given.has_field(&field)).map(|given| given.get_field(&field));
            match &*filled.get_field(&field) {
                Value::List(items) => {
                    let given = given.as_deref().and_then(Value::as_list).unwrap_or_default();
                    for (i, item) in items.iter().enumerate() {
                        self.value(&field, item, given.get(i), depth);
                    }
                }
                Value::Map(map) => {
                    let Kind::Message(entry) = field.kind() else { continue };
                    let mut entries: Vec<_> = map.iter().collect();
                    entries.sort_by(|a, b| a.0.cmp(b.0));
                    for (key, value) in entries {
                        let entry = Value::Message(map_entry(&entry, key, value));
                        self.value(&field, &entry, Some(&entry), depth);
                    }
                }
                value => self.value(&field, value, given.as_deref(), depth),
            }
        }
    }

    /// One value, or a block with what is in it.
    fn value(&mut self, field: &FieldDescriptor, value: &Value, given: Option<&Value>, depth: usize) {
        let indent = "  ".repeat(depth);
        let (name, mark) = (field.name(), if given.is_some() { "" } else { "  # default" });
        if let Value::Message(message) = value {
            self.out += &format!("{indent}{name} {{{mark}\n");
            self.block(message, given.and_then(Value::as_message), depth + 1);
            self.out += &format!("{indent}}}\n");
        } else {
            self.out += &format!("{indent}{name}: {}{mark}\n", value_text(&field.kind(), value));
        }
    }
}
