//! TensorFlow V2 checkpoints ("tensor bundles"): an index and one or more data files.
//!
//! The `.index` file is a table ([`table`]) from a tensor's name to a `BundleEntryProto`: type, shape,
//! and where its bytes lie in `.data-00000-of-0000N`. The entry of the empty name is the header. A
//! partitioned variable has an entry that lists its [`slices`] and one entry for each of them. TF2
//! saves a graph of objects: names are the objects' paths, and the graph itself, one entry more, tells
//! each variable's own name ([`object_graph`]).
//!
//! The index can be listed without its data files.

mod object_graph;
mod slices;
mod snappy;
mod table;

use std::collections::{BTreeMap, HashMap, btree_map};
use std::path::{Path, PathBuf};

use boxwright_detection::HostTensor;

use crate::element::{ElementType, byte_count};
use crate::error::WeightsError;
use crate::file_bytes::FileBytes;
use crate::names::keras_objects;
use crate::weight_file::{Checksums, FileKind, Opened, Source, TensorInfo};
use crate::wire::{Field, fields, varint};
use slices::Slice;

/// Largest index that is read. The zoo's largest has 200 kB.
const MAX_INDEX_BYTES: u64 = 256 << 20;

/// Most axes of a tensor.
const MAX_RANK: usize = 16;

/// The entry of TF2's graph of objects.
const OBJECT_GRAPH: &str = "_CHECKPOINTABLE_OBJECT_GRAPH";

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
fn mask(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

fn masked_crc(bytes: &[u8]) -> u32 {
    mask(crc32c::crc32c(bytes))
}

/// Opens the checkpoint with this prefix; its data files may be missing until values are asked for.
pub(crate) fn open(prefix: &Path) -> Result<Opened, WeightsError> {
    let mut bundle = Bundle::open(prefix)?;
    let object_based = bundle.entries.iter().any(|(name, _)| name == OBJECT_GRAPH || keras_objects::is_value(name));
    let full_names = bundle.full_names()?;
    let names: Vec<(&str, &[usize])> =
        bundle.entries.iter().map(|(name, entry)| (name.as_str(), entry.shape.as_slice())).collect();
    let known = if object_based { keras_objects::tensorflow_names(&names, &full_names) } else { HashMap::new() };
    let tensors = bundle
        .entries
        .iter()
        .map(|(name, entry)| TensorInfo {
            name: known.get(name.as_str()).unwrap_or(name).clone(),
            stored_name: name.clone(),
            shape: entry.shape.clone(),
            element: entry.element,
            bytes: entry.whole_bytes(),
            is_weight: entry.element.is_float() && !name.contains(".OPTIMIZER_SLOT"),
        })
        .collect();
    Ok(Opened { kind: FileKind::TensorFlowCheckpoint { object_based }, tensors, source: Box::new(bundle) })
}

/// `BundleEntryProto`.
struct Entry {
    element: ElementType,
    shape: Vec<usize>,
    shard: u64,
    offset: u64,
    size: u64,
    crc: u32,
    slices: Vec<Slice>,
}

impl Entry {
    fn empty() -> Self {
        let element = ElementType::Other;
        Self { element, shape: Vec::new(), shard: 0, offset: 0, size: 0, crc: 0, slices: Vec::new() }
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut entry = Self::empty();
        for field in fields(bytes) {
            match field? {
                (1, Field::Varint(value)) => entry.element = ElementType::from_tensorflow(value),
                (2, Field::Bytes(shape)) => entry.shape = parse_shape(shape)?,
                (3, Field::Varint(value)) => entry.shard = value,
                (4, Field::Varint(value)) => entry.offset = value,
                (5, Field::Varint(value)) => entry.size = value,
                (6, Field::Fixed32(value)) => entry.crc = value,
                (7, Field::Bytes(slice)) => entry.slices.push(Slice::parse(slice)?),
                _ => {}
            }
        }
        Ok(entry)
    }

    /// The bytes of the whole tensor, also where its entry only lists slices.
    fn whole_bytes(&self) -> u64 {
        if self.slices.is_empty() { self.size } else { byte_count(&self.shape, self.element).unwrap_or(u64::MAX) }
    }
}

/// `TensorShapeProto`.
pub(crate) fn parse_shape(bytes: &[u8]) -> Result<Vec<usize>, String> {
    let mut shape = Vec::new();
    for field in fields(bytes) {
        let (2, Field::Bytes(dim)) = field? else { continue };
        let mut length = 0;
        for field in fields(dim) {
            if let (1, Field::Varint(value)) = field? {
                length = usize::try_from(value)
                    .ok()
                    .filter(|length| *length <= isize::MAX as usize)
                    .ok_or_else(|| format!("an axis of {value}"))?;
            }
        }
        shape.push(length);
        if shape.len() > MAX_RANK {
            return Err(format!("more than {MAX_RANK} axes"));
        }
    }
    Ok(shape)
}

/// An open checkpoint.
struct Bundle {
    prefix: PathBuf,
    index: PathBuf,
    shard_count: u64,
    entries: Vec<(String, Entry)>,
    /// The entries of slices, by the keys that [`slices::key`] makes.
    slices: BTreeMap<Vec<u8>, Entry>,
    shards: BTreeMap<u64, FileBytes>,
}

impl Bundle {
    fn open(prefix: &Path) -> Result<Self, WeightsError> {
        let index = index_path(prefix);
        let bytes = FileBytes::open(&index)?.whole(MAX_INDEX_BYTES)?;
        let rows = table::read(&bytes).map_err(|damage| match damage.offset {
            None => WeightsError::format(&index, damage.what),
            Some(offset) => WeightsError::damaged(&index, format!("byte {offset}"), damage.what),
        })?;
        let damaged = |name: &str, what: String| WeightsError::damaged(&index, format!("\"{name}\""), what);
        let mut rows = rows.into_iter();
        let shard_count = match rows.next() {
            Some((key, header)) if key.is_empty() => parse_header(&header).map_err(|what| damaged("", what))?,
            _ => return Err(WeightsError::format(&index, "has no header entry; it is no checkpoint's index")),
        };
        let mut entries = Vec::new();
        let mut slices = BTreeMap::new();
        for (key, value) in rows {
            let name = String::from_utf8_lossy(&key).into_owned();
            let entry = Entry::parse(&value).map_err(|what| damaged(&name, what))?;
            if key.starts_with(&[0]) {
                slices.insert(key, entry);
            } else {
                entries.push((name, entry));
            }
        }
        Ok(Self { prefix: prefix.to_owned(), index, shard_count, entries, slices, shards: BTreeMap::new() })
    }

    fn damaged(&self, name: &str, what: impl Into<String>) -> WeightsError {
        WeightsError::damaged(&self.index, format!("\"{name}\""), what)
    }

    fn shard_path(&self, shard: u64) -> PathBuf {
        with_suffix(&self.prefix, &format!(".data-{shard:05}-of-{:05}", self.shard_count))
    }

    /// The bytes of an entry, their checksum verified. Texts have a checksum of their own.
    fn bytes(&mut self, name: &str, entry: &Entry) -> Result<Vec<u8>, WeightsError> {
        if entry.shard >= self.shard_count {
            let what = format!("lies in data file {} of {}", entry.shard, self.shard_count);
            return Err(self.damaged(name, what));
        }
        let path = self.shard_path(entry.shard);
        let file = match self.shards.entry(entry.shard) {
            btree_map::Entry::Occupied(open) => open.into_mut(),
            btree_map::Entry::Vacant(new) => new.insert(FileBytes::open(&path)?),
        };
        let place = format!("\"{name}\"");
        let bytes = file.read_at(entry.offset, entry.size, &place)?;
        let crc = match entry.element {
            ElementType::Text => texts(&bytes, &entry.shape).map(|(_, crc)| crc),
            _ => Some(masked_crc(&bytes)),
        };
        if crc != Some(entry.crc) {
            return Err(WeightsError::damaged(&path, place, "the checksum does not match its bytes"));
        }
        Ok(bytes)
    }

    /// The values of an entry that is not sliced.
    fn values(&mut self, name: &str, entry: &Entry) -> Result<Vec<f32>, WeightsError> {
        if byte_count(&entry.shape, entry.element) != Some(entry.size) {
            return Err(self.damaged(name, format!("{} bytes for a shape of {:?}", entry.size, entry.shape)));
        }
        Ok(entry.element.to_f32(&self.bytes(name, entry)?).unwrap_or_default())
    }

    /// A partitioned variable, put together. Its slices must cover it exactly, which also bounds its size by the files'.
    fn sliced(&mut self, name: &str, entry: &Entry) -> Result<Vec<f32>, WeightsError> {
        let mut parts = Vec::with_capacity(entry.slices.len());
        let mut covered = 0usize;
        for slice in &entry.slices {
            let extents = slice.extents(&entry.shape).map_err(|what| self.damaged(name, what))?;
            let key = slices::key(name, slice);
            let part = self.slices.remove(&key).ok_or_else(|| self.damaged(name, "one of its slices has no entry"))?;
            let lengths: Vec<usize> = extents.iter().map(|&(_, length)| length).collect();
            let values = if part.shape == lengths && part.element == entry.element {
                self.values(name, &part)
            } else {
                Ok(vec![])
            };
            self.slices.insert(key, part);
            let values = values?;
            if Some(values.len()) != crate::element::element_count(&lengths) {
                return Err(self.damaged(name, "one of its slices has another shape or type"));
            }
            covered = covered.saturating_add(values.len());
            parts.push((extents, values));
        }
        if Some(covered) != crate::element::element_count(&entry.shape) {
            return Err(self.damaged(name, format!("its slices hold {covered} values for {:?}", entry.shape)));
        }
        slices::assemble(&entry.shape, &parts).map_err(|what| self.damaged(name, what))
    }

    /// The variables' own names by checkpoint key, where the checkpoint is object-based and its data is there.
    fn full_names(&mut self) -> Result<HashMap<String, String>, WeightsError> {
        let Some(place) = self.entries.iter().position(|(name, _)| name == OBJECT_GRAPH) else {
            return Ok(HashMap::new());
        };
        if !self.shard_path(self.entries[place].1.shard).is_file() {
            return Ok(HashMap::new());
        }
        let bytes = self.with_entry(place, Self::bytes)?;
        let text = texts(&bytes, &[]).and_then(|(texts, _)| texts.into_iter().next());
        let names =
            text.map_or_else(|| Err("it holds no text".to_owned()), |text| object_graph::full_names(&bytes[text]));
        names.map_err(|what| self.damaged(OBJECT_GRAPH, what))
    }

    /// Runs `work` on an entry with the rest of the bundle at hand.
    fn with_entry<T>(&mut self, index: usize, work: impl FnOnce(&mut Self, &str, &Entry) -> T) -> T {
        let (name, entry) = std::mem::replace(&mut self.entries[index], (String::new(), Entry::empty()));
        let result = work(self, &name, &entry);
        self.entries[index] = (name, entry);
        result
    }
}

impl Source for Bundle {
    fn tensor(&mut self, index: usize) -> Result<HostTensor, WeightsError> {
        self.with_entry(index, |bundle, name, entry| {
            let data =
                if entry.slices.is_empty() { bundle.values(name, entry)? } else { bundle.sliced(name, entry)? };
            Ok(HostTensor { shape: entry.shape.clone(), data })
        })
    }

    fn verify(&mut self) -> Result<Checksums, WeightsError> {
        if let Some(missing) = (0..self.shard_count).map(|shard| self.shard_path(shard)).find(|path| !path.is_file()) {
            return Ok(Checksums::DataMissing(missing));
        }
        for index in 0..self.entries.len() {
            self.with_entry(index, |bundle, name, entry| {
                if entry.slices.is_empty() {
                    bundle.bytes(name, entry).map(drop)
                } else {
                    bundle.sliced(name, entry).map(drop)
                }
            })?;
        }
        Ok(Checksums::Match(self.entries.len()))
    }
}

/// The number of data files, from `BundleHeaderProto`.
fn parse_header(header: &[u8]) -> Result<u64, String> {
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
    Ok(count)
}

/// Where the texts of a tensor of texts lie in its bytes, and the masked checksum: the lengths as varints,
/// their checksum, the texts. The checksum runs over the lengths as fixed numbers instead.
fn texts(bytes: &[u8], shape: &[usize]) -> Option<(Vec<std::ops::Range<usize>>, u32)> {
    let count = crate::element::element_count(shape).filter(|count| *count <= bytes.len())?;
    let mut rest = bytes;
    let mut lengths = Vec::with_capacity(count);
    let mut crc = 0;
    for _ in 0..count {
        let length = varint(&mut rest)?;
        crc = match u32::try_from(length) {
            Ok(length) => crc32c::crc32c_append(crc, &length.to_le_bytes()),
            Err(_) => crc32c::crc32c_append(crc, &length.to_le_bytes()),
        };
        lengths.push(usize::try_from(length).ok()?);
    }
    let lengths_crc = crate::wire::take(&mut rest, 4)?;
    if lengths_crc != mask(crc).to_le_bytes() {
        return None;
    }
    crc = crc32c::crc32c_append(crc, lengths_crc);
    let mut at = bytes.len() - rest.len();
    let mut texts = Vec::with_capacity(count);
    for length in lengths {
        let end = at.checked_add(length).filter(|end| *end <= bytes.len())?;
        crc = crc32c::crc32c_append(crc, &bytes[at..end]);
        texts.push(at..end);
        at = end;
    }
    (at == bytes.len()).then_some((texts, mask(crc)))
}
