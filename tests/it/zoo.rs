//! The model zoo from the command line: the table, and a model from a server of its own.

use std::fs;
use std::io::Write;

use crate::server::{Served, Server};
use crate::support::{boxwright, command, succeed, text};

/// A `.tar.gz` with a model's usual files, some of them large enough to be sent in pieces.
fn archive() -> Vec<u8> {
    let noise: Vec<u8> = (0..200_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let mut tar = Vec::new();
    for (name, content) in [
        ("m/pipeline.config", &b"model { }"[..]),
        ("m/model.ckpt.index", b"index"),
        ("m/model.ckpt.data-00000-of-00001", &noise),
        ("m/frozen_inference_graph.pb", b"graph"),
    ] {
        tar.extend_from_slice(&header(name, content.len()));
        tar.extend_from_slice(content);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    gzip(&tar)
}

/// The header of a plain file as POSIX describes it.
fn header(name: &str, size: usize) -> [u8; 512] {
    let mut header = [0; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("packed");
    encoder.finish().expect("packed")
}

const PATH: &str = "/ssd_inception_v2_coco_2018_01_28.tar.gz";

#[test]
fn the_table_can_be_narrowed_down_and_sorted() {
    let all = succeed(["zoo", "list"]);
    assert_eq!(all.out.lines().count(), 91, "a heading and 90 models");
    assert!(all.out.lines().next().is_some_and(|line| line.starts_with("NAME ")), "{}", all.out);
    let quick = succeed(["zoo", "list", "--generation", "tf1", "--dataset", "coco", "--max-ms", "31", "--sort", "map"]);
    let first = quick.out.lines().nth(1).expect("a model");
    assert!(first.contains("  tf1  ") && first.contains("  coco  "), "{first}");
    let json = succeed(["zoo", "list", "--trainable", "--json", "mobilenet", "v1"]);
    let models: Vec<serde_json::Value> = serde_json::from_str(&json.out).expect("JSON");
    let v1 = models.iter().find(|model| model["name"] == "ssd_mobilenet_v1_coco").expect("trainable");
    assert_eq!(
        (&v1["template"], &v1["map"], &v1["speed_ms"]),
        (&"ssd_mobilenet_v1".into(), &21.0.into(), &30.0.into())
    );
    assert!(v1["url"].as_str().is_some_and(|url| url.ends_with("/ssd_mobilenet_v1_coco_2018_01_28.tar.gz")));
    let none = succeed(["zoo", "list", "no", "such", "model"]);
    assert!(none.out.is_empty() && none.err.contains("no model"), "{}", none.err);
    assert_eq!(boxwright(["zoo", "list", "--dataset", "cocoo"]).code, Some(2));
}

#[test]
fn a_model_is_fetched_over_a_bad_connection_and_unpacked() {
    let keep = tempfile::tempdir().expect("a folder");
    let out = keep.path().join("models");
    let server = Server::start([(PATH, Served { cuts: vec![200_000], refusals: vec![503], ..Served::new(archive()) })]);
    let mirror = server.url("/");
    let fetch = |more: &[&str]| {
        let fixed =
            ["zoo", "fetch", "ssd_inception_v2_coco", "--mirror", &mirror, "-o", &text(&out)].map(str::to_owned);
        boxwright(fixed.into_iter().chain(more.iter().map(|&more| more.to_owned())))
    };
    let ran = fetch(&[]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let model = out.join("ssd_inception_v2_coco_2018_01_28");
    let line = format!("fine_tune_checkpoint: \"{}\"", model.join("model.ckpt").display());
    assert!(ran.out.contains(&line) && ran.out.contains("pipeline.config"), "{}", ran.out);
    assert!(server.requests().iter().any(|request| request.headers.get("range") == Some(&"bytes=200000-".to_owned())));
    assert_eq!(fs::read_to_string(model.join("pipeline.config")).expect("read"), "model { }");
    assert_eq!(fs::read_dir(&out).expect("read").count(), 2, "the model and the note of its digest");
    assert!(fetch(&[]).err.contains("--force"));

    // A wrong digest, and what remains of it.
    let wrong = fetch(&["--force", "--sha256", &"0".repeat(64)]);
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.err.contains("--sha256 says sha256:0000") && wrong.err.contains("removed"), "{}", wrong.err);
    assert!(model.join("pipeline.config").is_file());
    assert_eq!(fs::read_dir(&out).expect("read").count(), 2);
    assert_eq!(fetch(&["--sha256", "abc"]).code, Some(2));
}

#[test]
fn what_cannot_be_fetched_is_said_with_its_way_out() {
    let keep = tempfile::tempdir().expect("a folder");
    let server = Server::start([(PATH, Served::new("<html>Please log in</html>"))]);
    let out = text(&keep.path().join("models"));
    let fetch = |name: &str| boxwright(["zoo", "fetch", name, "--mirror", &server.url(""), "-o", &out]);
    let ran = fetch("ssd_inception_v2_cocoo");
    assert!(ran.code == Some(1) && ran.err.contains("did you mean `ssd_inception_v2_coco`?"), "{}", ran.err);
    let ran = fetch("faster_rcnn_nas");
    assert!(ran.code == Some(1) && ran.err.contains("no such file") && ran.err.contains("by hand"), "{}", ran.err);
    let ran = fetch("ssd_inception_v2_coco");
    assert!(ran.code == Some(1) && ran.err.contains("web page"), "{}", ran.err);
    assert_eq!(fs::read_dir(&out).expect("read").count(), 0, "nothing half-done stays");
}

/// Ctrl+C in the middle of a download keeps what came, and the next call goes on from there.
#[cfg(unix)]
#[test]
fn an_interrupted_download_goes_on_the_next_time() {
    let keep = tempfile::tempdir().expect("a folder");
    let slow = std::time::Duration::from_millis(700);
    let server = Server::start([(PATH, Served { cuts: vec![300_000], delay: slow, ..Served::new(archive()) })]);
    let mirror = server.url("/");
    let arguments =
        ["zoo", "fetch", "ssd_inception_v2_coco", "--mirror", &mirror, "-o", &text(keep.path())].map(str::to_owned);
    let child = command(&arguments).stderr(std::process::Stdio::piped()).spawn().expect("the program starts");
    let part = keep.path().join("ssd_inception_v2_coco_2018_01_28.tar.gz.part");
    // The first connection ends after 300000 bytes; the second one lets itself be waited for.
    let started = std::time::Instant::now();
    while fs::metadata(&part).map_or(0, |part| part.len()) < 300_000 {
        assert!(started.elapsed().as_secs() < 20, "nothing came");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("kill").success());
    let ran: crate::support::Ran = child.wait_with_output().expect("it ends").into();
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(ran.err.contains("bytes are kept"), "{}", ran.err);
    let ran = succeed(&arguments);
    assert!(ran.err.contains("of an earlier download were used"), "{}", ran.err);
    assert!(!part.exists());
}
