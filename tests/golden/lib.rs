//! The reference numbers of TensorFlow's Object Detection API, for the parity tests of every room.
//!
//! A parity test has `parity` in its path and reads like this: ask [`cases`] for the files of a folder that
//! have the keys of its kind (never for a file by its name: other files of the same kinds must work too),
//! compute, and give a [`Row`] what came out and what TensorFlow got. [`Row::finish`] prints the row of
//! the table that `make parity` collects, and fails beyond the tolerance.
//!
//! What is not there is skipped, and says so in a line that begins with `skipped`. For tests only: a file that is
//! not what it should be is a panic here.

mod numbers;
mod row;
mod tensors;

pub use numbers::{boxes, flags, integers, list, number, number64, numbers, numbers64, shape, size, text};
pub use row::Row;
pub use tensors::{Array, tensors};

use std::path::{Path, PathBuf};

pub use serde_json::Value;

/// The variable that names another folder of reference numbers.
const GOLDEN: &str = "BOXWRIGHT_GOLDEN";
/// The variable that names another folder of shared data.
const SHARED: &str = "BOXWRIGHT_SHARED";

/// The folder of reference numbers: `$BOXWRIGHT_GOLDEN`, else `golden` of the shared data. `None`, with a line that
/// says so, where there is none.
pub fn folder() -> Option<PathBuf> {
    let found = golden_root();
    if found.is_dir() {
        return Some(found);
    }
    println!("skipped: no ../shared here");
    None
}

/// A file or folder of the reference numbers, by its path below [`folder`]. `None`, with a line that says so, where it
/// is absent.
pub fn golden(path: &str) -> Option<PathBuf> {
    let found = folder()?.join(path);
    if found.exists() {
        return Some(found);
    }
    println!("skipped: no {path} in the golden folder");
    None
}

/// A file or folder of the shared data (`""` for the folder itself): below `$BOXWRIGHT_SHARED`, else below `shared` beside the checkout. `None`,
/// with a line that says so, where it is absent.
pub fn shared(path: &str) -> Option<PathBuf> {
    let root = shared_root();
    let found = root.join(path);
    if found.exists() {
        return Some(found);
    }
    if root.is_dir() {
        println!("skipped: no {path} in ../shared");
    } else {
        println!("skipped: no ../shared here");
    }
    None
}

fn golden_root() -> PathBuf {
    std::env::var_os(GOLDEN).map_or_else(|| shared_root().join("golden"), PathBuf::from)
}

/// The room under test, as cargo says when it runs the tests. A build folder outlives a checkout, so where this crate was
/// compiled may be gone.
fn room() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from)
}

fn shared_root() -> PathBuf {
    // The checkout is the folder with the lock file: the room itself, or one above it.
    let checkout = |room: PathBuf| room.ancestors().find(|f| f.join("Cargo.lock").is_file()).map(Path::to_owned);
    let beside = || checkout(room()).unwrap_or_else(room).join("../shared");
    std::env::var_os(SHARED).map_or_else(beside, PathBuf::from)
}

/// Whether the numbers are those that lie beside the checkout, where every kind has its cases.
fn is_complete() -> bool {
    std::env::var_os(GOLDEN).is_none() && golden_root().is_dir()
}

/// A file of reference numbers.
#[derive(Clone, Debug)]
pub struct Case {
    /// The file's name, without its folder and its ending.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// What it says.
    pub json: Value,
}

/// The `.json` files of a folder that are of one kind, in the order of their names: those whose content has all of these
/// `keys`. A key may be a path, `a.b`; a list is entered at its first item, so `cases.schedule` is the `schedule` of the
/// first case.
pub fn cases(folder: &str, keys: &[&str]) -> Vec<Case> {
    let Some(root) = golden(folder) else { return Vec::new() };
    files(&root, "", ".json")
        .into_iter()
        .map(|path| Case { name: stem(&path), json: json(&path), path })
        .filter(|case| keys.iter().all(|key| find(&case.json, key).is_some()))
        .collect()
}

/// The value at a path of keys; see [`cases`].
fn find<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(first(value)?, |at, key| first(at.get(key)?))
}

/// The first item of a list of objects, or what is no list.
fn first(value: &Value) -> Option<&Value> {
    match value {
        Value::Array(items) if items.first().is_some_and(Value::is_object) => items.first(),
        other => Some(other),
    }
}

/// The folders below a folder that hold a file of this name, in order: `folders("models", "pipeline.config")`.
pub fn folders(folder: &str, with: &str) -> Vec<PathBuf> {
    let Some(root) = golden(folder) else { return Vec::new() };
    let mut found = entries(&root);
    found.retain(|path| path.join(with).exists());
    found
}

/// The files of a folder whose names begin and end like this, in order.
///
/// # Panics
/// If the folder cannot be read.
pub fn files(folder: &Path, begin: &str, end: &str) -> Vec<PathBuf> {
    let mut found = entries(folder);
    found.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.len() >= begin.len() + end.len() && name.starts_with(begin) && name.ends_with(end) && path.is_file()
    });
    found
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    found.sort();
    found
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The text of a file.
///
/// # Panics
/// If it cannot be read.
pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The content of a JSON file.
///
/// # Panics
/// If it cannot be read or is not JSON.
pub fn json(path: &Path) -> Value {
    serde_json::from_str(&read(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_their_keys() {
        let value = serde_json::json!({"cases": [{"schedule": "cosine", "steps": [1, 2]}], "boxes": [[0.0, 1.0]]});
        assert!(find(&value, "cases.schedule").is_some());
        assert!(find(&value, "cases.steps").is_some());
        assert!(find(&value, "boxes").is_some());
        assert!(find(&value, "cases.rates").is_none());
        assert!(find(&serde_json::json!([{"initializer": "x"}]), "initializer").is_some());
    }

    #[test]
    fn the_numbers_beside_the_checkout_are_found() {
        let Some(folder) = folder() else { return };
        let all = cases("anchors", &["config", "feature_map_shapes"]);
        assert!(!all.is_empty() || !folder.join("anchors").is_dir());
        for case in all {
            assert!(case.path.starts_with(&folder), "{}", case.path.display());
            assert!(!text(&case.json["config"]).is_empty());
        }
    }
}
