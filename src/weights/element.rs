//! What the numbers of a tensor are stored as.

use safetensors::Dtype;

/// The type of a tensor's elements, under TensorFlow's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementType {
    /// IEEE single precision.
    Float32,
    /// IEEE double precision.
    Float64,
    /// IEEE half precision.
    Float16,
    /// The upper half of a `float32`.
    BFloat16,
    /// Signed, 8 bits.
    Int8,
    /// Unsigned, 8 bits.
    Uint8,
    /// Signed, 16 bits.
    Int16,
    /// Unsigned, 16 bits.
    Uint16,
    /// Signed, 32 bits.
    Int32,
    /// Unsigned, 32 bits.
    Uint32,
    /// Signed, 64 bits.
    Int64,
    /// Unsigned, 64 bits.
    Uint64,
    /// Truth values of one byte.
    Bool,
    /// Text or bytes.
    Text,
    /// What no weights are made of.
    Other,
}

impl ElementType {
    /// TensorFlow's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float64 => "float64",
            Self::Float16 => "float16",
            Self::BFloat16 => "bfloat16",
            Self::Int8 => "int8",
            Self::Uint8 => "uint8",
            Self::Int16 => "int16",
            Self::Uint16 => "uint16",
            Self::Int32 => "int32",
            Self::Uint32 => "uint32",
            Self::Int64 => "int64",
            Self::Uint64 => "uint64",
            Self::Bool => "bool",
            Self::Text => "string",
            Self::Other => "other",
        }
    }

    /// Bytes of one element, where all have the same.
    pub fn size(self) -> Option<usize> {
        Some(match self {
            Self::Int8 | Self::Uint8 | Self::Bool => 1,
            Self::Float16 | Self::BFloat16 | Self::Int16 | Self::Uint16 => 2,
            Self::Float32 | Self::Int32 | Self::Uint32 => 4,
            Self::Float64 | Self::Int64 | Self::Uint64 => 8,
            Self::Text | Self::Other => return None,
        })
    }

    /// Whether it is a type that weights have: a float.
    pub fn is_float(self) -> bool {
        matches!(self, Self::Float32 | Self::Float64 | Self::Float16 | Self::BFloat16)
    }

    /// By the number of TensorFlow's `DataType`.
    pub(crate) fn from_tensorflow(number: u64) -> Self {
        match number {
            1 => Self::Float32,
            2 => Self::Float64,
            3 => Self::Int32,
            4 => Self::Uint8,
            5 => Self::Int16,
            6 => Self::Int8,
            7 => Self::Text,
            9 => Self::Int64,
            10 => Self::Bool,
            14 => Self::BFloat16,
            17 => Self::Uint16,
            19 => Self::Float16,
            22 => Self::Uint32,
            23 => Self::Uint64,
            _ => Self::Other,
        }
    }

    /// By safetensors' name.
    pub(crate) fn from_safetensors(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => Self::Float32,
            Dtype::F64 => Self::Float64,
            Dtype::F16 => Self::Float16,
            Dtype::BF16 => Self::BFloat16,
            Dtype::I8 => Self::Int8,
            Dtype::U8 => Self::Uint8,
            Dtype::I16 => Self::Int16,
            Dtype::U16 => Self::Uint16,
            Dtype::I32 => Self::Int32,
            Dtype::U32 => Self::Uint32,
            Dtype::I64 => Self::Int64,
            Dtype::U64 => Self::Uint64,
            Dtype::BOOL => Self::Bool,
            _ => Self::Other,
        }
    }

    /// Little-endian numbers as `f32`; nothing where they are no numbers.
    pub(crate) fn to_f32(self, bytes: &[u8]) -> Option<Vec<f32>> {
        fn each<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
            bytes.as_chunks::<N>().0.iter().map(|chunk| value(*chunk)).collect()
        }
        Some(match self {
            Self::Float32 => each(bytes, f32::from_le_bytes),
            Self::Float64 => each(bytes, |b| f64::from_le_bytes(b) as f32),
            Self::Float16 => each(bytes, |b| half_to_f32(u16::from_le_bytes(b))),
            Self::BFloat16 => each(bytes, |b| bfloat16_to_f32(u16::from_le_bytes(b))),
            Self::Int8 => each(bytes, |b| f32::from(i8::from_le_bytes(b))),
            Self::Uint8 | Self::Bool => each(bytes, |b| f32::from(u8::from_le_bytes(b))),
            Self::Int16 => each(bytes, |b| f32::from(i16::from_le_bytes(b))),
            Self::Uint16 => each(bytes, |b| f32::from(u16::from_le_bytes(b))),
            Self::Int32 => each(bytes, |b| i32::from_le_bytes(b) as f32),
            Self::Uint32 => each(bytes, |b| u32::from_le_bytes(b) as f32),
            Self::Int64 => each(bytes, |b| i64::from_le_bytes(b) as f32),
            Self::Uint64 => each(bytes, |b| u64::from_le_bytes(b) as f32),
            Self::Text | Self::Other => return None,
        })
    }
}

impl std::fmt::Display for ElementType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// IEEE half precision.
fn half_to_f32(bits: u16) -> f32 {
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
fn bfloat16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// How many elements a shape has; nothing where that is no number a machine can hold.
pub(crate) fn element_count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |count, &axis| count.checked_mul(axis))
}

/// How many bytes a tensor has.
pub(crate) fn byte_count(shape: &[usize], element: ElementType) -> Option<u64> {
    element_count(shape)?.checked_mul(element.size()?).map(|bytes| bytes as u64)
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
    fn integers_keep_their_sign() {
        assert_eq!(ElementType::Int8.to_f32(&[0xff, 2]), Some(vec![-1.0, 2.0]));
        assert_eq!(ElementType::Uint8.to_f32(&[0xff]), Some(vec![255.0]));
        assert_eq!(ElementType::Int32.to_f32(&(-3i32).to_le_bytes()), Some(vec![-3.0]));
        assert_eq!(ElementType::Text.to_f32(b"a"), None);
    }

    #[test]
    fn shapes_beyond_any_machine_have_no_count() {
        assert_eq!(element_count(&[]), Some(1));
        assert_eq!(element_count(&[usize::MAX, 2]), None);
        assert_eq!(byte_count(&[3, 0], ElementType::Float32), Some(0));
    }
}
