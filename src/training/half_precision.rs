//! Mixed precision (Micikevicius et al., 2018): convolutions in f16, everything that adds up in f32.
//!
//! Small gradients would be 0 in f16, so the loss is multiplied before the backward pass, and the gradients are
//! divided again before the optimizer sees them. The factor is as large as goes: it is doubled after many good steps,
//! and where a gradient overflows it is halved and the step is skipped. A power of two changes no bit of what fits.

use boxwright_core::run::Precision;
use boxwright_kernels::{Padding, conv2d};
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::TrainingError;

/// What the loss is multiplied by at first.
const FIRST_SCALE: f32 = 32_768.0;

/// So many good steps in a row double it.
const GOOD_STEPS: u32 = 2000;

/// It is never larger than this; below the least one the gradients themselves are no numbers.
const LARGEST_SCALE: f32 = 16_777_216.0;
const LEAST_SCALE: f32 = 1.0 / 1024.0;

/// The factor, and what has led to it. It travels in checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LossScale {
    /// What the loss is multiplied by now.
    pub scale: f32,
    /// Good steps since it last changed.
    pub good_steps: u32,
    /// Steps that were skipped in all.
    pub skipped: u64,
}

impl Default for LossScale {
    fn default() -> Self {
        Self { scale: FIRST_SCALE, good_steps: 0, skipped: 0 }
    }
}

impl LossScale {
    /// Takes in whether a step's gradients were all finite.
    fn observe(&mut self, finite: bool) {
        if !finite {
            (self.scale, self.good_steps) = (self.scale / 2.0, 0);
            self.skipped += 1;
            return;
        }
        self.good_steps += 1;
        if self.good_steps == GOOD_STEPS {
            (self.scale, self.good_steps) = ((self.scale * 2.0).min(LARGEST_SCALE), 0);
        }
    }

    /// The gradients as they are without the factor; `None` where one of them overflowed, and the step must be skipped.
    ///
    /// # Errors
    /// They are no numbers however small the factor is.
    pub fn unscaled<M: Module>(
        &mut self,
        model: &M,
        gradients: GradientsParams,
    ) -> Result<Option<GradientsParams>, TrainingError> {
        let mut unscale = Unscale { gradients, factor: 1.0 / self.scale, sum: None };
        model.visit(&mut unscale);
        // A sum of magnitudes is finite just where all of them are.
        let finite = unscale.sum.is_none_or(|sum| sum.into_scalar::<f32>().is_finite());
        self.observe(finite);
        if self.scale < LEAST_SCALE {
            return Err(TrainingError::NotFinite(
                "the gradients are no numbers, however small the loss scale; go on with --resume --precision f32"
                    .into(),
            ));
        }
        Ok(finite.then_some(unscale.gradients))
    }
}

struct Unscale {
    gradients: GradientsParams,
    factor: f32,
    sum: Option<Tensor<1>>,
}

impl ModuleVisitor for Unscale {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(gradient) = self.gradients.remove::<D>(param.id) else { return };
        let gradient = gradient * self.factor;
        let magnitudes = gradient.clone().abs().sum();
        self.sum = Some(match self.sum.take() {
            Some(sum) => sum + magnitudes,
            None => magnitudes,
        });
        self.gradients.register(param.id, gradient);
    }
}

/// What is said of a device on which f16 is asked for; nothing is said of f32.
///
/// # Errors
/// The device has no f16, or its convolutions in f16 are not those of the CPU.
pub(crate) fn require(precision: Precision, device: &Device, name: &str) -> Result<Option<String>, TrainingError> {
    if precision == Precision::F32 {
        return Ok(None);
    }
    if !device.supports_dtype(DType::F16) {
        return Err(TrainingError::Device(format!(
            "{name}: the adapter or its driver has no 16-bit floats in shaders (SHADER_F16), which --precision f16 \
             needs; train with --precision f32, or choose another device of `boxwright devices`"
        )));
    }
    let device = device.clone().autodiff();
    let answer = |device: Device, float| catch_unwind(AssertUnwindSafe(|| probe(&device, float)));
    let wrong = |what: String| {
        let message = format!("{name}: {what}; train with --precision f32, and bring the driver up to date");
        Err(TrainingError::Device(message))
    };
    let Ok(found) = answer(device.clone(), FloatDType::F16) else {
        return wrong("a convolution in f16 fails on this device".into());
    };
    let distance = distance(&found, &probe(&Device::flex().autodiff(), FloatDType::F32));
    // Eleven bits, and sums of at most a hundred products.
    if distance.is_nan() || distance > 0.01 {
        return wrong(format!("a convolution in f16 is off by {distance:.3} of its largest value on this device"));
    }
    let words = "convolutions in f16 with a loss scale, everything else in f32".to_owned();
    Ok(Some(if name.starts_with("CPU") {
        format!("{words}; the CPU has no fast f16, --precision f32 is several times as fast on it")
    } else {
        words
    }))
}

/// What a small convolution gives in this type, and its gradients.
fn probe(device: &Device, float: FloatDType) -> [Vec<f32>; 3] {
    let wave = |shape: [usize; 4], step: f32| {
        let values = (0..shape.iter().product()).map(|i| (i as f32 * step).sin()).collect::<Vec<_>>();
        Tensor::<4>::from_data(TensorData::new(values, shape), device).require_grad()
    };
    let (x, weight) = (wave([2, 8, 7, 7], 0.37), wave([8, 8, 3, 3], 0.73));
    let padding = Padding { top: 0, bottom: 1, left: 0, right: 1 };
    let y = conv2d(x.clone().cast(float), weight.clone().cast(float), None, [2, 2], padding).cast(FloatDType::F32);
    let gradients = (y.clone() * y.clone()).mean().backward();
    let values = |tensor: Option<Tensor<4>>| tensor.and_then(|t| t.into_data().try_to_vec().ok()).unwrap_or_default();
    [values(Some(y.inner())), values(x.grad(&gradients)), values(weight.grad(&gradients))]
}

/// The largest distance, in parts of the largest value of each.
fn distance(found: &[Vec<f32>; 3], wanted: &[Vec<f32>; 3]) -> f32 {
    let one = |(found, wanted): (&Vec<f32>, &Vec<f32>)| {
        let largest = wanted.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        let off = found.iter().zip(wanted).map(|(a, b)| (a - b).abs());
        let most = off.fold(0.0, worse);
        if found.len() == wanted.len() { most / largest } else { f32::NAN }
    };
    found.iter().zip(wanted).map(one).fold(0.0, worse)
}

/// The larger of two distances; one that is no number wins.
fn worse(one: f32, other: f32) -> f32 {
    if one.is_nan() || other <= one { one } else { other }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_halves_on_overflow_and_doubles_after_two_thousand_good_steps() {
        let mut scale = LossScale::default();
        let mut after = |finite: bool, times: u32| {
            (0..times).for_each(|_| scale.observe(finite));
            (scale.scale, scale.good_steps, scale.skipped)
        };
        assert_eq!(after(true, 1999), (32_768.0, 1999, 0));
        assert_eq!(after(true, 1), (65_536.0, 0, 0));
        assert_eq!(after(true, 1500), (65_536.0, 1500, 0));
        assert_eq!(after(false, 1), (32_768.0, 0, 1), "a bad step begins the count anew");
        assert_eq!(after(false, 2), (8192.0, 0, 3));
        assert_eq!(after(true, 1999), (8192.0, 1999, 3));
        assert_eq!(after(true, 1), (16_384.0, 0, 3));
        assert_eq!(after(true, 40 * 2000), (LARGEST_SCALE, 0, 3));
    }

    #[test]
    fn a_probe_that_is_off_is_seen() {
        let right = probe(&Device::flex().autodiff(), FloatDType::F32);
        assert!(right.iter().all(|values| values.iter().any(|value| value.abs() > 1e-3)));
        assert_eq!(distance(&right, &right), 0.0);
        for bad in [f32::NAN, f32::INFINITY, 100.0] {
            let mut other = right.clone();
            other[2][3] = bad;
            let distance = distance(&other, &right);
            assert!(distance.is_nan() || distance > 1.0, "{bad}: {distance}");
        }
        let cut = [right[0].clone(), right[1].clone(), Vec::new()];
        assert!(distance(&cut, &right).is_nan());
    }
}
