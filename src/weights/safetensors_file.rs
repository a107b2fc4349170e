//! safetensors: a JSON header and raw little-endian tensors.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use boxwright_detection::HostTensor;
use safetensors::tensor::{Dtype, SafeTensorError, TensorView};
use safetensors::{SafeTensors, serialize};

use crate::error::WeightsError;

/// Largest file that is read: no detector comes near it.
const MAX_BYTES: u64 = 4 << 30;

/// The metadata entry that tells our checkpoints from other files.
pub(crate) const CHECKPOINT_KEY: &str = "boxwright_checkpoint";

/// What stands before the names of optimizer slots in our checkpoints.
pub(crate) const SLOT_PREFIX: &str = "optimizer/";

/// Metadata and float tensors of a file.
pub(crate) struct Contents {
    pub metadata: HashMap<String, String>,
    pub tensors: BTreeMap<String, HostTensor>,
}

/// The float tensors of a file; of our checkpoints the variables and not the optimizer's slots.
pub(crate) fn read(path: &Path) -> Result<BTreeMap<String, HostTensor>, WeightsError> {
    let mut contents = read_contents(path)?;
    if contents.metadata.contains_key(CHECKPOINT_KEY) {
        contents.tensors.retain(|name, _| !name.starts_with(SLOT_PREFIX));
    }
    Ok(contents.tensors)
}

/// Everything in a file but tensors of integers and booleans.
pub(crate) fn read_contents(path: &Path) -> Result<Contents, WeightsError> {
    let size = std::fs::metadata(path).map_err(|e| WeightsError::io(path, e))?.len();
    if size > MAX_BYTES {
        return Err(WeightsError::format(path, format!("has {size} bytes; weight files up to {MAX_BYTES} are read")));
    }
    let bytes = std::fs::read(path).map_err(|e| WeightsError::io(path, e))?;
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| describe(path, &bytes, e))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| describe(path, &bytes, e))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.iter() {
        if let Some(data) = to_f32(view.dtype(), view.data()) {
            tensors.insert(name.to_owned(), HostTensor { shape: view.shape().to_vec(), data });
        }
    }
    Ok(Contents { metadata: metadata.metadata().clone().unwrap_or_default(), tensors })
}

fn describe(path: &Path, bytes: &[u8], error: SafeTensorError) -> WeightsError {
    // A header that long or that short is no header: the file is something else.
    let is_other = match error {
        SafeTensorError::HeaderTooLarge | SafeTensorError::HeaderTooSmall | SafeTensorError::InvalidHeaderLength => {
            bytes.get(8) != Some(&b'{')
        }
        _ => bytes.get(8) != Some(&b'{'),
    };
    if is_other {
        return WeightsError::format(
            path,
            "is no safetensors file; weights are read from .safetensors and from TensorFlow V2 checkpoints (.index and .data-…)",
        );
    }
    WeightsError::damaged(path, "the header", error.to_string())
}

/// Numbers as `f32`; `None` for types that are no weights.
pub(crate) fn to_f32(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    Some(match dtype {
        Dtype::F32 => bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Dtype::F64 => bytes.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
        Dtype::F16 => bytes.as_chunks::<2>().0.iter().map(|b| half_to_f32(u16::from_le_bytes(*b))).collect(),
        Dtype::BF16 => bytes.as_chunks::<2>().0.iter().map(|b| bfloat16_to_f32(u16::from_le_bytes(*b))).collect(),
        _ => return None,
    })
}

/// IEEE half precision.
pub(crate) fn half_to_f32(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from((bits >> 10) & 0x1f), f32::from(bits & 0x3ff));
    sign * match exponent {
        0 => fraction * 2f32.powi(-24),
        0x1f if fraction == 0.0 => f32::INFINITY,
        0x1f => f32::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f32.powi(exponent - 15),
    }
}

/// The upper half of an `f32`.
pub(crate) fn bfloat16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The bytes of a file with these tensors. The same input gives the same bytes.
pub(crate) fn to_bytes<'a>(
    path: &Path,
    tensors: impl Iterator<Item = (String, &'a HostTensor)>,
    metadata: (String, String),
) -> Result<Vec<u8>, WeightsError> {
    let unfit = |name: &str, e: SafeTensorError| WeightsError::format(path, format!("cannot hold {name}: {e}"));
    let data: Vec<(String, &HostTensor, Vec<u8>)> = tensors
        .map(|(name, tensor)| (name, tensor, tensor.data.iter().flat_map(|value| value.to_le_bytes()).collect()))
        .collect();
    let views = data
        .iter()
        .map(|(name, tensor, bytes)| {
            let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).map_err(|e| unfit(name, e))?;
            Ok((name.as_str(), view))
        })
        .collect::<Result<Vec<_>, WeightsError>>()?;
    // One entry only: the order of a hash map's entries would differ from file to file.
    serialize(views, Some(HashMap::from([metadata]))).map_err(|e| unfit("the tensors", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_by_hand() {
        assert_eq!(half_to_f32(0x3c00), 1.0);
        assert_eq!(half_to_f32(0xc000), -2.0);
        assert_eq!(half_to_f32(0x3555), 0.333_251_95);
        assert_eq!(half_to_f32(0x0001), 2f32.powi(-24));
        assert_eq!(half_to_f32(0x7c00), f32::INFINITY);
        assert!(half_to_f32(0x7e00).is_nan());
        assert_eq!(bfloat16_to_f32(0x3f80), 1.0);
    }

    #[test]
    fn a_file_of_another_kind_is_called_so_and_a_damaged_header_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.safetensors");
        for (bytes, wanted) in [
            (&b"\x89PNG\r\n\x1a\n and so on"[..], "no safetensors file"),
            (&b""[..], "no safetensors file"),
            (&b"\x02\0\0\0\0\0\0\0{]"[..], "damaged"),
            (&b"\xff\xff\xff\xff\xff\xff\xff\x7f{}"[..], "damaged"),
        ] {
            std::fs::write(&path, bytes).expect("writable");
            let error = read(&path).expect_err("no weights in there").to_string();
            assert!(error.contains(wanted) && error.contains("x.safetensors"), "{error}");
        }
    }
}
