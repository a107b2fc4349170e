//! Steps that change values and neither size nor boxes, on interleaved RGB of 0 to 255.
//!
//! The colour changes work on values of 0 to 1 and cut at 0 and 255, as TFOD's do around TensorFlow's
//! `adjust_*` operators. What is random is drawn by the caller.

use boxwright_detection::image_resizer::luminance;

/// Applies a change of a value of 0 to 1 to each value.
fn each_value(rgb: &mut [f32], change: impl Fn(f32) -> f32) {
    for value in rgb {
        *value = (change(*value / 255.0) * 255.0).clamp(0.0, 255.0);
    }
}

/// Applies a change of a colour of values 0 to 1 to each pixel.
fn each_pixel(rgb: &mut [f32], change: impl Fn([f32; 3]) -> [f32; 3]) {
    for pixel in rgb.chunks_exact_mut(3) {
        let changed = change([pixel[0] / 255.0, pixel[1] / 255.0, pixel[2] / 255.0]);
        pixel.copy_from_slice(&changed.map(|value| (value * 255.0).clamp(0.0, 255.0)));
    }
}

/// Adds `delta`, a part of the value range, to each value.
pub fn adjust_brightness(rgb: &mut [f32], delta: f32) {
    each_value(rgb, |value| value + delta);
}

/// Multiplies each value's distance from the mean of its channel.
pub fn adjust_contrast(rgb: &mut [f32], factor: f32) {
    let mut means = [0.0f64; 3];
    for pixel in rgb.chunks_exact(3) {
        for (mean, &value) in means.iter_mut().zip(pixel) {
            *mean += f64::from(value / 255.0);
        }
    }
    let pixels = (rgb.len() / 3).max(1) as f64;
    let means = means.map(|mean| (mean / pixels) as f32);
    each_pixel(rgb, |colour| std::array::from_fn(|c| (colour[c] - means[c]) * factor + means[c]));
}

/// Turns the hue by `delta`, a part of the colour circle.
pub fn adjust_hue(rgb: &mut [f32], delta: f32) {
    each_pixel(rgb, |colour| {
        let hue = Hue::of(colour);
        Hue { sixths: (hue.sixths + delta * 6.0).rem_euclid(6.0), ..hue }.colour()
    });
}

/// Multiplies the saturation.
pub fn adjust_saturation(rgb: &mut [f32], factor: f32) {
    each_pixel(rgb, |colour| {
        let hue = Hue::of(colour);
        if hue.max <= 0.0 {
            return Hue { min: hue.max, ..hue }.colour();
        }
        let saturation = ((hue.max - hue.min) / hue.max * factor).clamp(0.0, 1.0);
        Hue { min: hue.max - hue.max * saturation, ..hue }.colour()
    });
}

/// Makes each value `gain · value^gamma`. There is no such power of a negative value; it counts as 0.
pub fn adjust_gamma(rgb: &mut [f32], gamma: f32, gain: f32) {
    each_value(rgb, |value| gain * value.max(0.0).powf(gamma));
}

/// Makes the picture grey, in three channels.
pub fn make_grey(rgb: &mut [f32]) {
    for pixel in rgb.chunks_exact_mut(3) {
        pixel.fill(luminance([pixel[0], pixel[1], pixel[2]]));
    }
}

/// Multiplies each value by its own factor and cuts at 0 and 255.
pub fn scale_values(rgb: &mut [f32], mut factor: impl FnMut() -> f32) {
    for value in rgb {
        *value = (*value * factor()).clamp(0.0, 255.0);
    }
}

/// Moves values from one range to another; nothing is cut.
pub fn normalize(rgb: &mut [f32], original: (f32, f32), target: (f32, f32)) {
    let wide = |range: (f32, f32)| f64::from(range.1) - f64::from(range.0);
    let factor = (wide(target) / wide(original)) as f32;
    for value in rgb {
        *value = (*value - original.0) * factor + target.0;
    }
}

/// Subtracts a constant from each channel.
pub fn subtract_channel_mean(rgb: &mut [f32], means: [f32; 3]) {
    for pixel in rgb.chunks_exact_mut(3) {
        for (value, mean) in pixel.iter_mut().zip(means) {
            *value -= mean;
        }
    }
}

/// A colour by its hue and its largest and smallest value.
#[derive(Clone, Copy)]
struct Hue {
    /// 0 red, 1 yellow, 2 green, 3 cyan, 4 blue, 5 magenta; below 6.
    sixths: f32,
    max: f32,
    min: f32,
}

impl Hue {
    fn of([r, g, b]: [f32; 3]) -> Self {
        let (max, min) = (r.max(g).max(b), r.min(g).min(b));
        let range = max - min;
        let sixths = if range <= 0.0 {
            0.0
        } else if max == r {
            ((g - b) / range).rem_euclid(6.0)
        } else if max == g {
            (b - r) / range + 2.0
        } else {
            (r - g) / range + 4.0
        };
        Self { sixths, max, min }
    }

    fn colour(self) -> [f32; 3] {
        let Self { sixths, max, min } = self;
        let between = min + (max - min) * (1.0 - (sixths.rem_euclid(2.0) - 1.0).abs());
        match sixths as u8 {
            0 => [max, between, min],
            1 => [between, max, min],
            2 => [min, max, between],
            3 => [min, between, max],
            4 => [between, min, max],
            5 => [max, min, between],
            // `rem_euclid` may round up to 6, which is red again.
            _ => [max, min, min],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(pixel: [f32; 3], change: impl Fn(&mut [f32])) -> [f32; 3] {
        let mut rgb = pixel;
        change(&mut rgb);
        rgb
    }

    #[test]
    fn a_third_of_the_circle_turns_red_into_green_into_blue() {
        let third = |pixel| changed(pixel, |rgb| adjust_hue(rgb, 1.0 / 3.0)).map(f32::round);
        assert_eq!(third([200.0, 0.0, 0.0]), [0.0, 200.0, 0.0]);
        assert_eq!(third([0.0, 200.0, 0.0]), [0.0, 0.0, 200.0]);
        assert_eq!(third([0.0, 0.0, 200.0]), [200.0, 0.0, 0.0]);
        assert_eq!(third([50.0, 50.0, 50.0]), [50.0, 50.0, 50.0]);
    }

    #[test]
    fn no_saturation_is_grey_and_too_much_is_pure() {
        let with = |factor| changed([200.0, 100.0, 50.0], |rgb| adjust_saturation(rgb, factor)).map(f32::round);
        assert_eq!(with(0.0), [200.0; 3]);
        assert_eq!(with(1.0), [200.0, 100.0, 50.0]);
        assert_eq!(with(9.0), [200.0, 67.0, 0.0]);
    }

    #[test]
    fn no_contrast_is_the_mean_and_gamma_two_squares() {
        let mut rgb = [0.0, 10.0, 20.0, 100.0, 30.0, 40.0];
        adjust_contrast(&mut rgb, 0.0);
        assert_eq!(rgb.map(f32::round), [50.0, 20.0, 30.0, 50.0, 20.0, 30.0]);
        assert_eq!(changed([0.0, 127.5, 255.0], |rgb| adjust_gamma(rgb, 2.0, 1.0)), [0.0, 63.75, 255.0]);
    }

    #[test]
    fn values_out_of_range_stay_finite() {
        let odd = [-300.0, 1e6, f32::MAX / 1e3];
        for change in [
            |rgb: &mut [f32]| adjust_hue(rgb, 0.3),
            |rgb: &mut [f32]| adjust_saturation(rgb, 2.0),
            |rgb: &mut [f32]| adjust_contrast(rgb, 2.0),
            |rgb: &mut [f32]| adjust_gamma(rgb, 0.5, 3.0),
        ] {
            assert!(changed(odd, change).iter().all(|v| (0.0..=255.0).contains(v)));
        }
    }
}
