//! The images of a project: which there are, where they belong, and how far their annotation is.

use serde::{Deserialize, Serialize};

use crate::geometry::ImageSize;

/// The number of an image in its project. It never changes and is never given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageId(pub i64);

impl std::fmt::Display for ImageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Which part of the data an image belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Not yet decided.
    #[default]
    Unassigned,
    /// The model learns from it.
    Train,
    /// The model is measured on it while it learns.
    Val,
    /// Kept back until the end.
    Test,
}

impl Split {
    /// All of them, in the order in which people list them.
    pub const ALL: [Self; 4] = [Self::Unassigned, Self::Train, Self::Val, Self::Test];

    /// The word in files and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unassigned => "unassigned",
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }
}

impl std::fmt::Display for Split {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Split {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|split| split.as_str() == word)
            .ok_or_else(|| format!("\"{word}\" is not a split; use train, val, test or unassigned"))
    }
}

/// How far the annotation of an image is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReviewState {
    /// Nobody has touched it.
    #[default]
    New,
    /// It was edited or imported with boxes.
    Annotated,
    /// A person said that every object has its box.
    Verified,
    /// A person said that there is nothing to find in it; it trains as background.
    Background,
}

impl ReviewState {
    /// All of them, in the order of the work.
    pub const ALL: [Self; 4] = [Self::New, Self::Annotated, Self::Verified, Self::Background];

    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Annotated => "annotated",
            Self::Verified => "verified",
            Self::Background => "background",
        }
    }
}

impl std::str::FromStr for ReviewState {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|s| s.as_str() == word).ok_or_else(|| format!("\"{word}\" is not a review state"))
    }
}

/// What the image list shows of an image; boxes are loaded on demand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageEntry {
    /// Its number in the project.
    pub id: ImageId,
    /// Its path, relative to the project folder where that is possible, with `/` between parts.
    pub path: String,
    /// Its size as shown.
    pub size: ImageSize,
    /// Where it belongs.
    pub split: Split,
    /// How far it is.
    pub state: ReviewState,
    /// How many boxes it has.
    pub boxes: usize,
}

impl ImageEntry {
    /// The last part of the path.
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}
