//! The theme's colours and sizes as an egui style, and the fonts.

use std::collections::BTreeMap;
use std::sync::Arc;

use egui::style::{ScrollStyle, WidgetVisuals};
use egui::{
    Color32, Context, CornerRadius, FontData, FontDefinitions, FontFamily, FontId, Margin, Stroke, Style, TextStyle,
    vec2,
};

use crate::icon;
use crate::theme::{DARK, LIGHT, Theme, size};

/// The text style of a screen's one title.
pub fn title() -> TextStyle {
    TextStyle::Name("title".into())
}

/// Sets fonts and both styles. Call it once, before the first frame.
pub fn install(ctx: &Context) {
    ctx.set_fonts(fonts());
    ctx.set_style_of(egui::Theme::Dark, style(&DARK));
    ctx.set_style_of(egui::Theme::Light, style(&LIGHT));
    ctx.options_mut(|options| {
        options.fallback_theme = egui::Theme::Dark;
        // Ctrl+plus and Ctrl+minus belong to the canvas.
        options.zoom_with_keyboard = false;
    });
}

fn fonts() -> FontDefinitions {
    let mut fonts = FontDefinitions::default();
    // The arrows of the key names are in the monospaced font only.
    let monospace = fonts.families.get(&FontFamily::Monospace).cloned().unwrap_or_default();
    let proportional = fonts.families.entry(FontFamily::Proportional).or_default();
    proportional.extend(monospace.into_iter().take(1));
    if let Some(asset) = icon::font() {
        fonts.font_data.insert(icon::FAMILY.to_owned(), Arc::new(FontData::from_static(asset)));
        let family = FontFamily::Name(icon::FAMILY.into());
        let mut chain = vec![icon::FAMILY.to_owned()];
        chain.extend(fonts.families.get(&FontFamily::Proportional).cloned().unwrap_or_default());
        fonts.families.insert(family, chain);
    }
    fonts
}

fn style(theme: &Theme) -> Style {
    let mut style = Style {
        text_styles: BTreeMap::from([
            (TextStyle::Body, FontId::proportional(size::TEXT)),
            (TextStyle::Button, FontId::proportional(size::TEXT)),
            (TextStyle::Small, FontId::proportional(size::LABEL)),
            (TextStyle::Heading, FontId::proportional(size::HEADING)),
            (TextStyle::Monospace, FontId::monospace(size::TEXT)),
            (title(), FontId::proportional(size::TITLE)),
        ]),
        animation_time: 0.1,
        ..Style::default()
    };
    let spacing = &mut style.spacing;
    spacing.item_spacing = vec2(8.0, 4.0);
    spacing.button_padding = vec2(8.0, 3.0);
    spacing.interact_size = vec2(size::ROW, size::ROW);
    spacing.window_margin = Margin::same(12);
    spacing.menu_margin = Margin::same(6);
    spacing.combo_width = 120.0;
    spacing.text_edit_width = 200.0;
    spacing.tooltip_width = 340.0;
    spacing.slider_width = 180.0;
    spacing.indent = 16.0;
    spacing.scroll = ScrollStyle { bar_width: 8.0, floating_width: 4.0, ..ScrollStyle::floating() };
    style.interaction.tooltip_delay = 0.4;
    style.interaction.selectable_labels = false;
    style.visuals = visuals(theme);
    style
}

fn visuals(theme: &Theme) -> egui::Visuals {
    let mut v = if theme.dark { egui::Visuals::dark() } else { egui::Visuals::light() };
    v.panel_fill = theme.panel;
    v.window_fill = theme.panel;
    v.window_stroke = Stroke::new(1.0, theme.hairline);
    v.extreme_bg_color = theme.field;
    v.text_edit_bg_color = Some(theme.field);
    v.faint_bg_color = theme.bar;
    v.code_bg_color = theme.bar;
    v.hyperlink_color = theme.accent;
    v.error_fg_color = theme.error;
    v.warn_fg_color = theme.warning;
    v.weak_text_color = Some(theme.text_weak);
    v.selection.bg_fill = theme.selected;
    v.selection.stroke = Stroke::new(1.0, theme.accent);
    v.window_corner_radius = CornerRadius::same(size::RADIUS);
    v.menu_corner_radius = CornerRadius::same(size::RADIUS);
    v.window_shadow.color = Color32::from_black_alpha(if theme.dark { 120 } else { 50 });
    v.popup_shadow.color = v.window_shadow.color;
    v.striped = false;
    v.slider_trailing_fill = true;
    v.text_cursor.stroke = Stroke::new(2.0, theme.accent);
    v.disabled_alpha = 0.45;

    let widget = |fill: Color32, edge: Stroke, text: Color32| WidgetVisuals {
        bg_fill: fill,
        weak_bg_fill: fill,
        bg_stroke: edge,
        corner_radius: CornerRadius::same(size::RADIUS),
        fg_stroke: Stroke::new(1.0, text),
        expansion: 0.0,
    };
    let none = Stroke::NONE;
    v.widgets.noninteractive = widget(theme.panel, Stroke::new(1.0, theme.hairline), theme.text);
    v.widgets.inactive = widget(theme.raised, none, theme.text);
    v.widgets.hovered = widget(theme.hover, none, theme.text);
    v.widgets.active = widget(theme.pressed, Stroke::new(1.0, theme.accent), theme.text);
    v.widgets.open = widget(theme.hover, none, theme.text);
    // The rail of a slider and the box of a checkbox must stand out from a panel by themselves.
    v.widgets.inactive.bg_stroke = Stroke::new(1.0, theme.hairline);
    v
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_styles_use_the_theme() {
        let ctx = Context::default();
        install(&ctx);
        for (which, theme) in [(egui::Theme::Dark, DARK), (egui::Theme::Light, LIGHT)] {
            let style = ctx.style_of(which);
            assert_eq!(style.visuals.panel_fill, theme.panel);
            assert_eq!(style.text_styles[&TextStyle::Body].size, size::TEXT);
        }
    }

    #[test]
    fn figures_are_tabular() {
        let ctx = Context::default();
        install(&ctx);
        let widths = std::cell::RefCell::new(Vec::new());
        let _ = ctx.run_ui(egui::RawInput::default(), |ui| {
            let font = TextStyle::Body.resolve(ui.style());
            *widths.borrow_mut() = ui.fonts_mut(|f| ('0'..='9').map(|c| f.glyph_width(&font, c)).collect::<Vec<f32>>());
        });
        let widths = widths.into_inner();
        assert!(widths[0] > 0.0 && widths.iter().all(|w| (w - widths[0]).abs() < 0.01), "{widths:?}");
    }
}
