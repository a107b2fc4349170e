//! Our own checkpoints: one safetensors file with all that a run needs to go on.
//!
//! Variables stand under TensorFlow's names, optimizer slots under `optimizer/` and TensorFlow's
//! name, `optimizer/…/weights/Momentum`. Step and state are one metadata entry. Any safetensors
//! reader can open the file, and [`crate::read`] takes it as weights to start from.

use std::collections::BTreeMap;
use std::path::Path;

use boxwright_detection::HostTensor;
use boxwright_formats::atomic_file;

use crate::error::WeightsError;
use crate::safetensors_file::{CHECKPOINT_KEY, SLOT_PREFIX, read_contents, to_bytes};

/// The version of the layout that is written.
const VERSION: u64 = 1;

/// A run at one step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// Steps taken.
    pub step: u64,
    /// The model's variables, by TensorFlow's names and in its layouts.
    pub variables: BTreeMap<String, HostTensor>,
    /// The optimizer's slots: `NAME/Momentum` and the like.
    pub slots: BTreeMap<String, HostTensor>,
    /// Whatever else the run wants to find again.
    pub state_json: String,
}

/// Writes a checkpoint, whole or not at all. The same checkpoint gives the same bytes.
///
/// # Errors
/// The file system refuses; the old file, if any, is then as it was.
pub fn write_checkpoint(path: &Path, checkpoint: &Checkpoint) -> Result<(), WeightsError> {
    let variables = checkpoint.variables.iter().map(|(name, tensor)| (name.clone(), tensor));
    let slots = checkpoint.slots.iter().map(|(name, tensor)| (format!("{SLOT_PREFIX}{name}"), tensor));
    let about = serde_json::json!({ "version": VERSION, "step": checkpoint.step, "state": checkpoint.state_json });
    let bytes = to_bytes(path, variables.chain(slots), (CHECKPOINT_KEY.to_owned(), about.to_string()))?;
    atomic_file::write_whole(path, &bytes).map_err(|e| WeightsError::io(path, e))
}

/// Reads a checkpoint of ours.
///
/// # Errors
/// The file is missing, damaged, or no checkpoint of ours.
pub fn read_checkpoint(path: &Path) -> Result<Checkpoint, WeightsError> {
    let mut contents = read_contents(path)?;
    let about = contents.metadata.get(CHECKPOINT_KEY).ok_or_else(|| {
        WeightsError::format(path, "holds weights but no run; give it as fine_tune_checkpoint to start from it")
    })?;
    let damaged = |what: &str| WeightsError::damaged(path, "the header", what);
    let about: serde_json::Value = serde_json::from_str(about).map_err(|e| damaged(&e.to_string()))?;
    match about["version"].as_u64() {
        Some(VERSION) => {}
        Some(newer) => return Err(WeightsError::format(path, format!("is a checkpoint of a newer version ({newer})"))),
        None => return Err(damaged("the checkpoint has no version")),
    }
    let step = about["step"].as_u64().ok_or_else(|| damaged("the checkpoint has no step"))?;
    let state_json = about["state"].as_str().unwrap_or_default().to_owned();
    let slots = contents.tensors.split_off(SLOT_PREFIX);
    let mut checkpoint = Checkpoint { step, variables: contents.tensors, slots: BTreeMap::new(), state_json };
    for (name, tensor) in slots {
        match name.strip_prefix(SLOT_PREFIX) {
            Some(name) => checkpoint.slots.insert(name.to_owned(), tensor),
            None => checkpoint.variables.insert(name, tensor),
        };
    }
    Ok(checkpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(values: &[f32]) -> HostTensor {
        HostTensor { shape: vec![values.len()], data: values.to_vec() }
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            step: 400,
            variables: BTreeMap::from([
                ("BoxPredictor_0/ClassPredictor/biases".to_owned(), tensor(&[1.0, -0.0])),
                ("zebra".to_owned(), tensor(&[f32::MIN_POSITIVE, f32::NAN])),
            ]),
            slots: BTreeMap::from([("BoxPredictor_0/ClassPredictor/biases/Momentum".to_owned(), tensor(&[3.0, 4.0]))]),
            state_json: r#"{"seed":7}"#.to_owned(),
        }
    }

    #[test]
    fn what_was_written_comes_back_to_the_bit() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ckpt-00000400.safetensors");
        write_checkpoint(&path, &checkpoint()).expect("writable");
        let back = read_checkpoint(&path).expect("readable");
        let bits = |c: &Checkpoint| {
            let tensors = c.variables.iter().chain(&c.slots);
            tensors
                .map(|(n, t)| (n.clone(), t.data.iter().map(|v| v.to_bits()).collect::<Vec<_>>()))
                .collect::<Vec<_>>()
        };
        assert_eq!(bits(&back), bits(&checkpoint()));
        assert_eq!((back.step, back.state_json.as_str()), (400, r#"{"seed":7}"#));
        let first = std::fs::read(&path).expect("readable");
        write_checkpoint(&path, &checkpoint()).expect("writable");
        assert_eq!(std::fs::read(&path).expect("readable"), first);
    }

    #[test]
    fn as_weights_it_has_no_slots_and_weights_are_no_checkpoint() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("c.safetensors");
        write_checkpoint(&path, &checkpoint()).expect("writable");
        assert_eq!(crate::read(&path).expect("readable").len(), 2);
        let bytes = to_bytes(&path, [("w".to_owned(), &tensor(&[1.0]))].into_iter(), ("a".into(), "b".into()));
        std::fs::write(&path, bytes.expect("small")).expect("writable");
        let error = read_checkpoint(&path).expect_err("no run in it").to_string();
        assert!(error.contains("fine_tune_checkpoint"), "{error}");
    }

    #[test]
    fn a_cut_off_checkpoint_is_damaged_and_a_failed_write_leaves_the_old_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("c.safetensors");
        write_checkpoint(&path, &checkpoint()).expect("writable");
        let bytes = std::fs::read(&path).expect("readable");
        for length in [0, 7, 20, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..length]).expect("writable");
            read_checkpoint(&path).expect_err("cut off");
        }
        let missing = folder.path().join("no/such/folder/c.safetensors");
        let error = write_checkpoint(&missing, &checkpoint()).expect_err("no folder").to_string();
        assert!(error.contains("c.safetensors"), "{error}");
    }
}
