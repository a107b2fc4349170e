//! In which fields two messages differ, by what they mean and not by how they are written.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage, Value};
use serde::Serialize;

use crate::text_format::value_text;

/// A field in which two configs differ, its values as a config would write them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The field; elements of repeated fields by their index.
    pub path: String,
    /// The value on the left; none where it is not given there. An empty block is `{ }`.
    pub left: Option<String>,
    /// The value on the right.
    pub right: Option<String>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let say = |value: &Option<String>| value.clone().unwrap_or_else(|| "(not set)".into());
        write!(f, "{}: {} → {}", self.path, say(&self.left), say(&self.right))
    }
}

/// The differences of two messages of one type, fields in the schema's order; empty exactly where
/// the messages are equal.
pub(crate) fn differences(left: &DynamicMessage, right: &DynamicMessage) -> Vec<Difference> {
    let mut found = Vec::new();
    blocks(Some(left), Some(right), "", &mut found);
    found
}

/// Compares two blocks of one type, of which one may be missing.
fn blocks(left: Option<&DynamicMessage>, right: Option<&DynamicMessage>, path: &str, found: &mut Vec<Difference>) {
    let Some(descriptor) = left.or(right).map(ReflectMessage::descriptor) else { return };
    let before = found.len();
    let mut fields: Vec<FieldDescriptor> = descriptor.fields().collect();
    fields.sort_by_key(FieldDescriptor::number);
    for field in fields {
        let of = |message: Option<&DynamicMessage>| {
            message.filter(|message| message.has_field(&field)).map(|message| message.get_field(&field).into_owned())
        };
        let dot = if path.is_empty() { "" } else { "." };
        fields_of(&field, of(left), of(right), &format!("{path}{dot}{}", field.name()), found);
    }
    // One of them is missing and the other holds nothing.
    if found.len() == before && left.is_some() != right.is_some() {
        let word = |side: Option<&DynamicMessage>| side.map(|_| "{ }".to_owned());
        found.push(Difference { path: path.into(), left: word(left), right: word(right) });
    }
}

fn fields_of(
    field: &FieldDescriptor,
    left: Option<Value>,
    right: Option<Value>,
    path: &str,
    found: &mut Vec<Difference>,
) {
    let kind = field.kind();
    if field.is_list() {
        let items = |side: &Option<Value>| side.as_ref().and_then(Value::as_list).map_or(Vec::new(), <[Value]>::to_vec);
        let (left, right) = (items(&left), items(&right));
        for i in 0..left.len().max(right.len()) {
            values(&kind, left.get(i), right.get(i), &format!("{path}[{i}]"), found);
        }
    } else if field.is_map() {
        let Kind::Message(entry) = kind else { return };
        let maps = [left.as_ref().and_then(Value::as_map), right.as_ref().and_then(Value::as_map)];
        let mut keys: Vec<&MapKey> = maps.iter().flatten().flat_map(|map| map.keys()).collect();
        keys.sort();
        keys.dedup();
        let value_kind = entry.map_entry_value_field().kind();
        for key in keys {
            let of = |side: usize| maps[side].and_then(|map| map.get(key));
            let name = value_text(&entry.map_entry_key_field().kind(), &Value::from(key.clone()));
            values(&value_kind, of(0), of(1), &format!("{path}[{name}]"), found);
        }
    } else {
        values(&kind, left.as_ref(), right.as_ref(), path, found);
    }
}

fn values(kind: &Kind, left: Option<&Value>, right: Option<&Value>, path: &str, found: &mut Vec<Difference>) {
    if matches!(kind, Kind::Message(_)) {
        if left.is_some() || right.is_some() {
            blocks(left.and_then(Value::as_message), right.and_then(Value::as_message), path, found);
        }
        return;
    }
    let text = |side: Option<&Value>| side.map(|value| value_text(kind, value));
    let (left, right) = (text(left), text(right));
    if left != right {
        found.push(Difference { path: path.into(), left, right });
    }
}
