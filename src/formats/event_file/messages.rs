//! The messages of an event file, as far as they are read or written. Fields are numbered as in
//! TensorFlow's `event.proto`, `summary.proto`, `tensor.proto` and `tensor_shape.proto`.

/// `tf.Event`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Event {
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    #[prost(int64, tag = "2")]
    pub step: i64,
    #[prost(string, optional, tag = "3")]
    pub file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    pub summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    pub session_log: Option<SessionLog>,
}

/// `tf.SessionLog`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SessionLog {
    #[prost(int32, tag = "1")]
    pub status: i32,
}

/// `tf.SessionLog.SessionStatus.START`.
pub(super) const SESSION_START: i32 = 1;

/// `tf.Summary`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub value: Vec<Value>,
}

/// `tf.Summary.Value`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Value {
    #[prost(string, tag = "1")]
    pub tag: String,
    #[prost(message, optional, tag = "9")]
    pub metadata: Option<SummaryMetadata>,
    #[prost(oneof = "Content", tags = "2, 4, 5, 6, 8")]
    pub content: Option<Content>,
}

/// The kinds of `tf.Summary.Value`.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Content {
    #[prost(float, tag = "2")]
    Simple(f32),
    #[prost(message, tag = "4")]
    Image(Image),
    #[prost(bytes, tag = "5")]
    Histogram(Vec<u8>),
    #[prost(bytes, tag = "6")]
    Audio(Vec<u8>),
    #[prost(message, tag = "8")]
    Tensor(TensorProto),
}

/// `tf.Summary.Image`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Image {
    #[prost(int32, tag = "1")]
    pub height: i32,
    #[prost(int32, tag = "2")]
    pub width: i32,
    /// Channels: 1 grey, 3 RGB.
    #[prost(int32, tag = "3")]
    pub colorspace: i32,
    #[prost(bytes = "vec", tag = "4")]
    pub encoded: Vec<u8>,
}

/// `tf.SummaryMetadata`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SummaryMetadata {
    #[prost(message, optional, tag = "1")]
    pub plugin_data: Option<PluginData>,
}

/// `tf.SummaryMetadata.PluginData`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PluginData {
    #[prost(string, tag = "1")]
    pub plugin_name: String,
}

/// `tf.TensorProto`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TensorProto {
    #[prost(int32, tag = "1")]
    pub dtype: i32,
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShape>,
    #[prost(bytes = "vec", tag = "4")]
    pub content: Vec<u8>,
    #[prost(float, repeated, tag = "5")]
    pub float_val: Vec<f32>,
    #[prost(double, repeated, tag = "6")]
    pub double_val: Vec<f64>,
    #[prost(int32, repeated, tag = "7")]
    pub int_val: Vec<i32>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub string_val: Vec<Vec<u8>>,
    #[prost(int64, repeated, tag = "10")]
    pub int64_val: Vec<i64>,
}

/// `tf.TensorShapeProto`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TensorShape {
    #[prost(message, repeated, tag = "2")]
    pub dim: Vec<Dim>,
}

/// `tf.TensorShapeProto.Dim`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Dim {
    #[prost(int64, tag = "1")]
    pub size: i64,
}

impl TensorProto {
    /// The number in a tensor of one element; `None` for other tensors and other types.
    pub fn as_scalar(&self) -> Option<f64> {
        let is_one = self.shape.as_ref().is_none_or(|shape| shape.dim.iter().all(|dim| dim.size == 1));
        if !is_one {
            return None;
        }
        let bytes = (!self.content.is_empty()).then_some(&self.content[..]);
        // TensorFlow leaves zeros out where it packs a tensor.
        match (self.dtype, bytes) {
            (1, Some(bytes)) => Some(f32::from_le_bytes(bytes.try_into().ok()?).into()),
            (1, None) => Some(self.float_val.first().copied().unwrap_or_default().into()),
            (2, Some(bytes)) => Some(f64::from_le_bytes(bytes.try_into().ok()?)),
            (2, None) => Some(self.double_val.first().copied().unwrap_or_default()),
            (3, Some(bytes)) => Some(i32::from_le_bytes(bytes.try_into().ok()?).into()),
            (3, None) => Some(self.int_val.first().copied().unwrap_or_default().into()),
            (9, Some(bytes)) => Some(i64::from_le_bytes(bytes.try_into().ok()?) as f64),
            (9, None) => Some(self.int64_val.first().copied().unwrap_or_default() as f64),
            _ => None,
        }
    }
}
