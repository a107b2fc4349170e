//! The image list: reading it in one query, adding to it in one transaction.

use std::collections::BTreeMap;
use std::path::Path;

use boxwright_core::{
    Annotation, BoxFlags, BoxId, ImageEntry, ImageId, ImageSize, LabelId, LabelMap, PixelBox, ReviewState, Split,
};
use rusqlite::{OptionalExtension, Row, Transaction, params};

use crate::document::{insert_box, journal};
use crate::error::StoreError;
use crate::ledger;
use crate::project::Project;

/// A picture that is to join the project, with the boxes that a file brought for it.
#[derive(Clone, Debug, PartialEq)]
pub struct NewImage {
    /// Its path as [`Project::stored_path`] gives it.
    pub path: String,
    /// Its size as shown.
    pub size: ImageSize,
    /// The SHA-256 of the file's bytes, in hexadecimal.
    pub sha256: String,
    /// Where it belongs.
    pub split: Split,
    /// How far it is.
    pub state: ReviewState,
    /// Its boxes.
    pub boxes: Vec<NewBox>,
}

/// A box that has no number yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NewBox {
    /// Its class.
    pub label: LabelId,
    /// Its place.
    pub bounds: PixelBox,
    /// Difficult, truncated, occluded, group.
    pub flags: BoxFlags,
}

/// What an import brings: everything of it arrives, or nothing.
#[derive(Clone, Debug, Default)]
pub struct Import<'a> {
    /// The pictures, in the order in which the list shall show them.
    pub images: &'a [NewImage],
    /// Classes whose ids are taken by this import or were before.
    pub labels: LabelMap,
    /// What the journal calls it.
    pub name: String,
}

/// What became of one image of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportOutcome {
    /// It is new in the project.
    Added(ImageId),
    /// It was in the project without boxes, and got the import's.
    Filled(ImageId),
    /// It was in the project with work of its own, which was left as it is.
    Kept(ImageId),
}

impl ImportOutcome {
    /// The image.
    pub fn image(self) -> ImageId {
        match self {
            Self::Added(id) | Self::Filled(id) | Self::Kept(id) => id,
        }
    }
}

const SELECT_IMAGES: &str = "SELECT i.id, i.path, i.width, i.height, i.split, i.state,
    (SELECT count(*) FROM boxes b WHERE b.image = i.id) FROM images i";

impl Project {
    /// All images, in the order of the list.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn images(&self) -> Result<Vec<ImageEntry>, StoreError> {
        self.connection
            .prepare_cached(&format!("{SELECT_IMAGES} ORDER BY i.sort, i.id"))
            .and_then(|mut s| s.query_map([], image_entry)?.collect())
            .map_err(|e| self.sqlite(e))
    }

    /// One image.
    ///
    /// # Errors
    /// When it is not there or the database cannot be read.
    pub fn image(&self, id: ImageId) -> Result<ImageEntry, StoreError> {
        self.connection
            .prepare_cached(&format!("{SELECT_IMAGES} WHERE i.id = ?1"))
            .and_then(|mut s| s.query_row([id.0], image_entry).optional())
            .map_err(|e| self.sqlite(e))?
            .ok_or(StoreError::UnknownImage(id))
    }

    /// The SHA-256 of each image's file as it was when it joined the project.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn image_hashes(&self) -> Result<BTreeMap<ImageId, String>, StoreError> {
        self.connection
            .prepare_cached("SELECT id, sha256 FROM images")
            .and_then(|mut s| s.query_map([], |row| Ok((ImageId(row.get(0)?), row.get(1)?)))?.collect())
            .map_err(|e| self.sqlite(e))
    }

    /// Adds one picture without boxes, or finds it where it is in the project already.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn add_image(
        &mut self,
        path: &str,
        size: ImageSize,
        sha256: &str,
        split: Split,
    ) -> Result<ImageId, StoreError> {
        let image = NewImage {
            path: path.to_owned(),
            size,
            sha256: sha256.to_owned(),
            split,
            state: ReviewState::New,
            boxes: Vec::new(),
        };
        let import = Import { images: &[image], labels: LabelMap::default(), name: format!("add {path}") };
        let outcomes = self.import(&import)?;
        outcomes.first().map(|o| o.image()).ok_or_else(|| self.sqlite(rusqlite::Error::QueryReturnedNoRows))
    }

    /// Adds pictures and their boxes in one transaction, and tells of each what became of it.
    ///
    /// # Errors
    /// When the database cannot be written, or a class would get an id that belongs to another. The
    /// project is then as it was.
    pub fn import(&mut self, import: &Import<'_>) -> Result<Vec<ImportOutcome>, StoreError> {
        self.write(|transaction, file| {
            ledger::register(transaction, file, &import.labels, &[])?;
            let sqlite = |e| StoreError::from_sqlite(file, e);
            let mut sort: i64 =
                transaction.query_row("SELECT coalesce(max(sort), 0) FROM images", [], |r| r.get(0)).map_err(sqlite)?;
            let mut outcomes = Vec::with_capacity(import.images.len());
            for image in import.images {
                outcomes.push(import_one(transaction, image, &mut sort).map_err(sqlite)?);
            }
            let count = outcomes.iter().filter(|o| !matches!(o, ImportOutcome::Kept(_))).count();
            journal(transaction, None, &serde_json::json!({ "import": import.name, "images": count }))
                .map_err(sqlite)?;
            Ok(outcomes)
        })
    }

    /// Puts images into a split.
    ///
    /// # Errors
    /// When one is not in the project (then none is changed) or the database cannot be written.
    pub fn set_split(&mut self, images: &[ImageId], split: Split) -> Result<(), StoreError> {
        self.write(|transaction, file| set_split(transaction, file, images.iter().map(|id| (*id, split))))
    }
}

/// Sets the split of each image, all in the transaction, and notes it in the journal.
pub(crate) fn set_split(
    transaction: &Transaction<'_>,
    file: &Path,
    images: impl Iterator<Item = (ImageId, Split)>,
) -> Result<(), StoreError> {
    let sqlite = |e| StoreError::from_sqlite(file, e);
    let mut update = transaction.prepare_cached("UPDATE images SET split = ?2 WHERE id = ?1").map_err(sqlite)?;
    let mut changed: BTreeMap<&'static str, Vec<i64>> = BTreeMap::new();
    for (image, split) in images {
        if update.execute(params![image.0, split.as_str()]).map_err(sqlite)? == 0 {
            return Err(StoreError::UnknownImage(image));
        }
        changed.entry(split.as_str()).or_default().push(image.0);
    }
    journal(transaction, None, &serde_json::json!({ "split": changed })).map_err(sqlite)
}

fn import_one(
    transaction: &Transaction<'_>,
    image: &NewImage,
    sort: &mut i64,
) -> Result<ImportOutcome, rusqlite::Error> {
    let known: Option<(i64, String, String, bool)> = transaction
        .prepare_cached(
            "SELECT id, split, state, EXISTS (SELECT 1 FROM boxes b WHERE b.image = i.id) FROM images i WHERE path = ?1",
        )?
        .query_row([&image.path], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)))
        .optional()?;
    let id = match &known {
        Some((id, _, state, has_boxes)) if *has_boxes || state != ReviewState::New.as_str() => {
            return Ok(ImportOutcome::Kept(ImageId(*id)));
        }
        Some((id, split, ..)) => {
            let split = if image.split == Split::Unassigned { split } else { image.split.as_str() };
            transaction
                .prepare_cached(
                    "UPDATE images SET split = ?2, state = ?3, width = ?4, height = ?5, sha256 = ?6 WHERE id = ?1",
                )?
                .execute(params![id, split, image.state.as_str(), image.size.width, image.size.height, image.sha256])?;
            *id
        }
        None => {
            *sort += 1;
            transaction
                .prepare_cached(
                    "INSERT INTO images (path, width, height, sha256, split, state, sort) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?
                .execute(params![
                    image.path,
                    image.size.width,
                    image.size.height,
                    image.sha256,
                    image.split.as_str(),
                    image.state.as_str(),
                    *sort
                ])?;
            transaction.last_insert_rowid()
        }
    };
    for new in &image.boxes {
        insert_box(transaction, ImageId(id), None, new.label, &new.bounds, new.flags)?;
    }
    let id = ImageId(id);
    Ok(if known.is_some() { ImportOutcome::Filled(id) } else { ImportOutcome::Added(id) })
}

fn image_entry(row: &Row<'_>) -> rusqlite::Result<ImageEntry> {
    Ok(ImageEntry {
        id: ImageId(row.get(0)?),
        path: row.get(1)?,
        size: ImageSize::new(row.get(2)?, row.get(3)?),
        split: word(row, 4)?,
        state: word(row, 5)?,
        boxes: usize::try_from(row.get::<_, i64>(6)?).unwrap_or(0),
    })
}

/// Reads a column that holds one of an enum's words.
fn word<T: std::str::FromStr<Err = String>>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    row.get_ref(column)?.as_str()?.parse().map_err(|what: String| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, what.into())
    })
}

/// Reads `id, label, ymin, xmin, ymax, xmax, flags` from `first` on.
pub(crate) fn annotation(row: &Row<'_>, first: usize) -> rusqlite::Result<Annotation> {
    let label: u32 = row.get(first + 1)?;
    let label = LabelId::new(label).ok_or(rusqlite::Error::IntegralValueOutOfRange(first + 1, i64::from(label)))?;
    let mut flags = BoxFlags::default();
    if let Some(names) = row.get_ref(first + 6)?.as_str_or_null()? {
        for name in names.split(',') {
            match name {
                "difficult" => flags.difficult = true,
                "truncated" => flags.truncated = true,
                "occluded" => flags.occluded = true,
                "group_of" => flags.group_of = true,
                // An attribute of another name is kept in the table and means nothing here.
                _ => {}
            }
        }
    }
    Ok(Annotation {
        id: BoxId(row.get(first)?),
        label,
        bounds: PixelBox::new(row.get(first + 2)?, row.get(first + 3)?, row.get(first + 4)?, row.get(first + 5)?),
        flags,
    })
}
