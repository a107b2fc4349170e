//! Edits of the annotations, and how they are undone.
//!
//! Everything that changes an image's boxes is a [`Transaction`]: a list of [`Edit`]s that each know
//! both sides, so that a transaction inverts without looking at the document. The store writes a
//! transaction and its journal entry in one database transaction; the [`History`] keeps what was
//! done and hands out inverses. A drag in the window is a draft there and arrives as one transaction.
//!
//! Limits, on purpose: the history is linear (a new edit forgets what was undone), and holds the
//! last [`History::LIMIT`] transactions of this sitting; the journal in the database holds them all.

use serde::{Deserialize, Serialize};

use crate::annotation::Annotation;
use crate::dataset::{ImageId, ReviewState};

/// One invertible change of one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "edit", rename_all = "snake_case")]
pub enum Edit {
    /// A box appears.
    Add {
        /// The new box, with its id.
        annotation: Annotation,
    },
    /// A box disappears.
    Remove {
        /// The box as it was.
        annotation: Annotation,
    },
    /// A box moves, is resized, or gets another class or flag.
    Change {
        /// As it was.
        before: Annotation,
        /// As it is, with the same id.
        after: Annotation,
    },
    /// The image is verified, marked as background, or taken back.
    SetState {
        /// As it was.
        before: ReviewState,
        /// As it is.
        after: ReviewState,
    },
}

impl Edit {
    /// The edit that undoes this one.
    pub fn invert(&self) -> Self {
        match self {
            Self::Add { annotation } => Self::Remove { annotation: annotation.clone() },
            Self::Remove { annotation } => Self::Add { annotation: annotation.clone() },
            Self::Change { before, after } => Self::Change { before: after.clone(), after: before.clone() },
            Self::SetState { before, after } => Self::SetState { before: *after, after: *before },
        }
    }
}

/// What one gesture of the user did to one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transaction {
    /// The image.
    pub image: ImageId,
    /// What the user reads in "Undo …": "draw a box", "move", "delete 3 boxes".
    pub name: String,
    /// The edits, in order.
    pub edits: Vec<Edit>,
}

impl Transaction {
    /// The transaction that undoes this one: the inverse edits, last first.
    pub fn invert(&self) -> Self {
        Self { image: self.image, name: self.name.clone(), edits: self.edits.iter().rev().map(Edit::invert).collect() }
    }

    /// Applies the edits to an image's boxes and state.
    ///
    /// # Errors
    /// When the document is not the one the edits were made for (a box to remove is not there, a box
    /// to add is there already). The document is then left as it was.
    pub fn apply(&self, boxes: &mut Vec<Annotation>, state: &mut ReviewState) -> Result<(), EditError> {
        let mut new_boxes = boxes.clone();
        let mut new_state = *state;
        for edit in &self.edits {
            apply_edit(edit, &mut new_boxes, &mut new_state).map_err(|what| EditError {
                image: self.image,
                name: self.name.clone(),
                what,
            })?;
        }
        *boxes = new_boxes;
        *state = new_state;
        Ok(())
    }
}

/// An edit that does not fit the document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{name}\" does not fit image {image}: {what}; reload the image")]
pub struct EditError {
    /// The image.
    pub image: ImageId,
    /// The transaction's name.
    pub name: String,
    /// What does not fit.
    pub what: String,
}

fn apply_edit(edit: &Edit, boxes: &mut Vec<Annotation>, state: &mut ReviewState) -> Result<(), String> {
    let find = |boxes: &[Annotation], id| boxes.iter().position(|b| b.id == id);
    match edit {
        Edit::Add { annotation } => {
            if find(boxes, annotation.id).is_some() {
                return Err(format!("box {} is there already", annotation.id));
            }
            // Ids only grow, so this keeps the order in which boxes were drawn, also after an undo.
            let place = boxes.partition_point(|b| b.id < annotation.id);
            boxes.insert(place, annotation.clone());
        }
        Edit::Remove { annotation } => {
            let place = find(boxes, annotation.id).ok_or_else(|| format!("box {} is not there", annotation.id))?;
            boxes.remove(place);
        }
        Edit::Change { before, after } => {
            if before.id != after.id {
                return Err(format!("a change may not turn box {} into box {}", before.id, after.id));
            }
            let place = find(boxes, before.id).ok_or_else(|| format!("box {} is not there", before.id))?;
            boxes[place] = after.clone();
        }
        Edit::SetState { after, .. } => *state = *after,
    }
    Ok(())
}

/// What was done in this sitting, for undo and redo.
#[derive(Clone, Debug, Default)]
pub struct History {
    done: Vec<Transaction>,
    undone: Vec<Transaction>,
}

impl History {
    /// How many transactions are kept.
    pub const LIMIT: usize = 1000;

    /// Remembers a transaction that was carried out, and forgets what had been undone.
    pub fn record(&mut self, transaction: Transaction) {
        self.undone.clear();
        self.done.push(transaction);
        if self.done.len() > Self::LIMIT {
            self.done.remove(0);
        }
    }

    /// The transaction that undoes the last one, to be carried out and then confirmed by [`History::undone`].
    pub fn to_undo(&self) -> Option<Transaction> {
        self.done.last().map(Transaction::invert)
    }

    /// The last undone transaction, to be carried out again and then confirmed by [`History::redone`].
    pub fn to_redo(&self) -> Option<Transaction> {
        self.undone.last().cloned()
    }

    /// Confirms that the transaction of [`History::to_undo`] was carried out.
    pub fn undone(&mut self) {
        if let Some(transaction) = self.done.pop() {
            self.undone.push(transaction);
        }
    }

    /// Confirms that the transaction of [`History::to_redo`] was carried out.
    pub fn redone(&mut self) {
        if let Some(transaction) = self.undone.pop() {
            self.done.push(transaction);
        }
    }

    /// The name of what undo would undo.
    pub fn undo_name(&self) -> Option<&str> {
        self.done.last().map(|t| t.name.as_str())
    }

    /// The name of what redo would do again.
    pub fn redo_name(&self) -> Option<&str> {
        self.undone.last().map(|t| t.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotation::{BoxFlags, BoxId};
    use crate::geometry::PixelBox;
    use crate::label_map::LabelId;
    use proptest::prelude::*;

    fn annotation(id: i64, x: f64) -> Annotation {
        Annotation {
            id: BoxId(id),
            label: LabelId::new(1).expect("an id"),
            bounds: PixelBox::new(0.0, x, 10.0, x + 10.0),
            flags: BoxFlags::default(),
        }
    }

    fn transaction(edits: Vec<Edit>) -> Transaction {
        Transaction { image: ImageId(1), name: "test".into(), edits }
    }

    #[test]
    fn an_edit_that_does_not_fit_changes_nothing() {
        let mut boxes = vec![annotation(1, 0.0)];
        let mut state = ReviewState::New;
        let t = transaction(vec![
            Edit::Add { annotation: annotation(2, 5.0) },
            Edit::Remove { annotation: annotation(9, 0.0) },
        ]);
        let error = t.apply(&mut boxes, &mut state).expect_err("box 9 is not there");
        assert!(error.to_string().contains("box 9"));
        assert_eq!(boxes, vec![annotation(1, 0.0)]);
    }

    #[test]
    fn a_new_edit_forgets_the_redo() {
        let mut history = History::default();
        history.record(transaction(vec![Edit::Add { annotation: annotation(1, 0.0) }]));
        assert!(history.to_undo().is_some());
        history.undone();
        assert!(history.to_redo().is_some());
        history.record(transaction(vec![Edit::Add { annotation: annotation(2, 0.0) }]));
        assert!(history.to_redo().is_none());
    }

    proptest! {
        /// Whatever was done, its inverse brings the document back, order of the boxes included.
        #[test]
        fn inverse_undoes(steps in proptest::collection::vec((0u8..4, 0i64..8, 0.0..100.0f64), 1..30)) {
            let mut boxes = vec![annotation(0, 1.0), annotation(1, 2.0)];
            let mut state = ReviewState::New;
            let mut next_id = 100;
            for (kind, pick, x) in steps {
                let before = (boxes.clone(), state);
                let chosen = boxes.get(pick as usize % boxes.len().max(1)).cloned();
                let edit = match (kind, chosen) {
                    (1, Some(annotation)) => Edit::Remove { annotation },
                    (2, Some(before)) => {
                        let mut after = before.clone();
                        after.bounds = after.bounds.translate(x, -x);
                        Edit::Change { before, after }
                    }
                    (3, _) => Edit::SetState { before: state, after: ReviewState::Verified },
                    _ => {
                        next_id += 1;
                        Edit::Add { annotation: annotation(next_id, x) }
                    }
                };
                let t = transaction(vec![edit]);
                t.apply(&mut boxes, &mut state).expect("fits");
                let mut copy = (boxes.clone(), state);
                t.invert().apply(&mut copy.0, &mut copy.1).expect("fits");
                prop_assert_eq!(copy, before);
            }
        }
    }
}
