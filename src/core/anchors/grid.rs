//! Anchors of fixed sizes on one grid, as Faster R-CNN's first stage has them (TFOD's
//! `grid_anchor_generator`). Everything is in pixels.

use super::{AnchorGrid, BoxSpec};

/// One grid; the fields are those of `grid_anchor_generator`.
#[derive(Clone, Debug, PartialEq)]
pub struct GridAnchorGenerator {
    /// Factors on the base size.
    pub scales: Vec<f32>,
    /// Width over height.
    pub aspect_ratios: Vec<f32>,
    /// Height and width of the anchor with scale 1 and ratio 1.
    pub base_anchor_size: [f32; 2],
    /// Distance between neighbours, `[y, x]`.
    pub anchor_stride: [f32; 2],
    /// Centre of the first anchor, `[y, x]`.
    pub anchor_offset: [f32; 2],
}

impl GridAnchorGenerator {
    /// How many anchors each place of the feature map has.
    pub fn num_anchors_per_location(&self) -> usize {
        self.scales.len() * self.aspect_ratios.len()
    }

    /// The grid over a feature map `[height, width]`. Around each centre the scale is the fastest.
    pub fn grid(&self, feature_map_shape: [usize; 2]) -> AnchorGrid {
        let specs = self
            .aspect_ratios
            .iter()
            .flat_map(|&aspect_ratio| self.scales.iter().map(move |&scale| BoxSpec { scale, aspect_ratio }));
        AnchorGrid {
            shape: feature_map_shape,
            stride: self.anchor_stride,
            offset: self.anchor_offset,
            half_sizes: AnchorGrid::half_sizes(specs, self.base_anchor_size),
        }
    }

    /// All anchors as `[ymin, xmin, ymax, xmax]` in pixels. They may reach beyond the picture.
    pub fn generate(&self, feature_map_shape: [usize; 2]) -> Vec<[f32; 4]> {
        let mut anchors = Vec::new();
        self.grid(feature_map_shape).append_to(&mut anchors);
        anchors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_the_fastest() {
        let generator = GridAnchorGenerator {
            scales: vec![0.25, 0.5],
            aspect_ratios: vec![1.0, 4.0],
            base_anchor_size: [256.0; 2],
            anchor_stride: [16.0; 2],
            anchor_offset: [0.0, 8.0],
        };
        assert_eq!(generator.num_anchors_per_location(), 4);
        let anchors = generator.generate([1, 2]);
        let first = [[-32., -24., 32., 40.], [-64., -56., 64., 72.], [-16., -56., 16., 72.], [-32., -120., 32., 136.]];
        assert_eq!(anchors[..4], first);
        assert_eq!(anchors[4], [-32.0, -8.0, 32.0, 56.0]);
        assert_eq!(anchors.len(), 8);
    }
}
