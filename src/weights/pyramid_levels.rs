//! The weights of a pyramid detector that was exported for phones, as a model's variables.
//!
//! Such a file has batch normalization folded into its kernels, and a tower's kernels once for each level,
//! since each level's own normalization is in them: `PredictionTower/conv2d_0/level_3/pointwise/weights`
//! beside Keras' names, `model/block_3_expand/weights`. A model has the kernel once and the
//! normalization for each level: the kernel is the first level's, and what a level's kernel is of it,
//! channel by channel, becomes that level's gamma. The function stays the same.

use std::collections::BTreeMap;

use boxwright_detection::HostTensor;

use crate::name_map::Restorable;

/// The scope of a shared predictor.
const PREDICTOR: &str = "WeightSharedConvolutionalBoxPredictor/";

/// The variables of `model` that a file of this kind gives; `None` where the file is of another kind.
///
/// Everything comes with batch normalization, so that nothing of it is left to unfold or to be read as folded.
pub(crate) fn from_levels<M: Restorable>(
    model: &M,
    values: &BTreeMap<String, HostTensor>,
) -> Option<BTreeMap<String, HostTensor>> {
    let is_of_this_kind = values.contains_key("model/Conv1/weights")
        && values.keys().any(|name| name.contains("/level_0/"))
        && !values.keys().any(|name| name.contains("/BatchNorm/"));
    if !is_of_this_kind {
        return None;
    }
    let mut given = BTreeMap::new();
    let normalized: BTreeMap<String, f32> = model.batch_norm_scopes().into_iter().collect();
    for scope in scopes(model) {
        let Some(exported) = exported_name(&scope) else { continue };
        let Some(layer) = Layer::read(values, &exported) else { continue };
        layer.put_kernels(&scope, &mut given);
        match normalized.get(&scope) {
            Some(epsilon) => put_norm(&format!("{scope}/BatchNorm"), *epsilon, None, &layer.bias, &mut given),
            None => {
                given.insert(format!("{scope}/biases"), vector(layer.bias));
            }
        }
    }
    for (scope, epsilons) in model.shared_batch_norm_scopes() {
        let Some(below) = scope.strip_prefix(PREDICTOR) else { continue };
        let level = |level: usize| Layer::read(values, &format!("{below}/level_{level}"));
        let Some(first) = level(0) else { continue };
        first.put_kernels(&scope, &mut given);
        for (i, epsilon) in epsilons.into_iter().enumerate() {
            let Some(layer) = level(i) else { continue };
            let gamma = layer.ratio_to(&first);
            put_norm(&format!("{scope}/BatchNorm/feature_{i}"), epsilon, gamma, &layer.bias, &mut given);
        }
    }
    Some(given)
}

/// The scopes of all convolutions that are not shared.
fn scopes<M: Restorable>(model: &M) -> std::collections::BTreeSet<String> {
    let kernels = ["/weights", "/depthwise_weights", "/pointwise_weights"];
    let infos = model.variable_infos().into_iter();
    infos.filter_map(|info| kernels.iter().find_map(|end| Some(info.name.strip_suffix(end)?.to_owned()))).collect()
}

/// The exported name of a layer's scope.
fn exported_name(scope: &str) -> Option<String> {
    if let Some(head) = scope.strip_prefix(PREDICTOR) {
        return match head {
            "BoxPredictor" => Some("BoxHead/level_0".to_owned()),
            "ClassPredictor" => Some("ClassHead/level_0".to_owned()),
            _ => None,
        };
    }
    let layer = scope.strip_prefix("FeatureExtractor/MobilenetV2/")?;
    if let Some(fpn) = layer.strip_prefix("fpn/") {
        return Some(if fpn.starts_with("bottom_up") { fpn.to_owned() } else { format!("top_down/{fpn}") });
    }
    Some(match layer {
        "Conv" => "model/Conv1".to_owned(),
        "Conv_1" => "model/Conv_1".to_owned(),
        _ => {
            let layer = layer.replace('/', "_");
            match layer.strip_prefix("expanded_conv_").filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
                Some(block) => format!("model/block_{block}"),
                None => format!("model/{layer}"),
            }
        }
    })
}

/// An exported layer.
struct Layer<'a> {
    depthwise: Option<&'a HostTensor>,
    dense: Option<&'a HostTensor>,
    bias: Vec<f32>,
}

impl<'a> Layer<'a> {
    fn read(values: &'a BTreeMap<String, HostTensor>, name: &str) -> Option<Self> {
        let get = |end: &str| values.get(&format!("{name}/{end}"));
        if let (Some(depthwise), Some(pointwise)) = (get("depthwise/depthwise_weights"), get("pointwise/weights")) {
            let mut bias = get("pointwise/biases")?.data.clone();
            if let Some(inner) = get("depthwise/biases") {
                pass_through(&inner.data, pointwise, &mut bias);
            }
            return Some(Self { depthwise: Some(depthwise), dense: Some(pointwise), bias });
        }
        let bias = get("biases")?.data.clone();
        let layer = Self { depthwise: get("depthwise_weights"), dense: get("weights"), bias };
        (layer.depthwise.is_some() || layer.dense.is_some()).then_some(layer)
    }

    fn put_kernels(&self, scope: &str, given: &mut BTreeMap<String, HostTensor>) {
        let separable = self.depthwise.is_some() && self.dense.is_some();
        if let Some(depthwise) = self.depthwise {
            given.insert(format!("{scope}/depthwise_weights"), depthwise.clone());
        }
        if let Some(dense) = self.dense {
            let name = if separable { "pointwise_weights" } else { "weights" };
            given.insert(format!("{scope}/{name}"), dense.clone());
        }
    }

    /// How many times the other's kernel this one is, for each output channel: the least squares of the
    /// two. A channel without weights is not a multiple of anything, and stays as it is.
    fn ratio_to(&self, other: &Self) -> Option<Vec<f32>> {
        let (ours, theirs) = (self.dense?, other.dense?);
        let channels = *ours.shape.last()?;
        if channels == 0 || ours.shape != theirs.shape {
            return None;
        }
        let mut products = vec![(0.0f64, 0.0f64); channels];
        for (i, (&a, &b)) in ours.data.iter().zip(&theirs.data).enumerate() {
            let (a, b) = (f64::from(a), f64::from(b));
            let sums = &mut products[i % channels];
            *sums = (sums.0 + a * b, sums.1 + b * b);
        }
        Some(products.into_iter().map(|(ab, bb)| if bb > 0.0 { (ab / bb) as f32 } else { 1.0 }).collect())
    }
}

/// Adds what a depthwise kernel's bias becomes behind the pointwise one, `[1, 1, in, out]`.
fn pass_through(inner: &[f32], pointwise: &HostTensor, bias: &mut [f32]) {
    let outputs = bias.len();
    if outputs == 0 || pointwise.data.len() != inner.len() * outputs {
        return;
    }
    for (weights, inner) in pointwise.data.chunks_exact(outputs).zip(inner) {
        bias.iter_mut().zip(weights).for_each(|(bias, weight)| *bias += weight * inner);
    }
}

fn vector(data: Vec<f32>) -> HostTensor {
    HostTensor { shape: vec![data.len()], data }
}

/// Normalization that multiplies by `gamma` (1 where there is none) and adds the bias.
fn put_norm(
    scope: &str,
    epsilon: f32,
    gamma: Option<Vec<f32>>,
    bias: &[f32],
    given: &mut BTreeMap<String, HostTensor>,
) {
    let full = |value: f32| vec![value; bias.len()];
    let mut put = |name: &str, data: Vec<f32>| given.insert(format!("{scope}/{name}"), vector(data));
    put("gamma", gamma.unwrap_or_else(|| full(1.0)));
    put("beta", bias.to_vec());
    put("moving_mean", full(0.0));
    put("moving_variance", full(1.0 - epsilon));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_layers() {
        let name = |layer: &str| exported_name(&format!("FeatureExtractor/MobilenetV2/{layer}"));
        assert_eq!(name("expanded_conv/project").as_deref(), Some("model/expanded_conv_project"));
        assert_eq!(name("expanded_conv_16/expand").as_deref(), Some("model/block_16_expand"));
        assert_eq!(name("fpn/smoothing_2").as_deref(), Some("top_down/smoothing_2"));
        assert_eq!(name("fpn/bottom_up_Conv2d_20").as_deref(), Some("bottom_up_Conv2d_20"));
        assert_eq!(exported_name("BoxPredictor_0/ClassPredictor"), None);
    }

    #[test]
    fn a_levels_kernel_is_a_multiple_of_the_firsts() {
        let tensor = |data: &[f32]| HostTensor { shape: vec![1, 1, 2, 2], data: data.to_vec() };
        let (first, second) = (tensor(&[1.0, 0.0, -2.0, 0.0]), tensor(&[-0.5, 0.0, 1.0, 3.0]));
        let layer = |dense| Layer { depthwise: None, dense: Some(dense), bias: vec![0.0; 2] };
        assert_eq!(layer(&second).ratio_to(&layer(&first)), Some(vec![-0.5, 1.0]));
    }

    #[test]
    fn an_inner_bias_goes_through_the_pointwise_kernel() {
        let pointwise = HostTensor { shape: vec![1, 1, 2, 3], data: vec![1.0, 2.0, 3.0, 10.0, 20.0, 30.0] };
        let mut bias = vec![0.5, 0.0, 0.0];
        pass_through(&[2.0, 1.0], &pointwise, &mut bias);
        assert_eq!(bias, [12.5, 24.0, 36.0]);
    }
}
