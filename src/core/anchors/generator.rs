//! Any of the generators: what the `anchor_generator` message of a config asks for.

use super::{
    AnchorGrid, FlexibleGridAnchorGenerator, GridAnchorGenerator, MultipleGridAnchorGenerator,
    MultiscaleGridAnchorGenerator,
};

/// A generator of anchors.
#[derive(Clone, Debug, PartialEq)]
pub enum AnchorGenerator {
    /// `ssd_anchor_generator`.
    Ssd(MultipleGridAnchorGenerator),
    /// `multiscale_anchor_generator`.
    Multiscale(MultiscaleGridAnchorGenerator),
    /// `grid_anchor_generator`.
    Grid(GridAnchorGenerator),
    /// `flexible_grid_anchor_generator`.
    FlexibleGrid(FlexibleGridAnchorGenerator),
}

impl AnchorGenerator {
    /// How many anchors each place of each feature map has.
    pub fn num_anchors_per_location(&self) -> Vec<usize> {
        match self {
            Self::Ssd(ssd) => ssd.num_anchors_per_location(),
            Self::Multiscale(levels) => levels.num_anchors_per_location(),
            Self::Grid(grid) => vec![grid.num_anchors_per_location()],
            Self::FlexibleGrid(grids) => grids.num_anchors_per_location(),
        }
    }

    /// Whether anchors are fractions of the picture; else they are pixels.
    pub fn is_normalized(&self) -> bool {
        match self {
            Self::Ssd(_) => true,
            Self::Multiscale(levels) => levels.normalize_coordinates,
            Self::Grid(_) => false,
            Self::FlexibleGrid(grids) => grids.normalize_coordinates,
        }
    }

    /// The grids, one for each feature map shape `[height, width]`: those of `ssd_anchor_generator` in fractions of the
    /// picture of `[height, width]` pixels, all others in pixels.
    pub fn grids(&self, feature_map_shapes: &[[usize; 2]], image_size: [usize; 2]) -> Vec<AnchorGrid> {
        match self {
            Self::Ssd(ssd) => ssd.grids(feature_map_shapes, image_size),
            Self::Multiscale(levels) => levels.grids(feature_map_shapes, image_size),
            Self::Grid(grid) => feature_map_shapes.iter().map(|&shape| grid.grid(shape)).collect(),
            Self::FlexibleGrid(grids) => grids.grids(feature_map_shapes),
        }
    }

    /// All anchors as `[ymin, xmin, ymax, xmax]`, feature map by feature map, for a picture of `[height, width]` pixels.
    /// They may reach beyond it.
    ///
    /// # Panics
    /// If there is not one feature map shape `[height, width]` for each entry of
    /// [`num_anchors_per_location`](Self::num_anchors_per_location).
    pub fn generate(&self, feature_map_shapes: &[[usize; 2]], image_size: [usize; 2]) -> Vec<[f32; 4]> {
        match self {
            Self::Ssd(ssd) => ssd.generate(feature_map_shapes, image_size),
            Self::Multiscale(levels) => levels.generate(feature_map_shapes, image_size),
            Self::Grid(grid) => {
                assert_eq!(feature_map_shapes.len(), 1, "one feature map for the one grid of anchors");
                grid.generate(feature_map_shapes[0])
            }
            Self::FlexibleGrid(grids) => grids.generate(feature_map_shapes, image_size),
        }
    }
}
