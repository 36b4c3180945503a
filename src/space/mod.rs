//! Stores and spaces.

mod batch;
mod bases;
mod change;
mod chunk;
mod handles;
mod news;
mod options;
mod rows;
mod space;
mod staging;
mod store;
mod tx;
mod view;

pub(crate) use bases::VectorHash;
pub(crate) use chunk::{Chunk, Claim, Event, Last};
pub(crate) use news::Outgoing;
pub(crate) use staging::{Incoming, STAGING_PATIENCE_MS, Taken, check_own_future};

pub use handles::{
    Counter, DwFlag, EwFlag, LwwRegister, Map, MvRegister, ReadContext, Replacing, RwSet, Set, Siblings,
};
pub use options::{Clock, Options, Randomness};
pub use space::Space;
pub use store::Store;
pub use tx::{Reads, Tx, Writes};
pub use view::Snapshot;
