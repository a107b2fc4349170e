//! Errors by hand: each with its place, what is wrong, and what to do.

use crate::pipeline::Pipeline;
use crate::text_format::Position;

/// The error of a text, without the file's name.
fn error(text: &str) -> String {
    let error = Pipeline::parse(text, "p").expect_err("not a config").to_string();
    error.strip_prefix("p:").expect("the file's name").to_owned()
}

#[test]
fn each_mistake_has_its_line_column_and_fix() {
    let cases = [
        (
            "model {\n  ssd {\n    num_clases: 3\n  }\n}",
            "3:5: Ssd has no field `num_clases`; did you mean `num_classes`?",
        ),
        ("model {\n\tsdd {}\n}", "2:2: DetectionModel has no field `sdd`; did you mean `ssd`?"),
        (
            "# é\nmodel { ssd {} } x: 1",
            "2:18: TrainEvalPipelineConfig has no field `x`; delete it, or move it to the block it belongs to",
        ),
        (
            "train_config { batch_size: eight }",
            "1:28: `batch_size` is a whole number from 0 and `eight` is not; write a whole number",
        ),
        (
            "train_config { batch_size: 2.5 }",
            "1:28: `batch_size` is a whole number from 0 and `2.5` is not; write a whole number",
        ),
        ("train_config { batch_size: -1 }", "1:28: -1 does not fit `batch_size`; write a number from 0 to 4294967295"),
        (
            "train_config { batch_size: \"8\" }",
            "1:28: `batch_size` is a whole number from 0 and not a string; remove the quotes",
        ),
        (
            "train_config { sync_replicas: yes }",
            "1:31: `sync_replicas` is true or false and `yes` is not; write true or false",
        ),
        (
            "train_config { fine_tune_checkpoint: model.ckpt }",
            "1:38: `fine_tune_checkpoint` is a string and `model` has no quotes; write \"model\"",
        ),
        ("train_config { fine_tune_checkpoint: \"a }\n}", "1:38: the string has no closing \" on its line; add a \""),
        (
            "train_config { fine_tune_checkpoint: \"a\\qb\" }",
            "1:40: this escape is not one; write \\\\ for a backslash",
        ),
        (
            "train_config { fine_tune_checkpoint: '\\xff' }",
            "1:38: the escapes in `fine_tune_checkpoint` do not make UTF-8 text; write the characters themselves",
        ),
        (
            "train_config { batch_size 8 }",
            "1:27: expected `:` or `{` after `batch_size`, but there is `8`; write `name: value` or `name { … }`",
        ),
        (
            "train_config { batch_size { 8 } }",
            "1:27: `batch_size` takes a single value and not a block; write `batch_size: value`",
        ),
        (
            "train_config { batch_size { } }",
            "1:27: `batch_size` takes a single value and not a block; write `batch_size: value`",
        ),
        (
            "train_config { batch_size: { } }",
            "1:28: `batch_size` takes a single value and not a block; write `batch_size: value`",
        ),
        ("train_config { batch_size: [1] }", "1:28: `batch_size` takes one value and not a list"),
        (
            "train_config { optimizer: adam }",
            "1:27: `optimizer` is a block of settings and not a single value; write `optimizer { … }`",
        ),
        (
            "train_config {\n  batch_size: 8\n",
            "2:15: the block that was opened at line 1, column 14 is not closed; add a `}`",
        ),
        ("model < ssd { > }", "1:15: there is `>`, but no block is open that it could close; delete it"),
        ("model { } }", "1:11: there is `}`, but no block is open that it could close; delete it"),
        (
            "model { ssd { post_processing { score_converter: SIGMOYD } } }",
            "1:50: ScoreConverter has no value `SIGMOYD`; did you mean `SIGMOID`?",
        ),
        (
            "model { ssd { post_processing { score_converter: 9 } } }",
            "1:50: ScoreConverter has no value `9`; write one of IDENTITY, SIGMOID, SOFTMAX",
        ),
        ("[my.extension] { }", "1:1: [my.extension] is an extension, and none are known; delete it"),
        (
            "eval_config { metrics_set: [\"a\" \"b\", 3] }",
            "1:38: `metrics_set` is a string and `3` has no quotes; write \"3\"",
        ),
        ("eval_config { metrics_set: [\"a\" }", "1:33: expected `,` or `]` in the list, but there is `}`"),
        (
            "eval_config { metrics_set: [\"a\"",
            "1:29: the block that was opened at line 1, column 28 is not closed; add a `]`",
        ),
        ("model: 3", "1:8: `model` is a block of settings and not a single value; write `model { … }`"),
        // The mistake that comes first in the text is reported, whatever kind it is.
        ("train_config { bach_size: 1 ", "1:16: TrainConfig has no field `bach_size`; did you mean `batch_size`?"),
        ("train_config { batch_size: } model { x: 1 }", "1:28: expected a value, but there is `}`"),
    ];
    for (text, expected) in cases {
        assert_eq!(error(text), expected, "{text}");
    }
}

#[test]
fn whatever_the_format_allows_is_understood() {
    let text = "train_config: < batch_size: 010, num_steps: 0x1F; sync_replicas: t fine_tune_checkpoint: 'a' \"b\" # c\n\
                data_augmentation_options: [{ random_horizontal_flip: {} }, < random_vertical_flip < > >]\n\
                freeze_variables: ['x', 'y'] freeze_variables: 'z' freeze_variables: [] >\n\
                eval_config { super_categories { key: 'animals' value: 'cat,dog' } super_categories: { key: 'none' } }";
    let config = Pipeline::parse(text, "p").expect("a config").config;
    let train = config.train_config.expect("a train_config");
    assert_eq!((train.batch_size(), train.num_steps(), train.sync_replicas()), (8, 31, true));
    assert_eq!((train.fine_tune_checkpoint(), train.data_augmentation_options.len()), ("ab", 2));
    assert_eq!(train.freeze_variables, ["x", "y", "z"]);
    let super_categories = config.eval_config.expect("an eval_config").super_categories;
    assert_eq!((super_categories["animals"].as_str(), super_categories["none"].as_str()), ("cat,dog", ""));
}

#[test]
fn fields_have_places() {
    let text = "model {\n  ssd { num_classes: 3 }\n}\ntrain_config {\n  batch_size: 1\n  data_augmentation_options { random_horizontal_flip {} }\n  \
                data_augmentation_options { ssd_random_crop { operations { min_area: 0.1 } } }\n  batch_size: 2\n  freeze_variables: ['a', 'b']\n}\n";
    let pipeline = Pipeline::parse(text, "p").expect("a config");
    let at = |path: &str| pipeline.position(path).map(|Position { line, column }| (line, column));
    assert_eq!(at("model.ssd.num_classes"), Some((2, 9)));
    assert_eq!(at("train_config.batch_size"), Some((8, 3)), "the last one counts");
    assert_eq!(at("train_config.data_augmentation_options[1].ssd_random_crop.operations[0].min_area"), Some((7, 62)));
    assert_eq!(at("train_config.data_augmentation_options[0]"), Some((6, 3)));
    assert_eq!(at("train_config.freeze_variables[1]"), Some((9, 27)));
    assert_eq!(at("train_config.data_augmentation_options[2]"), None);
    assert_eq!(at("eval_config"), None);
    assert_eq!(pipeline.place("model.ssd.loss.classification_loss"), "line 2, column 3");
    assert_eq!(pipeline.place("eval_config.metrics_set"), "");
}
