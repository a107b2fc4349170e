//! Parity with TFOD's own numbers, and the builders against whole configs.

mod backbones;
mod box_losses;
mod builders;
mod faster_rcnn;
mod folded;
mod hash_init;
mod mobile;
mod parity;
mod resizers;
mod ssd_networks;
