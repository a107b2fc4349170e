//! A gear wheel lying flat: teeth, a bore, and a web that is solid, recessed, drilled or cut into spokes.

use super::{Surface, bevel};
use crate::dice::Dice;
use crate::math::{angle, cos, floor, fract, length, lerp, sin, smoothstep};

/// What lies between hub and rim.
#[derive(Clone, Copy)]
enum Web {
    Solid,
    Recessed,
    Drilled(f32),
    Spokes(f32),
}

/// A spur gear around the origin with its tips on a circle of radius one half.
pub(crate) struct Gear {
    teeth: f32,
    root: f32,
    land: f32,
    foot: f32,
    bore: f32,
    keyway: bool,
    hub: f32,
    rim: f32,
    web: Web,
    hub_part: u8,
}

const TIP: f32 = 0.5;

impl Gear {
    /// A gear of random make.
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let teeth = dice.between(9, 22) as f32;
        let root = TIP - (1.25 / teeth).clamp(0.06, 0.115) * dice.range(0.85, 1.1);
        let bore = dice.range(0.06, 0.13);
        let web = match dice.weighted(&[0.22, 0.28, 0.25, 0.25]) {
            0 => Web::Solid,
            1 => Web::Recessed,
            2 => Web::Drilled(dice.between(4, 7) as f32),
            _ => Web::Spokes(dice.between(3, 6) as f32),
        };
        Self {
            teeth,
            root,
            land: dice.range(0.24, 0.36),
            foot: dice.range(0.6, 0.72),
            bore,
            keyway: dice.chance(0.4),
            hub: bore + dice.range(0.05, 0.08),
            rim: root - dice.range(0.05, 0.08),
            web,
            hub_part: u8::from(dice.chance(0.25)),
        }
    }

    pub(crate) fn surface(&self, u: f32, v: f32) -> Surface {
        let radius = length(u, v);
        let turn = angle(v, u);
        let outline = self.outline(radius, turn);
        let mut opening = self.bore - radius;
        if self.keyway {
            let notch = (v.abs() - self.bore * 0.28).max((u - self.bore * 0.7).abs() - self.bore * 0.6);
            opening = opening.max(-notch);
        }
        let (mut recess, mut tone) = (0.0, 1.0);
        match self.web {
            Web::Solid => {}
            Web::Recessed => {
                let sunk =
                    smoothstep(self.hub, self.hub + 0.025, radius) * smoothstep(self.rim, self.rim - 0.025, radius);
                recess = 0.04 * sunk;
                tone = 1.0 - 0.18 * sunk;
            }
            Web::Drilled(count) => {
                let middle = 0.5 * (self.hub + self.rim);
                let (x, y) = self.in_sector(radius, turn, count);
                let hole = 0.36 * (self.rim - self.hub);
                opening = opening.max(hole - length(x - middle, y));
            }
            Web::Spokes(count) => {
                let (_, y) = self.in_sector(radius, turn + 0.5 / count, count);
                let spoke = 0.045 - y.abs();
                let gap = spoke.max(self.hub + 0.02 - radius).max(radius - self.rim);
                opening = opening.max(-gap);
            }
        }
        let distance = outline.max(opening);
        let collar = 0.03 * smoothstep(self.hub + 0.012, self.hub - 0.004, radius);
        let part = if radius < self.hub { self.hub_part } else { 0 };
        Surface { distance, height: 0.05 + bevel(-distance, 0.028) + collar - recess, tone, part }
    }

    /// Distance to the toothed outline: trapezoids on the root circle, distances corrected for the steep flanks.
    fn outline(&self, radius: f32, turn: f32) -> f32 {
        let away = (fract(turn * self.teeth) - 0.5).abs() * 2.0;
        let along = ((away - self.land) / (self.foot - self.land)).clamp(0.0, 1.0);
        let limit = lerp(TIP, self.root, along);
        let flank = (TIP - self.root) * self.teeth / (std::f32::consts::PI * self.root * (self.foot - self.land));
        let steep = if along > 0.0 && along < 1.0 { 1.0 / (1.0 + flank * flank).sqrt() } else { 1.0 };
        (radius - limit) * steep
    }

    /// The point turned into the first of `count` equal sectors, as coordinates along and across its middle.
    fn in_sector(&self, radius: f32, turn: f32, count: f32) -> (f32, f32) {
        let sector = floor(turn * count + 0.5) as f32 / count;
        (radius * cos(turn - sector), radius * sin(turn - sector))
    }
}
