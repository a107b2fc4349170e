//! Detections over the ground truth: what a run finds, what it misses, and where it is wrong.
//!
//! Everything is matched when a run's detections arrive; the threshold then only cuts sorted lists
//! ([`crate::matching`]), so the slider answers in the frame in which it moves.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use boxwright_core::run::RunDetections;
use boxwright_core::{Annotation, BoxId, ImageEntry, ImageId, ImageSize, LabelId, PixelBox};
use boxwright_session::{Command, RunView, Session};
use egui::{ComboBox, Context, Rect, RichText, ScrollArea, Slider, Ui, pos2, vec2};

use crate::canvas::{Stage, Staged, paint};
use crate::command::UiCommand;
use crate::context::{Outbox, PanelContext, Request};
use crate::icon::Icon;
use crate::matching::{Counts, Hit, ImageReview};
use crate::panels::image_list::show_thumbnail;
use crate::theme::{Theme, Verdict, class_color, on_picture, size};
use crate::{widgets, words};

/// The matched detections of one run, and what they were made of.
struct Matched {
    run: String,
    detections: Arc<RunDetections>,
    saved: Option<SystemTime>,
    images: HashMap<ImageId, ImageReview>,
}

/// The state of the station.
pub struct Review {
    run: Option<String>,
    threshold: f32,
    matched: Option<Matched>,
    current: Option<ImageId>,
    /// The images by their errors at the threshold, worst first.
    order: Vec<(ImageId, Counts)>,
    ordered_at: Option<f32>,
    total: Counts,
    by_class: BTreeMap<LabelId, Counts>,
    stage: Stage,
    hide_boxes: bool,
    grid: bool,
    shown: [bool; 3],
    only_errors: bool,
    scroll_to_current: bool,
}

impl Default for Review {
    fn default() -> Self {
        Self {
            run: None,
            threshold: 0.5,
            matched: None,
            current: None,
            order: Vec::new(),
            ordered_at: None,
            total: Counts::default(),
            by_class: BTreeMap::new(),
            stage: Stage::default(),
            hide_boxes: false,
            grid: false,
            shown: [true; 3],
            only_errors: false,
            scroll_to_current: false,
        }
    }
}

impl Review {
    /// The view of the picture.
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// The image on the canvas.
    pub fn current(&self) -> Option<ImageId> {
        self.current
    }

    /// The counts of all images at the threshold.
    pub fn total(&self) -> Counts {
        self.total
    }

    /// The score from which a detection counts.
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    fn run_of<'a>(&self, session: &'a Session) -> Option<&'a RunView> {
        let with_detections = |run: &&RunView| run.detections.is_some();
        let chosen = self.run.as_ref().and_then(|name| session.runs().iter().find(|run| run.name == *name));
        chosen.or_else(|| session.runs().iter().find(with_detections))
    }

    /// Matches anew where the run, its detections or the boxes have changed, and sorts the images
    /// where the threshold has. Call it once a frame.
    pub fn update(&mut self, session: &Session) {
        let found = self.run_of(session).and_then(|run| Some((run.name.clone(), run.detections.clone()?)));
        let Some((run, detections)) = found else {
            self.matched = None;
            self.order.clear();
            self.total = Counts::default();
            self.by_class.clear();
            return;
        };
        let saved = session.last_saved();
        let is_current = self
            .matched
            .as_ref()
            .is_some_and(|m| m.run == run && Arc::ptr_eq(&m.detections, &detections) && m.saved == saved);
        if !is_current {
            let images = match_all(session, &detections);
            self.matched = Some(Matched { run, detections, saved, images });
            self.ordered_at = None;
        }
        if self.ordered_at != Some(self.threshold) {
            self.sort();
        }
        if self.current.is_none_or(|id| self.matched.as_ref().is_none_or(|m| !m.images.contains_key(&id))) {
            self.current = self.order.first().map(|(id, _)| *id);
        }
    }

    fn sort(&mut self) {
        self.ordered_at = Some(self.threshold);
        self.order.clear();
        self.total = Counts::default();
        self.by_class.clear();
        let Some(matched) = &self.matched else { return };
        for (id, review) in &matched.images {
            let counts = review.counts(self.threshold);
            self.total += counts;
            review.add_by_class(self.threshold, &mut self.by_class);
            self.order.push((*id, counts));
        }
        self.order.sort_by_key(|(id, counts)| (std::cmp::Reverse(counts.errors()), *id));
    }

    /// The run, the threshold, the counts, and the classes.
    pub fn show_summary(&mut self, ui: &mut Ui, cx: &mut PanelContext<'_>) {
        ScrollArea::vertical().id_salt("review summary").auto_shrink(false).show(ui, |ui| {
            widgets::padded(ui, |ui| {
                self.show_run(ui, cx);
                if self.matched.is_none() {
                    return;
                }
                ui.add_space(size::PAD);
                self.show_threshold(ui);
                ui.add_space(size::PAD_LARGE);
                self.show_counts(ui);
                ui.add_space(size::PAD_LARGE);
                self.show_classes(ui, cx);
            });
        });
    }

    fn show_run(&mut self, ui: &mut Ui, cx: &mut PanelContext<'_>) {
        widgets::caption(ui, "Run");
        let width = ui.available_width();
        let runs = cx.session.runs();
        let selected = self.run_of(cx.session).map(|run| run.name.clone());
        let text = selected.clone().unwrap_or_else(|| "No run yet".to_owned());
        let combo =
            ComboBox::from_id_salt("review run").width(width).truncate().selected_text(text).show_ui(ui, |ui| {
                for run in runs {
                    let label = match &run.detections {
                        Some(detections) => format!("{} · step {}", run.name, words::group_digits(detections.step)),
                        None => format!("{} · not evaluated", run.name),
                    };
                    if ui.selectable_label(selected.as_ref() == Some(&run.name), label).clicked() {
                        self.run = Some(run.name.clone());
                    }
                }
            });
        combo.response.accessible_name("Run");
        if let Some(run) = self.run_of(cx.session)
            && run.detections.is_none()
        {
            ui.add_space(4.0);
            widgets::hint(ui, words::NO_DETECTIONS);
            let can = !run.checkpoints.is_empty();
            let evaluate = ui.add_enabled_ui(can, |ui| widgets::primary(ui, Icon::TARGET, "Evaluate")).inner;
            if evaluate.clicked() {
                cx.outbox.perform(Command::EvaluateRun { run: run.name.clone() });
            }
        }
    }

    fn show_threshold(&mut self, ui: &mut Ui) {
        widgets::caption(ui, "Score from which a detection counts");
        ui.spacing_mut().slider_width = (ui.available_width() - 60.0).max(80.0);
        let slider = Slider::new(&mut self.threshold, 0.0..=1.0).fixed_decimals(2).step_by(0.01);
        widgets::edged(ui, |ui| ui.add(slider))
            .accessible_name("Threshold")
            .on_hover_text("Detections with a lower score are left out");
    }

    fn show_counts(&mut self, ui: &mut Ui) {
        let theme = Theme::of(ui.ctx());
        let total = self.total;
        let rows = [
            (Verdict::TruePositive, "True positives", "Detections on an object", total.true_positives),
            (Verdict::FalsePositive, "False positives", "Detections on nothing", total.false_positives),
            (Verdict::FalseNegative, "False negatives", "Objects without a detection", total.false_negatives),
        ];
        for (verdict, name, tooltip, number) in rows {
            ui.horizontal(|ui| {
                let (rect, _) = ui.allocate_exact_size(vec2(22.0, size::ROW), egui::Sense::hover());
                paint_key(ui, rect, verdict, theme);
                widgets::checkbox(ui, &mut self.shown[verdict as usize], name).on_hover_text(tooltip);
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    ui.label(words::group_digits(number as u64));
                });
            });
        }
        ui.add_space(4.0);
        for (name, value, tooltip) in [
            ("Precision", total.precision(), "The part of the detections that is on objects"),
            ("Recall", total.recall(), "The part of the objects that is found"),
        ] {
            ui.horizontal(|ui| {
                ui.label(name).on_hover_text(tooltip);
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    ui.label(RichText::new(words::percent(value)).size(size::HEADING));
                });
            });
        }
        ui.add_space(4.0);
        widgets::caption(ui, "At an overlap of 0.5 or more with an object of the same class");
    }

    fn show_classes(&self, ui: &mut Ui, cx: &PanelContext<'_>) {
        let theme = Theme::of(ui.ctx());
        let labels = cx.session.label_map();
        let width = ui.available_width();
        let (head, _) = ui.allocate_exact_size(vec2(width, 18.0), egui::Sense::hover());
        let y = head.center().y;
        widgets::row_text(ui, head.left(), head.right(), y, "Class", size::LABEL, theme.text_weak);
        let columns = [head.right() - 64.0, head.right()];
        widgets::row_text_right(ui, columns[0], y, "Precision", size::LABEL, theme.text_weak);
        widgets::row_text_right(ui, columns[1], y, "Recall", size::LABEL, theme.text_weak);
        for (label, counts) in &self.by_class {
            let (rect, response) = ui.allocate_exact_size(vec2(width, 22.0), egui::Sense::hover());
            let y = rect.center().y;
            widgets::paint_swatch(ui.painter(), pos2(rect.left() + 6.0, y), class_color(*label));
            let name = labels.display_name(*label);
            widgets::row_text(ui, rect.left() + 18.0, columns[0] - 60.0, y, &name, size::TEXT, theme.text);
            for (x, value) in columns.into_iter().zip([counts.precision(), counts.recall()]) {
                widgets::row_text_right(ui, x, y, &words::percent(value), size::TEXT, theme.text);
            }
            response.on_hover_text(format!(
                "{name}: {} right, {} wrong, {} missed",
                counts.true_positives, counts.false_positives, counts.false_negatives
            ));
        }
    }

    /// The images, worst first.
    pub fn show_images(&mut self, ui: &mut Ui, cx: &mut PanelContext<'_>) {
        if self.matched.is_none() {
            widgets::padded(ui, |ui| widgets::hint(ui, words::NO_DETECTIONS));
            return;
        }
        widgets::padded(ui, |ui| {
            widgets::checkbox(ui, &mut self.only_errors, "Only images with errors");
            widgets::caption(ui, &format!("{} · worst first", words::count(self.order.len(), "image", "images")));
        });
        let rows: Vec<(ImageId, Counts)> =
            self.order.iter().filter(|(_, c)| !self.only_errors || c.errors() > 0).copied().collect();
        if rows.is_empty() {
            widgets::padded(ui, |ui| widgets::hint(ui, "No errors at this threshold."));
            return;
        }
        let entries: HashMap<ImageId, &ImageEntry> = cx.session.images().iter().map(|e| (e.id, e)).collect();
        ui.spacing_mut().item_spacing.y = 0.0;
        let mut area = ScrollArea::vertical().id_salt("review images").auto_shrink(false);
        if std::mem::take(&mut self.scroll_to_current)
            && let Some(row) = rows.iter().position(|(id, _)| Some(*id) == self.current)
        {
            let middle = (ui.available_height() - size::THUMB_ROW) / 2.0;
            area = area.vertical_scroll_offset((row as f32 * size::THUMB_ROW - middle).max(0.0));
        }
        area.show_rows(ui, size::THUMB_ROW, rows.len(), |ui, range| {
            for (id, counts) in &rows[range] {
                let Some(entry) = entries.get(id) else { continue };
                ui.push_id(id, |ui| self.show_row(ui, cx, entry, *counts));
            }
        });
    }

    fn show_row(&mut self, ui: &mut Ui, cx: &mut PanelContext<'_>, entry: &ImageEntry, counts: Counts) {
        let theme = Theme::of(ui.ctx());
        let detail = match (counts.false_positives, counts.false_negatives) {
            (0, 0) => "no errors".to_owned(),
            (wrong, 0) => format!("{wrong} wrong"),
            (0, missed) => format!("{missed} missed"),
            (wrong, missed) => format!("{wrong} wrong · {missed} missed"),
        };
        let selected = self.current == Some(entry.id);
        let (rect, response) =
            widgets::list_row(ui, size::THUMB_ROW, selected, &format!("{}, {detail}", entry.file_name()));
        let place = Rect::from_min_size(rect.min + vec2(size::PAD, 4.0), size::THUMB);
        show_thumbnail(ui, cx, entry, place);
        let left = place.right() + size::PAD;
        let right = rect.right() - size::PAD;
        widgets::row_text(ui, left, right, rect.top() + 19.0, entry.file_name(), size::TEXT, theme.text);
        let color = if counts.errors() > 0 { theme.warning } else { theme.text_weak };
        widgets::row_text(ui, left, right, rect.top() + 38.0, &detail, size::LABEL, color);
        if response.double_clicked() {
            cx.outbox.push(Request::OpenImage(entry.id, None));
        } else if response.clicked() {
            self.current = Some(entry.id);
        }
        response.on_hover_text("Double-click to open it in Annotate");
    }

    /// The picture with its detections and its missed objects.
    pub fn show_canvas(&mut self, ui: &mut Ui, cx: &mut PanelContext<'_>) {
        let entry = self.current.and_then(|id| cx.session.images().iter().find(|e| e.id == id)).cloned();
        let (Some(matched), Some(entry)) = (&self.matched, entry) else {
            let theme = Theme::of(ui.ctx());
            ui.painter().rect_filled(ui.available_rect_before_wrap(), 0.0, theme.canvas);
            let go = Some((Icon::CHART, "Go to Train"));
            if widgets::empty_state(ui, Icon::TARGET, words::NO_DETECTIONS, go) {
                cx.outbox.run(UiCommand::Train);
            }
            return;
        };
        let Some(review) = matched.images.get(&entry.id).cloned() else { return };
        let Some(path) = cx.session.image_path(entry.id) else { return };
        self.show_tool_bar(ui, cx, &entry);
        let name = format!("Review canvas, {}", entry.file_name());
        let staged = self.stage.show(ui, cx.pictures, (entry.id, entry.size, &path), &name, self.grid);
        let items = if self.hide_boxes { Vec::new() } else { self.items(&review) };
        let hovered = self.hovered(&items, &staged);
        self.paint_items(ui, cx, &items, hovered, staged.rect);
        match hovered.map(|index| &items[index]) {
            Some(item) => cx.outbox.hint(item.describe(cx.session)),
            None if staged.pointer.is_some() => cx
                .outbox
                .hint("D and A go through the images, worst first · click a missed object to open it in Annotate"),
            None => {}
        }
        if staged.response.clicked()
            && let Some(object) = hovered.and_then(|index| items[index].object)
        {
            cx.outbox.push(Request::OpenImage(entry.id, Some(object)));
        }
    }

    fn show_tool_bar(&mut self, ui: &mut Ui, cx: &mut PanelContext<'_>, entry: &ImageEntry) {
        let theme = Theme::of(ui.ctx());
        egui::Frame::NONE.fill(theme.panel).inner_margin(egui::Margin::symmetric(8, 4)).show(ui, |ui| {
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = 2.0;
                for (command, active) in [
                    (UiCommand::Hide, self.hide_boxes),
                    (UiCommand::Grid, self.grid),
                    (UiCommand::Fit, false),
                    (UiCommand::OneToOne, false),
                ] {
                    if widgets::icon_button(ui, command, active).clicked() {
                        cx.outbox.run(command);
                    }
                }
                ui.add_space(size::PAD);
                ui.label(RichText::new(words::short_path(entry.file_name(), 48)).color(theme.text_weak));
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    let fix = widgets::button(ui, Icon::PENCIL, "Fix in Annotate");
                    if fix.on_hover_text("Opens this image in Annotate").clicked() {
                        cx.outbox.push(Request::OpenImage(entry.id, None));
                    }
                    ui.add_space(size::PAD);
                    for command in [UiCommand::Next, UiCommand::Previous] {
                        if widgets::icon_button(ui, command, false).clicked() {
                            cx.outbox.run(command);
                        }
                    }
                });
            });
        });
    }

    /// What is painted at the threshold, in the order in which it is.
    fn items(&self, review: &ImageReview) -> Vec<Item> {
        let missed = review.missed(self.threshold).map(|object| Item {
            verdict: Verdict::FalseNegative,
            label: object.label,
            score: None,
            bounds: object.bounds,
            object: Some(object.id),
        });
        let found = review.above(self.threshold).iter().filter_map(|d| {
            let (verdict, object) = match d.hit {
                Hit::Object(index) => (Verdict::TruePositive, review.objects.get(index).map(|o: &Annotation| o.id)),
                Hit::Nothing => (Verdict::FalsePositive, None),
                Hit::Ignored => return None,
            };
            Some(Item { verdict, label: d.label, score: Some(d.score), bounds: d.bounds, object })
        });
        let mut items: Vec<Item> = found.chain(missed).filter(|item| self.shown[item.verdict as usize]).collect();
        // What is wrong lies on what is right.
        items.sort_by_key(|item| item.verdict as usize);
        items
    }

    /// The smallest item under the pointer.
    fn hovered(&self, items: &[Item], staged: &Staged) -> Option<usize> {
        let (x, y) = self.stage.view.to_picture(staged.pointer?, staged.rect);
        let under = items.iter().enumerate().filter(|(_, item)| item.bounds.contains(x, y));
        under.min_by(|a, b| a.1.bounds.area().total_cmp(&b.1.bounds.area())).map(|(index, _)| index)
    }

    fn paint_items(&self, ui: &Ui, cx: &PanelContext<'_>, items: &[Item], hovered: Option<usize>, canvas: Rect) {
        let painter = ui.painter_at(canvas);
        for (index, item) in items.iter().enumerate() {
            let color = on_picture::verdict(item.verdict);
            let rect = self.stage.view.rect(&item.bounds, canvas);
            let is_hovered = hovered == Some(index);
            let width = if is_hovered { size::CHOSEN_STROKE } else { size::BOX_STROKE };
            let dashed = item.verdict == Verdict::FalseNegative;
            paint::outline(&painter, rect, paint::Look { color, width, opacity: 1.0, dashed });
            if is_hovered || paint::has_room_for_label(rect) {
                let name = cx.session.label_map().display_name(item.label);
                let text = match item.score {
                    Some(score) => format!("{name} {:.0} %", score * 100.0),
                    None => format!("{name}, missed"),
                };
                paint::chip(&painter, rect, &text, color, 1.0);
            }
        }
    }

    /// Carries out a command of this station.
    pub fn run(&mut self, command: UiCommand, ctx: &Context, session: &Session, outbox: &mut Outbox) {
        let size = self.current.and_then(|id| session.images().iter().find(|e| e.id == id)).map(|e| e.size);
        let size = size.unwrap_or(ImageSize::new(1, 1));
        match command {
            UiCommand::Next => self.step(1),
            UiCommand::Previous => self.step(-1),
            UiCommand::Fit => self.stage.fit(size),
            UiCommand::OneToOne => self.stage.one_to_one(ctx.pixels_per_point()),
            UiCommand::ZoomIn => self.stage.zoom(1.0, size),
            UiCommand::ZoomOut => self.stage.zoom(-1.0, size),
            UiCommand::Hide => self.hide_boxes = !self.hide_boxes,
            UiCommand::Grid => self.grid = !self.grid,
            UiCommand::NextBoxUnder => outbox.run(UiCommand::Sides),
            _ => {}
        }
    }

    fn step(&mut self, by: isize) {
        let rows: Vec<ImageId> =
            self.order.iter().filter(|(_, c)| !self.only_errors || c.errors() > 0).map(|(id, _)| *id).collect();
        let at = self.current.and_then(|id| rows.iter().position(|other| *other == id));
        let next = at.map_or(0, |at| at.saturating_add_signed(by).min(rows.len().saturating_sub(1)));
        if let Some(id) = rows.get(next) {
            self.current = Some(*id);
            self.scroll_to_current = true;
        }
    }
}

/// Something to paint over the picture.
struct Item {
    verdict: Verdict,
    label: LabelId,
    score: Option<f32>,
    bounds: PixelBox,
    object: Option<BoxId>,
}

impl Item {
    fn describe(&self, session: &Session) -> String {
        let name = session.label_map().display_name(self.label);
        match (self.verdict, self.score) {
            (Verdict::TruePositive, Some(score)) => {
                format!("{name} found with {:.1} % · click to open it in Annotate", score * 100.0)
            }
            (Verdict::FalsePositive, Some(score)) => {
                format!("{name} with {:.1} %, but there is no such object", score * 100.0)
            }
            _ => format!("{name} was missed · click to open it in Annotate"),
        }
    }
}

fn match_all(session: &Session, detections: &RunDetections) -> HashMap<ImageId, ImageReview> {
    let by_path: HashMap<&str, &ImageEntry> = session.images().iter().map(|e| (e.path.as_str(), e)).collect();
    let find = |name: &str| by_path.get(name).copied();
    detections
        .images
        .iter()
        .filter_map(|image| {
            let entry = find(&image.image)?;
            let objects = session.boxes(entry.id).to_vec();
            Some((entry.id, ImageReview::new(objects, &image.detections, entry.size)))
        })
        .collect()
}

/// The sample of a verdict's line beside its name.
fn paint_key(ui: &Ui, rect: Rect, verdict: Verdict, theme: &Theme) {
    let color = theme.verdict(verdict);
    let frame = Rect::from_center_size(rect.center(), vec2(16.0, 11.0));
    let stroke = egui::Stroke::new(2.0, color);
    if verdict == Verdict::FalseNegative {
        let corners =
            [frame.left_top(), frame.right_top(), frame.right_bottom(), frame.left_bottom(), frame.left_top()];
        ui.painter().extend(egui::Shape::dashed_line(&corners, stroke, 3.0, 2.0));
    } else {
        ui.painter().rect_stroke(frame, 0.0, stroke, egui::StrokeKind::Middle);
    }
}
