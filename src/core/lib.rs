//! The domain of Boxwright: what a box, a label, an annotated image, an edit, a training run and an
//! average precision are.
//!
//! This room holds no files, no network, no window and no tensors. Everything else in the house
//! depends on it and it depends on nothing of the house, so its types are the words in which the
//! rooms talk to each other.

pub mod anchors;
pub mod annotation;
pub mod dataset;
pub mod detection;
pub mod document;
pub mod evaluation;
pub mod geometry;
pub mod label_map;
pub mod problem;
pub mod run;

pub use annotation::{Annotation, BoxFlags, BoxId};
pub use dataset::{ImageEntry, ImageId, ReviewState, Split};
pub use detection::Detection;
pub use document::{Edit, History, Transaction};
pub use geometry::{ImageSize, NormalizedBox, PixelBox};
pub use label_map::{ClassIndex, LabelId, LabelMap, LabelMapError, LabelMapItem};
pub use problem::{Problem, Severity};
