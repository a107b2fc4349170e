//! Views of matrices and their product.
//!
//! A thin safe layer over the `gemm` crate, which wants raw pointers and strides. Each product runs on the thread that
//! asks for it: the operators split their work into images or tiles themselves, which keeps the order of every
//! sum fixed and needs no meeting of threads within a product.

use std::marker::PhantomData;
use std::ops::Range;

/// A matrix to read, anywhere in a slice.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows of `columns` values each, `row_stride` apart.
    pub fn new(values: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        check_extent(values.len(), rows, columns, row_stride);
        Self { values, rows, columns, row_stride, column_stride: 1 }
    }

    /// Some of the rows.
    pub fn rows(self, rows: Range<usize>) -> Self {
        assert!(rows.start <= rows.end && rows.end <= self.rows, "rows {rows:?} of a matrix that has {}", self.rows);
        Self {
            values: if rows.is_empty() { &[] } else { &self.values[rows.start * self.row_stride..] },
            rows: rows.len(),
            ..self
        }
    }

    /// Some of the columns.
    pub fn columns(self, columns: Range<usize>) -> Self {
        let count = self.columns;
        assert!(
            columns.start <= columns.end && columns.end <= count,
            "columns {columns:?} of a matrix that has {count}"
        );
        let empty = columns.is_empty() || self.rows == 0;
        Self {
            values: if empty { &[] } else { &self.values[columns.start * self.column_stride..] },
            columns: columns.len(),
            ..self
        }
    }

    /// The transposed matrix, without a copy.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// A matrix to write, row by row in a slice.
pub(crate) struct MatrixMut<'a> {
    /// Points to the first value; valid for writes of `columns` values at each of `rows` multiples of `row_stride`,
    /// none of which any other view of the same lifetime covers.
    values: *mut f32,
    rows: usize,
    columns: usize,
    row_stride: usize,
    borrowed: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is a mutable borrow of plain numbers that no other view overlaps, like `&mut [f32]`.
unsafe impl Send for MatrixMut<'_> {}

impl<'a> MatrixMut<'a> {
    /// Rows of `columns` values each, `row_stride` apart.
    pub fn new(values: &'a mut [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        check_extent(values.len(), rows, columns, row_stride);
        Self { values: values.as_mut_ptr(), rows, columns, row_stride, borrowed: PhantomData }
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Fills each row with its value.
    pub fn fill_rows(&mut self, values: &[f32]) {
        for (row, &value) in values.iter().enumerate().take(self.rows) {
            // SAFETY: `row` is below `rows`, so these `columns` values belong to this view alone.
            let row = unsafe { std::slice::from_raw_parts_mut(self.values.add(row * self.row_stride), self.columns) };
            row.fill(value);
        }
    }

    /// Splits the columns into tiles of `width` (the last may be narrower) that can be written at the same time.
    pub fn into_column_tiles(self, width: usize) -> Vec<(usize, Self)> {
        (0..self.columns)
            .step_by(width.max(1))
            .map(|start| {
                let tile = Self {
                    // SAFETY: `start` is below `columns`, so the pointer stays within the first row.
                    values: unsafe { self.values.add(start) },
                    columns: width.max(1).min(self.columns - start),
                    ..self
                };
                (start, tile)
            })
            .collect()
    }
}

fn check_extent(len: usize, rows: usize, columns: usize, row_stride: usize) {
    let fits = rows == 0 || columns == 0 || (rows - 1) * row_stride + columns <= len;
    assert!(
        fits && columns <= row_stride.max(columns * usize::from(rows <= 1)),
        "a matrix of {rows} × {columns} with rows {row_stride} apart does not fit {len} values"
    );
}

/// `product = left · right`, or with `accumulate` `product += left · right`.
pub(crate) fn multiply(product: &mut MatrixMut, accumulate: bool, left: Matrix, right: Matrix) {
    assert!(
        product.rows == left.rows && product.columns == right.columns && left.columns == right.rows,
        "the sizes of a matrix product do not agree"
    );
    if product.rows == 0 || product.columns == 0 {
        return;
    }
    // SAFETY: each view was checked against its slice when it was made, so every element that `gemm` reaches through
    // these sizes and strides exists; the product is borrowed mutably and cannot overlap the operands.
    unsafe {
        gemm::gemm(
            product.rows,
            product.columns,
            left.columns,
            product.values,
            1,
            product.row_stride as isize,
            accumulate,
            left.values.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.values.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_worked_by_hand() {
        let left = [1.0, 2.0, 9.0, 3.0, 4.0, 9.0];
        let right = [5.0, 6.0, 7.0, 8.0];
        let mut product = [1.0; 5];
        // The right matrix is read transposed, the product has rows three apart.
        multiply(
            &mut MatrixMut::new(&mut product, 2, 2, 3),
            true,
            Matrix::new(&left, 2, 2, 3),
            Matrix::new(&right, 2, 2, 2).transposed(),
        );
        assert_eq!(product, [18.0, 24.0, 1.0, 40.0, 54.0]);
    }

    #[test]
    fn tiles_cover_every_column_once() {
        let mut values = [0.0; 2 * 7];
        let one = [1.0; 2];
        for (start, mut tile) in MatrixMut::new(&mut values, 2, 7, 7).into_column_tiles(3) {
            let row = [start as f32 + 1.0; 3];
            let row = Matrix::new(&row, 1, tile.columns, 3);
            multiply(&mut tile, true, Matrix::new(&one, 2, 1, 1), row);
        }
        assert_eq!(values[..7], [1.0, 1.0, 1.0, 4.0, 4.0, 4.0, 7.0]);
        assert_eq!(values[..7], values[7..]);
    }

    #[test]
    #[should_panic(expected = "does not fit")]
    fn a_view_beyond_its_slice_is_refused() {
        Matrix::new(&[0.0; 5], 2, 3, 3);
    }

    #[test]
    #[should_panic(expected = "does not fit")]
    fn overlapping_rows_are_refused() {
        MatrixMut::new(&mut [0.0; 9], 3, 3, 2);
    }
}
