//! The keyboard: which command a key press means right now, and the sheet of all keys.

use egui::{Context, Event, Key, Modifiers, RichText, Ui};

use crate::command::{self, Group, UiCommand};
use crate::icon::Icon;
use crate::theme::{Theme, size};
use crate::widgets;

/// What decides about keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct Focus {
    /// A text is being typed.
    pub typing: bool,
    /// Some other widget has the focus and may want Space, Enter, Tab and arrows.
    pub widget: bool,
    /// The pointer is over the canvas, so Tab is for boxes and not for widgets.
    pub over_canvas: bool,
}

/// The commands of the key presses of this frame, in order.
pub fn pressed(ctx: &Context, focus: Focus) -> Vec<(UiCommand, usize)> {
    ctx.input(|input| {
        input
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Key { key, pressed: true, repeat, modifiers, .. } => {
                    meaning(*key, *modifiers, focus).filter(|(command, _)| !repeat || command.repeats())
                }
                Event::Copy if !focus.typing => Some((UiCommand::Copy, 0)),
                Event::Paste(_) if !focus.typing => Some((UiCommand::Paste, 0)),
                _ => None,
            })
            .collect()
    })
}

/// The command of one key press, unless the key belongs to what has the focus.
fn meaning(key: Key, modifiers: Modifiers, focus: Focus) -> Option<(UiCommand, usize)> {
    let (command, index) = command::find(key, modifiers)?;
    if command == UiCommand::Verify {
        // The space bar may be held to pan; what it meant is known when it comes up.
        return None;
    }
    if focus.typing && !works_while_typing(command) {
        return None;
    }
    let is_tab = key == Key::Tab;
    if is_tab && !focus.over_canvas {
        return None;
    }
    let for_widgets = matches!(key, Key::Enter | Key::ArrowLeft | Key::ArrowRight | Key::ArrowUp | Key::ArrowDown);
    if focus.widget && for_widgets {
        return None;
    }
    Some((command, index))
}

/// Text fields keep their own keys; what goes elsewhere or saves works from everywhere.
fn works_while_typing(command: UiCommand) -> bool {
    use crate::stations::Station;
    Station::of(command).is_some()
        || matches!(
            command,
            UiCommand::Save
                | UiCommand::Palette
                | UiCommand::NewProject
                | UiCommand::OpenProject
                | UiCommand::AddImages
                | UiCommand::Filter
        )
}

/// Shows the sheet of all keys.
pub fn show_sheet(ctx: &Context, open: &mut bool) {
    if !*open {
        return;
    }
    let mut close = false;
    let content = ctx.content_rect();
    egui::Area::new(egui::Id::unique("all keys"))
        .order(egui::Order::Foreground)
        .anchor(egui::Align2::CENTER_CENTER, egui::Vec2::ZERO)
        .show(ctx, |ui| {
            egui::Frame::popup(ui.style()).inner_margin(16.0).show(ui, |ui| {
                ui.set_width((content.width() - 96.0).min(1000.0));
                ui.horizontal(|ui| {
                    ui.label(RichText::new("All keys").size(size::TITLE));
                    ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                        close = widgets::icon_only(ui, Icon::X, "Close the keys", "Close  (Esc)", false).clicked();
                    });
                });
                egui::ScrollArea::vertical()
                    .max_height(content.height() - 180.0)
                    .auto_shrink([false, true])
                    .show(ui, show_columns);
            });
        });
    *open = !close && !ctx.input(|i| i.key_pressed(Key::Escape));
}

fn show_columns(ui: &mut Ui) {
    ui.columns(3, |columns| {
        let groups: [&[Group]; 3] = [&[Group::Boxes], &[Group::Classes, Group::Images], &[Group::View, Group::Studio]];
        for (column, groups) in columns.iter_mut().zip(groups) {
            for group in groups {
                show_group(column, *group);
            }
        }
    });
    ui.add_space(size::PAD);
    let more = "The wheel zooms to the pointer; with Shift it scrolls sideways. The middle button, or the left one \
                with Space held, pans. Shift or Ctrl and a click choose several boxes.";
    widgets::hint(ui, more);
}

fn show_group(ui: &mut Ui, group: Group) {
    let theme = Theme::of(ui.ctx());
    widgets::section(ui, group.heading());
    for command in UiCommand::ALL.iter().filter(|c| c.spec().group == group) {
        let keys = command.key_text();
        if keys.is_empty() {
            continue;
        }
        let (rect, _) =
            ui.allocate_exact_size(egui::vec2(ui.available_width() - size::PAD, 20.0), egui::Sense::hover());
        let y = rect.center().y;
        let left = widgets::row_text_right(ui, rect.right(), y, &keys, size::LABEL, theme.text_weak);
        widgets::row_text(ui, rect.left(), left - 8.0, y, command.spec().label, size::TEXT, theme.text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: Focus = Focus { typing: false, widget: false, over_canvas: true };

    #[test]
    fn text_fields_keep_their_keys() {
        let typing = Focus { typing: true, ..FREE };
        for key in [Key::W, Key::D, Key::Num1, Key::Delete, Key::Questionmark] {
            assert_eq!(meaning(key, Modifiers::NONE, typing), None);
            assert!(meaning(key, Modifiers::NONE, FREE).is_some());
        }
        for key in [Key::Z, Key::C, Key::V, Key::A, Key::D] {
            assert_eq!(meaning(key, Modifiers::COMMAND, typing), None);
        }
        assert_eq!(meaning(Key::S, Modifiers::COMMAND, typing), Some((UiCommand::Save, 0)));
        assert_eq!(meaning(Key::K, Modifiers::COMMAND, typing), Some((UiCommand::Palette, 0)));
    }

    #[test]
    fn focused_widgets_keep_theirs_and_tab_needs_the_canvas() {
        let widget = Focus { widget: true, ..FREE };
        assert_eq!(meaning(Key::ArrowLeft, Modifiers::NONE, widget), None);
        assert_eq!(meaning(Key::W, Modifiers::NONE, widget), Some((UiCommand::Draw, 0)));
        let elsewhere = Focus { over_canvas: false, ..FREE };
        assert_eq!(meaning(Key::Tab, Modifiers::NONE, elsewhere), None);
        assert_eq!(meaning(Key::Tab, Modifiers::NONE, FREE), Some((UiCommand::NextBoxUnder, 0)));
    }

    #[test]
    fn the_space_bar_waits_for_its_release() {
        assert_eq!(meaning(Key::Space, Modifiers::NONE, FREE), None);
    }
}
