//! TensorFlow V2 checkpoints ("tensor bundles"): an index and one or more data files.
//!
//! The `.index` file is a table ([`table`]) from a tensor's name to a `BundleEntryProto`: type, shape,
//! and where its bytes lie in `.data-00000-of-0000N`. The entry of the empty name is the header.

mod snappy;
mod table;
mod wire;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use boxwright_detection::HostTensor;
use safetensors::Dtype;

use crate::error::WeightsError;
use crate::safetensors_file::to_f32;
use wire::{Field, fields};

/// Largest index that is read. The zoo's largest has 200 kB.
const MAX_INDEX_BYTES: u64 = 256 << 20;

/// Most axes of a tensor.
const MAX_RANK: usize = 16;

/// `PREFIX.index`.
pub(crate) fn index_path(prefix: &Path) -> PathBuf {
    with_suffix(prefix, ".index")
}

fn with_suffix(prefix: &Path, suffix: &str) -> PathBuf {
    let mut name = prefix.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// CRC32C as TensorFlow and LevelDB store it.
pub(crate) fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// All float tensors of the checkpoint with this prefix.
pub(crate) fn read(prefix: &Path) -> Result<BTreeMap<String, HostTensor>, WeightsError> {
    let index = index_path(prefix);
    let size = std::fs::metadata(&index).map_err(|e| WeightsError::io(&index, e))?.len();
    if size > MAX_INDEX_BYTES {
        return Err(WeightsError::format(&index, format!("has {size} bytes; an index has at most {MAX_INDEX_BYTES}")));
    }
    let bytes = std::fs::read(&index).map_err(|e| WeightsError::io(&index, e))?;
    let rows = table::read(&bytes).map_err(|damage| match damage.offset {
        None => WeightsError::format(&index, damage.what),
        Some(offset) => WeightsError::damaged(&index, format!("byte {offset}"), damage.what),
    })?;
    let damaged = |name: &str, what: String| WeightsError::damaged(&index, format!("\"{name}\""), what);

    let mut shards = None;
    let mut tensors = BTreeMap::new();
    for (key, value) in rows {
        let name = String::from_utf8_lossy(&key).into_owned();
        if key.is_empty() {
            shards = Some(Shards::open(prefix, &value).map_err(|what| damaged("", what))?);
            continue;
        }
        let Some(shards) = &mut shards else {
            return Err(WeightsError::format(&index, "has no header entry; it is no checkpoint's index"));
        };
        let entry = Entry::parse(&value).map_err(|what| damaged(&name, what))?;
        if let Some(tensor) = shards.tensor(&name, &entry, &index)? {
            tensors.insert(name, tensor);
        }
    }
    Ok(tensors)
}

/// `BundleEntryProto`.
struct Entry {
    dtype: u64,
    shape: Vec<usize>,
    shard: u64,
    offset: u64,
    size: u64,
    crc: u32,
    sliced: bool,
}

impl Entry {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut entry = Self { dtype: 0, shape: Vec::new(), shard: 0, offset: 0, size: 0, crc: 0, sliced: false };
        for field in fields(bytes) {
            match field? {
                (1, Field::Varint(value)) => entry.dtype = value,
                (2, Field::Bytes(shape)) => entry.shape = parse_shape(shape)?,
                (3, Field::Varint(value)) => entry.shard = value,
                (4, Field::Varint(value)) => entry.offset = value,
                (5, Field::Varint(value)) => entry.size = value,
                (6, Field::Fixed32(value)) => entry.crc = value,
                (7, _) => entry.sliced = true,
                _ => {}
            }
        }
        Ok(entry)
    }

    /// The element type, if it is a float.
    fn float_type(&self) -> Option<Dtype> {
        // DT_FLOAT, DT_DOUBLE, DT_BFLOAT16 and DT_HALF of TensorFlow's `types.proto`.
        match self.dtype {
            1 => Some(Dtype::F32),
            2 => Some(Dtype::F64),
            14 => Some(Dtype::BF16),
            19 => Some(Dtype::F16),
            _ => None,
        }
    }
}

/// `TensorShapeProto`.
fn parse_shape(bytes: &[u8]) -> Result<Vec<usize>, String> {
    let mut shape = Vec::new();
    for field in fields(bytes) {
        let (2, Field::Bytes(dim)) = field? else { continue };
        let mut length = 0;
        for field in fields(dim) {
            if let (1, Field::Varint(value)) = field? {
                length = usize::try_from(value).map_err(|_| format!("an axis of {value}"))?;
            }
        }
        shape.push(length);
        if shape.len() > MAX_RANK {
            return Err(format!("more than {MAX_RANK} axes"));
        }
    }
    Ok(shape)
}

/// The data files.
struct Shards {
    prefix: PathBuf,
    count: u64,
    open: BTreeMap<u64, (PathBuf, File, u64)>,
}

impl Shards {
    /// From `BundleHeaderProto`.
    fn open(prefix: &Path, header: &[u8]) -> Result<Self, String> {
        let mut count = 0;
        for field in fields(header) {
            match field? {
                (1, Field::Varint(value)) => count = value,
                (2, Field::Varint(1)) => return Err("big-endian checkpoints are not read".into()),
                _ => {}
            }
        }
        if count == 0 || count > 100_000 {
            return Err(format!("the header tells of {count} data files"));
        }
        Ok(Self { prefix: prefix.to_owned(), count, open: BTreeMap::new() })
    }

    fn file(&mut self, shard: u64) -> Result<&mut (PathBuf, File, u64), WeightsError> {
        let path = with_suffix(&self.prefix, &format!(".data-{shard:05}-of-{:05}", self.count));
        match self.open.entry(shard) {
            std::collections::btree_map::Entry::Occupied(entry) => Ok(entry.into_mut()),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let file = File::open(&path).map_err(|e| WeightsError::io(&path, e))?;
                let length = file.metadata().map_err(|e| WeightsError::io(&path, e))?.len();
                Ok(entry.insert((path, file, length)))
            }
        }
    }

    /// A tensor's values; `None` for tensors that are not floats.
    fn tensor(&mut self, name: &str, entry: &Entry, index: &Path) -> Result<Option<HostTensor>, WeightsError> {
        let Some(dtype) = entry.float_type() else { return Ok(None) };
        let place = format!("\"{name}\"");
        if entry.sliced {
            return Err(WeightsError::format(index, format!("{place} is a partitioned variable, which is not read")));
        }
        let elements = entry.shape.iter().try_fold(1u64, |n, &axis| n.checked_mul(axis as u64));
        let element_size = dtype.bitsize() as u64 / 8;
        if elements.and_then(|n| n.checked_mul(element_size)) != Some(entry.size) {
            return Err(WeightsError::damaged(
                index,
                place,
                format!("{} bytes for a shape of {:?}", entry.size, entry.shape),
            ));
        }
        if entry.shard >= self.count {
            return Err(WeightsError::damaged(
                index,
                place,
                format!("lies in data file {} of {}", entry.shard, self.count),
            ));
        }
        let (path, file, length) = self.file(entry.shard)?;
        if entry.offset.checked_add(entry.size).is_none_or(|end| end > *length) {
            return Err(WeightsError::damaged(
                path,
                place,
                format!("should lie at byte {} with {} bytes, but the file has {length}", entry.offset, entry.size),
            ));
        }
        let mut bytes = vec![0; entry.size as usize];
        file.seek(SeekFrom::Start(entry.offset)).map_err(|e| WeightsError::io(path, e))?;
        file.read_exact(&mut bytes).map_err(|e| WeightsError::io(path, e))?;
        if masked_crc(&bytes) != entry.crc {
            return Err(WeightsError::damaged(path, place, "the checksum does not match its bytes"));
        }
        let data = to_f32(dtype, &bytes).unwrap_or_default();
        Ok(Some(HostTensor { shape: entry.shape.clone(), data }))
    }
}
