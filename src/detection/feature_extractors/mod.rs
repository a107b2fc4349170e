//! Feature extractors: from a picture to the feature maps that boxes are predicted from.

mod mobilenet_v1;

pub use mobilenet_v1::{MobileNetV1Settings, SsdMobileNetV1FeatureExtractor};
