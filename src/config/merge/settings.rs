//! `path=value`: one field, by its path and with the value as a config would write it.

use prost_reflect::{FieldDescriptor, Kind, Value};

use super::draft::{Draft, descriptor};
use crate::edit::{self, checked_value};
use crate::error::ConfigError;
use crate::message_path;
use crate::schema;
use crate::text_format::{self, Document, FieldPath, Value as TextValue, quote};

/// Sets the field. A repeated block on the way needs its index unless there is only one; a repeated
/// field takes an element by its index, or all of them as `[a, b]`.
pub(super) fn apply(draft: &mut Draft, path: &str, value: &str) -> Result<(), ConfigError> {
    let field = descriptor(path)?;
    let path = with_indices(draft, path)?;
    if field.is_map() {
        // An entry has no path of its own, so the text decides what it means.
        let printed = edit::append_field(&text_format::print(draft.message()), &path, value)?;
        draft.replace_message(text_format::parse_dynamic(schema::root(), &printed, "value")?);
        draft.edit(|text| edit::append_field(text, &path, value));
        return Ok(());
    }
    if field.is_list() && !path.ends_with(']') {
        return set_list(draft, &field, &path, value);
    }
    let (text, block) = checked_value(&field, &path, value)?;
    draft.set_written(&path, one(&block, &field), &text)
}

/// The value that was read, out of its block.
fn one(block: &prost_reflect::DynamicMessage, field: &FieldDescriptor) -> Value {
    match block.get_field(field).into_owned() {
        Value::List(mut items) => items.pop().unwrap_or(Value::Bool(false)),
        value => value,
    }
}

/// All elements of a repeated field, or the only one.
fn set_list(draft: &mut Draft, field: &FieldDescriptor, path: &str, value: &str) -> Result<(), ConfigError> {
    let count = message_path::count(draft.message(), path);
    let values = match elements(field, value) {
        Some(values) => values,
        None if count <= 1 => vec![value.to_owned()],
        None => {
            let reason = format!(
                "it has {count} elements; say which, as in `{path}[{}]`, add one as `{path}[{count}]`, \
                 or give all of them as `[…, …]`",
                count - 1
            );
            return Err(ConfigError::FieldPath { path: path.into(), reason });
        }
    };
    let mut read = Vec::new();
    for value in &values {
        let (_, block) = checked_value(field, path, value)?;
        read.push(one(&block, field));
    }
    draft.set_list(path, read)
}

/// The elements of `[a, b]`, strings with or without quotes.
fn elements(field: &FieldDescriptor, value: &str) -> Option<Vec<String>> {
    let inner = value.trim().strip_prefix('[')?.strip_suffix(']')?;
    let document = Document::parse(&format!("{}: {}", field.name(), value.trim()), "value");
    if let Ok(document) = document
        && let Some(TextValue::List(list)) = document.fields().first().map(|field| &field.value)
    {
        return Some(list.items.iter().map(|item| document.slice(item.span()).to_owned()).collect());
    }
    // Paths without quotes: `[a/b.record, c/d.record]`.
    matches!(field.kind(), Kind::String).then(|| inner.split(',').map(|item| quote(item.trim())).collect())
}

/// The path with an index at every repeated block on the way.
fn with_indices(draft: &Draft, path: &str) -> Result<String, ConfigError> {
    let mut path: FieldPath = path.parse()?;
    for at in 0..path.steps.len().saturating_sub(1) {
        let prefix = FieldPath { steps: path.steps[..=at].to_vec() };
        if path.steps[at].index.is_some() || !schema::descriptor_at(&prefix)?.is_list() {
            continue;
        }
        match message_path::count(draft.message(), &prefix.to_string()) {
            0 | 1 => path.steps[at].index = Some(0),
            count => {
                let name = &path.steps[at].name;
                let reason = format!("`{name}` is there {count} times; say which, as in `{name}[0]`");
                return Err(ConfigError::FieldPath { path: path.to_string(), reason });
            }
        }
    }
    Ok(path.to_string())
}
