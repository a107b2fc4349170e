//! An override text over a config, with protobuf's meaning and as edits of the base's text.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage, Value};

use super::draft::Draft;
use crate::edit;
use crate::error::ConfigError;
use crate::schema;
use crate::text_format::{self, map_entry, value_text};

/// One edit of the base's text.
enum Edit {
    Set(String, String),
    Append(String, String),
}

/// Merges the text. The message is protobuf's merge itself; the edits are what the override gives,
/// field by field, and are compared with it afterwards.
pub(super) fn apply(draft: &mut Draft, text: &str, name: &str) -> Result<(), ConfigError> {
    let mut merged = draft.message().clone();
    text_format::merge_dynamic(&mut merged, text, name)?;
    let given = text_format::parse_dynamic(schema::root(), text, name)?;
    let mut edits = Vec::new();
    collect(&given, Some(draft.message()), "", &mut edits);
    draft.replace_message(merged);
    draft.edit(|text| {
        edits.iter().try_fold(text.to_owned(), |text, edit| match edit {
            Edit::Set(path, value) => edit::set_field(&text, path, value),
            Edit::Append(path, value) => edit::append_field(&text, path, value),
        })
    });
    Ok(())
}

/// The edits that bring one block of the override into the block of the base.
fn collect(given: &DynamicMessage, base: Option<&DynamicMessage>, path: &str, edits: &mut Vec<Edit>) {
    let descriptor = given.descriptor();
    let mut fields: Vec<FieldDescriptor> = descriptor.fields().filter(|field| given.has_field(field)).collect();
    fields.sort_by_key(FieldDescriptor::number);
    for field in fields {
        let kind = field.kind();
        let dot = if path.is_empty() { "" } else { "." };
        let path = format!("{path}{dot}{}", field.name());
        let of_base = base.filter(|base| base.has_field(&field)).map(|base| base.get_field(&field));
        match &*given.get_field(&field) {
            Value::List(items) => {
                edits.extend(items.iter().map(|item| Edit::Append(path.clone(), value_text(&kind, item))));
            }
            Value::Map(map) => {
                let Kind::Message(entry) = &kind else { continue };
                let mut entries: Vec<_> = map.iter().collect();
                entries.sort_by(|a, b| a.0.cmp(b.0));
                edits.extend(entries.iter().map(|(key, value)| {
                    let entry = Value::Message(map_entry(entry, key, value));
                    Edit::Append(path.clone(), value_text(&kind, &entry))
                }));
            }
            Value::Message(inner) => match of_base.as_deref().and_then(Value::as_message) {
                Some(base) => collect(inner, Some(base), &path, edits),
                None => edits.push(Edit::Set(path, value_text(&kind, &Value::Message(inner.clone())))),
            },
            value => edits.push(Edit::Set(path, value_text(&kind, value))),
        }
    }
}
