//! The classes: a table to work with, and the label map itself as text.

use boxwright_core::LabelId;
use boxwright_session::Command;
use egui::{RichText, TextEdit, Ui};
use egui_extras::{Column, TableBuilder};

use crate::context::{PanelContext, Request};
use crate::icon::Icon;
use crate::question::{OnYes, Question};
use crate::text_editor::TextEditor;
use crate::theme::{Theme, class_color, size};
use crate::{widgets, words};

/// The state of the station.
#[derive(Default)]
pub struct Labels {
    /// The label map as text.
    pub editor: TextEditor,
    new_name: String,
    renaming: Option<(LabelId, String)>,
}

impl Labels {
    /// Takes in the text on disk and checks what is on the screen.
    pub fn update(&mut self, session: &boxwright_session::Session) {
        self.editor.load(session.label_map_text(), false);
        self.editor.check(|text| session.problems_in_label_map(text));
    }

    /// Saves the text.
    pub fn save(&self, cx_outbox: &mut crate::context::Outbox) {
        cx_outbox.perform(Command::SaveLabelMap { text: self.editor.text.clone() });
    }

    /// The table of classes.
    pub fn show_table(&mut self, ui: &mut Ui, cx: &mut PanelContext<'_>) {
        let labels = cx.session.label_map();
        widgets::padded(ui, |ui| {
            self.show_new(ui, cx);
            ui.add_space(size::PAD);
            if labels.is_empty() {
                widgets::hint(ui, words::NO_CLASSES);
                return;
            }
            ui.spacing_mut().item_spacing = egui::vec2(8.0, 0.0);
            TableBuilder::new(ui)
                .id_salt("class table")
                .auto_shrink(false)
                .cell_layout(egui::Layout::left_to_right(egui::Align::Center))
                .column(Column::exact(16.0))
                .column(Column::exact(44.0))
                .column(Column::remainder().at_least(100.0).clip(true))
                .column(Column::initial(120.0).at_least(60.0).clip(true))
                .column(Column::exact(64.0))
                .column(Column::exact(60.0))
                .header(size::ROW, |mut header| {
                    for title in ["", "Id", "Name", "Shown as", "Boxes", ""] {
                        header.col(|ui| drop(widgets::caption(ui, title)));
                    }
                })
                .body(|body| {
                    body.rows(28.0, labels.len(), |mut row| {
                        let Some(item) = labels.items().get(row.index()) else { return };
                        let boxes = cx.session.label_count(item.id);
                        row.col(|ui| drop(widgets::swatch(ui, class_color(item.id))));
                        row.col(|ui| drop(ui.label(item.id.to_string())));
                        row.col(|ui| self.show_name(ui, cx, item.id, &item.name));
                        row.col(|ui| {
                            let theme = Theme::of(ui.ctx());
                            let shown = item.display_name.as_deref().unwrap_or("–");
                            ui.add(egui::Label::new(RichText::new(shown).color(theme.text_weak)).truncate());
                        });
                        row.col(|ui| {
                            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                                ui.label(words::group_digits(boxes as u64));
                            });
                        });
                        row.col(|ui| self.show_actions(ui, cx, item.id, &item.name, boxes));
                    });
                });
        });
    }

    fn show_new(&mut self, ui: &mut Ui, cx: &mut PanelContext<'_>) {
        ui.horizontal(|ui| {
            let width = (ui.available_width() - 130.0).clamp(80.0, 300.0);
            let field = TextEdit::singleline(&mut self.new_name).hint_text("New class").desired_width(width);
            let field = widgets::text_field(ui, field, "New class");
            let entered = field.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
            let name = self.new_name.trim().to_owned();
            let clicked = ui
                .add_enabled_ui(!name.is_empty(), |ui| widgets::button(ui, Icon::PLUS, "Add the class"))
                .inner
                .clicked();
            if (entered || clicked) && !name.is_empty() {
                cx.outbox.perform(Command::AddClass { name });
                self.new_name.clear();
            }
        });
    }

    fn show_name(&mut self, ui: &mut Ui, cx: &mut PanelContext<'_>, id: LabelId, name: &str) {
        match &mut self.renaming {
            Some((renaming, text)) if *renaming == id => {
                let field = ui.add(TextEdit::singleline(text).desired_width(f32::INFINITY));
                let field = field.accessible_name(format!("New name of {name}"));
                if !field.has_focus() && !field.lost_focus() {
                    field.request_focus();
                }
                if field.lost_focus() {
                    let new_name = text.trim().to_owned();
                    self.renaming = None;
                    if !ui.input(|i| i.key_pressed(egui::Key::Escape)) && !new_name.is_empty() && new_name != name {
                        cx.outbox.perform(Command::RenameClass { id, name: new_name });
                    }
                }
            }
            _ => {
                let label = egui::Label::new(name).truncate().sense(egui::Sense::click());
                if ui.add(label).on_hover_text("Double-click to rename").double_clicked() {
                    self.renaming = Some((id, name.to_owned()));
                }
            }
        }
    }

    fn show_actions(&mut self, ui: &mut Ui, cx: &mut PanelContext<'_>, id: LabelId, name: &str, boxes: usize) {
        ui.spacing_mut().item_spacing.x = 2.0;
        let rename = format!("Rename {name}");
        if widgets::icon_only(ui, Icon::PENCIL, &rename, "Gives the class another name; its id and boxes stay", false)
            .clicked()
        {
            self.renaming = Some((id, name.to_owned()));
        }
        let tooltip = if boxes == 0 {
            "Takes the class out of the label map; its id is not given again".to_owned()
        } else {
            format!("{} still has {}", name, words::count(boxes, "box", "boxes"))
        };
        let delete = ui.add_enabled_ui(boxes == 0, |ui| {
            widgets::icon_only(ui, Icon::TRASH, &format!("Delete {name}"), &tooltip, false)
                .on_disabled_hover_text(&tooltip)
        });
        if delete.inner.clicked() {
            cx.outbox.push(Request::Ask(Question {
                title: format!("Delete the class “{name}”?"),
                text: format!("It has no boxes. Its id {id} is not given to another class."),
                yes: "Delete".to_owned(),
                on_yes: OnYes::Do(Command::DeleteClass { id }),
            }));
        }
    }

    /// The label map as text.
    pub fn show_text(&mut self, ui: &mut Ui, cx: &mut PanelContext<'_>) {
        let wants_save = editor_bar(ui, "label_map.pbtxt", &self.editor);
        self.editor.show(ui, "Text of the label map");
        if wants_save {
            self.save(cx.outbox);
        }
    }

    /// What is wrong with the text.
    pub fn show_problems(&mut self, ui: &mut Ui) {
        egui::ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            widgets::padded(ui, |ui| self.editor.show_problems(ui));
        });
    }
}

/// The bar above a text editor: the file, whether it is saved, Save. The answer is Save's click.
pub fn editor_bar(ui: &mut Ui, file: &str, editor: &TextEditor) -> bool {
    let theme = Theme::of(ui.ctx());
    let mut clicked = false;
    egui::Frame::NONE.fill(theme.panel).inner_margin(egui::Margin::symmetric(8, 4)).show(ui, |ui| {
        ui.horizontal(|ui| {
            ui.label(file);
            if editor.is_changed() {
                ui.label(RichText::new("not saved").color(theme.warning));
            } else {
                ui.label(RichText::new("saved").color(theme.text_weak));
            }
            let errors = editor.errors();
            if errors > 0 {
                ui.label(RichText::new(words::count(errors, "error", "errors")).color(theme.error));
            }
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                let save = crate::command::UiCommand::Save;
                let response =
                    ui.add_enabled_ui(editor.is_changed(), |ui| widgets::button(ui, Icon::FLOPPY, "Save")).inner;
                clicked = response.on_hover_text(save.tooltip()).clicked();
            });
        });
    });
    clicked
}
