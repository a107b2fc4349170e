//! What TFOD's `box_list_ops` does with boxes and windows, box by box.

use boxwright_core::geometry::NormalizedBox;

/// The part of a box inside a window. A box outside becomes one without area, on the window's edge.
pub fn clip_to_window(b: &NormalizedBox, window: &NormalizedBox) -> NormalizedBox {
    let y = |v: f32| v.min(window.ymax).max(window.ymin);
    let x = |v: f32| v.min(window.xmax).max(window.xmin);
    NormalizedBox::new(y(b.ymin), x(b.xmin), y(b.ymax), x(b.xmax))
}

/// Whether no part of the box lies in the window.
pub fn is_completely_outside(b: &NormalizedBox, window: &NormalizedBox) -> bool {
    b.ymin >= window.ymax || b.xmin >= window.xmax || b.ymax <= window.ymin || b.xmax <= window.xmin
}

/// Whether some part of the box lies outside of the window.
pub fn is_partly_outside(b: &NormalizedBox, window: &NormalizedBox) -> bool {
    b.ymin < window.ymin || b.xmin < window.xmin || b.ymax > window.ymax || b.xmax > window.xmax
}

/// Whether a side of the box is shorter than `min_side` (what `prune_small_boxes` leaves out).
pub fn is_smaller(b: &NormalizedBox, min_side: f32) -> bool {
    b.height() < min_side || b.width() < min_side
}

/// Whether at least `min_overlap` of the box's area lies in the window; never for a box without area.
pub fn overlaps(b: &NormalizedBox, window: &NormalizedBox, min_overlap: f32) -> bool {
    window.intersection(b) / b.area() >= min_overlap
}

/// The box in units of the window, whose upper left corner becomes the origin.
pub fn change_coordinate_frame(b: &NormalizedBox, window: &NormalizedBox) -> NormalizedBox {
    let (h, w) = (window.height(), window.width());
    NormalizedBox::new(
        (b.ymin - window.ymin) / h,
        (b.xmin - window.xmin) / w,
        (b.ymax - window.ymin) / h,
        (b.xmax - window.xmin) / w,
    )
}

/// The box in the picture with left and right exchanged.
pub fn flip_left_right(b: &NormalizedBox) -> NormalizedBox {
    NormalizedBox::new(b.ymin, 1.0 - b.xmax, b.ymax, 1.0 - b.xmin)
}

/// The box in the picture with up and down exchanged.
pub fn flip_up_down(b: &NormalizedBox) -> NormalizedBox {
    NormalizedBox::new(1.0 - b.ymax, b.xmin, 1.0 - b.ymin, b.xmax)
}

/// The box in the picture turned by a quarter, against the clock.
pub fn rot90(b: &NormalizedBox) -> NormalizedBox {
    NormalizedBox::new(1.0 - b.xmax, b.ymin, 1.0 - b.xmin, b.ymax)
}

#[cfg(test)]
mod tests {
    use super::*;

    const B: NormalizedBox = NormalizedBox::new(0.25, 0.5, 0.5, 0.875);

    #[test]
    fn turning_four_times_or_mirroring_twice_is_nothing() {
        let twice = |f: fn(&NormalizedBox) -> NormalizedBox| f(&f(&B));
        assert_eq!([twice(flip_left_right), twice(flip_up_down)], [B, B]);
        assert_eq!(rot90(&B), NormalizedBox::new(0.125, 0.25, 0.5, 0.5));
        assert_eq!(rot90(&rot90(&rot90(&rot90(&B)))), B);
    }

    #[test]
    fn windows_by_hand() {
        let window = NormalizedBox::new(0.0, 0.5, 0.375, 1.0);
        assert_eq!(clip_to_window(&B, &window), NormalizedBox::new(0.25, 0.5, 0.375, 0.875));
        assert!(overlaps(&B, &window, 0.5) && !overlaps(&B, &window, 0.51));
        assert!(is_partly_outside(&B, &window) && !is_completely_outside(&B, &window));
        let flat = NormalizedBox::new(0.25, 0.5, 0.25, 0.75);
        assert!(!overlaps(&flat, &window, 0.0));
        assert_eq!(
            change_coordinate_frame(&B, &NormalizedBox::new(0.0, 0.5, 0.5, 1.0)),
            NormalizedBox::new(0.5, 0.0, 1.0, 0.75)
        );
    }
}
