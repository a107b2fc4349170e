//! A text with line numbers, colours, and marks where the check found something.

use boxwright_core::{Problem, Severity};
use egui::text::{CCursor, CCursorRange};
use egui::text_edit::TextEditState;
use egui::{Align2, Color32, FontId, Id, Rect, ScrollArea, Sense, TextEdit, TextStyle, Ui, pos2, vec2};

use crate::code;
use crate::theme::{Theme, size};
use crate::words;

/// A text under edit and what the check says of it.
#[derive(Default)]
pub struct TextEditor {
    /// The text as it is on the screen.
    pub text: String,
    /// The text as it is on disk.
    saved: String,
    /// What the check says of the text on the screen.
    problems: Vec<Problem>,
    /// Where the cursor is, in bytes.
    cursor: usize,
    /// A line to go to in the next frame, from 1.
    jump: Option<usize>,
    /// The text that the problems belong to.
    checked: Option<String>,
}

impl TextEditor {
    /// Takes the text on disk. Unsaved changes stay, unless `force`.
    pub fn load(&mut self, on_disk: &str, force: bool) {
        if on_disk == self.saved && !force {
            return;
        }
        if force || !self.is_changed() {
            self.text = on_disk.to_owned();
        }
        self.saved = on_disk.to_owned();
    }

    /// Whether the text differs from the one on disk.
    pub fn is_changed(&self) -> bool {
        self.text != self.saved
    }

    /// Checks the text if it has changed since the last check.
    pub fn check(&mut self, check: impl FnOnce(&str) -> Vec<Problem>) {
        if self.checked.as_deref() != Some(self.text.as_str()) {
            self.problems = check(&self.text);
            self.checked = Some(self.text.clone());
        }
    }

    /// Forgets the last check, as when the data that it looks at have changed.
    pub fn recheck(&mut self) {
        self.checked = None;
    }

    /// What the check says.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// How many errors there are.
    pub fn errors(&self) -> usize {
        self.problems.iter().filter(|p| p.severity == Severity::Error).count()
    }

    /// The path of the field that the cursor is in.
    pub fn field_path(&self) -> Option<String> {
        code::field_path_at(&self.text, self.cursor)
    }

    /// Puts the cursor on a line, from 1.
    pub fn jump_to(&mut self, line: usize) {
        self.jump = Some(line);
    }

    /// Shows the text in all the room there is. `name` is what a screen reader says.
    pub fn show(&mut self, ui: &mut Ui, name: &str) {
        let theme = Theme::of(ui.ctx());
        let id = ui.make_persistent_id(("text editor", name));
        let font = TextStyle::Monospace.resolve(ui.style());
        let row_height = ui.fonts_mut(|f| f.row_height(&font));
        let lines = self.text.lines().count().max(1) + 1;
        let digit = ui.fonts_mut(|f| f.glyph_width(&font, '0'));
        let gutter = digit * lines.max(100).to_string().len() as f32 + 2.0 * size::PAD + size::ICON;
        ui.painter().rect_filled(ui.available_rect_before_wrap(), 0.0, theme.field);

        if let Some(line) = self.jump.take() {
            self.place_cursor(ui, id, line);
        }
        let marks = Marks::of(&self.problems);
        let wanted = self.text.clone();
        let mut layouter = |ui: &Ui, text: &dyn egui::TextBuffer, _width: f32| {
            ui.fonts_mut(|f| f.layout_job(code::highlight(text.as_str(), &font, theme)))
        };
        ScrollArea::both().id_salt(id).auto_shrink(false).show(ui, |ui| {
            ui.horizontal_top(|ui| {
                ui.spacing_mut().item_spacing.x = 0.0;
                let top = ui.cursor().min;
                ui.add_space(gutter);
                let min_size = vec2(ui.available_width(), ui.clip_rect().height());
                let output = TextEdit::multiline(&mut self.text)
                    .id(id)
                    .code_editor()
                    .frame(egui::Frame::NONE)
                    .margin(egui::Margin::symmetric(0, 8))
                    .desired_width(f32::INFINITY)
                    .min_size(min_size)
                    .layouter(&mut layouter)
                    .show(ui);
                let response = output.response.response.clone().accessible_name(name);
                if let Some(range) = output.cursor_range {
                    self.cursor = byte_of(&self.text, range.primary.index.into());
                }
                let mut line = 1;
                for row in &output.galley.rows {
                    let y = output.galley_pos.y + row.pos.y;
                    let area = Rect::from_min_size(pos2(top.x, y), vec2(gutter, row_height));
                    if area.intersects(ui.clip_rect()) {
                        let wide = Rect::from_min_max(area.min, pos2(response.rect.right(), area.bottom()));
                        paint_line(ui, theme, &font, area, wide, line, marks.on(line), id);
                    }
                    line += usize::from(row.ends_with_newline);
                }
            });
        });
        if wanted != self.text {
            ui.ctx().request_repaint();
        }
    }

    fn place_cursor(&self, ui: &Ui, id: Id, line: usize) {
        let chars: usize =
            self.text.split_inclusive('\n').take(line.saturating_sub(1)).map(|l| l.chars().count()).sum();
        let mut state = TextEditState::load(ui.ctx(), id).unwrap_or_default();
        state.cursor.set_char_range(Some(CCursorRange::one(CCursor::new(chars))));
        state.store(ui.ctx(), id);
        ui.memory_mut(|m| m.request_focus(id));
    }

    /// The problems below each other; a click goes to the line.
    pub fn show_problems(&mut self, ui: &mut Ui) {
        let theme = Theme::of(ui.ctx());
        if self.problems.is_empty() {
            crate::widgets::hint(ui, words::NO_PROBLEMS);
            return;
        }
        let mut jump = None;
        for (index, problem) in self.problems.iter().enumerate() {
            let line = words::line_of(&problem.place);
            ui.push_id(index, |ui| {
                ui.horizontal_top(|ui| {
                    let (icon, color) = severity_icon(theme, problem.severity);
                    ui.label(icon.text().color(color));
                    ui.vertical(|ui| {
                        let message = egui::Label::new(&problem.message).wrap().sense(Sense::click());
                        let response = ui.add(message).on_hover_cursor(egui::CursorIcon::PointingHand);
                        if response.clicked() {
                            jump = line;
                        }
                        if !problem.fix.is_empty() {
                            ui.add(egui::Label::new(egui::RichText::new(&problem.fix).color(theme.text_weak)).wrap());
                        }
                        if let Some(line) = line
                            && ui.link(format!("Line {line}")).clicked()
                        {
                            jump = Some(line);
                        }
                    });
                });
            });
            ui.add_space(size::PAD);
        }
        if jump.is_some() {
            self.jump = jump;
        }
    }
}

/// The icon and colour of a severity.
pub fn severity_icon(theme: &Theme, severity: Severity) -> (crate::icon::Icon, Color32) {
    match severity {
        Severity::Error => (crate::icon::Icon::X_CIRCLE, theme.error),
        Severity::Warning => (crate::icon::Icon::WARNING, theme.warning),
        Severity::Info => (crate::icon::Icon::INFO, theme.text_weak),
    }
}

/// The worst problem of each line, with the text of all of them.
struct Marks(std::collections::BTreeMap<usize, (Severity, String)>);

impl Marks {
    fn of(problems: &[Problem]) -> Self {
        let mut marks = std::collections::BTreeMap::<usize, (Severity, String)>::new();
        for problem in problems {
            let line = words::line_of(&problem.place).unwrap_or(1);
            let mark = marks.entry(line).or_insert((problem.severity, String::new()));
            mark.0 = mark.0.max(problem.severity);
            for part in [&problem.message, &problem.fix] {
                if !part.is_empty() {
                    if !mark.1.is_empty() {
                        mark.1.push('\n');
                    }
                    mark.1.push_str(part);
                }
            }
        }
        Self(marks)
    }

    fn on(&self, line: usize) -> Option<&(Severity, String)> {
        self.0.get(&line)
    }
}

fn paint_line(
    ui: &Ui,
    theme: &Theme,
    font: &FontId,
    area: Rect,
    wide: Rect,
    line: usize,
    mark: Option<&(Severity, String)>,
    id: Id,
) {
    let mut color = theme.text_weak;
    if let Some((severity, message)) = mark {
        let (icon, mark_color) = severity_icon(theme, *severity);
        color = mark_color;
        ui.painter().rect_filled(wide, 0.0, mark_color.gamma_multiply(0.12));
        if let Some(glyph) = icon.glyph() {
            let at = pos2(area.left() + size::PAD / 2.0, area.center().y);
            let font = crate::icon::Icon::font_id(size::ICON - 2.0);
            ui.painter().text(at, Align2::LEFT_CENTER, glyph, font, mark_color);
        }
        let response = ui.interact(area, id.with(("mark", line)), Sense::hover());
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Label, true, format!("Line {line}: {message}")));
        response.on_hover_text(message);
    }
    let at = pos2(area.right() - size::PAD, area.center().y);
    ui.painter().text(at, Align2::RIGHT_CENTER, line, font.clone(), color);
}

fn byte_of(text: &str, char_index: usize) -> usize {
    text.char_indices().nth(char_index).map_or(text.len(), |(byte, _)| byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(severity: Severity, place: &str) -> Problem {
        Problem {
            severity,
            code: "test".into(),
            file: "pipeline.config".into(),
            place: place.into(),
            message: format!("{severity} at {place}"),
            fix: String::new(),
        }
    }

    #[test]
    fn a_line_shows_its_worst_problem_and_all_messages() {
        let marks = Marks::of(&[
            problem(Severity::Warning, "line 3, column 1"),
            problem(Severity::Error, "line 3, column 9"),
            problem(Severity::Info, ""),
        ]);
        let (severity, message) = marks.on(3).expect("a mark");
        assert_eq!(*severity, Severity::Error);
        assert_eq!(message.lines().count(), 2);
        assert!(marks.on(1).is_some() && marks.on(2).is_none());
    }

    #[test]
    fn a_change_on_disk_does_not_overwrite_unsaved_text() {
        let mut editor = TextEditor::default();
        editor.load("one", false);
        assert!(!editor.is_changed());
        editor.text.push_str(" edited");
        editor.load("two", false);
        assert_eq!(editor.text, "one edited");
        assert!(editor.is_changed());
        editor.load("two", true);
        assert_eq!(editor.text, "two");
    }

    #[test]
    fn the_check_runs_once_a_text() {
        let mut editor = TextEditor { text: "a".into(), ..TextEditor::default() };
        let runs = std::cell::Cell::new(0);
        let check = |_: &str| {
            runs.set(runs.get() + 1);
            vec![problem(Severity::Error, "line 1")]
        };
        editor.check(check);
        editor.check(check);
        assert_eq!((runs.get(), editor.errors()), (1, 1));
        editor.recheck();
        editor.check(check);
        assert_eq!(runs.get(), 2);
    }
}
