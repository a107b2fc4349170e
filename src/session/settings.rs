//! What the program remembers of a person: settings and recently opened projects.
//!
//! One small JSON file in the user's configuration folder, written whole or not at all. It is never
//! important enough to stop anything: an unreadable file counts as empty.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use boxwright_formats::{atomic_file, read_file};
use serde::{Deserialize, Serialize};

/// How many recent projects are kept.
const RECENT: usize = 12;

/// A settings file is some hundred bytes; anything of this size is something else.
const MAX_BYTES: u64 = 1 << 20;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Content {
    recent: Vec<PathBuf>,
    settings: BTreeMap<String, String>,
}

/// The settings of a person.
#[derive(Debug)]
pub struct Settings {
    file: Option<PathBuf>,
    content: Content,
}

impl Settings {
    /// Reads the settings in a folder, or starts with none. Without a folder they last as long as
    /// the program.
    pub fn load(folder: Option<&Path>) -> Self {
        let file = folder.map(|folder| folder.join("studio.json"));
        let content = file
            .as_deref()
            .and_then(|file| read_file::read_bounded(file, MAX_BYTES).ok())
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        Self { file, content }
    }

    /// The value of a setting.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.content.settings.get(key).map(String::as_str)
    }

    /// Sets or, with an empty value, forgets a setting.
    ///
    /// # Errors
    /// When the file cannot be written; the setting then holds until the program ends.
    pub fn set(&mut self, key: &str, value: &str) -> std::io::Result<()> {
        if self.get(key).unwrap_or_default() == value {
            return Ok(());
        }
        if value.is_empty() {
            self.content.settings.remove(key);
        } else {
            self.content.settings.insert(key.to_owned(), value.to_owned());
        }
        self.save()
    }

    /// The projects that were opened last, the newest first.
    pub fn recent(&self) -> &[PathBuf] {
        &self.content.recent
    }

    /// Puts a project at the top of the recent ones, and takes out those that are gone.
    pub fn opened(&mut self, dir: &Path) {
        let recent = &mut self.content.recent;
        recent.retain(|other| other != dir && boxwright_store::Project::is_project(other));
        recent.insert(0, dir.to_owned());
        recent.truncate(RECENT);
        // A list of recent projects that is not kept is no reason not to open one.
        let _ = self.save();
    }

    fn save(&self) -> std::io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        atomic_file::write_whole(file, &serde_json::to_vec_pretty(&self.content)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_and_recent_projects_are_kept() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = folder.path().join("config/boxwright");
        let mut settings = Settings::load(Some(&config));
        settings.set("theme", "light").expect("kept");
        let projects: Vec<_> = (0..14).map(|i| folder.path().join(format!("p{i}"))).collect();
        for dir in &projects {
            boxwright_store::Project::create(dir).expect("a project");
            settings.opened(dir);
        }
        settings.opened(&projects[5]);
        let again = Settings::load(Some(&config));
        assert_eq!(again.get("theme"), Some("light"));
        assert_eq!(again.recent().len(), RECENT);
        assert_eq!(again.recent()[..2], [projects[5].clone(), projects[13].clone()]);
        settings.set("theme", "").expect("forgotten");
        assert_eq!(Settings::load(Some(&config)).get("theme"), None);
    }

    #[test]
    fn a_project_that_is_gone_leaves_the_list() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        let mut settings = Settings::load(None);
        for dir in [&a, &b] {
            boxwright_store::Project::create(dir).expect("a project");
            settings.opened(dir);
        }
        std::fs::remove_dir_all(&a).expect("removed");
        settings.opened(&b);
        assert_eq!(settings.recent(), [b]);
    }

    #[test]
    fn a_damaged_file_counts_as_empty() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("studio.json"), b"{\"recent\": 7").expect("written");
        let mut settings = Settings::load(Some(folder.path()));
        assert!(settings.recent().is_empty());
        settings.set("a", "b").expect("kept");
        assert_eq!(Settings::load(Some(folder.path())).get("a"), Some("b"));
    }
}
