//! The stations along the way, and the state that each of them keeps.

pub mod annotate;
pub mod edits;
pub mod labels;
pub mod pipeline;
pub mod review;
pub mod train;

use crate::command::UiCommand;
use crate::icon::Icon;

/// A station along the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Station {
    /// Drawing boxes.
    #[default]
    Annotate,
    /// The classes.
    Labels,
    /// The configuration.
    Pipeline,
    /// Runs and their numbers.
    Train,
    /// Detections over the ground truth.
    Review,
}

impl Station {
    /// All of them, in the order of the way.
    pub const ALL: [Self; 5] = [Self::Annotate, Self::Labels, Self::Pipeline, Self::Train, Self::Review];

    /// Its name on the screen.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Annotate => "Annotate",
            Self::Labels => "Labels",
            Self::Pipeline => "Pipeline",
            Self::Train => "Train",
            Self::Review => "Review",
        }
    }

    /// The command that goes there.
    pub const fn command(self) -> UiCommand {
        match self {
            Self::Annotate => UiCommand::Annotate,
            Self::Labels => UiCommand::Labels,
            Self::Pipeline => UiCommand::Pipeline,
            Self::Train => UiCommand::Train,
            Self::Review => UiCommand::Review,
        }
    }

    /// The station that a command goes to.
    pub fn of(command: UiCommand) -> Option<Self> {
        Self::ALL.into_iter().find(|station| station.command() == command)
    }

    /// Its icon.
    pub const fn icon(self) -> Icon {
        self.command().spec().icon
    }

    /// Whether it shows a picture.
    pub const fn has_picture(self) -> bool {
        matches!(self, Self::Annotate | Self::Review)
    }

    /// Whether it has a text to save.
    pub const fn has_text(self) -> bool {
        matches!(self, Self::Labels | Self::Pipeline)
    }
}
