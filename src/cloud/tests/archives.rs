//! Archives that attack, are damaged, or are just as they should be.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

use crate::archive::{ArchiveError, Limits, Staged, list, pack, unpack};

/// A header with a name that a well-behaved writer would refuse.
pub fn header(name: &[u8], kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_mode(0o777);
    header.set_size(size);
    header.set_cksum();
    header
}

fn zipped(tar: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(tar).expect("packed");
    encoder.finish().expect("packed")
}

/// An archive of files by name and content, as `tar -czf` makes it.
pub fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *content).expect("added");
    }
    zipped(&builder.into_inner().expect("finished"))
}

/// An archive of raw entries.
fn raw(entries: &[(Header, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (header, content) in entries {
        builder.append(header, *content).expect("added");
    }
    zipped(&builder.into_inner().expect("finished"))
}

/// Tries to unpack bytes; what came of it. Nothing but the archive may be in the folder after an error.
fn try_unpack(bytes: &[u8], limits: &Limits) -> Result<PathBuf, ArchiveError> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.tar.gz");
    fs::write(&file, bytes).expect("written");
    let listed = list(&file, limits);
    let unpacked = unpack(&file, &folder.path().join("model"), limits, &mut |_, _| true);
    match unpacked {
        Ok(entries) => {
            assert_eq!(listed.expect("listed as well"), entries);
            Ok(folder.keep().join("model"))
        }
        Err(error) => {
            let names: Vec<PathBuf> = fs::read_dir(folder.path()).expect("read").flatten().map(|e| e.path()).collect();
            assert_eq!(names, [file], "something was left behind: {error}");
            assert_eq!(listed.expect_err("an error as well").to_string(), error.to_string());
            Err(error)
        }
    }
}

fn refused(bytes: &[u8]) -> String {
    try_unpack(bytes, &Limits::default()).expect_err("must be refused").to_string()
}

#[test]
fn plain_archives_of_all_writers_are_unpacked() {
    let long = format!("model/{}/{}.index", "d".repeat(150), "f".repeat(90));
    let model = try_unpack(&archive(&[("model/a.txt", b"abc"), (&long, b""), ("./b", b"x")]), &Limits::default())
        .expect("unpacked");
    assert_eq!(fs::read(model.join("model/a.txt")).expect("read"), b"abc");
    assert_eq!(fs::read(model.join(&long)).expect("a GNU long name"), b"");
    fs::remove_dir_all(model.parent().expect("a folder")).expect("removed");

    // As Python writes it: attributes before the entry, and some for all.
    let record = |key: &str, value: &str| {
        let body = format!(" {key}={value}\n");
        let length = (body.len() + 2..).find(|n| n.to_string().len() + body.len() == *n).expect("a length");
        format!("{length}{body}").into_bytes()
    };
    let (path, all) = (record("path", "pax/ü.txt"), record("comment", "x"));
    let pax = raw(&[
        (header(b"g", EntryType::XGlobalHeader, all.len() as u64), &all),
        (header(b"pax/", EntryType::Directory, 0), b""),
        (header(b"x", EntryType::XHeader, path.len() as u64), &path),
        (header(b"pax/_.txt", EntryType::Regular, 2), b"hi"),
    ]);
    let model = try_unpack(&pax, &Limits::default()).expect("unpacked");
    assert_eq!(fs::read(model.join("pax/ü.txt")).expect("read"), b"hi");
    fs::remove_dir_all(model.parent().expect("a folder")).expect("removed");

    let size = record("size", "1");
    let two_sizes = raw(&[
        (header(b"x", EntryType::XHeader, size.len() as u64), &size),
        (header(b"a", EntryType::Regular, 2), b"hi"),
    ]);
    assert!(refused(&two_sizes).contains("two sizes"));
}

#[test]
fn names_that_lead_out_are_refused() {
    for (name, reason) in [
        ("../out.txt", "`..`"),
        ("a/../../out.txt", "`..`"),
        ("/tmp/out.txt", "absolute"),
        ("a\\..\\out.txt", "characters"),
        ("a\x1b[2J", "characters"),
    ] {
        let error = refused(&raw(&[(header(name.as_bytes(), EntryType::Regular, 1), b"x")]));
        assert!(error.contains(reason) && !error.contains('\x1b'), "{name:?}: {error}");
    }
    // The same through a long name and through an attribute.
    let error = refused(&raw(&[
        (header(b"././@LongLink", EntryType::GNULongName, 10), b"../out.txt"),
        (header(b"good", EntryType::Regular, 1), b"x"),
    ]));
    assert!(error.contains("`..`"), "{error}");
    let error = refused(&raw(&[
        (header(b"x", EntryType::XHeader, 19), b"19 path=../out.txt\n"),
        (header(b"good", EntryType::Regular, 1), b"x"),
    ]));
    assert!(error.contains("`..`"), "{error}");
}

#[test]
fn links_and_devices_are_refused_before_anything_is_written_through_them() {
    let link = |kind| {
        let mut link = header(b"model/link", kind, 0);
        link.set_link_name("/etc").expect("a target");
        link.set_cksum();
        raw(&[(link, b""), (header(b"model/link/passwd", EntryType::Regular, 1), b"x")])
    };
    assert!(refused(&link(EntryType::Symlink)).contains("symbolic link"));
    assert!(refused(&link(EntryType::Link)).contains("hard link"));
    for kind in [EntryType::Char, EntryType::Block, EntryType::Fifo] {
        assert!(refused(&raw(&[(header(b"model/device", kind, 0), b"")])).contains("device"));
    }
    assert!(refused(&raw(&[(header(b"a", EntryType::GNUSparse, 0), b"")])).contains("kind"));
}

#[test]
fn names_that_come_twice_are_refused() {
    let file = |name: &'static [u8]| (header(name, EntryType::Regular, 1), &b"x"[..]);
    let folder = |name: &'static [u8]| (header(name, EntryType::Directory, 0), &b""[..]);
    for entries in [
        vec![file(b"a"), file(b"a")],
        vec![file(b"a"), file(b"./a")],
        vec![file(b"a"), folder(b"a/")],
        vec![folder(b"a"), file(b"a")],
    ] {
        let error = refused(&raw(&entries));
        assert!(error.contains("comes twice"), "{error}");
    }
    assert!(refused(&raw(&[file(b"a"), file(b"a/b")])).contains("below a file"));
    // A folder may be named twice.
    let model = try_unpack(&raw(&[folder(b"a/"), file(b"a/b"), folder(b"a/")]), &Limits::default()).expect("unpacked");
    fs::remove_dir_all(model.parent().expect("a folder")).expect("removed");
}

#[test]
fn bombs_do_not_fill_the_disk() {
    let limits = Limits { free_bytes: 1 << 20, ..Limits::default() };
    let zeros = archive(&[("zeros", &vec![0; 8 << 20])]);
    assert!(zeros.len() < 100_000);
    let error = try_unpack(&zeros, &limits).expect_err("a bomb").to_string();
    assert!(error.contains("100 times its size"), "{error}");
    let small = Limits { bytes: 1 << 20, ..Limits::default() };
    let error = try_unpack(&zeros, &small).expect_err("too much").to_string();
    assert!(error.contains("1048576"), "{error}");
    // A size that nobody could unpack, said in a header.
    let huge = raw(&[(header(b"huge", EntryType::Regular, 1 << 40), b"x")]);
    assert!(refused(&huge).contains("bytes"));
    // A name of megabytes, packed into kilobytes, is not read.
    let name = vec![b'a'; 4 << 20];
    let error = refused(&raw(&[(header(b"././@LongLink", EntryType::GNULongName, name.len() as u64), &name)]));
    assert!(error.contains("more than any name"), "{error}");
    // A bomb behind the last entry.
    let mut tar = Builder::new(Vec::new());
    tar.append(&header(b"a", EntryType::Regular, 1), &b"x"[..]).expect("added");
    let mut tar = tar.into_inner().expect("finished");
    tar.resize(tar.len() + (8 << 20), 0);
    assert!(try_unpack(&zipped(&tar), &limits).is_err());
}

#[test]
fn a_hundred_thousand_entries_are_too_many() {
    let mut tar = Vec::new();
    for number in 0..100_000 {
        tar.extend_from_slice(header(format!("f{number}").as_bytes(), EntryType::Regular, 0).as_bytes());
    }
    let error = refused(&zipped(&tar));
    assert!(error.contains("more than 10000 files"), "{error}");
    // Nor any number of attributes for nobody.
    let mut tar = Vec::new();
    for _ in 0..40_000 {
        tar.extend_from_slice(header(b"g", EntryType::XGlobalHeader, 0).as_bytes());
    }
    assert!(refused(&zipped(&tar)).contains("more than 10000 files"));
}

#[test]
fn every_truncation_and_every_flipped_byte_is_noticed() {
    let content: Vec<u8> = (0..3000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let good = archive(&[("model/pipeline.config", b"model { }"), ("model/weights", &content)]);
    for length in (0..good.len()).step_by(97).chain([good.len() - 1, good.len() - 9]) {
        let error = try_unpack(&good[..length], &Limits::default()).expect_err("cut").to_string();
        assert!(error.contains("damaged") || error.contains("not a .tar.gz"), "{length}: {error}");
    }
    // From the first byte behind the gzip header, whose date and flags say nothing.
    for place in (10..good.len()).step_by(61).chain([good.len() - 5, good.len() - 1]) {
        let mut bad = good.clone();
        bad[place] ^= 0x10;
        try_unpack(&bad, &Limits::default()).expect_err("a flipped bit");
    }
}

#[test]
fn what_is_no_archive_is_named() {
    let name = |bytes: &[u8]| refused(bytes);
    assert!(name(b"").contains("empty"));
    assert!(name(b"  <!DOCTYPE html><html>Not found</html>").contains("web page"));
    assert!(name(b"PK\x03\x04....").contains("ZIP"));
    assert!(name(b"model { ssd { } }").contains("something else"));
    assert!(name(&zipped(b"")).contains("holds nothing"));
    assert!(name(&zipped(&[b'x'; 1024])).contains("damaged"));
}

#[test]
fn a_folder_is_replaced_in_one_step_or_not_at_all() {
    let keep = tempfile::tempdir().expect("a folder");
    let (file, model) = (keep.path().join("a.tar.gz"), keep.path().join("model"));
    fs::write(&file, archive(&[("other-name/new.txt", b"new")])).expect("written");
    fs::create_dir(&model).expect("made");
    fs::write(model.join("old.txt"), "old").expect("written");
    let limits = Limits::default();
    let error = unpack(&file, &model, &limits, &mut |_, _| true).expect_err("it is there");
    assert!(matches!(error, ArchiveError::Exists { .. }));
    let staged = || Staged::unpack(&file, &model, &limits, &mut |_, _| true).expect("unpacked").0;
    assert!(matches!(staged().place(&model, false), Err(ArchiveError::Exists { .. })));
    assert!(model.join("old.txt").is_file());
    staged().without_wrapping().expect("read").place(&model, true).expect("replaced");
    assert!(model.join("new.txt").is_file() && !model.join("old.txt").exists(), "the one folder in it is the model");
    assert_eq!(fs::read_dir(keep.path()).expect("read").count(), 2);
}

#[test]
fn stopping_leaves_nothing() {
    let keep = tempfile::tempdir().expect("a folder");
    let (file, model) = (keep.path().join("a.tar.gz"), keep.path().join("model"));
    let noise: Vec<u8> = (0..1_000_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    fs::write(&file, archive(&[("a", &noise)])).expect("written");
    let error = unpack(&file, &model, &Limits::default(), &mut |done, total| done < total / 2).expect_err("stopped");
    assert!(matches!(error, ArchiveError::Cancelled), "{error}");
    assert_eq!(fs::read_dir(keep.path()).expect("read").count(), 1);
}

#[test]
fn packing_gives_the_same_bytes_for_the_same_files() {
    let keep = tempfile::tempdir().expect("a folder");
    let make = |name: &str, order: &[&str]| -> PathBuf {
        let folder = keep.path().join(name);
        for file in order {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(&path, file.repeat(50)).expect("written");
        }
        fs::create_dir_all(folder.join("empty")).expect("made");
        folder
    };
    let long = format!("code/{}.txt", "n".repeat(120));
    let one = make("one", &["model.bin", "code/a.txt", &long]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let two = make("two", &[&long, "code/a.txt", "model.bin"]);
    let (a, b) = (one.join("model.tar.gz"), keep.path().join("b.tar.gz"));
    pack(&one, &a).expect("packed");
    // A second time, with the first archive in the folder.
    pack(&one, &a).expect("packed");
    pack(&two, &b).expect("packed");
    assert_eq!(fs::read(&a).expect("read"), fs::read(&b).expect("read"));
    let out = keep.path().join("out");
    let entries = unpack(&b, &out, &Limits::default(), &mut |_, _| true).expect("unpacked");
    let names: Vec<String> = entries.iter().map(|entry| entry.path.display().to_string()).collect();
    assert_eq!(names, ["code", "code/a.txt", long.as_str(), "empty", "model.bin"]);
    assert_eq!(fs::read_to_string(out.join("model.bin")).expect("read"), "model.bin".repeat(50));
    assert!(pack(Path::new("no such folder"), &b).expect_err("none").to_string().contains("no such folder"));
}

#[cfg(unix)]
#[test]
fn links_are_not_packed() {
    let keep = tempfile::tempdir().expect("a folder");
    std::os::unix::fs::symlink("/etc/passwd", keep.path().join("link")).expect("a link");
    let error = pack(keep.path(), &keep.path().join("a.tar.gz")).expect_err("a link");
    assert!(matches!(error, ArchiveError::Unpackable { .. }), "{error}");
    assert!(!keep.path().join("a.tar.gz").exists());
}
