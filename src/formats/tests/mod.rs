//! Tests on real data, and on damaged data.
//!
//! The real ones read `../shared` beside the checkout, or where `BOXWRIGHT_SHARED` says; where it is
//! absent they say so and pass.

mod damaged;
mod datasets;
mod golden_parity;

use std::path::PathBuf;

/// The folder of shared data, if there is one.
fn shared() -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let folder = std::env::var_os("BOXWRIGHT_SHARED").map_or_else(beside, PathBuf::from);
    if !folder.is_dir() {
        println!("skipped: no ../shared here");
        return None;
    }
    Some(folder)
}

/// The folder of golden numbers: `BOXWRIGHT_GOLDEN`, or `golden` of the shared data.
fn golden() -> Option<PathBuf> {
    match std::env::var_os("BOXWRIGHT_GOLDEN") {
        Some(folder) => Some(PathBuf::from(folder)),
        None => shared().map(|folder| folder.join("golden")),
    }
}
