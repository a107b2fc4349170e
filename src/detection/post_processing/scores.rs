//! The scores of all anchors and classes, worked out where they are looked at.

/// Values `[anchors, columns]`, of which some first columns are no classes, and how they become scores: in a way that
/// keeps their order.
pub(super) struct Scores<'a> {
    values: &'a [f32],
    columns: usize,
    background: usize,
    scale: f32,
    sigmoid: bool,
}

impl<'a> Scores<'a> {
    /// Scores as they are, without background.
    pub(super) fn converted(values: &'a [f32], classes: usize) -> Self {
        Self { values, columns: classes, background: 0, scale: 1.0, sigmoid: false }
    }

    /// Values that a factor above 0 makes scores, background in column 0.
    pub(super) fn scaled(values: &'a [f32], columns: usize, scale: f32) -> Self {
        Self { values, columns, background: 1, scale, sigmoid: false }
    }

    /// Values that a factor above 0 and the logistic function make scores, background in column 0.
    pub(super) fn sigmoid(values: &'a [f32], columns: usize, scale: f32) -> Self {
        Self { values, columns, background: 1, scale, sigmoid: true }
    }

    pub(super) fn anchors(&self) -> usize {
        self.values.len().checked_div(self.columns).unwrap_or(0)
    }

    /// Without background.
    pub(super) fn classes(&self) -> usize {
        self.columns.saturating_sub(self.background)
    }

    /// The values of each anchor's classes.
    pub(super) fn rows(&self) -> impl Iterator<Item = &'a [f32]> {
        let background = self.background;
        self.values.chunks_exact(self.columns.max(1)).take(self.anchors()).map(move |row| &row[background..])
    }

    /// The score of a value; of a larger value it is not smaller, but for rounding.
    pub(super) fn score(&self, value: f32) -> f32 {
        let scaled = value * self.scale;
        if self.sigmoid { super::score_converter::logistic(scaled) } else { scaled }
    }

    /// All scores, `[anchors, classes]`.
    pub(super) fn to_vec(&self) -> Vec<f32> {
        self.rows().flatten().map(|&value| self.score(value)).collect()
    }
}
