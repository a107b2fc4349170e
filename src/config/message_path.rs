//! Reading and changing a message by the path of a field, as `schema` names it:
//! `eval_input_reader[0].shuffle`. The editor of texts is `edit`; the two must agree.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage, Value};

use crate::error::ConfigError;
use crate::text_format::{FieldPath, PathStep};

/// The value at a path, if the message gives one. A repeated field without an index is the list.
pub(crate) fn get(message: &DynamicMessage, path: &str) -> Option<Value> {
    let path: FieldPath = path.parse().ok()?;
    let mut found = Value::Message(message.clone());
    for step in &path.steps {
        let block = found.as_message()?;
        let field = block.descriptor().get_field_by_name(&step.name)?;
        if !block.has_field(&field) {
            return None;
        }
        let value = block.get_field(&field).into_owned();
        found = match (step.index, &value) {
            (Some(index), Value::List(list)) => list.get(index)?.clone(),
            (Some(_), _) => return None,
            (None, _) => value,
        };
    }
    Some(found)
}

/// The block at a path, if the message has it.
pub(crate) fn block(message: &DynamicMessage, path: &str) -> Option<DynamicMessage> {
    get(message, path)?.as_message().cloned()
}

/// The number at a path, at its default where the message does not give it.
pub(crate) fn number(message: &DynamicMessage, path: &str) -> Option<f64> {
    let value = get(message, path).or_else(|| {
        let field = crate::schema::descriptor_at(&path.parse().ok()?).ok()?;
        Some(field.default_value())
    })?;
    match value {
        Value::F32(value) => Some(value.into()),
        Value::F64(value) => Some(value),
        Value::I32(value) => Some(value.into()),
        Value::U32(value) => Some(value.into()),
        _ => None,
    }
}

/// How many elements a repeated field has.
pub(crate) fn count(message: &DynamicMessage, path: &str) -> usize {
    get(message, path).and_then(|value| value.as_list().map(<[Value]>::len)).unwrap_or(0)
}

/// The member of the block's oneof that is given.
pub(crate) fn chosen(message: &DynamicMessage, path: &str) -> Option<String> {
    let block = block(message, path)?;
    let descriptor = block.descriptor();
    let members = descriptor.oneofs().flat_map(|oneof| oneof.fields().collect::<Vec<_>>()).collect::<Vec<_>>();
    members.iter().find(|field| block.has_field(field)).map(|field| field.name().to_owned())
}

/// Sets the field at a path; the blocks around it are made where they are missing. A repeated field
/// without an index takes a whole list, an index one past the last appends.
pub(crate) fn set(message: &mut DynamicMessage, path: &str, value: Value) -> Result<(), ConfigError> {
    let (block, field, step) = parent(message, path)?;
    let wrong = |reason: String| ConfigError::FieldPath { path: path.into(), reason };
    let Some(index) = step.index else {
        return block.try_set_field(&field, value).map_err(|error| wrong(error.to_string()));
    };
    if !value.is_valid(&field.kind()) {
        return Err(wrong(format!("`{}` cannot hold such a value", field.name())));
    }
    let list = block.get_field_mut(&field).as_list_mut().ok_or_else(|| wrong("it is no list".into()))?;
    match list.len() {
        count if index < count => list[index] = value,
        count if index == count => list.push(value),
        count => return Err(wrong(format!("`{}` has {count} so far; the next index is {count}", field.name()))),
    }
    Ok(())
}

/// Removes the field at a path, if the message has it.
pub(crate) fn remove(message: &mut DynamicMessage, path: &str) -> Result<(), ConfigError> {
    if get(message, path).is_none() {
        return Ok(());
    }
    let (block, field, step) = parent(message, path)?;
    match (step.index, block.get_field_mut(&field)) {
        (Some(index), Value::List(list)) => drop(list.remove(index)),
        _ => block.clear_field(&field),
    }
    Ok(())
}

/// The block that holds the last field of a path.
fn parent<'a>(
    message: &'a mut DynamicMessage,
    path: &str,
) -> Result<(&'a mut DynamicMessage, FieldDescriptor, PathStep), ConfigError> {
    let steps = path.parse::<FieldPath>()?.steps;
    let (last, blocks) = steps.split_last().expect("a path has a step");
    let wrong = |reason: String| ConfigError::FieldPath { path: path.into(), reason };
    let field_of = |block: &DynamicMessage, name: &str| {
        let descriptor = block.descriptor();
        let unknown = || wrong(format!("{} has no field `{name}`", descriptor.name()));
        descriptor.get_field_by_name(name).ok_or_else(unknown)
    };
    let mut block = message;
    for step in blocks {
        let field = field_of(block, &step.name)?;
        let Kind::Message(type_of) = field.kind() else {
            return Err(wrong(format!("`{}` is a single value and has no fields", step.name)));
        };
        let inner = match block.get_field_mut(&field) {
            Value::List(list) => {
                let index = step.index.unwrap_or(list.len().saturating_sub(1));
                if index == list.len() {
                    list.push(Value::Message(DynamicMessage::new(type_of)));
                }
                let count = list.len();
                list.get_mut(index).ok_or_else(|| wrong(format!("`{}` has only {count}", step.name)))?
            }
            value => value,
        };
        block = inner.as_message_mut().ok_or_else(|| wrong(format!("`{}` has no fields by path", step.name)))?;
    }
    let field = field_of(block, &last.name)?;
    Ok((block, field, last.clone()))
}
