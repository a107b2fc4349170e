//! Tests on real data, and on damaged data.
//!
//! The real ones read `../shared` beside the checkout, or where `BOXWRIGHT_SHARED` says; where it is
//! absent they say so and pass.

mod damaged;
mod datasets;
mod event_files;
mod golden_parity;
