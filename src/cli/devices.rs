//! `boxwright devices`.

use std::time::Duration;

use boxwright_training::device::{DeviceChoice, DeviceInfo, find_device, list_devices};
use boxwright_training::device_check::{CheckReport, CheckScope, VerdictStore, check_device, first_of};
use boxwright_training::progress::ProgressSink;
use clap::ArgGroup;
use serde::Serialize;

use crate::output::{Progress, ProgressMode, duration_words, print_json};

/// How many disagreements the error names; the table has them all.
const NAMED: usize = 5;

/// List the devices that can train.
#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("checks").args(["check", "all_shapes", "model"]).multiple(true)))]
pub struct Args {
    /// Compare layers with the CPU's, forward and backward: on a GPU every layer shape of every model, else one of each kind
    #[arg(long)]
    check: bool,
    /// Check every layer shape of every model, whatever the device
    #[arg(long, conflicts_with = "model")]
    all_shapes: bool,
    /// Check the layer shapes of this template's model
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Check only this device
    #[arg(long, value_name = "DEVICE", requires = "checks")]
    device: Option<DeviceChoice>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A device with what is known of it.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    device: DeviceInfo,
    /// `checked`, `disagrees: …` or `not checked yet`; empty for the CPU.
    check: String,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    if args.check || args.all_shapes || args.model.is_some() {
        return check(args);
    }
    let store = VerdictStore::of_user();
    let list = |device: DeviceInfo| Listed { check: store.words(&device), device };
    let devices: Vec<Listed> = list_devices().into_iter().map(list).collect();
    if args.json {
        return print_json(&devices);
    }
    for Listed { device, check } in &devices {
        let memory = device.memory.map_or_else(String::new, |m| format!(", {:.1} GB", m as f64 / 1e9));
        let note = if device.kind == "software" { ": a CPU that plays GPU, for tests only" } else { "" };
        let check = if check.is_empty() { String::new() } else { format!("; {check}") };
        println!("{:6} {} ({}, {}{memory}){note}{check}", device.id, device.name, device.backend, device.kind);
    }
    Ok(())
}

/// Checks the devices asked for and keeps the verdicts. Ctrl+C ends it between two layers.
fn check(args: &Args) -> anyhow::Result<()> {
    let devices: Vec<(DeviceChoice, DeviceInfo)> = match args.device {
        Some(choice) => vec![(choice, find_device(choice)?)],
        None => list_devices().into_iter().filter_map(|info| Some((info.id.parse().ok()?, info))).collect(),
    };
    let store = VerdictStore::of_user();
    let mut progress = Progress::new(ProgressMode::Bar);
    let mut reports = Vec::new();
    for (choice, info) in devices {
        let scope = match &args.model {
            Some(name) => CheckScope::Model(name.clone()),
            None if args.all_shapes => CheckScope::All,
            None => CheckScope::of(&info),
        };
        let report = check_device(choice, &scope, &mut progress)?;
        progress.clear();
        store.keep(&report)?;
        if !args.json {
            print_report(&report);
        }
        reports.push(report);
        if progress.stop_requested() {
            break;
        }
    }
    if args.json {
        print_json(&reports)?;
    }
    verdict(&reports)
}

/// Fails where a layer disagrees, or a person stopped the check.
fn verdict(reports: &[CheckReport]) -> anyhow::Result<()> {
    let wrong: Vec<String> = reports
        .iter()
        .flat_map(|report| report.disagreements.iter().map(|d| format!("{}: {d}", report.device.id)))
        .collect();
    if !wrong.is_empty() {
        let named = first_of(&wrong, NAMED);
        anyhow::bail!("these layers disagree with the CPU: {named}; training on that device is refused");
    }
    if let Some(report) = reports.iter().find(|report| report.stopped) {
        anyhow::bail!(
            "stopped after {} of {} layers of {}; all of these agree, and the verdict stays as it was",
            report.shapes,
            report.of,
            report.device.id
        );
    }
    Ok(())
}

/// A table by kind of layer, and whatever disagrees.
fn print_report(report: &CheckReport) {
    let device = &report.device;
    let driver = if device.driver.is_empty() { String::new() } else { format!(", {}", device.driver) };
    println!("{} {} ({}{driver}), compared with {}", device.id, device.name, device.backend, report.reference);
    let width = report.kinds.iter().map(|row| row.kind.len()).max().unwrap_or(0).max(4);
    println!("  {:width$} {:>6} {:>9}  where", "kind", "shapes", "deviation");
    for row in &report.kinds {
        let verdict = if row.deviation <= report.tolerance { "" } else { "  DISAGREES" };
        let place = row.place.strip_prefix(row.kind).unwrap_or(&row.place).trim_start_matches([',', ' ']);
        println!("  {:width$} {:>6} {:>9.1e}  {place}{verdict}", row.kind, row.shapes, row.deviation);
    }
    for wrong in &report.disagreements {
        let models = if wrong.models.is_empty() { String::new() } else { format!(" ({})", wrong.models.join(", ")) };
        println!("  DISAGREES: {wrong}{models}");
    }
    let results: usize = report.kinds.iter().map(|row| row.comparisons).sum();
    println!(
        "  {} of {} layers, {results} results, in {}; at most {:.0e} of the largest value is allowed",
        report.shapes,
        report.of,
        duration_words(Duration::from_secs_f64(report.seconds)),
        report.tolerance
    );
}
