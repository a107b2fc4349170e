//! Whether a pipeline config can be trained here, before anything is started.
//!
//! Two kinds of findings. What the config *asks for*: `support.rs` lists, message by message, which
//! fields the detection and training rooms honour and which change nothing here; a field that is in
//! neither list and differs from its default would be ignored, and so is refused, at its line. And
//! what the config *says about the data*: files that are missing, classes that do not fit the label
//! map, values no training can work with (`facts.rs`).

mod facts;
mod support;

pub use facts::DatasetFacts;

use boxwright_core::{Problem, Severity};

use crate::pipeline::Pipeline;
use crate::text_format::Position;

/// Everything about a config that will not work, or probably not as meant, in the order of its lines.
pub fn check(pipeline: &Pipeline, facts: &DatasetFacts) -> Vec<Problem> {
    let mut findings = Findings { pipeline, found: Vec::new() };
    support::check(&mut findings);
    facts::check(&mut findings, facts);
    findings.found.sort_by_key(|(position, _)| *position);
    findings.found.into_iter().map(|(_, problem)| problem).collect()
}

/// The most problems that one config gets; nobody reads more, and a hostile one could have a million.
const MOST_PROBLEMS: usize = 200;

/// Collects problems with their places.
struct Findings<'a> {
    pipeline: &'a Pipeline,
    found: Vec<(Option<Position>, Problem)>,
}

impl Findings<'_> {
    /// Adds a problem at the field with this path, or at the nearest block around it.
    fn add(&mut self, severity: Severity, code: &str, path: &str, message: impl Into<String>, fix: impl Into<String>) {
        if self.found.len() == MOST_PROBLEMS {
            return;
        }
        let problem = Problem {
            severity,
            code: code.into(),
            file: self.pipeline.file().into(),
            place: self.pipeline.place(path),
            message: message.into(),
            fix: fix.into(),
        };
        self.found.push((self.pipeline.position(path), problem));
    }

    fn error(&mut self, code: &str, path: &str, message: impl Into<String>, fix: impl Into<String>) {
        self.add(Severity::Error, code, path, message, fix);
    }

    fn warning(&mut self, code: &str, path: &str, message: impl Into<String>, fix: impl Into<String>) {
        self.add(Severity::Warning, code, path, message, fix);
    }
}
