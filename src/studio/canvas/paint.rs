//! How boxes, handles, labels, the crosshair and the grid look over a picture.

use boxwright_core::PixelBox;
use egui::{Align2, Color32, FontId, Painter, Pos2, Rect, Shape, Stroke, StrokeKind, Ui, Vec2, pos2, vec2};

use super::tools::Handle;
use super::view::View;
use crate::theme::{on_picture, size, text_on};

/// The height of a label's chip.
const CHIP_HEIGHT: f32 = 18.0;

/// How a box is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// The line.
    pub color: Color32,
    /// Its width in points.
    pub width: f32,
    /// 1, or less for what steps back.
    pub opacity: f32,
    /// Dashes instead of a line.
    pub dashed: bool,
}

/// A box with its dark halo, which keeps it visible on any picture.
pub fn outline(painter: &Painter, rect: Rect, look: Look) {
    if !rect.expand(8.0).intersects(painter.clip_rect()) {
        return;
    }
    // Far outside the screen a stroke is clipped away but would still be tessellated.
    let rect = rect.intersect(painter.clip_rect().expand(16.0));
    let halo = Stroke::new(look.width + 2.0, on_picture::HALO.gamma_multiply(look.opacity));
    let line = Stroke::new(look.width, look.color.gamma_multiply(look.opacity));
    if look.dashed {
        for stroke in [halo, line] {
            let corners = [rect.left_top(), rect.right_top(), rect.right_bottom(), rect.left_bottom(), rect.left_top()];
            painter.extend(Shape::dashed_line(&corners, stroke, 8.0, 5.0));
        }
    } else {
        painter.rect_stroke(rect, 0.0, halo, StrokeKind::Middle);
        painter.rect_stroke(rect, 0.0, line, StrokeKind::Middle);
    }
}

/// The inside of a box, lightly, for the one under the pointer.
pub fn tint(painter: &Painter, rect: Rect, color: Color32) {
    painter.rect_filled(rect, 0.0, color.gamma_multiply(0.12));
}

/// The handles of the chosen box.
pub fn handles(painter: &Painter, view: &View, canvas: Rect, bounds: &PixelBox, color: Color32) {
    let rect = view.rect(bounds, canvas);
    for handle in Handle::ALL {
        // A small box would disappear under the handles of its edges; its corners are enough.
        let is_corner = handle.x != 0 && handle.y != 0;
        let room = if handle.x == 0 { rect.width() } else { rect.height() };
        if !is_corner && room < 4.0 * size::HANDLE {
            continue;
        }
        let at = view.to_screen(handle.position(bounds), canvas);
        let square = Rect::from_center_size(at, Vec2::splat(size::HANDLE));
        painter.rect_filled(square.expand(1.0), 1.0, on_picture::HALO);
        painter.rect_filled(square, 1.0, on_picture::HANDLE);
        painter.rect_stroke(square, 1.0, Stroke::new(1.5, color), StrokeKind::Inside);
    }
}

/// A label on the upper edge of a box, inside where there is no room above.
pub fn chip(painter: &Painter, rect: Rect, text: &str, color: Color32, opacity: f32) {
    let clip = painter.clip_rect();
    if !rect.intersects(clip) {
        return;
    }
    let ink = text_on(color).gamma_multiply(opacity);
    let mut job = egui::text::LayoutJob::simple_singleline(text.to_owned(), FontId::proportional(size::LABEL), ink);
    job.wrap = egui::text::TextWrapping::truncate_at_width(220.0);
    let galley = painter.fonts_mut(|f| f.layout_job(job));
    let chip_size = vec2(galley.size().x + 8.0, CHIP_HEIGHT);
    let left = (rect.left() - 1.0).max(clip.left()).min((clip.right() - chip_size.x).max(clip.left()));
    let above = rect.top() - CHIP_HEIGHT - 1.0;
    let top = if above >= clip.top() { above } else { rect.top().max(clip.top()) + 1.0 };
    let chip_rect = Rect::from_min_size(pos2(left, top), chip_size);
    painter.rect_filled(chip_rect, 2.0, color.gamma_multiply(opacity));
    let at = pos2(chip_rect.left() + 4.0, chip_rect.center().y - galley.size().y / 2.0);
    painter.galley(at, galley, ink);
}

/// Whether a box is wide enough on the screen to carry its label.
pub fn has_room_for_label(rect: Rect) -> bool {
    rect.width() >= size::LABEL_FROM
}

/// A short text on a dark ground beside a point, such as the size of a box that is drawn.
pub fn tag(painter: &Painter, at: Pos2, text: &str) {
    let galley = painter.layout_no_wrap(text.to_owned(), FontId::proportional(size::LABEL), Color32::WHITE);
    let clip = painter.clip_rect();
    let tag_size = galley.size() + vec2(8.0, 4.0);
    let min =
        pos2((at.x + 12.0).min(clip.right() - tag_size.x - 4.0), (at.y + 12.0).min(clip.bottom() - tag_size.y - 4.0));
    painter.rect_filled(Rect::from_min_size(min, tag_size), 2.0, Color32::from_black_alpha(210));
    painter.galley(min + vec2(4.0, 2.0), galley, Color32::WHITE);
}

/// Hairlines through a point, in two tones so that one of them is seen on any picture.
pub fn crosshair(painter: &Painter, at: Pos2) {
    let clip = painter.clip_rect();
    let horizontal = [pos2(clip.left(), at.y), pos2(clip.right(), at.y)];
    let vertical = [pos2(at.x, clip.top()), pos2(at.x, clip.bottom())];
    for line in [horizontal, vertical] {
        painter.line_segment(line, Stroke::new(1.0, on_picture::DARK_LINE));
        painter.extend(Shape::dashed_line(&line, Stroke::new(1.0, on_picture::LIGHT_LINE), 4.0, 4.0));
    }
}

/// The frame of a choice.
pub fn band(painter: &Painter, rect: Rect, color: Color32) {
    painter.rect_filled(rect, 0.0, color.gamma_multiply(0.10));
    outline(painter, rect, Look { color, width: 1.0, opacity: 1.0, dashed: true });
}

/// A grid: single pixels from 8 points a pixel on, else a step of 10, 50, 100 … pixels that leaves
/// at least 40 points between its lines.
pub fn grid(painter: &Painter, picture: Rect, canvas: Rect, zoom: f64) {
    let step = grid_step(zoom) * zoom;
    let visible = picture.intersect(canvas);
    if !visible.is_positive() {
        return;
    }
    let stroke = Stroke::new(1.0, on_picture::GRID);
    let lines = |origin: f32, low: f32, high: f32| {
        let first = (f64::from(low - origin) / step).ceil() as i64;
        let last = (f64::from(high - origin) / step).floor() as i64;
        (first..=last).map(move |i| origin + (i as f64 * step) as f32)
    };
    for x in lines(picture.left(), visible.left(), visible.right()) {
        painter.vline(x, visible.y_range(), stroke);
    }
    for y in lines(picture.top(), visible.top(), visible.bottom()) {
        painter.hline(visible.x_range(), y, stroke);
    }
}

fn grid_step(zoom: f64) -> f64 {
    if zoom >= 8.0 {
        return 1.0;
    }
    let mut step = 10.0;
    let mut factors = [5.0, 2.0].into_iter().cycle();
    while step * zoom < 40.0 {
        step *= factors.next().unwrap_or(2.0);
    }
    step
}

/// A message in the middle of the canvas.
pub fn message(ui: &Ui, canvas: Rect, text: &str, color: Color32) {
    let font = FontId::proportional(size::TEXT);
    let galley = ui.painter().layout(text.to_owned(), font, color, (canvas.width() - 48.0).clamp(100.0, 480.0));
    let rect = Align2::CENTER_CENTER.align_size_within_rect(galley.size(), canvas);
    ui.painter_at(canvas).galley(rect.min, galley, color);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grid_lines_are_never_dense() {
        assert_eq!(grid_step(16.0), 1.0);
        for zoom in [7.9, 4.0, 1.0, 0.3, 0.01] {
            assert!(grid_step(zoom) * zoom >= 40.0, "{zoom}");
        }
        assert_eq!(grid_step(1.0), 50.0);
        assert_eq!(grid_step(0.5), 100.0);
    }
}
