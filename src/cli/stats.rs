//! `boxwright stats`.

use std::path::PathBuf;

use boxwright_session::stats;

use crate::output::{Progress, ProgressMode, print_json};

/// Count images, boxes and classes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A project, a folder of annotations, or record files
    path: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut progress = Progress::new(ProgressMode::Bar);
    let stats = stats(&args.path, &mut progress)?;
    progress.clear();
    if args.json {
        return print_json(&stats);
    }
    println!("{} images, {} without boxes, {} boxes", stats.images, stats.empty, stats.boxes);
    if stats.missing > 0 {
        println!("{} images whose file is missing", stats.missing);
    }
    if let Some((least, most)) = stats.image_sizes {
        println!("sizes from {least} to {most} pixels");
    }
    let splits: Vec<String> = stats.splits.iter().map(|(split, n)| format!("{n} {split}")).collect();
    if !splits.is_empty() {
        println!("splits: {}", splits.join(", "));
    }
    let [small, medium, large] = stats.sizes;
    println!("boxes by size: {small} small (below 32²), {medium} medium, {large} large (from 96²)");
    let [high, square, wide] = stats.shapes;
    println!("boxes by shape: {high} upright, {square} about square, {wide} wide");
    let width = stats.classes.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, boxes) in &stats.classes {
        let share = *boxes as f64 / stats.boxes.max(1) as f64;
        println!("  {name:width$} {boxes:7} {}", "█".repeat((share * 40.0).round() as usize));
    }
    Ok(())
}
