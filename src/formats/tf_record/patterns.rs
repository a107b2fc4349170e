//! Finding the files of a pattern.
//!
//! What TFOD's input readers accept: a path, a pattern with `*`, `?` and `[…]` in any of its parts,
//! or several of them with commas between. A file of exactly that name goes before its reading as a
//! pattern.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::reader::{RecordReader, open};
use super::{RecordError, shard_path};

/// How many files a pattern may stand for.
const MAX_FILES: usize = 100_000;

/// The files that `pattern` stands for, sorted by name within each part between commas.
///
/// # Errors
/// No file fits, or a set of shards that was asked for with `-?????-of-N` is incomplete.
pub fn expand(pattern: &str) -> Result<Vec<PathBuf>, RecordError> {
    if Path::new(pattern).is_file() {
        return Ok(vec![PathBuf::from(pattern)]);
    }
    let mut files = Vec::new();
    for part in pattern.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        if Path::new(part).is_file() {
            files.push(PathBuf::from(part));
            continue;
        }
        let mut found = if has_wildcards(part) { glob(Path::new(part)) } else { Vec::new() };
        if found.is_empty() {
            return Err(RecordError::NoFiles { pattern: part.to_owned(), hint: hint(part) });
        }
        found.sort();
        check_shards(part, &found)?;
        files.append(&mut found);
    }
    if files.is_empty() {
        return Err(RecordError::NoFiles { pattern: pattern.to_owned(), hint: String::new() });
    }
    Ok(files)
}

/// All records of all files of a pattern, in order; ends after the first error.
///
/// # Errors
/// As [`expand`]; what is wrong with a file comes as an item.
pub fn read_records(pattern: &str) -> Result<impl Iterator<Item = Result<Vec<u8>, RecordError>> + Send, RecordError> {
    let mut files = expand(pattern)?.into_iter();
    let mut current: Option<RecordReader<_>> = None;
    let mut failed = false;
    Ok(std::iter::from_fn(move || {
        while !failed {
            let item = match &mut current {
                Some(reader) => reader.next(),
                None => match open(&files.next()?) {
                    Ok(reader) => {
                        current = Some(reader);
                        continue;
                    }
                    Err(error) => Some(Err(error)),
                },
            };
            match item {
                Some(result) => {
                    failed = result.is_err();
                    return Some(result);
                }
                None => current = None,
            }
        }
        None
    }))
}

fn has_wildcards(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// For `train.record` where only `train.record-00000-of-00010` and so on exist.
fn hint(part: &str) -> String {
    let shards = glob(Path::new(&format!("{part}-?????-of-?????")));
    match shards.first().and_then(|first| first.to_str()).and_then(|first| first.rsplit_once("-of-")) {
        Some((_, total)) => format!("; did you mean \"{part}-?????-of-{total}\"?"),
        None => String::new(),
    }
}

/// A set that was asked for as a whole must be whole: a run on half of the data would look like a
/// run on all of them.
fn check_shards(pattern: &str, found: &[PathBuf]) -> Result<(), RecordError> {
    let Some((base, total)) = pattern.split_once("-?????-of-") else { return Ok(()) };
    let Ok(total) = total.parse::<usize>() else { return Ok(()) };
    if total <= found.len() || total > MAX_FILES || has_wildcards(base) {
        return Ok(());
    }
    let first = (0..total)
        .map(|index| shard_path(Path::new(base), index, total))
        .find(|path| !path.is_file())
        .map(|path| path.display().to_string());
    match first {
        Some(first) => {
            let missing = total - found.len();
            Err(RecordError::MissingShards { pattern: pattern.to_owned(), missing, total, first })
        }
        None => Ok(()),
    }
}

/// The files that fit `pattern`, whose every part may hold wildcards.
fn glob(pattern: &Path) -> Vec<PathBuf> {
    let mut paths = vec![PathBuf::new()];
    for component in pattern.components() {
        let text = component.as_os_str().to_string_lossy();
        if !matches!(component, Component::Normal(_)) || !has_wildcards(&text) {
            for path in &mut paths {
                path.push(component);
            }
            continue;
        }
        let wanted: Vec<char> = text.chars().collect();
        let mut next = Vec::new();
        for path in &paths {
            let folder = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let name: Vec<char> = entry.file_name().to_string_lossy().chars().collect();
                // Hidden files, such as those being written, only where asked for.
                let hidden = name.first() == Some(&'.') && wanted.first() != Some(&'.');
                if !hidden && next.len() < MAX_FILES && fits(&wanted, &name) {
                    next.push(path.join(entry.file_name()));
                }
            }
        }
        paths = next;
    }
    paths.retain(|path| path.is_file());
    paths
}

/// Whether `name` fits `pattern`. One star to go back to is enough, so this takes at most the
/// product of the two lengths in steps.
fn fits(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&'*') {
            last_star = Some((p, n));
            p += 1;
            continue;
        }
        if let Some(width) = fits_one(&pattern[p..], name[n]) {
            p += width;
            n += 1;
            continue;
        }
        match last_star {
            Some((star, from)) => {
                last_star = Some((star, from + 1));
                p = star + 1;
                n = from + 1;
            }
            None => return false,
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

/// How much of the start of `pattern` stands for the one character `c`, if it does.
fn fits_one(pattern: &[char], c: char) -> Option<usize> {
    match *pattern.first()? {
        '?' => Some(1),
        '[' => match pattern.iter().skip(2).position(|&end| end == ']') {
            Some(end) => {
                let inside = &pattern[1..end + 2];
                let (negated, set) = match inside {
                    ['!' | '^', rest @ ..] if !rest.is_empty() => (true, rest),
                    set => (false, set),
                };
                (in_set(set, c) != negated).then_some(end + 3)
            }
            None => (c == '[').then_some(1),
        },
        literal => (literal == c).then_some(1),
    }
}

fn in_set(mut set: &[char], c: char) -> bool {
    loop {
        match set {
            [low, '-', high, rest @ ..] => {
                if (*low..=*high).contains(&c) {
                    return true;
                }
                set = rest;
            }
            [one, rest @ ..] => {
                if *one == c {
                    return true;
                }
                set = rest;
            }
            [] => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, name: &str) -> bool {
        super::fits(&pattern.chars().collect::<Vec<_>>(), &name.chars().collect::<Vec<_>>())
    }

    #[test]
    fn wildcards() {
        assert!(fits("train-?????-of-00010", "train-00003-of-00010"));
        assert!(!fits("train-?????-of-00010", "train-0003-of-00010"));
        assert!(fits("*", "") && fits("a*b*c", "a12b3bc") && !fits("a*b*c", "a12b3b"));
        assert!(fits("x[0-9a]y", "x7y") && fits("x[0-9a]y", "xay") && !fits("x[0-9a]y", "xby"));
        assert!(fits("x[!0-9]y", "xby") && !fits("x[!0-9]y", "x3y"));
        assert!(fits("x[", "x[") && fits("[]]", "]"));
        // A pattern that makes naive matchers take for ever.
        assert!(!fits(&"a*".repeat(60), &("a".repeat(200) + "b").replace('a', "c")));
    }

    #[test]
    fn sets_lists_and_hints() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().join("train.record");
        for index in [0, 1, 2] {
            std::fs::write(shard_path(&base, index, 3), b"").expect("written");
        }
        let text = base.display().to_string();
        assert_eq!(expand(&format!("{text}-?????-of-00003")).expect("whole").len(), 3);
        assert_eq!(expand(&format!("{text}-*,{text}-00001-of-00003")).expect("a list").len(), 4);
        let error = expand(&text).expect_err("only shards");
        assert!(error.to_string().contains("-?????-of-00003"), "{error}");
        std::fs::remove_file(shard_path(&base, 1, 3)).expect("removed");
        let error = expand(&format!("{text}-?????-of-00003")).expect_err("incomplete");
        assert!(matches!(&error, RecordError::MissingShards { missing: 1, total: 3, .. }));
        assert!(error.to_string().contains("train.record-00001-of-00003"), "{error}");
        assert!(expand("").is_err() && expand(",").is_err());
    }
}
