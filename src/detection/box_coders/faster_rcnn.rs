//! The box coder of Faster R-CNN, which SSD uses too (TFOD's `faster_rcnn_box_coder`).
//!
//! With `a` the anchor and centre coordinates `y, x`, height `h` and width `w`:
//! `ty = (y − ya) / ha`, `tx = (x − xa) / wa`, `th = ln(h / ha)`, `tw = ln(w / wa)`, each times its
//! scale factor, which brings the four targets to about the same spread.

use super::center_and_size;

/// Keeps the logarithm and the division finite for degenerate boxes and anchors.
const EPSILON: f32 = 1e-8;

/// Encodes boxes `[ymin, xmin, ymax, xmax]` as `[ty, tx, th, tw]` relative to anchors, and back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FasterRcnnBoxCoder {
    /// What `ty, tx, th, tw` are multiplied by.
    pub scale_factors: [f32; 4],
}

impl Default for FasterRcnnBoxCoder {
    fn default() -> Self {
        Self { scale_factors: [10.0, 10.0, 5.0, 5.0] }
    }
}

impl FasterRcnnBoxCoder {
    /// Numbers in a code.
    pub const CODE_SIZE: usize = 4;

    /// A box relative to an anchor.
    pub fn encode(&self, bounds: [f32; 4], anchor: [f32; 4]) -> [f32; 4] {
        let [y, x, h, w] = center_and_size(bounds);
        let [ya, xa, ha, wa] = center_and_size(anchor);
        let (ha, wa) = (ha + EPSILON, wa + EPSILON);
        let (h, w) = (h + EPSILON, w + EPSILON);
        let code = [(y - ya) / ha, (x - xa) / wa, (h / ha).ln(), (w / wa).ln()];
        std::array::from_fn(|i| code[i] * self.scale_factors[i])
    }

    /// The box that a code stands for.
    pub fn decode(&self, code: [f32; 4], anchor: [f32; 4]) -> [f32; 4] {
        let [ya, xa, ha, wa] = center_and_size(anchor);
        let [ty, tx, th, tw]: [f32; 4] = std::array::from_fn(|i| code[i] / self.scale_factors[i]);
        let (h, w) = (th.exp() * ha, tw.exp() * wa);
        let (y, x) = (ty * ha + ya, tx * wa + xa);
        [y - h / 2.0, x - w / 2.0, y + h / 2.0, x + w / 2.0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_anchor_encodes_itself_as_zero() {
        let anchor = [0.2, 0.3, 0.6, 0.8];
        let code = FasterRcnnBoxCoder::default().encode(anchor, anchor);
        assert!(code.iter().all(|v| v.abs() < 1e-5), "{code:?}");
    }

    #[test]
    fn a_shift_by_the_anchors_size_and_twice_its_height_by_hand() {
        let coder = FasterRcnnBoxCoder { scale_factors: [10.0, 10.0, 5.0, 5.0] };
        // Anchor: centre (0.5, 0.5), 0.2 × 0.4. Box: centre (0.7, 0.5), 0.4 × 0.4.
        let code = coder.encode([0.5, 0.3, 0.9, 0.7], [0.4, 0.3, 0.6, 0.7]);
        let wanted = [10.0, 0.0, 5.0 * 2f32.ln(), 0.0];
        for (value, wanted) in code.iter().zip(wanted) {
            assert!((value - wanted).abs() < 1e-4, "{code:?}");
        }
    }

    #[test]
    fn a_degenerate_box_has_a_finite_code() {
        let code = FasterRcnnBoxCoder::default().encode([0.5; 4], [0.0, 0.0, 1.0, 1.0]);
        assert!(code.iter().all(|v| v.is_finite()));
    }

    proptest! {
        #[test]
        fn decode_undoes_encode(
            y in 0.0f32..0.5, x in 0.0f32..0.5, h in 0.05f32..0.5, w in 0.05f32..0.5,
            ya in 0.0f32..0.5, xa in 0.0f32..0.5, ha in 0.05f32..0.5, wa in 0.05f32..0.5,
        ) {
            let (bounds, anchor) = ([y, x, y + h, x + w], [ya, xa, ya + ha, xa + wa]);
            let coder = FasterRcnnBoxCoder::default();
            let back = coder.decode(coder.encode(bounds, anchor), anchor);
            for (a, b) in back.iter().zip(bounds) {
                prop_assert!((a - b).abs() < 1e-4);
            }
        }
    }
}
