//! Box coders: a box relative to an anchor, as the four numbers that a network predicts.
//!
//! A coder knows nothing of matching or of images; it is a pair of inverse functions.

mod faster_rcnn;

pub use faster_rcnn::FasterRcnnBoxCoder;
