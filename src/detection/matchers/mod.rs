//! Matchers: which groundtruth box, if any, each anchor answers for.

mod argmax;

pub use argmax::{ArgMaxMatcher, Thresholds};

/// What an anchor (a column of the similarity matrix) answers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// Nothing: background.
    Unmatched,
    /// It is not asked.
    Ignored,
    /// The groundtruth box of this row.
    Matched(usize),
}
