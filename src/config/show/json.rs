//! Messages as JSON and back: the schema's own field names, enums by name, 64-bit numbers as strings
//! and numbers that JSON lacks as `"NaN"`, `"Infinity"`, `"-Infinity"`, as protobuf's JSON has them.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage, Value};
use serde_json::{Map, Value as Json};

use crate::edit::checked_value;
use crate::text_format::bind::suggestion;
use crate::text_format::{float32, quote, shorten, value_text};

/// A message as JSON, its fields in the schema's order.
pub(super) fn to_json(message: &DynamicMessage) -> Json {
    let descriptor = message.descriptor();
    let mut fields: Vec<FieldDescriptor> = descriptor.fields().filter(|field| message.has_field(field)).collect();
    fields.sort_by_key(FieldDescriptor::number);
    let entry = |field: &FieldDescriptor| {
        let kind = field.kind();
        let json = match &*message.get_field(field) {
            Value::List(items) => Json::Array(items.iter().map(|item| value_to_json(&kind, item)).collect()),
            Value::Map(map) => {
                let value_kind = kind.as_message().map(|entry| entry.map_entry_value_field().kind());
                let mut entries: Vec<_> = map.iter().collect();
                entries.sort_by(|a, b| a.0.cmp(b.0));
                let entry = |(key, value): &(&MapKey, &Value)| {
                    (key_text(key), value_to_json(value_kind.as_ref().unwrap_or(&kind), value))
                };
                Json::Object(entries.iter().map(entry).collect())
            }
            value => value_to_json(&kind, value),
        };
        (field.name().to_owned(), json)
    };
    Json::Object(fields.iter().map(entry).collect())
}

fn value_to_json(kind: &Kind, value: &Value) -> Json {
    match value {
        Value::Bool(value) => Json::Bool(*value),
        Value::I32(value) => (*value).into(),
        Value::U32(value) => (*value).into(),
        Value::I64(value) => value.to_string().into(),
        Value::U64(value) => value.to_string().into(),
        // Through the shortest decimal: 0.004 and not 0.004000000189989805.
        Value::F32(value) => float_to_json(float32(*value).parse().unwrap_or_else(|_| f64::from(*value))),
        Value::F64(value) => float_to_json(*value),
        Value::String(value) => value.clone().into(),
        Value::Bytes(bytes) => value_text(kind, &Value::Bytes(bytes.clone())).into(),
        Value::EnumNumber(number) => match kind.as_enum().and_then(|type_of| type_of.get_value(*number)) {
            Some(value) => value.name().into(),
            None => (*number).into(),
        },
        Value::Message(message) => to_json(message),
        Value::List(_) | Value::Map(_) => Json::Null,
    }
}

fn float_to_json(value: f64) -> Json {
    match serde_json::Number::from_f64(value) {
        Some(number) => Json::Number(number),
        None if value.is_nan() => "NaN".into(),
        None if value > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

/// A message from JSON, or what is wrong and where.
pub(super) fn from_json(descriptor: &MessageDescriptor, json: &Json) -> Result<DynamicMessage, String> {
    block_from_json(descriptor, json, "")
}

fn block_from_json(descriptor: &MessageDescriptor, json: &Json, path: &str) -> Result<DynamicMessage, String> {
    let place = if path.is_empty() { "the file" } else { path };
    let Json::Object(fields) = json else {
        return Err(format!("{place} must be an object with the fields of {}", descriptor.name()));
    };
    let mut message = DynamicMessage::new(descriptor.clone());
    for (name, json) in fields {
        let Some(field) = descriptor.get_field_by_name(name) else {
            let names: Vec<String> = descriptor.fields().map(|field| field.name().into()).collect();
            let hint = suggestion(name, &names).map_or(String::new(), |hint| format!("; {hint}"));
            return Err(format!("{place}: {} has no field `{}`{hint}", descriptor.name(), shorten(name)));
        };
        let dot = if path.is_empty() { "" } else { "." };
        let path = format!("{path}{dot}{name}");
        match (json, field.kind()) {
            (Json::Null, _) => {}
            (Json::Object(entries), Kind::Message(entry)) if field.is_map() => {
                map_from_json(&mut message, &field, &entry, entries, &path)?;
            }
            (Json::Array(items), _) if field.is_list() => {
                let item = |(i, item): (usize, &Json)| value_from_json(&field, item, &format!("{path}[{i}]"));
                let items = items.iter().enumerate().map(item).collect::<Result<_, _>>()?;
                message.set_field(&field, Value::List(items));
            }
            _ if field.is_list() => return Err(format!("{path} must be a list")),
            _ if field.is_map() => return Err(format!("{path} must be an object")),
            _ => message.set_field(&field, value_from_json(&field, json, &path)?),
        }
    }
    Ok(message)
}

fn map_from_json(
    message: &mut DynamicMessage,
    field: &FieldDescriptor,
    entry: &MessageDescriptor,
    entries: &Map<String, Json>,
    path: &str,
) -> Result<(), String> {
    for (key, value) in entries {
        let place = format!("{path}[{}]", shorten(key));
        let wrong = || format!("{place} is no key of this map");
        let key = value_from_json(&entry.map_entry_key_field(), &Json::String(key.clone()), &place)?;
        let value = value_from_json(&entry.map_entry_value_field(), value, &place)?;
        let key = key.into_map_key().ok_or_else(wrong)?;
        message.get_field_mut(field).as_map_mut().ok_or_else(wrong)?.insert(key, value);
    }
    Ok(())
}

/// One value; scalars are read as the text format reads them, which knows the ranges and the words.
fn value_from_json(field: &FieldDescriptor, json: &Json, path: &str) -> Result<Value, String> {
    let kind = field.kind();
    if let Kind::Message(type_of) = &kind {
        return block_from_json(type_of, json, path).map(Value::Message);
    }
    let text = match (json, &kind) {
        (Json::String(text), Kind::String) => quote(text),
        (Json::String(text), Kind::Float | Kind::Double) => match text.as_str() {
            "Infinity" => "inf".into(),
            "-Infinity" => "-inf".into(),
            "NaN" => "nan".into(),
            _ => return Err(format!("{path} must be a number and not the string \"{}\"", shorten(text))),
        },
        (Json::String(text), Kind::Bool) => {
            return Err(format!("{path} must be true or false and not \"{}\"", shorten(text)));
        }
        (Json::String(text), _) => text.clone(),
        (Json::Bool(value), Kind::Bool) => value.to_string(),
        (Json::Number(number), Kind::String | Kind::Bytes | Kind::Bool) => {
            return Err(format!("{path} cannot be the number {number}"));
        }
        (Json::Number(number), _) => number.to_string(),
        _ => return Err(format!("{path} must be a single value")),
    };
    let (_, block) = checked_value(field, path, &text).map_err(|error| error.to_string())?;
    let value = block.get_field(field).into_owned();
    Ok(match value {
        Value::List(mut items) => items.pop().unwrap_or(Value::Bool(false)),
        value => value,
    })
}
