//! The rules of the house as a test: which room may know which, what each must never know, and what every file owes its
//! reader. A rule that is worth writing down is worth checking; a change of a rule is a change of this file.

use std::fs;
use std::path::{Path, PathBuf};

/// A room: the rooms it may use, the libraries it must not (by the start of their name), and whether it may touch files.
struct Room {
    name: &'static str,
    uses: &'static [&'static str],
    never: &'static [&'static str],
    files: bool,
}

const WINDOW: [&str; 4] = ["egui", "eframe", "rfd", "iconflow"];
const MODELS: [&str; 3] = ["burn", "cubecl", "gemm"];
const NET: [&str; 6] = ["aws-", "reqwest", "hyper", "axum", "tokio", "ureq"];

/// The rooms as `src/ARCHITECTURE.md` gives them, from the ground upwards: an arrow always points to an earlier line.
const ROOMS: [Room; 14] = [
    room("core", &[], &["egui", "eframe", "rfd", "burn", "wgpu", "image", "rusqlite", "prost", "quick-xml"], false),
    room("config", &["core"], &["egui", "eframe", "rfd", "burn", "wgpu", "rusqlite"], true),
    room("formats", &["core", "config"], &["egui", "eframe", "rfd", "burn", "wgpu", "rusqlite"], true),
    room("store", &["core", "formats"], &["egui", "eframe", "rfd", "burn", "wgpu", "quick-xml"], true),
    room("sample", &[], &["egui", "eframe", "rfd", "burn", "wgpu", "image", "rusqlite"], false),
    room("kernels", &[], &["egui", "eframe", "rfd", "prost", "image", "rusqlite"], false),
    room(
        "detection",
        &["core", "config", "kernels"],
        &["egui", "eframe", "rfd", "image", "rusqlite", "safetensors"],
        false,
    ),
    room(
        "weights",
        &["core", "config", "formats", "kernels", "detection"],
        &["egui", "eframe", "rfd", "rusqlite"],
        true,
    ),
    room(
        "training",
        &["core", "config", "formats", "store", "kernels", "detection", "weights"],
        &["egui", "eframe", "rfd", "clap"],
        true,
    ),
    room("export", &["core", "config", "formats", "detection", "weights"], &["egui", "eframe", "rfd"], true),
    room("cloud", &["config", "formats"], &["egui", "eframe", "rfd", "burn", "wgpu", "gemm", "rusqlite"], true),
    room("session", &["core", "config", "formats", "store"], &["egui", "eframe", "rfd", "burn", "wgpu", "gemm"], true),
    room(
        "studio",
        &["core", "session"],
        &["burn", "gemm", "prost", "quick-xml", "rusqlite", "safetensors", "hotcoco"],
        true,
    ),
    room(
        "cli",
        &["core", "config", "formats", "store", "sample", "training", "weights", "export", "cloud", "session"],
        &["egui", "eframe", "burn", "gemm", "rusqlite", "prost"],
        true,
    ),
];

const fn room(name: &'static str, uses: &'static [&'static str], never: &'static [&'static str], files: bool) -> Room {
    Room { name, uses, never, files }
}

/// Longest file, in lines.
const LONGEST: usize = 700;

/// What may stand at the top of the checkout, besides dot files.
const TOP_LEVEL: [&str; 15] = [
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "CHANGELOG.md",
    "Makefile",
    "clippy.toml",
    "rustfmt.toml",
    "src",
    "assets",
    "proto",
    "shaders",
    "tests",
    "packaging",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// Every file below a folder whose name ends as given.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                found.extend(files(&path, endings));
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// All Rust sources of the project.
fn sources() -> Vec<PathBuf> {
    let found = ["src", "tests", "packaging"]
        .iter()
        .flat_map(|folder| files(&root().join(folder), &[".rs"]))
        .collect::<Vec<_>>();
    assert!(found.len() > 50, "only {} sources were found below {}", found.len(), root().display());
    found
}

/// The modules that are compiled for tests only, each as the path of its folder; its file has the same name with `.rs`.
fn test_modules(sources: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in sources {
        let folder = match path.file_stem().and_then(|stem| stem.to_str()) {
            Some("lib" | "mod" | "main") | None => path.parent().unwrap_or(path).to_owned(),
            Some(_) => path.with_extension(""),
        };
        for declared in read(path).split("#[cfg(test)]\nmod ").skip(1) {
            let name: String = declared.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if declared[name.len()..].starts_with(';') {
                found.push(folder.join(name));
            }
        }
    }
    found
}

/// A path as it is named in a message.
fn short(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn report(rule: &str, misses: &[String]) {
    assert!(misses.is_empty(), "{rule}:\n  {}", misses.join("\n  "));
}

/// One dependency of a manifest: the section, the name, the rest of the line.
type Dependency = (String, String, String);

/// The dependencies of a manifest, of all kinds.
fn dependencies(manifest: &str) -> Vec<Dependency> {
    let mut section = String::new();
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']').to_owned();
            // [dependencies.name] is a section of its own.
            if let Some((kind, name)) = section.clone().split_once("dependencies.") {
                found.push((format!("{kind}dependencies"), name.to_owned(), String::new()));
            }
        } else if section.ends_with("dependencies") && !line.starts_with('#') {
            let name_ends = line.find(['.', '=', ' ']).unwrap_or(line.len());
            let (name, rest) = line.split_at(name_ends);
            if !name.is_empty() {
                found.push((section.clone(), name.trim_matches('"').to_owned(), rest.trim().to_owned()));
            }
        }
    }
    found
}

/// What is wrong with the manifest of a room.
fn manifest_misses(room: &Room, manifest: &str) -> Vec<String> {
    let mut misses = Vec::new();
    for (section, name, rest) in dependencies(manifest) {
        let here = format!("src/{}/Cargo.toml, [{section}]", room.name);
        if !rest.starts_with(".workspace = true") {
            misses.push(format!(
                "{here}: `{name}` must be `{name}.workspace = true`, one feature set for the whole workspace"
            ));
        }
        if name == "boxwright-workspace-hack" {
            // Two rooms carry it for all above them: one for the models, one for the window.
            if section != "dev-dependencies" && !["kernels", "studio"].contains(&room.name) {
                misses.push(format!("{here}: `{name}` is for kernels and studio"));
            }
        } else if name == "boxwright-golden" {
            if section != "dev-dependencies" {
                misses.push(format!("{here}: `{name}` is for tests"));
            }
        } else if let Some(other) = name.strip_prefix("boxwright-") {
            if !room.uses.contains(&other) {
                misses.push(format!("{here}: `{}` must not know `{other}`", room.name));
            }
        } else if section == "dependencies" && room.never.iter().any(|start| name.starts_with(start)) {
            misses.push(format!("{here}: `{}` must not know `{name}`", room.name));
        }
    }
    if !manifest.contains("[lints]\nworkspace = true") {
        misses.push(format!("src/{}/Cargo.toml: `[lints] workspace = true` is missing", room.name));
    }
    misses
}

#[test]
fn arrows_between_rooms_point_downwards() {
    let mut misses = Vec::new();
    for room in &ROOMS {
        misses.extend(manifest_misses(room, &read(&root().join("src").join(room.name).join("Cargo.toml"))));
    }
    report("the rooms keep to the table in tests/it/tidy.rs", &misses);
}

#[test]
fn the_table_of_rooms_is_the_house() {
    let mut misses = Vec::new();
    let architecture = read(&root().join("src/ARCHITECTURE.md"));
    for entry in fs::read_dir(root().join("src")).expect("src can be read").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() && ROOMS.iter().all(|room| room.name != name) {
            misses.push(format!("src/{name} is not in the table of tests/it/tidy.rs"));
        }
    }
    for (place, room) in ROOMS.iter().enumerate() {
        if !architecture.contains(&format!("| `{}` |", room.name)) {
            misses.push(format!("src/ARCHITECTURE.md does not say what `{}` is for", room.name));
        }
        for other in room.uses {
            if ROOMS[..place].iter().all(|below| below.name != *other) {
                misses.push(format!("`{}` uses `{other}`, which is not below it", room.name));
            }
        }
    }
    report("every room has its line", &misses);
}

#[test]
fn rooms_that_know_no_files_open_none() {
    let mut misses = Vec::new();
    for room in ROOMS.iter().filter(|room| !room.files) {
        let sources = files(&root().join("src").join(room.name), &[".rs"]);
        let tests = test_modules(&sources);
        for path in &sources {
            let place = short(path);
            if place.contains("/examples/")
                || tests.iter().any(|module| path.starts_with(module) || *path == module.with_extension("rs"))
            {
                continue;
            }
            let text = read(path);
            // What follows the test module at the end of a file is not part of the room.
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            for word in ["std::fs", "std::net", "File::open", "std::process"] {
                if code.contains(word) {
                    misses.push(format!("{place}: {word}"));
                }
            }
        }
    }
    report("core, sample, kernels and detection know neither files nor network", &misses);
}

#[test]
fn only_the_edge_reaches_the_network() {
    // `serving` will be another; until it is there, no other room has a reason.
    let mut misses = Vec::new();
    for room in ROOMS.iter().filter(|room| room.name != "cloud") {
        let manifest = read(&root().join("src").join(room.name).join("Cargo.toml"));
        for (_, name, _) in dependencies(&manifest) {
            if NET.iter().any(|start| name.starts_with(start)) {
                misses.push(format!("src/{}: {name}", room.name));
            }
        }
    }
    report("no library of the network", &misses);
}

#[test]
fn every_file_opens_with_its_story_and_ends_in_time() {
    let mut misses = Vec::new();
    for path in sources() {
        let text = read(&path);
        let lines = text.lines().count();
        if lines > LONGEST {
            misses.push(format!("{}: {lines} lines; split it where its story has parts", short(&path)));
        }
        let story = text.lines().take_while(|line| line.starts_with("//!")).map(|line| line.len() - 3).sum::<usize>();
        if story < 12 {
            misses.push(format!("{}: does not open with `//!` and what it is for", short(&path)));
        }
    }
    report("a file has a story and at most 700 lines", &misses);
}

#[test]
fn nothing_is_left_open_and_no_test_is_put_aside() {
    // Spelled in two parts, so that this file does not find itself.
    let words = [
        ["to", "do!("],
        ["unimple", "mented!("],
        ["db", "g!("],
        ["FIX", "ME"],
        ["#[ig", "nore"],
        ["for n", "ow,"],
        ["not yet imple", "mented"],
    ];
    let mut misses = Vec::new();
    for path in sources() {
        for (number, line) in read(&path).lines().enumerate() {
            for word in words.iter().map(|parts| parts.concat()) {
                if line.contains(&word) {
                    misses.push(format!("{}:{}: {word}", short(&path), number + 1));
                }
            }
        }
    }
    report("what is there is finished", &misses);
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    let words = [
        ["/wo", "rk/"],
        ["/ro", "ot/"],
        ["/ho", "me/"],
        ["/Us", "ers/"],
        ["crates.io", "-index"],
        ["pypi", ".org"],
        ["deb.deb", "ian.org"],
        ["registry.np", "mjs"],
    ];
    let mut text_files = vec![root().join("Makefile"), root().join(".ci/run")];
    for folder in ["src", "tests", "packaging", "assets", "proto", "shaders"] {
        let endings = [".rs", ".md", ".toml", ".sh", ".awk", ".proto", ".wgsl", ".config", ".pbtxt"];
        text_files.extend(files(&root().join(folder), &endings));
    }
    for name in ["README.md", "CHANGELOG.md", "Cargo.toml", "clippy.toml", "rustfmt.toml"] {
        text_files.push(root().join(name));
    }
    let mut misses = Vec::new();
    for path in text_files.iter().filter(|path| path.exists()) {
        for (number, line) in read(path).lines().enumerate() {
            for word in words.iter().map(|parts| parts.concat()) {
                if line.contains(&word) {
                    misses.push(format!("{}:{}: {word}", short(path), number + 1));
                }
            }
        }
    }
    report("no path of a machine, no host of a registry", &misses);
}

#[test]
fn the_top_level_is_what_the_design_says() {
    let mut misses = Vec::new();
    for entry in fs::read_dir(root()).expect("the checkout can be read").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // `target` and the demo's project are what the program itself leaves there.
        if !name.starts_with('.') && name != "target" && name != "boxwright-demo" && !TOP_LEVEL.contains(&name.as_str())
        {
            misses.push(name);
        }
    }
    report("nothing else stands at the top level", &misses);
}

#[test]
fn the_window_and_the_models_never_meet() {
    let mut misses = Vec::new();
    for room in &ROOMS {
        let manifest = read(&root().join("src").join(room.name).join("Cargo.toml"));
        let knows = |family: &[&str]| {
            dependencies(&manifest).iter().any(|(section, name, _)| {
                section == "dependencies" && family.iter().any(|start| name.starts_with(start))
            })
        };
        if knows(&WINDOW) && knows(&MODELS) {
            misses.push(format!("src/{}", room.name));
        }
    }
    report("a room has the window or the models, so that an edit of one never rebuilds the other", &misses);
}

/// The rules can fail: a manifest with one of each mistake.
#[test]
fn a_manifest_with_every_mistake_is_found_out() {
    let manifest = "[package]\nname = \"x\"\n\n[dependencies]\n# a remark\nboxwright-core.workspace = true\n\
                    boxwright-studio.workspace = true\nburn-std.workspace = true\nserde = { version = \"1\" }\n\
                    boxwright-workspace-hack.workspace = true\n\n[dependencies.egui]\nversion = \"1\"\n\n\
                    [dev-dependencies]\nburn.workspace = true\nboxwright-workspace-hack.workspace = true\n";
    let session = ROOMS.iter().find(|room| room.name == "session").expect("session is a room");
    let misses = manifest_misses(session, manifest).join("\n");
    for expected in [
        "must not know `studio`",
        "must not know `burn-std`",
        "`serde` must be `serde.workspace = true`",
        "must not know `egui`",
        "`boxwright-workspace-hack` is for kernels and studio",
        "`[lints] workspace = true` is missing",
    ] {
        assert!(misses.contains(expected), "{expected:?} is not among:\n{misses}");
    }
    assert!(!misses.contains("`core`") && !misses.contains("[dev-dependencies]"), "found too much:\n{misses}");
}
