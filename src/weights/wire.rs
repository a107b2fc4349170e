//! The wire format of protocol buffers, as far as checkpoint indices, graphs and a look into records need it.

/// The value of a field.
#[derive(Debug, PartialEq, Eq)]
pub enum Field<'a> {
    /// A number of variable length.
    Varint(u64),
    /// A number of four bytes.
    Fixed32(u32),
    /// A number of eight bytes, which nothing here needs.
    Fixed64,
    /// A text, bytes, a message, or a packed list.
    Bytes(&'a [u8]),
}

/// Takes a varint off the front.
pub(crate) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The fields of a message, `(number, value)`, until the end or the first mistake.
pub fn fields(mut bytes: &[u8]) -> impl Iterator<Item = Result<(u64, Field<'_>), String>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let field = take_field(&mut bytes);
        if field.is_none() {
            bytes = &[];
        }
        Some(field.ok_or_else(|| "the entry is no valid protocol buffer".to_owned()))
    })
}

fn take_field<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Field<'a>)> {
    let key = varint(bytes)?;
    let value = match key & 7 {
        0 => Field::Varint(varint(bytes)?),
        1 => {
            take(bytes, 8)?;
            Field::Fixed64
        }
        2 => {
            let length = usize::try_from(varint(bytes)?).ok()?;
            Field::Bytes(take(bytes, length)?)
        }
        5 => Field::Fixed32(u32::from_le_bytes(take(bytes, 4)?.try_into().ok()?)),
        _ => return None,
    };
    Some((key >> 3, value))
}

/// Takes `count` bytes off the front.
pub(crate) fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (front, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(front)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_by_hand() {
        let bytes = [0x08, 0x96, 0x01, 0x12, 0x01, 0x2a, 0x35, 1, 0, 0, 0];
        let all: Vec<_> = fields(&bytes).collect::<Result<_, _>>().expect("valid");
        assert_eq!(all, [(1, Field::Varint(150)), (2, Field::Bytes(&[0x2a])), (6, Field::Fixed32(1))]);
    }

    #[test]
    fn cut_off_messages_end_in_an_error() {
        for bytes in [&[0x08][..], &[0x12, 5, 1], &[0xff; 11], &[0x35, 1], &[0x0b]] {
            assert!(fields(bytes).last().expect("one").is_err());
        }
    }
}
