//! Whether a pipeline config can be trained here, before anything is started.
//!
//! Three kinds of findings. What the config *asks for*: `check/table.rs` says of each field whether it is
//! honoured, approximated or refused. What the config *says itself*: values no training can work with
//! (`check/ranges.rs`), parts that do not fit each other (`check/model.rs`, `check/train.rs`), fields given
//! twice (`check/repeats.rs`). And what it says *about the data* and the machine: files and shards, classes
//! against label map and records (`check/data.rs`), anchors against boxes (`check/anchors.rs`), memory
//! (`check/memory.rs`).

mod anchors;
mod data;
mod facts;
mod faster_rcnn;
mod memory;
mod model;
mod network;
mod ranges;
mod repeats;
mod support;
mod table;
mod train;

pub use anchors::{AnchorGroup, AnchorProposal, AnchorReport, anchor_report};
pub use facts::{BoxFact, DatasetFacts, DeviceMemory, LabelFact, RecordFacts};
pub use memory::{MemoryEstimate, memory_estimate};
pub use support::{FieldVerdict, Verdict, verdict_of, verdicts};

use boxwright_core::{Problem, Severity};

use crate::pipeline::Pipeline;
use crate::text_format::Position;

/// Everything about a config that will not work, or probably not as meant, in the order of its lines.
pub fn check(pipeline: &Pipeline, facts: &DatasetFacts) -> Vec<Problem> {
    let mut findings = Findings { pipeline, found: Vec::new() };
    repeats::check(&mut findings);
    support::check(&mut findings);
    ranges::check(&mut findings);
    model::check(&mut findings);
    train::check(&mut findings, facts);
    data::check(&mut findings, facts);
    anchors::check(&mut findings, facts);
    memory::check(&mut findings, facts);
    findings.in_order()
}

/// What is worth knowing of a config that has nothing wrong with it: epochs, memory, how the anchors fit.
pub fn outlook(pipeline: &Pipeline, facts: &DatasetFacts) -> Vec<Problem> {
    let mut findings = Findings { pipeline, found: Vec::new() };
    let config = &pipeline.config;
    let train = config.train_config.clone().unwrap_or_default();
    let images = facts.train_images.filter(|images| *images > 0);
    if let (Some(images), 1..) = (images, train.num_steps()) {
        let epochs = f64::from(train.num_steps()) * f64::from(train.batch_size()) / images as f64;
        let message = format!(
            "{} steps of {} images are {epochs:.1} epochs of {images} images",
            train.num_steps(),
            train.batch_size()
        );
        findings.info("epochs", "train_config.num_steps", message, "");
    }
    if let Some(memory) = memory_estimate(config, facts) {
        let message = format!(
            "training will need about {} (an estimate), of which {} for each image of the batch",
            memory::words(memory.total()),
            memory::words(memory.per_image)
        );
        findings.info("memory-estimate", "train_config.batch_size", message, "");
    }
    if let Some(report) = anchor_report(config, facts) {
        let message = format!(
            "{} of {} boxes overlap an anchor by {} or more; the best overlap of a box is {:.2} in the mean",
            report.boxes - report.unmatched,
            report.boxes,
            report.threshold,
            report.mean_best_iou
        );
        let fix = report.proposal.map_or(String::new(), |proposal| {
            format!("{} would match {}", proposal.to_text(), report.boxes - proposal.unmatched)
        });
        findings.info("anchors-fit", "model", message, fix);
    }
    if let Some(labels) = data::labels_of(config, facts) {
        let gaps = data::gaps(&labels);
        if !gaps.is_empty() {
            let listed = gaps.iter().take(12).map(u32::to_string).collect::<Vec<_>>().join(", ");
            let more = if gaps.len() > 12 { format!(" and {} more", gaps.len() - 12) } else { String::new() };
            let message =
                format!("no class has the id {listed}{more}; their columns learn nothing, which costs a little");
            findings.info("label-gap", "train_input_reader.label_map_path", message, "");
        }
    }
    findings.in_order()
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
        // What is missing in a block that is refused or doubted as a whole is not missed.
        let in_vain = code == "missing-field" && (support::stands_in_refused(path) || self.stands_in_doubt(path));
        if self.found.len() == MOST_PROBLEMS || in_vain {
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

    /// Whether a block around the field took the place of another choice, probably by mistake.
    fn stands_in_doubt(&self, path: &str) -> bool {
        let blocks = path.match_indices('.').map(|(end, _)| self.pipeline.place(&path[..end]));
        let doubted = |place: &String| self.found.iter().any(|(_, p)| p.code == "oneof-twice" && p.place == *place);
        self.found.iter().any(|(_, problem)| problem.code == "oneof-twice") && blocks.into_iter().any(|b| doubted(&b))
    }

    fn error(&mut self, code: &str, path: &str, message: impl Into<String>, fix: impl Into<String>) {
        self.add(Severity::Error, code, path, message, fix);
    }

    fn warning(&mut self, code: &str, path: &str, message: impl Into<String>, fix: impl Into<String>) {
        self.add(Severity::Warning, code, path, message, fix);
    }

    fn info(&mut self, code: &str, path: &str, message: impl Into<String>, fix: impl Into<String>) {
        self.add(Severity::Info, code, path, message, fix);
    }

    fn in_order(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|(position, _)| *position);
        self.found.into_iter().map(|(_, problem)| problem).collect()
    }
}
