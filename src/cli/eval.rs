//! `boxwright eval`.

use std::path::PathBuf;

use boxwright_core::evaluation::EvaluationResult;
use boxwright_training::device::DeviceChoice;
use boxwright_training::evaluate::{EvalRequest, evaluate_run};

use crate::eval_files::{Protocol, evaluate};
use crate::output::{self, ProgressMode, print_json};

/// Measure a detector's average precision.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The pipeline config; the run's own, or the one beside the checkpoint, otherwise
    #[arg(long, value_name = "FILE")]
    pub pipeline: Option<PathBuf>,
    /// The run directory
    #[arg(long, value_name = "DIR", required_unless_present_any = ["groundtruth", "checkpoint"])]
    pub model_dir: Option<PathBuf>,
    /// Instead of a run: the ground truth as COCO JSON
    #[arg(long, value_name = "FILE", requires = "detections", conflicts_with = "model_dir")]
    pub groundtruth: Option<PathBuf>,
    /// Instead of a run: detections as a COCO result list
    #[arg(long, value_name = "FILE", requires = "groundtruth")]
    pub detections: Option<PathBuf>,
    /// Which metrics of the two files
    #[arg(long, value_enum, default_value_t, requires = "groundtruth")]
    pub protocol: Protocol,
    /// What is measured: last, best, live (of a moment ago) or a step of the run, or weights of any kind (model.ckpt, a SavedModel, .pb, .tflite …)
    #[arg(long, value_name = "CHECKPOINT")]
    pub checkpoint: Option<PathBuf>,
    /// auto, cpu, gpu, or gpu:N
    #[arg(long, default_value = "auto")]
    pub device: DeviceChoice,
    /// Print JSON: TFOD's metric names as keys
    #[arg(long)]
    pub json: bool,
    /// How progress is shown
    #[arg(long, value_enum, default_value_t)]
    pub progress: ProgressMode,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    if let (Some(groundtruth), Some(detections)) = (&args.groundtruth, &args.detections) {
        let result = evaluate(groundtruth, detections, args.protocol)?;
        if args.json {
            return print_json(&result.values);
        }
        print_table(&result);
        return Ok(());
    }
    let request = EvalRequest {
        pipeline: args.pipeline.clone(),
        model_dir: args.model_dir.clone(),
        checkpoint: args.checkpoint.clone(),
        device: args.device,
        draw: Some(crate::predict::draw_boxes),
    };
    let (result, _) = output::job(args.progress, |progress| {
        let (result, detections) = evaluate_run(&request, progress)?;
        let message = format!("measured {} images at step {}", detections.images.len(), detections.step);
        Ok((result, message))
    })?;
    if args.json {
        print_json(&result.values)?;
    } else if args.progress != ProgressMode::Json {
        print_table(&result);
    }
    Ok(())
}

/// Prints the metrics a line each, the most asked-for first.
pub fn print_table(result: &EvaluationResult) {
    let first =
        ["DetectionBoxes_Precision/mAP", "DetectionBoxes_Precision/mAP@.50IOU", "PascalBoxes_Precision/mAP@0.5IOU"];
    let show = |name: &str, value: &Option<f64>| match value {
        Some(value) => println!("{value:8.4}  {name}"),
        None => println!("       –  {name}"),
    };
    for name in first {
        if let Some(value) = result.values.get(name) {
            show(name, value);
        }
    }
    for (name, value) in result.values.iter().filter(|(name, _)| !first.contains(&name.as_str())) {
        show(name, value);
    }
}
