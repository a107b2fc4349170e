//! A published model, from its address to a folder on the disk.
//!
//! 1. The archive: one that lies in the folder already (put there by hand, or kept), one of a local mirror, or one that
//!    is downloaded.
//! 2. Its digest: the one that the caller gives; else the one in the `.sha256` file beside the archive; else, from the
//!    publisher itself, the published one; else the one that was noted when this archive was fetched first, in
//!    [`LOCK_FILE`]. TFOD publishes no digests, so a first fetch may have nothing to compare with; the note makes every
//!    later one safe. A mirror that somebody names is that person's word: where its archive is not the published one, the
//!    result says so, and goes on.
//! 3. Unpacking beside the place where the model will be, and one rename.
//!
//! At any moment the model's folder is absent, the old one, or the new one.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use boxwright_config::zoo::{PUBLISHED_BELOW, ZooModel};
use boxwright_formats::atomic_file::{explain, write_whole};
use serde::{Deserialize, Serialize};

use crate::archive::{ArchiveError, Limits, Staged};
use crate::digest::{Digest, Kind};
use crate::download::{Client, DownloadError, Policy, shown};

/// The note of what was fetched, beside the models' folders.
pub const LOCK_FILE: &str = "model_zoo.lock.json";

/// The largest `.sha256` and lock file that is read.
const LARGEST_TEXT: u64 = 1 << 20;

/// How a model is fetched.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder in which the model gets its own.
    pub folder: PathBuf,
    /// Where the archives are instead of their publisher's server: `http://…`, `https://…`, `file://…` or a folder.
    pub mirror: Option<String>,
    /// The digest that the archive must have.
    pub digest: Option<Digest>,
    /// Whether a model that is there is fetched anew.
    pub force: bool,
    /// Whether the downloaded archive stays beside the model.
    pub keep_archive: bool,
    /// Patience with the network.
    pub policy: Policy,
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Bytes come over the network.
    Downloading,
    /// The archive is unpacked; counted in packed bytes.
    Unpacking,
}

/// Is told the stage, the bytes done and the bytes in all where known; answers whether to go on.
pub type Watch<'a> = &'a mut dyn FnMut(Stage, u64, Option<u64>) -> bool;

/// Where the digest came from that the archive has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checked {
    /// The caller gave it.
    Given,
    /// A `.sha256` file beside the archive.
    Beside,
    /// The table of the model zoo.
    Published,
    /// It was noted at an earlier fetch.
    Noted,
    /// There was none; it is noted from now on.
    FirstTime,
}

/// A model on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its folder.
    pub folder: PathBuf,
    /// What is in it.
    pub contents: Contents,
    /// Whether it was there before, so that nothing was done.
    pub was_there: bool,
    /// Where the archive came from.
    pub source: Option<String>,
    /// The archive's digest and what it was compared with.
    pub digest: Option<(Digest, Checked)>,
    /// Bytes that an interrupted download had left and that were used.
    pub kept: u64,
    /// What should be known about it.
    pub warnings: Vec<String>,
}

/// What a published model consists of, each by its path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Contents {
    /// `pipeline.config`.
    pub pipeline_config: Option<PathBuf>,
    /// The checkpoint by the prefix of its files, as `fine_tune_checkpoint` wants it.
    pub checkpoint: Option<PathBuf>,
    /// The folder of a SavedModel.
    pub saved_model: Option<PathBuf>,
    /// A frozen graph.
    pub frozen_graph: Option<PathBuf>,
    /// A TensorFlow Lite model.
    pub tflite: Option<PathBuf>,
}

/// Why a model was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The archive does not come.
    #[error("{source}\n  fix: {fix}")]
    Download {
        /// What happened.
        source: DownloadError,
        /// How else to get it.
        fix: String,
    },
    /// It was stopped.
    #[error(transparent)]
    Stopped(DownloadError),
    /// The archive is not in the local mirror.
    #[error("{} is not in the mirror; fix: put the archive there, or fetch it from {url}", path.display())]
    NotInMirror {
        /// Where it was looked for.
        path: PathBuf,
        /// Where it is published.
        url: String,
    },
    /// The archive is not the one that was meant.
    #[error(transparent)]
    Digest(Box<WrongDigest>),
    /// A `.sha256` file without a digest for the archive.
    #[error("{place}: there is no SHA-256 for {archive} in it; correct or remove it, or give the digest with --sha256")]
    Listing {
        /// Where it is.
        place: String,
        /// The archive's name.
        archive: String,
    },
    /// The note of earlier fetches cannot be used.
    #[error("{}: {reason}; repair it, or remove it to begin a new one", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The archive cannot be unpacked.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The disk refuses.
    #[error(transparent)]
    File(#[from] io::Error),
}

/// An archive with another digest than it should have.
#[derive(Debug, thiserror::Error)]
#[error("{file}: its digest is {found}, and {whose} says {expected}; {fate}\n  fix: {fix}")]
pub struct WrongDigest {
    /// The archive.
    pub file: String,
    /// Its digest.
    pub found: Digest,
    /// The digest that it should have.
    pub expected: Digest,
    /// Who says so.
    pub whose: String,
    /// What became of the file.
    pub fate: &'static str,
    /// What to do.
    pub fix: &'static str,
}

/// Fetches a model.
///
/// # Errors
/// See [`FetchError`]. The model's folder is then as it was before.
pub fn fetch(model: &ZooModel, options: &Options, watch: Watch) -> Result<Fetched, FetchError> {
    fs::create_dir_all(&options.folder).map_err(|error| explain(&options.folder, "write", &error))?;
    let folder = options.folder.join(model.folder_name());
    if folder.is_dir() && !options.force {
        let contents = Contents::of(&folder)?;
        return Ok(Fetched {
            folder,
            contents,
            was_there: true,
            source: None,
            digest: None,
            kept: 0,
            warnings: Vec::new(),
        });
    }
    let mut lock = Lock::read(&options.folder)?;
    let errand = Errand { model, options, archive: options.folder.join(format!("{}.tar.gz", model.folder_name())) };
    let (found, digest, mut warnings) = errand.checked_archive(&lock, watch)?;
    let unpacked = Staged::unpack(&found.path, &folder, &Limits::default(), &mut |done, total| {
        watch(Stage::Unpacking, done, Some(total))
    });
    let (staged, _) = match unpacked {
        Ok(unpacked) => unpacked,
        Err(error) => {
            // A downloaded archive that cannot be unpacked is of no use for the next try.
            if !matches!(error, ArchiveError::Cancelled | ArchiveError::File(_)) {
                found.discard()?;
            }
            return Err(error.into());
        }
    };
    lock.note(&errand, &found, &digest.0)?;
    staged.without_wrapping()?.place(&folder, options.force)?;
    if !options.keep_archive
        && let Err(error) = found.discard()
    {
        warnings.push(error.to_string());
    }
    let contents = Contents::of(&folder)?;
    Ok(Fetched {
        folder,
        contents,
        was_there: false,
        source: Some(found.source),
        digest: Some(digest),
        kept: found.kept,
        warnings,
    })
}

/// A digest, and what it agrees with.
type Agreed = (Digest, Checked);

/// One model to fetch.
struct Errand<'a> {
    model: &'a ZooModel,
    options: &'a Options,
    /// Where a downloaded archive goes.
    archive: PathBuf,
}

/// An archive on the disk.
struct Found {
    path: PathBuf,
    source: String,
    /// Whether it was downloaded, so that it may be removed.
    is_ours: bool,
    /// Whether it came from the publisher's own server.
    is_published: bool,
    kept: u64,
    /// The digest in the file beside it, and where that is.
    beside: Option<(Digest, String)>,
}

impl Found {
    fn discard(&self) -> io::Result<()> {
        if !self.is_ours {
            return Ok(());
        }
        fs::remove_file(&self.path).map_err(|error| explain(&self.path, "remove", &error))
    }
}

impl Errand<'_> {
    /// The archive with the right digest, that digest with its source, and what should be known.
    fn checked_archive(&self, lock: &Lock, watch: Watch) -> Result<(Found, Agreed, Vec<String>), FetchError> {
        let mut found = self.archive(watch)?;
        let mut verdict = self.check_digest(&found, lock)?;
        if verdict.is_err() && found.kept > 0 {
            // The bytes of the earlier download may be the wrong ones: once more, from the first byte.
            found.discard()?;
            found = self.archive(watch)?;
            verdict = self.check_digest(&found, lock)?;
        }
        match verdict {
            Ok(agreed) => {
                let warnings = self.doubts(&found)?;
                Ok((found, agreed, warnings))
            }
            Err(error) => {
                found.discard()?;
                Err(FetchError::Digest(Box::new(error)))
            }
        }
    }

    /// Finds or downloads the archive.
    fn archive(&self, watch: Watch) -> Result<Found, FetchError> {
        let local = |path: PathBuf| -> Result<Found, FetchError> {
            let listing = ending(&path, ".sha256");
            let beside = match read_text(&listing)? {
                Some(text) => Some(self.digest_in(&text, listing.display().to_string())?),
                None => None,
            };
            let source = path.display().to_string();
            Ok(Found { path, source, is_ours: false, is_published: false, kept: 0, beside })
        };
        if let Some(mirror) = self.options.mirror.as_deref().and_then(local_mirror) {
            let below = self.model.path_below().unwrap_or(self.model.archive_name());
            let places = [mirror.join(below), mirror.join(self.model.archive_name()), mirror.clone()];
            return match places.into_iter().find(|place| place.is_file()) {
                Some(place) => local(place),
                None => {
                    Err(FetchError::NotInMirror { path: mirror.join(self.model.archive_name()), url: self.model.url() })
                }
            };
        }
        let by_hand = self.options.folder.join(self.model.archive_name());
        for place in [&self.archive, &by_hand] {
            if place.is_file() && !self.options.force {
                return local(place.clone());
            }
        }
        self.download(watch)
    }

    /// Downloads the archive from the mirror or from its publisher.
    fn download(&self, watch: Watch) -> Result<Found, FetchError> {
        let failed = |source: DownloadError| self.failed(source);
        let client = Client::new(self.options.policy.clone()).map_err(failed)?;
        let mut urls = self.urls().into_iter().peekable();
        while let Some(url) = urls.next() {
            // Only the publisher's own size is known.
            let expected = self.model.bytes.filter(|_| self.is_published() && self.options.digest.is_none());
            let mut progress = |transfer: crate::download::Transfer| {
                watch(Stage::Downloading, transfer.done, transfer.total.or(expected))
            };
            let downloaded = match client.download(&url, &self.archive, expected, &mut progress) {
                Err(DownloadError::NotFound { .. }) if urls.peek().is_some() => continue,
                Err(stopped @ DownloadError::Cancelled { .. }) => return Err(FetchError::Stopped(stopped)),
                Err(DownloadError::File(error)) => return Err(error.into()),
                downloaded => downloaded.map_err(failed)?,
            };
            let mut found = Found {
                path: self.archive.clone(),
                source: shown(&url),
                is_ours: true,
                is_published: self.is_published(),
                kept: downloaded.kept,
                beside: None,
            };
            if self.options.digest.is_none() && !found.is_published {
                found.beside = self.listing_of(&client, &url).inspect_err(|_| drop(found.discard()))?;
            }
            return Ok(found);
        }
        Err(failed(DownloadError::NotFound { url: self.model.url(), status: 404 }))
    }

    /// The digest in the `.sha256` file of a mirror, if it has one.
    fn listing_of(&self, client: &Client, url: &str) -> Result<Option<(Digest, String)>, FetchError> {
        let place = format!("{url}.sha256");
        match client.read_text(&place, LARGEST_TEXT) {
            // A mirror that serves no such files may say so in many ways, and some servers give a page for every address.
            Ok(None) | Err(DownloadError::Status { .. }) => Ok(None),
            Ok(Some(text)) if text.trim_start().starts_with('<') => Ok(None),
            Ok(Some(text)) => self.digest_in(&text, shown(&place)).map(Some),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn digest_in(&self, text: &str, place: String) -> Result<(Digest, String), FetchError> {
        let archive = self.model.archive_name();
        match Digest::in_listing(text, archive) {
            Some(digest) => Ok((digest, place)),
            None => Err(FetchError::Listing { place, archive: archive.to_owned() }),
        }
    }

    fn is_published(&self) -> bool {
        self.options
            .mirror
            .as_deref()
            .is_none_or(|mirror| mirror.trim_end_matches('/') == PUBLISHED_BELOW.trim_end_matches('/'))
    }

    /// Where the archive may be: a mirror has the publisher's folders, or all archives in one.
    fn urls(&self) -> Vec<String> {
        let Some(mirror) = &self.options.mirror else { return vec![self.model.url()] };
        let mirror = mirror.trim_end_matches('/');
        let name = self.model.archive_name();
        let mut urls =
            vec![format!("{mirror}/{}", self.model.path_below().unwrap_or(name)), format!("{mirror}/{name}")];
        urls.dedup();
        if mirror.ends_with(".tar.gz") {
            urls = vec![mirror.to_owned()];
        }
        urls
    }

    fn failed(&self, source: DownloadError) -> FetchError {
        let fix = match &source {
            DownloadError::Busy { .. } => "wait for the other download".to_owned(),
            _ => format!(
                "name a mirror with --mirror URL-OR-FOLDER, or put {} by hand into {} and call this again",
                self.model.archive_name(),
                self.options.folder.display()
            ),
        };
        FetchError::Download { source, fix }
    }

    /// The archive's digest and what it agrees with; the inner error is a digest that disagrees.
    fn check_digest(&self, found: &Found, lock: &Lock) -> Result<Result<Agreed, WrongDigest>, FetchError> {
        let expected = self.expected_digest(found, lock)?;
        let kind = expected.as_ref().map_or(Kind::Sha256, |(digest, _, _)| digest.kind());
        let digest = Digest::of_file(&found.path, kind).map_err(|error| explain(&found.path, "read", &error))?;
        let Some((expected, checked, whose)) = expected else { return Ok(Ok((digest, Checked::FirstTime))) };
        if digest == expected {
            return Ok(Ok((digest, checked)));
        }
        Ok(Err(WrongDigest {
            file: found.source.clone(),
            found: digest,
            expected,
            whose,
            fate: if found.is_ours { "the download was removed" } else { "nothing was unpacked" },
            fix: match checked {
                Checked::Given => "compare the digest with the one that its source gives",
                Checked::Noted => "if the archive was replaced on purpose, give its digest with --sha256",
                _ => "try again, or give the right digest with --sha256",
            },
        }))
    }

    fn expected_digest(&self, found: &Found, lock: &Lock) -> Result<Option<(Digest, Checked, String)>, FetchError> {
        if let Some(digest) = &self.options.digest {
            return Ok(Some((digest.clone(), Checked::Given, "--sha256".into())));
        }
        if let Some((digest, place)) = &found.beside {
            return Ok(Some((digest.clone(), Checked::Beside, place.clone())));
        }
        if let (true, Some(published)) = (found.is_published, self.published()) {
            return Ok(Some((published, Checked::Published, "the table of the model zoo".into())));
        }
        let noted = lock.digest_of(self.model.archive)?;
        Ok(noted.map(|digest| (digest, Checked::Noted, format!("the note of an earlier fetch in {LOCK_FILE}"))))
    }

    fn published(&self) -> Option<Digest> {
        self.model.digest.and_then(|digest| digest.parse().ok())
    }

    /// What speaks against an archive that is not the publisher's own.
    fn doubts(&self, found: &Found) -> Result<Vec<String>, FetchError> {
        if found.is_published {
            return Ok(Vec::new());
        }
        let refused = |error: io::Error| explain(&found.path, "read", &error);
        let bytes = fs::metadata(&found.path).map_err(refused)?.len();
        let published = match (self.published(), self.model.bytes) {
            (Some(digest), _) if Digest::of_file(&found.path, digest.kind()).map_err(refused)? != digest => {
                format!("whose digest is {digest}")
            }
            (None, Some(size)) if size != bytes => format!("which has {size} bytes and not {bytes}"),
            _ => return Ok(Vec::new()),
        };
        Ok(vec![format!("{} is not the archive that TFOD published, {published}", found.source)])
    }
}

/// The folder or file that a mirror without a server is.
fn local_mirror(mirror: &str) -> Option<PathBuf> {
    match mirror.split_once("://") {
        None => Some(PathBuf::from(mirror)),
        Some(("file", path)) => Some(PathBuf::from(unescaped(path.strip_prefix("localhost").unwrap_or(path)))),
        Some(_) => None,
    }
}

/// A path of an address with its `%20` and the like as characters.
fn unescaped(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, more @ ..] = rest {
        let hex = more.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match hex.filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &more[2..];
            }
            None => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// A small text file; none where there is none.
fn read_text(path: &Path) -> Result<Option<String>, FetchError> {
    let mut bytes = Vec::new();
    match fs::File::open(path).and_then(|file| file.take(LARGEST_TEXT).read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(explain(path, "read", &error).into()),
    }
}

/// What was fetched before: each archive with the digest that it had.
#[derive(Debug)]
struct Lock {
    path: PathBuf,
    noted: BTreeMap<String, Note>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Note {
    digest: String,
    bytes: u64,
    source: String,
}

impl Lock {
    fn read(folder: &Path) -> Result<Self, FetchError> {
        let path = folder.join(LOCK_FILE);
        let noted = match read_text(&path)? {
            Some(text) => serde_json::from_str(&text)
                .map_err(|error| FetchError::Lock { path: path.clone(), reason: error.to_string() })?,
            None => BTreeMap::new(),
        };
        Ok(Self { path, noted })
    }

    fn digest_of(&self, archive: &str) -> Result<Option<Digest>, FetchError> {
        let Some(note) = self.noted.get(archive) else { return Ok(None) };
        let digest = note.digest.parse().map_err(|error| FetchError::Lock {
            path: self.path.clone(),
            reason: format!("the entry of {archive} is wrong: {error}"),
        })?;
        Ok(Some(digest))
    }

    fn note(&mut self, errand: &Errand, found: &Found, digest: &Digest) -> Result<(), FetchError> {
        let bytes = fs::metadata(&found.path).map_err(|error| explain(&found.path, "read", &error))?.len();
        // Other models may have come meanwhile.
        self.noted = Self::read(&errand.options.folder)?.noted;
        let note = Note { digest: digest.to_string(), bytes, source: found.source.clone() };
        self.noted.insert(errand.model.archive.to_owned(), note);
        let text = serde_json::to_string_pretty(&self.noted)
            .map_err(|error| FetchError::Lock { path: self.path.clone(), reason: error.to_string() })?;
        write_whole(&self.path, (text + "\n").as_bytes())?;
        Ok(())
    }
}

/// How deep and how wide a model's folder is looked through.
const DEEPEST: usize = 4;
const MOST_FILES: usize = 20_000;

impl Contents {
    /// What lies in the folder of a model. Where there are several of a kind, it is the one nearest to the folder, and of
    /// those the last by name.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        list_files(folder, DEEPEST, &mut files)?;
        // The nearest last, so that it overwrites the others.
        files.sort_by_key(|path| (std::cmp::Reverse(path.components().count()), natural(path)));
        let mut contents = Self::default();
        for path in files {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name == "pipeline.config" {
                contents.pipeline_config = Some(path);
            } else if name == "saved_model.pb" {
                contents.saved_model = path.parent().map(Path::to_owned);
            } else if name.starts_with("frozen_inference_graph") && name.ends_with(".pb") || name == "tflite_graph.pb" {
                contents.frozen_graph = Some(path);
            } else if name.ends_with(".tflite") {
                contents.tflite = Some(path);
            } else if let Some(prefix) = name.strip_suffix(".index") {
                // A SavedModel's variables are no checkpoint to train from.
                let is_variables = path.parent().is_some_and(|parent| parent.ends_with("variables"));
                if !is_variables {
                    contents.checkpoint = Some(path.with_file_name(prefix));
                }
            }
        }
        Ok(contents)
    }
}

/// A name whose numbers are compared as numbers: `ckpt-10` comes after `ckpt-9`.
fn natural(path: &Path) -> Vec<(String, u64)> {
    let text = path.to_string_lossy();
    let mut parts: Vec<(String, u64)> = vec![Default::default()];
    let mut in_number = false;
    for c in text.chars() {
        if in_number && !c.is_ascii_digit() {
            parts.push(Default::default());
        }
        in_number = c.is_ascii_digit();
        if let Some((word, number)) = parts.last_mut() {
            match c.to_digit(10) {
                Some(digit) => *number = number.saturating_mul(10).saturating_add(u64::from(digit)),
                None => word.push(c),
            }
        }
    }
    parts
}

fn list_files(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder).map_err(|error| explain(folder, "read", &error))? {
        let entry = entry.map_err(|error| explain(folder, "read", &error))?;
        let kind = entry.file_type().map_err(|error| explain(folder, "read", &error))?;
        if kind.is_dir() && depth > 0 {
            list_files(&entry.path(), depth - 1, files)?;
        } else if kind.is_file() && files.len() < MOST_FILES {
            files.push(entry.path());
        }
    }
    Ok(())
}
