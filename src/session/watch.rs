//! How a long piece of work tells how far it is, and hears that it shall stop.

/// Watches a long piece of work. `()` watches nothing.
pub trait Watch {
    /// `done` of `total` items of a stage ("reading pictures") are done; `total` is 0 where it is not known.
    fn progress(&mut self, stage: &str, done: u64, total: u64);

    /// Whether the work shall stop and leave everything as it was.
    fn cancelled(&self) -> bool {
        false
    }
}

impl Watch for () {
    fn progress(&mut self, _stage: &str, _done: u64, _total: u64) {}
}
