//! Starting from a checkpoint (`fine_tune_checkpoint` of the config).
//!
//! What the file gives is matched by TFOD's rule for the checkpoint type; weights whose batch
//! normalization was folded away are unfolded on the training images first, because a network that
//! trains needs the real statistics. The path may also be a run of ours, from whose last checkpoint the
//! new run goes on to learn, or the `model.tar.gz` that an earlier job left; where the label maps differ,
//! classes keep their heads by name ([`crate::class_heads`]).

use std::collections::BTreeMap;
use std::path::Path;

use boxwright_config::proto;
use boxwright_core::label_map::LabelMap;
use boxwright_detection::{DetectionModel, HostTensor};
use boxwright_weights::{FileKind, FineTuneType, RestoreReport};
use burn::tensor::{Device, Tensor, TensorData};

use crate::class_heads::{ClassTransfer, carry_over, label_map_of};
use crate::error::TrainingError;
use crate::input::{BatchPipeline, PipelineSettings, RecordDataset};

/// How many training images the statistics are measured on at most. On raccoon, runs that measured on 64 pictures were as
/// good after 100 steps as those that measured on 160, and began two seconds earlier.
const UNFOLD_IMAGES: usize = 64;

/// Where a run starts, and how.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// The weights.
    pub path: &'a Path,
    /// The config's words about them.
    pub train: &'a proto::TrainConfig,
    /// Whether a person named them for this run: then the config's words are about other weights.
    pub named_by_person: bool,
    /// Train even where the feature extractor stays random.
    pub allow_random_backbone: bool,
    /// The label map of the new run.
    pub labels: Option<&'a LabelMap>,
}

/// What became of the weights that a run starts from.
#[derive(Clone, Debug)]
pub struct StartReport {
    /// The variables.
    pub variables: RestoreReport,
    /// The classes, where they are others than before.
    pub classes: Option<ClassTransfer>,
}

impl std::fmt::Display for StartReport {
    /// In one line; with `{:#}` every variable in a line of its own below it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(classes) = &self.classes {
            write!(f, "{classes}; ")?;
        }
        self.variables.fmt(f)
    }
}

/// What is taken from a checkpoint of this kind.
///
/// By TFOD's rule a config that names no type and does not say `from_detection_checkpoint` means a
/// classifier's checkpoint. One of ours is never that: then all of it is taken, as when one trains on. It is
/// taken whole, too, where a person names it in place of the config's.
fn checkpoint_type(start: &Start<'_>, kind: &FileKind) -> Result<FineTuneType, TrainingError> {
    let train = start.train;
    let named = train.fine_tune_checkpoint_type();
    let says_nothing = named.is_empty() && !train.from_detection_checkpoint();
    if matches!(kind, FileKind::Checkpoint { .. }) && (says_nothing || start.named_by_person) {
        return Ok(FineTuneType::Full);
    }
    FineTuneType::from_config(named, train.from_detection_checkpoint(), train.load_all_detection_checkpoint_vars())
        .map_err(TrainingError::Checkpoint)
}

/// Loads weights into the model as `start` asks, and says what was loaded.
///
/// # Errors
/// The file cannot be read, the type is unknown, or the feature extractor would stay random and
/// `allow_random_backbone` is not set.
pub fn restore(
    model: DetectionModel,
    start: &Start<'_>,
    dataset: &std::sync::Arc<RecordDataset>,
    settings: &PipelineSettings,
    device: &Device,
) -> Result<(DetectionModel, StartReport), TrainingError> {
    let mut file = boxwright_weights::open(start.path)?;
    let kind = checkpoint_type(start, file.kind())?;
    let mut values = file.read_all()?;
    let with_heads = matches!(kind, FineTuneType::Full | FineTuneType::Detection { all_variables: true });
    let classes = if with_heads { carry_classes(&mut values, &model, start)? } else { None };
    let folded = boxwright_weights::is_folded(&values);
    let (model, variables) = if start.allow_random_backbone {
        boxwright_weights::restore_what_fits(model, &values, kind)
    } else {
        boxwright_weights::restore(model, &values, kind, start.path)?
    };
    let report = StartReport { variables, classes };
    if !folded {
        return Ok((model, report));
    }
    let mut images = TrainingImages::open(dataset, settings, device)?;
    let model = boxwright_weights::unfold_batch_norm(model, &values, &mut images);
    images.error.map_or(Ok((model, report)), Err)
}

/// Brings the heads of the weights to the classes of the new run, where both label maps are known.
fn carry_classes(
    values: &mut BTreeMap<String, HostTensor>,
    model: &DetectionModel,
    start: &Start<'_>,
) -> Result<Option<ClassTransfer>, TrainingError> {
    let Some(new) = start.labels else { return Ok(None) };
    let Some(old) = label_map_of(start.path)?.filter(|old| old != new) else { return Ok(None) };
    Ok(carry_over(values, &model.variables(), model.num_classes(), &old, new))
}

/// Training images without augmentation, in small batches that are decoded while the network looks at those before.
struct TrainingImages<'a> {
    pipeline: BatchPipeline,
    device: &'a Device,
    /// Why there are no more.
    error: Option<TrainingError>,
}

impl<'a> TrainingImages<'a> {
    fn open(
        dataset: &std::sync::Arc<RecordDataset>,
        settings: &PipelineSettings,
        device: &'a Device,
    ) -> Result<Self, TrainingError> {
        let batch_size = settings.batch_size.clamp(1, 8);
        let batches = dataset.len().min(UNFOLD_IMAGES).div_ceil(batch_size) as u64;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        // Shuffled: the first records of a file may all be of one kind.
        let plain =
            PipelineSettings { batch_size, augmentation: Vec::new(), shuffle: true, threads, ..settings.clone() };
        let pipeline = BatchPipeline::start(std::sync::Arc::clone(dataset), plain, 0..batches)?;
        Ok(Self { pipeline, device, error: None })
    }
}

impl Iterator for TrainingImages<'_> {
    type Item = Tensor<4>;

    fn next(&mut self) -> Option<Tensor<4>> {
        match self.pipeline.next_batch()? {
            Ok(batch) => {
                let shape = [batch.names.len(), 3, batch.size.0, batch.size.1];
                Some(Tensor::from_data(TensorData::new(batch.images, shape), self.device))
            }
            Err(error) => {
                self.error = Some(error);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_of_ours_is_taken_whole_unless_the_config_says_otherwise() {
        let ours = FileKind::Checkpoint { step: 7 };
        let mut train = proto::TrainConfig::default();
        let kind = |train: &proto::TrainConfig, named_by_person, kind: &FileKind| {
            let path = Path::new("weights");
            let start = Start { path, train, named_by_person, allow_random_backbone: false, labels: None };
            checkpoint_type(&start, kind)
        };
        assert_eq!(kind(&train, false, &ours).expect("a type"), FineTuneType::Full);
        assert_eq!(kind(&train, false, &FileKind::Keras).expect("a type"), FineTuneType::Classification);
        train.fine_tune_checkpoint_type = Some("detection".to_owned());
        let detection = FineTuneType::Detection { all_variables: false };
        assert_eq!(kind(&train, false, &ours).expect("a type"), detection);
        assert_eq!(kind(&train, true, &ours).expect("a type"), FineTuneType::Full);
        assert_eq!(kind(&train, true, &FileKind::Safetensors).expect("a type"), detection);
        train.fine_tune_checkpoint_type = Some("detecton".to_owned());
        assert!(kind(&train, false, &ours).is_err());
    }
}
