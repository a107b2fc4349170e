//! Bringing data in, and what is said about data that cannot be brought in.

use boxwright_core::{ReviewState, Severity, Split};
use boxwright_store::Project;

use super::*;
use crate::{ImportRequest, ImportSplit, JobState, import};

fn request(path: &Path) -> ImportRequest {
    ImportRequest { path: path.to_owned(), ..ImportRequest::default() }
}

/// A folder with one good picture and one for each thing that can be wrong.
fn troubled(folder: &Path) {
    let file = |name: &str| folder.join(name);
    for name in ["good", "degenerate", "unknown", "over", "empty", "broken"] {
        picture(&file(&format!("{name}.jpg")), 60, 40, name.len() as u8);
    }
    let whole = std::fs::read(file("broken.jpg")).expect("read");
    std::fs::write(file("truncated.jpg"), &whole[..whole.len() * 2 / 3]).expect("written");
    let size = (60, 40);
    voc(&file("good.xml"), "good.jpg", size, &[("dog", 5, 5, 20, 20), ("cat", 1, 1, 30, 30)]);
    voc(&file("degenerate.xml"), "degenerate.jpg", size, &[("cat", 1, 1, 9, 9), ("cat", 9, 5, 9, 20)]);
    voc(&file("unknown.xml"), "unknown.jpg", size, &[("racoon", 1, 1, 9, 9), ("cat", 1, 1, 9, 9)]);
    voc(&file("over.xml"), "over.jpg", size, &[("cat", 40, 20, 70, 39)]);
    voc(&file("empty.xml"), "empty.jpg", size, &[]);
    voc(&file("truncated.xml"), "truncated.jpg", size, &[("cat", 1, 1, 9, 9)]);
    voc(&file("missing.xml"), "missing.jpg", size, &[("cat", 1, 1, 9, 9)]);
    std::fs::write(file("broken.xml"), "<annotation>\n<object>").expect("written");
}

#[test]
fn every_trouble_is_told_with_its_place_and_the_rest_goes_on() {
    let mut studio = Studio::new();
    let folder = studio.path("voc");
    troubled(&folder);
    studio.run(Command::SaveLabelMap { text: "item { id: 4 name: 'cat' }\nitem { id: 9 name: 'raccoon' }\n".into() });
    let job = studio.job(Command::Import(request(&folder)));
    assert_eq!(job.state, JobState::Finished, "{}", job.message);
    let problems = &job.problems;

    let unknown = problems.iter().find(|p| p.code == "label-not-in-map" && p.message.contains("racoon")).expect("told");
    assert!(unknown.file.ends_with("unknown.xml"), "{unknown}");
    assert!(unknown.place.starts_with("line 4"), "{unknown}");
    assert!(unknown.fix.contains("\"raccoon\"") && unknown.fix.contains("--add-labels"), "{unknown}");
    let degenerate = problem(problems, "degenerate-box");
    assert!(degenerate.file.ends_with("degenerate.xml") && degenerate.place.starts_with("line 5"), "{degenerate}");
    assert!(problem(problems, "missing-image").file.ends_with("missing.xml"));
    let truncated = problem(problems, "truncated-image");
    assert!(truncated.file.ends_with("truncated.jpg") && truncated.fix.contains("again"), "{truncated}");
    assert_eq!(problem(problems, "box-clipped").severity, Severity::Warning);
    assert!(problem(problems, "unreadable-annotation").file.ends_with("broken.xml"));

    let images: Vec<_> = studio.session.images().iter().map(|i| (i.file_name().to_owned(), i.boxes, i.state)).collect();
    let expected = [
        ("degenerate.jpg", 1, ReviewState::Annotated),
        ("empty.jpg", 0, ReviewState::Background),
        ("good.jpg", 1, ReviewState::Annotated),
        ("over.jpg", 1, ReviewState::Annotated),
        ("unknown.jpg", 1, ReviewState::Annotated),
    ];
    assert_eq!(images, expected.map(|(name, boxes, state)| (name.to_owned(), boxes, state)));
    assert_eq!(
        job.message,
        format!("imported 5 images and 4 boxes; left out 3 images and 4 boxes; {} problems", problems.len())
    );
    assert_eq!(studio.session.label_map().len(), 2, "no class was added");
    assert_eq!(studio.session.boxes(studio.session.images()[2].id)[0].label.get(), 4);
}

#[test]
fn a_project_without_classes_gets_them_by_name() {
    let mut studio = Studio::new();
    let folder = studio.path("voc");
    troubled(&folder);
    studio.job(Command::Import(request(&folder)));
    let names: Vec<_> = studio.session.label_map().items().iter().map(|i| (i.id.get(), i.name.clone())).collect();
    assert_eq!(names, [(1, "cat".into()), (2, "dog".into()), (3, "racoon".into())]);
    // The same again changes nothing, and says so.
    let before = studio.session.images().to_vec();
    let job = studio.job(Command::Import(request(&folder)));
    assert_eq!(studio.session.images(), before);
    assert_eq!(job.problems.iter().filter(|p| p.code == "already-annotated").count(), 5);
}

#[test]
fn classes_are_added_where_that_is_wanted() {
    let mut studio = Studio::new();
    let folder = studio.path("voc");
    troubled(&folder);
    let text = "# ours\nitem { id: 4 name: 'cat' }";
    studio.run(Command::SaveLabelMap { text: text.into() });
    studio.job(Command::Import(ImportRequest { add_labels: true, ..request(&folder) }));
    let names: Vec<_> = studio.session.label_map().items().iter().map(|i| (i.id.get(), i.name.clone())).collect();
    assert_eq!(names, [(4, "cat".into()), (5, "dog".into()), (6, "racoon".into())]);
    assert!(studio.session.label_map_text().starts_with(text));
}

#[test]
fn a_label_map_can_be_brought_along() {
    let mut studio = Studio::new();
    let folder = studio.path("voc");
    troubled(&folder);
    let map = studio.path("map.pbtxt");
    std::fs::write(&map, "# theirs\nitem { id: 7 name: 'dog' }").expect("written");
    let job = studio.job(Command::Import(ImportRequest { label_map: Some(map), ..request(&folder) }));
    assert_eq!(studio.session.label_map_text(), "# theirs\nitem { id: 7 name: 'dog' }");
    assert!(codes(&job.problems).contains(&"label-not-in-map"));
    let with_boxes: Vec<_> = studio.session.images().iter().filter(|i| i.boxes > 0).map(|i| i.file_name()).collect();
    assert_eq!(with_boxes, ["good.jpg"]);
    // What is in the pictures could not be taken over, so they are not background.
    let states: Vec<_> = studio.session.images().iter().map(|i| i.state).collect();
    assert_eq!(states.iter().filter(|s| **s == ReviewState::Background).count(), 1);
    assert_eq!(states.iter().filter(|s| **s == ReviewState::New).count(), 3);
}

#[test]
fn splits_come_from_the_data_set_the_request_or_by_themselves() {
    let mut studio = Studio::new();
    let root = studio.path("voc");
    for number in 0..10u8 {
        picture(&root.join(format!("JPEGImages/{number}.png")), 20, 20, number);
        voc(
            &root.join(format!("Annotations/{number}.xml")),
            &format!("{number}.png"),
            (20, 20),
            &[("cat", 1, 1, 9, 9)],
        );
    }
    std::fs::create_dir_all(root.join("ImageSets/Main")).expect("made");
    std::fs::write(root.join("ImageSets/Main/val.txt"), "0\n1\n").expect("written");
    studio.job(Command::Import(ImportRequest { split: ImportSplit::Auto, ..request(&root) }));
    let splits: Vec<_> = studio.session.images().iter().map(|i| i.split).collect();
    assert_eq!(splits[..2], [Split::Val, Split::Val]);
    assert_eq!(splits[2..].iter().filter(|s| **s == Split::Val).count(), 2, "a fifth of the eight others");
    assert!(!splits.contains(&Split::Unassigned));

    let mut other = Studio::new();
    let list = other.path("list.txt");
    std::fs::write(&list, "3\n4.png\n").expect("written");
    let some = ImportRequest { list: Some(list), split: ImportSplit::To(Split::Test), ..request(&root) };
    other.job(Command::Import(some));
    let images: Vec<_> = other.session.images().iter().map(|i| (i.file_name(), i.split)).collect();
    assert_eq!(images, [("3.png", Split::Test), ("4.png", Split::Test)]);
    assert_eq!("auto".parse(), Ok(ImportSplit::Auto));
    assert_eq!("val".parse(), Ok(ImportSplit::To(Split::Val)));
    assert!("all".parse::<ImportSplit>().is_err() && "coco2".parse::<crate::ImportFormat>().is_err());
}

#[test]
fn nothing_is_left_of_an_import_that_fails() {
    let mut studio = Studio::new();
    let folder = studio.path("voc");
    troubled(&folder);
    // The ledger knows 1 as another class, and the map that is brought along takes it.
    studio.add_class("zebra");
    studio.run(Command::DeleteClass { id: LabelId::new(1).expect("an id") });
    let map = studio.path("map.pbtxt");
    std::fs::write(&map, "item { id: 1 name: 'dog' }").expect("written");
    let text = studio.session.label_map_text().to_owned();
    let job = studio.job(Command::Import(ImportRequest { label_map: Some(map), ..request(&folder) }));
    assert_eq!(job.state, JobState::Failed);
    assert!(job.message.contains("\"zebra\""), "{}", job.message);
    assert!(studio.session.images().is_empty());
    assert_eq!(std::fs::read_to_string(studio.project().join("label_map.pbtxt")).expect("read"), text);

    for (path, what) in [("nowhere", "does not exist"), ("project", "no .xml file")] {
        let job = studio.job(Command::Import(request(&studio.path(path))));
        assert_eq!(job.state, JobState::Failed);
        assert!(job.message.contains(what), "{}", job.message);
    }
}

#[test]
fn a_read_only_project_stays_as_it_is() {
    use std::os::unix::fs::PermissionsExt;
    let studio = Studio::new();
    let folder = studio.path("voc");
    troubled(&folder);
    let project = studio.project();
    let open = |mode| std::fs::set_permissions(&project, std::fs::Permissions::from_mode(mode)).expect("set");
    for file in std::fs::read_dir(&project).expect("listed").flatten() {
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o666)).expect("set");
    }
    std::fs::set_permissions(studio.folder.path(), std::fs::Permissions::from_mode(0o755)).expect("set");
    let names = || {
        let mut names: Vec<_> = std::fs::read_dir(&project).expect("listed").flatten().map(|e| e.file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    open(0o555);
    let error = std::thread::scope(|scope| {
        let import = scope.spawn(|| {
            // SAFETY: they change the file identity of this thread only, so that the folder is closed
            // also where the tests run as root, and touch no memory.
            unsafe {
                libc::setfsgid(65_534);
                libc::setfsuid(65_534);
            }
            // The database itself can be written; the label map beside it cannot.
            let mut project = Project::open(&project)?;
            import(&mut project, &request(&folder), &mut ()).map(drop)
        });
        import.join().expect("no panic").expect_err("refused").to_string()
    });
    open(0o755);
    assert!(error.contains("label_map.pbtxt") || error.contains("read-only"), "{error}");
    assert_eq!(names(), before);
    assert!(studio.reopen().images().is_empty());
}

#[test]
fn a_stopped_import_leaves_nothing() {
    struct Stop;
    impl crate::Watch for Stop {
        fn progress(&mut self, _: &str, _: u64, _: u64) {}
        fn cancelled(&self) -> bool {
            true
        }
    }
    let studio = Studio::new();
    let folder = studio.path("voc");
    troubled(&folder);
    let mut project = Project::open(&studio.project()).expect("opens");
    let error = import(&mut project, &request(&folder), &mut Stop).expect_err("stopped");
    assert!(matches!(error, crate::SessionError::Cancelled));
    assert!(project.images().expect("read").is_empty() && !project.label_map_path().exists());
}

#[test]
fn pictures_join_by_relative_paths_and_copies_are_told() {
    let mut studio = Studio::new();
    let inside = studio.project().join("images/b.png");
    picture(&inside, 30, 20, 1);
    picture(&studio.path("beside/a.jpg"), 40, 30, 2);
    std::fs::copy(&inside, studio.path("beside/copy.png")).expect("copied");
    std::fs::write(studio.path("beside/notes.jpg"), b"no picture").expect("written");
    picture(&studio.project().join("runs/r/eval/x.png"), 9, 9, 3);
    let paths = vec![studio.project(), studio.path("beside")];
    let job = studio.job(Command::AddImages { paths });
    let stored: Vec<_> = studio.session.images().iter().map(|i| i.path.as_str()).collect();
    assert_eq!(stored, ["../beside/a.jpg", "../beside/copy.png", "images/b.png"]);
    assert_eq!(studio.session.images()[0].size.to_string(), "40 × 30");
    let mut found = codes(&job.problems);
    found.sort_unstable();
    assert_eq!(found, ["duplicate-image", "unknown-image"]);
    let id = studio.session.images()[2].id;
    assert!(studio.session.image_path(id).is_some_and(|p| p.is_file()));
    let again = studio.job(Command::AddImages { paths: vec![studio.path("beside")] });
    assert_eq!(again.message, "imported 0 images and 0 boxes; left out 3 images; 1 problem");
    let none = studio.job(Command::AddImages { paths: vec![studio.path("nowhere")] });
    assert_eq!(none.state, JobState::Failed);
}
