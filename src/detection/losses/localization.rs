//! How far predicted box codes are from their targets.

use burn::tensor::Tensor;

use super::with_gradient;

/// A loss on box codes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LocalizationLoss {
    /// `weighted_smooth_l1`, Huber's loss: `e² / 2` up to `delta`, a straight line beyond.
    SmoothL1 {
        /// Where the line begins.
        delta: f32,
    },
    /// `weighted_l2`: `e² / 2`, where TFOD weights the error and so squares the weight.
    L2,
    /// `weighted_iou`: 1 less the intersection over union of what is predicted and the target, taken as boxes
    /// `[ymin, xmin, ymax, xmax]`. TFOD's meta-architectures hand it box codes without decoding them.
    Iou,
    /// `weighted_giou`: the same with the generalized intersection over union.
    Giou,
}

impl LocalizationLoss {
    /// The loss of each anchor, summed over its code and weighted.
    ///
    /// # Shapes
    /// - `prediction`, `target`: `[batch, anchors, code size]`, `weights`: `[batch, anchors]`
    /// - result: `[batch, anchors]`
    ///
    /// # Panics
    /// If a code of another size than 4 is taken for a box.
    pub fn forward(self, prediction: Tensor<3>, target: Tensor<3>, weights: Tensor<2>) -> Tensor<2> {
        let [batch, anchors, _] = prediction.dims();
        let detached = prediction.clone().detach();
        let (entries, weights) = match self {
            Self::SmoothL1 { delta } => {
                let error = detached - target;
                let gradient = error.clone().clamp(-delta, delta);
                // With q the clamped error: q·e − q²/2 is e²/2 inside and delta·(|e| − delta/2) outside.
                let value = gradient.clone() * (error - gradient.clone() * 0.5);
                (with_gradient(prediction, value, gradient), weights)
            }
            Self::L2 => {
                let error = detached - target;
                (with_gradient(prediction, error.clone().square() * 0.5, error), weights.square())
            }
            Self::Iou | Self::Giou => {
                let overlap = Overlap::new(&detached, &target);
                let (similarity, slopes) = if self == Self::Iou { overlap.iou() } else { overlap.giou() };
                // The value stands in the first of the four entries; their sum is the loss.
                let value = Tensor::cat(vec![-similarity.clone() + 1.0, similarity.zeros_like().repeat_dim(2, 3)], 2);
                let gradient = Tensor::cat(slopes.map(|slope| -slope).into(), 2);
                (with_gradient(prediction, value, gradient), weights)
            }
        };
        entries.sum_dim(2).reshape([batch, anchors]) * weights
    }
}

/// One number for each anchor, `[batch, anchors, 1]`.
type Column = Tensor<3>;

/// How boxes overlap their targets, and how each edge `[ymin, xmin, ymax, xmax]` of a box changes that. Where a box and
/// its target have an edge in common the box counts as the one that decides, as in TensorFlow.
struct Overlap {
    intersection: Column,
    intersection_slopes: [Column; 4],
    union: Column,
    union_slopes: [Column; 4],
    hull: Column,
    hull_slopes: [Column; 4],
}

impl Overlap {
    fn new(boxes: &Tensor<3>, targets: &Tensor<3>) -> Self {
        let p: [Column; 4] = std::array::from_fn(|edge| boxes.clone().narrow(2, edge, 1));
        let t: [Column; 4] = std::array::from_fn(|edge| targets.clone().narrow(2, edge, 1));
        let [y, x] = [0, 1].map(|axis| Extent::new(&p[axis], &p[axis + 2], &t[axis], &t[axis + 2]));
        // An edge moves the area by the length along the other axis.
        let slopes = |of: fn(&Extent) -> [&Column; 3]| -> [Column; 4] {
            std::array::from_fn(|edge| {
                let (along, across) = if edge % 2 == 0 { (&y, &x) } else { (&x, &y) };
                let [by_low, by_high, _] = of(along);
                let [_, _, length] = of(across);
                (if edge < 2 { by_low } else { by_high }).clone() * length.clone()
            })
        };
        let intersection = y.common.clone() * x.common.clone();
        let intersection_slopes = slopes(|e| [&e.common_by_low, &e.common_by_high, &e.common]);
        let area_slopes = slopes(|e| [&e.minus_one, &e.one, &e.own]);
        let union = y.own.clone() * x.own.clone() + y.target.clone() * x.target.clone() - intersection.clone();
        let union_slopes = std::array::from_fn(|edge| area_slopes[edge].clone() - intersection_slopes[edge].clone());
        let hull = y.hull.clone() * x.hull.clone();
        let hull_slopes = slopes(|e| [&e.hull_by_low, &e.hull_by_high, &e.hull]);
        Self { intersection, intersection_slopes, union, union_slopes, hull, hull_slopes }
    }

    /// Intersection over union, 0 where nothing is in common, and its slopes.
    fn iou(&self) -> (Column, [Column; 4]) {
        let apart = self.intersection.clone().equal_elem(0.0);
        let (iou, slopes) = self.ratio();
        (iou.mask_fill(apart.clone(), 0.0), slopes.map(|slope| slope.mask_fill(apart.clone(), 0.0)))
    }

    /// Generalized intersection over union, 0 where both boxes are empty in one place, and its slopes.
    fn giou(&self) -> (Column, [Column; 4]) {
        let (iou, iou_slopes) = self.ratio();
        let empty = self.hull.clone().lower_equal_elem(0.0);
        let hull = self.hull.clone().mask_fill(empty.clone(), 1.0);
        let filled = self.union.clone() / hull.clone();
        // iou − (hull − union) / hull
        let giou = (iou + filled.clone() - 1.0).mask_fill(empty.clone(), 0.0);
        let slopes = std::array::from_fn(|edge| {
            let of_filled =
                (self.union_slopes[edge].clone() - filled.clone() * self.hull_slopes[edge].clone()) / hull.clone();
            (iou_slopes[edge].clone() + of_filled).mask_fill(empty.clone(), 0.0)
        });
        (giou, slopes)
    }

    /// Intersection over union, 0 where there is no union, and its slopes.
    fn ratio(&self) -> (Column, [Column; 4]) {
        let nothing = self.union.clone().equal_elem(0.0);
        let union = self.union.clone().mask_fill(nothing.clone(), 1.0);
        let ratio = (self.intersection.clone() / union.clone()).mask_fill(nothing.clone(), 0.0);
        let slopes = std::array::from_fn(|edge| {
            let change = self.intersection_slopes[edge].clone() - ratio.clone() * self.union_slopes[edge].clone();
            (change / union.clone()).mask_fill(nothing.clone(), 0.0)
        });
        (ratio, slopes)
    }
}

/// Boxes and targets along one axis: lengths, and how the box's two edges change them.
struct Extent {
    own: Column,
    target: Column,
    common: Column,
    common_by_low: Column,
    common_by_high: Column,
    hull: Column,
    hull_by_low: Column,
    hull_by_high: Column,
    one: Column,
    minus_one: Column,
}

impl Extent {
    fn new(low: &Column, high: &Column, target_low: &Column, target_high: &Column) -> Self {
        let later = |a: &Column, b: &Column| a.clone().max_pair(b.clone());
        let sooner = |a: &Column, b: &Column| a.clone().min_pair(b.clone());
        let common = sooner(high, target_high) - later(low, target_low);
        let overlaps = common.clone().greater_elem(0.0).float();
        Self {
            own: high.clone() - low.clone(),
            target: target_high.clone() - target_low.clone(),
            common: common.clamp_min(0.0),
            common_by_low: -(low.clone().greater_equal(target_low.clone()).float()) * overlaps.clone(),
            common_by_high: high.clone().lower_equal(target_high.clone()).float() * overlaps,
            hull: later(high, target_high) - sooner(low, target_low),
            hull_by_low: -(low.clone().lower_equal(target_low.clone()).float()),
            hull_by_high: high.clone().greater_equal(target_high.clone()).float(),
            one: low.ones_like(),
            minus_one: -low.ones_like(),
        }
    }
}
