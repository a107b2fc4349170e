//! The picture while it is painted: light, not yet grey values.
//!
//! Colours are light intensities, the squares of what a screen shows (a gamma of two: near enough to sRGB
//! for a picture that nobody measures, and exact to compute with a square root). Edges, shadows and blur
//! mix light, as they do in a camera.

use crate::math::floor;

/// A colour as red, green and blue light.
pub(crate) type Light = [f32; 3];

/// A colour given as it looks on a screen, each component from 0 to 1.
pub(crate) fn shown(red: f32, green: f32, blue: f32) -> Light {
    [red * red, green * green, blue * blue]
}

/// A colour by hue (in turns), saturation and value as they look on a screen.
pub(crate) fn hue(turns: f32, saturation: f32, value: f32) -> Light {
    let channel = |shift: f32| {
        let wheel = (crate::math::fract(turns + shift) * 6.0 - 3.0).abs() - 1.0;
        let pure = wheel.clamp(0.0, 1.0);
        value * (1.0 - saturation + saturation * pure)
    };
    shown(channel(0.0), channel(2.0 / 3.0), channel(1.0 / 3.0))
}

/// The mix of two colours.
#[inline]
pub(crate) fn mix(a: Light, b: Light, t: f32) -> Light {
    [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t]
}

/// A colour made darker or brighter.
#[inline]
pub(crate) fn scale(a: Light, factor: f32) -> Light {
    [a[0] * factor, a[1] * factor, a[2] * factor]
}

/// A painted thing, ready to be laid on the canvas: premultiplied light and coverage.
pub(crate) struct Patch {
    pub left: i32,
    pub top: i32,
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<[f32; 4]>,
}

/// How a thing darkens what lies under it.
#[derive(Clone, Copy)]
pub(crate) struct Shadow {
    /// From the thing to its shadow, in pixels.
    pub offset: (f32, f32),
    /// Softness, in pixels.
    pub blur: usize,
    /// Share of the light that is taken away.
    pub strength: f32,
}

/// A picture of light.
pub(crate) struct Canvas {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<Light>,
}

impl Canvas {
    /// A canvas painted pixel by pixel; the function gets the centre of each.
    pub(crate) fn paint(width: usize, height: usize, mut colour: impl FnMut(f32, f32) -> Light) -> Self {
        let mut pixels = Vec::with_capacity(width * height);
        for row in 0..height {
            for column in 0..width {
                pixels.push(colour(column as f32 + 0.5, row as f32 + 0.5));
            }
        }
        Self { width, height, pixels }
    }

    /// Changes the pixels of a rectangle, as far as it lies inside.
    pub(crate) fn retouch(&mut self, corners: (f32, f32, f32, f32), mut change: impl FnMut(f32, f32, Light) -> Light) {
        let left = floor(corners.0).max(0);
        let top = floor(corners.1).max(0);
        let right = (floor(corners.2) + 1).min(self.width as i32);
        let bottom = (floor(corners.3) + 1).min(self.height as i32);
        for row in top..bottom {
            for column in left..right {
                let pixel = &mut self.pixels[row as usize * self.width + column as usize];
                *pixel = change(column as f32 + 0.5, row as f32 + 0.5, *pixel);
            }
        }
    }

    /// Lays a patch on the picture.
    pub(crate) fn lay(&mut self, patch: &Patch, opacity: f32) {
        self.over(patch.left, patch.top, patch.width, patch.height, |at, pixel| {
            let over = patch.pixels[at];
            let through = 1.0 - over[3] * opacity;
            *pixel = [
                pixel[0] * through + over[0] * opacity,
                pixel[1] * through + over[1] * opacity,
                pixel[2] * through + over[2] * opacity,
            ];
        });
    }

    /// Lays the shadow of a patch on the picture.
    pub(crate) fn shade(&mut self, patch: &Patch, shadow: &Shadow, opacity: f32) {
        let pad = 2 * shadow.blur + 2;
        let (width, height) = (patch.width + 2 * pad, patch.height + 2 * pad);
        let mut dark = vec![0.0f32; width * height];
        for row in 0..patch.height {
            for column in 0..patch.width {
                dark[(row + pad) * width + column + pad] = patch.pixels[row * patch.width + column][3];
            }
        }
        for _ in 0..2 {
            box_blur(&mut dark, width, height, shadow.blur);
        }
        let left = patch.left - pad as i32 + floor(shadow.offset.0 + 0.5);
        let top = patch.top - pad as i32 + floor(shadow.offset.1 + 0.5);
        let strength = shadow.strength * opacity;
        self.over(left, top, width, height, |at, pixel| {
            let taken = strength * dark[at];
            // Skylight still reaches the shadow, so it keeps a little more blue.
            *pixel = [pixel[0] * (1.0 - taken), pixel[1] * (1.0 - taken), pixel[2] * (1.0 - 0.93 * taken)];
        });
    }

    /// Visits the pixels of a rectangle that lie inside the picture, with their index in the rectangle.
    fn over(&mut self, left: i32, top: i32, width: usize, height: usize, mut visit: impl FnMut(usize, &mut Light)) {
        let from_row = top.max(0);
        let to_row = (top + height as i32).min(self.height as i32);
        let from_column = left.max(0);
        let to_column = (left + width as i32).min(self.width as i32);
        for row in from_row..to_row {
            for column in from_column..to_column {
                let at = (row - top) as usize * width + (column - left) as usize;
                visit(at, &mut self.pixels[row as usize * self.width + column as usize]);
            }
        }
    }
}

/// A running mean over `2 * radius + 1` values, along rows and then along columns.
fn box_blur(values: &mut [f32], width: usize, height: usize, radius: usize) {
    if radius == 0 {
        return;
    }
    let share = 1.0 / (2 * radius + 1) as f32;
    let source = values.to_vec();
    for (line, target) in source.chunks_exact(width).zip(values.chunks_exact_mut(width)) {
        let mut sum: f32 = line[..radius.min(width)].iter().sum();
        for (column, value) in target.iter_mut().enumerate() {
            sum += line.get(column + radius).copied().unwrap_or(0.0);
            if column > radius {
                sum -= line[column - radius - 1];
            }
            *value = (sum * share).max(0.0);
        }
    }
    // Along columns all sums of a row advance together, so memory is read in order.
    let source = values.to_vec();
    let mut sums = vec![0.0f32; width];
    for line in source.chunks_exact(width).take(radius) {
        sums.iter_mut().zip(line).for_each(|(sum, value)| *sum += value);
    }
    for row in 0..height {
        if row + radius < height {
            let line = &source[(row + radius) * width..(row + radius + 1) * width];
            sums.iter_mut().zip(line).for_each(|(sum, value)| *sum += value);
        }
        if row > radius {
            let line = &source[(row - radius - 1) * width..(row - radius) * width];
            sums.iter_mut().zip(line).for_each(|(sum, value)| *sum -= value);
        }
        let target = &mut values[row * width..(row + 1) * width];
        target.iter_mut().zip(&sums).for_each(|(value, sum)| *value = (sum * share).max(0.0));
    }
}
