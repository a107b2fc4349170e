//! Messages as text, the way Python's `text_format.MessageToString` writes them: fields by number,
//! two spaces a level, the shortest decimal that is still the same float.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage, Value};

/// A message as text.
pub fn print(message: &DynamicMessage) -> String {
    let mut out = String::new();
    print_fields(message, 0, &mut out);
    out
}

fn print_fields(message: &DynamicMessage, indent: usize, out: &mut String) {
    let descriptor = message.descriptor();
    let mut fields: Vec<_> = descriptor.fields().filter(|field| message.has_field(field)).collect();
    fields.sort_by_key(FieldDescriptor::number);
    for field in fields {
        match &*message.get_field(&field) {
            Value::List(items) => items.iter().for_each(|item| print_field(&field, item, indent, out)),
            Value::Map(map) => {
                let mut entries: Vec<_> = map.iter().collect();
                entries.sort_by(|a, b| a.0.cmp(b.0));
                entries.iter().for_each(|(key, value)| print_entry(&field, key, value, indent, out));
            }
            value => print_field(&field, value, indent, out),
        }
    }
}

fn print_field(field: &FieldDescriptor, value: &Value, indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
    out.push_str(field.name());
    if let Value::Message(message) = value {
        out.push_str(" {\n");
        print_fields(message, indent + 2, out);
        out.extend(std::iter::repeat_n(' ', indent));
        out.push_str("}\n");
    } else {
        out.push_str(": ");
        print_scalar(&field.kind(), value, out);
        out.push('\n');
    }
}

fn print_entry(field: &FieldDescriptor, key: &MapKey, value: &Value, indent: usize, out: &mut String) {
    let Kind::Message(entry) = field.kind() else { return };
    print_field(field, &Value::Message(map_entry(&entry, key, value)), indent, out);
}

fn print_scalar(kind: &Kind, value: &Value, out: &mut String) {
    match value {
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::I32(value) => out.push_str(&value.to_string()),
        Value::I64(value) => out.push_str(&value.to_string()),
        Value::U32(value) => out.push_str(&value.to_string()),
        Value::U64(value) => out.push_str(&value.to_string()),
        Value::F32(value) => out.push_str(&float32(*value)),
        Value::F64(value) => out.push_str(&float64(*value)),
        Value::String(value) => out.push_str(&quote(value)),
        Value::Bytes(value) => out.push_str(&quote_bytes(value)),
        Value::EnumNumber(number) => match kind.as_enum().and_then(|type_of| type_of.get_value(*number)) {
            Some(value) => out.push_str(value.name()),
            None => out.push_str(&number.to_string()),
        },
        Value::Message(_) | Value::List(_) | Value::Map(_) => {}
    }
}

/// A field's value as it stands behind its name: a number, a word, a string, or a block over several
/// lines.
pub(crate) fn value_text(kind: &Kind, value: &Value) -> String {
    match value {
        Value::Message(message) if message.fields().next().is_none() => "{ }".into(),
        Value::Message(message) => {
            let mut out = "{\n".into();
            print_fields(message, 2, &mut out);
            out + "}"
        }
        value => {
            let mut out = String::new();
            print_scalar(kind, value, &mut out);
            out
        }
    }
}

/// One entry of a map as the message that the text gives it as.
pub(crate) fn map_entry(entry: &MessageDescriptor, key: &MapKey, value: &Value) -> DynamicMessage {
    let mut message = DynamicMessage::new(entry.clone());
    message.set_field(&entry.map_entry_key_field(), Value::from(key.clone()));
    message.set_field(&entry.map_entry_value_field(), value.clone());
    message
}

/// A float with as few digits as keep it the same float, six of them tried first.
pub(crate) fn float32(value: f32) -> String {
    if !value.is_finite() {
        return float64(value.into());
    }
    // The nearest number of p digits; nine always suffice for 32 bits.
    let rounded = (5..9).find_map(|after_point| {
        let text = format!("{:.after_point$e}", f64::from(value));
        text.parse::<f64>().ok().filter(|rounded| *rounded as f32 == value)
    });
    float64(rounded.unwrap_or_else(|| f64::from(value)))
}

/// A number as Python's `repr` writes it: `2.0`, `0.0001`, `1e-08`, `1e+16`.
fn float64(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = format!("{value}");
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// A string in double quotes.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '"' => out.push_str("\\\""),
            '\'' => out.push_str("\\'"),
            '\\' => out.push_str("\\\\"),
            c if c.is_ascii_control() => out.push_str(&format!("\\{:03o}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn quote_bytes(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        let quoted = quote(chunk.valid());
        out.push_str(&quoted[1..quoted.len() - 1]);
        chunk.invalid().iter().for_each(|byte| out.push_str(&format!("\\{byte:03o}")));
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_as_python_prints_them() {
        let cases = [
            (0.004f32, "0.004"),
            (2.0, "2.0"),
            (1e-8, "1e-08"),
            (4e-5, "4e-05"),
            (0.0001, "0.0001"),
            (0.3333, "0.3333"),
            (16_777_216.0, "16777216.0"),
            (1e16, "1e+16"),
            (123_456_789.0, "123456790.0"),
            (0.0, "0.0"),
            (-2.19, "-2.19"),
            (f32::MAX, "3.4028235e+38"),
            (1.0e-45, "1.4013e-45"),
            (f32::INFINITY, "inf"),
            (f32::NEG_INFINITY, "-inf"),
            (f32::NAN, "nan"),
        ];
        for (value, text) in cases {
            assert_eq!(float32(value), text);
        }
    }

    #[test]
    fn strings_are_quoted() {
        assert_eq!(quote("a\n\"b\" 'c' \\ \u{1} é"), r#""a\n\"b\" \'c\' \\ \001 é""#);
        assert_eq!(quote_bytes(b"a\xff\""), r#""a\377\"""#);
    }
}
