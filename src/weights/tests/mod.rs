//! Real checkpoints, whole models against TFOD, damaged files.

mod damaged;
mod golden;
mod models;
mod parity;
mod shared;
mod training;
