//! A batch in parts: gradients are summed over the parts before the optimizer takes its step.
//!
//! It is what a machine does whose memory does not hold the whole batch. The parts' losses are weighted so that
//! their sum is the loss of the whole batch, whatever that is divided by; penalties are added once, by the optimizer.
//! Only batch normalization sees the difference, where it trains: its statistics are those of a part.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use boxwright_config::check::{DatasetFacts, memory_estimate};
use boxwright_config::proto;
use boxwright_detection::LossPart;
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// What a part's loss counts in the batch: its value is multiplied by this, and the sum divided by all of them.
pub(crate) fn share(losses: &[LossPart]) -> Option<f32> {
    losses.first().and_then(|part| part.share)
}

/// Gradients and losses, summed over the parts of a batch.
#[derive(Default)]
pub(crate) struct Accumulated {
    gradients: GradientsParams,
    values: Vec<(&'static str, f64)>,
    /// The shares so far; `None` where losses are plain sums.
    shares: Option<f32>,
}

impl Accumulated {
    /// Adds what one part found. The gradients are those of its loss times its share (1 at least).
    pub fn add<M: Module>(
        &mut self,
        model: &M,
        gradients: GradientsParams,
        values: &[(&'static str, f64)],
        share: Option<f32>,
    ) {
        model.visit(&mut Add { sum: &mut self.gradients, more: gradients });
        let weight = f64::from(share.unwrap_or(1.0).max(1.0));
        if self.values.is_empty() {
            self.values = values.iter().map(|(name, _)| (*name, 0.0)).collect();
        }
        for ((_, sum), (_, value)) in self.values.iter_mut().zip(values) {
            *sum += value * weight;
        }
        self.shares = share.map(|share| self.shares.unwrap_or(0.0) + share);
    }

    /// The gradients and the losses of the whole batch.
    pub fn finish<M: Module>(mut self, model: &M) -> (GradientsParams, Vec<(&'static str, f64)>) {
        let all = self.shares.unwrap_or(1.0).max(1.0);
        model.visit(&mut Scale { gradients: &mut self.gradients, factor: 1.0 / all });
        self.values.iter_mut().for_each(|(_, value)| *value /= f64::from(all));
        (self.gradients, self.values)
    }
}

struct Add<'a> {
    sum: &'a mut GradientsParams,
    more: GradientsParams,
}

impl ModuleVisitor for Add<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(more) = self.more.remove::<D>(param.id) else { return };
        let sum = match self.sum.remove::<D>(param.id) {
            Some(sum) => sum + more,
            None => more,
        };
        self.sum.register(param.id, sum);
    }
}

struct Scale<'a> {
    gradients: &'a mut GradientsParams,
    factor: f32,
}

impl ModuleVisitor for Scale<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.gradients.register(param.id, gradient * self.factor);
        }
    }
}

/// What `work` gives, or the words of the panic with which a device says that its memory is full. Devices have no
/// other way to say so; any other panic goes on.
pub(crate) fn unless_out_of_memory<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).or_else(|payload| match words_of(payload.as_ref()) {
        Some(words) if is_out_of_memory(words) => Err(words.to_owned()),
        _ => resume_unwind(payload),
    })
}

fn words_of(payload: &(dyn Any + Send)) -> Option<&str> {
    payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied())
}

fn is_out_of_memory(words: &str) -> bool {
    let words = words.to_lowercase();
    ["out of memory", "outofmemory", "not enough memory", "memory allocation", "bufferallocationfailed"]
        .iter()
        .any(|sign| words.contains(sign))
}

/// In how many parts the CPU takes a batch: `parts`, or twice as many where the memory that is `available` cannot hold
/// one of them, with the words for it.
pub(crate) fn parts_that_fit(
    config: &proto::TrainEvalPipelineConfig,
    images: usize,
    parts: usize,
    available: Option<u64>,
) -> (usize, Option<String>) {
    let batch = config.train_config.as_ref().map_or(1, proto::TrainConfig::batch_size) as usize;
    let (Some(available), true) = (available, batch > 1) else { return (parts, None) };
    let facts = DatasetFacts { train_images: Some(images as u64), ..Default::default() };
    let Some(estimate) = memory_estimate(config, &facts) else { return (parts, None) };
    if estimate.total() <= available as f64 {
        return (parts, None);
    }
    let gigabytes = |bytes: f64| format!("{:.1} GB", bytes / 1e9);
    let message = format!(
        "a step with {batch} images needs about {}, and {} are free: each step takes the batch in parts of {} and \
         sums their gradients; batch normalization then sees {} images at a time",
        gigabytes(estimate.total()),
        gigabytes(available as f64),
        batch.div_ceil(2),
        batch.div_ceil(2),
    );
    (2 * parts, Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_full_memory_is_caught() {
        assert_eq!(unless_out_of_memory(|| 3), Ok(3));
        let full = unless_out_of_memory(|| panic!("Out of memory: {} bytes", 7));
        assert_eq!(full, Err::<(), _>("Out of memory: 7 bytes".to_owned()));
        let other = catch_unwind(|| unless_out_of_memory(|| panic!("a slip")));
        assert!(other.is_err());
    }

    #[test]
    fn a_batch_that_does_not_fit_is_halved_once() {
        let text = "model { ssd { num_classes: 1 image_resizer { fixed_shape_resizer { height: 300 width: 300 } } \
                    feature_extractor { type: 'ssd_mobilenet_v1' } anchor_generator { ssd_anchor_generator { } } \
                    box_predictor { convolutional_box_predictor { } } } } train_config { batch_size: 8 }";
        let config = boxwright_config::text_format::parse(text, "test").expect("a config");
        assert_eq!(parts_that_fit(&config, 10, 1, Some(1 << 40)), (1, None));
        assert_eq!(parts_that_fit(&config, 10, 3, None), (3, None));
        let (parts, words) = parts_that_fit(&config, 10, 1, Some(300 << 20));
        assert!(parts == 2 && words.is_some_and(|words| words.contains("parts of 4")));
    }
}
