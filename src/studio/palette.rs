//! Any command, class or image by typing.

use std::path::PathBuf;

use boxwright_core::{ImageId, LabelId};
use boxwright_session::Session;
use egui::{Align2, Area, Context, Frame, Id, Key, Modifiers, Order, ScrollArea, TextEdit, Ui, pos2, vec2};

use crate::command::{Scope, UiCommand};
use crate::icon::Icon;
use crate::stations::Station;
use crate::theme::{Theme, class_color, size};
use crate::widgets;

/// How many images it lists at once.
const IMAGES: usize = 30;

/// What was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// A command.
    Run(UiCommand),
    /// A class for the chosen boxes.
    Class(LabelId, usize),
    /// An image.
    Image(ImageId),
    /// A path that was typed: a project, or images to add.
    Path(PathBuf),
}

/// The palette while it is open.
#[derive(Default)]
pub struct Palette {
    text: String,
    row: usize,
    opened: bool,
}

struct Entry {
    icon: Icon,
    color: Option<egui::Color32>,
    label: String,
    key: String,
    choice: Choice,
}

impl Palette {
    /// Shows it. `Err` closes it, with what was chosen.
    pub fn show(&mut self, ctx: &Context, session: &Session, station: Station) -> Result<(), Option<Choice>> {
        let entries = self.entries(session, station);
        self.row = self.row.min(entries.len().saturating_sub(1));
        let mut moved = false;
        let mut result = Ok(());
        ctx.input_mut(|i| {
            for (key, by) in [(Key::ArrowDown, 1), (Key::ArrowUp, entries.len().saturating_sub(1))] {
                if i.consume_key(Modifiers::NONE, key) && !entries.is_empty() {
                    self.row = (self.row + by) % entries.len();
                    moved = true;
                }
            }
            if i.consume_key(Modifiers::NONE, Key::Escape) {
                result = Err(None);
            }
            if i.consume_key(Modifiers::NONE, Key::Enter)
                && let Some(entry) = entries.get(self.row)
            {
                result = Err(Some(entry.choice.clone()));
            }
        });
        let response = Area::new(Id::unique("palette"))
            .order(Order::Foreground)
            .anchor(Align2::CENTER_TOP, vec2(0.0, 72.0))
            .show(ctx, |ui| {
                Frame::popup(ui.style()).inner_margin(size::PAD).show(ui, |ui| {
                    ui.set_width(520.0);
                    let field = TextEdit::singleline(&mut self.text)
                        .hint_text("A command, a class, an image, or a path")
                        .desired_width(f32::INFINITY)
                        .margin(vec2(8.0, 6.0));
                    let field = ui.add(field);
                    if !self.opened {
                        field.request_focus();
                    }
                    if field.changed() {
                        self.row = 0;
                    }
                    field.accessible_name("Palette");
                    ui.add_space(4.0);
                    if let Some(choice) = self.show_entries(ui, &entries, moved) {
                        result = Err(Some(choice));
                    }
                });
            });
        if self.opened && response.response.clicked_elsewhere() && result.is_ok() {
            result = Err(None);
        }
        self.opened = true;
        result
    }

    fn show_entries(&self, ui: &mut Ui, entries: &[Entry], moved: bool) -> Option<Choice> {
        let theme = Theme::of(ui.ctx());
        let mut chosen = None;
        if entries.is_empty() {
            widgets::hint(ui, "Nothing has this name.");
        }
        ui.spacing_mut().item_spacing.y = 0.0;
        ScrollArea::vertical().max_height(360.0).auto_shrink([false, true]).show(ui, |ui| {
            for (row, entry) in entries.iter().enumerate() {
                ui.push_id(row, |ui| {
                    let (rect, response) = widgets::list_row(ui, 28.0, row == self.row, &entry.label);
                    let y = rect.center().y;
                    match entry.color {
                        Some(color) => widgets::paint_swatch(ui.painter(), pos2(rect.left() + 16.0, y), color),
                        None => widgets::row_icon(ui, pos2(rect.left() + 16.0, y), entry.icon, theme.text_weak),
                    }
                    let right =
                        widgets::row_text_right(ui, rect.right() - 8.0, y, &entry.key, size::LABEL, theme.text_weak);
                    widgets::row_text(ui, rect.left() + 34.0, right - 8.0, y, &entry.label, size::TEXT, theme.text);
                    if row == self.row && moved {
                        response.scroll_to_me(None);
                    }
                    if response.clicked() {
                        chosen = Some(entry.choice.clone());
                    }
                });
            }
        });
        chosen
    }

    fn entries(&self, session: &Session, station: Station) -> Vec<Entry> {
        let has_project = session.project_dir().is_some();
        let text = self.text.trim();
        let mut entries = Vec::new();
        if let Some(path) = typed_path(text) {
            let label = if has_project { "Add images from" } else { "Open or make the project" };
            entries.push(Entry {
                icon: Icon::FOLDER_OPEN,
                color: None,
                label: format!("{label} {}", path.display()),
                key: String::new(),
                choice: Choice::Path(path),
            });
        }
        for command in UiCommand::ALL {
            let spec = command.spec();
            let is_here = match spec.scope {
                Scope::Anywhere => true,
                Scope::Project => has_project,
                Scope::Picture => has_project && station.has_picture(),
                Scope::Annotate => has_project && station == Station::Annotate,
                Scope::Editor => has_project && station.has_text(),
            };
            let is_odd = matches!(
                command,
                UiCommand::Palette | UiCommand::SetClass | UiCommand::NextBoxUnder | UiCommand::Cancel
            );
            if is_here && !is_odd && fits(spec.label, text) {
                entries.push(Entry {
                    icon: spec.icon,
                    color: None,
                    label: spec.label.to_owned(),
                    key: command.key_text(),
                    choice: Choice::Run(*command),
                });
            }
        }
        if has_project && station == Station::Annotate {
            let labels = session.label_map();
            for (place, item) in labels.items().iter().enumerate() {
                let name = labels.display_name(item.id);
                if fits(&name, text) {
                    entries.push(Entry {
                        icon: Icon::TAG,
                        color: Some(class_color(item.id)),
                        label: format!("Class {name}"),
                        key: if place < 10 { ((place + 1) % 10).to_string() } else { String::new() },
                        choice: Choice::Class(item.id, place),
                    });
                }
            }
        }
        if !text.is_empty() {
            let images = session.images().iter().filter(|e| fits(&e.path, text)).take(IMAGES);
            entries.extend(images.map(|e| Entry {
                icon: Icon::IMAGES,
                color: None,
                label: e.path.clone(),
                key: String::new(),
                choice: Choice::Image(e.id),
            }));
        }
        entries
    }
}

/// Whether every typed word is in the name.
fn fits(name: &str, text: &str) -> bool {
    let name = name.to_lowercase();
    text.split_whitespace().all(|word| name.contains(&word.to_lowercase()))
}

/// A typed text that is an absolute path, or begins at home.
pub fn typed_path(text: &str) -> Option<PathBuf> {
    if let Some(rest) = text.strip_prefix("~/") {
        return std::env::var_os("HOME").map(|home| PathBuf::from(home).join(rest));
    }
    let path = PathBuf::from(text);
    (path.is_absolute() && text.len() > 1).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_any_order_and_case_fit() {
        assert!(fits("Go to Train", "train go"));
        assert!(!fits("Go to Train", "review"));
        assert!(fits("anything", ""));
    }

    #[test]
    fn only_whole_paths_are_paths() {
        assert_eq!(typed_path("/data/photos"), Some(PathBuf::from("/data/photos")));
        assert_eq!(typed_path("photos"), None);
        assert_eq!(typed_path("/"), None);
    }
}
