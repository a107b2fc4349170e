//! Holds nothing. Rooms that use burn name this crate as a development dependency: cargo unites the
//! features of what is built together, and `cargo test -p ROOM` would otherwise build wgpu and burn
//! a second time with fewer features than the whole workspace asks for.
