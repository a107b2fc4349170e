//! Generates the Rust types of tf.Example from `proto/`, without a protoc to install.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let root = "../../proto";
    let files = ["tensorflow/core/example/example.proto", "tensorflow/core/example/feature.proto"];
    for file in files {
        println!("cargo::rerun-if-changed={root}/{file}");
    }
    let descriptors = protox::compile(files, [root])?;
    // Sorted maps, so that the same example is always the same bytes.
    prost_build::Config::new().btree_map(["."]).compile_fds(descriptors)?;
    Ok(())
}
