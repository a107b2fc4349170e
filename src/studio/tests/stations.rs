//! The other stations, the start screen, the palette and the sheet of keys.

use super::*;
use crate::stations::Station;
use egui::{Event, Key};

#[test]
fn ctrl_and_a_number_go_to_the_stations() {
    let mut bench = Bench::new(1);
    for (key, station) in [Key::Num2, Key::Num3, Key::Num4, Key::Num5, Key::Num1].into_iter().zip([
        Station::Labels,
        Station::Pipeline,
        Station::Train,
        Station::Review,
        Station::Annotate,
    ]) {
        bench.ctrl(key);
        assert_eq!(bench.studio().station(), station);
    }
}

/// What the marks beside the text say.
fn marks(bench: &Bench) -> Vec<String> {
    let labels = bench.harness.query_all_by(|node| node.role() == egui::Role::Label);
    labels.filter_map(|node| node.value()).filter(|text| text.starts_with("Line ") && text.contains(": ")).collect()
}

#[test]
fn a_mistake_in_the_label_map_is_marked_at_its_line() {
    let mut bench = Bench::new(1);
    bench.ctrl(Key::Num2);
    let editor = bench.harness.get_by_label("Text of the label map");
    editor.focus();
    bench.settle();
    bench.ctrl(Key::End);
    let on_disk = bench.studio().session().label_map_text().to_owned();
    bench.harness.event(Event::Text("item { id: 1 name: 'bird' }\n".into()));
    bench.settle();
    let found = marks(&bench);
    assert_eq!(found.len(), 1);
    let last = on_disk.lines().count() + 1;
    assert!(found[0].starts_with(&format!("Line {last}: ")), "{found:?}");
    // The text is not saved while nobody says so, and not with an error in it either.
    assert_eq!(bench.studio().session().label_map_text(), on_disk);
    bench.ctrl(Key::S);
    assert_eq!(bench.studio().session().label_map_text(), on_disk);
    assert!(bench.studio().notices().iter().any(|text| text.contains("label_map.pbtxt")));
}

#[test]
fn a_good_label_map_is_saved_with_ctrl_s() {
    let mut bench = Bench::new(1);
    bench.ctrl(Key::Num2);
    bench.harness.get_by_label("Text of the label map").focus();
    bench.settle();
    bench.ctrl(Key::End);
    bench.harness.event(Event::Text("item {\n  id: 7\n  name: 'bird'\n}\n".into()));
    bench.settle();
    bench.ctrl(Key::S);
    let id = bench.studio().session().label_map().by_name("bird").expect("it was saved").id;
    assert_eq!(id, label(7));
}

#[test]
fn a_pipeline_is_made_from_the_template_and_its_mistakes_are_shown() {
    let mut bench = Bench::new(1);
    bench.ctrl(Key::Num3);
    bench.click_name("New from the template");
    assert!(bench.studio().session().pipeline_text().contains("ssd"));
    bench.harness.get_by_label("Text of the pipeline").focus();
    bench.settle();
    bench.ctrl(Key::Home);
    bench.harness.event(Event::Text("modell { }\n".into()));
    bench.settle();
    assert_eq!(marks(&bench).len(), 1);
}

/// A run with two detections, one on the box and one on nothing.
fn with_run(bench: &mut Bench) {
    bench.draw((20.0, 30.0), (100.0, 90.0));
    let path = bench.studio().session().images()[0].path.clone();
    let dir = run_dir(&bench.dir, "run-1");
    std::fs::create_dir_all(dir.join("eval")).expect("a folder");
    let info = r#"{"pid":1,"state":"finished","started":1,"updated":2,"step":10,"num_steps":10,"device":"CPU"}"#;
    std::fs::write(dir.join("run.json"), info).expect("written");
    let metrics = concat!(
        r#"{"step":10,"seconds":1.0,"kind":"train","values":{"Loss/total_loss":1.5,"learning_rate":0.01}}"#,
        "\n",
        r#"{"step":10,"seconds":2.0,"kind":"eval","values":{"DetectionBoxes_Precision/mAP@.50IOU":0.875}}"#,
        "\n"
    );
    std::fs::write(dir.join("metrics.jsonl"), metrics).expect("written");
    let detections = serde_json::json!({"step": 10, "images": [{"image": path, "detections": [
        {"label": 1, "score": 0.9, "bounds": {"ymin": 0.25, "xmin": 0.125, "ymax": 0.75, "xmax": 0.625}},
        {"label": 2, "score": 0.4, "bounds": {"ymin": 0.0, "xmin": 0.7, "ymax": 0.3, "xmax": 0.9}},
    ]}]});
    std::fs::write(dir.join("eval/detections-10.json"), detections.to_string()).expect("written");
    for _ in 0..200 {
        bench.harness.run_steps(1);
        if bench.studio().session().runs().iter().any(|run| run.detections.is_some() && !run.metrics.is_empty()) {
            return;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("the run was not found: {:?}", bench.studio().session().runs());
}

#[test]
fn the_threshold_answers_at_once() {
    let mut bench = Bench::new(1);
    with_run(&mut bench);
    bench.ctrl(Key::Num5);
    let counts = |bench: &Bench| {
        let total = bench.studio().review().total();
        (total.true_positives, total.false_positives, total.false_negatives)
    };
    assert_eq!(counts(&bench), (1, 0, 0));
    for (threshold, expected) in [(0.3, (1, 1, 0)), (0.95, (0, 0, 1)), (0.5, (1, 0, 0))] {
        bench.harness.get_by_role_and_label(egui::Role::Slider, "Threshold").set_value_accesskit(threshold);
        bench.settle();
        assert!((f64::from(bench.studio().review().threshold()) - threshold).abs() < 0.006);
        assert_eq!(counts(&bench), expected, "at {threshold}");
    }
    bench.click_name("Fix in Annotate");
    assert_eq!(bench.studio().station(), Station::Annotate);
}

#[test]
fn a_run_shows_its_numbers() {
    let mut bench = Bench::new(1);
    with_run(&mut bench);
    bench.ctrl(Key::Num4);
    assert!(bench.harness.query_by_label("Run run-1, Finished").is_some());
    assert!(bench.harness.query_by_label("87.5 %").is_some());
    assert!(bench.harness.query_by_label("Total loss").is_some());
}

#[test]
fn the_palette_runs_what_is_typed() {
    let mut bench = Bench::new(1);
    bench.ctrl(Key::K);
    bench.harness.event(Event::Text("go to train".into()));
    bench.settle();
    bench.press(Key::Enter);
    assert_eq!(bench.studio().station(), Station::Train);
    bench.ctrl(Key::K);
    bench.press(Key::Escape);
    assert!(bench.harness.query_by_label("Palette").is_none());
}

#[test]
fn the_sheet_of_keys_opens_and_closes() {
    let mut bench = Bench::new(1);
    bench.press(Key::Questionmark);
    assert!(bench.harness.query_by_label("Close the keys").is_some());
    bench.press(Key::Escape);
    assert!(bench.harness.query_by_label("Close the keys").is_none());
}

#[test]
fn an_empty_project_says_the_next_step() {
    let mut bench = Bench::new(0);
    assert!(bench.harness.query_all_by_label("Add a folder…").count() > 0);
    for key in [Key::Num2, Key::Num3, Key::Num4, Key::Num5] {
        bench.ctrl(key);
    }
    assert_eq!(bench.studio().station(), Station::Review);
}

#[test]
fn without_a_project_there_is_a_start_screen_and_a_typed_path_opens_one() {
    let bench = Bench::new(1);
    let session = Session::with_config_dir(PathBuf::from("/bin/false"), None);
    let mut harness = window(session);
    harness.run_steps(4);
    assert!(harness.query_by_label("New project…").is_some());
    harness.get_by_label("Path of a folder").focus();
    harness.run_steps(2);
    harness.event(Event::Text(bench.dir.display().to_string()));
    harness.run_steps(2);
    harness.key_press(Key::Enter);
    harness.run_steps(4);
    assert_eq!(harness.state().session().images().len(), 1);
}

#[test]
fn an_error_is_shown_and_stays() {
    let session = Session::with_config_dir(PathBuf::from("/bin/false"), None);
    let mut harness = window(session);
    harness.state_mut().open(PathBuf::from("/nonexistent/project"));
    harness.run_steps(4);
    let notices = harness.state().notices();
    assert!(notices.iter().any(|text| text.contains("/nonexistent/project")), "{notices:?}");
}

#[test]
fn the_smallest_window_at_twice_the_scale_still_works() {
    let bench = Bench::new(2);
    let session = bench.reopened();
    let mut harness = Harness::builder()
        .with_size(crate::theme::size::MIN_WINDOW)
        .with_pixels_per_point(2.0)
        .build_eframe(|cc| Studio::new(&cc.egui_ctx, session));
    harness.run_steps(4);
    for key in [Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5] {
        harness.key_press_modifiers(egui::Modifiers::COMMAND, key);
        harness.run_steps(3);
        let screen = egui::Rect::from_min_size(Pos2::ZERO, crate::theme::size::MIN_WINDOW);
        for name in ["Annotate", "Labels", "Pipeline", "Train", "Review", "All commands"] {
            let button = harness.get_all_by_role_and_label(egui::Role::Button, name).next().expect("in the top bar");
            assert!(screen.contains_rect(button.rect()), "{name} is off the screen");
        }
    }
}
