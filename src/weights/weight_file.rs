//! One way into every kind of weight file.
//!
//! [`open`] finds out by the content what a path is, reads its list of tensors and no values. Each
//! tensor has the name that the file gives it and, where that is another program's, the name that a
//! TensorFlow variable of the same meaning has ([`crate::names`]); shapes and values are TensorFlow's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use boxwright_detection::HostTensor;

use crate::element::ElementType;
use crate::error::WeightsError;
use crate::file_bytes::FileBytes;
use crate::{archive, folder, frozen_graph, keras_h5, pytorch, safetensors_file, tensor_bundle, tflite};

/// What a weight file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A TensorFlow V2 checkpoint, saved by variable names (TF1) or as a graph of objects (TF2).
    TensorFlowCheckpoint {
        /// Whether it is TF2's kind.
        object_based: bool,
    },
    /// The constants of a frozen graph or of the graph in a SavedModel.
    TensorFlowGraph,
    /// A checkpoint of ours, with the step it was written at.
    Checkpoint {
        /// Steps taken.
        step: u64,
    },
    /// safetensors.
    Safetensors,
    /// A PyTorch state dict.
    PyTorch,
    /// Keras weights in HDF5.
    Keras,
    /// A TensorFlow Lite model.
    TensorFlowLite,
}

impl std::fmt::Display for FileKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TensorFlowCheckpoint { object_based: false } => "TensorFlow checkpoint (by variable names)",
            Self::TensorFlowCheckpoint { object_based: true } => "TensorFlow checkpoint (TF2, by objects)",
            Self::TensorFlowGraph => "TensorFlow graph with constants",
            Self::Checkpoint { step } => return write!(f, "Boxwright checkpoint of step {step}"),
            Self::Safetensors => "safetensors",
            Self::PyTorch => "PyTorch state dict",
            Self::Keras => "Keras weights (HDF5)",
            Self::TensorFlowLite => "TensorFlow Lite model",
        })
    }
}

/// A tensor in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    /// Its name as a TensorFlow variable; the file's own where we know no better.
    pub name: String,
    /// Its name in the file.
    pub stored_name: String,
    /// Its shape, in TensorFlow's order of axes.
    pub shape: Vec<usize>,
    /// What its elements are stored as.
    pub element: ElementType,
    /// How many bytes it takes in the file, unpacked.
    pub bytes: u64,
    /// Whether it can be read as weights: floats, and integers that say what they stand for.
    pub is_weight: bool,
}

/// What the checksums of a file say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checksums {
    /// All match: so many tensors.
    Match(usize),
    /// This kind of file has none.
    None,
    /// The bytes that they are of are not there; which file is missing.
    DataMissing(PathBuf),
}

/// How a kind of file gives its tensors.
pub(crate) trait Source {
    /// Values of the tensor with this place in the list, in TensorFlow's layout.
    fn tensor(&mut self, index: usize) -> Result<HostTensor, WeightsError>;

    /// Reads everything that has a checksum.
    fn verify(&mut self) -> Result<Checksums, WeightsError> {
        Ok(Checksums::None)
    }
}

/// What the reader of a kind hands back: the list, and how to read it.
pub(crate) struct Opened {
    pub(crate) kind: FileKind,
    pub(crate) tensors: Vec<TensorInfo>,
    pub(crate) source: Box<dyn Source>,
}

/// An open weight file.
pub struct WeightFile {
    path: PathBuf,
    opened: Opened,
    /// What an archive was unpacked to; gone with this value.
    unpacked: Option<tempfile::TempDir>,
}

impl std::fmt::Debug for WeightFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WeightFile").field("path", &self.path).field("kind", &self.opened.kind).finish_non_exhaustive()
    }
}

impl WeightFile {
    /// The file, or the prefix of a TensorFlow checkpoint, that was found at the path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it was found in an archive, in which case [`Self::path`] is where it was unpacked to.
    pub fn is_unpacked(&self) -> bool {
        self.unpacked.is_some()
    }

    /// What it is.
    pub fn kind(&self) -> &FileKind {
        &self.opened.kind
    }

    /// All its tensors, in the file's order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.opened.tensors
    }

    /// The values of the tensor with this TensorFlow name.
    ///
    /// # Errors
    /// There is no such tensor, it is no weight, or the file is damaged.
    pub fn read(&mut self, name: &str) -> Result<HostTensor, WeightsError> {
        let found = self.opened.tensors.iter().position(|tensor| tensor.name == name);
        match found.filter(|&index| self.opened.tensors[index].is_weight) {
            Some(index) => self.opened.source.tensor(index),
            None => Err(WeightsError::format(&self.path, format!("has no weights named \"{name}\""))),
        }
    }

    /// All weights by their TensorFlow names.
    ///
    /// # Errors
    /// The file is damaged, or its data is missing.
    pub fn read_all(&mut self) -> Result<BTreeMap<String, HostTensor>, WeightsError> {
        let mut values = BTreeMap::new();
        for index in 0..self.opened.tensors.len() {
            let tensor = &self.opened.tensors[index];
            if tensor.is_weight {
                values.insert(tensor.name.clone(), self.opened.source.tensor(index)?);
            }
        }
        Ok(values)
    }

    /// Reads everything that has a checksum and compares.
    ///
    /// # Errors
    /// A checksum does not match, or the file is damaged in another way.
    pub fn verify(&mut self) -> Result<Checksums, WeightsError> {
        self.opened.source.verify()
    }
}

/// Opens a weight file, whatever kind it is.
///
/// `path` is a file of any [`FileKind`], the prefix of a TensorFlow checkpoint (`…/model.ckpt`), a run
/// directory or any other folder with one checkpoint in it, or a `model.tar.gz` around one of these.
///
/// # Errors
/// There is no such file, it is of no kind that is read, or it is damaged; the error says where.
pub fn open(path: &Path) -> Result<WeightFile, WeightsError> {
    let found = folder::resolve(path)?;
    if !found.is_prefix && archive::is_archive(&found.path)? {
        let unpacked = archive::unpack_weights(&found.path)?;
        let inside = folder::resolve_unpacked(unpacked.path(), path)?;
        let opened = open_found(&inside)?;
        return Ok(WeightFile { path: inside.path, opened, unpacked: Some(unpacked) });
    }
    let opened = open_found(&found)?;
    Ok(WeightFile { path: found.path, opened, unpacked: None })
}

fn open_found(found: &folder::Found) -> Result<Opened, WeightsError> {
    if found.is_prefix {
        return tensor_bundle::open(&found.path);
    }
    let path = &found.path;
    let mut file = FileBytes::open(path)?;
    let start = file.start(64)?;
    match start.as_slice() {
        [0x89, b'H', b'D', b'F', ..] => keras_h5::open(file),
        [b'P', b'K', 3 | 5, 4 | 6, ..] => pytorch::open_zip(file),
        [_, _, _, _, b'T', b'F', b'L', b'3', ..] => tflite::open(file),
        [_, _, _, _, _, _, _, _, b'{', ..] if !pytorch::is_legacy(&start) => safetensors_file::open(file),
        _ if pytorch::is_legacy(&start) => pytorch::open_legacy(file),
        _ if path.extension().is_some_and(|extension| extension == "safetensors") => safetensors_file::open(file),
        _ if frozen_graph::is_graph(&start, path) => frozen_graph::open(file),
        _ => Err(WeightsError::format(path, NOT_WEIGHTS)),
    }
}

/// What is read, for a file that is none of it.
const NOT_WEIGHTS: &str = "is no weight file that is known here; weights are read from TensorFlow checkpoints (.index and .data-…), \
     frozen graphs (.pb), .safetensors, .pth, .h5, .tflite and archives of these (.tar.gz)";
