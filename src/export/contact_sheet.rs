//! Many pictures on one, for looking at a whole result at once.

use boxwright_core::ImageSize;
use boxwright_formats::picture::{Picture, thumbnail};

/// The side of a cell, where there is room for it.
const CELL: u32 = 320;
/// The space between pictures.
const GAP: u32 = 8;
/// The longest side of a sheet, which is 200 MB of pixels where it is square.
const MAX_SIDE: u32 = 8192;
/// A dark neutral grey.
const BACKGROUND: [u8; 3] = [24, 25, 28];

/// The pictures in rows of `columns`, each scaled down to fit its cell and put into its middle.
/// An empty list gives an empty sheet of one cell.
pub fn contact_sheet(pictures: &[Picture], columns: usize) -> Picture {
    let columns = u32::try_from(columns.clamp(1, pictures.len().max(1))).unwrap_or(1).min((MAX_SIDE - GAP) / (GAP + 1));
    let rows = u32::try_from(pictures.len()).unwrap_or(u32::MAX).div_ceil(columns).max(1);
    // Smaller cells where the sheet would be larger than a sheet may be; what then still has no
    // room is left out.
    let cell = CELL.min((MAX_SIDE - GAP) / columns.max(rows).max(1)).saturating_sub(GAP).max(1);
    let rows = rows.min(MAX_SIDE / (cell + GAP) - 1).max(1);
    let size = ImageSize::new(columns * (cell + GAP) + GAP, rows * (cell + GAP) + GAP);
    let mut sheet = Picture::filled(size, BACKGROUND);
    for (index, picture) in (0..rows * columns).zip(pictures) {
        let small = thumbnail(picture, cell);
        let left = GAP + (index % columns) * (cell + GAP) + (cell - small.size.width) / 2;
        let top = GAP + (index / columns) * (cell + GAP) + (cell - small.size.height) / 2;
        paste(&mut sheet, &small, left, top);
    }
    sheet
}

fn paste(sheet: &mut Picture, picture: &Picture, left: u32, top: u32) {
    let row_bytes = picture.size.width as usize * 3;
    if row_bytes == 0 {
        return;
    }
    for (row, pixels) in picture.rgb.chunks_exact(row_bytes).enumerate() {
        let at = ((top as usize + row) * sheet.size.width as usize + left as usize) * 3;
        if let Some(target) = sheet.rgb.get_mut(at..at + row_bytes) {
            target.copy_from_slice(pixels);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_stand_in_the_middle_of_their_cells() {
        let wide = Picture::filled(ImageSize::new(640, 320), [200, 0, 0]);
        let small = Picture::filled(ImageSize::new(10, 10), [0, 200, 0]);
        let sheet = contact_sheet(&[wide.clone(), small, wide], 2);
        let cell = CELL - GAP;
        assert_eq!(sheet.size, ImageSize::new(2 * CELL + GAP, 2 * CELL + GAP));
        assert_eq!(sheet.pixel(GAP + 1, GAP + cell / 2), Some([200, 0, 0]));
        assert_eq!(sheet.pixel(GAP + 1, GAP + 1), Some(BACKGROUND));
        assert_eq!(sheet.pixel(CELL + GAP + cell / 2, GAP + cell / 2), Some([0, 200, 0]));
        assert_eq!(sheet.pixel(GAP + cell / 2, CELL + GAP + cell / 2), Some([200, 0, 0]));
    }

    #[test]
    fn a_sheet_is_never_larger_than_its_limit() {
        let dots = vec![Picture::filled(ImageSize::new(1, 1), [9; 3]); 3000];
        for columns in [1, 7, 3000] {
            let sheet = contact_sheet(&dots, columns);
            assert!(sheet.size.width <= MAX_SIDE && sheet.size.height <= MAX_SIDE, "{columns}: {}", sheet.size);
            assert_eq!(sheet.rgb.len(), sheet.size.width as usize * sheet.size.height as usize * 3);
        }
        assert_eq!(contact_sheet(&[], 5).size.width, CELL + GAP);
    }
}
