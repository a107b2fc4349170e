//! The system's file dialogs. They run on a thread of their own, so that the window goes on.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use egui::Context;

/// What the chosen paths are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A folder for a new project.
    NewProject,
    /// A project folder.
    OpenProject,
    /// Pictures.
    AddImages,
    /// A folder of pictures.
    AddFolder,
    /// A folder of Pascal VOC files.
    ImportVoc,
}

/// The dialog that is open, if one is.
#[derive(Default)]
pub struct Dialogs {
    open: Option<(Purpose, Receiver<Vec<PathBuf>>)>,
}

impl Dialogs {
    /// Opens a dialog, unless one is open.
    pub fn open(&mut self, purpose: Purpose, ctx: &Context) {
        if self.open.is_some() {
            return;
        }
        let (sender, receiver) = channel();
        self.open = Some((purpose, receiver));
        let ctx = ctx.clone();
        let work = move || {
            // Where the window is gone by now, nobody asks for the answer.
            let _ = sender.send(ask(purpose));
            ctx.request_repaint();
        };
        if cfg!(target_os = "macos") {
            // There, dialogs belong to the main thread.
            work();
        } else {
            std::thread::spawn(work);
        }
    }

    /// The answer, once it is there. Nothing chosen gives no answer.
    pub fn poll(&mut self) -> Option<(Purpose, Vec<PathBuf>)> {
        let (purpose, receiver) = self.open.as_ref()?;
        let purpose = *purpose;
        match receiver.try_recv() {
            Ok(paths) => {
                self.open = None;
                (!paths.is_empty()).then_some((purpose, paths))
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                self.open = None;
                None
            }
        }
    }
}

fn ask(purpose: Purpose) -> Vec<PathBuf> {
    let dialog = rfd::FileDialog::new();
    match purpose {
        Purpose::NewProject => dialog.set_title("Folder of the new project").pick_folder().into_iter().collect(),
        Purpose::OpenProject => dialog.set_title("Open a project").pick_folder().into_iter().collect(),
        Purpose::AddFolder => dialog.set_title("Add a folder of images").pick_folders().unwrap_or_default(),
        Purpose::ImportVoc => dialog.set_title("Import Pascal VOC").pick_folder().into_iter().collect(),
        Purpose::AddImages => dialog
            .set_title("Add images")
            .add_filter("Pictures", &["jpg", "jpeg", "png", "bmp", "gif", "webp"])
            .pick_files()
            .unwrap_or_default(),
    }
}
