//! A job that is a child process: the same program with a public subcommand and `--progress json`.
//!
//! What the child prints goes into files in the run directory, not into pipes: when the window is
//! closed, the child goes on without noticing, and a window that opens later finds the same files.
//! The child gets a process group of its own, so that Ctrl+C in the terminal of the window does not
//! end the training.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use boxwright_core::run::ProgressEvent;

use crate::job::{JobContext, JobEnd};
use crate::tail::{Tail, last_lines};

/// How often the child and its files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// So much of the standard error is quoted when a child fails.
const QUOTED: u64 = 2000;

/// A child process to be run as a job.
#[derive(Clone, Debug)]
pub(crate) struct ChildJob {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// The folder it works in.
    pub folder: PathBuf,
    /// Where its standard output goes.
    pub progress_file: PathBuf,
    /// Where its standard error goes.
    pub error_file: PathBuf,
    /// The file whose appearance asks it to stop. Without one it is ended by a signal.
    pub stop_file: Option<PathBuf>,
    /// How long it may take to stop before it is killed.
    pub grace: Duration,
}

impl ChildJob {
    /// Runs the child until it ends, or until the session is gone.
    pub fn run(&self, context: &mut JobContext) -> JobEnd {
        let mut child = match self.spawn() {
            Ok(child) => child,
            Err(e) => return JobEnd::failed(format!("{} could not be started: {e}", self.program.display())),
        };
        let mut tail = Tail::new(&self.progress_file);
        let mut last_word = None;
        let mut stopping: Option<Stopping> = None;
        let status = loop {
            // Asked before reading, so that nothing written before the end is missed.
            let ended = child.try_wait();
            read_events(&mut tail, context, &mut last_word);
            match ended {
                Ok(Some(status)) => break Ok(status),
                Ok(None) => {}
                Err(e) => break Err(e),
            }
            if context.left_alone() {
                // Nobody listens; only the process table has to be kept clean.
                let _ = child.wait();
                return JobEnd::stopped("the window was closed");
            }
            if context.stop_requested() {
                let stopping = match &mut stopping {
                    Some(stopping) => stopping,
                    None => stopping.insert(self.ask_to_stop(&mut child)),
                };
                stopping.press(&mut child, self.grace);
            }
            std::thread::sleep(LOOK_EVERY);
        };
        match status {
            Ok(status) => self.end(status, last_word, stopping.as_ref()),
            Err(e) => JobEnd::failed(format!("the process could not be watched: {e}")),
        }
    }

    fn spawn(&self) -> std::io::Result<Child> {
        if let Some(stop) = &self.stop_file {
            // A request from an earlier time must not stop this one.
            let _ = std::fs::remove_file(stop);
        }
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(File::create(&self.progress_file)?)
            .stderr(File::create(&self.error_file)?);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.spawn()
    }

    fn ask_to_stop(&self, child: &mut Child) -> Stopping {
        match &self.stop_file {
            Some(file) if File::create(file).is_ok() => {}
            _ => signal(child, Signal::Ask),
        }
        Stopping { since: Instant::now(), killed: false }
    }

    fn end(&self, status: ExitStatus, last_word: Option<Word>, stopping: Option<&Stopping>) -> JobEnd {
        match (last_word, stopping) {
            (Some(Word::Finished(message)), Some(_)) if status.success() => JobEnd::stopped(message),
            (Some(Word::Finished(message)), None) if status.success() => JobEnd::finished(message),
            (_, Some(stopping)) if stopping.killed => {
                JobEnd::stopped("it did not answer and was ended; its last checkpoint is kept")
            }
            (Some(Word::Failed(message)), None) => JobEnd::failed(message),
            (_, Some(_)) => JobEnd::stopped("stopped"),
            (_, None) if status.success() => JobEnd::finished("done"),
            (_, None) => JobEnd::failed(self.why(status)),
        }
    }

    /// Why the child ended without a word of its own.
    fn why(&self, status: ExitStatus) -> String {
        let how = exit_words(status);
        let said = last_lines(&self.error_file, QUOTED);
        if said.is_empty() { how } else { format!("{how}; it said last: {said}") }
    }
}

/// A child that was asked to stop.
#[derive(Debug)]
struct Stopping {
    since: Instant,
    killed: bool,
}

impl Stopping {
    /// Kills the child when its time is over.
    fn press(&mut self, child: &mut Child, grace: Duration) {
        if !self.killed && self.since.elapsed() >= grace {
            self.killed = true;
            signal(child, Signal::Kill);
        }
    }
}

/// The child's own last word about its end.
#[derive(Debug)]
enum Word {
    Finished(String),
    Failed(String),
}

fn read_events(tail: &mut Tail, context: &mut JobContext, last_word: &mut Option<Word>) {
    for line in tail.read().lines {
        // Anything that is no event is a message of some library that does not know better.
        let Ok(event) = serde_json::from_str::<ProgressEvent>(&line) else { continue };
        match &event {
            ProgressEvent::Finished { message } => *last_word = Some(Word::Finished(message.clone())),
            ProgressEvent::Failed { message } => *last_word = Some(Word::Failed(message.clone())),
            _ => {}
        }
        context.event(event);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Signal {
    Ask,
    Kill,
}

/// Signals the child and whatever it started.
fn signal(child: &mut Child, which: Signal) {
    #[cfg(unix)]
    if let Ok(group) = libc::pid_t::try_from(child.id()) {
        let number = if which == Signal::Kill { libc::SIGKILL } else { libc::SIGTERM };
        // SAFETY: kill has no memory effects. The child leads its own group (see `spawn`) and has
        // not been waited for, so the number is still its own.
        unsafe {
            libc::kill(-group, number);
        }
    }
    #[cfg(not(unix))]
    if which == Signal::Kill {
        // It may just have ended by itself.
        let _ = child.kill();
    }
}

/// How a process ended, in words.
pub(crate) fn exit_words(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return match signal {
            libc::SIGKILL => "the process was killed (signal 9), perhaps because memory ran out".to_owned(),
            libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE => {
                format!("the process crashed (signal {signal}), perhaps in a graphics driver; try the CPU")
            }
            libc::SIGABRT => "the process gave up (signal 6), perhaps because memory ran out".to_owned(),
            libc::SIGTERM | libc::SIGINT | libc::SIGHUP => {
                format!("the process was ended from outside (signal {signal})")
            }
            signal => format!("the process was ended by signal {signal}"),
        };
    }
    match status.code() {
        Some(code) => format!("the process ended with exit code {code}"),
        None => "the process ended without saying why".to_owned(),
    }
}

/// Whether a process with this number is there and began before `before` (seconds since 1970), so
/// that it is not another one that got the number later.
pub(crate) fn is_alive(pid: u32, before: u64) -> bool {
    #[cfg(unix)]
    {
        let Ok(number) = libc::pid_t::try_from(pid) else { return false };
        if number <= 0 {
            return false;
        }
        // SAFETY: signal 0 only asks.
        let there = unsafe { libc::kill(number, 0) } == 0
            || std::io::Error::last_os_error().raw_os_error() == Some(libc::EPERM);
        there && !is_somebody_else(pid, before)
    }
    #[cfg(not(unix))]
    {
        let _ = (pid, before);
        true
    }
}

/// On Linux `/proc` tells a dead process that nobody has waited for, and one that began too late.
/// Elsewhere nothing is known, which is no reason to call a process somebody else's.
#[cfg(unix)]
fn is_somebody_else(pid: u32, before: u64) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The name of the program stands in parentheses and may hold anything; what follows are words:
    // the state is the third of the line, the time of the start in clock ticks since boot the 22nd.
    let Some((_, rest)) = stat.rsplit_once(") ") else { return false };
    let mut words = rest.split(' ');
    if matches!(words.next(), Some("Z" | "X")) {
        return true;
    }
    let ticks = words.nth(18).and_then(|word| word.parse::<u64>().ok());
    // SAFETY: sysconf only reads a constant of the system.
    let per_second = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).unwrap_or(0);
    let (Some(ticks), Some(boot), true) = (ticks, boot_time(), per_second > 0) else { return false };
    // Clocks are set and drift; some seconds are given.
    boot + ticks / per_second > before.saturating_add(10)
}

/// When the machine started, in seconds since 1970.
#[cfg(unix)]
fn boot_time() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn now() -> u64 {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs()
    }

    #[test]
    fn a_process_is_known_by_its_number_and_its_time() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("started");
        assert!(is_alive(child.id(), now()));
        assert!(!is_alive(child.id(), now() - 1000), "it got the number of an older process");
        signal(&mut child, Signal::Kill);
        // Its own group does not exist, so it is still there; then it is killed and not waited for.
        child.kill().expect("killed");
        let deadline = Instant::now() + Duration::from_secs(10);
        while is_alive(child.id(), now()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(!is_alive(child.id(), now()), "a process that nobody waited for is dead all the same");
        let status = child.wait().expect("waited for");
        assert!(exit_words(status).contains("memory ran out"));
        assert!(!is_alive(0, now()) && !is_alive(u32::MAX, now()));
    }
}
