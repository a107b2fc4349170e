//! What things are made of, and how the lamp of a scene falls on them.
//!
//! A metal shows a blurred image of its surroundings: a lamp, a window, a dark floor. Anything else shows its own
//! colour and a gloss on top. Wear (rust, dust, scratches) is a second colour that noise lets through.

use crate::canvas::{Light, Patch, hue, mix, scale, shown};
use crate::dice::Dice;
use crate::math::{length, smoothstep};
use crate::noise::Noise;
use crate::relief::{Relief, WALL};

/// The lamp, the window and the air of a scene.
pub(crate) struct Lighting {
    /// Unit vector towards the lamp.
    pub lamp: (f32, f32, f32),
    window: (f32, f32, f32),
    colour: Light,
    ambient: f32,
    harshness: f32,
}

impl Lighting {
    /// Light from a random side: from a soft overcast sky to a hard desk lamp.
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let around = dice.unit();
        let low = dice.range(0.45, 1.1);
        let lamp = unit(crate::math::cos(around) * low, crate::math::sin(around) * low, 1.0);
        let other = around + dice.range(0.3, 0.7);
        let window = unit(crate::math::cos(other), crate::math::sin(other), 0.9);
        let warmth = dice.range(-1.0, 1.0);
        let colour = [1.0 + 0.1 * warmth, 1.0, 1.0 - 0.14 * warmth];
        Self { lamp, window, colour, ambient: dice.range(0.28, 0.5), harshness: dice.range(0.5, 1.0) }
    }

    /// The shadow of a thing that stands `height` pixels above the table.
    pub(crate) fn shadow(&self, height: f32) -> crate::canvas::Shadow {
        let fall = -height / self.lamp.2;
        let soft = (height * (1.25 - self.harshness) * 0.6 + 1.0).min(12.0);
        crate::canvas::Shadow {
            offset: (self.lamp.0 * fall, self.lamp.1 * fall),
            blur: soft as usize,
            strength: 0.35 + 0.4 * self.harshness,
        }
    }

    /// The brightness that a mirror sees in direction `(x, y, z)`.
    #[inline]
    fn surroundings(&self, x: f32, y: f32, z: f32, gloss: u32) -> f32 {
        let towards_lamp = (x * self.lamp.0 + y * self.lamp.1 + z * self.lamp.2).max(0.0);
        let towards_window = (x * self.window.0 + y * self.window.1 + z * self.window.2).max(0.0);
        let ceiling = 0.12 + 0.42 * smoothstep(-0.25, 0.95, z);
        let lamp = self.harshness * squared(towards_lamp, gloss) * 1.5;
        ceiling + lamp + 0.35 * squared(towards_window, 3)
    }
}

/// `x` to the power of two to the power of `times`.
#[inline]
fn squared(x: f32, times: u32) -> f32 {
    (0..times).fold(x, |power, _| power * power)
}

fn unit(x: f32, y: f32, z: f32) -> (f32, f32, f32) {
    let share = 1.0 / (x * x + y * y + z * z).sqrt();
    (x * share, y * share, z * share)
}

/// A material.
#[derive(Clone, Copy)]
pub(crate) struct Material {
    colour: Light,
    metal: bool,
    /// Sharpness of the reflection: the exponent is two to this power.
    gloss: u32,
    shine: f32,
    wear: f32,
    worn: Light,
    /// Unevenness of the surface.
    grain: f32,
}

impl Material {
    /// Steel, zinc, brass, copper, blackened steel, …: bare metal of any age.
    pub(crate) fn metal(dice: &mut Dice) -> Self {
        Self::metal_among(dice, &[0.34, 0.14, 0.16, 0.1, 0.12, 0.07, 0.07])
    }

    /// A metal, drawn by weights: steel, zinc, brass, copper, black oxide, nickel, bronze.
    pub(crate) fn metal_among(dice: &mut Dice, weights: &[f32; 7]) -> Self {
        let shade = dice.range(0.85, 1.08);
        let base = match dice.weighted(weights) {
            0 => shown(0.83, 0.84, 0.86),
            1 => shown(0.74, 0.79, 0.86),
            2 => shown(0.92, 0.77, 0.42),
            3 => shown(0.9, 0.6, 0.45),
            4 => shown(0.36, 0.36, 0.39),
            5 => shown(0.87, 0.8, 0.55),
            _ => shown(0.62, 0.5, 0.4),
        };
        let rusty = dice.chance(0.2);
        Self {
            colour: scale(base, shade),
            metal: true,
            gloss: dice.between(3, 5) as u32,
            shine: dice.range(0.8, 1.15),
            wear: if rusty { dice.range(0.22, 0.5) } else { dice.range(0.0, 0.12) },
            worn: if dice.chance(0.7) { shown(0.5, 0.3, 0.17) } else { shown(0.3, 0.29, 0.27) },
            grain: dice.range(0.05, 0.3),
        }
    }

    /// Paint or plastic of any colour.
    pub(crate) fn plastic(dice: &mut Dice) -> Self {
        let colour = match dice.weighted(&[0.7, 0.12, 0.18]) {
            0 => hue(dice.unit(), dice.range(0.45, 0.95), dice.range(0.4, 0.92)),
            1 => shown(0.9, 0.9, 0.88),
            _ => shown(0.16, 0.16, 0.18),
        };
        Self {
            colour,
            metal: false,
            gloss: dice.between(3, 5) as u32,
            shine: dice.range(0.08, 0.4),
            wear: dice.range(0.0, 0.25),
            worn: scale(colour, 0.55),
            grain: dice.range(0.0, 0.08),
        }
    }

    /// A dull material of the given colour: paper, wood, rubber.
    pub(crate) fn matte(dice: &mut Dice, colour: Light) -> Self {
        let worn = scale(colour, 0.72);
        Self {
            colour,
            metal: false,
            gloss: 2,
            shine: 0.03,
            wear: dice.range(0.0, 0.3),
            worn,
            grain: dice.range(0.0, 0.06),
        }
    }

    /// Paper: white, cream, or one of the colours of notes.
    pub(crate) fn paper(dice: &mut Dice) -> Self {
        let colour = match dice.below(4) {
            0 => shown(0.93, 0.92, 0.89),
            1 => shown(0.9, 0.85, 0.74),
            2 => hue(dice.range(0.1, 0.2), 0.5, 0.95),
            _ => hue(dice.unit(), dice.range(0.2, 0.6), dice.range(0.7, 0.95)),
        };
        Self::matte(dice, colour)
    }

    /// What this material looks like with its surface in direction `n`, seen along `-view`.
    #[inline]
    fn look(&self, n: (f32, f32, f32), view: (f32, f32, f32), worn: f32, light: &Lighting) -> Light {
        let colour = mix(self.colour, self.worn, worn);
        let facing = n.0 * view.0 + n.1 * view.1 + n.2 * view.2;
        let r = (2.0 * facing * n.0 - view.0, 2.0 * facing * n.1 - view.1, 2.0 * facing * n.2 - view.2);
        let diffuse = (n.0 * light.lamp.0 + n.1 * light.lamp.1 + n.2 * light.lamp.2).max(0.0);
        let lit = light.ambient * (0.7 + 0.3 * n.2) + (1.05 - light.ambient) * diffuse;
        let mirror = light.surroundings(r.0, r.1, r.2, self.gloss);
        let shine = self.shine * (1.0 - 0.85 * worn);
        let look = if self.metal {
            let bright = (0.3 * lit + mirror * shine) * (1.0 - worn) + worn * lit;
            scale(colour, bright)
        } else {
            let gloss = shine * (mirror - 0.3).max(0.0) * 0.6;
            let own = scale(colour, lit);
            [own[0] + gloss, own[1] + gloss, own[2] + gloss]
        };
        [look[0] * light.colour[0], look[1] * light.colour[1], look[2] * light.colour[2]]
    }
}

/// The two materials of a thing.
#[derive(Clone, Copy)]
pub(crate) struct Finish {
    pub parts: [Material; 2],
    pub noise: Noise,
}

/// Paints a relief that lies with its centre at `(x, y)` of a picture of the given size.
pub(crate) fn paint(
    relief: &Relief,
    at: (i32, i32),
    frame: (usize, usize),
    finish: &Finish,
    light: &Lighting,
) -> Patch {
    let (left, top) = (at.0 + relief.left, at.1 + relief.top);
    let mut pixels = vec![[0.0; 4]; relief.width * relief.height];
    // Each thing reflects another part of the room, as under a camera half a metre above the table.
    let far = 1.6 * frame.0.max(frame.1) as f32;
    let fine = relief.oversampling;
    let share = 1.0 / (fine * fine) as f32;
    for row in 0..relief.height {
        for column in 0..relief.width {
            let (x, y) = (left + column as i32, top + row as i32);
            if x < 0 || x >= frame.0 as i32 || y < 0 || y >= frame.1 as i32 {
                // Never seen, but its shadow may fall into the picture.
                pixels[row * relief.width + column][3] = relief.coverage(column, row);
                continue;
            }
            let (px, py) = ((column as i32 + relief.left) as f32, (row as i32 + relief.top) as f32);
            let (vx, vy) = (frame.0 as f32 * 0.5 - x as f32, frame.1 as f32 * 0.5 - y as f32);
            let view = unit(vx / far, vy / far, 1.0);
            let mut grain = None;
            let mut sum = [0.0f32; 4];
            for j in 0..fine {
                for i in 0..fine {
                    let (sx, sy) = (column * fine + i, row * fine + j);
                    let sample = relief.samples[sy * relief.width * fine + sx];
                    if sample.coverage == 0.0 {
                        continue;
                    }
                    let (rough, uneven) = *grain.get_or_insert_with(|| {
                        (finish.noise.fractal(px * 0.11, py * 0.11, 3), finish.noise.value(px * 0.6 + 91.0, py * 0.6))
                    });
                    let material = &finish.parts[usize::from(sample.part == 1)];
                    let (gx, gy) = if sample.part == WALL {
                        (-1.6 * relief.wall.0, -1.6 * relief.wall.1)
                    } else {
                        slope(relief, sx, sy)
                    };
                    let bump = material.grain * (uneven - 0.5);
                    let n = unit(bump - gx, bump * 0.7 - gy, 1.0);
                    let edge = 1.0 - material.wear;
                    let worn = smoothstep(edge - 0.2, edge + 0.16, rough + 0.3 * (uneven - 0.5)) * 0.9;
                    let look = material.look(n, view, if material.wear > 0.01 { worn } else { 0.0 }, light);
                    let weight = sample.coverage * share;
                    let tone = weight * sample.tone * if sample.part == WALL { 0.6 } else { 1.0 };
                    sum = [sum[0] + look[0] * tone, sum[1] + look[1] * tone, sum[2] + look[2] * tone, sum[3] + weight];
                }
            }
            pixels[row * relief.width + column] = sum;
        }
    }
    Patch { left, top, width: relief.width, height: relief.height, pixels }
}

/// The slope of the relief at a sample, by differences to its neighbours; very steep slopes are held back.
#[inline]
fn slope(relief: &Relief, x: usize, y: usize) -> (f32, f32) {
    let columns = relief.width * relief.oversampling;
    let rows = relief.height * relief.oversampling;
    let height = |x: usize, y: usize| relief.samples[y * columns + x].height;
    let (x0, x1) = (x.saturating_sub(1), (x + 1).min(columns - 1));
    let (y0, y1) = (y.saturating_sub(1), (y + 1).min(rows - 1));
    let (gx, gy) = (0.5 * (height(x1, y) - height(x0, y)), 0.5 * (height(x, y1) - height(x, y0)));
    let steep = length(gx, gy);
    if steep > 3.0 { (gx * 3.0 / steep, gy * 3.0 / steep) } else { (gx, gy) }
}
