//! The ledger of class ids: which id was ever given to which name.
//!
//! Boxes, records and trained models hold ids, not names, so an id that changed its owner would
//! change what all of them say. The ledger only grows (the database refuses anything else). A class
//! that is renamed keeps its id and gets one more line; a class that is deleted keeps its id for good.

use std::path::Path;

use boxwright_core::{LabelId, LabelMap};
use rusqlite::{Connection, params};

use crate::error::StoreError;
use crate::project::{Project, now};

/// One line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// The id.
    pub id: LabelId,
    /// A name that it was given to. The last line of an id is its present name.
    pub name: String,
}

impl Project {
    /// The ledger, in the order in which it grew.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn ledger(&self) -> Result<Vec<LedgerEntry>, StoreError> {
        entries(&self.connection).map_err(|e| self.sqlite(e))
    }

    /// Enters the classes of a label map. Those in `renamed` keep their id under their new name.
    ///
    /// # Errors
    /// When an id belongs to another name and is not renamed; nothing is entered then.
    pub fn register_labels(&mut self, labels: &LabelMap, renamed: &[LabelId]) -> Result<(), StoreError> {
        // Reading needs no lock, and nothing is new at nearly every opening.
        let known = self.ledger()?;
        if labels.items().iter().all(|item| owner(&known, item.id) == Some(item.name.as_str())) {
            return Ok(());
        }
        self.write(|transaction, file| register(transaction, file, labels, renamed))
    }

    /// What [`Project::register_labels`] would refuse, without entering anything.
    ///
    /// # Errors
    /// The first id that belongs to another name.
    pub fn check_labels(&self, labels: &LabelMap, renamed: &[LabelId]) -> Result<(), StoreError> {
        to_enter(&self.ledger()?, labels, renamed).map(drop)
    }

    /// The smallest id that is larger than all that were ever given here or stand in `labels`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn next_label_id(&self, labels: &LabelMap) -> Result<Option<LabelId>, StoreError> {
        Ok(LabelId::new(next_free(&self.ledger()?, labels)))
    }
}

/// Enters what is new; see [`Project::register_labels`].
pub(crate) fn register(
    transaction: &rusqlite::Transaction<'_>,
    file: &Path,
    labels: &LabelMap,
    renamed: &[LabelId],
) -> Result<(), StoreError> {
    let sqlite = |e| StoreError::from_sqlite(file, e);
    let known = entries(transaction).map_err(sqlite)?;
    for entry in to_enter(&known, labels, renamed)? {
        transaction
            .prepare_cached("INSERT INTO label_ledger (id, name, time) VALUES (?1, ?2, ?3)")
            .and_then(|mut s| s.execute(params![entry.id.get(), entry.name, now()]))
            .map_err(sqlite)?;
    }
    Ok(())
}

fn to_enter(known: &[LedgerEntry], labels: &LabelMap, renamed: &[LabelId]) -> Result<Vec<LedgerEntry>, StoreError> {
    let mut new = Vec::new();
    for item in labels.items() {
        match owner(known, item.id) {
            Some(name) if name == item.name => continue,
            Some(owner) if !renamed.contains(&item.id) => {
                return Err(StoreError::LabelIdTaken {
                    id: item.id,
                    owner: owner.to_owned(),
                    name: item.name.clone(),
                    free: next_free(known, labels),
                });
            }
            _ => new.push(LedgerEntry { id: item.id, name: item.name.clone() }),
        }
    }
    Ok(new)
}

fn entries(connection: &Connection) -> rusqlite::Result<Vec<LedgerEntry>> {
    let rows: Vec<(u32, String)> = connection
        .prepare_cached("SELECT id, name FROM label_ledger ORDER BY entry")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(rows.into_iter().filter_map(|(id, name)| Some(LedgerEntry { id: LabelId::new(id)?, name })).collect())
}

fn owner(known: &[LedgerEntry], id: LabelId) -> Option<&str> {
    known.iter().rev().find(|entry| entry.id == id).map(|entry| entry.name.as_str())
}

fn next_free(known: &[LedgerEntry], labels: &LabelMap) -> u32 {
    let given = known.iter().map(|entry| entry.id.get()).max().unwrap_or(0);
    given.max(labels.max_id()) + 1
}
