//! The schema's messages as structs, generated when the room is built, and their descriptors.

use std::sync::OnceLock;

use prost_reflect::{DescriptorPool, MessageDescriptor};

#[allow(missing_docs, clippy::all, clippy::pedantic, rustdoc::all)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/object_detection.protos.rs"));
}
pub use generated::*;

const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/object_detection.bin"));

/// The descriptors of the whole schema, with the comments of the `.proto` files.
pub fn descriptor_pool() -> &'static DescriptorPool {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(DESCRIPTOR_SET).expect("the descriptor set was written by build.rs"))
}

/// The descriptor of a message type of the schema.
pub fn descriptor<M: prost::Name>() -> MessageDescriptor {
    descriptor_pool().get_message_by_name(&M::full_name()).expect("struct and descriptor come from the same build")
}
