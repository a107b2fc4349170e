//! Real configs and label maps, read and written again.

use super::{files, read, shared};
use crate::pipeline::Pipeline;
use crate::{label_map, text_format};

#[test]
fn every_config_parses_prints_and_parses_to_the_same() {
    let Some(shared) = shared() else { return };
    let mut count = 0;
    for folder in ["data/tfod-configs/tf1", "data/tfod-configs/tf2", "golden/config"] {
        for path in files(&shared.join(folder), "config") {
            let pipeline = Pipeline::read(&path).unwrap_or_else(|error| panic!("{error}"));
            let printed = pipeline.to_text();
            let again =
                Pipeline::parse(&printed, "printed").unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(pipeline.config, again.config, "{}", path.display());
            assert_eq!(printed, again.to_text(), "{}", path.display());
            count += 1;
        }
    }
    assert!(count >= 26, "{count} configs");
}

#[test]
fn label_maps_keep_ids_names_and_display_names() {
    let Some(shared) = shared() else { return };
    let folder = shared.join("data/tfod-configs/label_maps");
    for (file, classes, last) in [
        ("mscoco_label_map.pbtxt", 80, (90, "/m/012xff", "toothbrush")),
        ("pascal_label_map.pbtxt", 20, (20, "tvmonitor", "tvmonitor")),
        ("pet_label_map.pbtxt", 37, (37, "yorkshire_terrier", "yorkshire_terrier")),
    ] {
        let map = label_map::read(folder.join(file)).unwrap_or_else(|error| panic!("{error}"));
        let item = map.items().last().expect("a class");
        assert_eq!(map.len(), classes, "{file}");
        assert_eq!((item.id.get(), item.name.as_str(), map.display_name(item.id).as_str()), last, "{file}");
        assert_eq!(label_map::parse(&label_map::print(&map), "printed").expect("a label map"), map, "{file}");
        let original = read(&folder.join(file));
        let over = label_map::print_over(&map, &original, file).expect("printed");
        let message =
            |text: &str| text_format::parse::<crate::proto::StringIntLabelMap>(text, file).expect("a label map");
        assert_eq!(message(&over), message(&original), "{file}");
    }
}
