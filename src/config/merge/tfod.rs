//! The keys of TFOD's `config_util.merge_external_params_with_configs`, each with its exact meaning.
//!
//! A key is one of three things. A name from [`KEYS`] changes whatever fields belong to it, which may
//! be several: a new `learning_rate` rescales the schedule behind it. `train_input_config:NAME:field`
//! and `eval_input_configs:NAME:field` mean the reader with that name. And a path that starts with
//! `model.`, `train_config.`, `eval_config.`, `train_input_config.` or `graph_rewriter_config.` sets a
//! field that the config has already. Anything else is ignored. Where TFOD raises, this is an error.
//!
//! Not TFOD's but in use beside them: `num_examples` and `fine_tune_checkpoint_type`.

use prost_reflect::{Kind, Value};
use serde_json::Value as Json;

use super::draft::{Draft, descriptor};
use super::values::{for_field, number, rounded, truncated, whole, wrong};
use crate::error::ConfigError;
use crate::message_path::{block, chosen, count, get, number as number_at};

/// The names.
pub(super) const KEYS: &[&str] = &[
    "learning_rate",
    "batch_size",
    "momentum_optimizer_value",
    "classification_localization_weight_ratio",
    "focal_loss_gamma",
    "focal_loss_alpha",
    "train_steps",
    "label_map_path",
    "mask_type",
    "train_input_path",
    "eval_input_path",
    "append_train_input_path",
    "append_eval_input_path",
    "train_shuffle",
    "eval_shuffle",
    "sample_1_of_n_eval_examples",
    "eval_num_epochs",
    "eval_with_moving_averages",
    "retain_original_images_in_eval",
    "use_bfloat16",
    "retain_original_image_additional_channels_in_eval",
    "num_classes",
    "sample_from_datasets_weights",
    "peak_max_pool_kernel_size",
    "candidate_search_scale",
    "candidate_ranking_mode",
    "score_distance_offset",
    "box_scale",
    "keypoint_candidate_score_threshold",
    "rescore_instances",
    "unmatched_keypoint_score",
    "score_distance_multiplier",
    "std_dev_multiplier",
    "rescoring_threshold",
    "num_examples",
    "fine_tune_checkpoint_type",
];

/// What a key did.
pub(super) enum Effect {
    /// It was applied.
    Done,
    /// TFOD accepts it and it changes nothing, for this reason.
    Nothing(String),
    /// It is no key.
    Unknown,
}

/// The start of a path and the block of the config that it means.
const BLOCKS: &[(&str, &str)] = &[
    ("graph_rewriter_config", "graph_rewriter"),
    ("model", "model"),
    ("train_input_config", "train_input_reader"),
    ("train_config", "train_config"),
    ("eval_config", "eval_config"),
];

/// The fields of a reader that can be set by the reader's name.
const NAMED_READER_FIELDS: &[&str] =
    &["input_path", "label_map_path", "shuffle", "mask_type", "sample_1_of_n_examples"];

/// Applies one key.
pub(super) fn apply(draft: &mut Draft, key: &str, value: &Json) -> Result<Effect, ConfigError> {
    if key.contains(':') {
        return named_reader(draft, key, value);
    }
    match key {
        "learning_rate" => learning_rate(draft, key, value)?,
        "batch_size" => {
            let size = rounded(key, value)?.max(1);
            set_whole(draft, key, "train_config.batch_size", size)?;
        }
        "momentum_optimizer_value" => momentum(draft, key, value)?,
        "classification_localization_weight_ratio" => return weight_ratio(draft, key, value),
        "focal_loss_gamma" => focal_loss(draft, key, "gamma", value)?,
        "focal_loss_alpha" => focal_loss(draft, key, "alpha", value)?,
        "train_steps" => {
            let steps = truncated(key, value)?;
            set_whole(draft, key, "train_config.num_steps", steps)?;
        }
        "label_map_path" | "mask_type" => {
            set(draft, key, &format!("train_input_reader.{key}"), value)?;
            every_eval_reader(draft, key, key, value)?;
        }
        "train_input_path" | "append_train_input_path" => input_path(draft, key, "train_input_reader", value)?,
        "eval_input_path" | "append_eval_input_path" => {
            let reader = only_eval_reader(draft, key)?;
            input_path(draft, key, &reader, value)?;
        }
        "train_shuffle" => set(draft, key, "train_input_reader.shuffle", value)?,
        "eval_shuffle" => {
            let reader = only_eval_reader(draft, key)?;
            set(draft, key, &format!("{reader}.shuffle"), value)?;
        }
        "sample_1_of_n_eval_examples" => return every_eval_reader(draft, key, "sample_1_of_n_examples", value),
        "eval_num_epochs" => return every_eval_reader(draft, key, "num_epochs", value),
        "eval_with_moving_averages" => set(draft, key, "eval_config.use_moving_averages", value)?,
        "retain_original_images_in_eval" => set(draft, key, "eval_config.retain_original_images", value)?,
        "use_bfloat16" => set(draft, key, "train_config.use_bfloat16", value)?,
        "retain_original_image_additional_channels_in_eval" => {
            set(draft, key, "eval_config.retain_original_image_additional_channels", value)?;
        }
        "num_classes" => return num_classes(draft, key, value),
        "sample_from_datasets_weights" => dataset_weights(draft, key, value)?,
        "num_examples" => {
            let examples = truncated(key, value)?;
            set_whole(draft, key, "eval_config.num_examples", examples)?;
        }
        "fine_tune_checkpoint_type" => set(draft, key, "train_config.fine_tune_checkpoint_type", value)?,
        "eval_steps" => {
            let reason = "TFOD has given it up; `num_examples` sets how many images are measured";
            return Ok(Effect::Nothing(reason.into()));
        }
        _ if KEYS.contains(&key) => return keypoint_task(draft, key, value),
        _ => return by_path(draft, key, value),
    }
    Ok(Effect::Done)
}

fn refuse<T>(key: &str, reason: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError::Hyperparameter { key: key.into(), reason: reason.into() })
}

fn set(draft: &mut Draft, key: &str, path: &str, value: &Json) -> Result<(), ConfigError> {
    let value = for_field(key, &descriptor(path)?, value)?;
    draft.set(path, value)
}

fn set_whole(draft: &mut Draft, key: &str, path: &str, number: i128) -> Result<(), ConfigError> {
    let value = whole(key, &descriptor(path)?, number)?;
    draft.set(path, value)
}

/// A float as the field's 32 bits, as protobuf rounds Python's.
fn set_float(draft: &mut Draft, path: &str, value: f64) -> Result<(), ConfigError> {
    draft.set(path, Value::F32(value as f32))
}

/// The optimizer's block, of the kinds in `kinds`.
fn optimizer(draft: &Draft, key: &str, kinds: &[&str]) -> Result<String, ConfigError> {
    let kind = chosen(draft.message(), "train_config.optimizer");
    match kind {
        Some(kind) if kinds.contains(&kind.as_str()) => Ok(format!("train_config.optimizer.{kind}")),
        Some(kind) => refuse(key, format!("the optimizer is `{kind}`; it must be {}", kinds.join(" or "))),
        None => refuse(key, "the config has no optimizer; add one to `train_config.optimizer`"),
    }
}

/// The initial rate, and every other rate of the schedule in proportion.
fn learning_rate(draft: &mut Draft, key: &str, value: &Json) -> Result<(), ConfigError> {
    let rate = number(key, value)?;
    let optimizer = optimizer(draft, key, &["rms_prop_optimizer", "momentum_optimizer", "adam_optimizer"])?;
    let Some(schedule) = chosen(draft.message(), &format!("{optimizer}.learning_rate")) else {
        return refuse(key, format!("the config has no learning rate; add one to `{optimizer}.learning_rate`"));
    };
    let path = format!("{optimizer}.learning_rate.{schedule}");
    let scale_from = |draft: &Draft, field: &str| match number_at(draft.message(), &format!("{path}.{field}")) {
        Some(old) if old != 0.0 => Ok(old),
        _ => refuse(key, format!("`{path}.{field}` is 0, and the rates behind it cannot be scaled from that")),
    };
    match schedule.as_str() {
        "constant_learning_rate" => set_float(draft, &format!("{path}.learning_rate"), rate),
        "exponential_decay_learning_rate" => set_float(draft, &format!("{path}.initial_learning_rate"), rate),
        "manual_step_learning_rate" => {
            let scale = rate / scale_from(draft, "initial_learning_rate")?;
            set_float(draft, &format!("{path}.initial_learning_rate"), rate)?;
            for i in 0..count(draft.message(), &format!("{path}.schedule")) {
                let step = format!("{path}.schedule[{i}].learning_rate");
                // 0.002 is the schema's default for a step without a rate.
                let old = number_at(draft.message(), &step).unwrap_or(0.002_f32.into());
                set_float(draft, &step, old * scale)?;
            }
            Ok(())
        }
        "cosine_decay_learning_rate" => {
            let base = scale_from(draft, "learning_rate_base")?;
            let warmup = number_at(draft.message(), &format!("{path}.warmup_learning_rate")).unwrap_or(0.0);
            set_float(draft, &format!("{path}.learning_rate_base"), rate)?;
            set_float(draft, &format!("{path}.warmup_learning_rate"), warmup / base * rate)
        }
        other => refuse(key, format!("a `{other}` cannot be rescaled")),
    }
}

fn momentum(draft: &mut Draft, key: &str, value: &Json) -> Result<(), ConfigError> {
    let momentum = number(key, value)?.clamp(0.0, 1.0);
    let optimizer = optimizer(draft, key, &["rms_prop_optimizer", "momentum_optimizer"])?;
    set_float(draft, &format!("{optimizer}.momentum_optimizer_value"), momentum)
}

/// The weight of the class loss, and of the objectness; that of the box loss becomes 1.
fn weight_ratio(draft: &mut Draft, key: &str, value: &Json) -> Result<Effect, ConfigError> {
    let ratio = number(key, value)?;
    let weights: &[(&str, f64)] = match chosen(draft.message(), "model").as_deref() {
        Some("faster_rcnn") => &[
            ("model.faster_rcnn.first_stage_localization_loss_weight", 1.0),
            ("model.faster_rcnn.first_stage_objectness_loss_weight", ratio),
            ("model.faster_rcnn.second_stage_localization_loss_weight", 1.0),
            ("model.faster_rcnn.second_stage_classification_loss_weight", ratio),
        ],
        Some("ssd") => &[("model.ssd.loss.localization_weight", 1.0), ("model.ssd.loss.classification_weight", ratio)],
        other => return Ok(Effect::Nothing(no_such_model(other))),
    };
    for (path, weight) in weights {
        set_float(draft, path, *weight)?;
    }
    Ok(Effect::Done)
}

fn no_such_model(model: Option<&str>) -> String {
    match model {
        Some(model) => format!("TFOD knows it only for ssd and faster_rcnn, and the model is {model}"),
        None => "the config has no model".into(),
    }
}

fn focal_loss(draft: &mut Draft, key: &str, field: &str, value: &Json) -> Result<(), ConfigError> {
    let value = number(key, value)?;
    let loss = match chosen(draft.message(), "model").as_deref() {
        Some("faster_rcnn") => "model.faster_rcnn.second_stage_classification_loss",
        Some("ssd") => "model.ssd.loss.classification_loss",
        other => return refuse(key, no_such_model(other)),
    };
    if chosen(draft.message(), loss).as_deref() != Some("weighted_sigmoid_focal") {
        return refuse(key, format!("`{loss}` must be `weighted_sigmoid_focal`"));
    }
    set_float(draft, &format!("{loss}.weighted_sigmoid_focal.{field}"), value)
}

fn num_classes(draft: &mut Draft, key: &str, value: &Json) -> Result<Effect, ConfigError> {
    match chosen(draft.message(), "model").as_deref() {
        Some(model @ ("faster_rcnn" | "ssd")) => {
            set(draft, key, &format!("model.{model}.num_classes"), value)?;
            Ok(Effect::Done)
        }
        other => Ok(Effect::Nothing(no_such_model(other))),
    }
}

/// The one evaluation reader that a key without a name can mean.
fn only_eval_reader(draft: &Draft, key: &str) -> Result<String, ConfigError> {
    match count(draft.message(), "eval_input_reader") {
        1 => Ok("eval_input_reader[0]".into()),
        0 => refuse(key, "the config has no `eval_input_reader`"),
        count => {
            let reason = format!(
                "the config has {count} evaluation readers and the key does not say which; \
                 use `eval_input_configs:NAME:field` with the reader's name"
            );
            refuse(key, reason)
        }
    }
}

fn every_eval_reader(draft: &mut Draft, key: &str, field: &str, value: &Json) -> Result<Effect, ConfigError> {
    let readers = count(draft.message(), "eval_input_reader");
    for i in 0..readers {
        set(draft, key, &format!("eval_input_reader[{i}].{field}"), value)?;
    }
    Ok(if readers == 0 { Effect::Nothing("the config has no `eval_input_reader`".into()) } else { Effect::Done })
}

/// The record files of a reader; `append_` in a key replaces them too, as in TFOD.
fn input_path(draft: &mut Draft, key: &str, reader: &str, value: &Json) -> Result<(), ConfigError> {
    if chosen(draft.message(), reader).as_deref() != Some("tf_record_input_reader") {
        return refuse(key, format!("`{reader}` must have a `tf_record_input_reader`"));
    }
    let path = format!("{reader}.tf_record_input_reader.input_path");
    let field = descriptor(&path)?;
    let values = match value {
        Json::Array(paths) => paths.iter().map(|value| for_field(key, &field, value)).collect::<Result<_, _>>()?,
        value => vec![for_field(key, &field, value)?],
    };
    draft.set_list(&path, values)
}

fn dataset_weights(draft: &mut Draft, key: &str, value: &Json) -> Result<(), ConfigError> {
    let path = "train_input_reader.sample_from_datasets_weights";
    let (field, Json::Array(weights)) = (descriptor(path)?, value) else {
        return Err(wrong(key, value, "write a list of numbers"));
    };
    let configured = count(draft.message(), path);
    if weights.len() != configured {
        return refuse(key, format!("it has {} weights and the config has {configured}", weights.len()));
    }
    let values = weights.iter().map(|value| for_field(key, &field, value)).collect::<Result<_, _>>()?;
    draft.set_list(path, values)
}

/// The settings of CenterNet's keypoints, which are meant only where there is one such task.
fn keypoint_task(draft: &mut Draft, key: &str, value: &Json) -> Result<Effect, ConfigError> {
    let modes = ["min_distance", "score_distance_ratio", "score_scaled_distance_ratio", "gaussian_weighted"];
    if key == "candidate_ranking_mode" && !value.as_str().is_some_and(|mode| modes.contains(&mode)) {
        return Err(wrong(key, value, format!("write one of {}", modes.join(", "))));
    }
    let model = chosen(draft.message(), "model");
    if model.as_deref() != Some("center_net") {
        let reason = format!("it is for center_net, and the model is {}", model.as_deref().unwrap_or("missing"));
        return match key {
            "score_distance_multiplier" | "std_dev_multiplier" | "rescoring_threshold" => refuse(key, reason),
            _ => Ok(Effect::Nothing(reason)),
        };
    }
    let tasks = count(draft.message(), "model.center_net.keypoint_estimation_task");
    if tasks != 1 {
        return Ok(Effect::Nothing(format!("it is for one keypoint task, and the model has {tasks}")));
    }
    // Every string but "True" means false here.
    let value = match value {
        Json::String(text) if key == "rescore_instances" => &Json::Bool(text == "True"),
        value => value,
    };
    set(draft, key, &format!("model.center_net.keypoint_estimation_task[0].{key}"), value)?;
    Ok(Effect::Done)
}

/// `train_input_config:NAME:field` and `eval_input_configs:NAME:field`.
fn named_reader(draft: &mut Draft, key: &str, value: &Json) -> Result<Effect, ConfigError> {
    let parts: Vec<&str> = key.split(':').collect();
    let [reader, name, field] = parts[..] else {
        return refuse(key, "write `train_input_config:NAME:field` or `eval_input_configs:NAME:field`");
    };
    let name_of = |draft: &Draft, path: &str| match get(draft.message(), &format!("{path}.name")) {
        Some(Value::String(name)) => name,
        _ => String::new(),
    };
    let readers: Vec<String> = match reader {
        "train_input_config" => vec!["train_input_reader".into()],
        "eval_input_configs" => {
            (0..count(draft.message(), "eval_input_reader")).map(|i| format!("eval_input_reader[{i}]")).collect()
        }
        _ => return refuse(key, format!("`{reader}` is neither `train_input_config` nor `eval_input_configs`")),
    };
    let meant: Vec<&String> = readers.iter().filter(|path| name_of(draft, path) == name).collect();
    let [path] = meant[..] else {
        let names: Vec<String> = readers.iter().map(|path| format!("\"{}\"", name_of(draft, path))).collect();
        let many = if meant.is_empty() { "no reader has" } else { "several readers have" };
        return refuse(key, format!("{many} the name \"{name}\"; the names are {}", names.join(", ")));
    };
    if !NAMED_READER_FIELDS.contains(&field) {
        return refuse(key, format!("`{field}` is not one of {}", NAMED_READER_FIELDS.join(", ")));
    }
    match (field, reader) {
        ("input_path", "train_input_config") => input_path(draft, key, path, value)?,
        // TFOD announces this one and fails at it.
        ("input_path", _) => {
            return refuse(key, format!("TFOD cannot set it by name; set `{path}.tf_record_input_reader.input_path`"));
        }
        _ => set(draft, key, &format!("{path}.{field}"), value)?,
    }
    Ok(Effect::Done)
}

/// `train_config.num_steps` and the like: a field that the config gives already.
fn by_path(draft: &mut Draft, key: &str, value: &Json) -> Result<Effect, ConfigError> {
    let Some((start, rest)) = key.split_once('.') else { return Ok(Effect::Unknown) };
    let Some((_, root)) = BLOCKS.iter().find(|(name, _)| *name == start) else { return Ok(Effect::Unknown) };
    if *root == "graph_rewriter" && block(draft.message(), root).is_none() {
        return refuse(key, "the config has no `graph_rewriter`");
    }
    let mut path = (*root).to_owned();
    for name in rest.split('.') {
        let outer = path.clone();
        path = format!("{path}.{name}");
        let field = descriptor(&path)?;
        let reason = if name.contains('[') || field.is_list() || field.is_map() {
            "TFOD sets no repeated field by path; use --set".to_owned()
        } else if get(draft.message(), &path).is_none() {
            format!(
                "`{outer}` has no `{name}` in this config, and TFOD only changes what is there; use --set to add it"
            )
        } else {
            continue;
        };
        return refuse(key, reason);
    }
    let field = descriptor(&path)?;
    if matches!(field.kind(), Kind::Message(_)) {
        return refuse(key, format!("`{path}` is a block; set a field in it"));
    }
    set(draft, key, &path, value)?;
    Ok(Effect::Done)
}
