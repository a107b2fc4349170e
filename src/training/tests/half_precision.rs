//! Convolutions in f16 with a loss scale, beside those in f32, on a small model.

use std::collections::BTreeMap;

use boxwright_core::run::Precision;
use boxwright_detection::{DetectionModel, Groundtruth, HostTensor};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};

use super::step_features::{SIDE, batch, distance, model, sgd};
use crate::device::{DeviceChoice, list_devices, open_device};
use crate::draws::Draws;
use crate::half_precision::{LossScale, require};

/// A model whose kernels neither shrink nor blow up what goes through them.
fn lively_model() -> DetectionModel {
    let model = model(true);
    let mut values = model.variables();
    let mut draws = Draws::new(5, 1, 0);
    for (_, kernel) in values.iter_mut().filter(|(name, _)| name.ends_with("weights")) {
        let inputs = kernel.shape.iter().take(if kernel.shape[3] == 1 { 2 } else { 3 }).product::<usize>();
        let most = (6.0 / inputs as f32).sqrt();
        kernel.data.iter_mut().for_each(|value| *value = draws.within((-most, most)));
    }
    model.load_variables(&values).0
}

/// The gradients of the loss times a factor, and the loss.
fn gradients(model: &DetectionModel, images: &[f32], truth: &[Groundtruth], factor: f32) -> (GradientsParams, f32) {
    let data = TensorData::new(images.to_vec(), [truth.len(), 3, SIDE, SIDE]);
    let losses = model.losses(Tensor::from_data(data, &model.device()), truth);
    let total = losses.into_iter().map(|part| part.value).reduce(|sum, part| sum + part).expect("losses");
    let loss = total.clone().into_scalar::<f32>();
    (GradientsParams::from_grads((total * factor).backward(), model), loss)
}

/// The variables that gradients move.
fn trained(model: &DetectionModel) -> BTreeMap<String, HostTensor> {
    let mut variables = model.variables();
    variables.retain(|name, _| !name.contains("/moving_"));
    variables
}

#[test]
fn a_step_in_f16_is_nearly_that_in_f32_and_variables_stay_in_f32() {
    let (images, truth) = batch();
    let plain = lively_model();
    let before = trained(&plain);
    let (whole, loss) = gradients(&plain, &images, &truth, 1.0);
    let whole = sgd(&plain, Some(10.0)).step(plain.clone(), whole, 0.01);
    let whole = trained(&whole);

    let half = plain.with_half_convolutions(true);
    let mut scale = LossScale::default();
    let (found, of_half) = loop {
        let (found, loss) = gradients(&half, &images, &truth, scale.scale);
        if let Some(found) = scale.unscaled(&half, found).expect("numbers at some scale") {
            break (found, loss);
        }
    };
    let moved = sgd(&half, Some(10.0)).step(half.clone(), found, 0.01);
    assert!((loss - of_half).abs() < 0.01 * loss, "{of_half} instead of {loss}");
    let off = distance(&whole, &trained(&moved), &before);
    // Eleven bits through forty convolutions; equal would be f32.
    assert!(off > 1e-4 && off < 0.05, "{off}");
    let (again, _) = gradients(&moved.with_half_convolutions(false), &images, &truth, 1.0);
    assert_eq!(again.len(), half.variable_infos().iter().filter(|info| info.trainable).count());
}

#[test]
fn a_step_that_overflows_is_skipped_and_the_scale_halved_until_it_fits() {
    let (images, truth) = batch();
    let half = lively_model().with_half_convolutions(true);
    let mut scale = LossScale { scale: 16_777_216.0 * 16.0, ..LossScale::default() };
    let first = scale.scale;
    let (found, _) = gradients(&half, &images, &truth, scale.scale);
    assert!(scale.unscaled(&half, found).expect("may be skipped").is_none(), "f16 ends at 65504");
    assert_eq!((scale.scale, scale.skipped), (first / 2.0, 1));
    while scale.good_steps == 0 {
        let (found, _) = gradients(&half, &images, &truth, scale.scale);
        scale.unscaled(&half, found).expect("a scale that fits is found");
    }
    assert!(scale.scale >= 1.0 && scale.skipped > 1, "{scale:?}");
    // Gradients that are no numbers without any scale end the run, and do not skip for ever.
    let mut scale = LossScale { scale: 1.0, ..LossScale::default() };
    let error = (0..20).find_map(|_| {
        let (found, _) = gradients(&half, &images, &truth, f32::NAN);
        scale.unscaled(&half, found).err()
    });
    assert!(error.expect("an end").to_string().contains("--precision f32"));
}

#[test]
fn a_device_is_asked_for_f16_before_a_run_begins() {
    let cpu = Device::flex();
    assert_eq!(require(Precision::F32, &cpu, "CPU (flex)").expect("nothing to ask"), None);
    let words = require(Precision::F16, &cpu, "CPU (flex)").expect("it has f16").expect("a word");
    assert!(words.contains("loss scale") && words.contains("no fast f16"), "{words}");
    for index in 0..list_devices().len() - 1 {
        let (device, name) = open_device(DeviceChoice::Adapter(index)).expect("listed");
        match require(Precision::F16, &device, &name) {
            Ok(words) => println!("{name}: {}", words.expect("a word")),
            Err(error) => assert!(error.to_string().contains("--precision f32"), "{error}"),
        }
    }
}
