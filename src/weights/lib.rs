//! Weights: what a run starts from and what it leaves behind.
//!
//! [`read`] takes whatever somebody already has, a TensorFlow V2 checkpoint or a safetensors file,
//! and gives the tensors by name in TensorFlow's layouts. [`restore`] puts them into a model by
//! TFOD's rules for fine-tuning; [`unfold_batch_norm`] makes weights whose batch normalization was
//! folded away fit for training again. [`write_checkpoint`] and [`read_checkpoint`] are our own
//! checkpoints: one safetensors file, written whole or not at all, with everything that a run needs
//! to go on.
//!
//! Every size that a file states is checked against the file before memory is asked for. No window
//! and no config here.

mod checkpoint;
mod error;
mod name_map;
mod safetensors_file;
mod tensor_bundle;
mod unfold;

#[cfg(test)]
mod tests;

pub use checkpoint::{Checkpoint, read_checkpoint, write_checkpoint};
pub use error::WeightsError;
pub use name_map::{FineTuneType, RestoreReport, is_folded, restore};
pub use unfold::unfold_batch_norm;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use boxwright_detection::HostTensor;

/// Reads all float tensors of a weight file.
///
/// `path` is a `.safetensors` file (a checkpoint of ours too: its variables), or a TensorFlow V2
/// checkpoint: its prefix `…/model.ckpt`, its `.index` file, or a folder that holds just one.
///
/// # Errors
/// There is no such file, it is of another kind, or it is damaged; the error says where.
pub fn read(path: &Path) -> Result<BTreeMap<String, HostTensor>, WeightsError> {
    if let Some(prefix) = bundle_prefix(path)? {
        return tensor_bundle::read(&prefix);
    }
    if !path.exists() {
        return Err(WeightsError::NotFound { path: path.to_owned() });
    }
    safetensors_file::read(path)
}

/// The prefix of the TensorFlow checkpoint that `path` means, if it means one.
fn bundle_prefix(path: &Path) -> Result<Option<PathBuf>, WeightsError> {
    if path.extension().is_some_and(|extension| extension == "index") && path.is_file() {
        return Ok(Some(path.with_extension("")));
    }
    if tensor_bundle::index_path(path).is_file() {
        return Ok(Some(path.to_owned()));
    }
    if !path.is_dir() {
        return Ok(None);
    }
    let entries = std::fs::read_dir(path).map_err(|e| WeightsError::io(path, e))?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| file.extension().is_some_and(|extension| extension == "index"))
        .collect();
    match (found.pop(), found.is_empty()) {
        (Some(index), true) => Ok(Some(index.with_extension(""))),
        (None, _) => Err(WeightsError::format(path, "is a folder without a checkpoint (no .index file in it)")),
        (Some(_), false) => Err(WeightsError::format(
            path,
            "is a folder with several checkpoints; give the prefix of one, like …/model.ckpt",
        )),
    }
}
