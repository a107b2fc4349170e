//! A set of record files that appears whole or not at all.
//!
//! `train.record` with ten shards is `train.record-00000-of-00010` to `…-00009-of-00010`. All of them
//! are written as temporary files beside their places and forced to the disk; then the old set steps
//! aside, the new one moves in, and the old one is deleted, as are shards of another count under the
//! same base. An error at any point puts everything back as it was. A kill in the few microseconds
//! between two renames leaves an incomplete set, which the reader refuses by name; never a mixture of
//! old and new.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::RecordWriter;
use crate::atomic_file::{AtomicFile, explain, folder_of, sync_folder};

/// How many shards a set may have: all of them are open while they are written.
pub const MAX_SHARDS: usize = 512;

/// The name of one shard: `base-00003-of-00010`.
pub fn shard_path(base: &Path, index: usize, total: usize) -> PathBuf {
    let name = base.file_name().unwrap_or_default().to_string_lossy();
    base.with_file_name(format!("{name}-{index:05}-of-{total:05}"))
}

/// Writes a set of shards. Nothing appears before [`ShardedWriter::finish`], and nothing stays when
/// it is dropped before that.
#[derive(Debug)]
pub struct ShardedWriter {
    base: PathBuf,
    shards: Vec<RecordWriter<AtomicFile>>,
    next: usize,
}

impl ShardedWriter {
    /// Starts a set of `shards` files under `base`.
    ///
    /// # Errors
    /// No or too many shards, or the folder is missing, full or cannot be written to.
    pub fn create(base: &Path, shards: usize) -> io::Result<Self> {
        if shards == 0 || shards > MAX_SHARDS {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{shards} shards are not possible; use 1 to {MAX_SHARDS}"),
            ));
        }
        let writers = (0..shards)
            .map(|index| Ok(RecordWriter::new(AtomicFile::create(&shard_path(base, index, shards))?)))
            .collect::<io::Result<_>>()?;
        Ok(Self { base: base.to_path_buf(), shards: writers, next: 0 })
    }

    /// Writes a record into the next shard in turn, as TFOD's dataset scripts do.
    ///
    /// # Errors
    /// As [`RecordWriter::write`].
    pub fn write(&mut self, data: &[u8]) -> io::Result<()> {
        let index = self.next;
        self.next = (index + 1) % self.shards.len();
        self.shards[index].write(data)
    }

    /// How many records were written.
    pub fn records(&self) -> u64 {
        self.shards.iter().map(RecordWriter::records).sum()
    }

    /// Puts the set in its place and returns its files.
    ///
    /// # Errors
    /// Whatever the file system refuses; then the old set is as it was.
    pub fn finish(self) -> io::Result<Vec<PathBuf>> {
        let total = self.shards.len();
        let mut staged = Vec::with_capacity(total);
        for (index, shard) in self.shards.into_iter().enumerate() {
            staged.push((shard.into_inner().flush_to_disk()?, shard_path(&self.base, index, total)));
        }
        let old = OldShards::set_aside(&self.base)?;
        let mut placed = Vec::with_capacity(total);
        for (temporary, path) in staged {
            if let Err(error) = temporary.persist(&path) {
                let error = explain(&path, "write", &error.error);
                for path in &placed {
                    let _ = fs::remove_file(path);
                }
                old.put_back();
                return Err(error);
            }
            placed.push(path);
        }
        sync_folder(&self.base)?;
        old.delete();
        Ok(placed)
    }
}

/// Where each shard of the old set was, and where it waits.
struct OldShards(Vec<(PathBuf, PathBuf)>);

impl OldShards {
    /// Renames every shard under `base`, whatever its count, to a hidden name.
    fn set_aside(base: &Path) -> io::Result<Self> {
        let mut old = Self(Vec::new());
        let entries = fs::read_dir(folder_of(base)).map_err(|error| explain(base, "write", &error))?;
        for path in entries.flatten().map(|entry| folder_of(base).join(entry.file_name())) {
            if !is_shard_of(base, &path) {
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let aside = path.with_file_name(format!(".{name}.old"));
            if let Err(error) = fs::rename(&path, &aside) {
                let error = explain(&path, "write", &error);
                old.put_back();
                return Err(error);
            }
            old.0.push((path, aside));
        }
        Ok(old)
    }

    fn put_back(self) {
        for (path, aside) in self.0 {
            // Nothing more can be done where even this fails; the hidden file still has the data.
            let _ = fs::rename(aside, path);
        }
    }

    fn delete(self) {
        for (_, aside) in self.0 {
            let _ = fs::remove_file(aside);
        }
    }
}

/// Whether the name of `path` is `base-00000-of-00000` with any digits.
fn is_shard_of(base: &Path, path: &Path) -> bool {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let (Some(base), Some(file)) = (name(base), name(path)) else { return false };
    let Some((index, total)) =
        file.strip_prefix(&base).and_then(|r| r.strip_prefix('-')).and_then(|r| r.split_once("-of-"))
    else {
        return false;
    };
    [index, total].iter().all(|part| part.len() == 5 && part.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::super::{expand, read_records};
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .expect("a folder")
            .flatten()
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_set_replaces_an_old_one_of_another_count() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().join("train.record");
        fs::write(folder.path().join("train.record-notes"), b"mine").expect("written");
        for (shards, records) in [(3usize, 8u8), (2, 5), (2, 4)] {
            let mut writer = ShardedWriter::create(&base, shards).expect("created");
            for record in 0..records {
                writer.write(&[record, shards as u8]).expect("written");
            }
            assert_eq!(writer.records(), u64::from(records));
            let files = writer.finish().expect("finished");
            assert_eq!(files.len(), shards);
            assert_eq!(names(folder.path()).len(), shards + 1, "{:?}", names(folder.path()));
            let pattern = format!("{}-?????-of-{shards:05}", base.display());
            assert_eq!(expand(&pattern).expect("whole"), files);
            let mut read: Vec<u8> = read_records(&pattern).expect("found").map(|r| r.expect("valid")[0]).collect();
            read.sort_unstable();
            assert_eq!(read, (0..records).collect::<Vec<_>>());
        }
    }

    #[test]
    fn records_go_round_the_shards() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().join("a");
        let mut writer = ShardedWriter::create(&base, 3).expect("created");
        for record in 0..7u8 {
            writer.write(&[record]).expect("written");
        }
        writer.finish().expect("finished");
        let second: Vec<_> = read_records(&shard_path(&base, 1, 3).display().to_string())
            .expect("found")
            .map(|r| r.expect("valid"))
            .collect();
        assert_eq!(second, [[1], [4]]);
    }

    #[test]
    fn a_set_that_is_not_finished_leaves_nothing_and_touches_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().join("a");
        let mut writer = ShardedWriter::create(&base, 1).expect("created");
        writer.write(b"old").expect("written");
        writer.finish().expect("finished");
        let mut writer = ShardedWriter::create(&base, 1).expect("created");
        writer.write(&[0; 100_000]).expect("written");
        drop(writer);
        assert_eq!(names(folder.path()), ["a-00000-of-00001"]);
        assert_eq!(fs::metadata(shard_path(&base, 0, 1)).expect("file").len(), 12 + 3 + 4);
    }

    #[test]
    fn a_place_that_is_taken_by_a_folder_puts_everything_back() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().join("a");
        let mut writer = ShardedWriter::create(&base, 2).expect("created");
        writer.write(b"old").expect("written");
        writer.finish().expect("finished");
        let before = names(folder.path());
        let mut writer = ShardedWriter::create(&base, 2).expect("created");
        writer.write(b"new").expect("written");
        // The old second shard steps aside for it, which a folder of that hidden name prevents.
        fs::create_dir(folder.path().join(".a-00001-of-00002.old")).expect("a folder");
        fs::write(folder.path().join(".a-00001-of-00002.old/x"), b"").expect("not empty");
        assert!(writer.finish().is_err());
        fs::remove_dir_all(folder.path().join(".a-00001-of-00002.old")).expect("removed");
        assert_eq!(names(folder.path()), before);
        assert_eq!(fs::metadata(shard_path(&base, 0, 2)).expect("file").len(), 12 + 3 + 4);
    }

    #[test]
    fn counts_are_checked() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(ShardedWriter::create(&folder.path().join("a"), 0).is_err());
        assert!(ShardedWriter::create(&folder.path().join("a"), MAX_SHARDS + 1).is_err());
        assert!(ShardedWriter::create(&folder.path().join("none").join("a"), 1).is_err());
    }
}
