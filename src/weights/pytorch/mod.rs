//! PyTorch state dicts, without running what is in them.
//!
//! A `.pth` file is a pickle, which is a program: whoever loads one the usual way runs it. Here a small
//! machine ([`pickle`]) knows only the instructions and the few constructors that a state dict needs,
//! builds a tree of plain values, and refuses everything else by name. Newer files are a zip archive
//! ([`zip`]) with the pickle and one file of numbers for each storage; older ones are pickles one after
//! another with the numbers behind them.
//!
//! Kernels come as `[out, in, height, width]` and leave as TensorFlow has them, and the networks of
//! torchvision get slim's names ([`crate::names::torchvision`]).

mod pickle;
mod zip;

use std::collections::{BTreeMap, HashMap};

use boxwright_detection::HostTensor;

use crate::element::element_count;
use crate::error::WeightsError;
use crate::file_bytes::FileBytes;
use crate::names::torchvision;
use crate::weight_file::{Checksums, FileKind, Opened, Source, TensorInfo};
use pickle::{Machine, Tensor};
use zip::Zip;

/// Largest pickle that is read. The numbers are not in it: a thousand tensors take 100 kB.
const MAX_PICKLE_BYTES: u64 = 16 << 20;

/// Largest part of an old file in which its pickles are looked for.
const MAX_LEGACY_PICKLES: u64 = 32 << 20;

/// The number that old files begin with, as pickle writes it.
const LEGACY_MAGIC: [u8; 12] = [0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Whether a file begins like one from before PyTorch 1.6.
pub(crate) fn is_legacy(start: &[u8]) -> bool {
    start.len() > 14 && start[0] == 0x80 && start[2..].starts_with(&LEGACY_MAGIC)
}

/// Where the numbers of storages come from.
enum Storages {
    Zip {
        zip: Zip,
        folder: String,
    },
    /// Where each begins in the file, and how many bytes it has.
    Legacy {
        file: FileBytes,
        places: HashMap<String, (u64, u64)>,
    },
}

impl Storages {
    fn bytes(&mut self, key: &str) -> Result<Vec<u8>, WeightsError> {
        match self {
            Self::Zip { zip, folder } => zip.read(&format!("{folder}data/{key}")),
            Self::Legacy { file, places } => {
                let &(offset, size) = places.get(key).ok_or_else(|| {
                    WeightsError::damaged(file.path(), format!("storage {key}"), "it is not in the file's list")
                })?;
                file.read_at(offset, size, &format!("storage {key}"))
            }
        }
    }
}

struct PyTorchSource {
    path: std::path::PathBuf,
    storages: Storages,
    tensors: Vec<(String, Tensor, bool)>,
    /// The storage that was read last: parameters that share one follow each other.
    last: Option<(String, Vec<u8>)>,
}

impl Source for PyTorchSource {
    fn tensor(&mut self, index: usize) -> Result<HostTensor, WeightsError> {
        let (name, tensor, is_depthwise) = &self.tensors[index];
        let damaged = |what: String| WeightsError::damaged(&self.path, format!("\"{name}\""), what);
        if self.last.as_ref().is_none_or(|(key, _)| *key != tensor.storage) {
            self.last = Some((tensor.storage.clone(), self.storages.bytes(&tensor.storage)?));
        }
        let bytes = self.last.as_ref().map_or(&[][..], |(_, bytes)| bytes);
        let values = tensor.element.to_f32(bytes).unwrap_or_default();
        let data = gather(tensor, &values).map_err(damaged)?;
        Ok(to_tensorflow(&tensor.shape, &data, *is_depthwise))
    }

    fn verify(&mut self) -> Result<Checksums, WeightsError> {
        match &mut self.storages {
            Storages::Zip { zip, .. } => zip.verify().map(Checksums::Match),
            Storages::Legacy { .. } => Ok(Checksums::None),
        }
    }
}

/// Opens a zip archive.
pub(crate) fn open_zip(file: FileBytes) -> Result<Opened, WeightsError> {
    let path = file.path().to_owned();
    let mut zip = Zip::open(file)?;
    let Some(name) = zip.names().find(|name| *name == "data.pkl" || name.ends_with("/data.pkl")).map(str::to_owned)
    else {
        return Err(WeightsError::format(&path, "is a zip archive without data.pkl; it is no PyTorch file"));
    };
    let folder = name.strip_suffix("data.pkl").unwrap_or_default().to_owned();
    let order = format!("{folder}byteorder");
    if zip.names().any(|name| name == order) && zip.read(&order)?.trim_ascii() != b"little" {
        return Err(WeightsError::format(&path, "was written on a big-endian machine, which is not read"));
    }
    if zip.size(&name).is_none_or(|size| size > MAX_PICKLE_BYTES) {
        return Err(WeightsError::format(&path, format!("{name} is larger than any state dict's")));
    }
    let bytes = zip.read(&name)?;
    let mut machine = Machine::new(&bytes);
    let refused = |refusal: pickle::Refusal| refusal.into_error(&path, &name);
    let root = machine.run().map_err(refused)?;
    let tensors = machine.tensors(root).map_err(refused)?;
    build(path, tensors, Storages::Zip { zip, folder })
}

/// Opens a file from before PyTorch 1.6: magic number, version, machine, state dict, storage keys, storages.
pub(crate) fn open_legacy(mut file: FileBytes) -> Result<Opened, WeightsError> {
    let path = file.path().to_owned();
    let start = file.start(MAX_LEGACY_PICKLES)?;
    let refused = |refusal: pickle::Refusal| refusal.into_error(&path, "the pickles");
    let mut at = 0;
    for _ in 0..3 {
        let mut machine = Machine::new(&start[at..]);
        machine.run().map_err(refused)?;
        at += machine.consumed();
    }
    let mut machine = Machine::new(&start[at..]);
    let root = machine.run().map_err(refused)?;
    let tensors = machine.tensors(root).map_err(refused)?;
    let sizes = machine.storages();
    at += machine.consumed();
    let mut machine = Machine::new(&start[at..]);
    let keys = machine.run().and_then(|root| machine.texts(root)).map_err(refused)?;
    let mut offset = (at + machine.consumed()) as u64;
    let mut places = HashMap::new();
    for key in keys {
        let place = format!("storage {key}");
        let count = file.read_at(offset, 8, &place)?;
        let count = u64::from_le_bytes(count.as_slice().try_into().unwrap_or_default());
        let size = sizes.get(&key).and_then(|element| count.checked_mul(element.size()? as u64));
        let size = size.ok_or_else(|| WeightsError::damaged(&path, &place, "no tensor tells its type"))?;
        let begin = offset + 8;
        offset = begin
            .checked_add(size)
            .filter(|end| *end <= file.length())
            .ok_or_else(|| WeightsError::damaged(&path, &place, format!("{count} elements reach beyond the file")))?;
        places.insert(key, (begin, size));
    }
    build(path, tensors, Storages::Legacy { file, places })
}

fn build(
    path: std::path::PathBuf,
    tensors: BTreeMap<String, Tensor>,
    storages: Storages,
) -> Result<Opened, WeightsError> {
    if tensors.is_empty() {
        return Err(WeightsError::format(&path, "holds no tensors; give a file saved from a model's state_dict()"));
    }
    let stored: Vec<&str> = tensors.keys().map(String::as_str).collect();
    let known = torchvision::tensorflow_names(&stored);
    let mut infos = Vec::with_capacity(tensors.len());
    let mut list = Vec::with_capacity(tensors.len());
    for (stored_name, tensor) in &tensors {
        let name = known.get(stored_name.as_str()).unwrap_or(stored_name).clone();
        let is_depthwise = name.ends_with("/depthwise_weights");
        let count = element_count(&tensor.shape).unwrap_or(0);
        infos.push(TensorInfo {
            shape: tensorflow_shape(&tensor.shape, is_depthwise),
            name,
            stored_name: stored_name.clone(),
            element: tensor.element,
            bytes: (count * tensor.element.size().unwrap_or(0)) as u64,
            is_weight: tensor.element.is_float(),
        });
        list.push((stored_name.clone(), tensor.clone(), is_depthwise));
    }
    let source = PyTorchSource { path, storages, tensors: list, last: None };
    Ok(Opened { kind: FileKind::PyTorch, tensors: infos, source: Box::new(source) })
}

/// The values of a view into a storage, in C order.
fn gather(tensor: &Tensor, storage: &[f32]) -> Result<Vec<f32>, String> {
    let count = element_count(&tensor.shape).filter(|count| *count <= storage.len());
    let count = count.ok_or_else(|| format!("{:?} of a storage of {}", tensor.shape, storage.len()))?;
    let mut index = vec![0; tensor.shape.len()];
    let mut data = Vec::with_capacity(count);
    for _ in 0..count {
        let step = |at: usize, (&i, &stride): (&usize, &usize)| i.checked_mul(stride)?.checked_add(at);
        let at = index.iter().zip(&tensor.strides).try_fold(tensor.offset, step);
        let value = at.and_then(|at| storage.get(at));
        data.push(*value.ok_or_else(|| format!("reaches beyond its storage of {}", storage.len()))?);
        for (place, &axis) in index.iter_mut().zip(&tensor.shape).rev() {
            *place += 1;
            if *place < axis {
                break;
            }
            *place = 0;
        }
    }
    Ok(data)
}

/// A kernel's shape in TensorFlow's order; other shapes stay.
fn tensorflow_shape(shape: &[usize], is_depthwise: bool) -> Vec<usize> {
    match *shape {
        [o, 1, h, w] if is_depthwise => vec![h, w, o, 1],
        [o, i, h, w] => vec![h, w, i, o],
        [o, i] => vec![i, o],
        _ => shape.to_vec(),
    }
}

fn to_tensorflow(shape: &[usize], data: &[f32], is_depthwise: bool) -> HostTensor {
    let (outputs, rest) = match *shape {
        [o, i, h, w] => (o, [i, h * w]),
        [o, i] => (o, [i, 1]),
        _ => return HostTensor { shape: shape.to_vec(), data: data.to_vec() },
    };
    let [inputs, positions] = rest;
    let mut moved = Vec::with_capacity(data.len());
    for position in 0..positions {
        for input in 0..inputs {
            moved.extend((0..outputs).map(|output| data[(output * inputs + input) * positions + position]));
        }
    }
    HostTensor { shape: tensorflow_shape(shape, is_depthwise), data: moved }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::ElementType;

    #[test]
    fn kernels_are_turned_round() {
        // [out 2, in 1, h 1, w 3]
        let data = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let turned = to_tensorflow(&[2, 1, 1, 3], &data, false);
        assert_eq!((turned.shape, turned.data), (vec![1, 3, 1, 2], vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0]));
        assert_eq!(to_tensorflow(&[2, 1, 1, 3], &data, true).shape, [1, 3, 2, 1]);
        assert_eq!(to_tensorflow(&[2, 3], &data, false).data, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }

    #[test]
    fn views_follow_their_strides() {
        let tensor = |shape: &[usize], strides: &[usize], offset| Tensor {
            storage: String::new(),
            element: ElementType::Float32,
            offset,
            shape: shape.to_vec(),
            strides: strides.to_vec(),
        };
        let storage = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        assert_eq!(gather(&tensor(&[3, 2], &[1, 3], 0), &storage), Ok(vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0]));
        assert_eq!(gather(&tensor(&[], &[], 5), &storage), Ok(vec![5.0]));
        assert!(gather(&tensor(&[2], &[1], 5), &storage).is_err());
        assert!(gather(&tensor(&[7], &[0], 0), &storage).is_err());
        assert!(gather(&tensor(&[2], &[usize::MAX], 1), &storage).is_err());
    }
}
