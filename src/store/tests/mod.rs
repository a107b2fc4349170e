//! The project file, from outside: what is written is there when it is opened again, and nothing
//! else.

mod durability;
mod editing;
mod splitting;

use std::path::Path;

use boxwright_core::{
    Annotation, BoxFlags, BoxId, Edit, ImageId, ImageSize, LabelId, LabelMap, PixelBox, ReviewState, Split, Transaction,
};

use crate::{Import, NewBox, NewImage, Project, sha256_hex};

/// A project in a temporary folder that lives as long as the test.
struct Home {
    dir: tempfile::TempDir,
    project: Project,
}

fn home() -> Home {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let project = Project::create(dir.path()).expect("a new project");
    Home { dir, project }
}

fn reopen(dir: &Path) -> Project {
    Project::open(dir).expect("the project opens")
}

fn label(id: u32) -> LabelId {
    LabelId::new(id).expect("an id")
}

fn labels(names: &[&str]) -> LabelMap {
    LabelMap::from_names(names.iter().copied()).expect("a label map")
}

fn new_image(path: &str, boxes: &[(u32, f64)]) -> NewImage {
    NewImage {
        path: path.into(),
        size: ImageSize::new(640, 480),
        sha256: sha256_hex(path.as_bytes()),
        split: Split::Unassigned,
        state: if boxes.is_empty() { ReviewState::New } else { ReviewState::Annotated },
        boxes: boxes
            .iter()
            .map(|(id, x)| NewBox { label: label(*id), bounds: bounds(*x), flags: BoxFlags::default() })
            .collect(),
    }
}

fn bounds(x: f64) -> PixelBox {
    PixelBox::new(1.0, x, 20.5, x + 10.25)
}

fn import(images: &[NewImage]) -> Import<'_> {
    Import { images, labels: LabelMap::default(), name: "test".into() }
}

fn add(project: &mut Project, path: &str) -> ImageId {
    project.add_image(path, ImageSize::new(640, 480), &sha256_hex(path.as_bytes()), Split::Unassigned).expect("added")
}

fn annotation(id: BoxId, x: f64) -> Annotation {
    Annotation { id, label: label(1), bounds: bounds(x), flags: BoxFlags::default() }
}

/// Draws a box and returns it.
fn draw(project: &mut Project, image: ImageId, x: f64) -> Annotation {
    let id = project.next_box_ids(1).expect("an id")[0];
    let annotation = annotation(id, x);
    project.apply(&edit(image, vec![Edit::Add { annotation: annotation.clone() }])).expect("drawn");
    annotation
}

fn edit(image: ImageId, edits: Vec<Edit>) -> Transaction {
    Transaction { image, name: "test".into(), edits }
}
