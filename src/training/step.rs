//! One training step: losses, gradients, update; and the report of a loss that is not a number.

use boxwright_core::run::ProgressEvent;
use boxwright_detection::LossPart;
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};

use crate::accumulation::{Accumulated, share, unless_out_of_memory};
use crate::error::TrainingError;
use crate::input::Batch;
use crate::progress::ProgressSink;
use crate::training_loop::Loop;

/// The losses of a part of a batch by TFOD's names, and what they count in the whole.
struct Measured {
    values: Vec<(&'static str, f64)>,
    share: Option<f32>,
    gradients: GradientsParams,
}

/// The gradients of a batch, and its losses by TFOD's names.
type Step = (GradientsParams, Vec<(&'static str, f64)>);

impl Loop<'_> {
    /// One step: losses, gradients, update. Returns the total loss.
    pub(crate) fn step(&mut self, batch: Batch, sink: &mut dyn ProgressSink) -> Result<f64, TrainingError> {
        // On a thread of the pool: no operator then has to wake it up and wait for it from outside.
        let (gradients, mut values) = rayon::scope(|_| self.gradients_or_half(batch, sink))?;
        let rate = self.schedule.at(self.step);
        let sum: f64 = values.iter().map(|(_, value)| value).sum();
        let gradients = match &mut self.loss_scale {
            None => Some(gradients),
            Some(scale) => {
                values.push(("loss_scale", f64::from(scale.scale)));
                scale.unscaled(&self.model, gradients)?
            }
        };
        self.step += 1;
        match (gradients, &self.loss_scale) {
            (Some(gradients), _) => rayon::scope(|_| {
                // The module moves through the optimizer; a clone shares its tensors.
                self.model = self.optimizer.step(self.model.clone(), gradients, rate);
            }),
            (None, scale) => {
                let scale = scale.map_or(1.0, |scale| scale.scale);
                let words = "a gradient overflows in f16, the step is skipped and the loss scale halved to";
                self.directory.log(&format!("Step {}: {words} {scale}", self.step))?;
            }
        }
        values.extend([("Loss/total_loss", sum), ("learning_rate", rate)]);
        self.journal.train_step(self.step, &values)?;
        Ok(sum)
    }

    /// The gradients and losses of a batch. A device whose memory is full gets the batch in twice as many parts, once.
    fn gradients_or_half(&mut self, batch: Batch, sink: &mut dyn ProgressSink) -> Result<Step, TrainingError> {
        if self.trials == 0 || batch.names.len() < 2 * self.parts {
            return self.gradients(batch);
        }
        self.trials -= 1;
        let again = batch.clone();
        let words = match unless_out_of_memory(|| self.gradients(batch)) {
            Ok(found) => return found,
            Err(words) => words,
        };
        self.parts *= 2;
        self.trials = 0;
        let message = format!(
            "the device's memory is full ({words}): from here on each step takes the batch in {} parts and sums their \
             gradients; batch normalization sees a part at a time",
            self.parts
        );
        self.directory.log(&message)?;
        sink.event(&ProgressEvent::Warning { message });
        self.gradients(again)
    }

    /// The gradients of the losses, and the losses by TFOD's names with that of the regularization.
    fn gradients(&mut self, batch: Batch) -> Result<Step, TrainingError> {
        let regularization = ("Loss/regularization_loss", f64::from(self.optimizer.regularization_loss(&self.model)));
        let mut parts = batch.split(self.parts);
        if parts.len() == 1
            && let Some(batch) = parts.pop()
        {
            let Measured { mut values, gradients, .. } = self.measure(batch, false, regularization)?;
            values.push(regularization);
            return Ok((gradients, values));
        }
        let mut accumulated = Accumulated::default();
        for part in parts {
            let found = self.measure(part, true, regularization)?;
            accumulated.add(&self.model, found.gradients, &found.values, found.share);
        }
        let (gradients, mut values) = accumulated.finish(&self.model);
        values.push(regularization);
        Ok((gradients, values))
    }

    /// The losses of some images and their gradients: of the losses themselves, or with `shared` of what they count in
    /// the whole batch.
    fn measure(
        &self,
        mut batch: Batch,
        shared: bool,
        regularization: (&'static str, f64),
    ) -> Result<Measured, TrainingError> {
        let shape = [batch.names.len(), 3, batch.size.0, batch.size.1];
        let images = Tensor::<4>::from_data(TensorData::new(std::mem::take(&mut batch.images), shape), &self.device);
        let losses = self.model.losses(images, &batch.groundtruth);
        let share = share(&losses);
        let Some(total) = losses.iter().map(|part| part.value.clone()).reduce(|sum, part| sum + part) else {
            return Err(self.not_finite(&batch, &[]));
        };
        let scalar = |LossPart { name, value, .. }| (name, f64::from(value.into_scalar::<f32>()));
        let values: Vec<(&str, f64)> = losses.into_iter().map(scalar).collect();
        let sum: f64 = values.iter().map(|(_, value)| value).sum::<f64>() + regularization.1;
        if !sum.is_finite() {
            let all: Vec<_> = values.iter().copied().chain([regularization]).collect();
            return Err(self.not_finite(&batch, &all));
        }
        let total = if shared { total * share.unwrap_or(1.0).max(1.0) } else { total };
        let total = match &self.loss_scale {
            Some(scale) => total * scale.scale,
            None => total,
        };
        let gradients = GradientsParams::from_grads(total.backward(), &self.model);
        Ok(Measured { values, share, gradients })
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
        let half = if self.loss_scale.is_some() { "go on with --resume --precision f32, or " } else { "" };
        TrainingError::NotFinite(format!(
            "the loss is not a number at step {}: {}; the batch was {}; {half}lower the learning rate (it was {}) or set \
             gradient_clipping_by_norm: 10, and look at the boxes of these images; the last checkpoint is from before",
            self.step + 1,
            losses.join(", "),
            images.join(", "),
            self.schedule.at(self.step)
        ))
    }
}
