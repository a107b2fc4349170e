//! Boxes and the two coordinate systems they live in.
//!
//! A [`PixelBox`] is measured in pixels of the picture as a viewer shows it (EXIF orientation
//! applied), as `f64`, so that a division by the picture's size gives the same `f32` as TFOD's
//! dataset scripts, which divide in Python. A [`NormalizedBox`] is a fraction of the picture, as
//! `f32`, which is what records, tensors and detections hold. The two never mix by accident: only
//! [`PixelBox::normalize`] and [`NormalizedBox::to_pixels`] convert, and both ask for the size.
//!
//! The order is `ymin, xmin, ymax, xmax` everywhere, as in TFOD. Areas have no `+ 1`: a box from
//! 10 to 20 is 10 pixels wide.

use serde::{Deserialize, Serialize};

/// Width and height of a picture in pixels, as shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImageSize {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl ImageSize {
    /// A size of `width` × `height` pixels.
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// The whole picture as a box.
    pub fn bounds(self) -> PixelBox {
        PixelBox::new(0.0, 0.0, f64::from(self.height), f64::from(self.width))
    }
}

impl std::fmt::Display for ImageSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} × {}", self.width, self.height)
    }
}

/// A box in pixels of the shown picture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PixelBox {
    /// Upper edge.
    pub ymin: f64,
    /// Left edge.
    pub xmin: f64,
    /// Lower edge.
    pub ymax: f64,
    /// Right edge.
    pub xmax: f64,
}

impl PixelBox {
    /// A box from its four edges, in TFOD's order.
    pub const fn new(ymin: f64, xmin: f64, ymax: f64, xmax: f64) -> Self {
        Self { ymin, xmin, ymax, xmax }
    }

    /// The box spanned by two opposite corners, each `(x, y)`, in whatever order they were drawn.
    pub fn from_corners(a: (f64, f64), b: (f64, f64)) -> Self {
        Self::new(a.1.min(b.1), a.0.min(b.0), a.1.max(b.1), a.0.max(b.0))
    }

    /// `xmax - xmin`.
    pub fn width(&self) -> f64 {
        self.xmax - self.xmin
    }

    /// `ymax - ymin`.
    pub fn height(&self) -> f64 {
        self.ymax - self.ymin
    }

    /// Width times height; 0 for a degenerate box.
    pub fn area(&self) -> f64 {
        self.width().max(0.0) * self.height().max(0.0)
    }

    /// The middle, `(x, y)`.
    pub fn center(&self) -> (f64, f64) {
        ((self.xmin + self.xmax) / 2.0, (self.ymin + self.ymax) / 2.0)
    }

    /// Whether all edges are numbers and both sides are longer than 0.
    pub fn is_valid(&self) -> bool {
        [self.ymin, self.xmin, self.ymax, self.xmax].iter().all(|v| v.is_finite())
            && self.ymin < self.ymax
            && self.xmin < self.xmax
    }

    /// Whether the point `(x, y)` lies inside or on the edge.
    pub fn contains(&self, x: f64, y: f64) -> bool {
        x >= self.xmin && x <= self.xmax && y >= self.ymin && y <= self.ymax
    }

    /// The part inside a picture of `size`. It may be degenerate where the box lies outside.
    pub fn clip(&self, size: ImageSize) -> Self {
        let (h, w) = (f64::from(size.height), f64::from(size.width));
        Self::new(self.ymin.clamp(0.0, h), self.xmin.clamp(0.0, w), self.ymax.clamp(0.0, h), self.xmax.clamp(0.0, w))
    }

    /// Moved by `dx`, `dy` pixels.
    pub fn translate(&self, dx: f64, dy: f64) -> Self {
        Self::new(self.ymin + dy, self.xmin + dx, self.ymax + dy, self.xmax + dx)
    }

    /// The box as fractions of a picture of `size`.
    ///
    /// The division is done in `f64` and rounded once, as TFOD's `create_pascal_tf_record.py` does.
    pub fn normalize(&self, size: ImageSize) -> NormalizedBox {
        let (h, w) = (f64::from(size.height), f64::from(size.width));
        NormalizedBox::new(
            (self.ymin / h) as f32,
            (self.xmin / w) as f32,
            (self.ymax / h) as f32,
            (self.xmax / w) as f32,
        )
    }

    /// Intersection over union, 0 where the union is empty.
    pub fn iou(&self, other: &Self) -> f64 {
        let h = (self.ymax.min(other.ymax) - self.ymin.max(other.ymin)).max(0.0);
        let w = (self.xmax.min(other.xmax) - self.xmin.max(other.xmin)).max(0.0);
        let intersection = h * w;
        let union = self.area() + other.area() - intersection;
        if union > 0.0 { intersection / union } else { 0.0 }
    }
}

/// A box as fractions of the picture: 0 is the upper or left edge, 1 the lower or right one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NormalizedBox {
    /// Upper edge.
    pub ymin: f32,
    /// Left edge.
    pub xmin: f32,
    /// Lower edge.
    pub ymax: f32,
    /// Right edge.
    pub xmax: f32,
}

impl NormalizedBox {
    /// The whole picture.
    pub const WHOLE: Self = Self::new(0.0, 0.0, 1.0, 1.0);

    /// A box from its four edges, in TFOD's order.
    pub const fn new(ymin: f32, xmin: f32, ymax: f32, xmax: f32) -> Self {
        Self { ymin, xmin, ymax, xmax }
    }

    /// `[ymin, xmin, ymax, xmax]`, as in tensors.
    pub const fn to_array(self) -> [f32; 4] {
        [self.ymin, self.xmin, self.ymax, self.xmax]
    }

    /// From `[ymin, xmin, ymax, xmax]`.
    pub const fn from_array(a: [f32; 4]) -> Self {
        Self::new(a[0], a[1], a[2], a[3])
    }

    /// `xmax - xmin`.
    pub fn width(&self) -> f32 {
        self.xmax - self.xmin
    }

    /// `ymax - ymin`.
    pub fn height(&self) -> f32 {
        self.ymax - self.ymin
    }

    /// Width times height; 0 for a degenerate box.
    pub fn area(&self) -> f32 {
        self.width().max(0.0) * self.height().max(0.0)
    }

    /// Whether all edges are numbers and both sides are longer than 0.
    pub fn is_valid(&self) -> bool {
        self.to_array().iter().all(|v| v.is_finite()) && self.ymin < self.ymax && self.xmin < self.xmax
    }

    /// The part inside the unit square.
    pub fn clip(&self) -> Self {
        Self::from_array(self.to_array().map(|v| v.clamp(0.0, 1.0)))
    }

    /// Area of the common part.
    pub fn intersection(&self, other: &Self) -> f32 {
        let h = (self.ymax.min(other.ymax) - self.ymin.max(other.ymin)).max(0.0);
        let w = (self.xmax.min(other.xmax) - self.xmin.max(other.xmin)).max(0.0);
        h * w
    }

    /// Intersection over union, 0 where the intersection is empty (TFOD `box_list_ops.iou`).
    pub fn iou(&self, other: &Self) -> f32 {
        let intersection = self.intersection(other);
        if intersection == 0.0 {
            return 0.0;
        }
        intersection / (self.area() + other.area() - intersection)
    }

    /// The box in pixels of a picture of `size`.
    pub fn to_pixels(&self, size: ImageSize) -> PixelBox {
        let (h, w) = (f64::from(size.height), f64::from(size.width));
        PixelBox::new(
            f64::from(self.ymin) * h,
            f64::from(self.xmin) * w,
            f64::from(self.ymax) * h,
            f64::from(self.xmax) * w,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn iou_of_a_shifted_square_is_one_seventh() {
        let a = PixelBox::new(0.0, 0.0, 10.0, 10.0);
        let b = PixelBox::new(5.0, 5.0, 15.0, 15.0);
        // 25 in common, 100 + 100 - 25 together.
        assert_eq!(a.iou(&b), 25.0 / 175.0);
    }

    #[test]
    fn degenerate_boxes_have_no_area_and_no_overlap() {
        let flat = PixelBox::new(5.0, 5.0, 5.0, 9.0);
        assert!(!flat.is_valid());
        assert_eq!(flat.area(), 0.0);
        assert_eq!(flat.iou(&flat), 0.0);
        assert!(!PixelBox::new(f64::NAN, 0.0, 1.0, 1.0).is_valid());
    }

    #[test]
    fn normalizing_rounds_once() {
        let b = PixelBox::new(100.0, 1.0, 200.0, 300.0).normalize(ImageSize::new(300, 700));
        assert_eq!(b.ymin, (100.0f64 / 700.0) as f32);
        assert_eq!(b.xmax, 1.0);
    }

    proptest! {
        #[test]
        fn corners_in_any_order_span_the_same_box(x0 in 0.0..500.0f64, y0 in 0.0..500.0f64, x1 in 0.0..500.0f64, y1 in 0.0..500.0f64) {
            let b = PixelBox::from_corners((x0, y0), (x1, y1));
            prop_assert_eq!(b, PixelBox::from_corners((x1, y1), (x0, y0)));
            prop_assert!(b.width() >= 0.0 && b.height() >= 0.0);
        }

        #[test]
        fn iou_is_symmetric_and_within_bounds(a in arb_box(), b in arb_box()) {
            let iou = a.iou(&b);
            prop_assert_eq!(iou, b.iou(&a));
            prop_assert!((0.0..=1.0 + 1e-12).contains(&iou));
        }

        #[test]
        fn to_pixels_undoes_normalize(b in arb_box(), w in 1u32..5000, h in 1u32..5000) {
            let size = ImageSize::new(w, h);
            let back = b.normalize(size).to_pixels(size);
            prop_assert!((back.xmin - b.xmin).abs() <= 1e-4 && (back.ymax - b.ymax).abs() <= 1e-4);
        }
    }

    fn arb_box() -> impl Strategy<Value = PixelBox> {
        (0.0..500.0f64, 0.0..500.0f64, 0.1..400.0f64, 0.1..400.0f64)
            .prop_map(|(y, x, h, w)| PixelBox::new(y, x, y + h, x + w))
    }
}
