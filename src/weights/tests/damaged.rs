//! Checkpoints that are not what they say.

use std::path::Path;

use crate::{WeightsError, read};
use boxwright_golden::shared;

/// A small real checkpoint, copied to a folder where it may be damaged.
fn copy(folder: &Path) -> Option<std::path::PathBuf> {
    let from = shared("data/tf-checkpoint-samples/complete/lfads_model-65000/model-65000.index")?;
    let prefix = folder.join("model-65000");
    for suffix in [".index", ".data-00000-of-00001"] {
        let name = format!("model-65000{suffix}");
        // Read and written, not copied: the originals may be read-only.
        let bytes = std::fs::read(from.with_file_name(&name)).expect("readable");
        std::fs::write(folder.join(name), bytes).expect("writable");
    }
    Some(prefix)
}

#[test]
fn every_flipped_byte_of_an_index_is_noticed_or_harmless() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(prefix) = copy(folder.path()) else { return };
    let whole = read(&prefix).expect("a good checkpoint");
    assert!(!whole.is_empty());
    let index = folder.path().join("model-65000.index");
    let bytes = std::fs::read(&index).expect("readable");
    let mut noticed = 0;
    for i in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[i] ^= 0x41;
        std::fs::write(&index, damaged).expect("writable");
        match read(&prefix) {
            // Padding of the footer, and blocks that nothing points to.
            Ok(values) => assert_eq!(values, whole),
            Err(error) => {
                noticed += 1;
                assert!(error.to_string().contains("model-65000"), "{error}");
            }
        }
    }
    assert!(2 * noticed > bytes.len(), "{noticed} of {}", bytes.len());
}

#[test]
fn a_cut_off_index_and_a_cut_off_data_file_are_errors() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(prefix) = copy(folder.path()) else { return };
    let index = folder.path().join("model-65000.index");
    let data = folder.path().join("model-65000.data-00000-of-00001");
    let bytes = std::fs::read(&data).expect("readable");
    std::fs::write(&data, &bytes[..bytes.len() / 2]).expect("writable");
    assert!(matches!(read(&prefix), Err(WeightsError::Damaged { .. })));
    let mut flipped = bytes.clone();
    flipped[100] ^= 1;
    std::fs::write(&data, flipped).expect("writable");
    let error = read(&prefix).expect_err("a wrong byte").to_string();
    assert!(error.contains("checksum"), "{error}");
    std::fs::remove_file(&data).expect("removable");
    assert!(matches!(read(&prefix), Err(WeightsError::Io { .. })));
    let table = std::fs::read(&index).expect("readable");
    for length in [0, 10, 47, 48, table.len() - 1] {
        std::fs::write(&index, &table[..length]).expect("writable");
        assert!(read(&prefix).is_err());
    }
}

#[test]
fn a_missing_checkpoint_says_what_to_give() {
    let error = read(Path::new("nowhere/model.ckpt")).expect_err("missing").to_string();
    assert!(error.contains("nowhere/model.ckpt") && error.contains(".index"), "{error}");
    let folder = tempfile::tempdir().expect("a folder");
    let error = read(folder.path()).expect_err("empty").to_string();
    assert!(error.contains("without a checkpoint"), "{error}");
}
