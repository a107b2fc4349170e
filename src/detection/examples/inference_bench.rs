//! One picture through SSD MobileNet v1 0.75 at 300 × 300 with the heads of 90 classes: folded, from pixels to detections.
//! `make bench-inference` sets it beside onnxruntime and LiteRT.
//!
//! `cargo run --release -p boxwright-detection --example inference_bench [RUNS]` prints the median of the milliseconds of
//! the whole, and of the network alone. The weights are drawn; the scores are those of a model that sees nothing, and the
//! threshold is TFOD's 1e-8, so that every class of every anchor is a candidate.

use std::time::Instant;

use boxwright_config::{proto, text_format};
use boxwright_detection::{Mode, builders};
use burn::tensor::{Device, Distribution, Tensor};

const MODEL: &str = r"
ssd {
  num_classes: 90
  image_resizer { fixed_shape_resizer { height: 300 width: 300 } }
  feature_extractor {
    type: 'ssd_mobilenet_v1' depth_multiplier: 0.75 min_depth: 16
    conv_hyperparams {
      activation: RELU_6
      regularizer { l2_regularizer { weight: 0.00004 } }
      initializer { variance_scaling_initializer { factor: 2.0 } }
      batch_norm { scale: true center: true decay: 0.5 epsilon: 0.001 }
    }
    override_base_feature_extractor_hyperparams: true
  }
  box_coder { faster_rcnn_box_coder { } }
  matcher { argmax_matcher { } }
  similarity_calculator { iou_similarity { } }
  box_predictor { convolutional_box_predictor {
    kernel_size: 1 use_dropout: false class_prediction_bias_init: -4.6
    conv_hyperparams {
      activation: RELU_6
      regularizer { l2_regularizer { weight: 0.00004 } }
      initializer { random_normal_initializer { stddev: 0.02 } }
    }
  } }
  anchor_generator { ssd_anchor_generator {
    num_layers: 6 min_scale: 0.2 max_scale: 0.95 aspect_ratios: [1.0, 2.0, 0.5, 3.0, 0.3333]
  } }
  post_processing {
    batch_non_max_suppression { score_threshold: 1e-8 iou_threshold: 0.6 max_detections_per_class: 100 max_total_detections: 100 }
    score_converter: SIGMOID
  }
  loss { localization_loss { weighted_smooth_l1 { } } classification_loss { weighted_sigmoid { } } }
}";

/// Runs that only warm up.
const WARM_UP: usize = 10;

/// Runs `work` and prints the median and the least of the milliseconds.
fn measure(what: &str, runs: usize, mut work: impl FnMut()) {
    let mut times = Vec::with_capacity(runs);
    for run in 0..runs + WARM_UP {
        let begin = Instant::now();
        work();
        if run >= WARM_UP {
            times.push(begin.elapsed().as_secs_f64() * 1e3);
        }
    }
    times.sort_by(f64::total_cmp);
    println!("{what}: {runs} runs: median {:.2} ms, best {:.2} ms", times[runs / 2], times[0]);
}

fn main() {
    let runs = std::env::args().nth(1).and_then(|runs| runs.parse().ok()).unwrap_or(50).max(1);
    let device = Device::flex();
    let config: proto::DetectionModel = text_format::parse(MODEL, "bench").expect("a valid config");
    let model = builders::build_ssd(&config, 0, &device).expect("a supported model");
    // The statistics come to fit the drawn weights, or the activations would fade away from layer to layer.
    for _ in 0..8 {
        model.forward(Tensor::random([2, 3, 300, 300], Distribution::Uniform(0.0, 255.0), &device), Mode::Train);
    }
    let model = model.folded();
    let image = Tensor::<4>::random([1, 3, 300, 300], Distribution::Uniform(0.0, 255.0), &device);
    measure("with post-processing", runs, || {
        let found = model.detect(image.clone(), &[]);
        assert_eq!((found.len(), found[0].len()), (1, 100));
    });
    let preprocessed = model.model().preprocess(image.clone());
    // One task for the pool, so that the operators find themselves among its threads.
    rayon::scope(|_| {
        measure("network", runs, || {
            let predictions = model.predict(preprocessed.clone());
            assert_eq!(predictions.class_logits.dims(), [1, 1917, 91]);
        });
        let predictions = model.predict(preprocessed.clone());
        measure("post-processing", runs, || {
            let found = model.model().postprocess(predictions.clone());
            assert_eq!(found[0].len(), 100);
        });
        measure("preprocessing", runs, || {
            let _ = model.model().preprocess(image.clone()).dims();
        });
    });
}
