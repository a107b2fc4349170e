//! What goes to the terminal: progress, tables, errors.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use boxwright_core::Problem;
use boxwright_core::run::ProgressEvent;
use boxwright_session::Watch;
use boxwright_training::progress::ProgressSink;
use indicatif::{ProgressBar, ProgressStyle};

/// How progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ProgressMode {
    /// A bar on standard error where that is a terminal, else a line now and then
    #[default]
    Bar,
    /// One JSON object a line on standard output
    Json,
    /// Nothing
    None,
}

/// Shows progress as asked, and listens for Ctrl+C.
pub struct Progress {
    mode: ProgressMode,
    bar: Option<ProgressBar>,
    last_tenth: Option<(String, u64)>,
    stop: Arc<AtomicBool>,
}

impl Progress {
    /// Progress in this mode. The first Ctrl+C asks the work to stop and keep what was done; the
    /// second ends the process.
    pub fn new(mode: ProgressMode) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        // A second handler in one process is refused; the first one then keeps working.
        drop(ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
            eprintln!("stopping after this step; press Ctrl+C again to stop at once");
        }));
        Self { mode, bar: None, last_tenth: None, stop }
    }

    /// Takes the bar away, so that what follows starts on a clean line.
    pub fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn show_bar(&mut self, stage: &str, done: u64, total: u64, rate: Option<f64>, left: Option<f64>) {
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::new(total);
            let style = ProgressStyle::with_template("{msg} {wide_bar:.blue} {pos}/{len} {prefix}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        bar.set_length(total);
        bar.set_position(done);
        bar.set_message(stage.to_owned());
        bar.set_prefix(rate_and_time(rate, left));
        if total > 0 && done >= total {
            self.clear();
        }
    }

    /// A line at the start of a stage and at each tenth of it, for logs.
    fn show_line(&mut self, stage: &str, done: u64, total: u64, rate: Option<f64>, left: Option<f64>) {
        let tenth = (done * 10).checked_div(total).unwrap_or(done / 1000);
        let kind = stage.split(',').next().unwrap_or(stage).to_owned();
        if self.last_tenth.as_ref() == Some(&(kind.clone(), tenth)) {
            return;
        }
        self.last_tenth = Some((kind, tenth));
        match total {
            0 => eprintln!("{stage}"),
            _ => eprintln!("{stage}: {done}/{total} {}", rate_and_time(rate, left)),
        }
    }
}

impl ProgressSink for Progress {
    fn event(&mut self, event: &ProgressEvent) {
        match self.mode {
            ProgressMode::Json => print_json_line(event),
            ProgressMode::None => {}
            ProgressMode::Bar => match event {
                ProgressEvent::Progress { stage, done, total, seconds_left, rate } => {
                    if std::io::stderr().is_terminal() {
                        self.show_bar(stage, *done, *total, *rate, *seconds_left);
                    } else {
                        self.show_line(stage, *done, *total, *rate, *seconds_left);
                    }
                }
                ProgressEvent::Warning { message } => {
                    self.clear();
                    eprintln!("{message}");
                }
                ProgressEvent::Metric(_) | ProgressEvent::Finished { .. } | ProgressEvent::Failed { .. } => {}
            },
        }
    }

    fn stop_requested(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Watch for Progress {
    fn progress(&mut self, stage: &str, done: u64, total: u64) {
        self.event(&ProgressEvent::Progress { stage: stage.to_owned(), done, total, seconds_left: None, rate: None });
    }

    fn cancelled(&self) -> bool {
        self.stop_requested()
    }
}

/// "12.3/s, 4 min left".
fn rate_and_time(rate: Option<f64>, left: Option<f64>) -> String {
    let rate = rate.filter(|r| r.is_finite()).map(|r| format!("{r:.1}/s"));
    let left = left
        .filter(|l| l.is_finite())
        .map(|l| format!("{} left", duration_words(Duration::from_secs_f64(l.clamp(0.0, 1e9)))));
    [rate, left].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// A duration as people say it: "8.2 s", "4 min 10 s", "2 h 5 min".
pub fn duration_words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Prints one JSON object as a line on standard output.
pub fn print_json_line(value: &impl serde::Serialize) {
    if let Ok(line) = serde_json::to_string(value) {
        let mut out = std::io::stdout().lock();
        // The reader may have gone; the work goes on without it.
        drop(writeln!(out, "{line}").and_then(|()| out.flush()));
    }
}

/// Prints a value as indented JSON on standard output.
///
/// # Errors
/// Standard output is closed.
pub fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}

/// Prints findings on standard error, the first hundred of them.
pub fn print_problems(problems: &[Problem]) {
    const SHOWN: usize = 100;
    for problem in problems.iter().take(SHOWN) {
        eprintln!("{problem}");
    }
    if problems.len() > SHOWN {
        eprintln!("… and {} more; `boxwright check --json` lists all of a data set", problems.len() - SHOWN);
    }
}

/// Prints an error with its causes on standard error.
pub fn report(error: &anyhow::Error) {
    eprintln!("error: {error}");
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // Errors that show their cause in their own sentence need no second one.
        if !error.to_string().contains(&cause) {
            eprintln!("  because: {cause}");
        }
    }
}

/// Runs a job, and with `--progress json` ends it with a line that says how it went.
///
/// # Errors
/// The job's own.
pub fn job<T>(
    mode: ProgressMode,
    work: impl FnOnce(&mut Progress) -> anyhow::Result<(T, String)>,
) -> anyhow::Result<(T, String)> {
    let mut progress = Progress::new(mode);
    let result = work(&mut progress);
    progress.clear();
    if mode == ProgressMode::Json {
        print_json_line(&match &result {
            Ok((_, message)) => ProgressEvent::Finished { message: message.clone() },
            Err(error) => ProgressEvent::Failed { message: format!("{error:#}") },
        });
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_as_people_say_them() {
        let say = |s: f64| duration_words(Duration::from_secs_f64(s));
        assert_eq!(say(8.25), "8.2 s");
        assert_eq!(say(59.9), "59 s");
        assert_eq!(say(250.0), "4 min 10 s");
        assert_eq!(say(7500.0), "2 h 5 min");
    }
}
