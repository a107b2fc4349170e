//! Pictures: JPEG, PNG, BMP, GIF and WebP to RGB and back.
//!
//! [`decode`] gives the pixels as a viewer shows them: EXIF orientation is applied here, once, and
//! nowhere else in the house; grey, palette, alpha and 16-bit pictures become 8-bit RGB (alpha is
//! dropped, as TensorFlow does); of an animation the first frame counts. What the bytes are is
//! decided by their first bytes and not by the name of the file.
//!
//! Nothing is allocated before the size in the header was checked against [`MAX_SIDE`] and
//! [`MAX_PIXELS`]. A file that was cut off is an error and never a picture with a grey half.

use std::io::{self, Cursor};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use boxwright_core::{ImageSize, PixelBox};
use fast_image_resize as resize;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageError, ImageFormat, ImageReader};

use crate::jpeg_markers;
use crate::read_file::{read_bounded, read_start};

/// The longest side of a picture that is accepted.
pub const MAX_SIDE: u32 = 16_384;
/// The largest picture that is accepted, in pixels.
pub const MAX_PIXELS: u64 = 200_000_000;
/// The largest file of a picture that is accepted, in bytes.
pub const MAX_FILE_BYTES: u64 = 512 << 20;
/// The most memory that the decoded pixels may take, before they become 8-bit RGB.
const MAX_DECODED_BYTES: u64 = 1 << 30;
/// How much of a file [`probe_file`] reads before it reads all of it.
const HEADER_BYTES: u64 = 128 << 10;

/// The extensions of the pictures that can be read, in lower case.
pub const EXTENSIONS: [&str; 7] = ["jpg", "jpeg", "png", "bmp", "gif", "webp", "jpe"];

/// How the bytes of a picture are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
    /// Windows bitmap.
    Bmp,
    /// GIF.
    Gif,
    /// WebP.
    WebP,
}

impl Encoding {
    /// The word that TFOD's records have in `image/format`, which is also a usual extension.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::Bmp => "bmp",
            Self::Gif => "gif",
            Self::WebP => "webp",
        }
    }

    /// What the first bytes of a file say.
    pub fn guess(bytes: &[u8]) -> Option<Self> {
        match image::guess_format(bytes).ok()? {
            ImageFormat::Jpeg => Some(Self::Jpeg),
            ImageFormat::Png => Some(Self::Png),
            ImageFormat::Bmp => Some(Self::Bmp),
            ImageFormat::Gif => Some(Self::Gif),
            ImageFormat::WebP => Some(Self::WebP),
            _ => None,
        }
    }
}

/// A decoded picture: rows from top to bottom, three bytes a pixel.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    /// Its size as shown.
    pub size: ImageSize,
    /// `height × width × 3` bytes.
    pub rgb: Vec<u8>,
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture({})", self.size)
    }
}

impl Picture {
    /// A picture of one colour.
    pub fn filled(size: ImageSize, color: [u8; 3]) -> Self {
        let pixels = size.width as usize * size.height as usize;
        Self { size, rgb: color.iter().copied().cycle().take(pixels * 3).collect() }
    }

    /// The colour of the pixel in column `x` of row `y`, if there is one.
    pub fn pixel(&self, x: u32, y: u32) -> Option<[u8; 3]> {
        if x >= self.size.width || y >= self.size.height {
            return None;
        }
        let at = (y as usize * self.size.width as usize + x as usize) * 3;
        let rgb = self.rgb.get(at..at + 3)?;
        Some([rgb[0], rgb[1], rgb[2]])
    }
}

/// Why a picture cannot be read or written. Every message names the picture.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The file cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The bytes are no picture of a kind that is known here.
    #[error("{name} is not a picture that can be read; use JPEG, PNG, BMP, GIF or WebP")]
    Unknown {
        /// The picture.
        name: String,
    },
    /// The file ends before the picture does.
    #[error("{name} is cut off: the file ends before the picture does; copy or export it again")]
    Truncated {
        /// The picture.
        name: String,
    },
    /// The header asks for more than is accepted.
    #[error(
        "{name} is too large: {width} × {height} pixels (the limit is {MAX_SIDE} a side and {MAX_PIXELS} in all); scale it down"
    )]
    TooLarge {
        /// The picture.
        name: String,
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
    },
    /// The decoder found something impossible or unknown.
    #[error("{name} cannot be decoded: {reason}; save it again in a picture program, or leave it out")]
    Damaged {
        /// The picture.
        name: String,
        /// What the decoder says.
        reason: String,
    },
    /// The picture cannot be written in that form.
    #[error("a picture of {size} cannot be written as {encoding}: {reason}")]
    Encode {
        /// The picture's size.
        size: ImageSize,
        /// The form.
        encoding: &'static str,
        /// What the encoder says.
        reason: String,
    },
}

/// What the header of a picture says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The size as shown.
    pub size: ImageSize,
    /// The size of the stored pixels, before EXIF orientation.
    pub stored_size: ImageSize,
    /// How it is encoded.
    pub encoding: Encoding,
    orientation: Orientation,
}

impl Probe {
    /// Whether the stored pixels are shown as they are, so that a program that knows nothing of EXIF
    /// shows the same picture.
    pub fn is_upright(&self) -> bool {
        self.orientation == Orientation::NoTransforms
    }

    /// A box that was drawn on the stored pixels, in coordinates of the shown picture.
    pub fn turn(&self, b: &PixelBox) -> PixelBox {
        let (w, h) = (f64::from(self.stored_size.width), f64::from(self.stored_size.height));
        let corner = |x: f64, y: f64| match self.orientation {
            Orientation::NoTransforms => (x, y),
            Orientation::FlipHorizontal => (w - x, y),
            Orientation::Rotate180 => (w - x, h - y),
            Orientation::FlipVertical => (x, h - y),
            Orientation::Rotate90 => (h - y, x),
            Orientation::Rotate270 => (y, w - x),
            Orientation::Rotate90FlipH => (y, x),
            Orientation::Rotate270FlipH => (h - y, w - x),
        };
        PixelBox::from_corners(corner(b.xmin, b.ymin), corner(b.xmax, b.ymax))
    }
}

/// Decodes a picture. `name` is what messages call it.
///
/// # Errors
/// The bytes are no picture, are cut off or damaged, or ask for too much memory.
pub fn decode(bytes: &[u8], name: &str) -> Result<Picture, PictureError> {
    guarded(name, || {
        let (decoder, probe) = open(bytes, name)?;
        check_complete(bytes, &probe, name)?;
        let mut picture = DynamicImage::from_decoder(decoder).map_err(|error| explain(name, &error))?;
        picture.apply_orientation(probe.orientation);
        let rgb = picture.into_rgb8();
        let size = ImageSize::new(rgb.width(), rgb.height());
        Ok(Picture { size, rgb: rgb.into_raw() })
    })
}

/// Reads and decodes the picture at `path`.
///
/// # Errors
/// As [`decode`], or the file cannot be read.
pub fn read_file(path: &Path) -> Result<Picture, PictureError> {
    let bytes = read_bounded(path, MAX_FILE_BYTES)?;
    decode(&bytes, &path.display().to_string())
}

/// Size and encoding of a whole picture file without decoding its pixels. It also finds out where
/// cheaply possible (JPEG, PNG, WebP) whether the file is all there.
///
/// # Errors
/// As [`decode`]; damage inside the pixels is not seen.
pub fn probe(bytes: &[u8], name: &str) -> Result<Probe, PictureError> {
    guarded(name, || {
        let (_, probe) = open(bytes, name)?;
        check_complete(bytes, &probe, name)?;
        Ok(probe)
    })
}

/// Size and encoding of the picture at `path`; reads only the start of the file where that is enough.
/// It does not see whether the file is cut off further down.
///
/// # Errors
/// As [`decode`], or the file cannot be read.
pub fn probe_file(path: &Path) -> Result<Probe, PictureError> {
    let name = path.display().to_string();
    let (start, length) = read_start(path, HEADER_BYTES)?;
    // The decoder of WebP looks at the end of the file as well.
    let start_is_enough = Encoding::guess(&start) != Some(Encoding::WebP);
    if length <= HEADER_BYTES || start_is_enough {
        match guarded(&name, || open(&start, &name).map(|(_, probe)| probe)) {
            Ok(probe) => return Ok(probe),
            Err(error) if length <= HEADER_BYTES => return Err(error),
            // Perhaps the header is longer than the start.
            Err(_) => {}
        }
    }
    let bytes = read_bounded(path, MAX_FILE_BYTES)?;
    guarded(&name, || open(&bytes, &name).map(|(_, probe)| probe))
}

/// The picture as JPEG, `quality` from 1 to 100.
///
/// # Errors
/// The picture has no pixels, or more than 65535 a side.
pub fn encode_jpeg(picture: &Picture, quality: u8) -> Result<Vec<u8>, PictureError> {
    let mut bytes = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut bytes, quality.clamp(1, 100));
    encode(picture, Encoding::Jpeg, encoder)?;
    Ok(bytes)
}

/// The picture as PNG.
///
/// # Errors
/// The picture has no pixels.
pub fn encode_png(picture: &Picture) -> Result<Vec<u8>, PictureError> {
    let mut bytes = Vec::new();
    encode(picture, Encoding::Png, PngEncoder::new(&mut bytes))?;
    Ok(bytes)
}

/// The picture scaled down so that its longer side is at most `max_side`; a smaller one as it is.
pub fn thumbnail(picture: &Picture, max_side: u32) -> Picture {
    let ImageSize { width, height } = picture.size;
    let longer = width.max(height);
    let max_side = max_side.max(1);
    if longer <= max_side {
        return picture.clone();
    }
    let scaled = |side: u32| {
        let exact = u64::from(side) * u64::from(max_side);
        u32::try_from((exact + u64::from(longer) / 2) / u64::from(longer)).unwrap_or(max_side).max(1)
    };
    let size = ImageSize::new(scaled(width), scaled(height));
    resized(picture, size).unwrap_or_else(|| Picture::filled(size, [0; 3]))
}

/// The picture scaled to `size`; `None` where its buffer does not fit its size.
fn resized(picture: &Picture, size: ImageSize) -> Option<Picture> {
    let kind = resize::PixelType::U8x3;
    let source = resize::images::ImageRef::new(picture.size.width, picture.size.height, &picture.rgb, kind).ok()?;
    let mut target = resize::images::Image::new(size.width, size.height, kind);
    let options = resize::ResizeOptions::new().resize_alg(resize::ResizeAlg::Convolution(resize::FilterType::Hamming));
    resize::Resizer::new().resize(&source, &mut target, &options).ok()?;
    Some(Picture { size, rgb: target.into_vec() })
}

/// A picture in a form that every TensorFlow program decodes to what a viewer shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordPicture {
    /// The encoded picture.
    pub bytes: Vec<u8>,
    /// JPEG or PNG.
    pub encoding: Encoding,
    /// Its size.
    pub size: ImageSize,
}

/// Prepares a picture for a record. JPEG and PNG stay byte for byte as they are; other kinds become
/// PNG, and a picture that EXIF turns is turned and encoded anew, because TensorFlow's decoder does
/// not know EXIF and would train on a lying picture under standing boxes.
///
/// # Errors
/// As [`decode`].
pub fn for_record(bytes: Vec<u8>, name: &str) -> Result<RecordPicture, PictureError> {
    let seen = probe(&bytes, name)?;
    if seen.is_upright() && matches!(seen.encoding, Encoding::Jpeg | Encoding::Png) {
        return Ok(RecordPicture { bytes, encoding: seen.encoding, size: seen.size });
    }
    let picture = decode(&bytes, name)?;
    let (bytes, encoding) = match seen.encoding {
        Encoding::Jpeg => (encode_jpeg(&picture, 95)?, Encoding::Jpeg),
        _ => (encode_png(&picture)?, Encoding::Png),
    };
    Ok(RecordPicture { bytes, encoding, size: picture.size })
}

/// Opens a decoder and checks what its header says; nothing of the size of the picture is allocated.
fn open<'a>(bytes: &'a [u8], name: &str) -> Result<(impl ImageDecoder + 'a, Probe), PictureError> {
    let encoding = Encoding::guess(bytes).ok_or_else(|| PictureError::Unknown { name: name.to_owned() })?;
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|error| explain(name, &error))?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(damaged(name, "it has no pixels"));
    }
    if width > MAX_SIDE
        || height > MAX_SIDE
        || u64::from(width) * u64::from(height) > MAX_PIXELS
        || decoder.total_bytes() > MAX_DECODED_BYTES
    {
        return Err(PictureError::TooLarge { name: name.to_owned(), width, height });
    }
    // Unreadable EXIF data is no reason to refuse a picture; viewers show it as stored.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let stored_size = ImageSize::new(width, height);
    let size = match orientation {
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH => {
            ImageSize::new(height, width)
        }
        _ => stored_size,
    };
    Ok((decoder, Probe { size, stored_size, encoding, orientation }))
}

/// Whether the file reaches the end of the picture, where the format tells without decoding.
fn check_complete(bytes: &[u8], probe: &Probe, name: &str) -> Result<(), PictureError> {
    let complete = match probe.encoding {
        Encoding::Jpeg => {
            // At least one bit for each block of 8 × 8: a tiny file cannot hold a huge picture.
            let blocks = u64::from(probe.stored_size.width / 8) * u64::from(probe.stored_size.height / 8);
            jpeg_markers::is_complete(bytes) && bytes.len() as u64 >= blocks / 8
        }
        Encoding::Png => png_reaches_its_end(bytes),
        Encoding::WebP => bytes
            .get(4..8)
            .is_some_and(|n| u64::from(u32::from_le_bytes([n[0], n[1], n[2], n[3]])) + 8 <= bytes.len() as u64 + 1),
        Encoding::Bmp | Encoding::Gif => true,
    };
    if complete { Ok(()) } else { Err(PictureError::Truncated { name: name.to_owned() }) }
}

/// Whether the chunks lead to the closing `IEND`.
fn png_reaches_its_end(bytes: &[u8]) -> bool {
    let mut position = 8;
    while let Some(head) = bytes.get(position..position + 8) {
        if &head[4..] == b"IEND" {
            return true;
        }
        // Length, name, data, checksum.
        position += 12 + u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
    }
    false
}

fn encode(picture: &Picture, encoding: Encoding, encoder: impl ImageEncoder) -> Result<(), PictureError> {
    let ImageSize { width, height } = picture.size;
    let refuse = |reason: String| PictureError::Encode { size: picture.size, encoding: encoding.name(), reason };
    let expected = u64::from(width) * u64::from(height) * 3;
    if expected == 0 || expected != picture.rgb.len() as u64 {
        return Err(refuse(format!("it holds {} bytes of pixels", picture.rgb.len())));
    }
    encoder.write_image(&picture.rgb, width, height, ExtendedColorType::Rgb8).map_err(|error| refuse(error.to_string()))
}

/// The last line of defence: a decoder that panics on damaged bytes must not take the program along.
fn guarded<T>(name: &str, work: impl FnOnce() -> Result<T, PictureError>) -> Result<T, PictureError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(damaged(name, "the decoder gave up")))
}

fn damaged(name: &str, reason: impl Into<String>) -> PictureError {
    PictureError::Damaged { name: name.to_owned(), reason: reason.into() }
}

fn explain(name: &str, error: &ImageError) -> PictureError {
    match error {
        ImageError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            PictureError::Truncated { name: name.to_owned() }
        }
        ImageError::Unsupported(_) => damaged(name, format!("it uses a feature that is not supported ({error})")),
        ImageError::Limits(_) => damaged(name, format!("it asks for too much memory ({error})")),
        error => damaged(name, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 4 × 2 pixels, each of another colour.
    fn small() -> Picture {
        let rgb = (0..8u8).flat_map(|i| [i * 30, 255 - i * 30, i * 10]).collect();
        Picture { size: ImageSize::new(4, 2), rgb }
    }

    fn noise(width: u32, height: u32) -> Picture {
        let mut state = 1u32;
        let rgb = (0..width * height * 3)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        Picture { size: ImageSize::new(width, height), rgb }
    }

    #[test]
    fn png_keeps_every_pixel() {
        let bytes = encode_png(&small()).expect("encoded");
        assert_eq!(decode(&bytes, "a.png").expect("decoded"), small());
        let seen = probe(&bytes, "wrong-extension.jpg").expect("probed");
        assert_eq!((seen.size, seen.encoding), (ImageSize::new(4, 2), Encoding::Png));
    }

    #[test]
    fn grey_alpha_palette_and_16_bit_become_rgb() {
        let grey = image::GrayImage::from_pixel(2, 1, image::Luma([77]));
        let alpha = image::RgbaImage::from_pixel(2, 1, image::Rgba([1, 2, 3, 128]));
        let deep = image::ImageBuffer::<image::Rgb<u16>, _>::from_pixel(2, 1, image::Rgb([65535u16, 0, 257]));
        let cases = [
            (DynamicImage::ImageLuma8(grey), [77, 77, 77]),
            (DynamicImage::ImageRgba8(alpha), [1, 2, 3]),
            (DynamicImage::ImageRgb16(deep), [255, 0, 1]),
        ];
        for (picture, expected) in cases {
            let mut bytes = Vec::new();
            picture.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).expect("encoded");
            assert_eq!(decode(&bytes, "a.png").expect("decoded").pixel(1, 0), Some(expected));
        }
    }

    #[test]
    fn every_kind_is_read() {
        let picture = DynamicImage::ImageRgb8(image::RgbImage::from_pixel(16, 16, image::Rgb([200, 100, 50])));
        for (format, encoding) in [
            (ImageFormat::Jpeg, Encoding::Jpeg),
            (ImageFormat::Png, Encoding::Png),
            (ImageFormat::Bmp, Encoding::Bmp),
            (ImageFormat::Gif, Encoding::Gif),
            (ImageFormat::WebP, Encoding::WebP),
        ] {
            let mut bytes = Vec::new();
            picture.write_to(&mut Cursor::new(&mut bytes), format).expect("encoded");
            assert_eq!(probe(&bytes, "a").expect("probed").encoding, encoding);
            let decoded = decode(&bytes, "a").expect("decoded");
            assert_eq!(decoded.size, ImageSize::new(16, 16));
            let pixel = decoded.pixel(8, 8).expect("inside");
            assert!(pixel.iter().zip([200u8, 100, 50]).all(|(a, b)| a.abs_diff(b) <= 4), "{encoding:?}: {pixel:?}");
        }
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        let picture = DynamicImage::ImageRgb8(
            image::RgbImage::from_raw(64, 64, noise(64, 64).rgb).expect("the right number of bytes"),
        );
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::WebP] {
            let mut bytes = Vec::new();
            picture.write_to(&mut Cursor::new(&mut bytes), format).expect("encoded");
            for cut in [bytes.len() / 4, bytes.len() / 2, bytes.len() - 10] {
                let error = decode(&bytes[..cut], "half.jpg").expect_err("cut off");
                assert!(error.to_string().contains("half.jpg"), "{error}");
                if matches!(format, ImageFormat::Jpeg | ImageFormat::Png) {
                    assert!(matches!(error, PictureError::Truncated { .. }), "{format:?} at {cut}: {error}");
                    assert!(probe(&bytes[..cut], "half.jpg").is_err());
                }
            }
        }
    }

    #[test]
    fn sizes_are_checked_before_anything_is_allocated() {
        let mut bytes = encode_png(&small()).expect("encoded");
        bytes[16..20].copy_from_slice(&60_000u32.to_be_bytes());
        // The checksum of the header, so that only the size is wrong.
        let crc = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.to_be_bytes());
        assert!(matches!(decode(&bytes, "a.png"), Err(PictureError::TooLarge { width: 60_000, .. })));
        // A JPEG of a few hundred bytes that claims to be 16384 × 12000.
        let mut jpeg = encode_jpeg(&small(), 90).expect("encoded");
        let frame = jpeg.windows(2).position(|w| w == [0xFF, 0xC0]).expect("a frame header");
        jpeg[frame + 5..frame + 9].copy_from_slice(&[0x2E, 0xE0, 0x40, 0x00]);
        assert!(matches!(decode(&jpeg, "a.jpg"), Err(PictureError::Truncated { .. })));
    }

    fn crc32(bytes: &[u8]) -> u32 {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum()
    }

    #[test]
    fn no_picture_is_told_apart_from_a_damaged_one() {
        assert!(matches!(decode(b"hello", "a.txt"), Err(PictureError::Unknown { .. })));
        assert!(matches!(decode(&[], "empty.jpg"), Err(PictureError::Unknown { .. })));
    }

    /// A JPEG with an EXIF segment that holds nothing but this orientation.
    pub(crate) fn jpeg_with_orientation(picture: &Picture, orientation: u8) -> Vec<u8> {
        let jpeg = encode_jpeg(picture, 95).expect("encoded");
        let mut exif = b"Exif\0\0II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
        exif.extend_from_slice(&[orientation, 0, 0, 0, 0, 0, 0, 0]);
        let mut bytes = jpeg[..2].to_vec();
        bytes.extend_from_slice(&[0xFF, 0xE1]);
        bytes.extend_from_slice(&u16::try_from(exif.len() + 2).expect("short").to_be_bytes());
        bytes.extend_from_slice(&exif);
        bytes.extend_from_slice(&jpeg[2..]);
        bytes
    }

    #[test]
    fn orientation_is_applied_once_and_boxes_turn_with_it() {
        // Black but for one white block of 8 × 8 at column 16, row 8.
        let mut picture = Picture::filled(ImageSize::new(48, 32), [0; 3]);
        for y in 8..16usize {
            for x in 16..24usize {
                picture.rgb[(y * 48 + x) * 3..][..3].fill(255);
            }
        }
        let drawn = PixelBox::new(8.0, 16.0, 16.0, 24.0);
        for orientation in 1..=8 {
            let bytes = jpeg_with_orientation(&picture, orientation);
            let seen = probe(&bytes, "a.jpg").expect("probed");
            let shown = decode(&bytes, "a.jpg").expect("decoded");
            assert_eq!(seen.size, shown.size);
            assert_eq!(seen.is_upright(), orientation == 1);
            assert_eq!(shown.size, if orientation >= 5 { ImageSize::new(32, 48) } else { ImageSize::new(48, 32) });
            let turned = seen.turn(&drawn);
            let (x, y) = turned.center();
            let white = shown.pixel(x as u32, y as u32).expect("inside");
            assert!(white[0] > 200, "orientation {orientation}: {turned:?} is {white:?}");
            let record = for_record(bytes.clone(), "a.jpg").expect("prepared");
            let again = probe(&record.bytes, "a.jpg").expect("probed");
            assert!(again.is_upright());
            assert_eq!((again.size, record.size), (shown.size, shown.size));
            assert_eq!(record.bytes == bytes, orientation == 1);
        }
    }

    #[test]
    fn thumbnails_keep_the_aspect_and_small_pictures() {
        let picture = Picture::filled(ImageSize::new(300, 100), [10, 20, 30]);
        let small = thumbnail(&picture, 60);
        assert_eq!(small.size, ImageSize::new(60, 20));
        assert_eq!(small.pixel(30, 10), Some([10, 20, 30]));
        assert_eq!(thumbnail(&picture, 300), picture);
        assert_eq!(thumbnail(&Picture::filled(ImageSize::new(1000, 1), [1; 3]), 10).size, ImageSize::new(10, 1));
    }

    #[test]
    fn a_picture_whose_buffer_does_not_fit_is_not_written() {
        let wrong = Picture { size: ImageSize::new(4, 4), rgb: vec![0; 5] };
        assert!(matches!(encode_png(&wrong), Err(PictureError::Encode { .. })));
        assert!(encode_jpeg(&Picture { size: ImageSize::new(0, 0), rgb: Vec::new() }, 90).is_err());
    }
}
