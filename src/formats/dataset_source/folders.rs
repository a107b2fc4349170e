//! Finding the picture that an annotation file means.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use boxwright_core::{Problem, Severity};

use crate::picture::EXTENSIONS;

/// How deep the folder that the user named is searched.
const MAX_DEPTH: usize = 4;

/// The pictures of one folder by name.
#[derive(Default)]
struct Index {
    by_name: HashMap<String, PathBuf>,
    /// Names without extension, in lower case.
    by_stem: HashMap<String, PathBuf>,
}

/// A way to choose a picture of a folder.
type Rule<'a> = &'a dyn Fn(&Index) -> Option<PathBuf>;

/// Looks for pictures, and remembers what each folder holds.
pub(super) struct PictureFinder {
    images_dir: Option<PathBuf>,
    folders: BTreeMap<PathBuf, Index>,
}

impl PictureFinder {
    pub(super) fn new(images_dir: Option<&Path>) -> Self {
        Self { images_dir: images_dir.map(Path::to_path_buf), folders: BTreeMap::new() }
    }

    /// The picture called `wanted`, or else one called like `wanted` or the annotation file but for
    /// its extension.
    pub(super) fn find(&mut self, xml: &Path, wanted: Option<&str>, stem: &str) -> Option<PathBuf> {
        let folders = self.candidates(xml);
        let wanted_stem =
            wanted.map(|name| Path::new(name).file_stem().unwrap_or_default().to_string_lossy().to_lowercase());
        let by_name = |index: &Index| wanted.and_then(|name| index.by_name.get(name).cloned());
        let by_own_stem = |index: &Index| index.by_stem.get(&stem.to_lowercase()).cloned();
        let by_wanted_stem = |index: &Index| wanted_stem.as_ref().and_then(|stem| index.by_stem.get(stem).cloned());
        let rules: [Rule<'_>; 3] = [&by_name, &by_wanted_stem, &by_own_stem];
        rules.iter().find_map(|rule| folders.iter().find_map(|folder| rule(self.index(folder))))
    }

    /// The folders that [`Self::find`] looks into, for messages.
    pub(super) fn searched(&self, xml: &Path) -> String {
        let existing: Vec<String> =
            self.candidates(xml).iter().filter(|f| f.is_dir()).map(|f| f.display().to_string()).collect();
        existing.join(", ")
    }

    /// Tells how many pictures no annotation speaks of, folder by folder.
    pub(super) fn tell_unannotated(&self, taken: &BTreeMap<PathBuf, PathBuf>, problems: &mut Vec<Problem>) {
        for (folder, index) in &self.folders {
            let total = index.by_name.len();
            let used = index.by_name.values().filter(|path| taken.contains_key(*path)).count();
            if used > 0 && used < total {
                problems.push(Problem {
                    severity: Severity::Info,
                    code: "unannotated-images".into(),
                    file: folder.display().to_string(),
                    place: String::new(),
                    message: format!(
                        "{} of its {total} pictures have no annotation file and are left out",
                        total - used
                    ),
                    fix: "add them to the project as pictures, if they should be annotated".into(),
                });
            }
        }
    }

    fn candidates(&self, xml: &Path) -> Vec<PathBuf> {
        let beside = xml.parent().map(Path::to_path_buf).unwrap_or_default();
        let mut folders = Vec::new();
        folders.extend(self.images_dir.clone());
        folders.push(beside.clone());
        if let Some(above) = beside.parent() {
            folders.extend(["JPEGImages", "images", "Images", "imgs", "img"].map(|name| above.join(name)));
        }
        folders
    }

    fn index(&mut self, folder: &Path) -> &Index {
        if !self.folders.contains_key(folder) {
            let mut files = Vec::new();
            let depth = if self.images_dir.as_deref() == Some(folder) { MAX_DEPTH } else { 0 };
            collect_pictures(folder, depth, &mut files);
            files.sort();
            let mut index = Index::default();
            for path in files {
                let part = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
                index.by_stem.entry(part(path.file_stem()).to_lowercase()).or_insert_with(|| path.clone());
                index.by_name.entry(part(path.file_name())).or_insert(path);
            }
            self.folders.insert(folder.to_path_buf(), index);
        }
        &self.folders[folder]
    }
}

/// The pictures in `folder` and, without following links, in the folders below it.
fn collect_pictures(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if files.len() >= super::MAX_FILES {
            return;
        }
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 0 => collect_pictures(&path, depth - 1, files),
            Ok(kind) if !kind.is_dir() && has_picture_extension(&path) => files.push(path),
            _ => {}
        }
    }
}

/// Whether the name says that this is a picture.
pub(super) fn has_picture_extension(path: &Path) -> bool {
    path.extension().is_some_and(|own| EXTENSIONS.iter().any(|known| own.eq_ignore_ascii_case(known)))
}
