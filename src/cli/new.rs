//! `boxwright new`.

use std::path::PathBuf;

use boxwright_store::Project;

/// Make an empty project.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of the project; it is created
    dir: PathBuf,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    Project::create(&args.dir)?;
    eprintln!("made the project {}", args.dir.display());
    eprintln!("next: boxwright import {} --format pascal-voc FOLDER, or boxwright open {0}", args.dir.display());
    Ok(())
}
