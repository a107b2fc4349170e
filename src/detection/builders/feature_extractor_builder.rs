//! The `feature_extractor` message of an SSD: `type` names a network and what makes feature maps of it.

use boxwright_config::proto;
use boxwright_config::proto::ssd_feature_extractor::FeaturePyramidOneof;
use boxwright_kernels::Activation;
use burn::tensor::Device;

use super::{Built, hyperparams, number, refuse, required, size};
use crate::feature_extractors::{
    Dialect, FeatureMaps, FpnFeatureMaps, FpnSettings, InceptionV2, InceptionV2Settings, MobileDet, MobileDetSettings,
    MobileDetTarget, MobileNetV1, MobileNetV1Settings, MobileNetV2, MobileNetV2Endpoint, MobileNetV2Settings,
    MobileNetV3, MobileNetV3Settings, MobileNetV3Size, MultiResolutionFeatureMaps, MultiResolutionSettings, Network,
    ResNetV1, ResNetV1Depth, ResNetV1Settings, SsdFeatureExtractor, Vgg16Reduced, Vgg16ReducedSettings,
    multiplied_depth,
};
use crate::initializers::{FanMode, Initializer};
use crate::layers::{BatchNormParams, Hyperparams, LayerBuilder, PaddingRule};
use crate::regularizers::Regularizer;

/// What stands above the scopes of an SSD's network.
const SCOPE: &str = "FeatureExtractor";

/// Depths of the maps behind a network, before the multiplier.
const EXTRA_DEPTHS: [usize; 4] = [512, 256, 256, 128];

/// The coarsest level that a network itself gives.
const LAST_OWN_LEVEL: usize = 5;

/// The types that there are, for messages.
const TYPES: &str = "use ssd_mobilenet_v1, ssd_mobilenet_v2, ssd_mobilenet_v1_fpn, ssd_mobilenet_v2_fpn, \
                     ssd_resnet50_v1_fpn, ssd_resnet101_v1_fpn or ssd_resnet152_v1_fpn, each with or without _keras at \
                     its end, ssd_mobilenet_v3_large, ssd_mobilenet_v3_small, ssd_mobiledet_cpu, ssd_mobiledet_dsp, \
                     ssd_mobiledet_edgetpu, ssd_mobiledet_gpu, ssd_inception_v2, or ssd_vgg16_reduced";

/// A network that an SSD can stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    MobileNetV1,
    MobileNetV2,
    MobileNetV3(MobileNetV3Size),
    MobileDet(MobileDetTarget),
    ResNetV1(ResNetV1Depth),
    InceptionV2,
    Vgg16Reduced,
}

/// What all networks are built from.
struct Extractor<'a> {
    config: &'a proto::SsdFeatureExtractor,
    dialect: Dialect,
    depth_multiplier: f32,
    min_depth: usize,
    /// Hyperparameters of the layers above the network.
    hyperparams: Hyperparams,
    frozen: bool,
    builder: LayerBuilder,
}

/// The dialect of a `type`: `_keras` at its end is TF2's.
pub(super) fn dialect(extractor_type: &str) -> Dialect {
    if extractor_type.ends_with("_keras") { Dialect::Keras } else { Dialect::Slim }
}

/// The `feature_extractor` message, with first weights drawn from `seed`.
///
/// `frozen` freezes the batch normalization of all layers, as TFOD's Keras models do.
///
/// # Errors
/// A network that is not supported, or an impossible value.
pub fn feature_extractor(
    config: &proto::SsdFeatureExtractor,
    frozen: bool,
    seed: u64,
    device: &Device,
) -> Built<SsdFeatureExtractor> {
    let slim = dialect(config.r#type()) == Dialect::Slim;
    let (base, pyramid) = match config.r#type().strip_suffix("_keras").unwrap_or(config.r#type()) {
        "ssd_mobilenet_v1" => (Base::MobileNetV1, false),
        "ssd_mobilenet_v2" => (Base::MobileNetV2, false),
        "ssd_mobilenet_v1_fpn" => (Base::MobileNetV1, true),
        "ssd_mobilenet_v2_fpn" => (Base::MobileNetV2, true),
        "ssd_resnet50_v1_fpn" => (Base::ResNetV1(ResNetV1Depth::Layers50), true),
        "ssd_resnet101_v1_fpn" => (Base::ResNetV1(ResNetV1Depth::Layers101), true),
        "ssd_resnet152_v1_fpn" => (Base::ResNetV1(ResNetV1Depth::Layers152), true),
        "ssd_mobilenet_v3_large" if slim => (Base::MobileNetV3(MobileNetV3Size::Large), false),
        "ssd_mobilenet_v3_small" if slim => (Base::MobileNetV3(MobileNetV3Size::Small), false),
        "ssd_mobiledet_cpu" if slim => (Base::MobileDet(MobileDetTarget::Cpu), false),
        "ssd_mobiledet_dsp" if slim => (Base::MobileDet(MobileDetTarget::Dsp), false),
        "ssd_mobiledet_edgetpu" if slim => (Base::MobileDet(MobileDetTarget::EdgeTpu), false),
        "ssd_mobiledet_gpu" if slim => (Base::MobileDet(MobileDetTarget::Gpu), false),
        "ssd_inception_v2" if slim => (Base::InceptionV2, false),
        "ssd_vgg16_reduced" if slim => (Base::Vgg16Reduced, false),
        "" => return refuse("type", format!("is not set; {TYPES}")),
        _ => return refuse("type", format!("\"{}\" is not supported; {TYPES}", config.r#type())),
    };
    if config.replace_preprocessor_with_placeholder() {
        return refuse("replace_preprocessor_with_placeholder", "is not supported; set it to false");
    }
    let message = required(&config.conv_hyperparams, "conv_hyperparams", "is not set; add conv_hyperparams { … }")?;
    let padding = if config.use_explicit_padding() { PaddingRule::Explicit } else { PaddingRule::Same };
    let extractor = Extractor {
        config,
        dialect: dialect(config.r#type()),
        depth_multiplier: number(config.depth_multiplier(), 1e-3..=8.0, "depth_multiplier")?,
        min_depth: size(config.min_depth().max(0), 0..=4096, "min_depth")?,
        hyperparams: hyperparams(message, frozen).map_err(|e| e.within("conv_hyperparams"))?,
        frozen,
        builder: LayerBuilder { seed, device: device.clone(), padding },
    };
    let (network, maps) = if pyramid { extractor.pyramid(base)? } else { extractor.multi_resolution(base)? };
    let pad_to_multiple = size(config.pad_to_multiple(), 1..=1024, "pad_to_multiple")?;
    Ok(SsdFeatureExtractor::new(network, maps, pad_to_multiple))
}

impl Extractor<'_> {
    fn multi_resolution(&self, base: Base) -> Built<(Network, FeatureMaps)> {
        match self.config.feature_pyramid_oneof {
            Some(FeaturePyramidOneof::Fpn(_)) => {
                return refuse("fpn", format!("is not for {}; remove it or use …_fpn", self.config.r#type()));
            }
            Some(FeaturePyramidOneof::Bifpn(_)) => return refuse("bifpn", "is not supported; remove it"),
            None => {}
        }
        let (network, prefix) = match base {
            Base::MobileNetV1 => {
                (self.mobilenet_v1(vec![11, 13], false), format!("{}/Conv2d_13_pointwise", MobileNetV1::SCOPE))
            }
            Base::MobileNetV2 => {
                let endpoints = vec![MobileNetV2Endpoint::Expansion(15), MobileNetV2Endpoint::Layer(19)];
                (self.mobilenet_v2(endpoints, false), format!("{}/layer_19", MobileNetV2::SCOPE))
            }
            Base::MobileNetV3(size) => {
                (self.mobilenet_v3(size), format!("{}/layer_{}", MobileNetV3::SCOPE, size.last_layer()))
            }
            Base::MobileDet(target) => (self.mobiledet(target)?, format!("{}/C5", target.scope())),
            Base::InceptionV2 => (self.inception_v2()?, format!("{SCOPE}/InceptionV2/Mixed_5c")),
            Base::Vgg16Reduced => return self.vgg16_reduced(),
            Base::ResNetV1(_) => return refuse("type", format!("\"{}\" needs a pyramid", self.config.r#type())),
        };
        let depths = network.endpoint_depths();
        let settings = MultiResolutionSettings {
            prefix,
            depths: EXTRA_DEPTHS.to_vec(),
            num_layers: size(self.config.num_layers(), 1..=depths.len() + EXTRA_DEPTHS.len(), "num_layers")?,
            depth_multiplier: self.depth_multiplier,
            min_depth: self.min_depth,
            use_depthwise: self.config.use_depthwise(),
            hyperparams: self.hyperparams,
            dialect: self.dialect,
        };
        let maps = MultiResolutionFeatureMaps::new(&settings, &depths, &self.builder);
        Ok((network, FeatureMaps::MultiResolution(maps)))
    }

    fn pyramid(&self, base: Base) -> Built<(Network, FeatureMaps)> {
        let fpn = match &self.config.feature_pyramid_oneof {
            Some(FeaturePyramidOneof::Fpn(fpn)) => *fpn,
            Some(FeaturePyramidOneof::Bifpn(_)) => return refuse("bifpn", "is not supported; use fpn { }"),
            None => proto::FeaturePyramidNetworks::default(),
        };
        let min_level = size(fpn.min_level(), 2..=LAST_OWN_LEVEL, "fpn.min_level")?;
        let max_level = size(fpn.max_level(), min_level..=12, "fpn.max_level")?;
        let depth = size(fpn.additional_layer_depth(), 1..=2048, "fpn.additional_layer_depth")?;
        let last = max_level.min(LAST_OWN_LEVEL);
        let levels = min_level..=last;
        let light = self.config.use_depthwise();
        let coarse =
            |layer: &str, first: usize| (0..max_level - last).map(|i| format!("{layer}{}", first + i)).collect();
        let (network, scope, coarse) = match base {
            Base::MobileNetV1 => {
                let pairs = levels.map(|level| [3, 5, 11, 13][level - 2]).collect();
                (self.mobilenet_v1(pairs, light), MobileNetV1::SCOPE.to_owned(), coarse("bottom_up_Conv2d_", 14))
            }
            Base::MobileNetV2 => {
                let layers = levels.map(|level| MobileNetV2Endpoint::Layer([4, 7, 14, 19][level - 2])).collect();
                (self.mobilenet_v2(layers, light), MobileNetV2::SCOPE.to_owned(), coarse("bottom_up_Conv2d_", 20))
            }
            Base::ResNetV1(depth) => {
                let network = self.resnet_v1(depth, levels.map(|level| level - 1).collect())?;
                (network, format!("{SCOPE}/{}", depth.name()), coarse("bottom_up_block", last))
            }
            Base::MobileNetV3(_) | Base::MobileDet(_) | Base::InceptionV2 | Base::Vgg16Reduced => {
                return refuse("type", format!("\"{}\" has no pyramid", self.config.r#type()));
            }
        };
        let settings = FpnSettings {
            scope: format!("{scope}/fpn"),
            coarse,
            depth: multiplied_depth(depth, self.depth_multiplier, self.min_depth),
            use_depthwise: light,
            hyperparams: self.hyperparams,
            dialect: self.dialect,
        };
        let maps = FpnFeatureMaps::new(&settings, &network.endpoint_depths(), &self.builder);
        Ok((network, FeatureMaps::Fpn(maps)))
    }

    /// `light`: a shallower end, for a pyramid of separable convolutions.
    fn mobilenet_v1(&self, endpoints: Vec<usize>, light: bool) -> Network {
        let own = self.own_hyperparams();
        let hyperparams = if self.overrides() { self.hyperparams } else { own };
        let settings = MobileNetV1Settings {
            depth_multiplier: self.depth_multiplier,
            min_depth: self.min_depth,
            light,
            endpoints,
            depthwise: hyperparams,
            hyperparams,
            dialect: self.dialect,
        };
        Network::MobileNetV1(MobileNetV1::new(&settings, &self.builder))
    }

    fn mobilenet_v2(&self, endpoints: Vec<MobileNetV2Endpoint>, light: bool) -> Network {
        let own = self.own_hyperparams();
        let (hyperparams, depthwise) = match (self.overrides(), self.dialect) {
            (true, Dialect::Keras) => (self.hyperparams, self.hyperparams),
            (false, Dialect::Keras) => (own, own),
            (_, Dialect::Slim) => self.settled_hyperparams(),
        };
        // TFOD's Keras network ignores that it was asked for a shallower end.
        let last_depth = if light && self.dialect == Dialect::Slim { 256 } else { 1280 };
        let settings = MobileNetV2Settings {
            depth_multiplier: self.depth_multiplier,
            min_depth: self.min_depth,
            last_depth,
            endpoints,
            depthwise,
            hyperparams,
            dialect: self.dialect,
        };
        Network::MobileNetV2(MobileNetV2::new(&settings, &self.builder))
    }

    fn mobilenet_v3(&self, size: MobileNetV3Size) -> Network {
        let (hyperparams, depthwise) = self.settled_hyperparams();
        let settings = MobileNetV3Settings {
            size,
            depth_multiplier: self.depth_multiplier,
            min_depth: self.min_depth,
            depthwise,
            hyperparams,
        };
        Network::MobileNetV3(MobileNetV3::new(&settings, &self.builder))
    }

    /// TFOD lets neither `min_depth` nor the override of the hyperparameters reach a MobileDet.
    fn mobiledet(&self, target: MobileDetTarget) -> Built<Network> {
        if self.config.use_explicit_padding() {
            return refuse("use_explicit_padding", format!("is not for {}; set it to false", self.config.r#type()));
        }
        let settings =
            MobileDetSettings { target, depth_multiplier: self.depth_multiplier, train_batch_norm: !self.frozen };
        Ok(Network::MobileDet(MobileDet::new(&settings, &self.builder)))
    }

    /// What slim's MobileNet v2 and v3 have, and what their depthwise convolutions have.
    fn settled_hyperparams(&self) -> (Hyperparams, Hyperparams) {
        let own = self.own_hyperparams();
        if !self.overrides() {
            return (own, Hyperparams { regularizer: Regularizer::None, ..own });
        }
        // slim's definition of the network has the last word on these.
        let batch_norm = self.hyperparams.batch_norm.or(own.batch_norm);
        let batch_norm = batch_norm.map(|params| BatchNormParams { center: true, scale: true, ..params });
        let settled = Hyperparams { activation: Activation::Relu6, batch_norm, ..self.hyperparams };
        (settled, settled)
    }

    fn resnet_v1(&self, depth: ResNetV1Depth, blocks: Vec<usize>) -> Built<Network> {
        for (set, field) in [
            (self.config.use_explicit_padding(), "use_explicit_padding"),
            (self.config.use_depthwise(), "use_depthwise"),
        ] {
            if set {
                return refuse(field, format!("is not for {}; set it to false", self.config.r#type()));
            }
        }
        let own = resnet_v1_hyperparams(1e-4, !self.frozen);
        let hyperparams = match (self.overrides(), self.dialect) {
            (false, _) => own,
            (true, Dialect::Keras) => self.hyperparams,
            (true, Dialect::Slim) => {
                // slim's definition of the network has the last word on these.
                let settled = |params: BatchNormParams| match own.batch_norm {
                    Some(own) => BatchNormParams { decay: own.decay, epsilon: own.epsilon, scale: own.scale, ..params },
                    None => params,
                };
                Hyperparams { batch_norm: self.hyperparams.batch_norm.map(settled), ..self.hyperparams }
            }
        };
        let settings = ResNetV1Settings {
            scope: SCOPE.to_owned(),
            depth,
            depth_multiplier: self.depth_multiplier,
            min_depth: self.min_depth,
            output_stride: None,
            halve_behind: true,
            blocks,
            hyperparams,
            activates_sums: self.overrides() && self.dialect == Dialect::Keras,
            dialect: self.dialect,
        };
        Ok(Network::ResNetV1(ResNetV1::new(&settings, &self.builder)))
    }

    fn inception_v2(&self) -> Built<Network> {
        if !self.overrides() {
            return refuse(
                "override_base_feature_extractor_hyperparams",
                "must be true: conv_hyperparams hold for the whole of ssd_inception_v2",
            );
        }
        let settings = InceptionV2Settings {
            scope: SCOPE.to_owned(),
            depth_multiplier: self.depth_multiplier,
            min_depth: self.min_depth,
            endpoints: vec!["Mixed_4c", "Mixed_5c"],
            hyperparams: self.hyperparams,
        };
        Ok(Network::InceptionV2(InceptionV2::new(&settings, &self.builder)))
    }

    fn vgg16_reduced(&self) -> Built<(Network, FeatureMaps)> {
        for (set, field) in [
            (self.config.use_explicit_padding(), "use_explicit_padding"),
            (self.config.use_depthwise(), "use_depthwise"),
        ] {
            if set {
                return refuse(field, "is not for ssd_vgg16_reduced; set it to false");
            }
        }
        if self.depth_multiplier != 1.0 {
            return refuse("depth_multiplier", "must be 1 for ssd_vgg16_reduced");
        }
        let num_layers = size(self.config.num_layers(), 1..=Vgg16ReducedSettings::MAX_LAYERS, "num_layers")?;
        let own = Hyperparams {
            initializer: Initializer::VarianceScaling { factor: 1.0, mode: FanMode::FanAvg, uniform: true },
            regularizer: Regularizer::L2(5e-4),
            activation: Activation::Relu,
            batch_norm: None,
        };
        let base = if self.overrides() { self.hyperparams } else { own };
        let network =
            Vgg16Reduced::new(&Vgg16ReducedSettings { num_layers, base, extra: self.hyperparams }, &self.builder);
        // The network's layers are all maps there are.
        let settings = MultiResolutionSettings {
            prefix: String::new(),
            depths: vec![],
            num_layers,
            depth_multiplier: 1.0,
            min_depth: 1,
            use_depthwise: false,
            hyperparams: self.hyperparams,
            dialect: self.dialect,
        };
        let maps = MultiResolutionFeatureMaps::new(&settings, &network.endpoint_depths(), &self.builder);
        Ok((Network::Vgg16Reduced(network), FeatureMaps::MultiResolution(maps)))
    }

    fn overrides(&self) -> bool {
        self.config.override_base_feature_extractor_hyperparams()
    }

    /// What a MobileNet has where the config does not override it.
    fn own_hyperparams(&self) -> Hyperparams {
        Hyperparams {
            initializer: Initializer::TruncatedNormal { mean: 0.0, stddev: 0.09 },
            regularizer: Regularizer::L2(0.000_04),
            activation: Activation::Relu6,
            batch_norm: Some(BatchNormParams {
                decay: 0.9997,
                epsilon: 0.001,
                center: true,
                scale: true,
                train: !self.frozen,
            }),
        }
    }
}

/// What slim's `resnet_arg_scope` gives a ResNet v1.
pub(super) fn resnet_v1_hyperparams(weight_decay: f32, train_batch_norm: bool) -> Hyperparams {
    Hyperparams {
        initializer: Initializer::VarianceScaling { factor: 2.0, mode: FanMode::FanIn, uniform: false },
        regularizer: Regularizer::L2(weight_decay),
        activation: Activation::Relu,
        batch_norm: Some(BatchNormParams {
            decay: 0.997,
            epsilon: 1e-5,
            center: true,
            scale: true,
            train: train_batch_norm,
        }),
    }
}
