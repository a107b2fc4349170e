//! Configs merged with overrides, hyperparameters and single fields.

use serde_json::{Value as Json, json};

use super::{files, shared};
use crate::ConfigError;
use crate::merge::{Layout, MergeRequest, Merged, Outcome, SAGEMAKER_PARAMETERS, merge};
use crate::pipeline::Pipeline;
use crate::template::{TemplateValues, pipeline_from_template};

fn template() -> Pipeline {
    let text = pipeline_from_template("ssd_mobilenet_v1", &TemplateValues::default()).expect("a template");
    Pipeline::parse(&text, "template").expect("a config")
}

fn pipeline(text: &str) -> Pipeline {
    Pipeline::parse(text, "base").expect("a config")
}

fn hparams(base: &Pipeline, values: Json) -> Result<Merged, ConfigError> {
    let Json::Object(hyperparameters) = values else { panic!("an object") };
    merge(base, &MergeRequest { hyperparameters, ..Default::default() })
}

fn merged(base: &str, values: Json) -> String {
    let merged = hparams(&pipeline(base), values).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(merged.report.layout, Layout::Kept);
    merged.pipeline.text().into()
}

fn refused(base: &str, values: Json) -> String {
    hparams(&pipeline(base), values).expect_err("refused").to_string()
}

fn overridden(base: &str, text: &str) -> Merged {
    let request = MergeRequest { overrides: vec![("over".into(), text.into())], ..Default::default() };
    merge(&pipeline(base), &request).unwrap_or_else(|error| panic!("{error}"))
}

fn set(base: &str, setting: &str) -> Result<String, ConfigError> {
    let mut request = MergeRequest::default();
    request.add_setting(setting)?;
    let merged = merge(&pipeline(base), &request)?;
    assert_eq!(merged.report.layout, Layout::Kept, "{setting}");
    Ok(merged.pipeline.text().into())
}

fn outcome<'a>(merged: &'a Merged, key: &str) -> &'a Outcome {
    &merged.report.entries.iter().find(|entry| entry.key == key).expect("it was given").outcome
}

#[test]
fn keys_on_every_real_config_keep_text_and_message_together() {
    let Some(shared) = shared() else { return };
    let over = "model { ssd { num_classes: 7 } }\ntrain_config { num_steps: 9 freeze_variables: 'a' freeze_variables: 'b' \
                optimizer { adam_optimizer { learning_rate { constant_learning_rate { learning_rate: 0.1 } } } } }\n\
                eval_config { super_categories { key: 'x' value: 'y' } }\neval_input_reader { name: 'second' }";
    for folder in ["data/tfod-configs/tf1", "data/tfod-configs/tf2", "golden/config"] {
        for path in files(&shared.join(folder), "config") {
            let base = Pipeline::read(&path).expect("a config");
            let request = MergeRequest { overrides: vec![("over".into(), over.into())], ..Default::default() };
            let merged = merge(&base, &request).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(merged.report.layout, Layout::Kept, "{}", path.display());
            assert_eq!(merged.pipeline.config, base.merge(over, "over").expect("merges").config, "{}", path.display());
            let comments = |text: &str| text.lines().filter(|line| line.trim_start().starts_with('#')).count();
            // A whole block may have given way to another member of its oneof, and its comments with it.
            assert!(comments(merged.pipeline.text()) + 3 >= comments(base.text()), "{}", path.display());
        }
    }
}

const MANUAL: &str = "# mine
train_config {
  batch_size: 24  # fits
  optimizer {
    momentum_optimizer {
      learning_rate {
        manual_step_learning_rate {
          initial_learning_rate: 0.01
          schedule { step: 10 learning_rate: 0.001 }  # first
          schedule { step: 20 }
        }
      }
    }
  }
}
train_input_reader {
  name: \"t\"
  tf_record_input_reader { input_path: \"a\" }
}
eval_input_reader {
  name: \"x\"
  tf_record_input_reader { input_path: \"b\" }
}
";

const COSINE: &str = "train_config { optimizer { adam_optimizer { learning_rate { cosine_decay_learning_rate { \
                      learning_rate_base: 0.04 warmup_learning_rate: 0.01 } } } } }\n";

#[test]
fn a_learning_rate_rescales_its_schedule() {
    let text = merged(MANUAL, json!({"learning_rate": 0.02}));
    let expected = MANUAL
        .replace("initial_learning_rate: 0.01", "initial_learning_rate: 0.02")
        .replace("learning_rate: 0.001 }", "learning_rate: 0.002 }")
        .replace("step: 20 }", "step: 20 learning_rate: 0.004 }");
    assert_eq!(text, expected);
    let text = merged(COSINE, json!({"learning_rate": "0.08"}));
    assert_eq!(
        text,
        COSINE.replace("base: 0.04", "base: 0.08").replace("warmup_learning_rate: 0.01", "warmup_learning_rate: 0.02")
    );
    for (schedule, field) in
        [("constant_learning_rate", "learning_rate"), ("exponential_decay_learning_rate", "initial_learning_rate")]
    {
        let base = format!(
            "train_config {{ optimizer {{ rms_prop_optimizer {{ learning_rate {{ {schedule} {{ {field}: 1 }} }} }} }} }}"
        );
        assert_eq!(merged(&base, json!({"learning_rate": 0.5})), base.replace(": 1 ", ": 0.5 "));
    }
    assert!(refused("", json!({"learning_rate": 0.1})).contains("no optimizer"));
    assert!(
        refused("train_config { optimizer { adam_optimizer { } } }", json!({"learning_rate": 0.1}))
            .contains("no learning rate")
    );
    assert!(refused(&MANUAL.replace("rate: 0.01\n", "rate: 0\n"), json!({"learning_rate": 0.1})).contains("is 0"));
    assert!(refused(MANUAL, json!({"learning_rate": [1]})).contains("write a number"));
}

#[test]
fn numbers_are_rounded_as_python_rounds() {
    for (value, size) in [
        (json!(2.5), 2),
        (json!(3.5), 4),
        (json!(2.6), 3),
        (json!(0.2), 1),
        (json!(-7), 1),
        (json!("16"), 16),
        (json!(true), 1),
    ] {
        assert_eq!(
            merged(MANUAL, json!({"batch_size": value})),
            MANUAL.replace("batch_size: 24", &format!("batch_size: {size}"))
        );
    }
    let steps = |value: Json| {
        hparams(&pipeline(""), json!({"train_steps": value}))
            .map(|m| m.pipeline.config.train_config.expect("set").num_steps())
    };
    assert_eq!(steps(json!(7.9)).expect("steps"), 7);
    assert_eq!(steps(json!("12")).expect("steps"), 12);
    for wrong in [json!("7.5"), json!(-3), json!(5e9), json!([1]), json!("many"), json!({"a": 1})] {
        assert!(steps(wrong.clone()).is_err(), "{wrong}");
    }
    assert!(refused(MANUAL, json!({"batch_size": 5_000_000_000_u64})).contains("batch_size"));
    for momentum in [(json!(1.5), "1.0"), (json!(-0.5), "0.0"), (json!(0.7), "0.7")] {
        let text = merged(MANUAL, json!({"momentum_optimizer_value": momentum.0}));
        assert!(text.contains(&format!("momentum_optimizer_value: {}\n", momentum.1)), "{text}");
    }
    assert!(refused(COSINE, json!({"momentum_optimizer_value": 0.9})).contains("adam_optimizer"));
}

#[test]
fn readers_are_found_as_tfod_finds_them() {
    assert_eq!(
        merged(MANUAL, json!({"train_input_path": ["c", "d"]})),
        MANUAL.replace("input_path: \"a\"", "input_path: \"c\" input_path: \"d\"")
    );
    assert_eq!(merged(MANUAL, json!({"append_eval_input_path": "c"})), MANUAL.replace("\"b\"", "\"c\""));
    let both = format!("{MANUAL}eval_input_reader {{\n  name: \"y\"\n}}\n");
    assert!(refused(&both, json!({"eval_input_path": "c"})).contains("does not say which"));
    assert!(refused(&both, json!({"eval_shuffle": true})).contains("2 evaluation readers"));
    assert!(refused("", json!({"eval_shuffle": true})).contains("no `eval_input_reader`"));
    let text = merged(&both, json!({"label_map_path": "m"}));
    assert_eq!(text.matches("label_map_path: \"m\"").count(), 3);
    let text = merged(&both, json!({"mask_type": "PNG_MASKS", "eval_num_epochs": 2, "sample_1_of_n_eval_examples": 3}));
    assert_eq!((text.matches("PNG_MASKS").count(), text.matches("num_epochs: 2").count()), (3, 2));
    assert!(refused(&both, json!({"mask_type": "PNG_MASK"})).contains("PNG_MASKS"));
    let text = merged(&both, json!({"eval_input_configs:y:shuffle": false, "train_input_config:t:input_path": "z"}));
    assert_eq!(text, both.replace("name: \"y\"\n", "name: \"y\"\n  shuffle: false\n").replace("\"a\"", "\"z\""));
    for (key, says) in [
        ("a:b", "train_input_config:NAME:field"),
        ("eval:x:shuffle", "neither"),
        ("eval_input_configs:z:shuffle", "\"x\", \"y\""),
        ("eval_input_configs:x:num_epochs", "not one of"),
        ("eval_input_configs:x:input_path", "TFOD cannot set it by name"),
    ] {
        let error = refused(&both, json!({key: "1"}));
        assert!(error.contains(says), "{key}: {error}");
    }
    let twins = both.replace("\"y\"", "\"x\"");
    assert!(refused(&twins, json!({"eval_input_configs:x:shuffle": true})).contains("several readers"));
    assert!(refused("train_input_reader { }", json!({"train_input_path": "a"})).contains("tf_record_input_reader"));
    let weights = "train_input_reader { sample_from_datasets_weights: [1, 2] }";
    let text = merged(weights, json!({"sample_from_datasets_weights": [0.5, 3]}));
    assert_eq!(text, weights.replace("[1, 2]", "[0.5, 3.0]"));
    assert!(refused(weights, json!({"sample_from_datasets_weights": [1]})).contains("1 weights and the config has 2"));
}

#[test]
fn models_take_what_is_theirs() {
    let ssd = "model { ssd { num_classes: 1 loss { classification_loss { weighted_sigmoid_focal { gamma: 1 } } } } }";
    let text = merged(
        ssd,
        json!({"num_classes": 3, "focal_loss_gamma": 2, "focal_loss_alpha": 0.5, "classification_localization_weight_ratio": 4}),
    );
    let expected = ssd
        .replace("num_classes: 1", "num_classes: 3")
        .replace("gamma: 1 }", "gamma: 2.0 alpha: 0.5 }")
        .replace("} } } } }", "} } localization_weight: 1.0 classification_weight: 4.0 } } }");
    assert_eq!(text, expected);
    let rcnn = "model { faster_rcnn { num_classes: 1 } }";
    let text = merged(rcnn, json!({"num_classes": 3, "classification_localization_weight_ratio": 2}));
    assert_eq!(text.matches("loss_weight").count(), 4);
    assert!(refused(rcnn, json!({"focal_loss_gamma": 2})).contains("second_stage_classification_loss"));
    let center = "model { center_net { num_classes: 1 keypoint_estimation_task { } } }";
    let merged_center = hparams(
        &pipeline(center),
        json!({"num_classes": 3, "box_scale": 1.5, "rescore_instances": "true", "std_dev_multiplier": 2}),
    )
    .expect("merges");
    assert!(matches!(outcome(&merged_center, "num_classes"), Outcome::WithoutEffect(_)));
    let text = merged_center.pipeline.text();
    assert!(text.contains("box_scale: 1.5 rescore_instances: false std_dev_multiplier: 2.0"), "{text}");
    assert!(refused(center, json!({"candidate_ranking_mode": "best"})).contains("gaussian_weighted"));
    assert!(refused(ssd, json!({"rescoring_threshold": 0.5})).contains("center_net"));
    let nothing = hparams(&pipeline(ssd), json!({"box_scale": 1})).expect("ignored");
    assert!(matches!(outcome(&nothing, "box_scale"), Outcome::WithoutEffect(_)));
}

#[test]
fn a_path_changes_only_what_is_there() {
    let text = merged(MANUAL, json!({"train_config.batch_size": 3, "train_input_config.name": "n"}));
    assert_eq!(text, MANUAL.replace("24", "3").replace("\"t\"", "\"n\""));
    for (key, value, says) in [
        ("train_config.num_steps", json!(3), "only changes what is there"),
        ("train_config.batchsize", json!(3), "batch_size"),
        ("train_config.batch_size", json!(3.0), "whole number"),
        ("train_config.optimizer", json!(3), "is a block"),
        ("train_config.optimizer.adam_optimizer.epsilon", json!(3), "only changes what is there"),
        ("train_config.batch_size.x", json!(3), "single value"),
        ("train_input_config.tf_record_input_reader.input_path", json!("a"), "no repeated field"),
        ("graph_rewriter_config.quantization.delay", json!(3), "no `graph_rewriter`"),
        ("model.", json!(3), "empty"),
    ] {
        let error = refused(MANUAL, json!({key: value}));
        assert!(error.contains(says), "{key}: {error}");
    }
}

#[test]
fn unknown_and_empty_names_change_nothing() {
    let result = hparams(
        &pipeline(MANUAL),
        json!({
            "batchsize": 3, "train_steps": "", "num_classes": null, "fine_tune_checkpoint": "c", "not_a_key": [1],
            "train_input_reader.shuffle": true, "eval_steps": 7, "sagemaker_region": "r"
        }),
    )
    .expect("ignored");
    assert_eq!(result.pipeline.text(), MANUAL);
    let unknown = |key: &str| match outcome(&result, key) {
        Outcome::Unknown(hint) => hint.clone(),
        other => panic!("{key}: {other:?}"),
    };
    assert!(unknown("batchsize").contains("did you mean `batch_size`?"));
    assert!(unknown("fine_tune_checkpoint").contains("`train_config.fine_tune_checkpoint`"));
    assert_eq!(unknown("not_a_key"), "");
    assert!(matches!(outcome(&result, "train_steps"), Outcome::WithoutEffect(_)));
    assert!(matches!(outcome(&result, "eval_steps"), Outcome::WithoutEffect(_)));
    assert!(matches!(outcome(&result, "sagemaker_region"), Outcome::WithoutEffect(_)));
    let mut request = MergeRequest::default();
    assert!(request.add_hyperparameters("[1]", "h.json").expect_err("no object").to_string().starts_with("h.json: "));
    assert!(
        request.add_hyperparameters("{\"a\": }", "h.json").expect_err("no JSON").to_string().contains("line 1 column")
    );
    assert!(request.add_hyperparameters(&"[".repeat(100_000), "h.json").is_err());
}

#[test]
fn an_override_merges_as_protobuf_does_and_leaves_the_rest() {
    let over = "train_config { batch_size: 8 num_steps: 5 data_augmentation_options { random_crop_image { min_area: 0.5 } } } eval_config { }";
    let result = overridden(MANUAL, over);
    assert_eq!(result.report.layout, Layout::Kept);
    let expected = MANUAL.replace("24  # fits", "8  # fits").replace(
        "  }\n}\ntrain_input_reader",
        "  }\n  data_augmentation_options {\n    random_crop_image {\n      min_area: 0.5\n    }\n  }\n  num_steps: 5\n}\ntrain_input_reader",
    ) + "eval_config { }\n";
    assert_eq!(result.pipeline.text(), expected);
    // A repeated field is appended to, not replaced; a oneof changes its member.
    let result = overridden(
        MANUAL,
        "train_input_reader { tf_record_input_reader { input_path: 'c' } } eval_input_reader { shuffle: false }",
    );
    assert!(result.pipeline.text().contains("{ input_path: \"a\" input_path: \"c\" }"), "{}", result.pipeline.text());
    assert_eq!(result.pipeline.config.eval_input_reader.len(), 2);
    let result = overridden(MANUAL, "train_config { optimizer { adam_optimizer { epsilon: 1e-7 } } }");
    assert!(!result.pipeline.text().contains("momentum"));
    // What edits cannot say is printed anew, and the message is right all the same.
    let tangled = "train_config { optimizer { adam_optimizer { epsilon: 1 } momentum_optimizer { momentum_optimizer_value: 0.5 } } }";
    let result = overridden(MANUAL, tangled);
    assert!(matches!(result.report.layout, Layout::Printed(_)));
    assert_eq!(result.pipeline.config, pipeline(MANUAL).merge(tangled, "over").expect("merges").config);
    let error = merge(
        &pipeline(""),
        &MergeRequest {
            overrides: vec![("o.config".into(), "train_config { batchsize: 1 }".into())],
            ..Default::default()
        },
    );
    assert!(error.expect_err("unknown").to_string().starts_with("o.config:1:16: "));
}

#[test]
fn single_fields_by_path() {
    assert_eq!(set(MANUAL, "train_config.batch_size=8").expect("set"), MANUAL.replace("24", "8"));
    assert_eq!(
        set(MANUAL, "eval_input_reader.name = with = sign").expect("set"),
        MANUAL.replace("\"x\"", "\"with = sign\"")
    );
    let steps = "train_config.optimizer.momentum_optimizer.learning_rate.manual_step_learning_rate.schedule";
    assert_eq!(set(MANUAL, &format!("{steps}[0].step=11")).expect("set"), MANUAL.replace("step: 10", "step: 11"));
    assert!(set(MANUAL, &format!("{steps}.step=11")).expect_err("which").to_string().contains("2 times"));
    assert!(set(MANUAL, &format!("{steps}[5].step=11")).expect_err("gap").to_string().contains("only 2"));
    let paths = "train_input_reader.tf_record_input_reader.input_path";
    for value in ["[x/1.record, y]", "['x/1.record', \"y\"]"] {
        let text = set(MANUAL, &format!("{paths}={value}")).expect("set");
        assert!(
            text.contains("{ input_path: \"x/1.record\" input_path: \"y\" }")
                || text.contains("{ input_path: 'x/1.record'"),
            "{text}"
        );
    }
    assert_eq!(set(MANUAL, &format!("{paths}=c")).expect("set"), MANUAL.replace("\"a\"", "\"c\""));
    let two = MANUAL.replace("{ input_path: \"a\" }", "{ input_path: [\"a\", \"b\"] }");
    assert!(set(&two, &format!("{paths}=c")).expect_err("which").to_string().contains("2 elements"));
    assert_eq!(set(&two, &format!("{paths}=[c]")).expect("set"), two.replace("[\"a\", \"b\"]", "[\"c\"]"));
    assert_eq!(set(&two, &format!("{paths}[2]=c")).expect("set"), two.replace("\"b\"]", "\"b\", \"c\"]"));
    let text = set(MANUAL, "eval_config.super_categories={ key: 'a' value: 'b' }").expect("set");
    assert!(text.ends_with("eval_config {\n  super_categories { key: 'a' value: 'b' }\n}\n"), "{text}");
    assert_eq!(set("", "model.ssd.post_processing.score_converter=SIGMOID").expect("set").lines().count(), 7);
    for (setting, says) in [
        ("train_config.batch_size", "path=value"),
        ("train_config.batch_sise=1", "did you mean `batch_size`?"),
        ("train_config.batch_size=x", "whole number"),
        ("model.ssd.post_processing.score_converter=SIGMOIDE", "did you mean `SIGMOID`?"),
    ] {
        let error = set(MANUAL, setting).expect_err(setting).to_string();
        assert!(error.contains(says), "{setting}: {error}");
    }
}

#[test]
fn the_last_of_the_three_ways_wins() {
    let mut request = MergeRequest {
        overrides: vec![("o".into(), "train_config { batch_size: 2 num_steps: 2 }".into())],
        ..Default::default()
    };
    request.add_hyperparameters("{\"batch_size\": 3, \"train_steps\": 3}", "h").expect("JSON");
    request.add_setting("train_config.batch_size=4").expect("a setting");
    let result = merge(&pipeline(MANUAL), &request).expect("merges");
    let train = result.pipeline.config.train_config.clone().expect("set");
    assert_eq!((train.batch_size(), train.num_steps()), (4, 3));
    let said: Vec<String> = result.report.entries.iter().map(ToString::to_string).collect();
    assert_eq!(said[1], "batch_size: train_config.batch_size: 2 → 3");
    assert_eq!(said[0], "o: train_config.batch_size: 24 → 2\no: train_config.num_steps: (not set) → 2");
    assert_eq!(said[3], "train_config.batch_size: 3 → 4");
    let json = serde_json::to_value(&result.report).expect("JSON");
    assert_eq!(json["entries"][1]["outcome"]["applied"][0]["right"], "3");
    assert_eq!(json["layout"], "kept");
}

#[test]
fn a_struct_that_was_changed_is_the_base() {
    let mut base = pipeline(MANUAL);
    base.config.train_config.as_mut().expect("set").batch_size = Some(5);
    let result = merge(&base, &MergeRequest::default()).expect("merges");
    assert_eq!(result.pipeline.config, base.config);
}

#[test]
fn sagemakers_table_becomes_a_config() {
    let base = template();
    let result = hparams(&base, json!({
        "base_network": "resnet-50", "use_pretrained_model": "1", "num_classes": "5", "epochs": "3", "learning_rate": "0.01",
        "lr_scheduler_step": "1, 2", "lr_scheduler_factor": "0.5", "optimizer": "rmsprop", "momentum": "0.8", "weight_decay": "0.001",
        "mini_batch_size": "16", "image_shape": "512", "label_width": "600", "num_training_samples": "100", "nms_threshold": "0.4",
        "overlap_threshold": "0.6", "early_stopping": "True", "early_stopping_min_epochs": "10", "early_stopping_patience": "5",
        "early_stopping_tolerance": "0.0", "freeze_layer_pattern": "^(conv1_|conv2_).*", "kv_store": "dist_sync"
    }))
    .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(result.report.layout, Layout::Kept);
    let expected = [
        "model.ssd.num_classes=5",
        "model.ssd.image_resizer.fixed_shape_resizer.height=512",
        "model.ssd.image_resizer.fixed_shape_resizer.width=512",
        "model.ssd.feature_extractor.conv_hyperparams.regularizer.l2_regularizer.weight=0.001",
        "model.ssd.box_predictor.convolutional_box_predictor.conv_hyperparams.regularizer.l2_regularizer.weight=0.001",
        "model.ssd.post_processing.batch_non_max_suppression.iou_threshold=0.4",
        "train_config.batch_size=16",
        // Seven batches of sixteen hold a hundred images.
        "train_config.num_steps=21",
        "train_config.freeze_variables=^(conv1_|conv2_).*",
        "train_config.optimizer.rms_prop_optimizer.learning_rate.manual_step_learning_rate={ initial_learning_rate: 0.01 \
         schedule { step: 7 learning_rate: 0.005 } schedule { step: 14 learning_rate: 0.0025 } }",
    ];
    let mut request = MergeRequest::default();
    expected.iter().for_each(|setting| request.add_setting(setting).expect("a setting"));
    assert_eq!(result.pipeline.config, merge(&base, &request).expect("merges").pipeline.config);
    for key in [
        "base_network",
        "momentum",
        "label_width",
        "overlap_threshold",
        "early_stopping",
        "early_stopping_patience",
        "kv_store",
    ] {
        assert!(matches!(outcome(&result, key), Outcome::WithoutEffect(_)), "{key}: {:?}", outcome(&result, key));
    }
    assert_eq!(outcome(&result, "num_training_samples"), &Outcome::UsedBy("epochs".into()));
    assert_eq!(outcome(&result, "lr_scheduler_factor"), &Outcome::UsedBy("lr_scheduler_step".into()));
    assert_eq!(result.report.entries.len(), 22, "every key is in the report");
}

#[test]
fn sagemakers_ranges_hold_and_its_names_stand_alone() {
    for (key, value) in [
        ("base_network", "vgg-19"),
        ("use_pretrained_model", "2"),
        ("epochs", "0"),
        ("mini_batch_size", "1.5"),
        ("momentum", "1.1"),
        ("weight_decay", "1"),
        ("lr_scheduler_factor", "0"),
        ("lr_scheduler_step", "3;6"),
        ("optimizer", "adamw"),
        ("overlap_threshold", "0"),
        ("nms_threshold", "NaN"),
        ("image_shape", "299"),
        ("image_size", "0"),
        ("label_width", "-1"),
        ("early_stopping", "maybe"),
        ("early_stopping_tolerance", "1.5"),
        ("kv_store", "local"),
        ("num_training_samples", "many"),
        ("num_steps", "1e3"),
        ("quantize", "yes please"),
        ("inference_type", "INT4"),
    ] {
        let error = refused(MANUAL, json!({key: value}));
        assert!(error.contains(key) && error.contains("write "), "{key}: {error}");
    }
    // TFOD has no such range, SageMaker has.
    assert!(hparams(&pipeline(MANUAL), json!({"learning_rate": 2})).is_ok());
    assert!(
        refused(MANUAL, json!({"learning_rate": "2", "epochs": "1", "num_training_samples": "5"}))
            .contains("at most 1")
    );
    assert!(refused(MANUAL, json!({"epochs": "3"})).contains("num_training_samples"));
    assert!(refused(MANUAL, json!({"lr_scheduler_step": "6,3", "num_training_samples": "50"})).contains("ascend"));
    assert!(refused(MANUAL, json!({"epochs": "4000000000", "num_training_samples": "4000000000"})).contains("epochs"));
    let result =
        hparams(&template(), json!({"optimizer": "adadelta", "base_network": "vgg-16", "lr_scheduler_factor": "0.5"}))
            .expect("ignored");
    assert_eq!(result.pipeline.text(), template().text());
    let resnet = "model { ssd { feature_extractor { type: \"ssd_resnet101_v1_fpn\" } } }";
    assert_eq!(merged(resnet, json!({"base_network": "resnet-50"})), resnet.replace("101", "50"));
    // Every name of the table changes something or says why not, on a config that has nothing.
    for parameter in SAGEMAKER_PARAMETERS {
        let value = parameter.default.unwrap_or("1");
        if let Ok(result) = hparams(&pipeline(""), json!({parameter.name: value})) {
            assert!(!matches!(outcome(&result, parameter.name), Outcome::Unknown(_)), "{}", parameter.name);
        }
    }
}

#[test]
fn containers_ask_for_steps_sizes_and_eight_bits() {
    let base = template();
    let result = hparams(
        &base,
        json!({"num_steps": "2000", "quantize": "True", "image_size": "320x256", "inference_type": "QUANTIZED_UINT8"}),
    )
    .expect("merges");
    assert_eq!(result.report.layout, Layout::Kept);
    let config = &result.pipeline.config;
    let quantization =
        config.graph_rewriter.as_ref().and_then(|rewriter| rewriter.quantization.as_ref()).expect("a block");
    assert_eq!((quantization.delay(), quantization.weight_bits(), quantization.activation_bits()), (1800, 8, 8));
    assert!(result.pipeline.text().contains("height: 320") && result.pipeline.text().contains("width: 256"));
    let back = hparams(&result.pipeline, json!({"quantize": "false"})).expect("merges");
    assert_eq!(back.pipeline.config.graph_rewriter, None);
    let float = hparams(&result.pipeline, json!({"inference_type": "FLOAT"})).expect("merges");
    assert_eq!(float.pipeline.config.graph_rewriter, None);
    let both = hparams(&base, json!({"inference_type": "FLOAT", "quantize": true})).expect("merges");
    assert!(both.pipeline.config.graph_rewriter.is_some());
    let fresh = hparams(&result.pipeline, json!({"use_pretrained_model": 0})).expect("merges");
    assert_eq!(fresh.pipeline.config.train_config.expect("set").fine_tune_checkpoint, None);
    let rcnn = "model {\n  faster_rcnn {\n    image_resizer {\n      keep_aspect_ratio_resizer {\n        min_dimension: 600\n      }\n    }\n  }\n}\n";
    let text = merged(rcnn, json!({"image_size": 400}));
    assert!(
        text.contains("fixed_shape_resizer {\n        height: 400\n        width: 400\n      }")
            && !text.contains("keep_aspect"),
        "{text}"
    );
}

#[test]
fn odd_values_for_every_name_are_answered_and_never_break_a_config() {
    let bases = [pipeline(""), pipeline(MANUAL), pipeline(COSINE), template()];
    let center = pipeline("model { center_net { keypoint_estimation_task { } } }");
    let odd = json!([
        0, -1, 1, 1.5, 1e300, -1e300, 18_446_744_073_709_551_615_u64, true, "1", "1e400", "nan", "-inf", "a }\nb: 1", "{ }", "'",
        "\u{0}", [1, "a"], [], [[]], {"a": 1}, "0x10", "[0]", "9".repeat(5000)
    ]);
    let paths = [
        "model.ssd.num_classes",
        "train_config.batch_size",
        "eval_input_configs:x:shuffle",
        "train_config.[",
        "model..",
        ":::",
    ];
    let names = crate::merge::hyperparameter_names().chain(paths);
    let mut merged = 0;
    for name in names {
        for value in odd.as_array().expect("a list") {
            for base in bases.iter().chain([&center]) {
                match hparams(base, json!({name: value})) {
                    Ok(result) => {
                        let again = Pipeline::parse(result.pipeline.text(), "again").expect("a config");
                        assert_eq!(again.to_text(), result.pipeline.to_text(), "{name}: {value}");
                        merged += 1;
                    }
                    Err(error) => assert!(error.to_string().len() < 1500, "{name}: {error}"),
                }
            }
        }
    }
    assert!(merged > 500, "{merged} of them do something");
}
