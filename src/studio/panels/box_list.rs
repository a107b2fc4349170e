//! The boxes of the image, and the numbers and flags of the chosen ones.

use boxwright_core::{Annotation, BoxFlags, BoxId, ImageSize, PixelBox};
use egui::{DragValue, ScrollArea, Ui, pos2};

use crate::canvas::tools::{Gesture, Tools, change};
use crate::context::PanelContext;
use crate::icon::Icon;
use crate::theme::{Theme, class_color, size};
use crate::{widgets, words};

/// The state of the list: numbers that are being dragged are a draft, as on the canvas.
#[derive(Default)]
pub struct BoxList {
    editing: Option<(BoxId, PixelBox)>,
}

impl BoxList {
    /// Shows the boxes and the fields of the chosen ones.
    pub fn show(
        &mut self,
        ui: &mut Ui,
        cx: &mut PanelContext<'_>,
        boxes: &[Annotation],
        size: ImageSize,
        tools: &mut Tools,
    ) -> Option<Gesture> {
        if boxes.is_empty() {
            widgets::padded(ui, |ui| widgets::hint(ui, words::NO_BOXES));
            return None;
        }
        let fields = if tools.selection().is_empty() { 0.0 } else { 170.0 };
        let height = (ui.available_height() - fields).max(3.0 * size::ROW);
        ui.spacing_mut().item_spacing.y = 0.0;
        ScrollArea::vertical().id_salt("boxes").max_height(height).auto_shrink([false, true]).show_rows(
            ui,
            size::ROW,
            boxes.len(),
            |ui, rows| {
                for annotation in &boxes[rows] {
                    ui.push_id(annotation.id, |ui| show_row(ui, cx, annotation, tools));
                }
            },
        );
        if tools.selection().is_empty() {
            return None;
        }
        ui.spacing_mut().item_spacing.y = 4.0;
        ui.separator();
        let chosen: Vec<Annotation> = boxes.iter().filter(|b| tools.is_selected(b.id)).cloned().collect();
        widgets::padded(ui, |ui| {
            let place = match chosen.as_slice() {
                [one] => self.show_place(ui, one, size),
                _ => {
                    widgets::caption(ui, &format!("{} chosen", words::count(chosen.len(), "box", "boxes")));
                    None
                }
            };
            place.or_else(|| show_flags(ui, &chosen))
        })
    }

    /// Left, top, width and height of one box.
    fn show_place(&mut self, ui: &mut Ui, one: &Annotation, size: ImageSize) -> Option<Gesture> {
        if self.editing.as_ref().is_some_and(|(id, _)| *id != one.id) {
            self.editing = None;
        }
        let mut bounds = self.editing.map_or(one.bounds, |(_, bounds)| bounds);
        let (mut width, mut height) = (bounds.width(), bounds.height());
        let (picture_width, picture_height) = (f64::from(size.width), f64::from(size.height));
        let mut changed = false;
        let mut over = false;
        egui::Grid::new("place").num_columns(4).spacing(egui::vec2(8.0, 4.0)).show(ui, |ui| {
            let mut field = |ui: &mut Ui, name: &str, value: &mut f64, range: std::ops::RangeInclusive<f64>| {
                widgets::caption(ui, name);
                let drag = DragValue::new(value).range(range).max_decimals(1).speed(1.0).update_while_editing(false);
                let response =
                    widgets::edged(ui, |ui| ui.add_sized([58.0, 22.0], drag)).accessible_name(format!("{name} in px"));
                changed |= response.changed();
                over |= response.drag_stopped() || response.lost_focus();
                // A value that was typed is final at once; a drag is when it is let go.
                over |= response.changed() && !response.dragged();
            };
            field(ui, "Left", &mut bounds.xmin, 0.0..=(picture_width - width).max(0.0));
            field(ui, "Width", &mut width, 1.0..=(picture_width - bounds.xmin).max(1.0));
            ui.end_row();
            field(ui, "Top", &mut bounds.ymin, 0.0..=(picture_height - height).max(0.0));
            field(ui, "Height", &mut height, 1.0..=(picture_height - bounds.ymin).max(1.0));
            ui.end_row();
        });
        if changed {
            bounds.xmax = bounds.xmin + width;
            bounds.ymax = bounds.ymin + height;
            self.editing = Some((one.id, bounds));
        }
        if !over {
            return None;
        }
        let (_, bounds) = self.editing.take()?;
        change("resize", std::slice::from_ref(one), |b| b.bounds = bounds)
    }
}

fn show_row(ui: &mut Ui, cx: &mut PanelContext<'_>, annotation: &Annotation, tools: &mut Tools) {
    let theme = Theme::of(ui.ctx());
    let name = cx.session.label_map().display_name(annotation.label);
    let place = format!("{:.0} × {:.0}", annotation.bounds.width(), annotation.bounds.height());
    let accessible = format!("Box {name} {place}");
    let (rect, response) = widgets::list_row(ui, size::ROW, tools.is_selected(annotation.id), &accessible);
    let y = rect.center().y;
    widgets::paint_swatch(ui.painter(), pos2(rect.left() + 13.0, y), class_color(annotation.label));
    let mut right = widgets::row_text_right(ui, rect.right() - size::PAD, y, &place, size::LABEL, theme.text_weak);
    for (is_set, icon) in flag_icons(annotation.flags) {
        if is_set {
            right -= 18.0;
            widgets::row_icon(ui, pos2(right + 6.0, y), icon, theme.text_weak);
        }
    }
    widgets::row_text(ui, rect.left() + 26.0, right - 4.0, y, &name, size::TEXT, theme.text);
    if response.clicked() {
        if ui.input(|i| i.modifiers.shift || i.modifiers.command) {
            tools.toggle(annotation.id);
        } else {
            tools.select([annotation.id]);
        }
    }
}

fn flag_icons(flags: BoxFlags) -> [(bool, Icon); 3] {
    [(flags.difficult, Icon::WARNING_CIRCLE), (flags.truncated, Icon::SCISSORS), (flags.occluded, Icon::CIRCLE_HALF)]
}

/// The flags of all chosen boxes: set where all have it.
fn show_flags(ui: &mut Ui, chosen: &[Annotation]) -> Option<Gesture> {
    type Flag = fn(&mut BoxFlags) -> &mut bool;
    let flags: [(&str, &str, Flag); 4] = [
        ("Difficult", "Hard to recognise; evaluation does not count it either way  (X)", |f| &mut f.difficult),
        ("Truncated", "Cut off by the edge of the picture  (T)", |f| &mut f.truncated),
        ("Occluded", "Partly hidden by something else  (O)", |f| &mut f.occluded),
        ("Group", "One box around a crowd", |f| &mut f.group_of),
    ];
    let mut gesture = None;
    ui.add_space(4.0);
    egui::Grid::new("flags").num_columns(2).spacing(egui::vec2(16.0, 4.0)).show(ui, |ui| {
        for (index, (name, tooltip, flag)) in flags.into_iter().enumerate() {
            let mut is_set = chosen.iter().all(|b| *flag(&mut b.flags.clone()));
            if widgets::checkbox(ui, &mut is_set, name).on_hover_text(tooltip).changed() {
                gesture = change("change flags", chosen, |b| *flag(&mut b.flags) = is_set);
            }
            if index % 2 == 1 {
                ui.end_row();
            }
        }
    });
    gesture
}
