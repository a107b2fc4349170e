//! Thousands of damaged files: each is read or refused, none panics or asks for absurd memory.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, RgbImage};

use crate::pascal_voc;
use crate::picture::{self, Picture};
use crate::tf_example::DetectionExample;
use crate::tf_record::{RecordReader, RecordWriter};

/// A small generator of numbers, so that a failure repeats.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next()).unwrap_or(0) % limit.max(1)
    }

    /// `bytes` with one to four faults: changed, removed, repeated or cut off.
    fn damage(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(4) {
            if bytes.is_empty() {
                break;
            }
            let at = self.below(bytes.len());
            match self.below(6) {
                0 => bytes[at] = self.next() as u8,
                1 => bytes[at] ^= 1 << self.below(8),
                2 => bytes[at] = [0x00, 0xFF, 0x7F, b'<'][self.below(4)],
                3 => drop(bytes.drain(at..(at + self.below(9)).min(bytes.len()))),
                4 => {
                    let part = bytes[at..(at + self.below(30)).min(bytes.len())].to_vec();
                    bytes.splice(at..at, part);
                }
                _ => bytes.truncate(at),
            }
        }
        bytes
    }
}

#[test]
fn pictures() {
    let pixels: Vec<u8> = (0..40 * 24 * 3u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let rgb = RgbImage::from_raw(40, 24, pixels).expect("the right number of bytes");
    let mut numbers = Numbers(1);
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::WebP] {
        let mut bytes = Vec::new();
        DynamicImage::ImageRgb8(rgb.clone()).write_to(&mut Cursor::new(&mut bytes), format).expect("encoded");
        assert!(picture::decode(&bytes, "whole").is_ok());
        for _ in 0..1500 {
            let bytes = numbers.damage(&bytes);
            let seen = picture::probe(&bytes, "damaged");
            if let Ok(Picture { size, rgb }) = picture::decode(&bytes, "damaged") {
                assert_eq!(rgb.len(), size.width as usize * size.height as usize * 3);
                assert_eq!(seen.expect("what decodes can be probed").size, size);
            }
        }
    }
}

#[test]
fn annotations() {
    let text = include_str!("sample_voc.xml");
    assert_eq!(pascal_voc::parse(text.as_bytes(), "whole").expect("whole").0.objects.len(), 3);
    let mut numbers = Numbers(2);
    let mut read = 0;
    for _ in 0..20_000 {
        if let Ok((annotation, problems)) = pascal_voc::parse(&numbers.damage(text.as_bytes()), "damaged.xml") {
            read += 1;
            for problem in &problems {
                assert!(problem.place.starts_with("line "), "{problem}");
            }
            for object in &annotation.objects {
                assert!(object.line > 0 && object.bounds.xmin.is_finite() && !object.name.is_empty());
            }
        }
    }
    assert!(read > 1000, "some damage is harmless, but only {read} files were read");
}

#[test]
fn records() {
    let mut writer = RecordWriter::new(Vec::new());
    let example = DetectionExample { filename: "a.jpg".into(), encoded: vec![7; 100], ..DetectionExample::default() };
    for _ in 0..4 {
        writer.write(&example.encode()).expect("into memory");
    }
    let bytes = writer.into_inner();
    let mut numbers = Numbers(3);
    for _ in 0..20_000 {
        let bytes = numbers.damage(&bytes);
        for record in RecordReader::new(&bytes[..], "damaged.record").take(50) {
            match record {
                Ok(data) => assert!(DetectionExample::decode(&data, "a").is_ok(), "what passed its checksum is whole"),
                Err(error) => assert!(error.to_string().contains("damaged.record"), "{error}"),
            }
        }
    }
}

#[test]
fn examples() {
    let example = DetectionExample { filename: "a.jpg".into(), encoded: vec![7; 100], ..DetectionExample::default() };
    let bytes = example.encode();
    let mut numbers = Numbers(4);
    for _ in 0..20_000 {
        let damaged = numbers.damage(&bytes);
        if let Ok(read) = DetectionExample::decode(&damaged, "a") {
            assert!(read.encoded.len() <= damaged.len());
        }
    }
}
