//! Boxes, marks, undo, labels and the pipeline config.

use boxwright_core::{Annotation, BoxFlags, BoxId, ReviewState, Split};
use boxwright_store::Project;
use proptest::prelude::*;

use super::*;
use crate::SessionError;

const PLACE: PixelBox = PixelBox::new(10.0, 10.0, 40.0, 50.0);

#[test]
fn a_drawn_box_is_on_the_disk_when_the_command_returns() {
    let mut studio = Studio::new();
    let image = studio.add_pictures(1)[0];
    let label = studio.add_class("cat");
    assert_eq!(studio.session.last_saved(), None);
    let id = studio.draw(image, label, PixelBox::new(-5.0, 10.0, 40.5, 500.0));
    let expected = Annotation { id, label, bounds: PixelBox::new(0.0, 10.0, 40.5, 100.0), flags: BoxFlags::default() };
    assert_eq!(studio.session.boxes(image), std::slice::from_ref(&expected));
    assert!(studio.session.last_saved().is_some());
    assert_eq!((studio.session.images()[0].boxes, studio.session.label_count(label)), (1, 1));
    // The old session is still there and was never closed, as after a kill.
    let other = studio.reopen();
    assert_eq!(other.boxes(image), [expected]);
    assert_eq!(other.images()[0].state, ReviewState::Annotated);
    assert_eq!(other.label_map().items()[0].name, "cat");
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let mut studio = Studio::new();
    assert!(
        studio
            .refuse(Command::AddBox { image: ImageId(9), label: LabelId::new(1).expect("an id"), bounds: PLACE })
            .contains("image 9")
    );
    let image = studio.add_pictures(1)[0];
    let label = studio.add_class("cat");
    for bounds in [
        PixelBox::new(10.0, 10.0, 10.0, 50.0),
        PixelBox::new(200.0, 200.0, 300.0, 300.0),
        PixelBox::new(f64::NAN, 0.0, 5.0, 5.0),
        PixelBox::new(40.0, 40.0, 10.0, 10.0),
    ] {
        assert!(studio.refuse(Command::AddBox { image, label, bounds }).contains("no area"));
    }
    let other = LabelId::new(7).expect("an id");
    assert!(studio.refuse(Command::AddBox { image, label: other, bounds: PLACE }).contains("no class with id 7"));
    assert!(studio.refuse(Command::RemoveBoxes { image, ids: vec![BoxId(5)] }).contains("box 5"));
    assert!(studio.refuse(Command::Undo).contains("nothing to undo"));
    assert_eq!(studio.session.boxes(image), []);
    assert_eq!(studio.session.images()[0].state, ReviewState::New);
    studio.run(Command::CloseProject);
    assert!(matches!(studio.session.handle(Command::Undo), Err(SessionError::NoProject)));
    assert!(studio.session.images().is_empty());
}

#[test]
fn marks_follow_the_work() {
    let mut studio = Studio::new();
    let images = studio.add_pictures(2);
    let label = studio.add_class("cat");
    let state = |studio: &Studio, place: usize| studio.session.images()[place].state;
    studio.run(Command::SetState { image: images[0], state: ReviewState::Background });
    let id = studio.draw(images[0], label, PLACE);
    assert_eq!(state(&studio, 0), ReviewState::Annotated);
    assert!(studio.refuse(Command::SetState { image: images[0], state: ReviewState::Background }).contains("1 box,"));
    studio.run(Command::SetState { image: images[0], state: ReviewState::Verified });
    studio.run(Command::RemoveBoxes { image: images[0], ids: vec![id] });
    assert_eq!(state(&studio, 0), ReviewState::Verified, "verified stays verified");
    for expected in [ReviewState::Verified, ReviewState::Annotated, ReviewState::Background, ReviewState::New] {
        studio.run(Command::Undo);
        assert_eq!(state(&studio, 0), expected);
    }
    assert_eq!(studio.session.redo_name(), Some("mark as background"));
    assert_eq!(state(&studio, 1), ReviewState::New);
}

#[test]
fn boxes_are_changed_pasted_and_named_in_undo() {
    let mut studio = Studio::new();
    let images = studio.add_pictures(2);
    let label = studio.add_class("cat");
    studio.draw(images[0], label, PLACE);
    let before = studio.session.boxes(images[0])[0].clone();
    let mut after = before.clone();
    after.flags.difficult = true;
    after.bounds = PLACE.translate(1000.0, 0.0);
    let changes = vec![(before.clone(), after.clone())];
    studio.refuse(Command::ChangeBoxes { image: images[0], name: "move".into(), changes });
    after.bounds = PLACE.translate(5.0, 0.0);
    studio.run(Command::ChangeBoxes {
        image: images[0],
        name: "move".into(),
        changes: vec![(before.clone(), after.clone())],
    });
    assert_eq!(studio.session.boxes(images[0]), [after.clone()]);
    // Nothing changes: nothing to undo is added.
    studio.run(Command::ChangeBoxes {
        image: images[0],
        name: "rest".into(),
        changes: vec![(after.clone(), after.clone())],
    });
    assert_eq!(studio.session.undo_name(), Some("move"));

    let outside = Annotation { bounds: PixelBox::new(500.0, 500.0, 600.0, 600.0), ..after.clone() };
    let boxes = vec![after.clone(), outside.clone()];
    let pasted = studio.run(Command::PasteBoxes { image: images[1], boxes, name: "paste 2 boxes".into() });
    assert_eq!(pasted.created.len(), 1, "a box outside the picture is left out");
    let copy = &studio.session.boxes(images[1])[0];
    assert!(copy.id > after.id && copy.bounds == after.bounds && copy.flags.difficult);
    studio.refuse(Command::PasteBoxes { image: images[1], boxes: vec![outside], name: "paste".into() });
    assert_eq!(studio.run(Command::Undo).image, Some(images[1]));
    assert_eq!(studio.session.boxes(images[1]), []);
    assert_eq!(studio.session.label_count(label), 1);
}

#[test]
fn another_window_is_never_overwritten() {
    let mut studio = Studio::new();
    let image = studio.add_pictures(1)[0];
    let label = studio.add_class("cat");
    studio.draw(image, label, PLACE);
    let seen = studio.session.boxes(image)[0].clone();
    let mut other = studio.reopen();
    let moved = Annotation { bounds: PLACE.translate(3.0, 3.0), ..seen.clone() };
    other
        .handle(Command::ChangeBoxes { image, name: "move".into(), changes: vec![(seen.clone(), moved.clone())] })
        .expect("moved there");
    let further = Annotation { bounds: PLACE.translate(9.0, 9.0), ..seen.clone() };
    let error = studio.refuse(Command::ChangeBoxes { image, name: "move".into(), changes: vec![(seen, further)] });
    assert!(error.contains("changed elsewhere"), "{error}");
    assert_eq!(studio.session.boxes(image), [moved], "what is there is shown");
    assert_eq!(studio.session.undo_name(), None, "what no longer fits is forgotten");

    let new = other.handle(Command::AddBox { image, label, bounds: PLACE }).expect("drawn").created[0];
    wait_until(&mut studio.session, "the other window's box", |s| s.boxes(image).iter().any(|b| b.id == new));
}

#[test]
fn splits_are_kept() {
    let mut studio = Studio::new();
    let images = studio.add_pictures(10);
    studio.run(Command::SetSplit { images: images[..2].to_vec(), split: Split::Test });
    let said = studio.run(Command::AutoSplit { val_percent: 25.0 }).message.expect("told");
    assert_eq!(said, "6 for training, 2 for validation");
    let splits: Vec<_> = studio.reopen().images().iter().map(|i| i.split).collect();
    assert_eq!(splits, studio.session.images().iter().map(|i| i.split).collect::<Vec<_>>());
    assert!(splits[..2].iter().all(|s| *s == Split::Test));
}

#[test]
fn classes_come_and_go_and_their_ids_do_not_return() {
    let mut studio = Studio::new();
    let image = studio.add_pictures(1)[0];
    let (cat, dog) = (studio.add_class("cat"), studio.add_class("dog"));
    studio.draw(image, dog, PLACE);
    assert!(studio.refuse(Command::DeleteClass { id: dog }).contains("\"dog\" still has 1 box"));
    studio.run(Command::DeleteClass { id: cat });
    assert_eq!(studio.add_class("cat").get(), 3);
    studio.run(Command::RenameClass { id: dog, name: "hound".into() });
    assert_eq!(studio.session.label_map().display_name(dog), "hound");
    assert_eq!(studio.session.boxes(image)[0].label, dog);

    let text = studio.session.label_map_text().to_owned();
    let broken = text.replace("id: 3", "id: 2");
    let problems = studio.session.problems_in_label_map(&broken);
    assert_eq!(problems.len(), 1);
    assert!(problems[0].place.starts_with("line "), "{problems:?}");
    assert!(studio.refuse(Command::SaveLabelMap { text: broken }).contains("was not saved"));
    let without = "item { id: 3 name: 'cat' }".to_owned();
    assert_eq!(codes(&studio.session.problems_in_label_map(&without)), ["label-in-use"]);
    studio.refuse(Command::SaveLabelMap { text: without });
    assert_eq!(std::fs::read_to_string(studio.project().join("label_map.pbtxt")).expect("read"), text);
}

#[test]
fn the_pipeline_is_made_checked_and_saved() {
    let mut studio = Studio::new();
    studio.add_class("cat");
    studio.add_class("dog");
    let values = studio.session.template_values();
    assert_eq!(values.num_classes, 2);
    studio.run(Command::NewPipeline { values: Box::new(values) });
    let text = studio.session.pipeline_text().to_owned();
    assert_eq!(studio.session.problems_in_pipeline(&text), []);
    let unknown = text.replacen("batch_size", "batch_sise", 1);
    let problems = studio.session.problems_in_pipeline(&unknown);
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message.contains("batch_sise") && problems[0].place.starts_with("line "), "{problems:?}");
    assert!(studio.refuse(Command::SavePipeline { text: unknown }).contains("batch_sise"));
    assert_eq!(std::fs::read_to_string(studio.project().join("pipeline.config")).expect("read"), text);
    studio.add_class("bird");
    let problems = studio.session.problems_in_pipeline(&text);
    assert!(problems.iter().any(|p| p.message.contains("num_classes") || p.code.contains("classes")), "{problems:?}");
    studio.run(Command::SavePipeline { text: format!("# mine\n{text}") });
    assert!(studio.reopen().pipeline_text().starts_with("# mine"));
}

#[test]
fn settings_belong_to_the_person_or_the_project() {
    let config = tempfile::tempdir().expect("a temporary folder");
    let project = config.path().join("p");
    let mut session = Session::with_config_dir("/bin/false".into(), Some(config.path()));
    session.handle(Command::SetSetting { key: "theme".into(), value: "light".into() }).expect("kept");
    session.handle(Command::NewProject { dir: project.clone() }).expect("made");
    session.handle(Command::SetProjectSetting { key: "layout".into(), value: "x".into() }).expect("kept");
    let mut again = Session::with_config_dir("/bin/false".into(), Some(config.path()));
    assert_eq!(again.setting("theme"), Some("light"));
    assert_eq!(again.recent_projects(), std::slice::from_ref(&project));
    again.handle(Command::OpenProject { dir: project }).expect("opened");
    assert_eq!(again.project_setting("layout").as_deref(), Some("x"));
    assert_eq!(again.project_name().as_deref(), Some("p"));
    assert!(again.handle(Command::OpenProject { dir: config.path().join("nowhere") }).is_err());
    assert!(again.project_dir().is_some(), "the open project stays open");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Whatever is done, undoing all of it brings back the start and redoing all of it the end, in
    /// the session and on the disk.
    #[test]
    fn undo_and_redo_go_all_the_way(steps in proptest::collection::vec((0u8..5, 0usize..6, 0.0..60.0f64), 1..20)) {
        let mut studio = Studio::new();
        let images = studio.add_pictures(2);
        let label = studio.add_class("cat");
        let snapshot = |session: &Session| -> Vec<_> {
            images.iter().map(|id| (session.boxes(*id).to_vec(), session.image(*id).expect("there").state)).collect()
        };
        let start = snapshot(&studio.session);
        let mut done = 0;
        for (kind, pick, x) in steps {
            let image = images[pick % 2];
            let bounds = PLACE.translate(x / 2.0, x / 2.0);
            let chosen = studio.session.boxes(image).get(pick / 2).cloned();
            let command = match (kind, chosen) {
                (1, Some(chosen)) => Command::RemoveBoxes { image, ids: vec![chosen.id] },
                (2, Some(before)) if before.bounds != bounds => {
                    let after = Annotation { bounds, ..before.clone() };
                    Command::ChangeBoxes { image, name: "move".into(), changes: vec![(before, after)] }
                }
                (3, Some(chosen)) => Command::PasteBoxes { image, boxes: vec![chosen], name: "paste".into() },
                (4, _) if studio.session.image(image).expect("there").state != ReviewState::Verified => {
                    Command::SetState { image, state: ReviewState::Verified }
                }
                _ => Command::AddBox { image, label, bounds },
            };
            studio.run(command);
            done += 1;
        }
        let end = snapshot(&studio.session);
        prop_assert_eq!(&snapshot(&studio.reopen()), &end);
        for _ in 0..done {
            studio.run(Command::Undo);
        }
        prop_assert_eq!(&snapshot(&studio.session), &start);
        prop_assert_eq!(studio.session.undo_name(), None);
        prop_assert_eq!(&snapshot(&studio.reopen()), &start);
        for _ in 0..done {
            studio.run(Command::Redo);
        }
        prop_assert_eq!(&snapshot(&studio.session), &end);
        prop_assert_eq!(&snapshot(&studio.reopen()), &end);
        let journal = Project::open(&studio.project()).expect("opens").journal(1000).expect("read");
        prop_assert_eq!(journal.iter().filter(|entry| entry.image.is_some()).count(), done * 3);
    }
}
