//! Partitioned variables: the entry of the whole lists its slices, and each slice has an entry under a
//! key of its own, which begins with a zero byte so that no name is like it.

use crate::wire::{Field, fields};

/// `TensorSliceProto`: start and length for each axis, no length for the whole axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slice(Vec<(i64, Option<i64>)>);

impl Slice {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut extents = Vec::new();
        for field in fields(bytes) {
            let (1, Field::Bytes(extent)) = field? else { continue };
            let (mut start, mut length) = (0, None);
            for field in fields(extent) {
                match field? {
                    (1, Field::Varint(value)) => start = value as i64,
                    (2, Field::Varint(value)) => length = Some(value as i64),
                    _ => {}
                }
            }
            extents.push((start, length));
            if extents.len() > super::MAX_RANK {
                return Err(format!("a slice of more than {} axes", super::MAX_RANK));
            }
        }
        Ok(Self(extents))
    }

    /// Start and length along each axis of a tensor of this shape.
    pub(super) fn extents(&self, shape: &[usize]) -> Result<Vec<(usize, usize)>, String> {
        if self.0.len() != shape.len() {
            return Err(format!("a slice of {} axes for a tensor of {}", self.0.len(), shape.len()));
        }
        let fit = |(&(start, length), &axis): (&(i64, Option<i64>), &usize)| {
            let (start, length) = match length {
                None | Some(-1) => (0, axis),
                Some(length) => (usize::try_from(start).ok()?, usize::try_from(length).ok()?),
            };
            start.checked_add(length).filter(|end| *end <= axis).map(|_| (start, length))
        };
        let extents: Option<Vec<_>> = self.0.iter().zip(shape).map(fit).collect();
        extents.ok_or_else(|| format!("a slice that reaches beyond the shape {shape:?}"))
    }
}

/// The key of a slice's entry: TensorFlow's order-preserving code of 0, the name, and the extents.
pub(super) fn key(name: &str, slice: &Slice) -> Vec<u8> {
    let mut key = vec![0];
    for &byte in name.as_bytes() {
        match byte {
            0 => key.extend([0, 0xff]),
            0xff => key.extend([0xff, 0]),
            other => key.push(other),
        }
    }
    key.extend([0, 1]);
    push_unsigned(&mut key, slice.0.len() as u64);
    for &(start, length) in &slice.0 {
        push_signed(&mut key, start);
        push_signed(&mut key, length.unwrap_or(-1));
    }
    key
}

/// The number of bytes, then the bytes, largest first.
fn push_unsigned(key: &mut Vec<u8>, value: u64) {
    let bytes = value.to_be_bytes();
    let first = bytes.iter().position(|&byte| byte != 0).unwrap_or(bytes.len());
    key.push((bytes.len() - first) as u8);
    key.extend_from_slice(&bytes[first..]);
}

/// Two's complement in as few bytes as it takes, with as many leading ones (zeros for a negative
/// number) as there are bytes.
fn push_signed(key: &mut Vec<u8>, value: i64) {
    let magnitude = if value < 0 { !value } else { value } as u64;
    let bits = 64 - magnitude.leading_zeros() as usize;
    // Each byte gives seven bits, one of which is the sign.
    let length = (bits / 7 + 1).min(10);
    let mut bytes = [if value < 0 { 0xff } else { 0 }; 10];
    bytes[2..].copy_from_slice(&value.to_be_bytes());
    let begin = bytes.len() - length;
    let (high, low) = if length <= 8 { (!(0xffu16 >> length) as u8, 0) } else { (0xff, [0x80, 0xc0][length - 9]) };
    bytes[begin] ^= high;
    if length > 1 {
        bytes[begin + 1] ^= low;
    }
    key.extend_from_slice(&bytes[begin..]);
}

/// A slice: start and length along every axis, and its values.
pub(super) type Part = (Vec<(usize, usize)>, Vec<f32>);

/// Values of a whole tensor from its slices.
pub(super) fn assemble(shape: &[usize], parts: &[Part]) -> Result<Vec<f32>, String> {
    let total = shape.iter().product();
    let mut whole = vec![0.0; total];
    let mut written = vec![false; total];
    for (extents, values) in parts {
        let row = extents.last().map_or(1, |&(_, length)| length).max(1);
        for (number, run) in values.chunks(row).enumerate() {
            // Where this run of the last axis begins, from the slice's own row number.
            let (mut rest, mut at, mut stride) = (number, 0, 1);
            for (axis, &(start, length)) in extents.iter().enumerate().rev() {
                let place = if axis + 1 == extents.len() { 0 } else { rest % length.max(1) };
                if axis + 1 < extents.len() {
                    rest /= length.max(1);
                }
                at += (start + place) * stride;
                stride *= shape[axis];
            }
            for (offset, &value) in run.iter().enumerate() {
                if std::mem::replace(&mut written[at + offset], true) {
                    return Err("its slices overlap".to_owned());
                }
                whole[at + offset] = value;
            }
        }
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(value: i64) -> Vec<u8> {
        let mut key = Vec::new();
        push_signed(&mut key, value);
        key
    }

    #[test]
    fn numbers_of_keys_by_hand() {
        assert_eq!(signed(0), [0x80]);
        assert_eq!(signed(-1), [0x7f]);
        assert_eq!(signed(63), [0xbf]);
        assert_eq!(signed(64), [0xc0, 0x40]);
        assert_eq!(signed(-65), [0x3f, 0xbf]);
        assert_eq!(signed(8192), [0xe0, 0x20, 0x00]);
        assert_eq!(signed(i64::MAX).len(), 10);
        assert_eq!(signed(i64::MIN).len(), 10);
    }

    #[test]
    fn codes_keep_the_order_of_numbers() {
        let numbers =
            [i64::MIN, -1 << 40, -8193, -65, -64, -1, 0, 1, 63, 64, 300, 8191, 8192, 1 << 33, 1 << 62, i64::MAX];
        let codes: Vec<Vec<u8>> = numbers.iter().map(|&n| signed(n)).collect();
        assert!(codes.is_sorted(), "{codes:?}");
    }

    #[test]
    fn a_key_by_hand() {
        // Two axes, rows 3 to 5, whole columns.
        let slice = Slice(vec![(3, Some(2)), (0, None)]);
        assert_eq!(key("v", &slice), [0, b'v', 0, 1, 1, 2, 0x83, 0x82, 0x80, 0x7f]);
        assert_eq!(slice.extents(&[5, 4]), Ok(vec![(3, 2), (0, 4)]));
        assert!(slice.extents(&[4, 4]).is_err());
        assert!(slice.extents(&[5]).is_err());
    }

    #[test]
    fn slices_are_put_where_they_belong() {
        // A 2 × 3 tensor as its first two columns and its last.
        let left = (vec![(0, 2), (0, 2)], vec![1.0, 2.0, 4.0, 5.0]);
        let right = (vec![(0, 2), (2, 1)], vec![3.0, 6.0]);
        assert_eq!(assemble(&[2, 3], &[left.clone(), right]), Ok(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        assert!(assemble(&[2, 3], &[left.clone(), left]).is_err());
    }
}
