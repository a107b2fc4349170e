//! FlatBuffers, as far as a TensorFlow Lite model needs them: tables, vectors, texts. Every place is
//! checked against the file; there is nothing to unpack.

/// A table: where it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<'a> {
    bytes: &'a [u8],
    at: usize,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..at.checked_add(2)?)?.try_into().ok().map(|b| usize::from(u16::from_le_bytes(b)))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(|b| u32::from_le_bytes(b) as usize)
}

impl<'a> Table<'a> {
    /// The table that the file begins with.
    pub(super) fn root(bytes: &'a [u8]) -> Option<Self> {
        Some(Self { bytes, at: u32_at(bytes, 0)? })
    }

    /// Where a field's value stands; nothing where it has its default.
    fn field(&self, number: usize) -> Option<usize> {
        let back = i32::from_le_bytes(self.bytes.get(self.at..self.at.checked_add(4)?)?.try_into().ok()?);
        let fields = usize::try_from(i64::try_from(self.at).ok()?.checked_sub(i64::from(back))?).ok()?;
        let entry = 4 + 2 * number;
        if entry + 2 > u16_at(self.bytes, fields)? {
            return None;
        }
        let offset = u16_at(self.bytes, fields.checked_add(entry)?)?;
        (offset != 0).then(|| self.at.checked_add(offset)).flatten()
    }

    /// What a field that holds an offset points to.
    fn target(&self, number: usize) -> Option<usize> {
        let at = self.field(number)?;
        at.checked_add(u32_at(self.bytes, at)?)
    }

    pub(super) fn u8(&self, number: usize) -> Option<u8> {
        self.bytes.get(self.field(number)?).copied()
    }

    pub(super) fn u32(&self, number: usize) -> Option<usize> {
        u32_at(self.bytes, self.field(number)?)
    }

    pub(super) fn u64(&self, number: usize) -> Option<u64> {
        let at = self.field(number)?;
        self.bytes.get(at..at.checked_add(8)?)?.try_into().ok().map(u64::from_le_bytes)
    }

    pub(super) fn table(&self, number: usize) -> Option<Self> {
        Some(Self { bytes: self.bytes, at: self.target(number)? })
    }

    /// The bytes of a vector with elements of this size, as a range of the file.
    pub(super) fn range(&self, number: usize, element: usize) -> Option<std::ops::Range<usize>> {
        let at = self.target(number)?;
        let begin = at.checked_add(4)?;
        let end = begin.checked_add(u32_at(self.bytes, at)?.checked_mul(element)?)?;
        (end <= self.bytes.len()).then_some(begin..end)
    }

    pub(super) fn text(&self, number: usize) -> Option<String> {
        let range = self.range(number, 1)?;
        Some(String::from_utf8_lossy(&self.bytes[range]).into_owned())
    }

    /// A vector of 32-bit integers.
    pub(super) fn integers(&self, number: usize) -> Option<Vec<i32>> {
        let range = self.range(number, 4)?;
        Some(self.bytes[range].as_chunks::<4>().0.iter().map(|b| i32::from_le_bytes(*b)).collect())
    }

    /// A vector of 64-bit integers.
    pub(super) fn longs(&self, number: usize) -> Option<Vec<i64>> {
        let range = self.range(number, 8)?;
        Some(self.bytes[range].as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect())
    }

    /// A vector of floats.
    pub(super) fn floats(&self, number: usize) -> Option<Vec<f32>> {
        let range = self.range(number, 4)?;
        Some(self.bytes[range].as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
    }

    /// A vector of tables; none where the field is not there.
    pub(super) fn tables(&self, number: usize) -> Vec<Self> {
        let Some(range) = self.range(number, 4) else { return Vec::new() };
        let table = |at: usize| Some(Self { bytes: self.bytes, at: at.checked_add(u32_at(self.bytes, at)?)? });
        range.step_by(4).filter_map(table).collect()
    }
}
