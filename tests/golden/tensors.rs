//! Tensors of safetensors files.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};

/// A tensor, row by row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Array {
    /// The lengths of its axes.
    pub shape: Vec<usize>,
    /// Its numbers.
    pub data: Vec<f32>,
}

/// All tensors of a safetensors file by their names; numbers of other kinds as `f32`.
///
/// # Panics
/// If the file cannot be read.
pub fn tensors(path: &Path) -> BTreeMap<String, Array> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = SafeTensors::deserialize(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let array = |name: &str| {
        let view = file.tensor(name).expect("a name of the list");
        Array { shape: view.shape().to_vec(), data: values(view.dtype(), view.data()) }
    };
    file.names().into_iter().map(|name| (name.to_owned(), array(name))).collect()
}

fn values(kind: Dtype, bytes: &[u8]) -> Vec<f32> {
    fn each<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.as_chunks::<N>().0.iter().map(|chunk| value(*chunk)).collect()
    }
    match kind {
        Dtype::F32 => each(bytes, f32::from_le_bytes),
        Dtype::F64 => each(bytes, |b| f64::from_le_bytes(b) as f32),
        Dtype::I64 => each(bytes, |b| i64::from_le_bytes(b) as f32),
        Dtype::I32 => each(bytes, |b| i32::from_le_bytes(b) as f32),
        Dtype::U8 => each(bytes, |[b]: [u8; 1]| f32::from(b)),
        other => panic!("no reference tensor is {other:?}"),
    }
}
