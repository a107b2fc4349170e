//! The unfinished file of a download, with the note of where its bytes come from.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use boxwright_formats::atomic_file::{explain, write_whole};
use serde::{Deserialize, Serialize};

use super::{DownloadError, shown};

/// An unfinished file on the disk, locked against other processes.
pub(super) struct Part {
    file: File,
    path: PathBuf,
    note: PathBuf,
    pub stamp: Option<Stamp>,
    pub length: u64,
}

/// Where the bytes of a part come from.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Stamp {
    url: String,
    /// An entity tag, or else a date of change.
    pub validator: Option<String>,
    /// The size of the whole file, where the server gave it.
    pub total: Option<u64>,
}

/// The unfinished file of a path.
pub fn part_of(path: &Path) -> PathBuf {
    with_ending(path, ".part")
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

impl Part {
    /// Opens what an earlier call left, or begins anew where that cannot be continued.
    pub fn open(to: &Path, url: &str) -> Result<Self, DownloadError> {
        let path = part_of(to);
        let note = with_ending(&path, ".json");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(|error| explain(&path, "write", &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DownloadError::Busy { part: path }),
            // A file system without locks: two downloads at once are then the user's business.
            Err(TryLockError::Error(_)) => {}
        }
        let length = file.metadata().map_err(|error| explain(&path, "read", &error))?.len();
        let mut part = Self { file, path, note, stamp: None, length };
        part.stamp = part.read_stamp().filter(|stamp| stamp.url == shown(url));
        if part.stamp.as_ref().is_none_or(|stamp| stamp.validator.is_none()) {
            part.cut(0)?;
        } else {
            part.file.seek(SeekFrom::End(0)).map_err(|error| explain(&part.path, "write", &error))?;
        }
        Ok(part)
    }

    fn read_stamp(&self) -> Option<Stamp> {
        let mut text = String::new();
        File::open(&self.note).ok()?.take(1 << 16).read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Begins with the first byte of a file that this validator stands for.
    pub fn start(&mut self, url: &str, validator: Option<String>, total: Option<u64>) -> io::Result<()> {
        self.cut(0)?;
        let stamp = Stamp { url: shown(url), validator, total };
        write_whole(&self.note, serde_json::to_string(&stamp).unwrap_or_default().as_bytes())?;
        self.stamp = Some(stamp);
        Ok(())
    }

    /// Throws the bytes away.
    pub fn forget(&mut self) -> io::Result<()> {
        self.stamp = None;
        self.cut(0)
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        let done = self.file.set_len(length).and_then(|()| self.file.seek(SeekFrom::Start(length)));
        self.length = length;
        done.map(|_| ()).map_err(|error| explain(&self.path, "write", &error))
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).map_err(|error| explain(&self.path, "write", &error))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Gives the file its name.
    pub fn finish(self, to: &Path) -> io::Result<()> {
        self.file.sync_all().map_err(|error| explain(&self.path, "write", &error))?;
        fs::rename(&self.path, to).map_err(|error| explain(to, "write", &error))?;
        // The note is of no use any more; if it stays, the next download replaces it.
        let _ = fs::remove_file(&self.note);
        Ok(())
    }

    pub fn cancelled(&self) -> DownloadError {
        DownloadError::Cancelled { part: self.path.clone(), bytes: self.length }
    }
}

impl Drop for Part {
    /// An empty part is not worth keeping.
    fn drop(&mut self) {
        if self.length == 0 {
            let _ = fs::remove_file(&self.path);
            let _ = fs::remove_file(&self.note);
        }
    }
}
