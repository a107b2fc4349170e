//! The configuration of model and training, as text, with what the check says of it and what the
//! field under the cursor means.

use boxwright_session::{Command, Session};
use egui::{RichText, ScrollArea, Ui};

use super::labels::editor_bar;
use crate::context::{Outbox, PanelContext, Request};
use crate::icon::Icon;
use crate::question::{OnYes, Question};
use crate::text_editor::TextEditor;
use crate::theme::{Theme, size};
use crate::{widgets, words};

/// The state of the station.
#[derive(Default)]
pub struct Pipeline {
    /// The configuration as text.
    pub editor: TextEditor,
}

impl Pipeline {
    /// Takes in the text on disk and checks what is on the screen.
    pub fn update(&mut self, session: &Session) {
        self.editor.load(session.pipeline_text(), false);
        if !self.editor.text.is_empty() {
            self.editor.check(|text| session.problems_in_pipeline(text));
        }
    }

    /// Saves the text.
    pub fn save(&self, outbox: &mut Outbox) {
        outbox.perform(Command::SavePipeline { text: self.editor.text.clone() });
    }

    /// The text, or how to get one.
    pub fn show_text(&mut self, ui: &mut Ui, cx: &mut PanelContext<'_>) {
        if cx.session.pipeline_text().is_empty() && self.editor.text.is_empty() {
            if widgets::empty_state(
                ui,
                Icon::SLIDERS,
                words::NO_PIPELINE,
                Some((Icon::FILE_PLUS, "New from the template")),
            ) {
                new_from_template(cx);
            }
            return;
        }
        let wants_save = editor_bar(ui, "pipeline.config", &self.editor);
        self.editor.show(ui, "Text of the pipeline");
        if wants_save {
            self.save(cx.outbox);
        }
    }

    /// What the check says, and the way to a new text.
    pub fn show_problems(&mut self, ui: &mut Ui, cx: &mut PanelContext<'_>) {
        ScrollArea::vertical().id_salt("pipeline problems").auto_shrink(false).show(ui, |ui| {
            widgets::padded(ui, |ui| {
                if cx.session.pipeline_text().is_empty() && self.editor.text.is_empty() {
                    widgets::hint(ui, "There is no pipeline to check yet.");
                } else {
                    self.editor.show_problems(ui);
                }
                if !cx.session.pipeline_text().is_empty() {
                    ui.add_space(size::PAD_LARGE);
                    if widgets::button(ui, Icon::FILE_PLUS, "New from the template…").clicked() {
                        new_from_template(cx);
                    }
                }
            });
        });
    }

    /// What the field under the cursor means.
    pub fn show_help(&self, ui: &mut Ui) {
        let theme = Theme::of(ui.ctx());
        ScrollArea::vertical().id_salt("field help").auto_shrink(false).show(ui, |ui| {
            widgets::padded(ui, |ui| {
                let Some(path) = self.editor.field_path() else {
                    widgets::hint(ui, "Put the cursor on a field to read what it means.");
                    return;
                };
                ui.add(egui::Label::new(RichText::new(path.replace('.', " › ")).color(theme.text_weak)).wrap());
                ui.add_space(4.0);
                match boxwright_session::field_help::field(&path) {
                    Ok(help) => {
                        let type_name =
                            if help.repeated { format!("repeated {}", help.type_name) } else { help.type_name };
                        ui.label(RichText::new(type_name).monospace().color(theme.code.word));
                        if let Some(default) = &help.default {
                            ui.label(RichText::new(format!("Default: {default}")).color(theme.text_weak));
                        }
                        ui.add_space(4.0);
                        ui.add(egui::Label::new(&help.help).wrap());
                        show_verdict(ui, &path);
                        for choice in &help.choices {
                            ui.add_space(4.0);
                            ui.label(RichText::new(&choice.name).monospace());
                            widgets::hint(ui, &choice.help);
                        }
                    }
                    Err(_) => drop(widgets::hint(ui, "The schema has no such field.")),
                }
            });
        });
    }
}

/// Whether the field is honoured here, and why not.
fn show_verdict(ui: &mut Ui, path: &str) {
    use boxwright_session::field_help::{Verdict, verdict_of};
    let Ok((verdict, note)) = verdict_of(path) else { return };
    let theme = Theme::of(ui.ctx());
    let (icon, colour, word) = match verdict {
        Verdict::Honoured => (Icon::CHECK, theme.success, words::HONOURED),
        Verdict::Approximated => (Icon::WARNING, theme.warning, words::APPROXIMATED),
        Verdict::Refused => (Icon::X_CIRCLE, theme.error, words::REFUSED),
    };
    ui.add_space(4.0);
    ui.horizontal_wrapped(|ui| {
        ui.label(icon.text().color(colour));
        ui.label(RichText::new(word).color(colour));
    });
    if !note.is_empty() {
        widgets::hint(ui, &note);
    }
}

/// Asks for a new text; over an old one only after a question.
fn new_from_template(cx: &mut PanelContext<'_>) {
    let command = Command::NewPipeline { values: Box::new(cx.session.template_values()) };
    if cx.session.pipeline_text().is_empty() {
        cx.outbox.perform(command);
        return;
    }
    cx.outbox.push(Request::Ask(Question {
        title: "Replace the pipeline?".to_owned(),
        text: "The text of pipeline.config is replaced by the template with this project's classes and records. \
               Runs keep the configuration that they were made with."
            .to_owned(),
        yes: "Replace".to_owned(),
        on_yes: OnYes::Do(command),
    }));
}
