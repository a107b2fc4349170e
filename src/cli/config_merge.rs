//! `boxwright config merge`.

use std::io::Write;
use std::path::PathBuf;

use boxwright_config::merge::{self, Layout, MergeRequest, Outcome};
use boxwright_config::pipeline::read_text;
use boxwright_config::show::read_config;
use boxwright_formats::atomic_file;

use crate::output::print_json;

/// Merge an override text, hyperparameters and single fields over a config.
///
/// The overrides come first, then the hyperparameters, then the single fields; a later one wins.
/// Comments and layout stay wherever fields are only changed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The config to start from
    base: PathBuf,
    /// A config text to merge over it: values are replaced, blocks merged, repeated fields appended to
    #[arg(long = "override", value_name = "FILE")]
    overrides: Vec<PathBuf>,
    /// Hyperparameters as a JSON object, by TFOD's or SageMaker's names
    #[arg(long, value_name = "FILE")]
    hparams: Vec<PathBuf>,
    /// One field, as in train_config.batch_size=8
    #[arg(long = "set", value_name = "PATH=VALUE")]
    settings: Vec<String>,
    /// Where the result goes; - for standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Print what was done as JSON, where the config does not go to standard output
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let to_stdout = args.output.as_os_str() == "-";
    anyhow::ensure!(!(to_stdout && args.json), "--json and -o - both want standard output; write the config to a file");
    let base = read_config(&args.base)?;
    let mut request = MergeRequest::default();
    for file in &args.overrides {
        request.overrides.push((file.display().to_string(), read_text(file)?));
    }
    for file in &args.hparams {
        request.add_hyperparameters(&read_text(file)?, &file.display().to_string())?;
    }
    for setting in &args.settings {
        request.add_setting(setting)?;
    }
    let merged = merge::merge(&base, &request)?;
    let text = merged.pipeline.text();
    if to_stdout {
        std::io::stdout().lock().write_all(text.as_bytes())?;
    } else {
        atomic_file::write_whole(&args.output, text.as_bytes())?;
    }
    if args.json {
        return print_json(&merged.report);
    }
    for entry in &merged.report.entries {
        let word = if matches!(entry.outcome, Outcome::Unknown(_)) { "warning: " } else { "" };
        eprintln!("{word}{entry}");
    }
    match &merged.report.layout {
        Layout::Kept => {}
        Layout::Printed(reason) => eprintln!("the text was printed anew, without its comments, because of {reason}"),
    }
    Ok(())
}
