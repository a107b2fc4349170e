//! Changing one field of a config text and leaving every other byte alone, comments included.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind};

use crate::error::ConfigError;
use crate::schema;
use crate::text_format::{self, Block, Document, Field, FieldPath, List, PathStep, Span, Value, quote, shorten};

/// Sets a field of a pipeline config's text.
///
/// `value` is written as in a config: `16`, `0.004`, `true`, `RELU_6`, `{ … }` for a block. A string
/// may come with or without its quotes. Where the text has the field, only the value's bytes change;
/// where it lacks it, a line is added at the end of the right block, and the blocks around it if they
/// are missing too. Another member of the same oneof is replaced. An index one past the last appends;
/// a repeated field without an index means its last element.
///
/// # Errors
/// The text does not follow the format, the schema has no such field, or it cannot hold the value.
pub fn set_field(text: &str, path: &str, value: &str) -> Result<String, ConfigError> {
    let path: FieldPath = path.parse()?;
    let descriptor = schema::descriptor_at(&path)?;
    let (value, _) = checked_value(&descriptor, &path.to_string(), value)?;
    let document = Document::parse(text, "pipeline.config")?;
    let path = with_indices(&document, path)?;
    if let Some((_, old)) = document.find(&path) {
        let span = old.span();
        let value = laid_out(&value, &indentation(text, span.start), newline(text));
        return Ok(replace(text, span, &value));
    }
    insert(&document, &path, &value)
}

/// Adds one more element to a repeated field of a pipeline config's text, behind the last one.
///
/// # Errors
/// The text does not follow the format, the schema has no such repeated field, or it cannot hold the
/// value.
pub fn append_field(text: &str, path: &str, value: &str) -> Result<String, ConfigError> {
    let mut path: FieldPath = path.parse()?;
    let descriptor = schema::descriptor_at(&path)?;
    if !descriptor.is_list() && !descriptor.is_map() {
        return Err(ConfigError::FieldPath { path: path.to_string(), reason: "it is given once; set it".into() });
    }
    let (value, _) = checked_value(&descriptor, &path.to_string(), value)?;
    let document = Document::parse(text, "pipeline.config")?;
    path = with_indices(&document, path)?;
    let count = document.find_all(&path).len();
    if let Some(last) = path.steps.last_mut() {
        last.index = Some(count);
    }
    insert(&document, &path, &value)
}

/// Gives a repeated field of a pipeline config's text these elements and no others.
///
/// # Errors
/// The text does not follow the format, the schema has no such repeated field, or it cannot hold one
/// of the values.
pub fn set_list(text: &str, path: &str, values: &[String]) -> Result<String, ConfigError> {
    let parsed: FieldPath = path.parse()?;
    let document = Document::parse(text, "pipeline.config")?;
    let count = document.find_all(&with_indices(&document, parsed)?).len();
    let mut text = text.to_owned();
    for (i, value) in values.iter().enumerate() {
        text = if i < count {
            set_field(&text, &format!("{path}[{i}]"), value)?
        } else {
            append_field(&text, path, value)?
        };
    }
    for i in (values.len()..count).rev() {
        text = remove_field(&text, &format!("{path}[{i}]"))?;
    }
    Ok(text)
}

/// Removes a field from a pipeline config's text, and its line if nothing else stands there; without
/// an index wherever the text gives it. A field that the text does not have is no error.
///
/// # Errors
/// The text does not follow the format, or the schema has no such field.
pub fn remove_field(text: &str, path: &str) -> Result<String, ConfigError> {
    let path: FieldPath = path.parse()?;
    schema::descriptor_at(&path)?;
    let document = Document::parse(text, "pipeline.config")?;
    let path = with_indices(&document, path)?;
    let found = document.find_all(&path);
    let indexed = path.steps.last().is_some_and(|step| step.index.is_some());
    let mut spans: Vec<Span> = Vec::new();
    for (field, value) in found {
        let span = match &field.value {
            Value::List(list) if indexed && list.items.len() > 1 => element_span(list, value),
            _ => line_span(text, with_separator(text, field.span())),
        };
        // The elements of one list are all removed by its field.
        if spans.last().is_none_or(|last| last.end <= span.start) {
            spans.push(span);
        }
    }
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for span in spans {
        out += &text[at..span.start];
        at = span.end;
    }
    Ok(out + &text[at..])
}

/// The lines of a field where nothing else stands on them, else the field alone.
fn line_span(text: &str, span: Span) -> Span {
    let line_start = text[..span.start].rfind('\n').map_or(0, |i| i + 1);
    let line_end = text[span.end..].find('\n').map_or(text.len(), |i| span.end + i + 1);
    let alone = text[line_start..span.start].trim().is_empty() && text[span.end..line_end].trim().is_empty();
    if alone { Span { start: line_start, end: line_end } } else { span }
}

/// An element of a list and the comma that goes with it.
fn element_span(list: &List, element: &Value) -> Span {
    let at = list.items.iter().position(|item| item.span() == element.span()).unwrap_or(0);
    match (list.items.get(at + 1), at.checked_sub(1).and_then(|before| list.items.get(before))) {
        (Some(next), _) => Span { start: element.span().start, end: next.span().start },
        (None, Some(before)) => Span { start: before.span().end, end: element.span().end },
        (None, None) => element.span(),
    }
}

/// The value as it is to be written and what it means, as the only field of its block; or why the
/// field cannot hold it. `path` is what the error calls the field.
pub(crate) fn checked_value(
    descriptor: &FieldDescriptor,
    path: &str,
    value: &str,
) -> Result<(String, DynamicMessage), ConfigError> {
    let wrong = |reason: String| ConfigError::Value { path: path.into(), value: shorten(value), reason };
    let mut value = value.trim().to_owned();
    if matches!(descriptor.kind(), Kind::String) && !value.starts_with(['"', '\'']) {
        value = quote(&value);
    }
    let snippet = format!("{}: {value}", descriptor.name());
    let document = Document::parse(&snippet, "value").map_err(|error| wrong(error.message))?;
    // One value and nothing after it: `1 num_steps: 2` is two.
    let is_one = document.fields().len() == 1 && document.fields()[0].value.span().end == snippet.len();
    if !is_one || matches!(document.fields()[0].value, Value::List(_)) {
        return Err(wrong("it must be one value".into()));
    }
    let mut block = DynamicMessage::new(descriptor.parent_message().clone());
    text_format::merge_dynamic(&mut block, &snippet, "value").map_err(|error| {
        wrong(if error.fix.is_empty() { error.message } else { format!("{}; {}", error.message, error.fix) })
    })?;
    Ok((value, block))
}

/// The path with the last index at each repeated block that has none.
fn with_indices(document: &Document, mut path: FieldPath) -> Result<FieldPath, ConfigError> {
    for at in 0..path.steps.len().saturating_sub(1) {
        let prefix = FieldPath { steps: path.steps[..=at].to_vec() };
        if path.steps[at].index.is_none() && schema::descriptor_at(&prefix)?.is_list() {
            path.steps[at].index = Some(document.find_all(&prefix).len().saturating_sub(1));
        }
    }
    Ok(path)
}

fn replace(text: &str, span: Span, with: &str) -> String {
    format!("{}{with}{}", &text[..span.start], &text[span.end..])
}

/// The span and the `,` or `;` behind it.
fn with_separator(text: &str, span: Span) -> Span {
    let rest = &text[span.end..];
    let gap = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    let end = if rest[gap..].starts_with([',', ';']) { span.end + gap + 1 } else { span.end };
    Span { end, ..span }
}

/// Adds a field that the text does not have.
fn insert(document: &Document, path: &FieldPath, value: &str) -> Result<String, ConfigError> {
    let (mut at, mut block) = (0, None);
    // The innermost block that the text has already.
    while at + 1 < path.steps.len() {
        let prefix = FieldPath { steps: path.steps[..=at].to_vec() };
        match document.find(&prefix) {
            Some((_, Value::Block(found))) => block = Some(found),
            _ => break,
        }
        at += 1;
    }
    let missing = &path.steps[at..];
    let fields = block.map_or(document.fields(), |block| block.fields.as_slice());
    for (i, step) in missing.iter().enumerate() {
        let mut occurrences = FieldPath { steps: path.steps[..=at + i].to_vec() };
        occurrences.steps[at + i].index = None;
        let next = if i == 0 { document.find_all(&occurrences).len() } else { 0 };
        if step.index.is_some_and(|index| index != next) {
            let reason = format!("`{}` has {next} so far; the next index is {next}", step.name);
            return Err(ConfigError::FieldPath { path: path.to_string(), reason });
        }
    }
    let text = document.text();
    let newline = newline(text);
    if let Some(rival) = oneof_rival(document, fields, path, at)? {
        let span = rival.span();
        let lines = if text[span.start..span.end].contains('\n') {
            nested(missing, value, &indentation(text, rival.name.start), newline)
        } else {
            inline(missing, value)
        };
        return Ok(replace(text, span, lines.trim_start()));
    }
    // One more of a repeated field stands behind the others, anything else at the block's end.
    let sibling = fields.iter().rev().find(|field| document.slice(field.name) == missing[0].name);
    if let (Some(Field { value: Value::List(list), .. }), [_]) = (sibling, missing) {
        return Ok(into_list(text, list, value));
    }
    Ok(match (block, sibling.or(fields.last())) {
        (_, Some(last)) => behind(text, block, last, missing, value),
        (Some(block), None) => into_empty(text, block, missing, value, newline),
        (None, None) => after_line(text, text.len(), &nested(missing, value, "", newline), newline),
    })
}

/// Adds a field behind another one: on a line of its own, or on the same line where more follows there.
fn behind(text: &str, block: Option<&Block>, last: &Field, steps: &[PathStep], value: &str) -> String {
    let end = with_separator(text, last.span()).end;
    let rest = text[end..].split('\n').next().unwrap_or_default().trim();
    if !rest.is_empty() && !rest.starts_with('#') {
        return replace(text, Span { start: end, end }, &format!(" {}", inline(steps, value)));
    }
    let mut indent = indentation(text, last.name.start);
    if block.is_some_and(|block| !text[block.span.start..last.name.start].contains('\n')) {
        indent += "  ";
    }
    let newline = newline(text);
    after_line(text, end, &nested(steps, value, &indent, newline), newline)
}

/// Adds an element to a `[ … ]` list.
fn into_list(text: &str, list: &List, value: &str) -> String {
    let value = one_line(value);
    match list.items.last() {
        Some(last) => replace(text, Span { start: last.span().end, end: last.span().end }, &format!(", {value}")),
        None => replace(text, Span { start: list.span.start + 1, end: list.span.start + 1 }, &value),
    }
}

/// The field in the same block that cannot stay beside the new one.
fn oneof_rival<'a>(
    document: &Document,
    fields: &'a [Field],
    path: &FieldPath,
    at: usize,
) -> Result<Option<&'a Field>, ConfigError> {
    let new = schema::descriptor_at(&FieldPath { steps: path.steps[..=at].to_vec() })?;
    let Some(oneof) = new.containing_oneof() else { return Ok(None) };
    let rivals: Vec<String> =
        oneof.fields().filter(|field| field.number() != new.number()).map(|field| field.name().into()).collect();
    Ok(fields.iter().rev().find(|field| rivals.iter().any(|rival| rival == document.slice(field.name))))
}

/// `a { b: value }` on one line.
fn inline(steps: &[PathStep], value: &str) -> String {
    let (last, blocks) = steps.split_last().expect("a path has a step");
    let open: String = blocks.iter().map(|step| format!("{} {{ ", step.name)).collect();
    format!("{open}{}{}", assignment(&last.name, &one_line(value)), " }".repeat(blocks.len()))
}

/// The same over several lines, the last without its line end.
fn nested(steps: &[PathStep], value: &str, indent: &str, newline: &str) -> String {
    let (last, blocks) = steps.split_last().expect("a path has a step");
    let mut out = String::new();
    for (depth, step) in blocks.iter().enumerate() {
        out += &format!("{indent}{}{} {{{newline}", "  ".repeat(depth), step.name);
    }
    let inner = format!("{indent}{}", "  ".repeat(blocks.len()));
    out += &format!("{inner}{}", assignment(&last.name, &laid_out(value, &inner, newline)));
    for depth in (0..blocks.len()).rev() {
        out += &format!("{newline}{indent}{}}}", "  ".repeat(depth));
    }
    out
}

fn assignment(name: &str, value: &str) -> String {
    if value.starts_with(['{', '<']) { format!("{name} {value}") } else { format!("{name}: {value}") }
}

/// A value of several lines, all but the first moved to the right.
fn laid_out(value: &str, indent: &str, newline: &str) -> String {
    value.lines().collect::<Vec<_>>().join(&format!("{newline}{indent}"))
}

/// A value of several lines on one, unless a comment in it needs its line end.
fn one_line(value: &str) -> String {
    if value.contains('#') { value.into() } else { value.lines().map(str::trim).collect::<Vec<_>>().join(" ") }
}

/// The line ends that the text has.
fn newline(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

/// The white space in front of the line that a byte is on.
fn indentation(text: &str, at: usize) -> String {
    let line = &text[text[..at].rfind('\n').map_or(0, |i| i + 1)..];
    line.chars().take_while(|c| matches!(c, ' ' | '\t')).collect()
}

/// Adds lines behind the line that a byte is on.
fn after_line(text: &str, at: usize, lines: &str, newline: &str) -> String {
    match text[at..].find('\n') {
        Some(i) => format!("{}{lines}{newline}{}", &text[..=at + i], &text[at + i + 1..]),
        None if text.is_empty() || text.ends_with('\n') => format!("{text}{lines}{newline}"),
        None => format!("{text}{newline}{lines}{newline}"),
    }
}

/// Adds lines to a block without fields, which may hold comments.
fn into_empty(text: &str, block: &Block, steps: &[PathStep], value: &str, newline: &str) -> String {
    let outer = indentation(text, block.span.start);
    let lines = nested(steps, value, &format!("{outer}  "), newline);
    let close_line = text[..block.span.end].rfind('\n').map_or(0, |i| i + 1);
    if close_line <= block.span.start {
        let inside = Span { start: block.span.start + 1, end: block.span.end - 1 };
        let rest = text[block.span.end..].split('\n').next().unwrap_or_default().trim();
        if rest.is_empty() || rest.starts_with('#') {
            return replace(text, inside, &format!("{newline}{lines}{newline}{outer}"));
        }
        return replace(text, inside, &format!(" {} ", inline(steps, value)));
    }
    let before_close = &text[close_line..block.span.end - 1];
    if before_close.trim().is_empty() {
        return format!("{}{lines}{newline}{}", &text[..close_line], &text[close_line..]);
    }
    let close = Span { start: block.span.end - 1, end: block.span.end - 1 };
    replace(text, close, &format!("{newline}{lines}{newline}{outer}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "# mine\nmodel {\n  ssd {\n    num_classes: 3  # three\n    feature_extractor { type: 'a', depth_multiplier: 1.0 }\n  }\n}\ntrain_config: {\n  batch_size: 24\n  optimizer {\n    momentum_optimizer {\n      momentum_optimizer_value: 0.9\n    }\n  }\n  data_augmentation_options { random_horizontal_flip {} }\n}\n";

    fn set(path: &str, value: &str) -> String {
        let changed = set_field(CONFIG, path, value).expect("can be set");
        crate::Pipeline::parse(&changed, "test").expect("still a config");
        changed
    }

    #[test]
    fn only_the_value_changes() {
        assert_eq!(set("train_config.batch_size", "16"), CONFIG.replace("24", "16"));
        assert_eq!(set("model.ssd.num_classes", " 12 "), CONFIG.replace("classes: 3", "classes: 12"));
        assert_eq!(set("model.ssd.feature_extractor.type", "b c"), CONFIG.replace("'a'", "\"b c\""));
        assert_eq!(set("model.ssd.feature_extractor.type", "\"b\" 'c'"), CONFIG.replace("'a'", "\"b\" 'c'"));
    }

    #[test]
    fn a_missing_field_gets_a_line_in_its_block() {
        assert_eq!(
            set("train_config.num_steps", "100"),
            CONFIG.replace("flip {} }\n", "flip {} }\n  num_steps: 100\n")
        );
        assert_eq!(
            set("model.ssd.feature_extractor.min_depth", "8"),
            CONFIG.replace("multiplier: 1.0 }", "multiplier: 1.0 min_depth: 8 }")
        );
        assert_eq!(
            set("model.ssd.box_coder.faster_rcnn_box_coder.y_scale", "5"),
            CONFIG.replace(
                "1.0 }\n",
                "1.0 }\n    box_coder {\n      faster_rcnn_box_coder {\n        y_scale: 5\n      }\n    }\n"
            )
        );
        assert_eq!(set("eval_config.batch_size", "1"), format!("{CONFIG}eval_config {{\n  batch_size: 1\n}}\n"));
        assert_eq!(set_field("", "train_config.num_steps", "1").expect("set"), "train_config {\n  num_steps: 1\n}\n");
        let comment_at_end = "train_config {\n  batch_size: 1 # last }\n}";
        let changed = set_field(comment_at_end, "train_config.num_steps", "2").expect("set");
        assert_eq!(changed, "train_config {\n  batch_size: 1 # last }\n  num_steps: 2\n}");
    }

    #[test]
    fn empty_blocks_are_opened() {
        let flip = "train_config.data_augmentation_options[0].random_horizontal_flip.probability";
        assert_eq!(set(flip, "1"), CONFIG.replace("flip {} }", "flip { probability: 1 } }"));
        let changed = set_field("model {\n  ssd {\n    # none\n  }\n}\n", "model.ssd.num_classes", "1").expect("set");
        assert_eq!(changed, "model {\n  ssd {\n    # none\n    num_classes: 1\n  }\n}\n");
    }

    #[test]
    fn a_oneof_changes_its_member_and_a_repeated_field_grows() {
        let changed = set("train_config.optimizer.adam_optimizer.epsilon", "1e-8");
        assert!(
            changed.contains("  optimizer {\n    adam_optimizer {\n      epsilon: 1e-8\n    }\n  }\n"),
            "{changed}"
        );
        assert!(!changed.contains("momentum"));
        let changed = set("train_config.data_augmentation_options[1].random_vertical_flip", "{ }");
        assert!(
            changed.contains("flip {} }\n  data_augmentation_options {\n    random_vertical_flip { }\n  }\n}"),
            "{changed}"
        );
        assert!(set_field(CONFIG, "train_config.data_augmentation_options[2].random_vertical_flip", "{}").is_err());
    }

    #[test]
    fn windows_line_ends_stay() {
        let changed =
            set_field("train_config {\r\n  batch_size: 1\r\n}\r\n", "train_config.num_steps", "2").expect("set");
        assert_eq!(changed, "train_config {\r\n  batch_size: 1\r\n  num_steps: 2\r\n}\r\n");
    }

    #[test]
    fn values_that_do_not_fit_are_refused() {
        for (path, value) in [
            ("train_config.batch_size", "many"),
            ("train_config.batch_size", "-1"),
            ("train_config.batch_size", "1 num_steps: 2"),
            ("train_config.batch_size", "1 # one"),
            ("train_config.batch_size", "1 }"),
            ("train_config.batch_size", ""),
            ("train_config.optimizer", "3"),
            ("train_config.fine_tune_checkpoint", "\"open"),
            ("train_config.data_augmentation_options", "[{}]"),
        ] {
            let error = set_field(CONFIG, path, value).expect_err(value);
            assert!(matches!(error, ConfigError::Value { .. }), "{error}");
        }
        assert!(matches!(set_field(CONFIG, "train_config.x", "1"), Err(ConfigError::FieldPath { .. })));
    }

    #[test]
    fn removing_takes_the_line_along() {
        let removed = remove_field(CONFIG, "train_config.batch_size").expect("removed");
        assert_eq!(removed, CONFIG.replace("  batch_size: 24\n", ""));
        let removed = remove_field(CONFIG, "model.ssd.feature_extractor.type").expect("removed");
        assert_eq!(removed, CONFIG.replace("type: 'a',", ""));
        assert_eq!(remove_field(CONFIG, "eval_config").expect("nothing to do"), CONFIG);
    }
}
