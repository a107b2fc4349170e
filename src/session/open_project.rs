//! An open project: the database, and what of it is kept at hand for the window.
//!
//! The image list is in memory, boxes are read when an image is first looked at. Every change goes
//! to the database first and here afterwards, so what is shown is what is on the disk.

use std::cell::{Cell, OnceCell};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use boxwright_core::{Annotation, Edit, History, ImageEntry, ImageId, LabelId, Transaction};
use boxwright_store::{Project, StoreError};

use crate::error::SessionError;
use crate::job::Waker;
use crate::labels::Labels;
use crate::runs::Runs;
use crate::text_file::TextFile;

/// How often the files are looked at for changes by other programs.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Debug)]
pub(crate) struct OpenProject {
    pub project: Project,
    pub labels: Labels,
    pub pipeline: TextFile,
    pub runs: Runs,
    pub history: History,
    pub last_saved: Option<SystemTime>,
    images: Vec<ImageEntry>,
    places: HashMap<ImageId, usize>,
    boxes: Vec<OnceCell<Vec<Annotation>>>,
    label_counts: BTreeMap<LabelId, usize>,
    /// A read of boxes failed; told at the next poll, since reading cannot fail towards the window.
    unreadable: Cell<bool>,
    foreign_version: i64,
    looked: Instant,
}

impl OpenProject {
    pub fn new(mut project: Project, wake: &Waker) -> Result<Self, SessionError> {
        let labels = Labels::load(&mut project)?;
        let pipeline = TextFile::load(&project.pipeline_path())?;
        let runs = Runs::follow(&project.runs_dir(), wake);
        let mut open = Self {
            foreign_version: project.foreign_version()?,
            project,
            labels,
            pipeline,
            runs,
            history: History::default(),
            last_saved: None,
            images: Vec::new(),
            places: HashMap::new(),
            boxes: Vec::new(),
            label_counts: BTreeMap::new(),
            unreadable: Cell::new(false),
            looked: Instant::now(),
        };
        open.reload()?;
        Ok(open)
    }

    /// Reads the image list anew and forgets the boxes at hand.
    pub fn reload(&mut self) -> Result<(), SessionError> {
        let images = self.project.images()?;
        self.label_counts = self.project.label_counts()?;
        self.places = images.iter().enumerate().map(|(place, image)| (image.id, place)).collect();
        self.boxes = images.iter().map(|_| OnceCell::new()).collect();
        self.images = images;
        Ok(())
    }

    pub fn images(&self) -> &[ImageEntry] {
        &self.images
    }

    pub fn image(&self, id: ImageId) -> Result<&ImageEntry, SessionError> {
        let place = self.places.get(&id).ok_or(StoreError::UnknownImage(id))?;
        Ok(&self.images[*place])
    }

    pub fn image_path(&self, id: ImageId) -> Option<PathBuf> {
        Some(self.project.resolve(&self.image(id).ok()?.path))
    }

    /// The boxes of an image; none where it is not there.
    pub fn boxes(&self, id: ImageId) -> &[Annotation] {
        let Some(place) = self.places.get(&id) else { return &[] };
        self.boxes[*place].get_or_init(|| {
            self.project.boxes(id).unwrap_or_else(|_| {
                self.unreadable.set(true);
                Vec::new()
            })
        })
    }

    pub fn label_counts(&self) -> &BTreeMap<LabelId, usize> {
        &self.label_counts
    }

    /// Carries a transaction out, on the disk and here.
    ///
    /// What another window changed meanwhile is never overwritten: the transaction is refused, the
    /// image is read anew, and the history, which no longer fits, is forgotten.
    pub fn commit(&mut self, transaction: &Transaction) -> Result<(), SessionError> {
        match self.project.apply(transaction) {
            Ok(()) => {}
            Err(error @ StoreError::Edit(_)) => {
                self.history = History::default();
                self.reload()?;
                return Err(error.into());
            }
            Err(error) => return Err(error.into()),
        }
        self.last_saved = Some(SystemTime::now());
        self.count(transaction);
        let image = transaction.image;
        let Some(place) = self.places.get(&image).copied() else { return Ok(()) };
        let mut state = self.images[place].state;
        let at_hand = self.boxes[place].take().and_then(|mut boxes| {
            let applied = transaction.apply(&mut boxes, &mut state);
            applied.is_ok().then_some(boxes)
        });
        let boxes = match at_hand {
            Some(boxes) => boxes,
            // Boxes that were not at hand are read with the change already in them.
            None => {
                state = self.project.image(image)?.state;
                self.project.boxes(image)?
            }
        };
        self.images[place].boxes = boxes.len();
        self.images[place].state = state;
        self.boxes[place] = OnceCell::from(boxes);
        Ok(())
    }

    fn count(&mut self, transaction: &Transaction) {
        let mut change = |label: LabelId, more: bool| {
            let count = self.label_counts.entry(label).or_insert(0);
            *count = if more { *count + 1 } else { count.saturating_sub(1) };
        };
        for edit in &transaction.edits {
            match edit {
                Edit::Add { annotation } => change(annotation.label, true),
                Edit::Remove { annotation } => change(annotation.label, false),
                Edit::Change { before, after } => {
                    change(before.label, false);
                    change(after.label, true);
                }
                Edit::SetState { .. } => {}
            }
        }
        self.label_counts.retain(|_, count| *count > 0);
    }

    /// Takes in what others changed; true if there was something.
    pub fn poll(&mut self) -> bool {
        let mut changed = self.runs.poll();
        if self.looked.elapsed() < LOOK_EVERY && !self.unreadable.get() {
            return changed;
        }
        self.looked = Instant::now();
        changed |= self.look_at_files();
        changed | self.take_foreign_changes()
    }

    /// Takes in label map and config where another program, or a job, wrote them.
    pub fn look_at_files(&mut self) -> bool {
        self.labels.poll(&mut self.project) | self.pipeline.poll()
    }

    /// Reads the lists anew where another connection changed the database.
    pub fn take_foreign_changes(&mut self) -> bool {
        let Ok(version) = self.project.foreign_version() else { return false };
        let again = self.unreadable.replace(false);
        if version == self.foreign_version && !again {
            return false;
        }
        let reloaded = self.reload().is_ok();
        if reloaded {
            self.foreign_version = version;
        }
        reloaded
    }
}
