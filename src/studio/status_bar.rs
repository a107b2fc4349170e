//! The bar at the bottom: where the pointer is, the zoom, the boxes, when it was saved, a hint.

use egui::{Frame, Margin, Panel, RichText, Ui};

use crate::theme::{Theme, size};

/// What the bar says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// The pixel under the pointer.
    pub pixel: Option<(i64, i64)>,
    /// The zoom in percent.
    pub zoom: Option<f64>,
    /// More about what is shown, such as the number of boxes.
    pub facts: Vec<String>,
    /// When the last edit was on disk.
    pub saved: Option<String>,
    /// About what the pointer is over.
    pub hint: String,
}

/// Shows the bar.
pub fn show(ui: &mut Ui, status: &Status) {
    let theme = Theme::of(ui.ctx());
    let frame = Frame::NONE.fill(theme.bar).inner_margin(Margin::symmetric(8, 0));
    let text = |text: &str| RichText::new(text).size(size::LABEL).color(theme.text_weak);
    Panel::bottom("status bar").exact_size(size::STATUS_BAR).frame(frame).show_separator_line(true).show(ui, |ui| {
        ui.horizontal_centered(|ui| {
            ui.spacing_mut().item_spacing.x = 16.0;
            if let Some(zoom) = status.zoom {
                // A fixed width, so that the rest does not jump as the pointer moves.
                let pixel = status.pixel.map(|(x, y)| format!("{x}, {y} px")).unwrap_or_default();
                ui.add_sized([96.0, size::ROW], egui::Label::new(text(&pixel)).halign(egui::Align::Min));
                ui.add_sized(
                    [48.0, size::ROW],
                    egui::Label::new(text(&format!("{zoom:.0} %"))).halign(egui::Align::Min),
                );
            }
            for fact in &status.facts {
                ui.label(text(fact));
            }
            if let Some(saved) = &status.saved {
                ui.label(text(&format!("saved {saved}"))).on_hover_text("Every edit is on disk as soon as it is made");
            }
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                ui.add(egui::Label::new(text(&status.hint)).truncate());
            });
        });
    });
}
