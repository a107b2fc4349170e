//! A config under change: its meaning and its text side by side.

use prost_reflect::{DynamicMessage, Value};
use serde::Serialize;

use crate::edit;
use crate::error::ConfigError;
use crate::message_path;
use crate::pipeline::Pipeline;
use crate::schema;
use crate::show::{Difference, differences};
use crate::text_format::{self, FieldPath, value_text};

/// What became of the base's comments and layout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// The text is the base's, edited where fields changed.
    Kept,
    /// The text was printed anew, without comments, because of this.
    Printed(String),
}

/// The message, the text, and why they had to part.
pub(super) struct Draft {
    message: DynamicMessage,
    text: String,
    /// The first edit since the last settling that the text could not take.
    refused: Option<String>,
    layout: Layout,
}

impl Draft {
    pub(super) fn new(base: &Pipeline) -> Self {
        let message = text_format::dynamic(&base.config);
        // The struct may have been changed since it was read.
        let mut draft = Self { message, text: base.text().into(), refused: None, layout: Layout::Kept };
        draft.settle("the base");
        draft
    }

    pub(super) fn message(&self) -> &DynamicMessage {
        &self.message
    }

    /// The fields that changed since `before`.
    pub(super) fn changes_since(&self, before: &DynamicMessage) -> Vec<Difference> {
        differences(before, &self.message)
    }

    /// Takes a message as it is; the text has to be brought there by [`Draft::edit`].
    pub(super) fn replace_message(&mut self, message: DynamicMessage) {
        self.message = message;
    }

    /// Sets one field, or one element of a repeated one.
    pub(super) fn set(&mut self, path: &str, value: Value) -> Result<(), ConfigError> {
        let text = value_text(&descriptor(path)?.kind(), &value);
        self.set_written(path, value, &text)
    }

    /// The same with the value as somebody wrote it.
    pub(super) fn set_written(&mut self, path: &str, value: Value, text: &str) -> Result<(), ConfigError> {
        message_path::set(&mut self.message, path, value)?;
        self.edit(|old| edit::set_field(old, path, text));
        Ok(())
    }

    /// Gives a repeated field these elements and no others.
    pub(super) fn set_list(&mut self, path: &str, values: Vec<Value>) -> Result<(), ConfigError> {
        let kind = descriptor(path)?.kind();
        let texts: Vec<String> = values.iter().map(|value| value_text(&kind, value)).collect();
        message_path::set(&mut self.message, path, Value::List(values))?;
        self.edit(|old| edit::set_list(old, path, &texts));
        Ok(())
    }

    /// Removes a field.
    pub(super) fn remove(&mut self, path: &str) -> Result<(), ConfigError> {
        message_path::remove(&mut self.message, path)?;
        self.edit(|old| edit::remove_field(old, path));
        Ok(())
    }

    /// Changes the text alone.
    pub(super) fn edit(&mut self, change: impl FnOnce(&str) -> Result<String, ConfigError>) {
        if self.refused.is_some() {
            return;
        }
        match change(&self.text) {
            Ok(text) => self.text = text,
            Err(error) => self.refused = Some(error.to_string()),
        }
    }

    /// Reads the text back; where it does not say what the message says, it is printed anew. `key`
    /// is what the report names as the reason.
    pub(super) fn settle(&mut self, key: &str) {
        let printed = text_format::print(&self.message);
        let reason = match self.refused.take() {
            Some(reason) => reason,
            None => match text_format::parse_dynamic(schema::root(), &self.text, "edited") {
                Ok(read) if text_format::print(&read) == printed => return,
                Ok(_) => "an edit of its text would mean something else".into(),
                Err(error) => error.to_string(),
            },
        };
        self.text = printed;
        if self.layout == Layout::Kept {
            self.layout = Layout::Printed(format!("{key}: {reason}"));
        }
    }

    pub(super) fn finish(self, file: &str) -> Result<(Pipeline, Layout), ConfigError> {
        Ok((Pipeline::parse(&self.text, file)?, self.layout))
    }
}

/// The descriptor of the field at a path.
pub(super) fn descriptor(path: &str) -> Result<prost_reflect::FieldDescriptor, ConfigError> {
    schema::descriptor_at(&path.parse::<FieldPath>()?)
}
