//! The layers of MobileNet v3 and MobileDet: what they leave behind for the backward pass, and the channels of the maps
//! that they give away.

use super::Tracer;

/// Which of the networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mobile {
    V3Large,
    V3Small,
    DetCpu,
    DetDsp,
    DetEdgeTpu,
    DetGpu,
}

impl Mobile {
    /// The network of a type name.
    pub(super) fn of(network: &str) -> Option<Self> {
        Some(match network {
            "ssd_mobilenet_v3_large" => Self::V3Large,
            "ssd_mobilenet_v3_small" => Self::V3Small,
            "ssd_mobiledet_cpu" => Self::DetCpu,
            "ssd_mobiledet_dsp" => Self::DetDsp,
            "ssd_mobiledet_edgetpu" => Self::DetEdgeTpu,
            "ssd_mobiledet_gpu" => Self::DetGpu,
            _ => return None,
        })
    }

    /// Runs the network, and returns the channels of its maps of stride 8, 16 and 32. `padded`: whether MobileNet v3 pads
    /// the inputs of its bottlenecks.
    pub(super) fn run(self, t: &mut Tracer, multiplier: f64, least: usize, padded: bool) -> [usize; 3] {
        match self {
            Self::V3Large => mobilenet_v3(t, &V3_LARGE, 480, multiplier, least, padded),
            Self::V3Small => mobilenet_v3(t, &V3_SMALL, 288, multiplier, least, padded),
            Self::DetCpu => mobiledet(t, 16, DET_CPU, true, multiplier),
            Self::DetDsp => mobiledet(t, 32, DET_DSP, false, multiplier),
            Self::DetEdgeTpu => mobiledet(t, 32, DET_EDGE_TPU, false, multiplier),
            Self::DetGpu => mobiledet(t, 32, DET_GPU, false, multiplier),
        }
    }
}

impl Tracer {
    /// The hard swish behind a convolution: its input stays as well.
    fn swish(&mut self, swishes: bool) {
        if swishes {
            self.activations += self.area() * self.depth as f64;
        }
    }

    /// Weights for the channels, from their means squeezed to so many: the weighted map stays, and next to nothing else.
    fn squeeze_excite(&mut self, squeezed: usize) {
        self.parameters += (2 * self.depth * squeezed + self.depth + squeezed) as f64;
        self.activations += self.area() * self.depth as f64;
    }

    fn residual(&mut self) {
        self.activations += self.area() * self.depth as f64;
    }
}

/// Expansion, depth, kernel, stride, whether it squeezes and whether it swishes.
type V3Row = (f64, usize, usize, usize, bool, bool);

const V3_LARGE: [V3Row; 15] = [
    (1.0, 16, 3, 1, false, false),
    (4.0, 24, 3, 2, false, false),
    (3.0, 24, 3, 1, false, false),
    (3.0, 40, 5, 2, true, false),
    (3.0, 40, 5, 1, true, false),
    (3.0, 40, 5, 1, true, false),
    (6.0, 80, 3, 2, false, true),
    (2.5, 80, 3, 1, false, true),
    (2.3, 80, 3, 1, false, true),
    (2.3, 80, 3, 1, false, true),
    (6.0, 112, 3, 1, true, true),
    (6.0, 112, 3, 1, true, true),
    (6.0, 80, 5, 2, true, true),
    (6.0, 80, 5, 1, true, true),
    (6.0, 80, 5, 1, true, true),
];

const V3_SMALL: [V3Row; 11] = [
    (1.0, 16, 3, 2, true, false),
    (4.5, 24, 3, 2, false, false),
    (88.0 / 24.0, 24, 3, 1, false, false),
    (4.0, 40, 5, 2, true, true),
    (6.0, 40, 5, 1, true, true),
    (6.0, 40, 5, 1, true, true),
    (3.0, 48, 5, 1, true, true),
    (3.0, 48, 5, 1, true, true),
    (6.0, 48, 5, 2, true, true),
    (6.0, 48, 5, 1, true, true),
    (6.0, 48, 5, 1, true, true),
];

/// The nearest multiple of eight, not below nine tenths.
fn divisible(depth: f64, least: usize) -> usize {
    let rounded = ((depth + 4.0) as usize / 8 * 8).max(least).max(1);
    if (rounded as f64) < 0.9 * depth { rounded + 8 } else { rounded }
}

fn mobilenet_v3(
    t: &mut Tracer,
    rows: &[V3Row],
    last: usize,
    multiplier: f64,
    least: usize,
    padded: bool,
) -> [usize; 3] {
    let sized = |depth: usize| divisible(depth as f64 * multiplier, least);
    t.conv(3, 2, sized(16));
    t.swish(true);
    let (mut maps, halving) = ([t.depth; 3], rows.iter().rposition(|row| row.3 == 2));
    for (i, &(expansion, depth, kernel, stride, squeezes, swishes)) in rows.iter().enumerate() {
        if padded {
            t.size = t.size.map(|side| side + kernel - 1);
            t.residual();
        }
        let widened = divisible(t.depth as f64 * expansion, 8);
        if widened > t.depth {
            t.conv(1, 1, widened);
            t.swish(swishes);
        }
        if halving == Some(i) {
            maps[1] = t.depth;
            t.given.push(t.size);
        }
        let added = stride == 1 && i > 0 && rows[i - 1].1 == depth;
        t.depthwise(kernel, stride);
        t.swish(swishes);
        if squeezes {
            t.squeeze_excite(divisible(t.depth as f64 / 4.0, 8));
        }
        t.conv(1, 1, sized(depth));
        if added {
            t.residual();
        }
    }
    t.conv(1, 1, sized(last));
    t.swish(true);
    t.given.push(t.size);
    maps[2] = t.depth;
    maps
}

/// What a block of MobileDet is, its depth, kernel, stride, and whether its input is added.
type DetRow = (Kind, usize, usize, usize, bool);

#[derive(Clone, Copy)]
enum Kind {
    /// Depthwise only.
    Plain,
    /// Widened, depthwise.
    Inverted(usize),
    /// Widened by a full convolution.
    Fused(usize),
    /// Narrowed, a full convolution: quarters of the input's and of the output's depth.
    Tucker(usize, usize),
}

use Kind::{Fused as F, Inverted as I, Tucker as T};

#[rustfmt::skip]
const DET_CPU: &[DetRow] = &[
    (Kind::Plain, 8, 3, 1, false), (I(4), 16, 3, 2, false), (I(8), 32, 3, 2, false), (I(4), 32, 3, 1, true),
    (I(4), 32, 3, 1, true), (I(4), 32, 3, 1, true), (I(8), 72, 5, 2, false), (I(8), 72, 3, 1, true), (I(4), 72, 5, 1, true),
    (I(4), 72, 3, 1, true), (I(8), 72, 3, 1, false), (I(8), 72, 3, 1, true), (I(8), 72, 3, 1, true), (I(8), 72, 3, 1, true),
    (I(8), 104, 5, 2, false), (I(4), 104, 5, 1, true), (I(4), 104, 5, 1, true), (I(4), 104, 3, 1, true),
    (I(8), 144, 3, 1, false),
];

#[rustfmt::skip]
const DET_DSP: &[DetRow] = &[
    (Kind::Plain, 24, 3, 1, false), (F(4), 32, 3, 2, false), (F(4), 32, 3, 1, true), (I(4), 32, 3, 1, true),
    (T(1, 3), 32, 3, 1, true), (F(8), 64, 3, 2, false), (I(4), 64, 3, 1, true), (F(4), 64, 3, 1, true), (F(4), 64, 3, 1, true),
    (F(8), 120, 3, 2, false), (I(4), 120, 3, 1, true), (I(8), 120, 3, 1, true), (I(8), 120, 3, 1, true),
    (F(8), 144, 3, 1, false), (I(8), 144, 3, 1, true), (I(8), 144, 3, 1, true), (I(8), 144, 3, 1, true),
    (I(4), 160, 3, 2, false), (I(4), 160, 3, 1, true), (F(4), 160, 3, 1, true), (T(3, 3), 160, 3, 1, true),
    (I(8), 240, 3, 1, false),
];

#[rustfmt::skip]
const DET_EDGE_TPU: &[DetRow] = &[
    (T(1, 3), 16, 3, 1, false), (F(8), 16, 3, 2, false), (F(4), 16, 3, 1, true), (F(8), 16, 3, 1, true), (F(4), 16, 3, 1, true),
    (F(8), 40, 5, 2, false), (F(4), 40, 3, 1, true), (F(4), 40, 3, 1, true), (F(4), 40, 3, 1, true), (I(8), 72, 3, 2, false),
    (I(8), 72, 3, 1, true), (F(4), 72, 3, 1, true), (F(4), 72, 3, 1, true), (I(8), 96, 5, 1, false), (I(8), 96, 5, 1, true),
    (I(8), 96, 3, 1, true), (I(8), 96, 3, 1, true), (I(8), 120, 5, 2, false), (I(8), 120, 3, 1, true),
    (I(4), 120, 5, 1, true), (I(8), 120, 3, 1, true), (I(8), 384, 5, 1, false),
];

#[rustfmt::skip]
const DET_GPU: &[DetRow] = &[
    (T(1, 1), 16, 3, 1, false), (F(8), 32, 3, 2, false), (T(1, 1), 32, 3, 1, true), (T(1, 1), 32, 3, 1, true),
    (T(1, 1), 32, 3, 1, true), (F(8), 64, 3, 2, false), (F(8), 64, 3, 1, true), (F(8), 64, 3, 1, true), (F(4), 64, 3, 1, true),
    (F(8), 128, 3, 2, false), (F(4), 128, 3, 1, true), (F(4), 128, 3, 1, true), (F(4), 128, 3, 1, true),
    (F(8), 128, 3, 1, false), (F(8), 128, 3, 1, true), (F(8), 128, 3, 1, true), (F(8), 128, 3, 1, true),
    (F(4), 128, 3, 2, false), (F(4), 128, 3, 1, true), (F(4), 128, 3, 1, true), (F(4), 128, 3, 1, true),
    (I(8), 384, 3, 1, false),
];

fn mobiledet(t: &mut Tracer, first: usize, rows: &[DetRow], is_cpu: bool, multiplier: f64) -> [usize; 3] {
    // To the nearest eighth, and eight at least.
    let part = |depth: usize, factor: f64| 8 * ((depth as f64 * factor / 8.0 + 0.5) as usize).max(1);
    let sized = |depth: usize| part(depth, multiplier);
    t.conv(3, 2, sized(first));
    t.swish(is_cpu);
    let mut maps = [t.depth; 3];
    let mut halvings = 1;
    for &(kind, depth, kernel, stride, residual) in rows {
        halvings += usize::from(stride == 2);
        match kind {
            Kind::Plain => t.depthwise(kernel, stride),
            Kind::Inverted(expansion) => {
                t.conv(1, 1, t.depth * expansion);
                t.swish(is_cpu);
                t.depthwise(kernel, stride);
            }
            Kind::Fused(expansion) => t.conv(kernel, stride, t.depth * expansion),
            Kind::Tucker(input, output) => {
                t.conv(1, 1, part(t.depth, input as f64 / 4.0));
                t.conv(kernel, stride, part(sized(depth), output as f64 / 4.0));
            }
        }
        t.swish(is_cpu);
        if is_cpu {
            t.squeeze_excite(part(t.depth, 0.25));
        }
        t.conv(1, 1, sized(depth));
        if residual {
            t.residual();
        }
        maps[(halvings.max(3) - 3).min(2)] = t.depth;
    }
    maps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(network: &str, image: [usize; 2], padded: bool) -> (Tracer, [usize; 3]) {
        let mut t = Tracer::new(image);
        let maps = Mobile::of(network).expect("known").run(&mut t, 1.0, 16, padded);
        (t, maps)
    }

    #[test]
    fn weights_are_counted_as_tfod_lists_them() {
        for (network, weights, maps) in [
            ("ssd_mobilenet_v3_large", 1_620_512.0, [672, 480]),
            ("ssd_mobilenet_v3_small", 438_704.0, [288, 288]),
            ("ssd_mobiledet_cpu", 3_006_440.0, [72, 144]),
        ] {
            let (t, found) = trace(network, [320, 320], false);
            assert_eq!((t.parameters, [found[1], found[2]]), (weights, maps), "{network}");
            assert_eq!(t.size, [10, 10]);
        }
        for (network, maps) in
            [("ssd_mobiledet_dsp", [144, 240]), ("ssd_mobiledet_edgetpu", [96, 384]), ("ssd_mobiledet_gpu", [128, 384])]
        {
            let (t, found) = trace(network, [320, 256], false);
            assert_eq!(([found[1], found[2]], t.size), (maps, [10, 8]), "{network}");
        }
    }

    #[test]
    fn padded_bottlenecks_grow() {
        let (t, _) = trace("ssd_mobilenet_v3_large", [320, 320], true);
        assert_eq!(t.given, [[41; 2], [29; 2]]);
        let (t, _) = trace("ssd_mobilenet_v3_small", [320, 320], false);
        assert_eq!(t.given, [[20; 2], [10; 2]]);
    }
}
