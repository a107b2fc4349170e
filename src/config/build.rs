//! Compiles `proto/` into typed structs and an embedded descriptor set, without protoc.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use prost_build::Config;

const PACKAGE_DIR: &str = "object_detection/protos";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo sets CARGO_MANIFEST_DIR")?).join("../../proto");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    println!("cargo::rerun-if-changed={}", root.display());

    let mut compiler = protox::Compiler::new([&root])?;
    // The comments are the help texts of the config editor.
    compiler.include_source_info(true).include_imports(true);
    compiler.open_files(schema_files(&root)?)?;
    fs::write(out.join("object_detection.bin"), compiler.encode_file_descriptor_set())?;

    Config::new().enable_type_names().compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// Every file of the schema, relative to `root`, in a fixed order.
fn schema_files(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root.join(PACKAGE_DIR))? {
        let name = entry?.file_name();
        if Path::new(&name).extension().is_some_and(|extension| extension == "proto") {
            files.push(Path::new(PACKAGE_DIR).join(name));
        }
    }
    files.sort();
    Ok(files)
}
