//! Which variables of a file go into which of a model (TFOD's `restore_map` and
//! `fine_tune_checkpoint_type`).
//!
//! - `detection`: the feature extractor, under its full names; everything where
//!   `load_all_detection_checkpoint_vars` is set.
//! - `classification`: the feature extractor, from a classifier whose names lack `FeatureExtractor/`.
//! - `full`: everything.
//!
//! As in TFOD, a variable that the file lacks or has in another shape keeps its first value and is
//! reported. Unlike in TFOD, a feature extractor that would stay random is an error: nobody asks
//! for that.

use std::collections::BTreeMap;
use std::path::Path;

use boxwright_detection::{HostTensor, SsdModel};

use crate::error::WeightsError;

/// The scope of the feature extractor.
const FEATURE_EXTRACTOR: &str = "FeatureExtractor/";

/// What is taken from a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FineTuneType {
    /// A detector's feature extractor, or all of it.
    Detection {
        /// `load_all_detection_checkpoint_vars`.
        all_variables: bool,
    },
    /// A classifier, as the feature extractor.
    Classification,
    /// Everything.
    Full,
}

impl FineTuneType {
    /// From the fields of `train_config`. Where the type is not set, the older `from_detection_checkpoint` decides.
    ///
    /// # Errors
    /// A type that there is not.
    pub fn from_config(kind: &str, from_detection_checkpoint: bool, all_variables: bool) -> Result<Self, String> {
        match kind {
            "detection" => Ok(Self::Detection { all_variables }),
            "classification" => Ok(Self::Classification),
            "full" => Ok(Self::Full),
            "" if from_detection_checkpoint => Ok(Self::Detection { all_variables }),
            "" => Ok(Self::Classification),
            other => Err(format!(
                "train_config.fine_tune_checkpoint_type: \"{other}\" is not supported; use \"detection\", \"classification\" or \"full\""
            )),
        }
    }

    /// The file's name of a model's variable; `None` for those that are not asked for.
    fn name_in_file(self, variable: &str) -> Option<&str> {
        match self {
            Self::Full | Self::Detection { all_variables: true } => Some(variable),
            Self::Detection { all_variables: false } => variable.starts_with(FEATURE_EXTRACTOR).then_some(variable),
            Self::Classification => variable.strip_prefix(FEATURE_EXTRACTOR),
        }
    }
}

/// What became of the variables that were asked for, by the model's names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreReport {
    /// How many were asked for.
    pub asked: usize,
    /// Those that have their value from the file.
    pub loaded: Vec<String>,
    /// Those that the file lacks.
    pub missing: Vec<String>,
    /// Those of another shape: name, the model's shape, the file's.
    pub wrong_shape: Vec<(String, Vec<usize>, Vec<usize>)>,
    /// Whether batch normalization was folded into the file's weights.
    pub folded: bool,
}

impl std::fmt::Display for RestoreReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} variables loaded", self.loaded.len(), self.asked)?;
        if !self.missing.is_empty() {
            write!(f, ", {} not in the file", self.missing.len())?;
        }
        if !self.wrong_shape.is_empty() {
            write!(f, ", {} of another shape", self.wrong_shape.len())?;
        }
        Ok(())
    }
}

/// Whether batch normalization was folded into these weights: convolutions of a network have
/// biases, and nothing has batch normalization.
pub fn is_folded(values: &BTreeMap<String, HostTensor>) -> bool {
    let is_layer = |scope: &str| {
        !scope.contains("Predictor")
            && ["weights", "depthwise_weights"].iter().any(|kernel| values.contains_key(&format!("{scope}/{kernel}")))
    };
    !values.keys().any(|name| name.contains("/BatchNorm/"))
        && values.keys().filter_map(|name| name.strip_suffix("/biases")).any(is_layer)
}

/// Puts weights into a model.
///
/// Folded weights give batch normalization that does nothing but add their bias: the same function.
/// Before training they should be unfolded ([`crate::unfold_batch_norm`]).
///
/// # Errors
/// Less than half of the feature extractor's kernels are in the file in the model's shape.
pub fn restore(
    model: SsdModel,
    values: &BTreeMap<String, HostTensor>,
    kind: FineTuneType,
    path: &Path,
) -> Result<(SsdModel, RestoreReport), WeightsError> {
    let folded = is_folded(values);
    let identity = if folded { identity_batch_norm(&model, values, kind) } else { BTreeMap::new() };
    let mut given = BTreeMap::new();
    let mut report = RestoreReport { folded, ..RestoreReport::default() };
    let mut asked = Vec::new();
    for info in model.variable_infos() {
        let Some(name) = kind.name_in_file(&info.name) else { continue };
        if let Some(value) = identity.get(&info.name).or_else(|| values.get(name)) {
            given.insert(info.name.clone(), value.clone());
        }
        asked.push(info.name);
    }
    report.asked = asked.len();
    let (model, load) = model.load_variables(&given);
    report.loaded = load.loaded;
    report.wrong_shape = load.wrong_shape;
    report.missing = asked.iter().filter(|name| !given.contains_key(*name)).cloned().collect();
    check_backbone(&asked, &report, values, kind, path)?;
    Ok((model, report))
}

/// Batch normalization that only adds the folded bias: gamma 1, mean 0, variance 1 − epsilon, beta the bias.
fn identity_batch_norm(
    model: &SsdModel,
    values: &BTreeMap<String, HostTensor>,
    kind: FineTuneType,
) -> BTreeMap<String, HostTensor> {
    let mut identity = BTreeMap::new();
    for (scope, epsilon) in model.batch_norm_scopes() {
        let name = format!("{scope}/biases");
        let Some(bias) = kind.name_in_file(&name).and_then(|name| values.get(name)) else { continue };
        let full = |value: f32| HostTensor { shape: bias.shape.clone(), data: vec![value; bias.data.len()] };
        let mut put = |name: &str, value| identity.insert(format!("{scope}/BatchNorm/{name}"), value);
        put("gamma", full(1.0));
        put("beta", bias.clone());
        put("moving_mean", full(0.0));
        put("moving_variance", full(1.0 - epsilon));
    }
    identity
}

/// Refuses a file that gives less than half of the network's kernels.
fn check_backbone(
    asked: &[String],
    report: &RestoreReport,
    values: &BTreeMap<String, HostTensor>,
    kind: FineTuneType,
    path: &Path,
) -> Result<(), WeightsError> {
    let is_kernel = |name: &&String| name.starts_with(FEATURE_EXTRACTOR) && name.ends_with("weights");
    let kernels = asked.iter().filter(is_kernel).count();
    let loaded = report.loaded.iter().filter(is_kernel).count();
    if kernels == 0 || 2 * loaded >= kernels {
        return Ok(());
    }
    let hint = if let Some((name, model, file)) = report.wrong_shape.iter().find(|(name, ..)| is_kernel(&name)) {
        format!("{name} is {model:?} in the model and {file:?} in the file: is depth_multiplier the file's?")
    } else {
        let in_file = values.keys().take(3).cloned().collect::<Vec<_>>().join(", ");
        let type_hint = match kind {
            FineTuneType::Classification if values.keys().any(|name| name.starts_with(FEATURE_EXTRACTOR)) => {
                "; fine_tune_checkpoint_type: \"detection\" would find its FeatureExtractor"
            }
            FineTuneType::Detection { .. } | FineTuneType::Full
                if values.keys().any(|name| name.starts_with("MobilenetV1/")) =>
            {
                "; fine_tune_checkpoint_type: \"classification\" would find its MobilenetV1"
            }
            _ => "",
        };
        format!("the file has {in_file}, …{type_hint}")
    };
    Err(WeightsError::DoesNotFit {
        path: path.to_owned(),
        what: format!(
            "gives {loaded} of the feature extractor's {kernels} kernels; the rest would stay random: {hint}"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_follows_the_config() {
        let detection = |all_variables| FineTuneType::Detection { all_variables };
        assert_eq!(FineTuneType::from_config("detection", false, true), Ok(detection(true)));
        assert_eq!(FineTuneType::from_config("", true, false), Ok(detection(false)));
        assert_eq!(FineTuneType::from_config("", false, false), Ok(FineTuneType::Classification));
        assert_eq!(FineTuneType::from_config("full", false, false), Ok(FineTuneType::Full));
        assert!(FineTuneType::from_config("detecton", false, false).is_err_and(|e| e.contains("detecton")));
    }

    #[test]
    fn names_in_the_file() {
        let backbone = "FeatureExtractor/MobilenetV1/Conv2d_0/weights";
        let head = "BoxPredictor_0/ClassPredictor/weights";
        assert_eq!(FineTuneType::Classification.name_in_file(backbone), Some("MobilenetV1/Conv2d_0/weights"));
        assert_eq!(FineTuneType::Classification.name_in_file(head), None);
        assert_eq!(FineTuneType::Detection { all_variables: false }.name_in_file(head), None);
        assert_eq!(FineTuneType::Detection { all_variables: true }.name_in_file(head), Some(head));
        assert_eq!(FineTuneType::Full.name_in_file(backbone), Some(backbone));
    }

    #[test]
    fn folded_means_biases_and_no_batch_norm() {
        let map = |names: &[&str]| {
            let empty = HostTensor { shape: vec![0], data: vec![] };
            names.iter().map(|name| ((*name).to_owned(), empty.clone())).collect::<BTreeMap<_, _>>()
        };
        assert!(is_folded(&map(&["a/weights", "a/biases"])));
        assert!(!is_folded(&map(&["a/weights", "a/BatchNorm/beta", "b/weights", "b/biases"])));
        assert!(!is_folded(&map(&["BoxPredictor_0/ClassPredictor/weights", "BoxPredictor_0/ClassPredictor/biases"])));
        assert!(!is_folded(&map(&[])));
    }
}
