//! Damaged files, wrong configs, folders that cannot be written, full disks: each is answered with
//! the file, the place and the fix, and leaves nothing lost or half-written.

use std::fs;
use std::path::Path;

use crate::support::{PROGRAM, Ran, TinyProject, VocFolder, boxwright, in_own_mounts, object, succeed, text};

/// A folder of four good pictures and an empty project beside it.
fn folder_and_project(keep: &Path) -> (VocFolder, String) {
    let voc = VocFolder::write(&keep.join("voc"), 4);
    let dir = text(&keep.join("project"));
    succeed(["new", &dir]);
    (voc, dir)
}

fn import(voc: &VocFolder, dir: &str) -> Ran {
    boxwright(["import", dir, "--format", "pascal-voc", &text(&voc.path)])
}

/// Images and boxes of a project.
fn counts(dir: &str) -> (u64, u64) {
    let stats: serde_json::Value = serde_json::from_str(&succeed(["stats", dir, "--json"]).out).expect("JSON");
    (stats["images"].as_u64().expect("images"), stats["boxes"].as_u64().expect("boxes"))
}

#[test]
fn a_degenerate_box_is_named_and_the_rest_comes_in() {
    let keep = tempfile::tempdir().expect("a folder");
    let (voc, dir) = folder_and_project(keep.path());
    let objects = object("square", 5.0, 5.0, 30.0, 30.0) + &object("square", 20.0, 10.0, 20.0, 40.0);
    voc.write_xml("picture-00", &objects);
    let ran = import(&voc, &dir);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.contains("picture-00.xml") && ran.err.contains("line"), "{}", ran.err);
    // Three squares of the folder, one of them replaced by a good and a bad one.
    assert_eq!(counts(&dir), (4, 3));
    let check = boxwright(["check", &text(&voc.path), "--json"]);
    assert!(check.out.contains("picture-00.xml"), "{}", check.out);
}

#[test]
fn a_missing_and_a_truncated_picture_are_named_and_the_rest_comes_in() {
    let keep = tempfile::tempdir().expect("a folder");
    let (voc, dir) = folder_and_project(keep.path());
    fs::remove_file(voc.path.join("picture-01.jpg")).expect("removed");
    let torn = voc.path.join("picture-02.jpg");
    let bytes = fs::read(&torn).expect("read");
    fs::write(&torn, &bytes[..bytes.len() * 2 / 3]).expect("written");
    let ran = import(&voc, &dir);
    assert!(ran.err.contains("picture-01") && ran.err.contains("picture-02.jpg"), "{}", ran.err);
    assert_eq!(counts(&dir).0, 2);
}

#[test]
fn a_label_that_the_map_lacks_is_named_with_its_line() {
    let keep = tempfile::tempdir().expect("a folder");
    let (voc, dir) = folder_and_project(keep.path());
    let map = Path::new(&dir).join("label_map.pbtxt");
    let before = "item {\n  id: 1\n  name: \"square\"\n}\n";
    fs::write(&map, before).expect("written");
    voc.write_xml("picture-00", &object("sqare", 5.0, 5.0, 30.0, 30.0));
    let ran = import(&voc, &dir);
    assert!(ran.err.contains("picture-00.xml") && ran.err.contains("line 4"), "{}", ran.err);
    assert!(ran.err.contains("\"sqare\"") && ran.err.contains("square"), "the nearest name: {}", ran.err);
    assert_eq!(counts(&dir).1, 2, "the object was left out");
    assert_eq!(fs::read_to_string(map).expect("read"), before, "the label map is untouched");
}

#[test]
fn an_unknown_field_is_named_with_its_line_and_the_nearest_name() {
    let project = TinyProject::make();
    let file = project.dir.join("pipeline.config");
    let config = fs::read_to_string(&file).expect("read").replace("batch_size:", "bach_size:");
    fs::write(&file, &config).expect("written");
    let line = 1 + config.lines().position(|l| l.contains("bach_size")).expect("it is there");
    for ran in [boxwright(project.train("run", &[])), boxwright(["check", &text(&file)])] {
        assert_eq!(ran.code, Some(1));
        let said = ran.out + &ran.err;
        assert!(
            said.contains("pipeline.config") && said.contains("bach_size") && said.contains("batch_size"),
            "{said}"
        );
        assert!(said.contains(&format!(":{line}:")) || said.contains(&format!("line {line}")), "{line}: {said}");
    }
}

#[test]
fn a_damaged_record_is_named_before_training_begins() {
    let project = TinyProject::make();
    let file = fs::read_dir(project.dir.join("records"))
        .expect("records")
        .map(|e| e.expect("an entry").path())
        .find(|p| text(p).contains("train.record"))
        .expect("the training records");
    let mut bytes = fs::read(&file).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    fs::write(&file, bytes).expect("written");
    let ran = boxwright(project.train("run", &["--progress", "none"]));
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("train.record") && ran.err.contains("record"), "{}", ran.err);
    let info = fs::read_to_string(project.run("run").join("run.json")).expect("run.json");
    assert!(info.contains("\"failed\"") && info.contains("train.record"), "{info}");
}

#[test]
fn a_run_whose_loss_is_no_number_stops_and_names_the_images() {
    let project = TinyProject::make();
    let file = project.dir.join("pipeline.config");
    let config = fs::read_to_string(&file).expect("read");
    let wild = boxwright_config::set_field(
        &config,
        "train_config.optimizer.momentum_optimizer.learning_rate.cosine_decay_learning_rate.learning_rate_base",
        "1e30",
    )
    .expect("the field is there");
    fs::write(&file, wild).expect("written");
    let ran = boxwright(project.train("wild", &["--progress", "none", "--num-steps", "20"]));
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("not a number at step") && ran.err.contains("picture-"), "{}", ran.err);
    assert!(ran.err.contains("learning rate"), "the advice: {}", ran.err);
}

#[test]
fn a_full_disk_stops_the_work_and_leaves_what_was_whole() {
    let keep = tempfile::tempdir().expect("a folder");
    let voc = VocFolder::write(&keep.path().join("voc"), 4);
    // Incompressible pictures, so that their records cannot fit.
    let noise = image::RgbImage::from_fn(640, 480, |x, y| {
        let v =
            (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503).rotate_left(7)).wrapping_mul(2_246_822_519) >> 13;
        image::Rgb([v as u8, (v >> 8) as u8, (v >> 16) as u8])
    });
    for i in 0..4 {
        noise.save(voc.path.join(format!("picture-{i:02}.jpg"))).expect("written");
        voc.write_xml(&format!("picture-{i:02}"), &object("square", 5.0, 5.0, 90.0, 70.0));
    }
    let script = format!(
        "mount -t tmpfs -o size=600k tmpfs /mnt && '{PROGRAM}' new /mnt/p && \
         '{PROGRAM}' import /mnt/p --format pascal-voc '{}' && \
         {{ '{PROGRAM}' export /mnt/p --format tfrecord /mnt/p/records/all.record; echo code $?; }} && \
         echo records: $(ls /mnt/p/records) && '{PROGRAM}' stats /mnt/p --json",
        text(&voc.path)
    );
    let Some(ran) = in_own_mounts(&script) else { return };
    assert!(ran.out.contains("code 1"), "{}\n{}", ran.out, ran.err);
    assert!(ran.err.contains("all.record") && ran.err.contains("full"), "{}", ran.err);
    assert!(!ran.out.contains("all.record"), "no half-written records: {}", ran.out);
    assert!(ran.out.contains("\"images\": 4"), "the project is whole: {}", ran.out);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let project = TinyProject::make();
    let dir = text(&project.dir);
    let script = format!(
        "mount --bind '{dir}' '{dir}' && mount -o remount,ro,bind '{dir}' && \
         '{PROGRAM}' train --pipeline '{dir}/pipeline.config' --model-dir '{dir}/runs/x' --device cpu; echo code $?; \
         '{PROGRAM}' export '{dir}' --format tfrecord '{dir}/records/x.record'; echo code $?; \
         '{PROGRAM}' new '{dir}/inside'; echo code $?"
    );
    let Some(ran) = in_own_mounts(&script) else { return };
    assert_eq!(ran.out.matches("code 1").count(), 3, "{}\n{}", ran.out, ran.err);
    assert!(
        ran.err.contains("runs/x") && ran.err.contains("project.boxwright") && ran.err.contains("inside"),
        "{}",
        ran.err
    );
    assert_eq!(ran.err.matches("read-only").count(), 3, "each says why: {}", ran.err);
    assert!(!project.run("x").exists() && !project.dir.join("inside").exists());
}
