//! Stores and spaces: where values are kept, written and read.
//!
//! A [`Store`] is one replica, in a file or in memory. It holds any number of [`Space`]s, sets
//! of keys that each replicate as one unit under one version vector. In a space, a key is
//! seen through a *handle* of a type ([`Set`], [`Counter`], [`LwwRegister`], [`Map`] …), or as
//! an opaque value with [`get`](Space::get) and [`put`](Space::put), the way of Dynamo
//! (DeCandia et al. 2007). One context for a whole space instead of one for each key: Gonçalves
//! et al., "Concise Server-Wide Causality Management" (2014, 2017).
//!
//! ```
//! use rejoin::Store;
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("notes.store");
//! let store = Store::open(path)?;
//! let space = store.space("main")?;
//!
//! // Each call on a handle of the space is a transaction of its own, on disk when it returns.
//! space.register("title").set(&"Notes")?;
//! space.set("tags").add(&"draft".to_string())?;
//!
//! // Several changes as one, here and at every replica they reach.
//! space.write(|tx| {
//!     tx.counter("edits").add(1)?;
//!     tx.map::<String>("authors").register(&"ada".into())?.set(&"Ada L.")
//! })?;
//!
//! // Several reads of one moment.
//! let now = space.snapshot()?;
//! assert_eq!(now.register::<String>("title").get()?.as_deref(), Some("Notes"));
//! assert_eq!(now.counter("edits").get()?, 1);
//! # Ok::<(), rejoin::Error>(())
//! ```
//!
//! # Siblings
//! Concurrent puts all stay, until one that has read them replaces them:
//!
//! ```
//! # use rejoin::{Store, space::Replacing};
//! let space = Store::in_memory().space("main")?;
//! space.put("bid", "10", None)?;
//! space.put("bid", "20", Replacing::Nothing)?; // as if made elsewhere, having seen nothing
//! let siblings = space.get("bid")?;
//! assert_eq!(siblings.values().collect::<Vec<_>>(), [b"10", b"20"]);
//!
//! space.put("bid", "20", siblings.context())?; // replaces what was read, and only that
//! assert_eq!(space.get("bid")?.len(), 1);
//! # Ok::<(), rejoin::Error>(())
//! ```
//! [`Space::put_if`] writes only where nothing came in between, [`Space::set_resolver`] makes
//! one value of several as they are read: see [`guide::conflicts`](crate::guide::conflicts).
//!
//! # Rules
//! - **Inside [`Space::write`] use the transaction, not the space**: a write of the same store
//!   within its own write would wait for itself, and fails with
//!   [`NestedWrite`](crate::UsageError::NestedWrite).
//! - **A name must have one encoding**: what serde writes for an element or a map key is its
//!   identity, so no hash sets in them ([`guide::changing_types`](crate::guide::changing_types)).
//! - What a type cannot read, because another version of the application wrote it, stands in
//!   its place as [`Stored::Undecodable`].
//! - A closure that fails or panics leaves no trace.
//! - Do not copy a store's file while it is open: [`Store::backup`] does that. Do not fear to
//!   do so otherwise: a copy is noticed at opening, and writes under a name of its own
//!   ([`Store::identity`]).

#[cfg(not(target_arch = "wasm32"))]
mod backup;
mod bases;
mod batch;
mod brake;
mod catalog;
mod change;
mod check;
mod chunk;
mod condition;
mod content;
mod damage;
#[cfg(feature = "sim")]
mod decoders;
mod dropping;
mod equivocation;
mod fields;
mod fork;
mod handles;
mod meetings;
mod news;
mod options;
#[cfg(not(target_arch = "wasm32"))]
mod recover;
mod renamed;
mod resolve;
pub mod resolvers;
mod rows;
mod scan;
mod shared;
#[allow(clippy::module_inception, reason = "the room's main type has the room's name")]
mod space;
mod staging;
mod status;
mod store;
mod stretches;
#[cfg(test)]
pub(crate) mod tests;
mod trash;
mod tx;
#[cfg(test)]
pub(crate) mod vectors;
mod view;
mod waiting;
mod write;
mod writer;

pub(crate) use bases::VectorHash;
pub(crate) use brake::Claimed;
pub(crate) use catalog::Leaf;
pub(crate) use chunk::SpelledChunk;
#[cfg(any(test, feature = "sim"))]
pub(crate) use chunk::{Chunk, Claim, Event, Last};
#[cfg(feature = "sim")]
pub(crate) use decoders::read_row;
pub(crate) use equivocation::BlockContents;
pub(crate) use fork::{History, Parted};
pub(crate) use meetings::MeetingId;
pub(crate) use news::Outgoing;
#[cfg(any(test, feature = "sim"))]
pub(crate) use rows::Removal;
pub(crate) use staging::{Incoming, Offer, Resumes, STAGING_PATIENCE_MS, Taken, feeder_name};

#[cfg(not(target_arch = "wasm32"))]
pub use backup::BackupReport;
pub use brake::{Held, MassRemoval};
pub use check::CheckReport;
pub use condition::{Condition, Outcome};
pub use equivocation::Equivocation;
pub use fork::Fork;
pub use handles::{
    Counter, DwFlag, EwFlag, LwwRegister, Map, MvRegister, ReadContext, Replacing, RwSet, Set,
    Siblings, Stored,
};
#[cfg(feature = "sim")]
pub(crate) use options::Tuning;
pub use options::{Clock, Options, Randomness};
#[cfg(not(target_arch = "wasm32"))]
pub use recover::{Beside, RecoverReport};
pub use resolve::Resolved;
pub use scan::{Item, KeyEntry, Keys};
pub use space::Space;
pub(crate) use space::touched;
pub use status::Status;
pub use store::Store;
pub use trash::{Restored, Trash, Trashed};
pub use tx::{Reads, Tx, Writes};
pub use view::Snapshot;
