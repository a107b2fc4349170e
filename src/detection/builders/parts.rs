//! The small parts: anchors, box coder, matcher, similarity.

use boxwright_config::proto;

use super::{Built, number, refuse, size};
use crate::anchor_generators::{MultipleGridAnchorGenerator, SsdAnchorSettings, create_ssd_anchors};
use crate::box_coders::FasterRcnnBoxCoder;
use crate::matchers::{ArgMaxMatcher, Thresholds};
use crate::region_similarity::RegionSimilarity;

/// The `anchor_generator` message.
///
/// # Errors
/// A generator that is not supported, or lists that do not have one entry for each layer.
pub fn anchor_generator(config: &proto::AnchorGenerator) -> Built<MultipleGridAnchorGenerator> {
    use proto::anchor_generator::AnchorGeneratorOneof as Kind;
    match &config.anchor_generator_oneof {
        Some(Kind::SsdAnchorGenerator(ssd)) => {
            ssd_anchors(ssd).map(create_ssd_anchors).map_err(|e| e.within("ssd_anchor_generator"))
        }
        Some(Kind::GridAnchorGenerator(_)) => {
            refuse("grid_anchor_generator", "is for Faster R-CNN; use ssd_anchor_generator")
        }
        Some(Kind::MultiscaleAnchorGenerator(_)) => {
            refuse("multiscale_anchor_generator", "is not supported; use ssd_anchor_generator")
        }
        Some(Kind::FlexibleGridAnchorGenerator(_)) => {
            refuse("flexible_grid_anchor_generator", "is not supported; use ssd_anchor_generator")
        }
        None => refuse("", "names no generator; add ssd_anchor_generator { … }"),
    }
}

fn ssd_anchors(config: &proto::SsdAnchorGenerator) -> Built<SsdAnchorSettings> {
    let num_layers = size(config.num_layers(), 1..=64, "num_layers")?;
    if config.scales.is_empty() && num_layers == 1 {
        return refuse("num_layers", "is 1, which leaves no step from min_scale to max_scale; give scales: [0.2]");
    }
    let positive = |value: f32, field: &str| number(value, f32::MIN_POSITIVE..=1e3, field);
    for &ratio in &config.aspect_ratios {
        positive(ratio, "aspect_ratios")?;
    }
    for &scale in &config.scales {
        positive(scale, "scales")?;
    }
    if !config.scales.is_empty() && config.scales.len() != num_layers {
        return refuse("scales", format!("has {} entries for {num_layers} layers", config.scales.len()));
    }
    if config.aspect_ratios.is_empty() && !(num_layers == 1 && config.reduce_boxes_in_lowest_layer()) {
        return refuse("aspect_ratios", "is empty; add aspect_ratios: [1.0, 2.0, 0.5, 3.0, 0.3333]");
    }
    Ok(SsdAnchorSettings {
        num_layers,
        min_scale: positive(config.min_scale(), "min_scale")?,
        max_scale: positive(config.max_scale(), "max_scale")?,
        scales: config.scales.clone(),
        aspect_ratios: config.aspect_ratios.clone(),
        interpolated_scale_aspect_ratio: number(
            config.interpolated_scale_aspect_ratio(),
            0.0..=1e3,
            "interpolated_scale_aspect_ratio",
        )?,
        reduce_boxes_in_lowest_layer: config.reduce_boxes_in_lowest_layer(),
        base_anchor_size: [
            positive(config.base_anchor_height(), "base_anchor_height")?,
            positive(config.base_anchor_width(), "base_anchor_width")?,
        ],
        anchor_strides: pairs(&config.height_stride, &config.width_stride, num_layers, "height_stride")?,
        anchor_offsets: pairs(&config.height_offset, &config.width_offset, num_layers, "height_offset")?,
    })
}

/// Heights and widths, one pair for each layer; none at all is fine.
fn pairs(heights: &[i32], widths: &[i32], layers: usize, field: &str) -> Built<Option<Vec<[f32; 2]>>> {
    if heights.is_empty() && widths.is_empty() {
        return Ok(None);
    }
    if heights.len() != layers || widths.len() != layers {
        let other = field.replace("height", "width");
        return refuse(
            field,
            format!(
                "has {} entries and {other} has {} for {layers} layers; give each one entry a layer",
                heights.len(),
                widths.len()
            ),
        );
    }
    Ok(Some(heights.iter().zip(widths).map(|(&h, &w)| [h as f32, w as f32]).collect()))
}

/// The `box_coder` message.
///
/// # Errors
/// A coder that is not supported.
pub fn box_coder(config: &proto::BoxCoder) -> Built<FasterRcnnBoxCoder> {
    use proto::box_coder::BoxCoderOneof as Kind;
    match &config.box_coder_oneof {
        Some(Kind::FasterRcnnBoxCoder(coder)) => {
            let scale = |value: f32, field: &str| number(value, f32::MIN_POSITIVE..=1e6, field);
            Ok(FasterRcnnBoxCoder {
                scale_factors: [
                    scale(coder.y_scale(), "faster_rcnn_box_coder.y_scale")?,
                    scale(coder.x_scale(), "faster_rcnn_box_coder.x_scale")?,
                    scale(coder.height_scale(), "faster_rcnn_box_coder.height_scale")?,
                    scale(coder.width_scale(), "faster_rcnn_box_coder.width_scale")?,
                ],
            })
        }
        Some(Kind::MeanStddevBoxCoder(_)) => {
            refuse("mean_stddev_box_coder", "is not supported; use faster_rcnn_box_coder")
        }
        Some(Kind::SquareBoxCoder(_)) => refuse("square_box_coder", "is not supported; use faster_rcnn_box_coder"),
        Some(Kind::KeypointBoxCoder(_)) => refuse("keypoint_box_coder", "is not supported; use faster_rcnn_box_coder"),
        None => refuse("", "names no coder; add faster_rcnn_box_coder { }"),
    }
}

/// The `matcher` message.
///
/// # Errors
/// A matcher that is not supported, or thresholds that contradict each other.
pub fn matcher(config: &proto::Matcher) -> Built<ArgMaxMatcher> {
    use proto::matcher::MatcherOneof as Kind;
    let config = match &config.matcher_oneof {
        Some(Kind::ArgmaxMatcher(argmax)) => argmax,
        Some(Kind::BipartiteMatcher(_)) => return refuse("bipartite_matcher", "is not supported; use argmax_matcher"),
        None => return refuse("", "names no matcher; add argmax_matcher { force_match_for_each_row: true }"),
    };
    let thresholds = if config.ignore_thresholds() {
        None
    } else {
        let (matched, unmatched) = (config.matched_threshold(), config.unmatched_threshold());
        if matched.is_nan() || unmatched.is_nan() || unmatched > matched {
            return refuse(
                "argmax_matcher.unmatched_threshold",
                format!("is {unmatched}; it may not exceed matched_threshold, which is {matched}"),
            );
        }
        if !config.negatives_lower_than_unmatched() && unmatched == matched {
            return refuse(
                "argmax_matcher.negatives_lower_than_unmatched",
                "is false, which needs an unmatched_threshold below matched_threshold",
            );
        }
        Some(Thresholds { matched, unmatched })
    };
    Ok(ArgMaxMatcher {
        thresholds,
        negatives_lower_than_unmatched: config.negatives_lower_than_unmatched(),
        force_match_for_each_row: config.force_match_for_each_row(),
    })
}

/// The `similarity_calculator` message.
///
/// # Errors
/// A similarity that is not supported.
pub fn region_similarity(config: &proto::RegionSimilarityCalculator) -> Built<RegionSimilarity> {
    use proto::region_similarity_calculator::RegionSimilarity as Kind;
    match &config.region_similarity {
        Some(Kind::IouSimilarity(_)) => Ok(RegionSimilarity::Iou),
        Some(Kind::IoaSimilarity(_)) => Ok(RegionSimilarity::Ioa),
        Some(Kind::NegSqDistSimilarity(_)) => Ok(RegionSimilarity::NegSqDist),
        Some(Kind::ThresholdedIouSimilarity(_)) => {
            refuse("thresholded_iou_similarity", "is not supported; use iou_similarity { }")
        }
        None => refuse("", "names no similarity; add iou_similarity { }"),
    }
}
