//! A trained detector on disk, whoever trained it.
//!
//! A run of ours has its config, its label map and its checkpoints in one folder. What another program
//! trained is a file of weights, which [`boxwright_weights::open`] reads whatever its kind, and a
//! `pipeline.config` somewhere near it. [`ModelFiles::find`] finds the two, [`ModelFiles::load`] builds the
//! config's model with all of its weights: a training may start from a part of them, but a detector with a
//! random variable finds nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use boxwright_config::Pipeline;
use boxwright_core::label_map::LabelMap;
use boxwright_detection::image_resizer::ImageResizer;
use boxwright_detection::{DetectionModel, HostTensor, builders};
use boxwright_weights::{FileKind, FineTuneType, is_there, read_checkpoint, restore_what_fits};
use burn::tensor::Device;

use crate::error::TrainingError;
use crate::optimizer::AVERAGE_SLOT;
use crate::run_directory::{checkpoint_path, checkpoint_steps, find_checkpoint, newest_variables};

/// Where the parts of a trained detector are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFiles {
    /// Its config.
    pub pipeline: PathBuf,
    /// Its weights: whatever [`boxwright_weights::open`] takes.
    pub weights: PathBuf,
}

/// A model with its weights.
pub struct LoadedModel {
    /// The model, ready to detect.
    pub model: DetectionModel,
    /// The step of its checkpoint; 0 where the file does not say.
    pub step: u64,
    /// Its resizer.
    pub resizer: ImageResizer,
}

/// How many folders above the weights a `pipeline.config` is looked for: TF2's zoo has them in `checkpoint/`,
/// SavedModels in `saved_model/variables/`.
const FOLDERS_ABOVE: usize = 3;

impl ModelFiles {
    /// The parts of the model that a path means: a run's folder (its last checkpoint), `RUN/best`, `RUN/400` or
    /// `RUN/live` (what a run at work has come to a moment ago), a folder, file or checkpoint's prefix of another program. The config is the given one, or the nearest
    /// `pipeline.config` in the folder of the weights and those above it.
    ///
    /// # Errors
    /// There is no such model, or no config for it.
    pub fn find(model: &Path, pipeline: Option<&Path>) -> Result<Self, TrainingError> {
        let (folder, weights) = if model.is_dir() {
            let last = checkpoint_steps(model).pop().map(|step| checkpoint_path(model, step));
            let own = last.or_else(|| newest_variables(model));
            (model, own.unwrap_or_else(|| model.to_owned()))
        } else {
            let folder = parent(model);
            let is_name = !is_there(model) && folder.join("pipeline.config").is_file();
            let name = Path::new(model.file_name().unwrap_or_default());
            (folder, if is_name { find_checkpoint(folder, name)? } else { model.to_owned() })
        };
        if !is_there(&weights) {
            let path = model.display();
            return Err(TrainingError::Checkpoint(format!("{path}: there is no run and no file of weights here")));
        }
        let pipeline = match pipeline {
            Some(pipeline) => pipeline.to_owned(),
            None => nearest_config(folder).ok_or_else(|| {
                TrainingError::Checkpoint(format!(
                    "{}: there is no pipeline.config in its folder or above; give the model's with --pipeline",
                    model.display()
                ))
            })?,
        };
        Ok(Self { pipeline, weights })
    }

    /// Builds the model with all of its weights. Where `eval_config` asks for it they are the moving averages.
    ///
    /// # Errors
    /// The config cannot be built, the weights cannot be read, or some of the model's are not among them.
    pub fn load(&self, pipeline: &Pipeline, device: &Device) -> Result<LoadedModel, TrainingError> {
        let config = pipeline.config.model.clone().unwrap_or_default();
        let build = |source| TrainingError::Build { file: self.pipeline.clone(), source };
        let model = builders::build_model(&config, 0, device).map_err(build)?;
        let resizer = builders::image_resizer_of(&config).map_err(build)?;
        let averaged = pipeline.config.eval_config.as_ref().is_some_and(|eval| eval.use_moving_averages());
        let (values, step) = self.read(averaged)?;
        let (model, report) = restore_what_fits(model, &values, FineTuneType::Full);
        if !report.missing.is_empty() || !report.wrong_shape.is_empty() {
            return Err(TrainingError::Checkpoint(format!(
                "{}: does not fit {}: {report}; use the pipeline.config that it was trained with",
                self.weights.display(),
                self.pipeline.display(),
            )));
        }
        Ok(LoadedModel { model, step, resizer })
    }

    /// The weights and the step, with the moving averages in the variables' places where they are wanted.
    fn read(&self, averaged: bool) -> Result<(BTreeMap<String, HostTensor>, u64), TrainingError> {
        let mut file = boxwright_weights::open(&self.weights)?;
        let (mut values, mut others, step) = match *file.kind() {
            FileKind::Checkpoint { step } => {
                let checkpoint = read_checkpoint(file.path())?;
                (checkpoint.variables, checkpoint.slots, step)
            }
            _ => (file.read_all()?, BTreeMap::new(), step_in_name(file.path())),
        };
        if averaged {
            let suffix = format!("/{AVERAGE_SLOT}");
            others
                .extend(values.iter().filter(|(name, _)| name.ends_with(&suffix)).map(|(n, v)| (n.clone(), v.clone())));
            for (name, value) in others {
                if let Some(variable) = name.strip_suffix(&suffix) {
                    values.insert(variable.to_owned(), value);
                }
            }
        }
        Ok((values, step))
    }

    /// The label map: the one beside the config, as a run has it, else the one that the config names; empty where
    /// neither is there.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn labels(&self, pipeline: &Pipeline) -> Result<LabelMap, TrainingError> {
        let beside = self.pipeline.with_file_name("label_map.pbtxt");
        let readers = pipeline.config.eval_input_reader.iter().chain(&pipeline.config.train_input_reader);
        let named = readers.map(|reader| reader.label_map_path()).filter(|path| !path.is_empty());
        let folder = crate::train::folder_of(&self.pipeline);
        let named = named.map(|path| boxwright_config::paths::resolve(&folder, path));
        match std::iter::once(beside).chain(named).find(|path| path.is_file()) {
            Some(path) => Ok(boxwright_config::label_map::read(path)?),
            None => Ok(LabelMap::default()),
        }
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The `pipeline.config` in a folder or the nearest above it.
fn nearest_config(folder: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(folder).ok()?;
    absolute.ancestors().take(FOLDERS_ABOVE).map(|folder| folder.join("pipeline.config")).find(|path| path.is_file())
}

/// The step in a name like `model.ckpt-1234` or `ckpt-12`; 0 where there is none.
fn step_in_name(path: &Path) -> u64 {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.rsplit_once('-').and_then(|(_, step)| step.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_stand_at_the_end_of_names() {
        let step = |name: &str| step_in_name(Path::new(name));
        assert_eq!([step("a/model.ckpt-1234"), step("ckpt-0"), step("model.ckpt"), step("a-b/c-d")], [1234, 0, 0, 0]);
    }

    #[test]
    fn a_config_is_looked_for_beside_the_weights_and_above() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |path: &str| folder.path().join(path);
        std::fs::create_dir_all(at("zoo/checkpoint")).expect("folders");
        std::fs::write(at("zoo/checkpoint/ckpt-0.index"), "").expect("written");
        let error = ModelFiles::find(&at("zoo/checkpoint/ckpt-0"), None).expect_err("no config");
        assert!(error.to_string().contains("--pipeline"), "{error}");
        std::fs::write(at("zoo/pipeline.config"), "").expect("written");
        let found = ModelFiles::find(&at("zoo/checkpoint/ckpt-0"), None).expect("found");
        assert_eq!(found, ModelFiles { pipeline: at("zoo/pipeline.config"), weights: at("zoo/checkpoint/ckpt-0") });
        let whole = ModelFiles::find(&at("zoo"), None).expect("found");
        assert_eq!((whole.weights, whole.pipeline), (at("zoo"), at("zoo/pipeline.config")));
        let given = ModelFiles::find(&at("zoo/checkpoint"), Some(Path::new("other.config"))).expect("found");
        assert_eq!(given.pipeline, Path::new("other.config"));
        let error = ModelFiles::find(&at("nothing/here"), None).expect_err("nothing");
        assert!(error.to_string().contains("no file of weights"), "{error}");
        let error = ModelFiles::find(&at("zoo/best"), None).expect_err("no run");
        assert!(error.to_string().contains("best"), "{error}");
    }
}
