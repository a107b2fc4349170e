//! Bytes to the domain and back, one file a format.
//!
//! Reading trusts nothing: every length in a header is checked against a limit before memory is
//! asked for, every error says which file, where in it, and what to do, and one bad file never stops
//! the good ones beside it. Writing is whole or not at all ([`atomic_file`]).
//!
//! - [`picture`]: JPEG, PNG, BMP, GIF and WebP to RGB and back; the one place that knows EXIF
//!   orientation.
//! - [`tf_record`] and [`tf_example`]: TensorFlow's record files and the detection examples in them.
//! - [`event_file`]: TensorBoard's event files.
//! - [`pascal_voc`]: one XML file a picture.
//! - [`dataset_source`]: folders of annotation files as a neutral list of pictures with boxes.
//! - [`user_folders`]: where settings and caches lie.
//!
//! No window, no tensors, no database here.

pub mod atomic_file;
pub mod dataset_source;
pub mod event_file;
pub mod pascal_voc;
pub mod picture;
pub mod read_file;
pub mod tf_example;
pub mod tf_record;
pub mod user_folders;

mod jpeg_markers;

#[cfg(test)]
mod tests;
