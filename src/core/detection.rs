//! A box that a model found.

use serde::{Deserialize, Serialize};

use crate::geometry::NormalizedBox;
use crate::label_map::LabelId;

/// One detection: what, how sure, where.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// The class.
    pub label: LabelId,
    /// The score, 0 to 1 after a sigmoid or softmax.
    pub score: f32,
    /// The place.
    pub bounds: NormalizedBox,
}
