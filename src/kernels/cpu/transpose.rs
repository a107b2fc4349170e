//! A matrix with rows and columns exchanged.
//!
//! The gradient of a weight multiplies two matrices along their rows. A product reads its right side column by column in
//! registers of neighbouring values, and bringing the rows into that order is much faster sixteen by sixteen than value by
//! value.

use super::simd::{Isa, LANES, lanes, lanes_mut, vectorized};

/// `target[column · rows + row] = source[row · stride + column]`.
///
/// # Panics
/// If the source or the target is too short.
pub(super) fn transpose(target: &mut [f32], source: &[f32], [rows, columns]: [usize; 2], stride: usize) {
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(columns <= stride && (rows - 1) * stride + columns <= source.len(), "a matrix beyond its values");
    assert!(rows * columns <= target.len(), "no room for a transposed matrix");
    if rows < LANES || columns < LANES {
        for (column, target) in target.chunks_exact_mut(rows).enumerate().take(columns) {
            for (row, value) in target.iter_mut().enumerate() {
                *value = source[row * stride + column];
            }
        }
        return;
    }
    transpose_blocks(target, source, [rows, columns], stride);
}

/// The starts of the blocks of a side; the last block may cover what another has done already.
fn starts(side: usize) -> impl Iterator<Item = usize> {
    (0..side).step_by(LANES).map(move |start| start.min(side - LANES))
}

#[inline(always)]
fn blocks_body<I: Isa>(target: &mut [f32], source: &[f32], [rows, columns]: [usize; 2], stride: usize) {
    // Along the rows, which lie far apart and are read once; the target is what the cache holds.
    for row in starts(rows) {
        for column in starts(columns) {
            let mut block = [I::splat(0.0); LANES];
            for (nth, lane) in block.iter_mut().enumerate() {
                *lane = I::load(lanes(source, (row + nth) * stride + column));
            }
            // Each round moves the highest bit of the row's number to the lowest of the column's, and that one's to the row's.
            for _ in 0..LANES.ilog2() {
                let before = block;
                for nth in 0..LANES / 2 {
                    (block[2 * nth], block[2 * nth + 1]) = I::zip(before[nth], before[nth + LANES / 2]);
                }
            }
            for (nth, lane) in block.into_iter().enumerate() {
                I::store(lane, lanes_mut(target, (column + nth) * rows + row));
            }
        }
    }
}

vectorized!(fn transpose_blocks(
    target: &mut [f32],
    source: &[f32],
    size: [usize; 2],
    stride: usize,
) = blocks_body);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        for [rows, columns] in [[1, 1], [3, 40], [16, 16], [17, 16], [24, 361], [48, 33], [100, 5]] {
            let stride = columns + 3;
            let source: Vec<f32> = (0..rows * stride).map(|index| index as f32).collect();
            let mut target = vec![-1.0; rows * columns];
            transpose(&mut target, &source, [rows, columns], stride);
            for row in 0..rows {
                for column in 0..columns {
                    assert_eq!(target[column * rows + row], source[row * stride + column], "{rows} × {columns}");
                }
            }
        }
    }
}
