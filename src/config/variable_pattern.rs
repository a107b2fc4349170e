//! The patterns of `freeze_variables` and `update_trainable_variables`: regular expressions that are searched for in
//! the names of variables.

use regex::Regex;

/// What is wrong with a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {fix}")]
pub struct PatternError {
    /// The pattern, and its slip.
    pub what: String,
    /// What to do.
    pub fix: &'static str,
}

/// A pattern, ready to be searched for.
///
/// # Errors
/// It is no regular expression.
pub fn variable_pattern(text: &str) -> Result<Regex, PatternError> {
    Regex::new(text).map_err(|error| {
        let what = error.to_string();
        // The library draws the pattern over several lines; its last says what is wrong.
        let what = what.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let fix = if what.contains("look-around") {
            "name what is trained in update_trainable_variables and what is not in freeze_variables instead"
        } else {
            "write it as Python's re does"
        };
        PatternError { what: format!("`{text}` is no pattern: {what}"), fix }
    })
}
