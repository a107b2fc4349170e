//! TF2's checkpoints: paths through Python's objects, ending in `/.ATTRIBUTES/VARIABLE_VALUE`.
//!
//! The backbone is a functional model whose layers are numbered (`layer_with_weights-12`) in the order
//! in which Keras lists them; the graph of objects, where it can be read, tells their names as well. A
//! Faster R-CNN has two of them: its picture's network and the last block, for the proposals.
//! Everything else is lists in lists, numbered in the order in which TFOD's constructors fill them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::backbone::{Backbone, LayerKind};
use super::{keras_layers, variable_name};

/// What ends the key of a variable.
const VALUE: &str = "/.ATTRIBUTES/VARIABLE_VALUE";

/// The scope of TFOD's weight-shared predictor.
const WEIGHT_SHARED: &str = "WeightSharedConvolutionalBoxPredictor";

/// Whether this is the key of an object's variable.
pub(crate) fn is_value(key: &str) -> bool {
    key.ends_with(VALUE)
}

/// A variable's key in its parts.
struct Variable<'a> {
    key: &'a str,
    path: Vec<&'a str>,
    /// `kernel`, `gamma` and so on.
    leaf: &'a str,
    shape: &'a [usize],
}

impl<'a> Variable<'a> {
    fn parse(key: &'a str, shape: &'a [usize]) -> Option<Self> {
        let mut path: Vec<&str> = key.strip_suffix(VALUE)?.split('/').collect();
        let leaf = path.pop()?;
        Some(Self { key, path, leaf, shape })
    }

    fn is_norm(&self) -> bool {
        matches!(self.leaf, "gamma" | "beta" | "moving_mean" | "moving_variance")
    }

    fn is_kernel(&self) -> bool {
        matches!(self.leaf, "kernel" | "depthwise_kernel" | "pointwise_kernel")
    }

    /// What follows the part of the path that ends like this.
    fn after(&self, ending: &str) -> Option<&[&'a str]> {
        let place = self.path.iter().position(|part| part.trim_start_matches('_') == ending)?;
        Some(&self.path[place + 1..])
    }
}

/// TensorFlow's names of these keys, given with the shapes of their values. `full_names` are the
/// variables' own names, where the graph of objects could be read.
pub(crate) fn tensorflow_names<'a>(
    entries: &[(&'a str, &'a [usize])],
    full_names: &HashMap<String, String>,
) -> HashMap<&'a str, String> {
    let variables: Vec<Variable<'a>> = entries.iter().filter_map(|(key, shape)| Variable::parse(key, shape)).collect();
    let mut names = HashMap::new();
    let backbone = backbone_names(&variables, full_names, &mut names);
    if let Some(backbone) = backbone {
        pyramid_names(&variables, backbone, &mut names);
        extra_layer_names(&variables, backbone, &mut names);
    }
    predictor_names(&variables, &mut names);
    faster_rcnn_names(&variables, &mut names);
    names
}

type Names<'a> = HashMap<&'a str, String>;

/// Names the variables of functional models, and says which network the first is.
fn backbone_names<'a>(
    variables: &[Variable<'a>],
    full_names: &HashMap<String, String>,
    names: &mut Names<'a>,
) -> Option<Backbone> {
    let mut models: BTreeMap<&[&str], BTreeMap<usize, Vec<&Variable<'a>>>> = BTreeMap::new();
    for variable in variables {
        let Some((last, before)) = variable.path.split_last() else { continue };
        let Some(number) = last.strip_prefix("layer_with_weights-").and_then(|n| n.parse().ok()) else { continue };
        models.entry(before).or_default().entry(number).or_default().push(variable);
    }
    let mut network = None;
    for (path, layers) in &models {
        let named = by_full_names(layers, full_names).or_else(|| by_order(layers));
        let Some((backbone, scopes)) = named else { continue };
        network.get_or_insert(backbone);
        let prefix = scope_of(path);
        for (number, variables) in layers {
            let Some(scope) = scopes.get(number) else { continue };
            for variable in variables {
                let scope = format!("{prefix}{}/{scope}", backbone.scope());
                if let Some(name) = variable_name(&scope, variable.leaf) {
                    names.insert(variable.key, name);
                }
            }
        }
    }
    // The second stage of a Faster R-CNN continues the network of its first.
    if let Some(backbone @ Backbone::ResnetV1(_)) = network {
        for (path, layers) in &models {
            if path.iter().any(|part| part.contains("box_classifier_features")) {
                second_stage_names(layers, backbone, full_names, names);
            }
        }
    }
    network
}

/// What stands before the network's name in TF1.
fn scope_of(path: &[&str]) -> &'static str {
    let has = |part: &str| path.iter().any(|p| p.contains(part));
    if has("proposal_features") {
        "FirstStageFeatureExtractor/"
    } else if has("_feature_extractor") && !has("box_classifier_features") {
        "FeatureExtractor/"
    } else {
        ""
    }
}

type Scopes = BTreeMap<usize, String>;

/// The scopes of numbered layers, below the network's own, by the names that Keras gave them.
fn by_full_names(
    layers: &BTreeMap<usize, Vec<&Variable<'_>>>,
    full_names: &HashMap<String, String>,
) -> Option<(Backbone, Scopes)> {
    let known: Vec<(usize, &str)> = layers
        .iter()
        .flat_map(|(number, variables)| variables.iter().map(move |variable| (*number, variable)))
        .filter_map(|(number, variable)| Some((number, full_names.get(variable.key)?.as_str())))
        .collect();
    let texts: Vec<&str> = known.iter().map(|(_, name)| *name).collect();
    let found: BTreeSet<&str> =
        texts.iter().filter_map(|name| keras_layers::parts(name)).map(|(layer, _)| layer).collect();
    let backbone = keras_layers::detect(&found)?;
    let scope = |name| keras_layers::scope(backbone, keras_layers::parts(name)?.0);
    let scopes = known.iter().filter_map(|(number, name)| Some((*number, scope(name)?))).collect();
    Some((backbone, scopes))
}

/// What a numbered layer is, as far as its variables tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Convolution,
    Depthwise,
    Norm,
}

fn seen(variables: &[&Variable<'_>]) -> Option<Seen> {
    let has = |leaf: &str| variables.iter().any(|variable| variable.leaf == leaf);
    if has("depthwise_kernel") {
        Some(Seen::Depthwise)
    } else if has("kernel") {
        Some(Seen::Convolution)
    } else {
        has("beta").then_some(Seen::Norm)
    }
}

/// The scopes of numbered layers by their order, for a network that has layers of these kinds in it.
fn by_order(layers: &BTreeMap<usize, Vec<&Variable<'_>>>) -> Option<(Backbone, Scopes)> {
    let kinds: Vec<Seen> = (0..layers.len()).map(|i| seen(layers.get(&i)?)).collect::<Option<_>>()?;
    let networks = [Backbone::MobilenetV1, Backbone::MobilenetV2].into_iter().chain(Backbone::RESNETS);
    for backbone in networks {
        let listed = keras_order(backbone);
        // A detector may end a MobileNet early; a ResNet only at the end of a block, or its depth would be a guess.
        let ends_well = match backbone {
            Backbone::ResnetV1(units) => {
                let last = 8 + 6 * (units[3] - 1);
                kinds.len() == listed.len() || kinds.len() == listed.len() - last
            }
            _ => (12..=listed.len()).contains(&kinds.len()),
        };
        if ends_well && listed.iter().zip(&kinds).all(|((_, kind), seen)| kind == seen) {
            let scopes = listed.into_iter().take(kinds.len()).enumerate().map(|(i, (scope, _))| (i, scope)).collect();
            return Some((backbone, scopes));
        }
    }
    None
}

/// The layers with weights as Keras lists them: by depth in the graph, so that a shortcut's stand beside
/// those of the last convolution of its unit.
fn keras_order(backbone: Backbone) -> Vec<(String, Seen)> {
    let root = backbone.scope() + "/";
    let layers = backbone.layers();
    let mut listed = Vec::with_capacity(2 * layers.len());
    let mut shortcut = None;
    for layer in layers {
        let scope = layer.scope.strip_prefix(&root).unwrap_or(&layer.scope).to_owned();
        let kind = if layer.kind == LayerKind::Depthwise { Seen::Depthwise } else { Seen::Convolution };
        listed.push((scope.clone(), kind));
        if scope.ends_with("/shortcut") {
            shortcut = Some(scope);
            continue;
        }
        if let Some(shortcut) = shortcut.take() {
            listed.push((shortcut, Seen::Norm));
        }
        listed.push((scope, Seen::Norm));
    }
    listed
}

/// Names block 4, which a Faster R-CNN keeps in a functional model of its own.
fn second_stage_names<'a>(
    layers: &BTreeMap<usize, Vec<&Variable<'a>>>,
    backbone: Backbone,
    full_names: &HashMap<String, String>,
    names: &mut Names<'a>,
) {
    const BLOCK: &str = "block4/";
    let named = |variables: &Vec<&Variable<'a>>| {
        let name = variables.iter().find_map(|variable| full_names.get(variable.key))?;
        keras_layers::scope(backbone, keras_layers::parts(name)?.0).filter(|scope| scope.starts_with(BLOCK))
    };
    let by_name: Option<Vec<String>> = layers.values().map(named).collect();
    let scopes = by_name.unwrap_or_else(|| {
        keras_order(backbone).into_iter().map(|(scope, _)| scope).filter(|scope| scope.starts_with(BLOCK)).collect()
    });
    if scopes.len() != layers.len() {
        return;
    }
    for (scope, variables) in scopes.iter().zip(layers.values()) {
        for variable in variables {
            let scope = format!("SecondStageFeatureExtractor/{}/{scope}", backbone.scope());
            if let Some(name) = variable_name(&scope, variable.leaf) {
                names.insert(variable.key, name);
            }
        }
    }
}

/// Names the heads of both stages of a Faster R-CNN, and the convolution before those of the first.
fn faster_rcnn_names<'a>(variables: &[Variable<'a>], names: &mut Names<'a>) {
    for variable in variables {
        let name = faster_rcnn_scope(variable).and_then(|scope| variable_name(&scope, variable.leaf));
        if let Some(name) = name {
            names.insert(variable.key, name);
        }
    }
}

/// The scope of a layer beside the networks of a Faster R-CNN.
fn faster_rcnn_scope(variable: &Variable<'_>) -> Option<String> {
    if let Some([layer]) = variable.after("first_stage_box_predictor_first_conv") {
        // The convolution, and its batch normalization where it has one.
        return layer.starts_with("layer_with_weights-").then(|| "Conv".to_owned());
    }
    let stages = [
        ("first_stage_box_predictor", "FirstStageBoxPredictor"),
        ("mask_rcnn_box_predictor", "SecondStageBoxPredictor"),
    ];
    let (rest, stage) = stages.into_iter().find_map(|(part, stage)| Some((variable.after(part)?, stage)))?;
    let head = rest.iter().find_map(|part| match *part {
        "_box_encoder_layers" => Some("BoxEncodingPredictor"),
        "_class_predictor_layers" => Some("ClassPredictor"),
        _ => None,
    })?;
    Some(format!("{stage}/{head}"))
}

/// A place in a list.
fn number(part: Option<&&str>) -> Option<usize> {
    part?.parse::<u16>().ok().map(usize::from)
}

/// Names the layers of a feature pyramid.
fn pyramid_names<'a>(variables: &[Variable<'a>], backbone: Backbone, names: &mut Names<'a>) {
    let pyramid = |variable: &Variable<'a>, list: &str| {
        let rest = variable.after("fpn_features_generator")?;
        (*rest.first()? == list).then(|| number(rest.get(1))).flatten()
    };
    let levels =
        variables.iter().filter_map(|v| pyramid(v, "residual_blocks")).max().map_or(1, |last| last.saturating_add(2));
    for variable in variables {
        let scope = if let Some(0) = pyramid(variable, "top_layers") {
            format!("projection_{levels}")
        } else if let Some(i) = pyramid(variable, "residual_blocks") {
            format!("projection_{}", levels - 1 - i)
        } else if let Some(i) = pyramid(variable, "conv_layers").filter(|i| *i + 1 < levels) {
            format!("smoothing_{}", levels - 1 - i)
        } else if let Some(i) = variable.after("coarse_feature_layers").and_then(|rest| number(rest.first())) {
            match backbone {
                Backbone::MobilenetV1 => format!("bottom_up_Conv2d_{}", i.saturating_add(14)),
                Backbone::MobilenetV2 => format!("bottom_up_Conv2d_{}", i.saturating_add(20)),
                Backbone::ResnetV1(_) => format!("bottom_up_block{}", i.saturating_add(5)),
                Backbone::Vgg16 => continue,
            }
        } else {
            continue;
        };
        if let Some(name) = variable_name(&format!("FeatureExtractor/{}/fpn/{scope}", backbone.scope()), variable.leaf)
        {
            names.insert(variable.key, name);
        }
    }
}

/// Names the layers behind a backbone that halve what comes before them: a 1×1 convolution and a 3×3 one
/// or its two halves, each with its batch normalization after it in the list.
fn extra_layer_names<'a>(variables: &[Variable<'a>], backbone: Backbone, names: &mut Names<'a>) {
    let last = match backbone {
        Backbone::MobilenetV1 => "Conv2d_13_pointwise",
        Backbone::MobilenetV2 => "layer_19",
        _ => return,
    };
    let mut maps: BTreeMap<usize, BTreeMap<usize, Vec<&Variable<'a>>>> = BTreeMap::new();
    for variable in variables {
        let Some([list, map, layer]) = variable.after("feature_map_generator") else { continue };
        if let ("convolutions", Some(map), Some(layer)) = (*list, number(Some(map)), number(Some(layer))) {
            maps.entry(map).or_default().entry(layer).or_default().push(variable);
        }
    }
    for (map, layers) in &maps {
        let kernels: Vec<(usize, &Variable<'a>)> = layers
            .iter()
            .flat_map(|(layer, variables)| variables.iter().map(|variable| (*layer, *variable)))
            .filter(|(_, variable)| variable.is_kernel())
            .collect();
        let [(first, reduce), .., (_, widen)] = kernels.as_slice() else { continue };
        let (Some(half), Some(depth)) = (reduce.shape.get(3), widen.shape.get(3)) else { continue };
        let size = kernels.iter().filter_map(|(_, variable)| variable.shape.first()).max().unwrap_or(&3);
        let root = format!("FeatureExtractor/{}/{last}", backbone.scope());
        let mut scope = String::new();
        for (layer, variables) in layers {
            if let Some(kernel) = variables.iter().find(|variable| variable.is_kernel()) {
                scope = if layer == first {
                    format!("{root}_1_Conv2d_{map}_1x1_{half}")
                } else {
                    let depthwise = if kernel.leaf == "depthwise_kernel" { "_depthwise" } else { "" };
                    format!("{root}_2_Conv2d_{map}_{size}x{size}_s2_{depth}{depthwise}")
                };
            }
            for variable in variables.iter().filter(|_| !scope.is_empty()) {
                if let Some(name) = variable_name(&scope, variable.leaf) {
                    names.insert(variable.key, name);
                }
            }
        }
    }
}

/// Names the variables of the predictors: convolutional, with a list of heads for each feature map, or weight-shared.
fn predictor_names<'a>(variables: &[Variable<'a>], names: &mut Names<'a>) {
    let heads: Vec<(&Variable<'a>, Head)> = variables.iter().filter_map(|v| Some((v, Head::parse(v)?))).collect();
    let maps: BTreeSet<usize> = heads.iter().filter_map(|(_, head)| head.map).collect();
    // Layers whose depthwise kernel has a pointwise one beside it.
    let separable: BTreeSet<&[&str]> =
        heads.iter().filter(|(v, _)| v.leaf == "pointwise_kernel").map(|(v, _)| v.path.as_slice()).collect();
    for (variable, head) in &heads {
        let scope = match head.map {
            None => format!("{WEIGHT_SHARED}/{}", head.weight_shared_name()),
            Some(map) => {
                let predictor = if maps.len() == 1 { "BoxPredictor".to_owned() } else { format!("BoxPredictor_{map}") };
                let is_depthwise = variable.is_norm()
                    || (variable.leaf == "depthwise_kernel" && !separable.contains(variable.path.as_slice()));
                format!("{predictor}/{}{}", head.name(), if is_depthwise { "_depthwise" } else { "" })
            }
        };
        if let Some(name) = variable_name(&scope, variable.leaf) {
            names.insert(variable.key, name);
        }
    }
    tower_names(variables, names);
}

/// A layer of a head.
struct Head {
    is_box: bool,
    /// Which feature map it is for; none where it is for all.
    map: Option<usize>,
}

impl Head {
    fn parse(variable: &Variable<'_>) -> Option<Self> {
        variable.after("box_predictor")?;
        let is_list = |part: &&str| *part == "_box_encoder_layers" || *part == "_class_predictor_layers";
        let place = variable.path.iter().position(is_list)?;
        let map = place.checked_sub(1).and_then(|before| number(variable.path.get(before)));
        Some(Self { is_box: variable.path[place] == "_box_encoder_layers", map })
    }

    fn name(&self) -> &'static str {
        if self.is_box { "BoxEncodingPredictor" } else { "ClassPredictor" }
    }

    fn weight_shared_name(&self) -> &'static str {
        if self.is_box { "BoxPredictor" } else { "ClassPredictor" }
    }
}

/// Names the layers before the heads of a weight-shared predictor: their kernels are one for all feature
/// maps, their batch normalization is each map's own.
fn tower_names<'a>(variables: &[Variable<'a>], names: &mut Names<'a>) {
    let mut is_shared = false;
    for variable in variables {
        let Some([tower, i]) = variable.after("head_scope_conv_layers") else { continue };
        is_shared |= *tower == "PredictionTower";
        if let Some(i) = number(Some(i)) {
            let scope = format!("{WEIGHT_SHARED}/{tower}/conv2d_{i}");
            if let Some(name) = variable_name(&scope, variable.leaf) {
                names.insert(variable.key, name);
            }
        }
    }
    let place = |variable: &Variable<'a>| match variable.after("base_tower_layers_for_heads")? {
        [head, map, layer] if variable.is_norm() => Some((*head, number(Some(map))?, number(Some(layer))?)),
        _ => None,
    };
    let norms: BTreeSet<(&str, usize, usize)> = variables.iter().filter_map(place).collect();
    for variable in variables {
        let Some((head, map, layer)) = place(variable) else { continue };
        let i = norms.range((head, map, 0)..(head, map, layer)).count();
        let tower = match (is_shared, head) {
            (true, _) => "PredictionTower",
            (false, "box_encodings") => "BoxPredictionTower",
            (false, _) => "ClassPredictionTower",
        };
        let name = format!("{WEIGHT_SHARED}/{tower}/conv2d_{i}/BatchNorm/feature_{map}/{}", variable.leaf);
        names.insert(variable.key, name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(keys: &[(&str, &[usize])]) -> BTreeMap<String, String> {
        let keys: Vec<(String, &[usize])> = keys.iter().map(|(key, shape)| (format!("{key}{VALUE}"), *shape)).collect();
        let entries: Vec<(&str, &[usize])> = keys.iter().map(|(key, shape)| (key.as_str(), *shape)).collect();
        let found = tensorflow_names(&entries, &HashMap::new());
        found.into_iter().map(|(key, name)| (key.trim_end_matches(VALUE).to_owned(), name)).collect()
    }

    /// The keys of a functional model as Keras numbers its layers.
    fn functional(prefix: &str, backbone: Backbone) -> Vec<String> {
        let leaf = |seen| match seen {
            Seen::Convolution => "kernel",
            Seen::Depthwise => "depthwise_kernel",
            Seen::Norm => "beta",
        };
        let listed = keras_order(backbone).into_iter().enumerate();
        listed.map(|(i, (_, seen))| format!("{prefix}/layer_with_weights-{i}/{}", leaf(seen))).collect()
    }

    #[test]
    fn every_network_is_known_by_the_order_of_its_layers() {
        for backbone in [Backbone::MobilenetV1, Backbone::MobilenetV2].into_iter().chain(Backbone::RESNETS) {
            let keys = functional("model/_feature_extractor/classification_backbone", backbone);
            let entries: Vec<(&str, &[usize])> = keys.iter().map(|key| (key.as_str(), &[][..])).collect();
            let found = names(&entries);
            assert_eq!(found.len(), keys.len());
            let last = format!("FeatureExtractor/{}", backbone.layers().last().expect("a layer").scope);
            assert_eq!(found[keys.last().expect("a key")], format!("{last}/BatchNorm/beta"));
        }
    }

    #[test]
    fn a_shortcut_stands_where_keras_lists_it() {
        let order: Vec<String> = keras_order(Backbone::RESNETS[0]).into_iter().map(|(scope, _)| scope).collect();
        let unit = |name: &str| format!("block1/unit_1/bottleneck_v1/{name}");
        let wanted = ["conv1", "conv1", "conv2", "conv2", "shortcut", "conv3", "shortcut", "conv3"].map(unit);
        assert_eq!(order[2..10], wanted);
    }

    #[test]
    fn heads_of_both_predictors() {
        let box_head = "model/_box_predictor/_prediction_heads/box_encodings";
        let found = names(&[
            (&format!("{box_head}/0/_box_encoder_layers/0/depthwise_kernel"), &[]),
            (&format!("{box_head}/0/_box_encoder_layers/1/gamma"), &[]),
            (&format!("{box_head}/0/_box_encoder_layers/3/kernel"), &[]),
            (&format!("{box_head}/1/_box_encoder_layers/3/bias"), &[]),
        ]);
        let wanted = [
            "BoxPredictor_0/BoxEncodingPredictor_depthwise/depthwise_weights",
            "BoxPredictor_0/BoxEncodingPredictor_depthwise/BatchNorm/gamma",
            "BoxPredictor_0/BoxEncodingPredictor/weights",
            "BoxPredictor_1/BoxEncodingPredictor/biases",
        ];
        assert_eq!(found.values().collect::<Vec<_>>(), wanted);
        let found = names(&[
            (
                "model/_box_predictor/_prediction_heads/class_predictions_with_background/_class_predictor_layers/0/bias",
                &[],
            ),
            ("model/_box_predictor/_head_scope_conv_layers/ClassPredictionTower/1/kernel", &[]),
            ("model/_box_predictor/_base_tower_layers_for_heads/class_predictions_with_background/2/1/beta", &[]),
            ("model/_box_predictor/_base_tower_layers_for_heads/class_predictions_with_background/2/4/beta", &[]),
        ]);
        let wanted = [
            "WeightSharedConvolutionalBoxPredictor/ClassPredictionTower/conv2d_0/BatchNorm/feature_2/beta",
            "WeightSharedConvolutionalBoxPredictor/ClassPredictionTower/conv2d_1/BatchNorm/feature_2/beta",
            "WeightSharedConvolutionalBoxPredictor/ClassPredictionTower/conv2d_1/weights",
            "WeightSharedConvolutionalBoxPredictor/ClassPredictor/biases",
        ];
        assert_eq!(found.values().collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn layers_behind_the_backbone() {
        let prefix = "model/_feature_extractor";
        let mut keys = functional(&format!("{prefix}/classification_backbone"), Backbone::MobilenetV2);
        let map = format!("{prefix}/feature_map_generator/convolutions/2");
        keys.extend(["0/kernel", "1/gamma", "3/kernel", "4/gamma"].map(|end| format!("{map}/{end}")));
        let shape = |key: &str| -> &[usize] {
            if key.ends_with("/2/0/kernel") {
                &[1, 1, 1280, 256]
            } else if key.ends_with("/2/3/kernel") {
                &[3, 3, 256, 512]
            } else {
                &[]
            }
        };
        let entries: Vec<(&str, &[usize])> = keys.iter().map(|key| (key.as_str(), shape(key))).collect();
        let found = names(&entries);
        assert_eq!(
            found[&format!("{map}/1/gamma")],
            "FeatureExtractor/MobilenetV2/layer_19_1_Conv2d_2_1x1_256/BatchNorm/gamma"
        );
        assert_eq!(
            found[&format!("{map}/3/kernel")],
            "FeatureExtractor/MobilenetV2/layer_19_2_Conv2d_2_3x3_s2_512/weights"
        );
    }
}
