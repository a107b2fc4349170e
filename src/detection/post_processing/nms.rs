//! Greedy non-max suppression, hard and soft, with the order and the ties of TensorFlow's operator.
//!
//! Candidates leave a heap by score, of equal scores the first in the list. A candidate that
//! overlaps one that was chosen before is dropped (hard), or loses score and goes back into the heap
//! (soft).
//!
//! The overlap of two boxes is at most the ratio of their areas, the smaller to the larger. For hard
//! suppression the chosen boxes are therefore kept in buckets by the logarithm of their area, as
//! wide as the threshold allows, and a candidate is compared with three buckets and not with all:
//! with the threshold of 0.99 that hard example mining has, that is hardly any. Within a bucket the
//! boxes are columns, so that a candidate is compared with many at once.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

/// A chosen box.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Selected {
    /// Its place in the list.
    pub index: usize,
    /// Its score; with soft suppression less than what it came with.
    pub score: f32,
}

struct Candidate {
    score: f32,
    index: usize,
    /// Chosen boxes before this one have been compared already.
    compared: usize,
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.index.cmp(&self.index))
    }
}

/// Chooses up to `max_output` boxes, best first, among those that score above `score_threshold`.
///
/// A box is dropped where its overlap with a chosen one exceeds `iou_threshold`; with
/// `soft_nms_sigma` above 0 its score is multiplied by `exp(−iou² / (2 · sigma))` instead. A score
/// that is not a number is never above the threshold.
pub fn non_max_suppression(
    boxes: &[[f32; 4]],
    scores: &[f32],
    max_output: usize,
    iou_threshold: f32,
    score_threshold: f32,
    soft_nms_sigma: f32,
) -> Vec<Selected> {
    let mut candidates: BinaryHeap<Candidate> = scores
        .iter()
        .take(boxes.len())
        .enumerate()
        .filter(|(_, score)| **score > score_threshold)
        .map(|(index, &score)| Candidate { score, index, compared: 0 })
        .collect();
    let soft = soft_nms_sigma > 0.0;
    let scale = if soft { -0.5 / soft_nms_sigma } else { 0.0 };
    let mut chosen = Columns::default();
    let mut buckets = Buckets::new(iou_threshold);
    let mut selected: Vec<Selected> = Vec::new();
    while selected.len() < max_output {
        let Some(mut candidate) = candidates.pop() else { break };
        let bounds = Bounds::new(boxes[candidate.index]);
        if !soft {
            if buckets.any_overlap_above(&bounds, iou_threshold) {
                continue;
            }
            buckets.push(&bounds);
        } else {
            let before = candidate.score;
            for place in (candidate.compared..selected.len()).rev() {
                let iou = chosen.iou(place, &bounds);
                candidate.score *= (scale * iou * iou).exp();
                if candidate.score <= score_threshold {
                    break;
                }
            }
            candidate.compared = selected.len();
            if candidate.score != before {
                if candidate.score > score_threshold {
                    candidates.push(candidate);
                }
                continue;
            }
            chosen.push(&bounds);
        }
        selected.push(Selected { index: candidate.index, score: candidate.score });
    }
    selected
}

/// A box with its edges in order, as TensorFlow's operator sees it, and its area.
pub(super) struct Bounds {
    edges: [f32; 4],
    area: f32,
}

impl Bounds {
    pub(super) fn new([y0, x0, y1, x1]: [f32; 4]) -> Self {
        let edges = [y0.min(y1), x0.min(x1), y0.max(y1), x0.max(x1)];
        Self { edges, area: (edges[2] - edges[0]) * (edges[3] - edges[1]) }
    }
}

/// The chosen boxes with an area, by the logarithm of their area.
pub(super) struct Buckets {
    /// Boxes that overlap enough differ by less than this in the logarithm of their area.
    width: f32,
    columns: BTreeMap<i32, Columns>,
}

impl Buckets {
    pub(super) fn new(iou_threshold: f32) -> Self {
        // A little wider, for the rounding of areas and overlaps.
        let width = if iou_threshold > 0.0 { (-iou_threshold.ln()).max(0.0) + 1e-5 } else { f32::INFINITY };
        Self { width, columns: BTreeMap::new() }
    }

    fn bucket(&self, area: f32) -> i32 {
        (area.ln() / self.width).floor() as i32
    }

    /// Boxes without an area overlap nothing.
    pub(super) fn push(&mut self, bounds: &Bounds) {
        if bounds.area > 0.0 {
            self.columns.entry(self.bucket(bounds.area)).or_default().push(bounds);
        }
    }

    pub(super) fn any_overlap_above(&self, bounds: &Bounds, threshold: f32) -> bool {
        if bounds.area.is_nan() || bounds.area <= 0.0 {
            return false;
        }
        let bucket = self.bucket(bounds.area);
        let near = bucket.saturating_sub(1)..=bucket.saturating_add(1);
        self.columns.range(near).any(|(_, columns)| columns.any_overlap_above(bounds, threshold))
    }
}

/// Boxes, edge by edge.
#[derive(Default)]
struct Columns {
    ymin: Vec<f32>,
    xmin: Vec<f32>,
    ymax: Vec<f32>,
    xmax: Vec<f32>,
    area: Vec<f32>,
}

/// How many chosen boxes are compared before the result is looked at: a few vector registers.
const BLOCK: usize = 16;

impl Columns {
    fn push(&mut self, bounds: &Bounds) {
        let [ymin, xmin, ymax, xmax] = bounds.edges;
        self.ymin.push(ymin);
        self.xmin.push(xmin);
        self.ymax.push(ymax);
        self.xmax.push(xmax);
        self.area.push(bounds.area);
    }

    /// Intersection over union; 0 where either box has no area. Common 0 over union 0 is NaN, which
    /// is above no threshold.
    #[inline(always)]
    fn iou(&self, place: usize, bounds: &Bounds) -> f32 {
        let [ymin, xmin, ymax, xmax] = bounds.edges;
        let height = (ymax.min(self.ymax[place]) - ymin.max(self.ymin[place])).max(0.0);
        let width = (xmax.min(self.xmax[place]) - xmin.max(self.xmin[place])).max(0.0);
        let common = height * width;
        let union = bounds.area + self.area[place] - common;
        if bounds.area > 0.0 && self.area[place] > 0.0 { common / union } else { 0.0 }
    }

    fn any_overlap_above(&self, bounds: &Bounds, threshold: f32) -> bool {
        let [ymin, xmin, ymax, xmax] = bounds.edges;
        let blocks = self.area.chunks(BLOCK).enumerate().rev();
        for (block, areas) in blocks {
            let range = block * BLOCK..block * BLOCK + areas.len();
            let edges =
                [&self.ymin[range.clone()], &self.xmin[range.clone()], &self.ymax[range.clone()], &self.xmax[range]];
            let mut hit = false;
            for (i, &area) in areas.iter().enumerate() {
                let height = (ymax.min(edges[2][i]) - ymin.max(edges[0][i])).max(0.0);
                let width = (xmax.min(edges[3][i]) - xmin.max(edges[1][i])).max(0.0);
                let common = height * width;
                hit |= common / (bounds.area + area - common) > threshold;
            }
            if hit {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indices(selected: &[Selected]) -> Vec<usize> {
        selected.iter().map(|s| s.index).collect()
    }

    #[test]
    fn three_clusters_give_three_boxes() {
        let boxes = [
            [0.0, 0.0, 1.0, 1.0],
            [0.0, 0.1, 1.0, 1.1],
            [0.0, -0.1, 1.0, 0.9],
            [0.0, 10.0, 1.0, 11.0],
            [0.0, 10.1, 1.0, 11.1],
            [0.0, 100.0, 1.0, 101.0],
        ];
        let scores = [0.9, 0.75, 0.6, 0.95, 0.5, 0.3];
        let run = |max, score_threshold| non_max_suppression(&boxes, &scores, max, 0.5, score_threshold, 0.0);
        assert_eq!(indices(&run(3, 0.0)), [3, 0, 5]);
        assert_eq!(indices(&run(2, 0.0)), [3, 0]);
        assert_eq!(indices(&run(30, 0.4)), [3, 0]);
        assert_eq!(indices(&run(0, 0.0)), [0usize; 0]);
    }

    #[test]
    fn soft_suppression_lowers_scores_and_reorders() {
        let boxes = [[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0], [0.0, 5.0, 1.0, 6.0]];
        let selected = non_max_suppression(&boxes, &[0.9, 0.8, 0.5], 3, 1.0, 0.0, 0.5);
        assert_eq!(indices(&selected), [0, 2, 1]);
        assert!((selected[2].score - 0.8 * (-1.0f32).exp()).abs() < 1e-6);
    }

    #[test]
    fn ties_go_to_the_first_and_edges_may_be_swapped() {
        let boxes = [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]];
        assert_eq!(indices(&non_max_suppression(&boxes, &[0.5, 0.5], 2, 0.5, 0.0, 0.0)), [0]);
    }

    #[test]
    fn boxes_without_area_suppress_nothing() {
        let boxes = [[0.5, 0.5, 0.5, 0.5]; 3];
        assert_eq!(indices(&non_max_suppression(&boxes, &[0.1, 0.3, 0.2], 9, 0.0, 0.0, 0.0)), [1, 2, 0]);
    }
}
