//! TF2's checkpoints of a Faster R-CNN, by the paths that `tf.train.Checkpoint(model=detection_model)` gives its variables.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use boxwright_config::proto::TrainEvalPipelineConfig;
use boxwright_config::template::{TemplateValues, pipeline_from_template};
use boxwright_config::text_format;
use boxwright_detection::{DetectionModel, HostTensor, builders};
use burn::tensor::Device;

use super::small_files::{bundle_of, tensor};
use crate::names::keras_objects::tensorflow_names;
use crate::{FileKind, FineTuneType, open, restore_what_fits};

const VALUE: &str = "/.ATTRIBUTES/VARIABLE_VALUE";

/// The detector of three classes on the ResNet of so many layers.
fn model(layers: usize) -> DetectionModel {
    let template = "faster_rcnn_resnet50_v1";
    let values = TemplateValues { num_classes: 3, ..TemplateValues::of(template).expect("a template") };
    let text = pipeline_from_template(template, &values).expect("a config");
    let network = format!("\"faster_rcnn_resnet{layers}_keras\"");
    let text = text.replace("\"faster_rcnn_resnet50\"", &network);
    let config: TrainEvalPipelineConfig = text_format::parse(&text, "test").expect("a config");
    builders::build_model(&config.model.expect("a model"), 0, &Device::flex()).expect("supported")
}

/// The layers of Keras' ResNet as it lists them, those with weights: by depth in the graph, a shortcut's before those
/// that lie beside it.
fn keras_layers(units: [usize; 4]) -> Vec<(String, &'static str)> {
    let mut layers = vec![("conv1_conv".to_owned(), "kernel"), ("conv1_bn".to_owned(), "norm")];
    for (block, units) in units.into_iter().enumerate() {
        for unit in 1..=units {
            let mut push = |end: &str, kind| layers.push((format!("conv{}_block{unit}_{end}", block + 2), kind));
            for (end, kind) in [("1_conv", "kernel"), ("1_bn", "norm"), ("2_conv", "kernel"), ("2_bn", "norm")] {
                push(end, kind);
            }
            let ends: &[_] = match unit {
                1 => &[("0_conv", "kernel"), ("3_conv", "kernel"), ("0_bn", "norm"), ("3_bn", "norm")],
                _ => &[("3_conv", "kernel"), ("3_bn", "norm")],
            };
            ends.iter().for_each(|(end, kind)| push(end, kind));
        }
    }
    layers
}

/// The keys of a functional model's variables, with the variables' own names.
fn functional(path: &str, layers: &[(String, &'static str)]) -> Vec<(String, String)> {
    let variables = |kind: &str| match kind {
        "kernel" => &["kernel"][..],
        _ => &["gamma", "beta", "moving_mean", "moving_variance"],
    };
    let keys = layers.iter().enumerate().flat_map(|(i, (layer, kind))| {
        variables(kind).iter().map(move |variable| {
            (format!("{path}/layer_with_weights-{i}/{variable}{VALUE}"), format!("{layer}/{variable}"))
        })
    });
    keys.collect()
}

/// Every key of the detector's variables, with the variables' own names.
fn keys(units: [usize; 4]) -> Vec<(String, String)> {
    let layers = keras_layers(units);
    let split = layers.iter().position(|(layer, _)| layer.starts_with("conv5")).expect("a last block");
    let mut keys = functional("model/_feature_extractor_for_proposal_features", &layers[..split]);
    keys.extend(functional("model/_feature_extractor_for_box_classifier_features", &layers[split..]));
    // As the names of unresolved objects in TFOD's own logs have them; a Flatten is the first layer of the dense heads.
    for (layer, name) in [
        ("_first_stage_box_predictor_first_conv/layer_with_weights-0", "FirstStageRPNFeatures/RPNConv"),
        (
            "_first_stage_box_predictor/_prediction_heads/box_encodings/0/_box_encoder_layers/0",
            "x/BoxEncodingPredictor",
        ),
        (
            "_first_stage_box_predictor/_prediction_heads/class_predictions_with_background/0/_class_predictor_layers/0",
            "x/ClassPredictor",
        ),
        ("_mask_rcnn_box_predictor/_box_prediction_head/_box_encoder_layers/1", "x/BoxEncodingPredictor_dense"),
        ("_mask_rcnn_box_predictor/_class_prediction_head/_class_predictor_layers/1", "x/ClassPredictor_dense"),
    ] {
        keys.extend(["kernel", "bias"].map(|end| (format!("model/{layer}/{end}{VALUE}"), format!("{name}/{end}"))));
    }
    keys
}

#[test]
fn every_variable_of_a_faster_rcnn_has_one_object() {
    for (depth, units) in [(50, [3, 4, 6, 3]), (101, [3, 4, 23, 3]), (152, [3, 8, 36, 3])] {
        let infos = model(depth).variable_infos();
        let wanted: BTreeSet<&str> = infos.iter().map(|info| info.name.as_str()).collect();
        let keys = keys(units);
        let entries: Vec<(&str, &[usize])> = keys.iter().map(|(key, _)| (key.as_str(), &[][..])).collect();
        // By the order of the layers, and by their names where the graph of objects tells them.
        for full_names in [HashMap::new(), keys.iter().cloned().collect()] {
            let found = tensorflow_names(&entries, &full_names);
            assert_eq!(found.len(), keys.len(), "{depth}: a key is not known");
            let names: BTreeSet<&str> = found.values().map(String::as_str).collect();
            assert_eq!(names.len(), keys.len(), "{depth}: a name is there twice");
            let apart: Vec<&&str> = names.symmetric_difference(&wanted).collect();
            assert!(apart.is_empty(), "{depth}: {apart:?}");
        }
    }
}

#[test]
fn layers_are_told_by_their_names_where_these_are_known() {
    let keys = keys([3, 4, 6, 3]);
    let entries: Vec<(&str, &[usize])> = keys.iter().map(|(key, _)| (key.as_str(), &[][..])).collect();
    let unnamed = HashMap::new();
    let found = tensorflow_names(&entries, &unnamed);
    let wanted = |full_name: &str, name: &str| {
        let (key, _) = keys.iter().find(|(_, own)| own == full_name).expect("a variable");
        assert_eq!(found[key.as_str()], name);
    };
    wanted("conv1_conv/kernel", "FirstStageFeatureExtractor/resnet_v1_50/conv1/weights");
    let unit = "FirstStageFeatureExtractor/resnet_v1_50/block3/unit_6/bottleneck_v1";
    wanted("conv4_block6_3_bn/beta", &format!("{unit}/conv3/BatchNorm/beta"));
    let unit = "SecondStageFeatureExtractor/resnet_v1_50/block4/unit_1/bottleneck_v1";
    wanted("conv5_block1_0_conv/kernel", &format!("{unit}/shortcut/weights"));
    wanted("conv5_block1_3_conv/kernel", &format!("{unit}/conv3/weights"));
    wanted("FirstStageRPNFeatures/RPNConv/kernel", "Conv/weights");
    wanted("x/ClassPredictor_dense/bias", "SecondStageBoxPredictor/ClassPredictor/biases");
    // Layers in another order than Keras' own keep their names.
    let mut swapped: HashMap<String, String> = keys.iter().cloned().collect();
    let at =
        |i: usize| format!("model/_feature_extractor_for_box_classifier_features/layer_with_weights-{i}/kernel{VALUE}");
    let (first, second) = (swapped[&at(4)].clone(), swapped[&at(5)].clone());
    swapped.extend([(at(4), second), (at(5), first)]);
    let found = tensorflow_names(&entries, &swapped);
    assert_eq!(found[at(5).as_str()], format!("{unit}/shortcut/weights"));
}

#[test]
fn a_bundle_of_objects_goes_into_the_detector() {
    let model = model(50);
    let shapes: HashMap<String, Vec<usize>> =
        model.variable_infos().into_iter().map(|info| (info.name, info.shape)).collect();
    let keys = keys([3, 4, 6, 3]);
    let entries: Vec<(&str, &[usize])> = keys.iter().map(|(key, _)| (key.as_str(), &[][..])).collect();
    let unnamed = HashMap::new();
    let names = tensorflow_names(&entries, &unnamed);
    // Small variables as they are; the others only have their names here.
    let is_small = |key: &str| shapes[&names[key]].iter().product::<usize>() < 20_000;
    let value = |key: &str| if is_small(key) { tensor(&shapes[&names[key]]) } else { tensor(&[1]) };
    let mut values: BTreeMap<String, HostTensor> = keys.iter().map(|(key, _)| (key.clone(), value(key))).collect();
    let slot = "model/_mask_rcnn_box_predictor/_class_prediction_head/_class_predictor_layers/1/kernel";
    values.insert(format!("{slot}/.OPTIMIZER_SLOT/optimizer/momentum{VALUE}"), tensor(&[2]));
    let folder = tempfile::tempdir().expect("a folder");
    let (index, data) = bundle_of(&values);
    std::fs::write(folder.path().join("ckpt-0.index"), index).expect("written");
    std::fs::write(folder.path().join("ckpt-0.data-00000-of-00001"), data).expect("written");
    let mut file = open(&folder.path().join("ckpt-0")).expect("readable");
    assert_eq!(file.kind(), &FileKind::TensorFlowCheckpoint { object_based: true });
    let weights: BTreeSet<String> =
        file.tensors().iter().filter(|tensor| tensor.is_weight).map(|tensor| tensor.name.clone()).collect();
    assert_eq!(weights, shapes.keys().cloned().collect());
    let read = file.read_all().expect("readable");
    let (model, report) = restore_what_fits(model, &read, FineTuneType::Full);
    assert_eq!(report.missing, [""; 0], "{report:#}");
    assert_eq!(report.loaded.len(), keys.iter().filter(|(key, _)| is_small(key)).count(), "{report:#}");
    let loaded = model.variables();
    for name in ["SecondStageBoxPredictor/ClassPredictor/weights", "FirstStageBoxPredictor/BoxEncodingPredictor/biases"]
    {
        assert_eq!(loaded[name], tensor(&shapes[name]), "{name}");
    }
}
