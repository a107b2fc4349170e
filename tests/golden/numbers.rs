//! Numbers out of JSON: `"NaN"` and `"Infinity"` as text, decimals that are the shortest of their `f32`.

use serde_json::Value;

/// A number, written as one or as the name of one that JSON lacks.
///
/// # Panics
/// If it is neither.
pub fn number64(value: &Value) -> f64 {
    match value {
        Value::String(name) => match name.as_str() {
            "NaN" => f64::NAN,
            "Infinity" => f64::INFINITY,
            "-Infinity" => f64::NEG_INFINITY,
            other => panic!("{other:?} is not a number"),
        },
        Value::Bool(flag) => f64::from(u8::from(*flag)),
        other => other.as_f64().unwrap_or_else(|| panic!("{other} is not a number")),
    }
}

/// As [`number64`], as the `f32` that it was.
pub fn number(value: &Value) -> f32 {
    number64(value) as f32
}

/// All numbers of a nested list, in order.
pub fn numbers64(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers64).collect(),
        other => vec![number64(other)],
    }
}

/// As [`numbers64`], as `f32`.
pub fn numbers(value: &Value) -> Vec<f32> {
    numbers64(value).into_iter().map(|value| value as f32).collect()
}

/// A list of boxes or codes: the numbers four by four.
///
/// # Panics
/// If they do not come in fours.
pub fn boxes(value: &Value) -> Vec<[f32; 4]> {
    let numbers = numbers(value);
    let (fours, rest) = numbers.as_chunks::<4>();
    assert!(rest.is_empty(), "boxes have four numbers");
    fours.to_vec()
}

/// All whole numbers of a nested list, in order.
///
/// # Panics
/// If one is no whole number.
pub fn integers(value: &Value) -> Vec<i64> {
    match value {
        Value::Array(items) => items.iter().flat_map(integers).collect(),
        Value::Bool(flag) => vec![i64::from(*flag)],
        other => vec![other.as_i64().unwrap_or_else(|| panic!("{other} is not a whole number"))],
    }
}

/// A whole number from 0, also where it is written with a decimal point.
///
/// # Panics
/// If it is none.
pub fn size(value: &Value) -> usize {
    let number = number64(value);
    assert!(number >= 0.0 && number.fract() == 0.0 && number < 1e15, "{value} is not a size");
    number as usize
}

/// The flags of a list.
///
/// # Panics
/// If one is no flag.
pub fn flags(value: &Value) -> Vec<bool> {
    list(value).iter().map(|flag| flag.as_bool().unwrap_or_else(|| panic!("{flag} is not a flag"))).collect()
}

/// The items of a list.
///
/// # Panics
/// If it is no list.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("a list and not {value}"))
}

/// A text.
///
/// # Panics
/// If it is no text.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("a text and not {value}"))
}

/// The lengths of a nested list's axes.
pub fn shape(value: &Value) -> Vec<usize> {
    let mut shape = Vec::new();
    let mut at = Some(value);
    while let Some(Value::Array(items)) = at {
        shape.push(items.len());
        at = items.first();
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_of_numbers_are_numbers() {
        let found = numbers(&json!([[1, "NaN"], ["Infinity", "-Infinity"], [0.1, 4.6788115e-14]]));
        assert!(found[1].is_nan());
        assert_eq!(
            [found[0], found[2], found[3], found[4], found[5]],
            [1.0, f32::INFINITY, f32::NEG_INFINITY, 0.1, 4.678_811_5e-14]
        );
    }

    #[test]
    fn shapes_of_nested_lists() {
        assert_eq!(shape(&json!([[[1, 2]], [[3, 4]]])), [2, 1, 2]);
        assert_eq!(shape(&json!([])), [0]);
        assert_eq!(shape(&json!(1)), [0; 0]);
    }
}
