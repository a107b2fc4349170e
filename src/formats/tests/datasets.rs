//! Real data sets, and small ones with every fault that people's data sets have.

use std::fs;
use std::path::Path;

use boxwright_core::{ImageSize, PixelBox, Problem, Severity, Split};

use crate::dataset_source::{ForeignImage, read_pascal_voc_folder};
use crate::picture::{self, Picture};

fn boxes(images: &[ForeignImage]) -> usize {
    images.iter().map(|image| image.objects.len()).sum()
}

fn with_code<'a>(problems: &'a [Problem], code: &str) -> Vec<&'a Problem> {
    problems.iter().filter(|problem| problem.code == code).collect()
}

#[test]
fn raccoon() {
    let Some(shared) = boxwright_golden::shared("") else { return };
    let root = shared.join("data/raccoon");
    let (images, problems) = read_pascal_voc_folder(&root, None, None);
    assert_eq!((images.len(), boxes(&images)), (200, 217));
    assert_eq!(
        problems.iter().filter(|problem| problem.severity != Severity::Info).collect::<Vec<_>>(),
        Vec::<&Problem>::new()
    );
    assert!(images.iter().all(|image| image.objects.iter().all(|object| object.label == "raccoon")));
    for (list, count) in [("train_labels.csv", 160), ("test_labels.csv", 40)] {
        let list = root.join("data").join(list);
        let (images, problems) =
            read_pascal_voc_folder(&root.join("annotations"), Some(&root.join("images")), Some(&list));
        assert_eq!((images.len(), problems), (count, Vec::new()), "{}", list.display());
    }
}

#[test]
fn bccd() {
    let Some(shared) = boxwright_golden::shared("") else { return };
    let (images, problems) = read_pascal_voc_folder(&shared.join("data/bccd"), None, None);
    let degenerate = with_code(&problems, "degenerate-box");
    assert_eq!((images.len(), boxes(&images), degenerate.len()), (364, 4886, 2));
    for problem in &degenerate {
        println!("{problem}");
        let line: usize = problem
            .place
            .strip_prefix("line ")
            .and_then(|rest| rest.split(',').next())
            .and_then(|line| line.parse().ok())
            .expect("a line");
        let text = fs::read_to_string(&problem.file).expect("the file that the problem names");
        assert_eq!(text.lines().nth(line - 1).map(str::trim), Some("<object>"), "{problem}");
    }
    assert_eq!(problems.len(), 2, "nothing else is wrong with it");
    let count = |split| images.iter().filter(|image| image.split == Some(split)).count();
    assert_eq!([count(Split::Train), count(Split::Val), count(Split::Test)], [205, 87, 72]);
}

#[test]
fn every_shared_photograph_decodes() {
    let Some(shared) = boxwright_golden::shared("") else { return };
    let mut decoded = 0;
    for folder in ["data/raccoon/images", "data/test-images", "data/multi-format-voc100/images"] {
        for entry in fs::read_dir(shared.join(folder)).into_iter().flatten().flatten() {
            let path = entry.path();
            if !path.extension().is_some_and(|e| ["jpg", "png"].contains(&e.to_string_lossy().as_ref())) {
                continue;
            }
            let picture = picture::read_file(&path).expect("a photograph");
            assert_eq!(picture::probe_file(&path).expect("a header").size, picture.size);
            decoded += 1;
        }
    }
    assert!(decoded >= 200 + 4, "{decoded}");
}

/// A folder with `images/NAME` of 40 × 20 and `annotations/`.
fn small_set(pictures: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["images", "annotations"] {
        fs::create_dir(folder.path().join(name)).expect("a folder");
    }
    let png = picture::encode_png(&Picture::filled(ImageSize::new(40, 20), [9; 3])).expect("encoded");
    for name in pictures {
        fs::write(folder.path().join("images").join(name), &png).expect("written");
    }
    folder
}

fn xml(filename: &str, size: (u32, u32), b: [f64; 4]) -> String {
    let [xmin, ymin, xmax, ymax] = b;
    format!(
        "<annotation><filename>{filename}</filename>\n<size><width>{}</width><height>{}</height></size>\n\
         <object><name>cat</name><bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox></object></annotation>",
        size.0, size.1
    )
}

fn put(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join("annotations").join(name), text).expect("written");
}

#[test]
fn one_bad_file_never_stops_the_rest() {
    let set = small_set(&["a.jpg", "b.PNG", "c.jpg", "d.jpg", "e.jpg", "f.jpg", "lonely.jpg"]);
    let root = set.path();
    let good = [1.0, 2.0, 30.0, 15.0];
    put(root, "a.xml", &xml("C:\\photos\\a.jpg", (40, 20), good));
    put(root, "b.xml", &xml("b.jpg", (0, 0), good));
    put(root, "c.xml", "<annotation><object>");
    put(root, "d.xml", &xml("d.jpg", (40, 20), [-3.0, 2.0, 50.0, 15.0]));
    put(root, "e.xml", &xml("e.jpg", (40, 20), [30.0, 2.0, 30.0, 15.0]));
    put(root, "f.xml", &xml("f.jpg", (40, 20), [41.0, 2.0, 60.0, 15.0]));
    put(root, "gone.xml", &xml("../../gone.jpg", (40, 20), good));
    put(root, "twice.xml", &xml("a.jpg", (40, 20), good));
    fs::write(root.join("images/broken.jpg"), b"\xFF\xD8\xFF no").expect("written");
    put(root, "broken.xml", &xml("broken.jpg", (40, 20), good));
    let (images, problems) = read_pascal_voc_folder(root, None, None);
    let names: Vec<_> = images.iter().map(|i| i.path.file_name().expect("a name").to_string_lossy()).collect();
    assert_eq!(names, ["a.jpg", "b.PNG", "d.jpg", "e.jpg", "f.jpg"]);
    assert_eq!(images.iter().map(|image| image.objects.len()).collect::<Vec<_>>(), [1, 1, 1, 0, 0]);
    assert_eq!(images[2].objects[0].bounds, PixelBox::new(2.0, 0.0, 15.0, 40.0));
    let codes: Vec<_> = problems.iter().map(|problem| problem.code.as_str()).collect();
    assert_eq!(
        codes,
        [
            "missing-size",
            "unreadable-image",
            "unreadable-annotation",
            "box-clipped",
            "degenerate-box",
            "box-outside",
            "missing-image",
            "duplicate-annotation",
            "unannotated-images",
        ]
    );
    for problem in &problems {
        assert!(!problem.file.is_empty() && !problem.message.is_empty() && !problem.fix.is_empty());
    }
    let degenerate = with_code(&problems, "degenerate-box")[0];
    assert!(degenerate.file.ends_with("e.xml") && degenerate.place == "line 3, object 1", "{degenerate}");
}

#[test]
fn sizes_that_differ() {
    let set = small_set(&["half.png", "other.png"]);
    put(set.path(), "half.xml", &xml("half.png", (80, 40), [2.0, 4.0, 60.0, 30.0]));
    put(set.path(), "other.xml", &xml("other.png", (40, 40), [1.0, 2.0, 30.0, 15.0]));
    let (images, problems) = read_pascal_voc_folder(set.path(), None, None);
    assert_eq!(images[0].objects[0].bounds, PixelBox::new(2.0, 1.0, 15.0, 30.0));
    assert_eq!(images[1].objects[0].bounds, PixelBox::new(2.0, 1.0, 15.0, 30.0));
    assert_eq!(problems.iter().map(|p| p.code.as_str()).collect::<Vec<_>>(), ["scaled-picture", "size-mismatch"]);
}

#[test]
fn folders_and_lists_that_are_not_there() {
    let set = small_set(&["a.png"]);
    let code = |path: &Path, list: Option<&Path>| read_pascal_voc_folder(path, None, list).1[0].code.clone();
    assert_eq!(code(&set.path().join("none"), None), "missing-folder");
    assert_eq!(code(set.path(), None), "no-annotations");
    put(set.path(), "a.xml", &xml("a.png", (40, 20), [1.0, 1.0, 9.0, 9.0]));
    assert_eq!(code(set.path(), Some(&set.path().join("none.csv"))), "unreadable-list");
    let (images, problems) = read_pascal_voc_folder(&set.path().join("annotations/a.xml"), None, None);
    assert_eq!((images.len(), problems), (1, Vec::new()));
}
