//! What the pointer does on the canvas, as a machine without a window.
//!
//! A press starts a [`Draft`], moving the pointer changes it, and the release turns it into at most
//! one [`Gesture`], which becomes one transaction. Until then nothing of the project changes, and
//! Escape forgets the draft. Edges are kept on whole pixels and inside the picture.

use boxwright_core::{Annotation, BoxId, ImageSize, PixelBox};
use egui::CursorIcon;

use crate::theme::size;

/// A drag shorter than this on the screen is a click.
const CLICK_REACH: f64 = 3.0;

/// What a press on the picture begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tool {
    /// Choosing, moving and resizing.
    #[default]
    Select,
    /// Drawing one box; then it is [`Tool::Select`] again.
    Draw,
}

/// The part of a chosen box that a resize grabs: which edges follow the pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle {
    /// −1 the left edge, 1 the right one, 0 neither.
    pub x: i8,
    /// −1 the upper edge, 1 the lower one, 0 neither.
    pub y: i8,
}

impl Handle {
    /// The eight of them; corners first, as they win where a small box brings them together.
    pub const ALL: [Self; 8] = [
        Self { x: -1, y: -1 },
        Self { x: 1, y: -1 },
        Self { x: 1, y: 1 },
        Self { x: -1, y: 1 },
        Self { x: 0, y: -1 },
        Self { x: 1, y: 0 },
        Self { x: 0, y: 1 },
        Self { x: -1, y: 0 },
    ];

    /// Where it lies on a box, `(x, y)`.
    pub fn position(self, bounds: &PixelBox) -> (f64, f64) {
        let along = |sign: i8, low: f64, high: f64| match sign {
            -1 => low,
            1 => high,
            _ => (low + high) / 2.0,
        };
        (along(self.x, bounds.xmin, bounds.xmax), along(self.y, bounds.ymin, bounds.ymax))
    }

    /// The pointer over it.
    pub fn cursor(self) -> CursorIcon {
        match (self.x * self.y, self.x) {
            (1, _) => CursorIcon::ResizeNwSe,
            (-1, _) => CursorIcon::ResizeNeSw,
            (_, 0) => CursorIcon::ResizeVertical,
            _ => CursorIcon::ResizeHorizontal,
        }
    }

    /// `bounds` with its grabbed edges at `to`. A drag over the opposite edge turns the box around.
    fn resize(self, bounds: &PixelBox, to: (f64, f64)) -> PixelBox {
        let mut a = (bounds.xmin, bounds.ymin);
        let mut b = (bounds.xmax, bounds.ymax);
        match self.x {
            -1 => a.0 = to.0,
            1 => b.0 = to.0,
            _ => {}
        }
        match self.y {
            -1 => a.1 = to.1,
            1 => b.1 = to.1,
            _ => {}
        }
        PixelBox::from_corners(a, b)
    }
}

/// What is on the canvas while the pointer works.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The boxes of the image, as they are saved.
    pub boxes: &'a [Annotation],
    /// The picture's size.
    pub size: ImageSize,
    /// Points a pixel.
    pub zoom: f64,
}

impl Scene<'_> {
    fn get(&self, id: BoxId) -> Option<&Annotation> {
        self.boxes.iter().find(|b| b.id == id)
    }

    /// A position on the nearest pixel corner inside the picture.
    fn snap(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (x.round().clamp(0.0, f64::from(self.size.width)), y.round().clamp(0.0, f64::from(self.size.height)))
    }

    /// The boxes under a position, the smallest first, so that one inside another can be reached.
    pub fn under(&self, (x, y): (f64, f64)) -> Vec<BoxId> {
        let reach = CLICK_REACH / self.zoom;
        let mut found: Vec<&Annotation> = self
            .boxes
            .iter()
            .filter(|b| {
                let around = PixelBox::new(
                    b.bounds.ymin - reach,
                    b.bounds.xmin - reach,
                    b.bounds.ymax + reach,
                    b.bounds.xmax + reach,
                );
                around.contains(x, y)
            })
            .collect();
        found.sort_by(|a, b| a.bounds.area().total_cmp(&b.bounds.area()));
        found.iter().map(|b| b.id).collect()
    }
}

/// A gesture under way.
#[derive(Clone, Debug, PartialEq)]
pub enum Draft {
    /// A new box from one corner to the other.
    Draw {
        /// Where the press was.
        from: (f64, f64),
        /// Where the pointer is.
        to: (f64, f64),
    },
    /// The chosen boxes on their way.
    Move {
        /// Where the press was.
        from: (f64, f64),
        /// The boxes as they were.
        boxes: Vec<Annotation>,
        /// How far they have come, in whole pixels.
        by: (f64, f64),
        /// Whether it is more than a click by now.
        moved: bool,
    },
    /// A box whose edges follow the pointer.
    Resize {
        /// The box as it was.
        before: Annotation,
        /// What was grabbed.
        handle: Handle,
        /// The box as it would become.
        bounds: PixelBox,
    },
    /// A frame that chooses what lies in it.
    Band {
        /// Where the press was.
        from: (f64, f64),
        /// Where the pointer is.
        to: (f64, f64),
        /// Whether what was chosen before stays chosen.
        add: bool,
    },
}

/// What a finished draft asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Gesture {
    /// A new box.
    Add(PixelBox),
    /// Boxes before and after, and the name of the edit.
    Change(&'static str, Vec<(Annotation, Annotation)>),
}

/// The tool, the draft and the chosen boxes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tools {
    /// What a press begins.
    pub tool: Tool,
    /// The gesture under way.
    pub draft: Option<Draft>,
    selection: Vec<BoxId>,
    /// The box that a click, rather than a drag, would choose.
    click_target: Option<BoxId>,
}

impl Tools {
    /// A tool without a draft and without a choice.
    pub fn with_tool(tool: Tool) -> Self {
        Self { tool, ..Self::default() }
    }

    /// The chosen boxes, in the order in which they were chosen.
    pub fn selection(&self) -> &[BoxId] {
        &self.selection
    }

    /// Whether a box is chosen.
    pub fn is_selected(&self, id: BoxId) -> bool {
        self.selection.contains(&id)
    }

    /// Chooses exactly these.
    pub fn select(&mut self, ids: impl IntoIterator<Item = BoxId>) {
        self.selection = ids.into_iter().collect();
    }

    /// Adds a box to the chosen ones, or takes it out.
    pub fn toggle(&mut self, id: BoxId) {
        match self.selection.iter().position(|s| *s == id) {
            Some(place) => drop(self.selection.remove(place)),
            None => self.selection.push(id),
        }
    }

    /// Forgets what no longer exists, as after an undo.
    pub fn retain(&mut self, boxes: &[Annotation]) {
        self.selection.retain(|id| boxes.iter().any(|b| b.id == *id));
    }

    /// The one chosen box, where it is exactly one.
    pub fn single<'a>(&self, boxes: &'a [Annotation]) -> Option<&'a Annotation> {
        match self.selection.as_slice() {
            [id] => boxes.iter().find(|b| b.id == *id),
            _ => None,
        }
    }

    /// Gives up the draft, else the tool, else the choice. Says whether there was anything.
    pub fn cancel(&mut self) -> bool {
        if self.draft.take().is_some() {
            return true;
        }
        if self.tool != Tool::Select {
            self.tool = Tool::Select;
            return true;
        }
        let had = !self.selection.is_empty();
        self.selection.clear();
        had
    }

    /// The handle of the one chosen box within reach of a position.
    pub fn handle_at(&self, at: (f64, f64), scene: &Scene<'_>) -> Option<(Annotation, Handle)> {
        let chosen = self.single(scene.boxes)?;
        let reach = f64::from(size::HANDLE_REACH) / scene.zoom;
        let distance = |handle: &Handle| {
            let (x, y) = handle.position(&chosen.bounds);
            (x - at.0).hypot(y - at.1)
        };
        Handle::ALL
            .into_iter()
            .filter(|handle| distance(handle) <= reach)
            .min_by(|a, b| distance(a).total_cmp(&distance(b)))
            .map(|handle| (chosen.clone(), handle))
    }

    /// The button goes down. `many` is Shift or Ctrl: choose more than one.
    pub fn press(&mut self, at: (f64, f64), scene: &Scene<'_>, many: bool) {
        self.click_target = None;
        if self.tool == Tool::Draw {
            let from = scene.snap(at);
            self.draft = Some(Draft::Draw { from, to: from });
            return;
        }
        if !many && let Some((before, handle)) = self.handle_at(at, scene) {
            let bounds = before.bounds;
            self.draft = Some(Draft::Resize { before, handle, bounds });
            return;
        }
        let under = scene.under(at);
        let Some(&top) = under.first() else {
            self.draft = Some(Draft::Band { from: at, to: at, add: many });
            return;
        };
        if many {
            self.toggle(top);
            return;
        }
        if under.iter().any(|id| self.is_selected(*id)) {
            // A drag moves what is chosen; a click chooses the box on top.
            self.click_target = Some(top);
        } else {
            self.select([top]);
        }
        let boxes = self.selection.iter().filter_map(|id| scene.get(*id).cloned()).collect();
        self.draft = Some(Draft::Move { from: at, boxes, by: (0.0, 0.0), moved: false });
    }

    /// The pointer moves with the button down.
    pub fn drag(&mut self, at: (f64, f64), scene: &Scene<'_>) {
        match &mut self.draft {
            Some(Draft::Draw { to, .. }) => *to = scene.snap(at),
            Some(Draft::Band { to, .. }) => *to = at,
            Some(Draft::Resize { before, handle, bounds }) => *bounds = handle.resize(&before.bounds, scene.snap(at)),
            Some(Draft::Move { from, boxes, by, moved }) => {
                let (dx, dy) = (at.0 - from.0, at.1 - from.1);
                *moved |= dx.hypot(dy) * scene.zoom > CLICK_REACH;
                if *moved {
                    *by = keep_inside(boxes, (dx.round(), dy.round()), scene.size);
                }
            }
            None => {}
        }
    }

    /// The button comes up: what the draft asks for, if anything.
    pub fn release(&mut self, scene: &Scene<'_>) -> Option<Gesture> {
        let click_target = self.click_target.take();
        match self.draft.take()? {
            Draft::Draw { from, to } => {
                let bounds = PixelBox::from_corners(from, to);
                let is_click = bounds.width().max(bounds.height()) * scene.zoom < CLICK_REACH;
                if is_click || !bounds.is_valid() {
                    return None;
                }
                self.tool = Tool::Select;
                Some(Gesture::Add(bounds))
            }
            Draft::Move { boxes, by, moved, .. } => {
                if !moved {
                    if let Some(id) = click_target {
                        self.select([id]);
                    }
                    return None;
                }
                change("move", &boxes, |b| b.bounds = b.bounds.translate(by.0, by.1))
            }
            Draft::Resize { before, bounds, .. } => {
                if !bounds.is_valid() {
                    return None;
                }
                change("resize", &[before], |b| b.bounds = bounds)
            }
            Draft::Band { from, to, add } => {
                let band = PixelBox::from_corners(from, to);
                if !add {
                    self.selection.clear();
                }
                if band.width().max(band.height()) * scene.zoom >= CLICK_REACH {
                    for b in scene.boxes {
                        let (x, y) = b.bounds.center();
                        if band.contains(x, y) && !self.is_selected(b.id) {
                            self.selection.push(b.id);
                        }
                    }
                }
                None
            }
        }
    }

    /// The place of a saved box as the draft shows it.
    pub fn shown_bounds(&self, annotation: &Annotation) -> PixelBox {
        match &self.draft {
            Some(Draft::Move { boxes, by, .. }) if boxes.iter().any(|b| b.id == annotation.id) => {
                annotation.bounds.translate(by.0, by.1)
            }
            Some(Draft::Resize { before, bounds, .. }) if before.id == annotation.id => *bounds,
            _ => annotation.bounds,
        }
    }

    /// The next of the boxes under a position after the chosen one. `false` where there is none.
    pub fn select_next_under(&mut self, at: (f64, f64), scene: &Scene<'_>) -> bool {
        let under = scene.under(at);
        if under.is_empty() {
            return false;
        }
        let current = under.iter().position(|id| self.is_selected(*id));
        let next = current.map_or(0, |place| (place + 1) % under.len());
        self.select([under[next]]);
        true
    }

    /// The chosen boxes moved by whole pixels, kept inside the picture.
    pub fn nudge(&self, by: (f64, f64), scene: &Scene<'_>) -> Option<Gesture> {
        let boxes: Vec<Annotation> = self.selection.iter().filter_map(|id| scene.get(*id).cloned()).collect();
        let by = keep_inside(&boxes, by, scene.size);
        change("nudge", &boxes, |b| b.bounds = b.bounds.translate(by.0, by.1))
    }

    /// The pointer's shape over a position.
    pub fn cursor(&self, at: (f64, f64), scene: &Scene<'_>) -> CursorIcon {
        match &self.draft {
            Some(Draft::Move { .. }) => return CursorIcon::Move,
            Some(Draft::Resize { handle, .. }) => return handle.cursor(),
            _ => {}
        }
        if self.tool == Tool::Draw {
            return CursorIcon::Crosshair;
        }
        match self.handle_at(at, scene) {
            Some((_, handle)) => handle.cursor(),
            None if scene.under(at).iter().any(|id| self.is_selected(*id)) => CursorIcon::Move,
            None if !scene.under(at).is_empty() => CursorIcon::PointingHand,
            None => CursorIcon::Default,
        }
    }
}

/// A change of each box, leaving out those that it leaves alone.
pub fn change(name: &'static str, boxes: &[Annotation], mut edit: impl FnMut(&mut Annotation)) -> Option<Gesture> {
    let changes: Vec<_> = boxes
        .iter()
        .map(|before| {
            let mut after = before.clone();
            edit(&mut after);
            (before.clone(), after)
        })
        .filter(|(before, after)| before != after)
        .collect();
    (!changes.is_empty()).then_some(Gesture::Change(name, changes))
}

/// As much of a movement as leaves every box inside the picture. A box that is partly outside
/// already, as files may bring it, does not hold the others back.
fn keep_inside(boxes: &[Annotation], by: (f64, f64), size: ImageSize) -> (f64, f64) {
    let (width, height) = (f64::from(size.width), f64::from(size.height));
    let (mut x, mut y) = by;
    for b in boxes.iter().map(|b| &b.bounds) {
        x = x.max((-b.xmin).min(0.0)).min((width - b.xmax).max(0.0));
        y = y.max((-b.ymin).min(0.0)).min((height - b.ymax).max(0.0));
    }
    (x, y)
}

#[cfg(test)]
#[path = "tools_tests.rs"]
mod tests;
