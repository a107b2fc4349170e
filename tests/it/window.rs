//! The studio in a real window on a virtual screen, driven by mouse and keys as a person does.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{PROGRAM, TinyProject};

/// A process that ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn is_installed(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    found.is_ok_and(|o| o.status.success())
}

/// A virtual screen of 1280 × 800; `None` where there is no Xvfb or xdotool.
fn virtual_screen() -> Option<(Running, String)> {
    if !is_installed("Xvfb") || !is_installed("xdotool") {
        println!("skipped: Xvfb and xdotool are not installed; `make setup` does that");
        return None;
    }
    for number in 71..99 {
        let display = format!(":{number}");
        if Path::new(&format!("/tmp/.X11-unix/X{number}")).exists() {
            continue;
        }
        let server = Command::new("Xvfb")
            .args([&display, "-screen", "0", "1280x800x24", "-nolisten", "tcp"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let server = Running(server);
        if wait_until(Duration::from_secs(20), || Path::new(&format!("/tmp/.X11-unix/X{number}")).exists()) {
            return Some((server, display));
        }
    }
    None
}

fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < limit {
        if done() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    false
}

fn xdotool(display: &str, arguments: &str) -> String {
    let output = Command::new("xdotool")
        .args(arguments.split_whitespace())
        .env("DISPLAY", display)
        .output()
        .expect("xdotool starts");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The boxes of the project's first image, read from its database behind the program's back.
fn boxes_in_database(project: &Path) -> i64 {
    let database = rusqlite::Connection::open(project.join("project.boxwright")).expect("the database opens");
    database.query_row("SELECT count(*) FROM boxes", [], |row| row.get(0)).expect("it has boxes")
}

#[test]
fn a_drawn_box_survives_a_kill_one_second_later() {
    let Some((_screen, display)) = virtual_screen() else { return };
    let project = TinyProject::make();
    let before = boxes_in_database(&project.dir);
    let settings = tempfile::tempdir().expect("a folder");
    let studio = Command::new(PROGRAM)
        .arg("open")
        .arg(&project.dir)
        .env("DISPLAY", &display)
        .env_remove("WAYLAND_DISPLAY")
        .env("WGPU_BACKEND", "vulkan")
        .env("XDG_CONFIG_HOME", settings.path())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the studio starts");
    let mut studio = Running(studio);
    let window = || xdotool(&display, "search --onlyvisible --name Boxwright");
    if !wait_until(Duration::from_secs(60), || !window().is_empty()) {
        let status = studio.0.try_wait().expect("its state");
        panic!("no window appeared; the studio: {status:?}");
    }
    let id = window().lines().next().unwrap_or_default().to_owned();
    xdotool(&display, &format!("windowmove {id} 0 0"));
    xdotool(&display, &format!("windowsize {id} 1280 800"));
    xdotool(&display, &format!("windowfocus {id}"));
    // The first frames on a software renderer take their time.
    std::thread::sleep(Duration::from_secs(4));

    xdotool(&display, "mousemove 640 400");
    xdotool(&display, "key w");
    std::thread::sleep(Duration::from_millis(500));
    xdotool(&display, "mousemove 560 330");
    xdotool(&display, "mousedown 1");
    for step in 1..=10 {
        xdotool(&display, &format!("mousemove {} {}", 560 + step * 12, 330 + step * 9));
        std::thread::sleep(Duration::from_millis(40));
    }
    xdotool(&display, "mouseup 1");
    std::thread::sleep(Duration::from_secs(1));
    // SIGKILL: nothing can be saved now that was not saved before.
    studio.0.kill().expect("it is killed");
    studio.0.wait().expect("it is gone");

    assert_eq!(boxes_in_database(&project.dir), before + 1, "the box that was drawn is in the database");
}
