//! Parity with TFOD's own numbers, and the builders against whole configs.

mod box_losses;
mod builders;
mod parity;
mod resizers;
mod ssd_networks;
