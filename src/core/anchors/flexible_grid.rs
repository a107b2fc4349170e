//! Anchors on several grids of which each is described by itself: sizes, ratios, stride and offset (TFOD's
//! `flexible_grid_anchor_generator`).

use super::{AnchorGrid, BoxSpec};

/// One grid; the fields are those of the config's `anchor_grid`, all in pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct FlexibleGrid {
    /// The anchors around each centre: the scale is the square root of the area in pixels.
    pub specs: Vec<BoxSpec>,
    /// Distance between neighbours, `[y, x]`.
    pub stride: [f32; 2],
    /// Centre of the first anchor, `[y, x]`.
    pub offset: [f32; 2],
}

/// One grid for each feature map.
#[derive(Clone, Debug, PartialEq)]
pub struct FlexibleGridAnchorGenerator {
    /// The grids, finest first.
    pub layers: Vec<FlexibleGrid>,
    /// Whether anchors are fractions of the picture instead of pixels.
    pub normalize_coordinates: bool,
}

impl FlexibleGridAnchorGenerator {
    /// How many anchors each place of each feature map has.
    pub fn num_anchors_per_location(&self) -> Vec<usize> {
        self.layers.iter().map(|layer| layer.specs.len()).collect()
    }

    /// The grids in pixels, one for each feature map shape `[height, width]`.
    pub fn grids(&self, feature_map_shapes: &[[usize; 2]]) -> Vec<AnchorGrid> {
        let grid = |(layer, &shape): (&FlexibleGrid, &[usize; 2])| AnchorGrid {
            shape,
            stride: layer.stride,
            offset: layer.offset,
            half_sizes: AnchorGrid::half_sizes(layer.specs.iter().copied(), [1.0; 2]),
        };
        self.layers.iter().zip(feature_map_shapes).map(grid).collect()
    }

    /// All anchors as `[ymin, xmin, ymax, xmax]`, for a picture of `[height, width]` pixels. They may reach beyond it.
    ///
    /// # Panics
    /// If there is not one feature map shape `[height, width]` for each grid.
    pub fn generate(&self, feature_map_shapes: &[[usize; 2]], image_size: [usize; 2]) -> Vec<[f32; 4]> {
        assert_eq!(feature_map_shapes.len(), self.layers.len(), "one feature map for each grid of anchors");
        let mut anchors = Vec::new();
        self.grids(feature_map_shapes).iter().for_each(|grid| grid.append_to(&mut anchors));
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

    #[test]
    fn each_grid_has_its_own_sizes() {
        let spec = |scale: f32, aspect_ratio: f32| BoxSpec { scale, aspect_ratio };
        let pixels = FlexibleGridAnchorGenerator {
            layers: vec![
                FlexibleGrid { specs: vec![spec(16.0, 1.0), spec(16.0, 4.0)], stride: [8.0, 10.0], offset: [4.0, 0.0] },
                FlexibleGrid { specs: vec![spec(40.0, 1.0)], stride: [32.0; 2], offset: [16.0; 2] },
            ],
            normalize_coordinates: false,
        };
        assert_eq!(pixels.num_anchors_per_location(), [2, 1]);
        let anchors = pixels.generate(&[[1, 2], [1, 1]], [40, 80]);
        let wanted = [
            [-4.0, -8.0, 12.0, 8.0],
            [0.0, -16.0, 8.0, 16.0],
            [-4.0, 2.0, 12.0, 18.0],
            [0.0, -6.0, 8.0, 26.0],
            [-4.0, -4.0, 36.0, 36.0],
        ];
        assert_eq!(anchors, wanted);
        let normalized = FlexibleGridAnchorGenerator { normalize_coordinates: true, ..pixels };
        assert_eq!(normalized.generate(&[[1, 2], [1, 1]], [32, 64])[4], [-0.125, -0.0625, 1.125, 0.5625]);
    }
}
