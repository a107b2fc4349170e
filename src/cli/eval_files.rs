//! `boxwright eval --groundtruth --detections`: metrics of files in COCO's JSON shapes.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context;
use boxwright_core::annotation::BoxFlags;
use boxwright_core::evaluation::pascal::{Interpolation, PascalOptions};
use boxwright_core::evaluation::{DetectedImage, EvaluationResult, GroundtruthImage, coco, pascal};
use boxwright_core::geometry::PixelBox;
use boxwright_core::label_map::{LabelId, LabelMap, LabelMapItem};
use boxwright_formats::read_file::read_bounded;
use serde::Deserialize;
use serde_json::Value;

/// Which metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// COCO's twelve numbers
    #[default]
    Coco,
    /// Pascal VOC 2007: eleven points
    Voc2007,
    /// Pascal VOC 2010: all points
    Voc2010,
}

#[derive(Deserialize)]
struct GroundtruthFile {
    images: Vec<ImageRow>,
    annotations: Vec<BoxRow>,
    categories: Vec<CategoryRow>,
}

#[derive(Deserialize)]
struct ImageRow {
    id: Value,
}

#[derive(Deserialize)]
struct CategoryRow {
    id: u32,
    name: String,
}

#[derive(Deserialize)]
struct BoxRow {
    image_id: Value,
    category_id: u32,
    /// `[x, y, width, height]` in pixels.
    bbox: [f64; 4],
    #[serde(default)]
    score: Option<f32>,
    #[serde(default)]
    iscrowd: u8,
    #[serde(default)]
    difficult: bool,
}

impl BoxRow {
    fn bounds(&self) -> PixelBox {
        let [x, y, width, height] = self.bbox;
        PixelBox::new(y, x, y + height, x + width)
    }
}

/// The largest file that is read.
const MAX_BYTES: u64 = 2 << 30;

/// The metrics of detections against a ground truth.
///
/// # Errors
/// A file cannot be read or is not of COCO's shape, or the two do not fit together.
pub fn evaluate(groundtruth: &Path, detections: &Path, protocol: Protocol) -> anyhow::Result<EvaluationResult> {
    let truth: GroundtruthFile = read(groundtruth, "a COCO ground truth: images, annotations, categories")?;
    let found: Vec<BoxRow> = read(detections, "a list of detections: image_id, category_id, bbox, score")?;
    let labels = label_map(&truth.categories).with_context(|| groundtruth.display().to_string())?;
    let mut places = HashMap::new();
    let mut images: Vec<GroundtruthImage> = Vec::with_capacity(truth.images.len());
    for row in &truth.images {
        places.insert(row.id.to_string(), images.len());
        images.push(GroundtruthImage { image: row.id.to_string(), boxes: Vec::new() });
    }
    let mut detected: Vec<DetectedImage> =
        images.iter().map(|i| DetectedImage { image: i.image.clone(), detections: Vec::new() }).collect();
    let place = |row: &BoxRow, file: &Path, number: usize| {
        let id = row.image_id.to_string();
        let label = LabelId::new(row.category_id);
        match (places.get(&id), label) {
            (Some(place), Some(label)) => Ok((*place, label)),
            (None, _) => anyhow::bail!("{}, box {number}: image {id} is not in the ground truth", file.display()),
            (_, None) => anyhow::bail!("{}, box {number}: category_id {} is no id", file.display(), row.category_id),
        }
    };
    for (number, row) in truth.annotations.iter().enumerate() {
        let (image, label) = place(row, groundtruth, number)?;
        let flags = BoxFlags { group_of: row.iscrowd != 0, difficult: row.difficult, ..BoxFlags::default() };
        images[image].boxes.push((label, row.bounds(), flags));
    }
    for (number, row) in found.iter().enumerate() {
        let (image, label) = place(row, detections, number)?;
        let score = row.score.with_context(|| format!("{}, box {number}: it has no score", detections.display()))?;
        detected[image].detections.push((label, score, row.bounds()));
    }
    let voc = |interpolation| PascalOptions { interpolation, ..PascalOptions::default() };
    Ok(match protocol {
        Protocol::Coco => coco::evaluate(&images, &detected, &labels)?,
        Protocol::Voc2007 => pascal::evaluate(&images, &detected, &labels, &voc(Interpolation::ElevenPoints))?,
        Protocol::Voc2010 => pascal::evaluate(&images, &detected, &labels, &voc(Interpolation::AllPoints))?,
    })
}

fn read<T: serde::de::DeserializeOwned>(path: &Path, what: &str) -> anyhow::Result<T> {
    let bytes = read_bounded(path, MAX_BYTES).with_context(|| format!("{}: cannot be read", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{}: is not {what}", path.display()))
}

fn label_map(categories: &[CategoryRow]) -> anyhow::Result<LabelMap> {
    let mut map = LabelMap::default();
    for row in categories {
        let id = LabelId::new(row.id).with_context(|| format!("category \"{}\" has the id {}", row.name, row.id))?;
        map.insert(LabelMapItem { id, name: row.name.clone(), display_name: None })?;
    }
    Ok(map)
}
