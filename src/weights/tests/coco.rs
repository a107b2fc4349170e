//! The two detectors that were trained on COCO and exported for phones, on photographs.
//!
//! `expected_detections.json` is what LiteRT got from the exported files. The pyramid's are computed in
//! float; the other's in whole numbers, which cannot say more than the range that quantization gave
//! each tensor: a class logit above its head's range is cut to it.

use boxwright_config::proto;
use boxwright_core::{Detection, NormalizedBox};
use boxwright_detection::{Predictions, SsdModel};
use boxwright_golden::{Value, boxes, json, number, numbers, shared};
use burn::tensor::{Device, Tensor};

use super::shared::{config, model, smooth_picture};
use crate::{FineTuneType, is_folded, read, restore};

/// The folders of the two.
const WHOLE_NUMBERS: &str = "data/weights/ssd_mobilenet_v1_0.75_coco_quant";
const PYRAMID: &str = "data/weights/ssd_mobilenet_v2_fpnlite_320x320_coco17";

/// The weights of the first, folded.
pub(super) const FOLDED: &str = "data/weights/ssd_mobilenet_v1_0.75_coco_quant/derived_float32.safetensors";

/// How far a score may be off.
const TOLERANCE: f32 = 0.02;

/// The first, with folded weights.
pub(super) fn coco(device: &Device) -> Option<SsdModel> {
    let path = shared(FOLDED)?;
    let mut config = config(&shared("data/weights/ssd_mobilenet_v1_0.75_coco_unfolded/raccoon.config")?);
    if let Some(proto::detection_model::Model::Ssd(ssd)) = config.model.as_mut().and_then(|m| m.model.as_mut()) {
        ssd.num_classes = Some(90);
    }
    let model = boxwright_detection::builders::build_ssd(&config.model?, 0, device).expect("supported");
    let values = read(&path).expect("readable");
    assert!(is_folded(&values));
    let (model, report) = restore(model, &values, FineTuneType::Full, &path).expect("fits");
    assert!(report.missing.is_empty() && report.wrong_shape.is_empty(), "{report}");
    assert!(report.folded);
    Some(model)
}

/// The first's detections against LiteRT's.
pub(super) fn check_detections(model: &SsdModel, device: &Device) {
    check(WHOLE_NUMBERS, model, device, 0.4, &|predictions| quantize(predictions, model));
}

#[test]
fn parity_of_the_coco_model() {
    let device = Device::flex();
    if let Some(model) = coco(&device) {
        check_detections(&model, &device);
    }
}

#[test]
fn parity_of_the_coco_pyramid() {
    let device = Device::flex();
    let Some(folder) = shared(PYRAMID) else { return };
    let model = model(&folder.join("pipeline.config"), &device);
    let path = folder.join("derived_float32.safetensors");
    let (model, report) = restore(model, &read(&path).expect("readable"), FineTuneType::Full, &path).expect("fits");
    assert!(report.missing.is_empty() && report.wrong_shape.is_empty() && report.left.is_empty(), "{report}");
    check(PYRAMID, &model, &device, 0.2, &|predictions| predictions);
}

/// Each expected detection from this score on must be found, with its class, about its place and its score.
fn check(folder: &str, model: &SsdModel, device: &Device, from: f32, then: &dyn Fn(Predictions) -> Predictions) {
    let Some(path) = shared(&format!("{folder}/expected_detections.json")) else { return };
    let Some(images) = shared("data/test-images") else { return };
    let folded = model.folded();
    let (mut compared, mut largest) = (0, 0.0f32);
    for (name, image) in json(&path)["images"].as_object().expect("images") {
        let picture = smooth_picture(&images.join(name), model, device);
        let picture = model.preprocess(picture);
        for predictions in [model.predict(picture.clone()), folded.predict(picture)] {
            let found = model.postprocess(then(predictions)).pop().expect("one picture");
            for wanted in image["detections"].as_array().expect("detections") {
                let score = number(&wanted["score"]);
                if score >= from {
                    let nearest = nearest(&found, wanted, score);
                    compared += 1;
                    largest = largest.max(nearest);
                    assert!(nearest <= TOLERANCE, "{name}: {}, score {score}: off by {nearest}", wanted["label"]);
                }
            }
        }
    }
    println!("{folder} | {compared} | {largest:.3e} | {TOLERANCE:.0e}");
    assert!(compared > 8, "{folder}: {compared} detections compared");
}

/// The distance in score of the detection of this class about this place; infinite where there is none.
fn nearest(found: &[Detection], wanted: &Value, score: f32) -> f32 {
    let class = number(&wanted["class_index_0based"]) as u32 + 1;
    let bounds = NormalizedBox::from_array(boxes(&wanted["box_ymin_xmin_ymax_xmax_normalised"])[0]).clip();
    let same = found.iter().filter(|d| d.label.get() == class && d.bounds.iou(&bounds) > 0.5);
    same.map(|d| (d.score - score).abs()).fold(f32::INFINITY, f32::min)
}

/// Cuts the class logits of each head to the range that the exported head can say.
fn quantize(predictions: Predictions, model: &SsdModel) -> Predictions {
    let Some(path) = shared(&format!("{WHOLE_NUMBERS}/derived_float32.ops.json")) else { return predictions };
    let layers = json(&path);
    let mut start = 0;
    let mut cut = Vec::new();
    for (i, count) in anchors_of_maps(model).into_iter().enumerate() {
        let name = format!("BoxPredictor_{i}/ClassPredictor");
        let head = layers.as_array().expect("layers").iter().find(|layer| layer["name"] == *name).expect("a head");
        let range = numbers(&head["out_quant_range"]);
        let [batch, _, columns] = predictions.class_logits.dims();
        let logits = predictions.class_logits.clone().slice([0..batch, start..start + count, 0..columns]);
        cut.push(logits.clamp(range[0], range[1]));
        start += count;
    }
    Predictions { class_logits: Tensor::cat(cut, 1), ..predictions }
}

/// How many anchors each feature map has: three on the first, six on the others.
fn anchors_of_maps(model: &SsdModel) -> Vec<usize> {
    let (height, width) = model.input_size();
    let shapes = model.feature_extractor().feature_map_shapes([height, width]);
    shapes.iter().enumerate().map(|(i, s)| s[0] * s[1] * if i == 0 { 3 } else { 6 }).collect()
}
