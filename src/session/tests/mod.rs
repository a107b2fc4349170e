//! The session, driven as a window drives it.
