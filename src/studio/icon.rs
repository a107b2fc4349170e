//! The icons: Phosphor's regular set, by name.
//!
//! Icons are glyphs of a font, so they are sharp at every scale and take the text's colour. The
//! names below are the only ones that the window uses; a test looks each of them up.

use egui::{FontFamily, FontId, RichText};
use iconflow::{Pack, Size, Style};

/// The name of the icon font among egui's families.
pub const FAMILY: &str = "phosphor";

/// An icon by its name in the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Icon(&'static str);

macro_rules! icons {
    ($($constant:ident = $name:literal),+ $(,)?) => {
        impl Icon {
            $(#[doc = concat!("Phosphor's `", $name, "`.")] pub const $constant: Self = Self($name);)+
            /// Every icon of the window.
            pub const ALL: &[Self] = &[$(Self::$constant),+];
        }
    };
}

icons! {
    ARROW_LEFT = "arrow-left", ARROW_RIGHT = "arrow-right", ARROWS_OUT = "arrows-out", CARET_DOWN = "caret-down",
    CHART = "chart-line-up", CHECK = "check", CHECK_CIRCLE = "check-circle", CIRCLE = "circle",
    CIRCLE_DASHED = "circle-dashed", CIRCLE_HALF = "circle-half", CLIPBOARD = "clipboard", COMMAND = "command",
    COPY = "copy", COPY_SIMPLE = "copy-simple", CORNERS = "corners-out", CURSOR = "cursor", EYE = "eye",
    EYE_SLASH = "eye-slash", FILE_PLUS = "file-plus", FLOPPY = "floppy-disk", FOLDER_OPEN = "folder-open",
    FOLDER_PLUS = "folder-plus", FUNNEL = "funnel", GRID = "grid-four", IMAGES = "images", INFO = "info",
    KEYBOARD = "keyboard", MAGNIFIER = "magnifying-glass", MOON = "moon", PENCIL = "pencil-simple", PLAY = "play",
    PLUS = "plus", PROHIBIT = "prohibit", RECTANGLE = "bounding-box", REDO = "arrow-clockwise",
    SCISSORS = "scissors", SEAL = "seal-check", SHUFFLE = "shuffle", SIDEBAR = "sidebar-simple",
    SLIDERS = "sliders-horizontal", STOP = "stop-circle", SUN = "sun", TAG = "tag", TARGET = "target",
    TRASH = "trash", UNDO = "arrow-counter-clockwise", WARNING = "warning", WARNING_CIRCLE = "warning-circle", X = "x",
    X_CIRCLE = "x-circle", ONE_TO_ONE = "frame-corners", DOWNLOAD = "download-simple", CPU = "cpu",
    GRAPHICS_CARD = "graphics-card", ARROWS = "arrow-up",
}

impl Icon {
    /// Its glyph, if the set has it.
    pub fn glyph(self) -> Option<char> {
        let icon = iconflow::try_icon(Pack::Phosphor, self.0, Style::Regular, Size::Regular).ok()?;
        char::from_u32(icon.codepoint)
    }

    /// Its glyph as text of `size` points. A name that the set lacks gives an empty text.
    pub fn sized(self, size: f32) -> RichText {
        let text = self.glyph().map(String::from).unwrap_or_default();
        RichText::new(text).font(FontId::new(size, FontFamily::Name(FAMILY.into())))
    }

    /// Its glyph as text of the usual 16 points.
    pub fn text(self) -> RichText {
        self.sized(crate::theme::size::ICON)
    }

    /// The font to paint it with.
    pub fn font_id(size: f32) -> FontId {
        FontId::new(size, FontFamily::Name(FAMILY.into()))
    }
}

/// The bytes of the icon font.
pub fn font() -> Option<&'static [u8]> {
    let family = iconflow::try_icon(Pack::Phosphor, "check", Style::Regular, Size::Regular).ok()?.family;
    iconflow::fonts().iter().find(|font| font.family == family).map(|font| font.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_icon_is_in_the_set() {
        assert!(font().is_some());
        for icon in Icon::ALL {
            assert!(icon.glyph().is_some(), "{icon:?}");
        }
    }
}
