//! From the first stage's answers to proposals.

use rayon::prelude::*;

use super::{CODE_SIZE, FasterRcnnModel, RpnPredictions};
use crate::meta_architectures::to_host;
use crate::post_processing::{CandidateBoxes, ScoreConverter, ScoredBox};

/// The proposals of one picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Proposals {
    /// `[ymin, xmin, ymax, xmax]` in pixels; in training padded with empty boxes.
    pub absolute: Vec<[f32; 4]>,
    /// The same, normalized to the picture with its padding.
    pub normalized: Vec<[f32; 4]>,
    /// How many are real.
    pub count: usize,
}

impl Proposals {
    /// Proposals in pixels of a picture of this shape.
    pub(super) fn of(boxes: impl Iterator<Item = [f32; 4]>, shape: [usize; 2]) -> Self {
        Self::of_normalized(boxes.map(|bounds| normalized(bounds, shape)).collect(), shape)
    }

    /// Proposals in parts of a picture of this shape.
    pub(super) fn of_normalized(normalized: Vec<[f32; 4]>, shape: [usize; 2]) -> Self {
        // There and back, as in TFOD: the last bit may move.
        let absolute = normalized.iter().map(|&bounds| in_pixels(bounds, shape)).collect();
        Self { count: normalized.len(), absolute, normalized }
    }

    /// With empty boxes up to `length`.
    pub(super) fn padded(mut self, length: usize) -> Self {
        self.absolute.resize(length.max(self.count), [0.0; 4]);
        self.normalized.resize(length.max(self.count), [0.0; 4]);
        self
    }
}

/// The whole of a picture, in pixels.
pub(super) fn window([height, width]: [usize; 2]) -> [f32; 4] {
    [0.0, 0.0, height as f32, width as f32]
}

/// From pixels to parts of the picture.
pub(super) fn normalized([ymin, xmin, ymax, xmax]: [f32; 4], [height, width]: [usize; 2]) -> [f32; 4] {
    let (y, x) = (1.0 / height.max(1) as f32, 1.0 / width.max(1) as f32);
    [ymin * y, xmin * x, ymax * y, xmax * x]
}

/// From parts of the picture to pixels.
pub(super) fn in_pixels([ymin, xmin, ymax, xmax]: [f32; 4], [height, width]: [usize; 2]) -> [f32; 4] {
    let (y, x) = (height as f32, width as f32);
    [ymin * y, xmin * x, ymax * y, xmax * x]
}

/// Which boxes lie in the window as a whole.
pub(super) fn inside(boxes: &[[f32; 4]], [top, left, bottom, right]: [f32; 4]) -> Vec<usize> {
    let is_inside = |b: &[f32; 4]| b[0] >= top && b[1] >= left && b[2] <= bottom && b[3] <= right;
    (0..boxes.len()).filter(|&i| is_inside(&boxes[i])).collect()
}

/// A box cut to the window.
pub(super) fn clipped([ymin, xmin, ymax, xmax]: [f32; 4], [top, left, bottom, right]: [f32; 4]) -> [f32; 4] {
    [ymin.clamp(top, bottom), xmin.clamp(left, right), ymax.clamp(top, bottom), xmax.clamp(left, right)]
}

impl FasterRcnnModel {
    /// The boxes that the first stage is surest of in each picture, best first, in pixels, cut to the picture's
    /// window.
    pub(super) fn propose(
        &self,
        rpn: &RpnPredictions,
        window: impl Fn(usize) -> [f32; 4] + Sync,
    ) -> Vec<Vec<ScoredBox>> {
        let settings = &self.settings().first_stage;
        let anchors = rpn.anchors.len();
        let codes = to_host(rpn.box_encodings.clone());
        let logits = to_host(rpn.objectness.clone());
        codes
            .par_chunks((anchors * CODE_SIZE).max(1))
            .zip(logits.par_chunks((anchors * 2).max(1)))
            .enumerate()
            .map(|(image, (codes, logits))| {
                let softmax = ScoreConverter::Softmax.convert(logits, 2, 1.0);
                let scores: Vec<f32> = softmax.iter().skip(1).step_by(2).copied().collect();
                let coder = &settings.target_assigner.box_coder;
                let candidates = CandidateBoxes::Encoded { coder, codes, anchors: &rpn.anchors };
                settings.non_max_suppression.multiclass(candidates, &scores, 1, Some(window(image)))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_inside_and_clipped_by_hand() {
        let window = window([10, 20]);
        assert_eq!(window, [0.0, 0.0, 10.0, 20.0]);
        let boxes = [[0.0, 0.0, 10.0, 20.0], [-1.0, 0.0, 5.0, 5.0], [2.0, 3.0, 10.5, 9.0], [1.0, 1.0, 2.0, 2.0]];
        assert_eq!(inside(&boxes, window), [0, 3]);
        assert_eq!(clipped(boxes[1], window), [0.0, 0.0, 5.0, 5.0]);
        assert_eq!(clipped([12.0, 1.0, 14.0, 25.0], window), [10.0, 1.0, 10.0, 20.0]);
    }

    #[test]
    fn proposals_are_kept_both_ways_and_padded() {
        let proposals = Proposals::of([[1.0, 2.0, 5.0, 4.0]].into_iter(), [10, 8]).padded(3);
        assert_eq!(proposals.normalized, [[0.1, 0.25, 0.5, 0.5], [0.0; 4], [0.0; 4]]);
        assert_eq!(proposals.absolute, [[1.0, 2.0, 5.0, 4.0], [0.0; 4], [0.0; 4]]);
        assert_eq!(proposals.count, 1);
        // Never cut.
        assert_eq!(Proposals::of([[0.0; 4]; 2].into_iter(), [10, 8]).padded(1).absolute.len(), 2);
    }
}
