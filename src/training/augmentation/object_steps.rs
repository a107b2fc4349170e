//! Steps that change boxes and classes alone.

use boxwright_core::label_map::ClassIndex;

use super::AugmentedImage;
use super::jitter::{JitterMode, jitter};
use crate::draws::Draws;

/// A change of the objects. Probabilities are 0 to 1.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of the config's messages, documented there")]
pub enum ObjectStep {
    /// `random_jitter_boxes`.
    RandomJitterBoxes { ratio: f32, mode: JitterMode },
    /// `drop_label_probabilistically`.
    DropLabelProbabilistically { class: ClassIndex, probability: f64 },
    /// `remap_labels`.
    RemapLabels { original: Vec<ClassIndex>, new: ClassIndex },
}

impl ObjectStep {
    pub(super) fn apply(&self, image: &mut AugmentedImage<'_>, draws: &mut Draws) {
        match self {
            Self::RandomJitterBoxes { ratio, mode } => {
                for object in &mut image.objects {
                    object.bounds = jitter(&object.bounds, *ratio, *mode, draws);
                }
            }
            Self::DropLabelProbabilistically { class, probability } => {
                image.objects.retain(|object| draws.uniform() > *probability || object.class != *class);
            }
            Self::RemapLabels { original, new } => {
                for object in image.objects.iter_mut().filter(|object| original.contains(&object.class)) {
                    object.class = *new;
                }
            }
        }
    }
}
