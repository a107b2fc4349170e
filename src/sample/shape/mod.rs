//! The forms of things, seen from above, each in its own unit space where its longest side is about one.
//!
//! A form answers for any point how far the outline is (negative inside) and, inside, how high the surface
//! stands. That is all that painting needs: the distance gives a smooth edge, the height gives the
//! direction of the surface and with it light and shade. Colour is not a property of the form, so a class can
//! be told by its shape alone.

mod bolt;
mod clutter;
mod gear;
mod key;
mod nut;

pub(crate) use bolt::Bolt;
pub(crate) use clutter::{Disc, Pencil, Scrap, Slab};
pub(crate) use gear::Gear;
pub(crate) use key::Key;
pub(crate) use nut::Nut;

/// What a form is at one point.
#[derive(Clone, Copy)]
pub(crate) struct Surface {
    /// Signed distance to the outline, about exact near it.
    pub distance: f32,
    /// Height of the surface above the table; of interest only inside.
    pub height: f32,
    /// Factor on the colour: below one for recesses and dark marks.
    pub tone: f32,
    /// Which of the two materials of the thing: 0 or 1.
    pub part: u8,
}

impl Surface {
    /// A surface of the first material in full colour.
    fn plain(distance: f32, height: f32) -> Self {
        Self { distance, height, tone: 1.0, part: 0 }
    }
}

/// Any form that can be painted.
pub(crate) enum Form {
    Bolt(Bolt),
    Gear(Gear),
    Key(Key),
    Nut(Nut),
    Pencil(Pencil),
    Slab(Slab),
    Scrap(Scrap),
    Disc(Disc),
}

impl Form {
    /// The surface at a point of unit space.
    #[inline]
    pub(crate) fn surface(&self, u: f32, v: f32) -> Surface {
        match self {
            Form::Bolt(form) => form.surface(u, v),
            Form::Gear(form) => form.surface(u, v),
            Form::Key(form) => form.surface(u, v),
            Form::Nut(form) => form.surface(u, v),
            Form::Pencil(form) => form.surface(u, v),
            Form::Slab(form) => form.surface(u, v),
            Form::Scrap(form) => form.surface(u, v),
            Form::Disc(form) => form.surface(u, v),
        }
    }

    /// Half sides of a rectangle around the origin of unit space that holds the form.
    pub(crate) fn half_sides(&self) -> (f32, f32) {
        match self {
            Form::Bolt(form) => form.half_sides(),
            Form::Gear(_) | Form::Nut(_) | Form::Disc(_) | Form::Scrap(_) => (0.51, 0.51),
            Form::Key(form) => form.half_sides(),
            Form::Pencil(form) => form.half_sides(),
            Form::Slab(form) => form.half_sides(),
        }
    }
}

impl Form {
    /// How far the top of the thing stands above the table, in units; its shadow falls from there.
    pub(crate) fn thickness(&self) -> f32 {
        match self {
            Form::Bolt(_) => 0.16,
            Form::Gear(_) => 0.09,
            Form::Nut(_) => 0.2,
            Form::Key(_) => 0.03,
            Form::Pencil(_) => 0.04,
            Form::Slab(form) => form.thickness(),
            Form::Scrap(_) => 0.03,
            Form::Disc(_) => 0.06,
        }
    }

    /// The height of the upright side that shows at a slant, in units; round things have none.
    pub(crate) fn wall(&self) -> f32 {
        match self {
            Form::Bolt(_) | Form::Pencil(_) | Form::Scrap(_) => 0.0,
            _ => self.thickness(),
        }
    }
}

/// The height of a rounded edge `inside` units in from the outline: steep at the rim, level after `width`.
#[inline]
fn bevel(inside: f32, width: f32) -> f32 {
    let t = (inside / width).clamp(0.0, 1.0);
    width * t * (2.0 - t)
}
