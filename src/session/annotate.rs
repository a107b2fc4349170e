//! Edits of boxes and marks: each command becomes one transaction, which is on the disk when the
//! command returns and can be undone.

use boxwright_core::{Annotation, BoxFlags, BoxId, Edit, ImageId, LabelId, PixelBox, ReviewState, Transaction};

use crate::command::Outcome;
use crate::error::SessionError;
use crate::open_project::OpenProject;

impl OpenProject {
    pub fn add_box(&mut self, image: ImageId, label: LabelId, bounds: PixelBox) -> Result<Outcome, SessionError> {
        let bounds = self.fit(image, bounds)?;
        self.ensure_label(label)?;
        let new = Annotation { id: BoxId(0), label, bounds, flags: BoxFlags::default() };
        self.add(image, vec![new], "draw a box".to_owned())
    }

    /// Boxes that lie outside this picture altogether, which may be smaller than the one that they
    /// come from, are left out.
    pub fn paste_boxes(
        &mut self,
        image: ImageId,
        boxes: Vec<Annotation>,
        name: String,
    ) -> Result<Outcome, SessionError> {
        if boxes.is_empty() {
            return Ok(Outcome::default());
        }
        let mut fitting = Vec::with_capacity(boxes.len());
        for annotation in boxes {
            self.ensure_label(annotation.label)?;
            if let Ok(bounds) = self.fit(image, annotation.bounds) {
                fitting.push(Annotation { bounds, ..annotation });
            }
        }
        if fitting.is_empty() {
            return Err(SessionError::EmptyBox(image));
        }
        self.add(image, fitting, name)
    }

    pub fn change_boxes(
        &mut self,
        image: ImageId,
        name: String,
        changes: Vec<(Annotation, Annotation)>,
    ) -> Result<Outcome, SessionError> {
        let mut edits = Vec::with_capacity(changes.len());
        for (before, mut after) in changes {
            after.bounds = self.fit(image, after.bounds)?;
            if after.label != before.label {
                self.ensure_label(after.label)?;
            }
            if before != after {
                edits.push(Edit::Change { before, after });
            }
        }
        self.touch(image, name, edits)?;
        Ok(Outcome::image(image))
    }

    pub fn remove_boxes(&mut self, image: ImageId, ids: &[BoxId]) -> Result<Outcome, SessionError> {
        let boxes = self.boxes(image);
        let find = |id: &BoxId| boxes.iter().find(|b| b.id == *id).cloned().ok_or(SessionError::UnknownBox(*id));
        let removed = ids.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        let name =
            if removed.len() == 1 { "delete a box".to_owned() } else { format!("delete {} boxes", removed.len()) };
        let edits = removed.into_iter().map(|annotation| Edit::Remove { annotation }).collect();
        self.touch(image, name, edits)?;
        Ok(Outcome::image(image))
    }

    pub fn set_state(&mut self, image: ImageId, state: ReviewState) -> Result<Outcome, SessionError> {
        let entry = self.image(image)?;
        if state == ReviewState::Background && entry.boxes > 0 {
            return Err(SessionError::BackgroundWithBoxes(entry.boxes));
        }
        if entry.state == state {
            return Ok(Outcome::image(image));
        }
        let name = match state {
            ReviewState::New => "mark as new",
            ReviewState::Annotated => "mark as annotated",
            ReviewState::Verified => "mark as verified",
            ReviewState::Background => "mark as background",
        };
        let edit = Edit::SetState { before: entry.state, after: state };
        self.record(Transaction { image, name: name.to_owned(), edits: vec![edit] })?;
        Ok(Outcome::image(image))
    }

    pub fn undo(&mut self) -> Result<Outcome, SessionError> {
        let transaction = self.history.to_undo().ok_or(SessionError::NothingTo("undo"))?;
        self.commit(&transaction)?;
        self.history.undone();
        Ok(Outcome::image(transaction.image))
    }

    pub fn redo(&mut self) -> Result<Outcome, SessionError> {
        let transaction = self.history.to_redo().ok_or(SessionError::NothingTo("redo"))?;
        self.commit(&transaction)?;
        self.history.redone();
        Ok(Outcome::image(transaction.image))
    }

    fn add(&mut self, image: ImageId, mut boxes: Vec<Annotation>, name: String) -> Result<Outcome, SessionError> {
        let created = self.project.next_box_ids(boxes.len())?;
        for (annotation, id) in boxes.iter_mut().zip(&created) {
            annotation.id = *id;
        }
        let edits = boxes.into_iter().map(|annotation| Edit::Add { annotation }).collect();
        self.touch(image, name, edits)?;
        Ok(Outcome { created, ..Outcome::image(image) })
    }

    /// Edits of boxes mark an image that nobody had touched, or that was said to have none, as
    /// annotated; a verified one stays verified.
    fn touch(&mut self, image: ImageId, name: String, mut edits: Vec<Edit>) -> Result<(), SessionError> {
        let before = self.image(image)?.state;
        if edits.is_empty() {
            return Ok(());
        }
        if matches!(before, ReviewState::New | ReviewState::Background) {
            edits.push(Edit::SetState { before, after: ReviewState::Annotated });
        }
        self.record(Transaction { image, name, edits })
    }

    fn record(&mut self, transaction: Transaction) -> Result<(), SessionError> {
        self.commit(&transaction)?;
        self.history.record(transaction);
        Ok(())
    }

    /// The part of a box that lies in the picture.
    fn fit(&self, image: ImageId, bounds: PixelBox) -> Result<PixelBox, SessionError> {
        let size = self.image(image)?.size;
        if !bounds.is_valid() {
            return Err(SessionError::EmptyBox(image));
        }
        let fitting = bounds.clip(size);
        if fitting.is_valid() { Ok(fitting) } else { Err(SessionError::EmptyBox(image)) }
    }

    fn ensure_label(&self, label: LabelId) -> Result<(), SessionError> {
        match self.labels.map().get(label) {
            Some(_) => Ok(()),
            None => Err(SessionError::UnknownLabel(label)),
        }
    }
}
