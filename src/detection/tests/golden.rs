//! Reading the golden numbers: `$BOXWRIGHT_GOLDEN`, else `../shared/golden` beside the checkout.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The folder of golden numbers; `None`, with a line that says so, where there is none.
pub(super) fn folder() -> Option<PathBuf> {
    let found = match std::env::var_os("BOXWRIGHT_GOLDEN") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/golden"),
    };
    if found.is_dir() {
        return Some(found);
    }
    println!("skipped: no ../shared here");
    None
}

/// The parsed `.json` files of a folder whose names begin with `prefix`, with their names.
pub(super) fn cases(folder: &str, prefix: &str) -> Vec<(String, Value)> {
    let Some(root) = self::folder() else { return Vec::new() };
    let Ok(entries) = std::fs::read_dir(root.join(folder)) else {
        println!("skipped: no {folder} in the golden folder");
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with(prefix) && name.ends_with(".json") {
            let text = std::fs::read_to_string(&file).expect("a readable golden file");
            cases.push((name, serde_json::from_str(&text).expect("golden files are JSON")));
        }
    }
    cases
}

/// A number, written as one or as the name of one that JSON lacks.
pub(super) fn number(value: &Value) -> f32 {
    match value {
        Value::String(name) => match name.as_str() {
            "Infinity" => f32::INFINITY,
            "-Infinity" => f32::NEG_INFINITY,
            _ => f32::NAN,
        },
        _ => value.as_f64().expect("a number") as f32,
    }
}

/// All numbers of a nested list, in order.
pub(super) fn numbers(value: &Value) -> Vec<f32> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        other => vec![number(other)],
    }
}

/// A list of boxes or codes.
pub(super) fn boxes(value: &Value) -> Vec<[f32; 4]> {
    numbers(value).chunks_exact(4).map(|c| [c[0], c[1], c[2], c[3]]).collect()
}

/// A list of whole numbers.
pub(super) fn integers(value: &Value) -> Vec<i64> {
    value.as_array().expect("a list").iter().map(|v| v.as_i64().expect("a whole number")).collect()
}

/// The lengths of a nested list's axes.
pub(super) fn shape(value: &Value) -> Vec<usize> {
    let mut shape = Vec::new();
    let mut at = value;
    while let Value::Array(items) = at {
        shape.push(items.len());
        match items.first() {
            Some(first) => at = first,
            None => break,
        }
    }
    shape
}

/// The largest deviation of a kind of case, and what is allowed.
pub(super) struct Row {
    what: &'static str,
    tolerance: f32,
    cases: usize,
    largest: f32,
    worst: String,
}

impl Row {
    pub(super) fn new(what: &'static str, tolerance: f32) -> Self {
        Self { what, tolerance, cases: 0, largest: 0.0, worst: String::new() }
    }

    /// Counts a case.
    pub(super) fn case(&mut self) {
        self.cases += 1;
    }

    /// Compares two lists: the absolute deviation, relative above 1. Both not numbers, or both the
    /// same infinity, is no deviation.
    pub(super) fn compare(&mut self, name: &str, ours: &[f32], golden: &[f32]) {
        assert_eq!(ours.len(), golden.len(), "{}: {name}: length", self.what);
        for (i, (&a, &b)) in ours.iter().zip(golden).enumerate() {
            let deviation = if a == b || (a.is_nan() && b.is_nan()) { 0.0 } else { (a - b).abs() / b.abs().max(1.0) };
            if deviation > self.largest || deviation.is_nan() {
                self.largest = deviation;
                self.worst = format!("{name}[{i}]: {a} instead of {b}");
            }
        }
    }

    /// Prints the row of the table and fails beyond the tolerance.
    pub(super) fn finish(self) {
        let Self { what, tolerance, cases, largest, worst } = self;
        println!("{what} | {cases} | {largest:.3e} | {tolerance:.0e}");
        assert!(largest <= tolerance, "{what}: {worst}");
        assert!(cases > 0 || folder().is_none(), "{what}: no cases found");
    }
}
