//! The screen without a project: make one, open one, or drop a folder.

use boxwright_session::{Command, Session};
use egui::{CentralPanel, Frame, RichText, TextEdit, Ui, vec2};

use crate::command::UiCommand;
use crate::context::{Outbox, Request};
use crate::icon::Icon;
use crate::theme::{Theme, size};
use crate::{palette, widgets, words};

/// The state of the screen.
#[derive(Default)]
pub struct Start {
    path: String,
}

impl Start {
    /// Shows the screen. `open_path` is asked for a typed path.
    pub fn show(&mut self, ui: &mut Ui, session: &Session, outbox: &mut Outbox) -> Option<std::path::PathBuf> {
        let theme = Theme::of(ui.ctx());
        let mut path = None;
        CentralPanel::no_frame().frame(Frame::NONE.fill(theme.canvas)).show(ui, |ui| {
            show_theme_button(ui, outbox);
            let recent = session.recent_projects();
            let height = 320.0 + recent.len().min(8) as f32 * 44.0;
            ui.add_space(((ui.available_height() - height) / 2.0).max(size::PAD_LARGE));
            ui.vertical_centered(|ui| {
                ui.set_max_width(460.0);
                ui.label(Icon::RECTANGLE.sized(48.0).color(theme.accent));
                ui.label(RichText::new(words::PROGRAM).size(32.0).color(theme.text));
                ui.label(RichText::new(words::START).color(theme.text_weak));
                ui.add_space(20.0);
                path = self.show_actions(ui, outbox);
                ui.add_space(20.0);
                show_recent(ui, recent, outbox);
            });
        });
        path
    }

    fn show_actions(&mut self, ui: &mut Ui, outbox: &mut Outbox) -> Option<std::path::PathBuf> {
        let theme = Theme::of(ui.ctx());
        let mut path = None;
        ui.allocate_ui_with_layout(vec2(460.0, 32.0), egui::Layout::left_to_right(egui::Align::Center), |ui| {
            // Both buttons in the middle: together they are about 257 points wide.
            ui.add_space(101.0);
            if widgets::primary(ui, Icon::FOLDER_PLUS, "New project…")
                .on_hover_text(UiCommand::NewProject.tooltip())
                .clicked()
            {
                outbox.run(UiCommand::NewProject);
            }
            let open =
                egui::Button::new((Icon::FOLDER_OPEN.text(), "Open project…")).gap(6.0).min_size(vec2(0.0, 28.0));
            let open = ui.add(open).on_hover_text(UiCommand::OpenProject.tooltip());
            if open.accessible_name("Open project…").clicked() {
                outbox.run(UiCommand::OpenProject);
            }
        });
        ui.add_space(size::PAD_LARGE);
        let field = TextEdit::singleline(&mut self.path).hint_text("Path of a folder").desired_width(300.0);
        let response = widgets::text_field(ui, field, "Path of a folder");
        if response.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter)) {
            path = palette::typed_path(self.path.trim());
        }
        ui.add_space(4.0);
        ui.label(RichText::new(words::START_DROP).size(size::LABEL).color(theme.text_weak));
        path
    }
}

fn show_theme_button(ui: &mut Ui, outbox: &mut Outbox) {
    let theme = Theme::of(ui.ctx());
    let (icon, name) = if theme.dark { (Icon::SUN, "Light theme") } else { (Icon::MOON, "Dark theme") };
    let corner = ui.max_rect().right_top() + vec2(-size::PAD, size::PAD);
    let place = egui::Rect::from_min_max(corner - vec2(size::ROW + 4.0, 0.0), corner + vec2(0.0, size::ROW + 4.0));
    let mut ui = ui.new_child(egui::UiBuilder::new().max_rect(place));
    if widgets::icon_only(&mut ui, icon, name, name, false).clicked() {
        outbox.run(UiCommand::Theme);
    }
}

fn show_recent(ui: &mut Ui, recent: &[std::path::PathBuf], outbox: &mut Outbox) {
    if recent.is_empty() {
        return;
    }
    let theme = Theme::of(ui.ctx());
    ui.with_layout(egui::Layout::top_down(egui::Align::Min), |ui| {
        widgets::caption(ui, "Recent projects");
        ui.spacing_mut().item_spacing.y = 0.0;
        for dir in recent.iter().take(8) {
            let name = dir.file_name().map_or_else(|| dir.display().to_string(), |n| n.to_string_lossy().into_owned());
            let (rect, response) = widgets::list_row(ui, 44.0, false, &format!("Open {name}"));
            widgets::row_icon(ui, egui::pos2(rect.left() + 20.0, rect.center().y), Icon::IMAGES, theme.text_weak);
            widgets::row_text(ui, rect.left() + 40.0, rect.right(), rect.top() + 14.0, &name, size::TEXT, theme.text);
            let path = words::short_path(&dir.display().to_string(), 60);
            widgets::row_text(
                ui,
                rect.left() + 40.0,
                rect.right(),
                rect.top() + 31.0,
                &path,
                size::LABEL,
                theme.text_weak,
            );
            if response.on_hover_text(dir.display().to_string()).clicked() {
                outbox.push(Request::Do(Command::OpenProject { dir: dir.clone() }));
            }
        }
    });
}
