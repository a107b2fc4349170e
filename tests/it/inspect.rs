//! `boxwright inspect`: what it says of the files that the other commands write and read.

use std::fs;
use std::path::Path;

use boxwright_formats::tf_record::RecordWriter;

use crate::support::{boxwright, succeed, text};

/// A safetensors file with one tensor of two floats.
fn write_weights(path: &Path) {
    let header = br#"{"MobilenetV1/Conv2d_0/biases":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header, &1f32.to_le_bytes(), &2f32.to_le_bytes()].concat();
    fs::write(path, bytes).expect("written");
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_str(&succeed(["inspect", &text(path), "--json"]).out).expect("JSON")
}

#[test]
fn weights_are_listed_with_type_shape_and_size() {
    let keep = tempfile::tempdir().expect("a folder");
    let path = keep.path().join("w.safetensors");
    write_weights(&path);
    let about = json(&path);
    assert_eq!(about["kind"], "safetensors");
    let tensor = &about["tensors"][0];
    assert_eq!((&tensor["name"], &tensor["type"]), (&"MobilenetV1/Conv2d_0/biases".into(), &"float32".into()));
    assert_eq!((&tensor["shape"], &tensor["bytes"]), (&serde_json::json!([2]), &8.into()));
    assert_eq!((&about["weights"], &about["bytes"]), (&2.into(), &8.into()));
    let words = succeed(["inspect", &text(&path)]).out;
    assert!(
        words.contains("MobilenetV1/Conv2d_0/biases") && words.contains("1 tensors, 2 weights, 8 bytes"),
        "{words}"
    );
    // A folder with just that file means the file.
    assert_eq!(json(keep.path())["bytes"], 8);
}

#[test]
fn records_are_counted_and_a_damaged_one_is_named() {
    let keep = tempfile::tempdir().expect("a folder");
    let path = keep.path().join("train.record");
    let mut writer = RecordWriter::new(Vec::new());
    // Example { features { feature { key: "image/height" value {} } } }
    let feature = [&[0x0a, 12][..], b"image/height", &[0x12, 0]].concat();
    let features = [&[0x0a, feature.len() as u8][..], &feature].concat();
    let example = [&[0x0a, features.len() as u8][..], &features].concat();
    writer.write(&example).expect("in memory");
    writer.write(&example).expect("in memory");
    let mut bytes = writer.into_inner();
    fs::write(&path, &bytes).expect("written");
    let about = json(&path);
    assert_eq!(
        (&about["kind"], &about["records"], &about["checksums"]),
        (&"record file".into(), &2.into(), &"match".into())
    );
    assert_eq!(about["fields"]["image/height"], 2);
    let last = bytes.len() - 6;
    bytes[last] ^= 1;
    fs::write(&path, &bytes).expect("written");
    let ran = boxwright(["inspect", &text(&path)]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.out.contains("1 records") && ran.err.contains("train.record"), "{}{}", ran.out, ran.err);
}

#[test]
fn label_maps_are_listed_and_other_files_are_refused_with_a_word() {
    let keep = tempfile::tempdir().expect("a folder");
    let map = keep.path().join("map.pbtxt");
    fs::write(&map, "item { id: 3 name: 'raccoon' }\n").expect("written");
    assert_eq!(json(&map)["items"][0]["name"], "raccoon");
    let other = keep.path().join("notes.txt");
    fs::write(&other, "not a model").expect("written");
    let ran = boxwright(["inspect", &text(&other)]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("notes.txt") && ran.err.contains(".safetensors"), "{}", ran.err);
    assert_eq!(boxwright(["inspect", &text(&keep.path().join("nowhere"))]).code, Some(1));
}
