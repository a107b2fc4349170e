//! The optimizers of TFOD, with TensorFlow's arithmetic.
//!
//! burn has optimizers too, but TFOD's differ where it shows in the numbers: momentum without
//! dampening, RMSProp whose mean square starts at 1 and whose epsilon stands inside the root, Adam
//! whose epsilon stands outside the bias correction, L2 regularization on just the variables that
//! have it and inside the gradient that is clipped, clipping by the norm over all variables.
//!
//! A step visits the model's parameters once, and each is one pass of a kernel. Slots (momentum, mean squares, moving averages) are
//! kept by parameter, and travel to checkpoints under TensorFlow's names: `NAME/Momentum`, `NAME/RMSProp`.

use std::collections::{BTreeMap, HashMap};

use boxwright_detection::regularizers::Regularizer;
use boxwright_detection::{DetectionModel, HostTensor, VariableInfo};
pub use boxwright_kernels::UpdateRule;
use boxwright_kernels::{ADAM_FIRST, ADAM_SECOND, Update, gradient_squares, moving_average, penalty, update};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use crate::variable_rules::VariableRules;

/// The names of a rule's slots, as TensorFlow appends them to the variable's, with what they start at.
fn slots_of(rule: UpdateRule) -> &'static [(&'static str, f32)] {
    match rule {
        UpdateRule::Momentum { .. } => &[("Momentum", 0.0)],
        UpdateRule::RmsProp { .. } => &[("RMSProp", 1.0), ("RMSProp_1", 0.0)],
        UpdateRule::Adam { .. } => &[("Adam", 0.0), ("Adam_1", 0.0)],
    }
}

/// The slot of the moving averages.
pub(crate) const AVERAGE_SLOT: &str = "ExponentialMovingAverage";

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
    /// How each variable moves; those that are left alone are missing. The rate is that of the last step.
    plans: HashMap<ParamId, Update>,
    slots: BTreeMap<&'static str, GradientsParams>,
    /// Steps taken, for Adam's bias correction.
    steps: u64,
}

impl Optimizer {
    /// An optimizer for a model with these variables, whose slots are at their start values.
    pub fn new(settings: OptimizerSettings, variables: impl IntoIterator<Item = VariableInfo>) -> Self {
        let infos = variables.into_iter().map(|info| (info.id, info)).collect();
        let optimizer = Self { settings, infos, plans: HashMap::new(), slots: BTreeMap::new(), steps: 0 };
        optimizer.with_rules(&VariableRules::default())
    }

    /// The same, with variables that are left alone or whose gradients are multiplied.
    pub fn with_rules(mut self, rules: &VariableRules) -> Self {
        let plan = |info: &VariableInfo| {
            let (l1, l2) = weights_of(info.regularizer);
            Update { rule: self.settings.rule, rate: 0.0, l1, l2, factor: rules.factor(&info.name) }
        };
        let trained = self.infos.values().filter(|info| rules.is_trained(&info.name));
        self.plans = trained.map(|info| (info.id, plan(info))).collect();
        self
    }

    /// Takes one step down the gradients.
    ///
    /// `grads` are those of the detection losses alone; the regularization's are added here.
    pub fn step<M: Module>(&mut self, model: M, mut grads: GradientsParams, rate: f64) -> M {
        self.steps += 1;
        let rate = self.corrected(rate as f32);
        self.plans.values_mut().for_each(|plan| plan.rate = rate);
        let scale = self.settings.clip_norm.and_then(|limit| {
            let mut squares = SquareSum { plans: &self.plans, grads: &grads, sum: None };
            model.visit(&mut squares);
            let norm = squares.sum?.into_scalar::<f32>().sqrt();
            // As `clip_by_global_norm`: only ever down, and NaN stays NaN for the caller to see.
            (norm > limit).then(|| limit / norm)
        });
        model.map(&mut Move {
            settings: &self.settings,
            plans: &self.plans,
            slots: &mut self.slots,
            grads: &mut grads,
            scale: scale.unwrap_or(1.0),
        })
    }

    /// The learning rate with Adam's bias correction.
    fn corrected(&self, rate: f32) -> f32 {
        match self.settings.rule {
            UpdateRule::Adam { .. } => {
                let t = i32::try_from(self.steps).unwrap_or(i32::MAX);
                rate * (1.0 - ADAM_SECOND.powi(t)).sqrt() / (1.0 - ADAM_FIRST.powi(t))
            }
            _ => rate,
        }
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
        let kinds = slots_of(self.settings.rule).iter().map(|(name, _)| *name).chain([AVERAGE_SLOT]);
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

/// The weights of a regularizer's penalties, L1 and L2.
fn weights_of(regularizer: Regularizer) -> (f32, f32) {
    match regularizer {
        Regularizer::None => (0.0, 0.0),
        Regularizer::L1(weight) => (weight, 0.0),
        Regularizer::L2(weight) => (0.0, weight),
    }
}

/// The sum of two losses or squares, one of which may not be there yet.
fn plus(sum: Option<Tensor<1>>, part: Tensor<1>) -> Tensor<1> {
    match sum {
        Some(sum) => sum + part,
        None => part,
    }
}

/// A variable's value without its gradient tape.
fn plain<const D: usize>(param: &Param<Tensor<D>>) -> Tensor<D> {
    let value = param.val();
    if value.device().is_autodiff() { value.inner() } else { value }
}

/// The sum of the squares of all gradients, in the order of the parameters.
struct SquareSum<'a> {
    plans: &'a HashMap<ParamId, Update>,
    grads: &'a GradientsParams,
    sum: Option<Tensor<1>>,
}

impl ModuleVisitor for SquareSum<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let (Some(plan), Some(grad)) = (self.plans.get(&param.id), self.grads.get::<D>(param.id)) else { return };
        self.sum = Some(plus(self.sum.take(), gradient_squares(plain(param), grad, *plan)));
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
        let (l1, l2) = weights_of(regularizer);
        self.sum = Some(plus(self.sum.take(), penalty(plain(param), l1, l2)));
    }
}

/// The update itself, parameter by parameter.
struct Move<'a> {
    settings: &'a OptimizerSettings,
    plans: &'a HashMap<ParamId, Update>,
    slots: &'a mut BTreeMap<&'static str, GradientsParams>,
    grads: &'a mut GradientsParams,
    /// What all gradients are scaled by, so that their norm stays in its limit.
    scale: f32,
}

impl Move<'_> {
    fn take<const D: usize>(&mut self, (slot, start): (&'static str, f32), id: ParamId, like: &Tensor<D>) -> Tensor<D> {
        let slots = self.slots.entry(slot).or_default();
        slots.remove::<D>(id).unwrap_or_else(|| Tensor::full(like.shape(), start, &like.device()))
    }

    fn put<const D: usize>(&mut self, slot: &'static str, id: ParamId, value: Tensor<D>) {
        self.slots.entry(slot).or_default().register(id, value);
    }

    /// The variable after the step, with its slots brought up to date.
    fn moved<const D: usize>(&mut self, id: ParamId, old: Tensor<D>, grad: Tensor<D>, plan: Update) -> Tensor<D> {
        let names = slots_of(plan.rule);
        let first = self.take(names[0], id, &old);
        let second = names.get(1).map(|&name| self.take(name, id, &old));
        let plan = Update { factor: plan.factor * self.scale, ..plan };
        let (new, first, second) = update(old, grad, first, second, plan);
        self.put(names[0].0, id, first);
        if let (Some(second), Some((name, _))) = (second, names.get(1)) {
            self.put(name, id, second);
        }
        new
    }
}

impl ModuleMapper for Move<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let (Some(grad), Some(&plan)) = (self.grads.remove::<D>(id), self.plans.get(&id)) else {
            return Param::from_mapped_value(id, tensor, mapper);
        };
        let old = tensor.inner();
        let average = self.settings.moving_average_decay.map(|decay| {
            let slots = self.slots.entry(AVERAGE_SLOT).or_default();
            (decay, slots.remove::<D>(id).unwrap_or_else(|| old.clone()))
        });
        let new = self.moved(id, old, grad, plan);
        if let Some((decay, average)) = average {
            self.put(AVERAGE_SLOT, id, moving_average(average, new.clone(), decay));
        }
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
            self.tensors.register(param.id, plain(param));
        }
    }
}
