//! Holds nothing. The kernels, and with them every room that uses burn, depend on this
//! crate: cargo unites the features of what is built together, and `cargo test -p ROOM` would
//! otherwise build wgpu and burn a second time with fewer features than the whole workspace asks for.
