//! Reading records from a stream.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::{MultiGzDecoder, ZlibDecoder};

use super::{MAX_RECORD_BYTES, RecordError, masked_crc};
use crate::atomic_file::explain;
use crate::read_file::open_regular;

/// Length and its checksum.
const HEADER: usize = 12;

/// The records of the file at `path`. Gzip and zlib are recognised by their content.
///
/// # Errors
/// The file cannot be read.
pub fn open(path: &Path) -> Result<RecordReader<Box<dyn BufRead + Send>>, RecordError> {
    let name = path.display().to_string();
    let in_file = |source| RecordError::Io { file: name.clone(), source };
    let (file, _) = open_regular(path).map_err(in_file)?;
    let mut file = BufReader::with_capacity(256 << 10, file);
    let start = file.fill_buf().map_err(|error| in_file(explain(path, "read", &error)))?;
    let stream: Box<dyn BufRead + Send> = match compression(start) {
        Compression::None => Box::new(file),
        Compression::Gzip => Box::new(BufReader::with_capacity(256 << 10, MultiGzDecoder::new(file))),
        Compression::Zlib => Box::new(BufReader::with_capacity(256 << 10, ZlibDecoder::new(file))),
    };
    Ok(RecordReader::new(stream, name))
}

enum Compression {
    None,
    Gzip,
    Zlib,
}

/// What the first bytes of a file say. The magic bytes of both packers may be the low bytes of an
/// honest length, so a valid checksum of the length is asked first.
fn compression(start: &[u8]) -> Compression {
    if start.len() >= HEADER && masked_crc(&start[..8]).to_le_bytes() == start[8..HEADER] {
        return Compression::None;
    }
    match start {
        [0x1F, 0x8B, ..] => Compression::Gzip,
        [0x78, flags, ..] if (0x78 * 256 + u32::from(*flags)).is_multiple_of(31) => Compression::Zlib,
        _ => Compression::None,
    }
}

/// The records of a stream, one after the other. As an iterator it ends after the first error.
#[derive(Debug)]
pub struct RecordReader<R> {
    stream: R,
    name: String,
    record: u64,
    offset: u64,
    failed: bool,
}

impl<R: Read> RecordReader<R> {
    /// Records from `stream`, which messages call `name`.
    pub fn new(stream: R, name: impl Into<String>) -> Self {
        Self { stream, name: name.into(), record: 0, offset: 0, failed: false }
    }

    /// How many records were read.
    pub fn records(&self) -> u64 {
        self.record
    }

    /// The byte, of the unpacked stream, at which the next record starts.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads the next record into `data`, and says whether there was one.
    ///
    /// # Errors
    /// A damaged or cut-off record; nothing after it can be trusted.
    pub fn read_into(&mut self, data: &mut Vec<u8>) -> Result<bool, RecordError> {
        data.clear();
        if self.failed {
            return Ok(false);
        }
        let result = self.try_read_into(data);
        self.failed = result.is_err();
        result
    }

    fn try_read_into(&mut self, data: &mut Vec<u8>) -> Result<bool, RecordError> {
        let mut header = [0u8; HEADER];
        match self.fill(&mut header)? {
            0 => return Ok(false),
            HEADER => {}
            _ => return Err(self.truncated("header")),
        }
        let [l0, l1, l2, l3, l4, l5, l6, l7, c0, c1, c2, c3] = header;
        let length_bytes = [l0, l1, l2, l3, l4, l5, l6, l7];
        let (file, record, offset) = (self.name.clone(), self.record, self.offset);
        if masked_crc(&length_bytes) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(RecordError::LengthChecksum { file, record, offset });
        }
        let length = u64::from_le_bytes(length_bytes);
        if length > MAX_RECORD_BYTES {
            return Err(RecordError::TooLong { file, record, offset, length });
        }
        // Grows with what is really there, whatever the length says.
        let read = self.stream.by_ref().take(length).read_to_end(data).map_err(|error| self.io(error))?;
        if (read as u64) < length {
            return Err(self.truncated("data"));
        }
        let mut footer = [0u8; 4];
        if self.fill(&mut footer)? < footer.len() {
            return Err(self.truncated("checksum"));
        }
        if masked_crc(data) != u32::from_le_bytes(footer) {
            return Err(RecordError::DataChecksum { file, record, offset });
        }
        self.record += 1;
        self.offset += (HEADER + footer.len()) as u64 + length;
        Ok(true)
    }

    /// Reads until `buffer` is full or the stream ends, and says how much it read.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, RecordError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.stream.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.io(error)),
            }
        }
        Ok(filled)
    }

    fn truncated(&self, part: &'static str) -> RecordError {
        RecordError::Truncated { file: self.name.clone(), record: self.record, offset: self.offset, part }
    }

    fn io(&self, error: io::Error) -> RecordError {
        match error.kind() {
            // A packed file that was cut off.
            io::ErrorKind::UnexpectedEof => self.truncated("data"),
            _ => RecordError::Io { file: self.name.clone(), source: error },
        }
    }
}

impl<R: Read> Iterator for RecordReader<R> {
    type Item = Result<Vec<u8>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut data = Vec::new();
        match self.read_into(&mut data) {
            Ok(true) => Some(Ok(data)),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::RecordWriter;
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn written(records: &[Vec<u8>]) -> Vec<u8> {
        let mut writer = RecordWriter::new(Vec::new());
        for record in records {
            writer.write(record).expect("into memory");
        }
        writer.into_inner()
    }

    #[test]
    fn one_record_by_hand() {
        // The length 3, its checksum, "abc", its checksum, as TensorFlow writes them.
        let bytes = written(&[b"abc".to_vec()]);
        assert_eq!(bytes.len(), 12 + 3 + 4);
        assert_eq!(bytes[..8], [3, 0, 0, 0, 0, 0, 0, 0]);
        // CRC-32C of "123456789" is E3069283; turned right by 15 and shifted by A282EAD8.
        assert_eq!(masked_crc(b"123456789"), 0x2507_C60Du32.wrapping_add(0xA282_EAD8));
        assert_eq!(0xE306_9283u32.rotate_right(15), 0x2507_C60D);
        let read: Vec<_> = RecordReader::new(&bytes[..], "a").collect::<Result<_, _>>().expect("valid");
        assert_eq!(read, [b"abc"]);
    }

    #[test]
    fn every_shorter_file_is_cut_off_and_says_where() {
        let bytes = written(&[b"abc".to_vec(), Vec::new(), b"de".to_vec()]);
        let ends = [0, 19, 35, 53];
        for length in 0..=bytes.len() {
            let mut reader = RecordReader::new(&bytes[..length], "cut.record");
            let results: Vec<_> = reader.by_ref().collect();
            if ends.contains(&length) {
                assert!(results.iter().all(Result::is_ok), "{length}");
                continue;
            }
            let whole = ends.iter().filter(|&&end| end <= length && end > 0).count();
            match results.last() {
                Some(Err(RecordError::Truncated { record, offset, .. })) => {
                    assert_eq!((*record, *offset), (whole as u64, ends[whole] as u64), "{length}");
                }
                other => panic!("{length}: {other:?}"),
            }
            assert_eq!(results.len(), whole + 1);
        }
    }

    #[test]
    fn an_absurd_length_asks_for_no_memory() {
        let length = (1u64 << 60).to_le_bytes();
        let mut bytes = length.to_vec();
        bytes.extend_from_slice(&masked_crc(&length).to_le_bytes());
        let result = RecordReader::new(&bytes[..], "a").next();
        assert!(matches!(result, Some(Err(RecordError::TooLong { length, .. })) if length == 1 << 60));
    }

    #[test]
    fn packed_files_are_recognised_and_cut_off_ones_too() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let records = [vec![7u8; 5000], b"x".to_vec()];
        let plain = written(&records);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).expect("into memory");
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        zlib.write_all(&plain).expect("into memory");
        for bytes in [plain, gzip.finish().expect("gzip"), zlib.finish().expect("zlib")] {
            let path = folder.path().join("a.record");
            std::fs::write(&path, &bytes).expect("written");
            let read: Vec<_> = open(&path).expect("opened").collect::<Result<_, _>>().expect("valid");
            assert_eq!(read, records);
            std::fs::write(&path, &bytes[..bytes.len() - 12]).expect("written");
            assert!(open(&path).expect("opened").any(|record| record.is_err()));
        }
    }

    #[test]
    fn a_length_that_looks_like_zlib_is_a_length() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.record");
        let record = vec![1u8; 0x9C78];
        std::fs::write(&path, written(std::slice::from_ref(&record))).expect("written");
        assert_eq!(open(&path).expect("opened").next().expect("one").expect("valid"), record);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20)) {
            let bytes = written(&records);
            let mut reader = RecordReader::new(&bytes[..], "a");
            let read: Vec<_> = reader.by_ref().collect::<Result<_, _>>().expect("valid");
            prop_assert_eq!(read, records);
            prop_assert_eq!(reader.offset(), bytes.len() as u64);
        }

        #[test]
        fn a_flipped_bit_never_goes_unseen(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..6),
            at in any::<prop::sample::Index>(),
            bit in 0..8u8,
        ) {
            let mut bytes = written(&records);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let results: Vec<_> = RecordReader::new(&bytes[..], "a").collect();
            prop_assert!(results.last().is_some_and(Result::is_err));
            for (result, record) in results.iter().zip(&records) {
                if let Ok(data) = result {
                    prop_assert_eq!(data, record);
                }
            }
        }
    }
}
