//! Tokens into a tree of fields, each with its place in the text, before any message type is known.

use super::lexer::{Lexer, LineIndex, Span, Token, TokenKind};
use super::{MAX_BYTES, MAX_DEPTH, MAX_FIELDS, Position, TextError, TextErrorKind};
use crate::error::ConfigError;

/// A text in protobuf's text format: its fields and where they stand.
#[derive(Clone, Debug)]
pub struct Document {
    file: String,
    text: String,
    fields: Vec<Field>,
    lines: LineIndex,
}

/// One `name: value` or `name { … }`.
#[derive(Clone, Debug)]
pub struct Field {
    /// The name; for an extension with its brackets.
    pub name: Span,
    /// Whether a colon stands between name and value.
    pub colon: bool,
    /// The value.
    pub value: Value,
}

/// What stands after a field's name.
#[derive(Clone, Debug)]
pub enum Value {
    /// A number, a word or a string.
    Scalar(Scalar),
    /// `{ … }` or `< … >`.
    Block(Block),
    /// `[ …, … ]`.
    List(List),
}

/// A number, a word, or one or more strings that belong together.
#[derive(Clone, Debug)]
pub struct Scalar {
    /// All of it.
    pub span: Span,
    /// Its tokens: one, or as many as there are adjacent strings.
    pub parts: Vec<Span>,
    /// Whether it is made of quoted strings.
    pub quoted: bool,
}

/// The fields between two braces.
#[derive(Clone, Debug)]
pub struct Block {
    /// From the opening to the closing brace.
    pub span: Span,
    /// The fields.
    pub fields: Vec<Field>,
}

/// The values between two brackets.
#[derive(Clone, Debug)]
pub struct List {
    /// From the opening to the closing bracket.
    pub span: Span,
    /// The values.
    pub items: Vec<Value>,
}

impl Value {
    /// Where the value stands.
    pub fn span(&self) -> Span {
        match self {
            Self::Scalar(scalar) => scalar.span,
            Self::Block(block) => block.span,
            Self::List(list) => list.span,
        }
    }
}

impl Field {
    /// From the first byte of the name to the last of the value.
    pub fn span(&self) -> Span {
        Span { start: self.name.start, end: self.value.span().end }
    }
}

impl Document {
    /// Reads a text whose message type does not matter yet.
    ///
    /// # Errors
    /// The first place where the text does not follow the format.
    pub fn parse(text: &str, file: &str) -> Result<Self, TextError> {
        match Self::parse_partial(text, file) {
            (document, None) => Ok(document),
            (_, Some(error)) => Err(error),
        }
    }

    /// Reads as far as the text follows the format; the fields before the error are there, so that
    /// an earlier mistake in them can be reported first.
    pub(super) fn parse_partial(text: &str, file: &str) -> (Self, Option<TextError>) {
        let mut document = Self { file: file.into(), text: text.into(), fields: Vec::new(), lines: LineIndex::new("") };
        if text.len() > MAX_BYTES {
            let message = format!("{} bytes is more than the {MAX_BYTES} that are read", text.len());
            let error = document.error(0, TextErrorKind::TooLarge, message, "is it the right file?");
            return (document, Some(error));
        }
        document.lines = LineIndex::new(text);
        let mut parser = Parser::new(&document);
        let mut fields = Vec::new();
        let result = parser.fields(&mut fields, None, 0);
        document.fields = fields;
        (document, result.err())
    }

    /// The name of the file, as the caller gave it.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The fields that stand in no block.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The line and column of a byte.
    pub fn position(&self, offset: usize) -> Position {
        self.lines.position(&self.text, offset)
    }

    /// The text of a span.
    pub fn slice(&self, span: Span) -> &str {
        span.of(&self.text)
    }

    /// The field at a path and its value, if the text has it. Of a field that is given several times
    /// and has no index in the path, it is the last, whose value counts. The value is an element
    /// where the field is a `[ … ]` list.
    pub fn find(&self, path: &FieldPath) -> Option<(&Field, &Value)> {
        self.find_all(path).pop()
    }

    /// Every occurrence of a path in the order of the text. Blocks of one name are merged, so an
    /// index counts over all of them.
    pub(crate) fn find_all<'a>(&'a self, path: &FieldPath) -> Vec<(&'a Field, &'a Value)> {
        let mut blocks: Vec<&'a [Field]> = vec![&self.fields];
        let mut seen = Vec::new();
        for step in &path.steps {
            seen = blocks.iter().flat_map(|fields| self.named(fields, &step.name)).collect();
            if let Some(index) = step.index {
                seen = seen.into_iter().skip(index).take(1).collect();
            }
            let block_of = |(_, value): &(&'a Field, &'a Value)| match value {
                Value::Block(block) => Some(block.fields.as_slice()),
                Value::Scalar(_) | Value::List(_) => None,
            };
            blocks = seen.iter().filter_map(block_of).collect();
        }
        seen
    }

    /// Every occurrence of a name, lists spread out.
    pub(crate) fn named<'a>(&self, fields: &'a [Field], name: &str) -> Vec<(&'a Field, &'a Value)> {
        let mut seen = Vec::new();
        for field in fields.iter().filter(|field| self.slice(field.name) == name) {
            match &field.value {
                Value::List(list) => seen.extend(list.items.iter().map(|item| (field, item))),
                value => seen.push((field, value)),
            }
        }
        seen
    }

    /// An error at a byte of this document.
    pub(crate) fn error(
        &self,
        offset: usize,
        kind: TextErrorKind,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> TextError {
        TextError {
            file: self.file.clone(),
            position: self.position(offset),
            kind,
            message: message.into(),
            fix: fix.into(),
        }
    }
}

/// Reads the fields of one document.
struct Parser<'a> {
    document: &'a Document,
    lexer: Lexer<'a>,
    token: Token,
    /// The token before, where TensorFlow reports a missing brace.
    previous: Span,
    count: usize,
}

impl<'a> Parser<'a> {
    fn new(document: &'a Document) -> Self {
        let mut lexer = Lexer::new(&document.text);
        let token = lexer.next();
        Self { document, lexer, token, previous: Span { start: 0, end: 0 }, count: 0 }
    }

    fn advance(&mut self) -> Token {
        let token = self.token;
        self.previous = token.span;
        self.token = self.lexer.next();
        token
    }

    fn fail<T>(&self, message: impl Into<String>, fix: impl Into<String>) -> Result<T, TextError> {
        Err(self.document.error(self.token.span.start, TextErrorKind::Syntax, message, fix))
    }

    /// The token at hand in words.
    fn found(&self) -> String {
        match self.token.kind {
            TokenKind::End => "the file ends".into(),
            _ => format!("there is `{}`", shorten(self.document.slice(self.token.span))),
        }
    }

    /// Fields up to the closing brace of `block`, or to the end of the text. What was read before
    /// an error is left in `fields`.
    fn fields(&mut self, fields: &mut Vec<Field>, block: Option<(Span, char)>, depth: usize) -> Result<(), TextError> {
        loop {
            match (self.token.kind, block) {
                (TokenKind::End, None) => return Ok(()),
                (TokenKind::End, Some((open, close))) => return Err(self.unclosed(open, close)),
                (TokenKind::Symbol(c), Some((_, close))) if c == close => return Ok(()),
                (TokenKind::Symbol('}' | '>'), _) => {
                    return self
                        .fail(format!("{}, but no block is open that it could close", self.found()), "delete it");
                }
                _ => self.field(fields, depth)?,
            }
        }
    }

    fn unclosed(&self, open: Span, close: char) -> TextError {
        let opened = self.document.position(open.start);
        let message = format!("the block that was opened at {opened} is not closed");
        self.document.error(self.previous.start, TextErrorKind::Unclosed, message, format!("add a `{close}`"))
    }

    fn field(&mut self, fields: &mut Vec<Field>, depth: usize) -> Result<(), TextError> {
        self.count += 1;
        if self.count > MAX_FIELDS {
            let message = format!("the text has more than {MAX_FIELDS} fields");
            return Err(self.document.error(
                self.token.span.start,
                TextErrorKind::TooLarge,
                message,
                "is it the right file?",
            ));
        }
        let name = match self.token.kind {
            TokenKind::Identifier => self.advance().span,
            TokenKind::Symbol('[') => self.extension_name()?,
            _ => return self.fail(format!("expected the name of a field, but {}", self.found()), ""),
        };
        let colon = self.token.kind == TokenKind::Symbol(':');
        if colon {
            self.advance();
        } else if !matches!(self.token.kind, TokenKind::Symbol('{' | '<' | '[')) {
            let name = self.document.slice(name);
            let found = self.found();
            // Put first what is there, so that a misspelt name is reported before the missing colon.
            return self.fail(
                format!("expected `:` or `{{` after `{}`, but {found}", shorten(name)),
                "write `name: value` or `name { … }`",
            );
        }
        // A block enters the tree before its fields are read, so that it is there when one fails.
        if let TokenKind::Symbol(open @ ('{' | '<')) = self.token.kind {
            let span = self.token.span;
            fields.push(Field { name, colon, value: Value::Block(Block { span, fields: Vec::new() }) });
            let mut inner = Vec::new();
            let result = self.block(open, &mut inner, depth);
            if let Some(Field { value: Value::Block(block), .. }) = fields.last_mut() {
                block.fields = inner;
                block.span.end = self.previous.end;
            }
            result?;
        } else {
            let value = self.value(depth)?;
            fields.push(Field { name, colon, value });
        }
        if matches!(self.token.kind, TokenKind::Symbol(',' | ';')) {
            self.advance();
        }
        Ok(())
    }

    /// `{ fields }`, the opening brace being at hand.
    fn block(&mut self, open: char, inner: &mut Vec<Field>, depth: usize) -> Result<(), TextError> {
        if depth + 1 > MAX_DEPTH {
            let message = format!("blocks stand more than {MAX_DEPTH} deep inside each other");
            return Err(self.document.error(self.token.span.start, TextErrorKind::TooLarge, message, ""));
        }
        let close = if open == '{' { '}' } else { '>' };
        let open = self.advance().span;
        self.fields(inner, Some((open, close)), depth + 1)?;
        self.advance();
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Value, TextError> {
        match self.token.kind {
            TokenKind::Identifier | TokenKind::Number => {
                let span = self.advance().span;
                Ok(Value::Scalar(Scalar { span, parts: vec![span], quoted: false }))
            }
            TokenKind::String => {
                let mut parts = vec![self.advance().span];
                while self.token.kind == TokenKind::String {
                    parts.push(self.advance().span);
                }
                if self.token.kind == TokenKind::OpenString {
                    return self.open_string();
                }
                let span = Span { start: parts[0].start, end: self.previous.end };
                Ok(Value::Scalar(Scalar { span, parts, quoted: true }))
            }
            TokenKind::OpenString => self.open_string(),
            TokenKind::Symbol(open @ ('{' | '<')) => {
                let start = self.token.span.start;
                let mut fields = Vec::new();
                self.block(open, &mut fields, depth)?;
                Ok(Value::Block(Block { span: Span { start, end: self.previous.end }, fields }))
            }
            TokenKind::Symbol('[') => self.list(depth),
            _ => self.fail(format!("expected a value, but {}", self.found()), ""),
        }
    }

    fn open_string<T>(&self) -> Result<T, TextError> {
        let quote = &self.document.slice(self.token.span)[..1];
        let message = format!("the string has no closing {quote} on its line");
        Err(self.document.error(self.token.span.start, TextErrorKind::Unclosed, message, format!("add a {quote}")))
    }

    fn list(&mut self, depth: usize) -> Result<Value, TextError> {
        let open = self.advance().span;
        let mut items = Vec::new();
        if self.token.kind != TokenKind::Symbol(']') {
            loop {
                if self.token.kind == TokenKind::Symbol('[') {
                    return self.fail("a list cannot stand inside a list", "");
                }
                self.count += 1;
                if self.count > MAX_FIELDS {
                    return self.fail(format!("the text has more than {MAX_FIELDS} values"), "is it the right file?");
                }
                items.push(self.value(depth)?);
                match self.token.kind {
                    TokenKind::Symbol(',') => self.advance(),
                    TokenKind::Symbol(']') => break,
                    TokenKind::End => return Err(self.unclosed(open, ']')),
                    _ => return self.fail(format!("expected `,` or `]` in the list, but {}", self.found()), ""),
                };
            }
        }
        let end = self.advance().span.end;
        Ok(Value::List(List { span: Span { start: open.start, end }, items }))
    }

    /// `[package.extension]` in the place of a name.
    fn extension_name(&mut self) -> Result<Span, TextError> {
        let open = self.advance().span;
        while self.token.kind != TokenKind::Symbol(']') {
            match self.token.kind {
                TokenKind::Identifier | TokenKind::Number | TokenKind::Symbol('.' | '/') => self.advance(),
                _ => return self.fail(format!("expected `]` after the extension's name, but {}", self.found()), ""),
            };
        }
        let end = self.advance().span.end;
        Ok(Span { start: open.start, end })
    }
}

/// The beginning of a piece of text, for a message.
pub(crate) fn shorten(text: &str) -> String {
    const MOST: usize = 40;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

/// The names that lead to a field, like `train_config.data_augmentation_options[1].random_crop_image`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldPath {
    /// The steps, from the outermost block.
    pub steps: Vec<PathStep>,
}

/// One name in a path, and which of several occurrences is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathStep {
    /// The field's name.
    pub name: String,
    /// The occurrence from 0; none means the last.
    pub index: Option<usize>,
}

impl FieldPath {
    /// The path without its last step.
    pub fn parent(&self) -> Option<Self> {
        (self.steps.len() > 1).then(|| Self { steps: self.steps[..self.steps.len() - 1].to_vec() })
    }
}

impl std::str::FromStr for FieldPath {
    type Err = ConfigError;

    fn from_str(path: &str) -> Result<Self, ConfigError> {
        let wrong = |reason: &str| ConfigError::FieldPath { path: path.into(), reason: reason.into() };
        let step = |step: &str| {
            let (name, index) = match step.split_once('[') {
                None => (step, None),
                Some((name, rest)) => {
                    let index = rest.strip_suffix(']').ok_or_else(|| wrong("a `[` has no `]`"))?;
                    (name, Some(index.parse().map_err(|_| wrong("an index must be a number from 0"))?))
                }
            };
            if name.is_empty() {
                return Err(wrong("a name is empty; write names separated by dots"));
            }
            Ok(PathStep { name: name.into(), index })
        };
        Ok(Self { steps: path.split('.').map(step).collect::<Result<_, _>>()? })
    }
}

impl std::fmt::Display for FieldPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, step) in self.steps.iter().enumerate() {
            let dot = if i == 0 { "" } else { "." };
            match step.index {
                Some(index) => write!(f, "{dot}{}[{index}]", step.name)?,
                None => write!(f, "{dot}{}", step.name)?,
            }
        }
        Ok(())
    }
}
