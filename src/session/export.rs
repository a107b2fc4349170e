//! Writing a project's annotations for other programs.
//!
//! An export appears whole or not at all. A picture that is missing or damaged is told and left out,
//! as are images that nobody has looked at: without boxes they would say that they are empty.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use boxwright_config::label_map;
use boxwright_core::{Annotation, ImageEntry, LabelMap, Problem, ReviewState, Severity, Split};
use boxwright_formats::pascal_voc::{self, VocAnnotation, VocObject};
use boxwright_formats::picture::{self, MAX_FILE_BYTES};
use boxwright_formats::tf_example::{DetectionExample, ExampleObject};
use boxwright_formats::tf_record::ShardedWriter;
use boxwright_formats::{atomic_file, read_file};
use boxwright_store::Project;

use crate::error::SessionError;
use crate::pictures;
use crate::records::is_usable;
use crate::watch::Watch;

/// The seed of the order of records, the one of TFOD's example scripts.
pub const SHUFFLE_SEED: u64 = 42;

/// A format that can be exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// TFRecords as TFOD trains from.
    TfRecord,
    /// Pascal VOC: `Annotations`, `JPEGImages`, `ImageSets`.
    PascalVoc,
}

impl ExportFormat {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::TfRecord, Self::PascalVoc];

    /// The word on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TfRecord => "tfrecord",
            Self::PascalVoc => "pascal-voc",
        }
    }
}

impl std::str::FromStr for ExportFormat {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|f| f.as_str() == word).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|f| f.as_str()).collect();
            format!("\"{word}\" cannot be exported; use {}", known.join(", "))
        })
    }
}

/// What to write as records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordExport {
    /// The files without their numbers: `out/train.record` becomes `out/train.record-00000-of-00010`.
    pub out: PathBuf,
    /// Only this split.
    pub split: Option<Split>,
    /// How many files.
    pub shards: usize,
    /// The seed of the order of the records.
    pub seed: u64,
}

impl RecordExport {
    /// Everything into one file.
    pub fn new(out: &Path) -> Self {
        Self { out: out.to_owned(), split: None, shards: 1, seed: SHUFFLE_SEED }
    }
}

/// What an export wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportReport {
    /// Images.
    pub images: usize,
    /// Boxes.
    pub boxes: usize,
    /// Images that nobody has looked at.
    pub left_out: usize,
    /// The files or, for many, their folder.
    pub files: Vec<PathBuf>,
    /// What could not be written.
    pub problems: Vec<Problem>,
}

/// What is to be written, read from the project once.
struct Selection {
    images: Vec<(ImageEntry, Vec<Annotation>)>,
    labels: LabelMap,
    left_out: usize,
}

impl Selection {
    fn read(project: &Project, split: Option<Split>) -> Result<Self, SessionError> {
        let labels = match project.label_map_path() {
            path if path.exists() => label_map::read(path)?,
            _ => LabelMap::default(),
        };
        let mut boxes = project.all_boxes()?;
        let (mut images, mut left_out) = (Vec::new(), 0);
        for image in project.images()? {
            if split.is_some_and(|split| split != image.split) {
                continue;
            }
            if is_usable(&image) {
                let boxes = boxes.remove(&image.id).unwrap_or_default();
                images.push((image, boxes));
            } else {
                left_out += 1;
            }
        }
        if images.is_empty() {
            let what = split.map_or_else(String::new, |split| format!(" in the {split} split"));
            return Err(SessionError::Other(format!(
                "there is nothing to export: no image{what} has boxes or is marked as background"
            )));
        }
        images.sort_by(|a, b| a.0.path.cmp(&b.0.path));
        Ok(Self { images, labels, left_out })
    }

    /// The class of a box, which the label map must have.
    fn class(&self, annotation: &Annotation, image: &ImageEntry) -> Result<&str, Box<Problem>> {
        self.labels.get(annotation.label).map(|item| item.name.as_str()).ok_or_else(|| {
            Box::new(Problem {
                severity: Severity::Error,
                code: "label-not-in-map".into(),
                file: image.path.clone(),
                place: format!("box {}", annotation.id),
                message: format!(
                    "its class has id {}, which label_map.pbtxt lacks; the box is left out",
                    annotation.label
                ),
                fix: "add the class to label_map.pbtxt again, or give the box another one".into(),
            })
        })
    }
}

/// Writes TFRecords, and the label map beside them.
///
/// # Errors
/// When there is nothing to write, or the files cannot be written; then none of them appears.
pub fn export_tf_records(
    project: &Project,
    export: &RecordExport,
    watch: &mut dyn Watch,
) -> Result<ExportReport, SessionError> {
    let mut selection = Selection::read(project, export.split)?;
    let mut images = std::mem::take(&mut selection.images);
    shuffle(&mut images, export.seed);
    let folder = export.out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|e| SessionError::file(folder, e))?;
    let mut report = ExportReport { left_out: selection.left_out, ..ExportReport::default() };
    let mut writer = ShardedWriter::create(&export.out, export.shards)?;
    let stage = export.split.map_or_else(|| "writing records".to_owned(), |split| format!("writing {split} records"));
    let total = images.len() as u64;
    for (done, (image, boxes)) in images.iter().enumerate() {
        watch.progress(&stage, done as u64, total);
        if watch.cancelled() {
            return Err(SessionError::Cancelled);
        }
        if let Some(example) = example(project, image, boxes, &selection, &mut report) {
            writer.write(&example.encode())?;
        }
    }
    watch.progress(&stage, total, total);
    if report.images == 0 {
        return Err(nothing_readable(&report.problems));
    }
    report.files = writer.finish()?;
    write_label_map(project, folder)?;
    Ok(report)
}

/// The record of one image; `None` where its picture cannot be read.
fn example(
    project: &Project,
    image: &ImageEntry,
    boxes: &[Annotation],
    selection: &Selection,
    report: &mut ExportReport,
) -> Option<DetectionExample> {
    let path = project.resolve(&image.path);
    let name = path.display().to_string();
    let read = read_file::read_bounded(&path, MAX_FILE_BYTES)
        .map_err(picture::PictureError::Io)
        .and_then(|bytes| picture::for_record(bytes, &name));
    let picture = match read {
        Ok(picture) => picture,
        Err(error) => {
            report.problems.push(pictures::problem(&name, &error));
            return None;
        }
    };
    if picture.size != image.size {
        report.problems.push(changed_size(image, picture.size));
    }
    let mut objects = Vec::with_capacity(boxes.len());
    for annotation in boxes {
        match selection.class(annotation, image) {
            Ok(name) => {
                objects.push(ExampleObject::new(
                    annotation.label,
                    name,
                    &annotation.bounds,
                    annotation.flags,
                    image.size,
                ));
            }
            Err(problem) => report.problems.push(*problem),
        }
    }
    report.images += 1;
    report.boxes += objects.len();
    Some(DetectionExample::new(&image.path, picture.bytes, picture.encoding, picture.size, objects))
}

fn changed_size(image: &ImageEntry, now: boxwright_core::ImageSize) -> Problem {
    Problem {
        severity: Severity::Warning,
        code: "image-changed".into(),
        file: image.path.clone(),
        place: String::new(),
        message: format!("the picture was {} when it joined the project and is {now} now", image.size),
        fix: "look at its boxes, or put the old picture back".into(),
    }
}

/// Writes a Pascal VOC folder with copies of the pictures. Pictures that EXIF turns are written
/// turned, since most readers of the format do not know EXIF.
///
/// # Errors
/// When the folder holds something already, or it cannot be written; then it does not appear.
pub fn export_pascal_voc(
    project: &Project,
    out: &Path,
    split: Option<Split>,
    watch: &mut dyn Watch,
) -> Result<ExportReport, SessionError> {
    let selection = Selection::read(project, split)?;
    if out.exists() && std::fs::read_dir(out).map_err(|e| SessionError::file(out, e))?.next().is_some() {
        return Err(SessionError::NotEmpty(out.to_owned()));
    }
    let parent = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(|e| SessionError::file(parent, e))?;
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let staging = Staging(parent.join(format!(".{name}.{}.tmp", std::process::id())));
    for folder in ["Annotations", "JPEGImages", "ImageSets/Main"] {
        let folder = staging.0.join(folder);
        std::fs::create_dir_all(&folder).map_err(|e| SessionError::file(&folder, e))?;
    }
    let mut report = ExportReport { left_out: selection.left_out, ..ExportReport::default() };
    let mut taken = BTreeSet::new();
    let mut sets: Vec<(Split, String)> = Vec::new();
    let total = selection.images.len() as u64;
    for (done, (image, boxes)) in selection.images.iter().enumerate() {
        watch.progress("writing Pascal VOC", done as u64, total);
        if watch.cancelled() {
            return Err(SessionError::Cancelled);
        }
        let stem = free_stem(image, &mut taken);
        if write_voc(project, &staging.0, &stem, image, boxes, &selection, &mut report)? {
            sets.push((image.split, stem));
        }
    }
    if report.images == 0 {
        return Err(nothing_readable(&report.problems));
    }
    for split in Split::ALL {
        let names: String = sets.iter().filter(|(s, _)| *s == split).map(|(_, stem)| format!("{stem}\n")).collect();
        if split != Split::Unassigned && !names.is_empty() {
            atomic_file::write_whole(&staging.0.join(format!("ImageSets/Main/{split}.txt")), names.as_bytes())?;
        }
    }
    write_label_map(project, &staging.0)?;
    if out.exists() {
        std::fs::remove_dir(out).map_err(|e| SessionError::file(out, e))?;
    }
    std::fs::rename(&staging.0, out).map_err(|e| SessionError::file(out, e))?;
    watch.progress("writing Pascal VOC", total, total);
    report.files.push(out.to_owned());
    Ok(report)
}

/// A folder under construction, which goes away unless it was moved to its place.
struct Staging(PathBuf);

impl Drop for Staging {
    fn drop(&mut self) {
        // After the rename there is nothing here any more.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Writes one picture and its XML; false where the picture cannot be read.
fn write_voc(
    project: &Project,
    out: &Path,
    stem: &str,
    image: &ImageEntry,
    boxes: &[Annotation],
    selection: &Selection,
    report: &mut ExportReport,
) -> Result<bool, SessionError> {
    let path = project.resolve(&image.path);
    let name = path.display().to_string();
    let read = read_file::read_bounded(&path, MAX_FILE_BYTES)
        .map_err(picture::PictureError::Io)
        .and_then(|bytes| picture::for_record(bytes, &name));
    let picture = match read {
        Ok(picture) => picture,
        Err(error) => {
            report.problems.push(pictures::problem(&name, &error));
            return Ok(false);
        }
    };
    let extension = if picture.encoding == picture::Encoding::Png { "png" } else { "jpg" };
    let filename = format!("{stem}.{extension}");
    let mut objects = Vec::with_capacity(boxes.len());
    for annotation in boxes {
        match selection.class(annotation, image) {
            Ok(name) => objects.push(VocObject {
                name: name.to_owned(),
                bounds: annotation.bounds,
                flags: annotation.flags,
                pose: "Unspecified".into(),
                line: 0,
            }),
            Err(problem) => report.problems.push(*problem),
        }
    }
    report.images += 1;
    report.boxes += objects.len();
    let annotation = VocAnnotation {
        folder: Some("JPEGImages".into()),
        filename: Some(filename.clone()),
        path: None,
        size: Some(picture.size),
        verified: image.state == ReviewState::Verified,
        objects,
    };
    let picture_file = out.join("JPEGImages").join(filename);
    std::fs::write(&picture_file, &picture.bytes).map_err(|e| SessionError::file(&picture_file, e))?;
    let xml_file = out.join("Annotations").join(format!("{stem}.xml"));
    std::fs::write(&xml_file, pascal_voc::write(&annotation)).map_err(|e| SessionError::file(&xml_file, e))?;
    Ok(true)
}

/// A name for the files of an image that no other image of the export has.
fn free_stem(image: &ImageEntry, taken: &mut BTreeSet<String>) -> String {
    let name = image.file_name();
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let mut candidate = stem.to_owned();
    let mut number = 2;
    // Names that differ only in case are one on some systems.
    while !taken.insert(candidate.to_lowercase()) {
        candidate = format!("{stem}-{number}");
        number += 1;
    }
    candidate
}

fn write_label_map(project: &Project, folder: &Path) -> Result<(), SessionError> {
    let source = project.label_map_path();
    let target = folder.join("label_map.pbtxt");
    if !source.exists() || source == target || folder == project.records_dir() {
        return Ok(());
    }
    let text = read_file::read_bounded(&source, 16 << 20)?;
    Ok(atomic_file::write_whole(&target, &text)?)
}

fn nothing_readable(problems: &[Problem]) -> SessionError {
    match problems.first() {
        Some(problem) => SessionError::Other(format!("no picture could be read, the first of them: {problem}")),
        None => SessionError::Other("no picture could be read".to_owned()),
    }
}

/// Fisher and Yates's shuffle, the same for the same seed on every machine.
fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed;
    // SplitMix64: small, and good enough to mix an order.
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    for i in (1..items.len()).rev() {
        let j = (next() % (i as u64 + 1)) as usize;
        items.swap(i, j);
    }
}
