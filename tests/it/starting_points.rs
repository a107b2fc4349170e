//! Runs that start from what another run, or another program, left.

use std::fs;

use crate::support::{TinyProject, boxwright, succeed, text};

/// "12 of 34" before these words.
fn counts(words: &str, log: &str) -> (usize, usize) {
    let line = log.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{log}"));
    let numbers = line.split(words).next().expect("a start").rsplit(' ').collect::<Vec<_>>();
    (numbers[2].parse().expect("a number"), numbers[0].parse().expect("a number"))
}

#[test]
fn a_run_starts_from_all_that_another_learned() {
    let project = TinyProject::make();
    let short = ["--num-steps", "1", "--eval-every", "0", "--progress", "none"];
    succeed(project.train("first", &short));
    let first = text(&project.run("first"));
    succeed(project.train("second", &[&short[..], &["--checkpoint", &first]].concat()));
    let log = fs::read_to_string(project.run("second").join("log.txt")).expect("the log");
    let (loaded, all) = counts(" variables loaded", &log);
    assert!(loaded == all && all > 100, "{log}");
    let about: serde_json::Value = serde_json::from_str(&succeed(["inspect", &first, "--json"]).out).expect("JSON");
    assert_eq!(about["kind"], "Boxwright checkpoint of step 1");
}

#[test]
fn weights_that_leave_the_backbone_random_are_refused_unless_asked_for() {
    let project = TinyProject::make();
    let weights = project.run("weights.safetensors");
    fs::create_dir_all(weights.parent().expect("a folder")).expect("made");
    let header = br#"{"MobilenetV1/Conv2d_0/biases":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header, &1f32.to_le_bytes()].concat();
    fs::write(&weights, bytes).expect("written");
    let from = text(&weights);
    let short = ["--num-steps", "1", "--eval-every", "0", "--progress", "none", "--checkpoint", &from];
    let ran = boxwright(project.train("random", &short));
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("random") && ran.err.contains("--allow-random-backbone"), "{}", ran.err);
    succeed(project.train("asked", &[&short[..], &["--allow-random-backbone"]].concat()));
}
