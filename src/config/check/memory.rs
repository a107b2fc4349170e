//! How much memory a training will need: an estimate.
//!
//! Weights count once for themselves, once for their gradient and once for each slot of the optimizer.
//! What the forward pass leaves behind counts for every image of the batch. The factors were set by four
//! runs of this program on the CPU with 160 photographs: SSD MobileNet v1 0.75 at 300 pixels had 399 MB
//! resident at most with two images a step and 792 MB with eight, SSD MobileNet v2 FPNLite at 320 pixels
//! 589 MB and 1509 MB.
//!
//! Six further networks were run without evaluation. MobileNet v2, SSDLite and MobileNet v1 FPN came out within
//! a tenth of what they needed, ResNet-50 FPN about a tenth too low, Inception v2 a sixth and VGG-16 a third
//! too low; for MobileNet v2, ResNet and Inception some layers were only counted after their runs had
//! shown them missing. Faster R-CNN and graphics devices were not measured.

use serde::Serialize;

use super::facts::DatasetFacts;
use super::{Findings, anchors, network};
use crate::proto::{TrainConfig, TrainEvalPipelineConfig, detection_model, optimizer};

/// Bytes that a run holds whatever the model: program, threads, buffers.
const PROGRAM: f64 = 200e6;
/// Decoded pictures that are kept, at most.
const PICTURES: f64 = 1e9;
/// Bytes for each number that the forward pass leaves, with what the backward pass holds beside it.
const PER_ACTIVATION: f64 = 4.0 * 1.2;

/// The memory that a training will need, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MemoryEstimate {
    /// Weights, their gradients and the optimizer's slots.
    pub weights: f64,
    /// What one image of the batch needs.
    pub per_image: f64,
    /// Program and decoded pictures.
    pub fixed: f64,
    /// Images in a batch.
    pub batch_size: u32,
}

impl MemoryEstimate {
    /// All together.
    pub fn total(&self) -> f64 {
        self.fixed + self.weights + self.per_image * f64::from(self.batch_size)
    }

    /// The largest batch that fits into so many bytes; 1 at least.
    pub fn largest_batch(&self, bytes: f64) -> u32 {
        ((bytes - self.fixed - self.weights) / self.per_image).floor().clamp(1.0, 65_536.0) as u32
    }
}

/// An estimate of the memory that the training of a config will need; none for networks whose layers are
/// not known here.
pub fn memory_estimate(config: &TrainEvalPipelineConfig, facts: &DatasetFacts) -> Option<MemoryEstimate> {
    let train = config.train_config.as_ref()?;
    let image = facts.train.as_ref().and_then(|train| train.boxes.first()).map(|one| one.image);
    let image = image.unwrap_or(boxwright_core::ImageSize::new(640, 480));
    let model = config.model.as_ref()?.model.as_ref()?;
    let network = match model {
        detection_model::Model::Ssd(ssd) => {
            let (_, frame) = anchors::resized(ssd.image_resizer.as_ref()?, image)?;
            let places = anchors::anchors_per_place(ssd.anchor_generator.as_ref());
            network::ssd(ssd, frame, &places)?
        }
        detection_model::Model::FasterRcnn(model) => {
            let (_, frame) = anchors::resized(model.image_resizer.as_ref()?, image)?;
            network::faster_rcnn(model, frame)?
        }
        _ => return None,
    };
    let pictures = facts.train_images.map_or(PICTURES, |images| {
        (images as f64 * f64::from(image.width) * f64::from(image.height) * 3.0).min(PICTURES)
    });
    Some(MemoryEstimate {
        weights: network.parameters * 4.0 * (2.0 + slots(train)),
        per_image: network.activations * PER_ACTIVATION,
        fixed: PROGRAM + pictures,
        batch_size: train.batch_size(),
    })
}

/// Numbers that the optimizer keeps for each weight.
fn slots(train: &TrainConfig) -> f64 {
    let Some(config) = &train.optimizer else { return 0.0 };
    let rule = match &config.optimizer {
        Some(optimizer::Optimizer::MomentumOptimizer(_)) => 1.0,
        Some(optimizer::Optimizer::RmsPropOptimizer(_) | optimizer::Optimizer::AdamOptimizer(_)) => 2.0,
        None => 0.0,
    };
    rule + f64::from(u8::from(config.use_moving_average()))
}

/// Bytes in words: `3.4 GB`.
pub(super) fn words(bytes: f64) -> String {
    if bytes >= 1e9 { format!("{:.1} GB", bytes / 1e9) } else { format!("{:.0} MB", bytes / 1e6) }
}

pub(super) fn check(findings: &mut Findings, facts: &DatasetFacts) {
    let Some(memory) = &facts.memory else { return };
    let Some(estimate) = memory_estimate(&findings.pipeline.config, facts) else { return };
    let (needed, there) = (estimate.total(), memory.bytes as f64);
    if needed <= 0.9 * there {
        return;
    }
    let message = format!(
        "a step with {} images needs about {} (an estimate), and {} has {}",
        estimate.batch_size,
        words(needed),
        memory.device,
        words(there)
    );
    let batch = estimate.largest_batch(0.8 * there);
    let fix = if batch < estimate.batch_size {
        format!("set batch_size to {batch}")
    } else {
        "use a smaller image_resizer size or a smaller model".to_owned()
    };
    findings.warning("memory", "train_config.batch_size", message, fix);
}
