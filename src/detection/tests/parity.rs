//! The arithmetic of boxes, losses and pictures against TFOD.

use boxwright_config::{proto, text_format};
use boxwright_core::geometry::NormalizedBox;
use boxwright_core::label_map::ClassIndex;
use boxwright_golden::{Case, Row, Value, boxes, cases, flags, integers, number, numbers, shape, size, tensors, text};
use boxwright_kernels::Activation;
use burn::tensor::{Device, Tensor, TensorData};

use crate::anchor_generators::{SsdAnchorSettings, create_ssd_anchors};
use crate::box_coders::{BoxCoder, FasterRcnnBoxCoder};
use crate::builders;
use crate::layers::{BatchNorm, BatchNormParams, Mode};
use crate::losses::{ClassificationLoss, HardExampleMiner, LocalizationLoss, MiningLoss};
use crate::matchers::{ArgMaxMatcher, Match, Thresholds};
use crate::post_processing::{CandidateBoxes, NonMaxSuppression, ScoreConverter, non_max_suppression};
use crate::region_similarity::{RegionSimilarity, SimilarityMatrix, area, giou, intersection};
use crate::target_assigner::{Groundtruth, TargetAssigner};

fn tensor<const D: usize>(value: &Value) -> Tensor<D> {
    Tensor::from_data(TensorData::new(numbers(value), shape(value)), &Device::flex())
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn flat(boxes: &[[f32; 4]]) -> Vec<f32> {
    boxes.concat()
}

fn to_match(number: i64) -> Match {
    match number {
        -1 => Match::Unmatched,
        -2 => Match::Ignored,
        row => Match::Matched(usize::try_from(row).expect("a row")),
    }
}

#[test]
fn anchors() {
    for (what, key, tolerance) in [
        ("anchors/ssd", "ssd_anchor_generator", 1e-6),
        ("anchors/multiscale", "multiscale_anchor_generator", 1e-6),
        ("anchors/flexible_grid", "flexible_grid_anchor_generator", 1e-6),
        // In pixels, so relative.
        ("anchors/grid", "/grid_anchor_generator", 1e-6),
    ] {
        let mut row = Row::new(what, tolerance);
        let all = cases("anchors", &["config", "feature_map_shapes"]);
        let own: Vec<_> =
            all.into_iter().filter(|case| format!("/{}", text(&case.json["config"]).trim()).contains(key)).collect();
        // TFOD's own flexible generator has no case beside the checkout.
        if own.is_empty() && key.starts_with("flexible") {
            continue;
        }
        own.iter().for_each(|case| anchors_case(&mut row, case));
        row.finish();
    }
}

fn anchors_case(row: &mut Row, Case { name, path, json }: &Case) {
    let config: proto::AnchorGenerator = text_format::parse(text(&json["config"]), name).expect("a config");
    let generator = builders::anchor_generator(&config).expect("supported");
    let shapes: Vec<[usize; 2]> =
        numbers(&json["feature_map_shapes"]).chunks(2).map(|s| [s[0] as usize, s[1] as usize]).collect();
    // A grid is generated without a picture.
    let side = |key: &str| if json[key].is_null() { 1 } else { size(&json[key]) };
    let ours = generator.generate(&shapes, [side("im_height"), side("im_width")]);
    row.case();
    assert_eq!(ours.len(), size(&json["total"]), "{name}");
    let per_location: Vec<usize> = integers(&json["num_anchors_per_location"]).iter().map(|&n| n as usize).collect();
    assert_eq!(generator.num_anchors_per_location(), per_location, "{name}");
    if json["anchors"].is_array() {
        row.compare(name, &flat(&ours), &numbers(&json["anchors"]));
        return;
    }
    let sampled: Vec<[f32; 4]> = integers(&json["sample_indices"]).iter().map(|&i| ours[i as usize]).collect();
    row.compare(name, &flat(&sampled), &numbers(&json["sample_anchors"]));
    let complete = path.with_extension("safetensors");
    if complete.exists() {
        row.compare(name, &flat(&ours), &tensors(&complete)["anchors"].data);
    }
}

#[test]
fn box_coder() {
    let mut row = Row::new("box_coder", 1e-5);
    for Case { name, json: file, .. } in cases("box_coder", &["cases.codes_in"]) {
        for case in file["cases"].as_array().expect("cases") {
            let factors = match &case["scale_factors"] {
                Value::Null => vec![1.0; 4],
                list => numbers(list),
            };
            let coder = FasterRcnnBoxCoder { scale_factors: [factors[0], factors[1], factors[2], factors[3]] };
            let anchors = boxes(&case["anchors"]);
            let zip = |list: &Value| boxes(list).into_iter().zip(anchors.clone()).collect::<Vec<_>>();
            let encoded: Vec<_> = zip(&case["boxes"]).into_iter().map(|(b, a)| coder.encode(b, a)).collect();
            let decoded: Vec<_> = zip(&case["codes_in"]).into_iter().map(|(c, a)| coder.decode(c, a)).collect();
            let back: Vec<_> = encoded.iter().zip(&anchors).map(|(&c, &a)| coder.decode(c, a)).collect();
            row.case();
            row.compare(&format!("{name} encoded"), &flat(&encoded), &numbers(&case["encoded"]));
            row.compare(&format!("{name} decoded"), &flat(&decoded), &numbers(&case["decoded"]));
            row.compare(&format!("{name} roundtrip"), &flat(&back), &numbers(&case["roundtrip"]));
        }
    }
    row.finish();
}

#[test]
fn similarity() {
    let mut row = Row::new("matching/similarity", 1e-6);
    for Case { name, json: case, .. } in cases("matching", &["boxes1", "boxes2"]) {
        let (a, b) = (boxes(&case["boxes1"]), boxes(&case["boxes2"]));
        for (similarity, key) in [
            (RegionSimilarity::Iou, "iou"),
            (RegionSimilarity::Ioa, "ioa"),
            (RegionSimilarity::NegSqDist, "neg_sq_dist"),
        ] {
            let ours = similarity.compare(&a, &b).rows().flatten().copied().collect::<Vec<_>>();
            row.compare(&format!("{name} {key}"), &ours, &numbers(&case[key]));
        }
        row.case();
        let pairs = |of: fn([f32; 4], [f32; 4]) -> f32| -> Vec<f32> {
            a.iter().flat_map(|&a| b.iter().map(move |&b| of(a, b))).collect()
        };
        row.compare(&format!("{name} intersection"), &pairs(intersection), &numbers(&case["intersection"]));
        row.compare(&format!("{name} giou"), &pairs(giou), &numbers(&case["giou"]));
        for (boxes, key) in [(&a, "area1"), (&b, "area2")] {
            let ours: Vec<f32> = boxes.iter().copied().map(area).collect();
            row.compare(&format!("{name} {key}"), &ours, &numbers(&case[key]));
        }
    }
    row.finish();
}

#[test]
fn argmax_matcher() {
    let mut row = Row::new("matching/argmax_matcher", 0.0);
    for Case { name, json: file, .. } in cases("matching", &["cases.similarity"]) {
        for (i, case) in file["cases"].as_array().expect("cases").iter().enumerate() {
            let wanted: Vec<Match> = integers(&case["match_results"]).into_iter().map(to_match).collect();
            let matrix = SimilarityMatrix::new(wanted.len(), numbers(&case["similarity"]));
            let flag = |key: &str| case[key].as_bool().expect("a flag");
            let matcher = ArgMaxMatcher {
                thresholds: Some(Thresholds {
                    matched: number(&case["matched_threshold"]),
                    unmatched: number(&case["unmatched_threshold"]),
                }),
                negatives_lower_than_unmatched: flag("negatives_lower_than_unmatched"),
                force_match_for_each_row: flag("force_match_for_each_row"),
            };
            let valid = flags(&case["valid_rows"]);
            row.case();
            assert_eq!(matcher.match_columns(&matrix, |r| valid[r]), wanted, "{name} case {i}");
        }
    }
    row.finish();
}

/// The assigner of a case; what it does not name is as `ssd_mobilenet_v1`'s sample config has it.
fn ssd_assigner(case: &Value) -> TargetAssigner {
    let threshold = |key: &str| if case[key].is_null() { 0.5 } else { number(&case[key]) };
    let matcher = ArgMaxMatcher {
        thresholds: Some(Thresholds {
            matched: threshold("matched_threshold"),
            unmatched: threshold("unmatched_threshold"),
        }),
        negatives_lower_than_unmatched: case["negatives_lower_than_unmatched"].as_bool().unwrap_or(true),
        force_match_for_each_row: case["force_match_for_each_row"].as_bool().unwrap_or(true),
    };
    let coder = match &case["scale_factors"] {
        Value::Null => FasterRcnnBoxCoder::default(),
        factors => FasterRcnnBoxCoder { scale_factors: boxes(factors)[0] },
    };
    let weight = &case["negative_class_weight"];
    TargetAssigner {
        similarity: RegionSimilarity::Iou,
        matcher: matcher.into(),
        box_coder: BoxCoder::FasterRcnn(coder),
        negative_class_weight: if weight.is_null() { 1.0 } else { number(weight) },
    }
}

/// The anchors of a case: a list, or in words those of `anchors/ssd_classic_300`.
fn anchors_of(case: &Value) -> Vec<[f32; 4]> {
    if case["anchors"].is_array() { boxes(&case["anchors"]) } else { classic_anchors() }
}

fn classic_anchors() -> Vec<[f32; 4]> {
    let settings =
        SsdAnchorSettings { aspect_ratios: vec![1.0, 2.0, 0.5, 3.0, 0.3333], ..SsdAnchorSettings::default() };
    create_ssd_anchors(settings).generate(&[[19, 19], [10, 10], [5, 5], [3, 3], [2, 2], [1, 1]], [300, 300])
}

fn groundtruth(bounds: &Value, classes: &Value, weights: &Value) -> Groundtruth {
    let boxes: Vec<NormalizedBox> = boxes(bounds).into_iter().map(NormalizedBox::from_array).collect();
    let weights = if weights.is_null() { vec![1.0; boxes.len()] } else { numbers(weights) };
    let classes = integers(classes).into_iter().map(|c| ClassIndex(usize::try_from(c).expect("a class"))).collect();
    Groundtruth { boxes, classes, weights }
}

fn class_column(rows: &[f32], columns: usize) -> Vec<i64> {
    rows.chunks(columns).map(|row| row.iter().position(|&v| v == 1.0).expect("one-hot") as i64).collect()
}

#[test]
fn target_assignment() {
    let mut row = Row::new("matching/target_assign", 1e-4);
    for Case { name, json: case, .. } in cases("matching", &["groundtruth_boxes", "unmatched_class_label"]) {
        let truth =
            groundtruth(&case["groundtruth_boxes"], &case["groundtruth_classes_0based"], &case["groundtruth_weights"]);
        let background = numbers(&case["unmatched_class_label"]);
        let targets = ssd_assigner(&case).assign(&anchors_of(&case), &truth, &background);
        let wanted: Vec<Match> = integers(&case["match"]).into_iter().map(to_match).collect();
        assert_eq!(targets.matches, wanted, "{name}");
        assert_eq!(
            class_column(&targets.class_targets, background.len()),
            integers(&case["cls_targets_argmax"]),
            "{name}"
        );
        row.case();
        row.compare(
            &format!("{name} class weights"),
            &targets.class_weights,
            &numbers(&case["cls_weights_per_anchor"]),
        );
        row.compare(&format!("{name} box weights"), &targets.box_weights, &numbers(&case["reg_weights"]));
        let matched: Vec<f32> = integers(&case["matched_anchor_indices"])
            .into_iter()
            .flat_map(|i| targets.box_targets[i as usize * 4..i as usize * 4 + 4].to_vec())
            .collect();
        row.compare(&format!("{name} codes"), &matched, &numbers(&case["matched_reg_targets"]));
        let unmatched = targets.box_targets.chunks(4).zip(&targets.matches);
        assert!(unmatched.filter(|(_, m)| !matches!(m, Match::Matched(_))).all(|(code, _)| code == [0.0; 4]));
    }
    row.finish();
}

#[test]
fn batch_target_assignment() {
    let mut row = Row::new("matching/batch_assign_targets", 1e-4);
    for Case { name, json: case, .. } in cases("matching", &["groundtruth_boxes", "reg_targets_abs_sum"]) {
        let list = |key: &str| case[key].as_array().expect("a list").clone();
        let batch: Vec<Groundtruth> = list("groundtruth_boxes")
            .iter()
            .zip(list("groundtruth_classes_0based"))
            .map(|(bounds, classes)| groundtruth(bounds, &classes, &Value::Null))
            .collect();
        let columns = number(&case["num_classes"]) as usize + 1;
        let mut background = vec![0.0; columns];
        background[0] = 1.0;
        let assigned = ssd_assigner(&case).batch_assign(&anchors_of(&case), &batch, &background);
        for (i, targets) in assigned.iter().enumerate() {
            let wanted: Vec<Match> = integers(&case["match"][i]).into_iter().map(to_match).collect();
            assert_eq!(targets.matches, wanted, "{name} image {i}");
            assert_eq!(class_column(&targets.class_targets, columns), integers(&case["cls_targets_argmax"][i]));
            row.case();
            let sum: f64 = targets.box_targets.iter().map(|v| f64::from(v.abs())).sum();
            row.compare("sum of codes", &[sum as f32], &[number(&case["reg_targets_abs_sum"][i])]);
            row.compare("sum of weights", &[targets.box_weights.iter().sum()], &[number(&case["reg_weights_sum"][i])]);
            // TFOD gives each class column the anchor's weight.
            let weights = targets.class_weights.iter().sum::<f32>() * columns as f32;
            row.compare("sum of class weights", &[weights], &[number(&case["cls_weights_sum"][i])]);
        }
    }
    row.finish();
}

/// The cases of one kind in a file: a list, one alone, or none.
fn cases_of<'a>(file: &'a Value, key: &str) -> &'a [Value] {
    match &file[key] {
        Value::Array(cases) => cases,
        Value::Null => &[],
        one => std::slice::from_ref(one),
    }
}

#[test]
fn losses() {
    let mut row = Row::new("losses/losses", 1e-5);
    // Any other file of the folder has none of these.
    for Case { json: file, .. } in cases("losses", &[]) {
        for case in cases_of(&file, "smooth_l1") {
            localization_case(&mut row, LocalizationLoss::SmoothL1 { delta: number(&case["delta"]) }, case);
        }
        for case in cases_of(&file, "weighted_l2") {
            localization_case(&mut row, LocalizationLoss::L2, case);
        }
        for case in cases_of(&file, "sigmoid") {
            entrywise_case(&mut row, ClassificationLoss::Sigmoid, case);
        }
        for case in cases_of(&file, "sigmoid_losses_mask") {
            masked_case(&mut row, case);
        }
        for case in cases_of(&file, "sigmoid_focal") {
            let alpha = (!case["alpha"].is_null()).then(|| number(&case["alpha"]));
            entrywise_case(&mut row, ClassificationLoss::SigmoidFocal { gamma: number(&case["gamma"]), alpha }, case);
        }
        for case in cases_of(&file, "softmax") {
            let loss = ClassificationLoss::Softmax { logit_scale: number(&case["logit_scale"]) };
            // TFOD averages the weights over the class columns, which all have the anchor's.
            let weights = tensor::<3>(&case["weights"]).mean_dim(2).squeeze_dim::<2>(2);
            let ours = loss.forward(tensor(&case["logits"]), tensor(&case["target"]), weights);
            row.case();
            row.compare("softmax", &values(ours), &numbers(&case["loss"]));
        }
    }
    row.finish();
}

fn localization_case(row: &mut Row, loss: LocalizationLoss, case: &Value) {
    let ours = loss.forward(tensor(&case["prediction"]), tensor(&case["target"]), tensor(&case["weights"]));
    row.case();
    row.compare(&format!("{loss:?}"), &values(ours), &numbers(&case["loss"]));
}

fn entrywise_case(row: &mut Row, loss: ClassificationLoss, case: &Value) {
    // TFOD gives every class column of an anchor the anchor's weight.
    let ours = loss.entrywise(tensor(&case["logits"]), tensor(&case["target"])) * tensor::<3>(&case["weights"]);
    row.case();
    row.compare(&format!("{loss:?}"), &values(ours), &numbers(&case["loss"]));
}

/// Pictures that are not annotated have no loss: TFOD multiplies their weights by 0.
fn masked_case(row: &mut Row, case: &Value) {
    let mask: Vec<f32> = flags(&case["losses_mask"]).into_iter().map(|on| f32::from(u8::from(on))).collect();
    let mask = Tensor::<3>::from_data(TensorData::new(mask.clone(), [mask.len(), 1, 1]), &Device::flex());
    let loss = ClassificationLoss::Sigmoid.entrywise(tensor(&case["logits"]), tensor(&case["target"]));
    let ours = loss * tensor::<3>(&case["weights"]) * mask;
    row.case();
    row.compare("sigmoid with losses_mask", &values(ours), &numbers(&case["loss"]));
}

/// The closed-form gradients against central differences of the values.
#[test]
fn loss_gradients_are_the_slopes_of_the_losses() {
    let device = Device::flex().autodiff();
    let logits = [-3.0f32, -0.7, 0.05, 0.4, 2.5, 1.1];
    let targets = [0.0f32, 1.0, 0.0, 1.0, 0.3, 0.0];
    let cube =
        |data: &[f32], device: &Device| Tensor::<3>::from_data(TensorData::new(data.to_vec(), [1, 2, 3]), device);
    let weights = |device: &Device| Tensor::<2>::from_data(TensorData::new(vec![0.5f32, 2.0], [1, 2]), device);
    let check = |name: &str, loss: &dyn Fn(Tensor<3>, &Device) -> Tensor<2>| {
        let x = cube(&logits, &device).require_grad();
        let gradients = loss(x.clone(), &device).sum().backward();
        let gradient = values(x.grad(&gradients).expect("a gradient"));
        let at = |data: &[f32]| values(loss(cube(data, &Device::flex()), &Device::flex())).iter().sum::<f32>();
        for i in 0..logits.len() {
            let (mut up, mut down) = (logits, logits);
            up[i] += 1e-2;
            down[i] -= 1e-2;
            let slope = (at(&up) - at(&down)) / 2e-2;
            assert!((gradient[i] - slope).abs() < 2e-3, "{name} [{i}]: {} against {slope}", gradient[i]);
        }
    };
    for loss in [
        ClassificationLoss::Sigmoid,
        ClassificationLoss::SigmoidFocal { gamma: 2.0, alpha: Some(0.25) },
        ClassificationLoss::SigmoidFocal { gamma: 1.5, alpha: None },
        ClassificationLoss::SigmoidFocal { gamma: 0.0, alpha: Some(0.75) },
        ClassificationLoss::Softmax { logit_scale: 2.0 },
        ClassificationLoss::LogitsSoftmax { logit_scale: 2.0 },
        ClassificationLoss::BootstrappedSigmoid { alpha: 0.7, hard: false },
        ClassificationLoss::BootstrappedSigmoid { alpha: 0.7, hard: true },
    ] {
        check(&format!("{loss:?}"), &|x, d| loss.forward(x, cube(&targets, d), weights(d)));
    }
    for loss in [LocalizationLoss::SmoothL1 { delta: 0.8 }, LocalizationLoss::L2] {
        check(&format!("{loss:?}"), &|x, d| loss.forward(x, cube(&targets, d), weights(d)));
    }
}

#[test]
fn hard_example_mining() {
    let mut row = Row::new("losses/hard_example_miner", 1e-4);
    for Case { name, json: file, .. } in cases("losses", &["decoded_boxes", "match_results"]) {
        let params = &file["params"];
        let loss = match params["loss_type"].as_str() {
            Some("cls") => MiningLoss::Classification,
            Some("loc") => MiningLoss::Localization,
            _ => MiningLoss::Both {
                classification_weight: number(&params["cls_loss_weight"]),
                localization_weight: number(&params["loc_loss_weight"]),
            },
        };
        for result in file["results"].as_array().expect("results") {
            let miner = HardExampleMiner {
                num_hard_examples: params["num_hard_examples"].as_u64().map(|n| n as usize),
                iou_threshold: number(&params["iou_threshold"]),
                loss,
                max_negatives_per_positive: result["max_negatives_per_positive"].as_u64().map(|n| n as u32),
                min_negatives_per_image: number(&result["min_negatives_per_image"]) as u32,
            };
            row.case();
            miner_case(&mut row, &name, &file, result, &miner);
        }
    }
    row.finish();
}

fn miner_case(row: &mut Row, name: &str, file: &Value, result: &Value, miner: &HardExampleMiner) {
    let (mut localization, mut classification) = (0.0f32, 0.0f32);
    for image in 0..file["cls_losses"].as_array().expect("images").len() {
        let (loc, cls) = (numbers(&file["location_losses"][image]), numbers(&file["cls_losses"][image]));
        let matches: Vec<Match> = integers(&file["match_results"][image]).into_iter().map(to_match).collect();
        let mined = miner.mine(&loc, &cls, &boxes(&file["decoded_boxes"][image]), &matches);
        if !result["selected_indices"].is_null() {
            let ours: Vec<i64> = mined.indices.iter().map(|&i| i as i64).collect();
            assert_eq!(ours, integers(&result["selected_indices"][image]), "{name} image {image}");
            assert_eq!(Some(mined.num_positives as u64), result["num_positives"][image].as_u64());
        }
        localization += mined.indices.iter().map(|&i| loc[i]).sum::<f32>();
        classification += mined.indices.iter().map(|&i| cls[i]).sum::<f32>();
    }
    row.compare(&format!("{name} localization"), &[localization], &[number(&result["location_loss"])]);
    row.compare(&format!("{name} classification"), &[classification], &[number(&result["cls_loss"])]);
}

#[test]
fn non_max_suppression_of_batches() {
    let mut row = Row::new("postprocess/nms", 1e-5);
    for Case { json: file, .. } in cases("postprocess", &["boxes", "cases.num_detections"]) {
        let classes = shape(&file["scores"])[2];
        for case in file["cases"].as_array().expect("cases") {
            let params = &case["params"];
            let flag = |key: &str| params[key].as_bool().unwrap_or(false);
            let nms = NonMaxSuppression {
                score_threshold: number(&params["score_thresh"]),
                iou_threshold: number(&params["iou_thresh"]),
                max_detections_per_class: number(&params["max_size_per_class"]) as usize,
                max_total_detections: number(&params["max_total_size"]) as usize,
                soft_nms_sigma: if flag("use_hard_nms") {
                    0.0
                } else {
                    params["soft_nms_sigma"].as_f64().unwrap_or(0.0) as f32
                },
                class_agnostic: flag("use_class_agnostic_nms"),
                change_coordinate_frame: flag("change_coordinate_frame"),
                combined: flag("use_combined_nms"),
            };
            let name = case["name"].as_str().expect("a name");
            row.case();
            for image in 0..shape(&file["scores"])[0] {
                let specific = case["class_specific_boxes"].as_bool() == Some(true);
                let mut scores = numbers(&file["scores"][image]);
                let key = if specific { "boxes_class_specific" } else { "boxes" };
                let mut candidates = boxes(&file[key][image]);
                if let Some(valid) = params["num_valid_boxes"][image].as_u64() {
                    scores.truncate(valid as usize * classes);
                    candidates.truncate(valid as usize);
                }
                let window = match &params["clip_window"] {
                    Value::Null => None,
                    list if list[0].is_array() => Some(boxes(&list[image])[0]),
                    list => Some(boxes(list)[0]),
                };
                let candidates = if specific {
                    CandidateBoxes::ClassSpecific(&candidates)
                } else {
                    CandidateBoxes::Shared(&candidates)
                };
                let found = nms.multiclass(candidates, &scores, classes, window);
                let get = |f: fn(&crate::post_processing::ScoredBox) -> Vec<f32>| {
                    found.iter().flat_map(f).collect::<Vec<_>>()
                };
                row.compare(name, &get(|f| vec![f.score]), &numbers(&case["scores"][image]));
                row.compare(name, &get(|f| vec![f.class as f32]), &numbers(&case["classes"][image]));
                row.compare(name, &get(|f| f.bounds.to_vec()), &numbers(&case["boxes"][image]));
            }
        }
    }
    row.finish();
}

#[test]
fn score_converters() {
    let mut row = Row::new("postprocess/score_converters", 1e-6);
    for Case { json: file, .. } in cases("postprocess", &["logits", "cases.score_converter"]) {
        let columns = shape(&file["logits"])[2];
        for case in file["cases"].as_array().expect("cases") {
            let converter = match case["score_converter"].as_str() {
                Some("SIGMOID") => ScoreConverter::Sigmoid,
                Some("SOFTMAX") => ScoreConverter::Softmax,
                _ => ScoreConverter::Identity,
            };
            let ours = converter.convert(&numbers(&file["logits"]), columns, number(&case["logit_scale"]));
            row.case();
            row.compare(&format!("{converter:?}"), &ours, &numbers(&case["output"]));
        }
    }
    row.finish();
}

#[test]
fn batch_norm_in_training() {
    let mut row = Row::new("ops/batch_norm_train", 1e-4);
    for Case { name, json: file, .. } in cases("ops", &["batch_norm_train"]) {
        for case in file["batch_norm_train"].as_array().expect("cases") {
            if case["fused"].as_bool() != Some(true) {
                continue;
            }
            row.case();
            batch_norm_case(&mut row, &name, case);
        }
    }
    row.finish();
}

fn batch_norm_case(row: &mut Row, name: &str, case: &Value) {
    let device = Device::flex().autodiff();
    let params = BatchNormParams {
        decay: number(&case["decay"]),
        epsilon: number(&case["epsilon"]),
        center: true,
        scale: true,
        train: true,
    };
    let channels = numbers(&case["gamma"]).len();
    let layer = BatchNorm::new(channels, params, &device);
    let mut described = Vec::new();
    layer.describe("s", &mut described);
    let given = ["gamma", "beta", "moving_mean", "moving_variance"]
        .map(|key| {
            let data = numbers(&case[key]);
            (format!("s/BatchNorm/{key}"), crate::HostTensor { shape: vec![channels], data })
        })
        .into_iter()
        .collect();
    let (layer, _) = crate::variables::load_variables(layer, &described, &given);
    let nchw = |value: &Value| {
        Tensor::<4>::from_data(TensorData::new(numbers(value), shape(value)), &device).permute([0, 3, 1, 2])
    };
    let x = nchw(&case["x"]).require_grad();
    let y = layer.forward(x.clone(), Activation::None, Mode::Train);
    let gradients = (y.clone() * nchw(&case["upstream_grad"])).sum().backward();
    let nhwc = |tensor: Tensor<4>| values(tensor.permute([0, 2, 3, 1]));
    row.compare(&format!("{name} y"), &nhwc(y), &numbers(&case["y"]));
    row.compare(&format!("{name} dx"), &nhwc(x.grad(&gradients).expect("dx")), &numbers(&case["dx"]));
    let after = crate::variables::read_variables(&layer, &described);
    for key in ["moving_mean", "moving_variance"] {
        let golden = numbers(&case[format!("{key}_after")]);
        row.compare(&format!("{name} {key}"), &after[&format!("s/BatchNorm/{key}")].data, &golden);
    }
}

/// The initializers draw other numbers than TensorFlow's, from the same distributions.
#[test]
fn initializers() {
    let mut row = Row::new("ops/initializers (statistics)", 0.02);
    for Case { json: file, .. } in cases("ops", &["initializer", "l2_weight"]) {
        for case in file.as_array().expect("cases") {
            let text = format!(
                "initializer {{ {} }} regularizer {{ l2_regularizer {{ }} }}",
                case["initializer"].as_str().expect("text")
            );
            let config: proto::Hyperparams = text_format::parse(&text, "case").expect("a config");
            let initializer = builders::hyperparams(&config, false).expect("supported").initializer;
            let dims: Vec<usize> = integers(&case["shape"]).into_iter().map(|n| n as usize).collect();
            let drawn = initializer.sample(&dims, 3, "x");
            let mean = drawn.iter().sum::<f32>() / drawn.len() as f32;
            let std = (drawn.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / drawn.len() as f32).sqrt();
            let golden_std = number(&case["std"]);
            row.case();
            row.compare("std", &[std / golden_std], &[1.0]);
            row.compare("mean", &[mean / golden_std], &[0.0]);
            let most = drawn.iter().copied().fold(0.0, |a: f32, v| a.max(v.abs()));
            let golden_most = number(&case["max"]).max(-number(&case["min"]));
            assert!(text.contains("random_normal") || (most / golden_most - 1.0).abs() < 0.02, "{text}: {most}");
        }
    }
    row.finish();
}

/// Not a comparison with TFOD: suppression in columns against the definition, box by box.
#[test]
fn suppression_in_columns_is_suppression_box_by_box() {
    let mut state = 12345u32;
    let mut draw = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32
    };
    let boxes: Vec<[f32; 4]> = (0..300)
        .map(|_| {
            let (y, x, h, w) = (draw(), draw(), draw() * 0.4, draw() * 0.4);
            [y, x, y + h, x + w]
        })
        .collect();
    let scores: Vec<f32> = (0..300).map(|_| draw()).collect();
    let mut order: Vec<usize> = (0..300).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    for threshold in [0.0, 0.1, 0.5, 0.9, 1.0] {
        let mut wanted: Vec<usize> = Vec::new();
        for &i in &order {
            if wanted.iter().all(|&j| crate::region_similarity::iou(boxes[i], boxes[j]) <= threshold) {
                wanted.push(i);
            }
        }
        let ours = non_max_suppression(&boxes, &scores, 300, threshold, f32::NEG_INFINITY, 0.0);
        assert_eq!(ours.iter().map(|s| s.index).collect::<Vec<_>>(), wanted, "threshold {threshold}");
    }
}
