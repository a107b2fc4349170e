//! Boxes to be cut out of images and resized (TensorFlow's `crop_and_resize`).
//!
//! The corners of a crop lie exactly on the corners of its box, where 0 and 1 are the centres of the image's first and
//! last pixels; what lies beyond the image is 0.

/// What to cut out, and how large it becomes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Crops {
    /// `[ymin, xmin, ymax, xmax]`, normalized.
    pub boxes: Vec<[f32; 4]>,
    /// Which image of the batch each is cut out of.
    pub images: Vec<usize>,
    /// Rows and columns of a crop.
    pub size: [usize; 2],
}

/// Where one row or column of a crop looks: between two of the image's, or beyond it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    pub lower: usize,
    pub upper: usize,
    /// How far from the lower to the upper.
    pub fraction: f32,
    /// Whether it lies on the image.
    pub inside: bool,
}

impl Sample {
    /// The lower (0) or the upper (1) row or column, and its weight.
    pub fn neighbour(&self, which: usize) -> (usize, f32) {
        let (place, weight) = if which == 0 { (self.lower, 1.0 - self.fraction) } else { (self.upper, self.fraction) };
        (place, if self.inside { weight } else { 0.0 })
    }
}

impl Crops {
    /// The samples of `count` rows (or columns) from `low` to `high`, on an image of `length` rows. TensorFlow's
    /// order of operations, in f32.
    pub fn samples(low: f32, high: f32, length: usize, count: usize) -> Vec<Sample> {
        let last = length.saturating_sub(1) as f32;
        let scale = if count > 1 { (high - low) * last / (count - 1) as f32 } else { 0.0 };
        (0..count)
            .map(|i| {
                let at = if count > 1 { low * last + i as f32 * scale } else { 0.5 * (low + high) * last };
                // False for what is not a number, too.
                let inside = at >= 0.0 && at <= last;
                if !inside {
                    return Sample { lower: 0, upper: 0, fraction: 0.0, inside };
                }
                let (lower, upper) = (at.floor(), at.ceil());
                Sample { lower: lower as usize, upper: upper as usize, fraction: at - lower, inside }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_worked_by_hand() {
        let at = |lower, upper, fraction| Sample { lower, upper, fraction, inside: true };
        let beyond = Sample { lower: 0, upper: 0, fraction: 0.0, inside: false };
        // Five rows: 0 to 1 reaches from row 0 to row 4.
        assert_eq!(Crops::samples(0.0, 1.0, 5, 3), [at(0, 0, 0.0), at(2, 2, 0.0), at(4, 4, 0.0)]);
        assert_eq!(Crops::samples(0.125, 0.375, 5, 2), [at(0, 1, 0.5), at(1, 2, 0.5)]);
        // One row looks at the middle, a turned box counts backwards.
        assert_eq!(Crops::samples(0.5, 1.0, 5, 1), [at(3, 3, 0.0)]);
        assert_eq!(Crops::samples(1.0, 0.0, 5, 2), [at(4, 4, 0.0), at(0, 0, 0.0)]);
        assert_eq!(Crops::samples(-0.25, 1.25, 5, 3), [beyond, at(2, 2, 0.0), beyond]);
        assert_eq!(Crops::samples(f32::NAN, 1.0, 5, 2), [beyond; 2]);
    }
}
