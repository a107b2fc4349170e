//! Pooling, and boxes cut out of images: plane by plane, so that no two tasks write the same value.

use crate::crops::{Crops, Sample};
use crate::geometry::ConvGeometry;
use rayon::prelude::*;

fn planes(geometry: &ConvGeometry) -> (usize, usize) {
    (geometry.input[0] * geometry.input[1], geometry.output[0] * geometry.output[1])
}

/// Calls `visit` with the index of each output and the rows and columns of the input that its kernel covers.
fn windows(geometry: &ConvGeometry, mut visit: impl FnMut(usize, std::ops::Range<usize>, std::ops::Range<usize>)) {
    for row in 0..geometry.output[0] {
        let rows = geometry.covered(0, row);
        for column in 0..geometry.output[1] {
            visit(row * geometry.output[1] + column, rows.clone(), geometry.covered(1, column));
        }
    }
}

/// The first of the largest values.
fn largest(
    plane: &[f32],
    width: usize,
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
) -> Option<usize> {
    let mut best: Option<usize> = None;
    for row in rows {
        for place in row * width + columns.start..row * width + columns.end {
            if best.is_none_or(|best| plane[place] > plane[best]) {
                best = Some(place);
            }
        }
    }
    best
}

/// The largest value under the kernel.
pub(crate) fn max(y: &mut [f32], x: &[f32], geometry: &ConvGeometry) {
    let (input, output) = planes(geometry);
    y.par_chunks_exact_mut(output).zip(x.par_chunks_exact(input)).for_each(|(y, x)| {
        windows(geometry, |at, rows, columns| {
            y[at] = largest(x, geometry.input[1], rows, columns).map_or(0.0, |place| x[place]);
        });
    });
}

/// The gradient of [`max`]: to the first of the largest values.
pub(crate) fn max_gradient(of_x: &mut [f32], x: &[f32], gradient: &[f32], geometry: &ConvGeometry) {
    let (input, output) = planes(geometry);
    of_x.par_chunks_exact_mut(input).zip(x.par_chunks_exact(input)).zip(gradient.par_chunks_exact(output)).for_each(
        |((of_x, x), gradient)| {
            of_x.fill(0.0);
            windows(geometry, |at, rows, columns| {
                if let Some(place) = largest(x, geometry.input[1], rows, columns) {
                    of_x[place] += gradient[at];
                }
            });
        },
    );
}

/// The mean of what the kernel covers.
pub(crate) fn mean(y: &mut [f32], x: &[f32], geometry: &ConvGeometry) {
    let (input, output) = planes(geometry);
    let width = geometry.input[1];
    y.par_chunks_exact_mut(output).zip(x.par_chunks_exact(input)).for_each(|(y, x)| {
        windows(geometry, |at, rows, columns| {
            let count = (rows.len() * columns.len()).max(1);
            let row_sum = |row: usize| x[row * width + columns.start..row * width + columns.end].iter().sum::<f32>();
            y[at] = rows.map(row_sum).sum::<f32>() / count as f32;
        });
    });
}

/// The gradient of [`mean`].
pub(crate) fn mean_gradient(of_x: &mut [f32], gradient: &[f32], geometry: &ConvGeometry) {
    let (input, output) = planes(geometry);
    let width = geometry.input[1];
    of_x.par_chunks_exact_mut(input).zip(gradient.par_chunks_exact(output)).for_each(|(of_x, gradient)| {
        of_x.fill(0.0);
        windows(geometry, |at, rows, columns| {
            let share = gradient[at] / (rows.len() * columns.len()).max(1) as f32;
            for row in rows {
                of_x[row * width + columns.start..row * width + columns.end].iter_mut().for_each(|v| *v += share);
            }
        });
    });
}

/// The rows and columns that a box's crop looks at.
fn grid(crops: &Crops, index: usize, [height, width]: [usize; 2]) -> (Vec<Sample>, Vec<Sample>) {
    let [ymin, xmin, ymax, xmax] = crops.boxes[index];
    (Crops::samples(ymin, ymax, height, crops.size[0]), Crops::samples(xmin, xmax, width, crops.size[1]))
}

/// Boxes cut out of `x` (`[batch, channels, height, width]`) and resized.
pub(crate) fn crop_and_resize(y: &mut [f32], x: &[f32], crops: &Crops, channels: usize, size: [usize; 2]) {
    let (plane, crop) = (size[0] * size[1], crops.size[0] * crops.size[1]);
    if crop == 0 || plane == 0 || channels == 0 {
        return y.fill(0.0);
    }
    let grids: Vec<_> = (0..crops.boxes.len()).map(|index| grid(crops, index, size)).collect();
    y.par_chunks_exact_mut(crop).enumerate().for_each(|(at, y)| {
        let (index, channel) = (at / channels, at % channels);
        let x = &x[(crops.images[index] * channels + channel) * plane..][..plane];
        let (rows, columns) = &grids[index];
        for (row, y) in rows.iter().zip(y.chunks_exact_mut(crops.size[1])) {
            let (top, bottom) = (&x[row.lower * size[1]..][..size[1]], &x[row.upper * size[1]..][..size[1]]);
            for (column, y) in columns.iter().zip(y) {
                if !(row.inside && column.inside) {
                    *y = 0.0;
                    continue;
                }
                let along =
                    |line: &[f32]| line[column.lower] + (line[column.upper] - line[column.lower]) * column.fraction;
                let (top, bottom) = (along(top), along(bottom));
                *y = top + (bottom - top) * row.fraction;
            }
        }
    });
}

/// The gradient of [`crop_and_resize`]: a plane adds up its boxes in their order.
pub(crate) fn crop_and_resize_gradient(
    of_x: &mut [f32],
    gradient: &[f32],
    crops: &Crops,
    channels: usize,
    size: [usize; 2],
) {
    let (plane, crop) = (size[0] * size[1], crops.size[0] * crops.size[1]);
    if plane == 0 || crop == 0 {
        return of_x.fill(0.0);
    }
    let grids: Vec<_> = (0..crops.boxes.len()).map(|index| grid(crops, index, size)).collect();
    of_x.par_chunks_exact_mut(plane).enumerate().for_each(|(at, of_x)| {
        let (image, channel) = (at / channels, at % channels);
        of_x.fill(0.0);
        for (index, (rows, columns)) in grids.iter().enumerate().filter(|(index, _)| crops.images[*index] == image) {
            let gradient = &gradient[(index * channels + channel) * crop..][..crop];
            for (row, gradient) in rows.iter().zip(gradient.chunks_exact(crops.size[1])) {
                for (column, &gradient) in columns.iter().zip(gradient) {
                    if !(row.inside && column.inside) {
                        continue;
                    }
                    for corner in 0..4 {
                        let ((y, of_y), (x, of_x_)) = (row.neighbour(corner / 2), column.neighbour(corner % 2));
                        of_x[y * size[1] + x] += gradient * of_y * of_x_;
                    }
                }
            }
        }
    });
}
