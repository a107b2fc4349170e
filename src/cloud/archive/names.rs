//! The names of entries: long ones, which are entries of their own before the one that they name, and which of all
//! names are safe.
//!
//! The `tar` crate would read a long name of any length into memory; here it is looked at first.

use std::io::Read;
use std::path::{Component, Path, PathBuf};

use tar::{EntryType, Header, PaxExtensions};

use super::Trouble;

/// The longest path in bytes, and the longest of its parts, as file systems have them.
const LONGEST_PATH: usize = 1024;
const LONGEST_PART: usize = 255;
/// The most folders one in another.
const DEEPEST: usize = 32;
/// The longest list of attributes for one entry.
const LONGEST_ATTRIBUTES: u64 = 1 << 16;

/// What was said of the next entry before it comes.
#[derive(Debug, Default)]
pub(super) struct Names {
    long: Option<Vec<u8>>,
    attributes: Option<Attributes>,
}

#[derive(Debug, Default)]
struct Attributes {
    path: Option<Vec<u8>>,
    size: Option<u64>,
    is_sparse: bool,
}

/// The name of an entry, and what else was said before it.
#[derive(Debug)]
pub(super) struct Name {
    pub bytes: Vec<u8>,
    /// The size that the attributes give.
    pub size: Option<u64>,
    /// Whether the attributes say that its bytes are only those between holes.
    pub is_sparse: bool,
}

impl Names {
    /// Whether entries of this kind only say something of the next one, or of all.
    pub fn takes(&self, kind: EntryType) -> bool {
        kind.is_gnu_longname()
            || kind.is_gnu_longlink()
            || kind.is_pax_local_extensions()
            || kind.is_pax_global_extensions()
    }

    /// Reads such an entry.
    pub fn take(&mut self, kind: EntryType, size: u64, content: &mut dyn Read) -> Result<(), Trouble> {
        let limit =
            if kind.is_gnu_longname() || kind.is_gnu_longlink() { LONGEST_PATH as u64 + 1 } else { LONGEST_ATTRIBUTES };
        if size > limit {
            return Err(Trouble::Entry(format!("has {size} bytes, more than any name")));
        }
        let mut bytes = Vec::new();
        content.take(size).read_to_end(&mut bytes).map_err(Trouble::Content)?;
        if bytes.len() as u64 != size {
            return Err(Trouble::Content(std::io::ErrorKind::UnexpectedEof.into()));
        }
        if kind.is_gnu_longname() {
            while bytes.last() == Some(&0) {
                bytes.pop();
            }
            self.long = Some(bytes);
        } else if kind.is_pax_local_extensions() {
            self.attributes = Some(attributes(&bytes)?);
        }
        Ok(())
    }

    /// Whether something was said of an entry that has not come.
    pub fn is_pending(&self) -> bool {
        self.long.is_some() || self.attributes.is_some()
    }

    /// The name of the entry with this header.
    pub fn of(&mut self, header: &Header) -> Name {
        let attributes = self.attributes.take().unwrap_or_default();
        let long = self.long.take();
        let bytes = attributes.path.or(long).unwrap_or_else(|| header.path_bytes().into_owned());
        Name { bytes, size: attributes.size, is_sparse: attributes.is_sparse }
    }
}

fn attributes(bytes: &[u8]) -> Result<Attributes, Trouble> {
    let mut found = Attributes::default();
    for attribute in PaxExtensions::new(bytes) {
        let attribute = attribute.map_err(|error| Trouble::Entry(format!("has damaged attributes ({error})")))?;
        match attribute.key_bytes() {
            b"path" => found.path = Some(attribute.value_bytes().to_vec()),
            b"size" => {
                let size = attribute.value().ok().and_then(|size| size.parse().ok());
                found.size = Some(size.ok_or_else(|| Trouble::Entry("has a size that is no number".into()))?);
            }
            key => found.is_sparse |= key.starts_with(b"GNU.sparse"),
        }
    }
    Ok(found)
}

/// A name as it may be printed: short, and without characters that move a terminal's cursor.
pub(super) fn shown(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let mut short: String = text.chars().take(120).flat_map(char::escape_debug).collect();
    if text.chars().count() > 120 {
        short.push('…');
    }
    short
}

/// The path of a name below a folder; empty where it is the folder itself.
pub(super) fn safe_path(name: &[u8]) -> Result<PathBuf, String> {
    let text = std::str::from_utf8(name).map_err(|_| "has a name that is not UTF-8")?;
    if text.is_empty() {
        return Err("has no name".into());
    }
    if text.len() > LONGEST_PATH {
        return Err(format!("has a name of more than {LONGEST_PATH} bytes"));
    }
    // On some systems the second is a separator, and a colon leads to another disk.
    if text.chars().any(|c| c.is_control() || c == '\\') || (cfg!(windows) && text.contains(':')) {
        return Err("has characters in its name that no file should have".into());
    }
    let mut path = PathBuf::new();
    for part in Path::new(text).components() {
        match part {
            Component::CurDir => {}
            Component::Normal(part) if part.len() <= LONGEST_PART => path.push(part),
            Component::Normal(_) => return Err(format!("has a part of more than {LONGEST_PART} bytes in its name")),
            Component::ParentDir => return Err("leads out of the folder with `..`".into()),
            Component::RootDir | Component::Prefix(_) => return Err("has an absolute path".into()),
        }
    }
    if path.components().count() > DEEPEST {
        return Err(format!("lies more than {DEEPEST} folders deep"));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_below_the_folder_are_safe() {
        for (name, path) in [("a/b.txt", "a/b.txt"), ("./a//b/", "a/b"), (".", ""), ("./", ""), ("..a/b..", "..a/b..")]
        {
            assert_eq!(safe_path(name.as_bytes()), Ok(PathBuf::from(path)), "{name}");
        }
        let long = "x".repeat(256);
        let deep = "x/".repeat(33);
        for name in ["", "/a", "../a", "a/../b", "a/..", "a\\b", "a\nb", "a\0b", "a\u{1b}[2J", &long, &deep] {
            assert!(safe_path(name.as_bytes()).is_err(), "{name:?}");
        }
        assert!(safe_path(b"\xff").is_err());
        assert!(!shown(b"a\x1b[2J").contains('\x1b') && shown(&[b'x'; 9999]).len() < 200);
    }
}
