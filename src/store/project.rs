//! Creating and opening a project, its paths and its settings.

use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use crate::error::StoreError;
use crate::schema;

/// The name of the database in a project folder.
pub const PROJECT_FILE: &str = "project.boxwright";

/// How long a write waits for another window's write. An import of 100,000 images holds the lock for
/// a few seconds at its end; interactive edits hold it for milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(15);

/// An open project. Each thread opens its own; SQLite keeps them apart.
#[derive(Debug)]
pub struct Project {
    dir: PathBuf,
    file: PathBuf,
    pub(crate) connection: Connection,
}

impl Project {
    /// Makes a new, empty project in `dir`, which is created where it does not exist and may hold
    /// pictures already.
    ///
    /// # Errors
    /// When there is a project in it already, or nothing can be written.
    pub fn create(dir: &Path) -> Result<Self, StoreError> {
        let dir = std::path::absolute(dir).map_err(|e| StoreError::from_io(dir, e))?;
        std::fs::create_dir_all(&dir).map_err(|e| StoreError::from_io(&dir, e))?;
        let file = dir.join(PROJECT_FILE);
        let mut connection = connect(&file, OpenFlags::SQLITE_OPEN_CREATE)?;
        // A creation that was killed half-way leaves an empty database, which is taken over here.
        if !is_empty(&connection).map_err(|e| StoreError::from_sqlite(&file, e))? {
            return Err(StoreError::Exists(dir));
        }
        configure(&connection).map_err(|e| StoreError::from_sqlite(&file, e))?;
        schema::migrate(&mut connection, 0).map_err(|e| StoreError::from_sqlite(&file, e))?;
        sync_folder(&dir)?;
        Ok(Self { dir, file, connection })
    }

    /// Opens the project in the folder `dir`, or the one whose database file is `dir`.
    ///
    /// # Errors
    /// When there is none, it is not ours, it is newer than this program, or it cannot be written.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let dir = std::path::absolute(dir).map_err(|e| StoreError::from_io(dir, e))?;
        let (dir, file) = match dir.parent() {
            Some(parent) if dir.is_file() => (parent.to_owned(), dir),
            _ => (dir.clone(), dir.join(PROJECT_FILE)),
        };
        if !file.exists() {
            return Err(StoreError::NoProject(dir));
        }
        let mut connection = connect(&file, OpenFlags::empty())?;
        let found = version(&connection, &file)?;
        configure(&connection).map_err(|e| StoreError::from_sqlite(&file, e))?;
        if found < schema::CURRENT {
            schema::migrate(&mut connection, found).map_err(|e| StoreError::from_sqlite(&file, e))?;
        }
        let project = Self { dir, file, connection };
        project.ensure_writable()?;
        Ok(project)
    }

    /// Whether `dir` is the folder (or the database file) of a project, without opening it.
    pub fn is_project(dir: &Path) -> bool {
        dir.join(PROJECT_FILE).is_file() || (dir.is_file() && dir.file_name().is_some_and(|n| n == PROJECT_FILE))
    }

    /// The project's folder, absolute.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The database file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// `label_map.pbtxt`.
    pub fn label_map_path(&self) -> PathBuf {
        self.dir.join("label_map.pbtxt")
    }

    /// `pipeline.config`.
    pub fn pipeline_path(&self) -> PathBuf {
        self.dir.join("pipeline.config")
    }

    /// `records/`.
    pub fn records_dir(&self) -> PathBuf {
        self.dir.join("records")
    }

    /// `runs/`.
    pub fn runs_dir(&self) -> PathBuf {
        self.dir.join("runs")
    }

    /// Where an image of the project lies.
    pub fn resolve(&self, path: &str) -> PathBuf {
        let path = Path::new(path);
        if path.is_absolute() { path.to_owned() } else { self.dir.join(path) }
    }

    /// How a file is written in the project: relative to the folder with `/` between the parts where
    /// it lies below the project or beside it, else absolute. A project can so be moved or shared
    /// together with its pictures.
    ///
    /// # Errors
    /// When the file is not there or its name is not Unicode.
    pub fn stored_path(&self, file: &Path) -> Result<String, StoreError> {
        let real = |path: &Path| path.canonicalize().map_err(|e| StoreError::from_io(path, e));
        // The picture itself may be a link; where the link lies is what people mean.
        let parent = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = file.file_name().ok_or_else(|| StoreError::PathNotUnicode(file.to_owned()))?;
        let real_file = real(parent)?.join(name);
        let real_dir = real(&self.dir)?;
        if let Ok(below) = real_file.strip_prefix(&real_dir) {
            return joined(&[], below);
        }
        match real_dir.parent().filter(|above| above.parent().is_some()) {
            Some(above) => match real_file.strip_prefix(above) {
                Ok(beside) => joined(&[".."], beside),
                Err(_) => absolute_text(&real_file),
            },
            None => absolute_text(&real_file),
        }
    }

    /// A setting that belongs to this project, such as the layout of the window.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.connection
            .prepare_cached("SELECT value FROM settings WHERE key = ?1")
            .and_then(|mut s| s.query_row([key], |row| row.get(0)).optional())
            .map_err(|e| self.sqlite(e))
    }

    /// Keeps a setting; `None` forgets it.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn set_setting(&mut self, key: &str, value: Option<&str>) -> Result<(), StoreError> {
        match value {
            Some(value) => self.connection.execute(
                "INSERT INTO settings (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2",
                [key, value],
            ),
            None => self.connection.execute("DELETE FROM settings WHERE key = ?1", [key]),
        }
        .map(drop)
        .map_err(|e| self.sqlite(e))
    }

    /// A number that changes when another window, process or thread changed the project.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn foreign_version(&self) -> Result<i64, StoreError> {
        self.connection.pragma_query_value(None, "data_version", |row| row.get(0)).map_err(|e| self.sqlite(e))
    }

    /// Carries out `work` in one database transaction, which is durable when this returns `Ok` and
    /// undone otherwise.
    pub(crate) fn write<T>(
        &mut self,
        work: impl FnOnce(&rusqlite::Transaction<'_>, &Path) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let file = &self.file;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|e| StoreError::from_sqlite(file, e))?;
        let result = work(&transaction, file)?;
        transaction.commit().map_err(|e| StoreError::from_sqlite(file, e))?;
        Ok(result)
    }

    pub(crate) fn sqlite(&self, error: rusqlite::Error) -> StoreError {
        StoreError::from_sqlite(&self.file, error)
    }

    /// SQLite opens a read-only file without a word and fails at the first edit; a person wants to
    /// know before drawing the box.
    fn ensure_writable(&self) -> Result<(), StoreError> {
        if self.connection.is_readonly("main").map_err(|e| self.sqlite(e))? {
            return Err(StoreError::ReadOnly(self.file.clone()));
        }
        self.connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK;").map_err(|e| self.sqlite(e))
    }
}

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn connect(file: &Path, extra: OpenFlags) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | extra;
    let connection = Connection::open_with_flags(file, flags).map_err(|e| StoreError::from_sqlite(file, e))?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(|e| StoreError::from_sqlite(file, e))?;
    Ok(connection)
}

/// FULL, not NORMAL: in WAL mode NORMAL may lose the last commits with the power.
fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // A file from elsewhere may carry triggers and views; they must not run functions with effects.
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let id: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    Ok(tables == 0 && id == 0)
}

/// The format of an existing file, which must be ours and not newer than we know.
fn version(connection: &Connection, file: &Path) -> Result<i64, StoreError> {
    let sqlite = |e| StoreError::from_sqlite(file, e);
    let id: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(sqlite)?;
    if id != schema::APPLICATION_ID {
        let what = if is_empty(connection).map_err(sqlite)? {
            "it is empty; its creation was interrupted, and `boxwright new` completes it".to_owned()
        } else {
            "it is the database of another program".to_owned()
        };
        return Err(StoreError::NotAProject { path: file.to_owned(), what });
    }
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(sqlite)?;
    match found {
        0 => Err(StoreError::Damaged { path: file.to_owned(), what: "it has no format number".into() }),
        found if found > schema::CURRENT => {
            Err(StoreError::Newer { path: file.to_owned(), found, known: schema::CURRENT })
        }
        found if found < 0 => Err(StoreError::Damaged { path: file.to_owned(), what: format!("format {found}") }),
        found => Ok(found),
    }
}

/// Makes the new names in a folder durable.
fn sync_folder(dir: &Path) -> Result<(), StoreError> {
    if cfg!(unix) {
        std::fs::File::open(dir).and_then(|d| d.sync_all()).map_err(|e| StoreError::from_io(dir, e))?;
    }
    Ok(())
}

fn joined(before: &[&str], path: &Path) -> Result<String, StoreError> {
    let mut parts: Vec<&str> = before.to_vec();
    for part in path.components() {
        if let Component::Normal(name) = part {
            parts.push(name.to_str().ok_or_else(|| StoreError::PathNotUnicode(path.to_owned()))?);
        }
    }
    Ok(parts.join("/"))
}

fn absolute_text(path: &Path) -> Result<String, StoreError> {
    path.to_str().map(str::to_owned).ok_or_else(|| StoreError::PathNotUnicode(path.to_owned()))
}
