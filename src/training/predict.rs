//! A trained detector, opened to find objects in pictures.

use std::path::Path;

use boxwright_config::Pipeline;
use boxwright_core::Detection;
use boxwright_core::label_map::LabelMap;
use boxwright_detection::Detector;
use boxwright_detection::image_resizer::ImageResizer;
use boxwright_formats::picture::Picture;
use burn::tensor::Device;

use crate::device::{DeviceChoice, open_device};
use crate::error::TrainingError;
use crate::evaluate::detect_pictures;
use crate::model_file::ModelFiles;

/// A detector for pictures: model, labels and device.
pub struct Predictor {
    detector: Detector,
    resizer: ImageResizer,
    device: Device,
    labels: LabelMap,
}

impl Predictor {
    /// Opens the model that a path means ([`ModelFiles::find`]), with its own config and label map where none are
    /// given.
    ///
    /// # Errors
    /// The config, the weights or the label map are missing, damaged, or do not fit each other.
    pub fn open(
        model: &Path,
        pipeline: Option<&Path>,
        labels: Option<&Path>,
        choice: DeviceChoice,
    ) -> Result<Self, TrainingError> {
        let files = ModelFiles::find(model, pipeline)?;
        let pipeline = Pipeline::read(&files.pipeline)?;
        let labels = match labels {
            Some(path) => boxwright_config::label_map::read(path)?,
            None => files.labels(&pipeline)?,
        };
        let (device, _) = open_device(choice)?;
        let loaded = files.load(&pipeline, &device)?;
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
