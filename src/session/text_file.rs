//! A text file that a person edits here and perhaps in another editor at the same time.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use boxwright_formats::{atomic_file, read_file};

use crate::error::SessionError;

/// Label maps and configs are some kilobytes; the largest label map that exists is below one megabyte.
const MAX_BYTES: u64 = 16 << 20;

/// Tells one version of a file from the next without reading it.
type Stamp = Option<(SystemTime, u64)>;

/// A text on the disk and the copy of it here.
#[derive(Debug)]
pub(crate) struct TextFile {
    path: PathBuf,
    text: String,
    stamp: Stamp,
}

impl TextFile {
    /// Reads the file; one that is not there is empty.
    pub fn load(path: &Path) -> Result<Self, SessionError> {
        let mut file = Self { path: path.to_owned(), text: String::new(), stamp: None };
        file.reload()?;
        Ok(file)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn exists(&self) -> bool {
        self.stamp.is_some()
    }

    /// Takes in what another program wrote; true if there was something.
    pub fn poll(&mut self) -> bool {
        stamp(&self.path) != self.stamp && self.reload().is_ok()
    }

    /// Writes a new text, whole or not at all.
    pub fn save(&mut self, text: &str) -> Result<(), SessionError> {
        atomic_file::write_whole(&self.path, text.as_bytes())?;
        self.text = text.to_owned();
        self.stamp = stamp(&self.path);
        Ok(())
    }

    fn reload(&mut self) -> Result<(), SessionError> {
        self.stamp = stamp(&self.path);
        self.text = match self.stamp {
            None => String::new(),
            Some(_) => {
                let bytes = read_file::read_bounded(&self.path, MAX_BYTES)?;
                // What is not UTF-8 is shown as such, so that the person can mend it here.
                let text = String::from_utf8_lossy(&bytes);
                text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned()
            }
        };
        Ok(())
    }
}

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), metadata.len()))
}
