//! LevelDB's table format: sorted keys and values in blocks, and an index of the blocks.
//!
//! From the end: a footer of 48 bytes with the place of the index block; the index block, whose
//! values are the places of the data blocks; the data blocks. Each block is followed by its
//! compression type and a masked CRC32C of both. Within a block a key repeats only what differs
//! from the key before it.

use super::{masked_crc, snappy};
use crate::wire::{take, varint};

const MAGIC: u64 = 0xdb47_7524_8b80_fb57;
const FOOTER: usize = 48;
const TRAILER: usize = 5;

/// Most bytes of keys and values together: blocks may be compressed.
const MAX_CONTENT: usize = 256 << 20;

/// What is wrong, and at which byte; no byte where the file is of another kind.
#[derive(Debug)]
pub(super) struct Damage {
    pub offset: Option<usize>,
    pub what: String,
}

type Row = (Vec<u8>, Vec<u8>);

/// All rows of a table, in order.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Row>, Damage> {
    let other =
        || Damage { offset: None, what: "is no TensorFlow checkpoint index (the last bytes are not a table's)".into() };
    let footer_at = bytes.len().checked_sub(FOOTER).ok_or_else(other)?;
    let (mut handles, magic) = bytes[footer_at..].split_at(FOOTER - 8);
    if u64::from_le_bytes(magic.try_into().map_err(|_| other())?) != MAGIC {
        return Err(other());
    }
    let damage = |offset: usize, what: &str| Damage { offset: Some(offset), what: what.into() };
    let bad_handle = || damage(footer_at, "the footer does not name the index block");
    handle(&mut handles).ok_or_else(bad_handle)?;
    let (index_at, index_size) = handle(&mut handles).ok_or_else(bad_handle)?;
    let index =
        rows(&block(bytes, index_at, index_size)?).ok_or_else(|| damage(index_at, "the index block is malformed"))?;

    let mut all = Vec::new();
    let mut content = 0usize;
    for (_, value) in index {
        let (at, size) =
            handle(&mut &value[..]).ok_or_else(|| damage(index_at, "an entry of the index block is no place"))?;
        let block = rows(&block(bytes, at, size)?).ok_or_else(|| damage(at, "the block is malformed"))?;
        content = block.iter().fold(content, |sum, (key, value)| sum.saturating_add(key.len() + value.len()));
        if content > MAX_CONTENT {
            return Err(damage(at, "the table unpacks to more than an index can hold"));
        }
        all.extend(block);
    }
    Ok(all)
}

/// A block's place: offset and size.
fn handle(bytes: &mut &[u8]) -> Option<(usize, usize)> {
    Some((usize::try_from(varint(bytes)?).ok()?, usize::try_from(varint(bytes)?).ok()?))
}

/// The unpacked contents of a block, its checksum verified.
fn block(bytes: &[u8], at: usize, size: usize) -> Result<Vec<u8>, Damage> {
    let damage = |what: &str| Damage { offset: Some(at), what: what.into() };
    let end = at.checked_add(size).and_then(|end| end.checked_add(TRAILER)).filter(|end| *end <= bytes.len());
    let end = end.ok_or_else(|| damage("the block reaches beyond the end of the file"))?;
    let (content, crc) = bytes[at..end].split_at(size + 1);
    if crc != masked_crc(content).to_le_bytes() {
        return Err(damage("the block's checksum does not match its bytes"));
    }
    match content[size] {
        0 => Ok(content[..size].to_vec()),
        1 => snappy::decompress(&content[..size]).ok_or_else(|| damage("the block's Snappy data is malformed")),
        other => Err(damage(&format!("the block has an unknown compression, type {other}"))),
    }
}

/// The rows of an unpacked block.
fn rows(block: &[u8]) -> Option<Vec<Row>> {
    let restarts_at = block.len().checked_sub(4)?;
    let restarts = u32::from_le_bytes(block[restarts_at..].try_into().ok()?) as usize;
    let mut rest = &block[..restarts_at.checked_sub(restarts.checked_mul(4)?)?];
    let mut rows: Vec<Row> = Vec::new();
    let mut total = 0usize;
    while !rest.is_empty() {
        let (shared, own, value) = (varint(&mut rest)?, varint(&mut rest)?, varint(&mut rest)?);
        let before: &[u8] = rows.last().map_or(&[], |(key, _)| key);
        let mut key = before.get(..usize::try_from(shared).ok()?)?.to_vec();
        key.extend_from_slice(take(&mut rest, usize::try_from(own).ok()?)?);
        let value = take(&mut rest, usize::try_from(value).ok()?)?.to_vec();
        // Shared prefixes can make a small block's keys large.
        total = total.checked_add(key.len() + value.len()).filter(|total| *total <= MAX_CONTENT)?;
        rows.push((key, value));
    }
    Some(rows)
}
