//! Faster R-CNN: both stages against TFOD's numbers, and a small one that trains.

use std::path::Path;

use boxwright_config::{proto, text_format};
use boxwright_core::Detection;
use boxwright_core::geometry::NormalizedBox;
use boxwright_core::label_map::ClassIndex;
use boxwright_golden::{
    Row, Value, boxes, files, integers, json, list, number, number64, numbers, size, tensors, text,
};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Distribution, Tensor};

use super::hash_init::{models, picture, weights};
use crate::balanced_sampler::Lot;
use crate::builders::{self, BuildError};
use crate::meta_architectures::faster_rcnn::{FasterRcnnModel, FasterRcnnPredictions};
use crate::{DetectionModel, Groundtruth};

fn build(model: &proto::DetectionModel, device: &Device) -> Result<FasterRcnnModel, BuildError> {
    match builders::build_model(model, 1, device)? {
        DetectionModel::FasterRcnn(model) => Ok(model),
        DetectionModel::Ssd(_) => panic!("not a Faster R-CNN"),
    }
}

/// The model of a folder with its weights.
fn loaded(folder: &Path, model: &proto::DetectionModel, device: &Device) -> FasterRcnnModel {
    let built = build(model, device).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let (built, report) = built.load_variables(&weights(folder));
    let unread = [report.missing, report.unused].concat();
    assert!(unread.is_empty() && report.wrong_shape.is_empty(), "{}: {unread:?}", folder.display());
    built
}

fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.clone().into_data().iter::<f32>().collect()
}

/// Mean, standard deviation, smallest and largest of a map, and its first values in TensorFlow's order.
fn compare_statistics(row: &mut Row, name: &str, map: &Tensor<4>, golden: &Value) {
    let nhwc = values(&map.clone().permute([0, 2, 3, 1]));
    let count = nhwc.len() as f64;
    let mean = nhwc.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
    let variance = nhwc.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / count;
    let largest = number64(&golden["min"]).abs().max(number64(&golden["max"]).abs()).max(1.0);
    for (what, ours) in [("mean", mean), ("std", variance.sqrt())] {
        let deviation = (ours - number64(&golden[what])).abs() / largest;
        row.deviation(|| format!("{name} {what}: {ours} instead of {}", golden[what]), deviation);
    }
    for (i, (ours, golden)) in nhwc.iter().zip(numbers(&golden["first8"])).enumerate() {
        row.deviation(
            || format!("{name}[{i}]: {ours} instead of {golden}"),
            f64::from((ours - golden).abs()) / largest,
        );
    }
}

#[test]
fn parity_of_forward_passes() {
    let device = Device::flex();
    // Weights by formula magnify rounding from layer to layer.
    let mut features = Row::new("models_hashinit/faster_rcnn maps", 1e-3);
    let mut raw = Row::new("models_hashinit/faster_rcnn raw", 1e-3);
    let mut found = Row::new("models_hashinit/faster_rcnn found", 1e-3);
    for (folder, config) in models("faster_rcnn") {
        let model = loaded(&folder, &config, &device);
        for path in files(&folder, "image", ".expected.json") {
            let golden = json(&path);
            let (image, true_shape) = picture(&folder.join(text(&golden["image"])), &config, &device);
            let wanted: Vec<usize> = list(&golden["true_image_shape"][0])[..2].iter().map(size).collect();
            assert_eq!(true_shape.to_vec(), wanted, "{}", path.display());
            let preprocessed = model.preprocess(image);
            features.case();
            compare_statistics(&mut features, "preprocessed", &preprocessed, &golden["preprocessed"]);
            let folded = model.folded();
            let rpn_of_folded = folded.predict(preprocessed.clone()).rpn;
            let predictions = model.predict(preprocessed);
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let of = |what: &str| format!("{name} {what}");
            let rpn = &predictions.rpn;
            compare_statistics(&mut features, &of("features"), &rpn.features, &golden["rpn_features_to_crop"][0]);

            let outputs = tensors(&folder.join(text(&golden["raw_file"])));
            raw.case();
            raw.compare_to_largest(&of("anchors"), &rpn.anchors.concat(), &outputs["anchors"].data);
            let mut compare = |what: &str, ours: &[f32]| raw.compare_absolute(&of(what), ours, &outputs[what].data);
            compare("rpn_box_encodings", &values(&rpn.box_encodings));
            compare("rpn_objectness_predictions_with_background", &values(&rpn.objectness));
            compare("rpn_box_encodings", &values(&rpn_of_folded.box_encodings));
            compare("rpn_objectness_predictions_with_background", &values(&rpn_of_folded.objectness));
            let second = predictions.box_classifier.as_ref().expect("two stages");
            let proposals = &second.proposals[0].normalized;
            assert_eq!(second.proposals[0].count, size(&golden["num_proposals_values"][0]));
            let (golden_proposals, _) = outputs["proposal_boxes_normalized"].data.as_chunks::<4>();
            // Proposals whose scores are equal but for rounding may change places.
            compare("proposal_boxes_normalized", &in_order_of(golden_proposals, proposals).concat());
            // The last bit of a box decides whether the last row of its crop falls off the picture, so the second
            // stage looks at TFOD's own.
            let rpn = predictions.rpn.clone();
            let second = model.classify(&rpn, &[golden_proposals.to_vec()]).expect("two stages");
            compare("refined_box_encodings", &values(&second.refined_box_encodings));
            compare("class_predictions_with_background", &values(&second.class_logits));
            let folded = folded.classify(&rpn, &[golden_proposals.to_vec()]).expect("two stages");
            compare("refined_box_encodings", &values(&folded.refined_box_encodings));
            compare("class_predictions_with_background", &values(&folded.class_logits));

            found.case();
            for second in [second, folded] {
                let predictions = FasterRcnnPredictions { rpn: rpn.clone(), box_classifier: Some(second) };
                let detections = model.post_process(&predictions, &[true_shape]).pop().expect("one picture");
                compare_detections(&mut found, &name, &detections, &golden);
            }
        }
    }
    features.finish();
    raw.finish();
    found.finish();
}

/// For each golden proposal the nearest of ours.
fn in_order_of(golden: &[[f32; 4]], ours: &[[f32; 4]]) -> Vec<[f32; 4]> {
    let distance = |a: &[f32; 4], b: &[f32; 4]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f32>();
    let mut left = ours.to_vec();
    let nearest = |row: &[f32; 4]| {
        let near = |&i: &usize, &j: &usize| distance(row, &left[i]).total_cmp(&distance(row, &left[j]));
        let found = (0..left.len()).min_by(near)?;
        Some(left.swap_remove(found))
    };
    golden.iter().filter_map(nearest).collect()
}

fn compare_detections(row: &mut Row, name: &str, ours: &[Detection], golden: &Value) {
    let count = size(&golden["num_detections"]);
    assert_eq!(ours.len(), count, "{name}");
    let (bounds, scores) = (boxes(&golden["detection_boxes"]), numbers(&golden["detection_scores"]));
    let classes = integers(&golden["detection_classes_0based"]);
    for i in 0..count {
        // Equal scores may change places: match by class and box.
        let distance =
            |d: &&Detection| -> f32 { d.bounds.to_array().iter().zip(bounds[i]).map(|(a, b)| (a - b).abs()).sum() };
        let of_class = ours.iter().filter(|d| i64::from(d.label.get()) == classes[i] + 1);
        let same = of_class.min_by(|a, b| distance(a).total_cmp(&distance(b))).expect("a detection of that class");
        row.compare(&format!("{name} score {i}"), &[same.score], &[scores[i]]);
        row.compare(&format!("{name} box {i}"), &same.bounds.to_array(), &bounds[i]);
    }
}

#[test]
fn parity_of_training_losses_and_gradients() {
    let device = Device::flex().autodiff();
    let mut losses = Row::new("models_hashinit/faster_rcnn losses", 1e-3);
    let mut gradients = Row::new("models_hashinit/faster_rcnn gradients", 2e-2);
    for (folder, mut config) in models("faster_rcnn") {
        let path = folder.join("train_losses.json");
        if !path.exists() {
            continue;
        }
        let golden = json(&path);
        change(&mut config, text(&golden["config_change"]));
        let model = loaded(&folder, &config, &device);
        let (image, _) = picture(&folder.join(text(&golden["image"])), &config, &device);
        let truth = Groundtruth {
            boxes: boxes(&golden["groundtruth_boxes"]).into_iter().map(NormalizedBox::from_array).collect(),
            classes: list(&golden["groundtruth_classes_0based"]).iter().map(|c| ClassIndex(size(c))).collect(),
            weights: vec![1.0; list(&golden["groundtruth_boxes"]).len()],
        };
        let (predictions, found) = model.losses_with(image, &[truth], Lot::First);
        assert_eq!(predictions.rpn.anchors.len(), size(&golden["predictions"]["anchors"]["shape"][0]));
        let (boxes, classes) = found.box_classifier.expect("two stages");
        let parts = [
            ("RPNLoss/localization_loss", found.rpn_localization),
            ("RPNLoss/objectness_loss", found.rpn_objectness),
            ("BoxClassifierLoss/localization_loss", boxes),
            ("BoxClassifierLoss/classification_loss", classes),
        ];
        losses.case();
        let mut total = Tensor::<1>::zeros([1], &device);
        for (name, part) in parts {
            let wanted = number(&golden["losses"][format!("Loss/{name}")]);
            let ours: f32 = part.clone().into_scalar();
            losses
                .deviation(|| format!("{name}: {ours} instead of {wanted}"), f64::from((ours - wanted).abs() / wanted));
            total = total + part;
        }
        gradients.case();
        compare_gradients(&mut gradients, &model, GradientsParams::from_grads(total.backward(), &model), &golden);
    }
    losses.finish();
    gradients.finish();
}

/// What `config_change` asks for: `field: value`, then words.
fn change(config: &mut proto::DetectionModel, change: &str) {
    let Some(proto::detection_model::Model::FasterRcnn(model)) = &mut config.model else { panic!("a Faster R-CNN") };
    let (field, rest) = change.split_once(':').expect("a field");
    assert_eq!(field.trim(), "second_stage_batch_size", "{change}");
    let digits: String = rest.trim().chars().take_while(char::is_ascii_digit).collect();
    model.second_stage_batch_size = Some(digits.parse().expect("a number"));
}

/// The length of each gradient, and its first values.
fn compare_gradients(row: &mut Row, model: &FasterRcnnModel, grads: GradientsParams, golden: &Value) {
    let infos = model.variable_infos();
    for entry in list(&golden["gradients"]) {
        let name = text(&entry["name"]);
        let info = infos.iter().find(|info| info.name == name).unwrap_or_else(|| panic!("{name}: no variable"));
        let ours = match info.shape.len() {
            4 => grads.get::<4>(info.id).map(|gradient| values(&gradient)),
            2 => grads.get::<2>(info.id).map(|gradient| values(&gradient)),
            _ => grads.get::<1>(info.id).map(|gradient| values(&gradient)),
        };
        let ours = ours.unwrap_or_else(|| panic!("{name}: no gradient"));
        let length = ours.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        let wanted = number64(&entry["l2"]);
        row.deviation(|| format!("{name}: {length} instead of {wanted}"), (length - wanted).abs() / wanted.max(1e-6));
    }
}

/// A small model of one or two stages, on pictures of 64 to 96.
pub(super) fn small(stages: usize, more: &str) -> String {
    format!(
        "faster_rcnn {{
          number_of_stages: {stages}
          num_classes: 2
          image_resizer {{ keep_aspect_ratio_resizer {{ min_dimension: 64 max_dimension: 96 }} }}
          feature_extractor {{ type: 'faster_rcnn_inception_v2' first_stage_features_stride: 16 batch_norm_trainable: true }}
          first_stage_anchor_generator {{ grid_anchor_generator {{ scales: [0.1, 0.2] aspect_ratios: [1.0, 2.0] }} }}
          first_stage_box_predictor_depth: 16
          first_stage_box_predictor_conv_hyperparams {{ op: CONV regularizer {{ l2_regularizer {{ }} }}
            initializer {{ truncated_normal_initializer {{ stddev: 0.01 }} }} }}
          first_stage_max_proposals: 12
          initial_crop_size: 4 maxpool_kernel_size: 2 maxpool_stride: 2
          second_stage_batch_size: 6
          second_stage_box_predictor {{ mask_rcnn_box_predictor {{ use_dropout: true dropout_keep_probability: 0.5
            fc_hyperparams {{ op: FC regularizer {{ l2_regularizer {{ }} }}
              initializer {{ variance_scaling_initializer {{ }} }} }} }} }}
          second_stage_post_processing {{ batch_non_max_suppression {{ max_detections_per_class: 5 max_total_detections: 5 }} score_converter: SOFTMAX }}
          {more}
        }}"
    )
}

fn parsed(config: &str) -> proto::DetectionModel {
    text_format::parse(config, "test").expect("a valid config")
}

fn batch(device: &Device) -> (Tensor<4>, Vec<Groundtruth>) {
    let images = Tensor::<4>::random([2, 3, 64, 96], Distribution::Uniform(0.0, 255.0), device);
    let truth = |bounds: &[[f32; 4]]| Groundtruth {
        boxes: bounds.iter().map(|b| NormalizedBox::from_array(*b)).collect(),
        classes: bounds.iter().map(|_| ClassIndex(1)).collect(),
        weights: vec![1.0; bounds.len()],
    };
    // One picture has nothing in it.
    (images, vec![truth(&[[0.1, 0.1, 0.7, 0.6], [0.5, 0.5, 0.9, 0.9]]), truth(&[])])
}

#[test]
fn both_stages_train_and_detect() {
    let device = Device::flex().autodiff();
    for more in ["", "hard_example_miner { num_hard_examples: 4 iou_threshold: 0.7 }", "clip_anchors_to_image: true"] {
        let model = build(&parsed(&small(2, more)), &device).expect("supported");
        let (images, truth) = batch(&device);
        let losses = model.losses(images.clone(), &truth);
        let (boxes, classes) = losses.box_classifier.expect("two stages");
        let total = losses.rpn_localization + losses.rpn_objectness + boxes + classes;
        let value: f32 = total.clone().into_scalar();
        assert!(value.is_finite() && value > 0.0, "{more}: {value}");
        let grads = GradientsParams::from_grads(total.backward(), &model);
        let seen = |name: &str| {
            let infos = model.variable_infos();
            let info = infos.iter().find(|info| info.name == name).unwrap_or_else(|| panic!("{name}"));
            let gradient = grads.get::<4>(info.id).unwrap_or_else(|| panic!("{name}: no gradient"));
            values(&gradient).iter().any(|v| *v != 0.0)
        };
        // Through the crops into the first layer, and into both stages' own.
        assert!(seen("FirstStageFeatureExtractor/InceptionV2/Conv2d_1a_7x7/depthwise_weights"), "{more}");
        assert!(seen("SecondStageFeatureExtractor/InceptionV2/Mixed_5b/Branch_0/Conv2d_0a_1x1/weights"), "{more}");
        assert!(seen("FirstStageBoxPredictor/ClassPredictor/weights"), "{more}");

        let found = model.folded().detect(images, &[[64, 96], [40, 96]]);
        assert_eq!(found.len(), 2);
        for detection in found.iter().flatten() {
            assert!(detection.bounds.to_array().iter().all(|v| (0.0..=1.0 + 1e-6).contains(v)), "{detection:?}");
            assert!(detection.score > 0.0 && detection.score <= 1.0);
        }
        assert!(found.iter().all(|found| found.len() <= 5));
    }
}

#[test]
fn a_step_follows_from_seed_and_position() {
    let device = Device::flex();
    let config = parsed(&small(2, ""));
    let (images, truth) = batch(&device);
    let total = |position: u64| -> f32 {
        let model = build(&config, &device).expect("supported");
        model.set_dropout_position(position);
        let losses = model.losses(images.clone(), &truth);
        losses.box_classifier.expect("two stages").1.into_scalar()
    };
    assert_eq!(total(3), total(3));
    assert_ne!(total(3), total(4));
}

#[test]
fn one_stage_gives_its_proposals() {
    let device = Device::flex();
    let model = build(&parsed(&small(1, "")), &device).expect("supported");
    let (images, truth) = batch(&device);
    assert!(model.losses(images.clone(), &truth).box_classifier.is_none());
    assert!(model.variable_infos().iter().all(|info| !info.name.starts_with("SecondStageBoxPredictor")));
    let found = model.folded().detect(images, &[[64, 96]; 2]);
    assert!(found.iter().all(|found| !found.is_empty() && found.len() <= 12));
    assert!(found.iter().flatten().all(|d| d.label.get() == 1 && d.bounds.ymax <= 1.0 + 1e-6));
}

#[test]
fn a_tiny_picture_is_no_trouble() {
    let device = Device::flex().autodiff();
    let model = build(&parsed(&small(2, "")), &device).expect("supported");
    for side in [1, 17] {
        let images = Tensor::<4>::zeros([1, 3, side, side], &device);
        assert_eq!(model.folded().detect(images.clone(), &[[side, side]]).len(), 1);
        let losses = model.losses(images, &[Groundtruth::default()]);
        let objectness: f32 = losses.rpn_objectness.into_scalar();
        assert!(objectness.is_finite());
    }
}

#[test]
fn a_keras_residual_network_halves_each_proposal() {
    let device = Device::flex();
    let config = small(2, "").replace("faster_rcnn_inception_v2", "faster_rcnn_resnet50_keras");
    let model = build(&parsed(&config), &device).expect("supported");
    let names: Vec<String> = model.variable_infos().into_iter().map(|info| info.name).collect();
    let has = |begin: &str| names.iter().any(|name| name.starts_with(begin));
    // Slim's network has a fourth block that is never run.
    assert!(
        has("FirstStageFeatureExtractor/resnet_v1_50/block3/")
            && !has("FirstStageFeatureExtractor/resnet_v1_50/block4")
    );
    assert!(has("SecondStageFeatureExtractor/resnet_v1_50/block4/unit_1/bottleneck_v1/shortcut/"));
    let mut seen = std::collections::BTreeMap::new();
    let images = Tensor::<4>::random([1, 3, 64, 96], Distribution::Uniform(0.0, 255.0), &device);
    model.observe_convolutions(images, &mut |scope, tensor| {
        let [_, _, rows, columns] = tensor.dims();
        seen.insert(scope.to_owned(), [rows, columns]);
    });
    let of = |scope: &str| seen[scope];
    assert_eq!(of("FirstStageFeatureExtractor/resnet_v1_50/block2/unit_1/bottleneck_v1/conv1"), [8, 12]);
    assert_eq!(of("FirstStageFeatureExtractor/resnet_v1_50/block3/unit_6/bottleneck_v1/conv3"), [4, 6]);
    assert_eq!(of("SecondStageFeatureExtractor/resnet_v1_50/block4/unit_3/bottleneck_v1/conv3"), [1, 1]);
}

#[test]
fn what_is_not_supported_is_named() {
    let device = Device::flex();
    let refused = |config: &str| match builders::build_model(&parsed(config), 0, &device) {
        Ok(_) => panic!("built"),
        Err(BuildError { field, .. }) => field,
    };
    let two = |more: &str| small(2, more);
    for (config, field) in [
        (small(3, ""), "number_of_stages"),
        (two("use_combined_nms_in_first_stage: true"), "use_combined_nms_in_first_stage"),
        (two("context_config { }"), "context_config"),
        (
            two("").replace("first_stage_features_stride: 16", "first_stage_features_stride: 4"),
            "feature_extractor.first_stage_features_stride",
        ),
        (two("").replace("faster_rcnn_inception_v2", "faster_rcnn_nas"), "feature_extractor.type"),
        (
            two("").replace("use_dropout: true", "predict_instance_masks: true"),
            "second_stage_box_predictor.mask_rcnn_box_predictor.predict_instance_masks",
        ),
        (two("").replace("maxpool_kernel_size: 2", "maxpool_kernel_size: 5"), "maxpool_kernel_size"),
        (
            two("").replace(
                "grid_anchor_generator { scales: [0.1, 0.2] aspect_ratios: [1.0, 2.0] }",
                "multiscale_anchor_generator { aspect_ratios: 1.0 }",
            ),
            "first_stage_anchor_generator",
        ),
    ] {
        assert_eq!(refused(&config), format!("model.faster_rcnn.{field}"));
    }
}
