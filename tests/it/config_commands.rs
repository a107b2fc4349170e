//! `boxwright config`, from a shell: where its result goes, what it says, how it ends.

use std::fs;

use crate::support::{boxwright, succeed, text};

const BASE: &str = "# mine\ntrain_config {\n  batch_size: 24  # fits\n  optimizer {\n    adam_optimizer { }\n  }\n}\n";

#[test]
fn merge_keeps_comments_and_reports_every_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).expect("written");
        text(&path)
    };
    let base = file("base.config", BASE);
    let over = file("over.config", "train_config { num_steps: 7 }");
    let hparams = file("hparams.json", "{\"batch_size\": 6.4, \"epoch\": 3, \"kv_store\": \"dist_sync\"}");
    let set = "eval_config.num_examples=9";
    let ran = succeed(["config", "merge", &base, "--override", &over, "--hparams", &hparams, "--set", set, "-o", "-"]);
    let expected = BASE.replace("24", "6").replace("  }\n}\n", "  }\n  num_steps: 7\n}\n")
        + "eval_config {\n  num_examples: 9\n}\n";
    assert_eq!(ran.out, expected);
    assert!(ran.err.contains("batch_size: train_config.batch_size: 24 → 6"), "{}", ran.err);
    assert!(ran.err.contains("warning: epoch: unknown and ignored; did you mean `epochs`?"), "{}", ran.err);
    assert!(ran.err.contains("kv_store: without effect: "), "{}", ran.err);

    // Over the base itself, with the report as data.
    let ran = succeed(["config", "merge", &base, "--set", "train_config.batch_size=5", "-o", &base, "--json"]);
    assert!(ran.out.contains("\"layout\": \"kept\"") && ran.out.contains("\"right\": \"5\""), "{}", ran.out);
    assert_eq!(fs::read_to_string(&base).expect("read"), BASE.replace("24", "5"));

    // What is refused leaves the file as it was.
    let momentum = file("momentum.json", "{\"momentum_optimizer_value\": 0.9}");
    let ran = boxwright(["config", "merge", &base, "--hparams", &momentum, "-o", &base]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(ran.err.contains("`momentum_optimizer_value`") && ran.err.contains("adam_optimizer"), "{}", ran.err);
    assert_eq!(fs::read_to_string(&base).expect("read"), BASE.replace("24", "5"));
    assert_eq!(boxwright(["config", "merge", &base, "-o", "-", "--json"]).code, Some(1));
    assert_eq!(boxwright(["config", "merge", &base]).code, Some(2), "-o is missing");
}

#[test]
fn show_fills_in_compares_and_speaks_json() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| text(&folder.path().join(name));
    fs::write(path("a.config"), BASE).expect("written");
    fs::write(path("b.config"), BASE.replace("24", "32")).expect("written");
    let effective = succeed(["config", "show", &path("a.config"), "--effective"]).out;
    assert!(
        effective.contains("  batch_size: 24\n") && effective.contains("  num_steps: 0  # default\n"),
        "{effective}"
    );
    let diff = succeed(["config", "show", &path("a.config"), "--diff", &path("b.config")]).out;
    assert_eq!(diff, "train_config.batch_size: 24 → 32\n");
    let json = succeed(["config", "show", &path("a.config"), "--json"]).out;
    fs::write(path("a.json"), &json).expect("written");
    let same = succeed(["config", "show", &path("a.json"), "--diff", &path("a.config"), "--json"]).out;
    assert_eq!(same.trim(), "[]");
}
