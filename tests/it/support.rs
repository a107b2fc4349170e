//! Small data sets and the program itself, as a person would run it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use boxwright_core::{ImageSize, PixelBox};

/// The program that this test was built with.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_boxwright");

/// What a run of the program gave.
pub struct Ran {
    /// Its exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs the program and waits.
pub fn boxwright<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Ran {
    command(arguments).output().expect("the program starts").into()
}

/// Runs the program, which must succeed.
pub fn succeed<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Ran {
    let ran = boxwright(arguments);
    assert_eq!(ran.code, Some(0), "standard error:\n{}", ran.err);
    ran
}

/// The program with arguments, not yet started.
pub fn command<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    command
}

/// Runs a shell script as root in its own mount namespace; `None` where that is not allowed.
pub fn in_own_mounts(script: &str) -> Option<Ran> {
    let namespace = ["--mount", "--map-root-user", "--user"];
    let plain = ["--mount"];
    for flags in [&plain[..], &namespace[..]] {
        let allowed = Command::new("unshare")
            .args(flags)
            .args(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/mnt"])
            .output();
        if allowed.is_ok_and(|o| o.status.success()) {
            let output =
                Command::new("unshare").args(flags).args(["sh", "-c", script]).output().expect("unshare starts");
            return Some(output.into());
        }
    }
    println!("skipped: mounting a small file system is not allowed here");
    None
}

/// A path as an argument.
pub fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A Pascal VOC folder with pictures of one bright square each, and empty ones between.
pub struct VocFolder {
    /// The folder; pictures and XML files side by side.
    pub path: PathBuf,
}

impl VocFolder {
    /// `count` pictures of 96 × 80 pixels; every fourth has no square.
    pub fn write(path: &Path, count: usize) -> Self {
        fs::create_dir_all(path).expect("the folder is made");
        let folder = Self { path: path.to_owned() };
        for i in 0..count {
            let place = (i % 4 != 3).then(|| {
                let (x, y) = ((i * 13 % 50) as f64, (i * 7 % 40) as f64);
                PixelBox::new(y, x, y + 30.0, x + 30.0)
            });
            folder.add(&format!("picture-{i:02}"), place, "square");
        }
        folder
    }

    /// Adds a picture with at most one object.
    pub fn add(&self, name: &str, place: Option<PixelBox>, label: &str) {
        let size = ImageSize::new(96, 80);
        let mut picture = image::RgbImage::from_fn(size.width, size.height, |x, y| {
            let v = 60 + ((x * 7 + y * 13) % 40) as u8;
            image::Rgb([v, v, v])
        });
        if let Some(b) = place {
            for y in b.ymin as u32..b.ymax as u32 {
                for x in b.xmin as u32..b.xmax as u32 {
                    picture.put_pixel(x, y, image::Rgb([240, 200, 30]));
                }
            }
        }
        picture.save(self.path.join(format!("{name}.jpg"))).expect("the picture is written");
        let object = place.map_or_else(String::new, |b| object(label, b.xmin, b.ymin, b.xmax, b.ymax));
        self.write_xml(name, &object);
    }

    /// Writes the annotation of a picture with these `<object>` elements.
    pub fn write_xml(&self, name: &str, objects: &str) {
        let xml = format!(
            "<annotation>\n  <filename>{name}.jpg</filename>\n  <size><width>96</width><height>80</height><depth>3</depth></size>\n{objects}</annotation>\n"
        );
        fs::write(self.path.join(format!("{name}.xml")), xml).expect("the XML is written");
    }
}

/// One `<object>` element.
pub fn object(label: &str, xmin: f64, ymin: f64, xmax: f64, ymax: f64) -> String {
    format!(
        "  <object>\n    <name>{label}</name>\n    <bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox>\n  </object>\n"
    )
}

/// A project with a tiny model that trains in a second or two.
pub struct TinyProject {
    /// Keeps the folder until the test ends.
    _keep: tempfile::TempDir,
    /// The project.
    pub dir: PathBuf,
}

impl TinyProject {
    /// Twelve pictures, records and a config for a model of 64 × 64 pixels.
    pub fn make() -> Self {
        let keep = tempfile::tempdir().expect("a temporary folder");
        let voc = VocFolder::write(&keep.path().join("voc"), 12);
        let dir = keep.path().join("project");
        succeed(["new", &text(&dir)]);
        succeed(["import", &text(&dir), "--format", "pascal-voc", &text(&voc.path), "--split", "train"]);
        for part in ["train", "val"] {
            let out = dir.join("records").join(format!("{part}.record"));
            succeed(["export", &text(&dir), "--format", "tfrecord", &text(&out), "--split", "train"]);
        }
        let values = boxwright_config::TemplateValues {
            image_size: (64, 64),
            depth_multiplier: 0.25,
            batch_size: 4,
            num_steps: 6,
            ..Default::default()
        };
        let config =
            boxwright_config::pipeline_from_template("ssd_mobilenet_v1", &values).expect("the template is good");
        fs::write(dir.join("pipeline.config"), config).expect("the config is written");
        Self { _keep: keep, dir }
    }

    /// The arguments that train into `run`.
    pub fn train(&self, run: &str, more: &[&str]) -> Vec<String> {
        let mut arguments = vec![
            "train".to_owned(),
            "--pipeline".into(),
            text(&self.dir.join("pipeline.config")),
            "--model-dir".into(),
            text(&self.run(run)),
            "--device".into(),
            "cpu".into(),
        ];
        arguments.extend(more.iter().map(|&m| m.to_owned()));
        arguments
    }

    /// The folder of a run.
    pub fn run(&self, run: &str) -> PathBuf {
        self.dir.join("runs").join(run)
    }
}
