//! Heads that go from one label map to another, with numbers that say where they came from.

use std::collections::BTreeMap;

use boxwright_core::label_map::LabelMap;
use boxwright_detection::HostTensor;

use crate::class_heads::{ClassTransfer, carry_over, label_map_of};

fn map(names: &[&str]) -> LabelMap {
    LabelMap::from_names(names.iter().copied()).expect("a label map")
}

/// A tensor whose values are `base` and their place.
fn counted(shape: &[usize], base: f32) -> HostTensor {
    let count = shape.iter().product::<usize>();
    HostTensor { shape: shape.to_vec(), data: (0..count).map(|i| base + i as f32).collect() }
}

fn tensors(list: &[(&str, HostTensor)]) -> BTreeMap<String, HostTensor> {
    list.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.clone())).collect()
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn old_classes_keep_their_channels_by_name_for_every_anchor() {
    const HEAD: &str = "BoxPredictor_0/ClassPredictor/weights";
    const BIAS: &str = "BoxPredictor_0/ClassPredictor/biases";
    const BOXES: &str = "BoxPredictor_0/BoxEncodingPredictor/biases";
    // Two anchors; background, cat and dog before, background, bird, dog and cat now.
    let mut values =
        tensors(&[(HEAD, counted(&[1, 1, 2, 6], 0.0)), (BIAS, counted(&[6], 100.0)), (BOXES, counted(&[8], 200.0))]);
    let fresh = tensors(&[
        (HEAD, counted(&[1, 1, 2, 8], 1000.0)),
        (BIAS, counted(&[8], 2000.0)),
        (BOXES, counted(&[8], 3000.0)),
    ]);
    let transfer = carry_over(&mut values, &fresh, 3, &map(&["cat", "dog"]), &map(&["bird", "dog", "cat"]));
    let expected = ClassTransfer { kept: names(&["dog", "cat"]), new: names(&["bird"]), gone: Vec::new() };
    assert_eq!(transfer, Some(expected));
    // Per input channel and anchor: background, the fresh bird, dog (third before), cat (second before).
    assert_eq!(
        values[HEAD].data,
        [[0.0, 1001.0, 2.0, 1.0], [3.0, 1005.0, 5.0, 4.0], [6.0, 1009.0, 8.0, 7.0], [9.0, 1013.0, 11.0, 10.0]].concat()
    );
    assert_eq!(values[HEAD].shape, [1, 1, 2, 8]);
    assert_eq!(values[BIAS].data, [100.0, 2001.0, 102.0, 101.0, 103.0, 2005.0, 105.0, 104.0]);
    assert_eq!(values[BOXES], counted(&[8], 200.0), "boxes do not depend on classes");
}

#[test]
fn a_class_that_is_gone_leaves_and_the_same_map_changes_nothing() {
    const HEAD: &str = "WeightSharedConvolutionalBoxPredictor/ClassPredictor/biases";
    let old = tensors(&[(HEAD, counted(&[4], 0.0))]);
    let fresh = tensors(&[(HEAD, counted(&[2], 50.0))]);
    let mut values = old.clone();
    let transfer = carry_over(&mut values, &fresh, 1, &map(&["a", "b", "c"]), &map(&["c"])).expect("other classes");
    assert_eq!((transfer.kept, transfer.gone), (names(&["c"]), names(&["a", "b"])));
    assert_eq!(values[HEAD].data, [0.0, 3.0]);

    let mut values = old.clone();
    let same = map(&["a", "b", "c"]);
    assert_eq!(carry_over(&mut values, &tensors(&[(HEAD, counted(&[4], 9.0))]), 3, &same, &same), None);
    assert_eq!(values, old);
    // Three channels do not divide among two anchors of one class and background.
    let mut values = tensors(&[(HEAD, counted(&[3], 0.0))]);
    let fresh = tensors(&[(HEAD, counted(&[4], 9.0))]);
    assert_eq!(carry_over(&mut values, &fresh, 1, &map(&["a"]), &map(&["b"])), None);
    assert_eq!(values[HEAD], counted(&[3], 0.0));
}

#[test]
fn the_second_stage_keeps_the_boxes_of_its_classes_too() {
    const SCORES: &str = "SecondStageBoxPredictor/ClassPredictor/biases";
    const BOXES: &str = "SecondStageBoxPredictor/BoxEncodingPredictor/biases";
    const OBJECTNESS: &str = "FirstStageBoxPredictor/ClassPredictor/biases";
    let mut values =
        tensors(&[(SCORES, counted(&[3], 0.0)), (BOXES, counted(&[8], 10.0)), (OBJECTNESS, counted(&[6], 20.0))]);
    let fresh =
        tensors(&[(SCORES, counted(&[3], 100.0)), (BOXES, counted(&[8], 110.0)), (OBJECTNESS, counted(&[6], 120.0))]);
    // The same number of classes in another order.
    carry_over(&mut values, &fresh, 2, &map(&["a", "b"]), &map(&["b", "a"])).expect("another order");
    assert_eq!(values[SCORES].data, [0.0, 2.0, 1.0]);
    assert_eq!(values[BOXES].data, [14.0, 15.0, 16.0, 17.0, 10.0, 11.0, 12.0, 13.0]);
    assert_eq!(values[OBJECTNESS], counted(&[6], 20.0));
}

#[test]
fn the_label_map_of_weights_is_found_where_they_lie() {
    let run = tempfile::tempdir().expect("a folder");
    let checkpoints = run.path().join("checkpoints");
    std::fs::create_dir(&checkpoints).expect("made");
    let file = checkpoints.join("ckpt-00000001.safetensors");
    std::fs::write(&file, b"").expect("written");
    assert_eq!(label_map_of(&file).expect("none"), None);
    std::fs::write(run.path().join("label_map.pbtxt"), "item { id: 1 name: 'a' }").expect("written");
    for place in [run.path(), &file] {
        assert_eq!(label_map_of(place).expect("readable"), Some(map(&["a"])), "{}", place.display());
    }
    std::fs::write(run.path().join("label_map.pbtxt"), "item { id: }").expect("written");
    assert!(label_map_of(run.path()).expect_err("damaged").to_string().contains("label_map.pbtxt"));
}
