//! A bolt lying on its side: a head, a shank and a thread that runs around it.

use super::{Surface, bevel};
use crate::dice::Dice;
use crate::math::{fract, length, rounded_rectangle};

/// The heads that bolts have.
#[derive(Clone, Copy, PartialEq)]
enum Head {
    Hexagon,
    Dome,
    Socket,
}

/// A bolt along the u axis, its head at −0.5 and its tip at 0.5.
pub(crate) struct Bolt {
    head: Head,
    head_length: f32,
    head_half: f32,
    flange: bool,
    shank_radius: f32,
    thread_start: f32,
    pitch: f32,
    depth: f32,
    chamfer: f32,
}

impl Bolt {
    /// A bolt of random make, from stout to slender.
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let head_half = dice.range(0.15, 0.245);
        let head = [Head::Hexagon, Head::Dome, Head::Socket][dice.weighted(&[0.6, 0.2, 0.2])];
        let head_length = head_half * if head == Head::Socket { dice.range(0.95, 1.2) } else { dice.range(0.6, 0.85) };
        let shank_radius = head_half * dice.range(0.46, 0.6);
        let shank = 1.0 - head_length;
        Self {
            head,
            head_length,
            head_half,
            flange: head == Head::Hexagon && dice.chance(0.35),
            shank_radius,
            thread_start: 0.5 - shank * dice.range(0.55, 1.0),
            pitch: shank_radius * dice.range(0.4, 0.6),
            depth: shank_radius * dice.range(0.13, 0.2),
            chamfer: shank_radius * dice.range(0.15, 0.4),
        }
    }

    pub(crate) fn half_sides(&self) -> (f32, f32) {
        (0.51, self.head_half * 1.3 + 0.01)
    }

    pub(crate) fn surface(&self, u: f32, v: f32) -> Surface {
        let head = self.head_surface(u, v);
        let shank = self.shank_surface(u, v);
        let mut surface = if head.distance <= 0.0 || head.distance < shank.distance { head } else { shank };
        if self.flange {
            let at = self.head_length - 0.5;
            let distance = rounded_rectangle(u - at, v, 0.022, self.head_half * 1.25, 0.018);
            if distance < surface.distance {
                let half = self.head_half * 1.25;
                surface = Surface::plain(distance, (half * half - v * v).max(0.0).sqrt() * 0.9);
            }
        }
        surface
    }

    fn head_surface(&self, u: f32, v: f32) -> Surface {
        let (length_of_head, half) = (self.head_length, self.head_half);
        let middle = 0.5 * length_of_head - 0.5;
        match self.head {
            Head::Hexagon => {
                // One face of the hexagon looks up, its neighbours fall away by sixty degrees.
                let distance = rounded_rectangle(u - middle, v, 0.5 * length_of_head, half, 0.02);
                let face = 0.866 * half * (2.0 - 2.0 * v.abs() / half).clamp(0.0, 1.0);
                let washer_face = (0.035 - (u + 0.5)).max(0.0) * 1.2;
                Surface::plain(distance, face.min(half * 0.866 - washer_face) - 0.01 + bevel(-distance, 0.01))
            }
            Head::Dome => {
                let x = (u - (length_of_head - 0.5)) / length_of_head;
                let radius = length(x, v / half);
                let distance = ((radius - 1.0) * length_of_head.min(half)).max(u - (length_of_head - 0.5));
                let slot = if (v.abs() < half * 0.13) && x < -0.6 { 0.45 } else { 1.0 };
                let height = half * (1.0 - radius * radius).max(0.0).sqrt();
                Surface { distance, height, tone: slot, part: 0 }
            }
            Head::Socket => {
                let distance = rounded_rectangle(u - middle, v, 0.5 * length_of_head, half, 0.025);
                let round = (half * half - v * v).max(0.0).sqrt();
                // Knurling: fine ridges along the axis, closer together towards the sides.
                let ridge = fract(7.0 * v / (half + round) + 0.25);
                let knurled = u > 0.03 - 0.5 && u < length_of_head - 0.53;
                let dip = if knurled { 0.012 * (ridge - 0.5).abs() } else { 0.0 };
                Surface::plain(distance, round - dip - (0.03 - (u + 0.5)).max(0.0))
            }
        }
    }

    fn shank_surface(&self, u: f32, v: f32) -> Surface {
        let mut radius = self.shank_radius;
        let mut tone = 1.0;
        if u > self.thread_start {
            // The thread climbs half a pitch from one side of the bolt to the other.
            let ridge = (fract(u / self.pitch + 0.25 * v / radius) - 0.5).abs() * 2.0;
            radius -= self.depth * ridge;
            tone = 1.0 - 0.35 * ridge * ridge;
        } else {
            radius -= 0.3 * self.depth;
        }
        radius -= (self.chamfer - (0.5 - u)).max(0.0);
        let side = v.abs() - radius;
        let distance = side.max(u - 0.5).max(self.head_length - 0.52 - u);
        Surface { distance, height: (radius * radius - v * v).max(0.0).sqrt(), tone, part: 0 }
    }
}
