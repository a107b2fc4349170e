//! Where a run tells how far it is.

use boxwright_core::run::ProgressEvent;

/// Takes in what a run says while it works: a progress bar, JSON lines, a test.
pub trait ProgressSink: Send {
    /// The run says something.
    fn event(&mut self, event: &ProgressEvent);

    /// Whether a person asked the run to stop and keep what was done. Asked between steps.
    fn stop_requested(&self) -> bool {
        false
    }
}
