//! Matchers: which groundtruth box, if any, each anchor answers for.

mod argmax;
mod bipartite;

pub use argmax::{ArgMaxMatcher, Thresholds};
pub use bipartite::GreedyBipartiteMatcher;

use crate::region_similarity::SimilarityMatrix;

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

/// Any of the matchers: what the `matcher` message of a config asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Matcher {
    /// `argmax_matcher`.
    ArgMax(ArgMaxMatcher),
    /// `bipartite_matcher`.
    Bipartite(GreedyBipartiteMatcher),
}

impl Matcher {
    /// Matches columns to rows. `valid_row(i)` tells whether row `i` may force a match: rows that only
    /// pad and boxes of weight 0 may not.
    pub fn match_columns(&self, similarity: &SimilarityMatrix, valid_row: impl Fn(usize) -> bool) -> Vec<Match> {
        match self {
            Self::ArgMax(matcher) => matcher.match_columns(similarity, valid_row),
            Self::Bipartite(matcher) => matcher.match_columns(similarity, valid_row),
        }
    }
}

impl From<ArgMaxMatcher> for Matcher {
    fn from(matcher: ArgMaxMatcher) -> Self {
        Self::ArgMax(matcher)
    }
}
