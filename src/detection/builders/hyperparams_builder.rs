//! `conv_hyperparams` (TFOD's `hyperparams_builder`).

use boxwright_config::proto;
use boxwright_kernels::Activation;

use super::{Built, number, refuse};
use crate::initializers::{FanMode, Initializer};
use crate::layers::{BatchNormParams, Hyperparams};
use crate::regularizers::Regularizer;

/// Largest standard deviation or factor that an initializer may have.
const LARGE: f32 = 1e6;

/// The hyperparameters of a group of convolutions. `frozen` keeps batch normalization at its moving statistics.
///
/// # Errors
/// A regularizer, initializer, activation or normalizer that is not supported.
pub fn hyperparams(config: &proto::Hyperparams, frozen: bool) -> Built<Hyperparams> {
    if config.op() == proto::hyperparams::Op::Fc {
        return refuse("op", "FC is for fully connected layers; use CONV");
    }
    of_any_layer(config, frozen)
}

/// The hyperparameters of a group of fully connected layers.
///
/// # Errors
/// As [`hyperparams`].
pub fn fc_hyperparams(config: &proto::Hyperparams, frozen: bool) -> Built<Hyperparams> {
    if config.op() != proto::hyperparams::Op::Fc {
        return refuse("op", "CONV is for convolutions; use FC");
    }
    of_any_layer(config, frozen)
}

fn of_any_layer(config: &proto::Hyperparams, frozen: bool) -> Built<Hyperparams> {
    Ok(Hyperparams {
        initializer: initializer(config.initializer.as_ref())?,
        regularizer: regularizer(config.regularizer.as_ref())?,
        activation: activation(config.activation())?,
        batch_norm: normalizer(config.normalizer_oneof.as_ref(), frozen)?,
    })
}

fn regularizer(config: Option<&proto::Regularizer>) -> Built<Regularizer> {
    use proto::regularizer::RegularizerOneof as Kind;
    let (kind, weight, field): (fn(f32) -> Regularizer, f32, &str) =
        match config.and_then(|c| c.regularizer_oneof.as_ref()) {
            Some(Kind::L1Regularizer(l1)) => (Regularizer::L1, l1.weight(), "regularizer.l1_regularizer.weight"),
            Some(Kind::L2Regularizer(l2)) => (Regularizer::L2, l2.weight(), "regularizer.l2_regularizer.weight"),
            None => return Ok(Regularizer::None),
        };
    let weight = number(weight, 0.0..=LARGE, field)?;
    Ok(if weight == 0.0 { Regularizer::None } else { kind(weight) })
}

fn initializer(config: Option<&proto::Initializer>) -> Built<Initializer> {
    use proto::initializer::InitializerOneof as Kind;
    use proto::variance_scaling_initializer::Mode;
    match config.and_then(|c| c.initializer_oneof.as_ref()) {
        Some(Kind::TruncatedNormalInitializer(normal)) => Ok(Initializer::TruncatedNormal {
            mean: number(normal.mean(), -LARGE..=LARGE, "initializer.truncated_normal_initializer.mean")?,
            stddev: number(normal.stddev(), 0.0..=LARGE, "initializer.truncated_normal_initializer.stddev")?,
        }),
        Some(Kind::RandomNormalInitializer(normal)) => Ok(Initializer::RandomNormal {
            mean: number(normal.mean(), -LARGE..=LARGE, "initializer.random_normal_initializer.mean")?,
            stddev: number(normal.stddev(), 0.0..=LARGE, "initializer.random_normal_initializer.stddev")?,
        }),
        Some(Kind::VarianceScalingInitializer(scaling)) => Ok(Initializer::VarianceScaling {
            factor: number(scaling.factor(), 0.0..=LARGE, "initializer.variance_scaling_initializer.factor")?,
            mode: match scaling.mode() {
                Mode::FanIn => FanMode::FanIn,
                Mode::FanOut => FanMode::FanOut,
                Mode::FanAvg => FanMode::FanAvg,
            },
            uniform: scaling.uniform(),
        }),
        Some(Kind::KerasInitializerByName(name)) => refuse(
            "initializer.keras_initializer_by_name",
            format!("\"{name}\" is not supported; use truncated_normal_initializer"),
        ),
        // What a TensorFlow variable starts at when nobody says: Glorot's uniform distribution.
        None => Ok(Initializer::VarianceScaling { factor: 1.0, mode: FanMode::FanAvg, uniform: true }),
    }
}

fn activation(config: proto::hyperparams::Activation) -> Built<Activation> {
    use proto::hyperparams::Activation as Kind;
    match config {
        Kind::None => Ok(Activation::None),
        Kind::Relu => Ok(Activation::Relu),
        Kind::Relu6 => Ok(Activation::Relu6),
        Kind::Swish => refuse("activation", "SWISH is not supported; use RELU_6"),
    }
}

fn normalizer(config: Option<&proto::hyperparams::NormalizerOneof>, frozen: bool) -> Built<Option<BatchNormParams>> {
    use proto::hyperparams::NormalizerOneof as Kind;
    match config {
        None => Ok(None),
        // On one device there is nobody to share statistics with.
        Some(Kind::BatchNorm(config) | Kind::SyncBatchNorm(config)) => Ok(Some(BatchNormParams {
            decay: number(config.decay(), 0.0..=1.0, "batch_norm.decay")?,
            epsilon: number(config.epsilon(), f32::MIN_POSITIVE..=1.0, "batch_norm.epsilon")?,
            center: config.center(),
            scale: config.scale(),
            train: config.train() && !frozen,
        })),
        Some(Kind::GroupNorm(_)) => refuse("group_norm", "is not supported; use batch_norm"),
    }
}
