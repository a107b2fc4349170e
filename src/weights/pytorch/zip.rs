//! Zip archives, as far as PyTorch writes them: stored or deflated entries, with 64-bit sizes.
//!
//! The list of entries stands at the end. Every place and size is checked against the file, and what is
//! unpacked against the stated size and its checksum.

use std::io::Read;

use crate::error::WeightsError;
use crate::file_bytes::{FileBytes, MAX_TENSOR_BYTES};

/// Largest list of entries that is read.
const MAX_LIST_BYTES: u64 = 64 << 20;

/// Most that one packed byte can become.
const MAX_RATIO: u64 = 1100;

struct Entry {
    name: String,
    method: u16,
    crc: u32,
    packed: u64,
    size: u64,
    header_at: u64,
}

/// An open archive.
pub(super) struct Zip {
    file: FileBytes,
    entries: Vec<Entry>,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at.checked_add(8)?)?.try_into().ok().map(u64::from_le_bytes)
}

impl Zip {
    pub(super) fn open(mut file: FileBytes) -> Result<Self, WeightsError> {
        let path = file.path().to_owned();
        let damaged = |what: &str| WeightsError::damaged(&path, "the zip archive's list", what);
        // The end record is 22 bytes and a comment of at most 65535; the 64-bit locator stands 20 before it.
        let tail_size = file.length().min(22 + 65535 + 20);
        let tail_at = file.length() - tail_size;
        let tail = file.read_at(tail_at, tail_size, "the zip archive's end")?;
        let end = (0..tail.len().saturating_sub(21)).rev().find(|&at| u32_at(&tail, at) == Some(0x0605_4b50));
        let end = end.ok_or_else(|| damaged("the archive is cut off: it has no end record"))?;
        let locator = end.checked_sub(20).filter(|&at| u32_at(&tail, at) == Some(0x0706_4b50));
        let (size, at) = match locator.and_then(|at| u64_at(&tail, at + 8)) {
            Some(at) => {
                let record = file.read_at(at, 56, "the zip archive's 64-bit end record")?;
                if u32_at(&record, 0) != Some(0x0606_4b50) {
                    return Err(damaged("the 64-bit end record is not where it should be"));
                }
                (u64_at(&record, 40), u64_at(&record, 48))
            }
            None => (u32_at(&tail, end + 12).map(u64::from), u32_at(&tail, end + 16).map(u64::from)),
        };
        let (Some(size), Some(at)) = (size, at) else { return Err(damaged("the end record is cut off")) };
        if size > MAX_LIST_BYTES {
            return Err(damaged("the list is larger than any file's"));
        }
        let list = file.read_at(at, size, "the zip archive's list")?;
        let entries = parse_list(&list).ok_or_else(|| damaged("an entry is malformed"))?;
        Ok(Self { file, entries })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    /// The unpacked size of an entry.
    pub(super) fn size(&self, name: &str) -> Option<u64> {
        self.entries.iter().find(|entry| entry.name == name).map(|entry| entry.size)
    }

    /// The unpacked bytes of an entry, its checksum verified.
    pub(super) fn read(&mut self, name: &str) -> Result<Vec<u8>, WeightsError> {
        let Some(entry) = self.entries.iter().find(|entry| entry.name == name) else {
            return Err(WeightsError::damaged(self.file.path(), name, "the archive has no such entry"));
        };
        read_entry(&mut self.file, entry)
    }

    /// Reads every entry, each with its checksum; how many there are.
    pub(super) fn verify(&mut self) -> Result<usize, WeightsError> {
        for entry in &self.entries {
            read_entry(&mut self.file, entry)?;
        }
        Ok(self.entries.len())
    }
}

fn parse_list(list: &[u8]) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut at = 0;
    while u32_at(list, at) == Some(0x0201_4b50) {
        let (name_size, extra_size, comment_size) =
            (u16_at(list, at + 28)?, u16_at(list, at + 30)?, u16_at(list, at + 32)?);
        let name_at = at + 46;
        let extra_at = name_at + usize::from(name_size);
        let end = extra_at + usize::from(extra_size) + usize::from(comment_size);
        let name = String::from_utf8_lossy(list.get(name_at..extra_at)?).into_owned();
        let mut entry = Entry {
            name,
            method: u16_at(list, at + 10)?,
            crc: u32_at(list, at + 16)?,
            packed: u64::from(u32_at(list, at + 20)?),
            size: u64::from(u32_at(list, at + 24)?),
            header_at: u64::from(u32_at(list, at + 42)?),
        };
        read_64_bit_extra(list.get(extra_at..extra_at + usize::from(extra_size))?, &mut entry)?;
        entries.push(entry);
        at = list.get(..end).map(|_| end)?;
    }
    Some(entries)
}

/// The extra field with 64-bit numbers: those that are all ones in the entry, in this order.
fn read_64_bit_extra(mut extra: &[u8], entry: &mut Entry) -> Option<()> {
    while extra.len() >= 4 {
        let (id, size) = (u16_at(extra, 0)?, usize::from(u16_at(extra, 2)?));
        let field = extra.get(4..4 + size)?;
        if id == 1 {
            let mut at = 0;
            for number in [&mut entry.size, &mut entry.packed, &mut entry.header_at] {
                if *number == u64::from(u32::MAX) {
                    *number = u64_at(field, at)?;
                    at += 8;
                }
            }
        }
        extra = &extra[4 + size..];
    }
    Some(())
}

fn read_entry(file: &mut FileBytes, entry: &Entry) -> Result<Vec<u8>, WeightsError> {
    let path = file.path().to_owned();
    let place = format!("entry {}", entry.name);
    let damaged = |what: &str| WeightsError::damaged(&path, &place, what);
    let header = file.read_at(entry.header_at, 30, &place)?;
    let (Some(0x0403_4b50), Some(name_size), Some(extra_size)) =
        (u32_at(&header, 0), u16_at(&header, 26), u16_at(&header, 28))
    else {
        return Err(damaged("it is not where the list says"));
    };
    let data_at = entry.header_at + 30 + u64::from(name_size) + u64::from(extra_size);
    let packed = file.read_at(data_at, entry.packed, &place)?;
    let bytes = match entry.method {
        0 => packed,
        8 => {
            if entry.size > entry.packed.saturating_mul(MAX_RATIO) || entry.size > MAX_TENSOR_BYTES {
                return Err(damaged("it would unpack to more than its bytes can hold"));
            }
            let mut bytes = Vec::new();
            let mut decoder = flate2::read::DeflateDecoder::new(packed.as_slice()).take(entry.size + 1);
            decoder.read_to_end(&mut bytes).map_err(|_| damaged("its packed bytes are malformed"))?;
            bytes
        }
        method => {
            return Err(WeightsError::format(
                &path,
                format!("{place} is packed by method {method}, which is not read"),
            ));
        }
    };
    if bytes.len() as u64 != entry.size {
        return Err(damaged("it has another size than the list says"));
    }
    let mut crc = flate2::Crc::new();
    crc.update(&bytes);
    if crc.sum() != entry.crc {
        return Err(damaged("the checksum does not match its bytes"));
    }
    Ok(bytes)
}
