//! Parity with TFOD's own numbers: schedules, optimizers and crops.

mod parity;
