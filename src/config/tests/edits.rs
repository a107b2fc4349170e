//! One field is edited and nothing else changes: for every field of every real config, in every way
//! in which people lay a config out.

use prost_reflect::{DynamicMessage, Kind, MessageDescriptor};

use super::{files, read, shared};
use crate::show::differences;
use crate::template::{TemplateValues, pipeline_from_template};
use crate::text_format::{Document, Field, Value, parse_dynamic, print};
use crate::{append_field, remove_field, schema, set_field, set_list};

/// A single value that a text gives: its path, its bytes, and another value for it.
struct Single {
    path: String,
    start: usize,
    end: usize,
    other: String,
}

/// A block that a text gives, with a field that it lacks and a value for it.
struct Gap {
    path: String,
    value: String,
}

fn message(text: &str) -> DynamicMessage {
    parse_dynamic(schema::root(), text, "text").unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Another value of the same type.
fn other_value(kind: &Kind, old: &str) -> String {
    match kind {
        Kind::Bool => if matches!(old, "true" | "True" | "t" | "1") { "false" } else { "true" }.into(),
        Kind::String => "\"another 'value' # here\"".into(),
        Kind::Float | Kind::Double => "0.0123".into(),
        Kind::Enum(type_of) => {
            let other = type_of.values().find(|value| value.name() != old);
            other.map_or_else(|| old.to_owned(), |value| value.name().to_owned())
        }
        _ => "4321".into(),
    }
}

fn walk(
    document: &Document,
    fields: &[Field],
    block: &MessageDescriptor,
    path: &str,
    singles: &mut Vec<Single>,
    gaps: &mut Vec<Gap>,
) {
    let mut seen: Vec<(String, usize)> = Vec::new();
    for field in fields {
        let name = document.slice(field.name).to_owned();
        let known = block.get_field_by_name(&name).expect("a config");
        let items = match &field.value {
            Value::List(list) => list.items.iter().collect(),
            value => vec![value],
        };
        for item in items {
            let index = seen.iter().filter(|(other, _)| *other == name).count();
            seen.push((name.clone(), index));
            let dot = if path.is_empty() { "" } else { "." };
            let at = if known.is_list() || known.is_map() { format!("[{index}]") } else { String::new() };
            let path = format!("{path}{dot}{name}{at}");
            match (item, known.kind()) {
                (Value::Block(inner), Kind::Message(type_of)) if !known.is_map() => {
                    walk(document, &inner.fields, &type_of, &path, singles, gaps);
                }
                (Value::Scalar(scalar), kind) => {
                    let other = other_value(&kind, document.slice(scalar.span));
                    singles.push(Single { path, start: scalar.span.start, end: scalar.span.end, other });
                }
                _ => {}
            }
        }
    }
    let lacks = block.fields().find(|field| {
        !matches!(field.kind(), Kind::Message(_))
            && !field.is_list()
            && !seen.iter().any(|(name, _)| name == field.name())
    });
    if let Some(field) = lacks.filter(|_| !path.is_empty()) {
        gaps.push(Gap { path: format!("{path}.{}", field.name()), value: other_value(&field.kind(), "") });
    }
}

fn survey(text: &str) -> (Vec<Single>, Vec<Gap>) {
    let document = Document::parse(text, "text").expect("a config");
    let (mut singles, mut gaps) = (Vec::new(), Vec::new());
    walk(&document, document.fields(), &schema::root(), "", &mut singles, &mut gaps);
    (singles, gaps)
}

/// Edits every value of a text, and adds a field to every block.
fn check_every_edit(text: &str, name: &str) -> usize {
    let before = message(text);
    let (singles, gaps) = survey(text);
    for Single { path, start, end, other } in &singles {
        let edited = set_field(text, path, other).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(edited, format!("{}{other}{}", &text[..*start], &text[*end..]), "{name}: {path}");
        let changed = differences(&before, &message(&edited));
        let same = text[*start..*end] == **other;
        assert!(same || changed.len() == 1 && changed[0].path == *path, "{name}: {path}: {changed:?}");
    }
    for Gap { path, value } in &gaps {
        let edited = set_field(text, path, value).unwrap_or_else(|error| panic!("{name}: {error}"));
        let changed = differences(&before, &message(&edited));
        // A field of a oneof takes the place of its rival.
        let replaced = changed.iter().filter(|change| change.right.is_none()).count();
        let added: Vec<_> = changed.iter().filter(|change| change.right.is_some()).collect();
        assert!(added.len() == 1 && added[0].path == *path, "{name}: {path}: {changed:?}");
        if replaced == 0 {
            check_insertion(text, &edited, path, name);
        }
        let removed = remove_field(&edited, path).expect("can be removed");
        if replaced == 0 {
            let left = differences(&before, &message(&removed));
            assert!(left.is_empty(), "{name}: {path}: {left:?}");
        }
    }
    singles.len()
}

/// The old text is there before and behind the new bytes, which are a line or part of one.
fn check_insertion(text: &str, edited: &str, path: &str, name: &str) {
    let same = text.bytes().zip(edited.bytes()).take_while(|(a, b)| a == b).count();
    let behind = text.bytes().rev().zip(edited.bytes().rev()).take_while(|(a, b)| a == b).count();
    // What an empty block `{}` on one line had inside is the only thing that may go.
    let lost = text.len().saturating_sub(same + behind);
    let gone = &text[same.min(text.len() - behind)..text.len() - behind];
    assert!(lost == 0 || gone.trim().is_empty(), "{name}: {path}: {gone:?} is gone");
    let field = path.rsplit('.').next().expect("a name");
    let line = edited.lines().find(|line| !text.contains(*line) && line.contains(field));
    let line = line.unwrap_or_else(|| panic!("{name}: {path}: no new line"));
    let alone = line.trim_start().starts_with(field);
    let more = edited.lines().count() - text.lines().count();
    assert!(more <= 2 && (more == 0 || alone), "{name}: {path}: {more} lines more, {line:?}");
    if more == 1 {
        let at = edited.lines().position(|found| found == line).expect("it is there");
        let indent = |line: &str| line.len() - line.trim_start().len();
        let next = edited.lines().nth(at + 1).unwrap_or("}");
        // Some configs close a block at the indentation of what is in it.
        let as_before = at > 0 && edited.lines().nth(at - 1).is_some_and(|before| indent(before) == indent(line));
        if next.trim() == "}" && !as_before {
            assert!(indent(line) > indent(next), "{name}: {path}: {line:?} above {next:?}");
        }
    }
}

fn real_configs() -> Vec<(String, String)> {
    let text = pipeline_from_template("ssd_mobilenet_v1", &TemplateValues::default()).expect("a template");
    let mut texts = vec![("template".to_owned(), text)];
    if let Some(shared) = shared() {
        for folder in ["data/tfod-configs/tf1", "data/tfod-configs/tf2", "golden/config"] {
            let paths = files(&shared.join(folder), "config");
            texts.extend(paths.iter().map(|path| (path.display().to_string(), read(path))));
        }
    }
    texts
}

#[test]
fn every_field_of_every_config_alone() {
    let mut count = 0;
    for (name, text) in real_configs() {
        count += check_every_edit(&text, &name);
    }
    assert!(count >= 80, "{count} fields");
}

#[test]
fn every_layout_is_left_as_it_is() {
    for (name, text) in real_configs().into_iter().step_by(5) {
        let printed = print(&message(&text));
        let one_line = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        let commented: String = printed.lines().map(|line| format!("{line}  # why: {{ \"\n")).collect();
        for (layout, text) in [
            ("windows", text.replace('\n', "\r\n")),
            ("angles", printed.replace('{', "<").replace('}', ">")),
            ("one line", one_line(&printed)),
            ("commented", commented),
            ("tabs", printed.replace("  ", "\t")),
            (
                "commas",
                printed
                    .lines()
                    .map(|line| if line.ends_with('{') { format!("{line}\n") } else { format!("{line},\n") })
                    .collect(),
            ),
            ("no end", printed.trim_end().to_owned()),
        ] {
            assert_eq!(print(&message(&text)), printed, "{name}: {layout}");
            check_every_edit(&text, &format!("{name}, {layout}"));
        }
    }
}

#[test]
fn lists_and_separators() {
    let text = "model { ssd { anchor_generator { ssd_anchor_generator {
      scales: [0.1, 0.2,  # two
               0.3]; aspect_ratios: 1 aspect_ratios: [2, 3]
    } } } }\n";
    let path = "model.ssd.anchor_generator.ssd_anchor_generator";
    check_every_edit(text, "lists");
    let append = |field: &str| append_field(text, &format!("{path}.{field}"), "9").expect("appended");
    assert_eq!(append("scales"), text.replace("0.3]", "0.3, 9]"));
    assert_eq!(append("aspect_ratios"), text.replace("[2, 3]", "[2, 3, 9]"));
    let remove = |at: &str| remove_field(text, &format!("{path}.{at}")).expect("removed");
    assert_eq!(remove("scales[0]"), text.replace("[0.1, 0.2", "[0.2"));
    assert_eq!(remove("scales[2]"), text.replace(",  # two\n               0.3]", "]"));
    assert_eq!(remove("aspect_ratios[0]"), text.replace("aspect_ratios: 1 ", " "));
    assert_eq!(remove("aspect_ratios"), text.replace(" aspect_ratios: 1 aspect_ratios: [2, 3]", "  "));
    let list = |values: &[&str]| {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        set_list(text, &format!("{path}.aspect_ratios"), &values).expect("set")
    };
    assert_eq!(list(&["5"]), text.replace("1 aspect_ratios: [2, 3]", "5 "));
    assert_eq!(list(&["5", "6", "7", "8"]), text.replace("1 aspect_ratios: [2, 3]", "5 aspect_ratios: [6, 7, 8]"));
    assert!(append_field(text, &format!("{path}.min_scale"), "1").is_err());
    assert!(set_field(text, &format!("{path}.scales[4]"), "1").is_err());
}

#[test]
fn blocks_given_twice_are_one() {
    let text = "train_config { freeze_variables: 'a' }\ntrain_config { freeze_variables: 'b' batch_size: 1 }\n";
    let set = |path: &str, value: &str| set_field(text, path, value).expect("set");
    assert_eq!(set("train_config.freeze_variables[0]", "x"), text.replace("'a'", "\"x\""));
    assert_eq!(set("train_config.freeze_variables[1]", "x"), text.replace("'b'", "\"x\""));
    assert_eq!(set("train_config.freeze_variables[2]", "x"), text.replace("'b' ", "'b' freeze_variables: \"x\" "));
    let twice = "train_config { batch_size: 1 }\ntrain_config {\n  batch_size: 2\n  num_steps: 3\n}\n";
    let removed = remove_field(twice, "train_config.batch_size").expect("removed");
    assert_eq!(removed, "train_config {  }\ntrain_config {\n  num_steps: 3\n}\n");
    // A reader without an index is the last one, also where only the first has the field.
    let readers = "eval_input_reader { shuffle: true }\neval_input_reader { }\n";
    let changed = set_field(readers, "eval_input_reader.shuffle", "false").expect("set");
    assert_eq!(
        message(&changed).get_field_by_name("eval_input_reader").map(|list| list.as_list().map_or(0, <[_]>::len)),
        Some(2)
    );
    assert!(changed.starts_with("eval_input_reader { shuffle: true }\n"), "{changed}");
}
