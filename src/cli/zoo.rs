//! `boxwright zoo`: the published models as a table, and one of them onto the disk.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use anyhow::Context;
use boxwright_cloud::digest::Digest;
use boxwright_cloud::download::Policy;
use boxwright_cloud::model_zoo::{self, Checked, Fetched, Stage};
use boxwright_config::zoo::{self, Filter, Generation, Training, ZooModel};
use boxwright_session::Watch;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::output::{Progress, ProgressMode, print_json, print_json_line};

/// List TFOD's published models, or fetch one.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the models with their speed, precision and input, and what can be trained from them
    List(ListArgs),
    /// Download a model, check it and unpack it
    Fetch(FetchArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Only models with all these words in their name, extractor or outputs
    words: Vec<String>,
    /// Only models of this generation
    #[arg(long, value_enum)]
    generation: Option<GenerationArg>,
    /// Only models trained on this data set: coco, kitti, open-images, inaturalist, ava, snapshot-serengeti
    #[arg(long, value_parser = dataset)]
    dataset: Option<String>,
    /// Only models that take at most this many milliseconds for an image
    #[arg(long, value_name = "MS", value_parser = number)]
    max_ms: Option<f64>,
    /// Only models with at least this average precision, in percent
    #[arg(long, value_name = "PERCENT", value_parser = number)]
    min_map: Option<f64>,
    /// Only models from which something can be trained here
    #[arg(long)]
    trainable: bool,
    /// Order: quickest first, best first, or by name; without it, as TFOD lists them
    #[arg(long, value_enum)]
    sort: Option<Sort>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum GenerationArg {
    Tf1,
    Tf2,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Sort {
    Speed,
    Map,
    Name,
}

#[derive(Debug, clap::Args)]
struct FetchArgs {
    /// The model, as `zoo list` names it
    name: String,
    /// Where the archives are instead of TFOD's server: http://…, https://…, file://… or a folder
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// The folder in which the model gets its own
    #[arg(short, long, value_name = "DIR", default_value = "models")]
    output: PathBuf,
    /// The SHA-256 that the archive must have
    #[arg(long, value_name = "HEX")]
    sha256: Option<Digest>,
    /// Fetch it anew and replace the one that is there
    #[arg(long)]
    force: bool,
    /// Keep the downloaded archive beside the model
    #[arg(long)]
    keep_archive: bool,
    /// How to show progress
    #[arg(long, value_enum, default_value_t)]
    progress: ProgressMode,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn number(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(|| "write a number, like 25".into())
}

fn dataset(text: &str) -> Result<String, String> {
    let known = zoo::datasets();
    let found = known.iter().find(|name| name.eq_ignore_ascii_case(text));
    found.map(|name| (*name).to_owned()).ok_or_else(|| format!("there are {}", known.join(", ")))
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.action {
        Action::List(list) => run_list(list),
        Action::Fetch(fetch) => run_fetch(fetch),
    }
}

fn run_list(args: &ListArgs) -> anyhow::Result<()> {
    let filter = Filter {
        generation: args.generation.map(|generation| match generation {
            GenerationArg::Tf1 => Generation::Tf1,
            GenerationArg::Tf2 => Generation::Tf2,
        }),
        dataset: args.dataset.clone(),
        max_ms: args.max_ms,
        min_map: args.min_map,
        trainable: args.trainable,
        words: args.words.clone(),
    };
    let mut models = zoo::select(&filter);
    // What is not known comes last.
    match args.sort {
        Some(Sort::Speed) => models.sort_by(|a, b| key(a.speed_ms, 1.0).total_cmp(&key(b.speed_ms, 1.0))),
        Some(Sort::Map) => models.sort_by(|a, b| key(a.map, -1.0).total_cmp(&key(b.map, -1.0))),
        Some(Sort::Name) => models.sort_by_key(|model| model.name),
        None => {}
    }
    if args.json {
        return print_json(&models.iter().map(|model| model_json(model)).collect::<Vec<_>>());
    }
    if models.is_empty() {
        eprintln!("no model of the zoo is like that; `boxwright zoo list` shows all {}", zoo::models().len());
        return Ok(());
    }
    print_table(&models)
}

fn key(value: Option<f64>, sign: f64) -> f64 {
    value.map_or(f64::INFINITY, |value| value * sign)
}

fn model_json(model: &ZooModel) -> serde_json::Value {
    let mut value = json!(model);
    value["url"] = json!(model.url());
    value["other"] = model.other.iter().map(|(name, map)| ((*name).to_owned(), json!(map))).collect();
    let (trainable, template, reasons) = match model.training() {
        Training::Template(name) => (true, Some(name), Vec::new()),
        Training::OwnConfig => (true, None, Vec::new()),
        Training::Refused(reasons) => (false, None, reasons),
    };
    value["trainable"] = json!(trainable);
    value["template"] = json!(template);
    value["not_trainable_because"] = json!(reasons);
    value
}

fn print_table(models: &[&ZooModel]) -> anyhow::Result<()> {
    let known = |value: Option<f64>| value.map_or("-".to_owned(), |value| value.to_string());
    let mut rows = vec![["NAME", "GEN", "MS", "MAP", "OUTPUTS", "INPUT", "DATA", "TRAIN"].map(str::to_owned).to_vec()];
    for model in models {
        let mut speed = known(model.speed_ms);
        if let Some(device) = model.device.filter(|device| *device != "gpu") {
            speed = format!("{speed} {device}");
        }
        let others = model.other.iter().map(|(name, map)| format!(" {name} {map}"));
        rows.push(vec![
            model.name.to_owned(),
            model.generation.to_string(),
            speed,
            format!("{}{}", known(model.map), others.collect::<String>()),
            model.outputs.join("+"),
            model.input.unwrap_or("-").to_owned(),
            model.dataset.to_owned(),
            match model.training() {
                Training::Template(name) => name.to_owned(),
                Training::OwnConfig => "yes".into(),
                Training::Refused(_) => "-".into(),
            },
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut out = std::io::stdout().lock();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

fn run_fetch(args: &FetchArgs) -> anyhow::Result<()> {
    let model = zoo::find(&args.name)?;
    let options = model_zoo::Options {
        folder: args.output.clone(),
        mirror: args.mirror.clone(),
        digest: args.sha256.clone(),
        force: args.force,
        keep_archive: args.keep_archive,
        policy: Policy::default(),
    };
    let mut bar = Bytes::new(model.name, args.progress);
    let fetched = model_zoo::fetch(model, &options, &mut |stage, done, total| bar.show(stage, done, total));
    bar.clear();
    let fetched = fetched?;
    for warning in &fetched.warnings {
        eprintln!("warning: {warning}");
    }
    if args.json || args.progress == ProgressMode::Json {
        let report = fetched_json(&fetched);
        if args.json {
            return print_json(&report);
        }
        print_json_line(&report);
        Ok(())
    } else {
        say(model, &fetched)
    }
}

fn fetched_json(fetched: &Fetched) -> serde_json::Value {
    json!({
        "folder": fetched.folder,
        "was_there": fetched.was_there,
        "source": fetched.source,
        "digest": fetched.digest.as_ref().map(|(digest, _)| digest.to_string()),
        "checked": fetched.digest.as_ref().map(|(_, checked)| checked),
        "contents": fetched.contents,
        "warnings": fetched.warnings,
    })
}

/// What came, what is in it, and the line that starts a training from it.
fn say(model: &ZooModel, fetched: &Fetched) -> anyhow::Result<()> {
    if fetched.was_there {
        eprintln!("{} is there already; --force fetches it anew", fetched.folder.display());
    }
    if fetched.kept > 0 {
        eprintln!("{} bytes of an earlier download were used", fetched.kept);
    }
    if let Some((digest, checked)) = &fetched.digest {
        let with = match checked {
            Checked::Given => "as given",
            Checked::Beside => "as the file beside the archive says",
            Checked::Published => "as published",
            Checked::Noted => "as at the first fetch",
            Checked::FirstTime => "noted for the next time; there was nothing to compare it with",
        };
        eprintln!("{digest}: {with}");
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", fetched.folder.display())?;
    let contents = &fetched.contents;
    for (what, path) in [
        ("pipeline config", &contents.pipeline_config),
        ("checkpoint", &contents.checkpoint),
        ("SavedModel", &contents.saved_model),
        ("frozen graph", &contents.frozen_graph),
        ("TensorFlow Lite", &contents.tflite),
    ] {
        if let Some(path) = path {
            let below = path.strip_prefix(&fetched.folder).unwrap_or(path);
            writeln!(out, "  {what:<16} {}", below.display())?;
        }
    }
    if let Some(checkpoint) = &contents.checkpoint {
        // Whole, because a relative path counts from the config's folder.
        let whole = std::path::absolute(checkpoint).context("the current folder cannot be found")?;
        writeln!(out, "\n{}", zoo::fine_tune_line(&whole.display().to_string()))?;
        writeln!(out, "fine_tune_checkpoint_type: \"detection\"")?;
        match model.training() {
            Training::Template(name) => eprintln!("put these lines into train_config of a config for {name}"),
            Training::OwnConfig => eprintln!("put these lines into train_config of the model's own config"),
            Training::Refused(reasons) => {
                eprintln!("this model cannot be trained here: {}", reasons.first().map_or("", String::as_str));
            }
        }
    }
    Ok(())
}

/// A bar in bytes where there is a terminal; else what the other commands show.
struct Bytes {
    name: &'static str,
    mode: ProgressMode,
    progress: Progress,
    bar: Option<(Stage, ProgressBar)>,
}

impl Bytes {
    fn new(name: &'static str, mode: ProgressMode) -> Self {
        Self { name, mode, progress: Progress::new(mode), bar: None }
    }

    fn show(&mut self, stage: Stage, done: u64, total: Option<u64>) -> bool {
        let word = match stage {
            Stage::Downloading => "downloading",
            Stage::Unpacking => "unpacking",
        };
        match self.mode {
            ProgressMode::None => {}
            ProgressMode::Json => self.progress.progress(word, done, total.unwrap_or(0)),
            ProgressMode::Bar if std::io::stderr().is_terminal() => self.show_bar(stage, word, done, total),
            // Lines for a log, in megabytes; small files need none.
            ProgressMode::Bar if total.is_none_or(|total| total >= 10_000_000) => {
                let stage = format!("{word} {}, MB", self.name);
                self.progress.progress(&stage, done / 1_000_000, total.unwrap_or(0) / 1_000_000);
            }
            ProgressMode::Bar => {}
        }
        !self.progress.cancelled()
    }

    fn show_bar(&mut self, stage: Stage, word: &'static str, done: u64, total: Option<u64>) {
        if self.bar.as_ref().is_none_or(|(shown, _)| *shown != stage) {
            self.clear();
            let template = match total {
                Some(_) => "{msg} {wide_bar:.blue} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left",
                None => "{msg} {bytes} {bytes_per_sec}",
            };
            let bar = ProgressBar::new(total.unwrap_or(0));
            bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message(format!("{word} {}", self.name));
            // What was there before is no speed.
            bar.set_position(done);
            bar.reset_eta();
            self.bar = Some((stage, bar));
        }
        if let Some((_, bar)) = &self.bar {
            bar.set_position(done);
        }
    }

    fn clear(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
