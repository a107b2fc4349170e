//! Text into tokens, each with its bytes; and bytes into lines and columns.

use super::Position;

/// Bytes of the text, from `start` up to but without `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The text of the span.
    pub fn of(self, text: &str) -> &str {
        &text[self.start..self.end]
    }
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A name, or a value like `true` and `RELU_6`.
    Identifier,
    /// Starts like a number; whether it is one, the field's type decides.
    Number,
    /// A quoted string with its quotes.
    String,
    /// A string whose closing quote is missing on its line.
    OpenString,
    /// Any other character.
    Symbol(char),
    /// The end of the text.
    End,
}

/// A token and its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) span: Span,
}

/// Reads one token after the other. White space and comments from `#` to the end of the line lie
/// between tokens.
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn next(&mut self) -> Token {
        self.skip_space();
        let rest = &self.text[self.at..];
        let mut chars = rest.chars();
        let Some(first) = chars.next() else {
            return self.token(TokenKind::End, 0);
        };
        let second = chars.next();
        match first {
            'a'..='z' | 'A'..='Z' | '_' => self.token(TokenKind::Identifier, length(rest, false)),
            '0'..='9' | '+' | '-' => self.token(TokenKind::Number, length(rest, true)),
            '.' if second.is_some_and(|c| c.is_ascii_digit()) => self.token(TokenKind::Number, length(rest, true)),
            '"' | '\'' => self.string(first),
            _ => self.token(TokenKind::Symbol(first), first.len_utf8()),
        }
    }

    fn token(&mut self, kind: TokenKind, length: usize) -> Token {
        let start = self.at;
        self.at += length;
        Token { kind, span: Span { start, end: self.at } }
    }

    fn skip_space(&mut self) {
        loop {
            let rest = self.text[self.at..].trim_start();
            self.at = self.text.len() - rest.len();
            if !rest.starts_with('#') {
                return;
            }
            self.at += rest.find('\n').unwrap_or(rest.len());
        }
    }

    fn string(&mut self, quote: char) -> Token {
        let rest = &self.text[self.at..];
        let mut escaped = false;
        for (offset, c) in rest.char_indices().skip(1) {
            match c {
                '\n' => return self.token(TokenKind::OpenString, offset),
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                _ if c == quote => return self.token(TokenKind::String, offset + 1),
                _ => {}
            }
        }
        self.token(TokenKind::OpenString, rest.len())
    }
}

/// How many bytes of `rest` belong to the identifier or number that it starts with.
fn length(rest: &str, number: bool) -> usize {
    rest.bytes()
        .position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'_' | b'+' | b'-') || (number && b == b'.')))
        .unwrap_or(rest.len())
}

/// Where the lines of a text start.
#[derive(Clone, Debug)]
pub(super) struct LineIndex {
    starts: Vec<usize>,
}

impl LineIndex {
    pub(super) fn new(text: &str) -> Self {
        let starts =
            std::iter::once(0).chain(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1));
        Self { starts: starts.collect() }
    }

    pub(super) fn position(&self, text: &str, offset: usize) -> Position {
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts[line - 1];
        let column = text.get(start..offset).map_or(0, |before| before.chars().count()) + 1;
        Position { line, column }
    }
}
