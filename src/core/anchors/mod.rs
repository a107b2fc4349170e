//! Anchors: the boxes that a detector starts from, one set for each place of each feature map.
//!
//! They are plain numbers, so they live here: the models of the detection room are built on them, and
//! the check of a config asks, without a model, whether any of them would match a box of the data.
//! Every generator is a list of [`AnchorGrid`]s; the order of the anchors is part of the contract with
//! every checkpoint.

mod flexible_grid;
mod generator;
mod grid;
mod multiscale;
mod ssd;
mod tiles;

pub use flexible_grid::{FlexibleGrid, FlexibleGridAnchorGenerator};
pub use generator::AnchorGenerator;
pub use grid::GridAnchorGenerator;
pub use multiscale::MultiscaleGridAnchorGenerator;
pub use ssd::{BoxSpec, MultipleGridAnchorGenerator, SsdAnchorSettings, create_ssd_anchors};
pub use tiles::AnchorGrid;
