//! Boxes, and the one way in which they change: a transaction of the document and its journal entry
//! in one database transaction.

use std::collections::BTreeMap;
use std::path::Path;

use boxwright_core::document::EditError;
use boxwright_core::{Annotation, BoxFlags, BoxId, Edit, ImageId, LabelId, PixelBox, ReviewState, Transaction};
use rusqlite::{OptionalExtension, params};

use crate::error::StoreError;
use crate::images::annotation;
use crate::project::{Project, now};

/// One line of the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct JournalEntry {
    /// Its number.
    pub entry: i64,
    /// When, in milliseconds since 1970.
    pub time: i64,
    /// The image, where it was about one.
    pub image: Option<ImageId>,
    /// What was done, as JSON: a [`Transaction`] where it was about one image.
    pub what: String,
}

/// The flags are attributes with the value `true`, one column of names.
const SELECT_BOXES: &str = "SELECT b.id, b.label, b.ymin, b.xmin, b.ymax, b.xmax,
    (SELECT group_concat(a.name) FROM attributes a WHERE a.box = b.id AND a.value = 'true'), b.image FROM boxes b";

impl Project {
    /// The boxes of an image, in the order in which they were drawn.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn boxes(&self, image: ImageId) -> Result<Vec<Annotation>, StoreError> {
        boxes(&self.connection, image).map_err(|e| self.sqlite(e))
    }

    /// The boxes of all images that have any, in one query.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn all_boxes(&self) -> Result<BTreeMap<ImageId, Vec<Annotation>>, StoreError> {
        let read = || {
            let mut all: BTreeMap<ImageId, Vec<Annotation>> = BTreeMap::new();
            let mut statement = self.connection.prepare_cached(&format!("{SELECT_BOXES} ORDER BY b.image, b.id"))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                all.entry(ImageId(row.get(7)?)).or_default().push(annotation(row, 0)?);
            }
            Ok(all)
        };
        read().map_err(|e| self.sqlite(e))
    }

    /// How many boxes each class has.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn label_counts(&self) -> Result<BTreeMap<LabelId, usize>, StoreError> {
        let rows: Vec<(u32, i64)> = self
            .connection
            .prepare_cached("SELECT label, count(*) FROM boxes GROUP BY label")
            .and_then(|mut s| s.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
            .map_err(|e| self.sqlite(e))?;
        Ok(rows.into_iter().filter_map(|(id, count)| Some((LabelId::new(id)?, usize::try_from(count).ok()?))).collect())
    }

    /// Reserves numbers for boxes that are about to be drawn. A reserved number that is not used is gone.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn next_box_ids(&mut self, count: usize) -> Result<Vec<BoxId>, StoreError> {
        let count = i64::try_from(count).unwrap_or(0);
        self.write(|transaction, file| {
            let reserve = || {
                let last: Option<i64> = transaction
                    .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'boxes'", [], |row| row.get(0))
                    .optional()?;
                let last = match last {
                    Some(last) => last,
                    None => {
                        transaction.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('boxes', 0)", [])?;
                        0
                    }
                };
                transaction.execute(
                    "UPDATE sqlite_sequence SET seq = ?1 WHERE name = 'boxes'",
                    [last.saturating_add(count)],
                )?;
                Ok((last + 1..=last.saturating_add(count)).map(BoxId).collect())
            };
            reserve().map_err(|e| StoreError::from_sqlite(file, e))
        })
    }

    /// Carries out a transaction of the document and writes its journal entry, both or neither.
    ///
    /// # Errors
    /// When a box or the state is not as the transaction remembers it (another window changed it), or
    /// the database cannot be written.
    pub fn apply(&mut self, edit: &Transaction) -> Result<(), StoreError> {
        self.write(|transaction, file| {
            let sqlite = |e| StoreError::from_sqlite(file, e);
            let mut state = state(transaction, file, edit.image)?;
            let mut current = boxes(transaction, edit.image).map_err(sqlite)?;
            let not_as_remembered = |what: String| EditError { image: edit.image, name: edit.name.clone(), what };
            for step in &edit.edits {
                check_remembered(step, &current, state).map_err(not_as_remembered)?;
                let one = Transaction { image: edit.image, name: edit.name.clone(), edits: vec![step.clone()] };
                one.apply(&mut current, &mut state)?;
                write_edit(transaction, edit.image, step).map_err(sqlite)?;
            }
            let what =
                serde_json::to_value(edit).map_err(|e| sqlite(rusqlite::Error::ToSqlConversionFailure(Box::new(e))))?;
            journal(transaction, Some(edit.image), &what).map_err(sqlite)
        })
    }

    /// The last `limit` entries of the journal, newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn journal(&self, limit: usize) -> Result<Vec<JournalEntry>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.connection
            .prepare_cached("SELECT entry, time, image, what FROM journal ORDER BY entry DESC LIMIT ?1")
            .and_then(|mut s| {
                s.query_map([limit], |row| {
                    let image: Option<i64> = row.get(2)?;
                    Ok(JournalEntry {
                        entry: row.get(0)?,
                        time: row.get(1)?,
                        image: image.map(ImageId),
                        what: row.get(3)?,
                    })
                })?
                .collect()
            })
            .map_err(|e| self.sqlite(e))
    }
}

/// An edit that removes or changes something else than what the user saw would lose another
/// window's work without a word.
fn check_remembered(edit: &Edit, boxes: &[Annotation], state: ReviewState) -> Result<(), String> {
    let remembered = match edit {
        Edit::Add { .. } => return Ok(()),
        Edit::SetState { before, .. } if *before == state => return Ok(()),
        Edit::SetState { .. } => return Err("its state was changed elsewhere".to_owned()),
        Edit::Remove { annotation } => annotation,
        Edit::Change { before, .. } => before,
    };
    match boxes.iter().find(|b| b.id == remembered.id) {
        Some(current) if current != remembered => Err(format!("box {} was changed elsewhere", remembered.id)),
        _ => Ok(()),
    }
}

fn write_edit(transaction: &rusqlite::Transaction<'_>, image: ImageId, edit: &Edit) -> rusqlite::Result<()> {
    match edit {
        Edit::Add { annotation: a } => {
            insert_box(transaction, image, Some(a.id), a.label, &a.bounds, a.flags)?;
        }
        Edit::Remove { annotation } => {
            transaction.prepare_cached("DELETE FROM boxes WHERE id = ?1")?.execute([annotation.id.0])?;
        }
        Edit::Change { after: a, .. } => {
            transaction
                .prepare_cached(
                    "UPDATE boxes SET label = ?2, ymin = ?3, xmin = ?4, ymax = ?5, xmax = ?6 WHERE id = ?1",
                )?
                .execute(params![a.id.0, a.label.get(), a.bounds.ymin, a.bounds.xmin, a.bounds.ymax, a.bounds.xmax])?;
            for (name, value) in named_flags(a.flags) {
                if value {
                    set_flag(transaction, a.id, name)?;
                } else {
                    transaction
                        .prepare_cached("DELETE FROM attributes WHERE box = ?1 AND name = ?2")?
                        .execute(params![a.id.0, name])?;
                }
            }
        }
        Edit::SetState { after, .. } => {
            transaction
                .prepare_cached("UPDATE images SET state = ?2 WHERE id = ?1")?
                .execute(params![image.0, after.as_str()])?;
        }
    }
    Ok(())
}

pub(crate) fn insert_box(
    transaction: &rusqlite::Transaction<'_>,
    image: ImageId,
    id: Option<BoxId>,
    label: LabelId,
    bounds: &PixelBox,
    flags: BoxFlags,
) -> rusqlite::Result<BoxId> {
    transaction
        .prepare_cached(
            "INSERT INTO boxes (id, image, label, ymin, xmin, ymax, xmax) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            id.map(|id| id.0),
            image.0,
            label.get(),
            bounds.ymin,
            bounds.xmin,
            bounds.ymax,
            bounds.xmax
        ])?;
    let id = id.unwrap_or_else(|| BoxId(transaction.last_insert_rowid()));
    for (name, _) in named_flags(flags).into_iter().filter(|(_, value)| *value) {
        set_flag(transaction, id, name)?;
    }
    Ok(id)
}

fn set_flag(transaction: &rusqlite::Transaction<'_>, id: BoxId, name: &str) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO attributes (box, name, value) VALUES (?1, ?2, 'true')
             ON CONFLICT (box, name) DO UPDATE SET value = 'true'",
        )?
        .execute(params![id.0, name])
        .map(drop)
}

pub(crate) fn named_flags(flags: BoxFlags) -> [(&'static str, bool); 4] {
    [
        ("difficult", flags.difficult),
        ("truncated", flags.truncated),
        ("occluded", flags.occluded),
        ("group_of", flags.group_of),
    ]
}

pub(crate) fn journal(
    transaction: &rusqlite::Transaction<'_>,
    image: Option<ImageId>,
    what: &serde_json::Value,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("INSERT INTO journal (time, image, what) VALUES (?1, ?2, ?3)")?
        .execute(params![now(), image.map(|i| i.0), what.to_string()])
        .map(drop)
}

fn boxes(connection: &rusqlite::Connection, image: ImageId) -> rusqlite::Result<Vec<Annotation>> {
    connection
        .prepare_cached(&format!("{SELECT_BOXES} WHERE b.image = ?1 ORDER BY b.id"))?
        .query_map([image.0], |row| annotation(row, 0))?
        .collect()
}

fn state(transaction: &rusqlite::Transaction<'_>, file: &Path, image: ImageId) -> Result<ReviewState, StoreError> {
    let sqlite = |e| StoreError::from_sqlite(file, e);
    let word: Option<String> = transaction
        .prepare_cached("SELECT state FROM images WHERE id = ?1")
        .and_then(|mut s| s.query_row([image.0], |row| row.get(0)).optional())
        .map_err(sqlite)?;
    let word = word.ok_or(StoreError::UnknownImage(image))?;
    word.parse().map_err(|what: String| StoreError::Damaged { path: file.to_owned(), what })
}
