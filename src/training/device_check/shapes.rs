//! Which layers there are: a small one of each kind, and those that the models call.

use boxwright_config::{Pipeline, TemplateValues, pipeline_from_template, proto};
use boxwright_core::geometry::NormalizedBox;
use boxwright_core::label_map::ClassIndex;
use boxwright_detection::builders::{BuildError, build_model, image_resizer_of};
use boxwright_detection::image_resizer::Sizing;
use boxwright_detection::{Detector, Groundtruth};
use boxwright_kernels::{Activation, LayerShape, Padding, Window, dilated_size, trace};
use burn::tensor::{Device, Tensor};

use crate::error::TrainingError;

/// Pictures in the batch.
const BATCH: usize = 2;

/// The side of a picture where a config sets none.
const ANY_SIDE: usize = 512;

/// A small layer of each kind, in the forms that take ways of their own: with and without stride and bias, each
/// activation, one and three rows of a kernel.
pub fn quick_shapes() -> Vec<LayerShape> {
    let window = |side: [usize; 2], kernel: usize, stride: usize, dilation: usize| {
        let padding = Padding::same(side, [dilated_size(kernel, dilation); 2], [stride; 2]);
        Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [dilation; 2], padding }
    };
    let (picture, odd, even) = ([BATCH, 3, 17, 17], [BATCH, 8, 9, 9], [BATCH, 8, 10, 10]);
    let (at_odd, at_even) = ([9, 9], [10, 10]);
    let activation = Activation::Relu6;
    vec![
        LayerShape::Convolution { input: picture, out: 8, window: window([17, 17], 3, 2, 1), bias: false },
        LayerShape::Convolution { input: odd, out: 16, window: window(at_odd, 1, 1, 1), bias: false },
        LayerShape::Convolution { input: odd, out: 12, window: window(at_odd, 3, 1, 1), bias: true },
        LayerShape::Convolution { input: odd, out: 8, window: window(at_odd, 3, 1, 2), bias: false },
        LayerShape::Depthwise { input: odd, window: window(at_odd, 3, 1, 1) },
        LayerShape::Depthwise { input: even, window: window(at_even, 3, 2, 1) },
        LayerShape::Folded { input: odd, out: 16, window: window(at_odd, 3, 1, 1), depthwise: false, activation },
        LayerShape::Folded { input: even, out: 8, window: window(at_even, 3, 2, 1), depthwise: true, activation },
        LayerShape::BatchNorm { input: odd, activation },
        LayerShape::FrozenBatchNorm { input: odd, activation: Activation::Relu },
        LayerShape::Activation { input: odd, activation },
        LayerShape::HardSwish { input: odd },
        LayerShape::MaxPool { input: even, window: window(at_even, 3, 2, 1) },
        LayerShape::MeanPool { input: odd, window: window(at_odd, 3, 1, 1) },
        LayerShape::CropAndResize { input: odd, boxes: 3, size: [4, 4] },
        LayerShape::FullyConnected { rows: 6, inputs: 24, outputs: 10 },
    ]
}

/// The layers of a template's model, at the template's input size.
///
/// # Errors
/// There is no such template.
pub fn template_shapes(name: &str) -> Result<Vec<LayerShape>, TrainingError> {
    let text = pipeline_from_template(name, &TemplateValues::of(name)?)?;
    let config = Pipeline::parse(&text, name)?.config;
    model_shapes(&config.model.unwrap_or_default())
        .map_err(|source| TrainingError::Build { file: format!("{name}.config").into(), source })
}

/// The layers that a model calls for a batch of two: those of a training step, and the folded ones of an evaluation.
///
/// # Errors
/// The config asks for something that cannot be built.
pub fn model_shapes(config: &proto::DetectionModel) -> Result<Vec<LayerShape>, BuildError> {
    let device = Device::flex();
    let model = build_model(config, 0, &device)?;
    let [height, width] = picture_size(&image_resizer_of(config)?.sizing);
    let images = || Tensor::<4>::zeros([BATCH, 3, height, width], &device);
    let truth = Groundtruth {
        boxes: vec![NormalizedBox::new(0.25, 0.25, 0.75, 0.75)],
        classes: vec![ClassIndex(0)],
        weights: vec![1.0],
    };
    Ok(trace(|| {
        drop(model.losses(images(), &vec![truth; BATCH]));
        match model.detector() {
            Detector::Ssd(folded) => drop(folded.predict(folded.model().preprocess(images()))),
            Detector::FasterRcnn(folded) => drop(folded.predict(folded.model().preprocess(images()))),
        }
    }))
}

/// Height and width of a picture as the resizer makes it; where that depends on the picture, of a large one that lies
/// on its side.
fn picture_size(sizing: &Sizing) -> [usize; 2] {
    match *sizing {
        Sizing::FixedShape { height, width } => [height, width],
        Sizing::KeepAspectRatio { max_dimension, pad: Some(_), .. } => [max_dimension; 2],
        Sizing::KeepAspectRatio { min_dimension, max_dimension, pad: None } => [min_dimension, max_dimension],
        Sizing::Identity => [ANY_SIDE; 2],
        Sizing::ShrinkTo { max_dimension } => [max_dimension; 2],
        Sizing::GrowTo { min_dimension } => [min_dimension; 2],
        Sizing::PadToMultiple { multiple } => [ANY_SIDE.next_multiple_of(multiple); 2],
    }
}
