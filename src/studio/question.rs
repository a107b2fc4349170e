//! The only modal thing: a question before something is lost.

use boxwright_session::Command;
use egui::{Context, Id, Modal, RichText};

use crate::icon::Icon;
use crate::theme::{Theme, size};
use crate::widgets;

/// What happens on a yes.
pub enum OnYes {
    /// A change of the project.
    Do(Command),
    /// The texts under edit are given up and the project is closed.
    CloseProject,
    /// The texts under edit are given up and the window is closed.
    CloseWindow,
}

/// A question.
pub struct Question {
    /// What would be lost, as a question.
    pub title: String,
    /// What follows from it.
    pub text: String,
    /// The word on the button that does it.
    pub yes: String,
    /// What it does.
    pub on_yes: OnYes,
}

/// A person's answer.
pub enum Answer {
    /// Do it.
    Yes(OnYes),
    /// Leave everything as it is.
    No,
}

/// Shows the question until it is answered. Escape and a click beside it mean no.
pub fn show(ctx: &Context, question: &mut Option<Question>) -> Option<Answer> {
    let asked = question.as_ref()?;
    let theme = Theme::of(ctx);
    let mut answer = None;
    let response = Modal::new(Id::unique("question")).show(ctx, |ui| {
        ui.set_width(380.0);
        ui.label(RichText::new(&asked.title).size(size::HEADING));
        ui.add_space(size::PAD);
        ui.add(egui::Label::new(RichText::new(&asked.text).color(theme.text_weak)).wrap());
        ui.add_space(size::PAD_LARGE);
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            if widgets::primary(ui, Icon::CHECK, &asked.yes).clicked() {
                answer = Some(true);
            }
            if ui.button("Cancel").clicked() {
                answer = Some(false);
            }
        });
    });
    if response.should_close() {
        answer = answer.or(Some(false));
    }
    let yes = answer?;
    let asked = question.take()?;
    Some(if yes { Answer::Yes(asked.on_yes) } else { Answer::No })
}
