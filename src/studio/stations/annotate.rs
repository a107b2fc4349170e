//! Drawing and checking boxes, one image after the other.
//!
//! A gesture on the canvas, a key and a click in a list all end in one [`Command`] of the session,
//! which is on disk when it returns; nothing here keeps edits back.

use boxwright_core::{Annotation, BoxId, ImageEntry, ImageId, LabelId, PixelBox, ReviewState};
use boxwright_session::{Command, Session};
use egui::{Context, Rect, Ui};

use super::edits::{chip_text, commit, extent, set_state, toggle};
use crate::canvas::tools::{Draft, Gesture, Scene, Tool, Tools, change};
use crate::canvas::{Stage, paint};
use crate::command::UiCommand;
use crate::context::{NewClass, Outbox, PanelContext, Request};
use crate::icon::Icon;
use crate::panels::box_list::BoxList;
use crate::panels::class_list::ClassList;
use crate::panels::class_picker::{ClassPicker, Picked};
use crate::panels::image_list::ImageList;
use crate::picture_cache::Urgency;
use crate::theme::{Theme, class_color, size};
use crate::{widgets, words};

/// How far a duplicate is put from its original, in pixels.
const DUPLICATE_OFFSET: f64 = 12.0;

/// What a picked class is for.
enum Picking {
    /// A box that was drawn before there was a class for it.
    Draw(PixelBox),
    /// The chosen boxes, or the next one.
    Relabel,
}

/// The state of the station.
#[derive(Default)]
pub struct Annotate {
    /// The images.
    pub images: ImageList,
    /// The view of the picture.
    pub stage: Stage,
    /// The tool, the draft and the chosen boxes.
    pub tools: Tools,
    current: Option<ImageId>,
    label: Option<LabelId>,
    classes: ClassList,
    box_list: BoxList,
    copied: Vec<Annotation>,
    picker: Option<(ClassPicker, Picking)>,
    hide_boxes: bool,
    grid: bool,
}

impl Annotate {
    /// The image on the canvas.
    pub fn current(&self) -> Option<ImageId> {
        self.current
    }

    /// The class of the next box.
    pub fn label(&self) -> Option<LabelId> {
        self.label
    }

    /// Whether the boxes are hidden.
    pub fn hides_boxes(&self) -> bool {
        self.hide_boxes
    }

    /// Whether the grid is shown.
    pub fn shows_grid(&self) -> bool {
        self.grid
    }

    /// Puts an image on the canvas, and perhaps chooses a box on it.
    pub fn open(&mut self, image: ImageId, chosen: Option<&Annotation>) {
        if self.current != Some(image) {
            self.current = Some(image);
            self.tools = Tools::with_tool(self.tools.tool);
            self.picker = None;
        }
        self.images.scroll_to(image);
        if let Some(annotation) = chosen {
            self.tools.select([annotation.id]);
            self.stage.reveal(annotation.bounds);
        }
    }

    /// Chooses the boxes that a command made.
    pub fn created(&mut self, ids: &[BoxId]) {
        if !ids.is_empty() {
            self.tools.select(ids.iter().copied());
        }
    }

    /// The class that was added is the one of the next box.
    pub fn added_class(&mut self, label: LabelId) {
        self.label = Some(label);
    }

    /// Brings the state in line with the project. Call it once a frame, before anything is shown.
    pub fn update(&mut self, session: &Session) {
        let images = session.images();
        self.images.update(images);
        if self.current.is_none_or(|id| !images.iter().any(|e| e.id == id)) {
            self.current = self.images.step(images, None, 0);
        }
        match self.current {
            Some(image) => self.tools.retain(session.boxes(image)),
            None => self.tools = Tools::default(),
        }
        let labels = session.label_map();
        if self.label.is_none_or(|label| labels.get(label).is_none()) {
            self.label = labels.items().first().map(|item| item.id);
        }
    }

    /// Takes copied boxes, as from the clipboard.
    pub fn set_copied(&mut self, boxes: Vec<Annotation>) {
        self.copied = boxes;
    }

    /// The chosen boxes as text for the clipboard.
    pub fn chosen_as_text(&self, session: &Session) -> Option<String> {
        let chosen = self.chosen(session);
        if chosen.is_empty() {
            return None;
        }
        serde_json::to_string(&chosen).ok()
    }

    fn entry<'a>(&self, session: &'a Session) -> Option<&'a ImageEntry> {
        let id = self.current?;
        session.images().iter().find(|e| e.id == id)
    }

    /// The list of images.
    pub fn show_images(&mut self, ui: &mut Ui, cx: &mut PanelContext<'_>) {
        self.images.show(ui, cx, self.current);
    }

    /// The list of classes.
    pub fn show_classes(&mut self, ui: &mut Ui, cx: &mut PanelContext<'_>) {
        let boxes = self.current.map(|id| cx.session.boxes(id)).unwrap_or_default();
        if let Some(label) = self.classes.show(ui, cx, boxes, self.label) {
            self.set_class(label, cx.session, cx.outbox);
        }
    }

    /// The boxes of the image.
    pub fn show_boxes(&mut self, ui: &mut Ui, cx: &mut PanelContext<'_>) {
        let Some(entry) = self.entry(cx.session) else {
            widgets::padded(ui, |ui| widgets::hint(ui, "The boxes of the image will be listed here."));
            return;
        };
        let (id, size) = (entry.id, entry.size);
        let boxes = cx.session.boxes(id);
        if let Some(gesture) = self.box_list.show(ui, cx, boxes, size, &mut self.tools) {
            commit(gesture, id, self.label, cx.outbox);
        }
    }

    /// The canvas with its tools.
    pub fn show_canvas(&mut self, ui: &mut Ui, cx: &mut PanelContext<'_>) {
        let Some(entry) = self.entry(cx.session).cloned() else {
            let theme = Theme::of(ui.ctx());
            ui.painter().rect_filled(ui.available_rect_before_wrap(), 0.0, theme.canvas);
            if widgets::empty_state(ui, Icon::IMAGES, words::NO_IMAGES, Some((Icon::FOLDER_PLUS, "Add a folder…"))) {
                cx.outbox.run(UiCommand::AddFolder);
            }
            return;
        };
        let Some(path) = cx.session.image_path(entry.id) else { return };
        self.show_tool_bar(ui, cx, &entry);
        let boxes = cx.session.boxes(entry.id);
        let name = format!("Canvas, {}", entry.file_name());
        let staged = self.stage.show(ui, cx.pictures, (entry.id, entry.size, &path), &name, self.grid);
        self.prefetch(cx);

        let scene = Scene { boxes, size: entry.size, zoom: self.stage.view.zoom() };
        if !staged.panning && self.picker.is_none() {
            self.point(ui, &staged.response, staged.rect, &scene, entry.id, cx.outbox);
        }
        let hovered = staged
            .pointer
            .filter(|_| self.tools.draft.is_none())
            .and_then(|pos| scene.under(self.stage.view.to_picture(pos, staged.rect)).first().copied());
        let painter = ui.painter_at(staged.rect);
        if !self.hide_boxes {
            self.paint_boxes(&painter, staged.rect, boxes, hovered, cx.session);
        }
        self.paint_draft(ui, &painter, staged.rect, staged.pointer);
        if let Some(pos) = staged.pointer {
            if !staged.panning && self.picker.is_none() {
                ui.set_cursor_icon(self.tools.cursor(self.stage.view.to_picture(pos, staged.rect), &scene));
            }
            self.hint(hovered, boxes, cx);
        }
        self.show_picker(ui.ctx(), entry.id, cx);
    }

    fn show_tool_bar(&mut self, ui: &mut Ui, cx: &mut PanelContext<'_>, entry: &ImageEntry) {
        let theme = Theme::of(ui.ctx());
        egui::Frame::NONE.fill(theme.panel).inner_margin(egui::Margin::symmetric(8, 4)).show(ui, |ui| {
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = 2.0;
                let buttons = [
                    (UiCommand::Draw, self.tools.tool == Tool::Draw),
                    (UiCommand::Undo, false),
                    (UiCommand::Redo, false),
                    (UiCommand::Delete, false),
                    (UiCommand::Hide, self.hide_boxes),
                    (UiCommand::Grid, self.grid),
                    (UiCommand::Fit, false),
                    (UiCommand::OneToOne, false),
                ];
                for (place, (command, active)) in buttons.into_iter().enumerate() {
                    if matches!(place, 1 | 4 | 6) {
                        ui.add_space(size::PAD);
                    }
                    let enabled = match command {
                        UiCommand::Undo => cx.session.undo_name().is_some(),
                        UiCommand::Redo => cx.session.redo_name().is_some(),
                        UiCommand::Delete => !self.tools.selection().is_empty(),
                        _ => true,
                    };
                    let response = ui.add_enabled_ui(enabled, |ui| widgets::icon_button(ui, command, active)).inner;
                    if response.clicked() {
                        cx.outbox.run(command);
                    }
                }
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    ui.spacing_mut().item_spacing.x = 2.0;
                    for (command, state) in
                        [(UiCommand::Background, ReviewState::Background), (UiCommand::Verify, ReviewState::Verified)]
                    {
                        if widgets::icon_button(ui, command, entry.state == state).clicked() {
                            cx.outbox.run(command);
                        }
                    }
                    ui.add_space(size::PAD);
                    for command in [UiCommand::Next, UiCommand::Previous] {
                        if widgets::icon_button(ui, command, false).clicked() {
                            cx.outbox.run(command);
                        }
                    }
                    ui.add_space(size::PAD);
                    let (rect, _) =
                        ui.allocate_exact_size(egui::vec2(ui.available_width(), size::ROW), egui::Sense::hover());
                    let font = egui::FontId::proportional(size::TEXT);
                    let name = words::short_path(entry.file_name(), 48);
                    ui.painter_at(rect).text(
                        rect.right_center(),
                        egui::Align2::RIGHT_CENTER,
                        name,
                        font,
                        theme.text_weak,
                    );
                });
            });
        });
    }

    /// Asks for the pictures that probably come next.
    fn prefetch(&self, cx: &mut PanelContext<'_>) {
        for by in [1, -1, 2] {
            if let Some(id) = self.images.step(cx.session.images(), self.current, by)
                && let Some(path) = cx.session.image_path(id)
            {
                cx.pictures.whole(&path, Urgency::Later);
            }
        }
    }

    fn point(
        &mut self,
        ui: &Ui,
        response: &egui::Response,
        canvas: Rect,
        scene: &Scene<'_>,
        image: ImageId,
        outbox: &mut Outbox,
    ) {
        let (pressed, down, origin) = ui.input(|i| {
            (
                i.pointer.primary_pressed(),
                i.pointer.primary_down(),
                i.pointer.press_origin().or(i.pointer.interact_pos()),
            )
        });
        let now = ui.input(|i| i.pointer.interact_pos());
        let may_press = pressed && response.contains_pointer() && self.tools.draft.is_none() && !self.hide_boxes;
        if may_press && let Some(pos) = origin {
            // A field that was typed in gives the keys back.
            ui.memory_mut(|m| {
                if let Some(focused) = m.focused() {
                    m.surrender_focus(focused);
                }
            });
            let many = ui.input(|i| i.modifiers.shift || i.modifiers.command);
            self.tools.press(self.stage.view.to_picture(pos, canvas), scene, many);
        }
        if self.tools.draft.is_some()
            && let Some(pos) = now
        {
            self.tools.drag(self.stage.view.to_picture(pos, canvas), scene);
        }
        if self.tools.draft.is_some()
            && !down
            && let Some(gesture) = self.tools.release(scene)
        {
            match (gesture, self.label) {
                (Gesture::Add(bounds), None) => {
                    let at = self.stage.view.rect(&bounds, canvas).left_bottom() + egui::vec2(0.0, 4.0);
                    self.picker = Some((ClassPicker::new(at), Picking::Draw(bounds)));
                }
                (gesture, label) => commit(gesture, image, label, outbox),
            }
        }
    }

    fn paint_boxes(
        &self,
        painter: &egui::Painter,
        canvas: Rect,
        boxes: &[Annotation],
        hovered: Option<BoxId>,
        session: &Session,
    ) {
        let drawing = self.tools.tool == Tool::Draw || matches!(self.tools.draft, Some(Draft::Draw { .. }));
        let labels = session.label_map();
        // The chosen boxes are painted last, so that they lie on top.
        let (rest, chosen): (Vec<_>, Vec<_>) = boxes.iter().partition(|b| !self.tools.is_selected(b.id));
        for (annotation, is_chosen) in rest.into_iter().map(|b| (b, false)).chain(chosen.into_iter().map(|b| (b, true)))
        {
            let color = class_color(annotation.label);
            let bounds = self.tools.shown_bounds(annotation);
            let rect = self.stage.view.rect(&bounds, canvas);
            let is_hovered = hovered == Some(annotation.id);
            let opacity = if drawing { 0.4 } else { 1.0 };
            if is_hovered && !drawing {
                paint::tint(painter, rect, color);
            }
            let width = if is_chosen { size::CHOSEN_STROKE } else { size::BOX_STROKE };
            paint::outline(painter, rect, paint::Look { color, width, opacity, dashed: false });
            if paint::has_room_for_label(rect) || is_hovered || is_chosen {
                paint::chip(
                    painter,
                    rect,
                    &chip_text(labels.display_name(annotation.label), annotation.flags),
                    color,
                    opacity,
                );
            }
        }
        if let Some(annotation) = self.tools.single(boxes)
            && !drawing
        {
            let bounds = self.tools.shown_bounds(annotation);
            paint::handles(painter, &self.stage.view, canvas, &bounds, class_color(annotation.label));
        }
    }

    fn paint_draft(&self, ui: &Ui, painter: &egui::Painter, canvas: Rect, pointer: Option<egui::Pos2>) {
        let theme = Theme::of(ui.ctx());
        let view = &self.stage.view;
        let own = self.label.map_or(theme.accent, class_color);
        match &self.tools.draft {
            Some(Draft::Draw { from, to }) => {
                let bounds = PixelBox::from_corners(*from, *to);
                let rect = view.rect(&bounds, canvas);
                let look = paint::Look { color: own, width: size::BOX_STROKE, opacity: 1.0, dashed: false };
                paint::outline(painter, rect, look);
                paint::tag(painter, view.to_screen(*to, canvas), &extent(&bounds));
            }
            Some(Draft::Resize { bounds, .. }) => {
                paint::tag(painter, view.to_screen((bounds.xmax, bounds.ymax), canvas), &extent(bounds));
            }
            Some(Draft::Move { boxes, by, moved: true, .. }) => {
                if let Some(first) = boxes.first() {
                    let moved = first.bounds.translate(by.0, by.1);
                    let text = format!("{:.0}, {:.0}", moved.xmin, moved.ymin);
                    paint::tag(painter, view.to_screen((moved.xmax, moved.ymax), canvas), &text);
                }
            }
            Some(Draft::Band { from, to, .. }) => {
                let rect = Rect::from_two_pos(view.to_screen(*from, canvas), view.to_screen(*to, canvas));
                if rect.width().max(rect.height()) > 3.0 {
                    paint::band(painter, rect, theme.accent);
                }
            }
            _ => {}
        }
        if let Some((_, Picking::Draw(bounds))) = &self.picker {
            let look = paint::Look { color: theme.accent, width: size::CHOSEN_STROKE, opacity: 1.0, dashed: false };
            paint::outline(painter, view.rect(bounds, canvas), look);
        }
        if self.tools.tool == Tool::Draw
            && let Some(pos) = pointer
        {
            paint::crosshair(painter, pos);
        }
    }

    fn hint(&self, hovered: Option<BoxId>, boxes: &[Annotation], cx: &mut PanelContext<'_>) {
        if self.tools.tool == Tool::Draw {
            let class = self.label.map(|l| cx.session.label_map().display_name(l));
            let class = class.map_or_else(|| "a box".to_owned(), |name| format!("a box of {name}"));
            cx.outbox.hint(format!("Drag to draw {class} · Esc to leave"));
        } else if let Some(annotation) = hovered.and_then(|id| boxes.iter().find(|b| b.id == id)) {
            let name = cx.session.label_map().display_name(annotation.label);
            cx.outbox.hint(format!("{name}, {} · Tab for the next box here", extent(&annotation.bounds)));
        } else {
            cx.outbox.hint("W draws a box · wheel zooms · Space held pans · ? for all keys");
        }
    }

    fn show_picker(&mut self, ctx: &Context, image: ImageId, cx: &mut PanelContext<'_>) {
        let Some((picker, _)) = &mut self.picker else { return };
        let Some(picked) = picker.show(ctx, cx.session.label_map()) else { return };
        let Some((_, picking)) = self.picker.take() else { return };
        match (picked, picking) {
            (Picked::Nothing, _) => {}
            (Picked::Class(label), Picking::Draw(bounds)) => {
                self.label = Some(label);
                cx.outbox.perform(Command::AddBox { image, label, bounds });
            }
            (Picked::Class(label), Picking::Relabel) => self.set_class(label, cx.session, cx.outbox),
            (Picked::New(name), Picking::Draw(bounds)) => {
                cx.outbox.push(Request::NameClass { name, then: NewClass::Draw { image, bounds } });
            }
            (Picked::New(name), Picking::Relabel) => {
                let boxes = self.chosen(cx.session);
                cx.outbox.push(Request::NameClass { name, then: NewClass::Relabel { image, boxes } });
            }
        }
    }

    fn chosen(&self, session: &Session) -> Vec<Annotation> {
        let Some(image) = self.current else { return Vec::new() };
        session.boxes(image).iter().filter(|b| self.tools.is_selected(b.id)).cloned().collect()
    }

    /// Gives the chosen boxes a class, and the next box too.
    fn set_class(&mut self, label: LabelId, session: &Session, outbox: &mut Outbox) {
        self.label = Some(label);
        if let (Some(image), Some(gesture)) =
            (self.current, change("change class", &self.chosen(session), |b| b.label = label))
        {
            commit(gesture, image, self.label, outbox);
        }
    }

    /// Carries out a command of this station. `key` is which of its keys was pressed.
    pub fn run(&mut self, command: UiCommand, key: usize, ctx: &Context, session: &Session, outbox: &mut Outbox) {
        match command {
            UiCommand::Next => self.go(1, session),
            UiCommand::Previous => self.go(-1, session),
            UiCommand::NextNew => {
                if let Some(id) = self.images.next_with_state(session.images(), self.current, ReviewState::New) {
                    self.open(id, None);
                }
            }
            UiCommand::Filter => self.images.focus_filter(),
            UiCommand::Hide => self.hide_boxes = !self.hide_boxes,
            UiCommand::Grid => self.grid = !self.grid,
            UiCommand::Draw => {
                self.hide_boxes = false;
                self.tools.tool = if self.tools.tool == Tool::Draw { Tool::Select } else { Tool::Draw };
            }
            UiCommand::Cancel => drop(self.tools.cancel()),
            _ => {
                if let Some(entry) = self.entry(session) {
                    let (image, boxes) = (entry.clone(), session.boxes(entry.id));
                    self.run_on_image(command, key, ctx, session, outbox, (&image, boxes));
                }
            }
        }
    }

    fn run_on_image(
        &mut self,
        command: UiCommand,
        key: usize,
        ctx: &Context,
        session: &Session,
        outbox: &mut Outbox,
        (entry, boxes): (&ImageEntry, &[Annotation]),
    ) {
        let image = entry.id;
        let scene = Scene { boxes, size: entry.size, zoom: self.stage.view.zoom() };
        let chosen = self.chosen(session);
        match command {
            UiCommand::Fit => self.stage.fit(entry.size),
            UiCommand::OneToOne => self.stage.one_to_one(ctx.pixels_per_point()),
            UiCommand::ZoomIn => self.stage.zoom(1.0, entry.size),
            UiCommand::ZoomOut => self.stage.zoom(-1.0, entry.size),
            UiCommand::NextBoxUnder => {
                let found = self.stage.pointer_in_picture().is_some_and(|at| self.tools.select_next_under(at, &scene));
                if !found {
                    outbox.run(UiCommand::Sides);
                }
            }
            UiCommand::SelectAll => self.tools.select(boxes.iter().map(|b| b.id)),
            UiCommand::Delete if !chosen.is_empty() => {
                outbox.perform(Command::RemoveBoxes { image, ids: chosen.iter().map(|b| b.id).collect() });
            }
            UiCommand::Copy if !chosen.is_empty() => self.copied = chosen,
            UiCommand::Paste => self.paste(image, self.copied.clone(), "paste", outbox),
            UiCommand::Duplicate => {
                let beside = chosen.into_iter().map(|mut b| {
                    b.bounds = b.bounds.translate(DUPLICATE_OFFSET, DUPLICATE_OFFSET);
                    b
                });
                self.paste(image, beside.collect(), "duplicate", outbox);
            }
            UiCommand::PreviousBoxes => {
                if let Some(previous) = self.images.step(session.images(), self.current, -1).filter(|id| *id != image) {
                    self.paste(image, session.boxes(previous).to_vec(), "take the previous boxes", outbox);
                }
            }
            UiCommand::NudgeLeft | UiCommand::NudgeRight | UiCommand::NudgeUp | UiCommand::NudgeDown => {
                let far = if key == 1 { 10.0 } else { 1.0 };
                let by = match command {
                    UiCommand::NudgeLeft => (-far, 0.0),
                    UiCommand::NudgeRight => (far, 0.0),
                    UiCommand::NudgeUp => (0.0, -far),
                    _ => (0.0, far),
                };
                if let Some(gesture) = self.tools.nudge(by, &scene) {
                    commit(gesture, image, self.label, outbox);
                }
            }
            UiCommand::SetClass => {
                if let Some(item) = session.label_map().items().get(key) {
                    self.set_class(item.id, session, outbox);
                }
            }
            UiCommand::PickClass => self.pick_class(&chosen),
            UiCommand::Difficult => toggle(&chosen, image, outbox, |f| &mut f.difficult),
            UiCommand::Truncated => toggle(&chosen, image, outbox, |f| &mut f.truncated),
            UiCommand::Occluded => toggle(&chosen, image, outbox, |f| &mut f.occluded),
            UiCommand::Verify => set_state(entry, ReviewState::Verified, outbox),
            UiCommand::Background => set_state(entry, ReviewState::Background, outbox),
            _ => {}
        }
    }

    fn go(&mut self, by: isize, session: &Session) {
        if let Some(id) = self.images.step(session.images(), self.current, by) {
            self.open(id, None);
        }
    }

    fn paste(&self, image: ImageId, boxes: Vec<Annotation>, name: &str, outbox: &mut Outbox) {
        if !boxes.is_empty() {
            outbox.perform(Command::PasteBoxes { image, boxes, name: name.to_owned() });
        }
    }

    fn pick_class(&mut self, chosen: &[Annotation]) {
        let Some(canvas) = self.stage.rect() else { return };
        let at = match chosen.first() {
            Some(b) => self.stage.view.rect(&b.bounds, canvas).left_bottom() + egui::vec2(0.0, 4.0),
            None => canvas.center_top() + egui::vec2(-120.0, 24.0),
        };
        self.picker = Some((ClassPicker::new(at.clamp(canvas.min, canvas.max)), Picking::Relabel));
    }
}
