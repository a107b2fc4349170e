//! The small parts: box coder, matcher, similarity.

use boxwright_config::proto;

use super::{Built, number, refuse};
use crate::box_coders::{BoxCoder, FasterRcnnBoxCoder, MeanStddevBoxCoder, SquareBoxCoder};
use crate::matchers::{ArgMaxMatcher, GreedyBipartiteMatcher, Matcher, Thresholds};
use crate::region_similarity::RegionSimilarity;

/// The `box_coder` message.
///
/// # Errors
/// A coder that is not supported, or an impossible scale.
pub fn box_coder(config: &proto::BoxCoder) -> Built<BoxCoder> {
    use proto::box_coder::BoxCoderOneof as Kind;
    let scale = |value: f32, field: &str| number(value, f32::MIN_POSITIVE..=1e6, field);
    match &config.box_coder_oneof {
        Some(Kind::FasterRcnnBoxCoder(coder)) => Ok(BoxCoder::FasterRcnn(FasterRcnnBoxCoder {
            scale_factors: [
                scale(coder.y_scale(), "faster_rcnn_box_coder.y_scale")?,
                scale(coder.x_scale(), "faster_rcnn_box_coder.x_scale")?,
                scale(coder.height_scale(), "faster_rcnn_box_coder.height_scale")?,
                scale(coder.width_scale(), "faster_rcnn_box_coder.width_scale")?,
            ],
        })),
        Some(Kind::MeanStddevBoxCoder(coder)) => Ok(BoxCoder::MeanStddev(MeanStddevBoxCoder {
            stddev: scale(coder.stddev(), "mean_stddev_box_coder.stddev")?,
        })),
        Some(Kind::SquareBoxCoder(coder)) => Ok(BoxCoder::Square(SquareBoxCoder {
            scale_factors: [
                scale(coder.y_scale(), "square_box_coder.y_scale")?,
                scale(coder.x_scale(), "square_box_coder.x_scale")?,
                scale(coder.length_scale(), "square_box_coder.length_scale")?,
            ],
        })),
        Some(Kind::KeypointBoxCoder(_)) => {
            refuse("keypoint_box_coder", "codes keypoints, which are not supported; use faster_rcnn_box_coder")
        }
        None => refuse("", "names no coder; add faster_rcnn_box_coder { }"),
    }
}

/// The `matcher` message.
///
/// # Errors
/// A message that names no matcher, or thresholds that contradict each other.
pub fn matcher(config: &proto::Matcher) -> Built<Matcher> {
    use proto::matcher::MatcherOneof as Kind;
    match &config.matcher_oneof {
        Some(Kind::ArgmaxMatcher(argmax)) => {
            argmax_matcher(argmax).map(Matcher::ArgMax).map_err(|e| e.within("argmax_matcher"))
        }
        Some(Kind::BipartiteMatcher(_)) => Ok(Matcher::Bipartite(GreedyBipartiteMatcher)),
        None => refuse("", "names no matcher; add argmax_matcher { force_match_for_each_row: true }"),
    }
}

fn argmax_matcher(config: &proto::ArgMaxMatcher) -> Built<ArgMaxMatcher> {
    let (matched, unmatched) = (config.matched_threshold(), config.unmatched_threshold());
    if !config.ignore_thresholds() {
        if matched.is_nan() || unmatched.is_nan() || unmatched > matched {
            return refuse(
                "unmatched_threshold",
                format!("is {unmatched}; it may not exceed matched_threshold, which is {matched}"),
            );
        }
        if !config.negatives_lower_than_unmatched() && unmatched == matched {
            return refuse(
                "negatives_lower_than_unmatched",
                "is false, which needs an unmatched_threshold below matched_threshold",
            );
        }
    }
    Ok(ArgMaxMatcher {
        thresholds: (!config.ignore_thresholds()).then_some(Thresholds { matched, unmatched }),
        negatives_lower_than_unmatched: config.negatives_lower_than_unmatched(),
        force_match_for_each_row: config.force_match_for_each_row(),
    })
}

/// The `similarity_calculator` message.
///
/// # Errors
/// A message that names no similarity, or an impossible threshold.
pub fn region_similarity(config: &proto::RegionSimilarityCalculator) -> Built<RegionSimilarity> {
    use proto::region_similarity_calculator::RegionSimilarity as Kind;
    match &config.region_similarity {
        Some(Kind::IouSimilarity(_)) => Ok(RegionSimilarity::Iou),
        Some(Kind::IoaSimilarity(_)) => Ok(RegionSimilarity::Ioa),
        Some(Kind::NegSqDistSimilarity(_)) => Ok(RegionSimilarity::NegSqDist),
        Some(Kind::ThresholdedIouSimilarity(similarity)) => Ok(RegionSimilarity::ThresholdedIou {
            iou_threshold: number(similarity.iou_threshold(), 0.0..=1.0, "thresholded_iou_similarity.iou_threshold")?,
        }),
        None => refuse("", "names no similarity; add iou_similarity { }"),
    }
}
