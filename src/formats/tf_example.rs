//! Detection examples: what TFOD's dataset scripts write into records and its decoder reads.
//!
//! An example is a set of named lists ([`proto`]); [`DetectionExample`] is the same with types. The
//! keys are those of TFOD's `TfExampleDecoder`, the values those of its `create_pascal_tf_record.py`:
//! boxes as fractions of the picture, the class as text and as id of the label map, the encoded
//! picture and its SHA-256. Keys that are absent take the decoder's defaults; a list whose length
//! does not fit the number of boxes is an error, because then nobody knows what belongs to what.

use std::collections::BTreeMap;

use boxwright_core::{BoxFlags, ImageSize, LabelId, LabelMap, NormalizedBox, PixelBox};
use prost::Message;
use sha2::{Digest, Sha256};

use crate::picture::Encoding;

/// The messages of `proto/tensorflow/core/example`.
#[allow(missing_docs, clippy::doc_markdown)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/tensorflow.rs"));
}

use proto::feature::Kind;

/// The keys of a detection example.
pub mod keys {
    /// Height of the picture in pixels.
    pub const HEIGHT: &str = "image/height";
    /// Width of the picture in pixels.
    pub const WIDTH: &str = "image/width";
    /// Name of the picture's file.
    pub const FILENAME: &str = "image/filename";
    /// Identity of the picture in its data set; evaluation tells pictures apart by it.
    pub const SOURCE_ID: &str = "image/source_id";
    /// SHA-256 of the encoded picture, in hexadecimal.
    pub const SHA256: &str = "image/key/sha256";
    /// The encoded picture.
    pub const ENCODED: &str = "image/encoded";
    /// `jpeg` or `png`.
    pub const FORMAT: &str = "image/format";
    /// Left edges.
    pub const XMIN: &str = "image/object/bbox/xmin";
    /// Right edges.
    pub const XMAX: &str = "image/object/bbox/xmax";
    /// Upper edges.
    pub const YMIN: &str = "image/object/bbox/ymin";
    /// Lower edges.
    pub const YMAX: &str = "image/object/bbox/ymax";
    /// Names of the classes.
    pub const CLASS_TEXT: &str = "image/object/class/text";
    /// Ids of the classes in the label map.
    pub const CLASS_LABEL: &str = "image/object/class/label";
    /// Hard to recognise.
    pub const DIFFICULT: &str = "image/object/difficult";
    /// Cut off by the edge of the picture.
    pub const TRUNCATED: &str = "image/object/truncated";
    /// Partly hidden, as in records of Open Images.
    pub const OCCLUDED: &str = "image/object/occluded";
    /// Pose.
    pub const VIEW: &str = "image/object/view";
    /// One box around a crowd, as in COCO.
    pub const IS_CROWD: &str = "image/object/is_crowd";
    /// One box around a group, as in Open Images.
    pub const GROUP_OF: &str = "image/object/group_of";
    /// How much the box counts in the loss.
    pub const WEIGHT: &str = "image/object/weight";
    /// Area of the object in pixels, as in COCO.
    pub const AREA: &str = "image/object/area";
}

/// One object of an example.
#[derive(Clone, Debug, PartialEq)]
pub struct ExampleObject {
    /// Its place.
    pub bounds: NormalizedBox,
    /// The name of its class; empty where the record gives none.
    pub text: String,
    /// The number of its class, unchecked; `None` where the record gives none.
    pub label: Option<i64>,
    /// Hard to recognise.
    pub difficult: bool,
    /// Cut off by the edge of the picture.
    pub truncated: bool,
    /// Partly hidden.
    pub occluded: bool,
    /// One box around a crowd, as in COCO.
    pub is_crowd: bool,
    /// One box around a group, as in Open Images.
    pub group_of: bool,
    /// Pose; empty where the record gives none.
    pub view: String,
    /// How much it counts in the loss, 1 where the record does not say.
    pub weight: f32,
    /// Its area in pixels, where the record gives one.
    pub area: Option<f32>,
}

impl ExampleObject {
    /// An object of the domain in a picture of `size`. `name` is the class in the label map.
    pub fn new(label: LabelId, name: &str, bounds: &PixelBox, flags: BoxFlags, size: ImageSize) -> Self {
        Self {
            bounds: bounds.normalize(size),
            text: name.to_owned(),
            label: Some(i64::from(label.get())),
            difficult: flags.difficult,
            truncated: flags.truncated,
            occluded: flags.occluded,
            is_crowd: flags.group_of,
            group_of: flags.group_of,
            view: "Unspecified".to_owned(),
            weight: 1.0,
            area: None,
        }
    }

    /// What the domain knows of the flags.
    pub fn flags(&self) -> BoxFlags {
        BoxFlags {
            difficult: self.difficult,
            truncated: self.truncated,
            occluded: self.occluded,
            group_of: self.group_of || self.is_crowd,
        }
    }

    /// The class, as TFOD's decoder finds it: by name in the label map, display names first, and by
    /// number where the record has no names or there is no map.
    ///
    /// # Errors
    /// A name that the map lacks, or a number that is no id; in words, without the place.
    pub fn label_id(&self, map: Option<&LabelMap>) -> Result<LabelId, String> {
        if let (Some(map), false) = (map, self.text.is_empty()) {
            let display =
                |item: &&boxwright_core::LabelMapItem| item.display_name.as_deref() == Some(self.text.as_str());
            return match map.items().iter().find(display).or_else(|| map.by_name(&self.text)) {
                Some(item) => Ok(item.id),
                None => Err(match map.nearest_name(&self.text) {
                    Some(near) => {
                        format!("the label \"{}\" is not in the label map; did you mean \"{near}\"?", self.text)
                    }
                    None => format!("the label \"{}\" is not in the label map; add it there", self.text),
                }),
            };
        }
        let Some(number) = self.label else {
            return Err(format!("the label \"{}\" needs a label map to get its id", self.text));
        };
        u32::try_from(number)
            .ok()
            .and_then(LabelId::new)
            .ok_or_else(|| format!("{number} is not an id of a label map: they go from 1 to {}", LabelId::MAX))
    }
}

/// One picture with its objects, as a record holds it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DetectionExample {
    /// Name of the picture's file.
    pub filename: String,
    /// Identity of the picture in its data set.
    pub source_id: String,
    /// SHA-256 of the encoded picture, in hexadecimal.
    pub key: String,
    /// The encoded picture.
    pub encoded: Vec<u8>,
    /// `jpeg` or `png`.
    pub format: String,
    /// The size that the record gives; the decoded picture's own size is what counts.
    pub size: Option<ImageSize>,
    /// The objects.
    pub objects: Vec<ExampleObject>,
}

/// Why an example cannot be read. Every message starts with the place that the caller gave.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExampleError {
    /// The bytes are not a tf.Example.
    #[error("{place}: not a tf.Example: {reason}")]
    Decode {
        /// The file and record.
        place: String,
        /// What the protobuf decoder says.
        reason: String,
    },
    /// A key holds a list of another kind.
    #[error("{place}: \"{key}\" holds {found}, and should hold {expected}")]
    Kind {
        /// The file and record.
        place: String,
        /// The key.
        key: &'static str,
        /// What it holds.
        found: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
    /// A list does not fit the number of boxes.
    #[error("{place}: \"{key}\" has {found} values for {boxes} boxes; write the record again")]
    Length {
        /// The file and record.
        place: String,
        /// The key.
        key: &'static str,
        /// How many values it has.
        found: usize,
        /// How many boxes there are.
        boxes: usize,
    },
    /// A text that is not UTF-8.
    #[error("{place}: \"{key}\" is not UTF-8 text")]
    Text {
        /// The file and record.
        place: String,
        /// The key.
        key: &'static str,
    },
}

impl DetectionExample {
    /// An example as TFOD's dataset scripts make it: the key is the SHA-256 of the picture and the
    /// source id is the name of its file.
    pub fn new(
        filename: &str,
        encoded: Vec<u8>,
        encoding: Encoding,
        size: ImageSize,
        objects: Vec<ExampleObject>,
    ) -> Self {
        let key = Sha256::digest(&encoded).iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            filename: filename.to_owned(),
            source_id: filename.to_owned(),
            key,
            encoded,
            format: encoding.name().to_owned(),
            size: Some(size),
            objects,
        }
    }

    /// The bytes of the record. The same example is always the same bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut features = BTreeMap::new();
        let mut put = |key: &str, kind: Kind| features.insert(key.to_owned(), proto::Feature { kind: Some(kind) });
        if let Some(size) = self.size {
            put(keys::HEIGHT, integers([i64::from(size.height)]));
            put(keys::WIDTH, integers([i64::from(size.width)]));
        }
        put(keys::FILENAME, texts([self.filename.as_str()]));
        put(keys::SOURCE_ID, texts([self.source_id.as_str()]));
        put(keys::SHA256, texts([self.key.as_str()]));
        put(keys::ENCODED, Kind::BytesList(proto::BytesList { value: vec![self.encoded.clone()] }));
        put(keys::FORMAT, texts([self.format.as_str()]));
        let objects = &self.objects;
        put(keys::XMIN, floats(objects.iter().map(|o| o.bounds.xmin)));
        put(keys::XMAX, floats(objects.iter().map(|o| o.bounds.xmax)));
        put(keys::YMIN, floats(objects.iter().map(|o| o.bounds.ymin)));
        put(keys::YMAX, floats(objects.iter().map(|o| o.bounds.ymax)));
        put(keys::CLASS_TEXT, texts(objects.iter().map(|o| o.text.as_str())));
        if objects.iter().all(|o| o.label.is_some()) {
            put(keys::CLASS_LABEL, integers(objects.iter().filter_map(|o| o.label)));
        }
        put(keys::DIFFICULT, flags(objects, |o| o.difficult));
        put(keys::TRUNCATED, flags(objects, |o| o.truncated));
        put(keys::VIEW, texts(objects.iter().map(|o| o.view.as_str())));
        // The rest only where it says something, as the decoder's defaults say the same.
        for (key, of) in [
            (keys::OCCLUDED, (|o| o.occluded) as fn(&ExampleObject) -> bool),
            (keys::IS_CROWD, |o| o.is_crowd),
            (keys::GROUP_OF, |o| o.group_of),
        ] {
            if objects.iter().any(of) {
                put(key, flags(objects, of));
            }
        }
        if objects.iter().any(|o| o.weight != 1.0) {
            put(keys::WEIGHT, floats(objects.iter().map(|o| o.weight)));
        }
        if !objects.is_empty() && objects.iter().all(|o| o.area.is_some()) {
            put(keys::AREA, floats(objects.iter().filter_map(|o| o.area)));
        }
        proto::Example { features: Some(proto::Features { feature: features }) }.encode_to_vec()
    }

    /// Reads a record. `place` is what messages start with, such as `train.record, record 3`.
    ///
    /// # Errors
    /// The bytes are no example, a key holds another kind of list, or a list does not fit the boxes.
    pub fn decode(bytes: &[u8], place: &str) -> Result<Self, ExampleError> {
        let example = proto::Example::decode(bytes)
            .map_err(|error| ExampleError::Decode { place: place.to_owned(), reason: error.to_string() })?;
        let mut lists = Lists { features: example.features.unwrap_or_default().feature, place };
        let size = match (lists.integer(keys::WIDTH)?, lists.integer(keys::HEIGHT)?) {
            (Some(width), Some(height)) => match (u32::try_from(width), u32::try_from(height)) {
                (Ok(width), Ok(height)) if width > 0 && height > 0 => Some(ImageSize::new(width, height)),
                _ => None,
            },
            _ => None,
        };
        Ok(Self {
            filename: lists.text(keys::FILENAME)?,
            source_id: lists.text(keys::SOURCE_ID)?,
            key: lists.text(keys::SHA256)?,
            encoded: lists.bytes(keys::ENCODED)?.into_iter().next().unwrap_or_default(),
            format: lists.text(keys::FORMAT)?,
            size,
            objects: lists.objects()?,
        })
    }
}

fn integers(values: impl IntoIterator<Item = i64>) -> Kind {
    Kind::Int64List(proto::Int64List { value: values.into_iter().collect() })
}

fn floats(values: impl IntoIterator<Item = f32>) -> Kind {
    Kind::FloatList(proto::FloatList { value: values.into_iter().collect() })
}

fn texts<'a>(values: impl IntoIterator<Item = &'a str>) -> Kind {
    Kind::BytesList(proto::BytesList { value: values.into_iter().map(|text| text.as_bytes().to_vec()).collect() })
}

fn flags(objects: &[ExampleObject], of: fn(&ExampleObject) -> bool) -> Kind {
    integers(objects.iter().map(|object| i64::from(of(object))))
}

/// The lists of an example, taken out by key.
struct Lists<'a> {
    features: BTreeMap<String, proto::Feature>,
    place: &'a str,
}

impl Lists<'_> {
    fn take(&mut self, key: &str) -> Option<Kind> {
        self.features.remove(key).and_then(|feature| feature.kind)
    }

    fn wrong_kind(&self, key: &'static str, found: &Kind, expected: &'static str) -> ExampleError {
        let found = match found {
            Kind::BytesList(_) => "bytes",
            Kind::FloatList(_) => "floating point numbers",
            Kind::Int64List(_) => "integers",
        };
        ExampleError::Kind { place: self.place.to_owned(), key, found, expected }
    }

    fn bytes(&mut self, key: &'static str) -> Result<Vec<Vec<u8>>, ExampleError> {
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Kind::BytesList(list)) => Ok(list.value),
            Some(other) => Err(self.wrong_kind(key, &other, "bytes")),
        }
    }

    fn floats(&mut self, key: &'static str) -> Result<Vec<f32>, ExampleError> {
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Kind::FloatList(list)) => Ok(list.value),
            Some(other) => Err(self.wrong_kind(key, &other, "floating point numbers")),
        }
    }

    fn integers(&mut self, key: &'static str) -> Result<Vec<i64>, ExampleError> {
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Kind::Int64List(list)) => Ok(list.value),
            Some(other) => Err(self.wrong_kind(key, &other, "integers")),
        }
    }

    fn integer(&mut self, key: &'static str) -> Result<Option<i64>, ExampleError> {
        Ok(self.integers(key)?.first().copied())
    }

    fn text(&mut self, key: &'static str) -> Result<String, ExampleError> {
        let first = self.bytes(key)?.into_iter().next().unwrap_or_default();
        String::from_utf8(first).map_err(|_| ExampleError::Text { place: self.place.to_owned(), key })
    }

    fn texts(&mut self, key: &'static str) -> Result<Vec<String>, ExampleError> {
        let text =
            |bytes| String::from_utf8(bytes).map_err(|_| ExampleError::Text { place: self.place.to_owned(), key });
        let values = match self.features.remove(key).and_then(|feature| feature.kind) {
            None => return Ok(Vec::new()),
            Some(Kind::BytesList(list)) => list.value,
            Some(other) => return Err(self.wrong_kind(key, &other, "bytes")),
        };
        values.into_iter().map(text).collect()
    }

    /// `values` if there is one for each box, nothing if there are none at all.
    fn for_boxes<T>(&self, key: &'static str, values: Vec<T>, boxes: usize) -> Result<Option<Vec<T>>, ExampleError> {
        match values.len() {
            n if n == boxes => Ok(Some(values)),
            0 => Ok(None),
            found => Err(ExampleError::Length { place: self.place.to_owned(), key, found, boxes }),
        }
    }

    fn flags(&mut self, key: &'static str, boxes: usize) -> Result<Option<Vec<i64>>, ExampleError> {
        let values = self.integers(key)?;
        self.for_boxes(key, values, boxes)
    }

    fn objects(&mut self) -> Result<Vec<ExampleObject>, ExampleError> {
        let xmin = self.floats(keys::XMIN)?;
        let boxes = xmin.len();
        let mut edges = [keys::YMIN, keys::XMAX, keys::YMAX].into_iter().map(|key| {
            let values = self.floats(key)?;
            match values.len() {
                n if n == boxes => Ok(values),
                found => Err(ExampleError::Length { place: self.place.to_owned(), key, found, boxes }),
            }
        });
        let (Some(ymin), Some(xmax), Some(ymax)) = (edges.next(), edges.next(), edges.next()) else {
            return Ok(Vec::new());
        };
        let (ymin, xmax, ymax) = (ymin?, xmax?, ymax?);
        drop(edges);
        let texts = self.texts(keys::CLASS_TEXT)?;
        let texts = self.for_boxes(keys::CLASS_TEXT, texts, boxes)?;
        let labels = self.flags(keys::CLASS_LABEL, boxes)?;
        let views = self.texts(keys::VIEW)?;
        let views = self.for_boxes(keys::VIEW, views, boxes)?;
        let difficult = self.flags(keys::DIFFICULT, boxes)?;
        let truncated = self.flags(keys::TRUNCATED, boxes)?;
        let occluded = self.flags(keys::OCCLUDED, boxes)?;
        let is_crowd = self.flags(keys::IS_CROWD, boxes)?;
        let group_of = self.flags(keys::GROUP_OF, boxes)?;
        let weights = self.floats(keys::WEIGHT)?;
        let weights = self.for_boxes(keys::WEIGHT, weights, boxes)?;
        let areas = self.floats(keys::AREA)?;
        let areas = self.for_boxes(keys::AREA, areas, boxes)?;
        let is_set = |list: &Option<Vec<i64>>, i: usize| list.as_ref().is_some_and(|values| values[i] != 0);
        Ok((0..boxes)
            .map(|i| ExampleObject {
                bounds: NormalizedBox::new(ymin[i], xmin[i], ymax[i], xmax[i]),
                text: texts.as_ref().map(|values| values[i].clone()).unwrap_or_default(),
                label: labels.as_ref().map(|values| values[i]),
                difficult: is_set(&difficult, i),
                truncated: is_set(&truncated, i),
                occluded: is_set(&occluded, i),
                is_crowd: is_set(&is_crowd, i),
                group_of: is_set(&group_of, i),
                view: views.as_ref().map(|values| values[i].clone()).unwrap_or_default(),
                weight: weights.as_ref().map_or(1.0, |values| values[i]),
                area: areas.as_ref().map(|values| values[i]),
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn object(text: &str, label: Option<i64>) -> ExampleObject {
        ExampleObject {
            bounds: NormalizedBox::new(0.25, 0.5, 0.75, 1.0),
            text: text.into(),
            label,
            difficult: true,
            truncated: false,
            occluded: true,
            is_crowd: false,
            group_of: true,
            view: "Left".into(),
            weight: 0.5,
            area: Some(12.0),
        }
    }

    #[test]
    fn an_example_is_the_same_after_writing_and_reading() {
        let size = ImageSize::new(40, 20);
        let example = DetectionExample::new(
            "a.png",
            vec![1, 2, 3],
            Encoding::Png,
            size,
            vec![object("cat", Some(1)), object("naïve", Some(7))],
        );
        assert_eq!(example.key, "039058c6f2c0cb492c533b0a4d14ef77cc0f78abccced5287d84a1a2011cfb81");
        let bytes = example.encode();
        assert_eq!(DetectionExample::decode(&bytes, "a").expect("valid"), example);
        assert_eq!(example.encode(), bytes);
        let empty = DetectionExample::new("b.jpg", vec![9], Encoding::Jpeg, size, Vec::new());
        assert_eq!(DetectionExample::decode(&empty.encode(), "b").expect("valid"), empty);
    }

    #[test]
    fn pixels_become_fractions_and_flags_survive() {
        let label = LabelId::new(3).expect("an id");
        let flags = BoxFlags { difficult: false, truncated: true, occluded: false, group_of: true };
        let bounds = PixelBox::new(5.0, 10.0, 10.0, 30.0);
        let object = ExampleObject::new(label, "dog", &bounds, flags, ImageSize::new(40, 20));
        assert_eq!(object.bounds, NormalizedBox::new(0.25, 0.25, 0.5, 0.75));
        assert_eq!(object.flags(), flags);
        assert_eq!(object.label_id(None), Ok(label));
    }

    #[test]
    fn classes_are_found_by_text_first() {
        let map = LabelMap::from_names(["cat", "raccoon"]).expect("valid");
        let id = |text: &str, label| object(text, label).label_id(Some(&map));
        assert_eq!(id("raccoon", Some(1)).expect("by text").get(), 2);
        assert_eq!(id("", Some(2)).expect("by number").get(), 2);
        assert!(id("racoon", Some(1)).expect_err("unknown").contains("did you mean \"raccoon\""));
        assert!(object("cat", Some(-3)).label_id(None).is_err());
        assert!(object("cat", None).label_id(None).expect_err("no number").contains("needs a label map"));
    }

    #[test]
    fn lists_that_do_not_fit_are_told_by_key() {
        let mut features = BTreeMap::new();
        let mut put = |key: &str, kind| features.insert(key.to_owned(), proto::Feature { kind: Some(kind) });
        for key in [keys::XMIN, keys::XMAX, keys::YMIN, keys::YMAX] {
            put(key, floats([0.1, 0.2]));
        }
        put(keys::DIFFICULT, integers([1]));
        let encode = |features: &BTreeMap<String, proto::Feature>| {
            proto::Example { features: Some(proto::Features { feature: features.clone() }) }.encode_to_vec()
        };
        let error =
            DetectionExample::decode(&encode(&features), "x.record, record 3").expect_err("one flag, two boxes");
        assert_eq!(
            error.to_string(),
            "x.record, record 3: \"image/object/difficult\" has 1 values for 2 boxes; write the record again"
        );
        features.remove(keys::DIFFICULT);
        features.insert(keys::YMAX.to_owned(), proto::Feature { kind: Some(floats([])) });
        assert!(matches!(
            DetectionExample::decode(&encode(&features), "x"),
            Err(ExampleError::Length { key: keys::YMAX, found: 0, boxes: 2, .. })
        ));
        features.insert(keys::YMAX.to_owned(), proto::Feature { kind: Some(integers([1, 1])) });
        assert!(matches!(DetectionExample::decode(&encode(&features), "x"), Err(ExampleError::Kind { .. })));
        assert!(matches!(DetectionExample::decode(b"\xff\xff\xff", "x"), Err(ExampleError::Decode { .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = DetectionExample::decode(&bytes, "a");
        }

        #[test]
        fn damaged_examples_are_read_or_refused(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let size = ImageSize::new(4, 4);
            let example = DetectionExample::new("a", vec![5; 20], Encoding::Jpeg, size, vec![object("cat", Some(1)); 3]);
            let mut bytes = example.encode();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(read) = DetectionExample::decode(&bytes, "a") {
                prop_assert!(read.objects.len() <= bytes.len());
            }
        }
    }
}
