//! The box coder of the first multibox detectors (TFOD's `mean_stddev_box_coder`): the difference of each edge to
//! the anchor's, in units of one standard deviation.

/// Encodes boxes `[ymin, xmin, ymax, xmax]` as the differences of their edges to an anchor's, and back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanStddevBoxCoder {
    /// What differences are divided by.
    pub stddev: f32,
}

impl Default for MeanStddevBoxCoder {
    fn default() -> Self {
        Self { stddev: 0.01 }
    }
}

impl MeanStddevBoxCoder {
    /// Numbers in a code.
    pub const CODE_SIZE: usize = 4;

    /// A box relative to an anchor.
    pub fn encode(&self, bounds: [f32; 4], anchor: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| (bounds[i] - anchor[i]) / self.stddev)
    }

    /// The box that a code stands for.
    pub fn decode(&self, code: [f32; 4], anchor: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| code[i] * self.stddev + anchor[i])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_by_hand() {
        let coder = MeanStddevBoxCoder { stddev: 0.5 };
        let (bounds, anchor) = ([0.0, 0.25, 1.0, 0.75], [0.25, 0.0, 0.5, 1.0]);
        let code = coder.encode(bounds, anchor);
        assert_eq!(code, [-0.5, 0.5, 1.0, -0.5]);
        assert_eq!(coder.decode(code, anchor), bounds);
    }
}
