//! The images of the project: filter, thumbnails, states, counts. Only the rows on the screen are
//! laid out, so a hundred thousand images scroll like ten.

use boxwright_core::{ImageEntry, ImageId, ReviewState, Split};
use egui::{Color32, Id, Rect, ScrollArea, TextEdit, Ui, pos2, vec2};

use crate::command::UiCommand;
use crate::context::{PanelContext, Request};
use crate::icon::Icon;
use crate::picture_cache::Status;
use crate::theme::{Theme, size};
use crate::{widgets, words};

/// What the list shows, and where it is.
#[derive(Default)]
pub struct ImageList {
    /// The text of the filter.
    pub filter: String,
    /// Only images of this state.
    pub state: Option<ReviewState>,
    /// Only images of this split.
    pub split: Option<Split>,
    /// Indices into the project's images.
    visible: Vec<usize>,
    focus_filter: bool,
    scroll_to: Option<ImageId>,
    offset: f32,
}

impl ImageList {
    /// Puts the cursor into the filter in the next frame.
    pub fn focus_filter(&mut self) {
        self.focus_filter = true;
    }

    /// Scrolls to an image in the next frame, if it is not on the screen.
    pub fn scroll_to(&mut self, image: ImageId) {
        self.scroll_to = Some(image);
    }

    /// Applies the filter. Call it once a frame, before the list is asked for anything.
    pub fn update(&mut self, images: &[ImageEntry]) {
        let words: Vec<String> = self.filter.split_whitespace().map(str::to_lowercase).collect();
        let mut visible = std::mem::take(&mut self.visible);
        visible.clear();
        visible.extend(images.iter().enumerate().filter(|(_, e)| self.matches(e, &words)).map(|(i, _)| i));
        self.visible = visible;
    }

    fn matches(&self, entry: &ImageEntry, words: &[String]) -> bool {
        self.state.is_none_or(|s| s == entry.state)
            && self.split.is_none_or(|s| s == entry.split)
            && (words.is_empty() || {
                let path = entry.path.to_lowercase();
                words.iter().all(|word| path.contains(word.as_str()))
            })
    }

    /// The image a number of rows after another one; the first or last where there is no other, and
    /// the nearest that follows where the other one is filtered out.
    pub fn step(&self, images: &[ImageEntry], from: Option<ImageId>, by: isize) -> Option<ImageId> {
        let last = self.visible.len().checked_sub(1)?;
        let at = from.and_then(|id| images.iter().position(|e| e.id == id));
        let place = match at {
            None => 0,
            Some(index) => {
                let found = self.visible.partition_point(|i| *i < index);
                let is_shown = self.visible.get(found) == Some(&index);
                // From a hidden image, "next" is the one that took its place.
                let by = if is_shown || by < 0 { by } else { by - 1 };
                found.saturating_add_signed(by).min(last)
            }
        };
        images.get(self.visible[place]).map(|e| e.id)
    }

    /// The first image after another one, around the end, that has a state.
    pub fn next_with_state(&self, images: &[ImageEntry], from: Option<ImageId>, state: ReviewState) -> Option<ImageId> {
        let at = from.and_then(|id| images.iter().position(|e| e.id == id)).map_or(0, |i| i + 1);
        let split = self.visible.partition_point(|i| *i < at);
        let order = self.visible[split..].iter().chain(&self.visible[..split]);
        order.map(|i| &images[*i]).find(|e| e.state == state && Some(e.id) != from).map(|e| e.id)
    }

    /// Shows filter, counts and rows.
    pub fn show(&mut self, ui: &mut Ui, cx: &mut PanelContext<'_>, current: Option<ImageId>) {
        let images = cx.session.images();
        if images.is_empty() {
            // The canvas beside it says the next step.
            widgets::padded(ui, |ui| widgets::hint(ui, "The images of the project will be listed here."));
            return;
        }
        widgets::padded(ui, |ui| {
            self.show_filter(ui);
            self.show_counts(ui, images);
        });
        if self.visible.is_empty() {
            if widgets::empty_state(ui, Icon::FUNNEL, words::NO_MATCH, Some((Icon::X, "Show all images"))) {
                self.filter.clear();
                self.state = None;
                self.split = None;
            }
            return;
        }
        self.show_rows(ui, cx, current);
    }

    fn show_filter(&mut self, ui: &mut Ui) {
        let id = Id::unique("image filter");
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 4.0;
            let width = ui.available_width() - size::ROW - 4.0;
            let field = TextEdit::singleline(&mut self.filter).id(id).hint_text("Filter images").desired_width(width);
            widgets::text_field(ui, field, "Filter images").on_hover_text(UiCommand::Filter.tooltip());
            let is_set = self.state.is_some() || self.split.is_some();
            let button =
                widgets::icon_only(ui, Icon::FUNNEL, "Filter by state and split", "Only some states or splits", is_set);
            egui::Popup::menu(&button).show(|ui| {
                ui.set_min_width(150.0);
                widgets::caption(ui, "State");
                ui.selectable_value(&mut self.state, None, "All states");
                for state in ReviewState::ALL {
                    ui.selectable_value(&mut self.state, Some(state), words::state(state));
                }
                ui.separator();
                widgets::caption(ui, "Split");
                ui.selectable_value(&mut self.split, None, "All splits");
                for split in Split::ALL {
                    ui.selectable_value(&mut self.split, Some(split), words::split(split));
                }
            });
        });
        if std::mem::take(&mut self.focus_filter) {
            ui.memory_mut(|m| m.request_focus(id));
        }
    }

    fn show_counts(&self, ui: &mut Ui, images: &[ImageEntry]) {
        let done = images.iter().filter(|e| e.state != ReviewState::New).count();
        let shown = if self.visible.len() == images.len() {
            words::count(images.len(), "image", "images")
        } else {
            format!(
                "{} of {}",
                words::group_digits(self.visible.len() as u64),
                words::count(images.len(), "image", "images")
            )
        };
        ui.add_space(4.0);
        let theme = Theme::of(ui.ctx());
        let text = format!("{shown} · {} done", words::group_digits(done as u64));
        let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 16.0), egui::Sense::hover());
        widgets::row_text(ui, rect.left(), rect.right(), rect.center().y, &text, size::LABEL, theme.text_weak);
        // How far the work is, as a thin line.
        let (bar, _) = ui.allocate_exact_size(vec2(ui.available_width(), 3.0), egui::Sense::hover());
        ui.painter().rect_filled(bar, 1.5, theme.raised);
        let mut filled = bar;
        filled.set_width(bar.width() * done as f32 / images.len().max(1) as f32);
        ui.painter().rect_filled(filled, 1.5, theme.success);
    }

    fn show_rows(&mut self, ui: &mut Ui, cx: &mut PanelContext<'_>, current: Option<ImageId>) {
        let images = cx.session.images();
        ui.spacing_mut().item_spacing.y = 0.0;
        let mut area = ScrollArea::vertical().id_salt("image rows").auto_shrink(false);
        if let Some(image) = self.scroll_to.take()
            && let Some(row) = self.visible.iter().position(|i| images[*i].id == image)
        {
            let top = row as f32 * size::THUMB_ROW;
            let height = ui.available_height();
            if top < self.offset {
                area = area.vertical_scroll_offset(top);
            } else if top + size::THUMB_ROW > self.offset + height {
                area = area.vertical_scroll_offset(top + size::THUMB_ROW - height);
            }
        }
        let output = area.show_rows(ui, size::THUMB_ROW, self.visible.len(), |ui, rows| {
            for row in rows {
                if let Some(entry) = self.visible.get(row).and_then(|i| images.get(*i)) {
                    ui.push_id(entry.id, |ui| show_row(ui, cx, entry, current == Some(entry.id)));
                }
            }
        });
        self.offset = output.state.clamped_offset().y;
    }
}

/// The mark of a review state.
pub fn state_icon(theme: &Theme, state: ReviewState) -> (Icon, Color32) {
    match state {
        ReviewState::New => (Icon::CIRCLE_DASHED, theme.text_weak),
        ReviewState::Annotated => (Icon::PENCIL, theme.text_weak),
        ReviewState::Verified => (Icon::SEAL, theme.success),
        ReviewState::Background => (Icon::PROHIBIT, theme.text_weak),
    }
}

fn show_row(ui: &mut Ui, cx: &mut PanelContext<'_>, entry: &ImageEntry, selected: bool) {
    let theme = Theme::of(ui.ctx());
    let boxes = words::count(entry.boxes, "box", "boxes");
    let detail = match entry.split {
        Split::Unassigned => boxes,
        split => format!("{boxes} · {}", words::split(split)),
    };
    let name = format!("{}, {detail}, {}", entry.file_name(), words::state(entry.state));
    let (rect, response) = widgets::list_row(ui, size::THUMB_ROW, selected, &name);
    if ui.is_rect_visible(rect) {
        let place = Rect::from_min_size(rect.min + vec2(size::PAD, 4.0), size::THUMB);
        show_thumbnail(ui, cx, entry, place);
        let left = place.right() + size::PAD;
        let right = rect.right() - size::PAD - 20.0;
        widgets::row_text(ui, left, right, rect.top() + 19.0, entry.file_name(), size::TEXT, theme.text);
        widgets::row_text(ui, left, right, rect.top() + 38.0, &detail, size::LABEL, theme.text_weak);
        let (icon, color) = state_icon(theme, entry.state);
        widgets::row_icon(ui, pos2(rect.right() - size::PAD - 8.0, rect.center().y), icon, color);
    }
    if response.hovered() {
        cx.outbox.hint(format!("{} · {} · {}", entry.path, entry.size, words::state(entry.state)));
    }
    if response.clicked() {
        cx.outbox.push(Request::OpenImage(entry.id, None));
    }
}

/// A thumbnail in its place, with its own proportions.
pub fn show_thumbnail(ui: &Ui, cx: &mut PanelContext<'_>, entry: &ImageEntry, place: Rect) {
    let theme = Theme::of(ui.ctx());
    ui.painter().rect_filled(place, 2.0, theme.canvas);
    let Some(path) = cx.session.image_path(entry.id) else { return };
    match cx.pictures.thumb(&path) {
        Status::Ready(texture) => {
            let texture_size = texture.size_vec2();
            let scale = (place.width() / texture_size.x).min(place.height() / texture_size.y);
            let rect = Rect::from_center_size(place.center(), texture_size * scale);
            let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
            ui.painter().image(texture.id(), rect, uv, Color32::WHITE);
        }
        Status::Failed(_) => widgets::row_icon(ui, place.center(), Icon::WARNING, theme.error),
        Status::Waiting => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use boxwright_core::ImageSize;

    fn images() -> Vec<ImageEntry> {
        (0..6)
            .map(|i| ImageEntry {
                id: ImageId(10 + i),
                path: format!("photos/{}_{i}.jpg", if i % 2 == 0 { "Cat" } else { "dog" }),
                size: ImageSize::new(4, 4),
                split: Split::Train,
                state: if i == 4 { ReviewState::New } else { ReviewState::Verified },
                boxes: 0,
            })
            .collect()
    }

    #[test]
    fn the_filter_takes_words_in_any_case_and_states() {
        let images = images();
        let mut list = ImageList { filter: "CAT photos".into(), ..ImageList::default() };
        list.update(&images);
        assert_eq!(list.visible, [0, 2, 4]);
        list.state = Some(ReviewState::New);
        list.update(&images);
        assert_eq!(list.visible, [4]);
    }

    #[test]
    fn steps_stay_in_the_filtered_list() {
        let images = images();
        let mut list = ImageList { filter: "cat".into(), ..ImageList::default() };
        list.update(&images);
        let step = |from, by| list.step(&images, from, by);
        assert_eq!(step(None, 1), Some(ImageId(10)));
        assert_eq!(step(Some(ImageId(10)), 1), Some(ImageId(12)));
        assert_eq!(step(Some(ImageId(14)), 1), Some(ImageId(14)));
        assert_eq!(step(Some(ImageId(10)), -1), Some(ImageId(10)));
        // From an image that the filter hides.
        assert_eq!(step(Some(ImageId(11)), 1), Some(ImageId(12)));
        assert_eq!(step(Some(ImageId(11)), -1), Some(ImageId(10)));
        assert_eq!(ImageList::default().step(&images, None, 1), None);
    }

    #[test]
    fn the_next_new_image_is_found_around_the_end() {
        let images = images();
        let mut list = ImageList::default();
        list.update(&images);
        assert_eq!(list.next_with_state(&images, Some(ImageId(15)), ReviewState::New), Some(ImageId(14)));
        assert_eq!(list.next_with_state(&images, Some(ImageId(14)), ReviewState::New), None);
    }
}
