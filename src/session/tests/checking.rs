//! Preflight and counts.

use boxwright_config::check::DeviceMemory;
use boxwright_config::template::templates;
use boxwright_core::{ReviewState, Severity, Split};

use super::*;
use crate::{SessionError, check_config, check_path, new_config, stats};

fn check(path: &Path) -> Vec<Problem> {
    check_path(path, &mut ()).expect("it can be checked")
}

#[test]
fn a_sound_project_has_no_problems() {
    let mut studio = Studio::new();
    let images = studio.add_pictures(4);
    let label = studio.add_class("cat");
    for image in &images {
        studio.draw(*image, label, PixelBox::new(1.0, 1.0, 30.0, 30.0));
    }
    studio.run(Command::AutoSplit { val_percent: 25.0 });
    let values = Box::new(studio.session.template_values());
    studio.run(Command::NewPipeline { values });
    assert_eq!(check(&studio.project()), []);
    let counted = stats(&studio.project(), &mut ()).expect("counted");
    assert_eq!(
        serde_json::to_string(&counted).expect("serializes"),
        r#"{"images":4,"boxes":4,"empty":0,"classes":{"cat":4}}"#
    );
    assert_eq!((counted.splits[&Split::Train], counted.splits[&Split::Val], counted.missing), (3, 1, 0));
}

#[test]
fn what_is_wrong_with_a_project_is_found() {
    let mut studio = Studio::new();
    assert_eq!(codes(&check(&studio.project())), ["no-label-map", "no-images"]);
    let images = studio.add_pictures(6);
    let (cat, dog) = (studio.add_class("cat"), studio.add_class("dog"));
    for image in &images[..5] {
        studio.draw(*image, cat, PixelBox::new(1.0, 1.0, 30.0, 30.0));
    }
    studio.draw(images[0], cat, PixelBox::new(1.0, 1.0, 30.0, 30.0));
    studio.draw(images[1], dog, PixelBox::new(1.0, 1.0, 30.0, 30.0));
    studio.run(Command::SetSplit { images: images.clone(), split: Split::Train });
    std::fs::write(studio.project().join("label_map.pbtxt"), "item { id: 1 name: 'cat' }").expect("written");
    std::fs::write(studio.project().join("pipeline.config"), "model {\n  nonsense: 1\n}").expect("written");
    std::fs::remove_file(studio.path("pictures/2.png")).expect("removed");
    picture(&studio.path("pictures/3.png"), 50, 50, 3);
    picture(&studio.path("pictures/4.png"), 100, 80, 99);
    let problems = check(&studio.project());
    let mut found = codes(&problems);
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "duplicate-box",
            "empty-split",
            "image-changed",
            "image-changed",
            "label-not-in-map",
            "missing-image",
            "not-annotated",
            "unknown-field"
        ]
    );
    assert!(problem(&problems, "unknown-field").place.starts_with("line 2"));
    assert!(problem(&problems, "missing-image").file.ends_with("2.png"));
    let counted = stats(&studio.project(), &mut ()).expect("counted");
    assert_eq!((counted.missing, counted.empty), (1, 1));
    assert_eq!(counted.classes, [("cat".into(), 6), ("id 2".into(), 1)]);
}

#[test]
fn the_same_picture_on_both_sides_is_told() {
    let mut studio = Studio::new();
    picture(&studio.path("p/a.png"), 20, 20, 1);
    std::fs::copy(studio.path("p/a.png"), studio.path("p/b.png")).expect("copied");
    studio.job(Command::AddImages { paths: vec![studio.path("p")] });
    studio.add_class("cat");
    let images: Vec<_> = studio.session.images().iter().map(|i| i.id).collect();
    for (image, split) in images.into_iter().zip([Split::Train, Split::Val]) {
        studio.run(Command::SetState { image, state: ReviewState::Background });
        studio.run(Command::SetSplit { images: vec![image], split });
    }
    assert_eq!(codes(&check(&studio.project())), ["train-val-overlap"]);
}

#[test]
fn files_are_checked_by_what_they_are() {
    let studio = Studio::new();
    let file = |name: &str, text: &str| {
        let path = studio.path(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    let map = check(&file("m.pbtxt", "item { id: 1 name: 'a' }\nitem { id: 1 name: 'b' }"));
    assert!(map[0].place.starts_with("line 2") && map[0].severity == Severity::Error, "{map:?}");
    assert_eq!(check(&file("ok.pbtxt", "item { id: 1 name: 'a' }")), []);
    let config = check(&file("p.config", "train_config {\n batch_sise: 4\n}"));
    assert!(config[0].fix.contains("batch_size"), "{config:?}");
    let record = check(&file("x.record", "this is no record file at all, whatever its name says"));
    assert_eq!(record.len(), 1);
    assert_eq!(codes(&check(&studio.path("no-*.record"))), ["unreadable-records"]);
    assert!(check_path(&studio.path("nowhere"), &mut ()).is_err());

    picture(&studio.path("photos/a.jpg"), 200, 200, 1);
    assert_eq!(check(&studio.path("photos")), []);
    let whole = std::fs::read(studio.path("photos/a.jpg")).expect("read");
    std::fs::write(studio.path("photos/b.jpg"), &whole[..whole.len() / 2]).expect("written");
    assert_eq!(codes(&check(&studio.path("photos"))), ["truncated-image"]);
    assert_eq!(codes(&check(&studio.path("photos/b.jpg"))), ["truncated-image"]);
    voc(&studio.path("photos/a.xml"), "a.jpg", (200, 200), &[("cat", 5, 5, 5, 9)]);
    assert!(codes(&check(&studio.path("photos"))).contains(&"degenerate-box"));
    std::fs::create_dir(studio.path("nothing")).expect("made");
    assert!(check_path(&studio.path("nothing"), &mut ()).is_err());
}

#[test]
fn a_config_is_made_for_the_data_and_fits_them() {
    let mut studio = Studio::new();
    let images = studio.add_pictures(5);
    let label = studio.add_class("cat");
    for (i, image) in images.iter().enumerate() {
        // Long things, for which the usual anchors are not made.
        let y = 3.0 * i as f64;
        studio.draw(*image, label, PixelBox::new(y, 1.0, y + 6.0, 50.0));
    }
    studio.run(Command::AutoSplit { val_percent: 20.0 });
    let made = new_config("ssd_mobilenet_v1", &studio.project(), None, Some("start.ckpt"), None).expect("made");
    assert!(
        made.text.contains("fine_tune_checkpoint: \"start.ckpt\"") && made.text.contains("batch_size: 4"),
        "{made:?}"
    );
    assert!(made.notes.iter().any(|note| note.starts_with("anchors made for these boxes")), "{:?}", made.notes);
    let made = new_config("ssd_mobilenet_v1", &studio.project(), None, None, None).expect("made");
    let file = studio.project().join("pipeline.config");
    std::fs::write(&file, &made.text).expect("written");
    let report = check_config(&file, Some(&studio.project()), None, &mut ()).expect("checked");
    assert_eq!(report.problems, []);
    // Beside the project's own, and somewhere else: there the paths begin at the project.
    let text_in =
        |file: &Path| new_config("ssd_mobilenet_v1", &studio.project(), Some(file), None, None).expect("made").text;
    assert_eq!(text_in(&file), made.text);
    let elsewhere = studio.project().join("runs");
    std::fs::create_dir_all(&elsewhere).expect("a folder");
    let text = text_in(&elsewhere.join("a.config"));
    let label_map = studio.project().canonicalize().expect("a project").join("label_map.pbtxt");
    assert_eq!(text.matches(&format!("label_map_path: \"{}\"", label_map.display())).count(), 2, "{text}");
    assert_eq!(codes(&report.outlook), ["anchors-fit", "memory-estimate", "epochs"]);
    assert!(report.fields.len() > 50 && report.anchors.is_some_and(|anchors| anchors.boxes == 4));

    // The same from the records that training writes.
    let project = boxwright_store::Project::open(&studio.project()).expect("a project");
    crate::ensure_records(&project, &mut ()).expect("written");
    let report = check_config(&file, None, None, &mut ()).expect("checked");
    assert_eq!(report.problems, []);
    assert!(report.anchors.is_some_and(|anchors| anchors.boxes == 4 && anchors.groups[0].class == "cat"));
    std::fs::write(studio.project().join("label_map.pbtxt"), "item { id: 1 name: 'dog' }").expect("written");
    let report = check_config(&file, None, None, &mut ()).expect("checked");
    let told = problem(&report.problems, "label-not-in-map");
    assert!(told.message.contains("\"cat\"") && told.place.starts_with("line "), "{told}");
    std::fs::remove_file(studio.project().join("records/train.record-00000-of-00001")).expect("removed");
    let report = check_config(&file, None, None, &mut ()).expect("checked");
    assert!(codes(&report.problems).contains(&"missing-file"), "{:?}", report.problems);

    let error = new_config("yolo", &studio.project(), None, None, None).expect_err("not made").to_string();
    assert!(error.contains("ssd_mobilenet_v1"), "{error}");
    for info in templates().into_iter().filter(|info| info.refused.is_some()) {
        let error = new_config(info.name, &studio.project(), None, None, None).expect_err("not made");
        assert!(matches!(error, SessionError::NotTrainable(_)), "{error}");
    }
    let memory = DeviceMemory { device: "a small machine".into(), bytes: 900 << 20 };
    let made = new_config("ssd_resnet50_v1_fpn", &studio.project(), None, None, Some(&memory)).expect("made");
    assert!(made.notes.iter().any(|note| note.contains("a small machine")), "{:?}", made.notes);
    assert!(made.text.contains("batch_size: 1"), "{}", made.text);
}
