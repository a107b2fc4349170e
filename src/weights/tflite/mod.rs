//! TensorFlow Lite models, as weights to start from.
//!
//! A model is a [`flatbuffer`] with buffers of numbers, tensors that are views of them, and operators.
//! Integers are turned back into floats by their scale and zero point, one for the tensor or one for each
//! channel. What a tensor is called depends on the converter; what it *is* follows from the operator that
//! uses it, so kernels and biases get their layer's name ([`layers`]) and TensorFlow's order of axes.
//! Batch normalization has been folded into them.

mod flatbuffer;
mod layers;

use std::collections::{BTreeMap, BTreeSet};

use boxwright_detection::HostTensor;

use crate::element::{ElementType, element_count};
use crate::error::WeightsError;
use crate::file_bytes::FileBytes;
use crate::weight_file::{FileKind, Opened, Source, TensorInfo};
use flatbuffer::Table;

/// Largest model that is read.
const MAX_BYTES: u64 = 1 << 30;

/// Most tensors of a model. Graphs of detectors have some hundreds.
const MAX_TENSORS: usize = 100_000;

/// How a tensor's axes become TensorFlow's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// As they are.
    Plain,
    /// `[out, height, width, in]`.
    Kernel,
    /// `[1, height, width, channels]`.
    Depthwise,
}

/// A tensor with values in the file.
#[derive(Clone, Debug)]
struct Stored {
    shape: Vec<usize>,
    element: ElementType,
    range: std::ops::Range<usize>,
    scales: Vec<f32>,
    zero_points: Vec<i64>,
    /// Which axis has a scale for each of its places.
    axis: usize,
    layout: Layout,
}

/// An operator with weights: a convolution or a depthwise one.
#[derive(Clone, Debug)]
struct Layer {
    is_depthwise: bool,
    input: usize,
    weights: usize,
    biases: Option<usize>,
    output: usize,
    /// Where it stands among all operators.
    operator: usize,
}

/// The graph, as far as it says what its tensors are.
#[derive(Default)]
struct Graph {
    names: Vec<String>,
    shapes: Vec<Vec<usize>>,
    layers: Vec<Layer>,
    /// Inputs of the operator that makes a tensor, for all operators that are no layers.
    made_from: BTreeMap<usize, Vec<usize>>,
    /// What a tensor is a float copy of.
    dequantized: BTreeMap<usize, usize>,
}

struct TfliteSource {
    path: std::path::PathBuf,
    bytes: Vec<u8>,
    stored: Vec<(String, Stored)>,
}

/// Opens a model.
pub(crate) fn open(mut file: FileBytes) -> Result<Opened, WeightsError> {
    let path = file.path().to_owned();
    let bytes = file.whole(MAX_BYTES)?;
    let damaged = |what: &str| WeightsError::damaged(&path, "the model", what);
    let model = Table::root(&bytes).ok_or_else(|| damaged("it is cut off"))?;
    let subgraph = model.tables(2).into_iter().next().ok_or_else(|| damaged("it has no graph"))?;
    let tensors = subgraph.tables(0);
    if tensors.len() > MAX_TENSORS {
        return Err(damaged("it has more tensors than any model"));
    }
    let buffers = model.tables(4);
    let mut stored = BTreeMap::new();
    let mut graph = Graph::default();
    for (index, tensor) in tensors.iter().enumerate() {
        graph.names.push(tensor.text(3).unwrap_or_default());
        graph.shapes.push(shape(tensor));
        if let Some(found) = tensor.u32(2).and_then(|buffer| read_tensor(tensor, buffers.get(buffer)?, bytes.len())) {
            stored.insert(index, found);
        }
    }
    read_operators(&model, &subgraph, &mut graph);
    let named = layers::name(&graph);
    for layer in &graph.layers {
        let layout = if layer.is_depthwise { Layout::Depthwise } else { Layout::Kernel };
        if let Some(found) = stored.get_mut(graph.dequantized.get(&layer.weights).unwrap_or(&layer.weights))
            && found.shape.len() == 4
        {
            found.layout = layout;
        }
    }
    let mut infos = Vec::with_capacity(stored.len());
    let mut list = Vec::with_capacity(stored.len());
    let mut taken = BTreeSet::new();
    for (index, found) in stored {
        let stored_name = graph.names[index].clone();
        let named = named.get(&index).filter(|name| taken.insert((*name).clone()));
        let element = found.element;
        infos.push(TensorInfo {
            name: named.unwrap_or(&stored_name).clone(),
            stored_name: stored_name.clone(),
            shape: tensorflow_shape(&found.shape, found.layout),
            element,
            bytes: found.range.len() as u64,
            is_weight: element.is_float() || (!found.scales.is_empty() && element.size().is_some()),
        });
        list.push((stored_name, found));
    }
    Ok(Opened {
        kind: FileKind::TensorFlowLite,
        tensors: infos,
        source: Box::new(TfliteSource { path, bytes, stored: list }),
    })
}

fn shape(tensor: &Table<'_>) -> Vec<usize> {
    tensor.integers(0).unwrap_or_default().into_iter().map(|axis| usize::try_from(axis).unwrap_or(0)).collect()
}

/// A tensor whose buffer holds just its values; nothing for those that are computed, and for damaged ones.
fn read_tensor(tensor: &Table<'_>, buffer: &Table<'_>, length: usize) -> Option<Stored> {
    let range = match buffer.range(0, 1) {
        Some(range) if !range.is_empty() => range,
        // Models beyond 2 GB keep their buffers behind the flatbuffer.
        _ => {
            let begin = usize::try_from(buffer.u64(1)?).ok().filter(|begin| *begin > 1)?;
            let end = begin.checked_add(usize::try_from(buffer.u64(2)?).ok()?)?;
            (end <= length).then_some(begin..end)?
        }
    };
    let shape = shape(tensor);
    let element = element_type(tensor.u8(1).unwrap_or(0));
    if let Some(size) = element.size()
        && element_count(&shape).and_then(|count| count.checked_mul(size)) != Some(range.len())
    {
        return None;
    }
    let quantization = tensor.table(4);
    let scales = quantization.and_then(|q| q.floats(2)).unwrap_or_default();
    let zero_points = quantization.and_then(|q| q.longs(3)).unwrap_or_default();
    let axis = quantization.and_then(|q| q.u32(6)).unwrap_or(0);
    Some(Stored { shape, element, range, scales, zero_points, axis, layout: Layout::Plain })
}

/// `TensorType` of TensorFlow Lite's schema.
fn element_type(number: u8) -> ElementType {
    match number {
        0 => ElementType::Float32,
        1 => ElementType::Float16,
        2 => ElementType::Int32,
        3 => ElementType::Uint8,
        4 => ElementType::Int64,
        5 => ElementType::Text,
        6 => ElementType::Bool,
        7 => ElementType::Int16,
        9 => ElementType::Int8,
        10 => ElementType::Float64,
        12 => ElementType::Uint64,
        15 => ElementType::Uint32,
        16 => ElementType::Uint16,
        18 => ElementType::BFloat16,
        _ => ElementType::Other,
    }
}

const CONV_2D: usize = 3;
const DEPTHWISE_CONV_2D: usize = 4;
const DEQUANTIZE: usize = 6;

fn read_operators(model: &Table<'_>, subgraph: &Table<'_>, graph: &mut Graph) {
    // Codes below 127 stand in the old field, and in newer files in both.
    let code = |table: &Table<'_>| table.u32(3).unwrap_or(0).max(usize::from(table.u8(0).unwrap_or(0)));
    let codes: Vec<usize> = model.tables(1).iter().map(code).collect();
    let tensors = graph.names.len();
    let place = |index: i32| usize::try_from(index).ok().filter(|index| *index < tensors);
    for (number, operator) in subgraph.tables(3).iter().enumerate() {
        let inputs: Vec<Option<usize>> = operator.integers(1).unwrap_or_default().into_iter().map(place).collect();
        let outputs: Vec<usize> = operator.integers(2).unwrap_or_default().into_iter().filter_map(place).collect();
        let code = codes.get(operator.u32(0).unwrap_or(0)).copied().unwrap_or(0);
        match (code, inputs.as_slice(), outputs.as_slice()) {
            (CONV_2D | DEPTHWISE_CONV_2D, &[Some(input), Some(weights), ..], &[output]) => graph.layers.push(Layer {
                is_depthwise: code == DEPTHWISE_CONV_2D,
                input,
                weights,
                biases: inputs.get(2).copied().flatten(),
                output,
                operator: number,
            }),
            (DEQUANTIZE, &[Some(input)], &[output]) => {
                graph.dequantized.insert(output, input);
                graph.made_from.insert(output, vec![input]);
            }
            _ => {
                let inputs: Vec<usize> = inputs.into_iter().flatten().take(64).collect();
                for output in outputs.into_iter().take(64) {
                    graph.made_from.insert(output, inputs.clone());
                }
            }
        }
    }
}

impl Source for TfliteSource {
    fn tensor(&mut self, index: usize) -> Result<HostTensor, WeightsError> {
        let (name, stored) = &self.stored[index];
        let mut values = stored.element.to_f32(&self.bytes[stored.range.clone()]).unwrap_or_default();
        if !stored.element.is_float() {
            dequantize(stored, &mut values)
                .map_err(|what| WeightsError::damaged(&self.path, format!("\"{name}\""), what))?;
        }
        Ok(HostTensor {
            shape: tensorflow_shape(&stored.shape, stored.layout),
            data: to_tensorflow(&stored.shape, values, stored.layout),
        })
    }
}

/// `scale · (value − zero point)`, each place of the axis with its own.
fn dequantize(stored: &Stored, values: &mut [f32]) -> Result<(), String> {
    let Stored { shape, scales, zero_points, axis, .. } = stored;
    let (places, inner) = if scales.len() == 1 {
        (1, 1)
    } else {
        let places = shape.get(*axis).copied().unwrap_or(0);
        (places, element_count(&shape[(axis + 1).min(shape.len())..]).unwrap_or(0))
    };
    if places != scales.len() || ![0, 1, places].contains(&zero_points.len()) || inner == 0 {
        return Err(format!("{} scales and {} zero points for {shape:?}", scales.len(), zero_points.len()));
    }
    for (index, value) in values.iter_mut().enumerate() {
        let place = (index / inner) % places;
        let zero = zero_points.get(if zero_points.len() == 1 { 0 } else { place }).copied().unwrap_or(0);
        *value = scales[place] * (*value - zero as f32);
    }
    Ok(())
}

fn tensorflow_shape(shape: &[usize], layout: Layout) -> Vec<usize> {
    match (layout, shape) {
        (Layout::Kernel, &[o, h, w, i]) => vec![h, w, i, o],
        (Layout::Depthwise, &[_, h, w, c]) => vec![h, w, c, 1],
        _ => shape.to_vec(),
    }
}

fn to_tensorflow(shape: &[usize], values: Vec<f32>, layout: Layout) -> Vec<f32> {
    let (Layout::Kernel, &[outputs, ..]) = (layout, shape) else { return values };
    let inner = values.len() / outputs.max(1);
    let mut moved = Vec::with_capacity(values.len());
    for place in 0..inner {
        moved.extend((0..outputs).map(|output| values[output * inner + place]));
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(scales: &[f32], zero_points: &[i64], axis: usize) -> Stored {
        Stored {
            shape: vec![2, 1, 1, 3],
            element: ElementType::Int8,
            range: 0..6,
            scales: scales.to_vec(),
            zero_points: zero_points.to_vec(),
            axis,
            layout: Layout::Kernel,
        }
    }

    #[test]
    fn scales_of_a_tensor_and_of_its_channels() {
        let values = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        let apply = |stored: Stored| {
            let mut values = values;
            dequantize(&stored, &mut values).map(|()| values)
        };
        assert_eq!(apply(stored(&[0.5], &[2], 0)), Ok([-1.0, -0.5, 0.0, 0.5, 1.0, 1.5]));
        assert_eq!(apply(stored(&[1.0, 10.0], &[0, 3], 0)), Ok([0.0, 1.0, 2.0, 0.0, 10.0, 20.0]));
        assert_eq!(apply(stored(&[1.0, 2.0, 3.0], &[], 3)), Ok([0.0, 2.0, 6.0, 3.0, 8.0, 15.0]));
        assert!(apply(stored(&[1.0, 2.0], &[], 3)).is_err());
        assert!(apply(stored(&[1.0, 2.0], &[], 9)).is_err());
    }

    #[test]
    fn kernels_are_turned_round() {
        let values = vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        assert_eq!(to_tensorflow(&[2, 1, 1, 3], values, Layout::Kernel), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(tensorflow_shape(&[2, 1, 1, 3], Layout::Kernel), [1, 1, 3, 2]);
        assert_eq!(tensorflow_shape(&[1, 3, 3, 8], Layout::Depthwise), [3, 3, 8, 1]);
    }
}
