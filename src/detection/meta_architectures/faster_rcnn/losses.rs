//! The losses of both stages.
//!
//! The first stage: whether there is anything at an anchor, and where, over a balanced sample of the anchors. The
//! second: what a proposal is, and the correction of its box, over a balanced sample of the proposals or those
//! that a miner finds hard. Each picture counts alike.

use boxwright_core::geometry::NormalizedBox;
use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use super::proposals::{self, Proposals};
use super::{
    BoxClassifierPredictions, CODE_SIZE, FasterRcnnModel, FasterRcnnPredictions, RpnPredictions, SecondStageSettings,
};
use crate::balanced_sampler::Lot;
use crate::layers::{Mode, Pass};
use crate::losses::{ClassificationLoss, HardExampleMiner, LocalizationLoss};
use crate::matchers::Match;
use crate::meta_architectures::to_host;
use crate::post_processing::ScoredBox;
use crate::target_assigner::{Groundtruth, Targets};

/// The loss of both stages' boxes.
const BOX_LOSS: LocalizationLoss = LocalizationLoss::SmoothL1 { delta: 1.0 };

/// The losses of a batch, weighted and normalized, without regularization.
#[derive(Clone, Debug)]
pub struct FasterRcnnLosses {
    /// Of the first stage's boxes.
    pub rpn_localization: Tensor<1>,
    /// Of whether there is anything.
    pub rpn_objectness: Tensor<1>,
    /// Of the second stage's boxes and classes, where there is one.
    pub box_classifier: Option<(Tensor<1>, Tensor<1>)>,
}

impl Lot {
    /// The lot of one picture of the batch, in one of the stages.
    fn of(self, image: usize, stage: u64) -> Self {
        match self {
            Self::First => Self::First,
            Self::Seeded(seed) => {
                let own = (image as u64 * 2 + stage).wrapping_mul(0xd134_2543_de82_ef95);
                Self::Seeded(seed.rotate_left(17) ^ own)
            }
        }
    }
}

/// Groundtruth in pixels.
fn in_pixels(groundtruth: &Groundtruth, shape: [usize; 2]) -> Groundtruth {
    let scaled = |bounds: &NormalizedBox| NormalizedBox::from_array(proposals::in_pixels(bounds.to_array(), shape));
    Groundtruth { boxes: groundtruth.boxes.iter().map(scaled).collect(), ..groundtruth.clone() }
}

/// A tensor of what each picture's targets hold, picture by picture.
fn gather<const D: usize>(parts: impl Iterator<Item = Vec<f32>>, shape: [usize; D], device: &Device) -> Tensor<D> {
    let data: Vec<f32> = parts.flatten().collect();
    Tensor::from_data(TensorData::new(data, shape), device)
}

impl FasterRcnnModel {
    /// What [`FasterRcnnModel::losses`] computes, with samples by this lot, and the predictions that it is of.
    ///
    /// # Panics
    /// If the number of pictures differs.
    pub fn losses_with(
        &self,
        images: Tensor<4>,
        groundtruth: &[Groundtruth],
        lot: Lot,
    ) -> (FasterRcnnPredictions, FasterRcnnLosses) {
        let [batch, _, height, width] = images.dims();
        assert_eq!(batch, groundtruth.len(), "groundtruth for each picture of the batch");
        let groundtruth: Vec<Groundtruth> = groundtruth.iter().map(|truth| in_pixels(truth, [height, width])).collect();
        let mut pass = Pass { half: self.half, ..Pass::new(Mode::Train) };
        if let Lot::Seeded(seed) = lot {
            pass.dropout_seed = seed;
        }
        let rpn = self.predict_first_stage(self.preprocess(images), &mut pass);
        let (rpn_localization, rpn_objectness) = self.rpn_losses(&rpn, &groundtruth, lot);
        let box_classifier = self.settings().second_stage.as_ref().and_then(|settings| {
            let window = proposals::window(rpn.image_shape);
            let found = self.propose(&rpn, |_| window);
            let chosen = self.choose(settings, &found, &groundtruth, rpn.image_shape, lot);
            self.predict_second_stage(settings, &rpn, chosen, &mut pass)
        });
        let of_second = self.settings().second_stage.as_ref().zip(box_classifier.as_ref());
        let of_second = of_second.map(|(settings, second)| self.box_classifier_losses(settings, second, &groundtruth));
        let losses = FasterRcnnLosses { rpn_localization, rpn_objectness, box_classifier: of_second };
        (FasterRcnnPredictions { rpn, box_classifier }, losses)
    }

    /// Boxes, then objectness.
    fn rpn_losses(&self, rpn: &RpnPredictions, groundtruth: &[Groundtruth], lot: Lot) -> (Tensor<1>, Tensor<1>) {
        let settings = &self.settings().first_stage;
        let targets: Vec<(Targets, Vec<bool>)> = groundtruth
            .par_iter()
            .enumerate()
            .map(|(image, truth)| {
                let targets = settings.target_assigner.assign_objectness(&rpn.anchors, truth);
                let eligible: Vec<bool> = targets.class_weights.iter().map(|weight| *weight != 0.0).collect();
                let positive: Vec<bool> = targets.class_targets.iter().map(|target| *target != 0.0).collect();
                let lot = lot.of(image, 0);
                let chosen = settings.sampler.subsample(&eligible, &positive, settings.minibatch_size, lot);
                (targets, chosen)
            })
            .collect();
        let (batch, anchors, device) = (targets.len(), rpn.anchors.len(), rpn.features.device());
        // Each picture's loss is divided by the size of its sample, and the pictures' losses are averaged.
        let share = |chosen: &[bool]| 1.0 / (chosen.iter().filter(|c| **c).count().max(1) * batch) as f32;
        let each = |value: &dyn Fn(&Targets, &[bool], usize) -> f32| -> Tensor<2> {
            let row =
                |(targets, chosen): &(Targets, Vec<bool>)| (0..anchors).map(|i| value(targets, chosen, i)).collect();
            gather(targets.iter().map(row), [batch, anchors], &device)
        };
        let one = |flag: bool| f32::from(u8::from(flag));
        let box_weights = each(&|targets, chosen, i| one(chosen[i]) * targets.box_weights[i]);
        let box_share = each(&|_, chosen, _| share(chosen));
        let class_weights = each(&|_, chosen, i| one(chosen[i]));
        let box_targets = gather(
            targets.iter().map(|(targets, _)| targets.box_targets.clone()),
            [batch, anchors, CODE_SIZE],
            &device,
        );
        let two_columns = |(targets, _): &(Targets, Vec<bool>)| -> Vec<f32> {
            targets.class_targets.iter().flat_map(|&target| [1.0 - target, target]).collect()
        };
        let class_targets = gather(targets.iter().map(two_columns), [batch, anchors, 2], &device);
        let boxes = BOX_LOSS.forward(rpn.box_encodings.clone(), box_targets, box_weights) * box_share.clone();
        let softmax = ClassificationLoss::Softmax { logit_scale: 1.0 };
        let objectness = softmax.forward(rpn.objectness.clone(), class_targets, class_weights) * box_share;
        (boxes.sum() * settings.localization_loss_weight, objectness.sum() * settings.objectness_loss_weight)
    }

    /// The label of a proposal without a box.
    fn background(&self) -> Vec<f32> {
        let mut label = vec![0.0; self.num_classes() + 1];
        label[0] = 1.0;
        label
    }

    /// The proposals that the second stage looks at: a balanced sample, or all of them where a miner chooses later.
    fn choose(
        &self,
        settings: &SecondStageSettings,
        found: &[Vec<ScoredBox>],
        groundtruth: &[Groundtruth],
        shape: [usize; 2],
        lot: Lot,
    ) -> Vec<Proposals> {
        let background = self.background();
        let choose = |(image, (found, truth)): (usize, (&Vec<ScoredBox>, &Groundtruth))| {
            let boxes: Vec<[f32; 4]> = found.iter().map(|found| found.bounds).collect();
            if settings.hard_example_miner.is_some() {
                let most = self.settings().first_stage.non_max_suppression.max_total_detections;
                return Proposals::of(boxes.into_iter(), shape).padded(most);
            }
            let targets = settings.target_assigner.assign(&boxes, truth, &background);
            let eligible: Vec<bool> = targets.class_weights.iter().map(|weight| *weight > 0.0).collect();
            let positive: Vec<bool> = targets.matches.iter().map(|m| matches!(m, Match::Matched(_))).collect();
            let lot = lot.of(image, 1);
            let chosen = settings.sampler.subsample(&eligible, &positive, settings.batch_size, lot);
            let kept = boxes.into_iter().zip(chosen).filter(|(_, chosen)| *chosen).map(|(bounds, _)| bounds);
            Proposals::of(kept, shape).padded(settings.batch_size)
        };
        found.par_iter().zip(groundtruth).enumerate().map(choose).collect()
    }

    /// Boxes, then classes.
    fn box_classifier_losses(
        &self,
        settings: &SecondStageSettings,
        second: &BoxClassifierPredictions,
        groundtruth: &[Groundtruth],
    ) -> (Tensor<1>, Tensor<1>) {
        let background = self.background();
        let columns = background.len();
        let targets: Vec<Targets> = second
            .proposals
            .par_iter()
            .zip(groundtruth)
            .map(|(proposals, truth)| settings.target_assigner.assign(&proposals.absolute, truth, &background))
            .collect();
        let device = second.class_logits.device();
        let batch = targets.len();
        let [rows, boxes, _] = second.refined_box_encodings.dims();
        let each = |values: fn(&Targets) -> &Vec<f32>, depth: usize| -> Tensor<3> {
            gather(targets.iter().map(|targets| values(targets).clone()), [1, rows, depth], &device)
        };
        // What a row counts: nothing where it is padding, and each picture's rows 1 together.
        let shares = second.proposals.iter().map(|proposals| {
            let share = 1.0 / (proposals.count.max(1) * batch) as f32;
            (0..proposals.absolute.len()).map(|i| if i < proposals.count { share } else { 0.0 }).collect()
        });
        let shares: Tensor<2> = gather(shares, [1, rows], &device);
        let class_targets = each(|targets| &targets.class_targets, columns);

        let codes = second.refined_box_encodings.clone();
        let codes = if boxes == 1 {
            codes.reshape([1, rows, CODE_SIZE])
        } else {
            // Of each row's boxes that of its class; none of background.
            let of_class = class_targets.clone().slice([0..1, 0..rows, 1..columns]).reshape([rows, boxes, 1]);
            (codes * of_class).sum_dim(1).reshape([1, rows, CODE_SIZE])
        };
        let weights = each(|targets| &targets.box_weights, 1).reshape([1, rows]);
        let of_boxes = BOX_LOSS.forward(codes, each(|targets| &targets.box_targets, CODE_SIZE), weights);
        let logits = second.class_logits.clone().reshape([1, rows, columns]);
        let weights = each(|targets| &targets.class_weights, 1).reshape([1, rows]);
        let of_classes = settings.classification_loss.forward(logits, class_targets, weights);
        let (mut of_boxes, mut of_classes) = (of_boxes * shares.clone(), of_classes * shares);
        if let Some(miner) = &settings.hard_example_miner {
            let mined = mine(miner, &of_boxes, &of_classes, &second.proposals);
            let mask = Tensor::<2>::from_data(TensorData::new(mined, [1, rows]), &device);
            (of_boxes, of_classes) = (of_boxes * mask.clone(), of_classes * mask);
        }
        (of_boxes.sum() * settings.localization_loss_weight, of_classes.sum() * settings.classification_loss_weight)
    }
}

/// 1 for each proposal that the miner chose, 0 for the others.
fn mine(miner: &HardExampleMiner, of_boxes: &Tensor<2>, of_classes: &Tensor<2>, proposals: &[Proposals]) -> Vec<f32> {
    let (of_boxes, of_classes) = (to_host(of_boxes.clone()), to_host(of_classes.clone()));
    let mut mask = vec![0.0; of_boxes.len()];
    let mut first = 0;
    for proposals in proposals {
        let range = first..first + proposals.count;
        // Without matches there is no ratio of negatives to keep.
        let miner = HardExampleMiner { max_negatives_per_positive: None, ..*miner };
        let unmatched = vec![Match::Unmatched; proposals.count];
        let boxes = &proposals.absolute[..proposals.count];
        let mined = miner.mine(&of_boxes[range.clone()], &of_classes[range], boxes, &unmatched);
        mined.indices.into_iter().for_each(|i| mask[first + i] = 1.0);
        first += proposals.absolute.len();
    }
    mask
}
