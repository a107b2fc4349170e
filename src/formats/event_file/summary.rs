//! What an event file holds, tag by tag.

use std::collections::BTreeMap;
use std::path::Path;

use super::{EventData, EventError, EventReader, SummaryValue};

/// Tags that are listed at most.
const MAX_TAGS: usize = 10_000;

/// What an event file holds.
#[derive(Debug, Default)]
pub struct EventFileSummary {
    /// How many events there are.
    pub events: u64,
    /// The steps at which a run began or went on.
    pub session_starts: Vec<i64>,
    /// The tags.
    pub tags: BTreeMap<String, TagSummary>,
    /// What ended the reading before the end of the file.
    pub damage: Option<EventError>,
}

/// What stands under a tag.
#[derive(Clone, Debug, PartialEq)]
pub struct TagSummary {
    /// `scalar`, `image`, `histogram`, …
    pub kind: String,
    /// How often.
    pub count: u64,
    /// The first step.
    pub first_step: i64,
    /// The last step.
    pub last_step: i64,
    /// The last number, where they are numbers.
    pub last_value: Option<f64>,
}

/// Reads through the file at `path`. Damage in it is told with what was read before.
///
/// # Errors
/// The file cannot be opened.
pub fn summarize(path: &Path) -> Result<EventFileSummary, EventError> {
    let mut summary = EventFileSummary::default();
    for event in EventReader::open(path)? {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                summary.damage = Some(error);
                break;
            }
        };
        summary.events += 1;
        match event.data {
            EventData::SessionStart => summary.session_starts.push(event.step),
            EventData::Summary(values) => {
                for value in values {
                    summary.add(event.step, &value.tag, &value.value);
                }
            }
            EventData::FileVersion(_) | EventData::Other => {}
        }
    }
    Ok(summary)
}

impl EventFileSummary {
    fn add(&mut self, step: i64, tag: &str, value: &SummaryValue) {
        let last_value = if let SummaryValue::Scalar(value) = value { Some(*value) } else { None };
        if let Some(known) = self.tags.get_mut(tag) {
            known.count += 1;
            known.last_step = step;
            known.last_value = last_value;
        } else if self.tags.len() < MAX_TAGS {
            let kind = value.kind().to_owned();
            let new = TagSummary { kind, count: 1, first_step: step, last_step: step, last_value };
            self.tags.insert(tag.to_owned(), new);
        }
    }
}
