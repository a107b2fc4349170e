//! Faster R-CNN (TFOD's `faster_rcnn_meta_arch`), in two stages.
//!
//! 1. The region proposal network looks at the picture's features: for every anchor a box and whether there is
//!    anything ([`RpnPredictions`]). The best boxes are the proposals ([`proposals`]).
//! 2. Each proposal is cut out of the features, resized, and seen by a network of its own, which says what it is
//!    and corrects its box ([`BoxClassifierPredictions`]).
//!
//! Boxes are in pixels of the resized picture until they leave as detections. In training the anchors that reach
//! beyond the picture do not count, and a balanced sample of the proposals goes to the second stage
//! ([`losses`]); no gradient goes through the proposals' boxes.

mod losses;
mod proposals;

pub use losses::FasterRcnnLosses;
pub use proposals::Proposals;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use boxwright_core::Detection;
use boxwright_kernels::{Padding, crop_and_resize, max_pool2d};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use rayon::prelude::*;

use crate::anchor_generators::GridAnchorGenerator;
use crate::balanced_sampler::{BalancedPositiveNegativeSampler, Lot};
use crate::box_predictors::{MaskRcnnBoxPredictor, anchor_rows};
use crate::feature_extractors::FasterRcnnFeatureExtractor;
use crate::layers::{ConvLayer, FoldedLayers, Mode, Pass};
use crate::losses::{ClassificationLoss, HardExampleMiner};
use crate::meta_architectures::{Folded, detection, to_host};
use crate::post_processing::{CandidateBoxes, NonMaxSuppression, PostProcessing, ScoredBox};
use crate::target_assigner::{Groundtruth, TargetAssigner};
use crate::variables::{self, Described, HostTensor, LoadReport, VariableInfo};

/// Numbers in a box code.
const CODE_SIZE: usize = 4;

/// Proposals that the second stage sees at once outside of training: enough for large products, and no more memory
/// than these need.
const PROPOSALS_AT_ONCE: usize = 64;

/// What the first stage is, beside its weights.
#[derive(Clone, Debug)]
pub struct FirstStageSettings {
    /// The anchors.
    pub anchor_generator: GridAnchorGenerator,
    /// Whether training clips the anchors that reach beyond the picture, instead of leaving them out.
    pub clip_anchors_to_image: bool,
    /// How anchors are told what they should answer.
    pub target_assigner: TargetAssigner,
    /// Anchors of a picture that count in the loss.
    pub minibatch_size: usize,
    /// Which of them.
    pub sampler: BalancedPositiveNegativeSampler,
    /// From boxes to proposals.
    pub non_max_suppression: NonMaxSuppression,
    /// Weight of the boxes' loss.
    pub localization_loss_weight: f32,
    /// Weight of the loss of whether there is anything.
    pub objectness_loss_weight: f32,
}

/// What the second stage is, beside its weights.
#[derive(Clone, Debug)]
pub struct SecondStageSettings {
    /// Rows and columns of what is cut out of the features.
    pub initial_crop_size: usize,
    /// Kernel of the max pool behind that.
    pub maxpool_kernel_size: usize,
    /// Stride of the max pool behind that.
    pub maxpool_stride: usize,
    /// How proposals are told what they should answer.
    pub target_assigner: TargetAssigner,
    /// Proposals of a picture that training looks at.
    pub batch_size: usize,
    /// Which of them.
    pub sampler: BalancedPositiveNegativeSampler,
    /// The loss of the classes.
    pub classification_loss: ClassificationLoss,
    /// Weight of the boxes' loss.
    pub localization_loss_weight: f32,
    /// Weight of the classes' loss.
    pub classification_loss_weight: f32,
    /// Which proposals count, instead of a balanced sample.
    pub hard_example_miner: Option<HardExampleMiner>,
    /// From answers to detections.
    pub post_processing: PostProcessing,
}

/// What the model is, beside its weights.
#[derive(Clone, Debug)]
pub struct FasterRcnnSettings {
    /// Classes, without background.
    pub num_classes: usize,
    /// The first stage.
    pub first_stage: FirstStageSettings,
    /// The second; `None` for a model of one stage, whose detections are its proposals.
    pub second_stage: Option<SecondStageSettings>,
    /// The run's seed, for dropout and samples.
    pub seed: u64,
}

/// What the first stage says.
#[derive(Clone, Debug)]
pub struct RpnPredictions {
    /// What proposals are cut out of, `[batch, depth, h, w]`.
    pub features: Tensor<4>,
    /// `[batch, anchors, 4]`.
    pub box_encodings: Tensor<3>,
    /// `[batch, anchors, 2]`: nothing, something.
    pub objectness: Tensor<3>,
    /// In pixels.
    pub anchors: Vec<[f32; 4]>,
    /// Rows and columns of the pictures of the batch, padding included.
    pub image_shape: [usize; 2],
}

/// What the second stage says about the proposals of all pictures, one after the other.
#[derive(Clone, Debug)]
pub struct BoxClassifierPredictions {
    /// `[proposals, boxes, 4]`: a box for each class, or one for all.
    pub refined_box_encodings: Tensor<3>,
    /// `[proposals, 1 + classes]`, background first.
    pub class_logits: Tensor<2>,
    /// Of each picture.
    pub proposals: Vec<Proposals>,
}

/// What the model says.
#[derive(Clone, Debug)]
pub struct FasterRcnnPredictions {
    /// The first stage.
    pub rpn: RpnPredictions,
    /// The second; `None` where there is none, or no proposal.
    pub box_classifier: Option<BoxClassifierPredictions>,
}

/// The model.
#[derive(Module, Debug)]
pub struct FasterRcnnModel {
    feature_extractor: FasterRcnnFeatureExtractor,
    rpn_conv: ConvLayer,
    rpn_boxes: ConvLayer,
    rpn_objectness: ConvLayer,
    box_predictor: Option<MaskRcnnBoxPredictor>,
    #[module(skip)]
    settings: Arc<FasterRcnnSettings>,
    /// Counts training passes, so that each draws anew; shared by clones.
    #[module(skip)]
    position: Arc<AtomicU64>,
    /// Whether training passes convolve in f16.
    #[module(skip)]
    half: bool,
}

/// The layers of the first stage above the features.
#[derive(Debug)]
pub struct RpnLayers {
    /// The convolution that all anchors share.
    pub conv: ConvLayer,
    /// Box codes.
    pub boxes: ConvLayer,
    /// Nothing or something.
    pub objectness: ConvLayer,
}

impl FasterRcnnModel {
    /// A model of these parts; a model of two stages has a box predictor.
    pub fn new(
        feature_extractor: FasterRcnnFeatureExtractor,
        rpn: RpnLayers,
        box_predictor: Option<MaskRcnnBoxPredictor>,
        settings: FasterRcnnSettings,
    ) -> Self {
        Self {
            feature_extractor,
            rpn_conv: rpn.conv,
            rpn_boxes: rpn.boxes,
            rpn_objectness: rpn.objectness,
            box_predictor,
            settings: Arc::new(settings),
            position: Arc::new(AtomicU64::new(0)),
            half: false,
        }
    }

    /// What it is, beside its weights.
    pub fn settings(&self) -> &FasterRcnnSettings {
        &self.settings
    }

    /// Classes, without background.
    pub fn num_classes(&self) -> usize {
        self.settings.num_classes
    }

    /// Where its weights live.
    pub fn device(&self) -> Device {
        self.devices().into_iter().next().unwrap_or_default()
    }

    /// Sets how many training steps lie behind, so that a resumed run draws the same.
    pub fn set_dropout_position(&self, step: u64) {
        self.position.store(step, Ordering::Relaxed);
    }

    /// The same model, whose training passes convolve in f16 or do not. Evaluation is in f32 always.
    pub fn with_half_convolutions(self, half: bool) -> Self {
        Self { half, ..self }
    }

    /// What the network wants to see of RGB in 0 to 255.
    pub fn preprocess(&self, images: Tensor<4>) -> Tensor<4> {
        self.feature_extractor.preprocess(images)
    }

    /// Runs both stages in [`Mode::Eval`] on pictures that are preprocessed already.
    ///
    /// # Shapes
    /// `[batch, 3, height, width]`, all of one size; smaller pictures are padded below and to the right.
    pub fn predict(&self, preprocessed: Tensor<4>) -> FasterRcnnPredictions {
        self.predict_through(None, preprocessed)
    }

    pub(super) fn predict_through(
        &self,
        folded: Option<&FoldedLayers>,
        preprocessed: Tensor<4>,
    ) -> FasterRcnnPredictions {
        self.run(preprocessed, &mut Pass::through(folded))
    }

    /// The model as it is now, for use.
    pub fn folded(&self) -> Folded<Self> {
        let plain = if self.device().is_autodiff() { self.valid() } else { self.clone() };
        let layers = FoldedLayers::new(plain.feature_extractor.layers().into_iter().chain(plain.rpn_layers()), []);
        Folded::new(plain, layers)
    }

    /// As [`SsdModel::observe_convolutions`](super::ssd::SsdModel::observe_convolutions).
    pub fn observe_convolutions(&self, images: Tensor<4>, observer: &mut dyn FnMut(&str, &Tensor<4>)) {
        let mut pass = Pass { observer: Some(observer), ..Pass::new(Mode::Eval) };
        self.run(self.preprocess(images), &mut pass);
    }

    fn run(&self, preprocessed: Tensor<4>, pass: &mut Pass<'_>) -> FasterRcnnPredictions {
        let rpn = self.predict_first_stage(preprocessed, pass);
        let Some(second_stage) = &self.settings.second_stage else {
            return FasterRcnnPredictions { rpn, box_classifier: None };
        };
        let window = proposals::window(rpn.image_shape);
        let found = self.propose(&rpn, |_| window);
        let proposals: Vec<Proposals> =
            found.iter().map(|found| Proposals::of(found.iter().map(|f| f.bounds), rpn.image_shape)).collect();
        let box_classifier = self.predict_second_stage(second_stage, &rpn, proposals, pass);
        FasterRcnnPredictions { rpn, box_classifier }
    }

    /// The second stage in [`Mode::Eval`] on these proposals of each picture, normalized to the picture with its padding,
    /// instead of the first stage's. `None` for a model of one stage, or no proposals.
    pub fn classify(&self, rpn: &RpnPredictions, proposals: &[Vec<[f32; 4]>]) -> Option<BoxClassifierPredictions> {
        self.classify_through(None, rpn, proposals)
    }

    pub(super) fn classify_through(
        &self,
        folded: Option<&FoldedLayers>,
        rpn: &RpnPredictions,
        proposals: &[Vec<[f32; 4]>],
    ) -> Option<BoxClassifierPredictions> {
        let settings = self.settings.second_stage.as_ref()?;
        let proposals =
            proposals.iter().map(|boxes| Proposals::of_normalized(boxes.clone(), rpn.image_shape)).collect();
        self.predict_second_stage(settings, rpn, proposals, &mut Pass::through(folded))
    }

    /// The first stage. In [`Mode::Train`] anchors that reach beyond the picture are left out.
    fn predict_first_stage(&self, preprocessed: Tensor<4>, pass: &mut Pass<'_>) -> RpnPredictions {
        let [_, _, height, width] = preprocessed.dims();
        let image_shape = [height, width];
        let features = self.feature_extractor.extract_proposal_features(preprocessed, pass);
        let [_, _, rows, columns] = features.dims();
        let hidden = self.rpn_conv.forward(features.clone(), pass);
        let mut box_encodings = anchor_rows(self.rpn_boxes.forward(hidden.clone(), pass), CODE_SIZE);
        let mut objectness = anchor_rows(self.rpn_objectness.forward(hidden, pass), 2);
        let mut anchors = self.settings.first_stage.anchor_generator.generate([rows, columns]);
        let window = proposals::window(image_shape);
        let inside = match pass.mode {
            Mode::Train if !self.settings.first_stage.clip_anchors_to_image => proposals::inside(&anchors, window),
            _ => vec![],
        };
        // A picture that no anchor lies in still has anchors to learn from: all of them, clipped.
        if inside.is_empty() {
            anchors.iter_mut().for_each(|anchor| *anchor = proposals::clipped(*anchor, window));
        } else {
            anchors = inside.iter().map(|&i| anchors[i]).collect();
            let places: Vec<i64> = inside.iter().map(|&i| i as i64).collect();
            let count = places.len();
            let places = Tensor::<1, Int>::from_data(TensorData::new(places, [count]), &features.device());
            box_encodings = box_encodings.select(1, places.clone());
            objectness = objectness.select(1, places);
        }
        RpnPredictions { features, box_encodings, objectness, anchors, image_shape }
    }

    /// The second stage; `None` where there is nothing to look at.
    fn predict_second_stage(
        &self,
        settings: &SecondStageSettings,
        rpn: &RpnPredictions,
        proposals: Vec<Proposals>,
        pass: &mut Pass<'_>,
    ) -> Option<BoxClassifierPredictions> {
        let box_predictor = self.box_predictor.as_ref()?;
        let (mut boxes, mut images) = (Vec::new(), Vec::new());
        for (image, proposals) in proposals.iter().enumerate() {
            boxes.extend_from_slice(&proposals.normalized);
            images.extend(std::iter::repeat_n(image, proposals.normalized.len()));
        }
        let at_once = match pass.mode {
            Mode::Train => boxes.len(),
            Mode::Eval => PROPOSALS_AT_ONCE,
        };
        let (mut codes, mut logits) = (Vec::new(), Vec::new());
        for (boxes, images) in boxes.chunks(at_once.max(1)).zip(images.chunks(at_once.max(1))) {
            let size = [settings.initial_crop_size; 2];
            let crops = crop_and_resize(rpn.features.clone(), boxes, images, size);
            let (kernel, stride) = ([settings.maxpool_kernel_size; 2], [settings.maxpool_stride; 2]);
            let pooled = max_pool2d(crops, kernel, stride, Padding::valid());
            let features = self.feature_extractor.extract_box_classifier_features(pooled, pass);
            let (of_boxes, of_classes) = box_predictor.forward(features, pass);
            codes.push(of_boxes);
            logits.push(of_classes);
        }
        (!codes.is_empty()).then(|| BoxClassifierPredictions {
            refined_box_encodings: Tensor::cat(codes, 0),
            class_logits: Tensor::cat(logits, 0),
            proposals,
        })
    }

    /// The losses of a batch against its groundtruth, which is normalized to the pictures with their padding. The
    /// moving statistics of layers that train them are brought up to date.
    ///
    /// # Shapes
    /// `images`: `[batch, 3, height, width]`, RGB from 0 to 255.
    ///
    /// # Panics
    /// If the number of pictures differs.
    pub fn losses(&self, images: Tensor<4>, groundtruth: &[Groundtruth]) -> FasterRcnnLosses {
        let position = self.position.fetch_add(1, Ordering::Relaxed);
        // An odd factor keeps the seeds of different runs and steps apart.
        let seed = self.settings.seed ^ position.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.losses_with(images, groundtruth, Lot::Seeded(seed)).1
    }

    /// The detections of predictions (TFOD's `postprocess`).
    pub fn post_process(&self, predictions: &FasterRcnnPredictions, true_shapes: &[[usize; 2]]) -> Vec<Vec<Detection>> {
        let found = match (&self.settings.second_stage, &predictions.box_classifier) {
            (None, _) => self.proposals_as_detections(&predictions.rpn, true_shapes),
            (Some(settings), Some(second)) => self.classified(settings, second, true_shapes),
            (Some(_), None) => vec![vec![]; true_shapes.len()],
        };
        found.into_iter().map(|found| found.into_iter().filter_map(detection).collect()).collect()
    }

    fn proposals_as_detections(&self, rpn: &RpnPredictions, true_shapes: &[[usize; 2]]) -> Vec<Vec<ScoredBox>> {
        let shape = |image: usize| true_shapes.get(image).copied().unwrap_or(rpn.image_shape);
        let mut found = self.propose(rpn, |image| proposals::window(shape(image)));
        for (image, found) in found.iter_mut().enumerate() {
            found.iter_mut().for_each(|found| found.bounds = proposals::normalized(found.bounds, shape(image)));
        }
        found
    }

    fn classified(
        &self,
        settings: &SecondStageSettings,
        second: &BoxClassifierPredictions,
        true_shapes: &[[usize; 2]],
    ) -> Vec<Vec<ScoredBox>> {
        let [_, boxes, _] = second.refined_box_encodings.dims();
        let columns = second.class_logits.dims()[1];
        let codes = to_host(second.refined_box_encodings.clone());
        let logits = to_host(second.class_logits.clone());
        let mut first = 0;
        let parts: Vec<_> = second
            .proposals
            .iter()
            .zip(true_shapes)
            .map(|(proposals, &shape)| {
                let begin = first;
                first += proposals.absolute.len();
                (begin..begin + proposals.count, proposals, shape)
            })
            .collect();
        parts
            .into_par_iter()
            .map(|(rows, proposals, shape)| {
                let codes = &codes[rows.start * boxes * CODE_SIZE..rows.end * boxes * CODE_SIZE];
                let anchors: Vec<[f32; 4]> =
                    proposals.absolute[..proposals.count].iter().flat_map(|b| std::iter::repeat_n(*b, boxes)).collect();
                let decoded = settings.target_assigner.box_coder.decode_all(codes, &anchors);
                let candidates = if boxes == columns - 1 {
                    CandidateBoxes::ClassSpecific(&decoded)
                } else {
                    CandidateBoxes::Shared(&decoded)
                };
                let logits = &logits[rows.start * columns..rows.end * columns];
                let window = Some(proposals::window(shape));
                settings.post_processing.detect_candidates(candidates, logits, columns, window)
            })
            .collect()
    }

    /// The scope and epsilon of each layer that has batch normalization.
    pub fn batch_norm_scopes(&self) -> Vec<(String, f32)> {
        let layers = self.feature_extractor.layers().into_iter().chain(self.rpn_layers());
        layers.filter_map(|layer| Some((layer.scope().to_owned(), layer.batch_norm_epsilon()?))).collect()
    }

    fn rpn_layers(&self) -> [&ConvLayer; 3] {
        [&self.rpn_conv, &self.rpn_boxes, &self.rpn_objectness]
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
        self.rpn_layers().into_iter().for_each(|layer| layer.describe(&mut described));
        if let Some(predictor) = &self.box_predictor {
            predictor.describe(&mut described);
        }
        described
    }
}
