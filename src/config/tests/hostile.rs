//! Input that wants to break the parser: it gets an error, quickly, and nothing else.

use proptest::prelude::*;

use crate::pipeline::Pipeline;
use crate::text_format::{MAX_BYTES, MAX_DEPTH};
use crate::{ConfigError, label_map, paths, remove_field, schema, set_field};

fn refused(text: &str) -> String {
    let error = Pipeline::parse(text, "hostile").expect_err("not a config").to_string();
    assert!(error.len() < 1000, "an error quotes little: {} bytes", error.len());
    error
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    assert!(refused(&"model { ".repeat(1_000_000)).contains("DetectionModel has no field `model`"));
    let text = "a {".repeat(1_000_000);
    assert!(refused(&text).contains("has no field `a`"));
    let error = crate::text_format::Document::parse(&text, "deep").expect_err("too deep");
    assert!(error.to_string().contains(&format!("more than {MAX_DEPTH} deep")), "{error}");
    assert_eq!(error.position.column, 3 * MAX_DEPTH + 3);
    assert!(crate::text_format::Document::parse(&"a: [{".repeat(1_000_000), "deep").is_err());
    assert!(refused(&"[".repeat(1_000_000)).contains("expected `]`"));
    assert!(refused(&"<".repeat(1_000_000)).contains("expected the name of a field"));
}

#[test]
fn huge_numbers_and_words_are_errors() {
    let digits = "9".repeat(1 << 20);
    assert!(refused(&format!("train_config {{ batch_size: {digits} }}")).contains("does not fit"));
    assert!(refused(&format!("train_config {{ batch_size: 0x{digits} }}")).contains("does not fit"));
    assert!(refused(&format!("train_config {{ {digits}: 1 }}")).contains("expected the name of a field"));
    assert!(refused(&format!("train_config {{ a{digits}: 1 }}")).contains("has no field"));
    assert!(
        refused(&format!("model {{ ssd {{ post_processing {{ score_converter: A{digits} }} }} }}"))
            .contains("has no value")
    );
    // A float may have any number of digits.
    let text = format!("train_config {{ gradient_clipping_by_norm: {digits} }}");
    let config = Pipeline::parse(&text, "large").expect("a config").config;
    assert_eq!(config.train_config.expect("a train_config").gradient_clipping_by_norm(), f32::INFINITY);
}

#[test]
fn a_megabyte_of_garbage_is_an_error() {
    let mut state = 1u64;
    let garbage: Vec<u8> = (0..1 << 20)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        })
        .collect();
    assert!(crate::text_format::decode(&garbage, "garbage").is_err());
    refused(&String::from_utf8_lossy(&garbage));
    refused(&"\0".repeat(1 << 20));
    refused(&"\"".repeat(1 << 20));
    refused(&"é".repeat(1 << 19));
}

#[test]
fn too_much_is_an_error() {
    assert!(refused(&" ".repeat(MAX_BYTES + 1)).contains("bytes is more than"));
    assert!(refused(&"model{}".repeat(1_000_001)).contains("more than 1000000 fields"));
    let items = "item{}".repeat(1_000_001);
    assert!(label_map::parse(&items, "map").expect_err("too much").to_string().contains("more than 1000000 fields"));
    let folder = std::env::temp_dir();
    assert!(matches!(Pipeline::read(&folder), Err(ConfigError::Read { .. })));
    assert!(matches!(Pipeline::read(folder.join("boxwright-no-such.config")), Err(ConfigError::Read { .. })));
}

#[cfg(unix)]
#[test]
fn an_endless_file_is_an_error() {
    assert!(matches!(Pipeline::read("/dev/zero"), Err(ConfigError::TooLarge { .. })));
}

/// Pieces that, thrown together, get past the first token often.
fn pieces() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "model",
        "ssd",
        "{",
        "}",
        "<",
        ">",
        "[",
        "]",
        ":",
        ",",
        ";",
        "train_config",
        "batch_size",
        "num_classes",
        "1",
        "-1",
        "0x",
        "1e",
        "'a'",
        "\"b",
        "\\",
        "\n",
        "#",
        "item",
        "id",
        "name",
        "true",
        "é",
        "eval_config",
        "super_categories",
        "key",
        "value",
        "optimizer",
        "adam_optimizer",
        "epsilon",
        ".",
        "\u{a0}",
    ]);
    prop::collection::vec(pieces, 0..40).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn nothing_panics_and_what_is_accepted_survives(text in prop_oneof![pieces(), any::<String>()]) {
        if let Ok(pipeline) = Pipeline::parse(&text, "random") {
            let again = Pipeline::parse(&pipeline.to_text(), "printed").expect("what was printed is a config");
            prop_assert_eq!(again.config, pipeline.config);
            let changed = set_field(&text, "train_config.num_steps", "7").expect("a field can be set");
            let changed = Pipeline::parse(&changed, "changed").expect("still a config");
            prop_assert_eq!(changed.config.train_config.map(|train| train.num_steps()), Some(7));
            let removed = remove_field(&text, "train_config").expect("a field can be removed");
            prop_assert!(Pipeline::parse(&removed, "removed").is_ok());
        }
        let _ = label_map::parse(&text, "random");
        let _ = set_field("", &text, "1");
        let _ = set_field("", "train_config.fine_tune_checkpoint", &text);
        let _ = schema::field(&text);
    }

    #[test]
    fn patterns_end(pattern in "[a*?]{0,60}", name in "a{0,200}") {
        let _ = paths::expand(std::path::Path::new("/no-such-folder"), &format!("{pattern}/{name}"));
    }
}
