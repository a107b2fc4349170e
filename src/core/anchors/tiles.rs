//! One grid of anchors: the same few boxes around each centre. Every generator is made of these.

use super::BoxSpec;

/// Anchors on a regular grid, in whatever unit its generator uses: fractions of the picture or pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct AnchorGrid {
    /// Rows and columns.
    pub shape: [usize; 2],
    /// Distance between neighbours, `[y, x]`.
    pub stride: [f32; 2],
    /// Centre of the first anchor, `[y, x]`.
    pub offset: [f32; 2],
    /// Half the height and half the width of each anchor around a centre, in order.
    pub half_sizes: Vec<[f32; 2]>,
}

impl AnchorGrid {
    /// Half the height and width of anchors of these shapes, where scale 1 is as large as `base`.
    pub(super) fn half_sizes(specs: impl IntoIterator<Item = BoxSpec>, base: [f32; 2]) -> Vec<[f32; 2]> {
        let half = |spec: BoxSpec| {
            let root = spec.aspect_ratio.sqrt();
            [0.5 * (spec.scale / root * base[0]), 0.5 * (spec.scale * root * base[1])]
        };
        specs.into_iter().map(half).collect()
    }

    /// How many anchors the grid has.
    pub fn len(&self) -> usize {
        self.shape[0] * self.shape[1] * self.half_sizes.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds the anchors as `[ymin, xmin, ymax, xmax]`: row, column, and the shape fastest.
    pub fn append_to(&self, anchors: &mut Vec<[f32; 4]>) {
        anchors.reserve(self.len());
        for row in 0..self.shape[0] {
            let y = row as f32 * self.stride[0] + self.offset[0];
            for column in 0..self.shape[1] {
                let x = column as f32 * self.stride[1] + self.offset[1];
                anchors.extend(self.half_sizes.iter().map(|[h, w]| [y - h, x - w, y + h, x + w]));
            }
        }
    }

    /// The best intersection over union that any anchor has with a box `[ymin, xmin, ymax, xmax]`.
    ///
    /// Overlap only shrinks as two centres move apart, on each axis by itself, so of each shape it is the
    /// anchor whose centre lies nearest: no other has to be tried.
    pub fn best_iou(&self, target: [f32; 4]) -> f32 {
        if self.is_empty() {
            return 0.0;
        }
        let target = target.map(f64::from);
        let size = [target[2] - target[0], target[3] - target[1]];
        if !(size[0] > 0.0 && size[1] > 0.0) {
            return 0.0;
        }
        let distance: [f64; 2] = [0, 1].map(|axis| {
            let centre = 0.5 * (target[axis] + target[axis + 2]);
            let (stride, offset) = (f64::from(self.stride[axis]), f64::from(self.offset[axis]));
            let last = (self.shape[axis] - 1) as f64;
            let nearest = if stride > 0.0 { ((centre - offset) / stride).round().clamp(0.0, last) } else { 0.0 };
            (centre - (nearest * stride + offset)).abs()
        });
        let iou = |half: &[f32; 2]| {
            let anchor = half.map(|half| 2.0 * f64::from(half));
            let overlap = [0, 1].map(|axis| {
                (0.5 * (size[axis] + anchor[axis]) - distance[axis]).min(size[axis]).min(anchor[axis]).max(0.0)
            });
            let both = overlap[0] * overlap[1];
            both / (size[0] * size[1] + anchor[0] * anchor[1] - both)
        };
        self.half_sizes.iter().map(iou).fold(0.0, f64::max) as f32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::NormalizedBox;

    proptest! {
        #[test]
        fn the_nearest_centre_is_the_best(
            (rows, columns) in (1usize..6, 1usize..6),
            (sy, sx) in (0.05f32..0.4, 0.05f32..0.4),
            (oy, ox) in (-0.1f32..0.3, -0.1f32..0.3),
            halves in prop::collection::vec((0.01f32..0.6, 0.01f32..0.6), 1..4),
            (y, x, h, w) in (-0.2f32..1.0, -0.2f32..1.0, 0.01f32..0.9, 0.01f32..0.9),
        ) {
            let half_sizes = halves.iter().map(|&(h, w)| [h, w]).collect();
            let grid = AnchorGrid { shape: [rows, columns], stride: [sy, sx], offset: [oy, ox], half_sizes };
            let target = [y, x, y + h, x + w];
            let mut all = Vec::new();
            grid.append_to(&mut all);
            prop_assert_eq!(all.len(), grid.len());
            let one = NormalizedBox::from_array(target);
            let tried = all.iter().map(|&anchor| NormalizedBox::from_array(anchor).iou(&one)).fold(0.0, f32::max);
            prop_assert!((grid.best_iou(target) - tried).abs() < 1e-4, "{} {tried}", grid.best_iou(target));
        }
    }

    #[test]
    fn a_box_without_area_matches_nothing() {
        let grid = AnchorGrid { shape: [1, 1], stride: [1.0; 2], offset: [0.5; 2], half_sizes: vec![[0.5, 0.5]] };
        assert_eq!(grid.best_iou([0.5, 0.2, 0.5, 0.8]), 0.0);
        assert_eq!(grid.best_iou([f32::NAN, 0.2, 0.5, 0.8]), 0.0);
        assert_eq!(grid.best_iou([0.0, 0.0, 1.0, 1.0]), 1.0);
        assert_eq!(AnchorGrid { shape: [0, 4], ..grid }.best_iou([0.0, 0.0, 1.0, 1.0]), 0.0);
    }
}
