//! The rooms of the house: what each holds, and what it may know.
//!
//! A room uses only rooms before it in this list; a test reads the sources and fails on any
//! other edge. So the core has no network and no async, the storage knows no conflict-free
//! type, and the session does no input or output.
//!
//! ```text
//!   your application                             the rejoin binary (feature cli)
//!        │                                               │
//!        │                                    net        │      frames over WebSocket (feature net)
//!        │                                     │         │
//!        │   ┌─────────────────────────────────┴─────────┘
//!        ▼   ▼
//!     session     the protocol: frames in, frames out; no clock, no threads, no sockets
//!        │
//!      space      stores, spaces, transactions, handles; the one path of every write
//!        │
//!   ┌────┴─────┐
//! digest       │  the Merkle tree over live dots
//!   │          │
//! storage      │  ordered tables, atomic commits: a file (redb), or memory
//!   │          │
//!   └────┬─────┘
//!      crdt       the types as plain values, and the rules that the store shares with them
//!        │
//!      codec      flat bytes, one spelling each; every limit
//!        │
//!     causal      dots, version vectors, clocks: integers and sets
//!
//!      sim        a seeded world of replicas and faults, beside all of them (feature sim)
//! ```
//!
//! | room | holds | paper |
//! |---|---|---|
//! | [`causal`](crate::causal) | dots, version vectors, causal contexts, hybrid clocks | Parker et al. 1983; Preguiça et al. 2010; Kulkarni et al. 2014 |
//! | [`codec`](crate::codec) | values to bytes and back, places, limits | |
//! | [`crdt`](crate::crdt) | registers, counters, sets, flags, maps as plain values | Shapiro et al. 2011; Almeida, Shoker, Baquero 2018 |
//! | [`storage`](crate::storage) | tables and commits | |
//! | [`digest`](crate::digest) | roots, and the walk to where two of them differ | Merkle 1987 |
//! | [`space`](crate::space) | where the former meet: stores, spaces, handles, deltas | DeCandia et al. 2007; Gonçalves et al. 2017 |
//! | [`session`](crate::session) | how two replicas become equal | DeCandia et al. 2007 |
//! | `net` | sessions over WebSocket and other pipes | |
//! | `sim` | worlds drawn from a seed, and the oracle that judges them | |
//!
//! Beside them stand `bin`, the command line, which sees what every user of the library sees,
//! and this `guide`. A test compares the drawing with the folders.
