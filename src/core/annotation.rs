//! A box that a person drew or a file brought.

use serde::{Deserialize, Serialize};

use crate::geometry::PixelBox;
use crate::label_map::LabelId;

/// The number of a box in its project. It never changes and is never given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BoxId(pub i64);

impl std::fmt::Display for BoxId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What Pascal VOC and its successors say about a box beside its place and class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct BoxFlags {
    /// Hard to recognise; evaluation does not count it either way.
    pub difficult: bool,
    /// Cut off by the edge of the picture.
    pub truncated: bool,
    /// Partly hidden by something else.
    pub occluded: bool,
    /// One box around a crowd (`iscrowd` in COCO, `group_of` in TFOD).
    pub group_of: bool,
}

/// One annotated object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Annotation {
    /// Its number in the project.
    pub id: BoxId,
    /// Its class.
    pub label: LabelId,
    /// Its place.
    pub bounds: PixelBox,
    /// Difficult, truncated, occluded, group.
    #[serde(default)]
    pub flags: BoxFlags,
}
