//! Anchors on the levels of a feature pyramid, sized by each level's stride, as RetinaNet has them
//! (TFOD's `multiscale_grid_anchor_generator`).

use super::{AnchorGrid, GridAnchorGenerator};

/// One grid for each level; the fields are those of `multiscale_anchor_generator`.
#[derive(Clone, Debug, PartialEq)]
pub struct MultiscaleGridAnchorGenerator {
    /// Finest level; its stride is 2 to the power of it.
    pub min_level: u32,
    /// Coarsest level.
    pub max_level: u32,
    /// Size of the smallest anchor of a level, in strides.
    pub anchor_scale: f32,
    /// Width over height of the anchors at each place.
    pub aspect_ratios: Vec<f32>,
    /// Sizes between one level and the next.
    pub scales_per_octave: u32,
    /// Whether anchors are fractions of the picture instead of pixels.
    pub normalize_coordinates: bool,
}

impl MultiscaleGridAnchorGenerator {
    /// How many anchors each place of each level has.
    pub fn num_anchors_per_location(&self) -> Vec<usize> {
        let each = self.aspect_ratios.len() * self.scales_per_octave as usize;
        (self.min_level..=self.max_level).map(|_| each).collect()
    }

    /// The grids in pixels, one for each feature map shape `[height, width]`, for a picture of
    /// `[height, width]` pixels. Where the picture is a whole number of strides, an anchor stands in the
    /// middle of its cell, else on its corner.
    pub fn grids(&self, feature_map_shapes: &[[usize; 2]], image_size: [usize; 2]) -> Vec<AnchorGrid> {
        let octave = self.scales_per_octave;
        let scales: Vec<f32> = (0..octave).map(|i| (f64::from(i) / f64::from(octave)).exp2() as f32).collect();
        (self.min_level..=self.max_level)
            .zip(feature_map_shapes)
            .map(|(level, &shape)| {
                let stride = f64::from(level).exp2();
                let size = (stride * f64::from(self.anchor_scale)) as f32;
                let middle =
                    |side: usize| if side == 1 || side as f64 % stride == 0.0 { stride as f32 / 2.0 } else { 0.0 };
                let generator = GridAnchorGenerator {
                    scales: scales.clone(),
                    aspect_ratios: self.aspect_ratios.clone(),
                    base_anchor_size: [size; 2],
                    anchor_stride: [stride as f32; 2],
                    anchor_offset: image_size.map(middle),
                };
                generator.grid(shape)
            })
            .collect()
    }

    /// All anchors as `[ymin, xmin, ymax, xmax]`, level by level. They may reach beyond the picture.
    ///
    /// # Panics
    /// If there is not one feature map shape `[height, width]` for each level.
    pub fn generate(&self, feature_map_shapes: &[[usize; 2]], image_size: [usize; 2]) -> Vec<[f32; 4]> {
        let levels = (self.min_level..=self.max_level).count();
        assert_eq!(feature_map_shapes.len(), levels, "one feature map for each level of anchors");
        let mut anchors = Vec::new();
        self.grids(feature_map_shapes, image_size).iter().for_each(|grid| grid.append_to(&mut anchors));
        if self.normalize_coordinates {
            let [y, x] = image_size.map(|side| 1.0 / side as f32);
            anchors.iter_mut().for_each(|a| *a = [a[0] * y, a[1] * x, a[2] * y, a[3] * x]);
        }
        anchors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retina() -> MultiscaleGridAnchorGenerator {
        MultiscaleGridAnchorGenerator {
            min_level: 3,
            max_level: 7,
            anchor_scale: 4.0,
            aspect_ratios: vec![1.0, 2.0, 0.5],
            scales_per_octave: 2,
            normalize_coordinates: true,
        }
    }

    #[test]
    fn sizes_follow_the_strides() {
        let shapes = [[40, 40], [20, 20], [10, 10], [5, 5], [3, 3]];
        assert_eq!(retina().num_anchors_per_location(), [6; 5]);
        let anchors = retina().generate(&shapes, [320, 320]);
        assert_eq!(anchors.len(), 12_804);
        let near = |a: [f32; 4], b: [f32; 4]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near(anchors[0], [-0.0375, -0.0375, 0.0625, 0.0625]), "{:?}", anchors[0]);
        let root = 0.05 * 2f32.sqrt();
        assert!(near(anchors[1], [0.0125 - root, 0.0125 - root, 0.0125 + root, 0.0125 + root]), "{:?}", anchors[1]);
        // 320 is no multiple of 128, so the coarsest anchors stand on corners.
        let first_of_the_last = anchors[12_804 - 54];
        assert!(near(first_of_the_last, [-0.8, -0.8, 0.8, 0.8]), "{first_of_the_last:?}");
    }

    #[test]
    fn pixels_on_request() {
        let generator = MultiscaleGridAnchorGenerator { normalize_coordinates: false, max_level: 3, ..retina() };
        assert_eq!(generator.generate(&[[2, 2]], [16, 16])[0], [-12.0, -12.0, 20.0, 20.0]);
    }
}
