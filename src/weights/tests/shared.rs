//! Where the reference files are, and models and pictures from them.

use std::path::Path;

use boxwright_config::{proto, text_format};
use boxwright_detection::image_resizer::resize_image;
use boxwright_detection::{SsdModel, builders};
use burn::tensor::{Device, Tensor, TensorData};

/// The pipeline config of a file.
pub(super) fn config(path: &Path) -> proto::TrainEvalPipelineConfig {
    let text = std::fs::read_to_string(path).expect("a config");
    text_format::parse(&text, &path.display().to_string()).expect("a valid config")
}

/// The model of a config file.
pub(super) fn model(path: &Path, device: &Device) -> SsdModel {
    let config = config(path);
    builders::build_ssd(&config.model.unwrap_or_default(), 0, device).expect("a supported model")
}

/// A picture as a model takes it, `[1, 3, height, width]`.
pub(super) fn picture(path: &Path, model: &SsdModel, device: &Device) -> Tensor<4> {
    resized(pixels(path, device), model)
}

/// A picture preprocessed first and resized then, as TFOD does it. The order makes a difference in
/// the last bit, which a network of random weights magnifies.
pub(super) fn normalized_picture(path: &Path, model: &SsdModel, device: &Device) -> Tensor<4> {
    resized(model.preprocess(pixels(path, device)), model)
}

/// A picture as it is, `[1, 3, height, width]`.
fn pixels(path: &Path, device: &Device) -> Tensor<4> {
    let rgb = image::open(path).expect("a picture").to_rgb8();
    let shape = [1, rgb.height() as usize, rgb.width() as usize, 3];
    let values: Vec<f32> = rgb.into_raw().into_iter().map(f32::from).collect();
    Tensor::<4>::from_data(TensorData::new(values, shape), device).permute([0, 3, 1, 2])
}

/// A picture in the size that a model takes.
fn resized(picture: Tensor<4>, model: &SsdModel) -> Tensor<4> {
    let (device, [_, _, rows, columns]) = (picture.device(), picture.dims());
    let values: Vec<f32> = picture.permute([0, 2, 3, 1]).into_data().iter::<f32>().collect();
    let (height, width) = model.input_size();
    let resizer = boxwright_detection::image_resizer::ImageResizer::fixed_shape(height, width);
    let (resized, _) = resize_image(&resizer, &values, rows, columns);
    Tensor::<4>::from_data(TensorData::new(resized, [1, height, width, 3]), &device).permute([0, 3, 1, 2])
}

/// A picture resized with a triangle filter that widens when shrinking, as the reference detections were made.
pub(super) fn smooth_picture(path: &Path, model: &SsdModel, device: &Device) -> Tensor<4> {
    let rgb = image::open(path).expect("a picture").to_rgb8();
    let (height, width) = model.input_size();
    let filter = image::imageops::FilterType::Triangle;
    let resized = image::imageops::resize(&rgb, width as u32, height as u32, filter).into_raw();
    let values: Vec<f32> = resized.into_iter().map(f32::from).collect();
    Tensor::<4>::from_data(TensorData::new(values, [1, height, width, 3]), device).permute([0, 3, 1, 2])
}
