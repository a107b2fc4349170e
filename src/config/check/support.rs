//! Honoured, approximated or refused: what the table says of each field that a config sets. A field that
//! is in no line of it and differs from its default is refused, because a setting that is silently
//! ignored would make the numbers of a run a lie.

use std::collections::HashMap;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor, ReflectMessage, Value};
use serde::Serialize;

use super::Findings;
use super::table::{CHOICES, Choices, KNOWN_TYPES, REQUIRED, Row, SUPPORT, Support};
use crate::pipeline::Pipeline;
use crate::schema;
use crate::text_format::bind::suggestion;
use crate::text_format::{self, FieldPath};

/// What is done with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It does what the schema says.
    Honoured,
    /// It is done differently or not at all, and hardly any number depends on it.
    Approximated,
    /// It would change the numbers and cannot be done: the config is not trained.
    Refused,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Honoured => "honoured",
            Self::Approximated => "approximated",
            Self::Refused => "refused",
        })
    }
}

/// What is done with one field of a config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldVerdict {
    /// Its path, with indices where it may be repeated.
    pub path: String,
    /// Its line in the text.
    pub line: usize,
    /// What is done with it.
    pub verdict: Verdict,
    /// Why, and what to write instead; empty where there is nothing to say.
    pub note: String,
}

/// What was decided about a value, with the reason and the advice.
struct Decision {
    verdict: Verdict,
    note: String,
    fix: String,
}

impl Decision {
    fn honoured(note: &str) -> Self {
        Self { verdict: Verdict::Honoured, note: note.into(), fix: String::new() }
    }
}

/// What is done with every field that the text sets, in the order of the text.
pub fn verdicts(pipeline: &Pipeline) -> Vec<FieldVerdict> {
    let config = text_format::dynamic(&pipeline.config);
    let mut decided = HashMap::new();
    walk(&config, "", None, &mut |path, _, decision| {
        let note = [decision.note.as_str(), decision.fix.as_str()].into_iter().filter(|text| !text.is_empty());
        decided.insert(path.to_owned(), (decision.verdict, note.collect::<Vec<_>>().join("; ")));
    });
    let mut found = Vec::new();
    super::repeats::each_field(pipeline, &mut |path, line| {
        if let Some((verdict, note)) = decided.get(path) {
            let note = note.clone();
            found.push(FieldVerdict { path: path.into(), line, verdict: *verdict, note });
        }
    });
    found
}

/// What the table says of the field at a path like `model.ssd.num_classes`, whatever its value: its
/// verdict and the reason. A field that is refused may still stand at its default.
///
/// # Errors
/// The path names something that the schema does not have.
pub fn verdict_of(path: &str) -> Result<(Verdict, String), crate::ConfigError> {
    let path: FieldPath = path.parse()?;
    for length in 1..=path.steps.len() {
        let field = schema::descriptor_at(&FieldPath { steps: path.steps[..length].to_vec() })?;
        let parent = field.parent_message();
        let row = row_of(parent, field.name());
        let whole = length == path.steps.len();
        match row {
            Some(row) if row.verdict != Verdict::Refused && !whole => {}
            Some(row) if whole => return Ok((row.verdict, with_choices(&field, row))),
            Some(row) => return Ok((row.verdict, format!("it stands in `{}`: {}", field.name(), row.note))),
            None if whole => return Ok((Verdict::Refused, "not done here yet; leave it at its default".into())),
            None => {
                return Ok((Verdict::Refused, format!("it stands in `{}`, which is not done here yet", field.name())));
            }
        }
    }
    Ok((Verdict::Honoured, String::new()))
}

/// Whether a block around the field at this path is refused.
pub(super) fn stands_in_refused(path: &str) -> bool {
    let block = path.rsplit_once('.').map(|(block, _)| block);
    block.is_some_and(|block| verdict_of(block).is_ok_and(|(verdict, _)| verdict == Verdict::Refused))
}

/// A row's note, with the words that the field may be where not all are honoured.
fn with_choices(field: &FieldDescriptor, row: &Row) -> String {
    let choices = choices_of(field).map(|choices| {
        let words: Vec<&str> = choices.honoured.iter().copied().filter(|word| !word.is_empty()).collect();
        format!("may be {}", words.join(", "))
    });
    [Some(row.note.to_owned()), choices]
        .into_iter()
        .flatten()
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}

pub(super) fn check(findings: &mut Findings) {
    let config = text_format::dynamic(&findings.pipeline.config);
    walk(&config, "", None, &mut |path, field, decision| match decision.verdict {
        Verdict::Honoured => {}
        Verdict::Approximated => {
            let message = format!("`{}` is approximated: {}", field.name(), decision.note);
            findings.info("approximated", path, message, "nothing to do; it can be removed");
        }
        Verdict::Refused if decision.fix.is_empty() => {}
        Verdict::Refused => {
            let is_value = choices_of(field).is_some();
            let code = if is_value { "unsupported-value" } else { "unsupported-field" };
            findings.error(code, path, decision.note, decision.fix);
        }
    });
    empty_choices(&config, "", findings);
    for path in REQUIRED {
        require(&config, path, findings);
    }
}

/// Visits every field that is set: leaves, blocks that are not honoured, and what stands in those.
fn walk(
    message: &DynamicMessage,
    path: &str,
    refused_by: Option<&str>,
    visit: &mut impl FnMut(&str, &FieldDescriptor, Decision),
) {
    for field in message.descriptor().fields().filter(|field| message.has_field(field)) {
        let at = if path.is_empty() { field.name().to_owned() } else { format!("{path}.{}", field.name()) };
        let value = message.get_field(&field);
        let (decision, inner_refused) = match refused_by {
            // Reported with the block; the empty fix says so.
            Some(block) => {
                let note = format!("it stands in `{block}`, which is refused");
                (Decision { verdict: Verdict::Refused, note, fix: String::new() }, Some(block.to_owned()))
            }
            None => {
                let decision = decide(&field, &value, &at);
                let refused = (decision.verdict == Verdict::Refused).then(|| field.name().to_owned());
                (decision, refused)
            }
        };
        match &*value {
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    let at = format!("{at}[{index}]");
                    let of_item =
                        Decision { verdict: decision.verdict, note: decision.note.clone(), fix: decision.fix.clone() };
                    visit(&at, &field, of_item);
                    if let Value::Message(inner) = item {
                        walk(inner, &at, inner_refused.as_deref(), visit);
                    }
                }
            }
            Value::Message(inner) => {
                visit(&at, &field, decision);
                walk(inner, &at, inner_refused.as_deref(), visit);
            }
            _ => visit(&at, &field, decision),
        }
    }
}

/// The table's rows for a message type.
fn support_of(descriptor: &MessageDescriptor) -> Option<&'static Support> {
    let name = descriptor.full_name().strip_prefix(descriptor.package_name())?.strip_prefix('.')?;
    SUPPORT.iter().find(|support| support.message == name)
}

fn row_of(message: &MessageDescriptor, field: &str) -> Option<&'static Row> {
    support_of(message)?.rows.iter().find(|row| row.name == field)
}

fn choices_of(field: &FieldDescriptor) -> Option<&'static Choices> {
    CHOICES.iter().find(|c| c.message == field.parent_message().name() && c.field == field.name())
}

fn is_default(field: &FieldDescriptor, value: &Value) -> bool {
    !matches!(value, Value::Message(_)) && *value == field.default_value()
}

/// What is done with a field of this value.
fn decide(field: &FieldDescriptor, value: &Value, path: &str) -> Decision {
    let row = row_of(field.parent_message(), field.name());
    match row {
        Some(row) if row.verdict == Verdict::Honoured => {
            choice(field, value).unwrap_or_else(|| Decision::honoured(row.note))
        }
        _ if is_default(field, value) => Decision::honoured(""),
        Some(row) if row.verdict == Verdict::Approximated => {
            Decision { verdict: Verdict::Approximated, note: row.note.into(), fix: String::new() }
        }
        _ => refusal(field, path, row),
    }
}

fn refusal(field: &FieldDescriptor, path: &str, row: Option<&Row>) -> Decision {
    let name = field.name();
    let others: Vec<String> = field.containing_oneof().map_or(Vec::new(), |oneof| honoured_members(&oneof));
    let fix = match (row.map_or("", |row| row.instead), others.is_empty(), field.kind()) {
        ("", false, _) => format!("use {}", others.join(" or ")),
        ("", true, Kind::Message(_)) => format!("remove `{name}`"),
        ("", true, _) if field.is_list() => format!("remove `{name}`"),
        ("", true, _) => format!("remove `{name}`, or set it to {}", default_text(path)),
        (instead, _, _) => instead.into(),
    };
    let note = match row {
        Some(row) if !row.note.is_empty() => format!("`{name}` is refused: {}", row.note),
        _ => format!("`{name}` cannot be honoured yet and would be ignored"),
    };
    Decision { verdict: Verdict::Refused, note, fix }
}

/// The members of a oneof that the table honours.
fn honoured_members(oneof: &OneofDescriptor) -> Vec<String> {
    let honoured = |field: &FieldDescriptor| {
        row_of(field.parent_message(), field.name()).is_some_and(|row| row.verdict == Verdict::Honoured)
    };
    oneof.fields().filter(honoured).map(|field| field.name().to_owned()).collect()
}

fn default_text(path: &str) -> String {
    schema::field(path).ok().and_then(|info| info.default).unwrap_or_else(|| "its default".into())
}

/// The refusal of a word that is not among those honoured.
fn choice(field: &FieldDescriptor, value: &Value) -> Option<Decision> {
    let choices = choices_of(field)?;
    let word = match value {
        Value::EnumNumber(number) => field.kind().as_enum()?.get_value(*number)?.name().to_owned(),
        Value::String(text) => text.clone(),
        _ => return None,
    };
    if choices.honoured.contains(&word.as_str()) {
        return None;
    }
    let names: Vec<String> = choices.honoured.iter().filter(|name| !name.is_empty()).map(|&name| name.into()).collect();
    let use_one = || match names.is_empty() {
        true => "choose another model".to_owned(),
        false if names.len() > 6 => {
            format!("use {}, or another of `boxwright config new --list`", names[..3].join(", "))
        }
        false => format!("use {}", names.join(" or ")),
    };
    let shown: String = word.chars().take(60).collect();
    let is_type = field.name() == "type";
    let (note, fix) = if is_type && KNOWN_TYPES.contains(&word.as_str()) {
        (format!("the network \"{word}\" is not built here: {}", why_not(&word)), use_one())
    } else if is_type && word.is_empty() {
        ("`type` names no network".into(), use_one())
    } else if is_type {
        let known: Vec<String> = KNOWN_TYPES.iter().map(|&name| name.into()).chain(names.clone()).collect();
        (format!("there is no network called \"{shown}\""), suggestion(&word, &known).unwrap_or_else(use_one))
    } else {
        (format!("`{}` cannot be \"{shown}\" here", field.name()), suggestion(&word, &names).unwrap_or_else(use_one))
    };
    Some(Decision { verdict: Verdict::Refused, note, fix })
}

/// Why a network of TFOD is not built here.
fn why_not(network: &str) -> &'static str {
    match network {
        _ if network.contains("bifpn") => "EfficientDet needs a bidirectional feature pyramid",
        _ if network.contains("ppn") => "pooling pyramids are not built",
        _ if network.contains("nas") || network.contains("spaghetti") => "this network found by search is not built",
        _ if network.contains("edgetpu") => {
            "its early layers are not built; ssd_mobiledet_edgetpu is for the Edge TPU too"
        }
        _ => "it has no layers in this program yet",
    }
}

/// Reports blocks that have to name one of several things and name none.
fn empty_choices(message: &DynamicMessage, path: &str, findings: &mut Findings) {
    let descriptor = message.descriptor();
    // A choice stands alone in its message, but for the optimizer's and its averages.
    let is_choice =
        |oneof: &OneofDescriptor| oneof.fields().len() == descriptor.fields().len() || oneof.name() == "optimizer";
    for oneof in descriptor.oneofs().filter(is_choice) {
        if oneof.fields().any(|field| message.has_field(&field)) {
            continue;
        }
        let names = honoured_members(&oneof);
        let name = path.rsplit('.').next().unwrap_or(path);
        let fix =
            if names.is_empty() { format!("remove `{name}`") } else { format!("put {} into it", names.join(" or ")) };
        findings.error("missing-field", path, format!("`{name}` is empty"), fix);
    }
    for field in descriptor.fields().filter(|field| message.has_field(field)) {
        let at = if path.is_empty() { field.name().to_owned() } else { format!("{path}.{}", field.name()) };
        if row_of(&descriptor, field.name()).is_none_or(|row| row.verdict == Verdict::Refused) {
            continue;
        }
        match &*message.get_field(&field) {
            Value::Message(inner) => empty_choices(inner, &at, findings),
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    if let Value::Message(inner) = item {
                        empty_choices(inner, &format!("{at}[{index}]"), findings);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Reports a block that is missing, once for all that would stand in it.
fn require(config: &DynamicMessage, path: &str, findings: &mut Findings) {
    let mut message = config.clone();
    for (depth, name) in path.split('.').enumerate() {
        let Some(field) = message.descriptor().get_field_by_name(name) else { return };
        if let (true, Value::Message(inner)) = (message.has_field(&field), message.get_field(&field).into_owned()) {
            message = inner;
            continue;
        }
        let missing = path.split('.').take(depth + 1).collect::<Vec<_>>().join(".");
        let inside = format!("{missing}.");
        let first = REQUIRED.iter().find(|required| **required == missing || required.starts_with(&inside));
        // Another choice, or none, is reported where the fields are walked.
        if first == Some(&path) && field.containing_oneof().is_none() {
            let help = schema::field(&missing).map_or(String::new(), |info| info.help);
            let message = format!("`{name}` is missing: {}", lower_first(help.trim_end_matches('.')));
            findings.error("missing-field", &missing, message, format!("add `{name} {{ … }}`"));
        }
        return;
    }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::descriptor_pool;

    fn message(name: &str) -> MessageDescriptor {
        let found = descriptor_pool().get_message_by_name(&format!("object_detection.protos.{name}"));
        found.unwrap_or_else(|| panic!("no message {name}"))
    }

    #[test]
    fn the_tables_name_only_fields_that_exist() {
        for support in SUPPORT {
            let descriptor = message(support.message);
            for row in support.rows {
                assert!(descriptor.get_field_by_name(row.name).is_some(), "{}.{}", support.message, row.name);
                let times = support.rows.iter().filter(|other| other.name == row.name).count();
                assert_eq!(times, 1, "{}.{} is listed twice", support.message, row.name);
                assert!(row.verdict == Verdict::Honoured || !row.note.is_empty(), "{}: why?", row.name);
            }
        }
        for choices in CHOICES {
            let field = message(choices.message).get_field_by_name(choices.field).expect("a field");
            if let Kind::Enum(words) = field.kind() {
                let known = choices.honoured.iter().all(|word| words.get_value_by_name(word).is_some());
                assert!(known, "{}", choices.field);
            }
        }
        for path in REQUIRED {
            assert!(schema::field(path).is_ok_and(|info| info.is_block), "{path}");
        }
    }

    #[test]
    fn every_message_is_listed_once_and_found() {
        for support in SUPPORT {
            let times = SUPPORT.iter().filter(|other| other.message == support.message).count();
            assert_eq!(times, 1, "{}", support.message);
            assert_eq!(support_of(&message(support.message)).map(|found| found.message), Some(support.message));
        }
    }

    #[test]
    fn a_path_has_a_verdict_without_a_config() {
        let of = |path: &str| verdict_of(path).expect("a field");
        assert_eq!(of("model.ssd.num_classes").0, Verdict::Honoured);
        assert_eq!(of("train_config.use_bfloat16").0, Verdict::Approximated);
        let (verdict, note) = of("model.ssd.mask_head_config.mask_height");
        assert_eq!(verdict, Verdict::Refused);
        assert!(note.contains("mask_head_config"), "{note}");
        let (_, note) = of("model.ssd.feature_extractor.conv_hyperparams.activation");
        assert!(note.contains("RELU_6"), "{note}");
        assert!(verdict_of("model.sdd").is_err());
    }
}
