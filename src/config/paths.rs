//! Paths in a config: relative to a folder, with `*` for any text and `?` for any one character of
//! a name, as in `records/train.record-?????-of-00010`.

use std::path::{Component, Path, PathBuf};

/// The most files that one pattern may stand for.
const MOST_FILES: usize = 1_000_000;

/// Where a path in a config points: beside the config where its folder is there, else as it stands,
/// which for a relative path means from the current folder, as TFOD has it.
pub fn resolve(config_folder: &Path, path: &str) -> PathBuf {
    let beside = config_folder.join(path);
    if beside.parent().is_some_and(Path::exists) { beside } else { path.into() }
}

/// The files that a path or a pattern stands for, sorted by name; empty where there are none. A file
/// whose name is the pattern itself is that file.
pub fn expand(config_folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let whole = resolve(config_folder, pattern);
    if whole.is_file() {
        return vec![whole];
    }
    let mut found = vec![PathBuf::new()];
    for component in whole.components() {
        let Component::Normal(name) = component else {
            found.iter_mut().for_each(|path| path.push(component));
            continue;
        };
        let name = name.to_string_lossy();
        if !name.contains(['*', '?']) {
            found.iter_mut().for_each(|path| path.push(&*name));
            continue;
        }
        let mut next = Vec::new();
        for folder in &found {
            let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder.as_path() };
            let Ok(entries) = std::fs::read_dir(here) else { continue };
            let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            next.extend(names.filter(|entry| matches(&name, entry)).map(|entry| folder.join(entry)).take(MOST_FILES));
        }
        found = next;
        found.truncate(MOST_FILES);
    }
    found.retain(|path| path.is_file());
    found.sort();
    found
}

/// Whether a name fits a pattern.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // The last star and how much of the name it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                p = at + 1;
                n = taken + 1;
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(matches("train.record-?????-of-00010", "train.record-00003-of-00010"));
        assert!(!matches("train.record-?????-of-00010", "train.record-003-of-00010"));
        assert!(matches("*.record", "val.record") && matches("a*b*c", "a_b_b_c") && matches("*", ""));
        assert!(!matches("a*b", "a_b_c") && !matches("", "a") && !matches("?", ""));
    }

    #[test]
    fn files_by_pattern() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let found = expand(root, "text_form?t/*.rs");
        assert_eq!(found.len(), 5, "{found:?}");
        assert!(found.is_sorted() && found[0].ends_with("bind.rs"));
        assert_eq!(expand(root, "lib.rs"), [root.join("lib.rs")]);
        assert_eq!(resolve(root, "text_format/x"), root.join("text_format/x"));
        assert_eq!(resolve(root, "no-such/x"), Path::new("no-such/x"));
        assert!(expand(root, "no/*.rs").is_empty() && expand(root, "text_format").is_empty());
    }
}
