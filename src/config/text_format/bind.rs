//! A tree of fields into a message of a known type.

use prost_reflect::{DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value};

use super::lexer::Span;
use super::syntax::{self, Document, Field, Scalar, shorten};
use super::{TextError, TextErrorKind};
use boxwright_core::label_map::edit_distance;

/// Merges the document into the message. `syntax_error` is where the document ends early; the
/// error that comes first in the text is the one reported.
pub(super) fn bind(
    document: &Document,
    message: &mut DynamicMessage,
    syntax_error: Option<TextError>,
) -> Result<(), TextError> {
    let binder = Binder { document };
    binder.fields(document.fields(), message)?;
    match syntax_error {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

struct Binder<'a> {
    document: &'a Document,
}

impl Binder<'_> {
    fn fail<T>(
        &self,
        span: Span,
        kind: TextErrorKind,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> Result<T, TextError> {
        Err(self.document.error(span.start, kind, message, fix))
    }

    fn fields(&self, fields: &[Field], message: &mut DynamicMessage) -> Result<(), TextError> {
        let descriptor = prost_reflect::ReflectMessage::descriptor(message);
        for field in fields {
            let name = self.document.slice(field.name);
            let Some(known) = descriptor.get_field_by_name(name) else {
                return self.unknown_field(field, name, &descriptor);
            };
            self.field(field, &known, message)?;
        }
        Ok(())
    }

    fn unknown_field<T>(&self, field: &Field, name: &str, descriptor: &MessageDescriptor) -> Result<T, TextError> {
        if name.starts_with('[') {
            let message = format!("{} is an extension, and none are known", shorten(name));
            return self.fail(field.name, TextErrorKind::UnknownField, message, "delete it");
        }
        let message = format!("{} has no field `{}`", descriptor.name(), shorten(name));
        let names = descriptor.fields().map(|f| f.name().to_owned()).collect::<Vec<_>>();
        let fix = suggestion(name, &names).unwrap_or_else(|| "delete it, or move it to the block it belongs to".into());
        self.fail(field.name, TextErrorKind::UnknownField, message, fix)
    }

    fn field(&self, field: &Field, known: &FieldDescriptor, message: &mut DynamicMessage) -> Result<(), TextError> {
        let is_message = matches!(known.kind(), Kind::Message(_));
        if !is_message && !field.colon {
            let text = format!("`{}` takes a single value and not a block", known.name());
            let fix = format!("write `{}: value`", known.name());
            return self.fail(field.value.span(), TextErrorKind::WrongType, text, fix);
        }
        match &field.value {
            syntax::Value::List(list) if known.is_list() || known.is_map() => {
                for item in &list.items {
                    self.value(item, known, message)?;
                }
                Ok(())
            }
            syntax::Value::List(list) => {
                let text = format!("`{}` takes one value and not a list", known.name());
                self.fail(list.span, TextErrorKind::WrongType, text, "")
            }
            value => self.value(value, known, message),
        }
    }

    /// Adds one value to a field: appends, inserts, merges or replaces, as the field is.
    fn value(
        &self,
        value: &syntax::Value,
        known: &FieldDescriptor,
        message: &mut DynamicMessage,
    ) -> Result<(), TextError> {
        if let Kind::Message(type_of) = known.kind() {
            let syntax::Value::Block(block) = value else {
                let text = format!("`{}` is a block of settings and not a single value", known.name());
                let fix = format!("write `{} {{ … }}`", known.name());
                return self.fail(value.span(), TextErrorKind::WrongType, text, fix);
            };
            if known.is_map() {
                return self.map_entry(&block.fields, known, type_of, message);
            }
            if known.is_list() {
                let mut element = DynamicMessage::new(type_of);
                let result = self.fields(&block.fields, &mut element);
                if let Some(list) = message.get_field_mut(known).as_list_mut() {
                    list.push(Value::Message(element));
                }
                return result;
            }
            return match message.get_field_mut(known).as_message_mut() {
                Some(inner) => self.fields(&block.fields, inner),
                None => Ok(()),
            };
        }
        let syntax::Value::Scalar(scalar) = value else {
            let text = format!("`{}` takes a single value and not a block", known.name());
            return self.fail(value.span(), TextErrorKind::WrongType, text, format!("write `{}: value`", known.name()));
        };
        let value = self.scalar(scalar, known)?;
        if known.is_list() {
            if let Some(list) = message.get_field_mut(known).as_list_mut() {
                list.push(value);
            }
        } else {
            message.set_field(known, value);
        }
        Ok(())
    }

    fn map_entry(
        &self,
        fields: &[Field],
        known: &FieldDescriptor,
        type_of: MessageDescriptor,
        message: &mut DynamicMessage,
    ) -> Result<(), TextError> {
        let (key, value) = (type_of.map_entry_key_field(), type_of.map_entry_value_field());
        let mut entry = DynamicMessage::new(type_of);
        self.fields(fields, &mut entry)?;
        let key = entry.get_field(&key).into_owned().into_map_key();
        let value = entry.get_field(&value).into_owned();
        if let (Some(key), Some(map)) = (key, message.get_field_mut(known).as_map_mut()) {
            map.insert(key, value);
        }
        Ok(())
    }

    fn scalar(&self, scalar: &Scalar, known: &FieldDescriptor) -> Result<Value, TextError> {
        let kind = known.kind();
        match kind {
            Kind::String => return self.string(scalar, known).map(Value::String),
            Kind::Bytes => return self.bytes(scalar, known).map(|bytes| Value::Bytes(bytes.into())),
            _ => {}
        }
        let text = self.document.slice(scalar.span);
        if scalar.quoted {
            let message = format!("`{}` is {} and not a string", known.name(), kind_name(&kind));
            return self.fail(scalar.span, TextErrorKind::WrongType, message, "remove the quotes");
        }
        match kind {
            Kind::Bool => match text {
                "true" | "True" | "t" | "1" => Ok(Value::Bool(true)),
                "false" | "False" | "f" | "0" => Ok(Value::Bool(false)),
                _ => self.wrong_type(scalar, known, &kind, "write true or false"),
            },
            Kind::Enum(type_of) => self.enumeration(scalar, text, &type_of),
            Kind::Float | Kind::Double => match parse_float(text) {
                Some(value) if matches!(kind, Kind::Float) => Ok(Value::F32(value as f32)),
                Some(value) => Ok(Value::F64(value)),
                None => self.wrong_type(scalar, known, &kind, "write a number like 0.004 or 1e-8"),
            },
            _ => {
                let Some(number) = parse_integer(text) else {
                    return self.wrong_type(scalar, known, &kind, "write a whole number");
                };
                integer_value(number, &kind).map_or_else(
                    |range| {
                        let message = format!("{} does not fit `{}`", shorten(text), known.name());
                        self.fail(scalar.span, TextErrorKind::OutOfRange, message, range)
                    },
                    Ok,
                )
            }
        }
    }

    fn wrong_type<T>(&self, scalar: &Scalar, known: &FieldDescriptor, kind: &Kind, fix: &str) -> Result<T, TextError> {
        let text = shorten(self.document.slice(scalar.span));
        let message = format!("`{}` is {} and `{text}` is not", known.name(), kind_name(kind));
        self.fail(scalar.span, TextErrorKind::WrongType, message, fix)
    }

    fn enumeration(&self, scalar: &Scalar, text: &str, type_of: &EnumDescriptor) -> Result<Value, TextError> {
        let value = match parse_integer(text) {
            Some(number) => i32::try_from(number).ok().and_then(|number| type_of.get_value(number)),
            None => type_of.get_value_by_name(text),
        };
        if let Some(value) = value {
            return Ok(Value::EnumNumber(value.number()));
        }
        let names = type_of.values().map(|v| v.name().to_owned()).collect::<Vec<_>>();
        let message = format!("{} has no value `{}`", type_of.name(), shorten(text));
        let fix = suggestion(text, &names).unwrap_or_else(|| format!("write one of {}", names.join(", ")));
        self.fail(scalar.span, TextErrorKind::UnknownEnumValue, message, fix)
    }

    fn string(&self, scalar: &Scalar, known: &FieldDescriptor) -> Result<String, TextError> {
        String::from_utf8(self.bytes(scalar, known)?).or_else(|_| {
            let message = format!("the escapes in `{}` do not make UTF-8 text", known.name());
            self.fail(scalar.span, TextErrorKind::NotUtf8, message, "write the characters themselves")
        })
    }

    fn bytes(&self, scalar: &Scalar, known: &FieldDescriptor) -> Result<Vec<u8>, TextError> {
        if !scalar.quoted {
            let text = shorten(self.document.slice(scalar.span));
            let message = format!("`{}` is a string and `{text}` has no quotes", known.name());
            return self.fail(scalar.span, TextErrorKind::WrongType, message, format!("write \"{text}\""));
        }
        let mut bytes = Vec::with_capacity(scalar.span.end - scalar.span.start);
        for part in &scalar.parts {
            let inner = Span { start: part.start + 1, end: part.end - 1 };
            unescape(self.document.slice(inner), &mut bytes).or_else(|offset| {
                let at = Span { start: inner.start + offset, end: inner.end };
                self.fail(at, TextErrorKind::Syntax, "this escape is not one", "write \\\\ for a backslash")
            })?;
        }
        Ok(bytes)
    }
}

/// What a kind of value is, with its article.
fn kind_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Bool => "true or false",
        Kind::Float | Kind::Double => "a number",
        Kind::String => "a string",
        Kind::Bytes => "a string of bytes",
        Kind::Enum(_) => "a word from a list",
        Kind::Message(_) => "a block",
        Kind::Uint32 | Kind::Uint64 | Kind::Fixed32 | Kind::Fixed64 => "a whole number from 0",
        _ => "a whole number",
    }
}

/// "did you mean", if any name is near.
pub(crate) fn suggestion(name: &str, names: &[String]) -> Option<String> {
    if name.len() > 100 {
        return None;
    }
    let lower = name.to_lowercase();
    let distance = |candidate: &str| {
        let candidate = candidate.to_lowercase();
        // Letters in the wrong order are one slip of the finger.
        if sorted(&lower) == sorted(&candidate) {
            usize::from(lower != candidate)
        } else {
            edit_distance(&lower, &candidate)
        }
    };
    let (distance, candidate) = names.iter().map(|candidate| (distance(candidate), candidate)).min()?;
    (distance <= candidate.chars().count().max(3) / 3).then(|| format!("did you mean `{candidate}`?"))
}

fn sorted(text: &str) -> Vec<char> {
    let mut chars: Vec<char> = text.chars().collect();
    chars.sort_unstable();
    chars
}

/// Whole numbers as C and Python write them: decimal, `0x`, `0o`, `0b`, and octal from a leading 0.
fn parse_integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_str() {
        hex if hex.starts_with("0x") => (16, &hex[2..]),
        octal if octal.starts_with("0o") => (8, &octal[2..]),
        binary if binary.starts_with("0b") => (2, &binary[2..]),
        octal if octal.len() > 1 && octal.starts_with('0') => (8, &octal[1..]),
        decimal => (10, decimal),
    };
    if digits.is_empty() || !digits.bytes().all(|b| char::from(b).is_digit(radix)) {
        return None;
    }
    // More digits than any field holds saturate, and are out of range then.
    let magnitude = i128::from_str_radix(digits, radix).unwrap_or(i128::MAX);
    Some(if negative { -magnitude } else { magnitude })
}

/// A whole number as the field's type, or the range that it should be in.
fn integer_value(number: i128, kind: &Kind) -> Result<Value, String> {
    fn fit<T: TryFrom<i128>>(number: i128, value: fn(T) -> Value, least: i128, most: i128) -> Result<Value, String> {
        T::try_from(number).map(value).map_err(|_| format!("write a number from {least} to {most}"))
    }
    match kind {
        Kind::Uint32 | Kind::Fixed32 => fit(number, Value::U32, 0, u32::MAX.into()),
        Kind::Uint64 | Kind::Fixed64 => fit(number, Value::U64, 0, u64::MAX.into()),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => fit(number, Value::I64, i64::MIN.into(), i64::MAX.into()),
        _ => fit(number, Value::I32, i32::MIN.into(), i32::MAX.into()),
    }
}

/// Numbers as Python's text format reads them: decimal, with an `f` at the end if one likes, `inf`
/// and `nan`; not hexadecimal, and not with a leading zero before another digit.
fn parse_float(text: &str) -> Option<f64> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    match digits.to_ascii_lowercase().as_str() {
        "inf" | "inff" | "infinity" | "infinityf" => return Some(sign * f64::INFINITY),
        "nan" | "nanf" => return Some(f64::NAN),
        _ => {}
    }
    let bytes = digits.as_bytes();
    if bytes.first() == Some(&b'0') && bytes.get(1).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let digits = digits.trim_end_matches('f');
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    digits.parse::<f64>().ok().map(|value| sign * value)
}

/// The bytes of a string's inside, its escapes resolved; or the offset of an escape that is none.
fn unescape(text: &str, out: &mut Vec<u8>) -> Result<(), usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            out.push(bytes[at]);
            at += 1;
            continue;
        }
        let escape = at;
        let c = *bytes.get(at + 1).ok_or(escape)?;
        at += 2;
        let mut digits = |radix: u32, most: usize| {
            let count = bytes[at..].iter().take(most).take_while(|b| char::from(**b).is_digit(radix)).count();
            let value = u32::from_str_radix(&text[at..at + count], radix).ok();
            at += count;
            (count, value)
        };
        match c {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'a' => out.push(0x07),
            b'b' => out.push(0x08),
            b'f' => out.push(0x0C),
            b'v' => out.push(0x0B),
            b'\\' | b'\'' | b'"' | b'?' => out.push(c),
            b'x' | b'X' => {
                let byte = digits(16, 2).1.and_then(|value| u8::try_from(value).ok()).ok_or(escape)?;
                out.push(byte);
            }
            b'0'..=b'7' => {
                let value = u32::from(c - b'0');
                let (count, rest) = digits(8, 2);
                let value = value * 8u32.pow(count as u32) + rest.unwrap_or(0);
                out.push(u8::try_from(value).map_err(|_| escape)?);
            }
            b'u' | b'U' => {
                let wanted = if c == b'u' { 4 } else { 8 };
                let (count, value) = digits(16, wanted);
                let character = value.filter(|_| count == wanted).and_then(char::from_u32).ok_or(escape)?;
                out.extend(character.encode_utf8(&mut [0; 4]).bytes());
            }
            _ => return Err(escape),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_of_every_base() {
        let cases = [("0", 0), ("-5", -5), ("+7", 7), ("0x10", 16), ("010", 8), ("0b101", 5), ("0O17", 15)];
        for (text, number) in cases {
            assert_eq!(parse_integer(text), Some(number), "{text}");
        }
        for text in ["", "-", "0x", "08", "1_0", "1.0", "five", "--1", "0x1g"] {
            assert_eq!(parse_integer(text), None, "{text}");
        }
        assert_eq!(parse_integer(&"9".repeat(1000)), Some(i128::MAX));
    }

    #[test]
    fn numbers_as_python_reads_them() {
        let cases = [
            ("2f", 2.0),
            (".5", 0.5),
            ("1.", 1.0),
            ("-1e-8", -1e-8),
            ("inf", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
        ];
        for (text, number) in cases {
            assert_eq!(parse_float(text), Some(number), "{text}");
        }
        assert!(parse_float("nan").is_some_and(f64::is_nan));
        for text in ["1e", "0x10", "01.5", "1_0", "", "-", "f", "e5", "1.2.3", "infinit"] {
            assert_eq!(parse_float(text), None, "{text}");
        }
    }

    #[test]
    fn escapes() {
        let cases: [(&str, &[u8]); 5] = [
            (r"a\n\t\\\'", b"a\n\t\\'"),
            (r"\x41\101\0", b"AA\0"),
            (r"\u00e9", "é".as_bytes()),
            (r"\xff", b"\xff"),
            (r"\1234", b"S4"),
        ];
        for (text, expected) in cases {
            let mut bytes = Vec::new();
            assert_eq!(unescape(text, &mut bytes), Ok(()), "{text}");
            assert_eq!(bytes, expected, "{text}");
        }
        for (text, offset) in [(r"ab\q", 2), (r"\", 0), (r"\xg", 0), (r"x\777", 1), (r"\uD800", 0), (r"\u12", 0)] {
            assert_eq!(unescape(text, &mut Vec::new()), Err(offset), "{text}");
        }
    }
}
