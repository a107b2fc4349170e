//! Weights: what a run starts from and what it leaves behind.
//!
//! [`open`] takes whatever somebody already has (a TensorFlow checkpoint of either kind, a frozen graph,
//! safetensors, PyTorch, Keras, TensorFlow Lite, a run of ours, an archive of one of these), finds out by
//! its content what it is, and lists its tensors; [`read`] gives their values. Names and layouts are
//! TensorFlow's, whoever wrote the file. [`restore`] puts them into a model by TFOD's rules for
//! fine-tuning and says what became of each; [`unfold_batch_norm`] makes weights whose batch
//! normalization was folded away fit for training again. [`write_checkpoint`] and [`read_checkpoint`] are
//! our own checkpoints: one safetensors file, written whole or not at all, with everything that a run
//! needs to go on.
//!
//! Files are read and never run. Every size that a file states is checked against the file before memory
//! is asked for. No window and no config here.

mod archive;
mod checkpoint;
mod element;
mod error;
mod file_bytes;
mod folder;
mod frozen_graph;
mod keras_h5;
mod name_map;
mod names;
mod pyramid_levels;
mod pytorch;
mod report;
mod safetensors_file;
mod tensor_bundle;
mod tflite;
mod unfold;
mod weight_file;
pub mod wire;

#[cfg(test)]
mod tests;

pub use archive::{ArchiveMember, list_archive, read_archive_member};
pub use checkpoint::{Checkpoint, read_checkpoint, write_checkpoint};
pub use element::ElementType;
pub use error::WeightsError;
pub use folder::is_there;
pub use name_map::{FineTuneType, Restorable, is_folded, restore, restore_what_fits};
pub use report::RestoreReport;
pub use unfold::unfold_batch_norm;
pub use weight_file::{Checksums, FileKind, TensorInfo, WeightFile, open};

use std::collections::BTreeMap;
use std::path::Path;

use boxwright_detection::HostTensor;

/// Reads all weights of a file, by their TensorFlow names.
///
/// `path` is whatever [`open`] takes.
///
/// # Errors
/// There is no such file, it is of another kind, or it is damaged; the error says where.
pub fn read(path: &Path) -> Result<BTreeMap<String, HostTensor>, WeightsError> {
    open(path)?.read_all()
}
