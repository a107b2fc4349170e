//! The window as a person uses it: a project in a temporary folder, a few generated pictures, and a
//! harness that clicks by accessible name and types keys. Nothing is drawn, so no GPU is needed.

mod annotating;
mod stations;

use std::path::{Path, PathBuf};
use std::time::Duration;

use boxwright_core::{Annotation, LabelId, PixelBox};
use boxwright_session::{Command, Session};
use egui::{Pos2, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;

use crate::Studio;

/// The width and height of the test pictures.
const PICTURE: (u32, u32) = (160, 120);

/// A project with `pictures` pictures and the classes `cat` and `dog`, and a window on it.
struct Bench {
    harness: Harness<'static, Studio>,
    dir: PathBuf,
    /// Removes the folder when the test ends.
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new(pictures: usize) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = folder.path().join("pets");
        let photos = folder.path().join("pets/photos");
        std::fs::create_dir_all(&photos).expect("a folder of pictures");
        for number in 0..pictures {
            let shade = (40 + number * 30) as u8;
            let picture = image::RgbImage::from_fn(PICTURE.0, PICTURE.1, |x, y| image::Rgb([x as u8, y as u8, shade]));
            picture.save(photos.join(format!("photo_{number}.png"))).expect("a picture");
        }
        let mut session = Session::with_config_dir(PathBuf::from("/bin/false"), None);
        session.handle(Command::NewProject { dir: dir.clone() }).expect("a project");
        for name in ["cat", "dog"] {
            session.handle(Command::AddClass { name: name.to_owned() }).expect("a class");
        }
        if pictures > 0 {
            session.handle(Command::AddImages { paths: vec![photos] }).expect("a job");
            assert!(session.wait_for_jobs(Duration::from_secs(30)), "the pictures are not in");
        }
        assert_eq!(session.images().len(), pictures);
        let mut bench = Self { harness: window(session), dir, _folder: folder };
        bench.settle();
        bench
    }

    fn settle(&mut self) {
        self.harness.run_steps(4);
    }

    fn studio(&self) -> &Studio {
        self.harness.state()
    }

    fn boxes(&self) -> Vec<Annotation> {
        let image = self.studio().current_image().expect("an image is open");
        self.studio().session().boxes(image).to_vec()
    }

    /// The screen position of a position of the picture, which is fitted and centred.
    fn at(&self, x: f64, y: f64) -> Pos2 {
        let canvas = self.harness.get_by(|node| node.role() == egui::Role::Canvas).rect();
        let zoom = f64::from(self.zoom());
        let middle = (f64::from(PICTURE.0) / 2.0, f64::from(PICTURE.1) / 2.0);
        canvas.center() + vec2(((x - middle.0) * zoom) as f32, ((y - middle.1) * zoom) as f32)
    }

    /// The zoom of the fitted picture, as the status bar says it at one pixel a point.
    fn zoom(&self) -> f32 {
        let text = self.harness.get_all_by(|n| n.role() == egui::Role::Label).find_map(|node| {
            let text = node.value()?;
            text.strip_suffix(" %").and_then(|number| number.parse::<f32>().ok())
        });
        // The status bar rounds; the canvas does not.
        let percent = text.expect("the status bar says the zoom");
        let canvas = self.harness.get_by(|node| node.role() == egui::Role::Canvas).rect();
        let exact = ((canvas.width() - 32.0) / PICTURE.0 as f32)
            .min((canvas.height() - 32.0) / PICTURE.1 as f32)
            .min(4.0 * 0.99);
        assert!((exact * 100.0 - percent).abs() <= 1.0, "{percent} % is shown, {exact} was expected");
        exact
    }

    fn drag(&mut self, from: (f64, f64), to: (f64, f64)) {
        let (from, to) = (self.at(from.0, from.1), self.at(to.0, to.1));
        self.harness.hover_at(from);
        self.harness.run_steps(2);
        self.harness.drag_at(from);
        self.harness.run_steps(1);
        self.harness.hover_at(from.lerp(to, 0.5));
        self.harness.run_steps(1);
        self.harness.hover_at(to);
        self.harness.run_steps(1);
        self.harness.drop_at(to);
        self.settle();
    }

    fn click(&mut self, x: f64, y: f64) {
        let pos = self.at(x, y);
        self.harness.hover_at(pos);
        self.harness.run_steps(1);
        self.harness.drag_at(pos);
        self.harness.drop_at(pos);
        self.settle();
    }

    fn press(&mut self, key: egui::Key) {
        self.harness.key_press(key);
        self.settle();
    }

    fn ctrl(&mut self, key: egui::Key) {
        self.harness.key_press_modifiers(egui::Modifiers::COMMAND, key);
        self.settle();
    }

    /// Draws a box with the tool, as a person does.
    fn draw(&mut self, from: (f64, f64), to: (f64, f64)) {
        self.press(egui::Key::W);
        self.drag(from, to);
    }

    fn click_name(&mut self, name: &str) {
        self.harness.get_by_label(name).click();
        self.settle();
    }

    /// A session on the same project, as another program would see it.
    fn reopened(&self) -> Session {
        let mut session = Session::with_config_dir(PathBuf::from("/bin/false"), None);
        session.handle(Command::OpenProject { dir: self.dir.clone() }).expect("the project opens");
        session
    }
}

fn window(session: Session) -> Harness<'static, Studio> {
    Harness::builder()
        .with_size(vec2(1280.0, 800.0))
        .with_max_steps(20)
        .build_eframe(|cc| Studio::new(&cc.egui_ctx, session))
}

fn label(id: u32) -> LabelId {
    LabelId::new(id).expect("an id")
}

fn bounds(ymin: f64, xmin: f64, ymax: f64, xmax: f64) -> PixelBox {
    PixelBox::new(ymin, xmin, ymax, xmax)
}

/// Where a run's files lie.
fn run_dir(project: &Path, run: &str) -> PathBuf {
    project.join("runs").join(run)
}
