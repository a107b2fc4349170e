//! Batch normalization that was folded into the weights, brought back.
//!
//! Exported detectors have each layer's normalization multiplied into its kernel and added to its
//! bias. Such a model detects, but does not train well: under batch statistics a layer with gamma 1
//! computes something else than it did, and everything behind it was trained on. Unfolding measures
//! the mean and variance of each layer's convolution on given images and writes the layer's function
//! in their terms: gamma' = a · √(variance + epsilon), beta' = b + a · mean, where `a · x + b` is what
//! the layer did before. The function at evaluation stays the same, and with batch statistics like
//! those measured it is nearly the same in training.

use std::collections::{BTreeMap, BTreeSet};

use boxwright_detection::HostTensor;
use boxwright_kernels::{Activation, batch_norm_train};
use burn::tensor::Tensor;

use crate::name_map::{Restorable, below_feature_extractor};

/// Mean and variance over batches, channel by channel, in `f64` (Chan's combination of moments).
#[derive(Default)]
struct Moments {
    count: f64,
    mean: Vec<f64>,
    /// Sum of squared distances from the mean.
    squares: Vec<f64>,
}

impl Moments {
    fn add(&mut self, count: f64, mean: &[f32], variance: &[f32]) {
        self.mean.resize(mean.len(), 0.0);
        self.squares.resize(mean.len(), 0.0);
        let total = self.count + count;
        for (channel, (&mean, &variance)) in mean.iter().zip(variance).enumerate() {
            let delta = f64::from(mean) - self.mean[channel];
            self.mean[channel] += delta * count / total;
            self.squares[channel] += f64::from(variance) * count + delta * delta * self.count * count / total;
        }
        self.count = total;
    }
}

/// Measures the layers that `folded` has biases for on `images` (`[batch, 3, height, width]`, RGB from
/// 0 to 255) and gives them batch normalization with those statistics.
///
/// The model must already hold the folded weights ([`crate::restore`]). Layers without gamma or beta
/// cannot be rewritten and stay, as does everything where there are no images.
pub fn unfold_batch_norm<M: Restorable>(
    model: M,
    folded: &BTreeMap<String, HostTensor>,
    images: impl Iterator<Item = Tensor<4>>,
) -> M {
    let epsilons: BTreeMap<String, f32> =
        model.batch_norm_scopes().into_iter().filter(|(scope, _)| has_bias(folded, scope)).collect();
    let scopes: BTreeSet<&str> = epsilons.keys().map(String::as_str).collect();
    let plain = model.valid();
    let mut measured: BTreeMap<String, Moments> = BTreeMap::new();
    for batch in images {
        plain.observe_convolutions(batch.without_autodiff(), &mut |scope, output| {
            if scopes.contains(scope) {
                measure(output, measured.entry(scope.to_owned()).or_default());
            }
        });
    }
    let before = model.variables();
    let mut after = BTreeMap::new();
    for (scope, moments) in &measured {
        if let Some(rewritten) = rewrite(&before, scope, f64::from(epsilons[scope]), moments) {
            after.extend(rewritten);
        }
    }
    model.load_variables(&after).0
}

/// Whether the file has a bias for this layer, under a detector's name or a classifier's.
fn has_bias(folded: &BTreeMap<String, HostTensor>, scope: &str) -> bool {
    let short = below_feature_extractor(scope).unwrap_or(scope);
    [scope, short].iter().any(|scope| folded.contains_key(&format!("{scope}/biases")))
}

/// Adds a batch's statistics. The training kernel of batch normalization is the fastest way to them.
fn measure(output: &Tensor<4>, moments: &mut Moments) {
    let [batch, channels, height, width] = output.dims();
    let device = output.device();
    let (ones, zeros) = (Tensor::ones([channels], &device), Tensor::zeros([channels], &device));
    let (_, mean, variance) = batch_norm_train(output.clone(), ones, zeros, 1e-3, Activation::None);
    let to_host = |tensor: Tensor<1>| tensor.into_data().iter::<f32>().collect::<Vec<_>>();
    moments.add((batch * height * width) as f64, &to_host(mean), &to_host(variance));
}

/// The four variables of a layer in terms of the measured statistics; `None` where one is missing.
fn rewrite(
    before: &BTreeMap<String, HostTensor>,
    scope: &str,
    epsilon: f64,
    moments: &Moments,
) -> Option<Vec<(String, HostTensor)>> {
    let name = |variable: &str| format!("{scope}/BatchNorm/{variable}");
    let old = |variable: &str| before.get(&name(variable)).map(|tensor| &tensor.data);
    let (gamma, beta, mean, variance) = (old("gamma")?, old("beta")?, old("moving_mean")?, old("moving_variance")?);
    let channels = moments.mean.len();
    let mut new = [const { Vec::new() }; 4];
    for c in 0..channels {
        let a = f64::from(*gamma.get(c)?) / (f64::from(*variance.get(c)?) + epsilon).sqrt();
        let b = f64::from(*beta.get(c)?) - f64::from(*mean.get(c)?) * a;
        let (measured_mean, measured_variance) = (moments.mean[c], moments.squares[c] / moments.count);
        new[0].push((a * (measured_variance + epsilon).sqrt()) as f32);
        new[1].push((b + a * measured_mean) as f32);
        new[2].push(measured_mean as f32);
        new[3].push(measured_variance as f32);
    }
    let names = ["gamma", "beta", "moving_mean", "moving_variance"];
    Some(names.iter().zip(new).map(|(n, data)| (name(n), HostTensor { shape: vec![channels], data })).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_batches_are_those_of_all_together() {
        // 1, 2, 3 and 5, 9: mean 4, variance 8.
        let mut moments = Moments::default();
        moments.add(3.0, &[2.0], &[2.0 / 3.0]);
        moments.add(2.0, &[7.0], &[4.0]);
        assert!((moments.mean[0] - 4.0).abs() < 1e-6);
        assert!((moments.squares[0] / moments.count - 8.0).abs() < 1e-6);
    }

    #[test]
    fn the_function_stays_the_same() {
        let tensor = |value: f32| HostTensor { shape: vec![1], data: vec![value] };
        let names = ["gamma", "beta", "moving_mean", "moving_variance"];
        let layer = |values: [f32; 4]| {
            names.iter().zip(values).map(|(n, v)| (format!("s/BatchNorm/{n}"), tensor(v))).collect::<BTreeMap<_, _>>()
        };
        let at = |layer: &BTreeMap<String, HostTensor>, x: f32| {
            let value = |n: &str| layer[&format!("s/BatchNorm/{n}")].data[0];
            (x - value("moving_mean")) / (value("moving_variance") + 0.001).sqrt() * value("gamma") + value("beta")
        };
        let before = layer([1.0, 0.3, 0.0, 0.999]);
        let mut moments = Moments::default();
        moments.add(10.0, &[2.5], &[4.0]);
        let after: BTreeMap<_, _> = rewrite(&before, "s", 0.001, &moments).expect("all there").into_iter().collect();
        for x in [-3.0, 0.0, 7.0] {
            assert!((at(&before, x) - at(&after, x)).abs() < 1e-5);
        }
        assert_eq!(after["s/BatchNorm/moving_mean"].data, [2.5]);
        assert!(rewrite(&BTreeMap::new(), "s", 0.001, &moments).is_none());
    }
}
