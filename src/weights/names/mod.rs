//! What a variable of another program is called here: TensorFlow's name for it, as TFOD's own models
//! and slim's classifiers have it.
//!
//! Keras names layers, PyTorch places in a list, TF2's checkpoints paths through objects. Each of
//! these is recognised by the whole set of names in a file, never by one alone: `conv1` means one thing
//! in a MobileNet and another in a ResNet. Names that are not recognised stay what they are.
//!
//! - [`backbone`]: the layers of the networks, under slim's names and in the order of computation;
//! - [`keras_layers`], like `block_3_expand/kernel:0`;
//! - [`keras_objects`], like `model/_feature_extractor/…/.ATTRIBUTES/VARIABLE_VALUE`;
//! - [`torchvision`], like `layer1.0.conv1.weight`.

pub(crate) mod backbone;
pub(crate) mod keras_layers;
pub(crate) mod keras_objects;
pub(crate) mod torchvision;

/// The name of a layer's variable: `kernel` of Keras is `weights` of slim, and so on; nothing for what no layer has.
pub(crate) fn variable_name(scope: &str, keras_variable: &str) -> Option<String> {
    let variable = match keras_variable {
        "kernel" => "weights",
        "bias" => "biases",
        "depthwise_kernel" => "depthwise_weights",
        "pointwise_kernel" => "pointwise_weights",
        "gamma" | "beta" | "moving_mean" | "moving_variance" => {
            return Some(format!("{scope}/BatchNorm/{keras_variable}"));
        }
        _ => return None,
    };
    Some(format!("{scope}/{variable}"))
}
