//! Which evaluation was the best, and when to stop because none has been better for long.
//!
//! All of it follows from the evaluations in `metrics.jsonl`, so a resumed run knows what the run that was
//! not killed would know.

use boxwright_core::run::{BestEvaluation, MetricKind, MetricRecord};

/// The metric by which checkpoints are compared: COCO's average precision.
pub const MAIN_METRIC: &str = "DetectionBoxes_Precision/mAP";

/// Follows the main metric over the evaluations of a run.
#[derive(Clone, Debug)]
pub(crate) struct BestTracker {
    best: Option<BestEvaluation>,
    /// The steps of the evaluations since the best one.
    since: Vec<u64>,
    last: Option<u64>,
    /// How many evaluations may pass without a better one.
    patience: Option<u64>,
}

impl BestTracker {
    /// What the evaluations among these records say.
    pub fn new(patience: Option<u64>, records: &[MetricRecord]) -> Self {
        let mut tracker = Self { best: None, since: Vec::new(), last: None, patience };
        for record in records.iter().filter(|record| record.kind == MetricKind::Eval) {
            tracker.observe(record.step, record.values.get(MAIN_METRIC).copied().flatten());
        }
        tracker
    }

    /// Takes in the main metric of an evaluation, and says whether it is the best so far. A second evaluation
    /// of the same step counts only where it is better.
    pub fn observe(&mut self, step: u64, value: Option<f64>) -> bool {
        let value = value.filter(|value| value.is_finite());
        let is_better = match (&self.best, value) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(best), Some(value)) => value > best.value,
        };
        if let Some(value) = value.filter(|_| is_better) {
            self.best = Some(BestEvaluation { step, metric: MAIN_METRIC.to_owned(), value });
            self.since.clear();
        } else if self.last != Some(step) {
            self.since.push(step);
        }
        self.last = Some(step);
        is_better
    }

    /// The best evaluation so far.
    pub fn best(&self) -> Option<&BestEvaluation> {
        self.best.as_ref()
    }

    /// Forgets the best evaluation, whose checkpoint is gone: the next one is the best then.
    pub fn forget_best(&mut self) {
        self.best = None;
    }

    /// The step of the last evaluation.
    pub fn last_step(&self) -> Option<u64> {
        self.last
    }

    /// Why the run should end here, if it should.
    pub fn exhausted(&self) -> Option<String> {
        let patience = self.patience.filter(|patience| self.since.len() as u64 >= (*patience).max(1))?;
        let best = self.best.as_ref().map_or_else(
            || format!("{MAIN_METRIC} could not be measured"),
            |best| format!("the best is step {} with {MAIN_METRIC} {:.4}", best.step, best.value),
        );
        Some(format!(
            "stopped early: no better evaluation in {patience}; {best}; --resume with a larger --early-stopping, or \
             without it, goes on"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(step: u64, value: f64) -> MetricRecord {
        MetricRecord::new(step, 0.0, MetricKind::Eval, [(MAIN_METRIC.to_owned(), value)])
    }

    #[test]
    fn the_best_is_the_first_of_equals_and_patience_ends() {
        let mut tracker = BestTracker::new(Some(2), &[]);
        assert!(!tracker.observe(10, None));
        assert!(tracker.observe(20, Some(0.25)));
        assert!(!tracker.observe(30, Some(0.25)));
        assert_eq!(tracker.exhausted(), None);
        assert!(!tracker.observe(40, Some(f64::NAN)));
        let reason = tracker.exhausted().expect("two without a better one");
        assert!(reason.contains("step 20") && reason.contains("0.2500"), "{reason}");
        assert!(tracker.observe(50, Some(0.5)));
        assert_eq!((tracker.exhausted(), tracker.best().map(|b| b.step)), (None, Some(50)));
    }

    #[test]
    fn a_resumed_run_knows_what_its_metrics_say() {
        let train = MetricRecord::new(25, 0.0, MetricKind::Train, [(MAIN_METRIC.to_owned(), 9.0)]);
        let records = [record(10, 0.5), record(20, 0.1), train, record(20, 0.1), record(30, 0.4)];
        let tracker = BestTracker::new(Some(2), &records);
        assert_eq!((tracker.best().map(|b| b.step), tracker.last_step()), (Some(10), Some(30)));
        assert!(tracker.exhausted().is_some());
        assert_eq!(BestTracker::new(Some(3), &records).exhausted(), None, "an evaluation done twice counts once");
        assert_eq!(BestTracker::new(None, &records).exhausted(), None);
    }
}
