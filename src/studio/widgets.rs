//! The few widgets of which the panels are made: buttons of commands, headings, hints, marks.

use egui::{Align2, Button, Color32, Rect, Response, RichText, Sense, Ui, Vec2, WidgetInfo, pos2, vec2};

use crate::command::UiCommand;
use crate::icon::Icon;
use crate::theme::{Theme, size};

/// A button with an icon only; its tooltip and its accessible name are the command's.
pub fn icon_button(ui: &mut Ui, command: UiCommand, active: bool) -> Response {
    let spec = command.spec();
    icon_only(ui, spec.icon, spec.label, &command.tooltip(), active)
}

/// A button with an icon only.
pub fn icon_only(ui: &mut Ui, icon: Icon, name: &str, tooltip: &str, active: bool) -> Response {
    let theme = Theme::of(ui.ctx());
    let color = if active { theme.accent } else { theme.text };
    let button = Button::new(icon.text().color(color)).frame_when_inactive(active).min_size(Vec2::splat(size::ROW));
    // Room for the glyph alone, so that a row of icons is a row of squares.
    ui.scope(|ui| {
        ui.spacing_mut().button_padding = vec2(4.0, 2.0);
        ui.add(button.selected(active))
    })
    .inner
    .on_hover_text(tooltip)
    .accessible_name(name)
}

/// A button with an icon and words.
pub fn button(ui: &mut Ui, icon: Icon, label: &str) -> Response {
    let theme = Theme::of(ui.ctx());
    ui.add(Button::new((icon.text().color(theme.text), label)).gap(6.0)).accessible_name(label)
}

/// A button of a command with its icon and label.
pub fn command_button(ui: &mut Ui, command: UiCommand) -> Response {
    let spec = command.spec();
    button(ui, spec.icon, spec.label).on_hover_text(command.tooltip())
}

/// The one primary action of a view.
pub fn primary(ui: &mut Ui, icon: Icon, label: &str) -> Response {
    let theme = Theme::of(ui.ctx());
    let enabled = ui.is_enabled();
    let (fill, text) = if enabled { (theme.accent, theme.on_accent) } else { (theme.raised, theme.text) };
    let button = Button::new((icon.text().color(text), RichText::new(label).color(text)))
        .fill(fill)
        .gap(6.0)
        .min_size(vec2(0.0, 28.0));
    ui.add(button).accessible_name(label)
}

/// A row of a menu: icon, label, key.
pub fn menu_item(ui: &mut Ui, command: UiCommand) -> Response {
    let spec = command.spec();
    let button = Button::new((spec.icon.text(), spec.label)).gap(8.0).shortcut_text(command.key_text());
    ui.add(button).on_hover_text(spec.tooltip).accessible_name(spec.label)
}

/// Controls whose edge must stand out from the panel: text fields, checkboxes, number fields.
pub fn edged<R>(ui: &mut Ui, content: impl FnOnce(&mut Ui) -> R) -> R {
    let theme = Theme::of(ui.ctx());
    ui.scope(|ui| {
        let widgets = &mut ui.visuals_mut().widgets;
        for state in [&mut widgets.inactive, &mut widgets.hovered] {
            state.bg_stroke = egui::Stroke::new(1.0, theme.control);
        }
        ui.visuals_mut().selection.bg_fill = theme.accent.gamma_multiply(0.6);
        content(ui)
    })
    .inner
}

/// A checkbox with its name.
pub fn checkbox(ui: &mut Ui, is_set: &mut bool, name: &str) -> Response {
    edged(ui, |ui| ui.checkbox(is_set, name))
}

/// A text field of one line with its accessible name, as high as a button.
pub fn text_field(ui: &mut Ui, field: egui::TextEdit<'_>, name: &str) -> Response {
    edged(ui, |ui| ui.add(field.margin(vec2(6.0, 4.0))).accessible_name(name))
}

/// The heading of a section in a panel.
pub fn section(ui: &mut Ui, text: &str) {
    ui.add_space(size::PAD);
    ui.label(RichText::new(text).size(size::HEADING));
    ui.add_space(4.0);
}

/// A small label above or beside a control.
pub fn caption(ui: &mut Ui, text: &str) -> Response {
    let theme = Theme::of(ui.ctx());
    ui.label(RichText::new(text).size(size::LABEL).color(theme.text_weak))
}

/// Text of lower rank that may take several lines.
pub fn hint(ui: &mut Ui, text: &str) -> Response {
    let theme = Theme::of(ui.ctx());
    ui.add(egui::Label::new(RichText::new(text).color(theme.text_weak)).wrap())
}

/// A view with nothing in it: what it would hold, and the one next step. The answer is the
/// button's click.
pub fn empty_state(ui: &mut Ui, icon: Icon, text: &str, action: Option<(Icon, &str)>) -> bool {
    let theme = Theme::of(ui.ctx());
    let mut clicked = false;
    let height = if action.is_some() { 128.0 } else { 88.0 };
    ui.add_space(((ui.available_height() - height) / 2.0).max(size::PAD));
    ui.vertical_centered(|ui| {
        ui.label(icon.sized(32.0).color(theme.text_weak));
        ui.add_space(4.0);
        ui.set_max_width(ui.available_width().min(320.0));
        ui.add(egui::Label::new(RichText::new(text).color(theme.text_weak)).wrap());
        if let Some((icon, label)) = action {
            ui.add_space(size::PAD_LARGE);
            clicked = primary(ui, icon, label).clicked();
        }
    });
    clicked
}

/// The content of a panel with its padding.
pub fn padded<R>(ui: &mut Ui, content: impl FnOnce(&mut Ui) -> R) -> R {
    egui::Frame::NONE.inner_margin(egui::Margin::same(size::PAD as i8)).show(ui, content).inner
}

/// A small square of a colour, as beside a class.
pub fn swatch(ui: &mut Ui, color: Color32) -> Response {
    let (rect, response) = ui.allocate_exact_size(vec2(12.0, size::ROW), Sense::hover());
    paint_swatch(ui.painter(), rect.center(), color);
    response
}

/// Paints the square.
pub fn paint_swatch(painter: &egui::Painter, center: egui::Pos2, color: Color32) {
    painter.rect_filled(Rect::from_center_size(center, Vec2::splat(10.0)), 2.0, color);
}

/// A row of a list over the whole width: its background, its click, its accessible name.
pub fn list_row(ui: &mut Ui, height: f32, selected: bool, name: &str) -> (Rect, Response) {
    let theme = Theme::of(ui.ctx());
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::click());
    response.widget_info(|| WidgetInfo::selected(egui::Role::Button, ui.is_enabled(), selected, name));
    if ui.is_rect_visible(rect) {
        let fill = match (selected, response.hovered()) {
            (true, _) => theme.selected,
            (false, true) => theme.raised,
            (false, false) => Color32::TRANSPARENT,
        };
        ui.painter().rect_filled(rect, f32::from(size::RADIUS), fill);
        if response.has_focus() {
            let edge = egui::Stroke::new(1.0, theme.accent);
            ui.painter().rect_stroke(rect, f32::from(size::RADIUS), edge, egui::StrokeKind::Inside);
        }
    }
    (rect, response)
}

/// Text in a row, cut with "…" where the room ends. Gives the right end of what was painted.
pub fn row_text(ui: &Ui, left: f32, right: f32, y: f32, text: &str, font_size: f32, color: Color32) -> f32 {
    let mut job =
        egui::text::LayoutJob::simple_singleline(text.to_owned(), egui::FontId::proportional(font_size), color);
    job.wrap = egui::text::TextWrapping::truncate_at_width((right - left).max(0.0));
    let galley = ui.fonts_mut(|f| f.layout_job(job));
    let end = left + galley.size().x;
    ui.painter().galley(pos2(left, y - galley.size().y / 2.0), galley, color);
    end
}

/// Text at the right end of a row. Gives its left end.
pub fn row_text_right(ui: &Ui, right: f32, y: f32, text: &str, font_size: f32, color: Color32) -> f32 {
    let font = egui::FontId::proportional(font_size);
    ui.painter().text(pos2(right, y), Align2::RIGHT_CENTER, text, font, color).left()
}

/// An icon in a row, around a point.
pub fn row_icon(ui: &Ui, center: egui::Pos2, icon: Icon, color: Color32) {
    if let Some(glyph) = icon.glyph() {
        ui.painter().text(center, Align2::CENTER_CENTER, glyph, Icon::font_id(size::ICON), color);
    }
}

/// The whole window as the place where dragged files may fall.
pub fn drop_target(ctx: &egui::Context, text: &str) {
    let theme = Theme::of(ctx);
    let layer = egui::LayerId::new(egui::Order::Foreground, egui::Id::unique("drop target"));
    let painter = ctx.layer_painter(layer);
    let rect = ctx.content_rect();
    painter.rect_filled(rect, 0.0, theme.canvas.gamma_multiply(0.85));
    let edge = egui::Stroke::new(2.0, theme.accent);
    painter.rect_stroke(rect.shrink(size::PAD_LARGE), f32::from(size::RADIUS), edge, egui::StrokeKind::Inside);
    let font = egui::FontId::proportional(size::TITLE);
    painter.text(rect.center(), Align2::CENTER_CENTER, text, font, theme.text);
}
