//! Anchors: the boxes that a detector starts from, one set for each place of each feature map.

mod ssd;

pub use ssd::{BoxSpec, MultipleGridAnchorGenerator, SsdAnchorSettings, create_ssd_anchors};
