//! Where a kernel lies on its input: padding, stride, and the size of what comes out.

use crate::layer_shape::Window;

/// Rows and columns of zeros around the input of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns at the left.
    pub left: usize,
    /// Columns at the right.
    pub right: usize,
}

impl Padding {
    /// No padding: TensorFlow's VALID.
    pub const fn valid() -> Self {
        Self { top: 0, bottom: 0, left: 0, right: 0 }
    }

    /// TensorFlow's SAME: the output has `ceil(input / stride)` rows and columns, and where the padding is odd,
    /// the larger part goes below and to the right. It depends on the size of the input, not only on the kernel.
    ///
    /// Sizes are `[height, width]`. A zero stride counts as one.
    pub fn same(input: [usize; 2], kernel: [usize; 2], stride: [usize; 2]) -> Self {
        let split = |axis: usize| {
            let stride = stride[axis].max(1);
            let output = input[axis].div_ceil(stride);
            let reach = output.saturating_sub(1) * stride + kernel[axis];
            let total = reach.saturating_sub(input[axis]);
            (total / 2, total - total / 2)
        };
        let ((top, bottom), (left, right)) = (split(0), split(1));
        Self { top, bottom, left, right }
    }

    /// The same padding on all four sides.
    pub const fn all(size: usize) -> Self {
        Self { top: size, bottom: size, left: size, right: size }
    }
}

/// Rows that a kernel of so many rows covers when they lie `dilation` apart.
pub const fn dilated_size(kernel: usize, dilation: usize) -> usize {
    kernel.saturating_sub(1) * dilation + 1
}

/// A convolution or a pooling without its tensors. Pairs are `[height, width]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConvGeometry {
    pub input: [usize; 2],
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    /// Rows and columns of the input from one weight to the next, at least 1.
    pub dilation: [usize; 2],
    pub padding: Padding,
    pub output: [usize; 2],
}

impl ConvGeometry {
    /// Checks that the kernel fits and works out the output size.
    pub fn new(operator: &str, input: [usize; 2], kernel: [usize; 2], stride: [usize; 2], padding: Padding) -> Self {
        Self::dilated(operator, input, kernel, stride, [1, 1], padding)
    }

    /// With weights that lie apart.
    pub fn dilated(
        operator: &str,
        input: [usize; 2],
        kernel: [usize; 2],
        stride: [usize; 2],
        dilation: [usize; 2],
        padding: Padding,
    ) -> Self {
        assert!(stride[0] > 0 && stride[1] > 0, "{operator}: the stride {stride:?} must be at least 1");
        assert!(dilation[0] > 0 && dilation[1] > 0, "{operator}: the dilation {dilation:?} must be at least 1");
        let padded = [input[0] + padding.top + padding.bottom, input[1] + padding.left + padding.right];
        let reach = [0, 1].map(|axis| dilated_size(kernel[axis], dilation[axis]));
        assert!(
            (0..2).all(|axis| 0 < kernel[axis] && reach[axis] <= padded[axis]),
            "{operator}: the kernel {kernel:?} does not fit the input {input:?} with {padding:?}"
        );
        let output = [0, 1].map(|axis| (padded[axis] - reach[axis]) / stride[axis] + 1);
        Self { input, kernel, stride, dilation, padding, output }
    }

    /// How the kernel lies, without the input.
    pub fn window(&self) -> Window {
        let Self { kernel, stride, dilation, padding, .. } = *self;
        Window { kernel, stride, dilation, padding }
    }

    /// Height and width of the input with its padding.
    pub fn padded(&self) -> [usize; 2] {
        [self.input[0] + self.padding.top + self.padding.bottom, self.input[1] + self.padding.left + self.padding.right]
    }

    /// The padding before the first row and the first column.
    pub fn lead(&self) -> [usize; 2] {
        [self.padding.top, self.padding.left]
    }

    /// The rows (axis 0) or columns (axis 1) of the input, without padding, that the kernel covers at this output
    /// row or column, where its weights lie side by side.
    pub fn covered(&self, axis: usize, output: usize) -> std::ops::Range<usize> {
        let first = output * self.stride[axis];
        let lead = self.lead()[axis];
        first.saturating_sub(lead)..(first + self.kernel[axis]).saturating_sub(lead).min(self.input[axis])
    }

    /// A matrix product on the planes as they are: 1×1, no stride, no padding.
    pub fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.padding == Padding::valid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn padding(top: usize, bottom: usize, left: usize, right: usize) -> Padding {
        Padding { top, bottom, left, right }
    }

    #[test]
    fn same_padding_worked_by_hand() {
        // 300 with stride 2: 150 outputs reach (150 − 1)·2 + 3 = 301, one column more than there is.
        assert_eq!(Padding::same([300, 300], [3, 3], [2, 2]), padding(0, 1, 0, 1));
        // 75 → 38 outputs, reach 77: one on either side.
        assert_eq!(Padding::same([75, 75], [3, 3], [2, 2]), Padding::all(1));
        assert_eq!(Padding::same([19, 10], [3, 3], [1, 1]), Padding::all(1));
        // A height of 6 and a width of 7 differ.
        assert_eq!(Padding::same([6, 7], [3, 3], [2, 2]), padding(0, 1, 1, 1));
        // 1×1 with stride 2 needs none, and an even kernel pads below and to the right.
        assert_eq!(Padding::same([6, 7], [1, 1], [2, 2]), Padding::valid());
        assert_eq!(Padding::same([5, 5], [2, 2], [1, 1]), padding(0, 1, 0, 1));
        assert_eq!(Padding::same([1, 1], [3, 3], [2, 2]), Padding::all(1));
    }

    #[test]
    fn output_size() {
        let size = |input, kernel, stride, padding| ConvGeometry::new("test", input, kernel, stride, padding).output;
        let same = Padding::same([300, 299], [3, 3], [2, 2]);
        assert_eq!(size([300, 299], [3, 3], [2, 2], same), [150, 150]);
        assert_eq!(size([10, 10], [3, 3], [2, 2], Padding::valid()), [4, 4]);
        assert_eq!(size([3, 1], [3, 1], [1, 1], Padding::valid()), [1, 1]);
    }

    #[test]
    #[should_panic(expected = "does not fit")]
    fn a_kernel_larger_than_the_input_is_refused() {
        ConvGeometry::new("test", [2, 2], [3, 3], [1, 1], Padding::valid());
    }
}
