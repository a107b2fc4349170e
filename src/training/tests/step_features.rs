//! A batch in parts, and variables that are not trained, on a small model.

use std::collections::BTreeMap;

use boxwright_config::{proto, text_format};
use boxwright_core::geometry::NormalizedBox;
use boxwright_core::label_map::ClassIndex;
use boxwright_detection::builders::build_model;
use boxwright_detection::{DetectionModel, Groundtruth, HostTensor};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};

use crate::accumulation::{Accumulated, share};
use crate::draws::Draws;
use crate::optimizer::{Optimizer, OptimizerSettings, UpdateRule};
use crate::variable_rules::VariableRules;

const IMAGES: usize = 5;
pub(super) const SIDE: usize = 64;

/// A quarter of MobileNet v1 whose batch normalization is frozen.
pub(super) fn model(normalize: bool) -> DetectionModel {
    let text = format!(
        "ssd {{ num_classes: 2 image_resizer {{ fixed_shape_resizer {{ height: {SIDE} width: {SIDE} }} }}
           feature_extractor {{ type: 'ssd_mobilenet_v1' depth_multiplier: 0.25 min_depth: 8 conv_hyperparams {{
             activation: RELU_6 regularizer {{ l2_regularizer {{ weight: 0.01 }} }}
             initializer {{ truncated_normal_initializer {{ stddev: 0.1 }} }} batch_norm {{ train: false }} }} }}
           box_coder {{ faster_rcnn_box_coder {{ }} }}
           matcher {{ argmax_matcher {{ matched_threshold: 0.3 unmatched_threshold: 0.3 }} }}
           similarity_calculator {{ iou_similarity {{ }} }}
           anchor_generator {{ ssd_anchor_generator {{ num_layers: 6 aspect_ratios: [1.0, 2.0] }} }}
           box_predictor {{ convolutional_box_predictor {{ use_dropout: false kernel_size: 1 conv_hyperparams {{
             regularizer {{ l2_regularizer {{ weight: 0.01 }} }}
             initializer {{ truncated_normal_initializer {{ stddev: 0.1 }} }} }} }} }}
           loss {{ localization_loss {{ weighted_smooth_l1 {{ }} }}
             classification_loss {{ weighted_sigmoid_focal {{ }} }} }}
           post_processing {{ batch_non_max_suppression {{ }} score_converter: SIGMOID }}
           freeze_batchnorm: true normalize_loss_by_num_matches: {normalize} }}"
    );
    let config: proto::DetectionModel = text_format::parse(&text, "test").expect("a config");
    build_model(&config, 1, &Device::flex().autodiff()).expect("a model")
}

/// Pictures with different numbers of boxes: none in the second.
pub(super) fn batch() -> (Vec<f32>, Vec<Groundtruth>) {
    let mut draws = Draws::new(3, 9, 0);
    let images = (0..IMAGES * 3 * SIDE * SIDE).map(|_| draws.within((0.0, 255.0))).collect();
    let truth = [2, 0, 1, 3, 1].map(|count| {
        let boxes: Vec<_> = (0..count)
            .map(|i| NormalizedBox::new(0.1 * i as f32, 0.1, 0.1 * i as f32 + 0.5, 0.6 + 0.1 * i as f32))
            .collect();
        Groundtruth { classes: vec![ClassIndex(count % 2); count], weights: vec![1.0; count], boxes }
    });
    (images, truth.to_vec())
}

fn gradients(
    model: &DetectionModel,
    images: &[f32],
    truth: &[Groundtruth],
    shared: bool,
) -> (GradientsParams, Vec<(&'static str, f64)>, Option<f32>) {
    let data = TensorData::new(images.to_vec(), [truth.len(), 3, SIDE, SIDE]);
    let losses = model.losses(Tensor::from_data(data, &model.device()), truth);
    let share = share(&losses);
    let values = losses.iter().map(|part| (part.name, f64::from(part.value.clone().into_scalar::<f32>()))).collect();
    let total = losses.into_iter().map(|part| part.value).reduce(|sum, part| sum + part).expect("losses");
    let total = if shared { total * share.unwrap_or(1.0).max(1.0) } else { total };
    (GradientsParams::from_grads(total.backward(), model), values, share)
}

pub(super) fn sgd(model: &DetectionModel, clip_norm: Option<f32>) -> Optimizer {
    let rule = UpdateRule::Momentum { momentum: 0.0 };
    Optimizer::new(OptimizerSettings { rule, clip_norm, moving_average_decay: None }, model.variable_infos())
}

/// The largest distance of two models' variables, in parts of the largest change from `before`.
pub(super) fn distance(
    one: &BTreeMap<String, HostTensor>,
    other: &BTreeMap<String, HostTensor>,
    before: &BTreeMap<String, HostTensor>,
) -> f32 {
    let most = |a: &BTreeMap<String, HostTensor>, b: &BTreeMap<String, HostTensor>| {
        a.iter()
            .flat_map(|(name, a)| a.data.iter().zip(&b[name].data))
            .fold(0.0f32, |most, (a, b)| most.max((a - b).abs()))
    };
    most(one, other) / most(one, before)
}

#[test]
fn parts_of_a_batch_move_the_variables_as_the_whole_does() {
    for normalize in [true, false] {
        let model = model(normalize);
        let (images, truth) = batch();
        let before = model.variables();
        let (whole, losses, _) = gradients(&model, &images, &truth, false);
        let whole = sgd(&model, None).step(model.clone(), whole, 0.01).variables();

        let mut accumulated = Accumulated::default();
        let pixels = images.len() / IMAGES;
        for part in [0..2, 2..4, 4..5] {
            let pictures = &images[part.start * pixels..part.end * pixels];
            let (gradients, values, share) = gradients(&model, pictures, &truth[part], true);
            accumulated.add(&model, gradients, &values, share);
        }
        let (parts, of_parts) = accumulated.finish(&model);
        for ((name, whole), (_, parts)) in losses.iter().zip(&of_parts) {
            assert!((whole - parts).abs() < 1e-5 * whole.abs(), "{name} {normalize}: {parts} instead of {whole}");
        }
        let parts = sgd(&model, None).step(model.clone(), parts, 0.01).variables();
        let distance = distance(&whole, &parts, &before);
        assert!(distance < 1e-4, "{normalize}: {distance}");
    }
}

#[test]
fn what_is_frozen_stays_and_has_neither_gradient_nor_slots() {
    let model = model(true);
    let (images, truth) = batch();
    let rules = VariableRules::from_config(&proto::TrainConfig {
        freeze_variables: vec!["FeatureExtractor/".to_owned()],
        ..Default::default()
    })
    .expect("patterns");
    let infos = model.variable_infos();
    let (trained, all) = rules.count(&infos);
    assert!(trained > 0 && trained < all && rules.unused(&infos).is_empty());
    let slip = proto::TrainConfig {
        freeze_variables: vec!["Mobilenet_V9".to_owned(), "biases$".to_owned()],
        ..Default::default()
    };
    let slip =
        VariableRules::from_config(&slip).and_then(|rules| rules.with_factor("[Nn]owhere", 0.5)).expect("patterns");
    assert_eq!(slip.unused(&infos), ["Mobilenet_V9", "[Nn]owhere"], "what is found nowhere is named");
    let model = rules.freeze(model, &infos);
    let before = model.variables();
    let (gradients, ..) = gradients(&model, &images, &truth, false);
    assert_eq!(gradients.len(), trained, "no gradient is worked out for what is frozen");
    let mut optimizer = sgd(&model, Some(0.5)).with_rules(&rules);
    let model = optimizer.step(model, gradients, 0.1);
    for (name, after) in model.variables() {
        let moved = after != before[&name];
        assert!(!moved || name.starts_with("BoxPredictor"), "{name} is frozen");
        // Every anchor has a class, if only that of nothing.
        assert!(moved || !name.contains("ClassPredictor"), "{name} is trained");
    }
    assert!(optimizer.slots(&model).keys().all(|name| name.starts_with("BoxPredictor")));
}

#[test]
fn biases_move_faster_by_their_multiplier() {
    let (images, truth) = batch();
    let moved = |multiplier: f32| {
        let model = model(true);
        let train = proto::TrainConfig { bias_grad_multiplier: Some(multiplier), ..Default::default() };
        let rules = VariableRules::from_config(&train).expect("patterns");
        let before = model.variables();
        let (gradients, ..) = gradients(&model, &images, &truth, false);
        let after = sgd(&model, None).with_rules(&rules).step(model, gradients, 0.1).variables();
        let change =
            |name: &str| after[name].data.iter().zip(&before[name].data).map(|(a, b)| a - b).collect::<Vec<_>>();
        (change("BoxPredictor_0/ClassPredictor/biases"), change("BoxPredictor_0/ClassPredictor/weights"))
    };
    let (plain, tripled) = (moved(0.0), moved(3.0));
    assert!(plain.0.iter().zip(&tripled.0).all(|(a, b)| (b - 3.0 * a).abs() < 1e-5 + 1e-3 * b.abs()));
    assert!(plain.0.iter().any(|change| change.abs() > 1e-5));
    assert_eq!(plain.1, tripled.1);
}
