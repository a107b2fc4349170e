//! `boxwright config check`.

use std::io::Write;
use std::path::PathBuf;

use boxwright_config::check::{AnchorReport, FieldVerdict};
use boxwright_core::Severity;
use boxwright_session::check_config;
use boxwright_training::device::DeviceChoice;
use serde_json::json;

use crate::config_new::memory_of;
use crate::output::{Progress, ProgressMode, print_json};

/// Say of a config what is honoured, approximated and refused, and whether it fits the data and the machine.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The pipeline.config
    file: PathBuf,
    /// The project whose data it is for; without one, the files that the config names
    #[arg(long, value_name = "DIR")]
    project: Option<PathBuf>,
    /// The device that is to train: auto, cpu, gpu, or gpu:N
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// List every field that is set: path, line, verdict, note
    #[arg(long)]
    fields: bool,
    /// List how many boxes of each class and size the anchors miss
    #[arg(long)]
    anchors: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut progress = Progress::new(ProgressMode::Bar);
    let report = check_config(&args.file, args.project.as_deref(), memory_of(args.device), &mut progress)?;
    progress.clear();
    let errors = report.problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    let findings = report.problems.len();
    let all: Vec<_> = report.problems.into_iter().chain(report.outlook).collect();
    if args.json && (args.fields || args.anchors) {
        let mut value = json!({ "problems": all });
        if args.fields {
            value["fields"] = json!(report.fields);
        }
        if args.anchors {
            value["anchors"] = json!(report.anchors);
        }
        print_json(&value)?;
    } else if args.json {
        print_json(&all)?;
    } else {
        if args.fields {
            print_fields(&report.fields)?;
        }
        if let (true, Some(anchors)) = (args.anchors, &report.anchors) {
            print_anchors(anchors)?;
        }
        for problem in &all {
            println!("{problem}");
        }
        if findings == 0 {
            eprintln!("{}: no problems", args.file.display());
        }
    }
    anyhow::ensure!(errors == 0, "{}: {errors} of {findings} findings are errors", args.file.display());
    Ok(())
}

fn print_fields(fields: &[FieldVerdict]) -> anyhow::Result<()> {
    let width = fields.iter().map(|field| field.path.len()).max().unwrap_or(0);
    let mut out = std::io::stdout().lock();
    for FieldVerdict { path, line, verdict, note } in fields {
        writeln!(out, "{}", format!("{path:width$}  {line:5}  {verdict:12}  {note}").trim_end())?;
    }
    Ok(())
}

fn print_anchors(report: &AnchorReport) -> anyhow::Result<()> {
    let width = report.groups.iter().map(|group| group.class.chars().count()).max().unwrap_or(0);
    let mut out = std::io::stdout().lock();
    for group in &report.groups {
        let class = format!("{:width$}", group.class);
        writeln!(out, "{class}  {:6}  {:6} boxes  {:6} without an anchor", group.size, group.boxes, group.unmatched)?;
    }
    if let Some(proposal) = &report.proposal {
        writeln!(out, "better: {} {{ {} }}", proposal.path, proposal.to_text())?;
    }
    Ok(())
}
