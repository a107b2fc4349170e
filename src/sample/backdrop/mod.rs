//! What the things lie on: ten kinds of busy surface, each with its own pattern, colour and direction.
//!
//! A surface is a function of the point, so it costs one pass over the picture. Many hold on purpose what a
//! careless detector would fall for: the round holes of a pegboard, the rings of a coffee cup, the grid of a cutting
//! mat, printed lines.

mod made;
mod natural;

use crate::canvas::{Canvas, scale};
use crate::dice::Dice;
use crate::math::{cos, length, sin, smoothstep};
use crate::noise::Noise;

/// A turned and shifted coordinate system.
#[derive(Clone, Copy)]
struct Turned {
    c: f32,
    s: f32,
    x: f32,
    y: f32,
}

impl Turned {
    fn new(dice: &mut Dice, angle: f32) -> Self {
        Self { c: cos(angle), s: sin(angle), x: dice.range(0.0, 400.0), y: dice.range(0.0, 400.0) }
    }

    /// A direction that is often about level or upright, as a camera is held, and sometimes any.
    fn held(dice: &mut Dice) -> Self {
        let angle = if dice.chance(0.6) { 0.25 * dice.below(4) as f32 + dice.range(-0.02, 0.02) } else { dice.unit() };
        Self::new(dice, angle)
    }

    #[inline]
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (x * self.c + y * self.s + self.x, y * self.c - x * self.s + self.y)
    }
}

/// A table top of random kind, lit unevenly and used.
pub(crate) fn paint(dice: &mut Dice, width: usize, height: usize) -> Canvas {
    let kind = dice.weighted(&[2.2, 1.2, 0.9, 1.4, 1.2, 0.8, 1.0, 1.1, 0.6, 0.7]);
    let mut dice = dice.fork();
    let dice = &mut dice;
    let mut canvas = match kind {
        0 => natural::wood(dice, width, height),
        1 => natural::concrete(dice, width, height),
        2 => natural::stone(dice, width, height),
        3 => made::cloth(dice, width, height),
        4 => made::print(dice, width, height),
        5 => made::drawing(dice, width, height),
        6 => made::sheet_metal(dice, width, height),
        7 => made::cutting_mat(dice, width, height),
        8 => made::pegboard(dice, width, height),
        _ => made::tiles(dice, width, height),
    };
    for _ in 0..dice.weighted(&[0.5, 0.25, 0.15, 0.1]) {
        stain(&mut canvas, dice);
    }
    if dice.chance(0.5) {
        scratches(&mut canvas, dice);
    }
    specks(&mut canvas, dice);
    uneven_light(&mut canvas, dice);
    canvas
}

/// A spill or the ring that a cup left.
fn stain(canvas: &mut Canvas, dice: &mut Dice) {
    let (x, y) = (dice.unit() * canvas.width as f32, dice.unit() * canvas.height as f32);
    let radius = dice.range(14.0, 70.0);
    let ring = dice.chance(0.5);
    let strength = dice.range(0.15, 0.5);
    let tint = [dice.range(0.2, 0.6), dice.range(0.15, 0.4), dice.range(0.05, 0.3)];
    let noise = Noise::new(dice);
    let reach = radius * 1.5;
    canvas.retouch((x - reach, y - reach, x + reach, y + reach), |px, py, colour| {
        let uneven = noise.fractal(px * 0.05, py * 0.05, 3);
        let away = length(px - x, py - y) / radius + 0.5 * (uneven - 0.5);
        let edge = smoothstep(0.09, 0.02, (away - 0.9).abs());
        let inside = smoothstep(0.95, 0.85, away);
        let amount =
            strength * if ring { edge * smoothstep(0.3, 0.5, uneven) } else { (0.6 * inside + 0.4 * edge).min(1.0) };
        let keep = |channel: usize| colour[channel] * (1.0 - amount * (1.0 - tint[channel]));
        [keep(0), keep(1), keep(2)]
    });
}

/// A few straight scratches, each a lit and a shaded line.
fn scratches(canvas: &mut Canvas, dice: &mut Dice) {
    for _ in 0..dice.between(2, 9) {
        let (x, y) = (dice.unit() * canvas.width as f32, dice.unit() * canvas.height as f32);
        let angle = dice.unit();
        let (dx, dy) = (cos(angle), sin(angle));
        let half = dice.range(8.0, 60.0);
        let gain = if dice.chance(0.5) { dice.range(0.12, 0.4) } else { -dice.range(0.12, 0.35) };
        let (rx, ry) = (half * dx.abs() + 2.0, half * dy.abs() + 2.0);
        canvas.retouch((x - rx, y - ry, x + rx, y + ry), |px, py, colour| {
            let along = (px - x) * dx + (py - y) * dy;
            let across = (py - y) * dx - (px - x) * dy;
            let line = (1.0 - across.abs()).max(0.0) * smoothstep(half, half * 0.7, along.abs());
            scale(colour, 1.0 + gain * line)
        });
    }
}

/// Crumbs and dust.
fn specks(canvas: &mut Canvas, dice: &mut Dice) {
    for _ in 0..dice.between(0, 60) {
        let (x, y) = (dice.unit() * canvas.width as f32, dice.unit() * canvas.height as f32);
        let radius = dice.range(0.4, 1.7);
        let gain = if dice.chance(0.5) { 0.45 } else { 1.7 };
        canvas.retouch((x - 3.0, y - 3.0, x + 3.0, y + 3.0), |px, py, colour| {
            let covered = (radius - length(px - x, py - y) + 0.5).clamp(0.0, 1.0);
            scale(colour, 1.0 + (gain - 1.0) * covered)
        });
    }
}

/// The lamp stands somewhere: one side is brighter, and sometimes the shadow of something outside falls in.
fn uneven_light(canvas: &mut Canvas, dice: &mut Dice) {
    let (width, height) = (canvas.width as f32, canvas.height as f32);
    let angle = dice.unit();
    let (dx, dy) = (cos(angle) / width, sin(angle) / height);
    let tilt = dice.range(0.0, 0.45);
    let soft = dice.range(0.04, 0.3);
    let place = dice.range(-0.2, 0.35);
    let shadow = if dice.chance(0.3) { dice.range(0.2, 0.5) } else { 0.0 };
    let turn = dice.unit();
    let (sx, sy) = (cos(turn) / width, sin(turn) / height);
    canvas.retouch((0.0, 0.0, width, height), |x, y, colour| {
        let (px, py) = (x - 0.5 * width, y - 0.5 * height);
        let slope = 1.0 + tilt * (px * dx + py * dy) * 1.4;
        let dark = shadow * smoothstep(place, place + soft, px * sx + py * sy);
        scale(colour, slope * (1.0 - dark))
    });
}
