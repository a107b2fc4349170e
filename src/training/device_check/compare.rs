//! One layer on two devices.
//!
//! Both sides get the same numbers. The gradient that comes from above is worked out from the reference's result and
//! given to both, so a wrong forward pass does not make the backward pass look wrong: each direction stands for itself.

use std::panic::{AssertUnwindSafe, catch_unwind};

use boxwright_kernels::{Activation, LayerShape};
use burn::tensor::{DType, Device, Tensor, TensorData};

/// What a side does for a layer.
pub(crate) type Operator<'a> = &'a dyn Fn(&LayerShape, Tensor<4>, &[Tensor<4>]) -> Vec<Tensor<4>>;

/// Where a layer runs, and in which precision.
pub(crate) struct Side<'a> {
    device: Device,
    dtype: DType,
    operator: Operator<'a>,
}

impl Side<'static> {
    /// The operators of the house.
    pub fn new(device: &Device, dtype: DType) -> Self {
        Self { device: device.clone(), dtype, operator: &|shape, x, parameters| shape.apply(x, parameters) }
    }
}

impl<'a> Side<'a> {
    /// Other operators instead: what a broken driver does.
    #[cfg(test)]
    pub fn with_operator(device: &Device, dtype: DType, operator: Operator<'a>) -> Self {
        Self { device: device.clone(), dtype, operator }
    }
}

/// How far apart two results are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Comparison {
    /// `forward`, or which gradient.
    pub part: String,
    /// The largest difference, as part of the largest value.
    pub deviation: f32,
}

/// Runs a layer on both sides, forward and backward.
///
/// # Errors
/// What the tested side said where it crashed.
pub(crate) fn compare(shape: &LayerShape, reference: &Side<'_>, tested: &Side<'_>) -> Result<Vec<Comparison>, String> {
    let numbers = Numbers::of(shape);
    let mut gradient = None;
    let expected = run(shape, &numbers, reference, &mut gradient);
    let found = catch_unwind(AssertUnwindSafe(|| run(shape, &numbers, tested, &mut gradient)));
    let found = found.map_err(|panic| said(panic.as_ref()))?;
    let compared = expected.into_iter().zip(found);
    Ok(compared.map(|((part, a), (_, b))| Comparison { part, deviation: deviation(&a, &b) }).collect())
}

/// What a panic said, in one line.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("the device failed without a word");
    text.split_whitespace().take(60).collect::<Vec<_>>().join(" ")
}

/// The numbers that go into a layer.
struct Numbers {
    x: Vec<f32>,
    parameters: Vec<Vec<f32>>,
}

impl Numbers {
    fn of(shape: &LayerShape) -> Self {
        // What is cut off must be met on both sides of the cut: results reach from below 0 to above 6.
        let spread =
            if matches!(shape, LayerShape::Activation { .. } | LayerShape::HardSwish { .. }) { 9.0 } else { 1.0 };
        let parameter = |(stream, (name, dims)): (u32, (&str, [usize; 4]))| {
            let (middle, spread) = if matches!(name, "gamma" | "scale") { (5.0, 4.0) } else { (0.0, 1.0) };
            values(dims, stream).map(|v| middle + spread * v).collect()
        };
        Self {
            x: values(shape.input(), 0).map(|v| spread * v).collect(),
            parameters: (1..).zip(shape.parameters()).map(parameter).collect(),
        }
    }
}

/// Numbers from -1 to 1 that look random, and of which no two within 16 million are the same: where a maximum or a
/// sign decides, both sides must decide alike.
fn values(dims: [usize; 4], stream: u32) -> impl Iterator<Item = f32> {
    const MASK: u32 = (1 << 24) - 1;
    let count = dims.iter().product::<usize>();
    let start = stream.wrapping_mul(0x009E_3779);
    (0..count).map(move |i| {
        // Each step can be undone within 24 bits, so different numbers stay different.
        let mut v = (i as u32).wrapping_add(start) & MASK;
        for odd in [0x00C2_B2AF, 0x0085_EBCB] {
            v = v.wrapping_mul(odd) & MASK;
            v ^= v >> 13;
        }
        (f64::from(v) / f64::from(MASK) * 2.0 - 1.0) as f32
    })
}

/// The results and the gradients of a layer by name. The reference's run puts the gradient from above in, the other
/// one takes it.
fn run(
    shape: &LayerShape,
    numbers: &Numbers,
    side: &Side<'_>,
    gradient: &mut Option<Vec<f32>>,
) -> Vec<(String, Vec<f32>)> {
    let backward = shape.is_differentiable();
    let device = if backward { side.device.clone().autodiff() } else { side.device.clone() };
    let tensor = |values: &[f32], dims: [usize; 4]| {
        let tensor = Tensor::<4>::from_data(TensorData::new(values.to_vec(), dims), (&device, side.dtype));
        if backward { tensor.require_grad() } else { tensor }
    };
    let x = tensor(&numbers.x, shape.input());
    let dims = shape.parameters();
    let parameters: Vec<Tensor<4>> =
        numbers.parameters.iter().zip(&dims).map(|(values, (_, dims))| tensor(values, *dims)).collect();
    let results = (side.operator)(shape, x.clone(), &parameters);
    let names = ["forward", "mean of the batch", "variance of the batch"];
    let mut all: Vec<(String, Vec<f32>)> =
        names.iter().zip(&results).map(|(name, result)| ((*name).to_owned(), host(result.clone()))).collect();
    let (Some(y), true) = (results.into_iter().next(), backward) else { return all };
    let from_above = gradient.get_or_insert_with(|| from_above(shape, &all[0].1));
    let from_above = Tensor::<4>::from_data(TensorData::new(from_above.clone(), y.dims()), (&device, side.dtype));
    let gradients = (y * from_above).sum().backward();
    let of = |t: &Tensor<4>| t.grad(&gradients).map(host).unwrap_or_default();
    all.push(("gradient of the input".to_owned(), of(&x)));
    all.extend(parameters.iter().zip(&dims).map(|(t, (name, _))| (format!("gradient of the {name}"), of(t))));
    all
}

/// The gradient from above. An activation passes it on or not by the sign of a number that both sides round
/// differently, so it fades out there; elsewhere it is as good as random.
fn from_above(shape: &LayerShape, y: &[f32]) -> Vec<f32> {
    match shape.activation() {
        Activation::None => values([y.len(), 1, 1, 1], 9).collect(),
        Activation::Relu => y.to_vec(),
        Activation::Relu6 => y.iter().map(|y| y * (6.0 - y) / 3.0).collect(),
    }
}

fn host(tensor: Tensor<4>) -> Vec<f32> {
    let data = tensor.into_data();
    match data.try_to_vec::<f32>() {
        Ok(values) => values,
        Err(_) => data.iter::<f32>().collect(),
    }
}

/// The largest difference over the largest value; infinite where the counts differ or a number is none.
fn deviation(expected: &[f32], got: &[f32]) -> f32 {
    if expected.len() != got.len() || got.iter().any(|v| !v.is_finite()) {
        return f32::INFINITY;
    }
    let scale = expected.iter().fold(f32::MIN_POSITIVE, |m, v| m.max(v.abs()));
    expected.iter().zip(got).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_result_is_seen() {
        assert_eq!(deviation(&[1.0, 2.0], &[1.0, 2.0]), 0.0);
        assert_eq!(deviation(&[1.0, 2.0], &[1.0, 2.2]), (2.2f32 - 2.0) / 2.0);
        assert_eq!(deviation(&[1.0], &[f32::NAN]), f32::INFINITY);
        assert_eq!(deviation(&[1.0], &[]), f32::INFINITY);
    }

    #[test]
    fn numbers_are_spread_and_never_the_same() {
        let mut all: Vec<f32> = values([1, 1, 1, 100_000], 3).collect();
        let mean = all.iter().sum::<f32>() / 1e5;
        assert!(mean.abs() < 0.01, "{mean}");
        let beside: f32 = all.windows(2).map(|pair| pair[0] * pair[1]).sum::<f32>() / 1e5;
        assert!(beside.abs() < 0.01, "neighbours hang together: {beside}");
        all.sort_by(f32::total_cmp);
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(all[0] < -0.99 && all[all.len() - 1] > 0.99);
    }
}
