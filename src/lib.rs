//! An embeddable, durable, replicated store of conflict-free values: *Dynamo for the edge,
//! in a crate*.
//!
//! Every replica accepts every write, always, with no network. Replicas that meet exchange
//! only what the other lacks, merge without asking anybody, and prove that they are equal by
//! comparing Merkle roots. A delete costs nothing for ever, and a replica that comes back
//! after a year resurrects nothing.
//!
//! ```
//! use rejoin::{Store, session::{Scope, Session}};
//!
//! let (phone, laptop) = (Store::in_memory(), Store::in_memory()); // or Store::open(path)?
//! let (here, there) = (phone.space("main")?, laptop.space("main")?);
//! here.set("cart").add(&"apple".to_string())?; // each writes on its own
//! there.set("cart").add(&"banana".to_string())?;
//! # let random = || { let mut r = [0; 16]; (rejoin::Options::default().entropy)(&mut r); r };
//!
//! let mut a = Session::connect(&phone, Scope::All, random())?;
//! let mut b = Session::accept(&laptop, random());
//! while !(a.is_over() && b.is_over()) { // they meet: frames over any pipe
//!     while let Some(frame) = a.poll_frame(0)? { b.handle_frame(0, &frame)? }
//!     while let Some(frame) = b.poll_frame(0)? { a.handle_frame(0, &frame)? }
//! }
//! assert_eq!(here.set::<String>("cart").elements()?, ["apple", "banana"]);
//! assert_eq!(here.root()?, there.root()?); // proven, not hoped
//! # Ok::<(), rejoin::Error>(())
//! ```
//!
//! # Where to read on
//! - [`guide::model`]: what a write is, what is kept of a delete, who wins. With one worked
//!   history.
//! - [`guide::conflicts`]: siblings, conditional writes, resolvers, which type for what.
//! - [`guide::changing_types`]: when replicas run different versions of an application.
//! - [`guide::sync`]: how two replicas become equal, step by step, and what it costs.
//! - [`guide::why`]: why no order is needed, and what that costs. [`guide::spaces`]: what to
//!   keep together, and what apart. [`guide::comparison`]: what others do better.
//! - [`guide::operating`]: backup, crash, size, moving, upgrading, serving.
//! - [`guide::format`]: the file and the wire, byte by byte. [`guide::limits`]: every bound.
//! - [`guide::rooms`]: how the library is laid out. [`guide::tested`]: how it is tested, with the
//!   commands.
//! - [`space`]: stores, spaces, transactions, and a handle for each type.
//! - [`session`]: the protocol as a state machine, and the loop that drives it.
//! - [`crdt`]: the same types as plain values, for those who need no store.
//!
//! # Features
//! All are off at first, and each only adds: `net` (sessions over WebSocket), `cli` (the
//! `rejoin` binary), `sim` (seeded worlds of replicas and faults to test applications in, told
//! in `guide::worlds`),
//! `quickcheck` (random values that can occur, and the laws of merging for types of your own,
//! told in `guide::testing`). The core knows no network and no async, and compiles to
//! `wasm32-unknown-unknown`.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod guide;

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
#[cfg(feature = "net")]
pub mod net;
pub mod session;
#[cfg(all(feature = "sim", not(target_arch = "wasm32")))]
pub mod sim;
pub mod space;
pub mod storage;

pub use error::{Error, PeerError, Undecodable, UsageError};
pub use space::{Options, Snapshot, Space, Store, Tx};

/// The README's code runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
