//! Models whose weights follow from a formula, so that no file holds them: reading the formula, and pictures as a
//! model takes them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use boxwright_config::{proto, text_format};
use boxwright_golden::{folders, integers, json, list, number, read, tensors, text};
use burn::tensor::{Device, Tensor, TensorData};

use crate::HostTensor;
use crate::builders;

/// The folders of the kind whose model is of this meta-architecture (`"faster_rcnn"`, `"ssd"`), with their models.
pub(super) fn models(meta_architecture: &str) -> Vec<(PathBuf, proto::DetectionModel)> {
    let mut found = Vec::new();
    for folder in folders("models_hashinit", "pipeline.config") {
        let path = folder.join("pipeline.config");
        let config: proto::TrainEvalPipelineConfig =
            text_format::parse(&read(&path), &path.display().to_string()).expect("a valid config");
        let model = config.model.unwrap_or_default();
        let name = match model.model {
            Some(proto::detection_model::Model::Ssd(_)) => "ssd",
            Some(proto::detection_model::Model::FasterRcnn(_)) => "faster_rcnn",
            _ => "another",
        };
        if name == meta_architecture {
            found.push((folder, model));
        }
    }
    found
}

/// The weights of a folder by its formula, each checked against its sum.
pub(super) fn weights(folder: &Path) -> BTreeMap<String, HostTensor> {
    let file = json(&folder.join("variables.json"));
    let salt = file["salt"].as_u64().unwrap_or(0) as u32;
    let moving = tensors(&folder.join("moving.safetensors")).into_iter();
    let mut values: BTreeMap<String, HostTensor> =
        moving.map(|(name, array)| (name, HostTensor { shape: array.shape, data: array.data })).collect();
    for variable in list(&file["variables"]) {
        let name = text(&variable["name"]).to_owned();
        if variable["source"].as_str() != Some("formula") {
            continue;
        }
        let shape: Vec<usize> = integers(&variable["shape"]).into_iter().map(|n| n as usize).collect();
        let key = u64::from(!crc32(!0, name.as_bytes()) ^ salt) << 32;
        let (offset, scale) = (number(&variable["offset"]), number(&variable["scale"]));
        let data: Vec<f32> = (0..shape.iter().product::<usize>() as u64)
            .map(|i| {
                let u = (splitmix64(key + i) >> 40) as f64 / f64::from(1u32 << 24) * 2.0 - 1.0;
                offset + scale * u as f32
            })
            .collect();
        let sum = !data.iter().fold(!0, |sum, value| crc32(sum, &value.to_le_bytes()));
        assert_eq!(format!("{sum:08x}"), text(&variable["crc32_le_f32"]), "{name}");
        values.insert(name, HostTensor { shape, data });
    }
    values
}

/// The CRC of zip files, to be inverted before and after.
fn crc32(sum: u32, bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    bytes.iter().fold(sum, |sum, &byte| (sum >> 8) ^ TABLE[((sum ^ u32::from(byte)) & 0xff) as usize])
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let (mut value, mut bit) = (at as u32, 0);
        while bit < 8 {
            value = (value >> 1) ^ (0xedb8_8320 & (value & 1).wrapping_neg());
            bit += 1;
        }
        table[at] = value;
        at += 1;
    }
    table
}

fn splitmix64(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A picture as the model takes it, `[1, 3, height, width]` from 0 to 255, and its rows and columns without padding.
pub(super) fn picture(path: &Path, model: &proto::DetectionModel, device: &Device) -> (Tensor<4>, [usize; 2]) {
    let rgb = image::open(path).expect("a picture").to_rgb8();
    let resizer = builders::image_resizer_of(model).expect("a supported resizer");
    let resized = resizer.resize(rgb.as_raw(), rgb.height() as usize, rgb.width() as usize);
    let (height, width) = resized.size;
    let nhwc = Tensor::<4>::from_data(TensorData::new(resized.pixels, [1, height, width, 3]), device);
    (nhwc.permute([0, 3, 1, 2]), [resized.true_size.0, resized.true_size.1])
}
