//! The layers of Keras' own classifiers, by name.

use std::collections::{BTreeSet, HashMap};

use super::backbone::{Backbone, VGG_16, resnet_unit};
use super::variable_name;

/// TensorFlow's names of variables like `…/block_1_expand/kernel:0`, for those that belong to a network that is known.
/// Keras repeats a layer's name around its variables; only the last two parts count.
pub(crate) fn tensorflow_names<'a>(names: &[&'a str]) -> HashMap<&'a str, String> {
    let layers: BTreeSet<&str> = names.iter().filter_map(|name| Some(parts(name)?.0)).collect();
    let Some(backbone) = detect(&layers) else { return HashMap::new() };
    let root = backbone.scope();
    let known = |name: &'a str| {
        let (layer, variable) = parts(name)?;
        let scope = scope(backbone, layer)?;
        Some((name, variable_name(&format!("{root}/{scope}"), variable)?))
    };
    names.iter().filter_map(|name| known(name)).collect()
}

/// Layer and variable.
pub(super) fn parts(name: &str) -> Option<(&str, &str)> {
    let name = name.split_once(':').map_or(name, |(name, _)| name);
    let (layer, variable) = name.rsplit_once('/')?;
    Some((layer.rsplit('/').next().unwrap_or(layer), variable))
}

/// Which network has these layers.
pub(super) fn detect(layers: &BTreeSet<&str>) -> Option<Backbone> {
    if layers.contains("conv_dw_1") && layers.contains("conv_pw_13") {
        return Some(Backbone::MobilenetV1);
    }
    if layers.contains("expanded_conv_depthwise") && layers.contains("block_16_project") {
        return Some(Backbone::MobilenetV2);
    }
    if layers.contains("block5_conv3") && !layers.contains("block5_conv4") {
        return Some(Backbone::Vgg16);
    }
    let has = |block: usize, unit: usize| layers.contains(format!("conv{}_block{unit}_1_conv", block + 1).as_str());
    Backbone::RESNETS.into_iter().find(|network| {
        let Backbone::ResnetV1(units) = network else { return false };
        // A detector keeps its last block elsewhere.
        (1..=3).all(|block| has(block, units[block - 1]) && !has(block, units[block - 1] + 1))
    })
}

/// The scope of a layer below its network's.
pub(super) fn scope(backbone: Backbone, layer: &str) -> Option<String> {
    match backbone {
        Backbone::MobilenetV1 => mobilenet_v1(layer),
        Backbone::MobilenetV2 => mobilenet_v2(layer),
        Backbone::ResnetV1(_) => resnet(layer),
        Backbone::Vgg16 => {
            let (block, convolution) = layer.strip_prefix("block")?.split_once("_conv")?;
            let (block, convolution): (usize, usize) = (block.parse().ok()?, convolution.parse().ok()?);
            let fits = VGG_16.get(block.checked_sub(1)?).is_some_and(|count| (1..=*count).contains(&convolution));
            fits.then(|| format!("conv{block}/conv{block}_{convolution}"))
        }
    }
}

fn mobilenet_v1(layer: &str) -> Option<String> {
    let layer = layer.strip_suffix("_bn").unwrap_or(layer);
    let number = |text: &str| text.parse::<usize>().ok();
    if layer == "conv1" {
        Some("Conv2d_0".to_owned())
    } else if let Some(i) = layer.strip_prefix("conv_dw_") {
        number(i).map(|i| format!("Conv2d_{i}_depthwise"))
    } else if let Some(i) = layer.strip_prefix("conv_pw_") {
        number(i).map(|i| format!("Conv2d_{i}_pointwise"))
    } else {
        (layer == "conv_preds").then(|| "Logits/Conv2d_1c_1x1".to_owned())
    }
}

fn mobilenet_v2(layer: &str) -> Option<String> {
    match layer {
        "Conv1" | "bn_Conv1" => return Some("Conv".to_owned()),
        "Conv_1" | "Conv_1_bn" => return Some("Conv_1".to_owned()),
        _ => {}
    }
    let layer = layer.strip_suffix("_BN").unwrap_or(layer);
    let (block, part) = layer.rsplit_once('_').filter(|(_, part)| ["expand", "depthwise", "project"].contains(part))?;
    if block == "expanded_conv" {
        return Some(format!("expanded_conv/{part}"));
    }
    let i: usize = block.strip_prefix("block_")?.parse().ok()?;
    Some(format!("expanded_conv_{i}/{part}"))
}

fn resnet(layer: &str) -> Option<String> {
    let layer = layer.strip_suffix("_conv").or_else(|| layer.strip_suffix("_bn"))?;
    if layer == "conv1" {
        return Some("conv1".to_owned());
    }
    let (block, rest) = layer.strip_prefix("conv")?.split_once("_block")?;
    let (unit, convolution) = rest.split_once('_')?;
    let scope = resnet_unit(block.parse::<usize>().ok()?.checked_sub(1)?, unit.parse().ok()?);
    match convolution {
        "0" => Some(format!("{scope}/shortcut")),
        "1" | "2" | "3" => Some(format!("{scope}/conv{convolution}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_of_each_network() {
        assert_eq!(mobilenet_v1("conv_dw_12_bn").as_deref(), Some("Conv2d_12_depthwise"));
        assert_eq!(mobilenet_v2("expanded_conv_project_BN").as_deref(), Some("expanded_conv/project"));
        assert_eq!(mobilenet_v2("block_16_expand").as_deref(), Some("expanded_conv_16/expand"));
        assert_eq!(mobilenet_v2("block_16_expand_relu"), None);
        assert_eq!(resnet("conv4_block23_2_bn").as_deref(), Some("block3/unit_23/bottleneck_v1/conv2"));
        assert_eq!(resnet("conv2_block1_0_conv").as_deref(), Some("block1/unit_1/bottleneck_v1/shortcut"));
        assert_eq!(resnet("conv0_block1_0_conv"), None);
        assert_eq!(scope(Backbone::Vgg16, "block5_conv3").as_deref(), Some("conv5/conv5_3"));
        assert_eq!(scope(Backbone::Vgg16, "block5_conv4"), None);
    }

    #[test]
    fn a_name_means_what_its_network_says() {
        let mobilenet = [
            "conv1/conv1/kernel:0",
            "conv_dw_1/conv_dw_1/depthwise_kernel:0",
            "x/conv_pw_13_bn/gamma:0",
            "conv_pw_13/kernel:0",
        ];
        let known = tensorflow_names(&mobilenet);
        assert_eq!(known["conv1/conv1/kernel:0"], "MobilenetV1/Conv2d_0/weights");
        assert_eq!(known["x/conv_pw_13_bn/gamma:0"], "MobilenetV1/Conv2d_13_pointwise/BatchNorm/gamma");
        assert!(tensorflow_names(&["conv1/conv1/kernel:0"]).is_empty());
    }
}
