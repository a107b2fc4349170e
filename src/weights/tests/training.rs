//! Parity of the first losses and gradients with TFOD, and of gradients with burn's own operators in
//! `f64`. What optimizers make of them is the training room's.
//!
//! Step 0 tells whether losses and gradients are right. Below the heads a gradient is no number that
//! two implementations can agree on: each of some forty layers of batch normalization and clipped
//! activations magnifies the last bit, so that in exact arithmetic (`f64`) a change of the pictures by
//! 1e-5 grey levels moves the gradients of the first layers by 1 %, and one of 1e-3 grey levels by 85 %.
//! TensorFlow's `f32`, whose batch statistics are plain sums, lies 3 to 30 % from `f64`, ours 1 %. So the
//! gradients below the heads are held to `f64`.

use std::collections::BTreeMap;
use std::path::Path;

use boxwright_core::geometry::NormalizedBox;
use boxwright_core::label_map::ClassIndex;
use boxwright_detection::regularizers::Regularizer;
use boxwright_detection::{Groundtruth, Mode, Predictions, SsdModel, VariableInfo};
use boxwright_golden::{Row, Value, boxes, integers, json, number, numbers};
use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor};

use super::parity::models;
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

#[test]
fn parity_of_the_first_gradients() {
    let device = Device::flex().autodiff();
    let mut first = Row::new("models (losses of step 0)", 1e-3);
    let mut heads = Row::new("models (gradients of the heads)", 1e-2);
    for folder in models("models") {
        let Run { model, images, truth, golden } = Run::open(&folder, &device);
        check_names(&model.variable_infos(), &golden);
        let losses = model.losses(&model.forward(images, Mode::Train), &truth);
        let total = losses.localization.clone() + losses.classification.clone();
        let ours = [losses.localization.into_scalar::<f32>(), losses.classification.into_scalar::<f32>()];
        let row = &golden["losses_before_each_update"][0];
        first.case();
        first.compare("step 0", &ours, &[number(&row["localization"]), number(&row["classification"])]);
        let gradients = GradientsParams::from_grads(total.backward(), &model);
        compare_gradients(&mut heads, &model, &gradients, &golden);
    }
    first.finish();
    heads.finish();
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
    assert_eq!(ours(|info| info.regularizer != Regularizer::None), listed("regularized_variables"));
}

/// A parameter's values in TensorFlow's order: the device's kernels are `[out, in, h, w]` or `[channels, 1, h, w]`.
fn in_tensorflows_order(device: &[f64], shape: &[usize]) -> Vec<f64> {
    let &[h, w, a, b] = shape else { return device.to_vec() };
    let places = h * w;
    let of = |place: usize, input: usize, output: usize| {
        if b == 1 && a > 1 && places > 1 {
            device[input * places + place]
        } else {
            device[(output * a + input) * places + place]
        }
    };
    (0..places * a * b).map(|i| of(i / (a * b), i / b % a, i % b)).collect()
}

/// Norms of the gradients of the total loss, regularization included; those of the heads are compared.
fn compare_gradients(row: &mut Row, model: &SsdModel, grads: &GradientsParams, golden: &Value) {
    let values = model.variables();
    let infos: BTreeMap<String, VariableInfo> =
        model.variable_infos().into_iter().map(|info| (info.name.clone(), info)).collect();
    for golden in golden["step0_gradients"].as_array().expect("gradients") {
        let name = golden["name"].as_str().expect("a name");
        // Behind a separable head's depthwise half is batch normalization, over four values on a 1×1 map.
        if !name.starts_with("BoxPredictor") || name.contains("_depthwise/") {
            continue;
        }
        let info = &infos[name];
        let gradient = in_tensorflows_order(&gradient(grads, info), &info.shape);
        let penalty = |v: f32| match info.regularizer {
            Regularizer::None => 0.0,
            Regularizer::L1(weight) => f64::from(weight * v.signum()),
            Regularizer::L2(weight) => f64::from(weight * v),
        };
        let total: Vec<f64> = gradient.iter().zip(&values[name].data).map(|(g, v)| g + penalty(*v)).collect();
        // A head that no chosen anchor asked has no gradient.
        let golden_norm = golden["l2"].as_f64().expect("a norm").max(1e-9);
        let relative = |values: &[f64]| values.iter().map(|g| (g / golden_norm) as f32).collect::<Vec<_>>();
        row.case();
        row.compare(&format!("{name} norm"), &relative(&[norm(total.iter().copied()).max(1e-9)]), &[1.0]);
        let golden_first: Vec<f64> = numbers(&golden["first4"]).into_iter().map(f64::from).collect();
        row.compare(&format!("{name} first"), &relative(&total[..golden_first.len()]), &relative(&golden_first));
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
    let mut row = Row::new("models (gradients against f64)", 0.05);
    for folder in models("models") {
        let name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
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
        let infos: Vec<VariableInfo> = model.variable_infos().into_iter().filter(|info| info.trainable).collect();
        let all = norm(infos.iter().flat_map(|info| gradient(&precise_grads, info)));
        for info in &infos {
            let (ours, theirs) = (gradient(&grads, info), gradient(&precise_grads, info));
            let difference = norm(ours.iter().zip(&theirs).map(|(a, b)| a - b));
            // A beta before another normalization has no gradient but rounding.
            let deviation = difference / norm(theirs).max(1e-5 * all);
            row.case();
            row.deviation(|| format!("{name} {}", info.name), deviation);
        }
    }
    row.finish();
}
