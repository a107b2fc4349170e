//! `boxwright import`.

use std::path::PathBuf;

use boxwright_session::{ImportFormat, ImportRequest, ImportSplit, import};
use boxwright_store::Project;

use crate::output::{self, ProgressMode, print_problems};

/// Bring images and annotations into a project.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The project folder
    dir: PathBuf,
    /// The format of the annotations: pascal-voc
    #[arg(long)]
    format: ImportFormat,
    /// The annotations: a folder or a file
    path: PathBuf,
    /// The folder of the images, where they are not beside the annotations
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// Only these images: a file of names, one a line, or a CSV with a column `filename`
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// train, val, test or auto; as the data set says otherwise
    #[arg(long, value_name = "SPLIT")]
    split: Option<ImportSplit>,
    /// A label map to begin with, for a project that has none
    #[arg(long, value_name = "FILE")]
    label_map: Option<PathBuf>,
    /// Add classes that the label map lacks instead of leaving their objects out
    #[arg(long)]
    add_labels: bool,
    /// How progress is shown
    #[arg(long, value_enum, default_value_t)]
    progress: ProgressMode,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let request = ImportRequest {
        format: args.format,
        path: args.path.clone(),
        images: args.images.clone(),
        list: args.list.clone(),
        split: args.split.unwrap_or_default(),
        label_map: args.label_map.clone(),
        add_labels: args.add_labels,
    };
    let (report, message) = output::job(args.progress, |progress| {
        let mut project = Project::open(&args.dir)?;
        let report = import(&mut project, &request, progress)?;
        let message = report.summary();
        Ok((report, message))
    })?;
    print_problems(&report.problems);
    if args.progress != ProgressMode::Json {
        eprintln!("{message}");
    }
    Ok(())
}
