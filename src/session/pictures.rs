//! Looking at picture files before they join the project: there, whole, how large, which bytes.

use std::path::{Path, PathBuf};

use boxwright_core::{Problem, Severity};
use boxwright_formats::picture::{self, EXTENSIONS, MAX_FILE_BYTES, PictureError, Probe};
use boxwright_formats::read_file;
use boxwright_store::sha256_hex;

use crate::error::SessionError;
use crate::parallel;
use crate::watch::Watch;

/// How deep folders are searched.
const MAX_DEPTH: usize = 32;

/// A picture file that was looked at.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub probe: Probe,
    pub sha256: String,
}

/// Reads each file once: its header, whether it is all there, and its fingerprint.
pub(crate) fn look_at(
    paths: &[PathBuf],
    watch: &mut dyn Watch,
) -> Result<Vec<Result<Seen, Box<Problem>>>, SessionError> {
    parallel::map(paths, "reading pictures", watch, |path| look_at_one(path))
}

/// See [`look_at`].
pub(crate) fn look_at_one(path: &Path) -> Result<Seen, Box<Problem>> {
    let name = path.display().to_string();
    let bytes =
        read_file::read_bounded(path, MAX_FILE_BYTES).map_err(|e| Box::new(problem(&name, &PictureError::Io(e))))?;
    let probe = picture::probe(&bytes, &name).map_err(|e| Box::new(problem(&name, &e)))?;
    Ok(Seen { probe, sha256: sha256_hex(&bytes) })
}

/// What is wrong with a picture, as a finding.
pub(crate) fn problem(name: &str, error: &PictureError) -> Problem {
    let (code, fix) = match error {
        PictureError::Io(e) if e.kind() == std::io::ErrorKind::NotFound => {
            ("missing-image", "put the picture there, or take its annotation out")
        }
        PictureError::Io(_) => ("unreadable-image", "check the permissions of the file"),
        PictureError::Unknown { .. } => ("unknown-image", "use JPEG, PNG, BMP, GIF or WebP"),
        PictureError::Truncated { .. } => ("truncated-image", "copy or export the picture again"),
        PictureError::TooLarge { .. } => ("image-too-large", "scale the picture down"),
        PictureError::Damaged { .. } | PictureError::Encode { .. } => {
            ("damaged-image", "save it again in a picture program, or leave it out")
        }
    };
    // The message ends with what to do as well, after a semicolon; here that has a place of its own.
    let message = error.to_string();
    let message = message.rsplit_once("; ").map_or(message.as_str(), |(what, _)| what).to_owned();
    Problem {
        severity: Severity::Error,
        code: code.into(),
        file: name.to_owned(),
        place: String::new(),
        message,
        fix: fix.into(),
    }
}

/// Whether the name ends as a picture's does.
pub(crate) fn is_picture_name(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}

/// All pictures among files and folders, folders with all below them, in the order in which people
/// count: `frame2` before `frame10`. `skip` are folders that are left out.
pub(crate) fn find(paths: &[PathBuf], skip: &[PathBuf]) -> Result<Vec<PathBuf>, SessionError> {
    let mut found = Vec::new();
    for path in paths {
        let metadata = std::fs::metadata(path).map_err(|e| SessionError::file(path, e))?;
        if metadata.is_dir() {
            search(path, skip, 0, &mut found)?;
        } else {
            found.push(path.clone());
        }
    }
    found.sort_by_cached_key(|path| natural_key(&path.to_string_lossy()));
    found.dedup();
    Ok(found)
}

fn search(folder: &Path, skip: &[PathBuf], depth: usize, found: &mut Vec<PathBuf>) -> Result<(), SessionError> {
    if depth > MAX_DEPTH || skip.iter().any(|s| s == folder) {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder).map_err(|e| SessionError::file(folder, e))? {
        let entry = entry.map_err(|e| SessionError::file(folder, e))?;
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        // A link to a folder is not followed: it may lead in a circle.
        let is_link = entry.file_type().is_ok_and(|t| t.is_symlink());
        if path.is_dir() {
            if !is_link {
                search(&path, skip, depth + 1, found)?;
            }
        } else if is_picture_name(&path) {
            found.push(path);
        }
    }
    Ok(())
}

/// A key that sorts numbers in names by their value.
fn natural_key(name: &str) -> Vec<(String, usize, String)> {
    let mut key = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let digits_at = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (text, after) = rest.split_at(digits_at);
        let digits_end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let (digits, after) = after.split_at(digits_end);
        let digits = digits.trim_start_matches('0');
        // A longer number is larger; of equally long ones the text decides.
        key.push((text.to_lowercase(), digits.len(), digits.to_owned()));
        rest = after;
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_searched_in_the_order_in_which_people_count() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in [
            "f10.jpg",
            "f2.JPG",
            "sub/f1.png",
            "sub/deep/f3.webp",
            ".hidden/x.jpg",
            "notes.txt",
            "runs/r.png",
            ".a.jpg",
        ] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, b"").expect("written");
        }
        std::os::unix::fs::symlink(folder.path(), folder.path().join("sub/circle")).expect("linked");
        let paths = [folder.path().to_owned(), folder.path().join("f2.JPG")];
        let found = find(&paths, &[folder.path().join("runs")]).expect("searched");
        let names: Vec<_> = found
            .iter()
            .map(|p| p.strip_prefix(folder.path()).expect("below").to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, ["f2.JPG", "f10.jpg", "sub/deep/f3.webp", "sub/f1.png"]);
        assert!(find(&[folder.path().join("nowhere")], &[]).is_err());
    }

    #[test]
    fn a_problem_says_what_and_what_to_do_once() {
        let problem = look_at_one(Path::new("/nowhere/a.jpg")).expect_err("not there");
        assert_eq!((problem.code.as_str(), problem.file.as_str()), ("missing-image", "/nowhere/a.jpg"));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let text = folder.path().join("a.jpg");
        std::fs::write(&text, b"hello").expect("written");
        let problem = look_at_one(&text).expect_err("no picture");
        assert_eq!(problem.code, "unknown-image");
        assert!(!problem.message.contains("use JPEG"), "{}", problem.message);
    }
}
