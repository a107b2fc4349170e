//! Which variables are trained, and by how much their gradients are multiplied.
//!
//! TFOD chooses by regular expressions over the variables' names: `update_trainable_variables` takes what any of its
//! patterns is found in (all variables where it is empty), then `freeze_variables` leaves out what any of its patterns is
//! found in. `bias_grad_multiplier` multiplies the gradients of the biases, before the gradients are clipped. A variable
//! that is left out has no gradient, no penalty's slope and no slots; moving statistics of batch normalization are no
//! trainable variables and go on moving (`freeze_batchnorm` and `batch_norm { train: false }` hold them).

use boxwright_config::{proto, variable_pattern};
use boxwright_detection::VariableInfo;
use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::Tensor;
use regex::Regex;
use std::collections::HashSet;

use crate::builders::FieldError;

/// The choice.
#[derive(Clone, Debug, Default)]
pub struct VariableRules {
    /// What is trained; everything where there is no pattern.
    include: Vec<Regex>,
    /// What is left out of it.
    exclude: Vec<Regex>,
    /// What a gradient is multiplied by, for each pattern that is found in the variable's name.
    factors: Vec<(Regex, f32)>,
}

/// The last part of a bias's name, in slim's networks and in Keras'.
const BIASES: &str = "(^|/)bias(es)?$";

impl VariableRules {
    /// As `train_config` has it. Empty patterns are none, as in TFOD.
    ///
    /// # Errors
    /// A pattern that is no regular expression.
    pub fn from_config(train: &proto::TrainConfig) -> Result<Self, FieldError> {
        let all = |name: &str, patterns: &[String]| {
            let given = patterns.iter().enumerate().filter(|(_, pattern)| !pattern.is_empty());
            given.map(|(i, text)| pattern(&format!("train_config.{name}[{i}]"), text)).collect::<Result<Vec<_>, _>>()
        };
        let mut rules = Self {
            include: all("update_trainable_variables", &train.update_trainable_variables)?,
            exclude: all("freeze_variables", &train.freeze_variables)?,
            factors: Vec::new(),
        };
        // 0 is the schema's default and means that nothing is multiplied.
        if train.bias_grad_multiplier() != 0.0 {
            rules.factors.push((pattern("bias_grad_multiplier", BIASES)?, train.bias_grad_multiplier()));
        }
        Ok(rules)
    }

    /// The same, with gradients multiplied by `factor` where `text` is found in the name: learning rates by pattern.
    ///
    /// # Errors
    /// A pattern that is no regular expression, or a factor that is no number or negative.
    pub fn with_factor(mut self, text: &str, factor: f32) -> Result<Self, FieldError> {
        let field = "gradient_multiplier";
        if !(factor.is_finite() && factor >= 0.0) {
            return Err(FieldError {
                field: field.to_owned(),
                what: format!("{factor} is no factor for `{text}`; give a number from 0 on"),
            });
        }
        self.factors.push((pattern(field, text)?, factor));
        Ok(self)
    }

    /// Whether the variable of this name is trained.
    pub fn is_trained(&self, name: &str) -> bool {
        let found = |patterns: &[Regex]| patterns.iter().any(|pattern| pattern.is_match(name));
        (self.include.is_empty() || found(&self.include)) && !found(&self.exclude)
    }

    /// What the gradient of the variable of this name is multiplied by.
    pub fn factor(&self, name: &str) -> f32 {
        self.factors.iter().filter(|(pattern, _)| pattern.is_match(name)).map(|(_, factor)| factor).product()
    }

    /// How many of the variables that could be trained are: `(trained, all)`.
    pub fn count(&self, variables: &[VariableInfo]) -> (usize, usize) {
        let trainable = || variables.iter().filter(|info| info.trainable);
        (trainable().filter(|info| self.is_trained(&info.name)).count(), trainable().count())
    }

    /// The patterns that are found in no variable's name: most likely a slip.
    pub fn unused(&self, variables: &[VariableInfo]) -> Vec<&str> {
        let all = self.include.iter().chain(&self.exclude).chain(self.factors.iter().map(|(pattern, _)| pattern));
        let unused = |pattern: &&Regex| !variables.iter().any(|info| info.trainable && pattern.is_match(&info.name));
        all.filter(unused).map(Regex::as_str).filter(|pattern| *pattern != BIASES).collect()
    }

    /// The model with the variables that are not trained taken off the gradient tape: no backward pass is spent on them,
    /// nor on what lies below them alone.
    pub fn freeze<M: Module>(&self, model: M, variables: &[VariableInfo]) -> M {
        let frozen = variables.iter().filter(|info| info.trainable && !self.is_trained(&info.name));
        let frozen: HashSet<ParamId> = frozen.map(|info| info.id).collect();
        if frozen.is_empty() { model } else { model.map(&mut Freeze { frozen }) }
    }
}

fn pattern(field: &str, text: &str) -> Result<Regex, FieldError> {
    variable_pattern(text).map_err(|error| FieldError { field: field.to_owned(), what: error.to_string() })
}

struct Freeze {
    frozen: HashSet<ParamId>,
}

impl ModuleMapper for Freeze {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.frozen.contains(&param.id) { param.set_require_grad(false) } else { param }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(include: &[&str], exclude: &[&str], bias: f32) -> Result<VariableRules, FieldError> {
        let owned = |patterns: &[&str]| patterns.iter().map(|p| (*p).to_owned()).collect();
        VariableRules::from_config(&proto::TrainConfig {
            update_trainable_variables: owned(include),
            freeze_variables: owned(exclude),
            bias_grad_multiplier: Some(bias),
            ..Default::default()
        })
    }

    #[test]
    fn what_is_included_and_not_excluded_is_trained() {
        let all = rules(&[], &[], 0.0).expect("patterns");
        assert!(all.is_trained("anything"));
        // A pattern may be found anywhere in the name.
        let heads = rules(&["BoxPredictor"], &["ClassPredictor/biases$", ""], 0.0).expect("patterns");
        assert!(heads.is_trained("FirstStage/BoxPredictor_0/ClassPredictor/weights"));
        assert!(!heads.is_trained("BoxPredictor_0/ClassPredictor/biases"));
        assert!(!heads.is_trained("FeatureExtractor/MobilenetV1/Conv2d_0/weights"));
        let sagemaker = rules(&[], &["^(conv1_|conv2_).*"], 0.0).expect("patterns");
        assert!(!sagemaker.is_trained("conv1_weights") && sagemaker.is_trained("x/conv1_weights"));
    }

    #[test]
    fn biases_are_multiplied_and_patterns_multiply_together() {
        let rules = rules(&[], &[], 2.0).expect("patterns").with_factor("Box", 0.5).expect("a factor");
        let names = ["a/biases", "a/bias", "Box/biases", "Box/weights", "a/weights", "a/biases_x"];
        assert_eq!(names.map(|name| rules.factor(name)), [2.0, 2.0, 1.0, 0.5, 1.0, 1.0]);
        assert!(rules.clone().with_factor("Box", f32::NAN).is_err());
    }

    #[test]
    fn a_slip_in_a_pattern_is_named() {
        let error = rules(&[], &["fine", "Conv2d_["], 0.0).expect_err("a slip");
        assert_eq!(error.field, "train_config.freeze_variables[1]");
        assert!(error.what.contains("Conv2d_[") && error.what.contains("unclosed"), "{error}");
        let error = rules(&["^(?!Box)"], &[], 0.0).expect_err("look-around");
        assert!(error.what.contains("freeze_variables"), "{error}");
    }
}
