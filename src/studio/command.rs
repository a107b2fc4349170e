//! Everything that a person can ask of the window, in one table.
//!
//! A [`UiCommand`] has its label, its tooltip, its icon, its keys and the place where it works here
//! and nowhere else. Buttons, menus, the palette and the sheet of keys read this table; `app`
//! carries the commands out. What changes the project is a [`boxwright_session::Command`], which
//! `app` makes from the command and what is chosen.

use egui::{Key, KeyboardShortcut, Modifiers};

use crate::icon::Icon;

/// Where a command works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In every station, and on the start screen.
    Anywhere,
    /// With a project open.
    Project,
    /// Where a picture is shown: Annotate and Review.
    Picture,
    /// In Annotate.
    Annotate,
    /// Where a text is edited: Labels and Pipeline.
    Editor,
}

/// The headings of the sheet of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Drawing and changing boxes.
    Boxes,
    /// Classes and flags.
    Classes,
    /// Going through the images.
    Images,
    /// What is shown.
    View,
    /// Project, stations, help.
    Studio,
}

impl Group {
    /// All of them, in the order of the sheet.
    pub const ALL: [Self; 5] = [Self::Boxes, Self::Classes, Self::Images, Self::View, Self::Studio];

    /// The heading.
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Boxes => "Boxes",
            Self::Classes => "Classes and flags",
            Self::Images => "Images",
            Self::View => "View",
            Self::Studio => "Studio",
        }
    }
}

/// What the table says of a command.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// What buttons, menus and the palette say.
    pub label: &'static str,
    /// One sentence more.
    pub tooltip: &'static str,
    /// Its icon.
    pub icon: Icon,
    /// Its keys; the first is the one that tooltips name.
    pub keys: &'static [KeyboardShortcut],
    /// Where it works.
    pub scope: Scope,
    /// Its heading in the sheet of keys.
    pub group: Group,
}

const fn key(logical_key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::NONE, logical_key)
}

const fn shift(logical_key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::SHIFT, logical_key)
}

const fn ctrl(logical_key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::COMMAND, logical_key)
}

const fn ctrl_shift(logical_key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::COMMAND.plus(Modifiers::SHIFT), logical_key)
}

macro_rules! commands {
    ($($variant:ident: $label:literal, $tooltip:literal, $icon:ident, [$($key:expr),*], $scope:ident, $group:ident;)+) => {
        /// A thing that a person can ask of the window.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum UiCommand {
            $(#[doc = $tooltip] $variant,)+
        }

        impl UiCommand {
            /// All of them, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// What the table says of it.
            pub const fn spec(self) -> Spec {
                match self {
                    $(Self::$variant => Spec {
                        label: $label,
                        tooltip: $tooltip,
                        icon: Icon::$icon,
                        keys: const { &[$($key),*] },
                        scope: Scope::$scope,
                        group: Group::$group,
                    },)+
                }
            }
        }
    };
}

commands! {
    Draw: "Draw a box", "Press and drag on the picture; the box gets the current class.", RECTANGLE, [key(Key::W)], Annotate, Boxes;
    Delete: "Delete boxes", "Removes the chosen boxes.", TRASH, [key(Key::Delete)], Annotate, Boxes;
    Copy: "Copy boxes", "Copies the chosen boxes.", COPY, [ctrl(Key::C)], Annotate, Boxes;
    Paste: "Paste boxes", "Puts the copied boxes on this image, at the same place.", CLIPBOARD, [ctrl(Key::V)], Annotate, Boxes;
    Duplicate: "Duplicate boxes", "Copies the chosen boxes beside themselves.", COPY_SIMPLE, [ctrl(Key::D)], Annotate, Boxes;
    PreviousBoxes: "Take the boxes of the previous image", "Copies all boxes of the image before this one.", DOWNLOAD, [key(Key::R)], Annotate, Boxes;
    SelectAll: "Choose all boxes", "Chooses every box of this image.", CURSOR, [ctrl(Key::A)], Annotate, Boxes;
    NextBoxUnder: "Next box under the pointer", "Chooses the next of the boxes that lie under the pointer; elsewhere it hides the sides.", CURSOR, [key(Key::Tab)], Picture, Boxes;
    NudgeLeft: "Nudge left", "Moves the chosen boxes by 1 px, with Shift by 10.", ARROW_LEFT, [key(Key::ArrowLeft), shift(Key::ArrowLeft)], Annotate, Boxes;
    NudgeRight: "Nudge right", "Moves the chosen boxes by 1 px, with Shift by 10.", ARROW_RIGHT, [key(Key::ArrowRight), shift(Key::ArrowRight)], Annotate, Boxes;
    NudgeUp: "Nudge up", "Moves the chosen boxes by 1 px, with Shift by 10.", ARROWS, [key(Key::ArrowUp), shift(Key::ArrowUp)], Annotate, Boxes;
    NudgeDown: "Nudge down", "Moves the chosen boxes by 1 px, with Shift by 10.", CARET_DOWN, [key(Key::ArrowDown), shift(Key::ArrowDown)], Annotate, Boxes;
    Undo: "Undo", "Takes back the last edit.", UNDO, [ctrl(Key::Z)], Project, Boxes;
    Redo: "Redo", "Does the last undone edit again.", REDO, [ctrl_shift(Key::Z), ctrl(Key::Y)], Project, Boxes;
    Cancel: "Cancel", "Gives up the drag, the tool or the choice.", X, [key(Key::Escape)], Picture, Boxes;
    SetClass: "Class 1 to 10", "Gives the chosen boxes, or the next one, the class at that place of the list.", TAG,
        [key(Key::Num1), key(Key::Num2), key(Key::Num3), key(Key::Num4), key(Key::Num5), key(Key::Num6), key(Key::Num7), key(Key::Num8), key(Key::Num9), key(Key::Num0)], Annotate, Classes;
    PickClass: "Class by typing…", "Finds or adds a class by its name.", TAG, [key(Key::C)], Annotate, Classes;
    Difficult: "Difficult", "Hard to recognise: evaluation does not count it either way.", WARNING_CIRCLE, [key(Key::X)], Annotate, Classes;
    Truncated: "Truncated", "Cut off by the edge of the picture.", SCISSORS, [key(Key::T)], Annotate, Classes;
    Occluded: "Occluded", "Partly hidden by something else.", CIRCLE_HALF, [key(Key::O)], Annotate, Classes;
    Next: "Next image", "Opens the next image of the list.", ARROW_RIGHT, [key(Key::D)], Picture, Images;
    Previous: "Previous image", "Opens the previous image of the list.", ARROW_LEFT, [key(Key::A)], Picture, Images;
    NextNew: "Next new image", "Opens the next image that nobody has touched yet.", CIRCLE_DASHED, [key(Key::N)], Annotate, Images;
    Verify: "Verified", "Says that every object in this image has its box; again to take it back.", SEAL, [key(Key::Space)], Annotate, Images;
    Background: "Background on purpose", "Says that there is nothing to find in this image.", PROHIBIT, [key(Key::B)], Annotate, Images;
    Filter: "Filter images", "Goes to the filter above the list of images.", FUNNEL, [ctrl(Key::F)], Picture, Images;
    AddImages: "Add images…", "Adds pictures to the project; they stay where they are.", IMAGES, [ctrl(Key::I)], Project, Images;
    AddFolder: "Add a folder of images…", "Adds every picture of a folder and of those below it.", FOLDER_PLUS, [], Project, Images;
    ImportVoc: "Import Pascal VOC…", "Adds the images and boxes of a folder of Pascal VOC files.", DOWNLOAD, [], Project, Images;
    Split: "Split into train and val", "Puts a fifth of the images that have no split yet into val, the rest into train.", SHUFFLE, [], Project, Images;
    Fit: "Fit the picture", "Shows the whole picture.", CORNERS, [key(Key::F)], Picture, View;
    OneToOne: "1:1", "Shows one pixel of the picture on one of the screen.", ONE_TO_ONE, [ctrl(Key::Num0)], Picture, View;
    ZoomIn: "Zoom in", "One notch nearer, to the pointer.", MAGNIFIER, [ctrl(Key::Plus), ctrl(Key::Equals)], Picture, View;
    ZoomOut: "Zoom out", "One notch further away.", MAGNIFIER, [ctrl(Key::Minus)], Picture, View;
    Hide: "Hide boxes", "Shows the picture without its boxes.", EYE_SLASH, [key(Key::H)], Picture, View;
    Grid: "Grid", "Shows a grid over the picture; from 8× on, the pixels.", GRID, [key(Key::G)], Picture, View;
    Sides: "Hide the sides", "Gives the picture all the room, or takes it back.", SIDEBAR, [shift(Key::Tab)], Picture, View;
    ResetLayout: "Reset the layout", "Puts every panel back to its first place.", SIDEBAR, [], Project, View;
    Theme: "Light or dark theme", "Changes between the light and the dark theme.", SUN, [], Anywhere, View;
    NewProject: "New project…", "Makes a project in a folder of your choice.", FOLDER_PLUS, [ctrl(Key::N)], Anywhere, Studio;
    OpenProject: "Open project…", "Opens a project folder.", FOLDER_OPEN, [ctrl(Key::O)], Anywhere, Studio;
    CloseProject: "Close project", "Goes back to the start screen; training goes on.", X, [], Project, Studio;
    Annotate: "Go to Annotate", "Draw and check boxes.", RECTANGLE, [ctrl(Key::Num1)], Project, Studio;
    Labels: "Go to Labels", "The classes and the label map.", TAG, [ctrl(Key::Num2)], Project, Studio;
    Pipeline: "Go to Pipeline", "The configuration of model and training.", SLIDERS, [ctrl(Key::Num3)], Project, Studio;
    Train: "Go to Train", "Runs, losses and mAP.", CHART, [ctrl(Key::Num4)], Project, Studio;
    Review: "Go to Review", "Detections over the ground truth.", TARGET, [ctrl(Key::Num5)], Project, Studio;
    Save: "Save the text", "Writes the file; boxes are always saved already.", FLOPPY, [ctrl(Key::S)], Editor, Studio;
    Palette: "All commands", "Finds any command, class or image by typing.", COMMAND, [ctrl(Key::K)], Anywhere, Studio;
    Keys: "All keys", "Shows every key.", KEYBOARD, [key(Key::Questionmark), key(Key::F1)], Anywhere, Studio;
}

impl UiCommand {
    /// Whether holding the key does it again and again.
    pub const fn repeats(self) -> bool {
        matches!(
            self,
            Self::Next
                | Self::Previous
                | Self::NudgeLeft
                | Self::NudgeRight
                | Self::NudgeUp
                | Self::NudgeDown
                | Self::Undo
                | Self::Redo
                | Self::ZoomIn
                | Self::ZoomOut
        )
    }

    /// Its first key in words, like `Ctrl+Z`; empty where it has none.
    pub fn key_text(self) -> String {
        match self {
            Self::SetClass => "1 … 9, 0".to_owned(),
            _ => self.spec().keys.first().map(format_shortcut).unwrap_or_default(),
        }
    }

    /// Label, sentence and key for a tooltip.
    pub fn tooltip(self) -> String {
        let spec = self.spec();
        let keys = self.key_text();
        if keys.is_empty() {
            format!("{}\n{}", spec.label, spec.tooltip)
        } else {
            format!("{}  ({keys})\n{}", spec.label, spec.tooltip)
        }
    }
}

/// A shortcut as people read it.
pub fn format_shortcut(shortcut: &KeyboardShortcut) -> String {
    let mut text = String::new();
    for (is_set, name) in [
        (shortcut.modifiers.command || shortcut.modifiers.ctrl, if cfg!(target_os = "macos") { "Cmd" } else { "Ctrl" }),
        (shortcut.modifiers.alt, "Alt"),
        (shortcut.modifiers.shift, "Shift"),
    ] {
        if is_set {
            text.push_str(name);
            text.push('+');
        }
    }
    text.push_str(match shortcut.logical_key {
        Key::Delete => "Del",
        Key::Escape => "Esc",
        Key::Questionmark => "?",
        Key::Plus | Key::Equals => "+",
        Key::Minus => "−",
        Key::ArrowLeft => "←",
        Key::ArrowRight => "→",
        Key::ArrowUp => "↑",
        Key::ArrowDown => "↓",
        other => other.name(),
    });
    text
}

/// Whether a key press is this shortcut. The modifiers must be exactly those, so that `Ctrl+Z` does
/// not answer to `Ctrl+Shift+Z`; only the question mark does not care how its layout types it.
pub fn is_pressed(shortcut: &KeyboardShortcut, logical_key: Key, modifiers: Modifiers) -> bool {
    let wanted = shortcut.modifiers;
    let typed_with_shift = matches!(logical_key, Key::Questionmark | Key::Plus);
    logical_key == shortcut.logical_key
        && (wanted.command || wanted.ctrl) == (modifiers.command || modifiers.ctrl)
        && wanted.alt == modifiers.alt
        && (typed_with_shift || wanted.shift == modifiers.shift)
}

/// The command of a key press, and which of its keys it was.
pub fn find(logical_key: Key, modifiers: Modifiers) -> Option<(UiCommand, usize)> {
    UiCommand::ALL.iter().find_map(|command| {
        let index = command.spec().keys.iter().position(|shortcut| is_pressed(shortcut, logical_key, modifiers))?;
        Some((*command, index))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn no_two_commands_share_a_key() {
        let mut seen = HashMap::new();
        for command in UiCommand::ALL {
            for shortcut in command.spec().keys {
                let text = format!("{:?} {:?}", shortcut.modifiers, shortcut.logical_key);
                if let Some(other) = seen.insert(text.clone(), *command) {
                    panic!("{other:?} and {command:?} share {text}");
                }
            }
        }
    }

    #[test]
    fn labels_are_sentence_case_and_unique() {
        let mut seen = std::collections::HashSet::new();
        for command in UiCommand::ALL {
            let spec = command.spec();
            assert!(seen.insert(spec.label), "{} is used twice", spec.label);
            assert!(!spec.label.contains('!') && !spec.tooltip.contains('!'));
            assert!(spec.tooltip.ends_with('.'), "{command:?}");
        }
    }

    #[test]
    fn modifiers_must_be_exact() {
        assert_eq!(find(Key::Z, Modifiers::COMMAND), Some((UiCommand::Undo, 0)));
        assert_eq!(find(Key::Z, Modifiers::COMMAND | Modifiers::SHIFT), Some((UiCommand::Redo, 0)));
        assert_eq!(find(Key::D, Modifiers::NONE), Some((UiCommand::Next, 0)));
        assert_eq!(find(Key::D, Modifiers::COMMAND), Some((UiCommand::Duplicate, 0)));
        assert_eq!(find(Key::Num0, Modifiers::NONE), Some((UiCommand::SetClass, 9)));
        assert_eq!(find(Key::Num0, Modifiers::COMMAND), Some((UiCommand::OneToOne, 0)));
        assert_eq!(find(Key::Questionmark, Modifiers::SHIFT), Some((UiCommand::Keys, 0)));
    }

    #[test]
    fn tooltips_name_the_key() {
        assert!(UiCommand::Draw.tooltip().contains("(W)"));
        assert_eq!(UiCommand::Redo.key_text(), "Ctrl+Shift+Z");
    }
}
