//! Effective configs, differences, JSON and back.

use super::{files, read, shared};
use crate::pipeline::Pipeline;
use crate::set_field;
use crate::show::{Difference, View, pipeline_from_json};
use crate::template::{TemplateValues, pipeline_from_template};

fn configs() -> Vec<Pipeline> {
    let text = pipeline_from_template("ssd_mobilenet_v1", &TemplateValues::default()).expect("a template");
    let mut configs =
        vec![Pipeline::parse(&text, "template").expect("a config"), Pipeline::parse("", "empty").expect("a config")];
    if let Some(shared) = shared() {
        for folder in ["data/tfod-configs/tf1", "data/tfod-configs/tf2", "golden/config"] {
            configs.extend(
                files(&shared.join(folder), "config").iter().map(|path| Pipeline::read(path).expect("a config")),
            );
        }
    }
    configs
}

#[test]
fn json_comes_back_as_the_same_config() {
    for config in configs() {
        for effective in [false, true] {
            let view = View::new(&config, effective);
            let json = serde_json::to_string_pretty(&view.to_json()).expect("JSON");
            let back = pipeline_from_json(&json, "json").unwrap_or_else(|error| panic!("{}: {error}", config.file()));
            assert_eq!(back.config, view.config(), "{}", config.file());
        }
    }
}

#[test]
fn json_has_short_numbers_and_words() {
    let text =
        "train_config { gradient_clipping_by_norm: 0.004 fine_tune_checkpoint_version: V2 bias_grad_multiplier: inf }
                eval_config { super_categories { key: 'a' value: 'b' } metrics_set: 'é\\n' }";
    let view = View::new(&Pipeline::parse(text, "t").expect("a config"), false);
    assert_eq!(
        view.to_json().to_string(),
        "{\"train_config\":{\"gradient_clipping_by_norm\":0.004,\"bias_grad_multiplier\":\"Infinity\",\
         \"fine_tune_checkpoint_version\":\"V2\"},\"eval_config\":{\"metrics_set\":[\"é\\n\"],\"super_categories\":{\"a\":\"b\"}}}"
    );
    let back = pipeline_from_json(&view.to_json().to_string(), "json").expect("a config");
    assert_eq!(back.config, view.config());
}

#[test]
fn json_that_is_no_config_is_explained() {
    for (json, says) in [
        ("{", "no JSON"),
        ("[]", "must be an object"),
        (
            "{\"train_config\": {\"batchsize\": 1}}",
            "train_config: TrainConfig has no field `batchsize`; did you mean `batch_size`?",
        ),
        ("{\"train_config\": {\"batch_size\": 1.5}}", "train_config.batch_size"),
        ("{\"train_config\": {\"batch_size\": -1}}", "from 0"),
        ("{\"train_config\": {\"batch_size\": \"1 num_steps: 2\"}}", "one value"),
        ("{\"train_config\": {\"sync_replicas\": \"true\"}}", "true or false"),
        ("{\"train_config\": []}", "train_config must be an object"),
        ("{\"eval_input_reader\": {}}", "must be a list"),
        ("{\"eval_config\": {\"super_categories\": [1]}}", "must be an object"),
        ("{\"train_config\": {\"fine_tune_checkpoint_version\": \"V3\"}}", "V3"),
        ("{\"train_config\": {\"fine_tune_checkpoint\": 7}}", "cannot be the number 7"),
    ] {
        let error = pipeline_from_json(json, "j.json").expect_err(json).to_string();
        assert!(error.starts_with("j.json: ") && error.contains(says), "{json}: {error}");
    }
    assert!(pipeline_from_json(&"{\"a\":".repeat(100_000), "j").is_err());
}

#[test]
fn the_effective_config_is_a_config_and_marks_its_defaults() {
    for config in configs() {
        let view = View::new(&config, true);
        let text = view.to_text();
        let again = Pipeline::parse(&text, "effective").unwrap_or_else(|error| panic!("{}: {error}", config.file()));
        assert_eq!(again.config, view.config(), "{}", config.file());
        // Nothing given is changed, and only what is marked was added.
        let changes = View::new(&config, false).differences(&View::new(&again, false));
        assert!(changes.iter().all(|change| change.left.is_none()), "{changes:?}");
        let marked = text.lines().filter(|line| line.ends_with("# default") && !line.contains('{')).count();
        let blocks = changes.iter().filter(|change| change.right.as_deref() == Some("{ }")).count();
        assert_eq!(marked, changes.len() - blocks, "{}", config.file());
        // It is complete: filling it again adds nothing.
        assert_eq!(View::new(&again, true).config(), again.config);
        let unmarked: String =
            text.lines().filter(|line| !line.contains("# default")).flat_map(|line| [line.trim(), "\n"]).collect();
        for line in config.to_text().lines() {
            assert!(unmarked.contains(line.trim()), "{}: {line}", config.file());
        }
    }
    let text = View::new(&Pipeline::parse("model { ssd { num_classes: 2 } }", "t").expect("a config"), true).to_text();
    for line in [
        "    num_classes: 2\n",
        "    freeze_batchnorm: false  # default\n",
        "    loss {  # default\n",
        "  num_steps: 0  # default\n",
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
    for absent in ["hard_example_miner", "quantization", "mask_head_config", "optimizer {"] {
        assert!(!text.contains(absent), "{absent}");
    }
}

#[test]
fn differences_are_what_was_changed() {
    let base = "model { ssd { num_classes: 1 } } train_config { freeze_variables: ['a', 'b'] } eval_input_reader { }";
    let view = |text: &str| View::new(&Pipeline::parse(text, "t").expect("a config"), false);
    let other = "model { ssd { num_classes: 2 } } train_config { freeze_variables: ['a'] optimizer { } }
                 eval_input_reader { shuffle: false } eval_config { super_categories { key: 'k' value: 'v' } }";
    let difference = |path: &str, left: Option<&str>, right: Option<&str>| Difference {
        path: path.into(),
        left: left.map(str::to_owned),
        right: right.map(str::to_owned),
    };
    assert_eq!(
        view(base).differences(&view(other)),
        [
            difference("model.ssd.num_classes", Some("1"), Some("2")),
            difference("train_config.optimizer", None, Some("{ }")),
            difference("train_config.freeze_variables[1]", Some("\"b\""), None),
            difference("eval_config.super_categories[\"k\"]", None, Some("\"v\"")),
            difference("eval_input_reader[0].shuffle", None, Some("false")),
        ]
    );
    assert_eq!(view(base).differences(&view(base)), []);
    assert_eq!(difference("a", None, Some("1")).to_string(), "a: (not set) → 1");
    // Layout, order and a value written another way are no differences; a default is one unless asked.
    let written = "train_config { freeze_variables: 'a' } eval_input_reader < > train_config { freeze_variables: \"b\" } model { ssd { num_classes: 0x1 } }";
    assert_eq!(view(base).differences(&view(written)), []);
    let with_default = set_field(base, "train_config.batch_size", "32").expect("set");
    assert_eq!(view(base).differences(&view(&with_default)).len(), 1);
    let effective = |text: &str| View::new(&Pipeline::parse(text, "t").expect("a config"), true);
    assert_eq!(effective(base).differences(&effective(&with_default)), []);
}

#[test]
fn a_view_of_what_is_given_is_the_printed_config() {
    let Some(shared) = shared() else { return };
    for path in files(&shared.join("golden/config"), "config") {
        let view = View::new(&Pipeline::read(&path).expect("a config"), false);
        assert_eq!(view.to_text(), read(&path.with_extension("printed.txt")), "{}", path.display());
    }
}
