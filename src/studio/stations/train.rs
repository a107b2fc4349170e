//! Runs: what they are made of, how far they are, and their numbers as they come.

use std::collections::BTreeMap;

use boxwright_core::run::{MetricKind, RunState};
use boxwright_session::{Command, JobKind, JobState, JobView, RunView, Session, TrainRequest};
use egui::{Color32, ComboBox, ProgressBar, RichText, ScrollArea, TextEdit, Ui, pos2, vec2};
use egui_plot::{GridMark, Line, Plot, PlotPoints};

use crate::context::{Outbox, PanelContext};
use crate::icon::Icon;
use crate::theme::{Theme, size};
use crate::{widgets, words};

/// The state of the station.
#[derive(Default)]
pub struct Train {
    device: Option<String>,
    name: String,
    steps: String,
    selected: Option<String>,
}

/// One plot: its title, whose numbers, and which of them.
struct Chart {
    title: &'static str,
    kind: MetricKind,
    /// Names of metrics that end like this.
    endings: &'static [&'static str],
    /// Whether it stands for 0 to 1.
    fraction: bool,
}

const CHARTS: [Chart; 6] = [
    Chart { title: "Total loss", kind: MetricKind::Train, endings: &["total_loss"], fraction: false },
    Chart { title: "mAP", kind: MetricKind::Eval, endings: &["mAP", "mAP@.50IOU", "mAP@0.5IOU"], fraction: true },
    Chart { title: "Localization loss", kind: MetricKind::Train, endings: &["localization_loss"], fraction: false },
    Chart { title: "Classification loss", kind: MetricKind::Train, endings: &["classification_loss"], fraction: false },
    Chart { title: "Regularization loss", kind: MetricKind::Train, endings: &["regularization_loss"], fraction: false },
    Chart { title: "Learning rate", kind: MetricKind::Train, endings: &["learning_rate"], fraction: false },
];

impl Train {
    /// The run whose numbers are shown: the chosen one, else the newest.
    fn shown<'a>(&self, session: &'a Session) -> Option<&'a RunView> {
        let runs = session.runs();
        let chosen = self.selected.as_ref().and_then(|name| runs.iter().find(|run| run.name == *name));
        chosen.or_else(|| runs.first())
    }

    /// The typed number of steps.
    fn num_steps(&self) -> Option<u64> {
        self.steps.trim().parse().ok().filter(|n| *n > 0)
    }

    /// Shows the numbers of a run from now on.
    pub fn select(&mut self, run: &str) {
        self.selected = Some(run.to_owned());
    }

    /// Device, name, steps, and the buttons.
    pub fn show_setup(&mut self, ui: &mut Ui, cx: &mut PanelContext<'_>) {
        ScrollArea::vertical().id_salt("train setup").auto_shrink(false).show(ui, |ui| {
            widgets::padded(ui, |ui| {
                self.show_fields(ui, cx);
                ui.add_space(size::PAD_LARGE);
                self.show_start(ui, cx);
                for job in cx.session.jobs().iter().filter(|job| job.kind.run().is_some()) {
                    ui.add_space(size::PAD_LARGE);
                    ui.push_id(job.id.0, |ui| show_job(ui, job, cx.outbox));
                }
            });
        });
    }

    fn show_fields(&mut self, ui: &mut Ui, cx: &mut PanelContext<'_>) {
        let width = ui.available_width();
        widgets::caption(ui, "Device");
        let devices = cx.session.devices();
        let selected = self.device.clone().unwrap_or_else(|| "auto".to_owned());
        let text =
            devices.iter().find(|d| d.id == selected).map_or("Fastest available", |d| d.name.as_str()).to_owned();
        let combo = ComboBox::from_id_salt("device").width(width).truncate().selected_text(text).show_ui(ui, |ui| {
            ui.set_min_width(width - 16.0);
            let mut choose = |ui: &mut Ui, id: &str, label: String, why: &str| {
                let row = ui.selectable_label(selected == id, label);
                let row = if why.is_empty() { row } else { row.on_hover_text(why) };
                if row.clicked() {
                    self.device = Some(id.to_owned());
                }
            };
            choose(ui, "auto", "Fastest available".to_owned(), "");
            for device in devices {
                let mut label = device.name.clone();
                if !device.backend.is_empty() {
                    label = format!("{label} · {}", device.backend);
                }
                if !device.check.is_empty() {
                    let verdict = if device.disagrees() { "disagrees with the CPU" } else { &device.check };
                    label = format!("{label} · {verdict}");
                }
                choose(ui, &device.id, label, &device.check);
            }
        });
        combo.response.accessible_name("Device");
        ui.add_space(4.0);
        widgets::caption(ui, "Name of the run");
        let proposal = cx.session.new_run_name();
        let field = TextEdit::singleline(&mut self.name).hint_text(proposal).desired_width(width);
        widgets::text_field(ui, field, "Name of the run");
        ui.add_space(4.0);
        widgets::caption(ui, "Steps");
        let field = TextEdit::singleline(&mut self.steps).hint_text("As in the pipeline").desired_width(width);
        widgets::text_field(ui, field, "Steps");
    }

    fn show_start(&mut self, ui: &mut Ui, cx: &mut PanelContext<'_>) {
        let theme = Theme::of(ui.ctx());
        let num_steps = self.num_steps();
        let error = (!self.steps.trim().is_empty() && num_steps.is_none()).then_some("Steps must be a number above 0.");
        if let Some(error) = error {
            ui.label(RichText::new(error).color(theme.error));
        }
        let busy = cx.session.jobs().iter().any(|j| matches!(j.kind, JobKind::Train { .. }) && j.state.is_active());
        let why = if busy {
            "A training is at work already."
        } else {
            "Trains in a process of its own; the window may be closed."
        };
        let start = ui.add_enabled_ui(!busy && error.is_none(), |ui| widgets::primary(ui, Icon::PLAY, "Train")).inner;
        if start.on_hover_text(why).on_disabled_hover_text(why).clicked() {
            let name = self.name.trim();
            let run = if name.is_empty() { cx.session.new_run_name() } else { name.to_owned() };
            self.selected = Some(run.clone());
            self.name.clear();
            let device = self.device.clone().unwrap_or_else(|| "auto".to_owned());
            let request = TrainRequest { num_steps, ..TrainRequest::new(run, device) };
            cx.outbox.perform(Command::StartTraining(Box::new(request)));
        }
    }

    /// All runs, newest first.
    pub fn show_runs(&mut self, ui: &mut Ui, cx: &mut PanelContext<'_>) {
        let runs = cx.session.runs();
        if runs.is_empty() {
            widgets::padded(ui, |ui| widgets::hint(ui, words::NO_RUNS));
            return;
        }
        let shown = self.shown(cx.session).map(|run| run.name.clone());
        ui.spacing_mut().item_spacing.y = 0.0;
        let device = self.device.clone().unwrap_or_else(|| "auto".to_owned());
        let num_steps = self.num_steps();
        ScrollArea::vertical().id_salt("runs").auto_shrink(false).show(ui, |ui| {
            for run in runs {
                let is_shown = shown.as_deref() == Some(run.name.as_str());
                ui.push_id(&run.name, |ui| {
                    if show_run(ui, run, is_shown) {
                        self.selected = Some(run.name.clone());
                    }
                    if is_shown {
                        show_run_actions(ui, run, cx, (&device, num_steps));
                    }
                });
            }
        });
    }

    /// The numbers of the shown run.
    pub fn show_plots(&mut self, ui: &mut Ui, cx: &mut PanelContext<'_>) {
        let Some(run) = self.shown(cx.session) else {
            widgets::empty_state(ui, Icon::CHART, words::NO_RUNS, None);
            return;
        };
        if run.metrics.is_empty() {
            widgets::empty_state(ui, Icon::CHART, words::NO_METRICS, None);
            return;
        }
        let gap = size::PAD;
        let area = ui.available_size() - vec2(2.0 * gap, 2.0 * gap);
        let rows = CHARTS.len().div_ceil(2) as f32;
        let chart = vec2(((area.x - gap) / 2.0).max(180.0), ((area.y - gap * (rows - 1.0)) / rows).max(130.0));
        ScrollArea::vertical().id_salt("plots").auto_shrink(false).show(ui, |ui| {
            widgets::padded(ui, |ui| {
                ui.spacing_mut().item_spacing = vec2(gap, gap);
                for pair in CHARTS.chunks(2) {
                    ui.horizontal_top(|ui| {
                        for spec in pair {
                            ui.allocate_ui(chart, |ui| show_chart(ui, run, spec, chart));
                        }
                    });
                }
            });
        });
    }

    /// What the run and its job said.
    pub fn show_log(&mut self, ui: &mut Ui, cx: &mut PanelContext<'_>) {
        let Some(run) = self.shown(cx.session) else {
            widgets::padded(ui, |ui| widgets::hint(ui, words::NO_RUNS));
            return;
        };
        let lines = log_lines(run, cx.session.jobs());
        ScrollArea::both().id_salt("log").auto_shrink(false).stick_to_bottom(true).show(ui, |ui| {
            widgets::padded(ui, |ui| {
                for line in &lines {
                    let text = RichText::new(line).monospace().size(size::LABEL);
                    ui.add(egui::Label::new(text).extend().selectable(true));
                }
            });
        });
    }
}

/// The mark and word of a run's state.
fn run_state(theme: &Theme, state: RunState) -> (Icon, Color32, &'static str) {
    match state {
        RunState::Running => (Icon::PLAY, theme.accent, "Running"),
        RunState::Finished => (Icon::CHECK_CIRCLE, theme.success, "Finished"),
        RunState::Stopped => (Icon::STOP, theme.text_weak, "Stopped"),
        RunState::Failed => (Icon::WARNING_CIRCLE, theme.error, "Failed"),
    }
}

fn show_run(ui: &mut Ui, run: &RunView, selected: bool) -> bool {
    let theme = Theme::of(ui.ctx());
    let (icon, color, word) = run_state(theme, run.state);
    let (rect, response) = widgets::list_row(ui, 44.0, selected, &format!("Run {}, {word}", run.name));
    widgets::row_icon(ui, pos2(rect.left() + 18.0, rect.center().y), icon, color);
    let left = rect.left() + 36.0;
    let right = rect.right() - size::PAD;
    let mut name_end = right;
    if let Some(map) = best_map(run) {
        let text = words::percent(Some(map));
        name_end = widgets::row_text_right(ui, right, rect.top() + 14.0, &text, size::TEXT, theme.text) - 8.0;
    }
    widgets::row_text(ui, left, name_end, rect.top() + 14.0, &run.name, size::TEXT, theme.text);
    let detail = match &run.info {
        Some(info) => format!(
            "{word} · {} of {} steps · {}",
            words::group_digits(steps_done(run, info.step)),
            words::group_digits(info.num_steps),
            words::ago_unix(info.updated)
        ),
        None => word.to_owned(),
    };
    widgets::row_text(ui, left, right, rect.top() + 31.0, &detail, size::LABEL, theme.text_weak);
    let mut tooltip = detail;
    if let Some(info) = &run.info {
        tooltip = format!("{tooltip}\n{}", info.device);
    }
    if !run.reason.is_empty() {
        tooltip = format!("{tooltip}\n{}", run.reason);
    }
    response.on_hover_text(tooltip).clicked()
}

/// The steps of a run: `run.json` is written now and then, the numbers as they come.
fn steps_done(run: &RunView, written: u64) -> u64 {
    run.metrics.last().map_or(written, |record| record.step.max(written))
}

/// The newest mAP@.5 of a run, else its COCO mAP.
fn best_map(run: &RunView) -> Option<f64> {
    let find = |ending: &str| {
        let name = run.metric_names(MetricKind::Eval).into_iter().find(|name| name.ends_with(ending))?.to_owned();
        run.latest(MetricKind::Eval, &name)
    };
    find("mAP@.50IOU").or_else(|| find("mAP@0.5IOU")).or_else(|| find("mAP"))
}

fn show_run_actions(ui: &mut Ui, run: &RunView, cx: &mut PanelContext<'_>, (device, num_steps): (&str, Option<u64>)) {
    let (session, outbox) = (cx.session, &mut *cx.outbox);
    let theme = Theme::of(ui.ctx());
    egui::Frame::NONE.inner_margin(egui::Margin { left: 36, right: 8, top: 4, bottom: 8 }).show(ui, |ui| {
        if !run.reason.is_empty() && run.state != RunState::Finished {
            let color = if run.state == RunState::Failed { theme.error } else { theme.text_weak };
            ui.add(egui::Label::new(RichText::new(&run.reason).color(color)).wrap());
            ui.add_space(4.0);
        }
        let busy = session.jobs().iter().any(|j| j.state.is_active() && j.kind.run() == Some(run.name.as_str()));
        ui.horizontal_wrapped(|ui| {
            let name = run.name.clone();
            if run.state == RunState::Running {
                if widgets::button(ui, Icon::STOP, "Stop and keep")
                    .on_hover_text("Saves a checkpoint and stops")
                    .clicked()
                {
                    outbox.perform(Command::StopTraining { run: name });
                }
                return;
            }
            let can_continue = !busy && !run.checkpoints.is_empty();
            let tooltip = match run.checkpoints.last() {
                Some(step) => format!("Goes on from the checkpoint of step {}", words::group_digits(*step)),
                None => "There is no checkpoint yet".to_owned(),
            };
            let go_on = ui.add_enabled_ui(can_continue, |ui| widgets::button(ui, Icon::PLAY, "Continue")).inner;
            if go_on.on_hover_text(&tooltip).on_disabled_hover_text(&tooltip).clicked() {
                let request = TrainRequest { num_steps, resume: true, ..TrainRequest::new(&name, device) };
                outbox.perform(Command::StartTraining(Box::new(request)));
            }
            let evaluate = ui.add_enabled_ui(can_continue, |ui| widgets::button(ui, Icon::TARGET, "Evaluate")).inner;
            if evaluate.on_hover_text("Measures the newest checkpoint on the val images").clicked() {
                outbox.perform(Command::EvaluateRun { run: name });
            }
        });
    });
}

/// A job with its progress and the button that ends it.
pub fn show_job(ui: &mut Ui, job: &JobView, outbox: &mut Outbox) {
    let theme = Theme::of(ui.ctx());
    let title = match &job.kind {
        JobKind::AddImages => "Adding images".to_owned(),
        JobKind::Import => "Importing".to_owned(),
        JobKind::Train { run } => format!("Training {run}"),
        JobKind::Evaluate { run } => format!("Evaluating {run}"),
    };
    ui.horizontal(|ui| {
        ui.label(RichText::new(title).strong());
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            if !job.state.is_active() {
                if widgets::icon_only(ui, Icon::X, "Close the job", "Take it out of the list", false).clicked() {
                    outbox.perform(Command::DismissJob { job: job.id });
                }
            } else if job.state == JobState::Running {
                let (tooltip, command) = match &job.kind {
                    JobKind::Train { run } => ("Stop and keep", Command::StopTraining { run: run.clone() }),
                    _ => ("Stop", Command::StopJob { job: job.id }),
                };
                if widgets::icon_only(ui, Icon::STOP, tooltip, tooltip, false).clicked() {
                    outbox.perform(command);
                }
            }
        });
    });
    if job.state.is_active() {
        let fraction = if job.total > 0 { job.done as f32 / job.total as f32 } else { 0.0 };
        ui.add(ProgressBar::new(fraction).desired_height(6.0).corner_radius(3.0).fill(theme.accent))
            .accessible_name(job.stage.clone());
        ui.label(RichText::new(progress_text(job)).size(size::LABEL).color(theme.text_weak));
    } else if !job.message.is_empty() {
        let color = if job.state == JobState::Failed { theme.error } else { theme.text_weak };
        ui.add(egui::Label::new(RichText::new(&job.message).color(color)).wrap().selectable(true));
    }
}

/// Stage, count, rate and time left.
pub fn progress_text(job: &JobView) -> String {
    let mut parts = vec![match job.state {
        JobState::Stopping => "stopping".to_owned(),
        _ => job.stage.clone(),
    }];
    if job.total > 0 {
        parts.push(format!("{} of {}", words::group_digits(job.done), words::group_digits(job.total)));
    } else if job.done > 0 {
        parts.push(words::group_digits(job.done));
    }
    if let Some(rate) = job.rate {
        parts.push(format!("{rate:.1}/s"));
    }
    if let Some(left) = job.seconds_left {
        parts.push(format!("{} left", words::duration(left)));
    }
    parts.join(" · ")
}

fn show_chart(ui: &mut Ui, run: &RunView, chart: &Chart, room: egui::Vec2) {
    let theme = Theme::of(ui.ctx());
    let series = chart_series(run, chart);
    let colors = [theme.accent, theme.code.number, theme.code.word];
    ui.set_min_size(room);
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = 4.0;
        show_chart_title(ui, chart, &series, colors);
        if series.values().all(Vec::is_empty) {
            let text = if chart.kind == MetricKind::Eval { words::NO_EVALUATION } else { words::NO_METRICS };
            widgets::hint(ui, text);
            return;
        }
        let plot_size = vec2(room.x, (room.y - size::ROW - 4.0).max(60.0));
        let mut plot = Plot::new(("chart", chart.title))
            .width(plot_size.x)
            .height(plot_size.y)
            .allow_scroll(false)
            .allow_zoom(false)
            .allow_drag(false)
            .allow_boxed_zoom(false)
            .show_background(false)
            .include_x(0.0)
            .include_y(0.0)
            .set_margin_fraction(vec2(0.03, 0.08))
            .grid_color(theme.hairline)
            .grid_fade(0.0)
            .x_grid_spacer(|input| ticks(input.bounds, 6.0, 1.0))
            .y_grid_spacer(|input| ticks(input.bounds, 4.0, 0.0))
            .y_axis_min_width(40.0)
            .x_axis_formatter(|mark, _| words::group_digits(mark.value.max(0.0) as u64));
        if chart.fraction {
            plot = plot.include_y(1.0).y_axis_formatter(|mark, _| format!("{:.0} %", mark.value * 100.0));
        } else {
            plot = plot.y_axis_formatter(|mark, _| words::axis(mark.value));
        }
        plot.show(ui, |plot| {
            for ((name, points), color) in series.into_iter().zip(colors.into_iter().cycle()) {
                // A single point makes no line, so few points are drawn as dots too.
                let dots = (points.len() < 3).then(|| egui_plot::Points::new(name.clone(), points.clone()));
                plot.line(Line::new(name, PlotPoints::from(points)).color(color).width(1.5));
                if let Some(dots) = dots {
                    plot.points(dots.color(color).radius(3.0));
                }
            }
        });
    });
}

/// The title, and the newest value of each curve; with several, each with its name in its colour.
fn show_chart_title(ui: &mut Ui, chart: &Chart, series: &BTreeMap<String, Vec<[f64; 2]>>, colors: [Color32; 3]) {
    let theme = Theme::of(ui.ctx());
    ui.horizontal(|ui| {
        ui.label(RichText::new(chart.title).strong());
        for ((name, points), color) in series.iter().zip(colors.into_iter().cycle()) {
            let Some(last) = points.last() else { continue };
            let value = if chart.fraction { words::percent(Some(last[1])) } else { words::metric(last[1]) };
            if series.len() > 1 {
                ui.label(RichText::new(name).size(size::LABEL).color(color));
            }
            ui.label(RichText::new(value).color(theme.text_weak));
        }
    });
}

/// About `wanted` marks at round numbers that are at least `least` apart.
fn ticks((low, high): (f64, f64), wanted: f64, least: f64) -> Vec<GridMark> {
    let span = high - low;
    if !span.is_finite() || span <= 0.0 {
        return Vec::new();
    }
    let rough = (span / wanted).max(least);
    let power = 10f64.powf(rough.log10().floor());
    let step_size = [1.0, 2.0, 5.0].into_iter().map(|f| f * power).find(|s| *s >= rough).unwrap_or(power * 10.0);
    let first = (low / step_size).ceil();
    let count = ((high / step_size).floor() - first).clamp(0.0, 100.0) as usize;
    (0..=count).map(|i| GridMark { value: (first + i as f64) * step_size, step_size }).collect()
}

/// The curves of a chart by their short names, in the order of the chart's endings.
fn chart_series(run: &RunView, chart: &Chart) -> BTreeMap<String, Vec<[f64; 2]>> {
    let mut series = BTreeMap::new();
    for name in run.metric_names(chart.kind) {
        let is_wanted = chart.endings.iter().any(|ending| name == *ending || name.ends_with(&format!("/{ending}")));
        if is_wanted {
            let points = run.series(chart.kind, name).into_iter().map(|(step, value)| [step as f64, value]).collect();
            let short = name.rsplit('/').next().unwrap_or(name).to_owned();
            series.insert(short, points);
        }
    }
    // Two names of nearly the same number: TFOD's COCO and Pascal evaluators at an overlap of 0.5.
    if series.contains_key("mAP@.50IOU") {
        series.remove("mAP@0.5IOU");
    }
    series
}

/// The job's warnings and the run's newest numbers, a line a record.
fn log_lines(run: &RunView, jobs: &[JobView]) -> Vec<String> {
    const MOST: usize = 400;
    let mut lines = Vec::new();
    if let Some(info) = &run.info {
        lines.push(format!("{} on {}", run.dir.display(), info.device));
    }
    let skipped = run.metrics.len().saturating_sub(MOST);
    for record in &run.metrics[skipped..] {
        let mut text = format!("{:>7}", record.step);
        for (name, value) in &record.values {
            let is_per_class = name.contains("ByCategory");
            if let Some(value) = value
                && !is_per_class
            {
                let short = name.rsplit('/').next().unwrap_or(name);
                text.push_str(&format!("  {short} {}", words::metric(*value)));
            }
        }
        lines.push(text);
    }
    for job in jobs.iter().filter(|job| job.kind.run() == Some(run.name.as_str())) {
        lines.extend(job.warnings.iter().map(|warning| format!("warning: {warning}")));
        if !job.message.is_empty() {
            lines.push(job.message.clone());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use boxwright_core::run::MetricRecord;

    fn run(name: &str) -> RunView {
        let train = |step: u64| {
            MetricRecord::new(
                step,
                0.0,
                MetricKind::Train,
                [
                    ("Loss/total_loss".to_owned(), 2.0),
                    ("learning_rate".to_owned(), 0.1),
                    ("Loss/RPNLoss/x".to_owned(), 1.0),
                ],
            )
        };
        let eval = MetricRecord::new(
            2,
            0.0,
            MetricKind::Eval,
            [("DetectionBoxes_Precision/mAP".to_owned(), 0.4), ("DetectionBoxes_Precision/mAP@.50IOU".to_owned(), 0.8)],
        );
        RunView {
            name: name.into(),
            dir: "runs/x".into(),
            info: None,
            state: RunState::Finished,
            reason: String::new(),
            metrics: vec![train(1), train(2), eval],
            checkpoints: Vec::new(),
            detections: None,
        }
    }

    #[test]
    fn charts_find_their_metrics_by_their_ending() {
        let run = run("a");
        assert_eq!(chart_series(&run, &CHARTS[0])["total_loss"], [[1.0, 2.0], [2.0, 2.0]]);
        assert_eq!(chart_series(&run, &CHARTS[1]).len(), 2);
        assert!(chart_series(&run, &CHARTS[2]).is_empty());
        assert_eq!(best_map(&run), Some(0.8));
    }

    #[test]
    fn ticks_are_round_and_few() {
        let values = |bounds| ticks(bounds, 4.0, 0.0).into_iter().map(|m| m.value).collect::<Vec<_>>();
        assert_eq!(values((0.0, 7.3)), [0.0, 2.0, 4.0, 6.0]);
        assert_eq!(values((-0.05, 1.05)), [0.0, 0.5, 1.0]);
        assert_eq!(ticks((0.0, 1.0), 6.0, 1.0).len(), 2);
        assert!(values((1.0, 1.0)).is_empty() && values((0.0, f64::INFINITY)).is_empty());
    }

    #[test]
    fn the_log_has_a_line_a_record() {
        let lines = log_lines(&run("a"), &[]);
        assert_eq!(lines.len(), 3);
        assert!(lines[0].contains("total_loss 2.0000"), "{}", lines[0]);
    }
}
