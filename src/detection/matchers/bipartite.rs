//! Greedy one-to-one matching (TFOD's `bipartite_matcher`): of all pairs of a row and a column the most similar one is
//! matched, then the most similar one of the rows and columns that are left, until one side is used up.
//!
//! Ties are many (most anchors overlap a box not at all), so which of them wins is part of the numbers. TensorFlow's
//! operator puts the pairs into C++'s `priority_queue`, row by row, and compares nothing but the distance: equal ones come
//! out in the order in which a binary heap happens to hold them. [`Heap`] moves its entries as that one does.

use super::Match;
use crate::region_similarity::SimilarityMatrix;

/// The matcher. It has no options: TFOD's `use_matmul_gather` changes no number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GreedyBipartiteMatcher;

impl GreedyBipartiteMatcher {
    /// Matches columns to rows, each to one at most. Rows for which `valid_row` is false are not matched.
    ///
    /// TFOD moves such rows to the end first and then answers with places in that order, which names the wrong box where
    /// one of them stands before a valid one. Here a match is always a row of the matrix.
    pub fn match_columns(self, similarity: &SimilarityMatrix, valid_row: impl Fn(usize) -> bool) -> Vec<Match> {
        let columns = similarity.columns();
        let valid: Vec<(usize, &[f32])> = similarity.rows().enumerate().filter(|(row, _)| valid_row(*row)).collect();
        let mut heap = Heap::with_capacity(valid.len() * columns);
        for (place, (_, values)) in valid.iter().enumerate() {
            for (column, &value) in values.iter().enumerate() {
                heap.push(Pair { distance: -value, place, column });
            }
        }
        let mut matches = vec![Match::Unmatched; columns];
        let mut taken = vec![false; valid.len()];
        let mut left = valid.len().min(columns);
        while left > 0 {
            let Some(Pair { place, column, .. }) = heap.pop() else { break };
            if !taken[place] && matches[column] == Match::Unmatched {
                taken[place] = true;
                matches[column] = Match::Matched(valid[place].0);
                left -= 1;
            }
        }
        matches
    }
}

/// A row and a column, and how far they are from each other.
#[derive(Clone, Copy)]
struct Pair {
    distance: f32,
    place: usize,
    column: usize,
}

impl Pair {
    /// Whether the other one comes out first.
    fn is_behind(&self, other: &Self) -> bool {
        other.distance < self.distance
    }
}

/// A binary heap whose nearest pair is on top.
///
/// A new entry rises from the end. When the top leaves, the hole sinks to a leaf along the nearer children, the right one
/// of two equals, and the last entry rises from there.
struct Heap(Vec<Pair>);

impl Heap {
    fn with_capacity(pairs: usize) -> Self {
        Self(Vec::with_capacity(pairs))
    }

    fn push(&mut self, pair: Pair) {
        self.0.push(pair);
        self.rise(self.0.len() - 1, pair);
    }

    fn pop(&mut self) -> Option<Pair> {
        let last = self.0.pop()?;
        let Some(&top) = self.0.first() else { return Some(last) };
        let len = self.0.len();
        let mut hole = 0;
        loop {
            let right = 2 * hole + 2;
            let child = if right < len {
                if self.0[right].is_behind(&self.0[right - 1]) { right - 1 } else { right }
            } else if right == len {
                right - 1
            } else {
                break;
            };
            self.0[hole] = self.0[child];
            hole = child;
        }
        self.rise(hole, last);
        Some(top)
    }

    fn rise(&mut self, mut hole: usize, pair: Pair) {
        while hole > 0 {
            let parent = (hole - 1) / 2;
            if !self.0[parent].is_behind(&pair) {
                break;
            }
            self.0[hole] = self.0[parent];
            hole = parent;
        }
        self.0[hole] = pair;
    }
}

#[cfg(test)]
mod tests {
    use super::Match::{Matched, Unmatched};
    use super::*;
    use proptest::prelude::*;

    fn matched(columns: usize, values: Vec<f32>, valid: impl Fn(usize) -> bool) -> Vec<Match> {
        GreedyBipartiteMatcher.match_columns(&SimilarityMatrix::new(columns, values), valid)
    }

    #[test]
    fn the_most_similar_pairs_first() {
        // 0.8 is the largest, then of what is left 0.3.
        let values = vec![0.50, 0.1, 0.8, 0.15, 0.2, 0.3];
        assert_eq!(matched(3, values.clone(), |_| true), [Unmatched, Matched(1), Matched(0)]);
        assert_eq!(matched(3, values.clone(), |row| row == 0), [Unmatched, Unmatched, Matched(0)]);
        assert_eq!(matched(3, values.clone(), |row| row == 1), [Unmatched, Unmatched, Matched(1)]);
        assert_eq!(matched(3, values, |_| false), [Unmatched; 3]);
    }

    #[test]
    fn more_rows_than_columns_and_none_at_all() {
        assert_eq!(matched(1, vec![0.1, 0.4, 0.4, 0.2], |_| true).len(), 1);
        assert_eq!(matched(2, vec![], |_| true), [Unmatched; 2]);
        assert_eq!(matched(1, vec![f32::NAN], |_| true), [Matched(0)]);
    }

    #[test]
    fn ties_leave_as_cpps_heap_gives_them() {
        // What a `std::priority_queue` of GNU's library gives for the same pushes.
        let order = |distances: &[f32]| -> Vec<usize> {
            let mut heap = Heap::with_capacity(distances.len());
            distances.iter().enumerate().for_each(|(column, &distance)| heap.push(Pair { distance, place: 0, column }));
            std::iter::from_fn(|| heap.pop()).map(|pair| pair.column).collect()
        };
        assert_eq!(order(&[1.0; 5]), [0, 2, 4, 1, 3]);
        assert_eq!(order(&[1.0; 11]), [0, 2, 6, 10, 9, 8, 5, 7, 4, 1, 3]);
        let mixed = [3., 1., 2., 1., 0., 3., 1., 2., 0., 1., 2., 3., 0., 0., 1.];
        assert_eq!(order(&mixed), [4, 12, 13, 8, 14, 6, 3, 9, 1, 2, 10, 7, 11, 0, 5]);
    }

    proptest! {
        #[test]
        fn every_row_has_its_column_and_no_pair_would_rather(values in proptest::collection::vec(0u8..6, 24)) {
            let values: Vec<f32> = values.into_iter().map(f32::from).collect();
            let matches = matched(6, values.clone(), |_| true);
            let column_of = |row| matches.iter().position(|m| *m == Matched(row));
            for row in 0..4 {
                let own = column_of(row).expect("six columns are enough for four rows");
                for column in 0..6 {
                    let value = values[row * 6 + column];
                    let theirs = match matches[column] {
                        Matched(other) => values[other * 6 + column],
                        _ => f32::NEG_INFINITY,
                    };
                    prop_assert!(value <= values[row * 6 + own] || value <= theirs);
                }
            }
        }
    }
}
