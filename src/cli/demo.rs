//! `boxwright demo`: the whole way on a sample that the program paints itself.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use boxwright_core::annotation::BoxFlags;
use boxwright_core::geometry::PixelBox;
use boxwright_core::label_map::{LabelId, LabelMap};
use boxwright_core::run::{ProgressEvent, RunState};
use boxwright_core::{ImageSize, ReviewState, Split};
use boxwright_export::annotated_picture::draw;
use boxwright_export::contact_sheet::contact_sheet;
use boxwright_formats::atomic_file;
use boxwright_formats::picture::{self, Picture};
use boxwright_sample::{SampleConfig, class_names, paint};
use boxwright_session::{TemplateValues, prepare_training};
use boxwright_store::{Import, NewBox, NewImage, Project, sha256_hex};
use boxwright_training::device::DeviceChoice;
use boxwright_training::predict::Predictor;
use boxwright_training::progress::ProgressSink;
use boxwright_training::train::{TrainOutcome, TrainRequest, train};
use rayon::prelude::*;

use crate::OpenStudio;
use crate::output::{Progress, ProgressMode, duration_words};
use crate::predict::drawn;

/// Draw a sample project, train a detector on it, measure it, and open the studio.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the sample project goes; it must be empty or an earlier demo
    #[arg(long, default_value = "boxwright-demo", value_name = "DIR")]
    dir: PathBuf,
    /// Do not open the studio at the end
    #[arg(long)]
    no_window: bool,
    /// auto, cpu, gpu, or gpu:N
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// How many pictures
    #[arg(long, default_value_t = 1200, value_name = "N")]
    images: usize,
    /// Steps to train
    #[arg(long, default_value_t = 3600, value_name = "N")]
    num_steps: u32,
    /// Seed of the pictures, the weights and the training
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How progress is shown
    #[arg(long, value_enum, default_value_t)]
    progress: ProgressMode,
}

/// One picture in this many is held out: every n-th, so that both parts have the same mixture.
const HELD_OUT: usize = 5;

/// Held-out pictures on the contact sheet.
const SHEET: usize = 12;

pub fn run(args: &Args, open_studio: OpenStudio) -> anyhow::Result<()> {
    let begin = Instant::now();
    let mut progress = Progress::new(args.progress);
    let mut project = start(&args.dir)?;
    stage(1, "paint a sample and put it into a project", &mut progress);
    paint_sample(args, &mut project, &mut progress)?;
    stage(2, "write the label map, the config and the records", &mut progress);
    let prepared = prepare(args, &mut project, &mut progress)?;
    drop(project);
    stage(3, "train a detector from random weights", &mut progress);
    let outcome = train_sample(args, &prepared, &mut progress)?;
    stage(4, "draw what it finds in pictures it has never seen", &mut progress);
    let sheet = draw_results(args, &mut progress)?;
    summary(args, &outcome, &sheet, begin);
    if outcome.state == RunState::Finished && !args.no_window && has_display() {
        return open_studio(Some(args.dir.clone()));
    }
    Ok(())
}

fn stage(number: u32, what: &str, progress: &mut Progress) {
    progress.clear();
    eprintln!("\n{number}/4  {what}");
}

/// An empty project: a new folder, or one that an earlier demo made, which is emptied.
fn start(dir: &Path) -> anyhow::Result<Project> {
    let marker = dir.join(".boxwright-demo");
    if dir.exists() {
        let empty = std::fs::read_dir(dir).with_context(|| dir.display().to_string())?.next().is_none();
        anyhow::ensure!(
            empty || marker.exists(),
            "{}: this folder holds something that the demo did not make; give another with --dir",
            dir.display()
        );
        std::fs::remove_dir_all(dir).with_context(|| format!("{}: cannot be emptied", dir.display()))?;
    }
    let project = Project::create(dir)?;
    atomic_file::write_whole(&marker, b"made by `boxwright demo`, which may empty this folder\n")
        .with_context(|| marker.display().to_string())?;
    Ok(project)
}

fn paint_sample(args: &Args, project: &mut Project, progress: &mut Progress) -> anyhow::Result<()> {
    let begin = Instant::now();
    let folder = args.dir.join("images");
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let config = SampleConfig { images: args.images, seed: args.seed };
    let mut images = Vec::with_capacity(args.images);
    let numbers: Vec<usize> = (0..args.images).collect();
    for chunk in numbers.chunks(32) {
        let painted: Vec<anyhow::Result<NewImage>> =
            chunk.par_iter().map(|&i| paint_one(&folder, &config, i)).collect();
        for image in painted {
            images.push(image?);
        }
        progress.event(&ProgressEvent::Progress {
            stage: "painting".into(),
            done: images.len() as u64,
            total: args.images as u64,
            seconds_left: None,
            rate: Some(images.len() as f64 / begin.elapsed().as_secs_f64()),
        });
    }
    let labels = LabelMap::from_names(class_names().iter().copied())?;
    atomic_file::write_whole(&project.label_map_path(), boxwright_config::label_map::print(&labels).as_bytes())?;
    project.import(&Import { images: &images, labels, name: "demo sample".into() })?;
    let boxes: usize = images.iter().map(|i| i.boxes.len()).sum();
    let empty = images.iter().filter(|i| i.boxes.is_empty()).count();
    let held_out = images.iter().filter(|i| i.split == Split::Val).count();
    eprintln!(
        "     {} pictures ({empty} of them empty) with {boxes} objects of {} classes, {held_out} held out, in {}",
        images.len(),
        class_names().len(),
        duration_words(begin.elapsed())
    );
    Ok(())
}

fn paint_one(folder: &Path, config: &SampleConfig, index: usize) -> anyhow::Result<NewImage> {
    let scene = paint(config, index);
    let size = ImageSize::new(u32::try_from(scene.width)?, u32::try_from(scene.height)?);
    let bytes = picture::encode_jpeg(&Picture { size, rgb: scene.rgb }, scene.jpeg_quality)?;
    let name = format!("table-{index:04}.jpg");
    let path = folder.join(&name);
    // The pictures can be painted again; the project's database is what must be durable.
    std::fs::write(&path, &bytes).with_context(|| path.display().to_string())?;
    let boxes: Vec<NewBox> = scene
        .objects
        .iter()
        .filter_map(|o| {
            let label = LabelId::new(u32::try_from(o.class).ok()? + 1)?;
            let flags =
                BoxFlags { difficult: o.difficult, truncated: o.truncated, occluded: o.occluded, group_of: false };
            Some(NewBox { label, bounds: PixelBox::new(o.ymin, o.xmin, o.ymax, o.xmax), flags })
        })
        .collect();
    Ok(NewImage {
        path: format!("images/{name}"),
        size,
        sha256: sha256_hex(&bytes),
        split: if index % HELD_OUT == HELD_OUT - 1 { Split::Val } else { Split::Train },
        state: if boxes.is_empty() { ReviewState::Background } else { ReviewState::Verified },
        boxes,
    })
}

fn prepare(args: &Args, project: &mut Project, progress: &mut Progress) -> anyhow::Result<PathBuf> {
    let values = TemplateValues {
        num_classes: u32::try_from(class_names().len())?,
        image_size: (192, 192),
        depth_multiplier: 0.25,
        batch_size: 16,
        num_steps: args.num_steps,
        batch_norm_decay: 0.97,
        ..TemplateValues::default()
    };
    let text = boxwright_config::pipeline_from_template("ssd_mobilenet_v1", &values)?;
    let text = for_a_short_run(&text, args.num_steps)?;
    atomic_file::write_whole(&project.pipeline_path(), text.as_bytes())?;
    let prepared = prepare_training(project, progress)?;
    let (train, val) = prepared.images;
    eprintln!("     {train} records to train on, {val} to measure on; config {}", prepared.pipeline.display());
    Ok(prepared.pipeline)
}

/// Fits the template to a few minutes of training from random weights. What counts there is how far a
/// network comes in each step, not how well it would do after a day: Adam instead of momentum, more
/// weight on the boxes, milder crops than a longer run would need, and anchors for the sizes that the
/// things have. Three grids do: their anchors are large for their cells, so that each box has six of
/// them to learn from instead of four, and the grids of four cells and one, on which a batch is too
/// small a sample to normalize by, fall away.
fn for_a_short_run(template: &str, num_steps: u32) -> anyhow::Result<String> {
    const RATE: &str = "train_config.optimizer.adam_optimizer.learning_rate.cosine_decay_learning_rate";
    const CROP: &str = "train_config.data_augmentation_options[1]";
    const ANCHORS: &str = "model.ssd.anchor_generator.ssd_anchor_generator";
    let mut text = template.to_owned();
    for field in [CROP.to_owned(), format!("{ANCHORS}.min_scale"), format!("{ANCHORS}.max_scale")] {
        text = boxwright_config::remove_field(&text, &field)?;
    }
    let warmup_steps = (num_steps / 20).to_string();
    let num_steps = num_steps.to_string();
    let settings = [
        ("model.ssd.feature_extractor".to_owned(), "num_layers", "3"),
        (ANCHORS.to_owned(), "num_layers", "3"),
        (ANCHORS.to_owned(), "scales[0]", "0.25"),
        (ANCHORS.to_owned(), "scales[1]", "0.4"),
        (ANCHORS.to_owned(), "scales[2]", "0.6"),
        (ANCHORS.to_owned(), "reduce_boxes_in_lowest_layer", "false"),
        ("model.ssd.loss".to_owned(), "localization_weight", "4.0"),
        (RATE.to_owned(), "learning_rate_base", "0.006"),
        (RATE.to_owned(), "total_steps", num_steps.as_str()),
        (RATE.to_owned(), "warmup_learning_rate", "0.0006"),
        (RATE.to_owned(), "warmup_steps", warmup_steps.as_str()),
        (format!("{CROP}.random_crop_image"), "random_coef", "0.5"),
        (format!("{CROP}.random_crop_image"), "min_object_covered", "0.7"),
        (format!("{CROP}.random_crop_image"), "min_area", "0.5"),
        (format!("{CROP}.random_crop_image"), "overlap_thresh", "0.5"),
    ];
    for (block, field, value) in settings {
        text = boxwright_config::set_field(&text, &format!("{block}.{field}"), value)?;
    }
    Ok(text)
}

fn train_sample(args: &Args, pipeline: &Path, progress: &mut Progress) -> anyhow::Result<TrainOutcome> {
    let request = TrainRequest {
        pipeline: pipeline.to_owned(),
        model_dir: run_dir(&args.dir),
        device: args.device,
        num_steps: None,
        checkpoint: None,
        allow_random_backbone: false,
        resume: false,
        seed: args.seed,
        checkpoint_every: None,
        eval_every: None,
        max_to_keep: None,
        keep_every: None,
        max_time: None,
        early_stopping: None,
        draw: Some(crate::predict::draw_boxes),
        accumulate: 1,
        gradient_multipliers: Vec::new(),
        precision: None,
    };
    let outcome = train(&request, progress)?;
    progress.clear();
    eprintln!("     {}", crate::train::summary(&outcome));
    Ok(outcome)
}

fn run_dir(dir: &Path) -> PathBuf {
    dir.join("runs").join("demo")
}

/// Annotated pictures of held-out images, each in a file and some together on a sheet.
fn draw_results(args: &Args, progress: &mut Progress) -> anyhow::Result<PathBuf> {
    let predictor = Predictor::open(&run_dir(&args.dir), None, None, args.device)?;
    let folder = run_dir(&args.dir).join("pictures");
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let held_out: Vec<usize> = (0..args.images).filter(|i| i % HELD_OUT == HELD_OUT - 1).collect();
    let mut sheet = Vec::new();
    for (done, index) in (1u64..).zip(&held_out) {
        let file = args.dir.join("images").join(format!("table-{index:04}.jpg"));
        let picture = picture::read_file(&file)?;
        let boxes: Vec<_> =
            predictor.detect(&picture, 0.5).iter().map(|d| drawn(d, predictor.labels(), picture.size)).collect();
        let annotated = draw(&picture, &boxes);
        let path = folder.join(format!("table-{index:04}.jpg"));
        atomic_file::write_whole(&path, &picture::encode_jpeg(&annotated, 92)?)?;
        if sheet.len() < SHEET {
            sheet.push(annotated);
        }
        progress.event(&ProgressEvent::Progress {
            stage: "finding objects".into(),
            done,
            total: held_out.len() as u64,
            seconds_left: None,
            rate: None,
        });
    }
    let path = folder.join("sheet.png");
    atomic_file::write_whole(&path, &picture::encode_png(&contact_sheet(&sheet, 4))?)?;
    Ok(path)
}

fn summary(args: &Args, outcome: &TrainOutcome, sheet: &Path, begin: Instant) {
    let dir = args.dir.display();
    if let Some(metrics) = &outcome.metrics {
        eprintln!("\nmeasured on the held-out pictures:");
        crate::eval::print_table(metrics);
    }
    eprintln!("\nthe project    {dir}");
    eprintln!("the run        {}", run_dir(&args.dir).display());
    eprintln!("what it found  {}", sheet.display());
    eprintln!("all together   {}", duration_words(begin.elapsed()));
    eprintln!("\nlook at it:    boxwright open {dir}");
    eprintln!(
        "go on:         boxwright train --pipeline {dir}/pipeline.config --model-dir {} --num-steps {} --resume",
        run_dir(&args.dir).display(),
        args.num_steps * 2
    );
}

/// Whether there is a screen to open a window on.
fn has_display() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(not(target_os = "linux")) || set("DISPLAY") || set("WAYLAND_DISPLAY")
}
