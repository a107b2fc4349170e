//! Folded models against the models that they were folded from.

use std::collections::BTreeMap;

use boxwright_config::text_format;
use burn::tensor::{Device, Distribution, Tensor};

use super::faster_rcnn::small;
use super::ssd_networks::{CONVOLUTIONAL, SHARED, build_for};
use crate::initializers::Draws;
use crate::{DetectionModel, HostTensor, SsdModel, builders};

/// Most that folding may change, as a part of the largest value.
const TOLERANCE: f32 = 1e-4;

/// What the statistics of a batch normalization look like.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Statistics {
    /// As after some training.
    Trained,
    /// Channels that hardly vary, that are switched off, that are turned over, and means far away.
    Extreme,
}

/// Values for these variables: kernels keep theirs, everything else is drawn.
fn drawn(variables: BTreeMap<String, HostTensor>, statistics: Statistics) -> BTreeMap<String, HostTensor> {
    let extreme = statistics == Statistics::Extreme;
    let value = |name: &str, i: usize, value: f32, u: f32| match name.rsplit('/').next().unwrap_or_default() {
        "moving_variance" if extreme && i.is_multiple_of(5) => 1e-12,
        "moving_variance" => 0.2 + 2.0 * u,
        "moving_mean" if extreme && i.is_multiple_of(7) => 40.0 * (u - 0.5),
        "moving_mean" => u - 0.5,
        // What hardly varies is multiplied by the reciprocal of nearly epsilon's root; a large gamma as well would magnify
        // rounding from layer to layer.
        "gamma" if extreme && i.is_multiple_of(5) => 0.003,
        "gamma" if extreme && i.is_multiple_of(3) => 0.0,
        "gamma" if extreme && i % 3 == 1 => -0.5 - u,
        "gamma" => 0.5 + u,
        "beta" | "biases" => u - 0.5,
        _ => value,
    };
    let mut values = variables;
    for (name, tensor) in values.iter_mut().filter(|(_, tensor)| tensor.shape.len() == 1) {
        let mut draws = Draws::new(3, name);
        for (i, old) in tensor.data.iter_mut().enumerate() {
            *old = value(name, i, *old, draws.uniform() as f32);
        }
    }
    values
}

fn with_statistics(model: SsdModel, statistics: Statistics) -> SsdModel {
    let values = drawn(model.variables(), statistics);
    model.load_variables(&values).0
}

fn images(size: [usize; 2], device: &Device) -> Tensor<4> {
    let pixels = size[0] * size[1] * 3;
    let mut draws = Draws::new(1, "picture");
    let values: Vec<f32> = (0..pixels).map(|_| 255.0 * draws.uniform() as f32).collect();
    Tensor::<1>::from_floats(values.as_slice(), device).reshape([1, 3, size[0], size[1]])
}

fn assert_close<const D: usize>(what: &str, folded: Tensor<D>, plain: Tensor<D>) {
    assert_eq!(folded.dims(), plain.dims(), "{what}");
    let largest: f32 = plain.clone().abs().max().into_scalar();
    let off: f32 = (folded - plain).abs().max().into_scalar();
    assert!(largest > 0.0 && off <= TOLERANCE * largest, "{what}: {off} off, of {largest}");
}

fn check(size: [usize; 2], extractor: &str, predictor: &str) {
    let device = Device::flex();
    for statistics in [Statistics::Trained, Statistics::Extreme] {
        let model = build_for(size, extractor, predictor, &device).unwrap_or_else(|e| panic!("{extractor}: {e}"));
        let model = with_statistics(model, statistics);
        let images = model.preprocess(images(size, &device));
        let (plain, folded) = (model.predict(images.clone()), model.folded().predict(images));
        let what = format!("{extractor}, {statistics:?}");
        assert_close(&format!("{what}, boxes"), folded.box_encodings, plain.box_encodings);
        assert_close(&format!("{what}, classes"), folded.class_logits, plain.class_logits);
    }
}

#[test]
fn mobilenets_are_the_same_folded() {
    for network in ["ssd_mobilenet_v1", "ssd_mobilenet_v2"] {
        let maps = "depth_multiplier: 0.25 min_depth: 8 num_layers: 5";
        check([96, 128], &format!("type: '{network}' {maps}"), CONVOLUTIONAL);
        check([96, 128], &format!("type: '{network}' {maps} use_depthwise: true use_explicit_padding: true"), SHARED);
        let pyramid = "depth_multiplier: 0.25 min_depth: 8 pad_to_multiple: 128 fpn { additional_layer_depth: 24 }";
        check([96, 128], &format!("type: '{network}_fpn' {pyramid}"), SHARED);
        check([96, 128], &format!("type: '{network}_fpn_keras' {pyramid} use_depthwise: true"), SHARED);
    }
}

#[test]
fn residual_inception_and_vgg_networks_are_the_same_folded() {
    let fine = "override_base_feature_extractor_hyperparams: true";
    for end in ["", "_keras"] {
        let network = format!(
            "type: 'ssd_resnet50_v1_fpn{end}' depth_multiplier: 0.1 min_depth: 8 pad_to_multiple: 128 \
             fpn {{ additional_layer_depth: 24 }} {fine}"
        );
        check([96, 128], &network, SHARED);
    }
    let inception = format!("type: 'ssd_inception_v2' depth_multiplier: 0.2 min_depth: 8 num_layers: 5 {fine}");
    check([96, 128], &inception, CONVOLUTIONAL);
    check([160, 160], "type: 'ssd_vgg16_reduced' num_layers: 5", CONVOLUTIONAL);
}

#[test]
fn both_stages_are_the_same_folded() {
    let device = Device::flex();
    use Statistics::{Extreme, Trained};
    // A residual network cannot be had small here.
    for (network, cases) in
        [("faster_rcnn_inception_v2", &[Trained, Extreme][..]), ("faster_rcnn_resnet50", &[Extreme])]
    {
        let config = small(2, "").replace("faster_rcnn_inception_v2", network);
        let config = text_format::parse(&config, "test").expect("a valid config");
        for &statistics in cases {
            let Ok(DetectionModel::FasterRcnn(model)) = builders::build_model(&config, 1, &device) else {
                panic!("a Faster R-CNN")
            };
            let values = drawn(model.variables(), statistics);
            let model = model.load_variables(&values).0;
            let folded = model.folded();
            let images = model.preprocess(images([32, 48], &device));
            let (ours, plain) = (folded.predict(images.clone()), model.predict(images));
            let what = format!("{network}, {statistics:?}");
            assert_close(&format!("{what}, features"), ours.rpn.features, plain.rpn.features.clone());
            assert_close(&format!("{what}, boxes"), ours.rpn.box_encodings, plain.rpn.box_encodings.clone());
            assert_close(&format!("{what}, objectness"), ours.rpn.objectness, plain.rpn.objectness.clone());
            // The second stage on the same proposals.
            let proposals = [vec![[0.1, 0.2, 0.7, 0.9], [0.0, 0.0, 1.0, 1.0]]];
            let second = folded.classify(&plain.rpn, &proposals).expect("two stages");
            let of_plain = model.classify(&plain.rpn, &proposals).expect("two stages");
            assert_close(&format!("{what}, refined"), second.refined_box_encodings, of_plain.refined_box_encodings);
            assert_close(&format!("{what}, classes"), second.class_logits, of_plain.class_logits);
        }
    }
}

#[test]
fn a_folded_model_answers_as_the_model_did_when_it_was_folded() {
    let device = Device::flex().autodiff();
    let extractor = "type: 'ssd_mobilenet_v1' depth_multiplier: 0.25 min_depth: 8 num_layers: 5";
    let model = build_for([96, 128], extractor, CONVOLUTIONAL, &device).expect("supported");
    let first = model.folded();
    let picture = Tensor::<4>::random([1, 3, 96, 128], Distribution::Uniform(-1.0, 1.0), &device.clone().inner());
    let before = first.predict(picture.clone()).class_logits;
    // A training step moves the statistics of the model, and what it loads its weights.
    model.forward(images([96, 128], &device), crate::Mode::Train);
    let trained = model.folded().predict(picture.clone()).class_logits;
    let loaded = with_statistics(model, Statistics::Trained).folded().predict(picture.clone()).class_logits;
    let distance = |a: &Tensor<3>, b: &Tensor<3>| (a.clone() - b.clone()).abs().max().into_scalar::<f32>();
    assert_eq!(distance(&first.predict(picture).class_logits, &before), 0.0);
    assert!(distance(&trained, &before) > 0.0 && distance(&loaded, &trained) > 0.0);
}
