//! Preflight: everything that is wrong with a project, a data set, a label map, a config or records,
//! each with its place and what to do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use boxwright_config::check::DatasetFacts;
use boxwright_config::{Pipeline, check, label_map};
use boxwright_core::{Annotation, ImageEntry, ImageId, LabelMap, NormalizedBox, Problem, Severity, Split};
use boxwright_formats::dataset_source::read_pascal_voc_folder;
use boxwright_formats::tf_example::DetectionExample;
use boxwright_formats::{picture, tf_record};
use boxwright_store::Project;

use crate::config;
use crate::error::SessionError;
use crate::pictures::{self, Seen};
use crate::records::is_usable;
use crate::watch::Watch;

/// Checks whatever lies at a path: a project, a folder of Pascal VOC files or pictures, a
/// `label_map.pbtxt`, a `pipeline.config`, record files (`*` and `?` allowed) or a picture.
///
/// # Errors
/// When there is nothing at the path, or it is nothing that can be checked.
pub fn check_path(path: &Path, watch: &mut dyn Watch) -> Result<Vec<Problem>, SessionError> {
    if Project::is_project(path) {
        return check_project(&Project::open(path)?, watch);
    }
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    let name = path.display().to_string();
    if path.is_dir() {
        return check_folder(path, watch);
    }
    if path.exists() {
        match extension.as_str() {
            "pbtxt" => return Ok(label_map::read(path).err().map(|e| e.to_problem()).into_iter().collect()),
            "config" => return Ok(config::check_config(path, None, None, watch)?.problems),
            "xml" => return check_folder(path, watch),
            _ if pictures::is_picture_name(path) => {
                return Ok(pictures::look_at_one(path).err().into_iter().map(|problem| *problem).collect());
            }
            _ => {}
        }
    } else if !name.contains(['*', '?', ',']) {
        return Err(SessionError::Other(format!("{name} does not exist; check the path")));
    }
    Ok(check_records(&name, None, watch))
}

/// Checks an open project: its pictures, boxes, labels and config.
///
/// # Errors
/// When the database cannot be read, or the watcher stops it.
pub fn check_project(project: &Project, watch: &mut dyn Watch) -> Result<Vec<Problem>, SessionError> {
    let mut problems = Vec::new();
    let images = project.images()?;
    let boxes = project.all_boxes()?;
    let map_file = project.label_map_path();
    let map = match map_file.exists().then(|| label_map::read(&map_file)) {
        Some(Ok(map)) => Some(map),
        Some(Err(error)) => {
            problems.push(error.to_problem());
            None
        }
        None => {
            let file = map_file.display().to_string();
            problems.push(found(
                Severity::Error,
                "no-label-map",
                &file,
                "",
                "the project has no label map".into(),
                "add a class",
            ));
            None
        }
    };
    if let Some(Err(error)) = map.as_ref().map(|map| project.check_labels(map, &[])) {
        let file = map_file.display().to_string();
        problems.push(found(
            Severity::Error,
            "label-id-taken",
            &file,
            "",
            error.to_string(),
            "give the class a new id",
        ));
    }
    let paths: Vec<PathBuf> = images.iter().map(|image| project.resolve(&image.path)).collect();
    let seen = pictures::look_at(&paths, watch)?;
    let hashes = project.image_hashes()?;
    for (image, seen) in images.iter().zip(&seen) {
        check_picture(image, seen, hashes.get(&image.id), &mut problems);
        check_boxes(image, boxes.get(&image.id), map.as_ref(), &mut problems);
    }
    check_leaks(&images, &hashes, &mut problems);
    check_splits(project, &images, &mut problems);
    if project.pipeline_path().exists() {
        match Pipeline::read(project.pipeline_path()) {
            Ok(pipeline) => {
                // Records that training has yet to write are not missed.
                let label_map = map;
                let facts = DatasetFacts { root: None, label_map, ..config::project_facts(project, project.dir())? };
                problems.extend(check(&pipeline, &facts));
            }
            Err(error) => problems.push(error.to_problem()),
        }
    }
    Ok(problems)
}

fn check_picture(
    image: &ImageEntry,
    seen: &Result<Seen, Box<Problem>>,
    hash: Option<&String>,
    problems: &mut Vec<Problem>,
) {
    match seen {
        Err(problem) => problems.push((**problem).clone()),
        Ok(seen) if seen.probe.size != image.size => {
            let what = format!("the picture is {} and was {} when it joined the project", seen.probe.size, image.size);
            problems.push(found(
                Severity::Error,
                "image-changed",
                &image.path,
                "",
                what,
                "put the old picture back, or draw its boxes again",
            ));
        }
        Ok(seen) if hash.is_some_and(|hash| *hash != seen.sha256) => {
            let what = "the picture was changed since it joined the project".to_owned();
            problems.push(found(Severity::Warning, "image-changed", &image.path, "", what, "look at its boxes"));
        }
        Ok(_) => {}
    }
}

fn check_boxes(
    image: &ImageEntry,
    boxes: Option<&Vec<Annotation>>,
    map: Option<&LabelMap>,
    problems: &mut Vec<Problem>,
) {
    let boxes = boxes.map_or(&[][..], Vec::as_slice);
    for (index, annotation) in boxes.iter().enumerate() {
        let place = format!("box {}", annotation.id);
        let mut tell = |severity, code: &str, what: String, fix: &str| {
            problems.push(found(severity, code, &image.path, &place, what, fix));
        };
        if !annotation.bounds.is_valid() {
            tell(Severity::Error, "degenerate-box", "the box has no area".into(), "draw it again, or delete it");
        } else if annotation.bounds.clip(image.size) != annotation.bounds {
            tell(Severity::Warning, "box-outside", "the box reaches out of the picture".into(), "draw it again");
        }
        if map.is_some_and(|map| map.get(annotation.label).is_none()) {
            let what = format!("its class has id {}, which the label map lacks", annotation.label);
            tell(Severity::Error, "label-not-in-map", what, "add the class again, or give the box another one");
        }
        let twin = |other: &&Annotation| other.bounds == annotation.bounds && other.label == annotation.label;
        if let Some(other) = boxes[..index].iter().find(twin) {
            let what = format!("it is the same as box {}", other.id);
            tell(Severity::Warning, "duplicate-box", what, "delete one of the two");
        }
    }
}

/// The same picture on both sides makes every measurement too good.
fn check_leaks(images: &[ImageEntry], hashes: &BTreeMap<ImageId, String>, problems: &mut Vec<Problem>) {
    let mut trained: BTreeMap<&str, &ImageEntry> = BTreeMap::new();
    for image in images.iter().filter(|image| image.split == Split::Train) {
        if let Some(hash) = hashes.get(&image.id) {
            trained.insert(hash, image);
        }
    }
    for image in images.iter().filter(|image| matches!(image.split, Split::Val | Split::Test)) {
        if let Some(twin) = hashes.get(&image.id).and_then(|hash| trained.get(hash.as_str())) {
            let what = format!("the same picture is in train as {}; what is measured on it is too good", twin.path);
            problems.push(found(
                Severity::Warning,
                "train-val-overlap",
                &image.path,
                "",
                what,
                "put both into one split",
            ));
        }
    }
}

fn check_splits(project: &Project, images: &[ImageEntry], problems: &mut Vec<Problem>) {
    let file = project.dir().display().to_string();
    let usable = images.iter().filter(|image| is_usable(image)).count();
    let in_split = |split| images.iter().filter(|image| image.split == split && is_usable(image)).count();
    if images.is_empty() {
        problems.push(found(
            Severity::Info,
            "no-images",
            &file,
            "",
            "the project has no images yet".into(),
            "add some",
        ));
        return;
    }
    if usable < images.len() {
        let what = format!(
            "{} of {} images have no boxes and are not marked as background; they are not trained on",
            images.len() - usable,
            images.len()
        );
        problems.push(found(
            Severity::Info,
            "not-annotated",
            &file,
            "",
            what,
            "annotate them, or mark them as background",
        ));
    }
    if usable > 0 && in_split(Split::Train) + in_split(Split::Val) > 0 {
        for split in [Split::Train, Split::Val] {
            if in_split(split) == 0 {
                let what = format!("no annotated image is in the {split} split");
                problems.push(found(
                    Severity::Warning,
                    "empty-split",
                    &file,
                    "",
                    what,
                    "split the images automatically, or put some there",
                ));
            }
        }
    }
}

/// A folder of annotations, or of pictures alone.
fn check_folder(path: &Path, watch: &mut dyn Watch) -> Result<Vec<Problem>, SessionError> {
    watch.progress("reading annotations", 0, 0);
    let (images, mut problems) = read_pascal_voc_folder(path, None, None);
    let has_annotations = !problems.iter().any(|p| p.code == "no-annotations");
    let paths = if has_annotations {
        images.iter().map(|image| image.path.clone()).collect()
    } else {
        problems.clear();
        pictures::find(&[path.to_owned()], &[])?
    };
    if paths.is_empty() && problems.is_empty() {
        return Err(SessionError::Other(format!(
            "{} has neither annotations nor pictures; give a project, a folder of Pascal VOC files or pictures, a label map, a config or records",
            path.display()
        )));
    }
    problems.extend(pictures::look_at(&paths, watch)?.into_iter().filter_map(Result::err).map(|problem| *problem));
    Ok(problems)
}

/// Record files; the first one that cannot be read any further ends its file.
fn check_records(pattern: &str, map: Option<&LabelMap>, watch: &mut dyn Watch) -> Vec<Problem> {
    let mut problems = Vec::new();
    let records = match tf_record::read_records(pattern) {
        Ok(records) => records,
        Err(error) => {
            return vec![found(
                Severity::Error,
                "unreadable-records",
                pattern,
                "",
                error.to_string(),
                "write the records again",
            )];
        }
    };
    for (number, record) in records.enumerate() {
        watch.progress("reading records", number as u64, 0);
        if watch.cancelled() {
            break;
        }
        let place = format!("record {number}");
        let example = match record.map_err(|e| e.to_string()).and_then(|bytes| {
            DetectionExample::decode(&bytes, &format!("{pattern}, {place}")).map_err(|e| e.to_string())
        }) {
            Ok(example) => example,
            Err(message) => {
                problems.push(found(
                    Severity::Error,
                    "damaged-record",
                    pattern,
                    &place,
                    message,
                    "write the records again",
                ));
                continue;
            }
        };
        check_example(pattern, &place, &example, map, &mut problems);
    }
    problems
}

fn check_example(
    file: &str,
    place: &str,
    example: &DetectionExample,
    map: Option<&LabelMap>,
    problems: &mut Vec<Problem>,
) {
    let mut tell = |severity, code: &str, what: String, fix: &str| {
        problems.push(found(severity, code, file, place, what, fix));
    };
    match picture::probe(&example.encoded, &example.filename) {
        Err(error) => {
            tell(Severity::Error, "unreadable-image", error.to_string(), "write the records again with a whole picture")
        }
        Ok(probe) => {
            if example.size.is_some_and(|size| size != probe.size) {
                let what = format!("{} is {}, and the record says another size", example.filename, probe.size);
                tell(Severity::Warning, "size-mismatch", what, "write the records again");
            }
        }
    }
    for (index, object) in example.objects.iter().enumerate() {
        let NormalizedBox { ymin, xmin, ymax, xmax } = object.bounds;
        if !(ymin < ymax && xmin < xmax) {
            let what = format!("box {index} of {} is degenerate", example.filename);
            tell(Severity::Error, "degenerate-box", what, "draw the box again and write the records again");
        } else if [ymin, xmin, ymax, xmax].iter().any(|v| !(-0.001..=1.001).contains(v)) {
            let what = format!("box {index} of {} reaches out of the picture", example.filename);
            tell(Severity::Error, "box-outside", what, "divide by the picture's own size when writing records");
        }
        if let Err(what) = object.label_id(map) {
            // Names without numbers are fine as long as a label map is given in training.
            let severity = if map.is_some() || object.text.is_empty() { Severity::Error } else { Severity::Info };
            tell(severity, "label", format!("box {index} of {}: {what}", example.filename), "write the records again");
        }
    }
}

fn found(severity: Severity, code: &str, file: &str, place: &str, message: String, fix: &str) -> Problem {
    Problem { severity, code: code.into(), file: file.into(), place: place.into(), message, fix: fix.into() }
}
