//! The constants of a TensorFlow graph: a frozen graph (`frozen_inference_graph.pb`) or the graph in a
//! SavedModel, whose variables became constants of the same names.
//!
//! Only the nodes' names, their operator and the tensor of a `Const` are read.

use std::path::{Path, PathBuf};

use boxwright_detection::HostTensor;

use crate::element::{ElementType, element_count};
use crate::error::WeightsError;
use crate::file_bytes::FileBytes;
use crate::tensor_bundle::parse_shape;
use crate::weight_file::{FileKind, Opened, Source, TensorInfo};
use crate::wire::{Field, fields, varint};

/// Largest graph that is read: protocol buffers end here.
const MAX_BYTES: u64 = 2 << 30;

/// Most elements of a constant that the file states once for all of them.
const MAX_FILL: usize = 1 << 22;

/// How a constant's values stand in the file.
#[derive(Debug)]
enum Values {
    /// All, raw.
    Raw(std::ops::Range<usize>),
    /// Some, each by itself; the last stands for all that follow.
    Listed(Vec<f32>),
}

struct Constant {
    name: String,
    element: ElementType,
    shape: Vec<usize>,
    values: Values,
}

struct GraphSource {
    path: PathBuf,
    bytes: Vec<u8>,
    constants: Vec<Constant>,
}

/// Whether a file begins like a graph: with a node that has a name, or as a SavedModel with its version.
pub(crate) fn is_graph(start: &[u8], path: &Path) -> bool {
    let mut node = start;
    let is_node = node.first() == Some(&0x0a) && {
        node = &node[1..];
        varint(&mut node).is_some_and(|length| length > 2) && node.first() == Some(&0x0a)
    };
    let is_saved_model = start.starts_with(&[0x08, 0x01, 0x12]);
    is_node || is_saved_model || (path.extension().is_some_and(|e| e == "pb") && !start.is_empty())
}

/// Opens a graph.
pub(crate) fn open(mut file: FileBytes) -> Result<Opened, WeightsError> {
    let path = file.path().to_owned();
    let bytes = file.whole(MAX_BYTES)?;
    let mut constants = Vec::new();
    let read = match bytes.first() {
        Some(0x08) => saved_model(&bytes, &mut constants),
        _ => graph(&bytes, &bytes, &mut constants),
    };
    read.map_err(|what| WeightsError::damaged(&path, "the graph", what))?;
    if constants.is_empty() {
        let what = "holds a graph without constants; its variables stand in a checkpoint, give that (variables/variables.index \
                    of a SavedModel)";
        return Err(WeightsError::format(&path, what));
    }
    let tensors = constants
        .iter()
        .map(|constant| {
            let count = element_count(&constant.shape).unwrap_or(0);
            TensorInfo {
                name: constant.name.clone(),
                stored_name: constant.name.clone(),
                shape: constant.shape.clone(),
                element: constant.element,
                bytes: (count as u64).saturating_mul(constant.element.size().unwrap_or(0) as u64),
                is_weight: constant.element.is_float(),
            }
        })
        .collect();
    Ok(Opened { kind: FileKind::TensorFlowGraph, tensors, source: Box::new(GraphSource { path, bytes, constants }) })
}

/// `SavedModel` → `MetaGraphDef` → `GraphDef`.
fn saved_model(bytes: &[u8], constants: &mut Vec<Constant>) -> Result<(), String> {
    for field in fields(bytes) {
        let (2, Field::Bytes(meta_graph)) = field? else { continue };
        for field in fields(meta_graph) {
            if let (2, Field::Bytes(found)) = field? {
                graph(bytes, found, constants)?;
            }
        }
    }
    Ok(())
}

/// `GraphDef`: the constants among its nodes.
fn graph(file: &[u8], bytes: &[u8], constants: &mut Vec<Constant>) -> Result<(), String> {
    for field in fields(bytes) {
        let (1, Field::Bytes(node)) = field? else { continue };
        constants.extend(constant(file, node)?);
    }
    Ok(())
}

/// `NodeDef`: a constant, if it is one.
fn constant(file: &[u8], node: &[u8]) -> Result<Option<Constant>, String> {
    let (mut name, mut is_const, mut tensor) = (String::new(), false, None);
    for field in fields(node) {
        match field? {
            (1, Field::Bytes(text)) => name = String::from_utf8_lossy(text).into_owned(),
            (2, Field::Bytes(operator)) => is_const = operator == b"Const",
            (5, Field::Bytes(attribute)) => tensor = tensor.or(value_attribute(attribute)?),
            _ => {}
        }
    }
    match tensor {
        Some(tensor) if is_const => {
            let at = |what: String| format!("node \"{name}\": {what}");
            let constant = tensor_proto(file, tensor).map_err(at)?;
            Ok(constant.map(|(element, shape, values)| Constant { name, element, shape, values }))
        }
        _ => Ok(None),
    }
}

/// The tensor of a map entry `value: { tensor }`.
fn value_attribute(entry: &[u8]) -> Result<Option<&[u8]>, String> {
    let (mut is_value, mut found) = (false, None);
    for field in fields(entry) {
        match field? {
            (1, Field::Bytes(key)) => is_value = key == b"value",
            (2, Field::Bytes(attribute)) => {
                for field in fields(attribute) {
                    if let (8, Field::Bytes(tensor)) = field? {
                        found = Some(tensor);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(found.filter(|_| is_value))
}

type Read = (ElementType, Vec<usize>, Values);

/// `TensorProto`; nothing for texts and other things that are no numbers.
fn tensor_proto(file: &[u8], bytes: &[u8]) -> Result<Option<Read>, String> {
    let (mut element, mut shape, mut raw, mut listed) = (ElementType::Other, Vec::new(), None, Vec::new());
    for field in fields(bytes) {
        match field? {
            (1, Field::Varint(number)) => element = ElementType::from_tensorflow(number),
            (2, Field::Bytes(found)) => shape = parse_shape(found)?,
            (4, Field::Bytes(content)) if !content.is_empty() => raw = Some(content),
            (5, Field::Bytes(packed)) => listed.extend(ElementType::Float32.to_f32(packed).unwrap_or_default()),
            (5, Field::Fixed32(bits)) => listed.push(f32::from_bits(bits)),
            (6, Field::Bytes(packed)) => listed.extend(ElementType::Float64.to_f32(packed).unwrap_or_default()),
            (7 | 10 | 11, Field::Varint(value)) => listed.push(value as i64 as f32),
            (7 | 10 | 11, Field::Bytes(packed)) => listed.extend(varints(packed)?.into_iter().map(|v| v as i64 as f32)),
            (13, Field::Bytes(packed)) => {
                let halves: Vec<u8> = varints(packed)?.into_iter().flat_map(|v| (v as u16).to_le_bytes()).collect();
                listed.extend(element.to_f32(&halves).unwrap_or_default());
            }
            _ => {}
        }
    }
    let Some(size) = element.size() else { return Ok(None) };
    let count = element_count(&shape).ok_or_else(|| format!("a shape of {shape:?}"))?;
    match raw {
        Some(content) if count.checked_mul(size) == Some(content.len()) => {
            // Where the slice lies in the file: they are one piece of memory.
            let begin = content.as_ptr() as usize - file.as_ptr() as usize;
            Ok(Some((element, shape, Values::Raw(begin..begin + content.len()))))
        }
        Some(content) => Err(format!("{} bytes for a shape of {shape:?}", content.len())),
        None if listed.len() > count
            || (listed.is_empty() && count > 0)
            || (listed.len() < count && count > MAX_FILL) =>
        {
            Err(format!("{} values for a shape of {shape:?}", listed.len()))
        }
        None => Ok(Some((element, shape, Values::Listed(listed)))),
    }
}

fn varints(mut packed: &[u8]) -> Result<Vec<u64>, String> {
    let mut values = Vec::new();
    while !packed.is_empty() {
        values.push(varint(&mut packed).ok_or("a list of numbers is cut off")?);
    }
    Ok(values)
}

impl Source for GraphSource {
    fn tensor(&mut self, index: usize) -> Result<HostTensor, WeightsError> {
        let constant = &self.constants[index];
        let data = match &constant.values {
            Values::Raw(range) => constant.element.to_f32(&self.bytes[range.clone()]).unwrap_or_default(),
            Values::Listed(listed) => {
                let count = element_count(&constant.shape).unwrap_or(0);
                let mut data = listed.clone();
                data.resize(count, listed.last().copied().unwrap_or(0.0));
                data
            }
        };
        if Some(data.len()) != element_count(&constant.shape) {
            let place = format!("\"{}\"", constant.name);
            return Err(WeightsError::damaged(&self.path, place, "it has not as many values as its shape"));
        }
        Ok(HostTensor { shape: constant.shape.clone(), data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `TensorProto { dtype: DT_FLOAT, tensor_shape: [2, 2], … }`.
    fn tensor(rest: &[u8]) -> Vec<u8> {
        [&[0x08, 1, 0x12, 8, 0x12, 2, 0x08, 2, 0x12, 2, 0x08, 2][..], rest].concat()
    }

    #[test]
    fn a_single_value_stands_for_all() {
        let bytes = tensor(&[0x2a, 4, 0, 0, 0x80, 0x3f]);
        let (element, shape, values) = tensor_proto(&bytes, &bytes).expect("valid").expect("a tensor");
        assert_eq!((element, shape), (ElementType::Float32, vec![2, 2]));
        let constants = vec![Constant { name: "c".into(), element, shape: vec![2, 2], values }];
        let mut source = GraphSource { path: PathBuf::new(), bytes, constants };
        assert_eq!(source.tensor(0).expect("readable").data, [1.0; 4]);
    }

    #[test]
    fn contents_that_do_not_fit_the_shape_are_refused() {
        for rest in
            [&[][..], &[0x22, 4, 0, 0, 0, 0], &[0x2a, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]
        {
            let bytes = tensor(rest);
            assert!(tensor_proto(&bytes, &bytes).is_err(), "{rest:?}");
        }
    }
}
