//! How alike two boxes are: what a matcher compares (TFOD's `region_similarity_calculator`).

/// A measure of similarity between boxes `[ymin, xmin, ymax, xmax]`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum RegionSimilarity {
    /// Intersection over union.
    #[default]
    Iou,
    /// Intersection over the area of the second box.
    Ioa,
    /// The negative squared distance between the coordinates.
    NegSqDist,
    /// 1 (TFOD: the score of the groundtruth box, which is 1 for every class but background) where the
    /// intersection over union is above the threshold, else 0.
    ThresholdedIou {
        /// The threshold.
        iou_threshold: f32,
    },
}

/// The similarity of each of one list of boxes (rows) to each of another (columns).
#[derive(Clone, Debug, PartialEq)]
pub struct SimilarityMatrix {
    columns: usize,
    values: Vec<f32>,
}

impl SimilarityMatrix {
    /// A matrix from its values, row by row.
    ///
    /// # Panics
    /// If the values do not fill whole rows.
    pub fn new(columns: usize, values: Vec<f32>) -> Self {
        assert!(values.is_empty() || values.len().is_multiple_of(columns), "rows of {columns} values");
        Self { columns, values }
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The rows.
    pub fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.columns.max(1))
    }
}

impl RegionSimilarity {
    /// Compares every box of `rows` (groundtruth) with every box of `columns` (anchors).
    pub fn compare(self, rows: &[[f32; 4]], columns: &[[f32; 4]]) -> SimilarityMatrix {
        let mut values = Vec::with_capacity(rows.len() * columns.len());
        for row in rows {
            values.extend(columns.iter().map(|column| self.of(*row, *column)));
        }
        SimilarityMatrix::new(columns.len(), values)
    }

    /// The similarity of two boxes.
    pub fn of(self, a: [f32; 4], b: [f32; 4]) -> f32 {
        match self {
            Self::Iou => iou(a, b),
            Self::Ioa => intersection(a, b) / area(b),
            Self::ThresholdedIou { iou_threshold } => f32::from(u8::from(iou(a, b) > iou_threshold)),
            Self::NegSqDist => -(0..4).map(|i| (a[i] - b[i]) * (a[i] - b[i])).sum::<f32>(),
        }
    }
}

/// Height times width; negative where a box is turned inside out in one direction, as in TFOD.
pub fn area([ymin, xmin, ymax, xmax]: [f32; 4]) -> f32 {
    (ymax - ymin) * (xmax - xmin)
}

/// The area that two boxes have in common.
pub fn intersection(a: [f32; 4], b: [f32; 4]) -> f32 {
    let height = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
    let width = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    height * width
}

/// Intersection over union; 0 where nothing is in common, so that empty boxes give a number.
pub fn iou(a: [f32; 4], b: [f32; 4]) -> f32 {
    let common = intersection(a, b);
    if common == 0.0 { 0.0 } else { common / (area(a) + area(b) - common) }
}

/// Generalized intersection over union: less the part of the smallest box around both that neither fills, so that
/// boxes apart from each other differ too. From -1 to 1.
pub fn giou(a: [f32; 4], b: [f32; 4]) -> f32 {
    let common = intersection(a, b);
    let union = area(a) + area(b) - common;
    let iou = if union == 0.0 { 0.0 } else { common / union };
    let hull = area([a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])]);
    iou - if hull > 0.0 { (hull - union) / hull } else { iou }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [f32; 4] = [0.0, 0.0, 2.0, 2.0];
    const B: [f32; 4] = [1.0, 1.0, 3.0, 2.0];

    #[test]
    fn worked_by_hand() {
        // 1 in common; areas 4 and 2.
        assert_eq!(iou(A, B), 0.2);
        assert_eq!(RegionSimilarity::Ioa.of(A, B), 0.5);
        assert_eq!(RegionSimilarity::NegSqDist.of(A, B), -3.0);
        assert_eq!(RegionSimilarity::ThresholdedIou { iou_threshold: 0.1 }.of(A, B), 1.0);
        assert_eq!(RegionSimilarity::ThresholdedIou { iou_threshold: 0.2 }.of(A, B), 0.0);
        // The box around both has an area of 6, of which 5 are filled.
        assert!((giou(A, B) - (0.2 - 1.0 / 6.0)).abs() < 1e-6);
        assert_eq!(giou([0.0, 0.0, 1.0, 1.0], [0.0, 3.0, 1.0, 4.0]), -0.5);
        assert_eq!(giou([0.5; 4], [0.5; 4]), 0.0);
    }

    #[test]
    fn empty_boxes_and_empty_lists() {
        assert_eq!(iou([0.5; 4], [0.5; 4]), 0.0);
        let none = RegionSimilarity::Iou.compare(&[], &[A, B]);
        assert_eq!((none.columns(), none.rows().count()), (2, 0));
        assert_eq!(RegionSimilarity::Iou.compare(&[A], &[]).rows().count(), 0);
    }

    #[test]
    fn rows_are_the_first_list() {
        let matrix = RegionSimilarity::Iou.compare(&[A], &[A, B]);
        assert_eq!(matrix.rows().collect::<Vec<_>>(), [[1.0, 0.2]]);
    }
}
