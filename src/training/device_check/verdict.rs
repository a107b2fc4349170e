//! What is known of an adapter, and whether training may begin on it.
//!
//! Verdicts lie in one small file in the person's cache folder, one for each adapter, driver, graphics system and
//! version of the program: a new driver is looked at anew. The file is never important enough to stop anything; what
//! cannot be read counts as not checked, and what cannot be written is found out again.

use std::path::{Path, PathBuf};

use boxwright_core::run::ProgressEvent;
use boxwright_formats::{atomic_file, read_file, user_folders};
use serde::{Deserialize, Serialize};

use super::{CheckReport, CheckScope, check_device};
use crate::device::{DeviceChoice, DeviceInfo, find_device};
use crate::error::TrainingError;
use crate::progress::ProgressSink;
use crate::run_directory::unix_seconds;

/// A verdict is a few hundred bytes; anything of this size is something else.
const MAX_BYTES: u64 = 1 << 20;

/// How many verdicts are kept.
const KEPT: usize = 64;

/// How many disagreements a verdict names.
const NAMED: usize = 20;

/// What a check said of an adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The adapter's name.
    pub adapter: String,
    /// Its driver with its version.
    pub driver: String,
    /// The graphics system.
    pub backend: String,
    /// The version of the program.
    pub program: String,
    /// Which layers were looked at.
    pub scope: CheckScope,
    /// When, in seconds since 1970.
    pub checked: u64,
    /// How many shapes were looked at.
    pub shapes: usize,
    /// The kernels that disagree, the first of them.
    pub disagreements: Vec<String>,
}

impl Verdict {
    /// The verdict of a report.
    pub fn of(report: &CheckReport) -> Self {
        let DeviceInfo { name, backend, driver, .. } = report.device.clone();
        Self {
            adapter: name,
            driver,
            backend,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            scope: report.scope.clone(),
            checked: unix_seconds(),
            shapes: report.shapes,
            disagreements: report.disagreements.iter().take(NAMED).map(ToString::to_string).collect(),
        }
    }

    /// Whether a training may run on the adapter.
    pub fn agrees(&self) -> bool {
        self.disagreements.is_empty()
    }

    /// A few words for a list: `checked`, or what disagrees.
    pub fn words(&self) -> String {
        match self.disagreements.as_slice() {
            [] => "checked".to_owned(),
            all => format!("disagrees: {}", first_of(all, 1)),
        }
    }

    /// What a verdict is kept by.
    fn key(&self) -> [&str; 4] {
        [&self.adapter, &self.driver, &self.backend, &self.program]
    }

    /// Whether this one says more than what was known: a smaller check that passes does not take back what a larger
    /// one found, nor stand for it.
    fn replaces(&self, old: &Self) -> bool {
        !self.agrees() || self.scope == CheckScope::All || self.scope == old.scope || old.scope == CheckScope::Quick
    }
}

/// The file of verdicts.
#[derive(Clone, Debug)]
pub struct VerdictStore {
    file: Option<PathBuf>,
}

impl VerdictStore {
    /// The file in this person's cache folder.
    pub fn of_user() -> Self {
        Self { file: user_folders::user_cache_dir().map(|folder| file_in(&folder)) }
    }

    /// The file in a folder.
    pub fn in_folder(folder: &Path) -> Self {
        Self { file: Some(file_in(folder)) }
    }

    fn all(&self) -> Vec<Verdict> {
        let bytes = self.file.as_deref().and_then(|file| read_file::read_bounded(file, MAX_BYTES).ok());
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// What is known of a device.
    pub fn get(&self, device: &DeviceInfo) -> Option<Verdict> {
        self.all().into_iter().find(|verdict| verdict.key() == key_of(device))
    }

    /// A few words about a device for a list; nothing about the CPU, which is what others are compared with.
    pub fn words(&self, device: &DeviceInfo) -> String {
        if device.is_cpu() {
            return String::new();
        }
        self.get(device).map_or_else(|| "not checked yet".to_owned(), |verdict| verdict.words())
    }

    /// Keeps the verdict of a report. A check that was stopped before it found anything says nothing, and the CPU has
    /// no verdict.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&self, report: &CheckReport) -> Result<(), TrainingError> {
        let Some(file) = &self.file else { return Ok(()) };
        if report.device.is_cpu() || (report.stopped && report.agrees()) {
            return Ok(());
        }
        let verdict = Verdict::of(report);
        let mut all = self.all();
        if all.iter().any(|old| old.key() == verdict.key() && !verdict.replaces(old)) {
            return Ok(());
        }
        all.retain(|old| old.key() != verdict.key());
        all.insert(0, verdict);
        all.truncate(KEPT);
        let write = || {
            std::fs::create_dir_all(file.parent().unwrap_or(Path::new("")))?;
            atomic_file::write_whole(file, &serde_json::to_vec_pretty(&all)?)
        };
        write().map_err(|error| TrainingError::file(file, error))
    }
}

/// The [`Verdict::key`] of this program's verdict on a device.
fn key_of(device: &DeviceInfo) -> [&str; 4] {
    [&device.name, &device.driver, &device.backend, env!("CARGO_PKG_VERSION")]
}

/// The first `most` of some words, and how many more there are.
pub fn first_of(words: &[String], most: usize) -> String {
    let told = words[..words.len().min(most)].join("; ");
    match words.len().saturating_sub(most) {
        0 => told,
        more => format!("{told}; and {more} more"),
    }
}

fn file_in(folder: &Path) -> PathBuf {
    folder.join("device-checks.json")
}

/// Lets a training begin only on a device that computes what the CPU computes. An adapter that nobody has looked at is
/// looked at now, with the quick set, and what comes out is remembered.
///
/// # Errors
/// There is no such device, its layers disagree, or a person stopped the check.
pub fn require_checked(
    choice: DeviceChoice,
    store: &VerdictStore,
    sink: &mut dyn ProgressSink,
) -> Result<(), TrainingError> {
    let device = find_device(choice)?;
    require_with(&device, store, sink, |sink| check_device(choice, &CheckScope::Quick, sink))
}

/// [`require_checked`] with any way to check.
pub(crate) fn require_with(
    device: &DeviceInfo,
    store: &VerdictStore,
    sink: &mut dyn ProgressSink,
    check: impl FnOnce(&mut dyn ProgressSink) -> Result<CheckReport, TrainingError>,
) -> Result<(), TrainingError> {
    if device.is_cpu() {
        return Ok(());
    }
    if let Some(verdict) = store.get(device) {
        return if verdict.agrees() { Ok(()) } else { Err(refusal(device, &verdict.disagreements)) };
    }
    let say = |sink: &mut dyn ProgressSink, message: String| sink.event(&ProgressEvent::Warning { message });
    say(
        sink,
        format!(
            "first training on {} with this driver: comparing its layers with the CPU's (on a real GPU some seconds, on a \
             software adapter minutes)",
            device.name
        ),
    );
    let report = check(sink)?;
    if let Err(error) = store.keep(&report) {
        say(sink, format!("the check of the device will be repeated next time: {error}"));
    }
    if !report.agrees() {
        let named: Vec<String> = report.disagreements.iter().map(ToString::to_string).collect();
        return Err(refusal(device, &named));
    }
    if report.stopped {
        return Err(TrainingError::Device(format!(
            "stopped after {} of {} layers of the check of {}; no training was begun",
            report.shapes, report.of, device.name
        )));
    }
    say(
        sink,
        format!(
            "{} agrees with the CPU: {} layers in {:.1} s; `boxwright devices --check` looks at every layer of every model",
            device.name, report.shapes, report.seconds
        ),
    );
    Ok(())
}

fn refusal(device: &DeviceInfo, disagreements: &[String]) -> TrainingError {
    /// So many are told; the list of `devices --check` has all.
    const TOLD: usize = 3;
    let named = first_of(disagreements, TOLD);
    TrainingError::Device(format!(
        "{} ({}) does not compute what the CPU computes: {named}; train with --device cpu, or update the driver ({}) \
         and renew the check with `boxwright devices --check --device {}`",
        device.name,
        device.id,
        if device.driver.is_empty() { "unknown" } else { &device.driver },
        device.id
    ))
}
