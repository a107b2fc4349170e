//! Checking and making configs for the data at hand: `boxwright config check` and `config new`.

use std::path::{Path, PathBuf};

use boxwright_config::check::{
    AnchorReport, DatasetFacts, DeviceMemory, FieldVerdict, anchor_report, memory_estimate, outlook, verdicts,
};
use boxwright_config::proto::{InputReader, input_reader};
use boxwright_config::template::{TemplateValues, pipeline_from_template, templates, with_anchors};
use boxwright_config::{ConfigError, Pipeline, check, label_map, paths};
use boxwright_core::{Problem, Split};
use boxwright_store::Project;

use crate::error::SessionError;
use crate::facts;
use crate::records::is_usable;
use crate::watch::Watch;

/// Share of a device's memory that a new config plans to use.
const PLANNED: f64 = 0.6;

/// Above this share of boxes without an anchor, a new config gets other anchors.
const MISFIT: f64 = 0.1;

/// What there is to say about a config.
#[derive(Clone, Debug, Default)]
pub struct ConfigReport {
    /// What is wrong with it.
    pub problems: Vec<Problem>,
    /// What is worth knowing of it: epochs, memory, how the anchors fit.
    pub outlook: Vec<Problem>,
    /// What is done with each field that it sets.
    pub fields: Vec<FieldVerdict>,
    /// How the anchors fit the boxes, by class and size.
    pub anchors: Option<AnchorReport>,
}

/// Checks a config with the data that it names, or with those of a project.
///
/// # Errors
/// When the project cannot be read, or the watcher stops it. A file that is no config is a finding.
pub fn check_config(
    file: &Path,
    project: Option<&Path>,
    memory: Option<DeviceMemory>,
    watch: &mut dyn Watch,
) -> Result<ConfigReport, SessionError> {
    let pipeline = match Pipeline::read(file) {
        Ok(pipeline) => pipeline,
        Err(error) => return Ok(ConfigReport { problems: vec![error.to_problem()], ..ConfigReport::default() }),
    };
    let mut facts = match project {
        Some(dir) => project_facts(&Project::open(dir)?, &folder_of(file))?,
        None => file_facts(&pipeline, &folder_of(file), watch),
    };
    facts.memory = memory;
    Ok(ConfigReport {
        problems: check(&pipeline, &facts),
        outlook: outlook(&pipeline, &facts),
        fields: verdicts(&pipeline),
        anchors: anchor_report(&pipeline.config, &facts),
    })
}

/// The folder of a config, from which its relative paths count.
fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// What the files say that a config names.
fn file_facts(pipeline: &Pipeline, root: &Path, watch: &mut dyn Watch) -> DatasetFacts {
    let config = &pipeline.config;
    let map = config
        .train_input_reader
        .as_ref()
        .and_then(|reader| label_map::read(paths::resolve(root, reader.label_map_path())).ok());
    let mut read = |reader: Option<&InputReader>| facts::of_records(inputs(reader?), root, map.as_ref(), watch);
    let (train, most_boxes) = read(config.train_input_reader.as_ref()).unzip();
    let eval = read(config.eval_input_reader.first()).map(|(eval, _)| eval);
    DatasetFacts {
        root: Some(root.to_owned()),
        label_map: map,
        // Files without a record are reported by what they lack, not as a batch that is too large.
        train_images: train.as_ref().filter(|train| train.whole && train.images > 0).map(|train| train.images),
        most_boxes,
        train: train.filter(|train| train.images > 0),
        eval: eval.filter(|eval| eval.images > 0),
        memory: None,
    }
}

fn inputs(reader: &InputReader) -> &[String] {
    match &reader.input_reader {
        Some(input_reader::InputReader::TfRecordInputReader(records)) => &records.input_path,
        _ => &[],
    }
}

/// What a project's database says. Records that training has yet to write are not missed.
pub(crate) fn project_facts(project: &Project, config_folder: &Path) -> Result<DatasetFacts, SessionError> {
    let map_file = project.label_map_path();
    // One that cannot be read is a finding of its own.
    let map = label_map::read(&map_file).ok();
    let labels = map.clone().unwrap_or_default();
    let train = facts::of_project(project, &labels, Split::Train)?;
    let images = project.images()?;
    Ok(DatasetFacts {
        root: project.records_dir().is_dir().then(|| config_folder.to_owned()),
        label_map: map,
        train_images: Some(train.images).filter(|images| *images > 0),
        most_boxes: images.iter().map(|image| image.boxes).max(),
        train: Some(train).filter(|train| train.images > 0),
        eval: None,
        memory: None,
    })
}

/// What came of [`new_config`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewConfig {
    /// The text.
    pub text: String,
    /// What was chosen, and why, in sentences for a person.
    pub notes: Vec<String>,
}

/// A complete config of a model for the data of a project: classes, paths, a batch that fits the memory,
/// steps, schedule, and anchors that fit the boxes.
///
/// `file` is where the config is to lie, for its relative paths are taken from there; without one, in the project.
///
/// # Errors
/// When the project cannot be read or has no classes, its folder is not there, or the model is unknown or not trained
/// here.
pub fn new_config(
    model: &str,
    project: &Path,
    file: Option<&Path>,
    checkpoint: Option<&str>,
    memory: Option<&DeviceMemory>,
) -> Result<NewConfig, SessionError> {
    let values = TemplateValues::of(model)?;
    if let Some(problem) = templates().into_iter().find(|info| info.name == model).and_then(|info| info.refused) {
        return Err(SessionError::NotTrainable(Box::new(problem)));
    }
    let project = Project::open(project)?;
    let mut facts = project_facts(&project, project.dir())?;
    if facts.label_map.is_none() && project.label_map_path().exists() {
        label_map::read(project.label_map_path())?;
    }
    let labels = facts.label_map.clone().filter(|labels| !labels.is_empty()).ok_or_else(|| {
        SessionError::NothingToTrain("the project has no classes yet; add one, or import annotations".into())
    })?;
    if facts.train.is_none() {
        // Nothing is in the split yet; training would divide what belongs nowhere.
        let usable = project.images()?.iter().filter(|image| is_usable(image)).count() as u64;
        let train = facts::of_project(&project, &labels, Split::Unassigned)?;
        facts.train_images = Some(usable).filter(|images| *images > 0);
        facts.train = Some(train).filter(|train| train.images > 0);
    }
    let mut notes = Vec::new();
    let largest = largest_batch(model, &values, &facts, memory, &mut notes)?;
    let values = TemplateValues {
        num_classes: labels.max_id(),
        fine_tune_checkpoint: checkpoint.map(str::to_owned),
        ..values.for_data(facts.train_images.unwrap_or(0), largest)
    };
    notes.push(format!(
        "{} classes, {} steps of {} images: {:.0} rounds over {} training images",
        labels.len(),
        values.num_steps,
        values.batch_size,
        f64::from(values.num_steps) * f64::from(values.batch_size) / facts.train_images.unwrap_or(1) as f64,
        facts.train_images.unwrap_or(0),
    ));
    let values = match file {
        Some(file) if real(&folder_of(file))? != real(project.dir())? => values.below(&real(project.dir())?),
        _ => values,
    };
    let mut text = pipeline_from_template(model, &values)?;
    if let Some(report) = anchor_report(&Pipeline::parse(&text, "pipeline.config")?.config, &facts) {
        let missed = report.unmatched as f64 / report.boxes as f64;
        match report.proposal.filter(|_| missed > MISFIT) {
            Some(proposal) => {
                text = with_anchors(&text, &proposal)?;
                notes.push(format!(
                    "anchors made for these boxes: {} of {} overlap none, where the usual ones miss {}",
                    proposal.unmatched, report.boxes, report.unmatched
                ));
            }
            None => {
                notes.push(format!("the usual anchors: {} of {} boxes overlap none", report.unmatched, report.boxes))
            }
        }
    }
    Ok(NewConfig { text, notes })
}

/// A folder's path from the root on.
fn real(folder: &Path) -> Result<PathBuf, SessionError> {
    folder.canonicalize().map_err(|source| SessionError::File { path: folder.into(), source })
}

/// The largest batch that the memory allows.
fn largest_batch(
    model: &str,
    values: &TemplateValues,
    facts: &DatasetFacts,
    memory: Option<&DeviceMemory>,
    notes: &mut Vec<String>,
) -> Result<u32, ConfigError> {
    let pipeline = Pipeline::parse(&pipeline_from_template(model, values)?, "pipeline.config")?;
    let (Some(memory), Some(estimate)) = (memory, memory_estimate(&pipeline.config, facts)) else {
        return Ok(values.batch_size);
    };
    let largest = estimate.largest_batch(PLANNED * memory.bytes as f64);
    if largest < values.batch_size {
        notes.push(format!(
            "batches of {largest} instead of {}, for the memory of {}",
            values.batch_size, memory.device
        ));
    }
    Ok(largest)
}
