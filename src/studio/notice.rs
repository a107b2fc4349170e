//! Short messages in the lower right corner.
//!
//! What went well goes by itself after a few seconds; an error stays until it is closed, so that
//! nobody misses it, and can be copied.

use std::time::{Duration, Instant};

use egui::{Align2, Area, Context, Frame, Id, Order, RichText, Ui, vec2};

use crate::icon::Icon;
use crate::theme::{Theme, size};
use crate::widgets;

/// How long a good message stays.
const SHOWN_FOR: Duration = Duration::from_secs(4);
/// How many messages stay on the screen.
const LIMIT: usize = 5;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Done.
    Done,
    /// Failed.
    Failed,
}

struct Notice {
    tone: Tone,
    text: String,
    since: Instant,
    times: usize,
}

/// The messages on the screen.
#[derive(Default)]
pub struct Notices {
    notices: Vec<Notice>,
}

impl Notices {
    /// Something is done.
    pub fn done(&mut self, text: impl Into<String>) {
        self.push(Tone::Done, text.into());
    }

    /// Something failed.
    pub fn failed(&mut self, text: impl Into<String>) {
        self.push(Tone::Failed, text.into());
    }

    /// A message. The same one again is counted instead of repeated.
    fn push(&mut self, tone: Tone, text: String) {
        if let Some(last) = self.notices.iter_mut().find(|n| n.tone == tone && n.text == text) {
            last.since = Instant::now();
            last.times += 1;
            return;
        }
        self.notices.push(Notice { tone, text, since: Instant::now(), times: 1 });
        if self.notices.len() > LIMIT {
            self.notices.remove(0);
        }
    }

    /// The texts on the screen, oldest first.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.notices.iter().map(|n| n.text.as_str())
    }

    /// Shows them.
    pub fn show(&mut self, ctx: &Context) {
        self.notices.retain(|n| n.tone == Tone::Failed || n.since.elapsed() < SHOWN_FOR);
        if self.notices.is_empty() {
            return;
        }
        if self.notices.iter().any(|n| n.tone == Tone::Done) {
            ctx.request_repaint_after(Duration::from_millis(500));
        }
        let mut closed = None;
        Area::new(Id::unique("notices"))
            .order(Order::Foreground)
            .anchor(Align2::RIGHT_BOTTOM, vec2(-size::PAD_LARGE, -(size::STATUS_BAR + size::PAD_LARGE)))
            .show(ctx, |ui| {
                for (index, notice) in self.notices.iter().enumerate() {
                    ui.push_id(index, |ui| {
                        if show_one(ui, notice) {
                            closed = Some(index);
                        }
                    });
                    ui.add_space(4.0);
                }
            });
        if let Some(index) = closed {
            self.notices.remove(index);
        }
    }
}

/// Shows one message; says whether it was closed.
fn show_one(ui: &mut Ui, notice: &Notice) -> bool {
    let theme = Theme::of(ui.ctx());
    let mut closed = false;
    Frame::popup(ui.style()).inner_margin(size::PAD).show(ui, |ui| {
        ui.set_width(340.0);
        ui.horizontal_top(|ui| {
            let (icon, color) = match notice.tone {
                Tone::Done => (Icon::CHECK_CIRCLE, theme.success),
                Tone::Failed => (Icon::WARNING_CIRCLE, theme.error),
            };
            ui.label(icon.text().color(color));
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Min), |ui| {
                closed = widgets::icon_only(ui, Icon::X, "Close the message", "Close the message", false).clicked();
                if notice.tone == Tone::Failed
                    && widgets::icon_only(ui, Icon::COPY, "Copy the message", "Copy the message", false).clicked()
                {
                    ui.ctx().copy_text(notice.text.clone());
                }
                if notice.times > 1 {
                    ui.label(RichText::new(format!("{}×", notice.times)).color(theme.text_weak));
                }
                ui.with_layout(egui::Layout::top_down(egui::Align::Min), |ui| {
                    ui.add_space(3.0);
                    ui.add(egui::Label::new(&notice.text).wrap().selectable(true));
                });
            });
        });
    });
    closed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_message_is_counted_and_old_ones_make_room() {
        let mut notices = Notices::default();
        notices.failed("disk full");
        notices.failed("disk full");
        assert_eq!((notices.notices.len(), notices.notices[0].times), (1, 2));
        for i in 0..20 {
            notices.done(i.to_string());
        }
        assert_eq!(notices.texts().count(), LIMIT);
    }
}
