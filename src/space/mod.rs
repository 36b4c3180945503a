//! Stores and spaces.

mod bases;
mod batch;
mod change;
mod check;
mod chunk;
mod handles;
mod news;
mod options;
mod rows;
mod scan;
mod space;
mod staging;
mod status;
mod store;
mod tx;
mod view;

pub(crate) use bases::VectorHash;
pub(crate) use chunk::Chunk;
pub(crate) use news::Outgoing;
pub(crate) use staging::{Incoming, STAGING_PATIENCE_MS, Taken, check_own_future};

pub use check::CheckReport;
pub use handles::{
    Counter, DwFlag, EwFlag, LwwRegister, Map, MvRegister, ReadContext, Replacing, RwSet, Set,
    Siblings,
};
#[cfg(feature = "sim")]
pub(crate) use options::Tuning;
pub use options::{Clock, Options, Randomness};
pub use scan::{Item, KeyEntry, Keys};
pub use space::Space;
pub use status::Status;
pub use store::Store;
pub use tx::{Reads, Tx, Writes};
pub use view::Snapshot;
