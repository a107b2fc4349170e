//! A model's variables under TensorFlow's names and in TensorFlow's layouts.
//!
//! On the device a kernel is `[out, in, height, width]` and a depthwise kernel
//! `[channels, 1, height, width]`; in a checkpoint they are `[height, width, in, out]` and
//! `[height, width, channels, 1]`. This module is the only place that turns one into the other.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use burn::module::{
    Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor, Param, ParamId,
};
use burn::tensor::{Device, Tensor, TensorData, Transaction};

use crate::regularizers::Regularizer;

/// What a variable is called and how it is treated.
#[derive(Clone, Debug, PartialEq)]
pub struct VariableInfo {
    /// Which parameter of the module it is.
    pub id: ParamId,
    /// TensorFlow's name, e.g. `FeatureExtractor/MobilenetV1/Conv2d_0/weights`.
    pub name: String,
    /// TensorFlow's shape.
    pub shape: Vec<usize>,
    /// Whether an optimizer changes it; moving statistics are not trainable.
    pub trainable: bool,
    /// The penalty on it.
    pub regularizer: Regularizer,
}

/// A tensor on the host, in TensorFlow's layout and C order.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values.
    pub data: Vec<f32>,
}

/// What became of the values that were given to a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Variables that have their value from the file.
    pub loaded: Vec<String>,
    /// Variables of the model that the file lacks; they keep what they had.
    pub missing: Vec<String>,
    /// Values of the file that the model has no place for.
    pub unused: Vec<String>,
    /// Variables whose shape differs: name, the model's shape, the file's.
    pub wrong_shape: Vec<(String, Vec<usize>, Vec<usize>)>,
}

/// How a parameter's axes relate to TensorFlow's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// The same.
    Plain,
    /// `[out, in, h, w]` here, `[h, w, in, out]` there.
    Kernel,
    /// `[channels, 1, h, w]` here, `[h, w, channels, 1]` there.
    DepthwiseKernel,
}

impl Layout {
    /// TensorFlow's shape of a tensor of this device shape.
    pub(crate) fn to_tensorflow_shape(self, shape: &[usize]) -> Vec<usize> {
        match (self, shape) {
            (Self::Kernel, &[o, i, h, w]) => vec![h, w, i, o],
            (Self::DepthwiseKernel, &[c, m, h, w]) => vec![h, w, c, m],
            _ => shape.to_vec(),
        }
    }

    /// The device's shape of a kernel of this TensorFlow shape.
    pub(crate) fn device_shape(self, [a, b, c, d]: [usize; 4]) -> [usize; 4] {
        match self {
            Self::Plain => [a, b, c, d],
            Self::Kernel => [d, c, a, b],
            Self::DepthwiseKernel => [c, d, a, b],
        }
    }

    /// Values in the device's order, for a tensor of this TensorFlow shape; with the device's shape.
    pub(crate) fn to_device(self, shape: &[usize], data: &[f32]) -> (Vec<usize>, Vec<f32>) {
        match (self, shape) {
            (Self::Kernel, &[h, w, i, o]) => (
                vec![o, i, h, w],
                transpose(data, h * w * i, o, |r| {
                    let (position, input) = (r / i, r % i);
                    input * h * w + position
                }),
            ),
            (Self::DepthwiseKernel, &[h, w, c, m]) => (vec![c, m, h, w], transpose(data, h * w, c * m, |r| r)),
            _ => (shape.to_vec(), data.to_vec()),
        }
    }

    /// Values in TensorFlow's order, for a tensor of this device shape.
    pub(crate) fn to_tensorflow(self, shape: &[usize], data: &[f32]) -> Vec<f32> {
        match (self, shape) {
            (Self::Kernel, &[o, i, h, w]) => {
                let mut out = vec![0.0; data.len()];
                for (index, &value) in data.iter().enumerate() {
                    let (output, rest) = (index / (i * h * w), index % (i * h * w));
                    let (input, position) = (rest / (h * w), rest % (h * w));
                    out[(position * i + input) * o + output] = value;
                }
                out
            }
            (Self::DepthwiseKernel, &[c, m, h, w]) => transpose(data, c * m, h * w, |r| r),
            _ => data.to_vec(),
        }
    }
}

/// The transposed matrix `[columns, rows]` of one of `[rows, columns]`, where row `r` becomes column `place(r)`.
fn transpose(data: &[f32], rows: usize, columns: usize, place: impl Fn(usize) -> usize) -> Vec<f32> {
    let mut out = vec![0.0; data.len()];
    for (row, values) in data.chunks_exact(columns.max(1)).enumerate() {
        let to = place(row);
        for (column, &value) in values.iter().enumerate() {
            out[column * rows + to] = value;
        }
    }
    out
}

/// A variable together with its layout; layers list theirs with it.
pub(crate) struct Described {
    pub info: VariableInfo,
    pub layout: Layout,
}

/// Reads the values of all described variables from a module.
pub(crate) fn read_variables<M: Module>(module: &M, described: &[Described]) -> BTreeMap<String, HostTensor> {
    let mut reader = Reader { layouts: by_id(described), order: Vec::new(), transaction: Some(Transaction::default()) };
    module.visit(&mut reader);
    let data = reader.transaction.take().map(Transaction::execute).unwrap_or_default();
    let mut variables = BTreeMap::new();
    for ((variable, device_shape), data) in reader.order.into_iter().zip(data) {
        let values: Vec<f32> = data.iter::<f32>().collect();
        let data = variable.layout.to_tensorflow(&device_shape, &values);
        variables.insert(variable.info.name.clone(), HostTensor { shape: variable.info.shape.clone(), data });
    }
    variables
}

/// Replaces the values of a module's variables by those given under their names.
pub(crate) fn load_variables<M: Module>(
    module: M,
    described: &[Described],
    values: &BTreeMap<String, HostTensor>,
) -> (M, LoadReport) {
    let mut report = LoadReport::default();
    let mut ready = HashMap::new();
    for variable in described {
        let info = &variable.info;
        match values.get(&info.name) {
            None => report.missing.push(info.name.clone()),
            Some(value) if value.shape != info.shape || value.data.len() != info.shape.iter().product::<usize>() => {
                report.wrong_shape.push((info.name.clone(), info.shape.clone(), value.shape.clone()));
            }
            Some(value) => {
                ready.insert(info.id, variable.layout.to_device(&value.shape, &value.data));
                report.loaded.push(info.name.clone());
            }
        }
    }
    let known: std::collections::HashSet<&str> = described.iter().map(|v| v.info.name.as_str()).collect();
    report.unused = values.keys().filter(|name| !known.contains(name.as_str())).cloned().collect();
    (module.map(&mut Loader { ready }), report)
}

fn by_id(described: &[Described]) -> HashMap<ParamId, &Described> {
    described.iter().map(|variable| (variable.info.id, variable)).collect()
}

/// Collects all tensors first, so that a GPU is waited for once and not once for each variable.
struct Reader<'a> {
    layouts: HashMap<ParamId, &'a Described>,
    order: Vec<(&'a Described, Vec<usize>)>,
    transaction: Option<Transaction>,
}

impl ModuleVisitor for Reader<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(variable) = self.layouts.get(&param.id) else { return };
        let value = param.val();
        self.order.push((variable, value.dims().to_vec()));
        self.transaction = self.transaction.take().map(|transaction| transaction.register(value));
    }
}

struct Loader {
    ready: HashMap<ParamId, (Vec<usize>, Vec<f32>)>,
}

impl ModuleMapper for Loader {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some((shape, data)) = self.ready.remove(&param.id) else { return param };
        let new = Tensor::from_data(TensorData::new(data, shape), &param.lazy_device());
        let id = param.id;
        param.transform_for_load(new, id)
    }
}

/// A moving mean or variance: part of the model, changed by forward passes and never by gradients.
///
/// Unlike burn's running state, a clone has a value of its own.
#[derive(Debug)]
pub struct MovingStatistic {
    id: ParamId,
    value: Mutex<Tensor<1>>,
}

impl MovingStatistic {
    /// A statistic that starts at this value.
    pub fn new(value: Tensor<1>) -> Self {
        Self { id: ParamId::new(), value: Mutex::new(value.detach()) }
    }

    /// Which parameter of the module it is.
    pub fn id(&self) -> ParamId {
        self.id
    }

    /// The value now.
    pub fn value(&self) -> Tensor<1> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// TensorFlow's `assign_moving_average`: `v ← v − (v − batch) · (1 − decay)`.
    pub fn update(&self, batch: Tensor<1>, decay: f32) {
        let step = (1.0 - f64::from(decay)) as f32;
        let mut value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        let old = value.clone();
        *value = (old.clone() - (old - batch.detach()) * step).detach();
    }

    fn with(&self, value: Tensor<1>) -> Self {
        Self { id: self.id, value: Mutex::new(value) }
    }
}

impl Clone for MovingStatistic {
    fn clone(&self) -> Self {
        self.with(self.value())
    }
}

impl Module for MovingStatistic {
    fn collect_devices(&self, mut devices: Devices) -> Devices {
        let device = self.value().device();
        if !devices.contains(&device) {
            devices.push(device);
        }
        devices
    }

    fn fork(self, device: &Device) -> Self {
        self.to_device(device)
    }

    fn to_device(self, device: &Device) -> Self {
        self.with(self.value().to_device(device).detach())
    }

    fn train(self) -> Self {
        self.with(Tensor::from_inner(self.value()))
    }

    fn valid(&self) -> Self {
        self.with(self.value().without_autodiff())
    }

    fn materialize(self) -> Self {
        self
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        visitor.visit_float(&Param::initialized(self.id, self.value()));
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        let param = mapper.map_float(Param::initialized(self.id, self.value()));
        let (_, value, _) = param.consume();
        self.with(value.detach())
    }
}

impl ModuleDisplayDefault for MovingStatistic {
    fn content(&self, content: Content) -> Option<Content> {
        content.add_formatted(&format!("MovingStatistic {{{}}}", self.value().dims()[0])).optional()
    }
}

impl ModuleDisplay for MovingStatistic {}

impl std::fmt::Display for MovingStatistic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MovingStatistic(id={})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_go_there_and_back() {
        // [h 1, w 2, in 2, out 3]: the value at (w, i, o) is 100 w + 10 i + o.
        let shape = [1, 2, 2, 3];
        let data: Vec<f32> = [0.0, 1.0, 2.0, 10.0, 11.0, 12.0, 100.0, 101.0, 102.0, 110.0, 111.0, 112.0].to_vec();
        let (device_shape, device) = Layout::Kernel.to_device(&shape, &data);
        assert_eq!(device_shape, [3, 2, 1, 2]);
        assert_eq!(device, [0.0, 100.0, 10.0, 110.0, 1.0, 101.0, 11.0, 111.0, 2.0, 102.0, 12.0, 112.0]);
        assert_eq!(Layout::Kernel.to_tensorflow(&device_shape, &device), data);
        assert_eq!(Layout::Kernel.to_tensorflow_shape(&device_shape), shape);
    }

    #[test]
    fn depthwise_kernels_go_there_and_back() {
        // [h 1, w 2, channels 3, 1]
        let (shape, data) = ([1, 2, 3, 1], [0.0, 1.0, 2.0, 10.0, 11.0, 12.0]);
        let (device_shape, device) = Layout::DepthwiseKernel.to_device(&shape, &data);
        assert_eq!(device_shape, [3, 1, 1, 2]);
        assert_eq!(device, [0.0, 10.0, 1.0, 11.0, 2.0, 12.0]);
        assert_eq!(Layout::DepthwiseKernel.to_tensorflow(&device_shape, &device), data);
        assert_eq!(Layout::DepthwiseKernel.to_tensorflow_shape(&device_shape), shape);
    }

    #[test]
    fn a_clone_of_a_moving_statistic_moves_alone() {
        let device = Device::flex();
        let statistic = MovingStatistic::new(Tensor::zeros([2], &device));
        let clone = statistic.clone();
        statistic.update(Tensor::ones([2], &device), 0.75);
        assert_eq!(statistic.value().into_data().iter::<f32>().collect::<Vec<_>>(), [0.25, 0.25]);
        assert_eq!(clone.value().into_data().iter::<f32>().collect::<Vec<_>>(), [0.0, 0.0]);
        assert_eq!(clone.id(), statistic.id());
    }
}
