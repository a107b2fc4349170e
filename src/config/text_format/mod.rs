//! Protobuf's text format, for every message of the schema: `model { ssd { num_classes: 3 } }`.
//!
//! The text is first read into a [`Document`], a tree that knows where each field stands
//! (`lexer.rs`, `syntax.rs`), and then bound to a message type (`bind.rs`). Two steps, because an
//! editor needs the places and the messages have none. What is accepted and what it means follow
//! TensorFlow's own reader, `google.protobuf.text_format.Merge` of Python: a field given twice
//! keeps its last value, a message given twice is merged, of a oneof the last member wins.
//!
//! `print.rs` writes what `MessageToString` writes, to the byte.
//!
//! Input may be hostile: text, fields and nesting are limited ([`MAX_BYTES`], [`MAX_FIELDS`],
//! [`MAX_DEPTH`]), and nothing recurses deeper than the limit.

pub(crate) mod bind;
mod lexer;
mod print;
mod syntax;

use boxwright_core::{Problem, Severity};
use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor};

pub use lexer::Span;
pub use print::print;
pub(crate) use print::{float32, map_entry, quote, value_text};
pub(crate) use syntax::shorten;
pub use syntax::{Block, Document, Field, FieldPath, List, PathStep, Scalar, Value};

use crate::proto;

/// The longest text that is parsed, in bytes.
pub const MAX_BYTES: usize = 16 << 20;
/// The most fields that a text may have.
pub const MAX_FIELDS: usize = 1_000_000;
/// How deep blocks may stand inside each other.
pub const MAX_DEPTH: usize = 100;

/// A place in a text, as people count: both from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// What is wrong with a text, as a stable word for scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TextErrorKind {
    /// The text does not follow the format.
    Syntax,
    /// A block or a string that does not end.
    Unclosed,
    /// The message has no such field.
    UnknownField,
    /// The enum has no such value.
    UnknownEnumValue,
    /// The value is of another type than the field.
    WrongType,
    /// The number does not fit the field.
    OutOfRange,
    /// Bytes that are not UTF-8.
    NotUtf8,
    /// Too long, too many fields or too deeply nested.
    TooLarge,
    /// Fields that are valid one by one but not together.
    Inconsistent,
}

impl TextErrorKind {
    /// The word.
    pub fn code(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::Unclosed => "unclosed",
            Self::UnknownField => "unknown-field",
            Self::UnknownEnumValue => "unknown-enum-value",
            Self::WrongType => "wrong-type",
            Self::OutOfRange => "out-of-range",
            Self::NotUtf8 => "not-utf-8",
            Self::TooLarge => "too-large",
            Self::Inconsistent => "inconsistent",
        }
    }
}

/// What is wrong with a text, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{}:{}: {message}{}{fix}", position.line, position.column, if fix.is_empty() { "" } else { "; " })]
pub struct TextError {
    /// The file, as it was named by the caller.
    pub file: String,
    /// Where the trouble starts.
    pub position: Position,
    /// What kind of trouble it is.
    pub kind: TextErrorKind,
    /// What is wrong.
    pub message: String,
    /// What to do; empty where the message says it.
    pub fix: String,
}

impl TextError {
    /// The error as a finding of `boxwright check`.
    pub fn to_problem(&self) -> Problem {
        Problem {
            severity: Severity::Error,
            code: self.kind.code().into(),
            file: self.file.clone(),
            place: self.position.to_string(),
            message: self.message.clone(),
            fix: self.fix.clone(),
        }
    }
}

/// Bytes as text: a byte order mark is dropped, anything that is not UTF-8 is an error at its place.
///
/// # Errors
/// The place of the first byte that is not UTF-8.
pub fn decode<'a>(bytes: &'a [u8], file: &str) -> Result<&'a str, TextError> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        TextError {
            file: file.into(),
            position: lexer::LineIndex::new(&before).position(&before, before.len()),
            kind: TextErrorKind::NotUtf8,
            message: format!("byte 0x{:02X} is not UTF-8", bytes[error.valid_up_to()]),
            fix: "save the file as UTF-8; if it is a binary file, choose another one".into(),
        }
    })
}

/// Parses a text as a message of the given type.
///
/// # Errors
/// The first thing in the text that is wrong.
pub fn parse_dynamic(descriptor: MessageDescriptor, text: &str, file: &str) -> Result<DynamicMessage, TextError> {
    let mut message = DynamicMessage::new(descriptor);
    merge_dynamic(&mut message, text, file)?;
    Ok(message)
}

/// Parses a text on top of a message, as `text_format.Merge` does.
///
/// # Errors
/// The first thing in the text that is wrong; the message is then partly changed.
pub fn merge_dynamic(message: &mut DynamicMessage, text: &str, file: &str) -> Result<(), TextError> {
    let (document, syntax_error) = Document::parse_partial(text, file);
    bind::bind(&document, message, syntax_error)
}

/// Parses a text as one of the schema's structs.
///
/// # Errors
/// The first thing in the text that is wrong.
pub fn parse<M: Message + Default + prost::Name>(text: &str, file: &str) -> Result<M, TextError> {
    Ok(parse_with_places(text, file)?.0)
}

/// Parses a text as one of the schema's structs, and keeps the tree that knows the places.
///
/// # Errors
/// The first thing in the text that is wrong.
pub fn parse_with_places<M>(text: &str, file: &str) -> Result<(M, Document), TextError>
where
    M: Message + Default + prost::Name,
{
    let (document, syntax_error) = Document::parse_partial(text, file);
    let mut message = DynamicMessage::new(proto::descriptor::<M>());
    bind::bind(&document, &mut message, syntax_error)?;
    let message = message.transcode_to().expect("struct and descriptor come from the same build");
    Ok((message, document))
}

/// Prints one of the schema's structs.
pub fn print_message<M: Message + Default + prost::Name>(message: &M) -> String {
    print(&dynamic(message))
}

/// One of the schema's structs as a message with descriptors.
pub fn dynamic<M: Message + prost::Name>(message: &M) -> DynamicMessage {
    let mut dynamic = DynamicMessage::new(proto::descriptor::<M>());
    dynamic.transcode_from(message).expect("struct and descriptor come from the same build");
    dynamic
}
