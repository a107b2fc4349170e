//! Augmentation in TFOD's terms (`core/preprocessor.py`): each step of the config changes the
//! picture and its boxes together.
//!
//! An [`AugmentedImage`] goes through the [`AugmentationStep`]s in their order. Cuts, mirrors and turns only
//! move the [`View`] and the boxes, so that a config of flips and crops, which is what most are, reads
//! each pixel once; the first step that changes values turns the pixels into `f32`. Everything random comes
//! from the [`Draws`] of the image's place in the run.

pub mod boxes;
pub mod colour;
mod colour_steps;
mod crop;
mod frame_steps;
mod image;
mod jitter;
mod object_steps;
mod padding;
mod patches;
mod scaling;
mod view;

use boxwright_core::annotation::BoxFlags;
use boxwright_core::geometry::NormalizedBox;
use boxwright_core::label_map::ClassIndex;
pub use colour_steps::{ColorOrdering, ColourStep};
pub use crop::{CropOperation, CropWindow, crop_boxes, sample_distorted_bounding_box};
pub use frame_steps::FrameStep;
pub use image::{AugmentationError, AugmentedImage};
pub use jitter::JitterMode;
pub use object_steps::ObjectStep;
pub use padding::{CropPadOperation, PadOperation};
pub use patches::{BlackPatches, PatchGaussian};
pub use scaling::{ScaleCropPad, SizeStep, SquareCrop, scale_image};
pub use view::View;

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
    /// Difficult, group: what evaluation wants to know.
    pub flags: BoxFlags,
}

impl Object {
    /// An object of weight 1 about which nothing else is said.
    pub fn new(bounds: NormalizedBox, class: ClassIndex) -> Self {
        Self { bounds, class, weight: 1.0, flags: BoxFlags::default() }
    }
}

/// One step of `data_augmentation_options`.
#[derive(Clone, Debug, PartialEq)]
pub enum AugmentationStep {
    /// Another part of the image, or another way round.
    Frame(FrameStep),
    /// Another size.
    Size(SizeStep),
    /// Other values.
    Colour(ColourStep),
    /// Other boxes or classes.
    Objects(ObjectStep),
}

impl AugmentationStep {
    /// Draws and carries out the step.
    ///
    /// # Errors
    /// The step would make too large a picture, or a picture that JPEG cannot hold.
    pub fn apply(&self, image: &mut AugmentedImage<'_>, draws: &mut Draws) -> Result<(), AugmentationError> {
        match self {
            Self::Frame(step) => step.apply(image, draws),
            Self::Size(step) => step.apply(image, draws),
            Self::Colour(step) => step.apply(image, draws),
            Self::Objects(step) => {
                step.apply(image, draws);
                Ok(())
            }
        }
    }
}

impl From<FrameStep> for AugmentationStep {
    fn from(step: FrameStep) -> Self {
        Self::Frame(step)
    }
}

impl From<SizeStep> for AugmentationStep {
    fn from(step: SizeStep) -> Self {
        Self::Size(step)
    }
}

impl From<ColourStep> for AugmentationStep {
    fn from(step: ColourStep) -> Self {
        Self::Colour(step)
    }
}

impl From<ObjectStep> for AugmentationStep {
    fn from(step: ObjectStep) -> Self {
        Self::Objects(step)
    }
}

/// Whether something of this probability happens: when the draw, from 0 to 1, lies below it.
pub fn happens(draw: f64, probability: f64) -> bool {
    draw < probability
}
