//! How long a config takes to parse, check, print and merge: the median of many runs, in milliseconds.
//!
//! `config_bench FILE…` prints a line a file, and fails where one of them takes more than 20 ms.

use std::process::ExitCode;
use std::time::Instant;

use boxwright_config::merge::{MergeRequest, merge};
use boxwright_config::pipeline::read_text;
use boxwright_config::{ConfigError, DatasetFacts, Pipeline, check};

/// Runs of each, of which the median counts.
const RUNS: usize = 31;
/// What any of them may take, in milliseconds.
const LIMIT: f64 = 20.0;

fn main() -> ExitCode {
    let files: Vec<String> = std::env::args().skip(1).collect();
    if files.is_empty() {
        eprintln!("config_bench FILE…");
        return ExitCode::from(2);
    }
    println!("{:>8} {:>8} {:>8} {:>8}  milliseconds, median of {RUNS}", "parse", "check", "print", "merge");
    let mut slow = 0;
    for file in &files {
        match measure(file) {
            Ok(times) => {
                let [parse, check, print, merge] = times;
                println!("{parse:8.3} {check:8.3} {print:8.3} {merge:8.3}  {file}");
                slow += usize::from(times.iter().any(|time| *time > LIMIT));
            }
            Err(error) => {
                eprintln!("{error}");
                slow += 1;
            }
        }
    }
    if slow > 0 {
        eprintln!("{slow} of {} files fail or take more than {LIMIT} ms", files.len());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Parse, check, print and merge.
fn measure(file: &str) -> Result<[f64; 4], ConfigError> {
    let text = read_text(file)?;
    let pipeline = Pipeline::parse(&text, file)?;
    // An override, hyperparameters and a field, each of which touches several places.
    let over = "train_config { num_steps: 11 freeze_variables: 'a' } eval_config { metrics_set: 'b' }";
    let mut request = MergeRequest { overrides: vec![("override".into(), over.into())], ..MergeRequest::default() };
    request
        .add_hyperparameters("{\"num_classes\": 4, \"batch_size\": 6, \"label_map_path\": \"m\"}", "hyperparameters")?;
    request.add_setting("train_config.fine_tune_checkpoint=c")?;
    merge(&pipeline, &request)?;
    Ok([
        median(|| Pipeline::parse(&text, file).is_ok()),
        median(|| check(&pipeline, &DatasetFacts::default()).is_empty()),
        median(|| pipeline.to_text().is_empty()),
        median(|| merge(&pipeline, &request).is_ok()),
    ])
}

/// The median time of one run in milliseconds.
fn median(mut run: impl FnMut() -> bool) -> f64 {
    let mut times: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(run());
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[RUNS / 2]
}
