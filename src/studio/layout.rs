//! The docked panels of each station: where they are, how wide, and which are hidden.
//!
//! Panels can be dragged by their tabs, put beside or behind each other and resized; the layout is
//! kept with the project. When the window grows, the room goes to the main panel and the sides keep
//! their width.

use std::collections::{BTreeMap, HashMap, HashSet};

use egui::{Color32, Rect, Stroke, Style, Ui, Visuals, WidgetText};
use egui_tiles::{Behavior, Container, Linear, LinearDir, SimplificationOptions, TabState, Tile, TileId, Tiles, Tree};
use serde::{Deserialize, Serialize};

use crate::stations::Station;
use crate::theme::{Theme, size};

/// The width of the sides in a new layout.
const LEFT: f32 = 248.0;
const RIGHT: f32 = 272.0;

/// The version of the stored layout; another one is not read.
const VERSION: u32 = 1;

/// A docked panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is named after what it shows")]
pub enum Pane {
    Images,
    Canvas,
    Classes,
    Boxes,
    LabelTable,
    LabelText,
    LabelProblems,
    PipelineText,
    PipelineProblems,
    FieldHelp,
    TrainSetup,
    Runs,
    Plots,
    Log,
    ReviewImages,
    ReviewCanvas,
    ReviewSummary,
}

impl Pane {
    /// The title on its tab.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Images | Self::ReviewImages => "Images",
            Self::Canvas | Self::ReviewCanvas => "Picture",
            Self::Classes | Self::LabelTable => "Classes",
            Self::Boxes => "Boxes",
            Self::LabelText => "Label map",
            Self::LabelProblems | Self::PipelineProblems => "Problems",
            Self::PipelineText => "Pipeline",
            Self::FieldHelp => "Field",
            Self::TrainSetup => "Train",
            Self::Runs => "Runs",
            Self::Plots => "Numbers",
            Self::Log => "Log",
            Self::ReviewSummary => "Results",
        }
    }

    /// The panel of a station that the others stand around; it has no tab while it is alone.
    const fn main_of(station: Station) -> Self {
        match station {
            Station::Annotate => Self::Canvas,
            Station::Labels => Self::LabelText,
            Station::Pipeline => Self::PipelineText,
            Station::Train => Self::Plots,
            Station::Review => Self::ReviewCanvas,
        }
    }
}

/// The layouts of all stations.
pub struct Layouts {
    trees: BTreeMap<StationKey, Tree<Pane>>,
    /// Widths of the outermost panels but the main one, to be kept when the window changes.
    widths: HashMap<(StationKey, TileId), f32>,
    last_width: HashMap<StationKey, f32>,
    sides_hidden: bool,
    edited: bool,
}

/// A station as a key that sorts and can be stored.
type StationKey = u8;

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    trees: BTreeMap<StationKey, Tree<Pane>>,
    widths: Vec<(StationKey, TileId, f32)>,
}

impl Default for Layouts {
    fn default() -> Self {
        let mut layouts = Self {
            trees: BTreeMap::new(),
            widths: HashMap::new(),
            last_width: HashMap::new(),
            sides_hidden: false,
            edited: false,
        };
        for station in Station::ALL {
            let (tree, widths) = first_tree(station);
            layouts.trees.insert(station as StationKey, tree);
            layouts.widths.extend(widths.into_iter().map(|(tile, width)| ((station as StationKey, tile), width)));
        }
        layouts
    }
}

impl Layouts {
    /// Reads a stored layout; one that does not fit gives the first layout.
    pub fn load(text: &str) -> Self {
        let mut layouts = Self::default();
        let Ok(stored) = serde_json::from_str::<Stored>(text) else { return layouts };
        if stored.version != VERSION {
            return layouts;
        }
        for (station, tree) in stored.trees {
            // A tree that lacks a panel would hide it for good.
            let fits = layouts.trees.get(&station).is_some_and(|first| panes(first) == panes(&tree));
            if fits {
                layouts.widths.retain(|(of, _), _| *of != station);
                layouts.trees.insert(station, tree);
            }
        }
        layouts.widths.extend(stored.widths.into_iter().map(|(station, tile, width)| ((station, tile), width)));
        layouts
    }

    /// The layout to be stored, if a person changed it since the last time.
    pub fn take_changed(&mut self) -> Option<String> {
        if !std::mem::take(&mut self.edited) {
            return None;
        }
        let stored = Stored {
            version: VERSION,
            trees: self.trees.clone(),
            widths: self.widths.iter().map(|((station, tile), width)| (*station, *tile, *width)).collect(),
        };
        serde_json::to_string(&stored).ok()
    }

    /// Hides everything but the main panel, or shows it again.
    pub fn toggle_sides(&mut self) {
        self.sides_hidden = !self.sides_hidden;
    }

    /// Whether only the main panel is shown.
    pub fn hides_sides(&self) -> bool {
        self.sides_hidden
    }

    /// Puts everything back to its first place.
    pub fn reset(&mut self) {
        *self = Self { edited: true, ..Self::default() };
    }

    /// Shows the panels of a station in all the room there is.
    pub fn show(&mut self, ui: &mut Ui, station: Station, show_pane: &mut dyn FnMut(&mut Ui, Pane)) {
        let key = station as StationKey;
        let main = Pane::main_of(station);
        if self.sides_hidden && station.has_picture() {
            show_pane(ui, main);
            return;
        }
        let Some(tree) = self.trees.get_mut(&key) else { return };
        let width = ui.available_width();
        let children = outermost(tree);
        if self.last_width.insert(key, width) != Some(width) {
            keep_widths(tree, &children, main, width, |tile| self.widths.get(&(key, tile)).copied());
        }
        let lonely = tabs_with_only(tree, main);
        let mut dock = Dock { show_pane, lonely, edited: false };
        tree.ui(&mut dock, ui);
        self.edited |= dock.edited;
        for tile in outermost(tree) {
            if let Some(rect) = tree.tiles.rect(tile) {
                self.widths.insert((key, tile), rect.width());
            }
        }
    }
}

/// Panels above each other with their shares of the height, and the column's width; none for the main one.
type Column<'a> = (&'a [(Pane, f32)], Option<f32>);

/// The first layout of a station, and the widths of its sides.
fn first_tree(station: Station) -> (Tree<Pane>, Vec<(TileId, f32)>) {
    let mut tiles = Tiles::default();
    let mut widths = Vec::new();
    let mut column = |tiles: &mut Tiles<Pane>, panes: &[(Pane, f32)], width: Option<f32>| {
        let children: Vec<TileId> = panes.iter().map(|(pane, _)| tabbed(tiles, *pane)).collect();
        let tile = match children.as_slice() {
            [only] => *only,
            _ => {
                let mut linear = Linear::new(LinearDir::Vertical, children.clone());
                for (child, (_, share)) in children.iter().zip(panes) {
                    linear.shares.set_share(*child, *share);
                }
                tiles.insert_container(linear)
            }
        };
        widths.extend(width.map(|w| (tile, w)));
        tile
    };
    let columns: &[Column<'_>] = match station {
        Station::Annotate => &[
            (&[(Pane::Images, 1.0)], Some(LEFT)),
            (&[(Pane::Canvas, 1.0)], None),
            (&[(Pane::Classes, 0.8), (Pane::Boxes, 1.2)], Some(RIGHT)),
        ],
        Station::Labels => {
            &[(&[(Pane::LabelTable, 1.0)], Some(520.0)), (&[(Pane::LabelText, 1.6), (Pane::LabelProblems, 0.6)], None)]
        }
        Station::Pipeline => &[
            (&[(Pane::PipelineText, 1.0)], None),
            (&[(Pane::PipelineProblems, 1.2), (Pane::FieldHelp, 0.8)], Some(340.0)),
        ],
        Station::Train => &[
            (&[(Pane::TrainSetup, 1.0), (Pane::Runs, 1.2)], Some(288.0)),
            (&[(Pane::Plots, 1.8), (Pane::Log, 0.5)], None),
        ],
        Station::Review => &[
            (&[(Pane::ReviewImages, 1.0)], Some(LEFT)),
            (&[(Pane::ReviewCanvas, 1.0)], None),
            (&[(Pane::ReviewSummary, 1.0)], Some(RIGHT)),
        ],
    };
    let children = columns.iter().map(|(panes, width)| column(&mut tiles, panes, *width)).collect();
    let root = tiles.insert_container(Linear::new(LinearDir::Horizontal, children));
    (Tree::new(egui::Id::unique(("layout", station.label())), root, tiles), widths)
}

fn tabbed(tiles: &mut Tiles<Pane>, pane: Pane) -> TileId {
    let pane = tiles.insert_pane(pane);
    tiles.insert_tab_tile(vec![pane])
}

fn panes(tree: &Tree<Pane>) -> HashSet<Pane> {
    let all = tree.tiles.tiles().filter_map(|tile| match tile {
        Tile::Pane(pane) => Some(*pane),
        Tile::Container(_) => None,
    });
    all.collect()
}

/// The columns of the root, where it is a row.
fn outermost(tree: &Tree<Pane>) -> Vec<TileId> {
    match tree.root().and_then(|root| tree.tiles.get(root)) {
        Some(Tile::Container(Container::Linear(linear))) if linear.dir == LinearDir::Horizontal => {
            linear.children.clone()
        }
        _ => Vec::new(),
    }
}

/// Gives every column but the main one its width, and the main one the rest.
fn keep_widths(
    tree: &mut Tree<Pane>,
    children: &[TileId],
    main: Pane,
    width: f32,
    kept: impl Fn(TileId) -> Option<f32>,
) {
    let Some(main) = children.iter().copied().find(|tile| holds(&tree.tiles, *tile, main)) else { return };
    let sides: Vec<(TileId, f32)> =
        children.iter().filter(|tile| **tile != main).map(|tile| (*tile, kept(*tile).unwrap_or(LEFT))).collect();
    let total: f32 = sides.iter().map(|(_, w)| w).sum();
    // A narrow window shrinks the sides too, rather than the picture alone.
    let room = width * 0.55;
    let scale = if total > room { room / total } else { 1.0 };
    let Some(root) = tree.root() else { return };
    if let Some(Tile::Container(Container::Linear(linear))) = tree.tiles.get_mut(root) {
        for (tile, side) in sides {
            linear.shares.set_share(tile, side * scale);
        }
        linear.shares.set_share(main, (width - total * scale).max(1.0));
    }
}

fn holds(tiles: &Tiles<Pane>, tile: TileId, pane: Pane) -> bool {
    match tiles.get(tile) {
        Some(Tile::Pane(other)) => *other == pane,
        Some(Tile::Container(container)) => container.children().any(|child| holds(tiles, *child, pane)),
        None => false,
    }
}

/// The tab containers in which the main panel is alone.
fn tabs_with_only(tree: &Tree<Pane>, main: Pane) -> HashSet<TileId> {
    let is_alone = |tabs: &egui_tiles::Tabs| match tabs.children.as_slice() {
        [only] => tree.tiles.get_pane(only) == Some(&main),
        _ => false,
    };
    let found = tree.tiles.iter().filter_map(|(id, tile)| match tile {
        Tile::Container(Container::Tabs(tabs)) if is_alone(tabs) => Some(*id),
        _ => None,
    });
    found.collect()
}

struct Dock<'a> {
    show_pane: &'a mut dyn FnMut(&mut Ui, Pane),
    lonely: HashSet<TileId>,
    edited: bool,
}

impl Behavior<Pane> for Dock<'_> {
    fn pane_ui(&mut self, ui: &mut Ui, _tile: TileId, pane: &mut Pane) -> egui_tiles::UiResponse {
        let theme = Theme::of(ui.ctx());
        ui.painter().rect_filled(ui.max_rect(), 0.0, theme.panel);
        (self.show_pane)(ui, *pane);
        egui_tiles::UiResponse::None
    }

    fn tab_title_for_pane(&mut self, pane: &Pane) -> WidgetText {
        egui::RichText::new(pane.title()).size(size::LABEL).into()
    }

    fn is_tab_bar_visible(&self, tile: TileId, _tabs: &egui_tiles::Tabs) -> bool {
        !self.lonely.contains(&tile)
    }

    fn tab_bar_height(&self, _style: &Style) -> f32 {
        size::ROW
    }

    fn min_size(&self) -> f32 {
        120.0
    }

    fn gap_width(&self, _style: &Style) -> f32 {
        1.0
    }

    fn simplification_options(&self) -> SimplificationOptions {
        SimplificationOptions { all_panes_must_have_tabs: true, ..SimplificationOptions::default() }
    }

    fn tab_bar_color(&self, visuals: &Visuals) -> Color32 {
        visuals.faint_bg_color
    }

    fn tab_outline_stroke(&self, _v: &Visuals, _t: &Tiles<Pane>, _id: TileId, _state: &TabState) -> Stroke {
        Stroke::NONE
    }

    fn tab_text_color(&self, visuals: &Visuals, _t: &Tiles<Pane>, _id: TileId, state: &TabState) -> Color32 {
        if state.active { visuals.text_color() } else { visuals.weak_text_color() }
    }

    fn resize_stroke(&self, style: &Style, state: egui_tiles::ResizeState) -> Stroke {
        match state {
            egui_tiles::ResizeState::Idle => Stroke::new(1.0, style.visuals.widgets.noninteractive.bg_stroke.color),
            _ => Stroke::new(2.0, style.visuals.selection.stroke.color),
        }
    }

    fn paint_drag_preview(&self, visuals: &Visuals, painter: &egui::Painter, _parent: Option<Rect>, preview: Rect) {
        let color = visuals.selection.stroke.color;
        painter.rect_filled(preview, f32::from(size::RADIUS), color.gamma_multiply(0.25));
        painter.rect_stroke(preview, f32::from(size::RADIUS), Stroke::new(1.0, color), egui::StrokeKind::Inside);
    }

    fn on_edit(&mut self, _action: egui_tiles::EditAction) {
        self.edited = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_survives_storing_and_damage_gives_the_first_one() {
        let mut layouts = Layouts { edited: true, ..Layouts::default() };
        let text = layouts.take_changed().expect("it was edited");
        assert!(layouts.take_changed().is_none());
        let again = Layouts::load(&text);
        for station in Station::ALL {
            let key = station as StationKey;
            assert_eq!(again.trees[&key], layouts.trees[&key]);
        }
        for damaged in
            ["", "{}", "{\"version\":1,\"trees\":{\"0\":null},\"widths\":[]}", &text.replace("Canvas", "Images")]
        {
            assert_eq!(panes(&Layouts::load(damaged).trees[&0]).len(), 4, "{damaged}");
        }
    }

    #[test]
    fn every_station_has_its_main_panel() {
        let layouts = Layouts::default();
        for station in Station::ALL {
            assert!(panes(&layouts.trees[&(station as StationKey)]).contains(&Pane::main_of(station)));
        }
    }
}
