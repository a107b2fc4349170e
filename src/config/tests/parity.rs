//! What TensorFlow's text format and TFOD's `config_util` made of configs (`golden/config`).

use boxwright_golden::{Row, Value, cases, files, golden, list, read, text};

use crate::merge::{Layout, MergeRequest, merge};
use crate::pipeline::Pipeline;
use crate::proto::TrainEvalPipelineConfig;
use crate::text_format;

#[test]
fn printing_is_tensorflows_to_the_byte() {
    let mut row = Row::new("config/printed", 0.0);
    for path in golden("config").iter().flat_map(|folder| files(folder, "", ".config")) {
        let printed = path.with_extension("printed.txt");
        if !printed.exists() {
            continue;
        }
        assert_eq!(Pipeline::read(&path).expect("a config").to_text(), read(&printed), "{}", path.display());
        row.case();
    }
    row.finish();
}

/// Texts and hyperparameters merged over configs: the messages are TFOD's, and the layout is the base's.
#[test]
fn merges() {
    let mut row = Row::new("config/merged", 0.0);
    for manifest in cases("config", &["config", "overrides"]) {
        let folder = manifest.path.parent().expect("a folder");
        for entry in list(&manifest.json) {
            let base = Pipeline::read(folder.join(text(&entry["config"]))).expect("a config");
            for case in list(&entry["overrides"]) {
                let expected = case["expected"].as_str().map(|name| read(&folder.join(name)));
                merge_case(&base, case, expected.as_deref());
                row.case();
            }
        }
    }
    row.finish();
}

fn merge_case(base: &Pipeline, case: &Value, expected: Option<&str>) {
    let mut request = MergeRequest::default();
    match (case["text"].as_str(), case["kwargs"].as_object()) {
        (Some(text), _) => request.overrides.push(("override".into(), text.into())),
        (_, Some(kwargs)) => request.hyperparameters = kwargs.clone(),
        _ => panic!("{case}"),
    }
    match (merge(base, &request), expected) {
        (Ok(merged), Some(expected)) => {
            let expected: TrainEvalPipelineConfig = text_format::parse(expected, "expected").expect("a config");
            assert_eq!(merged.pipeline.config, expected, "{case}");
            assert_eq!(merged.report.layout, Layout::Kept, "{case}");
            if let Some(text) = case["text"].as_str() {
                assert_eq!(base.merge(text, "override").expect("merges").config, expected, "{case}");
            }
        }
        (Err(_), None) => assert!(case["error"].is_string(), "{case}"),
        (result, expected) => panic!("{case}: {result:?} and not {expected:?}"),
    }
}

#[test]
fn edge_cases_are_accepted_and_refused_as_by_tensorflow() {
    let mut row = Row::new("config/text_format_edge_cases", 0.0);
    for file in cases("config", &["text", "ok"]) {
        for case in list(&file.json) {
            edge_case(case);
            row.case();
        }
    }
    row.finish();
}

fn edge_case(case: &Value) {
    let text = text(&case["text"]);
    match (Pipeline::parse(text, "case"), case["ok"].as_bool()) {
        (Ok(pipeline), Some(true)) => assert_eq!(Some(pipeline.to_text().as_str()), case["printed"].as_str(), "{text}"),
        (Err(error), Some(false)) => {
            // TensorFlow's place, `line:column : …`, is ours.
            let theirs = case["error"].as_str().and_then(|error| error.split(" : ").next()).expect("a place");
            let ours = error.to_string();
            assert!(ours.starts_with(&format!("case:{theirs}: ")), "{text}\n ours {ours}\n theirs {theirs}");
        }
        (result, expected) => panic!("{text}: {result:?}, expected ok: {expected:?}"),
    }
}
