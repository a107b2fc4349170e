//! The whole way by commands, on a project of a few pictures.

use std::fs;

use crate::support::{TinyProject, boxwright, succeed, text};

#[test]
fn pictures_become_a_detector_and_detections() {
    let project = TinyProject::make();
    let stats: serde_json::Value =
        serde_json::from_str(&succeed(["stats", &text(&project.dir), "--json"]).out).expect("stats print JSON");
    assert_eq!(stats["images"], 12);
    assert_eq!(stats["boxes"], 9);
    assert_eq!(stats["empty"], 3);
    assert_eq!(stats["classes"]["square"], 9);

    succeed(project.train("way", &["--progress", "none"]));
    let run = project.run("way");
    for file in ["pipeline.config", "label_map.pbtxt", "run.json", "dataset.json", "metrics.jsonl", "log.txt"] {
        assert!(run.join(file).exists(), "{file} is in the run directory");
    }
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).expect("metrics");
    for name in ["Loss/localization_loss", "Loss/classification_loss", "Loss/regularization_loss", "learning_rate"] {
        assert!(metrics.contains(name), "{name} is in the metrics");
    }

    // From the copy of the config in the run directory, as one does a week later.
    let eval = succeed(["eval", "--model-dir", &text(&run), "--device", "cpu", "--json", "--progress", "none"]);
    let values: serde_json::Value = serde_json::from_str(&eval.out).expect("eval prints JSON");
    assert!(values["DetectionBoxes_Precision/mAP@.50IOU"].is_number(), "{values}");
    assert!(values["PascalBoxes_Precision/mAP@0.5IOU"].is_number(), "{values}");

    let pictures = project.dir.join("pictures");
    let images = project.dir.parent().expect("a parent").join("voc");
    let predict = succeed([
        "predict",
        "--model",
        &text(&run),
        "--images",
        &text(&images),
        "--output-dir",
        &text(&pictures),
        "--min-confidence",
        "0.0",
        "--device",
        "cpu",
        "--json",
    ]);
    let lines: Vec<serde_json::Value> =
        predict.out.lines().map(|line| serde_json::from_str(line).expect("a JSON line an image")).collect();
    assert_eq!(lines.len(), 12);
    let first = &lines[0]["prediction"][0];
    assert_eq!(first[0], 1, "the class is the id of the label map");
    assert_eq!(first.as_array().map(Vec::len), Some(6));
    assert_eq!(fs::read_dir(&pictures).expect("pictures").count(), 12);
}

#[test]
fn records_are_sharded_and_hold_every_image_once() {
    let project = TinyProject::make();
    let out = project.dir.join("shards").join("all.record");
    succeed(["export", &text(&project.dir), "--format", "tfrecord", &text(&out), "--shards", "3"]);
    let mut names = Vec::new();
    let pattern = format!("{}-?????-of-00003", out.display());
    for record in boxwright_formats::tf_record::read_records(&pattern).expect("three shards") {
        let record = record.expect("a good record");
        let example = boxwright_formats::tf_example::DetectionExample::decode(&record, "a record").expect("an example");
        names.push(example.filename);
    }
    names.sort();
    names.dedup();
    // An annotation file without objects says that there is nothing to find: those images are background.
    assert_eq!(names.len(), 12);
}

#[test]
fn bad_usage_ends_with_2_and_help_with_0() {
    assert_eq!(boxwright(["train"]).code, Some(2));
    assert_eq!(boxwright(["no-such-command"]).code, Some(2));
    assert_eq!(boxwright(["train", "--pipeline", "p", "--model-dir", "d", "--device", "cuda"]).code, Some(2));
    let help = boxwright(["--help"]);
    assert_eq!(help.code, Some(0));
    for command in ["new", "import", "export", "check", "stats", "train", "eval", "predict", "devices", "demo", "open"]
    {
        assert!(help.out.contains(command), "{command} is in the help");
    }
}

#[test]
fn devices_are_listed_as_json() {
    let devices: serde_json::Value =
        serde_json::from_str(&succeed(["devices", "--json"]).out).expect("devices print JSON");
    let cpu = &devices[0];
    assert_eq!(cpu["kind"], "cpu");
    for key in ["name", "backend", "memory"] {
        assert!(cpu.get(key).is_some(), "{key} is there");
    }
}

#[test]
fn files_are_measured_without_a_run() {
    let keep = tempfile::tempdir().expect("a folder");
    let (truth, found) = (keep.path().join("truth.json"), keep.path().join("found.json"));
    let groundtruth = serde_json::json!({
        "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "b.jpg"}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 1, "bbox": [10, 10, 20, 20], "iscrowd": 0},
            {"id": 2, "image_id": 8, "category_id": 1, "bbox": [0, 0, 50, 40], "iscrowd": 0}
        ]
    });
    // The first object is found exactly, the second is missed, and there is one false alarm of lower score.
    let detections = serde_json::json!([
        {"image_id": 7, "category_id": 1, "bbox": [10, 10, 20, 20], "score": 0.9},
        {"image_id": 8, "category_id": 1, "bbox": [60, 60, 10, 10], "score": 0.4}
    ]);
    fs::write(&truth, groundtruth.to_string()).expect("written");
    fs::write(&found, detections.to_string()).expect("written");
    let eval = |protocol: &str| -> serde_json::Value {
        let arguments =
            ["eval", "--groundtruth", &text(&truth), "--detections", &text(&found), "--protocol", protocol, "--json"];
        serde_json::from_str(&succeed(arguments).out).expect("JSON")
    };
    let near = |value: &serde_json::Value, expected: f64| {
        assert!((value.as_f64().expect("a number") - expected).abs() < 1e-9, "{value} is not {expected}");
    };
    // Precision 1 up to recall 1/2: half the area; 6 of 11 points; 51 of COCO's 101.
    near(&eval("voc2010")["PascalBoxes_Precision/mAP@0.5IOU"], 0.5);
    near(&eval("voc2007")["PascalBoxes_Precision/mAP@0.5IOU"], 6.0 / 11.0);
    near(&eval("coco")["DetectionBoxes_Precision/mAP@.50IOU"], 51.0 / 101.0);
    fs::write(&found, "[{\"image_id\": 9}]").expect("written");
    let bad = boxwright(["eval", "--groundtruth", &text(&truth), "--detections", &text(&found)]);
    assert_eq!(bad.code, Some(1));
    assert!(bad.err.contains("found.json"), "{}", bad.err);
}

#[test]
fn a_faster_rcnn_goes_the_whole_way() {
    let project = TinyProject::make();
    let values = boxwright_config::TemplateValues {
        num_classes: 1,
        num_steps: 2,
        ..boxwright_config::TemplateValues::of("faster_rcnn_inception_v2").expect("a template")
    };
    let mut config =
        boxwright_config::pipeline_from_template("faster_rcnn_inception_v2", &values).expect("the template is good");
    for (path, value) in [
        ("model.faster_rcnn.image_resizer.keep_aspect_ratio_resizer.min_dimension", "64"),
        ("model.faster_rcnn.image_resizer.keep_aspect_ratio_resizer.max_dimension", "96"),
        ("model.faster_rcnn.first_stage_max_proposals", "16"),
        ("model.faster_rcnn.second_stage_batch_size", "8"),
    ] {
        config = boxwright_config::set_field(&config, path, value).expect("can be set");
    }
    fs::write(project.dir.join("pipeline.config"), config).expect("the config is written");
    succeed(["config", "check", &text(&project.dir.join("pipeline.config"))]);
    succeed(project.train("two-stages", &["--progress", "none"]));
    let run = project.run("two-stages");
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).expect("metrics");
    for name in
        ["Loss/RPNLoss/objectness_loss", "Loss/BoxClassifierLoss/classification_loss", "DetectionBoxes_Precision/mAP"]
    {
        assert!(metrics.contains(name), "{name}: {metrics}");
    }
    let out = project.dir.join("found");
    let picture = project.dir.parent().expect("a folder").join("voc").join("picture-00.jpg");
    let predict = succeed([
        "predict",
        "--model",
        &text(&run),
        "--images",
        &text(&picture),
        "--output-dir",
        &text(&out),
        "--json",
        "--min-confidence",
        "0",
        "--device",
        "cpu",
    ]);
    let line: serde_json::Value = serde_json::from_str(predict.out.trim()).expect("JSON");
    for row in line["prediction"].as_array().expect("detections") {
        let side = |i: usize| row[i].as_f64().expect("a number");
        assert!(row[0] == 1 && (2..6).all(|i| (-1e-6..=1.000001).contains(&side(i))), "{row}");
    }
    assert!(out.join("picture-00.jpg").is_file());
}
