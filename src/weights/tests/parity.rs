//! Whole models against TFOD: weights, forward passes, detections.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use boxwright_config::proto;
use boxwright_detection::builders::build_ssd;
use boxwright_detection::{HostTensor, SsdModel};
use boxwright_golden::{Row, Value, boxes, files, folders, integers, json, number, numbers};
use burn::tensor::{Device, Tensor};

use super::shared::{config, model, normalized_picture, picture};
use crate::read;

/// The folders below `golden/NAME` whose config is an SSD on a network that we have.
pub(super) fn models(name: &str) -> Vec<PathBuf> {
    let mut found = folders(name, "pipeline.config");
    found.retain(|folder| is_ssd(folder));
    found
}

/// Whether the config of a folder is an SSD. A type that is not supported is said and left out; any
/// other refusal is a failure of the test that builds the model.
fn is_ssd(folder: &Path) -> bool {
    let path = folder.join("pipeline.config");
    let model = config(&path).model.unwrap_or_default();
    let Some(proto::detection_model::Model::Ssd(_)) = &model.model else { return false };
    match build_ssd(&model, 0, &Device::flex()) {
        Err(error) if error.field == "model.ssd.feature_extractor.type" => {
            println!("skipped: {}: {error}", folder.display());
            false
        }
        _ => true,
    }
}

#[test]
fn checkpoint_reader() {
    let mut row = Row::new("models/*/variables.json", 1e-6);
    for folder in folders("models", "variables.json") {
        let values = read(&folder.join("model.ckpt")).expect("readable");
        for variable in json(&folder.join("variables.json"))["variables"].as_array().expect("variables") {
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
    forward_models("models", 1e-3, 1e-3, &weights, &device);
    // Weights by formula magnify rounding from layer to layer: in f64 these networks give logits that
    // TensorFlow's differ from by 2.7e-3, and ours by 3.0e-3.
    forward_models("models_hashinit", 6e-3, 1e-3, &|folder| hash_weights(folder), &device);
}

fn forward_models(
    kind: &'static str,
    raw_tolerance: f64,
    detection_tolerance: f64,
    weights: &dyn Fn(&PathBuf) -> BTreeMap<String, HostTensor>,
    device: &Device,
) {
    let mut raw = Row::new(format!("{kind} (raw outputs)"), raw_tolerance);
    let mut found = Row::new(format!("{kind} (detections)"), detection_tolerance);
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
    let picture_in = normalized_picture(&image, model, device);
    let passes = [model.predict(picture_in.clone()), model.folded().predict(picture_in)];
    let values = |tensor: Tensor<3>| tensor.into_data().iter::<f32>().collect::<Vec<_>>();
    let logits = outputs.get("class_logits").or_else(|| outputs.get("class_predictions_with_background"));
    raw.case();
    let logits = &logits.expect("logits").data;
    for (way, predictions) in ["", " folded"].into_iter().zip(passes) {
        let boxes = values(predictions.box_encodings);
        raw.compare(&format!("{name} boxes{way}"), &boxes, &outputs["box_encodings"].data);
        raw.compare(&format!("{name} logits{way}"), &values(predictions.class_logits), logits);
    }
    raw.compare(&format!("{name} anchors"), &model.anchors().concat(), &outputs["anchors"].data);

    let detections = model.folded().detect(picture(&image, model, device), &[]).pop().expect("one picture");
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

/// What a layer gave, in TensorFlow's order: the numbers that the golden files give.
struct Observed {
    first: Vec<f32>,
    last: Vec<f32>,
    /// Mean, standard deviation, least, largest.
    statistics: [f32; 4],
}

impl Observed {
    fn new(map: &Tensor<4>) -> Self {
        let values: Vec<f32> = map.clone().permute([0, 2, 3, 1]).into_data().iter::<f32>().collect();
        let count = values.len() as f64;
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
        let variance = values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / count;
        let least = values.iter().copied().fold(f32::INFINITY, f32::min);
        let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        Self {
            first: values.iter().take(8).copied().collect(),
            last: values[values.len().saturating_sub(4)..].to_vec(),
            statistics: [mean as f32, variance.sqrt() as f32, least, largest],
        }
    }
}

/// The scope of our layer whose result this operation of TensorFlow's is, biases included.
fn scope_of(operation: &str, biased: &std::collections::BTreeSet<String>) -> Option<String> {
    let (scope, kind) = operation.rsplit_once('/')?;
    let is_ours = match kind {
        // A separable convolution is ours as a whole.
        "depthwise" if scope.ends_with("/separable_conv2d") => false,
        "Conv2D" | "depthwise" | "separable_conv2d" => !biased.contains(scope),
        "BiasAdd" => true,
        _ => false,
    };
    // A shared predictor's scope is numbered from its second level on; the way down is only a name.
    let mut parts: Vec<&str> = scope.split('/').filter(|part| *part != "top_down").collect();
    // MobileNet v1 opens its variable scope once more as a name.
    parts.dedup();
    if parts.first().is_some_and(|part| part.starts_with("WeightSharedConvolutionalBoxPredictor")) {
        parts[0] = "WeightSharedConvolutionalBoxPredictor";
    }
    is_ours.then(|| parts.join("/"))
}

#[test]
fn layers_of_forward_passes() {
    let device = Device::flex();
    // Convolutions before their normalization; else as for the raw outputs.
    for (kind, tolerance) in [("models", 2e-3), ("models_hashinit", 6e-3)] {
        let mut row = Row::new(format!("{kind} (layers)"), tolerance);
        for folder in models(kind) {
            let values = if kind == "models" {
                read(&folder.join("model.ckpt")).expect("readable")
            } else {
                hash_weights(&folder)
            };
            let (model, _) = model(&folder.join("pipeline.config"), &device).load_variables(&values);
            for file in files(&folder, "image", ".layers.json") {
                layers_case(&mut row, &model, &file, &device);
            }
        }
        row.finish();
    }
}

fn layers_case(row: &mut Row, model: &SsdModel, file: &Path, device: &Device) {
    let name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let expected = json(&file.with_file_name(name.replace("layers.json", "expected.json")));
    let image = picture(&file.with_file_name(expected["image"].as_str().expect("a name")), model, device);
    let mut ours: BTreeMap<String, std::collections::VecDeque<Observed>> = BTreeMap::new();
    model.observe_convolutions(image, &mut |scope, map| {
        ours.entry(scope.to_owned()).or_default().push_back(Observed::new(map));
    });
    let golden = json(file);
    let golden = golden.as_array().expect("layers");
    let operation = |layer: &Value| layer["op"].as_str().expect("a name").to_owned();
    let biased = golden.iter().map(operation).filter_map(|op| Some(op.strip_suffix("/BiasAdd")?.to_owned())).collect();
    for layer in golden {
        let Some(scope) = scope_of(&operation(layer), &biased) else { continue };
        let Some(observed) = ours.get_mut(&scope).and_then(std::collections::VecDeque::pop_front) else {
            panic!("{name}: no layer {scope}");
        };
        row.case();
        row.compare(&format!("{name} {scope} first"), &observed.first, &numbers(&layer["first8"]));
        row.compare(&format!("{name} {scope} last"), &observed.last, &numbers(&layer["last4"]));
        let statistics = ["mean", "std", "min", "max"].map(|key| number(&layer[key]));
        row.compare(&format!("{name} {scope} statistics"), &observed.statistics, &statistics);
    }
}
