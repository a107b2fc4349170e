//! Files that are written whole or not at all.
//!
//! The bytes go to a temporary file in the same folder, are forced to the disk, and take the place
//! of the old file by one rename; then the folder is forced to the disk as well. A full disk, a
//! crash or a kill at any moment leaves the old file or the new one, never half of either. The
//! temporary file is removed on every error; only a kill can leave one behind, as `.NAME.….tmp`.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Writes `bytes` as the file at `path`, whole or not at all.
///
/// # Errors
/// Whatever the file system refuses; the message names the path and says in words when the disk is
/// full or the folder cannot be written to. The old file is then as it was.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes)?;
    file.commit()
}

/// A file under construction. It appears at its path with [`AtomicFile::commit`] and vanishes when
/// it is dropped before that.
#[derive(Debug)]
pub struct AtomicFile {
    writer: BufWriter<NamedTempFile>,
    path: PathBuf,
}

impl AtomicFile {
    /// Starts the file that will be at `path`. A symbolic link there stays one: the file that it
    /// points to is replaced.
    ///
    /// # Errors
    /// The folder is missing, full or cannot be written to.
    pub fn create(path: &Path) -> io::Result<Self> {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let Some(name) = path.file_name() else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("\"{}\" is not the name of a file", path.display()),
            ));
        };
        if path.is_dir() {
            return Err(io::Error::new(
                io::ErrorKind::IsADirectory,
                format!("cannot write {}: there is a folder of that name", path.display()),
            ));
        }
        let temporary = temporary_beside(&path, &name.to_string_lossy()).map_err(|e| explain(&path, "write", &e))?;
        Ok(Self { writer: BufWriter::new(temporary), path })
    }

    /// Where the file will be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Forces the bytes to the disk and puts the file in its place.
    ///
    /// # Errors
    /// Whatever the file system refuses; the temporary file is removed and the old file is as it was.
    pub fn commit(self) -> io::Result<()> {
        let path = self.path.clone();
        let temporary = self.flush_to_disk()?;
        temporary.persist(&path).map_err(|e| explain(&path, "write", &e.error))?;
        sync_folder(&path)
    }

    /// The finished temporary file, on the disk but not yet in its place.
    pub(crate) fn flush_to_disk(self) -> io::Result<NamedTempFile> {
        let path = self.path;
        let temporary = self.writer.into_inner().map_err(|e| explain(&path, "write", e.error()))?;
        temporary.as_file().sync_all().map_err(|e| explain(&path, "write", &e))?;
        Ok(temporary)
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes).map_err(|e| explain(&self.path, "write", &e))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush().map_err(|e| explain(&self.path, "write", &e))
    }
}

/// A temporary file in the folder of `path`, with the permissions that the final file shall have.
fn temporary_beside(path: &Path, name: &str) -> io::Result<NamedTempFile> {
    let prefix: String = format!(".{name}.").chars().take(64).collect();
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".tmp");
    // Otherwise the file would be readable for its owner alone, as temporary files are.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let temporary = builder.tempfile_in(folder_of(path))?;
    if let Ok(old) = fs::metadata(path) {
        // Not fatal: another owner's file is replaced with our own permissions.
        let _ = temporary.as_file().set_permissions(old.permissions());
    }
    Ok(temporary)
}

/// The folder that holds `path`.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Forces the folder of `path` to the disk, so that a rename in it survives a power cut.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    // Windows cannot open a folder as a file, and its rename needs no such help.
    if cfg!(unix) {
        let folder = folder_of(path);
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| explain(folder, "write", &e))?;
    }
    Ok(())
}

/// An error of the file system in words: what was tried with which path, why it failed, what to do.
/// The kind of the error is kept.
pub fn explain(path: &Path, verb: &'static str, error: &io::Error) -> io::Error {
    // An error that already names its path stays as it is.
    if error.get_ref().is_some_and(|inner| inner.is::<FileError>()) {
        let message = error.to_string();
        return io::Error::new(error.kind(), FileError(message));
    }
    let why = match error.kind() {
        io::ErrorKind::StorageFull => "the disk is full; free some space and try again".to_owned(),
        io::ErrorKind::QuotaExceeded => "your disk quota is used up; free some space and try again".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => {
            "the file system is read-only; choose a folder on another disk, or mount it writable".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            format!("no permission to {verb} there; choose another folder, or change its permissions")
        }
        io::ErrorKind::NotFound if verb == "write" => "its folder does not exist".to_owned(),
        io::ErrorKind::NotFound => "it does not exist".to_owned(),
        _ => error.to_string(),
    };
    io::Error::new(error.kind(), FileError(format!("cannot {verb} {}: {why}", path.display())))
}

/// A message that already names its path.
#[derive(Debug)]
struct FileError(String);

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FileError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_new_bytes_replace_the_old_ones_and_nothing_else_stays() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.txt");
        write_whole(&path, b"old and longer").expect("written");
        write_whole(&path, b"new").expect("written again");
        assert_eq!(fs::read(&path).expect("read"), b"new");
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn a_file_that_is_not_committed_vanishes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.txt");
        write_whole(&path, b"old").expect("written");
        let mut file = AtomicFile::create(&path).expect("created");
        file.write_all(&[1; 100_000]).expect("written");
        drop(file);
        assert_eq!(fs::read(&path).expect("read"), b"old");
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn errors_keep_their_kind_and_name_the_path_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("missing").join("a.txt");
        let error = write_whole(&path, b"x").expect_err("no such folder");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let text = explain(&path, "write", &error).to_string();
        assert_eq!(text.matches("a.txt").count(), 1, "{text}");
        assert!(text.contains("folder does not exist"), "{text}");
        assert!(write_whole(folder.path(), b"x").expect_err("a folder").to_string().contains("folder of that name"));
    }

    #[test]
    fn a_full_disk_is_told_in_words() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let told = explain(Path::new("runs/a.bin"), "write", &full);
        assert_eq!(told.kind(), io::ErrorKind::StorageFull);
        assert_eq!(told.to_string(), "cannot write runs/a.bin: the disk is full; free some space and try again");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_device_without_space_fails_and_says_so() {
        // Writing through a buffer to /dev/full fails at the flush, as on a full disk.
        let mut full = BufWriter::new(fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full"));
        full.write_all(b"x").expect("into the buffer");
        let error = full.flush().expect_err("no space");
        assert!(explain(Path::new("a"), "write", &error).to_string().contains("the disk is full"));
    }

    #[cfg(unix)]
    #[test]
    fn permissions_and_links_survive() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (real, link) = (folder.path().join("real.txt"), folder.path().join("link.txt"));
        write_whole(&real, b"old").expect("written");
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).expect("permissions");
        std::os::unix::fs::symlink(&real, &link).expect("a link");
        write_whole(&link, b"new").expect("written");
        assert!(fs::symlink_metadata(&link).expect("link").file_type().is_symlink());
        assert_eq!(fs::read(&real).expect("read"), b"new");
        assert_eq!(fs::metadata(&real).expect("file").permissions().mode() & 0o777, 0o640);
    }
}
