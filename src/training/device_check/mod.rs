//! Does a device compute what the CPU computes?
//!
//! Graphics drivers and shader compilers have bugs, and a wrong convolution does not crash: it trains a bad model. So
//! the layers of the detectors are run on the device and on the CPU, forward and backward, with the same numbers, and
//! the results are compared (`compare`). Which layers: those that the models call when they are traced (`shapes`).
//! What came out is kept for the adapter and its driver (`verdict`), and no training begins on a device whose layers
//! disagree, or that was never looked at.
//!
//! The reference of a GPU is the CPU in f32. The reference of the CPU's own kernels is burn's operators in f64 on the
//! same shapes, so a long sum, like the gradient of a weight over a large map, is measured against one without
//! rounding. Over all models the CPU is off by 1.3e-6 of the largest value at most, and by 5e-5 in the folded
//! convolutions of 9,216 products; that leaves a GPU, which sums in another order, room within the tolerance of 1e-3,
//! and an error of a tenth of a percent is still seen.

mod compare;
mod shapes;
mod verdict;

use std::collections::HashMap;
use std::time::Instant;

use boxwright_config::TemplateValues;
use boxwright_config::template::{template_names, templates};
use boxwright_core::run::ProgressEvent;
use boxwright_kernels::LayerShape;
use burn::tensor::{DType, Device};
use serde::{Deserialize, Serialize};

use crate::device::{DeviceChoice, DeviceInfo, find_device, open_device};
use crate::error::TrainingError;
use crate::progress::ProgressSink;

pub(crate) use compare::{Comparison, Side, compare};
pub use shapes::{model_shapes, quick_shapes, template_shapes};
#[cfg(test)]
pub(crate) use verdict::require_with;
pub use verdict::{Verdict, VerdictStore, first_of, require_checked};

/// The largest deviation allowed between two devices, as part of the largest value.
pub const TOLERANCE: f32 = 1e-3;

/// How many layers may crash a device before the check gives it up.
const CRASHES: usize = 3;

/// A layer and the models that have it.
type LayerOfModels = (LayerShape, Vec<&'static str>);

/// Which layers are checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckScope {
    /// A small layer of each kind.
    Quick,
    /// These, and those of one template's model.
    Model(String),
    /// These, and those of all models.
    All,
}

impl CheckScope {
    /// What a device of this kind is worth: a real GPU everything, a software adapter and the CPU the quick set.
    pub fn of(device: &DeviceInfo) -> Self {
        if device.is_gpu() { Self::All } else { Self::Quick }
    }

    /// The layers, each with the models that have it; the quick ones first, as they belong to no model.
    fn shapes(&self, sink: &mut dyn ProgressSink) -> Result<Vec<LayerOfModels>, TrainingError> {
        let mut all: Vec<LayerOfModels> = quick_shapes().into_iter().map(|shape| (shape, vec![])).collect();
        let names: Vec<&'static str> = match self {
            Self::Quick => vec![],
            Self::Model(wanted) => {
                // Its error names the templates that there are.
                TemplateValues::of(wanted)?;
                template_names().filter(|name| name == wanted).collect()
            }
            Self::All => templates().into_iter().filter(|t| t.refused.is_none()).map(|t| t.name).collect(),
        };
        let mut places: HashMap<LayerShape, usize> =
            all.iter().enumerate().map(|(place, (shape, _))| (shape.clone(), place)).collect();
        for (done, &name) in names.iter().enumerate() {
            sink.event(&progress("looking at the models", done, names.len(), None));
            for shape in template_shapes(name)? {
                let place = *places.entry(shape.clone()).or_insert(all.len());
                if place == all.len() {
                    all.push((shape, vec![]));
                }
                all[place].1.push(name);
            }
        }
        Ok(all)
    }
}

/// What became of the layers of one kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KindReport {
    /// The kind of layer.
    pub kind: &'static str,
    /// How many shapes of it were checked.
    pub shapes: usize,
    /// How many results and gradients were compared.
    pub comparisons: usize,
    /// The largest deviation, as part of the largest value; infinite where a result is none.
    pub deviation: f32,
    /// Where that was: layer and direction.
    pub place: String,
}

/// A result that is further from the CPU's than allowed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Disagreement {
    /// The layer with its shape.
    pub layer: String,
    /// `forward`, or which gradient.
    pub part: String,
    /// How far off it is, as part of the largest value; infinite where it is no number.
    pub deviation: f32,
    /// What the device said, where it gave no result at all.
    pub failure: Option<String>,
    /// The models with this layer.
    pub models: Vec<&'static str>,
}

impl std::fmt::Display for Disagreement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.failure {
            Some(failure) => write!(f, "{}, {}: {failure}", self.layer, self.part),
            None if self.deviation.is_finite() => {
                write!(f, "{}, {}: off by {:.1e} of the largest value", self.layer, self.part, self.deviation)
            }
            None => write!(f, "{}, {}: the result is no number", self.layer, self.part),
        }
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckReport {
    /// The device.
    #[serde(flatten)]
    pub device: DeviceInfo,
    /// Which layers were asked for.
    pub scope: CheckScope,
    /// What they were compared with.
    pub reference: &'static str,
    /// What is allowed.
    pub tolerance: f32,
    /// How many shapes were checked.
    pub shapes: usize,
    /// How many were to be checked.
    pub of: usize,
    /// Whether a person stopped it before the end.
    pub stopped: bool,
    /// How long it took.
    pub seconds: f64,
    /// By kind of layer, in the order in which they came.
    pub kinds: Vec<KindReport>,
    /// What is wrong.
    pub disagreements: Vec<Disagreement>,
}

impl CheckReport {
    /// Whether every layer that was checked agrees.
    pub fn agrees(&self) -> bool {
        self.disagreements.is_empty()
    }

    fn add(&mut self, shape: &LayerShape, models: &[&'static str], results: Result<Vec<Comparison>, String>) {
        self.shapes += 1;
        let kind = shape.kind();
        let place = self.kinds.iter().position(|row| row.kind == kind).unwrap_or_else(|| {
            self.kinds.push(KindReport { kind, shapes: 0, comparisons: 0, deviation: 0.0, place: String::new() });
            self.kinds.len() - 1
        });
        let row = &mut self.kinds[place];
        row.shapes += 1;
        let (results, failure) = match results {
            Ok(results) => (results, None),
            Err(why) => (vec![Comparison { part: "no result".into(), deviation: f32::INFINITY }], Some(why)),
        };
        for Comparison { part, deviation } in results {
            row.comparisons += 1;
            if deviation > row.deviation || row.place.is_empty() {
                (row.deviation, row.place) = (deviation, format!("{shape}, {part}"));
            }
            if deviation > TOLERANCE {
                self.disagreements.push(Disagreement {
                    layer: shape.to_string(),
                    part,
                    deviation,
                    failure: failure.clone(),
                    models: models.to_vec(),
                });
            }
        }
    }
}

/// Runs layers on a device and on the CPU. A person may stop it between two layers; the report says so.
///
/// # Errors
/// The device cannot be opened, or there is no such model.
pub fn check_device(
    choice: DeviceChoice,
    scope: &CheckScope,
    sink: &mut dyn ProgressSink,
) -> Result<CheckReport, TrainingError> {
    let info = find_device(choice)?;
    let (device, _) = open_device(choice)?;
    let cpu = Device::flex();
    let (reference, words) = if info.is_cpu() {
        (Side::new(&cpu, DType::F64), "burn's operators on the CPU in f64")
    } else {
        (Side::new(&cpu, DType::F32), "the CPU's kernels in f32")
    };
    let report = check_sides(info, words, &reference, &Side::new(&device, DType::F32), scope, sink);
    // What the layers took is given back to whoever works next.
    boxwright_kernels::release_unused_memory();
    report
}

/// Compares two sides.
pub(crate) fn check_sides(
    device: DeviceInfo,
    words: &'static str,
    reference: &Side<'_>,
    tested: &Side<'_>,
    scope: &CheckScope,
    sink: &mut dyn ProgressSink,
) -> Result<CheckReport, TrainingError> {
    let begin = Instant::now();
    let shapes = scope.shapes(sink)?;
    let mut report = CheckReport {
        device,
        scope: scope.clone(),
        reference: words,
        tolerance: TOLERANCE,
        shapes: 0,
        of: shapes.len(),
        stopped: false,
        seconds: 0.0,
        kinds: vec![],
        disagreements: vec![],
    };
    let mut clock = Clock::new(shapes.len(), shapes.iter().map(|(shape, _)| shape.work()).sum());
    let mut crashes = 0;
    for (place, (shape, models)) in shapes.iter().enumerate() {
        if sink.stop_requested() {
            report.stopped = true;
            break;
        }
        sink.event(&progress(&format!("checking layers, {}", shape.kind()), place, shapes.len(), clock.left()));
        let results = compare(shape, reference, tested);
        crashes += usize::from(results.is_err());
        report.add(shape, models, results);
        clock.done(shape.work());
        if crashes == CRASHES {
            break;
        }
    }
    sink.event(&progress("checking layers", report.shapes, shapes.len(), None));
    report.seconds = begin.elapsed().as_secs_f64();
    Ok(report)
}

/// How long the rest takes. Where kernels are compiled a layer costs a time of its own, elsewhere one for its work; the
/// mean of both guesses is told.
struct Clock {
    begin: Instant,
    layers: usize,
    work: f64,
    layers_done: usize,
    work_done: f64,
}

impl Clock {
    fn new(layers: usize, work: f64) -> Self {
        Self { begin: Instant::now(), layers, work, layers_done: 0, work_done: 0.0 }
    }

    fn done(&mut self, work: f64) {
        self.layers_done += 1;
        self.work_done += work;
    }

    fn left(&self) -> Option<f64> {
        let seconds = self.begin.elapsed().as_secs_f64();
        let by_layers = self.layers as f64 / self.layers_done as f64 - 1.0;
        let by_work = self.work / self.work_done - 1.0;
        (seconds > 2.0 && self.work_done > 0.0).then_some(seconds * 0.5 * (by_layers + by_work))
    }
}

fn progress(stage: &str, done: usize, total: usize, seconds_left: Option<f64>) -> ProgressEvent {
    ProgressEvent::Progress {
        stage: stage.to_owned(),
        done: done as u64,
        total: total as u64,
        seconds_left,
        rate: None,
    }
}
