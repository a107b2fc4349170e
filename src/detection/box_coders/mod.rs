//! Box coders: how a box is written relative to an anchor, which is what a network learns to answer.

mod faster_rcnn;
mod mean_stddev;
mod square;

pub use faster_rcnn::FasterRcnnBoxCoder;
pub use mean_stddev::MeanStddevBoxCoder;
pub use square::SquareBoxCoder;

/// Any of the coders: what the `box_coder` message of a config asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BoxCoder {
    /// `faster_rcnn_box_coder`.
    FasterRcnn(FasterRcnnBoxCoder),
    /// `mean_stddev_box_coder`.
    MeanStddev(MeanStddevBoxCoder),
    /// `square_box_coder`.
    Square(SquareBoxCoder),
}

impl Default for BoxCoder {
    fn default() -> Self {
        Self::FasterRcnn(FasterRcnnBoxCoder::default())
    }
}

impl BoxCoder {
    /// Numbers in a code.
    pub fn code_size(&self) -> usize {
        match self {
            Self::FasterRcnn(_) => FasterRcnnBoxCoder::CODE_SIZE,
            Self::MeanStddev(_) => MeanStddevBoxCoder::CODE_SIZE,
            Self::Square(_) => SquareBoxCoder::CODE_SIZE,
        }
    }

    /// Writes the code of a box `[ymin, xmin, ymax, xmax]` relative to an anchor.
    ///
    /// # Panics
    /// If `code` has not the length of [`code_size`](Self::code_size).
    pub fn encode(&self, bounds: [f32; 4], anchor: [f32; 4], code: &mut [f32]) {
        match self {
            Self::FasterRcnn(coder) => code.copy_from_slice(&coder.encode(bounds, anchor)),
            Self::MeanStddev(coder) => code.copy_from_slice(&coder.encode(bounds, anchor)),
            Self::Square(coder) => code.copy_from_slice(&coder.encode(bounds, anchor)),
        }
    }

    /// The box that a code stands for.
    ///
    /// # Panics
    /// If `code` is shorter than [`code_size`](Self::code_size).
    pub fn decode(&self, code: &[f32], anchor: [f32; 4]) -> [f32; 4] {
        match self {
            Self::FasterRcnn(coder) => coder.decode([code[0], code[1], code[2], code[3]], anchor),
            Self::MeanStddev(coder) => coder.decode([code[0], code[1], code[2], code[3]], anchor),
            Self::Square(coder) => coder.decode([code[0], code[1], code[2]], anchor),
        }
    }

    /// The boxes of a list of codes, one for each anchor.
    pub fn decode_all(&self, codes: &[f32], anchors: &[[f32; 4]]) -> Vec<[f32; 4]> {
        codes.chunks_exact(self.code_size()).zip(anchors).map(|(code, &anchor)| self.decode(code, anchor)).collect()
    }
}

impl From<FasterRcnnBoxCoder> for BoxCoder {
    fn from(coder: FasterRcnnBoxCoder) -> Self {
        Self::FasterRcnn(coder)
    }
}

/// Centre and size `[y, x, height, width]` of a box.
fn center_and_size([ymin, xmin, ymax, xmax]: [f32; 4]) -> [f32; 4] {
    let (h, w) = (ymax - ymin, xmax - xmin);
    [ymin + h / 2.0, xmin + w / 2.0, h, w]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_coder_writes_as_many_numbers_as_it_says() {
        let anchors = [[0.1, 0.2, 0.5, 0.6], [0.4, 0.4, 0.9, 0.9]];
        for coder in [
            BoxCoder::default(),
            BoxCoder::MeanStddev(MeanStddevBoxCoder::default()),
            BoxCoder::Square(SquareBoxCoder::default()),
        ] {
            let mut codes = vec![f32::NAN; 2 * coder.code_size()];
            for (code, &anchor) in codes.chunks_exact_mut(coder.code_size()).zip(&anchors) {
                coder.encode([0.3, 0.3, 0.7, 0.7], anchor, code);
            }
            for back in coder.decode_all(&codes, &anchors) {
                for (a, b) in back.iter().zip([0.3, 0.3, 0.7, 0.7]) {
                    assert!((a - b).abs() < 1e-5, "{coder:?}: {back:?}");
                }
            }
        }
    }
}
