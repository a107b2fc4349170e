//! The networks that an SSD stands on: names, depths, sizes, and that all of it trains.

use boxwright_config::proto::DetectionModel;
use boxwright_config::text_format;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Distribution, Tensor};

use crate::builders::{BuildError, build_ssd};
use crate::regularizers::Regularizer;
use crate::target_assigner::Groundtruth;
use crate::{Mode, SsdModel};
use boxwright_core::geometry::NormalizedBox;
use boxwright_core::label_map::ClassIndex;

const HYPERPARAMS: &str = r"
  conv_hyperparams {
    activation: RELU_6
    regularizer { l2_regularizer { weight: 0.00004 } }
    initializer { truncated_normal_initializer { stddev: 0.03 } }
    batch_norm { scale: true decay: 0.9 epsilon: 0.001 }
  }";

/// Rows and columns of the pictures.
const PICTURE: [usize; 2] = [96, 128];

/// A model of two classes on pictures of this size with this feature extractor and predictor.
fn config([height, width]: [usize; 2], extractor: &str, predictor: &str) -> String {
    format!(
        "ssd {{
          num_classes: 2
          image_resizer {{ fixed_shape_resizer {{ height: {height} width: {width} }} }}
          feature_extractor {{ {extractor} {HYPERPARAMS} }}
          box_coder {{ faster_rcnn_box_coder {{ }} }}
          matcher {{ argmax_matcher {{ force_match_for_each_row: true }} }}
          similarity_calculator {{ iou_similarity {{ }} }}
          box_predictor {{ {predictor} {HYPERPARAMS} }} }}
          anchor_generator {{ ssd_anchor_generator {{ aspect_ratios: [1.0, 2.0] reduce_boxes_in_lowest_layer: false num_layers: 5 }} }}
          post_processing {{ batch_non_max_suppression {{ }} score_converter: SIGMOID }}
          loss {{ localization_loss {{ weighted_smooth_l1 {{ }} }} classification_loss {{ weighted_sigmoid {{ }} }} }}
        }}"
    )
}

pub(super) const CONVOLUTIONAL: &str =
    "convolutional_box_predictor { use_dropout: false kernel_size: 3 use_depthwise: true";
pub(super) const SHARED: &str = "weight_shared_convolutional_box_predictor { depth: 16 num_layers_before_predictor: 2 \
                      class_prediction_bias_init: -4.6 use_depthwise: true share_prediction_tower: true";

pub(super) fn build(extractor: &str, predictor: &str, device: &Device) -> Result<SsdModel, BuildError> {
    build_for(PICTURE, extractor, predictor, device)
}

pub(super) fn build_for(
    picture: [usize; 2],
    extractor: &str,
    predictor: &str,
    device: &Device,
) -> Result<SsdModel, BuildError> {
    let config = config(picture, extractor, predictor);
    let model: DetectionModel = text_format::parse(&config, "test").expect("a valid model");
    build_ssd(&model, 1, device)
}

/// The shape of a variable; `None` where the model has none of that name.
pub(super) fn shape(model: &SsdModel, name: &str) -> Option<Vec<usize>> {
    model.variable_infos().into_iter().find(|info| info.name == name).map(|info| info.shape)
}

/// Trains a step: every trainable variable must get a gradient, and predictions fit the anchors.
pub(super) fn check_trains(extractor: &str, predictor: &str) -> SsdModel {
    check_trains_on(PICTURE, extractor, predictor)
}

pub(super) fn check_trains_on(picture: [usize; 2], extractor: &str, predictor: &str) -> SsdModel {
    let device = Device::flex().autodiff();
    let model = build_for(picture, extractor, predictor, &device).unwrap_or_else(|e| panic!("{extractor}: {e}"));
    let images = Tensor::<4>::random([2, 3, picture[0], picture[1]], Distribution::Uniform(0.0, 255.0), &device);
    let truth = Groundtruth {
        boxes: vec![NormalizedBox::new(0.1, 0.2, 0.6, 0.7)],
        classes: vec![ClassIndex(1)],
        weights: vec![1.0],
    };
    let predictions = model.forward(images, Mode::Train);
    assert_eq!(predictions.box_encodings.dims(), [2, model.anchors().len(), 4], "{extractor}");
    let losses = model.losses(&predictions, &[truth.clone(), truth]);
    let gradients = GradientsParams::from_grads((losses.localization + losses.classification).backward(), &model);
    for info in model.variable_infos() {
        let reached = match info.shape.len() {
            4 => gradients.get::<4>(info.id).is_some(),
            _ => gradients.get::<1>(info.id).is_some(),
        };
        assert_eq!(reached, info.trainable, "{extractor}: {}", info.name);
    }
    model
}

#[test]
fn every_network_trains_with_every_predictor() {
    for kind in ["ssd_mobilenet_v1", "ssd_mobilenet_v2", "ssd_mobilenet_v1_fpn", "ssd_mobilenet_v2_fpn"] {
        for (end, predictor) in [("", CONVOLUTIONAL), ("_keras", SHARED)] {
            let fpn = if kind.ends_with("fpn") { "fpn { additional_layer_depth: 64 }" } else { "num_layers: 5" };
            check_trains(
                &format!(
                    "type: '{kind}{end}' depth_multiplier: 0.25 min_depth: 8 use_depthwise: true pad_to_multiple: 128 {fpn}"
                ),
                predictor,
            );
        }
    }
}

#[test]
fn mobilenet_v2_is_named_and_sized_as_slims() {
    let device = Device::flex();
    let model = build("type: 'ssd_mobilenet_v2' depth_multiplier: 0.35 num_layers: 5", CONVOLUTIONAL, &device)
        .expect("supported");
    let scope = "FeatureExtractor/MobilenetV2";
    assert_eq!(shape(&model, &format!("{scope}/Conv/weights")), Some(vec![3, 3, 3, 16]));
    assert_eq!(shape(&model, &format!("{scope}/expanded_conv/expand/weights")), None);
    assert_eq!(shape(&model, &format!("{scope}/expanded_conv_13/expand/weights")), Some(vec![1, 1, 32, 192]));
    assert_eq!(shape(&model, &format!("{scope}/Conv_1/weights")), Some(vec![1, 1, 112, 448]));
    assert_eq!(shape(&model, &format!("{scope}/layer_19_2_Conv2d_2_3x3_s2_179/weights")), Some(vec![3, 3, 89, 179]));
    // The base's depthwise kernels are not regularized, the heads' are.
    let penalty =
        |name: &str| model.variable_infos().into_iter().find(|info| info.name == name).map(|info| info.regularizer);
    assert_eq!(penalty(&format!("{scope}/expanded_conv/depthwise/depthwise_weights")), Some(Regularizer::None));
    assert_eq!(penalty("BoxPredictor_0/ClassPredictor_depthwise/depthwise_weights"), Some(Regularizer::L2(0.000_04)));
}

#[test]
fn a_keras_network_is_deeper_where_keras_is() {
    let device = Device::flex();
    let slim = |light: bool, end: &str| {
        let extractor = format!("type: 'ssd_mobilenet_v2_fpn{end}' use_depthwise: {light} pad_to_multiple: 128");
        let model = build(&extractor, SHARED, &device).expect("supported");
        shape(&model, "FeatureExtractor/MobilenetV2/Conv_1/weights").expect("there")[3]
    };
    assert_eq!([slim(false, ""), slim(true, ""), slim(true, "_keras")], [1280, 256, 1280]);
    // Keras' MobileNet v1 multiplies twice.
    let model = build("type: 'ssd_mobilenet_v1_keras' depth_multiplier: 0.5 num_layers: 5", CONVOLUTIONAL, &device)
        .expect("supported");
    assert_eq!(shape(&model, "FeatureExtractor/MobilenetV1/Conv2d_13_pointwise/weights"), Some(vec![1, 1, 256, 256]));
    // And its separable heads start at Glorot's, without a regularizer.
    let infos = model.variable_infos();
    let find = |name: &str| infos.iter().find(|info| info.name == name).expect("there").regularizer;
    assert_eq!(find("BoxPredictor_0/ClassPredictor_depthwise/depthwise_weights"), Regularizer::None);
    assert_eq!(find("BoxPredictor_0/ClassPredictor/weights"), Regularizer::L2(0.000_04));
}

#[test]
fn a_shared_predictor_has_batch_norm_for_each_level() {
    let device = Device::flex();
    let model = build("type: 'ssd_mobilenet_v1_fpn' pad_to_multiple: 128", SHARED, &device).expect("supported");
    let scope = "WeightSharedConvolutionalBoxPredictor";
    assert_eq!(shape(&model, &format!("{scope}/PredictionTower/conv2d_1/depthwise_weights")), Some(vec![3, 3, 16, 1]));
    assert_eq!(shape(&model, &format!("{scope}/PredictionTower/conv2d_1/pointwise_weights")), Some(vec![1, 1, 16, 16]));
    assert_eq!(shape(&model, &format!("{scope}/PredictionTower/conv2d_1/BatchNorm/feature_4/beta")), Some(vec![16]));
    assert_eq!(shape(&model, &format!("{scope}/ClassPredictor/depthwise_weights")), Some(vec![3, 3, 16, 1]));
    let bias = &model.variables()[&format!("{scope}/ClassPredictor/biases")];
    assert!(bias.data.iter().all(|value| *value == -4.6));
    // Feature maps of different depths are projected to the depth of most, here the first of two.
    let model = build("type: 'ssd_mobilenet_v1' num_layers: 5", SHARED, &device).expect("supported");
    assert_eq!(shape(&model, &format!("{scope}/ProjectionLayer/conv2d_1/weights")), Some(vec![1, 1, 1024, 512]));
    assert_eq!(shape(&model, &format!("{scope}/ProjectionLayer/conv2d_1/BatchNorm/gamma")), Some(vec![512]));
}

#[test]
fn padding_changes_the_maps_and_not_the_anchors_frame() {
    let device = Device::flex();
    let count = |extractor: &str| build(extractor, SHARED, &device).expect("supported").anchors().len();
    // 96 × 128 needs no padding to 32, and is 128 × 128 padded to 128.
    let fpn = "type: 'ssd_mobilenet_v1_fpn' fpn { max_level: 7 }";
    assert_eq!(count(&format!("{fpn} pad_to_multiple: 32")), 3 * (12 * 16 + 6 * 8 + 3 * 4 + 2 * 2 + 1));
    assert_eq!(count(&format!("{fpn} pad_to_multiple: 128")), 3 * (256 + 64 + 16 + 4 + 1));
}

#[test]
fn refusals_name_the_field() {
    let device = Device::flex();
    let field = |extractor: &str, predictor: &str| build(extractor, predictor, &device).expect_err("refused").field;
    let extractor = "model.ssd.feature_extractor";
    assert_eq!(field("type: 'ssd_mobilenet_v1' fpn { }", SHARED), format!("{extractor}.fpn"));
    assert_eq!(field("type: 'ssd_mobilenet_v1_fpn' bifpn { }", SHARED), format!("{extractor}.bifpn"));
    assert_eq!(
        field("type: 'ssd_mobilenet_v2_fpn' fpn { min_level: 1 }", SHARED),
        format!("{extractor}.fpn.min_level")
    );
    assert_eq!(field("type: 'ssd_mobilenet_v2' num_layers: 4", SHARED), "model.ssd.anchor_generator");
    assert_eq!(
        field(
            "type: 'ssd_mobilenet_v1' num_layers: 5",
            "weight_shared_convolutional_box_predictor { num_layers_before_predictor: 1"
        ),
        "model.ssd.box_predictor.weight_shared_convolutional_box_predictor.depth"
    );
    let device = Device::flex();
    let text = config(PICTURE, "type: 'ssd_mobilenet_v1_fpn'", SHARED).replace("height: 96", "height: 100");
    let model: DetectionModel = text_format::parse(&text, "test").expect("a valid model");
    assert_eq!(build_ssd(&model, 1, &device).expect_err("does not fit").field, "model.ssd.image_resizer");
}
