//! Starting from a checkpoint (`fine_tune_checkpoint` of the config).
//!
//! What the file gives is matched by TFOD's rule for the checkpoint type; weights whose batch
//! normalization was folded away are unfolded on the training images first, because a network that
//! trains needs the real statistics.

use std::path::Path;

use boxwright_config::proto;
use boxwright_detection::SsdModel;
use boxwright_weights::{FineTuneType, RestoreReport};
use burn::tensor::{Device, Tensor, TensorData};

use crate::error::TrainingError;
use crate::input::{BatchPipeline, PipelineSettings, RecordDataset};

/// How many training images the statistics are measured on at most.
const UNFOLD_IMAGES: usize = 160;

/// Loads `path` into the model as `train` asks, and says what was loaded.
///
/// # Errors
/// The file cannot be read, the type is unknown, or the feature extractor would stay random.
pub fn restore(
    model: SsdModel,
    path: &Path,
    train: &proto::TrainConfig,
    dataset: &std::sync::Arc<RecordDataset>,
    settings: &PipelineSettings,
    device: &Device,
) -> Result<(SsdModel, RestoreReport), TrainingError> {
    let kind = FineTuneType::from_config(
        train.fine_tune_checkpoint_type(),
        train.from_detection_checkpoint(),
        train.load_all_detection_checkpoint_vars(),
    )
    .map_err(TrainingError::Checkpoint)?;
    let values = boxwright_weights::read(path)?;
    let folded = boxwright_weights::is_folded(&values);
    let (model, report) = boxwright_weights::restore(model, &values, kind, path)?;
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
