//! The tests that cross rooms, in one binary so that the libraries are linked once.
//!
//! - `tidy`: the rules of the house, checked on its own sources.
//! - `way`: the commands of the whole way, on a project of a few pictures.
//! - `resume`: runs that are killed, stopped and continued.
//! - `runs`: what a run leaves, when it ends, and what another begins from.
//! - `kills`: runs that are killed at random moments, on disks that fill up.
//! - `bad_input`: what damaged files, full disks and wrong configs are answered with.
//! - `config_commands`: configs merged and shown from a shell.
//! - `inspect`: what the program says of weights, records and label maps.
//! - `starting_points`: runs that start from what others left.
//! - `tfod_model`: models that TFOD left, measured and used as they are.
//! - `window`: the studio on a virtual screen, driven by mouse and keys, and killed.
//! - `zoo`: the model zoo, from a server of its own.
//! - `support`: small projects and the program itself, for all of them.

mod bad_input;
mod config_commands;
mod inspect;
mod kills;
mod resume;
mod runs;
#[path = "../../src/cloud/tests/server.rs"]
mod server;
mod starting_points;
mod support;
mod tfod_model;
mod tidy;
mod way;
mod window;
mod zoo;
