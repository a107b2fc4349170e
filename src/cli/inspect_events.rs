//! What `boxwright inspect` says of an event file.

use std::path::Path;

use boxwright_formats::event_file::{EventFileSummary, TagSummary, summarize};
use serde_json::{Map, Value, json};

use crate::output::print_json;

/// Lists the tags of an event file: kind, how often, steps, last number.
pub fn run(path: &Path, as_json: bool) -> anyhow::Result<()> {
    let summary = summarize(path)?;
    if as_json {
        print_json(&about(path, &summary))?;
    } else {
        println!("{}: event file, {} events", path.display(), summary.events);
        let width = summary.tags.keys().map(|tag| tag.chars().count()).max().unwrap_or(0);
        for (tag, about) in &summary.tags {
            println!("  {tag:width$}  {}", words(about));
        }
        for step in &summary.session_starts {
            println!("  begun or resumed at step {step}");
        }
        println!("checksums: {}", if summary.damage.is_some() { "damaged" } else { "all match" });
    }
    summary.damage.map_or(Ok(()), |error| Err(error.into()))
}

fn words(tag: &TagSummary) -> String {
    let TagSummary { kind, count, first_step, last_step, last_value } = tag;
    let steps = if first_step == last_step {
        format!("at step {first_step}")
    } else {
        format!("{count} times, steps {first_step} to {last_step}")
    };
    let value = last_value.map_or_else(String::new, |value| format!(", last {}", value as f32));
    format!("{kind:6}  {steps}{value}")
}

fn about(path: &Path, summary: &EventFileSummary) -> Value {
    let tags: Map<String, Value> = summary.tags.iter().map(|(tag, about)| (tag.clone(), of_tag(about))).collect();
    let counts: Map<String, Value> =
        summary.tags.iter().map(|(tag, about)| (tag.clone(), about.count.into())).collect();
    json!({
        "file": path.display().to_string(), "kind": "event file", "records": summary.events, "fields": counts,
        "tags": tags, "session_starts": summary.session_starts,
        "checksums": if summary.damage.is_some() { "damaged" } else { "match" },
    })
}

fn of_tag(tag: &TagSummary) -> Value {
    json!({
        "kind": tag.kind, "count": tag.count, "first_step": tag.first_step, "last_step": tag.last_step,
        "last_value": tag.last_value,
    })
}
