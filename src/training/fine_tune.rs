//! Starting from a checkpoint (`fine_tune_checkpoint` of the config).
//!
//! What the file gives is matched by TFOD's rule for the checkpoint type; weights whose batch
//! normalization was folded away are unfolded on the training images first, because a network that
//! trains needs the real statistics. The path may also be a run of ours, from whose last checkpoint the
//! new run goes on to learn, or the `model.tar.gz` that an earlier job left.

use std::path::Path;

use boxwright_config::proto;
use boxwright_detection::DetectionModel;
use boxwright_weights::{FileKind, FineTuneType, RestoreReport};
use burn::tensor::{Device, Tensor, TensorData};

use crate::error::TrainingError;
use crate::input::{BatchPipeline, PipelineSettings, RecordDataset};

/// How many training images the statistics are measured on at most.
const UNFOLD_IMAGES: usize = 160;

/// What is taken from a checkpoint of this kind.
///
/// By TFOD's rule a config that names no type and does not say `from_detection_checkpoint` means a
/// classifier's checkpoint. One of ours is never that: then all of it is taken, as when one trains on.
fn checkpoint_type(train: &proto::TrainConfig, kind: &FileKind) -> Result<FineTuneType, TrainingError> {
    let named = train.fine_tune_checkpoint_type();
    if named.is_empty() && !train.from_detection_checkpoint() && matches!(kind, FileKind::Checkpoint { .. }) {
        return Ok(FineTuneType::Full);
    }
    FineTuneType::from_config(named, train.from_detection_checkpoint(), train.load_all_detection_checkpoint_vars())
        .map_err(TrainingError::Checkpoint)
}

/// Loads `path` into the model as `train` asks, and says what was loaded.
///
/// # Errors
/// The file cannot be read, the type is unknown, or the feature extractor would stay random and
/// `allow_random_backbone` is not set.
pub fn restore(
    model: DetectionModel,
    path: &Path,
    train: &proto::TrainConfig,
    dataset: &std::sync::Arc<RecordDataset>,
    settings: &PipelineSettings,
    device: &Device,
    allow_random_backbone: bool,
) -> Result<(DetectionModel, RestoreReport), TrainingError> {
    let mut file = boxwright_weights::open(path)?;
    let kind = checkpoint_type(train, file.kind())?;
    let values = file.read_all()?;
    let folded = boxwright_weights::is_folded(&values);
    let (model, report) = if allow_random_backbone {
        boxwright_weights::restore_what_fits(model, &values, kind)
    } else {
        boxwright_weights::restore(model, &values, kind, path)?
    };
    if !folded {
        return Ok((model, report));
    }
    let images = training_images(dataset, settings, device)?;
    let model = boxwright_weights::unfold_batch_norm(model, &values, images.into_iter());
    Ok((model, report))
}

/// Training images without augmentation, in small batches.
fn training_images(
    dataset: &std::sync::Arc<RecordDataset>,
    settings: &PipelineSettings,
    device: &Device,
) -> Result<Vec<Tensor<4>>, TrainingError> {
    let batch_size = settings.batch_size.min(8);
    let batches = dataset.len().min(UNFOLD_IMAGES).div_ceil(batch_size) as u64;
    let plain = PipelineSettings { batch_size, augmentation: Vec::new(), shuffle: false, ..settings.clone() };
    let mut pipeline = BatchPipeline::start(std::sync::Arc::clone(dataset), plain, 0..batches)?;
    let mut images = Vec::new();
    while let Some(batch) = pipeline.next_batch() {
        let batch = batch?;
        let shape = [batch.names.len(), 3, batch.size.0, batch.size.1];
        images.push(Tensor::from_data(TensorData::new(batch.images, shape), device));
    }
    Ok(images)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_of_ours_is_taken_whole_unless_the_config_says_otherwise() {
        let ours = FileKind::Checkpoint { step: 7 };
        let mut train = proto::TrainConfig::default();
        assert_eq!(checkpoint_type(&train, &ours).expect("a type"), FineTuneType::Full);
        assert_eq!(checkpoint_type(&train, &FileKind::Keras).expect("a type"), FineTuneType::Classification);
        train.fine_tune_checkpoint_type = Some("detection".to_owned());
        let detection = FineTuneType::Detection { all_variables: false };
        assert_eq!(checkpoint_type(&train, &ours).expect("a type"), detection);
        train.fine_tune_checkpoint_type = Some("detecton".to_owned());
        assert!(checkpoint_type(&train, &ours).is_err());
    }
}
