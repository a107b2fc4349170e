//! How logits become scores.

/// How logits become scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScoreConverter {
    /// They are scores already.
    #[default]
    Identity,
    /// Each class by itself.
    Sigmoid,
    /// All classes of an anchor share 1.
    Softmax,
}

impl ScoreConverter {
    /// Converts the logits of one or more anchors, each a row of `columns`, after dividing them by `logit_scale`.
    pub fn convert(self, logits: &[f32], columns: usize, logit_scale: f32) -> Vec<f32> {
        let inverse = 1.0 / logit_scale;
        let mut scores: Vec<f32> = logits.iter().map(|&logit| logit * inverse).collect();
        match self {
            Self::Identity => {}
            Self::Sigmoid => scores.iter_mut().for_each(|score| *score = logistic(*score)),
            Self::Softmax => scores.chunks_mut(columns.max(1)).for_each(|row| {
                let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                row.iter_mut().for_each(|score| *score = (*score - largest).exp());
                let sum: f32 = row.iter().sum();
                row.iter_mut().for_each(|score| *score /= sum);
            }),
        }
        scores
    }
}

/// `1 / (1 + exp(−x))`.
pub(super) fn logistic(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_by_hand() {
        assert_eq!(ScoreConverter::Identity.convert(&[3.0], 1, 2.0), [1.5]);
        assert_eq!(ScoreConverter::Sigmoid.convert(&[0.0, f32::NEG_INFINITY], 2, 1.0), [0.5, 0.0]);
        assert_eq!(ScoreConverter::Softmax.convert(&[1000.0, 1000.0], 2, 1.0), [0.5, 0.5]);
        let softened = ScoreConverter::Softmax.convert(&[0.0, 2.0 * 3f32.ln()], 2, 2.0);
        assert!((softened[1] - 0.75).abs() < 1e-6, "{softened:?}");
    }
}
