//! Fields as the text writes them, one by one, and those that it writes twice.
//!
//! TFOD's reader merges: of a value given twice the last counts, of two members of a choice the last
//! stays, without a word. Whoever reads the config sees the first, so these are reported.

use std::collections::HashMap;

use prost_reflect::{Kind, MessageDescriptor};

use super::Findings;
use crate::pipeline::Pipeline;
use crate::schema;
use crate::text_format::{Document, Field, Value};

/// Visits each field of the text with its path and line: single values, elements of repeated fields,
/// and blocks.
pub(super) fn each_field(pipeline: &Pipeline, visit: &mut impl FnMut(&str, usize)) {
    let document = pipeline.document();
    let lines = Lines::of(document.text());
    let mut walk = Walk {
        document,
        counts: HashMap::new(),
        visit: &mut |path, value, start| {
            // A block with fields speaks through them.
            if !matches!(value, Value::Block(block) if !block.fields.is_empty()) {
                visit(path, lines.line(start));
            }
        },
    };
    walk.fields(document.fields(), &schema::root(), "", &mut |_, _, _, _| {});
}

/// The line ends of a text. A place asked of the document counts the columns as well, which is slow for
/// all fields of one long line.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(at, _)| at).collect())
    }

    /// The line of a byte, from 1.
    fn line(&self, at: usize) -> usize {
        self.0.partition_point(|end| *end < at) + 1
    }
}

struct Walk<'a> {
    document: &'a Document,
    /// How many elements a repeated field has had so far.
    counts: HashMap<String, usize>,
    visit: &'a mut dyn FnMut(&str, &Value, usize),
}

/// Told of each singular field: the path of its block, its descriptor, its path, and its value.
type Singular<'s> = &'s mut dyn FnMut(&str, &prost_reflect::FieldDescriptor, &Field, &str);

impl Walk<'_> {
    fn fields(&mut self, fields: &[Field], block: &MessageDescriptor, path: &str, singular: Singular<'_>) {
        for field in fields {
            let Some(descriptor) = block.get_field_by_name(self.document.slice(field.name)) else { continue };
            let at =
                if path.is_empty() { descriptor.name().to_owned() } else { format!("{path}.{}", descriptor.name()) };
            if !descriptor.is_list() {
                if !descriptor.is_map() {
                    singular(path, &descriptor, field, &at);
                }
                self.value(&field.value, &descriptor.kind(), &at, field.name.start, singular);
                continue;
            }
            let items = match &field.value {
                Value::List(list) => list.items.iter().map(|item| (item, item.span().start)).collect(),
                value => vec![(value, field.name.start)],
            };
            for (value, start) in items {
                let count = self.counts.entry(at.clone()).or_default();
                let element = format!("{at}[{count}]");
                *count += 1;
                self.value(value, &descriptor.kind(), &element, start, singular);
            }
        }
    }

    fn value(&mut self, value: &Value, kind: &Kind, path: &str, start: usize, singular: Singular<'_>) {
        (self.visit)(path, value, start);
        if let (Value::Block(block), Kind::Message(inner)) = (value, kind) {
            self.fields(&block.fields, inner, path, singular);
        }
    }
}

/// Reports values that are given twice and choices of which two members are given.
pub(super) fn check(findings: &mut Findings) {
    let pipeline = findings.pipeline;
    let document = pipeline.document();
    let lines = Lines::of(document.text());
    // Path → where it stood first, and the text of its value.
    let mut seen: HashMap<String, (usize, &str)> = HashMap::new();
    let mut members: HashMap<(String, String), (String, usize)> = HashMap::new();
    let mut found = Vec::new();
    let mut walk = Walk { document, counts: HashMap::new(), visit: &mut |_, _, _| {} };
    walk.fields(document.fields(), &schema::root(), "", &mut |block, descriptor, field, path| {
        let line = lines.line(field.name.start);
        let text = document.slice(field.value.span());
        if let Some(oneof) = descriptor.containing_oneof() {
            let key = (block.to_owned(), oneof.name().to_owned());
            match members.insert(key, (descriptor.name().to_owned(), line)) {
                Some((other, first)) if other != descriptor.name() => {
                    let message = format!(
                        "`{}` takes the place of `{other}` in line {first}: only one of them can be given",
                        descriptor.name()
                    );
                    found.push((
                        "oneof-twice",
                        path.to_owned(),
                        message,
                        format!("delete `{other}` or `{}`", descriptor.name()),
                        true,
                    ));
                }
                _ => {}
            }
        }
        match seen.insert(path.to_owned(), (line, text)) {
            Some((first, _)) if matches!(field.value, Value::Block(_)) => {
                let message = format!("`{}` stands in line {first} already; the two are merged", descriptor.name());
                found.push(("merged-block", path.to_owned(), message, "put them into one block".into(), false));
            }
            Some((first, before)) if before != text => {
                let message = format!(
                    "`{}` is {} in line {first} already, and only this last one counts",
                    descriptor.name(),
                    shorten(before)
                );
                found.push(("duplicate-field", path.to_owned(), message, "delete one of the two lines".into(), true));
            }
            Some((first, _)) => {
                let message = format!("`{}` has the same value in line {first} already", descriptor.name());
                found.push(("duplicate-field", path.to_owned(), message, "delete one of the two lines".into(), false));
            }
            None => {}
        }
    });
    for (code, path, message, fix, is_error) in found {
        match is_error {
            true => findings.error(code, &path, message, fix),
            false => findings.warning(code, &path, message, fix),
        }
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
