//! Every colour and size of the window, for the dark and the light theme, and the class colours.
//!
//! A panel never names a colour of its own: it asks the [`Theme`] for a meaning (`text_weak`,
//! `accent`, `error`). The greys have no tint, so that colours in a picture are judged against
//! neutral ground. The test at the end computes the contrast of each pair that is used together.

use std::sync::LazyLock;

use boxwright_core::LabelId;
use egui::Color32;

/// Sizes in points, on a grid of 4.
pub mod size {
    /// The small padding, between things that belong together.
    pub const PAD: f32 = 8.0;
    /// The large padding, around a panel's content.
    pub const PAD_LARGE: f32 = 12.0;
    /// A row of text or a button.
    pub const ROW: f32 = 24.0;
    /// A row of the image list with its thumbnail.
    pub const THUMB_ROW: f32 = 56.0;
    /// The thumbnail in that row.
    pub const THUMB: egui::Vec2 = egui::vec2(64.0, 48.0);
    /// Corner radius of everything with corners.
    pub const RADIUS: u8 = 4;
    /// The bar at the top.
    pub const TOP_BAR: f32 = 40.0;
    /// The bar at the bottom.
    pub const STATUS_BAR: f32 = 24.0;
    /// Icons.
    pub const ICON: f32 = 16.0;
    /// Running text.
    pub const TEXT: f32 = 13.0;
    /// Labels beside things.
    pub const LABEL: f32 = 12.0;
    /// Headings of a section.
    pub const HEADING: f32 = 16.0;
    /// The one title of a screen.
    pub const TITLE: f32 = 20.0;
    /// A box on the canvas.
    pub const BOX_STROKE: f32 = 2.0;
    /// The chosen box on the canvas.
    pub const CHOSEN_STROKE: f32 = 3.0;
    /// A handle of the chosen box.
    pub const HANDLE: f32 = 8.0;
    /// How far from its middle a handle is grabbed.
    pub const HANDLE_REACH: f32 = 12.0;
    /// A box narrower than this on the screen hides its label until the pointer is over it.
    pub const LABEL_FROM: f32 = 40.0;
    /// The smallest window in which everything has its place.
    pub const MIN_WINDOW: egui::Vec2 = egui::vec2(1024.0, 640.0);
    /// The window of a first start.
    pub const WINDOW: egui::Vec2 = egui::vec2(1440.0, 900.0);
}

/// What a detection or a ground truth box turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// A detection on an object.
    TruePositive,
    /// A detection on nothing.
    FalsePositive,
    /// An object without a detection.
    FalseNegative,
}

/// The colours of one theme by their meaning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Theme {
    /// Whether it is the dark one.
    pub dark: bool,
    /// Around the picture.
    pub canvas: Color32,
    /// Behind lists and forms.
    pub panel: Color32,
    /// Behind the top bar, the status bar and tab bars.
    pub bar: Color32,
    /// Behind text that can be edited.
    pub field: Color32,
    /// A button at rest.
    pub raised: Color32,
    /// A button or row under the pointer.
    pub hover: Color32,
    /// A button that is pressed.
    pub pressed: Color32,
    /// A line between areas; decoration, not a control.
    pub hairline: Color32,
    /// The edge of a control.
    pub control: Color32,
    /// Text.
    pub text: Color32,
    /// Text of lower rank.
    pub text_weak: Color32,
    /// Selection and the one primary action of a view.
    pub accent: Color32,
    /// Text on the accent.
    pub on_accent: Color32,
    /// Behind a selected row.
    pub selected: Color32,
    /// Something failed.
    pub error: Color32,
    /// Something needs a look.
    pub warning: Color32,
    /// Something is done.
    pub success: Color32,
    /// True positive, false positive, false negative in panels.
    review: [Color32; 3],
    /// Strings, numbers, names and comments in the text editors.
    pub code: CodeColors,
}

/// The colours of the text editors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CodeColors {
    /// Field names.
    pub name: Color32,
    /// Quoted text.
    pub string: Color32,
    /// Numbers.
    pub number: Color32,
    /// Enum values and booleans.
    pub word: Color32,
    /// Comments.
    pub comment: Color32,
}

const fn grey(level: u8) -> Color32 {
    Color32::from_gray(level)
}

const fn rgb(hex: u32) -> Color32 {
    Color32::from_rgb((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
}

/// The dark theme, which is the default.
pub const DARK: Theme = Theme {
    dark: true,
    canvas: grey(26),
    panel: grey(34),
    bar: grey(28),
    field: grey(23),
    raised: grey(52),
    hover: grey(62),
    pressed: grey(74),
    hairline: grey(56),
    control: grey(116),
    text: grey(230),
    text_weak: grey(168),
    accent: rgb(0x4C8DFF),
    on_accent: grey(10),
    selected: rgb(0x263750),
    error: rgb(0xFF7A6B),
    warning: rgb(0xF2B134),
    success: rgb(0x3CC7A5),
    review: [rgb(0x1FC7B0), rgb(0xF0633A), rgb(0xFFB000)],
    code: CodeColors {
        name: rgb(0x8FB8FF),
        string: rgb(0x9FD8A4),
        number: rgb(0xF0B27A),
        word: rgb(0xD7A6E8),
        comment: grey(148),
    },
};

/// The light theme.
pub const LIGHT: Theme = Theme {
    dark: false,
    canvas: grey(218),
    panel: grey(246),
    bar: grey(236),
    field: grey(255),
    raised: grey(226),
    hover: grey(214),
    pressed: grey(200),
    hairline: grey(206),
    control: grey(126),
    text: grey(26),
    text_weak: grey(84),
    accent: rgb(0x1F5FD0),
    on_accent: grey(255),
    selected: rgb(0xCFE0FF),
    error: rgb(0xB3261E),
    warning: rgb(0x805100),
    success: rgb(0x00705A),
    review: [rgb(0x00806E), rgb(0xC4400F), rgb(0xA06A00)],
    code: CodeColors {
        name: rgb(0x1A4FA8),
        string: rgb(0x1E6B2A),
        number: rgb(0x9A4A00),
        word: rgb(0x7A2F93),
        comment: grey(98),
    },
};

impl Theme {
    /// The theme that egui shows right now.
    pub fn of(ctx: &egui::Context) -> &'static Self {
        match ctx.theme() {
            egui::Theme::Dark => &DARK,
            egui::Theme::Light => &LIGHT,
        }
    }

    /// The colour of a verdict in a panel.
    pub const fn verdict(&self, verdict: Verdict) -> Color32 {
        self.review[verdict as usize]
    }
}

/// Colours on the picture, the same in both themes, as the picture is.
pub mod on_picture {
    use super::{Color32, DARK, Verdict, grey};

    /// The halo that keeps a line visible on any picture.
    pub const HALO: Color32 = Color32::from_rgba_premultiplied(0, 0, 0, 170);
    /// The inside of a handle.
    pub const HANDLE: Color32 = grey(255);
    /// The two tones of the crosshair and the grid.
    pub const LIGHT_LINE: Color32 = Color32::from_rgba_premultiplied(200, 200, 200, 200);
    /// The dark tone beside it.
    pub const DARK_LINE: Color32 = Color32::from_rgba_premultiplied(0, 0, 0, 200);
    /// The grid.
    pub const GRID: Color32 = Color32::from_rgba_premultiplied(70, 70, 70, 70);

    /// A box of the review.
    pub const fn verdict(verdict: Verdict) -> Color32 {
        DARK.verdict(verdict)
    }
}

/// Okabe and Ito's colours without their black: told apart with any common colour vision.
const OKABE_ITO: [Color32; 7] =
    [rgb(0xE69F00), rgb(0x56B4E9), rgb(0x009E73), rgb(0xF0E442), rgb(0x0072B2), rgb(0xD55E00), rgb(0xCC79A7)];

/// The colour of a class: it depends on the id alone, so it never changes.
pub fn class_color(label: LabelId) -> Color32 {
    static TABLE: LazyLock<Vec<Color32>> = LazyLock::new(class_colors);
    let index = label.get() as usize - 1;
    TABLE.get(index).copied().unwrap_or_else(|| generated_color(index))
}

/// Okabe and Ito's colours, then generated ones that are not near one of the last few. A map with
/// more classes than the table goes on without that care.
fn class_colors() -> Vec<Color32> {
    const TABLE: usize = 400;
    const NEAREST: i32 = 60;
    const LOOK_BACK: usize = 6;
    let distance = |a: Color32, b: Color32| {
        let square = |x: u8, y: u8| (i32::from(x) - i32::from(y)).pow(2);
        square(a.r(), b.r()) + square(a.g(), b.g()) + square(a.b(), b.b())
    };
    let mut colors = OKABE_ITO.to_vec();
    for candidate in (0..10 * TABLE).map(generated_color) {
        let recent = &colors[colors.len().saturating_sub(LOOK_BACK).max(OKABE_ITO.len())..];
        let mut near = OKABE_ITO.iter().chain(recent);
        if near.all(|other| distance(*other, candidate) >= NEAREST * NEAREST) {
            colors.push(candidate);
        }
        if colors.len() == TABLE {
            break;
        }
    }
    colors
}

/// The n-th colour of one lightness: hues a golden angle apart, so that neighbours differ most.
fn generated_color(n: usize) -> Color32 {
    const GOLDEN_ANGLE: f64 = 2.399_963_229_728_653;
    let hue = 0.4 + (n % 10_000) as f64 * GOLDEN_ANGLE;
    // Less chroma where sRGB cannot hold it; the lightness stays.
    let mut chroma = 0.16;
    loop {
        if let Some(color) = oklch(0.72, chroma, hue) {
            return color;
        }
        chroma -= 0.01;
    }
}

/// Oklab in its polar form to sRGB; `None` outside the gamut. Grey (no chroma) always fits.
fn oklch(lightness: f64, chroma: f64, hue: f64) -> Option<Color32> {
    let (a, b) = if chroma > 0.0 { (chroma * hue.cos(), chroma * hue.sin()) } else { (0.0, 0.0) };
    let l = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let m = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let s = (lightness - 0.089_484_177_5 * a - 1.291_485_548_0 * b).powi(3);
    let linear = [
        4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s,
        -1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s,
        -0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701_0 * s,
    ];
    if chroma > 0.0 && linear.iter().any(|v| !(-1e-6..=1.0 + 1e-6).contains(v)) {
        return None;
    }
    let [r, g, b] = linear.map(|v| {
        let v = v.clamp(0.0, 1.0);
        let encoded = if v <= 0.003_130_8 { 12.92 * v } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 };
        (encoded * 255.0).round() as u8
    });
    Some(Color32::from_rgb(r, g, b))
}

/// The relative luminance of WCAG, 0 to 1.
pub fn luminance(color: Color32) -> f64 {
    let linear = |v: u8| {
        let v = f64::from(v) / 255.0;
        if v <= 0.040_45 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * linear(color.r()) + 0.7152 * linear(color.g()) + 0.0722 * linear(color.b())
}

/// The contrast ratio of WCAG, 1 to 21.
pub fn contrast(a: Color32, b: Color32) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

/// Black or white, whichever is easier to read on `background`.
pub fn text_on(background: Color32) -> Color32 {
    if contrast(background, Color32::BLACK) >= contrast(background, Color32::WHITE) {
        Color32::BLACK
    } else {
        Color32::WHITE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_contrast(theme: &str, what: &str, a: Color32, b: Color32, least: f64) {
        let ratio = contrast(a, b);
        assert!(ratio >= least, "{theme}: {what} has a contrast of {ratio:.2}, and needs {least}");
    }

    #[test]
    fn text_and_controls_have_contrast_in_both_themes() {
        for (name, t) in [("dark", DARK), ("light", LIGHT)] {
            for (ground_name, ground) in
                [("panel", t.panel), ("bar", t.bar), ("field", t.field), ("selected", t.selected), ("canvas", t.canvas)]
            {
                assert_contrast(name, &format!("text on {ground_name}"), t.text, ground, 4.5);
                assert_contrast(name, &format!("weak text on {ground_name}"), t.text_weak, ground, 4.5);
                assert_contrast(name, &format!("error on {ground_name}"), t.error, ground, 4.5);
                assert_contrast(name, &format!("warning on {ground_name}"), t.warning, ground, 4.5);
            }
            for (ground_name, ground) in [("button", t.raised), ("hovered", t.hover), ("pressed", t.pressed)] {
                assert_contrast(name, &format!("text on {ground_name}"), t.text, ground, 4.5);
            }
            assert_contrast(name, "text on the accent", t.on_accent, t.accent, 4.5);
            for (ground_name, ground) in [("panel", t.panel), ("bar", t.bar), ("field", t.field)] {
                assert_contrast(name, &format!("control on {ground_name}"), t.control, ground, 3.0);
                assert_contrast(name, &format!("accent on {ground_name}"), t.accent, ground, 3.0);
                assert_contrast(name, &format!("success on {ground_name}"), t.success, ground, 3.0);
                for verdict in [Verdict::TruePositive, Verdict::FalsePositive, Verdict::FalseNegative] {
                    assert_contrast(name, &format!("{verdict:?} on {ground_name}"), t.verdict(verdict), ground, 3.0);
                }
            }
            let code = t.code;
            for color in [code.name, code.string, code.number, code.word, code.comment] {
                assert_contrast(name, "code on the field", color, t.field, 4.5);
            }
        }
    }

    #[test]
    fn greys_have_no_tint() {
        for t in [DARK, LIGHT] {
            for color in [t.canvas, t.panel, t.bar, t.field, t.hairline, t.text, t.text_weak] {
                assert!(color.r() == color.g() && color.g() == color.b(), "{color:?}");
            }
        }
    }

    #[test]
    fn class_colors_are_stable_distinct_and_of_one_lightness() {
        let label = |id| LabelId::new(id).expect("an id");
        assert_eq!(class_color(label(1)), rgb(0xE69F00));
        let mut seen = std::collections::HashSet::new();
        for id in 1..=40 {
            assert!(seen.insert(class_color(label(id)).to_array()), "class {id} has the colour of another");
        }
        let levels: Vec<f64> = (8..=60).map(|id| luminance(class_color(label(id)))).collect();
        let (low, high) = levels.iter().fold((1.0f64, 0.0f64), |(l, h), v| (l.min(*v), h.max(*v)));
        assert!(high - low < 0.2, "generated colours range from {low:.2} to {high:.2}");
        // The largest id of a label map must not take long or overflow.
        let _ = class_color(label(LabelId::MAX));
    }

    #[test]
    fn chip_text_is_readable_on_every_class_color() {
        for id in 1..=100 {
            let color = class_color(LabelId::new(id).expect("an id"));
            assert!(contrast(color, text_on(color)) >= 4.5, "class {id}");
        }
    }
}
