//! Protobuf's text format as an editor sees it: colours, and which field the cursor is in.
//!
//! This is no parser. It never fails, whatever half-written text it is given; what is wrong with a
//! text is said by the check of the session.

use std::ops::Range;

use egui::text::{LayoutJob, TextFormat};
use egui::{Color32, FontId};

use crate::theme::Theme;

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// A field's name: a word before `:`, `{`, `<` or `[`.
    Name,
    /// Quoted text.
    String,
    /// A number.
    Number,
    /// Any other word: an enum value, `true`, `false`.
    Word,
    /// From `#` to the end of the line.
    Comment,
    /// A bracket that opens a message.
    Open,
    /// A bracket that closes one.
    Close,
    /// Blanks, colons, commas.
    Other,
}

/// Cuts a text into tokens that cover it without a gap.
pub fn tokens(text: &str) -> Vec<(Token, Range<usize>)> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let token = match bytes[at] {
            b'#' => {
                at = text[at..].find('\n').map_or(bytes.len(), |i| at + i);
                Token::Comment
            }
            quote @ (b'"' | b'\'') => {
                at += 1;
                while at < bytes.len() && bytes[at] != quote && bytes[at] != b'\n' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at = (at + 1).min(bytes.len());
                Token::String
            }
            b'{' | b'<' => {
                at += 1;
                Token::Open
            }
            b'}' | b'>' => {
                at += 1;
                Token::Close
            }
            b'0'..=b'9' | b'-' | b'+' | b'.' => {
                at = end_of(bytes, at + 1, |b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+'));
                Token::Number
            }
            b if b.is_ascii_alphabetic() || b == b'_' => {
                at = end_of(bytes, at, |b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'));
                let next = end_of(bytes, at, |b| b == b' ' || b == b'\t');
                match bytes.get(next) {
                    Some(b':' | b'{' | b'<') => Token::Name,
                    _ => Token::Word,
                }
            }
            _ => {
                at = end_of(bytes, at + 1, |b| {
                    !b.is_ascii_alphanumeric()
                        && !matches!(b, b'#' | b'"' | b'\'' | b'{' | b'}' | b'<' | b'>' | b'-' | b'+' | b'.' | b'_')
                });
                Token::Other
            }
        };
        // A backslash before a letter of several bytes may end inside it.
        while !text.is_char_boundary(at) {
            at += 1;
        }
        found.push((token, start..at));
    }
    found
}

fn end_of(bytes: &[u8], from: usize, is_part: impl Fn(u8) -> bool) -> usize {
    bytes[from..].iter().position(|b| !is_part(*b)).map_or(bytes.len(), |i| from + i)
}

/// The path of the field at a place of the text, like `train_config.batch_size`.
pub fn field_path_at(text: &str, byte: usize) -> Option<String> {
    let mut stack: Vec<&str> = Vec::new();
    let mut last: Option<(&str, usize)> = None;
    for (token, range) in tokens(text) {
        if range.start > byte {
            break;
        }
        match token {
            Token::Name => last = Some((&text[range.clone()], line_start(text, range.start))),
            Token::Open => stack.extend(last.take().map(|(name, _)| name)),
            Token::Close => {
                stack.pop();
                last = None;
            }
            _ => {}
        }
    }
    // A field on an earlier line is over; one on this line is what the cursor is in.
    let here = last.filter(|(_, line)| *line == line_start(text, byte.min(text.len()))).map(|(name, _)| name);
    let path: Vec<&str> = stack.into_iter().chain(here).collect();
    (!path.is_empty()).then(|| path.join("."))
}

fn line_start(text: &str, byte: usize) -> usize {
    text.get(..byte).and_then(|head| head.rfind('\n')).map_or(0, |i| i + 1)
}

/// The text with its colours, unwrapped.
pub fn highlight(text: &str, font: &FontId, theme: &Theme) -> LayoutJob {
    let color = |token| -> Color32 {
        match token {
            Token::Name => theme.code.name,
            Token::String => theme.code.string,
            Token::Number => theme.code.number,
            Token::Word => theme.code.word,
            Token::Comment => theme.code.comment,
            Token::Open | Token::Close | Token::Other => theme.text,
        }
    };
    let mut job = LayoutJob::default();
    job.wrap.max_width = f32::INFINITY;
    for (token, range) in tokens(text) {
        job.append(&text[range], 0.0, TextFormat::simple(font.clone(), color(token)));
    }
    if text.is_empty() {
        job.append("", 0.0, TextFormat::simple(font.clone(), theme.text));
    }
    job
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# a comment\nmodel {\n  ssd {\n    num_classes: 3\n    type: 'x'\n    flag: true\n  }\n}\n";

    fn kind(text: &str, part: &str) -> Token {
        let at = text.find(part).expect("the part");
        tokens(text).into_iter().find(|(_, r)| r.contains(&at)).expect("a token").0
    }

    #[test]
    fn tokens_have_their_kinds() {
        assert_eq!(kind(TEXT, "# a"), Token::Comment);
        assert_eq!(kind(TEXT, "model"), Token::Name);
        assert_eq!(kind(TEXT, "3"), Token::Number);
        assert_eq!(kind(TEXT, "'x'"), Token::String);
        assert_eq!(kind(TEXT, "true"), Token::Word);
    }

    #[test]
    fn tokens_cover_any_text_without_a_gap() {
        for text in ["", "\\", "\"\\é", "'", "é: \"", "a{b:-1e-3 <c>}", "x: \"\\", "…#\n\"ü\\ü", TEXT] {
            let mut at = 0;
            for (_, range) in tokens(text) {
                assert_eq!(range.start, at, "{text:?}");
                assert!(range.end > range.start);
                at = range.end;
            }
            assert_eq!(at, text.len(), "{text:?}");
        }
    }

    #[test]
    fn the_cursor_knows_its_field() {
        let at = |part: &str| field_path_at(TEXT, TEXT.find(part).expect("the part"));
        assert_eq!(at("3\n").as_deref(), Some("model.ssd.num_classes"));
        assert_eq!(at("'x'").as_deref(), Some("model.ssd.type"));
        assert_eq!(at("  }\n}").as_deref(), Some("model.ssd"));
        assert_eq!(at("# a"), None);
        assert_eq!(field_path_at(TEXT, 10_000), None);
    }
}
