//! Detection models on burn, in the words of the TensorFlow Object Detection API.
//!
//! A model is read in one place, [`builders`], from the typed pipeline config; everything below
//! takes plain values. The way of a batch through [`meta_architectures::ssd`]: the
//! [`feature_extractors`] turn pictures into feature maps, the [`box_predictors`] turn feature maps
//! into box encodings and class logits for every anchor of the [`anchor_generators`]. In training
//! the [`target_assigner`] says what each anchor should have answered ([`region_similarity`],
//! [`matchers`], [`box_coders`]) and the [`losses`] say how far off it was; in use
//! [`post_processing`] keeps the best boxes. [`meta_architectures::faster_rcnn`] is made of the same parts in two
//! stages, and [`DetectionModel`] is either of them.
//!
//! What is per box runs on plain slices on the CPU, where TensorFlow runs it too; what is per pixel
//! is burn tensors and the operators of `boxwright_kernels`. Arithmetic follows TensorFlow's order
//! and precision, and the golden numbers in `tests` hold it there.
//!
//! No files and no window here.

pub mod anchor_generators;
pub mod balanced_sampler;
pub mod box_coders;
pub mod box_predictors;
pub mod builders;
pub mod feature_extractors;
pub mod image_resizer;
pub mod initializers;
pub mod layers;
pub mod losses;
pub mod matchers;
pub mod meta_architectures;
pub mod post_processing;
pub mod region_similarity;
pub mod regularizers;
pub mod resize;
pub mod target_assigner;
pub mod variables;

#[cfg(test)]
mod tests;

pub use layers::Mode;
pub use meta_architectures::faster_rcnn::FasterRcnnModel;
pub use meta_architectures::ssd::{Losses, Predictions, SsdModel};
pub use meta_architectures::{DetectionModel, Detector, Folded, LossPart};
pub use target_assigner::Groundtruth;
pub use variables::{HostTensor, LoadReport, VariableInfo};
