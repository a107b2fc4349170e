//! A config merged with what people bring: an override text, hyperparameters, single fields.
//!
//! The three come in this order, and a later one wins:
//! 1. override texts, as protobuf merges them: single values are replaced, blocks are merged, repeated
//!    fields are appended to, the last member of a oneof stays (`override_text.rs`);
//! 2. hyperparameters from JSON: the keys of TFOD's `config_util.merge_external_params_with_configs`
//!    with their exact meaning (`tfod.rs`), the names that training scripts use, and the whole table
//!    of Amazon SageMaker's built-in object detection algorithm (`sagemaker.rs`);
//! 3. `path=value`, any field of the schema (`settings.rs`).
//!
//! Each change is made twice: on the message, where its meaning is decided, and on the text, where
//! comments and layout should stay. After each key the text is read back and compared; where an edit
//! cannot say what the message says, the text is printed anew, and the report says why (`draft.rs`).

mod draft;
mod override_text;
mod sagemaker;
mod settings;
mod tfod;
mod values;

use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::error::ConfigError;
use crate::pipeline::Pipeline;
use crate::show::Difference;
use draft::Draft;

pub use draft::Layout;
pub use sagemaker::{SAGEMAKER_PARAMETERS, SageMakerParameter, Valid};

/// What is to be merged over a config.
#[derive(Clone, Debug, Default)]
pub struct MergeRequest {
    /// Override texts, each with the name that errors call it.
    pub overrides: Vec<(String, String)>,
    /// Hyperparameters by name, applied in their order.
    pub hyperparameters: Map<String, Json>,
    /// Fields by path, with the value as a config would write it.
    pub settings: Vec<(String, String)>,
}

impl MergeRequest {
    /// Adds the hyperparameters of a JSON object; of a name that is there already the new value counts.
    ///
    /// # Errors
    /// The text is no JSON object.
    pub fn add_hyperparameters(&mut self, json: &str, file: &str) -> Result<(), ConfigError> {
        let wrong = |reason: String| ConfigError::Json { file: file.into(), reason };
        match serde_json::from_str(json).map_err(|error| wrong(format!("it is no JSON: {error}")))? {
            Json::Object(values) => self.hyperparameters.extend(values),
            _ => return Err(wrong("it must be an object like {\"num_classes\": 3, \"batch_size\": 8}".into())),
        }
        Ok(())
    }

    /// Adds a `path=value`.
    ///
    /// # Errors
    /// There is no `=`.
    pub fn add_setting(&mut self, setting: &str) -> Result<(), ConfigError> {
        let Some((path, value)) = setting.split_once('=') else {
            let reason = "write `path=value`, as in `train_config.batch_size=8`".into();
            return Err(ConfigError::FieldPath { path: setting.into(), reason });
        };
        self.settings.push((path.trim().into(), value.into()));
        Ok(())
    }
}

/// A merged config and how it came about.
#[derive(Clone, Debug)]
pub struct Merged {
    /// The result, with its text.
    pub pipeline: Pipeline,
    /// What was done.
    pub report: Report,
}

/// What a merge did, key by key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether the text of the base is still there.
    pub layout: Layout,
    /// Every override, hyperparameter and setting in the order in which they were given.
    pub entries: Vec<Entry>,
}

/// What became of one override, hyperparameter or setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Where it came from.
    pub source: Source,
    /// The name of the override's file, of the hyperparameter, or the path.
    pub key: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// The three ways into a merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// An override text.
    Override,
    /// A hyperparameter.
    Hyperparameter,
    /// A `path=value`.
    Setting,
}

/// What became of one override, hyperparameter or setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was applied: the fields that changed, none where they had the values already.
    Applied(Vec<Difference>),
    /// It counts together with another key, which reports the change.
    UsedBy(String),
    /// It changes nothing, for this reason.
    WithoutEffect(String),
    /// Nobody knows the name, and it is ignored as TFOD does; what may have been meant.
    Unknown(String),
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = &self.key;
        match &self.outcome {
            Outcome::Applied(changes) if changes.is_empty() => write!(f, "{key}: nothing to change"),
            Outcome::Applied(changes) => {
                let line = |change: &Difference| match change.path.starts_with(key.as_str()) {
                    true => change.to_string(),
                    false => format!("{key}: {change}"),
                };
                f.write_str(&changes.iter().map(line).collect::<Vec<_>>().join("\n"))
            }
            Outcome::UsedBy(other) => write!(f, "{key}: used by {other}"),
            Outcome::WithoutEffect(reason) => write!(f, "{key}: without effect: {reason}"),
            Outcome::Unknown(hint) => write!(f, "{key}: unknown and ignored{hint}"),
        }
    }
}

/// Merges a request over a config.
///
/// # Errors
/// An override is no config text; a hyperparameter has a value that its field cannot hold, or asks
/// for something that this config does not have, where TFOD refuses it too; a path does not exist.
pub fn merge(base: &Pipeline, request: &MergeRequest) -> Result<Merged, ConfigError> {
    let mut draft = Draft::new(base);
    let mut entries = Vec::new();
    for (name, text) in &request.overrides {
        let before = draft.message().clone();
        override_text::apply(&mut draft, text, name)?;
        draft.settle(name);
        let outcome = Outcome::Applied(draft.changes_since(&before));
        entries.push(Entry { source: Source::Override, key: name.clone(), outcome });
    }
    for (key, outcome) in hyperparameters(&mut draft, &request.hyperparameters)? {
        entries.push(Entry { source: Source::Hyperparameter, key, outcome });
    }
    for (path, value) in &request.settings {
        let before = draft.message().clone();
        settings::apply(&mut draft, path, value)?;
        draft.settle(path);
        let outcome = Outcome::Applied(draft.changes_since(&before));
        entries.push(Entry { source: Source::Setting, key: path.clone(), outcome });
    }
    let (pipeline, layout) = draft.finish(base.file())?;
    Ok(Merged { pipeline, report: Report { layout, entries } })
}

/// Applies the hyperparameters: TFOD's in their order, then SageMaker's, which depend on each other.
fn hyperparameters(draft: &mut Draft, values: &Map<String, Json>) -> Result<Vec<(String, Outcome)>, ConfigError> {
    let sagemaker = sagemaker::Parameters::of(values)?;
    let mut outcomes: Vec<(String, Option<Outcome>)> = Vec::new();
    for (key, value) in values {
        let outcome = if value.is_null() || value.as_str() == Some("") {
            Some(Outcome::WithoutEffect("its value is empty".into()))
        } else if sagemaker::is_own(key) {
            None
        } else {
            let before = draft.message().clone();
            let outcome = match tfod::apply(draft, key, value)? {
                tfod::Effect::Done => None,
                tfod::Effect::Nothing(reason) => Some(Outcome::WithoutEffect(reason)),
                tfod::Effect::Unknown => Some(unknown(key)),
            };
            draft.settle(key);
            Some(outcome.unwrap_or_else(|| Outcome::Applied(draft.changes_since(&before))))
        };
        outcomes.push((key.clone(), outcome));
    }
    let mut of_sagemaker = sagemaker.apply(draft)?;
    let finished = outcomes.into_iter().map(|(key, outcome)| {
        let late = || of_sagemaker.remove(&key).unwrap_or_else(|| unknown(&key));
        let outcome = outcome.unwrap_or_else(late);
        (key, outcome)
    });
    Ok(finished.collect())
}

/// Every name that a hyperparameter may have, besides the paths of fields.
pub fn hyperparameter_names() -> impl Iterator<Item = &'static str> {
    let own = SAGEMAKER_PARAMETERS.iter().map(|parameter| parameter.name);
    tfod::KEYS.iter().copied().chain(own.filter(|name| !tfod::KEYS.contains(name)))
}

/// A name that nobody knows, with the nearest one that somebody does.
fn unknown(key: &str) -> Outcome {
    if key.starts_with("sagemaker_") {
        return Outcome::WithoutEffect("it steers SageMaker's container and not the training".into());
    }
    let names: Vec<String> = hyperparameter_names().map(str::to_owned).collect();
    // A field's bare name wants its block in front.
    for block in ["train_config", "eval_config", "train_input_config"] {
        let field = format!("{}.{key}", block.replace("input_config", "input_reader"));
        if !key.contains('.') && crate::schema::field(&field).is_ok() {
            return Outcome::Unknown(format!("; to set the field, write `{block}.{key}`"));
        }
    }
    let hint = crate::text_format::bind::suggestion(key, &names);
    Outcome::Unknown(hint.map_or(String::new(), |hint| format!("; {hint}")))
}
