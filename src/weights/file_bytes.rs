//! A file that is read in pieces, each checked against its length first.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::error::WeightsError;

/// Largest tensor that is read: no detector's comes near it.
pub(crate) const MAX_TENSOR_BYTES: u64 = 2 << 30;

/// An open file and its length.
#[derive(Debug)]
pub(crate) struct FileBytes {
    path: PathBuf,
    file: File,
    length: u64,
}

impl FileBytes {
    pub(crate) fn open(path: &Path) -> Result<Self, WeightsError> {
        let file = File::open(path).map_err(|e| WeightsError::io(path, e))?;
        let about = file.metadata().map_err(|e| WeightsError::io(path, e))?;
        if about.is_dir() {
            return Err(WeightsError::format(path, "is a folder"));
        }
        Ok(Self { path: path.to_owned(), file, length: about.len() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// `size` bytes from `offset` on; `place` says in an error what should have stood there.
    pub(crate) fn read_at(&mut self, offset: u64, size: u64, place: &str) -> Result<Vec<u8>, WeightsError> {
        if offset.checked_add(size).is_none_or(|end| end > self.length) {
            let what = format!("should lie at byte {offset} with {size} bytes, but the file has {}", self.length);
            return Err(WeightsError::damaged(&self.path, place, what));
        }
        if size > MAX_TENSOR_BYTES {
            let what = format!("{place} has {size} bytes; up to {MAX_TENSOR_BYTES} are read at once");
            return Err(WeightsError::format(&self.path, what));
        }
        let mut bytes = vec![0; size as usize];
        self.file.seek(SeekFrom::Start(offset)).map_err(|e| WeightsError::io(&self.path, e))?;
        self.file.read_exact(&mut bytes).map_err(|e| WeightsError::io(&self.path, e))?;
        Ok(bytes)
    }

    /// The first bytes, fewer where the file ends before.
    pub(crate) fn start(&mut self, size: u64) -> Result<Vec<u8>, WeightsError> {
        self.read_at(0, size.min(self.length), "the start")
    }

    /// The whole file, which may have `limit` bytes at most.
    pub(crate) fn whole(&mut self, limit: u64) -> Result<Vec<u8>, WeightsError> {
        if self.length > limit {
            let what = format!("has {} bytes; files of this kind up to {limit} are read", self.length);
            return Err(WeightsError::format(&self.path, what));
        }
        self.read_at(0, self.length, "the file")
    }
}
