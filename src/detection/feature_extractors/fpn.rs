//! A feature pyramid (TFOD's `fpn_top_down_feature_maps` and the coarse levels above it).
//!
//! Each of the network's layers is projected to one depth; from the coarsest down, a level is blown up
//! twofold, added to the next finer one and smoothed. Levels that the network lacks are made of the
//! coarsest by convolutions of stride 2.
//!
//! As in TFOD, the way down goes over the smoothed levels in Keras and over the sums in slim; with
//! explicit padding slim's way down takes the sums with their padding, which shifts them.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::ops::PadMode;

use super::Dialect;
use crate::layers::{ConvLayer, Hyperparams, LayerBuilder, PaddingRule, Pass};

/// How the pyramid is built.
#[derive(Clone, Debug)]
pub struct FpnSettings {
    /// Scope of the pyramid.
    pub scope: String,
    /// Names of the coarse levels below that scope, finest first.
    pub coarse: Vec<String>,
    /// Depth of all levels.
    pub depth: usize,
    /// Whether the 3×3 convolutions are separable.
    pub use_depthwise: bool,
    /// Hyperparameters of the layers; the projections have a bias and nothing more.
    pub hyperparams: Hyperparams,
    /// TF1 or TF2.
    pub dialect: Dialect,
}

/// The pyramid.
#[derive(Module, Debug)]
pub struct FpnFeatureMaps {
    /// One for each level of the network, finest first.
    projections: Vec<ConvLayer>,
    /// One for each of those but the coarsest.
    smoothings: Vec<ConvLayer>,
    coarse: Vec<ConvLayer>,
    /// Whether what is blown up may be cut to the finer level's size.
    crops: bool,
    keras: bool,
}

impl FpnFeatureMaps {
    /// The layers with their first weights, over a network that gives away layers of these depths.
    pub fn new(settings: &FpnSettings, endpoint_depths: &[usize], builder: &LayerBuilder) -> Self {
        let (scope, depth) = (&settings.scope, settings.depth);
        let linear = settings.hyperparams.linear();
        let projections = endpoint_depths
            .iter()
            .enumerate()
            .map(|(i, &input)| builder.conv2d(&format!("{scope}/projection_{}", i + 1), [input, depth], 1, 1, &linear))
            .collect();
        let conv = |name: &str, stride| conv_block(settings, builder, &format!("{scope}/{name}"), stride);
        let smoothings = (1..endpoint_depths.len()).map(|level| conv(&format!("smoothing_{level}"), 1)).collect();
        let coarse = settings.coarse.iter().map(|name| conv(name, 2)).collect();
        let crops = builder.padding == PaddingRule::Explicit;
        Self { projections, smoothings, coarse, crops, keras: settings.dialect == Dialect::Keras }
    }

    pub(super) fn forward(&self, endpoints: &[Tensor<4>], pass: &mut Pass<'_>) -> Vec<Tensor<4>> {
        let mut maps = Vec::with_capacity(endpoints.len() + self.coarse.len());
        let mut top_down: Option<Tensor<4>> = None;
        for (level, (endpoint, projection)) in endpoints.iter().zip(&self.projections).enumerate().rev() {
            let residual = projection.forward(endpoint.clone(), pass);
            let sum = match top_down.take() {
                None => residual,
                Some(above) => residual.clone() + blow_up(above, &residual),
            };
            let map = match self.smoothings.get(level) {
                Some(smoothing) => smoothing.forward(sum.clone(), pass),
                None => sum.clone(),
            };
            top_down = Some(match (self.keras, self.crops) {
                (true, _) => map.clone(),
                (false, true) if level < self.smoothings.len() => sum.pad([(1, 1), (1, 1)], PadMode::Constant(0.0)),
                (false, _) => sum,
            });
            maps.push(map);
        }
        maps.reverse();
        for layer in &self.coarse {
            if let Some(last) = maps.last() {
                maps.push(layer.forward(last.clone(), pass));
            }
        }
        maps
    }

    pub(super) fn shapes(&self, endpoints: Vec<[usize; 2]>) -> Vec<[usize; 2]> {
        let mut shapes = endpoints;
        for layer in &self.coarse {
            if let Some(&last) = shapes.last() {
                shapes.push(layer.output_size(last));
            }
        }
        shapes
    }

    /// Whether each level is twice the next; with explicit padding what is too much is cut off.
    pub(super) fn fits(&self, endpoints: &[[usize; 2]]) -> bool {
        endpoints.windows(2).all(|pair| {
            (0..2).all(|axis| {
                let (fine, blown_up) = (pair[0][axis], 2 * pair[1][axis]);
                blown_up == fine || (self.crops && blown_up > fine)
            })
        })
    }

    pub(super) fn depths(&self) -> Vec<usize> {
        self.projections.iter().chain(&self.coarse).map(ConvLayer::out_channels).collect()
    }

    /// All layers in order.
    pub fn layers(&self) -> impl Iterator<Item = &ConvLayer> {
        self.projections.iter().chain(&self.smoothings).chain(&self.coarse)
    }
}

fn conv_block(settings: &FpnSettings, builder: &LayerBuilder, scope: &str, stride: usize) -> ConvLayer {
    let (hyperparams, channels) = (&settings.hyperparams, [settings.depth; 2]);
    match (settings.use_depthwise, settings.dialect) {
        (false, _) => builder.conv2d(scope, channels, 3, stride, hyperparams),
        (true, Dialect::Slim) => builder.separable_conv2d(scope, channels, 3, stride, hyperparams, hyperparams),
        (true, Dialect::Keras) => {
            // TFOD configures the depthwise half only.
            let pointwise = hyperparams.with_keras_kernel();
            builder.separable_conv2d(scope, channels, 3, stride, hyperparams, &pointwise)
        }
    }
}

/// Each place becomes two by two (nearest neighbour), cut to the rows and columns of `like`.
fn blow_up(x: Tensor<4>, like: &Tensor<4>) -> Tensor<4> {
    let ([batch, channels, h, w], [_, _, height, width]) = (x.dims(), like.dims());
    let doubled = x.reshape([batch, channels, h, 1, w, 1]).expand([batch, channels, h, 2, w, 2]).reshape([
        batch,
        channels,
        2 * h,
        2 * w,
    ]);
    if [2 * h, 2 * w] == [height, width] {
        doubled
    } else {
        doubled.slice([0..batch, 0..channels, 0..height, 0..width])
    }
}
