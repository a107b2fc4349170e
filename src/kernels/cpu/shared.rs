//! A result that several tasks write at the same time.

use super::simd::{LANES, lanes, lanes_mut};
use std::marker::PhantomData;

/// Copies a short run, such as a row of a small map: a few values at a time, because a call would cost more than the copy.
///
/// # Panics
/// If the lengths differ.
#[inline(always)]
pub(crate) fn copy_run(target: &mut [f32], values: &[f32]) {
    assert_eq!(target.len(), values.len(), "a run of another length");
    let len = values.len();
    if len < LANES {
        target.copy_from_slice(values);
        return;
    }
    let mut at = 0;
    while at + LANES < len {
        *lanes_mut(target, at) = *lanes(values, at);
        at += LANES;
    }
    // The last ones may have been copied already.
    *lanes_mut(target, len - LANES) = *lanes(values, len - LANES);
}

/// Values that tasks write, each its own pixels or channels.
pub(crate) struct Shared<'a> {
    values: *mut f32,
    len: usize,
    borrowed: PhantomData<&'a mut [f32]>,
}

// SAFETY: all access goes through the methods, whose callers promise that no element is written twice.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    /// The values for as long as they are borrowed.
    pub fn new(values: &'a mut [f32]) -> Self {
        Self { values: values.as_mut_ptr(), len: values.len(), borrowed: PhantomData }
    }

    /// Writes `values` from `start` on; a run of `BLOCK` values in a few registers instead of by a call.
    ///
    /// # Safety
    /// No other task may write one of these elements.
    #[inline(always)]
    pub unsafe fn write<const BLOCK: usize>(&self, start: usize, values: &[f32]) {
        assert!(start + values.len() <= self.len, "a pixel beyond the result");
        // SAFETY: the range was checked, and the caller promises that it is this task's alone.
        unsafe {
            match values.first_chunk::<BLOCK>() {
                Some(block) if values.len() == BLOCK => {
                    self.values.add(start).cast::<[f32; BLOCK]>().write_unaligned(*block);
                }
                _ => copy_run(std::slice::from_raw_parts_mut(self.values.add(start), values.len()), values),
            }
        }
    }

    /// Writes `values + bias` from `start` on, `step` apart.
    ///
    /// # Safety
    /// No other task may write one of these elements.
    pub unsafe fn write_apart(&self, start: usize, step: usize, values: &[f32], bias: f32) {
        let Some(last) = values.len().checked_sub(1) else {
            return;
        };
        assert!(start + last * step < self.len, "a pixel beyond the result");
        if step == 1 {
            // SAFETY: the range was checked above, and nobody else writes it.
            let target = unsafe { std::slice::from_raw_parts_mut(self.values.add(start), values.len()) };
            for (target, value) in target.iter_mut().zip(values) {
                *target = value + bias;
            }
        } else {
            for (index, value) in values.iter().enumerate() {
                // SAFETY: the last index was checked above, and nobody else writes this element.
                unsafe { *self.values.add(start + index * step) = value + bias };
            }
        }
    }
}
