//! Folders of annotation files as one neutral list: pictures, their boxes, their split.
//!
//! Every format reads into [`ForeignImage`]s, and whoever imports needs to know nothing else. What
//! all formats share is here: putting boxes into the picture as it is shown ([`place_objects`]),
//! finding the picture that an annotation means, and lists of names that choose a part of the data.
//! One bad file never stops the rest: it becomes a [`Problem`] with its file, place and fix.

mod folders;
mod lists;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use boxwright_core::{BoxFlags, ImageSize, PixelBox, Problem, Severity, Split};

use crate::pascal_voc::{self, VocAnnotation};
use crate::picture::{self, Probe};
use crate::read_file::read_bounded;
use folders::PictureFinder;
use lists::{NameList, read_image_sets};

/// How many annotation files one folder may hold.
const MAX_FILES: usize = 2_000_000;
/// How deep folders are searched.
const MAX_FOLDER_DEPTH: usize = 6;

/// One picture that a foreign data set knows.
#[derive(Clone, Debug, PartialEq)]
pub struct ForeignImage {
    /// The picture's file, which exists and whose header was read.
    pub path: PathBuf,
    /// Its size as shown.
    pub size: Option<ImageSize>,
    /// Its objects, each a valid box inside the picture.
    pub objects: Vec<ForeignObject>,
    /// The split that the data set puts it in, where it says so.
    pub split: Option<Split>,
    /// The annotation file that speaks of it.
    pub source: PathBuf,
    /// Whether the data set says that a person verified it.
    pub verified: bool,
}

/// One object of a foreign picture.
#[derive(Clone, Debug, PartialEq)]
pub struct ForeignObject {
    /// The name of its class.
    pub label: String,
    /// Its place in pixels of the shown picture.
    pub bounds: PixelBox,
    /// Difficult, truncated, occluded, group.
    pub flags: BoxFlags,
    /// Where in the annotation file it stands, like `line 12, object 2`.
    pub place: String,
}

/// Reads a folder of Pascal VOC files.
///
/// `path` is a folder of XML files, the root of a VOC data set (with `Annotations`, `JPEGImages` and
/// `ImageSets/Main`, whose lists give the splits), or one XML file. A picture is looked for beside
/// its XML file, in `images_dir`, and in the usual folders next to the annotations; by the name in
/// the XML, then by the name of the XML. `list` names a part of the data: one name a line, or a CSV
/// with a column `filename`.
pub fn read_pascal_voc_folder(
    path: &Path,
    images_dir: Option<&Path>,
    list: Option<&Path>,
) -> (Vec<ForeignImage>, Vec<Problem>) {
    let mut problems = Vec::new();
    let Some(layout) = VocLayout::find(path, &mut problems) else {
        return (Vec::new(), problems);
    };
    let mut names = match list.map(NameList::read).transpose() {
        Ok(names) => names,
        Err(problem) => {
            problems.push(*problem);
            return (Vec::new(), problems);
        }
    };
    let splits = read_image_sets(&layout.root, &mut problems);
    let mut finder = PictureFinder::new(images_dir);
    let mut taken: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    let mut images = Vec::new();
    for xml in layout.files {
        let Some(read) = read_voc_file(&xml, &mut finder, names.as_mut(), &mut problems) else { continue };
        if let Some(first) = taken.get(&read.path) {
            problems.push(Problem {
                severity: Severity::Error,
                code: "duplicate-annotation".into(),
                file: xml.display().to_string(),
                place: String::new(),
                message: format!("it speaks of {}, as {} did already", read.path.display(), first.display()),
                fix: "delete one of the two files, or correct its <filename>".into(),
            });
            continue;
        }
        taken.insert(read.path.clone(), xml.clone());
        let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let split = [stem(&xml), stem(&read.path)].into_iter().flatten().find_map(|stem| splits.get(&stem).copied());
        images.push(ForeignImage { split, ..read });
    }
    match names {
        Some(names) => names.tell_unused(&mut problems),
        None => finder.tell_unannotated(&taken, &mut problems),
    }
    (images, problems)
}

/// Where the files of a VOC data set are.
struct VocLayout {
    root: PathBuf,
    files: Vec<PathBuf>,
}

impl VocLayout {
    fn find(path: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        let refuse = |code: &str, message: String, fix: &str| Problem {
            severity: Severity::Error,
            code: code.into(),
            file: path.display().to_string(),
            place: String::new(),
            message,
            fix: fix.into(),
        };
        if path.is_file() {
            let root = path.parent().and_then(Path::parent).unwrap_or(Path::new(".")).to_path_buf();
            return Some(Self { root, files: vec![path.to_path_buf()] });
        }
        if !path.is_dir() {
            let message = "the folder does not exist".to_owned();
            problems.push(refuse("missing-folder", message, "check the path"));
            return None;
        }
        let below =
            ["Annotations", "annotations"].map(|name| path.join(name)).into_iter().find(|folder| folder.is_dir());
        let (root, folder) = match below {
            Some(folder) => (path.to_path_buf(), folder),
            None => (path.parent().unwrap_or(path).to_path_buf(), path.to_path_buf()),
        };
        let mut files = Vec::new();
        collect_xml(&folder, MAX_FOLDER_DEPTH, &mut files);
        if files.is_empty() {
            let message = format!("there is no .xml file in {}", folder.display());
            problems.push(refuse("no-annotations", message, "give the folder that holds the Pascal VOC files"));
            return None;
        }
        files.sort();
        Some(Self { root, files })
    }
}

/// The XML files in `folder` and, without following links, in the folders below it.
fn collect_xml(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if files.len() >= MAX_FILES {
            return;
        }
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 0 => collect_xml(&path, depth - 1, files),
            Ok(kind) if !kind.is_dir() && path.extension().is_some_and(|e| e.eq_ignore_ascii_case("xml")) => {
                files.push(path);
            }
            _ => {}
        }
    }
}

/// Reads one file and finds its picture; `None` where there is none or where the list leaves it out.
fn read_voc_file(
    xml: &Path,
    finder: &mut PictureFinder,
    names: Option<&mut NameList>,
    problems: &mut Vec<Problem>,
) -> Option<ForeignImage> {
    let file = xml.display().to_string();
    let stem = xml.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let bytes = match read_bounded(xml, pascal_voc::MAX_FILE_BYTES) {
        Ok(bytes) => bytes,
        Err(error) => {
            problems.push(unreadable(&file, &error.to_string()));
            return None;
        }
    };
    let (annotation, faults) = match pascal_voc::parse(&bytes, &file) {
        Ok(read) => read,
        Err(error) => {
            // Whether the list means this file cannot be known, so it is told either way.
            problems.push(error.to_problem());
            return None;
        }
    };
    let wanted = annotation.filename.as_deref().map(last_part).filter(|name| !name.is_empty());
    let picture = finder.find(xml, wanted, &stem);
    if let Some(names) = names {
        let found = picture.as_ref().and_then(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned());
        if !names.wants(&stem, wanted, found.as_deref()) {
            return None;
        }
    }
    problems.extend(faults);
    let Some(path) = picture else {
        let name = wanted.unwrap_or(&stem);
        problems.push(Problem {
            severity: Severity::Error,
            code: "missing-image".into(),
            file,
            place: String::new(),
            message: format!("its picture \"{name}\" is not there; looked in {}", finder.searched(xml)),
            fix: "put the picture there, or name the folder of the pictures with --images".into(),
        });
        return None;
    };
    let probe = match picture::probe_file(&path) {
        Ok(probe) => probe,
        Err(error) => {
            problems.push(Problem {
                severity: Severity::Error,
                code: "unreadable-image".into(),
                file: path.display().to_string(),
                place: String::new(),
                message: error.to_string(),
                fix: "replace the picture; its boxes were not read".into(),
            });
            return None;
        }
    };
    let VocAnnotation { size, verified, objects, .. } = annotation;
    let objects = objects
        .into_iter()
        .enumerate()
        .map(|(index, object)| ForeignObject {
            label: object.name,
            bounds: object.bounds,
            flags: object.flags,
            place: format!("line {}, object {}", object.line, index + 1),
        })
        .collect();
    let objects = place_objects(objects, size, &probe, &file, problems);
    Some(ForeignImage { path, size: Some(probe.size), objects, split: None, source: xml.to_path_buf(), verified })
}

fn unreadable(file: &str, message: &str) -> Problem {
    Problem {
        severity: Severity::Error,
        code: "unreadable-annotation".into(),
        file: file.to_owned(),
        place: String::new(),
        message: message.to_owned(),
        fix: "check the file and its permissions; the other files were read".into(),
    }
}

/// The last part of a path of whatever machine.
fn last_part(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path).trim()
}

/// Puts the boxes of an annotation file into the picture as it is shown.
///
/// `declared` is the size that the file gives. Where it is the size before EXIF turned the picture,
/// the boxes were drawn on the unturned one and turn with it; where it is another size of the same
/// shape, they are scaled, as TFOD does by dividing by the declared size. Degenerate boxes and boxes
/// that lie outside are left out, boxes that reach over the edge are clipped; each is told.
pub fn place_objects(
    objects: Vec<ForeignObject>,
    declared: Option<ImageSize>,
    probe: &Probe,
    file: &str,
    problems: &mut Vec<Problem>,
) -> Vec<ForeignObject> {
    let size = probe.size;
    let mut tell = |severity, code: &str, place: &str, message: String, fix: &str| {
        problems.push(Problem {
            severity,
            code: code.into(),
            file: file.into(),
            place: place.into(),
            message,
            fix: fix.into(),
        });
    };
    let fitting = Fitting::between(declared, probe);
    match (fitting, declared) {
        (Fitting::Unknown, _) => {
            let message = format!("the file gives no size; the picture's own, {size}, is taken");
            tell(Severity::Info, "missing-size", "", message, "nothing to do");
        }
        (Fitting::Turned, Some(declared)) => {
            let message = format!(
                "the boxes were drawn on the picture before EXIF turns it ({declared}; shown {size}); they are turned with it"
            );
            tell(Severity::Warning, "turned-picture", "", message, "look at the boxes of this picture once");
        }
        (Fitting::Scaled(..), Some(declared)) => {
            let message = format!("the boxes were drawn on {declared}, the picture is {size}; they are scaled with it");
            tell(Severity::Warning, "scaled-picture", "", message, "look at the boxes of this picture once");
        }
        (Fitting::Mismatch, Some(declared)) => {
            let message = format!(
                "the file says that the picture is {declared}, but it is {size}; the boxes are taken as they are"
            );
            tell(Severity::Warning, "size-mismatch", "", message, "check that this is the right picture");
        }
        _ => {}
    }
    let mut placed = Vec::with_capacity(objects.len());
    for mut object in objects {
        let b = object.bounds;
        if !b.is_valid() {
            let message = format!(
                "the box of \"{}\" is degenerate: xmin {}, ymin {}, xmax {}, ymax {}; it is left out",
                object.label, b.xmin, b.ymin, b.xmax, b.ymax
            );
            tell(Severity::Error, "degenerate-box", &object.place, message, "draw the box again, or delete the object");
            continue;
        }
        let moved = match fitting {
            Fitting::Turned => probe.turn(&b),
            Fitting::Scaled(x, y) => PixelBox::new(b.ymin * y, b.xmin * x, b.ymax * y, b.xmax * x),
            _ => b,
        };
        let inside = moved.clip(size);
        if inside != moved {
            let what = format!(
                "the box of \"{}\" (xmin {}, ymin {}, xmax {}, ymax {})",
                object.label, moved.xmin, moved.ymin, moved.xmax, moved.ymax
            );
            if !inside.is_valid() {
                let message = format!("{what} lies outside of the picture of {size}; it is left out");
                tell(
                    Severity::Error,
                    "box-outside",
                    &object.place,
                    message,
                    "draw the box again, or delete the object",
                );
                continue;
            }
            let message = format!("{what} reaches over the edge of the picture of {size}; it is clipped");
            tell(
                Severity::Warning,
                "box-clipped",
                &object.place,
                message,
                "nothing to do if the picture is the right one",
            );
        }
        object.bounds = inside;
        placed.push(object);
    }
    placed
}

/// How the picture relates to what the annotation file says of it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fitting {
    /// The file says nothing.
    Unknown,
    /// The same size.
    Same,
    /// The size before EXIF orientation.
    Turned,
    /// Another size of the same shape: factors in x and y.
    Scaled(f64, f64),
    /// Another shape.
    Mismatch,
}

impl Fitting {
    fn between(declared: Option<ImageSize>, probe: &Probe) -> Self {
        let Some(declared) = declared else { return Self::Unknown };
        if declared == probe.size {
            return Self::Same;
        }
        if declared == probe.stored_size {
            return Self::Turned;
        }
        let x = f64::from(probe.size.width) / f64::from(declared.width.max(1));
        let y = f64::from(probe.size.height) / f64::from(declared.height.max(1));
        // One per cent, for sides that were rounded when the picture was scaled.
        if (x / y - 1.0).abs() < 0.01 { Self::Scaled(x, y) } else { Self::Mismatch }
    }
}
