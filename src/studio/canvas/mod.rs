//! The canvas: a picture that is zoomed and panned, and what is painted over it.
//!
//! [`view`] is where the picture lies, [`tools`] is what the pointer does to boxes, [`paint`] is how
//! boxes look. [`Stage`] puts the picture on the screen and moves the view; Annotate and Review
//! each paint their own boxes over it.

pub mod paint;
pub mod tools;
pub mod view;

use std::path::Path;

use boxwright_core::{ImageId, ImageSize, PixelBox};
use egui::{Key, PointerButton, Pos2, Rect, Response, Sense, Ui, vec2};

use crate::picture_cache::{PictureCache, Status, Urgency};
use crate::theme::Theme;
use view::{NEAREST_FROM, View};

/// How many points of a touchpad are one notch of a wheel.
const POINTS_A_NOTCH: f32 = 50.0;
/// How far a notch scrolls sideways, in points.
const SIDEWAYS: f32 = 60.0;

/// The view of one station, and the keys and buttons that move it.
#[derive(Default)]
pub struct Stage {
    /// Where the picture lies.
    pub view: View,
    /// The image that the view belongs to.
    image: Option<ImageId>,
    /// Where the canvas was in the last frame.
    rect: Option<Rect>,
    /// The pointer in the last frame, if it was over the canvas.
    pointer: Option<Pos2>,
    /// The space bar was used to pan, so its release means nothing.
    panned_with_space: bool,
    /// A box to bring into view once the canvas's size is known.
    reveal: Option<PixelBox>,
}

/// What the stage tells the station that paints over it.
pub struct Staged {
    /// The canvas.
    pub rect: Rect,
    /// The press and the drags that are not the view's.
    pub response: Response,
    /// The pointer, if it is over the canvas.
    pub pointer: Option<Pos2>,
    /// The view is being panned: the tools rest.
    pub panning: bool,
}

impl Stage {
    /// Shows a picture in all the room there is.
    pub fn show(
        &mut self,
        ui: &mut Ui,
        pictures: &mut PictureCache,
        image: (ImageId, ImageSize, &Path),
        name: &str,
        grid: bool,
    ) -> Staged {
        let theme = Theme::of(ui.ctx());
        let (id, size, path) = image;
        let (rect, response) =
            ui.allocate_exact_size(ui.available_size().max(vec2(64.0, 64.0)), Sense::click_and_drag());
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Canvas, ui.is_enabled(), name));
        ui.painter().rect_filled(rect, 0.0, theme.canvas);

        if self.image != Some(id) {
            self.image = Some(id);
            self.view.fit(size, rect);
        }
        self.view.settle(size, rect);
        let panning = self.move_view(ui, &response, rect, size);
        self.view.settle(size, rect);
        if let Some(bounds) = self.reveal.take() {
            self.view.reveal(&bounds, rect);
        }
        self.rect = Some(rect);
        self.pointer = response.hover_pos().filter(|pos| rect.contains(*pos));

        let painter = ui.painter_at(rect);
        let shown = self.view.rect(&size.bounds(), rect);
        match pictures.whole(path, Urgency::Now) {
            Status::Ready(picture) => {
                picture.paint(&painter, shown, ui.pixels_per_point(), self.view.zoom() >= NEAREST_FROM);
            }
            Status::Failed(why) => paint::message(ui, rect, why, theme.error),
            Status::Waiting => match pictures.thumb_if_ready(path) {
                Some(texture) => {
                    let uv = Rect::from_min_max(egui::pos2(0.0, 0.0), egui::pos2(1.0, 1.0));
                    painter.image(texture.id(), shown, uv, egui::Color32::WHITE);
                }
                None => drop(painter.rect_filled(shown, 0.0, theme.panel)),
            },
        }
        if grid {
            paint::grid(&painter, shown, rect, self.view.zoom());
        }
        Staged { rect, pointer: self.pointer, response, panning }
    }

    /// Brings a box into view as soon as its picture is shown.
    pub fn reveal(&mut self, bounds: PixelBox) {
        self.reveal = Some(bounds);
    }

    /// Where the canvas was in the last frame.
    pub fn rect(&self) -> Option<Rect> {
        self.rect
    }

    /// The picture position under the pointer, if it is over the canvas.
    pub fn pointer_in_picture(&self) -> Option<(f64, f64)> {
        Some(self.view.to_picture(self.pointer?, self.rect?))
    }

    /// Zooms by notches around the pointer, or the middle of the canvas.
    pub fn zoom(&mut self, notches: f64, size: ImageSize) {
        if let Some(rect) = self.rect {
            self.view.zoom_notches(notches, size, rect, self.pointer.unwrap_or(rect.center()));
        }
    }

    /// Shows the whole picture.
    pub fn fit(&mut self, size: ImageSize) {
        if let Some(rect) = self.rect {
            self.view.fit(size, rect);
        }
    }

    /// One pixel of the picture on one of the screen.
    pub fn one_to_one(&mut self, pixels_per_point: f32) {
        if let Some(rect) = self.rect {
            self.view.one_to_one(rect, self.pointer, pixels_per_point);
        }
    }

    /// Whether the space bar was tapped, rather than held to pan.
    pub fn take_space_tap(&mut self, ui: &Ui) -> bool {
        if !ui.input(|i| i.key_released(Key::Space)) {
            return false;
        }
        !std::mem::take(&mut self.panned_with_space)
    }

    /// Wheel, pinch, middle button and space bar. Says whether the picture is being dragged.
    fn move_view(&mut self, ui: &Ui, response: &Response, rect: Rect, size: ImageSize) -> bool {
        let space = ui.input(|i| i.key_down(Key::Space)) && !ui.ctx().text_edit_focused();
        let grabbed =
            response.dragged_by(PointerButton::Middle) || (space && response.dragged_by(PointerButton::Primary));
        if grabbed {
            self.view.pan(response.drag_delta());
            self.panned_with_space |= space;
            ui.set_cursor_icon(egui::CursorIcon::Grabbing);
        } else if space && response.hovered() {
            ui.set_cursor_icon(egui::CursorIcon::Grab);
        }
        if response.contains_pointer() {
            let pointer = response.hover_pos().unwrap_or(rect.center());
            for turn in ui.input(|i| i.events.iter().filter_map(Turn::of).collect::<Vec<_>>()) {
                match turn {
                    Turn::Zoom(notches) => self.view.zoom_notches(notches, size, rect, pointer),
                    Turn::Sideways(points) => self.view.pan(vec2(points, 0.0)),
                }
            }
        }
        grabbed || space
    }
}

/// What a turn of the wheel or a pinch asks of the view. The events are read themselves, not egui's
/// smoothed sums, so that one notch is one notch.
enum Turn {
    Zoom(f64),
    Sideways(f32),
}

impl Turn {
    fn of(event: &egui::Event) -> Option<Self> {
        match event {
            egui::Event::Zoom(factor) if *factor > 0.0 => Some(Self::Zoom(f64::from(*factor).ln() / view::NOTCH.ln())),
            egui::Event::MouseWheel { unit, delta, modifiers, .. } => {
                let notches = match unit {
                    egui::MouseWheelUnit::Point => *delta / POINTS_A_NOTCH,
                    egui::MouseWheelUnit::Line | egui::MouseWheelUnit::Page => *delta,
                };
                let is_sideways = (modifiers.shift && !modifiers.command) || notches.x.abs() > notches.y.abs();
                if is_sideways {
                    let along = if notches.x == 0.0 { notches.y } else { notches.x };
                    return Some(Self::Sideways(along * SIDEWAYS));
                }
                Some(Self::Zoom(f64::from(notches.y.clamp(-20.0, 20.0))))
            }
            _ => None,
        }
    }
}
