//! Anti-aliased text into pixels, with the two typefaces that the window has as well.
//!
//! Ubuntu Light for what it knows, Hack for what it lacks (more of Latin, Greek and Cyrillic). A
//! character that neither has is drawn as an empty box.

use ab_glyph::{Font, FontRef, Glyph, PxScale, ScaleFont, point};
use epaint_default_fonts::{HACK_REGULAR, UBUNTU_LIGHT};

/// The longest text that is laid out, in characters.
const MAX_CHARS: usize = 80;

/// A line of text that knows its size.
pub(crate) struct Line {
    glyphs: Vec<(usize, Glyph)>,
    fonts: Vec<FontRef<'static>>,
    /// Its width in pixels.
    pub(crate) width: f32,
    /// Its height in pixels, the same for every text of a size.
    pub(crate) height: f32,
}

impl Line {
    /// Lays out `text` in letters of `size` pixels, cut with "…" where it is wider than `max_width`.
    pub(crate) fn new(text: &str, size: f32, max_width: f32) -> Self {
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_CHARS).collect();
        let whole = Self::lay_out(&text, size);
        if whole.width <= max_width {
            return whole;
        }
        let mut kept: Vec<char> = text.chars().collect();
        while kept.pop().is_some() {
            let shorter: String = kept.iter().chain(&['…']).collect();
            let line = Self::lay_out(&shorter, size);
            if line.width <= max_width {
                return line;
            }
        }
        Self::lay_out("", size)
    }

    fn lay_out(text: &str, size: f32) -> Self {
        let fonts: Vec<FontRef<'static>> =
            [UBUNTU_LIGHT, HACK_REGULAR].into_iter().filter_map(|data| FontRef::try_from_slice(data).ok()).collect();
        let scale = PxScale::from(size);
        let Some(first) = fonts.first() else {
            return Self { glyphs: Vec::new(), fonts, width: 0.0, height: size };
        };
        let (ascent, height) = (first.as_scaled(scale).ascent(), first.as_scaled(scale).height());
        let mut x = 0.0;
        let mut glyphs = Vec::new();
        let mut last = None;
        for c in text.chars() {
            let index = fonts.iter().position(|font| font.glyph_id(c).0 != 0).unwrap_or(0);
            let font = fonts[index].as_scaled(scale);
            let id = font.glyph_id(c);
            if let Some((before, id_before)) = last
                && before == index
            {
                x += font.kern(id_before, id);
            }
            glyphs.push((index, id.with_scale_and_position(scale, point(x, ascent))));
            x += font.h_advance(id);
            last = Some((index, id));
        }
        Self { glyphs, fonts, width: x, height }
    }

    /// Calls `paint` with the column and row, relative to the upper left corner of the line, of each
    /// pixel that the text covers, and how much of it.
    pub(crate) fn draw(&self, mut paint: impl FnMut(i64, i64, f32)) {
        for (font, glyph) in &self.glyphs {
            if let Some(outline) = self.fonts[*font].outline_glyph(glyph.clone()) {
                let corner = outline.px_bounds().min;
                outline.draw(|x, y, covered| {
                    paint(corner.x as i64 + i64::from(x), corner.y as i64 + i64::from(y), covered)
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_sizes_and_are_cut() {
        let line = Line::new("raccoon 97%", 16.0, 1000.0);
        assert!(line.width > 50.0 && line.width < 120.0, "{}", line.width);
        let cut = Line::new("raccoon 97%", 16.0, 40.0);
        assert!(cut.width <= 40.0 && cut.width > 20.0, "{}", cut.width);
        assert_eq!(Line::new("raccoon", 16.0, 1.0).width, 0.0);
        assert_eq!(Line::new("", 16.0, 100.0).height, line.height);
    }

    #[test]
    fn text_covers_pixels_inside_of_its_size() {
        let line = Line::new("Ягуар ő", 20.0, 1000.0);
        let mut covered = 0.0;
        line.draw(|x, y, share| {
            covered += share;
            assert!(x >= -2 && (x as f32) < line.width + 2.0 && y >= -2 && (y as f32) < line.height + 2.0, "{x} {y}");
        });
        assert!(covered > 50.0, "{covered}");
    }
}
