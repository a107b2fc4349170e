//! Runs that are killed, stopped and continued end as if nothing had happened.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use crate::support::{TinyProject, boxwright, command, succeed};

/// The bytes of the run's last checkpoint.
fn last_checkpoint(run: &Path) -> Vec<u8> {
    let mut files: Vec<_> =
        fs::read_dir(run.join("checkpoints")).expect("checkpoints").map(|e| e.expect("an entry").path()).collect();
    files.sort();
    fs::read(files.last().expect("a checkpoint")).expect("it can be read")
}

#[test]
#[cfg(unix)]
fn a_killed_run_continues_to_the_same_bits() {
    let project = TinyProject::make();
    let steps = ["--num-steps", "30", "--checkpoint-every", "2", "--eval-every", "0", "--seed", "3"];
    let more = |extra: &[&'static str]| -> Vec<&str> { steps.iter().copied().chain(extra.iter().copied()).collect() };
    succeed(project.train("straight", &more(&["--progress", "none"])));

    let mut child = command(project.train("killed", &more(&["--progress", "json"])))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let checkpoints = project.run("killed").join("checkpoints");
    let begun = std::time::Instant::now();
    loop {
        let some = fs::read_dir(&checkpoints).map_or(0, |entries| {
            entries
                .filter(|e| e.as_ref().is_ok_and(|e| e.file_name().to_string_lossy().ends_with(".safetensors")))
                .count()
        });
        if some >= 2 {
            break;
        }
        assert!(begun.elapsed().as_secs() < 120, "a checkpoint appears");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    // SIGKILL: the process gets no chance to tidy up.
    child.kill().expect("it is killed");
    child.wait().expect("it is gone");

    let without = boxwright(project.train("killed", &more(&["--progress", "none"])));
    assert_eq!(without.code, Some(1));
    assert!(without.err.contains("--resume"), "{}", without.err);

    let resumed = succeed(project.train("killed", &more(&["--resume", "--progress", "none"])));
    assert!(resumed.err.contains("step 30"), "{}", resumed.err);
    assert!(
        last_checkpoint(&project.run("straight")) == last_checkpoint(&project.run("killed")),
        "the weights, slots and state are the same to the bit"
    );
    let log = fs::read_to_string(project.run("killed").join("log.txt")).expect("the log");
    assert!(log.contains("resumed from"), "{log}");
}

#[test]
fn a_run_in_half_precision_goes_on_in_it_with_its_loss_scale() {
    let project = TinyProject::make();
    let all = ["--eval-every", "0", "--progress", "none", "--checkpoint-every", "2"];
    let train = |run: &str, extra: &[&str]| succeed(project.train(run, &[&all[..], extra].concat()));
    train("straight", &["--num-steps", "4", "--precision", "f16"]);
    train("two", &["--num-steps", "2", "--precision", "f16"]);
    train("two", &["--num-steps", "4", "--resume"]);
    let bytes = last_checkpoint(&project.run("two"));
    assert!(last_checkpoint(&project.run("straight")) == bytes, "the weights, slots and state are the same to the bit");
    train("single", &["--num-steps", "4"]);
    assert!(last_checkpoint(&project.run("single")) != bytes, "the convolutions are not in f16");
    let read = |run: &str, name: &str| fs::read_to_string(project.run(run).join(name)).expect("there");
    assert!(read("two", "metrics.jsonl").contains("\"loss_scale\":32768.0"));
    assert!(!read("single", "metrics.jsonl").contains("loss_scale"));
    let info = read("two", "run.json");
    assert!(info.contains("\"precision\": \"f16\"") && info.contains("\"--precision\""), "{info}");
    assert_eq!(read("two", "log.txt").matches("convolutions in f16").count(), 2);
}

#[test]
fn a_request_to_stop_keeps_what_was_done() {
    let project = TinyProject::make();
    let steps = ["--num-steps", "100000", "--eval-every", "0", "--progress", "json"];
    let mut child =
        command(project.train("stopped", &steps)).stdout(Stdio::piped()).spawn().expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    for line in lines.by_ref() {
        if line.expect("a line").contains("\"progress\"") {
            break;
        }
    }
    fs::write(project.run("stopped").join("STOP"), "").expect("the request is written");
    let rest: Vec<String> = lines.map(|line| line.expect("a line")).collect();
    assert!(child.wait().expect("it ends").success());
    assert!(rest.last().is_some_and(|line| line.contains("\"finished\"")), "{rest:?}");
    let info = fs::read_to_string(project.run("stopped").join("run.json")).expect("run.json");
    assert!(info.contains("\"stopped\""), "{info}");
    assert!(!project.run("stopped").join("STOP").exists(), "the request is taken away");
    assert!(!last_checkpoint(&project.run("stopped")).is_empty());
}
