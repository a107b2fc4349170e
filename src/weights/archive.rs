//! Archives around weights: `model.tar.gz` as SageMaker and the model zoos have them.
//!
//! Only what may be a checkpoint is unpacked, into a folder that goes away with the [`crate::WeightFile`].
//! Nothing in an archive chooses where it is written to: a member with `..` or a root in its path, a link
//! or a device is refused or left, and what unpacks to more than a model can be ends the reading.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;

use crate::error::WeightsError;

/// Most members of an archive.
const MAX_MEMBERS: usize = 10_000;

/// Most bytes that an archive may unpack to, and how many times its own size beyond the first 64 MiB.
const MAX_BYTES: u64 = 8 << 30;
const MAX_RATIO: u64 = 50;
const FREE_BYTES: u64 = 64 << 20;

/// A member of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveMember {
    /// Its path in the archive.
    pub path: String,
    /// Its size.
    pub bytes: u64,
}

/// Whether a file is a tar archive, packed by gzip or not.
pub(crate) fn is_archive(path: &Path) -> Result<bool, WeightsError> {
    let mut file = File::open(path).map_err(|e| WeightsError::io(path, e))?;
    let mut start = Vec::new();
    file.by_ref().take(262).read_to_end(&mut start).map_err(|e| WeightsError::io(path, e))?;
    Ok(start.starts_with(&[0x1f, 0x8b]) || start.get(257..262) == Some(b"ustar"))
}

/// The archive's bytes, unpacked as far as it may be.
fn open(path: &Path) -> Result<tar::Archive<Box<dyn Read>>, WeightsError> {
    let io = |e| WeightsError::io(path, e);
    let mut file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let mut magic = [0; 2];
    let is_packed = file.read(&mut magic).map_err(io)? == 2 && magic == [0x1f, 0x8b];
    file.rewind().map_err(io)?;
    let file = std::io::BufReader::new(file);
    let most = length.saturating_mul(MAX_RATIO).saturating_add(FREE_BYTES).min(MAX_BYTES);
    let bytes: Box<dyn Read> = if is_packed { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
    Ok(tar::Archive::new(Box::new(Bounded { bytes, left: most })))
}

/// Ends in an error, not quietly, where an archive unpacks to too much.
struct Bounded<R> {
    bytes: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.bytes.read(buffer)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => {
                self.left = left;
                Ok(read)
            }
            None => Err(std::io::Error::other("it unpacks to more than a model's archive does")),
        }
    }
}

/// What is in an archive.
///
/// # Errors
/// The archive is damaged, or has more members than any model's.
pub fn list_archive(path: &Path) -> Result<Vec<ArchiveMember>, WeightsError> {
    let mut members = Vec::new();
    each(path, |entry, name| {
        members.push(ArchiveMember { path: name, bytes: entry.size() });
        Ok(())
    })?;
    Ok(members)
}

type Entry<'a> = tar::Entry<'a, Box<dyn Read>>;

fn each(
    path: &Path,
    mut work: impl FnMut(&mut Entry<'_>, String) -> Result<(), WeightsError>,
) -> Result<(), WeightsError> {
    let damaged = |e: std::io::Error| WeightsError::damaged(path, "the archive", e.to_string());
    let mut archive = open(path)?;
    for (number, entry) in archive.entries().map_err(damaged)?.enumerate() {
        let mut entry = entry.map_err(damaged)?;
        if number >= MAX_MEMBERS {
            return Err(WeightsError::format(path, format!("has more than {MAX_MEMBERS} members")));
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        work(&mut entry, name)?;
    }
    Ok(())
}

/// The bytes of the first member of this name, in whatever folder of the archive, at most `limit` of them. `None`
/// where there is none, or where the file is no archive.
///
/// # Errors
/// The archive is damaged, or the member is larger than `limit`.
pub fn read_archive_member(path: &Path, file_name: &str, limit: u64) -> Result<Option<Vec<u8>>, WeightsError> {
    if !is_archive(path)? {
        return Ok(None);
    }
    let mut found = None;
    each(path, |entry, name| {
        if found.is_some() || !entry.header().entry_type().is_file() || name.rsplit('/').next() != Some(file_name) {
            return Ok(());
        }
        let mut bytes = Vec::new();
        let damaged = |e: std::io::Error| WeightsError::damaged(path, format!("member {name:?}"), e.to_string());
        entry.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(damaged)?;
        if bytes.len() as u64 > limit {
            return Err(WeightsError::format(path, format!("has a member {name:?} of more than {limit} bytes")));
        }
        found = Some(bytes);
        Ok(())
    })?;
    Ok(found)
}

/// Unpacks what may be weights.
pub(crate) fn unpack_weights(path: &Path) -> Result<tempfile::TempDir, WeightsError> {
    let folder = tempfile::tempdir().map_err(|e| WeightsError::io(&std::env::temp_dir(), e))?;
    each(path, |entry, name| {
        if !entry.header().entry_type().is_file() || !may_be_weights(&name) {
            return Ok(());
        }
        let inside = inside(&name).ok_or_else(|| {
            WeightsError::format(
                path,
                format!("has a member {name:?}, which would lie outside of it; it is not unpacked"),
            )
        })?;
        let target = folder.path().join(inside);
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).map_err(|e| WeightsError::io(parent, e))?;
        }
        let mut file = File::create_new(&target)
            .map_err(|_| WeightsError::format(path, format!("has two members named {name:?}")))?;
        std::io::copy(entry, &mut file)
            .map_err(|e| WeightsError::damaged(path, format!("member {name:?}"), e.to_string()))?;
        Ok(())
    })?;
    Ok(folder)
}

/// The path of a member below the folder it is unpacked to; nothing where it would leave it.
fn inside(name: &str) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for component in Path::new(name).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            _ => return None,
        }
    }
    (path.components().next().is_some()).then_some(path)
}

/// Whether a member's name is one of a weight file, or of what tells which is the newest.
fn may_be_weights(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    let endings = [".safetensors", ".index", ".pth", ".pt", ".h5", ".hdf5", ".tflite", ".pb", ".params"];
    endings.iter().any(|ending| file.ends_with(ending))
        || file.contains(".data-")
        || ["checkpoint", "run.json"].contains(&file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stay_inside() {
        assert_eq!(inside("./a/b.pb"), Some(PathBuf::from("a/b.pb")));
        for name in ["../b.pb", "/b.pb", "a/../../b.pb", ".", ""] {
            assert_eq!(inside(name), None, "{name}");
        }
    }

    #[test]
    fn what_is_unpacked() {
        assert!(may_be_weights("m/model.ckpt.data-00000-of-00001"));
        assert!(may_be_weights("checkpoints/ckpt-00000400.safetensors"));
        assert!(!may_be_weights("images/a.jpg"));
    }
}
