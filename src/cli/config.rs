//! `boxwright config`: pipeline configs, merged and shown. One file a subcommand.

use clap::Subcommand;

use crate::{config_merge, config_show};

/// Merge and show pipeline configs.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Merge an override text, hyperparameters and single fields over a config
    Merge(config_merge::Args),
    /// Show a config with its defaults, as JSON, or what differs from another one
    Show(config_show::Args),
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.command {
        Command::Merge(args) => config_merge::run(args),
        Command::Show(args) => config_show::run(args),
    }
}
