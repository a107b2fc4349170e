//! Label maps, records and classes: whether the config says what the data hold.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use boxwright_core::{LabelId, LabelMap};

use super::Findings;
use super::facts::{DatasetFacts, RecordFacts};
use crate::proto::{self, InputReader, detection_model};
use crate::text_format::bind::suggestion;
use crate::{label_map, paths};

/// Metric families by TFOD's names, and whether they are computed here.
const METRICS: &[(&str, bool)] = &[
    ("coco_detection_metrics", true),
    ("pascal_voc_detection_metrics", true),
    ("coco_keypoint_metrics", false),
    ("coco_mask_metrics", false),
    ("coco_panoptic_metrics", false),
    ("lvis_mask_metrics", false),
    ("oid_V2_detection_metrics", false),
    ("oid_challenge_detection_metrics", false),
    ("oid_challenge_segmentation_metrics", false),
    ("open_images_V2_detection_metrics", false),
    ("open_images_detection_metrics", false),
    ("open_images_challenge_detection_metrics", false),
    ("pascal_voc_instance_segmentation_metrics", false),
    ("precision_at_recall_detection_metrics", false),
    ("weighted_pascal_voc_detection_metrics", false),
    ("weighted_pascal_voc_instance_segmentation_metrics", false),
];

pub(super) fn check(findings: &mut Findings, facts: &DatasetFacts) {
    let config = findings.pipeline.config.clone();
    let labels = labels_of(&config, facts);
    check_classes(&config, labels.as_ref(), findings);
    let train = config.train_input_reader.as_ref();
    if let Some(reader) = train {
        check_reader(reader, "train_input_reader", facts, findings);
        check_records(facts.train.as_ref(), "train_input_reader", labels.as_ref(), findings);
    }
    for (index, reader) in config.eval_input_reader.iter().enumerate() {
        let path = format!("eval_input_reader[{index}]");
        check_reader(reader, &path, facts, findings);
        check_same_labels(reader, &path, labels.as_ref(), facts, findings);
        let shared = train.map_or(Vec::new(), |train| both(inputs(train), inputs(reader), facts));
        if let Some(file) = shared.first() {
            let message = format!("{file} is trained on as well; what is measured on it is too good");
            let fix = "give the records of images that are held out";
            findings.warning("train-val-overlap", &format!("{path}.tf_record_input_reader.input_path"), message, fix);
        }
    }
    if !config.eval_input_reader.is_empty() {
        check_records(facts.eval.as_ref(), "eval_input_reader[0]", labels.as_ref(), findings);
    } else {
        let fix = "add an `eval_input_reader` with the records of the held-out images";
        findings.warning("no-evaluation", "eval_input_reader", "there is nothing to evaluate on", fix);
    }
    for (index, name) in config.eval_config.iter().flat_map(|eval| &eval.metrics_set).enumerate() {
        check_metric(name, &format!("eval_config.metrics_set[{index}]"), findings);
    }
}

/// The label map of the training data, where it can be had. One that cannot be read is reported with its
/// reader.
pub(super) fn labels_of(config: &proto::TrainEvalPipelineConfig, facts: &DatasetFacts) -> Option<LabelMap> {
    let from_file = || {
        let reader = config.train_input_reader.as_ref()?;
        label_map::read(paths::resolve(facts.root.as_ref()?, reader.label_map_path())).ok()
    };
    facts.label_map.clone().or_else(from_file)
}

fn check_classes(config: &proto::TrainEvalPipelineConfig, labels: Option<&LabelMap>, findings: &mut Findings) {
    let (path, classes) = match config.model.as_ref().and_then(|model| model.model.as_ref()) {
        Some(detection_model::Model::Ssd(ssd)) => ("model.ssd.num_classes", ssd.num_classes()),
        Some(detection_model::Model::FasterRcnn(model)) => ("model.faster_rcnn.num_classes", model.num_classes()),
        Some(detection_model::Model::CenterNet(model)) => ("model.center_net.num_classes", model.num_classes()),
        _ => return,
    };
    let Some(labels) = labels else { return };
    let at = "train_input_reader.label_map_path";
    let columns = labels.max_id();
    if columns == 0 {
        findings.error("label-map", at, "the label map has no classes", "add an `item` for each class");
    } else if classes < 1 {
        // Out of any range; reported there.
    } else if i64::from(classes) < i64::from(columns) {
        let message = format!("num_classes is {classes}, but the label map has the id {columns}");
        findings.error("num-classes", path, message, format!("set it to {columns}"));
    } else if i64::from(classes) > i64::from(columns) {
        let message = format!("num_classes is {classes}, but the label map's ids end at {columns}");
        findings.warning("num-classes", path, message, format!("set it to {columns}"));
    }
    let mut shown: HashMap<&str, &str> = HashMap::new();
    for item in labels.items() {
        let display = item.display_name.as_deref().unwrap_or(&item.name);
        if let Some(other) = shown.insert(display, &item.name) {
            let message = format!("\"{other}\" and \"{}\" are both shown as \"{display}\"", item.name);
            let fix = "give one of them another display_name: records that use it could mean either";
            findings.warning("display-name-twice", at, message, fix);
        }
    }
}

/// The ids up to the largest that no class has: columns that are never trained.
pub(super) fn gaps(labels: &LabelMap) -> Vec<u32> {
    (1..=labels.max_id()).filter(|id| LabelId::new(*id).is_some_and(|id| labels.get(id).is_none())).collect()
}

/// Another label map for evaluation has to give the same ids.
fn check_same_labels(
    reader: &InputReader,
    path: &str,
    labels: Option<&LabelMap>,
    facts: &DatasetFacts,
    findings: &mut Findings,
) {
    let (Some(labels), Some(root)) = (labels, &facts.root) else { return };
    let Ok(other) = label_map::read(paths::resolve(root, reader.label_map_path())) else { return };
    let moved = other.items().iter().find(|item| labels.by_name(&item.name).is_none_or(|mine| mine.id != item.id));
    if let Some(item) = moved {
        let message = match labels.by_name(&item.name) {
            Some(mine) => format!("\"{}\" has the id {} here and {} in training", item.name, item.id, mine.id),
            None => format!("\"{}\" is not in the label map of the training", item.name),
        };
        findings.error(
            "label-maps-differ",
            &format!("{path}.label_map_path"),
            message,
            "use the same label map for both",
        );
    }
}

fn inputs(reader: &InputReader) -> &[String] {
    match &reader.input_reader {
        Some(proto::input_reader::InputReader::TfRecordInputReader(records)) => &records.input_path,
        _ => &[],
    }
}

/// What two lists of paths have in common, by file where files are looked for.
fn both(one: &[String], other: &[String], facts: &DatasetFacts) -> Vec<String> {
    let files = |paths: &[String]| -> BTreeSet<PathBuf> {
        match &facts.root {
            Some(root) => paths.iter().flat_map(|path| paths::expand(root, path)).collect(),
            None => paths.iter().filter(|path| !path.contains("PATH_TO_BE_CONFIGURED")).map(PathBuf::from).collect(),
        }
    };
    files(one).intersection(&files(other)).map(|path| path.display().to_string()).collect()
}

fn check_reader(reader: &InputReader, path: &str, facts: &DatasetFacts, findings: &mut Findings) {
    let at = format!("{path}.label_map_path");
    let label_map = reader.label_map_path();
    if label_map.is_empty() {
        findings.error("missing-path", &at, "there is no label map", "add `label_map_path: \"label_map.pbtxt\"`");
    } else if !placeholder(label_map, &at, findings)
        && let Some(root) = &facts.root
        && let Err(error) = label_map::read(paths::resolve(root, label_map))
    {
        findings.error("label-map", &at, error.to_string(), "correct the path or the file");
    }
    let at = format!("{path}.tf_record_input_reader");
    let inputs = inputs(reader);
    if inputs.is_empty() {
        let fix = "add `tf_record_input_reader { input_path: \"records/train.record-?????-of-00001\" }`";
        findings.error("missing-path", &at, "there are no records to read", fix);
    }
    for (index, input) in inputs.iter().enumerate() {
        let at = format!("{at}.input_path[{index}]");
        if input.trim().is_empty() {
            findings.error(
                "missing-path",
                &at,
                "the path is empty",
                "write the path of the records, or delete the line",
            );
        }
        if input.trim().is_empty() || placeholder(input, &at, findings) {
            continue;
        }
        let Some(root) = &facts.root else { continue };
        let files: Vec<PathBuf> = input.split(',').flat_map(|part| paths::expand(root, part.trim())).collect();
        if files.is_empty() {
            let message = format!("no file matches {}", paths::resolve(root, input).display());
            findings.error("missing-file", &at, message, "write the records first, or correct the path");
        }
        check_shards(&files, input, &at, findings);
    }
    let weights = reader.sample_from_datasets_weights.len();
    if weights != 0 && weights != inputs.len() {
        let message = format!("`sample_from_datasets_weights` has {weights} values for {} paths", inputs.len());
        let fix = "give one weight for each input_path, or none";
        findings.error("bad-value", &format!("{path}.sample_from_datasets_weights"), message, fix);
    }
}

/// The base, number and count of a file that is one shard of several: `train.record-00003-of-00010`.
fn shard(file: &Path) -> Option<(String, usize, usize)> {
    let name = file.to_str()?;
    let (rest, count) = name.rsplit_once("-of-")?;
    let (base, number) = rest.rsplit_once('-')?;
    let digits = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    // What follows the count, like `.tfrecord`, stays with the base.
    let (count, ending) = count.split_at_checked(5)?;
    if !digits(number) || !digits(count) {
        return None;
    }
    Some((format!("{base}{ending}"), number.parse().ok()?, count.parse().ok()?))
}

/// A set of shards that lacks some would train on a part of the data and look like all of it.
fn check_shards(files: &[PathBuf], input: &str, at: &str, findings: &mut Findings) {
    // A pattern that asks for one shard means that one.
    if !input.contains(['?', '*']) {
        return;
    }
    let mut sets: BTreeMap<(String, usize), (BTreeSet<usize>, &Path)> = BTreeMap::new();
    for file in files {
        if let Some((base, number, count)) = shard(file) {
            sets.entry((base, count)).or_insert_with(|| (BTreeSet::new(), file)).0.insert(number);
        }
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for ((base, count), (numbers, sample)) in &sets {
        let first_of = counts.insert(base, *count);
        if let Some(other) = first_of {
            let message = format!("{base} is there in {other} shards and in {count}: the data would be read twice");
            findings.error("mixed-shards", at, message, "delete the older set of files, or name one count in the path");
        }
        let missing = (0..*count).find(|number| !numbers.contains(number));
        if let Some(number) = missing
            && asks_for_all(input)
        {
            let name = sample.display().to_string();
            let given = numbers.first().copied().unwrap_or(0);
            let missing = name.replace(&format!("-{given:05}-of-"), &format!("-{number:05}-of-"));
            let lacking = count - numbers.len();
            let message = format!("{lacking} of {count} shards are missing; the first is {missing}");
            findings.error("missing-shard", at, message, "copy the missing files, or write the records again");
        }
    }
}

/// Whether a pattern means all shards: its number is any.
fn asks_for_all(input: &str) -> bool {
    input.split(',').any(|part| part.contains("-?????-of-") || part.contains('*'))
}

/// What the records hold against the label map.
fn check_records(records: Option<&RecordFacts>, path: &str, labels: Option<&LabelMap>, findings: &mut Findings) {
    let Some(records) = records else { return };
    let at = format!("{path}.tf_record_input_reader");
    if records.images == 0 {
        findings.error("no-records", &at, "the records hold no image", "write the records again");
        return;
    }
    let some = if records.whole { "" } else { "of those looked at " };
    if records.labels.is_empty() {
        let fix = "write the records again, with boxes";
        findings.error("no-boxes", &at, format!("none {some}of {} images has a box", records.images), fix);
    }
    let Some(labels) = labels else { return };
    let map = format!("{path}.label_map_path");
    let mut used = BTreeSet::new();
    for label in &records.labels {
        let by_text = labels
            .items()
            .iter()
            .find(|item| item.display_name.as_deref() == Some(label.text.as_str()))
            .or_else(|| labels.by_name(&label.text))
            .filter(|_| !label.text.is_empty());
        let by_number = label
            .number
            .and_then(|number| u32::try_from(number).ok())
            .and_then(LabelId::new)
            .and_then(|id| labels.get(id));
        match (by_text, by_number) {
            (Some(item), other) => {
                used.insert(item.id);
                if let Some(number) = label.number.filter(|_| other.is_none_or(|other| other.id != item.id)) {
                    let message = format!(
                        "{} boxes of \"{}\" have the number {number} in the records, and the label map says {}",
                        label.boxes, label.text, item.id
                    );
                    let fix =
                        "write the records again with this label map; here the name counts, elsewhere the number may";
                    findings.warning("label-number", &map, message, fix);
                }
            }
            (None, _) if !label.text.is_empty() => {
                let message =
                    format!("{} boxes are called \"{}\", which is not in the label map", label.boxes, label.text);
                let fix = match labels.nearest_name(&label.text) {
                    Some(near) => format!("did you mean \"{near}\"? else add an item with that name"),
                    None => "add an item with that name, or write the records again".into(),
                };
                findings.error("label-not-in-map", &map, message, fix);
            }
            (None, Some(item)) => {
                used.insert(item.id);
            }
            (None, None) => {
                let number =
                    label.number.map_or_else(|| "no number".to_owned(), |number| format!("the number {number}"));
                let message =
                    format!("{} boxes have no name and {number}, which is no id of the label map", label.boxes);
                findings.error("label-not-in-map", &map, message, "write the records again with this label map");
            }
        }
    }
    let unused: Vec<&str> =
        labels.items().iter().filter(|item| !used.contains(&item.id)).map(|item| item.name.as_str()).collect();
    if !unused.is_empty() && !used.is_empty() && records.whole && path == "train_input_reader" {
        let listed = unused.iter().take(8).copied().collect::<Vec<_>>().join(", ");
        let more = if unused.len() > 8 { format!(" and {} more", unused.len() - 8) } else { String::new() };
        let message = format!("no training box shows {listed}{more}");
        findings.warning(
            "class-without-boxes",
            &map,
            message,
            "annotate some, or leave the class out of the label map",
        );
    }
}

/// Reports a path that somebody still has to fill in.
pub(super) fn placeholder(value: &str, path: &str, findings: &mut Findings) -> bool {
    let is_one = value.contains("PATH_TO_BE_CONFIGURED");
    if is_one {
        let message = format!("\"{value}\" is only a placeholder");
        findings.error("path-to-be-configured", path, message, "write the real path");
    }
    is_one
}

fn check_metric(name: &str, path: &str, findings: &mut Findings) {
    match METRICS.iter().find(|(known, _)| *known == name) {
        Some((_, true)) => {}
        Some((_, false)) => {
            let message = format!("{name} is not computed here");
            findings.warning("unsupported-metric", path, message, "use coco_detection_metrics");
        }
        None => {
            let names: Vec<String> = METRICS.iter().map(|(known, _)| (*known).into()).collect();
            let fix = suggestion(name, &names).unwrap_or_else(|| "use coco_detection_metrics".into());
            findings.error("unknown-metric", path, format!("there are no metrics called \"{name}\""), fix);
        }
    }
}
