//! Values to bytes and back: flat, canonical, with every limit in one file.

mod cursor;
pub(crate) mod encoding;
mod error;
pub mod limits;
pub mod place;
mod places;

pub use cursor::{Cursor, Put, unzigzag, zigzag};
pub use error::{DecodeError, Problem};
pub use place::{Kind, Place, Prefix};
pub(crate) use places::Places;
