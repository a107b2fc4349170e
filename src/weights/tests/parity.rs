//! Whole models against TFOD: weights, forward passes, detections.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use boxwright_detection::{HostTensor, SsdModel};
use burn::tensor::{Device, Tensor};
use serde_json::Value;

use super::golden::{Row, boxes, folder, integers, number, numbers};
use super::shared::{model, normalized_picture, picture};
use crate::read;

/// The folders below `golden/NAME` whose config is an SSD MobileNet v1 that we build.
pub(super) fn models(name: &str) -> Vec<PathBuf> {
    let Some(root) = folder() else { return Vec::new() };
    let entries = std::fs::read_dir(root.join(name)).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            let text = std::fs::read_to_string(path.join("pipeline.config")).unwrap_or_default();
            text.contains("\"ssd_mobilenet_v1\"")
        })
        .collect();
    found.sort();
    found
}

pub(super) fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).expect("readable")).expect("JSON")
}

/// Files of a folder with this ending, in order.
fn files(folder: &Path, begin: &str, end: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    let name = |path: &PathBuf| path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let mut found: Vec<PathBuf> = entries.filter(|p| name(p).starts_with(begin) && name(p).ends_with(end)).collect();
    found.sort();
    found
}

#[test]
fn checkpoint_reader() {
    let mut row = Row::new("models/*/variables.json", 1e-6);
    let Some(root) = folder() else { return };
    for entry in std::fs::read_dir(root.join("models")).into_iter().flatten().flatten() {
        let values = read(&entry.path().join("model.ckpt")).expect("readable");
        for variable in json(&entry.path().join("variables.json"))["variables"].as_array().expect("variables") {
            let name = variable["name"].as_str().expect("a name");
            let value = &values[name];
            let bytes: Vec<u8> = value.data.iter().flat_map(|v| v.to_le_bytes()).collect();
            assert_eq!(format!("{:08x}", crc32(&bytes)), variable["crc32_le_f32"].as_str().expect("a sum"), "{name}");
            let shape: Vec<i64> = value.shape.iter().map(|&n| n as i64).collect();
            assert_eq!(shape, integers(&variable["shape"]), "{name}");
            row.case();
        }
    }
    row.finish();
}

/// The CRC of zip files, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// Weights by the formula of `models_hashinit/*/variables.json`.
fn hash_weights(folder: &Path) -> BTreeMap<String, HostTensor> {
    let file = json(&folder.join("variables.json"));
    let salt = file["salt"].as_u64().unwrap_or(0) as u32;
    let mut values = read(&folder.join("moving.safetensors")).expect("moving statistics");
    for variable in file["variables"].as_array().expect("variables") {
        if variable["source"].as_str() != Some("formula") {
            continue;
        }
        let name = variable["name"].as_str().expect("a name").to_owned();
        let shape: Vec<usize> = integers(&variable["shape"]).into_iter().map(|n| n as usize).collect();
        let key = u64::from(crc32(name.as_bytes()) ^ salt) << 32;
        let (offset, scale) = (number(&variable["offset"]), number(&variable["scale"]));
        let data: Vec<f32> = (0..shape.iter().product::<usize>() as u64)
            .map(|i| {
                let u = (splitmix64(key + i) >> 40) as f64 / f64::from(1u32 << 24) * 2.0 - 1.0;
                offset + scale * u as f32
            })
            .collect();
        let bytes: Vec<u8> = data.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(format!("{:08x}", crc32(&bytes)), variable["crc32_le_f32"].as_str().expect("a sum"), "{name}");
        values.insert(name, HostTensor { shape, data });
    }
    values
}

fn splitmix64(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[test]
fn forward_passes_and_detections() {
    let device = Device::flex();
    let weights = |folder: &PathBuf| read(&folder.join("model.ckpt")).expect("readable");
    forward_models("models", 1e-4, 1e-4, &weights, &device);
    // Weights by formula magnify rounding from layer to layer: in f64 these networks give logits that
    // TensorFlow's differ from by 2.7e-3, and ours by 3.0e-3.
    forward_models("models_hashinit", 6e-3, 2e-3, &|folder| hash_weights(folder), &device);
}

fn forward_models(
    kind: &'static str,
    raw_tolerance: f32,
    detection_tolerance: f32,
    weights: &dyn Fn(&PathBuf) -> BTreeMap<String, HostTensor>,
    device: &Device,
) {
    println!("{kind}: raw outputs, then detections");
    let (mut raw, mut found) = (Row::new(kind, raw_tolerance), Row::new(kind, detection_tolerance));
    for folder in models(kind) {
        let values = weights(&folder);
        let (model, report) = model(&folder.join("pipeline.config"), device).load_variables(&values);
        assert!(report.missing.is_empty() && report.wrong_shape.is_empty(), "{report:?}");
        for expected in files(&folder, "image", ".expected.json") {
            forward_case(&mut raw, &mut found, &model, &expected, device);
        }
    }
    raw.finish();
    found.finish();
}

fn forward_case(raw: &mut Row, found: &mut Row, model: &SsdModel, expected: &Path, device: &Device) {
    let name = expected.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let golden = json(expected);
    let outputs = read(&expected.with_file_name(name.replace("expected.json", "raw.safetensors"))).expect("readable");
    let image = expected.with_file_name(golden["image"].as_str().expect("a name"));
    let predictions = model.predict(normalized_picture(&image, model, device));
    let values = |tensor: Tensor<3>| tensor.into_data().iter::<f32>().collect::<Vec<_>>();
    let logits = outputs.get("class_logits").or_else(|| outputs.get("class_predictions_with_background"));
    raw.case();
    raw.compare(&format!("{name} boxes"), &values(predictions.box_encodings), &outputs["box_encodings"].data);
    raw.compare(&format!("{name} logits"), &values(predictions.class_logits), &logits.expect("logits").data);
    raw.compare(&format!("{name} anchors"), &model.anchors().concat(), &outputs["anchors"].data);

    let detections = model.detect(picture(&image, model, device)).pop().expect("one picture");
    let bounds = boxes(&golden["detection_boxes"]);
    let classes = integers(&golden["detection_classes_0based"]);
    let scores = numbers(&golden["detection_scores"]);
    found.case();
    assert_eq!(detections.len(), number(&golden["num_detections"]) as usize, "{name}");
    for i in 0..bounds.len() {
        // Equal scores may change places: match by class and box.
        let same = detections.iter().filter(|d| i64::from(d.label.get()) == classes[i] + 1).min_by(|a, b| {
            let distance = |d: &&boxwright_core::Detection| {
                d.bounds.to_array().iter().zip(bounds[i]).map(|(a, b)| (a - b).abs()).sum::<f32>()
            };
            distance(a).total_cmp(&distance(b))
        });
        let same = same.expect("a detection of that class");
        found.compare(&format!("{name} score {i}"), &[same.score], &[scores[i]]);
        found.compare(&format!("{name} box {i}"), &same.bounds.to_array(), &bounds[i]);
    }
}
