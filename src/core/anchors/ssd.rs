//! Anchors on several grids at once, and the choice of scales and aspect ratios of the SSD paper
//! (TFOD's `multiple_grid_anchor_generator`).
//!
//! The order of the anchors is part of the contract with every checkpoint: layer, row, column, and
//! the box specification fastest. The arithmetic is `f32` but for the scales, which TFOD works out
//! in Python's `f64`.

use super::AnchorGrid;

/// The shape of one anchor: its scale relative to the shorter side, and width over height.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoxSpec {
    /// The square root of the area, as a fraction of the picture's shorter side.
    pub scale: f32,
    /// Width divided by height.
    pub aspect_ratio: f32,
}

/// What [`create_ssd_anchors`] takes; the fields are those of `ssd_anchor_generator`.
#[derive(Clone, Debug, PartialEq)]
pub struct SsdAnchorSettings {
    /// Number of feature maps.
    pub num_layers: usize,
    /// Scale of the finest layer, where `scales` is empty.
    pub min_scale: f32,
    /// Scale of the coarsest layer, where `scales` is empty.
    pub max_scale: f32,
    /// One scale for each layer; empty for equal steps from `min_scale` to `max_scale`.
    pub scales: Vec<f32>,
    /// Width over height of the anchors at each place.
    pub aspect_ratios: Vec<f32>,
    /// Aspect ratio of the extra anchor between this layer's scale and the next one's; 0 for none.
    pub interpolated_scale_aspect_ratio: f32,
    /// Whether the finest layer has three fixed anchors instead of the whole set.
    pub reduce_boxes_in_lowest_layer: bool,
    /// Height and width that scale 1 stands for, in shorter sides of the picture.
    pub base_anchor_size: [f32; 2],
    /// Distance between neighbours in pixels, `[y, x]` for each layer; `None` divides the picture evenly.
    pub anchor_strides: Option<Vec<[f32; 2]>>,
    /// Centre of the first anchor in pixels, `[y, x]` for each layer; `None` is half a stride.
    pub anchor_offsets: Option<Vec<[f32; 2]>>,
}

impl Default for SsdAnchorSettings {
    fn default() -> Self {
        Self {
            num_layers: 6,
            min_scale: 0.2,
            max_scale: 0.95,
            scales: Vec::new(),
            aspect_ratios: vec![1.0, 2.0, 0.5, 3.0, 1.0 / 3.0],
            interpolated_scale_aspect_ratio: 1.0,
            reduce_boxes_in_lowest_layer: true,
            base_anchor_size: [1.0, 1.0],
            anchor_strides: None,
            anchor_offsets: None,
        }
    }
}

/// The default boxes of SSD.
///
/// `scales`, strides and offsets, where given, must have one entry for each layer; the builder
/// checks that. Layers without an entry get no anchors.
pub fn create_ssd_anchors(settings: SsdAnchorSettings) -> MultipleGridAnchorGenerator {
    let scales = layer_scales(&settings);
    let box_specs = scales
        .windows(2)
        .take(settings.num_layers)
        .enumerate()
        .map(|(layer, pair)| layer_box_specs(&settings, layer, pair[0], pair[1]))
        .collect();
    MultipleGridAnchorGenerator {
        box_specs,
        base_anchor_size: settings.base_anchor_size,
        anchor_strides: settings.anchor_strides,
        anchor_offsets: settings.anchor_offsets,
    }
}

/// One scale for each layer and a last 1.0, which only serves to interpolate from the last layer.
fn layer_scales(settings: &SsdAnchorSettings) -> Vec<f64> {
    let mut scales: Vec<f64> = if settings.scales.is_empty() {
        let (min, max) = (f64::from(settings.min_scale), f64::from(settings.max_scale));
        let steps = settings.num_layers.saturating_sub(1).max(1) as f64;
        (0..settings.num_layers).map(|i| min + (max - min) * i as f64 / steps).collect()
    } else {
        settings.scales.iter().map(|&s| f64::from(s)).collect()
    };
    scales.push(1.0);
    scales
}

fn layer_box_specs(settings: &SsdAnchorSettings, layer: usize, scale: f64, next: f64) -> Vec<BoxSpec> {
    let spec = |scale: f64, aspect_ratio: f32| BoxSpec { scale: scale as f32, aspect_ratio };
    if layer == 0 && settings.reduce_boxes_in_lowest_layer {
        return vec![spec(0.1, 1.0), spec(scale, 2.0), spec(scale, 0.5)];
    }
    let mut specs: Vec<BoxSpec> = settings.aspect_ratios.iter().map(|&ratio| spec(scale, ratio)).collect();
    if settings.interpolated_scale_aspect_ratio > 0.0 {
        specs.push(spec((scale * next).sqrt(), settings.interpolated_scale_aspect_ratio));
    }
    specs
}

/// Anchors for a list of feature maps.
#[derive(Clone, Debug, PartialEq)]
pub struct MultipleGridAnchorGenerator {
    box_specs: Vec<Vec<BoxSpec>>,
    base_anchor_size: [f32; 2],
    anchor_strides: Option<Vec<[f32; 2]>>,
    anchor_offsets: Option<Vec<[f32; 2]>>,
}

impl MultipleGridAnchorGenerator {
    /// How many anchors each place of each feature map has.
    pub fn num_anchors_per_location(&self) -> Vec<usize> {
        self.box_specs.iter().map(Vec::len).collect()
    }

    /// All anchors as `[ymin, xmin, ymax, xmax]`, normalized to a picture of `[height, width]` pixels.
    /// Anchors may reach beyond the picture.
    ///
    /// # Panics
    /// If there is not one feature map shape `[height, width]` for each layer.
    pub fn generate(&self, feature_map_shapes: &[[usize; 2]], image_size: [usize; 2]) -> Vec<[f32; 4]> {
        assert_eq!(feature_map_shapes.len(), self.box_specs.len(), "one feature map for each layer of anchors");
        let mut anchors = Vec::new();
        self.grids(feature_map_shapes, image_size).iter().for_each(|grid| grid.append_to(&mut anchors));
        anchors
    }

    /// The grids of these anchors, in fractions of the picture, one for each feature map.
    pub fn grids(&self, feature_map_shapes: &[[usize; 2]], image_size: [usize; 2]) -> Vec<AnchorGrid> {
        let image = image_size.map(|side| side as f32);
        let shorter = image[0].min(image[1]);
        let base = [0, 1].map(|axis| shorter / image[axis] * self.base_anchor_size[axis]);
        let grid = |(layer, (&shape, specs)): (usize, (&[usize; 2], &Vec<BoxSpec>))| {
            let in_pixels = |list: &Option<Vec<[f32; 2]>>| {
                let pair = list.as_ref()?.get(layer)?;
                Some([pair[0] / image[0], pair[1] / image[1]])
            };
            let stride = in_pixels(&self.anchor_strides).unwrap_or_else(|| shape.map(|n| 1.0 / n as f32));
            let offset = in_pixels(&self.anchor_offsets).unwrap_or_else(|| stride.map(|s| 0.5 * s));
            AnchorGrid { shape, stride, offset, half_sizes: AnchorGrid::half_sizes(specs.iter().copied(), base) }
        };
        feature_map_shapes.iter().zip(&self.box_specs).enumerate().map(grid).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classic_model_has_1917_anchors() {
        let generator = create_ssd_anchors(SsdAnchorSettings::default());
        assert_eq!(generator.num_anchors_per_location(), [3, 6, 6, 6, 6, 6]);
        let shapes = [[19, 19], [10, 10], [5, 5], [3, 3], [2, 2], [1, 1]];
        let anchors = generator.generate(&shapes, [300, 300]);
        assert_eq!(anchors.len(), 1917);
        // The first is a square of 0.1 around the middle of the first of 19 × 19 cells.
        let centre = 0.5 / 19.0;
        for (value, wanted) in anchors[0].iter().zip([centre - 0.05, centre - 0.05, centre + 0.05, centre + 0.05]) {
            assert!((value - wanted).abs() < 1e-6);
        }
    }

    #[test]
    fn anchors_stay_square_on_a_wide_picture() {
        let settings = SsdAnchorSettings {
            num_layers: 1,
            scales: vec![0.5],
            aspect_ratios: vec![1.0],
            interpolated_scale_aspect_ratio: 0.0,
            reduce_boxes_in_lowest_layer: false,
            ..SsdAnchorSettings::default()
        };
        let anchors = create_ssd_anchors(settings).generate(&[[1, 1]], [100, 200]);
        assert_eq!(anchors, [[0.25, 0.375, 0.75, 0.625]]);
    }

    #[test]
    fn strides_and_offsets_are_pixels() {
        let settings = SsdAnchorSettings {
            num_layers: 1,
            scales: vec![0.2],
            aspect_ratios: vec![1.0],
            interpolated_scale_aspect_ratio: 0.0,
            reduce_boxes_in_lowest_layer: false,
            anchor_strides: Some(vec![[10.0, 20.0]]),
            anchor_offsets: Some(vec![[0.0, 10.0]]),
            ..SsdAnchorSettings::default()
        };
        let anchors = create_ssd_anchors(settings).generate(&[[2, 2]], [100, 100]);
        let centres: Vec<[f32; 2]> = anchors.iter().map(|a| [(a[0] + a[2]) / 2.0, (a[1] + a[3]) / 2.0]).collect();
        let wanted = [[0.0, 0.1], [0.0, 0.3], [0.1, 0.1], [0.1, 0.3]];
        for (centre, wanted) in centres.iter().zip(wanted) {
            assert!((centre[0] - wanted[0]).abs() < 1e-6 && (centre[1] - wanted[1]).abs() < 1e-6, "{centres:?}");
        }
    }
}
