//! Runs that are killed at random moments, on disks that fill up: the last good checkpoint always loads.
//!
//! `BOXWRIGHT_KILLS` says how often the run is killed; `make soak-kill` kills it 200 times.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{PROGRAM, TinyProject, boxwright, command, in_own_mounts, succeed, text};

/// Numbers that look random, the same in every run of the test.
struct Dice(u64);

impl Dice {
    fn up_to(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most.max(1)
    }
}

/// The steps of the checkpoints of a run.
fn steps(run: &Path) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(run.join("checkpoints")) else { return Vec::new() };
    let step = |name: String| name.strip_prefix("ckpt-")?.strip_suffix(".safetensors")?.parse().ok();
    let mut steps: Vec<u64> =
        entries.filter_map(|entry| step(entry.ok()?.file_name().to_string_lossy().into_owned())).collect();
    steps.sort_unstable();
    steps
}

/// Everything that a run's folder holds can be read.
fn check_whole(run: &Path) {
    if !steps(run).is_empty() {
        succeed(["inspect", &text(run)]);
    }
    let best = run.join("checkpoints/best.safetensors");
    if best.exists() {
        succeed(["inspect", &text(&best)]);
    }
    for name in ["run.json", "dataset.json"] {
        if let Ok(bytes) = fs::read(run.join(name)) {
            serde_json::from_slice::<serde_json::Value>(&bytes).expect(name);
        }
    }
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
    for line in metrics.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        serde_json::from_str::<serde_json::Value>(line).expect("a whole line of metrics");
    }
}

#[test]
#[cfg(unix)]
fn a_run_that_is_killed_again_and_again_ends_as_if_nothing_had_happened() {
    let kills: u64 = std::env::var("BOXWRIGHT_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(8);
    let project = TinyProject::make();
    let often = ["--checkpoint-every", "1", "--eval-every", "7", "--seed", "5", "--progress", "none"];
    let train = |run: &str, num_steps: &str, extra: &[&str]| {
        project.train(run, &[&often[..], &["--num-steps", num_steps], extra].concat())
    };
    let begin = Instant::now();
    succeed(train("warm", "10", &[]));
    let longest = 2 * u64::try_from(begin.elapsed().as_millis()).expect("a short time");
    let (run, mut dice) = (project.run("killed"), Dice(20_260_101));
    for kill in 0..kills {
        let mut child = command(train("killed", "1000000", &["--resume"]))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        std::thread::sleep(Duration::from_millis(dice.up_to(longest)));
        let status = child.try_wait().expect("asked");
        assert!(status.is_none(), "kill {kill}: it ended by itself: {status:?}");
        // SIGKILL: the process gets no chance to tidy up.
        child.kill().expect("it is killed");
        child.wait().expect("it is gone");
        check_whole(&run);
    }
    let last = steps(&run).last().copied().unwrap_or(0);
    assert!(last > 0, "at least one kill came after a checkpoint");
    let goal = (last + 2).to_string();
    succeed(train("killed", &goal, &["--resume"]));
    succeed(train("straight", &goal, &[]));
    let bytes = |name: &str| {
        fs::read(project.run(name).join(format!("checkpoints/ckpt-{:08}.safetensors", last + 2))).expect("the last")
    };
    // The number of steps that was asked for is in the checkpoint, and the same in both.
    assert!(bytes("killed") == bytes("straight"), "after {kills} kills and {goal} steps");
    let evaluated = |name: &str| -> Vec<(u64, String)> {
        let text = fs::read_to_string(project.run(name).join("metrics.jsonl")).expect("metrics");
        let record = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("JSON");
        let values = text.lines().map(record).filter(|record| record["kind"] == "eval");
        values.map(|record| (record["step"].as_u64().expect("a step"), record["values"].to_string())).collect()
    };
    assert_eq!(evaluated("killed"), evaluated("straight"), "no evaluation is missing, and none is there twice");
    let left: Vec<_> = fs::read_dir(run.join("checkpoints"))
        .expect("checkpoints")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".tmp"))
        .collect();
    assert_eq!(left, Vec::<String>::new(), "what kills left half-written is swept away");
    println!("{kills} kills, {last} steps");
}

#[test]
fn a_disk_that_fills_up_leaves_the_last_checkpoint_and_says_why() {
    let project = TinyProject::make();
    let pipeline = text(&project.dir.join("pipeline.config"));
    let train = format!(
        "'{PROGRAM}' train --pipeline '{pipeline}' --model-dir /mnt/run --device cpu --progress none --eval-every 0 \
         --checkpoint-every 1 --max-to-keep 1000"
    );
    let script = format!(
        "mount -t tmpfs -o size=12m tmpfs /mnt && {{ {train} --num-steps 500; echo code $?; }} && \
         '{PROGRAM}' inspect /mnt/run > /dev/null && echo whole && ls -A /mnt/run/checkpoints && \
         mount -o remount,size=200m /mnt && {train} --num-steps 20 --resume && echo resumed; \
         mount -o remount,ro /mnt; {train} --num-steps 21 --resume; echo code $?; \
         '{PROGRAM}' inspect /mnt/run > /dev/null && echo still whole"
    );
    let Some(ran) = in_own_mounts(&script) else { return };
    let told = format!("{}\n{}", ran.out, ran.err);
    assert_eq!(ran.out.matches("code 1").count(), 2, "{told}");
    assert!(ran.err.contains("the disk is full") && ran.err.contains("ckpt-"), "{told}");
    assert!(ran.out.contains("whole") && ran.out.contains("resumed") && ran.out.contains("still whole"), "{told}");
    assert!(!ran.out.contains(".tmp"), "nothing half-written: {told}");
    assert!(ran.err.contains("read-only"), "{told}");
}

#[test]
#[cfg(unix)]
fn a_limit_on_file_sizes_is_named_and_leaves_nothing_half_written() {
    let project = TinyProject::make();
    // 100 blocks are less than a checkpoint and more than everything else.
    let script = "ulimit -f 100; trap '' XFSZ; exec \"$@\"";
    let output = std::process::Command::new("bash")
        .args(["-c", script, "limited", PROGRAM])
        .args(project.train("limited", &["--num-steps", "2", "--eval-every", "0", "--progress", "none"]))
        .output()
        .expect("bash starts");
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("ckpt-00000002") && err.contains("too large"), "{err}");
    let run = project.run("limited");
    assert_eq!(fs::read_dir(run.join("checkpoints")).expect("the folder").count(), 0);
    let info = fs::read_to_string(run.join("run.json")).expect("run.json");
    assert!(info.contains("\"failed\"") && info.contains("too large"), "{info}");
    assert_eq!(boxwright(project.train("limited", &["--num-steps", "2", "--resume"])).code, Some(0));
}
