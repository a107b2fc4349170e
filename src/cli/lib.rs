//! The command line: one file a subcommand, each thin.
//!
//! A subcommand turns its flags into a request of another room, prints the result, and nothing
//! else. Data goes to standard output, messages and progress to standard error; with
//! `--progress json` the progress lines are the data. Exit 0: done; 1: failed; 2: bad usage.

mod check;
mod config;
mod config_check;
mod config_merge;
mod config_new;
mod config_show;
mod demo;
mod devices;
mod durations;
mod eval;
mod eval_files;
mod export;
mod import;
mod inspect;
mod inspect_events;
mod new;
mod output;
mod predict;
mod stats;
mod train;
mod zoo;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// From a folder of photographs to a trained object detector, on your own machine.
///
/// Without a command, Boxwright opens its window.
#[derive(Debug, Parser)]
#[command(name = "boxwright", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Open the studio, on a project if one is given
    Open {
        /// The project folder
        dir: Option<PathBuf>,
    },
    /// Draw a sample project, train a detector on it, measure it, and open the studio
    Demo(demo::Args),
    /// Make an empty project
    New(new::Args),
    /// Bring images and annotations into a project
    Import(import::Args),
    /// Write a project's annotations in another format
    Export(export::Args),
    /// Look for problems in a project, a dataset, a label map, a config or records
    Check(check::Args),
    /// Count images, boxes and classes
    Stats(stats::Args),
    /// Merge and show pipeline configs
    Config(config::Args),
    /// List published models, or fetch one to start from
    Zoo(zoo::Args),
    /// Say what is in a checkpoint, a model, an archive, records, events or a label map
    Inspect(inspect::Args),
    /// Train a detector
    Train(train::Args),
    /// Measure a detector's average precision
    Eval(eval::Args),
    /// Find objects in images
    Predict(predict::Args),
    /// List the devices that can train
    Devices(devices::Args),
}

/// Opens the window on a project; the binary hands it in, because this room knows no window.
pub type OpenStudio = fn(Option<PathBuf>) -> anyhow::Result<()>;

/// Runs the program with the process's own arguments.
pub fn main(open_studio: OpenStudio) -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        None => open_studio(None),
        Some(Command::Open { dir }) => open_studio(dir),
        Some(Command::Demo(args)) => demo::run(&args, open_studio),
        Some(Command::New(args)) => new::run(&args),
        Some(Command::Import(args)) => import::run(&args),
        Some(Command::Export(args)) => export::run(&args),
        Some(Command::Check(args)) => check::run(&args),
        Some(Command::Stats(args)) => stats::run(&args),
        Some(Command::Config(args)) => config::run(&args),
        Some(Command::Zoo(args)) => zoo::run(&args),
        Some(Command::Inspect(args)) => inspect::run(&args),
        Some(Command::Train(args)) => train::run(&args),
        Some(Command::Eval(args)) => eval::run(&args),
        Some(Command::Predict(args)) => predict::run(&args),
        Some(Command::Devices(args)) => devices::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::report(&error);
            ExitCode::FAILURE
        }
    }
}
