//! Box predictors: from feature maps to a box code and class logits for every anchor.

mod convolutional;

pub use convolutional::{ConvolutionalBoxPredictor, ConvolutionalBoxPredictorSettings};
