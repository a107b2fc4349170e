//! `boxwright config show`.

use std::io::Write;
use std::path::PathBuf;

use boxwright_config::show::{View, read_config};

use crate::output::print_json;

/// Show a config with its defaults, as JSON, or what differs from another one.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The config, as text or as the JSON that --json prints
    file: PathBuf,
    /// Fill in every default that training would read; each is marked
    #[arg(long)]
    effective: bool,
    /// Show only what differs from this config: the field, the value here, the value there
    #[arg(long, value_name = "OTHER")]
    diff: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let view = View::new(&read_config(&args.file)?, args.effective);
    let mut out = std::io::stdout().lock();
    let Some(other) = &args.diff else {
        if args.json {
            return print_json(&view.to_json());
        }
        out.write_all(view.to_text().as_bytes())?;
        return Ok(());
    };
    let differences = view.differences(&View::new(&read_config(other)?, args.effective));
    if args.json {
        return print_json(&differences);
    }
    for difference in &differences {
        writeln!(out, "{difference}")?;
    }
    if differences.is_empty() {
        eprintln!("{} and {} say the same", args.file.display(), other.display());
    }
    Ok(())
}
