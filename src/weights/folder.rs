//! What a path means: a file, the prefix of a TensorFlow checkpoint, or a folder with one checkpoint in it.
//!
//! A folder is looked through in this order, and what comes first is taken: our own checkpoints of a run,
//! the newest; TensorFlow checkpoints, the one that the file `checkpoint` names, else the only one, else
//! the one of the latest step; any other weight file, if there is just one of its kind.

use std::path::{Path, PathBuf};

use crate::error::WeightsError;
use crate::tensor_bundle::index_path;

/// How deep folders are looked through, and how many files at most.
const MAX_DEPTH: usize = 6;
const MAX_FILES: usize = 50_000;

/// Where the weights of a path are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    /// Whether it is a checkpoint's prefix and no file.
    pub(crate) is_prefix: bool,
}

impl Found {
    fn file(path: PathBuf) -> Self {
        Self { path, is_prefix: false }
    }

    fn prefix(index: &Path) -> Self {
        Self { path: index.with_extension(""), is_prefix: true }
    }
}

/// Whether there is something that [`crate::open`] may take at a path: a file, a folder, or the prefix of a TensorFlow
/// checkpoint.
pub fn is_there(path: &Path) -> bool {
    path.exists() || index_path(path).is_file()
}

/// What `path` means.
pub(crate) fn resolve(path: &Path) -> Result<Found, WeightsError> {
    if path.is_dir() {
        return in_folder(path)?.map_err(|what| WeightsError::format(path, what));
    }
    if path.is_file() {
        // One of a checkpoint's files stands for the checkpoint.
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".index") {
            return Ok(Found::prefix(path));
        }
        if let Some((prefix, _)) =
            name.split_once(".data-").filter(|(prefix, _)| index_path(&path.with_file_name(prefix)).is_file())
        {
            return Ok(Found { path: path.with_file_name(prefix), is_prefix: true });
        }
        return Ok(Found::file(path.to_owned()));
    }
    if index_path(path).is_file() {
        return Ok(Found { path: path.to_owned(), is_prefix: true });
    }
    Err(WeightsError::NotFound { path: path.to_owned() })
}

/// What is in the folder that an archive was unpacked to.
pub(crate) fn resolve_unpacked(folder: &Path, archive: &Path) -> Result<Found, WeightsError> {
    in_folder(folder)?.map_err(|what| WeightsError::format(archive, what))
}

/// The weights in a folder, or why none are taken.
fn in_folder(folder: &Path) -> Result<Result<Found, String>, WeightsError> {
    let mut files = Vec::new();
    list(folder, 0, &mut files)?;
    files.sort();
    let ending = |endings: &[&str]| -> Vec<&PathBuf> {
        let has = |path: &&PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            endings.iter().any(|ending| name.ends_with(ending))
        };
        files.iter().filter(has).collect()
    };
    let own: Vec<&PathBuf> = ending(&[".safetensors"]).into_iter().filter(|path| step(path).is_some()).collect();
    if let Some(newest) = own.iter().max_by_key(|path| step(path)) {
        return Ok(match own.iter().all(|path| path.parent() == newest.parent()) {
            true => Ok(Found::file((*newest).clone())),
            false => Err("has the checkpoints of several runs; give the folder of one".to_owned()),
        });
    }
    let indices = ending(&[".index"]);
    if !indices.is_empty() {
        return Ok(choose_index(&indices));
    }
    for endings in [&[".safetensors"][..], &[".pth", ".pt"], &[".h5", ".hdf5"], &[".pb"], &[".tflite"]] {
        match ending(endings).as_slice() {
            [] => {}
            [only] => return Ok(Ok(Found::file((*only).clone()))),
            // An exported model has its graph twice.
            [first, second]
                if endings == [".pb"] && (first.ends_with("saved_model.pb") || second.ends_with("saved_model.pb")) =>
            {
                let frozen = if first.ends_with("saved_model.pb") { second } else { first };
                return Ok(Ok(Found::file((*frozen).clone())));
            }
            several => {
                return Ok(Err(format!(
                    "has {} files of weights; give one of them, like {}",
                    several.len(),
                    several[0].display()
                )));
            }
        }
    }
    if !ending(&[".params"]).is_empty() {
        return Ok(Err(
            "holds an MXNet model (.params), whose weights are not read; start from a model zoo's checkpoint"
                .to_owned(),
        ));
    }
    Ok(Err("is a folder without a checkpoint (no .index file in it, and no other weights)".to_owned()))
}

/// The checkpoint among several.
fn choose_index(indices: &[&PathBuf]) -> Result<Found, String> {
    if let [only] = indices {
        return Ok(Found::prefix(only));
    }
    for index in indices {
        let named = index.parent().and_then(latest_by_state);
        if let Some(found) = named.and_then(|name| indices.iter().find(|index| index.with_extension("") == name)) {
            return Ok(Found::prefix(found));
        }
    }
    let steps: Option<Vec<u64>> = indices.iter().map(|index| step(&index.with_extension(""))).collect();
    let same_folder = indices.iter().all(|index| index.parent() == indices[0].parent());
    match steps.filter(|_| same_folder) {
        Some(steps) => {
            let newest = indices.iter().zip(steps).max_by_key(|(_, step)| *step);
            newest.map(|(index, _)| Found::prefix(index)).ok_or_else(String::new)
        }
        None => Err("is a folder with several checkpoints; give the prefix of one, like …/model.ckpt".to_owned()),
    }
}

/// The checkpoint that TensorFlow's file `checkpoint` names.
fn latest_by_state(folder: &Path) -> Option<PathBuf> {
    let bytes = boxwright_formats::read_file::read_bounded(&folder.join("checkpoint"), 1 << 20).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let line = text.lines().find_map(|line| line.trim().strip_prefix("model_checkpoint_path:"))?;
    let name = line.trim().trim_matches('"');
    // A folder that was moved has another machine's path in it.
    Some(folder.join(Path::new(name).file_name()?))
}

/// The step at the end of a checkpoint's name: `ckpt-00000400.safetensors`, `model.ckpt-100000`.
fn step(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let name = name.strip_suffix(".safetensors").unwrap_or(name);
    let (before, digits) = name.rsplit_once('-')?;
    before.contains("ckpt").then(|| digits.parse().ok()).flatten()
}

fn list(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), WeightsError> {
    let entries = std::fs::read_dir(folder).map_err(|e| WeightsError::io(folder, e))?;
    for entry in entries {
        let entry = entry.map_err(|e| WeightsError::io(folder, e))?;
        let kind = entry.file_type().map_err(|e| WeightsError::io(&entry.path(), e))?;
        if kind.is_dir() && depth < MAX_DEPTH {
            list(&entry.path(), depth + 1, files)?;
        } else if !kind.is_dir() && files.len() < MAX_FILES {
            files.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, b"").expect("written");
        }
        folder
    }

    fn name(folder: &Path) -> String {
        match resolve(folder) {
            Ok(found) => found.path.strip_prefix(folder).expect("inside").display().to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_newest_checkpoint_of_a_run() {
        let run = folder(&[
            "run.json",
            "checkpoints/ckpt-00000020.safetensors",
            "checkpoints/ckpt-00000100.safetensors",
            "x.tflite",
        ]);
        assert_eq!(name(run.path()), "checkpoints/ckpt-00000100.safetensors");
    }

    #[test]
    fn checkpoints_of_tensorflow() {
        let one = folder(&["saved_model.pb", "variables/variables.index"]);
        assert_eq!(name(one.path()), "variables/variables");
        let steps = folder(&["model.ckpt-20.index", "model.ckpt-100.index"]);
        assert_eq!(name(steps.path()), "model.ckpt-100");
        std::fs::write(steps.path().join("checkpoint"), "model_checkpoint_path: \"/elsewhere/model.ckpt-20\"\n")
            .expect("written");
        assert_eq!(name(steps.path()), "model.ckpt-20");
        assert!(name(folder(&["a.index", "b.index"]).path()).contains("several checkpoints"));
    }

    #[test]
    fn other_weights_and_none() {
        assert_eq!(
            name(folder(&["frozen_inference_graph.pb", "saved_model/saved_model.pb"]).path()),
            "frozen_inference_graph.pb"
        );
        assert_eq!(name(folder(&["a.h5", "b.tflite"]).path()), "a.h5");
        assert!(name(folder(&["a.h5", "b.h5"]).path()).contains("2 files"));
        assert!(name(folder(&["model_algo_1-0000.params"]).path()).contains("MXNet"));
        assert!(name(folder(&["a.txt"]).path()).contains("without a checkpoint"));
    }
}
