//! Names: what a checkpoint of TFOD's has, against what our models ask it for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use boxwright_config::template::{TemplateValues, pipeline_from_template};
use boxwright_config::{proto, text_format};
use boxwright_detection::{HostTensor, SsdModel, VariableInfo, builders};
use boxwright_golden::{Row, cases, files, integers, list, read as read_text, shared, size, text};
use burn::tensor::Device;

use crate::{Checksums, FileKind, FineTuneType, TensorInfo, open, restore_what_fits};

const DETECTION: FineTuneType = FineTuneType::Detection { all_variables: false };

fn parse(text: &str, name: &str) -> proto::TrainEvalPipelineConfig {
    text_format::parse(text, name).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The sample config of a table: the one of its name, or one that has the same variables.
fn config_of(name: &str) -> Option<proto::TrainEvalPipelineConfig> {
    let find = |name: &str| -> Option<PathBuf> {
        let folders = ["data/tfod-configs/tf1", "data/tfod-configs/tf2", "golden/config"];
        folders
            .into_iter()
            .filter_map(shared)
            .map(|folder| folder.join(format!("{name}.config")))
            .find(|path| path.is_file())
    };
    // Training with quantization in mind has the variables of training without.
    if let Some(path) = find(name).or_else(|| find(&name.replace("depth_300x300", "depth_quantized_300x300"))) {
        return Some(parse(&read_text(&path), name));
    }
    // SSDLite of one network is that of the other but for the network.
    if name == "ssdlite_mobilenet_v1_coco" {
        let other = find("ssdlite_mobilenet_v2_coco")?;
        return Some(parse(&read_text(&other).replace("ssd_mobilenet_v2", "ssd_mobilenet_v1"), name));
    }
    let network = name.strip_prefix("ssdlite_")?.split_once("_320x320_coco")?.0;
    let template = "ssdlite_mobilenet_v3_large";
    let values = TemplateValues { num_classes: 90, ..TemplateValues::of(template).expect("a template") };
    let text = pipeline_from_template(template, &values).expect("a config");
    Some(parse(&text.replace("\"ssd_mobilenet_v3_large\"", &format!("\"ssd_{network}\"")), name))
}

fn build(config: proto::TrainEvalPipelineConfig) -> Result<SsdModel, String> {
    builders::build_ssd(&config.model.unwrap_or_default(), 0, &Device::flex()).map_err(|error| error.to_string())
}

type Shapes = BTreeMap<String, Vec<usize>>;

/// The file's names that a model asks for under this type, with the model's shapes.
fn asked(infos: &[VariableInfo], kind: FineTuneType) -> Shapes {
    infos.iter().filter_map(|info| Some((kind.name_in_file(&info.name)?.to_owned(), info.shape.clone()))).collect()
}

#[test]
fn parity_variable_tables() {
    let mut row = Row::new("variable_tables", 0.0);
    for case in cases("variable_tables", &["variables", "restore_map_detection_not_restored"]) {
        let Some(config) = config_of(&case.name) else {
            println!("{}: not built here: there is no config of it", case.name);
            continue;
        };
        let model = match builders::build_model(&config.model.unwrap_or_default(), 0, &Device::flex()) {
            Ok(model) => model,
            // Only a network may be unknown here; all else of a known one is built.
            Err(error) if error.field.ends_with("feature_extractor.type") => {
                println!("{}: not built here: {error}", case.name);
                continue;
            }
            Err(error) => panic!("{}: {error}", case.name),
        };
        let infos = model.variable_infos();
        let shape = |value| integers(value).into_iter().map(|axis| axis as usize).collect();
        let pair = |value| match list(value) {
            [name, axes] => (text(name).to_owned(), shape(axes)),
            other => panic!("{}: {other:?}", case.name),
        };
        let table: Shapes = list(&case.json["variables"]).iter().map(pair).collect();
        let kept: BTreeSet<&str> = list(&case.json["restore_map_detection_not_restored"]).iter().map(text).collect();
        let wanted: Shapes = table.clone().into_iter().filter(|(name, _)| !kept.contains(name.as_str())).collect();
        let ours = asked(&infos, DETECTION);
        // What TFOD would load and we do not, or in another shape, and what we ask for in vain.
        let differences = wanted.iter().filter(|entry| !ours.iter().any(|own| own == *entry)).count()
            + ours.keys().filter(|name| !wanted.contains_key(*name)).count();
        row.case();
        row.deviation(|| format!("{}: detection", case.name), differences as f64);
        let full = asked(&infos, FineTuneType::Full);
        row.deviation(|| format!("{}: full", case.name), f64::from(u8::from(full != table)));
        let classifier = asked(&infos, FineTuneType::Classification);
        let count = size(&case.json["restore_map_classification_count"]);
        row.deviation(|| format!("{}: classification", case.name), classifier.len().abs_diff(count) as f64);
        for (name, variable) in case.json["restore_map_classification_prefix_rule"].as_object().into_iter().flatten() {
            let variable = text(variable);
            row.deviation(
                || format!("{variable} from {name}"),
                f64::from(u8::from(FineTuneType::Classification.name_in_file(variable) != Some(name.as_str()))),
            );
        }
        println!("{}: {} of {} variables by detection", case.name, ours.len(), table.len());
    }
    row.finish();
}

/// Every index below a folder.
fn indices(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        if entry.path().is_dir() {
            indices(&entry.path(), found);
        } else if entry.path().extension().is_some_and(|e| e == "index") {
            found.push(entry.path());
        }
    }
}

#[test]
fn every_index_reads_as_it_is_listed() {
    let Some(folder) = shared("data/tf-checkpoint-samples") else { return };
    let mut found = Vec::new();
    indices(&folder, &mut found);
    found.sort();
    assert!(!found.is_empty());
    for index in found {
        let mut file = open(&index).expect("readable");
        let listing = read_text(&PathBuf::from(format!("{}.variables.tsv", index.display())));
        let listed: BTreeSet<(String, String)> = listing.lines().map(listed).collect();
        let ours = file.tensors().iter().map(|t| (t.stored_name.clone(), format!("{:?}", t.shape))).collect();
        assert_eq!(listed, ours, "{}", index.display());
        let sums = file.verify().expect("no damage");
        println!("{} | {} tensors | {} | {sums:?}", index.display(), file.tensors().len(), file.kind());
        let has_data = index.with_extension("data-00000-of-00001").is_file();
        assert_eq!(matches!(sums, Checksums::Match(_)), has_data, "{sums:?}");
        assert_eq!(file.read_all().is_ok(), has_data);
    }
}

/// Name and shape in a line of a listing.
fn listed(line: &str) -> (String, String) {
    let mut fields = line.split('\t');
    let name = fields.next().expect("a name").to_owned();
    (name, fields.find_map(|field| field.strip_prefix("shape=")).expect("a shape").to_owned())
}

/// Tensors of zeros where a file has only its list.
fn zeros(tensors: &[TensorInfo]) -> BTreeMap<String, HostTensor> {
    let weights = tensors.iter().filter(|tensor| tensor.is_weight);
    weights
        .map(|tensor| {
            let data = vec![0.0; tensor.shape.iter().product()];
            (tensor.name.clone(), HostTensor { shape: tensor.shape.clone(), data })
        })
        .collect()
}

#[test]
fn checkpoints_of_the_zoo_give_a_model_all_that_it_asks_for() {
    let Some(folder) = shared("data/tf-checkpoint-samples") else { return };
    let Some(tf2_config) = shared("data/weights/ssd_mobilenet_v2_fpnlite_320x320_coco17/pipeline.config") else {
        return;
    };
    let mut found = Vec::new();
    indices(&folder, &mut found);
    for index in found {
        let file = open(&index).expect("readable");
        let beside = index.with_file_name("pipeline.config");
        let name = index.parent().expect("a folder").file_name().expect("a name").to_string_lossy().into_owned();
        let path = match (beside.is_file(), *file.kind() == FileKind::TensorFlowCheckpoint { object_based: true }) {
            (true, _) => beside,
            (false, true) if name.contains("fpnlite") => tf2_config.clone(),
            _ => continue,
        };
        let model = match build(parse(&read_text(&path), &name)) {
            Ok(model) => model,
            Err(error) => {
                println!("{name}: not built here: {error}");
                continue;
            }
        };
        let values = zeros(file.tensors());
        // The heads too, though a fine-tuned one is for other classes.
        let (model, full) = restore_what_fits(model, &values, FineTuneType::Full);
        assert_eq!(full.missing, [""; 0], "{name}: {full:#}");
        let (_, report) = restore_what_fits(model, &values, DETECTION);
        println!("{name}: {report}");
        assert_eq!(
            (report.missing.as_slice(), report.wrong_shape.as_slice()),
            (&[][..], &[][..]),
            "{name}: {report:#}"
        );
        let stays = |name: &&String| name.contains("FeatureExtractor") && !name.contains("/BatchNorm/");
        assert_eq!(
            report.left.iter().filter(stays).filter(|n| n.ends_with("weights")).count(),
            0,
            "{name}: {report:#}"
        );
    }
}

#[test]
fn objects_of_tf2_are_all_known() {
    let Some(folder) = shared("data/tf-checkpoint-samples") else { return };
    let mut found = Vec::new();
    indices(&folder, &mut found);
    let mut seen = 0;
    for index in found.into_iter().filter(|index| index.display().to_string().contains("fpnlite")) {
        let file = open(&index).expect("readable");
        let unknown: Vec<&str> = file
            .tensors()
            .iter()
            .filter(|tensor| tensor.is_weight && tensor.name == tensor.stored_name && tensor.name.starts_with("model/"))
            .map(|tensor| tensor.name.as_str())
            .collect();
        assert_eq!(unknown, [""; 0]);
        let names: BTreeSet<&str> = file.tensors().iter().map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(names.len(), file.tensors().len(), "a name is there twice");
        seen += 1;
    }
    println!("object-based checkpoints: {seen}");
}

#[test]
fn a_run_and_its_archive_are_starting_points() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run/checkpoints");
    std::fs::create_dir_all(&run).expect("made");
    for (step, bytes) in [(20, b"damaged".to_vec()), (100, super::small_files::own())] {
        std::fs::write(run.join(format!("ckpt-{step:08}.safetensors")), bytes).expect("written");
    }
    let values = crate::read(&folder.path().join("run")).expect("the newest");
    assert_eq!(values.keys().map(String::as_str).collect::<Vec<_>>(), ["a/weights"]);
    let archive = folder.path().join("model.tar.gz");
    let member = ("checkpoints/ckpt-00000100.safetensors", super::small_files::own());
    std::fs::write(&archive, super::small_files::archive(&[(member.0, &member.1), ("pipeline.config", b"model {}")]))
        .expect("written");
    let mut file = open(&archive).expect("a checkpoint in it");
    assert_eq!((file.kind(), file.is_unpacked()), (&FileKind::Checkpoint { step: 3 }, true));
    assert_eq!(file.read_all().expect("readable"), values);
    let (prefix, unpacked) = (folder.path().join("m.ckpt"), file.path().to_owned());
    drop(file);
    assert!(!unpacked.exists());
    let (index, data) = super::small_files::bundle(&mut super::small_files::as_it_is);
    let members = [("export/model.ckpt.index", index.as_slice()), ("export/model.ckpt.data-00000-of-00001", &data)];
    std::fs::write(&archive, super::small_files::archive(&members)).expect("written");
    assert_eq!(crate::read(&archive).expect("a bundle in it").len(), 3);
    for (suffix, bytes) in [("index", &index), ("data-00000-of-00001", &data)] {
        std::fs::write(prefix.with_extension(format!("ckpt.{suffix}")), bytes).expect("written");
    }
    for path in [&prefix, &prefix.with_extension("ckpt.index"), &prefix.with_extension("ckpt.data-00000-of-00001")] {
        assert_eq!(open(path).expect("a checkpoint").path(), prefix);
    }
}

#[test]
fn golden_graphs_have_the_variables_of_their_models() {
    let Some(folder) = boxwright_golden::golden("export") else { return };
    for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
        let (export, name) = (entry.path(), entry.file_name());
        let Some(weights) = boxwright_golden::golden("models").map(|models| models.join(&name).join("model.ckpt"))
        else {
            return;
        };
        let wanted = crate::read(&weights).expect("readable");
        for graph in files(&export, "", ".pb").into_iter().chain([export.join("saved_model")]) {
            if !graph.exists() {
                continue;
            }
            let mut file = open(&graph).expect("readable");
            let values = file.read_all().expect("readable");
            let same = wanted.iter().filter(|(name, value)| values.get(*name) == Some(value)).count();
            println!("{} | {} | {same} of {} variables", graph.display(), file.kind(), wanted.len());
            assert_eq!(same, wanted.len(), "{}", graph.display());
        }
    }
}
