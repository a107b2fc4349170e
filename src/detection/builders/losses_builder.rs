//! The `loss` message (TFOD's `losses_builder`).

use boxwright_config::proto;

use super::{Built, number, refuse, required};
use crate::losses::{ClassificationLoss, HardExampleMiner, LocalizationLoss, MiningLoss};

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
}

/// The losses and the miner.
///
/// # Errors
/// A loss that is missing or not supported, or an impossible value.
pub fn losses(config: &proto::Loss) -> Built<ConfiguredLosses> {
    if config.random_example_sampler.is_some() {
        return refuse("random_example_sampler", "is not supported; use hard_example_miner");
    }
    if config.equalization_loss.as_ref().is_some_and(|loss| loss.weight() != 0.0) {
        return refuse("equalization_loss", "is not supported; remove it");
    }
    if config.expected_loss_weights() != proto::loss::ExpectedLossWeights::None {
        return refuse("expected_loss_weights", "is not supported; set it to NONE");
    }
    let classification_weight = number(config.classification_weight(), 0.0..=1e6, "classification_weight")?;
    let localization_weight = number(config.localization_weight(), 0.0..=1e6, "localization_weight")?;
    let miner = config.hard_example_miner.as_ref();
    Ok(ConfiguredLosses {
        localization: localization(required(
            &config.localization_loss,
            "localization_loss",
            "is not set; add weighted_smooth_l1 { }",
        )?)?,
        classification: classification(required(
            &config.classification_loss,
            "classification_loss",
            "is not set; add weighted_sigmoid { }",
        )?)?,
        localization_weight,
        classification_weight,
        hard_example_miner: miner
            .map(|miner| hard_example_miner(miner, classification_weight, localization_weight))
            .transpose()?,
    })
}

fn localization(config: &proto::LocalizationLoss) -> Built<LocalizationLoss> {
    use proto::localization_loss::LocalizationLoss as Kind;
    const PATH: &str = "localization_loss";
    let unsupported = |name: &str| refuse(&format!("{PATH}.{name}"), "is not supported; use weighted_smooth_l1 { }");
    match &config.localization_loss {
        Some(Kind::WeightedSmoothL1(loss)) => Ok(LocalizationLoss::SmoothL1 {
            delta: number(loss.delta(), f32::MIN_POSITIVE..=1e6, "localization_loss.weighted_smooth_l1.delta")?,
        }),
        Some(Kind::WeightedL2(_)) => Ok(LocalizationLoss::L2),
        Some(Kind::WeightedIou(_)) => unsupported("weighted_iou"),
        Some(Kind::L1LocalizationLoss(_)) => unsupported("l1_localization_loss"),
        Some(Kind::WeightedGiou(_)) => unsupported("weighted_giou"),
        None => refuse(PATH, "names no loss; add weighted_smooth_l1 { }"),
    }
}

fn classification(config: &proto::ClassificationLoss) -> Built<ClassificationLoss> {
    use proto::classification_loss::ClassificationLoss as Kind;
    const PATH: &str = "classification_loss";
    let unsupported =
        |name: &str| refuse(&format!("{PATH}.{name}"), "is not supported; use weighted_sigmoid_focal { }");
    match &config.classification_loss {
        Some(Kind::WeightedSigmoid(_)) => Ok(ClassificationLoss::Sigmoid),
        Some(Kind::WeightedSigmoidFocal(focal)) => Ok(ClassificationLoss::SigmoidFocal {
            gamma: number(focal.gamma(), 0.0..=100.0, "classification_loss.weighted_sigmoid_focal.gamma")?,
            alpha: focal
                .alpha
                .map(|alpha| number(alpha, 0.0..=1.0, "classification_loss.weighted_sigmoid_focal.alpha"))
                .transpose()?,
        }),
        Some(Kind::WeightedSoftmax(softmax)) => Ok(ClassificationLoss::Softmax {
            logit_scale: number(softmax.logit_scale(), 1e-6..=1e6, "classification_loss.weighted_softmax.logit_scale")?,
        }),
        Some(Kind::WeightedLogitsSoftmax(_)) => unsupported("weighted_logits_softmax"),
        Some(Kind::BootstrappedSigmoid(_)) => unsupported("bootstrapped_sigmoid"),
        Some(Kind::PenaltyReducedLogisticFocalLoss(_)) => unsupported("penalty_reduced_logistic_focal_loss"),
        Some(Kind::WeightedDiceClassificationLoss(_)) => unsupported("weighted_dice_classification_loss"),
        None => refuse(PATH, "names no loss; add weighted_sigmoid { }"),
    }
}

/// In the config 0 (or less) means "no limit" for the counts.
fn hard_example_miner(
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
