//! The panels beside the canvas.

pub mod box_list;
pub mod class_list;
pub mod class_picker;
pub mod image_list;
