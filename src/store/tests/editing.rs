//! Images, boxes, the journal and the ledger.

use boxwright_core::document::EditError;
use boxwright_core::{BoxFlags, Edit, ImageId, ReviewState, Split, Transaction};
use proptest::prelude::*;

use super::*;
use crate::{ImportOutcome, StoreError};

#[test]
fn what_is_written_is_there_when_opened_again() {
    let Home { dir, mut project } = home();
    let image = add(&mut project, "images/a.jpg");
    let mut drawn = draw(&mut project, image, 3.125);
    let mut after = drawn.clone();
    after.flags = BoxFlags { difficult: true, occluded: true, ..BoxFlags::default() };
    after.label = label(7);
    project.apply(&edit(image, vec![Edit::Change { before: drawn, after: after.clone() }])).expect("changed");
    drawn = after;
    project.set_split(&[image], Split::Val).expect("split");
    project.set_setting("theme", Some("dark")).expect("kept");
    drop(project);

    let mut project = reopen(dir.path());
    assert_eq!(project.boxes(image).expect("read"), vec![drawn.clone()]);
    assert_eq!(project.all_boxes().expect("read")[&image], vec![drawn]);
    let entry = project.image(image).expect("read");
    assert_eq!((entry.split, entry.boxes, entry.path.as_str()), (Split::Val, 1, "images/a.jpg"));
    assert_eq!(project.setting("theme").expect("read").as_deref(), Some("dark"));
    project.set_setting("theme", None).expect("forgotten");
    assert_eq!(project.setting("theme").expect("read"), None);
}

#[test]
fn a_number_is_never_given_twice() {
    let Home { dir, mut project } = home();
    let image = add(&mut project, "a.jpg");
    let first = draw(&mut project, image, 0.0);
    project.apply(&edit(image, vec![Edit::Remove { annotation: first.clone() }])).expect("removed");
    drop(project);
    let mut project = reopen(dir.path());
    let second = draw(&mut project, image, 0.0);
    assert!(second.id > first.id);
    let imported = [new_image("b.jpg", &[(1, 5.0)])];
    let outcome = project.import(&import(&imported)).expect("imported")[0];
    assert!(project.boxes(outcome.image()).expect("read")[0].id > second.id);
}

#[test]
fn an_edit_of_something_else_than_was_seen_is_refused_and_changes_nothing() {
    let Home { dir, mut project } = home();
    let image = add(&mut project, "a.jpg");
    let seen = draw(&mut project, image, 0.0);
    let mut moved = seen.clone();
    moved.bounds = bounds(50.0);
    let mut other_window = reopen(dir.path());
    let before = project.foreign_version().expect("read");
    other_window
        .apply(&edit(image, vec![Edit::Change { before: seen.clone(), after: moved.clone() }]))
        .expect("the other window moves it");
    assert_ne!(project.foreign_version().expect("read"), before);

    let lines = project.journal(100).expect("read").len();
    let two = vec![
        Edit::SetState { before: ReviewState::New, after: ReviewState::Verified },
        Edit::Remove { annotation: seen },
    ];
    let error = project.apply(&edit(image, two)).expect_err("it was moved meanwhile");
    assert!(matches!(&error, StoreError::Edit(EditError { what, .. }) if what.contains("elsewhere")), "{error}");
    assert_eq!(project.boxes(image).expect("read"), vec![moved]);
    assert_eq!(project.image(image).expect("read").state, ReviewState::New);
    assert_eq!(project.journal(100).expect("read").len(), lines);
}

#[test]
fn the_journal_holds_each_transaction_as_it_was_made() {
    let Home { mut project, .. } = home();
    let image = add(&mut project, "a.jpg");
    let drawn = draw(&mut project, image, 4.0);
    let newest = project.journal(1).expect("read").remove(0);
    assert_eq!(newest.image, Some(image));
    assert!(newest.time > 1_500_000_000_000);
    let parsed: Transaction = serde_json::from_str(&newest.what).expect("JSON");
    assert_eq!(parsed, edit(image, vec![Edit::Add { annotation: drawn }]));
}

#[test]
fn an_unknown_image_is_an_error() {
    let Home { mut project, .. } = home();
    let absent = ImageId(99);
    assert!(matches!(project.image(absent), Err(StoreError::UnknownImage(_))));
    assert!(matches!(project.apply(&edit(absent, Vec::new())), Err(StoreError::UnknownImage(_))));
    let present = add(&mut project, "a.jpg");
    assert!(matches!(project.set_split(&[present, absent], Split::Test), Err(StoreError::UnknownImage(_))));
    assert_eq!(project.image(present).expect("read").split, Split::Unassigned);
}

#[test]
fn an_import_keeps_work_that_is_there() {
    let Home { mut project, .. } = home();
    let touched = add(&mut project, "touched.jpg");
    let drawn = draw(&mut project, touched, 1.0);
    let untouched = add(&mut project, "untouched.jpg");
    let mut images =
        vec![new_image("touched.jpg", &[(1, 9.0)]), new_image("untouched.jpg", &[(1, 9.0)]), new_image("new.jpg", &[])];
    images[1].split = Split::Train;
    let outcomes = project.import(&import(&images)).expect("imported");
    assert_eq!(outcomes[0], ImportOutcome::Kept(touched));
    assert_eq!(outcomes[1], ImportOutcome::Filled(untouched));
    assert!(matches!(outcomes[2], ImportOutcome::Added(_)));
    assert_eq!(project.boxes(touched).expect("read"), vec![drawn]);
    let listed = project.images().expect("read");
    assert_eq!(listed.iter().map(|i| i.boxes).collect::<Vec<_>>(), [1, 1, 0]);
    assert_eq!((listed[1].split, listed[1].state), (Split::Train, ReviewState::Annotated));
    // The same again changes nothing.
    project.import(&import(&images)).expect("imported");
    assert_eq!(project.images().expect("read")[..2], listed[..2]);
}

#[test]
fn an_id_is_never_handed_on() {
    let Home { mut project, .. } = home();
    let two = labels(&["cat", "dog"]);
    project.register_labels(&two, &[]).expect("entered");
    project.register_labels(&two, &[]).expect("nothing new");
    assert_eq!(project.ledger().expect("read").len(), 2);

    let stolen = labels(&["cat", "horse"]);
    let error = project.register_labels(&stolen, &[]).expect_err("2 is the dog's");
    assert!(matches!(&error, StoreError::LabelIdTaken { free: 3, .. }), "{error}");
    assert!(error.to_string().contains("\"dog\"") && error.to_string().contains("id 3"), "{error}");
    assert_eq!(project.ledger().expect("read").len(), 2);

    project.check_labels(&stolen, &[label(2)]).expect("a rename is allowed");
    project.register_labels(&stolen, &[label(2)]).expect("renamed");
    assert!(project.check_labels(&two, &[]).is_err(), "the id has its new name now");
    assert_eq!(project.next_label_id(&labels(&["cat"])).expect("read"), Some(label(3)), "a deleted class keeps its id");
    let refused = project.connection.execute("DELETE FROM label_ledger", []).expect_err("it only grows");
    assert!(refused.to_string().contains("only grows"));
}

#[test]
fn an_import_that_steals_an_id_leaves_nothing_behind() {
    let Home { mut project, .. } = home();
    project.register_labels(&labels(&["cat"]), &[]).expect("entered");
    let images = [new_image("a.jpg", &[(1, 0.0)])];
    let import = Import { images: &images, labels: labels(&["dog"]), name: "test".into() };
    assert!(project.import(&import).is_err());
    assert!(project.images().expect("read").is_empty());
}

#[test]
fn paths_are_relative_where_that_is_possible() {
    let outer = tempfile::tempdir().expect("a temporary folder");
    let dir = outer.path().join("study").join("my project");
    let project = Project::create(&dir).expect("a new project");
    let photos = outer.path().join("study/photos");
    for folder in [&photos, &dir.join("images/more")] {
        std::fs::create_dir_all(folder).expect("made");
    }
    let far = tempfile::tempdir().expect("a temporary folder");
    let stored = |path: &Path| project.stored_path(path).expect("stored");
    assert_eq!(stored(&dir.join("images/more/ä b.jpg")), "images/more/ä b.jpg");
    assert_eq!(stored(&photos.join("a.jpg")), "../photos/a.jpg");
    assert_eq!(stored(&dir.join("images/../images/x.jpg")), "images/x.jpg");
    let absolute = stored(&far.path().join("a.jpg"));
    assert!(Path::new(&absolute).is_absolute());
    assert_eq!(project.resolve("images/x.jpg"), dir.join("images/x.jpg"));
    assert_eq!(project.resolve(&absolute), Path::new(&absolute));
    assert!(matches!(project.stored_path(&dir.join("nowhere/a.jpg")), Err(StoreError::Io { .. })));
}

#[test]
fn the_fingerprint_follows_the_data_and_not_the_numbers() {
    let Home { mut project, .. } = home();
    let images = [new_image("a.jpg", &[(1, 0.0)]), new_image("b.jpg", &[(2, 3.0), (1, 9.0)])];
    project.import(&import(&images)).expect("imported");
    let Home { dir: other_dir, project: mut other } = home();
    other.next_box_ids(10).expect("reserved");
    let reversed = [images[1].clone(), images[0].clone()];
    other.import(&import(&reversed)).expect("imported");
    let hash = |project: &Project| project.content_hash().expect("read");
    assert_eq!(hash(&project), hash(&other));

    let before = hash(&other);
    let image = other.images().expect("read")[0].id;
    other.set_split(&[image], Split::Val).expect("split");
    let split = hash(&other);
    assert_ne!(before, split);
    draw(&mut other, image, 77.0);
    let drawn = hash(&other);
    assert_ne!(split, drawn);
    std::fs::write(other_dir.path().join("label_map.pbtxt"), "item { id: 1 name: 'cat' }").expect("written");
    assert_ne!(drawn, hash(&other));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is done, the database holds what the document holds, and undoing all of it brings
    /// the boxes back, numbers and order included.
    #[test]
    fn the_database_follows_the_document(steps in proptest::collection::vec((0u8..4, 0usize..8, 0.0..400.0f64), 1..16)) {
        let Home { dir, mut project } = home();
        let image = add(&mut project, "a.jpg");
        draw(&mut project, image, 1.0);
        let start = project.boxes(image).expect("read");
        let mut boxes = start.clone();
        let mut state = ReviewState::New;
        let mut done = Vec::new();
        for (kind, pick, x) in steps {
            let chosen = boxes.get(pick % boxes.len().max(1)).cloned();
            let step = match (kind, chosen) {
                (1, Some(annotation)) => Edit::Remove { annotation },
                (2, Some(before)) => {
                    let mut after = before.clone();
                    after.bounds = bounds(x);
                    after.flags.truncated = !after.flags.truncated;
                    Edit::Change { before, after }
                }
                (3, _) => Edit::SetState { before: state, after: ReviewState::Verified },
                _ => Edit::Add { annotation: annotation(project.next_box_ids(1).expect("an id")[0], x) },
            };
            let transaction = edit(image, vec![step]);
            transaction.apply(&mut boxes, &mut state).expect("fits");
            project.apply(&transaction).expect("written");
            done.push(transaction);
        }
        let mut project = reopen(dir.path());
        prop_assert_eq!(project.boxes(image).expect("read"), boxes);
        prop_assert_eq!(project.image(image).expect("read").state, state);
        for transaction in done.iter().rev() {
            project.apply(&transaction.invert()).expect("undone");
        }
        prop_assert_eq!(project.boxes(image).expect("read"), start);
    }
}
