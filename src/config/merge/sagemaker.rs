//! The hyperparameters of Amazon SageMaker's built-in object detection algorithm, and four names that
//! training containers use beside them, as fields of a pipeline config.
//!
//! SageMaker hands every value over as a string. Names, ranges and defaults are those of its developer
//! guide. A default is not applied: what a request does not name stays as the config has it, except
//! where one name needs another (`lr_scheduler_step` without a factor takes the guide's 0.1).
//! What has no counterpart here is reported with the reason and never dropped in silence.

use std::collections::HashMap;

use prost_reflect::{DynamicMessage, Kind, Value};
use serde_json::{Map, Value as Json};

use super::Outcome;
use super::draft::{Draft, descriptor};
use super::values::{from_text, wrong};
use crate::error::ConfigError;
use crate::message_path::{block, chosen, count, get, number};
use crate::text_format::float32;

/// A hyperparameter as SageMaker's developer guide lists it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SageMakerParameter {
    /// Its name.
    pub name: &'static str,
    /// The values that it may have.
    pub valid: Valid,
    /// The value that the algorithm takes where none is given; none where it has no default.
    pub default: Option<&'static str>,
}

/// The values that a hyperparameter may have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Valid {
    /// A whole number from this one on.
    Count(u32),
    /// A number above 0, up to and with 1.
    UpToOne,
    /// A number between 0 and 1, without both.
    BetweenZeroAndOne,
    /// A number from 0 to 1, with both.
    FromZeroToOne,
    /// One of these words.
    Words(&'static [&'static str]),
    /// True or false.
    Flag,
    /// Epochs separated by commas.
    Epochs,
    /// A height and width in pixels, `300` or `300x400`.
    Size,
    /// Any text.
    Text,
}

const fn parameter(name: &'static str, valid: Valid, default: Option<&'static str>) -> SageMakerParameter {
    SageMakerParameter { name, valid, default }
}

/// Every hyperparameter that is understood, the built-in algorithm's first.
pub const SAGEMAKER_PARAMETERS: &[SageMakerParameter] = &[
    parameter("num_classes", Valid::Count(1), None),
    parameter("num_training_samples", Valid::Count(1), None),
    parameter("base_network", Valid::Words(&["vgg-16", "resnet-50"]), Some("vgg-16")),
    parameter("early_stopping", Valid::Flag, Some("False")),
    parameter("early_stopping_min_epochs", Valid::Count(1), Some("10")),
    parameter("early_stopping_patience", Valid::Count(1), Some("5")),
    parameter("early_stopping_tolerance", Valid::FromZeroToOne, Some("0.0")),
    parameter("image_shape", Valid::Count(300), Some("300")),
    parameter("epochs", Valid::Count(1), Some("30")),
    parameter("freeze_layer_pattern", Valid::Text, None),
    parameter("kv_store", Valid::Words(&["dist_sync", "dist_async"]), None),
    parameter("label_width", Valid::Count(1), Some("350")),
    parameter("learning_rate", Valid::UpToOne, Some("0.001")),
    parameter("lr_scheduler_factor", Valid::BetweenZeroAndOne, Some("0.1")),
    parameter("lr_scheduler_step", Valid::Epochs, None),
    parameter("mini_batch_size", Valid::Count(1), Some("32")),
    parameter("momentum", Valid::UpToOne, Some("0.9")),
    parameter("nms_threshold", Valid::UpToOne, Some("0.45")),
    parameter("optimizer", Valid::Words(&["sgd", "adam", "rmsprop", "adadelta"]), Some("sgd")),
    parameter("overlap_threshold", Valid::UpToOne, Some("0.5")),
    parameter("use_pretrained_model", Valid::Words(&["0", "1"]), Some("1")),
    parameter("weight_decay", Valid::BetweenZeroAndOne, Some("0.0005")),
    // Of SageMaker's image algorithms in general.
    parameter("checkpoint_frequency", Valid::Count(1), None),
    parameter("force_padding", Valid::Flag, None),
    // Of containers that train TFOD.
    parameter("num_steps", Valid::Count(1), None),
    parameter("image_size", Valid::Size, None),
    parameter("quantize", Valid::Flag, None),
    parameter("inference_type", Valid::Words(&["FLOAT", "QUANTIZED_UINT8"]), None),
];

/// Names that TFOD has too, with the same meaning; its code applies them.
const SHARED: &[&str] = &["num_classes", "learning_rate"];

/// The order in which the others are applied: each may rely on those before it.
const ORDER: &[&str] = &[
    "base_network",
    "use_pretrained_model",
    "image_shape",
    "image_size",
    "optimizer",
    "momentum",
    "weight_decay",
    "nms_threshold",
    "mini_batch_size",
    "num_training_samples",
    "epochs",
    "num_steps",
    "lr_scheduler_factor",
    "lr_scheduler_step",
    "freeze_layer_pattern",
    "quantize",
    "inference_type",
    "overlap_threshold",
    "label_width",
    "early_stopping",
    "early_stopping_min_epochs",
    "early_stopping_patience",
    "early_stopping_tolerance",
    "kv_store",
    "checkpoint_frequency",
    "force_padding",
];

/// Whether a key is applied by this module.
pub(super) fn is_own(key: &str) -> bool {
    ORDER.contains(&key)
}

/// The checked values of one request, as texts.
pub(super) struct Parameters {
    values: HashMap<String, String>,
}

/// What a parameter did: `None` where it was applied.
type Effect = Option<Outcome>;

impl Parameters {
    /// Checks every value of the table that is given. The names that TFOD shares are held to
    /// SageMaker's ranges only beside SageMaker's own.
    pub(super) fn of(given: &Map<String, Json>) -> Result<Self, ConfigError> {
        let beside = given.keys().any(|key| is_own(key));
        let mut values = HashMap::new();
        for (key, json) in given {
            let Some(parameter) = SAGEMAKER_PARAMETERS.iter().find(|parameter| parameter.name == key) else {
                continue;
            };
            if json.is_null() || json.as_str() == Some("") || (SHARED.contains(&parameter.name) && !beside) {
                continue;
            }
            let text = match json {
                Json::String(text) => text.trim().trim_matches(['"', '\'']).trim().to_owned(),
                Json::Number(number) => number.to_string(),
                Json::Bool(truth) => truth.to_string(),
                _ => return Err(wrong(key, json, "write a single value")),
            };
            parameter.valid.check(&text).map_err(|reason| wrong(key, json, reason))?;
            values.insert(key.clone(), text);
        }
        Ok(Self { values })
    }

    /// Applies what this module knows of the request.
    pub(super) fn apply(&self, draft: &mut Draft) -> Result<HashMap<String, Outcome>, ConfigError> {
        let mut outcomes = HashMap::new();
        for key in ORDER {
            let Some(text) = self.values.get(*key) else { continue };
            let before = draft.message().clone();
            let effect = self.one(draft, key, text)?;
            draft.settle(key);
            let outcome = effect.unwrap_or_else(|| Outcome::Applied(draft.changes_since(&before)));
            outcomes.insert((*key).to_owned(), outcome);
        }
        Ok(outcomes)
    }

    fn one(&self, draft: &mut Draft, key: &str, text: &str) -> Result<Effect, ConfigError> {
        let nothing = |reason: &str| Ok(Some(Outcome::WithoutEffect(reason.into())));
        match key {
            "base_network" => base_network(draft, text),
            "use_pretrained_model" => pretrained(draft, text),
            "image_shape" | "image_size" => image_size(draft, key, text),
            "optimizer" => optimizer(draft, text),
            "momentum" => momentum(draft, key, text),
            "weight_decay" => weight_decay(draft, key, text),
            "nms_threshold" => nms_threshold(draft, key, text),
            "mini_batch_size" => set(draft, key, "train_config.batch_size", text),
            "num_steps" => set(draft, key, "train_config.num_steps", text),
            "num_training_samples" => Ok(Some(self.used_by(&["epochs", "lr_scheduler_step"]))),
            "lr_scheduler_factor" => Ok(Some(self.used_by(&["lr_scheduler_step"]))),
            "epochs" => {
                let steps = self.epochs_in_steps(draft, key, text)?;
                set(draft, key, "train_config.num_steps", &steps.to_string())
            }
            "lr_scheduler_step" => self.schedule(draft, key, text),
            "freeze_layer_pattern" => freeze(draft, key, text),
            "quantize" => quantize(draft, is_true(text)),
            "inference_type" => self.inference_type(draft, text),
            "overlap_threshold" => nothing(
                "evaluation reports TFOD's metrics, whose overlaps are fixed; PASCAL's and COCO's @.50IOU are at 0.5",
            ),
            "label_width" | "force_padding" => nothing("records hold any number of boxes without padding"),
            "kv_store" => nothing("training runs on one machine, and there is nothing to keep in step"),
            "checkpoint_frequency" => nothing("checkpoints are written by the training program's own schedule"),
            _ if key.starts_with("early_stopping") => {
                nothing("training always runs its steps to the end; the best checkpoint can be chosen afterwards")
            }
            _ => nothing("it has no counterpart in the config"),
        }
    }

    /// For a name that only serves others: which of them is there.
    fn used_by(&self, others: &[&str]) -> Outcome {
        match others.iter().find(|other| self.values.contains_key(**other)) {
            Some(other) => Outcome::UsedBy((*other).into()),
            None => Outcome::WithoutEffect(format!("it counts only together with {}", others.join(" or "))),
        }
    }

    /// Steps of a number of epochs; the last batch of an epoch may be smaller.
    fn epochs_in_steps(&self, draft: &Draft, key: &str, epochs: &str) -> Result<u64, ConfigError> {
        let Some(samples) = self.values.get("num_training_samples").and_then(|text| text.parse::<u64>().ok()) else {
            let reason = "it counts epochs, and only `num_training_samples` says how many steps these are";
            return Err(ConfigError::Hyperparameter { key: key.into(), reason: reason.into() });
        };
        let batch = number(draft.message(), "train_config.batch_size").unwrap_or(1.0).max(1.0) as u64;
        let epochs: u64 = epochs.parse().unwrap_or(0);
        Ok(samples.div_ceil(batch).saturating_mul(epochs))
    }

    /// `"3, 6"` and the factor as a manual step schedule.
    fn schedule(&self, draft: &mut Draft, key: &str, text: &str) -> Result<Effect, ConfigError> {
        let refuse = |reason: &str| Err(ConfigError::Hyperparameter { key: key.into(), reason: reason.into() });
        let Some(kind) = chosen(draft.message(), "train_config.optimizer") else {
            return refuse("the config has no optimizer; add one to `train_config.optimizer`");
        };
        let path = format!("train_config.optimizer.{kind}.learning_rate");
        let factor = self.values.get("lr_scheduler_factor").and_then(|text| text.parse().ok()).unwrap_or(0.1);
        let initial = initial_rate(draft.message(), &path);
        let field = descriptor(&format!("{path}.manual_step_learning_rate"))?;
        let step_field = descriptor(&format!("{path}.manual_step_learning_rate.schedule"))?;
        let (Kind::Message(schedule), Kind::Message(step)) = (field.kind(), step_field.kind()) else {
            return refuse("the schema has no manual steps");
        };
        let mut rate = initial;
        let mut steps = Vec::new();
        let mut last = 0;
        for epoch in text.split(',').map(str::trim).filter(|epoch| !epoch.is_empty()) {
            let at = self.epochs_in_steps(draft, key, epoch)?;
            let at = u32::try_from(at).ok().filter(|at| *at > last);
            let Some(at) = at else { return refuse("the epochs must ascend, and their steps fit 32 bits") };
            last = at;
            rate *= factor;
            let mut message = DynamicMessage::new(step.clone());
            message.set_field_by_name("step", Value::U32(at));
            message.set_field_by_name("learning_rate", Value::F32(rate as f32));
            steps.push(Value::Message(message));
        }
        let mut message = DynamicMessage::new(schedule);
        message.set_field_by_name("initial_learning_rate", Value::F32(initial as f32));
        message.set_field_by_name("schedule", Value::List(steps));
        draft.set(&format!("{path}.manual_step_learning_rate"), Value::Message(message))?;
        Ok(None)
    }

    fn inference_type(&self, draft: &mut Draft, text: &str) -> Result<Effect, ConfigError> {
        let quantized = text.eq_ignore_ascii_case("QUANTIZED_UINT8");
        if !quantized && self.values.get("quantize").is_some_and(|text| is_true(text)) {
            let reason = "`quantize` asks for training with 8 bits; the export decides the type of the model file";
            return Ok(Some(Outcome::WithoutEffect(reason.into())));
        }
        quantize(draft, quantized)
    }
}

impl Valid {
    /// Whether a text is such a value, or what it should be.
    fn check(self, text: &str) -> Result<(), String> {
        let real = || text.parse::<f64>().ok().filter(|number| number.is_finite());
        let fits = match self {
            Self::Count(least) => text.parse::<u32>().is_ok_and(|number| number >= least),
            Self::UpToOne => real().is_some_and(|number| number > 0.0 && number <= 1.0),
            Self::BetweenZeroAndOne => real().is_some_and(|number| number > 0.0 && number < 1.0),
            Self::FromZeroToOne => real().is_some_and(|number| (0.0..=1.0).contains(&number)),
            Self::Words(words) => words.iter().any(|word| word.eq_ignore_ascii_case(text)),
            Self::Flag => ["true", "false", "1", "0"].iter().any(|word| word.eq_ignore_ascii_case(text)),
            Self::Epochs => text
                .split(',')
                .map(str::trim)
                .all(|epoch| epoch.is_empty() || epoch.parse::<u32>().is_ok_and(|epoch| epoch > 0)),
            Self::Size => size(text).is_some(),
            Self::Text => true,
        };
        if fits { Ok(()) } else { Err(format!("write {self}")) }
    }
}

impl std::fmt::Display for Valid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Count(least) => write!(f, "a whole number from {least} on"),
            Self::UpToOne => f.write_str("a number above 0, at most 1"),
            Self::BetweenZeroAndOne => f.write_str("a number above 0 and below 1"),
            Self::FromZeroToOne => f.write_str("a number from 0 to 1"),
            Self::Words(words) => write!(f, "one of {}", words.join(", ")),
            Self::Flag => f.write_str("True or False"),
            Self::Epochs => f.write_str("epochs separated by commas, as in \"3, 6\""),
            Self::Size => f.write_str("pixels, as in 300 or 300x400 (height x width)"),
            Self::Text => f.write_str("a text"),
        }
    }
}

fn is_true(text: &str) -> bool {
    text == "1" || text.eq_ignore_ascii_case("true")
}

/// `300` or `300x400`, height first.
fn size(text: &str) -> Option<(u32, u32)> {
    let pixels = |text: &str| text.trim().parse::<u32>().ok().filter(|pixels| (1..=i32::MAX as u32).contains(pixels));
    match text.split_once(['x', 'X', ',']) {
        Some((height, width)) => Some((pixels(height)?, pixels(width)?)),
        None => pixels(text).map(|side| (side, side)),
    }
}

fn set(draft: &mut Draft, key: &str, path: &str, text: &str) -> Result<Effect, ConfigError> {
    let value = from_text(key, &descriptor(path)?, text)?;
    draft.set(path, value)?;
    Ok(None)
}

fn nothing(reason: impl Into<String>) -> Result<Effect, ConfigError> {
    Ok(Some(Outcome::WithoutEffect(reason.into())))
}

/// A ResNet of another depth becomes one of 50 layers; other architectures are other configs.
fn base_network(draft: &mut Draft, text: &str) -> Result<Effect, ConfigError> {
    let model = chosen(draft.message(), "model").unwrap_or_default();
    let path = format!("model.{model}.feature_extractor.type");
    let Some(Value::String(current)) = get(draft.message(), &path) else {
        return nothing("the config names no feature extractor");
    };
    if text.eq_ignore_ascii_case("vgg-16") {
        return nothing(format!("TFOD has no VGG; the config's {current} stays"));
    }
    let depth = ["resnet50", "resnet101", "resnet152"].iter().find(|depth| current.contains(**depth));
    let Some(depth) = depth else {
        return nothing(format!(
            "the anchors and predictors of the config are those of {current}; take a config with a ResNet"
        ));
    };
    draft.set(&path, Value::String(current.replacen(depth, "resnet50", 1)))?;
    Ok(None)
}

fn pretrained(draft: &mut Draft, text: &str) -> Result<Effect, ConfigError> {
    let path = "train_config.fine_tune_checkpoint";
    let given = get(draft.message(), path).is_some_and(|value| value.as_str() != Some(""));
    match (text, given) {
        ("0", _) => {
            for field in ["fine_tune_checkpoint", "fine_tune_checkpoint_type", "from_detection_checkpoint"] {
                draft.remove(&format!("train_config.{field}"))?;
            }
            Ok(None)
        }
        (_, true) => nothing(format!("the config starts from a checkpoint already, its `{path}`")),
        (_, false) => nothing(format!("the config names no checkpoint to start from; set `{path}`")),
    }
}

/// The model's input: the sides of a fixed resizer, which takes the place of any other.
fn image_size(draft: &mut Draft, key: &str, text: &str) -> Result<Effect, ConfigError> {
    let Some(model) = chosen(draft.message(), "model").filter(|model| model != "experimental_model") else {
        return nothing("the config has no model");
    };
    let (height, width) = size(text).unwrap_or((300, 300));
    let path = format!("model.{model}.image_resizer.fixed_shape_resizer");
    set(draft, key, &format!("{path}.height"), &height.to_string())?;
    set(draft, key, &format!("{path}.width"), &width.to_string())
}

/// Another optimizer with the learning rate of the one before.
fn optimizer(draft: &mut Draft, text: &str) -> Result<Effect, ConfigError> {
    let kind = match text.to_ascii_lowercase().as_str() {
        "sgd" => "momentum_optimizer",
        "adam" => "adam_optimizer",
        "rmsprop" => "rms_prop_optimizer",
        _ => return nothing("TFOD has no Adadelta; the config's optimizer stays"),
    };
    let before = chosen(draft.message(), "train_config.optimizer");
    if before.as_deref() == Some(kind) {
        return Ok(None);
    }
    let path = format!("train_config.optimizer.{kind}");
    let Kind::Message(type_of) = descriptor(&path)?.kind() else { return nothing("the schema has no such block") };
    let mut message = DynamicMessage::new(type_of);
    let rate =
        before.and_then(|before| get(draft.message(), &format!("train_config.optimizer.{before}.learning_rate")));
    if let Some(rate) = rate {
        message.set_field_by_name("learning_rate", rate);
    }
    draft.set(&path, Value::Message(message))?;
    Ok(None)
}

fn momentum(draft: &mut Draft, key: &str, text: &str) -> Result<Effect, ConfigError> {
    match chosen(draft.message(), "train_config.optimizer").as_deref() {
        Some("momentum_optimizer") => {
            set(draft, key, "train_config.optimizer.momentum_optimizer.momentum_optimizer_value", text)
        }
        other => nothing(format!("only sgd has it, and the optimizer is {}", other.unwrap_or("not set"))),
    }
}

/// The weight of every L2 regularizer of the model: both add `weight × w` to the gradient.
fn weight_decay(draft: &mut Draft, key: &str, text: &str) -> Result<Effect, ConfigError> {
    if chosen(draft.message(), "train_config.optimizer").as_deref() == Some("adam_optimizer") {
        return nothing("only sgd and rmsprop have it, and the optimizer is adam_optimizer");
    }
    let mut paths = Vec::new();
    if let Some(model) = block(draft.message(), "model") {
        l2_regularizers(&model, "model", &mut paths);
    }
    if paths.is_empty() {
        return nothing("no layer of the config has an `l2_regularizer`");
    }
    for path in paths {
        set(draft, key, &format!("{path}.weight"), text)?;
    }
    Ok(None)
}

fn l2_regularizers(message: &DynamicMessage, path: &str, found: &mut Vec<String>) {
    for (field, value) in message.fields() {
        let path = format!("{path}.{}", field.name());
        match value {
            Value::Message(_) if field.name() == "l2_regularizer" => found.push(path),
            Value::Message(inner) => l2_regularizers(inner, &path, found),
            Value::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    if let Some(inner) = item.as_message() {
                        l2_regularizers(inner, &format!("{path}[{i}]"), found);
                    }
                }
            }
            _ => {}
        }
    }
}

fn nms_threshold(draft: &mut Draft, key: &str, text: &str) -> Result<Effect, ConfigError> {
    let block = match chosen(draft.message(), "model").as_deref() {
        Some("ssd") => "model.ssd.post_processing",
        Some("faster_rcnn") => "model.faster_rcnn.second_stage_post_processing",
        other => return nothing(format!("a {} suppresses no boxes", other.unwrap_or("config without a model"))),
    };
    set(draft, key, &format!("{block}.batch_non_max_suppression.iou_threshold"), text)
}

/// The rate at which the present schedule starts, in the decimals that the config has.
fn initial_rate(message: &DynamicMessage, path: &str) -> f64 {
    let field = match chosen(message, path).as_deref() {
        Some("constant_learning_rate") => "constant_learning_rate.learning_rate",
        Some("exponential_decay_learning_rate") => "exponential_decay_learning_rate.initial_learning_rate",
        Some("manual_step_learning_rate") => "manual_step_learning_rate.initial_learning_rate",
        Some("cosine_decay_learning_rate") => "cosine_decay_learning_rate.learning_rate_base",
        // The guide's own default.
        _ => return 0.001,
    };
    let rate = number(message, &format!("{path}.{field}")).unwrap_or(0.001);
    float32(rate as f32).parse().unwrap_or(rate)
}

/// Variables whose names fit the pattern are frozen; they are TFOD's names and not MXNet's.
fn freeze(draft: &mut Draft, key: &str, text: &str) -> Result<Effect, ConfigError> {
    let path = "train_config.freeze_variables";
    let frozen = get(draft.message(), path);
    let frozen = frozen.as_ref().and_then(Value::as_list).unwrap_or_default();
    if frozen.iter().any(|pattern| pattern.as_str() == Some(text)) {
        return Ok(None);
    }
    let next = count(draft.message(), path);
    let quoted = crate::text_format::quote(text);
    set(draft, key, &format!("{path}[{next}]"), &quoted)
}

/// Training for 8 bits, from nine tenths of the steps on where the config does not say when.
fn quantize(draft: &mut Draft, on: bool) -> Result<Effect, ConfigError> {
    let path = "graph_rewriter.quantization";
    let present = block(draft.message(), path).is_some();
    match (on, present) {
        (true, true) => Ok(None),
        (true, false) => {
            let Kind::Message(type_of) = descriptor(path)?.kind() else {
                return nothing("the schema has no such block");
            };
            let steps = number(draft.message(), "train_config.num_steps").unwrap_or(0.0);
            let mut message = DynamicMessage::new(type_of);
            let delay = (steps * 0.9) as i32;
            message.set_field_by_name("delay", Value::I32(delay));
            message.set_field_by_name("weight_bits", Value::I32(8));
            message.set_field_by_name("activation_bits", Value::I32(8));
            draft.set(path, Value::Message(message))?;
            Ok(None)
        }
        (false, true) => {
            let only = block(draft.message(), "graph_rewriter").is_some_and(|block| block.fields().count() == 1);
            draft.remove(if only { "graph_rewriter" } else { path })?;
            Ok(None)
        }
        (false, false) => nothing("the config trains with floats already"),
    }
}
