//! `random_jitter_boxes`: edges that move a little, as a second annotator would have drawn them.

use boxwright_core::geometry::NormalizedBox;

use crate::draws::Draws;

/// Which way edges move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JitterMode {
    /// Each edge on its own, either way.
    #[default]
    Default,
    /// Each edge on its own, outwards.
    Expand,
    /// Each edge on its own, inwards.
    Shrink,
    /// Outwards around the same centre, height and width each by its own factor.
    ExpandSymmetric,
    /// Inwards around the same centre, height and width each by its own factor.
    ShrinkSymmetric,
    /// Outwards around the same centre, height and width by one factor.
    ExpandSymmetricXy,
    /// Inwards around the same centre, height and width by one factor.
    ShrinkSymmetricXy,
}

/// Moves the edges of a box by up to `ratio`, 0 to 1, of half its sides, and cuts it at the picture.
pub(super) fn jitter(b: &NormalizedBox, ratio: f32, mode: JitterMode, draws: &mut Draws) -> NormalizedBox {
    let (low, high) = match mode {
        JitterMode::Default => (-ratio, ratio),
        JitterMode::Expand | JitterMode::ExpandSymmetric | JitterMode::ExpandSymmetricXy => (0.0, ratio),
        JitterMode::Shrink | JitterMode::ShrinkSymmetric | JitterMode::ShrinkSymmetricXy => (-ratio, 0.0),
    };
    let mut factor = || 1.0 + draws.range(f64::from(low), f64::from(high)) as f32;
    let (y, x) = (b.ymin + b.height() / 2.0, b.xmin + b.width() / 2.0);
    let (h, w) = (b.height().abs().max(1e-6), b.width().abs().max(1e-6));
    let [top, left, bottom, right] = match mode {
        JitterMode::Default | JitterMode::Expand | JitterMode::Shrink => [factor(), factor(), factor(), factor()],
        _ => {
            let drawn = [factor(), factor()];
            // A box that would leave the picture on one side is held back on the other side too.
            let most = |center: f32, side: f32| (2.0 * center / side).min(2.0 * (1.0 - center) / side).abs();
            let (mut high, mut wide) = (most(y, h), most(x, w));
            let mut factors = drawn;
            if matches!(mode, JitterMode::ExpandSymmetricXy | JitterMode::ShrinkSymmetricXy) {
                high = high.min(wide);
                wide = high;
                factors[1] = drawn[0];
            }
            let (vertical, horizontal) = (factors[0].clamp(-high, high), factors[1].clamp(-wide, wide));
            [vertical, horizontal, vertical, horizontal]
        }
    };
    let jittered = NormalizedBox::new(y - h * top / 2.0, x - w * left / 2.0, y + h * bottom / 2.0, x + w * right / 2.0);
    jittered.clip()
}

#[cfg(test)]
mod tests {
    use super::*;

    const B: NormalizedBox = NormalizedBox::new(0.2, 0.4, 0.6, 0.6);

    fn jittered(mode: JitterMode) -> Vec<NormalizedBox> {
        let mut draws = Draws::new(1, 1, 1);
        (0..200).map(|_| jitter(&B, 0.5, mode, &mut draws)).collect()
    }

    #[test]
    fn edges_move_the_way_and_as_far_as_they_may() {
        let contains = |a: &NormalizedBox, b: &NormalizedBox| {
            a.ymin <= b.ymin + 1e-6 && a.xmin <= b.xmin + 1e-6 && a.ymax >= b.ymax - 1e-6 && a.xmax >= b.xmax - 1e-6
        };
        for b in jittered(JitterMode::Expand) {
            assert!(contains(&b, &B), "{b:?}");
        }
        for b in jittered(JitterMode::Shrink) {
            assert!(contains(&B, &b), "{b:?}");
        }
        for b in jittered(JitterMode::Default) {
            // Half of the height is 0.2, and half of that may be the move.
            assert!((b.ymin - 0.2).abs() <= 0.1 + 1e-6 && (b.xmax - 0.6).abs() <= 0.05 + 1e-6, "{b:?}");
        }
        assert!(jittered(JitterMode::Default).iter().any(|b| b.ymin < 0.13));
    }

    #[test]
    fn symmetric_modes_keep_the_centre_and_the_last_ones_the_shape() {
        let modes = [
            JitterMode::ExpandSymmetric,
            JitterMode::ShrinkSymmetric,
            JitterMode::ExpandSymmetricXy,
            JitterMode::ShrinkSymmetricXy,
        ];
        for (i, mode) in modes.into_iter().enumerate() {
            for b in jittered(mode) {
                assert!((b.ymin + b.ymax - 0.8).abs() < 1e-5 && (b.xmin + b.xmax - 1.0).abs() < 1e-5, "{mode:?} {b:?}");
                assert!(i < 2 || (b.height() / b.width() - 2.0).abs() < 1e-4, "{mode:?} {b:?}");
            }
        }
    }
}
