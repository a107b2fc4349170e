//! What lies where: sizes, poses, overlaps and cut-off things, and the boxes that follow from the silhouettes.
//!
//! The rules, in the order in which they apply:
//! 1. One picture in ten (one of every ten consecutive indices) has clutter only.
//! 2. A thing is shaped first and placed then, so its silhouette is known pixel by pixel. Of a thing that is cut
//!    off by the border, a quarter or more of the silhouette stays in the picture.
//! 3. From the top of the heap downwards, a thing of which more than 70 % is hidden under others is taken out.
//! 4. The box of what remains is the extent of the silhouette inside the picture, hidden parts included. It is
//!    `truncated` if the border cuts it, `occluded` if more than 30 % is hidden and `difficult` if it is tiny.

use crate::dice::Dice;
use crate::material::{Finish, Lighting, Material};
use crate::math::{cos, floor, length, sin};
use crate::noise::Noise;
use crate::relief::{Pose, Relief};
use crate::shape::{Bolt, Disc, Form, Gear, Key, Nut, Pencil, Scrap, Slab};
use crate::{CLASS_NAMES, SampleObject};

/// Least share of a silhouette that must lie inside the picture.
const LEAST_INSIDE: f32 = 0.25;
/// A thing that is hidden by more than this share is not in the picture.
const MOST_HIDDEN: f32 = 0.7;
/// A thing that is hidden by more than this share is occluded.
const OCCLUDED: f32 = 0.3;
/// Longest side, in pixels, below which a box is difficult.
const DIFFICULT_SIDE: f64 = 24.0;

/// The pixels that a thing covers by half or more, around the thing's centre.
struct Silhouette {
    left: i32,
    top: i32,
    width: usize,
    mask: Vec<bool>,
    /// Extent as left, top, right, bottom; the last two exclusive.
    bounds: (i32, i32, i32, i32),
    area: usize,
}

impl Silhouette {
    fn of(relief: &Relief) -> Self {
        let (width, height) = (relief.width, relief.height);
        let mut mask = Vec::with_capacity(width * height);
        let mut bounds = (i32::MAX, i32::MAX, i32::MIN, i32::MIN);
        let mut area = 0;
        for row in 0..height {
            for column in 0..width {
                let covered = relief.coverage(column, row) >= 0.5;
                mask.push(covered);
                if covered {
                    let (x, y) = (relief.left + column as i32, relief.top + row as i32);
                    bounds = (bounds.0.min(x), bounds.1.min(y), bounds.2.max(x + 1), bounds.3.max(y + 1));
                    area += 1;
                }
            }
        }
        Self { left: relief.left, top: relief.top, width, mask, bounds, area }
    }

    /// Visits the covered pixels that lie inside a frame when the centre is at `at`.
    fn visit(&self, at: (i32, i32), frame: (usize, usize), mut visit: impl FnMut(usize)) {
        for (index, _) in self.mask.iter().enumerate().filter(|(_, covered)| **covered) {
            let x = at.0 + self.left + (index % self.width) as i32;
            let y = at.1 + self.top + (index / self.width) as i32;
            if x >= 0 && y >= 0 && x < frame.0 as i32 && y < frame.1 as i32 {
                visit(y as usize * frame.0 + x as usize);
            }
        }
    }

    /// The extent of the part inside a frame, in pixels, and its area.
    fn inside(&self, at: (i32, i32), frame: (usize, usize)) -> Option<((i32, i32, i32, i32), usize)> {
        let mut bounds = (i32::MAX, i32::MAX, i32::MIN, i32::MIN);
        let mut area = 0;
        self.visit(at, frame, |pixel| {
            let (x, y) = ((pixel % frame.0) as i32, (pixel / frame.0) as i32);
            bounds = (bounds.0.min(x), bounds.1.min(y), bounds.2.max(x + 1), bounds.3.max(y + 1));
            area += 1;
        });
        (area > 0).then_some((bounds, area))
    }
}

/// A thing at its place.
pub(crate) struct Thing {
    pub relief: Relief,
    pub at: (i32, i32),
    pub finish: Finish,
    /// Height above the table in pixels, from which the shadow falls.
    pub lift: f32,
    pub opacity: f32,
    silhouette: Silhouette,
    class: Option<usize>,
}

impl Thing {
    /// Whether the thing belongs to a class.
    #[cfg(test)]
    pub(crate) fn is_object(&self) -> bool {
        self.class.is_some()
    }
}

/// All things of a picture, the lowest first.
pub(crate) struct Arrangement {
    pub frame: (usize, usize),
    pub lighting: Lighting,
    pub things: Vec<Thing>,
    view: View,
}

/// How the camera stands: not quite above the table.
struct View {
    tilt: f32,
    towards: f32,
}

impl View {
    fn pose(&self, form: &Form, scale: f32, angle: f32) -> Pose {
        let (x, y) = (cos(self.towards), sin(self.towards));
        let wall = form.wall() * scale * self.tilt;
        let lean = 0.0005 * self.tilt;
        Pose {
            scale,
            angle,
            squash: 1.0 - 0.28 * self.tilt * self.tilt,
            squash_angle: self.towards,
            perspective: (-lean * x, -lean * y),
            wall: (wall * x, wall * y),
        }
    }
}

/// The size of a picture: the formats of cameras, a third of them upright.
fn frame_size(dice: &mut Dice) -> (usize, usize) {
    const SIZES: [(usize, usize); 8] =
        [(320, 240), (360, 270), (384, 288), (400, 300), (420, 280), (448, 336), (480, 360), (360, 360)];
    let (width, height) = dice.pick(&SIZES);
    if dice.chance(0.33) { (height, width) } else { (width, height) }
}

/// The longest side of a thing, in pixels of a picture 400 pixels long.
fn size_in_pixels(dice: &mut Dice) -> f32 {
    match dice.weighted(&[0.04, 0.06, 0.42, 0.48]) {
        0 => dice.range(16.0, 36.0),
        1 => dice.range(48.0, 88.0),
        2 => dice.range(88.0, 145.0),
        _ => dice.range(145.0, 230.0),
    }
}

/// How a thing is turned, in parts of a full turn. Long things are mostly laid down in order, along an
/// edge of the table; the rest lie as they fell.
fn turn(form: &Form, dice: &mut Dice) -> f32 {
    let any = dice.unit();
    let (quarter, off) = (dice.below(4) as f32, dice.range(-0.04, 0.04));
    if matches!(form, Form::Bolt(_) | Form::Key(_)) && dice.chance(0.85) { 0.25 * quarter + off } else { any }
}

/// The form and the materials of a thing of a class.
fn of_class(class: usize, dice: &mut Dice) -> (Form, Finish) {
    // What a kind of thing is usually made of, as in a real drawer: zinc bolts, brass gears, buttons of
    // plastic, copper and blackened nuts; one in ten or so is of something else, so that the colour is a hint and no proof.
    let (form, metal_share, usual) = match class {
        0 => (Form::Bolt(Bolt::new(dice)), 0.97, [0.4, 0.52, 0.01, 0.01, 0.03, 0.02, 0.01]),
        1 => (Form::Gear(Gear::new(dice)), 0.96, [0.03, 0.02, 0.84, 0.02, 0.02, 0.05, 0.02]),
        2 => (Form::Disc(Disc::button(dice)), 0.06, [0.3, 0.1, 0.2, 0.1, 0.1, 0.1, 0.1]),
        _ => (Form::Nut(Nut::new(dice)), 0.96, [0.03, 0.02, 0.02, 0.46, 0.44, 0.01, 0.02]),
    };
    let main = if dice.chance(metal_share) { Material::metal_among(dice, &usual) } else { Material::plastic(dice) };
    // The second material: the hub of a gear, the ring of a locking nut.
    let other = if class == 1 { Material::metal(dice) } else { Material::plastic(dice) };
    (form, Finish { parts: [main, other], noise: Noise::new(dice) })
}

impl Arrangement {
    /// The arrangement of picture `index` of a seed.
    pub(crate) fn new(seed: u64, index: usize, dice: &mut Dice) -> Self {
        let frame = frame_size(dice);
        let lighting = Lighting::new(dice);
        let slant = dice.unit();
        let view = View { tilt: 0.75 * slant * slant, towards: 0.25 + dice.range(-0.06, 0.06) };
        let mut arrangement = Self { frame, lighting, things: Vec::new(), view };
        for _ in 0..dice.weighted(&[0.36, 0.34, 0.2, 0.08, 0.02]) {
            arrangement.add_clutter(dice);
        }
        if is_empty(seed, index) {
            for _ in 0..dice.between(0, 2) {
                arrangement.add_clutter(dice);
            }
        } else {
            let count = 1 + dice.weighted(&[0.2, 0.24, 0.22, 0.16, 0.1, 0.08]);
            for nth in 0..count {
                arrangement.add_object(dice, nth == 0);
            }
        }
        if dice.chance(0.3) {
            arrangement.add_clutter(dice);
        }
        arrangement.take_out_hidden();
        arrangement
    }

    fn make(&self, form: &Form, finish: Finish, scale: f32, dice: &mut Dice) -> Thing {
        let relief = Relief::of_form(form, &self.view.pose(form, scale, turn(form, dice)));
        let silhouette = Silhouette::of(&relief);
        Thing { relief, at: (0, 0), finish, lift: form.thickness() * scale, opacity: 1.0, silhouette, class: None }
    }

    fn add_object(&mut self, dice: &mut Dice, first: bool) {
        let class = dice.below(CLASS_NAMES.len());
        let (form, finish) = of_class(class, dice);
        // Long things are longer than round ones are wide.
        let slender = match form {
            Form::Bolt(_) => 1.35,
            Form::Disc(_) => 0.9,
            _ => 1.0,
        };
        let long_side = self.frame.0.max(self.frame.1) as f32;
        let short_side = self.frame.0.min(self.frame.1) as f32;
        let scale = (size_in_pixels(dice) * slender * long_side / 400.0).clamp(16.0, 0.75 * short_side);
        let mut thing = self.make(&form, finish, scale, dice);
        thing.class = Some(class);
        if thing.silhouette.area > 0 && self.find_place(&mut thing, dice, first) {
            self.things.push(thing);
        }
    }

    /// Finds a place for a thing; the first of a picture always gets one.
    fn find_place(&self, thing: &mut Thing, dice: &mut Dice, first: bool) -> bool {
        let manner = dice.weighted(&[0.58, 0.11, if first { 0.0 } else { 0.2 }]);
        let (most_overlap, good_overlap) = if manner == 2 { (0.8, 0.8) } else { (0.4, 0.05) };
        let mut best: Option<(f32, (i32, i32))> = None;
        for _ in 0..24 {
            let at = match manner {
                0 => self.anywhere(&thing.silhouette, dice),
                1 => self.at_the_border(&thing.silhouette, dice),
                _ => self.touching(&thing.silhouette, dice),
            };
            if !self.shows_enough(&thing.silhouette, at) {
                continue;
            }
            let overlap = self.overlap(&thing.silhouette, at);
            if best.is_none_or(|(least, _)| overlap < least) {
                best = Some((overlap, at));
            }
            if overlap <= good_overlap {
                break;
            }
        }
        if best.is_none() && first {
            best = Some((0.0, self.centred(&thing.silhouette)));
        }
        match best {
            Some((overlap, at)) if first || overlap <= most_overlap => {
                thing.at = at;
                true
            }
            _ => false,
        }
    }

    fn centred(&self, silhouette: &Silhouette) -> (i32, i32) {
        let (left, top, right, bottom) = silhouette.bounds;
        ((self.frame.0 as i32 - left - right) / 2, (self.frame.1 as i32 - top - bottom) / 2)
    }

    /// A place inside the picture.
    fn anywhere(&self, silhouette: &Silhouette, dice: &mut Dice) -> (i32, i32) {
        let (left, top, right, bottom) = silhouette.bounds;
        let mut along = |from: i32, to: i32, side: usize| {
            let room = side as i32 - (to - from) - 4;
            if room <= 0 { (side as i32 - from - to) / 2 } else { 2 - from + dice.below(room as usize + 1) as i32 }
        };
        (along(left, right, self.frame.0), along(top, bottom, self.frame.1))
    }

    /// A place where the border cuts the thing.
    fn at_the_border(&self, silhouette: &Silhouette, dice: &mut Dice) -> (i32, i32) {
        let (left, top, right, bottom) = silhouette.bounds;
        let (mut x, mut y) = self.anywhere(silhouette, dice);
        let inside = dice.range(0.35, 0.85);
        let shown = |from: i32, to: i32| floor(inside * (to - from) as f32);
        match dice.below(4) {
            0 => x = shown(left, right) - right,
            1 => x = self.frame.0 as i32 - left - shown(left, right),
            2 => y = shown(top, bottom) - bottom,
            _ => y = self.frame.1 as i32 - top - shown(top, bottom),
        }
        (x, y)
    }

    /// A place on the edge of a thing that is already there.
    fn touching(&self, silhouette: &Silhouette, dice: &mut Dice) -> (i32, i32) {
        let others: Vec<&Thing> = self.things.iter().filter(|thing| thing.class.is_some()).collect();
        if others.is_empty() {
            return self.anywhere(silhouette, dice);
        }
        let other = others[dice.below(others.len())];
        let half =
            |bounds: (i32, i32, i32, i32)| (0.5 * (bounds.2 - bounds.0) as f32, 0.5 * (bounds.3 - bounds.1) as f32);
        let ((aw, ah), (bw, bh)) = (half(other.silhouette.bounds), half(silhouette.bounds));
        let (angle, reach) = (dice.unit(), dice.range(0.35, 0.9));
        (other.at.0 + floor(cos(angle) * reach * (aw + bw)), other.at.1 + floor(sin(angle) * reach * (ah + bh)))
    }

    fn shows_enough(&self, silhouette: &Silhouette, at: (i32, i32)) -> bool {
        silhouette.inside(at, self.frame).is_some_and(|((left, top, right, bottom), area)| {
            area as f32 >= LEAST_INSIDE * silhouette.area as f32 && right - left >= 6 && bottom - top >= 6
        })
    }

    /// The largest share of the smaller box that this thing has in common with another.
    fn overlap(&self, silhouette: &Silhouette, at: (i32, i32)) -> f32 {
        let placed = |bounds: (i32, i32, i32, i32), at: (i32, i32)| {
            (bounds.0 + at.0, bounds.1 + at.1, bounds.2 + at.0, bounds.3 + at.1)
        };
        let area = |b: (i32, i32, i32, i32)| ((b.2 - b.0).max(0) * (b.3 - b.1).max(0)) as f32;
        let mine = placed(silhouette.bounds, at);
        self.things.iter().filter(|thing| thing.class.is_some()).fold(0.0, |most: f32, thing| {
            let b = placed(thing.silhouette.bounds, thing.at);
            let common = area((mine.0.max(b.0), mine.1.max(b.1), mine.2.min(b.2), mine.3.min(b.3)));
            most.max(common / area(mine).min(area(b)))
        })
    }

    /// Adds something that is no class, wholly or partly in the picture.
    fn add_clutter(&mut self, dice: &mut Dice) {
        let unit = self.frame.0.max(self.frame.1) as f32 / 400.0;
        let (form, main, other, size) = match dice.weighted(&[0.22, 0.16, 0.12, 0.2, 0.02, 0.08, 0.16, 0.04]) {
            0 => return self.add_cord(dice),
            1 => {
                let lead = crate::canvas::shown(0.82, 0.64, 0.44);
                let wood = Material::matte(dice, lead);
                (Form::Pencil(Pencil::new(dice)), Material::plastic(dice), wood, dice.range(110.0, 300.0))
            }
            2 => (
                Form::Slab(Slab::ruler(dice)),
                Material::plastic(dice),
                Material::plastic(dice),
                dice.range(160.0, 380.0),
            ),
            3 => {
                (Form::Slab(Slab::label(dice)), Material::paper(dice), Material::plastic(dice), dice.range(50.0, 180.0))
            }
            4 => {
                let disc = Disc::new(dice);
                let main = if disc.is_coin() { Material::metal(dice) } else { Material::plastic(dice) };
                (Form::Disc(disc), main, Material::plastic(dice), dice.range(22.0, 80.0))
            }
            7 => (Form::Key(Key::new(dice)), Material::metal(dice), Material::plastic(dice), dice.range(50.0, 130.0)),
            5 => (
                Form::Slab(Slab::block(dice)),
                Material::plastic(dice),
                Material::plastic(dice),
                dice.range(30.0, 100.0),
            ),
            _ => (Form::Scrap(Scrap::new(dice)), Material::paper(dice), Material::paper(dice), dice.range(30.0, 130.0)),
        };
        let finish = Finish { parts: [main, other], noise: Noise::new(dice) };
        let mut thing = self.make(&form, finish, size * unit, dice);
        if matches!(form, Form::Slab(_)) && dice.chance(0.15) {
            thing.opacity = 0.45;
        }
        thing.at = (dice.below(self.frame.0) as i32, dice.below(self.frame.1) as i32);
        self.things.push(thing);
    }

    /// Adds a cable, a string or a rubber band: a curve through the picture or a closed one in it.
    fn add_cord(&mut self, dice: &mut Dice) {
        let (width, height) = (self.frame.0 as f32, self.frame.1 as f32);
        let radius = dice.range(0.9, 4.5);
        let closed = dice.chance(0.3);
        let (x, y) = (dice.unit() * width, dice.unit() * height);
        let mut path = Vec::new();
        if closed {
            let (a, b, wave) = (dice.range(18.0, 70.0), dice.range(18.0, 70.0), dice.range(0.0, 0.3));
            let (turn, phase) = (dice.unit(), dice.unit());
            for step in 0..=60 {
                let t = step as f32 / 60.0;
                let reach = 1.0 + wave * sin(2.0 * t + phase);
                let (px, py) = (a * cos(t) * reach, b * sin(t) * reach);
                path.push((x + px * cos(turn) - py * sin(turn), y + px * sin(turn) + py * cos(turn)));
            }
        } else {
            let (mut angle, mut bend) = (dice.unit(), 0.0);
            let (mut px, mut py) = (x - 300.0 * cos(angle), y - 300.0 * sin(angle));
            for _ in 0..150 {
                bend = (bend + dice.range(-0.004, 0.004)).clamp(-0.02, 0.02);
                angle += bend;
                (px, py) = (px + 5.0 * cos(angle), py + 5.0 * sin(angle));
                if length(px - x, py - y) < 700.0 {
                    path.push((px, py));
                }
            }
        }
        let relief = Relief::of_cord(&path, radius, self.frame);
        let silhouette = Silhouette::of(&relief);
        let finish = Finish { parts: [Material::plastic(dice); 2], noise: Noise::new(dice) };
        self.things.push(Thing { relief, at: (0, 0), finish, lift: radius, opacity: 1.0, silhouette, class: None });
    }

    /// Shares of the things that are hidden by those above, as `(hidden, area)` in pixels of the picture.
    fn hidden(&self, covered: &mut [bool], thing: &Thing) -> (usize, usize) {
        let (mut hidden, mut area) = (0, 0);
        thing.silhouette.visit(thing.at, self.frame, |pixel| {
            area += 1;
            hidden += usize::from(covered[pixel]);
        });
        if thing.opacity > 0.5 {
            thing.silhouette.visit(thing.at, self.frame, |pixel| covered[pixel] = true);
        }
        (hidden, area)
    }

    /// Rule 3: from the top downwards, so that what is taken out hides nothing.
    fn take_out_hidden(&mut self) {
        let mut covered = vec![false; self.frame.0 * self.frame.1];
        let mut kept = vec![true; self.things.len()];
        for (index, thing) in self.things.iter().enumerate().rev() {
            let before = if thing.class.is_some() { Some(covered.clone()) } else { None };
            let (hidden, area) = self.hidden(&mut covered, thing);
            if let Some(before) = before
                && hidden as f32 > MOST_HIDDEN * area as f32
            {
                kept[index] = false;
                covered = before;
            }
        }
        let mut kept = kept.into_iter();
        self.things.retain(|_| kept.next().unwrap_or(true));
    }

    /// Rule 4: the boxes, in the order in which the things lie.
    pub(crate) fn objects(&self) -> Vec<SampleObject> {
        let mut covered = vec![false; self.frame.0 * self.frame.1];
        let mut objects = Vec::new();
        for thing in self.things.iter().rev() {
            let (hidden, area) = self.hidden(&mut covered, thing);
            let Some(class) = thing.class else { continue };
            let Some(((left, top, right, bottom), _)) = thing.silhouette.inside(thing.at, self.frame) else { continue };
            let (xmin, ymin) = (f64::from(left), f64::from(top));
            let (xmax, ymax) = (f64::from(right), f64::from(bottom));
            objects.push(SampleObject {
                class,
                ymin,
                xmin,
                ymax,
                xmax,
                truncated: area < thing.silhouette.area,
                occluded: hidden as f32 > OCCLUDED * area as f32,
                difficult: (xmax - xmin).max(ymax - ymin) < DIFFICULT_SIDE,
            });
        }
        objects.reverse();
        objects
    }
}

/// Rule 1: one picture of each ten, at a place that the seed chooses for each ten anew.
fn is_empty(seed: u64, index: usize) -> bool {
    let ten = (index / 10) as u64;
    let chosen = Dice::new(seed ^ 0x5E_ED0F_E397, ten).below(10);
    index % 10 == chosen
}
