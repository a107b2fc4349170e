//! Boxwright: from a folder of photographs to a trained object detector.
//!
//! The rooms are crates below this folder; `ARCHITECTURE.md` beside this file is the map. This
//! package only joins the command line and the window into one program.

use std::path::PathBuf;
use std::process::ExitCode;

/// Runs the program with the process's own arguments.
pub fn main() -> ExitCode {
    boxwright_cli::main(open_studio)
}

/// Opens the window; jobs it starts are this same program.
fn open_studio(project: Option<PathBuf>) -> anyhow::Result<()> {
    let program = std::env::current_exe()?;
    boxwright_studio::run(project, program).map_err(|e| {
        anyhow::anyhow!(
            "the window cannot be opened: {e}; on a machine without a display use the commands of `boxwright --help`"
        )
    })
}
