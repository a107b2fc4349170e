//! safetensors: a JSON header and raw little-endian tensors.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use boxwright_detection::HostTensor;
use safetensors::tensor::{Dtype, SafeTensorError, TensorView};
use safetensors::{SafeTensors, serialize};

use crate::element::ElementType;
use crate::error::WeightsError;
use crate::file_bytes::FileBytes;
use crate::weight_file::{FileKind, Opened, Source, TensorInfo};

/// Largest file that is read: no detector comes near it.
const MAX_BYTES: u64 = 2 << 30;

/// The metadata entry that tells our checkpoints from other files.
pub(crate) const CHECKPOINT_KEY: &str = "boxwright_checkpoint";

/// What stands before the names of optimizer slots in our checkpoints.
pub(crate) const SLOT_PREFIX: &str = "optimizer/";

/// Metadata and float tensors of a file.
pub(crate) struct Contents {
    pub metadata: HashMap<String, String>,
    pub tensors: BTreeMap<String, HostTensor>,
}

/// Where a tensor's bytes lie.
struct Place {
    element: ElementType,
    shape: Vec<usize>,
    range: std::ops::Range<usize>,
}

/// The bytes of a file, and where the tensors are in them.
struct SafetensorsSource {
    bytes: Vec<u8>,
    places: Vec<Place>,
}

impl Source for SafetensorsSource {
    fn tensor(&mut self, index: usize) -> Result<HostTensor, WeightsError> {
        let place = &self.places[index];
        let data = place.element.to_f32(&self.bytes[place.range.clone()]).unwrap_or_default();
        Ok(HostTensor { shape: place.shape.clone(), data })
    }
}

/// Opens a file; of our checkpoints, the optimizer's slots are listed but are no weights.
pub(crate) fn open(file: FileBytes) -> Result<Opened, WeightsError> {
    let (metadata, bytes, named) = parse(file)?;
    let kind = match metadata.get(CHECKPOINT_KEY) {
        Some(about) => FileKind::Checkpoint { step: step_of(about) },
        None => FileKind::Safetensors,
    };
    let is_ours = matches!(kind, FileKind::Checkpoint { .. });
    let mut tensors = Vec::with_capacity(named.len());
    let mut places = Vec::with_capacity(named.len());
    for (name, place) in named {
        tensors.push(TensorInfo {
            stored_name: name.clone(),
            shape: place.shape.clone(),
            element: place.element,
            bytes: place.range.len() as u64,
            is_weight: place.element.is_float() && !(is_ours && name.starts_with(SLOT_PREFIX)),
            name,
        });
        places.push(place);
    }
    Ok(Opened { kind, tensors, source: Box::new(SafetensorsSource { bytes, places }) })
}

/// The step that the metadata of a checkpoint tells; 0 where it is damaged, as reading it will say.
fn step_of(about: &str) -> u64 {
    serde_json::from_str::<serde_json::Value>(about).ok().and_then(|about| about["step"].as_u64()).unwrap_or(0)
}

/// A file's metadata, its bytes, and the tensors in them by name.
type Parsed = (HashMap<String, String>, Vec<u8>, Vec<(String, Place)>);

fn parse(mut file: FileBytes) -> Result<Parsed, WeightsError> {
    let path = file.path().to_owned();
    let bytes = file.whole(MAX_BYTES)?;
    let (header, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| describe(&path, &bytes, e))?;
    let data_at = header + 8;
    let mut named = Vec::new();
    for name in metadata.offset_keys() {
        let Some(info) = metadata.info(&name) else { continue };
        let (begin, end) = info.data_offsets;
        let element = ElementType::from_safetensors(info.dtype);
        let range = data_at + begin..data_at + end;
        named.push((name, Place { element, shape: info.shape.clone(), range }));
    }
    Ok((metadata.metadata().clone().unwrap_or_default(), bytes, named))
}

/// Everything in a file but tensors of integers and booleans.
pub(crate) fn read_contents(path: &Path) -> Result<Contents, WeightsError> {
    let (metadata, bytes, named) = parse(FileBytes::open(path)?)?;
    let mut tensors = BTreeMap::new();
    for (name, place) in named {
        if place.element.is_float() {
            let data = place.element.to_f32(&bytes[place.range]).unwrap_or_default();
            tensors.insert(name, HostTensor { shape: place.shape, data });
        }
    }
    Ok(Contents { metadata, tensors })
}

fn describe(path: &Path, bytes: &[u8], error: SafeTensorError) -> WeightsError {
    // Without the header's brace the file is something else.
    if bytes.get(8) != Some(&b'{') {
        let what = "is no safetensors file: its header does not begin like one";
        return WeightsError::format(path, what);
    }
    WeightsError::damaged(path, "the header", error.to_string())
}

/// The bytes of a file with these tensors. The same input gives the same bytes.
pub(crate) fn to_bytes<'a>(
    path: &Path,
    tensors: impl Iterator<Item = (String, &'a HostTensor)>,
    metadata: (String, String),
) -> Result<Vec<u8>, WeightsError> {
    let unfit = |name: &str, e: SafeTensorError| WeightsError::format(path, format!("cannot hold {name}: {e}"));
    let data: Vec<(String, &HostTensor, Vec<u8>)> = tensors
        .map(|(name, tensor)| (name, tensor, tensor.data.iter().flat_map(|value| value.to_le_bytes()).collect()))
        .collect();
    let views = data
        .iter()
        .map(|(name, tensor, bytes)| {
            let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).map_err(|e| unfit(name, e))?;
            Ok((name.as_str(), view))
        })
        .collect::<Result<Vec<_>, WeightsError>>()?;
    // One entry only: the order of a hash map's entries would differ from file to file.
    serialize(views, Some(HashMap::from([metadata]))).map_err(|e| unfit("the tensors", e))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_file_of_another_kind_is_called_so_and_a_damaged_header_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.safetensors");
        for (bytes, wanted) in [
            (&b"\x89PNG\r\n\x1a\n and so on"[..], "no safetensors file"),
            (&b""[..], "no safetensors file"),
            (&b"\x02\0\0\0\0\0\0\0{]"[..], "damaged"),
            (&b"\xff\xff\xff\xff\xff\xff\xff\x7f{}"[..], "damaged"),
        ] {
            std::fs::write(&path, bytes).expect("writable");
            let error = crate::read(&path).expect_err("no weights in there").to_string();
            assert!(error.contains(wanted) && error.contains("x.safetensors"), "{error}");
        }
    }
}
