//! One training step: losses, gradients, update; and the report of a loss that is not a number.

use boxwright_detection::LossPart;
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};

use crate::error::TrainingError;
use crate::input::Batch;
use crate::train::Loop;

impl Loop<'_> {
    /// One step: losses, gradients, update. Returns the total loss.
    pub(crate) fn step(&mut self, mut batch: Batch) -> Result<f64, TrainingError> {
        let shape = [batch.names.len(), 3, batch.size.0, batch.size.1];
        let images = Tensor::<4>::from_data(TensorData::new(std::mem::take(&mut batch.images), shape), &self.device);
        let losses = self.model.losses(images, &batch.groundtruth);
        let Some(total) = losses.iter().map(|part| part.value.clone()).reduce(|sum, part| sum + part) else {
            return Err(self.not_finite(&batch, &[]));
        };
        let mut values: Vec<(&str, f64)> =
            losses.into_iter().map(|LossPart { name, value }| (name, f64::from(value.into_scalar::<f32>()))).collect();
        let regularization = f64::from(self.optimizer.regularization_loss(&self.model));
        values.push(("Loss/regularization_loss", regularization));
        let sum: f64 = values.iter().map(|(_, value)| value).sum();
        if !sum.is_finite() {
            return Err(self.not_finite(&batch, &values));
        }
        let gradients = GradientsParams::from_grads(total.backward(), &self.model);
        let rate = self.schedule.at(self.step);
        // The module moves through the optimizer; a clone shares its tensors.
        self.model = self.optimizer.step(self.model.clone(), gradients, rate);
        self.step += 1;
        values.extend([("Loss/total_loss", sum), ("learning_rate", rate)]);
        self.record_step(&values)?;
        Ok(sum)
    }

    fn not_finite(&self, batch: &Batch, losses: &[(&str, f64)]) -> TrainingError {
        let losses: Vec<String> =
            losses.iter().map(|(name, value)| format!("{} {value}", name.trim_start_matches("Loss/"))).collect();
        let images: Vec<String> = batch
            .names
            .iter()
            .zip(&batch.groundtruth)
            .map(|(name, truth)| format!("{name} ({} boxes)", truth.boxes.len()))
            .collect();
        TrainingError::NotFinite(format!(
            "the loss is not a number at step {}: {}; the batch was {}; lower the learning rate (it was {}) or set \
             gradient_clipping_by_norm: 10, and look at the boxes of these images; the last checkpoint is from before",
            self.step + 1,
            losses.join(", "),
            images.join(", "),
            self.schedule.at(self.step)
        ))
    }
}
