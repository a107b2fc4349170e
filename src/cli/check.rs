//! `boxwright check`.

use std::path::PathBuf;

use boxwright_core::Severity;
use boxwright_session::check_path;

use crate::output::{Progress, ProgressMode, print_json};

/// Look for problems in a project, a dataset, a label map, a config or records.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A project, a folder of annotations, label_map.pbtxt, pipeline.config, or record files
    path: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut progress = Progress::new(ProgressMode::Bar);
    let problems = check_path(&args.path, &mut progress)?;
    progress.clear();
    let errors = problems.iter().filter(|p| p.severity == Severity::Error).count();
    if args.json {
        print_json(&problems)?;
    } else {
        for problem in &problems {
            println!("{problem}");
        }
        if problems.is_empty() {
            eprintln!("{}: no problems", args.path.display());
        }
    }
    anyhow::ensure!(errors == 0, "{}: {errors} of {} findings are errors", args.path.display(), problems.len());
    Ok(())
}
