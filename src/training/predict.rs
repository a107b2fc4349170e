//! A trained detector, opened to find objects in pictures.

use std::path::{Path, PathBuf};

use boxwright_config::{Pipeline, proto};
use boxwright_core::Detection;
use boxwright_core::label_map::LabelMap;
use boxwright_detection::image_resizer::ImageResizer;
use boxwright_detection::{DetectionModel, Detector, builders};
use boxwright_formats::picture::Picture;
use boxwright_weights::read_checkpoint;
use burn::tensor::Device;

use crate::device::{DeviceChoice, open_device};
use crate::error::TrainingError;
use crate::evaluate::detect_pictures;
use crate::run_directory::{checkpoint_path, checkpoint_steps, find_model};

/// A model with the weights of one checkpoint.
pub struct LoadedModel {
    /// The model, ready to detect.
    pub model: DetectionModel,
    /// The step of its checkpoint.
    pub step: u64,
    /// Its resizer.
    pub resizer: ImageResizer,
}

/// Builds the model of `config` with the weights of a checkpoint: the given one, or the run's last.
///
/// # Errors
/// There is no checkpoint, it cannot be read, or it does not fit the config.
pub fn load_checkpoint(
    config: &proto::TrainEvalPipelineConfig,
    file: &Path,
    model_dir: &Path,
    checkpoint: Option<&Path>,
    device: &Device,
) -> Result<LoadedModel, TrainingError> {
    let path = match checkpoint {
        Some(path) => path.to_owned(),
        None => last_checkpoint(model_dir)?,
    };
    let model_config = config.model.clone().unwrap_or_default();
    let build = |source| TrainingError::Build { file: file.to_owned(), source };
    let model = builders::build_model(&model_config, 0, device).map_err(build)?;
    let resizer = builders::image_resizer_of(&model_config).map_err(build)?;
    let checkpoint = read_checkpoint(&path)?;
    let (model, report) = model.load_variables(&checkpoint.variables);
    if !report.missing.is_empty() || !report.wrong_shape.is_empty() {
        return Err(TrainingError::Checkpoint(format!(
            "{}: does not fit {}: {} variables are missing and {} have another shape; use the pipeline.config of its own run",
            path.display(),
            file.display(),
            report.missing.len(),
            report.wrong_shape.len()
        )));
    }
    Ok(LoadedModel { model, step: checkpoint.step, resizer })
}

/// The run's last checkpoint.
///
/// # Errors
/// There is none.
pub fn last_checkpoint(model_dir: &Path) -> Result<PathBuf, TrainingError> {
    let step = checkpoint_steps(model_dir).pop().ok_or_else(|| {
        TrainingError::Checkpoint(format!("{}: there is no checkpoint here; train first", model_dir.display()))
    })?;
    Ok(checkpoint_path(model_dir, step))
}

/// A detector for pictures: model, labels and device.
pub struct Predictor {
    detector: Detector,
    resizer: ImageResizer,
    device: Device,
    labels: LabelMap,
}

impl Predictor {
    /// Opens a run directory, one checkpoint in one, or `RUN/best`.
    ///
    /// # Errors
    /// The config, checkpoint or label map is missing or does not fit.
    pub fn open(model: &Path, labels: Option<&Path>, choice: DeviceChoice) -> Result<Self, TrainingError> {
        let (run, checkpoint) = find_model(model)?;
        let file = run.join("pipeline.config");
        let pipeline = Pipeline::read(&file)?;
        let label_path = labels.map_or_else(|| run.join("label_map.pbtxt"), Path::to_owned);
        let labels = if labels.is_some() || label_path.exists() {
            boxwright_config::label_map::read(&label_path)?
        } else {
            LabelMap::default()
        };
        let (device, _) = open_device(choice)?;
        let loaded = load_checkpoint(&pipeline.config, &file, &run, checkpoint.as_deref(), &device)?;
        Ok(Self { detector: loaded.model.detector(), resizer: loaded.resizer, device, labels })
    }

    /// The classes.
    pub fn labels(&self) -> &LabelMap {
        &self.labels
    }

    /// The objects in a picture with at least this score, best first.
    pub fn detect(&self, picture: &Picture, min_confidence: f32) -> Vec<Detection> {
        let (height, width) = (picture.size.height as usize, picture.size.width as usize);
        let mut found = detect_pictures(&self.detector, &self.resizer, &[(&picture.rgb, height, width)], &self.device);
        let mut detections = found.pop().unwrap_or_default();
        detections.retain(|d| d.score >= min_confidence);
        detections
    }
}
