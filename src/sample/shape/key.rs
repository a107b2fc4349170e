//! A key lying flat: the flat key of a cylinder lock, or the round one of an old cupboard.

use super::{Surface, bevel};
use crate::dice::Dice;
use crate::math::{cos, floor, length, lerp, rounded_rectangle, sin, smoothstep};

/// The outline of the part that one holds.
#[derive(Clone, Copy)]
enum Bow {
    Round,
    Oval,
    Square,
    Clover,
}

/// Cuts in one edge of a flat blade.
struct Flat {
    bow: Bow,
    cuts: [f32; 7],
    groove: f32,
    cap: bool,
    slot: bool,
}

/// A plate with notches at the end of a round shaft.
struct Old {
    wire: f32,
    bit_length: f32,
    bit_width: f32,
    notches: usize,
    trefoil: bool,
}

/// What the two kinds of key have of their own.
enum Kind {
    Flat(Flat),
    Old(Old),
}

/// A key along the u axis, its bow at −0.5 and its tip at 0.5.
pub(crate) struct Key {
    bow_radius: f32,
    blade_half: f32,
    kind: Kind,
}

impl Key {
    /// A key of random make.
    pub(crate) fn new(dice: &mut Dice) -> Self {
        if dice.chance(0.3) {
            let bow_radius = dice.range(0.15, 0.2);
            let kind = Kind::Old(Old {
                wire: dice.range(0.03, 0.042),
                bit_length: dice.range(0.14, 0.2),
                bit_width: dice.range(0.13, 0.18),
                notches: dice.between(1, 2),
                trefoil: dice.chance(0.4),
            });
            return Self { bow_radius, blade_half: dice.range(0.028, 0.04), kind };
        }
        let mut cuts = [0.0; 7];
        cuts.iter_mut().for_each(|cut| *cut = dice.range(0.1, 0.85));
        let kind = Kind::Flat(Flat {
            bow: dice.pick(&[Bow::Round, Bow::Oval, Bow::Square, Bow::Clover]),
            cuts,
            groove: dice.range(-0.4, 0.1),
            cap: dice.chance(0.6),
            slot: dice.chance(0.3),
        });
        Self { bow_radius: dice.range(0.16, 0.205), blade_half: dice.range(0.055, 0.075), kind }
    }

    pub(crate) fn half_sides(&self) -> (f32, f32) {
        (0.51, 1.1 * self.bow_radius + 0.02)
    }

    pub(crate) fn surface(&self, u: f32, v: f32) -> Surface {
        match &self.kind {
            Kind::Flat(make) => self.flat(u, v, make),
            Kind::Old(make) => self.old(u, v, make),
        }
    }

    fn flat(&self, u: f32, v: f32, make: &Flat) -> Surface {
        let (radius, half) = (self.bow_radius, self.blade_half);
        let x = u + 0.5 - radius;
        let head = match make.bow {
            Bow::Round => length(x, v) - radius,
            Bow::Oval => (length(x / 0.85, v) - radius) * 0.85,
            Bow::Square => rounded_rectangle(x, v, radius, radius, 0.3 * radius),
            Bow::Clover => {
                let lobe = |turns: f32| length(x - 0.42 * radius * cos(turns), v - 0.5 * radius * sin(turns));
                lobe(0.5).min(lobe(0.2)).min(lobe(-0.2)) - 0.58 * radius
            }
        };
        let hole = if make.slot {
            rounded_rectangle(x + 0.45 * radius, v, 0.2 * radius, 0.5 * radius, 0.2 * radius)
        } else {
            length(x + 0.42 * radius, v) - 0.3 * radius
        };
        let blade = self.blade(u, v, &make.cuts, 2.0 * radius - 0.5);
        let shoulder = rounded_rectangle(u - (2.0 * radius - 0.5), v, 0.045, half * 1.5, 0.015);
        let metal = blade.min(shoulder);
        let distance = head.min(metal).max(-hole);
        let mut surface = Surface::plain(distance, 0.018 + bevel(-distance, 0.016));
        if make.cap && head < 0.0 {
            surface.part = 1;
            surface.height = 0.04 + bevel(-distance, 0.035);
        } else if head > 0.01 {
            let dip = smoothstep(0.3 * half, 0.15 * half, (v - make.groove * half).abs());
            surface.height -= 0.016 * dip;
            surface.tone = 1.0 - 0.3 * dip;
        } else {
            // A stamped panel on the bow.
            let panel = smoothstep(0.0, 0.015, -0.045 - head) * smoothstep(0.0, 0.015, hole - 0.035);
            surface.height -= 0.012 * panel;
        }
        surface
    }

    /// The blade with its cuts: plateaus of seven depths joined by slopes, and a pointed tip.
    fn blade(&self, u: f32, v: f32, cuts: &[f32; 7], from: f32) -> f32 {
        let half = self.blade_half;
        let first = from + 0.07;
        let place = ((u - first) / (0.47 - first) * 7.0).clamp(0.0, 6.999);
        let index = floor(place) as usize;
        let within = place - index as f32;
        let before = if index == 0 { 0.0 } else { cuts[index - 1] };
        let depth = lerp(before, cuts[index], smoothstep(0.0, 0.55, within)) * half * 1.05;
        let tip = (v.abs() + (u - 0.5) * 1.1 - 0.01) * 0.67;
        (v.abs() - half).max(v - (half - depth)).max(tip).max(u - 0.5).max(from - 0.05 - u)
    }

    fn old(&self, u: f32, v: f32, make: &Old) -> Surface {
        let &Old { wire, bit_length, bit_width, notches, trefoil } = make;
        let (radius, shaft) = (self.bow_radius, self.blade_half);
        let x = u + 0.5 - radius;
        let middle = radius - wire;
        let ring = if trefoil {
            let lobe = |turns: f32| {
                let (cx, cy) = (0.5 * radius * cos(turns), 0.5 * radius * sin(turns));
                (length(x - cx, v - cy) - 0.5 * radius + wire).abs() - wire * 0.85
            };
            lobe(0.5).min(lobe(0.23)).min(lobe(-0.23))
        } else {
            (length(x, v) - middle).abs() - wire
        };
        // The rod begins inside the ring's metal; between the rings of a trefoil it reaches further in.
        let start = if trefoil { radius - 0.5 } else { 2.0 * radius - 0.5 - wire };
        let rod = rounded_rectangle(u - 0.5 * (start + 0.5), v, 0.5 * (0.5 - start), shaft, 0.4 * shaft);
        let collar = rounded_rectangle(u - 2.0 * radius + 0.45, v, 0.02, shaft * 1.6, 0.01);
        let bit_middle = 0.46 - 0.5 * bit_length;
        let mut bit = rounded_rectangle(u - bit_middle, v - 0.5 * bit_width, 0.5 * bit_length, 0.5 * bit_width, 0.006);
        for notch in 0..notches {
            let at = bit_middle + bit_length * (if notches == 1 { 0.0 } else { 0.42 * notch as f32 - 0.21 });
            bit = bit.max(-rounded_rectangle(u - at, v - bit_width, 0.1 * bit_length, 0.42 * bit_width, 0.004));
        }
        let round = rod.min(collar).min(ring);
        let distance = round.min(bit);
        let height = if round < 0.0 {
            let inside = (-round).min(wire.max(shaft));
            (2.0 * shaft * inside - inside * inside).max(0.0).sqrt() + 0.01
        } else {
            0.02 + bevel(-bit, 0.014)
        };
        Surface::plain(distance, height)
    }
}
