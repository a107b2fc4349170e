//! Small valid files of every kind, written byte by byte: what the hostile ones are made of.

use std::collections::BTreeMap;

use boxwright_detection::HostTensor;

use crate::Checkpoint;

/// What the bytes of a file's protected parts become before their checksums are made.
pub(super) type Change<'a> = &'a mut dyn FnMut(&mut Vec<u8>);

/// No change.
pub(super) fn as_it_is(_: &mut Vec<u8>) {}

pub(super) fn tensor(shape: &[usize]) -> HostTensor {
    let count = shape.iter().product::<usize>();
    HostTensor { shape: shape.to_vec(), data: (0..count).map(|i| i as f32 * 0.5 - 1.0).collect() }
}

fn le(data: &[f32]) -> Vec<u8> {
    data.iter().flat_map(|value| value.to_le_bytes()).collect()
}

// Protocol buffers.

pub(super) fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

fn number_field(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3), varint(value)].concat()
}

fn shape_proto(shape: &[usize]) -> Vec<u8> {
    shape.iter().flat_map(|&axis| field(2, &number_field(1, axis as u64))).collect()
}

/// A graph of two constants and an operator.
pub(super) fn graph() -> Vec<u8> {
    let constant = |name: &str, value: &HostTensor| {
        let content = [number_field(1, 1), field(2, &shape_proto(&value.shape)), field(4, &le(&value.data))].concat();
        let attribute = [field(1, b"value"), field(2, &field(8, &content))].concat();
        field(1, &[field(1, name.as_bytes()), field(2, b"Const"), field(5, &attribute)].concat())
    };
    let operator = field(1, &[field(1, b"conv"), field(2, b"Conv2D"), field(3, b"a/weights")].concat());
    [constant("a/weights", &tensor(&[1, 1, 2, 3])), constant("a/biases", &tensor(&[3])), operator].concat()
}

// TensorFlow bundles.

fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn block(rows: &[(Vec<u8>, Vec<u8>)], change: Change<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in rows {
        bytes.extend([varint(0), varint(key.len() as u64), varint(value.len() as u64)].concat());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
    }
    bytes.extend([0u32.to_le_bytes(), 1u32.to_le_bytes()].concat());
    change(&mut bytes);
    bytes
}

fn sealed(block: &[u8]) -> Vec<u8> {
    let with_kind = [block, &[0]].concat();
    [with_kind.clone(), masked(&with_kind).to_le_bytes().to_vec()].concat()
}

/// The index's entry of a tensor, whose values it appends to the data.
fn entry(value: &HostTensor, data: &mut Vec<u8>) -> Vec<u8> {
    let bytes = le(&value.data);
    let offset = data.len() as u64;
    data.extend_from_slice(&bytes);
    let crc = [varint(6 << 3 | 5), masked(&bytes).to_le_bytes().to_vec()].concat();
    let place = [number_field(4, offset), number_field(5, bytes.len() as u64)].concat();
    [number_field(1, 1), field(2, &shape_proto(&value.shape)), place, crc].concat()
}

/// Index and data of a checkpoint with these tensors under these keys.
pub(super) fn bundle_of(values: &BTreeMap<String, HostTensor>) -> (Vec<u8>, Vec<u8>) {
    let mut data = Vec::new();
    let mut rows = vec![(Vec::new(), number_field(1, 1))];
    rows.extend(values.iter().map(|(key, value)| (key.as_bytes().to_vec(), entry(value, &mut data))));
    (index_of(&rows, &mut as_it_is), data)
}

/// Index and data of a checkpoint: `a/weights`, `b/biases` and `p`, which is partitioned by rows.
pub(super) fn bundle(change: Change<'_>) -> (Vec<u8>, Vec<u8>) {
    let mut data = Vec::new();
    let mut entry = |value: &HostTensor| entry(value, &mut data);
    let slice = |start: u64, length: u64| {
        let rows = field(1, &[number_field(1, start), number_field(2, length)].concat());
        [rows, field(1, &[])].concat()
    };
    let slice_key = |start: u8, length: u8| vec![0, b'p', 0, 1, 1, 2, 0x80 | start, 0x80 | length, 0x80, 0x7f];
    let whole =
        [number_field(1, 1), field(2, &shape_proto(&[5, 2])), field(7, &slice(0, 3)), field(7, &slice(3, 2))].concat();
    let lower = HostTensor { shape: vec![2, 2], data: vec![7.0, 8.0, 9.0, 10.0] };
    let rows = vec![
        (Vec::new(), number_field(1, 1)),
        (slice_key(0, 3), entry(&tensor(&[3, 2]))),
        (slice_key(3, 2), entry(&lower)),
        (b"a/weights".to_vec(), entry(&tensor(&[1, 1, 2, 3]))),
        (b"b/biases".to_vec(), entry(&tensor(&[4]))),
        (b"p".to_vec(), whole),
    ];
    (index_of(&rows, change), data)
}

/// A table of one block.
fn index_of(rows: &[(Vec<u8>, Vec<u8>)], change: Change<'_>) -> Vec<u8> {
    let content = block(rows, change);
    let mut index = sealed(&content);
    let handle = |at: usize, size: usize| [varint(at as u64), varint(size as u64)].concat();
    let meta_at = index.len();
    let meta = block(&[], &mut as_it_is);
    index.extend(sealed(&meta));
    let index_at = index.len();
    let places = block(&[(b"q".to_vec(), handle(0, content.len()))], &mut as_it_is);
    index.extend(sealed(&places));
    let mut footer = [handle(meta_at, meta.len()), handle(index_at, places.len())].concat();
    footer.resize(40, 0);
    index.extend(footer);
    index.extend(0xdb47_7524_8b80_fb57u64.to_le_bytes());
    index
}

// PyTorch.

/// A pickle of `{"conv.weight": [3, 2, 1, 1], "conv.bias": [3]}`.
fn state_dict(with_numel: &[u8]) -> Vec<u8> {
    let text =
        |text: &str| [b"X".to_vec(), (text.len() as u32).to_le_bytes().to_vec(), text.as_bytes().to_vec()].concat();
    let storage = |key: &str, count: u8| {
        let id =
            [text("storage"), b"ctorch\nFloatStorage\n".to_vec(), text(key), text("cpu"), vec![b'K', count]].concat();
        [b"(".to_vec(), id, with_numel.to_vec(), b"tQ".to_vec()].concat()
    };
    let tuple =
        |numbers: &[u8]| [b"(".to_vec(), numbers.iter().flat_map(|&n| [b'K', n]).collect(), b"t".to_vec()].concat();
    let tensor = |key: &str, shape: &[u8], strides: &[u8]| {
        let count = shape.iter().product();
        let hooks = b"\x89ccollections\nOrderedDict\n)R".to_vec();
        [
            b"ctorch._utils\n_rebuild_tensor_v2\n(".to_vec(),
            storage(key, count),
            vec![b'K', 0],
            tuple(shape),
            tuple(strides),
            hooks,
            b"tR".to_vec(),
        ]
        .concat()
    };
    [
        b"\x80\x02ccollections\nOrderedDict\n)Rq\x00(".to_vec(),
        text("conv.weight"),
        tensor("0", &[3, 2, 1, 1], &[2, 1, 1, 1]),
        text("conv.bias"),
        tensor("1", &[3], &[1]),
        b"u}q\x01X\x09\x00\x00\x00_metadatah\x00sb.".to_vec(),
    ]
    .concat()
}

/// A zip archive of stored entries.
fn zip(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let (mut bytes, mut list) = (Vec::new(), Vec::new());
    for (name, content) in entries {
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let (crc, size) = (crc.sum().to_le_bytes(), (content.len() as u32).to_le_bytes());
        let at = (bytes.len() as u32).to_le_bytes();
        let common =
            [&[10, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &crc, &size, &size, &(name.len() as u16).to_le_bytes(), &[0, 0]]
                .concat();
        bytes.extend([b"PK\x03\x04", common.as_slice(), name.as_bytes(), content.as_slice()].concat());
        list.extend([b"PK\x01\x02\x0a\0", common.as_slice(), &[0; 10], &at, name.as_bytes()].concat());
    }
    let (count, at) = ((entries.len() as u16).to_le_bytes(), bytes.len() as u32);
    let end =
        [b"PK\x05\x06\0\0\0\0", &count[..], &count, &(list.len() as u32).to_le_bytes(), &at.to_le_bytes(), &[0, 0]]
            .concat();
    [bytes, list, end].concat()
}

/// A PyTorch file with this pickle, or with that of a small state dict.
pub(super) fn pytorch(pickle: Option<Vec<u8>>, change: Change<'_>) -> Vec<u8> {
    let mut pickle = pickle.unwrap_or_else(|| state_dict(&[]));
    change(&mut pickle);
    zip(&[
        ("archive/data.pkl", pickle),
        ("archive/byteorder", b"little".to_vec()),
        ("archive/data/0", le(&tensor(&[6]).data)),
        ("archive/data/1", le(&tensor(&[3]).data)),
        ("archive/version", b"3\n".to_vec()),
    ])
}

/// The same state dict as PyTorch wrote it before 1.6.
pub(super) fn legacy_pytorch() -> Vec<u8> {
    let magic =
        [&[0x80, 2, 0x8a, 0x0a][..], &[0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19], b"."].concat();
    let keys = b"\x80\x02]q\x00(X\x01\x00\x00\x000X\x01\x00\x00\x001e.".to_vec();
    let storage = |count: usize| [(count as u64).to_le_bytes().to_vec(), le(&tensor(&[count]).data)].concat();
    [magic, b"\x80\x02M\xe9\x03.".to_vec(), b"\x80\x02}q\x00.".to_vec(), state_dict(b"N"), keys, storage(6), storage(3)]
        .concat()
}

// TensorFlow Lite.

/// Builds a flatbuffer from front to back: every place is known when something points to it.
struct Flat(Vec<u8>);

impl Flat {
    fn align(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(8), 0);
    }

    fn point(&mut self, at: usize, to: usize) {
        self.0[at..at + 4].copy_from_slice(&((to - at) as u32).to_le_bytes());
    }

    /// A table whose fields are 8 bytes apart: its place.
    fn table(&mut self, fields: usize) -> usize {
        self.align();
        let entries = self.0.len();
        let size = 4 + 2 * fields;
        self.0.extend((size as u16).to_le_bytes());
        self.0.extend(((8 + 8 * fields) as u16).to_le_bytes());
        (0..fields).for_each(|field| self.0.extend(((8 + 8 * field) as u16).to_le_bytes()));
        self.align();
        let at = self.0.len();
        self.0.extend(((at - entries) as i32).to_le_bytes());
        self.0.resize(at + 8 + 8 * fields, 0);
        at
    }

    fn number(&mut self, table: usize, field: usize, value: u32) {
        let at = table + 8 + 8 * field;
        self.0[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    fn vector(&mut self, table: usize, field: usize, count: usize, bytes: &[u8]) -> usize {
        self.align();
        let at = self.0.len();
        self.0.extend((count as u32).to_le_bytes());
        self.0.extend_from_slice(bytes);
        self.point(table + 8 + 8 * field, at);
        at + 4
    }

    fn empty(&mut self, table: usize, field: usize) {
        self.vector(table, field, 0, &[]);
    }

    fn integers(&mut self, table: usize, field: usize, values: &[i32]) {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.vector(table, field, values.len(), &bytes);
    }

    fn tables<const N: usize>(&mut self, table: usize, field: usize, fields: usize) -> [usize; N] {
        let at = self.vector(table, field, N, &[0; 64][..4 * N]);
        std::array::from_fn(|i| {
            let inner = self.table(fields);
            self.point(at + 4 * i, inner);
            inner
        })
    }
}

/// A model of one convolution: its kernel in bytes with a scale for each output, its biases floats.
pub(super) fn tflite() -> Vec<u8> {
    let mut flat = Flat(b"\0\0\0\0TFL3".to_vec());
    let model = flat.table(5);
    flat.point(0, model);
    flat.number(model, 0, 3);
    let [code] = flat.tables(model, 1, 4);
    (1..2).for_each(|field| flat.empty(code, field));
    flat.number(code, 3, 3);
    let [graph] = flat.tables(model, 2, 5);
    let tensors: [usize; 4] = flat.tables(graph, 0, 5);
    let names = ["input", "MobilenetV1/Conv2d_0/weights", "bias", "MobilenetV1/MobilenetV1/Conv2d_0/Relu6"];
    let shapes: [&[i32]; 4] = [&[1, 8, 8, 3], &[2, 3, 3, 3], &[2], &[1, 4, 4, 2]];
    for (i, &at) in tensors.iter().enumerate() {
        flat.integers(at, 0, shapes[i]);
        flat.number(at, 1, if i == 1 { 9 } else { 0 });
        flat.number(at, 2, if i == 1 || i == 2 { i as u32 } else { 0 });
        flat.vector(at, 3, names[i].len(), names[i].as_bytes());
        flat.align();
        let quantization = flat.table(7);
        flat.point(at + 8 + 8 * 4, quantization);
        (0..6).filter(|field| ![2, 3, 4].contains(field)).for_each(|field| flat.empty(quantization, field));
        let scales: &[f32] = if i == 1 { &[0.5, 0.25] } else { &[] };
        flat.vector(quantization, 2, scales.len(), &le(scales));
        flat.vector(quantization, 3, scales.len(), &vec![0; 8 * scales.len()]);
    }
    flat.empty(graph, 1);
    flat.empty(graph, 2);
    let [operator] = flat.tables(graph, 3, 3);
    flat.integers(operator, 1, &[0, 1, 2]);
    flat.integers(operator, 2, &[3]);
    flat.empty(graph, 4);
    flat.vector(model, 3, 4, b"test");
    let buffers: [usize; 3] = flat.tables(model, 4, 1);
    flat.empty(buffers[0], 0);
    let kernel: Vec<u8> = (0..54).collect();
    flat.vector(buffers[1], 0, kernel.len(), &kernel);
    flat.vector(buffers[2], 0, 8, &le(&[1.5, -2.5]));
    flat.0
}

// The others.

/// Keras weights: a contiguous dataset and a packed one.
pub(super) fn keras() -> Vec<u8> {
    let mut builder = hdf5_pure::FileBuilder::new();
    let mut group = builder.create_group("dense");
    group.create_dataset("kernel:0").with_f32_data(&tensor(&[2, 3]).data).with_shape(&[2, 3]);
    group.create_dataset("bias:0").with_f32_data(&[0.25; 300]).with_chunks(&[100]).with_deflate(5);
    builder.add_group(group.finish());
    builder.finish().expect("a file")
}

/// safetensors with one tensor.
pub(super) fn safetensors() -> Vec<u8> {
    let header = br#"{"a/weights":{"dtype":"F32","shape":[1,1,2,3],"data_offsets":[0,24]}}"#;
    [&(header.len() as u64).to_le_bytes()[..], header, &le(&tensor(&[6]).data)].concat()
}

/// A checkpoint of ours.
pub(super) fn own() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ckpt-00000003.safetensors");
    let map = |name: &str| BTreeMap::from([(name.to_owned(), tensor(&[4]))]);
    let (variables, slots) = (map("a/weights"), map("a/weights/Momentum"));
    let checkpoint = Checkpoint { step: 3, variables, slots, state_json: "{}".to_owned() };
    crate::write_checkpoint(&path, &checkpoint).expect("writable");
    std::fs::read(&path).expect("readable")
}

/// A `tar.gz` with these members.
pub(super) fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        // Past `set_path`, which would refuse what a hostile archive has.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, *content).expect("in memory");
    }
    packed(&builder.into_inner().expect("in memory"))
}

/// Packed by gzip.
pub(super) fn packed(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}
