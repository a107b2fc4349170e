//! Anchors: the boxes that a detector starts from, one set for each place of each feature map.
//!
//! They are plain numbers, so they live here: the models of the detection room are built on them, and
//! the check of a config asks, without a model, whether any of them would match a box of the data.

mod ssd;

pub use ssd::{BoxSpec, MultipleGridAnchorGenerator, SsdAnchorSettings, create_ssd_anchors};
