//! The run directory: what a run leaves behind and resumes from.
//!
//! ```text
//! runs/NAME/   pipeline.config  label_map.pbtxt  run.json  dataset.json  metrics.jsonl  log.txt
//!              events.out.tfevents.1700000000.HOST     checkpoints/ckpt-00000400.safetensors
//!              checkpoints/best.safetensors            checkpoints/live.safetensors
//!              eval/detections-00000400.json  eval/events.out.…
//! ```
//! Checkpoints, `run.json` and evaluations are written whole or not at all. `metrics.jsonl` and
//! `log.txt` only grow; a reader ignores a last line without its end. `best.safetensors` is the
//! checkpoint of the best evaluation under a second name, so that no pruning removes it. `live.safetensors` is there
//! while a run is at work: the variables alone, of a moment ago, for whoever wants to look through them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use boxwright_core::run::{MetricRecord, RunDetections, RunInfo, RunState, STOP_FILE};
use boxwright_detection::HostTensor;
use boxwright_formats::atomic_file;
use boxwright_formats::event_file::EventWriter;
use boxwright_formats::read_file::read_bounded;
use boxwright_weights::{Checkpoint, FileKind, write_checkpoint};

use crate::error::TrainingError;

/// The largest `run.json` that is read.
const MAX_INFO: u64 = 1 << 20;

/// A run directory, open for writing by this process.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// Creates the directory where it is missing.
    ///
    /// # Errors
    /// It cannot be created or written, or another live process trains in it.
    pub fn open(path: &Path) -> Result<Self, TrainingError> {
        for folder in [path.to_owned(), path.join("checkpoints"), path.join("eval")] {
            fs::create_dir_all(&folder).map_err(|e| TrainingError::file(&folder, e))?;
        }
        let run = Self { path: path.to_owned() };
        if let Some(info) = run.info()
            && info.state == RunState::Running
            && info.pid != std::process::id()
            && process_is_alive(info.pid)
        {
            return Err(TrainingError::RunDirectory(format!(
                "{}: process {} is training in this folder; stop it first, or give another --model-dir",
                path.display(),
                info.pid
            )));
        }
        run.sweep();
        Ok(run)
    }

    /// Removes the half-written files that a killed process left, so that a thousand kills fill no disk.
    fn sweep(&self) {
        for folder in [self.path.clone(), self.path.join("checkpoints"), self.path.join("eval")] {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                if name.starts_with('.') && name.ends_with(".tmp") {
                    // One that cannot be removed is in nobody's way.
                    drop(fs::remove_file(entry.path()));
                }
            }
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What `run.json` says, if it is there and readable.
    pub fn info(&self) -> Option<RunInfo> {
        read_info(&self.path)
    }

    /// Writes `run.json`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_info(&self, info: &RunInfo) -> Result<(), TrainingError> {
        self.write_json("run.json", info)
    }

    /// Writes one small file of the run, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), TrainingError> {
        let path = self.path.join(name);
        atomic_file::write_whole(&path, bytes).map_err(|e| TrainingError::file(path, e))
    }

    /// Writes one small JSON file of the run, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_json(&self, name: &str, value: &impl serde::Serialize) -> Result<(), TrainingError> {
        let json = serde_json::to_vec_pretty(value).map_err(|e| TrainingError::file(self.path.join(name), e.into()))?;
        self.write(name, &json)
    }

    /// Appends a line to `metrics.jsonl`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn append_metrics(&self, record: &MetricRecord) -> Result<(), TrainingError> {
        let path = self.path.join("metrics.jsonl");
        let mut line = serde_json::to_string(record).map_err(|e| TrainingError::file(&path, e.into()))?;
        line.push('\n');
        append(&path, &line)
    }

    /// Appends a line to `log.txt`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn log(&self, line: &str) -> Result<(), TrainingError> {
        append(&self.path.join("log.txt"), &format!("{line}\n"))
    }

    /// Forgets the metrics of steps after `step`, which a resumed run measures anew, and gives the others.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn truncate_metrics(&self, step: u64) -> Result<Vec<MetricRecord>, TrainingError> {
        let path = self.path.join("metrics.jsonl");
        let Ok(bytes) = fs::read(&path) else { return Ok(Vec::new()) };
        let text = String::from_utf8_lossy(&bytes);
        let read = |line: &str| serde_json::from_str::<MetricRecord>(line).ok().filter(|record| record.step <= step);
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let (lines, records): (Vec<&str>, Vec<MetricRecord>) =
            whole.filter_map(|line| Some((line, read(line)?))).unzip();
        self.write("metrics.jsonl", lines.concat().as_bytes())?;
        Ok(records)
    }

    /// A new event file in the run's folder, or in one below it. It says that the run begins or goes on after this
    /// step, which takes back what older files say of later ones.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn event_file(&self, below: &str, begun_at: u64) -> Result<EventWriter, TrainingError> {
        let folder = if below.is_empty() { self.path.clone() } else { self.path.join(below) };
        let made = EventWriter::create(&folder, &host_name()).and_then(|mut events| {
            events.session_start(begun_at + 1)?;
            events.flush()?;
            Ok(events)
        });
        made.map_err(|e| TrainingError::file(folder, e))
    }

    /// Where the checkpoint of a step lies.
    pub fn checkpoint_path(&self, step: u64) -> PathBuf {
        checkpoint_path(&self.path, step)
    }

    /// The steps of the checkpoints that are there, in growing order.
    pub fn checkpoint_steps(&self) -> Vec<u64> {
        checkpoint_steps(&self.path)
    }

    /// Removes all but the last `keep` checkpoints and those of the steps that are kept for good.
    ///
    /// # Errors
    /// One cannot be removed.
    pub fn prune_checkpoints(&self, keep: usize, is_kept: impl Fn(u64) -> bool) -> Result<(), TrainingError> {
        let steps = self.checkpoint_steps();
        for step in steps[..steps.len().saturating_sub(keep.max(1))].iter().filter(|step| !is_kept(**step)) {
            let path = self.checkpoint_path(*step);
            fs::remove_file(&path).map_err(|e| TrainingError::file(path, e))?;
        }
        Ok(())
    }

    /// Keeps the checkpoint of a step as the best one. It is the same file under a second name where the file
    /// system allows that.
    ///
    /// # Errors
    /// The second name cannot be given.
    pub fn keep_best(&self, step: u64) -> Result<(), TrainingError> {
        let (from, to) = (self.checkpoint_path(step), self.path.join("checkpoints").join(BEST_CHECKPOINT));
        let link = self.path.join("checkpoints").join(format!(".{BEST_CHECKPOINT}.tmp"));
        // What a kill left behind; mostly there is nothing.
        drop(fs::remove_file(&link));
        let linked = fs::hard_link(&from, &link).and_then(|()| fs::rename(&link, &to));
        if linked.is_ok() {
            return Ok(());
        }
        let bytes = fs::read(&from).map_err(|e| TrainingError::file(from, e))?;
        atomic_file::write_whole(&to, &bytes).map_err(|e| TrainingError::file(to, e))
    }

    /// Leaves the variables of a step, without slots, for whoever wants to look through them while the run goes on.
    /// They take the place of the last ones, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_live(&self, step: u64, variables: BTreeMap<String, HostTensor>) -> Result<(), TrainingError> {
        let live = Checkpoint { step, variables, ..Checkpoint::default() };
        Ok(write_checkpoint(&live_path(&self.path), &live)?)
    }

    /// Takes the live variables away: the run is over, or begins anew at an earlier step.
    pub fn clear_live(&self) {
        // What cannot be removed is older than the last checkpoint, and loses against it.
        drop(fs::remove_file(live_path(&self.path)));
    }

    /// Writes the detections of an evaluation.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_detections(&self, detections: &RunDetections) -> Result<(), TrainingError> {
        write_detections(&self.path, detections)
    }

    /// Whether somebody asked the run to stop.
    pub fn stop_requested(&self) -> bool {
        self.path.join(STOP_FILE).exists()
    }

    /// Takes an old request to stop away.
    pub fn clear_stop_request(&self) {
        // Where it cannot be removed the run stops at its first step and says so, which is the safe side.
        drop(fs::remove_file(self.path.join(STOP_FILE)));
    }
}

/// What `run.json` of a run directory says, if it is there and readable.
pub fn read_info(run: &Path) -> Option<RunInfo> {
    serde_json::from_slice(&read_bounded(&run.join("run.json"), MAX_INFO).ok()?).ok()
}

/// Where the checkpoint of a step lies in a run directory.
pub fn checkpoint_path(run: &Path, step: u64) -> PathBuf {
    run.join("checkpoints").join(format!("ckpt-{step:08}.safetensors"))
}

/// The file of the best evaluation's checkpoint.
pub const BEST_CHECKPOINT: &str = "best.safetensors";

/// The newest variables of a run: those that it leaves for lookers-on while it is at work, or its last checkpoint where
/// that is not older. `None` where there is neither.
pub fn newest_variables(run: &Path) -> Option<PathBuf> {
    let last = checkpoint_steps(run).pop();
    let live = live_path(run);
    let of_live = boxwright_weights::open(&live).ok().and_then(|file| match *file.kind() {
        FileKind::Checkpoint { step } => Some(step),
        _ => None,
    });
    match (of_live, last) {
        (Some(step), last) if last.is_none_or(|last| last < step) => Some(live),
        (_, last) => last.map(|step| checkpoint_path(run, step)),
    }
}

fn live_path(run: &Path) -> PathBuf {
    run.join("checkpoints").join("live.safetensors")
}

/// The checkpoint of a run that `name` means: `last`, `best`, `live`, a step, or a file.
///
/// # Errors
/// There is no such checkpoint.
pub fn find_checkpoint(run: &Path, name: &Path) -> Result<PathBuf, TrainingError> {
    let missing = |what: String| Err(TrainingError::Checkpoint(format!("{}: {what}", run.display())));
    let steps = || checkpoint_steps(run);
    match name.to_str() {
        Some("last") => match steps().last() {
            Some(step) => Ok(checkpoint_path(run, *step)),
            None => missing("there is no checkpoint here; train first".to_owned()),
        },
        Some("best") => match run.join("checkpoints").join(BEST_CHECKPOINT) {
            path if path.is_file() => Ok(path),
            _ => missing("no evaluation of this run has a best checkpoint; take \"last\"".to_owned()),
        },
        Some("live") => match newest_variables(run) {
            Some(path) => Ok(path),
            None => missing("the run has no variables to show yet; wait for its first step".to_owned()),
        },
        Some(word) if word.parse::<u64>().is_ok() => match word.parse() {
            Ok(step) if checkpoint_path(run, step).is_file() => Ok(checkpoint_path(run, step)),
            _ => missing(format!("there is no checkpoint of step {word}; there are those of {:?}", steps())),
        },
        _ if boxwright_weights::is_there(name) => Ok(name.to_owned()),
        _ => missing(format!(
            "there is no checkpoint {}; take \"last\", \"best\", \"live\", a step or a file",
            name.display()
        )),
    }
}

/// Writes the detections of an evaluation into a run directory.
///
/// # Errors
/// The file cannot be written.
pub fn write_detections(run: &Path, detections: &RunDetections) -> Result<(), TrainingError> {
    let folder = run.join("eval");
    fs::create_dir_all(&folder).map_err(|e| TrainingError::file(&folder, e))?;
    let path = folder.join(format!("detections-{:08}.json", detections.step));
    let json = serde_json::to_vec(detections).map_err(|e| TrainingError::file(&path, e.into()))?;
    atomic_file::write_whole(&path, &json).map_err(|e| TrainingError::file(&path, e))
}

/// The steps of the checkpoints in a run directory, in growing order.
pub fn checkpoint_steps(run: &Path) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(run.join("checkpoints")) else { return Vec::new() };
    let mut steps: Vec<u64> = entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            name.to_str()?.strip_prefix("ckpt-")?.strip_suffix(".safetensors")?.parse().ok()
        })
        .collect();
    steps.sort_unstable();
    steps
}

/// The checkpoints that are kept for good so that one remains of each `hours` (`keep_checkpoint_every_n_hours`), of
/// those that were written after so many seconds of work. As TensorFlow's `Saver` chooses: the first that was written
/// after the time is up, which then is extended by the hours. What was removed was written before, so what is there
/// is all that has to be known.
pub(crate) fn kept_by_hours(written: &BTreeMap<u64, f64>, hours: f64) -> BTreeSet<u64> {
    let mut time_up = hours * 3600.0;
    let mut kept = BTreeSet::new();
    for (step, seconds) in written {
        if *seconds > time_up {
            kept.insert(*step);
            time_up += hours * 3600.0;
        }
    }
    kept
}

/// Seconds since 1970.
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// The name of this machine, for the names of event files.
pub(crate) fn host_name() -> String {
    #[cfg(unix)]
    {
        let mut name = [0u8; 256];
        // SAFETY: the pointer and the length are those of `name`, which outlives the call.
        let answer = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len()) };
        let length = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        if answer == 0 {
            return String::from_utf8_lossy(&name[..length]).into_owned();
        }
    }
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "localhost".to_owned())
}

fn append(path: &Path, text: &str) -> Result<(), TrainingError> {
    let write = || -> std::io::Result<()> {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(text.as_bytes())
    };
    write().map_err(|e| TrainingError::file(path, e))
}

/// Whether a process with this number runs.
#[cfg(unix)]
fn process_is_alive(pid: u32) -> bool {
    let Ok(pid) = i32::try_from(pid) else { return false };
    // SAFETY: signal 0 sends nothing; it only asks whether the process exists.
    let answer = unsafe { libc::kill(pid, 0) };
    answer == 0 || std::io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

/// Whether a process with this number runs; not known here, so the last word of `run.json` is not trusted.
#[cfg(not(unix))]
fn process_is_alive(_: u32) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model_file::ModelFiles;
    use boxwright_core::run::MetricKind;

    fn run_with(steps: &[u64]) -> (tempfile::TempDir, RunDirectory) {
        let folder = tempfile::tempdir().expect("a folder");
        let run = RunDirectory::open(folder.path()).expect("opened");
        for step in steps {
            fs::write(run.checkpoint_path(*step), step.to_string()).expect("written");
        }
        (folder, run)
    }

    #[test]
    fn pruning_leaves_the_last_the_multiples_and_the_best() {
        let (_keep, run) = run_with(&[5, 10, 15, 20, 25]);
        run.keep_best(5).expect("kept");
        run.keep_best(15).expect("kept");
        run.prune_checkpoints(2, |step| step == 10).expect("pruned");
        assert_eq!(run.checkpoint_steps(), [10, 20, 25]);
        let find = |name: &str| find_checkpoint(run.path(), Path::new(name)).map(|path| fs::read(path).expect("read"));
        assert_eq!(find("best").expect("there"), b"15");
        assert_eq!(find("last").expect("there"), b"25");
        assert_eq!(find("10").expect("there"), b"10");
        assert!(find("15").expect_err("pruned").to_string().contains("[10, 20, 25]"));
        assert!(find("nothing").expect_err("no name").to_string().contains("\"best\""));
        fs::write(run.path().join("pipeline.config"), "").expect("written");
        let weights = |name: &str| ModelFiles::find(&run.path().join(name), None).expect("there").weights;
        assert_eq!(weights(""), run.checkpoint_path(25));
        assert_eq!(weights("best"), run.path().join("checkpoints").join(BEST_CHECKPOINT));
        assert_eq!(weights("checkpoints/ckpt-00000020.safetensors"), run.checkpoint_path(20));
    }

    #[test]
    fn one_checkpoint_of_each_n_hours_stays_as_with_tensorflows_saver() {
        // A checkpoint every half an hour, the last two and one of each hour and a quarter kept.
        let (_keep, run) = run_with(&[]);
        let mut written = BTreeMap::new();
        for step in 1..=12u64 {
            fs::write(run.checkpoint_path(step), "").expect("written");
            written.insert(step, step as f64 * 1800.0);
            let kept = kept_by_hours(&written, 1.25);
            run.prune_checkpoints(2, |step| kept.contains(&step)).expect("pruned");
            let there = run.checkpoint_steps();
            written.retain(|step, _| there.contains(step));
        }
        // 1.5 h, 3 h, 4 h and 5.5 h are the first after 1.25, 2.5, 3.75 and 5 h; 11 and 12 are the last.
        assert_eq!(run.checkpoint_steps(), [3, 6, 8, 11, 12]);
        // A checkpoint at the very time is not after it; late ones catch up one by one.
        let seconds = [(1, 3600.0), (2, 20_000.0), (3, 20_001.0), (4, 20_002.0)].into();
        assert_eq!(kept_by_hours(&seconds, 1.0), [2, 3, 4].into());
        assert_eq!(kept_by_hours(&seconds, 5.0), [2].into());
        assert!(kept_by_hours(&seconds, 10_000.0).is_empty(), "what TFOD does where nothing is said");
    }

    #[test]
    fn lookers_on_get_the_newest_variables() {
        let (_keep, run) = run_with(&[]);
        let live = || find_checkpoint(run.path(), Path::new("live"));
        assert!(live().expect_err("nothing yet").to_string().contains("wait"));
        let variables =
            |value: f32| BTreeMap::from([("w".to_owned(), HostTensor { shape: vec![1], data: vec![value] })]);
        run.write_live(7, variables(1.0)).expect("written");
        run.write_live(9, variables(2.0)).expect("written");
        let there = live().expect("there");
        assert_eq!(boxwright_weights::read(&there).expect("readable")["w"].data, [2.0]);
        fs::write(run.path().join("pipeline.config"), "").expect("written");
        let of = |name: &str| ModelFiles::find(&run.path().join(name), None).expect("there").weights;
        assert_eq!(
            (of("live"), of("")),
            (there.clone(), there.clone()),
            "before the first checkpoint there is no other"
        );
        fs::write(run.checkpoint_path(8), "").expect("written");
        assert_eq!((of("live"), of("")), (there, run.checkpoint_path(8)));
        fs::write(run.checkpoint_path(9), "").expect("written");
        assert_eq!(of("live"), run.checkpoint_path(9), "a checkpoint is as good, and stays");
        run.clear_live();
        assert_eq!(run.checkpoint_steps(), [8, 9]);
        assert_eq!(of("live"), run.checkpoint_path(9));
    }

    #[test]
    fn what_a_kill_left_half_written_is_swept_away() {
        let (_keep, run) = run_with(&[5]);
        let half = run.path().join("checkpoints/.ckpt-00000006.safetensors.x1y2.tmp");
        fs::write(&half, b"half").expect("written");
        fs::write(run.path().join("run.json"), b"{").expect("written");
        let again = RunDirectory::open(run.path()).expect("opened");
        assert!(!half.exists());
        assert_eq!(again.checkpoint_steps(), [5]);
    }

    #[test]
    fn metrics_of_later_steps_and_half_lines_are_forgotten() {
        let (_keep, run) = run_with(&[]);
        for step in [1, 2, 3] {
            let record = MetricRecord::new(step, 0.5, MetricKind::Train, [("a".to_owned(), step as f64)]);
            run.append_metrics(&record).expect("written");
        }
        append(&run.path().join("metrics.jsonl"), "{\"step\":2,").expect("written");
        let kept = run.truncate_metrics(2).expect("written");
        assert_eq!(kept.iter().map(|record| record.step).collect::<Vec<_>>(), [1, 2]);
        let text = fs::read_to_string(run.path().join("metrics.jsonl")).expect("read");
        assert_eq!((text.lines().count(), text.ends_with('\n')), (2, true));
    }
}
