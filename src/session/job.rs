//! Long pieces of work: one thread each, which tells its news over one channel.
//!
//! A thread either works itself (an import, the writing of records) or looks after a child process
//! (training, evaluation). [`crate::Session::poll`] takes the news in; nothing here ever waits for a
//! job. What belongs to a project is changed by the thread through its own connection to the
//! database, in one transaction, so that a job that ends in the middle leaves nothing behind.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use boxwright_core::Problem;
use boxwright_core::run::ProgressEvent;

use crate::watch::Watch;

/// News come at most this often from a job; a window needs no more.
const NEWS_EVERY: Duration = Duration::from_millis(50);

/// So many warnings of a job are kept.
const MAX_WARNINGS: usize = 200;

/// The number of a job in this session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// What a job does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobKind {
    /// Adding pictures.
    AddImages,
    /// Bringing in annotations.
    Import,
    /// Training a run, the writing of its records included.
    Train {
        /// The run.
        run: String,
    },
    /// Measuring a run.
    Evaluate {
        /// The run.
        run: String,
    },
}

impl JobKind {
    /// The run that the job works on.
    pub fn run(&self) -> Option<&str> {
        match self {
            Self::Train { run } | Self::Evaluate { run } => Some(run),
            Self::AddImages | Self::Import => None,
        }
    }
}

/// How a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// It is at work.
    Running,
    /// A person asked it to stop, and it is about to.
    Stopping,
    /// It did what it was asked.
    Finished,
    /// A person stopped it.
    Stopped,
    /// It could not go on; the message says why.
    Failed,
}

impl JobState {
    /// Whether the job is still there.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Stopping)
    }
}

/// What the window shows of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobView {
    /// Its number.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// What it is at: "reading pictures", "training".
    pub stage: String,
    /// How many items of the stage are done.
    pub done: u64,
    /// How many there are; 0 where that is not known.
    pub total: u64,
    /// Items a second.
    pub rate: Option<f64>,
    /// Seconds until the stage is done.
    pub seconds_left: Option<f64>,
    /// The result, or why it failed.
    pub message: String,
    /// What it warned of.
    pub warnings: Vec<String>,
    /// What an import found wrong.
    pub problems: Vec<Problem>,
    /// How it stands.
    pub state: JobState,
}

/// The end of a job.
#[derive(Debug)]
pub(crate) struct JobEnd {
    pub state: JobState,
    pub message: String,
    pub problems: Vec<Problem>,
}

impl JobEnd {
    pub fn finished(message: impl Into<String>) -> Self {
        Self { state: JobState::Finished, message: message.into(), problems: Vec::new() }
    }

    pub fn failed(message: impl Into<String>) -> Self {
        Self { state: JobState::Failed, message: message.into(), problems: Vec::new() }
    }

    pub fn stopped(message: impl Into<String>) -> Self {
        Self { state: JobState::Stopped, message: message.into(), problems: Vec::new() }
    }
}

#[derive(Debug)]
enum JobNews {
    Event(ProgressEvent),
    End(JobEnd),
}

/// Called when there is something for [`crate::Session::poll`] to take in, from any thread.
#[derive(Clone, Default)]
pub(crate) struct Waker(Arc<Mutex<Option<Wake>>>);

/// What a window does to be called again.
type Wake = Box<dyn Fn() + Send>;

impl Waker {
    pub fn set(&self, wake: impl Fn() + Send + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(wake));
    }

    pub fn wake(&self) {
        if let Some(wake) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            wake();
        }
    }
}

impl std::fmt::Debug for Waker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waker")
    }
}

/// What a job's thread has of the session.
#[derive(Debug)]
pub(crate) struct JobContext {
    id: JobId,
    sender: Sender<(JobId, JobNews)>,
    stop: Arc<AtomicBool>,
    left: Arc<AtomicBool>,
    wake: Waker,
    stage: String,
    stage_began: Instant,
    last_news: Option<Instant>,
}

impl JobContext {
    /// Passes an event on. Progress may be left out when it comes faster than anyone looks.
    pub fn event(&mut self, event: ProgressEvent) {
        if let ProgressEvent::Progress { stage, done, total, .. } = &event {
            let same_stage = self.stage == *stage;
            let recent = self.last_news.is_some_and(|at| at.elapsed() < NEWS_EVERY);
            if same_stage && recent && done != total {
                return;
            }
            if !same_stage {
                self.stage.clone_from(stage);
            }
            self.last_news = Some(Instant::now());
        }
        self.send(JobNews::Event(event));
    }

    /// Whether a person asked the job to stop.
    pub fn stop_requested(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Whether the session is gone: nobody listens any more.
    pub fn left_alone(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }

    fn send(&self, news: JobNews) {
        // The session may be gone; then nobody needs the news.
        let _ = self.sender.send((self.id, news));
        self.wake.wake();
    }
}

impl Watch for JobContext {
    fn progress(&mut self, stage: &str, done: u64, total: u64) {
        if self.stage != stage {
            self.stage_began = Instant::now();
        }
        let seconds = self.stage_began.elapsed().as_secs_f64();
        let rate = (done > 0 && seconds > 0.5).then(|| done as f64 / seconds);
        let seconds_left = rate.filter(|_| total > 0).map(|rate| total.saturating_sub(done) as f64 / rate);
        self.event(ProgressEvent::Progress { stage: stage.to_owned(), done, total, seconds_left, rate });
    }

    fn cancelled(&self) -> bool {
        self.stop_requested() || self.left_alone()
    }
}

/// All jobs of a session.
#[derive(Debug)]
pub(crate) struct Jobs {
    views: Vec<JobView>,
    stops: Vec<(JobId, Arc<AtomicBool>)>,
    next: u64,
    sender: Sender<(JobId, JobNews)>,
    receiver: Receiver<(JobId, JobNews)>,
    left: Arc<AtomicBool>,
    wake: Waker,
}

impl Jobs {
    pub fn new(wake: Waker) -> Self {
        let (sender, receiver) = channel();
        Self { views: Vec::new(), stops: Vec::new(), next: 1, sender, receiver, left: Arc::default(), wake }
    }

    pub fn views(&self) -> &[JobView] {
        &self.views
    }

    /// Whether a job of a run is at work.
    pub fn is_busy(&self, run: &str) -> bool {
        self.views.iter().any(|job| job.state.is_active() && job.kind.run() == Some(run))
    }

    /// Starts a thread for `work`.
    pub fn start(
        &mut self,
        kind: JobKind,
        stage: &str,
        work: impl FnOnce(&mut JobContext) -> JobEnd + Send + 'static,
    ) -> JobId {
        let id = JobId(self.next);
        self.next += 1;
        let stop = Arc::new(AtomicBool::new(false));
        self.stops.push((id, Arc::clone(&stop)));
        self.views.push(JobView {
            id,
            kind,
            stage: stage.to_owned(),
            done: 0,
            total: 0,
            rate: None,
            seconds_left: None,
            message: String::new(),
            warnings: Vec::new(),
            problems: Vec::new(),
            state: JobState::Running,
        });
        let mut context = JobContext {
            id,
            sender: self.sender.clone(),
            stop,
            left: Arc::clone(&self.left),
            wake: self.wake.clone(),
            stage: String::new(),
            stage_began: Instant::now(),
            last_news: None,
        };
        std::thread::spawn(move || {
            // A panic in a worker is a defect; it must end the job and not the news of it.
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&mut context)));
            let end =
                result.unwrap_or_else(|_| JobEnd::failed("an internal error stopped the work; nothing was changed"));
            context.send(JobNews::End(end));
        });
        id
    }

    /// Asks a job to stop; false where it has ended.
    pub fn stop(&mut self, id: JobId) -> bool {
        let Some(view) = self.views.iter_mut().find(|job| job.id == id && job.state.is_active()) else { return false };
        view.state = JobState::Stopping;
        if let Some((_, stop)) = self.stops.iter().find(|(job, _)| *job == id) {
            stop.store(true, Ordering::Relaxed);
        }
        true
    }

    /// Takes a job that has ended out of the list; false where it is at work.
    pub fn dismiss(&mut self, id: JobId) -> bool {
        let before = self.views.len();
        self.views.retain(|job| job.id != id || job.state.is_active());
        self.views.len() < before
    }

    /// Takes the news in: whether there were any, and the jobs that ended.
    pub fn poll(&mut self) -> (bool, Vec<JobId>) {
        let (mut changed, mut ended) = (false, Vec::new());
        while let Ok((id, news)) = self.receiver.try_recv() {
            let Some(view) = self.views.iter_mut().find(|job| job.id == id) else { continue };
            changed = true;
            match news {
                JobNews::Event(event) => take_event(view, event),
                JobNews::End(end) => {
                    view.state = end.state;
                    view.message = end.message;
                    view.problems = end.problems;
                    view.seconds_left = None;
                    self.stops.retain(|(job, _)| *job != id);
                    ended.push(id);
                }
            }
        }
        (changed, ended)
    }

    /// Forgets all jobs (dropping them tells their threads). Threads that work themselves stop and leave everything as it was; child
    /// processes go on without us.
    pub fn leave(&mut self) {
        let mut new = Self::new(self.wake.clone());
        new.next = self.next;
        *self = new;
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.left.store(true, Ordering::Relaxed);
    }
}

fn take_event(view: &mut JobView, event: ProgressEvent) {
    match event {
        ProgressEvent::Progress { stage, done, total, seconds_left, rate } => {
            view.stage = stage;
            view.done = done;
            view.total = total;
            view.seconds_left = seconds_left.filter(|s| s.is_finite() && *s >= 0.0);
            view.rate = rate.filter(|r| r.is_finite());
        }
        ProgressEvent::Warning { message } => {
            if view.warnings.len() < MAX_WARNINGS {
                view.warnings.push(message);
            }
        }
        // Numbers are read from the run directory, where they outlive the job; the end comes with
        // the end of the process.
        ProgressEvent::Metric(_) | ProgressEvent::Finished { .. } | ProgressEvent::Failed { .. } => {}
    }
}
