//! Reading a whole file, but never more of it than makes sense.
//!
//! A path from a data set may name a folder, a pipe that never ends, or a file of gigabytes;
//! [`read_bounded`] refuses all three in words instead of hanging or filling the memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::atomic_file::explain;

/// The bytes of the regular file at `path`, at most `limit` of them.
///
/// # Errors
/// The file is missing, not readable, not a regular file, or longer than `limit`; the message names
/// the path.
pub fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (file, length) = open_regular(path)?;
    if length > limit {
        return Err(too_long(path, limit));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    // One more than the limit, for a file that grows while it is read.
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| explain(path, "read", &error))?;
    if bytes.len() as u64 > limit {
        return Err(too_long(path, limit));
    }
    Ok(bytes)
}

/// The first `count` bytes of the regular file at `path`, or all of them where it is shorter, and
/// its whole length.
///
/// # Errors
/// As [`read_bounded`].
pub fn read_start(path: &Path, count: u64) -> io::Result<(Vec<u8>, u64)> {
    let (file, length) = open_regular(path)?;
    let mut bytes = Vec::with_capacity(usize::try_from(length.min(count)).unwrap_or(0));
    file.take(count).read_to_end(&mut bytes).map_err(|error| explain(path, "read", &error))?;
    Ok((bytes, length))
}

/// The file and its length; an error for anything that is not a regular file.
pub(crate) fn open_regular(path: &Path) -> io::Result<(File, u64)> {
    // Asked before opening: opening a pipe without a writer would wait for ever.
    let before = std::fs::metadata(path).map_err(|error| explain(path, "read", &error))?;
    if !before.is_file() {
        let what = if before.is_dir() { "a folder" } else { "not a regular file" };
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} is {what}", path.display())));
    }
    let file = File::open(path).map_err(|error| explain(path, "read", &error))?;
    Ok((file, before.len()))
}

fn too_long(path: &Path, limit: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("{} is larger than {} MiB, which is more than a file of this kind may be", path.display(), limit >> 20),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_and_the_errors_name_the_path() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.bin");
        std::fs::write(&path, [7u8; 100]).expect("written");
        assert_eq!(read_bounded(&path, 100).expect("within the limit").len(), 100);
        assert_eq!(read_start(&path, 10).expect("a start"), (vec![7u8; 10], 100));
        let long = read_bounded(&path, 99).expect_err("one byte too many");
        assert_eq!(long.kind(), io::ErrorKind::FileTooLarge);
        let missing = read_bounded(&folder.path().join("none"), 9).expect_err("not there");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert!(missing.to_string().contains("none"), "{missing}");
        assert!(read_bounded(folder.path(), 9).expect_err("a folder").to_string().contains("is a folder"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_device_is_refused_and_not_read_for_ever() {
        assert!(read_bounded(Path::new("/dev/zero"), 1 << 20).is_err());
    }
}
