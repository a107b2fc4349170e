//! JSON values as Python and protobuf would take them.
//!
//! Numbers and truth values may also come as strings, since SageMaker hands every hyperparameter over
//! as one. What a field cannot hold is an error, as it is for protobuf: `6.5` is no whole number.

use prost_reflect::{FieldDescriptor, Kind, Value};
use serde_json::Value as Json;

use crate::edit::checked_value;
use crate::error::ConfigError;
use crate::text_format::{quote, shorten};

/// An error about one key's value.
pub(super) fn wrong(key: &str, value: &Json, reason: impl Into<String>) -> ConfigError {
    ConfigError::Value { path: key.into(), value: shorten(&value.to_string()), reason: reason.into() }
}

/// A number as Python's arithmetic sees it.
pub(super) fn number(key: &str, value: &Json) -> Result<f64, ConfigError> {
    match value {
        Json::Number(number) => number.as_f64(),
        Json::Bool(truth) => Some(f64::from(u8::from(*truth))),
        Json::String(text) => text.trim().parse().ok(),
        _ => None,
    }
    .ok_or_else(|| wrong(key, value, "write a number"))
}

/// A whole number as Python's `int()` makes it: the part before the point, of a string only a whole
/// number.
pub(super) fn truncated(key: &str, value: &Json) -> Result<i128, ConfigError> {
    if let Json::String(text) = value {
        return text.trim().parse().map_err(|_| wrong(key, value, "write a whole number"));
    }
    if let Json::Number(exact) = value
        && let Some(exact) = exact.as_i64().map(i128::from).or(exact.as_u64().map(i128::from))
    {
        return Ok(exact);
    }
    // A float beyond the range of an integer saturates, and no field can hold it either.
    number(key, value).map(|number| number.trunc() as i128)
}

/// A whole number as Python's `int(round())` makes it: halves go to the even neighbour.
pub(super) fn rounded(key: &str, value: &Json) -> Result<i128, ConfigError> {
    match value {
        Json::Number(exact) if exact.is_f64() => Ok(number(key, value)?.round_ties_even() as i128),
        Json::String(_) => {
            let number = number(key, value)?;
            if number.is_finite() {
                Ok(number.round_ties_even() as i128)
            } else {
                Err(wrong(key, value, "write a whole number"))
            }
        }
        _ => truncated(key, value),
    }
}

/// A value for a single field or for one element of a repeated one.
pub(super) fn for_field(key: &str, field: &FieldDescriptor, value: &Json) -> Result<Value, ConfigError> {
    let kind = field.kind();
    let text = match (&kind, value) {
        (Kind::Message(_), _) => return Err(wrong(key, value, "it is a block; set the fields in it")),
        (Kind::String, Json::String(text)) => quote(text),
        (Kind::String | Kind::Bytes, _) => return Err(wrong(key, value, "write a string in quotes")),
        (Kind::Float | Kind::Double, _) => float_text(number(key, value)?),
        (Kind::Bool, Json::Bool(truth)) => truth.to_string(),
        (Kind::Bool, Json::Number(number)) => number.to_string(),
        (Kind::Bool | Kind::Enum(_), Json::String(text)) => text.trim().into(),
        (Kind::Bool, _) => return Err(wrong(key, value, "write true or false")),
        (_, Json::Bool(truth)) => u8::from(*truth).to_string(),
        (Kind::Enum(_), Json::Number(number)) => number.to_string(),
        (_, Json::Number(number)) if number.is_f64() => return Err(wrong(key, value, "write a whole number")),
        (_, Json::Number(number)) => number.to_string(),
        // Python reads `010` as ten and not, like the text format, as eight.
        (_, Json::String(_)) => truncated(key, value)?.to_string(),
        _ => return Err(wrong(key, value, "write a single value")),
    };
    from_text(key, field, &text)
}

/// A whole number for a field, if it fits.
pub(super) fn whole(key: &str, field: &FieldDescriptor, number: i128) -> Result<Value, ConfigError> {
    from_text(key, field, &number.to_string())
}

pub(super) fn from_text(key: &str, field: &FieldDescriptor, text: &str) -> Result<Value, ConfigError> {
    let (_, block) = checked_value(field, key, text)?;
    Ok(match block.get_field(field).into_owned() {
        Value::List(mut items) => items.pop().unwrap_or(Value::Bool(false)),
        value => value,
    })
}

fn float_text(value: f64) -> String {
    if value.is_nan() { "nan".into() } else { format!("{value:e}") }
}
