//! Models from mirrors: over HTTP, from folders, with right and wrong digests.

use std::fs;
use std::path::Path;
use std::time::Duration;

use boxwright_config::zoo::{self, ZooModel};

use super::archives::{archive, header};
use super::server::{Served, Server};
use crate::digest::{Digest, Kind};
use crate::download::Policy;
use crate::model_zoo::{Checked, Contents, FetchError, Fetched, LOCK_FILE, Options, fetch};

fn model(name: &str) -> &'static ZooModel {
    zoo::find(name).expect("a published model")
}

/// A model without a published digest, and where a mirror with the publisher's folders has it.
fn inception() -> (&'static ZooModel, &'static str) {
    (model("ssd_inception_v2_coco"), "/ssd_inception_v2_coco_2018_01_28.tar.gz")
}

fn tf1_archive() -> Vec<u8> {
    archive(&[
        ("m/pipeline.config", b"model { }"),
        ("m/model.ckpt.index", b"index"),
        ("m/model.ckpt.data-00000-of-00001", b"data"),
        ("m/checkpoint", b"model.ckpt"),
        ("m/frozen_inference_graph.pb", b"graph"),
        ("m/saved_model/saved_model.pb", b"saved"),
        ("m/saved_model/variables/variables.index", b"no checkpoint"),
    ])
}

fn options(folder: &Path, mirror: String) -> Options {
    let policy = Policy { tries: 2, pause: Duration::from_millis(5), ..Policy::default() };
    Options { folder: folder.to_owned(), mirror: Some(mirror), digest: None, force: false, keep_archive: false, policy }
}

fn get(model: &ZooModel, options: &Options) -> Result<Fetched, FetchError> {
    fetch(model, options, &mut |_, _, _| true)
}

fn digest_of(bytes: &[u8]) -> Digest {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), bytes).expect("written");
    Digest::of_file(file.path(), Kind::Sha256).expect("read")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_model_comes_from_a_mirror_and_is_there_the_second_time() {
    let (inception, path) = inception();
    let server = Server::start([(path, Served { cuts: vec![50], ..Served::new(tf1_archive()) })]);
    let keep = tempfile::tempdir().expect("a folder");
    let options = options(keep.path(), server.url("/"));
    let fetched = get(inception, &options).expect("fetched");
    let folder = keep.path().join("ssd_inception_v2_coco_2018_01_28");
    assert_eq!(fetched.folder, folder);
    assert_eq!(fetched.contents.checkpoint, Some(folder.join("model.ckpt")));
    assert_eq!(fetched.contents.pipeline_config, Some(folder.join("pipeline.config")));
    assert_eq!(fetched.contents.saved_model, Some(folder.join("saved_model")));
    assert_eq!(fetched.contents.frozen_graph, Some(folder.join("frozen_inference_graph.pb")));
    assert_eq!(fetched.digest, Some((digest_of(&tf1_archive()), Checked::FirstTime)));
    assert_eq!(names(keep.path()), [LOCK_FILE, "ssd_inception_v2_coco_2018_01_28"]);
    let asked = server.requests().len();
    assert!(get(inception, &options).expect("there").was_there);
    assert_eq!(server.requests().len(), asked, "what is there is not asked for");
    // The note of the first time is compared with what comes later.
    let anew = Options { force: true, keep_archive: true, ..options };
    assert_eq!(get(inception, &anew).expect("again").digest.expect("a digest").1, Checked::Noted);
    assert!(names(keep.path()).contains(&"ssd_inception_v2_coco_2018_01_28.tar.gz".to_owned()));
    server.serve(path, Served::new(archive(&[("m/other", b"other")])));
    let error = get(inception, &anew).expect_err("another archive").to_string();
    assert!(error.contains("earlier fetch") && error.contains("--sha256"), "{error}");
    assert!(folder.join("model.ckpt.index").is_file(), "the old one is still there");
    let right = Options { digest: Some(digest_of(&archive(&[("m/other", b"other")]))), ..anew };
    assert_eq!(get(inception, &right).expect("on purpose").digest.expect("a digest").1, Checked::Given);
    assert_eq!(names(&folder), ["other"]);
}

#[test]
fn digests_beside_the_archive_decide() {
    let (inception, path) = inception();
    let right = digest_of(&tf1_archive()).to_string().replace("sha256:", "");
    let listing = format!("{right}  ssd_inception_v2_coco_2018_01_28.tar.gz\n");
    let beside = "/ssd_inception_v2_coco_2018_01_28.tar.gz.sha256";
    let server = Server::start([(path, Served::new(tf1_archive())), (beside, Served::new(listing))]);
    let keep = tempfile::tempdir().expect("a folder");
    let fetched = get(inception, &options(keep.path(), server.url(""))).expect("fetched");
    assert_eq!(fetched.digest.expect("a digest").1, Checked::Beside);

    for (wrong, message) in
        [("0".repeat(64), "its digest is sha256:"), ("no digest at all".into(), "there is no SHA-256")]
    {
        server.serve(beside, Served::new(wrong));
        let keep = tempfile::tempdir().expect("a folder");
        let error = get(inception, &options(keep.path(), server.url("/"))).expect_err("wrong").to_string();
        assert!(error.contains(message) && error.contains("--sha256"), "{error}");
        assert!(names(keep.path()).is_empty(), "{:?}", names(keep.path()));
        // The caller's own word goes first.
        let given = Options { digest: right.parse().ok(), ..options(keep.path(), server.url("/")) };
        assert_eq!(get(inception, &given).expect("fetched").digest.expect("a digest").1, Checked::Given);
    }
}

#[test]
fn bytes_left_by_an_earlier_download_are_not_trusted_when_the_digest_is_wrong() {
    let (inception, path) = inception();
    let good = tf1_archive();
    let server = Server::start([(path, Served::new(good.clone()))]);
    let keep = tempfile::tempdir().expect("a folder");
    let part = keep.path().join("ssd_inception_v2_coco_2018_01_28.tar.gz.part");
    let note = format!("{{\"url\":\"{}\",\"validator\":\"\\\"v1\\\"\"}}", server.url(path));
    for (left, kept) in [(&good[..100], 100), (&[9; 100][..], 0)] {
        fs::write(&part, left).expect("written");
        fs::write(keep.path().join("ssd_inception_v2_coco_2018_01_28.tar.gz.part.json"), &note).expect("written");
        let options = Options { digest: Some(digest_of(&good)), force: true, ..options(keep.path(), server.url("")) };
        let fetched = get(inception, &options).expect("fetched, if need be a second time");
        assert_eq!(fetched.kept, kept);
        assert_eq!(names(keep.path()), [LOCK_FILE, "ssd_inception_v2_coco_2018_01_28"]);
    }
}

#[test]
fn hostile_and_missing_archives_leave_the_folder_as_it_was() {
    let (inception, path) = inception();
    let mut tar = tar::Builder::new(Vec::new());
    tar.append(&header(b"../out.txt", tar::EntryType::Regular, 1), &b"x"[..]).expect("added");
    let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut zip, &tar.into_inner().expect("finished")).expect("packed");
    let server = Server::start([(path, Served::new(zip.finish().expect("packed")))]);
    let keep = tempfile::tempdir().expect("a folder");
    let zoo = keep.path().join("zoo");
    let error = get(inception, &options(&zoo, server.url("/"))).expect_err("hostile").to_string();
    assert!(error.contains("`..`"), "{error}");
    assert!(names(&zoo).is_empty() && names(keep.path()) == ["zoo"]);

    let error = get(model("ssd_mobilenet_v1_ppn_coco"), &options(&zoo, server.url("/"))).expect_err("404").to_string();
    assert!(error.contains("no such file") && error.contains("--mirror") && error.contains("by hand"), "{error}");
    fs::write(zoo.join(LOCK_FILE), "{").expect("written");
    let error = get(inception, &options(&zoo, server.url("/"))).expect_err("a damaged note").to_string();
    assert!(error.contains(LOCK_FILE) && error.contains("remove it"), "{error}");
    assert_eq!(names(&zoo), [LOCK_FILE]);
}

#[test]
fn mirrors_have_the_publishers_folders_or_none_and_may_be_folders() {
    let fpn = model("ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8");
    let tf2 = archive(&[
        ("x/checkpoint/ckpt-9.index", b"9"),
        ("x/checkpoint/ckpt-10.index", b"10"),
        ("x/pipeline.config", b"model { }"),
    ]);
    let name = fpn.archive_name();
    for path in [
        "/tf2/20200711/ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8.tar.gz",
        "/ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8.tar.gz",
    ] {
        let server = Server::start([(path, Served::new(tf2.clone()))]);
        let keep = tempfile::tempdir().expect("a folder");
        let fetched = get(fpn, &options(keep.path(), server.url("/"))).expect("fetched");
        assert_eq!(fetched.contents.checkpoint, Some(fetched.folder.join("checkpoint/ckpt-10")));
    }
    let keep = tempfile::tempdir().expect("a folder");
    let mirror = keep.path().join("my mirror");
    fs::create_dir_all(mirror.join("tf2/20200711")).expect("made");
    fs::write(mirror.join("tf2/20200711").join(name), &tf2).expect("written");
    let address = format!("file://{}", mirror.display()).replace(' ', "%20");
    for (place, mirror) in [("a", mirror.display().to_string()), ("b", address)] {
        let fetched = get(fpn, &options(&keep.path().join(place), mirror)).expect("fetched");
        assert!(fetched.contents.pipeline_config.is_some());
    }
    assert!(mirror.join("tf2/20200711").join(name).is_file(), "a mirror keeps its archives");
    let error = get(inception().0, &options(&keep.path().join("c"), mirror.display().to_string())).expect_err("none");
    assert!(error.to_string().contains("download.tensorflow.org"), "{error}");
}

#[test]
fn an_archive_put_there_by_hand_is_used_and_kept_and_doubted() {
    let v1 = model("ssd_mobilenet_v1_coco");
    let keep = tempfile::tempdir().expect("a folder");
    let by_hand = keep.path().join(v1.archive_name());
    fs::write(&by_hand, tf1_archive()).expect("written");
    // Nothing listens there, and nothing needs to.
    let options = options(keep.path(), "http://127.0.0.1:9".into());
    let fetched = get(v1, &options).expect("unpacked");
    assert!(by_hand.is_file() && fetched.contents.checkpoint.is_some());
    assert!(fetched.warnings[0].contains("published, which has 76541073 bytes"), "{:?}", fetched.warnings);
    // One whose digest is known, and one of which nothing is.
    let v2 = model("ssd_mobilenet_v2_coco");
    fs::write(keep.path().join(v2.archive_name()), tf1_archive()).expect("written");
    let fetched = get(v2, &options).expect("unpacked");
    assert!(fetched.warnings[0].contains("published, whose digest is sha256:b9380178"), "{:?}", fetched.warnings);
    fs::write(keep.path().join(inception().0.archive_name()), tf1_archive()).expect("written");
    assert_eq!(get(inception().0, &options).expect("unpacked").warnings, [""; 0]);
}

#[test]
fn contents_are_found_by_their_names() {
    let keep = tempfile::tempdir().expect("a folder");
    assert_eq!(Contents::of(keep.path()).expect("an empty folder"), Contents::default());
    for file in ["deep/model.ckpt.index", "model.ckpt-2.index", "model.ckpt-10.index", "tflite_graph.pb", "x.tflite"] {
        let path = keep.path().join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, "x").expect("written");
    }
    let contents = Contents::of(keep.path()).expect("read");
    assert_eq!(contents.checkpoint, Some(keep.path().join("model.ckpt-10")));
    assert_eq!(contents.frozen_graph, Some(keep.path().join("tflite_graph.pb")));
    assert_eq!(contents.tflite, Some(keep.path().join("x.tflite")));
    assert!(Contents::of(&keep.path().join("none")).is_err());
}
