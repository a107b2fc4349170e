//! ResNet v1, Inception v2 and VGG-16 reduced under SSD: TFOD's numbers, names, sizes, and that they train.

use boxwright_config::proto;
use boxwright_golden::{Row, files, json, tensors, text};
use burn::tensor::{Device, Tensor};

use super::hash_init::{models, picture, weights};
use super::ssd_networks::{CONVOLUTIONAL, SHARED, build, build_for, check_trains, check_trains_on, shape};
use crate::builders;

/// The `feature_extractor.type` of an SSD.
fn type_of(model: &proto::DetectionModel) -> String {
    match &model.model {
        Some(proto::detection_model::Model::Ssd(ssd)) => {
            ssd.feature_extractor.as_ref().map(|extractor| extractor.r#type().to_owned()).unwrap_or_default()
        }
        _ => String::new(),
    }
}

#[test]
fn parity_of_forward_passes() {
    let device = Device::flex();
    let mut row = Row::new("models_hashinit/ssd backbones", 1e-3);
    for (folder, config) in models("ssd") {
        let kind = type_of(&config);
        if !["resnet", "inception", "vgg"].iter().any(|network| kind.contains(network)) {
            continue;
        }
        let model = builders::build_ssd(&config, 0, &device).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        let (model, report) = model.load_variables(&weights(&folder));
        let unread = [report.missing, report.unused].concat();
        assert!(unread.is_empty() && report.wrong_shape.is_empty(), "{}: {unread:?}", folder.display());
        for path in files(&folder, "image", ".expected.json") {
            let golden = json(&path);
            let (image, _) = picture(&folder.join(text(&golden["image"])), &config, &device);
            let image = model.preprocess(image);
            let passes = [model.predict(image.clone()), model.folded().predict(image)];
            let outputs = tensors(&folder.join(text(&golden["raw_file"])));
            let logits = outputs.get("class_logits").or_else(|| outputs.get("class_predictions_with_background"));
            let values = |tensor: Tensor<3>| tensor.into_data().iter::<f32>().collect::<Vec<_>>();
            row.case();
            row.compare_absolute(&format!("{kind} anchors"), &model.anchors().concat(), &outputs["anchors"].data);
            for (way, predictions) in ["", " folded"].into_iter().zip(passes) {
                let found = values(predictions.box_encodings);
                row.compare_absolute(&format!("{kind} boxes{way}"), &found, &outputs["box_encodings"].data);
                let found = values(predictions.class_logits);
                row.compare_absolute(&format!("{kind} logits{way}"), &found, &logits.expect("logits").data);
            }
        }
    }
    row.finish();
}

#[test]
fn a_residual_pyramid_trains() {
    // As shallow as a ResNet gets, in both dialects.
    for (end, predictor) in [("", CONVOLUTIONAL), ("_keras", SHARED)] {
        let extractor = format!(
            "type: 'ssd_resnet50_v1_fpn{end}' depth_multiplier: 0.1 min_depth: 8 pad_to_multiple: 128
             fpn {{ additional_layer_depth: 64 }} override_base_feature_extractor_hyperparams: true"
        );
        check_trains(&extractor, predictor);
    }
}

#[test]
fn inception_and_vgg_train() {
    let inception = "type: 'ssd_inception_v2' depth_multiplier: 0.2 min_depth: 8 num_layers: 5 \
                     override_base_feature_extractor_hyperparams: true";
    check_trains(inception, CONVOLUTIONAL);
    // Its last maps need more than the others' pictures.
    check_trains_on([160, 160], "type: 'ssd_vgg16_reduced' num_layers: 5", CONVOLUTIONAL);
}

#[test]
fn networks_are_named_and_sized_as_slims() {
    let device = Device::flex();
    let fpn = "pad_to_multiple: 128 fpn { }";
    for (depth, units) in [(50, 6), (101, 23), (152, 36)] {
        let extractor = format!("type: 'ssd_resnet{depth}_v1_fpn' {fpn} depth_multiplier: 0.1 min_depth: 4");
        let model = build(&extractor, SHARED, &device).expect("supported");
        let scope = format!("FeatureExtractor/resnet_v1_{depth}");
        assert_eq!(shape(&model, &format!("{scope}/conv1/weights")), Some(vec![7, 7, 3, 64]));
        let unit = |n: usize| format!("{scope}/block3/unit_{n}/bottleneck_v1/conv2/weights");
        assert_eq!(shape(&model, &unit(units)), Some(vec![3, 3, 25, 25]));
        assert_eq!(shape(&model, &unit(units + 1)), None);
        assert_eq!(shape(&model, &format!("{scope}/fpn/bottom_up_block6/weights")), Some(vec![3, 3, 25, 25]));
    }
    let vgg =
        build_for([160, 160], "type: 'ssd_vgg16_reduced' num_layers: 5", CONVOLUTIONAL, &device).expect("supported");
    assert_eq!(shape(&vgg, "FeatureExtractor/vgg_16/fc6/weights"), Some(vec![3, 3, 512, 1024]));
    assert_eq!(shape(&vgg, "FeatureExtractor/vgg_16/conv4_3_norm/scale"), Some(vec![512]));
    assert_eq!(vgg.variables()["FeatureExtractor/vgg_16/conv4_3_norm/scale"].data[7], 20.0);
}

#[test]
fn vgg_has_the_maps_of_the_first_ssd() {
    use crate::feature_extractors::{Vgg16Reduced, Vgg16ReducedSettings};
    use crate::initializers::Initializer;
    use crate::layers::{Hyperparams, LayerBuilder, PaddingRule};
    let plain = Hyperparams {
        initializer: Initializer::Constant(0.0),
        regularizer: crate::regularizers::Regularizer::None,
        activation: boxwright_kernels::Activation::Relu,
        batch_norm: None,
    };
    let builder = LayerBuilder { seed: 0, device: Device::flex(), padding: PaddingRule::Same };
    let sides = |num_layers: usize, picture: usize| -> Vec<usize> {
        let settings = Vgg16ReducedSettings { num_layers, base: plain, extra: plain };
        let network = Vgg16Reduced::new(&settings, &builder);
        let depths = network.endpoint_depths();
        assert_eq!((depths.len(), depths[0], depths[1], depths[2]), (num_layers, 512, 1024, 512));
        network.endpoint_shapes([picture; 2]).iter().map(|shape| shape[0]).collect()
    };
    assert_eq!(sides(6, 300), [38, 19, 10, 5, 3, 1]);
    assert_eq!(sides(7, 512), [64, 32, 16, 8, 4, 2, 2]);
    // Too small for the last of them: the builders refuse a map without places.
    assert_eq!(sides(6, 100).last(), Some(&0));
}

#[test]
fn what_does_not_hold_for_a_network_is_named() {
    let device = Device::flex();
    let refused = |extractor: &str| match build(extractor, CONVOLUTIONAL, &device) {
        Ok(_) => panic!("{extractor}: built"),
        Err(error) => error.field,
    };
    let inception = "type: 'ssd_inception_v2'";
    for (extractor, field) in [
        (inception, "override_base_feature_extractor_hyperparams"),
        ("type: 'ssd_inception_v2_keras'", "type"),
        ("type: 'ssd_resnet50_v1_fpn' use_explicit_padding: true", "use_explicit_padding"),
        ("type: 'ssd_resnet50_v1_fpn' use_depthwise: true", "use_depthwise"),
        ("type: 'ssd_vgg16_reduced' depth_multiplier: 0.5", "depth_multiplier"),
        ("type: 'ssd_vgg16_reduced' fpn { }", "fpn"),
        ("type: 'ssd_vgg16_reduced' num_layers: 8", "num_layers"),
    ] {
        assert_eq!(refused(extractor), format!("model.ssd.feature_extractor.{field}"), "{extractor}");
    }
}
