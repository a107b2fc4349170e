//! The colour of each class.
//!
//! The first seven are those of Okabe and Ito, which people with any kind of colour vision can tell
//! apart. After them hues follow each other by the golden angle at one lightness and chroma in OKLCH,
//! so that every new class is far from the few before it and none shouts. A colour depends on nothing
//! but the class id: deleting or renaming another class changes no picture.

use boxwright_core::LabelId;

/// Okabe's and Ito's colours, without the black.
const OKABE_ITO: [[u8; 3]; 7] =
    [[230, 159, 0], [86, 180, 233], [0, 158, 115], [240, 228, 66], [0, 114, 178], [213, 94, 0], [204, 121, 167]];

/// Lightness and chroma of the generated colours; all hues exist there in sRGB.
const LIGHTNESS: f64 = 0.75;
const CHROMA: f64 = 0.11;
/// 360° divided by the square of the golden ratio.
const GOLDEN_ANGLE: f64 = 137.507_764_050_037_85;

/// The colour of a class.
pub fn class_color(label: LabelId) -> [u8; 3] {
    let index = label.get() as usize - 1;
    match OKABE_ITO.get(index) {
        Some(color) => *color,
        None => {
            let hue = (GOLDEN_ANGLE * (index - OKABE_ITO.len()) as f64 + 20.0) % 360.0;
            oklch_to_srgb(LIGHTNESS, CHROMA, hue).map(|v| (v.clamp(0.0, 1.0) * 255.0).round() as u8)
        }
    }
}

/// Black or white, whichever reads better on `background`.
pub fn text_color(background: [u8; 3]) -> [u8; 3] {
    let [r, g, b] = background.map(|v| to_linear(f64::from(v) / 255.0));
    // WCAG's relative luminance; above 0.179 black has the higher contrast.
    if 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 { [0; 3] } else { [255; 3] }
}

/// Not clamped: components outside of 0 to 1 do not exist in sRGB. `hue` in degrees.
fn oklch_to_srgb(lightness: f64, chroma: f64, hue: f64) -> [f64; 3] {
    let (a, b) = (chroma * hue.to_radians().cos(), chroma * hue.to_radians().sin());
    let l = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let m = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let s = (lightness - 0.089_484_177_5 * a - 1.291_485_548 * b).powi(3);
    [
        4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s,
        -1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s,
        -0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701 * s,
    ]
    .map(|v| if v <= 0.003_130_8 { 12.92 * v } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 })
}

fn to_linear(v: f64) -> f64 {
    if v <= 0.040_45 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn color(id: u32) -> [u8; 3] {
        class_color(LabelId::new(id).expect("an id"))
    }

    fn distance(a: [u8; 3], b: [u8; 3]) -> i32 {
        a.iter().zip(b).map(|(a, b)| (i32::from(*a) - i32::from(b)).pow(2)).sum()
    }

    #[test]
    fn the_first_are_okabe_and_ito_and_all_are_stable() {
        assert_eq!(color(1), [230, 159, 0]);
        assert_eq!(color(7), [204, 121, 167]);
        assert_eq!(color(LabelId::MAX), color(LabelId::MAX));
    }

    #[test]
    fn every_generated_hue_exists() {
        for degree in 0..360 {
            for v in oklch_to_srgb(LIGHTNESS, CHROMA, f64::from(degree)) {
                assert!((0.0..=1.0).contains(&v), "{degree}°: {v}");
            }
        }
    }

    #[test]
    fn neighbours_differ() {
        for id in 1..200 {
            for near in 1..=3 {
                assert!(distance(color(id), color(id + near)) > 900, "{id} and {}", id + near);
            }
        }
    }

    #[test]
    fn white_on_dark_and_black_on_light() {
        assert_eq!(text_color([0, 114, 178]), [255; 3]);
        assert_eq!(text_color([240, 228, 66]), [0; 3]);
    }
}
