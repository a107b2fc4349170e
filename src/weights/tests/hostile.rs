//! A thousand damaged files of every kind: each is read or refused, quickly, in little memory, and nothing
//! in one is ever run.

use std::path::Path;
use std::time::{Duration, Instant};

use super::memory::peak;
use super::small_files::{self, archive, as_it_is, bundle, keras, legacy_pytorch, own, packed, pytorch, tflite};
use crate::{WeightsError, open, read, read_checkpoint};

const FILES: u64 = 1000;

/// Most memory for a file of a few kilobytes.
const MAX_MEMORY: usize = 96 << 20;

/// Longest time for one, on a machine that is busy with other things.
const MAX_TIME: Duration = Duration::from_secs(20);

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides.max(1)
    }
}

/// One to four changes: bits, bytes, numbers that are too large, pieces cut out or doubled, an early end.
fn mutate(bytes: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.roll(4) {
        let length = bytes.len().max(1);
        bytes.resize(length, 0);
        let at = dice.roll(length);
        match dice.roll(9) {
            0 => bytes[at] ^= 1 << dice.roll(8),
            1 => bytes[at] = dice.roll(256) as u8,
            2 => bytes[at] = [0x00, 0x7f, 0x80, 0xff][dice.roll(4)],
            3 | 4 => {
                let wide = if dice.roll(2) == 0 { 4 } else { 8 };
                let number = [u64::MAX, 1 << 31, 1 << 62, 0x7fff_ffff, 0, 0xffff_fff0][dice.roll(6)];
                let end = (at + wide).min(length);
                bytes[at..end].copy_from_slice(&number.to_le_bytes()[..end - at]);
            }
            5 => bytes.truncate(at),
            6 => {
                let end = (at + dice.roll(64)).min(length);
                bytes.drain(at..end);
            }
            7 => {
                let end = (at + dice.roll(64)).min(length);
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => bytes.swap(at, dice.roll(length)),
        }
    }
}

/// Opens and reads everything; what it says of a file that it refuses has the file's name in it.
fn survive(path: &Path, name: &str) -> bool {
    let begin = Instant::now();
    let (result, memory) = peak(|| -> Result<(), WeightsError> {
        let mut file = open(path)?;
        drop(file.verify());
        file.read_all().map(drop)
    });
    assert!(memory < MAX_MEMORY, "{memory} bytes for {}", path.display());
    assert!(begin.elapsed() < MAX_TIME, "{:?} for {}", begin.elapsed(), path.display());
    if let Err(error) = &result {
        assert!(error.to_string().contains(name), "{error}");
    }
    result.is_ok()
}

/// A thousand files; how many were refused.
fn thousand(name: &str, write: &dyn Fn(&Path, &mut Dice)) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    let stem = name.split('.').next().expect("a name");
    let refused = (1..=FILES).filter(|seed| {
        write(&path, &mut Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        !survive(&path, stem)
    });
    let refused = refused.count();
    println!("hostile {name} | {FILES} files | {refused} refused");
    assert!(refused as u64 > FILES / 10);
}

fn thousand_of(name: &str, valid: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    std::fs::write(&path, valid).expect("writable");
    let values = read(&path).unwrap_or_else(|error| panic!("the file before it is damaged: {error}"));
    assert!(!values.is_empty());
    thousand(name, &|path, dice| {
        let mut bytes = valid.to_vec();
        mutate(&mut bytes, dice);
        std::fs::write(path, bytes).expect("writable");
    });
}

fn write_bundle(path: &Path, (index, data): (Vec<u8>, Vec<u8>)) {
    std::fs::write(path, index).expect("writable");
    std::fs::write(path.with_extension("data-00000-of-00001"), data).expect("writable");
}

#[test]
fn bundles() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.index");
    write_bundle(&path, bundle(&mut as_it_is));
    let values = read(&path).expect("valid");
    assert_eq!(values["p"].shape, [5, 2]);
    assert_eq!(values["p"].data, [-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 7.0, 8.0, 9.0, 10.0]);
    thousand("m.index", &|path, dice| {
        // Half of them with checksums that are right: what they protect is then looked at.
        let (mut index, mut data) =
            if dice.roll(2) == 0 { bundle(&mut |b| mutate(b, dice)) } else { bundle(&mut as_it_is) };
        match dice.roll(4) {
            0 => mutate(&mut index, dice),
            1 => mutate(&mut data, dice),
            _ => {}
        }
        write_bundle(path, (index, data));
    });
}

#[test]
fn state_dicts() {
    let valid = pytorch(None, &mut as_it_is);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("s.pth");
    std::fs::write(&path, &valid).expect("writable");
    let values = read(&path).expect("valid");
    assert_eq!(values["conv.weight"].shape, [1, 1, 2, 3]);
    assert_eq!(values["conv.weight"].data, [-1.0, 0.0, 1.0, -0.5, 0.5, 1.5]);
    thousand("s.pth", &|path, dice| {
        let mut bytes = if dice.roll(2) == 0 { pytorch(None, &mut |b| mutate(b, dice)) } else { valid.clone() };
        if dice.roll(3) == 0 {
            mutate(&mut bytes, dice);
        }
        std::fs::write(path, bytes).expect("writable");
    });
}

#[test]
fn state_dicts_of_old() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("old.pth");
    std::fs::write(&path, legacy_pytorch()).expect("writable");
    assert_eq!(read(&path).expect("valid")["conv.bias"].data, [-1.0, -0.5, 0.0]);
    thousand_of("old.pth", &legacy_pytorch());
}

#[test]
fn models_of_tensorflow_lite() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.tflite");
    std::fs::write(&path, tflite()).expect("writable");
    let values = read(&path).expect("valid");
    let kernel = &values["MobilenetV1/Conv2d_0/weights"];
    // The first place of both outputs: 0 · 0.5 and 27 · 0.25.
    assert_eq!((kernel.shape.as_slice(), &kernel.data[..2]), (&[3, 3, 3, 2][..], &[0.0, 6.75][..]));
    assert_eq!(values["MobilenetV1/Conv2d_0/biases"].data, [1.5, -2.5]);
    thousand_of("m.tflite", &tflite());
}

#[test]
fn graphs() {
    thousand_of("g.pb", &small_files::graph());
}

#[test]
fn keras_weights() {
    thousand_of("k.h5", &keras());
}

#[test]
fn safetensors() {
    thousand_of("a.safetensors", &small_files::safetensors());
}

#[test]
fn own_checkpoints() {
    thousand_of("ckpt-00000003.safetensors", &own());
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("c.safetensors");
    let mut refused = 0;
    for seed in 1..=FILES {
        let mut bytes = own();
        mutate(&mut bytes, &mut Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        std::fs::write(&path, bytes).expect("writable");
        refused += usize::from(read_checkpoint(&path).is_err());
    }
    assert!(refused as u64 > FILES / 10);
}

#[test]
fn archives() {
    let file = small_files::safetensors();
    let valid = archive(&[("model/readme.txt", b"no weights"), ("model/a.safetensors", &file)]);
    thousand_of("m.tar.gz", &valid);
}

#[test]
fn code_in_a_pickle_is_never_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, mark) = (folder.path().join("evil.pth"), folder.path().join("run"));
    let shell = format!("touch {}", mark.display());
    let text =
        |text: &str| [b"X".to_vec(), (text.len() as u32).to_le_bytes().to_vec(), text.as_bytes().to_vec()].concat();
    let calls: [(&str, Vec<u8>); 5] = [
        ("os.system", [b"\x80\x02cos\nsystem\n".to_vec(), text(&shell), b"\x85R.".to_vec()].concat()),
        (
            "posix.system",
            [b"\x80\x04\x8c\x05posix\x8c\x06system\x93".to_vec(), text(&shell), b"\x85R.".to_vec()].concat(),
        ),
        ("INST", [b"(".to_vec(), text(&shell), b"ios\nsystem\n.".to_vec()].concat()),
        ("NEWOBJ", [b"csubprocess\nPopen\n".to_vec(), text(&shell), b"\x85\x81.".to_vec()].concat()),
        ("builtins.exec", [b"cbuiltins\nexec\n".to_vec(), text("import os"), b"\x85R.".to_vec()].concat()),
    ];
    for (name, pickle) in calls {
        std::fs::write(&path, pytorch(Some(pickle), &mut as_it_is)).expect("writable");
        let error = open(&path).expect_err("refused").to_string();
        assert!(error.contains(name) && error.contains("never run") && error.contains("evil.pth"), "{error}");
        assert!(!mark.exists());
    }
}

#[test]
fn bundles_that_lie_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lie.index");
    let (index, data) = bundle(&mut as_it_is);
    // The entry of `b/biases`: offset 64, size 16, for a shape of 4.
    let entry = [&[0x20][..], &small_files::varint(64), &[0x28, 16]].concat();
    let place = index.windows(entry.len()).position(|window| window == entry).expect("the entry");
    for (with, word) in [
        ([&[0x20][..], &[0x7f], &[0x28, 16]].concat(), "should lie"),
        ([&[0x20][..], &[64], &[0x28, 20]].concat(), "shape"),
        ([&[0x20][..], &[63], &[0x28, 16]].concat(), "checksum"),
    ] {
        let changed = bundle(&mut |block| {
            let at = block.windows(entry.len()).position(|window| window == entry);
            if let Some(at) = at {
                block[at..at + entry.len()].copy_from_slice(&with);
            }
        });
        write_bundle(&path, changed);
        let error = read(&path).expect_err("a lie").to_string();
        assert!(error.contains(word) && error.contains("b/biases"), "{error}");
    }
    assert!(place < index.len() && data.len() == 80);
}

#[test]
fn archives_that_leave_their_folder_or_grow_without_end_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).expect("made");
    let path = inner.join("m.tar.gz");
    let file = small_files::safetensors();
    for name in ["../a.safetensors", "/tmp/boxwright-weights-a.safetensors", "x/../../a.safetensors"] {
        std::fs::write(&path, archive(&[(name, &file)])).expect("writable");
        let error = open(&path).expect_err("outside").to_string();
        assert!(error.contains("outside"), "{error}");
        assert!(!folder.path().join("a.safetensors").exists());
    }
    let mut bomb = tar::Header::new_gnu();
    bomb.set_path("a.safetensors").expect("short");
    bomb.set_size(200 << 20);
    bomb.set_cksum();
    let bytes = [bomb.as_bytes().to_vec(), vec![0; 200 << 20]].concat();
    std::fs::write(&path, packed(&bytes)).expect("writable");
    let error = open(&path).expect_err("a bomb").to_string();
    assert!(error.contains("more than"), "{error}");
    std::fs::write(&path, archive(&[("model_algo_1-0000.params", b"x")])).expect("writable");
    assert!(open(&path).expect_err("MXNet").to_string().contains("MXNet"));
}
