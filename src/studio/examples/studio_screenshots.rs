//! Draws every station of the studio in both themes into PNG files, without a window.
//!
//! `studio_screenshots PROJECT OUT [--size 1440x900] [--scale 1] [--theme dark|light]`
//!
//! The pictures of the README come from here. It draws with whatever wgpu finds, a software driver
//! included. Run it on a copy of a project: it makes no edits, but opening writes the project's
//! SQLite files.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use boxwright_session::{Command, Session};
use boxwright_studio::Studio;
use egui::{Key, Modifiers, Vec2, vec2};
use egui_kittest::Harness;

struct Options {
    project: PathBuf,
    out: PathBuf,
    size: Vec2,
    scale: f32,
    themes: Vec<egui::Theme>,
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!(
                "{error}\nusage: studio_screenshots PROJECT OUT [--size 1440x900] [--scale 1] [--theme dark|light]"
            );
            return ExitCode::from(2);
        }
    };
    match draw_all(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut paths = Vec::new();
    let (mut size, mut scale) = (vec2(1440.0, 900.0), 1.0);
    let mut themes = vec![egui::Theme::Dark, egui::Theme::Light];
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--size" => {
                let text = value()?;
                let parse = |part: &str| part.parse::<f32>().ok().filter(|v| (100.0..10_000.0).contains(v));
                let (width, height) = text.split_once('x').ok_or("a size is WIDTHxHEIGHT")?;
                size = vec2(
                    parse(width).ok_or("the width is no number")?,
                    parse(height).ok_or("the height is no number")?,
                );
            }
            "--scale" => scale = value()?.parse().map_err(|_| "the scale is no number")?,
            "--theme" => themes = vec![if value()? == "light" { egui::Theme::Light } else { egui::Theme::Dark }],
            _ => paths.push(PathBuf::from(arg)),
        }
    }
    let [project, out] = <[PathBuf; 2]>::try_from(paths).map_err(|_| "two paths are needed")?;
    Ok(Options { project, out, size, scale, themes })
}

fn draw_all(options: &Options) -> Result<(), String> {
    std::fs::create_dir_all(&options.out).map_err(|e| format!("{}: {e}", options.out.display()))?;
    for theme in &options.themes {
        let suffix = if *theme == egui::Theme::Dark { "dark" } else { "light" };
        let mut start = harness(options, *theme, None)?;
        shot(&mut start, &options.out, &format!("start-{suffix}"))?;
        let mut studio = harness(options, *theme, Some(&options.project))?;
        for (key, name) in [
            (Key::Num1, "annotate"),
            (Key::Num2, "labels"),
            (Key::Num3, "pipeline"),
            (Key::Num4, "train"),
            (Key::Num5, "review"),
        ] {
            studio.key_press_modifiers(Modifiers::COMMAND, key);
            wait(&mut studio);
            if name == "annotate" {
                choose_a_box(&mut studio);
            }
            shot(&mut studio, &options.out, &format!("{name}-{suffix}"))?;
        }
        studio.key_press(Key::Questionmark);
        shot(&mut studio, &options.out, &format!("keys-{suffix}"))?;
        studio.key_press(Key::Escape);
        studio.key_press_modifiers(Modifiers::COMMAND, Key::Num1);
        wait(&mut studio);
        studio.key_press(Key::W);
        let middle = (options.size / 2.0).to_pos2();
        studio.hover_at(middle);
        studio.run_steps(2);
        studio.drag_at(middle);
        studio.run_steps(2);
        studio.hover_at(middle + vec2(120.0, 90.0));
        shot(&mut studio, &options.out, &format!("drawing-{suffix}"))?;
        studio.key_press(Key::Escape);
        studio.drop_at(middle);
        studio.run_steps(2);
        studio.key_press_modifiers(Modifiers::COMMAND, Key::K);
        shot(&mut studio, &options.out, &format!("palette-{suffix}"))?;
    }
    Ok(())
}

fn harness(options: &Options, theme: egui::Theme, project: Option<&Path>) -> Result<Harness<'static, Studio>, String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?.with_file_name("../boxwright");
    let mut session = Session::with_config_dir(program, None);
    let word = if theme == egui::Theme::Dark { "dark" } else { "light" };
    session
        .handle(Command::SetSetting { key: "theme".to_owned(), value: word.to_owned() })
        .map_err(|e| e.to_string())?;
    if let Some(dir) = project {
        session.handle(Command::OpenProject { dir: dir.to_owned() }).map_err(|e| e.to_string())?;
    }
    let mut harness = Harness::builder()
        .with_size(options.size)
        .with_pixels_per_point(options.scale)
        .with_theme(theme)
        .with_render_cursor(false)
        .allow_missing_glyphs()
        .wgpu()
        .build_eframe(|cc| Studio::new(&cc.egui_ctx, session));
    wait(&mut harness);
    Ok(harness)
}

/// Runs frames until pictures and news have had their time to come.
fn wait(harness: &mut Harness<'_, Studio>) {
    for _ in 0..25 {
        harness.run_steps(1);
        std::thread::sleep(Duration::from_millis(40));
    }
}

/// Chooses the first box of the image by its row, so that handles and fields are seen.
fn choose_a_box(harness: &mut Harness<'_, Studio>) {
    use egui_kittest::kittest::Queryable;
    if let Some(row) = harness.query_all_by_label_contains("Box ").next() {
        row.click();
    }
    harness.remove_cursor();
    harness.run_steps(3);
}

fn shot(harness: &mut Harness<'_, Studio>, out: &Path, name: &str) -> Result<(), String> {
    wait(harness);
    let picture = harness.render()?;
    let path = out.join(format!("{name}.png"));
    picture.save(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}
