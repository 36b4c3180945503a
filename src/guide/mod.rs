//! How it works, from the model down to the bytes. Nothing here but text, and code that runs.
//!
//! Read [`model`] first: the rest follows from its one law.

pub mod changing_types;
pub mod comparison;
pub mod conflicts;
pub mod format;
pub mod limits;
pub mod model;
pub mod operating;
pub mod rooms;
pub mod spaces;
pub mod sync;
pub mod tested;
#[cfg(feature = "quickcheck")]
pub mod testing;
pub mod why;
#[cfg(all(feature = "sim", not(target_arch = "wasm32")))]
pub mod worlds;
