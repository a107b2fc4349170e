//! Measuring a detector on the evaluation records.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use boxwright_config::{paths, proto};
use boxwright_core::evaluation::pascal::{self, PascalOptions};
use boxwright_core::evaluation::{DetectedImage, EvaluationError, EvaluationResult, GroundtruthImage, coco};
use boxwright_core::label_map::LabelMap;
use boxwright_core::run::{ImageDetections, ProgressEvent, RunDetections};
use boxwright_detection::image_resizer::ImageResizer;
use boxwright_detection::{DetectionModel, Detector, builders};
use boxwright_formats::event_file::EventWriter;
use burn::tensor::{Device, Tensor, TensorData};

use crate::error::TrainingError;
use crate::input::{Example, RecordDataset, push_planes};
use crate::journal::write_evaluation;
use crate::model_file::ModelFiles;
use crate::progress::ProgressSink;
use crate::run_directory::{find_checkpoint, host_name, write_detections};
use crate::side_by_side::{self, DrawBoxes, PictureSettings};
use crate::train::folder_of;

/// What an evaluation needs beside the model.
pub struct EvaluationData {
    dataset: RecordDataset,
    labels: LabelMap,
    resizer: ImageResizer,
    /// Whether the moving averages of the variables are measured instead of the variables.
    pub use_moving_averages: bool,
    /// Which pictures of an evaluation are shown.
    pub(crate) pictures: PictureSettings,
}

/// Images a forward pass takes at once.
const BATCH: usize = 8;

impl EvaluationData {
    /// Opens the records of `eval_input_reader`; `None` where the config names none.
    ///
    /// # Errors
    /// The records or the label map cannot be read.
    pub fn open(
        config: &proto::TrainEvalPipelineConfig,
        file: &Path,
        num_classes: usize,
    ) -> Result<Option<Self>, TrainingError> {
        let Some(reader) = config.eval_input_reader.first() else { return Ok(None) };
        let record_files = crate::train::field(crate::builders::record_paths(Some(reader), "eval_input_reader"), file)?;
        let labels = read_label_map(reader, file)?;
        let dataset = RecordDataset::open(record_files, &folder_of(file), labels.clone(), num_classes)?;
        let labels = labels.unwrap_or_else(|| numbered_labels(num_classes));
        let model = config.model.clone().unwrap_or_default();
        let resizer = builders::image_resizer_of(&model)
            .map_err(|source| TrainingError::Build { file: file.to_owned(), source })?;
        let use_moving_averages = config.eval_config.as_ref().is_some_and(|c| c.use_moving_averages());
        let pictures = PictureSettings::from_config(config);
        Ok(Some(Self { dataset, labels, resizer, use_moving_averages, pictures }))
    }

    /// How many images there are.
    pub fn len(&self) -> usize {
        self.dataset.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.dataset.is_empty()
    }

    /// An image with its boxes.
    pub(crate) fn example(&self, index: usize) -> Result<Arc<Example>, TrainingError> {
        self.dataset.load(index)
    }

    /// The classes.
    pub fn labels(&self) -> &LabelMap {
        &self.labels
    }
}

/// The label map of an input reader, where it names one.
///
/// # Errors
/// It cannot be read.
pub fn read_label_map(reader: &proto::InputReader, file: &Path) -> Result<Option<LabelMap>, TrainingError> {
    match reader.label_map_path() {
        "" => Ok(None),
        path => Ok(Some(boxwright_config::label_map::read(paths::resolve(&folder_of(file), path))?)),
    }
}

/// Names for classes that nobody named.
fn numbered_labels(num_classes: usize) -> LabelMap {
    LabelMap::from_names((1..=num_classes).map(|i| format!("class {i}"))).unwrap_or_default()
}

/// Runs the model over the evaluation data: TFOD's COCO and Pascal metrics, and every detection.
///
/// # Errors
/// A record cannot be read, or the metrics cannot be computed.
pub fn evaluate_model(
    model: &DetectionModel,
    data: &EvaluationData,
    step: u64,
    device: &Device,
    sink: &mut dyn ProgressSink,
) -> Result<(EvaluationResult, RunDetections), TrainingError> {
    let mut groundtruth = Vec::with_capacity(data.len());
    let mut detected = Vec::with_capacity(data.len());
    let mut found = RunDetections { step, images: Vec::with_capacity(data.len()) };
    let begin = Instant::now();
    let detector = model.detector();
    for first in (0..data.len()).step_by(BATCH) {
        let examples =
            (first..data.len().min(first + BATCH)).map(|i| data.dataset.load(i)).collect::<Result<Vec<_>, _>>()?;
        let pictures: Vec<(&[u8], usize, usize)> =
            examples.iter().map(|e| (&e.rgb[..], e.size.height as usize, e.size.width as usize)).collect();
        let detections = detect_pictures(&detector, &data.resizer, &pictures, device);
        for (example, detections) in examples.iter().zip(detections) {
            groundtruth.push(GroundtruthImage { image: example.name.clone(), boxes: example.groundtruth() });
            detected.push(DetectedImage {
                image: example.name.clone(),
                detections: detections.iter().map(|d| (d.label, d.score, d.bounds.to_pixels(example.size))).collect(),
            });
            found.images.push(ImageDetections { image: example.name.clone(), detections });
        }
        let done = groundtruth.len() as u64;
        let rate = done as f64 / begin.elapsed().as_secs_f64().max(1e-9);
        sink.event(&ProgressEvent::Progress {
            stage: "evaluating".into(),
            done,
            total: data.len() as u64,
            seconds_left: Some((data.len() as u64 - done) as f64 / rate),
            rate: Some(rate),
        });
    }
    let mut result = coco::evaluate(&groundtruth, &detected, &data.labels).map_err(in_evaluation)?;
    let pascal = pascal::evaluate(&groundtruth, &detected, &data.labels, &PascalOptions::default());
    result.values.extend(pascal.map_err(in_evaluation)?.values);
    Ok((result, found))
}

fn in_evaluation(error: EvaluationError) -> TrainingError {
    TrainingError::Input(error.to_string())
}

/// Detections in pictures of whatever size, each `(rgb, height, width)`.
pub fn detect_pictures(
    detector: &Detector,
    resizer: &ImageResizer,
    pictures: &[(&[u8], usize, usize)],
    device: &Device,
) -> Vec<Vec<boxwright_core::Detection>> {
    let mut results = Vec::with_capacity(pictures.len());
    let mut planes = Vec::new();
    let mut true_shapes = Vec::new();
    let mut shape = (0, 0);
    let mut flush = |planes: &mut Vec<f32>, true_shapes: &mut Vec<[usize; 2]>, (height, width): (usize, usize)| {
        if !true_shapes.is_empty() {
            let data = TensorData::new(std::mem::take(planes), [true_shapes.len(), 3, height, width]);
            results.extend(detector.detect(Tensor::from_data(data, device), true_shapes));
            true_shapes.clear();
        }
    };
    for (rgb, height, width) in pictures {
        let resized = resizer.resize(rgb, *height, *width);
        // Resizers that keep the aspect ratio give sizes that cannot share a batch.
        if resized.size != shape {
            flush(&mut planes, &mut true_shapes, shape);
            shape = resized.size;
        }
        push_planes(&mut planes, &resized.pixels);
        true_shapes.push([resized.true_size.0, resized.true_size.1]);
    }
    flush(&mut planes, &mut true_shapes, shape);
    results
}

/// What `boxwright eval --pipeline --model-dir` asks for.
#[derive(Clone, Debug)]
pub struct EvalRequest {
    /// The pipeline config; the one of the run, or the nearest to the checkpoint, where absent.
    pub pipeline: Option<PathBuf>,
    /// The run directory; without one a file of weights is measured, and nothing is kept.
    pub model_dir: Option<PathBuf>,
    /// The checkpoint: `last`, `best`, a step, or weights of whatever kind; the run's last where absent.
    pub checkpoint: Option<PathBuf>,
    /// The device.
    pub device: crate::device::DeviceChoice,
    /// Draws the pictures for TensorBoard; without it there are none.
    pub draw: Option<DrawBoxes>,
}

/// Measures a checkpoint, and keeps the detections where it is one of a run.
///
/// # Errors
/// The config, the checkpoint or the records cannot be read or do not fit.
pub fn evaluate_run(
    request: &EvalRequest,
    sink: &mut dyn ProgressSink,
) -> Result<(EvaluationResult, RunDetections), TrainingError> {
    let given = request.pipeline.as_deref();
    let files = match (&request.checkpoint, &request.model_dir) {
        (Some(name), Some(run)) => ModelFiles {
            pipeline: given.map_or_else(|| run.join("pipeline.config"), Path::to_owned),
            weights: find_checkpoint(run, name)?,
        },
        (Some(model), None) | (None, Some(model)) => ModelFiles::find(model, given)?,
        (None, None) => {
            return Err(TrainingError::Checkpoint("there is nothing to measure: give a run or a checkpoint".into()));
        }
    };
    let pipeline = boxwright_config::Pipeline::read(&files.pipeline)?;
    let (device, _) = crate::device::open_device(request.device)?;
    let loaded = files.load(&pipeline, &device)?;
    let data =
        EvaluationData::open(&pipeline.config, &files.pipeline, loaded.model.num_classes())?.ok_or_else(|| {
            TrainingError::Field {
                file: files.pipeline.clone(),
                field: "eval_input_reader".into(),
                what: "is not set; add one with the records to measure on".into(),
            }
        })?;
    let (result, detections) = evaluate_model(&loaded.model, &data, loaded.step, &device, sink)?;
    if let Some(run) = &request.model_dir {
        write_detections(run, &detections)?;
        let folder = run.join("eval");
        let mut events = EventWriter::create(&folder, &host_name()).map_err(|e| TrainingError::file(folder, e))?;
        let pictures = request.draw.map(|draw| side_by_side::pictures(&data, &detections, draw)).unwrap_or_default();
        write_evaluation(&mut events, loaded.step, &result, pictures)?;
    }
    Ok((result, detections))
}
