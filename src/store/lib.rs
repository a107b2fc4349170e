//! The project on disk.
//!
//! A project is a folder with a `project.boxwright` in it: one SQLite file that holds which images
//! there are, their boxes, review states and splits, the ledger of class ids, and a journal of every
//! edit. Labels and training settings are *not* in it: `label_map.pbtxt` and `pipeline.config`
//! beside it are the truth for those, so that every other tool can read and write them.
//!
//! The invariant of this room: when a method that changes something returns `Ok`, the change is on
//! the disk (WAL with `synchronous=FULL`), and when it returns an error, nothing of it is. A process
//! that is killed one second after an edit loses nothing; two windows on one project see each
//! other's edits and never overwrite one that they have not seen.
//!
//! Deliberately absent: windows, tensors, network, and the reading of annotation formats.

mod content;
mod document;
mod error;
mod images;
mod ledger;
mod project;
mod schema;
mod split;

pub use content::{file_sha256, sha256_hex};
pub use document::JournalEntry;
pub use error::StoreError;
pub use images::{Import, ImportOutcome, NewBox, NewImage};
pub use ledger::LedgerEntry;
pub use project::{PROJECT_FILE, Project};
pub use split::SplitScope;

#[cfg(test)]
mod tests;
