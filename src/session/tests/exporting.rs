//! Records and Pascal VOC, read back by the formats' own readers.

use boxwright_core::{Annotation, ReviewState, Split};
use boxwright_formats::dataset_source::read_pascal_voc_folder;
use boxwright_formats::tf_example::DetectionExample;
use boxwright_formats::tf_record;
use boxwright_store::Project;

use super::*;
use crate::{RecordExport, ensure_records, export_pascal_voc, export_tf_records, stats};

/// Six pictures: two with boxes in train, one in val, one background in val, two untouched.
fn annotated() -> Studio {
    let mut studio = Studio::new();
    let images = studio.add_pictures(6);
    let (cat, dog) = (studio.add_class("cat"), studio.add_class("dog"));
    studio.draw(images[0], cat, PixelBox::new(8.0, 10.0, 40.0, 50.0));
    studio.draw(images[0], dog, PixelBox::new(0.0, 0.0, 80.0, 100.0));
    studio.draw(images[1], dog, PixelBox::new(1.0, 1.0, 9.0, 9.0));
    studio.draw(images[2], cat, PixelBox::new(1.5, 2.25, 9.0, 9.0));
    let before = studio.session.boxes(images[2])[0].clone();
    let mut after = before.clone();
    after.flags.difficult = true;
    after.flags.occluded = true;
    studio.run(Command::ChangeBoxes { image: images[2], name: "flags".into(), changes: vec![(before, after)] });
    studio.run(Command::SetState { image: images[3], state: ReviewState::Background });
    studio.run(Command::SetSplit { images: images[..2].to_vec(), split: Split::Train });
    studio.run(Command::SetSplit { images: images[2..4].to_vec(), split: Split::Val });
    studio
}

fn open(studio: &Studio) -> Project {
    Project::open(&studio.project()).expect("opens")
}

fn read(pattern: &Path) -> Vec<DetectionExample> {
    tf_record::read_records(&pattern.display().to_string())
        .expect("found")
        .map(|record| DetectionExample::decode(&record.expect("whole"), "record").expect("an example"))
        .collect()
}

#[test]
fn records_say_what_the_project_says() {
    let studio = annotated();
    let project = open(&studio);
    let out = studio.path("out/all.record");
    let export = RecordExport { shards: 3, ..RecordExport::new(&out) };
    let report = export_tf_records(&project, &export, &mut ()).expect("written");
    assert_eq!((report.images, report.boxes, report.left_out, report.files.len()), (4, 4, 2, 3));
    assert_eq!(report.problems, []);
    let mut examples = read(&studio.path("out/all.record-?????-of-00003"));
    examples.sort_by(|a, b| a.filename.cmp(&b.filename));
    let first = &examples[0];
    assert_eq!(first.filename, "../pictures/0.png");
    assert_eq!((first.format.as_str(), first.size.map(|s| s.to_string()).as_deref()), ("png", Some("100 × 80")));
    assert_eq!(first.encoded, std::fs::read(studio.path("pictures/0.png")).expect("read"));
    assert_eq!(first.objects[0].bounds.to_array(), [0.1, 0.1, 0.5, 0.5]);
    assert_eq!((first.objects[1].text.as_str(), first.objects[1].label), ("dog", Some(2)));
    assert!(examples[2].objects[0].difficult && examples[2].objects[0].occluded);
    assert!(examples[3].objects.is_empty());
    assert!(studio.path("out/label_map.pbtxt").is_file());
    // The same project is always written the same way.
    let again = RecordExport { shards: 3, ..RecordExport::new(&studio.path("again/all.record")) };
    export_tf_records(&project, &again, &mut ()).expect("written");
    for shard in 0..3 {
        let bytes = |folder: &str| {
            std::fs::read(studio.path(&format!("{folder}/all.record-0000{shard}-of-00003"))).expect("read")
        };
        assert_eq!(bytes("out"), bytes("again"));
    }
    let counted = stats(&studio.path("out/all.record-?????-of-00003"), &mut ()).expect("counted");
    assert_eq!((counted.images, counted.boxes, counted.empty), (4, 4, 1));
}

#[test]
fn records_are_written_again_only_where_the_data_changed() {
    let mut studio = annotated();
    let project = open(&studio);
    let report = ensure_records(&project, &mut ()).expect("written");
    assert_eq!((report.train, report.val, report.written), (2, 2, true));
    assert_eq!(read(&studio.project().join("records/train.record-?????-of-?????")).len(), 2);
    assert!(!ensure_records(&project, &mut ()).expect("nothing to do").written);
    let image = studio.session.images()[1].id;
    let label = studio.session.label_map().items()[0].id;
    studio.draw(image, label, PixelBox::new(5.0, 5.0, 30.0, 30.0));
    assert!(ensure_records(&project, &mut ()).expect("written").written);
    std::fs::remove_file(studio.project().join("records/val.record-00000-of-00001")).expect("removed");
    assert!(ensure_records(&project, &mut ()).expect("written").written, "a file is missing");
    let images: Vec<_> = studio.session.images().iter().map(|i| i.id).collect();
    studio.run(Command::SetSplit { images: images.clone(), split: Split::Train });
    let report = ensure_records(&project, &mut ()).expect("written");
    assert_eq!((report.train, report.val), (4, 0));
    assert_eq!(codes(&report.problems), ["no-validation"]);
    assert!(!studio.project().join("records/val.record-00000-of-00001").exists());
    studio.run(Command::SetSplit { images, split: Split::Test });
    let error = ensure_records(&project, &mut ()).expect_err("nothing to train on").to_string();
    assert!(error.contains("none of the 4 annotated images"), "{error}");
}

#[test]
fn a_picture_that_is_gone_is_told_and_the_rest_is_written() {
    let studio = annotated();
    std::fs::remove_file(studio.path("pictures/0.png")).expect("removed");
    let report = ensure_records(&open(&studio), &mut ()).expect("written");
    assert!(problem(&report.problems, "missing-image").file.ends_with("0.png"));
    assert_eq!(read(&studio.project().join("records/train.record-?????-of-?????")).len(), 1);
    assert!(ensure_records(&open(&studio), &mut ()).expect("written").written, "it looks again for the picture");
    for number in 1..6 {
        std::fs::remove_file(studio.path(&format!("pictures/{number}.png"))).expect("removed");
    }
    let out = RecordExport::new(&studio.path("out/x.record"));
    let error = export_tf_records(&open(&studio), &out, &mut ()).expect_err("nothing is left").to_string();
    assert!(error.contains("no picture could be read"), "{error}");
    assert_eq!(std::fs::read_dir(studio.path("out")).expect("listed").count(), 0, "nothing half-written");
}

#[test]
fn pascal_voc_comes_back_as_it_went() {
    let mut studio = annotated();
    // Two pictures of one name.
    picture(&studio.path("more/0.png"), 64, 48, 77);
    studio.job(Command::AddImages { paths: vec![studio.path("more")] });
    let twin = studio.session.images().last().expect("added").id;
    let label = studio.session.label_map().items()[0].id;
    studio.draw(twin, label, PixelBox::new(3.0, 4.0, 20.0, 30.0));
    let out = studio.path("voc");
    let report = export_pascal_voc(&open(&studio), &out, None, &mut ()).expect("written");
    assert_eq!((report.images, report.boxes, report.left_out), (5, 5, 2));
    let error = export_pascal_voc(&open(&studio), &out, None, &mut ()).expect_err("not twice").to_string();
    assert!(error.contains("not empty"), "{error}");

    let (images, problems) = read_pascal_voc_folder(&out, None, None);
    assert_eq!(problems, []);
    assert_eq!(images.len(), 5);
    let by_name = |name: &str| images.iter().find(|i| i.path.ends_with(name)).unwrap_or_else(|| panic!("no {name}"));
    let flagged = by_name("JPEGImages/2.png");
    assert_eq!((flagged.split, flagged.objects[0].flags.difficult), (Some(Split::Val), true));
    assert_eq!(flagged.objects[0].bounds, PixelBox::new(1.5, 2.25, 9.0, 9.0));
    let sizes: Vec<_> = ["0.png", "0-2.png"].map(|n| by_name(n).size.expect("known").width).to_vec();
    assert!(sizes.contains(&64) && sizes.contains(&100));
    assert!(by_name("3.png").objects.is_empty());
    let left: Vec<_> =
        std::fs::read_dir(studio.folder.path()).expect("listed").flatten().map(|e| e.file_name()).collect();
    assert!(left.iter().all(|n| !n.to_string_lossy().ends_with(".tmp")), "{left:?}");
}

#[test]
fn a_box_of_a_lost_class_is_told() {
    let studio = annotated();
    std::fs::write(studio.project().join("label_map.pbtxt"), "item { id: 1 name: 'cat' }").expect("written");
    let out = RecordExport::new(&studio.path("out/x.record"));
    let report = export_tf_records(&open(&studio), &out, &mut ()).expect("written");
    assert_eq!(report.problems.iter().filter(|p| p.code == "label-not-in-map").count(), 2);
    assert_eq!(report.boxes, 2);
    let lost: Vec<Annotation> = open(&studio).all_boxes().expect("read").into_values().flatten().collect();
    assert_eq!(lost.len(), 4, "the project keeps them");
}
