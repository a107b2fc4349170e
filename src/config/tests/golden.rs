//! Real configs and label maps, and what TensorFlow made of them.

use serde_json::Value as Json;

use super::{files, read, shared};
use crate::pipeline::Pipeline;
use crate::proto::TrainEvalPipelineConfig;
use crate::{label_map, text_format};

#[test]
fn every_config_parses_prints_and_parses_to_the_same() {
    let Some(shared) = shared() else { return };
    let mut count = 0;
    for folder in ["data/tfod-configs/tf1", "data/tfod-configs/tf2", "golden/config"] {
        for path in files(&shared.join(folder), "config") {
            let pipeline = Pipeline::read(&path).unwrap_or_else(|error| panic!("{error}"));
            let printed = pipeline.to_text();
            let again =
                Pipeline::parse(&printed, "printed").unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(pipeline.config, again.config, "{}", path.display());
            assert_eq!(printed, again.to_text(), "{}", path.display());
            count += 1;
        }
    }
    assert!(count >= 26, "{count} configs");
}

#[test]
fn printing_is_tensorflows_to_the_byte() {
    let Some(shared) = shared() else { return };
    let folder = shared.join("golden/config");
    let configs = files(&folder, "config");
    assert!(!configs.is_empty());
    for path in configs {
        let printed = read(&path.with_extension("printed.txt"));
        assert_eq!(Pipeline::read(&path).expect("a config").to_text(), printed, "{}", path.display());
    }
}

#[test]
fn merging_a_text_gives_what_tensorflow_gives() {
    let Some(shared) = shared() else { return };
    let folder = shared.join("golden/config");
    let manifest: Json = serde_json::from_str(&read(&folder.join("manifest.json"))).expect("JSON");
    let mut count = 0;
    for entry in manifest.as_array().expect("a list") {
        let config = entry["config"].as_str().expect("a name");
        let base = Pipeline::read(folder.join(config)).expect("a config");
        for case in entry["overrides"].as_array().expect("a list") {
            if !case["kind"].as_str().is_some_and(|kind| kind.starts_with("text_format.Merge")) {
                continue;
            }
            let expected = read(&folder.join(case["expected"].as_str().expect("a name")));
            let merged = base.merge(case["text"].as_str().expect("a text"), "override").expect("merges");
            let expected: TrainEvalPipelineConfig = text_format::parse(&expected, "expected").expect("a config");
            assert_eq!(merged.config, expected, "{config}");
            count += 1;
        }
    }
    assert!(count >= 8, "{count} merges");
}

#[test]
fn the_edge_cases_are_accepted_and_refused_as_by_tensorflow() {
    let Some(shared) = shared() else { return };
    let cases: Json =
        serde_json::from_str(&read(&shared.join("golden/config/text_format_edge_cases.json"))).expect("JSON");
    for case in cases.as_array().expect("a list") {
        let text = case["text"].as_str().expect("a text");
        match (Pipeline::parse(text, "case"), case["ok"].as_bool()) {
            (Ok(pipeline), Some(true)) => {
                assert_eq!(Some(pipeline.to_text().as_str()), case["printed"].as_str(), "{text}")
            }
            (Err(error), Some(false)) => {
                // TensorFlow's place, `line:column : …`, is ours.
                let theirs = case["error"].as_str().and_then(|error| error.split(" : ").next()).expect("a place");
                let ours = error.to_string();
                assert!(ours.starts_with(&format!("case:{theirs}: ")), "{text}\n ours {ours}\n theirs {theirs}");
            }
            (result, expected) => panic!("{text}: {result:?}, expected ok: {expected:?}"),
        }
    }
}

#[test]
fn label_maps_keep_ids_names_and_display_names() {
    let Some(shared) = shared() else { return };
    let folder = shared.join("data/tfod-configs/label_maps");
    for (file, classes, last) in [
        ("mscoco_label_map.pbtxt", 80, (90, "/m/012xff", "toothbrush")),
        ("pascal_label_map.pbtxt", 20, (20, "tvmonitor", "tvmonitor")),
        ("pet_label_map.pbtxt", 37, (37, "yorkshire_terrier", "yorkshire_terrier")),
    ] {
        let map = label_map::read(folder.join(file)).unwrap_or_else(|error| panic!("{error}"));
        let item = map.items().last().expect("a class");
        assert_eq!(map.len(), classes, "{file}");
        assert_eq!((item.id.get(), item.name.as_str(), map.display_name(item.id).as_str()), last, "{file}");
        assert_eq!(label_map::parse(&label_map::print(&map), "printed").expect("a label map"), map, "{file}");
        let original = read(&folder.join(file));
        let over = label_map::print_over(&map, &original, file).expect("printed");
        let message =
            |text: &str| text_format::parse::<crate::proto::StringIntLabelMap>(text, file).expect("a label map");
        assert_eq!(message(&over), message(&original), "{file}");
    }
}
