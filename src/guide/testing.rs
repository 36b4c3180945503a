//! Testing your own merges: the laws, the stories, and values that can occur.
//!
//! A merge that is wrong is wrong late. Two replicas agree in every test that anybody writes
//! by hand, and one day a third one comes with an old copy, or two edits fall into one
//! second, and from then on the replicas differ or something that was sold is back on the
//! shelf. What has to hold is known, though, and can be checked. With the feature
//! `quickcheck` this library checks it for its own types and for yours.
//!
//! # What has to hold
//! Whatever is merged, in any order, any number of times, must come to the same. That is so
//! if merging is **commutative**, **associative** and **idempotent**, and if a mutation **only
//! adds** to what is known, so that an older copy changes nothing where the newer is known.
//! Shapiro, Preguiça, Baquero, Zawirski, "Conflict-free Replicated Data Types" (2011). Where
//! deltas travel, a delta must do what the mutation did. And since hashes are made of bytes,
//! a value must have one spelling. [`check`](crate::crdt::laws::check) lists all laws.
//!
//! Checking them on values drawn at random does not help much: most such values are states
//! that no history leads to, and a law may well be broken there and nowhere else. So histories
//! are drawn: three replicas, called A, B and C, mutate their copies, send them to each other,
//! and receive single deltas late, twice, or never.
//!
//! # A type with a merge of its own
//! Say by [`Mergeable`](crate::crdt::laws::Mergeable) how it is mutated and merged, and what
//! mutations there are. Here a free seat is one that nobody has taken:
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use rejoin::causal::ReplicaId;
//! use rejoin::crdt::laws::{Few, Mergeable, check, examine};
//! use serde::{Deserialize, Serialize};
//!
//! /// Who sits where. Whoever took a seat first here keeps it.
//! #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
//! struct Seats(BTreeMap<Few, ReplicaId>);
//!
//! impl Mergeable for Seats {
//!     /// Takes this seat.
//!     type Operation = Few;
//!
//!     fn mutate(&mut self, guest: ReplicaId, seat: &Few) -> Option<Self> {
//!         if self.0.contains_key(seat) {
//!             return None; // taken: nothing has changed
//!         }
//!         self.0.insert(*seat, guest);
//!         Some(Self(BTreeMap::from([(*seat, guest)]))) // the delta
//!     }
//!
//!     fn merge(&mut self, other: &Self) {
//!         for (seat, guest) in &other.0 {
//!             self.0.entry(*seat).or_insert(*guest);
//!         }
//!     }
//! }
//!
//! let broken = examine::<Seats>(1_000).expect_err("two guests sit down at once");
//! assert_eq!(broken.to_string(), "\
//! a law is broken: merging is commutative
//!
//!   1. A: Few(0)
//!   2. B: Few(0)
//!
//!   A merged with B  Seats({Few(0): A})
//!   B merged with A  Seats({Few(0): B})");
//!
//! /// The same, and of two guests the one of the lesser name.
//! #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
//! struct Agreed(BTreeMap<Few, ReplicaId>);
//!
//! impl Mergeable for Agreed {
//!     type Operation = Few;
//!
//!     fn mutate(&mut self, guest: ReplicaId, seat: &Few) -> Option<Self> {
//!         if self.0.contains_key(seat) {
//!             return None;
//!         }
//!         self.0.insert(*seat, guest);
//!         Some(Self(BTreeMap::from([(*seat, guest)])))
//!     }
//!
//!     fn merge(&mut self, other: &Self) {
//!         for (seat, guest) in &other.0 {
//!             let sits = self.0.entry(*seat).or_insert(*guest);
//!             *sits = (*sits).min(*guest);
//!         }
//!     }
//! }
//! check::<Agreed>(1_000);
//! ```
//!
//! The story is the shortest that was found: steps that do not matter are left out, and the
//! operations are made as small as they can be. In a test module
//! [`crdt_laws!`](crate::crdt_laws) writes the tests, a line for each type:
//!
//! ```text
//! rejoin::crdt_laws! {
//!     seats_are_agreed_upon: Agreed;
//! }
//! ```
//!
//! Let operations be drawn from **few** elements, keys and times, as
//! [`Few`](crate::crdt::laws::Few) is: what is drawn from all numbers never meets itself. And
//! give an operation all that it depends on, its time among it: a `mutate` that reads a clock
//! makes another history each time.
//!
//! # A store made of dot stores
//! Types of several parts need no merge of their own: put stores together, hand each call on,
//! and the one join of this library does the rest. A change of a part is one of the whole by
//! [`Change::within`](crate::crdt::Change::within).
//!
//! ```
//! use rejoin::causal::Dot;
//! use rejoin::crdt::laws::{Few, FlagOperation, Operations, SetOperation, check};
//! use rejoin::crdt::{Causal, Change, DotStore, EwFlagStore, Meeting, OrSetStore};
//! use serde::{Deserialize, Serialize};
//!
//! /// A task: done or not, and its labels.
//! #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
//! struct TaskStore {
//!     done: EwFlagStore,
//!     labels: OrSetStore<Few>,
//! }
//!
//! type Task = Causal<TaskStore>;
//!
//! impl DotStore for TaskStore {
//!     fn join(&mut self, other: &Self, meeting: &Meeting<'_>) {
//!         self.done.join(&other.done, meeting);
//!         self.labels.join(&other.labels, meeting);
//!     }
//!     fn each_dot(&self, visit: &mut dyn FnMut(Dot)) {
//!         self.done.each_dot(visit);
//!         self.labels.each_dot(visit);
//!     }
//!     fn is_empty(&self) -> bool {
//!         !self.done.is_enabled() && self.labels.is_empty()
//!     }
//!     fn prune(&mut self) {
//!         self.done.prune();
//!         self.labels.prune();
//!     }
//! }
//!
//! impl TaskStore {
//!     fn of_done(change: Change<EwFlagStore>) -> Change<Self> {
//!         change.within(|done| Self { done, ..Self::default() })
//!     }
//!     fn of_labels(change: Change<OrSetStore<Few>>) -> Change<Self> {
//!         change.within(|labels| Self { labels, ..Self::default() })
//!     }
//! }
//!
//! impl Operations for TaskStore {
//!     /// On the flag, or else on the labels.
//!     type Operation = Result<FlagOperation, SetOperation<Few>>;
//!
//!     fn change(&self, dot: Dot, operation: &Self::Operation) -> Option<Change<Self>> {
//!         match operation {
//!             Ok(flag) => self.done.change(dot, flag).map(Self::of_done),
//!             Err(labels) => self.labels.change(dot, labels).map(Self::of_labels),
//!         }
//!     }
//! }
//!
//! check::<Task>(1_000);
//! ```
//!
//! # A resolver
//! A resolver makes one value of siblings when they are read, at each replica for itself. So
//! it must look at the siblings and at nothing else, not even at their order:
//!
//! ```
//! use rejoin::crdt::laws::{check_resolver, examine_resolver};
//!
//! // All that is in any of the carts.
//! check_resolver(1_000, |carts: &[Vec<u8>]| {
//!     let mut all = carts.concat();
//!     all.sort_unstable();
//!     all.dedup();
//!     all
//! });
//!
//! // Without the sorting the answer goes by who is asked first.
//! let broken = examine_resolver(1_000, |carts: &[Vec<u8>]| carts.concat());
//! assert!(broken.is_err());
//! ```
//!
//! A resolver that goes by dots and times is given drawn ones. Times are drawn from few, so
//! that ties occur, and each replica drawn is another, so that no two siblings have one dot:
//!
//! ```
//! use rejoin::causal::{Dot, ReplicaId, Seq};
//! use rejoin::crdt::laws::check_resolver;
//! use rejoin::crdt::{Stamped, Write};
//!
//! fn latest(siblings: &[Write<'_, u8>]) -> Option<u8> {
//!     siblings.iter().max_by_key(|write| (write.time, write.dot)).map(|write| *write.value)
//! }
//!
//! check_resolver(1_000, |drawn: &[(ReplicaId, Stamped<u8>)]| {
//!     let siblings = drawn.iter().map(|(replica, Stamped { time, value })| {
//!         Write { dot: Dot::new(*replica, Seq::FIRST), time: *time, value }
//!     });
//!     latest(&siblings.collect::<Vec<_>>())
//! });
//! ```
//!
//! # Values in property tests of your own
//! Every value of [`crdt`](crate::crdt) and of [`causal`](crate::causal) is `Arbitrary`. One
//! that is drawn is what a replica holds at the end of a history, and one that it is shrunk to
//! can occur as well. Two that are drawn have no replica in common and may be merged; where a
//! property speaks of copies of *one* value, draw a
//! [`History`](crate::crdt::laws::History), which has three copies and all deltas:
//!
//! ```
//! use quickcheck::QuickCheck;
//! use rejoin::crdt::OrSet;
//! use rejoin::crdt::laws::{Few, History};
//!
//! fn nothing_comes_from_nowhere(one: OrSet<Few>, other: OrSet<Few>) -> bool {
//!     let mut both = one.clone();
//!     both.merge(&other);
//!     both.iter().all(|element| one.contains(element) || other.contains(element))
//! }
//! QuickCheck::new().quickcheck(nothing_comes_from_nowhere as fn(_, _) -> bool);
//!
//! fn what_is_in_a_copy_was_added_in_a_delta(history: History<OrSet<Few>>) -> bool {
//!     let added = |element: &Few| history.deltas().iter().any(|delta| delta.contains(element));
//!     history.copies().iter().all(|copy| copy.iter().all(added))
//! }
//! QuickCheck::new().quickcheck(what_is_in_a_copy_was_added_in_a_delta as fn(_) -> bool);
//! ```
//!
//! # What a green test does not say
//! - That the type does what it is meant to do. A merge that always takes the greater keeps
//!   every law, and loses edits. Write properties of what is *read*, over a `History`.
//! - That nothing is wrong beyond what was drawn: three replicas, fewer than twelve steps, the
//!   same histories each time. (For each law the tests of this library have a type with a
//!   plausible mistake; each is found within the first hundred histories.)
//! - That replicas keep to their names. Two that write as one break every type there is.
