//! Whole models against TFOD: forward, detections, training steps.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use boxwright_core::geometry::NormalizedBox;
use boxwright_core::label_map::ClassIndex;
use boxwright_detection::{Groundtruth, HostTensor, Mode, SsdModel};
use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use serde_json::Value;

use super::golden::{Row, boxes, folder, integers, number, numbers};
use super::shared::{model, normalized_picture, picture};
use crate::read;

/// The folders below `golden/NAME` whose config is an SSD MobileNet v1 that we build.
fn models(name: &str) -> Vec<PathBuf> {
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

fn json(path: &Path) -> Value {
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
    let (mut raw, mut found) = (Row::new("models raw outputs", 1e-3), Row::new("models detections", 1e-3));
    for (folder, values) in models("models")
        .into_iter()
        .map(|folder| (folder.clone(), read(&folder.join("model.ckpt")).expect("readable")))
        .chain(models("models_hashinit").into_iter().map(|folder| (folder.clone(), hash_weights(&folder))))
    {
        let (model, report) = model(&folder.join("pipeline.config"), &device).load_variables(&values);
        assert!(report.missing.is_empty() && report.wrong_shape.is_empty(), "{report:?}");
        for expected in files(&folder, "image", ".expected.json") {
            forward_case(&mut raw, &mut found, &model, &expected, &device);
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

/// Momentum of 0.9 and L2, as TensorFlow has them.
struct Step<'a> {
    l2: &'a BTreeMap<ParamId, f32>,
    gradients: &'a mut GradientsParams,
    accumulators: &'a mut GradientsParams,
    rate: f32,
}

impl ModuleMapper for Step<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, mapper) = param.consume();
        let Some(gradient) = self.gradients.remove::<D>(id) else { return Param::from_mapped_value(id, value, mapper) };
        let old = value.inner();
        let gradient = gradient + old.clone() * self.l2.get(&id).copied().unwrap_or(0.0);
        let accumulator = match self.accumulators.remove::<D>(id) {
            Some(accumulator) => accumulator * 0.9 + gradient,
            None => gradient,
        };
        self.accumulators.register(id, accumulator.clone());
        let new = Tensor::from_inner(old - accumulator * self.rate).require_grad();
        Param::from_mapped_value(id, new, mapper)
    }
}

#[test]
fn training_steps() {
    let device = Device::flex().autodiff();
    let mut first = Row::new("models train_momentum step 0", 1e-3);
    let mut later = Row::new("models train_momentum steps 1-5", 2e-2);
    let mut gradients = Row::new("models train_momentum gradients", 1e-3);
    let mut variables = Row::new("models train_momentum variables", 1e-3);
    for folder in models("models") {
        let golden = json(&folder.join("train_momentum.json"));
        let values = read(&folder.join("model.ckpt")).expect("readable");
        let (mut model, _) = model(&folder.join("pipeline.config"), &device).load_variables(&values);
        let names = golden["images"].as_array().expect("images");
        let pictures: Vec<Tensor<4>> =
            names.iter().map(|n| picture(&folder.join(n.as_str().expect("a name")), &model, &device)).collect();
        let images = Tensor::cat(pictures, 0);
        let truth: Vec<Groundtruth> = (0..names.len()).map(|i| groundtruth(&golden, i)).collect();
        let infos = model.variable_infos();
        let l2: BTreeMap<ParamId, f32> = infos.iter().map(|info| (info.id, info.l2)).collect();
        let regularized: Vec<&str> = infos.iter().filter(|i| i.l2 > 0.0).map(|i| i.name.as_str()).collect();
        assert_eq!(regularized.len(), golden["regularized_variables"].as_array().expect("names").len());
        let mut accumulators = GradientsParams::new();
        for (step, losses) in golden["losses_before_each_update"].as_array().expect("losses").iter().enumerate() {
            let predictions = model.forward(images.clone(), Mode::Train);
            let ours = model.losses(&predictions, &truth);
            let total = ours.localization.clone() + ours.classification.clone();
            let row = if step == 0 { &mut first } else { &mut later };
            row.case();
            println!(
                "DBG {step} {:?} {:?}",
                ours.localization.clone().into_scalar::<f32>(),
                ours.classification.clone().into_scalar::<f32>()
            );
            row.compare(
                &format!("step {step}"),
                &[ours.localization.into_scalar::<f32>(), ours.classification.into_scalar::<f32>()],
                &[number(&losses["localization"]), number(&losses["classification"])],
            );
            if losses["note"].is_string() {
                break;
            }
            let mut grads = GradientsParams::from_grads(total.backward(), &model);
            if step == 0 {
                compare_gradients(&mut gradients, &model, &grads, &l2, &golden);
            }
            model = model.map(&mut Step {
                l2: &l2,
                gradients: &mut grads,
                accumulators: &mut accumulators,
                rate: number(&losses["learning_rate"]),
            });
            if step == 0 {
                compare_variables(&mut variables, &model, &golden["variables_after"]["after_1_steps"]);
            }
        }
    }
    first.finish();
    gradients.finish();
    variables.finish();
    later.finish();
}

fn groundtruth(golden: &Value, image: usize) -> Groundtruth {
    let bounds = boxes(&golden["groundtruth_boxes"][image]);
    Groundtruth {
        weights: vec![1.0; bounds.len()],
        boxes: bounds.into_iter().map(NormalizedBox::from_array).collect(),
        classes: integers(&golden["groundtruth_classes_0based"][image])
            .into_iter()
            .map(|c| ClassIndex(c as usize))
            .collect(),
    }
}

/// Norms of the gradients of the total loss, regularization included.
fn compare_gradients(
    row: &mut Row,
    model: &SsdModel,
    grads: &GradientsParams,
    l2: &BTreeMap<ParamId, f32>,
    golden: &Value,
) {
    let infos: BTreeMap<String, _> = model.variable_infos().into_iter().map(|info| (info.name.clone(), info)).collect();
    let values = model.variables();
    for gradient in golden["step0_gradients"].as_array().expect("gradients") {
        let name = gradient["name"].as_str().expect("a name");
        let info = &infos[name];
        let weight = l2[&info.id];
        // Layouts differ, norms do not; where there is L2 its gradient is added in TensorFlow's layout.
        let data: Vec<f32> = match info.shape.len() {
            4 => {
                let kernel = grads.get::<4>(info.id).expect("a gradient");
                let order = if name.ends_with("depthwise_weights") { [2, 3, 0, 1] } else { [2, 3, 1, 0] };
                kernel.permute(order).into_data().iter::<f32>().collect()
            }
            _ => grads.get::<1>(info.id).expect("a gradient").into_data().iter::<f32>().collect(),
        };
        let total: Vec<f64> =
            data.iter().zip(&values[name].data).map(|(g, v)| f64::from(*g) + f64::from(weight * v)).collect();
        let norm = total.iter().map(|g| g * g).sum::<f64>().sqrt();
        // A head that no chosen anchor has asked has no gradient.
        let golden_norm = gradient["l2"].as_f64().expect("a norm").max(1e-9);
        let norm = norm.max(1e-9);
        row.case();
        row.compare(&format!("{name} norm"), &[(norm / golden_norm) as f32], &[1.0]);
        let first: Vec<f32> = total.iter().take(4).map(|g| (g / golden_norm) as f32).collect();
        let golden_first: Vec<f32> =
            numbers(&gradient["first4"]).iter().map(|g| (f64::from(*g) / golden_norm) as f32).collect();
        row.compare(&format!("{name} first"), &first, &golden_first);
    }
}

fn compare_variables(row: &mut Row, model: &SsdModel, golden: &Value) {
    let values = model.variables();
    for variable in golden.as_array().expect("variables") {
        let name = variable["name"].as_str().expect("a name");
        let data = &values[name].data;
        let norm = data.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        let golden_norm = variable["l2"].as_f64().expect("a norm").max(1e-12);
        row.case();
        row.compare(&format!("{name} norm"), &[(norm / golden_norm) as f32], &[1.0]);
        let golden_first = numbers(&variable["first4"]);
        row.compare(&format!("{name} first"), &data[..golden_first.len()], &golden_first);
    }
}
