//! Where blocks come from: the allocator, or large pages of the system's own.
//!
//! A training step walks through hundreds of megabytes, much of it in long strides: plane after plane of one channel. In pages
//! of 4 KiB most of those strides miss the processor's table of addresses, and on a virtual machine each miss is
//! a walk through two trees. Large blocks are therefore mapped directly, and Linux is asked for pages of 2 MiB. Where it
//! has none to give, or on another system, the block is what it would have been.

use memmap2::MmapMut;
use std::ops::{Deref, DerefMut};

/// Bytes of a large page.
const LARGE_PAGE: usize = 2 << 20;

/// f32 values, all of them initialized.
#[derive(Debug)]
pub(super) enum Memory {
    /// From the allocator.
    Heap(Vec<f32>),
    /// Mapped, with so many values in use from its start.
    Mapped(MmapMut, usize),
}

impl Memory {
    /// So many zeros.
    pub fn zeroed(len: usize) -> Self {
        match Self::mapped(len) {
            Some(mapped) => mapped,
            None => Self::Heap(vec![0.0; len]),
        }
    }

    /// A mapping, if the values fill a large page and the system grants it.
    fn mapped(len: usize) -> Option<Self> {
        let bytes = len.checked_mul(size_of::<f32>())?;
        let whole = bytes / LARGE_PAGE * LARGE_PAGE;
        if !cfg!(target_os = "linux") || whole == 0 {
            return None;
        }
        // Linux lays a mapping on the boundary of a large page if its length is a multiple of one. What lies beyond the values is
        // never touched, so it costs no memory, and the last, broken page stays in small ones.
        let pages = MmapMut::map_anon(bytes.checked_next_multiple_of(LARGE_PAGE)?).ok()?;
        #[cfg(target_os = "linux")]
        // A refusal leaves small pages, which work as well.
        pages.advise_range(memmap2::Advice::HugePage, 0, whole).ok();
        Some(Self::Mapped(pages, len))
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::Heap(Vec::new())
    }
}

impl Deref for Memory {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Self::Heap(values) => values,
            // SAFETY: the mapping begins at a page, is at least `len` values long (see `mapped`), lives as long as `self` and
            // starts as zeros; every pattern of bytes is an f32.
            Self::Mapped(pages, len) => unsafe { std::slice::from_raw_parts(pages.as_ptr().cast(), *len) },
        }
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [f32] {
        match self {
            Self::Heap(values) => values,
            // SAFETY: as above, and `self` is borrowed mutably.
            Self::Mapped(pages, len) => unsafe { std::slice::from_raw_parts_mut(pages.as_mut_ptr().cast(), *len) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::take;

    #[test]
    fn small_and_large_blocks_are_zeros_and_can_be_written() {
        for len in [0, 1, 4096, (LARGE_PAGE / 4) - 1, LARGE_PAGE / 4, LARGE_PAGE / 2 + 12_345] {
            let mut memory = Memory::zeroed(len);
            assert_eq!(memory.len(), len);
            assert!(memory.iter().all(|&value| value == 0.0));
            memory.fill(1.5);
            assert!(memory.iter().all(|&value| value == 1.5));
            let moved = take(&mut memory);
            assert_eq!((moved.len(), memory.len()), (len, 0));
            assert_eq!(matches!(moved, Memory::Mapped(..)), cfg!(target_os = "linux") && len >= LARGE_PAGE / 4);
        }
    }
}
