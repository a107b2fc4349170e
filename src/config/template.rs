//! First configs: a commented `pipeline.config` for a new project.
//!
//! A template is a complete config in `assets/pipelines`, with the settings of a TFOD sample of that
//! model. What depends on the project (classes, paths, steps …) is put into it by
//! [`set_field`](crate::set_field), so the comments stay, and the result is a text that a person can go
//! on editing.

use crate::edit::{remove_field, set_field};
use crate::error::ConfigError;

/// The templates: name and text.
const TEMPLATES: &[(&str, &str)] =
    &[("ssd_mobilenet_v1", include_str!("../../assets/pipelines/ssd_mobilenet_v1.config"))];

/// What a project puts into a template.
#[derive(Clone, Debug, PartialEq)]
pub struct TemplateValues {
    /// Classes, as many as the largest id in the label map.
    pub num_classes: u32,
    /// Height and width of the model's input in pixels.
    pub image_size: (u32, u32),
    /// Factor on the channels of every layer.
    pub depth_multiplier: f32,
    /// Images in one step.
    pub batch_size: u32,
    /// Steps to train.
    pub num_steps: u32,
    /// Learning rate after the warm-up.
    pub learning_rate: f32,
    /// Steps of the warm-up.
    pub warmup_steps: u32,
    /// How much of the old batch norm statistics a step keeps; short runs need less than long ones.
    pub batch_norm_decay: f32,
    /// Training records, with `?` and `*`.
    pub train_records: String,
    /// Evaluation records, with `?` and `*`.
    pub eval_records: String,
    /// The label map.
    pub label_map_path: String,
    /// The checkpoint to start from; none starts from random weights.
    pub fine_tune_checkpoint: Option<String>,
}

impl Default for TemplateValues {
    /// One class, 300×300, the small model, a thousand steps, the paths of a project on disk.
    fn default() -> Self {
        Self {
            num_classes: 1,
            image_size: (300, 300),
            depth_multiplier: 0.75,
            batch_size: 8,
            num_steps: 1000,
            learning_rate: 0.004,
            warmup_steps: 0,
            batch_norm_decay: 0.97,
            train_records: "records/train.record-?????-of-?????".into(),
            eval_records: "records/val.record-?????-of-?????".into(),
            label_map_path: "label_map.pbtxt".into(),
            fine_tune_checkpoint: None,
        }
    }
}

/// The names of the templates.
pub fn template_names() -> impl Iterator<Item = &'static str> {
    TEMPLATES.iter().map(|(name, _)| *name)
}

/// A template with a project's values in it.
///
/// # Errors
/// There is no such template, or a value does not fit its field.
pub fn pipeline_from_template(name: &str, values: &TemplateValues) -> Result<String, ConfigError> {
    let Some((_, template)) = TEMPLATES.iter().find(|(known, _)| *known == name) else {
        let known = template_names().collect::<Vec<_>>().join(", ");
        return Err(ConfigError::Template { name: name.into(), known });
    };
    let rate = "train_config.optimizer.momentum_optimizer.learning_rate.cosine_decay_learning_rate";
    let decay = values.batch_norm_decay.to_string();
    let settings = [
        ("model.ssd.num_classes".to_owned(), values.num_classes.to_string()),
        ("model.ssd.image_resizer.fixed_shape_resizer.height".to_owned(), values.image_size.0.to_string()),
        ("model.ssd.image_resizer.fixed_shape_resizer.width".to_owned(), values.image_size.1.to_string()),
        ("model.ssd.feature_extractor.depth_multiplier".to_owned(), values.depth_multiplier.to_string()),
        ("model.ssd.feature_extractor.conv_hyperparams.batch_norm.decay".to_owned(), decay.clone()),
        ("model.ssd.box_predictor.convolutional_box_predictor.conv_hyperparams.batch_norm.decay".to_owned(), decay),
        ("train_config.batch_size".to_owned(), values.batch_size.to_string()),
        ("train_config.num_steps".to_owned(), values.num_steps.to_string()),
        (format!("{rate}.learning_rate_base"), values.learning_rate.to_string()),
        (format!("{rate}.warmup_learning_rate"), tenth(values.learning_rate)),
        (format!("{rate}.total_steps"), values.num_steps.to_string()),
        (format!("{rate}.warmup_steps"), values.warmup_steps.to_string()),
        ("train_input_reader.label_map_path".to_owned(), quoted(&values.label_map_path)),
        ("train_input_reader.tf_record_input_reader.input_path".to_owned(), quoted(&values.train_records)),
        ("eval_input_reader.label_map_path".to_owned(), quoted(&values.label_map_path)),
        ("eval_input_reader.tf_record_input_reader.input_path".to_owned(), quoted(&values.eval_records)),
    ];
    let mut text = (*template).to_owned();
    for (path, value) in settings {
        text = set_field(&text, &path, &value)?;
    }
    if let Some(checkpoint) = &values.fine_tune_checkpoint {
        text = set_field(&text, "train_config.fine_tune_checkpoint", &quoted(checkpoint))?;
        return set_field(&text, "train_config.fine_tune_checkpoint_type", "\"detection\"");
    }
    text = remove_field(&text, "train_config.fine_tune_checkpoint")?;
    remove_field(&text, "train_config.fine_tune_checkpoint_type")
}

/// A tenth of a number, computed on its digits so that 0.004 gives 0.0004 and not 0.00040000003.
fn tenth(value: f32) -> String {
    let digits: f64 = value.to_string().parse().unwrap_or_else(|_| f64::from(value));
    ((digits / 10.0) as f32).to_string()
}

/// A path as a string of the text format, whatever it starts with.
fn quoted(text: &str) -> String {
    crate::text_format::quote(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{DatasetFacts, check};
    use crate::pipeline::Pipeline;

    #[test]
    fn every_template_is_a_config_without_problems() {
        for name in template_names() {
            for fine_tune_checkpoint in [None, Some("it's/model.ckpt".to_owned())] {
                let values =
                    TemplateValues { num_classes: 3, num_steps: 400, fine_tune_checkpoint, ..Default::default() };
                let text = pipeline_from_template(name, &values).expect("a text");
                let pipeline = Pipeline::parse(&text, name).expect("a config");
                assert_eq!(check(&pipeline, &DatasetFacts::default()), [], "{name}");
                let train = pipeline.config.train_config.clone().expect("a train_config");
                assert_eq!((train.batch_size(), train.num_steps()), (8, 400));
                assert_eq!(train.fine_tune_checkpoint, values.fine_tune_checkpoint);
                assert!(text.lines().filter(|line| line.contains('#')).count() > 15, "the comments are still there");
            }
        }
        assert_eq!([0.004, 0.02, 1e-5].map(tenth), ["0.0004", "0.002", "0.000001"]);
        let error = pipeline_from_template("yolo", &TemplateValues::default()).expect_err("no such template");
        assert!(error.to_string().contains("ssd_mobilenet_v1"), "{error}");
    }
}
