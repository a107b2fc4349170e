//! First configs: a commented `pipeline.config` for a new project.
//!
//! A template is a complete config in `assets/pipelines`, with the settings that its model is usually
//! trained with. What depends on the project (classes, paths, steps …) is put into it by
//! [`set_field`](crate::set_field), so the comments stay, and the result is a text that a person can go
//! on editing. Which of the models are trained here is what [`check`](crate::check()) says of their
//! templates, and stands in no list.

use std::path::Path;

use boxwright_core::{Problem, Severity};

use crate::check::{AnchorProposal, DatasetFacts, check};
use crate::edit::{remove_field, set_field};
use crate::error::ConfigError;
use crate::pipeline::Pipeline;
use crate::proto::{detection_model, image_resizer, learning_rate, optimizer};

macro_rules! template {
    ($name:literal) => {
        ($name, include_str!(concat!("../../assets/pipelines/", $name, ".config")))
    };
}

/// The templates: name and text, the lightest model first.
const TEMPLATES: &[(&str, &str)] = &[
    template!("ssd_mobilenet_v1"),
    template!("ssd_mobilenet_v2"),
    template!("ssd_mobilenet_v2_keras"),
    template!("ssdlite_mobilenet_v2"),
    template!("ssdlite_mobilenet_v3_large"),
    template!("ssd_mobilenet_v2_fpnlite"),
    template!("ssd_mobilenet_v1_fpn"),
    template!("ssd_inception_v2"),
    template!("ssd_vgg16_reduced"),
    template!("ssd_resnet50_v1_fpn"),
    template!("faster_rcnn_inception_v2"),
    template!("faster_rcnn_resnet50_v1"),
];

/// A model that a config can be made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateInfo {
    /// Its name.
    pub name: &'static str,
    /// What it is good for, in a line.
    pub about: &'static str,
    /// What keeps it from being trained here, where something does.
    pub refused: Option<Problem>,
}

/// All models, with what keeps some of them from being trained here.
pub fn templates() -> Vec<TemplateInfo> {
    let info = |&(name, text): &(&'static str, &'static str)| {
        let about = text.lines().next().unwrap_or_default().trim_start_matches(['#', ' ']);
        let refused = match Pipeline::parse(text, name) {
            Ok(pipeline) => first_error(check(&pipeline, &DatasetFacts::default())),
            Err(error) => Some(error.to_problem()),
        };
        TemplateInfo { name, about, refused }
    };
    TEMPLATES.iter().map(info).collect()
}

/// The first error; one about the network before all others, because it says the most.
fn first_error(problems: Vec<Problem>) -> Option<Problem> {
    let mut errors: Vec<Problem> = problems.into_iter().filter(|p| p.severity == Severity::Error).collect();
    errors.sort_by_key(|problem| problem.code != "unsupported-value");
    errors.into_iter().next()
}

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

impl TemplateValues {
    /// What the template of a model says itself.
    ///
    /// # Errors
    /// There is no such template.
    pub fn of(name: &str) -> Result<Self, ConfigError> {
        let config = Pipeline::parse(template(name)?, name)?.config;
        let mut values = Self::default();
        let model = config.model.and_then(|model| model.model);
        if let Some(detection_model::Model::Ssd(ssd)) = &model {
            if let Some(image_resizer::ImageResizerOneof::FixedShapeResizer(size)) =
                ssd.image_resizer.as_ref().and_then(|resizer| resizer.image_resizer_oneof.as_ref())
            {
                let side = |side: i32| u32::try_from(side).unwrap_or(300);
                values.image_size = (side(size.height()), side(size.width()));
            }
            if let Some(extractor) = &ssd.feature_extractor {
                values.depth_multiplier = extractor.depth_multiplier();
            }
        }
        let train = config.train_config.unwrap_or_default();
        values.batch_size = train.batch_size();
        values.num_steps = train.num_steps();
        if let Some(optimizer::Optimizer::MomentumOptimizer(momentum)) =
            train.optimizer.as_ref().and_then(|optimizer| optimizer.optimizer.as_ref())
            && let Some(learning_rate::LearningRate::CosineDecayLearningRate(rate)) =
                momentum.learning_rate.as_ref().and_then(|rate| rate.learning_rate.as_ref())
        {
            values.learning_rate = rate.learning_rate_base();
            values.warmup_steps = rate.warmup_steps();
        }
        Ok(values)
    }

    /// The same with the data's paths below a folder.
    pub fn below(self, folder: &Path) -> Self {
        let below = |path: String| folder.join(path).to_string_lossy().into_owned();
        Self {
            train_records: below(self.train_records),
            eval_records: below(self.eval_records),
            label_map_path: below(self.label_map_path),
            ..self
        }
    }

    /// The same for so many training images and batches of at most this size: a hundred rounds over the
    /// data, the learning rate in step with the batch, a warm-up of a twentieth, and normalisation that
    /// settles within the run.
    #[must_use]
    pub fn for_data(mut self, train_images: u64, largest_batch: u32) -> Self {
        /// Rounds over the data, and the least and most steps that these may become.
        const EPOCHS: u64 = 100;
        const STEPS: (u64, u64) = (1000, 50_000);
        let images = u32::try_from(train_images.max(1)).unwrap_or(u32::MAX);
        let batch = self.batch_size.min(largest_batch).min(images).max(1);
        self.learning_rate = rounded(self.learning_rate * batch as f32 / self.batch_size.max(1) as f32);
        self.batch_size = batch;
        let steps = (train_images.saturating_mul(EPOCHS) / u64::from(batch)).clamp(STEPS.0, STEPS.1);
        self.num_steps = u32::try_from(steps.next_multiple_of(100)).unwrap_or(1000);
        self.warmup_steps = (self.num_steps / 20).min(1000);
        self.batch_norm_decay = match self.num_steps {
            0..3000 => 0.97,
            3000..10_000 => 0.99,
            _ => 0.997,
        };
        self
    }
}

/// Two digits of a number.
fn rounded(value: f32) -> f32 {
    let value = f64::from(value).max(1e-8);
    let digits = 10f64.powi(1 - value.log10().floor() as i32);
    ((value * digits).round() / digits) as f32
}

/// The names of the templates.
pub fn template_names() -> impl Iterator<Item = &'static str> {
    TEMPLATES.iter().map(|(name, _)| *name)
}

fn template(name: &str) -> Result<&'static str, ConfigError> {
    TEMPLATES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text).ok_or_else(|| ConfigError::Template {
        name: name.into(),
        known: template_names().collect::<Vec<_>>().join(", "),
    })
}

/// A template with a project's values in it. What the model of the template has no place for, like a
/// depth multiplier in Faster R-CNN, is left out.
///
/// # Errors
/// There is no such template, or a value does not fit its field.
pub fn pipeline_from_template(name: &str, values: &TemplateValues) -> Result<String, ConfigError> {
    let template = template(name)?;
    let given = Pipeline::parse(template, name)?;
    let rate = "train_config.optimizer.momentum_optimizer.learning_rate.cosine_decay_learning_rate";
    let decay = values.batch_norm_decay.to_string();
    let classes = values.num_classes.to_string();
    let settings = [
        ("model.ssd.num_classes".to_owned(), classes.clone()),
        ("model.faster_rcnn.num_classes".to_owned(), classes),
        ("model.ssd.image_resizer.fixed_shape_resizer.height".to_owned(), values.image_size.0.to_string()),
        ("model.ssd.image_resizer.fixed_shape_resizer.width".to_owned(), values.image_size.1.to_string()),
        ("model.ssd.feature_extractor.depth_multiplier".to_owned(), values.depth_multiplier.to_string()),
        ("model.ssd.feature_extractor.conv_hyperparams.batch_norm.decay".to_owned(), decay.clone()),
        (
            "model.ssd.box_predictor.convolutional_box_predictor.conv_hyperparams.batch_norm.decay".to_owned(),
            decay.clone(),
        ),
        (
            "model.ssd.box_predictor.weight_shared_convolutional_box_predictor.conv_hyperparams.batch_norm.decay"
                .to_owned(),
            decay,
        ),
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
    let mut text = template.to_owned();
    for (path, value) in settings.into_iter().filter(|(path, _)| given.position(path).is_some()) {
        text = set_field(&text, &path, &value)?;
    }
    if let Some(checkpoint) = &values.fine_tune_checkpoint {
        text = set_field(&text, "train_config.fine_tune_checkpoint", &quoted(checkpoint))?;
        return set_field(&text, "train_config.fine_tune_checkpoint_type", "\"detection\"");
    }
    text = remove_field(&text, "train_config.fine_tune_checkpoint")?;
    remove_field(&text, "train_config.fine_tune_checkpoint_type")
}

/// A config with other anchors: the fields of the proposal in the place of those that the text gives.
///
/// # Errors
/// The text is no config, or gives a field in a way that cannot be edited.
pub fn with_anchors(text: &str, proposal: &AnchorProposal) -> Result<String, ConfigError> {
    let mut text = text.to_owned();
    let remove = |text: &mut String, field: &str| -> Result<(), ConfigError> {
        // A repeated field may stand there many times; each removal takes one.
        let path = format!("{}.{field}", proposal.path);
        while Pipeline::parse(text, "pipeline.config")?.position(&path).is_some() {
            *text = remove_field(text, &path)?;
        }
        Ok(())
    };
    for field in &proposal.remove {
        remove(&mut text, field)?;
    }
    for (field, values) in &proposal.fields {
        remove(&mut text, field)?;
        let is_list = crate::schema::field(&format!("{}.{field}", proposal.path))?.repeated;
        for (index, value) in values.iter().enumerate() {
            let at = if is_list { format!("{field}[{index}]") } else { field.clone() };
            text = set_field(&text, &format!("{}.{at}", proposal.path), value)?;
        }
    }
    Ok(text)
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

    #[test]
    fn every_template_is_a_config_and_lacks_nothing_but_support() {
        for TemplateInfo { name, about, refused } in templates() {
            assert!(about.len() > 20 && about.ends_with('.'), "{name}: {about}");
            assert!(refused.is_none() || name != "ssd_mobilenet_v1", "{refused:?}");
            for fine_tune_checkpoint in [None, Some("it's/model.ckpt".to_owned())] {
                let values = TemplateValues {
                    num_classes: 3,
                    num_steps: 400,
                    fine_tune_checkpoint,
                    ..TemplateValues::of(name).expect("a template")
                };
                let text = pipeline_from_template(name, &values).expect("a text");
                let pipeline = Pipeline::parse(&text, name).expect("a config");
                let found = check(&pipeline, &DatasetFacts::default());
                let unsupported = |p: &&Problem| p.code.starts_with("unsupported");
                assert!(found.iter().all(|p| unsupported(&p)), "{name}: {found:#?}");
                assert_eq!(found.is_empty(), refused.is_none(), "{name}: {found:#?}");
                let train = pipeline.config.train_config.clone().expect("a train_config");
                assert_eq!((train.batch_size(), train.num_steps()), (values.batch_size, 400));
                assert_eq!(train.fine_tune_checkpoint, values.fine_tune_checkpoint);
                assert!(text.lines().filter(|line| line.contains('#')).count() > 15, "the comments are still there");
                assert!(text.contains("num_classes: 3"), "{name}");
            }
        }
        assert_eq!([0.004, 0.02, 1e-5].map(tenth), ["0.0004", "0.002", "0.000001"]);
        let error = pipeline_from_template("yolo", &TemplateValues::default()).expect_err("no such template");
        assert!(error.to_string().contains("ssd_mobilenet_v1"), "{error}");
    }

    #[test]
    fn values_follow_the_data() {
        let values = TemplateValues::of("ssd_mobilenet_v1").expect("a template");
        assert_eq!((values.batch_size, values.image_size, values.depth_multiplier), (8, (300, 300), 0.75));
        let few = values.clone().for_data(5, 8);
        assert_eq!((few.batch_size, few.num_steps, few.learning_rate), (5, 1000, 0.0025));
        let many = values.clone().for_data(4000, 4);
        assert_eq!((many.batch_size, many.num_steps, many.warmup_steps), (4, 50_000, 1000));
        assert_eq!((many.learning_rate, many.batch_norm_decay), (0.002, 0.997));
        assert_eq!(values.for_data(160, 8).num_steps, 2000);
    }

    #[test]
    fn anchors_are_exchanged() {
        let text = pipeline_from_template("ssd_mobilenet_v1", &TemplateValues::default()).expect("a text");
        let proposal = AnchorProposal {
            path: "model.ssd.anchor_generator.ssd_anchor_generator".into(),
            fields: vec![
                ("scales".into(), ["0.05", "0.1", "0.2", "0.3", "0.5", "0.7"].map(String::from).to_vec()),
                ("aspect_ratios".into(), vec!["0.5".into(), "1.0".into()]),
                ("reduce_boxes_in_lowest_layer".into(), vec!["false".into()]),
            ],
            remove: vec!["min_scale".into(), "max_scale".into()],
            unmatched: 0,
        };
        let changed = with_anchors(&text, &proposal).expect("changed");
        let pipeline = Pipeline::parse(&changed, "p").expect("a config");
        assert_eq!(check(&pipeline, &DatasetFacts::default()), []);
        assert!(!changed.contains("min_scale") && changed.contains("# Grids of anchors"), "{changed}");
        let Some(detection_model::Model::Ssd(ssd)) = pipeline.config.model.and_then(|model| model.model) else {
            panic!("an SSD");
        };
        let Some(crate::proto::anchor_generator::AnchorGeneratorOneof::SsdAnchorGenerator(anchors)) =
            ssd.anchor_generator.and_then(|anchors| anchors.anchor_generator_oneof)
        else {
            panic!("its anchors");
        };
        assert_eq!(anchors.scales, [0.05, 0.1, 0.2, 0.3, 0.5, 0.7]);
        assert_eq!(anchors.aspect_ratios, [0.5, 1.0]);
    }
}
