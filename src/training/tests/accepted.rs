//! What `boxwright config check` accepts is what the trainer builds: the check and the builders are written in
//! two rooms and must not drift apart.

use std::path::{Path, PathBuf};

use boxwright_config::check::{DatasetFacts, check};
use boxwright_config::schema::{self, FieldInfo};
use boxwright_config::template::{TemplateValues, pipeline_from_template, template_names};
use boxwright_config::{Pipeline, remove_field, set_field};
use boxwright_core::Severity;
use boxwright_detection::builders::{build_model, image_resizer_of};
use boxwright_golden::{files, shared};
use burn::tensor::Device;

use crate::builders::{augmentation, optimizer, refuse_unhonoured};

/// Whether the check finds nothing wrong with what the config asks for; paths are not looked at.
fn is_accepted(pipeline: &Pipeline) -> bool {
    let problems = check(pipeline, &DatasetFacts::default());
    problems.iter().all(|problem| problem.severity != Severity::Error || problem.code == "path-to-be-configured")
}

/// Builds everything that a run builds from the config itself.
fn build(pipeline: &Pipeline) -> Result<(), String> {
    let model = pipeline.config.model.clone().unwrap_or_default();
    let train = pipeline.config.train_config.clone().unwrap_or_default();
    build_model(&model, 1, &Device::flex()).map_err(|e| e.to_string())?;
    image_resizer_of(&model).map_err(|e| e.to_string())?;
    optimizer(&train).map_err(|e| format!("{}: {}", e.field, e.what))?;
    augmentation(&train).map_err(|e| format!("{}: {}", e.field, e.what))?;
    refuse_unhonoured(&train).map_err(|e| format!("{}: {}", e.field, e.what))
}

fn read(path: &Path) -> Pipeline {
    Pipeline::read(path).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_template_and_every_accepted_sample_is_built() {
    let mut configs: Vec<Pipeline> = template_names().map(|name| small(name, 4)).collect();
    let templates = configs.len();
    for folder in ["data/tfod-configs/tf1", "data/tfod-configs/tf2", "golden/config"] {
        let samples: Vec<PathBuf> = shared(folder).map(|folder| files(&folder, "", ".config")).unwrap_or_default();
        configs.extend(samples.iter().map(|path| read(path)).filter(is_accepted));
    }
    configs.iter().for_each(|pipeline| assert!(is_accepted(pipeline), "{}", pipeline.file()));
    let wrong: Vec<String> =
        configs.iter().filter_map(|p| build(p).err().map(|error| format!("{}: {error}", p.file()))).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    println!("{} templates and {} samples are built", templates, configs.len() - templates);
}

/// A template as small as it can be, so that it is built in no time.
fn small(name: &str, classes: u32) -> Pipeline {
    let values = TemplateValues { num_classes: classes, ..TemplateValues::of(name).expect("a template") };
    let mut text = pipeline_from_template(name, &values).expect("a text");
    for path in ["model.ssd.feature_extractor.depth_multiplier", "model.ssd.feature_extractor.min_depth"] {
        let value = if path.ends_with("min_depth") { "8" } else { "0.25" };
        let has_one_width = ["vgg", "resnet"].iter().any(|part| name.contains(part));
        if !has_one_width && Pipeline::parse(&text, name).expect("a config").position(path).is_some() {
            text = set_field(&text, path, value).expect("can be set");
        }
    }
    Pipeline::parse(&text, name).expect("a config")
}

/// Values that the field does not have by default.
fn others(field: &FieldInfo) -> Vec<String> {
    let words: &[&str] = match field.type_name.as_str() {
        "bool" => &["true", "false"],
        "float" | "double" => &["0", "0.25", "0.5", "1", "2", "10"],
        "int32" | "uint32" | "int64" => &["0", "1", "2", "3", "4", "5", "8", "16", "64"],
        _ => &[],
    };
    let choices = field.choices.iter().map(|choice| choice.name.clone());
    words.iter().map(|word| (*word).to_owned()).chain(choices).collect()
}

/// All configs that differ from `base` in one place below `block`: another value of a field, a block that was not
/// there, another member of a choice.
fn variants(base: &Pipeline, block: &str, found: &mut Vec<(String, String)>) {
    let fields = schema::children(block).expect("a block");
    for field in &fields {
        let path = format!("{block}.{}", field.name);
        let is_there = base.position(&path).is_some();
        if field.is_block && is_there && !field.repeated {
            variants(base, &path, found);
        } else if field.is_block {
            // Another member of a choice takes the place of the one that is there.
            let rival = fields.iter().find(|other| {
                other.oneof.is_some()
                    && other.oneof == field.oneof
                    && base.position(&format!("{block}.{}", other.name)).is_some()
            });
            let text = rival.map_or(Ok(base.text().to_owned()), |rival| {
                remove_field(base.text(), &format!("{block}.{}", rival.name))
            });
            if let Ok(text) = text.and_then(|text| set_field(&text, &path, "{ }")) {
                found.push((format!("{path} {{ }}"), text));
            }
        } else {
            for value in others(field) {
                if let Ok(text) = set_field(base.text(), &path, &value) {
                    found.push((format!("{path}: {value}"), text));
                }
            }
        }
    }
}

#[test]
fn what_is_accepted_after_one_change_is_built() {
    let mut counts = (0, 0);
    for name in ["ssd_mobilenet_v1", "ssd_mobilenet_v2_fpnlite", "faster_rcnn_inception_v2"] {
        let base = small(name, 2);
        assert!(is_accepted(&base), "{name}");
        let mut changed = Vec::new();
        for block in ["model", "train_config"] {
            variants(&base, block, &mut changed);
        }
        let accepted: Vec<(String, Pipeline)> = changed
            .into_iter()
            .filter_map(|(what, text)| Some((what, Pipeline::parse(&text, name).ok()?)))
            .filter(|(_, pipeline)| is_accepted(pipeline))
            .collect();
        let wrong: Vec<String> = accepted
            .iter()
            .filter_map(|(what, pipeline)| build(pipeline).err().map(|error| format!("{name}: {what}: {error}")))
            .collect();
        assert!(wrong.is_empty(), "accepted by the check and refused by the builders: {wrong:#?}");
        counts = (counts.0 + 1, counts.1 + accepted.len());
    }
    println!("{} changes of {} templates are accepted and built", counts.1, counts.0);
    assert!(counts.1 > 200, "{counts:?}");
}
