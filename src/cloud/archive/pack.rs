//! Packing a folder so that the same files always give the same bytes.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use boxwright_formats::atomic_file::{AtomicFile, explain};
use flate2::{Compression, GzBuilder};
use tar::{EntryType, Header};

use super::ArchiveError;

/// More files than anybody packs on purpose.
const MOST_FILES: usize = 100_000;

/// Packs what is in a folder as a `.tar.gz`, whole or not at all: entries by name, without dates and owners, so that the
/// same files give the same archive. The archive itself may lie in the folder; it is not packed.
///
/// # Errors
/// The folder holds a link or a device, or more than a hundred thousand files, or the disk refuses.
pub fn pack(folder: &Path, archive: &Path) -> Result<(), ArchiveError> {
    let mut files = Vec::new();
    collect(folder, "", &mut files)?;
    let own = fs::canonicalize(archive).ok();
    files.sort();
    let mut out = AtomicFile::create(archive)?;
    let gzip = GzBuilder::new().mtime(0).operating_system(255).write(&mut out, Compression::default());
    let mut builder = tar::Builder::new(gzip);
    for (name, path) in &files {
        if own.is_some() && fs::canonicalize(path).ok() == own {
            continue;
        }
        add(&mut builder, name, path)?;
    }
    builder.into_inner().and_then(|gzip| gzip.finish()).map_err(|error| explain(archive, "write", &error))?;
    out.commit()?;
    Ok(())
}

/// Notes every file and folder below a folder with the name that it gets; folders end in a slash.
fn collect(folder: &Path, name: &str, files: &mut Vec<(String, PathBuf)>) -> Result<(), ArchiveError> {
    let refused = |path: &Path, reason| ArchiveError::Unpackable { path: path.to_owned(), reason };
    for entry in fs::read_dir(folder).map_err(|error| explain(folder, "read", &error))? {
        let path = entry.map_err(|error| explain(folder, "read", &error))?.path();
        let kind = fs::symlink_metadata(&path).map_err(|error| explain(&path, "read", &error))?.file_type();
        let Some(own) = path.file_name().and_then(|own| own.to_str()) else {
            return Err(refused(&path, "the name is not UTF-8; rename it"));
        };
        if files.len() == MOST_FILES {
            return Err(refused(folder, "the folder holds more than 100000 files; is it the right one?"));
        }
        if kind.is_dir() {
            let name = format!("{name}{own}/");
            files.push((name.clone(), path.clone()));
            collect(&path, &name, files)?;
        } else if kind.is_file() {
            files.push((format!("{name}{own}"), path));
        } else {
            return Err(refused(&path, "a link or a device cannot be packed; put the file itself there"));
        }
    }
    Ok(())
}

fn add(builder: &mut tar::Builder<impl io::Write>, name: &str, path: &Path) -> Result<(), ArchiveError> {
    let mut header = Header::new_gnu();
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    if name.ends_with('/') {
        header.set_entry_type(EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        return builder
            .append_data(&mut header, name, io::empty())
            .map_err(|error| explain(path, "pack", &error).into());
    }
    let file = File::open(path).map_err(|error| explain(path, "read", &error))?;
    let size = file.metadata().map_err(|error| explain(path, "read", &error))?.len();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(size);
    // A file that grows meanwhile gives what its header says; one that shrinks is an error.
    let mut content = Exactly { inner: io::Read::take(file, size), left: size };
    builder.append_data(&mut header, name, &mut content).map_err(|error| explain(path, "pack", &error).into())
}

/// A file of a known size, or an error.
struct Exactly {
    inner: io::Take<File>,
    left: u64,
}

impl io::Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if read == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::Error::other("the file became shorter while it was packed"));
        }
        self.left -= read as u64;
        Ok(read)
    }
}
