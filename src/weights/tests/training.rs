//! Parity of training steps with TFOD, and of gradients with burn's own operators in `f64`.
//!
//! Step 0 tells whether losses and gradients are right. After that a network in training mode does
//! not forget the last bit: batch normalization over the four values of a 1×1 map, activations that
//! sit at a corner, and the hard example miner's choice make two correct implementations drift
//! apart, so the later steps compare the total. The same sensitivity is why the gradients below the
//! heads are held to `f64` and not to TensorFlow's `f32`.

use std::collections::BTreeMap;
use std::path::Path;

use boxwright_core::geometry::NormalizedBox;
use boxwright_core::label_map::ClassIndex;
use boxwright_detection::{Groundtruth, Mode, Predictions, SsdModel, VariableInfo};
use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor};
use serde_json::Value;

use super::golden::{Row, boxes, integers, number, numbers};
use super::parity::{json, models};
use super::shared::{model, picture};
use crate::read;

/// A golden training run: the model with its first weights, the batch, the numbers.
struct Run {
    model: SsdModel,
    images: Tensor<4>,
    truth: Vec<Groundtruth>,
    golden: Value,
}

impl Run {
    fn open(folder: &Path, device: &Device) -> Self {
        let golden = json(&folder.join("train_momentum.json"));
        let values = read(&folder.join("model.ckpt")).expect("readable");
        let (model, _) = model(&folder.join("pipeline.config"), device).load_variables(&values);
        let names = golden["images"].as_array().expect("images");
        let pictures: Vec<Tensor<4>> =
            names.iter().map(|n| picture(&folder.join(n.as_str().expect("a name")), &model, device)).collect();
        let truth = (0..names.len()).map(|i| groundtruth(&golden, i)).collect();
        Self { model, images: Tensor::cat(pictures, 0), truth, golden }
    }
}

fn groundtruth(golden: &Value, image: usize) -> Groundtruth {
    let bounds = boxes(&golden["groundtruth_boxes"][image]);
    let classes = integers(&golden["groundtruth_classes_0based"][image]);
    Groundtruth {
        weights: vec![1.0; bounds.len()],
        boxes: bounds.into_iter().map(NormalizedBox::from_array).collect(),
        classes: classes.into_iter().map(|c| ClassIndex(c as usize)).collect(),
    }
}

/// The gradient of a variable in the order of its module, in `f64`.
fn gradient(grads: &GradientsParams, info: &VariableInfo) -> Vec<f64> {
    match info.shape.len() {
        4 => grads.get::<4>(info.id).expect("a gradient").into_data().iter::<f64>().collect(),
        _ => grads.get::<1>(info.id).expect("a gradient").into_data().iter::<f64>().collect(),
    }
}

fn norm(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// Momentum of 0.9 and L2, as TensorFlow has them.
struct Step<'a> {
    l2: &'a BTreeMap<ParamId, f32>,
    gradients: &'a mut GradientsParams,
    accumulators: &'a mut GradientsParams,
    rate: f32,
}

impl ModuleMapper for Step<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, mapper) = param.consume();
        let Some(gradient) = self.gradients.remove::<D>(id) else { return Param::from_mapped_value(id, value, mapper) };
        let old = value.inner();
        let gradient = gradient + old.clone() * self.l2.get(&id).copied().unwrap_or(0.0);
        let accumulator = match self.accumulators.remove::<D>(id) {
            Some(accumulator) => accumulator * 0.9 + gradient,
            None => gradient,
        };
        self.accumulators.register(id, accumulator.clone());
        let new = Tensor::from_inner(old - accumulator * self.rate).require_grad();
        Param::from_mapped_value(id, new, mapper)
    }
}

#[test]
fn parity_of_training_steps() {
    let device = Device::flex().autodiff();
    let mut first = Row::new("models train_momentum: losses of step 0", 1e-3);
    let mut heads = Row::new("models train_momentum: gradients of the heads", 1e-2);
    let mut variables = Row::new("models train_momentum: heads and statistics after 1 step", 1e-3);
    let mut later = Row::new("models train_momentum: total loss of steps 1 to 5", 2e-2);
    for folder in models("models") {
        let Run { mut model, images, truth, golden } = Run::open(&folder, &device);
        let infos = model.variable_infos();
        let l2: BTreeMap<ParamId, f32> = infos.iter().map(|info| (info.id, info.l2)).collect();
        check_names(&infos, &golden);
        let mut accumulators = GradientsParams::new();
        for (step, losses) in golden["losses_before_each_update"].as_array().expect("losses").iter().enumerate() {
            let predictions = model.forward(images.clone(), Mode::Train);
            let ours = model.losses(&predictions, &truth);
            let total = ours.localization.clone() + ours.classification.clone();
            let parts = [ours.localization.into_scalar::<f32>(), ours.classification.into_scalar::<f32>()];
            let golden_parts = [number(&losses["localization"]), number(&losses["classification"])];
            if step == 0 {
                first.case();
                first.compare("step 0", &parts, &golden_parts);
            }
            later.case();
            later.compare(&format!("step {step}"), &[parts[0] + parts[1]], &[golden_parts[0] + golden_parts[1]]);
            if losses["note"].is_string() {
                break;
            }
            let mut gradients = GradientsParams::from_grads(total.backward(), &model);
            if step == 0 {
                compare_gradients(&mut heads, &model, &gradients, &golden);
            }
            let rate = number(&losses["learning_rate"]);
            let (gradients, accumulators) = (&mut gradients, &mut accumulators);
            model = model.map(&mut Step { l2: &l2, gradients, accumulators, rate });
            if step == 0 {
                compare_variables(&mut variables, &model, &golden["variables_after"]["after_1_steps"]);
            }
        }
    }
    first.finish();
    heads.finish();
    variables.finish();
    later.finish();
}

/// The same variables are trained and regularized as in TFOD.
fn check_names(infos: &[VariableInfo], golden: &Value) {
    let sorted = |names: Vec<&str>| {
        let mut names = names;
        names.sort_unstable();
        names.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let listed = |key: &str| {
        sorted(golden[key].as_array().expect("names").iter().map(|n| n.as_str().expect("a name")).collect())
    };
    let ours =
        |keep: fn(&&VariableInfo) -> bool| sorted(infos.iter().filter(keep).map(|info| info.name.as_str()).collect());
    assert_eq!(ours(|info| info.trainable), listed("trainable_variables"));
    assert_eq!(ours(|info| info.l2 > 0.0), listed("regularized_variables"));
}

/// Norms of the gradients of the total loss, regularization included; those of the heads are compared.
fn compare_gradients(row: &mut Row, model: &SsdModel, grads: &GradientsParams, golden: &Value) {
    let values = model.variables();
    let infos: BTreeMap<String, VariableInfo> =
        model.variable_infos().into_iter().map(|info| (info.name.clone(), info)).collect();
    for golden in golden["step0_gradients"].as_array().expect("gradients") {
        let name = golden["name"].as_str().expect("a name");
        if !name.starts_with("BoxPredictor") {
            continue;
        }
        let info = &infos[name];
        // 1×1 kernels: the device's order is [out, in], TensorFlow's [in, out].
        let (inputs, outputs) = match info.shape[..] {
            [1, 1, inputs, outputs] => (inputs, outputs),
            _ => (1, info.shape[0]),
        };
        let device_order = gradient(grads, info);
        let total: Vec<f64> = (0..inputs * outputs)
            .map(|i| device_order[i % outputs * inputs + i / outputs] + f64::from(info.l2 * values[name].data[i]))
            .collect();
        // A head that no chosen anchor asked has no gradient.
        let golden_norm = golden["l2"].as_f64().expect("a norm").max(1e-9);
        let relative = |values: &[f64]| values.iter().map(|g| (g / golden_norm) as f32).collect::<Vec<_>>();
        row.case();
        row.compare(&format!("{name} norm"), &relative(&[norm(total.iter().copied()).max(1e-9)]), &[1.0]);
        let golden_first: Vec<f64> = numbers(&golden["first4"]).into_iter().map(f64::from).collect();
        row.compare(&format!("{name} first"), &relative(&total[..golden_first.len()]), &relative(&golden_first));
    }
}

fn compare_variables(row: &mut Row, model: &SsdModel, golden: &Value) {
    let values = model.variables();
    for variable in golden.as_array().expect("variables") {
        let name = variable["name"].as_str().expect("a name");
        if !name.starts_with("BoxPredictor") && !name.contains("moving_") {
            continue;
        }
        let data = &values[name].data;
        let golden_norm = variable["l2"].as_f64().expect("a norm").max(1e-12);
        row.case();
        row.compare(
            &format!("{name} norm"),
            &[(norm(data.iter().map(|v| f64::from(*v))) / golden_norm) as f32],
            &[1.0],
        );
        let golden_first = numbers(&variable["first4"]);
        row.compare(&format!("{name} first"), &data[..golden_first.len()], &golden_first);
    }
}

/// A model in double precision: every operator then is burn's own.
struct ToF64;

impl ModuleMapper for ToF64 {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, mapper) = param.consume();
        let wanted = value.is_require_grad();
        let value = Tensor::from_inner(value.inner().cast(DType::F64));
        Param::from_mapped_value(id, if wanted { value.require_grad() } else { value }, mapper)
    }
}

#[test]
fn parity_of_gradients_with_f64() {
    let device = Device::flex().autodiff();
    let (mut cases, mut largest, mut worst) = (0, 0.0f64, String::new());
    for folder in models("models") {
        let Run { model, images, truth, .. } = Run::open(&folder, &device);
        let precise = model.clone().map(&mut ToF64);
        let predictions = precise.forward(images.clone().cast(DType::F64), Mode::Train);
        let predictions = Predictions {
            box_encodings: predictions.box_encodings.cast(DType::F32),
            class_logits: predictions.class_logits.cast(DType::F32),
        };
        let losses = precise.losses(&predictions, &truth);
        let precise_grads =
            GradientsParams::from_grads((losses.localization + losses.classification).backward(), &precise);
        let losses = model.losses(&model.forward(images, Mode::Train), &truth);
        let grads = GradientsParams::from_grads((losses.localization + losses.classification).backward(), &model);
        for info in model.variable_infos().iter().filter(|info| info.trainable) {
            let (ours, theirs) = (gradient(&grads, info), gradient(&precise_grads, info));
            let difference = norm(ours.iter().zip(&theirs).map(|(a, b)| a - b));
            let deviation = difference / norm(theirs).max(1e-6);
            cases += 1;
            if deviation > largest {
                (largest, worst) = (deviation, info.name.clone());
            }
        }
    }
    println!("models gradients against f64 | {cases} | {largest:.3e} | 5e-2");
    assert!(largest <= 0.05, "{worst}: {largest}");
}
