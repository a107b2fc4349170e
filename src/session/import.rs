//! Bringing pictures and annotations into a project.
//!
//! Pictures stay where they are; the project remembers their paths. Everything is read and checked
//! first, then written in one database transaction, so an import that fails or is stopped leaves the
//! project as it was. What is wrong with single files or boxes becomes a [`Problem`] with its place
//! and its fix, and the rest goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use boxwright_config::label_map;
use boxwright_core::{LabelId, LabelMap, LabelMapItem, Problem, ReviewState, Severity, Split};
use boxwright_formats::atomic_file;
use boxwright_formats::dataset_source::{ForeignImage, read_pascal_voc_folder};
use boxwright_store::{Import, ImportOutcome, NewBox, NewImage, Project, SplitScope};

use crate::error::SessionError;
use crate::labels::append;
use crate::pictures::{self, Seen};
use crate::text_file::TextFile;
use crate::watch::Watch;

/// The share of validation where the split is left to the program.
pub const AUTO_VAL_FRACTION: f64 = 0.2;

/// The seed of every automatic split, so that the same data are always split the same way.
pub(crate) const SPLIT_SEED: u64 = 0;

/// A format that can be imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImportFormat {
    /// Pascal VOC: one XML file a picture.
    #[default]
    PascalVoc,
}

impl ImportFormat {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::PascalVoc];

    /// The word on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PascalVoc => "pascal-voc",
        }
    }
}

impl std::str::FromStr for ImportFormat {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|f| f.as_str() == word).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|f| f.as_str()).collect();
            format!("\"{word}\" cannot be imported; use {}", known.join(", "))
        })
    }
}

/// Where imported images belong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImportSplit {
    /// As the data set says, else unassigned.
    #[default]
    Keep,
    /// All into one.
    To(Split),
    /// As the data set says; the rest is divided between training and validation.
    Auto,
}

impl std::str::FromStr for ImportSplit {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "auto" => Ok(Self::Auto),
            _ => word
                .parse()
                .map(Self::To)
                .map_err(|_| format!("\"{word}\" is not a split; use train, val, test, unassigned or auto")),
        }
    }
}

/// What to import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportRequest {
    /// The format.
    pub format: ImportFormat,
    /// The annotations: a folder, or one file.
    pub path: PathBuf,
    /// The folder of the pictures, where they are not beside the annotations.
    pub images: Option<PathBuf>,
    /// A file of names: only these are imported.
    pub list: Option<PathBuf>,
    /// Where the images belong.
    pub split: ImportSplit,
    /// A label map to begin with, for a project that has none.
    pub label_map: Option<PathBuf>,
    /// Add classes that the label map lacks, instead of leaving their objects out.
    pub add_labels: bool,
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Images that joined the project, or were in it without boxes and got theirs.
    pub images: usize,
    /// Boxes that came with them.
    pub boxes: usize,
    /// Images that were left out or left as they are.
    pub skipped: usize,
    /// Objects that were left out.
    pub skipped_boxes: usize,
    /// Classes that were added to the label map.
    pub new_labels: Vec<String>,
    /// What is wrong with the data.
    pub problems: Vec<Problem>,
}

impl ImportReport {
    /// The result in a sentence.
    pub fn summary(&self) -> String {
        let mut text = format!("imported {} and {}", count(self.images, "image"), count(self.boxes, "box"));
        if self.skipped > 0 || self.skipped_boxes > 0 {
            let left: Vec<String> = [(self.skipped, "image"), (self.skipped_boxes, "box")]
                .into_iter()
                .filter(|(n, _)| *n > 0)
                .map(|(n, what)| count(n, what))
                .collect();
            text += &format!("; left out {}", left.join(" and "));
        }
        if !self.problems.is_empty() {
            text += &format!("; {}", count(self.problems.len(), "problem"));
        }
        text
    }
}

/// "1 box", "2 boxes".
pub(crate) fn count(number: usize, what: &str) -> String {
    match (number, what) {
        (1, _) => format!("1 {what}"),
        (_, "box") => format!("{number} boxes"),
        _ => format!("{number} {what}s"),
    }
}

/// Imports annotations and their pictures.
///
/// # Errors
/// When there is nothing to import, the project cannot be written, or the watcher stops it. The
/// project is then as it was.
pub fn import(
    project: &mut Project,
    request: &ImportRequest,
    watch: &mut dyn Watch,
) -> Result<ImportReport, SessionError> {
    watch.progress("reading annotations", 0, 0);
    let (foreign, problems) = match request.format {
        ImportFormat::PascalVoc => {
            read_pascal_voc_folder(&request.path, request.images.as_deref(), request.list.as_deref())
        }
    };
    if foreign.is_empty() {
        return Err(nothing(&request.path, &problems));
    }
    let (mut map_file, mut map) = current_map(project, request.label_map.as_deref())?;
    let paths: Vec<PathBuf> = foreign.iter().map(|image| image.path.clone()).collect();
    let seen = pictures::look_at(&paths, watch)?;

    let mut report = ImportReport { skipped: images_left_out(&problems), problems, ..ImportReport::default() };
    report.skipped_boxes = objects_left_out(&report.problems);
    let may_add = request.add_labels || map.is_empty();
    let new_items = if may_add { new_classes(project, &map, &foreign, &seen)? } else { Vec::new() };
    for item in &new_items {
        map.insert(item.clone())
            .map_err(|source| SessionError::LabelMap { file: map_file.path().to_owned(), source })?;
        report.new_labels.push(item.name.clone());
    }

    let mut images = Vec::with_capacity(foreign.len());
    for (foreign, seen) in foreign.iter().zip(seen) {
        match seen {
            Ok(seen) => images.push(join(project, foreign, &seen, &map, request.split, &mut report)?),
            Err(problem) => {
                report.problems.push(*problem);
                report.skipped += 1;
                report.skipped_boxes += foreign.objects.len();
            }
        }
    }
    tell_copies(project, &images, &mut report.problems)?;
    if watch.cancelled() {
        return Err(SessionError::Cancelled);
    }
    watch.progress("saving", 0, 0);
    let name = format!("{} from {}", request.format.as_str(), request.path.display());
    let import = Import { images: &images, labels: map, name };
    let text = append(&text_to_begin_with(&map_file, request)?, &new_items);
    let outcomes = save(project, &mut map_file, &text, &import)?;
    for (outcome, image) in outcomes.iter().zip(&images) {
        tally(*outcome, image, &mut report);
    }
    if request.split == ImportSplit::Auto {
        project.auto_split(AUTO_VAL_FRACTION, SPLIT_SEED, SplitScope::Unassigned)?;
    }
    Ok(report)
}

/// Adds pictures without annotations: files, and folders with everything below them.
///
/// # Errors
/// As [`import`].
pub fn add_images(
    project: &mut Project,
    paths: &[PathBuf],
    watch: &mut dyn Watch,
) -> Result<ImportReport, SessionError> {
    watch.progress("looking for pictures", 0, 0);
    let found = pictures::find(paths, &[project.runs_dir(), project.records_dir()])?;
    if found.is_empty() {
        let path = paths.first().cloned().unwrap_or_default();
        return Err(SessionError::NothingToImport {
            path,
            what: "there are no pictures in it; choose another folder".into(),
        });
    }
    let seen = pictures::look_at(&found, watch)?;
    let mut report = ImportReport::default();
    let mut images = Vec::with_capacity(found.len());
    for (path, seen) in found.iter().zip(seen) {
        match seen {
            Ok(seen) => images.push(NewImage {
                path: project.stored_path(path)?,
                size: seen.probe.size,
                sha256: seen.sha256,
                split: Split::Unassigned,
                state: ReviewState::New,
                boxes: Vec::new(),
            }),
            Err(problem) => {
                report.problems.push(*problem);
                report.skipped += 1;
            }
        }
    }
    if images.is_empty() {
        return Err(nothing(&found[0], &report.problems));
    }
    tell_copies(project, &images, &mut report.problems)?;
    if watch.cancelled() {
        return Err(SessionError::Cancelled);
    }
    watch.progress("saving", 0, 0);
    let name = format!("pictures from {}", found[0].parent().unwrap_or(&found[0]).display());
    let outcomes = project.import(&Import { images: &images, labels: LabelMap::default(), name })?;
    report.images = outcomes.iter().filter(|o| matches!(o, ImportOutcome::Added(_))).count();
    report.skipped += images.len() - report.images;
    Ok(report)
}

/// The project's label map, or the one to begin with.
fn current_map(project: &Project, begin_with: Option<&Path>) -> Result<(TextFile, LabelMap), SessionError> {
    let file = TextFile::load(&project.label_map_path())?;
    let map = label_map::parse(file.text(), &file.path().display().to_string())
        .map_err(boxwright_config::ConfigError::from)?;
    match begin_with {
        Some(path) if map.is_empty() => Ok((file, label_map::read(path)?)),
        _ => Ok((file, map)),
    }
}

/// The text that new classes are added to.
fn text_to_begin_with(file: &TextFile, request: &ImportRequest) -> Result<String, SessionError> {
    match &request.label_map {
        Some(path) if file.text().trim().is_empty() => Ok(TextFile::load(path)?.text().to_owned()),
        _ => Ok(file.text().to_owned()),
    }
}

/// The classes that the map lacks, by name, with the next free ids.
fn new_classes(
    project: &Project,
    map: &LabelMap,
    foreign: &[ForeignImage],
    seen: &[Result<Seen, Box<Problem>>],
) -> Result<Vec<LabelMapItem>, SessionError> {
    let readable = foreign.iter().zip(seen).filter(|(_, seen)| seen.is_ok());
    let names: BTreeSet<&str> = readable
        .flat_map(|(image, _)| &image.objects)
        .map(|object| object.label.as_str())
        .filter(|name| !name.trim().is_empty() && map.by_name(name).is_none())
        .collect();
    let first = project.next_label_id(map)?.map_or(LabelId::MAX + 1, LabelId::get);
    names
        .into_iter()
        .zip(first..)
        .map(|(name, id)| {
            let id = LabelId::new(id).ok_or_else(|| SessionError::Other(format!("no id is left for \"{name}\"")))?;
            Ok(LabelMapItem { id, name: name.to_owned(), display_name: None })
        })
        .collect()
}

/// One picture with the boxes whose classes are known.
fn join(
    project: &Project,
    foreign: &ForeignImage,
    seen: &Seen,
    map: &LabelMap,
    split: ImportSplit,
    report: &mut ImportReport,
) -> Result<NewImage, SessionError> {
    let mut boxes = Vec::with_capacity(foreign.objects.len());
    for object in &foreign.objects {
        match map.by_name(&object.label) {
            Some(item) => boxes.push(NewBox { label: item.id, bounds: object.bounds, flags: object.flags }),
            None => {
                report.problems.push(not_in_map(foreign, &object.label, &object.place, map));
                report.skipped_boxes += 1;
            }
        }
    }
    let source = foreign.source.display().to_string();
    let says_nothing_is_there = foreign.objects.is_empty()
        && !report.problems.iter().any(|p| p.severity == Severity::Error && p.file == source);
    let state = match (boxes.is_empty(), foreign.verified) {
        (false, true) => ReviewState::Verified,
        (false, false) => ReviewState::Annotated,
        (true, _) if says_nothing_is_there => ReviewState::Background,
        // There is something in the picture that could not be taken over; somebody has to look.
        (true, _) => ReviewState::New,
    };
    Ok(NewImage {
        path: project.stored_path(&foreign.path)?,
        size: seen.probe.size,
        sha256: seen.sha256.clone(),
        split: match split {
            ImportSplit::To(split) => split,
            ImportSplit::Keep | ImportSplit::Auto => foreign.split.unwrap_or_default(),
        },
        state,
        boxes,
    })
}

fn not_in_map(foreign: &ForeignImage, label: &str, place: &str, map: &LabelMap) -> Problem {
    let fix = match map.nearest_name(label) {
        Some(near) => format!(
            "if \"{near}\" is meant, correct the file; else add the class to the label map, or import with --add-labels"
        ),
        None => "add the class to the label map, or import with --add-labels".to_owned(),
    };
    Problem {
        severity: Severity::Error,
        code: "label-not-in-map".into(),
        file: foreign.source.display().to_string(),
        place: place.to_owned(),
        message: format!("the label \"{label}\" is not in the label map; the object is left out"),
        fix,
    }
}

/// Puts the label map and the images in their places, both or neither.
fn save(
    project: &mut Project,
    map_file: &mut TextFile,
    text: &str,
    import: &Import<'_>,
) -> Result<Vec<ImportOutcome>, SessionError> {
    // What the ledger refuses is refused before the file is touched.
    project.check_labels(&import.labels, &[])?;
    let before = map_file.exists().then(|| map_file.text().to_owned());
    let new_text = !text.is_empty() && before.as_deref() != Some(text);
    if new_text {
        map_file.save(text)?;
    }
    project.import(import).map_err(|error| {
        if new_text {
            // The error that matters is the first one.
            let _ = match before {
                Some(before) => atomic_file::write_whole(map_file.path(), before.as_bytes()),
                None => std::fs::remove_file(map_file.path()),
            };
        }
        error.into()
    })
}

fn tally(outcome: ImportOutcome, image: &NewImage, report: &mut ImportReport) {
    match outcome {
        ImportOutcome::Added(_) | ImportOutcome::Filled(_) => {
            report.images += 1;
            report.boxes += image.boxes.len();
        }
        ImportOutcome::Kept(_) => {
            report.skipped += 1;
            report.skipped_boxes += image.boxes.len();
            report.problems.push(Problem {
                severity: Severity::Info,
                code: "already-annotated".into(),
                file: image.path.clone(),
                place: String::new(),
                message: "the image is in the project with annotations of its own, which were kept".into(),
                fix: "delete its boxes and mark it as new to import it again".into(),
            });
        }
    }
}

/// Copies of one picture that land in training and validation make every measurement too good.
fn tell_copies(project: &Project, images: &[NewImage], problems: &mut Vec<Problem>) -> Result<(), SessionError> {
    let hashes = project.image_hashes()?;
    let mut first: BTreeMap<String, String> = BTreeMap::new();
    for image in project.images()? {
        if let Some(hash) = hashes.get(&image.id) {
            first.entry(hash.clone()).or_insert(image.path);
        }
    }
    for image in images {
        let other = first.entry(image.sha256.clone()).or_insert_with(|| image.path.clone());
        if *other == image.path {
            continue;
        }
        problems.push(Problem {
            severity: Severity::Warning,
            code: "duplicate-image".into(),
            file: image.path.clone(),
            place: String::new(),
            message: format!("it is the same picture as {other}"),
            fix: "keep one of the two; an automatic split puts both on the same side".into(),
        });
    }
    Ok(())
}

/// Whole pictures that the reader of the format left out.
fn images_left_out(problems: &[Problem]) -> usize {
    let codes = ["missing-image", "unreadable-image", "unreadable-annotation", "duplicate-annotation"];
    problems.iter().filter(|p| codes.contains(&p.code.as_str())).count()
}

/// Objects that the reader of the format left out.
fn objects_left_out(problems: &[Problem]) -> usize {
    let codes = ["degenerate-box", "box-outside", "incomplete-object"];
    problems.iter().filter(|p| codes.contains(&p.code.as_str())).count()
}

fn nothing(path: &Path, problems: &[Problem]) -> SessionError {
    let what = match problems {
        [] => "there is nothing to import in it".to_owned(),
        [only] => format!("nothing could be imported: {}; {}", only.message, only.fix),
        [first, rest @ ..] => format!(
            "nothing could be imported: {}: {}; {} (and {})",
            first.file,
            first.message,
            first.fix,
            count(rest.len(), "other problem")
        ),
    };
    SessionError::NothingToImport { path: path.to_owned(), what }
}
