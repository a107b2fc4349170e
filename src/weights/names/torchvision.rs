//! The layers of torchvision's classifiers: ResNets, MobileNet v2, VGG-16.

use std::collections::HashMap;

use super::backbone::{Backbone, VGG_16, resnet_unit};

/// TensorFlow's names of a state dict's tensors, for those that belong to a network that is known.
pub(crate) fn tensorflow_names<'a>(names: &[&'a str]) -> HashMap<&'a str, String> {
    let has = |name: &str| names.iter().any(|n| strip(n) == name);
    let resnet = Backbone::RESNETS.into_iter().find(|network| {
        let Backbone::ResnetV1(units) = network else { return false };
        has("layer1.0.conv3.weight")
            && has(&format!("layer3.{}.conv3.weight", units[2] - 1))
            && !has(&format!("layer3.{}.conv3.weight", units[2]))
    });
    let backbone = match resnet {
        Some(network) => network,
        None if has("features.18.0.weight") && has("features.1.conv.0.0.weight") => Backbone::MobilenetV2,
        None if has("features.28.weight") && !has("features.34.weight") && !has("features.1.weight") => Backbone::Vgg16,
        None => return HashMap::new(),
    };
    let root = backbone.scope();
    let known = |name: &'a str| Some((name, format!("{root}/{}", variable(backbone, strip(name))?)));
    names.iter().filter_map(|name| known(name)).collect()
}

/// A name without what wrappers put before it.
fn strip(name: &str) -> &str {
    let name = name.strip_prefix("module.").unwrap_or(name);
    name.strip_prefix("backbone.").unwrap_or(name)
}

fn variable(backbone: Backbone, name: &str) -> Option<String> {
    let (layer, variable) = name.rsplit_once('.')?;
    let path: Vec<&str> = layer.split('.').collect();
    match backbone {
        Backbone::ResnetV1(_) => resnet(&path, variable),
        Backbone::MobilenetV2 => mobilenet_v2(&path, variable),
        Backbone::Vgg16 => vgg(&path, variable),
        Backbone::MobilenetV1 => None,
    }
}

fn batch_norm(scope: &str, variable: &str) -> Option<String> {
    let variable = match variable {
        "weight" => "gamma",
        "bias" => "beta",
        "running_mean" => "moving_mean",
        "running_var" => "moving_variance",
        _ => return None,
    };
    Some(format!("{scope}/BatchNorm/{variable}"))
}

fn resnet(path: &[&str], variable: &str) -> Option<String> {
    let layer = |scope: &str, is_norm: bool| match (is_norm, variable) {
        (true, _) => batch_norm(scope, variable),
        (false, "weight") => Some(format!("{scope}/weights")),
        (false, _) => None,
    };
    match path {
        ["conv1"] => layer("conv1", false),
        ["bn1"] => layer("conv1", true),
        [block, unit, rest @ ..] => {
            let block: usize = block.strip_prefix("layer")?.parse().ok()?;
            let unit = resnet_unit(block, unit.parse::<usize>().ok()?.checked_add(1)?);
            match rest {
                [part @ ("conv1" | "conv2" | "conv3")] => layer(&format!("{unit}/{part}"), false),
                [part @ ("bn1" | "bn2" | "bn3")] => layer(&format!("{unit}/conv{}", &part[2..]), true),
                ["downsample", "0"] => layer(&format!("{unit}/shortcut"), false),
                ["downsample", "1"] => layer(&format!("{unit}/shortcut"), true),
                _ => None,
            }
        }
        _ => None,
    }
}

fn mobilenet_v2(path: &[&str], variable: &str) -> Option<String> {
    let ["features", i, rest @ ..] = path else { return None };
    let i: usize = i.parse().ok()?;
    let (scope, is_norm) = match (i, rest) {
        (0 | 18, [part @ ("0" | "1")]) => ((if i == 0 { "Conv" } else { "Conv_1" }).to_owned(), *part == "1"),
        // The first block expands nothing: it begins with its depthwise convolution.
        (1, ["conv", "0", part]) => ("expanded_conv/depthwise".to_owned(), *part == "1"),
        (1, ["conv", part]) => ("expanded_conv/project".to_owned(), *part == "2"),
        (2..=17, ["conv", "0", part]) => (format!("expanded_conv_{}/expand", i - 1), *part == "1"),
        (2..=17, ["conv", "1", part]) => (format!("expanded_conv_{}/depthwise", i - 1), *part == "1"),
        (2..=17, ["conv", part]) => (format!("expanded_conv_{}/project", i - 1), *part == "3"),
        _ => return None,
    };
    let kernel = if scope.ends_with("depthwise") { "depthwise_weights" } else { "weights" };
    match (is_norm, variable) {
        (true, _) => batch_norm(&scope, variable),
        (false, "weight") => Some(format!("{scope}/{kernel}")),
        (false, _) => None,
    }
}

fn vgg(path: &[&str], variable: &str) -> Option<String> {
    let ["features", place] = path else { return None };
    let mut place = place.parse::<usize>().ok()?;
    let variable = match variable {
        "weight" => "weights",
        "bias" => "biases",
        _ => return None,
    };
    // Each convolution is followed by an activation, each block by a pool.
    for (block, convolutions) in VGG_16.iter().enumerate() {
        if place < 2 * convolutions {
            let number = block + 1;
            return place.is_multiple_of(2).then(|| format!("conv{number}/conv{number}_{}/{variable}", place / 2 + 1));
        }
        place = place.checked_sub(2 * convolutions + 1)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_of_each_network() {
        let resnet = |name| variable(Backbone::RESNETS[0], name);
        assert_eq!(
            resnet("layer3.5.bn2.running_var").as_deref(),
            Some("block3/unit_6/bottleneck_v1/conv2/BatchNorm/moving_variance")
        );
        assert_eq!(
            resnet("layer1.0.downsample.0.weight").as_deref(),
            Some("block1/unit_1/bottleneck_v1/shortcut/weights")
        );
        assert_eq!(resnet("bn1.num_batches_tracked"), None);
        assert_eq!(resnet("fc.weight"), None);
        let mobilenet = |name| variable(Backbone::MobilenetV2, name);
        assert_eq!(
            mobilenet("features.1.conv.0.0.weight").as_deref(),
            Some("expanded_conv/depthwise/depthwise_weights")
        );
        assert_eq!(mobilenet("features.17.conv.3.bias").as_deref(), Some("expanded_conv_16/project/BatchNorm/beta"));
        assert_eq!(mobilenet("features.18.1.weight").as_deref(), Some("Conv_1/BatchNorm/gamma"));
        let vgg = |name| variable(Backbone::Vgg16, name);
        assert_eq!(vgg("features.0.bias").as_deref(), Some("conv1/conv1_1/biases"));
        assert_eq!(vgg("features.10.weight").as_deref(), Some("conv3/conv3_1/weights"));
        assert_eq!(vgg("features.28.weight").as_deref(), Some("conv5/conv5_3/weights"));
        assert_eq!(vgg("features.4.weight"), None);
    }
}
