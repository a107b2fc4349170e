//! `boxwright config`: pipeline configs, made, checked, explained, merged and shown. One file a subcommand.

use clap::Subcommand;

use crate::{config_check, config_merge, config_new, config_show};

/// Make, merge, show and check pipeline configs.
#[derive(Debug, clap::Args)]
// `help` explains a field here; `--help` explains the command.
#[command(disable_help_subcommand = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a complete config of a model for a project's data
    New(config_new::Args),
    /// Say what is honoured, approximated and refused, and whether it fits the data and the machine
    Check(config_check::Args),
    /// Say what a field means: type, default, meaning, and what is done with it here
    Help(config_new::HelpArgs),
    /// Merge an override text, hyperparameters and single fields over a config
    Merge(config_merge::Args),
    /// Show a config with its defaults, as JSON, or what differs from another one
    Show(config_show::Args),
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.command {
        Command::New(args) => config_new::run(args),
        Command::Check(args) => config_check::run(args),
        Command::Help(args) => config_new::run_help(args),
        Command::Merge(args) => config_merge::run(args),
        Command::Show(args) => config_show::run(args),
    }
}
