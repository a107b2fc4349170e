//! Keras weights: an HDF5 file with a group for each layer.
//!
//! The file format is `hdf5_pure`'s affair. What is read here are the datasets of floats, each under its
//! path, and Keras' own classifiers get slim's names ([`crate::names::keras_layers`]).

use std::path::PathBuf;

use boxwright_detection::HostTensor;
use hdf5_pure::{DType, File, Group};

use crate::element::{ElementType, byte_count};
use crate::error::WeightsError;
use crate::file_bytes::{FileBytes, MAX_TENSOR_BYTES};
use crate::names::keras_layers;
use crate::weight_file::{FileKind, Opened, Source, TensorInfo};

/// Largest file that is read.
const MAX_BYTES: u64 = 2 << 30;

/// Most groups and datasets of a file, and how deep they may lie.
const MAX_OBJECTS: usize = 20_000;
const MAX_DEPTH: usize = 12;

/// Most that one packed byte can become.
const MAX_RATIO: u64 = 1100;

struct H5Source {
    path: PathBuf,
    file: File,
    length: u64,
    datasets: Vec<(String, Vec<usize>, ElementType)>,
}

/// Opens a file.
pub(crate) fn open(mut file: FileBytes) -> Result<Opened, WeightsError> {
    let path = file.path().to_owned();
    let length = file.length();
    let bytes = file.whole(MAX_BYTES)?;
    let damaged = |what: String| WeightsError::damaged(&path, "the file's structure", what);
    let file = File::from_bytes(bytes).map_err(|e| damaged(e.to_string()))?;
    let mut datasets = Vec::new();
    collect(&file.root(), "", 0, &mut 0, &mut datasets).map_err(damaged)?;
    if datasets.is_empty() {
        return Err(WeightsError::format(&path, "is an HDF5 file without datasets; give a file of Keras weights"));
    }
    let stored: Vec<&str> = datasets.iter().map(|(name, ..)| name.as_str()).collect();
    let known = keras_layers::tensorflow_names(&stored);
    let tensors = datasets
        .iter()
        .map(|(name, shape, element)| TensorInfo {
            name: known.get(name.as_str()).unwrap_or(name).clone(),
            stored_name: name.clone(),
            shape: shape.clone(),
            element: *element,
            bytes: byte_count(shape, *element).unwrap_or(0),
            is_weight: element.is_float() && !name.starts_with("optimizer_weights/"),
        })
        .collect();
    Ok(Opened { kind: FileKind::Keras, tensors, source: Box::new(H5Source { path, file, length, datasets }) })
}

fn collect(
    group: &Group,
    prefix: &str,
    depth: usize,
    objects: &mut usize,
    datasets: &mut Vec<(String, Vec<usize>, ElementType)>,
) -> Result<(), String> {
    let count = |objects: &mut usize| {
        *objects += 1;
        (*objects <= MAX_OBJECTS && depth <= MAX_DEPTH).then_some(()).ok_or("it has more groups than any weights")
    };
    for name in group.datasets().map_err(|e| e.to_string())? {
        count(objects)?;
        let at = |e: hdf5_pure::Error| format!("{prefix}{name}: {e}");
        let dataset = group.dataset(&name).map_err(at)?;
        let shape = dataset.shape().map_err(at)?;
        let shape: Option<Vec<usize>> = shape.into_iter().map(|axis| usize::try_from(axis).ok()).collect();
        let shape =
            shape.filter(|shape| shape.len() <= 16).ok_or_else(|| format!("{prefix}{name}: its shape is none"))?;
        datasets.push((format!("{prefix}{name}"), shape, element_type(&dataset.dtype().map_err(at)?)));
    }
    for name in group.groups().map_err(|e| e.to_string())? {
        count(objects)?;
        let inner = group.group(&name).map_err(|e| format!("{prefix}{name}: {e}"))?;
        collect(&inner, &format!("{prefix}{name}/"), depth + 1, objects, datasets)?;
    }
    Ok(())
}

fn element_type(dtype: &DType) -> ElementType {
    match dtype {
        DType::F32 => ElementType::Float32,
        DType::F64 => ElementType::Float64,
        DType::I8 => ElementType::Int8,
        DType::U8 => ElementType::Uint8,
        DType::I16 => ElementType::Int16,
        DType::U16 => ElementType::Uint16,
        DType::I32 => ElementType::Int32,
        DType::U32 => ElementType::Uint32,
        DType::I64 => ElementType::Int64,
        DType::U64 => ElementType::Uint64,
        _ => ElementType::Other,
    }
}

impl Source for H5Source {
    fn tensor(&mut self, index: usize) -> Result<HostTensor, WeightsError> {
        let (name, shape, element) = &self.datasets[index];
        let damaged = |what: String| WeightsError::damaged(&self.path, format!("\"{name}\""), what);
        let most = self.length.saturating_mul(MAX_RATIO).min(MAX_TENSOR_BYTES);
        let size = byte_count(shape, *element).filter(|size| *size <= most);
        let size = size.ok_or_else(|| damaged(format!("a shape of {shape:?} in a file of {} bytes", self.length)))?;
        let dataset = self.file.dataset(name).map_err(|e| damaged(e.to_string()))?;
        let data = dataset.read_f32().map_err(|e| damaged(e.to_string()))?;
        if (data.len() as u64).checked_mul(element.size().unwrap_or(0) as u64) != Some(size) {
            return Err(damaged(format!("{} values for a shape of {shape:?}", data.len())));
        }
        Ok(HostTensor { shape: shape.clone(), data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_file_of_each_storage() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("w.h5");
        let mut builder = hdf5_pure::FileBuilder::new();
        let mut group = builder.create_group("dense");
        group.create_dataset("kernel:0").with_f32_data(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).with_shape(&[2, 3]);
        group.create_dataset("bias:0").with_f32_data(&[7.0; 300]).with_chunks(&[100]).with_deflate(5);
        builder.add_group(group.finish());
        std::fs::write(&path, builder.finish().expect("written")).expect("writable");
        let values = crate::read(&path).expect("readable");
        assert_eq!(
            values["dense/kernel:0"],
            HostTensor { shape: vec![2, 3], data: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0] }
        );
        assert_eq!(values["dense/bias:0"].data, [7.0; 300]);
    }
}
