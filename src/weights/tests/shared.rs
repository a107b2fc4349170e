//! Where the reference files are, and models and pictures from them.

use std::path::{Path, PathBuf};

use boxwright_config::{proto, text_format};
use boxwright_detection::image_resizer::resize_image;
use boxwright_detection::{SsdModel, builders};
use burn::tensor::{Device, Tensor, TensorData};

/// A path below `$BOXWRIGHT_SHARED`, else `../shared` beside the checkout; `None`, with a line that
/// says so, where it is absent.
pub(super) fn shared(path: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("BOXWRIGHT_SHARED") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
    };
    let found = root.join(path);
    if found.exists() {
        return Some(found);
    }
    println!("skipped: no ../shared here");
    None
}

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
    let rgb = image::open(path).expect("a picture").to_rgb8();
    let (height, width) = model.input_size();
    let resizer = boxwright_detection::image_resizer::ImageResizer::FixedShape { height, width };
    let (resized, _) = resize_image(&resizer, rgb.as_raw(), rgb.height() as usize, rgb.width() as usize);
    let nhwc = Tensor::<4>::from_data(TensorData::new(resized, [1, height, width, 3]), device);
    nhwc.permute([0, 3, 1, 2])
}
