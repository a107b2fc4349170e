//! The tests that cross rooms, in one binary so that the libraries are linked once.
//!
//! - `tidy`: the rules of the house, checked on its own sources.

mod tidy;
