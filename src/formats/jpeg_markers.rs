//! Whether a JPEG is all there.
//!
//! Decoders are kind: a file that was cut off in the middle decodes to a picture whose lower part is
//! grey. For training data that is poison, so this walks the markers from the start-of-image to the
//! end-of-image and says whether the file reaches it. Segments are skipped by their length, so the
//! end marker of a thumbnail inside the EXIF data does not count.

const START_OF_IMAGE: u8 = 0xD8;
const END_OF_IMAGE: u8 = 0xD9;
const START_OF_SCAN: u8 = 0xDA;

/// Whether the markers of `bytes` lead from the start of the picture to its end, with at least one
/// scan between them.
pub(crate) fn is_complete(bytes: &[u8]) -> bool {
    if bytes.len() < 4 || bytes[0] != 0xFF || bytes[1] != START_OF_IMAGE {
        return false;
    }
    let mut position = 2;
    let mut scans = 0usize;
    while let Some((marker, after)) = next_marker(bytes, position) {
        position = after;
        match marker {
            END_OF_IMAGE => return scans > 0,
            // Restart markers and TEM stand alone; so does a repeated start of image.
            0x01 | START_OF_IMAGE | 0xD0..=0xD7 => {}
            _ => {
                let Some(length) = bytes.get(position..position + 2) else { return false };
                // The length counts its own two bytes. What follows a scan's header is entropy-coded
                // data, in which `next_marker` finds no marker but the restarts.
                position += usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
                scans += usize::from(marker == START_OF_SCAN);
            }
        }
    }
    false
}

/// The next marker at or after `position`, and where what follows it starts. A zero after `FF` is an
/// escaped byte of a scan, and more `FF`s are padding.
fn next_marker(bytes: &[u8], mut position: usize) -> Option<(u8, usize)> {
    loop {
        let found = bytes.get(position..)?.iter().position(|&byte| byte == 0xFF)?;
        position += found + 1;
        match *bytes.get(position)? {
            0x00 => position += 1,
            0xFF => {}
            marker => return Some((marker, position + 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Start, a segment that holds a false end marker, a scan with an escaped byte and a restart, end.
    const SMALL: [u8; 24] = [
        0xFF, 0xD8, 0xFF, 0xE1, 0x00, 0x06, 0xFF, 0xD9, 1, 2, 0xFF, 0xDA, 0x00, 0x03, 9, 0x55, 0xFF, 0x00, 0xFF, 0xD0,
        0x55, 0xFF, 0xFF, 0xD9,
    ];

    #[test]
    fn a_whole_one_is_complete_and_every_shorter_one_is_not() {
        assert!(is_complete(&SMALL));
        for length in 0..SMALL.len() {
            assert!(!is_complete(&SMALL[..length]), "{length} bytes");
        }
    }

    #[test]
    fn what_follows_the_end_does_not_matter() {
        let mut longer = SMALL.to_vec();
        longer.extend_from_slice(&[0; 40]);
        assert!(is_complete(&longer));
        // A file whose tail was never written: zeros instead of the rest.
        let mut zeros = SMALL[..16].to_vec();
        zeros.extend_from_slice(&[0; 40]);
        assert!(!is_complete(&zeros));
    }
}
