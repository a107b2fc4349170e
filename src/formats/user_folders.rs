//! Where the program may keep files of a person, by the rules of the platform.
//!
//! Settings are a person's own and stay; what lies in the cache may be deleted at any time and is then found out anew.

use std::path::PathBuf;

/// The folder for this person's settings.
pub fn user_config_dir() -> Option<PathBuf> {
    folder("XDG_CONFIG_HOME", ".config", "Library/Application Support", "APPDATA")
}

/// The folder for what can be found out again.
pub fn user_cache_dir() -> Option<PathBuf> {
    folder("XDG_CACHE_HOME", ".cache", "Library/Caches", "LOCALAPPDATA")
}

/// A variable and its default below the home folder; a folder below it on macOS; a variable on Windows.
fn folder(xdg: &str, unix: &str, macos: &str, windows: &str) -> Option<PathBuf> {
    let var = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let home = |below: &str| var("HOME").map(|home| home.join(below));
    let base = if cfg!(windows) {
        var(windows)
    } else if cfg!(target_os = "macos") {
        home(macos)
    } else {
        // The XDG specification: a relative path in the variable is to be ignored.
        var(xdg).filter(|path| path.is_absolute()).or_else(|| home(unix))
    };
    base.map(|base| base.join("boxwright"))
}
