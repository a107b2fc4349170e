//! From light to grey values: what a camera that is not perfect makes of a scene.

use crate::canvas::{Canvas, Light};
use crate::dice::Dice;
use crate::math::{cos, sin};

/// What blurs a picture beyond the lens itself.
enum Blur {
    None,
    Defocus(f32),
    Motion { x: f32, y: f32 },
}

/// A camera with its settings.
pub(crate) struct Camera {
    blur: Blur,
    softness: f32,
    vignette: f32,
    exposure: f32,
    balance: Light,
    contrast: f32,
    noise: f32,
    seed: u32,
}

impl Camera {
    /// A camera in the hand of a person who mostly takes care.
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let blur = match dice.weighted(&[0.76, 0.14, 0.1]) {
            0 => Blur::None,
            1 => Blur::Defocus(dice.range(1.2, 2.4)),
            _ => {
                let (angle, length) = (dice.unit(), dice.range(2.0, 5.0));
                Blur::Motion { x: cos(angle) * length, y: sin(angle) * length }
            }
        };
        let warmth = dice.range(-0.1, 0.1);
        Self {
            blur,
            softness: dice.range(0.02, 0.16),
            vignette: dice.range(0.0, 0.35),
            exposure: dice.range(0.8, 1.35),
            balance: [1.0 + warmth, 1.0 + dice.range(-0.03, 0.03), 1.0 - warmth],
            contrast: dice.range(0.9, 1.12),
            noise: 1.0
                + 5.0 * {
                    let dark = dice.unit();
                    dark * dark
                },
            seed: dice.bits(),
        }
    }

    /// A camera that shows light as it is.
    #[cfg(test)]
    pub(crate) fn perfect() -> Self {
        Self {
            blur: Blur::None,
            softness: 0.0,
            vignette: 0.0,
            exposure: 1.0,
            balance: [1.0; 3],
            contrast: 1.0,
            noise: 0.0,
            seed: 0,
        }
    }

    /// Takes the picture: interleaved red, green and blue, eight bits each.
    pub(crate) fn develop(&self, canvas: &Canvas) -> Vec<u8> {
        let (width, height) = (canvas.width, canvas.height);
        let mut light = match self.blur {
            Blur::None => canvas.pixels.clone(),
            Blur::Defocus(radius) => {
                let taps = disc_taps(radius);
                let once =
                    smear(&canvas.pixels, width, height, &taps.iter().map(|&(d, w)| (d, 0, w)).collect::<Vec<_>>());
                smear(&once, width, height, &taps.iter().map(|&(d, w)| (0, d, w)).collect::<Vec<_>>())
            }
            Blur::Motion { x, y } => smear(&canvas.pixels, width, height, &line_taps(x, y)),
        };
        if self.softness > 0.0 {
            let (side, middle) = (self.softness, 1.0 - 2.0 * self.softness);
            light = smear(&light, width, height, &[(-1, 0, side), (0, 0, middle), (1, 0, side)]);
            light = smear(&light, width, height, &[(0, -1, side), (0, 0, middle), (0, 1, side)]);
        }
        let mut bytes = vec![0; 3 * light.len()];
        let far = 1.0 / (width * width + height * height) as f32;
        for (row, (pixels, target)) in light.chunks_exact(width).zip(bytes.chunks_exact_mut(3 * width)).enumerate() {
            let y = row as f32 * 2.0 - height as f32;
            for (column, (pixel, target)) in pixels.iter().zip(target.chunks_exact_mut(3)).enumerate() {
                let x = column as f32 * 2.0 - width as f32;
                let gain = self.exposure * (1.0 - self.vignette * (x * x + y * y) * far);
                self.expose(pixel, gain, (row * width + column) as u32, target);
            }
        }
        bytes
    }

    /// One pixel: exposure, white balance, tone curve and the noise of the sensor.
    #[inline]
    fn expose(&self, pixel: &Light, gain: f32, at: u32, target: &mut [u8]) {
        // The noise is mostly common to the three colours, with a little of its own in each.
        let first = scatter(self.seed ^ at.wrapping_mul(0x9E37_79B1));
        let second = scatter(first ^ 0x85EB_CA6B);
        let common = 0.8 * gaussian(first);
        let own = [two_bytes(second), two_bytes(second >> 16), two_bytes(first.wrapping_add(second) >> 8)];
        for channel in 0..3 {
            let value = (pixel[channel] * gain * self.balance[channel]).max(0.0).sqrt();
            let value = (value - 0.45) * self.contrast + 0.45;
            // A soft shoulder instead of a hard clip in the lights.
            let value = if value > 0.82 { 0.82 + 0.18 * shoulder((value - 0.82) / 0.18) } else { value };
            let noisy = value * 255.0 + self.noise * (common + 0.5 * own[channel]) + 0.5;
            target[channel] = noisy.clamp(0.0, 255.0) as u8;
        }
    }
}

/// Rises like its argument at first and never beyond one.
fn shoulder(x: f32) -> f32 {
    x / (1.0 + x)
}

/// Mixes the bits of a number; every bit of the result depends on every bit of the argument.
fn scatter(mut x: u32) -> u32 {
    x = (x ^ (x >> 16)).wrapping_mul(0x7FEB_352D);
    x = (x ^ (x >> 15)).wrapping_mul(0x846C_A68B);
    x ^ (x >> 16)
}

/// About normal with variance one: the sum of the four bytes.
fn gaussian(bits: u32) -> f32 {
    let sum = (bits & 255) + (bits >> 8 & 255) + (bits >> 16 & 255) + (bits >> 24);
    (sum as f32 - 510.0) / 147.8
}

/// A triangular distribution with variance one: the sum of the two lowest bytes.
fn two_bytes(bits: u32) -> f32 {
    ((bits & 255) as f32 + (bits >> 8 & 255) as f32 - 255.0) / 104.5
}

/// A one-dimensional kernel that twice applied is about a disc of the given radius.
fn disc_taps(radius: f32) -> Vec<(i32, f32)> {
    let reach = radius as i32 + 1;
    let weight = |d: i32| {
        let t = d as f32 / (radius + 0.8);
        let inside = (1.0 - t * t).max(0.0);
        inside * inside
    };
    let total: f32 = (-reach..=reach).map(weight).sum();
    (-reach..=reach).map(|d| (d, weight(d) / total)).filter(|tap| tap.1 > 0.0).collect()
}

/// The way of a point while the shutter is open, spread over the pixels next to it.
fn line_taps(x: f32, y: f32) -> Vec<(i32, i32, f32)> {
    const STEPS: i32 = 9;
    let mut taps: Vec<(i32, i32, f32)> = Vec::new();
    for step in 0..STEPS {
        let t = (step as f32 + 0.5) / STEPS as f32 - 0.5;
        let (dx, dy) = (crate::math::floor(x * t + 0.5), crate::math::floor(y * t + 0.5));
        match taps.iter_mut().find(|tap| tap.0 == dx && tap.1 == dy) {
            Some(tap) => tap.2 += 1.0 / STEPS as f32,
            None => taps.push((dx, dy, 1.0 / STEPS as f32)),
        }
    }
    taps
}

/// The weighted sum of shifted copies; beyond the border the last pixel goes on.
fn smear(pixels: &[Light], width: usize, height: usize, taps: &[(i32, i32, f32)]) -> Vec<Light> {
    let mut out = vec![[0.0f32; 3]; pixels.len()];
    for row in 0..height {
        let target = &mut out[row * width..(row + 1) * width];
        for &(dx, dy, weight) in taps {
            let from = (row as i32 + dy).clamp(0, height as i32 - 1) as usize * width;
            let line = &pixels[from..from + width];
            let add = |sum: &mut Light, pixel: &Light| {
                *sum = [sum[0] + weight * pixel[0], sum[1] + weight * pixel[1], sum[2] + weight * pixel[2]];
            };
            let shift = (dx.unsigned_abs() as usize).min(width);
            if dx < 0 {
                target[..shift].iter_mut().for_each(|sum| add(sum, &line[0]));
                target[shift..].iter_mut().zip(line).for_each(|(sum, pixel)| add(sum, pixel));
            } else {
                target.iter_mut().zip(&line[shift..]).for_each(|(sum, pixel)| add(sum, pixel));
                target[width - shift..].iter_mut().for_each(|sum| add(sum, &line[width - 1]));
            }
        }
    }
    out
}
