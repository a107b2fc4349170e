//! What became of a checkpoint's variables, in words for the person who starts a run.

use std::collections::BTreeSet;

/// What became of the variables that were asked for, by the model's names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreReport {
    /// Those that were asked for.
    pub asked: Vec<String>,
    /// Those that have their value from the file.
    pub loaded: Vec<String>,
    /// Those that the file lacks; they keep their first value.
    pub missing: Vec<String>,
    /// Those of another shape, which keep their first value too: name, the model's shape, the file's.
    pub wrong_shape: Vec<(String, Vec<usize>, Vec<usize>)>,
    /// Weights of the file that were not asked for, by the file's names.
    pub left: Vec<String>,
    /// Whether batch normalization was folded into the file's weights.
    pub folded: bool,
}

impl RestoreReport {
    /// Why a variable has another shape in the file.
    pub fn why(name: &str, model: &[usize], file: &[usize]) -> &'static str {
        let is_head =
            name.contains("ClassPredictor") || name.contains("BoxEncodingPredictor") || name.contains("BoxPredictor/");
        match (model, file) {
            _ if model.len() != file.len() => "another kind of layer",
            _ if is_head && name.contains("Class") => "another number of classes or of anchors",
            _ if is_head => "another number of anchors",
            ([h, w, ..], [file_h, file_w, ..]) if model.len() == 4 && (h, w) != (file_h, file_w) => {
                "another kernel size"
            }
            _ => "another width; are depth_multiplier and min_depth the file's?",
        }
    }
}

/// A few names and how many more there are.
fn some(names: &[String]) -> String {
    let shown = names.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > 3 { format!("{shown}, …") } else { shown }
}

impl std::fmt::Display for RestoreReport {
    /// In one line; with `{:#}` every name in a line of its own below it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} variables loaded", self.loaded.len(), self.asked.len())?;
        if !self.missing.is_empty() {
            write!(f, "; {} not in the file ({})", self.missing.len(), some(&self.missing))?;
        }
        if let Some((name, model, file)) = self.wrong_shape.first() {
            let (count, why) = (self.wrong_shape.len(), Self::why(name, model, file));
            write!(f, "; {count} of another shape ({name} is {model:?} in the model and {file:?} in the file: {why})")?;
        }
        let names: BTreeSet<&str> = self.left.iter().map(String::as_str).collect();
        let is_slot = |name: &&String| {
            name.rsplit_once('/')
                .is_some_and(|(owner, _)| names.contains(owner) || self.loaded.iter().any(|l| l == owner))
        };
        let slots = self.left.iter().filter(is_slot).count();
        let left: Vec<String> = self.left.iter().filter(|name| !is_slot(name)).cloned().collect();
        if !left.is_empty() {
            write!(f, "; {} left in the file ({})", left.len(), some(&left))?;
        }
        if slots > 0 {
            write!(f, "; {slots} optimizer slots left in the file")?;
        }
        if f.alternate() {
            self.missing.iter().try_for_each(|name| write!(f, "\n  not in the file: {name}"))?;
            for (name, model, file) in &self.wrong_shape {
                let why = Self::why(name, model, file);
                write!(f, "\n  another shape: {name}: {model:?} in the model, {file:?} in the file: {why}")?;
            }
            left.iter().try_for_each(|name| write!(f, "\n  left in the file: {name}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_said() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let head = "BoxPredictor_0/ClassPredictor/weights";
        let report = RestoreReport {
            asked: names(&["a", "b", head]),
            loaded: names(&["a"]),
            missing: names(&["b"]),
            wrong_shape: vec![(head.to_owned(), vec![1, 1, 512, 6], vec![1, 1, 512, 273])],
            left: names(&["a/Momentum", "c"]),
            folded: false,
        };
        let line = report.to_string();
        for part in [
            "1 of 3",
            "1 not in the file (b)",
            "another number of classes",
            "1 left in the file (c)",
            "1 optimizer slots",
        ] {
            assert!(line.contains(part), "{line}");
        }
        assert_eq!(format!("{report:#}").lines().count(), 4);
    }

    #[test]
    fn shapes_differ_for_a_reason() {
        let why = RestoreReport::why;
        assert!(
            why("FeatureExtractor/MobilenetV1/Conv2d_0/weights", &[3, 3, 3, 8], &[3, 3, 3, 24])
                .contains("depth_multiplier")
        );
        assert!(why("BoxPredictor_0/BoxEncodingPredictor/weights", &[3, 3, 9, 12], &[1, 1, 9, 12]).contains("anchors"));
        assert!(why("FeatureExtractor/x/weights", &[3, 3, 9, 12], &[1, 1, 9, 12]).contains("kernel"));
    }
}
