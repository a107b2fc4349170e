//! The examples of a run, read from TFRecords by number.
//!
//! Opening reads every record once: checksums, labels and boxes are checked before a second of
//! training is spent. After that an example is fetched from its place in the file and decoded,
//! unless its decoded picture is still in memory.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use boxwright_core::annotation::BoxFlags;
use boxwright_core::geometry::{ImageSize, PixelBox};
use boxwright_core::label_map::{LabelId, LabelMap};
use boxwright_formats::tf_example::DetectionExample;
use boxwright_formats::{picture, tf_record};
use sha2::{Digest, Sha256};

use crate::augmentation::Object;
use crate::error::TrainingError;

/// Decoded pictures kept in memory, in bytes.
const CACHE_BYTES: usize = 1 << 30;

/// Records of packed files kept in memory, in bytes; those cannot be read from their place.
const PACKED_BYTES: u64 = 4 << 30;

/// Bytes before a record's data: its length and the checksum of that.
const RECORD_HEADER: u64 = 12;

/// A decoded example.
#[derive(Clone, Debug)]
pub struct Example {
    /// `image/filename`, or the record's place where it has none.
    pub name: String,
    /// The picture's size.
    pub size: ImageSize,
    /// Its pixels, RGB.
    pub rgb: Arc<[u8]>,
    /// Its objects.
    pub objects: Vec<Object>,
}

impl Example {
    /// The objects as evaluation wants them, in pixels.
    pub fn groundtruth(&self) -> Vec<(LabelId, PixelBox, BoxFlags)> {
        self.objects
            .iter()
            .filter_map(|o| Some((LabelMap::label_id(o.class)?, o.bounds.to_pixels(self.size), o.flags)))
            .collect()
    }
}

/// Where a record's bytes are.
#[derive(Debug)]
enum Place {
    InFile { offset: u64, length: usize },
    InMemory(Vec<u8>),
}

#[derive(Debug)]
struct Entry {
    file: Arc<PathBuf>,
    number: u64,
    place: Place,
}

#[derive(Debug, Default)]
struct Cache {
    examples: HashMap<usize, Arc<Example>>,
    bytes: usize,
}

/// All records of an input reader.
#[derive(Debug)]
pub struct RecordDataset {
    name: String,
    labels: Option<LabelMap>,
    num_classes: usize,
    entries: Vec<Entry>,
    boxes: usize,
    digest: String,
    cache: Mutex<Cache>,
}

impl RecordDataset {
    /// Opens the records of `patterns`; relative ones are looked for beside the config, in `base`.
    ///
    /// # Errors
    /// A file is missing or damaged, a record is no detection example, a label is not among the
    /// model's `num_classes`, a box is degenerate. Each names the file and the record.
    pub fn open(
        patterns: &[String],
        base: &Path,
        labels: Option<LabelMap>,
        num_classes: usize,
    ) -> Result<Self, TrainingError> {
        let mut dataset = Self {
            name: patterns.join(", "),
            labels,
            num_classes,
            entries: Vec::new(),
            boxes: 0,
            digest: String::new(),
            cache: Mutex::default(),
        };
        let mut hasher = Sha256::new();
        let mut packed_bytes = 0;
        for pattern in patterns {
            let pattern = boxwright_config::paths::resolve(base, pattern);
            let files =
                tf_record::expand(&pattern.to_string_lossy()).map_err(|e| TrainingError::Input(e.to_string()))?;
            for file in files {
                dataset.index(&Arc::new(file), &mut hasher, &mut packed_bytes)?;
            }
        }
        dataset.digest = hasher.finalize().iter().map(|b| format!("{b:02x}")).collect();
        Ok(dataset)
    }

    fn index(&mut self, file: &Arc<PathBuf>, hasher: &mut Sha256, packed_bytes: &mut u64) -> Result<(), TrainingError> {
        let input = |e: tf_record::RecordError| TrainingError::Input(e.to_string());
        let mut reader = tf_record::open(file).map_err(input)?;
        let plain = is_plain(file);
        let mut data = Vec::new();
        loop {
            let (number, offset) = (reader.records(), reader.offset());
            if !reader.read_into(&mut data).map_err(input)? {
                return Ok(());
            }
            let at = format!("{}, record {number} at byte {offset}", file.display());
            let example = DetectionExample::decode(&data, &at).map_err(|e| TrainingError::Input(e.to_string()))?;
            let objects = self
                .objects(&example)
                .map_err(|what| TrainingError::Input(format!("{at} ({}): {what}", example.filename)))?;
            self.boxes += objects.len();
            hasher.update(&data);
            let place = if plain {
                Place::InFile { offset: offset + RECORD_HEADER, length: data.len() }
            } else {
                *packed_bytes += data.len() as u64;
                if *packed_bytes > PACKED_BYTES {
                    return Err(TrainingError::Input(format!(
                        "{}: packed records of more than {} GB cannot be kept in memory; unpack them",
                        file.display(),
                        PACKED_BYTES >> 30
                    )));
                }
                Place::InMemory(std::mem::take(&mut data))
            };
            self.entries.push(Entry { file: Arc::clone(file), number, place });
        }
    }

    /// How many examples there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many classes the model has that learns from them.
    pub fn num_classes(&self) -> usize {
        self.num_classes
    }

    /// The label map, where the config names one.
    pub fn labels(&self) -> Option<&LabelMap> {
        self.labels.as_ref()
    }

    /// The files, as the config names them.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What `dataset.json` in the run directory says: which data, how much, and a hash of it.
    pub fn summary(&self) -> serde_json::Value {
        serde_json::json!({ "records": self.name, "images": self.len(), "boxes": self.boxes, "sha256": self.digest })
    }

    /// The example with this number, decoded.
    ///
    /// # Errors
    /// The record cannot be read any more, or its picture cannot be decoded.
    pub fn load(&self, index: usize) -> Result<Arc<Example>, TrainingError> {
        if let Some(example) = self.cache.lock().unwrap_or_else(PoisonError::into_inner).examples.get(&index) {
            return Ok(Arc::clone(example));
        }
        let example = Arc::new(self.decode(index)?);
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        // Whatever came first stays: with an order that is random each epoch, any fixed part of the
        // data is asked for as often as any other.
        if cache.bytes + example.rgb.len() <= CACHE_BYTES && !cache.examples.contains_key(&index) {
            cache.bytes += example.rgb.len();
            cache.examples.insert(index, Arc::clone(&example));
        }
        Ok(example)
    }

    fn decode(&self, index: usize) -> Result<Example, TrainingError> {
        let entry = self.entries.get(index).ok_or_else(|| {
            TrainingError::Input(format!("{}: example {index} was asked for, there are {}", self.name, self.len()))
        })?;
        let at = format!("{}, record {}", entry.file.display(), entry.number);
        let read;
        let bytes = match &entry.place {
            Place::InMemory(bytes) => bytes,
            Place::InFile { offset, length } => {
                read = read_at(&entry.file, *offset, *length)
                    .map_err(|e| TrainingError::Input(format!("{at}: {e}; did the file change during the run?")))?;
                &read
            }
        };
        let example = DetectionExample::decode(bytes, &at).map_err(|e| TrainingError::Input(e.to_string()))?;
        let objects = self.objects(&example).map_err(|what| TrainingError::Input(format!("{at}: {what}")))?;
        let name = if example.filename.is_empty() { at.clone() } else { example.filename };
        let picture =
            picture::decode(&example.encoded, &name).map_err(|e| TrainingError::Input(format!("{at}: {e}")))?;
        Ok(Example { name, size: picture.size, rgb: picture.rgb.into(), objects })
    }

    /// The objects of an example, checked for what a loss could not survive.
    fn objects(&self, example: &DetectionExample) -> Result<Vec<Object>, String> {
        let mut objects = Vec::with_capacity(example.objects.len());
        for (i, object) in example.objects.iter().enumerate() {
            let id = object.label_id(self.labels.as_ref()).map_err(|what| format!("box {i}: {what}"))?;
            if id.get() as usize > self.num_classes {
                return Err(format!(
                    "box {i} has label {id} (\"{}\"), the model has classes 1 to {}; raise num_classes or use the label map that the records were written with",
                    object.text, self.num_classes
                ));
            }
            if !object.bounds.is_valid() {
                let edges = object.bounds.to_array();
                return Err(format!("box {i} is degenerate or not a number: {edges:?}; fix or remove it"));
            }
            let class = LabelMap::class_index(id);
            objects.push(Object { bounds: object.bounds, class, weight: object.weight, flags: object.flags() });
        }
        Ok(objects)
    }
}

/// Whether a record file is not packed: its first record's data then lie where its length says.
fn is_plain(path: &Path) -> bool {
    let first = || -> std::io::Result<[u8; 12]> {
        let mut header = [0u8; 12];
        File::open(path)?.read_exact(&mut header)?;
        Ok(header)
    };
    first().is_ok_and(|h| tf_record::masked_crc(&h[..8]).to_le_bytes() == h[8..])
}

fn read_at(path: &Path, offset: u64, length: usize) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = vec![0; length];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}
