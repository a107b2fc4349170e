//! Meta-architectures: how the parts make a detector.

mod detection_model;
pub mod faster_rcnn;
mod folded;
pub mod ssd;

pub use detection_model::{DetectionModel, LossPart};
pub use folded::{Detector, Folded};

use boxwright_core::Detection;
use boxwright_core::geometry::NormalizedBox;
use boxwright_core::label_map::{ClassIndex, LabelMap};
use burn::tensor::Tensor;

use crate::post_processing::ScoredBox;

/// A box of the post-processing as a detection; `None` for a class that no label map can name.
fn detection(found: ScoredBox) -> Option<Detection> {
    let label = LabelMap::label_id(ClassIndex(found.class))?;
    Some(Detection { label, score: found.score, bounds: NormalizedBox::from_array(found.bounds) })
}

fn to_host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = tensor.into_data();
    match data.as_slice::<f32>() {
        Ok(values) => values.to_vec(),
        Err(_) => data.iter::<f32>().collect(),
    }
}
