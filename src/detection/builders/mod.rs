//! From the pipeline config to the parts of a model: the only readers of the config in this room.
//!
//! What the config asks for and the house cannot do is an error that names the field; nothing is
//! left out in silence. Fields that only steer how TensorFlow computes (`use_static_shapes`,
//! `use_matmul_gather`, `inplace_batchnorm_update`, …) change no result and are accepted.

mod anchor_generator_builder;
mod faster_rcnn_builder;
mod feature_extractor_builder;
mod hyperparams_builder;
mod image_resizer_builder;
mod losses_builder;
mod model_builder;
mod parts;
mod post_processing_builder;
mod predictor_builder;

pub use anchor_generator_builder::anchor_generator;
pub use feature_extractor_builder::feature_extractor;
pub use hyperparams_builder::{fc_hyperparams, hyperparams};
pub use image_resizer_builder::{image_resizer, model_image_resizer};
pub use losses_builder::{
    ConfiguredLosses, classification_loss, faster_rcnn_classification_loss, hard_example_miner, localization_loss,
    losses,
};
pub use model_builder::{build_model, build_ssd, image_resizer_of};
pub use parts::{box_coder, matcher, region_similarity};
pub use post_processing_builder::post_processing;
pub use predictor_builder::{BoxPredictorSettings, box_predictor};

/// What cannot be built from the config.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {what}")]
pub struct BuildError {
    /// Path of the field from the root of the config, e.g. `model.ssd.num_classes`.
    pub field: String,
    /// What is wrong with it and what to do.
    pub what: String,
}

impl BuildError {
    fn new(field: impl Into<String>, what: impl Into<String>) -> Self {
        Self { field: field.into(), what: what.into() }
    }

    /// Puts the path of the message around the field's own path.
    fn within(mut self, message: &str) -> Self {
        self.field = if self.field.is_empty() { message.to_owned() } else { format!("{message}.{}", self.field) };
        self
    }
}

type Built<T> = Result<T, BuildError>;

fn refuse<T>(field: &str, what: impl Into<String>) -> Built<T> {
    Err(BuildError::new(field, what))
}

/// A message that must be there.
fn required<'a, T>(message: &'a Option<T>, field: &str, what: &str) -> Built<&'a T> {
    message.as_ref().ok_or_else(|| BuildError::new(field, what))
}

/// An integer of the config as a size within a range.
fn size(value: i32, range: std::ops::RangeInclusive<usize>, field: &str) -> Built<usize> {
    match usize::try_from(value) {
        Ok(size) if range.contains(&size) => Ok(size),
        _ => refuse(field, format!("is {value}; it must be between {} and {}", range.start(), range.end())),
    }
}

/// A number of the config that must be finite and in a range.
fn number(value: f32, range: std::ops::RangeInclusive<f32>, field: &str) -> Built<f32> {
    if range.contains(&value) {
        return Ok(value);
    }
    refuse(field, format!("is {value}; it must be between {} and {}", range.start(), range.end()))
}
