//! The single shot detector (TFOD's `ssd_meta_arch`): preprocess, predict, loss, post-process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use boxwright_core::Detection;
use boxwright_core::geometry::NormalizedBox;
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use super::{Folded, detection, to_host};
use crate::balanced_sampler::Lot;
use crate::box_predictors::BoxPredictor;
use crate::feature_extractors::SsdFeatureExtractor;
use crate::layers::{FoldedLayers, Mode, Pass};
use crate::losses::{ClassificationLoss, HardExampleMiner, LocalizationLoss, RandomExampleSampler};
use crate::post_processing::{CandidateBoxes, PostProcessing, change_coordinate_frame};
use crate::target_assigner::{Groundtruth, TargetAssigner, Targets};
use crate::variables::{self, Described, HostTensor, LoadReport, VariableInfo};

/// What the model is, beside its weights.
#[derive(Clone, Debug)]
pub struct SsdSettings {
    /// Classes, without background.
    pub num_classes: usize,
    /// Height and width of the pictures that it takes.
    pub input_size: (usize, usize),
    /// How targets are assigned.
    pub target_assigner: TargetAssigner,
    /// Whether background is no class of its own: all targets 0 instead of a 1 in column 0.
    pub encode_background_as_zeros: bool,
    /// The loss of the boxes.
    pub localization_loss: LocalizationLoss,
    /// The loss of the classes.
    pub classification_loss: ClassificationLoss,
    /// Weight of the first in the total.
    pub localization_weight: f32,
    /// Weight of the second in the total.
    pub classification_weight: f32,
    /// Which anchors count; `None` for all.
    pub hard_example_miner: Option<HardExampleMiner>,
    /// Which anchors count before any loss is known; `None` for all.
    pub random_example_sampler: Option<RandomExampleSampler>,
    /// Whether both losses are divided by the number of matched anchors of the batch.
    pub normalize_loss_by_num_matches: bool,
    /// Whether the localization loss is divided by the length of a box code too.
    pub normalize_loc_loss_by_codesize: bool,
    /// From predictions to detections.
    pub post_processing: PostProcessing,
    /// The run's seed, for dropout and for drawing anchors.
    pub seed: u64,
}

/// What the network says about each anchor.
#[derive(Clone, Debug)]
pub struct Predictions {
    /// `[batch, anchors, 4]`.
    pub box_encodings: Tensor<3>,
    /// `[batch, anchors, 1 + classes]`, background first.
    pub class_logits: Tensor<3>,
}

/// The losses of a batch, weighted and normalized, without regularization.
#[derive(Clone, Debug)]
pub struct Losses {
    /// Of the boxes.
    pub localization: Tensor<1>,
    /// Of the classes.
    pub classification: Tensor<1>,
    /// Anchors that were matched to a box, over the batch.
    pub num_matched: usize,
    /// The weight of these anchors, where `normalize_loss_by_num_matches` divides by it.
    pub matched_weight: Option<f32>,
}

/// The model.
#[derive(Module, Debug)]
pub struct SsdModel {
    feature_extractor: SsdFeatureExtractor,
    box_predictor: BoxPredictor,
    #[module(skip)]
    settings: Arc<SsdSettings>,
    #[module(skip)]
    anchors: Arc<Vec<[f32; 4]>>,
    /// Counts training passes, so that each drops other entries; shared by clones.
    #[module(skip)]
    dropout_position: Arc<AtomicU64>,
    /// Whether training passes convolve in f16.
    #[module(skip)]
    half: bool,
}

impl SsdModel {
    /// A model of these parts. `anchors` must be those that the predictor answers for, in its order.
    pub fn new(
        feature_extractor: SsdFeatureExtractor,
        box_predictor: BoxPredictor,
        settings: SsdSettings,
        anchors: Vec<[f32; 4]>,
    ) -> Self {
        Self {
            feature_extractor,
            box_predictor,
            settings: Arc::new(settings),
            anchors: Arc::new(anchors),
            dropout_position: Arc::new(AtomicU64::new(0)),
            half: false,
        }
    }

    /// What it is, beside its weights.
    pub fn settings(&self) -> &SsdSettings {
        &self.settings
    }

    /// Height and width of the pictures that it takes.
    pub fn input_size(&self) -> (usize, usize) {
        self.settings.input_size
    }

    /// Classes, without background.
    pub fn num_classes(&self) -> usize {
        self.settings.num_classes
    }

    /// The anchors, normalized.
    pub fn anchors(&self) -> &[[f32; 4]] {
        &self.anchors
    }

    /// The feature extractor.
    pub fn feature_extractor(&self) -> &SsdFeatureExtractor {
        &self.feature_extractor
    }

    /// Where its weights live.
    pub fn device(&self) -> Device {
        self.devices().into_iter().next().unwrap_or_default()
    }

    /// Sets how many training steps lie behind, so that a resumed run drops the same entries.
    pub fn set_dropout_position(&self, step: u64) {
        self.dropout_position.store(step, Ordering::Relaxed);
    }

    /// The same model, whose training passes convolve in f16 or do not. Evaluation is in f32 always.
    pub fn with_half_convolutions(self, half: bool) -> Self {
        Self { half, ..self }
    }

    /// Runs the network. In [`Mode::Train`] the moving statistics are brought up to date.
    ///
    /// # Shapes
    /// `images`: `[batch, 3, height, width]` of the input size, RGB from 0 to 255.
    pub fn forward(&self, images: Tensor<4>, mode: Mode) -> Predictions {
        let mut pass = Pass::new(mode);
        if mode == Mode::Train {
            pass.dropout_seed = self.seed_of(self.dropout_position.fetch_add(1, Ordering::Relaxed));
            pass.half = self.half;
        }
        self.run(self.preprocess(images), &mut pass)
    }

    /// The seed of a step. An odd factor keeps the seeds of different runs and steps apart.
    fn seed_of(&self, position: u64) -> u64 {
        self.settings.seed ^ position.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// Scales pictures to what the network takes: the first of TFOD's four steps.
    pub fn preprocess(&self, images: Tensor<4>) -> Tensor<4> {
        self.feature_extractor.preprocess(images)
    }

    /// Runs the network in [`Mode::Eval`] on pictures that are preprocessed already.
    pub fn predict(&self, preprocessed: Tensor<4>) -> Predictions {
        self.predict_through(None, preprocessed)
    }

    pub(super) fn predict_through(&self, folded: Option<&FoldedLayers>, preprocessed: Tensor<4>) -> Predictions {
        self.run(preprocessed, &mut Pass::through(folded))
    }

    /// The model as it is now, for use.
    pub fn folded(&self) -> Folded<Self> {
        let plain = if self.device().is_autodiff() { self.valid() } else { self.clone() };
        let layers = plain.feature_extractor.layers().chain(plain.box_predictor.layers());
        let layers = FoldedLayers::new(layers, plain.box_predictor.shared_layers());
        Folded::new(plain, layers)
    }

    /// Runs the network in [`Mode::Eval`] and shows `observer` the output of each convolution of the
    /// feature extractor and the predictor, by scope, before its batch normalization.
    pub fn observe_convolutions(&self, images: Tensor<4>, observer: &mut dyn FnMut(&str, &Tensor<4>)) {
        let mut pass = Pass { observer: Some(observer), ..Pass::new(Mode::Eval) };
        self.run(self.preprocess(images), &mut pass);
    }

    fn run(&self, preprocessed: Tensor<4>, pass: &mut Pass<'_>) -> Predictions {
        let feature_maps = self.feature_extractor.forward(preprocessed, pass);
        let (box_encodings, class_logits) = self.box_predictor.forward(&feature_maps, pass);
        Predictions { box_encodings, class_logits }
    }

    /// The losses of a batch against its groundtruth, one entry for each picture.
    ///
    /// # Panics
    /// If the number of pictures differs.
    pub fn losses(&self, predictions: &Predictions, groundtruth: &[Groundtruth]) -> Losses {
        let settings = &self.settings;
        let [batch, anchors, columns] = predictions.class_logits.dims();
        assert_eq!(batch, groundtruth.len(), "groundtruth for each picture of the batch");
        let targets = self.assign_targets(groundtruth, columns);
        let (localization, classification) = self.anchorwise_losses(predictions, &targets);
        let (localization, classification) = match &settings.hard_example_miner {
            Some(miner) => {
                let mask = self.mine(miner, &localization, &classification, &predictions.box_encodings, &targets);
                let mask = Tensor::<2>::from_data(TensorData::new(mask, [batch, anchors]), &localization.device());
                ((localization * mask.clone()).sum(), (classification * mask).sum())
            }
            None => (localization.sum(), classification.sum()),
        };

        let matched: f32 = targets.iter().flat_map(|t| &t.box_weights).sum();
        let normalizer = if settings.normalize_loss_by_num_matches { matched.max(1.0) } else { 1.0 };
        let code_size = settings.target_assigner.box_coder.code_size();
        let code_size = if settings.normalize_loc_loss_by_codesize { code_size as f32 } else { 1.0 };
        Losses {
            localization: localization * (settings.localization_weight / (normalizer * code_size)),
            classification: classification * (settings.classification_weight / normalizer),
            num_matched: targets.iter().flat_map(|t| &t.box_weights).filter(|w| **w > 0.0).count(),
            matched_weight: settings.normalize_loss_by_num_matches.then_some(matched),
        }
    }

    /// What each anchor of each picture should have answered, with a weight of 0 for those that are not drawn.
    fn assign_targets(&self, groundtruth: &[Groundtruth], columns: usize) -> Vec<Targets> {
        let settings = &self.settings;
        let mut background = vec![0.0; columns];
        background[0] = if settings.encode_background_as_zeros { 0.0 } else { 1.0 };
        let mut targets = settings.target_assigner.batch_assign(&self.anchors, groundtruth, &background);
        if let Some(sampler) = &settings.random_example_sampler {
            let seed = self.seed_of(self.dropout_position.load(Ordering::Relaxed));
            targets.par_iter_mut().enumerate().for_each(|(image, targets)| {
                let lot = seed.wrapping_add((image as u64).wrapping_mul(0xd1b5_4a32_d192_ed03));
                let drawn = sampler.sample(&targets.matches, &targets.class_weights, Lot::Seeded(lot));
                let weights = targets.class_weights.iter_mut().zip(&mut targets.box_weights);
                weights.zip(drawn).filter(|(_, drawn)| !drawn).for_each(|((class, bounds), _)| {
                    *class = 0.0;
                    *bounds = 0.0;
                });
            });
        }
        targets
    }

    /// The losses of each anchor, `[batch, anchors]`: of its box, and of its class.
    fn anchorwise_losses(&self, predictions: &Predictions, targets: &[Targets]) -> (Tensor<2>, Tensor<2>) {
        let [batch, anchors, columns] = predictions.class_logits.dims();
        let [_, _, code_size] = predictions.box_encodings.dims();
        let device = predictions.class_logits.device();
        let matrix = |get: fn(&Targets) -> &Vec<f32>| {
            let data: Vec<f32> = targets.iter().flat_map(|t| get(t).iter().copied()).collect();
            Tensor::<2>::from_data(TensorData::new(data, [batch, anchors]), &device)
        };
        let cube = |get: fn(&Targets) -> &Vec<f32>, depth: usize| {
            let data: Vec<f32> = targets.iter().flat_map(|t| get(t).iter().copied()).collect();
            Tensor::<3>::from_data(TensorData::new(data, [batch, anchors, depth]), &device)
        };
        let localization = self.settings.localization_loss.forward(
            predictions.box_encodings.clone(),
            cube(|t| &t.box_targets, code_size),
            matrix(|t| &t.box_weights),
        );
        let classification = self.settings.classification_loss.forward(
            predictions.class_logits.clone(),
            cube(|t| &t.class_targets, columns),
            matrix(|t| &t.class_weights),
        );
        (localization, classification)
    }

    /// 1 for each anchor that the miner chose, 0 for the others.
    fn mine(
        &self,
        miner: &HardExampleMiner,
        localization: &Tensor<2>,
        classification: &Tensor<2>,
        box_encodings: &Tensor<3>,
        targets: &[Targets],
    ) -> Vec<f32> {
        let anchors = self.anchors.len();
        let code_size = self.settings.target_assigner.box_coder.code_size();
        let localization = to_host(localization.clone());
        let classification = to_host(classification.clone());
        let codes = to_host(box_encodings.clone());
        let mut mask = vec![0.0; targets.len() * anchors];
        mask.par_chunks_mut(anchors).zip(targets).enumerate().for_each(|(image, (mask, targets))| {
            let range = image * anchors..(image + 1) * anchors;
            let boxes = self.decode(&codes[range.start * code_size..range.end * code_size]);
            let mined = miner.mine(&localization[range.clone()], &classification[range], &boxes, &targets.matches);
            mined.indices.into_iter().for_each(|i| mask[i] = 1.0);
        });
        mask
    }

    /// The boxes of one picture's codes.
    fn decode(&self, codes: &[f32]) -> Vec<[f32; 4]> {
        self.settings.target_assigner.box_coder.decode_all(codes, &self.anchors)
    }

    /// From what the network says to the objects in each picture: the last of TFOD's four steps. For pictures that
    /// fill their frame; see [`SsdModel::postprocess_padded`].
    pub fn postprocess(&self, predictions: Predictions) -> Vec<Vec<Detection>> {
        self.postprocess_padded(predictions, &[])
    }

    /// [`SsdModel::postprocess`] for pictures that were filled up below and to the right: `true_shapes` has the rows and
    /// columns of each without that. Boxes are cut to the picture and normalized to it.
    pub fn postprocess_padded(&self, predictions: Predictions, true_shapes: &[[usize; 2]]) -> Vec<Vec<Detection>> {
        let [_, anchors, columns] = predictions.class_logits.dims();
        let codes = to_host(predictions.box_encodings);
        let logits = to_host(predictions.class_logits);
        let per_code = anchors * self.settings.target_assigner.box_coder.code_size();
        let post_processing = &self.settings.post_processing;
        codes
            .par_chunks(per_code)
            .zip(logits.par_chunks(anchors * columns))
            .enumerate()
            .map(|(image, (codes, logits))| {
                let coder = &self.settings.target_assigner.box_coder;
                let boxes = CandidateBoxes::Encoded { coder, codes, anchors: &self.anchors };
                let window = self.window(true_shapes.get(image));
                let mut found = post_processing.detect_candidates(boxes, logits, columns, Some(window));
                if !post_processing.non_max_suppression.changes_frame() && window != NormalizedBox::WHOLE.to_array() {
                    found.iter_mut().for_each(|found| found.bounds = change_coordinate_frame(found.bounds, window));
                }
                found.into_iter().filter_map(detection).collect()
            })
            .collect()
    }

    /// The part of the frame that a picture fills (TFOD's `_compute_clip_window`).
    fn window(&self, true_shape: Option<&[usize; 2]>) -> [f32; 4] {
        let (height, width) = self.settings.input_size;
        let Some(&[rows, columns]) = true_shape else { return NormalizedBox::WHOLE.to_array() };
        let part = |own: usize, all: usize| if own == 0 { 1.0 } else { (own as f32 / all.max(1) as f32).min(1.0) };
        [0.0, 0.0, part(rows, height), part(columns, width)]
    }

    /// The scope and epsilon of each layer that has batch normalization of its own; those that a
    /// predictor shares over several levels are not among them.
    pub fn batch_norm_scopes(&self) -> Vec<(String, f32)> {
        let layers = self.feature_extractor.layers().chain(self.box_predictor.layers());
        layers.filter_map(|layer| Some((layer.scope().to_owned(), layer.batch_norm_epsilon()?))).collect()
    }

    /// The scope of each layer that the predictor shares over the feature maps, and the epsilon of each map's
    /// batch normalization: its variables lie below `BatchNorm/feature_0` and so on.
    pub fn shared_batch_norm_scopes(&self) -> Vec<(String, Vec<f32>)> {
        let layers = self.box_predictor.shared_layers().into_iter();
        layers.map(|layer| (layer.scope().to_owned(), layer.batch_norm_epsilons())).collect()
    }

    /// All variables, feature extractor first, in the order of the network.
    pub fn variable_infos(&self) -> Vec<VariableInfo> {
        self.describe().into_iter().map(|variable| variable.info).collect()
    }

    /// The values of all variables, by TensorFlow's names and in its layouts.
    pub fn variables(&self) -> BTreeMap<String, HostTensor> {
        variables::read_variables(self, &self.describe())
    }

    /// The model with the variables that `values` has, in TensorFlow's names and layouts; the others
    /// stay as they are.
    pub fn load_variables(self, values: &BTreeMap<String, HostTensor>) -> (Self, LoadReport) {
        let described = self.describe();
        variables::load_variables(self, &described, values)
    }

    fn describe(&self) -> Vec<Described> {
        let mut described = Vec::new();
        self.feature_extractor.describe(&mut described);
        self.box_predictor.describe(&mut described);
        described
    }
}
