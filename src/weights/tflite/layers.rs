//! Which layer of which network an operator of a TensorFlow Lite model is.
//!
//! Converters of TF1 keep slim's scopes in the names of tensors, among other words. Those of TF2 keep
//! other names or none: then the operators' order and kernels tell, as the MobileNets are unlike each
//! other from their fourth layer on.

use std::collections::{BTreeMap, BTreeSet};

use super::{Graph, Layer};
use crate::names::backbone::{Backbone, LayerKind};

/// Parts of tensor names that are operators or variables, and no scopes.
const NO_SCOPES: [&str; 21] = [
    "weights",
    "depthwise_weights",
    "pointwise_weights",
    "biases",
    "weights_quant",
    "Conv2D",
    "Conv2D_Fold",
    "depthwise_Fold",
    "separable_conv2d",
    "BiasAdd",
    "Relu",
    "Relu6",
    "BatchNorm",
    "BatchNorm_Fold",
    "add_fold",
    "act_quant",
    "batch_norm",
    "relu6",
    "convolution",
    "Add",
    "Identity",
];

/// TensorFlow's names for the tensors of the layers that are recognised.
pub(super) fn name(graph: &Graph) -> BTreeMap<usize, String> {
    let mut scopes: Vec<Option<String>> = graph.layers.iter().map(|layer| scope_by_names(graph, layer)).collect();
    for backbone in [Backbone::MobilenetV1, Backbone::MobilenetV2] {
        let known: BTreeSet<String> = backbone.layers().into_iter().map(|layer| layer.scope).collect();
        let strip = |scope: &str| scope.strip_prefix("FeatureExtractor/").unwrap_or(scope).to_owned();
        let named = scopes.iter().flatten().filter(|scope| known.contains(&strip(scope))).count();
        if 2 * named >= known.len() {
            return tensor_names(graph, &scopes);
        }
    }
    for backbone in [Backbone::MobilenetV1, Backbone::MobilenetV2] {
        if let Some(places) = by_order(graph, backbone) {
            for (layer, place) in backbone.layers().into_iter().zip(places) {
                scopes[place] = Some(layer.scope);
            }
            break;
        }
    }
    tensor_names(graph, &scopes)
}

fn tensor_names(graph: &Graph, scopes: &[Option<String>]) -> BTreeMap<usize, String> {
    let mut names = BTreeMap::new();
    for (layer, scope) in graph.layers.iter().zip(scopes) {
        let Some(scope) = scope else { continue };
        let kernel = if layer.is_depthwise { "depthwise_weights" } else { "weights" };
        let original = |tensor: usize| graph.dequantized.get(&tensor).copied().unwrap_or(tensor);
        names.entry(original(layer.weights)).or_insert_with(|| format!("{scope}/{kernel}"));
        if let Some(biases) = layer.biases {
            names.entry(original(biases)).or_insert_with(|| format!("{scope}/biases"));
        }
    }
    names
}

/// Slim's scope from the names of the weights and of the output.
fn scope_by_names(graph: &Graph, layer: &Layer) -> Option<String> {
    [layer.weights, layer.output].into_iter().find_map(|tensor| {
        let text = graph.names.get(tensor)?;
        // A fused operator has the names of all that went into it.
        text.split(';').find_map(|name| scope(name, layer.is_depthwise))
    })
}

/// The scope in one name, if slim made it.
fn scope(name: &str, is_depthwise: bool) -> Option<String> {
    let mut parts: Vec<&str> = name.split('/').collect();
    let end = parts.iter().position(|part| NO_SCOPES.contains(part)).unwrap_or(parts.len() - 1);
    parts.truncate(end);
    // `…/depthwise/depthwise`: the operator behind the scope of the same name.
    if parts.last() == Some(&"depthwise") && parts.len() >= 2 && parts[parts.len() - 2] == "depthwise" {
        parts.pop();
    }
    // The network's name is once its variables' scope and once its operators'.
    parts.dedup();
    let network = parts.iter().position(|part| {
        ["MobilenetV1", "MobilenetV2", "InceptionV2"].contains(part) || part.starts_with("resnet_v1_")
    });
    let predictor = parts.iter().position(|part| part.starts_with("BoxPredictor"));
    let begin = match (network, predictor) {
        (Some(at), _) if at > 0 && parts[at - 1] == "FeatureExtractor" => at - 1,
        (Some(at), _) | (None, Some(at)) => at,
        (None, None) => return None,
    };
    let scope = parts[begin..].join("/");
    let fits = scope.contains('/') && (!is_depthwise || scope.ends_with("depthwise"));
    fits.then_some(scope)
}

/// The layers that are the network's, in its order: each feeds the next, with nothing between them that has weights.
fn by_order(graph: &Graph, backbone: Backbone) -> Option<Vec<usize>> {
    let made_by: BTreeMap<usize, usize> = graph.layers.iter().enumerate().map(|(i, layer)| (layer.output, i)).collect();
    let wanted = backbone.layers();
    let mut places: Vec<usize> = Vec::with_capacity(wanted.len());
    let mut order: Vec<usize> = (0..graph.layers.len()).collect();
    order.sort_by_key(|&i| graph.layers[i].operator);
    for i in order {
        let Some(next) = wanted.get(places.len()) else { break };
        let layer = &graph.layers[i];
        let Some(&[_, height, _, channels]) = graph.shapes.get(layer.weights).map(Vec::as_slice) else { continue };
        let fits = match next.kind {
            LayerKind::Depthwise => layer.is_depthwise && height == 3,
            LayerKind::Convolution(size) => !layer.is_depthwise && height == size,
        };
        let follows = match places.last() {
            None => channels == 3,
            Some(last) => feeders(graph, &made_by, layer.input).contains(last),
        };
        if fits && follows {
            places.push(i);
        }
    }
    (places.len() == wanted.len()).then_some(places)
}

/// The layers whose outputs reach a tensor through operators without weights.
fn feeders(graph: &Graph, made_by: &BTreeMap<usize, usize>, tensor: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![tensor];
    // Sums of sums reach back no further than a block of equal size: a few steps.
    while let Some(tensor) = open.pop() {
        if seen.len() > 64 || !seen.insert(tensor) {
            continue;
        }
        match made_by.get(&tensor) {
            Some(&layer) => {
                found.insert(layer);
            }
            None => open.extend(graph.made_from.get(&tensor).into_iter().flatten()),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_of_several_converters() {
        for (name, is_depthwise, wanted) in [
            ("MobilenetV1/Conv2d_0/weights", false, Some("MobilenetV1/Conv2d_0")),
            (
                "MobilenetV1/MobilenetV1/Conv2d_12_pointwise/weights_quant/FakeQuantWithMinMaxVars",
                false,
                Some("MobilenetV1/Conv2d_12_pointwise"),
            ),
            (
                "MobilenetV1/MobilenetV1/Conv2d_13_depthwise/depthwise_Fold",
                true,
                Some("MobilenetV1/Conv2d_13_depthwise"),
            ),
            (
                "FeatureExtractor/MobilenetV1/MobilenetV1/Conv2d_0/Relu6",
                false,
                Some("FeatureExtractor/MobilenetV1/Conv2d_0"),
            ),
            (
                "FeatureExtractor/MobilenetV2/expanded_conv_3/depthwise/depthwise",
                true,
                Some("FeatureExtractor/MobilenetV2/expanded_conv_3/depthwise"),
            ),
            (
                "FeatureExtractor/MobilenetV2/expanded_conv_3/depthwise/BatchNorm/FusedBatchNormV3",
                true,
                Some("FeatureExtractor/MobilenetV2/expanded_conv_3/depthwise"),
            ),
            ("BoxPredictor_0/ClassPredictor/BiasAdd", false, Some("BoxPredictor_0/ClassPredictor")),
            ("tfl.conv_2d7", false, None),
            ("", false, None),
        ] {
            assert_eq!(scope(name, is_depthwise).as_deref(), wanted, "{name}");
        }
    }
}
