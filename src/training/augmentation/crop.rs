//! Random crops: TFOD's `ssd_random_crop`, TensorFlow's `sample_distorted_bounding_box` under it, and crops to a shape.

use boxwright_core::geometry::{ImageSize, NormalizedBox};

use super::{AugmentedImage, Object, boxes};
use crate::draws::Draws;

/// A part of a picture, in whole pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CropWindow {
    /// First row.
    pub y: usize,
    /// First column.
    pub x: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl CropWindow {
    /// All of a picture of `size`.
    pub fn whole(size: ImageSize) -> Self {
        Self { y: 0, x: 0, height: size.height as usize, width: size.width as usize }
    }

    /// The window as fractions of a picture of `size`.
    pub fn normalize(&self, size: ImageSize) -> NormalizedBox {
        let (h, w) = (size.height as f32, size.width as f32);
        NormalizedBox::new(
            self.y as f32 / h,
            self.x as f32 / w,
            (self.y + self.height) as f32 / h,
            (self.x + self.width) as f32 / w,
        )
    }
}

/// One way to crop: the constraints on the window and on the boxes that survive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CropOperation {
    /// At least one object must be covered by the window to this part.
    pub min_object_covered: f32,
    /// Width over height, smallest and largest.
    pub aspect_ratio_range: (f32, f32),
    /// Area as part of the picture, smallest and largest.
    pub area_range: (f32, f32),
    /// A box survives if at least this part of it lies in the window.
    pub overlap_thresh: f32,
    /// Whether surviving boxes are cut at the window.
    pub clip_boxes: bool,
    /// How often the picture is left as it is, 0 to 1.
    pub random_coef: f32,
}

impl CropOperation {
    /// The seven operations of `ssd_random_crop` when the config names none.
    pub fn ssd_defaults() -> Vec<Self> {
        [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0]
            .map(|overlap| Self {
                min_object_covered: overlap,
                aspect_ratio_range: (0.5, 2.0),
                area_range: (0.1, 1.0),
                overlap_thresh: overlap,
                clip_boxes: true,
                random_coef: 0.15,
            })
            .to_vec()
    }

    /// Draws whether and where to crop, and crops.
    pub(super) fn apply(&self, image: &mut AugmentedImage<'_>, draws: &mut Draws) {
        if self.random_coef > f32::EPSILON && draws.uniform() <= f64::from(self.random_coef) {
            return;
        }
        let boxes: Vec<NormalizedBox> = image.objects.iter().map(|o| o.bounds.clip()).collect();
        let window = sample_distorted_bounding_box(image.size(), &boxes, self, draws);
        image.crop(window, self.overlap_thresh, self.clip_boxes);
    }
}

/// Cuts the largest part of a given shape out, anywhere (`random_crop_to_aspect_ratio`).
pub(super) fn crop_to_aspect_ratio(
    image: &mut AugmentedImage<'_>,
    aspect_ratio: f32,
    overlap_thresh: f32,
    clip_boxes: bool,
    draws: &mut Draws,
) {
    let (rows, columns) = image.rows_and_columns();
    if rows == 0 || columns == 0 {
        return;
    }
    let (h, w) = (rows as f32, columns as f32);
    let (mut height, mut width) = (rows, columns);
    if w / h < aspect_ratio {
        height = ((w / aspect_ratio).round_ties_even() as usize).clamp(1, rows);
    }
    if w / h > aspect_ratio {
        width = ((h * aspect_ratio).round_ties_even() as usize).clamp(1, columns);
    }
    let y = draws.below(rows - height + 1);
    let x = draws.below(columns - width + 1);
    image.crop(CropWindow { y, x, height, width }, overlap_thresh, clip_boxes);
    if clip_boxes {
        image.objects.retain(|object| object.bounds.area() > 0.0);
    }
}

/// How often a window is tried before the whole picture is taken (TensorFlow's `max_attempts`, as TFOD sets it).
const MAX_ATTEMPTS: usize = 100;

/// A random window that meets the constraints of `operation`, as TensorFlow's operation of that name
/// draws it: an aspect ratio, then a height between the smallest and the largest area, then a place;
/// the whole picture where no attempt succeeds. A picture without boxes counts as one box over all of it.
pub fn sample_distorted_bounding_box(
    size: ImageSize,
    boxes: &[NormalizedBox],
    operation: &CropOperation,
    draws: &mut Draws,
) -> CropWindow {
    let whole = [NormalizedBox::WHOLE];
    let boxes = if boxes.is_empty() { &whole[..] } else { boxes };
    let objects: Vec<[i64; 4]> = boxes.iter().map(|b| to_whole_pixels(b, size)).collect();
    let (low, high) = operation.aspect_ratio_range;
    for _ in 0..MAX_ATTEMPTS {
        let aspect_ratio = draws.range(f64::from(low), f64::from(high)) as f32;
        let Some(window) = random_window(size, operation.area_range, aspect_ratio, draws) else { continue };
        if covers_an_object(&window, operation.min_object_covered, &objects) {
            return window;
        }
    }
    CropWindow::whole(size)
}

/// `[ymin, xmin, ymax, xmax]` in pixels, cut to whole ones as the C++ kernel casts.
fn to_whole_pixels(b: &NormalizedBox, size: ImageSize) -> [i64; 4] {
    let (h, w) = (size.height as f32, size.width as f32);
    [(b.ymin * h) as i64, (b.xmin * w) as i64, (b.ymax * h) as i64, (b.xmax * w) as i64]
}

/// A window of the given aspect ratio and an area within the range, anywhere in the picture; `None`
/// where rounding leaves none.
fn random_window(size: ImageSize, area_range: (f32, f32), aspect_ratio: f32, draws: &mut Draws) -> Option<CropWindow> {
    let (width, height) = (i64::from(size.width), i64::from(size.height));
    if aspect_ratio <= 0.0 || width == 0 || height == 0 {
        return None;
    }
    let area = (width * height) as f32;
    let (min_area, max_area) = (area_range.0 * area, area_range.1 * area);
    let wide = |h: i64| (h as f32 * aspect_ratio).round_ties_even() as i64;

    let mut h = (min_area / aspect_ratio).sqrt().round_ties_even() as i64;
    let mut max_h = (max_area / aspect_ratio).sqrt().round_ties_even() as i64;
    if wide(max_h) > width {
        max_h = ((width as f32 + 0.5 - 1e-7) / aspect_ratio) as i64;
        if wide(max_h) > width {
            max_h -= 1;
        }
    }
    max_h = max_h.min(height);
    h = h.min(max_h);
    if h < max_h {
        h += draws.below((max_h - h + 1) as usize) as i64;
    }
    let mut w = wide(h);
    if ((w * h) as f32) < min_area {
        h += 1;
        w = wide(h);
    }
    if (w * h) as f32 > max_area {
        h -= 1;
        w = wide(h);
    }
    let got = (w * h) as f32;
    if got < min_area || got > max_area || w > width || h > height || w <= 0 || h <= 0 {
        return None;
    }
    let y = if h < height { draws.below((height - h) as usize) } else { 0 };
    let x = if w < width { draws.below((width - w) as usize) } else { 0 };
    Some(CropWindow { y, x, height: h as usize, width: w as usize })
}

/// Whether at least one object lies in the window to the part asked for.
fn covers_an_object(window: &CropWindow, min_object_covered: f32, objects: &[[i64; 4]]) -> bool {
    let (y0, x0) = (window.y as i64, window.x as i64);
    let (y1, x1) = (y0 + window.height as i64, x0 + window.width as i64);
    objects.iter().any(|&[ymin, xmin, ymax, xmax]| {
        let area = (ymax - ymin) * (xmax - xmin);
        let common = (ymax.min(y1) - ymin.max(y0)).max(0) * (xmax.min(x1) - xmin.max(x0)).max(0);
        area >= 1 && common as f32 / area as f32 >= min_object_covered
    })
}

/// The objects that survive a crop to `window`, in its coordinates: those outside go, those of which
/// less than `overlap_thresh` lies inside go, the rest are cut where `clip_boxes` says so
/// (`_strict_random_crop_image`).
pub fn crop_boxes(objects: &[Object], window: NormalizedBox, overlap_thresh: f32, clip_boxes: bool) -> Vec<Object> {
    objects
        .iter()
        .filter(|o| {
            !boxes::is_completely_outside(&o.bounds, &window) && boxes::overlaps(&o.bounds, &window, overlap_thresh)
        })
        .map(|o| {
            let moved = boxes::change_coordinate_frame(&o.bounds, &window);
            Object { bounds: if clip_boxes { moved.clip() } else { moved }, ..*o }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use boxwright_core::label_map::ClassIndex;

    fn operation(min_object_covered: f32) -> CropOperation {
        CropOperation { min_object_covered, ..CropOperation::ssd_defaults()[0] }
    }

    #[test]
    fn windows_keep_their_constraints() {
        let boxes = [NormalizedBox::new(0.2, 0.3, 0.6, 0.7)];
        let size = ImageSize::new(160, 100);
        let op = operation(0.7);
        let mut draws = Draws::new(1, 2, 3);
        for _ in 0..500 {
            let w = sample_distorted_bounding_box(size, &boxes, &op, &mut draws);
            assert!(w.x + w.width <= 160 && w.y + w.height <= 100 && w.width > 0 && w.height > 0);
            let share = (w.width * w.height) as f32 / 16_000.0;
            assert!((0.1..=1.0).contains(&share), "{w:?}");
            let part = w.normalize(size).intersection(&boxes[0]) / boxes[0].area();
            assert!(part >= 0.69, "{w:?} covers {part}");
        }
    }

    #[test]
    fn impossible_constraints_give_the_whole_picture() {
        let tiny_range = CropOperation { area_range: (0.9999, 0.99991), ..operation(0.0) };
        let w = sample_distorted_bounding_box(ImageSize::new(7, 5), &[], &tiny_range, &mut Draws::new(0, 0, 0));
        assert_eq!(w, CropWindow { y: 0, x: 0, height: 5, width: 7 });
    }

    #[test]
    fn boxes_are_kept_cut_and_moved_by_hand() {
        let object = |a: [f32; 4]| Object::new(NormalizedBox::from_array(a), ClassIndex(0));
        let objects = [object([0.0, 0.0, 0.5, 0.5]), object([0.25, 0.25, 0.75, 0.75]), object([0.5, 0.5, 1.0, 1.0])];
        let window = NormalizedBox::new(0.0, 0.0, 0.5, 0.5);
        let kept = crop_boxes(&objects, window, 0.0, true);
        assert_eq!(
            kept.iter().map(|o| o.bounds.to_array()).collect::<Vec<_>>(),
            [[0.0, 0.0, 1.0, 1.0], [0.5, 0.5, 1.0, 1.0]]
        );
        assert_eq!(crop_boxes(&objects, window, 0.3, true).len(), 1);
        assert_eq!(crop_boxes(&objects, window, 0.25, false)[1].bounds.to_array(), [0.5, 0.5, 1.5, 1.5]);
    }
}
