//! rejoin
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod causal;
pub mod codec;
pub mod crdt;
pub mod digest;
mod error;
#[cfg(rejoin_faults)]
#[doc(hidden)]
pub mod faults;
#[cfg(not(rejoin_faults))]
mod faults;
pub mod session;
#[cfg(feature = "sim")]
pub mod sim;
pub mod space;
pub mod storage;

pub use error::{Error, PeerError, UsageError};
pub use space::{Options, Snapshot, Space, Store, Tx};
