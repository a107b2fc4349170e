//! `boxwright config new` and `boxwright config help`.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use boxwright_config::check::{DeviceMemory, Verdict, verdict_of};
use boxwright_config::schema;
use boxwright_config::template::templates;
use boxwright_formats::atomic_file;
use boxwright_session::new_config;
use boxwright_training::device::{DeviceChoice, physical_memory};

/// Make a complete config of a model for a project's data.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The model; --list names them
    #[arg(long, required_unless_present = "list")]
    model: Option<String>,
    /// The project whose data it is for
    #[arg(long, value_name = "DIR", required_unless_present = "list")]
    project: Option<PathBuf>,
    /// The checkpoint to start from
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<String>,
    /// The device that is to train: auto, cpu, gpu, or gpu:N
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Where it goes; - is standard output, with paths as from the project's folder
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// List the models
    #[arg(long)]
    list: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    if args.list {
        return list();
    }
    let (Some(model), Some(project)) = (&args.model, &args.project) else {
        anyhow::bail!("give --model and --project, or --list");
    };
    let file = Some(args.output.as_path()).filter(|output| *output != Path::new("-"));
    let made = new_config(model, project, file, args.checkpoint.as_deref(), memory_of(args.device).as_ref())?;
    for note in &made.notes {
        eprintln!("{note}");
    }
    let Some(file) = file else {
        std::io::stdout().lock().write_all(made.text.as_bytes())?;
        return Ok(());
    };
    atomic_file::write_whole(file, made.text.as_bytes())
        .with_context(|| format!("{}: cannot be written", file.display()))?;
    eprintln!("wrote {}", file.display());
    Ok(())
}

fn list() -> anyhow::Result<()> {
    let models = templates();
    let width = models.iter().map(|model| model.name.len()).max().unwrap_or(0);
    let mut out = std::io::stdout().lock();
    for model in &models {
        let trained = if model.refused.is_some() { "  (not trained here yet)" } else { "" };
        writeln!(out, "{:width$}  {}{trained}", model.name, model.about)?;
    }
    Ok(())
}

/// The memory of the device that a choice means, where the system says it. Graphics systems say nothing of
/// theirs, so only the machine's own is known, and no driver has to be woken for it.
pub fn memory_of(choice: DeviceChoice) -> Option<DeviceMemory> {
    match choice {
        DeviceChoice::Auto | DeviceChoice::Cpu => {
            Some(DeviceMemory { device: "this machine".into(), bytes: physical_memory()? })
        }
        DeviceChoice::Gpu | DeviceChoice::Adapter(_) | DeviceChoice::Cuda(_) => None,
    }
}

/// Say what a field of a config means.
#[derive(Debug, clap::Args)]
pub struct HelpArgs {
    /// Its path, like train_config.batch_size
    path: String,
}

pub fn run_help(args: &HelpArgs) -> anyhow::Result<()> {
    let field = schema::field(&args.path)?;
    let (verdict, note) = verdict_of(&args.path)?;
    let mut out = std::io::stdout().lock();
    let repeated = if field.repeated { "repeated " } else { "" };
    let deprecated = if field.deprecated { ", only kept for old configs" } else { "" };
    writeln!(out, "{}: {repeated}{}{deprecated}", args.path, field.type_name)?;
    if let Some(default) = &field.default {
        writeln!(out, "default: {default}")?;
    }
    writeln!(out, "{}", field.help)?;
    for choice in &field.choices {
        writeln!(out, "  {}  {}", choice.name, choice.help)?;
    }
    if field.is_block {
        for child in schema::children(&args.path)? {
            writeln!(out, "  {}  {}", child.name, child.help)?;
        }
    }
    let note = match (verdict, note.as_str()) {
        (_, "") => String::new(),
        (_, note) => format!(": {note}"),
    };
    let word = match verdict {
        Verdict::Honoured => "honoured here",
        Verdict::Approximated => "approximated here",
        Verdict::Refused => "refused here",
    };
    writeln!(out, "{word}{note}")?;
    Ok(())
}
