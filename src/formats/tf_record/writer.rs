//! Writing records to a stream.

use std::io::{self, Write};

use super::{MAX_RECORD_BYTES, masked_crc};

/// Writes records to a stream, which should be buffered.
#[derive(Debug)]
pub struct RecordWriter<W> {
    stream: W,
    records: u64,
}

impl<W: Write> RecordWriter<W> {
    /// Records into `stream`.
    pub fn new(stream: W) -> Self {
        Self { stream, records: 0 }
    }

    /// Writes one record.
    ///
    /// # Errors
    /// The stream refuses, or the record is longer than [`MAX_RECORD_BYTES`], so that it could not be
    /// read again.
    pub fn write(&mut self, data: &[u8]) -> io::Result<()> {
        let length = data.len() as u64;
        if length > MAX_RECORD_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "a record of {length} bytes is longer than the limit of {MAX_RECORD_BYTES}; use a smaller picture"
                ),
            ));
        }
        let length = length.to_le_bytes();
        self.stream.write_all(&length)?;
        self.stream.write_all(&masked_crc(&length).to_le_bytes())?;
        self.stream.write_all(data)?;
        self.stream.write_all(&masked_crc(data).to_le_bytes())?;
        self.records += 1;
        Ok(())
    }

    /// How many records were written.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The stream.
    pub fn into_inner(self) -> W {
        self.stream
    }
}
