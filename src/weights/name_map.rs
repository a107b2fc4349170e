//! Which variables of a file go into which of a model (TFOD's `restore_map` and
//! `fine_tune_checkpoint_type`).
//!
//! - `detection`: the feature extractor (both stages' of a Faster R-CNN), under its full names; everything
//!   where `load_all_detection_checkpoint_vars` is set.
//! - `classification`: the feature extractor, from a classifier whose names lack `FeatureExtractor/`; both
//!   stages take what they have in common from the same variables.
//! - `full`: everything.
//!
//! As in TFOD, a variable that the file lacks or has in another shape keeps its first value and is
//! reported. Unlike in TFOD, a feature extractor that would stay random is an error, unless that is what
//! was asked for ([`restore_what_fits`]).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use boxwright_detection::{DetectionModel, HostTensor, LoadReport, SsdModel, VariableInfo};
use burn::module::Module;
use burn::tensor::Tensor;

use crate::error::WeightsError;
use crate::pyramid_levels::from_levels;
use crate::report::RestoreReport;

/// The scopes of feature extractors: of one stage, and of two.
const FEATURE_EXTRACTORS: [&str; 3] =
    ["FeatureExtractor/", "FirstStageFeatureExtractor/", "SecondStageFeatureExtractor/"];

/// A variable's name below its feature extractor; nothing for what belongs to none.
pub(crate) fn below_feature_extractor(name: &str) -> Option<&str> {
    FEATURE_EXTRACTORS.iter().find_map(|scope| name.strip_prefix(scope))
}

/// A model that weights can be put into.
pub trait Restorable: Module {
    /// Its variables.
    fn variable_infos(&self) -> Vec<VariableInfo>;
    /// The scope and epsilon of each layer with batch normalization.
    fn batch_norm_scopes(&self) -> Vec<(String, f32)>;
    /// The scope of each layer that several feature maps share, and the epsilon of each map's normalization.
    fn shared_batch_norm_scopes(&self) -> Vec<(String, Vec<f32>)> {
        Vec::new()
    }
    /// The values of its variables.
    fn variables(&self) -> BTreeMap<String, HostTensor>;
    /// The model with these values in place of its own.
    fn load_variables(self, values: &BTreeMap<String, HostTensor>) -> (Self, LoadReport);
    /// Runs it on pictures, RGB from 0 to 255, and shows what comes out of each convolution, by scope.
    fn observe_convolutions(&self, images: Tensor<4>, observer: &mut dyn FnMut(&str, &Tensor<4>));
}

impl Restorable for SsdModel {
    fn variable_infos(&self) -> Vec<VariableInfo> {
        self.variable_infos()
    }

    fn batch_norm_scopes(&self) -> Vec<(String, f32)> {
        self.batch_norm_scopes()
    }

    fn shared_batch_norm_scopes(&self) -> Vec<(String, Vec<f32>)> {
        self.shared_batch_norm_scopes()
    }

    fn variables(&self) -> BTreeMap<String, HostTensor> {
        self.variables()
    }

    fn load_variables(self, values: &BTreeMap<String, HostTensor>) -> (Self, LoadReport) {
        self.load_variables(values)
    }

    fn observe_convolutions(&self, images: Tensor<4>, observer: &mut dyn FnMut(&str, &Tensor<4>)) {
        self.observe_convolutions(images, observer);
    }
}

impl Restorable for DetectionModel {
    fn variable_infos(&self) -> Vec<VariableInfo> {
        self.variable_infos()
    }

    fn batch_norm_scopes(&self) -> Vec<(String, f32)> {
        self.batch_norm_scopes()
    }

    fn shared_batch_norm_scopes(&self) -> Vec<(String, Vec<f32>)> {
        match self {
            Self::Ssd(model) => model.shared_batch_norm_scopes(),
            Self::FasterRcnn(_) => Vec::new(),
        }
    }

    fn variables(&self) -> BTreeMap<String, HostTensor> {
        self.variables()
    }

    fn load_variables(self, values: &BTreeMap<String, HostTensor>) -> (Self, LoadReport) {
        self.load_variables(values)
    }

    fn observe_convolutions(&self, images: Tensor<4>, observer: &mut dyn FnMut(&str, &Tensor<4>)) {
        self.observe_convolutions(images, observer);
    }
}

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
            "fine_tune" => Err(
                "train_config.fine_tune_checkpoint_type: \"fine_tune\" is CenterNet's; \"detection\" takes the same of \
                 other detectors: the feature extractor"
                    .to_owned(),
            ),
            other => Err(format!(
                "train_config.fine_tune_checkpoint_type: \"{other}\" is not supported; use \"detection\", \"classification\" or \"full\""
            )),
        }
    }

    /// The file's name of a model's variable; `None` for those that are not asked for.
    pub(crate) fn name_in_file(self, variable: &str) -> Option<&str> {
        match self {
            Self::Full | Self::Detection { all_variables: true } => Some(variable),
            Self::Detection { all_variables: false } => below_feature_extractor(variable).map(|_| variable),
            Self::Classification => below_feature_extractor(variable),
        }
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
pub fn restore<M: Restorable>(
    model: M,
    values: &BTreeMap<String, HostTensor>,
    kind: FineTuneType,
    path: &Path,
) -> Result<(M, RestoreReport), WeightsError> {
    let (model, report) = restore_what_fits(model, values, kind);
    check_backbone(&report, values, kind, path)?;
    Ok((model, report))
}

/// Puts weights into a model, however few of them fit it.
pub fn restore_what_fits<M: Restorable>(
    model: M,
    values: &BTreeMap<String, HostTensor>,
    kind: FineTuneType,
) -> (M, RestoreReport) {
    let by_levels = from_levels(&model, values);
    let values = by_levels.as_ref().unwrap_or(values);
    let folded = is_folded(values);
    let scopes = model.batch_norm_scopes();
    let adapted =
        if folded { identity_batch_norm(&scopes, values, kind) } else { absorbed_biases(&scopes, values, kind) };
    let mut given = BTreeMap::new();
    let mut used = BTreeSet::new();
    let mut report = RestoreReport { folded, ..RestoreReport::default() };
    for info in model.variable_infos() {
        let Some(name) = kind.name_in_file(&info.name) else { continue };
        if let Some(value) = adapted.get(&info.name).or_else(|| values.get(name)) {
            given.insert(info.name.clone(), value.clone());
            used.insert(name.to_owned());
        }
        report.asked.push(info.name);
    }
    for (scope, _) in scopes.iter().filter(|_| !adapted.is_empty()) {
        used.extend(kind.name_in_file(&format!("{scope}/biases")).map(str::to_owned));
    }
    let (model, load) = model.load_variables(&given);
    report.loaded = load.loaded;
    report.wrong_shape = load.wrong_shape;
    report.missing = report.asked.iter().filter(|name| !given.contains_key(*name)).cloned().collect();
    report.left = values.keys().filter(|name| !used.contains(*name)).cloned().collect();
    (model, report)
}

/// Batch normalization that only adds the folded bias: gamma 1, mean 0, variance 1 − epsilon, beta the bias.
fn identity_batch_norm(
    scopes: &[(String, f32)],
    values: &BTreeMap<String, HostTensor>,
    kind: FineTuneType,
) -> BTreeMap<String, HostTensor> {
    let mut identity = BTreeMap::new();
    for (scope, epsilon) in scopes {
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

/// A convolution's bias before batch normalization, as Keras' ResNets have it, moves the mean: the same function.
fn absorbed_biases(
    scopes: &[(String, f32)],
    values: &BTreeMap<String, HostTensor>,
    kind: FineTuneType,
) -> BTreeMap<String, HostTensor> {
    let mut absorbed = BTreeMap::new();
    for (scope, _) in scopes {
        let variable = format!("{scope}/BatchNorm/moving_mean");
        let value = |name: &str| values.get(kind.name_in_file(name)?);
        let (Some(mean), Some(bias)) = (value(&variable), value(&format!("{scope}/biases"))) else { continue };
        if mean.shape == bias.shape {
            let data = mean.data.iter().zip(&bias.data).map(|(mean, bias)| mean - bias).collect();
            absorbed.insert(variable, HostTensor { shape: mean.shape.clone(), data });
        }
    }
    absorbed
}

/// Refuses a file that gives less than half of the network's kernels.
fn check_backbone(
    report: &RestoreReport,
    values: &BTreeMap<String, HostTensor>,
    kind: FineTuneType,
    path: &Path,
) -> Result<(), WeightsError> {
    let is_kernel = |name: &&String| below_feature_extractor(name).is_some() && name.ends_with("weights");
    let kernels = report.asked.iter().filter(is_kernel).count();
    let loaded = report.loaded.iter().filter(is_kernel).count();
    if kernels == 0 || 2 * loaded >= kernels {
        return Ok(());
    }
    let hint = if let Some((name, model, file)) = report.wrong_shape.iter().find(|(name, ..)| is_kernel(&name)) {
        format!(
            "{name} is {model:?} in the model and {file:?} in the file: are depth_multiplier and min_depth the file's?"
        )
    } else {
        let in_file = values.keys().take(3).cloned().collect::<Vec<_>>().join(", ");
        let type_hint = match kind {
            FineTuneType::Classification if values.keys().any(|name| below_feature_extractor(name).is_some()) => {
                "; fine_tune_checkpoint_type: \"detection\" would find its FeatureExtractor"
            }
            FineTuneType::Detection { .. } | FineTuneType::Full
                if report
                    .asked
                    .iter()
                    .filter_map(|name| below_feature_extractor(name))
                    .any(|name| values.contains_key(name)) =>
            {
                "; fine_tune_checkpoint_type: \"classification\" would find its network"
            }
            _ => "",
        };
        format!("the file has {in_file}, …{type_hint}")
    };
    Err(WeightsError::DoesNotFit {
        path: path.to_owned(),
        what: format!(
            "gives {loaded} of the feature extractor's {kernels} kernels; the rest would stay random: {hint} \
             (--allow-random-backbone trains all the same)"
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
        assert!(FineTuneType::from_config("fine_tune", false, false).is_err_and(|e| e.contains("CenterNet")));
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
        let second = "SecondStageFeatureExtractor/resnet_v1_50/block4/unit_1/bottleneck_v1/conv1/weights";
        assert_eq!(
            FineTuneType::Classification.name_in_file(second),
            second.strip_prefix("SecondStageFeatureExtractor/")
        );
        assert_eq!(FineTuneType::Detection { all_variables: false }.name_in_file(second), Some(second));
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
