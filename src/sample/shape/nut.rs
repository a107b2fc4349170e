//! A nut lying flat: a hexagon with a wide threaded hole, some with a flange, some with a locking ring.

use super::{Surface, bevel};
use crate::dice::Dice;
use crate::math::{angle, fract, hexagon, length, smoothstep};

/// A hexagonal nut around the origin, corners (or flange) on a circle of radius one half.
pub(crate) struct Nut {
    apothem: f32,
    bore: f32,
    flange: bool,
    ring: bool,
    washer_face: f32,
}

impl Nut {
    /// A nut of random make.
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let flange = dice.chance(0.2);
        let apothem = if flange { 0.5 * dice.range(0.68, 0.74) } else { 0.433 };
        Self {
            apothem,
            bore: apothem * dice.range(0.5, 0.66),
            flange,
            ring: dice.chance(0.2),
            washer_face: dice.range(0.93, 1.02),
        }
    }

    pub(crate) fn surface(&self, u: f32, v: f32) -> Surface {
        let radius = length(u, v);
        let body = hexagon(u, v, self.apothem);
        let opening = self.bore * 0.84 - radius;
        let mut tone = 1.0;
        let mut part = 0;
        // The corners slope away beyond a circle that nearly touches the sides: the chamfer of every real nut.
        let slope = (radius - self.apothem * self.washer_face).max(0.0) * 0.75;
        let mut height = 0.16 + bevel(-body, 0.02) - slope;
        let mut distance = body.max(opening);
        if self.flange {
            distance = (radius - 0.5).max(opening);
            if body > 0.0 {
                height = 0.03 + bevel(0.5 - radius, 0.03) + 0.05 * smoothstep(0.06, 0.0, body);
            }
        }
        let rim = radius - self.bore;
        if rim < 0.0 {
            // Inside the hole the thread shows as a dark spiral.
            let turns = fract(rim / (self.bore * 0.07) + angle(v, u));
            height -= 0.09 * smoothstep(0.0, -self.bore * 0.16, rim);
            tone = 0.3 + 0.25 * (turns - 0.5).abs();
        } else if self.ring && rim < self.apothem * 0.16 {
            part = 1;
            height -= 0.02;
        } else {
            height -= 0.35 * (0.035 - rim).max(0.0);
        }
        Surface { distance, height, tone, part }
    }
}
