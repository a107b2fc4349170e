//! Parity with TFOD's own numbers, and the builders against whole configs.

mod builders;
mod parity;
mod ssd_networks;
mod resizers;
