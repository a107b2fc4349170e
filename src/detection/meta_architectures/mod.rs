//! Meta-architectures: how the parts make a detector.

pub mod ssd;
