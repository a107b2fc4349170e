//! Writing events.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prost::Message;

use super::messages::{self, Content, SESSION_START};
use super::{EventImage, FILE_VERSION};
use crate::atomic_file::explain;
use crate::tf_record::RecordWriter;

/// What every event file's name begins with.
const PREFIX: &str = "events.out.tfevents.";

/// Events wait in memory for this long, or until they are this many bytes.
const FLUSH_INTERVAL: Duration = Duration::from_secs(5);
const FLUSH_BYTES: usize = 64 << 10;

/// Seconds since 1970, as events carry them.
pub fn wall_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// Writes an event file. Events reach the file in whole records, now and then and with
/// [`EventWriter::flush`]; what waits when the writer is dropped is written too.
#[derive(Debug)]
pub struct EventWriter {
    file: File,
    path: PathBuf,
    waiting: Vec<u8>,
    flushed: Instant,
}

impl EventWriter {
    /// Starts a new file in `folder`, named as TensorFlow names them, and later than those that are there:
    /// readers take files in the order of their names.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(folder: &Path, host: &str) -> io::Result<Self> {
        let newest = fs::read_dir(folder)
            .map_err(|e| explain(folder, "read", &e))?
            .filter_map(|entry| seconds_of(entry.ok()?.file_name().to_str()?))
            .max();
        let now = wall_time() as u64;
        let seconds = newest.map_or(now, |newest| now.max(newest.saturating_add(1)));
        let host: String = host.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
        let path = folder.join(format!("{PREFIX}{seconds:010}.{}", if host.is_empty() { "localhost" } else { &host }));
        let file =
            OpenOptions::new().append(true).create_new(true).open(&path).map_err(|e| explain(&path, "write", &e))?;
        let mut writer = Self { file, path, waiting: Vec::new(), flushed: Instant::now() };
        let version = messages::Event { file_version: Some(FILE_VERSION.to_owned()), ..now_at(0) };
        writer.put(&version)?;
        writer.flush()?;
        Ok(writer)
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Says that a run goes on with this step: what older files say of it and of later steps does not count.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn session_start(&mut self, step: u64) -> io::Result<()> {
        let log = messages::SessionLog { status: SESSION_START };
        self.put(&messages::Event { session_log: Some(log), ..now_at(step) })
    }

    /// Numbers of one step, each under its tag.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn scalars<'a>(&mut self, step: u64, values: impl IntoIterator<Item = (&'a str, f64)>) -> io::Result<()> {
        let value = values.into_iter().map(|(tag, value)| labelled(tag, Content::Simple(value as f32))).collect();
        self.put(&messages::Event { summary: Some(messages::Summary { value }), ..now_at(step) })
    }

    /// Pictures of one step, under `TAG/0`, `TAG/1`, …
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn images(&mut self, step: u64, tag: &str, images: Vec<EventImage>) -> io::Result<()> {
        let content = |image: EventImage| {
            Content::Image(messages::Image {
                height: i32::try_from(image.height).unwrap_or(i32::MAX),
                width: i32::try_from(image.width).unwrap_or(i32::MAX),
                colorspace: 3,
                encoded: image.encoded,
            })
        };
        let value =
            images.into_iter().enumerate().map(|(i, image)| labelled(&format!("{tag}/{i}"), content(image))).collect();
        self.put(&messages::Event { summary: Some(messages::Summary { value }), ..now_at(step) })
    }

    /// Brings all that waits into the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.flushed = Instant::now();
        let result = self.file.write_all(&self.waiting).map_err(|e| explain(&self.path, "write", &e));
        // What could not be written is not tried again: half of it may be there.
        self.waiting.clear();
        result
    }

    fn put(&mut self, event: &messages::Event) -> io::Result<()> {
        RecordWriter::new(&mut self.waiting).write(&event.encode_to_vec())?;
        if self.waiting.len() > FLUSH_BYTES || self.flushed.elapsed() > FLUSH_INTERVAL {
            self.flush()?;
        }
        Ok(())
    }
}

impl Drop for EventWriter {
    fn drop(&mut self) {
        // Nobody is left to be told; whoever must know flushes first.
        drop(self.flush());
    }
}

/// An event of this moment without content.
fn now_at(step: u64) -> messages::Event {
    let step = i64::try_from(step).unwrap_or(i64::MAX);
    messages::Event { wall_time: wall_time(), step, ..messages::Event::default() }
}

fn labelled(tag: &str, content: Content) -> messages::Value {
    messages::Value { tag: tag.to_owned(), metadata: None, content: Some(content) }
}

/// The seconds in an event file's name.
fn seconds_of(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.split('.').next()?.parse().ok()
}
