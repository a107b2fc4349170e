//! MobileNet v3 and MobileDet under SSD: sizes, names, penalties, and that all of it trains and folds.

use burn::tensor::{Device, Distribution, Tensor};

use super::ssd_networks::{CONVOLUTIONAL, SHARED, build, build_for, check_trains, shape};
use crate::regularizers::Regularizer;

const MOBILEDETS: [&str; 4] = ["cpu", "dsp", "edgetpu", "gpu"];

#[test]
fn mobilenet_v3_trains() {
    let small = "depth_multiplier: 0.3 min_depth: 8 num_layers: 5";
    for size in ["large", "small"] {
        check_trains(&format!("type: 'ssd_mobilenet_v3_{size}' {small} use_depthwise: true"), CONVOLUTIONAL);
        let overridden = "use_explicit_padding: true override_base_feature_extractor_hyperparams: true";
        check_trains(&format!("type: 'ssd_mobilenet_v3_{size}' {small} {overridden}"), SHARED);
    }
}

#[test]
fn mobiledet_trains() {
    for target in MOBILEDETS {
        check_trains(&format!("type: 'ssd_mobiledet_{target}' depth_multiplier: 0.2 num_layers: 5"), CONVOLUTIONAL);
    }
}

#[test]
fn folded_mobile_networks_are_the_same() {
    let device = Device::flex();
    let kinds = ["mobilenet_v3_large", "mobilenet_v3_small", "mobiledet_cpu", "mobiledet_gpu"];
    for kind in kinds {
        let extractor = format!("type: 'ssd_{kind}' depth_multiplier: 0.25 min_depth: 8 num_layers: 5");
        let model = build(&extractor, CONVOLUTIONAL, &device).expect("supported");
        let images = || Tensor::<4>::random([2, 3, 96, 128], Distribution::Uniform(0.0, 255.0), &device);
        // Statistics that are not those of a new layer.
        for _ in 0..3 {
            model.forward(images(), crate::Mode::Train);
        }
        let images = model.preprocess(images());
        let (plain, folded) = (model.predict(images.clone()), model.folded().predict(images));
        let largest: f32 = plain.box_encodings.clone().abs().max().into_scalar();
        let off: f32 = (folded.box_encodings - plain.box_encodings).abs().max().into_scalar();
        assert!(largest > 0.0 && off <= 1e-4 * largest, "{kind}: {off} off, of {largest}");
    }
}

#[test]
fn feature_maps_are_tfods() {
    let device = Device::flex();
    let check = |extractor: &str, sides: [usize; 5], depths: [usize; 5]| {
        let model = build_for([320, 320], extractor, CONVOLUTIONAL, &device).expect("supported");
        let extractor_of = model.feature_extractor();
        let shapes = extractor_of.feature_map_shapes([320, 320]);
        assert_eq!(shapes, sides.map(|side| [side; 2]), "{extractor}");
        assert_eq!(extractor_of.feature_map_depths(), depths, "{extractor}");
    };
    let halves = [20, 10, 5, 3, 2];
    let sized = |kind: &str| format!("type: 'ssd_{kind}' min_depth: 16 num_layers: 5");
    check(&sized("mobilenet_v3_large"), halves, [672, 480, 512, 256, 256]);
    check(&sized("mobilenet_v3_small"), halves, [288, 288, 512, 256, 256]);
    check(&sized("mobiledet_cpu"), halves, [72, 144, 512, 256, 256]);
    check(&sized("mobiledet_dsp"), halves, [144, 240, 512, 256, 256]);
    check(&sized("mobiledet_edgetpu"), halves, [96, 384, 512, 256, 256]);
    check(&sized("mobiledet_gpu"), halves, [128, 384, 512, 256, 256]);
    // slim pads the input of a whole bottleneck, so that its widened input is larger too:
    // 160, 162, 82, 84, 44, 48, 52, 27, 29, 31, 33, 35, 37 | 41 | 21, 25, 29.
    let padded = format!("{} use_explicit_padding: true", sized("mobilenet_v3_large"));
    check(&padded, [41, 29, 15, 8, 4], [672, 480, 512, 256, 256]);
    // 0.75 · 112 is 84, which goes up to 88 and is widened six times.
    let narrow = "type: 'ssd_mobilenet_v3_large' depth_multiplier: 0.75 num_layers: 5";
    check(narrow, halves, [528, 360, 384, 192, 192]);
    let wide = "type: 'ssd_mobiledet_cpu' depth_multiplier: 1.4 num_layers: 5";
    check(wide, halves, [104, 200, 716, 358, 358]);
}

#[test]
fn layers_have_their_names_and_penalties() {
    let device = Device::flex();
    let model = |extractor: &str| build(&format!("{extractor} num_layers: 5"), CONVOLUTIONAL, &device).expect("built");
    let penalty = |model: &crate::SsdModel, name: &str| {
        let found = model.variable_infos().into_iter().find(|info| info.name == name);
        found.unwrap_or_else(|| panic!("no {name}")).regularizer
    };
    let own = Regularizer::L2(0.000_04);
    let v3 = model("type: 'ssd_mobilenet_v3_small'");
    let block = "FeatureExtractor/MobilenetV3/expanded_conv";
    assert_eq!(shape(&v3, &format!("{block}/expand/weights")), None);
    assert_eq!(shape(&v3, &format!("{block}/squeeze_excite/Conv/biases")), Some(vec![8]));
    assert_eq!(shape(&v3, &format!("{block}_10/squeeze_excite/Conv_1/weights")), Some(vec![1, 1, 72, 288]));
    assert_eq!(shape(&v3, &format!("{block}_11/project/weights")), None);
    assert_eq!(penalty(&v3, &format!("{block}/squeeze_excite/Conv/weights")), own);
    assert_eq!(penalty(&v3, &format!("{block}/depthwise/depthwise_weights")), Regularizer::None);
    let overridden = model("type: 'ssd_mobilenet_v3_small' override_base_feature_extractor_hyperparams: true");
    assert_eq!(penalty(&overridden, &format!("{block}/depthwise/depthwise_weights")), own);
    let det = model("type: 'ssd_mobiledet_dsp'");
    let scope = "FeatureExtractor/MobileDetDSP";
    assert_eq!(penalty(&det, &format!("{scope}/IBN/SeparableConv2d/depthwise_weights")), own);
    assert_eq!(shape(&det, &format!("{scope}/IBN/SqueezeExcite/Conv/biases")), None);
    assert_eq!(shape(&det, &format!("{scope}/TuckerConv_1/Conv_1/weights")), Some(vec![3, 3, 120, 120]));
    assert_eq!(shape(&det, &format!("{scope}/FusedConv_1/Conv/weights")), Some(vec![3, 3, 32, 128]));
    assert_eq!(shape(&det, &format!("{scope}/IBNNoExpansion/Conv/weights")), Some(vec![1, 1, 32, 24]));
    assert_eq!(shape(&det, &format!("{scope}/C5_1_Conv2d_2_1x1_256/weights")), Some(vec![1, 1, 240, 256]));
}

#[test]
fn what_does_not_hold_for_a_mobile_network_is_named() {
    for (extractor, field) in [
        ("type: 'ssd_mobilenet_v3_large_keras'", "type"),
        ("type: 'ssd_mobilenet_v3_large_fpn'", "type"),
        ("type: 'ssd_mobiledet_cpu_keras'", "type"),
        ("type: 'ssd_mobiledet_cpu' use_explicit_padding: true", "use_explicit_padding"),
        ("type: 'ssd_mobiledet_cpu' fpn { }", "fpn"),
        ("type: 'ssd_mobilenet_v3_small' num_layers: 7", "num_layers"),
    ] {
        let error = build(extractor, CONVOLUTIONAL, &Device::flex()).err().unwrap_or_else(|| panic!("{extractor}"));
        assert_eq!(error.field, format!("model.ssd.feature_extractor.{field}"), "{extractor}");
    }
}
