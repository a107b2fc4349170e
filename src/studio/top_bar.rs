//! The bar at the top: project, stations, jobs, palette, theme.

use boxwright_session::JobState;
use egui::{Button, Frame, Margin, Panel, RichText, Ui, vec2};

use crate::command::UiCommand;
use crate::context::{Outbox, PanelContext, Request};
use crate::icon::Icon;
use crate::stations::{Station, train};
use crate::theme::{Theme, size};
use crate::{widgets, words};

/// Shows the bar.
pub fn show(ui: &mut Ui, cx: &mut PanelContext<'_>, station: Station, unsaved: [bool; 2]) {
    let theme = Theme::of(ui.ctx());
    let frame = Frame::NONE.fill(theme.bar).inner_margin(Margin::symmetric(8, 0));
    Panel::top("top bar").exact_size(size::TOP_BAR).frame(frame).show_separator_line(true).show(ui, |ui| {
        ui.horizontal_centered(|ui| {
            show_project(ui, cx);
            ui.add_space(4.0);
            ui.separator();
            ui.spacing_mut().item_spacing.x = 2.0;
            for (index, other) in Station::ALL.into_iter().enumerate() {
                let is_unsaved = match other {
                    Station::Labels => unsaved[0],
                    Station::Pipeline => unsaved[1],
                    _ => false,
                };
                show_station(ui, cx.outbox, other, other == station, is_unsaved, index);
            }
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                let (icon, name) = if theme.dark { (Icon::SUN, "Light theme") } else { (Icon::MOON, "Dark theme") };
                if widgets::icon_only(ui, icon, name, name, false).clicked() {
                    cx.outbox.run(UiCommand::Theme);
                }
                if widgets::icon_button(ui, UiCommand::Keys, false).clicked() {
                    cx.outbox.run(UiCommand::Keys);
                }
                let palette = Button::new((Icon::COMMAND.text(), "Commands")).gap(6.0).shortcut_text("Ctrl+K");
                let palette = ui.add(palette.frame_when_inactive(false)).on_hover_text(UiCommand::Palette.tooltip());
                if palette.accessible_name("All commands").clicked() {
                    cx.outbox.run(UiCommand::Palette);
                }
                show_jobs(ui, cx);
            });
        });
    });
}

fn show_project(ui: &mut Ui, cx: &mut PanelContext<'_>) {
    let name = cx.session.project_name().unwrap_or_default();
    let shown = words::short_path(&name, 28);
    let button = Button::new((RichText::new(shown).strong(), Icon::CARET_DOWN.sized(12.0))).frame_when_inactive(false);
    let response = ui.add(button).accessible_name(format!("Project {name}"));
    let response = match cx.session.project_dir() {
        Some(dir) => response.on_hover_text(dir.display().to_string()),
        None => response,
    };
    egui::Popup::menu(&response).show(|ui| {
        ui.set_min_width(300.0);
        for group in [
            &[UiCommand::AddImages, UiCommand::AddFolder, UiCommand::ImportVoc, UiCommand::Split][..],
            &[UiCommand::NewProject, UiCommand::OpenProject][..],
            &[UiCommand::ResetLayout, UiCommand::CloseProject][..],
        ] {
            for command in group {
                if widgets::menu_item(ui, *command).clicked() {
                    cx.outbox.run(*command);
                }
            }
            ui.separator();
        }
        widgets::caption(ui, "Recent");
        let here = cx.session.project_dir();
        for dir in cx.session.recent_projects().iter().filter(|dir| Some(dir.as_path()) != here).take(6) {
            let text = words::short_path(&dir.display().to_string(), 44);
            if ui.button(text).on_hover_text(dir.display().to_string()).clicked() {
                cx.outbox.push(Request::Do(boxwright_session::Command::OpenProject { dir: dir.clone() }));
            }
        }
    });
}

fn show_station(ui: &mut Ui, outbox: &mut Outbox, station: Station, active: bool, unsaved: bool, index: usize) {
    let theme = Theme::of(ui.ctx());
    let color = if active { theme.text } else { theme.text_weak };
    let mut text = station.label().to_owned();
    if unsaved {
        text.push_str(" •");
    }
    let button = Button::new((station.icon().text().color(color), RichText::new(text).color(color)))
        .gap(6.0)
        .frame_when_inactive(false)
        .min_size(vec2(0.0, 28.0));
    let response = ui.add(button).accessible_name(station.label());
    if active {
        // The line under the station where we are.
        let rect = response.rect;
        let line = egui::Rect::from_min_max(
            egui::pos2(rect.left() + 6.0, rect.bottom() + 3.0),
            egui::pos2(rect.right() - 6.0, rect.bottom() + 5.0),
        );
        ui.painter().rect_filled(line, 1.0, theme.accent);
    }
    let tooltip = format!("{}  (Ctrl+{})", station.command().spec().tooltip, index + 1);
    if response.on_hover_text(tooltip).clicked() {
        outbox.push(Request::Go(station));
    }
}

/// The jobs: the running one in words, all of them in a list.
fn show_jobs(ui: &mut Ui, cx: &mut PanelContext<'_>) {
    let theme = Theme::of(ui.ctx());
    let jobs = cx.session.jobs();
    let Some(main) = jobs.iter().find(|job| job.state.is_active()).or(jobs.last()) else { return };
    let (icon, color) = match main.state {
        JobState::Running | JobState::Stopping => (Icon::PLAY, theme.accent),
        JobState::Failed => (Icon::WARNING_CIRCLE, theme.error),
        JobState::Finished | JobState::Stopped => (Icon::CHECK_CIRCLE, theme.success),
    };
    let mut text = main.stage.clone();
    if main.state.is_active() {
        if main.total > 0 {
            text = format!("{text} · {:.0} %", 100.0 * main.done as f64 / main.total as f64);
        }
        if let Some(left) = main.seconds_left {
            text = format!("{text} · {}", words::duration(left));
        }
    } else {
        text = match main.state {
            JobState::Failed => "A job failed".to_owned(),
            JobState::Stopped => "Stopped".to_owned(),
            _ => "Done".to_owned(),
        };
    }
    let button = Button::new((icon.text().color(color), text)).gap(6.0).frame_when_inactive(false);
    let response = ui.add(button).accessible_name("Jobs").on_hover_text("What is at work, and what it did");
    egui::Popup::from_toggle_button_response(&response)
        .close_behavior(egui::PopupCloseBehavior::CloseOnClickOutside)
        .show(|ui| {
            ui.set_width(340.0);
            for job in jobs.iter().rev().take(6) {
                ui.push_id(job.id.0, |ui| {
                    train::show_job(ui, job, cx.outbox);
                    show_problems(ui, &job.problems);
                });
                ui.add_space(size::PAD);
            }
        });
}

/// What an import found wrong, the first of it.
fn show_problems(ui: &mut Ui, problems: &[boxwright_core::Problem]) {
    const MOST: usize = 100;
    if problems.is_empty() {
        return;
    }
    let theme = Theme::of(ui.ctx());
    egui::CollapsingHeader::new(words::count(problems.len(), "problem", "problems")).show(ui, |ui| {
        egui::ScrollArea::vertical().max_height(220.0).show(ui, |ui| {
            for problem in problems.iter().take(MOST) {
                let (_, color) = crate::text_editor::severity_icon(theme, problem.severity);
                let place = if problem.place.is_empty() { String::new() } else { format!(", {}", problem.place) };
                ui.add(
                    egui::Label::new(RichText::new(format!("{}{place}", problem.file)).color(color))
                        .wrap()
                        .selectable(true),
                );
                ui.add(egui::Label::new(RichText::new(&problem.message).size(size::LABEL)).wrap().selectable(true));
                ui.add_space(4.0);
            }
            if problems.len() > MOST {
                widgets::hint(ui, &format!("… and {} more", words::group_digits((problems.len() - MOST) as u64)));
            }
        });
    });
}
