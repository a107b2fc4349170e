//! A training image on its way through the steps: pixels, what is seen of them, and the objects.

use std::borrow::Cow;

use boxwright_core::geometry::{ImageSize, NormalizedBox};
use boxwright_detection::image_resizer::{ImageResizer, Resized};
use boxwright_detection::resize::{ResizeMethod, resize};

use super::{CropWindow, Object, View, boxes};

/// The most pixels that a step may make, so that no config asks for all the memory there is.
const MAX_PIXELS: usize = 1 << 26;

/// Why an image cannot be augmented.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AugmentationError {
    /// A step would make too large a picture.
    #[error(
        "augmentation would work on {width} × {height} pixels, more than {MAX_PIXELS}; use smaller paddings and scales in data_augmentation_options, or smaller pictures"
    )]
    TooLarge {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
    },
    /// A picture cannot be compressed and read again.
    #[error("random_jpeg_quality: {0}")]
    Jpeg(String),
}

/// Pixels of a picture, as they were decoded or as a step has changed them.
#[derive(Clone, Debug, PartialEq)]
enum Pixels<'a> {
    Decoded(Cow<'a, [u8]>),
    Changed(Vec<f32>),
}

/// An image and its objects, as far as they have been augmented.
///
/// Cuts, mirrors and turns only move the view. The pixels stay the decoded bytes until a step
/// changes one; from then on they are `f32`, 0 to 255.
#[derive(Clone, Debug, PartialEq)]
pub struct AugmentedImage<'a> {
    pixels: Pixels<'a>,
    /// The size of what `pixels` holds.
    canvas: ImageSize,
    view: View,
    /// The objects, in fractions of what is seen.
    pub objects: Vec<Object>,
}

impl<'a> AugmentedImage<'a> {
    /// A decoded picture of interleaved RGB and the objects on it.
    ///
    /// # Panics
    /// If `rgb` does not hold the pixels of `size`.
    pub fn new(rgb: &'a [u8], size: ImageSize, objects: Vec<Object>) -> Self {
        assert_eq!(rgb.len(), size.width as usize * size.height as usize * 3, "{size} RGB pixels");
        Self { pixels: Pixels::Decoded(Cow::Borrowed(rgb)), canvas: size, view: View::whole(size), objects }
    }

    /// The size of what is seen.
    pub fn size(&self) -> ImageSize {
        self.view.size()
    }

    /// Rows and columns of what is seen.
    pub(super) fn rows_and_columns(&self) -> (usize, usize) {
        let size = self.size();
        (size.height as usize, size.width as usize)
    }

    /// Exchanges left and right.
    pub fn flip_horizontal(&mut self) {
        self.view.flip_horizontal();
        self.move_boxes(boxes::flip_left_right);
    }

    /// Exchanges up and down.
    pub fn flip_vertical(&mut self) {
        self.view.flip_vertical();
        self.move_boxes(boxes::flip_up_down);
    }

    /// Turns by a quarter, against the clock.
    pub fn rotate_90(&mut self) {
        self.view.rotate_90();
        self.move_boxes(boxes::rot90);
    }

    pub(super) fn move_boxes(&mut self, place: impl Fn(&NormalizedBox) -> NormalizedBox) {
        for object in &mut self.objects {
            object.bounds = place(&object.bounds);
        }
    }

    /// Keeps only `window`, given in pixels of what is seen, with the boxes that TFOD keeps.
    pub fn crop(&mut self, window: CropWindow, overlap_thresh: f32, clip_boxes: bool) {
        let frame = window.normalize(self.size());
        self.objects = super::crop_boxes(&self.objects, frame, overlap_thresh, clip_boxes);
        self.view.cut(window);
    }

    /// Keeps only the pixels of `window`; the boxes are the caller's.
    pub(super) fn cut_pixels(&mut self, window: CropWindow) {
        self.view.cut(window);
    }

    /// What is seen, as bytes; values that a step has changed are cut to whole ones.
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.pixels {
            Pixels::Decoded(rgb) => self.view.read(rgb, self.canvas),
            Pixels::Changed(rgb) => self.view.read(rgb, self.canvas).into_iter().map(|v| v as u8).collect(),
        }
    }

    /// What is seen, as numbers.
    pub fn to_floats(&self) -> Vec<f32> {
        match &self.pixels {
            Pixels::Decoded(rgb) => self.view.read(rgb, self.canvas).into_iter().map(f32::from).collect(),
            Pixels::Changed(rgb) => self.view.read(rgb, self.canvas),
        }
    }

    /// The pixels that are seen, to be changed.
    pub(super) fn values_mut(&mut self) -> Result<&mut [f32], AugmentationError> {
        if !(matches!(self.pixels, Pixels::Changed(_)) && self.is_whole()) {
            let (height, width) = self.rows_and_columns();
            check_room(height, width)?;
            self.set_values(self.to_floats(), self.size());
        }
        match &mut self.pixels {
            Pixels::Changed(rgb) => Ok(rgb),
            Pixels::Decoded(_) => Ok(&mut []),
        }
    }

    /// Replaces the picture.
    pub(super) fn set_values(&mut self, rgb: Vec<f32>, size: ImageSize) {
        self.pixels = Pixels::Changed(rgb);
        self.canvas = size;
        self.view = View::whole(size);
    }

    /// Replaces the picture by one of the same size.
    pub(super) fn set_bytes(&mut self, rgb: Vec<u8>, size: ImageSize) {
        self.pixels = Pixels::Decoded(Cow::Owned(rgb));
        self.canvas = size;
        self.view = View::whole(size);
    }

    fn is_whole(&self) -> bool {
        self.view == View::whole(self.canvas)
    }

    /// Resizes to `height` × `width`, at least one pixel each. Boxes are fractions and stay as they are.
    pub(super) fn resize_to(
        &mut self,
        (height, width): (usize, usize),
        method: ResizeMethod,
        align_corners: bool,
    ) -> Result<(), AugmentationError> {
        let (from, to) = (self.rows_and_columns(), (height.max(1), width.max(1)));
        check_room(to.0, to.1)?;
        let resized = match &self.pixels {
            Pixels::Decoded(rgb) => resize(&self.seen(rgb), from, to, method, align_corners),
            Pixels::Changed(rgb) => resize(&self.seen(rgb), from, to, method, align_corners),
        };
        self.set_values(resized, ImageSize::new(to.1 as u32, to.0 as u32));
        Ok(())
    }

    fn seen<'p, T: Copy>(&self, rgb: &'p [T]) -> Cow<'p, [T]> {
        if self.is_whole() { Cow::Borrowed(rgb) } else { Cow::Owned(self.view.read(rgb, self.canvas)) }
    }

    /// Puts what is seen on a canvas of `height` × `width` in one colour, its upper left corner at
    /// `at` (row, column), which may lie outside; what does not fit is cut off. The boxes are the caller's.
    pub(super) fn place_on_canvas(
        &mut self,
        (height, width): (usize, usize),
        at: (i64, i64),
        colour: [f32; 3],
    ) -> Result<(), AugmentationError> {
        check_room(height, width)?;
        let own = self.size();
        let pixels = self.to_floats();
        let mut canvas: Vec<f32> = colour.iter().copied().cycle().take(height * width * 3).collect();
        // The columns of the picture that fall on the canvas.
        let begin = (-at.1).clamp(0, i64::from(own.width));
        let end = (width as i64 - at.1).clamp(begin, i64::from(own.width));
        if begin < end {
            let count = (end - begin) as usize * 3;
            for (row, line) in (at.0..).zip(pixels.chunks_exact(own.width as usize * 3)) {
                if (0..height as i64).contains(&row) {
                    let to = (row as usize * width + (at.1 + begin) as usize) * 3;
                    canvas[to..to + count].copy_from_slice(&line[begin as usize * 3..][..count]);
                }
            }
        }
        self.set_values(canvas, ImageSize::new(width as u32, height as u32));
        Ok(())
    }

    /// The mean colour of what is seen; black where there is nothing.
    pub(super) fn mean_colour(&self) -> [f32; 3] {
        let mut sums = [0.0f64; 3];
        let (height, width) = self.rows_and_columns();
        for pixel in self.to_floats().chunks_exact(3) {
            for (sum, &value) in sums.iter_mut().zip(pixel) {
                *sum += f64::from(value);
            }
        }
        sums.map(|sum| (sum / (height * width).max(1) as f64) as f32)
    }

    /// The picture as a model takes it, and the objects on it.
    pub fn finish(self, resizer: &ImageResizer) -> (Resized, Vec<Object>) {
        let (height, width) = self.rows_and_columns();
        let resized = match &self.pixels {
            Pixels::Decoded(rgb) => resizer.resize(&self.seen(rgb), height, width),
            Pixels::Changed(rgb) => resizer.resize(&self.seen(rgb), height, width),
        };
        let mut objects = self.objects;
        for object in &mut objects {
            object.bounds = resized.to_frame(object.bounds);
        }
        (resized, objects)
    }
}

/// Whether a picture of that size may be made.
pub(super) fn check_room(height: usize, width: usize) -> Result<(), AugmentationError> {
    if height.checked_mul(width).is_some_and(|pixels| pixels <= MAX_PIXELS) {
        return Ok(());
    }
    Err(AugmentationError::TooLarge { width, height })
}
