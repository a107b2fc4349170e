//! Pictures of an evaluation for TensorBoard: what was found on the left, what is there on the right (TFOD's
//! `Detections_Left_Groundtruth_Right`).
//!
//! This room cannot draw; whoever starts the run lends it the hand ([`DrawBoxes`]).

use boxwright_config::proto;
use boxwright_core::Detection;
use boxwright_core::geometry::ImageSize;
use boxwright_core::label_map::LabelMap;
use boxwright_core::run::RunDetections;
use boxwright_formats::event_file::EventImage;
use boxwright_formats::picture::{self, Picture};

use crate::evaluate::EvaluationData;

/// The tag of the pictures.
pub(crate) const TAG: &str = "Detections_Left_Groundtruth_Right";

/// The longer side that pictures are shrunk to, and the quality of the JPEG.
const MAX_SIDE: u32 = 640;
const QUALITY: u8 = 85;

/// Draws boxes on a picture.
pub type DrawBoxes = fn(&Picture, &[Detection], &LabelMap, BoxWords) -> Picture;

/// What is written beside a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoxWords {
    /// The class.
    pub label: bool,
    /// The score.
    pub score: bool,
}

/// What `eval_config` says of pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PictureSettings {
    /// `num_visualizations`.
    pub most: usize,
    /// `max_num_boxes_to_visualize`.
    pub boxes: usize,
    /// `min_score_threshold`.
    pub min_score: f32,
    /// `skip_labels` and `skip_scores`.
    pub words: BoxWords,
}

impl PictureSettings {
    /// From the config; TFOD's values where it says nothing.
    pub fn from_config(config: &proto::TrainEvalPipelineConfig) -> Self {
        let eval = config.eval_config.clone().unwrap_or_default();
        Self {
            most: eval.num_visualizations() as usize,
            boxes: usize::try_from(eval.max_num_boxes_to_visualize()).unwrap_or(0),
            min_score: eval.min_score_threshold(),
            words: BoxWords { label: !eval.skip_labels(), score: !eval.skip_scores() },
        }
    }
}

/// The first pictures of an evaluation with what was found and what is there.
pub(crate) fn pictures(data: &EvaluationData, found: &RunDetections, draw: DrawBoxes) -> Vec<EventImage> {
    let shown = |(index, image): (usize, &boxwright_core::run::ImageDetections)| {
        let example = data.example(index).ok()?;
        let whole = Picture { size: example.size, rgb: example.rgb.to_vec() };
        let small = picture::thumbnail(&whole, MAX_SIDE);
        let settings = &data.pictures;
        let best = image.detections.iter().filter(|d| d.score >= settings.min_score).take(settings.boxes);
        let there = example.objects.iter().filter_map(|object| {
            let label = LabelMap::label_id(object.class)?;
            Some(Detection { label, score: 1.0, bounds: object.bounds })
        });
        let left = draw(&small, &best.cloned().collect::<Vec<_>>(), data.labels(), settings.words);
        let words = BoxWords { score: false, ..settings.words };
        let right = draw(&small, &there.collect::<Vec<_>>(), data.labels(), words);
        let both = beside(&left, &right)?;
        // A picture that cannot be shown is no reason not to measure.
        let encoded = picture::encode_jpeg(&both, QUALITY).ok()?;
        Some(EventImage { width: both.size.width, height: both.size.height, encoded })
    };
    found.images.iter().enumerate().take(data.pictures.most).filter_map(shown).collect()
}

/// Two pictures of the same size in one.
fn beside(left: &Picture, right: &Picture) -> Option<Picture> {
    let row = left.size.width as usize * 3;
    let size = ImageSize::new(left.size.width.checked_mul(2)?, left.size.height);
    let rows = left.rgb.chunks_exact(row).zip(right.rgb.chunks_exact(row));
    (left.size == right.size)
        .then(|| Picture { size, rgb: rows.flat_map(|(l, r)| [l, r]).flatten().copied().collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_beside_rows() {
        let picture = |value: u8| Picture { size: ImageSize::new(1, 2), rgb: (value..value + 6).collect() };
        let both = beside(&picture(0), &picture(10)).expect("the same size");
        assert_eq!(both.size, ImageSize::new(2, 2));
        assert_eq!(both.rgb, [0, 1, 2, 10, 11, 12, 3, 4, 5, 13, 14, 15]);
        assert!(beside(&picture(0), &Picture { size: ImageSize::new(2, 1), rgb: vec![0; 6] }).is_none());
    }

    #[test]
    fn the_config_says_how_many_and_which() {
        let mut config = proto::TrainEvalPipelineConfig::default();
        let words = BoxWords { label: true, score: true };
        assert_eq!(
            PictureSettings::from_config(&config),
            PictureSettings { most: 10, boxes: 20, min_score: 0.5, words }
        );
        let eval = proto::EvalConfig { num_visualizations: Some(2), skip_scores: Some(true), ..Default::default() };
        config.eval_config = Some(eval);
        let settings = PictureSettings::from_config(&config);
        assert_eq!((settings.most, settings.words), (2, BoxWords { label: true, score: false }));
    }
}
