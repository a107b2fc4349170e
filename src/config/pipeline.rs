//! `pipeline.config`: the typed config, the text it came from, and where each field stands in it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::ConfigError;
use crate::proto::TrainEvalPipelineConfig;
use crate::text_format::{self, Document, FieldPath, MAX_BYTES, Position};

/// A pipeline config that was read from a text.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// The config. A caller may change it; [`Pipeline::to_text`] prints what it says now, while
    /// [`Pipeline::text`] stays what was read.
    pub config: TrainEvalPipelineConfig,
    document: Document,
}

impl Pipeline {
    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read, is far too large, or its text is not a pipeline config.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let bytes = read_limited(path)?;
        let file = path.display().to_string();
        Self::parse(text_format::decode(&bytes, &file)?, &file)
    }

    /// Reads a text; `file_name` is what errors call it.
    ///
    /// # Errors
    /// The first thing in the text that is wrong.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, ConfigError> {
        let (config, document) = text_format::parse_with_places(text, file_name)?;
        Ok(Self { config, document })
    }

    /// The text that was read.
    pub fn text(&self) -> &str {
        self.document.text()
    }

    /// The name of the file, as the caller gave it.
    pub fn file(&self) -> &str {
        self.document.file()
    }

    /// The fields of the text and their places.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// Where the text gives a field, by its path: `train_config.batch_size`, or
    /// `train_config.data_augmentation_options[1]`. `None` where it does not.
    pub fn position(&self, path: &str) -> Option<Position> {
        let (field, value) = self.document.find(&path.parse().ok()?)?;
        // An element of a `[ … ]` list stands where its value does, anything else where its name does.
        let is_element = value.span() != field.value.span();
        Some(self.document.position(if is_element { value.span().start } else { field.name.start }))
    }

    /// The place of a field in words, `line 12, column 3`; of the nearest block around it where the
    /// text does not give it; empty where there is none.
    pub fn place(&self, path: &str) -> String {
        let mut path = path.parse::<FieldPath>().ok();
        while let Some(at) = path {
            if let Some((field, _)) = self.document.find(&at) {
                return self.document.position(field.name.start).to_string();
            }
            path = at.parent();
        }
        String::new()
    }

    /// The config printed anew: no comments, fields in the schema's order, as `MessageToString` does.
    pub fn to_text(&self) -> String {
        text_format::print_message(&self.config)
    }

    /// The config with an override text merged over it, as `text_format.Merge` does: single values
    /// are replaced, blocks are merged, repeated fields are appended to. The result's text is
    /// printed anew.
    ///
    /// # Errors
    /// The first thing in the override text that is wrong.
    pub fn merge(&self, override_text: &str, override_name: &str) -> Result<Self, ConfigError> {
        let mut message = text_format::dynamic(&self.config);
        text_format::merge_dynamic(&mut message, override_text, override_name)?;
        Self::parse(&text_format::print(&message), self.file())
    }
}

/// A whole text file, if it is not larger than any config may be: an override, hyperparameters.
///
/// # Errors
/// The file cannot be read, is far too large, or is no UTF-8.
pub fn read_text(path: impl AsRef<Path>) -> Result<String, ConfigError> {
    let bytes = read_limited(path.as_ref())?;
    Ok(text_format::decode(&bytes, &path.as_ref().display().to_string())?.to_owned())
}

/// A whole file, if it is not larger than any config may be.
pub(crate) fn read_limited(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let read = |source| ConfigError::Read { file: path.into(), source };
    let mut file = File::open(path).map_err(read)?;
    let metadata = file.metadata().map_err(read)?;
    if metadata.is_dir() {
        return Err(read(std::io::Error::from(std::io::ErrorKind::IsADirectory)));
    }
    let limit = MAX_BYTES as u64;
    let too_large = |size| ConfigError::TooLarge { file: path.into(), size, limit };
    if metadata.len() > limit {
        return Err(too_large(metadata.len()));
    }
    // The length of a pipe or a growing file says nothing, so the reading is limited as well.
    let mut bytes = Vec::new();
    let read_bytes = (&mut file).take(limit + 1).read_to_end(&mut bytes).map_err(read)?;
    if read_bytes as u64 > limit {
        return Err(too_large(read_bytes as u64));
    }
    Ok(bytes)
}
