//! Real weights through whole models.

use std::collections::BTreeMap;

use boxwright_golden::shared;
use burn::tensor::{Device, Tensor};

use super::coco::{FOLDED, check_detections, coco};
use super::shared::{model, picture};
use crate::{FineTuneType, is_folded, read, restore, unfold_batch_norm};

#[test]
fn unfolding_keeps_the_function_and_measures_what_the_reference_measured() {
    let device = Device::flex();
    let Some(model) = coco(&device) else { return };
    let Some(reference) = shared("data/weights/ssd_mobilenet_v1_0.75_coco_unfolded/model.ckpt.index") else { return };
    let Some(images) = shared("data/raccoon") else { return };
    let folded = read(&shared(FOLDED).expect("there")).expect("readable");
    let before = model.variables();
    let train = raccoon_train(&images);
    assert_eq!(train.len(), 160);
    let batches = train.chunks(8).map(|chunk| {
        let pictures: Vec<Tensor<4>> = chunk.iter().map(|path| picture(path, &model, &device)).collect();
        Tensor::cat(pictures, 0)
    });
    let unfolded = unfold_batch_norm(model.clone(), &folded, batches);
    check_detections(&unfolded, &device);

    let after = unfolded.variables();
    let golden = read(&reference).expect("readable");
    let mut worst: BTreeMap<&str, (f32, String)> = BTreeMap::new();
    for (name, ours) in &after {
        let Some((_, kind)) = name.split_once("/BatchNorm/") else {
            assert_eq!(before[name], *ours, "{name} is no business of unfolding");
            continue;
        };
        let theirs = &golden[name];
        // Deviations in units of the layer's spread: its mean standard deviation.
        let variance = &golden[&name.replace(kind, "moving_variance")].data;
        let spread = variance.iter().map(|v| v.sqrt()).sum::<f32>() / variance.len() as f32;
        let unit = if kind == "moving_variance" { spread * spread } else { spread };
        let deviation = ours.data.iter().zip(&theirs.data).map(|(a, b)| (a - b).abs() / unit).fold(0.0, f32::max);
        let key = ["gamma", "beta", "moving_mean", "moving_variance"].into_iter().find(|k| *k == kind).expect("a kind");
        let entry = worst.entry(key).or_default();
        if deviation > entry.0 {
            *entry = (deviation, name.clone());
        }
    }
    for (kind, (deviation, name)) in &worst {
        println!("unfolded {kind} | 35 | {deviation:.3e} | 2e-1 ({name})");
    }
    for (deviation, name) in worst.values() {
        // The reference decoded and resized the same pictures with TensorFlow.
        assert!(*deviation < 0.2, "{name}: {deviation}");
    }
}

/// The 160 training pictures of raccoon's own split.
fn raccoon_train(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    let mut list = None;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|n| n == "train_labels.csv") {
                list = Some(path);
            } else if path.extension().is_some_and(|e| e == "jpg") {
                found.push(path);
            }
        }
    }
    let list = std::fs::read_to_string(list.expect("train_labels.csv")).expect("readable");
    let names: std::collections::BTreeSet<&str> = list.lines().filter_map(|line| line.split(',').next()).collect();
    found.retain(|path| path.file_name().and_then(|n| n.to_str()).is_some_and(|n| names.contains(n)));
    found.sort();
    found
}

#[test]
fn fine_tuning_takes_175_variables_of_the_unfolded_checkpoint() {
    let device = Device::flex();
    let Some(folder) = shared("data/weights/ssd_mobilenet_v1_0.75_coco_unfolded") else { return };
    let model = model(&folder.join("raccoon.config"), &device);
    let path = folder.join("model.ckpt");
    let values = read(&path).expect("readable");
    assert!(!is_folded(&values));
    let (_, report) =
        restore(model.clone(), &values, FineTuneType::Detection { all_variables: false }, &path).expect("fits");
    assert_eq!((report.asked.len(), report.loaded.len()), (175, 175), "{report}");
    // A head for other classes has another shape, and is reported.
    let (_, report) =
        restore(model.clone(), &values, FineTuneType::Detection { all_variables: true }, &path).expect("fits");
    assert_eq!(report.wrong_shape.len(), 12);
    let error = restore(model, &values, FineTuneType::Classification, &path).expect_err("a detector").to_string();
    assert!(error.contains("\"detection\" would find"), "{error}");
}

#[test]
fn another_depth_would_leave_the_backbone_random() {
    let device = Device::flex();
    let Some(folder) = shared("golden/models/ssd_mobilenet_v1_025") else { return };
    let Some(weights) = shared("data/weights/ssd_mobilenet_v1_0.75_coco_unfolded/model.ckpt.index") else { return };
    let model = model(&folder.join("pipeline.config"), &device);
    let values = read(&weights).expect("readable");
    let error = restore(model, &values, FineTuneType::Detection { all_variables: false }, &weights).expect_err("0.25");
    assert!(error.to_string().contains("depth_multiplier"), "{error}");
}

#[test]
fn a_snappy_index_is_read() {
    let folder = "data/tf-checkpoint-samples/complete/fake_effdet_lite0_hub_saved_model/variables";
    let Some(folder) = shared(folder) else { return };
    let values = read(&folder.join("variables")).expect("readable");
    let listing = std::fs::read_to_string(folder.join("variables.index.variables.tsv")).expect("a listing");
    for (name, value) in &values {
        assert!(listing.contains(name.as_str()), "{name}");
        assert_eq!(value.data.len(), value.shape.iter().product::<usize>());
    }
    assert!(!values.is_empty());
}
