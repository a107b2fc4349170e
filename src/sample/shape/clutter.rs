//! Things that lie about and are no class: pencils, rulers and labels, scraps of paper, coins and buttons.
//!
//! They share outlines with the classes (a pencil is as long as a bolt, a coin as round as a gear), so a
//! detector has to look at teeth, threads and holes.

use super::{Surface, bevel};
use crate::dice::Dice;
use crate::math::{angle, cos, floor, fract, length, rounded_rectangle, sin, smoothstep};

/// A sharpened pencil along the u axis, its tip at 0.5.
pub(crate) struct Pencil {
    half: f32,
    cone: f32,
    eraser: bool,
}

impl Pencil {
    /// A pencil of random length.
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let half = dice.range(0.022, 0.04);
        Self { half, cone: half * dice.range(3.0, 4.5), eraser: dice.chance(0.5) }
    }

    pub(crate) fn half_sides(&self) -> (f32, f32) {
        (0.51, self.half + 0.02)
    }

    pub(crate) fn surface(&self, u: f32, v: f32) -> Surface {
        let from_tip = 0.5 - u;
        let taper = (v.abs() - from_tip * self.half / self.cone) * 0.96;
        let distance = (v.abs() - self.half).max(taper).max(-0.5 - u);
        let width = self.half.min(from_tip * self.half / self.cone).max(0.001);
        let across = v / width;
        let round = width * (1.0 - across * across).max(0.0).sqrt();
        let scallop = self.cone * (0.86 + 0.14 * (across * 3.0).abs().min(1.0));
        if from_tip < scallop {
            let tone = if from_tip < 0.28 * self.cone { 0.06 } else { 1.0 };
            return Surface { distance, height: round, tone, part: 1 };
        }
        if self.eraser && u < -0.44 {
            let ferrule = u > -0.47;
            let tone = if ferrule { 0.75 + 0.25 * fract(u * 160.0) } else { 0.8 };
            return Surface { distance, height: round, tone, part: 1 };
        }
        // Six sides: one up, two falling away.
        let faces = self.half * 0.86 * (2.0 - 2.0 * across.abs()).clamp(0.0, 1.0);
        Surface::plain(distance, faces)
    }
}

/// What is printed on a slab.
#[derive(Clone, Copy)]
enum Print {
    Plain,
    Lines,
    Ticks,
    Bands,
}

/// A flat rectangle: a note, a label, a ruler, a block.
pub(crate) struct Slab {
    half_x: f32,
    half_y: f32,
    radius: f32,
    thickness: f32,
    print: Print,
    pitch: f32,
}

impl Slab {
    /// A sheet of paper or a label, with or without print.
    pub(crate) fn label(dice: &mut Dice) -> Self {
        let half_y = dice.range(0.2, 0.45);
        Self {
            half_x: 0.48,
            half_y,
            radius: dice.pick(&[0.0, 0.0, 0.03, 0.08]),
            thickness: 0.006,
            print: dice.pick(&[Print::Plain, Print::Lines, Print::Lines, Print::Bands]),
            pitch: dice.range(0.07, 0.13),
        }
    }

    /// A ruler.
    pub(crate) fn ruler(dice: &mut Dice) -> Self {
        let half_y = dice.range(0.05, 0.08);
        Self {
            half_x: 0.5,
            half_y,
            radius: 0.01,
            thickness: 0.012,
            print: Print::Ticks,
            pitch: dice.range(0.012, 0.02),
        }
    }

    /// A block such as an eraser, a domino or a battery-sized box.
    pub(crate) fn block(dice: &mut Dice) -> Self {
        let print = dice.pick(&[Print::Plain, Print::Bands]);
        let half_y = dice.range(0.16, 0.32);
        Self { half_x: 0.48, half_y, radius: 0.05, thickness: 0.12, print, pitch: dice.range(0.2, 0.4) }
    }

    pub(crate) fn thickness(&self) -> f32 {
        self.thickness
    }

    pub(crate) fn half_sides(&self) -> (f32, f32) {
        (self.half_x + 0.01, self.half_y + 0.01)
    }

    pub(crate) fn surface(&self, u: f32, v: f32) -> Surface {
        let distance = rounded_rectangle(u, v, self.half_x, self.half_y, self.radius);
        let height = self.thickness + bevel(-distance, self.thickness.min(0.05));
        let (mut tone, mut part) = (1.0, 0);
        match self.print {
            Print::Plain => {}
            Print::Lines => {
                let row = fract(v / self.pitch);
                let word = sin(u * 9.0 + 3.7 * floor(v / self.pitch) as f32) + sin(u * 23.0);
                let margin = u.abs() < self.half_x - 0.07 && v.abs() < self.half_y - 0.05;
                if margin && row < 0.42 && word > -0.9 && (fract(u * 34.0) < 0.66 || row > 0.3) {
                    tone = 0.3;
                }
            }
            Print::Ticks => {
                let step = u / self.pitch;
                let long = match floor(step).rem_euclid(10) {
                    0 => 0.75,
                    5 => 0.55,
                    _ => 0.35,
                };
                if fract(step) < 0.22 && v > self.half_y * (1.0 - long) {
                    tone = 0.12;
                }
            }
            Print::Bands => part = u8::from(fract(u / self.pitch + 0.3) < 0.4),
        }
        Surface { distance, height, tone, part }
    }
}

/// A cut or torn scrap: an uneven polygon.
pub(crate) struct Scrap {
    /// For each side the unit vector across it and its distance from the middle.
    sides: Vec<(f32, f32, f32)>,
}

impl Scrap {
    /// A scrap with three to six sides.
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let count = dice.between(3, 6);
        let sides = (0..count)
            .map(|side| {
                let across = (side as f32 + dice.range(-0.22, 0.22)) / count as f32;
                (cos(across), sin(across), dice.range(0.17, 0.32))
            })
            .collect();
        Self { sides }
    }

    pub(crate) fn surface(&self, u: f32, v: f32) -> Surface {
        let distance =
            self.sides.iter().fold(length(u, v) - 0.5, |most, (x, y, reach)| most.max(u * x + v * y - reach));
        // A fold lifts one side a little and catches the light.
        let fold = 0.05 * smoothstep(-0.02, 0.3, u + 0.4 * v);
        Surface::plain(distance, 0.01 + fold)
    }
}

/// What a disc is.
#[derive(Clone, Copy)]
enum Face {
    Coin,
    Button(usize),
    Lid,
}

/// A round thing without teeth and without a hole in the middle.
pub(crate) struct Disc {
    face: Face,
    wave: f32,
    turn: f32,
}

impl Disc {
    /// A coin or a lid.
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let face = dice.pick(&[Face::Coin, Face::Coin, Face::Lid]);
        Self { face, wave: dice.range(2.0, 5.0), turn: dice.unit() }
    }

    /// A button with two or four holes.
    pub(crate) fn button(dice: &mut Dice) -> Self {
        let face = dice.pick(&[Face::Button(2), Face::Button(4), Face::Button(4)]);
        Self { face, wave: dice.range(2.0, 5.0), turn: dice.unit() }
    }

    /// Whether the thing is struck from metal.
    pub(crate) fn is_coin(&self) -> bool {
        matches!(self.face, Face::Coin)
    }

    pub(crate) fn surface(&self, u: f32, v: f32) -> Surface {
        let radius = length(u, v);
        let distance = radius - 0.5;
        let rim = smoothstep(0.4, 0.43, radius);
        match self.face {
            Face::Coin => {
                let turn = angle(v, u) + self.turn;
                // A struck relief: a blurred figure in the middle and letters around it.
                let figure = smoothstep(0.3, 0.1, radius + 0.09 * sin(turn * 3.0) + 0.05 * sin(turn * 7.0 + self.wave));
                let letters = f32::from(u8::from(radius > 0.31 && radius < 0.375 && fract(turn * 26.0) < 0.5));
                let height = 0.02 + bevel(-distance, 0.02) + 0.014 * rim + 0.02 * figure + 0.008 * letters;
                Surface { distance, height, tone: 1.0 - 0.15 * letters, part: 0 }
            }
            Face::Button(holes) => {
                let turn = fract(angle(v, u) * holes as f32) / holes as f32 - 0.5 / holes as f32;
                let (x, y) = (radius * cos(turn), radius * sin(turn));
                let hole = 0.07 - length(x - 0.15, y);
                let distance = distance.max(hole);
                Surface::plain(distance, 0.04 + bevel(-distance, 0.03) + 0.04 * rim)
            }
            Face::Lid => {
                let ring = smoothstep(0.02, 0.0, (radius - 0.33).abs());
                let height = 0.06 + bevel(-distance, 0.09) - 0.015 * ring;
                Surface { distance, height, tone: 1.0, part: u8::from(radius < 0.3) }
            }
        }
    }
}
