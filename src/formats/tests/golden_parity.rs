//! Parity with TensorFlow's own record files and TFOD's decoder (`golden/tfrecord`).

use std::path::{Path, PathBuf};

use boxwright_core::{LabelId, LabelMap};
use boxwright_golden::{Row, Value, golden, json};
use sha2::{Digest, Sha256};

use crate::picture;
use crate::tf_example::DetectionExample;
use crate::tf_record::{open, read_records};

/// How much the mean of a channel of a JPEG may differ from TensorFlow's, in levels of 256.
/// TensorFlow decodes with libjpeg's fast integer transform, which cuts off where the accurate one
/// rounds: half a level in brightness and in each colour difference, up to 1.9 in blue.
const MEAN_TOLERANCE: f64 = 2.0;

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The folder and what it expects; `None`, with a word, where it is absent.
fn case() -> Option<(PathBuf, Value)> {
    let expected = golden("tfrecord/expected.json")?;
    let folder = expected.parent().map(Path::to_path_buf)?;
    Some((folder, json(&expected)))
}

#[test]
fn files_and_verdicts() {
    let Some((folder, expected)) = case() else { return };
    let wanted: Vec<&str> = list(&expected, "records").iter().filter_map(|r| r["record_sha256"].as_str()).collect();
    let mut row = Row::new("tfrecord/files", 0.0);
    for file in list(&expected, "files") {
        // "train.record.gz (GZIP)"
        let name = file.as_str().and_then(|file| file.split(' ').next()).expect("a name");
        let mut reader = open(&folder.join(name)).expect("opened");
        let mut offsets = Vec::new();
        let mut data = Vec::new();
        loop {
            let offset = reader.offset();
            if !reader.read_into(&mut data).expect("valid") {
                break;
            }
            assert_eq!(hex(&data), wanted[offsets.len()], "{name}");
            offsets.push(serde_json::json!([offset, data.len()]));
        }
        assert_eq!(offsets, list(&expected, "record_offsets_and_lengths"), "{name}");
        row.case();
    }
    // Record k is in shard k % 3.
    let pattern = folder.join("sharded.record-?????-of-00003").display().to_string();
    let sharded: Vec<String> = read_records(&pattern).expect("found").map(|r| hex(&r.expect("valid"))).collect();
    let mut by_shard: Vec<(usize, &str)> = wanted.iter().enumerate().map(|(k, sha)| (k % 3, *sha)).collect();
    by_shard.sort_by_key(|(shard, _)| *shard);
    assert_eq!(sharded, by_shard.iter().map(|(_, sha)| *sha).collect::<Vec<_>>());
    assert_eq!(open(&folder.join("empty.record")).expect("opened").count(), 0);
    let texts: Vec<String> = open(&folder.join("zero_length_record.record"))
        .expect("opened")
        .map(|r| String::from_utf8(r.expect("valid")).expect("text"))
        .collect();
    assert_eq!(texts, list(&expected, "zero_length_record"));
    (0..3).for_each(|_| row.case());
    for bad in list(&expected, "corrupted") {
        let name = bad["file"].as_str().expect("a file");
        let results: Vec<_> = open(&folder.join(name)).expect("opened").collect();
        let valid = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(Some(valid as u64), bad["valid_records_before_error"].as_u64(), "{name}");
        let error = results.last().and_then(|r| r.as_ref().err()).expect("damage is told, also where TF is silent");
        assert!(error.to_string().contains(&format!("record {valid} at byte ")), "{name}: {error}");
        row.case();
    }
    row.finish();
}

#[test]
fn features_and_decoder() {
    let Some((folder, expected)) = case() else { return };
    let map = LabelMap::from_names(["cat", "dog", "naïve_ünïcode"]).expect("valid");
    let records: Vec<Vec<u8>> =
        open(&folder.join("train.record")).expect("opened").collect::<Result<_, _>>().expect("valid");
    let mut row = Row::new("tfrecord/decoder", MEAN_TOLERANCE);
    for (index, (record, wanted)) in records.iter().zip(list(&expected, "tfod_decoder")).enumerate() {
        let example = DetectionExample::decode(record, &format!("train.record, record {index}")).expect("an example");
        check_objects(&example, wanted, &map);
        assert_eq!(
            (example.filename.as_str(), example.source_id.as_str(), example.key.as_str()),
            (
                wanted["filename"].as_str().expect("a name"),
                wanted["source_id"].as_str().expect("an id"),
                wanted["key"].as_str().expect("a key"),
            )
        );
        assert_eq!(hex(&example.encoded), example.key);
        // Writing what was read gives the same values again.
        let again = DetectionExample::decode(&example.encode(), "again").expect("an example");
        assert_eq!(again.objects.len(), example.objects.len());
        let raw = &expected["records"][index];
        let picture = picture::decode(&example.encoded, &example.filename).expect("a picture");
        let size = example.size.expect("a size");
        assert_eq!(picture.size, size);
        assert_eq!(wanted["image_shape"], serde_json::json!([size.height, size.width, 3]));
        let pixels = f64::from(size.width) * f64::from(size.height);
        for channel in 0..3 {
            let sum: u64 = picture.rgb.iter().skip(channel).step_by(3).map(|&v| u64::from(v)).sum();
            let mean = raw["decoded_mean_rgb"][channel].as_f64().expect("a mean");
            let deviation = (sum as f64 / pixels - mean).abs();
            assert!(example.format == "jpeg" || deviation < 1e-9, "PNG has no rounding");
            row.deviation(|| format!("record {index}, channel {channel}: {deviation}"), deviation);
        }
        row.case();
    }
    assert_eq!(records.len(), list(&expected, "tfod_decoder").len());
    row.finish();
}

fn check_objects(example: &DetectionExample, wanted: &Value, map: &LabelMap) {
    let objects = &example.objects;
    let boxes: Vec<Value> = objects.iter().map(|o| serde_json::json!(o.bounds.to_array().map(f64::from))).collect();
    let as_f32 = |values: &[Value]| -> Vec<Vec<f32>> {
        let numbers =
            |row: &Value| row.as_array().into_iter().flatten().map(|v| v.as_f64().expect("a number") as f32).collect();
        values.iter().map(numbers).collect()
    };
    assert_eq!(as_f32(&boxes), as_f32(list(wanted, "boxes_ymin_xmin_ymax_xmax")));
    let classes: Vec<u32> = objects.iter().map(|o| o.label_id(Some(map)).map(LabelId::get).expect("a class")).collect();
    assert_eq!(serde_json::json!(classes), wanted["classes"]);
    let labels: Vec<i64> = objects.iter().map(|o| o.label.expect("a label")).collect();
    assert_eq!(serde_json::json!(labels), wanted["classes_without_label_map"]);
    let weights: Vec<f64> = objects.iter().map(|o| f64::from(o.weight)).collect();
    assert_eq!(serde_json::json!(weights), wanted["weights"]);
    // TFOD gives an empty list where the record has none; here that is "no" for every box.
    let flag = |key: &str, of: fn(&crate::tf_example::ExampleObject) -> bool| {
        let values = list(wanted, key);
        for (index, object) in objects.iter().enumerate() {
            let set = values.get(index).is_some_and(|v| v.as_bool().unwrap_or(v.as_i64() == Some(1)));
            assert_eq!(of(object), set, "{key} of box {index}");
        }
    };
    flag("difficult", |o| o.difficult);
    flag("is_crowd", |o| o.is_crowd);
    flag("group_of", |o| o.group_of);
    let areas: Vec<f64> = objects.iter().filter_map(|o| o.area).map(f64::from).collect();
    assert_eq!(serde_json::json!(areas), wanted["area"]);
}

#[test]
fn record_files_of_others() {
    let Some(shared) = boxwright_golden::shared("") else { return };
    for (name, count, pictures) in
        [("raccoon_test.record", 40, true), ("pets_examples.record", 10, true), ("cvat_voc100.tfrecord", 100, false)]
    {
        let path = shared.join("data/tfrecord").join(name);
        let mut read = 0;
        for record in open(&path).expect("opened") {
            let example = DetectionExample::decode(&record.expect("valid"), name).expect("an example");
            let size = example.size.expect("a size");
            if pictures {
                assert_eq!(picture::decode(&example.encoded, &example.filename).expect("a picture").size, size);
            }
            assert!(example.objects.iter().all(|o| !o.text.is_empty() && o.label_id(None).is_ok()));
            assert!(!example.objects.is_empty());
            read += 1;
        }
        assert_eq!(read, count, "{name}");
    }
}
