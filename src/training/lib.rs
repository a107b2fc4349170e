//! Training, evaluation and prediction runs.
//!
//! A run reads its `pipeline.config`, opens the records, builds the detector, and repeats: take a
//! batch from the [`input`] pipeline, measure the losses, go back through the network, let the
//! [`optimizer`] take a step. [`train`] is that loop; the [`run_directory`] is what remains of it.
//! Everything that is random is drawn from the run's seed and the position in the run, and nothing
//! from the clock or the thread, so a run that was killed and resumed is the run that was not.
//!
//! This room reads records and writes run directories; it knows nothing of windows.

mod accumulation;
pub mod augmentation;
mod best;
pub mod builders;
pub mod class_heads;
pub mod device;
pub mod device_check;
pub mod draws;
pub mod error;
pub mod evaluate;
pub mod fine_tune;
mod half_precision;
pub mod input;
mod journal;
pub mod learning_schedule;
pub mod memory;
pub mod model_file;
pub mod optimizer;
pub mod predict;
pub mod progress;
pub mod run_directory;
pub mod side_by_side;
mod step;
pub mod train;
mod training_loop;
pub mod variable_rules;

#[cfg(test)]
mod tests;

pub use best::MAIN_METRIC;
pub use error::TrainingError;
