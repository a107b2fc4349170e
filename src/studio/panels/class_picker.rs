//! A class by typing: finds one as the name is typed, and makes a new one of a name that is not
//! there. It opens beside a box that has just been drawn without a class, and with C.

use boxwright_core::{LabelId, LabelMap};
use egui::{Area, Context, Frame, Id, Key, Order, Pos2, TextEdit, Ui};

use crate::icon::Icon;
use crate::theme::{Theme, class_color, size};
use crate::widgets;

/// How many classes it lists at once.
const ROWS: usize = 8;

/// What was picked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Picked {
    /// A class of the map.
    Class(LabelId),
    /// A name for a new class.
    New(String),
    /// Nothing: Escape, or a click elsewhere.
    Nothing,
}

/// The picker while it is open.
pub struct ClassPicker {
    at: Pos2,
    text: String,
    row: usize,
    fresh: bool,
}

impl ClassPicker {
    /// A picker at a place of the screen.
    pub fn new(at: Pos2) -> Self {
        Self { at, text: String::new(), row: 0, fresh: true }
    }

    /// Shows it; `Some` when it is over.
    pub fn show(&mut self, ctx: &Context, labels: &LabelMap) -> Option<Picked> {
        let id = Id::unique("class picker");
        let found = matching(labels, &self.text);
        let can_add = !self.text.trim().is_empty() && labels.by_name(self.text.trim()).is_none();
        let rows = found.len().min(ROWS) + usize::from(can_add);
        let mut picked = None;
        ctx.input_mut(|i| {
            if i.consume_key(egui::Modifiers::NONE, Key::ArrowDown) && rows > 0 {
                self.row = (self.row + 1) % rows;
            }
            if i.consume_key(egui::Modifiers::NONE, Key::ArrowUp) && rows > 0 {
                self.row = (self.row + rows - 1) % rows;
            }
            if i.consume_key(egui::Modifiers::NONE, Key::Escape) {
                picked = Some(Picked::Nothing);
            }
            if i.consume_key(egui::Modifiers::NONE, Key::Enter) {
                picked = match found.get(self.row) {
                    Some(label) if self.row < ROWS => Some(Picked::Class(*label)),
                    _ if can_add => Some(Picked::New(self.text.trim().to_owned())),
                    _ => None,
                };
            }
        });
        let response = Area::new(id).order(Order::Foreground).fixed_pos(self.at).constrain(true).show(ctx, |ui| {
            Frame::popup(ui.style()).inner_margin(size::PAD).show(ui, |ui| {
                ui.set_width(240.0);
                self.show_content(ui, labels, &found, can_add, &mut picked);
            });
        });
        if !self.fresh && response.response.clicked_elsewhere() {
            picked = picked.or(Some(Picked::Nothing));
        }
        self.fresh = false;
        picked
    }

    fn show_content(
        &mut self,
        ui: &mut Ui,
        labels: &LabelMap,
        found: &[LabelId],
        can_add: bool,
        picked: &mut Option<Picked>,
    ) {
        let theme = Theme::of(ui.ctx());
        let hint = if labels.is_empty() { "Name the class" } else { "Class" };
        let field = ui.add(TextEdit::singleline(&mut self.text).hint_text(hint).desired_width(f32::INFINITY));
        if self.fresh {
            field.request_focus();
        }
        if field.changed() {
            self.row = 0;
        }
        field.accessible_name("Class by typing");
        ui.add_space(4.0);
        ui.spacing_mut().item_spacing.y = 0.0;
        for (row, label) in found.iter().take(ROWS).enumerate() {
            let name = labels.display_name(*label);
            let (rect, response) = widgets::list_row(ui, size::ROW, row == self.row, &name);
            widgets::paint_swatch(ui.painter(), egui::pos2(rect.left() + 12.0, rect.center().y), class_color(*label));
            widgets::row_text(ui, rect.left() + 26.0, rect.right(), rect.center().y, &name, size::TEXT, theme.text);
            if response.clicked() {
                *picked = Some(Picked::Class(*label));
            }
        }
        if can_add {
            let text = format!("Add the class “{}”", self.text.trim());
            let (rect, response) = widgets::list_row(ui, size::ROW, self.row == found.len().min(ROWS), &text);
            widgets::row_icon(ui, egui::pos2(rect.left() + 12.0, rect.center().y), Icon::PLUS, theme.text);
            widgets::row_text(ui, rect.left() + 26.0, rect.right(), rect.center().y, &text, size::TEXT, theme.text);
            if response.clicked() {
                *picked = Some(Picked::New(self.text.trim().to_owned()));
            }
        }
    }
}

/// The classes whose names have the text in them; those that begin with it come first.
fn matching(labels: &LabelMap, text: &str) -> Vec<LabelId> {
    let text = text.trim().to_lowercase();
    let mut found: Vec<(bool, LabelId)> = labels
        .items()
        .iter()
        .filter_map(|item| {
            let name = labels.display_name(item.id).to_lowercase();
            (name.contains(&text) || item.name.to_lowercase().contains(&text))
                .then(|| (!name.starts_with(&text), item.id))
        })
        .collect();
    found.sort_by_key(|(late, _)| *late);
    found.into_iter().map(|(_, id)| id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_begin_with_the_text_come_first() {
        let labels = LabelMap::from_names(["wildcat", "dog", "cat"]).expect("a map");
        let names: Vec<_> = matching(&labels, " Cat").into_iter().map(|id| labels.display_name(id)).collect();
        assert_eq!(names, ["cat", "wildcat"]);
        assert_eq!(matching(&labels, "").len(), 3);
        assert!(matching(&labels, "zebra").is_empty());
    }
}
