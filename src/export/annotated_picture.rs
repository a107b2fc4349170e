//! Boxes and labels on a picture.
//!
//! Lines grow with the picture, so that a thumbnail and a photograph of 50 megapixels look alike; a
//! thin dark halo keeps them visible on any background. Labels sit above their box, or wherever else
//! they fit without covering another label.

use boxwright_core::PixelBox;
use boxwright_formats::picture::Picture;

use crate::palette::text_color;
use crate::text::Line;

/// How a box is outlined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LineStyle {
    /// One line: what was found or annotated.
    #[default]
    Solid,
    /// Dashes: what should be there and was not found.
    Dashed,
}

/// One box to draw.
#[derive(Clone, Debug, PartialEq)]
pub struct DrawnBox {
    /// Its place; what lies outside of the picture is not drawn.
    pub bounds: PixelBox,
    /// Its colour.
    pub color: [u8; 3],
    /// Its label; nothing is written where it is empty.
    pub label: String,
    /// Its outline.
    pub style: LineStyle,
}

/// `raccoon 97%`.
pub fn label_with_score(name: &str, score: f32) -> String {
    format!("{name} {:.0}%", f64::from(score.clamp(0.0, 1.0)) * 100.0)
}

/// A copy of the picture with the boxes drawn in, in their order; labels lie over all lines.
pub fn draw(picture: &Picture, boxes: &[DrawnBox]) -> Picture {
    let mut canvas = Canvas { picture: picture.clone() };
    let look = Look::of(picture);
    let visible: Vec<(&DrawnBox, Area)> =
        boxes.iter().filter_map(|drawn| Some((drawn, canvas.visible_part(&drawn.bounds)?))).collect();
    for (drawn, area) in &visible {
        canvas.outline(*area, drawn.color, drawn.style, look);
    }
    let mut chips: Vec<Area> = Vec::new();
    for (drawn, area) in &visible {
        canvas.label(*area, drawn, look, &mut chips);
    }
    canvas.picture
}

/// Sizes that depend on the picture.
#[derive(Clone, Copy)]
struct Look {
    stroke: i64,
    halo: i64,
    text: f32,
}

impl Look {
    fn of(picture: &Picture) -> Self {
        let longer = picture.size.width.max(picture.size.height);
        let stroke = (i64::from(longer) + 250) / 500;
        let stroke = stroke.clamp(2, 40);
        Self { stroke, halo: (stroke + 1) / 2, text: (longer as f32 / 48.0).clamp(12.0, 240.0) }
    }
}

/// Whole pixels: from the first column and row to those after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Area {
    left: i64,
    top: i64,
    right: i64,
    bottom: i64,
}

impl Area {
    fn grown(self, by: i64) -> Self {
        Self { left: self.left - by, top: self.top - by, right: self.right + by, bottom: self.bottom + by }
    }

    fn overlaps(self, other: Self) -> bool {
        self.left < other.right && other.left < self.right && self.top < other.bottom && other.top < self.bottom
    }

    fn contains(self, other: Self) -> bool {
        self.left <= other.left && self.top <= other.top && self.right >= other.right && self.bottom >= other.bottom
    }
}

struct Canvas {
    picture: Picture,
}

impl Canvas {
    fn area(&self) -> Area {
        Area { left: 0, top: 0, right: i64::from(self.picture.size.width), bottom: i64::from(self.picture.size.height) }
    }

    /// The part of a box that lies in the picture, at least one pixel large.
    fn visible_part(&self, b: &PixelBox) -> Option<Area> {
        let whole = self.area();
        if ![b.ymin, b.xmin, b.ymax, b.xmax].iter().all(|v| v.is_finite()) || whole.right == 0 || whole.bottom == 0 {
            return None;
        }
        let (right, bottom) = (whole.right as f64, whole.bottom as f64);
        if b.xmax < 0.0 || b.ymax < 0.0 || b.xmin > right || b.ymin > bottom || b.xmin > b.xmax || b.ymin > b.ymax {
            return None;
        }
        let column = |v: f64| v.clamp(0.0, right).round() as i64;
        let row = |v: f64| v.clamp(0.0, bottom).round() as i64;
        let (left, top) = (column(b.xmin).min(whole.right - 1), row(b.ymin).min(whole.bottom - 1));
        Some(Area { left, top, right: column(b.xmax).max(left + 1), bottom: row(b.ymax).max(top + 1) })
    }

    fn blend(&mut self, x: i64, y: i64, color: [u8; 3], alpha: f32) {
        let Area { right, bottom, .. } = self.area();
        if x < 0 || y < 0 || x >= right || y >= bottom {
            return;
        }
        let at = ((y * right + x) * 3) as usize;
        let Some(pixel) = self.picture.rgb.get_mut(at..at + 3) else { return };
        for (value, target) in pixel.iter_mut().zip(color) {
            let mixed = f32::from(*value) + (f32::from(target) - f32::from(*value)) * alpha.clamp(0.0, 1.0);
            *value = mixed.round() as u8;
        }
    }

    fn fill(&mut self, area: Area, color: [u8; 3], alpha: f32) {
        let whole = self.area();
        for y in area.top.max(0)..area.bottom.min(whole.bottom) {
            for x in area.left.max(0)..area.right.min(whole.right) {
                self.blend(x, y, color, alpha);
            }
        }
    }

    /// The four sides of a box: the stroke inside its edge, so that a box at the picture's border is
    /// seen whole, and the halo on both sides of the stroke.
    fn outline(&mut self, area: Area, color: [u8; 3], style: LineStyle, look: Look) {
        let stroke = look.stroke;
        for (alpha, color, ring, width) in
            [(0.45, [0, 0, 0], area.grown(look.halo), stroke + 2 * look.halo), (1.0, color, area, stroke)]
        {
            let Area { left, top, right, bottom } = ring;
            let (inner_top, inner_bottom) = ((top + width).min(bottom), (bottom - width).max(top));
            // No pixel twice, or the halo would be darker at the corners and where sides meet.
            let upper = Area { left, top, right, bottom: inner_top };
            let lower = Area { left, top: inner_bottom.max(inner_top), right, bottom };
            let (side_top, side_bottom) = (upper.bottom, lower.top);
            let left_side = Area { left, top: side_top, right: (left + width).min(right), bottom: side_bottom };
            let right_side =
                Area { left: (right - width).max(left_side.right), top: side_top, right, bottom: side_bottom };
            for side in [upper, lower] {
                self.side(side, style, look, color, alpha, true);
            }
            for side in [left_side, right_side] {
                self.side(side, style, look, color, alpha, false);
            }
        }
    }

    fn side(&mut self, side: Area, style: LineStyle, look: Look, color: [u8; 3], alpha: f32, horizontal: bool) {
        if style == LineStyle::Solid {
            self.fill(side, color, alpha);
            return;
        }
        // Counted from the corner of the picture, so that halo and stroke have the same dashes.
        let (dash, period) = (look.stroke * 4, look.stroke * 7);
        let (from, to) = if horizontal { (side.left, side.right) } else { (side.top, side.bottom) };
        let mut start = from.div_euclid(period) * period;
        while start < to {
            let (first, last) = (start.max(from), (start + dash).min(to));
            let part = if horizontal {
                Area { left: first, right: last, ..side }
            } else {
                Area { top: first, bottom: last, ..side }
            };
            self.fill(part, color, alpha);
            start += period;
        }
    }

    /// A chip in the colour of the box with its text; `chips` are those that are there already.
    fn label(&mut self, area: Area, drawn: &DrawnBox, look: Look, chips: &mut Vec<Area>) {
        let whole = self.area();
        let padding = (look.text / 4.0).ceil();
        let line = Line::new(&drawn.label, look.text, whole.right as f32 - 2.0 * padding);
        if line.width <= 0.0 {
            return;
        }
        let (width, height) = ((line.width + 2.0 * padding).ceil() as i64, (line.height + padding).ceil() as i64);
        let left = area.left.min(whole.right - width).max(0);
        let tops = [area.top - height, area.top, area.bottom, area.bottom - height];
        let places = tops.map(|top| Area { left, top, right: left + width, bottom: top + height });
        let inside = |place: &&Area| whole.contains(**place);
        let free = |place: &&Area| !chips.iter().any(|chip| chip.overlaps(**place));
        let place = places.iter().filter(inside).find(free).or_else(|| places.iter().find(inside)).copied();
        // A picture lower than its label shows the label's upper part.
        let place = place.unwrap_or(Area { top: 0, bottom: height, ..places[0] });
        self.fill(place, drawn.color, 0.92);
        let ink = text_color(drawn.color);
        let (x0, y0) = (place.left + padding as i64, place.top + (padding / 2.0).round() as i64);
        let mut dots = Vec::new();
        line.draw(|x, y, covered| dots.push((x, y, covered)));
        for (x, y, covered) in dots {
            // A light typeface in small letters covers no pixel whole; this gives it weight.
            self.blend(x0 + x, y0 + y, ink, covered.powf(0.6));
        }
        chips.push(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use boxwright_core::ImageSize;

    const GREY: [u8; 3] = [128; 3];
    const RED: [u8; 3] = [220, 20, 20];

    fn boxed(ymin: f64, xmin: f64, ymax: f64, xmax: f64) -> DrawnBox {
        DrawnBox {
            bounds: PixelBox::new(ymin, xmin, ymax, xmax),
            color: RED,
            label: String::new(),
            style: LineStyle::Solid,
        }
    }

    fn grey(width: u32, height: u32) -> Picture {
        Picture::filled(ImageSize::new(width, height), GREY)
    }

    fn count(picture: &Picture, color: [u8; 3]) -> usize {
        picture.rgb.chunks_exact(3).filter(|pixel| *pixel == color).count()
    }

    #[test]
    fn the_stroke_lies_on_the_edge_with_a_halo_around() {
        let drawn = draw(&grey(100, 80), &[boxed(20.0, 30.0, 60.0, 70.0)]);
        for (x, y) in [(30, 20), (31, 21), (69, 59), (50, 20), (30, 40), (69, 40)] {
            assert_eq!(drawn.pixel(x, y), Some(RED), "{x} {y}");
        }
        // 40 × 40 with sides of 2 pixels.
        assert_eq!(count(&drawn, RED), 40 * 40 - 36 * 36);
        let halo = drawn.pixel(29, 40).expect("inside");
        assert!(halo[0] < 128 && halo == drawn.pixel(29, 19).expect("inside"), "{halo:?}");
        assert_eq!(drawn.pixel(50, 40), Some(GREY));
        assert_eq!(drawn.pixel(10, 10), Some(GREY));
    }

    #[test]
    fn dashes_have_gaps() {
        let solid = draw(&grey(100, 80), &[boxed(20.0, 10.0, 60.0, 90.0)]);
        let dashed = draw(&grey(100, 80), &[DrawnBox { style: LineStyle::Dashed, ..boxed(20.0, 10.0, 60.0, 90.0) }]);
        let share = count(&dashed, RED) as f64 / count(&solid, RED) as f64;
        assert!((0.4..0.75).contains(&share), "{share}");
        assert_eq!(draw(&grey(9, 9), &[]), grey(9, 9));
    }

    #[test]
    fn labels_are_written_where_there_is_room() {
        let label = |b: DrawnBox| DrawnBox { label: label_with_score("cat", 0.873), ..b };
        assert_eq!(label(boxed(0.0, 0.0, 1.0, 1.0)).label, "cat 87%");
        let above = draw(&grey(200, 100), &[label(boxed(50.0, 20.0, 90.0, 80.0))]);
        assert!(above.pixel(21, 44).is_some_and(|p| p[0] > 180 && p[1] < 60), "{:?}", above.pixel(21, 44));
        let below_the_edge = draw(&grey(200, 100), &[label(boxed(0.0, 20.0, 90.0, 80.0))]);
        assert!(below_the_edge.pixel(22, 8).is_some_and(|p| p[0] > 180), "{:?}", below_the_edge.pixel(22, 8));
        // Two boxes at one place: the second label goes elsewhere.
        let one = draw(&grey(200, 100), &[label(boxed(50.0, 20.0, 90.0, 80.0))]);
        let two = draw(&grey(200, 100), &[label(boxed(50.0, 20.0, 90.0, 80.0)), label(boxed(50.0, 20.0, 90.0, 80.0))]);
        assert!(one != two);
        // White text on red.
        assert!(above.rgb.chunks_exact(3).any(|p| p.iter().all(|&v| v > 170)));
    }

    #[test]
    fn boxes_of_every_kind_are_survived() {
        let odd = [
            boxed(f64::NAN, 0.0, 1.0, 1.0),
            boxed(-1e300, -1e300, 1e300, 1e300),
            boxed(5.0, 5.0, 5.0, 5.0),
            boxed(9.0, 9.0, 1.0, 1.0),
            boxed(500.0, 500.0, 600.0, 600.0),
            boxed(7.9, 7.9, 8.0, 8.0),
        ];
        for size in [(1, 1), (8, 8), (3, 200), (0, 0)] {
            let picture =
                Picture { size: ImageSize::new(size.0, size.1), rgb: vec![9; (size.0 * size.1 * 3) as usize] };
            let named: Vec<DrawnBox> =
                odd.iter().map(|b| DrawnBox { label: "a very long name ☃".repeat(20), ..b.clone() }).collect();
            let drawn = draw(&picture, &named);
            assert_eq!((drawn.size, drawn.rgb.len()), (picture.size, picture.rgb.len()));
        }
    }
}
