//! Suppression of all classes at once, best first, without looking at what cannot come out.
//!
//! A model gives a score for each of thousands of anchors and tens of classes, and a hundred detections are wanted. What
//! is suppressed class by class and then sorted comes out the same when all candidates are gone through in the order of
//! their scores, each compared with the chosen ones of its class, until there are enough. So the candidates are taken in
//! portions from the top:
//!
//! 1. The largest value of each anchor is found; the anchors' n-th largest is the cut.
//! 2. What lies on it or above, in any class, is sorted: score, then class, then anchor.
//! 3. It is gone through as far down as no candidate below the cut could have the same score.
//! 4. Where that was not enough, the next portion is four times as large.
//!
//! Logits are compared where scores grow with them, so only the candidates' scores are worked out, and their boxes.

use super::nms::{Bounds, Buckets};
use super::{CandidateBoxes, NonMaxSuppression, ScoredBox, Scores};

/// Values that are compared at once: a few vector registers.
const LANES: usize = 16;

/// The fewest anchors of a portion.
const SMALLEST_PORTION: usize = 64;

/// What rounding may make of the order of two scores, as a part of them.
const ROUNDING: f32 = 4e-6;

struct Candidate {
    score: f32,
    class: usize,
    anchor: usize,
}

/// The chosen boxes of a class.
#[derive(Default)]
struct Class {
    count: usize,
    buckets: Option<Buckets>,
}

/// The boxes that hard suppression leaves, best first, as many as `suppression` allows. Of the chosen ones only those
/// count that `finished` gives back.
pub(super) fn select(
    suppression: &NonMaxSuppression,
    boxes: CandidateBoxes<'_>,
    scores: &Scores<'_>,
    finished: impl Fn(ScoredBox) -> Option<ScoredBox>,
) -> Vec<ScoredBox> {
    let classes = scores.classes();
    let best: Vec<f32> = scores.rows().map(largest).collect();
    let limit = match suppression.max_total_detections {
        0 => usize::MAX,
        limit => limit,
    };
    let mut chosen: Vec<Class> = (0..classes).map(|_| Class::default()).collect();
    let mut found = Vec::new();
    let mut candidates = Vec::new();
    // Candidates with scores above this have been gone through.
    let mut behind = f32::INFINITY;
    let mut portion = limit.saturating_mul(2).max(SMALLEST_PORTION);
    loop {
        let whole = portion >= best.len();
        let cut = if whole { f32::NEG_INFINITY } else { nth_largest(&best, portion) };
        let floor = if whole { f32::NEG_INFINITY } else { at_most_below(scores.score(cut)) };
        candidates.clear();
        for (anchor, row) in scores.rows().enumerate().filter(|&(anchor, _)| best[anchor] >= cut) {
            for (class, &value) in row.iter().enumerate().filter(|(_, value)| **value >= cut) {
                let score = scores.score(value);
                // The first portion has nothing behind it, not even an infinite score.
                let is_new = score <= behind;
                if is_new && score > suppression.score_threshold && (whole || score > floor) {
                    candidates.push(Candidate { score, class, anchor });
                }
            }
        }
        let order = |a: &Candidate, b: &Candidate| {
            b.score.total_cmp(&a.score).then(a.class.cmp(&b.class)).then(a.anchor.cmp(&b.anchor))
        };
        candidates.sort_unstable_by(order);
        for candidate in &candidates {
            if found.len() >= limit {
                return found;
            }
            let class = &mut chosen[candidate.class];
            if class.count >= suppression.max_detections_per_class {
                continue;
            }
            let bounds = boxes.get(candidate.anchor, candidate.class, classes);
            let edges = Bounds::new(bounds);
            let buckets = class.buckets.get_or_insert_with(|| Buckets::new(suppression.iou_threshold));
            if buckets.any_overlap_above(&edges, suppression.iou_threshold) {
                continue;
            }
            buckets.push(&edges);
            class.count += 1;
            found.extend(finished(ScoredBox { bounds, score: candidate.score, class: candidate.class }));
        }
        // What is left scores at most what the cut does.
        if whole || found.len() >= limit || floor <= suppression.score_threshold {
            return found;
        }
        behind = floor;
        portion = portion.saturating_mul(4);
    }
}

/// The largest value; minus infinity where no value is a number.
fn largest(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (blocks, rest) = row.as_chunks::<LANES>();
    for block in blocks {
        for (largest, &value) in lanes.iter_mut().zip(block) {
            *largest = if value > *largest { value } else { *largest };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |largest, &value| if value > largest { value } else { largest })
}

/// What a score of a value below the cut is at most, where the cut's is this.
fn at_most_below(score: f32) -> f32 {
    if score.is_finite() { score + score.abs() * ROUNDING } else { score }
}

/// The n-th largest of more values than n.
fn nth_largest(values: &[f32], n: usize) -> f32 {
    let mut values = values.to_vec();
    *values.select_nth_unstable_by(n - 1, |a, b| b.total_cmp(a)).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_of_a_row_is_a_number() {
        let mut row: Vec<f32> = (0..37).map(|i| -(i as f32) - 1.0).collect();
        assert_eq!(largest(&row), -1.0);
        row[36] = 5.0;
        row[0] = f32::NAN;
        assert_eq!(largest(&row), 5.0);
        assert_eq!(largest(&[f32::NAN; 20]), f32::NEG_INFINITY);
        assert_eq!(nth_largest(&[1.0, 3.0, 2.0, 3.0], 2), 3.0);
        assert_eq!(nth_largest(&[1.0, 3.0, 2.0, 3.0], 3), 2.0);
    }
}
