//! The box coder for things that are about square, like faces (TFOD's `square_box_coder`).
//!
//! A box is taken for the square of its area: with `l = √(h · w)` and `a` the anchor, `ty = (y − ya) / la`,
//! `tx = (x − xa) / la`, `tl = ln(l / la)`, each times its scale factor. Decoding gives squares.

use super::center_and_size;

/// Keeps the logarithm and the division finite for degenerate boxes and anchors.
const EPSILON: f32 = 1e-8;

/// Encodes boxes `[ymin, xmin, ymax, xmax]` as `[ty, tx, tl]` relative to anchors, and back to squares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SquareBoxCoder {
    /// What `ty, tx, tl` are multiplied by.
    pub scale_factors: [f32; 3],
}

impl Default for SquareBoxCoder {
    fn default() -> Self {
        Self { scale_factors: [10.0, 10.0, 5.0] }
    }
}

impl SquareBoxCoder {
    /// Numbers in a code.
    pub const CODE_SIZE: usize = 3;

    /// A box relative to an anchor.
    pub fn encode(&self, bounds: [f32; 4], anchor: [f32; 4]) -> [f32; 3] {
        let [y, x, h, w] = center_and_size(bounds);
        let [ya, xa, ha, wa] = center_and_size(anchor);
        let (l, la) = ((h * w).sqrt() + EPSILON, (ha * wa).sqrt() + EPSILON);
        let code = [(y - ya) / la, (x - xa) / la, (l / la).ln()];
        std::array::from_fn(|i| code[i] * self.scale_factors[i])
    }

    /// The square that a code stands for.
    pub fn decode(&self, code: [f32; 3], anchor: [f32; 4]) -> [f32; 4] {
        let [ya, xa, ha, wa] = center_and_size(anchor);
        let la = (ha * wa).sqrt();
        let [ty, tx, tl]: [f32; 3] = std::array::from_fn(|i| code[i] / self.scale_factors[i]);
        let half = tl.exp() * la / 2.0;
        let (y, x) = (ty * la + ya, tx * la + xa);
        [y - half, x - half, y + half, x + half]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn worked_by_hand() {
        let coder = SquareBoxCoder { scale_factors: [2.0, 3.0, 4.0] };
        // The anchor's centre is (10, 10) and its side 20; the box's (15, 5) and √(20 · 5) = 10.
        let code = coder.encode([5.0, 2.5, 25.0, 7.5], [0.0, 0.0, 20.0, 20.0]);
        for (value, wanted) in code.iter().zip([0.5, -0.75, -4.0 * 2f32.ln()]) {
            assert!((value - wanted).abs() < 1e-5, "{code:?}");
        }
        let square = coder.decode(code, [0.0, 0.0, 20.0, 20.0]);
        for (value, wanted) in square.iter().zip([10.0, 0.0, 20.0, 10.0]) {
            assert!((value - wanted).abs() < 1e-4, "{square:?}");
        }
    }

    proptest! {
        #[test]
        fn squares_come_back(y in 0.0f32..1.0, x in 0.0f32..1.0, side in 0.01f32..1.0, h in 0.05f32..1.0, w in 0.05f32..1.0) {
            let coder = SquareBoxCoder::default();
            let (bounds, anchor) = ([y, x, y + side, x + side], [0.2, 0.3, 0.2 + h, 0.3 + w]);
            let back = coder.decode(coder.encode(bounds, anchor), anchor);
            for (a, b) in back.iter().zip(bounds) {
                prop_assert!((a - b).abs() < 1e-4, "{:?} {:?}", back, bounds);
            }
        }
    }
}
