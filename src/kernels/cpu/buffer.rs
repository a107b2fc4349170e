//! Memory for results and scratch, used again instead of being given back to the system.
//!
//! A training step allocates and frees the same few hundred large blocks each time. Fresh pages cost several times
//! as much as what an operator computes on them, since the system clears and maps each one on first touch. So a
//! freed [`Buffer`], also one that lived on as a tensor's memory, waits in a pool for the next taker of its size.
//!
//! Free and used blocks together stay below one and a half times the most that was ever in use at once (or a small
//! constant), the longest unused go first, and [`release_unused_memory`] empties the pool.

use super::pages::Memory;
use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Shape};
use burn_std::{AccessError, AccessPolicy, AllocationController, AllocationProperty};
use std::mem::{MaybeUninit, take};
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Smaller blocks are left to the allocator, which keeps those for itself anyway.
const SMALLEST_POOLED: usize = 4096;

/// The pool may hold this many elements in any case: 128 MiB.
const ALWAYS_KEPT: usize = 32 << 20;

/// Blocks are sized in eighths of a power of two, so that near sizes share them: at most an eighth is wasted.
fn block_size(len: usize) -> usize {
    if len < SMALLEST_POOLED {
        return len;
    }
    let step = 1 << (len.ilog2() - 3);
    len.next_multiple_of(step)
}

/// Free blocks, the longest unused first, and the account of the elements in use.
struct Pool {
    free: Vec<Memory>,
    free_elements: usize,
    used_elements: usize,
    most_used: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { free: Vec::new(), free_elements: 0, used_elements: 0, most_used: 0 });

fn pool() -> MutexGuard<'static, Pool> {
    // Nothing in here panics halfway through a change.
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// A free block of exactly this size, the most recently used first (it may still be in the cache). The caller
    /// allocates where there is none; blocks that would then exceed the limit come back to be dropped outside the lock.
    fn take(&mut self, size: usize) -> (Option<Memory>, Vec<Memory>) {
        self.used_elements += size;
        self.most_used = self.most_used.max(self.used_elements);
        if let Some(found) = self.free.iter().rposition(|block| block.len() == size) {
            self.free_elements -= size;
            return (Some(self.free.remove(found)), Vec::new());
        }
        let mut drop = 0;
        let mut kept = self.free_elements;
        while drop < self.free.len() && self.used_elements + kept > self.limit() {
            kept -= self.free[drop].len();
            drop += 1;
        }
        self.free_elements = kept;
        (None, self.free.drain(..drop).collect())
    }

    /// Blocks come in many sizes whose peaks do not coincide, hence more than the most in use.
    fn limit(&self) -> usize {
        (self.most_used + self.most_used / 2).max(ALWAYS_KEPT)
    }

    fn give_back(&mut self, block: Memory) {
        self.used_elements -= block.len();
        self.free_elements += block.len();
        self.free.push(block);
    }
}

/// Returns the memory that finished operators left for the next ones to the system, and forgets how much was in use.
///
/// Worth calling when a phase of work ends, such as training before a long idle time; the next operators then pay
/// for fresh pages once.
pub fn release_unused_memory() {
    let mut pool = pool();
    let free = take(&mut pool.free);
    pool.free_elements = 0;
    pool.most_used = pool.used_elements;
    // Unlock before the blocks are unmapped.
    std::mem::drop(pool);
    std::mem::drop(free);
}

/// A block of the pool that returns there when it is dropped.
struct Block(Memory);

impl Block {
    fn new(len: usize) -> Self {
        let size = block_size(len);
        if size < SMALLEST_POOLED {
            return Self(Memory::zeroed(size));
        }
        let (found, surplus) = pool().take(size);
        std::mem::drop(surplus);
        Self(found.unwrap_or_else(|| Memory::zeroed(size)))
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if self.0.len() >= SMALLEST_POOLED {
            pool().give_back(take(&mut self.0));
        }
    }
}

/// Owned f32 values: an operator's result before it is a tensor, or its scratch memory.
pub(crate) struct Buffer {
    block: Block,
    len: usize,
}

impl Buffer {
    /// Holds whatever was there before (initialized, but meaningless): for those who write every element.
    pub fn new(len: usize) -> Self {
        Self { block: Block::new(len), len }
    }

    /// Holds zeros.
    pub fn zeroed(len: usize) -> Self {
        let mut buffer = Self::new(len);
        buffer.fill(0.0);
        buffer
    }

    /// The values as a tensor, without a copy.
    pub fn into_tensor(self, shape: Shape) -> FlexTensor {
        debug_assert_eq!(shape.num_elements(), self.len);
        let bytes = self.len * size_of::<f32>();
        // SAFETY: the controller's memory is `block`, whose elements are all initialized, and `bytes` lies within it
        // because `len` never exceeds the block's length.
        let bytes = unsafe { Bytes::from_controller(Box::new(self.block), bytes) };
        FlexTensor::new(bytes, Layout::contiguous(shape), DType::F32)
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.block.0[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.block.0[..self.len]
    }
}

/// Lets burn own a block. It is never detached, split or grown, so dropping it is the only way it ends.
impl AllocationController for Block {
    fn alloc_align(&self) -> usize {
        align_of::<f32>()
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    unsafe fn memory_mut(&mut self, _policy: AccessPolicy) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let bytes = self.0.len() * size_of::<f32>();
        // SAFETY: the vector's elements are `bytes` initialized bytes, borrowed mutably for as long as the result.
        // The caller promises to write initialized bytes only, and every pattern of them is a valid f32.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), bytes) })
    }

    fn memory(&self, _policy: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let bytes = self.0.len() * size_of::<f32>();
        // SAFETY: as above, borrowed for reading.
        Ok(unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), bytes) })
    }

    fn capacity(&self) -> usize {
        self.0.len() * size_of::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::backend::TensorMetadata;

    fn empty() -> Pool {
        Pool { free: Vec::new(), free_elements: 0, used_elements: 0, most_used: 0 }
    }

    /// What [`Block`] does, on a pool of its own.
    fn block(pool: &mut Pool, size: usize) -> Memory {
        pool.take(size).0.unwrap_or_else(|| Memory::zeroed(size))
    }

    #[test]
    fn sizes_waste_at_most_an_eighth() {
        for len in [1, 4095, 4096, 4097, 5000, 65_537, 1_000_003, 23_040_000] {
            let size = block_size(len);
            assert!(size >= len && size - len <= len / 8, "{len} became {size}");
        }
    }

    #[test]
    fn a_block_is_used_again() {
        let mut pool = empty();
        let first = block(&mut pool, 5120);
        let place = first.as_ptr();
        pool.give_back(first);
        let second = block(&mut pool, 5120);
        assert_eq!(second.as_ptr(), place);
        assert_eq!((pool.used_elements, pool.free_elements), (5120, 0));
    }

    #[test]
    fn the_pool_stays_below_its_limit() {
        let mut pool = empty();
        let million = 1 << 20;
        for size in [8 * million, 9 * million, 10 * million, 8 * million] {
            let one = block(&mut pool, size);
            let two = block(&mut pool, 2 * size);
            pool.give_back(one);
            pool.give_back(two);
            let held: usize = pool.free.iter().map(|block| block.len()).sum();
            assert_eq!(held, pool.free_elements);
            assert!(pool.used_elements + pool.free_elements <= pool.limit());
        }
        assert_eq!(pool.most_used, 30 * million);
        assert!(pool.free_elements > 0, "something is kept");
    }

    #[test]
    fn a_buffer_becomes_a_tensor_and_back_to_values() {
        let mut buffer = Buffer::zeroed(6000);
        buffer[5999] = 3.5;
        let tensor = buffer.into_tensor(Shape::new([60, 100]));
        assert_eq!(tensor.shape(), Shape::new([60, 100]));
        let values = tensor.clone().into_data().try_to_vec::<f32>().unwrap();
        assert_eq!((values.len(), values[5999]), (6000, 3.5));
        // Copy on write leaves the first holder alone.
        let mut other = tensor.clone();
        other.storage_mut::<f32>()[0] = 1.0;
        assert_eq!(tensor.storage::<f32>()[0], 0.0);
    }
}
