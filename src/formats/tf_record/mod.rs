//! TFRecord: TensorFlow's file of records.
//!
//! A record is a length (8 bytes, little endian), a checksum of the length, the data, and a checksum
//! of the data. Checksums are CRC-32C, rotated and shifted so that a checksum of data that hold
//! checksums stays useful ([`masked_crc`]). There is no index and no end marker: a file ends where a
//! record ends, and where it does not, that is an error with its record and byte.
//!
//! - [`RecordReader`] reads one file or stream, plain, gzip or zlib.
//! - [`expand`] finds the files of a pattern such as `train.record-?????-of-00010`, and
//!   [`read_records`] reads them one after the other.
//! - [`RecordWriter`] writes a stream; [`ShardedWriter`] a set of files that appear all or not at all.

mod patterns;
mod reader;
mod shards;
mod writer;

pub use patterns::{expand, read_records};
pub use reader::{RecordReader, open};
pub use shards::{MAX_SHARDS, ShardedWriter, shard_path};
pub use writer::RecordWriter;

use std::io;

/// The longest record that is read: a length beyond it is a damaged file, or one of another kind.
pub const MAX_RECORD_BYTES: u64 = 256 << 20;

/// Why records cannot be read. Every message names the file, the record (counted from 0) and the
/// byte at which it starts.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file cannot be read or unpacked.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// What the file system or the decompressor says; names the path where it is the file system.
        source: io::Error,
    },
    /// The bytes where a length should be are not one.
    #[error(
        "{file}, record {record} at byte {offset}: the checksum of the length is wrong, so the file is damaged from \
         here on, or is no TFRecord file; write it again"
    )]
    LengthChecksum {
        /// The file.
        file: String,
        /// The record, from 0.
        record: u64,
        /// Where it starts.
        offset: u64,
    },
    /// The data are not what was written.
    #[error(
        "{file}, record {record} at byte {offset}: the checksum of the data is wrong; the record is damaged, write the file again"
    )]
    DataChecksum {
        /// The file.
        file: String,
        /// The record, from 0.
        record: u64,
        /// Where it starts.
        offset: u64,
    },
    /// The file ends inside a record.
    #[error(
        "{file}, record {record} at byte {offset}: the file ends inside the {part} of the record; it is cut off, write or copy it again"
    )]
    Truncated {
        /// The file.
        file: String,
        /// The record, from 0.
        record: u64,
        /// Where it starts.
        offset: u64,
        /// `header`, `data` or `checksum`.
        part: &'static str,
    },
    /// The length is right but absurd.
    #[error(
        "{file}, record {record} at byte {offset}: it says that it is {length} bytes long, and the limit is {MAX_RECORD_BYTES}"
    )]
    TooLong {
        /// The file.
        file: String,
        /// The record, from 0.
        record: u64,
        /// Where it starts.
        offset: u64,
        /// The length that it gives.
        length: u64,
    },
    /// A pattern that no file fits.
    #[error("no file fits \"{pattern}\"{hint}")]
    NoFiles {
        /// The pattern.
        pattern: String,
        /// `; did you mean …`, or nothing.
        hint: String,
    },
    /// Some shards of a set are not there.
    #[error(
        "\"{pattern}\" is incomplete: {missing} of {total} shards are missing, {first} is the first; write the set again"
    )]
    MissingShards {
        /// The pattern.
        pattern: String,
        /// How many.
        missing: usize,
        /// How many there should be.
        total: usize,
        /// The name of the first one.
        first: String,
    },
}

/// The checksum of `bytes` as it stands in a record file.
pub fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xA282_EAD8)
}
