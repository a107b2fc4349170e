//! Where the picture lies on the screen: zoom, pan, and the way from one to the other.
//!
//! Positions in the picture are pixels as `f64` pairs `(x, y)`, as in [`boxwright_core::PixelBox`];
//! positions on the screen are egui points. The zoom is in points a pixel, so that "1:1" depends on
//! the screen's scale: one picture pixel on one physical pixel.

use boxwright_core::{ImageSize, PixelBox};
use egui::{Pos2, Rect, Vec2, pos2};

/// The factor of one notch of the wheel.
pub const NOTCH: f64 = 1.25;
/// The largest zoom, in points a pixel.
pub const MAX_ZOOM: f64 = 64.0;
/// From this zoom on a pixel is shown as a square.
pub const NEAREST_FROM: f64 = 4.0;
/// The free room around a fitted picture, in points.
const MARGIN: f32 = 16.0;

/// The view of one picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// Points a pixel.
    zoom: f64,
    /// The picture position in the middle of the canvas.
    center: (f64, f64),
    /// Whether the view follows the canvas's size until the person zooms or pans.
    fitted: bool,
}

impl Default for View {
    fn default() -> Self {
        Self { zoom: 1.0, center: (0.0, 0.0), fitted: true }
    }
}

impl View {
    /// Points a pixel.
    pub fn zoom(&self) -> f64 {
        self.zoom
    }

    /// The zoom as people read it: 100 is one picture pixel on one physical pixel.
    pub fn percent(&self, pixels_per_point: f32) -> f64 {
        self.zoom * f64::from(pixels_per_point) * 100.0
    }

    /// Keeps the view sensible for this picture and canvas: refits where it was fitted, and else
    /// keeps at least a part of the picture on the screen.
    pub fn settle(&mut self, picture: ImageSize, canvas: Rect) {
        if self.fitted {
            self.fit(picture, canvas);
            return;
        }
        self.zoom = self.zoom.clamp(Self::least_zoom(picture, canvas), MAX_ZOOM);
        self.center.0 = self.center.0.clamp(0.0, f64::from(picture.width));
        self.center.1 = self.center.1.clamp(0.0, f64::from(picture.height));
    }

    /// Shows the whole picture; a small one is blown up, but not to squares.
    pub fn fit(&mut self, picture: ImageSize, canvas: Rect) {
        self.zoom = Self::fit_zoom(picture, canvas);
        self.center = (f64::from(picture.width) / 2.0, f64::from(picture.height) / 2.0);
        self.fitted = true;
    }

    fn fit_zoom(picture: ImageSize, canvas: Rect) -> f64 {
        let room = (canvas.size() - Vec2::splat(2.0 * MARGIN)).max(Vec2::splat(1.0));
        let x = f64::from(room.x) / f64::from(picture.width.max(1));
        let y = f64::from(room.y) / f64::from(picture.height.max(1));
        x.min(y).min(NEAREST_FROM * 0.99)
    }

    fn least_zoom(picture: ImageSize, canvas: Rect) -> f64 {
        (Self::fit_zoom(picture, canvas) / 4.0).min(1.0)
    }

    /// One picture pixel on one physical pixel, around `pointer` or the middle.
    pub fn one_to_one(&mut self, canvas: Rect, pointer: Option<Pos2>, pixels_per_point: f32) {
        let factor = 1.0 / f64::from(pixels_per_point.max(0.1)) / self.zoom;
        self.zoom_by(factor, canvas, pointer.unwrap_or(canvas.center()));
    }

    /// Zooms by whole or partial notches; the picture position under `pointer` stays there.
    pub fn zoom_notches(&mut self, notches: f64, picture: ImageSize, canvas: Rect, pointer: Pos2) {
        let least = Self::least_zoom(picture, canvas);
        let target = (self.zoom * NOTCH.powf(notches)).clamp(least, MAX_ZOOM);
        self.zoom_by(target / self.zoom, canvas, pointer);
    }

    fn zoom_by(&mut self, factor: f64, canvas: Rect, pointer: Pos2) {
        let fixed = self.to_picture(pointer, canvas);
        self.zoom *= factor;
        let offset = pointer - canvas.center();
        self.center = (fixed.0 - f64::from(offset.x) / self.zoom, fixed.1 - f64::from(offset.y) / self.zoom);
        self.fitted = false;
    }

    /// Moves the picture with the pointer.
    pub fn pan(&mut self, points: Vec2) {
        self.center.0 -= f64::from(points.x) / self.zoom;
        self.center.1 -= f64::from(points.y) / self.zoom;
        self.fitted = false;
    }

    /// Brings a box into view: nothing where it is visible already.
    pub fn reveal(&mut self, bounds: &PixelBox, canvas: Rect) {
        if !canvas.contains_rect(self.rect(bounds, canvas)) {
            self.center = bounds.center();
            self.fitted = false;
        }
    }

    /// The picture position under a screen position.
    pub fn to_picture(&self, pos: Pos2, canvas: Rect) -> (f64, f64) {
        let offset = pos - canvas.center();
        (self.center.0 + f64::from(offset.x) / self.zoom, self.center.1 + f64::from(offset.y) / self.zoom)
    }

    /// The screen position of a picture position.
    pub fn to_screen(&self, (x, y): (f64, f64), canvas: Rect) -> Pos2 {
        let middle = canvas.center();
        pos2(middle.x + ((x - self.center.0) * self.zoom) as f32, middle.y + ((y - self.center.1) * self.zoom) as f32)
    }

    /// A box on the screen.
    pub fn rect(&self, bounds: &PixelBox, canvas: Rect) -> Rect {
        Rect::from_min_max(
            self.to_screen((bounds.xmin, bounds.ymin), canvas),
            self.to_screen((bounds.xmax, bounds.ymax), canvas),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICTURE: ImageSize = ImageSize::new(800, 600);

    fn canvas() -> Rect {
        Rect::from_min_size(pos2(100.0, 50.0), Vec2::new(832.0, 632.0))
    }

    fn close(a: (f64, f64), b: (f64, f64)) -> bool {
        (a.0 - b.0).abs() < 1e-3 && (a.1 - b.1).abs() < 1e-3
    }

    #[test]
    fn fit_shows_the_whole_picture_in_the_middle() {
        let mut view = View::default();
        view.settle(PICTURE, canvas());
        assert_eq!(view.zoom(), 1.0);
        let rect = view.rect(&PICTURE.bounds(), canvas());
        assert_eq!(rect.center(), canvas().center());
        assert!(canvas().contains_rect(rect));
    }

    #[test]
    fn the_position_under_the_pointer_stays_while_zooming() {
        let mut view = View::default();
        view.settle(PICTURE, canvas());
        let pointer = pos2(300.0, 200.0);
        let before = view.to_picture(pointer, canvas());
        for notches in [1.0, 1.0, 3.5, -2.0, 20.0] {
            view.zoom_notches(notches, PICTURE, canvas(), pointer);
            assert!(close(view.to_picture(pointer, canvas()), before));
        }
        assert_eq!(view.zoom(), MAX_ZOOM);
    }

    #[test]
    fn a_notch_is_a_quarter() {
        let mut view = View::default();
        view.settle(PICTURE, canvas());
        view.zoom_notches(1.0, PICTURE, canvas(), canvas().center());
        assert!((view.zoom() - 1.25).abs() < 1e-9);
        view.zoom_notches(-100.0, PICTURE, canvas(), canvas().center());
        assert!((view.zoom() - 0.25).abs() < 1e-9);
    }

    #[test]
    fn screen_and_picture_are_inverse() {
        let mut view = View::default();
        view.settle(PICTURE, canvas());
        view.zoom_notches(4.0, PICTURE, canvas(), pos2(222.0, 333.0));
        view.pan(Vec2::new(-31.0, 77.0));
        for at in [(0.0, 0.0), (799.5, 12.25), (-40.0, 900.0)] {
            assert!(close(view.to_picture(view.to_screen(at, canvas()), canvas()), at));
        }
    }

    #[test]
    fn one_to_one_counts_physical_pixels() {
        let mut view = View::default();
        view.settle(PICTURE, canvas());
        view.one_to_one(canvas(), None, 2.0);
        assert!((view.zoom() - 0.5).abs() < 1e-9);
        assert!((view.percent(2.0) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn the_picture_cannot_be_lost() {
        let mut view = View::default();
        view.settle(PICTURE, canvas());
        view.pan(Vec2::new(1e7, -1e7));
        view.settle(PICTURE, canvas());
        assert!(canvas().intersects(view.rect(&PICTURE.bounds(), canvas())));
    }

    #[test]
    fn degenerate_sizes_do_not_divide_by_zero() {
        let mut view = View::default();
        view.settle(ImageSize::new(0, 0), Rect::from_min_size(Pos2::ZERO, Vec2::ZERO));
        assert!(view.zoom().is_finite() && view.zoom() > 0.0);
    }
}
