//! Values to bytes and back: flat, canonical, with every limit in one file.

mod cursor;
mod error;
pub mod limits;
pub mod place;
#[cfg(test)]
pub(crate) mod vectors;

pub use cursor::{Cursor, Put, unzigzag, zigzag};
pub use error::{DecodeError, Problem};
pub use place::{Kind, Place, Prefix};
