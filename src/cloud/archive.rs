//! `.tar.gz` archives that somebody else packed.
//!
//! An archive is read once, from its first byte to its last, and everything that it says is checked before it is
//! believed. Only folders and plain files come out of it: a link or a device could write where nobody looks, and no
//! model needs one. Names must stay below the folder, may come once, and may only be so long. How many entries there
//! are, how many bytes they unpack to, and how many times more that is than the packed bytes has a limit, so that a few
//! kilobytes never fill a disk. After the last entry the rest is read as well, so that the checksums are compared.
//!
//! What is unpacked goes to a fresh folder that nobody knows ([`Staged`]) and takes its place by one rename at the end.
//!
//! Packing ([`pack`]) writes the same bytes for the same files: entries by name, no dates, no owners.

mod names;
mod pack;

pub use pack::pack;

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use boxwright_formats::atomic_file::explain;
use flate2::bufread::MultiGzDecoder;
use tar::EntryType;
use tempfile::TempDir;

/// What an archive may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Files and folders.
    pub entries: usize,
    /// Unpacked bytes.
    pub bytes: u64,
    /// Unpacked bytes for each packed one.
    pub ratio: u64,
    /// Unpacked bytes up to which the ratio does not matter: little files of zeros are harmless.
    pub free_bytes: u64,
}

impl Default for Limits {
    /// Enough for any published model, and for a hundred times its files.
    fn default() -> Self {
        Self { entries: 10_000, bytes: 16 << 30, ratio: 100, free_bytes: 64 << 20 }
    }
}

/// One thing in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place below the archive's root.
    pub path: PathBuf,
    /// Its size; 0 for a folder.
    pub bytes: u64,
    /// Whether it is a folder.
    pub is_folder: bool,
}

/// Why an archive cannot be unpacked or packed.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is no archive at all.
    #[error("{}: {what}, not a .tar.gz archive", file.display())]
    NotAnArchive {
        /// The file.
        file: PathBuf,
        /// What it seems to be.
        what: &'static str,
    },
    /// Its bytes are damaged or end too early.
    #[error("{}: the archive is damaged, {place}: {reason}; download it again", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// After which entry.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// One of its entries is not safe, or not for this program.
    #[error("{}: the entry `{entry}` {reason}; nothing was unpacked", file.display())]
    Entry {
        /// The file.
        file: PathBuf,
        /// The entry, with odd characters escaped.
        entry: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It holds more than anything that was meant.
    #[error("{}: the archive {reason}; nothing was unpacked", file.display())]
    Limit {
        /// The file.
        file: PathBuf,
        /// Which limit, and how large it is.
        reason: String,
    },
    /// The folder that it would be unpacked into is there already.
    #[error("{}: there is something of that name; remove it or choose another folder", folder.display())]
    Exists {
        /// The folder.
        folder: PathBuf,
    },
    /// A folder holds what cannot be packed.
    #[error("{}: {reason}", path.display())]
    Unpackable {
        /// The path.
        path: PathBuf,
        /// Why not.
        reason: &'static str,
    },
    /// The disk refuses.
    #[error(transparent)]
    File(#[from] io::Error),
    /// Whoever asked for it does not want it any more.
    #[error("stopped; nothing was unpacked")]
    Cancelled,
}

/// Is told how many packed bytes of how many are read, and answers whether to go on.
pub type Watch<'a> = &'a mut dyn FnMut(u64, u64) -> bool;

/// What an archive holds, with everything checked that unpacking would check.
///
/// # Errors
/// See [`ArchiveError`].
pub fn list(file: &Path, limits: &Limits) -> Result<Vec<Entry>, ArchiveError> {
    let mut go_on = |_, _| true;
    walk(file, limits, &mut go_on, &mut |_, content| match io::copy(content, &mut io::sink()) {
        Ok(read) => Ok(read),
        Err(error) => Err(Trouble::Content(error)),
    })
}

/// Unpacks an archive as a folder, which must not be there yet.
///
/// # Errors
/// See [`ArchiveError`]; the folder is then not there.
pub fn unpack(file: &Path, folder: &Path, limits: &Limits, watch: Watch) -> Result<Vec<Entry>, ArchiveError> {
    if folder.symlink_metadata().is_ok() {
        return Err(ArchiveError::Exists { folder: folder.to_owned() });
    }
    let (staged, entries) = Staged::unpack(file, folder, limits, watch)?;
    staged.place(folder, false)?;
    Ok(entries)
}

/// An archive that is unpacked, in a folder that has no name yet. Dropped, it vanishes.
#[derive(Debug)]
pub struct Staged {
    temporary: TempDir,
    root: PathBuf,
}

impl Staged {
    /// Unpacks an archive beside the place where it will be.
    ///
    /// # Errors
    /// See [`ArchiveError`].
    pub fn unpack(
        file: &Path,
        place: &Path,
        limits: &Limits,
        watch: Watch,
    ) -> Result<(Self, Vec<Entry>), ArchiveError> {
        let temporary = temporary_beside(place)?;
        let root = temporary.path().to_owned();
        let mut folders = HashSet::from([root.clone()]);
        let entries = walk(file, limits, watch, &mut |entry, content| {
            let path = root.join(&entry.path);
            let folder = if entry.is_folder { path.as_path() } else { path.parent().unwrap_or(&root) };
            if folders.insert(folder.to_owned()) {
                fs::create_dir_all(folder).map_err(|error| explain(folder, "write", &error))?;
            }
            if entry.is_folder { Ok(0) } else { write_file(&path, content) }
        })?;
        // Only now, when all of it is known to be good.
        for entry in entries.iter().filter(|entry| !entry.is_folder) {
            let path = root.join(&entry.path);
            let synced = OpenOptions::new().write(true).open(&path).and_then(|file| file.sync_all());
            synced.map_err(|error| explain(&path, "write", &error))?;
        }
        Ok((Self { temporary, root }, entries))
    }

    /// The same without the folder around it: many archives hold nothing but one folder with everything in it.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn without_wrapping(mut self) -> io::Result<Self> {
        let mut entries = fs::read_dir(&self.root).map_err(|error| explain(&self.root, "read", &error))?;
        if let (Some(Ok(only)), None) = (entries.next(), entries.next())
            && only.path().is_dir()
        {
            self.root = only.path();
        }
        Ok(self)
    }

    /// Puts the files where they belong, in place of what is there if `replace` says so.
    ///
    /// # Errors
    /// There is something of that name, or the disk refuses; what was there is there still.
    pub fn place(self, folder: &Path, replace: bool) -> Result<(), ArchiveError> {
        let refused = |error: &io::Error| explain(folder, "write", error);
        let is_there = folder.symlink_metadata().is_ok();
        if is_there && !replace {
            return Err(ArchiveError::Exists { folder: folder.to_owned() });
        }
        // The old folder goes into one that vanishes.
        let aside = if is_there { Some(temporary_beside(folder)?) } else { None };
        if let Some(aside) = &aside {
            fs::rename(folder, aside.path().join("old")).map_err(|error| refused(&error))?;
        }
        if let Err(error) = fs::rename(&self.root, folder) {
            if let Some(aside) = &aside {
                fs::rename(aside.path().join("old"), folder).map_err(|error| refused(&error))?;
            }
            return Err(refused(&error).into());
        }
        if self.root == self.temporary.path() {
            // It has moved away; there is nothing to remove.
            let _ = self.temporary.keep();
        }
        Ok(())
    }
}

/// A fresh folder beside a path, on the same file system.
fn temporary_beside(place: &Path) -> io::Result<TempDir> {
    let parent = place.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let prefix: String = format!(".{name}.").chars().take(64).collect();
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".tmp");
    // Otherwise the folder would be its owner's alone, as temporary ones are.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o777));
    }
    builder.tempdir_in(parent).map_err(|error| explain(parent, "write", &error))
}

/// Writes a new file; its size.
fn write_file(path: &Path, content: &mut dyn Read) -> Result<u64, Trouble> {
    let refused = |error: io::Error| explain(path, "write", &error);
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(|error| match error.kind() {
        // Two names that only this file system holds for one, as `A` and `a` on some.
        io::ErrorKind::AlreadyExists => Trouble::Entry("has the name of another entry".into()),
        _ => refused(error).into(),
    })?;
    let mut buffer = vec![0; 1 << 17];
    let mut written = 0;
    loop {
        let read = match content.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Trouble::Content(error)),
        };
        file.write_all(&buffer[..read]).map_err(refused)?;
        written += read as u64;
    }
    Ok(written)
}

/// What can be wrong while one entry is looked at; the walk adds file and entry.
enum Trouble {
    /// The entry's bytes cannot be read from the archive.
    Content(io::Error),
    /// The entry is not acceptable.
    Entry(String),
    /// The disk refuses.
    File(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

/// Takes an entry and its bytes; how many there were.
type Visit<'a> = &'a mut dyn FnMut(&Entry, &mut dyn Read) -> Result<u64, Trouble>;

/// Reads an archive from end to end and shows its entries.
fn walk(file: &Path, limits: &Limits, watch: Watch, visit: Visit) -> Result<Vec<Entry>, ArchiveError> {
    let opened = File::open(file).map_err(|error| explain(file, "read", &error))?;
    let size = opened.metadata().map_err(|error| explain(file, "read", &error))?.len();
    let mut packed = BufReader::with_capacity(1 << 16, Counted { inner: opened, bytes: 0 });
    check_beginning(file, &mut packed)?;
    let guard = Guard { inner: MultiGzDecoder::new(packed), unpacked: 0, size, limits, watch };
    let mut archive = tar::Archive::new(guard);
    let mut walker = Walker {
        file,
        limits,
        place: "at its beginning".into(),
        names: names::Names::default(),
        entries: Vec::new(),
        kinds: HashMap::new(),
    };
    let raw = archive.entries().map_err(|error| walker.broken(error))?.raw(true);
    for (number, entry) in raw.enumerate() {
        let mut entry = entry.map_err(|error| walker.broken(error))?;
        // Long names are entries of their own, at most two for each.
        if number >= limits.entries.saturating_mul(3) || walker.entries.len() >= limits.entries {
            let reason = format!("holds more than {} files and folders", limits.entries);
            return Err(ArchiveError::Limit { file: file.to_owned(), reason });
        }
        walker.entry(&mut entry, visit)?;
    }
    if walker.names.is_pending() {
        return Err(walker.damaged("it ends after the name of an entry that does not come"));
    }
    // The checksum stands at the end of the packed bytes.
    let mut rest = archive.into_inner();
    io::copy(&mut rest, &mut io::sink()).map_err(|error| walker.broken(error))?;
    if walker.entries.is_empty() {
        return Err(walker.damaged("it holds nothing"));
    }
    Ok(walker.entries)
}

/// Says what a file is that is no archive; error pages of servers are the usual case.
fn check_beginning(file: &Path, packed: &mut BufReader<Counted>) -> Result<(), ArchiveError> {
    use std::io::BufRead;
    let beginning = packed.fill_buf().map_err(|error| explain(file, "read", &error))?;
    let text = String::from_utf8_lossy(&beginning[..beginning.len().min(512)]).to_lowercase();
    let what = match beginning {
        [] => "the file is empty",
        [0x1f, 0x8b, ..] => return Ok(()),
        [b'P', b'K', 3, 4, ..] => "the file is a ZIP archive",
        [b'B', b'Z', b'h', ..] => "the file is packed with bzip2",
        [0xfd, b'7', b'z', b'X', b'Z', ..] => "the file is packed with xz",
        _ if text.contains("<html") || text.contains("<!doctype") || text.contains("<?xml") => {
            "the file is a web page, perhaps a server's message"
        }
        _ => "the file is something else",
    };
    Err(ArchiveError::NotAnArchive { file: file.to_owned(), what })
}

/// What is known of an archive while it is read.
struct Walker<'a> {
    file: &'a Path,
    limits: &'a Limits,
    place: String,
    names: names::Names,
    entries: Vec<Entry>,
    /// Each path so far, and whether it is a folder.
    kinds: HashMap<PathBuf, bool>,
}

impl Walker<'_> {
    fn entry<R: Read>(&mut self, raw: &mut tar::Entry<'_, R>, visit: Visit) -> Result<(), ArchiveError> {
        let kind = raw.header().entry_type();
        let size = raw.header().entry_size().map_err(|error| self.broken(error))?;
        if self.names.takes(kind) {
            let taken = self.names.take(kind, size, raw);
            return taken.map_err(|trouble| self.trouble(trouble, "a long name"));
        }
        let name = self.names.of(raw.header());
        let shown = names::shown(&name.bytes);
        let is_folder = kind.is_dir() || (kind.is_file() && name.bytes.ends_with(b"/"));
        let path = self.check(kind, size, &name, is_folder).map_err(|reason| self.refused(&shown, reason))?;
        // The archive's own root.
        if path.as_os_str().is_empty() {
            return Ok(());
        }
        self.remember(&path, is_folder).map_err(|reason| self.refused(&shown, reason))?;
        let entry = Entry { path, bytes: if is_folder { 0 } else { size }, is_folder };
        let mut content = raw.take(entry.bytes);
        let read = visit(&entry, &mut content).map_err(|trouble| self.trouble(trouble, &shown))?;
        if read != entry.bytes {
            return Err(self.damaged(&format!("`{shown}` ends after {read} of {} bytes", entry.bytes)));
        }
        self.place = format!("after `{shown}`");
        self.entries.push(entry);
        Ok(())
    }

    /// Whether an entry may be unpacked, and where.
    fn check(&self, kind: EntryType, size: u64, name: &names::Name, is_folder: bool) -> Result<PathBuf, String> {
        let is = match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::Directory => None,
            EntryType::Symlink => Some("is a symbolic link, which could lead out of the folder"),
            EntryType::Link => Some("is a hard link, which could lead out of the folder"),
            EntryType::Char | EntryType::Block | EntryType::Fifo => Some("is a device or a pipe"),
            _ => Some("is of a kind that cannot be unpacked"),
        };
        if let Some(is) = is {
            return Err(is.into());
        }
        if name.is_sparse {
            return Err("is stored with holes, which cannot be unpacked".into());
        }
        if name.size.is_some_and(|stated| stated != size) {
            return Err("has two sizes, so that two programs would unpack different files".into());
        }
        if is_folder && size > 0 {
            return Err("is a folder and has bytes".into());
        }
        if size > self.limits.bytes {
            return Err(format!("has {size} bytes, more than the {} that are unpacked", self.limits.bytes));
        }
        names::safe_path(&name.bytes)
    }

    /// Notes a path and the folders above it; a file must be new, and none of them may be something else.
    fn remember(&mut self, path: &Path, is_folder: bool) -> Result<(), String> {
        for folder in path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()) {
            match self.kinds.get(folder) {
                Some(true) => break,
                Some(false) => return Err("lies below a file".into()),
                None => drop(self.kinds.insert(folder.to_owned(), true)),
            }
        }
        match self.kinds.insert(path.to_owned(), is_folder) {
            Some(true) if is_folder => Ok(()),
            None => Ok(()),
            Some(_) => Err("comes twice".into()),
        }
    }

    fn refused(&self, entry: &str, reason: String) -> ArchiveError {
        ArchiveError::Entry { file: self.file.to_owned(), entry: entry.to_owned(), reason }
    }

    fn damaged(&self, reason: &str) -> ArchiveError {
        ArchiveError::Damaged { file: self.file.to_owned(), place: self.place.clone(), reason: reason.to_owned() }
    }

    fn trouble(&self, trouble: Trouble, entry: &str) -> ArchiveError {
        match trouble {
            Trouble::Content(error) => self.broken(error),
            Trouble::Entry(reason) => self.refused(entry, reason),
            Trouble::File(error) => ArchiveError::File(error),
        }
    }

    /// What an error from below the archive means.
    fn broken(&self, error: io::Error) -> ArchiveError {
        let innermost = |error: &io::Error| error.get_ref().and_then(|inner| inner.downcast_ref::<Stop>()).cloned();
        match innermost(&error) {
            Some(Stop::Cancelled) => ArchiveError::Cancelled,
            Some(Stop::Limit(reason)) => ArchiveError::Limit { file: self.file.to_owned(), reason },
            None if error.kind() == io::ErrorKind::UnexpectedEof => self.damaged("it ends too early"),
            None => self.damaged(&error.to_string()),
        }
    }
}

/// Counts the packed bytes.
struct Counted {
    inner: File,
    bytes: u64,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

/// Stands behind the unpacking of bytes and before everything that is done with them.
struct Guard<'a> {
    inner: MultiGzDecoder<BufReader<Counted>>,
    unpacked: u64,
    size: u64,
    limits: &'a Limits,
    watch: Watch<'a>,
}

/// Why the guard stops.
#[derive(Clone, Debug, thiserror::Error)]
enum Stop {
    #[error("stopped")]
    Cancelled,
    #[error("{0}")]
    Limit(String),
}

impl Read for Guard<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let mebibytes = self.unpacked >> 20;
        self.unpacked += read as u64;
        let packed = self.inner.get_ref().get_ref().bytes;
        if self.unpacked > self.limits.bytes {
            let reason = format!("unpacks to more than {} bytes", self.limits.bytes);
            return Err(io::Error::other(Stop::Limit(reason)));
        }
        if self.unpacked > self.limits.free_bytes && self.unpacked / self.limits.ratio.max(1) > packed {
            let reason = format!("unpacks to more than {} times its size, as only a trap does", self.limits.ratio);
            return Err(io::Error::other(Stop::Limit(reason)));
        }
        if self.unpacked >> 20 != mebibytes && !(self.watch)(packed.min(self.size), self.size) {
            return Err(io::Error::other(Stop::Cancelled));
        }
        Ok(read)
    }
}
