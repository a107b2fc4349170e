//! Whole configs through the builders.

use boxwright_config::proto::DetectionModel;
use boxwright_config::text_format;
use burn::tensor::{Device, Tensor};

use crate::builders::{BuildError, build_ssd, image_resizer_of};
use crate::image_resizer::Sizing;
use crate::regularizers::Regularizer;
use crate::target_assigner::Groundtruth;
use crate::{Mode, SsdModel};
use boxwright_core::geometry::NormalizedBox;
use boxwright_core::label_map::ClassIndex;

/// A small model: a quarter of the depth, 96 × 128 pictures, three classes.
const SMALL: &str = r#"
ssd {
  num_classes: 3
  image_resizer { fixed_shape_resizer { height: 96 width: 128 } }
  feature_extractor {
    type: "ssd_mobilenet_v1" depth_multiplier: 0.25 min_depth: 8
    conv_hyperparams {
      activation: RELU_6
      regularizer { l2_regularizer { weight: 0.00004 } }
      initializer { truncated_normal_initializer { stddev: 0.03 } }
      batch_norm { train: true scale: true center: true decay: 0.9 epsilon: 0.001 }
    }
  }
  box_coder { faster_rcnn_box_coder { } }
  matcher { argmax_matcher { force_match_for_each_row: true } }
  similarity_calculator { iou_similarity { } }
  box_predictor { convolutional_box_predictor {
    use_dropout: true dropout_keep_probability: 0.8 kernel_size: 3
    conv_hyperparams {
      regularizer { l2_regularizer { weight: 0.00004 } }
      initializer { random_normal_initializer { stddev: 0.01 } }
    }
  } }
  anchor_generator { ssd_anchor_generator { aspect_ratios: [1.0, 2.0, 0.5] } }
  post_processing { batch_non_max_suppression { score_threshold: 0.01 } score_converter: SIGMOID }
  loss {
    localization_loss { weighted_smooth_l1 { } }
    classification_loss { weighted_sigmoid { } }
    hard_example_miner { num_hard_examples: 100 iou_threshold: 0.99 loss_type: CLASSIFICATION max_negatives_per_positive: 3 }
  }
}
"#;

fn config(text: &str) -> DetectionModel {
    text_format::parse(text, "test").expect("a valid model")
}

fn small(device: &Device) -> SsdModel {
    build_ssd(&config(SMALL), 1, device).expect("a supported model")
}

fn error(from: &str, to: &str) -> BuildError {
    assert!(SMALL.contains(from), "{from} is in the config");
    build_ssd(&config(&SMALL.replacen(from, to, 1)), 1, &Device::flex()).expect_err("not supported")
}

#[test]
fn a_small_model_predicts_for_every_anchor() {
    let device = Device::flex();
    let model = small(&device);
    assert_eq!((model.input_size(), model.num_classes()), ((96, 128), 3));
    // 6×8, 3×4, 2×2 and three of 1×1 places; three anchors in the first, four in the others.
    assert_eq!(model.anchors().len(), 48 * 3 + (12 + 4 + 1 + 1 + 1) * 4);
    let predictions = model.forward(Tensor::zeros([2, 3, 96, 128], &device), Mode::Eval);
    assert_eq!(predictions.box_encodings.dims(), [2, model.anchors().len(), 4]);
    assert_eq!(predictions.class_logits.dims(), [2, model.anchors().len(), 4]);
    let found = model.folded().detect(Tensor::zeros([2, 3, 96, 128], &device), &[]);
    assert_eq!(found.len(), 2);
    assert!(found[0].windows(2).all(|pair| pair[0].score >= pair[1].score));
}

#[test]
fn variables_have_tensorflows_names_and_load_back() {
    let device = Device::flex();
    let model = small(&device);
    let infos = model.variable_infos();
    let find = |name: &str| infos.iter().find(|info| info.name == name).expect("a variable of that name");
    let kernel = find("FeatureExtractor/MobilenetV1/Conv2d_1_depthwise/depthwise_weights");
    assert_eq!(
        (kernel.shape.as_slice(), kernel.regularizer, kernel.trainable),
        (&[3, 3, 8, 1][..], Regularizer::L2(0.000_04), true)
    );
    let moving =
        find("FeatureExtractor/MobilenetV1/Conv2d_13_pointwise_2_Conv2d_5_3x3_s2_32/BatchNorm/moving_variance");
    assert_eq!((moving.shape.as_slice(), moving.regularizer, moving.trainable), (&[32][..], Regularizer::None, false));
    assert_eq!(find("BoxPredictor_1/ClassPredictor/weights").shape, [3, 3, 256, 16]);

    let mut values = model.variables();
    assert_eq!(values.len(), infos.len());
    let other = build_ssd(&config(SMALL), 2, &device).expect("supported");
    assert_ne!(other.variables(), values);
    let (other, report) = other.load_variables(&values);
    assert_eq!(other.variables(), values);
    assert!(report.missing.is_empty() && report.unused.is_empty() && report.wrong_shape.is_empty());

    let kernel = values.remove("BoxPredictor_1/ClassPredictor/weights").expect("there");
    values.insert("elsewhere".into(), kernel.clone());
    values.insert("BoxPredictor_0/ClassPredictor/biases".into(), kernel);
    let (_, report) = other.load_variables(&values);
    assert_eq!(report.missing, ["BoxPredictor_1/ClassPredictor/weights"]);
    assert_eq!(report.unused, ["elsewhere"]);
    assert_eq!(report.wrong_shape[0].0, "BoxPredictor_0/ClassPredictor/biases");
}

#[test]
fn training_passes_move_statistics_and_gradients_reach_every_trainable_variable() {
    let device = Device::flex().autodiff();
    let model = small(&device);
    let images = Tensor::<4>::random([2, 3, 96, 128], burn::tensor::Distribution::Uniform(0.0, 255.0), &device);
    let truth = Groundtruth {
        boxes: vec![NormalizedBox::new(0.1, 0.1, 0.6, 0.5)],
        classes: vec![ClassIndex(2)],
        weights: vec![1.0],
    };
    let before = model.variables();
    let clone = model.clone();
    let predictions = model.forward(images, Mode::Train);
    let losses = model.losses(&predictions, &[truth, Groundtruth::default()]);
    assert!(losses.num_matched > 0);
    let total = losses.localization + losses.classification;
    let gradients = total.backward();
    let gradients = burn::optim::GradientsParams::from_grads(gradients, &model);
    let after = model.variables();
    let statistic = "FeatureExtractor/MobilenetV1/Conv2d_0/BatchNorm/moving_mean";
    assert_ne!(before[statistic], after[statistic]);
    assert_eq!(before[statistic], clone.variables()[statistic], "a clone has statistics of its own");
    for info in model.variable_infos() {
        let reached = match info.shape.len() {
            4 => gradients.get::<4>(info.id).is_some(),
            _ => gradients.get::<1>(info.id).is_some(),
        };
        assert_eq!(reached, info.trainable, "{}", info.name);
    }
}

#[test]
fn frozen_batch_norm_keeps_its_statistics() {
    let device = Device::flex();
    let text = SMALL.replacen("num_classes: 3", "num_classes: 3 freeze_batchnorm: true", 1);
    let model = build_ssd(&config(&text), 1, &device).expect("supported");
    let before = model.variables();
    model.forward(Tensor::ones([1, 3, 96, 128], &device) * 100.0, Mode::Train);
    assert_eq!(before, model.variables());
}

#[test]
fn the_base_network_has_slims_own_hyperparameters_unless_overridden() {
    let device = Device::flex();
    let spread = |model: &SsdModel, name: &str| {
        let data = &model.variables()[name].data;
        let mean = data.iter().sum::<f32>() / data.len() as f32;
        (data.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / data.len() as f32).sqrt()
    };
    let name = "FeatureExtractor/MobilenetV1/Conv2d_13_pointwise/weights";
    // A normal distribution cut at two deviations keeps 0.88 of its own.
    assert!((spread(&small(&device), name) - 0.09 * 0.88).abs() < 0.002);
    let text = SMALL.replacen("min_depth: 8", "min_depth: 8 override_base_feature_extractor_hyperparams: true", 1);
    let overridden = build_ssd(&config(&text), 1, &device).expect("supported");
    assert!((spread(&overridden, name) - 0.03 * 0.88).abs() < 0.001);
}

#[test]
fn errors_name_the_field() {
    let fields = [
        ("num_classes: 3", "num_classes: 0", "model.ssd.num_classes"),
        ("ssd_mobilenet_v1", "ssd_mobilenet_edgetpu", "model.ssd.feature_extractor.type"),
        ("height: 96", "height: -1", "model.ssd.image_resizer.fixed_shape_resizer.height"),
        (
            "height: 96",
            "height: 96 convert_to_grayscale: true",
            "model.ssd.image_resizer.fixed_shape_resizer.convert_to_grayscale",
        ),
        (
            "weighted_sigmoid { }",
            "penalty_reduced_logistic_focal_loss { }",
            "model.ssd.loss.classification_loss.penalty_reduced_logistic_focal_loss",
        ),
        ("kernel_size: 3", "kernel_size: 0", "model.ssd.box_predictor.convolutional_box_predictor.kernel_size"),
        ("decay: 0.9 ", "decay: nan ", "model.ssd.feature_extractor.conv_hyperparams.batch_norm.decay"),
        ("aspect_ratios: [1.0, 2.0, 0.5]", "", "model.ssd.anchor_generator.ssd_anchor_generator.aspect_ratios"),
        (
            "score_threshold: 0.01",
            "iou_threshold: 2",
            "model.ssd.post_processing.batch_non_max_suppression.iou_threshold",
        ),
        ("box_coder { faster_rcnn_box_coder { } }", "", "model.ssd.box_coder"),
        ("faster_rcnn_box_coder", "keypoint_box_coder", "model.ssd.box_coder.keypoint_box_coder"),
        (
            "faster_rcnn_box_coder",
            "square_box_coder",
            "model.ssd.box_predictor.convolutional_box_predictor.box_code_size",
        ),
        ("weighted_sigmoid { }", "weighted_sigmoid_focal { }", "model.ssd.loss.hard_example_miner"),
        (
            "score_threshold: 0.01",
            "max_detections_per_class: 200",
            "model.ssd.post_processing.batch_non_max_suppression.max_detections_per_class",
        ),
        (
            "ssd_anchor_generator { aspect_ratios: [1.0, 2.0, 0.5] }",
            "grid_anchor_generator { scales: 1 aspect_ratios: 1 }",
            "model.ssd.anchor_generator",
        ),
    ];
    for (from, to, field) in fields {
        let error = error(from, to);
        assert_eq!(error.field, field, "{error}");
        assert!(!error.what.is_empty());
    }
    assert_eq!(build_ssd(&DetectionModel::default(), 0, &Device::flex()).expect_err("empty").field, "model");
    assert_eq!(
        image_resizer_of(&config("faster_rcnn { }")).expect_err("empty").field,
        "model.faster_rcnn.image_resizer"
    );
}

#[test]
fn a_class_count_that_asks_for_gigabytes_is_refused() {
    assert_eq!(error("num_classes: 3", "num_classes: 100000").field, "model.ssd.num_classes");
    assert_eq!(error("num_classes: 3", "num_classes: 2000000000").field, "model.ssd.num_classes");
}

/// Every part that is not in the sample config, in one model each, through a training step.
#[test]
fn every_part_trains() {
    let device = Device::flex().autodiff();
    let truth = Groundtruth {
        boxes: vec![NormalizedBox::new(0.1, 0.1, 0.6, 0.5), NormalizedBox::new(0.4, 0.5, 0.9, 0.9)],
        classes: vec![ClassIndex(2), ClassIndex(0)],
        weights: vec![1.0, 1.0],
    };
    for changes in [
        &[("faster_rcnn_box_coder", "mean_stddev_box_coder"), ("weighted_smooth_l1", "weighted_iou")][..],
        &[("faster_rcnn_box_coder", "square_box_coder"), ("kernel_size: 3", "kernel_size: 3 box_code_size: 3")],
        &[("argmax_matcher { force_match_for_each_row: true }", "bipartite_matcher { }")],
        &[("iou_similarity", "thresholded_iou_similarity"), ("weighted_smooth_l1", "weighted_giou")],
        &[("weighted_sigmoid", "weighted_logits_softmax"), ("score_converter: SIGMOID", "score_converter: SOFTMAX")],
        &[("weighted_sigmoid { }", "bootstrapped_sigmoid { alpha: 0.9 hard_bootstrap: true }")],
        &[(
            "hard_example_miner { num_hard_examples: 100 iou_threshold: 0.99 loss_type: CLASSIFICATION max_negatives_per_positive: 3 }",
            "random_example_sampler { positive_sample_fraction: 0.25 }",
        )],
        &[("score_threshold: 0.01", "use_combined_nms: true change_coordinate_frame: false")],
        &[(
            "score_converter: SIGMOID",
            "score_converter: SIGMOID calibration_config { function_approximation { x_y_pairs { x_y_pair { x: 0 y: 0 } x_y_pair { x: 1 y: 0.5 } } } }",
        )],
    ] {
        let mut text = SMALL.to_owned();
        for (from, to) in changes {
            assert!(text.contains(from), "{from} is in the config");
            text = text.replacen(from, to, 1);
        }
        let model = build_ssd(&config(&text), 1, &device).unwrap_or_else(|e| panic!("{changes:?}: {e}"));
        let images = Tensor::<4>::random([1, 3, 96, 128], burn::tensor::Distribution::Uniform(0.0, 255.0), &device);
        let losses = model.losses(&model.forward(images.clone(), Mode::Train), std::slice::from_ref(&truth));
        let total = losses.localization.clone() + losses.classification.clone();
        let value = total.clone().into_scalar::<f32>();
        // Codes taken for boxes can be inside out, and their generalized overlap then beyond 1.
        assert!(value.is_finite() && value != 0.0 && losses.num_matched > 0, "{changes:?}: {value}");
        let gradients = burn::optim::GradientsParams::from_grads(total.backward(), &model);
        for info in model.variable_infos().iter().filter(|info| info.trainable) {
            let reached = match info.shape.len() {
                4 => gradients.get::<4>(info.id).is_some(),
                _ => gradients.get::<1>(info.id).is_some(),
            };
            assert!(reached, "{changes:?}: {}", info.name);
        }
        assert_eq!(model.folded().detect(images, &[]).len(), 1);
    }
}

#[test]
fn drawn_anchors_follow_from_the_seed_and_the_step() {
    let device = Device::flex();
    let miner = "hard_example_miner { num_hard_examples: 100 iou_threshold: 0.99 loss_type: CLASSIFICATION max_negatives_per_positive: 3 }";
    let text = SMALL.replacen(miner, "random_example_sampler { positive_sample_fraction: 0.1 }", 1);
    let model = build_ssd(&config(&text), 1, &device).expect("supported");
    let truth = Groundtruth {
        boxes: vec![NormalizedBox::new(0.1, 0.1, 0.6, 0.5)],
        classes: vec![ClassIndex(2)],
        weights: vec![1.0],
    };
    let images = Tensor::random([1, 3, 96, 128], burn::tensor::Distribution::Uniform(0.0, 255.0), &device);
    let predictions = model.forward(images, Mode::Train);
    let loss = |step: u64| -> f32 {
        model.set_dropout_position(step);
        model.losses(&predictions, std::slice::from_ref(&truth)).classification.into_scalar::<f32>()
    };
    assert_eq!(loss(1), loss(1));
    assert_ne!(loss(1), loss(2));
}

#[test]
fn only_kernels_are_regularized() {
    let device = Device::flex();
    let text = SMALL.replace("l2_regularizer { weight: 0.00004 }", "l1_regularizer { weight: 0.5 }");
    let text = text.replacen("min_depth: 8", "min_depth: 8 override_base_feature_extractor_hyperparams: true", 1);
    let model = build_ssd(&config(&text), 1, &device).expect("supported");
    for info in model.variable_infos() {
        let is_kernel = info.name.ends_with("/weights") || info.name.ends_with("/depthwise_weights");
        let wanted = if is_kernel { Regularizer::L1(0.5) } else { Regularizer::None };
        assert_eq!(info.regularizer, wanted, "{}", info.name);
    }
    // A config that names no regularizer or initializer gets TensorFlow's: none, and Glorot's.
    let bare = SMALL.replacen("regularizer { l2_regularizer { weight: 0.00004 } }\n      initializer { random_normal_initializer { stddev: 0.01 } }", "", 1);
    assert_ne!(bare, SMALL);
    let model = build_ssd(&config(&bare), 1, &device).expect("supported");
    let head = model.variable_infos().into_iter().find(|info| info.name == "BoxPredictor_0/ClassPredictor/weights");
    assert_eq!(head.map(|info| info.regularizer), Some(Regularizer::None));
}

/// The small model with pictures that keep their shape and are filled up to 96 × 96.
fn filled_up(change_coordinate_frame: bool) -> DetectionModel {
    let resizer = "keep_aspect_ratio_resizer { min_dimension: 96 max_dimension: 96 pad_to_max_dimension: true }";
    let text = SMALL.replacen("fixed_shape_resizer { height: 96 width: 128 }", resizer, 1);
    let frame = format!("score_threshold: 0.01 change_coordinate_frame: {change_coordinate_frame}");
    config(&text.replacen("score_threshold: 0.01", &frame, 1))
}

#[test]
fn pictures_are_filled_up_with_what_the_network_takes_for_zero() {
    let with_network = |name: &str| {
        let mut config = filled_up(true);
        if let Some(boxwright_config::proto::detection_model::Model::Ssd(ssd)) = &mut config.model {
            ssd.feature_extractor.as_mut().expect("a network").r#type = Some(name.to_owned());
        }
        match image_resizer_of(&config).expect("a resizer").sizing {
            Sizing::KeepAspectRatio { pad: Some(colour), .. } => colour,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(with_network("ssd_mobilenet_v1"), [127.5; 3]);
    assert_eq!(with_network("ssd_resnet50_v1_fpn_keras"), [123.68, 116.779, 103.939]);
    assert_eq!(with_network("ssd_vgg16_reduced"), [123.0, 117.0, 104.0]);
}

#[test]
fn boxes_are_normalized_to_the_picture_without_its_filling() {
    let device = Device::flex();
    for change_coordinate_frame in [true, false] {
        let model = build_ssd(&filled_up(change_coordinate_frame), 1, &device).expect("a supported model");
        assert_eq!(model.input_size(), (96, 96));
        let predictions = model.forward(Tensor::zeros([1, 3, 96, 96], &device), Mode::Eval);
        let whole = model.postprocess_padded(predictions.clone(), &[[96, 96]]).remove(0);
        let upper_half = model.postprocess_padded(predictions, &[[48, 96]]).remove(0);
        assert!(!upper_half.is_empty() && upper_half.iter().all(|d| d.bounds.ymax <= 1.0 + 1e-6));
        // What lies in the upper half of the frame is found again, twice as high.
        let inside = whole.iter().filter(|d| d.bounds.ymax < 0.49).take(10);
        let mut compared = 0;
        for d in inside {
            let high = NormalizedBox::new(2.0 * d.bounds.ymin, d.bounds.xmin, 2.0 * d.bounds.ymax, d.bounds.xmax);
            let near = |other: &NormalizedBox| high.iou(other) > 0.999;
            compared += usize::from(upper_half.iter().any(|other| other.label == d.label && near(&other.bounds)));
        }
        assert!(compared > 0, "{change_coordinate_frame}");
    }
}
