//! Reading a file of lines while another process writes it.
//!
//! A line counts when its end is there, so a half-written last line is never taken for a whole one.
//! A file that became shorter or was replaced is read anew from its start. Memory stays bounded
//! whatever the file holds.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// How much is taken in at once; the rest comes with the next call.
const PIECE: u64 = 8 << 20;

/// A line longer than this is not one of ours and is dropped.
const MAX_LINE: usize = 1 << 20;

/// What is new in a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// The file was replaced or cut: what was read before does not hold any more.
    pub restarted: bool,
    /// The new whole lines, without their ends.
    pub lines: Vec<String>,
}

/// A file that is followed.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    identity: Option<u64>,
    offset: u64,
    partial: Vec<u8>,
    /// Inside a line that is too long.
    skipping: bool,
}

impl Tail {
    /// Follows a file from its start. It need not exist yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), identity: None, offset: 0, partial: Vec::new(), skipping: false }
    }

    /// Takes in what was written since the last call.
    pub fn read(&mut self) -> News {
        let mut news = News::default();
        let Ok(mut file) = File::open(&self.path) else { return news };
        let Ok(metadata) = file.metadata() else { return news };
        let identity = identity(&metadata);
        if self.identity.is_some_and(|known| known != identity) || metadata.len() < self.offset {
            news.restarted = true;
            self.offset = 0;
            self.partial.clear();
            self.skipping = false;
        }
        self.identity = Some(identity);
        let mut bytes = Vec::new();
        if file.seek(SeekFrom::Start(self.offset)).is_err() || file.take(PIECE).read_to_end(&mut bytes).is_err() {
            return news;
        }
        self.offset += bytes.len() as u64;
        self.take(&bytes, &mut news.lines);
        news
    }

    fn take(&mut self, bytes: &[u8], lines: &mut Vec<String>) {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let ended = piece.ends_with(b"\n");
            if !self.skipping {
                self.partial.extend_from_slice(piece);
                if self.partial.len() > MAX_LINE {
                    self.partial.clear();
                    self.skipping = true;
                }
            }
            if ended {
                if !std::mem::replace(&mut self.skipping, false) {
                    lines.push(String::from_utf8_lossy(&self.partial).trim_end().to_owned());
                }
                self.partial.clear();
            }
        }
    }
}

/// Tells a replaced file from the one that was there.
fn identity(metadata: &std::fs::Metadata) -> u64 {
    #[cfg(unix)]
    {
        std::os::unix::fs::MetadataExt::ino(metadata)
    }
    #[cfg(not(unix))]
    {
        // A file that is written whole elsewhere and renamed has another time of creation.
        metadata
            .created()
            .ok()
            .and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok())
            .map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(0))
    }
}

/// The last lines of a file, at most `limit` bytes of it.
pub fn last_lines(path: &Path, limit: u64) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(limit)))?;
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let whole = if length > limit { text.split_once('\n').map_or("", |(_, rest)| rest) } else { &text };
        Ok(whole.trim().to_owned())
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn half_a_line_waits_for_its_end() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("log");
        let mut tail = Tail::new(&path);
        assert_eq!(tail.read(), News::default());
        let mut file = File::create(&path).expect("made");
        file.write_all(b"one\ntw").expect("written");
        assert_eq!(tail.read().lines, ["one"]);
        assert_eq!(tail.read(), News::default());
        file.write_all(b"o\r\n\xff\n").expect("written");
        assert_eq!(tail.read().lines, ["two", "\u{fffd}"]);
    }

    #[test]
    fn a_replaced_or_shortened_file_is_read_anew() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("log");
        std::fs::write(&path, "one\ntwo\n").expect("written");
        let mut tail = Tail::new(&path);
        assert_eq!(tail.read().lines.len(), 2);
        let other = folder.path().join("other");
        std::fs::write(&other, "one\nthree\nfour\n").expect("written");
        std::fs::rename(&other, &path).expect("replaced");
        assert_eq!(tail.read(), News { restarted: true, lines: vec!["one".into(), "three".into(), "four".into()] });
        std::fs::write(&path, "x\n").expect("written");
        assert_eq!(tail.read(), News { restarted: true, lines: vec!["x".into()] });
    }

    #[test]
    fn an_endless_line_is_dropped() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("log");
        let mut tail = Tail::new(&path);
        let mut file = File::create(&path).expect("made");
        for _ in 0..5 {
            file.write_all(&vec![b'x'; MAX_LINE / 2]).expect("written");
            assert!(tail.read().lines.is_empty());
            assert!(tail.partial.len() <= MAX_LINE);
        }
        file.write_all(b"\nshort\n").expect("written");
        assert_eq!(tail.read().lines, ["short"]);
        assert_eq!(last_lines(&path, 20), "short");
    }
}
