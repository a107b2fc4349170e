//! Steps that show another part of the image, or show it another way round.

use super::{AugmentationError, AugmentedImage, CropOperation, CropPadOperation, PadOperation, crop, happens, padding};
use crate::draws::Draws;

/// A flip, turn, crop or padding. Probabilities are 0 to 1.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of the config's messages, documented there")]
pub enum FrameStep {
    /// `random_horizontal_flip`.
    RandomHorizontalFlip { probability: f64 },
    /// `random_vertical_flip`.
    RandomVerticalFlip { probability: f64 },
    /// `random_rotation90`.
    RandomRotation90 { probability: f64 },
    /// `ssd_random_crop`: one of the operations, each as likely as the others. `random_crop_image`
    /// is the same with a single operation.
    RandomCrop { operations: Vec<CropOperation> },
    /// `random_pad_image`.
    RandomPadImage(PadOperation),
    /// `random_absolute_pad_image`: added rows and columns stay below the paddings.
    RandomAbsolutePadImage { max_padding: (usize, usize), pad_color: Option<[f32; 3]> },
    /// `ssd_random_crop_pad`; `random_crop_pad_image` is the same with a single operation.
    RandomCropPad { operations: Vec<CropPadOperation> },
    /// `random_crop_to_aspect_ratio`.
    RandomCropToAspectRatio { aspect_ratio: f32, overlap_thresh: f32, clip_boxes: bool },
    /// `ssd_random_crop_fixed_aspect_ratio`: a crop by one of the operations, then one to the shape.
    RandomCropFixedAspectRatio { operations: Vec<CropOperation>, aspect_ratio: f32 },
    /// `ssd_random_crop_pad_fixed_aspect_ratio`: a crop by one of the operations, then black up to the shape.
    RandomCropPadFixedAspectRatio {
        operations: Vec<CropOperation>,
        aspect_ratio: f32,
        min_padded_size_ratio: (f32, f32),
        max_padded_size_ratio: (f32, f32),
    },
}

impl FrameStep {
    pub(super) fn apply(&self, image: &mut AugmentedImage<'_>, draws: &mut Draws) -> Result<(), AugmentationError> {
        match self {
            Self::RandomHorizontalFlip { probability } => {
                if happens(draws.uniform(), *probability) {
                    image.flip_horizontal();
                }
            }
            Self::RandomVerticalFlip { probability } => {
                if happens(draws.uniform(), *probability) {
                    image.flip_vertical();
                }
            }
            Self::RandomRotation90 { probability } => {
                if happens(draws.uniform(), *probability) {
                    image.rotate_90();
                }
            }
            Self::RandomCrop { operations } => crop_by_one_of(operations, image, draws),
            Self::RandomCropToAspectRatio { aspect_ratio, overlap_thresh, clip_boxes } => {
                crop::crop_to_aspect_ratio(image, *aspect_ratio, *overlap_thresh, *clip_boxes, draws);
            }
            Self::RandomCropFixedAspectRatio { operations, aspect_ratio } => {
                crop_by_one_of(operations, image, draws);
                // TFOD gives this second crop its default threshold, and always clips.
                crop::crop_to_aspect_ratio(image, *aspect_ratio, 0.3, true, draws);
            }
            Self::RandomPadImage(operation) => operation.apply(image, draws)?,
            Self::RandomAbsolutePadImage { max_padding, pad_color } => {
                let (rows, columns) = image.rows_and_columns();
                let max_image_size = Some((rows + max_padding.0, columns + max_padding.1));
                PadOperation { min_image_size: None, max_image_size, pad_color: *pad_color }.apply(image, draws)?;
            }
            Self::RandomCropPad { operations } => {
                if let Some(operation) = operations.get(draws.below(operations.len())) {
                    operation.apply(image, draws)?;
                }
            }
            Self::RandomCropPadFixedAspectRatio {
                operations,
                aspect_ratio,
                min_padded_size_ratio,
                max_padded_size_ratio,
            } => {
                crop_by_one_of(operations, image, draws);
                let (min, max) = (*min_padded_size_ratio, *max_padded_size_ratio);
                padding::pad_to_aspect_ratio(image, *aspect_ratio, min, max, draws)?;
            }
        }
        Ok(())
    }
}

fn crop_by_one_of(operations: &[CropOperation], image: &mut AugmentedImage<'_>, draws: &mut Draws) {
    if let Some(operation) = operations.get(draws.below(operations.len())) {
        operation.apply(image, draws);
    }
}
