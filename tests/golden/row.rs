//! One row of the table: what was compared, how often, and how far off it was at most.

use std::fmt::Write as _;

/// The largest deviation of a kind of case, and what is allowed.
#[derive(Debug)]
pub struct Row {
    what: String,
    tolerance: f64,
    cases: usize,
    largest: f64,
    worst: String,
}

impl Row {
    /// A row for `what` (folder, then kind: `losses/hard_example_miner`) that fails beyond `tolerance`.
    pub fn new(what: impl Into<String>, tolerance: f64) -> Self {
        Self { what: what.into(), tolerance, cases: 0, largest: 0.0, worst: String::new() }
    }

    /// Counts a case.
    pub fn case(&mut self) {
        self.cases += 1;
    }

    /// Takes a deviation that was measured elsewhere; `place` is told where it is the largest.
    pub fn deviation(&mut self, place: impl FnOnce() -> String, deviation: f64) {
        if deviation > self.largest || (deviation.is_nan() && !self.largest.is_nan()) {
            self.largest = deviation;
            self.worst = place();
        }
    }

    /// Compares two lists: the absolute deviation of numbers up to 1, the relative one above. Both not numbers, or both
    /// the same infinity, is no deviation.
    ///
    /// # Panics
    /// If the lists differ in length.
    #[track_caller]
    pub fn compare(&mut self, name: &str, ours: &[f32], golden: &[f32]) {
        self.compare_by(name, ours, golden, |_, golden| golden.abs().max(1.0));
    }

    /// As [`compare`](Self::compare), with the absolute deviation of all numbers.
    #[track_caller]
    pub fn compare_absolute(&mut self, name: &str, ours: &[f32], golden: &[f32]) {
        self.compare_by(name, ours, golden, |_, _| 1.0);
    }

    /// As [`compare`](Self::compare), with the deviation relative to the largest number of the list.
    #[track_caller]
    pub fn compare_to_largest(&mut self, name: &str, ours: &[f32], golden: &[f32]) {
        let largest = golden.iter().filter(|v| v.is_finite()).fold(1e-3f64, |most, v| most.max(f64::from(v.abs())));
        self.compare_by(name, ours, golden, |_, _| largest);
    }

    #[track_caller]
    fn compare_by(&mut self, name: &str, ours: &[f32], golden: &[f32], unit: impl Fn(f64, f64) -> f64) {
        assert_eq!(ours.len(), golden.len(), "{}: {name}: how many numbers", self.what);
        for (i, (&a, &b)) in ours.iter().zip(golden).enumerate() {
            let same = a == b || (a.is_nan() && b.is_nan());
            let (wide_a, wide_b) = (f64::from(a), f64::from(b));
            let deviation = if same { 0.0 } else { (wide_a - wide_b).abs() / unit(wide_a, wide_b) };
            self.deviation(|| format!("{name}[{i}]: {a} instead of {b}"), deviation);
        }
    }

    /// Prints the row of the table and fails beyond the tolerance. Where there was no case the row is skipped, but it
    /// fails with the numbers beside the checkout, which have cases of every kind.
    #[track_caller]
    pub fn finish(self) {
        let (line, verdict) = self.verdict(super::is_complete());
        println!("{line}");
        if let Err(miss) = verdict {
            panic!("{miss}");
        }
    }

    fn verdict(&self, complete: bool) -> (String, Result<(), String>) {
        let Self { what, tolerance, cases, largest, worst } = self;
        let mut line = format!("parity | {what:<34} | {cases:>5} cases | {largest:>9.2e} | {tolerance:>7.0e} | ");
        if *cases == 0 {
            line.push_str("skipped: none in the golden folder");
            let miss = format!("{what}: no case was found");
            return (line, if complete { Err(miss) } else { Ok(()) });
        }
        if largest <= tolerance {
            line.push_str("ok");
            return (line, Ok(()));
        }
        let _ = write!(line, "MISSED at {worst}");
        (line, Err(format!("{what}: {worst}: off by {largest:e}, allowed are {tolerance:e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_deviation_is_kept_and_judged() {
        let mut row = Row::new("x", 0.1);
        row.case();
        row.compare("a", &[1.0, 200.0, f32::NAN], &[0.95, 201.0, f32::NAN]);
        assert!((row.largest - 0.05).abs() < 1e-6);
        assert_eq!(row.worst, "a[0]: 1 instead of 0.95");
        assert!(row.verdict(true).1.is_ok());
        row.compare_absolute("b", &[200.0], &[201.0]);
        assert!(row.verdict(true).1.is_err_and(|miss| miss.contains("b[0]")));
    }

    #[test]
    fn a_number_against_none_is_a_miss() {
        let mut row = Row::new("x", 1e9);
        row.case();
        row.compare("a", &[f32::NAN, 0.0], &[0.0, 0.0]);
        assert!(row.verdict(false).1.is_err());
    }

    #[test]
    fn nothing_compared_is_a_miss_where_there_should_be_something() {
        let row = Row::new("x", 0.1);
        assert!(row.verdict(true).1.is_err());
        assert!(row.verdict(false).0.contains("skipped"));
    }
}
