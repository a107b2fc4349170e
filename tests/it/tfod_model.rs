//! Models that TensorFlow's Object Detection API left, measured and used as they are.
//!
//! The reference numbers hold checkpoints of TFOD with the detections that TFOD itself computed. A data set is made
//! whose ground truth lies about those detections, near and less near; then the average precision of the
//! checkpoint must be that of TFOD's own detections.

use std::fs;
use std::path::Path;

use boxwright_config::set_field;
use boxwright_core::{BoxFlags, ImageSize, LabelId, PixelBox};
use boxwright_formats::picture::Encoding;
use boxwright_formats::tf_example::{DetectionExample, ExampleObject};
use boxwright_formats::tf_record::RecordWriter;
use boxwright_golden::{Value, files, folders, json, read};

use crate::support::{succeed, text};

/// How far a metric may be from TFOD's.
const TOLERANCE: f64 = 0.005;

/// A picture with TFOD's detections in it, best first: class from 1, score, box in pixels.
struct Measured {
    name: String,
    encoded: Vec<u8>,
    size: ImageSize,
    detections: Vec<(u32, f64, PixelBox)>,
}

fn measured(path: &Path) -> Measured {
    let golden = json(path);
    let file = path.with_file_name(golden["image"].as_str().expect("a name"));
    let (width, height) = image::image_dimensions(&file).expect("a picture");
    let numbers =
        |value: &Value| value.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect();
    let scores: Vec<f64> = numbers(&golden["detection_scores"]);
    let classes: Vec<f64> = numbers(&golden["detection_classes_0based"]);
    let boxes = golden["detection_boxes"].as_array().expect("boxes");
    let (w, h) = (f64::from(width), f64::from(height));
    let detections =
        boxes.iter().map(numbers).zip(classes).zip(scores).map(|((b, class), score): ((Vec<f64>, f64), f64)| {
            (class as u32 + 1, score, PixelBox::new(b[0] * h, b[1] * w, b[2] * h, b[3] * w))
        });
    let detections = detections.filter(|(_, score, b)| *score > 0.0 && b.ymax > b.ymin && b.xmax > b.xmin).collect();
    Measured {
        name: file.file_name().expect("a name").to_string_lossy().into_owned(),
        encoded: fs::read(&file).expect("readable"),
        size: ImageSize::new(width, height),
        detections,
    }
}

/// Boxes about some of the detections: each is a little less like its own than the one before.
fn groundtruth(measured: &Measured) -> Vec<(u32, PixelBox)> {
    let best = measured.detections.iter().take(24).enumerate().filter(|(i, _)| i % 3 != 2);
    best.map(|(i, (class, _, b))| {
        // Never right at a threshold of COCO, where the last bit of a coordinate decides.
        let shrink = ((i % 8) as f64 * 0.05 + 0.02) * (b.ymax - b.ymin);
        (*class, PixelBox::new(b.ymin, b.xmin, b.ymax - shrink, b.xmax))
    })
    .collect()
}

/// The pictures and their ground truth as records.
fn write_records(path: &Path, pictures: &[Measured]) {
    let mut writer = RecordWriter::new(Vec::new());
    for picture in pictures {
        let object = |(class, b): (u32, PixelBox)| {
            let label = LabelId::new(class).expect("from 1");
            ExampleObject::new(label, &format!("class {class}"), &b, BoxFlags::default(), picture.size)
        };
        let objects = groundtruth(picture).into_iter().map(object).collect();
        let example =
            DetectionExample::new(&picture.name, picture.encoded.clone(), Encoding::Png, picture.size, objects);
        writer.write(&example.encode()).expect("written");
    }
    fs::write(path, writer.into_inner()).expect("written");
}

/// What TFOD's own detections are worth, by the metrics of the house.
fn worth_of_tfods(folder: &Path, pictures: &[Measured]) -> Value {
    let corner = |b: &PixelBox| serde_json::json!([b.xmin, b.ymin, b.xmax - b.xmin, b.ymax - b.ymin]);
    let (mut images, mut annotations, mut found, mut classes) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for (id, picture) in pictures.iter().enumerate() {
        images.push(serde_json::json!({ "id": id, "file_name": picture.name }));
        for (class, b) in groundtruth(picture) {
            classes = classes.max(class);
            let (number, area) = (annotations.len() + 1, (b.xmax - b.xmin) * (b.ymax - b.ymin));
            annotations.push(serde_json::json!({
                "id": number, "image_id": id, "category_id": class, "bbox": corner(&b), "area": area, "iscrowd": 0
            }));
        }
        for (class, score, b) in &picture.detections {
            classes = classes.max(*class);
            found.push(serde_json::json!({ "image_id": id, "category_id": class, "bbox": corner(b), "score": score }));
        }
    }
    let categories: Vec<Value> =
        (1..=classes).map(|id| serde_json::json!({ "id": id, "name": format!("class {id}") })).collect();
    let truth = serde_json::json!({ "images": images, "annotations": annotations, "categories": categories });
    let (truth_file, found_file) = (folder.join("truth.json"), folder.join("found.json"));
    fs::write(&truth_file, truth.to_string()).expect("written");
    fs::write(&found_file, Value::Array(found).to_string()).expect("written");
    let arguments = [
        "eval",
        "--groundtruth",
        &text(&truth_file),
        "--detections",
        &text(&found_file),
        "--protocol",
        "coco",
        "--json",
    ];
    serde_json::from_str(&succeed(arguments).out).expect("JSON")
}

#[test]
fn a_checkpoint_of_tfod_evaluates_to_the_precision_of_tfods_own_detections() {
    let mut largest = 0.0f64;
    let mut compared = 0;
    for model in folders("models", "model.ckpt.index") {
        let keep = tempfile::tempdir().expect("a folder");
        let pictures: Vec<Measured> = files(&model, "image", ".expected.json").iter().map(|p| measured(p)).collect();
        write_records(&keep.path().join("val.record"), &pictures);
        let config = read(&model.join("pipeline.config"));
        let path = "eval_input_reader[0].tf_record_input_reader.input_path";
        let config = set_field(&config, path, "\"val.record\"").expect("can be set");
        let pipeline = keep.path().join("pipeline.config");
        fs::write(&pipeline, config).expect("written");
        let expected = worth_of_tfods(keep.path(), &pictures);
        let checkpoint = text(&model.join("model.ckpt"));
        let ran =
            succeed(["eval", "--pipeline", &text(&pipeline), "--checkpoint", &checkpoint, "--device", "cpu", "--json"]);
        let ours: Value = serde_json::from_str(&ran.out).expect("JSON");
        for metric in
            ["DetectionBoxes_Precision/mAP", "DetectionBoxes_Precision/mAP@.50IOU", "DetectionBoxes_Recall/AR@100"]
        {
            let (found, wanted) = (ours[metric].as_f64(), expected[metric].as_f64());
            let (found, wanted) = found.zip(wanted).unwrap_or_else(|| panic!("{metric}: {ours} {expected}"));
            assert!(wanted > 0.05 && wanted < 0.99, "{}: {metric} is {wanted}, which says little", model.display());
            largest = largest.max((found - wanted).abs());
            compared += 1;
            assert!((found - wanted).abs() <= TOLERANCE, "{}: {metric} {found}, TFOD's {wanted}", model.display());
        }
    }
    println!("models of TFOD evaluated | {compared} metrics | {largest:.2e} | {TOLERANCE}");
}

#[test]
fn whatever_tfod_exports_finds_the_same() {
    for exported in folders("export", "frozen_inference_graph.pb") {
        let golden = exported.parent().and_then(Path::parent).expect("the golden folder");
        let name = exported.file_name().expect("a name");
        let model = golden.join("models").join(name);
        for expected in files(&model, "image", ".expected.json") {
            let picture = measured(&expected);
            let image = text(&model.join(&picture.name));
            let forms = ["frozen_inference_graph.pb", "saved_model", "detect.tflite"].map(|form| exported.join(form));
            for weights in forms
                .into_iter()
                .chain([model.join("model.ckpt")])
                .filter(|path| path.exists() || path.with_extension("ckpt.index").exists())
            {
                let ran = succeed([
                    "predict",
                    "--model",
                    &text(&weights),
                    "--images",
                    &image,
                    "--json",
                    "--min-confidence",
                    "0",
                    "--device",
                    "cpu",
                ]);
                let line: Value = serde_json::from_str(ran.out.trim()).expect("JSON");
                let found = line["prediction"].as_array().expect("detections");
                for (class, score, b) in picture.detections.iter().take(10) {
                    let fits = |row: &&Value| {
                        let near = |i: usize, value: f64| (row[i].as_f64().expect("a number") - value).abs() < 1e-3;
                        let (w, h) = (f64::from(picture.size.width), f64::from(picture.size.height));
                        row[0] == *class
                            && near(1, *score)
                            && near(2, b.xmin / w)
                            && near(3, b.ymin / h)
                            && near(4, b.xmax / w)
                            && near(5, b.ymax / h)
                    };
                    let what = format!("{}: {}: class {class} with {score}", weights.display(), picture.name);
                    assert!(found.iter().any(|row| fits(&row)), "{what} is not found: {}", ran.out);
                }
            }
        }
    }
}
