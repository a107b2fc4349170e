//! Augmentation in TFOD's terms (`core/preprocessor.py`): each step of the config changes the
//! picture and its boxes together.
//!
//! The steps of this room only flip and crop, and a chain of those is always one window of the
//! original, mirrored or not. So a [`View`] carries the window and the mirrors, the boxes move
//! exactly, and the pixels are read once, at the end.

mod crop;

use boxwright_core::geometry::{ImageSize, NormalizedBox};
use boxwright_core::label_map::ClassIndex;
pub use crop::{CropOperation, CropWindow, crop_boxes, sample_distorted_bounding_box};

use crate::draws::Draws;

/// One object of an example.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Object {
    /// Its place in the view.
    pub bounds: NormalizedBox,
    /// Its class.
    pub class: ClassIndex,
    /// Its weight in the loss.
    pub weight: f32,
}

/// A picture as far as it has been augmented: which part of the original is seen, whether mirrored.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The part of the original, in its pixels.
    pub window: CropWindow,
    /// Whether left and right are exchanged, after cropping.
    pub mirrored_horizontally: bool,
    /// Whether up and down are exchanged, after cropping.
    pub mirrored_vertically: bool,
    /// The objects, in fractions of the view.
    pub objects: Vec<Object>,
}

impl View {
    /// The whole picture.
    pub fn whole(size: ImageSize, objects: Vec<Object>) -> Self {
        Self {
            window: CropWindow { y: 0, x: 0, height: size.height as usize, width: size.width as usize },
            mirrored_horizontally: false,
            mirrored_vertically: false,
            objects,
        }
    }

    /// Exchanges left and right (`random_horizontal_flip` when it draws a flip).
    pub fn flip_horizontal(&mut self) {
        self.mirrored_horizontally = !self.mirrored_horizontally;
        for object in &mut self.objects {
            let b = object.bounds;
            object.bounds = NormalizedBox::new(b.ymin, 1.0 - b.xmax, b.ymax, 1.0 - b.xmin);
        }
    }

    /// Exchanges up and down (`random_vertical_flip` when it draws a flip).
    pub fn flip_vertical(&mut self) {
        self.mirrored_vertically = !self.mirrored_vertically;
        for object in &mut self.objects {
            let b = object.bounds;
            object.bounds = NormalizedBox::new(1.0 - b.ymax, b.xmin, 1.0 - b.ymin, b.xmax);
        }
    }

    /// Keeps only `window`, given in pixels of this view, with the boxes that TFOD keeps.
    pub fn crop(&mut self, window: CropWindow, overlap_thresh: f32, clip_boxes: bool) {
        let size = self.size();
        self.objects = crop_boxes(&self.objects, window.normalize(size), overlap_thresh, clip_boxes);
        let y = if self.mirrored_vertically { self.window.height - window.y - window.height } else { window.y };
        let x = if self.mirrored_horizontally { self.window.width - window.x - window.width } else { window.x };
        self.window =
            CropWindow { y: self.window.y + y, x: self.window.x + x, height: window.height, width: window.width };
    }

    /// The size of what is seen, in pixels.
    pub fn size(&self) -> ImageSize {
        ImageSize::new(self.window.width as u32, self.window.height as u32)
    }

    /// The pixels of the view, height × width × RGB, read from the original's.
    pub fn pixels(&self, rgb: &[u8], original: ImageSize) -> Vec<u8> {
        let w = &self.window;
        let stride = original.width as usize * 3;
        let mut out = Vec::with_capacity(w.height * w.width * 3);
        for row in 0..w.height {
            let y = w.y + if self.mirrored_vertically { w.height - 1 - row } else { row };
            let line = &rgb[y * stride + w.x * 3..][..w.width * 3];
            if self.mirrored_horizontally {
                out.extend(line.chunks_exact(3).rev().flatten());
            } else {
                out.extend_from_slice(line);
            }
        }
        out
    }
}

/// One step of `data_augmentation_options`.
#[derive(Clone, Debug, PartialEq)]
pub enum AugmentationStep {
    /// `random_horizontal_flip`.
    RandomHorizontalFlip {
        /// How often, 0 to 1.
        probability: f64,
    },
    /// `random_vertical_flip`.
    RandomVerticalFlip {
        /// How often, 0 to 1.
        probability: f64,
    },
    /// `ssd_random_crop`: one of the operations, each as likely as the others. `random_crop_image`
    /// is the same with a single operation.
    RandomCrop {
        /// The operations; not empty.
        operations: Vec<CropOperation>,
    },
}

impl AugmentationStep {
    /// Draws and carries out the step.
    pub fn apply(&self, view: &mut View, draws: &mut Draws) {
        match self {
            // TFOD flips when its draw lies above one half, whatever the probability's side of the
            // comparison; here a flip happens with the probability asked for.
            Self::RandomHorizontalFlip { probability } => {
                if draws.uniform() < *probability {
                    view.flip_horizontal();
                }
            }
            Self::RandomVerticalFlip { probability } => {
                if draws.uniform() < *probability {
                    view.flip_vertical();
                }
            }
            Self::RandomCrop { operations } => {
                let Some(operation) = operations.get(draws.below(operations.len())) else { return };
                operation.apply(view, draws);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(ymin: f32, xmin: f32, ymax: f32, xmax: f32) -> Object {
        Object { bounds: NormalizedBox::new(ymin, xmin, ymax, xmax), class: ClassIndex(0), weight: 1.0 }
    }

    /// A picture of 4 × 2 pixels whose red channel counts the pixels.
    fn counting() -> (Vec<u8>, ImageSize) {
        ((0..8u8).flat_map(|i| [i, 100, 200]).collect(), ImageSize::new(4, 2))
    }

    fn reds(view: &View) -> Vec<u8> {
        let (rgb, size) = counting();
        view.pixels(&rgb, size).chunks(3).map(|p| p[0]).collect()
    }

    #[test]
    fn flips_move_boxes_and_pixels_together() {
        let mut view = View::whole(counting().1, vec![object(0.0, 0.0, 0.5, 0.25)]);
        view.flip_horizontal();
        assert_eq!(view.objects[0].bounds, NormalizedBox::new(0.0, 0.75, 0.5, 1.0));
        assert_eq!(reds(&view), [3, 2, 1, 0, 7, 6, 5, 4]);
        view.flip_vertical();
        assert_eq!(view.objects[0].bounds, NormalizedBox::new(0.5, 0.75, 1.0, 1.0));
        assert_eq!(reds(&view)[7], 0);
    }

    #[test]
    fn a_crop_after_a_flip_cuts_the_mirrored_side() {
        let mut view = View::whole(counting().1, vec![object(0.0, 0.0, 1.0, 0.5)]);
        view.flip_horizontal();
        view.crop(CropWindow { y: 0, x: 0, height: 2, width: 2 }, 0.0, true);
        // The mirrored picture's left half is 3 2 / 7 6; the box was moved to its right half and is gone.
        assert_eq!(reds(&view), [3, 2, 7, 6]);
        assert!(view.objects.is_empty());
        view.crop(CropWindow { y: 1, x: 1, height: 1, width: 1 }, 0.0, true);
        assert_eq!(reds(&view), [6]);
    }
}
