//! Causality: who has seen what.
//!
//! Pure integers and sets, which know nothing of values, stores or networks:
//!
//! - [`ReplicaId`], [`Seq`], [`Dot`]: the names of replicas and of events;
//! - [`VersionVector`]: a set of events without gaps (Parker et al., "Detection of Mutual
//!   Inconsistency in Distributed Systems", 1983);
//! - [`DottedVersionVector`]: one event with what it had seen (Preguiça et al. 2010, arXiv
//!   1011.5808);
//! - [`CausalContext`]: a set of events with gaps (Almeida, Shoker, Baquero 2016, arXiv
//!   1603.01529);
//! - [`Hlc`], [`HybridClock`]: timestamps (Kulkarni et al. 2014).
//!
//! # Who has seen whom
//! ```
//! use rejoin::causal::{Causality, ReplicaId, Seq, VersionVector};
//!
//! let [s0, s1, s2] = [0, 1, 2].map(|n| ReplicaId::from_bytes([n; 16]));
//! let vector = |seqs: [u64; 3]| -> VersionVector {
//!     [s0, s1, s2].into_iter().zip(seqs.map(Seq::new)).collect()
//! };
//!
//! // {s0: 1} and {s1: 1}: each has seen something that the other has not.
//! let left: VersionVector = [(s0, Seq::FIRST)].into_iter().collect();
//! let right: VersionVector = [(s1, Seq::FIRST)].into_iter().collect();
//! assert_eq!(left.compare(&right), Causality::Concurrent);
//!
//! assert_eq!(vector([2, 1, 0]).compare(&vector([1, 2, 0])), Causality::Concurrent);
//! assert_eq!(vector([2, 1, 0]).compare(&vector([2, 2, 0])), Causality::Before);
//! ```
//!
//! # Three replicas that send and answer
//! Each counts its own events, sending and receiving among them, and takes over what the
//! message says was seen:
//! ```
//! use rejoin::causal::{Causality, Dot, ReplicaId, VersionVector};
//!
//! let ids = [0, 1, 2].map(|n| ReplicaId::from_bytes([n; 16]));
//! let mut clocks = [(); 3].map(|()| VersionVector::new()); // [0,0,0] at each
//! let count = |clock: &mut VersionVector, id: ReplicaId| {
//!     let next = clock.get(id).next();
//!     clock.advance(Dot::new(id, next));
//! };
//! let seqs = |clock: &VersionVector| ids.map(|id| clock.get(id).get());
//!
//! count(&mut clocks[0], ids[0]); // the first asks …
//! let question = clocks[0].clone();
//! assert_eq!(seqs(&question), [1, 0, 0]);
//!
//! for at in [1, 2] {
//!     count(&mut clocks[at], ids[at]);
//!     clocks[at].join(&question); // … both others hear it …
//! }
//! assert_eq!(seqs(&clocks[1]), [1, 1, 0]);
//! assert_eq!(seqs(&clocks[2]), [1, 0, 1]);
//! assert_eq!(clocks[1].compare(&clocks[2]), Causality::Concurrent);
//! assert_eq!(question.compare(&clocks[1]), Causality::Before);
//!
//! let answers = [clocks[1].clone(), clocks[2].clone()]; // … and answer.
//! for answer in &answers {
//!     count(&mut clocks[0], ids[0]);
//!     clocks[0].join(answer);
//! }
//! assert_eq!(seqs(&clocks[0]), [3, 1, 1]);
//! assert!(answers.iter().all(|answer| clocks[0].covers(answer)));
//! ```

#[cfg(any(test, feature = "quickcheck"))]
mod arbitrary;
mod context;
mod dot;
mod dotted;
mod hlc;
mod replica;
mod tag;
#[cfg(test)]
mod tests;
mod vector;

pub use context::CausalContext;
pub use dot::{Dot, Seq};
pub use dotted::{DottedVersionVector, NotBeyondPast};
pub use hlc::{Hlc, HybridClock};
pub use replica::{ParseReplicaIdError, ReplicaId};
pub use tag::{Parting, Stretches, Tag, TaggedEntry, TaggedVector, parting};
pub use vector::{Causality, VersionVector};
