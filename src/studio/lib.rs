//! The window of Boxwright.
//!
//! The studio shows a [`boxwright_session::Session`] and sends it commands; it never reads or
//! writes files of a project, never trains, and knows no file format. Panels are given a read-only
//! [`context::PanelContext`] and put their wishes into an outbox; [`app::Studio`] carries them out
//! after each frame. What is drawn half, typed half or dragged half lives in the view and becomes
//! one command when it is done.
//!
//! - [`app`]: the window itself. [`top_bar`], [`status_bar`], [`start`], [`layout`]: its frame.
//! - [`stations`]: Annotate, Labels, Pipeline, Train and Review. [`canvas`] and [`panels`]: what
//!   they are made of. [`matching`]: detections against the ground truth.
//! - [`command`]: every command with its label, tooltip, icon and key. [`keys`], [`palette`]: the
//!   ways to them.
//! - [`theme`], [`style`], [`icon`], [`words`], [`widgets`]: how everything looks and what it says.

pub mod app;
pub mod canvas;
pub mod code;
pub mod command;
pub mod context;
pub mod dialogs;
pub mod icon;
pub mod keys;
pub mod layout;
pub mod matching;
pub mod notice;
pub mod palette;
pub mod panels;
pub mod picture_cache;
pub mod question;
pub mod start;
pub mod stations;
pub mod status_bar;
pub mod style;
pub mod text_editor;
pub mod theme;
pub mod top_bar;
pub mod widgets;
pub mod words;

use std::path::PathBuf;

use boxwright_session::Session;

pub use app::Studio;

/// Opens the window, on a project where one is given. `program` is the program whose `train`,
/// `eval` and `devices` do the work: the one that is running.
///
/// # Errors
/// When there is no display or no way to draw on it.
pub fn run(project: Option<PathBuf>, program: PathBuf) -> eframe::Result {
    let options = eframe::NativeOptions {
        viewport: egui::ViewportBuilder::default()
            .with_title(words::PROGRAM)
            .with_app_id("boxwright")
            .with_inner_size(theme::size::WINDOW)
            .with_min_inner_size(theme::size::MIN_WINDOW)
            .with_drag_and_drop(true),
        renderer: eframe::Renderer::Wgpu,
        ..eframe::NativeOptions::default()
    };
    eframe::run_native(
        words::PROGRAM,
        options,
        Box::new(|cc| {
            let mut studio = Studio::new(&cc.egui_ctx, Session::new(program));
            if let Some(dir) = project {
                studio.open(dir);
            }
            Ok(Box::new(studio))
        }),
    )
}

#[cfg(test)]
mod tests;
