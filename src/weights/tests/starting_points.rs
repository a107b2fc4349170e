//! Classifiers in the formats of other programs, as what a detector starts from.

use std::collections::BTreeMap;
use std::path::Path;

use boxwright_config::{proto, text_format};
use boxwright_detection::{HostTensor, SsdModel, builders};
use boxwright_golden::{files, read as read_text, shared};
use burn::tensor::Device;

use crate::{FineTuneType, open, read, restore};

/// A detector on the network that a file's names tell, as wide as its first layer.
fn detector_for(values: &BTreeMap<String, HostTensor>) -> Option<SsdModel> {
    let first = |scope: &str| values.get(&format!("{scope}/weights")).map(|kernel| kernel.shape[3]);
    let (folder, width) = match (first("MobilenetV1/Conv2d_0"), first("MobilenetV2/Conv")) {
        (Some(width), _) => ("golden/models/ssd_mobilenet_v1_025", width),
        (None, Some(width)) => ("golden/models/ssd_mobilenet_v2_035", width),
        (None, None) => return None,
    };
    let text = read_text(&shared(folder)?.join("pipeline.config"));
    let mut config: proto::TrainEvalPipelineConfig = text_format::parse(&text, folder).expect("a valid config");
    if let Some(proto::detection_model::Model::Ssd(ssd)) = config.model.as_mut().and_then(|model| model.model.as_mut())
        && let Some(extractor) = ssd.feature_extractor.as_mut()
    {
        extractor.depth_multiplier = Some(width as f32 / 32.0);
        // A classifier's least width; a detector's config may ask for more.
        extractor.min_depth = Some(8);
    }
    match builders::build_ssd(&config.model?, 0, &Device::flex()) {
        Ok(model) => Some(model),
        Err(error) => {
            println!("{folder}: not built here: {error}");
            None
        }
    }
}

#[test]
fn classifiers_start_a_detector() {
    let Some(folder) = shared("data/weights/imagenet_mobilenet") else { return };
    let mut seen = 0;
    for path in [".h5", ".tflite", ".safetensors"].into_iter().flat_map(|end| files(&folder, "", end)) {
        let mut file = open(&path).expect("readable");
        let values = file.read_all().expect("readable");
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let Some(model) = detector_for(&values) else {
            println!("{name}: {} tensors, no network that is built here", values.len());
            continue;
        };
        let (_, report) = restore(model, &values, FineTuneType::Classification, &path).expect("fits");
        println!("{name} ({}): {report}", file.kind());
        // A classifier has none of the layers behind it.
        let is_base = |name: &&String| !name.contains("_1_Conv2d_") && !name.contains("_2_Conv2d_");
        let missing: Vec<&String> = report.missing.iter().filter(is_base).collect();
        assert!(missing.is_empty() && report.wrong_shape.is_empty(), "{name}: {missing:?} {:?}", report.wrong_shape);
        seen += 1;
    }
    assert!(seen > 0);
}

/// How many tensors of a model have just the values that were derived from it elsewhere.
fn compare(model: &Path, derived: &Path) -> (usize, usize) {
    let (ours, theirs) = (read(model).expect("readable"), read(derived).expect("readable"));
    let close = |a: &HostTensor, b: &HostTensor| {
        let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-6 * b.abs().max(1e-3);
        a.shape == b.shape && a.data.iter().zip(&b.data).all(near)
    };
    let layers = theirs.iter().filter(|(name, _)| {
        name.starts_with("MobilenetV") || name.starts_with("FeatureExtractor/") || name.starts_with("BoxPredictor_")
    });
    let mut found = (0, 0);
    for (name, value) in layers {
        found.1 += 1;
        match ours.get(name) {
            Some(own) if close(own, value) => found.0 += 1,
            Some(own) => println!("{name}: {:?} for {:?}", own.shape, value.shape),
            None => println!("{name}: not there"),
        }
    }
    found
}

#[test]
fn models_of_tensorflow_lite_are_dequantized_as_elsewhere() {
    let Some(folder) = shared("data/weights") else { return };
    for (model, derived) in [
        (
            "imagenet_mobilenet/mobilenet_v1_0.25_224_float.tflite",
            "imagenet_mobilenet/mobilenet_v1_0.25_224_float.derived_float32.safetensors",
        ),
        (
            "imagenet_mobilenet/tf2_mobilenet_v2_1.0_224_ptq.tflite",
            "imagenet_mobilenet/tf2_mobilenet_v2_1.0_224_ptq.derived_float32.safetensors",
        ),
        (
            "ssd_mobilenet_v1_0.75_coco_quant/coco_ssd_mobilenet_v1_1.0_quant_2018_06_29.tflite",
            "ssd_mobilenet_v1_0.75_coco_quant/derived_float32.safetensors",
        ),
    ] {
        let (model, derived) = (folder.join(model), folder.join(derived));
        if !model.is_file() || !derived.is_file() {
            continue;
        }
        let (same, all) = compare(&model, &derived);
        println!("{} | {same} of {all} tensors as derived", model.display());
        // The derived file may have a classifier's last layer, which is no part of a detector's network.
        assert!(same > 0 && all - same <= 2, "{}: {same} of {all}", model.display());
    }
}
