//! What can go wrong with a project file, in words that say what to do.

use std::path::{Path, PathBuf};

use boxwright_core::document::EditError;
use boxwright_core::{ImageId, LabelId};
use rusqlite::ErrorCode;

/// Why the project could not be read or changed. Nothing was changed when one of these is returned.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder has no project.
    #[error("{} is not a Boxwright project: it has no {}; create one with `boxwright new`", .0.display(), crate::PROJECT_FILE)]
    NoProject(PathBuf),
    /// The folder has a project already.
    #[error("{} is a Boxwright project already; open it instead", .0.display())]
    Exists(PathBuf),
    /// The file is something else.
    #[error("{} is not a Boxwright project file ({what}); choose another file, or restore it from a copy", .path.display())]
    NotAProject {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        what: String,
    },
    /// A newer Boxwright wrote it.
    #[error("{} was written by a newer Boxwright (format {found}; this one knows up to {known}); update Boxwright to open it", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format that is known here.
        known: i64,
    },
    /// Nothing may be written there.
    #[error("{} cannot be written: the file or its folder is read-only; give yourself write permission, or copy the project to a folder of your own", .0.display())]
    ReadOnly(PathBuf),
    /// The disk is full.
    #[error("{} could not be written: the disk is full; free some space and try again, everything saved before is intact", .0.display())]
    DiskFull(PathBuf),
    /// Another program holds the file.
    #[error("{} is locked by another program for too long; close the other program, or wait until its import is done, and try again", .0.display())]
    Locked(PathBuf),
    /// The database is damaged.
    #[error("{} is damaged ({what}); restore it from a copy, or save what is readable with `sqlite3 FILE .recover`", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        what: String,
    },
    /// The operating system refused something.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Its words.
        source: std::io::Error,
    },
    /// Anything else that SQLite refuses.
    #[error("{}: the database says: {source}", .path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// Its words.
        source: rusqlite::Error,
    },
    /// An edit that was made for another state of the document.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// There is no such image.
    #[error("image {0} is not in the project; reload the image list")]
    UnknownImage(ImageId),
    /// A path that cannot stand in the database.
    #[error("{}: the name is not valid Unicode; rename the file", .0.display())]
    PathNotUnicode(PathBuf),
    /// A class id would get another meaning.
    #[error(
        "label id {id} belongs to \"{owner}\" and cannot be given to \"{name}\": an id is never handed on; give \"{name}\" id {free}"
    )]
    LabelIdTaken {
        /// The id.
        id: LabelId,
        /// The name that has it.
        owner: String,
        /// The name that wants it.
        name: String,
        /// The next free id.
        free: u32,
    },
}

impl StoreError {
    /// Sorts an error of SQLite by what a person can do about it.
    pub(crate) fn from_sqlite(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        let code = source.sqlite_error_code();
        let extended = source.sqlite_error().map_or(0, |e| e.extended_code);
        match code {
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::ReadOnly(path),
            Some(ErrorCode::DiskFull) => Self::DiskFull(path),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
                Self::Locked(path)
            }
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { path, what: source.to_string() },
            Some(ErrorCode::NotADatabase) => Self::NotAProject { path, what: "it is no SQLite database".into() },
            // A full disk shows as a failed write or a failed growth of the shared memory as well.
            Some(ErrorCode::SystemIoFailure) if is_write_failure(extended) && disk_is_full(&path) => {
                Self::DiskFull(path)
            }
            Some(ErrorCode::CannotOpen) if !folder_is_writable(&path) => Self::ReadOnly(path),
            _ => Self::Database { path, source },
        }
    }

    /// Sorts an error of the operating system.
    pub(crate) fn from_io(path: &Path, source: std::io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            std::io::ErrorKind::StorageFull => Self::DiskFull(path),
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly(path),
            _ => Self::Io { path, source },
        }
    }
}

fn is_write_failure(extended: i32) -> bool {
    use rusqlite::ffi;
    [
        ffi::SQLITE_IOERR_WRITE,
        ffi::SQLITE_IOERR_FSYNC,
        ffi::SQLITE_IOERR_DIR_FSYNC,
        ffi::SQLITE_IOERR_TRUNCATE,
        ffi::SQLITE_IOERR_SHMSIZE,
        ffi::SQLITE_IOERR_SHMOPEN,
        ffi::SQLITE_IOERR_SHMMAP,
    ]
    .contains(&extended)
}

/// Whether a page can still be written beside `path`.
fn disk_is_full(path: &Path) -> bool {
    probe_folder(path, &[0; 65536]).is_err_and(|e| e.kind() == std::io::ErrorKind::StorageFull)
}

fn folder_is_writable(path: &Path) -> bool {
    probe_folder(path, b"").is_ok()
}

/// Writes `bytes` to a new file beside `path` and removes it again.
fn probe_folder(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let probe = path.with_file_name(format!(".boxwright-probe-{}", std::process::id()));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&probe)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    drop(file);
    // The probe is empty of meaning; that it cannot be removed says nothing about the project.
    let _ = std::fs::remove_file(&probe);
    written
}
