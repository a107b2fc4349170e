//! The run directory: what a run leaves behind and resumes from.
//!
//! ```text
//! runs/NAME/   pipeline.config  label_map.pbtxt  run.json  dataset.json  metrics.jsonl  log.txt
//!              checkpoints/ckpt-00000400.safetensors   eval/detections-00000400.json
//! ```
//! Checkpoints, `run.json` and evaluations are written whole or not at all. `metrics.jsonl` and
//! `log.txt` only grow; a reader ignores a last line without its end.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use boxwright_core::run::{MetricRecord, RunDetections, RunInfo, RunState, STOP_FILE};
use boxwright_formats::atomic_file;

use crate::error::TrainingError;

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
        Ok(run)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What `run.json` says, if it is there and readable.
    pub fn info(&self) -> Option<RunInfo> {
        serde_json::from_slice(&fs::read(self.path.join("run.json")).ok()?).ok()
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

    /// Forgets the metrics of steps after `step`: a resumed run measures them anew.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn truncate_metrics(&self, step: u64) -> Result<(), TrainingError> {
        let path = self.path.join("metrics.jsonl");
        let Ok(text) = fs::read_to_string(&path) else { return Ok(()) };
        let kept: String = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .filter(|line| serde_json::from_str::<MetricRecord>(line).is_ok_and(|r| r.step <= step))
            .collect();
        self.write("metrics.jsonl", kept.as_bytes())
    }

    /// Where the checkpoint of a step lies.
    pub fn checkpoint_path(&self, step: u64) -> PathBuf {
        checkpoint_path(&self.path, step)
    }

    /// The steps of the checkpoints that are there, in growing order.
    pub fn checkpoint_steps(&self) -> Vec<u64> {
        checkpoint_steps(&self.path)
    }

    /// Removes all but the last `keep` checkpoints.
    ///
    /// # Errors
    /// One cannot be removed.
    pub fn prune_checkpoints(&self, keep: usize) -> Result<(), TrainingError> {
        let steps = self.checkpoint_steps();
        for step in &steps[..steps.len().saturating_sub(keep.max(1))] {
            let path = self.checkpoint_path(*step);
            fs::remove_file(&path).map_err(|e| TrainingError::file(path, e))?;
        }
        Ok(())
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

/// Where the checkpoint of a step lies in a run directory.
pub fn checkpoint_path(run: &Path, step: u64) -> PathBuf {
    run.join("checkpoints").join(format!("ckpt-{step:08}.safetensors"))
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

/// Seconds since 1970.
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
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
