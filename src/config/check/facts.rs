//! What is known about the data and the machine that a config is for. Whoever checks gathers it: the
//! config room opens label maps and looks whether files exist, and reads no records.

use std::path::PathBuf;

use boxwright_core::{ImageSize, LabelMap, NormalizedBox};

/// What is known about the data and the machine that a config is for.
#[derive(Clone, Debug, Default)]
pub struct DatasetFacts {
    /// The folder of the config, from which its relative paths count; where it is none, files are
    /// not looked for.
    pub root: Option<PathBuf>,
    /// The label map; read from the config's `label_map_path` where it is none and files are looked for.
    pub label_map: Option<LabelMap>,
    /// Images to train on.
    pub train_images: Option<u64>,
    /// The most boxes that one image has.
    pub most_boxes: Option<usize>,
    /// What the training records hold.
    pub train: Option<RecordFacts>,
    /// What the evaluation records hold.
    pub eval: Option<RecordFacts>,
    /// Memory of the device that is to train.
    pub memory: Option<DeviceMemory>,
}

/// The memory of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceMemory {
    /// The device in words.
    pub device: String,
    /// Bytes.
    pub bytes: u64,
}

/// What a set of records, or the images that will become one, holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordFacts {
    /// Images.
    pub images: u64,
    /// Whether these are all; large sets are only looked into.
    pub whole: bool,
    /// The boxes, or an even sample of them, at most [`RecordFacts::MOST_BOXES`].
    pub boxes: Vec<BoxFact>,
    /// What classes are called in the records, and how many boxes each has.
    pub labels: Vec<LabelFact>,
}

impl RecordFacts {
    /// The most boxes that are kept; more would say the same.
    pub const MOST_BOXES: usize = 20_000;
}

/// One box of the data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoxFact {
    /// Its place.
    pub bounds: NormalizedBox,
    /// The size of its image.
    pub image: ImageSize,
    /// The id of its class; 0 where it has none.
    pub class: u32,
}

/// One way in which records name a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelFact {
    /// The name; empty where the records give none.
    pub text: String,
    /// The number; none where the records give none.
    pub number: Option<i64>,
    /// Its boxes.
    pub boxes: u64,
}
