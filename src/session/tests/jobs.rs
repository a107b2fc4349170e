//! Training and evaluation with a small script in place of the program.

use boxwright_core::run::{MetricKind, RunState};
use boxwright_core::{ReviewState, Split};

use super::*;
use crate::child::ChildJob;
use crate::job::{JobKind, Jobs};
use crate::{JobState, TrainRequest};

/// Finds the run directory among the arguments, makes it `$run`, and keeps the arguments.
const BEGIN: &str = r#"
echo "$@" > "$(dirname "$0")/arguments"
[ "$1" = devices ] && { echo '[{"id":"cpu","name":"A CPU","backend":"flex","kind":"cpu","memory":1}]'; exit 0; }
while [ $# -gt 0 ]; do [ "$1" = --model-dir ] && run="$2"; shift; done
mkdir -p "$run/checkpoints" "$run/eval"
"#;

/// A project that can be trained, and the script that plays the program.
fn trainable(body: &str) -> Studio {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = folder.path().join("program");
    script(&program, &format!("{BEGIN}{body}"));
    let mut studio = Studio::in_folder(folder, &program);
    let images = studio.add_pictures(5);
    let label = studio.add_class("cat");
    for image in images {
        studio.draw(image, label, PixelBox::new(1.0, 1.0, 30.0, 30.0));
    }
    studio
}

fn arguments(studio: &Studio) -> String {
    std::fs::read_to_string(studio.path("arguments")).expect("kept")
}

fn start(run: &str) -> Command {
    let request = TrainRequest { num_steps: Some(20), ..TrainRequest::new(run, "cpu") };
    Command::StartTraining(Box::new(request))
}

#[test]
fn a_run_from_the_button_to_the_numbers() {
    let mut studio = trainable(
        r#"
echo '{"event":"progress","stage":"training","done":5,"total":20,"seconds_left":3.5,"rate":2.0}'
echo 'a library that prints what it likes {"event":'
echo '{"event":"warning","message":"a warning"}'
printf '{"step":5,"seconds":1.0,"kind":"train","values":{"Loss/total_loss":2.5}}\n' > "$run/metrics.jsonl"
echo x > "$run/checkpoints/ckpt-00000020.safetensors"
printf '{"step":20,"images":[{"image":"../pictures/0.png","detections":[]}]}' > "$run/eval/detections-00000020.json"
printf '{"pid":%s,"state":"finished","started":1,"updated":2,"step":20,"num_steps":20,"device":"CPU","reason":""}' $$ > "$run/run.json"
echo '{"event":"finished","message":"20 steps, loss 2.5"}'
"#,
    );
    let job = studio.job(start("first try"));
    assert_eq!((job.state, job.message.as_str()), (JobState::Finished, "20 steps, loss 2.5"));
    assert_eq!(job.kind, JobKind::Train { run: "first try".into() });
    assert_eq!((job.stage.as_str(), job.done, job.total), ("training", 5, 20));
    assert!(job.warnings.contains(&"a warning".to_owned()));
    assert!(job.warnings.iter().any(|w| w.contains("4 for training, 1 for validation")), "{:?}", job.warnings);
    assert!(job.warnings.iter().any(|w| w.contains("pipeline.config")), "{:?}", job.warnings);
    let project = studio.project();
    let expected = format!(
        "train --pipeline {0}/pipeline.config --model-dir {0}/runs/first try --device cpu --progress json --num-steps 20\n",
        project.display()
    );
    assert_eq!(arguments(&studio), expected);
    assert!(project.join("records/train.record-00000-of-00001").is_file());
    assert!(studio.session.images().iter().all(|i| i.split != Split::Unassigned), "the new splits are shown");
    assert!(!studio.session.pipeline_text().is_empty());

    wait_until(&mut studio.session, "the run", |s| s.run("first try").is_some_and(|r| r.detections.is_some()));
    let run = studio.session.run("first try").expect("there");
    assert_eq!((run.state, run.checkpoints.as_slice()), (RunState::Finished, &[20][..]));
    assert_eq!(run.series(MetricKind::Train, "Loss/total_loss"), [(5, 2.5)]);
    assert_eq!(studio.session.new_run_name(), "run-1");
    assert!(studio.refuse(start("first try")).contains("has checkpoints already"));
    let resume = TrainRequest { resume: true, ..TrainRequest::new("first try", "auto") };
    studio.job(Command::StartTraining(Box::new(resume)));
    assert!(arguments(&studio).ends_with("--device auto --progress json --resume\n"));
    std::fs::write(project.join("runs/first try/pipeline.config"), "").expect("written");
    studio.job(Command::EvaluateRun { run: "first try".into() });
    assert!(arguments(&studio).starts_with("eval --pipeline"), "{}", arguments(&studio));
    wait_until(&mut studio.session, "the devices", |s| !s.devices().is_empty());
    assert_eq!(studio.session.devices()[0].name, "A CPU");
}

#[test]
fn a_run_that_cannot_begin_says_why() {
    let mut studio = Studio::new();
    for (run, words) in [("a/b", "cannot be the name"), ("", "cannot be the name")] {
        assert!(studio.refuse(start(run)).contains(words));
    }
    assert!(studio.refuse(Command::StopTraining { run: "x".into() }).contains("no run \"x\""));
    assert!(studio.refuse(Command::EvaluateRun { run: "x".into() }).contains("no run \"x\""));
    let resume = TrainRequest { resume: true, ..TrainRequest::new("x", "cpu") };
    assert!(studio.refuse(Command::StartTraining(Box::new(resume))).contains("no checkpoint"));
    let fails = |studio: &mut Studio, words: &str| {
        let job = studio.job(start("x"));
        assert_eq!(job.state, JobState::Failed);
        assert!(job.message.contains(words), "{}", job.message);
    };
    fails(&mut studio, "no classes");
    studio.add_class("cat");
    fails(&mut studio, "no images");
    let images = studio.add_pictures(2);
    fails(&mut studio, "annotate some");
    for image in images {
        studio.run(Command::SetState { image, state: ReviewState::Background });
    }
    studio.run(Command::AutoSplit { val_percent: 0.0 });
    fails(&mut studio, "no annotated image is in the val split");
    studio.run(Command::AutoSplit { val_percent: 50.0 });
    let values = crate::TemplateValues { batch_size: 100, ..studio.session.template_values() };
    studio.run(Command::NewPipeline { values: Box::new(values) });
    fails(&mut studio, "pipeline.config");
    assert!(!studio.project().join("runs/x").exists());
}

#[test]
fn a_child_that_dies_is_explained() {
    for (body, words) in [
        ("kill -9 $$", "signal 9), perhaps because memory ran out"),
        ("kill -SEGV $$", "try the CPU"),
        (
            "echo 'first line' >&2; echo 'error: no more room' >&2; exit 3",
            "exit code 3; it said last: first line\nerror: no more room",
        ),
        (
            "echo '{\"event\":\"failed\",\"message\":\"the loss is not finite at step 7\"}'; exit 1",
            "the loss is not finite at step 7",
        ),
        (
            "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo '{\"event\":\"finished\",\"message\":\"fine\"}'; exit 1",
            "exit code 1",
        ),
    ] {
        let mut studio = trainable(body);
        let job = studio.job(start("r"));
        assert_eq!(job.state, JobState::Failed, "{body}");
        assert!(job.message.contains(words), "{body}: {}", job.message);
    }
    let mut studio = Studio::with_program(Path::new("/nonexistent/program"));
    studio.add_class("cat");
    for image in studio.add_pictures(2) {
        studio.run(Command::SetState { image, state: ReviewState::Background });
    }
    let job = studio.job(start("r"));
    assert!(job.message.contains("/nonexistent/program could not be started"), "{}", job.message);
}

#[test]
fn a_run_that_is_stopped_keeps_its_checkpoint() {
    let mut studio = trainable(
        r#"
echo '{"event":"progress","stage":"training","done":1,"total":20}'
while [ ! -e "$run/STOP" ]; do sleep 0.02; done
echo x > "$run/checkpoints/ckpt-00000003.safetensors"
echo '{"event":"finished","message":"stopped at step 3"}'
"#,
    );
    let id = studio.run(start("r")).job.expect("a job");
    wait_until(&mut studio.session, "training", |s| s.job(id).is_some_and(|j| j.stage == "training"));
    assert!(studio.refuse(start("r")).contains("at work already"));
    studio.run(Command::StopTraining { run: "r".into() });
    assert_eq!(studio.session.job(id).map(|j| j.state), Some(JobState::Stopping));
    let job = studio.end_of(id);
    assert_eq!((job.state, job.message.as_str()), (JobState::Stopped, "stopped at step 3"));
    studio.run(Command::DismissJob { job: id });
    assert!(studio.session.job(id).is_none());
    assert!(studio.refuse(Command::StopJob { job: id }).contains("done already"));
}

#[test]
fn a_child_that_does_not_answer_is_ended() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = folder.path().join("program");
    script(
        &program,
        "trap '' TERM\necho '{\"event\":\"progress\",\"stage\":\"deaf\",\"done\":0,\"total\":1}'\nwhile :; do sleep 0.05; done",
    );
    let child = ChildJob {
        program,
        args: Vec::new(),
        folder: folder.path().to_owned(),
        progress_file: folder.path().join("out"),
        error_file: folder.path().join("err"),
        stop_file: Some(folder.path().join("STOP")),
        grace: Duration::from_millis(200),
    };
    let mut jobs = Jobs::new(crate::job::Waker::default());
    let id = jobs.start(JobKind::Train { run: "r".into() }, "starting", move |context| child.run(context));
    let deadline = std::time::Instant::now() + LONG;
    while jobs.views()[0].state.is_active() {
        jobs.poll();
        if jobs.views()[0].stage == "deaf" {
            jobs.stop(id);
        }
        assert!(std::time::Instant::now() < deadline, "it does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(jobs.views()[0].state, JobState::Stopped);
    assert!(jobs.views()[0].message.contains("did not answer"), "{}", jobs.views()[0].message);
    assert!(folder.path().join("STOP").exists());
}

#[test]
fn training_outlives_the_window_and_the_next_one_finds_it() {
    let mut studio = trainable(
        r#"
now=$(date +%s)
printf '{"pid":%s,"state":"running","started":%s,"updated":%s,"step":2,"num_steps":20,"device":"CPU","reason":""}' $$ $now $now > "$run/run.json"
echo '{"event":"progress","stage":"training","done":2,"total":20}'
while [ ! -e "$run/STOP" ]; do sleep 0.02; echo '{"event":"progress","stage":"training","done":2,"total":20}'; done
echo done > "$run/outlived"
sleep 0.2
"#,
    );
    let id = studio.run(start("r")).job.expect("a job");
    wait_until(&mut studio.session, "training", |s| s.job(id).is_some_and(|j| j.stage == "training"));
    studio.run(Command::CloseProject);
    assert!(studio.session.jobs().is_empty());

    let mut next = studio.reopen();
    wait_until(&mut next, "the running run", |s| s.run("r").is_some_and(|r| r.state == RunState::Running));
    assert_eq!(next.run("r").and_then(|r| r.info.as_ref()).map(|i| i.step), Some(2));
    let again = next.handle(start("r")).expect_err("it is at work").to_string();
    assert!(again.contains("at work already"), "{again}");
    next.handle(Command::StopTraining { run: "r".into() }).expect("asked");
    let outlived = studio.project().join("runs/r/outlived");
    wait_until(&mut next, "the end", |_| outlived.exists());
    wait_until(&mut next, "its state", |s| s.run("r").is_some_and(|r| r.state == RunState::Failed));
    assert!(next.run("r").is_some_and(|r| r.reason.contains("interrupted at step 2")));
}

#[test]
fn news_wake_the_window() {
    let mut studio = Studio::new();
    let woken = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = woken.clone();
    studio.session.on_news(move || {
        counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    });
    studio.add_pictures(3);
    assert!(woken.load(std::sync::atomic::Ordering::Relaxed) > 0);
}
