//! From a form to a relief: for every pixel how much of it the thing covers, and how high it stands.
//!
//! Small things are sampled several times a pixel, so a gear of twenty pixels still has its teeth as shades of
//! grey. A relief does not know where in the picture it will lie: it is made once, measured, and then placed,
//! and its silhouette is exactly the one from which the box is taken.

use crate::math::{cos, floor, length, sin};
use crate::shape::Form;

/// The material number of the wall that a thick thing shows when it is seen at a slant.
pub(crate) const WALL: u8 = 2;

/// How a form lies on the table and how the camera sees it.
pub(crate) struct Pose {
    /// Pixels a unit.
    pub scale: f32,
    /// Direction of the u axis, in turns.
    pub angle: f32,
    /// Foreshortening (at most one) across `squash_angle`.
    pub squash: f32,
    /// Direction of the foreshortening, in turns.
    pub squash_angle: f32,
    /// How much larger the near side appears, a pixel.
    pub perspective: (f32, f32),
    /// The visible side wall: the shift from the upper to the lower edge, in pixels.
    pub wall: (f32, f32),
}

/// One sample of a relief.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// Share of the sample that is covered, from 0 to 1.
    pub coverage: f32,
    /// Height in samples.
    pub height: f32,
    /// Factor on the colour.
    pub tone: f32,
    /// Material number.
    pub part: u8,
}

const NOTHING: Sample = Sample { coverage: 0.0, height: 0.0, tone: 1.0, part: 0 };

/// A grid of samples, `oversampling` a pixel each way, its corner at pixel `(left, top)` from the thing's centre.
pub(crate) struct Relief {
    pub left: i32,
    pub top: i32,
    /// Size in pixels.
    pub width: usize,
    pub height: usize,
    pub oversampling: usize,
    pub samples: Vec<Sample>,
    /// Unit vector down the side wall, zero where there is none.
    pub wall: (f32, f32),
}

/// Samples a pixel and axis for a thing of about `size` pixels.
fn oversampling(size: f32) -> usize {
    match size {
        size if size < 32.0 => 4,
        size if size < 56.0 => 3,
        size if size < 110.0 => 2,
        _ => 1,
    }
}

impl Relief {
    /// The relief of a form in a pose.
    pub(crate) fn of_form(form: &Form, pose: &Pose) -> Self {
        let (half_u, half_v) = form.half_sides();
        let (s, c) = (sin(pose.angle), cos(pose.angle));
        let (ss, sc) = (sin(pose.squash_angle), cos(pose.squash_angle));
        let reach_x = (half_u * c.abs() + half_v * s.abs()) * pose.scale * 1.1 + pose.wall.0.abs() + 2.0;
        let reach_y = (half_u * s.abs() + half_v * c.abs()) * pose.scale * 1.1 + pose.wall.1.abs() + 2.0;
        let (left, top) = (-floor(reach_x) - 1, -floor(reach_y) - 1);
        let mut relief = Self::empty(left, top, (-2 * left) as usize, (-2 * top) as usize, oversampling(pose.scale));
        let fine = relief.oversampling as f32;
        let to_samples = pose.scale * fine;
        let margin = 1.5 / pose.scale;
        let columns = relief.width * relief.oversampling;
        let squeeze = 1.0 / pose.squash - 1.0;
        // Foreshortening and perspective move a point by at most this much away from the turned rectangle.
        let diagonal = length(half_u, half_v) * pose.scale;
        let lean = length(pose.perspective.0, pose.perspective.1);
        let slack = (1.0 - pose.squash + lean * diagonal) * diagonal + 2.0;
        let reach = (half_u * pose.scale + slack, half_v * pose.scale + slack);
        for (row, line) in relief.samples.chunks_exact_mut(columns).enumerate() {
            let y = (row as f32 + 0.5) / fine + top as f32;
            // Only the part of the row that crosses the turned rectangle can hold anything.
            let (from, to) = crossing(y, (s, c), reach);
            let first = floor((from - left as f32) * fine).clamp(0, columns as i32) as usize;
            let last = (floor((to - left as f32) * fine) + 1).clamp(0, columns as i32) as usize;
            for (column, sample) in line.iter_mut().enumerate().take(last).skip(first) {
                let x = (column as f32 + 0.5) / fine + left as f32;
                let across = (x * sc + y * ss) * squeeze;
                let nearer = 1.0 + pose.perspective.0 * x + pose.perspective.1 * y;
                let (px, py) = ((x + across * sc) * nearer, (y + across * ss) * nearer);
                let (u, v) = ((px * c + py * s) / pose.scale, (py * c - px * s) / pose.scale);
                if u.abs() > half_u + margin || v.abs() > half_v + margin {
                    continue;
                }
                let surface = form.surface(u, v);
                let coverage = (0.5 - surface.distance * to_samples).clamp(0.0, 1.0);
                if coverage > 0.0 {
                    let height = surface.height * to_samples;
                    *sample = Sample { coverage, height, tone: surface.tone, part: surface.part };
                }
            }
        }
        relief.add_wall(pose.wall);
        relief
    }

    /// The relief of a round cord along a path of points in picture coordinates; the centre is the picture's origin.
    pub(crate) fn of_cord(path: &[(f32, f32)], radius: f32, frame: (usize, usize)) -> Self {
        let reach = floor(radius) + 2;
        let (mut left, mut top, mut right, mut bottom) = (i32::MAX, i32::MAX, i32::MIN, i32::MIN);
        for &(x, y) in path {
            left = left.min(floor(x) - reach);
            top = top.min(floor(y) - reach);
            right = right.max(floor(x) + reach);
            bottom = bottom.max(floor(y) + reach);
        }
        let (left, top) = (left.max(-8), top.max(-8));
        let (right, bottom) = (right.min(frame.0 as i32 + 8), bottom.min(frame.1 as i32 + 8));
        if right <= left || bottom <= top {
            return Self::empty(0, 0, 0, 0, 1);
        }
        let mut relief = Self::empty(left, top, (right - left) as usize, (bottom - top) as usize, 1);
        for pair in path.windows(2) {
            let steps = floor(length(pair[1].0 - pair[0].0, pair[1].1 - pair[0].1) * 1.5) + 1;
            for step in 0..steps {
                let t = step as f32 / steps as f32;
                let x = pair[0].0 + (pair[1].0 - pair[0].0) * t;
                let y = pair[0].1 + (pair[1].1 - pair[0].1) * t;
                relief.stamp(x, y, radius);
            }
        }
        relief
    }

    fn empty(left: i32, top: i32, width: usize, height: usize, oversampling: usize) -> Self {
        let samples = vec![NOTHING; width * height * oversampling * oversampling];
        Self { left, top, width, height, oversampling, samples, wall: (0.0, 0.0) }
    }

    /// Puts a ball into the relief; a row of them is a cord.
    fn stamp(&mut self, x: f32, y: f32, radius: f32) {
        let reach = floor(radius) + 2;
        let (column, row) = (floor(x), floor(y));
        for j in (row - reach).max(self.top)..(row + reach).min(self.top + self.height as i32) {
            for i in (column - reach).max(self.left)..(column + reach).min(self.left + self.width as i32) {
                let away = length(i as f32 + 0.5 - x, j as f32 + 0.5 - y);
                let coverage = (radius - away + 0.5).clamp(0.0, 1.0);
                let at = (j - self.top) as usize * self.width + (i - self.left) as usize;
                let sample = &mut self.samples[at];
                if coverage > sample.coverage {
                    sample.coverage = coverage;
                }
                let height = (radius * radius - away * away).max(0.0).sqrt();
                if height > sample.height {
                    sample.height = height;
                }
            }
        }
    }

    /// Lets the side of a thick thing show: the upper face is swept along the wall, and what only the sweep covers is wall.
    fn add_wall(&mut self, wall: (f32, f32)) {
        let drop = length(wall.0, wall.1);
        if drop < 0.4 {
            return;
        }
        self.wall = (wall.0 / drop, wall.1 / drop);
        let fine = self.oversampling as i32;
        let (columns, rows) = (self.width as i32 * fine, self.height as i32 * fine);
        let steps = floor(drop * fine as f32 + 0.5).max(1);
        let face = self.samples.clone();
        for row in 0..rows {
            for column in 0..columns {
                let at = (row * columns + column) as usize;
                if face[at].coverage >= 1.0 {
                    continue;
                }
                let mut best = 0.0f32;
                for step in 1..=steps {
                    let (i, j) = (column - round(self.wall.0 * step as f32), row - round(self.wall.1 * step as f32));
                    if i >= 0 && j >= 0 && i < columns && j < rows {
                        best = best.max(face[(j * columns + i) as usize].coverage);
                    }
                }
                if best > face[at].coverage {
                    self.samples[at] = Sample { coverage: best, height: 0.0, tone: 1.0, part: WALL };
                }
            }
        }
    }

    /// The share of a pixel that the thing covers.
    pub(crate) fn coverage(&self, column: usize, row: usize) -> f32 {
        let fine = self.oversampling;
        let mut sum = 0.0;
        for j in 0..fine {
            let from = (row * fine + j) * self.width * fine + column * fine;
            sum += self.samples[from..from + fine].iter().map(|sample| sample.coverage).sum::<f32>();
        }
        sum / (fine * fine) as f32
    }
}

/// The part of the horizontal line at `y` inside a rectangle around the origin that is turned by an angle with the given
/// sine and cosine; empty parts come out with the end before the start.
fn crossing(y: f32, (s, c): (f32, f32), (reach_u, reach_v): (f32, f32)) -> (f32, f32) {
    let (mut from, mut to) = (-1.0e4f32, 1.0e4f32);
    // |x c + y s| <= reach_u and |x s - y c| <= reach_v
    for (slope, offset, reach) in [(c, y * s, reach_u), (s, -y * c, reach_v)] {
        if slope.abs() > 1e-3 {
            let (a, b) = ((-reach - offset) / slope, (reach - offset) / slope);
            from = from.max(a.min(b));
            to = to.min(a.max(b));
        }
    }
    (from, to)
}

fn round(x: f32) -> i32 {
    floor(x + 0.5)
}
