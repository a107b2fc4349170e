//! The room as a whole: the schema against its published counts, real configs, hostile input.

mod broken;
mod checks;
mod edits;
mod hostile;
mod merge;
mod parity;
mod real_files;
mod schema_counts;
mod show;
mod text_errors;

use std::path::{Path, PathBuf};

/// The shared data, or `None` with a line that says so.
fn shared() -> Option<PathBuf> {
    boxwright_golden::shared("")
}

/// The files of a folder with this extension, sorted.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    files
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
