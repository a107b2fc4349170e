//! The `loss` message (TFOD's `losses_builder`).

use boxwright_config::proto;

use super::{Built, number, refuse, required};
use crate::losses::{ClassificationLoss, HardExampleMiner, LocalizationLoss, MiningLoss, RandomExampleSampler};

/// What the `loss` message asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConfiguredLosses {
    /// On the boxes.
    pub localization: LocalizationLoss,
    /// On the classes.
    pub classification: ClassificationLoss,
    /// Weight of the first.
    pub localization_weight: f32,
    /// Weight of the second.
    pub classification_weight: f32,
    /// The miner, if any.
    pub hard_example_miner: Option<HardExampleMiner>,
    /// The share of positives that random sampling of anchors aims at, if it is asked for.
    pub random_example_sampler: Option<RandomExampleSampler>,
}

fn is_focal(config: &proto::Loss) -> bool {
    use proto::classification_loss::ClassificationLoss as Kind;
    let loss = config.classification_loss.as_ref().and_then(|loss| loss.classification_loss.as_ref());
    matches!(loss, Some(Kind::WeightedSigmoidFocal(_)))
}

/// The losses and the miner.
///
/// # Errors
/// A loss that is missing or not supported, or an impossible value.
pub fn losses(config: &proto::Loss) -> Built<ConfiguredLosses> {
    if config.hard_example_miner.is_some() && is_focal(config) {
        return refuse(
            "hard_example_miner",
            "contradicts weighted_sigmoid_focal, which weighs easy examples down itself; remove one of them",
        );
    }
    if config.equalization_loss.as_ref().is_some_and(|loss| loss.weight() != 0.0) {
        return refuse("equalization_loss.weight", "is not 0, and the loss is not supported; remove the block");
    }
    if config.expected_loss_weights() != proto::loss::ExpectedLossWeights::None {
        return refuse("expected_loss_weights", "is not supported; set it to NONE");
    }
    let classification_weight = number(config.classification_weight(), 0.0..=1e6, "classification_weight")?;
    let localization_weight = number(config.localization_weight(), 0.0..=1e6, "localization_weight")?;
    let miner = config.hard_example_miner.as_ref();
    Ok(ConfiguredLosses {
        localization: localization_loss(required(
            &config.localization_loss,
            "localization_loss",
            "is not set; add weighted_smooth_l1 { }",
        )?)?,
        classification: classification_loss(required(
            &config.classification_loss,
            "classification_loss",
            "is not set; add weighted_sigmoid { }",
        )?)?,
        localization_weight,
        classification_weight,
        hard_example_miner: miner
            .map(|miner| hard_example_miner(miner, classification_weight, localization_weight))
            .transpose()?,
        random_example_sampler: config.random_example_sampler.as_ref().map(random_example_sampler).transpose()?,
    })
}

/// The `localization_loss` message.
///
/// # Errors
/// A loss that is missing or not supported, or an impossible value; the field's path begins with that of the message.
pub fn localization_loss(config: &proto::LocalizationLoss) -> Built<LocalizationLoss> {
    use proto::localization_loss::LocalizationLoss as Kind;
    const PATH: &str = "localization_loss";
    match &config.localization_loss {
        Some(Kind::WeightedSmoothL1(loss)) => Ok(LocalizationLoss::SmoothL1 {
            delta: number(loss.delta(), f32::MIN_POSITIVE..=1e6, "localization_loss.weighted_smooth_l1.delta")?,
        }),
        Some(Kind::WeightedL2(_)) => Ok(LocalizationLoss::L2),
        Some(Kind::WeightedIou(_)) => Ok(LocalizationLoss::Iou),
        Some(Kind::WeightedGiou(_)) => Ok(LocalizationLoss::Giou),
        Some(Kind::L1LocalizationLoss(_)) => refuse(
            &format!("{PATH}.l1_localization_loss"),
            "is CenterNet's and has no weights for anchors; use weighted_smooth_l1 { }",
        ),
        None => refuse(PATH, "names no loss; add weighted_smooth_l1 { }"),
    }
}

/// The `classification_loss` message.
///
/// # Errors
/// As [`localization_loss`].
pub fn classification_loss(config: &proto::ClassificationLoss) -> Built<ClassificationLoss> {
    use proto::classification_loss::ClassificationLoss as Kind;
    const PATH: &str = "classification_loss";
    let scale = |value: f32, name: &str| number(value, 1e-6..=1e6, &format!("{PATH}.{name}.logit_scale"));
    let centernet =
        |name: &str| refuse(&format!("{PATH}.{name}"), "is CenterNet's; use weighted_sigmoid_focal { alpha: 0.25 }");
    match &config.classification_loss {
        Some(Kind::WeightedSigmoid(_)) => Ok(ClassificationLoss::Sigmoid),
        Some(Kind::WeightedSigmoidFocal(focal)) => Ok(ClassificationLoss::SigmoidFocal {
            gamma: number(focal.gamma(), 0.0..=100.0, "classification_loss.weighted_sigmoid_focal.gamma")?,
            alpha: focal
                .alpha
                .map(|alpha| number(alpha, 0.0..=1.0, "classification_loss.weighted_sigmoid_focal.alpha"))
                .transpose()?,
        }),
        Some(Kind::WeightedSoftmax(softmax)) => {
            Ok(ClassificationLoss::Softmax { logit_scale: scale(softmax.logit_scale(), "weighted_softmax")? })
        }
        Some(Kind::WeightedLogitsSoftmax(softmax)) => Ok(ClassificationLoss::LogitsSoftmax {
            logit_scale: scale(softmax.logit_scale(), "weighted_logits_softmax")?,
        }),
        Some(Kind::BootstrappedSigmoid(loss)) => Ok(ClassificationLoss::BootstrappedSigmoid {
            alpha: number(loss.alpha(), 0.0..=1.0, "classification_loss.bootstrapped_sigmoid.alpha")?,
            hard: loss.hard_bootstrap(),
        }),
        Some(Kind::PenaltyReducedLogisticFocalLoss(_)) => centernet("penalty_reduced_logistic_focal_loss"),
        Some(Kind::WeightedDiceClassificationLoss(_)) => centernet("weighted_dice_classification_loss"),
        None => refuse(PATH, "names no loss; add weighted_sigmoid { }"),
    }
}

/// The classification loss of Faster R-CNN's second stage, which is softmax where the config says nothing.
///
/// # Errors
/// A loss that TFOD does not take there, or an impossible value.
pub fn faster_rcnn_classification_loss(config: Option<&proto::ClassificationLoss>) -> Built<ClassificationLoss> {
    use proto::classification_loss::ClassificationLoss as Kind;
    match config.filter(|config| config.classification_loss.is_some()) {
        None => Ok(ClassificationLoss::Softmax { logit_scale: 1.0 }),
        Some(config) => match config.classification_loss {
            // TFOD takes softmax for it without a word.
            Some(Kind::BootstrappedSigmoid(_)) => refuse(
                "classification_loss.bootstrapped_sigmoid",
                "is not a loss of the second stage; use weighted_softmax { }",
            ),
            _ => classification_loss(config),
        },
    }
}

fn random_example_sampler(config: &proto::RandomExampleSampler) -> Built<RandomExampleSampler> {
    const FIELD: &str = "random_example_sampler.positive_sample_fraction";
    Ok(RandomExampleSampler { positive_fraction: number(config.positive_sample_fraction(), 1e-6..=1.0, FIELD)? })
}

/// The `hard_example_miner` message, where 0 (or less) means "no limit" for the counts.
///
/// # Errors
/// An impossible threshold.
pub fn hard_example_miner(
    config: &proto::HardExampleMiner,
    classification_weight: f32,
    localization_weight: f32,
) -> Built<HardExampleMiner> {
    use proto::hard_example_miner::LossType;
    let positive = |value: i32| u32::try_from(value).ok().filter(|value| *value > 0);
    Ok(HardExampleMiner {
        num_hard_examples: positive(config.num_hard_examples()).map(|n| n as usize),
        iou_threshold: number(config.iou_threshold(), 0.0..=1.0, "hard_example_miner.iou_threshold")?,
        loss: match config.loss_type() {
            LossType::Both => MiningLoss::Both { classification_weight, localization_weight },
            LossType::Classification => MiningLoss::Classification,
            LossType::Localization => MiningLoss::Localization,
        },
        max_negatives_per_positive: positive(config.max_negatives_per_positive()),
        min_negatives_per_image: u32::try_from(config.min_negatives_per_image()).unwrap_or(0),
    })
}
