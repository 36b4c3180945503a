//! How it works, from the model down to the bytes. Nothing here but text, and code that runs.
//!
//! Read [`model`] first: the rest follows from its one law.

pub mod changing_types;
pub mod conflicts;
pub mod format;
pub mod limits;
pub mod model;
pub mod rooms;
pub mod sync;
