//! The session, driven as a window drives it: by commands, in temporary folders, without a window.

mod checking;
mod editing;
mod exporting;
mod importing;
mod jobs;
mod real_data;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use boxwright_core::{ImageId, LabelId, PixelBox, Problem};

use crate::{Command, JobId, JobView, Outcome, Session};

/// Longer than anything here takes, on however busy a machine.
const LONG: Duration = Duration::from_secs(120);

/// A session with an open project in a temporary folder.
struct Studio {
    folder: tempfile::TempDir,
    session: Session,
}

impl Studio {
    /// `program` is what jobs start.
    fn with_program(program: &Path) -> Self {
        Self::in_folder(tempfile::tempdir().expect("a temporary folder"), program)
    }

    fn in_folder(folder: tempfile::TempDir, program: &Path) -> Self {
        let mut session = Session::with_config_dir(program.to_owned(), None);
        session.handle(Command::NewProject { dir: folder.path().join("project") }).expect("a new project");
        Self { folder, session }
    }

    fn new() -> Self {
        Self::with_program(Path::new("/bin/false"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn project(&self) -> PathBuf {
        self.path("project")
    }

    fn run(&mut self, command: Command) -> Outcome {
        self.session.handle(command).expect("the command is carried out")
    }

    fn refuse(&mut self, command: Command) -> String {
        self.session.handle(command).expect_err("the command is refused").to_string()
    }

    /// Starts a job and waits for its end.
    fn job(&mut self, command: Command) -> JobView {
        let id = self.run(command).job.expect("a job");
        self.end_of(id)
    }

    fn end_of(&mut self, id: JobId) -> JobView {
        assert!(self.session.wait_for_jobs(LONG), "the job does not end: {:?}", self.session.jobs());
        self.session.job(id).expect("the job is listed").clone()
    }

    /// Adds pictures named `0.png`, `1.png`, … of 100 × 80 pixels.
    fn add_pictures(&mut self, count: u8) -> Vec<ImageId> {
        let folder = self.path("pictures");
        for number in 0..count {
            picture(&folder.join(format!("{number}.png")), 100, 80, number);
        }
        let job = self.job(Command::AddImages { paths: vec![folder] });
        assert_eq!(job.problems, []);
        self.session.images().iter().map(|image| image.id).collect()
    }

    fn add_class(&mut self, name: &str) -> LabelId {
        self.run(Command::AddClass { name: name.into() }).label.expect("a class")
    }

    fn draw(&mut self, image: ImageId, label: LabelId, bounds: PixelBox) -> boxwright_core::BoxId {
        self.run(Command::AddBox { image, label, bounds }).created[0]
    }

    /// A new session on the same project, as after a crash of the old one.
    fn reopen(&self) -> Session {
        let mut session = Session::with_config_dir("/bin/false".into(), None);
        session.handle(Command::OpenProject { dir: self.project() }).expect("it opens again");
        session
    }
}

/// Polls until `done`, which must come true.
fn wait_until(session: &mut Session, what: &str, mut done: impl FnMut(&Session) -> bool) {
    let deadline = std::time::Instant::now() + LONG;
    while !done(session) {
        assert!(std::time::Instant::now() < deadline, "it does not come: {what}");
        session.poll();
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Writes a picture whose bytes depend on `number`; the name says the encoding.
fn picture(path: &Path, width: u32, height: u32, number: u8) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    image::RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([(x * 7 + u32::from(number)) as u8, (y * 5) as u8, number.wrapping_mul(31)])
    })
    .save(path)
    .expect("written");
}

/// A Pascal VOC file with boxes as `(name, xmin, ymin, xmax, ymax)`, one object on one line, the
/// first on line 4.
fn voc(path: &Path, filename: &str, size: (u32, u32), objects: &[(&str, i32, i32, i32, i32)]) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    let mut text = format!(
        "<annotation>\n<filename>{filename}</filename>\n<size><width>{}</width><height>{}</height><depth>3</depth></size>\n",
        size.0, size.1
    );
    for (name, xmin, ymin, xmax, ymax) in objects {
        text += &format!(
            "<object><name>{name}</name><bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox></object>\n"
        );
    }
    std::fs::write(path, text + "</annotation>\n").expect("written");
}

/// A small program in place of Boxwright. Another process writes it: a file that is open for writing
/// in this one, even for a moment in a forked child of another test, could not be started.
fn script(path: &Path, body: &str) {
    let mut writer = std::process::Command::new("sh")
        .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .expect("started");
    let text = format!("#!/bin/sh\n{body}\n");
    writer.stdin.take().expect("piped").write_all(text.as_bytes()).expect("written");
    assert!(writer.wait().expect("ended").success());
}

fn codes(problems: &[Problem]) -> Vec<&str> {
    problems.iter().map(|p| p.code.as_str()).collect()
}

fn problem<'a>(problems: &'a [Problem], code: &str) -> &'a Problem {
    problems.iter().find(|p| p.code == code).unwrap_or_else(|| panic!("no {code} in {problems:#?}"))
}

/// The folder of data beside the checkout, if it is there.
fn shared() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let path = std::env::var_os("BOXWRIGHT_SHARED").map_or(beside, PathBuf::from);
    let found = path.join("data").is_dir();
    if !found {
        println!("skipped: no ../shared here");
    }
    found.then_some(path)
}
