//! `boxwright predict`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use boxwright_core::Detection;
use boxwright_core::label_map::LabelMap;
use boxwright_core::run::ProgressEvent;
use boxwright_export::annotated_picture::{DrawnBox, LineStyle, draw, label_with_score};
use boxwright_export::palette;
use boxwright_formats::picture::Picture;
use boxwright_formats::{atomic_file, picture};
use boxwright_training::device::DeviceChoice;
use boxwright_training::predict::Predictor;
use boxwright_training::progress::ProgressSink;
use boxwright_training::side_by_side::BoxWords;
use serde::Serialize;

use crate::output::{self, Progress, ProgressMode, print_json_line};

/// Find objects in images.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A run (its last checkpoint), RUN/best, RUN/live (of a moment ago), RUN/STEP, or weights of any kind (model.ckpt, a zoo's folder, .pb, .tflite …)
    #[arg(long, value_name = "PATH")]
    model: PathBuf,
    /// The pipeline config; the nearest to the model otherwise
    #[arg(long, value_name = "FILE")]
    pipeline: Option<PathBuf>,
    /// Images and folders of images
    #[arg(long, required = true, num_args = 1.., value_name = "PATH")]
    images: Vec<PathBuf>,
    /// The label map; the run's own otherwise
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Where the pictures with boxes go
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
    /// Leave out detections below this score
    #[arg(long, default_value_t = 0.5)]
    min_confidence: f32,
    /// auto, cpu, gpu, or gpu:N
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Print a JSON line an image: {"image", "prediction": [[class, score, xmin, ymin, xmax, ymax], …]}
    #[arg(long)]
    json: bool,
    /// How progress is shown
    #[arg(long, value_enum, default_value_t)]
    progress: ProgressMode,
}

/// One line of `--json`.
#[derive(Serialize)]
struct Line {
    image: String,
    prediction: Vec<(u32, f32, f32, f32, f32, f32)>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    anyhow::ensure!(
        args.json || args.output_dir.is_some(),
        "nothing to do: give --output-dir for pictures, --json for numbers, or both"
    );
    let files = find_images(&args.images)?;
    let ((), message) = output::job(args.progress, |progress| {
        let predictor = Predictor::open(&args.model, args.pipeline.as_deref(), args.labels.as_deref(), args.device)?;
        let message = predict_files(&predictor, &files, args, progress)?;
        Ok(((), message))
    })?;
    if args.progress != ProgressMode::Json {
        eprintln!("{message}");
    }
    Ok(())
}

fn predict_files(
    predictor: &Predictor,
    files: &[PathBuf],
    args: &Args,
    progress: &mut Progress,
) -> anyhow::Result<String> {
    if let Some(dir) = &args.output_dir {
        std::fs::create_dir_all(dir).with_context(|| format!("{}: cannot be made", dir.display()))?;
    }
    let (mut found, mut failed) = (0, Vec::new());
    for (i, file) in files.iter().enumerate() {
        if progress.stop_requested() {
            return Ok(format!("stopped after {i} of {} images; what was written stays", files.len()));
        }
        match predict_file(predictor, file, args) {
            Ok(count) => found += count,
            Err(error) => {
                let message = format!("{error:#}");
                progress.event(&ProgressEvent::Warning { message: message.clone() });
                failed.push(message);
            }
        }
        progress.event(&ProgressEvent::Progress {
            stage: "finding objects".into(),
            done: i as u64 + 1,
            total: files.len() as u64,
            seconds_left: None,
            rate: None,
        });
    }
    anyhow::ensure!(
        failed.len() < files.len(),
        "none of the {} images could be read; the first: {}",
        files.len(),
        failed.first().map_or("", String::as_str)
    );
    let place = args.output_dir.as_ref().map_or_else(String::new, |d| format!(", pictures in {}", d.display()));
    let skipped =
        if failed.is_empty() { String::new() } else { format!(", {} images could not be read", failed.len()) };
    Ok(format!("{found} objects in {} images{place}{skipped}", files.len() - failed.len()))
}

fn predict_file(predictor: &Predictor, file: &Path, args: &Args) -> anyhow::Result<usize> {
    let picture = picture::read_file(file)?;
    let detections = predictor.detect(&picture, args.min_confidence);
    if args.json {
        print_json_line(&Line { image: file.display().to_string(), prediction: detections.iter().map(row).collect() });
    }
    if let Some(dir) = &args.output_dir {
        let boxes: Vec<DrawnBox> = detections.iter().map(|d| drawn(d, predictor.labels(), picture.size)).collect();
        let annotated = draw(&picture, &boxes);
        let name = file.file_stem().map_or_else(|| "image".into(), |s| s.to_string_lossy().into_owned());
        let path = dir.join(format!("{name}.jpg"));
        let bytes = picture::encode_jpeg(&annotated, 92)?;
        atomic_file::write_whole(&path, &bytes).with_context(|| format!("{}", path.display()))?;
    }
    Ok(detections.len())
}

fn row(d: &Detection) -> (u32, f32, f32, f32, f32, f32) {
    (d.label.get(), d.score, d.bounds.xmin, d.bounds.ymin, d.bounds.xmax, d.bounds.ymax)
}

/// A detection as it is drawn: class colour, name and score.
pub fn drawn(d: &Detection, labels: &LabelMap, size: boxwright_core::ImageSize) -> DrawnBox {
    DrawnBox {
        bounds: d.bounds.to_pixels(size),
        color: palette::class_color(d.label),
        label: label_with_score(&labels.display_name(d.label), d.score),
        style: LineStyle::Solid,
    }
}

/// The pictures of an evaluation, for TensorBoard.
pub fn draw_boxes(picture: &Picture, detections: &[Detection], labels: &LabelMap, words: BoxWords) -> Picture {
    let boxes: Vec<DrawnBox> = detections
        .iter()
        .map(|d| {
            let label = match words {
                BoxWords { label: true, score: true } => label_with_score(&labels.display_name(d.label), d.score),
                BoxWords { label: true, score: false } => labels.display_name(d.label),
                BoxWords { label: false, score: true } => label_with_score("", d.score).trim().to_owned(),
                BoxWords { label: false, score: false } => String::new(),
            };
            DrawnBox { label, ..drawn(d, labels, picture.size) }
        })
        .collect();
    draw(picture, &boxes)
}

/// The images among the paths, folders taken apart (not their subfolders).
fn find_images(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).with_context(|| format!("{}: cannot be read", path.display()))?;
        let mut inside: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| is_picture(p)).collect();
        inside.sort();
        anyhow::ensure!(!inside.is_empty(), "{}: there is no picture in this folder", path.display());
        files.append(&mut inside);
    }
    Ok(files)
}

fn is_picture(path: &Path) -> bool {
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    picture::EXTENSIONS.contains(&extension.as_str())
}
