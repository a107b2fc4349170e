//! What leaves the house for other eyes: pictures with their boxes drawn in.
//!
//! - [`annotated_picture`]: boxes and labels on a picture, for `predict` and the demo.
//! - [`contact_sheet`]: many pictures on one.
//! - [`palette`]: the colour of each class, the same everywhere and for ever.
//!
//! Drawing is plain arithmetic on pixels: it needs no window and no graphics card, and gives the same
//! bytes on every machine.

pub mod annotated_picture;
pub mod contact_sheet;
pub mod palette;

mod text;
