//! The tables, and how an older file becomes a current one.
//!
//! `application_id` says that the file is ours, `user_version` says which format it has. Each step of
//! [`MIGRATIONS`] takes a file from one format to the next inside one transaction, so a file is never
//! between two formats.

use rusqlite::Connection;

/// `application_id` of a project file: "BxWr".
pub const APPLICATION_ID: i64 = 0x4278_5772;

/// The steps from format 0 (an empty file) to the current one. Never edit a step that was released; add one.
pub const MIGRATIONS: [&str; 1] = [FORMAT_1];

/// The format that this program writes.
pub const CURRENT: i64 = MIGRATIONS.len() as i64;

/// AUTOINCREMENT, where it stands, is what keeps an id from ever being given twice: SQLite's plain
/// row ids reuse the number of the last row when that row is deleted.
const FORMAT_1: &str = "
CREATE TABLE images (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    path   TEXT    NOT NULL UNIQUE,
    width  INTEGER NOT NULL CHECK (width > 0),
    height INTEGER NOT NULL CHECK (height > 0),
    sha256 TEXT    NOT NULL,
    split  TEXT    NOT NULL DEFAULT 'unassigned' CHECK (split IN ('unassigned', 'train', 'val', 'test')),
    state  TEXT    NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'annotated', 'verified', 'background')),
    sort   INTEGER NOT NULL
);
CREATE INDEX images_by_sort ON images (sort, id);

CREATE TABLE boxes (
    id    INTEGER PRIMARY KEY AUTOINCREMENT,
    image INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    label INTEGER NOT NULL CHECK (label > 0),
    ymin  REAL    NOT NULL,
    xmin  REAL    NOT NULL,
    ymax  REAL    NOT NULL,
    xmax  REAL    NOT NULL
);
CREATE INDEX boxes_by_image ON boxes (image, id);
CREATE INDEX boxes_by_label ON boxes (label);

CREATE TABLE attributes (
    box   INTEGER NOT NULL REFERENCES boxes (id) ON DELETE CASCADE,
    name  TEXT    NOT NULL,
    value TEXT    NOT NULL,
    PRIMARY KEY (box, name)
) WITHOUT ROWID;

CREATE TABLE label_ledger (
    entry INTEGER PRIMARY KEY AUTOINCREMENT,
    id    INTEGER NOT NULL CHECK (id > 0),
    name  TEXT    NOT NULL,
    time  INTEGER NOT NULL
);
CREATE TRIGGER label_ledger_keeps  BEFORE DELETE ON label_ledger
BEGIN SELECT RAISE(ABORT, 'the ledger of class ids only grows'); END;
CREATE TRIGGER label_ledger_stands BEFORE UPDATE ON label_ledger
BEGIN SELECT RAISE(ABORT, 'the ledger of class ids only grows'); END;

CREATE TABLE journal (
    entry INTEGER PRIMARY KEY AUTOINCREMENT,
    time  INTEGER NOT NULL,
    image INTEGER,
    what  TEXT    NOT NULL
);

CREATE TABLE settings (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
";

/// Takes an open file from format `from` to [`CURRENT`].
pub fn migrate(connection: &mut Connection, from: i64) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    // Another window may have migrated while this one waited for the lock.
    let now: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if now == from {
        for step in MIGRATIONS.iter().skip(usize::try_from(from).unwrap_or(usize::MAX)) {
            transaction.execute_batch(step)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", CURRENT)?;
    }
    transaction.commit()
}
