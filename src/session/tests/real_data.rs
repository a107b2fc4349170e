//! Real data sets, where they are beside the checkout.

use boxwright_core::{ReviewState, Split};

use super::*;
use crate::{ImportRequest, ImportSplit, JobState, RecordExport, export_tf_records, stats};

#[test]
fn raccoon_comes_in_by_its_two_lists() {
    let Some(shared) = shared() else { return };
    let root = shared.join("data/raccoon");
    let mut studio = Studio::new();
    for (list, split, count) in [("train_labels.csv", Split::Train, 160), ("test_labels.csv", Split::Val, 40)] {
        let started = std::time::Instant::now();
        let job = studio.job(Command::Import(ImportRequest {
            path: root.join("annotations"),
            images: Some(root.join("images")),
            list: Some(root.join("data").join(list)),
            split: ImportSplit::To(split),
            ..ImportRequest::default()
        }));
        assert_eq!(job.state, JobState::Finished, "{}", job.message);
        println!("raccoon {split}: {} in {:?}", job.message, started.elapsed());
        job.problems.iter().for_each(|problem| println!("  {problem}"));
        assert_eq!(studio.session.images().iter().filter(|i| i.split == split).count(), count);
    }
    let counted = stats(&studio.project(), &mut ()).expect("counted");
    assert_eq!((counted.images, counted.boxes, counted.empty), (200, 217, 0));
    assert_eq!(counted.classes, [("raccoon".to_owned(), 217)]);
    // Some of its files say that labelImg's user verified them.
    let states: Vec<_> = studio.session.images().iter().map(|i| i.state).collect();
    assert!(states.iter().all(|s| matches!(s, ReviewState::Annotated | ReviewState::Verified)), "{states:?}");
    let project = boxwright_store::Project::open(&studio.project()).expect("opens");
    let out = RecordExport { split: Some(Split::Val), shards: 4, ..RecordExport::new(&studio.path("val.record")) };
    let report = export_tf_records(&project, &out, &mut ()).expect("written");
    assert_eq!((report.images, report.files.len()), (40, 4));
}

#[test]
fn blood_cells_have_two_degenerate_boxes() {
    let Some(shared) = shared() else { return };
    let root = shared.join("data/bccd");
    let mut studio = Studio::new();
    let started = std::time::Instant::now();
    let job = studio.job(Command::Import(ImportRequest { path: root, ..ImportRequest::default() }));
    assert_eq!(job.state, JobState::Finished, "{}", job.message);
    println!("bccd: {} in {:?}", job.message, started.elapsed());
    let degenerate: Vec<_> = job.problems.iter().filter(|p| p.code == "degenerate-box").collect();
    assert_eq!(degenerate.len(), 2, "{degenerate:#?}");
    assert!(degenerate.iter().all(|p| p.file.ends_with(".xml") && p.place.starts_with("line ")));
    let boxes: usize = studio.session.images().iter().map(|i| i.boxes).sum();
    assert_eq!((studio.session.images().len(), boxes), (364, 4886));
    let names: Vec<_> = studio.session.label_map().items().iter().map(|i| i.name.as_str()).collect();
    assert_eq!(names, ["Platelets", "RBC", "WBC"]);
}
