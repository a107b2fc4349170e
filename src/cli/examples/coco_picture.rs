//! The picture of the two COCO detectors beside LiteRT's detections, for the README.
//!
//! For each model a row, for each photograph a panel: dashed what LiteRT found with the exported file, solid what
//! Boxwright finds with the same weights, and on each box both scores in per cent, ours first. The photographs
//! themselves are not shown: they are not ours to give away.
//!
//! usage: `coco_picture WEIGHTS_FOLDER PHOTOGRAPHS OUT.png`

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use boxwright_core::{Detection, ImageSize, LabelId, NormalizedBox, PixelBox};
use boxwright_export::annotated_picture::{DrawnBox, LineStyle, draw};
use boxwright_export::palette::class_color;
use boxwright_formats::picture::{self, Picture};
use boxwright_training::device::DeviceChoice;
use boxwright_training::predict::Predictor;
use image::imageops::FilterType;
use serde_json::Value;

/// The models: folder, side of the pictures they take, least score that is shown.
const MODELS: [(&str, u32, f32); 2] =
    [("ssd_mobilenet_v1_0.75_coco_quant", 300, 0.45), ("ssd_mobilenet_v2_fpnlite_320x320_coco17", 320, 0.35)];

/// Width and height of a panel.
const PANEL: (u32, u32) = (560, 400);
/// Between panels.
const GAP: u32 = 12;
/// The ground of the picture and of a panel.
const GROUND: [u8; 3] = [255, 255, 255];
const PAPER: [u8; 3] = [242, 241, 238];
/// LiteRT's boxes.
const THEIRS: [u8; 3] = [120, 120, 120];

/// What LiteRT found in a photograph.
struct Expected {
    label: LabelId,
    name: String,
    score: f32,
    bounds: NormalizedBox,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [weights, photographs, out] = &arguments[..] else {
        anyhow::bail!("usage: coco_picture WEIGHTS_FOLDER PHOTOGRAPHS OUT.png");
    };
    let mut rows = Vec::new();
    let (mut compared, mut largest) = (0, 0.0f32);
    for (model, side, least) in MODELS {
        let folder = weights.join(model);
        let predictor = Predictor::open(&folder.join("derived_float32.safetensors"), None, None, DeviceChoice::Cpu)?;
        let path = folder.join("expected_detections.json");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let expected: Value = serde_json::from_str(&text)?;
        let images = expected["images"].as_object().context("no images")?;
        let mut row = Vec::new();
        for (name, image) in images {
            let photograph = picture::read_file(&photographs.join(name))?;
            let found = predictor.detect(&shrunk(&photograph, side)?, 0.1);
            let wanted: Vec<Expected> =
                image["detections"].as_array().context("no detections")?.iter().filter_map(expect).collect();
            let (panel, count, off) = panel(photograph.size, &found, &wanted, least)?;
            println!("{model} {name}: {count} detections compared, largest difference of a score {off:.4}");
            (compared, largest) = (compared + count, largest.max(off));
            row.push(panel);
        }
        rows.push(row);
    }
    println!("{compared} detections, largest difference {largest:.4}");
    save(&rows, out)
}

/// As the expected detections' photographs were: averaged while they were made smaller.
fn shrunk(photograph: &Picture, side: u32) -> anyhow::Result<Picture> {
    let size = photograph.size;
    let image = image::RgbImage::from_raw(size.width, size.height, photograph.rgb.clone()).context("pixels")?;
    let small = image::imageops::resize(&image, side, side, FilterType::Triangle);
    Ok(Picture { rgb: small.into_raw(), size: ImageSize::new(side, side) })
}

fn expect(value: &Value) -> Option<Expected> {
    let corner = |i: usize| value["box_ymin_xmin_ymax_xmax_normalised"][i].as_f64().map(|v| v as f32);
    Some(Expected {
        label: LabelId::new(value["class_index_0based"].as_u64()? as u32 + 1)?,
        name: value["label"].as_str()?.to_owned(),
        score: value["score"].as_f64()? as f32,
        bounds: NormalizedBox::new(corner(0)?, corner(1)?, corner(2)?, corner(3)?).clip(),
    })
}

/// The boxes of a photograph on paper, how many were compared, and the largest difference of a score.
fn panel(
    photograph: ImageSize,
    found: &[Detection],
    expected: &[Expected],
    least: f32,
) -> anyhow::Result<(Picture, usize, f32)> {
    let scale =
        (f64::from(PANEL.0) / f64::from(photograph.width)).min(f64::from(PANEL.1) / f64::from(photograph.height));
    let side = |length: u32| (f64::from(length) * scale) as u32;
    let size = ImageSize::new(side(photograph.width), side(photograph.height));
    let paper = Picture { rgb: PAPER.repeat((size.width * size.height) as usize), size };
    let (mut boxes, mut compared, mut largest) = (Vec::new(), 0, 0.0f32);
    for wanted in expected.iter().filter(|wanted| wanted.score >= least) {
        let same = found.iter().filter(|d| d.label == wanted.label && d.bounds.iou(&wanted.bounds) > 0.5);
        let ours = same.min_by(|a, b| (a.score - wanted.score).abs().total_cmp(&(b.score - wanted.score).abs()));
        let ours = ours.with_context(|| format!("{} with {} is not found", wanted.name, wanted.score))?;
        (compared, largest) = (compared + 1, largest.max((ours.score - wanted.score).abs()));
        let place = |bounds: &NormalizedBox| bounds.to_pixels(size);
        let theirs: PixelBox = place(&wanted.bounds);
        boxes.push(DrawnBox {
            bounds: place(&ours.bounds),
            color: class_color(wanted.label),
            label: format!("{} {:.0} | {:.0}", wanted.name, 100.0 * ours.score, 100.0 * wanted.score),
            style: LineStyle::Solid,
        });
        boxes.push(DrawnBox { bounds: theirs, color: THEIRS, label: String::new(), style: LineStyle::Dashed });
    }
    ensure!(compared > 0, "no detection has a score of {least}");
    Ok((draw(&paper, &boxes), compared, largest))
}

/// The panels in rows.
fn save(rows: &[Vec<Picture>], out: &Path) -> anyhow::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0) as u32;
    let width = columns * (PANEL.0 + GAP) + GAP;
    let height = rows.len() as u32 * (PANEL.1 + GAP) + GAP;
    let mut sheet = image::RgbImage::from_pixel(width, height, image::Rgb(GROUND));
    for (y, row) in rows.iter().enumerate() {
        for (x, panel) in row.iter().enumerate() {
            let image =
                image::RgbImage::from_raw(panel.size.width, panel.size.height, panel.rgb.clone()).context("pixels")?;
            let left = GAP + x as u32 * (PANEL.0 + GAP) + (PANEL.0 - panel.size.width) / 2;
            let top = GAP + y as u32 * (PANEL.1 + GAP) + (PANEL.1 - panel.size.height) / 2;
            image::imageops::replace(&mut sheet, &image, i64::from(left), i64::from(top));
        }
    }
    sheet.save(out).with_context(|| out.display().to_string())
}
