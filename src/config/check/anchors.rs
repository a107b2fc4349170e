//! Whether the anchors of a config fit the boxes of the data, and which would fit better.
//!
//! An anchor learns from a box that it overlaps by the matcher's threshold. A box that no anchor reaches
//! is learnt from a single forced anchor, or not at all; a detector whose anchors miss most boxes trains
//! without an error and finds little. So the real anchors are laid over the real boxes, at the size that
//! the model sees, and counted by class and by COCO's sizes.
//!
//! The proposal groups the boxes' sizes and shapes by k-means. Overlap of two squares is the ratio of
//! their areas, so the means are taken of logarithms, on which k-means minimises just that.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use boxwright_core::anchors::{
    AnchorGrid, GridAnchorGenerator, MultipleGridAnchorGenerator, MultiscaleGridAnchorGenerator, SsdAnchorSettings,
    create_ssd_anchors,
};
use boxwright_core::{ImageSize, LabelId, LabelMap, Severity};
use serde::Serialize;

use super::facts::{BoxFact, DatasetFacts};
use super::{Findings, network};
use crate::proto::{self, AnchorGenerator, ImageResizer, Ssd, detection_model};
use crate::text_format::float32;

/// Above this share of boxes without an anchor, the anchors do not fit.
const MISFIT: f64 = 0.25;

/// COCO's limits between small, medium and large, in pixels of the image.
const SIZES: [(&str, f64); 3] = [("small", 32.0 * 32.0), ("medium", 96.0 * 96.0), ("large", f64::INFINITY)];

/// How the anchors of a config fit the boxes of its data.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AnchorReport {
    /// The overlap that makes a box an anchor's.
    pub threshold: f32,
    /// Boxes that were looked at.
    pub boxes: usize,
    /// Those that no anchor overlaps by the threshold.
    pub unmatched: usize,
    /// The mean of each box's best overlap.
    pub mean_best_iou: f32,
    /// The same by class and size, only where there are boxes.
    pub groups: Vec<AnchorGroup>,
    /// Anchors that fit better, as text for the config, and how many boxes they would miss.
    pub proposal: Option<AnchorProposal>,
}

/// The boxes of one class and one size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AnchorGroup {
    /// The class, by its name where there is a label map.
    pub class: String,
    /// `small`, `medium` or `large`, by COCO's limits.
    pub size: &'static str,
    /// Boxes.
    pub boxes: usize,
    /// Those that no anchor overlaps by the threshold.
    pub unmatched: usize,
}

/// Anchors that fit better.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AnchorProposal {
    /// The block of the anchor generator, by its path.
    pub path: String,
    /// Fields and values to set in it; several values of one field stand in its list.
    pub fields: Vec<(String, Vec<String>)>,
    /// Fields to remove from it.
    pub remove: Vec<String>,
    /// Boxes that these anchors would miss.
    pub unmatched: usize,
}

impl AnchorProposal {
    /// The fields as a text to paste.
    pub fn to_text(&self) -> String {
        let field = |(name, values): &(String, Vec<String>)| match values.as_slice() {
            [one] if !matches!(name.as_str(), "scales" | "aspect_ratios") => format!("{name}: {one}"),
            many => format!("{name}: [{}]", many.join(", ")),
        };
        self.fields.iter().map(field).collect::<Vec<_>>().join(" ")
    }
}

/// One of the generators, with what it was configured with.
#[derive(Clone, Debug)]
enum Generator {
    Ssd(SsdAnchorSettings),
    Multiscale(MultiscaleGridAnchorGenerator),
    Grid(GridAnchorGenerator),
}

/// Where anchors lie: the generator and the model that gives the feature maps.
struct Layout<'a> {
    generator: Generator,
    path: &'static str,
    resizer: &'a ImageResizer,
    model: &'a detection_model::Model,
    threshold: f32,
}

/// The sides of an image after resizing, and of the picture that the model then sees, `[height, width]`.
type Resized = ([f64; 2], [usize; 2]);

/// What a resizer makes of an image; none for a resizer that cannot be.
pub(super) fn resized(resizer: &ImageResizer, image: ImageSize) -> Option<Resized> {
    use proto::image_resizer::ImageResizerOneof as Kind;
    let side = |value: i32| usize::try_from(value).ok().filter(|side| (1..=8192).contains(side));
    let as_is = [f64::from(image.height), f64::from(image.width)];
    if image.width == 0 || image.height == 0 {
        return None;
    }
    let (inner, frame) = match resizer.image_resizer_oneof.as_ref()? {
        Kind::FixedShapeResizer(fixed) => {
            let frame = [side(fixed.height())?, side(fixed.width())?];
            (frame.map(|side| side as f64), frame)
        }
        Kind::KeepAspectRatioResizer(keep) => {
            let (least, most) = (side(keep.min_dimension())? as f64, side(keep.max_dimension())? as f64);
            let (short, long) = (as_is[0].min(as_is[1]), as_is[0].max(as_is[1]));
            let factor = (least / short).min(most / long);
            let inner = as_is.map(|side| (side * factor).round().max(1.0));
            let frame = if keep.pad_to_max_dimension() { [most as usize; 2] } else { inner.map(|side| side as usize) };
            (inner, frame)
        }
        _ => (as_is, as_is.map(|side| side as usize)),
    };
    frame.iter().all(|side| (1..=8192).contains(side)).then_some((inner, frame))
}

impl<'a> Layout<'a> {
    fn of(config: &'a proto::TrainEvalPipelineConfig) -> Option<Self> {
        let model = config.model.as_ref()?.model.as_ref()?;
        let (generator, path, resizer, threshold) = match model {
            detection_model::Model::Ssd(ssd) => (
                ssd.anchor_generator.as_ref()?,
                "model.ssd.anchor_generator",
                ssd.image_resizer.as_ref()?,
                matched_threshold(ssd)?,
            ),
            // The first stage's matcher is fixed: 0.7, and each box's best anchor. Half is what that best
            // one should have at least.
            detection_model::Model::FasterRcnn(model) => (
                model.first_stage_anchor_generator.as_ref()?,
                "model.faster_rcnn.first_stage_anchor_generator",
                model.image_resizer.as_ref()?,
                0.5,
            ),
            _ => return None,
        };
        Some(Self { generator: generator_of(generator)?, path, resizer, model, threshold })
    }

    /// The grids for an image, and what a pixel of the model's picture is worth in their unit.
    fn grids(&self, generator: &Generator, frame: [usize; 2]) -> Option<(Vec<AnchorGrid>, [f64; 2])> {
        let pixels = [1.0; 2];
        match (generator, self.model) {
            (Generator::Ssd(settings), detection_model::Model::Ssd(ssd)) => {
                let anchors: MultipleGridAnchorGenerator = create_ssd_anchors(settings.clone());
                let maps = network::ssd(ssd, frame, &anchors.num_anchors_per_location())?.maps;
                Some((anchors.grids(&maps, frame), frame.map(|side| 1.0 / side as f64)))
            }
            (Generator::Multiscale(levels), detection_model::Model::Ssd(ssd)) => {
                let maps = network::ssd(ssd, frame, &levels.num_anchors_per_location())?.maps;
                Some((levels.grids(&maps, frame), pixels))
            }
            (Generator::Grid(grid), detection_model::Model::FasterRcnn(model)) => {
                Some((vec![grid.grid(network::proposal_map(model, frame)?)], pixels))
            }
            _ => None,
        }
    }

    /// The best overlap of each box with any anchor.
    fn best(&self, generator: &Generator, boxes: &[BoxFact]) -> Option<Vec<f32>> {
        let mut by_size: HashMap<ImageSize, (Vec<AnchorGrid>, [f64; 2])> = HashMap::new();
        let mut best = Vec::with_capacity(boxes.len());
        for one in boxes {
            let (inner, frame) = resized(self.resizer, one.image)?;
            let (grids, scale) = match by_size.entry(one.image) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    // Anchors depend on the picture that the model sees, not on the image it was made of.
                    let (grids, unit) = self.grids(generator, frame)?;
                    new.insert((grids, [inner[0] * unit[0], inner[1] * unit[1]]))
                }
            };
            let bounds = one.bounds.to_array();
            let target = [0, 1, 2, 3].map(|i| (f64::from(bounds[i]) * scale[i % 2]) as f32);
            best.push(grids.iter().map(|grid| grid.best_iou(target)).fold(0.0, f32::max));
        }
        Some(best)
    }
}

/// The least overlap that makes an anchor a box's; none where another similarity than overlap decides.
fn matched_threshold(ssd: &Ssd) -> Option<f32> {
    use proto::region_similarity_calculator::RegionSimilarity as Similarity;
    match ssd.similarity_calculator.as_ref()?.region_similarity.as_ref()? {
        Similarity::IouSimilarity(_) => {}
        _ => return None,
    }
    match ssd.matcher.as_ref()?.matcher_oneof.as_ref()? {
        proto::matcher::MatcherOneof::ArgmaxMatcher(matcher) if !matcher.ignore_thresholds() => {
            Some(matcher.matched_threshold()).filter(|threshold| (0.0..=1.0).contains(threshold))
        }
        _ => None,
    }
}

/// The generator of a config, where its values can be worked with; others are reported elsewhere.
fn generator_of(config: &AnchorGenerator) -> Option<Generator> {
    use proto::anchor_generator::AnchorGeneratorOneof as Kind;
    let positive = |values: &[f32]| values.iter().all(|value| *value > 0.0 && value.is_finite()) && values.len() <= 64;
    match config.anchor_generator_oneof.as_ref()? {
        Kind::SsdAnchorGenerator(ssd) => ssd_settings(ssd).map(Generator::Ssd),
        Kind::MultiscaleAnchorGenerator(levels) => {
            let generator = MultiscaleGridAnchorGenerator {
                min_level: u32::try_from(levels.min_level()).ok().filter(|level| *level <= 12)?,
                max_level: u32::try_from(levels.max_level()).ok().filter(|level| *level <= 12)?,
                anchor_scale: levels.anchor_scale(),
                aspect_ratios: levels.aspect_ratios.clone(),
                scales_per_octave: u32::try_from(levels.scales_per_octave()).ok().filter(|n| (1..=16).contains(n))?,
                normalize_coordinates: levels.normalize_coordinates(),
            };
            positive(&[generator.anchor_scale]).then_some(())?;
            positive(&generator.aspect_ratios).then_some(Generator::Multiscale(generator))
        }
        Kind::GridAnchorGenerator(grid) => {
            let generator = GridAnchorGenerator {
                scales: grid.scales.clone(),
                aspect_ratios: grid.aspect_ratios.clone(),
                base_anchor_size: [grid.height() as f32, grid.width() as f32],
                anchor_stride: [grid.height_stride() as f32, grid.width_stride() as f32],
                anchor_offset: [grid.height_offset() as f32, grid.width_offset() as f32],
            };
            let fine = positive(&generator.scales)
                && positive(&generator.aspect_ratios)
                && positive(&generator.base_anchor_size)
                && positive(&generator.anchor_stride);
            fine.then_some(Generator::Grid(generator))
        }
        Kind::FlexibleGridAnchorGenerator(_) => None,
    }
}

fn ssd_settings(ssd: &proto::SsdAnchorGenerator) -> Option<SsdAnchorSettings> {
    let num_layers = usize::try_from(ssd.num_layers()).ok().filter(|layers| (1..=12).contains(layers))?;
    let pairs = |heights: &[i32], widths: &[i32]| match (heights.len(), widths.len()) {
        (0, 0) => Some(None),
        (h, w) if h == num_layers && w == num_layers => {
            Some(Some(heights.iter().zip(widths).map(|(&h, &w)| [h as f32, w as f32]).collect()))
        }
        _ => None,
    };
    let settings = SsdAnchorSettings {
        num_layers,
        min_scale: ssd.min_scale(),
        max_scale: ssd.max_scale(),
        scales: ssd.scales.clone(),
        aspect_ratios: ssd.aspect_ratios.clone(),
        interpolated_scale_aspect_ratio: ssd.interpolated_scale_aspect_ratio(),
        reduce_boxes_in_lowest_layer: ssd.reduce_boxes_in_lowest_layer(),
        base_anchor_size: [ssd.base_anchor_height(), ssd.base_anchor_width()],
        anchor_strides: pairs(&ssd.height_stride, &ssd.width_stride)?,
        anchor_offsets: pairs(&ssd.height_offset, &ssd.width_offset)?,
    };
    let lengths = settings.scales.is_empty() || settings.scales.len() == num_layers;
    let values = settings.scales.iter().chain(&settings.aspect_ratios).chain(&settings.base_anchor_size);
    let fine = lengths
        && settings.aspect_ratios.len() <= 64
        && values.chain([&settings.min_scale, &settings.max_scale]).all(|value| *value > 0.0 && value.is_finite());
    fine.then_some(settings)
}

/// How many anchors stand at each place of each feature map, where that can be said.
pub(super) fn anchors_per_place(config: Option<&AnchorGenerator>) -> Vec<usize> {
    match config.and_then(generator_of) {
        Some(Generator::Ssd(settings)) => create_ssd_anchors(settings).num_anchors_per_location(),
        Some(Generator::Multiscale(levels)) => levels.num_anchors_per_location(),
        Some(Generator::Grid(grid)) => vec![grid.num_anchors_per_location()],
        None => Vec::new(),
    }
}

/// How the anchors fit the training boxes; none where there are no boxes or no anchors to lay.
pub fn anchor_report(config: &proto::TrainEvalPipelineConfig, facts: &DatasetFacts) -> Option<AnchorReport> {
    let layout = Layout::of(config)?;
    let boxes: Vec<BoxFact> = facts.train.as_ref()?.boxes.iter().filter(|one| one.bounds.is_valid()).copied().collect();
    let best = layout.best(&layout.generator, &boxes).filter(|best| !best.is_empty())?;
    let missed = |best: &[f32]| best.iter().filter(|iou| **iou < layout.threshold).count();
    let unmatched = missed(&best);
    let mut groups: Vec<AnchorGroup> = Vec::new();
    let mut order: Vec<(u32, usize)> = Vec::new();
    for (one, iou) in boxes.iter().zip(&best) {
        let area = f64::from(one.bounds.area()) * f64::from(one.image.width) * f64::from(one.image.height);
        let size = SIZES.iter().position(|(_, limit)| area < *limit).unwrap_or(SIZES.len() - 1);
        let index = order.iter().position(|key| *key == (one.class, size)).unwrap_or_else(|| {
            order.push((one.class, size));
            let class = class_name(one.class, facts.label_map.as_ref());
            groups.push(AnchorGroup { class, size: SIZES[size].0, boxes: 0, unmatched: 0 });
            groups.len() - 1
        });
        groups[index].boxes += 1;
        groups[index].unmatched += usize::from(*iou < layout.threshold);
    }
    let mut sorted: Vec<_> = order.into_iter().zip(groups).collect();
    sorted.sort_by_key(|(key, _)| *key);
    let proposal = (unmatched > 0).then(|| propose(&layout, &boxes, unmatched)).flatten();
    Some(AnchorReport {
        threshold: layout.threshold,
        boxes: boxes.len(),
        unmatched,
        mean_best_iou: (best.iter().map(|iou| f64::from(*iou)).sum::<f64>() / best.len() as f64) as f32,
        groups: sorted.into_iter().map(|(_, group)| group).collect(),
        proposal,
    })
}

fn class_name(id: u32, labels: Option<&LabelMap>) -> String {
    let item = LabelId::new(id).and_then(|id| labels.and_then(|labels| labels.get(id)));
    item.map_or_else(|| format!("id {id}"), |item| item.name.clone())
}

/// Better anchors of the same kind, if they miss clearly fewer boxes.
fn propose(layout: &Layout<'_>, boxes: &[BoxFact], unmatched: usize) -> Option<AnchorProposal> {
    // Enough boxes to know the sizes by, and quick.
    let step = boxes.len().div_ceil(4000);
    let sample: Vec<BoxFact> = boxes.iter().step_by(step).copied().collect();
    let mut sizes = Vec::with_capacity(sample.len());
    let mut shapes = Vec::with_capacity(sample.len());
    for one in &sample {
        let (inner, frame) = resized(layout.resizer, one.image)?;
        let (h, w) = (f64::from(one.bounds.height()) * inner[0], f64::from(one.bounds.width()) * inner[1]);
        sizes.push(((h * w).sqrt(), frame[0].min(frame[1]) as f64));
        shapes.push(w / h);
    }
    let candidates = candidates(&layout.generator, &sizes, &shapes);
    let missed = |generator: &Generator, boxes: &[BoxFact]| {
        Some(layout.best(generator, boxes)?.iter().filter(|iou| **iou < layout.threshold).count())
    };
    let best = candidates
        .into_iter()
        .filter_map(|candidate| Some((missed(&candidate.0, &sample)?, candidate)))
        .min_by_key(|(missed, _)| *missed)?
        .1;
    let left = missed(&best.0, boxes)?;
    // A fifth fewer at least, or it is not worth another config.
    let member = match layout.generator {
        Generator::Ssd(_) => "ssd_anchor_generator",
        Generator::Multiscale(_) => "multiscale_anchor_generator",
        Generator::Grid(_) => "grid_anchor_generator",
    };
    (left * 5 <= unmatched * 4).then(|| AnchorProposal {
        path: format!("{}.{member}", layout.path),
        fields: best.1,
        remove: if matches!(layout.generator, Generator::Ssd(_)) {
            vec!["min_scale".into(), "max_scale".into()]
        } else {
            Vec::new()
        },
        unmatched: left,
    })
}

type Candidate = (Generator, Vec<(String, Vec<String>)>);

/// Anchors to try, of the same kind as those configured.
fn candidates(generator: &Generator, sizes: &[(f64, f64)], shapes: &[f64]) -> Vec<Candidate> {
    let numbers = |values: &[f32]| values.iter().map(|value| float32(*value)).collect::<Vec<_>>();
    let ratios: Vec<Vec<f32>> = (3..=5).map(|k| means(shapes.iter().copied(), k)).collect();
    let mut found = Vec::new();
    match generator {
        Generator::Ssd(settings) => {
            let scales = means(sizes.iter().map(|(size, side)| size / side), settings.num_layers);
            for aspect_ratios in ratios {
                // Few distinct sizes leave fewer means than layers; the last one is repeated.
                let mut scales = scales.clone();
                scales.resize(settings.num_layers, scales.last().copied().unwrap_or(0.5));
                let fields = vec![
                    ("scales".to_owned(), numbers(&scales)),
                    ("aspect_ratios".to_owned(), numbers(&aspect_ratios)),
                    ("reduce_boxes_in_lowest_layer".to_owned(), vec!["false".to_owned()]),
                ];
                let better = SsdAnchorSettings {
                    scales,
                    aspect_ratios,
                    reduce_boxes_in_lowest_layer: false,
                    ..settings.clone()
                };
                found.push((Generator::Ssd(better), fields));
            }
        }
        Generator::Multiscale(levels) => {
            for aspect_ratios in ratios.into_iter().take(2) {
                for anchor_scale in [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0] {
                    for scales_per_octave in [2, 3] {
                        let fields = vec![
                            ("anchor_scale".to_owned(), numbers(&[anchor_scale])),
                            ("scales_per_octave".to_owned(), vec![scales_per_octave.to_string()]),
                            ("aspect_ratios".to_owned(), numbers(&aspect_ratios)),
                        ];
                        let aspect_ratios = aspect_ratios.clone();
                        let better = MultiscaleGridAnchorGenerator {
                            anchor_scale,
                            scales_per_octave,
                            aspect_ratios,
                            ..levels.clone()
                        };
                        found.push((Generator::Multiscale(better), fields));
                    }
                }
            }
        }
        Generator::Grid(grid) => {
            let base = f64::from(grid.base_anchor_size[0] * grid.base_anchor_size[1]).sqrt();
            for (count, aspect_ratios) in [(4, &ratios[0]), (5, &ratios[0]), (5, &ratios[1])] {
                let scales = means(sizes.iter().map(|(size, _)| size / base), count);
                let fields =
                    vec![("scales".to_owned(), numbers(&scales)), ("aspect_ratios".to_owned(), numbers(aspect_ratios))];
                let better = GridAnchorGenerator { scales, aspect_ratios: aspect_ratios.clone(), ..grid.clone() };
                found.push((Generator::Grid(better), fields));
            }
        }
    }
    found
}

/// At most `k` means of the logarithms, in rising order, rounded to three digits.
fn means(values: impl Iterator<Item = f64>, k: usize) -> Vec<f32> {
    let mut logs: Vec<f64> = values.filter(|value| *value > 0.0 && value.is_finite()).map(f64::ln).collect();
    logs.sort_by(f64::total_cmp);
    if logs.is_empty() || k == 0 {
        return vec![1.0];
    }
    let mut centres: Vec<f64> = (0..k).map(|i| logs[(2 * i + 1) * logs.len() / (2 * k)]).collect();
    for _ in 0..30 {
        let mut sums = vec![(0.0, 0usize); k];
        for log in &logs {
            let nearest = (0..k).min_by(|a, b| (log - centres[*a]).abs().total_cmp(&(log - centres[*b]).abs()));
            let (sum, count) = &mut sums[nearest.unwrap_or(0)];
            *sum += log;
            *count += 1;
        }
        for (centre, (sum, count)) in centres.iter_mut().zip(sums) {
            if count > 0 {
                *centre = sum / count as f64;
            }
        }
    }
    let rounded = |log: f64| {
        let value = log.exp().clamp(1e-3, 1e3);
        let digits = 10f64.powi(2 - value.log10().floor() as i32);
        ((value * digits).round() / digits) as f32
    };
    let mut found: Vec<f32> = centres.into_iter().map(rounded).collect();
    found.sort_by(f32::total_cmp);
    found.dedup();
    found
}

pub(super) fn check(findings: &mut Findings, facts: &DatasetFacts) {
    let config = findings.pipeline.config.clone();
    let Some(report) = anchor_report(&config, facts) else { return };
    let share = report.unmatched as f64 / report.boxes as f64;
    let path = match config.model.and_then(|model| model.model) {
        Some(detection_model::Model::FasterRcnn(_)) => "model.faster_rcnn.first_stage_anchor_generator",
        _ => "model.ssd.anchor_generator",
    };
    if share <= MISFIT {
        return;
    }
    let mut worst: Vec<&AnchorGroup> = report.groups.iter().filter(|group| group.unmatched > 0).collect();
    worst.sort_by_key(|group| std::cmp::Reverse(group.unmatched));
    let listed: Vec<String> = worst
        .iter()
        .take(8)
        .map(|group| format!("{} {} of {} {}", group.class, group.unmatched, group.boxes, group.size))
        .collect();
    let more = if worst.len() > 8 { format!(" and {} more groups", worst.len() - 8) } else { String::new() };
    let message = format!(
        "{} of {} boxes ({:.0} %) overlap no anchor by {}, so hardly any anchor learns them: {}{more}",
        report.unmatched,
        report.boxes,
        share * 100.0,
        report.threshold,
        listed.join(", "),
    );
    let fix = match &report.proposal {
        Some(proposal) => {
            format!("{} would leave {} of {}", proposal.to_text(), proposal.unmatched, report.boxes)
        }
        None => "raise the input size in image_resizer, or cut the images into tiles".to_owned(),
    };
    findings.add(Severity::Warning, "anchors-miss", path, message, fix);
}
