//! `boxwright export`.

use std::path::PathBuf;

use boxwright_core::Split;
use boxwright_session::{ExportFormat, RecordExport, SHUFFLE_SEED, export_pascal_voc, export_tf_records};
use boxwright_store::Project;

use crate::output::{self, ProgressMode, print_problems};

/// Write a project's annotations in another format.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The project folder
    dir: PathBuf,
    /// The format: tfrecord or pascal-voc
    #[arg(long)]
    format: ExportFormat,
    /// The record file (its shards get numbers), or the folder
    out: PathBuf,
    /// Only this split: train, val, test or unassigned
    #[arg(long)]
    split: Option<Split>,
    /// How many record files
    #[arg(long, default_value_t = 1, value_name = "N")]
    shards: usize,
    /// The seed of the order of the records
    #[arg(long, default_value_t = SHUFFLE_SEED)]
    seed: u64,
    /// How progress is shown
    #[arg(long, value_enum, default_value_t)]
    progress: ProgressMode,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let (report, message) = output::job(args.progress, |progress| {
        let project = Project::open(&args.dir)?;
        let report = match args.format {
            ExportFormat::TfRecord => {
                let export =
                    RecordExport { out: args.out.clone(), split: args.split, shards: args.shards, seed: args.seed };
                export_tf_records(&project, &export, progress)?
            }
            ExportFormat::PascalVoc => export_pascal_voc(&project, &args.out, args.split, progress)?,
        };
        let left = match report.left_out {
            0 => String::new(),
            n => format!("; {n} images without boxes and not marked as background were left out"),
        };
        let files: Vec<String> = report.files.iter().map(|f| f.display().to_string()).collect();
        let message =
            format!("wrote {} images with {} boxes to {}{left}", report.images, report.boxes, files.join(", "));
        Ok((report, message))
    })?;
    print_problems(&report.problems);
    if args.progress != ProgressMode::Json {
        eprintln!("{message}");
    }
    Ok(())
}
