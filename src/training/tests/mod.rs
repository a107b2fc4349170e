//! Parity with TFOD's own numbers (schedules, optimizers, augmentation), and what augmentation keeps whole.

mod accepted;
mod augmentation;
mod augmentation_parity;
mod class_heads;
mod device_check;
mod half_precision;
mod model_steps;
mod parity;
mod step_features;
