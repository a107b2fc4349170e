//! Preflight and counts.

use boxwright_core::{ReviewState, Severity, Split};

use super::*;
use crate::{check_path, stats};

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
