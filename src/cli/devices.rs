//! `boxwright devices`.

use boxwright_training::device::{DeviceChoice, list_devices};
use boxwright_training::device_check::check_device;

use crate::output::print_json;

/// List the devices that can train.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Compare each layer kind with the CPU, forward and backward
    #[arg(long)]
    check: bool,
    /// Check only this device
    #[arg(long, value_name = "DEVICE", requires = "check")]
    device: Option<DeviceChoice>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let devices = list_devices();
    if args.check {
        return check(args, &devices.iter().map(|d| d.id.clone()).collect::<Vec<_>>());
    }
    if args.json {
        return print_json(&devices);
    }
    for device in &devices {
        let memory = device.memory.map_or_else(String::new, |m| format!(", {:.1} GB", m as f64 / 1e9));
        let note = if device.kind == "software" { ": a CPU that plays GPU, for tests only" } else { "" };
        println!("{:6} {} ({}, {}{memory}){note}", device.id, device.name, device.backend, device.kind);
    }
    Ok(())
}

fn check(args: &Args, ids: &[String]) -> anyhow::Result<()> {
    let choices: Vec<(String, DeviceChoice)> = match args.device {
        Some(device) => vec![("device".to_owned(), device)],
        None => ids.iter().filter_map(|id| Some((id.clone(), id.parse().ok()?))).collect(),
    };
    let mut failed = Vec::new();
    let mut all = Vec::new();
    for (id, choice) in choices {
        for row in check_device(choice)? {
            if !args.json {
                let verdict = if row.agrees { "ok" } else { "DISAGREES" };
                println!("{id:6} {:28} {:.1e} (tolerance {:.0e}) {verdict}", row.layer, row.deviation, row.tolerance);
            }
            if !row.agrees {
                failed.push(format!("{id}: {}", row.layer));
            }
            all.push((id.clone(), row));
        }
    }
    if args.json {
        let rows: Vec<_> = all
            .iter()
            .map(|(id, r)| serde_json::json!({ "device": id, "layer": r.layer, "deviation": r.deviation, "tolerance": r.tolerance, "agrees": r.agrees }))
            .collect();
        print_json(&rows)?;
    }
    if failed.is_empty() {
        return Ok(());
    }
    anyhow::bail!("these layers disagree with the CPU: {}; do not train on that device", failed.join(", "))
}
