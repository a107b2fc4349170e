//! The window: it owns the session and the views, and carries out what the panels ask for.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use boxwright_core::run::RunState;
use boxwright_core::{Annotation, ImageId};
use boxwright_session::{Command, Outcome, Session, SessionError};
use egui::{Context, FocusDirection, Key, Modifiers, ThemePreference, Ui, ViewportCommand};

use crate::command::{Scope, UiCommand};
use crate::context::{NewClass, Outbox, PanelContext, Request};
use crate::dialogs::{Dialogs, Purpose};
use crate::keys::{self, Focus};
use crate::layout::{Layouts, Pane};
use crate::notice::Notices;
use crate::palette::{Choice, Palette};
use crate::picture_cache::{Decode, PictureCache, Rgb};
use crate::question::{self, Answer, OnYes, Question};
use crate::start::Start;
use crate::stations::Station;
use crate::stations::annotate::Annotate;
use crate::stations::labels::Labels;
use crate::stations::pipeline::Pipeline;
use crate::stations::review::Review;
use crate::stations::train::Train;
use crate::status_bar::{self, Status};
use crate::{style, theme, top_bar, widgets, words};

/// The share of validation images when the window splits them.
const VAL_PERCENT: f64 = 20.0;
/// The largest text on the clipboard that is looked at for boxes.
const CLIPBOARD_LIMIT: usize = 4 << 20;
/// How often the window looks for news while something is at work.
const NEWS_EVERY: Duration = Duration::from_millis(250);

/// The views of the stations.
#[derive(Default)]
struct Views {
    annotate: Annotate,
    labels: Labels,
    pipeline: Pipeline,
    train: Train,
    review: Review,
}

/// What lies over the stations.
#[derive(Default)]
struct Overlays {
    palette: Option<Palette>,
    keys: bool,
    question: Option<Question>,
    notices: Notices,
    dialogs: Dialogs,
}

/// The window.
pub struct Studio {
    session: Session,
    station: Station,
    views: Views,
    layouts: Layouts,
    overlays: Overlays,
    start: Start,
    pictures: PictureCache,
    outbox: Outbox,
    hint: String,
    /// The project whose views these are.
    shown: Option<PathBuf>,
    /// The project that the window's title names.
    named: Option<PathBuf>,
    close_confirmed: bool,
}

impl Studio {
    /// A window on a session. It sets fonts and styles.
    pub fn new(ctx: &Context, mut session: Session) -> Self {
        style::install(ctx);
        let preference = match session.setting("theme") {
            Some("light") => ThemePreference::Light,
            _ => ThemePreference::Dark,
        };
        ctx.set_theme(preference);
        let wake = ctx.clone();
        session.on_news(move || wake.request_repaint());
        let decode: Decode = Arc::new(|path| match boxwright_session::picture::read_file(path) {
            Ok(picture) => Ok(Rgb { size: picture.size, bytes: picture.rgb }),
            Err(error) => Err(error.to_string()),
        });
        Self {
            session,
            station: Station::default(),
            views: Views::default(),
            layouts: Layouts::default(),
            overlays: Overlays::default(),
            start: Start::default(),
            pictures: PictureCache::new(ctx, decode),
            outbox: Outbox::default(),
            hint: String::new(),
            shown: None,
            named: None,
            close_confirmed: false,
        }
    }

    /// Opens a project; an error is shown in the window.
    pub fn open(&mut self, dir: PathBuf) {
        self.perform(Command::OpenProject { dir });
    }

    /// The session, for reading.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The image on the canvas of Annotate.
    pub fn current_image(&self) -> Option<ImageId> {
        self.views.annotate.current()
    }

    /// The view of Review.
    pub fn review(&self) -> &Review {
        &self.views.review
    }

    /// The station that is shown.
    pub fn station(&self) -> Station {
        self.station
    }

    /// The messages on the screen.
    pub fn notices(&self) -> Vec<&str> {
        self.overlays.notices.texts().collect()
    }

    /// Carries out a command of the session, and says what came of it.
    fn perform(&mut self, command: Command) -> Option<Outcome> {
        let follows = matches!(command, Command::Undo | Command::Redo);
        let saves_text = match &command {
            Command::SaveLabelMap { .. } => Some(Station::Labels),
            Command::SavePipeline { .. } | Command::NewPipeline { .. } => Some(Station::Pipeline),
            _ => None,
        };
        match self.session.handle(command) {
            Ok(outcome) => {
                match saves_text {
                    Some(Station::Labels) => self.views.labels.editor.load(self.session.label_map_text(), true),
                    Some(_) => self.views.pipeline.editor.load(self.session.pipeline_text(), true),
                    None => {}
                }
                self.took(&outcome, follows);
                Some(outcome)
            }
            Err(SessionError::NothingTo(_)) => None,
            Err(error) => {
                self.overlays.notices.failed(error.to_string());
                None
            }
        }
    }

    fn took(&mut self, outcome: &Outcome, follows: bool) {
        if let Some(message) = &outcome.message {
            self.overlays.notices.done(message);
        }
        if let Some(image) = outcome.image.filter(|_| follows) {
            self.views.annotate.open(image, None);
        }
        self.views.annotate.created(&outcome.created);
        self.sync_project();
    }

    /// Starts anew with the views when another project was opened.
    fn sync_project(&mut self) {
        let dir = self.session.project_dir().map(PathBuf::from);
        if dir == self.shown {
            return;
        }
        self.views = Views::default();
        self.pictures.clear();
        self.station = Station::default();
        self.layouts =
            self.session.project_setting("layout").map_or_else(Layouts::default, |text| Layouts::load(&text));
        self.shown = dir;
    }

    fn unsaved(&self) -> [bool; 2] {
        [self.views.labels.editor.is_changed(), self.views.pipeline.editor.is_changed()]
    }

    /// Carries out what the panels asked for in this frame, and what that asks for in turn.
    fn carry_out(&mut self, ctx: &Context) {
        // A request may lead to others, but never endlessly: each round is of another kind.
        for _ in 0..4 {
            let requests = self.outbox.take();
            if requests.is_empty() {
                return;
            }
            for request in requests {
                self.carry_out_one(ctx, request);
            }
            ctx.request_repaint();
        }
    }

    fn carry_out_one(&mut self, ctx: &Context, request: Request) {
        match request {
            Request::Run(command, key) => self.run(ctx, command, key),
            Request::Do(command) => drop(self.perform(command)),
            Request::Go(station) => self.station = station,
            Request::OpenImage(image, chosen) => {
                self.station = Station::Annotate;
                let boxes = self.session.boxes(image);
                let chosen = chosen.and_then(|id| boxes.iter().find(|b| b.id == id));
                self.views.annotate.open(image, chosen);
            }
            Request::NameClass { name, then } => self.name_class(name, then),
            Request::Ask(question) => self.overlays.question = Some(question),
        }
    }

    fn name_class(&mut self, name: String, then: NewClass) {
        let Some(label) = self.perform(Command::AddClass { name }).and_then(|outcome| outcome.label) else { return };
        self.views.annotate.added_class(label);
        match then {
            NewClass::Draw { image, bounds } => drop(self.perform(Command::AddBox { image, label, bounds })),
            NewClass::Relabel { image, boxes } if !boxes.is_empty() => {
                let relabel = |before: Annotation| (before.clone(), Annotation { label, ..before });
                let changes = boxes.into_iter().map(relabel).collect();
                self.perform(Command::ChangeBoxes { image, name: "change class".to_owned(), changes });
            }
            NewClass::Relabel { .. } => {}
        }
    }

    /// Carries out a command of the window. `key` is which of its keys was pressed.
    fn run(&mut self, ctx: &Context, command: UiCommand, key: usize) {
        let has_project = self.session.project_dir().is_some();
        let is_here = match command.spec().scope {
            Scope::Anywhere => true,
            Scope::Project => has_project,
            Scope::Picture => has_project && self.station.has_picture(),
            Scope::Annotate => has_project && self.station == Station::Annotate,
            Scope::Editor => has_project && self.station.has_text(),
        };
        if !is_here {
            return;
        }
        if let Some(station) = Station::of(command) {
            self.station = station;
            return;
        }
        match command {
            UiCommand::Undo => drop(self.perform(Command::Undo)),
            UiCommand::Redo => drop(self.perform(Command::Redo)),
            UiCommand::Save if self.station == Station::Labels => self.views.labels.save(&mut self.outbox),
            UiCommand::Save => self.views.pipeline.save(&mut self.outbox),
            UiCommand::Split => drop(self.perform(Command::AutoSplit { val_percent: VAL_PERCENT })),
            UiCommand::NewProject => self.overlays.dialogs.open(Purpose::NewProject, ctx),
            UiCommand::OpenProject => self.overlays.dialogs.open(Purpose::OpenProject, ctx),
            UiCommand::AddImages => self.overlays.dialogs.open(Purpose::AddImages, ctx),
            UiCommand::AddFolder => self.overlays.dialogs.open(Purpose::AddFolder, ctx),
            UiCommand::ImportVoc => self.overlays.dialogs.open(Purpose::ImportVoc, ctx),
            UiCommand::CloseProject => self.close_project(),
            UiCommand::Palette => self.overlays.palette = Some(Palette::default()),
            UiCommand::Keys => self.overlays.keys = !self.overlays.keys,
            UiCommand::Theme => self.toggle_theme(ctx),
            UiCommand::Sides => self.layouts.toggle_sides(),
            UiCommand::ResetLayout => self.layouts.reset(),
            _ if self.station == Station::Annotate => {
                let (views, outbox) = (&mut self.views, &mut self.outbox);
                views.annotate.run(command, key, ctx, &self.session, outbox);
            }
            _ if self.station == Station::Review => {
                self.views.review.run(command, ctx, &self.session, &mut self.outbox)
            }
            _ => {}
        }
    }

    fn toggle_theme(&mut self, ctx: &Context) {
        let (preference, word) = match ctx.theme() {
            egui::Theme::Dark => (ThemePreference::Light, "light"),
            egui::Theme::Light => (ThemePreference::Dark, "dark"),
        };
        ctx.set_theme(preference);
        self.perform(Command::SetSetting { key: "theme".to_owned(), value: word.to_owned() });
    }

    fn close_project(&mut self) {
        match self.question_about_texts("Close the project", OnYes::CloseProject) {
            Some(question) => self.overlays.question = Some(question),
            None => drop(self.perform(Command::CloseProject)),
        }
    }

    /// The question before unsaved texts are lost, if there are any.
    fn question_about_texts(&self, yes: &str, on_yes: OnYes) -> Option<Question> {
        let files: Vec<&str> = self
            .unsaved()
            .into_iter()
            .zip(["label_map.pbtxt", "pipeline.config"])
            .filter(|(u, _)| *u)
            .map(|(_, f)| f)
            .collect();
        (!files.is_empty()).then(|| Question {
            title: format!("Give up the changes to {}?", files.join(" and ")),
            text: "Boxes are always saved; texts only with Ctrl+S.".to_owned(),
            yes: yes.to_owned(),
            on_yes,
        })
    }

    fn answer(&mut self, ctx: &Context, answer: Answer) {
        match answer {
            Answer::No => {}
            Answer::Yes(OnYes::Do(command)) => drop(self.perform(command)),
            Answer::Yes(OnYes::CloseProject) => drop(self.perform(Command::CloseProject)),
            Answer::Yes(OnYes::CloseWindow) => {
                self.close_confirmed = true;
                ctx.send_viewport_cmd(ViewportCommand::Close);
            }
        }
    }

    /// What paths mean, from a dialog, from a drop, or typed.
    fn take_paths(&mut self, purpose: Purpose, paths: Vec<PathBuf>) {
        let Some(first) = paths.first().cloned() else { return };
        match purpose {
            Purpose::NewProject => drop(self.perform(Command::NewProject { dir: first })),
            Purpose::OpenProject => drop(self.perform(Command::OpenProject { dir: first })),
            Purpose::AddImages | Purpose::AddFolder => drop(self.perform(Command::AddImages { paths })),
            Purpose::ImportVoc => {
                let request =
                    boxwright_session::ImportRequest { path: first, ..boxwright_session::ImportRequest::default() };
                self.perform(Command::Import(request));
            }
        }
    }

    /// A project is opened, pictures are added; without a project a folder of pictures becomes one.
    fn take_loose_paths(&mut self, paths: Vec<PathBuf>) {
        let Some(first) = paths.first().cloned() else { return };
        if is_project(&first) {
            self.perform(Command::OpenProject { dir: first });
            return;
        }
        let is_open = self.session.project_dir().is_some();
        if !is_open && !first.is_dir() {
            let text = format!("{} is not a folder; drop a folder, or make a project first", first.display());
            self.overlays.notices.failed(text);
        } else if is_open || self.perform(Command::NewProject { dir: first }).is_some() {
            self.perform(Command::AddImages { paths });
        }
    }

    /// Keys, drops, dialogs, jobs: everything that comes from outside the panels.
    fn take_events(&mut self, ctx: &Context) {
        self.session.poll();
        self.sync_project();
        self.name_window(ctx);
        self.pictures.begin_frame(ctx);
        let at_work = self.session.jobs().iter().any(|job| job.state.is_active())
            || self.session.runs().iter().any(|run| run.state == RunState::Running);
        if at_work {
            ctx.request_repaint_after(NEWS_EVERY);
        }
        if let Some((purpose, paths)) = self.overlays.dialogs.poll() {
            self.take_paths(purpose, paths);
        }
        let dropped: Vec<PathBuf> =
            ctx.input(|i| i.raw.dropped_files.iter().map(|file| file.path().to_path_buf()).collect());
        self.take_loose_paths(dropped);
        if ctx.input(|i| i.viewport().close_requested())
            && !self.close_confirmed
            && let Some(question) = self.question_about_texts("Close the window", OnYes::CloseWindow)
        {
            ctx.send_viewport_cmd(ViewportCommand::CancelClose);
            self.overlays.question = Some(question);
        }
    }

    /// The project's name in the title of the window.
    fn name_window(&mut self, ctx: &Context) {
        if self.shown == self.named {
            return;
        }
        self.named.clone_from(&self.shown);
        let title = match self.session.project_name() {
            Some(name) => format!("{name} – {}", words::PROGRAM),
            None => words::PROGRAM.to_owned(),
        };
        ctx.send_viewport_cmd(ViewportCommand::Title(title));
    }

    fn take_keys(&mut self, ctx: &Context) {
        let is_covered = self.overlays.palette.is_some() || self.overlays.question.is_some();
        if is_covered || (self.overlays.keys && ctx.input(|i| i.key_pressed(Key::Escape))) {
            return;
        }
        let typing = ctx.text_edit_focused();
        let focus = Focus {
            typing,
            widget: !typing && ctx.memory(|m| m.focused().is_some()),
            over_canvas: self.canvas_pointer(),
        };
        if focus.over_canvas && !typing && ctx.input(|i| i.key_pressed(Key::Tab)) {
            // Tab is for boxes here; egui has already taken it as a wish to move the focus.
            ctx.memory_mut(|m| m.move_focus(FocusDirection::None));
        }
        self.take_clipboard(ctx, typing);
        for (command, key) in keys::pressed(ctx, focus) {
            self.run(ctx, command, key);
        }
    }

    /// Boxes travel over the clipboard as text, so that they can be pasted in another window too.
    fn take_clipboard(&mut self, ctx: &Context, typing: bool) {
        if typing || self.station != Station::Annotate {
            return;
        }
        let pasted = ctx.input(|i| {
            i.events.iter().find_map(|event| match event {
                egui::Event::Paste(text) if text.len() <= CLIPBOARD_LIMIT => serde_json::from_str(text).ok(),
                _ => None,
            })
        });
        if let Some(boxes) = pasted {
            self.views.annotate.set_copied(boxes);
        }
        let copies = ctx.input(|i| {
            i.events.contains(&egui::Event::Copy) || (i.modifiers == Modifiers::COMMAND && i.key_pressed(Key::C))
        });
        if copies && let Some(text) = self.views.annotate.chosen_as_text(&self.session) {
            ctx.copy_text(text);
        }
    }

    fn canvas_pointer(&self) -> bool {
        match self.station {
            Station::Annotate => self.views.annotate.stage.pointer_in_picture().is_some(),
            Station::Review => self.views.review.stage().pointer_in_picture().is_some(),
            _ => false,
        }
    }

    fn update_views(&mut self) {
        match self.station {
            Station::Annotate => self.views.annotate.update(&self.session),
            Station::Labels => self.views.labels.update(&self.session),
            Station::Pipeline => self.views.pipeline.update(&self.session),
            Station::Train => {}
            Station::Review => self.views.review.update(&self.session),
        }
    }

    fn show_station(&mut self, ui: &mut Ui) {
        let Self { session, station, views, layouts, pictures, outbox, .. } = self;
        let mut cx = PanelContext { session, pictures, outbox };
        layouts.show(ui, *station, &mut |ui, pane| show_pane(views, ui, &mut cx, pane));
    }

    fn status(&self, ctx: &Context) -> Status {
        let mut status = Status { hint: self.hint.clone(), ..Status::default() };
        status.saved = self.session.last_saved().map(words::clock);
        let stage = match self.station {
            Station::Annotate if self.views.annotate.current().is_some() => &self.views.annotate.stage,
            Station::Review if self.views.review.current().is_some() => self.views.review.stage(),
            _ => {
                let images = self.session.images().len();
                status.facts.push(words::count(images, "image", "images"));
                return status;
            }
        };
        status.zoom = Some(stage.view.percent(ctx.pixels_per_point()));
        status.pixel = stage.pointer_in_picture().map(|(x, y)| (x.floor() as i64, y.floor() as i64));
        if let Some(image) = self.views.annotate.current().filter(|_| self.station == Station::Annotate) {
            status.facts.push(words::count(self.session.boxes(image).len(), "box", "boxes"));
            if self.views.annotate.hides_boxes() {
                status.facts.push("boxes hidden".to_owned());
            }
        }
        status
    }

    fn show_overlays(&mut self, ctx: &Context) {
        if ctx.input(|i| !i.raw.hovered_files.is_empty()) {
            widgets::drop_target(ctx, if self.shown.is_some() { "Drop to add the images" } else { "Drop to open" });
        }
        keys::show_sheet(ctx, &mut self.overlays.keys);
        if let Some(palette) = &mut self.overlays.palette
            && let Err(choice) = palette.show(ctx, &self.session, self.station)
        {
            self.overlays.palette = None;
            match choice {
                Some(Choice::Run(command)) => self.outbox.run(command),
                Some(Choice::Class(_, place)) => self.outbox.push(Request::Run(UiCommand::SetClass, place)),
                Some(Choice::Image(image)) => self.outbox.push(Request::OpenImage(image, None)),
                Some(Choice::Path(path)) => self.take_loose_paths(vec![path]),
                None => {}
            }
        }
        if let Some(answer) = question::show(ctx, &mut self.overlays.question) {
            self.answer(ctx, answer);
        }
        self.overlays.notices.show(ctx);
    }

    /// The whole window.
    pub fn show(&mut self, ui: &mut Ui) {
        let ctx = ui.ctx().clone();
        self.take_events(&ctx);
        self.take_keys(&ctx);
        self.carry_out(&ctx);
        if self.session.project_dir().is_none() {
            if let Some(path) = self.start.show(ui, &self.session, &mut self.outbox) {
                self.take_loose_paths(vec![path]);
            }
        } else {
            self.update_views();
            let unsaved = self.unsaved();
            let mut cx =
                PanelContext { session: &self.session, pictures: &mut self.pictures, outbox: &mut self.outbox };
            top_bar::show(ui, &mut cx, self.station, unsaved);
            status_bar::show(ui, &self.status(&ctx));
            self.show_station(ui);
            self.take_space(ui);
            self.hint = self.outbox.take_hint().unwrap_or_default();
            if let Some(layout) = self.layouts.take_changed() {
                self.perform(Command::SetProjectSetting { key: "layout".to_owned(), value: layout });
            }
        }
        self.show_overlays(&ctx);
        self.carry_out(&ctx);
    }

    /// A tap of the space bar marks the image; held down it pans.
    fn take_space(&mut self, ui: &Ui) {
        let is_free = !ui.ctx().text_edit_focused() && ui.memory(|m| m.focused().is_none());
        let is_covered = self.overlays.palette.is_some() || self.overlays.question.is_some();
        let tapped = self.views.annotate.stage.take_space_tap(ui);
        if tapped && is_free && !is_covered && self.station == Station::Annotate {
            self.outbox.run(UiCommand::Verify);
        }
    }
}

/// Whether a path is a project's folder or file, as far as its name tells; the session knows better.
fn is_project(path: &std::path::Path) -> bool {
    const FILE: &str = "project.boxwright";
    path.join(FILE).is_file() || path.file_name().is_some_and(|name| name == FILE)
}

fn show_pane(views: &mut Views, ui: &mut Ui, cx: &mut PanelContext<'_>, pane: Pane) {
    match pane {
        Pane::Images => views.annotate.show_images(ui, cx),
        Pane::Canvas => views.annotate.show_canvas(ui, cx),
        Pane::Classes => views.annotate.show_classes(ui, cx),
        Pane::Boxes => views.annotate.show_boxes(ui, cx),
        Pane::LabelTable => views.labels.show_table(ui, cx),
        Pane::LabelText => views.labels.show_text(ui, cx),
        Pane::LabelProblems => views.labels.show_problems(ui),
        Pane::PipelineText => views.pipeline.show_text(ui, cx),
        Pane::PipelineProblems => views.pipeline.show_problems(ui, cx),
        Pane::FieldHelp => views.pipeline.show_help(ui),
        Pane::TrainSetup => views.train.show_setup(ui, cx),
        Pane::Runs => views.train.show_runs(ui, cx),
        Pane::Plots => views.train.show_plots(ui, cx),
        Pane::Log => views.train.show_log(ui, cx),
        Pane::ReviewImages => views.review.show_images(ui, cx),
        Pane::ReviewCanvas => views.review.show_canvas(ui, cx),
        Pane::ReviewSummary => views.review.show_summary(ui, cx),
    }
}

impl eframe::App for Studio {
    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        self.show(ui);
    }

    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        let theme = if visuals.dark_mode { theme::DARK } else { theme::LIGHT };
        theme.canvas.to_normalized_gamma_f32()
    }
}
