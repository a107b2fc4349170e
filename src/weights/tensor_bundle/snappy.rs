//! Snappy's block format, which some index tables are compressed with. Decoding only.

use crate::wire::{take, varint};

/// Largest block that is unpacked. LevelDB's are 256 kB.
const MAX_BYTES: usize = 64 << 20;

/// Unpacks a block; `None` where it is no Snappy, or unpacks to more than [`MAX_BYTES`].
pub(super) fn decompress(mut input: &[u8]) -> Option<Vec<u8>> {
    let length = usize::try_from(varint(&mut input)?).ok().filter(|length| *length <= MAX_BYTES)?;
    let mut output = Vec::new();
    while let Some((&tag, rest)) = input.split_first() {
        input = rest;
        let high = usize::from(tag >> 2);
        let (offset, count) = match tag & 3 {
            0 => {
                let count = if high < 60 { high } else { little_endian(take(&mut input, high - 59)?) };
                let literal = take(&mut input, count.checked_add(1)?)?;
                (0, Err(literal))
            }
            1 => {
                let low = usize::from(take(&mut input, 1)?[0]);
                ((usize::from(tag >> 5) << 8) | low, Ok((high & 7) + 4))
            }
            2 => (little_endian(take(&mut input, 2)?), Ok(high + 1)),
            _ => (little_endian(take(&mut input, 4)?), Ok(high + 1)),
        };
        match count {
            Err(literal) => output.extend_from_slice(literal),
            Ok(count) => copy_within(&mut output, offset, count)?,
        }
        if output.len() > length {
            return None;
        }
    }
    (output.len() == length).then_some(output)
}

fn little_endian(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |value, &byte| (value << 8) | usize::from(byte))
}

/// Repeats what stands `offset` bytes before the end, which may overlap what is being written.
fn copy_within(output: &mut Vec<u8>, offset: usize, count: usize) -> Option<()> {
    let start = output.len().checked_sub(offset).filter(|_| offset > 0)?;
    for i in 0..count {
        output.push(output[start + i]);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_overlapping_copies() {
        // "ab" and then 6 bytes from 2 back: "abababab".
        let packed = [8, 0x04, b'a', b'b', (2 << 2) | 1, 2];
        assert_eq!(decompress(&packed).as_deref(), Some(&b"abababab"[..]));
    }

    #[test]
    fn nonsense_gives_nothing() {
        for packed in
            [&[][..], &[4, 0x04, b'a'], &[8, 0x09, 1], &[1, 0x05, 0], &[0xff, 0xff, 0xff, 0xff, 0x7f], &[3, 0x00, 1]]
        {
            assert_eq!(decompress(packed), None, "{packed:?}");
        }
    }
}
