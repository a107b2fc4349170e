//! The shapes of the networks: how large each feature map is for an image, and how many numbers a
//! training step has to keep. The check needs both without building a model.
//!
//! Parameters and activations are added up layer by layer from the published architectures. They are
//! for an estimate: bias and normalisation are counted, what a framework allocates beside is not.

mod mobile;

use crate::proto::{self, FasterRcnn, Ssd, box_predictor, ssd_feature_extractor};
use mobile::Mobile;

/// A network with a list of feature maps.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Network {
    /// `[height, width]` of each feature map that anchors stand on.
    pub maps: Vec<[usize; 2]>,
    /// Channels of each.
    pub depths: Vec<usize>,
    /// Numbers that are learnt.
    pub parameters: f64,
    /// Numbers that one image's forward pass leaves behind for the backward pass.
    pub activations: f64,
}

/// Follows an image through the layers.
struct Tracer {
    size: [usize; 2],
    depth: usize,
    parameters: f64,
    activations: f64,
    /// Sizes of the maps that the network gives away, where they are not what halving makes of the image.
    given: Vec<[usize; 2]>,
}

impl Tracer {
    fn new(image: [usize; 2]) -> Self {
        let activations = (image[0] * image[1] * 3) as f64;
        Self { size: image, depth: 3, parameters: 0.0, activations, given: Vec::new() }
    }

    fn area(&self) -> f64 {
        (self.size[0] * self.size[1]) as f64
    }

    fn shrink(&mut self, stride: usize) {
        self.size = self.size.map(|side| side.div_ceil(stride));
    }

    /// A convolution with its normalisation: the sums, the normalized ones and the activated ones stay.
    fn conv(&mut self, kernel: usize, stride: usize, depth: usize) {
        self.shrink(stride);
        self.parameters += (kernel * kernel * self.depth * depth + 2 * depth) as f64;
        self.depth = depth;
        self.activations += 2.0 * self.area() * depth as f64;
    }

    fn depthwise(&mut self, kernel: usize, stride: usize) {
        self.shrink(stride);
        self.parameters += (kernel * kernel * self.depth + 2 * self.depth) as f64;
        self.activations += 2.0 * self.area() * self.depth as f64;
    }

    fn pool(&mut self, stride: usize) {
        self.shrink(stride);
        self.activations += self.area() * self.depth as f64;
    }
}

/// Depths after the multiplier: cut off, as TFOD's MobileNet v1 has it, or rounded to eighths.
fn scaled(depth: usize, multiplier: f64, least: usize) -> usize {
    ((depth as f64 * multiplier) as usize).max(least).max(1)
}

/// The base network of a type name.
enum Base {
    MobileNetV1,
    MobileNetV2,
    Mobile(Mobile),
    InceptionV2,
    /// Units of the four blocks.
    ResNet([usize; 4]),
    Vgg16,
}

fn base_of(network: &str) -> Option<Base> {
    if let Some(mobile) = Mobile::of(network) {
        return Some(Base::Mobile(mobile));
    }
    let has = |part: &str| network.contains(part);
    Some(match network {
        _ if has("bifpn") || has("ppn") || has("mnasfpn") || has("edgetpu") || has("inception_resnet") => return None,
        _ if has("mobilenet_v1") => Base::MobileNetV1,
        _ if has("mobilenet_v2") => Base::MobileNetV2,
        _ if has("inception_v2") => Base::InceptionV2,
        _ if has("resnet50") => Base::ResNet([3, 4, 6, 3]),
        _ if has("resnet101") => Base::ResNet([3, 4, 23, 3]),
        _ if has("resnet152") => Base::ResNet([3, 8, 36, 3]),
        _ if has("vgg16") => Base::Vgg16,
        _ => return None,
    })
}

/// Runs the base network, and returns the channels of its maps of stride 8, 16 and 32. `padded`: with explicit padding.
fn run_base(base: &Base, t: &mut Tracer, multiplier: f64, least: usize, padded: bool) -> [usize; 3] {
    match base {
        Base::Mobile(mobile) => mobile.run(t, multiplier, least, padded),
        Base::MobileNetV1 => mobilenet_v1(t, multiplier, least),
        Base::MobileNetV2 => mobilenet_v2(t, multiplier, least),
        Base::InceptionV2 => inception_v2(t, multiplier, least),
        Base::ResNet(units) => resnet(t, *units),
        Base::Vgg16 => vgg16(t),
    }
}

fn mobilenet_v1(t: &mut Tracer, multiplier: f64, least: usize) -> [usize; 3] {
    const PAIRS: [(usize, usize); 13] = [
        (1, 64),
        (2, 128),
        (1, 128),
        (2, 256),
        (1, 256),
        (2, 512),
        (1, 512),
        (1, 512),
        (1, 512),
        (1, 512),
        (1, 512),
        (2, 1024),
        (1, 1024),
    ];
    t.conv(3, 2, scaled(32, multiplier, least));
    let mut maps = [t.depth; 3];
    for (i, (stride, depth)) in PAIRS.into_iter().enumerate() {
        t.depthwise(3, stride);
        t.conv(1, 1, scaled(depth, multiplier, least));
        maps[usize::from(i > 4) + usize::from(i > 10)] = t.depth;
    }
    maps
}

fn mobilenet_v2(t: &mut Tracer, multiplier: f64, least: usize) -> [usize; 3] {
    /// Expansion, depth, repetitions, stride.
    const BLOCKS: [(usize, usize, usize, usize); 7] =
        [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)];
    let divisible = |depth: usize| {
        let wanted = depth as f64 * multiplier;
        let rounded = ((wanted + 4.0) as usize / 8 * 8).max(8);
        (if (rounded as f64) < 0.9 * wanted { rounded + 8 } else { rounded }).max(least)
    };
    t.conv(3, 2, divisible(32));
    let mut maps = [t.depth; 3];
    for (block, (expansion, depth, repetitions, stride)) in BLOCKS.into_iter().enumerate() {
        for repetition in 0..repetitions {
            if expansion > 1 {
                t.conv(1, 1, t.depth * expansion);
                // SSD takes the expansions of layers 8 (for pyramids) and 15, before their strides.
                if repetition == 0 && block == 3 {
                    maps[0] = t.depth;
                } else if repetition == 0 && block == 5 {
                    maps[1] = t.depth;
                }
            }
            t.depthwise(3, if repetition == 0 { stride } else { 1 });
            t.conv(1, 1, divisible(depth));
            if repetition > 0 {
                t.activations += t.area() * t.depth as f64;
            }
        }
    }
    t.conv(1, 1, divisible(1280).max(1280));
    maps[2] = t.depth;
    maps
}

fn inception_v2(t: &mut Tracer, multiplier: f64, least: usize) -> [usize; 3] {
    /// Outputs of the four branches of each module, with what stands before the last convolution.
    #[rustfmt::skip]
    const MODULES: [(usize, [usize; 7]); 10] = [
        (1, [64, 64, 64, 64, 96, 96, 32]), (1, [64, 64, 96, 64, 96, 96, 64]), (2, [0, 128, 160, 64, 96, 96, 0]),
        (1, [224, 64, 96, 96, 128, 128, 128]), (1, [192, 96, 128, 96, 128, 128, 128]), (1, [160, 128, 160, 128, 160, 160, 96]),
        (1, [96, 128, 192, 160, 192, 192, 96]), (2, [0, 128, 192, 192, 256, 256, 0]),
        (1, [352, 192, 320, 160, 224, 224, 128]), (1, [352, 192, 320, 192, 224, 224, 128]),
    ];
    let depth = |depth: usize| if depth == 0 { 0 } else { scaled(depth, multiplier, least) };
    t.conv(7, 2, depth(64));
    t.pool(2);
    t.conv(1, 1, depth(64));
    t.conv(3, 1, depth(192));
    t.pool(2);
    let mut maps = [t.depth; 3];
    for (i, (stride, branches)) in MODULES.into_iter().enumerate() {
        let [b0, b1a, b1, b2a, b2b, b2, b3] = branches.map(depth);
        let (input, before) = (t.depth, t.area());
        t.shrink(stride);
        let after = t.area();
        let weights = input * (b0 + b1a + b2a + b3) + 9 * (b1a * b1 + b2a * b2b + b2b * b2);
        let units = b0 + b1a + b1 + b2a + b2b + b2 + b3;
        t.parameters += (weights + 2 * units) as f64;
        t.activations += 2.0 * (after * (b0 + b1 + b2 + b3) as f64 + before * (b1a + b2a + b2b) as f64);
        // The pooled input of the last branch, and the branches side by side.
        t.activations += after * (input + b0 + b1 + b2 + b3) as f64;
        t.depth = if stride == 1 { b0 + b1 + b2 + b3 } else { b1 + b2 + input };
        maps[usize::from(i > 1) + usize::from(i > 6)] = t.depth;
    }
    maps
}

fn resnet(t: &mut Tracer, units: [usize; 4]) -> [usize; 3] {
    t.conv(7, 2, 64);
    t.pool(2);
    for (block, (count, depth)) in units.into_iter().zip([64, 128, 256, 512]).enumerate() {
        for unit in 0..count {
            // slim puts the stride into the last unit of a block.
            let stride = if unit + 1 == count && block < 3 { 2 } else { 1 };
            let input = t.depth;
            t.conv(1, 1, depth);
            t.conv(3, stride, depth);
            t.conv(1, 1, 4 * depth);
            // The sum with the shortcut, and the same activated.
            t.activations += 2.0 * t.area() * (4 * depth) as f64;
            if input != 4 * depth {
                t.parameters += (input * 4 * depth + 8 * depth) as f64;
                t.activations += 2.0 * t.area() * (4 * depth) as f64;
            }
        }
    }
    [512, 1024, 2048]
}

fn vgg16(t: &mut Tracer) -> [usize; 3] {
    for depth in [64, 64] {
        t.conv(3, 1, depth);
    }
    t.pool(2);
    for depth in [128, 128] {
        t.conv(3, 1, depth);
    }
    t.pool(2);
    for depth in [256, 256, 256] {
        t.conv(3, 1, depth);
    }
    t.pool(2);
    for depth in [512, 512, 512] {
        t.conv(3, 1, depth);
    }
    t.pool(2);
    for depth in [512, 512, 512] {
        t.conv(3, 1, depth);
    }
    t.conv(3, 1, 1024);
    t.conv(1, 1, 1024);
    [512, 1024, 1024]
}

/// `[height, width]` after so many halvings that round up.
fn halved(image: [usize; 2], times: u32) -> [usize; 2] {
    image.map(|side| (0..times).fold(side, |side, _| side.div_ceil(2)))
}

/// The network of an SSD for an image of `[height, width]`; none where its type is not known here or
/// something in it is impossible.
pub(crate) fn ssd(ssd: &Ssd, image: [usize; 2], anchors_per_place: &[usize]) -> Option<Network> {
    let extractor = ssd.feature_extractor.as_ref()?;
    let base = base_of(extractor.r#type())?;
    let multiplier = f64::from(extractor.depth_multiplier());
    let least = usize::try_from(extractor.min_depth()).ok()?;
    if !(0.001..=8.0).contains(&multiplier) || least > 4096 || image.iter().any(|side| !(1..=8192).contains(side)) {
        return None;
    }
    let multiple =
        usize::try_from(extractor.pad_to_multiple()).ok().filter(|multiple| (1..=1024).contains(multiple))?;
    let image = image.map(|side| side.div_ceil(multiple) * multiple);
    let mut t = Tracer::new(image);
    let strides = run_base(&base, &mut t, multiplier, least, extractor.use_explicit_padding());
    let mut network = match &extractor.feature_pyramid_oneof {
        Some(ssd_feature_extractor::FeaturePyramidOneof::Fpn(fpn)) => pyramid(fpn, image, strides, &mut t)?,
        Some(ssd_feature_extractor::FeaturePyramidOneof::Bifpn(_)) => return None,
        None => {
            let maps = usize::try_from(extractor.num_layers()).ok().filter(|maps| (1..=12).contains(maps))?;
            let extras = [512, 256, 256, 128].map(|depth| scaled(depth, multiplier, least));
            multi_resolution(&base, image, strides, maps, extras, &mut t)
        }
    };
    heads(ssd, &mut network, anchors_per_place, &mut t);
    network.parameters = t.parameters;
    network.activations = t.activations;
    Some(network)
}

/// SSD's own maps: two of the base network, and further ones that halve the size each.
fn multi_resolution(
    base: &Base,
    image: [usize; 2],
    [_, middle, coarse]: [usize; 3],
    count: usize,
    extras: [usize; 4],
    t: &mut Tracer,
) -> Network {
    let first = if matches!(base, Base::Vgg16) { 3 } else { 4 };
    let mut network = Network::default();
    for index in 0..count {
        let before = network.maps.last().copied();
        let halved = before.map_or_else(|| halved(image, first), |before| halved(before, 1));
        let mut shape = t.given.get(index).copied().unwrap_or(halved);
        if let (true, 4..=5, 0..=6) = (matches!(base, Base::Vgg16), index, count) {
            // The last two layers of the small VGG have no padding.
            shape = network.maps[index - 1].map(|side| side.saturating_sub(2));
        }
        let depth = match index {
            0 => middle,
            1 => coarse,
            _ => {
                let depth = extras[(index - 2).min(3)];
                t.size = before.unwrap_or(image);
                t.conv(1, 1, depth / 2);
                t.conv(3, 2, depth);
                depth
            }
        };
        network.maps.push(shape);
        network.depths.push(depth);
    }
    network
}

/// A feature pyramid: the base network's maps up to stride 32, coarser ones by further convolutions.
fn pyramid(
    fpn: &proto::FeaturePyramidNetworks,
    image: [usize; 2],
    strides: [usize; 3],
    t: &mut Tracer,
) -> Option<Network> {
    let (least, most) = (u32::try_from(fpn.min_level()).ok()?, u32::try_from(fpn.max_level()).ok()?);
    let depth = usize::try_from(fpn.additional_layer_depth()).ok()?;
    if !(1..=12).contains(&least) || !(least..=12).contains(&most) || !(1..=4096).contains(&depth) {
        return None;
    }
    let mut network = Network::default();
    for level in least..=most {
        let shape = halved(image, level);
        t.size = shape;
        if level <= 5 {
            t.depth = strides[(level.max(3) - 3) as usize];
            t.conv(1, 1, depth);
            // The coarser level blown up, and the sum with it.
            t.activations += 2.0 * t.area() * depth as f64;
        } else {
            t.depth = depth;
        }
        t.conv(3, 1, depth);
        network.maps.push(shape);
        network.depths.push(depth);
    }
    Some(network)
}

/// The heads: codes and scores for each anchor.
fn heads(ssd: &Ssd, network: &mut Network, anchors_per_place: &[usize], t: &mut Tracer) {
    use box_predictor::BoxPredictorOneof as Kind;
    let classes = usize::try_from(ssd.num_classes()).unwrap_or(0).min(100_000) + 1;
    let kind = ssd.box_predictor.as_ref().and_then(|predictor| predictor.box_predictor_oneof.as_ref());
    let (kernel, tower) = match kind {
        Some(Kind::ConvolutionalBoxPredictor(head)) => (head.kernel_size(), None),
        Some(Kind::WeightSharedConvolutionalBoxPredictor(head)) => (
            head.kernel_size(),
            Some((head.num_layers_before_predictor(), head.depth(), head.share_prediction_tower())),
        ),
        _ => (3, None),
    };
    let kernel = usize::try_from(kernel).unwrap_or(3).clamp(1, 15);
    for (index, (&shape, &depth)) in network.maps.iter().zip(&network.depths).enumerate() {
        let anchors = anchors_per_place.get(index).copied().unwrap_or(6);
        (t.size, t.depth) = (shape, depth);
        let before = t.parameters;
        if let Some((layers, depth, shared)) = tower {
            let depth = usize::try_from(depth).unwrap_or(0).clamp(1, 4096);
            for _ in 0..layers.clamp(0, 16) * if shared { 1 } else { 2 } {
                t.conv(kernel, 1, depth);
            }
        }
        let outputs = anchors * (4 + classes);
        t.parameters += (kernel * kernel * t.depth * outputs) as f64;
        t.activations += 4.0 * t.area() * outputs as f64;
        if tower.is_some() && index > 0 {
            // All maps share one set of weights.
            t.parameters = before;
        }
    }
}

/// The proposals' feature map of a Faster R-CNN, `[height, width]`, for an image of this size after resizing.
pub(crate) fn proposal_map(model: &FasterRcnn, image: [usize; 2]) -> Option<[usize; 2]> {
    let extractor = model.feature_extractor.as_ref()?;
    match extractor.first_stage_features_stride() {
        8 => Some(halved(image, 3)),
        16 => Some(halved(image, 4)),
        _ => None,
    }
}

/// A Faster R-CNN for an image of `[height, width]` after resizing; none where its type is not known.
pub(crate) fn faster_rcnn(model: &FasterRcnn, image: [usize; 2]) -> Option<Network> {
    let extractor = model.feature_extractor.as_ref()?;
    let base = base_of(extractor.r#type())?;
    if image.iter().any(|side| !(1..=8192).contains(side)) {
        return None;
    }
    let mut t = Tracer::new(image);
    run_base(&base, &mut t, 1.0, 16, false);
    let map = proposal_map(model, image)?;
    // The last block sees each region's crop, not the image: its share of the trace is taken as it is,
    // and the crops are added.
    let crops = f64::from(model.second_stage_batch_size().clamp(0, 10_000));
    let side = f64::from(model.initial_crop_size().clamp(0, 512));
    t.activations += crops * side * side * 1024.0 * 1.5;
    t.activations +=
        (map[0] * map[1]) as f64 * 2.0 * f64::from(model.first_stage_box_predictor_depth().clamp(0, 16384));
    t.parameters += 9.0 * 1024.0 * f64::from(model.first_stage_box_predictor_depth().clamp(0, 16384));
    Some(Network { maps: vec![map], depths: vec![1024], parameters: t.parameters, activations: t.activations })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(text: &str) -> Ssd {
        crate::text_format::parse(text, "ssd").expect("an SSD")
    }

    #[test]
    fn the_classic_shapes() {
        let v1 = model(
            "num_classes: 90 feature_extractor { type: 'ssd_mobilenet_v1' } box_predictor { convolutional_box_predictor { kernel_size: 1 } }",
        );
        let network = ssd(&v1, [300, 300], &[3, 6, 6, 6, 6, 6]).expect("known");
        assert_eq!(network.maps, [[19, 19], [10, 10], [5, 5], [3, 3], [2, 2], [1, 1]]);
        assert_eq!(network.depths, [512, 1024, 512, 256, 256, 128]);
        // The published checkpoint of this model has 6.8 million weights.
        assert!((6.0e6..8.0e6).contains(&network.parameters), "{}", network.parameters);
        let fpn = model("num_classes: 90 feature_extractor { type: 'ssd_resnet50_v1_fpn' fpn {} }");
        let network = ssd(&fpn, [640, 640], &[6; 5]).expect("known");
        assert_eq!(network.maps, [[80, 80], [40, 40], [20, 20], [10, 10], [5, 5]]);
        // ResNet 50 alone has 23.5 million.
        assert!((23.5e6..40.0e6).contains(&network.parameters), "{}", network.parameters);
        let v2 = model("num_classes: 1 feature_extractor { type: 'ssd_mobilenet_v2_keras' }");
        let network = ssd(&v2, [320, 256], &[3, 6, 6, 6, 6, 6]).expect("known");
        assert_eq!(network.maps[..2], [[20, 16], [10, 8]]);
        assert_eq!(network.depths[..2], [576, 1280]);
        assert!((3.0e6..5.5e6).contains(&network.parameters), "{}", network.parameters);
        let inception = model("num_classes: 1 feature_extractor { type: 'ssd_inception_v2' }");
        let network = ssd(&inception, [300, 300], &[3, 6, 6, 6, 6, 6]).expect("known");
        assert_eq!(network.depths[..2], [576, 1024]);
        // Inception v2 without its classifier has 10 million.
        assert!((10.0e6..15.0e6).contains(&network.parameters), "{}", network.parameters);
    }

    #[test]
    fn the_small_vgg_has_the_papers_shapes() {
        let network = ssd(&model("feature_extractor { type: 'ssd_vgg16_reduced' }"), [300, 300], &[]).expect("known");
        assert_eq!(network.maps, [[38, 38], [19, 19], [10, 10], [5, 5], [3, 3], [1, 1]]);
    }

    #[test]
    fn what_is_impossible_has_no_shape() {
        for text in [
            "feature_extractor { type: 'ssd_something' }",
            "feature_extractor { type: 'ssd_mobilenet_v1' depth_multiplier: 1e30 }",
            "feature_extractor { type: 'ssd_mobilenet_v1' pad_to_multiple: 0 }",
            "feature_extractor { type: 'ssd_mobilenet_v1' num_layers: -3 }",
            "feature_extractor { type: 'ssd_mobilenet_v1_fpn' fpn { min_level: 9 max_level: 3 } }",
            "",
        ] {
            assert_eq!(ssd(&model(text), [300, 300], &[]), None, "{text}");
        }
        assert_eq!(ssd(&model("feature_extractor { type: 'ssd_mobilenet_v1' }"), [0, 300], &[]), None);
    }
}
