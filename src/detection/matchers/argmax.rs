//! Each anchor takes the groundtruth box that it is most alike, if it is alike enough (TFOD's
//! `argmax_matcher`).
//!
//! 1. Each column takes the row with the largest similarity; of equal ones the first.
//! 2. Columns below the thresholds become unmatched or ignored.
//! 3. With `force_match_for_each_row` each valid row takes its best column, whatever its similarity;
//!    of rows that want the same column the first gets it.

use super::Match;
use crate::region_similarity::SimilarityMatrix;

/// The similarities that a match needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// At or above this a column is matched.
    pub matched: f32,
    /// Below this it is unmatched (or ignored, see [`ArgMaxMatcher::negatives_lower_than_unmatched`]).
    pub unmatched: f32,
}

/// The matcher; fields as in `argmax_matcher` of the config.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ArgMaxMatcher {
    /// `None` matches every column to its best row (`ignore_thresholds`).
    pub thresholds: Option<Thresholds>,
    /// True: below `unmatched` is background and the band up to `matched` is ignored. False: the other way round.
    pub negatives_lower_than_unmatched: bool,
    /// Whether each valid row is matched to its best column.
    pub force_match_for_each_row: bool,
}

impl ArgMaxMatcher {
    /// Matches columns to rows. `valid_row(i)` tells whether row `i` may force a match: rows that only
    /// pad and boxes of weight 0 may not.
    pub fn match_columns(&self, similarity: &SimilarityMatrix, valid_row: impl Fn(usize) -> bool) -> Vec<Match> {
        let columns = similarity.columns();
        let mut best: Vec<(f32, usize)> = vec![(f32::NEG_INFINITY, 0); columns];
        let mut forced: Vec<Option<usize>> = vec![None; columns];
        let mut rows = 0;
        for (row, values) in similarity.rows().enumerate() {
            rows += 1;
            for (entry, &value) in best.iter_mut().zip(values) {
                if value > entry.0 {
                    *entry = (value, row);
                }
            }
            if self.force_match_for_each_row
                && valid_row(row)
                && let Some(column) = first_maximum(values)
            {
                forced[column].get_or_insert(row);
            }
        }
        if rows == 0 {
            return vec![Match::Unmatched; columns];
        }
        let by_similarity = best.iter().map(|&(value, row)| self.classify(value, row));
        forced.iter().zip(by_similarity).map(|(forced, usual)| forced.map_or(usual, Match::Matched)).collect()
    }

    fn classify(&self, value: f32, row: usize) -> Match {
        let Some(Thresholds { matched, unmatched }) = self.thresholds else { return Match::Matched(row) };
        let (below, between) = if self.negatives_lower_than_unmatched {
            (Match::Unmatched, Match::Ignored)
        } else {
            (Match::Ignored, Match::Unmatched)
        };
        if value < unmatched {
            below
        } else if value < matched {
            between
        } else {
            Match::Matched(row)
        }
    }
}

/// The first column with the largest value; NaN is never the largest.
fn first_maximum(values: &[f32]) -> Option<usize> {
    let mut best = None;
    let mut maximum = f32::NEG_INFINITY;
    for (column, &value) in values.iter().enumerate() {
        if value > maximum {
            (best, maximum) = (Some(column), value);
        }
    }
    best.or(if values.is_empty() { None } else { Some(0) })
}

#[cfg(test)]
mod tests {
    use super::Match::{Ignored, Matched, Unmatched};
    use super::*;

    fn matcher(matched: f32, unmatched: f32) -> ArgMaxMatcher {
        ArgMaxMatcher {
            thresholds: Some(Thresholds { matched, unmatched }),
            negatives_lower_than_unmatched: true,
            force_match_for_each_row: false,
        }
    }

    fn matrix() -> SimilarityMatrix {
        SimilarityMatrix::new(5, vec![1.0, 1.0, 1.0, 3.0, 1.0, 2.0, -1.0, 2.0, 0.0, 4.0, 3.0, 0.0, -1.0, 0.0, 0.0])
    }

    #[test]
    fn each_column_takes_its_largest_row() {
        let all = ArgMaxMatcher { thresholds: None, ..matcher(0.0, 0.0) };
        assert_eq!(
            all.match_columns(&matrix(), |_| true),
            [Matched(2), Matched(0), Matched(1), Matched(0), Matched(1)]
        );
    }

    #[test]
    fn thresholds_ignore_the_band_between_them() {
        assert_eq!(
            matcher(3.0, 2.0).match_columns(&matrix(), |_| true),
            [Matched(2), Unmatched, Ignored, Matched(0), Matched(1)]
        );
        let turned = ArgMaxMatcher { negatives_lower_than_unmatched: false, ..matcher(3.0, 2.0) };
        assert_eq!(turned.match_columns(&matrix(), |_| true), [Matched(2), Ignored, Unmatched, Matched(0), Matched(1)]);
    }

    #[test]
    fn force_matching_gives_each_valid_row_a_column() {
        let similarity = SimilarityMatrix::new(3, vec![0.1, 0.4, 0.2, 0.3, 0.2, 0.1]);
        let force = ArgMaxMatcher { force_match_for_each_row: true, ..matcher(0.5, 0.5) };
        assert_eq!(force.match_columns(&similarity, |_| true), [Matched(1), Matched(0), Unmatched]);
        assert_eq!(force.match_columns(&similarity, |row| row == 0), [Unmatched, Matched(0), Unmatched]);
    }

    #[test]
    fn no_rows_match_nothing_and_nan_does_not_panic() {
        let none = SimilarityMatrix::new(2, vec![]);
        assert_eq!(matcher(0.5, 0.5).match_columns(&none, |_| true), [Unmatched, Unmatched]);
        let nan = SimilarityMatrix::new(2, vec![f32::NAN, 0.7]);
        let force = ArgMaxMatcher { force_match_for_each_row: true, ..matcher(0.5, 0.5) };
        assert_eq!(force.match_columns(&nan, |_| true), [Unmatched, Matched(0)]);
    }
}
