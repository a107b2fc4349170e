//! The passes of an optimizer: worked by hand, and fused against composed.

use super::{assert_close, from, numbers, tensor};
use crate::backend::KernelBackend;
use crate::composed;
use crate::update::{Update, UpdateRule, gradient_squares, moving_average, penalty, update};
use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::{Tensor, TensorData};

const RULES: [UpdateRule; 3] = [
    UpdateRule::Momentum { momentum: 0.9 },
    UpdateRule::RmsProp { decay: 0.9, momentum: 0.8, epsilon: 0.5 },
    UpdateRule::Adam { epsilon: 1e-3 },
];

fn plain(values: &[f32]) -> Tensor<1> {
    from(values.to_vec(), [values.len()]).inner()
}

fn how(rule: UpdateRule) -> Update {
    Update { rule, rate: 0.5, l1: 0.0, l2: 0.0, factor: 1.0 }
}

#[test]
fn each_rule_worked_by_hand() {
    let step = |rule, gradient: f32, first: f32, second: Option<f32>| {
        let second = second.map(|second| plain(&[second]));
        let (value, first, second) = update(plain(&[10.0]), plain(&[gradient]), plain(&[first]), second, how(rule));
        (numbers(&value)[0], numbers(&first)[0], second.map(|second| numbers(&second)[0]))
    };
    // 0.5 · 4 + 2 = 4, 10 − 0.5 · 4 = 8.
    assert_eq!(step(UpdateRule::Momentum { momentum: 0.5 }, 2.0, 4.0, None), (8.0, 4.0, None));
    // 0.5 · 4 + 0.5 · 4 = 4, √(4 + 5) = 3; 0.5 · 2 + 0.5 · 2 / 3.
    let rule = UpdateRule::RmsProp { decay: 0.5, momentum: 0.5, epsilon: 5.0 };
    let (value, first, second) = step(rule, 2.0, 4.0, Some(2.0));
    assert!((value - (10.0 - 4.0 / 3.0)).abs() < 1e-6 && first == 4.0);
    assert!(second.is_some_and(|second| (second - 4.0 / 3.0).abs() < 1e-6));
    // 0.9 · 1 + 0.1 · 1 = 1; 0.999 · 4 + 0.001 · 1 = 3.997; 10 − 0.5 · 1 / (√3.997 + 1).
    let (value, first, second) = step(UpdateRule::Adam { epsilon: 1.0 }, 1.0, 1.0, Some(4.0));
    assert!((value - (10.0 - 0.5 / (3.997f32.sqrt() + 1.0))).abs() < 1e-6 && (first - 1.0).abs() < 1e-6);
    assert!(second.is_some_and(|second| (second - 3.997).abs() < 1e-6));
}

#[test]
fn penalties_worked_by_hand() {
    // Slopes 0.5 · 4 + 3 and 0.5 · −2 − 3 and 0; times 2.
    let penalized = Update { l1: 3.0, l2: 0.5, factor: 2.0, ..how(UpdateRule::Momentum { momentum: 0.0 }) };
    let (value, slot, _) = update(plain(&[4.0, -2.0, 0.0]), plain(&[1.0, 0.0, 1.0]), plain(&[0.0; 3]), None, penalized);
    assert_eq!(numbers(&slot), [12.0, -8.0, 2.0]);
    assert_eq!(numbers(&value), [-2.0, 2.0, -1.0]);
    let squares = gradient_squares(plain(&[4.0, -2.0, 0.0]), plain(&[1.0, 0.0, 1.0]), penalized);
    assert_eq!(numbers(&squares), [212.0]);
    // 3 · 6 + 0.5 · ½ · 20.
    assert_eq!(numbers(&penalty(plain(&[4.0, -2.0, 0.0]), 3.0, 0.5)), [23.0]);
    assert_eq!(numbers(&moving_average(plain(&[4.0]), plain(&[8.0]), 0.75)), [5.0]);
}

#[test]
fn a_nan_in_the_gradient_shows() {
    let (value, ..) = update(plain(&[1.0]), plain(&[f32::NAN]), plain(&[0.0]), None, how(RULES[0]));
    assert!(numbers(&value)[0].is_nan());
}

#[test]
fn fused_and_composed_agree_and_leave_other_holders_alone() {
    // Several chunks, and a rest.
    let dims = [3, 20_011];
    for rule in RULES {
        let how = Update { l1: 0.01, l2: 0.1, factor: 0.7, ..how(rule) };
        let two = !matches!(rule, UpdateRule::Momentum { .. });
        let make = |seed| tensor::<2>(dims, seed).inner();
        let [value, gradient] = [1.0, 2.0].map(make);
        let [first, second] = [3.0, 4.0].map(|seed| make(seed).abs());
        let kept = numbers(&first);
        let found = update(value.clone(), gradient.clone(), first.clone(), two.then(|| second.clone()), how);
        assert_eq!(numbers(&first), kept, "{rule:?}: somebody else holds the slot");

        let flex = |tensor: &Tensor<2>| FlexTensor::from_data(TensorData::new(numbers(tensor), dims));
        let back = |tensor: FlexTensor| from(tensor.into_data().try_to_vec().expect("f32"), dims).inner();
        let inputs = [&value, &gradient, &first, &second].map(flex);
        let [value, gradient, first, second] = inputs.clone();
        let squares = composed::gradient_squares::<Flex>(value.clone(), gradient.clone(), how);
        let ours = Flex::gradient_squares(value.clone(), gradient.clone(), how);
        let one = |tensor: FlexTensor| tensor.into_data().try_to_vec::<f32>().expect("f32")[0];
        let (squares, ours) = (one(squares), one(ours));
        assert!((squares / ours - 1.0).abs() < 1e-4, "{rule:?}: {ours} instead of {squares}");
        if two {
            let (value, first, second) = composed::update_two::<Flex>(value, gradient, first, second, how);
            assert_close(&format!("{rule:?} value"), &found.0, &back(value), 1e-6);
            assert_close(&format!("{rule:?} first"), &found.1, &back(first), 1e-6);
            assert_close(&format!("{rule:?} second"), &found.2.expect("two slots"), &back(second), 1e-6);
        } else {
            let (value, first) = composed::update_one::<Flex>(value, gradient, first, how);
            assert_close(&format!("{rule:?} value"), &found.0, &back(value), 1e-6);
            assert_close(&format!("{rule:?} slot"), &found.1, &back(first), 1e-6);
        }
    }
}
