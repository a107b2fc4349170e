//! Reading events.

use std::collections::HashMap;
use std::io::BufRead;
use std::path::Path;

use prost::Message;

use super::messages::{self, Content, SESSION_START};
use super::{Event, EventData, EventError, EventImage, FILE_VERSION, SummaryValue, TaggedValue};
use crate::read_file::read_start;
use crate::tf_record::{self, RecordReader};

/// Tags whose plugin is remembered at most; a file with more of them is no run's.
const MAX_TAGS: usize = 100_000;

/// Whether a file is one of events: its first record is an event that names the version of the layout.
pub fn is_event_file(path: &Path) -> bool {
    // A record of a few dozen bytes; a file of other records may begin with a large one.
    let Ok((start, _)) = read_start(path, 4096) else { return false };
    let mut first = Vec::new();
    if !RecordReader::new(&start[..], "").read_into(&mut first).unwrap_or(false) {
        return false;
    }
    messages::Event::decode(&first[..])
        .is_ok_and(|event| event.file_version.is_some_and(|version| version.starts_with("brain.Event:")))
}

/// The events of a file, one after the other. As an iterator it ends after the first error.
#[derive(Debug)]
pub struct EventReader<R> {
    records: RecordReader<R>,
    name: String,
    /// The plugin of each tag: a writer may say it only the first time.
    plugins: HashMap<String, String>,
    failed: bool,
}

impl EventReader<Box<dyn BufRead + Send>> {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open(path: &Path) -> Result<Self, EventError> {
        let records = tf_record::open(path)?;
        Ok(Self { records, name: path.display().to_string(), plugins: HashMap::new(), failed: false })
    }
}

impl<R: BufRead> EventReader<R> {
    /// Events from a stream of records, which messages call `name`.
    pub fn new(stream: R, name: impl Into<String>) -> Self {
        let name = name.into();
        Self { records: RecordReader::new(stream, name.clone()), name, plugins: HashMap::new(), failed: false }
    }

    /// The next event; `None` at the end.
    ///
    /// # Errors
    /// A damaged record, or one that is no event; it says which.
    pub fn read(&mut self) -> Result<Option<Event>, EventError> {
        let mut data = Vec::new();
        if !self.records.read_into(&mut data)? {
            return Ok(None);
        }
        let no_event = |what: String| EventError::NoEvent {
            file: self.name.clone(),
            record: self.records.records().saturating_sub(1),
            what,
        };
        let event = messages::Event::decode(&data[..]).map_err(|e| no_event(e.to_string()))?;
        if let Some(version) = event.file_version.as_ref().filter(|version| *version != FILE_VERSION) {
            return Err(no_event(format!("its version is {version:?}, and {FILE_VERSION:?} is read")));
        }
        Ok(Some(self.event(event)))
    }

    fn event(&mut self, event: messages::Event) -> Event {
        let data = match event {
            messages::Event { file_version: Some(version), .. } => EventData::FileVersion(version),
            messages::Event { summary: Some(summary), .. } => {
                EventData::Summary(summary.value.into_iter().map(|value| self.value(value)).collect())
            }
            messages::Event { session_log: Some(log), .. } if log.status == SESSION_START => EventData::SessionStart,
            _ => EventData::Other,
        };
        Event { wall_time: event.wall_time, step: event.step, data }
    }

    fn value(&mut self, value: messages::Value) -> TaggedValue {
        let said = value.metadata.and_then(|m| m.plugin_data).map(|p| p.plugin_name).filter(|name| !name.is_empty());
        if let Some(plugin) = said
            && self.plugins.len() < MAX_TAGS
        {
            self.plugins.insert(value.tag.clone(), plugin);
        }
        let plugin = self.plugins.get(&value.tag).map_or("", String::as_str);
        let read = match value.content {
            Some(Content::Simple(number)) => SummaryValue::Scalar(number.into()),
            Some(Content::Image(image)) => SummaryValue::Images(vec![EventImage {
                width: u32::try_from(image.width).unwrap_or(0),
                height: u32::try_from(image.height).unwrap_or(0),
                encoded: image.encoded,
            }]),
            Some(Content::Histogram(_)) => SummaryValue::Other("histogram".to_owned()),
            Some(Content::Audio(_)) => SummaryValue::Other("audio".to_owned()),
            Some(Content::Tensor(tensor)) => tensor_value(tensor, plugin),
            None => SummaryValue::Other("nothing".to_owned()),
        };
        TaggedValue { tag: value.tag, value: read }
    }
}

/// What a tensor is, by the plugin that shows it.
fn tensor_value(tensor: messages::TensorProto, plugin: &str) -> SummaryValue {
    let other = || SummaryValue::Other(if plugin.is_empty() { "tensor" } else { plugin }.to_owned());
    match plugin {
        "scalars" | "" => tensor.as_scalar().map_or_else(other, SummaryValue::Scalar),
        // Width, height, and the files.
        "images" => match <[Vec<u8>; 2]>::try_from(tensor.string_val[..tensor.string_val.len().min(2)].to_vec()) {
            Ok(sizes) => {
                let [width, height] =
                    sizes.map(|text| std::str::from_utf8(&text).ok().and_then(|t| t.parse().ok()).unwrap_or(0));
                let files = tensor.string_val.into_iter().skip(2);
                SummaryValue::Images(files.map(|encoded| EventImage { width, height, encoded }).collect())
            }
            Err(_) => other(),
        },
        _ => other(),
    }
}

impl<R: BufRead> Iterator for EventReader<R> {
    type Item = Result<Event, EventError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.read();
        self.failed = next.is_err();
        next.transpose()
    }
}
