//! The classes beside the canvas: key, colour, name, how many boxes of this image have it. A click
//! does what the class's key does.

use boxwright_core::{Annotation, LabelId};
use egui::{ScrollArea, TextEdit, Ui, pos2};

use crate::command::UiCommand;
use crate::context::{PanelContext, Request};
use crate::icon::Icon;
use crate::theme::{Theme, class_color, size};
use crate::{widgets, words};

/// The state of the list.
#[derive(Default)]
pub struct ClassList {
    new_name: String,
}

impl ClassList {
    /// Shows the classes; gives the one that was clicked.
    pub fn show(
        &mut self,
        ui: &mut Ui,
        cx: &mut PanelContext<'_>,
        boxes: &[Annotation],
        current: Option<LabelId>,
    ) -> Option<LabelId> {
        let labels = cx.session.label_map();
        let mut clicked = None;
        let footer = size::ROW + 2.0 * size::PAD;
        let height = (ui.available_height() - footer).max(size::ROW);
        ui.spacing_mut().item_spacing.y = 0.0;
        if labels.is_empty() {
            widgets::padded(ui, |ui| widgets::hint(ui, words::NO_CLASSES));
        } else {
            ScrollArea::vertical().id_salt("classes").max_height(height).auto_shrink([false, true]).show_rows(
                ui,
                size::ROW,
                labels.len(),
                |ui, rows| {
                    for row in rows {
                        let Some(item) = labels.items().get(row) else { continue };
                        let count = boxes.iter().filter(|b| b.label == item.id).count();
                        if show_row(ui, row, item.id, &labels.display_name(item.id), count, current == Some(item.id)) {
                            clicked = Some(item.id);
                        }
                    }
                },
            );
        }
        widgets::padded(ui, |ui| self.show_new(ui, cx));
        clicked
    }

    fn show_new(&mut self, ui: &mut Ui, cx: &mut PanelContext<'_>) {
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 4.0;
            let width = ui.available_width() - size::ROW - 4.0;
            let field = TextEdit::singleline(&mut self.new_name).hint_text("New class").desired_width(width);
            let field = widgets::text_field(ui, field, "New class");
            let entered = field.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
            let name = self.new_name.trim().to_owned();
            let add = ui.add_enabled_ui(!name.is_empty(), |ui| {
                widgets::icon_only(
                    ui,
                    Icon::PLUS,
                    "Add the class",
                    "Adds the class at the end of the label map  (Enter)",
                    false,
                )
            });
            if (entered || add.inner.clicked()) && !name.is_empty() {
                cx.outbox.push(Request::Do(boxwright_session::Command::AddClass { name }));
                self.new_name.clear();
            }
        });
    }
}

fn show_row(ui: &mut Ui, row: usize, label: LabelId, name: &str, count: usize, current: bool) -> bool {
    let theme = Theme::of(ui.ctx());
    let accessible = format!("Class {name}");
    let (rect, response) = widgets::list_row(ui, size::ROW, current, &accessible);
    let y = rect.center().y;
    if row < 10 {
        let key = ((row + 1) % 10).to_string();
        widgets::row_text(ui, rect.left() + size::PAD, rect.left() + 20.0, y, &key, size::LABEL, theme.text_weak);
    }
    widgets::paint_swatch(ui.painter(), pos2(rect.left() + 28.0, y), class_color(label));
    let mut right = rect.right() - size::PAD;
    if count > 0 {
        let text = words::group_digits(count as u64);
        right = widgets::row_text_right(ui, right, y, &text, size::LABEL, theme.text_weak) - 4.0;
    }
    widgets::row_text(ui, rect.left() + 40.0, right, y, name, size::TEXT, theme.text);
    let tooltip = if row < 10 {
        format!("{name}  ({})\n{}", (row + 1) % 10, UiCommand::SetClass.spec().tooltip)
    } else {
        format!("{name}\n{}", UiCommand::SetClass.spec().tooltip)
    };
    response.on_hover_text(tooltip).clicked()
}
