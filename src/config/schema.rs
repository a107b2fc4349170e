//! What a field of `pipeline.config` means: type, default, choices and help, from the schema and
//! its comments. The editor of the studio shows it beside the cursor.

use std::collections::HashMap;
use std::sync::OnceLock;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use crate::error::ConfigError;
use crate::proto::{self, TrainEvalPipelineConfig};
use crate::text_format::FieldPath;
use crate::text_format::bind::suggestion;
use crate::text_format::{float32, quote};

/// A field of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldInfo {
    /// Its name.
    pub name: String,
    /// Its type: `int32`, `float`, `bool`, `string` …, or the name of a message or an enum.
    pub type_name: String,
    /// Whether it is a block of settings.
    pub is_block: bool,
    /// Whether it may be given several times.
    pub repeated: bool,
    /// The value it has where the text does not give it, as it would be written; none for blocks
    /// and repeated fields.
    pub default: Option<String>,
    /// The words that it may be, if it is an enum.
    pub choices: Vec<Choice>,
    /// The group of which only one member may be given.
    pub oneof: Option<String>,
    /// Whether it is only kept for old configs.
    pub deprecated: bool,
    /// What it means.
    pub help: String,
}

/// One word that an enum field may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The word.
    pub name: String,
    /// What it means.
    pub help: String,
}

/// The field of `pipeline.config` at a path like `model.ssd.num_classes`; indices do not matter.
///
/// # Errors
/// The path names something that the schema does not have.
pub fn field(path: &str) -> Result<FieldInfo, ConfigError> {
    Ok(info(&descriptor_at(&path.parse()?)?))
}

/// The fields that a block may have, in the schema's order; the empty path is the whole config.
///
/// # Errors
/// The path names something that the schema does not have, or that is no block.
pub fn children(path: &str) -> Result<Vec<FieldInfo>, ConfigError> {
    let block = match path {
        "" => root(),
        _ => match descriptor_at(&path.parse()?)?.kind() {
            Kind::Message(block) => block,
            _ => {
                let reason = "it is a single value and has no fields".into();
                return Err(ConfigError::FieldPath { path: path.into(), reason });
            }
        },
    };
    Ok(block.fields().map(|field| info(&field)).collect())
}

/// The message type of a whole config.
pub(crate) fn root() -> MessageDescriptor {
    proto::descriptor::<TrainEvalPipelineConfig>()
}

/// The descriptor of the field at a path.
pub(crate) fn descriptor_at(path: &FieldPath) -> Result<FieldDescriptor, ConfigError> {
    let wrong = |reason| ConfigError::FieldPath { path: path.to_string(), reason };
    let mut block = root();
    let mut found: Option<FieldDescriptor> = None;
    for step in &path.steps {
        if let Some(field) = found {
            let Kind::Message(inner) = field.kind() else {
                return Err(wrong(format!("`{}` is a single value and has no fields", field.name())));
            };
            block = inner;
        }
        let field = block.get_field_by_name(&step.name).ok_or_else(|| {
            let names: Vec<String> = block.fields().map(|field| field.name().into()).collect();
            let hint = suggestion(&step.name, &names).map_or(String::new(), |hint| format!("; {hint}"));
            wrong(format!("{} has no field `{}`{hint}", block.name(), step.name))
        })?;
        if step.index.is_some() && !field.is_list() && !field.is_map() {
            return Err(wrong(format!("`{}` is given once and has no index", field.name())));
        }
        found = Some(field);
    }
    found.ok_or_else(|| wrong("it is empty".into()))
}

fn info(field: &FieldDescriptor) -> FieldInfo {
    let kind = field.kind();
    let repeated = field.is_list() || field.is_map();
    let is_block = matches!(kind, Kind::Message(_));
    let file = field.parent_file().name().to_owned();
    let choices = match &kind {
        Kind::Enum(type_of) => type_of
            .values()
            .map(|value| Choice { name: value.name().into(), help: comment(value.parent_file().name(), value.path()) })
            .collect(),
        _ => Vec::new(),
    };
    FieldInfo {
        name: field.name().into(),
        type_name: type_name(&kind),
        is_block,
        repeated,
        default: (!is_block && !repeated).then(|| default_text(field, &kind)),
        choices,
        oneof: field.containing_oneof().map(|oneof| oneof.name().into()),
        deprecated: field.field_descriptor_proto().options.as_ref().is_some_and(|options| options.deprecated()),
        help: comment(&file, field.path()),
    }
}

fn type_name(kind: &Kind) -> String {
    match kind {
        Kind::Message(type_of) => type_of.name().into(),
        Kind::Enum(type_of) => type_of.name().into(),
        Kind::Bool => "bool".into(),
        Kind::Float => "float".into(),
        Kind::Double => "double".into(),
        Kind::String => "string".into(),
        Kind::Bytes => "bytes".into(),
        Kind::Int32 => "int32".into(),
        Kind::Uint32 => "uint32".into(),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// The default as a config would write it.
fn default_text(field: &FieldDescriptor, kind: &Kind) -> String {
    use prost_reflect::Value;
    match (field.default_value(), kind) {
        (Value::EnumNumber(number), Kind::Enum(type_of)) => {
            type_of.get_value(number).map_or_else(|| number.to_string(), |value| value.name().into())
        }
        (Value::Bool(value), _) => value.to_string(),
        (Value::F32(value), _) => float32(value),
        (Value::I32(value), _) => value.to_string(),
        (Value::U32(value), _) => value.to_string(),
        (Value::String(value), _) => quote(&value),
        (value, _) => value.to_string(),
    }
}

/// The comment in front of something in a `.proto` file, its lines joined.
fn comment(file: &str, path: &[i32]) -> String {
    type Comments = HashMap<String, HashMap<Vec<i32>, String>>;
    static COMMENTS: OnceLock<Comments> = OnceLock::new();
    let comments = COMMENTS.get_or_init(|| {
        let mut comments = Comments::new();
        for file in proto::descriptor_pool().file_descriptor_protos() {
            let of_file = comments.entry(file.name().into()).or_default();
            for location in file.source_code_info.iter().flat_map(|info| &info.location) {
                if let Some(text) = &location.leading_comments {
                    let words: Vec<&str> = text.split_whitespace().collect();
                    of_file.insert(location.path.clone(), words.join(" "));
                }
            }
        }
        comments
    });
    comments.get(file).and_then(|of_file| of_file.get(path)).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_explained() {
        let info = field("train_config.batch_size").expect("a field");
        assert_eq!((info.type_name.as_str(), info.default.as_deref()), ("uint32", Some("32")));
        assert_eq!(info.help, "Images in one step; several devices share them.");
        let info = field("model.ssd.post_processing.score_converter").expect("a field");
        assert_eq!(info.default.as_deref(), Some("IDENTITY"));
        assert_eq!(
            info.choices.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(),
            ["IDENTITY", "SIGMOID", "SOFTMAX"]
        );
        assert_eq!(info.choices[1].help, "Each class on its own, by a sigmoid.");
        let info = field("train_config.optimizer.adam_optimizer").expect("a field");
        assert_eq!((info.oneof.as_deref(), info.is_block, info.default), (Some("optimizer"), true, None));
        assert!(field("train_config.from_detection_checkpoint").expect("a field").deprecated);
        let info =
            field("model.ssd.box_predictor.convolutional_box_predictor.dropout_keep_probability").expect("a field");
        assert_eq!(info.default.as_deref(), Some("0.8"));
    }

    #[test]
    fn every_field_and_choice_of_the_schema_has_help() {
        let mut without = Vec::new();
        for message in proto::descriptor_pool().all_messages().filter(|message| !message.is_map_entry()) {
            for field in message.fields() {
                let info = info(&field);
                if info.help.is_empty() || info.choices.iter().any(|choice| choice.help.is_empty()) {
                    without.push(field.full_name().to_owned());
                }
            }
        }
        assert_eq!(without, Vec::<String>::new());
    }

    #[test]
    fn a_wrong_path_is_explained() {
        let message = |path: &str| field(path).expect_err("not a field").to_string();
        assert!(message("train_config.batchsize").contains("did you mean `batch_size`?"));
        assert!(message("train_config.batch_size.x").contains("single value"));
        assert!(message("model[0].ssd").contains("no index"));
        assert!(message("").contains("empty"));
        assert!(children("train_config.batch_size").is_err());
        assert_eq!(children("").expect("the root").len(), 6);
    }
}
