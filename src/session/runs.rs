//! Training runs as their folders tell them.
//!
//! The run directory is the truth. A scanner in a thread of its own looks at `runs/*` again and
//! again and sends what is new; the session keeps the views. So a window that was closed and opened
//! again, or that never started the training, shows the same as the one that did.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime};

use boxwright_core::run::{MetricKind, MetricRecord, RunDetections, RunInfo, RunState};
use boxwright_formats::read_file;

use crate::child::is_alive;
use crate::job::Waker;
use crate::tail::Tail;

/// How often the folders are looked at.
const SCAN_EVERY: Duration = Duration::from_millis(400);

/// So many pieces of news wait at most; the scanner waits for the session then.
const WAITING: usize = 64;

/// The largest `run.json` and the largest file of detections that are read.
const MAX_INFO: u64 = 1 << 20;
const MAX_DETECTIONS: u64 = 512 << 20;

/// What the window shows of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunView {
    /// Its name, which is the name of its folder.
    pub name: String,
    /// Its folder.
    pub dir: PathBuf,
    /// What `run.json` says.
    pub info: Option<RunInfo>,
    /// How it stands; a run that says it is running but whose process is gone has failed.
    pub state: RunState,
    /// Why it stopped or failed.
    pub reason: String,
    /// Losses and metrics, in the order of their steps for each kind.
    pub metrics: Vec<MetricRecord>,
    /// The steps of its checkpoints, growing.
    pub checkpoints: Vec<u64>,
    /// What its newest evaluation found.
    pub detections: Option<Arc<RunDetections>>,
}

impl RunView {
    /// The values of one metric over the steps, where they are finite: "Loss/total_loss".
    pub fn series(&self, kind: MetricKind, name: &str) -> Vec<(u64, f64)> {
        let records = self.metrics.iter().filter(|record| record.kind == kind);
        records.filter_map(|record| Some((record.step, record.values.get(name).copied().flatten()?))).collect()
    }

    /// The names of all metrics of a kind.
    pub fn metric_names(&self, kind: MetricKind) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for record in self.metrics.iter().filter(|record| record.kind == kind) {
            for name in record.values.keys() {
                if let Err(place) = names.binary_search(&name.as_str()) {
                    names.insert(place, name);
                }
            }
        }
        names
    }

    /// The newest value of a metric.
    pub fn latest(&self, kind: MetricKind, name: &str) -> Option<f64> {
        self.metrics.iter().rev().filter(|r| r.kind == kind).find_map(|r| r.values.get(name).copied().flatten())
    }

    fn new(name: &str, dir: &Path) -> Self {
        Self {
            name: name.to_owned(),
            dir: dir.to_owned(),
            info: None,
            state: RunState::Stopped,
            reason: String::new(),
            metrics: Vec::new(),
            checkpoints: Vec::new(),
            detections: None,
        }
    }

    /// Adds a record. A run that went on from a checkpoint measures the steps after it again; the
    /// old numbers of those steps are forgotten.
    fn add(&mut self, record: MetricRecord) {
        match record.kind {
            MetricKind::Train => {
                if self
                    .metrics
                    .iter()
                    .rev()
                    .find(|r| r.kind == MetricKind::Train)
                    .is_some_and(|r| r.step >= record.step)
                {
                    self.metrics.retain(|r| match r.kind {
                        MetricKind::Train => r.step < record.step,
                        MetricKind::Eval => r.step <= record.step,
                    });
                }
                self.metrics.push(record);
            }
            // An older checkpoint may be measured again at any time.
            MetricKind::Eval => {
                self.metrics.retain(|r| r.kind != MetricKind::Eval || r.step != record.step);
                let place = self.metrics.partition_point(|r| r.step <= record.step);
                self.metrics.insert(place, record);
            }
        }
    }
}

/// What a scan found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RunNews {
    /// `run.json`, or how the run stands, is new.
    State { name: String, info: Option<Box<RunInfo>>, state: RunState, reason: String },
    /// The metrics file was replaced.
    MetricsAnew { name: String },
    /// New lines of the metrics file.
    Metrics { name: String, records: Vec<MetricRecord> },
    /// Checkpoints came or went.
    Checkpoints { name: String, steps: Vec<u64> },
    /// A new evaluation.
    Detections { name: String, detections: Arc<RunDetections> },
    /// The folder is gone.
    Gone { name: String },
}

/// What is known of one run's files.
#[derive(Debug)]
struct Files {
    dir: PathBuf,
    metrics: Tail,
    state: Option<(Option<RunInfo>, RunState, String)>,
    checkpoints: Vec<u64>,
    detections: Option<(u64, Option<SystemTime>, u64)>,
}

/// Looks at the folders of runs and tells what is new since the last time.
#[derive(Debug)]
pub(crate) struct RunScanner {
    dir: PathBuf,
    known: BTreeMap<String, Files>,
}

impl RunScanner {
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), known: BTreeMap::new() }
    }

    pub fn scan(&mut self) -> Vec<RunNews> {
        let mut news = Vec::new();
        let mut present = Vec::new();
        for entry in std::fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let dir = entry.path();
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            if name.starts_with('.') || !dir.is_dir() {
                continue;
            }
            let files = self.known.entry(name.clone()).or_insert_with(|| Files {
                metrics: Tail::new(&dir.join("metrics.jsonl")),
                dir,
                state: None,
                checkpoints: Vec::new(),
                detections: None,
            });
            files.scan(&name, &mut news);
            present.push(name);
        }
        self.known.retain(|name, _| {
            let there = present.contains(name);
            if !there {
                news.push(RunNews::Gone { name: name.clone() });
            }
            there
        });
        news
    }
}

impl Files {
    fn scan(&mut self, name: &str, news: &mut Vec<RunNews>) {
        let steps = numbered(&self.dir.join("checkpoints"), "ckpt-", ".safetensors");
        let state = state(&self.dir, !steps.is_empty());
        if self.state.as_ref() != Some(&state) {
            let (info, state_now, reason) = state.clone();
            news.push(RunNews::State { name: name.to_owned(), info: info.map(Box::new), state: state_now, reason });
            self.state = Some(state);
        }
        if steps != self.checkpoints {
            self.checkpoints.clone_from(&steps);
            news.push(RunNews::Checkpoints { name: name.to_owned(), steps });
        }
        loop {
            let read = self.metrics.read();
            if read.restarted {
                news.push(RunNews::MetricsAnew { name: name.to_owned() });
            }
            if read.lines.is_empty() {
                break;
            }
            let records = read.lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect::<Vec<_>>();
            news.push(RunNews::Metrics { name: name.to_owned(), records });
        }
        if let Some(detections) = self.new_detections() {
            news.push(RunNews::Detections { name: name.to_owned(), detections: Arc::new(detections) });
        }
    }

    /// The newest evaluation, where it was not read before.
    fn new_detections(&mut self) -> Option<RunDetections> {
        let folder = self.dir.join("eval");
        let step = *numbered(&folder, "detections-", ".json").last()?;
        let path = find_numbered(&folder, "detections-", ".json", step)?;
        let metadata = std::fs::metadata(&path).ok()?;
        let stamp = (step, metadata.modified().ok(), metadata.len());
        if self.detections == Some(stamp) {
            return None;
        }
        // Also where it cannot be read: the file is written whole, so it will not get better.
        self.detections = Some(stamp);
        let bytes = read_file::read_bounded(&path, MAX_DETECTIONS).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

/// How the run in a folder stands.
fn state(dir: &Path, has_checkpoint: bool) -> (Option<RunInfo>, RunState, String) {
    let info: Option<RunInfo> = read_file::read_bounded(&dir.join("run.json"), MAX_INFO)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let (state, reason) = match &info {
        Some(info) if info.state == RunState::Running && !is_alive(info.pid, info.started.max(info.updated)) => {
            let then = if has_checkpoint { "continue it from its last checkpoint" } else { "start it anew" };
            (RunState::Failed, format!("interrupted at step {}: its process is gone; {then}", info.step))
        }
        Some(info) => (info.state, info.reason.clone()),
        None => (RunState::Stopped, "it has not begun".to_owned()),
    };
    (info, state, reason)
}

/// The numbers in the names `PREFIXnumberSUFFIX` of a folder, growing.
fn numbered(folder: &Path, prefix: &str, suffix: &str) -> Vec<u64> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut numbers: Vec<u64> =
        entries.filter_map(|entry| number(&entry.file_name().to_string_lossy(), prefix, suffix)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

fn find_numbered(folder: &Path, prefix: &str, suffix: &str, wanted: u64) -> Option<PathBuf> {
    let mut entries = std::fs::read_dir(folder).ok()?.flatten();
    entries.find(|e| number(&e.file_name().to_string_lossy(), prefix, suffix) == Some(wanted)).map(|e| e.path())
}

fn number(name: &str, prefix: &str, suffix: &str) -> Option<u64> {
    name.strip_prefix(prefix)?.strip_suffix(suffix)?.parse().ok()
}

/// The views of all runs, kept up to date by a scanner in a thread.
#[derive(Debug)]
pub(crate) struct Runs {
    dir: PathBuf,
    views: Vec<RunView>,
    news: Receiver<Vec<RunNews>>,
    end: Arc<AtomicBool>,
}

impl Runs {
    /// Follows the runs in a folder, which need not exist yet.
    pub fn follow(dir: &Path, wake: &Waker) -> Self {
        let (sender, news) = sync_channel(WAITING);
        let end = Arc::new(AtomicBool::new(false));
        let scanner = RunScanner::new(dir);
        let (wake, its_end) = (wake.clone(), Arc::clone(&end));
        std::thread::spawn(move || watch(scanner, &sender, &wake, &its_end));
        Self { dir: dir.to_owned(), views: Vec::new(), news, end }
    }

    pub fn views(&self) -> &[RunView] {
        &self.views
    }

    pub fn get(&self, name: &str) -> Option<&RunView> {
        self.views.iter().find(|run| run.name == name)
    }

    /// Takes the news in; true if there were any.
    pub fn poll(&mut self) -> bool {
        let mut changed = false;
        while let Ok(news) = self.news.try_recv() {
            for one in news {
                changed = true;
                take(&mut self.views, &self.dir, one);
            }
        }
        if changed {
            // The newest on top; one that has not begun yet is the newest.
            let began = |run: &RunView| run.info.as_ref().map_or(u64::MAX, |info| info.started);
            self.views.sort_by(|a, b| Reverse(began(a)).cmp(&Reverse(began(b))).then_with(|| a.name.cmp(&b.name)));
        }
        changed
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
    }
}

fn watch(mut scanner: RunScanner, sender: &SyncSender<Vec<RunNews>>, wake: &Waker, end: &AtomicBool) {
    while !end.load(Ordering::Relaxed) {
        let news = scanner.scan();
        if !news.is_empty() {
            if sender.send(news).is_err() {
                return;
            }
            wake.wake();
        }
        std::thread::sleep(SCAN_EVERY);
    }
}

fn take(views: &mut Vec<RunView>, dir: &Path, news: RunNews) {
    let name = match &news {
        RunNews::State { name, .. }
        | RunNews::MetricsAnew { name }
        | RunNews::Metrics { name, .. }
        | RunNews::Checkpoints { name, .. }
        | RunNews::Detections { name, .. }
        | RunNews::Gone { name } => name.clone(),
    };
    let place = views.iter().position(|run| run.name == name).unwrap_or_else(|| {
        views.push(RunView::new(&name, &dir.join(&name)));
        views.len() - 1
    });
    let run = &mut views[place];
    match news {
        RunNews::State { info, state, reason, .. } => {
            run.info = info.map(|info| *info);
            run.state = state;
            run.reason = reason;
        }
        RunNews::MetricsAnew { .. } => run.metrics.clear(),
        RunNews::Metrics { records, .. } => records.into_iter().for_each(|record| run.add(record)),
        RunNews::Checkpoints { steps, .. } => run.checkpoints = steps,
        RunNews::Detections { detections, .. } => run.detections = Some(detections),
        RunNews::Gone { .. } => {
            views.remove(place);
        }
    }
}

/// The runs in a folder as they stand now, for a program without a window.
pub fn list_runs(dir: &Path) -> Vec<RunView> {
    let mut views = Vec::new();
    for news in RunScanner::new(dir).scan() {
        take(&mut views, dir, news);
    }
    views.sort_by(|a, b| a.name.cmp(&b.name));
    views
}

/// Whether a name can be the folder of a run.
pub(crate) fn is_run_name(name: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ');
    !name.is_empty()
        && name.chars().count() <= 80
        && name.chars().all(fits)
        && !name.starts_with(['.', ' '])
        && !name.ends_with(['.', ' '])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn record(step: u64, kind: MetricKind, value: f64) -> MetricRecord {
        MetricRecord::new(step, 1.0, kind, [("Loss/total_loss".to_owned(), value)])
    }

    fn line(step: u64, kind: MetricKind, value: f64) -> String {
        serde_json::to_string(&record(step, kind, value)).expect("serializes") + "\n"
    }

    fn info(pid: u32, state: RunState) -> RunInfo {
        let now = SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
        RunInfo {
            pid,
            state,
            started: now,
            updated: now,
            step: 7,
            num_steps: 100,
            device: "CPU".into(),
            reason: String::new(),
            setup: Default::default(),
            best: None,
            peak_memory: None,
            checkpoint_seconds: BTreeMap::new(),
        }
    }

    fn write_info(dir: &Path, info: &RunInfo) {
        std::fs::write(dir.join("run.json"), serde_json::to_vec(info).expect("serializes")).expect("written");
    }

    #[test]
    fn a_run_is_what_its_folder_says() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = folder.path().join("first");
        std::fs::create_dir_all(dir.join("checkpoints")).expect("made");
        std::fs::create_dir_all(dir.join("eval")).expect("made");
        for name in ["ckpt-00000400.safetensors", "ckpt-00000020.safetensors", ".ckpt-1.tmp", "ckpt-x.safetensors"] {
            std::fs::write(dir.join("checkpoints").join(name), b"x").expect("written");
        }
        let detections = RunDetections { step: 20, images: Vec::new() };
        std::fs::write(dir.join("eval/detections-00000020.json"), serde_json::to_vec(&detections).expect("serializes"))
            .expect("written");
        write_info(&dir, &info(std::process::id(), RunState::Running));
        std::fs::write(dir.join("metrics.jsonl"), line(1, MetricKind::Train, 3.0) + "not JSON\n{\"step\":")
            .expect("written");
        let runs = list_runs(folder.path());
        assert_eq!(runs.len(), 1);
        assert_eq!((runs[0].name.as_str(), runs[0].state), ("first", RunState::Running));
        assert_eq!(runs[0].checkpoints, [20, 400]);
        assert_eq!(runs[0].metrics, [record(1, MetricKind::Train, 3.0)]);
        assert_eq!(runs[0].detections.as_deref(), Some(&detections));
        assert_eq!(runs[0].series(MetricKind::Train, "Loss/total_loss"), [(1, 3.0)]);
        assert_eq!(runs[0].metric_names(MetricKind::Train), ["Loss/total_loss"]);
    }

    #[test]
    fn a_run_whose_process_is_gone_was_interrupted() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = folder.path().join("r");
        std::fs::create_dir_all(dir.join("checkpoints")).expect("made");
        let mut child = std::process::Command::new("true").spawn().expect("started");
        let pid = child.id();
        child.wait().expect("ended");
        write_info(&dir, &info(pid, RunState::Running));
        let run = list_runs(folder.path()).remove(0);
        assert_eq!(run.state, RunState::Failed);
        assert!(run.reason.contains("interrupted at step 7") && run.reason.contains("anew"), "{}", run.reason);
        std::fs::write(dir.join("checkpoints/ckpt-00000005.safetensors"), b"x").expect("written");
        assert!(list_runs(folder.path())[0].reason.contains("last checkpoint"));
        write_info(&dir, &info(pid, RunState::Finished));
        assert_eq!(list_runs(folder.path())[0].state, RunState::Finished);
    }

    #[test]
    fn only_what_is_new_is_told() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = folder.path().join("r");
        std::fs::create_dir_all(&dir).expect("made");
        let mut scanner = RunScanner::new(folder.path());
        assert!(matches!(scanner.scan()[..], [RunNews::State { info: None, .. }]));
        assert_eq!(scanner.scan(), []);
        let mut file = std::fs::File::create(dir.join("metrics.jsonl")).expect("made");
        let whole = line(1, MetricKind::Train, 2.0);
        let (half, rest) = whole.split_at(20);
        file.write_all(half.as_bytes()).expect("written");
        assert_eq!(scanner.scan(), []);
        file.write_all(rest.as_bytes()).expect("written");
        let expected = RunNews::Metrics { name: "r".into(), records: vec![record(1, MetricKind::Train, 2.0)] };
        assert_eq!(scanner.scan(), [expected]);
        std::fs::remove_dir_all(&dir).expect("removed");
        assert_eq!(scanner.scan(), [RunNews::Gone { name: "r".into() }]);
        std::fs::write(folder.path().join("file"), b"").expect("written");
        assert_eq!(scanner.scan(), []);
    }

    #[test]
    fn steps_that_are_trained_again_replace_the_old_ones() {
        let mut run = RunView::new("r", Path::new("r"));
        for step in [10, 20, 30] {
            run.add(record(step, MetricKind::Train, step as f64));
        }
        run.add(record(20, MetricKind::Eval, 0.5));
        run.add(record(30, MetricKind::Eval, 0.6));
        run.add(record(20, MetricKind::Eval, 0.55));
        assert_eq!(run.series(MetricKind::Eval, "Loss/total_loss"), [(20, 0.55), (30, 0.6)]);
        run.add(record(25, MetricKind::Train, 99.0));
        assert_eq!(run.series(MetricKind::Train, "Loss/total_loss"), [(10, 10.0), (20, 20.0), (25, 99.0)]);
        assert_eq!(run.series(MetricKind::Eval, "Loss/total_loss"), [(20, 0.55)]);
        assert_eq!(run.latest(MetricKind::Train, "Loss/total_loss"), Some(99.0));
    }

    #[test]
    fn names_of_runs_are_names_of_folders() {
        for good in ["run 1", "ssd_mobilenet-v1.2", "été"] {
            assert!(is_run_name(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a\\b", ".hidden", "x.", " x", "a\0", &"x".repeat(81)] {
            assert!(!is_run_name(bad), "{bad}");
        }
    }
}
