//! Real checkpoints, whole models against TFOD, damaged files.

mod coco;
mod damaged;
mod hostile;
mod keras_detectors;
mod memory;
mod models;
mod parity;
mod shared;
mod small_files;
mod starting_points;
mod tables;
mod training;
