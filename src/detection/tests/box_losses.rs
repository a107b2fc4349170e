//! The losses that compare boxes, against the plain functions and against central differences.

use burn::tensor::{Device, Tensor, TensorData};
use proptest::prelude::*;

use crate::losses::{ClassificationLoss, LocalizationLoss};
use crate::region_similarity::{giou, iou};

fn cube(rows: &[[f32; 4]], device: &Device) -> Tensor<3> {
    Tensor::from_data(TensorData::new(rows.concat(), [1, rows.len(), 4]), device)
}

fn weights(values: &[f32], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [1, values.len()]), device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

#[test]
fn worked_by_hand() {
    let device = Device::flex();
    let unit = [0.0, 0.0, 1.0, 1.0];
    // The same box; a shifted one with an overlap of 1/3; one beside it with as much room between; nothing at nothing.
    let boxes = [unit, [0.0, 0.5, 1.0, 1.5], [0.0, 2.0, 1.0, 3.0], [0.5; 4]];
    let targets = [unit, unit, unit, [0.5; 4]];
    let loss = |loss: LocalizationLoss| {
        values(loss.forward(cube(&boxes, &device), cube(&targets, &device), weights(&[1.0, 3.0, 1.0, 2.0], &device)))
    };
    for (ours, wanted) in loss(LocalizationLoss::Iou).iter().zip([0.0, 2.0, 1.0, 2.0]) {
        assert!((ours - wanted).abs() < 1e-6, "{ours} instead of {wanted}");
    }
    for (ours, wanted) in loss(LocalizationLoss::Giou).iter().zip([0.0, 2.0, 1.0 + 1.0 / 3.0, 2.0]) {
        assert!((ours - wanted).abs() < 1e-6, "{ours} instead of {wanted}");
    }
}

#[test]
fn softmax_against_logits_is_softmax_against_their_softmax() {
    let device = Device::flex();
    let logits = [[0.5, -1.0, 2.0, 0.0], [3.0, 3.0, -3.0, 1.0]];
    let targets = [[1.0, 0.0, -1.0, 2.0], [0.0, 5.0, 0.0, 0.0]];
    let one = weights(&[1.0, 0.5], &device);
    let scale = 2.0;
    let ours = ClassificationLoss::LogitsSoftmax { logit_scale: scale }.forward(
        cube(&logits, &device),
        cube(&targets, &device),
        one,
    );
    let softmax = |row: [f32; 4]| {
        let sum: f64 = row.iter().map(|v| f64::from(v / scale).exp()).sum();
        row.map(|v| f64::from(v / scale).exp() / sum)
    };
    for (i, (ours, weight)) in values(ours).iter().zip([1.0, 0.5]).enumerate() {
        let (p, z) = (softmax(logits[i]), softmax(targets[i]));
        let wanted: f64 = -p.iter().zip(z).map(|(p, z)| z * p.ln()).sum::<f64>() * weight;
        assert!((f64::from(*ours) - wanted).abs() < 1e-5, "{ours} instead of {wanted}");
    }
}

#[test]
fn bootstrapping_mixes_the_target_with_the_answer() {
    let device = Device::flex();
    let row = |logit: f32| [[logit, 0.0, 0.0, 0.0]];
    let loss = |hard: bool, logit: f32, target: f32| {
        let loss = ClassificationLoss::BootstrappedSigmoid { alpha: 0.75, hard };
        values(loss.entrywise(cube(&row(logit), &device), cube(&row(target), &device)))[0]
    };
    let cross_entropy = |p: f32, z: f32| -z * p.ln() - (1.0 - z) * (1.0 - p).ln();
    let p = 0.8f32;
    let logit = (p / (1.0 - p)).ln();
    // Of a wrong target of 0: a quarter of the answer, 0.8 or yes.
    assert!((loss(false, logit, 0.0) - cross_entropy(p, 0.2)).abs() < 1e-5);
    assert!((loss(true, logit, 0.0) - cross_entropy(p, 0.25)).abs() < 1e-5);
    assert!((loss(true, -logit, 1.0) - cross_entropy(1.0 - p, 0.75)).abs() < 1e-5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn losses_of_boxes_are_one_less_their_overlap(a in arb_box(), b in arb_box()) {
        let device = Device::flex();
        let loss = |loss: LocalizationLoss| {
            values(loss.forward(cube(&[a], &device), cube(&[b], &device), weights(&[1.0], &device)))[0]
        };
        prop_assert!((loss(LocalizationLoss::Iou) - (1.0 - iou(a, b))).abs() < 1e-5);
        prop_assert!((loss(LocalizationLoss::Giou) - (1.0 - giou(a, b))).abs() < 1e-5);
    }

    #[test]
    fn gradients_of_boxes_are_slopes(a in arb_box(), b in arb_box()) {
        let step = 1e-3;
        // Where two edges meet the slope jumps.
        for (p, t) in a.iter().zip(b) {
            prop_assume!((p - t).abs() > 3.0 * step);
        }
        for axis in 0..2 {
            prop_assume!((a[axis] - b[axis + 2]).abs() > 3.0 * step && (a[axis + 2] - b[axis]).abs() > 3.0 * step);
        }
        let device = Device::flex().autodiff();
        let f64_giou = |a: [f32; 4], kind: LocalizationLoss| 1.0 - overlap(a.map(f64::from), b.map(f64::from), kind);
        for kind in [LocalizationLoss::Iou, LocalizationLoss::Giou] {
            let x = cube(&[a], &device).require_grad();
            let loss = kind.forward(x.clone(), cube(&[b], &device), weights(&[2.0], &device)).sum();
            let gradient = values(x.grad(&loss.backward()).expect("a gradient"));
            for edge in 0..4 {
                let (mut up, mut down) = (a, a);
                up[edge] += step;
                down[edge] -= step;
                let width = f64::from(up[edge]) - f64::from(down[edge]);
                let slope = 2.0 * (f64_giou(up, kind) - f64_giou(down, kind)) / width;
                let deviation = (f64::from(gradient[edge]) - slope).abs();
                prop_assert!(deviation < 1e-3 * slope.abs().max(1.0), "{:?} {}: {} {}", kind, edge, gradient[edge], slope);
            }
        }
    }
}

/// The overlap in double precision, so that differences of it are slopes.
fn overlap(a: [f64; 4], b: [f64; 4], kind: LocalizationLoss) -> f64 {
    let area = |c: [f64; 4]| (c[2] - c[0]) * (c[3] - c[1]);
    let length = |axis: usize| (a[axis + 2].min(b[axis + 2]) - a[axis].max(b[axis])).max(0.0);
    let common = length(0) * length(1);
    let union = area(a) + area(b) - common;
    let hull = area([a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])]);
    if kind == LocalizationLoss::Iou { common / union } else { common / union - (hull - union) / hull }
}

fn arb_box() -> impl Strategy<Value = [f32; 4]> {
    (0.0f32..1.0, 0.0f32..1.0, 0.2f32..1.0, 0.2f32..1.0).prop_map(|(y, x, h, w)| [y, x, y + h, x + w])
}
