//! The optimizers of TFOD, with TensorFlow's arithmetic.
//!
//! burn has optimizers too, but TFOD's differ where it shows in the numbers: momentum without
//! dampening, RMSProp whose mean square starts at 1 and whose epsilon stands inside the root, Adam
//! whose epsilon stands outside the bias correction, L2 regularization on just the variables that
//! have it and inside the gradient that is clipped, clipping by the norm over all variables.
//!
//! A step visits the model's parameters once. Slots (momentum, mean squares, moving averages) are
//! kept by parameter, and travel to checkpoints under TensorFlow's names: `NAME/Momentum`, `NAME/RMSProp`.

use std::collections::{BTreeMap, HashMap};

use boxwright_detection::regularizers::Regularizer;
use boxwright_detection::{DetectionModel, HostTensor, VariableInfo};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// Which rule updates the variables.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum UpdateRule {
    /// `momentum_optimizer`: `a ← momentum·a + g`, `v ← v − rate·a`. Plain gradient descent with momentum 0.
    Momentum {
        /// `momentum_optimizer_value`.
        momentum: f32,
    },
    /// `rms_prop_optimizer`: `ms ← decay·ms + (1 − decay)·g²`, `mom ← momentum·mom + rate·g/√(ms + epsilon)`, `v ← v − mom`.
    RmsProp {
        /// `decay`.
        decay: f32,
        /// `momentum_optimizer_value`.
        momentum: f32,
        /// `epsilon`.
        epsilon: f32,
    },
    /// `adam_optimizer` with TensorFlow's constants 0.9 and 0.999:
    /// `v ← v − rate·√(1 − 0.999ᵗ)/(1 − 0.9ᵗ) · m/(√s + epsilon)`.
    Adam {
        /// `epsilon`.
        epsilon: f32,
    },
}

impl UpdateRule {
    /// The names of the slots, as TensorFlow appends them to the variable's, with what they start at.
    fn slots(self) -> &'static [(&'static str, f32)] {
        match self {
            Self::Momentum { .. } => &[("Momentum", 0.0)],
            Self::RmsProp { .. } => &[("RMSProp", 1.0), ("RMSProp_1", 0.0)],
            Self::Adam { .. } => &[("Adam", 0.0), ("Adam_1", 0.0)],
        }
    }
}

/// The slot of the moving averages.
const AVERAGE_SLOT: &str = "ExponentialMovingAverage";

/// What `optimizer` and `gradient_clipping_by_norm` of the config ask for, but for the learning rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptimizerSettings {
    /// The rule.
    pub rule: UpdateRule,
    /// Gradients are scaled down to this norm over all variables together; `None` leaves them.
    pub clip_norm: Option<f32>,
    /// The decay of the moving averages of the variables; `None` keeps none.
    pub moving_average_decay: Option<f32>,
}

/// An optimizer with its slots.
pub struct Optimizer {
    settings: OptimizerSettings,
    infos: HashMap<ParamId, VariableInfo>,
    slots: BTreeMap<&'static str, GradientsParams>,
    /// Steps taken, for Adam's bias correction.
    steps: u64,
}

impl Optimizer {
    /// An optimizer for a model with these variables, whose slots are at their start values.
    pub fn new(settings: OptimizerSettings, variables: impl IntoIterator<Item = VariableInfo>) -> Self {
        let infos = variables.into_iter().map(|info| (info.id, info)).collect();
        Self { settings, infos, slots: BTreeMap::new(), steps: 0 }
    }

    /// Takes one step down the gradients.
    ///
    /// `grads` are those of the detection losses alone; the regularization's are added here.
    pub fn step<M: Module>(&mut self, model: M, mut grads: GradientsParams, rate: f64) -> M {
        model.visit(&mut AddRegularization { infos: &self.infos, grads: &mut grads });
        let scale = self.settings.clip_norm.and_then(|limit| {
            let mut squares = SquareSum { grads: &grads, sum: None };
            model.visit(&mut squares);
            let norm = squares.sum?.into_scalar::<f32>().sqrt();
            // As `clip_by_global_norm`: only ever down, and NaN stays NaN for the caller to see.
            (norm > limit).then(|| limit / norm)
        });
        self.steps += 1;
        model.map(&mut Update {
            settings: &self.settings,
            slots: &mut self.slots,
            grads: &mut grads,
            scale,
            rate: rate as f32,
            steps: self.steps,
        })
    }

    /// The regularization part of TFOD's total loss: half the weighted sum of squares of every
    /// variable that has an L2 regularizer.
    pub fn regularization_loss<M: Module>(&self, model: &M) -> f32 {
        let mut visitor = RegularizationLoss { infos: &self.infos, sum: None };
        model.visit(&mut visitor);
        visitor.sum.map_or(0.0, |sum| sum.into_scalar::<f32>())
    }

    /// The slots by TensorFlow's names and in its layouts, for a checkpoint.
    pub fn slots(&self, model: &DetectionModel) -> BTreeMap<String, HostTensor> {
        let mut all = BTreeMap::new();
        for (slot, tensors) in &self.slots {
            let mut replace = Replace { tensors, replaced: Vec::new() };
            let named = model.clone().map(&mut replace).variables();
            let names: Vec<&String> =
                replace.replaced.iter().filter_map(|id| self.infos.get(id)).map(|info| &info.name).collect();
            for name in names {
                if let Some(tensor) = named.get(name) {
                    all.insert(format!("{name}/{slot}"), tensor.clone());
                }
            }
        }
        all
    }

    /// Takes back what [`Optimizer::slots`] gave, after `steps` steps. Slots that are missing start anew.
    pub fn restore(&mut self, model: &DetectionModel, slots: &BTreeMap<String, HostTensor>, steps: u64) {
        self.steps = steps;
        self.slots.clear();
        let kinds = self.settings.rule.slots().iter().map(|(name, _)| *name).chain([AVERAGE_SLOT]);
        for slot in kinds {
            let suffix = format!("/{slot}");
            let named: BTreeMap<String, HostTensor> = slots
                .iter()
                .filter_map(|(name, tensor)| Some((name.strip_suffix(&suffix)?.to_owned(), tensor.clone())))
                .collect();
            if named.is_empty() {
                continue;
            }
            let ids: Vec<ParamId> =
                self.infos.values().filter(|info| named.contains_key(&info.name)).map(|info| info.id).collect();
            let (carrier, _) = model.clone().load_variables(&named);
            let mut harvest = Harvest { ids: &ids, tensors: GradientsParams::new() };
            carrier.visit(&mut harvest);
            self.slots.insert(slot, harvest.tensors);
        }
    }

    /// The model with its variables replaced by their moving averages; `None` where none are kept.
    pub fn averaged(&self, model: &DetectionModel) -> Option<DetectionModel> {
        let tensors = self.slots.get(AVERAGE_SLOT)?;
        Some(model.clone().map(&mut Replace { tensors, replaced: Vec::new() }))
    }
}

/// Adds the regularizers' gradients to those of the losses.
struct AddRegularization<'a> {
    infos: &'a HashMap<ParamId, VariableInfo>,
    grads: &'a mut GradientsParams,
}

impl ModuleVisitor for AddRegularization<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let regularizer = self.infos.get(&param.id).map(|info| info.regularizer).unwrap_or_default();
        if regularizer == Regularizer::None {
            return;
        }
        let Some(grad) = self.grads.remove::<D>(param.id) else { return };
        let grad = match regularizer.gradient(param.val().inner()) {
            Some(slope) => grad + slope,
            None => grad,
        };
        self.grads.register(param.id, grad);
    }
}

/// The sum of the squares of all gradients, in the order of the parameters.
struct SquareSum<'a> {
    grads: &'a GradientsParams,
    sum: Option<Tensor<1>>,
}

impl ModuleVisitor for SquareSum<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(grad) = self.grads.get::<D>(param.id) else { return };
        let squares = grad.square().sum();
        self.sum = Some(match self.sum.take() {
            Some(sum) => sum + squares,
            None => squares,
        });
    }
}

struct RegularizationLoss<'a> {
    infos: &'a HashMap<ParamId, VariableInfo>,
    sum: Option<Tensor<1>>,
}

impl ModuleVisitor for RegularizationLoss<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let regularizer = self.infos.get(&param.id).map(|info| info.regularizer).unwrap_or_default();
        if regularizer == Regularizer::None {
            return;
        }
        let mut value = param.val();
        if value.device().is_autodiff() {
            value = value.inner();
        }
        let Some(part) = regularizer.loss(value) else { return };
        self.sum = Some(match self.sum.take() {
            Some(sum) => sum + part,
            None => part,
        });
    }
}

/// The update itself, parameter by parameter.
struct Update<'a> {
    settings: &'a OptimizerSettings,
    slots: &'a mut BTreeMap<&'static str, GradientsParams>,
    grads: &'a mut GradientsParams,
    scale: Option<f32>,
    rate: f32,
    steps: u64,
}

impl Update<'_> {
    fn take<const D: usize>(&mut self, slot: &'static str, id: ParamId, like: &Tensor<D>) -> Tensor<D> {
        let start = self.settings.rule.slots().iter().find(|(name, _)| *name == slot).map_or(0.0, |(_, start)| *start);
        let slots = self.slots.entry(slot).or_default();
        slots.remove::<D>(id).unwrap_or_else(|| Tensor::full(like.shape(), start, &like.device()))
    }

    fn put<const D: usize>(&mut self, slot: &'static str, id: ParamId, value: Tensor<D>) {
        self.slots.entry(slot).or_default().register(id, value);
    }

    /// How far the variable moves, with its slots brought up to date.
    fn movement<const D: usize>(&mut self, id: ParamId, grad: Tensor<D>) -> Tensor<D> {
        match self.settings.rule {
            UpdateRule::Momentum { momentum } => {
                let accumulator = self.take("Momentum", id, &grad) * momentum + grad;
                self.put("Momentum", id, accumulator.clone());
                accumulator * self.rate
            }
            UpdateRule::RmsProp { decay, momentum, epsilon } => {
                let mean_square = self.take("RMSProp", id, &grad) * decay + grad.clone().square() * (1.0 - decay);
                self.put("RMSProp", id, mean_square.clone());
                let step = grad * self.rate / (mean_square + epsilon).sqrt();
                let accumulator = self.take("RMSProp_1", id, &step) * momentum + step;
                self.put("RMSProp_1", id, accumulator.clone());
                accumulator
            }
            UpdateRule::Adam { epsilon } => {
                let (b1, b2) = (0.9f32, 0.999f32);
                let first = self.take("Adam", id, &grad) * b1 + grad.clone() * (1.0 - b1);
                let second = self.take("Adam_1", id, &grad) * b2 + grad.square() * (1.0 - b2);
                self.put("Adam", id, first.clone());
                self.put("Adam_1", id, second.clone());
                let t = i32::try_from(self.steps).unwrap_or(i32::MAX);
                let corrected = self.rate * (1.0 - b2.powi(t)).sqrt() / (1.0 - b1.powi(t));
                first * corrected / (second.sqrt() + epsilon)
            }
        }
    }
}

impl ModuleMapper for Update<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let Some(mut grad) = self.grads.remove::<D>(id) else {
            return Param::from_mapped_value(id, tensor, mapper);
        };
        if let Some(scale) = self.scale {
            grad = grad * scale;
        }
        let old = tensor.inner();
        let movement = self.movement(id, grad);
        if let Some(decay) = self.settings.moving_average_decay {
            let slots = self.slots.entry(AVERAGE_SLOT).or_default();
            let average = slots.remove::<D>(id).unwrap_or_else(|| old.clone());
            let new = old.clone() - movement.clone();
            slots.register(id, average.clone() - (average - new) * (1.0 - decay));
        }
        let new = old - movement;
        Param::from_mapped_value(id, Tensor::from_inner(new).require_grad(), mapper)
    }
}

/// Puts other tensors in the place of a model's parameters.
struct Replace<'a> {
    tensors: &'a GradientsParams,
    replaced: Vec<ParamId>,
}

impl ModuleMapper for Replace<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let tensor = match self.tensors.get::<D>(id) {
            Some(other) => {
                self.replaced.push(id);
                if tensor.device().is_autodiff() { Tensor::from_inner(other) } else { other }
            }
            None => tensor,
        };
        Param::from_mapped_value(id, tensor, mapper)
    }
}

/// Takes tensors out of a model by parameter.
struct Harvest<'a> {
    ids: &'a [ParamId],
    tensors: GradientsParams,
}

impl ModuleVisitor for Harvest<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.ids.contains(&param.id) {
            let value = param.val();
            let value = if value.device().is_autodiff() { value.inner() } else { value };
            self.tensors.register(param.id, value);
        }
    }
}
