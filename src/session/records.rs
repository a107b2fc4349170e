//! The records that training reads, written anew only where the data changed.

use std::path::Path;

use boxwright_core::{ImageEntry, Problem, ReviewState, Severity, Split};
use boxwright_formats::{atomic_file, read_file, tf_record};
use boxwright_store::Project;
use serde::{Deserialize, Serialize};

use crate::error::SessionError;
use crate::export::{RecordExport, export_tf_records};
use crate::watch::Watch;

/// Increased when records of the same data would be written differently.
const FORMAT: u32 = 1;

/// Images in one shard of the project's own records.
const SHARD_IMAGES: usize = 2000;

/// What `records/records.json` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    content: String,
    train: usize,
    val: usize,
}

/// What came of [`ensure_records`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordsReport {
    /// Images to train on.
    pub train: usize,
    /// Images to measure on.
    pub val: usize,
    /// Whether anything had to be written.
    pub written: bool,
    /// Pictures that could not be written, and what else is worth knowing.
    pub problems: Vec<Problem>,
}

/// Whether an image says something: it has boxes, or a person said that there are none. An image
/// that nobody has looked at would teach the model that there is nothing in it.
pub(crate) fn is_usable(image: &ImageEntry) -> bool {
    image.state != ReviewState::New || image.boxes > 0
}

/// Writes `records/train.record-*` and `records/val.record-*` of a project, unless those that are
/// there were written for the same data.
///
/// # Errors
/// When no image is in the training split, or the records cannot be written; old ones then stay.
pub fn ensure_records(project: &Project, watch: &mut dyn Watch) -> Result<RecordsReport, SessionError> {
    let dir = project.records_dir();
    let content = project.content_hash()?;
    let images = project.images()?;
    let usable = |split| images.iter().filter(|image| image.split == split && is_usable(image)).count();
    let (train, val) = (usable(Split::Train), usable(Split::Val));
    if train == 0 {
        return Err(SessionError::NothingToTrain(why_nothing(&images)));
    }
    let mut report = RecordsReport { train, val, ..RecordsReport::default() };
    if val == 0 {
        report.problems.push(Problem {
            severity: Severity::Warning,
            code: "no-validation".into(),
            file: project.dir().display().to_string(),
            place: String::new(),
            message: "no annotated image is in the val split, so nothing can be measured".into(),
            fix: "put some images into val, or split automatically".into(),
        });
    }
    let manifest = Manifest { format: FORMAT, content, train, val };
    let manifest_file = dir.join("records.json");
    if read_manifest(&manifest_file).as_ref() == Some(&manifest) && are_there(&dir, &manifest) {
        return Ok(report);
    }
    std::fs::create_dir_all(&dir).map_err(|e| SessionError::file(&dir, e))?;
    // While records are replaced, nothing may say that they fit.
    if manifest_file.exists() {
        std::fs::remove_file(&manifest_file).map_err(|e| SessionError::file(&manifest_file, e))?;
    }
    for (split, number) in [(Split::Train, train), (Split::Val, val)] {
        let out = dir.join(format!("{split}.record"));
        if number == 0 {
            remove_shards(&out)?;
            continue;
        }
        let export =
            RecordExport { split: Some(split), shards: number.div_ceil(SHARD_IMAGES), ..RecordExport::new(&out) };
        let exported = export_tf_records(project, &export, watch)?;
        report.problems.extend(exported.problems);
    }
    // With a picture missing, the next training looks again.
    if report.problems.iter().all(|p| p.severity != Severity::Error) {
        let json = serde_json::to_vec_pretty(&manifest).map_err(|e| SessionError::Other(e.to_string()))?;
        atomic_file::write_whole(&manifest_file, &json)?;
    }
    report.written = true;
    Ok(report)
}

fn why_nothing(images: &[ImageEntry]) -> String {
    let usable = images.iter().filter(|image| is_usable(image)).count();
    match (images.len(), usable) {
        (0, _) => "the project has no images; add some".to_owned(),
        (_, 0) => "no image has boxes or is marked as background; annotate some".to_owned(),
        (_, usable) => format!("none of the {usable} annotated images is in the train split; split them"),
    }
}

fn read_manifest(path: &Path) -> Option<Manifest> {
    serde_json::from_slice(&read_file::read_bounded(path, 1 << 16).ok()?).ok()
}

fn are_there(dir: &Path, manifest: &Manifest) -> bool {
    let has = |name: &str| {
        let pattern = dir.join(format!("{name}.record-?????-of-?????"));
        pattern.to_str().is_some_and(|pattern| tf_record::expand(pattern).is_ok_and(|files| !files.is_empty()))
    };
    has("train") && (manifest.val == 0 || has("val"))
}

fn remove_shards(base: &Path) -> Result<(), SessionError> {
    let pattern = format!("{}-?????-of-?????", base.display());
    for path in tf_record::expand(&pattern).unwrap_or_default() {
        std::fs::remove_file(&path).map_err(|e| SessionError::file(&path, e))?;
    }
    Ok(())
}
