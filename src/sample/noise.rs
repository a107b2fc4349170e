//! Value noise: smooth randomness over the plane, the raw stuff of wood, cloth, concrete and rust.
//!
//! One lattice of 256 × 256 random values is made once a process and shared; a [`Noise`] is an offset into
//! it. Looking a corner up is several times cheaper than hashing it, and the period of 256 cells is longer
//! than any picture at the scales used.

use std::sync::OnceLock;

use crate::dice::Dice;
use crate::math::{floor, lerp};

const SIDE: usize = 256;
const MASK: i32 = SIDE as i32 - 1;

/// Its size is part of the type, so that a masked index needs no check.
type Lattice = [f32; SIDE * SIDE];

fn lattice() -> &'static Lattice {
    static LATTICE: OnceLock<Box<Lattice>> = OnceLock::new();
    LATTICE.get_or_init(|| {
        let mut dice = Dice::new(0x626f_7877, 0);
        let mut lattice = Box::new([0.0; SIDE * SIDE]);
        lattice.iter_mut().for_each(|value| *value = dice.unit());
        lattice
    })
}

/// A field of noise at its own place of the shared lattice.
#[derive(Clone, Copy)]
pub(crate) struct Noise {
    lattice: &'static Lattice,
    dx: i32,
    dy: i32,
}

impl Noise {
    /// A field at a random place.
    pub(crate) fn new(dice: &mut Dice) -> Self {
        Self { lattice: lattice(), dx: (dice.bits() & 255) as i32, dy: (dice.bits() & 255) as i32 }
    }

    /// The value of one cell, uniform in `[0, 1)` and independent of its neighbours.
    #[inline]
    pub(crate) fn cell(&self, x: i32, y: i32) -> f32 {
        let column = (x.wrapping_add(self.dx) & MASK) as usize;
        let row = (y.wrapping_add(self.dy) & MASK) as usize;
        self.lattice[(row * SIDE + column) & (SIDE * SIDE - 1)]
    }

    /// Another independent value of the same cell.
    #[inline]
    pub(crate) fn cell_again(&self, x: i32, y: i32, salt: i32) -> f32 {
        self.cell(x + 89 * salt, y + 53 * salt)
    }

    /// Smooth noise in `[0, 1)` with features of about one unit.
    #[inline]
    pub(crate) fn value(&self, x: f32, y: f32) -> f32 {
        let (i, j) = (floor(x), floor(y));
        let (fx, fy) = (x - i as f32, y - j as f32);
        let (sx, sy) = (fx * fx * (3.0 - 2.0 * fx), fy * fy * (3.0 - 2.0 * fy));
        let top = lerp(self.cell(i, j), self.cell(i + 1, j), sx);
        let bottom = lerp(self.cell(i, j + 1), self.cell(i + 1, j + 1), sx);
        lerp(top, bottom, sy)
    }

    /// Noise of several octaves, each twice as fine and half as strong; in `[0, 1)`, mean one half.
    #[inline]
    pub(crate) fn fractal(&self, x: f32, y: f32, octaves: u32) -> f32 {
        let (mut sum, mut weight, mut total, mut scale) = (0.0, 1.0, 0.0, 1.0);
        for octave in 0..octaves {
            let shift = 17.3 * octave as f32;
            sum += weight * self.value(x * scale + shift, y * scale - shift);
            total += weight;
            weight *= 0.5;
            scale *= 2.03;
        }
        sum / total
    }
}
