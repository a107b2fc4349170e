//! What a run leaves in its folder, when it ends, and what another run can begin from.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use boxwright_formats::event_file::{EventData, EventReader, SummaryValue};

use crate::support::{Ran, TinyProject, boxwright, succeed, text};

/// The event files of a folder, the oldest first.
fn event_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| text(path).contains("events.out.tfevents."))
        .collect();
    files.sort();
    files
}

/// What TensorBoard shows under a tag: what a session start takes back is gone.
fn scalars(folder: &Path, tag: &str) -> BTreeMap<i64, f64> {
    let mut shown = BTreeMap::new();
    for file in event_files(folder) {
        for event in EventReader::open(&file).expect("opened") {
            let event = event.expect("a sound event");
            match event.data {
                EventData::SessionStart => shown.retain(|step, _| *step < event.step),
                EventData::Summary(values) => {
                    for value in values.into_iter().filter(|value| value.tag == tag) {
                        let SummaryValue::Scalar(number) = value.value else { panic!("{tag} is a number") };
                        shown.insert(event.step, number);
                    }
                }
                EventData::FileVersion(_) | EventData::Other => {}
            }
        }
    }
    shown
}

/// The numbers of `metrics.jsonl` without the times.
fn metrics(run: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).expect("the metrics");
    let without_time = |line: &str| {
        let mut value: serde_json::Value = serde_json::from_str(line).expect("JSON");
        value.as_object_mut().expect("an object").remove("seconds").expect("a time");
        value
    };
    text.lines().map(without_time).collect()
}

fn info(run: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(run.join("run.json")).expect("run.json")).expect("JSON")
}

fn checkpoints(run: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(run.join("checkpoints"))
        .expect("checkpoints")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_run_tells_tensorboard_and_can_be_repeated_from_its_folder() {
    let project = TinyProject::make();
    // Far from its project, so that the config's relative paths mean nothing where its copy lies.
    let elsewhere = tempfile::tempdir().expect("a folder");
    let (first, second) = (elsewhere.path().join("first"), elsewhere.path().join("second"));
    let steps = ["--num-steps", "6", "--eval-every", "3", "--checkpoint-every", "2", "--seed", "11"];
    let mut arguments = project.train("x", &[&steps[..], &["--progress", "none", "--keep-every", "2"]].concat());
    arguments[4] = text(&first);
    let said = succeed(&arguments).err;
    assert!(!cfg!(target_os = "linux") || said.contains("MiB at most"), "{said}");

    let losses = scalars(&first, "Loss/total_loss");
    assert_eq!(losses.keys().copied().collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(scalars(&first, "learning_rate").len(), 6);
    assert_eq!(scalars(&first, "steps_per_sec").len(), 1);
    let measured = scalars(&first.join("eval"), "DetectionBoxes_Precision/mAP");
    assert_eq!(measured.keys().copied().collect::<Vec<_>>(), [3, 6]);
    let about = succeed(["inspect", &text(&event_files(&first)[0]), "--json"]).out;
    let about: serde_json::Value = serde_json::from_str(&about).expect("JSON");
    assert_eq!(about["kind"], "event file");
    assert_eq!(about["tags"]["train_input_images/0"]["kind"], "image");
    assert_eq!(about["tags"]["Loss/total_loss"]["last_step"], 6);

    let about = succeed(["inspect", &text(&event_files(&first.join("eval"))[0]), "--json"]).out;
    let about: serde_json::Value = serde_json::from_str(&about).expect("JSON");
    let shown =
        about["tags"].as_object().expect("tags").keys().filter(|tag| tag.starts_with("Detections_Left")).count();
    assert_eq!(shown, 10, "as many as eval_config says where it says nothing");

    let log = fs::read_to_string(first.join("log.txt")).expect("the log");
    assert!(log.contains("Step 6 per-step time ") && log.contains("{'Loss/classification_loss': "), "{log}");
    // The best evaluation's checkpoint is there under its own name and is found by it.
    let best = info(&first)["best"]["step"].as_u64().expect("a step");
    assert!(best == 3 || best == 6, "{best}");
    let mut expected = vec!["best.safetensors".to_owned()];
    expected.extend([2, 3, 4, 6].map(|step| format!("ckpt-{step:08}.safetensors")));
    assert_eq!(checkpoints(&first), expected);
    let evaluated =
        succeed(["eval", "--model-dir", &text(&first), "--checkpoint", "best", "--device", "cpu", "--json"]);
    let evaluated: serde_json::Value = serde_json::from_str(&evaluated.out).expect("JSON");
    let value = evaluated["DetectionBoxes_Precision/mAP"].as_f64().expect("a number");
    assert!((value - info(&first)["best"]["value"].as_f64().expect("a number")).abs() < 1e-6, "{value}");
    let picture = project.dir.parent().expect("above").join("voc/picture-00.jpg");
    let model = text(&first.join("best"));
    succeed(["predict", "--model", &model, "--images", &text(&picture), "--device", "cpu", "--json"]);
    let none = boxwright(["eval", "--model-dir", &text(&first), "--checkpoint", "5", "--device", "cpu"]);
    assert!(none.code == Some(1) && none.err.contains("no checkpoint of step 5"), "{}", none.err);

    // The words of run.json, with a folder in place of the word for one.
    let repeat = info(&first)["setup"]["repeat"].clone();
    let mut words: Vec<String> = serde_json::from_value(repeat).expect("words");
    assert_eq!(words.remove(0), "boxwright");
    let place = words.iter().position(|word| word == "ANOTHER-FOLDER").expect("the place of the folder");
    words[place] = text(&second);
    succeed(&words);
    assert_eq!(metrics(&first), metrics(&second));
    assert_eq!(info(&first)["setup"]["dataset_sha256"], info(&second)["setup"]["dataset_sha256"]);
}

#[test]
fn time_and_patience_end_a_run_and_resume_understands_it() {
    let project = TinyProject::make();
    let steps = ["--num-steps", "100000", "--checkpoint-every", "100000", "--progress", "none"];
    let more = |extra: &[&'static str]| -> Vec<String> { project.train("timed", &[&steps[..], extra].concat()) };
    let ended = succeed(more(&["--eval-every", "0", "--max-time", "2s"]));
    assert!(ended.err.contains("stopped at step") && ended.err.contains("--max-time"), "{}", ended.err);
    let run = project.run("timed");
    let step = info(&run)["step"].as_u64().expect("a step");
    assert_eq!((info(&run)["state"].clone(), checkpoints(&run).len()), ("stopped".into(), 2), "the last and the best");
    assert_eq!(metrics(&run).last().expect("one")["kind"], "eval", "it is measured before it ends");
    let wrong = boxwright(more(&["--max-time", "soon"]));
    assert!(wrong.code == Some(2) && wrong.err.contains("1h30m"), "{}", wrong.err);

    // A learning rate of almost nothing: no evaluation is better than the one before.
    let config = project.dir.join("pipeline.config");
    let field = "train_config.optimizer.momentum_optimizer.learning_rate.cosine_decay_learning_rate.learning_rate_base";
    let tame = boxwright_config::set_field(&fs::read_to_string(&config).expect("read"), field, "1e-30");
    fs::write(&config, tame.expect("the field is there")).expect("written");
    let goal = (step + 100).to_string();
    let patient = |extra: &[&str]| -> Ran {
        let all = ["--resume", "--num-steps", &goal, "--eval-every", "2", "--progress", "none"];
        boxwright(project.train("timed", &[&all[..], extra].concat()))
    };
    let ended = patient(&["--early-stopping", "3"]);
    assert!(ended.code == Some(0) && ended.err.contains("stopped early"), "{}", ended.err);
    let stopped_at = info(&run)["step"].as_u64().expect("a step");
    assert!(stopped_at < step + 100, "{stopped_at}");
    assert_eq!(info(&run)["state"], "finished");
    // Again with the same patience nothing is left to do; with more of it, there is.
    let again = patient(&["--early-stopping", "3"]);
    assert!(again.err.contains("nothing was left to do") && again.err.contains("stopped early"), "{}", again.err);
    assert_eq!(info(&run)["step"], stopped_at);
    assert_eq!(patient(&[]).code, Some(0));
    assert_eq!(info(&run)["step"], step + 100);
    let blind = patient(&["--early-stopping", "3", "--eval-every", "0"]);
    assert!(blind.code != Some(0), "two words about evaluations");
}

#[test]
fn a_run_with_more_classes_keeps_the_heads_of_the_old_ones() {
    let project = TinyProject::make();
    let short = ["--num-steps", "1", "--eval-every", "0", "--progress", "none"];
    succeed(project.train("first", &short));
    // The square becomes the second class of three.
    let map = "item { id: 1 name: 'circle' }\nitem { id: 2 name: 'square' }\nitem { id: 3 name: 'star' }\n";
    fs::write(project.dir.join("label_map.pbtxt"), map).expect("written");
    let config = project.dir.join("pipeline.config");
    let three = boxwright_config::set_field(&fs::read_to_string(&config).expect("read"), "model.ssd.num_classes", "3");
    fs::write(&config, three.expect("the field is there")).expect("written");
    let first = project.run("first");
    let archive = project.dir.join("model.tar.gz");
    let packed = std::process::Command::new("tar").arg("-C").arg(&first).arg("-czf").arg(&archive).arg(".").status();
    let file = first.join("checkpoints/ckpt-00000001.safetensors");
    let archive = packed.is_ok_and(|status| status.success()).then_some(archive);
    for (i, from) in [Some(first.clone()), Some(file), archive].into_iter().flatten().enumerate() {
        let name = format!("more-{i}");
        succeed(project.train(&name, &[&short[..], &["--checkpoint", &text(&from)]].concat()));
        let log = fs::read_to_string(project.run(&name).join("log.txt")).expect("the log");
        assert!(log.contains("heads kept by class name: square; begun anew: circle, star"), "{log}");
        assert!(!log.contains("of another shape") && !log.contains("not in the file"), "{log}");
    }
}
