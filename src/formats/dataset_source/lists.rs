//! Lists of names: the splits of a VOC data set, and the part of the data that a user asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use boxwright_core::{Problem, Severity, Split};

use super::folders::has_picture_extension;
use super::last_part;
use crate::read_file::read_bounded;

/// The largest list that is read.
const MAX_LIST_BYTES: u64 = 256 << 20;
/// How many names of a list are told one by one where nothing fits them.
const MAX_TOLD: usize = 20;

/// The names that a user's list holds, and which of them were found.
pub(super) struct NameList {
    file: String,
    /// Names of pictures, with their extension.
    names: BTreeSet<String>,
    /// Names without one.
    stems: BTreeSet<String>,
    used: BTreeSet<String>,
}

impl NameList {
    /// Reads one name a line, or the column `filename` of a CSV.
    pub(super) fn read(path: &Path) -> Result<Self, Box<Problem>> {
        let file = path.display().to_string();
        let refuse = |message: String| {
            Box::new(Problem {
                severity: Severity::Error,
                code: "unreadable-list".into(),
                file: file.clone(),
                place: String::new(),
                message,
                fix: "give a text file with one name a line, or a CSV with a column \"filename\"".into(),
            })
        };
        let bytes = read_bounded(path, MAX_LIST_BYTES).map_err(|error| refuse(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|_| refuse("it is not UTF-8 text".into()))?;
        let text = text.trim_start_matches('\u{FEFF}');
        let mut list =
            Self { file: file.clone(), names: BTreeSet::new(), stems: BTreeSet::new(), used: BTreeSet::new() };
        let mut lines =
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).peekable();
        let header = lines.peek().map(|line| csv_fields(line)).unwrap_or_default();
        let column = header.iter().position(|field| field.trim().eq_ignore_ascii_case("filename"));
        if let Some(column) = column {
            lines.next();
            for line in lines {
                if let Some(field) = csv_fields(line).get(column) {
                    list.add(field);
                }
            }
        } else if header.len() > 1 && text.lines().count() > 1 && header.iter().any(|f| f.trim() == "xmin") {
            return Err(refuse("its first line looks like the header of a CSV, but has no column \"filename\"".into()));
        } else {
            lines.for_each(|line| list.add(line));
        }
        if list.names.is_empty() && list.stems.is_empty() {
            return Err(refuse("it holds no name".into()));
        }
        Ok(list)
    }

    fn add(&mut self, entry: &str) {
        let name = last_part(entry);
        let path = Path::new(name);
        if name.is_empty() {
        } else if has_picture_extension(path) {
            self.names.insert(name.to_owned());
        } else if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("xml")) {
            self.stems.insert(path.file_stem().unwrap_or_default().to_string_lossy().into_owned());
        } else {
            self.stems.insert(name.to_owned());
        }
    }

    /// Whether the list means an annotation file called `stem`, whose picture is called `wanted` in
    /// the file and `found` on the disk.
    pub(super) fn wants(&mut self, stem: &str, wanted: Option<&str>, found: Option<&str>) -> bool {
        let without_extension = |name: &str| Path::new(name).file_stem().map(|s| s.to_string_lossy().into_owned());
        let mut hits: Vec<String> =
            [wanted, found].into_iter().flatten().filter(|n| self.names.contains(*n)).map(str::to_owned).collect();
        let stems = [Some(stem.to_owned()), wanted.and_then(without_extension), found.and_then(without_extension)];
        hits.extend(stems.into_iter().flatten().filter(|stem| self.stems.contains(stem)));
        let any = !hits.is_empty();
        self.used.extend(hits);
        any
    }

    /// Tells which names no annotation file fits.
    pub(super) fn tell_unused(&self, problems: &mut Vec<Problem>) {
        let unused: Vec<&String> =
            self.names.iter().chain(&self.stems).filter(|name| !self.used.contains(*name)).collect();
        for name in unused.iter().take(MAX_TOLD) {
            problems.push(self.unused(format!("no annotation file fits \"{name}\"")));
        }
        if unused.len() > MAX_TOLD {
            problems.push(self.unused(format!("and {} more names fit no annotation file", unused.len() - MAX_TOLD)));
        }
    }

    fn unused(&self, message: String) -> Problem {
        Problem {
            severity: Severity::Warning,
            code: "name-without-annotation".into(),
            file: self.file.clone(),
            place: String::new(),
            message,
            fix: "correct the name, or add the annotation".into(),
        }
    }
}

/// The fields of one line of a CSV; a field in quotes may hold commas and doubled quotes.
fn csv_fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let field = fields.last_mut().expect("there is always a field");
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if quoted || field.is_empty() => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    fields
}

/// The splits that `ImageSets/Main` of a VOC data set gives, by name without extension. `trainval`
/// counts only for names that neither `train` nor `val` has.
pub(super) fn read_image_sets(root: &Path, problems: &mut Vec<Problem>) -> BTreeMap<String, Split> {
    let folder = root.join("ImageSets").join("Main");
    let mut splits = BTreeMap::new();
    for (file, split) in [
        ("train.txt", Split::Train),
        ("val.txt", Split::Val),
        ("test.txt", Split::Test),
        ("trainval.txt", Split::Train),
    ] {
        let path = folder.join(file);
        if !path.is_file() {
            continue;
        }
        let text = read_bounded(&path, MAX_LIST_BYTES)
            .map_err(|error| error.to_string())
            .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned()));
        match text {
            Ok(text) => {
                for name in text.lines().map(str::trim).filter(|name| !name.is_empty()) {
                    splits.entry(name.to_owned()).or_insert(split);
                }
            }
            Err(message) => problems.push(Problem {
                severity: Severity::Warning,
                code: "unreadable-list".into(),
                file: path.display().to_string(),
                place: String::new(),
                message,
                fix: "its pictures get no split from this file; repair it, or choose the splits in the project".into(),
            }),
        }
    }
    splits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        assert_eq!(csv_fields("a,b c,"), ["a", "b c", ""]);
        assert_eq!(csv_fields("\"a,\"\"b\"\"\",c"), ["a,\"b\"", "c"]);
    }

    #[test]
    fn lists_of_names_and_csvs() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("list");
        let read = |text: &str| {
            std::fs::write(&path, text).expect("written");
            NameList::read(&path)
        };
        let mut list = read("\u{FEFF}a.jpg\nsub/b\n# no\n\nc.xml\nversion.2\n").expect("names");
        assert!(list.wants("x", Some("a.jpg"), None) && !list.wants("a", None, Some("a.png")));
        assert!(
            list.wants("b", None, None) && list.wants("x", Some("c.png"), None) && list.wants("version.2", None, None)
        );
        let mut problems = Vec::new();
        list.tell_unused(&mut problems);
        assert_eq!(problems, []);
        let mut list = read("width,FileName,class\n3,a.jpg,cat\n4,\"b,c.jpg\",cat\n").expect("a CSV");
        assert!(list.wants("x", Some("b,c.jpg"), None) && !list.wants("x", Some("3"), None));
        list.tell_unused(&mut problems);
        assert!(problems.len() == 1 && problems[0].message.contains("a.jpg"));
        assert!(read("").is_err() && read("name,xmin\na,1\n").is_err());
    }
}
