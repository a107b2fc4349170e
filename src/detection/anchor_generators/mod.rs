//! Anchors: the boxes that a detector starts from, one set for each place of each feature map.
//!
//! The generators are pure arithmetic and live in the core room, where the check of a config lays the
//! same anchors over the data without a model.

pub use boxwright_core::anchors::*;
