//! Fingerprints: of a picture's file, and of everything that training learns from.

use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::document::named_flags;
use crate::error::StoreError;
use crate::project::Project;

/// The SHA-256 of some bytes in hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The SHA-256 of a file in hexadecimal, read piece by piece.
///
/// # Errors
/// When the file cannot be read.
pub fn file_sha256(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 1 << 16];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex(&hasher.finalize())),
            n => hasher.update(&piece[..n]),
        }
    }
}

impl Project {
    /// The fingerprint of the data: pictures, boxes, splits, review states and the label map's text.
    ///
    /// It does not depend on the numbers of images and boxes, nor on the order in which they were
    /// added, so two projects with the same data have the same fingerprint.
    ///
    /// # Errors
    /// When the database or the label map cannot be read.
    pub fn content_hash(&self) -> Result<String, StoreError> {
        let mut hasher = Sha256::new();
        let mut images = self.images()?;
        images.sort_by(|a, b| a.path.cmp(&b.path));
        let hashes = self.image_hashes()?;
        let boxes = self.all_boxes()?;
        let mut field = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        for image in &images {
            field(image.path.as_bytes());
            field(hashes.get(&image.id).map_or(&[], |h| h.as_bytes()));
            field(image.split.as_str().as_bytes());
            field(image.state.as_str().as_bytes());
            for annotation in boxes.get(&image.id).map_or(&[][..], Vec::as_slice) {
                let b = annotation.bounds;
                let mut record = annotation.label.get().to_le_bytes().to_vec();
                for edge in [b.ymin, b.xmin, b.ymax, b.xmax] {
                    record.extend(edge.to_bits().to_le_bytes());
                }
                record.extend(named_flags(annotation.flags).map(|(_, value)| u8::from(value)));
                field(&record);
            }
        }
        let map = self.label_map_path();
        if map.is_file() {
            field(file_sha256(&map).map_err(|e| StoreError::from_io(&map, e))?.as_bytes());
        }
        Ok(hex(&hasher.finalize()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
