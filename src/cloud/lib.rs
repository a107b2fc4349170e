//! What goes over the network and comes back from it.
//!
//! - [`download`]: files over HTTP that arrive whole or not at all, resumed where they were cut.
//! - [`digest`]: what a file's bytes are known by.
//! - [`archive`]: `.tar.gz` archives, unpacked without trusting them and packed the same way every time.
//! - [`model_zoo`]: a published model from its address to a folder on the disk.
//!
//! Everything that arrives here was written by somebody else. Lengths are checked against limits before anything is
//! kept, names before anything is opened, and nothing takes its final place before all of it was checked.
//!
//! No window and no tensors in here.

pub mod archive;
pub mod digest;
pub mod download;
pub mod model_zoo;

#[cfg(test)]
mod tests;
